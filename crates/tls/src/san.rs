//! What a peer's certificate contains: its key, and whose it claims to be.
//!
//! Nothing is believed here. The name becomes evidence only with a pin, or with the user's verdict on first use; the key only
//! with the signature made by it. Dates, issuers and other names are not looked at: trust is in pins.

use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _, asn1::AnyRef};

use crate::{
    jid::{self, JidError},
    x509::{self, Certificate},
};

/// `id-on-xmppAddr`, 1.3.6.1.5.5.7.8.5 (RFC 6120 §13.7.1.4).
const XMPP_ADDR: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x05];

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
    let spki = read(certificate)?.spki;
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
    let extension = match certificate.alternative_names.as_slice() {
        [] => return Ok(Names::None),
        [extension] => extension,
        [_, _, ..] => return Err(CertificateFault::Names),
    };
    let unreadable = |_| CertificateFault::Names;
    let names = sole(extension, Tag::Sequence).map_err(unreadable)?;
    let mut names = SliceReader::new(names).map_err(unreadable)?;
    let mut found = Names::None;
    while !names.is_finished() {
        // A name that cannot be read could be another xmppAddr.
        let Some(value) = xmpp_addr(&mut names).map_err(unreadable)? else {
            continue;
        };
        match found {
            Names::None => found = Names::One(bare_jid(value)?),
            Names::One(_) | Names::Several => return Ok(Names::Several),
        }
    }
    Ok(found)
}

fn read(certificate: &[u8]) -> Result<Certificate<'_>, CertificateFault> {
    let unreadable = |_| CertificateFault::Encoding;
    let mut reader = SliceReader::new(certificate).map_err(unreadable)?;
    let certificate = Certificate::read(&mut reader).map_err(unreadable)?;
    match reader.is_finished() {
        true => Ok(certificate),
        false => Err(CertificateFault::Trailing),
    }
}

/// One GeneralName (RFC 5280 §4.2.1.6); its value if it is `id-on-xmppAddr`.
fn xmpp_addr<'a>(names: &mut SliceReader<'a>) -> der::Result<Option<&'a [u8]>> {
    let name = AnyRef::decode(names)?;
    let unreadable = || name.tag().value_error().into();
    let Tag::ContextSpecific {
        constructed,
        number: TagNumber(number),
    } = name.tag()
    else {
        return Err(unreadable());
    };
    let mut reader = SliceReader::new(name.value())?;
    match (number, constructed) {
        // otherName
        (0, true) => {
            let kind = x509::oid(&mut reader)?;
            let value = reader.read_slice(reader.remaining_len())?;
            return Ok((kind == XMPP_ADDR).then_some(value));
        }
        // rfc822Name, dNSName, uniformResourceIdentifier
        (1 | 2 | 6, false) => drop(str::from_utf8(name.value())?),
        // directoryName
        (4, true) => {
            x509::name(&mut reader)?;
            reader.finish()?;
        }
        // x400Address, ediPartyName, iPAddress
        (3 | 5, true) | (7, false) => {}
        // registeredID
        (8, false) => x509::check_oid(name.value())?,
        _ => return Err(unreadable()),
    }
    Ok(None)
}

/// `[0] EXPLICIT UTF8String`, and nothing beside it.
fn bare_jid(value: &[u8]) -> Result<String, CertificateFault> {
    let text = sole(value, x509::explicit(0))
        .and_then(|inside| sole(inside, Tag::Utf8String))
        .and_then(|text| Ok(str::from_utf8(text)?))
        .map_err(|_| CertificateFault::JidEncoding)?;
    jid::bare(text).map_err(CertificateFault::Jid)
}

/// The content of the one value, with this tag, that `bytes` consists of.
fn sole(bytes: &[u8], tag: Tag) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(bytes)?;
    let content = x509::content(&mut reader, tag)?;
    reader.finish()?;
    Ok(content)
}
