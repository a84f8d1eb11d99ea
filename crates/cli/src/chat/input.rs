//! The input of a chat, from a user or from another program.

use std::io::IsTerminal as _;

use tokio::sync::mpsc;

use crate::ask::Person;
use crate::failure::Failure;
use crate::input::{Line, Lines, Pieces};
use crate::stop::Stop;
use crate::terminal::{Prompt, Terminal, Typed};

/// Where lines come from.
pub(super) enum Input {
    /// A user at a line editor.
    Screen(mpsc::Receiver<Typed>),
    /// Lines of standard input, which is read while there is a peer to send them to.
    Pipe { pieces: Pieces, lines: Lines },
    /// Lines from a terminal without an editor.
    Terminal {
        typed: mpsc::Receiver<Vec<u8>>,
        lines: Lines,
    },
}

/// A line, or what is wrong with it.
#[derive(Debug)]
pub(super) enum Said {
    Line {
        /// The conversation that was shown when it was typed, if there was a prompt.
        conversation: Option<u64>,
        text: String,
    },
    Wrong(Failure),
}

impl Input {
    /// Opens a line editor if input and output are a terminal, and moves questions there; otherwise standard input.
    pub(super) fn open(stop: &Stop, person: Person, prompt: Prompt) -> (Person, Self) {
        if let Some((terminal, typed)) = Terminal::screen(stop.clone(), prompt) {
            return (Person::at(terminal), Self::Screen(typed));
        }
        // A terminal has one reader: questions come before lines.
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

    /// Whether a line editor shows where lines go.
    pub(super) fn is_screen(&self) -> bool {
        matches!(self, Self::Screen(_))
    }

    /// The next line; `None` at the end. Cancel-safe.
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
    // A line that does not end is not buffered: it is sent as lines of this length.
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

/// Bytes of a line that are buffered until its end arrives.
const LONGEST: usize = 16_777_216;
