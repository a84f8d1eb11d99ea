//! One pinned key.

use std::fmt;

use super::{Level, Method, day};
use crate::fingerprint::Fingerprint;

/// One key of one JID.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pin {
    /// The key.
    pub fingerprint: Fingerprint,
    /// How far it is trusted.
    pub level: Level,
    /// When it was pinned, in unix seconds.
    pub first_seen: i64,
    /// When it came to its level, in unix seconds: verified last, or revoked; never before `first_seen`.
    pub since: i64,
    /// When it was last met in a session, in unix seconds; never before `first_seen`. `None` if it never was.
    pub last_seen: Option<i64>,
}

impl Pin {
    pub(super) fn new(fingerprint: Fingerprint, level: Level, now: i64) -> Self {
        Self {
            fingerprint,
            level,
            first_seen: now,
            since: now,
            last_seen: is_met(level).then_some(now),
        }
    }

    pub(super) fn meet(&mut self, now: i64) {
        let last = self.last_seen.unwrap_or(self.first_seen);
        self.last_seen = Some(last.max(now));
    }

    /// Raises the level, which never falls; what is verified is verified by the latest method.
    pub(super) fn raise(&mut self, level: Level, now: i64) {
        if is_met(level) {
            self.meet(now);
        }
        if level > Level::FirstUse && self.level != Level::Revoked {
            self.level = level;
            self.since = self.first_seen.max(now);
        }
    }

    /// The day on which it was accepted without a comparison, if it has not been compared since.
    pub(super) fn first_use(&self) -> Option<i64> {
        (self.level == Level::FirstUse).then(|| day::number(self.first_seen))
    }
}

/// Whether a key comes to this level in a session of its own.
fn is_met(level: Level) -> bool {
    match level {
        Level::FirstUse | Level::Verified(Method::Words | Method::Code) => true,
        Level::Verified(Method::Fingerprint) | Level::Revoked => false,
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.fingerprint, self.level)?;
        match self.level {
            Level::FirstUse => {}
            Level::Verified(_) | Level::Revoked => write!(f, " on {}", day::Day(self.since))?,
        }
        write!(f, ", first seen {}", day::Day(self.first_seen))?;
        match self.last_seen {
            Some(last) => write!(f, ", last seen {})", day::Day(last)),
            None => f.write_str(", never met)"),
        }
    }
}
