//! Pins that change while a session stands.

use std::sync::Arc;

use xtls_session::{By, JudgeError, Verdict, Why};
use xtls_tls::trust::{Current, Method, Policy, Store, TrustError};
use xtls_tls::{Alert, Fingerprint, Role, Tls, TlsError};

use crate::support::{End as _, Ours, ROMEO, Setup, address, message, settle};

/// Juliet, and the pins that she judges by.
fn juliet(setup: &Setup) -> (Ours, Current) {
    let pins = Current::from(setup.store(Role::Server));
    let expect = setup
        .binding(Role::Server)
        .expect(pins.clone(), Policy::Ask);
    let tls = Tls::new(Role::Server, &setup.tls_config(Role::Server), expect).unwrap();
    (setup.end_over(Role::Server, tls), pins)
}

fn romeos() -> Fingerprint {
    let store = Setup::stanzas().store(Role::Server);
    store.of(bare()).first().unwrap().fingerprint
}

fn bare() -> &'static str {
    ROMEO.split_once('/').unwrap().0
}

/// The pins are these from now on, and the session is told so.
fn change(end: &mut Ours, pins: &Current, change: impl FnOnce(&mut Store)) {
    let mut store = Store::clone(&pins.get());
    change(&mut store);
    pins.set(Arc::new(store));
    end.session.trust_changed(end.now);
}

#[test]
fn a_revoked_key_ends_the_session_and_nothing_more_is_handed_out() {
    let setup = Setup::stanzas();
    let (mut juliet, pins) = juliet(&setup);
    let mut stranger = setup.stranger(Role::Client);
    settle(&mut juliet, &mut stranger);
    let key = romeos();
    stranger.write("<message/>");
    juliet.session.handle_wire(juliet.now, &stranger.take());
    change(&mut juliet, &pins, |store| {
        store.revoke(bare(), key, 5).unwrap()
    });
    settle(&mut juliet, &mut stranger);
    assert_eq!(juliet.names(), ["established", "closed"]);
    let close = juliet.closed();
    let revoked = TrustError::Revoked {
        peer: address(ROMEO).bare().to_owned(),
        presented: key,
    };
    assert_eq!(
        (close.by, close.why),
        (By::Us, Why::Untrusted(Box::new(revoked)))
    );
    assert!(!close.clean);
    let denied = TlsError::Alert(Alert::ACCESS_DENIED);
    assert_eq!(stranger.tls.failure(), Some(&denied));
}

#[test]
fn a_key_that_waits_for_its_verdict_is_judged_by_the_pins_as_they_come() {
    let setup = Setup::stanzas().strangers();
    let (mut juliet, pins) = juliet(&setup);
    let mut stranger = setup.stranger(Role::Client);
    settle(&mut juliet, &mut stranger);
    assert_eq!(juliet.names(), ["judge"]);
    let key = romeos();
    // A code speaks against it, and a verification for it.
    change(&mut juliet, &pins, |store| {
        store.doubt_key(bare(), key, Method::Code, 5).unwrap()
    });
    assert_eq!(juliet.judge(Verdict::Accept), Err(JudgeError::Doubted));
    change(&mut juliet, &pins, |store| {
        store.verified(bare(), key, Method::Code, 6).unwrap()
    });
    assert!(juliet.is_open());
    change(&mut juliet, &pins, |store| {
        store.doubt_key(bare(), key, Method::Words, 7).unwrap()
    });
    settle(&mut juliet, &mut stranger);
    let close = juliet.closed();
    assert!(matches!(close.why, Why::Untrusted(_)), "{close:?}");
    assert_eq!(juliet.names(), ["judge", "closed"]);
}

#[test]
fn a_key_that_is_merely_forgotten_stays() {
    let setup = Setup::stanzas();
    let (mut juliet, pins) = juliet(&setup);
    let mut romeo = setup.romeo();
    settle(&mut juliet, &mut romeo);
    change(&mut juliet, &pins, |store| {
        assert_eq!(store.forget(bare()), 1)
    });
    romeo.send(&message("still here"));
    settle(&mut juliet, &mut romeo);
    assert_eq!(juliet.names(), ["established", "stanza"]);
}

#[test]
fn before_the_key_is_proven_and_after_the_end_there_is_nobody_to_distrust() {
    let setup = Setup::stanzas();
    let (mut juliet, pins) = juliet(&setup);
    let mut romeo = setup.romeo();
    let peer = || bare().to_owned();
    juliet
        .session
        .distrust(juliet.now, TrustError::SeveralJids { peer: peer() });
    change(&mut juliet, &pins, |_| {});
    settle(&mut juliet, &mut romeo);
    assert_eq!(juliet.names(), ["established"]);
    juliet.session.abort();
    juliet.collect();
    juliet
        .session
        .distrust(juliet.now, TrustError::SeveralJids { peer: peer() });
    assert_eq!(juliet.closed().why, Why::Aborted);
}
