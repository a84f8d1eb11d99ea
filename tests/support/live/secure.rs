//! TLS that a test controls, over a puppet's stream: rustls without any of our checks.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use xtls_ibb::StreamId;
use xtls_session::{Binding, Service};
use xtls_stanza::Address;
use xtls_tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use xtls_tls::rustls::crypto::CryptoProvider;
use xtls_tls::rustls::pki_types::pem::PemObject as _;
use xtls_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use xtls_tls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use xtls_tls::rustls::{
    self, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, DistinguishedName,
    Error, NamedGroup, ServerConfig, ServerConnection, SignatureScheme,
};
use xtls_tls::{Identity, Role, default_provider};

use super::puppet::Puppet;

/// A TLS connection on a puppet's stream.
#[derive(Debug)]
pub struct Secure {
    /// The puppet.
    pub puppet: Puppet,
    /// The stream.
    pub stream: StreamId,
    tls: Connection,
}

/// What a puppet receives.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// Plaintext.
    Plain(Vec<u8>),
    /// close_notify.
    Closed,
    /// An alert, or nothing that TLS allows.
    Fault(Error),
    /// The end of the stream, without any of these.
    Cut,
}

impl Secure {
    /// Opens a tunnel to `to` as `me`, or without a certificate. Any key is accepted at the other end.
    pub async fn open(puppet: Puppet, to: &Address, me: Option<&Identity>) -> Self {
        Self::open_as(puppet, to, to, me).await
    }

    /// Like [`open`](Self::open), where the puppet believes that the other end is `believed`.
    pub async fn open_as(
        mut puppet: Puppet,
        to: &Address,
        believed: &Address,
        me: Option<&Identity>,
    ) -> Self {
        let stream = puppet.open(to).await;
        let alpn = alpn(&puppet, stream, believed, Role::Client);
        let tls = client(me, alpn, default_provider());
        Self {
            puppet,
            stream,
            tls,
        }
    }

    /// Like [`open`](Self::open), with a key exchange that doesn't resist quantum computers, and no other.
    pub async fn open_classical(mut puppet: Puppet, to: &Address, me: Option<&Identity>) -> Self {
        let stream = puppet.open(to).await;
        let alpn = alpn(&puppet, stream, to, Role::Client);
        let mut provider = CryptoProvider::clone(&default_provider());
        let classical = |name| name == NamedGroup::X25519;
        provider.kx_groups.retain(|group| classical(group.name()));
        let tls = client(me, alpn, Arc::new(provider));
        Self {
            puppet,
            stream,
            tls,
        }
    }

    /// Waits for a tunnel from `from` and answers as `me`; `ask` says whether to request the other's certificate.
    pub async fn accept(mut puppet: Puppet, from: &Address, me: &Identity, ask: bool) -> Self {
        let stream = puppet.accept().await;
        let alpn = alpn(&puppet, stream, from, Role::Server);
        let tls = server(me, alpn, ask);
        Self {
            puppet,
            stream,
            tls,
        }
    }

    /// Runs the handshake until this end has finished it.
    pub async fn handshake(&mut self) -> Result<(), Error> {
        self.flush().await;
        while self.tls.is_handshaking() {
            let Some(wire) = self.puppet.read(self.stream).await else {
                panic!("the stream ended in the handshake");
            };
            let taken = self.take(&wire);
            self.flush().await;
            taken?;
        }
        Ok(())
    }

    /// Writes plaintext.
    pub async fn say(&mut self, plain: impl AsRef<[u8]>) {
        self.tls.writer().write_all(plain.as_ref()).expect("room");
        self.flush().await;
    }

    /// Sends close_notify.
    pub async fn finish(&mut self) {
        self.tls.send_close_notify();
        self.flush().await;
    }

    /// What comes next.
    pub async fn hear(&mut self) -> Heard {
        loop {
            let mut plain = Vec::new();
            match self.tls.reader().read_to_end(&mut plain) {
                Ok(_) if plain.is_empty() => return Heard::Closed,
                _ if !plain.is_empty() => return Heard::Plain(plain),
                _ => {}
            }
            let Some(wire) = self.puppet.read(self.stream).await else {
                return Heard::Cut;
            };
            if let Err(error) = self.take(&wire) {
                return Heard::Fault(error);
            }
            self.flush().await;
        }
    }

    /// All plaintext until something else arrives, and that.
    pub async fn hear_out(&mut self) -> (Vec<u8>, Heard) {
        let mut all = Vec::new();
        loop {
            match self.hear().await {
                Heard::Plain(plain) => all.extend(plain),
                other => return (all, other),
            }
        }
    }

    /// Ends the stream but not TLS.
    pub async fn cut(&mut self) {
        self.puppet.close(self.stream).await;
    }

    /// Seals plaintext and gives the record to the caller instead of the peer.
    pub fn seal(&mut self, plain: impl AsRef<[u8]>) -> Vec<u8> {
        self.tls.writer().write_all(plain.as_ref()).expect("room");
        let mut wire = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut wire).expect("memory");
        }
        wire
    }

    fn take(&mut self, mut wire: &[u8]) -> Result<(), Error> {
        while !wire.is_empty() {
            self.tls.read_tls(&mut wire).expect("room");
            self.tls.process_new_packets()?;
        }
        Ok(())
    }

    async fn flush(&mut self) {
        let wire = self.seal("");
        self.puppet.write(self.stream, &wire).await;
    }
}

fn alpn(puppet: &Puppet, stream: StreamId, peer: &Address, role: Role) -> Vec<u8> {
    let (own, sid) = (puppet.own().clone(), puppet.sid(stream));
    Binding {
        own,
        peer: peer.clone(),
        sid,
        service: Service::stanzas(),
        role,
    }
    .alpn()
}

fn client(me: Option<&Identity>, alpn: Vec<u8>, provider: Arc<CryptoProvider>) -> Connection {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = match me {
        Some(me) => {
            let (certificate, key) = shown(me);
            builder
                .with_client_auth_cert(certificate, key)
                .expect("a key")
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn];
    config.enable_sni = false;
    let name = ServerName::try_from("xtls.invalid").expect("a name");
    ClientConnection::new(Arc::new(config), name)
        .expect("a client")
        .into()
}

fn server(me: &Identity, alpn: Vec<u8>, ask: bool) -> Connection {
    let builder = ServerConfig::builder_with_provider(default_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3");
    let builder = if ask {
        builder.with_client_cert_verifier(Arc::new(Credulous))
    } else {
        builder.with_no_client_auth()
    };
    let (certificate, key) = shown(me);
    let mut config = builder.with_single_cert(certificate, key).expect("a key");
    config.alpn_protocols = vec![alpn];
    config.send_tls13_tickets = 0;
    ServerConnection::new(Arc::new(config))
        .expect("a server")
        .into()
}

fn shown(me: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = PrivateKeyDer::from_pem_slice(me.to_pem().as_bytes()).expect("a key");
    (vec![me.certificate().clone()], key)
}

/// Accepts everything.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Credulous {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}
