//! Chunks that come in: order, size, repetition, back-pressure.

use xtls_stanza::{Condition, Content, ErrorType, Payload};

use super::support::*;
use crate::{By, Close, Config, Event, Violation, Why};

/// The stream has ended for this fault of the peer's; `<close/>` was the last stanza.
fn ended_by(hand: &mut Hand, violation: Violation) {
    assert_eq!(
        hand.closed(),
        Some(Close {
            by: By::Us,
            why: Why::Violation(violation)
        })
    );
    let late = hand.data(0, b"late");
    hand.expect_error(&late, Condition::ItemNotFound, ErrorType::Cancel);
}

fn refused_and_closed(hand: &mut Hand, id: &str, condition: Condition) {
    let answers = hand.answers();
    let kinds: Vec<bool> = answers.iter().map(is_close).collect();
    assert_eq!(kinds, [false, true], "{answers:?}");
    assert_eq!(answers[0].id, id);
    let Content::Error(error) = &answers[0].content else {
        panic!("{answers:?}")
    };
    assert_eq!(
        (error.condition, error.kind),
        (condition, ErrorType::Cancel)
    );
}

#[test]
fn a_chunk_for_an_unknown_sid_finds_no_item() {
    let mut hand = Hand::new(Config::default());
    let id = hand.data(0, b"x");
    hand.expect_error(&id, Condition::ItemNotFound, ErrorType::Cancel);
    let id = hand.close();
    hand.expect_error(&id, Condition::ItemNotFound, ErrorType::Cancel);
}

#[test]
fn a_chunk_from_another_resource_is_refused_and_the_stream_untouched() {
    let (mut hand, stream) = Hand::with_stream(Config::default());
    for from in [
        "romeo@montague.example/phone",
        "paris@verona.example/orchard",
        JULIET,
    ] {
        let forged = Content::Set(Payload::Data(data_of("s", 0, b"forged")));
        let id = hand.send_from(from, forged);
        let answer = hand.one();
        assert_eq!(
            (answer.id.as_str(), answer.to),
            (id.as_str(), Some(address(from)))
        );
        let forged = Content::Set(Payload::Close(xtls_stanza::ibb::Close { sid: sid("s") }));
        hand.send_from(from, forged);
        assert!(matches!(hand.one().content, Content::Error(_)));
    }
    assert!(hand.events().is_empty());
    hand.data(0, b"true");
    assert_eq!(hand.mux.stream(hand.now, stream).read(99).unwrap(), "true");
}

#[test]
fn a_chunk_before_the_open_is_accepted_finds_no_item() {
    let mut hand = Hand::new(Config::default());
    let stream = hand.offer(open_of("s", 16));
    let id = hand.data(0, b"x");
    hand.expect_error(&id, Condition::ItemNotFound, ErrorType::Cancel);
    hand.mux.stream(hand.now, stream).accept(None).unwrap();
    hand.answers();
    hand.data(0, b"y");
    assert_eq!(hand.mux.stream(hand.now, stream).read(99).unwrap(), "y");
}

#[test]
fn a_chunk_before_our_open_is_answered_finds_no_item() {
    let mut hand = Hand::new(Config::default());
    let stream = hand
        .mux
        .open(hand.now, &address(ROMEO), crate::OpenOptions::default())
        .unwrap();
    let name = hand.mux.sid(stream).unwrap().as_str().to_owned();
    hand.answers();
    let id = hand.send(Content::Set(Payload::Data(data_of(&name, 0, b"x"))));
    hand.expect_error(&id, Condition::ItemNotFound, ErrorType::Cancel);
}

#[test]
fn a_gap_closes_the_stream_and_nothing_beyond_it_is_kept() {
    let (mut hand, stream) = Hand::with_stream(Config::default());
    hand.data(0, b"good");
    let id = hand.data(2, b"beyond");
    let answers = hand.answers();
    // The chunk before the gap is answered now, for nothing more can come.
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert!(is_result(&answers[0]) && is_close(&answers[2]));
    assert_eq!(answers[1].id, id);
    assert_eq!(hand.mux.readable(stream), 4);
    assert_eq!(hand.closed(), None);
    assert_eq!(hand.mux.stream(hand.now, stream).read(99).unwrap(), "good");
    let violation = Violation::Gap {
        expected: seq(1),
        found: seq(2),
    };
    ended_by(&mut hand, violation);
}

#[test]
fn a_gap_is_an_unexpected_request() {
    let (mut hand, _) = Hand::with_stream(Config::default());
    let id = hand.data(1, b"beyond");
    refused_and_closed(&mut hand, &id, Condition::UnexpectedRequest);
    ended_by(
        &mut hand,
        Violation::Gap {
            expected: seq(0),
            found: seq(1),
        },
    );
}

#[test]
fn a_repeated_chunk_is_acknowledged_again_and_not_delivered_again() {
    let (mut hand, stream) = Hand::with_stream(Config::default());
    hand.data(0, b"once");
    assert_eq!(hand.mux.stream(hand.now, stream).read(99).unwrap(), "once");
    assert!(is_result(&hand.one()));
    let again = hand.data(0, b"once");
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == again);
    assert_eq!(hand.mux.stream(hand.now, stream).read(99), None);
    assert_eq!(hand.mux.stats(stream).unwrap().duplicates, 1);
}

#[test]
fn a_repetition_of_an_unread_chunk_waits_for_its_reading() {
    let (mut hand, stream) = Hand::with_stream(Config::default());
    let ids = [hand.data(0, b"a"), hand.data(1, b"b"), hand.data(0, b"a")];
    assert!(hand.answers().is_empty());
    hand.mux.stream(hand.now, stream).read(99);
    let answered: Vec<String> = hand.answers().into_iter().map(|answer| answer.id).collect();
    assert_eq!(answered, [ids[0].as_str(), ids[2].as_str()]);
}

#[test]
fn other_bytes_under_a_used_number_close_the_stream() {
    for bytes in [b"0ther".as_slice(), b"onc", b"", b"oncf"] {
        let (mut hand, stream) = Hand::with_stream(Config::default());
        hand.data(0, b"once");
        hand.mux.stream(hand.now, stream).read(99);
        hand.answers();
        let id = hand.data(0, bytes);
        refused_and_closed(&mut hand, &id, Condition::UnexpectedRequest);
        ended_by(&mut hand, Violation::Reused { seq: seq(0) });
    }
}

#[test]
fn a_number_from_long_ago_closes_the_stream_even_with_the_same_bytes() {
    let (mut hand, stream) = Hand::with_stream(Config::default());
    for n in 0..513 {
        hand.data(n, b"x");
        hand.mux.stream(hand.now, stream).read(99);
    }
    hand.answers();
    hand.data(1, b"x");
    assert!(is_result(&hand.one()));
    let id = hand.data(0, b"x");
    refused_and_closed(&mut hand, &id, Condition::UnexpectedRequest);
}

#[test]
fn bad_base64_closes_the_stream() {
    for text in ["=AAA", "AA=A", "AAA", "A", "AAA*", "AA==AAAA", "AB=="] {
        let (mut hand, _) = Hand::with_stream(Config::default());
        hand.read_data("s", "0", text);
        refused_and_closed(&mut hand, "x", Condition::BadRequest);
        assert!(matches!(
            hand.closed(),
            Some(Close {
                by: By::Us,
                why: Why::Violation(Violation::Unreadable(_))
            })
        ));
    }
}

#[test]
fn a_bad_number_closes_the_stream() {
    for number in ["", "-1", "+0", " 0", "65536", "000000", "0x0"] {
        let (mut hand, _) = Hand::with_stream(Config::default());
        hand.read_data("s", number, "AAAA");
        refused_and_closed(&mut hand, "x", Condition::BadRequest);
    }
}

#[test]
fn an_unreadable_chunk_of_no_stream_of_ours_changes_nothing() {
    let (mut hand, _) = Hand::with_stream(Config::default());
    hand.read_data("other", "0", "AAA");
    hand.expect_error("x", Condition::ItemNotFound, ErrorType::Cancel);
    hand.read_data("a b", "0", "AAAA");
    hand.expect_error("x", Condition::BadRequest, ErrorType::Cancel);
    assert!(hand.events().is_empty());
}

#[test]
fn a_close_without_a_sid_is_a_bad_request() {
    let (mut hand, _) = Hand::with_stream(Config::default());
    hand.read(&format!(
        "<iq from='{ROMEO}' to='{JULIET}' id='x' type='set'>\
         <close xmlns='http://jabber.org/protocol/ibb'/></iq>"
    ));
    hand.expect_error("x", Condition::BadRequest, ErrorType::Cancel);
    assert!(hand.events().is_empty());
}

#[test]
fn line_wrapped_base64_is_taken() {
    let (mut hand, stream) = Hand::with_stream(Config::default());
    hand.read_data("s", "0", "\r\n  aGVs\n\tbG8=\n");
    assert_eq!(hand.mux.stream(hand.now, stream).read(99).unwrap(), "hello");
}

#[test]
fn a_chunk_of_one_byte_more_than_the_block_closes_the_stream() {
    let (mut hand, stream) = Hand::with_stream(Config::default());
    hand.data(0, b"0123456789abcdef");
    assert_eq!(
        hand.mux.stream(hand.now, stream).read(99).unwrap().len(),
        16
    );
    hand.answers();
    let id = hand.data(1, b"0123456789abcdefg");
    refused_and_closed(&mut hand, &id, Condition::BadRequest);
    ended_by(&mut hand, Violation::TooLarge { len: 17, block: 16 });
}

#[test]
fn sixteen_empty_chunks_are_borne_and_the_seventeenth_is_not() {
    let (mut hand, stream) = Hand::with_stream(Config::default());
    for n in 0..16 {
        let id = hand.data(n, b"");
        let answer = hand.one();
        assert!(is_result(&answer) && answer.id == id);
    }
    hand.data(16, b"x");
    assert_eq!(hand.mux.stream(hand.now, stream).read(99).unwrap(), "x");
    for n in 17..33 {
        hand.data(n, b"");
    }
    assert_eq!(hand.answers().len(), 17);
    let id = hand.data(33, b"");
    refused_and_closed(&mut hand, &id, Condition::BadRequest);
    hand.events();
}

#[test]
fn an_empty_chunk_is_no_end_and_keeps_its_place_among_the_answers() {
    let (mut hand, stream) = Hand::with_stream(Config::default());
    let ids = [hand.data(0, b"a"), hand.data(1, b""), hand.data(2, b"b")];
    assert!(hand.answers().is_empty());
    assert_eq!(hand.mux.stream(hand.now, stream).read(99).unwrap(), "a");
    let answered: Vec<String> = hand.answers().into_iter().map(|answer| answer.id).collect();
    assert_eq!(answered, [ids[0].as_str(), ids[1].as_str()]);
    assert_eq!(hand.mux.stream(hand.now, stream).read(99).unwrap(), "b");
    assert_eq!(hand.mux.stream(hand.now, stream).read(99), None);
}

#[test]
fn a_chunk_is_acknowledged_when_its_last_byte_has_been_read() {
    let (mut hand, stream) = Hand::with_stream(Config::default());
    let id = hand.data(0, b"abc");
    assert!(matches!(hand.events()[..], [Event::Readable { .. }]));
    assert_eq!(hand.mux.stream(hand.now, stream).read(0), None);
    assert_eq!(hand.mux.stream(hand.now, stream).read(2).unwrap(), "ab");
    assert!(hand.answers().is_empty());
    assert_eq!(hand.mux.readable(stream), 1);
    assert_eq!(hand.mux.stream(hand.now, stream).read(2).unwrap(), "c");
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == id);
}

#[test]
fn a_peer_that_does_not_wait_for_answers_runs_into_the_cap() {
    // Each chunk of one byte costs 1 + 128 + the length of its id ("r10": 3).
    let cap = 132 * 50;
    let (mut hand, stream) = Hand::with_stream(Config::default().receive_cap(cap));
    for n in 0..50 {
        hand.data(n, b"x");
        assert_eq!(hand.mux.readable(stream), usize::from(n) + 1);
    }
    let id = hand.data(50, b"x");
    let answers = hand.answers();
    // All 51 requests have their answer, and `<close/>` goes.
    assert_eq!(answers.len(), 52);
    assert_eq!(answers[50].id, id);
    let Content::Error(error) = &answers[50].content else {
        panic!()
    };
    assert_eq!(error.condition, Condition::ResourceConstraint);
    while hand.mux.stream(hand.now, stream).read(99).is_some() {}
    ended_by(&mut hand, Violation::Overflow { cap });
}

#[test]
fn repetitions_of_an_unread_chunk_run_into_the_cap_too() {
    let (mut hand, _) = Hand::with_stream(Config::default().receive_cap(1000));
    for _ in 0..20 {
        hand.data(0, b"x");
    }
    let answers = hand.answers();
    let ids: std::collections::BTreeSet<&String> = answers.iter().map(|a| &a.id).collect();
    assert_eq!((answers.len(), ids.len()), (21, 21), "{answers:?}");
}

#[test]
fn a_slow_reader_gets_one_readable_event_until_it_polls() {
    let (mut hand, _) = Hand::with_stream(Config::default());
    for n in 0..100 {
        hand.data(n, b"x");
    }
    assert_eq!(hand.events().len(), 1);
    hand.data(100, b"x");
    assert_eq!(hand.events().len(), 1);
}
