//! Certificates of every kind, good and bad.

use std::sync::Arc;

use rcgen::{
    CertificateParams, CustomExtension, Issuer, OtherNameValue, PublicKeyData, SanType,
    SerialNumber,
};
use rustls::{
    SignatureScheme,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign,
};

/// `id-on-xmppAddr`.
const XMPP_ADDR: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 8, 5];

/// A private key that rustls and rcgen sign with.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) sign: Arc<dyn sign::SigningKey>,
    public: Vec<u8>,
    scheme: SignatureScheme,
    kind: &'static rcgen::SignatureAlgorithm,
}

impl Key {
    /// The Ed25519 key whose 32 private bytes are all `seed`.
    pub(crate) fn ed25519(crypto: &CryptoProvider, seed: u8) -> Self {
        let mut der = vec![
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        der.extend([seed; 32]);
        Self::load(
            crypto,
            der,
            32,
            SignatureScheme::ED25519,
            &rcgen::PKCS_ED25519,
        )
    }

    /// The P-256 key of RFC 6979 §A.2.5.
    pub(crate) fn p256(crypto: &CryptoProvider) -> Self {
        let der = unhex(concat!(
            "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420",
            "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721a144034200",
            "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
            "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
        ));
        Self::load(
            crypto,
            der,
            65,
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &rcgen::PKCS_ECDSA_P256_SHA256,
        )
    }

    fn load(
        crypto: &CryptoProvider,
        der: Vec<u8>,
        public: usize,
        scheme: SignatureScheme,
        kind: &'static rcgen::SignatureAlgorithm,
    ) -> Self {
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der));
        let sign = crypto.key_provider.load_private_key(der).unwrap();
        let spki = sign.public_key().unwrap();
        Self {
            public: spki[spki.len() - public..].to_vec(),
            sign,
            scheme,
            kind,
        }
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.kind
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self
            .sign
            .choose_scheme(&[self.scheme])
            .unwrap()
            .sign(message)
            .unwrap())
    }
}

/// A public key that nobody holds: kind and content are free.
pub(crate) struct Public(
    pub(crate) &'static rcgen::SignatureAlgorithm,
    pub(crate) Vec<u8>,
);

impl PublicKeyData for Public {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.0
    }
}

/// What a certificate says beside its key.
#[derive(Clone, Default)]
pub(crate) struct Says {
    names: Vec<SanType>,
    extensions: Vec<CustomExtension>,
    expired: bool,
}

impl Says {
    /// No name at all.
    pub(crate) fn nothing() -> Self {
        Self::default()
    }

    /// One `id-on-xmppAddr`.
    pub(crate) fn jid(jid: &str) -> Self {
        Self::nothing().and_jid(jid)
    }

    pub(crate) fn and_jid(self, jid: &str) -> Self {
        self.and(SanType::OtherName((
            XMPP_ADDR.to_vec(),
            OtherNameValue::Utf8String(jid.to_owned()),
        )))
    }

    pub(crate) fn and(mut self, name: SanType) -> Self {
        self.names.push(name);
        self
    }

    /// A subject alternative name extension with this content, beside those made of names.
    pub(crate) fn and_extension(mut self, names: Vec<u8>) -> Self {
        self.extensions
            .push(CustomExtension::from_oid_content(&[2, 5, 29, 17], names));
        self
    }

    /// The whole validity lies in the past.
    pub(crate) fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    fn params(self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(vec![1]));
        params.subject_alt_names = self.names;
        params.custom_extensions = self.extensions;
        if self.expired {
            params.not_after = rcgen::date_time_ymd(1999, 12, 31);
        }
        params
    }

    /// Self-signed with `key`.
    pub(crate) fn signed(self, key: &Key) -> CertificateDer<'static> {
        self.params().self_signed(key).unwrap().der().clone()
    }

    /// For `public`, signed with `key`.
    pub(crate) fn about(self, public: &Public, key: &Key) -> CertificateDer<'static> {
        let params = self.params();
        let issuer = Issuer::from_params(&params, key);
        params.signed_by(public, &issuer).unwrap().der().clone()
    }
}

/// DER of short content.
pub(crate) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = u8::try_from(content.len()).unwrap();
    let head = if len < 128 {
        vec![tag, len]
    } else {
        vec![tag, 0x81, len]
    };
    [head, content].concat()
}

/// A GeneralName of kind `id-on-xmppAddr` around `value`.
pub(crate) fn xmpp_addr(value: &[u8]) -> Vec<u8> {
    der(
        0xa0,
        &[
            &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x05],
            value,
        ],
    )
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
