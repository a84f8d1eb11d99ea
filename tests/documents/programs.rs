//! The examples of the crates, their table, and how long they may be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::markdown::{quoted, read, root, table};

const EXAMPLES: &str = "docs/EXAMPLES.md";

/// Lines of each example, by its path: a file, or a folder.
fn lengths() -> BTreeMap<String, usize> {
    let mut lengths = BTreeMap::new();
    for name in entries("crates") {
        for example in entries(&format!("{name}/examples")) {
            let lines = if root().join(&example).is_dir() {
                entries(&example).iter().map(|file| lines(file)).sum()
            } else {
                lines(&example)
            };
            lengths.insert(example, lines);
        }
    }
    lengths
}

/// The paths of what is in a folder, of nothing where there is no folder.
fn entries(folder: &str) -> Vec<String> {
    let path = root().join(folder);
    let entries = fs::read_dir(path).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| format!("{folder}/{name}")).collect()
}

fn lines(file: &str) -> usize {
    read(file).lines().count()
}

#[test]
fn every_example_is_in_the_table_with_its_lines() {
    let rows = table(EXAMPLES, &["example", "lines", "what it shows", "test"]);
    let described: BTreeMap<_, usize> = rows
        .iter()
        .map(|row| {
            let path = quoted(&row[0]).next().expect("a path in backticks");
            (path.to_owned(), row[1].parse().expect("a number"))
        })
        .collect();
    assert_eq!(described, lengths());
}

#[test]
fn an_example_that_is_tested_is_one_that_a_test_takes_in() {
    let tests = read("tests/examples.rs");
    for row in table(EXAMPLES, &["example", "lines", "what it shows", "test"]) {
        let path = quoted(&row[0]).next().expect("a path in backticks");
        let taken = tests.contains(&format!("#[path = \"../{path}\"]"));
        assert_eq!(taken, row[3] == "yes", "{path}");
    }
}

/// As the first lines of an example say how to run it, they name it.
#[test]
fn every_example_says_how_to_run_it() {
    for path in lengths().into_keys() {
        let name = Path::new(&path).file_stem().unwrap().to_str().unwrap();
        let main = match root().join(&path).is_dir() {
            true => format!("{path}/main.rs"),
            false => path.clone(),
        };
        assert!(
            read(&main)
                .lines()
                .take(5)
                .any(|line| line.contains(&format!("--example {name}"))),
            "{path}"
        );
    }
}

#[test]
fn http_at_an_xmpp_address_takes_forty_lines() {
    assert!(lengths()["crates/client/examples/service.rs"] <= 40);
}
