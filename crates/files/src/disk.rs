//! The receiver's disk: what of an offer is there, what comes of it, and the step to a final name.
//!
//! Everything blocks; the face in `io.rs` calls it in threads for that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::io::Errno;

pub(crate) mod folder;
mod open;
pub(crate) mod part;
pub(crate) mod probe;
pub(crate) mod settle;
mod standing;
mod way;

use crate::content::{Block, Hash, Hasher, Unpacker};
use crate::entry::{Date, Entry, Kind};
use crate::fault::Fault;
use crate::name::{MAX_DEPTH, alternative};
use crate::reason::{Reason, Told};
use folder::Folder;
use open::{Open, is_ours};
pub(crate) use part::part_name;
use probe::Probe;
use settle::{Existing, Settle, claim};
use standing::Standing;
use way::Way;

/// What a receiver's disk knows.
pub(crate) struct Disk {
    root: Folder,
    peer: String,
    existing: Existing,
    probe: Probe,
    /// Folders that were offered, under the names of their parts, by the names that they are to get.
    tops: BTreeMap<Box<str>, (String, Folder)>,
    /// Those that are there already.
    standing: Standing,
    /// The way to the folder that was used last.
    way: Way,
    open: BTreeMap<u32, Open>,
    unpacker: Unpacker,
    buffer: Vec<u8>,
}

/// What to ask the sender for, or why not.
#[derive(Debug)]
pub(crate) enum Look {
    /// A folder is there.
    Made,
    /// The rest of a file.
    Want {
        offset: u64,
        prefix: Option<Hash>,
    },
    Skip(Told),
    Fail(Told),
}

/// What follows the end of a file.
#[derive(Debug)]
pub(crate) enum End {
    /// It is what it should be, and gets its name.
    Settle(Settle),
    /// It is to be asked for again.
    Want {
        offset: u64,
        prefix: Option<Hash>,
    },
    Skip(Told),
    Fail(Told),
}

/// What ends everything.
#[derive(Debug)]
pub(crate) enum Stop {
    Disk(io::Error),
    Fault(Fault),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Disk {
    pub(crate) fn open(
        root: &Path,
        peer: &str,
        existing: Existing,
        probe: Probe,
    ) -> io::Result<Self> {
        Ok(Self {
            root: Folder::open(root)?,
            peer: peer.to_owned(),
            existing,
            probe,
            tops: BTreeMap::new(),
            standing: Standing::default(),
            way: Way::default(),
            open: BTreeMap::new(),
            unpacker: Unpacker::default(),
            buffer: Vec::new(),
        })
    }

    pub(crate) fn free(&self) -> io::Result<u64> {
        self.root.free()
    }

    /// How many bytes of these there are, as parts or in them. What can't be read counts as nothing.
    pub(crate) fn measure(&self, tops: &[Entry]) -> u64 {
        let sizes = tops.iter().map(|entry| {
            let part = part_name(&self.peer, entry);
            match entry.kind {
                Kind::File => self
                    .root
                    .look(&part)
                    .ok()
                    .flatten()
                    .map_or(0, |found| found.size),
                Kind::Folder => self.root.measure(&part, MAX_DEPTH).unwrap_or_default(),
            }
        });
        sizes.fold(0, u64::saturating_add)
    }

    /// Looks which folders are there already: they are neither sent again nor made a second time. These are the entries in them.
    pub(crate) fn compare(&mut self, entries: &[Entry]) {
        self.standing.find(&self.root, &self.peer, entries);
    }

    // ── Before ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// What there is of an entry.
    pub(crate) fn look(&mut self, index: u32, entry: &Entry) -> Result<Look, Stop> {
        match self.try_to_look(index, entry) {
            Ok(look) => Ok(look),
            Err(error) => of_one(&error).map(Look::Fail).ok_or(Stop::Disk(error)),
        }
    }

    fn try_to_look(&mut self, index: u32, entry: &Entry) -> io::Result<Look> {
        let Some(folder) = self.folder_of(entry)? else {
            return Ok(Look::Skip(Reason::InUse.into()));
        };
        let standing = self.standing.get(top(&entry.path)).is_some();
        if entry.kind == Kind::Folder {
            return Ok(match standing {
                true => Look::Skip(Reason::Have.into()),
                false => Look::Made,
            });
        }
        let mut open = Open {
            entry: entry.clone(),
            part: part_name(&self.peer, entry),
            folder,
            file: None,
            candidate: None,
            standing,
            at: 0,
            hasher: Hasher::default(),
            wrong: false,
        };
        if standing && entry.size > 0 {
            open.candidate = Some(open.folder.read(last(&entry.path))?);
        }
        let mut name = last(&entry.path).to_owned();
        let mut exists = false;
        for number in 2..MAX_LOOKED_AT {
            if open.candidate.is_some() {
                break;
            }
            let Some(found) = open.folder.look(&name)? else {
                break;
            };
            exists = true;
            if found.file && found.size == entry.size && is_near(found.date, entry.date) {
                if entry.size == 0 {
                    return Ok(Look::Skip(Reason::Have.into()));
                }
                open.candidate = open.folder.read(&name).ok();
                break;
            }
            name = alternative(last(&entry.path), number);
        }
        if exists && self.existing == Existing::Refuse && open.candidate.is_none() {
            return Ok(Look::Skip(Reason::Exists.into()));
        }
        if open.candidate.is_some() {
            // Its hash is not sent: the sender learns nothing of it that it does not know.
            self.open.insert(index, open);
            let (offset, prefix) = (entry.size, None);
            return Ok(Look::Want { offset, prefix });
        }
        let part = self.continue_part(&mut open)?;
        self.open.insert(index, open);
        Ok(match part {
            Some((offset, prefix)) => Look::Want { offset, prefix },
            None => Look::Skip(Reason::InUse.into()),
        })
    }

    /// The folder that an entry is in, or is; `None`: somebody else is receiving it.
    fn folder_of(&mut self, entry: &Entry) -> io::Result<Option<Folder>> {
        let Some(above) = above(entry) else {
            return Ok(Some(self.root.clone()));
        };
        let mut names = above.split('/');
        let top = names.next().unwrap_or_default();
        if let Some(folder) = self.standing.get(top) {
            let step = |from: &Folder, name: &str| from.open_below(name);
            let folder = self.way.descend(top, folder.clone(), names, step)?;
            return Ok(Some(folder));
        }
        let folder = match self.tops.get(top) {
            Some((_, folder)) => folder.clone(),
            None => {
                self.probe.step()?;
                let part = part_name(&self.peer, &Entry::folder(top, Date::default()));
                let folder = self.root.below(&part)?;
                if !folder.lock()? {
                    return Ok(None);
                }
                self.tops.insert(top.into(), (part, folder.clone()));
                folder
            }
        };
        let probe = &self.probe;
        let step = |from: &Folder, name: &str| {
            probe.step()?;
            from.below(name)
        };
        self.way.descend(top, folder, names, step).map(Some)
    }

    /// Opens the part that there is, and says from where on to ask; `None`: somebody else writes to it.
    fn continue_part(&mut self, open: &mut Open) -> io::Result<Option<(u64, Option<Hash>)>> {
        if open.folder.look(&open.part)?.is_none() {
            return Ok(Some((0, None)));
        }
        let file = match open.folder.write(&open.part, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some((0, None))),
            Err(error) => return Err(error),
        };
        if !is_ours(&file, &open.folder, &open.part)? {
            return Ok(None);
        }
        let length = file.metadata()?.len();
        // One that is too long is of nothing that was offered.
        if length <= open.entry.size {
            open.at = length;
            open.hasher = self.hash(&file, length)?;
        }
        open.file = Some(file);
        let prefix = (open.at > 0).then(|| open.hasher.hash());
        Ok(Some((open.at, prefix)))
    }

    fn hash(&mut self, mut file: &File, length: u64) -> io::Result<Hasher> {
        let mut hasher = Hasher::default();
        self.buffer.resize(STEP, 0);
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(STEP);
            let piece = self.buffer.get_mut(..most).unwrap_or_default();
            let got = file.read(piece)?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.add(piece.get(..got).unwrap_or_default());
            left = left.saturating_sub(u64::try_from(got).unwrap_or(u64::MAX));
        }
        Ok(hasher)
    }

    // ── Content ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// A file begins at `offset`, which is where its part ends, or 0. What prevents it is returned.
    pub(crate) fn begin(&mut self, index: u32, offset: u64) -> Result<Option<Told>, Stop> {
        let Some(open) = self.open.get_mut(&index) else {
            return Ok(None);
        };
        if open.candidate.is_some() && offset == open.entry.size {
            return Ok(None);
        }
        if open.standing {
            return Ok(Some(differs()));
        }
        open.candidate = None;
        match open.begin(offset, &self.probe) {
            Ok(true) => Ok(None),
            Ok(false) => Ok(Some(Reason::InUse.into())),
            Err(error) => of_one(&error).map(Some).ok_or(Stop::Disk(error)),
        }
    }

    /// The next piece of it: how much of it there is then.
    pub(crate) fn write(&mut self, index: u32, block: &Block) -> Result<Result<u64, Told>, Stop> {
        let Some(open) = self.open.get_mut(&index) else {
            return Ok(Err(Reason::Disk.into()));
        };
        let written = match block {
            Block::Raw(bytes) => open.write(bytes, &self.probe),
            Block::Packed { size, bytes } => match self.unpacker.unpack(*size, bytes) {
                Ok(bytes) => open.write(bytes, &self.probe),
                Err(fault) => return Err(Stop::Fault(fault)),
            },
            Block::Hole(length) => open.write_hole(*length, &self.probe),
        };
        match written {
            Ok(()) => Ok(Ok(open.at)),
            Err(error) => of_one(&error).map(Err).ok_or(Stop::Disk(error)),
        }
    }

    /// All of it has come, and should hash to this.
    pub(crate) fn end(&mut self, index: u32, hash: &Hash) -> Result<End, Stop> {
        let Some(mut open) = self.open.remove(&index) else {
            return Ok(End::Fail(Reason::Disk.into()));
        };
        let end = match self.try_to_end(&mut open, hash) {
            Ok(end) => end,
            Err(error) => return of_one(&error).map(End::Fail).ok_or(Stop::Disk(error)),
        };
        let Some(end) = end else {
            let (entry, folder, part, file) = (open.entry, open.folder, open.part, open.file);
            let settle = Settle::new(entry, folder, part, file, self.existing, self.probe.clone());
            return Ok(settle.map_or_else(|| End::Fail(Reason::Disk.into()), End::Settle));
        };
        if matches!(end, End::Want { .. }) {
            self.open.insert(index, open);
        }
        Ok(end)
    }

    /// `None`: the part is right.
    fn try_to_end(&mut self, open: &mut Open, hash: &Hash) -> io::Result<Option<End>> {
        if let Some(candidate) = open.candidate.take() {
            let same = self
                .hash(&candidate, open.entry.size)
                .is_ok_and(|hasher| hasher.hash() == *hash);
            if same {
                return Ok(Some(End::Skip(Reason::Have.into())));
            }
            if open.standing {
                return Ok(Some(End::Fail(differs())));
            }
            if self.existing == Existing::Refuse {
                return Ok(Some(End::Skip(Reason::Exists.into())));
            }
            return Ok(Some(match self.continue_part(open)? {
                Some((offset, prefix)) => End::Want { offset, prefix },
                None => End::Skip(Reason::InUse.into()),
            }));
        }
        let whole = open.file()?.metadata()?.len() == open.entry.size;
        if whole && open.hasher.hash() == *hash {
            return Ok(None);
        }
        self.probe.step()?;
        if !open.wrong {
            open.wrong = true;
            open.restart()?;
            let (offset, prefix) = (0, None);
            return Ok(Some(End::Want { offset, prefix }));
        }
        open.folder.remove(&open.part)?;
        Ok(Some(End::Fail(Reason::Hash.into())))
    }

    /// Nothing more comes of a file. `spoilt`: what there is of it is of no use. In a folder it is not either, because the folder gets
    /// its name without it.
    pub(crate) fn forget(&mut self, index: u32, spoilt: bool) {
        let open = self.open.remove(&index);
        let useless =
            |open: &Open| open.file.is_some() && (spoilt || open.entry.path.contains('/'));
        if let Some(open) = open.filter(useless) {
            // What stays is found by nothing but another try, and begun anew then.
            let _ = open.folder.remove(&open.part);
        }
    }

    // ── After ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Folders get their names; which these are is returned.
    pub(crate) fn finish(&mut self) -> io::Result<Vec<String>> {
        self.way.clear();
        let mut names = Vec::new();
        for (name, (part, _)) in &self.tops {
            let name = claim(&self.root, part, name, true, Existing::Rename, &self.probe)?;
            names.extend(name);
        }
        if !names.is_empty() {
            self.probe.step()?;
            self.root.sync()?;
        }
        self.tops.clear();
        Ok(names)
    }
}

/// Whether two dates are the same, as file systems keep them: FAT counts pairs of seconds.
fn is_near(one: Date, other: Date) -> bool {
    one.seconds.abs_diff(other.seconds) <= 2
}

/// The folder that an entry is in, or is.
fn above(entry: &Entry) -> Option<&str> {
    match entry.kind {
        Kind::Folder => Some(&entry.path),
        Kind::File => entry.path.rsplit_once('/').map(|(above, _)| above),
    }
}

fn top(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A file in a folder that seemed to be there already is another one after all.
fn differs() -> Told {
    let text = "something else of the same size and date is there: move the folder away, and send it again";
    Told::new(Reason::Exists, text)
}

/// What an error means for one entry; `None`: it concerns everything.
pub(crate) fn of_one(error: &io::Error) -> Option<Told> {
    let errno = Errno::from_io_error(error)?;
    let reason = match errno {
        Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => Reason::Name,
        Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::EXIST => Reason::Exists,
        Errno::ACCESS | Errno::PERM | Errno::FBIG | Errno::NOENT => Reason::Disk,
        _ => return None,
    };
    Some(Told::new(reason, error.to_string()))
}

/// Whether it is the disk that is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOSPC | Errno::DQUOT))
}

/// Names that are looked at in the search for a file that is there already.
const MAX_LOOKED_AT: u32 = 16;

/// Bytes that are read at once.
const STEP: usize = 131_072;
