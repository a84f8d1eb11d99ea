//! The targets on stable Rust alone: `plain TARGET CORPORA SECONDS RUNS SEED`, or `plain TARGET FILE…` to check files.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use xtls_fuzz::{Checker, Finding, Target, keep, plain};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.as_slice() {
        [name, corpora, seconds, runs, seed] if Path::new(corpora).is_dir() => {
            let number = |text: &str| text.parse::<u64>().expect("a number");
            run(
                target(name),
                Path::new(corpora),
                Duration::from_secs(number(seconds)),
                number(runs),
                number(seed),
            )
        }
        [name, files @ ..] if !files.is_empty() => check(target(name), files),
        _ => panic!("plain TARGET CORPORA SECONDS RUNS SEED, or plain TARGET FILE…"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(finding) => {
            eprintln!("finding: {finding}\n  kept as {}", keep(&finding).display());
            ExitCode::FAILURE
        }
    }
}

fn target(name: &str) -> Target {
    Target::from_name(name).expect("the name of a target")
}

/// Until one of the limits is reached; 0 means no limit.
fn run(
    target: Target,
    corpora: &Path,
    time: Duration,
    runs: u64,
    seed: u64,
) -> Result<(), Finding> {
    let start = Instant::now();
    let mut next = 0;
    let count = plain(target, corpora, seed, |count| {
        // The clock is read only now and then.
        if count >= next {
            next = count + 1000;
            if !time.is_zero() && start.elapsed() >= time {
                return false;
            }
        }
        runs == 0 || count < runs
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{count} executions in {seconds:.1} s, {:.0} a second",
        count as f64 / seconds
    );
    Ok(())
}

fn check(target: Target, files: &[String]) -> Result<(), Finding> {
    let mut checker = Checker::start(target);
    for file in files {
        checker.check(&std::fs::read(file).expect("a file"))?;
    }
    checker.finish()?;
    println!("{} files, no finding", files.len());
    Ok(())
}
