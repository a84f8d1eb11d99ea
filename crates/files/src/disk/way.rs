//! The way down to a folder, of which what is the same for the next one is kept open.

use std::io;

use super::folder::Folder;

/// The folders that were used last, from the top down.
#[derive(Debug, Default)]
pub(super) struct Way {
    steps: Vec<(Box<str>, Folder)>,
}

impl Way {
    pub(super) fn clear(&mut self) {
        self.steps.clear();
    }

    /// The folder under these names below `folder`, which is called `top`; `step` leads from one to the next.
    pub(super) fn descend<'n>(
        &mut self,
        top: &str,
        folder: Folder,
        names: impl Iterator<Item = &'n str>,
        mut step: impl FnMut(&Folder, &str) -> io::Result<Folder>,
    ) -> io::Result<Folder> {
        if self.steps.first().is_none_or(|(name, _)| &**name != top) {
            self.steps.clear();
            self.steps.push((top.into(), folder.clone()));
        }
        let mut here = folder;
        for (depth, name) in names.enumerate() {
            let depth = depth + 1;
            match self.steps.get(depth) {
                Some((other, folder)) if &**other == name => here = folder.clone(),
                _ => {
                    self.steps.truncate(depth);
                    here = step(&here, name)?;
                    self.steps.push((name.into(), here.clone()));
                }
            }
        }
        Ok(here)
    }
}
