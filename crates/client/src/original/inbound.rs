//! What comes in: starts, bytes, answers.

use std::time::Instant;

use bytes::Bytes;
use xtls_ibb::{Refusal, Why};
use xtls_stanza::{Address, Condition, Content, Envelope, ErrorType, Payload, StanzaError, xtls};

use super::{
    ACCEPT, CHUNK_MOST, CHUNKS, Event, FLOWS, Flow, HELD, MINUTE, Original, Phase, STARTS, unknown,
};

impl Original {
    /// Takes in a stanza. `None`: it was ours, and is dealt with. Ours are a bare `<start/>`, `<data/>`, and answers whose
    /// id and sender match a request of ours.
    pub fn handle(&mut self, now: Instant, envelope: Envelope) -> Option<Envelope> {
        let to_us = envelope.to.as_ref() == Some(&self.own);
        let Some(from) = envelope.from.clone().filter(Address::is_full) else {
            return Some(envelope);
        };
        match envelope.content {
            Content::Set(Payload::Xtls(xtls::Control::Start { hello })) if to_us => {
                self.on_start(now, from, envelope.id, hello);
                None
            }
            Content::Set(Payload::Xtls(xtls::Control::Data(bytes))) if to_us => {
                self.on_data(&from, envelope.id, bytes);
                None
            }
            Content::Result(_) | Content::Error(_) => self.on_answer(&from, envelope),
            Content::Set(_)
            | Content::Get(_)
            | Content::Message { .. }
            | Content::Presence { .. } => Some(envelope),
        }
    }

    fn on_start(&mut self, now: Instant, from: Address, request: String, hello: Option<Bytes>) {
        let ours = self.flows.get(&from);
        let crossing = ours.is_some_and(|flow| matches!(flow.phase, Phase::Opening { .. }));
        // XEP-0198 §5: a server sends again what it does not know to have arrived. The owner's answer is still to come.
        let again = ours.is_some_and(|flow| {
            matches!(flow.phase, Phase::Incoming { .. }) && flow.start == request
        });
        if again {
            return;
        }
        while self.recent.front().is_some_and(|at| *at + MINUTE <= now) {
            self.recent.pop_front();
        }
        let refusal = if crossing {
            // The same rule as for crossing opens of bytestreams, and here it can be decided at once: there is one flow.
            (self.own.as_str().as_bytes() < from.as_str().as_bytes())
                .then_some((ErrorType::Cancel, Condition::Conflict))
        } else if ours.is_some() || from == self.own {
            Some((ErrorType::Cancel, Condition::NotAcceptable))
        } else if self.flows.len() >= FLOWS || self.recent.len() >= STARTS {
            Some((ErrorType::Wait, Condition::PolicyViolation))
        } else {
            None
        };
        if let Some((kind, condition)) = refusal {
            self.answer(
                &from,
                request,
                Content::Error(StanzaError::new(kind, condition)),
            );
            return;
        }
        if let Some(lost) = ours.map(|flow| flow.id) {
            // Ours lost, and its answer means nothing any more.
            let error = StanzaError::new(ErrorType::Cancel, Condition::Conflict);
            let refusal = Refusal::of(&error);
            self.end(lost, Why::Refused { refusal, error });
        }
        self.recent.push_back(now);
        let until = now + ACCEPT;
        let id = self.file(&from, request, Phase::Incoming { until }, until);
        self.events.push_back(Event::Incoming { id, from, hello });
    }

    fn on_data(&mut self, from: &Address, request: String, bytes: Bytes) {
        let open = |flow: &&mut Flow| matches!(flow.phase, Phase::Open | Phase::Flushing { .. });
        let Some(flow) = self.flows.get_mut(from).filter(open) else {
            self.answer(from, request, Content::Error(unknown()));
            return;
        };
        // XEP-0198 §5, and here there are no numbers that would tell: the same id and bytes, directly repeated.
        let again =
            (flow.last.as_ref()).is_some_and(|(id, taken)| *id == request && *taken == bytes);
        if again {
            // One that has not been read is answered when it has.
            if !flow.unread.iter().any(|(_, waiting)| *waiting == request) {
                self.answer(from, request, Content::Result(None));
            }
            return;
        }
        let held: usize = flow.unread.iter().map(|(bytes, _)| bytes.len()).sum();
        if bytes.len() > CHUNK_MOST
            || held.saturating_add(bytes.len()) > HELD
            || flow.unread.len() >= CHUNKS
        {
            let id = flow.id;
            let error = StanzaError::new(ErrorType::Cancel, Condition::BadRequest);
            self.answer(from, request, Content::Error(error.clone()));
            self.end(id, Why::Rejected(error));
            return;
        }
        if bytes.is_empty() {
            self.answer(from, request, Content::Result(None));
            return;
        }
        flow.last = Some((request.clone(), bytes.clone()));
        flow.unread.push_back((bytes, request));
        let id = flow.id;
        self.events.push_back(Event::Readable(id));
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
            self.end(id, Why::Rejected(error));
            return None;
        }
        if matches!(flow.phase, Phase::Flushing { .. }) && flow.out.is_empty() {
            self.end(id, Why::Done);
        }
        None
    }
}
