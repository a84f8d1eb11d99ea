//! The connection's interruptions, as the mux has to know them.

use std::sync::Arc;

use super::state::{Shared, now};

/// Tells the streams that the connection to the server is interrupted, and that it goes on. Keeps
/// nothing alive. Made by [`Endpoint::pause`](super::Endpoint::pause).
#[derive(Clone, Debug)]
pub struct Pause {
    shared: Arc<Shared>,
}

impl Pause {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Nothing leaves, and nothing can be late, until [`resume`](Self::resume).
    pub fn suspend(&self) {
        self.shared.lock().mux.pause(now());
        self.shared.wake();
    }

    /// The connection goes on where it was (XEP-0198).
    pub fn resume(&self) {
        self.shared.lock().mux.resume(now());
        self.shared.wake();
    }
}
