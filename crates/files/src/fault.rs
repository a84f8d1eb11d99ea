//! What a peer did wrong.

/// How the other end broke the protocol. Nothing it sends afterwards is looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A later version of the protocol, or none.
    #[error("the other end speaks version {0} of the protocol for files, this one version 1")]
    Version(u8),
    /// A frame that is longer than one may be.
    #[error("a frame `{frame}` of {length} bytes, {most} are allowed")]
    TooLong {
        /// Which frame.
        frame: &'static str,
        /// What its head says.
        length: usize,
        /// The limit.
        most: usize,
    },
    /// A frame of a type that may not be skipped.
    #[error("a frame of type {0:#04x}, which this version does not know")]
    Unknown(u8),
    /// A frame that does not have the form of its type.
    #[error("a frame `{0}` that is malformed")]
    Malformed(&'static str),
    /// A frame that has no place here.
    #[error("a frame `{0}` out of turn")]
    OutOfTurn(&'static str),
    /// An entry that was not offered.
    #[error("a frame `{frame}` about entry {index}, of {entries}")]
    NoSuchEntry {
        /// Which frame.
        frame: &'static str,
        /// The entry.
        index: u32,
        /// How many there are.
        entries: u32,
    },
    /// Something about an entry that does not stand where that would be possible.
    #[error("a frame `{frame}` about entry {index}, which is not at that point")]
    WrongEntry {
        /// Which frame.
        frame: &'static str,
        /// The entry.
        index: u32,
    },
    /// A place in a file that is beyond its end, or not the one that was asked for.
    #[error("a frame `{frame}` at byte {offset} of entry {index}")]
    WrongOffset {
        /// Which frame.
        frame: &'static str,
        /// The entry.
        index: u32,
        /// The place.
        offset: u64,
    },
    /// More bytes than the file was said to have, or fewer.
    #[error("entry {index} was said to have {size} bytes, and has {got}")]
    WrongSize {
        /// The entry.
        index: u32,
        /// What was offered.
        size: u64,
        /// How far what came would reach.
        got: u64,
    },
    /// A compressed block that does not give what its head says.
    #[error("a compressed block that does not give {0} bytes")]
    Unpacking(u32),
    /// Compression, which this end has said it can't read.
    #[error("a compressed block, which this end did not ask for")]
    NotAsked,
    /// More entries than one offer may have.
    #[error("an offer of more than {0} entries")]
    TooManyEntries(u32),
    /// Longer names, in all, than one offer may have.
    #[error("an offer with more than {0} bytes of names")]
    TooManyNames(usize),
    /// An offer whose end does not fit it.
    #[error("an offer that says {said} and has {has} {what}")]
    Miscounted {
        /// What is counted.
        what: &'static str,
        /// What its end says.
        said: u64,
        /// What came.
        has: u64,
    },
    /// More files asked for at a time than that may be.
    #[error("more than {0} files asked for at a time")]
    TooManyWants(usize),
    /// A file asked for again and again.
    #[error("entry {0} asked for too often")]
    WantedTooOften(u32),
}
