//! The pin store on disk: read whole, checked whole, replaced whole.
//!
//! The rules of trust are [`xtls_tls::trust::Store`]'s; here are only the file, its lock and its replacement. A store that
//! cannot be read is an error and never an empty one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use xtls_tls::Fingerprint;
use xtls_tls::trust::{Level, PinError, Store, StoreError};

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
    File { path: PathBuf, stamp: Option<Stamp> },
}

/// What tells one version of the file from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
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

    /// The pins in a file. A file that does not exist is a store that knows nobody; its folder must exist.
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

    /// Reads the file again if it has changed; says whether it had.
    ///
    /// # Errors
    /// See [`PinsError`]. The pins stay as they were.
    pub fn refresh(&mut self) -> Result<bool, PinsError> {
        let Place::File { path, stamp } = &mut self.place else {
            return Ok(false);
        };
        let found = stamp_of(path)?;
        if found.is_some() && found == *stamp {
            return Ok(false);
        }
        let store = read(path)?;
        *stamp = found;
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

    /// Changes the store: under the lock, on what the file says now, and either whole or not at all.
    ///
    /// # Errors
    /// See [`PinsError`]; on any error the file is as it was.
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
        let _lock = lock(path)?;
        let mut store = read(path)?;
        let changed = change(&mut store, now)?;
        replace(path, &store.to_text()).map_err(|source| file(path, source))?;
        *stamp = stamp_of(path)?;
        self.store = Arc::new(store);
        Ok(changed)
    }
}

fn read(path: &Path) -> Result<Store, PinsError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => private::check(path, &metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Store::new()),
        Err(source) => return Err(file(path, source)),
    }
    let text = fs::read_to_string(path).map_err(|source| file(path, source))?;
    Store::parse(&text).map_err(|source| PinsError::Damaged {
        path: path.to_owned(),
        source,
    })
}

fn stamp_of(path: &Path) -> Result<Option<Stamp>, PinsError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(Stamp {
            modified: metadata.modified().ok(),
            length: metadata.len(),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(file(path, source)),
    }
}

/// Writers of one store wait for each other on a file that is never replaced.
fn lock(path: &Path) -> Result<File, PinsError> {
    let path = path.with_extension("lock");
    let lock = private::options()
        .read(true)
        .write(true)
        .create(true)
        .open(&path)
        .map_err(|source| file(&path, source))?;
    lock.lock().map_err(|source| file(&path, source))?;
    Ok(lock)
}

/// Old or new content, never anything between, also when the machine stops here.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension(format!("new.{}", std::process::id()));
    let written = (|| {
        let mut out = private::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&fresh)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&fresh, path)
    })();
    if written.is_err() {
        // The name of a file that was never put in place is free again; a second failure changes nothing.
        let _ = fs::remove_file(&fresh);
    }
    written?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn file(path: &Path, source: io::Error) -> PinsError {
    PinsError::File {
        path: path.to_owned(),
        source,
    }
}
