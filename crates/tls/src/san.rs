//! What a peer's certificate contains: its key, and whose it claims to be.
//!
//! Nothing is believed here. The name becomes evidence only with a pin, or with the user's verdict on first use; the key only
//! with the signature made by it. Dates, issuers and other names are not looked at: trust is in pins.

use x509_parser::{
    asn1_rs::{Any, Class, FromDer, Oid, Tag, oid},
    certificate::X509Certificate,
    extensions::GeneralName,
};

use crate::jid::{self, JidError};

/// `id-on-xmppAddr` (RFC 6120 §13.7.1.4).
const XMPP_ADDR: Oid<'static> = oid!(1.3.6.1.5.5.7.8.5);

/// SubjectPublicKeyInfo of Ed25519 up to the 32 key bytes (RFC 8410 §4).
const ED25519: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// SubjectPublicKeyInfo of an uncompressed P-256 point up to its 64 coordinate bytes (RFC 5480 §2).
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// Why a certificate cannot be used, no matter whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// Not one whole DER X.509 certificate (RFC 5280 §4.1).
    #[error("it is not an X.509 certificate in DER")]
    Encoding,
    /// Bytes after the end of the certificate.
    #[error("there are bytes after its end")]
    Trailing,
    /// The key is neither Ed25519 (RFC 8410) nor ECDSA P-256, or not in the one encoding that is accepted.
    #[error("its key is neither Ed25519 nor ECDSA P-256 in canonical form")]
    Key,
    /// The subject alternative names cannot be read, or there are two such extensions (RFC 5280 §4.2).
    #[error("its subject alternative names cannot be read")]
    Names,
    /// `id-on-xmppAddr` is not one UTF8String (RFC 6120 §13.7.1.4).
    #[error("its XMPP address is not a UTF-8 string")]
    JidEncoding,
    /// `id-on-xmppAddr` holds no bare JID.
    #[error("its XMPP address is unusable: {0}")]
    Jid(JidError),
}

/// The names of kind `id-on-xmppAddr` in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    /// None: legal, but it names no one.
    None,
    /// Exactly one, a bare JID, normalised.
    One(String),
    /// More than one: the certificate would fit whichever was asked for.
    Several,
}

/// The DER SubjectPublicKeyInfo of `certificate`.
///
/// Only the canonical encoding of Ed25519 and of uncompressed P-256 is accepted, so that one key has one fingerprint.
pub(crate) fn spki(certificate: &[u8]) -> Result<&[u8], CertificateFault> {
    let spki = read(certificate)?.tbs_certificate.subject_pki.raw;
    let fits =
        |prefix: &[u8], key: usize| spki.starts_with(prefix) && spki.len() == prefix.len() + key;
    if fits(ED25519, 32) || fits(P256, 64) {
        Ok(spki)
    } else {
        Err(CertificateFault::Key)
    }
}

/// Whose `certificate` claims to be.
pub(crate) fn names(certificate: &[u8]) -> Result<Names, CertificateFault> {
    let certificate = read(certificate)?;
    let Some(extension) = certificate
        .subject_alternative_name()
        .map_err(|_| CertificateFault::Names)?
    else {
        return Ok(Names::None);
    };
    let mut found = Names::None;
    for name in &extension.value.general_names {
        match name {
            // A name of a known kind that cannot be read could be another xmppAddr.
            GeneralName::Invalid(..) => return Err(CertificateFault::Names),
            GeneralName::OtherName(kind, value) if *kind == XMPP_ADDR => match found {
                Names::None => found = Names::One(xmpp_addr(value)?),
                Names::One(_) | Names::Several => return Ok(Names::Several),
            },
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::DNSName(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::URI(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => {}
        }
    }
    Ok(found)
}

fn read(certificate: &[u8]) -> Result<X509Certificate<'_>, CertificateFault> {
    let (rest, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| CertificateFault::Encoding)?;
    if rest.is_empty() {
        Ok(certificate)
    } else {
        Err(CertificateFault::Trailing)
    }
}

/// `[0] EXPLICIT UTF8String`, and nothing beside it.
fn xmpp_addr(value: &[u8]) -> Result<String, CertificateFault> {
    let outer =
        sole(value).filter(|any| any.class() == Class::ContextSpecific && any.tag() == Tag(0));
    let inner = outer.and_then(|outer| sole(outer.data));
    let text = inner
        .filter(|any| {
            any.class() == Class::Universal
                && any.tag() == Tag::Utf8String
                && !any.header.is_constructed()
        })
        .and_then(|any| str::from_utf8(any.data).ok())
        .ok_or(CertificateFault::JidEncoding)?;
    jid::bare(text).map_err(CertificateFault::Jid)
}

/// The one DER value that `bytes` consists of.
fn sole(bytes: &[u8]) -> Option<Any<'_>> {
    Any::from_der(bytes)
        .ok()
        .filter(|(rest, _)| rest.is_empty())
        .map(|(_, any)| any)
}
