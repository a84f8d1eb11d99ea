//! Checks the checker: each bug alone, in its own process, until the world finds it.
//!
//! In the crates, `planted!` marks where each bug is planted.

use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Every bug that can be planted.
const BUGS: &[&str] = &[
    "accept-policy-skipped",
    "acknowledged-unread",
    "alert-swallowed",
    "alpn-not-compared",
    "altered-duplicate",
    "answer-of-anybody",
    "answers-lost",
    "authority-delivered",
    "base64-lenient",
    "beginning-forgotten",
    "block-unchecked",
    "changed-key-is-new",
    "close-notify-ignored",
    "close-without-timer",
    "closed-by-anybody",
    "closed-twice",
    "closing-without-timer",
    "commitment-unchecked",
    "confirmation-skipped",
    "confirmed-by-itself",
    "confirmed-untaken",
    "copies-taken",
    "delivered-unverified",
    "duplicate-delivered",
    "false-address-believed",
    "forged-close-is-clean",
    "glare-both-win",
    "glare-both-yield",
    "handshake-without-timer",
    "hello-of-another-sid",
    "moved-is-clean",
    "name-not-compared",
    "no-from-check",
    "no-seq-check",
    "not-stamped",
    "open-without-timer",
    "original-two-under-way",
    "pin-overwritten",
    "proof-unchecked",
    "replaced-by-another-key",
    "seq-wraps-to-one",
    "signature-unchecked",
    "strangers-answered",
    "torn-is-clean",
    "truncation-is-clean",
    "unasked-flight-taken",
    "verdict-skipped",
    "window-ignored",
];

/// Seeds within which a bug must be found.
const SEEDS: u64 = 10_000;

/// Hunts all bugs, or the one with this name.
pub(crate) fn all(only: Option<&String>) -> ExitCode {
    let bugs: Vec<&str> = BUGS
        .iter()
        .copied()
        .filter(|bug| only.is_none_or(|only| only == bug))
        .collect();
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let program = std::env::current_exe().expect("a program");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seeds = SEEDS.to_string();
                    let hunt = Command::new(&program)
                        .args(["--seeds", &seeds, "--threads", "1"])
                        .env("XTLS_PLANTED", bug)
                        .output()
                        .expect("ourselves");
                    let text = String::from_utf8_lossy(&hunt.stdout).into_owned();
                    let found = text
                        .lines()
                        .next()
                        .filter(|line| line.starts_with("VIOLATION"));
                    match found {
                        Some(line) if !hunt.status.success() => println!("{bug:<26} {line}"),
                        _ => {
                            println!("{bug:<26} NOT FOUND in {SEEDS} seeds");
                            missed.lock().expect("no panic").push(*bug);
                        }
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().expect("no panic");
    println!(
        "{} of {} planted bugs found",
        bugs.len() - missed.len(),
        bugs.len()
    );
    if missed.is_empty() && !bugs.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
