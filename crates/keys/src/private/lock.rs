//! One process at a time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{beside, options};

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("the lock file {}: {source}", .path.display())]
pub struct LockError {
    /// The lock file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl LockError {
    /// Whether the file is there, but the file system has no locks: NFS without its lock service, some FUSE.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        #[cfg(unix)]
        {
            use rustix::io::Errno;
            let known = [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS];
            let raw = self.source.raw_os_error();
            known.iter().any(|errno| raw == Some(errno.raw_os_error()))
        }
        #[cfg(not(unix))]
        {
            self.source.kind() == io::ErrorKind::Unsupported
        }
    }
}

/// Waits until nobody else holds the lock of this path: a file beside it that is never replaced. The lock ends with the
/// returned file.
///
/// Where the file system has no locks there is none: a file that is created exclusively would be left behind by a process
/// that was killed, and would not exclude another machine that can lock. A revocation is not worth that risk.
pub(crate) fn lock(path: &Path) -> Result<File, LockError> {
    lock_with(path, File::lock)
}

fn lock_with(path: &Path, lock: impl FnOnce(&File) -> io::Result<()>) -> Result<File, LockError> {
    let path = beside(path, "lock");
    let locked = options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .and_then(|file| lock(&file).map(|()| file));
    locked.map_err(|source| LockError { path, source })
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
