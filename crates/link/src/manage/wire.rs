//! The elements of XEP-0198.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use xtls_stanza::Element;

use crate::location::Location;

/// Stream management (XEP-0198).
pub(crate) const SM: &str = "urn:xmpp:sm:3";

/// What a server says.
#[derive(Debug)]
pub(super) enum Nonza<'a> {
    /// `<enabled/>`; `None`: no resumption.
    Enabled(Option<Ticket>),
    /// `<resumed/>`.
    Resumed {
        previd: Option<&'a str>,
        h: Option<u32>,
    },
    /// `<failed/>`. Nothing depends on its condition, which may be missing.
    Failed { h: Option<u32> },
    /// `<a/>`.
    Ack { h: Option<u32> },
    /// `<r/>`.
    Request,
}

impl<'a> Nonza<'a> {
    /// Reads an element; `None`: it is something else.
    pub(super) fn read(element: &'a Element) -> Option<Self> {
        if element.ns != *SM {
            return None;
        }
        let h = || element.attr("h")?.trim_ascii().parse().ok();
        Some(match element.name.as_str() {
            "enabled" => Self::Enabled(Ticket::read(element)),
            "resumed" => Self::Resumed {
                previd: element.attr("previd"),
                h: h(),
            },
            "failed" => Self::Failed { h: h() },
            "a" => Self::Ack { h: h() },
            "r" => Self::Request,
            _ => return None,
        })
    }
}

/// What it takes to resume a session.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) id: String,
    /// How long after the end of a connection.
    pub(super) max: Duration,
    /// Where the server prefers to be reached for it.
    pub(super) location: Option<Location>,
}

impl Ticket {
    fn read(enabled: &Element) -> Option<Self> {
        // XML Schema allows both.
        let resume = enabled.attr("resume")?.trim_ascii();
        let id = enabled.attr("id").filter(|id| !id.is_empty())?;
        let seconds = || enabled.attr("max")?.trim_ascii().parse().ok();
        matches!(resume, "true" | "1").then(|| Self {
            id: id.to_owned(),
            max: Duration::from_secs(seconds().unwrap_or(MAX_AWAY)),
            location: enabled.attr("location").and_then(Location::read),
        })
    }
}

/// The id is as good as a password to whoever can log in.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("max", &self.max)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// Asks for a session.
pub(crate) fn enable() -> Bytes {
    format!("<enable xmlns='{SM}' resume='true' max='{MAX_AWAY}'/>").into()
}

/// Asks for the session of this id again.
pub(super) fn resume(id: &str, handled: u32) -> Bytes {
    let mut out = Vec::new();
    Element::new("resume", SM)
        .with_attr("previd", id)
        .with_attr("h", handled.to_string())
        .write("", &mut out);
    out.into()
}

/// Grants a session that ends with its connection.
#[cfg(feature = "serve")]
pub(super) fn enabled() -> Bytes {
    format!("<enabled xmlns='{SM}'/>").into()
}

/// Refuses one.
#[cfg(feature = "serve")]
pub(super) fn failed(condition: &str) -> Bytes {
    let conditions = xtls_stanza::ns::STANZAS;
    format!("<failed xmlns='{SM}'><{condition} xmlns='{conditions}'/></failed>").into()
}

/// Refuses an earlier session, of which there is none here.
#[cfg(feature = "serve")]
pub(crate) fn not_found() -> Bytes {
    failed("item-not-found")
}

/// Asks for an acknowledgement.
pub(super) fn request() -> Bytes {
    Bytes::from_static(b"<r xmlns='urn:xmpp:sm:3'/>")
}

/// Acknowledges.
pub(super) fn ack(handled: u32) -> Bytes {
    format!("<a xmlns='{SM}' h='{handled}'/>").into()
}

/// How long we would like to be away, and believe that we may where a server doesn't say, in seconds.
const MAX_AWAY: u64 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    fn element(xml: &str) -> Element {
        Element::read(xml.as_bytes(), "jabber:client").unwrap()
    }

    fn ticket(attributes: &str) -> Option<Ticket> {
        let element = element(&format!("<enabled xmlns='{SM}' {attributes}/>"));
        match Nonza::read(&element) {
            Some(Nonza::Enabled(ticket)) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn other_elements_and_other_versions_are_something_else() {
        for xml in [
            "<a h='1'/>",
            "<r xmlns='urn:xmpp:sm:2'/>",
            "<enable xmlns='urn:xmpp:sm:3'/>",
            "<resume xmlns='urn:xmpp:sm:3' previd='x' h='1'/>",
        ] {
            assert!(Nonza::read(&element(xml)).is_none(), "{xml}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_no_number() {
        for h in ["", "-1", "1.0", "0x1", "4294967296", "many"] {
            let element = element(&format!("<a xmlns='{SM}' h='{h}'/>"));
            let nonza = Nonza::read(&element);
            assert!(
                matches!(nonza, Some(Nonza::Ack { h: None })),
                "{h}: {nonza:?}"
            );
        }
        let element = element(&format!("<a xmlns='{SM}' h=' 4294967295 '/>"));
        let nonza = Nonza::read(&element);
        assert!(
            matches!(nonza, Some(Nonza::Ack { h: Some(u32::MAX) })),
            "{nonza:?}"
        );
    }

    #[test]
    fn without_a_promise_and_an_id_there_is_no_resumption() {
        for attributes in [
            "",
            "id='x'",
            "resume='true'",
            "resume='true' id=''",
            "resume='false' id='x'",
            "resume='TRUE' id='x'",
        ] {
            assert_eq!(ticket(attributes), None, "{attributes}");
        }
        assert!(ticket("resume='true' id='x'").is_some());
        assert!(ticket("resume='1' id='x'").is_some());
    }

    #[test]
    fn what_is_granted_holds_and_what_cannot_be_read_is_as_if_not_said() {
        let max = |text: &str| {
            ticket(&format!("id='x' resume='true' max='{text}'"))
                .unwrap()
                .max
        };
        assert_eq!(max("300"), Duration::from_secs(300));
        assert_eq!(max("0"), Duration::ZERO);
        assert_eq!(max("18446744073709551615"), Duration::from_secs(u64::MAX));
        for text in ["", "-1", "soon"] {
            assert_eq!(max(text), Duration::from_secs(MAX_AWAY), "{text}");
        }
        let at = |text: &str| {
            ticket(&format!("id='x' resume='true' location='{text}'"))
                .unwrap()
                .location
        };
        assert_eq!(at("host:1").unwrap().port, Some(1));
        assert_eq!(at("host:"), None);
    }

    #[test]
    fn what_we_say_is_well_formed_whatever_the_id() {
        let said = resume("<a b='c\"\u{e9}\t&amp;", u32::MAX);
        let element = element(std::str::from_utf8(&said).unwrap());
        assert!(element.is("resume", SM));
        assert_eq!(element.attr("previd"), Some("<a b='c\"\u{e9}\t&amp;"));
        assert_eq!(element.attr("h"), Some("4294967295"));
        assert_eq!(
            enable(),
            "<enable xmlns='urn:xmpp:sm:3' resume='true' max='600'/>"
        );
        assert_eq!(request(), format!("<r xmlns='{SM}'/>"));
        assert_eq!(ack(7), "<a xmlns='urn:xmpp:sm:3' h='7'/>");
    }

    #[test]
    fn what_is_shown_holds_no_id() {
        let ticket = ticket("id='secret' resume='true'").unwrap();
        assert!(!format!("{ticket:?}").contains("secret"));
    }
}
