//! The pin store on disk: checked whole, and changed by adding to it.
//!
//! The rules of trust are [`xtls_tls::trust::Store`]'s; here are only the file, its lock and what is written. A store that
//! cannot be read is an error and never an empty one.

mod file;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xtls_tls::Fingerprint;
use xtls_tls::trust::{FIRST_USES, Level, Method, PinError, Store, StoreError};

use crate::{private, unix_now};
use file::StoreFile;

/// The pins of one account.
#[derive(Debug)]
pub struct Pins {
    store: Arc<Store>,
    /// `None`: they are forgotten with the process.
    file: Option<StoreFile>,
    first_uses: usize,
}

/// A key that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    /// The bare address.
    pub bare: String,
    /// Its key.
    pub key: Fingerprint,
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
            file: None,
            first_uses: FIRST_USES,
        }
    }

    /// The pins in a file. A file that does not exist is a store that knows nobody; its folder must exist and be its
    /// user's alone.
    ///
    /// # Errors
    /// See [`PinsError`].
    pub fn open(path: &Path) -> Result<Self, PinsError> {
        let mut pins = Self {
            file: Some(StoreFile::new(path)),
            ..Self::memory()
        };
        pins.refresh()?;
        Ok(pins)
    }

    /// Sets how many keys are pinned on first use in a day (UTC). Default
    /// [`FIRST_USES`](xtls_tls::trust::FIRST_USES).
    pub fn limit_first_uses(&mut self, most: usize) {
        self.first_uses = most;
        let mut store = Store::clone(&self.store);
        store.limit_first_uses(most);
        self.store = Arc::new(store);
    }

    /// The pins as last read.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// Whether other processes may change them.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.file.is_some()
    }

    /// Reads what has changed in the file; says whether the pins have.
    ///
    /// # Errors
    /// See [`PinsError`]. The pins stay as they were.
    pub fn refresh(&mut self) -> Result<bool, PinsError> {
        let Some(file) = &mut self.file else {
            return Ok(false);
        };
        let Some(found) = file.refresh(&self.store)? else {
            return Ok(false);
        };
        Ok(self.take(found))
    }

    fn take(&mut self, mut found: Store) -> bool {
        if found == *self.store {
            return false;
        }
        found.limit_first_uses(self.first_uses);
        self.store = Arc::new(found);
        true
    }

    /// Pins a key that was met for the first time.
    ///
    /// # Errors
    /// See [`PinsError`]; a known address with another key is never overwritten.
    pub fn pin_first_use(&mut self, bare: &str, key: Fingerprint) -> Result<(), PinsError> {
        self.change(|store, now| store.pin(bare, key, Level::FirstUse, now))
    }

    /// Pins keys that were met for the first time, each by itself, and notes that others were met; all in one go. Says why
    /// a key was not pinned.
    pub fn meet(
        &mut self,
        first: &[Meeting],
        again: &[Meeting],
    ) -> Result<Vec<Result<(), String>>, PinsError> {
        self.change(|store, now| {
            for met in again {
                store.touch(&met.bare, &met.key, now);
            }
            let pin = |met: &Meeting| store.pin(&met.bare, met.key, Level::FirstUse, now);
            let pinned = first.iter().map(pin);
            Ok(pinned
                .map(|pinned| pinned.map_err(|why| why.to_string()))
                .collect())
        })
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

    /// Marks a key as one that did not stand a comparison. See
    /// [`Store::doubt_key`](xtls_tls::trust::Store::doubt_key).
    ///
    /// # Errors
    /// See [`PinsError`].
    pub fn doubt(&mut self, bare: &str, key: Fingerprint, by: Method) -> Result<(), PinsError> {
        self.change(|store, now| store.doubt_key(bare, key, by, now))
    }

    /// Changes the store: under the lock, on what the file says now, and either whole or not at all. `change` is given
    /// the time in unix seconds. What it leaves as it was is not written.
    ///
    /// # Errors
    /// See [`PinsError`]. The file says what it said before; only when the disk fails in the end it may be new.
    pub fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Store, i64) -> Result<T, PinError>,
    ) -> Result<T, PinsError> {
        let now = unix_now();
        let held = match &mut self.file {
            None => None,
            Some(file) => {
                let lock = file.lock()?;
                if let Some(found) = file.catch_up(&self.store)? {
                    self.take(found);
                }
                Some(lock)
            }
        };
        let mut store = Store::clone(&self.store);
        let changed = change(&mut store, now)?;
        let jids = store.differences(&self.store);
        if !jids.is_empty() {
            if let Some(file) = &mut self.file {
                file.write(&store, &jids)?;
            }
            self.store = Arc::new(store);
        }
        drop(held);
        Ok(changed)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
