//! What a certificate says, and what is no such thing: an identity is read from a text only if its certificate can be used.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{OtherNameValue, SanType};
use xtls_tls::{CertificateFault, Identity, IdentityError, JidError, default_provider};

use crate::certificate::{Key, Public, Says, der, xmpp_addr};

/// The private key of every certificate here that is for an Ed25519 key.
const SEED: u8 = 7;

fn key() -> Key {
    Key::ed25519(&default_provider(), SEED)
}

/// Whose a certificate claims to be, as its owner reads it.
fn read(certificate: &[u8]) -> Result<String, IdentityError> {
    let head = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let key = [&head[..], &[SEED; 32]].concat();
    let text: String = [("PRIVATE KEY", &key[..]), ("CERTIFICATE", certificate)]
        .map(|(label, der)| {
            let body = STANDARD.encode(der);
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        })
        .concat();
    Identity::from_pem(&text).map(|identity| identity.jid().to_owned())
}

fn fault(fault: CertificateFault) -> Result<String, IdentityError> {
    Err(IdentityError::Certificate(fault))
}

fn says(says: Says) -> Result<String, IdentityError> {
    read(&says.signed(&key()))
}

fn bob() -> Result<String, IdentityError> {
    Ok("bob@example.net".to_owned())
}

/// A subject alternative name extension whose names are these, in DER.
fn extension(general_names: &[&[u8]]) -> Says {
    Says::nothing().and_extension(der(0x30, general_names))
}

fn utf8(text: &str) -> Vec<u8> {
    der(0x0c, &[text.as_bytes()])
}

#[test]
fn one_address_is_read_and_lower_cased() {
    assert_eq!(says(Says::jid("Bob@Example.NET")), bob());
}

#[test]
fn dates_are_not_looked_at() {
    assert_eq!(says(Says::jid("bob@example.net").expired()), bob());
}

#[test]
fn no_extension_and_other_names_only_name_no_one() {
    assert_eq!(says(Says::nothing()), Err(IdentityError::Names));
    let dns = SanType::DnsName("example.net".try_into().unwrap());
    let uri = SanType::URI("xmpp:bob@example.net".try_into().unwrap());
    let upn = SanType::OtherName((
        vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3],
        OtherNameValue::Utf8String("bob@example.net".into()),
    ));
    assert_eq!(
        says(Says::nothing().and(dns.clone()).and(uri).and(upn)),
        Err(IdentityError::Names)
    );
    assert_eq!(says(Says::jid("bob@example.net").and(dns)), bob());
}

#[test]
fn two_addresses_are_refused_even_when_equal() {
    assert_eq!(
        says(Says::jid("bob@example.net").and_jid("mallory@example.net")),
        Err(IdentityError::Names)
    );
    assert_eq!(
        says(Says::jid("bob@example.net").and_jid("bob@example.net")),
        Err(IdentityError::Names)
    );
}

#[test]
fn two_extensions_are_refused() {
    let two = Says::jid("bob@example.net").and_extension(der(
        0x30,
        &[&xmpp_addr(&der(0xa0, &[&utf8("eve@example.net")]))],
    ));
    assert_eq!(says(two), fault(CertificateFault::Names));
}

#[test]
fn what_is_no_bare_jid_is_refused_by_name() {
    let cases = [
        ("bob@example.net\0.evil.example", JidError::Control),
        ("bob@example.net\0", JidError::Control),
        ("bob@example.net/phone", JidError::Resource),
        ("", JidError::Empty),
        ("@example.net", JidError::Empty),
        ("bob@eve@example.net", JidError::Character),
        ("bob@example.net ", JidError::Character),
    ];
    for (jid, error) in cases {
        assert_eq!(
            says(Says::jid(jid)),
            fault(CertificateFault::Jid(error)),
            "{jid:?}"
        );
    }
}

#[test]
fn an_address_that_is_not_one_utf8_string_is_refused() {
    let good = utf8("bob@example.net");
    let cases = [
        (
            "IA5String",
            xmpp_addr(&der(0xa0, &[&der(0x16, &[b"bob@example.net"])])),
        ),
        (
            "BMPString",
            xmpp_addr(&der(0xa0, &[&der(0x1e, &[b"\0b\0o\0b"])])),
        ),
        (
            "constructed",
            xmpp_addr(&der(0xa0, &[&der(0x2c, &[&good])])),
        ),
        (
            "not UTF-8",
            xmpp_addr(&der(0xa0, &[&der(0x0c, &[b"bob\xff@example.net"])])),
        ),
        ("no explicit tag", xmpp_addr(&good)),
        ("wrong explicit tag", xmpp_addr(&der(0xa1, &[&good]))),
        ("two strings inside", xmpp_addr(&der(0xa0, &[&good, &good]))),
        (
            "bytes after the value",
            xmpp_addr(&[der(0xa0, &[&good]), vec![5, 0]].concat()),
        ),
        ("no value", xmpp_addr(&[])),
        ("cut off", xmpp_addr(&[0xa0, 0x11, 0x0c, 0x0f, b'b'])),
    ];
    for (what, name) in cases {
        assert_eq!(
            says(extension(&[&name])),
            fault(CertificateFault::JidEncoding),
            "{what}"
        );
    }
    assert_eq!(says(extension(&[&xmpp_addr(&der(0xa0, &[&good]))])), bob());
}

#[test]
fn an_unreadable_name_or_extension_is_refused() {
    let good = xmpp_addr(&der(0xa0, &[&utf8("bob@example.net")]));
    let without_kind = der(0xa0, &[&[0x06, 0x05, 0x2b]]);
    assert_eq!(
        says(extension(&[&good, &without_kind])),
        fault(CertificateFault::Names)
    );
    assert_eq!(
        says(Says::nothing().and_extension(vec![0x30, 0x7f, 0xa0])),
        fault(CertificateFault::Names)
    );
    assert_eq!(
        says(Says::nothing().and_extension(vec![0x02, 0x01, 0x00])),
        fault(CertificateFault::Names)
    );
}

#[test]
fn a_name_that_is_none_of_the_nine_kinds_is_refused() {
    let kind: &[u8] = &[0x2a, 0x03];
    let oid = der(0x06, &[kind]);
    let directory = der(0x30, &[&der(0x31, &[&der(0x30, &[&oid, &utf8("xtls")])])]);
    let good = [
        der(0xa0, &[&oid, &der(0xa0, &[&utf8("xtls")])]),
        der(0x81, &[b"bob@example.net"]),
        der(0x82, &[b"example.net"]),
        der(0xa3, &[]),
        der(0xa4, &[&directory]),
        der(0xa5, &[]),
        der(0x86, &[b"xmpp:bob@example.net"]),
        der(0x87, &[&[127, 0, 0, 1]]),
        der(0x88, &[kind]),
    ];
    for name in &good {
        let address = xmpp_addr(&der(0xa0, &[&utf8("bob@example.net")]));
        assert_eq!(says(extension(&[name, &address])), bob(), "{name:02x?}");
    }
    let mut bad = vec![
        der(0xa0, &[]),
        der(0x81, &[b"bob\xff@example.net"]),
        der(0x82, &[b"example\xff.net"]),
        der(0xa4, &[]),
        der(0xa4, &[&der(0x30, &[&oid])]),
        der(0xa4, &[&directory, &directory]),
        der(0x86, &[b"xmpp:\xff"]),
        der(0x88, &[]),
        der(0x88, &[&[0x2a, 0x83]]),
        der(0x89, &[]),
        der(0xa9, &[]),
        utf8("example.net"),
        // Of no class that names have.
        der(0xc2, &[b"example.net"]),
    ];
    // Constructed what is primitive, and the reverse.
    for mut name in good {
        name[0] ^= 0x20;
        bad.push(name);
    }
    for name in bad {
        assert_eq!(
            says(extension(&[&name])),
            fault(CertificateFault::Names),
            "{name:02x?}"
        );
    }
}

#[test]
fn bytes_after_the_names_are_refused() {
    let names = der(0x30, &[&xmpp_addr(&der(0xa0, &[&utf8("bob@example.net")]))]);
    let longer = [names, vec![0x05, 0x00]].concat();
    assert_eq!(
        says(Says::nothing().and_extension(longer)),
        fault(CertificateFault::Names)
    );
}

#[test]
fn bytes_after_the_certificate_and_garbage_are_refused() {
    let certificate = Says::jid("bob@example.net").signed(&key()).to_vec();
    let longer = [certificate.clone(), vec![0]].concat();
    assert_eq!(read(&longer), fault(CertificateFault::Trailing));
    assert_eq!(read(b"garbage"), fault(CertificateFault::Encoding));
    assert_eq!(read(b""), fault(CertificateFault::Encoding));
    for len in 0..certificate.len() {
        assert_eq!(
            read(&certificate[..len]),
            fault(CertificateFault::Encoding),
            "cut at {len}"
        );
    }
}

#[test]
fn a_changed_byte_never_panics_nor_changes_whose_it_is_unnoticed() {
    let certificate = Says::jid("bob@example.net").signed(&key()).to_vec();
    for at in 0..certificate.len() {
        for value in [0x00, 0x7f, 0x80, 0xff, certificate[at] ^ 1] {
            let mut changed = certificate.clone();
            changed[at] = value;
            if let Ok(jid) = read(&changed) {
                assert!(
                    changed
                        .windows(jid.len())
                        .any(|part| part.eq_ignore_ascii_case(jid.as_bytes()))
                );
            }
        }
    }
}

#[test]
fn ed25519_and_p256_keys_are_accepted() {
    let certificate = |key: &Key| Says::jid("bob@example.net").signed(key);
    assert_eq!(read(&certificate(&key())), bob());
    // It is read, and found to be for another key than the one beside it.
    let p256 = Key::p256(&default_provider());
    assert_eq!(read(&certificate(&p256)), Err(IdentityError::Mismatch));
}

#[test]
fn other_keys_and_other_encodings_are_refused() {
    let compressed = Public(
        &rcgen::PKCS_ECDSA_P256_SHA256,
        [vec![0x02], vec![0x11; 32]].concat(),
    );
    let hybrid = Public(
        &rcgen::PKCS_ECDSA_P256_SHA256,
        [vec![0x06], vec![0x11; 64]].concat(),
    );
    let p384 = Public(
        &rcgen::PKCS_ECDSA_P384_SHA384,
        [vec![0x04], vec![0x11; 96]].concat(),
    );
    let rsa = Public(
        &rcgen::PKCS_RSA_SHA256,
        der(0x30, &[&[0x02, 0x02, 0x7f, 0xff], &[0x02, 0x01, 0x03]]),
    );
    let long = Public(&rcgen::PKCS_ED25519, vec![0x11; 33]);
    let short = Public(&rcgen::PKCS_ED25519, vec![0x11; 31]);
    for public in [compressed, hybrid, p384, rsa, long, short] {
        let certificate = Says::jid("bob@example.net").about(&public, &key());
        assert_eq!(read(&certificate), fault(CertificateFault::Key));
    }
}
