//! Whether the peer's key is let in: the owner's word on it, and what the pins say meanwhile.

use std::time::Instant;

use xtls_tls::trust::TrustError;
use xtls_tls::{Fingerprint, Standing};

use super::{Phase, Session};
use crate::event::{By, JudgeError, Verdict, Why};

impl Session {
    /// The owner's word on [`Event::Judge`](crate::Event::Judge), about exactly this key.
    ///
    /// # Errors
    /// See [`JudgeError`].
    pub fn judge(
        &mut self,
        now: Instant,
        key: Fingerprint,
        verdict: Verdict,
    ) -> Result<(), JudgeError> {
        self.awaits_verdict(key, verdict)?;
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

    /// The pins have changed: the peer's key is judged by them as that of a new session would be, and if it is refused, the
    /// session ends as [`Untrusted`](Why::Untrusted). A key that is not pinned any more, and that a new session would only
    /// ask about, stays. A handshake that is under way is judged when it is finished, as ever.
    pub fn trust_changed(&mut self, now: Instant) {
        let judged = match &mut self.phase {
            Phase::Judging { doubted, .. } => {
                let judged = self.tls.judge_again();
                *doubted = matches!(judged, Some(Ok(Standing::Doubted(_))));
                judged
            }
            // Nothing but a new verification is open to a key that a code has spoken against.
            Phase::Open { .. } => match (self.tls.judge_again(), self.tls.peer()) {
                (Some(Ok(Standing::Doubted(doubt))), Some(_)) => {
                    let peer = self.binding.peer.bare().to_owned();
                    Some(Err(TrustError::Doubted { peer, doubt }))
                }
                (judged, _) => judged,
            },
            Phase::Handshaking { .. } | Phase::Ending(_) | Phase::Closed => None,
        };
        if let Some(Err(why)) = judged {
            self.distrust(now, why);
        }
    }

    /// Ends the session because its peer's key is not to be trusted: nothing more of it is handed out, and the peer gets the
    /// alert of a refusal. Nothing happens before the peer's key is proven, and after the end.
    pub fn distrust(&mut self, now: Instant, why: TrustError) {
        if !matches!(self.phase, Phase::Judging { .. } | Phase::Open { .. }) {
            return;
        }
        self.now = now;
        self.tls.reject();
        self.last_words_by = now.checked_add(self.config.close);
        self.end(By::Us, Why::Untrusted(Box::new(why)));
    }

    /// Whether the session has ended, or is ending, because its peer's key is not to be trusted.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        matches!(&self.phase, Phase::Ending(close) if matches!(close.why, Why::Untrusted(_)))
    }

    /// Whether a key waits for a verdict.
    #[must_use]
    pub fn is_judging(&self) -> bool {
        matches!(self.phase, Phase::Judging { .. })
    }

    /// Until when an alert that is the last word waits for the transport.
    #[must_use]
    pub fn last_words(&self) -> Option<Instant> {
        let waits = matches!(self.phase, Phase::Ending(_)) && !self.gone;
        self.last_words_by.filter(|_| waits)
    }

    /// Whether this verdict on this key would be taken now.
    ///
    /// # Errors
    /// Why it would not be.
    pub fn awaits_verdict(&self, key: Fingerprint, verdict: Verdict) -> Result<(), JudgeError> {
        let Phase::Judging { doubted, .. } = self.phase else {
            return Err(JudgeError::NotDue);
        };
        match self.tls.peer().map(|peer| peer.fingerprint) {
            Some(presented) if presented != key => Err(JudgeError::OtherKey(presented)),
            Some(_) if doubted && verdict == Verdict::Accept => Err(JudgeError::Doubted),
            Some(_) => Ok(()),
            None => Err(JudgeError::NotDue),
        }
    }
}
