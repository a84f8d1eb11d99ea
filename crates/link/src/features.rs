//! Stream features (RFC 6120 §4.3.2): what a server offers now.

use xtls_stanza::limits::Limits;
use xtls_stanza::{Element, ns};

use crate::header::STREAMS;

/// What we look at of a server's features. Ways to log in are [`Offer`](crate::mechanism::Offer)'s; everything else is left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) starttls: bool,
    pub(crate) bind: bool,
    /// The legacy session (RFC 3921 §3) is offered, and not marked as optional.
    pub(crate) session: bool,
    /// Stream management (XEP-0198).
    pub(crate) sm: bool,
    /// The longest stanza in bytes that it says it takes (XEP-0478).
    pub(crate) stanza_limit: Option<usize>,
    /// The node of its entity capabilities (XEP-0115), which names its software.
    pub(crate) software: Option<String>,
}

impl Features {
    /// An element that is a stream's features.
    pub(crate) fn read(element: &Element) -> Option<Self> {
        if !element.is("features", STREAMS) {
            return None;
        }
        let has = |name, ns| element.child(name, ns).is_some();
        let session = element.child("session", SESSION);
        Some(Self {
            starttls: has("starttls", STARTTLS),
            bind: has("bind", BIND),
            session: session.is_some_and(|session| session.child("optional", SESSION).is_none()),
            sm: has("sm", SM),
            stanza_limit: stanza_limit(element),
            software: element
                .child("c", CAPS)
                .and_then(|caps| caps.attr("node"))
                .map(ToOwned::to_owned),
        })
    }
}

/// Of several limits, the smallest. Limits that cannot be read say nothing, nor does 0.
fn stanza_limit(features: &Element) -> Option<usize> {
    let limits = features
        .elements()
        .filter(|child| child.is("limits", ns::LIMITS));
    let limits = limits.filter_map(|child| Limits::read(child).ok());
    let bytes = limits.filter_map(|limits| usize::try_from(limits.max_bytes?).ok());
    let least = bytes.filter(|&bytes| bytes > 0).min();
    least.map(|bytes| bytes.max(LEAST_STANZA))
}

pub(crate) const STARTTLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
pub(crate) const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
pub(crate) const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
pub(crate) const SM: &str = "urn:xmpp:sm:3";
const CAPS: &str = "http://jabber.org/protocol/caps";

/// No server may refuse stanzas up to this many bytes (RFC 6120 §13.12), so none can make streams impossible by a small
/// number.
const LEAST_STANZA: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn features(inside: &str) -> Features {
        let xml = format!("<s:features xmlns:s='{STREAMS}'>{inside}</s:features>");
        Features::read(&Element::read(xml.as_bytes(), "").unwrap()).unwrap()
    }

    fn max_bytes(text: &str) -> Option<usize> {
        let ns = ns::LIMITS;
        features(&format!(
            "<limits xmlns='{ns}'><max-bytes>{text}</max-bytes></limits>"
        ))
        .stanza_limit
    }

    #[test]
    fn features_of_other_namespaces_are_none() {
        let xml = b"<features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></features>";
        assert_eq!(Features::read(&Element::read(xml, "").unwrap()), None);
        let strange = "<bind/><sm xmlns='urn:xmpp:sm:2'/><mechanisms><mechanism>PLAIN</mechanism></mechanisms>";
        assert_eq!(features(strange), Features::default());
    }

    #[test]
    fn a_number_that_is_none_says_nothing() {
        let beyond = format!("1{}", "0".repeat(30));
        for text in [
            "", " ", "0", "-1", "-262144", "1e6", "0x10000", "many", "∞", &beyond,
        ] {
            assert_eq!(max_bytes(text), None, "{text:?}");
        }
        let elsewhere = "<limits xmlns='urn:other'><max-bytes>20000</max-bytes></limits>";
        assert_eq!(features(elsewhere).stanza_limit, None);
        let ns = ns::LIMITS;
        assert_eq!(
            features(&format!("<limits xmlns='{ns}'/>")).stanza_limit,
            None
        );
        let idle = format!("<limits xmlns='{ns}'><idle-seconds>60</idle-seconds></limits>");
        assert_eq!(features(&idle).stanza_limit, None);
    }

    #[test]
    fn a_server_cannot_go_below_what_every_server_takes() {
        assert_eq!(max_bytes("1"), Some(10_000));
        assert_eq!(max_bytes("9999"), Some(10_000));
        assert_eq!(max_bytes("10000"), Some(10_000));
        assert_eq!(max_bytes("10001"), Some(10_001));
    }

    #[test]
    fn of_several_limits_the_smallest_holds() {
        let ns = ns::LIMITS;
        let limits =
            |text: &&str| format!("<limits xmlns='{ns}'><max-bytes>{text}</max-bytes></limits>");
        let all = ["262144", "x", "20000", "0", "30000"];
        let all: String = all.iter().map(limits).collect();
        assert_eq!(features(&all).stanza_limit, Some(20_000));
    }

    #[test]
    fn what_a_server_offers_is_read() {
        let read = features(
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
             <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism> PLAIN\n</mechanism><hostname>x</hostname>\
             <mechanism>SCRAM-SHA-1</mechanism></mechanisms>\
             <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>\
             <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>\
             <session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>\
             <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://prosody.im' ver='x'/>",
        );
        assert_eq!(
            read,
            Features {
                starttls: true,
                bind: true,
                session: true,
                sm: true,
                stanza_limit: None,
                software: Some("http://prosody.im".to_owned()),
            }
        );
        let optional = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>";
        assert!(!features(optional).session);
        assert_eq!(max_bytes(" 524288\n"), Some(524_288));
    }
}
