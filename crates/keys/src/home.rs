//! Where an account's key and pins live.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use xtls_stanza::Address;
use xtls_tls::trust::Day;
use xtls_tls::{Identity, IdentityError};
use zeroize::Zeroizing;

use crate::pins::{Pins, PinsError};
use crate::{private, unix_now};

/// A folder with one folder for each account: `key.pem` (0600) and `pins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Why a key could not be read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// A file or folder cannot be used.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others could read or change it.
    #[error(transparent)]
    Private(#[from] private::Exposed),
    /// Processes cannot be kept apart while a key is made.
    #[error(transparent)]
    Lock(#[from] private::LockError),
    /// A key carries the day on which it was made, and the clock of this machine cannot be right.
    #[error("the clock of this machine says {}, which cannot be; no key was made", Day(*.seconds))]
    Clock {
        /// What it says, in unix seconds.
        seconds: i64,
    },
    /// The key file is damaged.
    #[error("the key file {}: {source}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: IdentityError,
    },
    /// The key file is another account's.
    #[error("the key file {} is {found}'s, not {wanted}'s", .path.display())]
    Account {
        /// The file.
        path: PathBuf,
        /// Whose key it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// The operating system gives no random bytes.
    #[error("no random bytes for a key: {0}")]
    Random(io::Error),
    /// The pin store.
    #[error(transparent)]
    Pins(#[from] PinsError),
}

impl Home {
    /// The folder `root`, which need not exist yet.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder of one account.
    #[must_use]
    pub fn account(&self, account: &Address) -> PathBuf {
        self.root.join(folder_name(account.bare()))
    }

    /// The accounts that have a key here, in order.
    ///
    /// # Errors
    /// When the folder cannot be listed, others could exchange it, or one of the keys cannot be read.
    pub fn accounts(&self) -> Result<Vec<Address>, HomeError> {
        private::check_above(&self.root).map_err(|fault| of_fault(&self.root, fault))?;
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(file(&self.root, source)),
        };
        let mut accounts = Vec::new();
        for entry in entries {
            let folder = entry.map_err(|source| file(&self.root, source))?;
            let path = folder.path().join(KEY);
            if !path.is_file() {
                continue;
            }
            let Some(identity) = read_key(&path)? else {
                continue;
            };
            if folder.file_name() != *folder_name(identity.jid()) {
                let wanted = folder.file_name().to_string_lossy().into_owned();
                return Err(another(path, &identity, wanted));
            }
            accounts.extend(Address::new(identity.jid()).ok());
        }
        accounts.sort();
        Ok(accounts)
    }

    /// The account's own key; `None` while it has none. Nothing is made.
    ///
    /// # Errors
    /// See [`HomeError`].
    pub fn key(&self, account: &Address) -> Result<Option<Identity>, HomeError> {
        if !self.has(account)? {
            return Ok(None);
        }
        key_of(&self.account(account).join(KEY), account)
    }

    /// Whether the account has a folder here, for a key, pins or both, and it is the user's alone.
    ///
    /// # Errors
    /// See [`HomeError`].
    pub fn has(&self, account: &Address) -> Result<bool, HomeError> {
        let folder = self.account(account);
        private::check_above(&self.root).map_err(|fault| of_fault(&self.root, fault))?;
        match private::check_folder(&folder) {
            Ok(()) => Ok(true),
            Err(private::Fault::System(error)) if error.kind() == io::ErrorKind::NotFound => {
                Ok(false)
            }
            Err(fault) => Err(of_fault(&folder, fault)),
        }
    }

    /// The account's own key, made on first use. Processes that ask at once get the same.
    ///
    /// # Errors
    /// See [`HomeError`]: an exposed, damaged or foreign key file is never replaced.
    pub fn identity(&self, account: &Address) -> Result<Identity, HomeError> {
        self.identity_at(account, unix_now())
    }

    fn identity_at(&self, account: &Address, now: i64) -> Result<Identity, HomeError> {
        if let Some(identity) = self.key(account)? {
            return Ok(identity);
        }
        if now < EARLIEST {
            return Err(HomeError::Clock { seconds: now });
        }
        let path = self.ready(account)?.join(KEY);
        create_key(&path, account, now)
    }

    /// The account's pins, in its folder, which is made if there is none.
    ///
    /// # Errors
    /// See [`PinsError`].
    pub fn pins(&self, account: &Address) -> Result<Pins, HomeError> {
        let folder = self.ready(account)?;
        Ok(Pins::open(&folder.join("pins"))?)
    }

    /// The account's folder, made and found private.
    fn ready(&self, account: &Address) -> Result<PathBuf, HomeError> {
        let folder = self.account(account);
        if !self.has(account)? {
            private::folder(&folder).map_err(|source| file(&folder, source))?;
            // Somebody may have been quicker, above as well.
            private::check_above(&self.root).map_err(|fault| of_fault(&self.root, fault))?;
            private::check_folder(&folder).map_err(|fault| of_fault(&folder, fault))?;
        }
        Ok(folder)
    }
}

/// Makes the key, unless another process was quicker. It is written beside and then named: a key file is whole or
/// absent, and never overwritten.
fn create_key(path: &Path, account: &Address, now: i64) -> Result<Identity, HomeError> {
    let _lock = private::lock(path)?;
    if let Some(identity) = key_of(path, account)? {
        return Ok(identity);
    }
    let mut seed = Zeroizing::new([0_u8; 32]);
    getrandom::fill(seed.as_mut_slice())
        .map_err(|error| HomeError::Random(io::Error::other(error.to_string())))?;
    let identity = match Identity::generate(account.bare(), &seed, now) {
        Err(IdentityError::Created { seconds }) => return Err(HomeError::Clock { seconds }),
        made => made.map_err(|source| damaged(path, source))?,
    };
    let pem = identity.to_pem();
    let (fresh, _) = private::write_beside(path, &pem).map_err(|source| file(path, source))?;
    private::put_new(&fresh, path).map_err(|source| file(path, source))?;
    private::sync_folder(path).map_err(|source| file(path, source))?;
    Ok(identity)
}

/// The key in the account's file, if there is one.
fn key_of(path: &Path, account: &Address) -> Result<Option<Identity>, HomeError> {
    match read_key(path)? {
        Some(identity) if identity.jid() != account.bare() => Err(another(
            path.to_owned(),
            &identity,
            account.bare().to_owned(),
        )),
        found => Ok(found),
    }
}

/// The key in a file, found private; `None` when there is no file.
fn read_key(path: &Path) -> Result<Option<Identity>, HomeError> {
    let Some(found) = private::open(path).map_err(|fault| of_fault(path, fault))? else {
        return Ok(None);
    };
    // With room for the longest, so that the text is never copied to a place that is not wiped.
    let mut pem = Zeroizing::new(String::with_capacity(KEY_LIMIT + 64));
    let limit = u64::try_from(KEY_LIMIT).unwrap_or(u64::MAX);
    found
        .take(limit)
        .read_to_string(&mut pem)
        .map_err(|source| file(path, source))?;
    let identity = Identity::from_pem(&pem).map_err(|source| damaged(path, source))?;
    Ok(Some(identity))
}

fn another(path: PathBuf, identity: &Identity, wanted: String) -> HomeError {
    let found = identity.jid().to_owned();
    HomeError::Account {
        path,
        found,
        wanted,
    }
}

fn of_fault(path: &Path, fault: private::Fault) -> HomeError {
    match fault {
        private::Fault::System(source) => file(path, source),
        private::Fault::Exposed(exposed) => exposed.into(),
    }
}

fn damaged(path: &Path, source: IdentityError) -> HomeError {
    HomeError::Key {
        path: path.to_owned(),
        source,
    }
}

fn file(path: &Path, source: io::Error) -> HomeError {
    HomeError::File {
        path: path.to_owned(),
        source,
    }
}

/// A bare address as a folder name: letters, digits and `@.-_+` stay, other octets become `%XX`. A name that would be too
/// long for a file system (30 Chinese letters are) is cut and goes on with `~` and the SHA-256 of the address, whose key
/// file holds it whole. Two addresses never share a name, and none leads out of the folder.
fn folder_name(bare: &str) -> String {
    let mut name = String::with_capacity(bare.len());
    // Where the name may be cut: never within a `%XX`.
    let mut cut = 0;
    for (at, octet) in bare.bytes().enumerate() {
        let plain = octet.is_ascii_alphanumeric()
            || matches!(octet, b'@' | b'-' | b'_' | b'+')
            || (octet == b'.' && at > 0);
        if plain {
            name.push(char::from(octet));
        } else {
            name.push_str(&format!("%{octet:02X}"));
        }
        if name.len() <= LONGEST_NAME - HASH {
            cut = name.len();
        }
    }
    if name.len() > LONGEST_NAME {
        name.truncate(cut);
        name.push('~');
        name.extend(
            Sha256::digest(bare)
                .iter()
                .map(|byte| format!("{byte:02x}")),
        );
    }
    name
}

/// Bytes in a name that file systems take (NAME_MAX).
const LONGEST_NAME: usize = 255;

/// What takes the place of the rest: `~` and 64 digits.
const HASH: usize = 65;

/// 2025-01-01, in unix seconds: older than any key. A machine without a battery starts in 1970.
const EARLIEST: i64 = 1_735_689_600;

const KEY: &str = "key.pem";

/// A key file is about 900 bytes.
const KEY_LIMIT: usize = 16 * 1024;

#[cfg(test)]
#[cfg(unix)]
mod tests;
