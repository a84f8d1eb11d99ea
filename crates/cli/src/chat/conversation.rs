//! One conversation: what is queued, what is being sent, and what is not yet known to have arrived.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
use xtls_client::router::SendError;
use xtls_stanza::Stanza;

use super::message;
use crate::attended::{Attended, Seen};
use crate::failure::Failure;
use crate::say::{self, Say};
use crate::terminal::Prompt;
use crate::undelivered::Undelivered;

/// An operation in progress, and its result.
pub(super) type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The conversation with one peer.
pub(super) struct Current {
    pub(super) attended: Attended,
    /// The bare address, as shown to the user.
    pub(super) name: String,
    /// Lines can be sent.
    pub(super) open: bool,
    pub(super) established: bool,
    /// What is queued is the last that we send.
    pub(super) finishing: bool,
    /// We have announced that we have finished.
    pub(super) finished: bool,
    /// Stanzas to be sent, oldest first.
    pub(super) outbox: VecDeque<Outgoing>,
    pub(super) sending: Option<Pending<Sent>>,
    /// A message of the peer that is being written to standard output.
    pub(super) showing: Option<Pending<Shown>>,
    pub(super) undelivered: Undelivered,
}

/// A stanza to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The id of a line; receipts have none.
    pub(super) line: Option<String>,
    pub(super) stanza: Stanza,
}

/// What was sent, and the result. `None` stands for the announcement that we have finished.
pub(super) type Sent = Option<(Outgoing, Result<(), SendError>)>;

/// The id to confirm for a message that was written, and whether the output accepted it.
pub(super) type Shown = (Option<String>, Result<(), Failure>);

/// An event in a conversation.
pub(super) enum Step {
    Seen(Option<Seen>),
    Sent(Sent),
    Shown(Shown),
}

impl Current {
    pub(super) fn new(attended: Attended) -> Self {
        Self {
            name: attended.peer().bare().to_owned(),
            attended,
            open: false,
            established: false,
            finishing: false,
            finished: false,
            outbox: VecDeque::new(),
            sending: None,
            showing: None,
            undelivered: Undelivered::default(),
        }
    }

    /// The prompt, which shows the user where typed lines go.
    pub(super) fn prompt(&self, conversation: u64, ended: bool) -> Prompt {
        Prompt {
            conversation,
            name: self.name.clone(),
            certainty: self.attended.certainty(),
            undelivered: self.undelivered.lines().collect(),
            closed: if ended || self.finishing {
                Some("the conversation is ending".to_owned())
            } else if !self.established {
                Some(format!("{} has not accepted you yet", self.name))
            } else {
                None
            },
        }
    }

    /// Warns about the lines that may not have arrived.
    pub(super) fn name_undelivered(&self, say: Say) {
        let lines: Vec<_> = self.undelivered.lines().collect();
        let count = self.undelivered.count();
        let fields = [
            ("peer", Value::from(self.attended.peer().as_str())),
            ("count", Value::from(count)),
            ("lines", Value::from(lines.clone())),
        ];
        let mut text = match count {
            1 => format!("1 line may not have reached {}:", self.name),
            count => format!("{count} lines may not have reached {}:", self.name),
        };
        for line in lines.iter().take(NAMED) {
            text.push('\n');
            text.push_str(line);
        }
        if count > NAMED as u64 {
            text.push_str(&format!("\n… and {} more", count - NAMED as u64));
        }
        say.warn("undelivered", &fields, text);
    }

    pub(super) fn say(&mut self, text: &str, say: Say) {
        if let Some(c) = message::unsendable(text) {
            let why = format!("it contains U+{:04X}, which XML cannot carry", u32::from(c));
            say_not_sent(text, &why, say);
            return;
        }
        for piece in message::pieces(text) {
            let id = self.undelivered.sent(piece);
            let stanza = message::text(&id, piece);
            self.outbox.push_back(Outgoing {
                line: Some(id),
                stanza,
            });
        }
    }

    /// Queues a receipt for a line of the peer that was shown.
    pub(super) fn confirm(&mut self, id: Option<String>) {
        // A peer that reads nothing gets fewer receipts, and at the end the one for everything (`<finish/>`).
        let waiting = self
            .outbox
            .iter()
            .filter(|outgoing| outgoing.line.is_none())
            .count();
        if let Some(id) = id.filter(|id| id.len() <= LONGEST_ID)
            && waiting < RECEIPTS
        {
            self.outbox.push_back(Outgoing {
                line: None,
                stanza: message::receipt(&id),
            });
        }
    }

    pub(super) fn pump(&mut self) {
        if self.sending.is_some() || !self.open {
            return;
        }
        let sender = self.attended.sender();
        if let Some(outgoing) = self.outbox.pop_front() {
            self.sending = Some(Box::pin(async move {
                let sent = sender.send(outgoing.stanza.clone()).await;
                Some((outgoing, sent))
            }));
        } else if self.finishing && !std::mem::replace(&mut self.finished, true) {
            self.sending = Some(Box::pin(async move {
                sender.finish().await;
                None
            }));
        }
    }

    /// The input has ended: finishes our side.
    pub(super) async fn end_of_input(&mut self) {
        self.finishing = true;
        if !self.open {
            self.finished = true;
            self.attended.sender().close().await;
        }
    }

    /// The next event. Cancel-safe.
    pub(super) async fn step(&mut self) -> Step {
        tokio::select! {
            // The previous message must have been shown before more is read.
            seen = self.attended.next(), if self.showing.is_none() => Step::Seen(seen),
            sent = pending(&mut self.sending) => Step::Sent(sent),
            shown = pending(&mut self.showing) => Step::Shown(shown),
        }
    }
}

/// Warns that a line was not sent.
pub(super) fn say_not_sent(text: &str, why: &str, say: Say) {
    let line = say::shown(text);
    let fields = [("line", line.as_str().into()), ("why", why.into())];
    let text = format_args!("not sent, because {why}: {line}");
    say.warn("not_sent", &fields, text);
}

pub(super) async fn step(current: &mut Option<Current>) -> Step {
    match current {
        Some(current) => current.step().await,
        None => std::future::pending().await,
    }
}

async fn pending<T>(pending: &mut Option<Pending<T>>) -> T {
    match pending {
        Some(pending) => pending.await,
        None => std::future::pending().await,
    }
}

/// Receipts that may be queued.
const RECEIPTS: usize = 64;

/// The longest id to confirm, in bytes.
const LONGEST_ID: usize = 256;

/// Undelivered lines to name at the end.
const NAMED: usize = 10;
