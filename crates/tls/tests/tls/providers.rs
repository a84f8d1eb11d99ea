//! aws-lc-rs and ring, against each other and by themselves, and neither of them ambient.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use xtls_tls::{ConfigError, Identity, Provider, Role, Tls};
use zeroize::Zeroizing;

use super::support::{
    ALICE, ALPN, BOB, End as _, config_with, expect, exported, identity, ours, settle, settle_cut,
};

const BOTH: [Provider; 2] = [Provider::AwsLc, Provider::Ring];

#[test]
fn each_talks_to_each() {
    for client in BOTH {
        for server in BOTH {
            let what = format!("client {client:?}, server {server:?}");
            let alice = config_with(ALICE, 1, client.crypto());
            let bob = config_with(BOB, 2, server.crypto());
            let mut alice = ours(Role::Client, &alice, expect(ALICE, BOB));
            let mut bob = ours(Role::Server, &bob, expect(BOB, ALICE));
            settle_cut(&mut alice, &mut bob, 333);
            for end in [&alice, &bob] {
                assert_eq!(end.tls.failure(), None, "{what}");
                assert_eq!(end.tls.alpn(), Some(ALPN));
                let both = client == Provider::AwsLc && server == Provider::AwsLc;
                assert_eq!(end.tls.is_post_quantum(), Some(both), "{what}");
            }
            assert_eq!(
                bob.tls.peer().unwrap().fingerprint,
                identity(ALICE, 1).fingerprint()
            );
            assert_eq!(exported(&alice), exported(&bob), "{what}");
            for end in [&mut alice, &mut bob] {
                end.tls.refresh_keys();
                end.tls.write(&[3; 100_000]).unwrap();
            }
            settle_cut(&mut alice, &mut bob, 4096);
            alice.tls.close();
            bob.tls.close();
            settle(&mut alice, &mut bob);
            for end in [&alice, &bob] {
                assert_eq!(end.plain, [3; 100_000][..], "{what}");
                assert!(
                    end.tls.peer_closed() && end.tls.failure().is_none(),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn ring_cannot_be_told_to_be_post_quantum() {
    let config = config_with(BOB, 2, Provider::Ring.crypto()).require_post_quantum(true);
    for role in [Role::Client, Role::Server] {
        let refused = Tls::new(role, &config, expect(BOB, ALICE)).unwrap_err();
        assert_eq!(refused, ConfigError::NoPostQuantum);
    }
}

/// Whoever insists on it refuses ring at the other end, in both roles.
#[test]
fn ring_is_refused_where_post_quantum_is_required() {
    let ring = || config_with(ALICE, 1, Provider::Ring.crypto());
    let required = config_with(BOB, 2, Provider::AwsLc.crypto()).require_post_quantum(true);
    for (role, other) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        let mut bob = ours(role, &required, expect(BOB, ALICE));
        let mut alice = ours(other, &ring(), expect(ALICE, BOB));
        settle(&mut bob, &mut alice);
        for end in [&alice, &bob] {
            assert!(
                end.tls.failure().is_some() && end.tls.peer().is_none(),
                "{role:?}"
            );
        }
    }
}

/// The client guesses X25519MLKEM768 first, and adds X25519 so that a peer without the former needs no second hello.
#[test]
fn post_quantum_is_offered_first() {
    let group = |at: usize| Provider::AwsLc.crypto().kx_groups[at].name();
    assert_eq!(group(0), rustls::NamedGroup::X25519MLKEM768);
    assert_eq!(group(1), rustls::NamedGroup::X25519);
    let mut alice = ours(
        Role::Client,
        &config_with(ALICE, 1, Provider::AwsLc.crypto()),
        expect(ALICE, BOB),
    );
    let mut bob = ours(
        Role::Server,
        &config_with(BOB, 2, Provider::Ring.crypto()),
        expect(BOB, ALICE),
    );
    let mut flights = 0;
    while alice.tls.is_handshaking() {
        bob.feed(&alice.take());
        alice.feed(&bob.take());
        flights += 1;
    }
    assert_eq!(flights, 1, "no second hello");
}

#[test]
fn an_identity_is_the_same_with_both() {
    let seed = Zeroizing::new([7; 32]);
    let [one, other] = BOTH.map(|provider| {
        Identity::generate_with(&provider.crypto(), ALICE, &seed, 1_767_225_600).unwrap()
    });
    assert_eq!(one.certificate(), other.certificate());
    let read = Identity::from_pem_with(&Provider::Ring.crypto(), &one.to_pem()).unwrap();
    assert_eq!(read.fingerprint(), other.fingerprint());
}

#[test]
fn none_is_installed_for_the_process() {
    for provider in BOTH {
        let config = config_with(ALICE, 1, provider.crypto());
        drop(Tls::new(Role::Client, &config, expect(ALICE, BOB)).unwrap());
        assert_eq!(Arc::strong_count(config.identity()), 1);
    }
    assert!(CryptoProvider::get_default().is_none());
}
