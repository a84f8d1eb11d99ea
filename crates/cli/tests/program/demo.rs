//! `xtls demo`: it fits on a terminal, and says what it shows.

use unicode_width::UnicodeWidthStr as _;

use super::*;

fn shown(columns: &str, more: &[&str]) -> String {
    let stage = Stage::new();
    let mut command = stage.command(&["demo", "--latency", "0"]);
    let ended = command.args(more).env("COLUMNS", columns).output();
    let ended = Ended(ended.unwrap());
    ended.expect(0);
    ended.output()
}

#[track_caller]
fn fits(text: &str, rows: usize, columns: usize) {
    assert!(text.lines().count() <= rows, "{text}");
    for line in text.lines() {
        assert!(line.width() < columns, "{line:?}");
    }
}

#[test]
fn the_demonstration_fits_on_a_terminal_with_its_first_sentence() {
    let text = shown("80", &[]);
    fits(&text, 20, 80);
    assert!(text.starts_with("Romeo and Juliet talk"), "{text}");
    for said in [
        "romeo: Call me but love.",
        "juliet: The orchard walls are high.",
        "sealed: bytes that only the two of them can open",
        "not one word",
        "xtls demo --full",
    ] {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(said), "{said:?} is not in {text}");
    }
}

#[test]
fn what_carries_a_stanza_stands_beside_it() {
    let text = shown("80", &[]);
    let rows: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once('│'))
        .collect();
    for (saw, said) in rows.iter().skip(1) {
        let arrow = match said.trim().split(':').next() {
            Some("romeo") => '→',
            Some("juliet") => '←',
            _ => continue,
        };
        assert!(saw.contains(arrow) && saw.contains("sealed "), "{text}");
        assert!(!saw.contains("sealed 0"), "{text}");
    }
    let spoken = rows.iter().filter(|(saw, _)| saw.contains("sealed"));
    assert_eq!(spoken.count(), 9, "{text}");
}

#[test]
fn a_narrow_terminal_shows_it_in_one_column() {
    for (columns, width) in [("40", 40), ("30", 30), ("1", 30)] {
        let text = shown(columns, &[]);
        fits(&text, 45, width);
        assert!(text.contains("\n       romeo: Call me but lo"), "{text}");
        assert!(!text.contains('│'), "{text}");
    }
}

#[test]
fn every_stanza_is_shown_on_request() {
    let text = shown("120", &["--full"]);
    for part in [
        "<open xmlns='http://jabber.org/protocol/ibb'",
        "<body>Call me but love.",
        "and it could read none",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(text.lines().count() > 60, "{text}");
}

#[test]
fn a_reader_that_has_seen_enough_of_the_demonstration_ends_it_in_silence() {
    let stage = Stage::new();
    let line = "\"$0\" demo --full --latency 0 | head -1";
    let mut command = Command::new("sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_xtls")]);
    let ended = Ended(command.env("XTLS_HOME", stage.home()).output().unwrap());
    ended.expect(0);
    assert_eq!(ended.output().lines().count(), 1);
    assert_eq!(ended.said(), "");
}
