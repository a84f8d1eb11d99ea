//! Who we are: one Ed25519 key and the self-signed certificate that names our bare JID.

use std::{fmt, sync::Arc, time::Duration};

use rcgen::{CertificateParams, DistinguishedName, DnType, OtherNameValue, SanType, SerialNumber};
use rustls::{
    SignatureAlgorithm, SignatureScheme,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::{CertifiedKey, SigningKey},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    fingerprint::Fingerprint,
    jid::{self, JidError},
    pem,
    san::{self, CertificateFault, Names},
};

/// PKCS#8 v1 of an Ed25519 key up to its 32 bytes (RFC 8410 §7).
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

const KEY_LABEL: &str = "PRIVATE KEY";
const CERTIFICATE_LABEL: &str = "CERTIFICATE";

/// A day before the stated time, so that a peer with a slow clock that does look at dates accepts a fresh certificate.
const SLACK: u64 = 24 * 60 * 60;

/// Latest `created`, in unix seconds: the end of the year 9998.
const MAX_CREATED: u64 = 253_370_764_799;

/// One account's long-term key on one device, and its certificate.
///
/// The certificate is self-signed X.509 with an Ed25519 key; its only subject alternative name is an `id-on-xmppAddr`
/// (RFC 6120 §13.7.1.4) with the bare JID. A peer believes none of it by itself: peers pin the
/// [`fingerprint`](Self::fingerprint). The key serves XTLS alone and is never shared between accounts.
///
/// The key is wiped from memory when the value is dropped (rustls's own copies excepted), and `Debug` does not show it.
pub struct Identity {
    jid: String,
    seed: Zeroizing<[u8; 32]>,
    spki: Vec<u8>,
    certificate: CertificateDer<'static>,
}

/// Why there is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The JID is not a bare JID.
    #[error("cannot make a certificate for {jid:?}: {why}")]
    Jid {
        /// What was given.
        jid: String,
        /// The rule it breaks.
        why: JidError,
    },
    /// `created` lies before 1970-01-02 or after the year 9998.
    #[error("cannot make a certificate dated {seconds} s after 1970")]
    Created {
        /// What was given, in unix seconds.
        seconds: i64,
    },
    /// The text has not exactly one `PRIVATE KEY` block with an Ed25519 key (RFC 8410) of PKCS#8 version 1.
    #[error("the identity has no readable Ed25519 private key")]
    Key,
    /// The text has not exactly one `CERTIFICATE` block.
    #[error("the identity has no readable certificate")]
    NoCertificate,
    /// The certificate cannot be used.
    #[error("the certificate of the identity cannot be used: {0}")]
    Certificate(CertificateFault),
    /// The certificate names no bare JID, or several.
    #[error("the certificate of the identity must name exactly one bare JID")]
    Names,
    /// The certificate is for another key than the one beside it.
    #[error("the private key and the certificate of the identity do not belong together")]
    Mismatch,
    /// The provider cannot make Ed25519 signatures.
    #[error("the cryptography provider cannot use Ed25519 keys: {0}")]
    Provider(String),
}

impl Identity {
    /// Makes the identity of `bare_jid` from an Ed25519 private key (32 random bytes), with the default provider.
    ///
    /// `created` is in unix seconds; the certificate is valid from a day before it until the end of the year 9999
    /// (RFC 5280 §4.1.2.5: no well-defined end). The same arguments give the same certificate, byte for byte.
    ///
    /// # Errors
    /// `bare_jid` is not a bare JID, or `created` is out of range.
    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    pub fn generate(
        bare_jid: &str,
        seed: &Zeroizing<[u8; 32]>,
        created: i64,
    ) -> Result<Self, IdentityError> {
        Self::generate_with(
            &crate::provider::default_provider(),
            bare_jid,
            seed,
            created,
        )
    }

    /// [`generate`](Self::generate) with a provider of the caller's.
    ///
    /// # Errors
    /// As there, and when the provider has no Ed25519.
    pub fn generate_with(
        crypto: &CryptoProvider,
        bare_jid: &str,
        seed: &Zeroizing<[u8; 32]>,
        created: i64,
    ) -> Result<Self, IdentityError> {
        let jid = jid::bare(bare_jid).map_err(|why| IdentityError::Jid {
            jid: bare_jid.to_owned(),
            why,
        })?;
        let signer = Signer::new(crypto, seed)?;
        let certificate = self_signed(&jid, &signer, created)?;
        Ok(Self {
            jid,
            seed: seed.clone(),
            spki: signer.spki,
            certificate,
        })
    }

    /// Reads what [`to_pem`](Self::to_pem) wrote, with the default provider.
    ///
    /// # Errors
    /// Anything but one Ed25519 key and one certificate that belong together and name one bare JID.
    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    pub fn from_pem(text: &str) -> Result<Self, IdentityError> {
        Self::from_pem_with(&crate::provider::default_provider(), text)
    }

    /// [`from_pem`](Self::from_pem) with a provider of the caller's.
    ///
    /// # Errors
    /// As there, and when the provider has no Ed25519.
    pub fn from_pem_with(crypto: &CryptoProvider, text: &str) -> Result<Self, IdentityError> {
        let key = pem::read(KEY_LABEL, text).ok_or(IdentityError::Key)?;
        let seed = key
            .strip_prefix(&PKCS8)
            .and_then(|seed| seed.first_chunk().filter(|chunk| chunk.len() == seed.len()));
        let seed = Zeroizing::new(*seed.ok_or(IdentityError::Key)?);
        let certificate = pem::read(CERTIFICATE_LABEL, text).ok_or(IdentityError::NoCertificate)?;
        let Names::One(jid) = san::names(&certificate).map_err(IdentityError::Certificate)? else {
            return Err(IdentityError::Names);
        };
        let signer = Signer::new(crypto, &seed)?;
        if san::spki(&certificate).map_err(IdentityError::Certificate)? != signer.spki {
            return Err(IdentityError::Mismatch);
        }
        Ok(Self {
            jid,
            seed,
            spki: signer.spki,
            certificate: CertificateDer::from(certificate.to_vec()),
        })
    }

    /// The private key (PKCS#8) and the certificate as PEM. The text is wiped when dropped; keep it from other eyes.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(256 + self.certificate.len() * 2));
        pem::write(KEY_LABEL, &*pkcs8(&self.seed), &mut text);
        pem::write(CERTIFICATE_LABEL, &self.certificate, &mut text);
        text
    }

    /// The bare JID in the certificate, ASCII letters in lower case.
    #[must_use]
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// SHA-256 of the public key: what peers pin.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_spki(&self.spki)
    }

    /// The public key as DER SubjectPublicKeyInfo (44 bytes).
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The same certificate beside another private key: what a thief of certificates has.
    #[cfg(feature = "seeded")]
    pub(crate) fn stolen(&self, seed: [u8; 32]) -> Self {
        Self {
            jid: self.jid.clone(),
            seed: Zeroizing::new(seed),
            spki: self.spki.clone(),
            certificate: self.certificate.clone(),
        }
    }

    /// Key and certificate as rustls presents them.
    pub(crate) fn certified_key(
        &self,
        crypto: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, IdentityError> {
        let signer = Signer::new(crypto, &self.seed)?;
        Ok(Arc::new(CertifiedKey::new(
            vec![self.certificate.clone()],
            signer.key,
        )))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("jid", &self.jid)
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

/// The provider's key, as rcgen wants to sign with it.
struct Signer {
    key: Arc<dyn SigningKey>,
    spki: Vec<u8>,
    public: [u8; 32],
}

impl Signer {
    fn new(crypto: &CryptoProvider, seed: &Zeroizing<[u8; 32]>) -> Result<Self, IdentityError> {
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8(seed).to_vec()));
        let key = crypto
            .key_provider
            .load_private_key(der)
            .map_err(|error| IdentityError::Provider(error.to_string()))?;
        let no_key = || IdentityError::Provider("it names no Ed25519 public key".to_owned());
        let spki = key.public_key().ok_or_else(no_key)?.as_ref().to_vec();
        let public = *spki
            .last_chunk()
            .filter(|_| key.algorithm() == SignatureAlgorithm::ED25519)
            .ok_or_else(no_key)?;
        Ok(Self { key, spki, public })
    }
}

impl rcgen::PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self
            .key
            .choose_scheme(&[SignatureScheme::ED25519])
            .ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        signer
            .sign(message)
            .map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

fn pkcs8(seed: &[u8; 32]) -> Zeroizing<[u8; 48]> {
    let mut der = Zeroizing::new([0; 48]);
    let (prefix, key) = der.split_at_mut(PKCS8.len());
    prefix.copy_from_slice(&PKCS8);
    key.copy_from_slice(seed);
    der
}

fn self_signed(
    jid: &str,
    signer: &Signer,
    created: i64,
) -> Result<CertificateDer<'static>, IdentityError> {
    let out_of_range = || IdentityError::Created { seconds: created };
    let seconds = u64::try_from(created).map_err(|_| out_of_range())?;
    let not_before = seconds
        .checked_sub(SLACK)
        .filter(|_| seconds <= MAX_CREATED)
        .ok_or_else(out_of_range)?;

    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(not_before);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31) + Duration::from_secs(SLACK - 1);
    params.serial_number = Some(serial(jid, &signer.spki, created));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "xtls");
    let xmpp_addr = (
        vec![1, 3, 6, 1, 5, 5, 7, 8, 5],
        OtherNameValue::Utf8String(jid.to_owned()),
    );
    params.subject_alt_names = vec![SanType::OtherName(xmpp_addr)];
    let certificate = params
        .self_signed(signer)
        .map_err(|error| IdentityError::Provider(error.to_string()))?;
    Ok(certificate.der().clone())
}

/// A positive number of 8 bytes (RFC 5280 §4.1.2.2) that depends on everything in the certificate.
fn serial(jid: &str, spki: &[u8], created: i64) -> SerialNumber {
    let mut hash = Sha256::new();
    hash.update(b"xtls serial");
    hash.update(spki);
    hash.update(created.to_be_bytes());
    hash.update(jid);
    let mut number: Vec<u8> = hash.finalize().iter().copied().take(8).collect();
    if let Some(first) = number.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    SerialNumber::from(number)
}

#[cfg(test)]
mod tests;
