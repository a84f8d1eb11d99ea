//! The stream that a tunnel begins on: what never moves costs nothing.

use std::time::Instant;

use xtls_path::bytes::Bytes;
use xtls_path::{Beginning, Event, Keys, LegId, Place, Refused, Role, Wire};

fn how(place: Place) -> Beginning {
    Beginning {
        place,
        attempt: 1,
        cid: "r1".into(),
        salt: [place as u8; 32],
        relayed: false,
    }
}

#[test]
fn without_keys_no_leg_begins() {
    let now = Instant::now();
    let mut wire = Wire::new(now, Role::Client);
    assert_eq!(wire.begin(now, how(Place::First)), Err(Refused::Unbound));
    wire.bind(Keys::new(&[7; 32], b"ends", Role::Client));
    assert!(wire.begin(now, how(Place::First)).is_ok());
}

#[test]
fn what_is_written_is_sent_as_it_is_and_what_comes_is_read_as_it_is() {
    let now = Instant::now();
    let mut ends = [Role::Client, Role::Server].map(|role| Wire::new(now, role));
    for length in [1, 100, 1_023, 1_024, 16_384] {
        let bytes = Bytes::from(vec![1; length]);
        let at = bytes.as_ptr();
        ends[0].write(bytes);
        let sent = ends[0].poll_leg(now, LegId::ZERO, 65_536).unwrap();
        assert_eq!((sent.len(), sent.as_ptr()), (length, at));
        let read = ends[1].read_zero(now, sent).unwrap();
        assert_eq!((read.len(), read.as_ptr()), (length, at));
        ends[0].handle_zero_acknowledged(now, length as u64);
        assert_eq!((ends[0].unconfirmed(), ends[1].unread()), (0, 0));
    }
}

#[test]
fn small_pieces_that_wait_are_sent_together_and_in_order() {
    let now = Instant::now();
    let mut wire = Wire::new(now, Role::Client);
    let pieces = [&b"To "[..], b"be", b", ", &[b'-'; 2_000], b"or ", b"not"];
    for piece in pieces {
        wire.write(Bytes::from_static(piece));
    }
    let mut sent = Vec::new();
    let mut count = 0;
    while let Some(bytes) = wire.poll_leg(now, LegId::ZERO, 65_536) {
        sent.extend(bytes);
        count += 1;
    }
    assert_eq!((sent, count), (pieces.concat(), 3));
}

#[test]
fn what_is_read_at_once_stays_behind_what_waits() {
    let now = Instant::now();
    let mut wire = Wire::new(now, Role::Client);
    assert_eq!(wire.handle_leg(now, LegId::ZERO, b"abc"), 3);
    let mut read = wire
        .read_zero(now, Bytes::from_static(b"defg"))
        .unwrap()
        .to_vec();
    while let Some(more) = wire.read(now, 100) {
        read.extend(more);
    }
    assert_eq!(read, b"abcdefg");
    assert_eq!(wire.read_zero(now, Bytes::new()), None);
}

/// Leg 0 has carried a handshake before there was a wire. Both ends move, and what leg 0 still brings is read once.
#[test]
fn a_wire_that_begins_later_moves_as_any_other() {
    let now = Instant::now();
    let roles = [Role::Client, Role::Server];
    let carried = [300, 4_000];
    let mut ends = [0, 1].map(|end: usize| {
        let mut wire = Wire::after(now, roles[end], carried[end], carried[1 - end]);
        wire.bind(Keys::new(&[7; 32], b"ends", roles[end]));
        wire
    });
    assert_eq!(ends.each_ref().map(Wire::unconfirmed), [0; 2]);
    ends[0].write(Bytes::from_static(b"To be, "));
    let late = ends[0].poll_leg(now, LegId::ZERO, 100).unwrap();
    let places = [Place::First, Place::Second];
    let legs = [0, 1].map(|end: usize| ends[end].begin(now, how(places[end])).unwrap());
    let pass = |ends: &mut [Wire; 2]| {
        for _ in 0..4 {
            for end in [0, 1] {
                while let Some(bytes) = ends[end].poll_leg(now, legs[end], 100) {
                    ends[1 - end].handle_leg(now, legs[1 - end], &bytes);
                }
            }
        }
    };
    pass(&mut ends);
    ends[0].choose(now, legs[0]).unwrap();
    ends[0].write(Bytes::from_static(b"or not"));
    pass(&mut ends);
    assert_eq!(ends[1].read(now, 100).unwrap(), "To be, or not");
    assert_eq!(ends[1].read_zero(now, late), None, "it has come already");
    let cut = |event| matches!(event, Event::Cut { .. });
    assert!(!std::iter::from_fn(|| ends[1].poll_event()).any(cut));
}
