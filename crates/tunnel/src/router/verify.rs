//! Verification, passed on to the session of a tunnel.

use std::time::Instant;

use xtls_session::{Compare, Run, Session, VerifyError};
use xtls_stanza::verify::Reason;
use zeroize::Zeroizing;

use super::{Router, TunnelId, answers};

impl Router {
    /// The person here wants to verify the peer of a tunnel: begins a run, or takes part in the one that the peer asks for.
    /// No two runs of one router have one name.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn verify(
        &mut self,
        now: Instant,
        id: TunnelId,
        compare: Compare,
    ) -> Result<Run, VerifyError> {
        let seed = self.fresh_secret();
        self.in_session(now, id, VerifyError::NotOpen, |session, now| {
            session.verify(now, compare, seed)
        })
    }

    /// The person here says yes to exactly this run of [`Verify::Asked`](xtls_session::Verify::Asked).
    ///
    /// # Errors
    /// See [`VerifyError`]. With a tunnel its runs have ended, here and below.
    pub fn verify_join(
        &mut self,
        now: Instant,
        id: TunnelId,
        run: Run,
        compare: Compare,
    ) -> Result<(), VerifyError> {
        let seed = self.fresh_secret();
        self.in_session(now, id, VerifyError::Stale(run), |session, now| {
            session.verify_join(now, run, compare, seed)
        })
    }

    /// The attempt is counted: the run may begin.
    ///
    /// # Errors
    /// [`VerifyError::Stale`] and [`VerifyError::NotDue`].
    pub fn verify_go(&mut self, now: Instant, id: TunnelId, run: Run) -> Result<(), VerifyError> {
        self.in_session(now, id, VerifyError::Stale(run), |session, now| {
            session.verify_go(now, run)
        })
    }

    /// The words of this run are the same.
    ///
    /// # Errors
    /// [`VerifyError::Stale`] and [`VerifyError::NotDue`].
    pub fn verify_agree(
        &mut self,
        now: Instant,
        id: TunnelId,
        run: Run,
    ) -> Result<(), VerifyError> {
        self.in_session(now, id, VerifyError::Stale(run), |session, now| {
            session.verify_agree(now, run)
        })
    }

    /// Ends a run, or declines one.
    ///
    /// # Errors
    /// [`VerifyError::Stale`].
    pub fn verify_cancel(
        &mut self,
        now: Instant,
        id: TunnelId,
        run: Run,
        reason: Reason,
    ) -> Result<(), VerifyError> {
        self.in_session(now, id, VerifyError::Stale(run), |session, now| {
            session.verify_cancel(now, run, reason)
        })
    }

    fn fresh_secret(&mut self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(answers::fresh_seed(&mut self.random))
    }

    fn in_session<T>(
        &mut self,
        now: Instant,
        id: TunnelId,
        ended: VerifyError,
        call: impl FnOnce(&mut Session, Instant) -> Result<T, VerifyError>,
    ) -> Result<T, VerifyError> {
        let now = self.clock.read(now);
        let called = call(self.running(id).ok_or(ended)?, now)?;
        self.mark_and_pump(now, id);
        Ok(called)
    }
}
