//! Time without the interruptions of the link.

use std::time::{Duration, Instant};

/// When the owner has to call `handle_timeout`, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// What is awaited, for logs.
    pub why: &'static str,
}

/// The caller's time, without its pauses and never backwards.
///
/// While the link to the server is interrupted nothing can be late. All timers of a machine run on one such clock, which
/// stands still meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    paused_for: Duration,
    paused_at: Option<Instant>,
    latest: Option<Instant>,
    latest_outer: Option<Instant>,
}

impl Clock {
    /// The time on this clock at the caller's `now`.
    pub fn read(&mut self, now: Instant) -> Instant {
        self.latest_outer = self.latest_outer.max(Some(now));
        let outer = self.paused_at.map_or(now, |at| at.min(now));
        let inner = outer.checked_sub(self.paused_for).unwrap_or(outer);
        let inner = self.latest.map_or(inner, |latest| latest.max(inner));
        self.latest = Some(inner);
        inner
    }

    /// The caller's time when it was read last, which goes on during a pause.
    #[must_use]
    pub fn latest_outer(&self) -> Option<Instant> {
        self.latest_outer
    }

    /// The caller's time at which this clock will show `inner`; `None` while it stands still.
    #[must_use]
    pub fn outer(&self, inner: Instant) -> Option<Instant> {
        match self.paused_at {
            Some(_) => None,
            None => Some(inner + self.paused_for),
        }
    }

    /// Whether it stands still.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// Stops the clock, if it runs.
    pub fn pause(&mut self, now: Instant) {
        self.read(now);
        self.paused_at.get_or_insert(now);
    }

    /// Lets the clock go on from where it stopped.
    pub fn resume(&mut self, now: Instant) {
        if let Some(at) = self.paused_at.take() {
            self.paused_for += now.saturating_duration_since(at);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment may be the first")]
mod tests {
    use super::*;

    #[test]
    fn time_never_runs_backwards() {
        let start = Instant::now() + Duration::from_secs(100);
        let mut clock = Clock::default();
        assert_eq!(clock.read(start), start);
        assert_eq!(clock.read(start - Duration::from_secs(5)), start);
    }

    #[test]
    fn time_stands_still_during_a_pause() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut clock = Clock::default();
        clock.pause(start + second);
        clock.pause(start + second * 2);
        assert_eq!(clock.read(start + second * 9), start + second);
        assert!(clock.paused());
        assert_eq!(clock.latest_outer(), Some(start + second * 9));
        assert_eq!(clock.outer(start + second * 2), None);
        clock.resume(start + second * 10);
        clock.resume(start + second * 11);
        assert_eq!(clock.read(start + second * 11), start + second * 2);
        assert!(!clock.paused());
        assert_eq!(clock.outer(start + second * 2), Some(start + second * 11));
    }
}
