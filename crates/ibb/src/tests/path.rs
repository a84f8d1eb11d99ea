//! The straight path: open, accept, data both ways, close.

use xtls_stanza::{Content, Element, Payload};

use super::support::*;
use crate::{By, Close, Config, Event, OpenOptions, Why};

#[test]
fn bytes_go_both_ways_and_both_ends_close_in_order() {
    let mut pair = Pair::new(Config::default(), Config::default());
    let (ours, theirs) = pair.stream(OpenOptions::default());
    let long: Vec<u8> = (0..100_000u32)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    pair.queue(0, ours, &long);
    pair.queue(1, theirs, b"short");
    pair.run(seconds(60));
    assert!(pair.ends[1].received[&theirs] == long);
    assert_eq!(pair.ends[0].received[&ours], b"short");

    let now = pair.now;
    pair.ends[0].mux.close(now, ours);
    pair.run(seconds(5));
    let (close, peers) = (
        &pair.ends[0].closes()[&ours],
        &pair.ends[1].closes()[&theirs],
    );
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
    assert!(
        matches!(
            &events[..],
            [Event::Opened {
                answer: Some(Payload::Ping),
                ..
            }]
        ),
        "{events:?}"
    );
}
