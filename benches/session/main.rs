//! The whole stack in memory: `cargo xtask bench session` runs this. With `--check` it fails below the bars.
//!
//! One thread, both ends counted: bytes or stanzas → TLS → bytestream → carrying stanzas as text, and all the way back,
//! acknowledgements included. For comparison, tokio-rustls over `tokio::io::duplex`, with the same keys and provider.
//! `memory.rs` measures the memory of sessions in a separate program: counting allocations would slow down the
//! contender that allocates most.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a benchmark that cannot go on says so by failing, and prints a table"
)]

mod keys;
mod stack;

use std::hint::black_box;
use std::process::ExitCode;

use xtls_benches::bars::{Table, bar, now, timed, verdict};
use xtls_session::Mode;
use xtls_stanza::{Element, Kind, Stanza};

use crate::stack::{Stack, TURN, Tokio, WRITE};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, block] = &args[..] {
        profile(mode, block.parse().expect("a block"));
        return ExitCode::SUCCESS;
    }
    let check = args.iter().any(|arg| arg == "--check");
    // Until something large was freed, glibc returns memory to the system with nearly every buffer, and requests it
    // again.
    drop(black_box(vec![1_u8; 16 << 20]));
    let mut met = true;
    for (block, least) in [(4096, 0.30), (65_535, 0.45)] {
        met &= throughput(block, least);
    }
    verdict(met, check)
}

/// Turns before the first one that is measured.
const WARM: usize = 100;

fn throughput(block: u16, least: f64) -> bool {
    let bytes = vec![0x5a; WRITE];
    let body = Element::new("body", "jabber:client").with_text("x".repeat(1000));
    let stanza = Stanza::new(Kind::Message).with_id("m1").with_child(&body);
    let count = TURN / stanza.children.len();
    let mut tokio = Tokio::connected();
    let mut in_bytes = Stack::connected(Mode::Bytes, block);
    let mut in_stanzas = Stack::connected(Mode::Stanzas, block);
    // Streams first adapt to the path, which takes some milliseconds without a pause.
    (0..WARM).for_each(|_| assert_eq!(in_bytes.carry_bytes(&bytes), TURN));
    (0..WARM).for_each(|_| assert_ne!(in_stanzas.carry_stanzas(&stanza, count), 0));
    let name = format!("block {block}");
    let table = Table {
        name: &name,
        items: TURN / WRITE,
        bytes: TURN,
    };
    table.run(
        vec![
            ("tokio-rustls", timed(|| tokio.carry(&bytes))),
            ("bytes", timed(|| in_bytes.carry_bytes(&bytes))),
            (
                "stanzas of 1 kB",
                timed(|| in_stanzas.carry_stanzas(&stanza, count)),
            ),
        ],
        &[
            bar("bytes", least, "tokio-rustls"),
            bar("stanzas of 1 kB", 0.11, "tokio-rustls"),
        ],
    )
}

/// One contender alone, for a profiler: `bytes 4096`, `stanzas 65535` or `tokio 0`.
fn profile(mode: &str, block: u16) {
    const TURNS: usize = 3000;
    let bytes = vec![0x5a; WRITE];
    let mut tokio = Tokio::connected();
    let start = now();
    match mode {
        "tokio" => (0..TURNS).for_each(|_| {
            let _carried = tokio.carry(&bytes);
        }),
        "bytes" => {
            let mut stack = Stack::connected(Mode::Bytes, block);
            (0..TURNS).for_each(|_| {
                let _carried = stack.carry_bytes(&bytes);
            });
        }
        _ => {
            let body = Element::new("body", "jabber:client").with_text("x".repeat(1000));
            let stanza = Stanza::new(Kind::Message).with_id("m1").with_child(&body);
            let mut stack = Stack::connected(Mode::Stanzas, block);
            let count = TURN / stanza.children.len();
            (0..TURNS / 4).for_each(|_| {
                let _carried = stack.carry_stanzas(&stanza, count);
            });
        }
    }
    println!("{:?}", now() - start);
}
