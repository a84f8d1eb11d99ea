//! A folder by its handle: what is below it is reached from there by one name at a time, and no link is followed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::entry::Date;

/// A folder that is open.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    fd: Arc<OwnedFd>,
}

/// What there is under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) file: bool,
    pub(crate) size: u64,
    pub(crate) date: Date,
    /// Device and number: which file it is.
    pub(crate) id: (u64, u64),
}

impl Found {
    // The types of these fields differ between systems.
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_cast,
        reason = "necessary on other systems"
    )]
    fn new(stat: &Stat) -> Self {
        Self {
            file: FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            date: Date {
                seconds: i64::from(stat.st_mtime),
                nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
            },
            id: (stat.st_dev as u64, stat.st_ino as u64),
        }
    }

    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::new(&rustix::fs::fstat(file)?))
    }
}

impl Folder {
    /// Opens a folder that its owner has named; links on the way are the owner's.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = Arc::new(rustix::fs::open(path, flags, Mode::empty())?);
        Ok(Self { fd })
    }

    /// The folder of this name in it, which is made if there is none.
    pub(crate) fn below(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        self.open_below(name)
    }

    /// The folder of this name in it; a link is none.
    pub(crate) fn open_below(&self, name: impl rustix::path::Arg) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        Ok(Self { fd: Arc::new(fd) })
    }

    /// Bytes of all files below the folder of this name, `depth` folders deep.
    pub(crate) fn measure(&self, name: impl rustix::path::Arg, depth: usize) -> io::Result<u64> {
        let folder = self.open_below(name)?;
        let mut bytes: u64 = 0;
        for child in Dir::read_from(&folder.fd)? {
            let child = child?;
            let name = child.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let stat = rustix::fs::statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let more = match is_folder && depth > 0 {
                true => folder.measure(name, depth - 1)?,
                false => Found::new(&stat).size,
            };
            bytes = bytes.saturating_add(more);
        }
        Ok(bytes)
    }

    /// What is under this name, links not followed.
    pub(crate) fn look(&self, name: &str) -> io::Result<Option<Found>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found::new(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a regular file for reading.
    pub(crate) fn read(&self, name: &str) -> io::Result<File> {
        // A pipe would not open before somebody writes to it.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        regular(File::from(fd))
    }

    /// Opens a regular file for reading and writing; `create`: makes it if there is none.
    pub(crate) fn write(&self, name: &str, create: bool) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let flags = if create {
            flags | OFlags::CREATE
        } else {
            flags
        };
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o666))?;
        regular(File::from(fd))
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Gives a file or folder in it another name. What has that name already stays: that is an error of the kind `AlreadyExists`.
    pub(crate) fn rename(&self, from: &str, to: &str, folder: bool) -> io::Result<()> {
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // The file system, or the system, knows no such renaming.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                self.rename_by_hand(from, to, folder)
            }
            done => Ok(done?),
        }
    }

    fn rename_by_hand(&self, from: &str, to: &str, folder: bool) -> io::Result<()> {
        if folder {
            // A folder may take the place of an empty one, which is ours.
            rustix::fs::mkdirat(&self.fd, to, Mode::from_raw_mode(0o777))?;
            return Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?);
        }
        rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?;
        self.remove(from)
    }

    /// Waits until the names in it are on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.fd) {
            // Some file systems have nothing to wait for.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes that its owner may still write.
    pub(crate) fn free(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&*self.fd)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Makes sure that no other program uses it, as long as this handle is open.
    pub(crate) fn lock(&self) -> io::Result<bool> {
        lock(&File::from(self.fd.try_clone()?))
    }
}

/// Whether nobody else has this file locked. Where there are no locks, nobody has.
pub(crate) fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(_)) => Ok(true),
    }
}

fn regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(Errno::LOOP.into()),
    }
}
