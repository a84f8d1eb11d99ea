//! When an end asks, when it gives up, and when it confirms.

use std::time::Duration;

use xtls_path::{Event, Fault, Frame, LegEnd, LegId, Place};

use crate::world::{CLIENT, SERVER, World};

const MS: Duration = Duration::from_millis(1);

fn moved(relayed: bool) -> (World, usize, [LegId; 2]) {
    let mut world = World::new();
    let pipe = world.begin(Place::First, relayed);
    world.flow();
    assert!(world.choose(pipe));
    world.drain();
    world.pass(500 * MS);
    let ids = world.pipes[&pipe].ids.map(Option::unwrap);
    (world, pipe, ids)
}

#[test]
fn a_ping_follows_an_unanswered_burst_and_again_after_twice_the_time() {
    for (relayed, first) in [(true, 10), (false, 200)] {
        let (mut world, pipe, ids) = moved(relayed);
        world.pipes.get_mut(&pipe).unwrap().silent = true;
        world.write(CLIENT, 10);
        world.flow();
        let start = world.now;
        let mut pings = Vec::new();
        while let Some(at) = world.ends[CLIENT].poll_timeout()
            && world.ends[CLIENT].carrying().is_some()
        {
            world.now = at;
            world.ends[CLIENT].handle_timeout(at);
            world.look(CLIENT);
            if world.ends[CLIENT].poll_leg(at, ids[CLIENT], 100).is_some() {
                pings.push((at - start).as_millis());
            }
        }
        let mut expected = Vec::new();
        let (mut at, mut delay) = (first, first);
        while at < 10_000 {
            expected.push(at);
            delay = (2 * delay).min(4_000);
            at += delay;
        }
        assert_eq!(pings, expected);
        assert_eq!(world.now - start, 10_000 * MS, "then it is dead");
        let end = Some(LegEnd::Fault(Fault::Silent));
        assert_eq!(world.end_of(CLIENT, ids[CLIENT]), end);
    }
}

#[test]
fn an_idle_leg_lives_for_hours_by_a_ping_in_thirty_seconds() {
    let (mut world, pipe, _) = moved(true);
    let before = world.pipes[&pipe].passed;
    world.pass(Duration::from_secs(7_200));
    for end in [CLIENT, SERVER] {
        assert!(world.ends[end].carrying().is_some());
        let bytes = world.pipes[&pipe].passed[end] - before[end];
        assert!((240 * 12..=2 * 241 * 12).contains(&bytes), "{bytes}");
    }
}

#[test]
fn an_idle_leg_that_has_died_is_noticed() {
    let (mut world, pipe, ids) = moved(false);
    world.pipes.get_mut(&pipe).unwrap().silent = true;
    world.pass(Duration::from_secs(41));
    for end in [CLIENT, SERVER] {
        assert!(world.events[end].contains(&Event::Lost { leg: ids[end] }));
        assert_eq!(world.ends[end].poll_timeout(), None);
    }
}

#[test]
fn what_was_read_is_confirmed_after_20_ms_or_64_kib() {
    let (mut world, pipe, ids) = moved(false);
    world.write(CLIENT, 100_000);
    world.flow();
    world.read(SERVER, 65_535);
    let id = ids[SERVER];
    let now = world.now;
    assert_eq!(world.ends[SERVER].poll_leg(now, id, 100), None);
    world.read(SERVER, 1);
    let confirmed = world.ends[SERVER].poll_leg(now, id, 100).unwrap();
    let mut ack = Vec::new();
    Frame::Ack {
        got: 65_536,
        limit: 65_536 + (256 << 10),
    }
    .write(&mut ack);
    assert_eq!(confirmed, ack);
    world.pipes.get_mut(&pipe).unwrap().under_way[CLIENT].extend(ack);
    world.flow();
    assert_eq!(world.ends[CLIENT].unconfirmed(), 100_000 - 65_536);
    world.read(SERVER, 1);
    world.pass(19 * MS);
    assert_eq!(world.ends[CLIENT].unconfirmed(), 100_000 - 65_536);
    world.pass(MS);
    assert_eq!(world.ends[CLIENT].unconfirmed(), 100_000 - 65_537);
}

#[test]
fn a_server_whose_client_does_not_abort_leg_zero_does_so() {
    let mut world = World::new();
    let pipe = world.begin(Place::First, false);
    world.flow();
    assert!(world.choose(pipe));
    let pipe = world.pipes.get_mut(&0).unwrap();
    let far = pipe.ids[SERVER];
    pipe.ids[CLIENT] = None;
    world.flow();
    assert_eq!(world.pipes[&0].ids[SERVER], far);
    world.pass(30_000 * MS);
    assert_eq!(world.end_of(SERVER, LegId::ZERO), Some(LegEnd::Done));
    assert_eq!(world.pipes[&0].ids, [None; 2]);
}

#[test]
fn a_goodbye_that_nobody_answers_ends_all_the_same() {
    let (mut world, pipe, ids) = moved(false);
    world.pipes.get_mut(&pipe).unwrap().silent = true;
    let now = world.now;
    world.ends[CLIENT].drop_leg(now, ids[CLIENT]);
    world.flow();
    assert!(world.events[CLIENT].contains(&Event::Lost { leg: ids[CLIENT] }));
    assert_eq!(world.end_of(CLIENT, ids[CLIENT]), None);
    world.pass(5_000 * MS);
    assert!(world.end_of(CLIENT, ids[CLIENT]).is_some());
    assert_eq!(world.ends[CLIENT].poll_timeout(), None);
}
