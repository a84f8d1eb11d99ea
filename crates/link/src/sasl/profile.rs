//! The two profiles of SASL in XMPP, which dress the same messages differently.

use std::fmt;

use xtls_stanza::{Element, base64};
use zeroize::Zeroizing;

/// How the messages of a mechanism stand in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// That of RFC 6120 §6.
    Sasl,
    /// That of XEP-0388, which does more within the log-in and does not restart the stream.
    Sasl2,
}

impl Profile {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Sasl => Self::Sasl2,
            Self::Sasl2 => Self::Sasl,
        }
    }

    pub(crate) fn ns(self) -> &'static str {
        match self {
            Self::Sasl => NS,
            Self::Sasl2 => NS2,
        }
    }

    /// The feature that lists its mechanisms.
    pub(crate) fn list(self) -> &'static str {
        match self {
            Self::Sasl => "mechanisms",
            Self::Sasl2 => "authentication",
        }
    }

    /// Begins with a mechanism and its first message. SASL2 also says what else is asked for, as XML.
    pub(super) fn first(self, mechanism: &str, message: &[u8], inline: &[u8]) -> Octets {
        match self {
            Self::Sasl => {
                let head = format!("<auth xmlns='{NS}' mechanism='{mechanism}'>");
                element(&head, message, &[b"</auth>"])
            }
            Self::Sasl2 => {
                let head = format!(
                    "<authenticate xmlns='{NS2}' mechanism='{mechanism}'><initial-response>"
                );
                let end: [&[u8]; 3] = [b"</initial-response>", inline, b"</authenticate>"];
                element(&head, message, &end)
            }
        }
    }

    pub(super) fn response(self, message: &[u8]) -> Octets {
        let head = format!("<response xmlns='{}'>", self.ns());
        element(&head, message, &[b"</response>"])
    }

    /// What a success says to the mechanism, in base64.
    pub(super) fn proof(self, success: &Element) -> String {
        match self {
            Self::Sasl => success.text(),
            Self::Sasl2 => {
                let data = success.child("additional-data", NS2);
                data.map(Element::text).unwrap_or_default()
            }
        }
    }
}

/// Octets for the stream, which may hold a password. Wiped when dropped; `Debug` does not show them.
pub(crate) struct Octets(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Octets({} bytes)", self.0.len())
    }
}

fn element(head: &str, message: &[u8], end: &[&[u8]]) -> Octets {
    // With room for all, so that it is never copied to a place that is not wiped.
    let ends: usize = end.iter().map(|end| end.len()).sum();
    let len = head.len() + base64::encoded_len(message.len()) + ends;
    let mut octets = Zeroizing::new(Vec::with_capacity(len));
    octets.extend_from_slice(head.as_bytes());
    base64::encode(message, &mut octets);
    for end in end {
        octets.extend_from_slice(end);
    }
    Octets(octets)
}

pub(super) const NS: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub(super) const NS2: &str = "urn:xmpp:sasl:2";
