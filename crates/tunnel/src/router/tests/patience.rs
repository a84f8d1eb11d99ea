//! Readers that are slow for hours, and peers that are gone: from outside they look the same.

use xtls_session::{SendError as Full, Why as Session};

use super::super::SendError;
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn bytes() -> World {
    World::with(in_bytes(A), in_bytes(B))
}

/// An end's owner takes nothing from now on, or everything again.
fn take(world: &mut World, end: usize, id: TunnelId, taking: bool) {
    world.ends[end].taking = taking;
    world.tunnel(end, id).hold(!taking);
}

/// Writes as much as there is room for while the other end takes nothing; how many bytes.
fn fill_bytes(world: &mut World, end: usize, id: TunnelId) -> usize {
    let mut sent = 0;
    loop {
        match world.tunnel(end, id).write(&[7; 10_000]) {
            Ok(taken) => sent += taken,
            Err(SendError::Session(Full::Full)) => {
                let before = world.log.len();
                world.settle();
                if world.log.len() == before {
                    return sent;
                }
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 10_000_000, "there is no limit");
    }
}

fn read_all(world: &mut World, end: usize, id: TunnelId) -> usize {
    let mut read = 0;
    loop {
        match world.tunnel(end, id).read(65_536) {
            Some(bytes) => read += bytes.len(),
            None if world.deliver(A) | world.deliver(B) => {}
            None => return read,
        }
    }
}

#[test]
fn a_reader_of_stanzas_may_stop_for_hours() {
    let mut world = World::new();
    let ids = world.establish(A);
    take(&mut world, B, ids[B], false);
    let sent = world.fill_up(A, ids[A], 1000);
    let before = world.log.len();
    world.wait(HOUR * 6);
    let said = world.log.len() - before;
    assert!(
        world.ended(A, ids[A]).is_none(),
        "{:?}",
        world.ended(A, ids[A])
    );
    // A sign each 25 s, and its answer.
    assert!(said <= 2 * 6 * 3600 / 25 + 4, "{said}");
    take(&mut world, B, ids[B], true);
    world.settle();
    assert_eq!(world.received(B, ids[B]).len(), sent);
    for end in [A, B] {
        world.say(end, ids[end], "last");
        world.settle();
        assert_eq!(
            world.received(1 - end, ids[1 - end]).last().unwrap(),
            "last"
        );
    }
}

#[test]
fn two_who_both_stop_reading_wait_for_each_other() {
    let mut world = World::new();
    let ids = world.establish(A);
    for end in [A, B] {
        take(&mut world, end, ids[end], false);
    }
    let sent = [A, B].map(|end| world.fill_up(end, ids[end], 1000));
    world.wait(HOUR * 6);
    for end in [A, B] {
        take(&mut world, end, ids[end], true);
    }
    world.settle();
    for end in [A, B] {
        assert!(world.ended(end, ids[end]).is_none());
        assert_eq!(world.received(end, ids[end]).len(), sent[1 - end]);
    }
}

#[test]
fn a_reader_of_bytes_may_stop_for_two_hours() {
    let mut world = bytes();
    let ids = world.establish(A);
    let sent = fill_bytes(&mut world, A, ids[A]);
    world.wait(HOUR * 2);
    assert!(
        world.ended(A, ids[A]).is_none(),
        "{:?}",
        world.ended(A, ids[A])
    );
    assert_eq!(read_all(&mut world, B, ids[B]), sent);
    // What it reads again counts anew.
    let sent = fill_bytes(&mut world, A, ids[A]);
    assert_eq!(world.tunnel(B, ids[B]).write(b"data"), Ok(4));
    world.wait(HOUR * 2);
    assert_eq!(read_all(&mut world, B, ids[B]), sent);
}

#[test]
fn a_reader_of_bytes_that_stops_for_longer_is_taken_for_gone() {
    let mut world = bytes();
    let ids = world.establish(A);
    fill_bytes(&mut world, A, ids[A]);
    world.wait(HOUR * 3);
    let closed = world.closed(A, ids[A]);
    assert!(!closed.clean);
    assert!(matches!(closed.why, Why::Cut { .. }), "{closed:?}");
}

#[test]
fn a_peer_that_is_gone_while_its_answers_are_awaited_is_left_in_time() {
    for (in_bytes, seconds) in [(false, 60), (true, 600)] {
        let mut world = if in_bytes { bytes() } else { World::new() };
        let ids = world.establish(A);
        take(&mut world, B, ids[B], false);
        if in_bytes {
            fill_bytes(&mut world, A, ids[A]);
        } else {
            world.fill_up(A, ids[A], 1000);
        }
        // The server keeps the link up, and nothing of B's comes through any more.
        world.filter = Some(Box::new(|end, _| end == A));
        let begun = world.now;
        world.wait(Duration::from_secs(seconds - 30));
        assert!(world.ended(A, ids[A]).is_none());
        world.now = begun;
        world.wait(Duration::from_secs(seconds + 30));
        let closed = world.closed(A, ids[A]);
        let cut = matches!(
            closed.why,
            Why::Cut {
                session: Session::Truncated,
                ..
            }
        );
        assert!(cut && !closed.clean, "{closed:?}");
    }
}

#[test]
fn a_peer_that_knows_the_letter_only_has_a_minute() {
    let mut world = World::new();
    let ids = world.establish(A);
    // Our name was not agreed on: whatever it says, it does not say it for this.
    let tunnel = world.router(A).tunnels.get_mut(ids[A]);
    tunnel.unwrap().carrier_mut().know_the_letter_only();
    take(&mut world, B, ids[B], false);
    world.fill_up(A, ids[A], 1000);
    world.wait(Duration::from_secs(100));
    assert!(world.ended(A, ids[A]).is_some_and(|closed| !closed.clean));
}

#[test]
fn closing_does_not_wait_for_a_reader_who_shows_that_it_lives() {
    let mut world = World::new();
    let ids = world.establish(A);
    take(&mut world, B, ids[B], false);
    world.fill_up(A, ids[A], 1000);
    world.wait(HOUR);
    world.tunnel(A, ids[A]).close();
    world.wait(Duration::from_secs(100));
    assert!(world.ended(A, ids[A]).is_some_and(|closed| !closed.clean));
    assert_eq!(world.ends[A].router.leftovers(), 0);
}
