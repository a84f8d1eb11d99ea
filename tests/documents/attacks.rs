//! What servers can do to a tunnel, and peers inside one: the tables in THREATS.md, row by row.

use std::fs;
use std::path::Path;

use crate::markdown::{quoted, read, root, table};

const THREATS: &str = "docs/THREATS.md";

/// Where the tests of a kind are.
fn file(kind: &str, module: &str) -> String {
    let folder = match kind {
        "router" => "crates/tunnel/src/router/tests",
        "session" => "crates/session/tests/session",
        "signals" => "crates/tunnel/src/router/signals/tests",
        "sim" => "tests/sim",
        other => panic!("{THREATS}: nothing is called {other}"),
    };
    format!("{folder}/{module}.rs")
}

#[test]
fn every_attack_has_a_test_of_its_name() {
    let rows = table(THREATS, &["attack", "what comes of it", "test"]);
    assert!(rows.len() > 20, "{}", rows.len());
    for row in rows {
        let tests: Vec<_> = quoted(&row[2]).collect();
        let [test] = tests[..] else { panic!("{row:?}") };
        let parts: Vec<_> = test.split("::").collect();
        let [kind, module, function] = parts[..] else {
            panic!("{test}")
        };
        let source = read(&file(kind, module));
        let start = format!("#[test]\nfn {function}() {{");
        assert!(source.contains(&start), "{THREATS}: there is no {test}");
    }
}

#[test]
fn every_attack_on_the_router_and_the_world_is_in_the_table() {
    let text = read(THREATS);
    for (kind, module) in [
        ("router", "attacks"),
        ("router", "relabelled"),
        ("sim", "attacks"),
        ("signals", "hostile"),
    ] {
        let source = read(&file(kind, module));
        for after in source.split("#[test]\nfn ").skip(1) {
            let function = after.split('(').next().unwrap_or_default();
            let name = format!("`{kind}::{module}::{function}`");
            assert!(text.contains(&name), "{THREATS} lacks {name}");
        }
    }
}

/// What peers try in services over tunnels: `CRATE::TEST`, wherever in the crate it stands.
#[test]
fn every_attempt_inside_a_tunnel_has_a_test_of_its_name() {
    let rows = table(THREATS, &["a peer may try", "what comes of it", "tried by"]);
    assert!(!rows.is_empty());
    for row in rows {
        let tests: Vec<_> = quoted(&row[2]).collect();
        let [test] = tests[..] else { panic!("{row:?}") };
        let (name, function) = test.split_once("::").expect("a crate and a test");
        let source = sources(&root().join("crates").join(name));
        assert!(
            source.contains(&format!("fn {function}(")),
            "{THREATS}: there is no {test}"
        );
    }
}

/// All Rust files below a folder in one text.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("a text"));
        }
    }
    text
}
