//! Files that nobody else may read or change: ssh's rule.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

mod above;
mod lock;
mod write;

pub(crate) use above::check as check_above;
pub use lock::LockError;
pub(crate) use lock::lock;
pub(crate) use write::{put_new, sync_folder, write_beside};

/// A secret or a trust decision lies open to others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exposed {
    /// Other accounts of this machine may read or write it.
    #[error("{} can be used by others (mode {mode:03o}) and should be its owner's alone (mode {wanted:03o})", .path.display())]
    Mode {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// Others may change a folder above it, and so put something else in its place.
    #[error("others may write to the folder {} (mode {mode:03o}), and put another folder in the place of one below it", .path.display())]
    Above {
        /// The folder above.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to another user (uid {owner})", .path.display())]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// It is something else, perhaps a link that leads elsewhere.
    #[error("{} is not {wanted}; links are not followed", .path.display())]
    Kind {
        /// The path.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
}

/// Why a private file cannot be used.
#[derive(Debug)]
pub(crate) enum Fault {
    System(io::Error),
    Exposed(Exposed),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Exposed> for Fault {
    fn from(exposed: Exposed) -> Self {
        Self::Exposed(exposed)
    }
}

/// What a path should lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
}

/// Opens a file for reading and refuses what is not the user's alone; `None` when there is none. What was checked is
/// what is read, whatever happens to the name meanwhile.
pub(crate) fn open(path: &Path) -> Result<Option<File>, Fault> {
    open_with(path, options().read(true))
}

/// As [`open`], to be changed in place too.
pub(crate) fn open_to_change(path: &Path) -> Result<Option<File>, Fault> {
    open_with(path, options().read(true).write(true))
}

fn open_with(path: &Path, options: &OpenOptions) -> Result<Option<File>, Fault> {
    #[cfg(not(unix))]
    match fs::symlink_metadata(path) {
        Ok(metadata) => check(path, &metadata, Kind::File)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if is_link(&error) => return Err(not_a(path, Kind::File).into()),
        Err(error) => return Err(error.into()),
    };
    check(path, &file.metadata()?, Kind::File)?;
    Ok(Some(file))
}

/// Refuses a folder that is not there or not the user's alone.
pub(crate) fn check_folder(path: &Path) -> Result<(), Fault> {
    check(path, &fs::symlink_metadata(path)?, Kind::Folder)?;
    Ok(())
}

/// Creates a folder, and those above it, for their owner alone.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Options that create files for their owner alone, follow no link and wait for no pipe.
fn options() -> OpenOptions {
    #[allow(unused_mut, reason = "nothing to add on other systems")]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.mode(0o600).custom_flags(flags.bits().cast_signed());
    }
    options
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

/// Refuses what is not the user's alone. `metadata` is that of the path itself, not of what a link leads to.
fn check(path: &Path, metadata: &Metadata, kind: Kind) -> Result<(), Exposed> {
    let fits = match kind {
        Kind::File => metadata.is_file(),
        Kind::Folder => metadata.is_dir(),
    };
    if !fits {
        return Err(not_a(path, kind));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let owner = metadata.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(Exposed::Owner {
                path: path.to_owned(),
                owner,
            });
        }
        let mode = metadata.mode() & 0o777;
        let wanted = match kind {
            Kind::File => 0o600,
            Kind::Folder => 0o700,
        };
        if mode & 0o077 != 0 {
            return Err(Exposed::Mode {
                path: path.to_owned(),
                mode,
                wanted,
            });
        }
    }
    Ok(())
}

fn not_a(path: &Path, kind: Kind) -> Exposed {
    let wanted = match kind {
        Kind::File => "a plain file",
        Kind::Folder => "a folder",
    };
    Exposed::Kind {
        path: path.to_owned(),
        wanted,
    }
}

/// The system's word on a link that must not be followed.
fn is_link(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
