//! Stream errors (RFC 6120 §4.9), and what follows from each.

use std::fmt;

use xtls_stanza::Element;

use crate::header::STREAMS;
use crate::location::Location;

/// How a server ends a stream that it does not go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamError {
    /// The condition (RFC 6120 §4.9.3), `undefined-condition` if there is none.
    pub condition: String,
    /// What the server adds, or nothing: at most 1,024 characters, without control characters.
    pub text: String,
    /// The host that `see-other-host` names.
    pub other_host: Option<Location>,
    /// XEP-0198 §4: we acknowledged more than was sent.
    pub handled_count_too_high: bool,
}

/// What to do about the end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Connect again, and resume.
    Resume,
    /// Connect again and bind anew: the same octets would end in the same way.
    Rebind,
    /// The server has too much to do, or has seen too much of us: as `Rebind`, after the longest wait.
    RebindLater,
    /// Connect to the host that it names, and resume.
    Elsewhere,
    /// It would do no good, or harm.
    Stop,
}

impl StreamError {
    /// An element that is a stream error.
    pub(crate) fn read(element: &Element) -> Option<Self> {
        if !element.is("error", STREAMS) {
            return None;
        }
        let named = |child: &&Element| child.ns == CONDITIONS;
        let mut conditions = element.elements().filter(named);
        let condition = conditions.find(|child| child.name != "text");
        let text = element.child("text", CONDITIONS);
        let name = condition.map_or("undefined-condition", |child| child.name.as_str());
        let other_host = condition
            .filter(|child| child.name == "see-other-host")
            .and_then(|child| Location::read(&child.text()));
        let too_high = element.elements();
        let too_high = too_high.filter(|child| child.is("handled-count-too-high", SM));
        Some(Self {
            condition: legible(name),
            text: text.map(|text| legible(&text.text())).unwrap_or_default(),
            other_host,
            handled_count_too_high: too_high.count() > 0,
        })
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.condition.as_str() {
            _ if self.handled_count_too_high => Verdict::Rebind,
            "connection-timeout"
            | "internal-server-error"
            | "remote-connection-failed"
            | "reset"
            | "system-shutdown"
            | "undefined-condition" => Verdict::Resume,
            "resource-constraint" => Verdict::RebindLater,
            "policy-violation" => Verdict::RebindLater,
            "see-other-host" if self.other_host.is_some() => Verdict::Elsewhere,
            // Somebody has taken our address; who takes it back starts a war (XEP-0198 does not end it either).
            "conflict" => Verdict::Stop,
            // What we are or ask for is not there, or what we wrote is wrong and would be again. And of conditions that are
            // not in the table we know nothing.
            _ => Verdict::Stop,
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.condition)?;
        if let Some(Location { host, port }) = &self.other_host {
            write!(f, " {host}")?;
            if let Some(port) = port {
                write!(f, ":{port}")?;
            }
        }
        if self.text.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.text)
    }
}

/// The octets of a stream error of ours, without the end tag that follows.
pub(crate) fn written(condition: &str, detail: Option<&Element>) -> Vec<u8> {
    let mut error = b"<stream:error>".to_vec();
    // It may be another server's word, which is made a name of if it is none.
    Element::new(condition, CONDITIONS).write("", &mut error);
    if let Some(detail) = detail {
        detail.write("", &mut error);
    }
    error.extend_from_slice(b"</stream:error>");
    error
}

/// Text of a peer's for logs and messages.
pub(crate) fn legible(text: &str) -> String {
    let characters = text.trim().chars().take(MAX_TEXT);
    let characters = characters.map(|c| if c.is_control() { ' ' } else { c });
    characters.collect()
}

const CONDITIONS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
const SM: &str = "urn:xmpp:sm:3";

/// Characters of a text that are kept.
const MAX_TEXT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(inside: &str) -> StreamError {
        let xml = format!("<s:error xmlns:s='{STREAMS}' xmlns='{CONDITIONS}'>{inside}</s:error>");
        StreamError::read(&Element::read(xml.as_bytes(), "").unwrap()).unwrap()
    }

    #[test]
    fn another_host_that_is_none_stops() {
        for text in ["", " ", "a b", "a:0", "[::1"] {
            let error = error(&format!("<see-other-host>{text}</see-other-host>"));
            assert_eq!(
                (error.verdict(), error.other_host),
                (Verdict::Stop, None),
                "{text}"
            );
        }
        assert_eq!(error("<see-other-host/>").verdict(), Verdict::Stop);
    }

    #[test]
    fn conditions_that_are_not_in_the_table_stop() {
        for name in [
            "bad-format",
            "bad-namespace-prefix",
            "conflict",
            "host-gone",
            "host-unknown",
            "improper-addressing",
            "invalid-from",
            "invalid-namespace",
            "invalid-xml",
            "not-authorized",
            "not-well-formed",
            "restricted-xml",
            "unsupported-encoding",
            "unsupported-feature",
            "unsupported-stanza-type",
            "unsupported-version",
            "of-tomorrow",
        ] {
            assert_eq!(
                error(&format!("<{name}/>")).verdict(),
                Verdict::Stop,
                "{name}"
            );
        }
    }

    #[test]
    fn a_text_is_cut_and_cannot_control_a_terminal() {
        let long = format!("<reset/><text>&#x9;a\u{85}b{}</text>", "x".repeat(2000));
        let text = error(&long).text;
        assert_eq!(text.chars().count(), MAX_TEXT);
        assert!(text.starts_with("a b"), "{text}");
    }

    #[test]
    fn what_may_pass_by_itself_is_tried_again() {
        for (name, verdict) in [
            ("connection-timeout", Verdict::Resume),
            ("internal-server-error", Verdict::Resume),
            ("remote-connection-failed", Verdict::Resume),
            ("reset", Verdict::Resume),
            ("system-shutdown", Verdict::Resume),
            ("undefined-condition", Verdict::Resume),
            ("resource-constraint", Verdict::RebindLater),
            ("policy-violation", Verdict::RebindLater),
        ] {
            assert_eq!(error(&format!("<{name}/>")).verdict(), verdict, "{name}");
        }
        assert_eq!(error("").condition, "undefined-condition");
        let counted = "<undefined-condition/><handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/>";
        assert_eq!(error(counted).verdict(), Verdict::Rebind);
    }

    #[test]
    fn another_host_is_named() {
        let elsewhere = error("<see-other-host>b.example:1</see-other-host>");
        assert_eq!(elsewhere.verdict(), Verdict::Elsewhere);
        assert_eq!(elsewhere.to_string(), "see-other-host b.example:1");
    }
}
