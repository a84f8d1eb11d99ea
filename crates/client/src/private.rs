//! Files that nobody else may read or change: ssh's rule.

use std::fs::{Metadata, OpenOptions};
use std::path::{Path, PathBuf};

/// A secret or a trust decision lies open to others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exposed {
    /// Other accounts of this machine may read or write it.
    #[error("{} can be used by others (mode {mode:03o}): make it private with `chmod {wanted:03o} {}`", .path.display(), .path.display())]
    Mode {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to another user (uid {owner})", .path.display())]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// It is not a plain file (or folder), perhaps a link that leads elsewhere.
    #[error("{} is neither a plain file nor a folder", .path.display())]
    Kind {
        /// The path.
        path: PathBuf,
    },
}

/// Options that create files for their owner alone.
pub(crate) fn options() -> OpenOptions {
    #[allow(unused_mut)]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options
}

/// Creates a folder, and those above it, for their owner alone.
pub(crate) fn folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Refuses what is not the user's alone. `metadata` is that of the path itself, not of what a link leads to.
pub(crate) fn check(path: &Path, metadata: &Metadata) -> Result<(), Exposed> {
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(Exposed::Kind {
            path: path.to_owned(),
        });
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
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
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
