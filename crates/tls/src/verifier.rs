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
    error::TlsError,
    expectations::Expectations,
    fingerprint::Fingerprint,
    san::{self, Names},
    trust::{Current, Doubt, Judgement, Level, Policy, Store, TrustError},
};

/// The peer as the handshake proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerKey {
    /// The name of its key.
    pub fingerprint: Fingerprint,
    /// The key as DER SubjectPublicKeyInfo: what its signature was checked with, and what a verification must cover.
    pub spki: Vec<u8>,
    /// How the store judged the key when the connection was made.
    pub standing: Standing,
    /// The bare JID in its certificate; always the expected one. `None` when a certificate without a name was accepted
    /// because its key is pinned and verified.
    pub san: Option<String>,
}

/// How the store judges a peer's key that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is pinned for this peer.
    Pinned(Level),
    /// Neither the peer nor the key was known. The caller decides, by its policy.
    New,
    /// A code did not fit when the key was compared. It may be verified anew, and is not let in before.
    Doubted(Doubt),
}

/// Both verifiers of rustls.
///
/// rustls shows the certificate before it checks the signature, so what is found here is a claim: [`Tls`](crate::Tls) hands
/// it out only when the handshake is finished.
pub(crate) struct Verifier {
    peer: String,
    own: String,
    own_key: Fingerprint,
    trust: Current,
    policy: Policy,
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
        expect: &Expectations,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let (claim, refusal, asked) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self {
            peer,
            own,
            own_key,
            trust: expect.trust.clone(),
            policy: expect.policy,
            algorithms,
            claim,
            refusal,
            asked,
        }
    }

    /// What the presented certificate claims, if it was acceptable. Proven only when the handshake is finished.
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
        let store = self.trust.get();
        // Whose key it is comes before anything else in the certificate.
        self.owner(&store, presented)?;
        let san = match san::names(certificate).map_err(bad)? {
            Names::One(san) if san == self.peer => Some(san),
            Names::One(san) => return Err(TrustError::WrongJid { san, peer: peer() }),
            Names::Several => return Err(TrustError::SeveralJids { peer: peer() }),
            Names::None => None,
        };
        let standing = self.standing(&store, presented, san.is_some())?;
        Ok(PeerKey {
            fingerprint: presented,
            spki: spki.to_vec(),
            standing,
            san,
        })
    }

    /// Refuses a key that is revoked, or belongs to another peer.
    fn owner(&self, store: &Store, presented: Fingerprint) -> Result<(), TrustError> {
        let peer = self.peer.clone();
        match store.judge(&self.peer, &presented) {
            Judgement::Revoked => Err(TrustError::Revoked { peer, presented }),
            Judgement::KeyOfAnother(jid) => Err(TrustError::KeyOfAnother {
                jid: jid.to_owned(),
                peer,
                presented,
            }),
            Judgement::Pinned(_)
            | Judgement::Unknown
            | Judgement::Changed(_)
            | Judgement::Doubted(_) => Ok(()),
        }
    }

    /// How the pins judge the peer's key, `named` if its certificate names the peer.
    fn standing(
        &self,
        store: &Store,
        presented: Fingerprint,
        named: bool,
    ) -> Result<Standing, TrustError> {
        self.owner(store, presented)?;
        let peer = || self.peer.clone();
        let mut pinned = false;
        let standing = match store.judge(&self.peer, &presented) {
            Judgement::Pinned(pin) => {
                pinned = true;
                Standing::Pinned(pin.level)
            }
            Judgement::Changed(known) => {
                return Err(TrustError::KeyChanged {
                    peer: peer(),
                    known: known.to_vec(),
                    presented,
                });
            }
            Judgement::Doubted(doubt) if doubt.is_final() => {
                return Err(TrustError::Doubted {
                    peer: peer(),
                    doubt: *doubt,
                });
            }
            Judgement::Doubted(doubt) => {
                pinned = !store.of(&self.peer).is_empty();
                Standing::Doubted(*doubt)
            }
            Judgement::Unknown | Judgement::KeyOfAnother(_) | Judgement::Revoked => Standing::New,
        };
        if !named && !matches!(standing, Standing::Pinned(Level::Verified(_))) {
            return Err(TrustError::NoJid {
                peer: peer(),
                presented,
            });
        }
        if !pinned && (self.policy == Policy::Pinned || self.peer == self.own) {
            return Err(TrustError::NotPinned {
                peer: peer(),
                presented,
            });
        }
        Ok(standing)
    }

    /// Judges a key that was accepted once more, by the pins as they are now.
    pub(crate) fn judge_again(&self, key: &PeerKey) -> Result<Standing, TrustError> {
        self.standing(&self.trust.get(), key.fingerprint, key.san.is_some())
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

    /// Proof of possession, with exactly the key bytes that were judged: no second parser sees them.
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

/// The alert for the peer: that its certificate is bad, or that it is not welcome; not why.
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
        | TrustError::Doubted { .. }
        | TrustError::TwoKeys { .. }
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
