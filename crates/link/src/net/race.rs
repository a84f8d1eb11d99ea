//! The way to a server that answers, among all that may (RFC 8305).

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::dial::Dial;
use super::network::{Network, ascii};
use super::route::{Start, Target};
use super::socket::Socket;
use crate::error::ConnectError;

/// Connections to the targets, one after another and side by side: each next one is tried when the last has failed, or has
/// not answered for a moment.
pub(super) struct Race<N> {
    network: Arc<N>,
    dialer: Option<Arc<dyn Dial>>,
    targets: VecDeque<Target>,
    /// Best first.
    addresses: VecDeque<(SocketAddr, Target)>,
    /// The rank of what was tried last.
    rank: u32,
    flying: Vec<Flight>,
    /// When the next one is tried although nothing has failed.
    next: Instant,
    /// The most telling reason why there is no connection.
    failed: Option<ConnectError>,
}

struct Flight {
    rank: u32,
    future: Flying,
}

type Flying = Pin<Box<dyn Future<Output = Landed> + Send>>;

enum Landed {
    Found(Target, Vec<SocketAddr>),
    Connected(Socket, Start),
    Failed(ConnectError),
}

impl<N: Network + 'static> Race<N> {
    /// A dialer, if there is one, is given the targets as they are.
    pub(super) fn new(
        network: Arc<N>,
        dialer: Option<Arc<dyn Dial>>,
        targets: Vec<Target>,
        now: Instant,
    ) -> Self {
        Self {
            network,
            dialer,
            rank: targets.first().map_or(0, |target| target.rank),
            targets: targets.into(),
            addresses: VecDeque::new(),
            flying: Vec::new(),
            next: now,
            failed: None,
        }
    }

    /// The next connection that stands. If it is of no use, call this again: the others go on.
    ///
    /// # Errors
    /// There are no more: why not.
    pub(super) async fn next(&mut self) -> Result<(Socket, Start), ConnectError> {
        loop {
            let more = self.following().is_some();
            if self.flying.is_empty() {
                if !more {
                    let none = || ConnectError::broken("at once", "there is nowhere to connect to");
                    return Err(self.failed.clone().unwrap_or_else(none));
                }
                self.start();
                continue;
            }
            let landed = tokio::select! {
                biased;
                landed = land(&mut self.flying) => landed,
                () = sleep_until(self.next), if more => {
                    self.start();
                    continue;
                }
            };
            let connected = match landed {
                Landed::Connected(socket, start) => Some((socket, start)),
                Landed::Found(target, found) => {
                    let found = alternating(found).into_iter();
                    self.addresses
                        .extend(found.map(|address| (address, target.clone())));
                    let all = self.addresses.make_contiguous();
                    all.sort_by_key(|(_, target)| target.rank);
                    None
                }
                Landed::Failed(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "no connection");
                    if self.failed.as_ref().is_none_or(is_without_route) {
                        self.failed = Some(error);
                    }
                    None
                }
            };
            self.make_room();
            if let Some(connected) = connected {
                return Ok(connected);
            }
        }
    }

    /// Whether everything was tried.
    pub(super) fn is_over(&self) -> bool {
        self.following().is_none() && self.flying.is_empty()
    }

    fn following(&self) -> Option<&Target> {
        let address = self.addresses.front().map(|(_, target)| target);
        address.or_else(|| self.targets.front())
    }

    /// What has landed makes room for the next one, but if that is for when others cannot be had, and one of these still may.
    fn make_room(&mut self) {
        let is_better = |following: &Target| following.rank <= self.rank;
        let nobody = !self.flying.iter().any(|flight| flight.rank == self.rank);
        if nobody || self.following().is_none_or(is_better) {
            self.next = Instant::now();
        }
    }

    fn start(&mut self) {
        let network = Arc::clone(&self.network);
        let (rank, future) = if let Some((address, target)) = self.addresses.pop_front() {
            (target.rank, boxed(connect(network, address, target)))
        } else if let Some(target) = self.targets.pop_front() {
            let rank = target.rank;
            match &self.dialer {
                Some(dialer) => (rank, boxed(dial(Arc::clone(dialer), target))),
                None => (rank, boxed(find(network, target))),
            }
        } else {
            return;
        };
        self.rank = rank;
        self.flying.push(Flight { rank, future });
        let pause = match self.following() {
            Some(target) if target.rank > self.rank => NEXT_RANK,
            _ => SAME_RANK,
        };
        self.next = Instant::now() + pause;
    }
}

fn boxed(future: impl Future<Output = Landed> + Send + 'static) -> Flying {
    Box::pin(future)
}

/// The first that has an outcome.
async fn land(flying: &mut Vec<Flight>) -> Landed {
    poll_fn(|cx| {
        for at in 0..flying.len() {
            if let Some(flight) = flying.get_mut(at)
                && let Poll::Ready(landed) = flight.future.as_mut().poll(cx)
            {
                drop(flying.remove(at));
                return Poll::Ready(landed);
            }
        }
        Poll::Pending
    })
    .await
}

async fn find<N: Network>(network: Arc<N>, target: Target) -> Landed {
    match network.addresses(&target.host, target.port).await {
        Ok(found) => Landed::Found(target, found),
        Err(why) => Landed::Failed(ConnectError::Unreachable {
            server: target.shown(),
            why,
        }),
    }
}

async fn connect<N: Network>(network: Arc<N>, address: SocketAddr, target: Target) -> Landed {
    match network.connect(address).await {
        Ok(socket) => Landed::Connected(socket, target.start),
        Err(error) => Landed::Failed(ConnectError::Unreachable {
            server: match ascii(&target.host) == address.ip().to_string() {
                true => address.to_string(),
                false => format!("{} ({})", target.shown(), address.ip()),
            },
            why: error.into(),
        }),
    }
}

async fn dial(dialer: Arc<dyn Dial>, target: Target) -> Landed {
    match dialer.dial(&ascii(&target.host), target.port).await {
        Ok(stream) => Landed::Connected(Socket::Dialled(stream), target.start),
        Err(error) => Landed::Failed(ConnectError::Unreachable {
            server: target.shown(),
            why: error.into(),
        }),
    }
}

/// A family of addresses that this machine does not have says nothing of the server.
fn is_without_route(error: &ConnectError) -> bool {
    let ConnectError::Unreachable { why, .. } = error else {
        return false;
    };
    let system = why.get_ref().downcast_ref::<io::Error>();
    system.is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::AddrNotAvailable
        )
    })
}

/// The families in turns, beginning with the system's favourite (RFC 8305 §4).
fn alternating(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = found.first().is_some_and(SocketAddr::is_ipv6);
    let (favourites, others): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|address| address.is_ipv6() == first);
    let (mut favourites, mut others) = (favourites.into_iter(), others.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [favourites.next(), others.next()];
        if pair == [None, None] {
            all.truncate(MAX_ADDRESSES);
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

/// Between attempts at equals (RFC 8305 §5).
const SAME_RANK: Duration = Duration::from_millis(250);

/// How long a target is waited for before one of a higher rank is tried beside it. RFC 2782 sends us there only if the first
/// cannot be reached, and one that drops packets never says so.
const NEXT_RANK: Duration = Duration::from_secs(3);

/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 8;

#[cfg(test)]
mod tests;
