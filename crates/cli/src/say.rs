//! Standard error: sentences for people, or one JSON event a line for programs.

use std::fmt::Display;
use std::io::Write;
use std::sync::Mutex;

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value};

use crate::args::Output;
use crate::failure::Failure;

/// How this run speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Say {
    json: bool,
    quiet: bool,
}

impl Say {
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            json: output.json,
            quiet: output.quiet,
        }
    }

    /// Whether a program reads what is said.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Something happened. `fields` are for programs, `text` is for people.
    pub(crate) fn event(self, name: &str, fields: &[(&str, Value)], text: impl Display) {
        if self.json {
            self.line(name, fields);
        } else if !self.quiet {
            let style = Style::new().dimmed();
            write(format_args!(
                "{style}xtls:{style:#} {}",
                clean(&text.to_string())
            ));
        }
    }

    /// Data for programs; people read it on standard output.
    pub(crate) fn data(self, name: &str, fields: &[(&str, Value)]) {
        if self.json {
            self.line(name, fields);
        }
    }

    /// Something that must not be overlooked.
    pub(crate) fn warn(self, name: &str, fields: &[(&str, Value)], text: impl Display) {
        if self.json {
            self.line(name, fields);
        } else {
            let style = AnsiColor::Yellow.on_default().bold();
            write(format_args!(
                "{style}xtls: warning:{style:#} {}",
                clean(&text.to_string())
            ));
        }
    }

    /// The end, when it is not a good one.
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
        write(format_args!(
            "{style}xtls: error:{style:#} {}",
            clean(&failure.what)
        ));
        if let Some(hint) = &failure.hint {
            write(format_args!("      {}", clean(hint)));
        }
    }

    fn line(self, name: &str, fields: &[(&str, Value)]) {
        write(format_args!("{}", object(name, fields)));
    }
}

/// An event, or an answer, as programs read it.
pub(crate) fn object(name: &str, fields: &[(&str, Value)]) -> Value {
    let mut object = Map::new();
    object.insert("event".to_owned(), Value::from(name));
    for (key, value) in fields {
        object.insert((*key).to_owned(), value.clone());
    }
    Value::Object(object)
}

/// Where lines go while somebody types: above the line that is being typed.
static ABOVE: Mutex<Option<Box<dyn Write + Send>>> = Mutex::new(None);

/// Sends all that is said above the line that is being typed, or to standard error again.
pub(crate) fn above(writer: Option<Box<dyn Write + Send>>) {
    if let Ok(mut above) = ABOVE.lock() {
        *above = writer;
    }
}

/// A line for a person.
pub(crate) fn line(line: std::fmt::Arguments<'_>) {
    write(line);
}

/// Standard error may be closed; there is nobody left to tell then.
fn write(line: std::fmt::Arguments<'_>) {
    if let Ok(mut above) = ABOVE.lock()
        && let Some(writer) = above.as_mut()
    {
        let _ = writeln!(writer, "{line}");
        return;
    }
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// Text from others on a terminal: control characters could move its cursor or rename its window.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() || is_bidi(c) => '\u{FFFD}',
            c => c,
        })
        .collect()
}

/// Characters that make what follows read in another order.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' | '\u{061C}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}]0;title\u{7}b"), "a\u{FFFD}]0;title\u{FFFD}b");
        assert_eq!(clean("\u{9b}31m"), "\u{FFFD}31m");
        assert_eq!(clean("abc\u{202E}txt"), "abc\u{FFFD}txt");
    }

    #[test]
    fn lines_and_letters_stay() {
        assert_eq!(clean("è\tü\n漢"), "è\tü\n漢");
    }
}
