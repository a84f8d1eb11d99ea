//! Forged stanzas: from a server in anyone's name, or from someone with an account of their own.

use std::time::Duration;

use bytes::Bytes;
use xtls_stanza::ibb::{self, BlockSize, Carrier, Seq, Sid};
use xtls_stanza::xtls::Control;
use xtls_stanza::{
    Address, Condition, Content, Envelope, ErrorType, MessageKind, Payload, PresenceKind,
    StanzaError,
};

use crate::client::MALLORY as MALLORY_ADDRESS;
use crate::keys;
use crate::setup::Adversary;
use crate::world::{Deed, JULIET, ROMEO, World};

impl World {
    /// Sends a stanza in someone else's name to Romeo or Juliet.
    pub(crate) fn forge(&mut self) {
        if !self.raging {
            return;
        }
        let outsider = self.setup.adversary == Adversary::Outsider;
        if outsider {
            let next = self.dice.time(Duration::from_secs(4));
            self.later(next, Deed::Forge);
        }
        let victim = self.dice.pick(&[ROMEO, JULIET]);
        let own = self.clients[victim].address.clone();
        let peer = self.clients[1 - victim].address.clone();
        let others = [
            keys::address(MALLORY_ADDRESS),
            peer.with_resource("attic").expect("an address").into(),
            peer.to_bare().into(),
            own.with_resource("attic").expect("an address").into(),
            keys::address("capulet.example"),
            keys::address("evil.example"),
        ];
        // A sender that may not open.
        let stranger = outsider && self.dice.permille(50);
        let from = if stranger {
            let others = [
                keys::address("tybalt@evil.example/den"),
                own.with_resource("attic").expect("an address").into(),
            ];
            self.dice.pick(&others)
        } else if outsider || self.dice.permille(300) {
            self.dice.pick(&others)
        } else {
            peer
        };
        let (sid, seq, id) = self.overheard();
        let sid = if self.dice.permille(800) {
            sid
        } else {
            Sid::new("made-up").expect("a sid")
        };
        let data = ibb::Data {
            sid: sid.clone(),
            seq: Seq(seq),
            bytes: Bytes::from_static(&[0x17, 3, 3, 0, 2, 9, 9]),
        };
        let id = if self.dice.permille(700) {
            id
        } else {
            format!("f{}", self.dice.below(1000))
        };
        let kind = if stranger { 9 } else { self.dice.below(11) };
        let content = match kind {
            0 => Content::Set(Payload::Data(data)),
            1 => Content::Set(Payload::Close(ibb::Close { sid })),
            2 => Content::Set(Payload::Xtls(Control::Close { sid: None })),
            3 => Content::Set(Payload::Xtls(Control::Close { sid: Some(sid) })),
            4 => Content::Result(None),
            5 => Content::Result(Some(Payload::Xtls(Control::Closed))),
            6 => {
                let condition = self.dice.pick(&[
                    Condition::ItemNotFound,
                    Condition::Conflict,
                    Condition::NotAcceptable,
                    Condition::ResourceConstraint,
                ]);
                let kind = self.dice.pick(&[ErrorType::Wait, ErrorType::Cancel]);
                Content::Error(StanzaError::new(kind, condition))
            }
            7 => Content::Presence {
                kind: PresenceKind::Unavailable,
                payloads: Vec::new(),
            },
            8 => Content::Message {
                kind: MessageKind::Normal,
                payloads: vec![Payload::Data(data)],
                error: None,
            },
            9 if !outsider || stranger => Content::Set(Payload::Open(ibb::Open {
                sid: Sid::new(&format!("forged{}", self.dice.below(5))).expect("a sid"),
                block_size: BlockSize::MAX,
                carrier: Carrier::Iq,
                extensions: vec![Control::Start { hello: None }.to_element()],
            })),
            _ => Content::Get(Payload::Ping),
        };
        self.totals.fault(if outsider {
            "forged by an outsider"
        } else {
            "forged"
        });
        let envelope = Envelope {
            from: Some(from),
            to: Some(own),
            id,
            content,
        };
        self.carry(20, victim, &envelope, Duration::ZERO, false);
    }

    /// A name, a number and an id that are in use, as far as any were overheard.
    fn overheard(&mut self) -> (Sid, u16, String) {
        let mut found = (Sid::new("s").expect("a sid"), 0, "nothing".to_owned());
        let from = self.dice.index(self.history.len().max(1));
        for (_, xml) in self.history.iter().skip(from) {
            let Ok(envelope) = Envelope::read(xml) else {
                continue;
            };
            found.2 = envelope.id;
            match envelope.content {
                Content::Set(Payload::Data(data)) => {
                    found.0 = data.sid;
                    found.1 = data.seq.0.wrapping_add(1);
                    break;
                }
                Content::Set(Payload::Open(open)) => found.0 = open.sid,
                _ => {}
            }
        }
        found
    }

    /// Juliet's or Romeo's address, by index.
    pub fn address_of(&self, at: usize) -> &Address {
        &self.clients[at].address
    }
}
