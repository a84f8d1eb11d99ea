//! Wrong command lines: exit code 2 before any login, and with `--json` an event.

use super::*;

#[test]
fn wrong_command_lines_are_events_for_programs() {
    let stage = Stage::new();
    for (args, what) in [
        (["--json"].as_slice(), "requires a subcommand"),
        (&["--json", "sing"], "unrecognized subcommand 'sing'"),
        (&["chat", "--json"], "required arguments"),
        (&["trust", "show", "a@b/c", "--json"], "without a resource"),
        (
            &["chat", JULIET, "--json", "--trust", "all"],
            "invalid value 'all'",
        ),
        (&["id", "--json", "--odd"], "unexpected argument '--odd'"),
    ] {
        let ended = stage.run(args);
        ended.expect(2);
        assert_eq!(ended.output(), "");
        let events = objects(&ended.said());
        let [event] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(event["event"], "failed");
        assert_eq!(event["code"], 2);
        let said = event["what"].as_str().unwrap();
        assert!(said.contains(what), "{said}");
        assert!(
            event["hint"].as_str().unwrap().contains("--help"),
            "{event}"
        );
    }
}

#[test]
fn help_is_not_an_event() {
    let stage = Stage::new();
    for args in [["--help", "--json"], ["--json", "--version"]] {
        let ended = stage.run(&args);
        ended.expect(0);
        assert!(ended.output().contains("xtls"));
        assert_eq!(ended.said(), "");
    }
}

#[test]
fn people_get_text() {
    let stage = Stage::new();
    stage
        .run(&["sing"])
        .expect(2)
        .saying("unrecognized subcommand 'sing'")
        .saying("Usage:");
    // What follows `--` is not an option.
    stage
        .run(&["chat", "--", "--json", "more"])
        .expect(2)
        .saying("error: ");
}
