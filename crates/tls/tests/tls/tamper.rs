//! Somebody in between changes one bit, anywhere: nobody accepts it, nobody panics.

use xtls_tls::{Config, Role, TlsError, default_provider, seeded};

use super::support::{
    ALICE, BOB, End as _, Ours, config_with, expect, exported, ours, records, settle,
};

/// Two ends whose every byte follows from `seed`.
fn seeded_pair(seed: u8) -> (Ours, Ours) {
    let make = |jid, key, salt| -> Config {
        config_with(
            jid,
            key,
            seeded::provider(&default_provider(), [seed ^ salt; 32]),
        )
    };
    let alice = ours(Role::Client, &make(ALICE, 1, 0x00), expect(ALICE, BOB));
    let bob = ours(Role::Server, &make(BOB, 2, 0x80), expect(BOB, ALICE));
    (alice, bob)
}

/// The three flights of a handshake, some data each way and both ends, as they appear on the wire.
fn recorded(seed: u8) -> Vec<Vec<u8>> {
    let (mut alice, mut bob) = seeded_pair(seed);
    let mut flights = Vec::new();
    let mut carry = |from: &mut Ours, to: &mut Ours| {
        flights.push(from.take());
        to.feed(flights.last().unwrap());
    };
    carry(&mut alice, &mut bob);
    carry(&mut bob, &mut alice);
    carry(&mut alice, &mut bob);
    alice.tls.write(b"question").unwrap();
    alice.tls.close();
    carry(&mut alice, &mut bob);
    bob.tls.write(b"answer").unwrap();
    bob.tls.close();
    carry(&mut bob, &mut alice);
    assert!(alice.tls.peer_closed() && bob.tls.peer_closed());
    flights
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    assert_eq!(recorded(7), recorded(7));
    for (one, other) in recorded(7).iter().zip(recorded(8)) {
        assert_ne!(one, &other);
    }
}

/// Offsets that TLS 1.3 does not protect: type and version in the header of a protected record (the additional data is
/// made of constants, RFC 8446 §5.2), the version of any record (§5.1), and the compatibility record that is ignored (§5).
fn unprotected(wire: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some([kind, _, _, high, low]) = wire.get(at..at + 5) {
        if *kind == 23 {
            found.push(at);
        }
        found.extend([at + 1, at + 2]);
        at += 5 + usize::from(u16::from_be_bytes([*high, *low]));
    }
    found
}

/// Runs a handshake in which one bit of one flight is flipped. The ends after all bytes were exchanged.
fn flipped(flight: usize, at: usize, bit: u8) -> (Ours, Ours) {
    let (mut alice, mut bob) = seeded_pair(7);
    for turn in 0..3 {
        let (from, to) = if turn % 2 == 0 {
            (&mut alice, &mut bob)
        } else {
            (&mut bob, &mut alice)
        };
        let mut wire = from.take();
        if turn == flight {
            wire[at] ^= 1 << bit;
        }
        to.feed(&wire);
    }
    settle(&mut alice, &mut bob);
    (alice, bob)
}

#[test]
fn one_bit_in_every_byte_of_every_flight() {
    let flights = recorded(7);
    for (flight, wire) in flights.iter().take(3).enumerate() {
        let free = unprotected(wire);
        for at in 0..wire.len() {
            for bit in [at % 8, (at + 3) % 8] {
                let (alice, bob) = flipped(flight, at, u8::try_from(bit).unwrap());
                if alice.tls.is_handshaking()
                    || bob.tls.is_handshaking()
                    || bob.tls.failure().is_some()
                {
                    continue;
                }
                assert!(
                    free.contains(&at),
                    "flight {flight}, byte {at}, bit {bit} was not noticed"
                );
                assert_eq!(exported(&alice), exported(&bob));
                let (mut alice, mut bob) = (alice, bob);
                alice.tls.write(b"question").unwrap();
                bob.tls.write(b"answer").unwrap();
                settle(&mut alice, &mut bob);
                assert_eq!((alice.tls.failure(), bob.tls.failure()), (None, None));
                assert_eq!(
                    (&alice.plain[..], &bob.plain[..]),
                    (&b"answer"[..], &b"question"[..])
                );
            }
        }
    }
}

/// Both ends, with so many flights of an honest handshake carried.
fn after(flights: usize) -> (Ours, Ours) {
    let (mut alice, mut bob) = seeded_pair(7);
    for turn in 0..flights {
        if turn & 1 == 0 {
            bob.feed(&alice.take());
        } else {
            alice.feed(&bob.take());
        }
    }
    (alice, bob)
}

/// Whoever receives that flight, with all before it carried.
fn receiver(flight: usize) -> Ours {
    let (alice, bob) = after(flight);
    if flight & 1 == 0 { bob } else { alice }
}

/// Whoever notices says so: no failure of our own leaves the other end waiting for more.
#[test]
fn every_fault_that_is_noticed_is_told() {
    let flights = recorded(7);
    for (flight, wire) in flights.iter().take(3).enumerate() {
        for at in 0..wire.len() {
            let mut end = receiver(flight);
            end.take();
            let mut wire = wire.clone();
            wire[at] ^= 0x10;
            end.feed(&wire);
            if let Some(why) = end.tls.failure().cloned() {
                let words = end.take();
                let told = matches!(records(&words).last(), Some((0x15 | 0x17, _)));
                let heard = matches!(why, TlsError::Alert(_));
                assert!(
                    told || heard,
                    "flight {flight}, byte {at}: {why:?} without a word"
                );
            }
        }
    }
}

/// The wire ends after every byte of every flight: never a success of the end that was cut off, and never a hang.
#[test]
fn a_cut_at_every_byte_of_every_flight() {
    let flights = recorded(7);
    for (flight, wire) in flights.iter().take(3).enumerate() {
        for cut in 0..wire.len() {
            let mut end = receiver(flight);
            end.feed(&wire[..cut]);
            assert_eq!((end.tls.failure(), end.tls.peer()), (None, None));
            end.tls.handle_wire_end();
            assert_eq!(
                end.tls.failure(),
                Some(&TlsError::Truncated),
                "flight {flight}, {cut} bytes"
            );
            assert!(end.tls.is_handshaking() && end.tls.peer().is_none());
            assert_eq!(end.plain.len(), 0);
        }
        let mut end = receiver(flight);
        end.feed(wire);
        assert_eq!(end.tls.failure(), None);
    }
}

#[test]
fn one_bit_in_every_byte_of_the_data() {
    let flights = recorded(7);
    let wire = &flights[3];
    let free = unprotected(wire);
    for at in 0..wire.len() {
        let (mut alice, mut bob) = seeded_pair(7);
        settle(&mut alice, &mut bob);
        let mut changed = wire.clone();
        changed[at] ^= 1 << (at % 8);
        bob.feed(&changed);
        bob.tls.handle_wire_end();
        assert!(
            b"question".starts_with(&bob.plain),
            "byte {at}: {:?}",
            bob.plain
        );
        if bob.tls.failure().is_none() {
            assert!(free.contains(&at), "byte {at} was not noticed");
            assert_eq!(&bob.plain[..], b"question");
        }
    }
}

#[test]
fn records_repeated_left_out_or_exchanged_are_noticed() {
    for order in [&[0, 0][..], &[1], &[1, 0], &[0, 1, 0], &[0, 1, 1]] {
        let (mut alice, mut bob) = seeded_pair(7);
        settle(&mut alice, &mut bob);
        let records = [b"one", b"two"].map(|data| {
            alice.tls.write(data).unwrap();
            alice.take()
        });
        for at in order {
            bob.feed(&records[*at]);
        }
        assert_eq!(bob.tls.failure(), Some(&TlsError::Corrupt), "{order:?}");
        assert!(b"onetwo".starts_with(&bob.plain));
    }
}

/// A flight of another handshake with the same keys.
#[test]
fn a_replayed_flight_is_noticed() {
    let old = recorded(9);
    let (mut alice, mut bob) = seeded_pair(7);
    bob.feed(&alice.take());
    bob.take();
    alice.feed(&old[1]);
    assert!(alice.tls.failure().is_some());
    bob.feed(&old[2]);
    assert!(bob.tls.failure().is_some());
    assert!(alice.tls.is_handshaking() && bob.tls.is_handshaking());
}
