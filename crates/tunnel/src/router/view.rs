//! One tunnel at one moment, as quinn's streams are seen through their connection.

use std::time::Instant;

use bytes::Bytes;
use xtls_session::{Compare, Mode, Run, Verdict, VerifyError};
use xtls_stanza::Stanza;
use xtls_stanza::verify::Reason;
use xtls_tls::Fingerprint;
use xtls_tls::trust::TrustError;

use super::event::{Gone, JudgeError, SendError, TunnelId};
use super::{Router, Stats};

/// A tunnel that has not ended, and the moment of the calls on it. [`Router::tunnel`] gives one.
///
/// The same rules hold as for the calls of the router that name a tunnel: after it, poll for stanzas and events.
#[derive(Debug)]
pub struct TunnelMut<'a> {
    router: &'a mut Router,
    now: Instant,
    id: TunnelId,
}

impl Router {
    /// A tunnel, to do something with it now.
    ///
    /// # Errors
    /// It has ended.
    pub fn tunnel(&mut self, now: Instant, id: TunnelId) -> Result<TunnelMut<'_>, Gone> {
        if !self.tunnels.contains_key(&id) {
            return Err(Gone);
        }
        let router = self;
        Ok(TunnelMut { router, now, id })
    }
}

impl TunnelMut<'_> {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> TunnelId {
        self.id
    }

    /// See [`Router::stats`].
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.router.stats(self.id).unwrap_or_default()
    }

    /// See [`Router::mode`].
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.router.mode(self.id)
    }

    /// Sends a stanza.
    ///
    /// # Errors
    /// See [`Router::send`].
    pub fn send(&mut self, stanza: &Stanza) -> Result<(), SendError> {
        self.router.send(self.now, self.id, stanza)
    }

    /// Writes bytes, as many as there is room for, and says how many.
    ///
    /// # Errors
    /// See [`Router::write`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, SendError> {
        self.router.write(self.now, self.id, bytes)
    }

    /// Reads at most `max` bytes; see [`Router::read`].
    pub fn read(&mut self, max: usize) -> Option<Bytes> {
        self.router.read(self.now, self.id, max)
    }

    /// Says whether its events are not taken now; see [`Router::hold`].
    pub fn hold(&mut self, hold: bool) {
        self.router.hold(self.now, self.id, hold);
    }

    /// Keying material that only the two ends know; see [`Router::export`].
    ///
    /// # Errors
    /// Before the verdict and after the end of the session.
    pub fn export(&mut self, label: &str, context: &[u8], out: &mut [u8]) -> Result<(), SendError> {
        self.router.export(self.id, label, context, out)
    }

    /// Ends our direction; see [`Router::finish`].
    pub fn finish(&mut self) {
        self.router.finish(self.now, self.id);
    }

    /// Everything before [`TunnelEvent::PeerFinished`](super::TunnelEvent::PeerFinished) has been taken; see [`Router::took`].
    pub fn took(&mut self) {
        self.router.took(self.now, self.id);
    }

    /// Ends it in order, each step within the configured time; see [`Router::close`].
    pub fn close(self) {
        self.router.close(self.now, self.id);
    }

    /// Ends a byte tunnel in order after these last bytes, for which there need not be room.
    ///
    /// # Errors
    /// See [`Router::close_after`]. The tunnel goes on then.
    pub fn close_after(self, last: &[u8]) -> Result<(), SendError> {
        self.router.close_after(self.now, self.id, last)
    }

    /// Ends it in order for an owner that will not look at the outcome; see [`Router::leave`].
    pub fn leave(self) {
        self.router.leave(self.now, self.id);
    }

    /// Ends it at once. The peer sees a truncation.
    pub fn abort(self) {
        self.router.abort(self.now, self.id);
    }

    /// Answers [`TunnelEvent::Asked`](super::TunnelEvent::Asked); see [`Router::admit`].
    pub fn admit(&mut self, yes: bool) {
        self.router.admit(self.now, self.id, yes);
    }

    /// Answers [`TunnelEvent::Judge`](super::TunnelEvent::Judge), about exactly this key.
    ///
    /// # Errors
    /// See [`JudgeError`]. Nothing has changed then.
    pub fn judge(&mut self, key: Fingerprint, verdict: Verdict) -> Result<(), JudgeError> {
        self.router.judge(self.now, self.id, key, verdict)
    }

    /// Ends it because its peer's key is not to be trusted.
    pub fn distrust(self, why: TrustError) {
        self.router.distrust(self.now, self.id, why);
    }

    /// Begins a verification, or joins the one that the peer asks for; see [`Router::verify`].
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn verify(&mut self, compare: Compare) -> Result<Run, VerifyError> {
        self.router.verify(self.now, self.id, compare)
    }

    /// Joins exactly this run; see [`Router::verify_join`].
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn verify_join(&mut self, run: Run, compare: Compare) -> Result<(), VerifyError> {
        self.router.verify_join(self.now, self.id, run, compare)
    }

    /// The attempt is counted: the run may begin.
    ///
    /// # Errors
    /// [`VerifyError::Stale`] and [`VerifyError::NotDue`].
    pub fn verify_go(&mut self, run: Run) -> Result<(), VerifyError> {
        self.router.verify_go(self.now, self.id, run)
    }

    /// The words of this run are the same.
    ///
    /// # Errors
    /// [`VerifyError::Stale`] and [`VerifyError::NotDue`].
    pub fn verify_agree(&mut self, run: Run) -> Result<(), VerifyError> {
        self.router.verify_agree(self.now, self.id, run)
    }

    /// Ends a run, or declines one.
    ///
    /// # Errors
    /// [`VerifyError::Stale`].
    pub fn verify_cancel(&mut self, run: Run, reason: Reason) -> Result<(), VerifyError> {
        self.router.verify_cancel(self.now, self.id, run, reason)
    }
}
