//! TLS toward one's own server.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, ProtocolVersion, RootCertStore};

use super::align::RECORD;
use super::dial::Start;
use super::error::ConnectError;
use super::socket::Socket;

/// rustls counts the record's 5-byte header.
const MAX_FRAGMENT: usize = RECORD + 5;

/// Ciphertext that may wait for the socket: one batch fits, and leaves in one write.
const BUFFER: usize = 256 * 1024;

/// Channel binding data (RFC 9266).
pub(super) type Exporter = [u8; 32];

/// What the server's certificate is checked with, and against.
#[derive(Clone)]
pub(super) struct Tls {
    domain: String,
    name: ServerName<'static>,
    plain: Arc<ClientConfig>,
    direct: Arc<ClientConfig>,
}

impl Tls {
    /// `domain` is the account's, as Unicode. Roots are the system's and those in the file.
    pub(super) fn new(domain: &str, ca_file: Option<&Path>) -> Result<Self, ConnectError> {
        let config =
            config(roots(ca_file)?).map_err(|error| tls_error(domain, error.to_string()))?;
        let mut direct = config.clone();
        direct.alpn_protocols = vec![b"xmpp-client".to_vec()];
        Ok(Self {
            domain: domain.to_owned(),
            name: server_name(domain)?,
            plain: Arc::new(config),
            direct: Arc::new(direct),
        })
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
            .map_err(|error| self.judge(&error))?;
        let connection = stream.get_mut().1;
        connection.set_buffer_limit(Some(BUFFER));
        let exporter = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => connection
                .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None)
                .ok(),
            _ => None,
        };
        Ok((stream, exporter))
    }

    fn judge(&self, error: &std::io::Error) -> ConnectError {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(why)) => ConnectError::Certificate {
                domain: self.domain.clone(),
                why: why.to_string(),
            },
            Some(why) => tls_error(&self.domain, why.to_string()),
            None => tls_error(&self.domain, error.to_string()),
        }
    }
}

fn tls_error(domain: &str, why: String) -> ConnectError {
    ConnectError::Tls {
        domain: domain.to_owned(),
        why,
    }
}

fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.max_fragment_size = Some(MAX_FRAGMENT);
    Ok(config)
}

/// Never the process-wide default, which anybody may set.
pub(super) fn provider() -> CryptoProvider {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    return rustls::crypto::ring::default_provider();
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "part of the system's certificates cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = ca_file {
        let wrong = |why: String| ConnectError::Roots {
            why: format!("{}: {why}", path.display()),
        };
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| wrong(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(wrong("there is no PEM certificate in it".to_owned()));
        }
    }
    if roots.is_empty() {
        let why = "the system has none, and no file was given with --ca-file".to_owned();
        return Err(ConnectError::Roots { why });
    }
    Ok(roots)
}

fn server_name(domain: &str) -> Result<ServerName<'static>, ConnectError> {
    let wrong = || {
        tls_error(
            domain,
            "the domain is no name that a certificate can hold".to_owned(),
        )
    };
    if let Some(v6) = domain
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return ServerName::try_from(v6.to_owned()).map_err(|_| wrong());
    }
    let ascii = idna::domain_to_ascii(domain).map_err(|_| wrong())?;
    ServerName::try_from(ascii).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_certificates_write_them() {
        assert_eq!(
            server_name("bücher.example").unwrap().to_str(),
            "xn--bcher-kva.example"
        );
        assert_eq!(server_name("[::1]").unwrap().to_str(), "::1");
        assert_eq!(server_name("127.0.0.1").unwrap().to_str(), "127.0.0.1");
        assert!(server_name("under score").is_err());
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "nothing").unwrap();
        assert!(matches!(
            roots(Some(file.path())),
            Err(ConnectError::Roots { .. })
        ));
        assert!(matches!(
            roots(Some(Path::new("/nonexistent"))),
            Err(ConnectError::Roots { .. })
        ));
    }
}
