//! Sockets under tunnels: the only place that dials, and listens, for paths beside the server.
//!
//! It knows nothing of tunnels, and has no task: the driver's polls it.

mod dial;
mod inbound;
mod pipe;

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::ops::Bound;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::net::TcpStream;
use xtls_reach::Reach;
use xtls_stanza::s5b::Host;

pub(crate) use dial::{Dial, DialError};
pub use inbound::BindError;
use inbound::Inbound;
pub(crate) use inbound::{InboundId, KNOCK};
pub(crate) use pipe::NoRoom;
use pipe::{Buffer, Happened, Pipe};

/// How the owner knows a pipe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PipeKey(pub(crate) u64);

/// What the owner of the machine has allowed.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetSettings {
    /// Where peers may connect to.
    pub(crate) listen: Vec<SocketAddr>,
    /// Whether peers may name addresses of this machine and of the networks around it.
    pub(crate) private: bool,
    /// Where our own server was reached, and relays may be.
    pub(crate) near: Vec<Reach>,
}

/// What has happened.
#[derive(Debug)]
pub(crate) enum NetEvent {
    /// A pipe that was dialled stands.
    Connected { key: PipeKey },
    /// It never will.
    Failed { key: PipeKey, why: DialError },
    /// What has come on a pipe: 1 byte at least, [`MAX_READ`](pipe::MAX_READ) at most.
    Bytes { key: PipeKey, bytes: Bytes },
    /// A pipe that was more than half full has room again.
    Ready { key: PipeKey },
    /// A pipe has ended: by the other side, or by an error. What was not written is lost.
    Ended {
        key: PipeKey,
        error: Option<io::Error>,
    },
    /// Somebody has connected, and these are the first bytes: call [`Net::claim`] or [`Net::refuse`] at once.
    Knock {
        inbound: InboundId,
        knock: [u8; KNOCK],
    },
}

/// Every socket of the paths of one client.
#[derive(Default)]
pub(crate) struct Net {
    private: bool,
    near: Vec<Reach>,
    inbound: Inbound,
    dials: BTreeMap<PipeKey, Boxed<Result<Pipe, DialError>>>,
    /// Boxed: most clients have few, and a map has room for eleven.
    pipes: BTreeMap<PipeKey, Box<Pipe>>,
    /// Closed by their owner: what was written still leaves.
    leaving: Vec<Boxed<()>>,
    /// Dials that were not even begun.
    refused: VecDeque<PipeKey>,
    /// What all pipes read into.
    buffer: Buffer,
    /// The pipe that had the last word: the others come first.
    last: PipeKey,
    /// Whether a pipe had it, and no newcomer.
    pipes_last: bool,
}

/// Something that goes on by itself, and ends in time.
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Net {
    /// Listens where the owner wants to.
    ///
    /// # Errors
    ///
    /// One of the addresses can't be listened on.
    pub(crate) fn new(settings: NetSettings) -> Result<Self, BindError> {
        Ok(Self {
            private: settings.private,
            near: settings.near,
            inbound: Inbound::new(&settings.listen)?,
            dials: BTreeMap::new(),
            pipes: BTreeMap::new(),
            leaving: Vec::new(),
            refused: VecDeque::new(),
            buffer: Buffer::default(),
            last: PipeKey(0),
            pipes_last: false,
        })
    }

    /// Where it listens, with the ports that the system has chosen.
    pub(crate) fn listening(&self) -> impl Iterator<Item = SocketAddr> {
        self.inbound.listening()
    }

    /// Our own server was reached somewhere else.
    pub(crate) fn set_near(&mut self, near: Vec<Reach>) {
        self.near = near;
    }

    /// Whether anybody is expected. While nobody is, whoever connects is turned away without a byte.
    pub(crate) fn set_expecting(&mut self, expecting: bool) {
        self.inbound.set_expecting(expecting);
    }

    /// Connects to where somebody else says: [`NetEvent::Connected`] or [`NetEvent::Failed`] follows. The key must be a new one.
    pub(crate) fn dial(&mut self, key: PipeKey, host: Host, port: NonZeroU16, how: Dial) {
        if self.is_full() {
            self.refused.push_back(key);
            return;
        }
        let near = match (how, self.private) {
            (Dial::Relay(_), _) => self.near.clone(),
            (Dial::Direct, true) => vec![Reach::Private, Reach::LinkLocal, Reach::Loopback],
            (Dial::Direct, false) => Vec::new(),
        };
        let dialled = dial::dial(host, port, how, near);
        self.dials.insert(key, Box::pin(dialled));
    }

    /// The inbound connection is a pipe from now on; its first bytes are known already. `false` if it has gone, or there are too many.
    pub(crate) fn claim(&mut self, inbound: InboundId, key: PipeKey) -> bool {
        let socket = self.inbound.take(inbound);
        let Some(socket) = socket.filter(|_| !self.is_full()) else {
            return false;
        };
        self.pipes.insert(key, Box::new(Pipe::new(socket, false)));
        true
    }

    /// Nobody knows the inbound connection: it is closed without a byte.
    pub(crate) fn refuse(&mut self, inbound: InboundId) {
        drop(self.inbound.take(inbound));
    }

    /// How many bytes may be written: none if there is no such pipe.
    pub(crate) fn room(&self, key: PipeKey) -> usize {
        self.pipes.get(&key).map_or(0, |pipe| pipe.room())
    }

    /// Writes. Does nothing for a pipe that has ended.
    ///
    /// # Errors
    ///
    /// There is not so much room: nothing is written.
    pub(crate) fn write(&mut self, key: PipeKey, bytes: Bytes) -> Result<(), NoRoom> {
        match self.pipes.get_mut(&key) {
            Some(pipe) => pipe.write(bytes),
            None => Ok(()),
        }
    }

    /// Nothing more is heard of this pipe. What was written still leaves, if it does so in [`LEAVING`](pipe::LEAVING), and the end
    /// follows it.
    pub(crate) fn close(&mut self, key: PipeKey) {
        self.dials.remove(&key);
        self.refused.retain(|refused| *refused != key);
        if let Some(pipe) = self.pipes.remove(&key) {
            self.leaving.push(Box::pin(pipe.leave()));
        }
    }

    /// Whether no pipe stands, begins or leaves.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.held() == 0 && self.refused.is_empty()
    }

    /// Closes everything, and waits until what was written has left.
    pub(crate) async fn finish(mut self) {
        for (_, pipe) in std::mem::take(&mut self.pipes) {
            self.leaving.push(Box::pin(pipe.leave()));
        }
        let mut leaving = self.leaving;
        poll_fn(|cx| {
            leaving.retain_mut(|one| one.as_mut().poll(cx).is_pending());
            match leaving.is_empty() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// What has happened. Whatever is to go on, goes on only while this is called.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<NetEvent> {
        self.leaving
            .retain_mut(|leaving| leaving.as_mut().poll(cx).is_pending());
        let event = match self.pipes_last {
            true => self.poll_newcomers(cx).or_else(|| self.poll_pipes(cx)),
            false => self.poll_pipes(cx).or_else(|| self.poll_newcomers(cx)),
        };
        match event {
            Some(event) => Poll::Ready(event),
            None => {
                self.buffer.rest();
                Poll::Pending
            }
        }
    }

    fn poll_newcomers(&mut self, cx: &mut Context<'_>) -> Option<NetEvent> {
        self.pipes_last = false;
        if let Some(key) = self.refused.pop_front() {
            let why = DialError::TooMany;
            return Some(NetEvent::Failed { key, why });
        }
        if let Some((key, dialled)) = poll_any(&mut self.dials, cx) {
            return Some(match dialled {
                Ok(pipe) => {
                    self.pipes.insert(key, Box::new(pipe));
                    NetEvent::Connected { key }
                }
                Err(why) => NetEvent::Failed { key, why },
            });
        }
        let (inbound, knock) = self.inbound.poll_knock(cx)?;
        Some(NetEvent::Knock { inbound, knock })
    }

    /// The first pipe on which something has happened, from the one behind the last on.
    fn poll_pipes(&mut self, cx: &mut Context<'_>) -> Option<NetEvent> {
        self.pipes_last = true;
        let buffer = &mut self.buffer;
        let mut poll = |(key, pipe): (&PipeKey, &mut Box<Pipe>)| match pipe.poll(cx, buffer) {
            Poll::Ready(happened) => Some((*key, happened)),
            Poll::Pending => None,
        };
        let behind = (Bound::Excluded(self.last), Bound::Unbounded);
        let mut happened = self.pipes.range_mut(behind).find_map(&mut poll);
        if happened.is_none() {
            happened = self.pipes.range_mut(..=self.last).find_map(&mut poll);
        }
        let (key, happened) = happened?;
        self.last = key;
        Some(match happened {
            Happened::Ready => NetEvent::Ready { key },
            Happened::Bytes(bytes) => NetEvent::Bytes { key, bytes },
            Happened::Ended(error) => {
                self.pipes.remove(&key);
                NetEvent::Ended { key, error }
            }
        })
    }

    fn is_full(&self) -> bool {
        self.held() >= MAX_PIPES
    }

    fn held(&self) -> usize {
        self.dials.len() + self.pipes.len() + self.leaving.len()
    }
}

/// The first that has come to its end.
fn poll_any<T>(
    futures: &mut BTreeMap<PipeKey, Boxed<T>>,
    cx: &mut Context<'_>,
) -> Option<(PipeKey, T)> {
    let ready = |(key, future): (&PipeKey, &mut Boxed<T>)| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Some((*key, output)),
        Poll::Pending => None,
    };
    let (key, output) = futures.iter_mut().find_map(ready)?;
    futures.remove(&key);
    Some((key, output))
}

/// What is written leaves at once.
fn without_delay(socket: &TcpStream) {
    // A socket that refuses is no connection any more, which shows soon enough.
    let _ = socket.set_nodelay(true);
}

/// Pipes that stand, begin or leave.
const MAX_PIPES: usize = 64;

#[cfg(test)]
mod tests;
