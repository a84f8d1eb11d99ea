//! Whose key is whose: a store like OpenSSH's `known_hosts`, in memory, with a text form.
//!
//! Pure: no files, no locks, no clock (dates are unix seconds passed in). The rules are here, though, and cannot be bypassed:
//! a pin is never overwritten, a key belongs to one JID, a revoked key stays refused, a key that did not stand a comparison is
//! not accepted as if nothing had happened, and verifying is not tried without end.

mod attempts;
mod current;
mod day;
mod doubt;
mod error;
mod format;
mod map;
mod pin;

use std::{fmt, sync::Arc};

pub use attempts::{ATTEMPT_LIFE, MAX_ATTEMPTS};
pub use current::Current;
pub use day::Day;
pub use doubt::{Doubt, MAX_DOUBTED, MAX_DOUBTS};
pub use error::{PinError, TrustError};
pub use format::{Ledger, StoreError, StoreRule};
pub use pin::Pin;

use crate::{
    fingerprint::Fingerprint,
    jid::{self, JidError},
};
use attempts::Attempt;
use map::Map;

/// How a key was compared with its owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Method {
    /// By its whole fingerprint, over another channel.
    Fingerprint,
    /// By short words inside the tunnel.
    Words,
    /// By one shared code inside the tunnel.
    Code,
}

/// How far a key is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Seen at the first contact and never compared: protects later sessions only.
    FirstUse,
    /// Compared by people.
    Verified(Method),
    /// Never to be accepted again, from anyone.
    Revoked,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstUse => "first use",
            Self::Verified(Method::Fingerprint) => "verified by fingerprint",
            Self::Verified(Method::Words) => "verified by words",
            Self::Verified(Method::Code) => "verified by code",
            Self::Revoked => "revoked",
        })
    }
}

/// What to do about an unpinned key of a JID that has no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Policy {
    /// Accepted as [`New`](crate::Standing::New); the caller asks its user before anything is delivered.
    #[default]
    Ask,
    /// Accepted as [`New`](crate::Standing::New); the caller pins it as [`Level::FirstUse`] without asking.
    Tofu,
    /// Refused.
    Pinned,
}

/// How the store judges a key that claims to be a JID's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement<'a> {
    /// This key is pinned for this JID, and not revoked.
    Pinned(&'a Pin),
    /// Neither the JID nor the key is known.
    Unknown,
    /// The JID is known, with other keys only.
    Changed(&'a [Pin]),
    /// The key is pinned for another JID.
    KeyOfAnother(&'a str),
    /// The key is revoked, for this JID or another.
    Revoked,
    /// The key was compared for this JID, and what was compared was not the same. It may be pinned all the same.
    Doubted(&'a Doubt),
}

/// The pins of one account: bare JID → keys; what did not stand a comparison; and the latest attempts to compare.
///
/// JIDs are given in any ASCII case and kept in lower case. Both `Debug` and the text form hold public data only. A copy
/// shares with its original what the two have in common, and every look-up takes logarithmic time.
#[derive(Clone)]
pub struct Store {
    pins: Map<Arc<str>, Vec<Pin>>,
    /// Whose key it is, of every pin.
    owners: Map<Fingerprint, Arc<str>>,
    doubts: Map<Arc<str>, Vec<Doubt>>,
    attempts: Map<Arc<str>, Vec<Attempt>>,
    /// Keys that were pinned on first use, by the day.
    first_uses: Map<i64, usize>,
    first_use_limit: usize,
}

/// Keys that a store accepts on first use in a day (UTC), unless set otherwise.
pub const FIRST_USES: usize = 1_000;

impl Default for Store {
    fn default() -> Self {
        Self {
            pins: Map::default(),
            owners: Map::default(),
            doubts: Map::default(),
            attempts: Map::default(),
            first_uses: Map::default(),
            first_use_limit: FIRST_USES,
        }
    }
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`StoreError`] with the line: an unknown version, a truncated, changed, unsorted or contradictory text, and an empty
    /// one. Damage never yields a smaller store.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        format::parse(text)
    }

    /// Writes the text form; equal stores give equal texts.
    #[must_use]
    pub fn to_text(&self) -> String {
        format::write(self)
    }

    /// All JIDs with their keys, in order of their octets.
    pub fn list(&self) -> impl Iterator<Item = (&str, &[Pin])> {
        self.pins
            .iter()
            .map(|(jid, pins)| (&**jid, pins.as_slice()))
    }

    /// The keys of `jid`, oldest pin first; empty when it is unknown or not a bare JID.
    #[must_use]
    pub fn of(&self, jid: &str) -> &[Pin] {
        jid::bare(jid)
            .ok()
            .and_then(|jid| self.pins.get(&*jid))
            .map_or(&[], Vec::as_slice)
    }

    /// What is known about `key` as a key of `jid`.
    #[must_use]
    pub fn judge(&self, jid: &str, key: &Fingerprint) -> Judgement<'_> {
        let jid = jid::bare(jid).unwrap_or_default();
        let owner = self.owners.get(key);
        let pins = owner.and_then(|owner| self.pins.get(&**owner));
        let pin = pins.and_then(|pins| pins.iter().find(|pin| pin.fingerprint == *key));
        if pin.is_some_and(|pin| pin.level == Level::Revoked) {
            return Judgement::Revoked;
        }
        if let Some(owner) = owner.filter(|owner| ***owner != *jid) {
            return Judgement::KeyOfAnother(owner);
        }
        let known = self.pins.get(&*jid);
        match (self.doubt(&jid, key), pin, known) {
            // A peer that is known by other keys is not verified by a code for this one.
            (Some(doubt), pin, known) if pin.is_some() || known.is_none() || doubt.is_final() => {
                Judgement::Doubted(doubt)
            }
            (_, Some(pin), _) => Judgement::Pinned(pin),
            (_, None, Some(pins)) => Judgement::Changed(pins),
            (_, None, None) => Judgement::Unknown,
        }
    }

    /// Pins `key` for `jid`, or raises the level of the same key; never lowers it and never touches another key. A key
    /// that is verified again is verified by the new method since `now`. A key that is compared by its fingerprint is
    /// doubted no more.
    ///
    /// `now` is in unix seconds. [`Level::Revoked`] revokes, as [`revoke`](Self::revoke) does.
    ///
    /// # Errors
    /// [`PinError::KnownJid`] when the JID has other keys only (revoked ones count), [`PinError::KeyOfAnother`],
    /// [`PinError::Revoked`], [`PinError::Doubted`], [`PinError::FirstUses`] and [`PinError::Jid`]. Nothing is changed then.
    pub fn pin(
        &mut self,
        jid: &str,
        key: Fingerprint,
        level: Level,
        now: i64,
    ) -> Result<(), PinError> {
        self.add(jid, key, level, now, false)
    }

    /// Pins one more key for a JID that has keys already: a second device, as the user confirmed.
    ///
    /// # Errors
    /// As [`pin`](Self::pin), but other keys do not matter unless `level` is [`Level::FirstUse`]: a further key of a known
    /// JID is never accepted on first use.
    pub fn pin_another(
        &mut self,
        jid: &str,
        key: Fingerprint,
        level: Level,
        now: i64,
    ) -> Result<(), PinError> {
        self.add(jid, key, level, now, true)
    }

    /// Refuses `key` for ever, whether it was known or not.
    ///
    /// `jid` is whose it was. The JID stays known: its next key must be pinned explicitly.
    ///
    /// # Errors
    /// [`PinError::Jid`] and [`PinError::KeyOfAnother`]; [`PinError::Revoked`] where it is revoked as another's already.
    pub fn revoke(&mut self, jid: &str, key: Fingerprint, now: i64) -> Result<(), PinError> {
        self.add(jid, key, Level::Revoked, now, true)
    }

    /// Sets how many keys are taken on first use in a day (UTC). Default [`FIRST_USES`]. Whoever takes keys of strangers
    /// without asking lets servers make them up, and each stays.
    pub fn limit_first_uses(&mut self, most: usize) {
        self.first_use_limit = most;
    }

    /// Notes that `key` of `jid` was met at `now` (unix seconds). Says whether it is pinned and not revoked.
    pub fn touch(&mut self, jid: &str, key: &Fingerprint, now: i64) -> bool {
        let live = |pin: &&mut Pin| pin.fingerprint == *key && pin.level != Level::Revoked;
        let pins = jid::bare(jid).ok().and_then(|jid| self.pins.get_mut(&*jid));
        pins.and_then(|pins| pins.iter_mut().find(live))
            .map(|pin| pin.meet(now))
            .is_some()
    }

    /// Drops all keys of `jid` except revoked ones, and all doubts about them; returns how many keys.
    ///
    /// When nothing else is left the JID is unknown again, and first use is possible.
    pub fn forget(&mut self, jid: &str) -> usize {
        if let Ok(jid) = jid::bare(jid) {
            self.doubts.remove(&*jid);
        }
        self.retain(jid, |pin| pin.level == Level::Revoked)
    }

    /// Drops exactly this key of `jid`, even when it is revoked, and the doubt about it; returns whether it was there.
    pub fn forget_key(&mut self, jid: &str, key: &Fingerprint) -> bool {
        let doubted = self.clear(jid, key);
        self.retain(jid, |pin| pin.fingerprint != *key) > 0 || doubted
    }

    /// The JIDs about which the two stores differ, in order of their octets. What they share is not looked at.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Arc<str>> {
        let mut jids = self.pins.differences(&other.pins);
        jids.extend(self.doubts.differences(&other.doubts));
        jids.extend(self.attempts.differences(&other.attempts));
        jids.sort_unstable();
        jids.dedup();
        jids
    }

    fn retain(&mut self, jid: &str, keep: impl Fn(&Pin) -> bool) -> usize {
        let Ok(jid) = jid::bare(jid) else { return 0 };
        let Some(pins) = self.pins.get(&*jid) else {
            return 0;
        };
        let (kept, dropped): (Vec<Pin>, Vec<Pin>) = pins.iter().cloned().partition(|pin| keep(pin));
        let count = dropped.len();
        if count > 0 {
            self.set_pins(&jid.into(), kept);
        }
        count
    }

    /// The one place where pins change: what follows from them is kept in step.
    fn set_pins(&mut self, jid: &Arc<str>, pins: Vec<Pin>) {
        let before = self.pins.remove(&**jid).unwrap_or_default();
        for pin in &before {
            self.owners.remove(&pin.fingerprint);
            if let Some(day) = pin.first_use()
                && let Some(count) = self.first_uses.get_mut(&day)
            {
                *count = count.saturating_sub(1);
            }
        }
        for pin in &pins {
            self.owners.insert(pin.fingerprint, Arc::clone(jid));
            if let Some(day) = pin.first_use() {
                let count = self.first_uses.get(&day).copied().unwrap_or_default();
                self.first_uses.insert(day, count.saturating_add(1));
            }
        }
        if !pins.is_empty() {
            self.pins.insert(Arc::clone(jid), pins);
        }
    }

    fn add(
        &mut self,
        jid: &str,
        key: Fingerprint,
        level: Level,
        now: i64,
        another: bool,
    ) -> Result<(), PinError> {
        let bare: Arc<str> = normal(jid)?.into();
        let owner = self.owners.get(&key);
        let of_owner = owner.and_then(|owner| self.pins.get(&**owner));
        let revoked = of_owner.is_some_and(|pins| {
            let revoked = |pin: &Pin| pin.fingerprint == key && pin.level == Level::Revoked;
            pins.iter().any(revoked)
        });
        if let Some(owner) = owner {
            let (jid, owner) = (bare.to_string(), owner.to_string());
            let others = jid != owner;
            if revoked && (others || level != Level::Revoked) {
                return Err(PinError::Revoked { jid, owner, key });
            }
            if others {
                return Err(PinError::KeyOfAnother { jid, owner, key });
            }
        }
        if let Some(doubt) = self.doubt(&bare, &key)
            && !doubt.yields_to(level)
        {
            return Err(PinError::Doubted {
                jid: bare.to_string(),
                doubt: *doubt,
            });
        }
        let mut pins = self.pins.get(&*bare).cloned().unwrap_or_default();
        if let Some(pin) = pins.iter_mut().find(|pin| pin.fingerprint == key) {
            pin.raise(level, now);
        } else {
            let closed = !another || level == Level::FirstUse;
            if !pins.is_empty() && closed {
                return Err(PinError::KnownJid {
                    jid: bare.to_string(),
                    known: pins,
                    key,
                });
            }
            self.count_first_use(level, now)?;
            pins.push(Pin::new(key, level, now));
        }
        self.clear(&bare, &key);
        self.set_pins(&bare, pins);
        Ok(())
    }

    fn count_first_use(&self, level: Level, now: i64) -> Result<(), PinError> {
        let today = self.first_uses.get(&day::number(now)).copied();
        if level == Level::FirstUse && today.unwrap_or_default() >= self.first_use_limit {
            return Err(PinError::FirstUses {
                limit: self.first_use_limit,
            });
        }
        Ok(())
    }
}

/// By what they say, and not by what they take on.
impl PartialEq for Store {
    fn eq(&self, other: &Self) -> bool {
        self.differences(other).is_empty()
    }
}

impl Eq for Store {}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("pins", &self.pins)
            .field("doubts", &self.doubts)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

fn normal(jid: &str) -> Result<String, PinError> {
    jid::bare(jid).map_err(|why: JidError| PinError::Jid {
        jid: jid.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests;
