use zeroize::Zeroizing;

use super::{Identity, IdentityError, MAX_CREATED};
use crate::{CertificateFault, Fingerprint, JidError, pem, san};

const JID: &str = "bob@example.net";
const CREATED: i64 = 1_767_225_600;

fn seed(byte: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([byte; 32])
}

fn bob() -> Identity {
    Identity::generate(JID, &seed(7), CREATED).unwrap()
}

/// PEM of `key` (PKCS#8) and `certificate`.
fn text(key: &[u8], certificate: &[u8]) -> String {
    let mut text = Zeroizing::new(String::new());
    pem::write("PRIVATE KEY", key, &mut text);
    pem::write("CERTIFICATE", certificate, &mut text);
    text.to_string()
}

#[test]
fn the_key_is_the_one_of_rfc_8410() {
    // Private and public key of RFC 8410 §10.3.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let key = pem::read("PRIVATE KEY", pem).unwrap();
    let identity =
        Identity::generate(JID, &Zeroizing::new(key[16..].try_into().unwrap()), CREATED).unwrap();
    let spki = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    assert_eq!(
        identity.spki(),
        pem::read("PUBLIC KEY", spki).unwrap().as_slice()
    );
    assert!(identity.to_pem().starts_with(pem));
}

#[test]
fn the_same_arguments_give_the_same_certificate() {
    assert_eq!(bob().certificate(), bob().certificate());
    let others = [
        Identity::generate(JID, &seed(8), CREATED),
        Identity::generate(JID, &seed(7), CREATED + 1),
        Identity::generate("eve@example.net", &seed(7), CREATED),
    ];
    for other in others {
        assert_ne!(other.unwrap().certificate(), bob().certificate());
    }
}

#[test]
fn the_certificate_says_who_when_and_nothing_else() {
    let identity = Identity::generate("Bob@Example.NET", &seed(7), CREATED).unwrap();
    assert_eq!(identity.jid(), JID);
    assert_eq!(
        san::names(identity.certificate()),
        Ok(san::Names::One(JID.to_owned()))
    );
    assert_eq!(san::spki(identity.certificate()), Ok(identity.spki()));
    assert_eq!(
        identity.fingerprint(),
        Fingerprint::of_spki(identity.spki())
    );

    let (_, x509) = x509_parser::parse_x509_certificate(identity.certificate()).unwrap();
    assert_eq!(x509.validity().not_before.timestamp(), CREATED - 86_400);
    assert_eq!(x509.validity().not_after.timestamp(), 253_402_300_799);
    assert!(!x509.is_ca());
    assert_eq!(x509.subject(), x509.issuer());
    assert_eq!(x509.tbs_certificate.raw_serial().len(), 8);
    assert_eq!(x509.extensions().len(), 1, "subject alternative name");
}

#[test]
fn pem_reads_back() {
    let back = Identity::from_pem(&bob().to_pem()).unwrap();
    assert_eq!(back.jid(), JID);
    assert_eq!(back.certificate(), bob().certificate());
    assert_eq!(back.fingerprint(), bob().fingerprint());
    assert_eq!(*back.to_pem(), *bob().to_pem());
}

#[test]
fn pem_that_is_damaged_or_mixed_up_is_refused_by_name() {
    let pkcs8 = super::pkcs8(&[7; 32]);
    let other = Identity::generate(JID, &seed(8), CREATED).unwrap();
    let long_key = [pkcs8.as_slice(), &[0]].concat();
    let long_certificate = [bob().certificate().as_ref(), &[0]].concat();
    let cases = [
        (String::new(), IdentityError::Key),
        (text(b"not a key", bob().certificate()), IdentityError::Key),
        (text(&pkcs8[..47], bob().certificate()), IdentityError::Key),
        (text(&long_key, bob().certificate()), IdentityError::Key),
        (
            format!("{}{}", *bob().to_pem(), *bob().to_pem()),
            IdentityError::Key,
        ),
        (
            bob().to_pem().replace("CERTIFICATE", "CERTIFICAT"),
            IdentityError::NoCertificate,
        ),
        (
            text(&*pkcs8, b"not a certificate"),
            IdentityError::Certificate(CertificateFault::Encoding),
        ),
        (
            text(&*pkcs8, &long_certificate),
            IdentityError::Certificate(CertificateFault::Trailing),
        ),
        (text(&*pkcs8, other.certificate()), IdentityError::Mismatch),
    ];
    for (text, error) in cases {
        assert_eq!(Identity::from_pem(&text).unwrap_err(), error);
    }
}

#[test]
fn pem_cut_anywhere_is_refused() {
    let pem = bob().to_pem();
    for len in 0..pem.len() - 1 {
        assert!(Identity::from_pem(&pem[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn impossible_jids_and_dates_are_refused() {
    let error = Identity::generate("bob@example.net/phone", &seed(7), CREATED).unwrap_err();
    assert_eq!(
        error,
        IdentityError::Jid {
            jid: "bob@example.net/phone".to_owned(),
            why: JidError::Resource
        }
    );
    let last = i64::try_from(MAX_CREATED).unwrap();
    for created in [i64::MIN, -1, 86_399, last + 1, i64::MAX] {
        let error = Identity::generate(JID, &seed(7), created).unwrap_err();
        assert_eq!(error, IdentityError::Created { seconds: created });
    }
    for created in [86_400, last] {
        let identity = Identity::generate(JID, &seed(7), created).unwrap();
        let (_, x509) = x509_parser::parse_x509_certificate(identity.certificate()).unwrap();
        assert_eq!(x509.validity().not_before.timestamp(), created - 86_400);
    }
}

#[test]
fn debug_shows_no_key() {
    let debug = format!("{:?}", bob());
    assert_eq!(
        debug,
        format!(
            "Identity {{ jid: \"bob@example.net\", fingerprint: {:?}, .. }}",
            bob().fingerprint()
        )
    );
}

#[cfg(all(feature = "aws-lc-rs", feature = "ring"))]
#[test]
fn both_providers_make_the_same_identity() {
    use crate::Provider;
    let make = |provider: Provider| {
        Identity::generate_with(&provider.crypto(), JID, &seed(7), CREATED).unwrap()
    };
    assert_eq!(
        make(Provider::AwsLc).certificate(),
        make(Provider::Ring).certificate()
    );
    let pem = make(Provider::AwsLc).to_pem();
    assert_eq!(
        Identity::from_pem_with(&Provider::Ring.crypto(), &pem)
            .unwrap()
            .certificate(),
        make(Provider::Ring).certificate()
    );
}
