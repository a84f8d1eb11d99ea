//! How often verification may be tried: a guess that no one notices must not be free.

use std::fmt;
use std::sync::Arc;

use super::{PinError, map::Map};

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

/// The attempts of all peers that are remembered, by their bare JIDs.
#[derive(Clone, Default)]
pub(super) struct Attempts(Map<Arc<str>, Vec<Attempt>>);

impl Attempts {
    /// Counts an attempt, before it is made; returns how many more may fail after this one.
    pub(super) fn begin(
        &mut self,
        bare: Arc<str>,
        tag: Option<u16>,
        now: i64,
    ) -> Result<usize, PinError> {
        self.age(now);
        let failed = self.failed(&bare);
        let mut attempts = self.of(&bare).to_vec();
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
        self.0.insert(bare, attempts);
        Ok(MAX_ATTEMPTS - failed - 1)
    }

    /// Forgets what is too old to count.
    fn age(&mut self, now: i64) {
        let peers: Vec<_> = self.jids().map(Arc::clone).collect();
        for peer in peers {
            let Some(attempts) = self.0.get_mut(&*peer) else {
                continue;
            };
            for attempt in attempts.iter_mut() {
                // A clock that was set back must not make an attempt last for years.
                attempt.at = attempt.at.min(now);
            }
            attempts.retain(|attempt| now.saturating_sub(attempt.at) < ATTEMPT_LIFE);
            if attempts.is_empty() {
                self.0.remove(&*peer);
            }
        }
    }

    /// Those that failed or were broken off.
    pub(super) fn failed(&self, bare: &str) -> usize {
        let attempts = self.of(bare).iter();
        attempts.filter(|attempt| attempt.failed).count()
    }

    /// Those that there were count no more. The codes stay known: one that has served must not serve again.
    pub(super) fn forgive(&mut self, bare: &str) {
        for attempt in self.0.get_mut(bare).into_iter().flatten() {
            attempt.failed = false;
        }
    }

    pub(super) fn of(&self, bare: &str) -> &[Attempt] {
        self.0.get(bare).map_or(&[], Vec::as_slice)
    }

    /// Puts these in place of what is remembered of a peer.
    pub(super) fn set(&mut self, bare: &Arc<str>, attempts: Vec<Attempt>) {
        if attempts.is_empty() {
            self.0.remove(&**bare);
        } else {
            self.0.insert(Arc::clone(bare), attempts);
        }
    }

    pub(super) fn jids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().map(|(jid, _)| jid)
    }

    pub(super) fn differences(&self, other: &Self) -> Vec<Arc<str>> {
        self.0.differences(&other.0)
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
