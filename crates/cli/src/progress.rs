//! How far a transfer has come: a bar on a terminal, events for programs, nothing otherwise.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use tokio::sync::watch;
use xtls_files::Rate;

use crate::say::{Say, shown};
use crate::throttle::Throttle;

/// One transfer.
pub(crate) struct Progress {
    say: Say,
    shown: Shown,
    rate: Rate,
    bytes: u64,
    /// When a program, or the owner of a row, was told last.
    told: Option<Instant>,
    began: Instant,
    there: u64,
    throttle: Throttle,
}

/// Where people see it.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A bar, if the terminal is there and ours.
    Bar,
    /// A row of a terminal that somebody else draws.
    Row(Row),
    Nowhere,
}

/// A row of text that its owner draws when it changes. Clones write to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What is happening: "sending".
    verb: &'static str,
    text: Arc<watch::Sender<Option<String>>>,
}

impl Row {
    pub(crate) fn new(verb: &'static str) -> (Self, watch::Receiver<Option<String>>) {
        let (text, shown) = watch::channel(None);
        let text = Arc::new(text);
        (Self { verb, text }, shown)
    }
}

enum Shown {
    Bar(ProgressBar),
    Row(Row),
    Nowhere,
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
    pub(crate) fn new(bytes: u64, say: Say, place: Place, throttle: Throttle) -> Self {
        let people = std::io::stderr().is_terminal() && !say.is_json() && !say.is_quiet();
        let shown = match place {
            Place::Bar if people => {
                let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
                // It is the same for every run, and right.
                if let Ok(style) = ProgressStyle::with_template(ROW) {
                    bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
                }
                Shown::Bar(bar)
            }
            Place::Row(row) if people => Shown::Row(row),
            Place::Bar | Place::Row(_) | Place::Nowhere => Shown::Nowhere,
        };
        let bar = match &shown {
            Shown::Bar(bar) => Some(bar.clone()),
            Shown::Row(_) | Shown::Nowhere => None,
        };
        *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
        let now = Instant::now();
        Self {
            say,
            shown,
            rate: Rate::new(now),
            bytes,
            told: None,
            began: now,
            there: 0,
            throttle,
        }
    }

    /// So many bytes of all are on the disk that they are for; `path` is on its way.
    pub(crate) fn update(&mut self, path: &str, total: u64) {
        let now = Instant::now();
        self.rate.update(now, total);
        self.there = total;
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(total);
                bar.set_prefix(self.rest());
                bar.set_message(shown(path));
            }
            Shown::Row(row) if self.is_due(now, OFTEN) => {
                self.told = Some(now);
                let percent = match self.bytes {
                    0 => 100,
                    bytes => u128::from(total) * 100 / u128::from(bytes),
                };
                let all = DecimalBytes(self.bytes);
                let mut text = format!("{} {}: {percent} % of {all}", row.verb, shown(path));
                let rest = self.rest();
                if !rest.is_empty() {
                    text.push_str(", ");
                    text.push_str(&rest);
                }
                row.text.send_replace(Some(text));
            }
            Shown::Row(_) => {}
            Shown::Nowhere if self.say.is_json() && self.is_due(now, EVERY) => {
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
            Shown::Nowhere => {}
        }
    }

    fn is_due(&self, now: Instant, every: Duration) -> bool {
        self.told.is_none_or(|told| now - told >= every)
    }

    /// How fast, and how long it will take.
    fn rest(&self) -> String {
        match (self.rate.per_second(), self.rate.remaining(self.bytes)) {
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
        }
    }

    fn limited(&self) -> &'static str {
        match self.throttle.is_noticed() {
            true => ", limited by the server",
            false => "",
        }
    }

    /// Ends it, and says how much was stored in which time.
    pub(crate) fn end(self) -> (u64, Duration) {
        BAR.lock().unwrap_or_else(PoisonError::into_inner).take();
        match &self.shown {
            Shown::Bar(bar) => bar.finish_and_clear(),
            Shown::Row(row) => drop(row.text.send_replace(None)),
            Shown::Nowhere => {}
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

/// How many bytes, for people.
pub(crate) fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// How often a row changes, at most.
const OFTEN: Duration = Duration::from_millis(500);

/// How often programs are told.
const EVERY: Duration = Duration::from_secs(1);
