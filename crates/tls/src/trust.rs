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
mod pins;

use std::{collections::BTreeMap, fmt, sync::Arc};

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
use attempts::{Attempt, Attempts};
use doubt::Doubts;
use format::Record;
use pins::Pins;

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
    pins: Pins,
    doubts: Doubts,
    attempts: Attempts,
    first_use_limit: usize,
}

/// Keys that a store accepts on first use in a day (UTC), unless set otherwise.
pub const FIRST_USES: usize = 1_000;

impl Default for Store {
    fn default() -> Self {
        Self {
            pins: Pins::default(),
            doubts: Doubts::default(),
            attempts: Attempts::default(),
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
        self.pins.iter().map(|(jid, pins)| (&**jid, pins))
    }

    /// The keys of `jid`, oldest pin first; empty when it is unknown or not a bare JID.
    #[must_use]
    pub fn of(&self, jid: &str) -> &[Pin] {
        jid::bare(jid).map_or(&[], |jid| self.pins.of(&jid))
    }

    /// What is known about `key` as a key of `jid`.
    #[must_use]
    pub fn judge(&self, jid: &str, key: &Fingerprint) -> Judgement<'_> {
        let jid = jid::bare(jid).unwrap_or_default();
        let found = self.pins.find(key);
        if found.is_some_and(|(_, pin)| pin.level == Level::Revoked) {
            return Judgement::Revoked;
        }
        if let Some((owner, _)) = found.filter(|(owner, _)| ***owner != *jid) {
            return Judgement::KeyOfAnother(owner);
        }
        let pin = found.map(|(_, pin)| pin);
        let known = Some(self.pins.of(&jid)).filter(|pins| !pins.is_empty());
        match (self.doubts.find(&jid, key), pin, known) {
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
        jid::bare(jid).is_ok_and(|jid| self.pins.meet(&jid, key, now))
    }

    /// Drops all keys of `jid` except revoked ones, and all doubts about them; returns how many keys.
    ///
    /// When nothing else is left the JID is unknown again, and first use is possible.
    pub fn forget(&mut self, jid: &str) -> usize {
        let Ok(jid) = jid::bare(jid) else { return 0 };
        self.doubts.clear_all(&jid);
        self.pins.retain(&jid, |pin| pin.level == Level::Revoked)
    }

    /// Drops exactly this key of `jid`, even when it is revoked, and the doubt about it; returns whether it was there.
    pub fn forget_key(&mut self, jid: &str, key: &Fingerprint) -> bool {
        let Ok(jid) = jid::bare(jid) else {
            return false;
        };
        let doubted = self.doubts.clear(&jid, key);
        self.pins.retain(&jid, |pin| pin.fingerprint != *key) > 0 || doubted
    }

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
        let bare = normal(jid)?;
        self.doubts.mark(bare.into(), Doubt::new(key, by, now));
        Ok(())
    }

    /// The marks on keys of `jid`, oldest first.
    #[must_use]
    pub fn doubts(&self, jid: &str) -> &[Doubt] {
        jid::bare(jid).map_or(&[], |jid| self.doubts.of(&jid))
    }

    /// All JIDs with marks, in order of their octets.
    pub fn doubted(&self) -> impl Iterator<Item = (&str, &[Doubt])> {
        self.doubts.iter().map(|(jid, doubts)| (&**jid, doubts))
    }

    /// Counts an attempt to verify a key of `jid`, before it is made; returns how many more may fail after this one. `tag` is
    /// that of the code, if there is one; `now` is in unix seconds.
    ///
    /// # Errors
    /// [`PinError::Locked`] after [`MAX_ATTEMPTS`] in [`ATTEMPT_LIFE`], [`PinError::UsedCode`] for a code that has served in
    /// that time (or, once in 65 536 times, for another one), and [`PinError::Jid`]. Nothing is counted then.
    pub fn attempt(&mut self, jid: &str, tag: Option<u16>, now: i64) -> Result<usize, PinError> {
        self.attempts.begin(normal(jid)?.into(), tag, now)
    }

    /// Attempts to verify `jid` that failed or were broken off, as far as they are remembered.
    #[must_use]
    pub fn failed(&self, jid: &str) -> usize {
        jid::bare(jid).map_or(0, |jid| self.attempts.failed(&jid))
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
        self.pin(jid, key, Level::Verified(method), now)?;
        self.attempts.forgive(&normal(jid)?);
        Ok(())
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

    /// All JIDs of which anything is known, in order of their octets.
    fn jids(&self) -> Vec<&Arc<str>> {
        let mut jids: Vec<&Arc<str>> = self.pins.iter().map(|(jid, _)| jid).collect();
        jids.extend(self.doubts.iter().map(|(jid, _)| jid));
        jids.extend(self.attempts.jids());
        jids.sort_unstable();
        jids.dedup();
        jids
    }

    /// All that is known of one JID.
    fn known(&self, bare: &str) -> (&[Pin], &[Doubt], &[Attempt]) {
        let (pins, doubts) = (self.pins.of(bare), self.doubts.of(bare));
        (pins, doubts, self.attempts.of(bare))
    }

    /// Takes records in, each in place of what was known of its JID. `None`, and the store is good for nothing, if a key is
    /// pinned twice then.
    fn apply(&mut self, records: BTreeMap<Arc<str>, Record>) -> Option<()> {
        // First all that goes, so that a key may pass from one to the other.
        for jid in records.keys() {
            self.pins.set(jid, Vec::new());
        }
        for (jid, record) in records {
            let (pins, doubts, attempts) = record.into_parts();
            for (at, pin) in pins.iter().enumerate() {
                let same = |other: &Pin| other.fingerprint == pin.fingerprint;
                if self.pins.find(&pin.fingerprint).is_some() || pins.iter().take(at).any(same) {
                    return None;
                }
            }
            self.pins.set(&jid, pins);
            self.doubts.set(&jid, doubts);
            self.attempts.set(&jid, attempts);
        }
        Some(())
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
        if let Some((owner, pin)) = self.pins.find(&key) {
            let (jid, owner) = (bare.to_string(), owner.to_string());
            let others = jid != owner;
            if pin.level == Level::Revoked && (others || level != Level::Revoked) {
                return Err(PinError::Revoked { jid, owner, key });
            }
            if others {
                return Err(PinError::KeyOfAnother { jid, owner, key });
            }
        }
        if let Some(doubt) = self.doubts.find(&bare, &key)
            && !doubt.yields_to(level)
        {
            return Err(PinError::Doubted {
                jid: bare.to_string(),
                doubt: *doubt,
            });
        }
        let mut pins = self.pins.of(&bare).to_vec();
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
        self.doubts.clear(&bare, &key);
        self.pins.set(&bare, pins);
        Ok(())
    }

    fn count_first_use(&self, level: Level, now: i64) -> Result<(), PinError> {
        if level == Level::FirstUse && self.pins.first_uses(now) >= self.first_use_limit {
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
