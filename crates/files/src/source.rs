//! What is to be sent: files and folders of this system, and the offer that they make.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

pub(crate) mod reader;

use crate::entry::{Date, Entry, Kind, MAX_ENTRIES};
use crate::name::{self, Rules, alternative};

/// Files and folders that somebody has named, with everything in them, as they are at the moment.
#[derive(Debug, Default)]
pub struct Sources {
    /// What was named, links followed.
    roots: Vec<PathBuf>,
    /// Each with the number of what was named that it is below.
    entries: Vec<(Entry, usize)>,
    left_out: Vec<LeftOut>,
}

/// Something that is not sent.
#[derive(Debug)]
pub struct LeftOut {
    /// Where it is.
    pub path: PathBuf,
    /// Why not.
    pub why: WhyNot,
}

/// Why something is not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WhyNot {
    /// A link that was not named itself.
    #[error("it is a symbolic link, and links are followed only if they are named")]
    Link,
    /// A pipe, a socket, a device.
    #[error("it is neither a file nor a folder")]
    Special,
    /// The receiver would not take this name.
    #[error("its name cannot be sent: {0}")]
    Name(#[source] name::NameFault),
    /// An unfinished file of a receiver.
    #[error("it is a part of a file that is being received")]
    Part,
    /// It can't be read.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
}

/// Something that was named can't be sent, and nothing is.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", .path.display())]
pub struct SourceError {
    /// What was named.
    pub path: PathBuf,
    /// What is the matter.
    pub why: WhyNot,
}

impl Sources {
    /// Looks at everything below `paths`. What was named itself must be there; below it, what can't be sent is left out.
    ///
    /// This blocks: in async code, call it where that is allowed.
    pub fn collect<P: AsRef<Path>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, SourceError> {
        let mut sources = Self::default();
        let mut tops = BTreeSet::new();
        for path in paths {
            let path = path.as_ref();
            let fail = |why| SourceError {
                path: path.to_owned(),
                why,
            };
            let unreadable = |error| fail(WhyNot::Unreadable(error));
            // `.` and `..` have names too.
            let real = fs::canonicalize(path).map_err(unreadable)?;
            let metadata = fs::metadata(&real).map_err(unreadable)?;
            let named = match path.file_name() {
                Some(name) => Path::new(name),
                None => Path::new(real.file_name().unwrap_or_default()),
            };
            let name = sendable(named).map_err(fail)?;
            let mut top = name.clone();
            let mut number = 2;
            while !tops.insert(top.clone()) {
                top = alternative(&name, number);
                number += 1;
            }
            let entry = entry(&top, &metadata).ok_or_else(|| fail(WhyNot::Special))?;
            if entry.kind == Kind::File {
                open(&real, true).map_err(unreadable)?;
            }
            sources.roots.push(real.clone());
            sources.walk(entry, &real);
        }
        Ok(sources)
    }

    /// Adds an entry and everything below it, in the order of names.
    fn walk(&mut self, entry: Entry, path: &Path) {
        let root = self.roots.len().saturating_sub(1);
        let mut ahead = vec![(entry, path.to_owned())];
        while let Some((entry, path)) = ahead.pop() {
            // The offer fails, with a sentence; there is no need to look at a whole disk before.
            if self.entries.len() > usize::try_from(MAX_ENTRIES).unwrap_or(usize::MAX) {
                return;
            }
            let before = ahead.len();
            if entry.kind == Kind::Folder {
                match fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
                    Ok(children) => {
                        for child in children {
                            let name = child.file_name();
                            self.look_at(&entry.path, Path::new(&name), child.path(), &mut ahead);
                        }
                    }
                    Err(error) => self.leave_out(path, WhyNot::Unreadable(error)),
                }
            }
            if let Some(children) = ahead.get_mut(before..) {
                children.sort_by(|(one, _), (other, _)| other.path.cmp(&one.path));
            }
            self.entries.push((entry, root));
        }
    }

    fn look_at(
        &mut self,
        above: &str,
        name: &Path,
        path: PathBuf,
        ahead: &mut Vec<(Entry, PathBuf)>,
    ) {
        let found = sendable(name).and_then(|name| {
            let metadata = fs::symlink_metadata(&path).map_err(WhyNot::Unreadable)?;
            if metadata.is_symlink() {
                return Err(WhyNot::Link);
            }
            entry(&format!("{above}/{name}"), &metadata).ok_or(WhyNot::Special)
        });
        match found {
            Ok(entry) if entry.path.split('/').count() > name::MAX_DEPTH => {
                self.leave_out(path, WhyNot::Name(name::NameFault::TooDeep));
            }
            Ok(entry) => ahead.push((entry, path)),
            Err(why) => self.leave_out(path, why),
        }
    }

    fn leave_out(&mut self, path: PathBuf, why: WhyNot) {
        self.left_out.push(LeftOut { path, why });
    }

    /// What is offered, in this order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter().map(|(entry, _)| entry)
    }

    /// What is not sent, although it is below something that was named.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Whether there is nothing to offer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An entry by its number.
    #[must_use]
    pub fn entry(&self, index: u32) -> Option<&Entry> {
        self.entries
            .get(usize::try_from(index).ok()?)
            .map(|(entry, _)| entry)
    }

    /// Opens the file of an entry.
    pub(crate) fn open(&self, index: u32) -> io::Result<File> {
        let entry = usize::try_from(index)
            .ok()
            .and_then(|index| self.entries.get(index));
        let (entry, root) = entry.ok_or(io::ErrorKind::NotFound)?;
        let root = self.roots.get(*root).ok_or(io::ErrorKind::NotFound)?;
        match entry.path.split_once('/') {
            Some((_, below)) => open(&root.join(below), false),
            None => open(root, true),
        }
    }
}

/// The name of something as the wire has it.
fn sendable(name: &Path) -> Result<String, WhyNot> {
    let name = name.as_os_str().as_encoded_bytes();
    match name::check([name], Rules::Unix) {
        Ok(name) => Ok(name.into()),
        Err(name::NameFault::Part) => Err(WhyNot::Part),
        Err(fault) => Err(WhyNot::Name(fault)),
    }
}

/// `None`: neither a file nor a folder.
fn entry(path: &str, metadata: &Metadata) -> Option<Entry> {
    let date = date(metadata);
    if metadata.is_dir() {
        return Some(Entry::folder(path, date));
    }
    metadata.is_file().then(|| Entry {
        executable: metadata.mode() & 0o100 != 0,
        ..Entry::file(path, metadata.len(), date)
    })
}

/// When a file was last changed.
pub(crate) fn date(metadata: &Metadata) -> Date {
    Date {
        seconds: metadata.mtime(),
        nanos: u32::try_from(metadata.mtime_nsec()).unwrap_or_default(),
    }
}

/// Opens a file that was a regular one a moment ago. What became a pipe meanwhile does not block, and what became a link is not
/// followed unless it was named.
fn open(path: &Path, named: bool) -> io::Result<File> {
    let flags = match named {
        true => OFlags::NONBLOCK,
        false => OFlags::NONBLOCK | OFlags::NOFOLLOW,
    };
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    File::options().read(true).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests;
