//! Half-close: the peer has closed, and we still write.

use xtls_stanza::{Condition, Content, ErrorType, StanzaError};

use super::pair::Pair;
use super::support::*;
use crate::{Awaited, By, Close, Config, Event, OpenOptions, Why, Window, WriteError};

fn config() -> Config {
    Config::default().half_close(seconds(30))
}

#[test]
fn without_the_setting_the_peers_close_ends_writing_too() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.close();
    assert!(is_result(&hand.one()));
    assert_eq!(
        hand.mux.stream(hand.now, id).write("late".into()),
        Err(WriteError::Closed)
    );
    assert!(hand.closed().is_some());
}

#[test]
fn after_the_peers_close_nothing_more_of_it_is_taken() {
    let (mut hand, id) = Hand::with_stream(config());
    hand.close();
    let late = hand.data(0, b"late");
    let answer = hand.one();
    assert_eq!(answer.id, late);
    assert!(matches!(answer.content, Content::Error(_)));
    assert_eq!(hand.mux.readable(id), 0);
}

#[test]
fn what_is_written_after_the_peers_close_goes_out_before_its_answer() {
    let (mut hand, id) = Hand::with_stream(config());
    hand.data(0, b"question");
    let close = hand.close();
    let events = hand.events();
    assert!(
        matches!(
            events[..],
            [Event::Readable { .. }, Event::PeerClosed { .. }]
        ),
        "{events:?}"
    );
    assert!(hand.mux.peer_closed(id));
    assert_eq!(hand.mux.stream(hand.now, id).read(99).unwrap(), "question");
    assert!(is_result(&hand.one()));

    hand.pass(seconds(20));
    hand.mux
        .stream(hand.now, id)
        .write("answer".into())
        .unwrap();
    let chunk = hand.one();
    hand.answer(&chunk, Content::Result(None));
    assert!(hand.answers().is_empty() && hand.closed().is_none());
    hand.mux.stream(hand.now, id).close();
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == close);
    let (by, why) = (By::Peer, Why::Done);
    assert_eq!(hand.closed(), Some(Close { by, why }));
}

#[test]
fn a_full_window_of_a_half_closed_stream_says_when_there_is_room() {
    let window = Window::Fixed {
        bytes: 16,
        chunk: 16,
    };
    let (mut hand, id) = Hand::with_stream(config().window(window));
    hand.close();
    hand.events();
    assert_eq!(
        hand.mux.stream(hand.now, id).write(pattern(99).into()),
        Ok(32)
    );
    let chunk = hand.one();
    assert!(hand.events().is_empty());
    hand.answer(&chunk, Content::Result(None));
    assert!(matches!(hand.events()[..], [Event::Writable { .. }]));
}

#[test]
fn a_half_closed_stream_in_which_nothing_moves_ends_at_its_limit() {
    let (mut hand, id) = Hand::with_stream(config());
    let close = hand.close();
    hand.events();
    hand.pass(seconds(20));
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    hand.answers();
    hand.pass(millis(29_999));
    assert!(hand.closed().is_none());
    hand.pass(millis(1));
    // Not a result: the peer would take it for the end of our bytes.
    hand.expect_error(&close, Condition::ItemNotFound, ErrorType::Cancel);
    let why = Why::TimedOut(Awaited::Owner);
    assert_eq!(hand.closed(), Some(Close { by: By::Us, why }));
    assert_eq!(hand.mux.poll_timeout(), None);
}

#[test]
fn a_finished_tail_has_time_while_anything_moves_and_a_closed_one_has_not() {
    let window = Window::Fixed { bytes: 1, chunk: 1 };
    for finish in [true, false] {
        let (mut hand, id) = Hand::with_stream(config().window(window).patient(true));
        hand.close();
        hand.events();
        hand.mux.stream(hand.now, id).write("ta".into()).unwrap();
        match finish {
            true => hand.mux.stream(hand.now, id).finish(),
            false => hand.mux.stream(hand.now, id).close(),
        }
        let chunk = hand.one();
        hand.pass(millis(29_999));
        hand.answer(&chunk, Content::Result(None));
        let chunk = hand.one();
        hand.pass(millis(29_999));
        if finish {
            hand.answer(&chunk, Content::Result(None));
            let (by, why) = (By::Peer, Why::Done);
            assert_eq!(hand.closed(), Some(Close { by, why }));
        } else {
            let why = Why::Unfinished { bytes: 1 };
            assert_eq!(hand.closed(), Some(Close { by: By::Peer, why }));
        }
    }
}

#[test]
fn a_tail_that_is_cut_off_is_not_answered_with_a_result() {
    let (mut hand, id) = Hand::with_stream(config());
    let close = hand.close();
    hand.events();
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    hand.answers();
    hand.mux.stream(hand.now, id).abort();
    hand.expect_error(&close, Condition::ItemNotFound, ErrorType::Cancel);
}

#[test]
fn without_the_setting_finishing_is_closing() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).finish();
    assert!(is_close(&hand.one()));
    hand.pass(millis(9_999));
    assert!(hand.closed().is_none());
    hand.pass(millis(1));
    assert!(hand.closed().is_some());
}

#[test]
fn an_error_in_place_of_the_peers_end_is_no_end_in_order() {
    for finish in [true, false] {
        let (mut hand, id) = Hand::with_stream(config());
        match finish {
            true => hand.mux.stream(hand.now, id).finish(),
            false => hand.mux.stream(hand.now, id).close(),
        }
        let close = hand.one();
        assert!(hand.mux.is_finished(id));
        let error = StanzaError::new(ErrorType::Cancel, Condition::ServiceUnavailable);
        hand.answer(&close, Content::Error(error.clone()));
        let (by, why) = match finish {
            true => (By::Peer, Why::CutShort(error)),
            false => (By::Us, Why::Done),
        };
        assert_eq!(hand.closed(), Some(Close { by, why }));
    }
}

#[test]
fn our_direction_is_finished_when_the_last_byte_is_acknowledged_and_the_close_has_left() {
    let (mut hand, id) = Hand::with_stream(config());
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    hand.mux.stream(hand.now, id).finish();
    let chunk = hand.one();
    assert!(!hand.mux.is_finished(id));
    // An answer of a reader that is slow and lives is worth waiting for.
    hand.pass(millis(59_999));
    hand.answer(&chunk, Content::Result(None));
    assert!(!hand.mux.is_finished(id));
    assert!(is_close(&hand.one()));
    assert!(hand.mux.is_finished(id));
}

#[test]
fn after_finishing_the_peer_may_write_for_as_long_as_anything_moves() {
    let (mut hand, id) = Hand::with_stream(config());
    hand.mux.stream(hand.now, id).finish();
    assert!(is_close(&hand.one()));
    hand.pass(millis(39_999));
    assert!(hand.closed().is_none());
    hand.data(0, b"late answer");
    hand.pass(millis(39_999));
    assert_eq!(
        hand.mux.stream(hand.now, id).read(99).unwrap(),
        "late answer"
    );
    hand.pass(millis(39_999));
    assert!(hand.closed().is_none());
    hand.pass(millis(1));
    assert!(matches!(
        hand.closed(),
        Some(Close {
            why: Why::TimedOut(_),
            ..
        })
    ));
}

#[test]
fn a_request_and_its_answer_need_one_close_from_each_side() {
    let mut pair = Pair::new(config(), config());
    let (ours, theirs) = pair.stream(OpenOptions::default());
    pair.queue(0, ours, b"request");
    pair.run(seconds(1));
    let now = pair.now;
    pair.ends[0].mux.stream(now, ours).finish();
    pair.run(seconds(20));
    let answer = pattern(50_000);
    pair.queue(1, theirs, &answer);
    pair.run(seconds(10));
    assert!(pair.ends[0].received[&ours] == answer);
    assert!(pair.ends[0].closed.is_empty() && pair.ends[1].closed.is_empty());
    pair.close(1, theirs);
    pair.run(seconds(5));
    assert_eq!(pair.ends[0].why(ours), Some(Why::Done));
    assert_eq!(pair.ends[1].why(theirs), Some(Why::Done));
    pair.settled();
}
