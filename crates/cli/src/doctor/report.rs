//! One line a step, as it goes.

use anstyle::{AnsiColor, Style};
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

use crate::answer::{answer, print_all};
use crate::failure::Failure;
use crate::output;
use crate::say::{Say, visible};

/// What was found so far.
#[derive(Debug)]
pub(super) struct Report {
    say: Say,
    /// The first step that failed decides how the program ends.
    first: Option<Failure>,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Fine,
    /// It works, but not well, or not for everything.
    Remark,
    /// Nobody can know, or it does not matter.
    Unknown,
    Wrong,
}

impl Mark {
    fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Remark => "remark",
            Self::Unknown => "unknown",
            Self::Wrong => "failed",
        }
    }

    fn sign(self) -> (&'static str, Style) {
        match self {
            Self::Fine => ("✓", AnsiColor::Green.on_default().bold()),
            Self::Remark => ("!", AnsiColor::Yellow.on_default().bold()),
            Self::Unknown => ("–", Style::new().dimmed()),
            Self::Wrong => ("✗", AnsiColor::Red.on_default().bold()),
        }
    }
}

impl Report {
    pub(super) fn new(say: Say) -> Self {
        Self { say, first: None }
    }

    pub(super) fn fine(&self, step: &str, text: impl Into<String>) -> Result<(), Failure> {
        self.tell(Mark::Fine, step, &text.into(), None)
    }

    pub(super) fn unknown(&self, step: &str, text: impl Into<String>) -> Result<(), Failure> {
        self.tell(Mark::Unknown, step, &text.into(), None)
    }

    pub(super) fn remark(
        &self,
        step: &str,
        text: impl Into<String>,
        remedy: &str,
    ) -> Result<(), Failure> {
        self.tell(Mark::Remark, step, &text.into(), Some(remedy))
    }

    pub(super) fn wrong(&mut self, step: &str, failure: Failure) -> Result<(), Failure> {
        self.tell(Mark::Wrong, step, &failure.what, failure.hint.as_deref())?;
        self.first.get_or_insert(failure);
        Ok(())
    }

    /// How the program ends. People have seen why.
    pub(super) fn verdict(self) -> Result<(), Failure> {
        match self.first {
            None => Ok(()),
            Some(failure) if self.say.is_json() => Err(failure),
            Some(failure) => Err(failure.reported()),
        }
    }

    fn tell(
        &self,
        mark: Mark,
        step: &str,
        text: &str,
        remedy: Option<&str>,
    ) -> Result<(), Failure> {
        if self.say.is_json() {
            let mut fields = vec![
                ("step", Value::from(step)),
                ("mark", Value::from(mark.name())),
                ("text", Value::from(text)),
            ];
            fields.extend(remedy.map(|remedy| ("hint", Value::from(remedy))));
            return answer("check", &fields, "", self.say);
        }
        let (sign, style) = mark.sign();
        let (on, off) = match output::colours() {
            true => (style.render().to_string(), style.render_reset().to_string()),
            false => Default::default(),
        };
        let width = output::columns().unwrap_or(USUAL);
        print_all(&lines(
            &format!("{on}{sign}{off}"),
            step,
            text,
            remedy,
            width,
        ))
    }
}

/// A line, with what does not fit, and the remedy, indented below it.
fn lines(sign: &str, step: &str, text: &str, remedy: Option<&str>, width: usize) -> String {
    // Some terminals show an empty row after one that is full to the last column.
    let room = (width.clamp(NARROWEST, WIDEST) - 1).saturating_sub(INDENT);
    let mut rows = Vec::new();
    wrap(text, room, "", &mut rows);
    if let Some(remedy) = remedy {
        wrap(remedy, room, "→ ", &mut rows);
    }
    let name = " ".repeat((INDENT - 2).saturating_sub(step.width()));
    let mut out = format!("{sign} {step}{name}");
    for (nth, row) in rows.iter().enumerate() {
        let is_command = row.starts_with(COMMAND);
        if nth > 0 && !is_command {
            out.push_str(&" ".repeat(INDENT));
        }
        out.push_str(row);
        out.push('\n');
    }
    out
}

/// Wraps at words, but for commands, which stay whole so that they can be pasted into a shell.
fn wrap(text: &str, room: usize, first: &str, rows: &mut Vec<String>) {
    let mut first = first;
    for line in visible(text).split('\n') {
        if line.starts_with(COMMAND) {
            rows.push(line.to_owned());
            continue;
        }
        let options = textwrap::Options::new(room)
            .initial_indent(first)
            // A fingerprint in two pieces could not be pasted.
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .wrap_algorithm(textwrap::WrapAlgorithm::FirstFit);
        let wrapped = textwrap::wrap(line.trim(), options).into_iter();
        rows.extend(wrapped.map(std::borrow::Cow::into_owned));
        first = "";
    }
}

/// Columns before the text: the sign and the name of the step.
const INDENT: usize = 13;

/// Starts a suggested command (`Suggest::block`).
const COMMAND: &str = "        ";

/// Columns where there is no terminal, and those that a line takes at least and at most.
const USUAL: usize = 80;
const NARROWEST: usize = 40;
const WIDEST: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_indented_and_no_row_is_too_long() {
        let text = "the certificate of localhost is not accepted: it expired on 3 May 2026";
        let remedy = "whoever runs the server has to renew it";
        for width in [1, 40, 60, 80, 300] {
            let shown = lines("✗", "TLS", text, Some(remedy), width);
            let mut rows = shown.lines();
            assert!(
                rows.next()
                    .unwrap()
                    .starts_with("✗ TLS        the certificate")
            );
            for row in rows {
                assert!(row.starts_with("             "), "{shown}");
                assert!(row.width() < width.clamp(NARROWEST, WIDEST), "{shown}");
            }
            assert!(shown.contains("→ whoever runs"), "{shown}");
        }
    }

    #[test]
    fn commands_stay_whole() {
        let command = format!("{COMMAND}xtls trust pin {}", "x".repeat(100));
        let shown = lines("✗", "key", "unknown", Some(&format!("do:\n{command}")), 80);
        assert!(shown.lines().any(|row| row == command), "{shown}");
    }

    #[test]
    fn what_servers_say_cannot_pass_for_a_line_of_the_program() {
        let shown = lines("✓", "server", "x\n✓ key  verified\u{1b}[2J", None, 80);
        assert!(
            shown.lines().skip(1).all(|row| row.starts_with("   ")),
            "{shown}"
        );
        assert!(!shown.contains('\u{1b}'), "{shown}");
    }
}
