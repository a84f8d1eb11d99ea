//! The memory that sessions hold: `cargo xtask bench session` runs this after `main.rs`. With `--check` it fails
//! above the limits.

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
mod many;
mod over_relay;

use std::process::ExitCode;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use xtls_benches::bars::{now, verdict};
use xtls_session::{Binding, Mode};
use xtls_tls::{Expectations, Role, Tls};

use crate::keys::context;
use crate::many::Many;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    let check = std::env::args().any(|arg| arg == "--check");
    let met = memory() & tunnels() & idle();
    verdict(met, check)
}

/// Memory of one end that has been used and is idle.
fn memory() -> bool {
    const ENDS: usize = 1000;
    let before = HEAP.current_usage();
    let many = Many::alone(ENDS);
    let each = (HEAP.current_usage() - before) / ENDS;
    drop(many);

    // TLS alone, after the same traffic.
    let before = HEAP.current_usage();
    let pair = [Role::Client, Role::Server].map(|role| context(role, Mode::Stanzas));
    let ends: Vec<Tls> = (0..ENDS).map(|_| tls_alone(&pair)).collect();
    let alone = (HEAP.current_usage() - before) / ENDS;
    drop(ends);
    println!("\nheap of an idle established end after traffic");
    let mut met = limit("everything", each, 28 << 10, "bytes");
    met &= limit("without TLS", each.saturating_sub(alone), 6 << 10, "bytes");
    met
}

/// Memory of both ends of a tunnel, from the handle of one to the handle of the other.
fn tunnels() -> bool {
    let each = over_relay::added(200, || HEAP.current_usage());
    println!("\nheap of a tunnel over the relay, idle after a stanza each way");
    limit(
        "both ends of a tunnel over the relay",
        each,
        48 << 10,
        "bytes",
    )
}

/// A client that has done the same as each end above, and shares as much with the others.
fn tls_alone(pair: &[(Binding, xtls_tls::Config, Expectations); 2]) -> Tls {
    let [client, server] = pair.each_ref().map(|(binding, config, expect)| {
        Tls::new(binding.role, config, expect.clone()).expect("TLS")
    });
    let (mut client, mut server) = (client, server);
    for round in 0..8 {
        let mut plain = bytes::BytesMut::new();
        while let Some(wire) = client.poll_wire(usize::MAX) {
            server.handle_wire(&wire, &mut plain);
        }
        while let Some(wire) = server.poll_wire(usize::MAX) {
            client.handle_wire(&wire, &mut plain);
        }
        if round == 4 {
            client.write(&[0x5a; 20_000]).expect("room");
            server.write(&[0x5a; 20_000]).expect("room");
        }
    }
    client
}

/// Many idle ends in one process.
fn idle() -> bool {
    const ENDS: usize = 10_000;
    const PROBED: usize = 200;
    println!("\n{ENDS} idle ends");
    let before = resident();
    let mut many = Many::alone(ENDS);
    let held = resident().saturating_sub(before);
    let mut met = limit(
        "resident memory, in all of the process",
        resident() >> 20,
        320,
        "MiB",
    );
    println!("  of it theirs {:>38} MiB", held >> 20);
    let start = now();
    // Just before the first sign of life is requested.
    let fired = many.wait(Duration::from_secs(290));
    let used = (now() - start).as_secs_f64() / 290.0 * 100.0;
    println!("  {fired} timers; {used:.4} % of a core while nothing happens");
    drop(many);

    let (fired, each) = probed(PROBED);
    println!("  {fired} timers of {PROBED} ends in an hour, both ends counted");
    let used = each * fired as f64 / 3600.0 * ENDS as f64 * 100.0;
    let hundredths = (used * 100.0).ceil();
    met &= hundredths < 100.0;
    println!(
        "  {:<44} {used:>10.2} %      below 1.00 %  {}",
        "of a core, signs of life included",
        if hundredths < 100.0 { "met" } else { "MISSED" }
    );
    // Ten times as many: the cost of finding the next timer grows logarithmically. With a linear search it would be ten
    // times as high.
    let (_, more) = probed(10 * PROBED);
    met &= limit(
        "an end's share among ten times as many ends",
        (more / each * 100.0) as usize,
        250,
        "% of before",
    );
    met
}

/// How often the timers of this many ends fire in an hour, and the seconds that each firing takes per end, including
/// all consequences.
fn probed(ends: usize) -> (usize, f64) {
    let mut many = Many::connected(ends);
    let start = now();
    let fired = many.wait(Duration::from_secs(3600));
    let seconds = (now() - start).as_secs_f64();
    (fired, seconds / fired as f64 / ends as f64)
}

fn limit(name: &str, found: usize, most: usize, unit: &str) -> bool {
    let met = found <= most;
    let verdict = if met { "met" } else { "MISSED" };
    println!("  {name:<44} {found:>10} {unit}  at most {most}  {verdict}");
    met
}

/// Resident memory of this process in bytes (Linux).
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line
        .and_then(|line| line.split_whitespace().next())
        .and_then(|n| n.parse::<usize>().ok());
    number.unwrap_or_default() << 10
}
