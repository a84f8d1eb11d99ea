//! What a certificate says is worth nothing without its key.

use rcgen::PublicKeyData as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio::io::duplex;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::ConnectError;
use crate::net::route::Start;
use crate::net::socket::Socket;
use crate::net::tls::Tls;

/// Shows one certificate and signs with a key that may be another.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// What comes of a handshake with such a server by a client that has pinned the key of the certificate.
async fn handshake(
    version: &'static SupportedProtocolVersion,
    shown: &KeyPair,
    used: &KeyPair,
) -> Result<(), ConnectError> {
    let certificate = der(&params(&["a.example"]).self_signed(shown).unwrap());
    let provider: Arc<CryptoProvider> = Arc::new(tls::provider());
    let used = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(used.serialize_der()));
    let used = provider.key_provider.load_private_key(used).unwrap();
    let certified = CertifiedKey::new(vec![certificate], used);
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shown(Arc::new(certified))));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let pin = Pin::new(Sha256::digest(shown.subject_public_key_info()).into());
    let tls = Tls::new(DOMAIN, None, Some(pin)).unwrap();
    let (near, far) = duplex(65_536);
    let socket = Socket::Dialled(Box::new(near));
    let (client, _) = tokio::join!(tls.handshake(socket, Start::StartTls), acceptor.accept(far));
    client.map(|_| ())
}

#[tokio::test]
async fn a_server_that_does_not_have_the_pinned_key_is_refused() {
    for version in [&version::TLS12, &version::TLS13] {
        let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        assert_eq!(handshake(version, &own, &own).await, Ok(()));
        let error = handshake(version, &own, &other).await.unwrap_err();
        assert_eq!(
            error,
            ConnectError::Certificate {
                domain: DOMAIN.to_owned(),
                why: "the server does not have its key".into()
            }
        );
        assert_eq!(
            error.to_string(),
            "the certificate of example.org is not accepted"
        );
    }
}
