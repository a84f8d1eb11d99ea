//! Several tunnels between two addresses: bytes stand side by side, and nothing that concerns the one touches another.

use xtls_session::{By, Why as Ended};
use xtls_stanza::busy::{Busy, Limit};
use xtls_stanza::{Condition, ErrorType, StanzaError};

use super::super::ServiceLimits;
use super::*;

/// Serves stanzas and bytes, with room for many tunnels at once.
fn both(end: usize, early: bool) -> Config {
    let ibb = xtls_ibb::Config::default();
    let mut config = config(end).also_serve([pipe()]).early(early).ibb(ibb);
    for limit in Limit::ALL {
        config = config.limit(limit, 1_000);
    }
    config
}

/// Both ends send their hello in the open, only one of them does, or neither.
const EARLY: [[bool; 2]; 4] = [[true, true], [true, false], [false, true], [false, false]];

fn world_of([a, b]: [bool; 2]) -> World {
    World::with(both(A, a), both(B, b))
}

/// The tunnels that an end was told of as new.
fn incoming(world: &World, end: usize) -> Vec<TunnelId> {
    let events = world.ends[end].events.iter();
    let new = events.filter(|event| matches!(event.what, TunnelEvent::Incoming(_)));
    new.map(|event| event.id).collect()
}

/// What A writes comes out at B, the other way too, and the tunnels end in order.
fn assert_works(world: &mut World, [a, b]: [TunnelId; 2], text: &str) {
    assert_eq!(world.tunnel(A, a).write(text.as_bytes()), Ok(text.len()));
    assert_eq!(world.tunnel(B, b).write(b"back"), Ok(4));
    world.settle();
    assert_eq!(
        world.tunnel(B, b).read(100).as_deref(),
        Some(text.as_bytes())
    );
    assert_eq!(world.tunnel(A, a).read(100).as_deref(), Some(&b"back"[..]));
    world.tunnel(A, a).close();
    world.tunnel(B, b).close();
    world.wait(Duration::from_secs(60));
    let finished = Why::Session(Ended::Finished);
    assert_eq!(
        (world.closed(A, a).why, world.closed(B, b).why),
        (finished.clone(), finished)
    );
}

fn assert_stanzas_work(world: &mut World, [a, b]: [TunnelId; 2]) {
    world.say(A, a, "there");
    world.say(B, b, "back");
    world.settle();
    assert_eq!(
        world.received(B, b).last().map(String::as_str),
        Some("there")
    );
    assert_eq!(
        world.received(A, a).last().map(String::as_str),
        Some("back")
    );
}

fn assert_nothing_left(world: &World) {
    for end in [A, B] {
        assert_eq!(
            world.ends[end].router.leftovers(),
            0,
            "{:?}",
            world.ends[end].router
        );
    }
}

#[test]
fn tunnels_of_bytes_stand_side_by_side_and_beside_stanzas() {
    for early in EARLY {
        let mut world = world_of(early);
        let stanzas = world.establish(A);
        let ours: Vec<_> = (0..8).map(|_| world.open_for(A, &pipe())).collect();
        world.settle();
        let theirs = incoming(&world, B)[1..].to_vec();
        assert_eq!(theirs.len(), 8);
        for (number, (a, b)) in ours.into_iter().zip(theirs).enumerate() {
            assert!(world.established(A, a) && world.established(B, b));
            assert_works(&mut world, [a, b], &number.to_string());
        }
        assert_stanzas_work(&mut world, stanzas);
        world.tunnel(A, stanzas[A]).close();
        world.tunnel(B, stanzas[B]).close();
        world.wait(Duration::from_secs(30));
        assert_nothing_left(&world);
    }
}

#[test]
fn an_owner_that_takes_no_newcomers_takes_bytes_of_whom_it_talks_to() {
    for early in EARLY {
        let mut world = world_of(early);
        world.router(B).turn_newcomers_away(true);
        let refused = world.open_for(A, &pipe());
        world.settle();
        let why = world.closed(A, refused).why;
        assert_eq!(why.busy().map(|busy| busy.limit), Some(Limit::Incoming));
        assert!(incoming(&world, B).is_empty());
        world.router(B).turn_newcomers_away(false);
        let stanzas = world.establish(A);
        world.router(B).turn_newcomers_away(true);
        let ours = world.open_for(A, &pipe());
        world.settle();
        let theirs = world.last_id(B);
        assert!(world.established(A, ours) && world.established(B, theirs));
        assert_works(&mut world, [ours, theirs], "files");
        // Room for all is needed as well.
        world.router(B).set_incoming_room(0);
        let refused = world.open_for(A, &pipe());
        world.settle();
        assert!(world.closed(A, refused).why.busy().is_some());
        assert_stanzas_work(&mut world, stanzas);
    }
}

#[test]
fn opens_of_bytes_that_cross_are_two_tunnels_in_every_order() {
    for early in EARLY {
        for order in interleavings(6) {
            let mut world = world_of(early);
            let ours = [world.open_for(A, &pipe()), world.open_for(B, &pipe())];
            for end in order {
                world.deliver(end);
            }
            world.settle();
            let theirs = [incoming(&world, A), incoming(&world, B)];
            let ([a], [b]) = (&theirs[A][..], &theirs[B][..]) else {
                panic!("{theirs:?}");
            };
            assert_works(&mut world, [ours[A], *b], "from A");
            assert_works(&mut world, [*a, ours[B]], "from B");
            world.wait(Duration::from_secs(30));
            assert_nothing_left(&world);
        }
    }
}

#[test]
fn bytes_and_stanzas_that_cross_are_two_tunnels_in_every_order() {
    for early in EARLY {
        for (opener, order) in [A, B]
            .into_iter()
            .flat_map(|end| interleavings(6).map(move |o| (end, o)))
        {
            let mut world = world_of(early);
            let other = 1 - opener;
            let (bytes, stanzas) = (world.open_for(opener, &pipe()), world.open(other));
            for end in order {
                world.deliver(end);
            }
            world.settle();
            let (theirs, hers) = (incoming(&world, other), incoming(&world, opener));
            let ([byte_end], [stanza_end]) = (&theirs[..], &hers[..]) else {
                panic!("{early:?}: {theirs:?}, {hers:?}");
            };
            let sorted = |mut ids: [TunnelId; 2]| {
                if opener == B {
                    ids.reverse();
                }
                ids
            };
            assert_works(&mut world, sorted([bytes, *byte_end]), "bytes");
            assert_stanzas_work(&mut world, sorted([*stanza_end, stanzas]));
        }
    }
}

#[test]
fn opens_of_stanzas_that_cross_are_one_tunnel_whoever_sends_its_hello_later() {
    for early in EARLY {
        for order in interleavings(8) {
            let mut world = world_of(early);
            let ids = [world.open(A), world.open(B)];
            for end in order {
                world.deliver(end);
            }
            world.settle();
            for end in [A, B] {
                assert!(
                    world.established(end, ids[end]),
                    "{early:?}: {:?}",
                    world.ends[end].events
                );
                assert_eq!(incoming(&world, end), []);
            }
            assert_stanzas_work(&mut world, ids);
            world.tunnel(A, ids[A]).close();
            world.tunnel(B, ids[B]).close();
            world.wait(Duration::from_secs(100));
            world.assert_clean(ids);
        }
    }
}

#[test]
fn no_open_touches_the_handshake_of_a_tunnel_of_bytes() {
    for early in EARLY {
        for newer in [pipe(), Service::stanzas()] {
            // After each stanza of the handshake in turn.
            for stanzas in 0..6 {
                let mut world = world_of(early);
                let id = world.open_for(A, &pipe());
                for step in 0..stanzas {
                    world.deliver(if step % 2 == 0 { A } else { B });
                }
                // Another program with A's address and key.
                let mut second = Router::new(address(NAMES[A]), both(A, early[A]), [77; 32]);
                std::mem::swap(&mut world.ends[A].router, &mut second);
                let now = world.now;
                let open = world
                    .router(A)
                    .open_for(now, &address(NAMES[B]), newer.clone());
                assert!(open.is_ok());
                let envelope = world.router(A).poll_transmit(now).unwrap();
                std::mem::swap(&mut world.ends[A].router, &mut second);
                let forged = Envelope {
                    from: Some(address(NAMES[A])),
                    ..envelope
                };
                world.router(B).handle(now, reread(&forged));
                world.settle();
                assert!(world.established(A, id), "{early:?} {newer:?} {stanzas}");
                let mut theirs = incoming(&world, B).into_iter();
                let b = theirs.find(|id| world.established(B, *id)).unwrap();
                assert_works(&mut world, [id, b], "bytes");
            }
        }
    }
}

#[test]
fn an_open_discards_nothing_before_its_hello_has_come() {
    let mut world = world_of([true, true]);
    let id = world.open(A);
    // The server's flight is on its way back, so the handshake is unfinished.
    world.deliver(A);
    let open = "<iq type='set' id='i1'><open xmlns='http://jabber.org/protocol/ibb' sid='s1' block-size='4096'>\
                <start xmlns='urn:xmpp:tmp:xtls'/></open></iq>";
    let answers = world.inject(B, Some(NAMES[A]), open);
    assert_eq!(answers.last().unwrap().content, Content::Result(None));
    world.settle();
    assert!(world.established(A, id));
    let known = incoming(&world, B);
    assert_eq!(known.len(), 1, "no one learns of an open that says nothing");
    assert!(world.established(B, known[0]));
    // It ends by the limit of handshakes, and in silence: there is a tunnel of stanzas already.
    world.wait(Duration::from_secs(61));
    assert_eq!(incoming(&world, B), known);
    assert_eq!(world.ends[B].router.tunnels.len(), 1);
}

#[test]
fn who_fails_before_it_says_what_for_is_told_at_its_end() {
    let mut world = world_of([false, false]);
    world.open_for(A, &Service::new("chess", Mode::Bytes));
    world.settle();
    let known = incoming(&world, B);
    assert_eq!(known.len(), 1);
    let alpn = Why::Session(Ended::Tls(xtls_tls::TlsError::Alpn));
    assert_eq!(world.closed(B, known[0]).why, alpn);
}

#[test]
fn a_crossing_lends_bytes_no_permission() {
    for early in EARLY {
        // A accepts no one, and opens stanzas itself.
        let mut world = World::with(both(A, early[A]).accept(Accept::NoOne), both(B, early[B]));
        let (a, b) = (world.open(A), world.open_for(B, &pipe()));
        world.settle();
        assert!(world.established(A, a));
        assert_eq!(incoming(&world, A), [], "A's owner is not told");
        assert!(!world.established(B, b) && world.ended(B, b).is_some());
        let known = incoming(&world, B)[0];
        assert_stanzas_work(&mut world, [a, known]);
    }
}

#[test]
fn conflict_refuses_an_open_of_bytes() {
    let mut world = world_of([true, true]);
    let id = world.open_for(A, &pipe());
    world.flush(A);
    let open = world.ends[A].wire.pop_front().unwrap();
    let error = StanzaError::new(ErrorType::Cancel, Condition::Conflict);
    let now = world.now;
    world
        .router(A)
        .handle(now, reread(&open.error(error.clone())));
    world.settle();
    assert_eq!(world.closed(A, id).why, Why::Declined(error));
}

#[test]
fn a_service_may_have_limits_of_its_own() {
    let limits = |early: bool, limits: ServiceLimits| {
        let mut world = World::with(
            both(A, early),
            both(B, early).service_limits(pipe(), limits),
        );
        let ids: Vec<_> = (0..3).map(|_| world.open_for(A, &pipe())).collect();
        world.settle();
        let stanzas = world.open(A);
        world.settle();
        assert!(world.established(A, stanzas), "another service has its own");
        (world, ids)
    };
    let busy = |limit, most| Busy {
        limit,
        most,
        wait: 10,
    };
    // With a hello in the open the refusal comes before anything is accepted, and says which limit.
    for (given, limit) in [
        (
            ServiceLimits::default().tunnels(9, 2),
            Limit::TunnelsPerPeer,
        ),
        (ServiceLimits::default().tunnels(2, 9), Limit::Tunnels),
        (
            ServiceLimits::default().unfinished(9, 2),
            Limit::UnfinishedPerPeer,
        ),
        (ServiceLimits::default().unfinished(2, 9), Limit::Unfinished),
    ] {
        let (mut world, ids) = limits(true, given);
        assert!(world.established(A, ids[0]) && world.established(A, ids[1]));
        let closed = world.closed(A, ids[2]);
        assert_eq!(closed.why.busy(), Some(busy(limit, 2)), "{closed:?}");
        let now = world.now;
        let away = world.router(B).poll_turned_away(now).unwrap();
        assert_eq!((away.busy, away.times), (busy(limit, 2), 1));
        assert_eq!(incoming(&world, B).len(), 3);
    }
    // Without, a tunnel too many ends as soon as it has said what it is for; its owner is told of the limit only.
    let (mut world, ids) = limits(false, ServiceLimits::default().tunnels(9, 2));
    assert!(world.established(A, ids[0]) && world.established(A, ids[1]));
    assert!(!world.established(A, ids[2]) && world.ended(A, ids[2]).is_some());
    let now = world.now;
    let away = world.router(B).poll_turned_away(now).unwrap();
    assert_eq!(away.busy, busy(Limit::TunnelsPerPeer, 2));
    assert_eq!(incoming(&world, B).len(), 3);
}

#[test]
fn a_limit_on_tunnels_holds_for_stanzas_and_bytes_however_they_are_opened() {
    let none = ServiceLimits::default().tunnels(0, 0);
    for service in [Service::stanzas(), pipe()] {
        for original in [false, true] {
            for early in [true, false] {
                for asked in [false, true] {
                    let case =
                        format!("{service:?} original {original} early {early} asked {asked}");
                    let of_b = both(B, early)
                        .original(original)
                        .service_limits(service.clone(), none);
                    let of_b = match asked {
                        true => of_b.accept(Accept::Ask([].into())),
                        false => of_b,
                    };
                    let mut world = World::with(both(A, early).original(original), of_b);
                    let a = world.open_for(A, &service);
                    world.settle();
                    if let Some(asked) = world.ends[B].events.first() {
                        let id = asked.id;
                        world.late(B, id).admit(true);
                        world.settle();
                    }
                    assert!(!world.established(A, a), "{case}");
                    assert!(world.ended(A, a).is_some(), "{case}");
                    let events = &world.ends[B].events;
                    let established =
                        |event: &Event| matches!(event.what, TunnelEvent::Established(_));
                    assert!(!events.iter().any(established), "{case}");
                    let now = world.now;
                    let away = world.router(B).poll_turned_away(now);
                    let limit = away.map(|away| away.busy.limit);
                    assert_eq!(limit, Some(Limit::TunnelsPerPeer), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_session_that_takes_over_is_no_further_tunnel() {
    let one = ServiceLimits::default().tunnels(1, 1);
    for early in [true, false] {
        let of_b = both(B, early).service_limits(Service::stanzas(), one);
        let mut world = World::with(both(A, early), of_b);
        let [_, old] = world.establish(A);
        for _ in 0..3 {
            world.restart(A, both(A, early));
            let a = world.open(A);
            world.settle();
            assert!(world.established(A, a), "{early}");
        }
        assert!(world.ended(B, old).is_some());
    }
}

#[test]
fn room_for_tunnels_comes_back_when_they_end() {
    let limits = ServiceLimits::default().tunnels(1, 1);
    let mut world = World::with(both(A, true), both(B, true).service_limits(pipe(), limits));
    for round in 0..3 {
        let a = world.open_for(A, &pipe());
        world.settle();
        assert!(world.established(A, a), "round {round}");
        let b = world.last_id(B);
        assert_works(&mut world, [a, b], "bytes");
    }
    assert_nothing_left(&world);
}

#[test]
fn a_tunnel_of_bytes_with_another_key_than_its_neighbour_is_not_let_in() {
    for neighbour in [pipe(), Service::stanzas()] {
        // B has verified two keys of A's.
        let two = verified(&[(NAMES[A], 1), (NAMES[A], 7)]);
        let of_b = Config::new(tls(&identity(NAMES[B], 2)), two)
            .policy(Policy::Pinned)
            .accept(Accept::Anyone)
            .also_serve([pipe()]);
        let mut world = World::with(both(A, true), of_b);
        world.open_for(A, &neighbour);
        world.settle();
        let old = world.last_id(B);
        world.restart(A, another_a(7).also_serve([pipe()]));
        let a = world.open_for(A, &pipe());
        world.settle();
        let told = |what: &TunnelEvent| match what {
            TunnelEvent::OtherKey(other) => Some((other.key, other.pinned)),
            _ => None,
        };
        let key = identity(NAMES[A], 7).fingerprint();
        let told: Vec<_> = world.whats(B, old).filter_map(told).collect();
        assert_eq!(told, [(Some(key), true)]);
        assert!(!world.established(A, a));
        let closed = world.closed(B, world.last_id(B));
        assert_eq!((closed.by, closed.why), (By::Us, Why::Impostor));
        assert!(world.ended(B, old).is_none());
    }
}

#[test]
fn a_close_without_a_sid_means_no_tunnel_of_bytes() {
    let mut world = world_of([true, true]);
    world.open_for(A, &pipe());
    world.settle();
    let answers = world.inject(
        B,
        Some(NAMES[A]),
        "<iq type='set' id='i1'><close xmlns='urn:xmpp:tmp:xtls'/></iq>",
    );
    let gone = StanzaError::new(ErrorType::Cancel, Condition::ItemNotFound);
    assert_eq!(answers[0].content, Content::Error(gone));
    assert!(world.ended(B, world.last_id(B)).is_none());
}

#[test]
fn the_original_flow_has_one_tunnel_for_each_pair_of_addresses() {
    let original = |end| in_bytes(end).original(true);
    let mut world = World::with(original(A), original(B));
    world.establish(A);
    let (now, peer) = (world.now, address(NAMES[B]));
    let second = world.router(A).open(now, &peer);
    assert_eq!(second, Err(super::super::OpenError::Already(peer)));
    // Crossing opens make one tunnel there, whatever it carries.
    let mut world = World::with(original(A), original(B));
    let ids = [world.open(A), world.open(B)];
    world.settle();
    assert_works(&mut world, ids, "one");
}
