//! What becomes of a conversation that is cut: the peer is called again, or waited for.

use serde_json::Value;
use tokio::time::Instant;
use xtls_client::router::{Closed, Why};
use xtls_stanza::Address;

use super::conversation::{Current, name_missing};
use super::cut::{Cut, Due, may_come_back};
use super::history::History;
use crate::failure::Failure;
use crate::link;
use crate::say::Say;
use crate::terminal::Prompt;

pub(super) struct Returns {
    /// A conversation that is cut goes on when the peer is back.
    wanted: bool,
    /// It is us who call.
    calls: bool,
    say: Say,
    history: History,
    cut: Option<Cut>,
}

impl Returns {
    pub(super) fn new(wanted: bool, calls: bool, say: Say, history: History) -> Self {
        Self {
            wanted,
            calls,
            say,
            history,
            cut: None,
        }
    }

    /// Whether a second tunnel with the peer of a conversation is the same one, come back before its end was noticed.
    pub(super) fn are_wanted(&self) -> bool {
        self.wanted
    }

    /// Keeps a conversation that may come back. Returns false if it may not.
    pub(super) fn keep(
        &mut self,
        current: &mut Current,
        closed: &Closed,
        failure: Option<&Failure>,
    ) -> bool {
        let (attempt, now) = (current.cut.is_some(), Instant::now());
        if !self.wanted || current.left || !may_come_back(&closed.why, attempt) {
            return false;
        }
        if let Some(mut cut) = current.cut.take() {
            current
                .attended
                .say()
                .data("closed", &link::closed_fields(closed));
            cut.missed(random(), now);
            self.cut = Some(cut);
            return true;
        }
        let (Some(key), Some(failure)) = (current.key, failure) else {
            return false;
        };
        let say = current.attended.say();
        say.data("closed", &link::closed_fields(closed));
        let mut undelivered = current.take_undelivered();
        let lost = undelivered.give_up();
        name_missing(&closed.peer, &lost, &self.history, say);
        let waiting = undelivered.missing().count;
        let cut = Cut::new(
            (closed.peer.clone(), key),
            undelivered,
            failure.clone(),
            self.calls.then(random),
            now,
        );
        let (wait, most) = (cut.wait(now), cut.give_up().as_secs());
        let why = because(&closed.why);
        let fields = [
            ("peer", Value::from(closed.peer.as_str())),
            ("why", Value::from(why.as_str())),
            ("again", Value::from(waiting)),
            ("retry", Value::from(wait.map(|wait| wait.as_secs_f64()))),
            ("give_up", Value::from(most)),
        ];
        let next = match self.calls {
            true => "calling again",
            false => "waiting for them to call again",
        };
        let lines = match waiting {
            0 => String::new(),
            1 => ". 1 line that was not confirmed is sent again then".to_owned(),
            n => format!(". {n} lines that were not confirmed are sent again then"),
        };
        let name = &current.name;
        let text = format_args!("{name} is cut off: {why}; {next}, for {most} s at most{lines}");
        say.warn("cut", &fields, text);
        self.cut = Some(cut);
        true
    }

    /// What a tunnel with this peer may continue. Anything else is over.
    pub(super) fn take(&mut self, peer: &Address) -> Option<Cut> {
        if self.cut.as_ref().is_some_and(|cut| cut.is_with(peer)) {
            return self.cut.take();
        }
        self.abandon();
        None
    }

    /// What came in its place was something else.
    pub(super) fn wait_on(&mut self, cut: Option<Cut>) {
        self.cut = cut.or_else(|| self.cut.take());
    }

    /// Nobody comes back: names what is missing. Returns how the conversation had ended.
    pub(super) fn abandon(&mut self) -> Option<Failure> {
        let cut = self.cut.take()?;
        let missing = cut.undelivered.missing();
        name_missing(cut.peer(), &missing, &self.history, self.say);
        Some(cut.into_failure())
    }

    /// An attempt could not even begin.
    pub(super) fn missed(&mut self) {
        if let Some(cut) = &mut self.cut {
            cut.missed(random(), Instant::now());
        }
    }

    /// Waits until there is something to do. Cancel-safe.
    pub(super) async fn due(&self) -> Due {
        let Some(cut) = &self.cut else {
            return std::future::pending().await;
        };
        let (at, due) = cut.next();
        tokio::time::sleep_until(at).await;
        due
    }

    /// The prompt without a tunnel.
    pub(super) fn prompt(&self, conversation: u64) -> Prompt {
        match &self.cut {
            Some(cut) => cut.prompt(conversation),
            None => no_conversation(),
        }
    }
}

/// Why a conversation was cut, in few words: that its end may be missing goes without saying.
fn because(why: &Why) -> String {
    if let Why::Cut { stream, .. } = why {
        stream.to_string()
    } else {
        why.to_string()
    }
}

/// Cuts a wait. Without random bytes all waits are the shortest.
fn random() -> u32 {
    let mut bytes = [0; 4];
    match xtls_client::random(&mut bytes) {
        Ok(()) => u32::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}

/// The prompt while no one is connected.
pub(super) fn no_conversation() -> Prompt {
    Prompt {
        conversation: 0,
        name: NO_NAME.to_owned(),
        certainty: None,
        undelivered: Vec::new(),
        transfers: Vec::new(),
        closed: Some(NO_ONE.to_owned()),
    }
}

/// Shown in place of a name.
const NO_NAME: &str = "(no one)";

/// Why nothing can be sent without a conversation.
pub(super) const NO_ONE: &str = "no one is connected";
