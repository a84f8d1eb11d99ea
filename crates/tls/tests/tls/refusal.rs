//! Nobody gets in who does not belong: each refusal by its own name, in both roles, and nothing delivered.

use rustls::{AlertDescription, CertificateError, Error};
use xtls_tls::{
    CertificateFault, Expectations, Fingerprint, JidError, Role, Standing, TlsError, TrustError,
    default_provider,
    trust::{Level, Method, Pin, Policy, Store},
};

use super::{
    certificate::{Key, Public, Says, der, xmpp_addr},
    raw::{Raw, Script},
    support::{ALICE, ALPN, BOB, Ours, config, expect, ours, settle},
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const VERIFIED: Level = Level::Verified(Method::Fingerprint);

fn key(seed: u8) -> Key {
    Key::ed25519(&default_provider(), seed)
}

fn fingerprint(key: &Key) -> Fingerprint {
    Fingerprint::of_spki(&key.sign.public_key().unwrap())
}

/// The peer that is expected: Alice, with the key of seed 1.
fn alice() -> Script {
    Script::saying(Says::jid(ALICE), 1)
}

fn pins(pins: &[(&str, Fingerprint, Level)]) -> Expectations {
    let mut store = Store::new();
    for (jid, key, level) in pins {
        store.pin(jid, *key, *level, 100).unwrap();
    }
    let mut expect = expect(BOB, ALICE);
    expect.trust = store.into();
    expect
}

/// Bob, who expects Alice, in `role`; the script plays the other one. All bytes are exchanged.
fn meet(role: Role, script: Script, expect: Expectations) -> (Ours, Raw) {
    let other = if role == Role::Client {
        Role::Server
    } else {
        Role::Client
    };
    let mut bob = ours(role, &config(BOB, 2), expect);
    let mut raw = script.start(other);
    settle(&mut bob, &mut raw);
    (bob, raw)
}

/// In both roles: refused for `why`, nothing delivered, nothing said of the peer, and the peer got an alert.
fn refused(script: impl Fn() -> Script, expect: &Expectations, why: impl Into<TlsError>) {
    let why = why.into();
    for role in ROLES {
        let (mut bob, raw) = meet(role, script(), expect.clone());
        assert_eq!(bob.tls.failure(), Some(&why), "as {role:?}");
        assert_eq!(bob.plain.len(), 0, "as {role:?}");
        assert!(bob.tls.is_handshaking());
        assert_eq!(bob.tls.peer(), None);
        assert!(
            bob.tls
                .export("EXPERIMENTAL-xtls-test", b"", &mut [0; 32])
                .is_err()
        );
        assert!(bob.tls.write(b"x").is_err());
        assert!(
            matches!(raw.error, Some(Error::AlertReceived(_))),
            "as {role:?}: {:?}",
            raw.error
        );
        bob.tls.handle_wire_end();
        assert_eq!(bob.tls.failure(), Some(&why), "the first cause stays");
    }
}

fn accepted(script: impl Fn() -> Script, expect: &Expectations, standing: Standing) {
    for role in ROLES {
        let (bob, raw) = meet(role, script(), expect.clone());
        assert_eq!(
            (bob.tls.failure(), &raw.error),
            (None, &None),
            "as {role:?}"
        );
        assert_eq!(bob.tls.peer().unwrap().standing, standing);
        assert_eq!(&bob.plain[..], b"early");
    }
}

fn bad(fault: CertificateFault) -> TrustError {
    TrustError::BadCertificate {
        peer: ALICE.to_owned(),
        fault,
    }
}

#[test]
fn the_expected_peer_is_accepted() {
    accepted(alice, &expect(BOB, ALICE), Standing::New);
    accepted(
        alice,
        &{
            let mut expect = expect(BOB, ALICE);
            expect.policy = Policy::Ask;
            expect
        },
        Standing::New,
    );
    accepted(
        alice,
        &pins(&[(ALICE, fingerprint(&key(1)), Level::FirstUse)]),
        Standing::Pinned(Level::FirstUse),
    );
    let pinned = {
        let mut expect = pins(&[(ALICE, fingerprint(&key(1)), VERIFIED)]);
        expect.policy = Policy::Pinned;
        expect
    };
    accepted(alice, &pinned, Standing::Pinned(VERIFIED));
}

#[test]
fn a_changed_key() {
    for level in [Level::FirstUse, VERIFIED, Level::Revoked] {
        let known = pins(&[(ALICE, fingerprint(&key(1)), level)]);
        let why = TrustError::KeyChanged {
            peer: ALICE.to_owned(),
            known: known.trust.get().of(ALICE).to_vec(),
            presented: fingerprint(&key(9)),
        };
        assert!(matches!(known.trust.get().of(ALICE), [Pin { .. }]));
        for policy in [Policy::Ask, Policy::Tofu, Policy::Pinned] {
            let known = {
                let mut expect = known.clone();
                expect.policy = policy;
                expect
            };
            refused(|| Script::saying(Says::jid(ALICE), 9), &known, why.clone());
        }
    }
}

/// The trap for verifiers that only compare pins: the certificate is genuine, the key behind the signature is not.
#[test]
fn a_valid_certificate_with_someone_elses_private_key() {
    let thief = || Script::new(vec![Says::jid(ALICE).signed(&key(1))], &key(9));
    let why = TrustError::NotProven {
        peer: ALICE.to_owned(),
        presented: fingerprint(&key(1)),
    };
    refused(
        thief,
        &pins(&[(ALICE, fingerprint(&key(1)), VERIFIED)]),
        why.clone(),
    );
    refused(thief, &expect(BOB, ALICE), why);
}

#[test]
fn a_client_without_certificate() {
    let silent = Script {
        shows: false,
        ..alice()
    };
    let (bob, raw) = meet(Role::Server, silent, expect(BOB, ALICE));
    assert_eq!(bob.tls.failure(), Some(&TlsError::NoCertificate));
    assert_eq!(bob.plain.len(), 0);
    assert_eq!(bob.tls.peer(), None);
    assert_eq!(
        raw.error,
        Some(Error::AlertReceived(AlertDescription::CertificateRequired))
    );
}

#[test]
fn a_server_with_an_empty_certificate_message() {
    let (bob, raw) = meet(
        Role::Client,
        Script {
            chain: Vec::new(),
            ..alice()
        },
        expect(BOB, ALICE),
    );
    assert_eq!(
        bob.tls.failure(),
        Some(&TlsError::NoCertificate),
        "{:?}",
        raw.error
    );
    assert_eq!(
        raw.error,
        Some(Error::AlertReceived(AlertDescription::DecodeError)),
        "RFC 8446 §4.4.2.4"
    );
    assert_eq!(bob.plain.len(), 0);
}

/// Such a server may send data with its flight, before anything of ours (RFC 8446 §4.4.4): it is decrypted together with the
/// Finished that ends the handshake, and must not be delivered.
#[test]
fn a_server_that_does_not_ask_for_our_certificate() {
    let unasking = |alpn: &[&[u8]]| Script {
        asks: false,
        alpn: alpn.iter().map(|name| name.to_vec()).collect(),
        edit_server: |config| config.send_half_rtt_data = true,
        ..alice()
    };
    let not_asked = (TlsError::NotAsked, AlertDescription::HandshakeFailure);
    let alpn = (TlsError::Alpn, AlertDescription::NoApplicationProtocol);
    for (names, (why, alert)) in [(&[ALPN][..], not_asked), (&[], alpn)] {
        let (bob, raw) = meet(Role::Client, unasking(names), expect(BOB, ALICE));
        assert_eq!(bob.tls.failure(), Some(&why));
        assert_eq!((bob.plain.len(), bob.tls.peer()), (0, None));
        assert_eq!(raw.error, Some(Error::AlertReceived(alert)));
    }
}

#[test]
fn two_certificates() {
    let certificate = Says::jid(ALICE).signed(&key(1));
    let two = || Script::new(vec![certificate.clone(), certificate.clone()], &key(1));
    refused(
        two,
        &expect(BOB, ALICE),
        TrustError::SeveralCertificates {
            peer: ALICE.to_owned(),
            count: 2,
        },
    );
}

#[test]
fn no_name_in_the_certificate() {
    let nameless = || Script::saying(Says::nothing(), 1);
    let why = TrustError::NoJid {
        peer: ALICE.to_owned(),
        presented: fingerprint(&key(1)),
    };
    refused(nameless, &expect(BOB, ALICE), why.clone());
    refused(
        nameless,
        &pins(&[(ALICE, fingerprint(&key(1)), Level::FirstUse)]),
        why,
    );
    accepted(
        nameless,
        &pins(&[(ALICE, fingerprint(&key(1)), VERIFIED)]),
        Standing::Pinned(VERIFIED),
    );
}

#[test]
fn another_name_in_the_certificate_even_when_pinned() {
    let why = TrustError::WrongJid {
        san: "mallory@example.org".to_owned(),
        peer: ALICE.to_owned(),
    };
    for expect in [
        expect(BOB, ALICE),
        pins(&[(ALICE, fingerprint(&key(1)), VERIFIED)]),
    ] {
        refused(
            || Script::saying(Says::jid("mallory@example.org"), 1),
            &expect,
            why.clone(),
        );
    }
}

#[test]
fn several_names_in_the_certificate_even_when_pinned() {
    let several = || Script::saying(Says::jid(ALICE).and_jid("mallory@example.org"), 1);
    for expect in [
        expect(BOB, ALICE),
        pins(&[(ALICE, fingerprint(&key(1)), VERIFIED)]),
    ] {
        refused(
            several,
            &expect,
            TrustError::SeveralJids {
                peer: ALICE.to_owned(),
            },
        );
    }
}

#[test]
fn a_name_with_a_nul_or_a_resource() {
    for (name, error) in [
        ("alice@example.org\0.evil", JidError::Control),
        ("alice@example.org/phone", JidError::Resource),
    ] {
        refused(
            || Script::saying(Says::jid(name), 1),
            &expect(BOB, ALICE),
            bad(CertificateFault::Jid(error)),
        );
    }
}

#[test]
fn names_that_cannot_be_read() {
    let value = der(0xa0, &[&der(0x0c, &[ALICE.as_bytes()])]);
    let second = || Says::jid(ALICE).and_extension(der(0x30, &[&xmpp_addr(&value)]));
    refused(
        || Script::saying(second(), 1),
        &expect(BOB, ALICE),
        bad(CertificateFault::Names),
    );
    let latin1 = xmpp_addr(&der(0xa0, &[&der(0x0c, &[b"alic\xe9@example.org"])]));
    let odd = || Says::nothing().and_extension(der(0x30, &[&latin1]));
    refused(
        || Script::saying(odd(), 1),
        &expect(BOB, ALICE),
        bad(CertificateFault::JidEncoding),
    );
}

#[test]
fn an_expired_certificate_is_accepted() {
    accepted(
        || Script::saying(Says::jid(ALICE).expired(), 1),
        &expect(BOB, ALICE),
        Standing::New,
    );
}

#[test]
fn an_unreadable_certificate() {
    let garbage = || Script::new(vec![b"garbage".to_vec().into()], &key(1));
    refused(
        garbage,
        &expect(BOB, ALICE),
        bad(CertificateFault::Encoding),
    );
    let trailing = [Says::jid(ALICE).signed(&key(1)).to_vec(), vec![0]].concat();
    refused(
        || Script::new(vec![trailing.clone().into()], &key(1)),
        &expect(BOB, ALICE),
        bad(CertificateFault::Trailing),
    );
}

#[test]
fn a_p256_key_is_accepted() {
    let key = Key::p256(&default_provider());
    accepted(
        || Script::new(vec![Says::jid(ALICE).signed(&key)], &key),
        &expect(BOB, ALICE),
        Standing::New,
    );
}

#[test]
fn an_rsa_key() {
    let rsa = || {
        Public(
            &rcgen::PKCS_RSA_SHA256,
            der(0x30, &[&[0x02, 0x02, 0x7f, 0xff], &[0x02, 0x01, 0x03]]),
        )
    };
    let script = || Script::new(vec![Says::jid(ALICE).about(&rsa(), &key(1))], &key(1));
    refused(script, &expect(BOB, ALICE), bad(CertificateFault::Key));
}

#[test]
fn our_own_key_reflected() {
    let reflected = || Script::saying(Says::jid(ALICE), 2);
    refused(
        reflected,
        &expect(BOB, ALICE),
        TrustError::OwnKey {
            peer: ALICE.to_owned(),
        },
    );
    let pinned = pins(&[(ALICE, fingerprint(&key(2)), VERIFIED)]);
    refused(
        reflected,
        &pinned,
        TrustError::OwnKey {
            peer: ALICE.to_owned(),
        },
    );
}

#[test]
fn our_own_address_needs_a_pin() {
    let ourselves = || Script::saying(Says::jid(BOB), 9);
    let why = TrustError::NotPinned {
        peer: BOB.to_owned(),
        presented: fingerprint(&key(9)),
    };
    for policy in [Policy::Ask, Policy::Tofu, Policy::Pinned] {
        refused(
            ourselves,
            &{
                let mut expect = expect(BOB, BOB);
                expect.policy = policy;
                expect
            },
            why.clone(),
        );
    }
    let pinned = {
        let mut expect = pins(&[(BOB, fingerprint(&key(9)), VERIFIED)]);
        expect.peer = BOB.to_owned();
        expect
    };
    accepted(ourselves, &pinned, Standing::Pinned(VERIFIED));
}

#[test]
fn a_key_of_somebody_else() {
    let carol = "carol@example.org";
    let why = TrustError::KeyOfAnother {
        jid: carol.to_owned(),
        peer: ALICE.to_owned(),
        presented: fingerprint(&key(1)),
    };
    refused(
        alice,
        &pins(&[(carol, fingerprint(&key(1)), Level::FirstUse)]),
        why.clone(),
    );
    refused(
        || Script::saying(Says::jid(carol), 1),
        &pins(&[(carol, fingerprint(&key(1)), Level::FirstUse)]),
        why,
    );
}

#[test]
fn a_revoked_key() {
    let why = TrustError::Revoked {
        peer: ALICE.to_owned(),
        presented: fingerprint(&key(1)),
    };
    refused(
        alice,
        &pins(&[(ALICE, fingerprint(&key(1)), Level::Revoked)]),
        why.clone(),
    );
    refused(
        alice,
        &pins(&[("carol@example.org", fingerprint(&key(1)), Level::Revoked)]),
        why,
    );
}

#[test]
fn an_unknown_key_where_pins_are_required() {
    let why = TrustError::NotPinned {
        peer: ALICE.to_owned(),
        presented: fingerprint(&key(1)),
    };
    refused(
        alice,
        &{
            let mut expect = expect(BOB, ALICE);
            expect.policy = Policy::Pinned;
            expect
        },
        why,
    );
}

/// The alert says that the peer is not welcome, never why: a stranger cannot tell a changed key from an unknown one.
#[test]
fn the_alert_does_not_say_why() {
    let changed = pins(&[(ALICE, fingerprint(&key(5)), VERIFIED)]);
    let revoked = pins(&[(ALICE, fingerprint(&key(1)), Level::Revoked)]);
    let unknown = {
        let mut expect = expect(BOB, ALICE);
        expect.policy = Policy::Pinned;
        expect
    };
    for expect in [changed, revoked, unknown] {
        let (_, raw) = meet(Role::Server, alice(), expect);
        assert_eq!(
            raw.error,
            Some(Error::AlertReceived(AlertDescription::AccessDenied))
        );
    }
    assert_eq!(
        AlertDescription::from(CertificateError::ApplicationVerificationFailure),
        AlertDescription::AccessDenied
    );
}
