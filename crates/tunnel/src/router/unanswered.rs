//! Opens of ours that the router gives up when they have no answer in time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::transports::Leg;

/// Streams by the moment at which they are given up.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    until: BTreeMap<Leg, Instant>,
    order: BTreeSet<(Instant, Leg)>,
}

impl Unanswered {
    pub(super) fn add(&mut self, leg: Leg, until: Instant) {
        self.until.insert(leg, until);
        self.order.insert((until, leg));
    }

    pub(super) fn remove(&mut self, leg: Leg) {
        if let Some(until) = self.until.remove(&leg) {
            self.order.remove(&(until, leg));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out one whose time is over.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Leg> {
        let &(at, leg) = self.order.first()?;
        (at <= now).then(|| self.remove(leg))?;
        Some(leg)
    }
}
