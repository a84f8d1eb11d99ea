//! The rows of a terminal, in colours: what `tmux capture-pane -e` writes.

/// What one terminal shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Screen {
    pub(super) title: String,
    pub(super) rows: Vec<Vec<Span>>,
    /// Column and row of the cursor.
    pub(super) cursor: (usize, usize),
}

/// Text in one style.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    /// In which column it begins.
    pub(super) column: usize,
    pub(super) text: String,
    pub(super) style: Style,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Style {
    pub(super) bold: bool,
    pub(super) dim: bool,
    /// One of the eight colours of a terminal.
    pub(super) colour: Option<u8>,
}

impl Screen {
    pub(super) fn read(title: &str, captured: &str, cursor: (usize, usize)) -> Self {
        // A style holds until the next one, also over the end of a line.
        let mut style = Style::default();
        let rows = captured.lines().map(|line| row(line, &mut style));
        Self {
            title: title.to_owned(),
            rows: rows.collect(),
            cursor,
        }
    }
}

fn row(line: &str, style: &mut Style) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut column = 0;
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        if c == '\u{1b}' {
            let sequence: String = letters
                .by_ref()
                .take_while(|c| !c.is_alphabetic())
                .collect();
            style.change(sequence.trim_start_matches('['));
            continue;
        }
        match spans.last_mut() {
            Some(last) if last.style == *style => last.text.push(c),
            Some(_) | None => spans.push(Span {
                column,
                text: c.to_string(),
                style: *style,
            }),
        }
        column += 1;
    }
    // What cannot be seen is not drawn.
    while let Some(last) = spans.last_mut() {
        last.text.truncate(last.text.trim_end().len());
        if !last.text.is_empty() {
            break;
        }
        spans.pop();
    }
    spans
}

impl Style {
    /// As the numbers between `[` and `m` say.
    fn change(&mut self, numbers: &str) {
        for number in numbers.split(';') {
            match number.parse().unwrap_or(0_u8) {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                22 => (self.bold, self.dim) = (false, false),
                colour @ 30..=37 => self.colour = Some(colour - 30),
                colour @ 90..=97 => self.colour = Some(colour - 90),
                39 => self.colour = None,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_hold_until_they_change_and_blanks_at_the_end_are_left_out() {
        let screen = Screen::read(
            "x",
            "\u{1b}[2mxtls:\u{1b}[0m a  \n\u{1b}[1;33mb\nc\u{1b}[39m ",
            (0, 0),
        );
        let span = |column, text: &str, bold, dim, colour| Span {
            column,
            text: text.to_owned(),
            style: Style { bold, dim, colour },
        };
        let expected = [
            vec![
                span(0, "xtls:", false, true, None),
                span(5, " a", false, false, None),
            ],
            vec![span(0, "b", true, false, Some(3))],
            vec![span(0, "c", true, false, Some(3))],
        ];
        assert_eq!(screen.rows, expected);
    }
}
