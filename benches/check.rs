//! The ratios that must hold, measured in one run: `cargo xtask bench --check` runs this.
//!
//! Contenders take turns within each round, and each is timed by the CPU time of its thread, which
//! leaves out what else runs on the machine. Its turn is a few runs in a row of which the fastest counts,
//! because the first one finds the caches as the contender before left them. A figure is the median over
//! the rounds, a ratio the median of the ratios of each round.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot go on says so by failing, and prints a table"
)]

use std::hint::black_box;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bytes::BytesMut;
use rustix::time::{ClockId, clock_gettime};
use xtls_benches::chunk::Chunk;
use xtls_benches::expat::Expat;
use xtls_benches::{framing, strict, workloads};

const ROUNDS: usize = 75;
/// Runs in a row of one contender.
const TURN: usize = 3;
/// Reads or writes of one chunk that are timed together.
const CHUNKS: usize = 64;

/// A bar: `fast` must be at least `least` times as fast as `slow`.
struct Bar {
    fast: &'static str,
    slow: &'static str,
    least: f64,
}

const fn bar(fast: &'static str, least: f64, slow: &'static str) -> Bar {
    Bar { fast, slow, least }
}

/// A contender: does its work once and says how long that took.
type Contender<'a> = (&'static str, Box<dyn FnMut() -> Duration + 'a>);

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let (Some(program), Some(folder)) = (args.next(), args.next()) else {
        eprintln!("please run `cargo xtask bench --check`");
        return ExitCode::from(2);
    };
    let mut expat = Expat::start(&program, Path::new(&folder));
    let mut met = true;
    for (number, (name, stream)) in workloads().iter().enumerate() {
        met &= streams(name, number, stream, &mut expat);
    }
    for (name, block, share) in [("base64 4096", 4096, 0.4), ("base64 65535", 65_535, 0.8)] {
        met &= chunk(name, block, share);
    }
    if met {
        println!("\nall bars are met");
        ExitCode::SUCCESS
    } else {
        println!("\nnot all bars are met");
        ExitCode::FAILURE
    }
}

fn streams(name: &str, number: usize, stream: &[u8], expat: &mut Expat) -> bool {
    let text = str::from_utf8(stream).expect("UTF-8");
    let stanzas = framing::quick_xml(text);
    assert_eq!(stanzas, framing::framer(stream));
    assert_eq!(stanzas, framing::cutter(&mut framing::buffer(stream)));
    assert_eq!(stanzas, framing::rxml(stream));
    assert_eq!(stanzas, strict::framer(stream));

    let contenders: Vec<Contender<'_>> = vec![
        ("rxml", timed(|| framing::rxml(black_box(stream)))),
        ("expat", Box::new(|| expat.parse(number, 1))),
        ("quick-xml", timed(|| framing::quick_xml(black_box(text)))),
        ("framer", timed(|| framing::framer(black_box(stream)))),
        ("cutter", in_place(stream, framing::cutter)),
        (
            "framer + strict",
            timed(|| strict::framer(black_box(stream))),
        ),
        ("cutter + strict", in_place(stream, strict::cutter)),
    ];
    let bars: &[Bar] = match name {
        "chat" => &[
            bar("cutter", 25.0, "rxml"),
            bar("framer", 25.0, "rxml"),
            bar("cutter", 2.2, "quick-xml"),
            bar("framer", 2.2, "quick-xml"),
            bar("framer + strict", 8.0, "rxml"),
            bar("framer + strict", 2.0, "expat"),
        ],
        "ibb-4096" => &[
            bar("cutter", 2.5, "quick-xml"),
            bar("cutter", 100.0, "rxml"),
            bar("framer", 100.0, "rxml"),
        ],
        _ => &[],
    };
    table(name, stanzas, stream.len(), contenders, bars)
}

fn chunk(name: &str, block: usize, share: f64) -> bool {
    let read = Chunk::new(block);
    let [mut write, mut decode, mut encode] = [block; 3].map(Chunk::new);
    assert_eq!(read.read(), block);
    assert_eq!(decode.bare_decode(), block);

    let repeat =
        |work: &mut dyn FnMut() -> usize| (0..CHUNKS).map(|_| black_box(work())).sum::<usize>();
    let contenders: Vec<Contender<'_>> = vec![
        (
            "bare decode",
            timed(|| repeat(&mut || decode.bare_decode())),
        ),
        ("read", timed(|| repeat(&mut || read.read()))),
        (
            "bare encode",
            timed(|| repeat(&mut || encode.bare_encode())),
        ),
        ("write", timed(|| repeat(&mut || write.write()))),
    ];
    let bars = [
        bar("read", share, "bare decode"),
        bar("write", share, "bare encode"),
    ];
    table(name, CHUNKS, CHUNKS * block, contenders, &bars)
}

/// Runs the rounds and prints the outcome; whether all bars are met.
fn table(
    name: &str,
    items: usize,
    bytes: usize,
    mut contenders: Vec<Contender<'_>>,
    bars: &[Bar],
) -> bool {
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

fn timed<'a>(mut work: impl FnMut() -> usize + 'a) -> Box<dyn FnMut() -> Duration + 'a> {
    Box::new(move || {
        let start = now();
        black_box(work());
        now() - start
    })
}

/// The buffer is filled before and dropped after.
fn in_place<'a>(
    stream: &'a [u8],
    work: impl Fn(&mut BytesMut) -> usize + 'a,
) -> Box<dyn FnMut() -> Duration + 'a> {
    Box::new(move || {
        let mut buffer = framing::buffer(stream);
        let start = now();
        black_box(work(black_box(&mut buffer)));
        now() - start
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    values.get(middle).copied().unwrap_or_default()
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a clock that runs forwards")
}
