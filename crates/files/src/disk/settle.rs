//! The step from a part to a final name.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use rustix::fs::{Timespec, Timestamps};

use super::folder::Folder;
use super::probe::Probe;
use crate::entry::Entry;
use crate::name::alternative;
use crate::reason::{Reason, Told};

/// What happens if something has the name that a file or folder is to get. Nothing is ever overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// It gets another name: `report (2).pdf`.
    #[default]
    Rename,
    /// A file is not taken then. A folder gets another name.
    Refuse,
}

/// A file whose content is right. It can be settled in a thread of its own, while others come.
#[derive(Debug)]
pub(crate) struct Settle {
    entry: Entry,
    folder: Folder,
    part: String,
    file: File,
    existing: Existing,
    probe: Probe,
}

impl Settle {
    pub(super) fn new(
        entry: Entry,
        folder: Folder,
        part: String,
        file: Option<File>,
        existing: Existing,
        probe: Probe,
    ) -> Option<Self> {
        let file = file?;
        Some(Self {
            entry,
            folder,
            part,
            file,
            existing,
            probe,
        })
    }

    /// Gives the file its name once its content is on the disk: which name that is, or why not.
    pub(crate) fn run(self) -> io::Result<Result<String, Told>> {
        self.probe.step()?;
        if self.entry.executable {
            let mut permissions = self.file.metadata()?.permissions();
            // Whoever may read it may run it.
            let mode = permissions.mode();
            permissions.set_mode(mode | (mode & 0o444) >> 2);
            self.file.set_permissions(permissions)?;
        }
        let time = Timespec {
            tv_sec: self.entry.date.seconds,
            tv_nsec: self.entry.date.nanos.into(),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        // Not every file system has room for every date, and none is worth a file.
        let _ = rustix::fs::futimens(&self.file, &times);
        self.probe.step()?;
        self.file.sync_all()?;
        let name = super::last(&self.entry.path);
        let Some(name) = claim(
            &self.folder,
            &self.part,
            name,
            false,
            self.existing,
            &self.probe,
        )?
        else {
            self.folder.remove(&self.part)?;
            return Ok(Err(Reason::Exists.into()));
        };
        self.probe.step()?;
        self.folder.sync()?;
        Ok(Ok(match self.entry.path.rsplit_once('/') {
            Some((above, _)) => format!("{above}/{name}"),
            None => name,
        }))
    }
}

/// Gives a part its name, or another one if that is taken; `None`: no other one is wanted.
pub(super) fn claim(
    folder: &Folder,
    part: &str,
    name: &str,
    is_folder: bool,
    existing: Existing,
    probe: &Probe,
) -> io::Result<Option<String>> {
    let mut to = name.to_owned();
    for number in 2..MAX_NAMES_TRIED {
        probe.step()?;
        match folder.rename(part, &to, is_folder) {
            Ok(()) => return Ok(Some(to)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        if existing == Existing::Refuse {
            return Ok(None);
        }
        to = alternative(name, number);
    }
    Ok(None)
}

/// Names that are tried for one file.
const MAX_NAMES_TRIED: u32 = 10_000;
