//! Both open at once.

use xtls_session::By;
use xtls_stanza::{Condition, ErrorType, StanzaError, ibb};
use xtls_tls::Role;

use super::super::OpenError;
use super::*;
use crate::transport;

/// One tunnel, led by A, under the name that each application got; it works, and ends without leaving anything.
fn assert_one(world: &mut World, ids: [TunnelId; 2]) {
    for end in [A, B] {
        assert!(
            world.established(end, ids[end]),
            "{end}: {:?}",
            world.ends[end].events
        );
        assert!(
            world.ends[end]
                .events
                .iter()
                .all(|event| event.id == ids[end])
        );
        assert!(
            !world
                .whats(end, ids[end])
                .any(|what| matches!(what, TunnelEvent::Incoming(_)))
        );
    }
    let role = |end: usize| {
        world.ends[end]
            .router
            .tunnels
            .get(ids[end])
            .unwrap()
            .carrier()
            .role()
    };
    assert_eq!(
        (role(A), role(B)),
        (Role::Client, Role::Server),
        "the smaller address leads"
    );
    world.say(A, ids[A], "m1");
    world.say(B, ids[B], "m2");
    world.settle();
    assert_eq!(world.received(B, ids[B]), ["m1"]);
    assert_eq!(world.received(A, ids[A]), ["m2"]);
    world.tunnel(A, ids[A]).close();
    world.tunnel(B, ids[B]).close();
    world.wait(Duration::from_secs(100));
    world.assert_clean(ids);
}

#[test]
fn crossing_opens_make_one_tunnel_in_every_order() {
    for order in interleavings(6) {
        for first in [A, B] {
            let mut world = World::new();
            let mut ids = [None; 2];
            ids[first] = Some(world.open(first));
            ids[1 - first] = Some(world.open(1 - first));
            for &end in &order {
                world.deliver(end);
            }
            world.settle();
            let ids = ids.map(Option::unwrap);
            assert_one(&mut world, ids);
        }
    }
}

#[test]
fn an_open_that_has_arrived_is_no_crossing() {
    for first in [A, B] {
        let mut world = World::new();
        world.open(first);
        world.deliver(first);
        let (now, peer) = (world.now, address(NAMES[first]));
        let error = world.router(1 - first).open(now, &peer);
        assert_eq!(error, Err(OpenError::Already(peer)));
        world.settle();
        assert!(world.established(first, world.last_id(first)));
    }
}

#[test]
fn smaller_blocks_on_the_way_change_nothing() {
    let small = xtls_ibb::Config::default().max_block(ibb::BlockSize::new(1024).unwrap());
    for order in interleavings(6) {
        let mut world = World::with(config(A).ibb(small.clone()), config(B).ibb(small.clone()));
        let ids = [world.open(A), world.open(B)];
        for &end in &order {
            world.deliver(end);
        }
        world.settle();
        assert_one(&mut world, ids);
    }
}

#[test]
fn a_crossing_open_needs_no_other_permission() {
    for (a, b) in [
        (config(A).accept(Accept::NoOne), config(B)),
        (config(A), config(B).accept(Accept::NoOne)),
        (
            config(A).accept(Accept::NoOne),
            config(B).accept(Accept::NoOne),
        ),
    ] {
        let mut world = World::with(a, b);
        let ids = [world.open(A), world.open(B)];
        world.settle();
        assert_one(&mut world, ids);
    }
}

#[test]
fn the_loser_is_told_conflict_once() {
    let mut world = World::new();
    let ids = [world.open(A), world.open(B)];
    world.settle();
    let conflicts = world.log.iter().filter(|(end, envelope)| {
        *end == A
            && matches!(&envelope.content, Content::Error(e)
            if e.condition == Condition::Conflict && e.kind == ErrorType::Cancel)
    });
    assert_eq!(conflicts.count(), 1);
    assert_one(&mut world, ids);
}

/// B's open is unanswered, and A's is on its way to it.
fn crossed() -> (World, [TunnelId; 2]) {
    let mut world = World::new();
    let ids = [world.open(A), world.open(B)];
    world.flush(A);
    world.flush(B);
    (world, ids)
}

fn conflict(request: &Envelope) -> Envelope {
    let error = StanzaError::new(ErrorType::Cancel, Condition::Conflict);
    reread(&request.error(error))
}

#[test]
fn a_conflict_before_the_winning_open_waits_for_it() {
    let (mut world, ids) = crossed();
    let lost = world.ends[B].wire.pop_front().unwrap();
    let now = world.now;
    world.router(B).handle(now, conflict(&lost));
    assert!(world.ended(B, ids[B]).is_none());
    world.settle();
    assert_one(&mut world, ids);
}

#[test]
fn a_conflict_without_a_winning_open_ends_in_time() {
    let (mut world, ids) = crossed();
    let lost = world.ends[B].wire.pop_front().unwrap();
    world.ends[A].wire.clear();
    let now = world.now;
    world.router(B).handle(now, conflict(&lost));
    world.wait(Duration::from_secs(9));
    assert!(world.ended(B, ids[B]).is_none());
    world.wait(Duration::from_secs(2));
    assert_eq!(world.closed(B, ids[B]).why, Why::NoAnswer);
    assert_eq!(world.ends[B].router.leftovers(), 0);
}

#[test]
fn a_conflict_that_the_winner_should_never_get_gives_way_too() {
    let (mut world, ids) = crossed();
    let own = world.ends[A].wire.pop_front().unwrap();
    let now = world.now;
    // Somebody refuses A's open in B's name; then B's open comes, and B knows of no other.
    world.router(A).handle(now, conflict(&own));
    world.settle();
    assert!(world.established(A, ids[A]) && world.established(B, ids[B]));
    assert_eq!(
        world.ends[A]
            .router
            .tunnels
            .get(ids[A])
            .unwrap()
            .carrier()
            .role(),
        Role::Server
    );
}

#[test]
fn a_late_result_for_the_losing_open_is_closed() {
    let (mut world, ids) = crossed();
    let lost = world.ends[B].wire.pop_front().unwrap();
    let Content::Set(Payload::Open(open)) = &lost.content else {
        panic!("{lost:?}");
    };
    let sid = open.sid.clone();
    world.deliver(A);
    let now = world.now;
    world.router(B).handle(now, reread(&lost.result(None)));
    world.settle();
    let closes = world.log.iter().filter(|(end, envelope)| {
        *end == B
            && matches!(&envelope.content, Content::Set(Payload::Close(close)) if close.sid == sid)
    });
    assert_eq!(closes.count(), 1);
    assert_one(&mut world, ids);
}

#[test]
fn any_error_for_the_losing_open_is_expected() {
    for condition in [
        Condition::NotAcceptable,
        Condition::ServiceUnavailable,
        Condition::ResourceConstraint,
        Condition::RecipientUnavailable,
    ] {
        let (mut world, ids) = crossed();
        let lost = world.ends[B].wire.pop_front().unwrap();
        world.deliver(A);
        let error = StanzaError::new(ErrorType::Cancel, condition);
        let now = world.now;
        world.router(B).handle(now, reread(&lost.error(error)));
        // What the refusal makes of the losing open (a smaller one, perhaps) is refused as the first was.
        world.settle();
        assert_one(&mut world, ids);
    }
}

#[test]
fn a_losing_open_without_any_answer_is_forgotten() {
    let (mut world, ids) = crossed();
    world.ends[B].wire.clear();
    world.settle();
    world.wait(Duration::from_secs(100));
    assert_one(&mut world, ids);
}

#[test]
fn an_owner_who_gives_up_while_opens_cross_gets_one_end() {
    let ways: [fn(TunnelMut<'_>); 3] = [
        |mut tunnel| tunnel.finish(),
        |tunnel| tunnel.close(),
        |tunnel| tunnel.abort(),
    ];
    for way in ways {
        // While the open is unanswered, and after the conflict.
        for yielding in [false, true] {
            let (mut world, ids) = crossed();
            let now = world.now;
            if yielding {
                let lost = world.ends[B].wire.pop_front().unwrap();
                world.router(B).handle(now, conflict(&lost));
            }
            way(world.tunnel(B, ids[B]));
            world.settle();
            let closed = world.closed(B, ids[B]);
            assert_eq!(closed.why, Why::Session(xtls_session::Why::Aborted));
            assert_eq!(closed.by, By::Us);
            // The peer's open is one like any other then.
            let other = world.last_id(B);
            assert!(other != ids[B] && world.established(B, other));
            assert!(world.established(A, ids[A]));
        }
    }
}

#[test]
fn what_cannot_be_opened_is_said_at_once() {
    let mut world = World::new();
    let now = world.now;
    let own = address(NAMES[A]);
    assert_eq!(world.router(A).open(now, &own), Err(OpenError::Own(own)));
    let bare = address("b@east.example");
    let error = world.router(A).open(now, &bare);
    assert_eq!(error, Err(OpenError::Stream(transport::OpenError::NotFull)));
    let peer = address(NAMES[B]);
    world.open(A);
    assert_eq!(
        world.router(A).open(now, &peer),
        Err(OpenError::Already(peer))
    );
}
