//! The stream limits that a server announces (XEP-0478 0.2 §3).

use crate::element::Element;
use crate::ns;
use crate::payload_error::PayloadError;

/// `<limits/>` among the stream features. They are your server's, not the peer's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Longest stanza in bytes.
    pub max_bytes: Option<u64>,
    /// Seconds of inactivity after which the server closes the stream.
    pub idle_seconds: Option<u64>,
}

impl Limits {
    /// Reads `<limits/>`.
    ///
    /// # Errors
    ///
    /// Another element, or a limit that isn't a number.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        PayloadError::unless(element, "limits", ns::LIMITS)?;
        Ok(Self {
            max_bytes: number(element, "max-bytes")?,
            idle_seconds: number(element, "idle-seconds")?,
        })
    }

    /// The element.
    pub fn to_element(self) -> Element {
        let mut element = Element::new("limits", ns::LIMITS);
        for (name, value) in [
            ("max-bytes", self.max_bytes),
            ("idle-seconds", self.idle_seconds),
        ] {
            if let Some(value) = value {
                element =
                    element.with_child(Element::new(name, ns::LIMITS).with_text(value.to_string()));
            }
        }
        element
    }
}

fn number(element: &Element, name: &'static str) -> Result<Option<u64>, PayloadError> {
    let Some(child) = element.child(name, ns::LIMITS) else {
        return Ok(None);
    };
    let text = child.text();
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(Some(number)),
        Ok(_) | Err(_) => Err(PayloadError::Text { element: name }),
    }
}
