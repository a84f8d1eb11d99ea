//! Stanza types.

use std::fmt;
use std::ops::Deref;

/// The type of a stanza; its meaning depends on the kind (RFC 6120 §8.2.3, RFC 6121 §4.7.1 and §5.2.2).
///
/// It dereferences to its text on the wire, and each text has exactly one type.
///
/// ```
/// use bytes::Bytes;
/// use xtls_stanza::{Stanza, StanzaType};
///
/// let stanza = Stanza::read(&Bytes::from_static(b"<iq type='get' id='a1'><x/></iq>"))?;
/// assert_eq!(stanza.type_, Some(StanzaType::Get));
/// assert_eq!(stanza.type_.as_deref(), Some("get"));
/// assert_eq!(StanzaType::from("get"), StanzaType::Get);
/// # Ok::<(), xtls_stanza::ReadError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum StanzaType {
    /// An iq request for information.
    Get,
    /// An iq request for a change.
    Set,
    /// The answer to an iq request.
    Result,
    /// A stanza of any kind that reports an error.
    Error,
    /// An ordinary message; the type may be absent.
    Normal,
    /// A message in a one-to-one conversation.
    Chat,
    /// A message to all occupants of a room.
    Groupchat,
    /// A message to which no reply is expected.
    Headline,
    /// Presence: the sender is no longer available.
    Unavailable,
    /// Presence: a request to subscribe.
    Subscribe,
    /// Presence: a subscription was granted.
    Subscribed,
    /// Presence: a request to unsubscribe.
    Unsubscribe,
    /// Presence: a subscription was denied or cancelled.
    Unsubscribed,
    /// Presence: a server asks for the current presence.
    Probe,
    /// Anything else.
    Other(OtherType),
}

/// A type that RFC 6120 and RFC 6121 don't define.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OtherType(Box<str>);

impl StanzaType {
    /// The text on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Result => "result",
            Self::Error => "error",
            Self::Normal => "normal",
            Self::Chat => "chat",
            Self::Groupchat => "groupchat",
            Self::Headline => "headline",
            Self::Unavailable => "unavailable",
            Self::Subscribe => "subscribe",
            Self::Subscribed => "subscribed",
            Self::Unsubscribe => "unsubscribe",
            Self::Unsubscribed => "unsubscribed",
            Self::Probe => "probe",
            Self::Other(other) => other.as_str(),
        }
    }
}

impl OtherType {
    /// The text on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for StanzaType {
    fn from(text: &str) -> Self {
        match text {
            "get" => Self::Get,
            "set" => Self::Set,
            "result" => Self::Result,
            "error" => Self::Error,
            "normal" => Self::Normal,
            "chat" => Self::Chat,
            "groupchat" => Self::Groupchat,
            "headline" => Self::Headline,
            "unavailable" => Self::Unavailable,
            "subscribe" => Self::Subscribe,
            "subscribed" => Self::Subscribed,
            "unsubscribe" => Self::Unsubscribe,
            "unsubscribed" => Self::Unsubscribed,
            "probe" => Self::Probe,
            other => Self::Other(OtherType(other.into())),
        }
    }
}

impl From<String> for StanzaType {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Deref for StanzaType {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for StanzaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for StanzaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for OtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_has_one_type() {
        for known in [
            "get",
            "set",
            "result",
            "error",
            "normal",
            "chat",
            "groupchat",
            "headline",
            "unavailable",
            "subscribe",
            "subscribed",
            "unsubscribe",
            "unsubscribed",
            "probe",
        ] {
            let read = StanzaType::from(known);
            assert_eq!(read.as_str(), known);
            assert!(!matches!(read, StanzaType::Other(_)), "{known}");
        }
        for text in ["", "Get", "available", "chat "] {
            let StanzaType::Other(other) = StanzaType::from(text) else {
                panic!("{text:?} is known");
            };
            assert_eq!(other.as_str(), text);
        }
    }
}
