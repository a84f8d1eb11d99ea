//! Certificates of every kind, at noon of 1 July 2027.

mod handshake;
mod names;

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;

use super::*;
use crate::net::tests::pem_file;
use crate::net::tls;

const NOW: UnixTime = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_814_443_200));
const DOMAIN: &str = "example.org";

/// What is wrong with a certificate for this domain, in words, or nothing.
fn verdict(verifier: &Verifier, domain: &str, chain: &[CertificateDer<'_>]) -> Result<(), String> {
    let name = tls::server_name(domain).unwrap();
    let (first, rest) = chain.split_first().unwrap();
    match verifier.verify_server_cert(first, rest, &name, &[], NOW) {
        Ok(_) => Ok(()),
        Err(error) => Err(fault_of(&error).unwrap().to_string()),
    }
}

fn trusting(domain: &str, file: &Path) -> Verifier {
    tls::verifier(&Arc::new(tls::provider()), domain, Some(file), None).unwrap()
}

fn pinning(domain: &str, pin: Pin) -> Verifier {
    tls::verifier(&Arc::new(tls::provider()), domain, None, Some(pin)).unwrap()
}

/// Those of a server with these names, this year.
fn params(names: &[&str]) -> CertificateParams {
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.not_before = date_time_ymd(2027, 1, 1);
    params.not_after = date_time_ymd(2027, 12, 31);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "example.org");
    params
}

/// Those of somebody who signs others.
fn authority(name: &str) -> CertificateParams {
    let mut params = params(&[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Somebody who signs others, and a certificate of theirs.
struct Signer {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Signer {
    fn root(params: CertificateParams) -> Self {
        Self::with(params, KeyPair::generate().unwrap())
    }

    fn with(params: CertificateParams, key: KeyPair) -> Self {
        let certificate = der(&params.self_signed(&key).unwrap());
        let issuer = Issuer::new(params, key);
        Self {
            issuer,
            certificate,
        }
    }

    fn sign(&self, params: &CertificateParams) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        der(&params.signed_by(&key, &self.issuer).unwrap())
    }

    /// Another one, below this one.
    fn below(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = der(&params.signed_by(&key, &self.issuer).unwrap());
        let issuer = Issuer::new(params, key);
        Self {
            issuer,
            certificate,
        }
    }

    /// Trusts this one for this domain.
    fn trusted(&self, domain: &str) -> Verifier {
        trusting(domain, pem_file(&self.certificate).path())
    }
}

fn der(certificate: &rcgen::Certificate) -> CertificateDer<'static> {
    certificate.der().clone().into_owned()
}

fn key_of(certificate: &CertificateDer<'_>) -> Pin {
    let parsed = ParsedCertificate::try_from(certificate).unwrap();
    Pin::new(Sha256::digest(parsed.subject_public_key_info()).into())
}

/// What comes of a server's certificate that an authority of the file has signed.
fn signed(domain: &str, params: &CertificateParams) -> Result<(), String> {
    let root = Signer::root(authority("Root"));
    verdict(&root.trusted(domain), domain, &[root.sign(params)])
}

fn refused(sentence: &str) -> Result<(), String> {
    Err(sentence.to_owned())
}

#[test]
fn an_expired_certificate_is_refused() {
    let mut params = params(&[DOMAIN]);
    params.not_after = date_time_ymd(2027, 5, 3);
    assert_eq!(signed(DOMAIN, &params), refused("it expired on 3 May 2027"));
}

#[test]
fn a_certificate_of_the_future_is_refused() {
    let mut params = params(&[DOMAIN]);
    params.not_before = date_time_ymd(2027, 8, 1);
    assert_eq!(
        signed(DOMAIN, &params),
        refused(
            "it is not valid before 1 August 2027, and by this machine's clock it is 1 July 2027"
        )
    );
}

#[test]
fn an_authority_in_between_whose_time_is_not_now_is_named_as_such() {
    let root = Signer::root(authority("Root"));
    let verifier = root.trusted(DOMAIN);
    let mut expired = authority("Between");
    expired.not_after = date_time_ymd(2027, 5, 3);
    let mut future = authority("Between");
    future.not_before = date_time_ymd(2027, 8, 1);
    for (authority, sentence) in [
        (expired, "an authority above it expired on 3 May 2027"),
        (
            future,
            "an authority above it is not valid before 1 August 2027, and by this machine's clock it is 1 July 2027",
        ),
    ] {
        let between = root.below(authority);
        let chain = [between.sign(&params(&[DOMAIN])), between.certificate];
        assert_eq!(verdict(&verifier, DOMAIN, &chain), refused(sentence));
    }
}

#[test]
fn a_certificate_of_others_is_refused_and_they_are_named() {
    let nine = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for (names, shown) in [
        (&["a.example"][..], "a.example"),
        (&["a.example", "b.example"], "a.example and b.example"),
        (
            &["a.example", "192.0.2.1", "2001:db8::1"],
            "a.example, 192.0.2.1 and 2001:db8::1",
        ),
        (&nine, "a, b, c, d, e, f, g, h and 2 others"),
        // What a wildcard stands for is one label.
        (&["*.example.org"], "*.example.org"),
    ] {
        let sentence = format!("it is for {shown}, not for example.org");
        assert_eq!(signed(DOMAIN, &params(names)), Err(sentence));
    }
    let mut mail = params(&[]);
    mail.subject_alt_names = vec![SanType::Rfc822Name("a@example.org".try_into().unwrap())];
    assert_eq!(
        signed(DOMAIN, &mail),
        refused("it is for no one, not for example.org")
    );
}

#[test]
fn a_common_name_is_no_name() {
    assert_eq!(
        signed(DOMAIN, &params(&[])),
        refused("it has no subjectAltName, so it is for no one (a common name does not count)")
    );
}

#[test]
fn an_unknown_self_signed_certificate_is_refused_with_its_key() {
    let root = Signer::root(authority("Root"));
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = params(&[DOMAIN]);
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        let certificate = der(&params.self_signed(&key).unwrap());
        let sentence = format!(
            "it is self-signed and not among those you trust (SHA-256 of its key: {})",
            Pin::new(Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&key)).into())
        );
        assert_eq!(
            verdict(&root.trusted(DOMAIN), DOMAIN, &[certificate]),
            Err(sentence)
        );
    }
}

#[test]
fn an_unknown_authority_is_refused_and_named() {
    let root = Signer::root(authority("Root"));
    let other = Signer::root(authority("Somebody Else"));
    let certificate = other.sign(&params(&[DOMAIN]));
    let sentence = format!(
        "it is signed by CN=Somebody Else, which is not among the authorities you trust (SHA-256 of its key: {})",
        key_of(&certificate)
    );
    for chain in [
        vec![certificate.clone()],
        vec![certificate, other.certificate.clone()],
    ] {
        assert_eq!(
            verdict(&root.trusted(DOMAIN), DOMAIN, &chain),
            Err(sentence.clone())
        );
    }
}

#[test]
fn who_only_has_the_name_of_an_authority_is_refused() {
    let root = Signer::root(authority("Root"));
    let namesake = Signer::root(authority("Root"));
    let of_another_kind = Signer::with(
        authority("Root"),
        KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
    );
    for known in [root, of_another_kind] {
        let chain = [namesake.sign(&params(&[DOMAIN]))];
        let sentence = format!(
            "it is not signed by the CN=Root that you trust, but by another of that name (SHA-256 of its key: {})",
            key_of(&chain[0])
        );
        assert_eq!(
            verdict(&known.trusted(DOMAIN), DOMAIN, &chain),
            Err(sentence)
        );
        // Debian's snake oil is called "localhost", as many a server is that signs itself.
        let mut own = params(&[DOMAIN]);
        own.distinguished_name.push(DnType::CommonName, "Root");
        let own = Signer::root(own);
        let sentence = format!(
            "it is self-signed and not among those you trust (SHA-256 of its key: {})",
            key_of(&own.certificate)
        );
        assert_eq!(
            verdict(
                &known.trusted(DOMAIN),
                DOMAIN,
                std::slice::from_ref(&own.certificate)
            ),
            Err(sentence)
        );
        // If it is in the file beside its namesake, it is known by itself.
        let both = pem_file(&known.certificate);
        let text = std::fs::read(pem_file(&chain[0]).path()).unwrap();
        let all = [std::fs::read(both.path()).unwrap(), text].concat();
        std::fs::write(both.path(), all).unwrap();
        assert_eq!(
            verdict(&trusting(DOMAIN, both.path()), DOMAIN, &chain),
            Ok(())
        );
    }
}

#[test]
fn a_time_that_ends_before_it_begins_is_refused() {
    let mut params = params(&[DOMAIN]);
    params.not_after = date_time_ymd(2026, 5, 3);
    assert_eq!(
        signed(DOMAIN, &params),
        refused("its time ends before it begins, or that of an authority above it")
    );
}

#[test]
fn other_faults_are_sentences_too() {
    let mut purpose = params(&[DOMAIN]);
    purpose.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert_eq!(
        signed(DOMAIN, &purpose),
        refused("it is not for servers, by its extended key usage")
    );
    let mut critical = params(&[DOMAIN]);
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
    extension.set_criticality(true);
    critical.custom_extensions = vec![extension];
    assert_eq!(
        signed(DOMAIN, &critical),
        refused("it has a critical extension that nobody knows here")
    );
    let root = Signer::root(authority("Root"));
    let verifier = root.trusted(DOMAIN);
    let garbage = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    assert_eq!(
        verdict(&verifier, DOMAIN, &[garbage]),
        refused("it is not an X.509 certificate in DER")
    );
    let below = root.below({
        let mut params = authority("Below");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params
    });
    let lowest = below.below(authority("Lowest"));
    let chain = [
        lowest.sign(&params(&[DOMAIN])),
        lowest.certificate,
        below.certificate,
    ];
    assert_eq!(
        verdict(&verifier, DOMAIN, &chain),
        refused("it breaks a rule of X.509 (PathLenConstraintViolated)")
    );
}

/// An authority has no business at a server, whoever has signed it.
#[test]
fn an_authority_is_no_server() {
    let root = Signer::root(authority("Root"));
    let mut params = authority("Between");
    params.subject_alt_names = vec![SanType::DnsName(DOMAIN.try_into().unwrap())];
    let between = root.below(params);
    assert_eq!(
        verdict(&root.trusted(DOMAIN), DOMAIN, &[between.certificate]),
        refused("it is an authority's, not a server's")
    );
}

#[test]
fn a_self_signed_ca_from_the_file_is_taken_as_itself_and_for_its_name_only() {
    let named = |not_after| {
        let mut params = authority("example.org");
        params.subject_alt_names = vec![SanType::DnsName(DOMAIN.try_into().unwrap())];
        params.not_after = not_after;
        params
    };
    let own = Signer::root(named(date_time_ymd(2027, 12, 31)));
    let itself = [own.certificate.clone()];
    assert_eq!(verdict(&own.trusted(DOMAIN), DOMAIN, &itself), Ok(()));
    assert_eq!(
        verdict(&own.trusted("example.net"), "example.net", &itself),
        refused("it is for example.org, not for example.net")
    );
    // The same key in another certificate is not the one in the file.
    let again = der(&named(date_time_ymd(2027, 12, 30))
        .self_signed(own.issuer.key())
        .unwrap());
    let sentence = format!(
        "it is self-signed and not among those you trust (SHA-256 of its key: {})",
        key_of(&again)
    );
    assert_eq!(
        verdict(&own.trusted(DOMAIN), DOMAIN, &[again]),
        Err(sentence)
    );
    let expired = Signer::root(named(date_time_ymd(2027, 5, 3)));
    assert_eq!(
        verdict(
            &expired.trusted(DOMAIN),
            DOMAIN,
            std::slice::from_ref(&expired.certificate)
        ),
        refused("it expired on 3 May 2027")
    );
}

/// As `openssl req -x509 -newkey ec … -subj /CN=localhost -addext subjectAltName=DNS:localhost` (3.0) has made it.
const OPENSSL: &str = "-----BEGIN CERTIFICATE-----
MIIBlTCCATugAwIBAgIUarChMD3gWJO6nMrtkkr1gmNdjn0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDA4MjkzNloYDzIxMjYxMTA2
MDgyOTM2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASftBkGJrmYok7y/7IQ/VFNZZPqgrcEURHV6Mxbat4HBjYTkfoIYetf
oYm1OzAaT/l9s5rxuK/CTh9DWjRhj4g+o2kwZzAdBgNVHQ4EFgQU79LIO6Q6OXLc
dOXvIdivBGC4vEYwHwYDVR0jBBgwFoAU79LIO6Q6OXLcdOXvIdivBGC4vEYwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SAAwRQIgMqV3snpPm2djuLFwHHcEc/RLweVBv2CivCknCt9uwZsCIQCeyV6jeiWT
7TZZqIxSDncJpYKpkO5eNYbRT/EZL+jLXg==
-----END CERTIFICATE-----
";

#[test]
fn what_openssl_makes_by_itself_is_taken_from_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), OPENSSL).unwrap();
    let certificate = CertificateDer::from_pem_slice(OPENSSL.as_bytes()).unwrap();
    // `openssl x509 -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256` says so.
    let pin = "cf0feba15176bd72ff33770bf9fd00a0d5e67ffbce37c59478161e5b93e39119";
    let pin: Pin = pin.parse().unwrap();
    let chain = [certificate];
    let verifier = trusting("localhost", file.path());
    assert_eq!(verdict(&verifier, "localhost", &chain), Ok(()));
    assert_eq!(
        verdict(&pinning("localhost", pin), "localhost", &chain),
        Ok(())
    );
    assert_eq!(
        verdict(&trusting(DOMAIN, file.path()), DOMAIN, &chain),
        refused("it is for localhost, not for example.org")
    );
}

#[test]
fn an_authority_of_the_file_signs_servers_also_through_others() {
    assert_eq!(signed(DOMAIN, &params(&["a.example", DOMAIN])), Ok(()));
    let root = Signer::root(authority("Root"));
    let between = root.below(authority("Between"));
    let chain = [between.sign(&params(&[DOMAIN])), between.certificate];
    assert_eq!(verdict(&root.trusted(DOMAIN), DOMAIN, &chain), Ok(()));
}

#[test]
fn a_certificate_from_the_file_needs_no_authority_but_its_name_and_time() {
    let somebody = Signer::root(authority("Somebody Else"));
    let certificate = somebody.sign(&params(&[DOMAIN]));
    let file = pem_file(&certificate);
    let chain = [certificate];
    assert_eq!(
        verdict(&trusting(DOMAIN, file.path()), DOMAIN, &chain),
        Ok(())
    );
    assert_eq!(
        verdict(&trusting("a.example", file.path()), "a.example", &chain),
        refused("it is for example.org, not for a.example")
    );
    let mut expired = params(&[DOMAIN]);
    expired.not_after = date_time_ymd(2027, 5, 3);
    let certificate = somebody.sign(&expired);
    let file = pem_file(&certificate);
    assert_eq!(
        verdict(&trusting(DOMAIN, file.path()), DOMAIN, &[certificate]),
        refused("it expired on 3 May 2027")
    );
}

#[test]
fn domains_of_all_kinds_are_found_in_certificates() {
    for (domain, name) in [
        ("bücher.example", "xn--bcher-kva.example"),
        ("a.example.org", "*.example.org"),
        ("example.org", "EXAMPLE.org"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ] {
        assert_eq!(signed(domain, &params(&[name])), Ok(()), "{domain}");
    }
    assert_eq!(
        signed("a.b.example.org", &params(&["*.example.org"])),
        refused("it is for *.example.org, not for a.b.example.org")
    );
}

#[test]
fn another_key_than_the_pinned_one_is_refused_whatever_else_is_right() {
    let root = Signer::root(authority("Root"));
    let certificate = root.sign(&params(&[DOMAIN]));
    let pinned = Pin::new([7; 32]);
    let provider = Arc::new(tls::provider());
    let file = pem_file(&root.certificate);
    let verifier = tls::verifier(&provider, DOMAIN, Some(file.path()), Some(pinned)).unwrap();
    let presented = key_of(&certificate);
    let seven = ["07070707"; 8].join(":");
    assert_eq!(
        verdict(&verifier, DOMAIN, &[certificate]),
        Err(format!(
            "its key is not the pinned one: pinned {seven}, presented {presented}"
        ))
    );
}

#[test]
fn the_pinned_key_counts_whatever_the_certificate_says() {
    let stranger = Signer::root(authority("Stranger"));
    let mut expired = params(&["a.example"]);
    expired.not_after = date_time_ymd(2027, 5, 3);
    for params in [expired, params(&[]), authority("example.org")] {
        let certificate = stranger.sign(&params);
        let verifier = pinning(DOMAIN, key_of(&certificate));
        assert_eq!(verdict(&verifier, DOMAIN, &[certificate]), Ok(()));
    }
}
