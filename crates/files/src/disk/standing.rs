//! Folders that are there already, whole: sent before, by a sender who was not told so any more, or who sends them again.

use std::collections::BTreeMap;
use std::io;

use super::folder::Folder;
use super::way::Way;
use super::{MAX_LOOKED_AT, above, is_near, last, part_name, top};
use crate::entry::{Date, Entry, Kind};
use crate::name::alternative;

/// Offered folders by their names, each with the one that is there.
#[derive(Debug, Default)]
pub(super) struct Standing {
    folders: BTreeMap<Box<str>, Folder>,
}

impl Standing {
    /// Looks whether all that is offered of a folder is there, by names, sizes and dates. What is in the files decides later.
    pub(super) fn find(&mut self, root: &Folder, peer: &str, entries: &[Entry]) {
        let mut tops: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            tops.entry(top(&entry.path)).or_default().push(entry);
        }
        for (top, entries) in tops {
            // What can't be looked at is not there.
            if let Ok(Some(folder)) = whole(root, peer, top, &entries) {
                self.folders.insert(top.into(), folder);
            }
        }
    }

    pub(super) fn get(&self, top: &str) -> Option<&Folder> {
        self.folders.get(top)
    }
}

fn whole(root: &Folder, peer: &str, top: &str, entries: &[&Entry]) -> io::Result<Option<Folder>> {
    // What is not complete is continued.
    let part = part_name(peer, &Entry::folder(top, Date::default()));
    if root.look(&part)?.is_some() {
        return Ok(None);
    }
    let mut name = top.to_owned();
    for number in 2..MAX_LOOKED_AT {
        if root.look(&name)?.is_none() {
            break;
        }
        if let Ok(folder) = root.open_below(&*name)
            && has_all(&folder, top, entries)?
        {
            return Ok(Some(folder));
        }
        name = alternative(top, number);
    }
    Ok(None)
}

fn has_all(folder: &Folder, top: &str, entries: &[&Entry]) -> io::Result<bool> {
    let mut way = Way::default();
    for entry in entries {
        let names = above(entry).unwrap_or_default().split('/').skip(1);
        let step = |from: &Folder, name: &str| from.open_below(name);
        let Ok(place) = way.descend(top, folder.clone(), names, step) else {
            return Ok(false);
        };
        let is_there = entry.kind == Kind::Folder
            || place.look(last(&entry.path))?.is_some_and(|found| {
                found.file && found.size == entry.size && is_near(found.date, entry.date)
            });
        if !is_there {
            return Ok(false);
        }
    }
    Ok(true)
}
