//! What a stream has done.

use std::time::Duration;

/// Counters of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Bytes sent, each counted once.
    pub bytes_sent: u64,
    /// Of these, bytes that the peer acknowledged. Stays 0 in message mode.
    pub bytes_acknowledged: u64,
    /// Bytes received in order.
    pub bytes_received: u64,
    /// Chunks sent, each counted once.
    pub chunks_sent: u64,
    /// Chunks received in order.
    pub chunks_received: u64,
    /// Chunks received again with the same bytes.
    pub duplicates: u64,
    /// Chunks sent again after `wait`.
    pub retries: u64,
    /// Time between a chunk and its answer, lately: each answer counts for an eighth.
    pub ack_delay: Duration,
    /// Shortest such time.
    pub shortest_ack_delay: Duration,
    /// Longest such time.
    pub longest_ack_delay: Duration,
    /// Bytes that may be under way now.
    pub window: usize,
    /// Bytes in one chunk now.
    pub chunk: usize,
    /// Bytes under way now.
    pub in_flight: usize,
    /// Bytes received and not yet read.
    pub unread: usize,
}

impl Stats {
    pub(crate) fn on_acknowledged(&mut self, bytes: usize, delay: Duration) {
        let first = self.bytes_acknowledged == 0;
        self.bytes_acknowledged += bytes as u64;
        self.longest_ack_delay = self.longest_ack_delay.max(delay);
        if first {
            (self.shortest_ack_delay, self.ack_delay) = (delay, delay);
        } else {
            self.shortest_ack_delay = self.shortest_ack_delay.min(delay);
            self.ack_delay = self.ack_delay - self.ack_delay / 8 + delay / 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_is_the_measure_and_later_ones_count_for_an_eighth() {
        let mut stats = Stats::default();
        stats.on_acknowledged(1, Duration::from_millis(80));
        assert_eq!(stats.ack_delay, Duration::from_millis(80));
        stats.on_acknowledged(1, Duration::from_millis(160));
        stats.on_acknowledged(1, Duration::from_millis(10));
        let millis = [stats.shortest_ack_delay, stats.longest_ack_delay].map(|t| t.as_millis());
        assert_eq!(millis, [10, 160]);
        assert_eq!(
            stats.ack_delay,
            Duration::from_nanos(80_000_000 + 10_000_000 - 11_250_000 + 1_250_000)
        );
    }
}
