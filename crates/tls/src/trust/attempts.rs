//! How often verification may be tried: a guess that no one notices must not be free.

use std::sync::Arc;

use super::{Method, PinError, Store, normal};
use crate::Fingerprint;

/// How many attempts to verify one peer may fail, or be broken off after the commitment, within [`ATTEMPT_LIFE`].
pub const MAX_ATTEMPTS: usize = 3;

/// How long an attempt is remembered, in seconds: a day.
pub const ATTEMPT_LIFE: i64 = 86_400;

/// Attempts of one peer that are remembered; older ones are forgotten first. Successful ones are among them.
const MAX_KEPT: usize = 16;

/// A run of a verification that went as far as the commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    /// When it began, in unix seconds.
    pub(super) at: i64,
    /// It has not succeeded; every attempt begins so, so that a crash counts as well.
    pub(super) failed: bool,
    /// Sixteen bits of a hash of its code. See [`Code::tag`](crate::verify::Code::tag).
    pub(super) tag: Option<u16>,
}

impl Store {
    /// Counts an attempt to verify a key of `jid`, before it is made; returns how many more may fail after this one. `tag` is
    /// that of the code, if there is one; `now` is in unix seconds.
    ///
    /// # Errors
    /// [`PinError::Locked`] after [`MAX_ATTEMPTS`] in [`ATTEMPT_LIFE`], [`PinError::UsedCode`] for a code that has served in
    /// that time (or, once in 65 536 times, for another one), and [`PinError::Jid`]. Nothing is counted then.
    pub fn attempt(&mut self, jid: &str, tag: Option<u16>, now: i64) -> Result<usize, PinError> {
        let bare: Arc<str> = normal(jid)?.into();
        let peers: Vec<_> = self
            .attempts
            .iter()
            .map(|(jid, _)| Arc::clone(jid))
            .collect();
        for peer in peers {
            let Some(attempts) = self.attempts.get_mut(&*peer) else {
                continue;
            };
            for attempt in attempts.iter_mut() {
                // A clock that was set back must not make an attempt last for years.
                attempt.at = attempt.at.min(now);
            }
            attempts.retain(|attempt| now.saturating_sub(attempt.at) < ATTEMPT_LIFE);
            if attempts.is_empty() {
                self.attempts.remove(&*peer);
            }
        }

        let failed = self.failed(jid);
        let mut attempts = self.attempts.get(&*bare).cloned().unwrap_or_default();
        if failed >= MAX_ATTEMPTS {
            let last = attempts.last().map_or(now, |last| last.at);
            return Err(PinError::Locked {
                jid: bare.to_string(),
                failed,
                last,
            });
        }
        if tag.is_some() && attempts.iter().any(|earlier| earlier.tag == tag) {
            return Err(PinError::UsedCode {
                jid: bare.to_string(),
            });
        }
        if attempts.len() >= MAX_KEPT {
            // The oldest that does not count: those that do are fewer than are kept.
            if let Some(at) = attempts.iter().position(|attempt| !attempt.failed) {
                attempts.remove(at);
            }
        }
        attempts.push(Attempt {
            at: now,
            failed: true,
            tag,
        });
        self.attempts.insert(bare, attempts);
        Ok(MAX_ATTEMPTS - failed - 1)
    }

    /// Attempts to verify `jid` that failed or were broken off, as far as they are remembered.
    #[must_use]
    pub fn failed(&self, jid: &str) -> usize {
        let attempts = normal(jid).ok().and_then(|jid| self.attempts.get(&*jid));
        attempts.map_or(0, |attempts| {
            attempts.iter().filter(|one| one.failed).count()
        })
    }

    /// Pins `key` as verified by `method`, and lets the attempts before it count no more, nor what a code said against it: one
    /// step.
    ///
    /// `key` must be that of the handshake in which the verification ran; `now` is in unix seconds.
    ///
    /// # Errors
    /// As [`pin`](Self::pin). Nothing is changed then.
    pub fn verified(
        &mut self,
        jid: &str,
        key: Fingerprint,
        method: Method,
        now: i64,
    ) -> Result<(), PinError> {
        self.pin(jid, key, super::Level::Verified(method), now)?;
        // The codes stay known: one that has served must not serve again.
        if let Some(attempts) = self.attempts.get_mut(&*normal(jid)?) {
            for attempt in attempts {
                attempt.failed = false;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
