//! The TLS adapter compared with rustls alone: `cargo xtask bench tls` runs this. With `--check` it fails below the
//! bars.
//!
//! Both sides of every connection are counted, in one thread. "rustls alone" is its buffered interface driven directly,
//! with the same provider, certificates and records.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on says so by failing, and prints a table"
)]

use std::process::ExitCode;

use peak_alloc::PeakAlloc;
use xtls_benches::bars::{Table, bar, timed, verdict};
use xtls_benches::contenders::{Bare, Ours, Pair as _, Setup};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Bytes per write.
const WRITES: [usize; 3] = [1024, 4096, 16_384];

/// How many connections are held at once when memory is measured.
const HELD: usize = 200;

fn main() -> ExitCode {
    let check = std::env::args().skip(1).any(|arg| arg == "--check");
    let setup = Setup::new();
    let mut met = true;
    for write in WRITES {
        met &= throughput(&setup, write);
    }
    met &= handshakes(&setup);
    met &= memory(&setup);
    verdict(met, check)
}

/// One direction, in writes of this many bytes.
fn throughput(setup: &Setup, write: usize) -> bool {
    let block = vec![0x5a; write];
    let count = 262_144 / write;
    let (mut ours, mut bare) = (Ours::connected(setup), Bare::connected(setup));
    let name = format!("{write} bytes a write");
    let table = Table {
        name: &name,
        items: count,
        bytes: count * write,
    };
    let contenders = vec![
        ("rustls", timed(|| bare.carry(&block, count))),
        ("adapter", timed(|| ours.carry(&block, count))),
    ];
    let bars: &[_] = if write == 4096 {
        &[bar("adapter", 0.95, "rustls")]
    } else {
        &[]
    };
    table.run(contenders, bars)
}

/// Both ends of mutual handshakes, including everything that is made for one connection.
fn handshakes(setup: &Setup) -> bool {
    const COUNT: usize = 4;
    let table = Table {
        name: "handshakes",
        items: COUNT,
        bytes: 0,
    };
    let contenders = vec![
        (
            "rustls",
            timed(|| {
                (0..COUNT)
                    .map(|_| Bare::connected(setup).carry(b"x", 1))
                    .sum()
            }),
        ),
        (
            "adapter",
            timed(|| {
                (0..COUNT)
                    .map(|_| Ours::connected(setup).carry(b"x", 1))
                    .sum()
            }),
        ),
    ];
    table.run(contenders, &[bar("adapter", 0.90, "rustls")])
}

/// The heap that one end holds on average, and the limit.
fn memory(setup: &Setup) -> bool {
    println!(
        "\n{:<28} {:>12} {:>10}",
        "heap of one end", "bytes", "at most"
    );
    let mut met = true;
    let mut tell = |name: &str, bytes: usize, most: Option<usize>| {
        let verdict = most.map(|most| bytes <= most);
        met &= verdict != Some(false);
        let most = most.map(|most| most.to_string()).unwrap_or_default();
        let verdict = match verdict {
            None => "",
            Some(true) => "met",
            Some(false) => "MISSED",
        };
        println!("  {name:<26} {bytes:>12} {most:>10}  {verdict}");
    };
    /// The heap per end, for `ends` ends made by the function.
    fn held<T>(ends: usize, mut make: impl FnMut() -> T) -> (usize, Vec<T>) {
        // Things that are created once for all ends are created before measuring.
        drop(make());
        let mut all = Vec::with_capacity(HELD);
        let before = HEAP.current_usage();
        all.extend((0..HELD).map(|_| make()));
        let heap = HEAP.current_usage() - before;
        (heap / (HELD * ends) + size_of::<T>() / ends, all)
    }
    let busy = |mut pair: Ours| {
        pair.carry(&[1; 16_384], 8);
        pair.carry_back(&[1; 16_384], 8);
        pair
    };
    tell(
        "client, hello sent",
        held(1, || setup.waiting_client()).0,
        Some(20 * 1024),
    );
    tell(
        "server, flight queued",
        held(1, || setup.waiting_server(false)).0,
        Some(20 * 1024),
    );
    tell(
        "server, flight sent",
        held(1, || setup.waiting_server(true)).0,
        Some(20 * 1024),
    );
    tell(
        "established",
        held(2, || Ours::connected(setup)).0,
        Some(10 * 1024),
    );
    tell(
        "after traffic",
        held(2, || busy(Ours::connected(setup))).0,
        Some(22 * 1024),
    );
    tell(
        "rustls, established",
        held(2, || Bare::connected(setup)).0,
        None,
    );
    let bare = || {
        let mut pair = Bare::connected(setup);
        pair.carry(&[1; 16_384], 8);
        pair.carry_back(&[1; 16_384], 8);
        pair
    };
    tell("rustls, after traffic", held(2, bare).0, None);
    met
}
