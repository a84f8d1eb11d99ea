//! When something runs out in a tunnel: each has one moment at most.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::event::TunnelId;

/// The next moment of each tunnel that has one.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    deadlines: BTreeSet<(Instant, TunnelId)>,
    scheduled: BTreeMap<TunnelId, Instant>,
}

impl Schedule {
    /// It runs out then in this tunnel, or never.
    pub(super) fn set(&mut self, id: TunnelId, at: Option<Instant>) {
        if self.scheduled.get(&id).copied() == at {
            return;
        }
        if let Some(old) = self.scheduled.remove(&id) {
            self.deadlines.remove(&(old, id));
        }
        if let Some(at) = at {
            self.scheduled.insert(id, at);
            self.deadlines.insert((at, id));
        }
    }

    /// Two tunnels have exchanged their names, and what runs out in them.
    pub(super) fn swap(&mut self, [one, other]: [TunnelId; 2]) {
        let at = [one, other].map(|id| self.scheduled.get(&id).copied());
        for (id, at) in [other, one].into_iter().zip(at) {
            self.set(id, at);
        }
    }

    /// The first of them, and where.
    pub(super) fn first(&self) -> Option<(Instant, TunnelId)> {
        self.deadlines.first().copied()
    }

    /// The next one that has passed, once.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<TunnelId> {
        let (_, id) = self.first().filter(|(at, _)| *at <= now)?;
        self.deadlines.pop_first();
        self.scheduled.remove(&id);
        Some(id)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.deadlines.len() + self.scheduled.len()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_runs_out_in_two_tunnels_goes_with_their_names() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let [one, other] = [TunnelId(1), TunnelId(2)];
        let mut schedule = Schedule::default();
        schedule.set(one, Some(now));
        schedule.swap([one, other]);
        assert_eq!(schedule.first(), Some((now, other)));
        schedule.set(one, Some(later));
        schedule.swap([one, other]);
        assert_eq!(schedule.next_due(later), Some(one));
        assert_eq!(schedule.next_due(later), Some(other));
        assert_eq!(schedule.len(), 0);
    }
}
