//! The link to one's own server, as the driver sees it: stanzas in, stanzas out.

use std::future::Future;

use xtls_stanza::{Address, Envelope};

pub use xtls_link::{Inbound, LinkError};
pub use xtls_stanza::normalise::{NotAnAddress, normalise};

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

#[cfg(feature = "xmpp")]
impl Uplink for xtls_link::XmppLink {
    fn bound(&self) -> &Address {
        self.bound()
    }

    fn stanza_limit(&self) -> Option<usize> {
        self.stanza_limit()
    }

    async fn next(&mut self) -> Result<Inbound, LinkError> {
        self.next().await
    }

    async fn send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        self.send(envelope).await
    }

    async fn close(self) -> Result<(), LinkError> {
        self.close().await
    }
}
