//! The short display, of about twenty lines: what was said beside what carried it, and what the server has learned.

use std::collections::BTreeMap;
use std::time::Duration;

use anstyle::Style;
use xtls_client::relay::Seen;
use xtls_stanza::{Content, Envelope, Payload};

use super::columns::{NARROWEST, STACKED, arrow, colour, line, millis, pad, sender};
use super::row::Row;
use super::totals::Totals;
use crate::failure::Failure;
use crate::records::{Part, Records};
use crate::say::{cut, visible};

/// Draws a line for each stanza inside, and counts the rest.
#[derive(Debug)]
pub(super) struct Brief {
    width: usize,
    /// In order of time; the peers and the relay report on ways of their own.
    waiting: Vec<Row>,
    records: BTreeMap<String, Records>,
    /// What each peer has sent of which nothing has come out yet.
    unread: BTreeMap<String, Load>,
    /// Carrying stanzas that have no line.
    others: u64,
}

/// Chunks on their way.
#[derive(Debug, Default)]
struct Load {
    at: Option<Duration>,
    stanzas: u64,
    bytes: usize,
    sealed: usize,
}

impl Brief {
    pub(super) fn new(width: usize) -> Self {
        Self {
            // Some terminals show an empty row after one that is full to the last column.
            width: (width.clamp(NARROWEST, WIDEST)) - 1,
            waiting: Vec::new(),
            records: BTreeMap::new(),
            unread: BTreeMap::new(),
            others: 0,
        }
    }

    pub(super) fn head(&self) -> Result<(), Failure> {
        self.prose(OPENING)?;
        let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
        if self.is_stacked() {
            return Ok(());
        }
        let (left, right) = (pad("what the server saw", LEFT), "what the peers said");
        line(format_args!(
            "{bold}   ms  {left}{bold:#} {dim}│{dim:#} {bold}{right}{bold:#}"
        ))?;
        let rest = "─".repeat(self.width - BESIDE + 1);
        line(format_args!(
            "{dim}{}┼{rest}{dim:#}",
            "─".repeat(BESIDE - 2)
        ))
    }

    /// Takes a row. It is drawn when none from before it is to be expected.
    pub(super) fn show(&mut self, row: Row) -> Result<(), Failure> {
        let at = row.at();
        let place = self.waiting.partition_point(|other| other.at() <= at);
        self.waiting.insert(place, row);
        let newest = self.waiting.last().map_or(at, Row::at);
        self.draw_until(newest.saturating_sub(SETTLED))
    }

    fn draw_until(&mut self, until: Duration) -> Result<(), Failure> {
        let ready = self.waiting.partition_point(|row| row.at() <= until);
        let rows: Vec<_> = self.waiting.drain(..ready).collect();
        rows.iter().try_for_each(|row| self.draw(row))
    }

    fn draw(&mut self, row: &Row) -> Result<(), Failure> {
        match row {
            Row::Carrying(seen) => self.carrying(seen),
            Row::Inner { at, who, gist, .. } => {
                let load = self.unread.remove(who).unwrap_or_default();
                let text = format!("sealed {}", load.sealed);
                let said = format!("{who}: {}", visible(gist));
                self.beside(load.at.unwrap_or(*at), who, load.bytes, &text, &said)
            }
            Row::Ready { .. } | Row::Established { .. } | Row::Note { .. } => Ok(()),
        }
    }

    fn carrying(&mut self, seen: &Seen) -> Result<(), Failure> {
        let who = sender(seen);
        let length = seen.xml.len();
        let content = Envelope::read(&seen.xml).map(|envelope| envelope.content);
        match content {
            Ok(Content::Set(Payload::Data(data))) => {
                let records = self.records.entry(who.to_owned()).or_default();
                let parts = records.follow(&data.bytes);
                let load = self.unread.entry(who.to_owned()).or_default();
                load.at.get_or_insert(seen.at);
                load.stanzas += 1;
                load.bytes += length;
                load.sealed += parts.into_iter().map(Part::sealed).sum::<usize>();
                Ok(())
            }
            Ok(Content::Set(Payload::Open(_))) => {
                self.beside(seen.at, who, length, "open, TLS hello", "(romeo calls)")
            }
            Ok(Content::Result(Some(Payload::Xtls(control)))) if control.name() == "proceed" => {
                self.beside(
                    seen.at,
                    who,
                    length,
                    "accepted, TLS hello",
                    "(juliet accepts)",
                )
            }
            Ok(
                Content::Get(_)
                | Content::Set(_)
                | Content::Result(_)
                | Content::Error(_)
                | Content::Message { .. }
                | Content::Presence { .. },
            )
            | Err(_) => {
                self.others += 1;
                Ok(())
            }
        }
    }

    /// Draws what the server saw, and beside it, or below, what it was.
    fn beside(
        &self,
        at: Duration,
        who: &str,
        bytes: usize,
        saw: &str,
        said: &str,
    ) -> Result<(), Failure> {
        let saw = format!("{} {bytes:>5} B  {saw}", arrow(who));
        self.row(&millis(at).to_string(), &saw, said, colour(who))
    }

    fn row(&self, time: &str, saw: &str, said: &str, style: Style) -> Result<(), Failure> {
        let dim = Style::new().dimmed();
        if self.is_stacked() {
            let room = self.width - INDENT.len();
            line(format_args!("{dim}{time:>5}  {}{dim:#}", cut(saw, room)))?;
            return line(format_args!("{INDENT}{style}{}{style:#}", cut(said, room)));
        }
        let said = cut(said, self.width - BESIDE);
        let saw = pad(saw, LEFT);
        line(format_args!(
            "{dim}{time:>5}{dim:#}  {style}{saw}{style:#} {dim}│{dim:#} {style}{said}{style:#}"
        ))
    }

    /// Draws what is left, the legend, and what the server knows now.
    pub(super) fn foot(&mut self, totals: &Totals) -> Result<(), Failure> {
        self.draw_until(Duration::MAX)?;
        let unread: u64 = self.unread.values().map(|load| load.stanzas).sum();
        let others = format!("⋯ {} more: answers, good-byes", self.others + unread);
        let last = millis(totals.last).to_string();
        let end = "(both have closed: nothing is missing)";
        self.row(&last, &others, end, Style::new().dimmed())?;
        self.prose(LEGEND)?;
        self.prose(&format!(
            "The server carried {} stanzas, {} bytes. It knows who talked, when and about how much: not one word of it, \
             and it could change none unnoticed.",
            totals.carrying, totals.carrying_bytes
        ))?;
        self.prose(MORE)
    }

    fn prose(&self, text: &str) -> Result<(), Failure> {
        textwrap::wrap(text, self.width)
            .iter()
            .try_for_each(|row| line(format_args!("{row}")))
    }

    fn is_stacked(&self) -> bool {
        self.width < STACKED
    }
}

const OPENING: &str = "Romeo and Juliet talk through a server that neither of them trusts. On the left is all that \
                       it saw, on the right what they said.";

const LEGEND: &str =
    "→ from Romeo, ← from Juliet; sealed: bytes that only the two of them can open.";

const MORE: &str = "Every stanza in full: xtls demo --full";

/// Columns of what the server saw, and those before what was said.
const LEFT: usize = 31;
const BESIDE: usize = 7 + LEFT + 3;

/// As wide as the time and the space after it.
const INDENT: &str = "       ";

const WIDEST: usize = 100;

/// Rows come in order by so much.
const SETTLED: Duration = Duration::from_millis(100);
