//! How the router chooses and treats transports.

use std::time::Duration;

use bytes::Bytes;

use super::super::OpenError;
use super::*;
use crate::transport::{self, Answer, Gone, Open, Sid, StreamEnd, StreamKey, Transport};

/// Opens streams that nobody ever answers.
#[derive(Debug)]
struct Silent {
    reaches: bool,
    flight: usize,
    full: bool,
    /// Whether each open came with a ClientHello.
    opens: Vec<bool>,
    sid: Option<Sid>,
    aborted: bool,
    events: Vec<transport::Event>,
}

impl Silent {
    fn new() -> Self {
        Self {
            reaches: true,
            flight: 0,
            full: false,
            opens: Vec::new(),
            sid: None,
            aborted: false,
            events: Vec::new(),
        }
    }
}

impl Transport for Silent {
    fn features(&self) -> &[&'static str] {
        &["urn:example:silent"]
    }

    fn reaches(&self, _: &Address) -> bool {
        self.reaches
    }

    fn max_flight(&self) -> usize {
        self.flight
    }

    fn open(&mut self, _: Instant, open: Open<'_>) -> Result<StreamKey, transport::OpenError> {
        if self.full {
            return Err(transport::OpenError::TooMany { max: 0 });
        }
        self.opens.push(open.hello.is_some());
        self.sid = Some(open.sid);
        Ok(StreamKey(1))
    }

    fn answer(&mut self, _: Instant, _: StreamKey, _: Answer) -> Result<(), Gone> {
        Err(Gone)
    }

    fn sid(&self, _: StreamKey) -> Option<&Sid> {
        self.sid.as_ref()
    }

    fn room(&self, _: StreamKey) -> usize {
        0
    }

    fn write(&mut self, _: Instant, _: StreamKey, _: Bytes) {}

    fn read(&mut self, _: Instant, _: StreamKey, _: usize) -> Option<Bytes> {
        None
    }

    fn is_flushed(&self, _: StreamKey) -> bool {
        true
    }

    fn close(&mut self, now: Instant, key: StreamKey) {
        self.abort(now, key);
    }

    fn abort(&mut self, _: Instant, key: StreamKey) {
        self.aborted = true;
        let end = StreamEnd::Aborted;
        self.events.push(transport::Event::Closed { key, end });
    }

    fn poll_event(&mut self) -> Option<transport::Event> {
        self.events.pop()
    }
}

fn world(change: fn(&mut Silent)) -> World {
    let silent = move |_: &Address, _| {
        let mut silent = Silent::new();
        change(&mut silent);
        silent
    };
    World::with(config(A).transport(silent), config(B))
}

fn look<T>(world: &mut World, at: impl FnOnce(&mut Silent) -> T) -> T {
    let now = world.now;
    let seen = world.router(A).with_transport(now, |own, _| at(own));
    seen.unwrap()
}

#[test]
fn a_tunnel_goes_over_bytestreams_where_no_other_transport_reaches() {
    let mut world = world(|silent| silent.reaches = false);
    world.establish(A);
    assert!(look(&mut world, |silent| silent.opens.is_empty()));
}

#[test]
fn the_last_transport_that_reaches_the_peer_is_preferred() {
    let mut world = world(|_| {});
    world.open(A);
    world.settle();
    assert_eq!(look(&mut world, |silent| silent.opens.len()), 1);
    assert!(world.log.is_empty());
}

#[test]
fn a_client_hello_goes_only_where_it_fits() {
    for (flight, sent) in [(0, false), (100, false), (4096, true), (usize::MAX, true)] {
        let mut world = world(|_| {});
        look(&mut world, |silent| silent.flight = flight);
        world.open(A);
        assert_eq!(look(&mut world, |silent| silent.opens.clone()), [sent]);
    }
}

#[test]
fn a_transport_that_is_full_is_the_error_of_the_open() {
    let mut world = world(|silent| silent.full = true);
    let now = world.now;
    let refused = world.router(A).open(now, &address(NAMES[B]));
    let full = transport::OpenError::TooMany { max: 0 };
    assert_eq!(refused, Err(OpenError::Stream(full)));
}

#[test]
fn an_open_without_an_answer_is_given_up_after_a_minute() {
    let mut world = world(|_| {});
    let a = world.open(A);
    world.wait(Duration::from_secs(59));
    assert!(world.ended(A, a).is_none());
    world.wait(Duration::from_secs(1));
    assert_eq!(world.closed(A, a).why, Why::NoAnswer);
    assert!(look(&mut world, |silent| silent.aborted));
}

#[test]
fn streams_that_a_transport_leaves_end_with_the_link() {
    let mut world = world(|_| {});
    let a = world.open(A);
    let now = world.now;
    world.router(A).lost(now);
    world.settle();
    assert_eq!(world.closed(A, a).why, Why::Stream(StreamEnd::LinkLost));
    assert!(look(&mut world, |silent| silent.aborted));
}

#[test]
fn a_transport_is_made_anew_for_a_new_address() {
    let mut world = world(|_| {});
    world.open(A);
    let now = world.now;
    let own = address(NAMES[A]);
    world.router(A).rebind(now, own);
    assert!(look(&mut world, |silent| silent.opens.is_empty()));
}

#[test]
fn there_is_no_transport_of_a_type_that_was_not_added() {
    let mut world = World::new();
    let now = world.now;
    let none = world.router(A).with_transport(now, |_: &mut Silent, _| ());
    assert!(none.is_none());
}

#[test]
fn discovery_names_its_features() {
    let mut world = world(|_| {});
    let query = "<iq type='get' id='q'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    let answers = world.inject(A, Some(NAMES[B]), query);
    let Content::Result(Some(Payload::DiscoInfo(info))) = &answers[0].content else {
        panic!("{answers:?}");
    };
    assert!(info.features.iter().any(|one| one == "urn:example:silent"));
}
