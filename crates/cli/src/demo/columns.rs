//! The full display: what the server saw on the left, what the peers said on the right.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use xtls_client::relay::Seen;
use xtls_stanza::{Address, Content, Envelope, Payload};

use super::row::Row;
use super::totals::Totals;
use crate::failure::Failure;
use crate::records::{Part, Records};
use crate::say::{cut, visible};

/// Draws every row.
#[derive(Debug)]
pub(super) struct Columns {
    width: usize,
    records: BTreeMap<Address, Records>,
}

impl Columns {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width: width.clamp(NARROWEST, WIDEST),
            records: BTreeMap::new(),
        }
    }

    /// There is no room for two columns: what would be beside stands below.
    fn is_stacked(&self) -> bool {
        self.width < STACKED
    }

    pub(super) fn head(&self) -> Result<(), Failure> {
        let bold = Style::new().bold();
        let dim = Style::new().dimmed();
        if self.is_stacked() {
            let text = "   ms  what the server saw (→ ←), and below what the peers said";
            return line(format_args!("{bold}{}{bold:#}", cut(text, self.width)));
        }
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
        let at = row.at();
        match row {
            Row::Carrying(seen) => self.carrying(seen),
            Row::Inner { who, xml, .. } => {
                let text = visible(&String::from_utf8_lossy(xml));
                self.right(at, &format!("{who}: {text}"), colour(who))
            }
            Row::Ready { who, .. } => {
                self.right(at, &format!("{who} may send"), Style::new().dimmed())
            }
            Row::Established { who, key, .. } => {
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
        let who = sender(seen);
        let arrow = arrow(who);
        let what = self.describe(seen);
        let text = format!("{arrow} {:>5} B  {what}", seen.xml.len());
        let style = colour(who);
        let dim = Style::new().dimmed();
        let left = pad(&text, self.half());
        let border = if self.is_stacked() { "" } else { " │" };
        line(format_args!(
            "{dim}{:>5}{dim:#}  {style}{left}{style:#}{dim}{border}{dim:#}",
            millis(seen.at)
        ))?;
        line(format_args!(
            "{dim}{}{dim:#}",
            visible(&String::from_utf8_lossy(&seen.xml))
        ))
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
        let beside = if self.is_stacked() {
            String::new()
        } else {
            format!("{} │ ", " ".repeat(self.half()))
        };
        for (nth, part) in wrap(text, self.half()).iter().enumerate() {
            let time = if nth == 0 {
                millis(at).to_string()
            } else {
                String::new()
            };
            line(format_args!(
                "{dim}{time:>5}  {beside}{dim:#}{style}{part}{style:#}"
            ))?;
        }
        Ok(())
    }

    /// Draws the totals.
    pub(super) fn foot(&self, totals: &Totals, latency: Duration) -> Result<(), Failure> {
        let dim = Style::new().dimmed();
        if !self.is_stacked() {
            line(format_args!(
                "{dim}{}┴{}{dim:#}",
                "─".repeat(8 + self.half()),
                "─".repeat(self.half())
            ))?;
        }
        line(format_args!(
            "the server carried {} stanzas, {} bytes; the peers exchanged {} stanzas, {} bytes, and it could read none",
            totals.carrying, totals.carrying_bytes, totals.inner, totals.inner_bytes
        ))?;
        for (text, _, at, trips) in totals.steps(latency) {
            line(format_args!(
                "{text} after {trips:.1} round trips ({} ms)",
                millis(at)
            ))?;
        }
        line(format_args!(
            "{:.2} s in total, at {} ms one way",
            totals.last.as_secs_f64(),
            latency.as_millis()
        ))
    }

    fn half(&self) -> usize {
        if self.is_stacked() {
            self.width - 8
        } else {
            (self.width - 10) / 2
        }
    }
}

/// Who sent a stanza, as the server knows it.
pub(super) fn sender(seen: &Seen) -> &str {
    seen.from.local().unwrap_or_else(|| seen.from.domain())
}

pub(super) fn arrow(who: &str) -> &'static str {
    match who {
        "romeo" => "→",
        _ => "←",
    }
}

pub(super) fn colour(who: &str) -> Style {
    match who {
        "romeo" => AnsiColor::Cyan.on_default(),
        _ => AnsiColor::Magenta.on_default(),
    }
}

pub(super) fn millis(at: Duration) -> u128 {
    at.as_millis()
}

/// Pads or truncates to `width` columns. Every character shown here takes one column.
pub(super) fn pad(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let missing = width.saturating_sub(text.chars().count());
    text + &" ".repeat(missing)
}

/// Wraps text to lines of `width` columns.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters
        .chunks(width.max(1))
        .map(|part| part.iter().collect())
        .collect()
}

pub(super) fn line(text: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    writeln!(anstream::stdout().lock(), "{text}").map_err(|error| Failure::of_output(&error))
}

/// Columns below which two columns become rubble.
pub(super) const STACKED: usize = 72;

/// Columns that a line of the display takes at least, and at most.
pub(super) const NARROWEST: usize = 30;
const WIDEST: usize = 200;
