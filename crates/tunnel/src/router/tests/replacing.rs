//! A second tunnel of the same pair.

use xtls_session::By;

use super::*;

/// A's program has crashed and begun anew; B knows nothing of it yet.
fn crashed() -> (World, TunnelId) {
    let mut world = World::new();
    let [_, old] = world.establish(A);
    world.restart(A, config(A));
    (world, old)
}

#[test]
fn the_same_key_replaces() {
    let (mut world, old) = crashed();
    let [a, new] = world.establish(A);
    let closed = world.closed(B, old);
    assert_eq!(
        (closed.by, closed.why, closed.clean),
        (By::Us, Why::Replaced, false)
    );
    assert!(new > old);
    // The old one's end comes before the new one's beginning.
    let place = |id, wanted: fn(&TunnelEvent) -> bool| {
        let is = |event: &Event| event.id == id && wanted(&event.what);
        world.ends[B].events.iter().position(is).unwrap()
    };
    let end = place(old, |what| matches!(what, TunnelEvent::Closed(_)));
    assert!(end < place(new, |what| matches!(what, TunnelEvent::Established(_))));
    world.say(A, a, "m1");
    world.say(B, new, "m2");
    world.settle();
    assert_eq!(world.received(B, new), ["m1"]);
    assert_eq!(world.received(A, a), ["m2"]);
    assert!(matches!(
        world.late(B, old).send(&message("m3", "word")),
        Err(super::super::SendError::Gone(_))
    ));
    world.wait(Duration::from_secs(100));
    world.tunnel(A, a).close();
    world.tunnel(B, new).close();
    world.wait(Duration::from_secs(100));
    world.assert_clean([a, new]);
}

#[test]
fn what_the_old_one_had_received_is_handed_out_first() {
    let mut world = World::new();
    let [a, old] = world.establish(A);
    world.ends[B].taking = false;
    for number in 0..100 {
        world.say(A, a, &format!("m{number}"));
    }
    world.settle();
    world.restart(A, config(A));
    world.open(A);
    world.settle();
    world.ends[B].taking = true;
    world.settle();
    assert_eq!(world.received(B, old).len(), 100);
    assert_eq!(world.closed(B, old).why, Why::Replaced);
    assert!(world.established(B, world.last_id(B)));
}

#[test]
fn an_unfinished_one_changes_nothing() {
    let (mut world, old) = crashed();
    // Its handshake never goes beyond the open.
    world.filter = Some(Box::new(|end, envelope| {
        end == B || word(envelope) != "data"
    }));
    let a = world.open(A);
    world.settle();
    assert!(world.ended(B, old).is_none());
    world.wait(Duration::from_secs(200));
    assert!(world.ended(A, a).is_some());
    assert_eq!(world.last_id(B), old, "the owner never heard of it");
    assert!(
        world.ended(B, old).is_none(),
        "a forged open ends no tunnel"
    );
}

/// B knows two keys of A's account: two devices, under one resource after the other.
fn two_keys() -> World {
    let mut world = World::with(config(A), config(B));
    let known = verified(&[(NAMES[A], 1), (NAMES[A], 7)]);
    let now = world.now;
    world.router(B).set_trust(now, known);
    world
}

#[test]
fn another_key_never_replaces() {
    let mut world = two_keys();
    let [_, old] = world.establish(A);
    world.restart(A, another_a(7));
    let a = world.open(A);
    world.settle();
    assert_eq!(rivals(&world, old), [(Some(key(7)), true)]);
    assert_eq!(world.last_id(B), old, "it is no tunnel of its own");
    assert!(world.ended(B, old).is_none());
    assert!(!world.closed(A, a).clean);
}

fn key(number: u8) -> xtls_tls::Fingerprint {
    identity(NAMES[A], number).fingerprint()
}

/// What B is told of others in the name of A: their key, and whether it is pinned.
fn rivals(world: &World, id: TunnelId) -> Vec<(Option<xtls_tls::Fingerprint>, bool)> {
    let rival = |what: &TunnelEvent| match what {
        TunnelEvent::OtherKey(rival) => Some((rival.key, rival.pinned)),
        _ => None,
    };
    world.whats(B, id).filter_map(rival).collect()
}

#[test]
fn a_second_open_with_a_key_that_nobody_knows_is_told_and_ends_nothing() {
    let (mut world, old) = crashed();
    world.restart(A, another_a(7));
    let a = world.open(A);
    world.settle();
    world.wait(Duration::from_secs(100));
    assert_eq!(rivals(&world, old), [(Some(key(7)), false)]);
    assert_eq!(world.last_id(B), old, "it is no tunnel of its own");
    assert!(!world.closed(A, a).clean);
}

#[test]
fn a_conversation_that_ends_in_order_has_done_so_whoever_knocked_meanwhile() {
    for known in [false, true] {
        let mut world = if known {
            two_keys()
        } else {
            World::with(config(A), config(B))
        };
        let ids = world.establish(A);
        // Another program under A's address: the server's, or A's second device.
        let mut other = World::with(another_a(7), config(B));
        other.restart(A, another_a(7));
        std::mem::swap(&mut world.ends[A], &mut other.ends[A]);
        world.open(A);
        world.settle();
        std::mem::swap(&mut world.ends[A], &mut other.ends[A]);
        assert_eq!(rivals(&world, ids[B]), [(Some(key(7)), known)]);
        for end in [A, B] {
            world.tunnel(end, ids[end]).finish();
        }
        world.settle();
        let closed = world.closed(B, ids[B]);
        assert!(closed.clean && closed.unconfirmed == 0, "{closed:?}");
    }
}

#[test]
fn nothing_of_another_key_is_handed_out() {
    let mut world = two_keys();
    let [_, old] = world.establish(A);
    world.restart(A, another_a(7));
    let a = world.open(A);
    // What it says the moment it may shares a chunk with its last flight.
    for _ in 0..100 {
        world.deliver(A);
        world.deliver(B);
        if world.tunnel(A, a).send(&message("m1", "it is I")).is_ok() {
            break;
        }
    }
    world.settle();
    assert_eq!(world.last_id(B), old, "it is no tunnel of its own");
    assert_eq!(rivals(&world, old).len(), 1);
    assert_eq!(world.received(B, old), [""; 0]);
}

#[test]
fn another_key_is_welcome_once_the_first_has_ended() {
    let mut world = two_keys();
    let [a, b] = world.establish(A);
    world.tunnel(A, a).close();
    world.tunnel(B, b).close();
    world.wait(Duration::from_secs(100));
    world.assert_clean([a, b]);
    world.restart(A, another_a(7));
    world.establish(A);
}

#[test]
fn a_newer_open_discards_an_older_handshake() {
    let mut world = World::new();
    // Neither end's handshake moves.
    world.filter = Some(Box::new(|_, envelope| word(envelope) != "data"));
    world.open(A);
    world.settle();
    let first = world.last_id(B);
    world.restart(A, config(A));
    world.filter = None;
    let [_, second] = world.establish(A);
    let closed = world.closed(B, first);
    assert_eq!((closed.by, closed.why), (By::Peer, Why::Superseded));
    assert!(second > first);
}

#[test]
fn newer_opens_never_pile_up() {
    let mut world = World::with(
        config(A),
        config(B).ibb(xtls_ibb::Config::default().opens_per_minute(100)),
    );
    let [_, old] = world.establish(A);
    world.filter = Some(Box::new(|_, envelope| word(envelope) != "data"));
    for _ in 0..20 {
        world.restart(A, config(A));
        world.open(A);
        world.settle();
        assert_eq!(
            world.ends[B]
                .router
                .tunnels
                .iter_mut()
                .filter(|t| t.carrier().is_unfinished())
                .count(),
            1
        );
    }
    assert!(world.ended(B, old).is_none());
}

/// However many tunnels stand or have ended, an open is measured against the unfinished ones.
#[test]
fn an_open_is_measured_against_unfinished_tunnels_only() {
    let many = xtls_ibb::Config::default().opens_per_minute(100);
    let mut world = World::with(config(A), config(B).ibb(many));
    for round in 0..20 {
        world.restart(A, config(A));
        world.establish(A);
        let unfinished = world.ends[B].router.tunnels.iter_mut();
        assert_eq!(
            unfinished
                .filter(|tunnel| tunnel.carrier().is_unfinished())
                .count(),
            0
        );
        let counted = world.ends[B].router.census.len();
        assert!(counted <= 5, "round {round}: {counted}");
    }
}

#[test]
fn a_tunnel_that_is_closing_keeps_its_own_end() {
    let mut world = World::new();
    let [a, old] = world.establish(A);
    // A closes and vanishes before its `<close/>`.
    world.filter = Some(Box::new(|end, envelope| {
        end == B || word(envelope) != "xtls close"
    }));
    world.tunnel(A, a).finish();
    world.settle();
    world.tunnel(B, old).finish();
    world.settle();
    assert!(world.ended(B, old).is_none());
    world.filter = None;
    world.restart(A, config(A));
    world.establish(A);
    world.wait(Duration::from_secs(100));
    let closed = world.closed(B, old);
    assert!(closed.clean, "{closed:?}");
    assert_eq!(closed.why, Why::Session(xtls_session::Why::Finished));
}

#[test]
fn the_close_of_the_replaced_one_does_not_touch_its_successor() {
    let mut world = World::new();
    let [a, _] = world.establish(A);
    // An old program and a new one under one address: what the old one says arrives late.
    let mut old = std::mem::replace(
        &mut world.ends[A].router,
        Router::new(address(NAMES[A]), config(A), [77; 32]),
    );
    let [_, new] = world.establish(A);
    let now = world.now;
    old.tunnel(now, a).unwrap().close();
    while let Some(mut envelope) = old.poll_transmit(now) {
        envelope.from = Some(address(NAMES[A]));
        world.router(B).handle(now, reread(&envelope));
    }
    world.settle();
    assert!(world.ended(B, new).is_none());
    let [x, y] = [world.last_id(A), new];
    world.say(A, x, "m1");
    world.settle();
    assert_eq!(world.received(B, y), ["m1"]);
}

#[test]
fn an_abort_while_a_newer_session_takes_over_is_told_as_one() {
    let mut world = World::new();
    let [a, old] = world.establish(A);
    for number in 0..100 {
        world.say(A, a, &format!("m{number}"));
    }
    world.tunnel(B, old).hold(true);
    world.settle();
    world.restart(A, config(A));
    world.open(A);
    world.settle();
    world.tunnel(B, old).abort();
    world.settle();
    let aborted = Why::Session(xtls_session::Why::Aborted);
    let closed = world.closed(B, old);
    assert_eq!((closed.by, closed.why), (By::Us, aborted));
}

/// What is taken over from has lost its stream and waits for its owner only; a third open must not end it, nor its heir.
#[test]
fn a_third_open_beside_a_takeover_is_declined_and_touches_neither() {
    let mut world = World::new();
    let [a, old] = world.establish(A);
    for number in 0..100 {
        world.say(A, a, &format!("m{number}"));
    }
    world.tunnel(B, old).hold(true);
    world.settle();
    world.restart(A, config(A));
    let second = world.open(A);
    world.settle();
    assert!(world.router(B).tunnels.are_moving(&address(NAMES[A])));
    assert!(world.ended(B, old).is_none());
    // Another program of A's, under the same address and with the same key.
    let third = Router::new(address(NAMES[A]), config(A), [77; 32]);
    let mut other = std::mem::replace(&mut world.ends[A].router, third);
    let events = std::mem::take(&mut world.ends[A].events);
    let third = world.open(A);
    world.settle();
    let Why::Declined(error) = world.closed(A, third).why else {
        panic!("{:?}", world.closed(A, third));
    };
    assert_eq!(error.condition, xtls_stanza::Condition::NotAcceptable);
    assert!(world.ended(B, old).is_none());
    std::mem::swap(&mut world.ends[A].router, &mut other);
    world.ends[A].events = events;
    world.tunnel(B, old).hold(false);
    world.settle();
    assert_eq!(world.received(B, old).len(), 100);
    assert_eq!(world.closed(B, old).why, Why::Replaced);
    let heir = world.last_id(B);
    assert!(world.established(B, heir));
    world.say(A, second, "n1");
    world.settle();
    assert_eq!(world.received(B, heir), ["n1"]);
}
