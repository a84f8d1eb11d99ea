//! Every alert, in every phase, in both roles: the right error, and no hang.

use xtls_tls::{Alert, Role, TlsError, TrustError, trust::Policy};

use super::{
    certificate::Says,
    forge::Forger,
    raw::Script,
    support::{ALICE, BOB, End as _, Ours, config, expect, ours, settle},
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;

/// Every number that has a name, and some that have none.
fn numbers() -> impl Iterator<Item = u8> {
    (0..=255).filter(|number| {
        Alert::new(*number).name() != "unknown" || matches!(number, 1 | 60 | 119 | 200 | 255)
    })
}

fn bob(role: Role) -> Ours {
    ours(role, &config(BOB, 2), expect(BOB, ALICE))
}

/// Bob in `role`, connected with a peer that sends whatever it is told.
fn forged(role: Role) -> (Ours, Forger) {
    let other = if role == Role::Client {
        Role::Server
    } else {
        Role::Client
    };
    let mut raw = Script::quiet(Says::jid(ALICE), 1).start(other);
    let mut bob = bob(role);
    settle(&mut raw, &mut bob);
    assert!(!bob.tls.is_handshaking());
    (bob, Forger::new(raw))
}

/// What a fatal alert must be reported as.
fn reported(number: u8) -> TlsError {
    match number {
        70 => TlsError::Version,
        120 => TlsError::Alpn,
        _ => TlsError::Alert(Alert::new(number)),
    }
}

#[test]
fn in_the_handshake() {
    for role in ROLES {
        for number in numbers() {
            let mut bob = bob(role);
            bob.take();
            bob.feed(&[21, 3, 3, 0, 2, FATAL, number]);
            assert_eq!(bob.tls.failure(), Some(&reported(number)), "{role:?}");
            assert!(
                !bob.tls.peer_closed(),
                "nobody can end cleanly what was not begun"
            );
            assert_eq!(bob.tls.peer(), None);
        }
    }
}

#[test]
fn once_established() {
    for role in ROLES {
        for number in numbers() {
            let (mut bob, mut peer) = forged(role);
            bob.feed(
                &[
                    peer.data(b"before"),
                    peer.alert(FATAL, number),
                    peer.data(b"after"),
                ]
                .concat(),
            );
            assert_eq!(&bob.plain[..], b"before");
            if number == CLOSE_NOTIFY {
                assert!(bob.tls.peer_closed());
                assert_eq!(bob.tls.failure(), None);
            } else {
                assert!(!bob.tls.peer_closed());
                assert_eq!(bob.tls.failure(), Some(&reported(number)), "{role:?}");
            }
        }
    }
}

#[test]
fn after_the_peers_close_it_is_not_heard() {
    for role in ROLES {
        for number in numbers() {
            let (mut bob, mut peer) = forged(role);
            let (close, late) = (peer.alert(WARNING, CLOSE_NOTIFY), peer.alert(FATAL, number));
            bob.feed(&close);
            bob.feed(&late);
            bob.tls.handle_wire_end();
            assert!(bob.tls.peer_closed());
            assert_eq!(bob.tls.failure(), None);
        }
    }
}

#[test]
fn after_our_close_it_is_heard() {
    for role in ROLES {
        for number in numbers().filter(|number| *number != CLOSE_NOTIFY) {
            let (mut bob, mut peer) = forged(role);
            bob.tls.close();
            bob.feed(&peer.alert(FATAL, number));
            assert_eq!(bob.tls.failure(), Some(&reported(number)), "{role:?}");
        }
    }
}

/// TLS 1.3 knows no warnings but two (RFC 8446 §6).
#[test]
fn warnings_are_fatal_but_for_user_canceled() {
    for role in ROLES {
        for number in numbers().filter(|number| *number != CLOSE_NOTIFY) {
            let (mut bob, mut peer) = forged(role);
            bob.feed(&[peer.alert(WARNING, number), peer.data(b"after")].concat());
            if number == USER_CANCELED {
                assert_eq!(bob.tls.failure(), None);
                assert_eq!(&bob.plain[..], b"after");
            } else {
                assert_eq!(bob.tls.failure(), Some(&reported(number)));
                assert_eq!(bob.plain.len(), 0);
            }
        }
    }
}

#[test]
fn an_alert_without_keys_does_not_end_an_established_connection_cleanly() {
    for role in ROLES {
        for alert in [[WARNING, CLOSE_NOTIFY], [FATAL, 40]] {
            let (mut bob, _) = forged(role);
            bob.feed(&[&[21, 3, 3, 0, 2], &alert[..]].concat());
            assert!(!bob.tls.peer_closed());
            assert!(bob.tls.failure().is_some(), "{role:?} {alert:?}");
        }
    }
}

#[test]
fn a_malformed_alert_is_a_breach() {
    for role in ROLES {
        let (mut bob, mut peer) = forged(role);
        bob.feed(&peer.record(rustls::ContentType::Alert, &[FATAL]));
        assert!(
            matches!(bob.tls.failure(), Some(TlsError::Protocol(_))),
            "{:?}",
            bob.tls.failure()
        );
        let (mut bob, mut peer) = forged(role);
        bob.feed(&peer.alert(7, 40));
        assert!(bob.tls.failure().is_some());
    }
}

#[test]
fn an_alert_tells_its_name_and_whether_it_refuses_us() {
    assert_eq!(
        Alert::new(49).to_string(),
        "access_denied (49): it does not accept our key"
    );
    assert_eq!(Alert::new(20).to_string(), "bad_record_mac (20)");
    assert_eq!(Alert::new(200).to_string(), "unknown (200)");
    assert_eq!(format!("{:?}", Alert::new(0)), "Alert(close_notify)");
    let refusing: Vec<u8> = (0..=255)
        .filter(|number| Alert::new(*number).refuses_us())
        .collect();
    assert_eq!(refusing, [41, 42, 43, 44, 45, 46, 48, 49, 51, 116]);
}

/// RFC 8446 lets the client finish before the server has looked at its certificate: it learns of a refusal afterwards.
#[test]
fn a_client_learns_late_that_it_is_refused() {
    let mut alice = ours(Role::Client, &config(ALICE, 1), expect(ALICE, BOB));
    let mut bob = ours(Role::Server, &config(BOB, 2), {
        let mut expect = expect(BOB, ALICE);
        expect.policy = Policy::Pinned;
        expect
    });
    bob.feed(&alice.take());
    alice.feed(&bob.take());
    assert!(
        alice.tls.peer().is_some(),
        "alice has finished, and knows bob"
    );
    alice.tls.write(b"early").unwrap();
    bob.feed(&alice.take());
    assert!(matches!(
        bob.tls.failure(),
        Some(TlsError::Trust(TrustError::NotPinned { .. }))
    ));
    assert_eq!(bob.plain.len(), 0, "what alice said early is not delivered");
    alice.feed(&bob.take());
    assert_eq!(alice.tls.failure(), Some(&TlsError::Alert(Alert::new(49))));
    assert!(Alert::new(49).refuses_us());
    assert_eq!(alice.plain.len(), 0);
}
