//! Owners that take nothing for a while: memory stays flat, and nothing is lost.

use xtls_session::SendError as Full;
use xtls_stanza::RawAttr;

use super::super::SendError;
use super::*;

impl World {
    /// Sends as much as there is room for; how many stanzas that were.
    fn fill(&mut self, end: usize, id: TunnelId, from: usize, length: usize) -> usize {
        let body = "x".repeat(length);
        for number in from.. {
            let stanza = message(&format!("m{number}"), &body);
            match self.tunnel(end, id).send(&stanza) {
                Ok(()) => {}
                Err(SendError::Session(Full::Full)) => return number - from,
                Err(error) => panic!("{error}"),
            }
            if number > from + 1_000_000 / length.max(1) * 8 {
                panic!("there is no limit");
            }
        }
        0
    }

    /// Sends as much as there is room for anywhere; how many stanzas.
    pub(super) fn fill_up(&mut self, end: usize, id: TunnelId, length: usize) -> usize {
        let mut sent = 0;
        loop {
            let more = self.fill(end, id, sent, length);
            if more == 0 {
                return sent;
            }
            sent += more;
            assert!(sent < 100_000, "there is no limit");
            self.settle();
        }
    }

    /// Sends this many stanzas, moving the world while there is no room.
    pub(super) fn say_all(&mut self, end: usize, id: TunnelId, count: usize, length: usize) {
        let body = "x".repeat(length);
        for number in 0..count {
            let stanza = message(&format!("m{number}"), &body);
            loop {
                match self.tunnel(end, id).send(&stanza) {
                    Ok(()) => break,
                    Err(SendError::Session(Full::Full)) => {
                        assert!(
                            self.deliver(end) | self.deliver(1 - end),
                            "no room, and nothing moves"
                        );
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Lets time pass without moving stanzas.
    pub(super) fn wait_only(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        for end in [A, B] {
            self.router(end).handle_timeout(now);
        }
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number}")).collect()
}

#[test]
fn an_owner_who_takes_nothing_stops_the_sender_and_loses_nothing() {
    for hold in [false, true] {
        for length in [1, 1000, 100_000] {
            let mut world = World::new();
            let ids = world.establish(A);
            world.ends[B].taking = hold;
            world.tunnel(B, ids[B]).hold(hold);
            let sent = world.fill_up(A, ids[A], length);
            assert!(
                sent * (length + 100) < 4_000_000,
                "{sent} stanzas of {length} bytes wait"
            );
            assert!(world.received(B, ids[B]).is_empty() || !hold);
            world.ends[B].taking = true;
            world.tunnel(B, ids[B]).hold(false);
            world.settle();
            assert_eq!(world.received(B, ids[B]), names(sent));
            assert!(
                world
                    .whats(A, ids[A])
                    .any(|what| *what == TunnelEvent::Writable)
            );
            // It goes on as before.
            world.say(A, ids[A], "last");
            world.settle();
            assert_eq!(
                world.received(B, ids[B]).last().map(String::as_str),
                Some("last")
            );
        }
    }
}

/// A stanza of about 250 kB, long in the place that its name says.
fn shaped(shape: &str) -> Stanza {
    let long = || "x".repeat(250_000);
    let plain = || Stanza::new(Kind::Message).with_id("m1");
    let child = |element: &Element| plain().with_child(element);
    let attribute = |name: &str, value: &str| {
        let attribute = RawAttr::new(name, value).unwrap();
        Stanza {
            extra: vec![attribute],
            ..plain()
        }
    };
    match shape {
        "body" => message("m1", &long()),
        "id" => plain().with_id(long()),
        "language" => Stanza {
            lang: Some(long()),
            ..plain()
        },
        "attribute" => attribute("a", &long()),
        "attribute's name" => attribute(&long(), "a"),
        "declarations" => {
            let one = |n| RawAttr::new(format!("xmlns:p{n}"), "x".repeat(1000)).unwrap();
            Stanza {
                extra: (0..60).map(one).collect(),
                ..plain()
            }
        }
        "many attributes" => {
            let extra = (0..60).map(|n| RawAttr::new(format!("a{n}"), "x".repeat(4000)).unwrap());
            Stanza {
                extra: extra.collect(),
                ..plain()
            }
        }
        "tiny elements" => Stanza {
            children: "<b/>".repeat(62_000).into(),
            ..plain()
        },
        "namespace" => child(&Element::new("b", "x".repeat(1000))),
        "attribute of a child" => child(&Element::new("b", "jabber:client").with_attr("a", long())),
        // Refused, which is told with what was refused.
        "type" => Stanza {
            type_: Some(long().into()),
            kind: Kind::Presence,
            ..plain()
        },
        "refused payload" => child(&Element::new(long(), "jabber:iq:roster")),
        "refused namespace" => {
            let namespace = format!("urn:xmpp:sm:{}", "x".repeat(1000));
            child(&Element::new("b", namespace))
        }
        _ => panic!("{shape}"),
    }
}

#[test]
fn a_reader_that_reads_nothing_is_sent_at_most_1_mib_however_stanzas_are_shaped() {
    for shape in [
        "body",
        "id",
        "language",
        "attribute",
        "attribute's name",
        "declarations",
        "many attributes",
        "tiny elements",
        "namespace",
        "attribute of a child",
        "type",
        "refused payload",
        "refused namespace",
    ] {
        let mut world = World::new();
        let ids = world.establish(A);
        world.ends[B].taking = false;
        let stanza = shaped(shape);
        let mut length = Vec::new();
        stanza.write(&mut length);
        let mut sent = 0;
        loop {
            match world.tunnel(A, ids[A]).send(&stanza) {
                Ok(()) => sent += length.len(),
                Err(SendError::Session(Full::Full)) => {
                    if !(world.deliver(A) | world.deliver(B)) {
                        break;
                    }
                }
                Err(error) => panic!("{shape}: {error}"),
            }
            assert!(sent <= 1 << 20, "{shape}: {sent} bytes were sent");
        }
        assert!(sent >= 50_000, "{shape}: {sent}");
        // All of it is there for a reader that comes back.
        let stanzas = sent / length.len();
        world.ends[B].taking = true;
        world.settle();
        let told = world.whats(B, ids[B]);
        let told =
            told.filter(|what| matches!(what, TunnelEvent::Stanza(_) | TunnelEvent::Refused(_)));
        assert_eq!(told.count(), stanzas, "{shape}");
    }
}

#[test]
fn a_queue_of_any_length_goes_on_when_events_are_taken() {
    for queue in [0, 1, 2, 3, 5, 64] {
        let mut world = World::with(config(A), config(B).queue(queue));
        let ids = world.establish(A);
        world.ends[B].taking = false;
        for number in 0..200 {
            world.say(A, ids[A], &format!("m{number}"));
        }
        world.settle();
        assert!(world.ends[B].router.events.len() <= queue.max(1));
        // One at a time, with the world moving in between.
        for _ in 0..200 {
            let now = world.now;
            if let Some(event) = world.router(B).poll_event(now) {
                world.ends[B].events.push(event);
            }
            world.settle();
        }
        assert_eq!(world.received(B, ids[B]), names(200), "queue of {queue}");
    }
}

#[test]
fn one_slow_owner_slows_no_other_tunnel() {
    let mut world = World::with(config(A), config(B).accept(Accept::Anyone));
    let ids = world.establish(A);
    world.tunnel(B, ids[B]).hold(true);
    world.fill(A, ids[A], 0, 1000);
    world.settle();
    let ping = world.inject(
        B,
        Some("c@north.example/1"),
        "<iq type='get' id='i1'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    assert_eq!(ping.len(), 1);
    // The other direction is not held.
    world.say(B, ids[B], "m1");
    world.settle();
    assert_eq!(world.received(A, ids[A]), ["m1"]);
}

#[test]
fn an_end_waits_for_no_owner_longer_than_it_was_told() {
    let mut world = World::new();
    let ids = world.establish(A);
    world.tunnel(B, ids[B]).hold(true);
    world.fill(A, ids[A], 0, 1000);
    world.settle();
    world.tunnel(B, ids[B]).close();
    world.wait(Duration::from_secs(30));
    let closed = world.closed(B, ids[B]);
    assert!(
        matches!(closed.why, Why::Session(xtls_session::Why::CloseTimeout)),
        "{closed:?}"
    );
    world.wait(Duration::from_secs(100));
    assert_eq!(world.ends[B].router.leftovers(), 0);
    assert!(world.ended(A, ids[A]).is_some());
}

#[test]
fn an_abort_waits_for_nothing() {
    let mut world = World::new();
    let ids = world.establish(A);
    world.tunnel(B, ids[B]).hold(true);
    world.fill(A, ids[A], 0, 1000);
    world.settle();
    world.tunnel(B, ids[B]).abort();
    world.flush(B);
    let closed = world.closed(B, ids[B]);
    assert_eq!(closed.why, Why::Session(xtls_session::Why::Aborted));
    world.settle();
    assert!(matches!(world.closed(A, ids[A]).why, Why::Cut { .. }));
    for end in [A, B] {
        assert_eq!(world.ends[end].router.leftovers(), 0);
    }
}

#[test]
fn the_last_words_of_a_peer_wait_for_their_reader() {
    let mut world = World::new();
    let ids = world.establish(A);
    world.ends[B].taking = false;
    for number in 0..300 {
        world.say(A, ids[A], &format!("m{number}"));
    }
    world.tunnel(A, ids[A]).finish();
    world.settle();
    // An hour later the reader comes back.
    world.wait(Duration::from_secs(3600));
    world.ends[B].taking = true;
    world.settle();
    assert_eq!(world.received(B, ids[B]), names(300));
    assert!(
        world
            .whats(B, ids[B])
            .any(|what| *what == TunnelEvent::PeerFinished)
    );
    world.tunnel(B, ids[B]).finish();
    world.settle();
    world.assert_clean(ids);
}
