//! Connections that move much do not hold up one that moves little.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Pair, allowing, local, server};

const BULK: usize = 16;
const QUESTIONS: usize = 60;

/// What all bulk connections together move while a question is answered: less than half of what their windows hold.
const MOST: u64 = 2 << 20;

#[tokio::test]
async fn a_question_among_sixteen_bulk_connections_is_answered_soon() {
    let (listener, at) = server().await;
    let mut pair = Pair::new(&[local(at)], allowing(&[at.to_string()]));
    let here = pair.listening().await;
    // Who says `b` gets bytes without end, and who says `q` gets it back.
    pair.spawn(async move {
        loop {
            let (mut served, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut word = [0];
                while served.read_exact(&mut word).await.is_ok() {
                    if word == *b"q" {
                        served.write_all(&word).await.unwrap();
                    }
                    while word == *b"b" && served.write_all(&[0; 16_384]).await.is_ok() {}
                }
            });
        }
    });
    let moved = Arc::new(AtomicU64::new(0));
    for _ in 0..BULK {
        let moved = Arc::clone(&moved);
        pair.spawn(async move {
            let mut bulk = TcpStream::connect(here).await.unwrap();
            bulk.write_all(b"b").await.unwrap();
            let mut buffer = vec![0; 65_536];
            while let Ok(length @ 1..) = bulk.read(&mut buffer).await {
                moved.fetch_add(length as u64, Ordering::Relaxed);
            }
        });
    }
    let mut chatty = TcpStream::connect(here).await.unwrap();
    while moved.load(Ordering::Relaxed) < 16 << 20 {
        tokio::task::yield_now().await;
    }
    let mut costs = Vec::new();
    for _ in 0..QUESTIONS {
        let before = moved.load(Ordering::Relaxed);
        chatty.write_all(b"q").await.unwrap();
        chatty.read_exact(&mut [0]).await.unwrap();
        costs.push(moved.load(Ordering::Relaxed) - before);
    }
    costs.sort_unstable();
    assert!(costs[QUESTIONS / 2] <= MOST, "{costs:?}");
    assert!(moved.load(Ordering::Relaxed) > 16 << 20);
}
