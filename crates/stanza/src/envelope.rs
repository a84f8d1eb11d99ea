//! A stanza as exchanged with your server, with its payload decoded.

mod children;
mod error;
mod fast_chunk;
mod kinds;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;

use self::children::Payloads;
pub use self::error::{EnvelopeError, Requester};
pub use self::fast_chunk::AddressCache;
pub use self::kinds::{MessageKind, PresenceKind};
use crate::address::Address;
use crate::body::Body;
use crate::condition::{Condition, StanzaError};
use crate::element::Writer;
use crate::payload::Payload;
use crate::read::Reader;
use crate::receipts::Receipt;
use crate::stanza::{Head, Kind, Stanza, Start};
use crate::write::{self, Form};
use crate::{disco, ns, weight};

/// A stanza with its payload decoded.
///
/// Anything but addresses, id, type and children, such as `xml:lang` on the stanza itself, is
/// dropped; read a [`Stanza`] if you need it.
///
/// ```
/// use bytes::Bytes;
/// use xtls_stanza::{Content, Envelope, Payload};
///
/// let frame = Bytes::from_static(
///     b"<iq from='romeo@montague.example/orchard' id='a1' type='set'>\
///       <data xmlns='http://jabber.org/protocol/ibb' sid='s1' seq='0'>aGVsbG8=</data></iq>",
/// );
/// let request = Envelope::read(&frame)?;
/// let Content::Set(Payload::Data(data)) = &request.content else { panic!() };
/// assert_eq!(data.bytes, "hello");
///
/// let mut out = Vec::new();
/// request.result(None).write(&mut out);
/// assert_eq!(out, b"<iq xmlns='jabber:client' to='romeo@montague.example/orchard' id='a1' type='result'/>");
/// # Ok::<(), xtls_stanza::EnvelopeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The sender; absent means your own account.
    pub from: Option<Address>,
    /// The addressee.
    pub to: Option<Address>,
    /// The id; empty if a message or presence has none.
    pub id: String,
    /// Its kind, type and payload.
    pub content: Content,
}

/// The kind, type and payload of an [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `<iq type='get'/>`
    Get(Payload),
    /// `<iq type='set'/>`
    Set(Payload),
    /// `<iq type='result'/>`
    Result(Option<Payload>),
    /// `<iq type='error'/>`
    Error(StanzaError),
    /// `<message/>`
    Message {
        /// The type.
        kind: MessageKind,
        /// The children in order.
        payloads: Vec<Payload>,
        /// The error of a message of type `error`; written for that type only.
        error: Option<StanzaError>,
    },
    /// `<presence/>`
    Presence {
        /// The type.
        kind: PresenceKind,
        /// The children in order.
        payloads: Vec<Payload>,
    },
}

impl Envelope {
    /// Reads one stanza. An IBB `<data/>` is decoded without building a tree.
    ///
    /// # Errors
    ///
    /// Anything that [`Stanza::read`] refuses, and stanzas that break the rules of RFC 6120 §8.2;
    /// [`EnvelopeError::reply`] gives the answer to send.
    pub fn read(frame: &Bytes) -> Result<Self, EnvelopeError> {
        Self::read_cached(frame, &mut AddressCache::default())
    }

    /// Like [`Envelope::read`], but faster if the addresses are those of the previous stanza.
    ///
    /// # Errors
    ///
    /// As [`Envelope::read`].
    pub fn read_cached(frame: &Bytes, cache: &mut AddressCache) -> Result<Self, EnvelopeError> {
        match Self::read_fast(frame, cache) {
            Some(envelope) => Ok(envelope),
            None => Self::read_strictly(frame),
        }
    }

    fn read_fast(frame: &[u8], cache: &mut AddressCache) -> Option<Self> {
        let iq = fast_chunk::read(frame, cache)?;
        Some(Self {
            from: iq.from,
            to: iq.to,
            id: iq.id,
            content: match iq.data {
                Some(data) => Content::Set(Payload::Data(data)),
                None => Content::Result(None),
            },
        })
    }

    fn read_strictly(frame: &Bytes) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(frame, ns::CLIENT);
        let (mut from, mut to) = (None, None);
        let start = Start::read(&mut reader, &mut from, &mut to)?;
        let payloads = children::read(&mut reader)?;
        reader.finish()?;
        Self::assemble(from, to, start, payloads)
    }

    /// Decodes a stanza that has already been read.
    ///
    /// # Errors
    ///
    /// As [`Envelope::read`].
    pub fn from_stanza(stanza: &Stanza) -> Result<Self, EnvelopeError> {
        let payloads = children::read(&mut stanza.child_reader()?)?;
        let (from, to) = (stanza.from.clone(), stanza.to.clone());
        Self::assemble(from, to, Start::of(stanza), payloads)
    }

    fn assemble(
        from: Option<Address>,
        to: Option<Address>,
        start: Start<'_>,
        payloads: Payloads,
    ) -> Result<Self, EnvelopeError> {
        let id = start.id.map(Cow::into_owned).unwrap_or_default();
        let type_ = start.type_.as_deref();
        let content = match start.kind {
            Kind::Message => {
                let kind = MessageKind::read(type_);
                let (payloads, error) = match kind {
                    MessageKind::Error => {
                        let (payloads, error) = split_error(payloads.into());
                        (payloads, Some(error))
                    }
                    MessageKind::Normal
                    | MessageKind::Chat
                    | MessageKind::Groupchat
                    | MessageKind::Headline => (payloads.into(), None),
                };
                Content::Message {
                    kind,
                    payloads,
                    error,
                }
            }
            Kind::Presence => match PresenceKind::read(type_) {
                Some(kind) => Content::Presence {
                    kind,
                    payloads: payloads.into(),
                },
                None => return Err(EnvelopeError::PresenceType),
            },
            Kind::Iq if id.is_empty() => return Err(EnvelopeError::NoId),
            Kind::Iq => match (type_, payloads.only()) {
                (Some("get"), Ok(Some(payload))) => Content::Get(payload),
                (Some("set"), Ok(Some(payload))) => Content::Set(payload),
                (Some("get" | "set"), Ok(None)) => {
                    let requester = Box::new(Requester { from, to, id });
                    return Err(EnvelopeError::Children {
                        requester,
                        count: 0,
                    });
                }
                (Some("get" | "set"), Err(many)) => {
                    let requester = Box::new(Requester { from, to, id });
                    let count = many.len();
                    return Err(EnvelopeError::Children { requester, count });
                }
                (Some("result"), Ok(payload)) => Content::Result(payload.map(answer)),
                (Some("result"), Err(many)) => {
                    return Err(EnvelopeError::AnswerChildren { count: many.len() });
                }
                (Some("error"), Ok(payload)) => {
                    Content::Error(split_error(payload.into_iter().collect()).1)
                }
                (Some("error"), Err(many)) => Content::Error(split_error(many).1),
                (None | Some(_), _) => {
                    return Err(EnvelopeError::IqType(Box::new(Requester { from, to, id })));
                }
            },
        };
        Ok(Self {
            from,
            to,
            id,
            content,
        })
    }

    /// Appends the stanza in canonical form.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (kind, type_) = match &self.content {
            Content::Get(_) => (Kind::Iq, Some("get")),
            Content::Set(_) => (Kind::Iq, Some("set")),
            Content::Result(_) => (Kind::Iq, Some("result")),
            Content::Error(_) => (Kind::Iq, Some("error")),
            Content::Message {
                kind: MessageKind::Normal,
                ..
            } => (Kind::Message, None),
            Content::Message { kind, .. } => (Kind::Message, Some(kind.name())),
            Content::Presence { kind, .. } => (Kind::Presence, kind.name()),
        };
        let id = Some(self.id.as_str()).filter(|id| kind == Kind::Iq || !id.is_empty());
        Head {
            kind,
            from: self.from.as_ref(),
            to: self.to.as_ref(),
            id,
            type_: None,
            lang: None,
        }
        .write(out);
        if let Some(type_) = type_ {
            write::unchanged(out, b" type='", type_.as_bytes());
        }
        let list = match &self.content {
            Content::Message { payloads, .. } | Content::Presence { payloads, .. } => {
                payloads.as_slice()
            }
            Content::Get(_) | Content::Set(_) | Content::Result(_) | Content::Error(_) => &[],
        };
        let mut writer = Writer::new(
            list.iter().filter_map(Payload::other),
            ns::CLIENT,
            Form::Short,
        );
        writer.declarations(out);
        let before = out.len();
        out.push(b'>');
        match &self.content {
            Content::Get(payload) | Content::Set(payload) | Content::Result(Some(payload)) => {
                payload.write(out)
            }
            Content::Result(None) => {}
            Content::Error(error) => error.to_element().write(ns::CLIENT, out),
            Content::Message {
                kind,
                payloads: _,
                error,
            } => {
                write_all(list, writer, out);
                if let (MessageKind::Error, Some(error)) = (kind, error) {
                    error.to_element().write(ns::CLIENT, out);
                }
            }
            Content::Presence { .. } => write_all(list, writer, out),
        }
        if out.len() == before + 1 {
            out.truncate(before);
            out.extend_from_slice(b"/>");
            return;
        }
        match kind {
            Kind::Iq => out.extend_from_slice(b"</iq>"),
            Kind::Message => out.extend_from_slice(b"</message>"),
            Kind::Presence => out.extend_from_slice(b"</presence>"),
        }
    }

    /// The result that answers this request.
    #[must_use]
    pub fn result(&self, payload: Option<Payload>) -> Self {
        self.reply(Content::Result(payload))
    }

    /// The error that answers this stanza, of the same kind. Never answer results and errors with one.
    #[must_use]
    pub fn error(&self, error: StanzaError) -> Self {
        self.reply(match &self.content {
            Content::Get(_) | Content::Set(_) | Content::Result(_) | Content::Error(_) => {
                Content::Error(error)
            }
            Content::Message { .. } => Content::Message {
                kind: MessageKind::Error,
                payloads: Vec::new(),
                error: Some(error),
            },
            Content::Presence { .. } => Content::Presence {
                kind: PresenceKind::Error,
                payloads: vec![Payload::Other(error.to_element())],
            },
        })
    }

    fn reply(&self, content: Content) -> Self {
        Self {
            from: self.to.clone(),
            to: self.from.clone(),
            id: self.id.clone(),
            content,
        }
    }

    /// The text of a message in this language, or else the first text. Language tags are compared without regard to case;
    /// `None` if this isn't a message or has no text.
    pub fn body(&self, lang: Option<&str>) -> Option<Body> {
        let Content::Message { payloads, .. } = &self.content else {
            return None;
        };
        let mut bodies = payloads.iter().filter_map(Payload::as_body);
        let first = bodies.next()?;
        let fits = |body: &Body| match (&body.lang, lang) {
            (Some(own), Some(wanted)) => own.eq_ignore_ascii_case(wanted),
            (own, wanted) => own.is_none() && wanted.is_none(),
        };
        if fits(&first) {
            return Some(first);
        }
        Some(bodies.find(fits).unwrap_or(first))
    }

    /// The delivery receipt in a message, or the request for one (XEP-0184).
    pub fn receipt(&self) -> Option<Receipt> {
        let Content::Message { payloads, .. } = &self.content else {
            return None;
        };
        payloads.iter().find_map(Payload::as_receipt)
    }

    /// Bytes of memory that it holds: itself, its addresses, its id and what it carries.
    pub fn weight(&self) -> usize {
        weight::envelope(self)
    }
}

/// Appends payloads; trees go through the writer.
fn write_all<'t>(payloads: &'t [Payload], mut writer: Writer<'t>, out: &mut Vec<u8>) {
    for payload in payloads {
        match payload.other() {
            Some(element) => writer.element(element, out),
            None => payload.write(out),
        }
    }
}

/// A disco#info without identities and features looks like the question.
fn answer(payload: Payload) -> Payload {
    match payload {
        Payload::DiscoQuery(query) => Payload::DiscoInfo(disco::Info {
            node: query.node,
            ..disco::Info::default()
        }),
        payload @ (Payload::Open(_)
        | Payload::Data(_)
        | Payload::Close(_)
        | Payload::Xtls(_)
        | Payload::DiscoInfo(_)
        | Payload::Ping
        | Payload::Malformed { .. }
        | Payload::Other(_)) => payload,
    }
}

/// Takes out the first `<error/>`; if there is none, the condition is undefined.
fn split_error(mut payloads: Vec<Payload>) -> (Vec<Payload>, StanzaError) {
    let is_error = |payload: &Payload| matches!(payload, Payload::Other(element) if element.is("error", ns::CLIENT));
    let found = payloads
        .iter()
        .position(is_error)
        .map(|at| payloads.remove(at));
    let error = match found {
        Some(Payload::Other(element)) => StanzaError::take(element),
        _ => StanzaError::new(
            Condition::UndefinedCondition.default_type(),
            Condition::UndefinedCondition,
        ),
    };
    (payloads, error)
}
