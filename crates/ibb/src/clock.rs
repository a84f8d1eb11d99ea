//! The mux's own time: the caller's, without its pauses, never backwards.

use std::time::{Duration, Instant};

/// A moment at which the owner has to call `handle_timeout`, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// What is waited for, for logs.
    pub why: &'static str,
}

/// While a link is suspended nothing can be late. So all timers run on a time of their own,
/// which stands still during a pause.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Clock {
    paused_for: Duration,
    paused_at: Option<Instant>,
    latest: Option<Instant>,
}

impl Clock {
    /// The mux's time at the caller's `now`.
    pub(crate) fn read(&mut self, now: Instant) -> Instant {
        let outer = self.paused_at.map_or(now, |at| at.min(now));
        let inner = outer.checked_sub(self.paused_for).unwrap_or(outer);
        let inner = self.latest.map_or(inner, |latest| latest.max(inner));
        self.latest = Some(inner);
        inner
    }

    /// The caller's time at which the mux's time will be `inner`, unless paused before.
    pub(crate) fn outer(&self, inner: Instant) -> Instant {
        inner + self.paused_for
    }

    pub(crate) fn paused(&self) -> bool {
        self.paused_at.is_some()
    }

    pub(crate) fn pause(&mut self, now: Instant) {
        self.read(now);
        self.paused_at.get_or_insert(now);
    }

    pub(crate) fn resume(&mut self, now: Instant) {
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
        clock.resume(start + second * 10);
        clock.resume(start + second * 11);
        assert_eq!(clock.read(start + second * 11), start + second * 2);
        assert_eq!(clock.outer(start + second * 2), start + second * 11);
    }
}
