//! How far a transfer has come: a bar on a terminal, events for programs, nothing otherwise.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use xtls_files::Rate;

use crate::say::{Say, shown};

/// One transfer.
pub(crate) struct Progress {
    say: Say,
    bar: Option<ProgressBar>,
    rate: Rate,
    bytes: u64,
    /// When programs were told last.
    told: Option<Instant>,
    began: Instant,
    there: u64,
}

/// The bar on the terminal, below everything else that is written to it.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Runs something that writes to the terminal, with no bar in its way.
pub(crate) fn aside<T>(write: impl FnOnce() -> T) -> T {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

impl Progress {
    /// Begins with the number of bytes that there are.
    pub(crate) fn new(bytes: u64, say: Say) -> Self {
        Self::with(
            bytes,
            say,
            std::io::stderr().is_terminal() && !say.is_json() && !say.is_quiet(),
        )
    }

    /// The same where the terminal belongs to somebody else.
    pub(crate) fn without_bar(bytes: u64, say: Say) -> Self {
        Self::with(bytes, say, false)
    }

    fn with(bytes: u64, say: Say, visible: bool) -> Self {
        let bar = visible.then(|| {
            let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
            // It is the same for every run, and right.
            if let Ok(style) = ProgressStyle::with_template(ROW) {
                bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
            }
            bar
        });
        BAR.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&bar);
        let now = Instant::now();
        Self {
            say,
            bar,
            rate: Rate::new(now),
            bytes,
            told: None,
            began: now,
            there: 0,
        }
    }

    /// So many bytes of all are on the disk that they are for; `path` is on its way.
    pub(crate) fn update(&mut self, path: &str, total: u64) {
        let now = Instant::now();
        self.rate.update(now, total);
        self.there = total;
        if let Some(bar) = &self.bar {
            bar.set_position(total);
            let rest = match (self.rate.per_second(), self.rate.remaining(self.bytes)) {
                (Some(rate), Some(time)) => {
                    format!(
                        "{}/s, {} left{}",
                        DecimalBytes(rate),
                        HumanDuration(time),
                        self.limited()
                    )
                }
                (Some(rate), None) => format!("{}/s{}", DecimalBytes(rate), self.limited()),
                (None, _) => String::new(),
            };
            bar.set_prefix(rest);
            bar.set_message(shown(path));
        } else if self.say.is_json() && self.told.is_none_or(|told| now - told >= EVERY) {
            self.told = Some(now);
            self.say.data(
                "progress",
                &[
                    ("path", path.into()),
                    ("stored", total.into()),
                    ("bytes", self.bytes.into()),
                    ("rate", Value::from(self.rate.per_second())),
                ],
            );
        }
    }

    /// What servers as they come let through is far less than any disk or network, and steady.
    fn limited(&self) -> &'static str {
        let slow = self.rate.per_second().is_some_and(|rate| rate < THROTTLED);
        match slow && self.began.elapsed() > SETTLED {
            true => ", limited by the server",
            false => "",
        }
    }

    /// Ends it, and says how much was stored in which time.
    pub(crate) fn end(self) -> (u64, Duration) {
        BAR.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        (self.there, self.began.elapsed())
    }
}

/// "1 file, 3 kB".
pub(crate) fn amount(files: u32, bytes: u64) -> String {
    let files = match files {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    format!("{files}, {}", DecimalBytes(bytes))
}

/// The bar, and below it how fast and what. It fits into 40 columns and grows.
const ROW: &str = "{wide_bar} {percent:>3} % of {decimal_total_bytes}\n{wide_msg} {prefix}";

/// How often programs are told.
const EVERY: Duration = Duration::from_secs(1);

/// Bytes a second: a stock Prosody lets less than a tenth of this through.
const THROTTLED: u64 = 64_000;

/// How long a rate takes to mean something.
const SETTLED: Duration = Duration::from_secs(5);
