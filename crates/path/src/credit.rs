//! How far the peer may send.

use std::time::{Duration, Instant};

/// Credit at first.
const FIRST_WINDOW: u64 = 262_144;
/// Credit at most.
const LARGEST_WINDOW: u64 = 4_194_304;
/// A window that is used up within this many round trips is too small.
const TRIPS: u32 = 4;

#[derive(Debug)]
pub(crate) struct Credit {
    window: u64,
    /// What had been read when this window began to be used, and when.
    since: (u64, Instant),
    trip: Option<Duration>,
}

impl Credit {
    /// `got` has been read already.
    pub(crate) const fn new(now: Instant, got: u64) -> Self {
        Self {
            window: FIRST_WINDOW,
            since: (got, now),
            trip: None,
        }
    }

    /// A round trip took this long.
    pub(crate) const fn measured(&mut self, trip: Duration) {
        self.trip = Some(trip);
    }

    /// So much has been read by now.
    pub(crate) fn read(&mut self, now: Instant, got: u64) {
        let (from, at) = self.since;
        if got - from < self.window {
            return;
        }
        let took = now.saturating_duration_since(at);
        if self.trip.is_some_and(|trip| took < trip * TRIPS) {
            self.window = (self.window * 2).min(LARGEST_WINDOW);
        }
        self.since = (got, now);
    }

    /// The offset up to which the peer may send, if `got` has been read. Never falls, as neither does `got`.
    pub(crate) const fn limit(&self, got: u64) -> u64 {
        got.saturating_add(self.window)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    #[test]
    fn credit_doubles_only_when_it_went_within_four_round_trips_and_only_to_the_limit() {
        let start = Instant::now();
        let mut credit = Credit::new(start, 0);
        credit.read(start, FIRST_WINDOW);
        assert_eq!(credit.limit(0), FIRST_WINDOW, "nothing was measured");
        credit.measured(Duration::from_millis(10));
        credit.read(start + Duration::from_millis(40), 2 * FIRST_WINDOW);
        assert_eq!(credit.limit(0), FIRST_WINDOW, "exactly four");
        credit.read(start + Duration::from_millis(79), 3 * FIRST_WINDOW - 1);
        assert_eq!(credit.limit(0), FIRST_WINDOW, "not all of it");
        credit.read(start + Duration::from_millis(79), 3 * FIRST_WINDOW);
        assert_eq!(credit.limit(0), 2 * FIRST_WINDOW);
        let mut got = 3 * FIRST_WINDOW;
        for _ in 0..10 {
            got += LARGEST_WINDOW;
            credit.read(start + Duration::from_millis(79), got);
        }
        assert_eq!(credit.limit(got), got + LARGEST_WINDOW);
    }
}
