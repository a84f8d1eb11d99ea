//! What the owner of a mux learns.

use std::fmt;

use xtls_stanza::busy::Busy;
use xtls_stanza::ibb::{Open, Seq};
use xtls_stanza::{Address, Payload, PayloadError, StanzaError};

use crate::error::Refusal;

/// Names one stream of one mux. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// As a number, for owners that hold streams of several kinds.
impl From<StreamId> for u64 {
    fn from(id: StreamId) -> Self {
        id.0
    }
}

/// One that no stream has is like one whose stream has ended.
impl From<u64> for StreamId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

/// Something happened to a stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A peer asks for a stream. Answer with `accept` or `refuse` within the config's
    /// `accept_timeout`.
    Incoming {
        /// The new stream.
        id: StreamId,
        /// Who asks: a full address, as far as the servers can be trusted.
        from: Address,
        /// What is asked for, with its extensions.
        open: Open,
    },
    /// A limit turned an open away, and the peer was sent which one and for how long. At most one of these waits for
    /// `poll_event`; further ones until then are not reported.
    TurnedAway {
        /// Who asked.
        from: Address,
        /// The limit.
        busy: Busy,
    },
    /// The peer accepted our open.
    Opened {
        /// The stream.
        id: StreamId,
        /// What the result carried.
        answer: Option<Payload>,
    },
    /// There are bytes to read.
    Readable {
        /// The stream.
        id: StreamId,
    },
    /// There is room again after there was none.
    Writable {
        /// The stream.
        id: StreamId,
    },
    /// Everything that was written is acknowledged: only after [`StreamMut::tell_acknowledged`](crate::StreamMut::tell_acknowledged).
    Acknowledged {
        /// The stream.
        id: StreamId,
    },
    /// The peer has closed, and you may still write: only with the config's `half_close`. What has
    /// come can be read; nothing more comes.
    PeerClosed {
        /// The stream.
        id: StreamId,
    },
    /// The last event of a stream, and exactly one for each: its id is no longer known.
    Closed {
        /// The stream.
        id: StreamId,
        /// Who ended it and why.
        close: Close,
    },
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Close {
    /// Who ended it.
    pub by: By,
    /// Why.
    pub why: Why,
}

impl Close {
    pub(crate) fn new(by: By, why: Why) -> Self {
        Self { by, why }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            By::Us => "we",
            By::Peer => "the peer",
            By::Link => "the link",
        };
        write!(f, "{by} ended the stream: {}", self.why)
    }
}

/// Who ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// This side: its owner, a limit, or a rule that the peer broke.
    Us,
    /// The other side, or a server that answers in its place.
    Peer,
    /// The connection to our server is gone.
    Link,
}

/// Why a stream ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Closed in order: all that we wrote was acknowledged (in message mode: sent), all that came
    /// was read.
    #[error("closed in order")]
    Done,
    /// Closed, but not all that we wrote was acknowledged.
    #[error("closed with {bytes} bytes unacknowledged")]
    Unfinished {
        /// Bytes that were written and not acknowledged.
        bytes: usize,
    },
    /// Closed, but the owner did not read everything within the config's `drain_timeout`.
    #[error("closed with {bytes} bytes unread")]
    Unread {
        /// Bytes that were dropped.
        bytes: usize,
    },
    /// We had finished and went on reading, and the peer ended the stream before its own bytes were through: what
    /// came is a part.
    #[error("the peer's bytes were cut short: {0}")]
    CutShort(StanzaError),
    /// The owner called `abort`.
    #[error("aborted")]
    Aborted,
    /// The owner called `refuse`.
    #[error("the open was declined")]
    Declined,
    /// The owner neither accepted nor refused in time.
    #[error("the open was not answered in time")]
    Expired,
    /// Our open was refused.
    #[error("the open was refused: {error}")]
    Refused {
        /// What that means.
        refusal: Refusal,
        /// The error, its text cleaned for display.
        error: StanzaError,
    },
    /// A chunk of ours was answered with an error that ends the stream.
    #[error("a chunk was refused: {0}")]
    Rejected(StanzaError),
    /// Chunks came back with `wait` and could not be sent again safely or in time.
    #[error("chunks were lost: {0}")]
    Lost(Loss),
    /// The peer broke a rule.
    #[error("{0}")]
    Violation(Violation),
    /// An answer did not come.
    #[error("no answer to {0} in time")]
    TimedOut(Awaited),
    /// The connection to our server is gone, and the stream with it.
    #[error("the connection to the server is gone")]
    LinkLost,
}

/// How chunks were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// A chunk bounced, one after it was accepted: there is a hole.
    #[error("one bounced and a later one was accepted")]
    Hole,
    /// Sent again five times in vain.
    #[error("still refused after 5 tries")]
    Tries,
    /// Not through within 60 s.
    #[error("still refused after 60 s")]
    Time,
    /// A message came back; whether those after it arrived cannot be known.
    #[error("a message came back")]
    Message,
}

/// What did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Awaited {
    /// The answer to our open.
    #[error("the open")]
    Open,
    /// The answer to any chunk.
    #[error("any chunk")]
    Chunk,
    /// The answer to our `<close/>`.
    #[error("the close")]
    Close,
    /// The owner's own end of a stream that the peer has closed, with the config's `half_close`.
    #[error("the peer's close")]
    Owner,
}

/// Which rule the peer broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A chunk is missing (XEP-0047 §2.2).
    #[error("the peer sent chunk {found} where {expected} was due", found = found.0, expected = expected.0)]
    Gap {
        /// The number that was due.
        expected: Seq,
        /// The number that came.
        found: Seq,
    },
    /// A number came again with other bytes, or after its time.
    #[error("the peer used chunk number {seq} again", seq = seq.0)]
    Reused {
        /// The number.
        seq: Seq,
    },
    /// A chunk is larger than the agreed block.
    #[error("the peer sent a chunk of {len} bytes in a stream of blocks up to {block}")]
    TooLarge {
        /// Bytes in the chunk.
        len: usize,
        /// Bytes allowed.
        block: usize,
    },
    /// A chunk could not be read (base64, attributes).
    #[error("the peer sent an unreadable chunk: {0}")]
    Unreadable(PayloadError),
    /// Seventeen chunks without a byte in a row.
    #[error("the peer sent 17 empty chunks in a row")]
    Empty,
    /// More was sent without acknowledgement than the config's `receive_cap` allows.
    #[error("the peer sent more than {cap} bytes ahead of their acknowledgement")]
    Overflow {
        /// The cap, in bytes.
        cap: usize,
    },
}
