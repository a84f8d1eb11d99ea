//! The bugs of other implementations: the table in the README of `xtls-link`, row by row.

use std::fs;
use std::path::Path;

use crate::markdown::{quoted, root, table};

const README: &str = "crates/link/README.md";

fn rows() -> Vec<Vec<String>> {
    table(README, &["#", "source", "test"])
}

/// The Rust files below a folder.
fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// The tests in a file by their names, each with the line above it.
fn tests(source: &str) -> Vec<(&str, &str)> {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let mut tests = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let name = line
            .strip_prefix("fn ")
            .and_then(|rest| rest.split('(').next());
        let [.., above, mark] = lines[..at] else {
            continue;
        };
        if let Some(name) = name.filter(|_| mark == "#[test]" || mark.starts_with("#[tokio::test"))
        {
            tests.push((name, above));
        }
    }
    tests
}

#[test]
fn every_bug_has_a_test_of_its_name() {
    let sources = sources(&root().join("crates/link/src"));
    let all = sources.iter().flat_map(|source| tests(source));
    let all: Vec<_> = all.map(|(name, _)| name).collect();
    for (row, number) in rows().iter().zip(1..) {
        assert_eq!(row[0], number.to_string(), "{README}");
        assert!(row[1].contains('#'), "{README}: {row:?}");
        assert!(quoted(&row[2]).count() > 0, "{README}: {row:?}");
        for name in quoted(&row[2]) {
            assert!(all.contains(&name), "{README}: there is no {name}");
        }
    }
    assert_eq!(rows().len(), 31, "{README}");
}

#[test]
fn every_test_that_names_an_issue_is_in_the_table() {
    let rows = rows();
    let told: Vec<_> = rows.iter().flat_map(|row| quoted(&row[2])).collect();
    for source in sources(&root().join("crates/link/src")) {
        for (name, above) in tests(&source) {
            let issue = above.starts_with("// ") && above.contains(" #");
            assert!(!issue || told.contains(&name), "{README} lacks {name}");
        }
    }
}
