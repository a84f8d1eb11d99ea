//! What a link reports.

use std::time::Duration;

use xtls_stanza::{Address, Envelope};

use crate::cause::Cause;

/// What comes out of a link to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are envelopes"
)]
#[non_exhaustive]
pub enum LinkEvent {
    /// A stanza, from anyone.
    Envelope(Envelope),
    /// The connection is interrupted; what is sent meanwhile waits. Nothing is lost yet.
    Suspended(Outage),
    /// Another attempt to get it back has failed.
    Waiting(Outage),
    /// The connection is back and nothing was lost (XEP-0198).
    Resumed,
    /// The connection is back under this address, and everything in flight is lost: no tunnel survives it.
    Rebound(Address),
}

/// Why there is no connection, and what is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outage {
    /// Why the connection was lost, or the last attempt failed.
    pub why: Cause,
    /// How long until the next attempt.
    pub retry: Duration,
    /// How long until the link is given up.
    pub give_up: Duration,
}

impl Outage {
    /// An outage.
    pub fn new(why: impl Into<Cause>, retry: Duration, give_up: Duration) -> Self {
        let why = why.into();
        Self {
            why,
            retry,
            give_up,
        }
    }
}

/// Why a link has ended for good. What made it end is its [`source`](std::error::Error::source).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The connection broke and could not be had again.
    #[error("the link to the server is lost")]
    Lost(#[source] Cause),
    /// The server said something that XMPP does not allow here.
    #[error("the server broke the protocol")]
    Protocol(#[source] Cause),
    /// Another client uses, or has taken, this full address.
    #[error("the address {0} is in use by another client")]
    Conflict(String),
    /// The server does not let you in any more.
    #[error("the server refuses the account")]
    Refused(#[source] Cause),
    /// The link was closed at this end.
    #[error("the link was closed at this end")]
    Closed,
}

impl LinkError {
    /// The link is lost, by an error or in a sentence.
    pub fn lost(why: impl Into<Cause>) -> Self {
        Self::Lost(why.into())
    }
}
