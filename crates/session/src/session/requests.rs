//! Our requests inside, and what becomes of them when the session ends.

use std::collections::BTreeSet;

use xtls_stanza::{Condition, ErrorType, Kind, Stanza, StanzaError};

use super::Session;
use crate::event::SendError;

impl Session {
    /// The requests that wait for their answers move to a session that goes on with the conversation, and so does the count of
    /// what was not confirmed. An unanswered `<finish/>` does not: the owner [finishes](Self::finish) the successor.
    pub fn hand_over(&mut self, successor: &mut Self) {
        successor.pending.append(&mut self.pending);
        successor.carry(self.carried());
    }

    pub(super) fn may_ask(&self, stanza: &Stanza) -> Result<(), SendError> {
        let limit = self.config.requests;
        if request(stanza).is_some() && self.pending.len() >= limit {
            return Err(SendError::Requests { limit });
        }
        Ok(())
    }

    pub(super) fn asked(&mut self, stanza: &Stanza) {
        if let Some(id) = request(stanza) {
            self.pending.insert(id.into());
        }
    }

    pub(super) fn answered(&mut self, stanza: &Stanza) {
        if stanza.kind == Kind::Iq
            && matches!(stanza.type_.as_deref(), Some("result" | "error"))
            && let Some(id) = &stanza.id
        {
            self.pending.remove(id.as_str());
        }
    }

    /// The next error for a request that nobody will answer (RFC 6120 §8.2.3 promises an answer to each).
    pub(super) fn poll_unanswered(&mut self) -> Option<Stanza> {
        let Some(id) = self.pending.pop_first() else {
            self.pending = BTreeSet::new();
            return None;
        };
        let error = StanzaError::new(ErrorType::Wait, Condition::RemoteServerTimeout)
            .with_text("the tunnel ended before the answer came");
        let mut stanza = Stanza::new(Kind::Iq)
            .with_type("error")
            .with_id(String::from(id))
            .with_child(&error.to_element());
        stanza.from = Some(self.binding.peer.clone());
        stanza.to = Some(self.binding.own.clone());
        Some(stanza)
    }
}

/// The id of a request.
fn request(stanza: &Stanza) -> Option<&str> {
    let asks = stanza.kind == Kind::Iq && matches!(stanza.type_.as_deref(), Some("get" | "set"));
    stanza.id.as_deref().filter(|_| asks)
}
