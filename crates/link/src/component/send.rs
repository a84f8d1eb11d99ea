//! What a component may send.

use xtls_stanza::{Address, Element, ReadError, ns};

use super::content::to_component;
use crate::event::LinkError;

/// Why a component's stanza is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It is not well-formed.
    #[error("an unreadable stanza")]
    Unreadable(#[source] ReadError),
    /// It is no message, presence or iq in `jabber:client`.
    #[error("something other than a stanza in jabber:client")]
    NotAStanza,
    /// It does not say where it comes from, which nobody else does for a component.
    #[error("a component's stanza without a sender")]
    NoSender,
    /// It comes from somewhere else.
    #[error("a stanza from {from}, which is not in the component's domain")]
    #[non_exhaustive]
    OtherSender {
        /// The sender as given, at most 128 characters of it.
        from: String,
    },
    /// It goes to nobody: a component has no account that would be meant.
    #[error("a component's stanza to nobody")]
    NoAddressee,
    /// No stanza may be sent now: see [`Component::has_room`](crate::Component::has_room).
    #[error("no stanza may be sent now")]
    NotNow,
    /// The link has ended for good.
    #[error(transparent)]
    Ended(#[from] LinkError),
}

/// A stanza of a client's as it goes to the server, if it comes from our domain.
pub(super) fn checked(
    octets: &[u8],
    is_domain: impl Fn(&str) -> bool,
) -> Result<Vec<u8>, SendError> {
    let stanza = Element::read(octets, ns::CLIENT).map_err(SendError::Unreadable)?;
    let from = stanza.attr("from").ok_or(SendError::NoSender)?;
    let sender = Address::new(from).ok();
    if !sender.is_some_and(|sender| is_domain(sender.domain())) {
        let from = from.chars().take(super::MAX_SHOWN).collect();
        return Err(SendError::OtherSender { from });
    }
    if stanza.attr("to").is_none_or(str::is_empty) {
        return Err(SendError::NoAddressee);
    }
    to_component(stanza).ok_or(SendError::NotAStanza)
}
