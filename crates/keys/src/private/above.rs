//! The folders above a private one: whoever may rename there could put another folder in its place, such as an older copy
//! of it, in which a key is not revoked yet.

use std::io;
use std::path::Path;

use super::{Exposed, Fault};

/// Refuses a path whose real place others could exchange. What is not there yet is not looked at.
///
/// The rule is that of OpenSSH (`safe_path` in misc.c): each folder belongs to the user or to root, and neither its group
/// nor anybody else may write to it. Three things differ. It holds up to `/`, because `--home` may lie outside of the
/// user's own folder, where OpenSSH stops. In a sticky folder (as `/tmp`) others may write: they can rename neither
/// what is the user's nor what is root's, and everything on the way has to be one or the other. And a link on the way
/// has to belong to the user or to root as well, because its owner chooses where it leads.
#[cfg(unix)]
pub(crate) fn check(path: &Path) -> Result<(), Fault> {
    use std::collections::VecDeque;
    use std::ffi::OsString;
    use std::fs;
    use std::path::PathBuf;

    fn steps(path: &Path) -> VecDeque<OsString> {
        path.components()
            .map(|step| step.as_os_str().to_owned())
            .collect()
    }

    let mut ahead = steps(&std::path::absolute(path)?);
    let mut here = PathBuf::new();
    let mut links = 0;
    while let Some(step) = ahead.pop_front() {
        if step == "." {
            continue;
        }
        if step == ".." {
            // The folder above has been looked at on the way down.
            here.pop();
            continue;
        }
        // From a root the way begins anew: `join` knows that.
        let next = here.join(&step);
        let metadata = match fs::symlink_metadata(&next) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !metadata.is_symlink() {
            folder(&next, &metadata)?;
            here = next;
            continue;
        }
        owner(&next, &metadata)?;
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::from(rustix::io::Errno::LOOP).into());
        }
        for step in steps(&fs::read_link(&next)?).into_iter().rev() {
            ahead.push_front(step);
        }
    }
    Ok(())
}

/// Refuses what is no folder; other systems have other rules of access.
#[cfg(not(unix))]
pub(crate) fn check(path: &Path) -> Result<(), Fault> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(io::Error::from(io::ErrorKind::NotADirectory).into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(unix)]
fn folder(path: &Path, metadata: &std::fs::Metadata) -> Result<(), Fault> {
    use std::os::unix::fs::MetadataExt as _;

    if !metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
    }
    owner(path, metadata)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        let (path, mode) = (path.to_owned(), mode & 0o777);
        return Err(Exposed::Above { path, mode }.into());
    }
    Ok(())
}

#[cfg(unix)]
fn owner(path: &Path, metadata: &std::fs::Metadata) -> Result<(), Exposed> {
    use std::os::unix::fs::MetadataExt as _;

    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(Exposed::Owner {
            path: path.to_owned(),
            owner,
        });
    }
    Ok(())
}

/// Links on one way, as Linux counts them (path_resolution(7)).
#[cfg(unix)]
const MAX_LINKS: usize = 40;

#[cfg(test)]
#[cfg(unix)]
mod tests;
