//! The beginning of a leg between two whole routers: where it breaks, what the old one still brings, and who else knocks.

use std::num::NonZeroU16;

use xtls_path::{KNOCK, Kind as Path, LegId};
use xtls_stanza::path::Takes;
use xtls_stanza::s5b::Host;

use super::moving::{a_second_old, carry, close, paths, pattern, told, world};
use super::*;
use crate::router::{PathConfig, PathEvent};

/// What the first says, what the second answers, and what the first says to that, up to its choice.
const SALT_AND_MAC: usize = 48;
const SALT_AND_HELLO: usize = 69;

/// Two ends with a tunnel, and connections to a relay on which nothing has come yet.
fn becalmed() -> (World, [TunnelId; 2]) {
    let mut world = world([Takes::Proxy; 2]);
    world.sea.becalmed = true;
    let ids = world.establish(A);
    world.wait(Duration::from_millis(300));
    assert_eq!(world.sea.connections(), 1);
    (world, ids)
}

fn write(world: &mut World, end: usize, ids: [TunnelId; 2], bytes: &[u8]) {
    let taken = world.tunnel(end, ids[end]).write(bytes).unwrap();
    assert_eq!(taken, bytes.len());
}

fn read(world: &mut World, end: usize, ids: [TunnelId; 2]) -> Vec<u8> {
    let mut got = Vec::new();
    while let Some(bytes) = world.tunnel(end, ids[end]).read(100_000) {
        got.extend_from_slice(&bytes);
    }
    got
}

/// Chunks that are under way are held back.
fn hold(world: &mut World) -> [VecDeque<Envelope>; 2] {
    [A, B].map(|end| {
        world.flush(end);
        let all = std::mem::take(&mut world.ends[end].wire).into_iter();
        let is_data = |one: &Envelope| matches!(one.content, Content::Set(Payload::Data(_)));
        let (data, rest) = all.partition(is_data);
        world.ends[end].wire = rest;
        data
    })
}

/// Everything passes byte by byte, until so many have come on connections.
fn run_to(world: &mut World, most: usize) -> usize {
    let mut count = 0;
    let mut still = false;
    loop {
        let mut moved = false;
        world.settle();
        for socket in world.sockets() {
            while count < most && world.pass(socket, 1) {
                (count, moved) = (count + 1, true);
            }
        }
        if count == most || (still && !moved) {
            return count;
        }
        // The one that chooses waits for better ones.
        still = !moved;
        if still {
            world.wait(Duration::from_millis(600));
        }
    }
}

#[test]
fn killed_at_every_byte_of_its_beginning_a_leg_changes_nothing() {
    let bytes = pattern(60);
    for most in 0.. {
        let (mut world, ids) = becalmed();
        for end in [A, B] {
            write(&mut world, end, ids, &bytes[..40]);
        }
        // The old leg is slow: what it has is told to the new one as well.
        let mut held = hold(&mut world);
        let came = run_to(&mut world, most);
        // The opener is the one that chooses.
        let moving = world.router(A).tunnels.moving_mut(ids[A]).unwrap();
        let chosen = moving.route().wire().carrying() != Some(LegId::ZERO);
        world.storm();
        world.sea.becalmed = false;
        release(&mut world, &mut held, usize::MAX);
        for end in [A, B] {
            write(&mut world, end, ids, &bytes[40..]);
        }
        world.wait(Duration::from_secs(20));
        for end in [A, B] {
            assert_eq!(read(&mut world, end, ids), bytes, "{end} after {came}");
            let told = told(&world, end, ids[end]);
            let lost = told.contains(&PathEvent::Lost);
            assert!(chosen || !lost, "{end} after {came}: {told:?}");
        }
        close(&mut world, ids);
        if came < most {
            assert!(came > 300, "the first data are among them: {came}");
            return;
        }
    }
}

/// What both say on the old leg while the new one begins. It is held back.
fn held(world: &mut World, ids: [TunnelId; 2]) -> [VecDeque<Envelope>; 2] {
    for piece in pattern(5_000).chunks(500) {
        for end in [A, B] {
            write(world, end, ids, piece);
            world.flush(end);
        }
    }
    let held = hold(world);
    assert!(held.iter().all(|held| held.len() > 3), "{held:?}");
    held
}

/// So many of what was held back come now.
fn release(world: &mut World, held: &mut [VecDeque<Envelope>; 2], count: usize) {
    for end in [A, B] {
        let count = count.min(held[end].len());
        let late: Vec<_> = held[end].drain(..count).collect();
        world.ends[end].wire.extend(late);
    }
    world.settle();
}

#[test]
fn a_leg_that_outran_the_old_one() {
    for late in [0, 1, 3, usize::MAX] {
        let (mut world, ids) = becalmed();
        let mut held = held(&mut world, ids);
        world.sea.becalmed = false;
        world.wait(Duration::from_secs(1));
        for end in [A, B] {
            let moved = told(&world, end, ids[end]);
            assert_eq!(moved, [PathEvent::Moved(Path::Relay)], "{late}");
        }
        release(&mut world, &mut held, late);
        for end in [A, B] {
            assert_eq!(read(&mut world, end, ids), pattern(5_000), "{late}");
        }
        release(&mut world, &mut held, usize::MAX);
        carry(&mut world, A, ids, &pattern(30_000));
        carry(&mut world, B, ids, &pattern(30_000));
        close(&mut world, ids);
    }
}

#[test]
fn a_leg_that_was_overtaken_by_the_old_one() {
    for early in [1, 3, usize::MAX] {
        let (mut world, ids) = becalmed();
        let mut held = held(&mut world, ids);
        let all: usize = pattern(5_000).len();
        // The second has said where it stands, and all but the last byte of that has come.
        let most = SALT_AND_MAC + SALT_AND_HELLO - 1;
        assert_eq!(run_to(&mut world, most), most);
        release(&mut world, &mut held, early);
        let read_before = [A, B].map(|end| read(&mut world, end, ids));
        world.settle();
        let before = world.sea.came;
        world.sea.becalmed = false;
        world.wait(Duration::from_secs(1));
        for end in [A, B] {
            let early = read_before[end].len();
            let mut got = read_before[end].clone();
            got.extend(read(&mut world, end, ids));
            assert_eq!(got, pattern(5_000));
            let on_leg = world.sea.came[end] - before[end];
            // Ten records, their frames, and the frames of the beginning.
            assert!(
                on_leg < all - early + 1_000,
                "what the old one brought is not sent again: {on_leg} after {early}"
            );
        }
        release(&mut world, &mut held, usize::MAX);
        carry(&mut world, A, ids, &pattern(30_000));
        close(&mut world, ids);
    }
}

#[test]
fn two_slow_readers_do_not_block_each_other() {
    let (mut world, ids) = a_second_old([Takes::Proxy; 2]);
    let bytes = pattern(8 << 20);
    let mut written = [0; 2];
    let mut still = 0;
    while still < 3 {
        let before = written;
        for end in [A, B] {
            let rest = &bytes[written[end]..];
            written[end] += world.tunnel(end, ids[end]).write(rest).unwrap_or_default();
        }
        world.wait(Duration::from_secs(20));
        still = if written == before { still + 1 } else { 0 };
    }
    assert!(
        written.iter().all(|written| *written >= 256 << 10),
        "{written:?}"
    );
    let mut got = [Vec::new(), Vec::new()];
    for _ in 0..1_000 {
        for end in [A, B] {
            got[end].extend(read(&mut world, end, ids));
        }
        world.settle();
    }
    for end in [A, B] {
        assert!(got[end] == bytes[..written[1 - end]], "{}", got[end].len());
        let moved = told(&world, end, ids[end]);
        assert_eq!(moved, [PathEvent::Moved(Path::Relay)]);
    }
    close(&mut world, ids);
}

#[test]
fn a_probe_of_our_port_gets_nothing() {
    let there = (
        Host::new("192.0.2.7").unwrap(),
        NonZeroU16::new(7_000).unwrap(),
    );
    let listening =
        paths(B, Takes::Direct).paths(PathConfig::new(Takes::Direct).advertise([there]));
    let mut world = World::with(paths(A, Takes::Direct), listening);
    world.sea.ports[B] = Some(7_000);
    world.sea.becalmed = true;
    world.establish(A);
    world.wait(Duration::from_millis(300));
    let now = world.now;
    let [(A, socket)] = world.sockets()[..] else {
        panic!("{:?}", world.sockets())
    };
    let right = world.router(A).poll_socket(now, socket, KNOCK).unwrap();
    let right: [u8; KNOCK] = right[..].try_into().unwrap();
    let mut probes = vec![[0; KNOCK], [0xFF; KNOCK]];
    let openings: [&[u8]; 3] = [
        &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3],
        &[5, 1, 0],
        b"GET / HTTP/1.1\r\nHost: capulet.example\r\n\r\n",
    ];
    for opening in openings {
        let mut probe = [7; KNOCK];
        probe[..opening.len()].copy_from_slice(opening);
        probes.push(probe);
    }
    for at in 0..KNOCK {
        let mut changed = right;
        changed[at] ^= 1;
        probes.push(changed);
    }
    for probe in probes {
        assert_eq!(world.router(B).knock(now, &probe), None, "{probe:?}");
        assert_eq!(world.router(B).poll_ready_socket(), None);
    }
    let known = world.router(B).knock(now, &right).unwrap();
    assert!(world.router(B).poll_socket(now, known, 1_000).is_some());
    assert_eq!(
        world.router(B).knock(now, &right),
        None,
        "a right one, twice"
    );
}
