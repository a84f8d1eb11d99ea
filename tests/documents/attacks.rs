//! What servers can do to a tunnel: the table in THREATS.md, row by row.

use crate::markdown::{quoted, read, table};

const THREATS: &str = "docs/THREATS.md";

/// Where the tests of a kind are.
fn file(kind: &str, module: &str) -> String {
    let folder = match kind {
        "router" => "crates/tunnel/src/router/tests",
        "session" => "crates/session/tests/session",
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
    ] {
        let source = read(&file(kind, module));
        for after in source.split("#[test]\nfn ").skip(1) {
            let function = after.split('(').next().unwrap_or_default();
            let name = format!("`{kind}::{module}::{function}`");
            assert!(text.contains(&name), "{THREATS} lacks {name}");
        }
    }
}
