//! How fast large things leave, and so whether white space between them costs anything.

use std::time::{Duration, Instant};

/// The pace of what leaves in large batches.
#[derive(Debug, Default)]
pub(super) struct Pace {
    known: Known,
    /// When the stretch began that is measured, when the last large batch left, and the bytes of all of them in between.
    stretch: Option<(Instant, Instant)>,
    bytes: usize,
    /// Small batches that were filled up before it was known whether that costs anything.
    guessed: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    /// The server has a limit that white space counts towards: 10 kB a second, where Prosody is as it was installed.
    Slow,
    Fast,
}

impl Pace {
    /// Whether a batch of so many bytes that leaves now is to be filled up.
    ///
    /// A large one always is, unless the server is slow: it might arrive in front of another. Small ones are among large ones
    /// that come fast, since they would put those out of step; a few are before that is known.
    pub(super) fn fills(&mut self, now: Instant, len: usize) -> bool {
        if len >= BULK {
            self.large(now, len);
            return self.known != Known::Slow || len > LARGE_BATCH;
        }
        match self.known {
            Known::Fast => self.is_within(RECENT, now),
            Known::Slow => false,
            Known::Nothing => {
                let guess = self.guessed < GUESSES && self.is_within(NEAR, now);
                self.guessed += u32::from(guess);
                guess
            }
        }
    }

    /// Whether the last large batch left so recently.
    fn is_within(&self, time: Duration, now: Instant) -> bool {
        let last = self.stretch.map(|(_, last)| last);
        last.is_some_and(|last| now.saturating_duration_since(last) < time)
    }

    fn large(&mut self, now: Instant, len: usize) {
        let begun = match self.stretch {
            Some((begun, _)) if self.is_within(RECENT, now) => begun,
            Some(_) | None => {
                self.bytes = 0;
                now
            }
        };
        self.stretch = Some((begun, now));
        self.bytes = self.bytes.saturating_add(len);
        let fast = self.bytes >= FAST;
        if fast || now.saturating_duration_since(begun) >= STRETCH {
            self.known = match fast {
                true => Known::Fast,
                false => Known::Slow,
            };
            self.stretch = Some((now, now));
            self.bytes = 0;
        }
    }
}

/// From so many bytes on, what leaves at once is a part of something large.
const BULK: usize = 4_096;

/// From so many bytes on, filling up costs nothing, however slow the server is.
const LARGE_BATCH: usize = 8_192;

/// What is measured at a time, and what has to leave meanwhile: 32 kB a second.
const STRETCH: Duration = Duration::from_secs(2);
const FAST: usize = 65_536;

/// For so long after a large batch others may follow.
const RECENT: Duration = Duration::from_secs(2);

/// The same before it is known how fast they are, and how many small batches are filled up then: at most 16 KiB in all.
const NEAR: Duration = Duration::from_millis(250);
const GUESSES: u32 = 16;

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    const CHUNK: usize = 5_690;

    #[test]
    fn a_stock_server_gets_white_space_for_two_seconds() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for number in 0..100 {
            assert_eq!(pace.fills(now, CHUNK), number < 4, "chunk {number}");
            assert_eq!(pace.fills(now, 26), number < 4, "behind chunk {number}");
            assert!(!pace.fills(now + NEAR, 26));
            now += Duration::from_millis(570);
        }
    }

    #[test]
    fn before_it_is_known_how_fast_a_server_is_few_small_batches_are_filled_up() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert!(!pace.fills(now, 26));
        assert!(pace.fills(now, CHUNK));
        let filled = (0..1_000).filter(|_| pace.fills(now, 26)).count();
        assert_eq!(filled, 16);
    }

    #[test]
    fn what_stands_between_fast_chunks_is_filled_up_too() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for _ in 0..12 {
            assert!(pace.fills(now, CHUNK));
        }
        // One large chunk in a second, while others use the server as well.
        for _ in 0..10 {
            now += Duration::from_secs(1);
            assert!(pace.fills(now, 26));
            assert!(pace.fills(now, 87_000));
        }
        now += RECENT;
        assert!(!pace.fills(now, 26));
        assert!(pace.fills(now, CHUNK));
    }

    #[test]
    fn a_server_that_grows_slower_is_noticed() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for _ in 0..12 {
            assert!(pace.fills(now, CHUNK));
        }
        let before = now;
        while pace.fills(now, CHUNK) {
            now += Duration::from_millis(570);
        }
        assert!(now - before < STRETCH * 2);
        for _ in 0..12 {
            pace.fills(now, CHUNK);
        }
        assert!(pace.fills(now, 26));
    }

    #[test]
    fn a_batch_beside_which_it_is_little_is_filled_up_in_any_case() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for _ in 0..10 {
            pace.fills(now, CHUNK);
            now += Duration::from_secs(1);
        }
        assert!(!pace.fills(now, CHUNK));
        assert!(pace.fills(now, 87_000));
    }
}
