//! Records that rustls would never send, under genuine keys.

use rustls::{
    ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite,
    crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage},
};

use super::raw::Raw;

/// Encrypts whatever it is told, as the peer that finished a handshake.
pub(crate) struct Forger {
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Forger {
    /// Takes over the sending direction of `raw`, which has nothing left to send.
    pub(crate) fn new(raw: Raw) -> Self {
        let Some(SupportedCipherSuite::Tls13(suite)) = raw.connection.negotiated_cipher_suite()
        else {
            panic!("not TLS 1.3")
        };
        let (sequence, secrets) = raw.connection.dangerous_extract_secrets().unwrap().tx;
        let (key, iv): (AeadKey, Iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
            _ => panic!("unknown secrets"),
        };
        Self {
            encrypter: suite.aead_alg.encrypter(key, iv),
            sequence,
        }
    }

    pub(crate) fn record(&mut self, kind: ContentType, content: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::from(content);
        let message = OutboundPlainMessage {
            typ: kind,
            version: ProtocolVersion::TLSv1_2,
            payload,
        };
        let record = self
            .encrypter
            .encrypt(message, self.sequence)
            .unwrap()
            .encode();
        self.sequence += 1;
        record
    }

    pub(crate) fn data(&mut self, content: &[u8]) -> Vec<u8> {
        self.record(ContentType::ApplicationData, content)
    }

    pub(crate) fn alert(&mut self, level: u8, number: u8) -> Vec<u8> {
        self.record(ContentType::Alert, &[level, number])
    }
}
