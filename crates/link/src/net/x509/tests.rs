use proptest::prelude::*;
use rcgen::{
    CertificateParams, CustomExtension, DnType, DnValue, KeyPair, SanType, date_time_ymd,
    string::BmpString,
};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::*;
use crate::net::certificate::{is_constrained, is_for_service};

const SUBJECT_ALT_NAME: [u64; 4] = [2, 5, 29, 17];
const SERVICE: &[u8] =
    b"\x30\x19\xa0\x17\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x05\xa0\x0b\x0c\x09a.example";

fn certificate(params: &CertificateParams) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().clone().into_owned()
}

fn extended(extensions: &[(&[u64], &[u8])]) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    for (kind, value) in extensions {
        let extension = CustomExtension::from_oid_content(kind, value.to_vec());
        params.custom_extensions.push(extension);
    }
    certificate(&params)
}

fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = u8::try_from(content.len()).unwrap();
    assert!(len < 128);
    [vec![tag, len], content].concat()
}

#[test]
fn what_is_no_certificate_or_more_than_one_is_refused() {
    let whole = certificate(&CertificateParams::default());
    assert!(X509::read(&whole).is_ok());
    for len in 0..whole.len() {
        assert!(X509::read(&whole[..len]).is_err(), "cut at {len}");
    }
    assert!(X509::read(&[&whole[..], &[0]].concat()).is_err());
    assert!(X509::read(b"garbage").is_err());
}

#[test]
fn what_is_not_read_for_certain_is_for_no_service() {
    assert!(is_for_service(
        &extended(&[(&SUBJECT_ALT_NAME, SERVICE)]),
        "a.example"
    ));
    let kind = &SERVICE[4..14];
    let text = &SERVICE[16..];
    let name = |parts: &[&[u8]]| wrap(0x30, &[&wrap(0xa0, parts)]);
    let null = [0x05, 0x00];
    let cases = [
        [SERVICE, &null].concat(),
        wrap(0x31, &[&SERVICE[2..]]),
        // A name that cannot be read, before it.
        wrap(0x30, &[&[0x82, 0x81, 0x01, b'x'], &SERVICE[2..]]),
        name(&[kind]),
        name(&[kind, text]),
        name(&[kind, &wrap(0xa1, &[text])]),
        name(&[kind, &wrap(0xa0, &[text, text])]),
        name(&[kind, &wrap(0xa0, &[text]), &null]),
        name(&[&wrap(0x04, &[&kind[2..]]), &wrap(0xa0, &[text])]),
        name(&[kind, &wrap(0xa0, &[&wrap(0x04, &[b"a.example"])])]),
        name(&[kind, &wrap(0xa0, &[&wrap(0x0c, &[b"\xff.example"])])]),
        wrap(0x30, &[&wrap(0x80, &[kind, &wrap(0xa0, &[text])])]),
    ];
    for case in cases {
        let certificate = extended(&[(&SUBJECT_ALT_NAME, &case)]);
        assert!(!is_for_service(&certificate, "a.example"), "{case:02x?}");
    }
    let two = extended(&[(&SUBJECT_ALT_NAME, SERVICE), (&SUBJECT_ALT_NAME, SERVICE)]);
    assert!(!is_for_service(&two, "a.example"));
    assert!(!is_for_service(&b"garbage".as_slice().into(), "a.example"));
}

#[test]
fn an_authority_whose_constraints_cannot_be_read_is_constrained() {
    assert!(!is_constrained(&certificate(&CertificateParams::default())));
    assert!(is_constrained(&extended(&[(&[2, 5, 29, 30], b"")])));
    assert!(is_constrained(&b"garbage".as_slice().into()));
}

#[test]
fn dates_before_1970_are_none() {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1969, 12, 31);
    params.not_after = date_time_ymd(9999, 12, 31);
    let certificate = certificate(&params);
    let parsed = X509::read(&certificate).unwrap();
    assert_eq!(parsed.not_before, None);
    assert_eq!(parsed.not_after, DateTime::new(9999, 12, 31, 0, 0, 0).ok());
}

#[test]
fn the_parts_are_those_of_the_certificate() {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::DnsName("a.example".try_into().unwrap())];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let parsed = X509::read(certificate.der()).unwrap();
    assert_eq!(
        parsed.key,
        rcgen::PublicKeyData::subject_public_key_info(&key)
    );
    assert_eq!(parsed.issuer, parsed.subject);
    let names: Vec<&[u8]> = parsed.extensions(&[0x55, 0x1d, 17]).collect();
    assert_eq!(names, [b"\x30\x0b\x82\x09a.example"]);
}

#[test]
fn a_name_is_told_in_the_order_of_its_parts() {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let said: [(DnType, DnValue); 6] = [
        (
            DnType::CountryName,
            DnValue::PrintableString("DE".try_into().unwrap()),
        ),
        (DnType::OrganizationName, "Bücher".into()),
        (
            DnType::OrganizationalUnitName,
            DnValue::BmpString(BmpString::try_from("Straße").unwrap()),
        ),
        (DnType::StateOrProvinceName, "Berlin".into()),
        (DnType::CustomDnType(vec![2, 5, 4, 97]), "VAT-1".into()),
        (DnType::CommonName, "Root".into()),
    ];
    for (kind, value) in said {
        params.distinguished_name.push(kind, value);
    }
    let certificate = certificate(&params);
    let parsed = X509::read(&certificate).unwrap();
    assert_eq!(
        name(parsed.issuer).as_deref(),
        Ok("C=DE, O=Bücher, OU=Straße, ST=Berlin, 2.5.4.97=VAT-1, CN=Root")
    );
}

#[test]
fn a_name_of_unusual_parts_is_told_and_none_is_refused() {
    let attribute = |kind: &[u8], value: &[u8]| wrap(0x30, &[&wrap(0x06, &[kind]), value]);
    let cn = [0x55, 4, 3];
    let told = |parts: &[&[u8]]| name(&wrap(0x30, &[&wrap(0x31, parts)]));
    let root = attribute(&cn, &wrap(0x0c, &[b"Root"]));
    let one = attribute(&[0x55, 4, 10], &wrap(0x16, &[b"One"]));
    assert_eq!(told(&[&root, &one]).as_deref(), Ok("CN=Root + O=One"));
    let cases: [(&[u8], &[u8], &str); 6] = [
        (&cn, &[0x0c, 2, 0xff, b'a'], "CN=FF61"),
        (&cn, &[0x1e, 3, 0, b'a', 0], "CN=006100"),
        (&cn, &[0x1e, 2, 0xd8, 0], "CN=D800"),
        (&cn, &[0x04, 2, b'h', b'i'], "CN=6869"),
        (&[0x88, 0x37, 3], &[0x0c, 1, b'x'], "2.999.3=x"),
        (&[0x2a, 0x86, 0x48], &[0x0c, 1, b'x'], "1.2.840=x"),
    ];
    for (kind, value, expected) in cases {
        assert_eq!(told(&[&attribute(kind, value)]).as_deref(), Ok(expected));
    }
    assert_eq!(name(&[0x30, 0]).as_deref(), Ok(""));
    assert!(told(&[&wrap(0x30, &[&wrap(0x0c, &[b"Root"])])]).is_err());
    assert!(told(&[&[root.clone(), vec![0x05]].concat()]).is_err());
    assert!(name(&wrap(0x30, &[&root])).is_err());
    assert!(name(&[]).is_err());
}

proptest! {
    #[test]
    fn no_bytes_are_too_much(at: prop::sample::Index, with: Vec<u8>, long in any::<[u8; 40]>()) {
        let mut bytes = extended(&[(&SUBJECT_ALT_NAME, SERVICE)]).to_vec();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + with.len()).min(bytes.len()), with);
        let certificate = CertificateDer::from(bytes);
        is_for_service(&certificate, "a.example");
        is_constrained(&certificate);
        if let Ok(parsed) = X509::read(&certificate) {
            let _ = (name(parsed.issuer), name(parsed.subject));
        }
        dotted(&long);
        dotted(&[0xff; 40]);
    }
}
