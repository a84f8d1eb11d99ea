//! Where the cryptography comes from. Always passed, never installed for the process.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// A cryptography library that rustls can use, one per cargo feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provider {
    /// aws-lc-rs (feature `aws-lc-rs`, on by default): X25519MLKEM768 first, then X25519, P-256, P-384.
    #[cfg(feature = "aws-lc-rs")]
    AwsLc,
    /// ring (feature `ring`): X25519, P-256, P-384; no post-quantum key exchange.
    #[cfg(feature = "ring")]
    Ring,
}

impl Provider {
    /// The rustls provider.
    #[must_use]
    pub fn crypto(self) -> Arc<CryptoProvider> {
        match self {
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLc => Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            #[cfg(feature = "ring")]
            Self::Ring => Arc::new(rustls::crypto::ring::default_provider()),
        }
    }
}

/// The provider of the enabled feature; aws-lc-rs when both are.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#[must_use]
pub fn default_provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = Provider::AwsLc;
    #[cfg(not(feature = "aws-lc-rs"))]
    let provider = Provider::Ring;
    provider.crypto()
}
