//! A responder that refuses: the initiator has finished TLS by then, and must not have believed in the session.

use std::sync::Arc;

use xtls_session::{By, Mode, Why};
use xtls_tls::trust::{Level, Method, Policy, Store};
use xtls_tls::{Alert, Fingerprint, Role, Tls, TlsError, TrustError};

use super::support::{End as _, Ours, ROMEO, Setup, address, message, settle};

/// Why Juliet refuses, what she knows, and what she calls it.
type Refusal = (&'static str, Store, Policy, fn(&TrustError) -> bool);

fn knowing(jid: &str, key: Fingerprint, level: Level) -> Store {
    let mut store = Store::new();
    store.pin(jid, key, level, 0).unwrap();
    store
}

fn refusals(romeos: Fingerprint) -> Vec<Refusal> {
    let romeo = address(ROMEO).to_bare();
    let romeo = romeo.as_str();
    let another = Fingerprint::of_spki(b"another");
    vec![
        (
            "a changed key",
            knowing(romeo, another, Level::Verified(Method::Fingerprint)),
            Policy::Ask,
            |why| matches!(why, TrustError::KeyChanged { .. }),
        ),
        ("an unknown key", Store::new(), Policy::Pinned, |why| {
            matches!(why, TrustError::NotPinned { .. })
        }),
        (
            "the key of somebody else",
            knowing("mercutio@montague.example", romeos, Level::FirstUse),
            Policy::Ask,
            |why| matches!(why, TrustError::KeyOfAnother { .. }),
        ),
        (
            "a revoked key",
            knowing(romeo, romeos, Level::Revoked),
            Policy::Ask,
            |why| matches!(why, TrustError::Revoked { .. }),
        ),
    ]
}

fn juliet(setup: &Setup, store: Store, policy: Policy) -> Ours {
    let expect = setup.binding(Role::Server).expect(Arc::new(store), policy);
    let config = setup.tls_config(Role::Server);
    setup.end_over(
        Role::Server,
        Tls::new(Role::Server, &config, expect).unwrap(),
    )
}

/// For each reason, in each mode: Romeo never reports *established*, delivers nothing, and counts what it sent early as
/// unconfirmed; Juliet sees nothing of it.
#[test]
fn a_client_that_is_refused_late_was_never_established() {
    for setup in [Setup::stanzas(), Setup::bytes()] {
        let romeos = setup.tls_config(Role::Client).identity().fingerprint();
        for (what, store, policy, named) in refusals(romeos) {
            let (mut romeo, mut juliet) = (setup.romeo(), juliet(&setup, store, policy));
            // One turn at a time: TLS is finished at Romeo's end, and he speaks.
            juliet.feed(&romeo.take());
            romeo.feed(&juliet.take());
            assert_eq!(romeo.names(), ["ready"], "{what}");
            let early = match setup.service.mode() {
                Mode::Stanzas => {
                    romeo.send(&message("early"));
                    1
                }
                Mode::Bytes => romeo.session.write(b"early").unwrap() as u64,
            };
            settle(&mut romeo, &mut juliet);

            let close = juliet.closed();
            let refused = matches!(&close.why, Why::Tls(TlsError::Trust(why)) if named(why));
            assert!(refused && close.by == By::Us, "{what}: {close:?}");
            assert_eq!(juliet.names(), ["closed"], "{what}");
            assert!(juliet.stanzas().is_empty() && juliet.session.read(100).is_none());

            let close = romeo.closed();
            // access_denied, whatever the reason: a stranger learns no more than that.
            assert_eq!(
                close.why,
                Why::Tls(TlsError::Alert(Alert::new(49))),
                "{what}"
            );
            assert_eq!((close.by, close.clean), (By::Peer, false), "{what}");
            assert_eq!(romeo.names(), ["ready", "closed"], "{what}");
            assert!(romeo.established().is_none() && romeo.stanzas().is_empty());
            assert_eq!(close.unconfirmed, early, "{what}");
        }
    }
}

/// A server between relabels a resource: each end means another one, so neither has a session.
#[test]
fn another_resource_is_another_session() {
    for setup in [Setup::stanzas(), Setup::bytes()] {
        for whose in [Role::Client, Role::Server] {
            let mut binding = setup.binding(Role::Server);
            let wrong = match whose {
                Role::Client => &mut binding.peer,
                Role::Server => &mut binding.own,
            };
            *wrong = address(&format!("{}/other", wrong.bare()));
            let store = Arc::new(setup.store(Role::Server));
            let expect = binding.expect(store, Policy::Ask);
            let config = setup.tls_config(Role::Server);
            let tls = Tls::new(Role::Server, &config, expect).unwrap();
            let (mut romeo, mut juliet) = (setup.romeo(), setup.end_over(Role::Server, tls));
            settle(&mut romeo, &mut juliet);
            for end in [&mut romeo, &mut juliet] {
                assert_eq!(end.closed().why, Why::Tls(TlsError::Alpn));
                assert_eq!(end.names(), ["closed"]);
            }
        }
    }
}
