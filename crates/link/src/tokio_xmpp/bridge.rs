//! Our stanzas as tokio-xmpp's. (The other way goes through the [`screen`](super::screen) and our own reader.)

use std::collections::BTreeMap;

use tokio_xmpp::Stanza;
use tokio_xmpp::jid::Jid;
use tokio_xmpp::minidom::rxml::{Namespace, NcName};
use tokio_xmpp::minidom::{self, rxml};
use tokio_xmpp::parsers::iq::Iq;
use tokio_xmpp::parsers::message::{Id, Message, MessageType};
use tokio_xmpp::parsers::presence::{Presence, Priority, Type};
use tokio_xmpp::parsers::stanza_error::StanzaError as XmppError;
use xtls_stanza::{
    Address, Content, Element, Envelope, MessageKind, Node, Payload, PresenceKind, StanzaError,
    base64, ns,
};

/// Why a stanza cannot be sent. All of these are faults of whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BridgeError {
    #[error("{0:?} is no address to the jid crate")]
    Address(Address),
    #[error("{0:?} is no XML name")]
    Name(String),
    #[error("a stanza error that the xmpp-parsers crate cannot express")]
    Error,
}

/// Turns envelopes into stanzas, remembering the address it wrote to last: parsing one costs more than the rest.
#[derive(Debug, Default)]
pub(super) struct Bridge {
    last: Option<(Address, Jid)>,
}

impl Bridge {
    /// The stanza for this envelope, without the sender's address, which the server sets (RFC 6120 §8.1.2.1).
    pub(super) fn stanza(&mut self, envelope: Envelope) -> Result<Stanza, BridgeError> {
        let Envelope {
            from: _,
            to,
            id,
            content,
        } = envelope;
        let to = to.map(|to| self.jid(to)).transpose()?;
        let from = None;
        Ok(match content {
            Content::Get(payload) => Stanza::Iq(Iq::Get {
                from,
                to,
                id,
                payload: element(payload)?,
            }),
            Content::Set(payload) => Stanza::Iq(Iq::Set {
                from,
                to,
                id,
                payload: element(payload)?,
            }),
            Content::Result(payload) => Stanza::Iq(Iq::Result {
                from,
                to,
                id,
                payload: payload.map(element).transpose()?,
            }),
            Content::Error(error) => Stanza::Iq(Iq::Error {
                from,
                to,
                id,
                error: xmpp_error(&error)?,
                payload: None,
            }),
            Content::Message {
                kind,
                payloads,
                error,
            } => {
                let mut payloads = elements(payloads)?;
                if let (MessageKind::Error, Some(error)) = (kind, error) {
                    payloads.push(tree(error.to_element())?);
                }
                Stanza::Message(Message {
                    from,
                    to,
                    id: Some(id).filter(|id| !id.is_empty()).map(Id),
                    type_: message_type(kind),
                    // Bodies and the like are payloads as any other, in their place among them.
                    bodies: BTreeMap::new(),
                    subjects: BTreeMap::new(),
                    thread: None,
                    payloads,
                })
            }
            Content::Presence { kind, payloads } => {
                let (priority, payloads) = split_priority(payloads);
                Stanza::Presence(Presence {
                    from,
                    to,
                    id: Some(id).filter(|id| !id.is_empty()),
                    type_: presence_type(kind),
                    show: None,
                    statuses: BTreeMap::new(),
                    priority,
                    payloads: elements(payloads)?,
                })
            }
        })
    }

    fn jid(&mut self, address: Address) -> Result<Jid, BridgeError> {
        if let Some((known, jid)) = &self.last
            && *known == address
        {
            return Ok(jid.clone());
        }
        match Jid::new(address.as_str()) {
            // A name that the crate would change is somebody else's.
            Ok(jid) if jid.as_str() == address.as_str() => {
                self.last = Some((address, jid.clone()));
                Ok(jid)
            }
            Ok(_) | Err(_) => Err(BridgeError::Address(address)),
        }
    }
}

fn elements(payloads: Vec<Payload>) -> Result<Vec<minidom::Element>, BridgeError> {
    payloads.into_iter().map(element).collect()
}

/// An element; of IBB data, which is nearly all there is, no tree of ours is made first.
fn element(payload: Payload) -> Result<minidom::Element, BridgeError> {
    match payload {
        Payload::Data(data) => Ok(minidom::Element::builder("data", ns::IBB)
            .attr(rxml::xml_ncname!("seq").to_owned(), data.seq.0.to_string())
            .attr(rxml::xml_ncname!("sid").to_owned(), data.sid.as_str())
            .append(text(&data.bytes))
            .build()),
        Payload::Other(element) => tree(element),
        Payload::Open(_)
        | Payload::Close(_)
        | Payload::Xtls(_)
        | Payload::DiscoQuery(_)
        | Payload::DiscoInfo(_)
        | Payload::Ping
        | Payload::Malformed { .. } => tree(payload.to_element()),
    }
}

fn text(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    base64::encode(bytes, &mut text);
    // Base64 is ASCII.
    String::from_utf8(text).unwrap_or_default()
}

fn tree(element: Element) -> Result<minidom::Element, BridgeError> {
    let Element {
        name,
        ns,
        attrs,
        children,
    } = element;
    ncname(&name)?;
    let mut built = minidom::Element::bare(name, ns);
    for attr in attrs {
        let ns = match attr.ns {
            None => Namespace::NONE,
            Some(uri) if uri == ns::XML => Namespace::XML,
            Some(uri) => Namespace::from(String::from(uri)),
        };
        built.set_attr(ns, ncname(&attr.name)?, attr.value);
    }
    for node in children {
        match node {
            Node::Element(child) => built.append_node(minidom::Node::Element(tree(*child)?)),
            Node::Text(text) => built.append_text(text),
        }
    }
    Ok(built)
}

fn ncname(name: &str) -> Result<NcName, BridgeError> {
    NcName::try_from(name).map_err(|_| BridgeError::Name(name.to_owned()))
}

fn xmpp_error(error: &StanzaError) -> Result<XmppError, BridgeError> {
    XmppError::try_from(tree(error.to_element())?).map_err(|_| BridgeError::Error)
}

/// tokio-xmpp writes a priority with every presence, so ours must not stand beside it.
fn split_priority(payloads: Vec<Payload>) -> (Priority, Vec<Payload>) {
    let (priorities, rest): (Vec<_>, Vec<_>) = payloads.into_iter().partition(
        |payload| matches!(payload, Payload::Other(element) if element.is("priority", ns::CLIENT)),
    );
    let priority = match priorities.first() {
        Some(Payload::Other(element)) => element.text().trim().parse().unwrap_or(0),
        Some(_) | None => 0,
    };
    (Priority(priority), rest)
}

fn message_type(kind: MessageKind) -> MessageType {
    match kind {
        MessageKind::Normal => MessageType::Normal,
        MessageKind::Chat => MessageType::Chat,
        MessageKind::Groupchat => MessageType::Groupchat,
        MessageKind::Headline => MessageType::Headline,
        MessageKind::Error => MessageType::Error,
    }
}

fn presence_type(kind: PresenceKind) -> Type {
    match kind {
        PresenceKind::Available => Type::None,
        PresenceKind::Unavailable => Type::Unavailable,
        PresenceKind::Subscribe => Type::Subscribe,
        PresenceKind::Subscribed => Type::Subscribed,
        PresenceKind::Unsubscribe => Type::Unsubscribe,
        PresenceKind::Unsubscribed => Type::Unsubscribed,
        PresenceKind::Probe => Type::Probe,
        PresenceKind::Error => Type::Error,
    }
}

#[cfg(test)]
mod tests;
