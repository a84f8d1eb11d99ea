//! Whether a server's certificate proves that it is the account's domain.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls;

use super::certificate::{
    CertificateFault, is_by_namesake, is_ca_as_end_entity, is_constrained, is_for_service,
};
use crate::pin::Pin;

/// Checks a certificate by a pinned key alone, or by the authorities and the names that RFC 6120 §13.7 has.
#[derive(Debug)]
pub(super) struct Verifier {
    /// The account's domain, as Unicode.
    domain: String,
    evidence: Evidence,
    signatures: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
pub(super) enum Evidence {
    /// The key, whatever the certificate says: no authority, name or date.
    Pinned(Pin),
    /// A path to an authority of one of these stores, or exactly one of these certificates.
    Authorities {
        webpki: Vec<Arc<WebPkiServerVerifier>>,
        trusted: Vec<CertificateDer<'static>>,
    },
}

impl Verifier {
    pub(super) fn new(
        domain: String,
        evidence: Evidence,
        signatures: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self {
            domain,
            evidence,
            signatures,
        }
    }

    fn check(
        &self,
        presented: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let (webpki, trusted) = match &self.evidence {
            Evidence::Pinned(pinned) => return self.check_key(*pinned, presented),
            Evidence::Authorities { webpki, trusted } => (webpki, trusted),
        };
        let Err(error) = by_authorities(webpki, presented, intermediates, name, now) else {
            return Ok(());
        };
        let is_for_service =
            || is_for_service(presented, &self.domain) && !intermediates.iter().any(is_constrained);
        let Error::InvalidCertificate(why) = &error else {
            return Err(error);
        };
        // The path has been checked before the name.
        if is_other_name(why) && is_for_service() {
            return Ok(());
        }
        // Dates have been checked before the path, and one that is there octet for octet needs none.
        if has_no_path(why) && trusted.contains(presented) {
            let parsed = ParsedCertificate::try_from(presented)?;
            return match verify_server_name(&parsed, name) {
                Err(_) if is_for_service() => Ok(()),
                named => named,
            };
        }
        Err(error)
    }

    fn check_key(&self, pinned: Pin, presented: &CertificateDer<'_>) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(presented)?;
        let key = parsed.subject_public_key_info();
        let presented = Pin::new(Sha256::digest(&key).into());
        match pinned == presented {
            true => Ok(()),
            false => Err(fault(CertificateFault::OtherKey { pinned, presented })),
        }
    }
}

/// The first store that leads anywhere decides.
fn by_authorities(
    stores: &[Arc<WebPkiServerVerifier>],
    presented: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), Error> {
    let mut outcome = Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
    for store in stores {
        let verified = store.verify_server_cert(presented, intermediates, name, &[], now);
        match verified {
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
            Err(Error::InvalidCertificate(why)) if has_no_path(&why) => {
                outcome = Err(Error::InvalidCertificate(why));
            }
            decided => return decided.map(|_| ()),
        }
    }
    outcome
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.check(presented, intermediates, name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(Error::InvalidCertificate(CertificateError::Other(other)))
                if other.0.is::<CertificateFault>() =>
            {
                Err(Error::InvalidCertificate(CertificateError::Other(other)))
            }
            Err(Error::InvalidCertificate(why)) => Err(fault(CertificateFault::of(
                &why,
                presented,
                &self.domain,
                now,
            ))),
            Err(other) => Err(other),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.signatures)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.signatures)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_schemes()
    }
}

fn fault(fault: CertificateFault) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault))))
}

fn is_other_name(why: &CertificateError) -> bool {
    matches!(
        why,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    )
}

fn has_no_path(why: &CertificateError) -> bool {
    if let CertificateError::Other(other) = why {
        return is_ca_as_end_entity(other);
    }
    *why == CertificateError::UnknownIssuer || is_by_namesake(why)
}

/// The fault in an error of a handshake.
pub(super) fn fault_of(error: &Error) -> Option<CertificateFault> {
    let Error::InvalidCertificate(why) = error else {
        return None;
    };
    if let CertificateError::Other(other) = why
        && let Some(fault) = other.0.downcast_ref::<CertificateFault>()
    {
        return Some(fault.clone());
    }
    // The certificate was accepted; what it says is not what the handshake was signed with.
    let why = match *why == CertificateError::BadSignature {
        true => "the server does not have its key".to_owned(),
        false => format!("its key does not fit the handshake ({why})"),
    };
    Some(CertificateFault::Other(why))
}

#[cfg(test)]
mod tests;
