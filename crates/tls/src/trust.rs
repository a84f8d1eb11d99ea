//! Whose key is whose: a store like OpenSSH's `known_hosts`, in memory, with a text form.
//!
//! Pure: no files, no locks, no clock (dates are unix seconds passed in). The rules are here, though, and cannot be bypassed:
//! a pin is never overwritten, a key belongs to one JID, a revoked key stays refused, and verifying is not tried without end.

mod attempts;
mod day;
mod error;
mod format;

use std::{collections::BTreeMap, fmt};

pub use attempts::{ATTEMPT_LIFE, MAX_ATTEMPTS};
pub use day::Day;
pub use error::{PinError, TrustError};
pub use format::{StoreError, StoreRule};

use crate::{
    fingerprint::Fingerprint,
    jid::{self, JidError},
};
use attempts::Attempt;

/// How a key was compared with what its owner says.
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
    /// Never to be accepted again, from anybody.
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

/// What is done about a key that nobody pinned, of a JID that has no key.
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
    /// When it was last met, in unix seconds; never before `first_seen`.
    pub last_seen: i64,
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.fingerprint, self.level)?;
        match self.level {
            Level::FirstUse => {}
            Level::Verified(_) | Level::Revoked => write!(f, " on {}", Day(self.since))?,
        }
        let (first, last) = (Day(self.first_seen), Day(self.last_seen));
        write!(f, ", first seen {first}, last seen {last})")
    }
}

/// What the store says about a key that claims to be a JID's.
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
}

/// The pins of one account: bare JID → keys; and the latest attempts to verify them.
///
/// JIDs are given in any ASCII case and kept in lower case. Both `Debug` and the text form hold public data only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    pins: BTreeMap<String, Vec<Pin>>,
    attempts: BTreeMap<String, Vec<Attempt>>,
}

impl Store {
    /// A store that knows nobody.
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
            .map(|(jid, pins)| (jid.as_str(), pins.as_slice()))
    }

    /// The keys of `jid`, oldest pin first; empty when it is unknown or not a bare JID.
    #[must_use]
    pub fn of(&self, jid: &str) -> &[Pin] {
        jid::bare(jid)
            .ok()
            .and_then(|jid| self.pins.get(&jid))
            .map_or(&[], Vec::as_slice)
    }

    /// What is known about `key` as a key of `jid`.
    #[must_use]
    pub fn judge(&self, jid: &str, key: &Fingerprint) -> Judgement<'_> {
        let mut own = None;
        let mut other = None;
        let jid = jid::bare(jid).unwrap_or_default();
        for (owner, pins) in &self.pins {
            let Some(pin) = pins.iter().find(|pin| pin.fingerprint == *key) else {
                continue;
            };
            if pin.level == Level::Revoked {
                return Judgement::Revoked;
            }
            if *owner == jid {
                own = Some(pin);
            } else {
                other = Some(owner);
            }
        }
        match (other, own, self.pins.get(&jid)) {
            (Some(owner), _, _) => Judgement::KeyOfAnother(owner),
            (None, Some(pin), _) => Judgement::Pinned(pin),
            (None, None, Some(_)) if planted!("changed-key-is-new") => Judgement::Unknown,
            (None, None, Some(pins)) => Judgement::Changed(pins),
            (None, None, None) => Judgement::Unknown,
        }
    }

    /// Pins `key` for `jid`, or raises the level of the same key; never lowers it and never touches another key. A key
    /// that is verified again is verified by the new method since `now`.
    ///
    /// `now` is in unix seconds. [`Level::Revoked`] revokes, as [`revoke`](Self::revoke) does.
    ///
    /// # Errors
    /// [`PinError::KnownJid`] when the JID has other keys only (revoked ones count), [`PinError::KeyOfAnother`],
    /// [`PinError::Revoked`] and [`PinError::Jid`]. Nothing is changed then.
    pub fn pin(
        &mut self,
        jid: &str,
        key: Fingerprint,
        level: Level,
        now: i64,
    ) -> Result<(), PinError> {
        self.add(jid, key, level, now, false)
    }

    /// Pins one more key for a JID that has keys already: a second device, said so by the user.
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
    /// [`PinError::Jid`] and [`PinError::KeyOfAnother`].
    pub fn revoke(&mut self, jid: &str, key: Fingerprint, now: i64) -> Result<(), PinError> {
        self.add(jid, key, Level::Revoked, now, true)
    }

    /// Notes that `key` of `jid` was met at `now` (unix seconds). Says whether it is pinned and not revoked.
    pub fn touch(&mut self, jid: &str, key: &Fingerprint, now: i64) -> bool {
        let pins = jid::bare(jid).ok().and_then(|jid| self.pins.get_mut(&jid));
        let live = |pin: &&mut Pin| pin.fingerprint == *key && pin.level != Level::Revoked;
        pins.and_then(|pins| pins.iter_mut().find(live))
            .map(|pin| pin.last_seen = pin.last_seen.max(now))
            .is_some()
    }

    /// Drops all keys of `jid` except revoked ones; says how many.
    ///
    /// When nothing else is left the JID is unknown again, and first use is possible.
    pub fn forget(&mut self, jid: &str) -> usize {
        self.retain(jid, |pin| pin.level == Level::Revoked)
    }

    /// Drops exactly this key of `jid`, even when it is revoked; says whether it was there.
    pub fn forget_key(&mut self, jid: &str, key: &Fingerprint) -> bool {
        self.retain(jid, |pin| pin.fingerprint != *key) > 0
    }

    fn retain(&mut self, jid: &str, keep: impl Fn(&Pin) -> bool) -> usize {
        let Ok(jid) = jid::bare(jid) else { return 0 };
        let Some(pins) = self.pins.get_mut(&jid) else {
            return 0;
        };
        let before = pins.len();
        pins.retain(keep);
        let dropped = before - pins.len();
        if pins.is_empty() {
            self.pins.remove(&jid);
        }
        dropped
    }

    fn add(
        &mut self,
        jid: &str,
        key: Fingerprint,
        level: Level,
        now: i64,
        another: bool,
    ) -> Result<(), PinError> {
        let bare = jid::bare(jid).map_err(|why: JidError| PinError::Jid {
            jid: jid.to_owned(),
            why,
        })?;
        if let Some((owner, _)) = self
            .list()
            .find(|(owner, pins)| *owner != bare && pins.iter().any(|pin| pin.fingerprint == key))
        {
            return Err(PinError::KeyOfAnother {
                jid: bare,
                owner: owner.to_owned(),
                key,
            });
        }
        let pins = self.pins.entry(bare).or_default();
        if let Some(pin) = pins.iter_mut().find(|pin| pin.fingerprint == key) {
            if pin.level == Level::Revoked && level != Level::Revoked {
                return Err(PinError::Revoked {
                    jid: jid.to_owned(),
                    key,
                });
            }
            pin.last_seen = pin.last_seen.max(now);
            if level > Level::FirstUse && pin.level != Level::Revoked {
                pin.level = level;
                pin.since = pin.first_seen.max(now);
            }
            return Ok(());
        }
        let closed = !another || level == Level::FirstUse;
        if !pins.is_empty() && closed && !planted!("pin-overwritten") {
            return Err(PinError::KnownJid {
                jid: jid.to_owned(),
                known: pins.clone(),
                key,
            });
        }
        pins.push(Pin {
            fingerprint: key,
            level,
            first_seen: now,
            since: now,
            last_seen: now,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
