//! A peer that breaks the rules: that ends the leg and nothing else, unless bytes are missing.

use std::time::Duration;

use xtls_path::{Broken, Bye, Cut, Event, Fault, Frame, LegEnd, LegId, MAX_DATA, Place};

use crate::world::{CLIENT, SERVER, World};

/// A tunnel on a leg, after some bytes each way.
fn moved() -> (World, usize) {
    let mut world = World::new();
    let pipe = world.heal();
    world.write(CLIENT, 1_000);
    world.write(SERVER, 1_000);
    world.drain();
    world.pass(Duration::from_millis(300));
    (world, pipe)
}

/// What the peer of `to` is made to say.
fn say(world: &mut World, pipe: usize, to: usize, frames: &[Frame<'_>]) {
    let mut wire = Vec::new();
    for frame in frames {
        frame.write(&mut wire);
    }
    world.pipes.get_mut(&pipe).unwrap().under_way[to].extend(wire);
    world.deliver(pipe, to, usize::MAX);
}

/// It ends the leg for this reason at that end, and the tunnel goes on over another one.
#[track_caller]
fn ends_the_leg(to: usize, frames: &[Frame<'_>], fault: Fault) {
    let (mut world, pipe) = moved();
    let id = world.pipes[&pipe].ids[to].unwrap();
    say(&mut world, pipe, to, frames);
    assert_eq!(world.ends[to].carrying(), None);
    // A goodbye is answered before the end.
    world.send(pipe, to, usize::MAX);
    assert_eq!(world.end_of(to, id), Some(LegEnd::Fault(fault)));
    assert!(world.events[to].contains(&Event::Lost { leg: id }));
    world.write(CLIENT, 5_000);
    world.write(SERVER, 5_000);
    world.heal();
    world.all_arrived();
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_ends_the_leg() {
    let limit = 1 << 40;
    for got in [1_001, u64::MAX] {
        ends_the_leg(CLIENT, &[Frame::Ack { got, limit }], Fault::Number);
        ends_the_leg(SERVER, &[Frame::Ack { got, limit }], Fault::Number);
    }
}

#[test]
fn a_number_that_falls_ends_the_leg() {
    let limit = 1 << 40;
    let got = 1_000;
    let high = Frame::Ack { got, limit };
    for low in [
        Frame::Ack {
            got,
            limit: limit - 1,
        },
        Frame::Ack {
            got: got - 1,
            limit,
        },
    ] {
        ends_the_leg(SERVER, &[high, low], Fault::Number);
    }
}

#[test]
fn data_beyond_the_credit_end_the_leg() {
    let (mut world, pipe) = moved();
    // Nobody reads: one byte less than the credit is taken, and then one byte more than it.
    let credit = 256 << 10;
    let all = vec![0; MAX_DATA];
    let id = world.pipes[&pipe].ids[CLIENT].unwrap();
    let mut offset = 1_000;
    while offset + MAX_DATA as u64 <= 1_000 + credit {
        say(
            &mut world,
            pipe,
            CLIENT,
            &[Frame::Data {
                offset,
                bytes: &all,
            }],
        );
        offset += MAX_DATA as u64;
    }
    assert_eq!(world.end_of(CLIENT, id), None);
    say(
        &mut world,
        pipe,
        CLIENT,
        &[Frame::Data {
            offset,
            bytes: b"1",
        }],
    );
    assert_eq!(world.end_of(CLIENT, id), Some(LegEnd::Fault(Fault::Credit)));
    assert!(world.ends[CLIENT].unread() <= 256 << 10);
}

#[test]
fn data_that_do_not_follow_those_before_end_the_leg() {
    let bytes = b"x";
    for offset in [0, 999, 1_001, u64::MAX] {
        ends_the_leg(CLIENT, &[Frame::Data { offset, bytes }], Fault::Jump);
    }
}

#[test]
fn frames_that_may_not_come_end_the_leg() {
    let hello = Frame::Hello {
        got: 0,
        limit: 1 << 20,
        mac: [0; 16],
    };
    ends_the_leg(CLIENT, &[hello], Fault::Order);
    ends_the_leg(CLIENT, &[Frame::Choose], Fault::Order);
    ends_the_leg(SERVER, &[Frame::Choose], Fault::Order);
    ends_the_leg(SERVER, &[Frame::Pong(1 << 20)], Fault::Pong);
    ends_the_leg(SERVER, &[Frame::Pong(0)], Fault::Pong);
    ends_the_leg(SERVER, &[Frame::Bye(Bye::Moved)], Fault::Left);
}

#[test]
fn what_is_no_frame_ends_the_leg() {
    let (mut world, pipe) = moved();
    let id = world.pipes[&pipe].ids[SERVER].unwrap();
    world.pipes.get_mut(&pipe).unwrap().under_way[SERVER].extend([9, 0, 0, 0]);
    world.deliver(pipe, SERVER, usize::MAX);
    let fault = Fault::Broken(Broken::Type(9));
    assert_eq!(world.end_of(SERVER, id), Some(LegEnd::Fault(fault)));
    world.heal();
    world.all_arrived();
}

#[test]
fn before_a_choice_there_are_neither_data_nor_acknowledgements() {
    for frame in [
        Frame::Data {
            offset: 0,
            bytes: b"x",
        },
        Frame::Ack {
            got: 0,
            limit: 1 << 30,
        },
    ] {
        for to in [CLIENT, SERVER] {
            let mut world = World::new();
            let pipe = world.begin(Place::First, false);
            world.flow();
            let id = world.pipes[&pipe].ids[to].unwrap();
            say(&mut world, pipe, to, &[frame]);
            assert_eq!(world.end_of(to, id), Some(LegEnd::Fault(Fault::Order)));
            assert_eq!(world.ends[to].carrying(), Some(LegId::ZERO));
        }
    }
}

#[test]
fn a_hundred_pings_a_second_are_answered_and_no_more() {
    let (mut world, pipe) = moved();
    let mut answers = || {
        (0..1_000)
            .filter(|content| {
                say(&mut world, pipe, CLIENT, &[Frame::Ping(*content)]);
                let id = world.pipes[&pipe].ids[CLIENT].unwrap();
                let mut pong = Vec::new();
                Frame::Pong(*content).write(&mut pong);
                let said = world.ends[CLIENT].poll_leg(world.now, id, 100);
                said.is_some_and(|said| said == pong)
            })
            .count()
    };
    assert_eq!(answers(), 100);
    world.now += Duration::from_secs(1);
    assert_eq!(
        (0..1_000)
            .filter(|content| {
                say(&mut world, pipe, CLIENT, &[Frame::Ping(*content)]);
                let id = world.pipes[&pipe].ids[CLIENT].unwrap();
                world.ends[CLIENT].poll_leg(world.now, id, 100).is_some()
            })
            .count(),
        100
    );
    // Those that nobody takes do not pile up.
    world.now += Duration::from_secs(1);
    let many = [Frame::Ping(1), Frame::Ping(2), Frame::Ping(3)];
    say(&mut world, pipe, CLIENT, &many);
    let id = world.pipes[&pipe].ids[CLIENT].unwrap();
    let said = world.ends[CLIENT].poll_leg(world.now, id, 100).unwrap();
    assert_eq!(said.len(), 12);
}

#[test]
fn forged_acknowledgements_on_leg_zero_cut_the_tunnel_and_both_say_so() {
    let mut world = World::new();
    world.write(CLIENT, 10_000);
    world.send(0, CLIENT, usize::MAX);
    world.deliver(0, SERVER, 4_000);
    // The server between them swallows the rest, and confirms all of it.
    world.pipes.get_mut(&0).unwrap().under_way[SERVER].clear();
    world.ends[CLIENT].handle_zero_acknowledged(world.now, 10_000);
    let pipe = world.begin(Place::First, false);
    world.flow();
    assert!(world.choose(pipe));
    world.write(CLIENT, 1);
    world.drain();
    assert_eq!(world.cut(SERVER), Some(Cut::Gap { missing: 6_000 }));
    assert_eq!(world.cut(CLIENT), Some(Cut::PeerMisses));
    for end in [CLIENT, SERVER] {
        assert_eq!(world.ends[end].carrying(), None);
        assert_eq!(world.ends[end].room(), 0);
        assert!(
            !world.events[end].contains(&Event::Finished),
            "a cut is no close"
        );
        assert_eq!(
            world.ends[end].poll_timeout(),
            None,
            "no timer is left behind"
        );
    }
    assert_eq!(world.read[SERVER], 4_000, "what came in order is read");
}

#[test]
fn forged_acknowledgements_on_leg_zero_are_no_proof_of_an_end() {
    let mut world = World::new();
    world.write(CLIENT, 10_000);
    world.send(0, CLIENT, usize::MAX);
    world.pipes.get_mut(&0).unwrap().under_way[SERVER].clear();
    world.ends[CLIENT].handle_zero_acknowledged(world.now, 10_000);
    let pipe = world.heal();
    world.ends[CLIENT].finish(world.now);
    world.drain();
    world.pass(Duration::from_secs(60));
    assert!(!world.events[CLIENT].contains(&Event::Finished));
    assert!(world.pipes[&pipe].ids[CLIENT].is_some());
    world.ends[SERVER].finish(world.now);
    world.drain();
    let unconfirmed = 10_000;
    assert_eq!(world.cut(CLIENT), Some(Cut::Unconfirmed { unconfirmed }));
    assert!(!world.events[CLIENT].contains(&Event::Finished));
}

#[test]
fn an_end_before_everything_is_confirmed_is_a_cut() {
    let (mut world, pipe) = moved();
    world.write(CLIENT, 77);
    say(&mut world, pipe, CLIENT, &[Frame::Bye(Bye::Finished)]);
    assert_eq!(
        world.cut(CLIENT),
        Some(Cut::Unconfirmed { unconfirmed: 77 })
    );
    assert!(!world.events[CLIENT].contains(&Event::Finished));
}
