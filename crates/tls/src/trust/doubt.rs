//! Keys that did not stand a comparison.

use std::{fmt, sync::Arc};

use super::{Level, Method, day, map::Map};
use crate::fingerprint::Fingerprint;

/// Marks that are kept for one JID. Each has cost an attempt, of which there are few a day; beyond this number, those by a
/// code go first, and then the oldest.
pub const MAX_DOUBTS: usize = 16;

/// JIDs that marks are kept for. Beyond this number, the one that was marked longest ago goes.
pub const MAX_DOUBTED: usize = 1_024;

/// A mark on one key of one JID: it was compared, and what was compared was not the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Doubt {
    /// The key.
    pub fingerprint: Fingerprint,
    /// By what it was compared.
    pub by: Method,
    /// When, in unix seconds.
    pub since: i64,
}

impl Doubt {
    /// A mark. `now` is in unix seconds.
    #[must_use]
    pub fn new(fingerprint: Fingerprint, by: Method, now: i64) -> Self {
        Self {
            fingerprint,
            by,
            since: now,
        }
    }

    /// Whether the key is refused in every session. What only a code speaks against may be a slip of the keyboard: a session
    /// with such a key comes as far as another verification, and no further.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.by {
            Method::Words | Method::Fingerprint => true,
            Method::Code => false,
        }
    }

    /// Whether a key that comes to this level is doubted no more.
    pub(super) fn yields_to(&self, level: Level) -> bool {
        match level {
            Level::FirstUse => false,
            Level::Verified(Method::Words | Method::Code) => !self.is_final(),
            Level::Verified(Method::Fingerprint) | Level::Revoked => true,
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, day) = (&self.fingerprint, day::Day(self.since));
        match self.by {
            Method::Words => write!(f, "{key} (the words differed on {day})"),
            Method::Code => write!(f, "{key} (a code did not fit on {day})"),
            Method::Fingerprint => write!(f, "{key} (the fingerprint differed on {day})"),
        }
    }
}

/// All marks, by the bare JIDs whose keys they are on.
#[derive(Clone, Default)]
pub(super) struct Doubts(Map<Arc<str>, Vec<Doubt>>);

impl Doubts {
    /// Marks a key. A mark by words stays one by words.
    pub(super) fn mark(&mut self, bare: Arc<str>, mark: Doubt) {
        let mut doubts = self.of(&bare).to_vec();
        let same = |doubt: &&mut Doubt| doubt.fingerprint == mark.fingerprint;
        match doubts.iter_mut().find(same) {
            Some(doubt) if doubt.is_final() && !mark.is_final() => {}
            Some(doubt) => *doubt = mark,
            None => {
                if doubts.len() >= MAX_DOUBTS {
                    let slip = doubts.iter().position(|doubt| !doubt.is_final());
                    doubts.remove(slip.unwrap_or_default());
                }
                doubts.push(mark);
            }
        }
        self.0.insert(bare, doubts);
        if self.0.iter().count() > MAX_DOUBTED {
            let latest = |doubts: &[Doubt]| doubts.iter().map(|doubt| doubt.since).max();
            let oldest = self.0.iter().min_by_key(|(_, doubts)| latest(doubts));
            if let Some(jid) = oldest.map(|(jid, _)| Arc::clone(jid)) {
                self.0.remove(&*jid);
            }
        }
    }

    /// The mark on a key.
    pub(super) fn find(&self, bare: &str, key: &Fingerprint) -> Option<&Doubt> {
        let mut doubts = self.of(bare).iter();
        doubts.find(|doubt| doubt.fingerprint == *key)
    }

    /// Removes the mark from a key; returns whether there was one.
    pub(super) fn clear(&mut self, bare: &str, key: &Fingerprint) -> bool {
        if self.find(bare, key).is_none() {
            return false;
        }
        if let Some(doubts) = self.0.get_mut(bare) {
            doubts.retain(|doubt| doubt.fingerprint != *key);
            if doubts.is_empty() {
                self.0.remove(bare);
            }
        }
        true
    }

    /// Removes the marks from all keys of a JID.
    pub(super) fn clear_all(&mut self, bare: &str) {
        self.0.remove(bare);
    }

    pub(super) fn of(&self, bare: &str) -> &[Doubt] {
        self.0.get(bare).map_or(&[], Vec::as_slice)
    }

    /// Puts these in place of the marks of a JID.
    pub(super) fn set(&mut self, bare: &Arc<str>, doubts: Vec<Doubt>) {
        if doubts.is_empty() {
            self.0.remove(&**bare);
        } else {
            self.0.insert(Arc::clone(bare), doubts);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &[Doubt])> {
        let doubts = self.0.iter();
        doubts.map(|(jid, doubts)| (jid, doubts.as_slice()))
    }

    pub(super) fn differences(&self, other: &Self) -> Vec<Arc<str>> {
        self.0.differences(&other.0)
    }
}

impl fmt::Debug for Doubts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
