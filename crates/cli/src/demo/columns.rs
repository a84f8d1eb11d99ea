//! The display: what the server saw on the left, what the peers said on the right.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use xtls_client::relay::Seen;
use xtls_stanza::{Address, Content, Envelope, Payload};

use super::records::{Part, Records};
use crate::failure::Failure;
use crate::say::visible;

/// Something to show.
#[derive(Debug, Clone)]
pub(super) enum Row {
    /// The server forwarded a stanza.
    Carrying(Seen),
    /// A stanza came out of the tunnel.
    Inner {
        at: Duration,
        who: String,
        xml: Vec<u8>,
    },
    /// One side may send now.
    Ready { at: Duration, who: String },
    /// One side has learned that both have accepted each other.
    Established {
        at: Duration,
        who: String,
        key: String,
    },
    /// Anything else.
    Note {
        at: Duration,
        who: String,
        text: String,
    },
}

/// Draws rows and counts them.
#[derive(Debug)]
pub(super) struct Columns {
    width: usize,
    full: bool,
    records: BTreeMap<Address, Records>,
    carrying: u64,
    carrying_bytes: u64,
    inner: u64,
    inner_bytes: u64,
    ready: Option<Duration>,
    secure: Option<Duration>,
    first_word: Option<Duration>,
    last: Duration,
}

impl Columns {
    pub(super) fn new(full: bool) -> Self {
        let width = terminal_size::terminal_size().map_or(120, |(width, _)| usize::from(width.0));
        Self {
            width: width.clamp(80, 200),
            full,
            records: BTreeMap::new(),
            carrying: 0,
            carrying_bytes: 0,
            inner: 0,
            inner_bytes: 0,
            ready: None,
            secure: None,
            first_word: None,
            last: Duration::ZERO,
        }
    }

    pub(super) fn head(&self) -> Result<(), Failure> {
        let bold = Style::new().bold();
        let dim = Style::new().dimmed();
        let left = pad("what the server saw", self.half());
        line(format_args!(
            "{bold}   ms  {left}{bold:#} {dim}│{dim:#} {bold}what the peers said{bold:#}"
        ))?;
        line(format_args!(
            "{dim}{}┼{}{dim:#}",
            "─".repeat(8 + self.half()),
            "─".repeat(self.half())
        ))
    }

    pub(super) fn show(&mut self, row: &Row) -> Result<(), Failure> {
        let at = super::at(row);
        self.last = self.last.max(at);
        match row {
            Row::Carrying(seen) => self.carrying(seen),
            Row::Inner { who, xml, .. } => {
                self.inner += 1;
                self.inner_bytes += xml.len() as u64;
                self.first_word.get_or_insert(at);
                let text = visible(&String::from_utf8_lossy(xml));
                let text = if self.full {
                    text
                } else {
                    text.replacen(" xmlns='jabber:client'", "", 1)
                };
                self.right(at, &format!("{who}: {text}"), colour(who))
            }
            Row::Ready { who, .. } => {
                self.ready.get_or_insert(at);
                self.right(at, &format!("{who} may send"), Style::new().dimmed())
            }
            Row::Established { who, key, .. } => {
                self.secure = Some(at);
                let short: String = key.chars().take(17).collect();
                self.right(
                    at,
                    &format!("{who} is secure; the peer's key is {short} …"),
                    Style::new().bold(),
                )
            }
            Row::Note { who, text, .. } => {
                self.right(at, &format!("{who}: {text}"), Style::new().dimmed())
            }
        }
    }

    fn carrying(&mut self, seen: &Seen) -> Result<(), Failure> {
        self.carrying += 1;
        self.carrying_bytes += seen.xml.len() as u64;
        let who = seen
            .from
            .local()
            .unwrap_or_else(|| seen.from.domain())
            .to_owned();
        let arrow = if who == "romeo" { "→" } else { "←" };
        let what = self.describe(seen);
        let text = format!("{arrow} {:>5} B  {what}", seen.xml.len());
        let style = colour(&who);
        let dim = Style::new().dimmed();
        let left = pad(&text, self.half());
        line(format_args!(
            "{dim}{:>5}{dim:#}  {style}{left}{style:#} {dim}│{dim:#}",
            millis(seen.at)
        ))?;
        if self.full {
            line(format_args!(
                "{dim}{}{dim:#}",
                visible(&String::from_utf8_lossy(&seen.xml))
            ))?;
        }
        Ok(())
    }

    /// A carrying stanza in a few words: only what a server can see.
    fn describe(&mut self, seen: &Seen) -> String {
        let Ok(envelope) = Envelope::read(&seen.xml) else {
            return "?".to_owned();
        };
        match &envelope.content {
            Content::Set(Payload::Open(open)) => {
                format!(
                    "<open block-size='{}'><start/></open>",
                    open.block_size.get()
                )
            }
            Content::Set(Payload::Data(data)) => {
                let parts = self
                    .records
                    .entry(seen.from.clone())
                    .or_default()
                    .follow(&data.bytes);
                let parts: Vec<_> = parts.iter().map(Part::to_string).collect();
                format!("<data seq='{}'> {}", data.seq.0, parts.join(" + "))
            }
            Content::Set(Payload::Close(_)) => "<close/> of the stream".to_owned(),
            Content::Set(Payload::Xtls(control)) => format!("<{}/> of xtls", control.name()),
            Content::Result(Some(Payload::Xtls(control))) => {
                format!("result <{}/>", control.name())
            }
            Content::Result(None) => "result".to_owned(),
            Content::Error(error) => format!("error {}", error.condition.name()),
            Content::Get(_)
            | Content::Set(_)
            | Content::Result(Some(_))
            | Content::Message { .. }
            | Content::Presence { .. } => "a stanza".to_owned(),
        }
    }

    fn right(&self, at: Duration, text: &str, style: Style) -> Result<(), Failure> {
        let dim = Style::new().dimmed();
        let blank = " ".repeat(self.half());
        for (nth, part) in wrap(text, self.half(), if self.full { usize::MAX } else { 2 })
            .iter()
            .enumerate()
        {
            let time = if nth == 0 {
                millis(at).to_string()
            } else {
                String::new()
            };
            line(format_args!(
                "{dim}{time:>5}{dim:#}  {blank} {dim}│{dim:#} {style}{part}{style:#}"
            ))?;
        }
        Ok(())
    }

    /// Draws the totals, and returns them.
    pub(super) fn foot(&self, latency: Duration) -> Result<Vec<(&'static str, f64)>, Failure> {
        let dim = Style::new().dimmed();
        line(format_args!(
            "{dim}{}┴{}{dim:#}",
            "─".repeat(8 + self.half()),
            "─".repeat(self.half())
        ))?;
        let trip = latency * 2;
        let trips = |at: Option<Duration>| match at {
            Some(at) if !trip.is_zero() => Some(at.as_secs_f64() / trip.as_secs_f64()),
            _ => None,
        };
        line(format_args!(
            "the server carried {} stanzas, {} bytes; the peers exchanged {} stanzas, {} bytes, and it could read none",
            self.carrying, self.carrying_bytes, self.inner, self.inner_bytes
        ))?;
        let mut totals = vec![
            ("carrying_stanzas", self.carrying as f64),
            ("carrying_bytes", self.carrying_bytes as f64),
            ("inner_stanzas", self.inner as f64),
            ("inner_bytes", self.inner_bytes as f64),
            ("seconds", self.last.as_secs_f64()),
        ];
        let steps = [
            (
                "the initiator could send",
                "round_trips_to_speak",
                self.ready,
            ),
            (
                "the first stanza was read",
                "round_trips_to_first_word",
                self.first_word,
            ),
            (
                "both sides were secure",
                "round_trips_to_secure",
                self.secure,
            ),
        ];
        for (text, name, at) in steps {
            if let (Some(at), Some(trips)) = (at, trips(at)) {
                line(format_args!(
                    "{text} after {trips:.1} round trips ({} ms)",
                    millis(at)
                ))?;
                totals.push((name, trips));
            }
        }
        line(format_args!(
            "{:.2} s in total, at {} ms one way",
            self.last.as_secs_f64(),
            latency.as_millis()
        ))?;
        Ok(totals)
    }

    fn half(&self) -> usize {
        (self.width - 10) / 2
    }
}

fn colour(who: &str) -> Style {
    match who {
        "romeo" => AnsiColor::Cyan.on_default(),
        _ => AnsiColor::Magenta.on_default(),
    }
}

fn millis(at: Duration) -> u128 {
    at.as_millis()
}

/// Pads or truncates to `width` columns. Every character shown here takes one column.
fn pad(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let missing = width.saturating_sub(text.chars().count());
    text + &" ".repeat(missing)
}

/// Wraps text to at most `lines` lines of `width` columns; the rest is cut off.
fn wrap(text: &str, width: usize, lines: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut parts: Vec<String> = letters
        .chunks(width.max(1))
        .map(|part| part.iter().collect())
        .collect();
    if parts.len() > lines {
        parts.truncate(lines);
        if let Some(last) = parts.last_mut() {
            last.pop();
            last.push('…');
        }
    }
    parts
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn line(text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    writeln!(anstream::stdout().lock(), "{text}").map_err(|error| Failure::of_output(&error))
}
