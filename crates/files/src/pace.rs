//! How much may be on its way to the receiver's disk.

use std::time::{Duration, Instant};

/// Measures a path, and allows what it holds.
///
/// What is on its way is sent again if the receiver is gone, so that it is little where little is enough: [`LEAST`]. A long path holds
/// more, and would be slow with that.
#[derive(Debug)]
pub(crate) struct Pace {
    sent: u64,
    stored: u64,
    /// When so much had been sent, of which it is waited until it is stored.
    probe: Option<(Instant, u64)>,
    /// The shortest time that took.
    way: Option<Duration>,
    /// When so much had been stored.
    since: Option<(Instant, u64)>,
    window: u64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            sent: 0,
            stored: 0,
            probe: None,
            way: None,
            since: None,
            window: LEAST,
        }
    }

    /// Bytes have been sent.
    pub(crate) fn send(&mut self, now: Instant, bytes: u64) {
        self.sent = self.sent.saturating_add(bytes);
        let sent = self.sent;
        self.probe.get_or_insert((now, sent));
        self.since.get_or_insert((now, self.stored));
    }

    /// Bytes have been stored.
    pub(crate) fn store(&mut self, now: Instant, bytes: u64) {
        self.stored = self.stored.saturating_add(bytes);
        if let Some((then, _)) = self.probe.take_if(|(_, sent)| *sent <= self.stored) {
            let way = now.saturating_duration_since(then);
            self.way = Some(self.way.map_or(way, |before| before.min(way)));
        }
        let Some((then, before)) = self.since else {
            return;
        };
        let time = now.saturating_duration_since(then);
        if time >= PERIOD {
            self.since = Some((now, self.stored));
            self.adapt(self.stored.saturating_sub(before), time);
        }
    }

    /// Bytes that have been sent will not be stored.
    pub(crate) fn lose(&mut self) {
        self.probe = None;
        self.stored = self.sent;
        self.since = None;
    }

    /// Bytes that may be on their way.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    /// So much was stored in this time: a window of twice what the path holds lets it be filled, whatever holds it up now.
    fn adapt(&mut self, bytes: u64, time: Duration) {
        let way = self.way.unwrap_or_default();
        if way < LONG {
            self.window = LEAST;
            return;
        }
        let holds = u128::from(bytes) * way.as_micros() / time.as_micros().max(1);
        let twice = u64::try_from(holds.saturating_mul(2)).unwrap_or(u64::MAX);
        self.window = twice.clamp(LEAST, MOST);
    }
}

/// Bytes that may always be on their way.
pub(crate) const LEAST: u64 = 262_144;

/// Bytes that may be at most.
const MOST: u64 = 4_194_304;

/// A way that takes less time is not a long one, whatever there is to do at its ends.
const LONG: Duration = Duration::from_millis(20);

/// Time over which the rate is measured.
const PERIOD: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Sends for ten seconds over a path of this length and rate: bytes that arrived, and the window at the end.
    fn run(way: Duration, bytes_a_millisecond: u64) -> (u64, u64) {
        let mut pace = Pace::new();
        // The clock is read nowhere: a moment of the process serves as its zero.
        let start = tokio::time::Instant::now().into_std();
        let mut under_way: VecDeque<(Instant, u64)> = VecDeque::new();
        let mut flying = 0;
        let mut free = start;
        for millisecond in 0..10_000 {
            let now = start + Duration::from_millis(millisecond);
            while under_way.front().is_some_and(|(then, _)| *then <= now) {
                let (_, bytes) = under_way.pop_front().unwrap();
                flying -= bytes;
                pace.store(now, bytes);
            }
            while flying + 65_536 <= pace.window() {
                flying += 65_536;
                pace.send(now, 65_536);
                free = free.max(now) + Duration::from_millis(65_536 / bytes_a_millisecond);
                under_way.push_back((free + way, 65_536));
            }
        }
        (pace.stored, pace.window())
    }

    #[test]
    fn a_short_path_gets_no_more_than_the_least() {
        for way in [0, 1, 5, 10] {
            let (_, window) = run(Duration::from_millis(way), 20_000);
            assert_eq!(window, LEAST);
        }
    }

    #[test]
    fn a_long_path_is_filled() {
        for (way, rate) in [
            (50, 5_000),
            (100, 5_000),
            (200, 5_000),
            (300, 1_000),
            (40, 20_000),
        ] {
            let (stored, window) = run(Duration::from_millis(way), rate);
            let full = rate * 10_000;
            assert!(
                stored * 10 > full * 8,
                "{way} ms: {stored} of {full}, window {window}"
            );
            assert!(window <= MOST);
        }
    }

    #[test]
    fn what_is_lost_does_not_count_as_a_long_way() {
        let mut pace = Pace::new();
        let start = tokio::time::Instant::now().into_std();
        pace.send(start, 100_000);
        pace.lose();
        let later = start + Duration::from_secs(60);
        pace.send(later, 100_000);
        pace.store(later, 100_000);
        pace.store(later + PERIOD, 1_000_000_000);
        assert_eq!(pace.window(), LEAST);
    }
}
