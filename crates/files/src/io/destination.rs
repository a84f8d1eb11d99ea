//! Where files go, what somebody is asked about them, and what becomes of them.

use std::io;
use std::path::PathBuf;

use super::Ended;
use crate::disk::probe::Probe;
use crate::disk::settle::Existing;
use crate::entry::{Entry, Totals};
use crate::name::NameFault;
use crate::reason::{Reason, Told, turned_down};
use crate::turn::{OutOfTurn, Outcome};

/// Where files go, and from whom.
#[derive(Debug, Clone)]
pub struct Destination {
    pub(super) folder: PathBuf,
    pub(super) peer: String,
    pub(super) existing: Existing,
    pub(super) hidden: bool,
    pub(super) probe: Probe,
}

impl Destination {
    /// Into `folder`, from `peer`: the proven address of the sender, without its resource. Files of which a part is there are
    /// continued for the same sender only.
    pub fn new(folder: impl Into<PathBuf>, peer: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            peer: peer.into(),
            existing: Existing::default(),
            hidden: false,
            probe: Probe::default(),
        }
    }

    /// What happens if something has the name of a file. Nothing is overwritten.
    #[must_use]
    pub fn existing(mut self, existing: Existing) -> Self {
        self.existing = existing;
        self
    }

    /// Takes files and folders, too, whose names begin with a dot. Within folders they are always taken.
    #[must_use]
    pub fn hidden(mut self, hidden: bool) -> Self {
        self.hidden = hidden;
        self
    }

    #[cfg(test)]
    pub(crate) fn probe(mut self, probe: Probe) -> Self {
        self.probe = probe;
        self
    }
}

/// What somebody is asked about.
#[derive(Debug, Clone)]
pub struct Offer {
    /// How much it is.
    pub totals: Totals,
    /// What stands at the top, at most [`MAX_LISTED`] of it: what its owner will see in the folder.
    pub tops: Vec<Entry>,
    /// How many more there are of these.
    pub more: usize,
    /// Names that are not taken, at most [`MAX_LISTED`] of them, made fit to be shown.
    pub refused: Vec<(Box<str>, NameFault)>,
    /// How many more there are of these.
    pub more_refused: usize,
    /// Bytes that are free where the files go.
    pub free: u64,
    /// Bytes of it that are there already, if it matters: if there is not enough room for all of it.
    pub there: u64,
}

impl Offer {
    /// Why it is refused without asking anybody.
    pub(super) fn refusal(&self) -> Option<Told> {
        let needed = self.totals.bytes.saturating_sub(self.there);
        if needed <= self.free {
            return None;
        }
        let text = format!("{needed} bytes are needed, {} are free", self.free);
        Some(Told::new(Reason::NoSpace, text))
    }
}

/// What was decided about an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is taken.
    Accept,
    /// It is not, for this reason.
    Refuse(Told),
}

/// What happens while files are received. `total` counts the bytes of all files that are there, those that were before among them.
#[derive(Debug)]
#[non_exhaustive]
pub enum Receiving<'a> {
    /// A file comes, from `offset` on.
    Began {
        /// The file.
        entry: &'a Entry,
        /// Bytes that are there.
        offset: u64,
        /// Bytes of all files that are there.
        total: u64,
    },
    /// More of a file is there.
    Stored {
        /// The file.
        entry: &'a Entry,
        /// Bytes that are there.
        offset: u64,
        /// Bytes of all files that are there.
        total: u64,
    },
    /// A file or folder is complete.
    Done {
        /// Which.
        entry: &'a Entry,
        /// Where it is, below the destination. Its topmost folder gets its name when everything is there.
        path: &'a str,
        /// Bytes of all files that are there.
        total: u64,
    },
    /// One is not taken: it is there, or its name is not one that is taken.
    Skipped {
        /// Which; the path of a misnamed one is for showing only.
        entry: &'a Entry,
        /// Why.
        told: &'a Told,
        /// Bytes of all files that are there.
        total: u64,
    },
    /// One could not be stored, or not be sent.
    Failed {
        /// Which.
        entry: &'a Entry,
        /// Why.
        told: &'a Told,
        /// Whether it is this end that failed.
        here: bool,
    },
}

/// What was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What became of the entries.
    pub outcome: Outcome,
    /// The names that folders got at the top of the destination, where these are not the ones that were offered too.
    pub folders: Vec<String>,
    /// Whether the sender knows that all this is so: its good-bye came.
    pub known: bool,
}

/// Why nothing, or not everything, was received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// It was decided so, or there was no room for it.
    #[error("{}", turned_down(.0))]
    Refused(Told),
    /// The stream ended.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The disk is full. What is there is kept.
    #[error("the disk of {} is full; what is there is kept", .folder.display())]
    DiskFull {
        /// The destination.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The disk failed. What is there is kept.
    #[error("cannot write below {}; what is there is kept", .folder.display())]
    Disk {
        /// The destination.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The destination can't be opened.
    #[error("cannot open the folder {}", .folder.display())]
    Folder {
        /// The destination.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The thread that writes has panicked.
    #[error("writing files has failed")]
    Writing,
}

impl From<OutOfTurn> for ReceiveError {
    fn from(_: OutOfTurn) -> Self {
        Self::Writing
    }
}

/// Names of one kind that an [`Offer`] lists.
pub const MAX_LISTED: usize = 16;
