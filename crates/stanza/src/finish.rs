//! How one end of a tunnel finishes sending: a request inside, answered once everything before it has been processed.

use crate::element::Element;
use crate::stanza::{Kind, Stanza, StanzaType};

/// The namespace.
pub const NS: &str = crate::ns::XTLS_FINISH;

const NAME: &str = "finish";

/// The request: its sender will send nothing more.
#[must_use]
pub fn request(id: &str) -> Stanza {
    Stanza::new(Kind::Iq)
        .with_type(StanzaType::Set)
        .with_id(id)
        .with_child(&Element::new(NAME, NS))
}

/// The id of the request, if this stanza is one: an iq of type `set` with this child and no other.
#[must_use]
pub fn in_stanza(stanza: &Stanza) -> Option<&str> {
    let asks = stanza.kind == Kind::Iq && stanza.type_ == Some(StanzaType::Set);
    // References or prefixes can hide a namespace, but not a name.
    if !asks || memchr::memmem::find(&stanza.children, NAME.as_bytes()).is_none() {
        return None;
    }
    let children = stanza.elements().ok()?;
    match children.as_slice() {
        [child] if child.is(NAME, NS) => stanza.id.as_deref(),
        _ => None,
    }
}

/// The answer: everything before the request has been processed. `since` is the sid of the stream on which the conversation
/// began, if this is not the first one.
#[must_use]
pub fn answer(id: &str, since: Option<&str>) -> Stanza {
    let answer = Stanza::new(Kind::Iq)
        .with_type(StanzaType::Result)
        .with_id(id);
    match since {
        Some(since) => answer.with_child(&Element::new(NAME, NS).with_attr("since", since)),
        None => answer,
    }
}

/// The `since` of an [`answer`].
#[must_use]
pub fn since(answer: &Stanza) -> Option<String> {
    let children = answer.elements().ok()?;
    let finish = children.iter().find(|child| child.is(NAME, NS))?;
    finish.attr("since").map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(xml: &str) -> Stanza {
        Stanza::read(&Bytes::copy_from_slice(xml.as_bytes())).unwrap()
    }

    #[test]
    fn what_is_no_request_to_finish() {
        for xml in [
            "<iq type='get' id='f'><finish xmlns='urn:xmpp:tmp:xtls#finish'/></iq>",
            "<iq type='set'><finish xmlns='urn:xmpp:tmp:xtls#finish'/></iq>",
            "<iq type='result' id='f'><finish xmlns='urn:xmpp:tmp:xtls#finish'/></iq>",
            "<iq type='set' id='f'><finish xmlns='urn:xmpp:tmp:xtls'/></iq>",
            "<iq type='set' id='f'><finished xmlns='urn:xmpp:tmp:xtls#finish'/></iq>",
            "<iq type='set' id='f'><finish xmlns='urn:xmpp:tmp:xtls#finish'/><a xmlns='b'/></iq>",
            "<iq type='set' id='f'/>",
            "<message type='set' id='f'><finish xmlns='urn:xmpp:tmp:xtls#finish'/></message>",
        ] {
            assert_eq!(in_stanza(&read(xml)), None, "{xml}");
        }
    }

    #[test]
    fn a_request_to_finish_is_read_however_its_namespace_is_written() {
        for xml in [
            "<iq type='set' id='f'><finish xmlns='urn:xmpp:tmp:xtls#finish'/></iq>",
            "<iq type='set' id='f'><finish xmlns='urn:xmpp:tmp:xtls&#35;finish' a='b'/></iq>",
            "<iq xmlns:x='urn:xmpp:tmp:xtls#finish' xmlns='jabber:client' type='set' id='f'><x:finish/></iq>",
        ] {
            assert_eq!(in_stanza(&read(xml)), Some("f"), "{xml}");
        }
        assert_eq!(in_stanza(&request("g")), Some("g"));
    }

    #[test]
    fn an_answer_names_since_when_or_nothing() {
        assert!(answer("f", None).children.is_empty());
        assert_eq!(since(&answer("f", None)), None);
        assert_eq!(since(&answer("f", Some("s1"))).as_deref(), Some("s1"));
    }
}
