//! Whoever passes a leg on can do anything with it. What breaks off loses nothing; what alters is noticed.

use std::time::Duration;

use crate::world::{CLIENT, Draw, SERVER, World};

const OFFSETS: usize = 200;
const BYTES: usize = 20_000;

/// A tunnel on a leg on which bytes are under way both ways.
fn busy(legs_before: usize) -> (World, usize) {
    let mut world = World::new();
    for _ in 0..legs_before {
        world.heal();
    }
    let pipe = world.heal();
    for end in [CLIENT, SERVER] {
        world.write(end, BYTES);
        world.send(pipe, end, usize::MAX);
    }
    (world, pipe)
}

/// Does it at 200 random offsets: whether something was altered there, and nothing else is wrong.
fn at_random_offsets(
    seed: u64,
    mut attack: impl FnMut(&mut World, usize, usize, &mut Draw),
) -> usize {
    let mut draw = Draw::new(seed);
    let mut noticed = 0;
    for _ in 0..OFFSETS {
        let (mut world, pipe) = busy(0);
        let to = draw.below(2);
        let length = world.pipes[&pipe].under_way[to].len();
        world.deliver(pipe, to, draw.below(length));
        attack(&mut world, pipe, to, &mut draw);
        world.drain();
        world.pass(Duration::from_secs(15));
        world.drain();
        if world.altered != [false; 2] || world.cut(to).is_some() {
            // TLS, or the offsets, have found it. Nothing false is delivered after that.
            noticed += 1;
            continue;
        }
        world.heal();
        world.all_arrived();
    }
    noticed
}

#[test]
fn one_that_breaks_off_loses_nothing() {
    let truncates = at_random_offsets(1, |world, pipe, to, _| {
        world.pipes.get_mut(&pipe).unwrap().under_way[to].clear();
        world.kill(pipe);
    });
    let resets = at_random_offsets(2, |world, pipe, _, _| world.kill(pipe));
    let falls_silent = at_random_offsets(3, |world, pipe, _, _| {
        world.pipes.get_mut(&pipe).unwrap().silent = true;
        world.pass(Duration::from_secs(30));
        for end in [CLIENT, SERVER] {
            assert_eq!(world.ends[end].carrying(), None, "it is dead after 10 s");
        }
    });
    let passes_one_direction = at_random_offsets(4, |world, pipe, to, _| {
        // What comes for this end is swallowed from here on.
        for _ in 0..400 {
            world.send(pipe, 1 - to, usize::MAX);
            world.pipes.get_mut(&pipe).unwrap().under_way[to].clear();
            world.send(pipe, to, usize::MAX);
            world.deliver(pipe, 1 - to, usize::MAX);
            world.read(1 - to, usize::MAX);
            world.now += Duration::from_millis(100);
            world.ends[to].handle_timeout(world.now);
            world.ends[1 - to].handle_timeout(world.now);
            world.look(to);
            world.look(1 - to);
            if world.ends[to].carrying().is_none() {
                break;
            }
        }
        assert_eq!(world.ends[to].carrying(), None);
    });
    assert_eq!(
        [truncates, resets, falls_silent, passes_one_direction],
        [0; 4]
    );
}

#[test]
fn one_that_alters_is_noticed_or_has_broken_off() {
    /// What is under way becomes something else.
    fn tamper(world: &mut World, pipe: usize, to: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let under_way = &mut world.pipes.get_mut(&pipe).unwrap().under_way[to];
        let mut bytes: Vec<u8> = under_way.drain(..).collect();
        change(&mut bytes);
        under_way.extend(bytes);
    }
    let mut noticed = Vec::new();
    noticed.push(at_random_offsets(5, |world, pipe, to, draw| {
        let count = 1 + draw.below(2_000);
        tamper(world, pipe, to, |bytes| {
            drop(bytes.drain(..count.min(bytes.len())))
        });
    }));
    noticed.push(at_random_offsets(6, |world, pipe, to, draw| {
        let count = 1 + draw.below(2_000);
        tamper(world, pipe, to, |bytes| {
            let twice = bytes[..count.min(bytes.len())].to_vec();
            bytes.splice(..0, twice);
        });
    }));
    noticed.push(at_random_offsets(7, |world, pipe, to, draw| {
        let count = 1 + draw.below(1_000);
        tamper(world, pipe, to, |bytes| {
            let count = count.min(bytes.len() / 2);
            bytes[..2 * count].rotate_left(count);
        });
    }));
    noticed.push(at_random_offsets(8, |world, pipe, to, draw| {
        let bit = 1 << draw.below(8);
        tamper(world, pipe, to, |bytes| bytes[0] ^= bit);
    }));
    noticed.push(at_random_offsets(9, |world, pipe, to, draw| {
        let what: Vec<u8> = (0..=draw.below(40)).map(|_| draw.next() as u8).collect();
        tamper(world, pipe, to, |bytes| drop(bytes.splice(..0, what)));
    }));
    // What passed there before, in the other direction, and on another leg.
    for (seed, back, legs) in [(10, false, 0), (11, true, 0), (12, false, 1)] {
        noticed.push(at_random_offsets(seed, |world, pipe, to, _| {
            let (other, elsewhere) = busy(legs);
            let from = if back { 1 - to } else { to };
            let other = &other.pipes[&elsewhere].under_way[from];
            let what: Vec<u8> = other.iter().copied().take(4_000).collect();
            tamper(world, pipe, to, |bytes| drop(bytes.splice(..0, what)));
        }));
    }
    for (attack, noticed) in noticed.iter().enumerate() {
        assert!(*noticed > OFFSETS / 4, "{attack}: {noticed}");
    }
}

#[test]
fn one_that_passes_a_byte_a_second_loses_nothing() {
    let (mut world, pipe) = busy(0);
    for _ in 0..100 {
        for end in [CLIENT, SERVER] {
            world.pipes.get_mut(&pipe).unwrap().silent = false;
            world.deliver(pipe, end, 1);
            world.pipes.get_mut(&pipe).unwrap().silent = true;
        }
        world.pass(Duration::from_secs(1));
    }
    for end in [CLIENT, SERVER] {
        assert!(
            world.ends[end].carrying().is_some(),
            "a byte is a sign of life"
        );
    }
    world.pipes.get_mut(&pipe).unwrap().silent = false;
    world.drain();
    world.all_arrived();
}

/// What goes in comes out, but for the last 904 bytes, until more goes in.
fn pass_but_the_tail(world: &mut World, pipe: usize) {
    for end in [CLIENT, SERVER] {
        let before = world.pipes[&pipe].under_way[1 - end].len();
        let came = world.send(pipe, end, usize::MAX);
        if came > 0 {
            world.deliver(pipe, 1 - end, before + came.saturating_sub(904));
            world.read(1 - end, usize::MAX);
        }
    }
}

#[test]
fn one_that_withholds_the_last_904_bytes_stalls_no_burst() {
    let mut world = World::new();
    let pipe = world.begin(xtls_path::Place::First, true);
    world.flow();
    assert!(world.choose(pipe));
    world.drain();
    for burst in (1..20_000)
        .step_by(487)
        .chain([903, 904, 905, 4_096, 5_000, 20_000])
    {
        let start = world.now;
        // A request, and an answer of the same length.
        for end in [CLIENT, SERVER] {
            world.write(end, burst);
            while world.read[1 - end] < world.written[end] {
                pass_but_the_tail(&mut world, pipe);
                let due = world
                    .ends
                    .iter()
                    .filter_map(xtls_path::Wire::poll_timeout)
                    .min();
                world.now = world.now.max(due.unwrap());
                for end in [CLIENT, SERVER] {
                    world.ends[end].handle_timeout(world.now);
                    world.look(end);
                }
                assert!(
                    world.now - start <= Duration::from_millis(80),
                    "a burst of {burst} bytes stalls"
                );
            }
        }
    }
    world.drain();
    world.all_arrived();
}
