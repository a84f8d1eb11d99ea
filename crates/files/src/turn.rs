//! What both machines tell their owners.

/// A call that does not fit what was done before: a fault of the caller. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a call of `{0}` out of turn")]
pub struct OutOfTurn(pub(crate) &'static str);

/// What became of the entries of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Stored, and made sure of.
    pub done: u32,
    /// Not stored, because they are there already or the receiver did not want them.
    pub skipped: u32,
    /// Not stored, because something went wrong.
    pub failed: u32,
}

impl Outcome {
    /// All of them.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.done
            .saturating_add(self.skipped)
            .saturating_add(self.failed)
    }
}

/// The place of an entry in a list.
pub(crate) fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// Files that a receiver may have asked for and not heard the end of.
pub const MAX_WANTS: usize = 64;

/// How often one file may be asked for: whether an existing one is the same, the rest of one, and twice from its beginning.
pub(crate) const MAX_TRIES: u8 = 4;

/// Bytes that wait to be sent, beyond which nothing is added that can wait.
pub(crate) const ROOM: usize = 131_072;
