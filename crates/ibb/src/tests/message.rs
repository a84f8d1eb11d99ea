//! Message mode.

use xtls_stanza::ibb::{Carrier, Open};
use xtls_stanza::{
    Address, Condition, Content, Element, Envelope, ErrorType, MessageKind, Payload, StanzaError,
    hints,
};

use super::pair::Pair;
use super::support::*;
use crate::{By, Close, Config, Loss, OpenOptions, StreamId, Violation, Why};

fn with_stream() -> (Hand, StreamId) {
    let mut hand = Hand::new(Config::default().messages(true));
    let id = hand.offer(Open {
        carrier: Carrier::Message,
        ..open_of("s", 16)
    });
    hand.mux.stream(hand.now, id).accept(None).unwrap();
    hand.answers();
    (hand, id)
}

fn chunk(seq: u16, bytes: &'static [u8]) -> Payload {
    Payload::Data(data_of("s", seq, bytes))
}

#[test]
fn a_chunk_in_a_message_is_taken_and_never_answered() {
    let (mut hand, id) = with_stream();
    assert_eq!(hand.message(vec![chunk(0, b"hello")]), None);
    assert_eq!(hand.mux.stream(hand.now, id).read(99).unwrap(), "hello");
    assert!(hand.answers().is_empty());
}

#[test]
fn a_chunk_leaves_with_hints_against_copies_and_archives() {
    let (mut hand, id) = with_stream();
    hand.mux.stream(hand.now, id).write("hello".into()).unwrap();
    let message = hand.one();
    assert_eq!(message.to, Some(address(ROMEO)));
    assert!(!message.id.is_empty());
    let Content::Message {
        kind,
        payloads,
        error,
    } = &message.content
    else {
        panic!()
    };
    assert_eq!((*kind, error), (MessageKind::Normal, &None));
    assert_eq!(data_in(&message).bytes, "hello");
    let others = [
        hints::Hint::NoCopy.to_element(),
        hints::Hint::NoStore.to_element(),
        hints::private(),
    ];
    assert_eq!(payloads[1..], others.map(Payload::Other));
    // Nothing is awaited.
    assert_eq!(hand.mux.poll_timeout(), None);
}

/// Each of these looks like the chunk that is due, and none of them is.
#[test]
fn a_message_that_is_not_straight_from_the_peer_is_not_ours() {
    let (mut hand, id) = with_stream();
    let with = |name: &str, ns: &str| vec![chunk(0, b"x"), Payload::Other(Element::new(name, ns))];
    let indirect = [
        with("delay", "urn:xmpp:delay"),
        with("x", "jabber:x:delay"),
        with("forwarded", "urn:xmpp:forward:0"),
        with("received", "urn:xmpp:carbons:2"),
        with("sent", "urn:xmpp:carbons:2"),
        with("result", "urn:xmpp:mam:2"),
        vec![chunk(0, b"x"), chunk(1, b"y")],
        vec![Payload::Data(data_of("t", 0, b"x"))],
        vec![],
    ];
    for payloads in indirect {
        assert!(hand.message(payloads.clone()).is_some(), "{payloads:?}");
    }
    let message = |kind| Content::Message {
        kind,
        payloads: vec![chunk(0, b"x")],
        error: None,
    };
    let own: Address = address(JULIET);
    let odd = [
        hand.envelope(
            "romeo@montague.example/phone",
            "m".into(),
            message(MessageKind::Normal),
        ),
        hand.envelope(
            "romeo@montague.example",
            "m".into(),
            message(MessageKind::Normal),
        ),
        hand.envelope(JULIET, "m".into(), message(MessageKind::Normal)),
        hand.envelope(ROMEO, "m".into(), message(MessageKind::Groupchat)),
        hand.envelope(ROMEO, "m".into(), message(MessageKind::Error)),
        Envelope {
            to: Some(own.to_bare().into()),
            ..hand.envelope(ROMEO, "m".into(), message(MessageKind::Normal))
        },
        Envelope {
            to: None,
            ..hand.envelope(ROMEO, "m".into(), message(MessageKind::Normal))
        },
    ];
    for envelope in odd {
        assert_eq!(hand.mux.handle(hand.now, envelope.clone()), Some(envelope));
    }
    assert!(hand.answers().is_empty() && hand.events().is_empty());
    assert_eq!(hand.message(vec![chunk(0, b"true")]), None);
    assert_eq!(hand.mux.stream(hand.now, id).read(99).unwrap(), "true");
}

#[test]
fn hints_and_private_do_not_make_a_message_indirect() {
    let (mut hand, id) = with_stream();
    let payloads = vec![
        chunk(0, b"x"),
        Payload::Other(hints::private()),
        Payload::Other(hints::Hint::NoCopy.to_element()),
        Payload::Other(Element::new("amp", "http://jabber.org/protocol/amp")),
    ];
    assert_eq!(hand.message(payloads), None);
    assert_eq!(hand.mux.stream(hand.now, id).read(99).unwrap(), "x");
}

#[test]
fn a_message_never_carries_the_chunk_of_a_stream_over_iq() {
    let (mut hand, id) = Hand::with_stream(Config::default().messages(true));
    assert!(hand.message(vec![chunk(0, b"x")]).is_some());
    assert_eq!(hand.mux.readable(id), 0);
}

#[test]
fn a_request_may_carry_the_chunk_of_a_stream_over_messages() {
    let (mut hand, id) = with_stream();
    assert_eq!(hand.message(vec![chunk(0, b"a")]), None);
    let request = hand.data(1, b"b");
    hand.mux.stream(hand.now, id).read(99);
    hand.mux.stream(hand.now, id).read(99);
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == request);
}

#[test]
fn a_gap_between_messages_closes_the_stream() {
    let (mut hand, _) = with_stream();
    assert_eq!(hand.message(vec![chunk(1, b"x")]), None);
    assert!(is_close(&hand.one()));
    let violation = Violation::Gap {
        expected: seq(0),
        found: seq(1),
    };
    assert_eq!(
        hand.closed(),
        Some(Close {
            by: By::Us,
            why: Why::Violation(violation)
        })
    );
}

#[test]
fn a_repeated_message_is_passed_over() {
    let (mut hand, id) = with_stream();
    for _ in 0..3 {
        assert_eq!(hand.message(vec![chunk(0, b"once")]), None);
    }
    assert_eq!(hand.mux.stream(hand.now, id).read(99).unwrap(), "once");
    assert_eq!(hand.mux.stream(hand.now, id).read(99), None);
    assert_eq!(hand.mux.stats(id).unwrap().duplicates, 2);
}

#[test]
fn an_unreadable_chunk_in_a_message_closes_the_stream_without_an_answer() {
    let (mut hand, _) = with_stream();
    hand.read(&format!(
        "<message from='{ROMEO}' to='{JULIET}' id='x'>\
         <data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>AAA</data></message>"
    ));
    assert!(is_close(&hand.one()));
    assert!(matches!(
        hand.closed().unwrap().why,
        Why::Violation(Violation::Unreadable(_))
    ));
}

#[test]
fn a_reader_that_does_not_read_runs_into_the_cap() {
    let mut hand = Hand::new(Config::default().messages(true).receive_cap(1000));
    let id = hand.offer(Open {
        carrier: Carrier::Message,
        ..open_of("s", 16)
    });
    hand.mux.stream(hand.now, id).accept(None).unwrap();
    hand.answers();
    for n in 0..8 {
        hand.message(vec![chunk(n, b"x")]);
    }
    assert!(is_close(&hand.one()));
    assert_eq!(hand.mux.readable(id), 7);
}

#[test]
fn a_message_that_comes_back_ends_the_stream() {
    let (mut hand, id) = with_stream();
    hand.mux.stream(hand.now, id).write("hello".into()).unwrap();
    let message = hand.one();
    let error = Some(StanzaError::new(
        ErrorType::Cancel,
        Condition::ServiceUnavailable,
    ));
    let content = Content::Message {
        kind: MessageKind::Error,
        payloads: vec![],
        error,
    };
    for (from, name) in [
        (ROMEO, "other"),
        ("romeo@montague.example/x", message.id.as_str()),
    ] {
        let stray = hand.envelope(from, name.into(), content.clone());
        assert!(hand.mux.handle(hand.now, stray).is_some());
    }
    let bounce = hand.envelope(ROMEO, message.id, content);
    assert_eq!(hand.mux.handle(hand.now, bounce), None);
    assert_eq!(
        hand.closed(),
        Some(Close {
            by: By::Peer,
            why: Why::Lost(Loss::Message)
        })
    );
}

#[test]
fn two_muxes_talk_over_messages() {
    let mut pair = Pair::new(Config::default(), Config::default().messages(true));
    let options = OpenOptions::default().carrier(Carrier::Message);
    let (ours, theirs) = pair.stream(options);
    let long: Vec<u8> = (0..50_000u32)
        .map(|i| u8::try_from(i % 253).unwrap())
        .collect();
    pair.queue(0, ours, &long);
    pair.queue(1, theirs, &long);
    pair.run(seconds(10));
    assert!(pair.ends[1].received[&theirs] == long);
    assert!(pair.ends[0].received[&ours] == long);
    pair.close(0, ours);
    pair.run(seconds(5));
    assert_eq!(pair.ends[0].why(ours), Some(Why::Done));
    assert_eq!(pair.ends[1].why(theirs), Some(Why::Done));
}
