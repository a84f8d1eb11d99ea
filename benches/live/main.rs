//! Bytestreams through a real Prosody without limits: `cargo xtask bench ibb` runs this.
//!
//! First a sweep of bare iqs finds the best fixed pair of block and window. Then, in each round, that pair, our stream
//! at its defaults, our stream with one chunk under way and slixmpp take turns. A ratio is the median of the ratios of
//! each round, so that other load on the machine affects both sides.

#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a benchmark that cannot go on says so by failing, prints a table, and measures time"
)]

mod beside;
mod citizens;
mod clients;
mod hand;
mod link;
mod ours;
mod paths;
mod raw;
mod slix;
mod verbs;

use std::process::ExitCode;
use std::time::Duration;

use link::Server;
use ours::Ours;
use raw::{Fixed, Raw};
use slix::Slixmpp;

/// Interleaved rounds.
const ROUNDS: usize = 21;
/// How often each pair of the sweep is measured.
const SWEEPS: usize = 3;
const BLOCKS: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_535];
const WINDOWS: [usize; 5] = [1, 2, 4, 8, 16];
/// Bytes of one run: of the sweep, of the fast contenders, with one chunk under way, of slixmpp.
const SWEEP: usize = 1 << 20;
const BULK: usize = 4 << 20;
const ONE_CHUNK: usize = 1 << 20;
const SLIXMPP: usize = 512 << 10;

/// The bars: who, compared with whom, at least how much.
const BARS: [(&str, &str, f64); 3] = [
    ("default", "best fixed", 0.80),
    ("one chunk", "slixmpp", 2.2),
    ("default", "slixmpp", 4.0),
];

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let check = std::env::args().any(|arg| arg == "--check");
    if std::env::args().any(|arg| arg == "link") {
        return beside::run(check).await;
    }
    if std::env::args().any(|arg| arg == "citizens") {
        return citizens::run(check).await;
    }
    if std::env::args().any(|arg| arg == "paths") {
        return paths::run(check).await;
    }
    if std::env::args().any(|arg| arg == "verbs") {
        return verbs::run(check).await;
    }
    let (Some(server), Ok(python)) = (
        Server::named_in("XTLS_PROSODY_QUIET"),
        std::env::var("XTLS_INTEROP_PYTHON"),
    ) else {
        eprintln!("please run `cargo xtask bench ibb`");
        return ExitCode::from(2);
    };
    let mut raw = Raw::start(&server).await;
    let best = sweep(&mut raw).await;
    let mut ours = Ours::start(&server).await;
    let mut slixmpp = Slixmpp::start(&server, &python).await;

    println!("\n{ROUNDS} rounds, MB/s of payload");
    let names = ["best fixed", "default", "one chunk", "slixmpp"];
    let mut rates: [Vec<f64>; 4] = Default::default();
    for round in 0..=ROUNDS {
        let fixed = raw.run(BULK, best).await;
        let (default, stats) = ours.default(BULK).await;
        let (one_chunk, _) = ours.one_chunk(ONE_CHUNK).await;
        let theirs = slixmpp.run(SLIXMPP).await;
        let figures = [
            rate(BULK, fixed),
            rate(BULK, default),
            rate(ONE_CHUNK, one_chunk),
            rate(SLIXMPP, theirs),
        ];
        let [fixed, default, one_chunk, theirs] = figures;
        println!(
            "{round:>2}: fixed {fixed:6.2}, default {default:6.2} (at the end {} under way, chunks of {}), one chunk \
             {one_chunk:5.2}, slixmpp {theirs:5.2}",
            stats.window, stats.chunk
        );
        // The first round warms up all contenders.
        if round > 0 {
            for (rates, figure) in rates.iter_mut().zip(figures) {
                rates.push(figure);
            }
        }
    }

    println!();
    for (name, rates) in names.iter().zip(&rates) {
        println!("{name:<12} {:>7.2} MB/s", median(rates.clone()));
    }
    println!();
    let of = |name: &str| {
        let mut pairs = names.iter().zip(&rates);
        pairs
            .find(|(other, _)| **other == name)
            .map(|(_, rates)| rates)
            .expect("a contender")
    };
    let mut met = true;
    for (what, beside, least) in BARS {
        let ratios: Vec<f64> = of(what)
            .iter()
            .zip(of(beside))
            .map(|(a, b)| a / b)
            .collect();
        met &= reaches(&format!("{what} / {beside}"), ratios, least);
    }
    if met || !check {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The pair with the best median; passes over all pairs take turns.
async fn sweep(raw: &mut Raw) -> Fixed {
    let pairs: Vec<Fixed> = BLOCKS
        .iter()
        .flat_map(|&block| WINDOWS.map(|window| Fixed { block, window }))
        .collect();
    let mut rates = vec![Vec::new(); pairs.len()];
    for _ in 0..SWEEPS {
        for (&pair, rates) in pairs.iter().zip(&mut rates) {
            rates.push(rate(SWEEP, raw.run(SWEEP, pair).await));
        }
    }
    let medians: Vec<f64> = rates.into_iter().map(median).collect();
    println!("bare iqs, MB/s of payload (chunks under way →)");
    println!(
        "{:>8} {}",
        "block",
        WINDOWS.map(|w| format!("{w:>7}")).concat()
    );
    for (&block, row) in BLOCKS.iter().zip(medians.chunks(WINDOWS.len())) {
        let row: String = row.iter().map(|rate| format!("{rate:>7.2}")).collect();
        println!("{block:>8} {row}");
    }
    let best = pairs.into_iter().zip(medians);
    let (best, rate) = best
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .expect("a pair");
    println!("best: {best:?} with {rate:.2} MB/s");
    best
}

/// Prints the ratios of the rounds, and says whether their median reaches the bar.
fn reaches(what: &str, ratios: Vec<f64>, least: f64) -> bool {
    let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = ratios.iter().copied().fold(0.0, f64::max);
    let ratio = median(ratios);
    let verdict = if ratio >= least { "met" } else { "MISSED" };
    println!("{what}: {ratio:.2} [{lowest:.2} to {highest:.2}], at least {least:.2}: {verdict}");
    ratio >= least
}

fn rate(size: usize, time: Duration) -> f64 {
    size as f64 / time.as_secs_f64() / 1e6
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
