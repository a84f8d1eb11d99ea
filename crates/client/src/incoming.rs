//! Tunnels that peers open.

use std::future::poll_fn;
#[cfg(feature = "stream")]
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use xtls_session::Service;
use xtls_stanza::Address;
use xtls_tunnel::router::TurnedAway;

use crate::command::Port;
use crate::driver::Pauses;
use crate::handle::Tunnel;

/// Tunnels that peers open. Nothing about the peer is proven yet: [`Tunnel::next`] reports it.
///
/// As many wait here as [`Config::incoming`](xtls_tunnel::Config::incoming) says; further opens are refused before they are
/// accepted.
#[derive(Debug)]
pub struct Incoming {
    tunnels: mpsc::Receiver<Port>,
    turned_away: mpsc::Receiver<TurnedAway>,
    pauses: Arc<Pauses>,
}

/// Tunnels of one service that peers open: from [`Client::listen`](crate::Client::listen). Both ends of each have accepted
/// each other.
///
/// When it is dropped, they come out at [`Incoming`] again.
#[derive(Debug)]
pub struct Listener {
    service: Service,
    own: Address,
    tunnels: mpsc::Receiver<Port>,
}

impl Listener {
    pub(crate) fn new(service: Service, own: Address, tunnels: mpsc::Receiver<Port>) -> Self {
        Self {
            service,
            own,
            tunnels,
        }
    }

    /// The service of its tunnels.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Our own address as the server bound it first.
    #[must_use]
    pub fn own(&self) -> &Address {
        &self.own
    }

    /// The next tunnel; `None` when the client has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Tunnel> {
        poll_fn(|cx| self.poll_next_tunnel(cx)).await
    }

    /// As [`next`](Self::next), polled.
    pub fn poll_next_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<Option<Tunnel>> {
        self.tunnels.poll_recv(cx).map(|port| port.map(Tunnel::new))
    }
}

/// The same tunnels as [`next`](Self::next) gives (feature `stream`).
#[cfg(feature = "stream")]
impl futures_core::Stream for Listener {
    type Item = Tunnel;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Tunnel>> {
        self.get_mut().poll_next_tunnel(cx)
    }
}

/// The same tunnels as [`next`](Self::next) gives (feature `stream`).
#[cfg(feature = "stream")]
impl futures_core::Stream for Incoming {
    type Item = Tunnel;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Tunnel>> {
        self.get_mut().poll_next_tunnel(cx)
    }
}

/// What happens at the door.
#[derive(Debug)]
pub enum Arrival {
    /// A peer has opened a tunnel.
    Tunnel(Tunnel),
    /// A limit turned an open away. The peer was told which limit, and how long to wait. For one address and limit this is
    /// reported at most once a minute.
    TurnedAway(TurnedAway),
}

impl Incoming {
    pub(crate) fn new(
        tunnels: mpsc::Receiver<Port>,
        turned_away: mpsc::Receiver<TurnedAway>,
        pauses: Arc<Pauses>,
    ) -> Self {
        Self {
            tunnels,
            turned_away,
            pauses,
        }
    }

    pub(crate) fn pauses(&self) -> Arc<Pauses> {
        Arc::clone(&self.pauses)
    }

    /// The next tunnel; `None` when the client has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Tunnel> {
        poll_fn(|cx| self.poll_next_tunnel(cx)).await
    }

    /// As [`next`](Self::next), polled.
    pub fn poll_next_tunnel(&mut self, cx: &mut Context<'_>) -> Poll<Option<Tunnel>> {
        self.tunnels.poll_recv(cx).map(|port| port.map(Tunnel::new))
    }

    /// Whether further opens are refused for now, before they are accepted: each opener is told to try again later, and
    /// [`arrival`](Self::arrival) reports it. Existing tunnels, and their renewals, go on.
    pub fn pause(&self, paused: bool) {
        self.pauses.all.store(paused, Ordering::Release);
    }

    /// Whether opens by addresses with which no tunnel is established are refused for now, in the same way. Those with which
    /// one is may go on to open what they need beside it.
    pub fn turn_newcomers_away(&self, yes: bool) {
        self.pauses.newcomers.store(yes, Ordering::Release);
    }

    /// The next tunnel, or who was turned away; `None` when the client has ended. Cancel-safe.
    pub async fn arrival(&mut self) -> Option<Arrival> {
        tokio::select! {
            biased;
            Some(away) = self.turned_away.recv() => Some(Arrival::TurnedAway(away)),
            port = self.tunnels.recv() => Some(Arrival::Tunnel(Tunnel::new(port?))),
        }
    }
}
