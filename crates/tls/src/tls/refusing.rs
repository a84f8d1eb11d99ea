//! Peers that are turned away after their handshake.

use bytes::BufMut as _;

use super::Tls;
use crate::{alert::Alert, error::TlsError, reject, trust::TrustError, verifier::Standing};

impl Tls {
    /// Ends the connection because of who the peer is, and tells it: what was written before, then `access_denied`
    /// (RFC 8446 §6.2). It is over with [`TlsError::Rejected`].
    ///
    /// Before the end of the handshake and after [`close`](Self::close) it is as if `close` were called.
    pub fn reject(&mut self) {
        if self.peer.is_none() || self.closed || self.failure.is_some() {
            self.close();
            return;
        }
        self.last_word(Alert::ACCESS_DENIED);
        self.failure = Some(TlsError::Rejected);
    }

    /// What the pins say of the peer's key now: they may have changed since the handshake.
    ///
    /// # Errors
    /// A new connection would be refused for this. `None` while the peer is not known.
    pub fn judge_again(&self) -> Option<Result<Standing, TrustError>> {
        let peer = self.peer.as_ref()?;
        Some(self.checks.verifier().judge_again(peer))
    }

    /// The last record of this connection says `alert`, behind all that was written. After our close_notify nothing does.
    pub(super) fn last_word(&mut self, alert: Alert) {
        self.seal();
        self.collect();
        let connection = self.connection.take().filter(|_| !self.closed);
        let last = connection.and_then(|connection| reject::last_word(connection, alert));
        self.out.put_slice(&last.unwrap_or_default());
    }
}
