//! Strip and restore: which addresses and payloads cross the border of a tunnel.
//!
//! A client treats a stanza **without `from`** as sent by its own server (RFC 6120 §8.1.2.1), so a stripped stanza in an
//! ordinary dispatcher would give the peer the server's authority. Therefore every stanza leaves here stamped
//! with the addresses of the binding, or it does not leave.

use std::borrow::Cow;

use xtls_stanza::{Address, Condition, Element, ErrorType, Kind, Stanza, StanzaError, ns};

use crate::Binding;
use crate::event::SendError;

/// What becomes of a stanza that came out of the tunnel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Arrival {
    /// It is from the peer, stamped.
    Deliver(Stanza),
    /// It is a request that the session itself answers, inside.
    Answer {
        reply: Stanza,
        refused: Option<Violation>,
    },
    /// No peer may send it.
    Drop(Violation),
}

/// A rule of routing that a stanza inside the tunnel breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// It claims an address that is not an end of this session; the session ends.
    #[error("a stanza says {0}")]
    Address(Box<FalseAddress>),
    /// A payload that only your own server may send, or that would open a tunnel in the tunnel.
    #[error("the peer has no authority to send <{} xmlns='{}'/>", name.escape_debug(), ns.escape_debug())]
    Payload {
        /// The payload's namespace.
        ns: String,
        /// The payload's name.
        name: String,
    },
    /// A stanza type that means nothing between two people.
    #[error("<{kind} type='{}'/> has no place inside a tunnel", type_.escape_debug())]
    Type {
        /// The stanza's name.
        kind: &'static str,
        /// Its type.
        type_: String,
    },
    /// An IQ without an id, whose type is not get, set, result or error, or a request without exactly one child (RFC
    /// 6120 §8.2.3).
    #[error(
        "an iq needs an id, one of the types get, set, result, error, and as a request exactly one child"
    )]
    Iq,
}

impl Violation {
    /// Bytes of memory that it holds beside itself: a peer decides how long its names are.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Address(address) => {
                size_of::<FalseAddress>()
                    + address.claimed.as_str().len()
                    + address.expected.as_str().len()
            }
            Self::Payload { ns, name } => ns.capacity() + name.capacity(),
            Self::Type { kind: _, type_ } => type_.capacity(),
            Self::Iq => 0,
        }
    }
}

/// Takes the routing data off the top level of a stanza, and what is addressed to servers out of its children.
///
/// Nested stanzas are never touched. `to` and `from` may be absent, or name the ends of this session.
pub(crate) fn strip<'a>(
    stanza: &'a Stanza,
    binding: &Binding,
) -> Result<Cow<'a, Stanza>, SendError> {
    truthful("to", stanza.to.as_ref(), &binding.peer)?;
    truthful("from", stanza.from.as_ref(), &binding.own)?;
    let addressed = stanza.to.is_some() || stanza.from.is_some();
    if !addressed && is_plain(stanza) {
        return Ok(Cow::Borrowed(stanza));
    }
    let mut stripped = Stanza {
        to: None,
        from: None,
        ..stanza.clone()
    };
    if is_plain(stanza) {
        return Ok(Cow::Owned(stripped));
    }
    let mut reserved = None;
    let wanted = |child: &Element| {
        if of_sessions(child) {
            reserved.get_or_insert_with(|| child.ns.to_string());
        }
        !for_servers(child)
    };
    stripped.retain(wanted).map_err(SendError::Xml)?;
    match reserved {
        Some(ns) => Err(SendError::Reserved(ns)),
        None => Ok(Cow::Owned(stripped)),
    }
}

/// Puts the addresses of the binding on a stanza from the tunnel, and judges what it may be.
///
/// # Errors
/// A false address: a correct peer never sends one, so the session ends.
pub(crate) fn restore(mut stanza: Stanza, binding: &Binding) -> Result<Arrival, Violation> {
    is_truthful(&stanza, binding)?;
    stanza.from = None;
    if stanza.from.is_none() {
        stanza.from = Some(binding.peer.clone());
    }
    stanza.to = Some(binding.own.clone());

    let type_ = stanza.type_.as_deref();
    match (stanza.kind, type_) {
        (Kind::Presence, None | Some("unavailable" | "error")) => {}
        (Kind::Presence, Some(other)) => return Ok(out_of_place("presence", other)),
        (Kind::Message, Some("groupchat")) => return Ok(out_of_place("message", "groupchat")),
        (Kind::Message, _) => {}
        (Kind::Iq, Some("get" | "set" | "result" | "error")) if stanza.id.is_some() => {}
        (Kind::Iq, _) => return Ok(Arrival::Drop(Violation::Iq)),
    }
    let iq = |types: &[&str]| {
        stanza.kind == Kind::Iq && type_.is_some_and(|type_| types.contains(&type_))
    };
    let (request, failed) = (iq(&["get", "set"]), iq(&["error"]));
    if !request && is_plain(&stanza) {
        return Ok(Arrival::Deliver(stanza));
    }
    // The reader has already accepted the whole stanza, so its children read.
    let Ok(children) = stanza.elements() else {
        return Ok(Arrival::Drop(Violation::Iq));
    };
    if request {
        let [child] = children.as_slice() else {
            let refused = Violation::Iq;
            return Ok(refuse(
                &stanza,
                ErrorType::Modify,
                Condition::BadRequest,
                refused,
            ));
        };
        if iq(&["get"]) && child.is("ping", ns::PING) {
            let (reply, refused) = (answer(&stanza, "result"), None);
            return Ok(Arrival::Answer { reply, refused });
        }
    }
    // An error may repeat the request. What it repeats is not believed either, but someone is waiting for the error.
    let unwanted = |child: &Element| for_servers(child) || (failed && forbidden(child));
    let mut wanted = children.iter().filter(|child| !unwanted(child));
    if let Some(forbidden) = wanted.find(|child| forbidden(child)) {
        let (ns, name) = (forbidden.ns.clone().into(), forbidden.name.clone().into());
        let refused = Violation::Payload { ns, name };
        if request {
            let condition = Condition::ServiceUnavailable;
            return Ok(refuse(&stanza, ErrorType::Cancel, condition, refused));
        }
        return Ok(Arrival::Drop(refused));
    }
    match stanza.retain(|child| !unwanted(child)) {
        Ok(()) => Ok(Arrival::Deliver(stanza)),
        Err(_) => Ok(Arrival::Drop(Violation::Iq)),
    }
}

/// Whether a stanza from the tunnel claims no address but those of the binding.
pub(crate) fn is_truthful(stanza: &Stanza, binding: &Binding) -> Result<(), Violation> {
    truthful("from", stanza.from.as_ref(), &binding.peer)?;
    truthful("to", stanza.to.as_ref(), &binding.own)?;
    Ok(())
}

/// An address on a stanza that is not an end of its session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{attribute}='{}' where only {expected} can be true", claimed.as_str().escape_debug())]
#[non_exhaustive]
pub struct FalseAddress {
    /// `from` or `to`.
    pub attribute: &'static str,
    /// What the stanza says.
    pub claimed: Address,
    /// What the binding says.
    pub expected: Address,
}

/// An address is truthful when it is absent, or the bound address, or its bare form.
fn truthful(
    attribute: &'static str,
    claimed: Option<&Address>,
    expected: &Address,
) -> Result<(), Box<FalseAddress>> {
    match claimed {
        None => Ok(()),
        Some(claimed) if claimed == expected || claimed.as_str() == expected.bare() => Ok(()),
        Some(claimed) => Err(Box::new(FalseAddress {
            attribute,
            claimed: claimed.clone(),
            expected: expected.clone(),
        })),
    }
}

impl From<Box<FalseAddress>> for Violation {
    fn from(address: Box<FalseAddress>) -> Self {
        Self::Address(address)
    }
}

impl From<Box<FalseAddress>> for SendError {
    fn from(address: Box<FalseAddress>) -> Self {
        Self::Address(address)
    }
}

fn out_of_place(kind: &'static str, type_: &str) -> Arrival {
    let type_ = type_.to_owned();
    Arrival::Drop(Violation::Type { kind, type_ })
}

/// Extended addressing (XEP-0033).
const ADDRESS: &str = "http://jabber.org/protocol/address";

/// What only sessions send to each other.
fn of_sessions(child: &Element) -> bool {
    child.ns.as_str().starts_with("urn:xmpp:tmp:xtls#")
}

/// Payloads that carry a server's authority, set up a stream, or nest a tunnel. What speaks for verification
/// (`urn:xmpp:tmp:xtls#verify`) is the session's own and never the application's.
fn forbidden(child: &Element) -> bool {
    let name = child.name.as_str();
    match child.ns.as_str() {
        "jabber:iq:roster"
        | "jabber:iq:private"
        | "jabber:iq:privacy"
        | "urn:xmpp:blocking"
        | "urn:ietf:params:xml:ns:xmpp-bind"
        | "urn:ietf:params:xml:ns:xmpp-session"
        | "urn:ietf:params:xml:ns:xmpp-sasl"
        | ns::IBB => true,
        other => {
            let within = |prefix| other.starts_with(prefix);
            other == ns::XTLS
                || within("urn:xmpp:tmp:xtls#")
                || within("urn:xmpp:sm:")
                || within("urn:xmpp:sasl:")
                || within("urn:xmpp:bind:")
                || (within("urn:xmpp:carbons:") && matches!(name, "received" | "sent"))
                || (within("urn:xmpp:mam:") && name == "result")
        }
    }
}

/// Payloads that speak to servers and mean nothing to a peer (the list of XEP-0420 §"Server-processed Elements", and
/// the hint of XEP-0280).
fn for_servers(child: &Element) -> bool {
    match child.ns.as_str() {
        ns::HINTS | ADDRESS | "urn:xmpp:eme:0" => true,
        "urn:xmpp:sid:0" => child.name == "stanza-id",
        other => other.starts_with("urn:xmpp:carbons:") && child.name == "private",
    }
}

/// Whether no child can be of interest here, in the words of [`of_sessions`], [`forbidden`] and [`for_servers`]: nothing is read
/// again then.
pub(crate) fn is_plain(stanza: &Stanza) -> bool {
    !stanza.may_hold(&[
        "urn:xmpp:",
        "urn:ietf:params:xml:ns:xmpp-",
        "jabber:iq:",
        ns::IBB,
        ADDRESS,
    ])
}

/// Refuses a request, in its own channel.
fn refuse(request: &Stanza, kind: ErrorType, condition: Condition, refused: Violation) -> Arrival {
    let error = StanzaError::new(kind, condition).to_element();
    let reply = answer(request, "error").with_child(&error);
    Arrival::Answer {
        reply,
        refused: Some(refused),
    }
}

/// The answer to a request: same id, no addresses, because it travels inside.
fn answer(request: &Stanza, type_: &str) -> Stanza {
    let mut reply = Stanza::new(Kind::Iq);
    reply.id.clone_from(&request.id);
    reply.type_ = Some(type_.into());
    reply
}

#[cfg(test)]
mod tests;
