//! `--record`: what its file contains, and what it doesn't.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use xtls_tests::live::canary::Canary;
use xtls_tests::live::person::Person;
use xtls_tests::live::program::end_both;
use xtls_tests::live::server::Server;

/// One stanza in each direction with both ends recording, the listener its plaintext too. Returns what they recorded.
async fn recorded(canary: &Canary) -> [String; 2] {
    let (romeo, juliet) = Person::pair(&Server::free());
    let files = [romeo.file("record"), juliet.file("record")];
    let [ours, theirs] = files.each_ref().map(|file| file.to_str().unwrap());
    let accept = romeo.address();
    let more = [
        "--accept",
        accept.as_str(),
        "--record",
        theirs,
        "--record-plaintext",
    ];
    let mut listener = juliet.listen("stanzas", "record", &more).await;
    let to = juliet.at("record");
    let mut initiator = romeo
        .online(&["stanzas", to.as_str(), "--record", ours])
        .start();
    let stanza = format!("<message id='m1'><body>{}</body></message>", canary.word());
    initiator.say(&stanza).await;
    listener.text().await;
    listener.say(&stanza).await;
    initiator.text().await;
    for ended in end_both(initiator, listener).await {
        ended.expect(0).silent();
    }
    for file in &files {
        assert_eq!(
            std::fs::metadata(file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    // A recording is never overwritten.
    let again = romeo
        .online(&["stanzas", to.as_str(), "--record", ours])
        .run()
        .await;
    again.expect(2).silent().saying("cannot record to");
    files.map(|file| std::fs::read_to_string(file).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_holds_plaintext_only_when_asked_to() {
    let canary = Canary::new(7);
    let [ours, theirs] = recorded(&canary).await;
    assert_eq!(canary.found_in(ours.as_bytes()), [""; 0]);
    assert_eq!(canary.found_in(theirs.as_bytes()), ["raw"]);
    for recording in [ours, theirs] {
        let lines: Vec<Value> = recording
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of = |layer: &str, direction: &str| {
            lines
                .iter()
                .filter(|line| line["layer"] == layer && line["direction"] == direction)
                .count()
        };
        for direction in ["in", "out"] {
            assert_eq!(of("inner", direction), 1, "{direction}");
            assert!(of("carrying", direction) >= 4, "{direction}");
        }
        let said = |what: &str| {
            lines
                .iter()
                .any(|line| line["xml"].as_str().is_some_and(|xml| xml.contains(what)))
        };
        for what in [
            "<start xmlns='urn:xmpp:tmp:xtls'",
            "<data xmlns='http://jabber.org/protocol/ibb'",
            "<closed xmlns=",
        ] {
            assert!(said(what), "{what} is not recorded");
        }
        let times: Vec<_> = lines
            .iter()
            .map(|line| line["us"].as_u64().unwrap())
            .collect();
        assert!(times.is_sorted());
    }
}
