//! The router's own time: the caller's, without the link's interruptions, never backwards.

use std::time::{Duration, Instant};

/// While the link is interrupted nothing can be late, neither a stream nor a handshake nor a step of closing. So all of
/// them run on one time, which stands still meanwhile.
#[derive(Debug, Default)]
pub(super) struct Clock {
    paused_for: Duration,
    paused_at: Option<Instant>,
    latest: Option<Instant>,
}

impl Clock {
    /// Our time at the caller's `now`.
    pub(super) fn read(&mut self, now: Instant) -> Instant {
        let outer = self.paused_at.map_or(now, |at| at.min(now));
        let inner = outer.checked_sub(self.paused_for).unwrap_or(outer);
        let inner = self.latest.map_or(inner, |latest| latest.max(inner));
        self.latest = Some(inner);
        inner
    }

    /// The caller's time at which ours will be `inner`; `None` while it stands still.
    pub(super) fn outer(&self, inner: Instant) -> Option<Instant> {
        match self.paused_at {
            Some(_) => None,
            None => Some(inner + self.paused_for),
        }
    }

    pub(super) fn paused(&self) -> bool {
        self.paused_at.is_some()
    }

    pub(super) fn pause(&mut self, now: Instant) {
        self.read(now);
        self.paused_at.get_or_insert(now);
    }

    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(at) = self.paused_at.take() {
            self.paused_for += now.saturating_duration_since(at);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
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
        assert!(clock.paused());
        assert_eq!(clock.read(start + second * 9), start + second);
        assert_eq!(clock.outer(start + second * 2), None);
        clock.resume(start + second * 10);
        clock.resume(start + second * 11);
        assert!(!clock.paused());
        assert_eq!(clock.read(start + second * 11), start + second * 2);
        assert_eq!(clock.outer(start + second * 2), Some(start + second * 11));
    }
}
