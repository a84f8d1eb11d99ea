//! What a wire tells its owner.

use std::fmt;

use crate::error::{Cut, LegEnd};

/// One pipe under a wire. The numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LegId(pub(crate) u32);

impl LegId {
    /// The stream that the tunnel began on: its bytes travel bare.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leg {}", self.0)
    }
}

/// Something that the owner should know, or do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer is at the other end of it: the client may choose it.
    Standing {
        /// Which.
        leg: LegId,
    },
    /// Both ends write to it from now on.
    Moved {
        /// Which.
        to: LegId,
    },
    /// Close this pipe (leg 0: abort the stream). The wire has forgotten it.
    Close {
        /// Which.
        leg: LegId,
        /// Why.
        end: LegEnd,
    },
    /// The leg that carried has gone: begin another one. Until it is chosen, nothing moves and nothing is lost.
    Lost {
        /// Which.
        leg: LegId,
    },
    /// Everything was sent and confirmed, both ways. The last event.
    Finished,
    /// The tunnel is cut: what was not read by then never will be. The last event but for [`Close`](Self::Close).
    Cut {
        /// Why.
        why: Cut,
    },
}
