//! Whether the peer's key is let in: the owner's word on it.

use std::time::Instant;

use xtls_tls::Fingerprint;

use super::{Phase, Session};
use crate::event::{By, JudgeError, Verdict, Why};

impl Session {
    /// The owner's word on [`Event::Judge`], about exactly this key.
    ///
    /// # Errors
    /// See [`JudgeError`].
    pub fn judge(
        &mut self,
        now: Instant,
        key: Fingerprint,
        verdict: Verdict,
    ) -> Result<(), JudgeError> {
        self.awaits_verdict(key)?;
        self.now = now;
        match verdict {
            Verdict::Accept => {
                self.open();
                self.advance(now);
            }
            Verdict::Refuse => {
                self.tls.reject();
                self.last_words_by = now.checked_add(self.config.close);
                self.end(By::Us, Why::Refused);
            }
        }
        Ok(())
    }

    /// Whether a verdict on this key would be taken now.
    ///
    /// # Errors
    /// Why it would not be.
    pub fn awaits_verdict(&self, key: Fingerprint) -> Result<(), JudgeError> {
        let presented = self.tls.peer().map(|peer| peer.fingerprint);
        let judging = matches!(self.phase, Phase::Judging { .. });
        match presented.filter(|_| judging) {
            Some(presented) if presented == key => Ok(()),
            Some(presented) => Err(JudgeError::OtherKey(presented)),
            None => Err(JudgeError::NotDue),
        }
    }
}
