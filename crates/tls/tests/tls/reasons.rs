//! Every reason to refuse a key has a row in the table.

use xtls_tls::{
    Fingerprint,
    trust::{Doubt, Method, TrustError},
};

use crate::support::ALICE;
use crate::table::{cases, name};

/// A new reason to refuse needs a row: every name of the errors about trust is in the table.
#[test]
fn no_reason_to_refuse_is_missing_from_the_table() {
    let peer = || ALICE.to_owned();
    let presented = Fingerprint::of_spki(b"");
    let reasons = [
        TrustError::KeyChanged {
            peer: peer(),
            known: Vec::new(),
            presented,
        },
        TrustError::NotPinned {
            peer: peer(),
            presented,
        },
        TrustError::WrongJid {
            san: peer(),
            peer: peer(),
        },
        TrustError::SeveralJids { peer: peer() },
        TrustError::NoJid {
            peer: peer(),
            presented,
        },
        TrustError::OwnKey { peer: peer() },
        TrustError::KeyOfAnother {
            jid: peer(),
            peer: peer(),
            presented,
        },
        TrustError::Revoked {
            peer: peer(),
            presented,
        },
        TrustError::Doubted {
            peer: peer(),
            doubt: Doubt::new(presented, Method::Words, 0),
        },
        TrustError::NotProven {
            peer: peer(),
            presented,
        },
        TrustError::SeveralCertificates {
            peer: peer(),
            count: 2,
        },
        TrustError::BadCertificate {
            peer: peer(),
            fault: xtls_tls::CertificateFault::Encoding,
        },
    ];
    let named: Vec<String> = reasons.map(|why| name(&why.into())).to_vec();
    let cases = cases();
    let missing = named.iter().filter(|why| {
        let fits = |outcome: &Option<&str>| outcome.is_some_and(|outcome| outcome == why.as_str());
        !cases.iter().any(|case| case.outcomes.iter().any(fits))
    });
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0]);
    // As many as there are variants: the enum is non-exhaustive for others, so its source is counted.
    let source = include_str!("../../src/trust/error.rs");
    let body = source.split("pub enum TrustError {").nth(1).unwrap();
    let body = body.split("\n}").next().unwrap();
    let variants = body.lines().filter(|line| {
        let line = line.strip_prefix("    ").unwrap_or_default();
        line.starts_with(|first: char| first.is_ascii_uppercase())
    });
    // Two keys for one address are not seen by one handshake.
    let rows = named.len() + usize::from(body.contains("TwoKeys"));
    assert_eq!(variants.count(), rows, "a variant without a row");
}
