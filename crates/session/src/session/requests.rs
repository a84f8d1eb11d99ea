//! Our requests inside, and what becomes of them when the session ends.

use std::collections::BTreeSet;

use xtls_stanza::{Condition, ErrorType, Kind, Stanza, StanzaError};

use crate::Binding;
use crate::event::SendError;

/// The ids of our requests that wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Requests(BTreeSet<Box<str>>);

impl Requests {
    /// Whether there is room for one more, if `stanza` is one.
    pub(super) fn has_room(&self, stanza: &Stanza, limit: usize) -> Result<(), SendError> {
        if request(stanza).is_some() && self.0.len() >= limit {
            return Err(SendError::Requests { limit });
        }
        Ok(())
    }

    /// `stanza` was sent.
    pub(super) fn sent(&mut self, stanza: &Stanza) {
        if let Some(id) = request(stanza) {
            self.0.insert(id.into());
        }
    }

    /// `stanza` has come.
    pub(super) fn received(&mut self, stanza: &Stanza) {
        if is_answer(stanza)
            && let Some(id) = &stanza.id
        {
            self.0.remove(id.as_str());
        }
    }

    /// They wait in another session from now on.
    pub(super) fn move_to(&mut self, successor: &mut Self) {
        successor.0.append(&mut self.0);
    }

    /// The next error for a request that will not be answered any more (RFC 6120 §8.2.3 promises an answer to each).
    pub(super) fn next_unanswered(&mut self, binding: &Binding) -> Option<Stanza> {
        let Some(id) = self.0.pop_first() else {
            self.0 = BTreeSet::new();
            return None;
        };
        let error = StanzaError::new(ErrorType::Wait, Condition::RemoteServerTimeout)
            .with_text("the tunnel ended before the answer came");
        let stanza = Stanza::new(Kind::Iq)
            .with_type("error")
            .with_id(String::from(id))
            .with_child(&error.to_element())
            .with_from(binding.peer.clone())
            .with_to(binding.own.clone());
        Some(stanza)
    }
}

/// Whether a stanza answers a request.
pub(super) fn is_answer(stanza: &Stanza) -> bool {
    stanza.kind == Kind::Iq && matches!(stanza.type_.as_deref(), Some("result" | "error"))
}

/// The id of a request.
fn request(stanza: &Stanza) -> Option<&str> {
    let asks = stanza.kind == Kind::Iq && matches!(stanza.type_.as_deref(), Some("get" | "set"));
    stanza.id.as_deref().filter(|_| asks)
}
