//! Runs contenders against each other and checks the bars that their ratios must reach.
//!
//! Contenders take turns within each round, and each is timed by the CPU time of its thread, so that other load on the
//! machine does not matter. A turn is a few consecutive runs, of which the fastest counts, because the first one finds
//! the caches as the previous contender left them. A figure is the median over the rounds, a ratio the median of the
//! ratios of each round.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints a table"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 75;
/// Consecutive runs of one contender.
const TURN: usize = 3;

/// A bar: `fast` must be at least `least` times as fast as `slow`.
pub struct Bar {
    /// The contender that must be fast.
    pub fast: &'static str,
    /// The contender it is compared with.
    pub slow: &'static str,
    /// The least factor.
    pub least: f64,
}

/// A bar.
#[must_use]
pub const fn bar(fast: &'static str, least: f64, slow: &'static str) -> Bar {
    Bar { fast, slow, least }
}

/// A contender: does its work once and returns how long that took.
pub type Contender<'a> = (&'static str, Box<dyn FnMut() -> Duration + 'a>);

/// What the contenders of one table work on.
pub struct Table<'a> {
    /// Its name.
    pub name: &'a str,
    /// Items of work per turn.
    pub items: usize,
    /// Bytes per turn.
    pub bytes: usize,
}

impl Table<'_> {
    /// Runs the rounds and prints the results; returns whether all bars are met.
    #[must_use]
    pub fn run(&self, mut contenders: Vec<Contender<'_>>, bars: &[Bar]) -> bool {
        let (name, items, bytes) = (self.name, self.items, self.bytes);
        let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
        for round in 0..=ROUNDS {
            for ((_, contender), times) in contenders.iter_mut().zip(&mut times) {
                let runs = (0..TURN).map(|_| contender());
                let time = runs.min().unwrap_or_default().as_secs_f64();
                // The first round warms up.
                if round > 0 {
                    times.push(time);
                }
            }
        }
        println!("\n{name:<28} {:>12} {:>10}", "ns an item", "MB/s");
        for ((contender, _), times) in contenders.iter().zip(&times) {
            let time = median(times.clone());
            let (each, rate) = (time * 1e9 / items as f64, bytes as f64 / time / 1e6);
            println!("  {contender:<26} {each:>12.1} {rate:>10.0}");
        }
        let of = |name| {
            let found = contenders.iter().zip(&times).find(|((n, _), _)| *n == name);
            found.expect("a bar names two contenders").1
        };
        let mut all = true;
        for bar in bars {
            let ratios = of(bar.slow)
                .iter()
                .zip(of(bar.fast))
                .map(|(slow, fast)| slow / fast);
            let ratio = median(ratios.collect());
            let met = ratio >= bar.least;
            all &= met;
            let verdict = if met { "met" } else { "MISSED" };
            let pair = format!("{} / {}", bar.fast, bar.slow);
            println!("  {pair:<26} {ratio:>12.2} {:>10.2}  {verdict}", bar.least);
        }
        all
    }
}

/// A contender that is timed from the first to the last of its work.
#[must_use]
pub fn timed<'a>(mut work: impl FnMut() -> usize + 'a) -> Box<dyn FnMut() -> Duration + 'a> {
    Box::new(move || {
        let start = now();
        black_box(work());
        now() - start
    })
}

/// Prints the result, and ends the program with a failure if it is checking and is below a bar.
#[must_use]
pub fn verdict(met: bool, check: bool) -> ExitCode {
    println!("\n{} bars are met", if met { "all" } else { "not all" });
    if met || !check {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The median.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    values.get(middle).copied().unwrap_or_default()
}

/// The CPU time of this thread.
#[must_use]
pub fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a clock that runs forwards")
}
