//! A rustls peer that follows none of our rules: any certificate, any key, any versions, any name.

use std::{
    io::{Read as _, Write as _},
    sync::Arc,
};

use bytes::BytesMut;
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, DistinguishedName, Error,
    ServerConfig, ServerConnection, SignatureScheme, SupportedProtocolVersion,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SigningKey},
    version::TLS13,
};
use xtls_tls::{Role, default_provider};

use super::{
    certificate::{Key, Says},
    support::{ALPN, End},
};

/// What the peer does.
pub(crate) struct Script {
    pub(crate) crypto: Arc<CryptoProvider>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Arc<dyn SigningKey>,
    /// Whether a client shows its certificate.
    pub(crate) shows: bool,
    /// Whether a server asks for one.
    pub(crate) asks: bool,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) versions: Vec<&'static SupportedProtocolVersion>,
    pub(crate) edit_client: fn(&mut ClientConfig),
    pub(crate) edit_server: fn(&mut ServerConfig),
    /// Written as early as rustls allows.
    pub(crate) early: Vec<u8>,
}

impl Script {
    /// A peer with this certificate that does everything right.
    pub(crate) fn new(chain: Vec<CertificateDer<'static>>, key: &Key) -> Self {
        Self {
            crypto: default_provider(),
            chain,
            key: key.sign.clone(),
            shows: true,
            asks: true,
            alpn: vec![ALPN.to_vec()],
            versions: vec![&TLS13],
            edit_client: |_| (),
            edit_server: |_| (),
            early: b"early".to_vec(),
        }
    }

    /// The peer that says `says` about the Ed25519 key of `seed`.
    pub(crate) fn saying(says: Says, seed: u8) -> Self {
        let key = Key::ed25519(&default_provider(), seed);
        Self::new(vec![says.signed(&key)], &key)
    }

    /// The same, and it sends nothing by itself once the handshake is finished: neither data nor tickets.
    pub(crate) fn quiet(says: Says, seed: u8) -> Self {
        Self {
            early: Vec::new(),
            edit_server: |config| config.send_tls13_tickets = 0,
            ..Self::saying(says, seed)
        }
    }

    /// The configuration of a client that does this, for as many connections as a test likes.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(self.crypto.clone())
            .with_protocol_versions(&self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody { asks: true }))
            .with_client_cert_resolver(self.shown());
        config.alpn_protocols = self.alpn.clone();
        config.enable_secret_extraction = true;
        (self.edit_client)(&mut config);
        Arc::new(config)
    }

    fn server(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(self.crypto.clone())
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_client_cert_verifier(Arc::new(Anybody { asks: self.asks }))
            .with_cert_resolver(self.shown());
        config.alpn_protocols = self.alpn.clone();
        config.enable_secret_extraction = true;
        (self.edit_server)(&mut config);
        Arc::new(config)
    }

    fn shown(&self) -> Arc<Shown> {
        let certified = Arc::new(CertifiedKey::new(self.chain.clone(), self.key.clone()));
        Arc::new(Shown(self.shows.then_some(certified)))
    }

    pub(crate) fn start(self, role: Role) -> Raw {
        let mut raw = match role {
            Role::Client => Raw::client(self.client()),
            Role::Server => Raw::new(ServerConnection::new(self.server()).unwrap().into()),
        };
        raw.connection.writer().write_all(&self.early).unwrap();
        raw
    }
}

impl Raw {
    pub(crate) fn client(config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("example.net").unwrap();
        Self::new(ClientConnection::new(config, name).unwrap().into())
    }

    fn new(connection: Connection) -> Self {
        Self {
            connection,
            plain: BytesMut::new(),
            error: None,
        }
    }
}

pub(crate) struct Raw {
    pub(crate) connection: Connection,
    pub(crate) plain: BytesMut,
    pub(crate) error: Option<Error>,
}

impl End for Raw {
    fn take(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut wire).unwrap();
        }
        wire
    }

    fn feed(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() && self.error.is_none() {
            if self.connection.read_tls(&mut wire).unwrap() == 0 {
                return;
            }
            self.error = self.connection.process_new_packets().err();
            let mut plain = Vec::new();
            let _ = self.connection.reader().read_to_end(&mut plain);
            self.plain.extend_from_slice(&plain);
        }
    }
}

/// Accepts every certificate and every signature.
#[derive(Debug)]
struct Anybody {
    asks: bool,
}

const SCHEMES: [SignatureScheme; 2] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
];

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for Anybody {
    fn offer_client_auth(&self) -> bool {
        self.asks
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

#[derive(Debug)]
struct Shown(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}
