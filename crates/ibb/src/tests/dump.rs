//! The state of a mux as text, such that two states that go on alike have the same text: names are numbered as they come up, times
//! count from now, and counters that nothing depends on are left out.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::time::Instant;

use xtls_stanza::{Content, Envelope, Payload};

pub(crate) struct Dump {
    now: Instant,
    names: BTreeMap<String, usize>,
    pub(crate) text: String,
}

impl Dump {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            now,
            names: BTreeMap::new(),
            text: String::new(),
        }
    }

    pub(crate) fn word(&mut self, word: impl Debug) {
        let _ = write!(self.text, " {word:?}");
    }

    /// A request id or a sid.
    pub(crate) fn name(&mut self, name: &str) {
        let next = self.names.len();
        let number = *self.names.entry(name.to_owned()).or_insert(next);
        let _ = write!(self.text, " n{number}");
    }

    pub(crate) fn time(&mut self, at: Option<Instant>) {
        let at = at.map(|at| {
            let after = at.saturating_duration_since(self.now).as_millis();
            let before = self.now.saturating_duration_since(at).as_millis();
            (after, before)
        });
        self.word(at);
    }

    pub(crate) fn envelope(&mut self, envelope: &Envelope) {
        self.name(&envelope.id);
        match &envelope.content {
            Content::Set(Payload::Open(open)) => {
                self.word("open");
                self.name(open.sid.as_str());
            }
            Content::Set(Payload::Data(data)) => {
                self.word(("data", data.seq.0, &data.bytes));
                self.name(data.sid.as_str());
            }
            Content::Set(Payload::Close(close)) => {
                self.word("close");
                self.name(close.sid.as_str());
            }
            Content::Result(_) => self.word("result"),
            Content::Error(error) => self.word(("error", error.condition, error.kind)),
            other => panic!("{other:?} is not in the model"),
        }
    }
}
