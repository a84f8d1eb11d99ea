//! What comes in, told apart.

use xtls_stanza::ibb::{self, Data};
use xtls_stanza::{Element, MessageKind, Payload, PayloadError, ns};

/// The most that an open, or the answer to one of ours, may weigh with all it holds, in bytes of memory: it waits for the
/// owner.
pub(crate) const MAX_OPEN: usize = 65_536;

/// Whether a request is about bytestreams, readable or not.
pub(crate) fn is_bytestream(payload: &Payload) -> bool {
    match payload {
        Payload::Open(_) | Payload::Data(_) | Payload::Close(_) => true,
        Payload::Malformed { ns, .. } => ns == ibb::NS,
        Payload::Other(element) => element.ns == ibb::NS,
        Payload::Xtls(_) | Payload::DiscoQuery(_) | Payload::DiscoInfo(_) | Payload::Ping => false,
    }
}

/// The chunk in a message: exactly one, in a message that came straight from its sender. What was
/// stored, delayed, forwarded or sent to a room is no chunk, whatever it holds.
pub(crate) fn chunk_of(
    kind: MessageKind,
    payloads: &[Payload],
) -> Option<Result<Data, (&str, PayloadError)>> {
    match kind {
        MessageKind::Normal | MessageKind::Chat | MessageKind::Headline => {}
        MessageKind::Groupchat | MessageKind::Error => return None,
    }
    let mut chunk = None;
    for payload in payloads {
        let found = match payload {
            Payload::Data(data) => Ok(data.clone()),
            Payload::Malformed {
                ns,
                name,
                sid: Some(sid),
                why,
            } if ns == ibb::NS && name == "data" => Err((sid.as_str(), *why)),
            Payload::Other(element) if is_indirect(element) => return None,
            Payload::Open(_)
            | Payload::Close(_)
            | Payload::Xtls(_)
            | Payload::DiscoQuery(_)
            | Payload::DiscoInfo(_)
            | Payload::Ping
            | Payload::Malformed { .. }
            | Payload::Other(_) => continue,
        };
        if chunk.replace(found).is_some() {
            return None;
        }
    }
    chunk
}

/// Marks of a message that did not come straight from its sender: XEP-0203 and its forerunner
/// XEP-0091, XEP-0280, XEP-0297, XEP-0313.
fn is_indirect(element: &Element) -> bool {
    match element.ns.as_str() {
        "urn:xmpp:delay" | "jabber:x:delay" | "urn:xmpp:forward:0" => true,
        ns::CARBONS => element.name != "private",
        other => other.starts_with("urn:xmpp:mam:"),
    }
}
