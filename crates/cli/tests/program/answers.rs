//! Queries: text for people, and JSON on standard output for programs.

use super::*;

/// Romeo, who has pinned two keys.
fn acquainted() -> Stage {
    let stage = Stage::settled();
    for (peer, key) in [(JULIET, "0a1b2c3d"), ("nurse@capulet.example", "ffffffff")] {
        stage.run(&["trust", "pin", peer, &key.repeat(8)]).expect(0);
    }
    stage
}

#[test]
fn queries_print_json_on_standard_output_and_nothing_else() {
    let stage = acquainted();
    for (args, event, count) in [
        (["id", "--json"].as_slice(), "id", 1),
        (&["id", "--qr", "--json"], "id", 1),
        (&["trust", "list", "--json"], "pin", 2),
        (&["trust", "show", JULIET, "--json"], "pin", 1),
    ] {
        let ended = stage.run(args);
        ended.expect(0);
        let found = objects(&ended.output());
        assert_eq!(found.len(), count, "{args:?}");
        assert!(found.iter().all(|object| object["event"] == event));
        assert_eq!(ended.said(), "", "{args:?}");
    }
    let id = &objects(&stage.run(&["id", "--json"]).output())[0];
    assert_eq!(id["address"], ROMEO);
    let key = id["fingerprint"].as_str().unwrap();
    assert_eq!(id["uri"], format!("xmpp:{ROMEO}?xtls;fp={key}"));
    assert_eq!(id["words"].as_str().unwrap().split(' ').count(), 24);
    let pin = &objects(&stage.run(&["trust", "show", JULIET, "--json"]).output())[0];
    assert_eq!(pin["peer"], JULIET);
    assert_eq!(pin["fingerprint"], "0a1b2c3d".repeat(8));
    assert_eq!(pin["level"], "verified by fingerprint");
}

#[test]
fn answers_for_people_fit_into_80_columns_and_break_fingerprints_between_groups() {
    let stage = acquainted();
    for args in [["id"].as_slice(), &["trust", "list"]] {
        let output = stage.run(args).expect(0).output();
        // The URI is for machines, and must not be wrapped.
        let lines = output.lines().filter(|line| !line.starts_with("uri"));
        for line in lines {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
    let listed = stage.run(&["trust", "list"]).output();
    let rows = format!(
        "{JULIET}\n    {0}\n    {0}\n    verified by fingerprint on ",
        "0a1b2c3d 0a1b2c3d 0a1b2c3d 0a1b2c3d"
    );
    assert!(listed.starts_with(&rows), "{listed}");
}

#[test]
fn the_code_alone_fits_into_24_rows() {
    let stage = Stage::settled();
    let ended = stage.run(&["id", "--qr"]);
    ended.expect(0);
    let output = ended.output();
    assert_eq!(output.lines().count(), 23, "{output}");
    assert!(!output.contains("xmpp:"), "{output}");
    assert_eq!(ended.said(), "");
}

#[test]
fn an_empty_list_of_pins_is_nothing_for_programs_and_a_message_for_people() {
    let stage = Stage::settled();
    let ended = stage.run(&["trust", "list", "--json"]);
    assert_eq!(ended.expect(0).output(), "");
    let ended = stage.run(&["trust", "list"]);
    ended.expect(0).saying("has not pinned any keys yet");
    assert_eq!(ended.output(), "");
}
