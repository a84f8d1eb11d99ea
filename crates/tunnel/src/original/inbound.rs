//! What comes in: starts, bytes, answers.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Instant;

use bytes::Bytes;
use xtls_ibb::{Refusal, TRY_AGAIN, Why, presentable};
use xtls_stanza::busy::{Busy, Limit};
use xtls_stanza::{Address, Condition, Content, Envelope, ErrorType, Payload, StanzaError, xtls};

use super::{ACCEPT, CHUNK, Event, FLOWS, Flow, FlowId, Original, Phase, unknown};

impl Original {
    /// Takes in a stanza. `None`: it was ours, and is dealt with. Ours are a bare `<start/>`, `<data/>`, and answers whose
    /// id and sender match a request of ours.
    pub fn handle(&mut self, now: Instant, envelope: Envelope) -> Option<Envelope> {
        self.take(now, envelope, false)
    }

    /// As [`handle`](Self::handle), of a sender whose key the owner knows: it may start more often.
    pub fn handle_known(&mut self, now: Instant, envelope: Envelope) -> Option<Envelope> {
        self.take(now, envelope, true)
    }

    fn take(&mut self, now: Instant, envelope: Envelope, known: bool) -> Option<Envelope> {
        let to_us = envelope.to.as_ref() == Some(&self.own);
        let Some(from) = envelope.from.clone().filter(Address::is_full) else {
            return Some(envelope);
        };
        match envelope.content {
            Content::Set(Payload::Xtls(xtls::Control::Start { hello })) if to_us => {
                self.on_start(now, from, known, envelope.id, hello);
                None
            }
            Content::Set(Payload::Xtls(xtls::Control::Data(bytes))) if to_us => {
                self.on_data(&from, envelope.id, Some(bytes));
                None
            }
            // As in a bytestream: what cannot be read leaves a hole.
            Content::Set(Payload::Malformed {
                ref ns, ref name, ..
            }) if to_us && ns == xtls::NS && name == "data" && self.has_open(&from) => {
                self.on_data(&from, envelope.id, None);
                None
            }
            Content::Result(_) | Content::Error(_) => self.on_answer(&from, envelope),
            Content::Set(_)
            | Content::Get(_)
            | Content::Message { .. }
            | Content::Presence { .. } => Some(envelope),
        }
    }

    fn has_open(&self, from: &Address) -> bool {
        self.flows.get(from).is_some_and(Flow::takes_data)
    }

    fn on_start(
        &mut self,
        now: Instant,
        from: Address,
        known: bool,
        request: String,
        hello: Option<Bytes>,
    ) {
        let ours = self.flows.get(&from);
        let crossing = ours.is_some_and(|flow| matches!(flow.phase, Phase::Opening { .. }));
        // XEP-0198 §5: a server sends again what it does not know to have arrived. The owner's answer is still to come.
        let again = ours.is_some_and(|flow| {
            matches!(flow.phase, Phase::Incoming { .. }) && flow.start == request
        });
        if again {
            return;
        }
        let refusal = if crossing {
            // The same rule as for crossing opens of bytestreams, and here it can be decided at once: there is one flow.
            (self.own.as_str().as_bytes() < from.as_str().as_bytes())
                .then(|| StanzaError::new(ErrorType::Cancel, Condition::Conflict))
        } else if ours.is_some() || from == self.own {
            Some(StanzaError::new(
                ErrorType::Cancel,
                Condition::NotAcceptable,
            ))
        } else {
            let busy = self.rate.objection(now, self.opens, &from, known);
            let busy = busy.or_else(|| self.is_full());
            if let Some(busy) = busy.filter(|_| !self.turned_away_told) {
                self.turned_away_told = true;
                let from = from.clone();
                self.events.push_back(Event::TurnedAway { from, busy });
            }
            busy.map(Busy::to_error)
        };
        if let Some(error) = refusal {
            self.answer(&from, request, Content::Error(error));
            return;
        }
        if let Some(lost) = self.flows.get(&from).map(|flow| flow.id) {
            // Ours lost, and its answer means nothing any more.
            let error = StanzaError::new(ErrorType::Cancel, Condition::Conflict);
            let refusal = Refusal::of(&error);
            self.end(lost, Why::Refused { refusal, error });
        }
        self.rate.enter(now, &from, &request);
        let until = now + ACCEPT;
        let id = self.file(&from, request, Phase::Incoming { until }, until);
        self.events.push_back(Event::Incoming { id, from, hello });
    }

    fn is_full(&self) -> Option<Busy> {
        (self.flows.len() >= FLOWS).then_some(Busy {
            limit: Limit::Streams,
            most: u32::try_from(FLOWS).unwrap_or(u32::MAX),
            wait: TRY_AGAIN,
        })
    }

    /// Bytes of a request, or `None` for what could not be read as such.
    fn on_data(&mut self, from: &Address, request: String, bytes: Option<Bytes>) {
        let Some(flow) = self.flows.get_mut(from).filter(|flow| flow.takes_data()) else {
            self.answer(from, request, Content::Error(unknown()));
            return;
        };
        let id = flow.id;
        let fits = |bytes: &Bytes| (1..=CHUNK).contains(&bytes.len());
        let Some(bytes) = bytes.filter(fits) else {
            return self.violated(id, from, request, Condition::BadRequest);
        };
        // XEP-0198 §5, and here there are no numbers that would tell: the same id and bytes, directly repeated.
        let this = digest(&bytes);
        let again =
            (flow.last.as_ref()).is_some_and(|(id, taken)| *id == request && *taken == this);
        if again {
            // One that has not been read is answered when it has.
            if flow.unread.is_none() {
                self.answer(from, request, Content::Result(None));
            }
            return;
        }
        if flow.unread.is_some() {
            // The answer to the last one has not been given.
            return self.violated(id, from, request, Condition::UnexpectedRequest);
        }
        flow.last = Some((request.clone(), this));
        flow.unread = Some((bytes, request));
        self.events.push_back(Event::Readable(id));
    }

    /// Ends a flow whose peer broke a rule, and answers the request that showed it.
    fn violated(&mut self, id: FlowId, from: &Address, request: String, condition: Condition) {
        let error = StanzaError::new(ErrorType::Cancel, condition);
        self.answer(from, request, Content::Error(error.clone()));
        self.end(id, Why::Rejected(error));
    }

    fn on_answer(&mut self, from: &Address, envelope: Envelope) -> Option<Envelope> {
        let Some(flow) = self.flows.get_mut(from) else {
            return Some(envelope);
        };
        let id = flow.id;
        if matches!(flow.phase, Phase::Opening { .. }) && flow.start == envelope.id {
            match envelope.content {
                Content::Result(Some(Payload::Xtls(xtls::Control::Proceed { hello }))) => {
                    flow.phase = Phase::Open;
                    self.events.push_back(Event::Opened { id, hello });
                }
                Content::Error(error) => {
                    let refusal = Refusal::of(&error);
                    let error = presentable(error);
                    self.end(id, Why::Refused { refusal, error });
                }
                // A result without `<proceed/>` is no yes in this flow.
                Content::Result(_)
                | Content::Get(_)
                | Content::Set(_)
                | Content::Message { .. }
                | Content::Presence { .. } => {
                    let error =
                        StanzaError::new(ErrorType::Cancel, Condition::FeatureNotImplemented);
                    let refusal = Refusal::of(&error);
                    self.end(id, Why::Refused { refusal, error });
                }
            }
            return None;
        }
        if flow
            .flight
            .as_ref()
            .is_none_or(|(request, ..)| *request != envelope.id)
        {
            return Some(envelope);
        }
        flow.flight = None;
        if let Content::Error(error) = envelope.content {
            self.end(id, Why::Rejected(presentable(error)));
            return None;
        }
        if matches!(flow.phase, Phase::Flushing { .. }) && flow.out.is_empty() {
            self.end(id, Why::Done);
        }
        None
    }
}

impl Flow {
    fn takes_data(&self) -> bool {
        match self.phase {
            Phase::Open | Phase::Flushing { .. } => true,
            Phase::Opening { .. } | Phase::Incoming { .. } => false,
        }
    }
}

/// Tells a repetition from other bytes under the same id. Whoever makes a collision gains an acknowledgement of bytes
/// that are never delivered.
fn digest(bytes: &Bytes) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
