//! What a person or another program says in a chat.

use std::io::IsTerminal as _;

use tokio::sync::mpsc;

use crate::ask::Person;
use crate::failure::Failure;
use crate::input::{Line, Lines, Pieces};
use crate::stop::Stop;
use crate::terminal::{Prompt, Terminal, Typed};

/// Where it comes from.
pub(super) enum Input {
    /// A person at a line editor.
    Screen(mpsc::Receiver<Typed>),
    /// Lines of standard input, which is read while there is somebody to say them to.
    Pipe { pieces: Pieces, lines: Lines },
    /// Lines of a terminal without an editor.
    Terminal {
        typed: mpsc::Receiver<Vec<u8>>,
        lines: Lines,
    },
}

/// A line, or why it is none.
#[derive(Debug)]
pub(super) enum Said {
    Line {
        /// The conversation that it was typed for, if it was typed for one.
        conversation: Option<u64>,
        text: String,
    },
    Wrong(Failure),
}

impl Input {
    /// A line editor where both ends are a terminal, with that as the place of questions; otherwise standard input.
    pub(super) fn open(stop: &Stop, person: Person, prompt: Prompt) -> (Person, Self) {
        if let Some((terminal, typed)) = Terminal::screen(stop.clone(), prompt) {
            return (Person::at(terminal), Self::Screen(typed));
        }
        // One reader for one terminal: questions go before lines.
        let terminal = person.terminal().filter(|_| std::io::stdin().is_terminal());
        let lines = Lines::default();
        let input = match terminal.map(Terminal::read) {
            Some(typed) => Self::Terminal { typed, lines },
            None => Self::Pipe {
                pieces: Pieces::default(),
                lines,
            },
        };
        (person, input)
    }

    /// Whether a line editor shows whom lines go to.
    pub(super) fn is_screen(&self) -> bool {
        matches!(self, Self::Screen(_))
    }

    /// What is said next; `None` at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Said> {
        match self {
            Self::Screen(typed) => match typed.recv().await? {
                Typed::Line { conversation, text } => Some(Said::Line {
                    conversation: Some(conversation),
                    text,
                }),
                Typed::End => None,
            },
            Self::Pipe { pieces, lines } => loop {
                if let Some(said) = take(lines) {
                    return Some(said);
                }
                match pieces.next().await {
                    Some(Ok(piece)) => lines.push(&piece),
                    Some(Err(error)) => {
                        return Some(Said::Wrong(Failure::failed(format!(
                            "standard input: {error}"
                        ))));
                    }
                    None => return lines.finish().map(said),
                }
            },
            Self::Terminal { typed, lines } => loop {
                if let Some(said) = take(lines) {
                    return Some(said);
                }
                match typed.recv().await {
                    Some(piece) => lines.push(&piece),
                    None => return lines.finish().map(said),
                }
            },
        }
    }
}

fn take(lines: &mut Lines) -> Option<Said> {
    if let Some(line) = lines.next() {
        return Some(said(line));
    }
    if lines.unfinished() <= LONGEST {
        return None;
    }
    // A line without an end is not held whole: it goes as lines of this length.
    lines.finish().map(said)
}

fn said(line: Line) -> Said {
    match line.text {
        Some(text) => Said::Line {
            conversation: None,
            text,
        },
        None => Said::Wrong(Failure::usage(format!(
            "standard input: line {} is not UTF-8, and was not sent",
            line.number
        ))),
    }
}

/// Bytes of a line that are held until its end comes.
const LONGEST: usize = 16_777_216;
