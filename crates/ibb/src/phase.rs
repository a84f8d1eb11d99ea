//! The phases of a stream, from the open to the end.

use std::time::Instant;

use xtls_stanza::Element;

use crate::event::Close;

#[cfg_attr(test, derive(Clone))]
pub(crate) enum Phase {
    /// Our open has no answer yet.
    Opening {
        request: String,
        halvings: u32,
        extensions: Extensions,
        until: Instant,
    },
    /// The peer's open waits for our owner.
    Incoming {
        request: String,
        until: Instant,
    },
    Open,
    /// Our owner writes no more: what was written goes out and is acknowledged first.
    Flushing {
        /// Whether the owner goes on reading afterwards.
        reading: Reading,
    },
    /// Our `<close/>` has no answer yet; the peer may still send.
    Closing {
        request: String,
        /// The position of our `<close/>` among what leaves.
        place: u64,
        until: Instant,
        reading: Reading,
    },
    /// The peer's `<close/>` waits until what was written is out.
    PeerClosing {
        request: String,
        until: Instant,
        tail: Tail,
    },
    /// Decided. Bytes may remain to be read, and our `<close/>` may have no answer yet.
    Ended {
        close: Box<Close>,
        reported: bool,
        unanswered: Option<(String, Instant)>,
        read_until: Instant,
    },
}

/// How our owner ended the stream: what it still wants of the peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    /// Everything until the peer closes as well; there is no haste while anything moves.
    GoesOn,
    /// What comes until then.
    Until(Instant),
}

/// What our owner may still send after the peer's `<close/>`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tail {
    /// It goes on writing: half-closed.
    Open,
    /// It has finished; what it wrote has time while anything moves.
    Finished,
    /// It has closed; what it wrote has a fixed time.
    Closed,
}

/// What our `<open/>` holds besides.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Extensions {
    pub(crate) first: Vec<Element>,
    /// What it holds when it is sent again, if that differs.
    pub(crate) later: Option<Vec<Element>>,
}
