//! What rustls leaves open when a handshake is finished.

use std::{fmt, sync::Arc};

use rustls::CommonState;

use crate::{
    error::TlsError,
    expectations::Expectations,
    role::Role,
    verifier::{PeerKey, Verifier},
};

/// The checks of one connection that rustls does not make, and the results of those that the verifier made.
pub struct Checks {
    role: Role,
    verifier: Arc<Verifier>,
    /// The names that fit.
    alpn: Vec<Vec<u8>>,
    alpn_required: bool,
}

impl Checks {
    pub(crate) fn new(role: Role, verifier: Arc<Verifier>, expect: &Expectations) -> Self {
        let also: &[Vec<u8>] = match role {
            Role::Client => &[],
            Role::Server => &expect.also,
        };
        let alpn = std::iter::once(&expect.alpn).chain(also).cloned().collect();
        Self {
            role,
            verifier,
            alpn,
            alpn_required: expect.alpn_required,
        }
    }

    pub(crate) fn verifier(&self) -> &Arc<Verifier> {
        &self.verifier
    }

    /// Who the peer of `connection` is, once its handshake is finished.
    ///
    /// # Errors
    /// The ALPN name is missing or another one, the server did not ask for our certificate, the peer was refused, or the
    /// handshake is not finished (`NoCertificate`).
    pub fn peer(&self, connection: &CommonState) -> Result<PeerKey, TlsError> {
        if let Some(refusal) = self.verifier.refusal() {
            return Err(refusal.clone());
        }
        if connection.is_handshaking() {
            return Err(TlsError::NoCertificate);
        }
        let fits = match connection.alpn_protocol() {
            Some(name) => self.alpn.iter().any(|fits| fits == name),
            None => !self.alpn_required,
        };
        if !fits {
            return Err(TlsError::Alpn);
        }
        if self.role == Role::Client && !self.verifier.asked() {
            return Err(TlsError::NotAsked);
        }
        let mut peer = self
            .verifier
            .claim()
            .cloned()
            .ok_or(TlsError::NoCertificate)?;
        // The pins may have changed since the certificate was shown, and a peer may take its time with the rest.
        peer.standing = self.verifier.judge_again(&peer)?;
        Ok(peer)
    }

    /// What an error of rustls means: exactly why the peer was refused, if it was.
    #[must_use]
    pub fn explain(&self, error: &rustls::Error) -> TlsError {
        let refusal = self.verifier.refusal().cloned();
        refusal.unwrap_or_else(|| TlsError::of(error))
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}
