//! The bugs of other implementations of In-Band Bytestreams, as far as they could be ours: one test for each kind.

use xtls_stanza::ibb::Carrier;
use xtls_stanza::{Condition, Content, ErrorType, Payload};

use super::pair::Pair;
use super::support::*;
use crate::{Config, Event, OpenError, OpenOptions, Why, Window};

/// Tail loss: an encoder around the whole stream keeps the last one or two bytes to itself until the close.
#[test]
fn a_flush_sends_the_last_bytes_whatever_the_length_modulo_3() {
    for len in [1, 2, 3, 4, 5, 515, 516, 517, 4095, 4096, 4097] {
        let mut hand = Hand::new(Config::default());
        let id = hand.offer(open_of("s", 4096));
        hand.mux.stream(hand.now, id).accept(None).unwrap();
        hand.answers();
        hand.mux
            .stream(hand.now, id)
            .write(pattern(len).into())
            .unwrap();
        let sent = hand.answers();
        let bytes: Vec<u8> = sent
            .iter()
            .flat_map(|chunk| data_in(chunk).bytes.to_vec())
            .collect();
        assert_eq!(bytes, pattern(len));
        assert!(hand.mux.is_flushed(id));
        let full = sent
            .iter()
            .filter(|chunk| data_in(chunk).bytes.len() == 4096)
            .count();
        assert_eq!(
            full,
            len / 4096,
            "chunks are cut at the block and nowhere else"
        );
    }
}

/// Buffered bytes are lost when the peer closes, because the end of the stream is reported before they are read.
#[test]
fn bytes_that_came_before_the_peers_close_are_read_after_it() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.data(0, b"last words");
    hand.close();
    let events = hand.events();
    assert!(matches!(events[..], [Event::Readable { .. }]), "{events:?}");
    assert_eq!(
        hand.mux.stream(hand.now, id).read(99).unwrap(),
        "last words"
    );
    assert!(hand.closed().is_some());
}

/// The writer is cancelled when the peer closes, and what was written vanishes.
#[test]
fn what_was_written_is_not_dropped_when_the_peer_closes() {
    let mut pair = Pair::new(Config::default(), Config::default());
    let (ours, theirs) = pair.stream(OpenOptions::default());
    pair.queue(1, theirs, &pattern(10_000));
    pair.run(millis(60));
    pair.close(0, ours);
    pair.run(seconds(10));
    assert!(pair.ends[0].received[&ours] == pattern(10_000));
    assert_eq!(pair.ends[1].why(theirs), Some(Why::Done));
}

/// The last block is never acknowledged, or the close goes before it.
#[test]
fn the_close_goes_after_the_answer_to_the_last_chunk() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    hand.mux.stream(hand.now, id).close();
    let chunk = hand.one();
    hand.answer(&chunk, Content::Result(None));
    assert!(is_close(&hand.one()));
}

/// No one closes: some never send a close, some never answer one.
#[test]
fn a_peer_that_never_answers_a_close_does_not_hold_us() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).close();
    hand.answers();
    hand.pass(seconds(10));
    assert!(hand.closed().is_some());
    assert!(hand.mux.is_empty());
}

/// A local close leaves the table entry, which leaks, and on which a later chunk panics.
#[test]
fn a_chunk_after_our_close_is_answered_and_nothing_is_left() {
    for _ in 0..31 {
        let (mut hand, id) = Hand::with_stream(Config::default());
        hand.mux.stream(hand.now, id).close();
        let close = hand.one();
        hand.answer(&close, Content::Result(None));
        let late = hand.data(0, b"late");
        hand.expect_error(&late, Condition::ItemNotFound, ErrorType::Cancel);
        hand.events();
        assert_eq!(hand.mux.leftovers(), 0);
    }
}

/// One counter for both directions: the first reply is taken for a wrong number.
#[test]
fn each_direction_counts_for_itself() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    for n in 0..3 {
        hand.data(n, b"x");
        hand.mux.stream(hand.now, id).read(9);
    }
    hand.answers();
    hand.mux.stream(hand.now, id).write("reply".into()).unwrap();
    assert_eq!(data_in(&hand.one()).seq, seq(0));
}

/// The answer to a bad chunk carries the id of another request, or comes after a result for the same.
#[test]
fn a_refused_chunk_is_answered_once_under_its_own_id() {
    let (mut hand, _) = Hand::with_stream(Config::default());
    let id = hand.data(7, b"gap");
    let answers = hand.answers();
    let own: Vec<_> = answers.iter().filter(|answer| answer.id == id).collect();
    assert!(
        matches!(own[..], [one] if matches!(one.content, Content::Error(_))),
        "{answers:?}"
    );
}

/// Counting before the comparison, or the comparison before the count: block 0 of a message stream kills it.
#[test]
fn the_first_chunk_in_a_message_has_the_number_0() {
    let mut hand = Hand::new(Config::default().messages(true));
    let mut open = open_of("s", 16);
    open.carrier = Carrier::Message;
    let id = hand.offer(open);
    hand.mux.stream(hand.now, id).accept(None).unwrap();
    hand.message(vec![Payload::Data(data_of("s", 0, b"first"))]);
    assert_eq!(hand.mux.stream(hand.now, id).read(99).unwrap(), "first");
    hand.mux.stream(hand.now, id).write("reply".into()).unwrap();
    let sent = hand.answers();
    assert_eq!(data_in(sent.last().unwrap()).seq, seq(0));
}

/// The number is used up before its chunk was taken, or refused: then it can never be sent again.
#[test]
fn a_chunk_that_bounced_goes_again_under_the_same_number() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).write("again".into()).unwrap();
    let chunk = hand.one();
    let error = xtls_stanza::StanzaError::new(ErrorType::Wait, Condition::RemoteServerTimeout);
    hand.answer(&chunk, Content::Error(error));
    hand.pass(seconds(1));
    assert_eq!(data_in(&hand.one()), data_in(&chunk));
}

/// Receive queues that are acknowledged on arrival, and so have no end.
#[test]
fn nothing_is_acknowledged_before_it_was_read() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    for n in 0..50 {
        hand.data(n, b"unread");
    }
    assert!(hand.answers().is_empty());
    assert_eq!(hand.mux.readable(id), 300);
}

/// The dispatcher blocks until someone accepts or reads.
#[test]
fn a_stream_without_a_reader_or_an_answer_holds_up_no_other() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    for n in 0..9 {
        hand.data(n, b"unread");
    }
    hand.send(Content::Set(Payload::Open(open_of("unanswered", 16))));
    let other = hand.send_from(
        "nurse@capulet.example/hall",
        Content::Set(Payload::Open(open_of("t", 16))),
    );
    let ids: Vec<_> = hand
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Incoming { id, .. } => Some(id),
            _ => None,
        })
        .collect();
    hand.mux.stream(hand.now, ids[1]).accept(None).unwrap();
    assert_eq!(hand.one().id, other);
    assert!(hand.mux.readable(id) > 0);
}

/// A write of any size recurses, or is copied whole.
#[test]
fn a_large_write_takes_what_there_is_room_for() {
    let window = Window::Fixed {
        bytes: 1000,
        chunk: 1,
    };
    let (mut hand, id) = Hand::with_stream(Config::default().window(window));
    let taken = hand
        .mux
        .stream(hand.now, id)
        .write(vec![0; 50_000_000].into())
        .unwrap();
    assert_eq!(taken, 1001);
    assert_eq!(hand.answers().len(), 1000);
}

/// Streams are found by their sid alone: any sender may inject, or close.
#[test]
fn a_stranger_with_the_right_sid_changes_nothing() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    for from in ["paris@verona.example/x", "romeo@montague.example/phone"] {
        let data = hand.send_from(
            from,
            Content::Set(Payload::Data(data_of("s", 0, b"forged"))),
        );
        let close = hand.send_from(
            from,
            Content::Set(Payload::Close(xtls_stanza::ibb::Close { sid: sid("s") })),
        );
        let answers = hand.answers();
        assert_eq!([&answers[0].id, &answers[1].id], [&data, &close]);
        for answer in answers {
            assert!(
                matches!(answer.content, Content::Error(e) if e.condition == Condition::ItemNotFound)
            );
        }
    }
    assert!(hand.events().is_empty());
    hand.data(0, b"true");
    assert_eq!(hand.mux.stream(hand.now, id).read(9).unwrap(), "true");
}

/// Sids and ids that can be guessed.
#[test]
fn two_muxes_of_different_seeds_share_no_name() {
    let name = |seed| {
        let mut mux = crate::Mux::new(address(JULIET), Config::default(), [seed; 32]);
        let now = std::time::Instant::now();
        let id = mux
            .open(now, &address(ROMEO), OpenOptions::default())
            .unwrap();
        let open = mux.poll_transmit(now).unwrap();
        (mux.sid(id).unwrap().to_string(), open.id)
    };
    let (one, other) = (name(1), name(2));
    assert!(one.0 != other.0 && one.1 != other.1 && one.0 != one.1);
    assert!(one.0.len() >= 17 && one.1.len() >= 17);
}

/// A stream is registered when the answer to its open has been dealt with: too late for a peer that speaks first.
#[test]
fn the_peer_may_send_first() {
    let mut hand = Hand::new(Config::default());
    let id = hand
        .mux
        .open(hand.now, &address(ROMEO), OpenOptions::default())
        .unwrap();
    let open = hand.one();
    let name = hand.mux.sid(id).unwrap().to_string();
    // Both before the owner has seen an event.
    hand.answer(&open, Content::Result(None));
    hand.send(Content::Set(Payload::Data(data_of(&name, 0, b"first"))));
    assert_eq!(hand.mux.stream(hand.now, id).read(99).unwrap(), "first");
}

/// An open that was refused looks accepted, or the refusal is swallowed.
#[test]
fn a_refused_open_is_told_and_nothing_is_sent_on_it() {
    let mut hand = Hand::new(Config::default());
    let id = hand
        .mux
        .open(hand.now, &address(ROMEO), OpenOptions::default())
        .unwrap();
    hand.mux.stream(hand.now, id).write("early".into()).unwrap();
    let open = hand.one();
    let error = xtls_stanza::StanzaError::new(ErrorType::Cancel, Condition::NotAcceptable);
    hand.answer(&open, Content::Error(error));
    assert!(matches!(hand.closed().unwrap().why, Why::Refused { .. }));
    assert!(hand.answers().is_empty() && hand.mux.is_empty());
}

/// A send from the handler of the open fails, for the stream is not open yet.
#[test]
fn a_stream_can_be_written_to_as_soon_as_it_is_accepted() {
    let mut hand = Hand::new(Config::default());
    let id = hand.offer(open_of("s", 16));
    hand.mux.stream(hand.now, id).accept(None).unwrap();
    hand.mux.stream(hand.now, id).write("hello".into()).unwrap();
    let sent = hand.answers();
    // The answer to the open goes first.
    assert!(is_result(&sent[0]));
    assert_eq!(data_in(&sent[1]).bytes, "hello");
}

/// The block and the kind of stanza that were asked for are not looked at.
#[test]
fn the_offered_block_and_carrier_are_those_of_the_stream() {
    let mut hand = Hand::new(Config::default().messages(true));
    let mut open = open_of("s", 7);
    open.carrier = Carrier::Message;
    let id = hand.offer(open);
    hand.mux.stream(hand.now, id).accept(None).unwrap();
    assert_eq!(hand.mux.block_size(id), Some(7));
    hand.mux
        .stream(hand.now, id)
        .write("ten bytes.".into())
        .unwrap();
    let sent = hand.answers();
    assert!(matches!(sent[1].content, Content::Message { .. }));
    assert_eq!(data_in(&sent[1]).bytes.len(), 7);
}

/// Halving a refused block has no end.
#[test]
fn a_block_that_is_always_refused_ends_after_nine_opens() {
    let mut hand = Hand::new(Config::default());
    let options = OpenOptions::default().block_size(block(65_535));
    hand.mux.open(hand.now, &address(ROMEO), options).unwrap();
    let mut opens = 0;
    while let Some(open) = hand.mux.poll_transmit(hand.now) {
        opens += 1;
        assert!(opens <= 9);
        let error = xtls_stanza::StanzaError::new(ErrorType::Modify, Condition::ResourceConstraint);
        hand.answer(&open, Content::Error(error));
    }
    assert_eq!(opens, 9);
    assert!(hand.closed().is_some());
}

/// The block counts base64, or counts nothing at all.
#[test]
fn the_block_counts_bytes_before_base64() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    // 16 bytes are 24 characters.
    hand.read_data("s", "0", "AAAAAAAAAAAAAAAAAAAAAA==");
    assert_eq!(hand.mux.readable(id), 16);
    hand.read_data("s", "1", "AAAAAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(hand.mux.room(id), 0);
}

/// A request without an answer: the window of its sender never opens again.
#[test]
fn bad_data_is_answered_even_where_there_is_no_stream() {
    let mut hand = Hand::new(Config::default());
    for text in ["AAA", "*", ""] {
        hand.read_data("none", "0", text);
        hand.expect_error("x", Condition::ItemNotFound, ErrorType::Cancel);
    }
}

/// Too large a stanza ends the connection to the server, and is sent again after it.
#[test]
fn no_chunk_is_sent_again_after_the_link_was_lost() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).write("large".into()).unwrap();
    hand.answers();
    hand.mux.lost(hand.now);
    hand.pass(seconds(3600));
    assert!(hand.answers().is_empty());
    assert_eq!(hand.closed().unwrap().why, Why::LinkLost);
}

/// A stream to one's own address has the same key at both ends.
#[test]
fn a_stream_to_ourselves_is_refused() {
    let mut hand = Hand::new(Config::default());
    let refused = hand
        .mux
        .open(hand.now, &address(JULIET), OpenOptions::default());
    assert_eq!(refused, Err(OpenError::OwnAddress));
}
