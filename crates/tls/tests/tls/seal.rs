//! Records beside a connection: what opens, what does not, and who has the keys.

use std::sync::Arc;

use hkdf::Hkdf;
use rustls::crypto::CryptoProvider;
use sha2::Sha256;
use xtls_tls::{
    Config, MAX_RECORD, Open, OpenError, PathKeys, Provider, RECORD_OVERHEAD, Role, SEAL_KEY, Seal,
    SealError,
};

use super::support::{
    ALICE, BOB, Ours, config, config_with, connected, expect, identity, ours, pair, settle,
};

const BOTH: [Provider; 2] = [Provider::AwsLc, Provider::Ring];

/// 0, 1, 2 and so on.
fn key() -> [u8; SEAL_KEY] {
    std::array::from_fn(|at| u8::try_from(at).unwrap())
}

fn seal(provider: Provider) -> Seal {
    Seal::new(&provider.crypto(), &key()).unwrap()
}

fn open(provider: Provider) -> Open {
    Open::new(&provider.crypto(), &key()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

#[test]
fn a_record_with_any_bit_changed_does_not_open() {
    for provider in BOTH {
        let record = seal(provider).seal(3, b"hints").unwrap();
        let mut open = open(provider);
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut changed = record.to_vec();
                changed[at] ^= 1 << bit;
                assert_eq!(open.open(3, &changed), Err(OpenError), "{at}, {bit}");
            }
        }
        assert_eq!(open.open(3, &record).unwrap().as_slice(), b"hints");
    }
}

#[test]
fn a_record_cut_or_made_longer_does_not_open() {
    for provider in BOTH {
        let record = seal(provider).seal(0, b"hints").unwrap();
        let mut open = open(provider);
        for len in 0..record.len() {
            assert_eq!(open.open(0, &record[..len]), Err(OpenError), "{len}");
        }
        let longer = [&record[..], b"\0"].concat();
        assert_eq!(open.open(0, &longer), Err(OpenError));
        let twice = [&record[..], &record[..]].concat();
        assert_eq!(open.open(0, &twice), Err(OpenError));
        let huge = [&[0x17, 3, 3, 0xFF, 0xFF][..], &vec![0; 0xFFFF]].concat();
        assert_eq!(open.open(0, &huge), Err(OpenError));
        let beyond = [&[0x17, 3, 3, 0, 0][..], &vec![0; 0x1_0000]].concat();
        assert_eq!(open.open(0, &beyond), Err(OpenError));
    }
}

#[test]
fn a_record_of_another_number_or_key_does_not_open() {
    for provider in BOTH {
        let record = seal(provider).seal(7, b"hints").unwrap();
        for n in [0, 6, 8, 7 + (1 << 32), u64::MAX] {
            assert_eq!(open(provider).open(n, &record), Err(OpenError), "{n}");
        }
        for at in 0..SEAL_KEY {
            let mut other = key();
            other[at] ^= 1;
            let mut open = Open::new(&provider.crypto(), &other).unwrap();
            assert_eq!(open.open(7, &record), Err(OpenError), "{at}");
        }
    }
}

/// Made with another implementation of AES-GCM: "hello" under the number 7 with a byte of padding, as an alert, and a record without
/// a type.
#[test]
fn padding_and_other_types_are_refused() {
    for record in [
        "17030300173003d507253ce86d644591c8be8af704dd7ccb290199ea",
        "17030300163003d507253eb5abf0e13c05f36b3610d32331bc193b",
        "1703030010366e4349668e5528b76a0c1a65b56475",
    ] {
        for provider in BOTH {
            let opened = open(provider).open(7, &bytes(record));
            assert_eq!(opened, Err(OpenError), "{record}");
        }
    }
}

#[test]
fn no_number_is_used_twice() {
    for provider in BOTH {
        let mut seal = seal(provider);
        seal.seal(0, b"a").unwrap();
        seal.seal(5, b"a").unwrap();
        for n in 0..=5 {
            assert_eq!(seal.seal(n, b"b"), Err(SealError::Used { n }));
        }
        assert!(seal.seal(6, b"b").is_ok());
        assert_eq!(seal.seal(u64::MAX, b"b"), Err(SealError::Provider));
        // A gap from the start on leaves nothing below it.
        let mut seal = self::seal(provider);
        seal.seal(1, b"a").unwrap();
        assert_eq!(seal.seal(0, b"b"), Err(SealError::Used { n: 0 }));
    }
}

#[test]
fn more_than_a_record_is_refused_and_uses_no_number() {
    for provider in BOTH {
        let mut seal = seal(provider);
        let len = MAX_RECORD + 1;
        assert_eq!(seal.seal(0, &vec![7; len]), Err(SealError::TooLong { len }));
        let record = seal.seal(0, &vec![7; MAX_RECORD]).unwrap();
        assert_eq!(record.len(), MAX_RECORD + RECORD_OVERHEAD);
        let opened = open(provider).open(0, &record).unwrap();
        assert_eq!(*opened, vec![7; MAX_RECORD]);
    }
}

/// Made with another implementation of AES-GCM, from RFC 8446 §5.2 and §5.3.
#[test]
fn records_are_those_of_the_rfc() {
    let known = [
        (0, "1703030016ba5fca1c038fdd5b56cd50776c68ef5c31d93c710834"),
        (7, "17030300163003d507253c63206b2985bce4807d750a8d83e31360"),
        (
            (1 << 63) + 5,
            "1703030016b4f6d70f5785f83cda4c08f31e6de69b5a454022001b",
        ),
    ];
    for provider in BOTH {
        for (n, record) in known {
            let sealed = seal(provider).seal(n, b"hello").unwrap();
            assert_eq!(*sealed, bytes(record), "{n}");
        }
        let mut seal = seal(provider);
        for (n, record) in known {
            assert_eq!(*seal.seal(n, b"hello").unwrap(), bytes(record), "{n}");
        }
        let empty = self::seal(provider).seal(0, b"").unwrap();
        let known = bytes("1703030011c5d1d66ea82bc000900497bf0ce7ff1139");
        assert_eq!(*empty, known);
    }
}

#[test]
fn each_provider_opens_what_the_other_has_sealed() {
    for (one, other) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0])] {
        let (mut seal, mut open) = (seal(one), open(other));
        for step in 0_usize..200 {
            // Gaps of all sizes, among them none.
            let n = u64::try_from(step * step).unwrap();
            let plain: Vec<u8> = (0..step * 7).map(|at| at.to_le_bytes()[0]).collect();
            let record = seal.seal(n, &plain).unwrap();
            assert_eq!(*open.open(n, &record).unwrap(), plain, "{n}");
        }
    }
}

#[test]
fn a_provider_without_the_cipher_has_no_seals() {
    let mut crypto = CryptoProvider::clone(&Provider::AwsLc.crypto());
    crypto
        .cipher_suites
        .retain(|suite| suite.suite() != rustls::CipherSuite::TLS13_AES_256_GCM_SHA384);
    assert!(Seal::new(&crypto, &key()).is_none());
    assert!(Open::new(&crypto, &key()).is_none());
    let alice = config_with(ALICE, 1, Arc::new(crypto));
    let (mut alice, mut bob) = finished(&alice, true);
    assert!(alice.tls.path_keys().is_none());
    assert!(bob.tls.path_keys().is_some());
}

/// Alice with this configuration and Bob, with a name of ALPN or without.
fn finished(alice: &Config, named: bool) -> (Ours, Ours) {
    let (mut one, mut other) = (expect(ALICE, BOB), expect(BOB, ALICE));
    for expect in [&mut one, &mut other] {
        expect.alpn_required = named;
        if !named {
            expect.alpn.clear();
        }
    }
    let mut alice = ours(Role::Client, alice, one);
    let mut bob = ours(Role::Server, &config(BOB, 2), other);
    settle(&mut alice, &mut bob);
    for end in [&alice, &bob] {
        assert!(end.tls.peer().is_some(), "{:?}", end.tls.failure());
    }
    (alice, bob)
}

fn keys(end: &mut Ours) -> PathKeys {
    end.tls.path_keys().unwrap()
}

#[test]
fn there_are_no_keys_before_the_handshake_is_finished_or_after_a_failure() {
    let (mut alice, mut bob) = pair();
    assert!(alice.tls.path_keys().is_none());
    assert!(bob.tls.path_keys().is_none());
    let (mut alice, mut bob) = connected();
    alice.tls.reject();
    settle(&mut alice, &mut bob);
    assert!(alice.tls.path_keys().is_none());
    assert!(bob.tls.path_keys().is_none());
}

#[test]
fn there_are_no_keys_without_a_name_that_binds() {
    let (mut alice, mut bob) = finished(&config(ALICE, 1), false);
    assert!(alice.tls.path_keys().is_none());
    assert!(bob.tls.path_keys().is_none());
}

#[test]
fn keys_are_given_once() {
    let (mut alice, _) = connected();
    assert!(alice.tls.path_keys().is_some());
    assert!(alice.tls.path_keys().is_none());
}

#[test]
fn each_end_opens_what_the_other_says_and_not_what_it_says_itself() {
    let (mut alice, mut bob) = connected();
    let (mut alice, mut bob) = (keys(&mut alice), keys(&mut bob));
    let (from_alice, from_bob) = (
        alice.seal.seal(0, b"a").unwrap(),
        bob.seal.seal(0, b"b").unwrap(),
    );
    assert_eq!(alice.open.open(0, &from_alice), Err(OpenError));
    assert_eq!(bob.open.open(0, &from_bob), Err(OpenError));
    assert_eq!(bob.open.open(0, &from_alice).unwrap().as_slice(), b"a");
    assert_eq!(alice.open.open(0, &from_bob).unwrap().as_slice(), b"b");
    let mut other = keys(&mut connected().1);
    assert_eq!(other.open.open(0, &from_alice), Err(OpenError));
}

#[test]
fn keys_are_derived_as_the_protocol_has_it() {
    let (mut alice, mut bob) = connected();
    let (client, server) = (keys(&mut alice), keys(&mut bob));
    assert_eq!((client.role, server.role), (Role::Client, Role::Server));
    let mut secret = [0; 32];
    let label = "EXPERIMENTAL-xtls-path-1";
    alice.tls.export(label, b"", &mut secret).unwrap();
    assert_eq!(*client.secret, secret);
    assert_eq!(*server.secret, secret);
    let mut ends = Vec::new();
    for end in [
        ALICE.as_bytes(),
        BOB.as_bytes(),
        identity(ALICE, 1).fingerprint().as_bytes(),
        identity(BOB, 2).fingerprint().as_bytes(),
    ] {
        ends.extend(u32::try_from(end.len()).unwrap().to_be_bytes());
        ends.extend(end);
    }
    assert_eq!(client.ends, ends);
    assert_eq!(server.ends, ends);
    for (mut keys, name) in [
        (client, "xtls path signal client 1"),
        (server, "xtls path signal server 1"),
    ] {
        let mut key = [0; SEAL_KEY];
        let info = [name.as_bytes(), &ends].concat();
        let hkdf = Hkdf::<Sha256>::new(None, &secret);
        hkdf.expand(&info, &mut key).unwrap();
        let mut open = Open::new(&Provider::AwsLc.crypto(), &key).unwrap();
        let record = keys.seal.seal(0, b"a").unwrap();
        assert_eq!(open.open(0, &record).unwrap().as_slice(), b"a", "{name}");
    }
}

#[test]
fn debug_shows_no_key() {
    let (mut alice, _) = connected();
    let keys = keys(&mut alice);
    assert_eq!(format!("{keys:?}"), "PathKeys { role: Client, .. }");
    assert_eq!(format!("{:?}", keys.seal), "Seal { next: 0, .. }");
    assert_eq!(format!("{:?}", keys.open), "Open { .. }");
}
