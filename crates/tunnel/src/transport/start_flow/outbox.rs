//! Stanzas of the start flow that wait for the link.

use xtls_ibb::Outgoing;
use xtls_stanza::{Address, Condition, Content, Envelope, ErrorType, Payload, StanzaError, xtls};

#[derive(Debug)]
pub(super) struct Outbox(Outgoing);

impl Outbox {
    pub(super) fn new() -> Self {
        Self(Outgoing::new(ANSWERS))
    }

    pub(super) fn ask(&mut self, to: &Address, id: String, control: xtls::Control) {
        self.0.ask(request(to, id, control));
    }

    /// Answers a request, with `<proceed/>` or with nothing in it.
    pub(super) fn result(&mut self, to: &Address, id: String, control: Option<xtls::Control>) {
        let result = Content::Result(control.map(Payload::Xtls));
        self.0.answer(envelope(to, id, result));
    }

    pub(super) fn error(&mut self, to: &Address, id: String, error: StanzaError) {
        self.0.answer(envelope(to, id, Content::Error(error)));
    }

    pub(super) fn pop(&mut self) -> Option<Envelope> {
        self.0.pop()
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.0.is_crowded()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

pub(super) fn request(to: &Address, id: String, control: xtls::Control) -> Envelope {
    envelope(to, id, Content::Set(Payload::Xtls(control)))
}

fn envelope(to: &Address, id: String, content: Content) -> Envelope {
    Envelope {
        from: None,
        to: Some(to.clone()),
        id,
        content,
    }
}

pub(super) fn error(condition: Condition) -> StanzaError {
    StanzaError::new(ErrorType::Cancel, condition)
}

/// Bytes of stanzas that wait for the link; more answers are dropped.
const ANSWERS: usize = 262_144;
