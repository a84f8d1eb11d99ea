//! What is left of a tunnel that may move when its peer, its link, its stream or its sockets go.

use xtls_stanza::Condition;
use xtls_stanza::path::Takes;

use super::moving::{a_second_old, carry, close, paths, pattern, told, world};
use super::*;
use crate::router::PathEvent;

/// How much an end reads until nothing more comes.
fn read_all(world: &mut World, end: usize, id: TunnelId) -> usize {
    let mut got = 0;
    for _ in 0..200 {
        while let Some(read) = world.late(end, id).read(100_000) {
            got += read.len();
        }
        world.settle();
    }
    got
}

/// A tunnel on a relay, into which an end has written all that goes in while the other one reads nothing.
fn unread(policies: [Takes; 2]) -> (World, [TunnelId; 2], usize) {
    let (mut world, ids) = a_second_old(policies);
    let mut written = 0;
    while let Ok(taken) = world.tunnel(A, ids[A]).write(&pattern(100_000)) {
        world.settle();
        written += taken;
    }
    (world, ids, written)
}

#[test]
fn a_socket_that_is_gone_is_not_spoken_of_again() {
    for refused in [true, false] {
        let mut world = world([Takes::Proxy; 2]);
        world.sea.closed = refused;
        let ids = world.establish(A);
        world.wait(Duration::from_secs(1));
        assert!(!world.sea.dialled.is_empty());
        world.sea.closed = true;
        world.storm();
        world.wait(Duration::from_secs(30));
        for end in [A, B] {
            let moving = world.router(end).tunnels.moving_mut(ids[end]).unwrap();
            assert_eq!(moving.sockets().count(), 0, "{end}");
            assert_eq!(world.router(end).paths.sockets(), 0, "{end}");
        }
        carry(&mut world, A, ids, &pattern(100_000));
        close(&mut world, ids);
    }
}

#[test]
fn another_resource_of_the_peer_closes_nothing_before_signals_come_from_there() {
    for policy in [Takes::InBand, Takes::Proxy] {
        let (mut world, ids) = a_second_old([policy; 2]);
        let moving = world.router(A).tunnels.moving_mut(ids[A]).unwrap();
        let sid = moving.sid().clone();
        let request =
            format!("<iq type='set' id='x'><close xmlns='urn:xmpp:tmp:xtls' sid='{sid}'/></iq>");
        let attic = address(&format!("{}/attic", address(NAMES[B]).bare()));
        let answers = world.inject(A, Some(attic.as_str()), &request);
        let Content::Error(error) = &answers[0].content else {
            panic!("{answers:?}")
        };
        assert_eq!(error.condition, Condition::ItemNotFound);
        carry(&mut world, A, ids, &pattern(100_000));

        let moving = world.router(A).tunnels.moving_mut(ids[A]).unwrap();
        moving.heard_from(&attic);
        let answers = world.inject(A, Some(attic.as_str()), &request);
        let errors = |answer: &Envelope| matches!(answer.content, Content::Error(_));
        assert!(!answers.iter().any(errors), "{answers:?}");
    }
}

#[test]
fn what_a_slow_owner_has_not_read_is_not_read_because_a_link_is_bound_anew() {
    let (mut world, ids, written) = unread([Takes::Proxy; 2]);
    let waiting = |world: &mut World| {
        let moving = world.router(B).tunnels.moving_mut(ids[B]).unwrap();
        moving.route().wire().unread()
    };
    let before = waiting(&mut world);
    assert!(before > 200_000, "{before}");
    for _ in 0..3 {
        let now = world.now;
        world.router(B).rebind(now, address(NAMES[B]));
        world.wait(Duration::from_secs(1));
        // The session had room for one more piece.
        assert!(waiting(&mut world) + 32_768 > before);
    }
    assert_eq!(read_all(&mut world, B, ids[B]), written);
    close(&mut world, ids);
}

#[test]
fn what_has_come_is_handed_out_although_the_last_path_is_gone() {
    let (mut world, ids, _) = unread([Takes::Proxy; 2]);
    let moving = world.router(B).tunnels.moving_mut(ids[B]).unwrap();
    let waiting = moving.route().wire().unread();
    let now = world.now;
    world.storm();
    world.router(B).lost(now);
    let got = read_all(&mut world, B, ids[B]);
    assert!(got >= waiting - 16_640, "{got} of {waiting}");
    assert!(world.closed(B, ids[B]).is_cut());
}

#[test]
fn a_peer_that_has_closed_the_tunnel_is_not_looked_for_elsewhere() {
    let mut world = world([Takes::InBand; 2]);
    let ids = world.establish(A);
    carry(&mut world, A, ids, &pattern(5_000));
    // One end does not take what has come, so its session goes on until it does.
    world.tunnel(A, ids[A]).write(&pattern(5_000)).unwrap();
    world.settle();
    for end in [A, B] {
        world.tunnel(end, ids[end]).finish();
    }
    world.settle();
    world.late(A, ids[A]).took();
    world.wait(Duration::from_secs(2));
    assert!(!told(&world, B, ids[B]).contains(&PathEvent::Lost));
    read_all(&mut world, B, ids[B]);
    world.late(B, ids[B]).took();
    world.wait(Duration::from_secs(2));
    for end in [A, B] {
        let closed = world.closed(end, ids[end]);
        assert!(closed.clean, "{end}: {closed:?}");
    }
}

#[test]
fn a_session_that_has_failed_ends_on_its_stream_whatever_the_peer_looks_for() {
    for opener in [A, B] {
        let mut world = world([Takes::InBand; 2]);
        let ids = world.establish(opener);
        carry(&mut world, A, ids, &pattern(5_000));
        // Somebody spoils a chunk, and withholds the answer to the close that follows.
        let mut close = None;
        world.alter = Some(Box::new(move |from, mut envelope| {
            match &mut envelope.content {
                Content::Set(Payload::Data(data)) if from == B && close.is_none() => {
                    data.bytes = data.bytes.iter().map(|byte| byte ^ 1).collect();
                }
                // Its alert is swallowed.
                Content::Set(Payload::Data(_)) if from == A && close.is_none() => {
                    envelope.content = Content::Get(Payload::Ping);
                }
                Content::Set(Payload::Close(_)) if from == A => {
                    close.get_or_insert_with(|| envelope.id.clone());
                }
                Content::Result(_) if from == B && close.as_ref() == Some(&envelope.id) => {
                    envelope.content = Content::Get(Payload::Ping);
                }
                _ => {}
            }
            envelope
        }));
        world.tunnel(B, ids[B]).write(b"spoiled").unwrap();
        world.wait(Duration::from_secs(30));
        let closed = world.closed(A, ids[A]);
        assert!(
            matches!(closed.why, Why::Session(xtls_session::Why::Tls(_))),
            "{closed:?}"
        );
        assert!(!closed.clean && world.closed(B, ids[B]).is_cut());
        assert_eq!(world.ends[A].router.leftovers(), 0);
    }
}

#[test]
fn a_peer_with_smaller_blocks_is_found_on_another_stream() {
    let small = |end| {
        let blocks = xtls_ibb::Config::default().max_block(ibb::BlockSize::new(1_000).unwrap());
        paths(end, Takes::InBand).ibb(blocks)
    };
    for opener in [A, B] {
        let mut world = World::with(paths(A, Takes::InBand), small(B));
        let ids = world.establish(opener);
        carry(&mut world, A, ids, &pattern(5_000));
        let now = world.now;
        world.router(A).rebind(now, address(NAMES[A]));
        world.wait(Duration::from_secs(2));
        carry(&mut world, A, ids, &pattern(50_000));
        carry(&mut world, B, ids, &pattern(50_000));
        close(&mut world, ids);
    }
}
