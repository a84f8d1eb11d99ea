//! An interrupted link, and one that came back as another.

use xtls_session::Why as Session;

use super::*;
use crate::transport::StreamEnd;

/// An hour without the link, at one end.
fn outage(world: &mut World, end: usize) {
    let now = world.now;
    world.router(end).pause(now);
    assert_eq!(world.router(end).poll_timeout(), None);
    assert_eq!(world.router(end).poll_transmit(now), None);
    for _ in 0..60 {
        world.now += Duration::from_secs(60);
        let now = world.now;
        world.router(end).handle_timeout(now);
    }
    let now = world.now;
    world.router(end).resume(now);
}

#[test]
fn nothing_is_late_while_the_link_is_interrupted() {
    // At each stanza of a tunnel's whole life.
    for stop in 0..14 {
        for end in [A, B] {
            let mut world = World::new();
            let a = world.open(A);
            let mut steps = 0;
            let mut closing = false;
            loop {
                if steps == stop {
                    outage(&mut world, end);
                }
                steps += 1;
                if world.deliver(A) || world.deliver(B) {
                    continue;
                }
                if closing {
                    break;
                }
                closing = true;
                let b = world.last_id(B);
                world.tunnel(A, a).close();
                world.tunnel(B, b).close();
            }
            assert!(steps > stop, "{steps} steps only");
            world.assert_clean([a, world.last_id(B)]);
        }
    }
}

#[test]
fn what_is_said_meanwhile_leaves_afterwards() {
    let mut world = World::new();
    let ids = world.establish(A);
    let now = world.now;
    world.router(A).pause(now);
    world.say(A, ids[A], "m1");
    world.settle();
    assert_eq!(world.received(B, ids[B]), [""; 0]);
    world.router(A).resume(now);
    world.settle();
    assert_eq!(world.received(B, ids[B]), ["m1"]);
}

#[test]
fn deadlines_go_on_where_they_stood() {
    let mut world = World::new();
    world.open(A);
    world.deliver(A);
    let id = world.last_id(B);
    world.filter = Some(Box::new(|_, _| false));
    world.wait(Duration::from_secs(50));
    outage(&mut world, B);
    world.wait(Duration::from_secs(5));
    assert!(world.ended(B, id).is_none());
    world.wait(Duration::from_secs(6));
    let why = world.closed(B, id).why;
    assert!(
        matches!(why, Why::Session(Session::HandshakeTimeout)),
        "{why:?}"
    );
}

#[test]
fn a_new_address_ends_every_tunnel_once() {
    let mut world = World::new();
    let ids = world.establish(A);
    world.say(A, ids[A], "m1");
    world.flush(A);
    let now = world.now;
    world.router(A).rebind(now, address("a@west.example/other"));
    world.flush(A);
    let closed = world.closed(A, ids[A]);
    assert!(!closed.clean);
    assert!(matches!(
        closed.why,
        Why::Cut {
            session: Session::Truncated,
            stream: StreamEnd::LinkLost
        }
    ));
    assert_eq!(world.router(A).own().as_str(), "a@west.example/other");
    assert_eq!(world.ends[A].router.leftovers(), 0);
}

#[test]
fn the_peer_of_an_address_that_is_bound_anew_learns_at_once_that_its_tunnel_has_ended() {
    // At each stanza of a handshake and after it, also when the answer to the open is lost with the old binding.
    for (opener, end) in [(A, A), (A, B), (B, A), (B, B)] {
        for stop in 1..12 {
            let mut world = World::new();
            let id = world.open(opener);
            for _ in 0..stop {
                let _ = world.deliver(A) || world.deliver(B);
            }
            let other = 1 - end;
            let opened = match opener == other {
                true => Some(id),
                false => world.ends[other].events.first().map(|event| event.id),
            };
            let now = world.now;
            world.router(end).rebind(now, address(NAMES[end]));
            world.ends[end].wire.clear();
            world.flush(end);
            world.settle();
            world.wait(Duration::from_secs(6));
            if let Some(id) = opened {
                world.closed(other, id);
            }
            assert_eq!(world.ends[other].router.tunnels.len(), 0, "{stop}");
            let ids = world.establish(A);
            world.say(A, ids[A], "m1");
            world.settle();
            assert_eq!(world.received(B, ids[B]), ["m1"]);
        }
    }
}

#[test]
fn another_address_says_no_good_bye_for_the_old_one() {
    let mut world = World::new();
    world.establish(A);
    let now = world.now;
    world.router(A).rebind(now, address("a@west.example/other"));
    assert_eq!(world.router(A).poll_transmit(now), None);
}

/// Streams are numbered anew after a rebind; a tunnel whose owner has not taken its end must not meet its namesake.
#[test]
fn a_tunnel_of_the_old_address_never_meets_a_stream_of_the_new_one() {
    let mut world = World::new();
    let old = world.establish(A);
    world.say(B, old[B], "m1");
    world.ends[A].taking = false;
    let now = world.now;
    world.tunnel(A, old[A]).hold(true);
    world.settle();
    // The very address again: to the server another binding all the same.
    world.router(A).rebind(now, address(NAMES[A]));
    world.router(B).lost(now);
    world.flush(B);
    world.ends[A].wire.clear();
    world.ends[B].wire.clear();
    let now = world.now;
    assert!(
        world.router(A).open(now, &address(NAMES[B])).is_err(),
        "the owner does not know of the end yet"
    );
    world.ends[A].taking = true;
    world.tunnel(A, old[A]).hold(false);
    world.flush(A);
    assert_eq!(
        world.received(A, old[A]),
        ["m1"],
        "what had come is handed out"
    );
    assert!(matches!(
        world.closed(A, old[A]).why,
        Why::Cut {
            session: Session::Truncated,
            ..
        }
    ));
    let new = world.establish(A);
    world.say(B, new[B], "m2");
    world.settle();
    assert_eq!(world.received(A, new[A]), ["m2"]);
    assert_eq!(world.received(A, old[A]), ["m1"]);
}

#[test]
fn a_held_tunnel_of_the_old_address_stays_apart_from_a_new_one() {
    let mut world = World::new();
    let old = world.establish(A);
    world.say(B, old[B], "m1");
    let now = world.now;
    world.tunnel(A, old[A]).hold(true);
    world.settle();
    world.router(A).rebind(now, address("a@west.example/other"));
    // B opens to the new address; the stream has the old one's number.
    let peer = address("a@west.example/other");
    world.router(B).open(now, &peer).unwrap();
    world.flush(B);
    for mut envelope in std::mem::take(&mut world.ends[B].others) {
        envelope.to = Some(peer.clone());
        world.router(A).handle(now, envelope);
    }
    world.flush(A);
    assert_eq!(
        world.whats(A, world.last_id(A)).count(),
        1,
        "incoming, and no more: {:?}",
        world.ends[A].events
    );
    world.tunnel(A, old[A]).hold(false);
    world.flush(A);
    assert_eq!(world.received(A, old[A]), ["m1"]);
    assert!(matches!(
        world.closed(A, old[A]).why,
        Why::Cut {
            session: Session::Truncated,
            ..
        }
    ));
}
