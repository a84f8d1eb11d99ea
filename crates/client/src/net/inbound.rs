//! Whoever connects to us: they get no byte before somebody knows them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Sleep, sleep, timeout};

use super::{Boxed, without_delay};

/// A connection that somebody has made to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InboundId(u64);

/// An address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {why}")]
pub struct BindError {
    /// Where.
    pub address: SocketAddr,
    /// Why not.
    pub why: io::Error,
}

/// The listeners, and connections that have not been claimed.
#[derive(Default)]
pub(super) struct Inbound {
    listeners: Vec<TcpListener>,
    expecting: bool,
    /// Without their first bytes, the oldest first.
    silent: VecDeque<(InboundId, Boxed<Option<Knock>>)>,
    /// Their owner is asked.
    knocked: BTreeMap<InboundId, TcpStream>,
    count: u64,
    /// Accepting has failed: until when it is not tried again.
    pause: Option<Pin<Box<Sleep>>>,
}

type Knock = (TcpStream, [u8; KNOCK]);

impl Inbound {
    pub(super) fn new(addresses: &[SocketAddr]) -> Result<Self, BindError> {
        let bind = |address: &SocketAddr| {
            let address = *address;
            bind(address).map_err(|why| BindError { address, why })
        };
        Ok(Self {
            listeners: addresses.iter().map(bind).collect::<Result<_, _>>()?,
            expecting: false,
            silent: VecDeque::new(),
            knocked: BTreeMap::new(),
            count: 0,
            pause: None,
        })
    }

    pub(super) fn listening(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
    }

    pub(super) fn set_expecting(&mut self, expecting: bool) {
        self.expecting = expecting;
        if !expecting {
            self.silent = VecDeque::new();
            self.knocked.clear();
        }
    }

    /// One that has knocked.
    pub(super) fn take(&mut self, id: InboundId) -> Option<TcpStream> {
        self.knocked.remove(&id)
    }

    /// The next one that has said enough.
    pub(super) fn poll_knock(&mut self, cx: &mut Context<'_>) -> Option<(InboundId, [u8; KNOCK])> {
        for _ in 0..BATCH {
            // Before room is made for a newer one.
            if let Some((id, (socket, knock))) = self.poll_silent(cx) {
                self.knocked.insert(id, socket);
                return Some((id, knock));
            }
            let Poll::Ready(socket) = self.poll_accept(cx) else {
                return None;
            };
            self.greet(socket);
        }
        cx.waker().wake_by_ref();
        None
    }

    fn poll_silent(&mut self, cx: &mut Context<'_>) -> Option<(InboundId, Knock)> {
        let mut found = None;
        self.silent.retain_mut(|(id, knock)| {
            if found.is_some() {
                return true;
            }
            match knock.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(knock) => {
                    found = knock.map(|knock| (*id, knock));
                    false
                }
            }
        });
        found
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<TcpStream> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        for listener in &self.listeners {
            match listener.poll_accept(cx) {
                Poll::Ready(Ok((socket, _))) => return Poll::Ready(socket),
                // Too many open files, for one: others end meanwhile.
                Poll::Ready(Err(_)) => {
                    self.pause = Some(Box::pin(sleep(AGAIN)));
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    /// Those who hold the port open do not keep anybody out: the one that has been silent for longest gives way.
    fn greet(&mut self, socket: TcpStream) {
        if !self.expecting {
            return;
        }
        if self.silent.len() + self.knocked.len() >= MAX_WITHOUT_KNOCK
            && self.silent.pop_front().is_none()
        {
            return;
        }
        without_delay(&socket);
        let id = InboundId(self.count);
        self.count += 1;
        self.silent.push_back((id, Box::pin(knock(socket))));
    }
}

/// As tokio binds, but at once.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // The port of a client that has just ended can be had again. Elsewhere this means that two may have it.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The first bytes, and not one of what follows.
async fn knock(mut socket: TcpStream) -> Option<Knock> {
    let mut knock = [0; KNOCK];
    let read = timeout(KNOCKING, socket.read_exact(&mut knock)).await;
    matches!(read, Ok(Ok(_))).then_some((socket, knock))
}

/// What whoever connects must say first, in bytes: a salt and a MAC.
pub(crate) const KNOCK: usize = 48;

/// How long that may take.
const KNOCKING: Duration = Duration::from_secs(5);

/// Connections that have not said it, or of which nobody has said that they know them.
const MAX_WITHOUT_KNOCK: usize = 16;

/// Connections that the system accepts for us meanwhile.
const BACKLOG: u32 = 64;

/// Connections accepted in one go.
const BATCH: usize = 64;

/// Between two attempts to accept a connection that fail.
const AGAIN: Duration = Duration::from_millis(100);
