//! Standard error: sentences for people, or one JSON event per line for programs.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use jiff::{Timestamp, ZonedDateTime};
use serde_json::{Map, Value};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use xtls_client::router::TunnelId;

use crate::args::Output;
use crate::events::{SCHEMA, Shape};
use crate::failure::Failure;
use crate::progress;
use crate::terminal;

/// Reports events, in the form this run was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Say {
    json: bool,
    quiet: bool,
    /// The tunnel that it is about.
    tunnel: Option<TunnelId>,
}

impl Say {
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            json: output.json,
            quiet: output.quiet,
            tunnel: None,
        }
    }

    /// Reports events of a tunnel.
    pub(crate) fn of(self, tunnel: TunnelId) -> Self {
        Self {
            tunnel: Some(tunnel),
            ..self
        }
    }

    /// Whether only warnings and errors are wanted.
    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether the reader is a program.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Reports an event: `fields` for programs, `text` for people.
    pub(crate) fn event(self, name: &str, fields: &[(&str, Value)], text: impl Display) {
        if self.json {
            self.line(name, fields);
        } else if !self.quiet {
            sentence(Style::new().dimmed(), "xtls:", &text.to_string());
        }
    }

    /// Reports data to programs; people get it on standard output.
    pub(crate) fn data(self, name: &str, fields: &[(&str, Value)]) {
        if self.json {
            self.line(name, fields);
        }
    }

    /// Reports something that must not be overlooked, even with `--quiet`.
    pub(crate) fn warn(self, name: &str, fields: &[(&str, Value)], text: impl Display) {
        if self.json {
            self.line(name, fields);
        } else {
            let style = AnsiColor::Yellow.on_default().bold();
            sentence(style, "xtls: warning:", &text.to_string());
        }
    }

    /// Reports a failure and its hint.
    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            let mut fields = vec![
                ("code", Value::from(failure.code as u8)),
                ("what", Value::from(failure.what.as_str())),
            ];
            if let Some(hint) = &failure.hint {
                fields.push(("hint", Value::from(hint.as_str())));
            }
            self.line("failed", &fields);
            return;
        }
        let style = AnsiColor::Red.on_default().bold();
        let mut text = failure.what.clone();
        if let Some(hint) = &failure.hint {
            text.push('\n');
            text.push_str(hint);
        }
        sentence(style, "xtls: error:", &text);
    }

    fn line(self, name: &str, fields: &[(&str, Value)]) {
        let now = Timestamp::now();
        let mut all = vec![("time", Value::from(format!("{now:.3}")))];
        if let Some(tunnel) = self.tunnel {
            all.push(("tunnel", Value::from(tunnel.number())));
        }
        write(&object(name, &all, fields).to_string());
    }
}

/// An event or an answer as a JSON object: its name, what every one has, what this one has.
pub(crate) fn object(name: &str, common: &[(&str, Value)], fields: &[(&str, Value)]) -> Value {
    debug_assert_eq!(
        Shape::fault(name, fields.iter().map(|(field, _)| *field)),
        None
    );
    let mut object = Map::new();
    object.insert("event".to_owned(), Value::from(name));
    object.insert("schema".to_owned(), Value::from(SCHEMA));
    for (key, value) in common.iter().chain(fields) {
        object.insert((*key).to_owned(), value.clone());
    }
    Value::Object(object)
}

/// Writes a sentence of the program. Continuation lines are indented, so that only the program itself starts a line with
/// its name.
fn sentence(style: Style, name: &str, text: &str) {
    let text = format!("{name} {}", visible(text));
    let text = wrapped(&text, columns().unwrap_or(usize::MAX), INDENT);
    let rest = text.strip_prefix(name).unwrap_or(&text);
    if colours() {
        write(&format!("{style}{name}{style:#}{rest}"));
    } else {
        write(&text);
    }
}

/// Prints a message under the name of its author, with the time.
pub(crate) fn said(name: &str, text: &str) {
    write(&quoted(name, text));
}

/// A message behind the time and the name of its author. Its continuation lines cannot be mistaken for lines of the program.
pub(crate) fn quoted(name: &str, text: &str) -> String {
    let at = hour_and_minute(&ZonedDateTime::now());
    let text = format!("{name}: {}", visible(text));
    let text = wrapped(&text, columns().unwrap_or(usize::MAX) - AT, QUOTED);
    let rest = text.strip_prefix(name).unwrap_or(&text);
    if colours() {
        let (dim, bold) = (Style::new().dimmed(), AnsiColor::Cyan.on_default().bold());
        format!("{dim}{at}{dim:#} {bold}{name}{bold:#}{rest}")
    } else {
        format!("{at} {text}")
    }
}

/// The time of day, as it is shown to people.
fn hour_and_minute(now: &ZonedDateTime) -> String {
    format!("{:02}:{:02}", now.hour(), now.minute())
}

/// Writes whole lines to the terminal's owner, or to standard error. If that is closed, no one is left to inform.
fn write(text: &str) {
    if std::io::stderr().is_terminal() && terminal::print(text) {
        return;
    }
    progress::aside(|| {
        let mut error = std::io::stderr().lock();
        let _ = error.write_all(format!("{text}\n").as_bytes());
    });
}

/// Whether to use colours: standard error is a terminal, and neither `NO_COLOR` nor `TERM=dumb` is set, whatever else says
/// that there may be colours: `anstream` takes `CI` for a terminal that has them.
pub(crate) fn colours() -> bool {
    std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
        && anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// The width of the terminal on standard error.
fn columns() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(std::io::stderr())?;
    Some(usize::from(width.0).max(20))
}

/// Text for the terminal, its rows as wide as the terminal at most.
pub(crate) fn fitted(text: &str) -> String {
    match columns() {
        Some(columns) => wrapped(text, columns, ""),
        None => text.to_owned(),
    }
}

/// Wraps text at word boundaries, or within a word that is longer than a row. Every row but the first starts with `indent`,
/// except commands, which stay whole so that they can be pasted into a shell.
fn wrapped(text: &str, columns: usize, indent: &str) -> String {
    let mut rows: Vec<String> = Vec::new();
    for line in text.split('\n') {
        if indent == INDENT && line.starts_with(COMMAND) {
            rows.push(line.to_owned());
            continue;
        }
        // Otherwise, leading white space would count as indentation.
        let first = if rows.is_empty() { "" } else { indent };
        // Some terminals show an empty row after one that is full to the last column.
        let options = textwrap::Options::new(columns.saturating_sub(1))
            .initial_indent(first)
            .subsequent_indent(indent)
            .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit);
        if line.trim().is_empty() {
            rows.push(first.to_owned());
            continue;
        }
        rows.extend(
            textwrap::wrap(line, options)
                .into_iter()
                .map(std::borrow::Cow::into_owned),
        );
    }
    rows.join("\n")
}

/// Makes text from others safe to show on a terminal: control characters, and characters that reorder the text after them,
/// appear as code points. Directional marks stay, because they override nothing.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push(c),
            '\t' => out.push_str("    "),
            // Other characters that end a line.
            '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            c if c.is_control() || is_override(c) => {
                out.push_str(&format!("<U+{:04X}>", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// JSON that a terminal shows as it is: what [`visible`] would replace is escaped, which means the same.
pub(crate) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if c.is_control() || is_override(c) => {
                // None of them has more than 16 bits.
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// Text from others, on one line.
pub(crate) fn shown(text: &str) -> String {
    cut(&visible(text).replace('\n', " ⏎ "), SHOWN)
}

/// Truncates a line to so many columns.
pub(crate) fn cut(line: &str, columns: usize) -> String {
    if line.width() <= columns {
        return line.to_owned();
    }
    let mut width = 1;
    let mut out = String::new();
    for c in line.chars() {
        width += c.width().unwrap_or(0);
        if width > columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// Embeddings, overrides and isolates, which reorder the text that follows.
fn is_override(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Starts the continuation lines of a sentence of the program.
const INDENT: &str = "      ";

/// Starts a suggested command (`Suggest::block`).
const COMMAND: &str = "        ";

/// Starts the continuation lines of a message.
const QUOTED: &str = "    | ";

/// Columns of the time before a message.
const AT: usize = "00:00 ".len();

/// Columns of a text quoted within a sentence.
const SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(
            visible("a\u{1b}]0;title\u{7}b"),
            "a<U+001B>]0;title<U+0007>b"
        );
        assert_eq!(visible("\u{9b}31m"), "<U+009B>31m");
        assert_eq!(visible("abc\u{202E}txt"), "abc<U+202E>txt");
        assert_eq!(visible("a\rxtls: error"), "a<U+000D>xtls: error");
    }

    #[test]
    fn line_ends_letters_and_directional_marks_stay() {
        assert_eq!(visible("è ü\n漢"), "è ü\n漢");
        assert_eq!(visible("שלום\u{200F}!"), "שלום\u{200F}!");
    }

    #[test]
    fn no_continuation_line_looks_like_one_of_the_program() {
        for text in [
            "hello\nxtls: the key is verified",
            "hello\u{2028}xtls: the key is verified",
            "hello\u{85}xtls: the key is verified",
            &format!("{}xtls: the key is verified", "x".repeat(30)),
            &format!("{} xtls: the key is verified", "x".repeat(29)),
            "hello\n\nxtls: warning: x",
        ] {
            let shown = wrapped(&format!("juliet: {}", visible(text)), 40, QUOTED);
            let mut rows = shown.split('\n');
            assert!(rows.next().unwrap().starts_with("juliet:"));
            for row in rows {
                assert!(row.starts_with("    |"), "{shown}");
                assert!(row.width() < 40, "{shown}");
            }
        }
    }

    #[test]
    fn the_time_of_a_message_always_takes_as_many_columns() {
        for (now, shown) in [
            ("2026-11-30T09:05:59+01[+01]", "09:05 "),
            ("2026-11-30T23:59:00+00[+00]", "23:59 "),
        ] {
            let at = hour_and_minute(&now.parse().unwrap());
            assert_eq!(format!("{at} "), shown);
            assert_eq!(shown.width(), AT);
        }
    }

    #[test]
    fn a_line_is_cut_where_it_would_not_fit() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("漢漢漢", 4), "漢…");
    }
}
