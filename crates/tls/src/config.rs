//! What all connections of one identity share.

use std::{fmt, sync::Arc};

#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
use rustls::time_provider::DefaultTimeProvider;
use rustls::{
    ClientConfig, NamedGroup, ServerConfig,
    client::{ResolvesClientCert, Resumption},
    crypto::{CryptoProvider, cipher::Tls13AeadAlgorithm},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    time_provider::TimeProvider,
    version::TLS13,
};

use crate::{
    error::{ConfigError, TlsError},
    expectations::Expectations,
    identity::Identity,
    jid,
    post_handshake::Checks,
    record::{MAX_RECORD, MIN_RECORD},
    role::Role,
    seal,
    verifier::Verifier,
};

/// What rustls counts as overhead when the size of a record is set.
const RUSTLS_OVERHEAD: usize = 5;

/// Wire bytes that may wait to be polled, unless set otherwise.
const DEFAULT_MAX_PENDING: usize = 1024 * 1024;

/// Everything that the connections of one identity share. Clones are cheap.
///
/// TLS 1.3 only, with client authentication; no tickets, resumption, early data, server name, certificate compression or key
/// log. rustls may hand out the keys of a connection (`enable_secret_extraction`), which is the only way to send the alert by
/// which a peer is turned away after its handshake; [`Tls`](crate::Tls) does it for that, once, and then the connection is over.
/// `Debug` shows no secret.
#[derive(Clone)]
pub struct Config {
    identity: Arc<Identity>,
    key: Arc<CertifiedKey>,
    crypto: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
    post_quantum: bool,
    max_record: usize,
    pub(crate) max_pending: usize,
}

impl Config {
    /// A configuration for `identity`, with this provider's cryptography and this clock.
    ///
    /// rustls asks the clock only when a client offers a ticket, which is then ignored; certificate dates are not looked at.
    ///
    /// # Errors
    /// The provider cannot use the identity's key.
    pub fn new(
        identity: Arc<Identity>,
        crypto: Arc<CryptoProvider>,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, ConfigError> {
        let key = identity.certified_key(&crypto)?;
        Ok(Self {
            identity,
            key,
            crypto,
            time,
            post_quantum: false,
            max_record: MAX_RECORD,
            max_pending: DEFAULT_MAX_PENDING,
        })
    }

    /// A configuration for `identity`, with the [default provider](crate::default_provider) and the system's clock.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    #[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
    pub fn with_defaults(identity: impl Into<Arc<Identity>>) -> Result<Self, ConfigError> {
        let time = Arc::new(DefaultTimeProvider);
        Self::new(identity.into(), crate::default_provider(), time)
    }

    /// Accepts X25519MLKEM768 only, so that a recorded session stays closed to a later quantum computer. Off by default:
    /// it is preferred anyway when the provider has it, but classical X25519 is accepted.
    #[must_use]
    pub fn require_post_quantum(mut self, yes: bool) -> Self {
        self.post_quantum = yes;
        self
    }

    /// Most plaintext bytes in a record, [`MIN_RECORD`] to [`MAX_RECORD`] (the default). The handshake is cut likewise.
    #[must_use]
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.max_record = bytes;
        self
    }

    /// How many bytes may wait to be polled before [`write`](crate::Tls::write) refuses more; 1 MiB by default.
    #[must_use]
    pub fn max_pending(mut self, bytes: usize) -> Self {
        self.max_pending = bytes;
        self
    }

    /// Whose connections these are.
    #[must_use]
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Looks whether `expect` is possible, and makes the checks of one connection from it.
    fn checks(&self, role: Role, expect: &Expectations) -> Result<Checks, ConfigError> {
        let bare = |text: &str| {
            jid::bare(text).map_err(|why| ConfigError::Jid {
                jid: text.to_owned(),
                why,
            })
        };
        let (peer, own) = (bare(&expect.peer)?, bare(&expect.own)?);
        if own != self.identity.jid() {
            return Err(ConfigError::OwnJid {
                identity: self.identity.jid().to_owned(),
                own,
            });
        }
        let len = expect.alpn.len();
        if len > 255 || (len == 0 && expect.alpn_required) {
            return Err(ConfigError::Alpn { len });
        }
        let mut also = expect.also.iter().map(Vec::len);
        if let Some(len) = also.find(|len| !(1..=255).contains(len)) {
            return Err(ConfigError::Alpn { len });
        }
        if !(MIN_RECORD..=MAX_RECORD).contains(&self.max_record) {
            return Err(ConfigError::Record {
                given: self.max_record,
            });
        }
        let algorithms = self.crypto.signature_verification_algorithms;
        let own_key = self.identity.fingerprint();
        let verifier = Arc::new(Verifier::new(peer, own, own_key, expect, algorithms));
        Ok(Checks::new(role, verifier, expect))
    }

    /// The rustls configuration of one client connection, for use without [`Tls`](crate::Tls), under tokio-rustls for example.
    ///
    /// The certificate is judged as always, but rustls alone accepts a server that knows no ALPN or asks for no certificate:
    /// call [`Checks::peer`] when the handshake is finished, before anything is written or believed. A configuration serves
    /// one connection; a second one fails.
    ///
    /// # Errors
    /// As [`Tls::new`](crate::Tls::new).
    pub fn client(&self, expect: &Expectations) -> Result<(ClientConfig, Checks), ConfigError> {
        let checks = self.checks(Role::Client, expect)?;
        let mut config = ClientConfig::builder_with_details(self.crypto()?, self.time.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| ConfigError::Provider(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(checks.verifier().clone())
            .with_client_cert_resolver(Arc::new(Presented {
                key: self.key.clone(),
                verifier: checks.verifier().clone(),
                alpn_required: false,
            }));
        config.alpn_protocols = names(&expect.alpn);
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false;
        config.max_fragment_size = Some(self.max_record + RUSTLS_OVERHEAD);
        // For the last record of a connection whose peer is turned away: see `last_alert.rs`.
        config.enable_secret_extraction = true;
        config.cert_compressors = Vec::new();
        config.cert_decompressors = Vec::new();
        Ok((config, checks))
    }

    /// The rustls configuration of one server connection; see [`client`](Self::client).
    ///
    /// # Errors
    /// As [`Tls::new`](crate::Tls::new).
    pub fn server(&self, expect: &Expectations) -> Result<(ServerConfig, Checks), ConfigError> {
        let checks = self.checks(Role::Server, expect)?;
        let mut config = ServerConfig::builder_with_details(self.crypto()?, self.time.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| ConfigError::Provider(error.to_string()))?
            .with_client_cert_verifier(checks.verifier().clone())
            .with_cert_resolver(Arc::new(Presented {
                key: self.key.clone(),
                verifier: checks.verifier().clone(),
                alpn_required: expect.alpn_required,
            }));
        config.alpn_protocols = names(&expect.alpn);
        config.alpn_protocols.extend(expect.also.iter().cloned());
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.send_half_rtt_data = false;
        config.max_fragment_size = Some(self.max_record + RUSTLS_OVERHEAD);
        // For the last record of a connection whose peer is turned away: see `last_alert.rs`.
        config.enable_secret_extraction = true;
        config.cert_compressors = Vec::new();
        config.cert_decompressors = Vec::new();
        Ok((config, checks))
    }

    /// What seals records beside a connection.
    pub(crate) fn sealing(&self) -> Option<&'static dyn Tls13AeadAlgorithm> {
        seal::algorithm(&self.crypto)
    }

    fn crypto(&self) -> Result<Arc<CryptoProvider>, ConfigError> {
        if !self.post_quantum {
            return Ok(self.crypto.clone());
        }
        let mut crypto = CryptoProvider::clone(&self.crypto);
        crypto
            .kx_groups
            .retain(|group| group.name() == NamedGroup::X25519MLKEM768);
        if crypto.kx_groups.is_empty() {
            Err(ConfigError::NoPostQuantum)
        } else {
            Ok(Arc::new(crypto))
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("identity", &self.identity)
            .field("post_quantum", &self.post_quantum)
            .field("max_record", &self.max_record)
            .field("max_pending", &self.max_pending)
            .finish_non_exhaustive()
    }
}

fn names(alpn: &[u8]) -> Vec<Vec<u8>> {
    if alpn.is_empty() {
        Vec::new()
    } else {
        vec![alpn.to_vec()]
    }
}

/// Our certificate, whatever kinds the peer asks for.
struct Presented {
    key: Arc<CertifiedKey>,
    verifier: Arc<Verifier>,
    /// On a server: whether a client without ALPN is refused. rustls refuses other names by itself, but goes on without any.
    alpn_required: bool,
}

impl ResolvesClientCert for Presented {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.verifier.note_asked();
        Some(self.key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.alpn_required && hello.alpn().is_none() {
            self.verifier.refuse(TlsError::Alpn);
            return None;
        }
        Some(self.key.clone())
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").finish_non_exhaustive()
    }
}
