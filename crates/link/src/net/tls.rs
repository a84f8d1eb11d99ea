//! TLS toward your own server.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsConnector, rustls};
use zeroize::Zeroizing;

use super::certificate::said_by;
use super::route::Start;
use super::socket::Socket;
use super::step::Encryption;
use super::verify::{Evidence, Verifier, fault_of};
use crate::cause::Cause;
use crate::error::ConnectError;
use crate::pin::Pin;
use crate::scram::Exporter;

/// What the server's certificate is checked with, and against.
#[derive(Clone)]
pub(super) struct Tls {
    domain: String,
    name: ServerName<'static>,
    plain: Arc<ClientConfig>,
    direct: Arc<ClientConfig>,
}

impl Tls {
    /// `domain` is the account's, as Unicode. Roots are the system's and those in the file; where a key is pinned, that alone
    /// counts.
    pub(super) fn new(
        domain: &str,
        ca_file: Option<&Path>,
        pin: Option<Pin>,
    ) -> Result<Self, ConnectError> {
        let provider = Arc::new(provider());
        let verifier = verifier(&provider, domain, ca_file, pin)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| tls_error(domain, Cause::new(error)))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = config.with_no_client_auth();
        // A ticket would tell one login from another, and save nothing worth it.
        config.resumption = rustls::client::Resumption::disabled();
        let mut direct = config.clone();
        direct.alpn_protocols = vec![b"xmpp-client".to_vec()];
        Ok(Self {
            domain: domain.to_owned(),
            name: server_name(domain)?,
            plain: Arc::new(config),
            direct: Arc::new(direct),
        })
    }

    /// Presents this certificate where the server asks for one.
    pub(super) fn with_certificate(
        mut self,
        certificates: &Path,
        key: &Path,
    ) -> Result<Self, ConnectError> {
        let chain = read_certificates(certificates).map_err(ConnectError::OwnCertificate)?;
        let wrong = |why: &dyn fmt::Display| ConnectError::OwnCertificate(about(key, why));
        let pem = std::fs::read(key).map(Zeroizing::new);
        let pem = pem.map_err(|why| wrong(&why))?;
        let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|why| wrong(&why))?;
        let certified = CertifiedKey::from_der(chain, private, self.plain.crypto_provider());
        let certified = certified.map_err(|why| wrong(&why))?;
        let presented = Arc::new(SingleCertAndKey::from(certified));
        for config in [&mut self.plain, &mut self.direct] {
            Arc::make_mut(config).client_auth_cert_resolver =
                Arc::<SingleCertAndKey>::clone(&presented);
        }
        Ok(self)
    }

    /// Shakes hands; the exporter is there with TLS 1.3 only, where it binds without further conditions.
    pub(super) async fn handshake(
        &self,
        socket: Socket,
        start: Start,
    ) -> Result<(TlsStream<Socket>, Option<Exporter>), ConnectError> {
        let config = match start {
            Start::StartTls => &self.plain,
            Start::DirectTls => &self.direct,
        };
        let mut stream = TlsConnector::from(Arc::clone(config))
            .connect(self.name.clone(), socket)
            .await
            .map_err(|error| self.judge(error))?;
        let connection = stream.get_mut().1;
        connection.set_buffer_limit(Some(BUFFER));
        let exporter = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => connection
                .export_keying_material(Zeroizing::new([0; 32]), b"EXPORTER-Channel-Binding", None)
                .ok()
                .map(Exporter::new),
            _ => None,
        };
        Ok((stream, exporter))
    }

    fn judge(&self, error: std::io::Error) -> ConnectError {
        let inner = error.get_ref();
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(fault) = inner.and_then(fault_of) {
            return ConnectError::Certificate {
                domain: self.domain.clone(),
                why: Cause::new(fault),
            };
        }
        match inner.cloned() {
            Some(why) => tls_error(&self.domain, Cause::new(why)),
            None => tls_error(&self.domain, error.into()),
        }
    }
}

fn tls_error(domain: &str, why: Cause) -> ConnectError {
    ConnectError::Tls {
        domain: domain.to_owned(),
        why,
    }
}

/// What the handshake has led to.
pub(super) fn encryption(connection: &ClientConnection, direct: bool) -> Encryption {
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    let (names, more, until) = certificate.map(said_by).unwrap_or_default();
    Encryption {
        direct,
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        },
        names,
        more,
        until,
    }
}

/// Never the process-wide default, which anybody may set.
pub(super) fn provider() -> CryptoProvider {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    return rustls::crypto::ring::default_provider();
}

pub(super) fn verifier(
    provider: &Arc<CryptoProvider>,
    domain: &str,
    ca_file: Option<&Path>,
    pin: Option<Pin>,
) -> Result<Verifier, ConnectError> {
    let evidence = match pin {
        Some(pin) => Evidence::Pinned(pin),
        None => authorities(ca_file, provider)?,
    };
    let signatures = provider.signature_verification_algorithms;
    Ok(Verifier::new(domain.to_owned(), evidence, signatures))
}

fn authorities(
    ca_file: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Evidence, ConnectError> {
    let mut stores = Vec::new();
    let mut trusted = Vec::new();
    if let Some(path) = ca_file {
        trusted = read_certificates(path).map_err(ConnectError::Roots)?;
        let mut roots = RootCertStore::empty();
        for certificate in &trusted {
            let added = roots.add(certificate.clone());
            added.map_err(|why| ConnectError::Roots(about(path, &why)))?;
        }
        stores.push(Arc::new(roots));
    }
    stores.push(system_roots());
    stores.retain(|roots| !roots.is_empty());
    if stores.is_empty() {
        return Err(ConnectError::Roots(
            "the system has none, and no file of them was given".into(),
        ));
    }
    let verifier = |roots| {
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| ConnectError::Roots(Cause::new(error)))
    };
    let webpki = stores.into_iter().map(verifier).collect::<Result<_, _>>()?;
    Ok(Evidence::Authorities { webpki, trusted })
}

/// The certificates in a file of PEM: at least one.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let pem = std::fs::read(path).map_err(|why| about(path, &why))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|why| about(path, &why))?;
    if certificates.is_empty() {
        return Err(about(path, &"there is no PEM certificate in it"));
    }
    Ok(certificates)
}

fn about(path: &Path, why: &dyn fmt::Display) -> Cause {
    format!("{}: {why}", path.display()).into()
}

/// The system's roots: a hundred kilobytes, and milliseconds to read. All links that are there share them; without any, the next one
/// reads them again.
fn system_roots() -> Arc<RootCertStore> {
    static SHARED: Mutex<Weak<RootCertStore>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(roots) = shared.upgrade() {
        return roots;
    }
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "part of the system's certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(native.certs);
    roots.roots.shrink_to_fit();
    let roots = Arc::new(roots);
    *shared = Arc::downgrade(&roots);
    roots
}

pub(super) fn server_name(domain: &str) -> Result<ServerName<'static>, ConnectError> {
    let wrong = || {
        tls_error(
            domain,
            "the domain is no name that a certificate can hold".into(),
        )
    };
    let v6 = domain
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(v6) = v6 {
        return ServerName::try_from(v6.to_owned()).map_err(|_| wrong());
    }
    let ascii = idna::domain_to_ascii(domain).map_err(|_| wrong())?;
    ServerName::try_from(ascii).map_err(|_| wrong())
}

/// Ciphertext that may wait for the socket: one batch fits, and leaves in one write.
const BUFFER: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "nothing").unwrap();
        for path in [file.path(), Path::new("/nonexistent")] {
            let error = Tls::new("example.org", Some(path), None).err();
            assert!(matches!(error, Some(ConnectError::Roots(_))), "{error:?}");
        }
    }

    #[test]
    fn names_are_checked_as_certificates_write_them() {
        assert!(server_name("under score").is_err());
        assert_eq!(
            server_name("bücher.example").unwrap().to_str(),
            "xn--bcher-kva.example"
        );
        assert_eq!(server_name("[::1]").unwrap().to_str(), "::1");
        assert_eq!(server_name("127.0.0.1").unwrap().to_str(), "127.0.0.1");
    }
}
