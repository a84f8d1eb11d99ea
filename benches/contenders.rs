//! Pairs of TLS ends in memory: ours, and rustls alone.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::BytesMut;
use xtls_tls::rustls::client::Resumption;
use xtls_tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use xtls_tls::rustls::crypto::{CryptoProvider, verify_tls13_signature};
use xtls_tls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use xtls_tls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use xtls_tls::rustls::time_provider::DefaultTimeProvider;
use xtls_tls::rustls::version::TLS13;
use xtls_tls::rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, DistinguishedName, Error,
    ServerConfig, ServerConnection, SignatureScheme,
};
use xtls_tls::{Config, Expectations, Identity, Role, Tls, default_provider, trust};
use zeroize::Zeroizing;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.net";
const ALPN: &[u8] = b"xtls-bytes;bench";

/// What the connections of one run share.
pub struct Setup {
    alice: Config,
    bob: Config,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// Two ends.
pub trait Pair {
    /// A pair whose handshake is finished.
    fn connected(setup: &Setup) -> Self;

    /// Transfers `block` bytes, `count` times, from the client to the server. Returns how many bytes came out.
    fn carry(&mut self, block: &[u8], count: usize) -> usize;

    /// The same in the other direction.
    fn carry_back(&mut self, block: &[u8], count: usize) -> usize;
}

impl Setup {
    /// Two identities, and configurations made from them for both contenders.
    #[must_use]
    pub fn new() -> Self {
        let provider = default_provider();
        let identity = |jid, seed| {
            let seed = Zeroizing::new([seed; 32]);
            Arc::new(Identity::generate(jid, &seed, 1_767_225_600).expect("an identity"))
        };
        let config = |identity: &Arc<Identity>| {
            let time = Arc::new(DefaultTimeProvider);
            Config::new(identity.clone(), provider.clone(), time).expect("a configuration")
        };
        let (alice, bob) = (identity(ALICE, 1), identity(BOB, 2));
        let verifier = Arc::new(Anybody(provider.clone()));
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_auth_cert(vec![alice.certificate().clone()], key(1))
            .expect("a key and its certificate");
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![bob.certificate().clone()], key(2))
            .expect("a key and its certificate");
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.send_tls13_tickets = 0;
        Self {
            alice: config(&alice),
            bob: config(&bob),
            client: Arc::new(client),
            server: Arc::new(server),
        }
    }

    /// A client of ours whose hello is under way.
    #[must_use]
    pub fn waiting_client(&self) -> Tls {
        let mut client = ours(Role::Client, &self.alice, ALICE, BOB);
        black_box(client.poll_wire(usize::MAX));
        client
    }

    /// A server of ours that has answered a hello; its flight is still to be polled, or `sent`.
    #[must_use]
    pub fn waiting_server(&self, sent: bool) -> Tls {
        let mut client = ours(Role::Client, &self.alice, ALICE, BOB);
        let mut server = ours(Role::Server, &self.bob, BOB, ALICE);
        let hello = client.poll_wire(usize::MAX).expect("a hello");
        server.handle_wire(&hello, &mut BytesMut::new());
        if sent {
            black_box(server.poll_wire(usize::MAX));
        }
        server
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

fn key(seed: u8) -> PrivateKeyDer<'static> {
    // PKCS#8 of an Ed25519 key up to its 32 bytes (RFC 8410 §7).
    let mut der = vec![
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    der.extend([seed; 32]);
    PrivatePkcs8KeyDer::from(der).into()
}

fn ours(role: Role, config: &Config, own: &str, peer: &str) -> Tls {
    let mut expect = Expectations::new(own, peer, trust::Store::new(), trust::Policy::Tofu);
    expect.alpn = ALPN.to_vec();
    expect.alpn_required = true;
    Tls::new(role, config, expect).expect("a connection")
}

/// Two of our ends.
pub struct Ours {
    client: Tls,
    server: Tls,
}

fn through(from: &mut Tls, to: &mut Tls, plain: &mut BytesMut) {
    while let Some(wire) = from.poll_wire(usize::MAX) {
        to.handle_wire(&wire, plain);
    }
}

fn carry(from: &mut Tls, to: &mut Tls, block: &[u8], count: usize) -> usize {
    let mut plain = BytesMut::with_capacity(2 * block.len());
    let mut sum = 0;
    for _ in 0..count {
        from.write(block).expect("room");
        through(from, to, &mut plain);
        sum += black_box(&plain[..]).len();
        plain.clear();
    }
    assert_eq!(sum, block.len() * count);
    sum
}

impl Pair for Ours {
    fn connected(setup: &Setup) -> Self {
        let mut client = ours(Role::Client, &setup.alice, ALICE, BOB);
        let mut server = ours(Role::Server, &setup.bob, BOB, ALICE);
        let mut plain = BytesMut::new();
        through(&mut client, &mut server, &mut plain);
        through(&mut server, &mut client, &mut plain);
        through(&mut client, &mut server, &mut plain);
        assert!(client.peer().is_some() && server.peer().is_some());
        Self { client, server }
    }

    fn carry(&mut self, block: &[u8], count: usize) -> usize {
        carry(&mut self.client, &mut self.server, block, count)
    }

    fn carry_back(&mut self, block: &[u8], count: usize) -> usize {
        carry(&mut self.server, &mut self.client, block, count)
    }
}

/// Two ends of rustls.
pub struct Bare {
    client: Connection,
    server: Connection,
}

/// Decrypted data is read into `plain`, as the adapter appends it to a buffer.
fn flush(
    from: &mut Connection,
    to: &mut Connection,
    wire: &mut Vec<u8>,
    plain: &mut [u8],
) -> usize {
    wire.clear();
    while from.wants_write() {
        from.write_tls(wire).expect("a write to memory");
    }
    let (mut rest, mut sum) = (wire.as_slice(), 0);
    while !rest.is_empty() {
        to.read_tls(&mut rest).expect("a read from memory");
        to.process_new_packets().expect("good records");
        while let Ok(len @ 1..) = to.reader().read(plain) {
            sum += black_box(plain.get(..len)).map_or(0, <[u8]>::len);
        }
    }
    sum
}

fn carry_bare(from: &mut Connection, to: &mut Connection, block: &[u8], count: usize) -> usize {
    let (mut wire, mut plain) = (Vec::new(), vec![0; 2 * block.len()]);
    let mut sum = 0;
    for _ in 0..count {
        from.writer().write_all(block).expect("room");
        sum += flush(from, to, &mut wire, &mut plain);
    }
    assert_eq!(sum, block.len() * count);
    sum
}

impl Pair for Bare {
    fn connected(setup: &Setup) -> Self {
        let name = ServerName::try_from("xtls.invalid").expect("a name");
        let client = ClientConnection::new(setup.client.clone(), name).expect("a client");
        let server = ServerConnection::new(setup.server.clone()).expect("a server");
        let (mut client, mut server) = (Connection::Client(client), Connection::Server(server));
        let (mut wire, plain) = (Vec::new(), &mut [0; 64]);
        flush(&mut client, &mut server, &mut wire, plain);
        flush(&mut server, &mut client, &mut wire, plain);
        flush(&mut client, &mut server, &mut wire, plain);
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Self { client, server }
    }

    fn carry(&mut self, block: &[u8], count: usize) -> usize {
        carry_bare(&mut self.client, &mut self.server, block, count)
    }

    fn carry_back(&mut self, block: &[u8], count: usize) -> usize {
        carry_bare(&mut self.server, &mut self.client, block, count)
    }
}

/// Accepts every certificate whose key made the signature, as an application that pins keys would.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl Anybody {
    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }
}

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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Anybody {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
