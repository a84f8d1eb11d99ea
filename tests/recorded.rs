//! The wire, compared with recordings byte for byte: with a fixed seed, and one stanza at a time.
//!
//! A recording has one line for each carrying stanza. If the wire changes on purpose, the new recording is in the file
//! that the failing test names, and replaces the old one.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use xtls_tests::net::Seen;
use xtls_tests::pair::{Pair, Settings, Who, message};
use xtls_tls::trust::Policy;

/// A conversation that has one of everything: short and long stanzas in both directions, a half-close, and the end.
fn conversation(settings: Settings) -> Vec<Seen> {
    let mut pair = settings.build();
    let (romeo, juliet) = pair.establish(Who::Romeo);
    let say = |pair: &mut Pair, who, body: &str| {
        let id = match who {
            Who::Romeo => romeo,
            Who::Juliet => juliet,
        };
        let number = pair.log().len();
        pair.send(who, id, &message(&format!("m{number}"), body))
            .unwrap();
        pair.drive();
    };
    say(&mut pair, Who::Romeo, "See how she leans her cheek");
    say(&mut pair, Who::Juliet, "Ay me");
    say(&mut pair, Who::Romeo, &"O, speak again! ".repeat(3000));
    say(&mut pair, Who::Juliet, "<>&'\" \u{1F339}");
    let now = pair.now;
    pair.end(Who::Romeo)
        .router
        .tunnel(now, romeo)
        .unwrap()
        .finish();
    pair.drive();
    say(&mut pair, Who::Juliet, "Good night, good night!");
    let now = pair.now;
    pair.end(Who::Juliet)
        .router
        .tunnel(now, juliet)
        .unwrap()
        .finish();
    pair.drive();
    pair.log().to_vec()
}

#[track_caller]
fn as_recorded(name: &str, log: &[Seen]) {
    let mut wire = String::new();
    for seen in log {
        let text = String::from_utf8(seen.xml.to_vec()).unwrap();
        writeln!(wire, "{} → {}: {text}", seen.from, seen.to).unwrap();
    }
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recorded/{name}.txt"));
    let recorded = fs::read_to_string(&recording).unwrap_or_default();
    if recorded != wire {
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.txt"));
        fs::write(&fresh, &wire).unwrap();
        let line = recorded
            .lines()
            .zip(wire.lines())
            .take_while(|(old, new)| old == new);
        panic!(
            "the wire differs from {} in line {}; what it is now stands in {}",
            recording.display(),
            line.count() + 1,
            fresh.display()
        );
    }
}

#[test]
fn the_flow_of_the_letter_is_as_recorded() {
    as_recorded("letter", &conversation(Settings::seeded(101).letter()));
}

#[test]
fn a_tunnel_with_an_early_hello_is_as_recorded() {
    as_recorded("early", &conversation(Settings::seeded(102)));
}

#[test]
fn a_first_contact_is_as_recorded() {
    let strangers = Settings::seeded(103).strangers(Policy::Ask);
    as_recorded("strangers", &conversation(strangers));
}
