//! Many streams at once: what they have on their way together.

use std::time::Duration;

use xtls_stanza::{Content, Envelope};

use super::pair::Pair;
use super::support::*;
use crate::{Config, OpenOptions, StreamId, Window};

/// Chunks of all streams that may await an answer.
const MOST: usize = 1024;

fn tiny_chunks() -> Hand {
    let window = Window::Fixed {
        bytes: 1 << 20,
        chunk: 1,
    };
    Hand::new(Config::default().window(window))
}

fn accepted(hand: &mut Hand, sid: &str) -> StreamId {
    let id = hand.offer(open_of(sid, 4096));
    hand.mux.stream(hand.now, id).accept(None).unwrap();
    hand.answers();
    id
}

fn write(hand: &mut Hand, id: StreamId, bytes: usize) -> Vec<Envelope> {
    let mut stream = hand.mux.stream(hand.now, id);
    assert_eq!(stream.write(vec![7; bytes].into()).unwrap(), bytes);
    hand.answers()
}

#[test]
fn no_more_than_1024_chunks_await_an_answer_and_each_answer_makes_room_for_one() {
    let mut hand = tiny_chunks();
    let id = accepted(&mut hand, "a");
    let sent = write(&mut hand, id, MOST);
    assert_eq!(sent.len(), MOST);
    assert!(write(&mut hand, id, 1).is_empty(), "one past it");
    hand.answer(&sent[0], Content::Result(None));
    assert_eq!(hand.answers().len(), 1);
    assert!(write(&mut hand, id, 1).is_empty());
}

#[test]
fn a_stream_without_answers_takes_no_other_ones_place() {
    let mut hand = tiny_chunks();
    let (stalled, other) = (accepted(&mut hand, "a"), accepted(&mut hand, "b"));
    assert_eq!(write(&mut hand, stalled, 5000).len(), MOST);
    let mut moved = 0;
    let mut sent = write(&mut hand, other, 2000);
    while !sent.is_empty() {
        assert_eq!(sent.len(), 2);
        for chunk in &sent {
            assert_eq!(data_in(chunk).sid, sid("b"));
            hand.answer(chunk, Content::Result(None));
        }
        moved += sent.len();
        sent = hand.answers();
    }
    assert_eq!(moved, 2000);
}

#[test]
fn a_line_does_not_wait_for_the_answers_to_bulk() {
    let mut hand = Hand::new(Config::default().window(Window::Fixed {
        bytes: 1 << 20,
        chunk: 512,
    }));
    let (bulk, chat) = (accepted(&mut hand, "a"), accepted(&mut hand, "b"));
    assert_eq!(write(&mut hand, bulk, 1 << 20).len(), MOST);
    let line = write(&mut hand, chat, 300);
    assert_eq!(data_in(&line[0]).bytes.len(), 300);
}

#[test]
fn what_a_stream_that_ends_had_on_its_way_is_room_for_others() {
    let mut hand = tiny_chunks();
    let (first, second) = (accepted(&mut hand, "a"), accepted(&mut hand, "b"));
    assert_eq!(write(&mut hand, first, MOST).len(), MOST);
    hand.mux.stream(hand.now, first).abort();
    let sent = write(&mut hand, second, MOST);
    let chunks = sent.iter().filter(|sent| !is_close(sent)).count();
    assert_eq!(chunks, MOST);
}

/// One of them begins while the others have found their pace, on a path that 16 KiB do not fill.
#[test]
fn a_stream_that_begins_beside_others_to_its_peer_gets_its_share_at_once() {
    let config = || Config::default().max_streams_per_peer(8);
    let mut pair = Pair::new(config(), config());
    let options = || OpenOptions::default().block_size(block(65_535));
    let bulk = vec![7; 8 << 20];
    let (first, _) = pair.stream(options());
    pair.queue(0, first, &bulk);
    pair.run(seconds(10));
    let found = pair.ends[0].mux.stats(first).unwrap();
    assert!(found.window > 64 * 1024, "{found:?}");

    let (second, _) = pair.stream(options());
    let sent = |pair: &Pair, id| pair.ends[0].mux.stats(id).unwrap().bytes_sent;
    pair.queue(0, first, &bulk);
    pair.queue(0, second, &bulk);
    let before = sent(&pair, first);
    pair.run(Duration::from_secs(1));
    let shares = (sent(&pair, second), sent(&pair, first) - before);
    assert!(shares.0 * 2 > shares.1, "{shares:?}");
}
