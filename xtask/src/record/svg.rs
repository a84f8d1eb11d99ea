//! Frames as an animated picture. Each row is drawn once for as long as it stays the same; where nothing moves, it is the last
//! frame.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Frame;
use super::screen::{Screen, Span};

/// The picture of all frames, over and over.
pub(super) fn picture(frames: &[Frame]) -> String {
    let mut rows: BTreeMap<Row, Vec<(Duration, Duration)>> = BTreeMap::new();
    let heights = heights(frames);
    let mut now = Duration::ZERO;
    for frame in frames {
        for row in rows_of(frame, &heights) {
            let times = rows.entry(row).or_default();
            match times.last_mut() {
                Some((_, end)) if *end == now => *end += frame.time,
                Some(_) | None => times.push((now, now + frame.time)),
            }
        }
        now += frame.time;
    }
    let mut kinds: BTreeMap<&[(Duration, Duration)], usize> = BTreeMap::new();
    let mut drawn = String::new();
    for (row, times) in &rows {
        let always = times.as_slice() == [(Duration::ZERO, now)];
        let class = if always {
            String::new()
        } else {
            let next = kinds.len();
            let kind = kinds.entry(times).or_insert(next);
            let last = times.last().is_some_and(|(_, end)| *end == now);
            format!(" class='a{kind}{}'", if last { "" } else { " h" })
        };
        draw(&mut drawn, row, &class);
    }
    let mut style = String::new();
    for (times, kind) in kinds {
        let _ = write!(style, "@keyframes k{kind}{{");
        let first = times.first().is_none_or(|(begin, _)| !begin.is_zero());
        if first {
            style.push_str("0%{visibility:hidden}");
        }
        for (begin, end) in times {
            let _ = write!(style, "{}%{{visibility:visible}}", percent(*begin, now));
            if *end < now {
                let _ = write!(style, "{}%{{visibility:hidden}}", percent(*end, now));
            }
        }
        let seconds = now.as_secs_f64();
        let _ = writeln!(
            style,
            "}}.a{kind}{{animation:k{kind} {seconds:.1}s step-end infinite}}"
        );
    }
    // Where nothing may move, it is the last frame.
    style.push_str(
        ".h{visibility:hidden}@media (prefers-reduced-motion){text,rect{animation:none!important}}",
    );
    document(frames, &heights, &style, &drawn)
}

/// One frame alone.
pub(super) fn still(frames: &[Frame], number: usize) -> String {
    let heights = heights(frames);
    let mut drawn = String::new();
    if let Some(frame) = frames.get(number) {
        for row in rows_of(frame, &heights) {
            draw(&mut drawn, &row, "");
        }
    }
    document(frames, &heights, "", &drawn)
}

/// A row of text where it is drawn, or a cursor.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    line: usize,
    cursor: Option<usize>,
    spans: Vec<Span>,
}

/// How many rows of each terminal are ever used: the rest is not drawn.
fn heights(frames: &[Frame]) -> Vec<usize> {
    let mut heights: Vec<usize> = Vec::new();
    for frame in frames {
        heights.resize(heights.len().max(frame.screens.len()), 0);
        for (height, screen) in heights.iter_mut().zip(&frame.screens) {
            let used = screen.rows.iter().rposition(|row| !row.is_empty());
            *height = (*height)
                .max(used.map_or(0, |row| row + 1))
                .max(screen.cursor.1 + 1);
        }
    }
    heights
}

/// On which line of the picture each terminal begins.
fn tops(heights: &[usize]) -> impl Iterator<Item = usize> {
    heights.iter().scan(0, |top, height| {
        let own = *top + 1;
        *top += height + 2;
        Some(own)
    })
}

fn rows_of(frame: &Frame, heights: &[usize]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (screen, top) in frame.screens.iter().zip(tops(heights)) {
        for (number, spans) in screen.rows.iter().enumerate() {
            if !spans.is_empty() {
                rows.push(Row {
                    line: top + number,
                    cursor: None,
                    spans: spans.clone(),
                });
            }
        }
        let Screen {
            cursor: (column, row),
            ..
        } = screen;
        rows.push(Row {
            line: top + row,
            cursor: Some(*column),
            spans: Vec::new(),
        });
    }
    rows
}

fn draw(out: &mut String, row: &Row, class: &str) {
    let base = MARGIN + row.line * LINE;
    if let Some(column) = row.cursor {
        let (x, y) = (left(column), base - 12);
        let _ = writeln!(
            out,
            "<rect{class} x='{x}' y='{y}' width='8' height='15' fill='#8b949e'/>"
        );
        return;
    }
    let _ = write!(out, "<text{class} y='{base}'>");
    for span in &row.spans {
        let _ = write!(out, "<tspan x='{}'", left(span.column));
        if let Some(colour) = span
            .style
            .colour
            .and_then(|colour| COLOURS.get(usize::from(colour)))
        {
            let _ = write!(out, " fill='{colour}'");
        } else if span.style.dim {
            out.push_str(" fill='#8b949e'");
        }
        if span.style.bold {
            out.push_str(" font-weight='bold'");
        }
        let _ = write!(out, ">{}</tspan>", escaped(&span.text));
    }
    out.push_str("</text>\n");
}

fn document(frames: &[Frame], heights: &[usize], style: &str, drawn: &str) -> String {
    let lines: usize = heights.iter().map(|height| height + 2).sum();
    let (width, height) = (left(80) + MARGIN, lines * LINE + MARGIN);
    let mut out = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}' \
         font-family='ui-monospace,SFMono-Regular,Menlo,Consolas,\"DejaVu Sans Mono\",monospace' font-size='13' fill='#e6edf3' \
         xml:space='preserve'>\n<style>{style}</style>\n<rect width='{width}' height='{height}' rx='6' fill='#0d1117'/>\n"
    );
    let titles = frames.first().map(|frame| frame.screens.iter());
    for (screen, top) in titles.into_iter().flatten().zip(tops(heights)) {
        let (base, x) = (MARGIN + (top - 1) * LINE, left(0));
        let _ = writeln!(
            out,
            "<rect y='{}' width='{width}' height='{LINE}' fill='#21262d'/><text x='{x}' y='{base}' fill='#8b949e'>{}</text>",
            base.saturating_sub(13),
            escaped(&screen.title)
        );
    }
    out.push_str(drawn);
    out.push_str("</svg>\n");
    out
}

fn left(column: usize) -> usize {
    // A letter of this size is 7.8 wide; tenths, so that nothing is rounded twice.
    10 + column * 78 / 10
}

fn percent(time: Duration, all: Duration) -> String {
    let percent = time.as_secs_f64() * 100.0 / all.as_secs_f64();
    let text = format!("{percent:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Above the first line.
const MARGIN: usize = 18;

/// Between two lines.
const LINE: usize = 17;

/// As terminals number them: black, red, green, yellow, blue, magenta, cyan, white.
const COLOURS: [&str; 8] = [
    "#6e7681", "#ff7b72", "#7ee787", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#e6edf3",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(captured: &str, milliseconds: u64) -> Frame {
        Frame {
            screens: vec![Screen::read("romeo", captured, (0, 1))],
            time: Duration::from_millis(milliseconds),
        }
    }

    #[test]
    fn a_row_is_drawn_once_for_as_long_as_it_stays() {
        let frames = [frame("$ a<b\n", 250), frame("$ a<b\nmore\n", 750)];
        let picture = picture(&frames);
        assert_eq!(picture.matches("a&lt;b").count(), 1, "{picture}");
        assert!(picture.contains("@keyframes k0{0%{visibility:hidden}25%{visibility:visible}}"));
        assert!(picture.contains("1.0s step-end infinite"));
        assert!(!still(&frames, 0).contains("more"));
        assert!(still(&frames, 1).contains("more"));
    }

    #[test]
    fn what_is_not_in_the_last_frame_is_hidden_where_nothing_moves() {
        let picture = picture(&[frame("first\n", 500), frame("last\n", 500)]);
        let first = picture.lines().find(|line| line.contains("first")).unwrap();
        let last = picture
            .lines()
            .find(|line| line.contains(">last<"))
            .unwrap();
        assert!(first.contains(" h'") && !last.contains(" h'"), "{picture}");
    }
}
