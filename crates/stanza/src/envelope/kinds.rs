//! The types of messages and presences.

/// The type of a message (RFC 6121 §5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// No type, or an unknown one.
    #[default]
    Normal,
    /// Part of a conversation.
    Chat,
    /// To all occupants of a room.
    Groupchat,
    /// No answer is expected.
    Headline,
    /// Answers a message that went wrong.
    Error,
}

impl MessageKind {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Chat => "chat",
            Self::Groupchat => "groupchat",
            Self::Headline => "headline",
            Self::Error => "error",
        }
    }

    pub(super) fn read(name: Option<&str>) -> Self {
        let known = [Self::Chat, Self::Groupchat, Self::Headline, Self::Error];
        known
            .into_iter()
            .find(|kind| Some(kind.name()) == name)
            .unwrap_or_default()
    }
}

/// The type of a presence (RFC 6121 §4.7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PresenceKind {
    /// No type: the sender can be reached.
    #[default]
    Available,
    /// The sender can no longer be reached.
    Unavailable,
    /// Asks for presence.
    Subscribe,
    /// Grants presence.
    Subscribed,
    /// Gives presence up.
    Unsubscribe,
    /// Takes presence away.
    Unsubscribed,
    /// A server asks for presence.
    Probe,
    /// Answers a presence that went wrong.
    Error,
}

impl PresenceKind {
    /// The name on the wire; `available` has none.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Available => None,
            Self::Unavailable => Some("unavailable"),
            Self::Subscribe => Some("subscribe"),
            Self::Subscribed => Some("subscribed"),
            Self::Unsubscribe => Some("unsubscribe"),
            Self::Unsubscribed => Some("unsubscribed"),
            Self::Probe => Some("probe"),
            Self::Error => Some("error"),
        }
    }

    pub(super) fn read(name: Option<&str>) -> Option<Self> {
        let known = [
            Self::Available,
            Self::Unavailable,
            Self::Subscribe,
            Self::Subscribed,
            Self::Unsubscribe,
            Self::Unsubscribed,
            Self::Probe,
            Self::Error,
        ];
        known.into_iter().find(|kind| kind.name() == name)
    }
}
