//! Why a stream was not opened, and how it ended.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use xtls_stanza::StanzaError;

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamEnd {
    /// In order: the peer has acknowledged what was written, and what came was read.
    #[error("closed in order")]
    Done,
    /// Closed before the peer had acknowledged everything.
    #[error("closed with {bytes} bytes unacknowledged")]
    Unfinished {
        /// Bytes that were written and not acknowledged.
        bytes: usize,
    },
    /// Closed before everything was read.
    #[error("closed with {bytes} bytes unread")]
    Unread {
        /// Bytes that were dropped.
        bytes: usize,
    },
    /// This end called [`abort`](super::Transport::abort).
    #[error("aborted")]
    Aborted,
    /// The peer called it.
    #[error("the peer aborted the stream")]
    Reset,
    /// This end [answered](super::Transport::answer) with a refusal.
    #[error("the open was declined")]
    Declined,
    /// This end neither accepted nor refused the peer's open in time.
    #[error("the open was not answered in time")]
    Expired,
    /// Our open was answered with an error, by the peer or by a server in its place.
    #[error("the open was refused: {0}")]
    Refused(StanzaError),
    /// Bytes were answered with an error that ends the stream: ours by the peer, or the peer's by us.
    #[error("a chunk was refused: {0}")]
    Rejected(StanzaError),
    /// An answer did not come: to an open ("the open"), say.
    #[error("no answer to {0} in time")]
    TimedOut(&'static str),
    /// The connection to our server is gone.
    #[error("the connection to the server is gone")]
    LinkLost,
    /// Anything else, in the transport's own words.
    #[error(transparent)]
    Failed(Cause),
}

impl StreamEnd {
    /// Memory that it holds beside its own size, in bytes, near enough.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Refused(error) | Self::Rejected(error) => {
                let app = error.app.as_ref().map_or(0, |app| app.weight());
                error.text.as_ref().map_or(0, String::capacity) + app
            }
            Self::Failed(cause) => cause.to_string().len(),
            Self::Done
            | Self::Unfinished { .. }
            | Self::Unread { .. }
            | Self::Aborted
            | Self::Reset
            | Self::Declined
            | Self::Expired
            | Self::TimedOut(_)
            | Self::LinkLost => 0,
        }
    }
}

/// A transport's own reason. Two are equal if they read the same.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// Wraps a reason.
    #[must_use]
    pub fn new(reason: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(reason))
    }

    /// The reason, if it is of this type: `xtls_ibb::Why` of a bytestream, say.
    #[must_use]
    pub fn downcast_ref<T: Error + 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.to_string() == other.to_string()
    }
}

/// Why a transport did not open a stream.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A stream goes to a full address.
    #[error("the address has no resource, a stream needs a full address")]
    NotFull,
    /// A stream to ourselves would have the same name at both ends.
    #[error("the address is our own")]
    OwnAddress,
    /// As many streams as the transport allows are open.
    #[error("{max} streams are open, no more are allowed")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// Anything else, in the transport's own words.
    #[error(transparent)]
    Failed(Cause),
}

impl From<xtls_ibb::OpenError> for OpenError {
    fn from(error: xtls_ibb::OpenError) -> Self {
        use xtls_ibb::OpenError as Ibb;
        match error {
            Ibb::NotFull => Self::NotFull,
            Ibb::OwnAddress => Self::OwnAddress,
            Ibb::TooMany { max } => Self::TooMany { max },
            other => Self::Failed(Cause::new(other)),
        }
    }
}

impl From<xtls_ibb::Why> for StreamEnd {
    fn from(why: xtls_ibb::Why) -> Self {
        use xtls_ibb::{Awaited, Why};
        match why {
            Why::Done => Self::Done,
            Why::Unfinished { bytes } => Self::Unfinished { bytes },
            Why::Unread { bytes } => Self::Unread { bytes },
            Why::Aborted => Self::Aborted,
            Why::Declined => Self::Declined,
            Why::Expired => Self::Expired,
            Why::Refused { error, .. } => Self::Refused(error),
            Why::Rejected(error) => Self::Rejected(error),
            Why::TimedOut(awaited) => Self::TimedOut(match awaited {
                Awaited::Open => "the open",
                Awaited::Chunk => "any chunk",
                Awaited::Close => "the close",
                Awaited::Owner => "the peer's close",
                _ => "an answer",
            }),
            Why::LinkLost => Self::LinkLost,
            why @ (Why::Lost(_) | Why::Violation(_) | _) => Self::Failed(Cause::new(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use xtls_ibb::{Awaited, Loss, Refusal, Violation, Why};
    use xtls_stanza::ibb::Seq;
    use xtls_stanza::{Condition, ErrorType};

    use super::*;

    #[test]
    fn the_end_of_a_bytestream_reads_as_before() {
        let error = StanzaError::new(ErrorType::Cancel, Condition::Conflict);
        let refusal = Refusal::of(&error);
        let gap = Violation::Gap {
            expected: Seq(1),
            found: Seq(3),
        };
        for why in [
            Why::Done,
            Why::Unfinished { bytes: 7 },
            Why::Unread { bytes: 8 },
            Why::Aborted,
            Why::Declined,
            Why::Expired,
            Why::Refused {
                refusal,
                error: error.clone(),
            },
            Why::Rejected(error),
            Why::Lost(Loss::Hole),
            Why::Violation(gap),
            Why::TimedOut(Awaited::Open),
            Why::TimedOut(Awaited::Chunk),
            Why::TimedOut(Awaited::Close),
            Why::LinkLost,
        ] {
            assert_eq!(StreamEnd::from(why.clone()).to_string(), why.to_string());
        }
    }

    #[test]
    fn a_reason_of_its_own_can_be_had_back() {
        let end = StreamEnd::from(Why::Lost(Loss::Tries));
        let StreamEnd::Failed(cause) = &end else {
            panic!("{end:?}")
        };
        assert_eq!(cause.downcast_ref::<Why>(), Some(&Why::Lost(Loss::Tries)));
        assert_eq!(end, StreamEnd::from(Why::Lost(Loss::Tries)));
        assert_ne!(end, StreamEnd::from(Why::Lost(Loss::Hole)));
    }
}
