//! The peer's certificate, judged. One instance a connection: it knows who is expected, and keeps what it found.

use std::{fmt, sync::OnceLock};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use crate::{
    config::Expect,
    error::TlsError,
    fingerprint::Fingerprint,
    san::{self, Names},
    trust::{Judgement, Level, Policy, TrustError},
};

/// The peer as the handshake proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerKey {
    /// The name of its key.
    pub fingerprint: Fingerprint,
    /// The key as DER SubjectPublicKeyInfo: what its signature was checked with, and what a verification must cover.
    pub spki: Vec<u8>,
    /// What the store said of the key when the connection was made.
    pub standing: Standing,
    /// The bare JID in its certificate; always the expected one. `None` when a certificate without a name was accepted
    /// because its key is pinned and verified.
    pub san: Option<String>,
}

/// What the store says about a peer's key that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is pinned for this peer.
    Pinned(Level),
    /// Neither the peer nor the key was known. The caller decides, by its policy.
    New,
}

/// Both verifiers of rustls.
///
/// rustls shows the certificate before it checks the signature, so what is found here is a claim: [`Tls`](crate::Tls) hands
/// it out only when the handshake is finished.
pub(crate) struct Verifier {
    peer: String,
    own: String,
    own_key: Fingerprint,
    expect: Expect,
    algorithms: WebPkiSupportedAlgorithms,
    claim: OnceLock<PeerKey>,
    refusal: OnceLock<TlsError>,
    asked: OnceLock<()>,
}

impl Verifier {
    /// `peer` and `own` are normalised; `expect` is asked for pins and policy only.
    pub(crate) fn new(
        peer: String,
        own: String,
        own_key: Fingerprint,
        expect: &Expect,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let (claim, refusal, asked) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self {
            peer,
            own,
            own_key,
            expect: expect.clone(),
            algorithms,
            claim,
            refusal,
            asked,
        }
    }

    /// What the presented certificate says, if it was acceptable. Proven only when the handshake is finished.
    pub(crate) fn claim(&self) -> Option<&PeerKey> {
        self.claim.get()
    }

    /// The peer's and our own bare JID, and the name of our own key.
    pub(crate) fn ends(&self) -> (&str, &str, Fingerprint) {
        (&self.peer, &self.own, self.own_key)
    }

    /// Why the peer was refused.
    pub(crate) fn refusal(&self) -> Option<&TlsError> {
        self.refusal.get()
    }

    /// Notes that the server asked for our certificate.
    pub(crate) fn note_asked(&self) {
        let _ = self.asked.set(());
    }

    /// Whether the server asked for our certificate.
    pub(crate) fn asked(&self) -> bool {
        self.asked.get().is_some()
    }

    /// Notes why the peer is refused; the first reason stays.
    pub(crate) fn refuse(&self, why: TlsError) {
        let _ = self.refusal.set(why);
    }

    /// What every certificate must pass, in this order.
    fn judge(&self, certificate: &[u8], further: usize) -> Result<PeerKey, TrustError> {
        let peer = || self.peer.clone();
        let bad = |fault| TrustError::BadCertificate {
            peer: peer(),
            fault,
        };
        if further > 0 {
            return Err(TrustError::SeveralCertificates {
                peer: peer(),
                count: further + 1,
            });
        }
        let spki = san::spki(certificate).map_err(bad)?;
        let presented = Fingerprint::of_spki(spki);
        if presented == self.own_key {
            return Err(TrustError::OwnKey { peer: peer() });
        }
        let known = self.expect.trust.judge(&self.peer, &presented);
        match known {
            Judgement::Revoked => {
                return Err(TrustError::Revoked {
                    peer: peer(),
                    presented,
                });
            }
            Judgement::KeyOfAnother(jid) => {
                return Err(TrustError::KeyOfAnother {
                    jid: jid.to_owned(),
                    peer: peer(),
                    presented,
                });
            }
            Judgement::Pinned(_) | Judgement::Unknown | Judgement::Changed(_) => {}
        }
        let san = match san::names(certificate).map_err(bad)? {
            Names::One(san) if san == self.peer || planted!("name-not-compared") => Some(san),
            Names::One(san) => return Err(TrustError::WrongJid { san, peer: peer() }),
            Names::Several => return Err(TrustError::SeveralJids { peer: peer() }),
            Names::None => None,
        };
        let standing = match known {
            Judgement::Pinned(pin) => Standing::Pinned(pin.level),
            Judgement::Changed(known) => {
                return Err(TrustError::KeyChanged {
                    peer: peer(),
                    known: known.to_vec(),
                    presented,
                });
            }
            Judgement::Unknown | Judgement::KeyOfAnother(_) | Judgement::Revoked => Standing::New,
        };
        if san.is_none() && !matches!(standing, Standing::Pinned(Level::Verified(_))) {
            return Err(TrustError::NoJid {
                peer: peer(),
                presented,
            });
        }
        if standing == Standing::New
            && (self.expect.policy == Policy::Pinned || self.peer == self.own)
        {
            return Err(TrustError::NotPinned {
                peer: peer(),
                presented,
            });
        }
        Ok(PeerKey {
            fingerprint: presented,
            spki: spki.to_vec(),
            standing,
            san,
        })
    }

    fn certificate(
        &self,
        certificate: &CertificateDer<'_>,
        further: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let claim = self.judge(certificate, further.len()).map_err(|refusal| {
            let alert = alert_for(&refusal);
            self.refuse(refusal.into());
            Error::InvalidCertificate(alert)
        })?;
        // A second certificate on one connection would change who the peer is.
        self.claim
            .set(claim)
            .map_err(|_| Error::General("a verifier serves one handshake".to_owned()))
    }

    /// Proof of possession, with exactly the key bytes that were judged: no second parser has a say about them.
    fn signature(
        &self,
        message: &[u8],
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(claim) = self.claim() else {
            return Err(Error::General(
                "a signature came before the certificate".to_owned(),
            ));
        };
        if planted!("signature-unchecked") {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let spki = SubjectPublicKeyInfoDer::from(claim.spki.as_slice());
        verify_tls13_signature_with_raw_key(message, &spki, signed, &self.algorithms).inspect_err(
            |_| {
                self.refuse(
                    TrustError::NotProven {
                        peer: self.peer.clone(),
                        presented: claim.fingerprint,
                    }
                    .into(),
                );
            },
        )
    }

    /// Ed25519 and ECDSA on P-256 with SHA-256: the kinds of key that [`san::spki`] lets through.
    fn schemes() -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ]
    }
}

/// What the peer is told: that its certificate is no good, or that it is not welcome; not why.
fn alert_for(refusal: &TrustError) -> CertificateError {
    match refusal {
        TrustError::BadCertificate { .. }
        | TrustError::SeveralCertificates { .. }
        | TrustError::SeveralJids { .. } => CertificateError::BadEncoding,
        TrustError::KeyChanged { .. }
        | TrustError::NotPinned { .. }
        | TrustError::WrongJid { .. }
        | TrustError::NoJid { .. }
        | TrustError::OwnKey { .. }
        | TrustError::KeyOfAnother { .. }
        | TrustError::Revoked { .. }
        | TrustError::NotProven { .. } => CertificateError::ApplicationVerificationFailure,
    }
}

fn no_tls12() -> Error {
    Error::General("TLS 1.2 is not spoken here".to_owned())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.certificate(end_entity, intermediates)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.certificate(end_entity, intermediates)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
