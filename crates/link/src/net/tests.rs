//! Scripted servers over loopback, one for each thing that a server can do to us.

mod bugs;
mod certificate;
#[cfg(feature = "component")]
mod component;
mod dialled;
mod elsewhere;
mod found;
mod handshake;
mod limits;
mod link;
mod login;
mod reconnect;
#[cfg(feature = "serve")]
mod serve;
mod steps;
mod stranger;

use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData as _};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use xtls_stanza::base64;
use zeroize::Zeroizing;

use super::{Dial, Link, Options, connect};
use crate::{ConnectError, Pin, Retry};
use xtls_stanza::normalise::normalise;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='1' from='example.org' \
    xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en' version='1.0'>";
const STARTTLS: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const BIND: &str =
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
const BIND_AND_SM: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

fn mechanisms(names: &[&str]) -> String {
    let names: String = names
        .iter()
        .map(|name| format!("<mechanism>{name}</mechanism>"))
        .collect();
    format!(
        "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{names}</mechanisms></stream:features>"
    )
}

/// The same from a server that also names the ways of channel binding that it knows (XEP-0440).
fn mechanisms_and_bindings(names: &[&str], bindings: &[&str]) -> String {
    let types: String = bindings
        .iter()
        .map(|name| format!("<channel-binding type='{name}'/>"))
        .collect();
    let bindings =
        format!("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{types}</sasl-channel-binding>");
    mechanisms(names).replace("</stream:features>", &(bindings + "</stream:features>"))
}

/// A file with one certificate.
pub(super) fn pem_file(certificate: &[u8]) -> tempfile::NamedTempFile {
    labelled("CERTIFICATE", certificate)
}

fn labelled(label: &str, der: &[u8]) -> tempfile::NamedTempFile {
    let mut text = Vec::new();
    base64::encode(der, &mut text);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "-----BEGIN {label}-----").unwrap();
    for line in text.chunks(64) {
        file.write_all(line).unwrap();
        file.write_all(b"\n").unwrap();
    }
    writeln!(file, "-----END {label}-----").unwrap();
    file
}

/// An authority made for one test, and a file with its certificate.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = pem_file(certificate.der());
        Self {
            issuer: Issuer::new(params, key),
            file,
        }
    }

    /// TLS for a server of this name.
    fn server(&self, name: &str) -> TlsAcceptor {
        self.server_and_pin(name).0
    }

    /// The same, and its key.
    fn server_and_pin(&self, name: &str) -> (TlsAcceptor, Pin) {
        let (certificate, key) = self.certificate(name);
        let chain = vec![certificate];
        let pin = Pin::new(Sha256::digest(key.subject_public_key_info()).into());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = super::tls::provider();
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"xmpp-client".to_vec()];
        (TlsAcceptor::from(Arc::new(config)), pin)
    }

    /// TLS for a server of this name that asks for a certificate of this authority.
    fn server_that_asks(&self, name: &str) -> TlsAcceptor {
        let mut roots = RootCertStore::empty();
        let pem = std::fs::read(self.file.path()).unwrap();
        roots
            .add(CertificateDer::from_pem_slice(&pem).unwrap())
            .unwrap();
        let provider = Arc::new(super::tls::provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .allow_unauthenticated()
                .build()
                .unwrap();
        let (certificate, key) = self.certificate(name);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![certificate],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A certificate of this authority for a name, and its key.
    fn certificate(&self, name: &str) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (CertificateDer::from(certificate.der().to_vec()), key)
    }

    /// Options for an account whose server somebody else connects to.
    fn through(&self, dialer: Arc<dyn Dial>) -> Options {
        let account = normalise("juliet@example.org").unwrap();
        Options::new(&account, Zeroizing::new("pencil".to_owned()))
            .ca_file(self.file.path())
            .dialer(dialer)
            .allow_plain(true)
            .fill(false)
            .timeout(Duration::from_secs(20))
            .retry(Retry {
                first: Duration::from_millis(1),
                longest: Duration::from_millis(4),
                give_up: Duration::from_secs(20),
            })
    }
}

/// Where a scripted server listens, and how many connections came.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Runs the script once for each connection, with its number.
    async fn start<F, S>(script: S) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
        S: Fn(TcpStream, usize) -> F + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(tcp, number));
            }
        });
        Self { port, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn options(&self, authority: &Authority) -> Options {
        let account = normalise("juliet@example.org").unwrap();
        Options::new(&account, Zeroizing::new("pencil".to_owned()))
            .server("127.0.0.1", self.port)
            .ca_file(authority.file.path())
            .fill(false)
            .timeout(Duration::from_secs(20))
            .retry(Retry {
                first: Duration::from_millis(1),
                longest: Duration::from_millis(4),
                give_up: Duration::from_secs(20),
            })
    }

    async fn refused(&self, authority: &Authority) -> ConnectError {
        connect(self.options(authority)).await.unwrap_err()
    }

    async fn link(&self, authority: &Authority) -> Link {
        connect(self.options(authority).allow_plain(true))
            .await
            .unwrap()
    }
}

/// A server's end of a connection.
struct Script<T> {
    io: T,
    heard: String,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Script<T> {
    fn new(io: T) -> Self {
        Self {
            io,
            heard: String::new(),
        }
    }

    async fn say(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Reads until the text has come; all before it and itself.
    async fn hear(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.heard.find(text) {
                let rest = self.heard.split_off(at + text.len());
                return std::mem::replace(&mut self.heard, rest);
            }
            let mut buffer = [0; 4096];
            let read = self.io.read(&mut buffer).await.unwrap_or_default();
            assert!(read > 0, "hung up before {text:?}; heard {:?}", self.heard);
            self.heard
                .push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    }

    /// What comes up to the end of an element; nothing if the client hangs up instead.
    async fn element(&mut self, end: &str) -> Option<String> {
        let mut buffer = [0; 4096];
        while !self.heard.contains(end) {
            let read = self.io.read(&mut buffer).await.unwrap_or_default();
            if read == 0 {
                return None;
            }
            self.heard
                .push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
        Some(self.hear(end).await)
    }

    /// Everything until the client hangs up.
    async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.io.read_to_end(&mut rest).await;
        self.heard + &String::from_utf8_lossy(&rest)
    }

    async fn greet(&mut self, features: &str) {
        self.hear("version='1.0'>").await;
        self.say(&format!("{HEADER}{features}")).await;
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Script<T> {
    async fn starttls(mut self, tls: &TlsAcceptor) -> Script<TlsStream<T>> {
        self.greet(STARTTLS).await;
        self.hear("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            .await;
        self.say(PROCEED).await;
        Script::new(tls.accept(self.io).await.unwrap())
    }

    /// Up to the features after login.
    async fn logged_in(self, tls: &TlsAcceptor, features: &str) -> Script<TlsStream<T>> {
        let mut script = self.starttls(tls).await;
        script.greet(&mechanisms(&["PLAIN"])).await;
        script.hear("</auth>").await;
        script.say(SUCCESS).await;
        script.hear("version=").await;
        script.hear(">").await;
        script.say(&format!("{HEADER}{features}")).await;
        script
    }

    /// Up to the first presence, without XEP-0198.
    async fn bound(self, tls: &TlsAcceptor, resource: &str) -> Script<TlsStream<T>> {
        let mut script = self.logged_in(tls, BIND).await;
        script.bind(resource).await;
        script.hear("</presence>").await;
        script
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Script<TlsStream<T>> {
    async fn bind(&mut self, resource: &str) {
        let jid = format!("juliet@example.org/{resource}");
        self.bind_to(&jid).await;
    }

    /// Binds this address, whatever was asked for.
    async fn bind_to(&mut self, jid: &str) {
        let id = self.binding().await;
        self.say(&format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{jid}</jid></bind></iq>"
        ))
        .await;
    }

    /// The id of the request to bind, which is heard next.
    async fn binding(&mut self) -> String {
        let request = self.hear("</iq>").await;
        id_of(&request)
    }
}

/// The id of the last request in what was heard.
fn id_of(heard: &str) -> String {
    let (_, rest) = heard.rsplit_once("<iq ").unwrap();
    let (_, rest) = rest.split_once("id='").unwrap();
    rest.split_once('\'').unwrap().0.to_owned()
}
