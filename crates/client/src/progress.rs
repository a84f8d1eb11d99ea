//! What is known of a tunnel at every moment: its service, its peer, its end.

use std::io;

use tokio::sync::watch;
use xtls_session::{Peer, Service};
use xtls_tunnel::router::{Closed, Gone, TunnelEvent};

use crate::error::read_error;
use crate::paths::PathState;

#[derive(Debug, Default)]
struct State {
    /// Known from the start where we opened, and from the handshake otherwise.
    service: Option<Service>,
    peer: Option<Peer>,
    path: PathState,
    closed: Option<Box<Closed>>,
}

/// The two ends for one tunnel.
pub(crate) fn channel(service: Option<Service>) -> (ProgressSender, Progress) {
    let (sender, receiver) = watch::channel(State {
        service,
        ..State::default()
    });
    (ProgressSender(sender), Progress(receiver))
}

/// The driver's end.
#[derive(Debug)]
pub(crate) struct ProgressSender(watch::Sender<State>);

impl ProgressSender {
    pub(crate) fn note(&self, what: &TunnelEvent) {
        if let TunnelEvent::Established(peer) | TunnelEvent::Renewed(peer) = what {
            self.0.send_modify(|state| {
                state.service = Some(peer.service.clone());
                state.peer = Some(peer.clone());
            });
        } else if let TunnelEvent::Path(event) = what {
            self.0.send_modify(|state| state.path.note(*event));
        } else if let TunnelEvent::Closed(closed) = what {
            self.0
                .send_modify(|state| state.closed = Some(Box::new(closed.clone())));
        }
    }
}

/// The handle's end.
#[derive(Debug, Clone)]
pub(crate) struct Progress(watch::Receiver<State>);

impl Progress {
    pub(crate) fn peer(&self) -> Option<Peer> {
        self.0.borrow().peer.clone()
    }

    /// Until the peer is known, or the end.
    pub(crate) async fn established(&self) -> io::Result<Peer> {
        self.until(|state| state.peer.clone()).await
    }

    /// Where it goes.
    pub(crate) fn path(&self) -> PathState {
        self.0.borrow().path
    }

    /// Until it goes elsewhere, or more is known of that; `None` at its end.
    pub(crate) async fn path_changed(&mut self, told: PathState) -> Option<PathState> {
        let state = self
            .0
            .wait_for(|state| state.path != told || state.closed.is_some())
            .await
            .ok()?;
        Some(state.path).filter(|path| *path != told)
    }

    /// Until the service is known, or the end.
    pub(crate) async fn service(&self) -> io::Result<Service> {
        self.until(|state| state.service.clone()).await
    }

    /// Until the end; an error if the task is gone without one.
    pub(crate) async fn closed(&self) -> Result<Closed, Gone> {
        let mut states = self.0.clone();
        let state = states.wait_for(|state| state.closed.is_some()).await;
        state
            .ok()
            .and_then(|state| state.closed.as_deref().cloned())
            .ok_or(Gone)
    }

    async fn until<T>(&self, known: impl Fn(&State) -> Option<T>) -> io::Result<T> {
        let mut states = self.0.clone();
        let state = states
            .wait_for(|state| known(state).is_some() || state.closed.is_some())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::ConnectionAborted, Gone))?;
        match (known(&state), &state.closed) {
            (Some(value), _) => Ok(value),
            (None, Some(closed)) => Err(read_error(closed)),
            (None, None) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, Gone)),
        }
    }
}
