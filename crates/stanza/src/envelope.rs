//! A stanza as exchanged with one's own server, its payload decoded.

use std::borrow::Cow;

use bytes::Bytes;

use crate::address::Address;
use crate::base64::Whitespace;
use crate::condition::{Condition, StanzaError};
use crate::element::Element;
use crate::ibb::Data;
use crate::payload::{Payload, PayloadError};
use crate::read::{ReadError, Reader, Token};
use crate::stanza::{Head, Kind, Stanza};
use crate::{disco, ns, write};

/// A stanza with its payload decoded.
///
/// What is neither address, id, type nor child, such as `xml:lang` on the stanza itself, is left
/// out: whoever needs it reads a [`Stanza`].
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
    /// The sender; absent means one's own account.
    pub from: Option<Address>,
    /// The addressee.
    pub to: Option<Address>,
    /// The id; empty if a message or presence has none.
    pub id: String,
    /// What it is and carries.
    pub content: Content,
}

/// What an [`Envelope`] is and carries.
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

/// The type of a message (RFC 6121 §5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// No type, or one that is not known.
    #[default]
    Normal,
    /// Part of a conversation.
    Chat,
    /// To all occupants of a room.
    Groupchat,
    /// No answer is expected.
    Headline,
    /// Answers a message that went wrong.
    Error,
}

impl MessageKind {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Chat => "chat",
            Self::Groupchat => "groupchat",
            Self::Headline => "headline",
            Self::Error => "error",
        }
    }

    fn read(name: Option<&str>) -> Self {
        let known = [Self::Chat, Self::Groupchat, Self::Headline, Self::Error];
        known
            .into_iter()
            .find(|kind| Some(kind.name()) == name)
            .unwrap_or_default()
    }
}

/// The type of a presence (RFC 6121 §4.7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PresenceKind {
    /// No type: the sender can be reached.
    #[default]
    Available,
    /// The sender can no longer be reached.
    Unavailable,
    /// Asks for presence.
    Subscribe,
    /// Grants presence.
    Subscribed,
    /// Gives presence up.
    Unsubscribe,
    /// Takes presence away.
    Unsubscribed,
    /// A server asks for presence.
    Probe,
    /// Answers a presence that went wrong.
    Error,
}

impl PresenceKind {
    /// The name on the wire; `available` has none.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Available => None,
            Self::Unavailable => Some("unavailable"),
            Self::Subscribe => Some("subscribe"),
            Self::Subscribed => Some("subscribed"),
            Self::Unsubscribe => Some("unsubscribe"),
            Self::Unsubscribed => Some("unsubscribed"),
            Self::Probe => Some("probe"),
            Self::Error => Some("error"),
        }
    }

    fn read(name: Option<&str>) -> Option<Self> {
        let known = [
            Self::Available,
            Self::Unavailable,
            Self::Subscribe,
            Self::Subscribed,
            Self::Unsubscribe,
            Self::Unsubscribed,
            Self::Probe,
            Self::Error,
        ];
        known.into_iter().find(|kind| kind.name() == name)
    }
}

impl Envelope {
    /// Reads one stanza. Of an IBB `<data/>` no tree is made.
    ///
    /// # Errors
    ///
    /// What [`Stanza::read`] refuses, and a stanza against the rules of RFC 6120 §8.2; ask
    /// [`EnvelopeError::reply`] for the answer that it deserves.
    pub fn read(frame: &Bytes) -> Result<Self, EnvelopeError> {
        let mut reader = Reader::new(frame, ns::CLIENT)?;
        let head = Stanza::read_head(&mut reader)?;
        let payloads = read_children(&mut reader)?;
        reader.finish()?;
        Self::assemble(&head, payloads)
    }

    /// The same of a stanza that was read before.
    ///
    /// # Errors
    ///
    /// As [`Envelope::read`].
    pub fn from_stanza(stanza: &Stanza) -> Result<Self, EnvelopeError> {
        let payloads = read_children(&mut stanza.child_reader()?)?;
        Self::assemble(stanza, payloads)
    }

    fn assemble(head: &Stanza, payloads: Vec<Payload>) -> Result<Self, EnvelopeError> {
        let (from, to) = (head.from.clone(), head.to.clone());
        let id = head.id.clone().unwrap_or_default();
        let type_ = head.type_.as_deref();
        let content = match head.kind {
            Kind::Message => {
                let kind = MessageKind::read(type_);
                let (payloads, error) = match kind {
                    MessageKind::Error => {
                        let (payloads, error) = split_error(payloads);
                        (payloads, Some(error))
                    }
                    MessageKind::Normal
                    | MessageKind::Chat
                    | MessageKind::Groupchat
                    | MessageKind::Headline => (payloads, None),
                };
                Content::Message {
                    kind,
                    payloads,
                    error,
                }
            }
            Kind::Presence => match PresenceKind::read(type_) {
                Some(kind) => Content::Presence { kind, payloads },
                None => return Err(EnvelopeError::PresenceType),
            },
            Kind::Iq if id.is_empty() => return Err(EnvelopeError::NoId),
            Kind::Iq => match (type_, only(payloads)) {
                (Some("get"), Ok(Some(payload))) => Content::Get(payload),
                (Some("set"), Ok(Some(payload))) => Content::Set(payload),
                (Some("get" | "set"), Ok(None)) => {
                    return Err(EnvelopeError::Children {
                        from,
                        to,
                        id,
                        count: 0,
                    });
                }
                (Some("get" | "set"), Err(many)) => {
                    return Err(EnvelopeError::Children {
                        from,
                        to,
                        id,
                        count: many.len(),
                    });
                }
                (Some("result"), Ok(payload)) => Content::Result(payload.map(answer)),
                (Some("result"), Err(many)) => {
                    return Err(EnvelopeError::AnswerChildren { count: many.len() });
                }
                (Some("error"), Ok(payload)) => {
                    Content::Error(split_error(payload.into_iter().collect()).1)
                }
                (Some("error"), Err(many)) => Content::Error(split_error(many).1),
                (None | Some(_), _) => return Err(EnvelopeError::IqType { from, to, id }),
            },
        };
        Ok(Self {
            from,
            to,
            id,
            content,
        })
    }

    /// Appends the stanza in its canonical form.
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
            type_,
            lang: None,
        }
        .write(out);
        let before = out.len();
        write::all(out, &[">"]);
        match &self.content {
            Content::Get(payload) | Content::Set(payload) | Content::Result(Some(payload)) => {
                payload.write(out)
            }
            Content::Result(None) => {}
            Content::Error(error) => error.to_element().write(ns::CLIENT, out),
            Content::Message {
                kind,
                payloads,
                error,
            } => {
                payloads.iter().for_each(|payload| payload.write(out));
                if let (MessageKind::Error, Some(error)) = (kind, error) {
                    error.to_element().write(ns::CLIENT, out);
                }
            }
            Content::Presence { payloads, .. } => {
                payloads.iter().for_each(|payload| payload.write(out))
            }
        }
        if out.len() == before + 1 {
            out.truncate(before);
            write::all(out, &["/>"]);
        } else {
            write::all(out, &["</", kind.name(), ">"]);
        }
    }

    /// The result that answers this request.
    #[must_use]
    pub fn result(&self, payload: Option<Payload>) -> Self {
        self.reply(Content::Result(payload))
    }

    /// The error that answers this stanza, of the same kind. Answers and errors are never answered with one.
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
}

/// Reads children up to the end of the stanza.
fn read_children(reader: &mut Reader<'_>) -> Result<Vec<Payload>, ReadError> {
    let mut payloads = Vec::new();
    loop {
        match reader.next()? {
            Token::Start if reader.name() == "data" && reader.ns() == ns::IBB => {
                payloads.push(read_data(reader)?)
            }
            Token::Start => payloads.push(Payload::from(Element::read_started(reader)?)),
            // RFC 6120 gives text between the children no meaning.
            Token::Text(_) => {}
            Token::End | Token::Eof => return Ok(payloads),
        }
    }
}

/// Reads an IBB `<data/>` with its text left in the frame.
fn read_data(reader: &mut Reader<'_>) -> Result<Payload, ReadError> {
    let sid = reader.attr("sid").map(str::to_owned);
    let seq = reader.attr("seq").map(str::to_owned);
    let mut text = Cow::Borrowed("");
    let mut nested = false;
    loop {
        match reader.next()? {
            Token::Text(piece) if text.is_empty() => text = piece,
            Token::Text(piece) => text.to_mut().push_str(&piece),
            Token::Start => {
                nested = true;
                reader.skip()?;
            }
            Token::End | Token::Eof => break,
        }
    }
    let missing = |attribute| PayloadError::Missing {
        element: "data",
        attribute,
    };
    let read = match (&sid, &seq) {
        (None, _) => Err(missing("sid")),
        (_, None) => Err(missing("seq")),
        _ if nested => Err(PayloadError::Children { element: "data" }),
        (Some(sid), Some(seq)) => Data::from_parts(sid, seq, &text, Whitespace::Skip),
    };
    Ok(match read {
        Ok(data) => Payload::Data(data),
        Err(why) => Payload::Malformed {
            ns: ns::IBB.to_owned(),
            name: "data".to_owned(),
            sid,
            why,
        },
    })
}

/// The payload if there is at most one.
fn only(mut payloads: Vec<Payload>) -> Result<Option<Payload>, Vec<Payload>> {
    match payloads.len() {
        0 | 1 => Ok(payloads.pop()),
        _ => Err(payloads),
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

/// Takes the `<error/>` out, the first if there are several; without one the condition is undefined.
fn split_error(mut payloads: Vec<Payload>) -> (Vec<Payload>, StanzaError) {
    let is_error = |payload: &Payload| matches!(payload, Payload::Other(element) if element.is("error", ns::CLIENT));
    let found = payloads
        .iter()
        .position(is_error)
        .map(|at| payloads.remove(at));
    let error = match found {
        Some(Payload::Other(element)) => StanzaError::read(&element),
        _ => StanzaError::new(
            Condition::UndefinedCondition.default_type(),
            Condition::UndefinedCondition,
        ),
    };
    (payloads, error)
}

/// Why a frame is no [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The document is refused.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// An iq without an id, or with an empty one.
    #[error("an iq without id (RFC 6120 §8.2.3)")]
    NoId,
    /// An iq that is neither request nor answer.
    #[error("an iq of unknown type (RFC 6120 §8.2.3)")]
    IqType {
        /// The sender.
        from: Option<Address>,
        /// The addressee.
        to: Option<Address>,
        /// The id.
        id: String,
    },
    /// A request without a payload or with several.
    #[error("an iq request with {count} children, which must have one (RFC 6120 §8.2.3)")]
    Children {
        /// The sender.
        from: Option<Address>,
        /// The addressee.
        to: Option<Address>,
        /// The id.
        id: String,
        /// How many child elements there are.
        count: usize,
    },
    /// A result with several payloads.
    #[error("an iq result with {count} children, which may have one (RFC 6120 §8.2.3)")]
    AnswerChildren {
        /// How many child elements there are.
        count: usize,
    },
    /// A presence of a type that does not exist.
    #[error("a presence of unknown type (RFC 6121 §4.7.1)")]
    PresenceType,
}

impl EnvelopeError {
    /// The `bad-request` that the sender of the stanza deserves, if it asked for something.
    pub fn reply(&self) -> Option<Envelope> {
        match self {
            Self::IqType { from, to, id }
            | Self::Children {
                from,
                to,
                id,
                count: _,
            } => {
                let error =
                    StanzaError::new(Condition::BadRequest.default_type(), Condition::BadRequest);
                Some(Envelope {
                    from: to.clone(),
                    to: from.clone(),
                    id: id.clone(),
                    content: Content::Error(error),
                })
            }
            Self::Read(_) | Self::NoId | Self::AnswerChildren { .. } | Self::PresenceType => None,
        }
    }
}
