//! How a session ends: the table in its README, row by row.

use std::collections::BTreeSet;

use crate::markdown::{quoted, read, table};

const README: &str = "crates/session/README.md";

/// The names of the variants of `Why`.
fn reasons() -> BTreeSet<String> {
    let source = read("crates/session/src/event.rs");
    let (_, body) = source.split_once("pub enum Why {").expect("an enum");
    let (body, _) = body.split_once("\n}").expect("its end");
    let variants = body.lines().filter_map(|line| line.strip_prefix("    "));
    variants
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| line.split(['(', ',', ' ']).next().unwrap().to_owned())
        .collect()
}

/// The body of a test, named as `file::function`.
fn body(test: &str) -> String {
    let (file, function) = test.split_once("::").expect("a file and a function");
    let source = read(&format!("crates/session/tests/session/{file}.rs"));
    let start = format!("#[test]\nfn {function}(");
    let (_, rest) = source
        .split_once(&start)
        .unwrap_or_else(|| panic!("{README}: there is no test {test}"));
    rest.split_once("\n}\n").expect("its end").0.to_owned()
}

#[test]
fn every_end_of_a_session_has_a_row_and_every_row_a_test_that_sees_it() {
    let reasons = reasons();
    assert!(reasons.len() > 10, "{reasons:?}");
    let mut told = BTreeSet::new();
    let rows = table(README, &["what happens", "why", "the peer hears", "test"]);
    for row in rows {
        let [_, why, _, test] = &row[..] else {
            panic!("{row:?}")
        };
        let [whys, tests] = [why, test].map(|cell| quoted(cell).collect::<Vec<_>>());
        let ([why], [test]) = (&whys[..], &tests[..]) else {
            panic!("{row:?}")
        };
        assert!(reasons.contains(*why), "{README}: there is no Why::{why}");
        let seen = body(test).contains(&format!("Why::{why}"));
        assert!(seen, "{README}: {test} does not see Why::{why}");
        told.insert((*why).to_owned());
    }
    assert_eq!(told, reasons);
}
