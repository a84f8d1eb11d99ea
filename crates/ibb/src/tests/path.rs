//! The straight path: open, accept, data both ways, close.

use std::time::Instant;

use bytes::Bytes;
use xtls_stanza::{Content, Element, Payload};

use super::pair::Pair;
use super::support::*;
use crate::{By, Close, Config, Event, Mux, OpenOptions, Why, Window};

#[test]
fn bytes_go_both_ways_and_both_ends_close_in_order() {
    let mut pair = Pair::new(Config::default(), Config::default());
    let (ours, theirs) = pair.stream(OpenOptions::default());
    let long = pattern(100_000);
    pair.queue(0, ours, &long);
    pair.queue(1, theirs, b"short");
    pair.run(seconds(60));
    assert!(pair.ends[1].received[&theirs] == long);
    assert_eq!(pair.ends[0].received[&ours], b"short");

    pair.close(0, ours);
    pair.run(seconds(5));
    let (close, peers) = (&pair.ends[0].closed[&ours], &pair.ends[1].closed[&theirs]);
    assert_eq!(
        *close,
        Close {
            by: By::Us,
            why: Why::Done
        }
    );
    assert_eq!(
        *peers,
        Close {
            by: By::Peer,
            why: Why::Done
        }
    );
    assert_eq!(pair.ends[0].mux.stats(ours), None);
    pair.settled();
}

#[test]
fn extensions_and_the_answer_travel_with_the_open() {
    let mut hand = Hand::new(Config::default());
    let start = Element::new("start", "urn:xmpp:tmp:xtls");
    let options = OpenOptions::default().extension(start.clone());
    let id = hand.mux.open(hand.now, &address(ROMEO), options).unwrap();
    let request = hand.one();
    let Content::Set(Payload::Open(open)) = &request.content else {
        panic!("{request:?}")
    };
    assert_eq!(open.extensions, [start]);
    assert_eq!(Some(&open.sid), hand.mux.sid(id));
    hand.answer(&request, Content::Result(Some(Payload::Ping)));
    let events = hand.events();
    let opened = matches!(
        &events[..],
        [Event::Opened {
            answer: Some(Payload::Ping),
            ..
        }]
    );
    assert!(opened, "{events:?}");
}

#[test]
fn all_that_is_written_before_the_poll_shares_a_chunk() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.mux.stream(hand.now, id).write("but ".into()).unwrap();
    hand.mux
        .stream(hand.now, id)
        .write("soft, ".into())
        .unwrap();
    assert!(!hand.mux.is_flushed(id));
    assert_eq!(data_in(&hand.one()).bytes, "but soft, ");
    assert!(hand.mux.is_flushed(id));
}

#[test]
fn simultaneous_opens_of_both_sides_are_two_streams() {
    let mut pair = Pair::new(Config::default(), Config::default());
    let (romeos, juliets) = (
        pair.open(0, OpenOptions::default()),
        pair.open(1, OpenOptions::default()),
    );
    pair.run(seconds(1));
    let (at_juliet, at_romeo) = (pair.ends[1].incoming[0], pair.ends[0].incoming[0]);
    for (end, id, bytes) in [
        (0, romeos, b"from romeo".as_slice()),
        (1, juliets, b"from juliet"),
        (0, at_romeo, b"answer of romeo"),
        (1, at_juliet, b"answer of juliet"),
    ] {
        pair.queue(end, id, bytes);
    }
    pair.run(seconds(1));
    assert_eq!(pair.ends[1].received[&at_juliet], b"from romeo");
    assert_eq!(pair.ends[0].received[&at_romeo], b"from juliet");
    assert_eq!(pair.ends[1].received[&juliets], b"answer of romeo");
    assert_eq!(pair.ends[0].received[&romeos], b"answer of juliet");
}

/// Sends both ways through a stream with blocks of this size.
fn both_ways(size: u16, window: Window, len: usize) {
    let config = Config::default().window(window);
    let mut pair = Pair::new(config.clone(), config);
    let (ours, theirs) = pair.stream(OpenOptions::default().block_size(block(size)));
    assert_eq!(pair.ends[1].mux.block_size(theirs), Some(size));
    let bytes = pattern(len);
    pair.queue(0, ours, &bytes);
    pair.queue(1, theirs, &bytes);
    pair.run(seconds(600));
    assert!(pair.ends[1].received[&theirs] == bytes);
    assert!(pair.ends[0].received[&ours] == bytes);
    pair.close(1, theirs);
    pair.run(seconds(5));
    assert_eq!(pair.ends[0].why(ours), Some(Why::Done));
    pair.settled();
}

#[test]
fn blocks_of_one_byte_work() {
    both_ways(1, Window::default(), 5_000);
}

#[test]
fn blocks_of_65535_bytes_work() {
    both_ways(65535, Window::default(), 3_000_000);
    both_ways(
        65535,
        Window::Fixed {
            bytes: 200_000,
            chunk: 65535,
        },
        1_000_000,
    );
}

#[test]
fn numbers_wrap_three_times_in_both_directions() {
    let config = Config::default().window(Window::Fixed {
        bytes: 64,
        chunk: 1,
    });
    let now = Instant::now();
    let mut ends = [(ROMEO, 1), (JULIET, 2)]
        .map(|(own, seed)| Mux::new(address(own), config.clone(), [seed; 32]));
    ends[1].allow(crate::Allow::Anyone);
    let options = OpenOptions::default().block_size(block(1));
    let mut ids = [ends[0].open(now, &address(JULIET), options).unwrap(); 2];
    let bytes = Bytes::from(pattern(3 * 65536 + 10));
    let (mut written, mut got) = ([0; 2], [Vec::new(), Vec::new()]);
    while got.iter().any(|got| got.len() < bytes.len()) {
        for at in 0..2 {
            while let Some(stanza) = ends[1 - at].poll_transmit(now) {
                ends[at].handle(now, stanza);
            }
            while let Some(event) = ends[at].poll_event() {
                match event {
                    Event::Incoming { id, .. } => {
                        ends[at].stream(now, id).accept(None).unwrap();
                        ids[at] = id;
                    }
                    Event::Closed { close, .. } => panic!("{close}"),
                    _ => {}
                }
            }
            while let Some(piece) = ends[at].stream(now, ids[at]).read(99) {
                got[at].extend_from_slice(&piece);
            }
            let rest = bytes.slice(written[at]..);
            written[at] += ends[at].stream(now, ids[at]).write(rest).unwrap_or(0);
        }
    }
    assert!(got.iter().all(|got| *got == bytes));
    for at in 0..2 {
        let stats = ends[at].stats(ids[at]).unwrap();
        assert_eq!(
            (stats.chunks_sent, stats.chunks_received),
            (196_618, 196_618)
        );
    }
}

#[test]
fn a_repetition_is_recognised_across_the_wrap() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    for n in 0..=65_536u32 {
        hand.data(u16::try_from(n % 65_536).unwrap(), b"x");
        hand.mux.stream(hand.now, id).read(99);
    }
    hand.answers();
    for n in [65_535, 65_534, 65_100, 0] {
        hand.data(n, b"x");
        assert!(is_result(&hand.one()), "{n}");
    }
    assert_eq!(hand.mux.stats(id).unwrap().duplicates, 4);
}

#[test]
fn a_stream_keeps_chunks_below_the_servers_stanza_limit() {
    let mut hand = Hand::new(
        Config::default()
            .stanza_limit(10_000)
            .max_block(block(65535)),
    );
    let options = OpenOptions::default().block_size(block(65535));
    let ours = hand.mux.open(hand.now, &address(ROMEO), options).unwrap();
    assert_eq!(hand.mux.block_size(ours), Some(6732));
    let theirs = hand.offer_after_events(open_of("s", 65535));
    hand.mux.stream(hand.now, theirs).accept(None).unwrap();
    hand.mux.stream(hand.now, theirs).set_window(Window::Fixed {
        bytes: 1 << 20,
        chunk: 65535,
    });
    hand.answers();
    hand.mux
        .stream(hand.now, theirs)
        .write(pattern(20_000).into())
        .unwrap();
    let longest = hand
        .answers()
        .iter()
        .map(|chunk| data_in(chunk).bytes.len())
        .max();
    assert_eq!(longest, Some(6732));
}

#[test]
fn debug_output_shows_nothing_of_what_a_stream_carries() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    hand.data(0, b"incoming secret");
    hand.mux
        .stream(hand.now, id)
        .write("outgoing secret".into())
        .unwrap();
    let before = format!("{:?}", hand.mux);
    let shown = format!("{before} {:?} {:?}", hand.answers(), hand.events());
    assert!(
        !shown.contains("secret") && shown.contains(JULIET),
        "{shown}"
    );
}
