//! The file of a store: what was read of it, and how it is changed.
//!
//! Records are added behind those that are there and brought to the disk; then the head, which says how many bytes count, is
//! written over the old one. A writer that is stopped anywhere leaves what the old head says, or the new one. Every now and
//! then the file is written anew and put in the old one's place.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use xtls_tls::trust::{Ledger, Store};

use super::PinsError;
use crate::private;

#[derive(Debug)]
pub(super) struct StoreFile {
    path: PathBuf,
    /// What was read last; `None` while there was no file.
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    /// `None`: it has to be read, or written, as a whole.
    ledger: Option<Ledger>,
}

/// What tells one version of the file from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Device, inode, and when the inode changed last.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
    /// The file had rested for a while when it was read. One that had not may change once more within the tick of the
    /// file system's clock, so it is looked into again (git's rule for its index).
    pub(super) settled: bool,
}

impl StoreFile {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            known: None,
        }
    }

    /// Until the returned file is dropped, nobody else writes.
    pub(super) fn lock(&self) -> Result<File, PinsError> {
        Ok(private::lock(&self.path)?)
    }

    /// What the file says, if that may be something else than `store`, which was read last.
    pub(super) fn refresh(&mut self, store: &Arc<Store>) -> Result<Option<Store>, PinsError> {
        match self.catch_up(store) {
            // It may have been read while it was written.
            Err(damaged @ PinsError::Damaged { .. }) => match self.lock() {
                Ok(_lock) => self.catch_up(store),
                Err(_) => Err(damaged),
            },
            found => found,
        }
    }

    /// The same, under the lock.
    pub(super) fn catch_up(&mut self, store: &Arc<Store>) -> Result<Option<Store>, PinsError> {
        let Some(mut file) = self.open()? else {
            return Ok(None);
        };
        let fresh = stamp_of(&file).map_err(|source| self.fault(source))?;
        if let Some(known) = &mut self.known {
            if fresh.settled && known.stamp == fresh {
                return Ok(None);
            }
            let read_on = known.read_on(&fresh, &mut file, store);
            if let Some(read_on) = read_on.map_err(|source| self.fault(source))? {
                return Ok(read_on);
            }
        }
        let (found, ledger) = self.read(&mut file)?;
        self.known = Some(Known {
            stamp: fresh,
            ledger,
        });
        Ok(Some(found))
    }

    /// Writes what a store says of these addresses. Under the lock, after [`catch_up`](Self::catch_up).
    pub(super) fn write(&mut self, store: &Store, jids: &[Arc<str>]) -> Result<(), PinsError> {
        let known = self.known.as_ref();
        let ledger = known.and_then(|known| known.ledger.clone());
        let written = match ledger.filter(|ledger| !ledger.is_worn()) {
            Some(ledger) => self.add(ledger, store, jids),
            None => replace(&self.path, store),
        };
        let known = written.map_err(|source| self.fault(source))?;
        self.known = Some(known);
        Ok(())
    }

    fn add(&mut self, mut ledger: Ledger, store: &Store, jids: &[Arc<str>]) -> io::Result<Known> {
        let end = after_head(ledger.length());
        let mut file = match private::open_to_change(&self.path) {
            Ok(Some(file)) => file,
            Ok(None) => return Err(io::ErrorKind::NotFound.into()),
            Err(private::Fault::System(error)) => return Err(error),
            Err(private::Fault::Exposed(exposed)) => return Err(io::Error::other(exposed)),
        };
        let text = ledger.add(store, jids);
        // What a writer that was stopped has left behind the end counts for nothing.
        file.set_len(end)?;
        if let Err(error) = write_at(&mut file, end, &text) {
            // Should this fail as well, it counts for nothing either.
            let _ = file.set_len(end);
            return Err(error);
        }
        if let Err(error) = write_at(&mut file, 0, &ledger.head()) {
            // Which of the two is on the disk has to be found out.
            if let Some(known) = &mut self.known {
                known.ledger = None;
            }
            return Err(error);
        }
        Ok(Known {
            stamp: stamp_of(&file)?,
            ledger: Some(ledger),
        })
    }

    /// The file as it is now, found private.
    fn open(&self) -> Result<Option<File>, PinsError> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            Some(_) | None => Path::new("."),
        };
        private::check_folder(folder).map_err(|fault| of_fault(folder, fault))?;
        match private::open(&self.path).map_err(|fault| of_fault(&self.path, fault))? {
            None if self.known.is_some() => Err(PinsError::Vanished {
                path: self.path.clone(),
            }),
            found => Ok(found),
        }
    }

    fn read(&self, from: &mut File) -> Result<(Store, Option<Ledger>), PinsError> {
        let mut bytes = Vec::new();
        let read = from.rewind().and_then(|()| from.read_to_end(&mut bytes));
        read.map_err(|source| self.fault(source))?;
        // Behind what counts there may be half a character.
        let head = bytes
            .get(..Ledger::HEAD)
            .and_then(|head| str::from_utf8(head).ok());
        if let Some(length) = head.and_then(Ledger::promised)
            && let Ok(end) = usize::try_from(after_head(length))
        {
            bytes.truncate(end);
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| self.fault(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        Ledger::read(&text).map_err(|source| PinsError::Damaged {
            path: self.path.clone(),
            source,
        })
    }

    fn fault(&self, source: io::Error) -> PinsError {
        PinsError::File {
            path: self.path.clone(),
            source,
        }
    }
}

impl Known {
    /// Reads what was added since; `None` when the file is another one, or has to be looked at as a whole.
    fn read_on(
        &mut self,
        fresh: &Stamp,
        file: &mut File,
        store: &Arc<Store>,
    ) -> io::Result<Option<Option<Store>>> {
        let Some(ledger) = self
            .ledger
            .as_mut()
            .filter(|_| self.stamp.is_of_file(fresh))
        else {
            return Ok(None);
        };
        let mut head = vec![0; Ledger::HEAD];
        if fresh.length < after_head(ledger.length()) || file.read_exact(&mut head).is_err() {
            return Ok(None);
        }
        let Ok(head) = str::from_utf8(&head) else {
            return Ok(None);
        };
        if head == ledger.head() {
            // Nobody has added anything; a file that was touched all the same is read.
            let same = self.stamp.is_same(fresh);
            self.stamp = fresh.clone();
            return Ok(same.then_some(None));
        }
        // The file may be longer by now, and a head that promises too much is damaged.
        let promised = Ledger::promised(head).filter(|length| after_head(*length) <= fresh.length);
        let more = promised.and_then(|length| length.checked_sub(ledger.length()));
        let Some(more) = more.and_then(|more| usize::try_from(more).ok()) else {
            return Ok(None);
        };
        let mut rest = vec![0; more];
        file.seek(SeekFrom::Start(after_head(ledger.length())))?;
        file.read_exact(&mut rest)?;
        let mut longer = Store::clone(store);
        let text = String::from_utf8(rest);
        let read = text.is_ok_and(|rest| ledger.read_on(head, &rest, &mut longer).is_ok());
        if !read {
            return Ok(None);
        }
        self.stamp = fresh.clone();
        Ok(Some(Some(longer)))
    }
}

/// Old or new content, never anything between, also when the machine stops here.
fn replace(path: &Path, store: &Store) -> io::Result<Known> {
    let (ledger, records) = Ledger::of(store);
    let (fresh, file) = private::write_beside(path, &(ledger.head() + &records))?;
    if let Err(error) = fs::rename(&fresh, path) {
        // A second failure changes nothing: the next writer throws it away.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    private::sync_folder(path)?;
    Ok(Known {
        stamp: stamp_of(&file)?,
        ledger: Some(ledger),
    })
}

/// Down to the disk.
fn write_at(file: &mut File, at: u64, text: &str) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

fn after_head(length: u64) -> u64 {
    u64::try_from(Ledger::HEAD)
        .unwrap_or(u64::MAX)
        .saturating_add(length)
}

fn stamp_of(file: &File) -> io::Result<Stamp> {
    Ok(stamp(&file.metadata()?, SystemTime::now()))
}

pub(super) fn stamp(metadata: &Metadata, now: SystemTime) -> Stamp {
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

impl Stamp {
    /// Whether both are of one file, in whatever version.
    fn is_of_file(&self, other: &Self) -> bool {
        #[cfg(unix)]
        {
            (self.inode.0, self.inode.1) == (other.inode.0, other.inode.1)
        }
        #[cfg(not(unix))]
        {
            let _ = other;
            true
        }
    }

    /// Whether both are of one version, as far as the clock of the file system can tell.
    fn is_same(&self, other: &Self) -> bool {
        let resting = |stamp: &Self| Self {
            settled: true,
            ..stamp.clone()
        };
        resting(self) == resting(other)
    }
}

fn of_fault(path: &Path, fault: private::Fault) -> PinsError {
    match fault {
        private::Fault::System(source) => PinsError::File {
            path: path.to_owned(),
            source,
        },
        private::Fault::Exposed(exposed) => exposed.into(),
    }
}

/// The coarsest clock of a file system that is still met (FAT: 2 s), and a margin.
pub(super) const TICK: Duration = Duration::from_secs(3);
