//! The letter of December 2008, sentence by sentence, on the recorded wire.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

use xtls_ibb::Window;
use xtls_session::Receipt;
use xtls_stanza::xtls::Control;
use xtls_stanza::{Content, Payload};
use xtls_tests::net::Seen;
use xtls_tests::pair::{Settings, Who, message};

/// The payload of each chunk that `who` sent, in order.
fn chunks(log: &[Seen], who: Who) -> Vec<Vec<u8>> {
    let data = |seen: &Seen| match seen.envelope().content {
        Content::Set(Payload::Data(data)) if seen.from == who.address() => {
            Some(data.bytes.to_vec())
        }
        _ => None,
    };
    log.iter().filter_map(data).collect()
}

/// The kind of a carrying stanza, in one word.
fn word(seen: &Seen) -> &'static str {
    match seen.envelope().content {
        Content::Set(Payload::Open(_)) => "open",
        Content::Set(Payload::Data(_)) => "data",
        Content::Set(Payload::Close(_)) => "ibb close",
        Content::Set(Payload::Xtls(Control::Close { .. })) => "xtls close",
        Content::Result(Some(Payload::Xtls(Control::Closed))) => "xtls closed",
        Content::Result(None) => "result",
        _ => "other",
    }
}

/// The types of the TLS records in a byte string that starts at a record boundary.
fn records(mut bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut records = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        records.push((*kind, length));
        bytes = rest.get(length..).unwrap_or(&[]);
    }
    records
}

#[test]
fn one_iq_may_carry_many_stanzas() {
    let mut pair = Settings::seeded(1).letter().build();
    let (romeo, _) = pair.establish(Who::Romeo);
    let before = chunks(pair.log(), Who::Romeo).len();
    let sent: Vec<_> = (0..50)
        .map(|n| message(&format!("m{n}"), "Call me but love"))
        .collect();
    // All in one go: nothing leaves before the last has been written.
    for stanza in &sent {
        pair.send(Who::Romeo, romeo, stanza).unwrap();
    }
    pair.drive();
    let carrying = chunks(pair.log(), Who::Romeo).len() - before;
    assert_eq!(pair.received(Who::Juliet).len(), sent.len());
    assert!(
        carrying * 10 <= sent.len(),
        "{} stanzas in {carrying} IQs",
        sent.len()
    );
}

#[test]
fn one_stanza_may_span_many_iqs() {
    let window = Window::Fixed {
        bytes: 4096,
        chunk: 512,
    };
    let mut pair = Settings::seeded(2)
        .letter()
        .ibb(xtls_ibb::Config::default().window(window))
        .build();
    let (romeo, _) = pair.establish(Who::Romeo);
    let before = chunks(pair.log(), Who::Romeo).len();
    let long = message("m1", &"O, speak again, bright angel! ".repeat(1000));
    pair.send(Who::Romeo, romeo, &long).unwrap();
    pair.drive();
    let carrying = chunks(pair.log(), Who::Romeo).len() - before;
    assert!(carrying >= 30_000 / 512, "only {carrying} IQs");
    let received = pair.received(Who::Juliet);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].children, long.children);
}

#[test]
fn one_iq_may_carry_handshake_and_stanza() {
    let mut pair = Settings::seeded(3).letter().build();
    pair.open(Who::Romeo);
    // The initiator writes the moment it may: its last flight is still waiting to leave.
    pair.end(Who::Romeo).early = vec![message("m1", "And I'll be new baptized")];
    pair.drive();
    assert_eq!(pair.received(Who::Juliet).len(), 1);
    let chunks = chunks(pair.log(), Who::Romeo);
    assert_eq!(
        chunks.len(),
        2,
        "the hello, and the last flight with the stanza"
    );
    // ChangeCipherSpec for middleboxes, the sealed flight (certificate, signature, Finished), the sealed stanza.
    let kinds: Vec<_> = records(&chunks[1]).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [20, 23, 23]);
}

#[test]
fn tls_closes_before_the_tunnel() {
    let mut pair = Settings::seeded(4).letter().build();
    let (romeo, juliet) = pair.establish(Who::Romeo);
    pair.send(
        Who::Romeo,
        romeo,
        &message("m1", "I would not for the world they saw thee here"),
    )
    .unwrap();
    pair.drive();
    let before = pair.log().len();
    let now = pair.now;
    pair.end(Who::Romeo)
        .router
        .tunnel(now, romeo)
        .unwrap()
        .close();
    pair.drive();
    pair.end(Who::Juliet)
        .router
        .tunnel(now, juliet)
        .unwrap()
        .finish();
    pair.drive();
    let words: Vec<_> = pair.log()[before..]
        .iter()
        .map(|seen| {
            (
                if seen.from == Who::Romeo.address() {
                    "romeo"
                } else {
                    "juliet"
                },
                word(seen),
            )
        })
        .collect();
    assert_eq!(
        words,
        [
            // Romeo has finished, and Juliet has taken everything,
            ("romeo", "data"),
            ("juliet", "result"),
            ("juliet", "data"),
            ("romeo", "result"),
            // Juliet has finished, Romeo has taken everything, and sends close_notify; all of it sealed like everything
            // else,
            ("juliet", "data"),
            ("romeo", "result"),
            ("romeo", "data"),
            ("juliet", "result"),
            ("juliet", "data"),
            ("romeo", "result"),
            // then the tunnel,
            ("romeo", "xtls close"),
            ("juliet", "xtls closed"),
            // then the stream.
            ("romeo", "ibb close"),
            ("juliet", "result"),
        ]
    );
    for who in [Who::Romeo, Who::Juliet] {
        let closed = pair.closed(who);
        assert_eq!(closed.len(), 1);
        assert!(closed[0].clean, "{who:?}: {:?}", closed[0]);
        assert_eq!(closed[0].receipt, Receipt::Taken, "{who:?}");
    }
}

#[test]
fn the_open_carries_start_and_the_result_is_empty() {
    let mut pair = Settings::seeded(5).letter().build();
    pair.establish(Who::Romeo);
    let Content::Set(Payload::Open(open)) = pair.log()[0].envelope().content else {
        panic!("the first stanza is not an open");
    };
    assert!(matches!(
        Control::in_open(&open),
        Ok(Some(Control::Start { hello: None }))
    ));
    assert_eq!(pair.log()[1].envelope().content, Content::Result(None));
}

#[test]
fn stanzas_travel_without_routing_data_and_arrive_with_it() {
    let mut pair = Settings::seeded(6).letter().build();
    let (romeo, _) = pair.establish(Who::Romeo);
    let sent = message("m1", "It is my lady")
        .with_to(Who::Juliet.address())
        .with_from(Who::Romeo.address());
    pair.send(Who::Romeo, romeo, &sent).unwrap();
    pair.drive();
    let received = pair.received(Who::Juliet);
    assert_eq!(received[0].from, Some(Who::Romeo.address()));
    assert_eq!(received[0].to, Some(Who::Juliet.address()));
    assert_eq!(received[0].id.as_deref(), Some("m1"));
}

#[test]
fn the_responder_confirms_with_one_space() {
    let mut pair = Settings::seeded(7).letter().build();
    pair.establish(Who::Romeo);
    let juliet = chunks(pair.log(), Who::Juliet).concat();
    // After her handshake: one record of one byte of plaintext, its type and its tag.
    let last = records(&juliet).pop();
    assert_eq!(last, Some((23, 1 + 1 + 16)));
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_the_wire() {
    let wire = |seed| {
        let mut pair = Settings::seeded(seed).letter().build();
        let (romeo, juliet) = pair.establish(Who::Romeo);
        pair.send(
            Who::Romeo,
            romeo,
            &message("m1", "See how she leans her cheek"),
        )
        .unwrap();
        pair.send(Who::Juliet, juliet, &message("m2", "Ay me"))
            .unwrap();
        pair.drive();
        let now = pair.now;
        pair.end(Who::Romeo)
            .router
            .tunnel(now, romeo)
            .unwrap()
            .finish();
        pair.end(Who::Juliet)
            .router
            .tunnel(now, juliet)
            .unwrap()
            .finish();
        pair.drive();
        pair.log().to_vec()
    };
    assert_eq!(wire(8), wire(8));
    assert_ne!(wire(8), wire(9));
}
