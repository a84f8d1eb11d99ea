//! Handshakes that succeed, under any cutting of the wire.

use proptest::{collection, prelude::*};
use xtls_tls::{Role, Standing, WriteError, trust};

use super::support::{
    ALICE, ALPN, BOB, End as _, config, connected, expect, exported, identity, ours, pair, records,
    settle_cut,
};

#[test]
fn both_ends_know_each_other_and_share_a_secret() {
    let (alice, bob) = connected();
    for (end, jid, seed) in [(&alice, BOB, 2), (&bob, ALICE, 1)] {
        let peer = end.tls.peer().unwrap();
        assert_eq!(peer.fingerprint, identity(jid, seed).fingerprint());
        assert_eq!(peer.spki, identity(jid, seed).spki());
        assert_eq!(peer.san.as_deref(), Some(jid));
        assert_eq!(peer.standing, Standing::New);
        assert_eq!(end.tls.alpn(), Some(ALPN));
    }
    assert_eq!(exported(&alice), exported(&bob));
    let mut other = [0; 32];
    alice
        .tls
        .export("EXPERIMENTAL-xtls-test", b"other", &mut other)
        .unwrap();
    assert_ne!(other, exported(&alice));
    assert!(
        alice
            .tls
            .export("EXPERIMENTAL-xtls-test", b"", &mut [])
            .is_err()
    );
}

#[test]
fn pinned_peers_are_told_by_their_level() {
    let mut store = trust::Store::new();
    let level = trust::Level::Verified(trust::Method::Words);
    store
        .pin(BOB, identity(BOB, 2).fingerprint(), level, 0)
        .unwrap();
    let expect_bob = {
        let mut expect = expect(ALICE, BOB);
        expect.trust = store.into();
        expect.policy = trust::Policy::Pinned;
        expect
    };
    let mut alice = ours(Role::Client, &config(ALICE, 1), expect_bob);
    let mut bob = ours(Role::Server, &config(BOB, 2), expect(BOB, ALICE));
    settle_cut(&mut alice, &mut bob, usize::MAX);
    assert_eq!(alice.tls.peer().unwrap().standing, Standing::Pinned(level));
    assert_eq!(bob.tls.peer().unwrap().standing, Standing::New);
}

#[test]
fn one_byte_at_a_time() {
    let (mut alice, mut bob) = pair();
    settle_cut(&mut alice, &mut bob, 1);
    assert_eq!((alice.tls.failure(), bob.tls.failure()), (None, None));
    assert_eq!(exported(&alice), exported(&bob));
    alice.tls.write(b"to bob").unwrap();
    bob.tls.write(b"to alice").unwrap();
    settle_cut(&mut alice, &mut bob, 1);
    assert_eq!(
        (&alice.plain[..], &bob.plain[..]),
        (&b"to alice"[..], &b"to bob"[..])
    );
}

/// The certificate and the signature come long before the end of a flight; the peer is known only at its last byte.
#[test]
fn the_peer_is_unknown_until_the_last_byte_of_its_flight() {
    let (mut alice, mut bob) = pair();
    bob.feed(&alice.take());
    for (wire, end) in [(bob.take(), 0), (Vec::new(), 1)] {
        let (end, wire) = if end == 0 {
            (&mut alice, wire)
        } else {
            (&mut bob, alice.take())
        };
        let (last, before) = wire.split_last().unwrap();
        for byte in before {
            end.feed(&[*byte]);
            assert!(end.tls.is_handshaking());
            assert_eq!(end.tls.peer(), None);
            assert_eq!(end.tls.alpn(), None);
            assert_eq!(end.tls.is_post_quantum(), None);
            assert!(
                end.tls
                    .export("EXPERIMENTAL-xtls-test", b"", &mut [0; 32])
                    .is_err()
            );
            assert_eq!(end.tls.write(b"too early"), Err(WriteError::Handshaking));
        }
        end.feed(&[*last]);
        assert!(!end.tls.is_handshaking());
        assert!(end.tls.peer().is_some());
        assert_eq!(end.tls.failure(), None);
    }
}

#[test]
fn the_clients_last_flight_and_first_data_share_a_poll() {
    let (mut alice, mut bob) = pair();
    bob.feed(&alice.take());
    alice.feed(&bob.take());
    assert!(!alice.tls.is_handshaking());
    alice.tls.write(b"first").unwrap();
    bob.feed(&alice.tls.poll_wire(4096).unwrap());
    assert_eq!(alice.tls.wire_pending(), 0);
    assert_eq!(&bob.plain[..], b"first");
}

#[test]
fn every_flight_fits_one_chunk_of_4096_bytes() {
    let (mut alice, mut bob) = pair();
    for _ in 0..3 {
        assert!(alice.tls.wire_pending() <= 4096 && bob.tls.wire_pending() <= 4096);
        let (to_bob, to_alice) = (alice.take(), bob.take());
        bob.feed(&to_bob);
        alice.feed(&to_alice);
    }
    assert!(!bob.tls.is_handshaking());
}

#[test]
fn polling_in_small_pieces_gives_the_same_bytes() {
    let (mut alice, mut bob) = connected();
    alice.tls.write(&[7; 10_000]).unwrap();
    assert_eq!(alice.tls.poll_wire(0), None);
    let pending = alice.tls.wire_pending();
    let mut sum = 0;
    while let Some(piece) = alice.tls.poll_wire(999) {
        assert!(piece.len() <= 999);
        sum += piece.len();
        bob.feed(&piece);
    }
    assert_eq!(sum, pending);
    assert_eq!(bob.plain, [7; 10_000][..]);
}

#[test]
fn small_records_cut_the_handshake_too() {
    let mut alice = ours(
        Role::Client,
        &config(ALICE, 1).max_record(xtls_tls::MIN_RECORD),
        expect(ALICE, BOB),
    );
    let mut bob = ours(
        Role::Server,
        &config(BOB, 2).max_record(100),
        expect(BOB, ALICE),
    );
    let hello = alice.take();
    assert!(
        records(&hello)
            .iter()
            .all(|(_, len)| *len <= xtls_tls::MIN_RECORD)
    );
    bob.feed(&hello);
    let flight = bob.take();
    assert!(records(&flight).iter().all(|(_, len)| *len <= 100 + 17));
    alice.feed(&flight);
    settle_cut(&mut alice, &mut bob, usize::MAX);
    assert_eq!(exported(&alice), exported(&bob));
}

#[cfg(feature = "aws-lc-rs")]
#[test]
fn the_key_exchange_is_post_quantum_when_both_can() {
    let (alice, bob) = connected();
    assert_eq!(
        (alice.tls.is_post_quantum(), bob.tls.is_post_quantum()),
        (Some(true), Some(true))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The law of this crate: what is written comes out, whatever the pieces.
    #[test]
    fn any_cutting_gives_the_same(
        cuts in collection::vec(1_usize..2000, 1..20),
        writes in collection::vec((any::<bool>(), 0_usize..40_000), 0..8),
    ) {
        let (mut alice, mut bob) = pair();
        let mut cuts = cuts.iter().copied().cycle();
        for _ in 0..3 {
            settle_cut(&mut alice, &mut bob, cuts.next().unwrap());
        }
        prop_assert!(!alice.tls.is_handshaking() && !bob.tls.is_handshaking());
        let (mut sent_alice, mut sent_bob) = (Vec::new(), Vec::new());
        for (index, (from_alice, len)) in (0_u8..).zip(writes) {
            let data: Vec<u8> = (0..=255).cycle().skip(usize::from(index)).take(len).collect();
            let (end, sent) = if from_alice { (&mut alice, &mut sent_alice) } else { (&mut bob, &mut sent_bob) };
            end.tls.write(&data).unwrap();
            sent.extend(data);
            settle_cut(&mut alice, &mut bob, cuts.next().unwrap());
        }
        prop_assert_eq!(&bob.plain[..], &sent_alice);
        prop_assert_eq!(&alice.plain[..], &sent_bob);
        prop_assert_eq!((alice.tls.failure(), bob.tls.failure()), (None, None));
    }
}
