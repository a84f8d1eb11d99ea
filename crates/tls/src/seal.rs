//! Records of TLS 1.3 outside of a connection, under keys of their own: for what two ends say to each other beside it.
//!
//! Such a record is one of a connection that has nothing else: RFC 8446 §5.2, AES-256-GCM, type application data, no padding, with
//! a sequence number that its sender chooses and names.

use std::fmt;

use bytes::Bytes;
use rustls::{
    CipherSuite, ContentType, ProtocolVersion,
    crypto::{
        CryptoProvider,
        cipher::{
            AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
            OutboundPlainMessage, Tls13AeadAlgorithm,
        },
    },
};
use zeroize::Zeroizing;

use crate::record::{MAX_RECORD, PROTECTED, RECORD_OVERHEAD};

/// Length of the key and IV of one direction, in bytes.
pub const SEAL_KEY: usize = 44;

/// Bytes before what is encrypted: the type, the version, and the length.
const HEADER: usize = 5;

/// The algorithm of AES-256-GCM, if the provider has it.
pub(crate) fn algorithm(crypto: &CryptoProvider) -> Option<&'static dyn Tls13AeadAlgorithm> {
    let mut suites = crypto.cipher_suites.iter();
    let suite = suites.find(|suite| suite.suite() == CipherSuite::TLS13_AES_256_GCM_SHA384)?;
    Some(suite.tls13()?.aead_alg)
}

fn parts(key: &[u8; SEAL_KEY]) -> (AeadKey, Iv) {
    let (mut secret, mut iv) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 12]));
    let (one, other) = key.split_at(secret.len());
    secret.copy_from_slice(one);
    iv.copy_from_slice(other);
    (AeadKey::from(*secret), Iv::from(*iv))
}

/// Makes records. `Debug` shows no key.
pub struct Seal {
    encrypter: Box<dyn MessageEncrypter>,
    /// The lowest number that was not used.
    next: u64,
}

/// Why nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The number, or one above it, was used before. A key that met a number twice would be lost.
    #[error("a record with the number {n} or above was sealed before")]
    Used {
        /// The number.
        n: u64,
    },
    /// It is longer than a record can be.
    #[error("{len} bytes are more than a record can have ({MAX_RECORD})")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The provider of cryptography has failed.
    #[error("the provider of cryptography cannot seal")]
    Provider,
}

impl Seal {
    /// With this key, which is used for nothing else. `None` if the provider has no AES-256-GCM.
    #[must_use]
    pub fn new(crypto: &CryptoProvider, key: &[u8; SEAL_KEY]) -> Option<Self> {
        Some(Self::with(algorithm(crypto)?, key))
    }

    pub(crate) fn with(algorithm: &dyn Tls13AeadAlgorithm, key: &[u8; SEAL_KEY]) -> Self {
        let (key, iv) = parts(key);
        Self {
            encrypter: algorithm.encrypter(key, iv),
            next: 0,
        }
    }

    /// The record with this number. Numbers may be skipped.
    ///
    /// # Errors
    /// A number that is not above all before, and more than [`MAX_RECORD`] bytes. The number is used up otherwise, even by a
    /// failure.
    pub fn seal(&mut self, n: u64, plain: &[u8]) -> Result<Bytes, SealError> {
        if n < self.next {
            return Err(SealError::Used { n });
        }
        if plain.len() > MAX_RECORD {
            return Err(SealError::TooLong { len: plain.len() });
        }
        if self.next == 0 && n > 0 {
            // aws-lc takes the first number that it sees for 0, and then counts from there.
            self.encrypt(0, &[])?;
        }
        // After the last number there is none.
        self.next = n.checked_add(1).ok_or(SealError::Provider)?;
        self.encrypt(n, plain)
    }

    fn encrypt(&mut self, n: u64, plain: &[u8]) -> Result<Bytes, SealError> {
        let message = OutboundPlainMessage {
            typ: ContentType::ApplicationData,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(plain),
        };
        let sealed = self.encrypter.encrypt(message, n);
        Ok(sealed.map_err(|_| SealError::Provider)?.encode().into())
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Opens records. `Debug` shows no key.
pub struct Open {
    decrypter: Box<dyn MessageDecrypter>,
}

/// It is no record, or not the one with this number under this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record does not open")]
pub struct OpenError;

impl Open {
    /// With this key. `None` if the provider has no AES-256-GCM.
    #[must_use]
    pub fn new(crypto: &CryptoProvider, key: &[u8; SEAL_KEY]) -> Option<Self> {
        Some(Self::with(algorithm(crypto)?, key))
    }

    pub(crate) fn with(algorithm: &dyn Tls13AeadAlgorithm, key: &[u8; SEAL_KEY]) -> Self {
        let (key, iv) = parts(key);
        Self {
            decrypter: algorithm.decrypter(key, iv),
        }
    }

    /// What is inside of the record with this number. Whether one came before is for the caller to know.
    ///
    /// # Errors
    /// [`OpenError`] if a single bit is not as it was sealed, and for a record with padding.
    pub fn open(&mut self, n: u64, record: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (header, sealed) = record.split_at_checked(HEADER).ok_or(OpenError)?;
        let len = u16::try_from(sealed.len()).map_err(|_| OpenError)?;
        let [high, low] = len.to_be_bytes();
        if header != [PROTECTED, 0x03, 0x03, high, low] {
            return Err(OpenError);
        }
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let message = InboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            &mut sealed,
        );
        let opened = self.decrypter.decrypt(message, n).map_err(|_| OpenError)?;
        let unpadded = opened.payload.len() + RECORD_OVERHEAD == record.len();
        if opened.typ != ContentType::ApplicationData || !unpadded {
            return Err(OpenError);
        }
        Ok(Zeroizing::new(opened.payload.to_vec()))
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").finish_non_exhaustive()
    }
}
