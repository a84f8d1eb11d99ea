//! Strip and restore: which addresses and payloads cross the border of a tunnel.
//!
//! A client takes a stanza **without `from`** for the word of its own server (RFC 6120 §8.1.2.1), so a stripped stanza
//! in the ordinary dispatcher would hand the peer the server's authority. Therefore every stanza leaves here stamped
//! with the addresses of the binding, or it does not leave.

use xtls_stanza::{Address, Condition, Element, ErrorType, Kind, Stanza, StanzaError};

use crate::Binding;
use crate::event::SendError;

/// What becomes of a stanza that came out of the tunnel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Arrival {
    /// It is the peer's, stamped.
    Deliver(Stanza),
    /// It is a request that the session answers itself, inside.
    Answer {
        reply: Stanza,
        refused: Option<Violation>,
    },
    /// It is nothing that a peer may send.
    Drop(Violation),
}

/// A rule of routing that a stanza inside the tunnel breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// It claims an address that is not an end of this session; the session ends.
    #[error("a stanza says {attribute}='{claimed}' where only {expected} can be true")]
    Address {
        /// `from` or `to`.
        attribute: &'static str,
        /// What it says.
        claimed: Address,
        /// What the binding says.
        expected: Address,
    },
    /// A payload that only one's own server may send, or that would open a tunnel in the tunnel.
    #[error("the peer has no authority to send <{name} xmlns='{ns}'/>")]
    Payload {
        /// The payload's namespace.
        ns: String,
        /// The payload's name.
        name: String,
    },
    /// A stanza type that means nothing between two people.
    #[error("<{kind} type='{type_}'/> has no place inside a tunnel")]
    Type {
        /// The stanza's name.
        kind: &'static str,
        /// Its type.
        type_: String,
    },
    /// An IQ without an id, or whose type is not get, set, result or error (RFC 6120 §8.2.3).
    #[error("an iq needs an id and one of the types get, set, result, error")]
    Iq,
}

/// Takes the routing data off the top level of a stanza, and what is addressed to servers out of its children.
///
/// Nested stanzas are never touched. `to` and `from` may be absent, or name the ends of this session.
pub(crate) fn strip(stanza: &Stanza, binding: &Binding) -> Result<Stanza, SendError> {
    truthful("to", stanza.to.as_ref(), &binding.peer).map_err(misaddressed)?;
    truthful("from", stanza.from.as_ref(), &binding.own).map_err(misaddressed)?;
    let mut stripped = stanza.clone();
    stripped.to = None;
    stripped.from = None;
    if suspicious(stanza) {
        let children = stanza.elements().map_err(SendError::Xml)?;
        if children.iter().any(for_servers) {
            keep(
                &mut stripped,
                children.into_iter().filter(|child| !for_servers(child)),
            );
        }
    }
    Ok(stripped)
}

/// Puts the addresses of the binding on a stanza from the tunnel, and judges what it may be.
///
/// # Errors
/// A false address: a correct peer never sends one, so the session ends.
pub(crate) fn restore(mut stanza: Stanza, binding: &Binding) -> Result<Arrival, Violation> {
    truthful("from", stanza.from.as_ref(), &binding.peer)?;
    truthful("to", stanza.to.as_ref(), &binding.own)?;
    stanza.from = Some(binding.peer.clone());
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
    let request = stanza.kind == Kind::Iq && matches!(type_, Some("get" | "set"));
    if !request && !suspicious(&stanza) {
        return Ok(Arrival::Deliver(stanza));
    }
    // The reader has already accepted the whole stanza, so its children read.
    let Ok(children) = stanza.elements() else {
        return Ok(Arrival::Drop(Violation::Iq));
    };
    if request
        && children
            .iter()
            .any(|child| child.is("ping", "urn:xmpp:ping"))
    {
        return Ok(Arrival::Answer {
            reply: answer(&stanza, "result"),
            refused: None,
        });
    }
    if let Some(forbidden) = children.iter().find(|child| forbidden(child)) {
        let refused = Violation::Payload {
            ns: forbidden.ns.clone(),
            name: forbidden.name.clone(),
        };
        if request {
            let mut reply = answer(&stanza, "error");
            let error = StanzaError::new(ErrorType::Cancel, Condition::ServiceUnavailable);
            keep(&mut reply, std::iter::once(error.to_element()));
            return Ok(Arrival::Answer {
                reply,
                refused: Some(refused),
            });
        }
        return Ok(Arrival::Drop(refused));
    }
    if children.iter().any(for_servers) {
        keep(
            &mut stanza,
            children.into_iter().filter(|child| !for_servers(child)),
        );
    }
    Ok(Arrival::Deliver(stanza))
}

/// An address is truthful when it is absent, or the bound address, or its bare form.
fn truthful(
    attribute: &'static str,
    claimed: Option<&Address>,
    expected: &Address,
) -> Result<(), Violation> {
    match claimed {
        None => Ok(()),
        Some(claimed) if claimed == expected || claimed.as_str() == expected.bare() => Ok(()),
        Some(claimed) => Err(Violation::Address {
            attribute,
            claimed: claimed.clone(),
            expected: expected.clone(),
        }),
    }
}

fn misaddressed(violation: Violation) -> SendError {
    match violation {
        Violation::Address {
            attribute,
            claimed,
            expected,
        } => SendError::Address {
            attribute,
            address: claimed,
            expected,
        },
        Violation::Payload { .. } | Violation::Type { .. } | Violation::Iq => SendError::NotOpen,
    }
}

fn out_of_place(kind: &'static str, type_: &str) -> Arrival {
    Arrival::Drop(Violation::Type {
        kind,
        type_: type_.to_owned(),
    })
}

/// Payloads that carry a server's authority, set up a stream, or nest a tunnel.
fn forbidden(child: &Element) -> bool {
    match child.ns.as_str() {
        "urn:xmpp:carbons:2" => matches!(child.name.as_str(), "received" | "sent"),
        "jabber:iq:roster"
        | "jabber:iq:private"
        | "urn:xmpp:blocking"
        | "urn:xmpp:sm:3"
        | "urn:ietf:params:xml:ns:xmpp-bind"
        | "urn:ietf:params:xml:ns:xmpp-session"
        | "urn:ietf:params:xml:ns:xmpp-sasl"
        | "http://jabber.org/protocol/ibb"
        | "urn:xmpp:tmp:xtls" => true,
        other => other.starts_with("urn:xmpp:mam:") && child.name == "result",
    }
}

/// Payloads that speak to servers and mean nothing to a peer (the list of XEP-0420 §"Server-processed Elements").
fn for_servers(child: &Element) -> bool {
    match child.ns.as_str() {
        "urn:xmpp:hints" | "http://jabber.org/protocol/address" | "urn:xmpp:eme:0" => true,
        "urn:xmpp:sid:0" => child.name == "stanza-id",
        _ => false,
    }
}

/// Whether the children have to be looked at one by one. A namespace can hide behind a reference or a prefix declared on
/// the stanza, so both count as suspicious.
fn suspicious(stanza: &Stanza) -> bool {
    const NEEDLES: [&str; 6] = [
        "&",
        "urn:xmpp:",
        "urn:ietf:params:xml:ns:xmpp-",
        "jabber:iq:",
        "protocol/ibb",
        "protocol/address",
    ];
    if stanza.children.is_empty() {
        return false;
    }
    match std::str::from_utf8(&stanza.children) {
        Ok(text) => !stanza.extra.is_empty() || NEEDLES.iter().any(|needle| text.contains(needle)),
        Err(_) => true,
    }
}

/// The answer to a request: same id, no addresses, because it travels inside.
fn answer(request: &Stanza, type_: &str) -> Stanza {
    let mut reply = Stanza::new(Kind::Iq);
    reply.id.clone_from(&request.id);
    reply.type_ = Some(type_.to_owned());
    reply
}

fn keep(stanza: &mut Stanza, children: impl Iterator<Item = Element>) {
    let mut xml = Vec::new();
    for child in children {
        child.write("jabber:client", &mut xml);
    }
    stanza.children = xml.into();
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
