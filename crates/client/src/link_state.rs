//! How the link to the server is, for those who have to tell somebody.

use tokio::sync::watch;
use xtls_stanza::Address;

use crate::uplink::{LinkEvent, Outage};

/// How the link is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// Stanzas pass, under this address. Since the first binding, or since a new one: no tunnel of an earlier one has survived.
    Bound(Address),
    /// There is no connection. What is sent waits, every deadline stands still, and nothing is lost yet.
    Interrupted(Outage),
    /// The connection is back, and nothing was lost.
    Resumed,
}

/// The states of a client's link. Made by [`Client::link_states`](crate::Client::link_states).
#[derive(Debug, Clone)]
pub struct LinkStates(watch::Receiver<LinkState>);

impl LinkStates {
    pub(crate) fn new(states: watch::Receiver<LinkState>) -> Self {
        Self(states)
    }

    /// How the link is now.
    #[must_use]
    pub fn current(&self) -> LinkState {
        self.0.borrow().clone()
    }

    /// Waits until it is different, and says how. Of several changes since the last call the last one counts. `None`: the client
    /// has stopped.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, no change is missed.
    pub async fn changed(&mut self) -> Option<LinkState> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}

/// What an event of the link makes of its state.
pub(crate) fn after(event: &LinkEvent) -> Option<LinkState> {
    match event {
        LinkEvent::Suspended(outage) | LinkEvent::Waiting(outage) => {
            Some(LinkState::Interrupted(outage.clone()))
        }
        LinkEvent::Resumed => Some(LinkState::Resumed),
        LinkEvent::Rebound(address) => Some(LinkState::Bound(address.clone())),
        // An event that this version does not know changes nothing that it can name.
        LinkEvent::Envelope(_) | _ => None,
    }
}
