//! Where the messages of a chat are shown: above the line being typed, or on standard output.

use std::io::IsTerminal as _;

use xtls_stanza::Stanza;

use super::conversation::{Current, LONGEST_ID};
use super::heard::Heard;
use super::history::History;
use super::message::{self, Message};
use crate::output::Output;
use crate::say;
use crate::undelivered::beginning;

pub(super) struct Page {
    /// There is a line editor.
    screen: bool,
    output: Output,
    heard: Heard,
    history: History,
}

impl Page {
    pub(super) fn new(screen: bool, history: History) -> Self {
        Self {
            screen,
            output: Output::open(),
            heard: Heard::default(),
            history,
        }
    }

    /// Shows a line of ours that has reached the peer. Only a user at a line editor has seen it vanish.
    pub(super) fn delivered(&self, current: &Current, text: &str) {
        self.history.sent(current.attended.peer(), text, true);
        if self.screen {
            say::said(YOU, &beginning(text));
        }
    }

    /// What the peer has said: a message, or that it has received one of ours.
    pub(super) fn on_stanza(&mut self, current: &mut Current, stanza: &Stanza) {
        if let Some(state) = message::state(stanza) {
            current.heard(state);
        }
        match message::read(stanza) {
            Some(Message::Text {
                text,
                confirm,
                origin,
            }) => {
                let origin = origin.filter(|id| id.len() <= LONGEST_ID);
                let known = current.key.zip(origin);
                if known.is_none_or(|(key, origin)| self.heard.is_new(key, &origin)) {
                    self.show(current, text, confirm);
                } else {
                    // It was shown, and its receipt was lost.
                    current.confirm(confirm);
                }
            }
            Some(Message::Receipt(id)) => {
                if let Some(text) = current.undelivered.confirmed(&id) {
                    self.delivered(current, &text);
                }
            }
            None => {}
        }
    }

    /// Shows a message of the peer. Until the output has accepted it, nothing more is read from the peer.
    fn show(&self, current: &mut Current, text: String, confirm: Option<String>) {
        self.history.received(current.attended.peer(), &text);
        if self.screen {
            say::said(&current.name, &text);
            current.confirm(confirm);
            return;
        }
        let bytes = if std::io::stdout().is_terminal() {
            say::quoted(&current.name, &text)
        } else {
            // Between pipes, text passes unchanged.
            text
        };
        let output = self.output.clone();
        current.showing = Some(Box::pin(async move {
            let written = output.write(format!("{bytes}\n").into_bytes()).await;
            (confirm, written)
        }));
    }
}

/// The author shown for our lines once they are delivered.
const YOU: &str = "you";
