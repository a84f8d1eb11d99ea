//! Answers that come in: whose count, and what each error does.

use xtls_stanza::{Condition, Content, Envelope, ErrorType, Payload, StanzaError};

use super::support::*;
use crate::{Awaited, By, Close, Config, Event, Loss, OpenOptions, Refusal, StreamId, Why, Window};

/// A stream that Juliet opened, with chunks of 4 bytes under way.
pub(super) fn writing(bytes: &'static [u8], config: Config) -> (Hand, StreamId, Vec<Envelope>) {
    let config = config.window(Window::Fixed {
        bytes: 16,
        chunk: 4,
    });
    let mut hand = Hand::new(config);
    let id = hand
        .mux
        .open(hand.now, &address(ROMEO), OpenOptions::default())
        .unwrap();
    let open = hand.one();
    hand.answer(&open, Content::Result(None));
    hand.events();
    hand.mux.stream(hand.now, id).write(bytes.into()).unwrap();
    let chunks = hand.answers();
    (hand, id, chunks)
}

fn error(kind: ErrorType, condition: Condition) -> Content {
    Content::Error(StanzaError::new(kind, condition))
}

const OFFLINE: (ErrorType, Condition) = (ErrorType::Wait, Condition::RecipientUnavailable);

fn offline() -> Content {
    error(OFFLINE.0, OFFLINE.1)
}

#[test]
fn an_answer_from_another_sender_is_not_ours() {
    let (mut hand, id, chunks) = writing(b"abcd", Config::default());
    let strangers = [
        "romeo@montague.example/phone",
        "montague.example",
        "paris@verona.example/x",
    ];
    for from in strangers {
        for content in [Content::Result(None), offline()] {
            let forged = hand.envelope(from, chunks[0].id.clone(), content);
            assert_eq!(hand.mux.handle(hand.now, forged.clone()), Some(forged));
        }
    }
    assert_eq!(hand.mux.stats(id).unwrap().in_flight, 4);
    hand.answer(&chunks[0], Content::Result(None));
    assert_eq!(hand.mux.stats(id).unwrap().in_flight, 0);
}

#[test]
fn an_answer_to_another_address_is_not_ours() {
    let (mut hand, id, chunks) = writing(b"abcd", Config::default());
    let stray = Envelope {
        to: Some(address("juliet@capulet.example/other")),
        ..hand.envelope(ROMEO, chunks[0].id.clone(), Content::Result(None))
    };
    assert_eq!(hand.mux.handle(hand.now, stray.clone()), Some(stray));
    assert_eq!(hand.mux.stats(id).unwrap().in_flight, 4);
}

#[test]
fn a_second_answer_and_an_unknown_one_are_not_ours() {
    let (mut hand, id, chunks) = writing(b"abcd", Config::default());
    hand.answer(&chunks[0], Content::Result(None));
    for name in [chunks[0].id.as_str(), "q", ""] {
        let late = hand.envelope(ROMEO, name.into(), offline());
        assert_eq!(hand.mux.handle(hand.now, late.clone()), Some(late));
    }
    assert!(hand.events().is_empty());
    assert_eq!(hand.mux.stats(id).unwrap().bytes_acknowledged, 4);
}

#[test]
fn answers_out_of_order_are_taken() {
    let (mut hand, id, chunks) = writing(b"abcdefgh", Config::default());
    hand.answer(&chunks[1], Content::Result(None));
    assert_eq!(hand.mux.stats(id).unwrap().in_flight, 4);
    hand.answer(&chunks[0], Content::Result(None));
    assert_eq!(hand.mux.stats(id).unwrap().in_flight, 0);
}

#[test]
fn an_error_text_is_cleaned_before_it_is_shown() {
    let mut hand = Hand::new(Config::default());
    hand.mux
        .open(hand.now, &address(ROMEO), OpenOptions::default())
        .unwrap();
    let open = hand.one();
    let text = format!("no\u{1b}[31m\n{}", "é".repeat(600));
    let error = StanzaError::new(ErrorType::Cancel, Condition::Gone).with_text(text);
    hand.answer(&open, Content::Error(error));
    let Some(Close {
        why: Why::Refused { error, .. },
        ..
    }) = hand.closed()
    else {
        panic!()
    };
    let text = error.text.unwrap();
    assert!(text.starts_with("no[31mé"), "{text}");
    assert_eq!(text.len(), 1024);
}

/// Answers each open with `resource-constraint`; returns the sizes and sids that were tried.
fn halvings(first: u16) -> (Vec<u16>, std::collections::BTreeSet<String>, Hand) {
    halvings_of(OpenOptions::default().block_size(block(first)))
}

fn halvings_of(options: OpenOptions) -> (Vec<u16>, std::collections::BTreeSet<String>, Hand) {
    let mut hand = Hand::new(Config::default());
    hand.mux.open(hand.now, &address(ROMEO), options).unwrap();
    let (mut sizes, mut sids) = (Vec::new(), std::collections::BTreeSet::new());
    while let Some(open) = hand.mux.poll_transmit(hand.now) {
        let Content::Set(Payload::Open(asked)) = &open.content else {
            panic!("{open:?}")
        };
        sizes.push(asked.block_size.get());
        sids.insert(asked.sid.to_string());
        hand.answer(
            &open,
            error(ErrorType::Modify, Condition::ResourceConstraint),
        );
    }
    (sizes, sids, hand)
}

#[test]
fn a_refused_block_is_halved_down_to_256_bytes_with_a_new_sid_each_time() {
    let (sizes, sids, mut hand) = halvings(65535);
    assert_eq!(
        sizes,
        [65535, 32767, 16383, 8191, 4095, 2047, 1023, 511, 256]
    );
    assert_eq!(sids.len(), 9);
    let why = hand.closed().unwrap().why;
    assert!(
        matches!(
            why,
            Why::Refused {
                refusal: Refusal::BlockSize,
                ..
            }
        ),
        "{why}"
    );
    assert_eq!(hand.mux.poll_timeout(), None);
}

#[test]
fn a_sid_that_the_peer_expects_is_kept_when_the_block_is_halved() {
    let sid = xtls_stanza::ibb::Sid::new("agreed-elsewhere").unwrap();
    let options = OpenOptions::default().block_size(block(4096)).sid(sid);
    let (sizes, sids, _) = halvings_of(options.keeps_sid(true));
    assert_eq!(sizes, [4096, 2048, 1024, 512, 256]);
    assert_eq!(
        sids,
        std::collections::BTreeSet::from(["agreed-elsewhere".to_owned()])
    );
}

#[test]
fn halving_stops_at_256_bytes() {
    assert_eq!(halvings(4096).0, [4096, 2048, 1024, 512, 256]);
    assert_eq!(halvings(511).0, [511, 256]);
    assert_eq!(halvings(256).0, [256]);
    assert_eq!(halvings(1).0, [1]);
}

#[test]
fn a_stream_with_a_halved_block_opens_and_keeps_what_was_written() {
    let mut hand = Hand::new(Config::default());
    let id = hand
        .mux
        .open(hand.now, &address(ROMEO), OpenOptions::default())
        .unwrap();
    let written = hand
        .mux
        .stream(hand.now, id)
        .write(vec![7; 5000].into())
        .unwrap();
    assert_eq!(written, 5000);
    let first = hand.one();
    hand.answer(
        &first,
        error(ErrorType::Wait, Condition::ResourceConstraint),
    );
    let second = hand.one();
    // The first sid is in use no more.
    let Content::Set(Payload::Open(old)) = &first.content else {
        panic!()
    };
    let close = xtls_stanza::ibb::Close {
        sid: old.sid.clone(),
    };
    hand.send(Content::Set(Payload::Close(close)));
    assert!(matches!(hand.one().content, Content::Error(_)));

    hand.answer(&second, Content::Result(None));
    assert!(matches!(hand.events()[..], [Event::Opened { .. }]));
    assert_eq!(hand.mux.block_size(id), Some(2048));
    let chunks = hand.answers();
    let lens: Vec<usize> = chunks
        .iter()
        .map(|chunk| data_in(chunk).bytes.len())
        .collect();
    assert_eq!(lens, [2048, 2048, 904]);
    assert_eq!(Some(&data_in(&chunks[0]).sid), hand.mux.sid(id));
}

#[test]
fn an_open_without_an_answer_ends_after_a_minute_and_is_withdrawn() {
    let mut hand = Hand::new(Config::default());
    hand.mux
        .open(hand.now, &address(ROMEO), OpenOptions::default())
        .unwrap();
    let open = hand.one();
    hand.pass(millis(59_999));
    assert_eq!(hand.closed(), None);
    hand.pass(millis(1));
    let why = Why::TimedOut(Awaited::Open);
    assert_eq!(hand.closed(), Some(Close { by: By::Us, why }));
    // The peer may have accepted all the same.
    assert!(is_close(&hand.one()));
    let late = hand.envelope(ROMEO, open.id, Content::Result(None));
    assert_eq!(hand.mux.handle(hand.now, late.clone()), Some(late));
    hand.pass(seconds(10));
    assert_eq!(hand.mux.poll_timeout(), None);
}

#[test]
fn chunks_without_any_answer_end_the_stream_after_a_minute() {
    let (mut hand, _, chunks) = writing(b"abcdefgh", Config::default());
    hand.pass(seconds(59));
    hand.answer(&chunks[0], Content::Result(None));
    hand.pass(millis(59_999));
    assert_eq!(hand.closed(), None);
    assert_eq!(hand.mux.poll_timeout().unwrap().why, "any answer");
    hand.pass(millis(1));
    let why = Why::TimedOut(Awaited::Chunk);
    assert_eq!(hand.closed(), Some(Close { by: By::Us, why }));
    assert!(is_close(&hand.one()));
}

#[test]
fn the_patient_wait_for_ever() {
    let (mut hand, id, chunks) = writing(b"abcd", Config::default().patient(true));
    assert_eq!(hand.mux.poll_timeout(), None);
    hand.pass(seconds(100_000));
    assert_eq!(hand.closed(), None);
    hand.answer(&chunks[0], Content::Result(None));
    hand.mux.stream(hand.now, id).set_patient(false);
    hand.mux.stream(hand.now, id).write("x".into()).unwrap();
    hand.answers();
    hand.pass(seconds(60));
    assert!(hand.closed().is_some());
}

#[test]
fn a_sign_of_life_gives_chunks_their_time_anew_and_changes_nothing_else() {
    let (mut hand, id, chunks) = writing(b"abcd", Config::default());
    hand.mux.stream(hand.now, id).set_ack_timeout(seconds(100));
    for _ in 0..1000 {
        hand.pass(seconds(99));
        hand.mux.stream(hand.now, id).alive();
        assert_eq!(hand.closed(), None);
    }
    // Where nothing waits there is no time to give.
    hand.answer(&chunks[0], Content::Result(None));
    hand.mux.stream(hand.now, id).alive();
    assert_eq!(hand.mux.poll_timeout(), None);
    hand.mux.stream(hand.now, id).write("x".into()).unwrap();
    hand.answers();
    hand.pass(seconds(100));
    let why = Why::TimedOut(Awaited::Chunk);
    assert_eq!(hand.closed(), Some(Close { by: By::Us, why }));
}

#[test]
fn being_woken_early_changes_nothing_and_comes_once() {
    let (mut hand, id, _) = writing(b"abcd", Config::default());
    let first = hand.mux.poll_timeout().unwrap().at;
    hand.now += millis(700);
    hand.mux.stream(hand.now, id).alive();
    // The list is as it was, up to a second early.
    assert_eq!(hand.mux.poll_timeout().unwrap().at, first);
    hand.now = first;
    hand.mux.handle_timeout(first);
    assert_eq!(hand.closed(), None);
    assert_eq!(hand.mux.poll_timeout().unwrap().at, first + millis(700));
    hand.pass(millis(700));
    assert!(hand.closed().is_some());
}

#[test]
fn a_bounced_chunk_stops_everything_until_all_answers_are_in() {
    let (mut hand, id, chunks) = writing(b"abcdefghijkl", Config::default());
    assert_eq!(chunks.len(), 3);
    hand.answer(&chunks[1], offline());
    hand.mux.stream(hand.now, id).write("mnop".into()).unwrap();
    hand.pass(seconds(30));
    assert!(hand.answers().is_empty());
    hand.answer(&chunks[2], offline());
    hand.answer(&chunks[0], Content::Result(None));
    assert!(hand.answers().is_empty());

    // One second later, in order, the same bytes, borders and numbers, new ids, one at a time.
    hand.pass(seconds(1));
    let again = hand.one();
    assert_eq!(data_in(&again), data_in(&chunks[1]));
    assert_ne!(again.id, chunks[1].id);
    hand.answer(&again, Content::Result(None));
    let again = hand.one();
    assert_eq!(data_in(&again), data_in(&chunks[2]));
    hand.answer(&again, Content::Result(None));
    let next = hand.one();
    assert_eq!(
        (data_in(&next).seq, &data_in(&next).bytes[..]),
        (seq(3), b"mnop".as_slice())
    );
    assert_eq!(hand.mux.stats(id).unwrap().retries, 2);
}

#[test]
fn for_half_a_minute_after_trouble_one_chunk_is_under_way() {
    let (mut hand, id, chunks) = writing(b"abcd", Config::default());
    hand.answer(&chunks[0], offline());
    hand.pass(seconds(1));
    let again = hand.one();
    hand.mux
        .stream(hand.now, id)
        .write("efghijkl".into())
        .unwrap();
    hand.answer(&again, Content::Result(None));
    let one = hand.one();
    hand.pass(millis(29_999));
    hand.answer(&one, Content::Result(None));
    hand.mux.stream(hand.now, id).write("mnop".into()).unwrap();
    let one = hand.one();
    hand.pass(millis(1));
    hand.answer(&one, Content::Result(None));
    hand.mux.stream(hand.now, id).write("qrst".into()).unwrap();
    assert_eq!(hand.answers().len(), 2);
}

#[test]
fn a_chunk_accepted_after_one_that_bounced_is_a_hole() {
    let (mut hand, _, chunks) = writing(b"abcdefgh", Config::default());
    hand.answer(&chunks[0], offline());
    hand.answer(&chunks[1], Content::Result(None));
    assert_eq!(
        hand.closed(),
        Some(Close {
            by: By::Peer,
            why: Why::Lost(Loss::Hole)
        })
    );
    assert!(is_close(&hand.one()));
}

#[test]
fn five_tries_are_made_and_no_sixth() {
    let (mut hand, id, mut chunks) = writing(b"abcd", Config::default());
    for wait in [1, 2, 4, 8, 16] {
        hand.answer(&chunks[0], offline());
        hand.pass(millis(wait * 1000 - 1));
        assert!(hand.answers().is_empty());
        assert_eq!(
            hand.mux.poll_timeout().unwrap().why,
            "chunks that came back"
        );
        hand.pass(millis(1));
        chunks = vec![hand.one()];
    }
    assert_eq!(hand.mux.stats(id).unwrap().retries, 5);
    hand.answer(&chunks[0], offline());
    assert_eq!(
        hand.closed(),
        Some(Close {
            by: By::Peer,
            why: Why::Lost(Loss::Tries)
        })
    );
}

#[test]
fn trouble_ends_after_a_minute_even_if_answers_are_missing() {
    let (mut hand, _, chunks) = writing(b"abcdefgh", Config::default().patient(true));
    hand.answer(&chunks[0], offline());
    hand.pass(millis(59_999));
    assert_eq!(hand.closed(), None);
    hand.pass(millis(1));
    assert_eq!(
        hand.closed(),
        Some(Close {
            by: By::Us,
            why: Why::Lost(Loss::Time)
        })
    );
}

#[test]
fn slow_bounces_end_after_a_minute_too() {
    let (mut hand, _, mut chunks) = writing(b"abcd", Config::default());
    for _ in 0..2 {
        hand.answer(&chunks[0], offline());
        hand.pass(seconds(2));
        chunks = vec![hand.one()];
        hand.pass(seconds(28));
    }
    hand.answer(&chunks[0], offline());
    assert_eq!(
        hand.closed(),
        Some(Close {
            by: By::Peer,
            why: Why::Lost(Loss::Time)
        })
    );
}

#[test]
fn a_suspended_connection_makes_nothing_late() {
    let (mut hand, _, chunks) = writing(b"abcd", Config::default());
    hand.pass(seconds(59));
    hand.mux.pause(hand.now);
    assert_eq!(hand.mux.poll_timeout(), None);
    hand.pass(seconds(500));
    assert_eq!(hand.closed(), None);
    hand.mux.resume(hand.now);
    assert_eq!(hand.mux.poll_timeout().unwrap().at, hand.now + seconds(1));
    hand.pass(millis(999));
    hand.answer(&chunks[0], Content::Result(None));
    hand.pass(seconds(100));
    assert_eq!(hand.closed(), None);
}
