//! Verification, passed on to the session of a tunnel.

use std::time::Instant;

use xtls_session::{Compare, VerifyError};
use xtls_stanza::verify::Reason;
use zeroize::Zeroizing;

use super::{Router, TunnelId, answers};

impl Router {
    /// The person here wants to verify the peer of a tunnel, or says yes to [`Verify::Asked`](xtls_session::Verify::Asked).
    ///
    /// # Errors
    /// See [`VerifyError`]. Nothing was said to the peer then.
    pub fn verify(
        &mut self,
        now: Instant,
        id: TunnelId,
        compare: Compare,
    ) -> Result<(), VerifyError> {
        let now = self.clock.read(now);
        let seed = Zeroizing::new(answers::fresh_seed(&mut self.random));
        let session = self.running(id);
        session
            .ok_or(VerifyError::NotOpen)?
            .verify(now, compare, seed)?;
        self.touch(now, id);
        Ok(())
    }

    /// The attempt is counted: it may begin. A tunnel that has ended meanwhile is no error, here and below.
    pub fn verify_go(&mut self, now: Instant, id: TunnelId) {
        self.with_session(now, id, |session, now| session.verify_go(now));
    }

    /// The words are the same.
    pub fn verify_agree(&mut self, now: Instant, id: TunnelId) {
        self.with_session(now, id, |session, now| session.verify_agree(now));
    }

    /// Ends a verification, or declines one.
    pub fn verify_cancel(&mut self, now: Instant, id: TunnelId, reason: Reason) {
        self.with_session(now, id, |session, now| session.verify_cancel(now, reason));
    }

    fn with_session(
        &mut self,
        now: Instant,
        id: TunnelId,
        call: impl FnOnce(&mut xtls_session::Session, Instant),
    ) {
        let now = self.clock.read(now);
        if let Some(session) = self.running(id) {
            call(session, now);
            self.touch(now, id);
        }
    }
}
