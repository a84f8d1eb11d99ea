//! A file that was asked for, and the part of it that is there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::folder::{Folder, Found, lock};
use super::probe::Probe;
use crate::content::Hasher;
use crate::entry::Entry;

/// A file that was asked for.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) entry: Entry,
    pub(super) folder: Folder,
    pub(super) part: String,
    /// The part, unless there is none yet.
    pub(super) file: Option<File>,
    /// An existing file that may be the same.
    pub(super) candidate: Option<File>,
    /// It is in a folder that is there already.
    pub(super) standing: bool,
    /// How long the part is.
    pub(super) at: u64,
    pub(super) hasher: Hasher,
    pub(super) wrong: bool,
}

impl Open {
    /// `false`: somebody else writes to it.
    pub(super) fn begin(&mut self, offset: u64, probe: &Probe) -> io::Result<bool> {
        probe.step()?;
        if self.file.is_none() {
            let file = self.folder.write(&self.part, true)?;
            if !is_ours(&file, &self.folder, &self.part)? {
                return Ok(false);
            }
            self.file = Some(file);
            self.restart()?;
        }
        if offset != self.at {
            self.restart()?;
        }
        // What there is may be longer than what of it counts.
        self.file()?.set_len(self.at)?;
        Ok(true)
    }

    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.at = 0;
        self.hasher = Hasher::default();
        self.file()?.set_len(0)
    }

    pub(super) fn write(&mut self, bytes: &[u8], probe: &Probe) -> io::Result<()> {
        if let Err(killed) = probe.step() {
            // A write may have come half-way.
            let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
            self.file()?.write_all_at(half, self.at)?;
            return Err(killed);
        }
        self.file()?.write_all_at(bytes, self.at)?;
        self.hasher.add(bytes);
        self.at = self
            .at
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    pub(super) fn write_hole(&mut self, length: u64, probe: &Probe) -> io::Result<()> {
        probe.step()?;
        let at = self.at.saturating_add(length);
        self.file()?.set_len(at)?;
        self.hasher.add_zeros(length);
        self.at = at;
        Ok(())
    }

    pub(super) fn file(&self) -> io::Result<&File> {
        self.file
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// Whether this file is locked by us, and still has its name: another program may have given it the final one in between.
pub(super) fn is_ours(file: &File, folder: &Folder, name: &str) -> io::Result<bool> {
    if !lock(file)? {
        return Ok(false);
    }
    let named = folder.look(name)?.map(|found| found.id);
    Ok(named == Some(Found::of(file)?.id))
}
