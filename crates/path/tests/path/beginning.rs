//! How a leg begins, and who may begin one.

use std::time::Duration;

use xtls_path::{Beginning, Event, Fault, Keys, LegEnd, LegId, Place, Refused, Role, Wire};

use crate::world::{CLIENT, SERVER, World, bound, keys};

fn how(place: Place, attempt: u64, cid: &str) -> Beginning {
    let salt = match place {
        Place::First => [1; 32],
        Place::Second => [2; 32],
    };
    Beginning {
        place,
        attempt,
        cid: cid.into(),
        salt,
        relayed: false,
    }
}

/// A wire with a leg that waits for a knock.
fn waiting(world: &World, attempt: u64, cid: &str) -> (Wire, LegId) {
    let mut wire = bound(world.now, keys(Role::Server), Role::Server);
    let leg = wire
        .begin(world.now, how(Place::Second, attempt, cid))
        .unwrap();
    (wire, leg)
}

fn of_the_client() -> (Keys, Role) {
    (keys(Role::Client), Role::Client)
}

/// What the client says first on a leg.
fn knock(
    world: &World,
    (keys, role): (Keys, Role),
    attempt: u64,
    cid: &str,
) -> (Wire, LegId, Vec<u8>) {
    let mut wire = bound(world.now, keys, role);
    let leg = wire
        .begin(world.now, how(Place::First, attempt, cid))
        .unwrap();
    let knock = wire.poll_leg(world.now, leg, 1_000).unwrap();
    assert_eq!(knock.len(), 48);
    (wire, leg, knock.to_vec())
}

#[track_caller]
fn is_refused(world: &World, wire: &mut Wire, leg: LegId, said: &[u8]) {
    wire.handle_leg(world.now, leg, said);
    assert_eq!(
        wire.poll_leg(world.now, leg, 1_000),
        None,
        "a stranger gets no byte"
    );
    let end = LegEnd::Fault(Fault::Stranger);
    assert_eq!(wire.poll_event(), Some(Event::Close { leg, end }));
    assert_eq!(wire.poll_event(), None);
    assert_eq!(wire.carrying(), Some(LegId::ZERO));
}

#[test]
fn a_stranger_gets_no_byte() {
    let world = World::new();
    let tls = [[22, 3, 1, 2, 0, 1].as_slice(), &[0; 200]].concat();
    let http = b"GET / HTTP/1.1\r\nHost: montague.example\r\nUser-Agent: curious\r\n\r\n";
    for said in [
        tls.as_slice(),
        http,
        &[5, 1, 0].repeat(20),
        &[0; 48],
        &[255; 4_000],
    ] {
        let (mut wire, leg) = waiting(&world, 1, "d1");
        is_refused(&world, &mut wire, leg, said);
    }
    let (mut wire, leg) = waiting(&world, 1, "d1");
    wire.handle_leg(world.now, leg, &[5, 1, 0]);
    assert_eq!(wire.poll_leg(world.now, leg, 1_000), None);
}

#[test]
fn a_knock_for_another_tunnel_name_or_attempt_is_a_strangers() {
    let world = World::new();
    let other_secret = Keys::new(&[8; 32], b"romeo juliet", Role::Client);
    let other_ends = Keys::new(&[7; 32], b"romeo rosaline", Role::Client);
    for (keys, attempt, cid) in [
        ((other_secret, Role::Client), 1, "d1"),
        ((other_ends, Role::Client), 1, "d1"),
        ((keys(Role::Server), Role::Server), 1, "d1"),
        (of_the_client(), 2, "d1"),
        (of_the_client(), 1, "d2"),
        (of_the_client(), 1, "d"),
    ] {
        let (_, _, said) = knock(&world, keys, attempt, cid);
        let (mut wire, leg) = waiting(&world, 1, "d1");
        is_refused(&world, &mut wire, leg, &said);
    }
}

#[test]
fn a_knock_is_answered_once_and_not_after_a_later_attempt() {
    let world = World::new();
    let (_, _, said) = knock(&world, of_the_client(), 1, "d1");
    let (mut wire, leg) = waiting(&world, 1, "d1");
    let second = wire.begin(world.now, how(Place::Second, 1, "d1")).unwrap();
    wire.handle_leg(world.now, leg, &said);
    assert_eq!(wire.poll_leg(world.now, leg, 1_000).unwrap().len(), 69);
    is_refused(&world, &mut wire, second, &said);

    let (mut wire, leg) = waiting(&world, 1, "d1");
    wire.begin(world.now, how(Place::Second, 2, "d1")).unwrap();
    is_refused(&world, &mut wire, leg, &said);
    let late = wire.begin(world.now, how(Place::Second, 1, "d2"));
    assert_eq!(late, Err(Refused::Stale));
}

#[test]
fn a_hello_with_any_byte_changed_is_a_strangers() {
    let world = World::new();
    for at in 0..69 {
        let (mut first, near, said) = knock(&world, of_the_client(), 1, "d1");
        let (mut second, far) = waiting(&world, 1, "d1");
        second.handle_leg(world.now, far, &said);
        let mut answer = second.poll_leg(world.now, far, 1_000).unwrap().to_vec();
        if at < 37 {
            first.handle_leg(world.now, near, &answer);
            let mut hello = first.poll_leg(world.now, near, 1_000).unwrap().to_vec();
            assert_eq!(hello.len(), 37);
            hello[at] ^= 0x40;
            is_refused(&world, &mut second, far, &hello);
        }
        let (mut first, near, _) = knock(&world, of_the_client(), 1, "d1");
        answer[at] ^= 1;
        is_refused(&world, &mut first, near, &answer);
    }
}

#[test]
fn a_step_that_takes_too_long_ends_the_beginning() {
    let mut world = World::new();
    let pipe = world.begin(Place::First, false);
    let ids = world.pipes[&pipe].ids;
    world.pipes.get_mut(&pipe).unwrap().silent = true;
    world.pass(Duration::from_millis(4_999));
    assert_eq!(world.end_of(CLIENT, ids[CLIENT].unwrap()), None);
    world.pass(Duration::from_millis(1));
    for end in [CLIENT, SERVER] {
        let how = Some(LegEnd::Fault(Fault::TimedOut));
        assert_eq!(world.end_of(end, ids[end].unwrap()), how);
        assert_eq!(
            world.ends[end].poll_timeout(),
            None,
            "no timer is left behind"
        );
    }
}

#[test]
fn only_the_client_chooses_and_once_an_attempt_what_stands() {
    let mut world = World::new();
    let pipe = world.begin(Place::First, false);
    let [near, far] = world.pipes[&pipe].ids.map(Option::unwrap);
    let now = world.now;
    assert_eq!(
        world.ends[CLIENT].choose(now, near),
        Err(Refused::NotStanding)
    );
    world.flow();
    assert_eq!(world.ends[SERVER].choose(now, far), Err(Refused::NotClient));
    assert_eq!(
        world.ends[CLIENT].choose(now, LegId::ZERO),
        Err(Refused::NotStanding)
    );
    assert_eq!(world.ends[CLIENT].choose(now, near), Ok(()));
    assert_eq!(
        world.ends[CLIENT].choose(now, near),
        Err(Refused::NotStanding)
    );
}

/// Everything passes byte by byte, until `most` bytes have been delivered on the leg; the client chooses as soon as it can.
fn run_to(world: &mut World, pipe: usize, most: usize) -> usize {
    let mut count = 0;
    loop {
        let before = count;
        for to in [SERVER, CLIENT] {
            while count < most {
                world.send(pipe, 1 - to, 1);
                let came = world.deliver(pipe, to, 1);
                count += came;
                world.choose(pipe);
                if came == 0 {
                    break;
                }
            }
        }
        if count == before {
            return count;
        }
    }
}

#[test]
fn killed_at_every_byte_of_its_beginning_a_leg_changes_nothing() {
    for place in [Place::First, Place::Second] {
        let mut most = 0;
        loop {
            let mut world = World::new();
            for end in [CLIENT, SERVER] {
                world.write(end, 300);
                world.send(0, end, 200);
                world.deliver(0, 1 - end, 100);
            }
            world.acknowledge(CLIENT);
            let pipe = world.begin(place, true);
            let came = run_to(&mut world, pipe, most);
            let chosen = world.ends[CLIENT].carrying() != Some(LegId::ZERO);
            world.kill(pipe);
            world.write(CLIENT, 50);
            world.write(SERVER, 50);
            if chosen {
                world.heal();
            } else {
                let lost = |event: &Event| matches!(event, Event::Lost { .. });
                assert!(
                    !world.events.iter().flatten().any(lost),
                    "{:?}",
                    world.events
                );
            }
            world.drain();
            world.all_arrived();
            assert_eq!(world.written, [350; 2]);
            if came < most {
                assert!(came > 500, "the first data are among them: {came}");
                break;
            }
            most += 1;
        }
    }
}
