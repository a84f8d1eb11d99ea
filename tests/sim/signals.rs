//! Servers that withhold, repeat, reorder, alter and refuse the signals by which two ends agree on paths.

use std::time::Duration;

use bytes::Bytes;
use xtls_stanza::path::{NS, Sealed};
use xtls_stanza::{Condition, Content, Envelope, ErrorType, Payload, StanzaError};

use crate::setup::Adversary;
use crate::world::{Deed, World};

/// The signal in a stanza.
pub(crate) fn signal_in(envelope: &Envelope) -> Option<Sealed> {
    match &envelope.content {
        Content::Set(Payload::Other(element)) if element.is("path", NS) => {
            Sealed::read(element).ok()
        }
        _ => None,
    }
}

impl World {
    /// I17: no key of signals meets a number twice, and no stanza names an address.
    pub(crate) fn judge_signal(&mut self, from: usize, envelope: &Envelope, xml: &[u8]) {
        if self.setup.paths.is_none() {
            return;
        }
        if memchr::memmem::find(xml, crate::sockets::NET.as_bytes()).is_some() {
            self.accuse("I16: an address is in a stanza in the clear");
        }
        let Some(sealed) = signal_in(envelope) else {
            return;
        };
        self.totals.fault("signal");
        self.judge_hints(from, &sealed);
        let name = (from, sealed.sid.clone(), sealed.n);
        let before = self.numbers.insert(name, sealed.record.clone());
        if before.is_some_and(|before| before != sealed.record) {
            let n = sealed.n;
            self.accuse(format!("I17: two signals have the number {n}"));
        }
    }

    /// Whether a server has taken a signal, or an answer to one, on itself.
    pub(crate) fn lie(&mut self, from: usize, to: usize, envelope: &Envelope) -> bool {
        let lies = match &self.setup.paths {
            Some(paths) if self.raging && paths.lies.any() => paths.lies,
            _ => return false,
        };
        let sealed = signal_in(envelope);
        if sealed.is_some() {
            self.asked.insert(envelope.id.clone());
        }
        let answers = matches!(envelope.content, Content::Result(_) | Content::Error(_));
        if sealed.is_none() && !(answers && self.asked.contains(&envelope.id)) {
            return false;
        }
        if self.dice.permille(lies.withhold) {
            self.totals.fault("signal withheld");
            return true;
        }
        if sealed.is_some() && self.dice.permille(lies.refuse) {
            self.totals.fault("signal refused by a server");
            let condition = self.dice.pick(&[
                Condition::ItemNotFound,
                Condition::FeatureNotImplemented,
                Condition::ServiceUnavailable,
                Condition::PolicyViolation,
            ]);
            let mut answer = envelope.error(StanzaError::new(ErrorType::Cancel, condition));
            (answer.from, answer.to) = (envelope.to.clone(), envelope.from.clone());
            self.carry(to, from, &answer, Duration::ZERO, true);
            if self.dice.permille(500) {
                return true;
            }
        }
        let mut altered = envelope.clone();
        if let Some(mut sealed) = sealed
            && self.dice.permille(lies.alter)
        {
            self.totals.fault("signal altered");
            self.alter(&mut sealed);
            altered.content = Content::Set(Payload::Other(sealed.to_element()));
        }
        let late = match self.dice.permille(lies.reorder) {
            true => self.dice.time(Duration::from_secs(10)),
            false => Duration::ZERO,
        };
        self.carry(from, to, &altered, late, late.is_zero());
        if self.dice.permille(lies.repeat) {
            self.totals.fault("signal repeated");
            let late = self.dice.time(Duration::from_secs(30));
            self.carry(from, to, envelope, late, false);
        }
        true
    }

    fn alter(&mut self, sealed: &mut Sealed) {
        let mut record = sealed.record.to_vec();
        match self.dice.below(3) {
            0 => sealed.n = sealed.n.wrapping_add(self.dice.below(3)),
            1 => record.truncate(self.dice.index(record.len().max(1))),
            _ if !record.is_empty() => {
                let at = self.dice.index(record.len());
                record[at] ^= 1 << self.dice.below(8);
            }
            _ => {}
        }
        sealed.record = Bytes::from(record);
    }

    /// A server says that the peer has gone, while another path carries at both ends.
    pub(crate) fn say_gone(&mut self, at: usize) {
        let honest = matches!(
            self.setup.adversary,
            Adversary::None | Adversary::Outsider | Adversary::Peer
        );
        if !self.raging || !honest || !self.is_beside(at) || !self.is_beside(1 - at) {
            return;
        }
        self.totals.fault("said to be gone");
        let (own, peer) = (
            self.address_of(at).as_str(),
            self.address_of(1 - at).as_str(),
        );
        let text = format!(
            "<presence xmlns='jabber:client' type='unavailable' from='{peer}' to='{own}'/>"
        );
        self.later(Duration::ZERO, Deed::Arrive(at, text.into()));
    }
}
