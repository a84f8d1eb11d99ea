//! Whether it is the server that holds a transfer up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use xtls_client::Sender;
use xtls_client::transport::Stats;

/// What was found last. Clones know the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Throttle(Arc<AtomicBool>);

impl Throttle {
    pub(crate) fn is_noticed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Looks again and again, until the tunnel has ended.
    pub(crate) async fn watch(&self, sender: &Sender) {
        while let Ok(stats) = sender.stats().await {
            let noticed = stats.stream.is_some_and(|stream| is_throttled(&stream));
            self.0.store(noticed, Ordering::Relaxed);
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// Chunks wait, and for far longer than one that has the way for itself.
fn is_throttled(stream: &Stats) -> bool {
    let waits = stream.in_flight > 0 && stream.in_flight * 2 >= stream.window;
    waits && stream.ack_delay >= LONG && stream.ack_delay >= stream.shortest_ack_delay * TIMES
}

const EVERY: Duration = Duration::from_secs(1);

/// Where nothing is limited, an answer takes a fraction of this, to the other side of the world and back.
const LONG: Duration = Duration::from_millis(500);
const TIMES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(in_flight: usize, window: usize, delay: u64, shortest: u64) -> Stats {
        let mut stats = Stats::default();
        (stats.in_flight, stats.window) = (in_flight, window);
        stats.ack_delay = Duration::from_millis(delay);
        stats.shortest_ack_delay = Duration::from_millis(shortest);
        stats
    }

    #[test]
    fn a_long_way_an_idle_stream_and_a_fast_server_are_no_throttle() {
        assert!(!is_throttled(&stats(65_536, 65_536, 900, 600)));
        assert!(!is_throttled(&stats(0, 8_192, 900, 5)));
        assert!(!is_throttled(&stats(4_096, 1 << 20, 900, 5)));
        assert!(!is_throttled(&stats(262_140, 262_140, 40, 5)));
    }

    #[test]
    fn chunks_that_queue_at_the_server_are() {
        assert!(is_throttled(&stats(8_192, 8_192, 820, 5)));
        assert!(is_throttled(&stats(8_192, 8_192, 2_000, 300)));
    }
}
