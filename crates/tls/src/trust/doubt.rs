//! Keys that did not stand a comparison.

use std::{fmt, sync::Arc};

use super::{Level, Method, PinError, Store, day, normal};
use crate::{fingerprint::Fingerprint, jid};

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

impl Store {
    /// Marks `key` as one that did not stand a comparison with `jid`, whether it is pinned or not: it is refused until it is
    /// pinned by its fingerprint, revoked or forgotten; or, if only a code spoke against it, until it is verified. `now` is
    /// in unix seconds. A mark by words stays one by words.
    ///
    /// # Errors
    /// [`PinError::Jid`].
    pub fn doubt_key(
        &mut self,
        jid: &str,
        key: Fingerprint,
        by: Method,
        now: i64,
    ) -> Result<(), PinError> {
        let bare: Arc<str> = normal(jid)?.into();
        let mut doubts = self.doubts.get(&*bare).cloned().unwrap_or_default();
        let mark = Doubt::new(key, by, now);
        match doubts.iter_mut().find(|doubt| doubt.fingerprint == key) {
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
        self.doubts.insert(bare, doubts);
        if self.doubts.iter().count() > MAX_DOUBTED {
            let latest = |doubts: &[Doubt]| doubts.iter().map(|doubt| doubt.since).max();
            let oldest = self.doubts.iter().min_by_key(|(_, doubts)| latest(doubts));
            if let Some(jid) = oldest.map(|(jid, _)| Arc::clone(jid)) {
                self.doubts.remove(&*jid);
            }
        }
        Ok(())
    }

    /// The marks on keys of `jid`, oldest first.
    #[must_use]
    pub fn doubts(&self, jid: &str) -> &[Doubt] {
        let jid = jid::bare(jid).ok();
        let doubts = jid.and_then(|jid| self.doubts.get(&*jid));
        doubts.map_or(&[], Vec::as_slice)
    }

    /// All JIDs with marks, in order of their octets.
    pub fn doubted(&self) -> impl Iterator<Item = (&str, &[Doubt])> {
        let doubts = self.doubts.iter();
        doubts.map(|(jid, doubts)| (&**jid, doubts.as_slice()))
    }

    pub(super) fn doubt(&self, bare: &str, key: &Fingerprint) -> Option<&Doubt> {
        let doubts = self.doubts.get(bare)?;
        doubts.iter().find(|doubt| doubt.fingerprint == *key)
    }

    /// Removes the mark from a key; returns whether there was one.
    pub(super) fn clear(&mut self, jid: &str, key: &Fingerprint) -> bool {
        let Ok(bare) = jid::bare(jid) else {
            return false;
        };
        if self.doubt(&bare, key).is_none() {
            return false;
        }
        if let Some(doubts) = self.doubts.get_mut(&*bare) {
            doubts.retain(|doubt| doubt.fingerprint != *key);
            if doubts.is_empty() {
                self.doubts.remove(&*bare);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
