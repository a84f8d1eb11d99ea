//! What both ends must agree on beside their keys: the version, the key exchange, and the ALPN name that binds the context.

use std::sync::Arc;

use rustls::{
    AlertDescription, Error, NamedGroup,
    crypto::CryptoProvider,
    version::{TLS12, TLS13},
};
use xtls_tls::{Config, ConfigError, Expectations, Role, Tls, TlsError, default_provider};

use super::{
    certificate::Says,
    raw::{Raw, Script},
    support::{ALICE, ALPN, BOB, End as _, Ours, config, config_with, expect, ours, settle},
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const OTHER: &[u8] = b"xtls-stanza;other";

fn other(role: Role) -> Role {
    if role == Role::Client {
        Role::Server
    } else {
        Role::Client
    }
}

fn meet(role: Role, config: &Config, script: Script, expect: Expectations) -> (Ours, Raw) {
    let mut bob = ours(role, config, expect);
    let mut raw = script.start(other(role));
    settle(&mut bob, &mut raw);
    (bob, raw)
}

fn alice(alpn: &[&[u8]]) -> Script {
    Script {
        alpn: alpn.iter().map(|name| name.to_vec()).collect(),
        ..Script::saying(Says::jid(ALICE), 1)
    }
}

fn optional() -> Expectations {
    let mut expect = expect(BOB, ALICE);
    expect.alpn_required = false;
    expect
}

fn failed(bob: &Ours, why: &TlsError) {
    assert_eq!(bob.tls.failure(), Some(why));
    assert_eq!(
        (bob.plain.len(), bob.tls.peer(), bob.tls.alpn()),
        (0, None, None)
    );
}

#[test]
fn a_peer_that_speaks_tls_1_2_only() {
    for role in ROLES {
        let script = Script {
            versions: vec![&TLS12],
            ..alice(&[ALPN])
        };
        let (bob, raw) = meet(role, &config(BOB, 2), script, expect(BOB, ALICE));
        failed(&bob, &TlsError::Version);
        assert!(raw.error.is_some(), "{role:?}");
    }
}

#[test]
fn a_peer_that_speaks_both_speaks_tls_1_3() {
    for role in ROLES {
        let script = Script {
            versions: vec![&TLS12, &TLS13],
            ..alice(&[ALPN])
        };
        let (bob, raw) = meet(role, &config(BOB, 2), script, expect(BOB, ALICE));
        assert_eq!((bob.tls.failure(), &raw.error), (None, &None));
        assert_eq!(
            raw.connection.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_3)
        );
    }
}

#[test]
fn a_server_may_take_several_names_and_a_client_offers_one() {
    let several = || {
        let mut expect = expect(BOB, ALICE);
        expect.also = vec![OTHER.to_vec()];
        expect
    };
    for name in [ALPN, OTHER] {
        let (bob, raw) = meet(Role::Server, &config(BOB, 2), alice(&[name]), several());
        assert_eq!((bob.tls.failure(), &raw.error), (None, &None));
        assert_eq!(bob.tls.alpn(), Some(name));
    }
    let third: &[u8] = b"xtls-stanza;third";
    let (bob, _) = meet(Role::Server, &config(BOB, 2), alice(&[third]), several());
    failed(&bob, &TlsError::Alpn);
    let (bob, raw) = meet(Role::Client, &config(BOB, 2), alice(&[OTHER]), several());
    failed(&bob, &TlsError::Alpn);
    assert_eq!(raw.error, Some(Error::NoApplicationProtocol));
}

#[test]
fn what_a_client_offers_beside_the_right_name_does_not_matter() {
    for names in [[ALPN, OTHER], [OTHER, ALPN]] {
        let (bob, raw) = meet(
            Role::Server,
            &config(BOB, 2),
            alice(&names),
            expect(BOB, ALICE),
        );
        assert_eq!((bob.tls.failure(), &raw.error), (None, &None));
        assert_eq!(bob.tls.alpn(), Some(ALPN));
    }
}

#[test]
fn a_name_of_no_or_too_many_bytes_is_refused_before_anything_is_sent() {
    for (name, len) in [(Vec::new(), 0), (vec![b'x'; 256], 256)] {
        let several = {
            let mut expect = expect(BOB, ALICE);
            expect.also = vec![name];
            expect
        };
        let refused = Tls::new(Role::Server, &config(BOB, 2), several);
        assert!(matches!(refused, Err(ConfigError::Alpn { len: found }) if found == len));
    }
}

#[test]
fn another_name_is_fatal_whether_one_is_required_or_not() {
    for expect in [expect(BOB, ALICE), optional()] {
        let (bob, raw) = meet(
            Role::Server,
            &config(BOB, 2),
            alice(&[OTHER]),
            expect.clone(),
        );
        failed(&bob, &TlsError::Alpn);
        assert_eq!(
            raw.error,
            Some(Error::AlertReceived(
                AlertDescription::NoApplicationProtocol
            ))
        );

        let (bob, raw) = meet(Role::Client, &config(BOB, 2), alice(&[OTHER]), expect);
        failed(&bob, &TlsError::Alpn);
        assert_eq!(raw.error, Some(Error::NoApplicationProtocol));
    }
}

#[test]
fn both_of_our_ends_tell_a_mismatch_alike() {
    let mut alice = ours(Role::Client, &config(ALICE, 1), {
        let mut expect = expect(ALICE, BOB);
        expect.alpn = OTHER.to_vec();
        expect
    });
    let mut bob = ours(Role::Server, &config(BOB, 2), expect(BOB, ALICE));
    settle(&mut alice, &mut bob);
    failed(&alice, &TlsError::Alpn);
    failed(&bob, &TlsError::Alpn);
}

#[test]
fn no_name_where_one_is_required_is_fatal_before_any_data() {
    for role in ROLES {
        let (bob, raw) = meet(role, &config(BOB, 2), alice(&[]), expect(BOB, ALICE));
        failed(&bob, &TlsError::Alpn);
        let told = Some(Error::AlertReceived(
            AlertDescription::NoApplicationProtocol,
        ));
        assert_eq!(raw.error, told, "as {role:?}");
        assert!(raw.connection.is_handshaking(), "the peer never finishes");
        assert_eq!(raw.plain.len(), 0);
    }
}

#[test]
fn no_name_where_none_is_required_is_accepted_and_told() {
    for role in ROLES {
        let (bob, raw) = meet(role, &config(BOB, 2), alice(&[]), optional());
        assert_eq!((bob.tls.failure(), &raw.error), (None, &None));
        assert!(!bob.tls.is_handshaking());
        assert_eq!(bob.tls.alpn(), None);
        let (bob, _) = meet(role, &config(BOB, 2), alice(&[ALPN]), optional());
        assert_eq!(bob.tls.alpn(), Some(ALPN));
    }
}

#[test]
fn an_end_without_a_name_takes_none() {
    let nameless = || {
        let mut expect = optional();
        expect.alpn = Vec::new();
        expect
    };
    for role in ROLES {
        let (bob, raw) = meet(role, &config(BOB, 2), alice(&[ALPN]), nameless());
        assert_eq!((bob.tls.failure(), &raw.error), (None, &None));
        assert_eq!(bob.tls.alpn(), None);
    }
}

#[test]
fn among_several_offers_only_the_expected_name_is_chosen() {
    let (bob, raw) = meet(
        Role::Server,
        &config(BOB, 2),
        alice(&[OTHER, ALPN]),
        expect(BOB, ALICE),
    );
    assert_eq!(bob.tls.failure(), None);
    assert_eq!(raw.connection.alpn_protocol(), Some(ALPN));
}

/// X25519 alone.
fn classical() -> Arc<CryptoProvider> {
    let mut crypto = CryptoProvider::clone(&default_provider());
    crypto
        .kx_groups
        .retain(|group| group.name() == NamedGroup::X25519);
    Arc::new(crypto)
}

#[test]
fn a_classical_peer_is_accepted_unless_post_quantum_is_required() {
    for role in ROLES {
        let script = Script {
            crypto: classical(),
            ..alice(&[ALPN])
        };
        let (bob, raw) = meet(role, &config(BOB, 2), script, expect(BOB, ALICE));
        assert_eq!((bob.tls.failure(), &raw.error), (None, &None));
        assert_eq!(bob.tls.is_post_quantum(), Some(false));
    }
}

#[cfg(feature = "aws-lc-rs")]
#[test]
fn post_quantum_can_be_required() {
    let required = config(BOB, 2).require_post_quantum(true);
    for role in ROLES {
        let (bob, _) = meet(role, &required, alice(&[ALPN]), expect(BOB, ALICE));
        assert_eq!(bob.tls.failure(), None);
        assert_eq!(bob.tls.is_post_quantum(), Some(true));
    }
    let script = || Script {
        crypto: classical(),
        ..alice(&[ALPN])
    };
    let (bob, _) = meet(Role::Server, &required, script(), expect(BOB, ALICE));
    failed(&bob, &TlsError::KeyExchange);
    // The server is the one that notices: RFC 8446 §4.1.1 makes it choose.
    let (bob, _) = meet(Role::Client, &required, script(), expect(BOB, ALICE));
    failed(&bob, &TlsError::Alert(xtls_tls::Alert::HANDSHAKE_FAILURE));
}

#[test]
fn post_quantum_cannot_be_required_of_a_provider_without_it() {
    let config = config_with(BOB, 2, classical()).require_post_quantum(true);
    for role in ROLES {
        let error = Tls::new(role, &config, expect(BOB, ALICE)).unwrap_err();
        assert_eq!(error, ConfigError::NoPostQuantum);
    }
}

/// A hello that was answered with garbage, and garbage where a hello should be.
#[test]
fn what_is_not_tls_is_refused_with_an_alert() {
    for role in ROLES {
        for garbage in [
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            &[0; 64],
            &[0x16, 0x03, 0x01, 0x00, 0x04, 1, 0, 0, 0],
        ] {
            let mut bob = ours(role, &config(BOB, 2), expect(BOB, ALICE));
            bob.take();
            bob.feed(garbage);
            assert!(
                matches!(bob.tls.failure(), Some(TlsError::Protocol(_))),
                "{:?}",
                bob.tls.failure()
            );
            let alert = bob.take();
            assert_eq!(alert.first(), Some(&0x15), "{role:?} {garbage:?}");
        }
    }
}
