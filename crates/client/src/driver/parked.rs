//! Requests to open a tunnel, until they can be decided.

use tokio::sync::oneshot;
use xtls_session::Service;
use xtls_stanza::Address;
use xtls_tunnel::router::OpenError;

use crate::command::Port;

/// One request.
pub(super) struct Opening {
    pub(super) peer: Address,
    pub(super) service: Service,
    pub(super) done: oneshot::Sender<Result<Port, OpenError>>,
}

/// Requests in the order in which they came. The callers wait, so there are as many as there are of those.
#[derive(Default)]
pub(super) struct Parked {
    openings: Vec<Opening>,
    /// Something has happened since they were tried.
    due: bool,
}

impl Parked {
    pub(super) fn push(&mut self, opening: Opening) {
        self.openings.push(opening);
        self.due = true;
    }

    /// It was tried, and has to wait for the end of another tunnel.
    pub(super) fn wait(&mut self, opening: Opening) {
        self.openings.push(opening);
    }

    /// A tunnel has ended, or the client stops.
    pub(super) fn retry(&mut self) {
        self.due = !self.openings.is_empty();
    }

    /// Those that may be tried now.
    pub(super) fn take_due(&mut self) -> Vec<Opening> {
        if std::mem::take(&mut self.due) {
            std::mem::take(&mut self.openings)
        } else {
            Vec::new()
        }
    }
}
