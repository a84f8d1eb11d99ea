//! The end: each direction by itself, and a cut told apart from a close.

use xtls_tls::{Alert, Role, TlsError, WriteError};

use super::{
    certificate::Says,
    forge::Forger,
    raw::Script,
    support::{ALICE, BOB, End as _, Ours, config, connected, expect, ours, pair, settle},
};

fn forged(role: Role) -> (Ours, Forger) {
    let other = if role == Role::Client {
        Role::Server
    } else {
        Role::Client
    };
    let mut raw = Script::quiet(Says::jid(ALICE), 1).start(other);
    let mut bob = ours(role, &config(BOB, 2), expect(BOB, ALICE));
    settle(&mut raw, &mut bob);
    (bob, Forger::new(raw))
}

#[test]
fn each_direction_ends_by_itself() {
    for swapped in [false, true] {
        let (alice, bob) = connected();
        let (mut one, mut other) = if swapped { (bob, alice) } else { (alice, bob) };
        one.tls.write(b"last").unwrap();
        one.tls.close();
        assert_eq!(one.tls.write(b"more"), Err(WriteError::Closed));
        settle(&mut one, &mut other);
        assert_eq!(&other.plain[..], b"last");
        assert!(other.tls.peer_closed() && !other.tls.is_closed());
        assert!(one.tls.is_closed() && !one.tls.peer_closed());

        other.tls.write(&[6; 50_000]).unwrap();
        settle(&mut one, &mut other);
        assert_eq!(one.plain, [6; 50_000][..]);
        other.tls.close();
        settle(&mut one, &mut other);
        assert!(one.tls.peer_closed());
        for end in [&mut one, &mut other] {
            end.tls.handle_wire_end();
            assert_eq!(end.tls.failure(), None);
        }
    }
}

#[test]
fn both_may_close_at_once() {
    let (mut alice, mut bob) = connected();
    alice.tls.close();
    bob.tls.close();
    settle(&mut alice, &mut bob);
    assert!(alice.tls.peer_closed() && bob.tls.peer_closed());
    assert_eq!((alice.tls.failure(), bob.tls.failure()), (None, None));
}

#[test]
fn closing_twice_says_it_once() {
    let (mut alice, _bob) = connected();
    alice.tls.close();
    let pending = alice.tls.wire_pending();
    assert!(pending > 0);
    alice.tls.close();
    assert_eq!(alice.tls.wire_pending(), pending);
}

/// Data, then `close_notify`, cut at every byte: clean only with the last byte, and what was delivered is a beginning.
#[test]
fn a_cut_at_every_byte_of_the_end_is_told_from_a_close() {
    for role in [Role::Client, Role::Server] {
        let (_, mut peer) = forged(role);
        let len = [peer.data(b"one"), peer.data(b"two"), peer.alert(1, 0)]
            .concat()
            .len();
        for cut in 0..=len {
            let (mut bob, mut peer) = forged(role);
            let wire = [peer.data(b"one"), peer.data(b"two"), peer.alert(1, 0)].concat();
            bob.feed(&wire[..cut]);
            assert!(b"onetwo".starts_with(&bob.plain));
            bob.tls.handle_wire_end();
            let (clean, whole) = (bob.tls.failure().is_none(), cut == len);
            assert_eq!(
                (clean, bob.tls.peer_closed()),
                (whole, whole),
                "cut at {cut}"
            );
            if !whole {
                assert_eq!(bob.tls.failure(), Some(&TlsError::Truncated));
            }
        }
    }
}

/// The wire in two calls, cut at every byte: the same as in one.
#[test]
fn a_close_is_heard_whatever_the_cutting() {
    for role in [Role::Client, Role::Server] {
        let (_, mut peer) = forged(role);
        let len = [peer.data(b"data"), peer.alert(1, 0)].concat().len();
        for cut in 0..=len {
            let (mut bob, mut peer) = forged(role);
            let wire = [peer.data(b"data"), peer.alert(1, 0), peer.data(b"late")].concat();
            let (first, second) = wire.split_at(cut);
            bob.feed(first);
            bob.feed(second);
            assert_eq!(&bob.plain[..], b"data");
            assert!(bob.tls.peer_closed());
            assert_eq!(bob.tls.failure(), None);
        }
    }
}

#[test]
fn whatever_follows_the_peers_close_is_dropped() {
    let (mut bob, mut peer) = forged(Role::Server);
    bob.feed(&peer.alert(1, 0));
    bob.feed(&peer.data(b"late"));
    bob.feed(&[0xff; 100_000]);
    assert_eq!(bob.plain.len(), 0);
    assert_eq!(bob.tls.failure(), None);
    bob.tls.write(b"our direction goes on").unwrap();
    assert!(bob.tls.wire_pending() > 0);
}

#[test]
fn a_cut_anywhere_in_the_handshake_is_truncation() {
    let (mut alice, mut bob) = pair();
    let hello = alice.take();
    bob.feed(&hello);
    let flight = bob.take();
    for cut in 0..hello.len() {
        let mut bob = ours(Role::Server, &config(BOB, 2), expect(BOB, ALICE));
        bob.feed(&hello[..cut]);
        bob.tls.handle_wire_end();
        assert_eq!(bob.tls.failure(), Some(&TlsError::Truncated));
    }
    let mut fed = 0;
    for cut in 0..flight.len() {
        alice.feed(&flight[fed..cut]);
        fed = cut;
        assert!(alice.tls.is_handshaking());
        assert_eq!(alice.tls.failure(), None);
    }
    alice.tls.handle_wire_end();
    assert_eq!(alice.tls.failure(), Some(&TlsError::Truncated));
}

#[test]
fn closing_in_the_handshake_gives_it_up_and_is_told() {
    let given_up = |end: &mut Ours| {
        end.tls.close();
        assert_eq!(end.tls.failure(), Some(&TlsError::Cancelled));
        assert_eq!(end.tls.write(b"x"), Err(WriteError::Failed));
        assert!(end.tls.is_handshaking());
    };
    let told = |end: &Ours| {
        assert_eq!(
            end.tls.failure(),
            Some(&TlsError::Alert(Alert::USER_CANCELED))
        );
        assert!(!end.tls.peer_closed() && end.tls.is_handshaking());
    };
    // The client, with its hello unsent, sent, and answered.
    for steps in 0..3 {
        let (mut alice, mut bob) = pair();
        if steps > 0 {
            bob.feed(&alice.take());
        }
        if steps > 1 {
            let flight = bob.take();
            alice.feed(&flight[..flight.len() - 1]);
        }
        given_up(&mut alice);
        settle(&mut alice, &mut bob);
        told(&bob);
    }
    // The server, before it heard of the client.
    let (mut alice, mut bob) = pair();
    given_up(&mut bob);
    alice.feed(&bob.take());
    told(&alice);
}

/// The server cannot take its flight back: the client finishes, and finds the connection closed without a word.
#[test]
fn a_server_that_gives_up_after_its_flight_has_closed() {
    let (mut alice, mut bob) = pair();
    bob.feed(&alice.take());
    bob.tls.close();
    assert_eq!(bob.tls.failure(), Some(&TlsError::Cancelled));
    settle(&mut alice, &mut bob);
    assert_eq!(alice.tls.failure(), None);
    assert!(alice.tls.peer_closed());
    assert_eq!((alice.plain.len(), bob.plain.len()), (0, 0));
    assert!(bob.tls.is_handshaking());
}

/// rustls asserts in debug builds that nothing is said after our `close_notify`. A peer that then sends garbage must not
/// bring the program down.
#[test]
fn garbage_after_our_close_is_a_failure_and_no_panic() {
    for role in [Role::Client, Role::Server] {
        let (mut bob, mut peer) = forged(role);
        bob.tls.close();
        let mut record = peer.data(b"x");
        *record.last_mut().unwrap() ^= 1;
        bob.feed(&[peer.data(b"lost"), record].concat());
        assert!(bob.tls.failure().is_some());
        assert!(!bob.tls.peer_closed());
        assert_eq!(bob.plain.len(), 0);

        let (mut bob, mut peer) = forged(role);
        bob.tls.close();
        bob.feed(&[peer.data(b"kept"), vec![0xff; 300]].concat());
        assert!(bob.tls.failure().is_some());
        assert_eq!(&bob.plain[..], b"kept");
    }
}

#[test]
fn a_failed_connection_takes_nothing_and_gives_its_last_words_once() {
    let (mut bob, mut peer) = forged(Role::Server);
    bob.tls.write(b"before").unwrap();
    let mut record = peer.data(b"x");
    *record.last_mut().unwrap() ^= 1;
    bob.feed(&record);
    assert_eq!(bob.tls.failure(), Some(&TlsError::Corrupt));
    assert_eq!(
        super::support::records(&bob.take()),
        [(23, 6 + 17), (23, 2 + 17)],
        "the data, then the alert"
    );
    bob.feed(&peer.data(b"more"));
    bob.tls.close();
    bob.tls.refresh_keys();
    assert_eq!(bob.tls.write(b"x"), Err(WriteError::Failed));
    assert_eq!((bob.tls.poll_wire(100), bob.plain.len()), (None, 0));
    assert!(bob.tls.peer().is_some(), "the peer did prove itself");
    assert!(
        bob.tls
            .export("EXPERIMENTAL-xtls-test", b"", &mut [0; 32])
            .is_err()
    );
}

#[test]
fn a_peer_that_is_turned_away_is_told_behind_all_that_was_said() {
    for swapped in [false, true] {
        for length in [0, 3, 50_000] {
            let (alice, bob) = connected();
            let (mut one, mut other) = if swapped { (bob, alice) } else { (alice, bob) };
            one.tls.write(&vec![7; length]).unwrap();
            one.tls.reject();
            assert_eq!(one.tls.failure(), Some(&TlsError::Rejected));
            assert_eq!(one.tls.write(b"more"), Err(WriteError::Failed));
            let mut out = [0; 32];
            assert!(one.tls.export("label", b"", &mut out).is_err());
            // Once, whatever is called.
            one.tls.reject();
            one.tls.close();
            for byte in one.take() {
                other.feed(&[byte]);
            }
            assert_eq!(other.plain, vec![7; length][..]);
            let denied = TlsError::Alert(Alert::ACCESS_DENIED);
            assert_eq!(other.tls.failure(), Some(&denied));
            assert!(Alert::ACCESS_DENIED.refuses_us() && !other.tls.peer_closed());
            // What it still says is dropped.
            other.tls.close();
            one.feed(&other.take());
            assert_eq!(one.tls.failure(), Some(&TlsError::Rejected));
            assert!(one.plain.is_empty() && one.take().is_empty());
        }
    }
}

/// The client judges the server before the server has heard the end of the handshake.
#[test]
fn a_client_that_turns_the_server_away_at_once_finishes_first() {
    let (mut alice, mut bob) = pair();
    bob.feed(&alice.take());
    alice.feed(&bob.take());
    assert!(!alice.tls.is_handshaking());
    alice.tls.reject();
    bob.feed(&alice.take());
    assert!(!bob.tls.is_handshaking(), "so it knows whom to believe");
    let denied = TlsError::Alert(Alert::ACCESS_DENIED);
    assert_eq!(bob.tls.failure(), Some(&denied));
}

#[test]
fn to_turn_away_before_the_peer_is_known_or_after_the_close_is_to_close() {
    let (mut alice, mut bob) = pair();
    alice.tls.reject();
    assert_eq!(alice.tls.failure(), Some(&TlsError::Cancelled));
    bob.feed(&alice.take());
    let cancelled = TlsError::Alert(Alert::USER_CANCELED);
    assert_eq!(bob.tls.failure(), Some(&cancelled));

    let (mut alice, mut bob) = connected();
    alice.tls.close();
    alice.tls.reject();
    assert_eq!(alice.tls.failure(), None);
    settle(&mut alice, &mut bob);
    assert!(bob.tls.peer_closed());
    assert_eq!(bob.tls.failure(), None);
}

/// We have the new keys already then, and have not said so.
#[test]
fn a_peer_that_has_just_asked_for_new_keys_reads_why_it_is_turned_away() {
    for asked in 0..4 {
        let (mut alice, mut bob) = connected();
        for _ in 0..asked {
            alice.tls.show_life();
            bob.feed(&alice.take());
        }
        bob.tls.reject();
        alice.feed(&bob.take());
        let denied = TlsError::Alert(Alert::ACCESS_DENIED);
        assert_eq!(alice.tls.failure(), Some(&denied), "{asked}");
    }
}

/// New keys on both sides do not confuse the last record.
#[test]
fn a_peer_is_turned_away_under_renewed_keys() {
    let (mut alice, mut bob) = connected();
    for _ in 0..3 {
        alice.tls.refresh_keys();
        alice.tls.write(b"a").unwrap();
        settle(&mut alice, &mut bob);
        bob.tls.write(b"b").unwrap();
        settle(&mut alice, &mut bob);
    }
    bob.tls.reject();
    alice.feed(&bob.take());
    let denied = TlsError::Alert(Alert::ACCESS_DENIED);
    assert_eq!(alice.tls.failure(), Some(&denied));
}
