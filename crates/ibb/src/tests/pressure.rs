//! Back-pressure, fairness, and the window at work.

use std::time::Duration;

use super::pair::{Pair, Shape};
use super::support::*;
use crate::{Config, OpenOptions, Why, Window};

#[test]
fn a_slow_reader_holds_the_writer_back_and_memory_stays_flat() {
    let config = Config::default().patient(true);
    let mut pair = Pair::new(config.clone(), config);
    let (ours, theirs) = pair.stream(OpenOptions::default());
    pair.ends[1].stuck = true;
    pair.ends[1].read_size = 1000;
    let bytes = pattern(300_000);
    pair.queue(0, ours, &bytes);
    let mut most = 0;
    while pair.ends[1]
        .received
        .get(&theirs)
        .is_none_or(|got| got.len() < bytes.len())
    {
        pair.run(seconds(1));
        let now = pair.now;
        pair.ends[1].sip(now, theirs);
        let (writer, reader) = (
            pair.ends[0].mux.stats(ours).unwrap(),
            pair.ends[1].mux.stats(theirs).unwrap(),
        );
        assert!(writer.in_flight <= 16 * 1024 && reader.unread <= 16 * 1024);
        most = most.max(reader.unread);
    }
    assert!(most > 4096);
    assert!(pair.ends[1].received[&theirs] == bytes);
}

#[test]
fn a_reader_that_stops_for_hours_loses_nothing_among_the_patient() {
    let config = Config::default().patient(true);
    let mut pair = Pair::new(config.clone(), config);
    let (ours, theirs) = pair.stream(OpenOptions::default());
    pair.ends[1].stuck = true;
    let bytes = pattern(200_000);
    pair.queue(0, ours, &bytes);
    pair.run(seconds(5 * 3600));
    assert!(pair.ends[0].closed.is_empty());
    pair.ends[1].stuck = false;
    pair.run(seconds(600));
    // A stuck reader gets no further event: it has to look once.
    while pair.ends[1].mux.readable(theirs) > 0 {
        let now = pair.now;
        pair.ends[1].sip(now, theirs);
        pair.run(seconds(1));
    }
    assert!(pair.ends[1].received[&theirs] == bytes);
}

#[test]
fn a_slow_reader_of_an_impatient_writer_ends_the_stream() {
    let mut pair = Pair::new(Config::default(), Config::default());
    let (ours, theirs) = pair.stream(OpenOptions::default());
    pair.ends[1].stuck = true;
    pair.queue(0, ours, &pattern(100_000));
    pair.run(seconds(61));
    assert!(matches!(pair.ends[0].why(ours), Some(Why::TimedOut(_))));
    pair.ends[1].stuck = false;
    pair.run(seconds(700));
    // What had come before the end was still there to read.
    assert!(pair.ends[1].received[&theirs] == pattern(100_000)[..16 * 1024]);
}

#[test]
fn two_full_windows_do_not_block_each_other() {
    let config = Config::default().window(Window::OneChunk);
    let mut pair = Pair::new(config.clone(), config);
    let (ours, theirs) = pair.stream(OpenOptions::default().block_size(block(64)));
    let bytes = pattern(20_000);
    pair.queue(0, ours, &bytes);
    pair.queue(1, theirs, &bytes);
    pair.run(seconds(600));
    assert!(pair.ends[0].received[&ours] == bytes);
    assert!(pair.ends[1].received[&theirs] == bytes);
}

#[test]
fn a_write_takes_the_window_and_one_chunk_and_says_when_there_is_room_again() {
    let window = Window::Fixed {
        bytes: 64,
        chunk: 16,
    };
    let (mut hand, id) = Hand::with_stream(Config::default().window(window));
    assert_eq!(hand.mux.room(id), 80);
    assert_eq!(
        hand.mux.stream(hand.now, id).write(pattern(1000).into()),
        Ok(80)
    );
    assert_eq!(
        hand.mux.stream(hand.now, id).write(pattern(1000).into()),
        Ok(0)
    );
    let chunks = hand.answers();
    assert_eq!((chunks.len(), hand.mux.room(id)), (4, 0));
    assert!(hand.events().is_empty());
    hand.answer(&chunks[0], xtls_stanza::Content::Result(None));
    assert!(matches!(hand.events()[..], [crate::Event::Writable { .. }]));
    assert_eq!(hand.mux.room(id), 16);
}

#[test]
fn who_asks_is_told_once_whenever_everything_is_acknowledged() {
    let (mut hand, id) = Hand::with_stream(Config::default());
    let write = |hand: &mut Hand| {
        let written = hand.mux.stream(hand.now, id).write(pattern(10).into());
        assert_eq!(written, Ok(10));
        hand.answers()
    };
    let result = || xtls_stanza::Content::Result(None);
    let chunks = write(&mut hand);
    hand.answer(&chunks[0], result());
    assert!(hand.events().is_empty(), "nobody has asked");

    hand.mux.stream(hand.now, id).tell_acknowledged();
    let told = |hand: &mut Hand| {
        let events = hand.events();
        matches!(events[..], [crate::Event::Acknowledged { id: of }] if of == id)
    };
    assert!(told(&mut hand), "it is so now");
    let chunks = write(&mut hand);
    assert!(hand.events().is_empty(), "it is under way");
    hand.answer(&chunks[0], result());
    assert!(told(&mut hand));
    assert!(hand.events().is_empty());
}

#[test]
fn streams_send_in_turn() {
    let window = Window::Fixed {
        bytes: 64,
        chunk: 16,
    };
    let mut hand = Hand::new(Config::default().window(window));
    let ids = ["s", "t"].map(|name| {
        let id = hand.offer(open_of(name, 16));
        hand.mux.stream(hand.now, id).accept(None).unwrap();
        id
    });
    hand.answers();
    for id in ids {
        hand.mux
            .stream(hand.now, id)
            .write(pattern(64).into())
            .unwrap();
    }
    hand.data(0, b"ask");
    hand.mux.stream(hand.now, ids[0]).read(99);
    let sent = hand.answers();
    // Answers first.
    assert!(is_result(&sent[0]));
    let turns: String = sent[1..]
        .iter()
        .map(|chunk| data_in(chunk).sid.to_string())
        .collect();
    assert_eq!(turns, "stststst");
}

#[test]
fn a_line_goes_before_bulk_that_waits() {
    let mut hand = Hand::new(Config::default());
    let ids = ["bulk", "chat"].map(|name| {
        let id = hand.offer(open_of(name, 4096));
        hand.mux.stream(hand.now, id).accept(None).unwrap();
        id
    });
    hand.answers();
    hand.mux
        .stream(hand.now, ids[0])
        .write(pattern(20_000).into())
        .unwrap();
    hand.mux
        .stream(hand.now, ids[1])
        .write("but soft".into())
        .unwrap();
    let sent = hand.answers();
    assert_eq!(data_in(&sent[0]).bytes, "but soft");
    // Not again before its answer: a row of lines is bulk as well.
    hand.mux
        .stream(hand.now, ids[1])
        .write("what light".into())
        .unwrap();
    hand.answer(&sent[1], xtls_stanza::Content::Result(None));
    let turns: Vec<String> = hand
        .answers()
        .iter()
        .map(|e| data_in(e).sid.to_string())
        .collect();
    assert_eq!(turns, ["chat", "bulk"]);
}

#[test]
fn a_stream_of_large_chunks_sends_no_more_than_one_of_small_chunks() {
    let config = Config::default().opens_per_minute(9);
    let mut pair = Pair::new(config.clone(), config);
    pair.shape = Some(Shape {
        rate: 50_000,
        burst: 1,
    });
    let (bytes, chunks) = (40_000, [40_000, 2000]);
    let streams = chunks.map(|chunk| {
        let window = Window::Fixed { bytes, chunk };
        let options = OpenOptions::default()
            .block_size(block(65535))
            .window(window);
        pair.stream(options).0
    });
    for id in streams {
        pair.queue(0, id, &pattern(1_000_000));
    }
    pair.run(seconds(20));
    let [large, small] = streams.map(|id| pair.ends[0].mux.stats(id).unwrap().bytes_acknowledged);
    assert!(small * 10 >= large * 7, "{large} and {small}");
}

/// Runs bulk for `time` after `warm_up`; returns bytes a second of payload.
fn goodput(pair: &mut Pair, warm_up: u64, time: u64) -> f64 {
    let (ours, theirs) = pair.stream(OpenOptions::default().block_size(block(65535)));
    let bytes = bytes::Bytes::from(pattern(1 << 20));
    let until = pair.now + seconds(warm_up + time);
    let start = pair.now + seconds(warm_up);
    let mut before = None;
    loop {
        let queue = pair.ends[0].to_write.entry(ours).or_default();
        if queue.len() < 2 {
            queue.push_back(bytes.clone());
        }
        if !pair.step(until) {
            break;
        }
        if let Some(received) = pair.ends[1].received.get_mut(&theirs) {
            received.clear();
        }
        if pair.now >= start && before.is_none() {
            before = pair.ends[1].mux.stats(theirs);
        }
    }
    let after = pair.ends[1].mux.stats(theirs).unwrap();
    let bytes = after.bytes_received - before.unwrap().bytes_received;
    bytes as f64 / time as f64
}

#[test]
fn a_server_that_reads_10_kb_a_second_is_used_to_95_percent() {
    let mut pair = Pair::new(Config::default(), Config::default());
    pair.shape = Some(Shape {
        rate: 10_000,
        burst: 20_000,
    });
    let possible = 10_000.0 * 4096.0 / (230.0 + 5464.0);
    let rate = goodput(&mut pair, 0, 600);
    assert!(rate > possible * 0.95, "{rate} of {possible}");
}

#[test]
fn a_server_that_reads_3_kb_a_second_is_used_to_90_percent() {
    let mut pair = Pair::new(Config::default(), Config::default());
    pair.shape = Some(Shape {
        rate: 3_000,
        burst: 20_000,
    });
    let possible = 3_000.0 * 4096.0 / (230.0 + 5464.0);
    let rate = goodput(&mut pair, 60, 600);
    assert!(rate > possible * 0.9, "{rate} of {possible}");
}

#[test]
fn a_long_fast_path_is_filled() {
    let mut pair = Pair::new(Config::default(), Config::default());
    pair.latency = millis(100);
    pair.shape = Some(Shape {
        rate: 4_000_000,
        burst: 1,
    });
    let possible = 4_000_000.0 * 4096.0 / (230.0 + 5464.0);
    let rate = goodput(&mut pair, 15, 15);
    assert!(rate > possible * 0.9, "{rate} of {possible}");
}

#[test]
fn a_chat_line_beside_bulk_through_a_slow_server_takes_at_most_3_seconds() {
    let mut pair = Pair::new(Config::default(), Config::default());
    pair.shape = Some(Shape {
        rate: 10_000,
        burst: 20_000,
    });
    let (bulk, _) = pair.stream(OpenOptions::default().block_size(block(65535)));
    let (chat, chat_there) = pair.stream(OpenOptions::default());
    pair.queue(0, bulk, &pattern(5_000_000));
    // After the burst, which fills whatever window it meets.
    pair.run(seconds(30));
    for line in 1..=20 {
        pair.queue(0, chat, b"but soft, what light");
        let sent = pair.now;
        let until = sent + seconds(10);
        while pair.ends[1]
            .received
            .get(&chat_there)
            .is_none_or(|got| got.len() < line * 20)
        {
            assert!(pair.step(until), "line {line} did not arrive");
        }
        let took = pair.now - sent;
        assert!(took <= Duration::from_secs(3), "line {line} took {took:?}");
        pair.run(seconds(7));
    }
}
