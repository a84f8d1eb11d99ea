//! What is offered: files and folders.

/// A file or a folder of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands below what was named to the sender; the names on the way are separated by `/`. What a receiver is given
    /// has been through [`name::check`](crate::name::check).
    pub path: Box<str>,
    /// File or folder.
    pub kind: Kind,
    /// Bytes of a file; of a folder 0.
    pub size: u64,
    /// When it was last changed.
    pub date: Date,
    /// Whether its owner may run it. There are no other permissions on the wire.
    pub executable: bool,
}

impl Entry {
    /// A file, not executable.
    pub fn file(path: impl Into<Box<str>>, size: u64, date: Date) -> Self {
        let (path, kind) = (path.into(), Kind::File);
        Self {
            path,
            kind,
            size,
            date,
            executable: false,
        }
    }

    /// A folder.
    pub fn folder(path: impl Into<Box<str>>, date: Date) -> Self {
        Self {
            kind: Kind::Folder,
            ..Self::file(path, 0, date)
        }
    }
}

/// What an entry is. Nothing else is sent: neither links nor devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder, perhaps an empty one.
    Folder,
}

/// A time, counted from the beginning of 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Date {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest, below 1,000,000,000.
    pub nanos: u32,
}

/// How much an offer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Files.
    pub files: u32,
    /// Folders.
    pub folders: u32,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Totals {
    /// Adds an entry. A sum that does not fit is the largest number.
    pub(crate) fn add(&mut self, kind: Kind, size: u64) {
        match kind {
            Kind::File => {
                self.files = self.files.saturating_add(1);
                self.bytes = self.bytes.saturating_add(size);
            }
            Kind::Folder => self.folders = self.folders.saturating_add(1),
        }
    }

    /// Files and folders.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.files.saturating_add(self.folders)
    }
}

/// Entries of one offer.
pub const MAX_ENTRIES: u32 = 1_000_000;

/// Bytes of all their paths.
pub const MAX_NAMES: usize = 67_108_864;
