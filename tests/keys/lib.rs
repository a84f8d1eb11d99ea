//! Fixed keys and addresses. Anyone who reads this file can impersonate them.

#![allow(clippy::expect_used, reason = "what a test is given is right")]

use std::sync::Arc;

use xtls_stanza::Address;
use xtls_tls::rustls::crypto::CryptoProvider;
use xtls_tls::rustls::pki_types::UnixTime;
use xtls_tls::rustls::time_provider::TimeProvider;
use xtls_tls::{Config, Fingerprint, Identity, default_provider, seeded};
use zeroize::Zeroizing;

/// The two people in every example.
pub const ROMEO: &str = "romeo@montague.example/orchard";
/// See [`ROMEO`].
pub const JULIET: &str = "juliet@capulet.example/balcony";

/// The day of the letter, 15 December 2008, in unix seconds.
pub const LETTER: i64 = 1_229_299_200;

/// An address that is known to be valid.
pub fn address(text: &str) -> Address {
    Address::new(text).expect("a test's address")
}

/// A key derived from a number, in a certificate that names `jid`.
pub fn identity(jid: &str, number: u8) -> Identity {
    Identity::generate(address(jid).bare(), &Zeroizing::new([number; 32]), LETTER)
        .expect("a test's identity")
}

/// The fingerprint of [`identity`].
pub fn fingerprint(jid: &str, number: u8) -> Fingerprint {
    identity(jid, number).fingerprint()
}

/// TLS with a fixed clock, and all randomness drawn from `seed`.
pub fn seeded_tls(identity: Identity, seed: [u8; 32]) -> Config {
    tls(identity, seeded::provider(&default_provider(), seed))
}

/// TLS with a fixed clock and this provider.
pub fn tls(identity: Identity, crypto: Arc<CryptoProvider>) -> Config {
    Config::new(Arc::new(identity), crypto, Arc::new(Clock)).expect("a test's TLS")
}

/// The day of the letter, for ever.
#[derive(Debug)]
pub struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            1_229_299_200,
        )))
    }
}
