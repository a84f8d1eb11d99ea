//! The link to one's own server, as the driver sees it: stanzas in, stanzas out.

mod address;

use std::future::Future;

#[cfg(feature = "xmpp")]
pub(crate) use self::address::is_raw;
pub use self::address::{NotAnAddress, normalise};
use xtls_stanza::{Address, Envelope};

/// A bound XMPP connection, or something that behaves like one.
///
/// The driver owns it and is the only caller. Back-pressure is the absence of room: [`send`](Self::send) waits, and an
/// `Uplink` that nobody reads stops reading from the network.
pub trait Uplink: Send {
    /// The full address under which the server knows us. It changes only by [`Inbound::Rebound`].
    fn bound(&self) -> &Address;

    /// The longest stanza in bytes that the server says it takes (XEP-0478). It changes only by [`Inbound::Rebound`].
    ///
    /// A link around another one hands this on. By default nothing is said.
    fn stanza_limit(&self) -> Option<usize> {
        None
    }

    /// The next thing that happened.
    ///
    /// Cancel-safe: nothing is lost when the future is dropped before it is ready.
    ///
    /// # Errors
    /// The link has ended for good. Every later call returns the same error.
    fn next(&mut self) -> impl Future<Output = Result<Inbound, LinkError>> + Send;

    /// Queues one stanza, waiting for room. Its sender's address is the server's to set, so `from` is not sent.
    ///
    /// A future that is dropped before it is ready has sent nothing. Success means queued: the server may never see it.
    ///
    /// # Errors
    /// The link has ended for good.
    fn send(&mut self, envelope: Envelope) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Sends what is queued, tells the server good-bye and frees the resource. It always ends, within seconds.
    ///
    /// # Errors
    /// The link had been lost before, or was lost before everything queued was sent.
    fn close(self) -> impl Future<Output = Result<(), LinkError>> + Send
    where
        Self: Sized,
    {
        async move {
            drop(self);
            Ok(())
        }
    }
}

/// What comes out of an [`Uplink`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are envelopes"
)]
pub enum Inbound {
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
    #[error("the address {0} is in use by another client; choose another resource with --resource")]
    Conflict(String),
    /// The server does not let us in any more.
    #[error("the server refuses the account: {0}")]
    Refused(String),
    /// The link was closed at this end.
    #[error("the link was closed at this end")]
    Closed,
}
