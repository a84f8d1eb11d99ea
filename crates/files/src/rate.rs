//! How fast it goes, for people.

use std::time::{Duration, Instant};

/// How fast bytes get to a disk, over the last few seconds, and how long the rest takes. The time is passed in.
///
/// ```
/// use std::time::{Duration, Instant};
/// use xtls_files::Rate;
///
/// let start = Instant::now();
/// let mut rate = Rate::new(start);
/// rate.update(start, 1_000_000); // were there before
/// rate.update(start + Duration::from_secs(1), 3_000_000);
/// assert_eq!(rate.per_second(), Some(2_000_000));
/// assert_eq!(rate.remaining(9_000_000), Some(Duration::from_secs(3)));
/// ```
#[derive(Debug, Clone)]
pub struct Rate {
    since: Instant,
    then: Option<u64>,
    there: u64,
    per_second: Option<u64>,
}

impl Rate {
    /// Begins to measure.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            then: None,
            there: 0,
            per_second: None,
        }
    }

    /// So many bytes are there in all, such as the `total` of events. The first number is where it began.
    pub fn update(&mut self, now: Instant, total: u64) {
        self.there = total;
        let Some(then) = self.then else {
            (self.then, self.since) = (Some(total), now);
            return;
        };
        let time = now.saturating_duration_since(self.since);
        if time < STEP {
            return;
        }
        let bytes = u128::from(total.saturating_sub(then));
        let fresh = u64::try_from(bytes * 1_000_000 / time.as_micros().max(1)).unwrap_or(u64::MAX);
        self.per_second = Some(match self.per_second {
            None => fresh,
            Some(old) => mean(old, fresh, time),
        });
        (self.then, self.since) = (Some(total), now);
    }

    /// Bytes a second; `None`: nobody knows yet.
    #[must_use]
    pub fn per_second(&self) -> Option<u64> {
        self.per_second
    }

    /// How long it takes until `all` bytes are there, if it goes on like this; `None`: nobody knows, or it stands still.
    #[must_use]
    pub fn remaining(&self, all: u64) -> Option<Duration> {
        let rate = self.per_second.filter(|rate| *rate > 0)?;
        let left = u128::from(all.saturating_sub(self.there));
        let millis = u64::try_from(left * 1_000 / u128::from(rate)).unwrap_or(u64::MAX);
        Some(Duration::from_millis(millis))
    }
}

/// What was before counts the less, the longer ago it was.
fn mean(old: u64, fresh: u64, time: Duration) -> u64 {
    let (new, before) = (time.as_millis(), MEMORY.as_millis());
    let sum = u128::from(old) * before + u128::from(fresh) * new;
    u64::try_from(sum / (before + new)).unwrap_or(u64::MAX)
}

/// Less time than that gives no number.
const STEP: Duration = Duration::from_millis(200);

/// How long what was before counts as much as what is.
const MEMORY: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "any moment serves as the first")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn what_was_there_before_is_not_fast() {
        let start = start();
        let mut rate = Rate::new(start);
        rate.update(start + Duration::from_secs(9), 1_000_000_000);
        assert_eq!((rate.per_second(), rate.remaining(u64::MAX)), (None, None));
        rate.update(start + Duration::from_secs(10), 1_000_000_500);
        assert_eq!(rate.per_second(), Some(500));
    }

    #[test]
    fn it_follows_a_change_within_seconds_and_does_not_jump() {
        let start = start();
        let mut rate = Rate::new(start);
        let mut total = 0;
        for step in 0..100 {
            rate.update(start + Duration::from_millis(250 * step), total);
            total += if step < 50 { 250_000 } else { 25_000 };
            let known = rate.per_second().unwrap_or(1_000_000);
            assert!((90_000..=1_000_000).contains(&known), "{known}");
            assert!(step != 52 || known > 700_000, "{known}");
        }
        assert!(rate.per_second().unwrap() < 200_000);
    }

    #[test]
    fn what_stands_still_has_no_end() {
        let start = start();
        let mut rate = Rate::new(start);
        for second in 0..3_600 {
            rate.update(start + Duration::from_secs(second), 7);
        }
        assert_eq!((rate.per_second(), rate.remaining(8)), (Some(0), None));
    }
}
