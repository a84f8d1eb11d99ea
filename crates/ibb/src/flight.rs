//! A chunk on its way.

use std::time::Instant;

use bytes::Bytes;
use xtls_stanza::ibb::Seq;

use crate::ids::Id;

/// A chunk that is not done with.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Flight {
    pub(crate) id: Id,
    pub(crate) seq: Seq,
    pub(crate) bytes: Bytes,
    pub(crate) sent: Instant,
    pub(crate) mark: u64,
    pub(crate) state: State,
}

impl Flight {
    /// Whether the answer under this id is its own.
    pub(crate) fn waits_for(&self, id: &str) -> bool {
        self.state == State::Waiting && self.id.is(id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    /// No answer yet.
    Waiting,
    /// Taken; kept only because an earlier one is not.
    Acknowledged,
    /// Came back with `wait`.
    Bounced,
    /// To be sent again.
    Due,
}
