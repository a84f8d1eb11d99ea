//! KeyUpdate, and the rule that comes with it.

use xtls_tls::{Role, TlsError, rustls};

use super::{
    certificate::Says,
    raw::Script,
    support::{ALICE, BOB, End as _, config, connected, expect, ours, settle},
};

#[test]
fn keys_can_be_renewed_with_every_write() {
    for swapped in [false, true] {
        let (alice, bob) = connected();
        let (mut one, mut other) = if swapped { (bob, alice) } else { (alice, bob) };
        for round in 0..500_u32 {
            one.tls.refresh_keys();
            one.tls.write(&round.to_be_bytes()).unwrap();
            // Half the time the peer says nothing, so that its own update stays queued.
            if round % 2 == 0 {
                other.tls.write(b"answer").unwrap();
            }
            settle(&mut one, &mut other);
        }
        assert_eq!((one.tls.failure(), other.tls.failure()), (None, None));
        assert_eq!(other.plain.len(), 500 * 4);
        assert_eq!(one.plain.len(), 250 * 6);
    }
}

#[test]
fn a_renewal_waits_for_data() {
    let (mut alice, mut bob) = connected();
    for _ in 0..100 {
        alice.tls.refresh_keys();
    }
    assert_eq!(alice.tls.wire_pending(), 0);
    alice.tls.write(b"").unwrap();
    assert_eq!(alice.tls.wire_pending(), 0);
    alice.tls.write(b"data").unwrap();
    assert_eq!(
        super::support::records(&alice.tls.poll_wire(9999).unwrap()),
        [(23, 5 + 17), (23, 4 + 17)]
    );
    alice.tls.write(b"more").unwrap();
    assert_eq!(
        super::support::records(&alice.take()),
        [(23, 4 + 17)],
        "one renewal only"
    );
    bob.feed(&[]);
}

/// rustls takes 32 updates without data in between, and gives up without a word at the next. We are one quicker.
#[test]
fn a_peer_that_renews_without_data_is_stopped_and_told() {
    for role in [Role::Client, Role::Server] {
        let other = if role == Role::Client {
            Role::Server
        } else {
            Role::Client
        };
        let mut raw = Script::saying(Says::jid(ALICE), 1).start(other);
        let mut bob = ours(role, &config(BOB, 2), expect(BOB, ALICE));
        settle(&mut raw, &mut bob);
        for _ in 0..31 {
            raw.connection.refresh_traffic_keys().unwrap();
            settle(&mut raw, &mut bob);
            assert_eq!(bob.tls.failure(), None);
        }
        raw.connection.refresh_traffic_keys().unwrap();
        settle(&mut raw, &mut bob);
        assert_eq!(bob.tls.failure(), Some(&TlsError::Idle));
        let told = rustls::Error::AlertReceived(rustls::AlertDescription::UnexpectedMessage);
        assert_eq!(raw.error, Some(told));
    }
}

#[test]
fn many_renewals_at_once_are_counted_one_by_one() {
    for (data, stopped) in [(false, true), (true, false)] {
        let (mut alice, mut bob) = connected();
        let mut wire = Vec::new();
        for _ in 0..40 {
            alice.tls.show_life();
            wire.extend_from_slice(&alice.take());
            if data {
                alice.tls.write(b"data").unwrap();
                wire.extend_from_slice(&alice.take());
            }
        }
        bob.feed(&wire);
        assert_eq!(bob.tls.failure() == Some(&TlsError::Idle), stopped);
        settle(&mut alice, &mut bob);
        assert_eq!(alice.tls.failure().is_some(), stopped);
    }
}
