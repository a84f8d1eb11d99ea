//! A client written by hand for one purpose, which is the upper bound for a link: TLS as it comes, stanzas whose octets lie
//! ready, answers that are counted and not read, and no stream management.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_rustls::{TlsConnector, rustls};
use xtls_stanza::base64;

use crate::link::Server;
use crate::raw::Fixed;

/// An account that sends, and one that answers.
pub(crate) struct Hand {
    io: TlsStream<TcpStream>,
    to: String,
    sent: u64,
}

impl Hand {
    pub(crate) async fn start(server: &Server) -> Self {
        let to = format!("juliet@{}/hand", server.fact("domain"));
        let mut far = log_in(server, "juliet").await;
        tokio::spawn(async move {
            let (mut heard, mut answers) = (Vec::new(), Vec::new());
            while far.read_buf(&mut heard).await.unwrap_or_default() > 0 {
                let mut done = 0;
                while let Some(end) = find(&heard[done..], b"</iq>") {
                    let stanza = &heard[done..done + end];
                    let head = &stanza[..find(stanza, b"><").unwrap_or(stanza.len())];
                    if let (Some(id), Some(from)) = (value(head, b" id="), value(head, b" from=")) {
                        for part in [b"<iq type='result' id='", id, b"' to='", from, b"'/>"] {
                            answers.extend_from_slice(part);
                        }
                    }
                    done += end + b"</iq>".len();
                }
                heard.drain(..done);
                if far.write_all(&answers).await.is_err() || far.flush().await.is_err() {
                    return;
                }
                answers.clear();
            }
        });
        let io = log_in(server, "romeo").await;
        Self { io, to, sent: 0 }
    }

    /// How long `size` bytes take, including the last answer.
    pub(crate) async fn run(&mut self, size: usize, fixed: Fixed) -> Duration {
        let mut payload = Vec::new();
        base64::encode(&vec![0x5a; fixed.block], &mut payload);
        let chunks = size.div_ceil(fixed.block);
        let (mut sent, mut answered) = (0, 0);
        let mut out = Vec::new();
        let mut heard = Vec::new();
        let start = Instant::now();
        while answered < chunks {
            while sent < chunks && sent - answered < fixed.window {
                self.sent += 1;
                let head = format!(
                    "<iq type='set' id='h{}' to='{}'><data xmlns='http://jabber.org/protocol/ibb' sid='hand' seq='0'>",
                    self.sent, self.to
                );
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(&payload);
                out.extend_from_slice(b"</data></iq>");
                sent += 1;
            }
            self.io.write_all(&out).await.expect("the link holds");
            self.io.flush().await.expect("the link holds");
            out.clear();
            let read = self.io.read_buf(&mut heard).await.expect("the link holds");
            assert!(read > 0, "the server hung up");
            let mut done = 0;
            while let Some(end) = find(&heard[done..], b"/>") {
                assert!(
                    find(&heard[done..done + end], b"result").is_some(),
                    "a chunk came back"
                );
                answered += 1;
                done += end + b"/>".len();
            }
            heard.drain(..done);
        }
        start.elapsed()
    }
}

/// Up to the binding of a resource. What the server offers is not looked at.
async fn log_in(server: &Server, account: &str) -> TlsStream<TcpStream> {
    let domain = server.fact("domain");
    let header = format!(
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}' version='1.0'>"
    );
    let mut tcp = TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .expect("a server");
    tcp.set_nodelay(true).expect("a socket");
    tcp.write_all(header.as_bytes()).await.expect("a server");
    hear(&mut tcp, b"</stream:features>").await;
    tcp.write_all(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        .await
        .expect("a server");
    hear(&mut tcp, b"<proceed").await;
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(server.fact("ca_file")).expect("a file");
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.expect("PEM")).expect("a certificate");
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(domain.to_owned()).expect("a name");
    let mut io = TlsConnector::from(std::sync::Arc::new(config))
        .connect(name, tcp)
        .await
        .expect("TLS");
    let password = std::fs::read_to_string(server.password_file(account)).expect("a password");
    let mut plain = Vec::new();
    let message = format!("\0{account}\0{}", password.trim());
    base64::encode(message.as_bytes(), &mut plain);
    let plain = String::from_utf8(plain).expect("ASCII");
    let auth =
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>");
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>hand</resource></bind></iq>";
    for (say, until) in [
        (header.as_str(), "</stream:features>"),
        (auth.as_str(), "<success"),
        (header.as_str(), "</stream:features>"),
        (bind, "</iq>"),
    ] {
        io.write_all(say.as_bytes()).await.expect("a server");
        io.flush().await.expect("a server");
        hear(&mut io, until.as_bytes()).await;
    }
    io
}

/// Reads until this has come, and to the end of its tag. Nothing follows before the next request.
async fn hear(io: &mut (impl tokio::io::AsyncRead + Unpin), until: &[u8]) {
    let mut heard = Vec::new();
    while !find(&heard, until).is_some_and(|at| heard[at..].contains(&b'>')) {
        let read = io.read_buf(&mut heard).await.expect("a server");
        assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
    }
}

/// What follows a name in either kind of quotes.
fn value<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = &head[find(head, name)? + name.len()..];
    let (&quote, rest) = rest.split_first()?;
    Some(&rest[..rest.iter().position(|&byte| byte == quote)?])
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}
