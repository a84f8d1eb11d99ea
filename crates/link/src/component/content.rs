//! From the namespace of components' stanzas to that of clients' stanzas, and back.
//!
//! Only the stanza itself and what stands in it, without an element of another namespace between, is in the namespace of the
//! stream. A stanza within another payload, a forwarded one for example (XEP-0297), has a namespace of its own, which stays.

use bytes::Bytes;
use xtls_stanza::{Element, Kind, Node, ns};

/// The namespace of a component's stream that it opens itself (XEP-0114 §3).
pub(super) const COMPONENT: &str = "jabber:component:accept";

/// A stanza of a component's stream as one of a client's. `None`: it is not one.
pub(super) fn from_component(octets: &[u8]) -> Option<Bytes> {
    let mut stanza = Element::read(octets, COMPONENT).ok()?;
    rename(&mut stanza, COMPONENT, ns::CLIENT).then_some(())?;
    let mut out = Vec::with_capacity(octets.len() + 32);
    stanza.write("", &mut out);
    Some(out.into())
}

/// A client's stanza as one of a component's stream. `None`: it is not one.
pub(super) fn to_component(mut stanza: Element) -> Option<Vec<u8>> {
    rename(&mut stanza, ns::CLIENT, COMPONENT).then_some(())?;
    let mut out = Vec::new();
    stanza.write(COMPONENT, &mut out);
    Some(out)
}

/// `false`: it is no stanza of the one namespace, or parts of it are in the other already, and would be mistaken.
fn rename(stanza: &mut Element, from: &str, to: &str) -> bool {
    if stanza.ns != *from || Kind::from_name(&stanza.name).is_none() {
        return false;
    }
    let mut all = vec![stanza];
    while let Some(element) = all.pop() {
        element.ns = to.into();
        for node in &mut element.children {
            if let Node::Element(child) = node {
                if child.ns == *to {
                    return false;
                }
                if child.ns == *from {
                    all.push(child);
                }
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Option<String> {
        let octets = from_component(xml.as_bytes())?;
        Some(String::from_utf8(octets.to_vec()).unwrap())
    }

    fn write(xml: &str) -> Option<String> {
        let stanza = Element::read(xml.as_bytes(), ns::CLIENT).unwrap();
        Some(String::from_utf8(to_component(stanza)?).unwrap())
    }

    #[test]
    fn what_is_no_stanza_of_the_stream_is_refused() {
        for xml in [
            "<message",
            "<message></iq>",
            "<message xmlns='jabber:client'/>",
            "<message xmlns='jabber:server'/>",
            "<iq xmlns=''/>",
            "<handshake/>",
            "<message><body xmlns='jabber:client'>a</body></message>",
        ] {
            assert_eq!(read(xml), None, "{xml}");
        }
        for xml in [
            "<message xmlns='jabber:component:accept'/>",
            "<message xmlns='jabber:server'/>",
            "<body/>",
            "<message><body xmlns='jabber:component:accept'>a</body></message>",
        ] {
            assert_eq!(write(xml), None, "{xml}");
        }
    }

    #[test]
    fn a_stanza_has_the_namespace_of_its_stream_whether_it_says_so_or_not() {
        let client = "<message xmlns='jabber:client' to='a'><body>b</body></message>";
        for xml in [
            "<message to='a'><body>b</body></message>",
            "<message xmlns='jabber:component:accept' to='a'><body>b</body></message>",
            "<message to='a'><body xmlns='jabber:component:accept'>b</body></message>",
        ] {
            assert_eq!(read(xml).as_deref(), Some(client), "{xml}");
        }
        let component = "<message to='a'><body>b</body></message>";
        assert_eq!(write(client).as_deref(), Some(component));
    }

    #[test]
    fn a_stanza_inside_another_payload_keeps_its_own() {
        let forwarded = "<forwarded xmlns='urn:xmpp:forward:0'>\
            <message xmlns='jabber:client'><body>b</body></message></forwarded>";
        let client = format!("<message xmlns='jabber:client'>{forwarded}</message>");
        let component = format!("<message>{forwarded}</message>");
        assert_eq!(read(&component).as_deref(), Some(&*client));
        assert_eq!(write(&client).as_deref(), Some(&*component));
    }
}
