//! One conversation: what is queued, what is being sent, and what is not yet known to have arrived.

mod late;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
use tokio::time::Instant;
use xtls_client::Tunnel;
use xtls_client::router::{Closed, SendError, TurnedAway};
use xtls_client::stanza::busy::Limit;
use xtls_client::tls::Fingerprint;
use xtls_stanza::{Address, Stanza};

use super::cut::{AWAY, Cut};
use super::history::History;
use super::message;
use super::states::{State, States};
use crate::attended::{Attended, Seen};
use crate::failure::Failure;
use crate::link;
use crate::record::Recorder;
use crate::say::{self, Say};
use crate::terminal::{Prompt, Typing};
use crate::undelivered::{Missing, Undelivered, beginning};
use late::{LATE, Late};

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
    /// The key that the peer has proven.
    pub(super) key: Option<Fingerprint>,
    /// The conversation that is to go on here, until the peer has proven the same key.
    pub(super) cut: Option<Cut>,
    /// The peer has left.
    pub(super) left: bool,
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
    /// `None` if nobody has asked for them.
    pub(super) states: Option<States>,
    late: Late,
}

/// Who a peer has turned out to be.
pub(super) enum Who {
    New,
    /// The one that was cut off; so many lines are sent again.
    Back {
        again: usize,
    },
    /// Somebody else.
    Another(Box<Cut>),
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
    /// A conversation on a new tunnel, or the rest of one that was cut. The ids of its lines begin with `prefix`.
    pub(super) fn new(
        attended: Attended,
        prefix: String,
        cut: Option<Cut>,
        states: Option<States>,
    ) -> Self {
        Self {
            name: attended.peer().bare().to_owned(),
            attended,
            open: false,
            established: false,
            key: None,
            cut,
            left: false,
            finishing: false,
            finished: false,
            outbox: VecDeque::new(),
            sending: None,
            showing: None,
            undelivered: Undelivered::new(prefix),
            states,
            late: Late::default(),
        }
    }

    /// The prompt, which shows the user where typed lines go.
    pub(super) fn prompt(&self, conversation: u64, ended: bool) -> Prompt {
        Prompt {
            conversation,
            name: self.name.clone(),
            certainty: match (&self.cut, self.attended.certainty(), &self.states) {
                (Some(_), _, _) => Some(AWAY.to_owned()),
                (None, Some(certainty), Some(states)) if states.is_composing() => {
                    Some(format!("{certainty} · writing …"))
                }
                (None, certainty, _) => certainty.map(str::to_owned),
            },
            undelivered: match &self.cut {
                Some(cut) => cut.undelivered.lines().collect(),
                None => self.undelivered.lines().collect(),
            },
            transfers: Vec::new(),
            closed: if ended || self.finishing {
                Some("the conversation is ending".to_owned())
            } else if self.cut.is_some() {
                Some(format!("{} is not back yet", self.name))
            } else if !self.established {
                Some(format!("{} has not accepted you yet", self.name))
            } else {
                None
            },
        }
    }

    /// Both ends have accepted each other: what a conversation that was cut has to say again is queued, for the same key only.
    pub(super) fn establish(&mut self) -> Who {
        self.established = true;
        self.key = self
            .attended
            .sender()
            .proven()
            .map(|peer| peer.key.fingerprint);
        let Some(cut) = self.cut.take() else {
            self.open = true;
            return Who::New;
        };
        if !self.key.is_some_and(|key| cut.is_of(key)) {
            return Who::Another(Box::new(cut));
        }
        self.open = true;
        self.undelivered = cut.undelivered;
        let again = self.undelivered.again();
        let count = again.len();
        for (id, text) in again {
            let stanza = message::text(&id, &text, self.states.is_some());
            let line = Some(id);
            self.outbox.push_back(Outgoing { line, stanza });
        }
        Who::Back { again: count }
    }

    /// Lines can be sent, though the peer has not accepted our key yet.
    pub(super) fn ready(&mut self) {
        // What was said to one key is not said again before the same one is proven.
        self.open = self.cut.is_none();
        let fields = [("peer", self.attended.peer().as_str().into())];
        let text = format_args!("waiting for {} to accept your key …", self.name);
        self.attended.say().event("waiting", &fields, text);
    }

    pub(super) fn say_back(&self, again: usize) {
        let fields = [
            ("peer", Value::from(self.attended.peer().as_str())),
            ("again", Value::from(again)),
        ];
        let lines = match again {
            0 => String::new(),
            1 => "; 1 line is sent again".to_owned(),
            n => format!("; {n} lines are sent again"),
        };
        let text = format_args!("{} is back, with the same key{lines}", self.name);
        self.attended.say().warn("restored", &fields, text);
    }

    pub(super) fn peer_left(&mut self) {
        let fields = [("peer", self.attended.peer().as_str().into())];
        let text = format!("{} has left", self.name);
        if !self.attended.came_to_verify() {
            self.attended.say().event("peer_finished", &fields, text);
        }
        // When one side leaves a chat, it is over for both.
        self.finishing = true;
        self.left = true;
    }

    /// Reports that somebody else called.
    pub(super) fn say_declined(&self, peer: &str, what: &str, say: Say) {
        let text = format_args!("{what}: you are talking to {}", self.name);
        say.event("declined", &[("peer", peer.into())], text);
    }

    /// Closes another call while this conversation goes on.
    pub(super) async fn decline(&self, tunnel: Tunnel, say: Say) {
        let peer = tunnel.peer().clone();
        self.say_declined(peer.as_str(), &format!("declined a call from {peer}"), say);
        tunnel.close().await;
    }

    /// It is a conversation of its own after all.
    pub(super) fn begin_anew(&mut self, prefix: String) {
        self.open = true;
        self.undelivered = Undelivered::new(prefix);
    }

    /// The lines that have not been confirmed, at the end.
    pub(super) fn take_undelivered(&mut self) -> Undelivered {
        std::mem::replace(&mut self.undelivered, Undelivered::new(String::new()))
    }

    pub(super) fn say(&mut self, text: &str, say: Say) {
        if let Some(c) = message::unsendable(text) {
            let why = format!("it contains U+{:04X}, which XML cannot carry", u32::from(c));
            say_not_sent(text, &why, say);
            return;
        }
        if let Some(states) = &mut self.states {
            states.said();
        }
        for piece in message::pieces(text) {
            let id = self.undelivered.sent(piece);
            let stanza = message::text(&id, piece, self.states.is_some());
            self.outbox.push_back(Outgoing {
                line: Some(id),
                stanza,
            });
        }
    }

    /// The peer says what it does.
    pub(super) fn heard(&mut self, state: State) {
        if let Some(states) = &mut self.states
            && states.heard(state)
        {
            let fields = [
                ("peer", Value::from(self.attended.peer().as_str())),
                ("state", Value::from(state.name())),
            ];
            self.attended.say().data("chat_state", &fields);
        }
    }

    /// Tells the peer what the user does, if that is new, and the user if the peer is silent.
    pub(super) fn look(&mut self, line: Option<Typing>, now: Instant) {
        let oldest = self.undelivered.oldest().filter(|_| self.established);
        if self.late.look(oldest, now) {
            self.say_late();
        }
        if let Some(line) = line
            && let Some(states) = &mut self.states
            && self.established
            && !self.finishing
            && self.outbox.is_empty()
            && let Some(state) = states.look(line, now)
        {
            self.outbox.push_back(Outgoing {
                line: None,
                stanza: message::doing(state),
            });
        }
    }

    fn say_late(&self) {
        let (peer, seconds) = (self.attended.peer(), LATE.as_secs());
        let fields = [("peer", peer.as_str().into())];
        let text = format_args!(
            "{} has not confirmed your line for {seconds} s: they may be gone. If they are, it is named at the end, or sent again \
             when they come back",
            self.name
        );
        self.attended.say().warn("waiting", &fields, text);
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

    /// Something was sent. Returns why it was not, if that is not told by the end of the tunnel.
    pub(super) fn sent(&mut self, sent: Sent, recorder: Option<&Recorder>) -> Option<Failure> {
        self.sending = None;
        let (outgoing, sent) = sent?;
        match sent {
            Ok(()) => {
                if let Some(recorder) = recorder {
                    recorder.inner("out", &outgoing.stanza);
                }
                None
            }
            // The end of the tunnel is reported with its reason and the lost line.
            Err(
                SendError::Gone(_) | SendError::Session(xtls_client::session::SendError::Finished),
            ) => None,
            Err(error) => {
                if let Some(id) = outgoing.line {
                    self.undelivered.unsent(&id);
                }
                Some(Failure::usage(format!("{error}: the line was not sent")))
            }
        }
    }

    /// Names what may not have reached the peer. Returns whether there is anything.
    pub(super) fn name_undelivered(&self, history: &History) -> bool {
        let missing = match &self.cut {
            Some(cut) => cut.undelivered.missing(),
            None => self.undelivered.missing(),
        };
        name_missing(self.attended.peer(), &missing, history, self.attended.say());
        missing.count > 0
    }

    /// The input has ended: finishes our side.
    pub(super) async fn end_of_input(&mut self) {
        self.finishing = true;
        if !self.open {
            self.close().await;
        }
    }

    /// Ends it in order, without what is queued.
    pub(super) async fn close(&mut self) {
        (self.finishing, self.finished) = (true, true);
        self.attended.sender().close().await;
    }

    /// With whom it is, at present: the full address and the key.
    pub(super) fn partner(&self) -> Option<(Address, Fingerprint)> {
        let key = self.key.filter(|_| self.open && !self.finishing)?;
        Some((self.attended.peer().clone(), key))
    }

    /// Whether another line can be sent at once.
    pub(super) fn is_idle(&self) -> bool {
        self.open && self.sending.is_none() && self.outbox.is_empty()
    }

    /// Reports its end; people learn it from the failure, if it was not `fine`.
    pub(super) fn say_over(&self, closed: &Closed, fine: bool) {
        let (say, fields) = (self.attended.say(), link::closed_fields(closed));
        match fine {
            true => {
                let text = format_args!("the conversation with {} is over", self.name);
                say.event("closed", &fields, text);
            }
            false => say.data("closed", &fields),
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

/// Reports a caller that a limit has turned away: here, that somebody else is talked to.
pub(super) fn say_turned_away(current: Option<&Current>, away: &TurnedAway, say: Say) {
    match current {
        Some(current) if away.busy.limit == Limit::Incoming => {
            let peer = &away.peer;
            let what = format!("asked {peer} to call again later");
            current.say_declined(peer.as_str(), &what, say);
        }
        Some(_) | None => link::say_turned_away(away, say),
    }
}

/// Warns about lines that may not have arrived, if there are any.
pub(super) fn name_missing(peer: &Address, missing: &Missing, history: &History, say: Say) {
    let Missing { count, lines } = missing;
    if *count == 0 {
        return;
    }
    for line in lines {
        history.sent(peer, line, false);
    }
    let lines: Vec<_> = lines
        .iter()
        .map(|line| say::shown(&beginning(line)))
        .collect();
    let fields = [
        ("peer", Value::from(peer.as_str())),
        ("count", Value::from(*count)),
        ("lines", Value::from(lines.clone())),
    ];
    let name = peer.bare();
    let mut text = match count {
        1 => format!("1 line may not have reached {name}:"),
        count => format!("{count} lines may not have reached {name}:"),
    };
    for line in lines.iter().take(NAMED) {
        text.push('\n');
        text.push_str(line);
    }
    if *count > NAMED as u64 {
        text.push_str(&format!("\n… and {} more", count - NAMED as u64));
    }
    say.warn("undelivered", &fields, text);
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

/// What the ids of messages of a conversation begin with, and those of no other.
pub(super) fn prefix(origin: &str, number: u64) -> String {
    format!("{origin}-{number}-")
}

/// Receipts that may be queued.
const RECEIPTS: usize = 64;

/// The longest id to confirm or remember, in bytes.
pub(super) const LONGEST_ID: usize = 256;

/// Undelivered lines to name at the end.
const NAMED: usize = 10;
