//! What a link reports.

use xtls_stanza::{Address, Envelope};

/// What comes out of a link to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are envelopes"
)]
pub enum LinkEvent {
    /// A stanza, from anyone.
    Envelope(Envelope),
    /// The connection is interrupted; what is sent meanwhile waits. Nothing is lost yet.
    Suspended,
    /// The connection is back and nothing was lost (XEP-0198).
    Resumed,
    /// The connection is back under this address, and everything in flight is lost: no tunnel survives it.
    Rebound(Address),
}

/// Why a link has ended for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The connection broke and could not be had again.
    #[error("the link to the server is lost: {0}")]
    Lost(String),
    /// The server said something that XMPP does not allow here.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// Another client uses, or has taken, this full address.
    #[error("the address {0} is in use by another client")]
    Conflict(String),
    /// The server does not let us in any more.
    #[error("the server refuses the account: {0}")]
    Refused(String),
    /// The link was closed at this end.
    #[error("the link was closed at this end")]
    Closed,
}
