//! Bytes both ways through one tunnel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use xtls_client::Tunnel;
use xtls_tests::live::soon;

use crate::pattern::{Sum, read, write};

/// The pattern in both directions of one tunnel.
pub(crate) struct Transfer {
    enough: Arc<AtomicBool>,
    directions: [[JoinHandle<Result<Sum, Sum>>; 2]; 2],
}

impl Transfer {
    pub(crate) fn start(ends: [Tunnel; 2], seed: u64) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let [(from_there, to_there), (from_here, to_here)] = ends.map(tokio::io::split);
        let direction = |to, from, seed| {
            let enough = Arc::clone(&enough);
            let writing = write(to, seed, move || enough.load(Ordering::Relaxed));
            [tokio::spawn(writing), tokio::spawn(read(from, seed))]
        };
        let directions = [
            direction(to_there, from_here, seed),
            direction(to_here, from_there, !seed),
        ];
        Self { enough, directions }
    }

    /// Ends it, and says what was written and read in each direction.
    pub(crate) async fn end(self) -> [[Result<Sum, Sum>; 2]; 2] {
        self.enough.store(true, Ordering::Relaxed);
        let [[a, b], [c, d]] = self.directions;
        let all = async { tokio::try_join!(a, b, c, d) };
        let (a, b, c, d) = soon("the ends of a tunnel", all).await.unwrap();
        [[a, b], [c, d]]
    }
}
