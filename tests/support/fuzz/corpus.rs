//! The corpora, one folder for each target.

use std::path::{Path, PathBuf};

/// Every file of a folder, in the order of the names.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn read(folder: &Path) -> std::io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    let read = |path: PathBuf| std::fs::read(&path).map(|bytes| (path, bytes));
    paths.into_iter().map(read).collect()
}
