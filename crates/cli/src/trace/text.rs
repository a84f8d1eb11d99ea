//! The ladder in text, which fits on a terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

use super::ladder::{LEGEND, Ladder, Layer, Rung, Step, bytes, many, millis};
use super::recording::Direction;
use crate::say::cut;

/// Draws it with colours.
pub(super) fn draw(ladder: &Ladder, width: usize, full: bool) -> String {
    // Some terminals show an empty row after one that is full to the last column.
    let width = width.clamp(NARROWEST, WIDEST) - 1;
    let lane = width - GUTTER;
    let mut out = String::new();
    for text in [ladder.title(), ladder.totals()] {
        prose(&mut out, &text, "", width);
    }
    out.push('\n');
    head(&mut out, ladder, lane);
    let dim = Style::new().dimmed();
    for rung in ladder.rungs(full) {
        let _ = match rung {
            Rung::Step(step) => {
                let time = millis(step.us);
                let style = style(step);
                let drawn = arrow(step, ladder.number(step), lane);
                writeln!(out, "{dim}{time:>7}{dim:#}  {style}{drawn}{style:#}")
            }
            Rung::Many {
                chunks,
                answers,
                bytes,
            } => {
                let text = padded(&many(chunks, answers, bytes), lane - 4, ' ');
                writeln!(out, "{dim}{:>7}  │ {text} │{dim:#}", "")
            }
        };
    }
    out.push('\n');
    for (sign, meaning) in LEGEND {
        prose(&mut out, &format!("{sign}  {meaning}"), "     ", width);
    }
    for (at, peer) in ladder.peers.iter().enumerate() {
        if ladder.peers.len() > 1 {
            prose(&mut out, &format!("[{}]  {peer}", at + 1), "     ", width);
        }
    }
    out
}

fn prose(out: &mut String, text: &str, indent: &str, width: usize) {
    let options = textwrap::Options::new(width).subsequent_indent(indent);
    for row in textwrap::wrap(text, options) {
        let _ = writeln!(out, "{row}");
    }
}

fn head(out: &mut String, ladder: &Ladder, lane: usize) {
    let bold = Style::new().bold();
    let peer = match ladder.peers.as_slice() {
        [one] => one.clone(),
        _ => "the others".to_owned(),
    };
    let peer = cut(&peer, lane - 4);
    let room = lane.saturating_sub(peer.width());
    let _ = writeln!(
        out,
        "{bold}     ms  {}{peer}{bold:#}",
        padded("you", room, ' ')
    );
}

/// `├─ what it is ── how long ─▶│`, or the other way round.
fn arrow(step: &Step, peer: Option<usize>, lane: usize) -> String {
    let line = match step.layer {
        Layer::Carrying => '─',
        Layer::Inner => '═',
    };
    let number = peer.map_or_else(String::new, |peer| format!("[{peer}] "));
    let mut text = format!("{number}{}", step.label);
    if !step.records.is_empty() {
        let _ = write!(text, ": {}", step.records.join(" + "));
    }
    let length = bytes(step.length);
    // Both ends have five columns together, and there are spaces around both texts.
    let room = lane.saturating_sub(5 + 4 + length.width());
    let text = cut(&text, room.saturating_sub(2));
    let dashes: String = std::iter::repeat_n(line, room.saturating_sub(text.width())).collect();
    let (begin, end) = match (step.direction, step.layer) {
        (Direction::Out, Layer::Carrying) => ("├─", "─▶│"),
        (Direction::Out, Layer::Inner) => ("╞═", "═▶│"),
        (Direction::In, Layer::Carrying) => ("│◀─", "─┤"),
        (Direction::In, Layer::Inner) => ("│◀═", "═╡"),
    };
    format!("{begin} {text} {dashes} {length} {end}")
}

fn padded(text: &str, width: usize, with: char) -> String {
    let text = cut(text, width);
    let missing = width.saturating_sub(text.width());
    text + &with.to_string().repeat(missing)
}

fn style(step: &Step) -> Style {
    let style = match step.direction {
        Direction::Out => AnsiColor::Cyan.on_default(),
        Direction::In => AnsiColor::Magenta.on_default(),
    };
    match step.layer {
        Layer::Carrying => style,
        Layer::Inner => style.bold(),
    }
}

/// Columns where there is no terminal.
pub(super) const USUAL: usize = 80;

const NARROWEST: usize = 40;
const WIDEST: usize = 120;

/// Columns of the time, and the space after it.
const GUTTER: usize = 9;

#[cfg(test)]
mod tests {
    use super::super::ladder::tests::{chunk, ladder, result};
    use super::*;

    fn plain(ladder: &Ladder, width: usize) -> String {
        anstream::adapter::strip_str(&draw(ladder, width, false)).to_string()
    }

    #[test]
    fn every_row_fits() {
        let long = "x".repeat(300);
        let inner = format!(
            r#"{{"layer":"inner","direction":"in","kind":"message","id":"{long}","length":80,"us":99999999}}"#
        );
        let mut lines: Vec<_> = (0..20).map(|at| chunk(at, "out", at)).collect();
        lines.extend([result(30, "in"), inner]);
        let ladder = ladder(&lines);
        for width in [1, 40, 80, 100, 500] {
            let text = plain(&ladder, width);
            let most = width.clamp(NARROWEST, WIDEST);
            for row in text.lines() {
                assert!(row.width() < most, "{row:?}");
            }
        }
    }

    #[test]
    fn a_ladder_is_drawn_from_side_to_side() {
        let inner = r#"{"layer":"inner","direction":"in","kind":"message","id":"m1","length":80,"us":4000}"#;
        let ladder = ladder(&[
            chunk(1_000, "out", 0),
            result(2_000, "in"),
            inner.to_owned(),
        ]);
        let text = plain(&ladder, 60);
        let rungs: Vec<_> = text
            .lines()
            .filter(|row| row.contains(['├', '┤', '╡']))
            .collect();
        assert_eq!(
            rungs,
            [
                "      1  ├─ data 0: sealed 90 ─────────────────── 100 B ─▶│",
                "      2  │◀─ result ────────────────────────────── 100 B ─┤",
                "      4  │◀═ message m1 ═══════════════════════════ 80 B ═╡",
            ]
        );
        assert!(
            text.starts_with("A recorded session with juliet@capulet.example/xtls, 0.00 s"),
            "{text}"
        );
    }
}
