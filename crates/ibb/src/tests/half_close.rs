//! Half-close: the peer has closed, and we still write.

use xtls_stanza::Content;

use super::pair::Pair;
use super::support::*;
use crate::{By, Close, Config, Event, OpenOptions, Why, Window, WriteError};

fn config() -> Config {
    Config::default().half_close(seconds(30))
}

#[test]
fn without_the_setting_the_peers_close_ends_writing_too() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.close();
    assert!(is_result(&hand.one()));
    assert_eq!(
        hand.mux.write(hand.now, id, "late".into()),
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
    assert_eq!(hand.mux.read(hand.now, id, 99).unwrap(), "question");
    assert!(is_result(&hand.one()));

    hand.pass(seconds(20));
    hand.mux.write(hand.now, id, "answer".into()).unwrap();
    let chunk = hand.one();
    hand.answer(&chunk, Content::Result(None));
    assert!(hand.answers().is_empty() && hand.closed().is_none());
    hand.mux.close(hand.now, id);
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
    assert_eq!(hand.mux.write(hand.now, id, pattern(99).into()), Ok(32));
    let chunk = hand.one();
    assert!(hand.events().is_empty());
    hand.answer(&chunk, Content::Result(None));
    assert!(matches!(hand.events()[..], [Event::Writable { .. }]));
}

#[test]
fn a_half_closed_stream_that_nobody_closes_ends_at_its_limit() {
    let (mut hand, id) = Hand::with_stream(config());
    let close = hand.close();
    hand.events();
    hand.mux.write(hand.now, id, "tail".into()).unwrap();
    hand.answers();
    hand.pass(millis(29_999));
    assert!(hand.closed().is_none());
    hand.pass(millis(1));
    let answer = hand.one();
    assert!(is_result(&answer) && answer.id == close);
    let why = Why::Unfinished { bytes: 4 };
    assert_eq!(hand.closed(), Some(Close { by: By::Peer, why }));
    assert_eq!(hand.mux.poll_timeout(), None);
}

#[test]
fn closing_a_half_closed_stream_leaves_five_seconds_for_its_tail() {
    let (mut hand, id) = Hand::with_stream(config());
    hand.close();
    hand.events();
    hand.mux.write(hand.now, id, "tail".into()).unwrap();
    hand.answers();
    hand.mux.close(hand.now, id);
    hand.mux.close(hand.now, id);
    hand.pass(millis(4_999));
    assert!(hand.closed().is_none());
    hand.pass(millis(1));
    assert!(hand.closed().is_some());
}

#[test]
fn our_own_close_waits_for_the_answer_as_long_as_the_peer_may_write() {
    let (mut hand, id) = Hand::with_stream(config());
    hand.mux.close(hand.now, id);
    assert!(is_close(&hand.one()));
    hand.pass(millis(39_999));
    assert!(hand.closed().is_none());
    hand.data(0, b"late answer");
    assert_eq!(hand.mux.read(hand.now, id, 99).unwrap(), "late answer");
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
    pair.close(0, ours);
    pair.run(seconds(5));
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
