//! What a link holds on the heap while it is idle, TLS toward the server included: `cargo xtask bench link` runs this after
//! `main.rs`. With `--check` it fails above the limit.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a benchmark that cannot go on says so by failing, prints a table, and measures time"
)]
#![allow(
    dead_code,
    reason = "the other benchmark uses more of what the server can do"
)]

mod link;

use std::process::ExitCode;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use xtls_benches::bars::verdict;
use xtls_client::uplink::LinkEvent;
use xtls_client::xmpp::Link;
use xtls_stanza::ibb::{Data, Seq, Sid};
use xtls_stanza::{Address, Content, Envelope, Payload};

use link::Server;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Links that are measured, and chunks that each of them takes and answers before.
const LINKS: usize = 20;
const CHUNKS: usize = 50;
const CHUNK: usize = 65_535;
/// How long they are left alone: longer than anything that is done a while after traffic.
const QUIET: Duration = Duration::from_secs(8);
/// Bytes of one.
const MOST: usize = 48 << 10;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let check = std::env::args().any(|arg| arg == "--check");
    let Some(server) = Server::named_in("XTLS_EJABBERD") else {
        eprintln!("please run `cargo xtask bench link`");
        return ExitCode::from(2);
    };
    let mut sender = server.login("romeo", "sender").await;
    // What is made once is not any link's.
    drop(server.login("juliet", "first").await);
    let before = HEAP.current_usage();
    let mut tasks = JoinSet::new();
    let mut idle = Vec::new();
    for at in 0..LINKS {
        let link = server.login("juliet", &format!("idle{at}")).await;
        let to = link.bound().clone();
        let (done, taken) = mpsc::channel(1);
        tasks.spawn(take(link, done));
        idle.push((to, taken));
    }
    tokio::time::sleep(QUIET).await;
    let fresh = HEAP.current_usage().saturating_sub(before) / LINKS;
    for (to, taken) in &mut idle {
        send(&mut sender, to).await;
        taken.recv().await.expect("all were taken");
    }
    let resting = async {
        // The sender's own are not counted: it gives back what it took.
        while sender.next().await.is_ok() {}
    };
    let _ = tokio::time::timeout(QUIET, resting).await;
    let used = HEAP.current_usage().saturating_sub(before) / LINKS;
    println!("\nheap of an idle link to ejabberd, TLS included");
    let mut met = true;
    for (what, bytes) in [("before traffic", fresh), ("after traffic", used)] {
        let verdict = if bytes <= MOST { "met" } else { "MISSED" };
        println!("{what:<16} {bytes:>7} bytes, at most {MOST}: {verdict}");
        met &= bytes <= MOST;
    }
    verdict(met, check)
}

/// Answers chunks, and says when all have come.
async fn take(mut link: Link, done: mpsc::Sender<()>) {
    let mut taken = 0;
    while let Ok(event) = link.next().await {
        let LinkEvent::Envelope(envelope) = event else {
            continue;
        };
        if !matches!(envelope.content, Content::Set(Payload::Data(_))) {
            continue;
        }
        if link.send(envelope.result(None)).await.is_err() {
            return;
        }
        taken += 1;
        if taken == CHUNKS {
            let _ = done.send(()).await;
        }
    }
}

/// Sends them one by one, and waits for each answer.
async fn send(link: &mut Link, to: &Address) {
    for number in 0..CHUNKS {
        let envelope = Envelope {
            from: None,
            to: Some(to.clone()),
            id: format!("m{number}"),
            content: Content::Set(Payload::Data(Data {
                sid: Sid::new("memory").expect("a sid"),
                seq: Seq(0),
                bytes: bytes::Bytes::from(vec![0x5a; CHUNK]),
            })),
        };
        link.send(envelope).await.expect("the link holds");
        loop {
            match link.next().await.expect("the link holds") {
                LinkEvent::Envelope(answer) if matches!(answer.content, Content::Result(_)) => {
                    break;
                }
                _ => {}
            }
        }
    }
}
