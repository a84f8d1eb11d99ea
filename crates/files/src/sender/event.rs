//! What a sender tells its owner.

use crate::content::Hash;
use crate::entry::{MAX_ENTRIES, MAX_NAMES};
use crate::fault::Fault;
use crate::reason::Told;
use crate::turn::{OutOfTurn, Outcome};

/// What a [`Sender`](super::Sender) has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderEvent {
    /// The offer was accepted.
    Accepted,
    /// It was not. Nothing follows.
    Refused(Told),
    /// A file is wanted. Answer with [`begin`](super::Sender::begin) or [`fail`](super::Sender::fail), one after the other in this order.
    Wanted {
        /// Which entry.
        index: u32,
        /// The bytes before this are there. If it is the whole size, only the hash is wanted.
        offset: u64,
        /// What these bytes hash to. If yours hash to something else, begin at 0.
        prefix: Option<Hash>,
    },
    /// An entry is not wanted.
    Skipped {
        /// Which entry.
        index: u32,
        /// Why.
        told: Told,
    },
    /// So much of a file is on the receiver's disk.
    Stored {
        /// Which entry.
        index: u32,
        /// Bytes from its beginning.
        offset: u64,
    },
    /// An entry has its final name, and its hash was right.
    Done {
        /// Which entry.
        index: u32,
    },
    /// The receiver could not store it. If it is the file being sent, there is nothing more to send of it.
    Failed {
        /// Which entry.
        index: u32,
        /// Why.
        told: Told,
    },
    /// Everything has its final name or is known not to. Nothing follows.
    Complete(Outcome),
    /// The receiver gave up. Nothing follows.
    Aborted(Told),
    /// The receiver broke the protocol. Nothing follows.
    Broken(Fault),
}

/// Why an entry can't be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotOffered {
    /// There are too many already.
    #[error("more than {MAX_ENTRIES} files and folders")]
    TooMany,
    /// Their paths are too long in all.
    #[error("paths of more than {MAX_NAMES} bytes in all")]
    Names,
    /// This path is too long.
    #[error("a path that is too long")]
    Path,
    /// The offer has ended.
    #[error(transparent)]
    OutOfTurn(#[from] OutOfTurn),
}
