//! The sockets of a client: connections beside its server, and where peers may connect to.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::task::{Context, Poll};

use tracing::debug;
use xtls_reach::Reach;
use xtls_stanza::path::Because;
use xtls_stanza::s5b::Host;
use xtls_tunnel::router::{PipeId, Router, SocketWish, Whom};

use crate::driver::now;
use crate::net::{Dial, DialError, Net, NetEvent, NetSettings, PipeKey};

pub use crate::net::BindError;

/// What the owner of this machine allows of connections beside the server.
#[derive(Debug, Clone, Default)]
pub struct SocketOptions {
    listen: Vec<SocketAddr>,
    private: bool,
}

impl SocketOptions {
    /// Where peers may connect to; port 0 lets the system choose. It answers nobody but the peer of a tunnel, who is recognised by
    /// 48 bytes that only it can know. Default nowhere.
    #[must_use]
    pub fn listen(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.listen = addresses.into_iter().collect();
        self
    }

    /// Whether peers may have us connect to addresses of this machine and of private networks. Default: they may not.
    #[must_use]
    pub fn private(mut self, yes: bool) -> Self {
        self.private = yes;
        self
    }
}

/// The sockets of a client, for [`Client::start_with`](crate::Client::start_with): what carries its tunnels beside the server.
#[derive(Default)]
pub struct Sockets {
    net: Net,
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sockets").finish_non_exhaustive()
    }
}

impl Sockets {
    /// Listens where the options say.
    ///
    /// # Errors
    ///
    /// One of the addresses can't be listened on.
    pub fn bind(options: SocketOptions) -> Result<Self, BindError> {
        let net = Net::new(NetSettings {
            listen: options.listen,
            private: options.private,
            near: Vec::new(),
        })?;
        Ok(Self { net })
    }

    /// Where it listens, with the ports that the system has chosen.
    pub fn listening(&self) -> impl Iterator<Item = SocketAddr> {
        self.net.listening()
    }

    /// The same as [`PathConfig::advertise`](xtls_tunnel::router::PathConfig::advertise) takes it, but for addresses that stand for
    /// all of this machine's.
    pub fn reachable(&self) -> impl Iterator<Item = (Host, NonZeroU16)> {
        let named = self
            .listening()
            .filter(|address| !address.ip().is_unspecified());
        named.filter_map(|address| {
            let host = Host::new(&address.ip().to_string())?;
            Some((host, NonZeroU16::new(address.port())?))
        })
    }

    /// Our server was reached there: its relays may be as near.
    pub(crate) fn set_server(&mut self, address: Option<SocketAddr>) {
        let reach = address.map(|address| Reach::of(address.ip()));
        self.net.set_near(reach.into_iter().collect());
    }

    /// Does what the router wishes, and takes what it has for the sockets.
    pub(crate) fn follow(&mut self, router: &mut Router) {
        while let Some(wish) = router.poll_wish() {
            match wish {
                SocketWish::Dial {
                    pipe,
                    host,
                    port,
                    whom,
                } => {
                    let how = match whom {
                        Whom::Relay(destination) => Dial::Relay(destination),
                        Whom::Peer => Dial::Direct,
                    };
                    self.net.dial(key(pipe), host, port, how);
                }
                SocketWish::Expect(yes) => self.net.set_expecting(yes),
                SocketWish::Close(pipe) => self.net.close(key(pipe)),
                // Of a later version.
                _ => {}
            }
        }
        while let Some(pipe) = router.poll_ready_socket() {
            self.push(router, pipe);
        }
    }

    fn push(&mut self, router: &mut Router, pipe: PipeId) {
        loop {
            let room = self.net.room(key(pipe));
            if room == 0 {
                // It says when there is room again.
                return;
            }
            let Some(bytes) = router.poll_socket(now(), pipe, room) else {
                return;
            };
            if self.net.write(key(pipe), bytes).is_err() {
                return;
            }
        }
    }

    /// Ready when something has happened, which the router knows then.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>, router: &mut Router) -> Poll<()> {
        let mut happened = Poll::Pending;
        for _ in 0..BATCH {
            let Poll::Ready(event) = self.net.poll_event(cx) else {
                break;
            };
            happened = Poll::Ready(());
            self.on_event(router, event);
        }
        happened
    }

    /// Lets what was written leave, in bounded time, and closes everything.
    pub(crate) async fn finish(self) {
        self.net.finish().await;
    }

    fn on_event(&mut self, router: &mut Router, event: NetEvent) {
        let now = now();
        match event {
            NetEvent::Connected { key } => router.connected(now, pipe(key)),
            NetEvent::Failed { key, why } => {
                router.connect_failed(now, pipe(key), because(&why));
            }
            NetEvent::Bytes { key, bytes } => router.handle_socket(now, pipe(key), &bytes),
            NetEvent::Ready { key } => self.push(router, pipe(key)),
            NetEvent::Ended { key, error } => {
                debug!(?error, "a path beside the server has ended");
                router.socket_ended(now, pipe(key));
            }
            NetEvent::Knock { inbound, knock } => {
                let known = router.knock(now, &knock);
                let claimed = known.is_some_and(|pipe| self.net.claim(inbound, key(pipe)));
                match known {
                    Some(pipe) if !claimed => router.socket_ended(now, pipe),
                    Some(_) => {}
                    None => self.net.refuse(inbound),
                }
            }
        }
    }
}

fn key(pipe: PipeId) -> PipeKey {
    PipeKey(pipe.number())
}

fn pipe(key: PipeKey) -> PipeId {
    PipeId::from_number(key.0)
}

/// What a peer is told of it.
fn because(why: &DialError) -> Because {
    match why {
        DialError::Address(_) => Because::Address,
        DialError::Socks(_) | DialError::Broken(_) => Because::Socks,
        DialError::Timeout(_) => Because::Timeout,
        DialError::Lookup(_)
        | DialError::NoAddress
        | DialError::Unreachable(_)
        | DialError::TooMany => Because::Refused,
    }
}

/// What sockets have to say is taken in pieces.
const BATCH: usize = 64;
