//! The servers: who receives what, when, and under whose name; and links that are interrupted or lost.

use std::time::Duration;

use bytes::Bytes;
use xtls_stanza::ibb::{BlockSize, Sid};
use xtls_stanza::xtls::Control;
use xtls_stanza::{
    Address, Condition, Content, Element, Envelope, ErrorType, Payload, StanzaError,
};

use crate::client::{GARDEN, NURSE};
use crate::keys;
use crate::mallory::Mallory;
use crate::setup::Adversary;
use crate::world::{Deed, FALSE_JULIET, FALSE_ROMEO, JULIET, MALLORY, ROMEO, World};

impl World {
    /// Takes a stanza from a client and routes it to its destination, or where the adversary wants it.
    pub(crate) fn route(&mut self, from: usize, mut envelope: Envelope, len: usize) {
        let Some(to) = envelope.to.clone() else {
            return;
        };
        if self.ask_server(from, &envelope) {
            return;
        }
        let borrowed = self.borrow(from, &envelope);
        if let Content::Set(Payload::Open(open)) = &envelope.content
            && matches!(
                Control::in_open(open),
                Ok(Some(Control::Start { hello: None }))
            )
            && from < self.clients.len()
        {
            self.plain.insert(envelope.id.clone(), open.sid.clone());
        }
        if from < self.clients.len() {
            let recent = &mut self.clients[from].recent_out;
            recent.push_back(envelope.clone());
            if recent.len() > 8 {
                recent.pop_front();
            }
        }
        let Some((target, seen_from, seen_to)) = self.address(from, &to, borrowed) else {
            self.bounce(
                from,
                envelope,
                Condition::ServiceUnavailable,
                ErrorType::Cancel,
            );
            return;
        };
        if self.setup.limit.is_some_and(|limit| len > limit) {
            self.totals.fault("too large for the server");
            self.bounce(
                from,
                envelope,
                Condition::PolicyViolation,
                ErrorType::Modify,
            );
            return;
        }
        if self.down.contains(&target) {
            self.totals.fault("the server is down");
            let condition = self.dice.pick(&[
                Condition::RemoteServerNotFound,
                Condition::RemoteServerTimeout,
            ]);
            let kind = self.dice.pick(&[ErrorType::Wait, ErrorType::Cancel]);
            if self.dice.permille(700) {
                self.bounce(from, envelope, condition, kind);
            }
            return;
        }
        envelope.from = Some(seen_from);
        envelope.to = Some(seen_to);
        self.copy(from, target, &envelope);
        if self.lie(from, target, &envelope) {
            return;
        }
        if self.raging {
            match self.setup.adversary {
                Adversary::Sid => rename(&mut envelope),
                Adversary::Strip => self.strip(&mut envelope),
                Adversary::Tamper => return self.tamper(from, target, envelope),
                Adversary::None
                | Adversary::Outsider
                | Adversary::Middle
                | Adversary::Thief
                | Adversary::Twin
                | Adversary::Relay
                | Adversary::Resource
                | Adversary::Peer => {}
            }
        }
        let late = self.lag(&envelope);
        self.carry(from, target, &envelope, late, true);
    }

    /// Sends a stanza on its way; in order with what the same client has sent to the same destination, or not.
    pub(crate) fn carry(
        &mut self,
        from: usize,
        to: usize,
        envelope: &Envelope,
        late: Duration,
        in_order: bool,
    ) {
        let mut xml = Vec::new();
        envelope.write(&mut xml);
        self.carry_text(from, to, xml, late, in_order);
    }

    /// The same of any text.
    pub(crate) fn carry_text(
        &mut self,
        from: usize,
        to: usize,
        xml: Vec<u8>,
        late: Duration,
        in_order: bool,
    ) {
        let (least, spread) = self.setup.delay;
        let mut at = self.now + least + self.dice.time(spread) + late;
        if let Some(rate) = self.setup.rate {
            let busy = self.uplinks.entry(from).or_insert(self.now);
            *busy =
                (*busy).max(self.now) + Duration::from_micros(xml.len() as u64 * 1_000_000 / rate);
            at += busy.duration_since(self.now);
        }
        if in_order {
            let last = self.last.entry((from, to)).or_insert(at);
            at = at.max(*last);
            *last = at;
        }
        self.due(at, Deed::Arrive(to, xml.into()));
    }

    /// Records which names the attacker beside the real peer uses; returns whether a stanza bears such a name.
    fn borrow(&mut self, from: usize, envelope: &Envelope) -> bool {
        if !self.setup.adversary.beside() {
            return false;
        }
        let sid = match &envelope.content {
            Content::Set(Payload::Open(open)) => Some(&open.sid),
            Content::Set(Payload::Data(data)) => Some(&data.sid),
            Content::Set(Payload::Close(close)) => Some(&close.sid),
            Content::Set(Payload::Xtls(Control::Close { sid })) => sid.as_ref(),
            _ => None,
        };
        let names = [Some(envelope.id.clone()), sid.map(ToString::to_string)];
        if from == FALSE_ROMEO {
            self.borrowed.extend(names.into_iter().flatten());
            return true;
        }
        names
            .into_iter()
            .flatten()
            .any(|name| self.borrowed.contains(&name))
    }

    /// Who receives what `from` sends to `to`, and the names that it then bears.
    fn address(
        &self,
        from: usize,
        to: &Address,
        borrowed: bool,
    ) -> Option<(usize, Address, Address)> {
        let nurse = || keys::address(NURSE);
        let named = |at: usize| match at {
            MALLORY => self.mallory.as_ref().map_or_else(nurse, Mallory::address),
            other => self.clients[other].address.clone(),
        };
        let own = named(from);
        let garden = || keys::address(GARDEN);
        if self.raging {
            match self.setup.adversary {
                Adversary::Twin => {
                    let target = match from {
                        FALSE_ROMEO => JULIET,
                        JULIET if borrowed => FALSE_ROMEO,
                        JULIET => ROMEO,
                        ROMEO => JULIET,
                        _ => return None,
                    };
                    return (named(target) == *to).then(|| (target, own, to.clone()));
                }
                Adversary::Middle | Adversary::Thief => {
                    let target = match from {
                        ROMEO => FALSE_JULIET,
                        JULIET => FALSE_ROMEO,
                        FALSE_JULIET => ROMEO,
                        FALSE_ROMEO => JULIET,
                        _ => return None,
                    };
                    return (named(target) == *to).then(|| (target, own, to.clone()));
                }
                Adversary::Relay if from == ROMEO => return Some((JULIET, nurse(), named(JULIET))),
                Adversary::Relay if from == JULIET => return Some((ROMEO, nurse(), named(ROMEO))),
                Adversary::Resource if from == ROMEO => return Some((JULIET, own, named(JULIET))),
                Adversary::Resource if from == JULIET => {
                    return Some((ROMEO, garden(), named(ROMEO)));
                }
                _ => {}
            }
        } else if from == FALSE_ROMEO || from == FALSE_JULIET {
            return None;
        }
        let target = [ROMEO, JULIET].into_iter().find(|at| named(*at) == *to);
        let mallory = (self.mallory.is_some() && named(MALLORY) == *to).then_some(MALLORY);
        target.or(mallory).map(|target| (target, own, to.clone()))
    }

    /// Bounces a request or a message, as a server does.
    pub(crate) fn bounce(
        &mut self,
        from: usize,
        envelope: Envelope,
        condition: Condition,
        kind: ErrorType,
    ) {
        let error = StanzaError::new(kind, condition);
        let mut answer = match envelope.content {
            Content::Get(_) | Content::Set(_) => envelope.error(error),
            Content::Message { kind, payloads, .. } if kind != xtls_stanza::MessageKind::Error => {
                Envelope {
                    from: None,
                    to: None,
                    id: envelope.id,
                    content: Content::Message {
                        kind: xtls_stanza::MessageKind::Error,
                        payloads,
                        error: Some(error),
                    },
                }
            }
            _ => return,
        };
        answer.from = envelope.to;
        answer.to = (from < self.clients.len()).then(|| self.clients[from].address.clone());
        self.totals.fault("bounced");
        if from < self.clients.len() {
            self.carry(from + 10, from, &answer, Duration::ZERO, true);
        }
    }

    /// A server that tampers with opens.
    fn strip(&mut self, envelope: &mut Envelope) {
        if let Content::Set(Payload::Open(open)) = &mut envelope.content {
            self.totals.fault("open changed");
            match self.dice.below(3) {
                0 => open.extensions.clear(),
                1 => {
                    let size = 1 + self.dice.below(u64::from(open.block_size.get())) as u16;
                    open.block_size = BlockSize::new(size).unwrap_or(BlockSize::MAX);
                }
                _ => open.extensions.extend(open.extensions.clone()),
            }
        }
        if let Content::Set(Payload::Xtls(Control::Start { hello })) = &mut envelope.content
            && self.dice.permille(500)
        {
            self.totals.fault("open changed");
            *hello = None;
        }
        if let Content::Result(Some(_)) = &envelope.content
            && self.dice.permille(500)
        {
            self.totals.fault("answer stripped");
            envelope.content = Content::Result(None);
        }
        if let Content::Result(_) = &envelope.content
            && let Some(sid) = self.plain.remove(&envelope.id)
            && self.dice.permille(700)
        {
            self.totals.fault("flight put into an answer");
            let hello = Some(Bytes::from_static(&[0x16, 3, 3, 0, 4, 2, 0, 0, 0]));
            envelope.content = Content::Result(Some(Payload::Xtls(Control::Proceed { hello })));
            self.spoiled.insert(sid);
        }
    }

    /// The server of a client restarts: everything under way to it is lost, and so is the link.
    pub(crate) fn restart(&mut self, at: usize, time: Duration) {
        if self.clients[at].away.is_some() {
            return;
        }
        self.totals.fault("server restarted");
        self.lose_under_way(at);
        self.down.insert(at);
        self.cut(at, time, false);
    }

    /// Whether a message that reaches no one is stored, and until when; or goes to another device (RFC 6121
    /// §8.5.3.2.1).
    pub(crate) fn rerouted(&mut self, to: usize, envelope: &Envelope) -> bool {
        let Content::Message { kind, .. } = &envelope.content else {
            return false;
        };
        if *kind == xtls_stanza::MessageKind::Error {
            return false;
        }
        match self.dice.below(3) {
            0 => return false,
            1 => self.totals.fault("re-routed to another device"),
            _ => {
                self.totals.fault("stored, and late");
                let mut late = envelope.clone();
                add_delay(&mut late);
                self.carry(to + 10, to, &late, Duration::from_secs(1), true);
            }
        }
        true
    }

    /// What servers do with a message besides delivering it: carbons, results of an archive or a store, and messages
    /// that were meant for another device.
    fn copy(&mut self, from: usize, to: usize, envelope: &Envelope) {
        let Content::Message { payloads, .. } = &envelope.content else {
            return;
        };
        let chunk = payloads
            .iter()
            .any(|payload| matches!(payload, Payload::Data(_)));
        if !chunk || to >= self.clients.len() || !self.dice.permille(self.setup.copies) {
            return;
        }
        let late = self.dice.time(Duration::from_secs(1));
        let own = self.clients[to].address.clone();
        let mut copy = envelope.clone();
        match self.dice.below(3) {
            0 => {
                self.totals.fault("copied by an archive");
                add_delay(&mut copy);
                let late = if self.dice.permille(500) {
                    Duration::ZERO
                } else {
                    late
                };
                self.carry(from, to, &copy, late, false);
            }
            1 => {
                self.totals.fault("meant for another device");
                copy.to = own.with_resource("attic").ok().map(Into::into);
                self.carry(from, to, &copy, late, false);
            }
            _ => {
                self.totals.fault("carbon copied");
                let mut inner = Vec::new();
                copy.write(&mut inner);
                let mut xml = format!(
                    "<message xmlns='jabber:client' from='{}' to='{}'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>",
                    own.bare(),
                    own.as_str()
                )
                .into_bytes();
                xml.extend(inner);
                xml.extend(b"</forwarded></received></message>");
                self.carry_text(from, to, xml, late, false);
            }
        }
    }
}

/// Marks a message as stored (XEP-0203).
fn add_delay(envelope: &mut Envelope) {
    if let Content::Message { payloads, .. } = &mut envelope.content {
        let delay =
            Element::new("delay", "urn:xmpp:delay").with_attr("stamp", "2008-12-15T00:00:00Z");
        payloads.push(Payload::Other(delay));
    }
}

/// Renames a stream on its way, consistently for all its stanzas and in reverse for the answers.
fn rename(envelope: &mut Envelope) {
    let other = |sid: &Sid| {
        let text = sid
            .as_str()
            .strip_prefix("renamed")
            .map_or_else(|| format!("renamed{sid}"), ToOwned::to_owned);
        Sid::new(&text).unwrap_or_else(|_| sid.clone())
    };
    let (Content::Set(payload) | Content::Get(payload)) = &mut envelope.content else {
        // A flow without a sid is named by the id of its start.
        if let Some(id) = envelope.id.strip_prefix("renamed") {
            envelope.id = id.to_owned();
        }
        return;
    };
    match payload {
        Payload::Open(open) => open.sid = other(&open.sid),
        Payload::Data(data) => data.sid = other(&data.sid),
        Payload::Close(close) => close.sid = other(&close.sid),
        Payload::Xtls(Control::Close { sid: Some(sid) }) => *sid = other(sid),
        Payload::Xtls(Control::Start { .. }) => envelope.id = format!("renamed{}", envelope.id),
        _ => {}
    }
}
