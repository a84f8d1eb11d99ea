//! Legs are born, stall and die at any byte, and what is read is what was written.

use std::time::Duration;

use proptest::prelude::*;
use xtls_path::{Event, LegId, Place};

use crate::world::{CLIENT, Draw, SERVER, World};

const SWITCHES: usize = 1_000;
const FEW: usize = 100;

/// One step that may happen at any time.
fn anything(world: &mut World, draw: &mut Draw) {
    let end = draw.below(2);
    let pipes: Vec<usize> = world.pipes.keys().copied().collect();
    let pipe = pipes[draw.below(pipes.len())];
    let most = 1 << draw.below(14);
    match draw.below(12) {
        0 | 1 => {
            world.write(end, most);
        }
        2 | 3 => {
            world.read(end, most);
        }
        4..=6 => {
            world.send(pipe, end, most);
        }
        7..=9 => {
            world.deliver(pipe, end, most);
        }
        10 => world.acknowledge(end),
        _ => world.pass(Duration::from_millis(draw.below(30) as u64)),
    }
}

fn switched(seed: u64, switches: usize) -> World {
    let mut draw = Draw::new(seed);
    let mut world = World::new();
    for _ in 0..switches {
        for _ in 0..draw.below(12) {
            anything(&mut world, &mut draw);
        }
        let place = if draw.one_in(2) {
            Place::First
        } else {
            Place::Second
        };
        let pipe = world.begin(place, draw.one_in(2));
        for _ in 0..draw.below(6) {
            anything(&mut world, &mut draw);
        }
        match draw.below(4) {
            // Whole, in part, and killed after it.
            0 => world.flow(),
            1 => {
                for _ in 0..4 {
                    for end in [CLIENT, SERVER] {
                        world.send(pipe, end, 200);
                        world.deliver(pipe, 1 - end, 200);
                    }
                }
            }
            2 => {
                world.send(pipe, draw.below(2), draw.below(200));
                world.deliver(pipe, draw.below(2), draw.below(200));
            }
            _ => {}
        }
        world.choose(pipe);
        for _ in 0..draw.below(12) {
            anything(&mut world, &mut draw);
        }
        let alive: Vec<usize> = world
            .pipes
            .keys()
            .copied()
            .filter(|pipe| *pipe != 0)
            .collect();
        if draw.one_in(2) {
            world.kill(alive[draw.below(alive.len())]);
        }
        // Those that nobody has a use for.
        for old in alive {
            if world.pipes[&old].ids == [None; 2] || old + 8 < pipe {
                world.kill(old);
                world.pipes.remove(&old);
            }
        }
        if draw.one_in(200) {
            world.kill(0);
        }
        assert_eq!(
            [world.cut(CLIENT), world.cut(SERVER)],
            [None; 2],
            "seed {seed}"
        );
    }
    world.heal();
    world.heal();
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn a_thousand_random_switches_lose_and_double_nothing(seed: u64) {
        let world = switched(seed, SWITCHES);
        world.all_arrived();
        prop_assert!(world.written[CLIENT] > 100_000, "{:?}", world.written);
        prop_assert!(world.written[SERVER] > 100_000, "{:?}", world.written);
    }
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let [one, two] = [(); 2].map(|()| switched(4, FEW));
    assert_eq!(one.events, two.events);
    assert_eq!(one.written, two.written);
    let passed = |world: &World| {
        world
            .pipes
            .values()
            .map(|pipe| pipe.passed)
            .collect::<Vec<_>>()
    };
    assert_eq!(passed(&one), passed(&two));
}

/// What is under way on leg 0 when the new leg carries, by 10,000 bytes in each direction.
fn with_a_slow_old_leg() -> World {
    let mut world = World::new();
    for end in [CLIENT, SERVER] {
        world.write(end, 10_000);
        world.send(0, end, usize::MAX);
    }
    world
}

#[test]
fn a_leg_that_outran_the_old_one() {
    for delivered in [0, 1, 5_000, 9_999, 10_000] {
        let mut world = with_a_slow_old_leg();
        world.pipes.get_mut(&0).unwrap().silent = true;
        let pipe = world.begin(Place::First, true);
        world.flow();
        assert!(world.choose(pipe));
        world.flow();
        // The old one delivers late, in the middle, and again after that.
        let zero = world.pipes.get_mut(&0).unwrap();
        zero.silent = false;
        zero.ids = [zero.ids[CLIENT].or(Some(LegId::ZERO)), zero.ids[SERVER]];
        world.deliver(0, SERVER, delivered);
        world.deliver(0, CLIENT, delivered);
        world.acknowledge(CLIENT);
        world.acknowledge(SERVER);
        world.write(CLIENT, 20_000);
        world.write(SERVER, 20_000);
        world.deliver(0, SERVER, usize::MAX);
        world.drain();
        world.all_arrived();
        assert_eq!(world.written, [30_000; 2]);
    }
}

#[test]
fn a_leg_that_was_overtaken_by_it() {
    for early in [1, 5_000, 10_000] {
        let mut world = with_a_slow_old_leg();
        let pipe = world.begin(Place::Second, false);
        // The beginning is slow: what it says about the old one is outdated when the leg is chosen.
        for _ in 0..3 {
            for end in [CLIENT, SERVER] {
                world.send(pipe, end, usize::MAX);
                world.deliver(pipe, 1 - end, usize::MAX);
            }
        }
        for end in [CLIENT, SERVER] {
            world.deliver(0, end, early);
            world.read(end, usize::MAX);
            world.acknowledge(1 - end);
        }
        assert!(world.choose(pipe));
        let before = world.pipes[&pipe].passed[SERVER];
        world.drain();
        world.all_arrived();
        let on_leg = world.pipes[&pipe].passed[SERVER] - before;
        assert!(
            on_leg < 10_000 - early as u64 + 100,
            "what the old one brought is not sent again: {on_leg}"
        );
    }
}

#[test]
fn moving_up_and_back_are_told_to_both_and_the_old_leg_is_left() {
    let mut world = World::new();
    world.write(CLIENT, 1_000);
    let first = world.heal();
    let ids = world.pipes[&first].ids;
    for end in [CLIENT, SERVER] {
        let to = ids[end].unwrap();
        assert!(world.events[end].contains(&Event::Moved { to }));
        assert_eq!(world.ends[end].carrying(), Some(to));
    }
    assert_eq!(world.pipes[&0].ids, [None; 2], "leg 0 is aborted");
    world.heal();
    assert_eq!(world.pipes[&first].ids, [None; 2], "the old one is closed");
    world.all_arrived();
}

#[test]
fn two_slow_readers_do_not_block_each_other() {
    let mut world = World::new();
    world.heal();
    let mut still = 0;
    while still < 3 {
        let written = world.write(CLIENT, 65_536) + world.write(SERVER, 65_536);
        world.flow();
        world.pass(Duration::from_secs(5));
        still = if written == 0 { still + 1 } else { 0 };
    }
    assert_eq!(world.read, [0; 2]);
    for end in [CLIENT, SERVER] {
        assert_eq!(world.ends[end].unread(), 256 << 10, "the credit at first");
    }
    assert!(world.written[CLIENT] >= 256 << 10);
    world.drain();
    world.pass(Duration::from_millis(50));
    world.drain();
    world.all_arrived();
    assert!(
        !world.events[CLIENT]
            .iter()
            .any(|event| matches!(event, Event::Lost { .. }))
    );
}

#[test]
fn nothing_is_kept_beyond_the_limits() {
    // Leg 0 takes everything, and nothing is acknowledged.
    let mut world = World::new();
    while world.write(CLIENT, 65_536) > 0 {
        world.pipes.get_mut(&0).unwrap().under_way[SERVER].clear();
        world.send(0, CLIENT, usize::MAX);
    }
    assert!(
        (5 << 20) - world.written[CLIENT] < 65_536,
        "{:?}",
        world.written
    );
    // Nothing takes anything.
    let mut world = World::new();
    world.kill(0);
    assert_eq!(world.write(CLIENT, 131_072), 131_072);
    assert_eq!(world.write(CLIENT, 1), 0);
    world.heal();
    world.all_arrived();
}

#[test]
fn what_has_been_said_to_the_end_ends_with_goodbyes() {
    let mut world = World::new();
    let pipe = world.heal();
    world.write(CLIENT, 70_000);
    world.write(SERVER, 3);
    world.drain();
    world.ends[CLIENT].finish(world.now);
    world.ends[SERVER].finish(world.now);
    world.drain();
    world.pass(Duration::from_secs(1));
    for end in [CLIENT, SERVER] {
        let finished = |event: &&Event| **event == Event::Finished;
        assert_eq!(world.events[end].iter().filter(finished).count(), 1);
        assert_eq!(
            world.ends[end].poll_timeout(),
            None,
            "no timer is left behind"
        );
        assert_eq!(world.ends[end].carrying(), None);
    }
    assert_eq!(world.pipes[&pipe].ids, [None; 2], "nor a pipe");
    world.all_arrived();
}
