//! The text of messages (RFC 6121 §5.2.3).

use crate::element::{Attr, Element};
use crate::ns;
use crate::payload::Payload;
use crate::payload_error::PayloadError;
use crate::receipts::Receipt;

/// `<body/>`: the human-readable text of a message, in one language. Debug output shows its length only.
///
/// ```
/// use bytes::Bytes;
/// use xtls_stanza::{Body, Content, Envelope, MessageKind, Payload};
///
/// let frame = Bytes::from_static(
///     b"<message type='chat'><body xml:lang='en'>Good night</body><body xml:lang='it'>Buona notte</body></message>",
/// );
/// let message = Envelope::read(&frame)?;
/// assert_eq!(message.body(Some("it")).map(|body| body.text), Some("Buona notte".to_owned()));
/// assert_eq!(message.body(None).map(|body| body.text), Some("Good night".to_owned()));
///
/// let content = Content::Message {
///     kind: MessageKind::Chat,
///     payloads: vec![Payload::from(Body::new("A thousand times good night!"))],
///     error: None,
/// };
/// # let _ = content;
/// # Ok::<(), xtls_stanza::EnvelopeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// The language (`xml:lang`, RFC 5646), if the element states one.
    pub lang: Option<String>,
    /// The text.
    pub text: String,
}

impl Body {
    /// A text without a language of its own.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            lang: None,
            text: text.into(),
        }
    }

    /// Reads `<body/>`.
    ///
    /// # Errors
    ///
    /// Another element, or elements inside.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        PayloadError::unless(element, "body", ns::CLIENT)?;
        if element.elements().next().is_some() {
            return Err(PayloadError::Children { element: "body" });
        }
        let lang = |attr: &&Attr| attr.name == "lang" && attr.ns.as_deref() == Some(ns::XML);
        Ok(Self {
            lang: element.attrs.iter().find(lang).map(|a| a.value.clone()),
            text: element.text(),
        })
    }

    /// The element.
    pub fn to_element(&self) -> Element {
        let mut element = Element::new("body", ns::CLIENT).with_text(&self.text);
        element.attrs.extend(self.lang.as_ref().map(|lang| Attr {
            ns: Some(ns::XML.into()),
            name: "lang".into(),
            value: lang.clone(),
        }));
        element
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Body {{ lang: {:?}, {} bytes }}",
            self.lang,
            self.text.len()
        )
    }
}

impl From<Body> for Payload {
    fn from(body: Body) -> Self {
        Self::Other(body.to_element())
    }
}

impl From<Receipt> for Payload {
    fn from(receipt: Receipt) -> Self {
        Self::Other(receipt.to_element())
    }
}
