//! What an XMPP client answers besides its streams.

use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng as _;
use tracing::{debug, trace};
use xtls_ibb::MAX_ID;
use xtls_stanza::disco::{Identity, Info};
use xtls_stanza::ibb::Sid;
use xtls_stanza::{
    Address, Condition, Content, Envelope, ErrorType, Payload, PayloadError, PresenceKind,
    StanzaError, xtls,
};

use super::Router;
use super::close::Ending;
use super::config::Welcome;

impl Router {
    /// Answers a stanza that belongs to no stream. Every request gets exactly one answer.
    pub(super) fn answer(&mut self, now: Instant, envelope: Envelope) {
        match &envelope.content {
            Content::Get(payload) | Content::Set(payload) => {
                let set = matches!(envelope.content, Content::Set(_));
                let answer = self.answer_to(now, &envelope, payload, set);
                self.reply(answer);
            }
            Content::Result(_) | Content::Error(_) => {
                let known = match &envelope.from {
                    Some(from) => self.on_closed_answer(now, &from.clone(), &envelope.id),
                    None => false,
                };
                if !known {
                    debug!("an answer that nobody waits for");
                }
            }
            Content::Presence {
                kind: PresenceKind::Unavailable,
                ..
            } => {
                if let Some(from) = &envelope.from {
                    self.gone(now, &from.clone());
                }
            }
            Content::Presence { .. } | Content::Message { .. } => trace!("a stanza in the clear"),
        }
    }

    /// What a client that has never heard of XTLS answers: a stranger does not even learn that we are here.
    pub(super) fn refuse_stranger(&mut self, request: &Envelope) {
        let error = StanzaError::new(ErrorType::Cancel, Condition::ServiceUnavailable);
        self.reply(request.error(error));
    }

    /// An id that is too long to be kept: nothing is done for it but this.
    pub(super) fn refuse_long_id(&mut self, request: &Envelope) {
        let text = format!("the id of the request has more than {MAX_ID} bytes");
        let error = StanzaError::new(ErrorType::Modify, Condition::BadRequest).with_text(text);
        self.reply(request.error(error));
    }

    fn reply(&mut self, answer: Envelope) {
        self.out.answer(answer);
    }

    fn answer_to(
        &mut self,
        now: Instant,
        request: &Envelope,
        payload: &Payload,
        set: bool,
    ) -> Envelope {
        let refuse = |kind, condition| request.error(StanzaError::new(kind, condition));
        let unavailable = || refuse(ErrorType::Cancel, Condition::ServiceUnavailable);
        match payload {
            Payload::DiscoQuery(query) if !set => match &query.node {
                None => request.result(Some(Payload::DiscoInfo(self.info()))),
                Some(_) => refuse(ErrorType::Cancel, Condition::ItemNotFound),
            },
            Payload::Ping if !set => request.result(None),
            Payload::Xtls(xtls::Control::Close { sid }) if set => {
                let from = request.from.clone();
                match from {
                    Some(from) if self.on_close_request(now, &from, sid.as_ref()) => {
                        request.result(Some(Payload::Xtls(xtls::Control::Closed)))
                    }
                    Some(_) | None => refuse(ErrorType::Cancel, Condition::ItemNotFound),
                }
            }
            // The flow before the letter, which is off unless asked for.
            Payload::Xtls(xtls::Control::Start { .. }) if set => {
                let error = StanzaError::new(ErrorType::Cancel, Condition::NotAcceptable);
                request.error(error.with_text("open an In-Band Bytestream with <start/> inside"))
            }
            Payload::Xtls(xtls::Control::Data(_)) if set => {
                refuse(ErrorType::Cancel, Condition::ItemNotFound)
            }
            Payload::Xtls(_) => refuse(ErrorType::Cancel, Condition::FeatureNotImplemented),
            Payload::Malformed {
                why: PayloadError::Unknown,
                ..
            } => refuse(ErrorType::Cancel, Condition::FeatureNotImplemented),
            Payload::Malformed { .. } => refuse(ErrorType::Modify, Condition::BadRequest),
            Payload::DiscoQuery(_)
            | Payload::DiscoInfo(_)
            | Payload::Ping
            | Payload::Open(_)
            | Payload::Data(_)
            | Payload::Close(_)
            | Payload::Other(_) => unavailable(),
        }
    }

    /// Whether a sender may learn that we are here: our own server and account, those we accept, those we talk to.
    pub(super) fn acquainted(&self, from: Option<&Address>) -> bool {
        let Some(from) = from else { return true };
        self.peers.knows(from)
            || from.same_bare(self.own())
            || from.as_str() == self.own().domain()
            || self.config.accept.welcome(from) != Welcome::No
    }

    /// What we can do (XEP-0030). Discovery is a hint, and nothing rests on it.
    fn info(&self) -> Info {
        let ours = ["urn:xmpp:ping", xtls::NS];
        let features = std::iter::once("http://jabber.org/protocol/disco#info")
            .chain(self.transports.features())
            .chain(ours);
        Info {
            node: None,
            identities: vec![Identity {
                category: "client".to_owned(),
                type_: "pc".to_owned(),
                name: Some("xtls".to_owned()),
            }],
            features: features.map(ToOwned::to_owned).collect(),
        }
    }

    /// A peer's resource has gone, or its server says so: its tunnels are cut.
    fn gone(&mut self, now: Instant, peer: &Address) {
        for id in self.peers.all(peer).collect::<Vec<_>>() {
            let absent = StanzaError::new(ErrorType::Wait, Condition::RecipientUnavailable);
            self.end(now, id, Ending::PeerGone(absent));
        }
    }
}

/// 128 random bits as an id.
pub(super) fn fresh_id(random: &mut ChaCha20Rng) -> String {
    let mut bytes = [0_u8; 16];
    random.fill_bytes(&mut bytes);
    let mut id = String::with_capacity(33);
    id.push('x');
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            id.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    id
}

/// The same as the name of a stream.
pub(super) fn fresh_sid(random: &mut ChaCha20Rng) -> Sid {
    loop {
        // A letter and hexadecimal digits are a token.
        if let Ok(sid) = Sid::new(&fresh_id(random)) {
            return sid;
        }
    }
}

pub(super) fn fresh_seed(random: &mut ChaCha20Rng) -> [u8; 32] {
    let mut seed = [0_u8; 32];
    random.fill_bytes(&mut seed);
    seed
}

/// Bytes of answers outside of streams that wait for the link; more are dropped.
pub(super) const ANSWERS: usize = 262_144;
