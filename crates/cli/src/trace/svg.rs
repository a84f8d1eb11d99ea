//! The ladder as a picture that needs nothing else: no script, no font, no other file.

use std::fmt::{self, Write as _};

use super::ladder::{LEGEND, Ladder, Layer, Rung, Step, bytes, many, millis};
use super::recording::Direction;
use crate::say::cut;

/// Draws it. Returns also how many rungs were left out at the end.
pub(super) fn draw(ladder: &Ladder, full: bool) -> (String, usize) {
    let rungs = ladder.rungs(full);
    let left_out = rungs.len().saturating_sub(MAX_RUNGS);
    let rungs: Vec<_> = rungs.into_iter().take(MAX_RUNGS).collect();
    let several = if ladder.peers.len() > 1 {
        ladder.peers.as_slice()
    } else {
        &[]
    };
    let lanes: u32 = rungs.iter().map(height).sum();
    // Few of both.
    let explained = u32::try_from(LEGEND.len() + several.len()).unwrap_or_default();
    let (top, bottom) = (96, 40 + 24 * explained);
    let mut out = String::new();
    let all = top + lanes + bottom;
    let _ = write!(
        out,
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {all}' width='{WIDTH}' height='{all}' \
         font-family='system-ui, \"DejaVu Sans\", sans-serif' font-size='14'>\n\
         <title>{title}</title>\n\
         <style>{STYLE}</style>\n\
         <rect class='page' width='{WIDTH}' height='{all}'/>\n\
         <text class='title' x='24' y='32'>{title}</text>\n\
         <text class='dim' x='24' y='54'>{totals}</text>\n",
        title = Escaped(&ladder.title()),
        totals = Escaped(&ladder.totals()),
    );
    let peer = match ladder.peers.as_slice() {
        [one] => one.as_str(),
        _ => "the others",
    };
    let end = top + lanes;
    let _ = write!(
        out,
        "<text class='who' x='{LEFT}' y='84' text-anchor='middle'>you</text>\n\
         <text class='who' x='{WIDTH}' dx='-24' y='84' text-anchor='end'>{peer}</text>\n\
         <text class='dim' x='62' y='84' text-anchor='end'>ms</text>\n\
         <path class='life' d='M{LEFT} {top}V{end}M{RIGHT} {top}V{end}'/>\n",
        peer = Escaped(&cut(peer, 70)),
    );
    let mut y = top;
    for rung in &rungs {
        y += height(rung);
        match rung {
            Rung::Step(step) => {
                // Boxes reach below the shaft.
                let below = if step.records.is_empty() { 8 } else { 14 };
                arrow(&mut out, step, ladder.number(step), y - below);
            }
            Rung::Many {
                chunks,
                answers,
                bytes,
            } => {
                let text = many(*chunks, *answers, *bytes);
                let (x, y) = ((LEFT + RIGHT) / 2, y - 10);
                let _ = writeln!(
                    out,
                    "<text class='dim' x='{x}' y='{y}' text-anchor='middle'>{}</text>",
                    Escaped(&text)
                );
            }
        }
    }
    legend(&mut out, several, end);
    out.push_str("</svg>\n");
    (out, left_out)
}

fn height(rung: &Rung<'_>) -> u32 {
    match rung {
        Rung::Step(step) if !step.records.is_empty() => 52,
        Rung::Step(_) => 30,
        Rung::Many { .. } => 34,
    }
}

fn arrow(out: &mut String, step: &Step, peer: Option<usize>, y: u32) {
    let (kind, way) = (step.layer.name(), step.direction.name());
    // The shaft ends within the head, and is drawn once for each line.
    let (from, to, tip, back) = match step.direction {
        Direction::Out => (LEFT, RIGHT - 8, RIGHT, RIGHT - 11),
        Direction::In => (RIGHT, LEFT + 8, LEFT, LEFT + 11),
    };
    let shaft = match step.layer {
        Layer::Carrying => format!("M{from} {y}H{to}"),
        Layer::Inner => format!("M{from} {}H{to}M{from} {}H{to}", y - 2, y + 2),
    };
    let _ = write!(
        out,
        "<g class='{kind} {way}'><path d='{shaft}'/><path class='head' d='M{tip} {y}L{back} {}V{}Z'/>",
        y - 5,
        y + 5
    );
    let above = if step.records.is_empty() {
        y - 7
    } else {
        y - 14
    };
    let number = peer.map_or_else(String::new, |peer| format!("[{peer}] "));
    let label = format!("{number}{}", cut(&step.label, 80));
    let _ = write!(
        out,
        "<text x='{}' y='{above}'>{}</text><text class='length' x='{}' y='{above}'>{}</text>",
        LEFT + 16,
        Escaped(&label),
        RIGHT - 16,
        bytes(step.length)
    );
    boxes(out, &step.records, y);
    let _ = writeln!(
        out,
        "</g><text class='dim' x='62' y='{}' text-anchor='end'>{}</text>",
        y + 4,
        millis(step.us)
    );
}

/// The records on the shaft, each in a box.
fn boxes(out: &mut String, records: &[String], y: u32) {
    let mut x = LEFT + 40;
    for (nth, record) in records.iter().enumerate() {
        let letters = u32::try_from(record.chars().count()).unwrap_or(u32::MAX);
        let width = letters.saturating_mul(8).saturating_add(14);
        if x.saturating_add(width) > RIGHT - 90 {
            let more = records.len() - nth;
            let _ = write!(
                out,
                "<text class='more' x='{x}' y='{}'>+ {more} more</text>",
                y - 4
            );
            return;
        }
        let class = match record.split(' ').next() {
            Some("sealed") => "sealed",
            Some("alert") => "alert",
            Some("handshake" | "ccs") => "open",
            _ => "rest",
        };
        let _ = write!(
            out,
            "<rect class='{class}' x='{x}' y='{}' width='{width}' height='18' rx='3'/><text class='record' x='{}' \
             y='{}'>{}</text>",
            y - 9,
            x + width / 2,
            y + 4,
            Escaped(record)
        );
        x += width + 6;
    }
}

fn legend(out: &mut String, peers: &[String], end: u32) {
    let mut y = end + 36;
    let others = peers
        .iter()
        .enumerate()
        .map(|(at, peer)| (format!("[{}]", at + 1), peer.clone()));
    let signs = LEGEND.map(|(sign, meaning)| (sign.to_owned(), meaning.to_owned()));
    for (sign, meaning) in signs.into_iter().chain(others) {
        let _ = writeln!(
            out,
            "<text class='sign' x='24' y='{y}'>{}</text><text class='dim' x='{}' y='{y}'>{}</text>",
            Escaped(&sign),
            LEFT + 16,
            Escaped(&meaning)
        );
        y += 24;
    }
}

/// Text as XML has it. What XML cannot hold at all is replaced.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '\'' => f.write_str("&apos;")?,
                '"' => f.write_str("&quot;")?,
                '\u{FFFE}' | '\u{FFFF}' => f.write_char('\u{FFFD}')?,
                c if c.is_control() => f.write_char('\u{FFFD}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// As wide as half of a laptop's screen, in CSS pixels.
const WIDTH: u32 = 960;
const LEFT: u32 = 110;
const RIGHT: u32 = 900;

/// Rungs of a picture: more make one that no program shows well.
const MAX_RUNGS: usize = 1_000;

/// Dark on light everywhere, so that it can be printed.
const STYLE: &str = "\
.page{fill:#fff}text{fill:#1b1f24}.title{font-size:18px;font-weight:600}.who{font-weight:600}.dim{fill:#57606a}\
.life{stroke:#57606a;stroke-width:2}path{fill:none;stroke-width:1.6}.length{text-anchor:end;fill:#57606a}\
.out path{stroke:#0969a8}.in path{stroke:#8a3fa0}.out .head{fill:#0969a8}.in .head{fill:#8a3fa0}\
.inner text{font-weight:600}.inner .length{font-weight:400}\
.record{text-anchor:middle;font-size:12px}rect{stroke:#57606a;stroke-width:1}\
.sealed{fill:#dbe9f6}.open{fill:#fdf1c9}.alert{fill:#f9d6d2}.rest{fill:#eef1f4}.more{font-size:12px}.sign{font-weight:600}";

#[cfg(test)]
mod tests {
    use xtls_stanza::Element;

    use super::super::ladder::tests::{carrying, chunk, ladder, result};
    use super::*;

    #[test]
    fn a_picture_is_one_document_whatever_is_drawn() {
        let hostile = r#"{"layer":"inner","direction":"in","kind":"<script>alert(1)</script>","id":"'\"&\uffff]]>","length":80,"us":4000}"#;
        let ladder = ladder(&[
            carrying(1, "in", "<iq", &["<x>", "alert 2", "handshake 9"]),
            chunk(2, "out", 0),
            result(3, "in"),
            hostile.to_owned(),
        ]);
        let (picture, left_out) = draw(&ladder, false);
        assert_eq!(left_out, 0);
        let tree = Element::read(picture.trim_end().as_bytes(), "").unwrap();
        assert!(tree.is("svg", "http://www.w3.org/2000/svg"));
        assert!(!picture.contains("<script"), "{picture}");
        assert!(!picture.contains("href"), "{picture}");
        assert!(picture.contains("&lt;script&gt;"), "{picture}");
    }

    #[test]
    fn a_long_one_is_cut_and_says_so() {
        let lines = |n: usize| -> Vec<String> {
            (0..n)
                .map(|_| carrying(1, "in", "<presence/>", &[]))
                .collect()
        };
        assert_eq!(draw(&ladder(&lines(MAX_RUNGS)), true).1, 0);
        let (picture, left_out) = draw(&ladder(&lines(MAX_RUNGS + 1)), true);
        assert_eq!(left_out, 1);
        assert_eq!(picture.matches(">presence<").count(), MAX_RUNGS);
    }

    #[test]
    fn records_that_do_not_fit_are_counted() {
        let records = ["sealed 16406"; 40];
        let (picture, _) = draw(
            &ladder(&[carrying(1, "out", "<presence/>", &records)]),
            false,
        );
        let boxes = picture.matches("class='sealed'").count();
        assert!(
            picture.contains(&format!("+ {} more", 40 - boxes)),
            "{picture}"
        );
    }
}
