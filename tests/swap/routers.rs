//! The same tunnels over every transport, through whole routers.

use std::time::Duration;

use xtls_client::Accept;
use xtls_client::router::{Config, TunnelEvent, Why};
use xtls_client::transport::StreamEnd;
use xtls_session::{Mode, Receipt, Service, Verdict, Why as Ended};
use xtls_stanza::disco::Query;
use xtls_stanza::{Content, Envelope, Payload};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::pair::message;

use crate::beside::Beside;
use crate::world::{NAMES, Transports, World, config};
use crate::{J, R, noise};

fn bytestreams(config: Config) -> Config {
    config
}

fn start_flow(config: Config) -> Config {
    config.original(true)
}

fn beside(config: Config) -> Config {
    config.transport(|_, _| Beside::default())
}

fn pipe() -> Service {
    Service::new("pipe", Mode::Bytes)
}

fn stanzas_both_ways(transports: Transports) {
    let mut world = World::established(transports, &Service::stanzas());
    let long = "O, speak again, bright angel! ".repeat(1500);
    for number in 0..100 {
        for end in [R, J] {
            let body = if number == 50 {
                &long
            } else {
                "Call me but love"
            };
            world
                .send(end, &message(&format!("m{number}"), body))
                .unwrap();
        }
        if number % 7 == 0 {
            world.run();
        }
    }
    world.run();
    for (end, peer) in [(R, JULIET), (J, ROMEO)] {
        let heard = world.heard(end);
        assert_eq!(heard.len(), 100);
        for (number, stanza) in heard.iter().enumerate() {
            assert_eq!(stanza.id.as_deref(), Some(&*format!("m{number}")));
            assert_eq!(stanza.from, Some(keys::address(peer)));
        }
        assert!(heard[50].children.len() > long.len());
    }
}

fn half_close(transports: Transports) {
    let mut world = World::established(transports, &Service::stanzas());
    world.send(R, &message("last", "word")).unwrap();
    world.tunnel(R).finish();
    world.run();
    assert!(world.events[J].contains(&TunnelEvent::PeerFinished));
    for number in 0..50 {
        world
            .send(J, &message(&format!("m{number}"), "I will go on"))
            .unwrap();
    }
    world.tunnel(J).finish();
    world.wait(Duration::from_secs(60));
    assert_eq!(world.heard(R).len(), 50);
    for end in [R, J] {
        let closed = world.closed(end);
        assert_eq!(
            (closed.why, closed.clean, closed.unconfirmed),
            (Why::Session(Ended::Finished), true, 0)
        );
    }
}

fn close(transports: Transports) {
    let mut world = World::established(transports, &Service::stanzas());
    for end in [R, J] {
        world.tunnel(end).close();
    }
    world.wait(Duration::from_secs(60));
    for end in [R, J] {
        let closed = world.closed(end);
        assert!(
            closed.clean && closed.receipt == Receipt::Taken,
            "{closed:?}"
        );
    }
    // Nothing is left that could get in the way of another.
    world.events = [Vec::new(), Vec::new()];
    world.tunnels = [None; 2];
    world.open();
    assert!(
        world.events[J]
            .iter()
            .any(|what| matches!(what, TunnelEvent::Established(_)))
    );
}

/// One end aborts, and the other learns of it at once.
fn abort(transports: Transports) {
    let mut world = World::established(transports, &Service::stanzas());
    world.send(R, &message("m1", "word")).unwrap();
    world.run();
    world.tunnel(R).abort();
    world.wait(Duration::from_secs(1));
    assert_eq!(world.heard(J).len(), 1, "what came before is handed out");
    let closed = world.closed(J);
    assert!(!closed.clean && closed.is_cut(), "{closed:?}");
}

/// Nothing arrives any more, and the link ends.
fn cut(transports: Transports) {
    let mut world = World::established(transports, &Service::stanzas());
    world.send(R, &message("m1", "word")).unwrap();
    world.run();
    world.cut = true;
    world.send(R, &message("m2", "and another")).unwrap();
    world.run();
    for end in [R, J] {
        world.ends[end].lost(world.now);
    }
    world.run();
    assert_eq!(world.heard(J).len(), 1);
    for end in [R, J] {
        let closed = world.closed(end);
        let lost = matches!(
            closed.why,
            Why::Cut {
                stream: StreamEnd::LinkLost,
                ..
            }
        );
        assert!(lost && !closed.clean, "{closed:?}");
    }
    assert_eq!(world.closed(R).unconfirmed, 2);
}

fn refusal(transports: Transports) {
    let mut world = World::new(transports, false, &Service::stanzas());
    world.open();
    world.judge(R, Verdict::Accept);
    world.send(R, &message("m1", "for nobody's ears")).unwrap();
    world.run();
    world.judge(J, Verdict::Refuse);
    world.wait(Duration::from_secs(60));
    assert!(world.heard(J).is_empty());
    assert_eq!(world.closed(J).why, Why::Session(Ended::Refused));
    let closed = world.closed(R);
    assert_eq!((closed.clean, closed.unconfirmed), (false, 1), "{closed:?}");
}

/// The router decides who may open, and a stranger is answered as by a client that does not know XTLS.
fn strangers(transports: Transports) {
    let closed_to_all = transports(config(J, true, &Service::stanzas()).accept(Accept::NoOne));
    let opener = transports(config(R, true, &Service::stanzas()));
    let mut world = World::with([opener, closed_to_all]);
    world.open();
    assert!(world.events[J].is_empty() && world.tunnels[J].is_none());
    assert!(matches!(world.closed(R).why, Why::Unavailable(_)));
}

/// The owner is asked about a peer, and does not answer for a while.
fn asking(transports: Transports) {
    let asking = transports(config(J, true, &Service::stanzas()).accept(Accept::Ask([].into())));
    let opener = transports(config(R, true, &Service::stanzas()));
    let mut world = World::with([opener, asking]);
    world.open();
    world.wait(Duration::from_secs(40));
    assert_eq!(world.events[J], [TunnelEvent::Asked(keys::address(ROMEO))]);
    world.tunnel(J).admit(true);
    world.run();
    assert!(
        world.events[R]
            .iter()
            .any(|what| matches!(what, TunnelEvent::Established(_)))
    );
}

fn an_unanswered_open(transports: Transports) {
    let mut world = World::new(transports, true, &Service::stanzas());
    world.cut = true;
    world.open();
    world.wait(Duration::from_secs(59));
    assert!(world.events[R].is_empty());
    world.wait(Duration::from_secs(1));
    assert_eq!(world.closed(R).why, Why::NoAnswer);
}

/// With the ClientHello in the open, the opener is ready a round trip earlier.
fn early_hello(transports: Transports) {
    let trips = |early: bool| {
        let config = |end| transports(config(end, true, &Service::stanzas()).early(early));
        let mut world = World::with([config(R), config(J)]);
        world.open();
        world.trips[R]
    };
    assert_eq!((trips(true), trips(false)), (1, 2));
}

/// Both open at once: one tunnel remains, under the names that both know.
fn crossing(transports: Transports) {
    let mut world = World::new(transports, true, &Service::stanzas());
    for end in [R, J] {
        let peer = keys::address(NAMES[1 - end]);
        world.tunnels[end] = Some(world.ends[end].open(world.now, &peer).unwrap());
    }
    world.run();
    for end in [R, J] {
        world.send(end, &message("m1", "word")).unwrap();
    }
    world.run();
    assert!(world.heard(R).len() == 1 && world.heard(J).len() == 1);
}

fn back_pressure(transports: Transports) {
    let mut world = World::established(transports, &pipe());
    world.held[J] = true;
    let mut taken = 0;
    loop {
        let some = world.tunnel(R).write(&[7; 4096]);
        world.run();
        match some {
            Ok(some @ 1..) => taken += some,
            _ => break,
        }
        assert!(taken < 4_000_000, "a writer whose peer reads nothing");
    }
    world.held[J] = false;
    world.run();
    assert_eq!(world.bytes[J].len(), taken);
    assert!(world.events[R].contains(&TunnelEvent::Writable));
}

fn bytes_both_ways(transports: Transports) {
    let mut world = World::established(transports, &pipe());
    world.write_all(&[R, J]);
    assert!(world.bytes[J] == noise(R) && world.bytes[R] == noise(J));
    for end in [R, J] {
        world.tunnel(end).close();
    }
    world.wait(Duration::from_secs(60));
    assert!(world.closed(R).clean && world.closed(J).clean);
}

fn a_half_close_of_bytes(transports: Transports) {
    let mut world = World::established(transports, &pipe());
    world.tunnel(R).write(b"last").unwrap();
    world.tunnel(R).finish();
    world.run();
    assert_eq!(world.bytes[J], b"last");
    world.write_all(&[J]);
    world.tunnel(J).finish();
    world.wait(Duration::from_secs(60));
    assert!(world.bytes[R] == noise(J));
    assert!(world.closed(R).clean && world.closed(J).clean);
}

#[test]
fn nothing_of_a_tunnel_beside_the_server_travels_in_stanzas_but_its_close() {
    let mut world = World::established(beside, &Service::stanzas());
    world.send(R, &message("m1", "word")).unwrap();
    world.run();
    assert_eq!((world.heard(J).len(), world.stanzas), (1, 0));
}

/// A router with one more transport still accepts tunnels over bytestreams.
#[test]
fn bytestreams_are_there_beside_another_transport() {
    let configs = [
        bytestreams(config(R, true, &Service::stanzas())),
        beside(config(J, true, &Service::stanzas())),
    ];
    let mut world = World::with(configs);
    world.open();
    world.send(R, &message("m1", "word")).unwrap();
    world.run();
    assert_eq!(world.heard(J).len(), 1);
}

/// Discovery lists the features that each transport declares.
#[test]
fn features_are_those_of_the_transports() {
    let mut world = World::new(beside, true, &Service::stanzas());
    let query = Envelope {
        from: Some(keys::address(ROMEO)),
        to: Some(keys::address(JULIET)),
        id: "q".to_owned(),
        content: Content::Get(Payload::DiscoQuery(Query { node: None })),
    };
    world.ends[J].handle(world.now, query);
    let answer = world.ends[J].poll_transmit(world.now).unwrap();
    let Content::Result(Some(Payload::DiscoInfo(info))) = answer.content else {
        panic!("{answer:?}");
    };
    assert_eq!(
        info.features,
        [
            "http://jabber.org/protocol/disco#info",
            "http://jabber.org/protocol/ibb",
            "urn:xmpp:ping",
            "urn:xmpp:tmp:xtls"
        ]
    );
}

macro_rules! over {
    ($($transports:ident),*) => {$(
        mod $transports {
            use super::$transports as transports;

            #[test]
            fn stanzas_both_ways() { super::stanzas_both_ways(transports); }
            #[test]
            fn half_close() { super::half_close(transports); }
            #[test]
            fn close() { super::close(transports); }
            #[test]
            fn abort() { super::abort(transports); }
            #[test]
            fn cut() { super::cut(transports); }
            #[test]
            fn refusal() { super::refusal(transports); }
            #[test]
            fn strangers() { super::strangers(transports); }
            #[test]
            fn asking() { super::asking(transports); }
            #[test]
            fn an_unanswered_open() { super::an_unanswered_open(transports); }
            #[test]
            fn early_hello() { super::early_hello(transports); }
            #[test]
            fn crossing() { super::crossing(transports); }
            #[test]
            fn back_pressure() { super::back_pressure(transports); }
            #[test]
            fn bytes_both_ways() { super::bytes_both_ways(transports); }
            #[test]
            fn a_half_close_of_bytes() { super::a_half_close_of_bytes(transports); }
        }
    )*};
}

over!(bytestreams, start_flow, beside);
