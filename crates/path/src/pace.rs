//! How much a leg passes while bytes wait for it, beside the one before it.

use std::time::{Duration, Instant};

/// Waiting over which the pace of a leg is measured.
const MEASURED: Duration = Duration::from_secs(2);
/// Waiting after which a new leg is judged.
const JUDGED: Duration = Duration::from_secs(5);
/// Bytes after which it is judged too.
const JUDGED_BYTES: u64 = 4_194_304;

/// Waiting, and what was confirmed meanwhile.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    waited: Duration,
    passed: u64,
}

impl Span {
    /// Bytes a second.
    fn pace(self) -> u128 {
        u128::from(self.passed) * 1_000_000 / self.waited.as_micros().max(1)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When bytes were last seen waiting, and what was confirmed by then.
    since: Option<(Instant, u64)>,
    /// All of this leg, until it is judged, and the part of it that is being measured.
    whole: Span,
    part: Span,
    /// The pace of this leg, and of the one that it has replaced.
    last: Option<u128>,
    before: Option<u128>,
}

impl Pace {
    /// Whether bytes wait for the leg that carries, which the peer would take, and what is confirmed.
    pub(crate) fn note(&mut self, now: Instant, waiting: bool, confirmed: u64) {
        if let Some((at, from)) = self.since {
            let waited = now.saturating_duration_since(at);
            let passed = confirmed.saturating_sub(from);
            for span in [&mut self.whole, &mut self.part] {
                span.waited += waited;
                span.passed += passed;
            }
            if self.part.waited >= MEASURED {
                self.last = Some(self.part.pace());
                self.part = Span::default();
            }
        }
        self.since = waiting.then_some((now, confirmed));
    }

    /// Another leg carries. Only one that was left while it carried is a measure for it.
    pub(crate) fn moved(&mut self, left: bool) {
        let before = self.last.filter(|_| left);
        *self = Self {
            before,
            ..Self::default()
        };
    }

    /// Whether it is to be judged now and passes less than half of what the one before did. Says so once.
    pub(crate) fn take_verdict(&mut self) -> bool {
        let due = self.whole.waited >= JUDGED || self.whole.passed >= JUDGED_BYTES;
        let before = if due { self.before.take() } else { None };
        before.is_some_and(|before| 2 * self.whole.pace() < before)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    /// A leg passes so many bytes in each of some seconds.
    fn run(pace: &mut Pace, now: &mut Instant, confirmed: &mut u64, seconds: usize, bytes: u64) {
        pace.note(*now, true, *confirmed);
        for _ in 0..seconds {
            *now += Duration::from_secs(1);
            *confirmed += bytes;
            pace.note(*now, true, *confirmed);
        }
    }

    fn judged(first: u64, second: u64, seconds: usize, left: bool) -> bool {
        let (mut pace, mut now, mut confirmed) = (Pace::default(), Instant::now(), 0);
        run(&mut pace, &mut now, &mut confirmed, 2, first);
        pace.moved(left);
        run(&mut pace, &mut now, &mut confirmed, seconds, second);
        pace.take_verdict()
    }

    #[test]
    fn a_leg_of_less_than_half_the_pace_is_slower_after_five_seconds() {
        assert!(judged(1_000, 499, 5, true));
        assert!(!judged(1_000, 499, 4, true), "not yet");
        assert!(!judged(1_000, 500, 5, true), "half of it");
        assert!(!judged(1_000, 0, 5, false), "the one before was lost");
        assert!(judged(9_000_000, 2_100_000, 2, true), "4 MiB are enough");
    }

    #[test]
    fn it_is_judged_once_and_only_by_what_was_measured_while_bytes_waited() {
        let (mut pace, mut now, mut confirmed) = (Pace::default(), Instant::now(), 0);
        run(&mut pace, &mut now, &mut confirmed, 1, 9_000);
        pace.note(now, false, confirmed);
        pace.moved(true);
        run(&mut pace, &mut now, &mut confirmed, 9, 1);
        assert!(!pace.take_verdict(), "one second is no measure");
        pace.moved(true);
        now += Duration::from_secs(100);
        run(&mut pace, &mut now, &mut confirmed, 5, 0);
        assert!(pace.take_verdict());
        assert!(!pace.take_verdict(), "once");
    }
}
