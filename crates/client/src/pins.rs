//! The pin store on disk: read whole, checked whole, replaced whole.
//!
//! The rules of trust are [`xtls_tls::trust::Store`]'s; here are only the file, its lock and its replacement. A store that
//! cannot be read is an error and never an empty one.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use xtls_tls::Fingerprint;
use xtls_tls::trust::{Level, Method, PinError, Store, StoreError};

use crate::{private, unix_now};

/// The pins of one account.
#[derive(Debug)]
pub struct Pins {
    store: Arc<Store>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory,
    /// `stamp` is that of the file which `store` was read from; `None` while there was none.
    File {
        path: PathBuf,
        stamp: Option<Stamp>,
    },
}

/// What tells one version of the file from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Device, inode, and when the inode changed last: every version is another file.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
    /// The file had rested for a while when it was read. One that had not may change once more within the tick of the
    /// file system's clock, so it is read again (git's rule for its index).
    settled: bool,
}

/// Why the pins could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinsError {
    /// The file is damaged: it must be repaired or removed by hand, knowingly.
    #[error("the pin store {} is damaged: {source}; nothing is trusted until it is repaired", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: StoreError,
    },
    /// The file was there, and is not any more. What it said still holds for this process.
    #[error("the pin store {} has vanished while it was in use; nothing is pinned before it is back or this program starts anew", .path.display())]
    Vanished {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder cannot be used.
    #[error("the pin store {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others could read or change it.
    #[error(transparent)]
    Private(#[from] private::Exposed),
    /// Processes that change the file cannot be kept apart.
    #[error(transparent)]
    Lock(#[from] private::LockError),
    /// The change is against the rules of trust.
    #[error(transparent)]
    Pin(#[from] PinError),
}

impl Pins {
    /// Pins that are forgotten with the process.
    #[must_use]
    pub fn memory() -> Self {
        Self {
            store: Arc::new(Store::new()),
            place: Place::Memory,
        }
    }

    /// The pins in a file. A file that does not exist is a store that knows nobody; its folder must exist and be its
    /// user's alone.
    ///
    /// # Errors
    /// See [`PinsError`].
    pub fn open(path: &Path) -> Result<Self, PinsError> {
        let place = Place::File {
            path: path.to_owned(),
            stamp: None,
        };
        let mut pins = Self {
            store: Arc::new(Store::new()),
            place,
        };
        pins.refresh()?;
        Ok(pins)
    }

    /// The pins as last read.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// Reads the file again if it has changed; says whether the pins have.
    ///
    /// # Errors
    /// See [`PinsError`]. The pins stay as they were.
    pub fn refresh(&mut self) -> Result<bool, PinsError> {
        let Place::File { path, stamp } = &mut self.place else {
            return Ok(false);
        };
        let Some(mut found) = open(path, stamp.is_some())? else {
            return Ok(false);
        };
        let fresh = stamp_of(&found).map_err(|source| file(path, source))?;
        if fresh.settled && stamp.as_ref() == Some(&fresh) {
            return Ok(false);
        }
        let store = read(path, &mut found)?;
        *stamp = Some(fresh);
        if store == *self.store {
            return Ok(false);
        }
        self.store = Arc::new(store);
        Ok(true)
    }

    /// Pins a key that was met for the first time.
    ///
    /// # Errors
    /// See [`PinsError`]; a known address with another key is never overwritten.
    pub fn pin_first_use(&mut self, bare: &str, key: Fingerprint) -> Result<(), PinsError> {
        self.change(|store, now| store.pin(bare, key, Level::FirstUse, now))
    }

    /// Pins a key as verified, and lets the attempts before count no more.
    ///
    /// # Errors
    /// See [`PinsError`].
    pub fn verified(
        &mut self,
        bare: &str,
        key: Fingerprint,
        method: Method,
    ) -> Result<(), PinsError> {
        self.change(|store, now| store.verified(bare, key, method, now))
    }

    /// Counts an attempt to verify, before it is made; says how many may still fail. See
    /// [`Store::attempt`](xtls_tls::trust::Store::attempt).
    ///
    /// # Errors
    /// See [`PinsError`]: no further attempt may be made now.
    pub fn attempt(&mut self, bare: &str, tag: Option<u16>) -> Result<usize, PinsError> {
        self.change(|store, now| store.attempt(bare, tag, now))
    }

    /// Changes the store: under the lock, on what the file says now, and either whole or not at all. `change` is given
    /// the time in unix seconds.
    ///
    /// # Errors
    /// See [`PinsError`]. The file is as it was then; only when its folder cannot be flushed to the disk it may be new.
    pub fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Store, i64) -> Result<T, PinError>,
    ) -> Result<T, PinsError> {
        let now = unix_now();
        let Place::File { path, stamp } = &mut self.place else {
            let mut store = Store::clone(&self.store);
            let changed = change(&mut store, now)?;
            self.store = Arc::new(store);
            return Ok(changed);
        };
        let _lock = private::lock(path)?;
        let mut store = match open(path, stamp.is_some())? {
            Some(mut found) => read(path, &mut found)?,
            None => Store::new(),
        };
        let changed = change(&mut store, now)?;
        let fresh = replace(path, &store.to_text()).map_err(|source| file(path, source))?;
        *stamp = Some(fresh);
        self.store = Arc::new(store);
        Ok(changed)
    }
}

/// The file as it is now, found private. `known`: it has been there before.
fn open(path: &Path, known: bool) -> Result<Option<File>, PinsError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    private::check_folder(folder).map_err(|fault| of_fault(folder, fault))?;
    match private::open(path).map_err(|fault| of_fault(path, fault))? {
        None if known => Err(PinsError::Vanished {
            path: path.to_owned(),
        }),
        found => Ok(found),
    }
}

fn read(path: &Path, from: &mut File) -> Result<Store, PinsError> {
    let mut text = String::new();
    from.read_to_string(&mut text)
        .map_err(|source| file(path, source))?;
    Store::parse(&text).map_err(|source| PinsError::Damaged {
        path: path.to_owned(),
        source,
    })
}

/// Old or new content, never anything between, also when the machine stops here.
fn replace(path: &Path, text: &str) -> io::Result<Stamp> {
    let (fresh, file) = private::write_beside(path, text)?;
    if let Err(error) = fs::rename(&fresh, path) {
        // A second failure changes nothing: the next writer throws it away.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    private::sync_folder(path)?;
    stamp_of(&file)
}

fn stamp_of(file: &File) -> io::Result<Stamp> {
    Ok(stamp(&file.metadata()?, SystemTime::now()))
}

fn stamp(metadata: &Metadata, now: SystemTime) -> Stamp {
    let modified = metadata.modified().ok();
    let settled = modified
        .and_then(|modified| now.duration_since(modified).ok())
        .is_some_and(|rested| rested > TICK);
    Stamp {
        modified,
        length: metadata.len(),
        #[cfg(unix)]
        inode: {
            use std::os::unix::fs::MetadataExt as _;
            let (device, inode) = (metadata.dev(), metadata.ino());
            (device, inode, metadata.ctime(), metadata.ctime_nsec())
        },
        settled,
    }
}

fn of_fault(path: &Path, fault: private::Fault) -> PinsError {
    match fault {
        private::Fault::System(source) => file(path, source),
        private::Fault::Exposed(exposed) => exposed.into(),
    }
}

fn file(path: &Path, source: io::Error) -> PinsError {
    PinsError::File {
        path: path.to_owned(),
        source,
    }
}

/// The coarsest clock of a file system that is still met (FAT: 2 s), and a margin.
const TICK: Duration = Duration::from_secs(3);

#[cfg(test)]
#[cfg(unix)]
#[path = "pins_tests.rs"]
mod tests;
