//! White space that keeps the server's reads whole.
//!
//! Prosody reads 8,192 bytes at a time. When a read ends within a TLS record, it sleeps for a millisecond or more before it
//! takes the rest, which is then out of step for as long as more is there: a quarter of the speed. So records hold
//! [`RECORD`] bytes, of which whole numbers make a read, and as long as much is sent, what leaves at once is filled up to
//! a multiple of that. White space between stanzas means nothing (RFC 6120 §4.6.1).

use std::time::Duration;

use tokio::time::Instant;

/// Plaintext bytes in a record; 8,192 is a multiple of it.
pub(super) const RECORD: usize = 1024;

/// What Prosody reads at a time.
const READ: usize = 8192;

/// From so many bytes on, what leaves at once is a part of something large.
const BULK: usize = 4096;

/// Bulk that comes less often finds the server waiting. A stock Prosody takes 10 kB a second, and white space counts there.
const HOT: Duration = Duration::from_millis(50);

/// What was sent of late.
#[derive(Debug, Default)]
pub(super) struct Align {
    bulk: Option<Instant>,
}

impl Align {
    /// How many spaces follow `len` bytes that leave at once.
    pub(super) fn fill(&mut self, now: Instant, len: usize) -> usize {
        let hot = self
            .bulk
            .is_some_and(|bulk| now.saturating_duration_since(bulk) < HOT);
        if len >= BULK {
            self.bulk = Some(now);
        }
        if hot || len > READ {
            len.next_multiple_of(RECORD) - len
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lone_chunk_and_small_talk_are_sent_as_they_are() {
        let mut align = Align::default();
        let now = Instant::now();
        assert_eq!(align.fill(now, 26), 0);
        assert_eq!(align.fill(now, 5690), 0);
        assert_eq!(align.fill(now + HOT, 5690), 0);
        assert_eq!(align.fill(now + HOT * 3, 26), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn while_much_is_sent_all_that_leaves_is_whole_records() {
        let mut align = Align::default();
        let now = Instant::now();
        for len in [9000, 26, 5690, 1024, 8192, 1] {
            let filled = len + align.fill(now, len);
            assert!(filled % RECORD == 0 && filled < len + RECORD, "{len}");
        }
        assert_eq!(READ % RECORD, 0);
        assert_eq!(align.fill(now + HOT, 26), 0);
    }
}
