//! What people or programs see of a conversation: stanzas, or lines.

use std::io::{BufRead as _, IsTerminal as _};

use rustyline_async::{Readline, ReadlineEvent};
use tokio::sync::mpsc;
use xtls_framer::Limits;
use xtls_stanza::{Element, Kind, Stanza};

use crate::failure::Failure;
use crate::say::{self, clean};

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
    /// A person types: what arrives is written above the line.
    person: bool,
}

impl Face {
    pub(crate) fn chat() -> Self {
        Self::Chat(Chat::default())
    }

    /// Starts to read standard input. A pipe is read by a thread of its own, because it can only be waited for.
    pub(crate) fn input(&mut self) -> mpsc::Receiver<Item> {
        let (items, receiver) = mpsc::channel(ITEMS);
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        match self {
            Self::Stanzas => {
                std::thread::spawn(move || read_stanzas(&items));
            }
            Self::Chat(chat) => match Readline::new("> ".to_owned()) {
                Ok((editor, writer)) if terminal => {
                    chat.person = true;
                    say::above(Some(Box::new(writer)));
                    tokio::spawn(read_typed(editor, items));
                }
                Ok(_) | Err(_) => {
                    std::thread::spawn(move || read_lines(&items));
                }
            },
        }
        receiver
    }

    /// The bytes for standard output, if any.
    pub(crate) fn show(&mut self, stanza: &Stanza) -> Option<Vec<u8>> {
        match self {
            Self::Stanzas => {
                let mut line = Vec::with_capacity(stanza.children.len() + 256);
                // What came through a session has been read, so it reads.
                stanza.write_line(&mut line).ok()?;
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
        if !self.person {
            return Some(format!("{text}\n").into_bytes());
        }
        let name = stanza
            .from
            .as_ref()
            .and_then(|from| from.local())
            .unwrap_or("peer");
        let style = anstyle::AnsiColor::Cyan.on_default().bold();
        say::line(format_args!("{style}{name}:{style:#} {text}"));
        None
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

async fn read_typed(mut editor: Readline, items: mpsc::Sender<Item>) {
    loop {
        let item = match editor.readline().await {
            Ok(ReadlineEvent::Line(line)) if line.trim().is_empty() => continue,
            Ok(ReadlineEvent::Line(line)) => {
                editor.add_history_entry(line.clone());
                Ok(message(&line))
            }
            Ok(ReadlineEvent::Eof) => break,
            Ok(ReadlineEvent::Interrupted) => Err(Failure::interrupted()),
            Err(error) => Err(Failure::usage(format!("the terminal: {error}"))),
        };
        let wrong = item.is_err();
        if items.send(item).await.is_err() || wrong {
            break;
        }
    }
    // The terminal is an ordinary one again.
    say::above(None);
}

fn message(text: &str) -> Stanza {
    let body = Element::new("body", "jabber:client").with_text(text);
    Stanza::new(Kind::Message)
        .with_type("chat")
        .with_child(&body)
}

/// Items read ahead of what the tunnel takes.
const ITEMS: usize = 16;
