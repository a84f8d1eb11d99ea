//! What asks for a stream, and is refused.

use std::collections::BTreeSet;

use xtls_stanza::ibb::{Carrier, Open};
use xtls_stanza::{
    Address, Condition, Content, Element, Envelope, ErrorType, Payload, StanzaError,
};

use super::support::*;
use crate::{Allow, By, Close, Config, Event, Gone, OpenError, OpenOptions, Why, WriteError};

pub(super) fn ask(hand: &mut Hand, from: &str, open: Open) -> String {
    hand.send_from(from, Content::Set(Payload::Open(open)))
}

/// Sends an open and returns its answer: `None` if the owner was asked.
pub(super) fn verdict(hand: &mut Hand, from: &str, open: Open) -> Option<(Condition, ErrorType)> {
    let id = ask(hand, from, open);
    let answers = hand.answers();
    let asked = hand
        .events()
        .iter()
        .any(|event| matches!(event, Event::Incoming { .. }));
    match &answers[..] {
        [] => {
            assert!(asked);
            None
        }
        [
            Envelope {
                id: answered,
                content: Content::Error(error),
                ..
            },
        ] => {
            assert!(!asked && *answered == id);
            Some((error.condition, error.kind))
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn generous() -> Config {
    Config::default()
        .max_streams(1000)
        .max_streams_per_peer(1000)
        .max_pending(1000)
        .max_pending_per_peer(1000)
        .opens_per_minute(1000)
        .opens_per_minute_in_all(1000)
}

#[test]
fn a_block_above_ours_is_refused_and_one_at_the_border_is_not() {
    let mut hand = Hand::new(Config::default().max_block(block(8192)));
    let refused = Some((Condition::ResourceConstraint, ErrorType::Modify));
    assert_eq!(verdict(&mut hand, ROMEO, open_of("a", 8193)), refused);
    assert_eq!(verdict(&mut hand, ROMEO, open_of("b", 8192)), None);
}

#[test]
fn a_malformed_open_is_a_bad_request() {
    let attributes = [
        "",
        "sid='s'",
        "block-size='4096'",
        "sid='' block-size='4096'",
        "sid='a b' block-size='4096'",
        "sid='s' block-size='0'",
        "sid='s' block-size='65536'",
        "sid='s' block-size='+1'",
        "sid='s' block-size=' 1'",
        "sid='s' block-size='1e3'",
        "sid='s' block-size='0x10'",
        "sid='s' block-size='-1'",
        "sid='s' block-size=''",
        "sid='s' block-size='4096' stanza='presence'",
    ];
    let too_long = format!("sid='{}' block-size='4096'", "s".repeat(257));
    for attributes in attributes.into_iter().chain([too_long.as_str()]) {
        let mut hand = Hand::new(Config::default());
        hand.read(&format!(
            "<iq from='{ROMEO}' to='{JULIET}' id='x' type='set'>\
             <open xmlns='http://jabber.org/protocol/ibb' {attributes}/></iq>"
        ));
        hand.expect_error("x", Condition::BadRequest, ErrorType::Modify);
        assert!(hand.events().is_empty());
    }
}

#[test]
fn a_sid_in_use_with_this_peer_is_refused_whichever_side_opened_it() {
    let mut hand = Hand::new(Config::default());
    let refused = Some((Condition::NotAcceptable, ErrorType::Cancel));
    assert_eq!(verdict(&mut hand, ROMEO, open_of("s", 4096)), None);
    assert_eq!(verdict(&mut hand, ROMEO, open_of("s", 4096)), refused);

    let ours = hand
        .mux
        .open(hand.now, &address(ROMEO), OpenOptions::default())
        .unwrap();
    let sid = hand.mux.sid(ours).unwrap().as_str().to_owned();
    hand.answers();
    assert_eq!(verdict(&mut hand, ROMEO, open_of(&sid, 4096)), refused);
}

#[test]
fn the_same_open_once_more_is_the_same_open() {
    let mut hand = Hand::new(Config::default());
    let open = Content::Set(Payload::Open(open_of("s", 16)));
    let twice = hand.envelope(ROMEO, "x".into(), open);
    assert_eq!(hand.mux.handle(hand.now, twice.clone()), None);
    assert_eq!(hand.mux.handle(hand.now, twice.clone()), None);
    let Some(Event::Incoming { id, .. }) = hand.mux.poll_event() else {
        panic!()
    };
    assert!(hand.mux.poll_event().is_none() && hand.answers().is_empty());
    hand.mux.stream(hand.now, id).accept(None).unwrap();
    assert!(is_result(&hand.one()));
    assert_eq!(hand.mux.handle(hand.now, twice), None);
    assert!(hand.answers().is_empty());
    hand.data(0, b"x");
    assert_eq!(hand.mux.readable(id), 1);
}

#[test]
fn one_sid_of_two_resources_is_two_streams() {
    let mut hand = Hand::new(Config::default());
    assert_eq!(verdict(&mut hand, ROMEO, open_of("s", 4096)), None);
    assert_eq!(
        verdict(
            &mut hand,
            "romeo@montague.example/phone",
            open_of("s", 4096)
        ),
        None
    );
}

#[test]
fn message_mode_is_refused_unless_switched_on() {
    let open = Open {
        carrier: Carrier::Message,
        ..open_of("s", 4096)
    };
    let refused = Some((Condition::FeatureNotImplemented, ErrorType::Cancel));
    assert_eq!(
        verdict(&mut Hand::new(Config::default()), ROMEO, open.clone()),
        refused
    );
    assert_eq!(
        verdict(
            &mut Hand::new(Config::default().messages(true)),
            ROMEO,
            open
        ),
        None
    );
}

#[test]
fn strangers_get_the_answer_of_a_client_without_bytestreams() {
    let mut hand = Hand::new(generous().opens_per_minute_in_all(1));
    let friends = BTreeSet::from([address("nurse@capulet.example").to_bare()]);
    hand.mux.allow(Allow::Only(friends));
    let stranger = Some((Condition::ServiceUnavailable, ErrorType::Cancel));
    for _ in 0..10 {
        assert_eq!(verdict(&mut hand, ROMEO, open_of("s", 16)), stranger);
    }
    // They count against no one's limit.
    assert_eq!(
        verdict(&mut hand, "nurse@capulet.example/hall", open_of("s", 16)),
        None
    );
}

#[test]
fn by_default_every_peer_is_a_stranger() {
    let mut hand = Hand::new(Config::default());
    hand.mux = crate::Mux::new(address(JULIET), Config::default(), [3; 32]);
    let id = ask(&mut hand, ROMEO, open_of("s", 16));
    hand.expect_error(&id, Condition::ServiceUnavailable, ErrorType::Cancel);
    assert!(hand.events().is_empty() && hand.mux.is_empty());
    hand.mux.expect(address(ROMEO), sid("s"));
    hand.offer(open_of("s", 16));
}

#[test]
fn a_stranger_is_not_told_what_is_wrong_with_the_open() {
    let mut hand = Hand::new(Config::default());
    hand.mux.allow(Allow::Expected);
    hand.read(&format!(
        "<iq from='{ROMEO}' to='{JULIET}' id='x' type='set'>\
         <open xmlns='http://jabber.org/protocol/ibb' sid='s' block-size='0'/></iq>"
    ));
    hand.expect_error("x", Condition::ServiceUnavailable, ErrorType::Cancel);
}

#[test]
fn an_expected_stream_passes_once_and_no_other() {
    let mut hand = Hand::new(generous());
    hand.mux.allow(Allow::Expected);
    hand.mux.expect(address(ROMEO), sid("s"));
    let stranger = Some((Condition::ServiceUnavailable, ErrorType::Cancel));
    assert_eq!(verdict(&mut hand, ROMEO, open_of("t", 16)), stranger);
    assert_eq!(
        verdict(&mut hand, "romeo@montague.example/x", open_of("s", 16)),
        stranger
    );
    assert_eq!(verdict(&mut hand, ROMEO, open_of("s", 16)), None);
    hand.close();
    hand.events();
    hand.answers();
    assert_eq!(verdict(&mut hand, ROMEO, open_of("s", 16)), stranger);
}

#[test]
fn announcements_are_limited_and_the_oldest_goes() {
    let mut hand = Hand::new(generous());
    hand.mux.allow(Allow::Expected);
    for n in 0..257 {
        hand.mux.expect(address(ROMEO), sid(&format!("s{n}")));
    }
    let stranger = Some((Condition::ServiceUnavailable, ErrorType::Cancel));
    assert_eq!(verdict(&mut hand, ROMEO, open_of("s0", 16)), stranger);
    assert_eq!(verdict(&mut hand, ROMEO, open_of("s1", 16)), None);
}

#[test]
fn an_open_that_the_owner_never_answers_expires_after_50_seconds() {
    let mut hand = Hand::new(Config::default());
    let request = ask(&mut hand, ROMEO, open_of("s", 16));
    let Some(Event::Incoming { id, .. }) = hand.mux.poll_event() else {
        panic!()
    };
    hand.pass(millis(49_999));
    assert!(hand.answers().is_empty());
    assert_eq!(
        hand.mux.poll_timeout().unwrap().why,
        "the owner's answer to an open"
    );
    hand.pass(millis(1));
    hand.expect_error(&request, Condition::NotAcceptable, ErrorType::Cancel);
    assert_eq!(
        hand.closed(),
        Some(Close {
            by: By::Us,
            why: Why::Expired
        })
    );
    assert_eq!(hand.mux.stream(hand.now, id).accept(None), Err(Gone));
    assert!(hand.answers().is_empty());
}

#[test]
fn a_refused_open_gets_the_owners_error_and_ends() {
    let mut hand = Hand::new(Config::default());
    let request = ask(&mut hand, ROMEO, open_of("s", 16));
    let Some(Event::Incoming { id, from, .. }) = hand.mux.poll_event() else {
        panic!()
    };
    assert_eq!(from, address(ROMEO));
    assert_eq!(
        hand.mux.stream(hand.now, id).write("x".into()),
        Err(WriteError::NotAccepted)
    );
    let conflict = StanzaError::new(ErrorType::Cancel, Condition::Conflict);
    hand.mux
        .stream(hand.now, id)
        .refuse(conflict.clone())
        .unwrap();
    hand.expect_error(&request, Condition::Conflict, ErrorType::Cancel);
    assert_eq!(
        hand.closed(),
        Some(Close {
            by: By::Us,
            why: Why::Declined
        })
    );
    assert_eq!(hand.mux.stream(hand.now, id).refuse(conflict), Err(Gone));
}

#[test]
fn what_is_not_to_our_exact_address_is_not_ours() {
    let mut hand = Hand::new(Config::default());
    for to in [
        None,
        Some("juliet@capulet.example"),
        Some("juliet@capulet.example/other"),
    ] {
        let envelope = Envelope {
            to: to.map(address),
            ..hand.envelope(
                ROMEO,
                "x".into(),
                Content::Set(Payload::Open(open_of("s", 16))),
            )
        };
        assert_eq!(hand.mux.handle(hand.now, envelope.clone()), Some(envelope));
    }
    assert!(hand.answers().is_empty() && hand.events().is_empty());
}

#[test]
fn what_has_no_full_sender_is_not_ours() {
    let mut hand = Hand::new(Config::default());
    for from in [
        None,
        Some("montague.example"),
        Some("romeo@montague.example"),
    ] {
        let envelope = Envelope {
            from: from.map(address),
            ..hand.envelope(
                ROMEO,
                "x".into(),
                Content::Set(Payload::Open(open_of("s", 16))),
            )
        };
        assert_eq!(hand.mux.handle(hand.now, envelope.clone()), Some(envelope));
    }
    assert!(hand.answers().is_empty() && hand.events().is_empty());
}

#[test]
fn an_open_from_ourselves_is_refused() {
    let mut hand = Hand::new(Config::default());
    let id = ask(&mut hand, JULIET, open_of("s", 16));
    let answer = hand.one();
    assert!(answer.id == id && matches!(answer.content, Content::Error(_)));
    let refused = hand
        .mux
        .open(hand.now, &address(JULIET), OpenOptions::default());
    assert_eq!(refused, Err(OpenError::OwnAddress));
    let bare: Address = address("romeo@montague.example");
    let refused = hand.mux.open(hand.now, &bare, OpenOptions::default());
    assert_eq!(refused, Err(OpenError::NotFull));
}

#[test]
fn a_get_and_an_unknown_element_are_not_implemented() {
    let mut hand = Hand::new(Config::default());
    let get = hand.send(Content::Get(Payload::Open(open_of("s", 16))));
    hand.expect_error(&get, Condition::FeatureNotImplemented, ErrorType::Cancel);
    let odd = Element::new("rewind", xtls_stanza::ibb::NS);
    let odd = hand.send(Content::Set(Payload::read(&odd)));
    hand.expect_error(&odd, Condition::FeatureNotImplemented, ErrorType::Cancel);
}

#[test]
fn other_requests_are_not_ours() {
    let mut hand = Hand::new(Config::default());
    let envelope = hand.envelope(ROMEO, "x".into(), Content::Get(Payload::Ping));
    assert_eq!(hand.mux.handle(hand.now, envelope.clone()), Some(envelope));
    assert!(hand.answers().is_empty());
}

#[test]
fn an_open_that_comes_again_after_its_end_does_not_begin_anew() {
    let mut hand = Hand::new(Config::default());
    let open = || Content::Set(Payload::Open(open_of("s", 4096)));
    let envelope = hand.envelope(ROMEO, "r1".to_owned(), open());
    hand.mux.handle(hand.now, envelope.clone());
    let [Event::Incoming { id, .. }] = hand.events()[..] else {
        panic!("the owner is asked");
    };
    let conflict = StanzaError::new(ErrorType::Cancel, Condition::Conflict);
    hand.mux.stream(hand.now, id).refuse(conflict).unwrap();
    assert_eq!(hand.answers().len(), 1);
    hand.events();
    // What a resumed link sends again (XEP-0198): the one answer serves both.
    hand.mux.handle(hand.now, envelope);
    assert!(hand.events().is_empty() && hand.answers().is_empty());
    // The same name in another request is another open.
    let envelope = hand.envelope(ROMEO, "r2".to_owned(), open());
    hand.mux.handle(hand.now, envelope);
    assert!(matches!(hand.events()[..], [Event::Incoming { .. }]));
}
