//! Places that have failed a tunnel: when to go there again.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use xtls_stanza::s5b::Host;

/// From each loss of a place to when it is tried again; after the last one it is not.
const AGAIN: [Duration; 3] = [
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];
/// A relay that has as many streams of ours as it allows is left alone for so long.
const LIMITED: Duration = Duration::from_secs(600);
/// Places that are remembered.
const MAX_HOSTS: usize = 16;

/// A host and a port.
pub(crate) type Spot = (Host, NonZeroU16);

#[derive(Debug)]
struct Failing {
    spot: Spot,
    losses: usize,
    /// When it may be tried again.
    until: Option<Instant>,
    /// It will be, by ourselves.
    again: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Hosts {
    failing: Vec<Failing>,
}

impl Hosts {
    fn change(&mut self, spot: &Spot, change: impl FnOnce(&mut Failing)) {
        let at = self
            .failing
            .iter()
            .position(|failing| failing.spot == *spot);
        let mut failing = match at {
            Some(at) => self.failing.remove(at),
            None => Failing {
                spot: spot.clone(),
                losses: 0,
                until: None,
                again: false,
            },
        };
        change(&mut failing);
        if self.failing.len() >= MAX_HOSTS {
            self.failing.remove(0);
        }
        self.failing.push(failing);
    }

    /// A leg that went through it has broken off, or it was tried again in vain.
    pub(crate) fn lost(&mut self, now: Instant, spot: &Spot) {
        self.change(spot, |failing| {
            failing.until = AGAIN.get(failing.losses).map(|pause| now + *pause);
            failing.losses += 1;
            failing.again = true;
        });
    }

    /// It has no room for us.
    pub(crate) fn limited(&mut self, now: Instant, spot: &Spot) {
        self.change(spot, |failing| {
            failing.until = Some(now + LIMITED);
            failing.again = false;
        });
    }

    /// It is slower than what was there before it: once is enough.
    pub(crate) fn slow(&mut self, spot: &Spot) {
        self.change(spot, |failing| {
            failing.until = None;
            failing.losses = AGAIN.len();
        });
    }

    /// Whether it is left alone for now.
    pub(crate) fn excludes(&self, now: Instant, spot: &Spot) -> bool {
        let failing = self.failing.iter().find(|failing| failing.spot == *spot);
        failing.is_some_and(|failing| failing.until.is_none_or(|until| now < until))
    }

    /// An attempt has found nothing better: those that were due in it have failed again.
    pub(crate) fn failed(&mut self, now: Instant) {
        let due = |failing: &&Failing| failing.again && failing.until.is_some_and(|at| at <= now);
        let due: Vec<Spot> = self
            .failing
            .iter()
            .filter(due)
            .map(|failing| failing.spot.clone())
            .collect();
        for spot in due {
            self.lost(now, &spot);
        }
    }

    /// When one of those that were lost is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        let again = self.failing.iter().filter(|failing| failing.again);
        again.filter_map(|failing| failing.until).min()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    fn spot(port: u16) -> Spot {
        (
            Host::new("relay.example").unwrap(),
            NonZeroU16::new(port).unwrap(),
        )
    }

    #[test]
    fn a_place_that_was_lost_is_tried_again_three_times_and_no_more() {
        let mut now = Instant::now();
        let mut hosts = Hosts::default();
        assert!(!hosts.excludes(now, &spot(1)));
        hosts.lost(now, &spot(1));
        for seconds in [30, 120, 600] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(hosts.due(), Some(now + pause));
            assert!(hosts.excludes(now + pause - Duration::from_millis(1), &spot(1)));
            hosts.failed(now);
            assert_eq!(hosts.due(), Some(now + pause), "it was not tried");
            now += pause;
            assert!(!hosts.excludes(now, &spot(1)));
            hosts.failed(now);
        }
        assert_eq!(hosts.due(), None);
        assert!(hosts.excludes(now + Duration::from_secs(86_400), &spot(1)));
        assert!(
            !hosts.excludes(now, &spot(2)),
            "another one is no part of it"
        );
    }

    #[test]
    fn one_that_is_full_or_slow_is_not_tried_by_ourselves() {
        let now = Instant::now();
        let mut hosts = Hosts::default();
        hosts.limited(now, &spot(1));
        hosts.slow(&spot(2));
        assert_eq!(hosts.due(), None);
        assert!(hosts.excludes(now + LIMITED - Duration::from_millis(1), &spot(1)));
        assert!(!hosts.excludes(now + LIMITED, &spot(1)));
        assert!(hosts.excludes(now + LIMITED * 100, &spot(2)));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let now = Instant::now();
        let mut hosts = Hosts::default();
        for port in 1..=17 {
            hosts.lost(now, &spot(port));
        }
        assert!(!hosts.excludes(now, &spot(1)));
        assert!(hosts.excludes(now, &spot(2)));
        assert_eq!(hosts.failing.len(), MAX_HOSTS);
    }
}
