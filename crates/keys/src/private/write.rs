//! Whole files: written beside their place, down to the disk, and then given their name.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{beside, options};

/// Writes a whole new file beside the path, down to the disk, for its owner to put in place. Under the path's
/// [`lock`]: what a process that was killed has left there is thrown away.
pub(crate) fn write_beside(path: &Path, text: &str) -> io::Result<(PathBuf, File)> {
    write_beside_with(path, |file| file.write_all(text.as_bytes()))
}

fn write_beside_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<(PathBuf, File)> {
    let fresh = beside(path, "new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = options().write(true).create_new(true).open(&fresh)?;
    let written = write(&mut file).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a file is nobody's: the name is free again.
        discard(&fresh);
        return Err(error);
    }
    Ok((fresh, file))
}

/// Gives a whole file that was written beside the path its name, unless there is a file of this name: it is never
/// overwritten. Under the path's [`lock`].
pub(crate) fn put_new(fresh: &Path, path: &Path) -> io::Result<()> {
    put_new_with(fresh, path, |fresh, path| fs::hard_link(fresh, path))
}

/// A second name is the only way to create a whole file exclusively that every system has. Where the file system has none
/// (exFAT, SMB, many FUSE), or a policy forbids it (Android), the lock keeps the other processes away between the look and
/// the renaming; renaming is whole as well, whatever stops the machine.
fn put_new_with(
    fresh: &Path,
    path: &Path,
    link: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let put = match link(fresh, path) {
        Err(error) if has_no_links(&error) => match fs::symlink_metadata(path) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return fs::rename(fresh, path).inspect_err(|_| discard(fresh));
            }
            Err(error) => Err(error),
        },
        linked => linked,
    };
    discard(fresh);
    put
}

/// The next writer throws it away as well, so a failure changes nothing.
fn discard(fresh: &Path) {
    let _ = fs::remove_file(fresh);
}

/// The system's words for "this file system, or this program, has no second names".
fn has_no_links(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let known = [
            Errno::PERM,
            Errno::ACCESS,
            Errno::OPNOTSUPP,
            Errno::NOTSUP,
            Errno::NOSYS,
        ];
        let raw = error.raw_os_error();
        known.iter().any(|errno| raw == Some(errno.raw_os_error()))
    }
    #[cfg(not(unix))]
    {
        matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
        )
    }
}

/// Makes the names in the path's folder as lasting as the files.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        #[cfg(unix)]
        Some(folder) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
