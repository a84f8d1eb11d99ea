//! What others may ask for at a time, in a minute, and how large.

use xtls_stanza::busy::{Busy, Limit};
use xtls_stanza::ibb::Open;
use xtls_stanza::{Condition, Content, Element, Envelope, ErrorType, Payload};

use super::admission::{ask, generous, verdict};
use super::support::*;
use crate::{Allow, Config, Event, OpenError, OpenOptions};

const TOO_MANY: Option<(Condition, ErrorType)> =
    Some((Condition::PolicyViolation, ErrorType::Wait));

#[test]
fn the_seventh_open_within_a_minute_is_one_too_many_for_this_peer_only() {
    let mut hand = Hand::new(generous().opens_per_minute(6).accept_timeout(seconds(600)));
    for n in 0..6 {
        let from = format!("romeo@montague.example/r{n}");
        assert_eq!(verdict(&mut hand, &from, open_of("s", 4096)), None);
    }
    assert_eq!(verdict(&mut hand, ROMEO, open_of("t", 4096)), TOO_MANY);
    assert_eq!(
        verdict(&mut hand, "nurse@capulet.example/hall", open_of("s", 4096)),
        None
    );
    hand.pass(millis(59_999));
    assert_eq!(verdict(&mut hand, ROMEO, open_of("t", 4096)), TOO_MANY);
    hand.pass(millis(1));
    assert_eq!(verdict(&mut hand, ROMEO, open_of("t", 4096)), None);
}

#[test]
fn a_peer_whose_key_is_known_may_open_more_often() {
    let config = generous().opens_per_minute(2).opens_per_minute_known(4);
    let mut hand = Hand::new(config);
    for n in 0..4 {
        let open = Content::Set(Payload::Open(open_of(&format!("s{n}"), 16)));
        let envelope = hand.envelope(ROMEO, format!("k{n}"), open);
        assert_eq!(hand.mux.handle_known(hand.now, envelope), None);
        assert!(matches!(hand.events()[..], [Event::Incoming { .. }]));
    }
    let open = Content::Set(Payload::Open(open_of("t", 16)));
    let envelope = hand.envelope(ROMEO, "k4".to_owned(), open);
    assert_eq!(hand.mux.handle_known(hand.now, envelope), None);
    let Content::Error(error) = hand.one().content else {
        panic!("one more is too many");
    };
    let busy = Busy {
        limit: Limit::OpensPerMinuteKnown,
        most: 4,
        wait: 60,
    };
    assert_eq!(Busy::read(&error), Some(busy));
}

#[test]
fn a_refusal_names_the_limit_and_the_wait_and_the_owner_gets_one_event_for_it() {
    let mut hand = Hand::new(generous().opens_per_minute(1).accept_timeout(seconds(600)));
    assert_eq!(verdict(&mut hand, ROMEO, open_of("s", 16)), None);
    hand.pass(seconds(23));
    let busy = Busy {
        limit: Limit::OpensPerMinute,
        most: 1,
        wait: 37,
    };
    for n in 0..100 {
        ask(&mut hand, ROMEO, open_of(&format!("t{n}"), 16));
        let Content::Error(error) = hand.one().content else {
            panic!("it is one too many");
        };
        assert_eq!(error, busy.to_error());
    }
    let events = hand.events();
    let [
        Event::TurnedAway {
            from,
            busy: reported,
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((from, *reported), (&address(ROMEO), busy));
    ask(&mut hand, ROMEO, open_of("u", 16));
    assert_eq!(hand.events().len(), 1);
}

#[test]
fn every_limit_has_a_name_by_which_it_is_set() {
    for (limit, from) in [
        (Limit::StreamsPerPeer, ROMEO),
        (Limit::Streams, ROMEO),
        (Limit::PendingPerPeer, ROMEO),
        (Limit::Pending, "other@x.example/1"),
        (Limit::OpensPerMinute, ROMEO),
        (Limit::OpensPerMinuteInAll, "other@x.example/1"),
    ] {
        let mut config = generous();
        assert!(config.set_limit(limit, 1));
        let mut hand = Hand::new(config);
        assert_eq!(verdict(&mut hand, ROMEO, open_of("s", 16)), None);
        ask(&mut hand, from, open_of("t", 16));
        let Content::Error(error) = hand.one().content else {
            panic!("{limit}: it is one too many");
        };
        let busy = Busy::read(&error).unwrap();
        assert_eq!((busy.limit, busy.most), (limit, 1));
        assert!((1..=60).contains(&busy.wait), "{busy:?}");
    }
    assert!(!generous().set_limit(Limit::Incoming, 1));
}

#[test]
fn a_block_that_is_too_large_counts_against_no_limit() {
    let config = Config::default().max_block(block(256)).opens_per_minute(1);
    let mut hand = Hand::new(config);
    for size in [65535, 32767, 16383, 8191, 4095, 2047, 1023, 511] {
        let refused = Some((Condition::ResourceConstraint, ErrorType::Modify));
        assert_eq!(verdict(&mut hand, ROMEO, open_of("s", size)), refused);
    }
    assert_eq!(verdict(&mut hand, ROMEO, open_of("s", 256)), None);
}

#[test]
fn opens_a_minute_are_limited_in_all() {
    let mut hand = Hand::new(generous().opens_per_minute_in_all(3));
    for n in 0..3 {
        assert_eq!(
            verdict(&mut hand, &format!("u{n}@x.example/r"), open_of("s", 16)),
            None
        );
    }
    assert_eq!(
        verdict(&mut hand, "u3@x.example/r", open_of("s", 16)),
        TOO_MANY
    );
}

#[test]
fn a_flood_of_refused_opens_does_not_prolong_the_ban() {
    let mut hand = Hand::new(generous().opens_per_minute(1));
    assert_eq!(verdict(&mut hand, ROMEO, open_of("s", 16)), None);
    for _ in 0..100 {
        assert_eq!(verdict(&mut hand, ROMEO, open_of("t", 16)), TOO_MANY);
    }
    hand.pass(seconds(60));
    hand.answers();
    hand.events();
    assert_eq!(verdict(&mut hand, ROMEO, open_of("t", 16)), None);
}

#[test]
fn pending_opens_are_limited_for_each_peer_and_in_all() {
    let mut hand = Hand::new(generous().max_pending_per_peer(2).max_pending(3));
    for n in 0..2 {
        let open = open_of(&format!("s{n}"), 16);
        assert_eq!(verdict(&mut hand, ROMEO, open), None);
    }
    assert_eq!(verdict(&mut hand, ROMEO, open_of("t", 16)), TOO_MANY);
    assert_eq!(verdict(&mut hand, "a@x.example/r", open_of("s", 16)), None);
    assert_eq!(
        verdict(&mut hand, "b@x.example/r", open_of("s", 16)),
        TOO_MANY
    );
}

#[test]
fn streams_are_limited_for_each_peer_and_in_all() {
    let mut hand = Hand::new(generous().max_streams_per_peer(2).max_streams(3));
    for n in 0..2 {
        let id = hand.offer(open_of(&format!("s{n}"), 16));
        hand.mux.stream(hand.now, id).accept(None).unwrap();
    }
    hand.answers();
    assert_eq!(verdict(&mut hand, ROMEO, open_of("t", 16)), TOO_MANY);
    hand.mux
        .open(hand.now, &address(ROMEO), OpenOptions::default())
        .unwrap();
    hand.answers();
    assert_eq!(
        verdict(&mut hand, "a@x.example/r", open_of("s", 16)),
        TOO_MANY
    );
    let refused = hand
        .mux
        .open(hand.now, &address(ROMEO), OpenOptions::default());
    assert_eq!(refused, Err(OpenError::TooMany { max: 3 }));
}

#[test]
fn a_full_outbox_drops_answers_instead_of_growing() {
    let mut hand = Hand::new(Config::default().outbox(10_000));
    for _ in 0..100 {
        hand.send(Content::Set(Payload::Data(data_of("nowhere", 0, b"x"))));
    }
    assert!(hand.mux.is_crowded());
    let answers = hand.answers();
    let weight: usize = answers.iter().map(Envelope::weight).sum();
    assert!(weight <= 10_000 && weight + answers[0].weight() > 10_000);
    assert!(!hand.mux.is_crowded());
}

#[test]
fn a_request_with_an_id_above_1023_bytes_is_refused_and_reaches_no_stream() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    for (length, reaches) in [(1024, false), (1023, true)] {
        let data = Content::Set(Payload::Data(data_of("s", 0, b"x")));
        let envelope = hand.envelope(ROMEO, "i".repeat(length), data);
        assert_eq!(hand.mux.handle(hand.now, envelope), None);
        assert_eq!(hand.mux.readable(id) == 1, reaches);
        if !reaches {
            let request = "i".repeat(length);
            let answer = hand.one();
            let Content::Error(error) = answer.content else {
                panic!("{length} bytes are one too many");
            };
            assert_eq!(
                (answer.id, error.condition),
                (request, Condition::BadRequest)
            );
        }
    }
    // A peer that may not open learns nothing from it.
    hand.mux.allow(Allow::Expected);
    let open = Content::Set(Payload::Open(open_of("t", 16)));
    let envelope = hand.envelope(ROMEO, "i".repeat(1024), open);
    assert_eq!(hand.mux.handle(hand.now, envelope), None);
    let request = "i".repeat(1024);
    hand.expect_error(&request, Condition::ServiceUnavailable, ErrorType::Cancel);
}

#[test]
fn an_open_that_weighs_more_than_64_kib_is_a_bad_request() {
    let mut hand = Hand::new(generous());
    let with = |bytes: usize| {
        let note = Element::new("note", "urn:example:note").with_text("x".repeat(bytes));
        Open {
            extensions: vec![note],
            ..open_of("s", 4096)
        }
    };
    let weight = |hand: &Hand, bytes| {
        let open = Content::Set(Payload::Open(with(bytes)));
        hand.envelope(ROMEO, "r1".to_owned(), open).weight()
    };
    let most = 65_536 - (weight(&hand, 10_000) - 10_000);
    assert_eq!(weight(&hand, most), 65_536);
    let refused = Some((Condition::BadRequest, ErrorType::Modify));
    assert_eq!(verdict(&mut hand, ROMEO, with(most + 1)), refused);
    assert_eq!(verdict(&mut hand, ROMEO, with(most)), None);
}
