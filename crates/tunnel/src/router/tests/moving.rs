//! Tunnels that leave the stream that they began on, and go on without it.

use std::num::NonZeroU16;

use xtls_path::Kind;
use xtls_session::Compare;
use xtls_stanza::path::{self, Takes};
use xtls_stanza::s5b::Host;
use xtls_stanza::{Condition, Content};

use super::*;
use crate::router::{PathConfig, PathEvent};

pub(super) fn paths(end: usize, policy: Takes) -> Config {
    in_bytes(end).paths(PathConfig::new(policy))
}

/// Two ends that allow this, with a relay at the server of A.
pub(super) fn world(policies: [Takes; 2]) -> World {
    let mut world = World::with(paths(A, policies[A]), paths(B, policies[B]));
    world.sea.relays[A] = true;
    world
}

/// A tunnel that A has opened, when it has moved if it may.
pub(super) fn a_second_old(policies: [Takes; 2]) -> (World, [TunnelId; 2]) {
    let mut world = world(policies);
    let ids = world.establish(A);
    world.wait(Duration::from_secs(1));
    (world, ids)
}

/// Writes at one end as fast as there is room, until the other one has read it all.
pub(super) fn carry(world: &mut World, from: usize, ids: [TunnelId; 2], bytes: &[u8]) {
    let mut got = Vec::new();
    let mut rest = bytes;
    for _ in 0..10_000 {
        if !rest.is_empty()
            && let Ok(taken) = world.tunnel(from, ids[from]).write(rest)
        {
            rest = &rest[taken..];
        }
        world.settle();
        while let Some(read) = world.tunnel(1 - from, ids[1 - from]).read(100_000) {
            got.extend_from_slice(&read);
        }
        world.settle();
        if got.len() >= bytes.len() {
            break;
        }
    }
    assert!(got == bytes, "{} of {}", got.len(), bytes.len());
}

pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from(at * 7 % 251).unwrap())
        .collect()
}

/// What an end was told of the path of a tunnel.
pub(super) fn told(world: &World, end: usize, id: TunnelId) -> Vec<PathEvent> {
    let whats = world.whats(end, id);
    let path = whats.filter_map(|what| match what {
        TunnelEvent::Path(event) => Some(*event),
        _ => None,
    });
    path.filter(|event| !matches!(event, PathEvent::PeerAllows(_)))
        .collect()
}

/// Ends a tunnel of bytes in order.
pub(super) fn close(world: &mut World, ids: [TunnelId; 2]) {
    for end in [A, B] {
        world.tunnel(end, ids[end]).finish();
    }
    world.settle();
    for end in [A, B] {
        world.late(end, ids[end]).took();
    }
    world.wait(Duration::from_secs(2));
    world.assert_clean(ids);
    assert!(world.sea.is_calm());
}

/// The stanzas of a tunnel from its open to its end, and what was read.
fn life(config: fn(usize) -> Config) -> Vec<String> {
    let mut world = World::with(config(A), config(B));
    let ids = world.establish(A);
    carry(&mut world, A, ids, &pattern(200_000));
    carry(&mut world, B, ids, &pattern(3_000));
    close(&mut world, ids);
    let text = |(end, envelope): &(usize, Envelope)| {
        let mut xml = Vec::new();
        envelope.write(&mut xml);
        // TLS is never the same.
        let data = matches!(
            envelope.content,
            Content::Set(Payload::Data(_) | Payload::Open(_))
                | Content::Result(Some(Payload::Xtls(_)))
        );
        let shown = if data {
            xml.len().to_string()
        } else {
            String::from_utf8(xml).unwrap()
        };
        format!("{end} {shown}")
    };
    world.log.iter().map(text).collect()
}

#[test]
fn a_tunnel_that_never_moves_sends_the_same_stanzas_as_one_that_may_not() {
    let may = |end| paths(end, Takes::InBand);
    assert_eq!(life(in_bytes), life(may));
}

#[test]
fn nobody_who_does_not_know_of_paths_is_signalled() {
    for (a, b) in [
        (paths(A, Takes::Any), in_bytes(B)),
        (in_bytes(A), paths(B, Takes::Any)),
    ] {
        let mut world = World::with(a, b);
        let ids = world.establish(A);
        carry(&mut world, A, ids, &pattern(100_000));
        close(&mut world, ids);
    }
}

#[test]
fn a_tunnel_moves_to_the_relay_of_either_server_and_back_when_that_breaks() {
    for relay in [A, B] {
        for opener in [A, B] {
            let mut world = world([Takes::Proxy; 2]);
            world.sea.relays = [relay == A, relay == B];
            let ids = world.establish(opener);
            let ids = if opener == A { ids } else { [ids[0], ids[1]] };
            world.wait(Duration::from_secs(1));
            for end in [A, B] {
                assert_eq!(
                    told(&world, end, ids[end]),
                    [PathEvent::Moved(Kind::Relay)],
                    "{relay} {opener}"
                );
            }
            let stanzas = world.log.len();
            carry(&mut world, A, ids, &pattern(1_000_000));
            carry(&mut world, B, ids, &pattern(1_000_000));
            assert_eq!(
                world.log.len(),
                stanzas,
                "nothing of it went through the servers"
            );

            world.storm();
            world.settle();
            carry(&mut world, A, ids, &pattern(300_000));
            carry(&mut world, B, ids, &pattern(300_000));
            for end in [A, B] {
                let told = told(&world, end, ids[end]);
                assert!(
                    matches!(
                        told[1..],
                        [
                            PathEvent::Lost,
                            PathEvent::Moved(Kind::InBand | Kind::Relay),
                            ..
                        ]
                    ),
                    "{told:?}"
                );
            }
            close(&mut world, ids);
        }
    }
}

/// The relays are known from the first tunnel on: hints are stated as soon as there are keys for them.
#[test]
fn every_further_tunnel_of_two_people_moves_as_the_first_one_did() {
    for policies in [
        [Takes::Proxy, Takes::Proxy],
        [Takes::Proxy, Takes::InBand],
        [Takes::InBand, Takes::Proxy],
    ] {
        let mut world = world(policies);
        world.sea.relays[B] = true;
        for opener in [A, B, A, B] {
            let ids = world.establish(opener);
            world.wait(Duration::from_secs(1));
            let moves = policies == [Takes::Proxy; 2];
            for end in [A, B] {
                let told = told(&world, end, ids[end]);
                match moves {
                    true => assert_eq!(told, [PathEvent::Moved(Kind::Relay)]),
                    false => assert!(
                        !told
                            .iter()
                            .any(|event| matches!(event, PathEvent::Moved(_)))
                    ),
                }
            }
            for end in [A, B] {
                carry(&mut world, end, ids, &pattern(50_000));
            }
            close(&mut world, ids);
        }
        let refused = world.log.iter().any(|(_, envelope)| {
            matches!(&envelope.content, Content::Error(error) if error.condition == Condition::ItemNotFound)
        });
        assert!(!refused, "a signal came before the peer was there");
    }
}

#[test]
fn a_tunnel_moves_to_where_its_peer_listens() {
    let there = (
        Host::new("192.0.2.7").unwrap(),
        NonZeroU16::new(7_000).unwrap(),
    );
    let listening =
        paths(B, Takes::Direct).paths(PathConfig::new(Takes::Direct).advertise([there]));
    let mut world = World::with(paths(A, Takes::Direct), listening);
    world.sea.ports[B] = Some(7_000);
    let ids = world.establish(A);
    world.wait(Duration::from_secs(1));
    assert_eq!(told(&world, A, ids[A]), [PathEvent::Moved(Kind::Direct)]);
    assert_eq!(told(&world, B, ids[B]), [PathEvent::Moved(Kind::Direct)]);
    assert_eq!(world.sea.connections(), 1);
    carry(&mut world, A, ids, &pattern(1_000_000));
    carry(&mut world, B, ids, &pattern(1_000_000));
    close(&mut world, ids);
}

#[test]
fn a_stranger_is_met_directly_once_the_keys_are_verified_and_not_before() {
    let stranger = |end: usize| {
        let identity = identity(NAMES[end], u8::try_from(end).unwrap() + 1);
        let here = Host::new(&format!("192.0.2.{}", end + 1)).unwrap();
        let direct = PathConfig::new(Takes::Direct);
        Config::new(tls(&identity), Arc::new(Store::new()))
            .policy(Policy::Ask)
            .accept(Accept::Only([address(NAMES[1 - end]).to_bare()].into()))
            .paths(direct.advertise([(here, NonZeroU16::new(7_000).unwrap())]))
    };
    let mut world = World::with(stranger(A), stranger(B));
    world.sea.ports = [Some(7_000); 2];
    for end in [A, B] {
        world.ends[end].verdict = Some(Verdict::Accept);
    }
    let ids = world.establish(A);
    world.wait(Duration::from_secs(60));
    assert_eq!(world.sea.dialled, []);
    verifying::begin(&mut world, ids, [Compare::Words, Compare::Words]);
    for end in [A, B] {
        let run = verifying::last(&world, end, ids[end]).run();
        assert_eq!(world.sea.dialled, []);
        world.tunnel(end, ids[end]).verify_agree(run).unwrap();
        world.settle();
    }
    world.wait(Duration::from_secs(1));
    for end in [A, B] {
        let told = told(&world, end, ids[end]);
        assert_eq!(told.last(), Some(&PathEvent::Moved(Kind::Direct)), "{end}");
    }
    world.say(A, ids[A], "hark");
    world.settle();
    assert_eq!(world.received(B, ids[B]), ["hark"]);
    close(&mut world, ids);
}

#[test]
fn nothing_is_left_of_a_connection_that_failed_or_ended() {
    let there = (
        Host::new("192.0.2.7").unwrap(),
        NonZeroU16::new(7_000).unwrap(),
    );
    let any = |end| in_bytes(end).paths(PathConfig::new(Takes::Any).advertise([there.clone()]));
    let mut world = World::with(any(A), any(B));
    world.sea.relays = [true; 2];
    let ids = world.establish(A);
    world.wait(Duration::from_secs(1));
    assert_eq!(told(&world, A, ids[A]), [PathEvent::Moved(Kind::Relay)]);
    let sockets = |world: &mut World| {
        [A, B].map(|end| {
            let moving = world.router(end).tunnels.moving_mut(ids[end]).unwrap();
            moving.sockets().count()
        })
    };
    // Nobody listens at the addresses of either.
    assert!(
        world
            .sea
            .dialled
            .iter()
            .any(|(_, host, _)| *host == there.0)
    );
    assert_eq!(sockets(&mut world), [1, 1]);
    world.sea.relays = [false; 2];
    world.storm();
    world.wait(Duration::from_secs(1));
    assert_eq!(sockets(&mut world), [0, 0]);
    close(&mut world, ids);
}

#[test]
fn a_tunnel_of_stanzas_moves_too() {
    let stanzas = |end| config(end).paths(PathConfig::new(Takes::Proxy));
    let mut world = World::with(stanzas(A), stanzas(B));
    world.sea.relays[A] = true;
    let ids = world.establish(A);
    world.wait(Duration::from_secs(1));
    assert_eq!(told(&world, A, ids[A]), [PathEvent::Moved(Kind::Relay)]);
    let stanzas = world.log.len();
    for number in 0..50 {
        world.say(A, ids[A], &format!("a{number}"));
        world.say(B, ids[B], &format!("b{number}"));
        world.settle();
    }
    assert_eq!(world.log.len(), stanzas);
    assert_eq!(world.received(B, ids[B]).len(), 50);
    assert_eq!(world.received(A, ids[A]).len(), 50);
    close(&mut world, ids);
}

#[test]
fn what_is_under_way_when_a_link_is_bound_anew_is_neither_lost_nor_doubled() {
    for rebound in [A, B] {
        for policy in [Takes::InBand, Takes::Proxy] {
            let (mut world, ids) = a_second_old([policy; 2]);
            let bytes = pattern(200_000);
            let taken = world.tunnel(A, ids[A]).write(&bytes).unwrap();
            world.flush(A);
            // What the old binding still had to say is lost.
            world.ends[A].wire.clear();
            world.ends[B].wire.clear();
            let now = world.now;
            world.router(rebound).rebind(now, address(NAMES[rebound]));
            world.settle();
            let mut got = Vec::new();
            for _ in 0..100 {
                world.settle();
                while let Some(read) = world.tunnel(B, ids[B]).read(100_000) {
                    got.extend_from_slice(&read);
                }
            }
            assert!(
                got == bytes[..taken],
                "{rebound} {policy:?}: {} of {taken}",
                got.len()
            );
            carry(&mut world, A, ids, &bytes);
            carry(&mut world, B, ids, &bytes);
            close(&mut world, ids);
        }
    }
}

#[test]
fn a_tunnel_on_a_relay_goes_on_while_there_is_no_link() {
    let (mut world, ids) = a_second_old([Takes::Proxy; 2]);
    let now = world.now;
    world.router(A).pause(now);
    carry(&mut world, A, ids, &pattern(500_000));
    carry(&mut world, B, ids, &pattern(500_000));
    let now = world.now;
    world.router(A).rebind(now, address(NAMES[A]));
    carry(&mut world, A, ids, &pattern(500_000));
    close(&mut world, ids);
}

#[test]
fn servers_are_not_believed_while_a_relay_carries() {
    let (mut world, ids) = a_second_old([Takes::Proxy; 2]);
    let from = Some(NAMES[B]);
    world.inject(A, from, "<presence type='unavailable'/>");
    carry(&mut world, A, ids, &pattern(100_000));
    close(&mut world, ids);
}

#[test]
fn a_tunnel_whose_peer_knows_it_no_more_is_cut_at_once() {
    let mut world = world([Takes::InBand; 2]);
    let ids = world.establish(A);
    world.restart(B, paths(B, Takes::InBand));
    let now = world.now;
    world.router(A).rebind(now, address(NAMES[A]));
    world.wait(Duration::from_secs(1));
    let closed = world.closed(A, ids[A]);
    assert!(closed.is_cut(), "{closed:?}");
    assert_eq!(world.ends[A].router.leftovers(), 0);
}

#[test]
fn a_tunnel_that_was_opened_twice_counts_the_second_stream_alone() {
    let mut world = World::with(paths(A, Takes::Own), paths(B, Takes::Own));
    world.alter = Some(Box::new(|_, mut envelope| {
        if let Content::Result(Some(Payload::Xtls(_))) = &envelope.content {
            envelope.content = Content::Result(None);
        }
        envelope
    }));
    let a = world.open(A);
    world.settle();
    assert!(world.established(A, a), "{:?}", world.ends[A].events);
    let ids = [a, world.last_id(B)];
    carry(&mut world, A, ids, &pattern(200_000));
    carry(&mut world, B, ids, &pattern(3_000));
    for end in [A, B] {
        let moving = world.router(end).tunnels.moving_mut(ids[end]).unwrap();
        assert_eq!(moving.route().wire().unconfirmed(), 0, "{end}");
    }
    close(&mut world, ids);
}

#[test]
fn a_signal_for_no_tunnel_says_no_more_than_that() {
    let mut world = world([Takes::Own; 2]);
    world.establish(A);
    let signal = format!(
        "<iq type='set' id='x'><path xmlns='{}' sid='nobody' n='0'>AAAA</path></iq>",
        path::NS
    );
    let answers = world.inject(B, Some(NAMES[A]), &signal);
    let Content::Error(error) = &answers[0].content else {
        panic!("{answers:?}")
    };
    assert_eq!(error.condition, Condition::ItemNotFound);
    // A stranger is answered as by a client that has never heard of XTLS.
    let answers = world.inject(B, Some("m@else.example/x"), &signal);
    let Content::Error(error) = &answers[0].content else {
        panic!("{answers:?}")
    };
    assert_eq!(error.condition, Condition::ServiceUnavailable);
}

#[test]
fn whatever_both_ends_allow_nothing_is_dialled_beyond_it() {
    for a in Takes::ALL {
        for b in Takes::ALL {
            let there = (
                Host::new("192.0.2.7").unwrap(),
                NonZeroU16::new(7_000).unwrap(),
            );
            let with = |end, policy| {
                in_bytes(end).paths(PathConfig::new(policy).advertise([there.clone()]))
            };
            let mut world = World::with(with(A, a), with(B, b));
            world.sea.relays = [true, true];
            world.sea.ports = [None, Some(7_000)];
            let ids = world.establish(A);
            world.wait(Duration::from_secs(30));
            let policies = [a, b];
            for (end, host, _) in world.sea.dialled.clone() {
                let own = host == sea::relay_of(end).host;
                let theirs = host == sea::relay_of(1 - end).host;
                let direct = host.as_str() == "192.0.2.7";
                let allowed = match policies[end] {
                    Takes::InBand => false,
                    Takes::Own => own,
                    Takes::Proxy => own || theirs,
                    Takes::Direct => own || direct,
                    Takes::Any => true,
                };
                assert!(allowed, "{a:?} {b:?}: {end} dialled {host:?}");
            }
            // No address is in a stanza in the clear, but for those of relays, from and to their servers.
            for (_, envelope) in &world.log {
                let mut xml = Vec::new();
                envelope.write(&mut xml);
                assert!(!String::from_utf8_lossy(&xml).contains("192.0.2."));
            }
            carry(&mut world, A, ids, &pattern(50_000));
            close(&mut world, ids);
        }
    }
}
