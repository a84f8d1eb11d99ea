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
    /// Longest time between a chunk and its answer.
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
