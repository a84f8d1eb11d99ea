//! What the server says it takes (XEP-0478).

use xtls_stanza::limits::Limits;
use xtls_stanza::{Element, Node, ns};

/// No server may refuse stanzas up to this many bytes (RFC 6120 §13.12), so none can make streams impossible by a small
/// number.
const LEAST: usize = 10_000;

/// Takes the limits out of stream features and says the longest stanza in bytes, if one is named.
///
/// Of several, the smallest. Limits that cannot be read say nothing, nor does 0.
pub(super) fn take(features: &mut Element) -> Option<usize> {
    let limits = features
        .elements()
        .filter_map(|child| Limits::read(child).ok());
    let bytes = limits.filter_map(|limits| usize::try_from(limits.max_bytes?).ok());
    let least = bytes.filter(|&bytes| bytes > 0).min();
    features.children.retain(|node| match node {
        Node::Element(child) => !child.is("limits", ns::LIMITS),
        Node::Text(_) => true,
    });
    least.map(|bytes| bytes.max(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: &str = ns::LIMITS;

    fn taken(inside: &str) -> Option<usize> {
        let xml = format!("<features xmlns='urn:x'><a/>{inside}<b/></features>");
        let mut features = Element::read(xml.as_bytes(), "").unwrap();
        let limit = take(&mut features);
        let mut left = Vec::new();
        features.write("", &mut left);
        assert_eq!(
            String::from_utf8(left).unwrap(),
            "<features xmlns='urn:x'><a/><b/></features>",
            "the rest stays"
        );
        limit
    }

    fn max_bytes(text: &str) -> Option<usize> {
        taken(&format!(
            "<limits xmlns='{NS}'><max-bytes>{text}</max-bytes></limits>"
        ))
    }

    #[test]
    fn a_number_that_is_none_says_nothing() {
        let beyond = format!("1{}", "0".repeat(30));
        for text in [
            "", " ", "0", "-1", "-262144", "1e6", "0x10000", "many", "∞", &beyond,
        ] {
            assert_eq!(max_bytes(text), None, "{text:?}");
        }
        for inside in [
            "",
            "<limits xmlns='urn:other'><max-bytes>20000</max-bytes></limits>",
        ] {
            let xml = format!("<features>{inside}</features>");
            assert_eq!(
                take(&mut Element::read(xml.as_bytes(), "").unwrap()),
                None,
                "{inside}"
            );
        }
        assert_eq!(taken(&format!("<limits xmlns='{NS}'/>")), None);
        assert_eq!(
            taken(&format!(
                "<limits xmlns='{NS}'><idle-seconds>60</idle-seconds></limits>"
            )),
            None
        );
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
        let limits =
            |text: &&str| format!("<limits xmlns='{NS}'><max-bytes>{text}</max-bytes></limits>");
        let all = ["262144", "x", "20000", "0", "30000"];
        let all: String = all.iter().map(limits).collect();
        assert_eq!(taken(&all), Some(20_000));
    }

    #[test]
    fn a_limit_is_read() {
        assert_eq!(max_bytes("262144"), Some(262_144));
        assert_eq!(max_bytes(" 524288\n"), Some(524_288));
    }
}
