//! What people or programs see of a conversation: stanzas, or lines.

use std::io::{BufRead as _, IsTerminal as _};

use rustyline::ExternalPrinter;
use rustyline::error::ReadlineError;
use tokio::sync::mpsc;
use xtls_framer::Limits;
use xtls_stanza::{Element, Kind, Stanza};

use crate::failure::Failure;
use crate::one_line::one_line;
use crate::say::clean;

/// What comes from standard input.
pub(crate) type Item = Result<Stanza, Failure>;

/// The two faces of a conversation.
pub(crate) enum Face {
    /// XML stanzas, one a line on output.
    Stanzas,
    /// Lines of text.
    Chat(Chat),
}

/// A chat's face.
#[derive(Default)]
pub(crate) struct Chat {
    /// Writes above the line that is being typed, when a person types.
    printer: Option<Box<dyn ExternalPrinter + Send>>,
}

impl Face {
    pub(crate) fn chat() -> Self {
        Self::Chat(Chat::default())
    }

    /// Starts to read standard input. A thread of its own does, because a terminal can only be waited for.
    pub(crate) fn input(&mut self) -> mpsc::Receiver<Item> {
        let (items, receiver) = mpsc::channel(ITEMS);
        match self {
            Self::Stanzas => {
                std::thread::spawn(move || read_stanzas(&items));
            }
            Self::Chat(chat)
                if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() =>
            {
                if let Ok(mut editor) = rustyline::DefaultEditor::new() {
                    if let Ok(printer) = editor.create_external_printer() {
                        chat.printer = Some(Box::new(printer));
                    }
                    std::thread::spawn(move || read_typed(&mut editor, &items));
                } else {
                    std::thread::spawn(move || read_lines(&items));
                }
            }
            Self::Chat(_) => {
                std::thread::spawn(move || read_lines(&items));
            }
        }
        receiver
    }

    /// The bytes for standard output, if any.
    pub(crate) fn show(&mut self, stanza: &Stanza) -> Option<Vec<u8>> {
        match self {
            Self::Stanzas => {
                let mut xml = Vec::with_capacity(stanza.children.len() + 256);
                stanza.write(&mut xml);
                let mut line = one_line(&xml);
                line.push(b'\n');
                Some(line)
            }
            Self::Chat(chat) => chat.show(stanza),
        }
    }
}

impl Chat {
    fn show(&mut self, stanza: &Stanza) -> Option<Vec<u8>> {
        if stanza.kind != Kind::Message || stanza.type_.as_deref() == Some("error") {
            return None;
        }
        let children = stanza.elements().ok()?;
        let body = children
            .iter()
            .find(|child| child.is("body", "jabber:client"))?;
        let text = clean(&body.text());
        let Some(printer) = &mut self.printer else {
            return Some(format!("{text}\n").into_bytes());
        };
        let name = stanza
            .from
            .as_ref()
            .and_then(|from| from.local())
            .unwrap_or("peer");
        let style = anstyle::AnsiColor::Cyan.on_default().bold();
        let line = format!("{style}{name}:{style:#} {text}\n");
        match printer.print(line) {
            Ok(()) => None,
            Err(_) => Some(format!("{name}: {text}\n").into_bytes()),
        }
    }
}

fn read_stanzas(items: &mpsc::Sender<Item>) {
    let input = std::io::stdin().lock();
    for frame in xtls_framer::frames(input, Limits::default()) {
        let item = match frame {
            Ok(frame) => Stanza::read(&frame.into_bytes())
                .map_err(|error| Failure::usage(format!("standard input: {error}"))),
            Err(error) => Err(Failure::usage(format!("standard input: {error}"))),
        };
        let wrong = item.is_err();
        if items.blocking_send(item).is_err() || wrong {
            return;
        }
    }
}

fn read_lines(items: &mpsc::Sender<Item>) {
    for line in std::io::stdin().lock().lines() {
        let item = match line {
            Ok(line) if line.is_empty() => continue,
            Ok(line) => Ok(message(&line)),
            Err(error) => Err(Failure::usage(format!("standard input: {error}"))),
        };
        let wrong = item.is_err();
        if items.blocking_send(item).is_err() || wrong {
            return;
        }
    }
}

fn read_typed(editor: &mut rustyline::DefaultEditor, items: &mpsc::Sender<Item>) {
    loop {
        let item = match editor.readline("> ") {
            Ok(line) if line.trim().is_empty() => continue,
            Ok(line) => Ok(message(&line)),
            Err(ReadlineError::Eof) => return,
            Err(ReadlineError::Interrupted) => Err(Failure::interrupted()),
            Err(error) => Err(Failure::usage(format!("the terminal: {error}"))),
        };
        let wrong = item.is_err();
        if items.blocking_send(item).is_err() || wrong {
            return;
        }
    }
}

fn message(text: &str) -> Stanza {
    let body = Element::new("body", "jabber:client").with_text(text);
    Stanza::new(Kind::Message)
        .with_type("chat")
        .with_child(&body)
}

/// Items read ahead of what the tunnel takes.
const ITEMS: usize = 16;
