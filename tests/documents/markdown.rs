//! The documents as text: fences, tables, words in backticks.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Markdown files of the project itself, without those of the crates.
pub(crate) const DOCUMENTS: [&str; 10] = [
    "README.md",
    "docs/ARCHITECTURE.md",
    "docs/DEPENDENCIES.md",
    "docs/EVENTS.md",
    "docs/EXAMPLES.md",
    "docs/INVARIANTS.md",
    "docs/LIMITS.md",
    "docs/PROTOCOL.md",
    "docs/TESTING.md",
    "docs/THREATS.md",
];

/// A fenced block.
pub(crate) struct Fence {
    /// Where it begins: file and line.
    pub(crate) place: String,
    /// The info string behind the backticks.
    pub(crate) info: String,
    pub(crate) text: String,
}

/// The fenced blocks of a document, in order.
pub(crate) fn fences(path: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<Fence> = None;
    for (line, number) in read(path).lines().zip(1..) {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => fences.extend(open.take()),
            (Some(info), None) => {
                let (place, info) = (format!("{path}:{number}"), info.to_owned());
                let text = String::new();
                open = Some(Fence { place, info, text });
            }
            (None, Some(fence)) => {
                fence.text.push_str(line);
                fence.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{path}: a fence without end");
    fences
}

/// The rows of all tables of a document that have exactly this heading, cell by cell.
pub(crate) fn table(path: &str, heading: &[&str]) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Option<Vec<String>> {
        let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
        Some(inner.split(" | ").map(str::to_owned).collect())
    };
    let mut rows = Vec::new();
    let mut inside = false;
    for line in read(path).lines() {
        match cells(line) {
            Some(row) if row == heading => inside = true,
            Some(row) if inside => {
                let rule = row.iter().all(|cell| cell.chars().all(|c| c == '-'));
                if !rule {
                    assert_eq!(row.len(), heading.len(), "{path}: {line}");
                    rows.push(row);
                }
            }
            Some(_) => {}
            None => inside = false,
        }
    }
    assert!(!rows.is_empty(), "{path} has no table {heading:?}");
    rows
}

/// The words in backticks of a line.
pub(crate) fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}
