//! The pinned keys of all JIDs, and what follows from them.

use std::{fmt, sync::Arc};

use super::{Level, Pin, day, map::Map};
use crate::fingerprint::Fingerprint;

/// All pins, by the bare JIDs whose keys they are. A key is pinned once only.
#[derive(Clone, Default)]
pub(super) struct Pins {
    pins: Map<Arc<str>, Vec<Pin>>,
    /// Whose key it is, of every pin.
    owners: Map<Fingerprint, Arc<str>>,
    /// Keys that were pinned on first use, by the day.
    first_uses: Map<i64, usize>,
}

impl Pins {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &[Pin])> {
        self.pins.iter().map(|(jid, pins)| (jid, pins.as_slice()))
    }

    /// The keys of a JID; empty when it is unknown.
    pub(super) fn of(&self, bare: &str) -> &[Pin] {
        self.pins.get(bare).map_or(&[], Vec::as_slice)
    }

    /// Whose key it is, and its pin.
    pub(super) fn find(&self, key: &Fingerprint) -> Option<(&Arc<str>, &Pin)> {
        let owner = self.owners.get(key)?;
        let mut pins = self.of(owner).iter();
        Some((owner, pins.find(|pin| pin.fingerprint == *key)?))
    }

    /// Notes that a key was met. Says whether it is pinned for this JID and not revoked.
    pub(super) fn meet(&mut self, bare: &str, key: &Fingerprint, now: i64) -> bool {
        let live = |pin: &&mut Pin| pin.fingerprint == *key && pin.level != Level::Revoked;
        let mut pins = self.pins.get_mut(bare).into_iter().flatten();
        pins.find(live).map(|pin| pin.meet(now)).is_some()
    }

    /// How many keys were pinned on first use on the day of `now`.
    pub(super) fn first_uses(&self, now: i64) -> usize {
        let uses = self.first_uses.get(&day::number(now));
        uses.copied().unwrap_or_default()
    }

    /// Drops the keys of a JID that are not to stay; returns how many.
    pub(super) fn retain(&mut self, bare: &str, stays: impl Fn(&Pin) -> bool) -> usize {
        let (kept, dropped): (Vec<Pin>, Vec<Pin>) =
            self.of(bare).iter().cloned().partition(|pin| stays(pin));
        if !dropped.is_empty() {
            self.set(&bare.into(), kept);
        }
        dropped.len()
    }

    /// The one place where pins change: what follows from them is kept in step.
    pub(super) fn set(&mut self, bare: &Arc<str>, pins: Vec<Pin>) {
        let before = self.pins.remove(&**bare).unwrap_or_default();
        for pin in &before {
            self.owners.remove(&pin.fingerprint);
            if let Some(day) = pin.first_use()
                && let Some(count) = self.first_uses.get_mut(&day)
            {
                *count = count.saturating_sub(1);
            }
        }
        for pin in &pins {
            self.owners.insert(pin.fingerprint, Arc::clone(bare));
            if let Some(day) = pin.first_use() {
                let count = self.first_uses.get(&day).copied().unwrap_or_default();
                self.first_uses.insert(day, count.saturating_add(1));
            }
        }
        if !pins.is_empty() {
            self.pins.insert(Arc::clone(bare), pins);
        }
    }

    /// The JIDs whose pins differ.
    pub(super) fn differences(&self, other: &Self) -> Vec<Arc<str>> {
        self.pins.differences(&other.pins)
    }
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pins.fmt(f)
    }
}
