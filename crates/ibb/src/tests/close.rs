//! Every way to end, and that each one does.

use xtls_stanza::{Condition, Content, ErrorType, Payload, ibb};

use super::support::*;
use crate::{Awaited, By, Close, Config, Event, OpenOptions, Why, WriteError};

const DONE_BY_US: Close = Close {
    by: By::Us,
    why: Why::Done,
};
const DONE_BY_PEER: Close = Close {
    by: By::Peer,
    why: Why::Done,
};

#[test]
fn close_waits_for_the_acknowledgement_of_what_was_written() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    hand.mux.stream(hand.now, id).close();
    assert_eq!(
        hand.mux.stream(hand.now, id).write("more".into()),
        Err(WriteError::Closed)
    );
    let chunk = hand.one();
    assert_eq!(data_in(&chunk).bytes, "tail");
    hand.answer(&chunk, Content::Result(None));
    let close = hand.one();
    assert!(is_close(&close));
    assert_eq!(hand.closed(), None);
    hand.answer(&close, Content::Result(None));
    assert_eq!(hand.closed(), Some(DONE_BY_US));
    assert_eq!(hand.mux.poll_timeout(), None);
}

#[test]
fn what_the_peer_sends_before_it_answers_our_close_is_read() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).close();
    let close = hand.one();
    let last = hand.data(0, b"last words");
    hand.answer(&close, Content::Result(None));
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == last);
    assert!(matches!(hand.events()[..], [Event::Readable { .. }]));
    assert_eq!(
        hand.mux.stream(hand.now, id).read(99).unwrap(),
        "last words"
    );
    assert_eq!(hand.closed(), Some(DONE_BY_US));
}

#[test]
fn a_close_without_an_answer_ends_after_10_seconds() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).close();
    let close = hand.one();
    hand.pass(millis(9_999));
    assert_eq!(hand.closed(), None);
    hand.pass(millis(1));
    assert_eq!(
        hand.closed(),
        Some(Close {
            by: By::Us,
            why: Why::TimedOut(Awaited::Close)
        })
    );
    assert_eq!(hand.mux.poll_timeout(), None);
    let late = hand.envelope(ROMEO, close.id, Content::Result(None));
    assert!(hand.mux.handle(hand.now, late).is_some());
}

#[test]
fn close_goes_after_its_limit_even_if_chunks_have_no_answer() {
    let config = Config::default().patient(true).flush_timeout(seconds(20));
    let (mut hand, id) = Hand::with_stream(config);
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    hand.mux.stream(hand.now, id).close();
    let chunk = hand.one();
    hand.pass(seconds(20));
    let close = hand.one();
    assert!(is_close(&close));
    hand.answer(&close, Content::Result(None));
    let close = Close {
        by: By::Us,
        why: Why::Unfinished { bytes: 4 },
    };
    assert_eq!(hand.closed(), Some(close));
    let late = hand.envelope(ROMEO, chunk.id, Content::Result(None));
    assert!(hand.mux.handle(hand.now, late).is_some());
}

#[test]
fn acknowledgements_that_come_between_close_and_its_answer_count() {
    let config = Config::default().patient(true).flush_timeout(seconds(20));
    let (mut hand, id) = Hand::with_stream(config);
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    hand.mux.stream(hand.now, id).close();
    let chunk = hand.one();
    hand.pass(seconds(20));
    let close = hand.one();
    hand.answer(&chunk, Content::Result(None));
    hand.answer(&close, Content::Result(None));
    assert_eq!(hand.closed(), Some(DONE_BY_US));
}

#[test]
fn the_peers_close_is_answered_and_unread_bytes_stay() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    let chunk = hand.data(0, b"unread");
    let close = hand.close();
    let answered: Vec<String> = hand.answers().into_iter().map(|answer| answer.id).collect();
    assert_eq!(answered, [chunk, close]);
    assert!(matches!(hand.events()[..], [Event::Readable { .. }]));
    assert_eq!(
        hand.mux.stream(hand.now, id).write("x".into()),
        Err(WriteError::Closed)
    );
    hand.pass(seconds(500));
    assert_eq!(hand.mux.stream(hand.now, id).read(3).unwrap(), "unr");
    assert_eq!(hand.closed(), None);
    assert_eq!(hand.mux.stream(hand.now, id).read(3).unwrap(), "ead");
    assert_eq!(hand.closed(), Some(DONE_BY_PEER));
    assert_eq!(hand.mux.stream(hand.now, id).read(3), None);
}

#[test]
fn unread_bytes_are_dropped_after_the_drain_limit_and_the_loss_is_told() {
    let (mut hand, _) = Hand::with_stream(Config::default());
    hand.data(0, b"unread");
    hand.close();
    hand.events();
    hand.pass(millis(599_999));
    assert_eq!(hand.closed(), None);
    hand.pass(millis(1));
    let close = Close {
        by: By::Peer,
        why: Why::Unread { bytes: 6 },
    };
    assert_eq!(hand.closed(), Some(close));
}

#[test]
fn what_was_written_before_the_peers_close_goes_out_before_its_answer() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    let close = hand.close();
    let chunk = hand.one();
    assert_eq!(data_in(&chunk).bytes, "tail");
    hand.answer(&chunk, Content::Result(None));
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == close);
    assert_eq!(hand.closed(), Some(DONE_BY_PEER));
}

#[test]
fn the_peers_close_that_arrives_twice_is_answered_once_and_not_before_our_tail_is_out() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    let request = hand.close();
    let xml = Content::Set(Payload::Close(ibb::Close { sid: sid("s") }));
    let again = hand.envelope(ROMEO, request.clone(), xml);
    assert_eq!(hand.mux.handle(hand.now, again), None);
    let chunk = hand.one();
    assert_eq!(data_in(&chunk).bytes, "tail");
    hand.answer(&chunk, Content::Result(None));
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == request);
    assert_eq!(hand.closed(), Some(DONE_BY_PEER));
}

#[test]
fn what_was_withheld_is_answered_when_the_peer_closes_not_when_our_tail_is_out() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    let unread = hand.data(0, b"unread");
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    hand.close();
    let sent = hand.answers();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(is_result(&sent[0]) && sent[0].id == unread);
    assert_eq!(data_in(&sent[1]).bytes, "tail");
}

#[test]
fn a_fault_after_our_close_brings_no_second_close() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).close();
    assert!(is_close(&hand.one()));
    let gap = hand.data(5, b"gap");
    hand.expect_error(&gap, Condition::UnexpectedRequest, ErrorType::Cancel);
    assert!(matches!(
        hand.closed(),
        Some(Close {
            by: By::Us,
            why: Why::Violation(_)
        })
    ));
}

#[test]
fn after_the_flush_limit_nothing_but_close_is_sent() {
    let window = crate::Window::Fixed { bytes: 4, chunk: 4 };
    let (mut hand, id) = Hand::with_stream(Config::default().patient(true).window(window));
    hand.mux
        .stream(hand.now, id)
        .write("tailmore".into())
        .unwrap();
    hand.mux.stream(hand.now, id).close();
    let first = hand.one();
    hand.pass(seconds(60));
    let close = hand.one();
    assert!(is_close(&close));
    hand.answer(&first, Content::Result(None));
    assert!(hand.answers().is_empty());
    hand.answer(&close, Content::Result(None));
    let close = Close {
        by: By::Us,
        why: Why::Unfinished { bytes: 4 },
    };
    assert_eq!(hand.closed(), Some(close));
}

#[test]
fn the_peers_close_waits_five_seconds_for_what_was_written() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    let close = hand.close();
    hand.one();
    hand.pass(seconds(5));
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == close);
    let close = Close {
        by: By::Peer,
        why: Why::Unfinished { bytes: 4 },
    };
    assert_eq!(hand.closed(), Some(close));
}

#[test]
fn a_peer_that_closed_and_refuses_our_tail_is_answered_at_once() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    let chunk = hand.one();
    let close = hand.close();
    let error = xtls_stanza::StanzaError::new(ErrorType::Cancel, Condition::ItemNotFound);
    hand.answer(&chunk, Content::Error(error));
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == close);
    let close = Close {
        by: By::Peer,
        why: Why::Unfinished { bytes: 4 },
    };
    assert_eq!(hand.closed(), Some(close));
}

#[test]
fn a_chunk_after_the_peers_own_close_finds_no_item() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    hand.close();
    hand.answers();
    // Ours still waits for its answer, but the peer has sent its last.
    let late = hand.data(0, b"late");
    hand.expect_error(&late, Condition::ItemNotFound, ErrorType::Cancel);
    assert_eq!(hand.mux.readable(id), 0);
}

#[test]
fn simultaneous_closes_are_both_answered_and_end_once() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).close();
    let ours = hand.one();
    let theirs = hand.close();
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == theirs);
    assert_eq!(hand.closed(), Some(DONE_BY_US));
    hand.answer(&ours, Content::Result(None));
    assert!(hand.events().is_empty() && hand.mux.poll_timeout().is_none());
}

#[test]
fn a_repeated_close_is_answered_again() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    hand.close();
    hand.answers();
    let again = hand.close();
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == again);
    hand.pass(seconds(5));
    assert_eq!(hand.answers().len(), 1);
    hand.events();
    let too_late = hand.close();
    hand.expect_error(&too_late, Condition::ItemNotFound, ErrorType::Cancel);
}

#[test]
fn abort_drops_both_queues_and_ends_at_once() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    let chunk = hand.data(0, b"unread");
    hand.mux
        .stream(hand.now, id)
        .write("unsent".into())
        .unwrap();
    hand.mux.stream(hand.now, id).abort();
    let answers = hand.answers();
    assert_eq!(answers.len(), 2, "{answers:?}");
    // Never taken, so not acknowledged.
    assert!(answers[0].id == chunk && matches!(answers[0].content, Content::Error(_)));
    assert!(is_close(&answers[1]));
    let events = hand.events();
    assert_eq!(
        closed_in(&events),
        Some(Close {
            by: By::Us,
            why: Why::Aborted
        })
    );
    assert!(matches!(events.last(), Some(Event::Closed { .. })));
    assert_eq!(hand.mux.stream(hand.now, id).read(99), None);
    // The sid stays taken until the peer has answered.
    let answer = Content::Result(None);
    hand.answer(&answers[1], answer);
    assert_eq!(hand.mux.poll_timeout(), None);
}

#[test]
fn while_our_abort_is_unanswered_chunks_find_no_item_and_a_close_is_answered() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).abort();
    hand.answers();
    let late = hand.data(0, b"late");
    hand.expect_error(&late, Condition::ItemNotFound, ErrorType::Cancel);
    let close = hand.close();
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == close);
    hand.pass(seconds(10));
    assert_eq!(hand.mux.poll_timeout(), None);
}

#[test]
fn an_open_that_is_closed_before_its_answer_is_withdrawn() {
    let mut hand = Hand::new(Config::default());
    let id = hand
        .mux
        .open(hand.now, &address(ROMEO), OpenOptions::default())
        .unwrap();
    hand.mux.stream(hand.now, id).write("x".into()).unwrap();
    let open = hand.one();
    hand.mux.stream(hand.now, id).close();
    assert!(is_close(&hand.one()));
    let close = Close {
        by: By::Us,
        why: Why::Unfinished { bytes: 1 },
    };
    assert_eq!(hand.closed(), Some(close));
    let late = hand.envelope(ROMEO, open.id, Content::Result(None));
    assert!(hand.mux.handle(hand.now, late).is_some());
    assert!(hand.answers().is_empty());
}

#[test]
fn an_opener_that_withdraws_gets_both_its_answers() {
    let mut hand = Hand::new(Config::default());
    let open = hand.send(Content::Set(Payload::Open(open_of("s", 16))));
    let close = hand.close();
    let answers = hand.answers();
    assert_eq!(answers.len(), 2);
    assert!(answers[0].id == open && matches!(answers[0].content, Content::Error(_)));
    assert!(answers[1].id == close && is_result(&answers[1]));
    assert_eq!(hand.closed(), Some(DONE_BY_PEER));
}

#[test]
fn closing_what_is_not_accepted_refuses_it() {
    for abort in [false, true] {
        let mut hand = Hand::new(Config::default());
        let id = hand.offer(open_of("s", 16));
        match abort {
            false => hand.mux.stream(hand.now, id).close(),
            true => hand.mux.stream(hand.now, id).abort(),
        }
        assert!(matches!(hand.one().content, Content::Error(_)));
        assert_eq!(
            hand.closed(),
            Some(Close {
                by: By::Us,
                why: Why::Declined
            })
        );
    }
}

#[test]
fn a_lost_link_ends_every_stream_and_sends_nothing() {
    let (mut hand, reading) = Hand::with_stream(Config::default());
    hand.data(0, b"unread");
    let opening = hand
        .mux
        .open(hand.now, &address(ROMEO), OpenOptions::default())
        .unwrap();
    let waiting = hand.offer_after_events(open_of("t", 16));
    hand.mux.lost(hand.now);
    assert!(hand.answers().is_empty());
    let events = hand.events();
    for id in [opening, waiting] {
        assert!(events.iter().any(|event| matches!(
            event,
            Event::Closed { id: closed, close: Close { by: By::Link, why: Why::LinkLost } }
                if *closed == id
        )));
    }
    assert_eq!(
        hand.mux.stream(hand.now, reading).read(99).unwrap(),
        "unread"
    );
    assert_eq!(
        hand.closed(),
        Some(Close {
            by: By::Link,
            why: Why::LinkLost
        })
    );
    assert!(hand.answers().is_empty() && hand.mux.poll_timeout().is_none());
}

#[test]
fn nothing_left_behind_after_any_end() {
    for end in ["close", "abort", "peer", "gap", "link"] {
        let (mut hand, id) = Hand::with_stream(Config::default());
        hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
        hand.data(0, b"x");
        match end {
            "close" => hand.mux.stream(hand.now, id).close(),
            "abort" => hand.mux.stream(hand.now, id).abort(),
            "peer" => drop(hand.close()),
            "gap" => drop(hand.data(9, b"y")),
            _ => hand.mux.lost(hand.now),
        }
        for _ in 0..20 {
            hand.answers();
            while hand.mux.stream(hand.now, id).read(99).is_some() {}
            hand.pass(seconds(60));
        }
        assert!(hand.closed().is_some(), "{end}");
        assert_eq!(hand.mux.leftovers(), 0, "{end}");
    }
}
