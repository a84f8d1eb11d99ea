//! Whom the router lets in: the pins, and the owner's word where they have none.

use std::sync::Arc;
use std::time::Instant;

use xtls_session::Verdict;
use xtls_tls::Fingerprint;
use xtls_tls::trust::{Policy, Store};

use super::Router;
use super::event::{Gone, JudgeError, TunnelId};

impl Router {
    /// The pins that sessions begun from now on are judged by.
    pub fn set_trust(&mut self, trust: Arc<Store>) {
        self.config.trust = trust;
    }

    /// What to do with keys that are not pinned.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.config.policy
    }

    /// Gives the owner's word on [`What::Judge`](super::What::Judge), about exactly this key of this tunnel.
    ///
    /// # Errors
    /// See [`JudgeError`]. Nothing has changed then.
    pub fn judge(
        &mut self,
        now: Instant,
        id: TunnelId,
        key: Fingerprint,
        verdict: Verdict,
    ) -> Result<(), JudgeError> {
        let now = self.clock.read(now);
        let session = self.running(id).ok_or(Gone)?;
        session.judge(now, key, verdict)?;
        self.touch(now, id);
        Ok(())
    }

    /// Whether a verdict on this key of this tunnel would be taken now: to be asked before a pin is written for it.
    ///
    /// # Errors
    /// Why it would not be.
    pub fn awaits_verdict(&self, id: TunnelId, key: Fingerprint) -> Result<(), JudgeError> {
        let tunnel = self.tunnels.get(&id).ok_or(Gone)?;
        Ok(tunnel.running().ok_or(Gone)?.awaits_verdict(key)?)
    }
}
