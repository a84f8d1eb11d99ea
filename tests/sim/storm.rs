//! A server that tampers with what it carries.

use std::time::Duration;

use bytes::Bytes;
use xtls_stanza::ibb::Seq;
use xtls_stanza::xtls::Control;
use xtls_stanza::{Condition, Content, Envelope, ErrorType, Payload, StanzaError};

use crate::world::{Deed, World};

impl World {
    /// Carries a stanza, or does worse.
    pub(crate) fn tamper(&mut self, from: usize, to: usize, mut envelope: Envelope) {
        let rates = self.setup.rates;
        if self.setup.withhold && self.withheld(from, &envelope) {
            self.totals.fault("withheld in a newer session");
            return;
        }
        if self.dice.permille(rates.drop) {
            self.totals.fault("dropped");
            return;
        }
        if let Content::Set(Payload::Xtls(Control::Data(bytes))) = &mut envelope.content {
            if self.dice.permille(rates.swallow) {
                self.totals.fault("swallowed and acknowledged");
                let answer = envelope.result(None);
                self.answer_for(to, from, &envelope, answer);
                return;
            }
            if self.dice.permille(rates.flip) && !bytes.is_empty() {
                self.totals.fault("flipped");
                let mut spoiled = bytes.to_vec();
                let at = self.dice.index(spoiled.len());
                spoiled[at] ^= 1 << self.dice.below(8);
                *bytes = Bytes::from(spoiled);
            }
        }
        if let Content::Set(Payload::Data(data)) = &mut envelope.content {
            if self.dice.permille(rates.swallow) {
                self.totals.fault("swallowed and acknowledged");
                let answer = envelope.result(None);
                self.answer_for(to, from, &envelope, answer);
                return;
            }
            if self.dice.permille(rates.flip) && !data.bytes.is_empty() {
                self.totals.fault("flipped");
                let mut bytes = data.bytes.to_vec();
                match self.dice.below(4) {
                    0 => bytes.truncate(self.dice.index(bytes.len())),
                    1 => bytes.extend(vec![0x17; 1 + self.dice.index(5000)]),
                    _ => {
                        let at = self.dice.index(bytes.len());
                        bytes[at] ^= 1 << self.dice.below(8);
                    }
                }
                data.bytes = Bytes::from(bytes);
            }
            if self.dice.permille(rates.flip) && !data.bytes.is_empty() {
                self.totals.fault("base64 spoiled");
                let mut xml = Vec::new();
                envelope.write(&mut xml);
                let end = memchr::memmem::find(&xml, b"</data>").unwrap_or(0);
                xml.insert(
                    end.saturating_sub(self.dice.index(3)),
                    self.dice.pick(b"!-_.\0"),
                );
                self.carry_text(from, to, xml, Duration::ZERO, true);
                return;
            }
            if self.dice.permille(rates.swap) {
                self.totals.fault("renumbered");
                data.seq = Seq(data
                    .seq
                    .0
                    .wrapping_add(self.dice.pick(&[1, 2, u16::MAX, 1000])));
            }
        }
        let late = if self.dice.permille(rates.delay) {
            self.totals.fault("delayed");
            self.dice.time(Duration::from_secs(40))
        } else {
            Duration::ZERO
        };
        let in_order = !self.dice.permille(rates.reorder);
        if !in_order {
            self.totals.fault("overtaken");
        }
        self.carry(from, to, &envelope, late, in_order);
        if self.dice.permille(rates.duplicate) {
            self.totals.fault("duplicated");
            // One of the copies may be another stanza under the same id.
            if self.dice.permille(100)
                && let Content::Set(Payload::Data(data)) = &mut envelope.content
            {
                data.bytes = Bytes::from_static(b"something else");
            }
            let late = self.dice.time(Duration::from_secs(2));
            let in_order = self.dice.permille(500);
            self.carry(from, to, &envelope, late, in_order);
        }
        if self.dice.permille(rates.replay) && !self.history.is_empty() {
            self.totals.fault("replayed");
            let at = self.dice.index(self.history.len());
            let (to, xml) = self.history[at].clone();
            let late = self.dice.time(Duration::from_secs(30));
            self.later(late, Deed::Arrive(to, xml));
        }
        if self.dice.permille(rates.forge) {
            self.forge();
        }
        if self.dice.permille(rates.drop / 4) && matches!(envelope.content, Content::Set(_)) {
            self.totals.fault("refused");
            let condition = self.dice.pick(&[
                Condition::RecipientUnavailable,
                Condition::ServiceUnavailable,
                Condition::ResourceConstraint,
                Condition::Conflict,
                Condition::NotAcceptable,
                Condition::RemoteServerTimeout,
            ]);
            let kind = self
                .dice
                .pick(&[ErrorType::Wait, ErrorType::Cancel, ErrorType::Modify]);
            let answer = envelope.error(StanzaError::new(kind, condition));
            self.answer_for(to, from, &envelope, answer);
        }
    }

    /// Whether the responder sends this in a session other than the first.
    fn withheld(&mut self, from: usize, envelope: &Envelope) -> bool {
        match (&envelope.content, &self.first) {
            (Content::Set(Payload::Open(open)), None) => {
                self.first = Some((from, open.sid.clone()));
                false
            }
            (Content::Set(Payload::Data(data)), Some((opener, first))) => {
                from != *opener && data.sid != *first
            }
            _ => false,
        }
    }

    /// Answers a request in the name of its recipient.
    fn answer_for(&mut self, to: usize, from: usize, request: &Envelope, mut answer: Envelope) {
        answer.from = request.to.clone();
        answer.to = request.from.clone();
        if from < self.clients.len() {
            self.carry(to, from, &answer, Duration::ZERO, true);
        }
    }
}
