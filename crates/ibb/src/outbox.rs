//! Everything that leaves a mux, data apart: stanzas, events, and who awaits which answer.

use std::collections::{BTreeMap, VecDeque};

use xtls_stanza::ibb::{Carrier, Data, Sid};
use xtls_stanza::{Address, Content, Envelope, MessageKind, Payload, StanzaError, hints};

use crate::event::{Event, StreamId};
use crate::ids::{Id, Ids};
use crate::outgoing::Outgoing;

/// A request of ours without an answer, unless it is a chunk: streams know their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Awaiting {
    pub(crate) stream: StreamId,
    pub(crate) what: Asked,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asked {
    Open,
    Close,
}

#[cfg_attr(test, derive(Clone))]
pub(crate) struct Outbox {
    own: Address,
    ids: Ids,
    stanzas: Outgoing,
    events: VecDeque<Event>,
    awaiting: BTreeMap<String, Awaiting>,
}

impl Outbox {
    pub(crate) fn new(own: Address, ids: Ids, limit: usize) -> Self {
        Self {
            own,
            ids,
            stanzas: Outgoing::new(limit),
            events: VecDeque::new(),
            awaiting: BTreeMap::new(),
        }
    }

    pub(crate) fn own(&self) -> &Address {
        &self.own
    }

    /// An id for a request.
    pub(crate) fn new_id(&mut self) -> Id {
        self.ids.request()
    }

    /// An id for a stream, as [`Ids::sid`].
    pub(crate) fn new_sid(&mut self) -> Option<Sid> {
        self.ids.sid()
    }

    /// Sends a request of the stream; gives its id.
    pub(crate) fn request(
        &mut self,
        to: &Address,
        stream: StreamId,
        what: Asked,
        payload: Payload,
    ) -> String {
        let id = self.ids.request().as_str().to_owned();
        self.awaiting.insert(id.clone(), Awaiting { stream, what });
        let request = self.envelope(to, id.clone(), Content::Set(payload));
        self.stanzas.ask(request);
        id
    }

    /// The place of the last stanza that was queued.
    pub(crate) fn last_place(&self) -> u64 {
        self.stanzas.last_place()
    }

    /// Whether the stanza that was queued at this place is out.
    pub(crate) fn has_left(&self, place: u64) -> bool {
        self.stanzas.has_left(place)
    }

    /// Answers a request.
    pub(crate) fn result(&mut self, to: &Address, id: String, payload: Option<Payload>) {
        self.answer(to, id, Content::Result(payload));
    }

    /// Answers a request with an error.
    pub(crate) fn error(&mut self, to: &Address, id: String, error: StanzaError) {
        self.answer(to, id, Content::Error(error));
    }

    fn answer(&mut self, to: &Address, id: String, content: Content) {
        let answer = self.envelope(to, id, content);
        self.stanzas.answer(answer);
    }

    /// The link takes less than we have to send.
    pub(crate) fn is_crowded(&self) -> bool {
        self.stanzas.is_crowded()
    }

    fn envelope(&self, to: &Address, id: String, content: Content) -> Envelope {
        Envelope {
            from: Some(self.own.clone()),
            to: Some(to.clone()),
            id,
            content,
        }
    }

    /// A chunk as it leaves.
    pub(crate) fn chunk(&self, to: &Address, carrier: Carrier, id: Id, data: Data) -> Envelope {
        let content = match carrier {
            Carrier::Iq => Content::Set(Payload::Data(data)),
            // XEP-0334, XEP-0280 §6.2: no copy, no archive. A `normal` message to a resource that
            // is gone is not sent on to others (RFC 6121 §8.5.3.2.1).
            Carrier::Message => Content::Message {
                kind: MessageKind::Normal,
                payloads: vec![
                    Payload::Data(data),
                    Payload::Other(hints::Hint::NoCopy.to_element()),
                    Payload::Other(hints::Hint::NoStore.to_element()),
                    Payload::Other(hints::private()),
                ],
                error: None,
            },
        };
        self.envelope(to, id.as_str().to_owned(), content)
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn next_stanza(&mut self) -> Option<Envelope> {
        self.stanzas.pop()
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn awaiting(&self, id: &str) -> Option<Awaiting> {
        self.awaiting.get(id).copied()
    }

    /// The answer came, or is not wanted any more.
    pub(crate) fn settle(&mut self, id: &str) {
        self.awaiting.remove(id);
    }

    #[cfg(test)]
    pub(crate) fn leftovers(&self) -> usize {
        self.awaiting.len() + self.stanzas.len() + self.events.len()
    }

    #[cfg(test)]
    pub(crate) fn dump(&self, dump: &mut crate::tests::Dump) {
        for stanza in self.stanzas.iter() {
            dump.envelope(stanza);
        }
        dump.word(self.events.len());
        // In the order of their ids, which is chance: so each by itself, sorted.
        let mut awaiting: Vec<_> = self.awaiting.iter().collect();
        awaiting.sort_by_key(|(_, awaiting)| (awaiting.stream, awaiting.what as u8));
        for (id, awaiting) in awaiting {
            dump.name(id);
            dump.word((awaiting.stream, awaiting.what));
        }
    }

    /// The link is gone: nothing leaves, nothing is awaited.
    pub(crate) fn clear(&mut self) {
        self.stanzas.clear();
        self.awaiting.clear();
    }
}
