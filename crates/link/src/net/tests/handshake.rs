//! Before anything is encrypted, and encryption itself.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio::sync::mpsc;

use super::*;
use crate::Security;
use crate::net::route::Start;
use crate::net::socket::Socket;
use crate::net::tls::Tls;
use crate::net::writer::{Records, Writer};

#[tokio::test]
async fn a_server_without_starttls_is_refused() {
    let (heard, mut hears) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp, _| {
        let heard = heard.clone();
        async move {
            let mut script = Script::new(tcp);
            script.greet(&mechanisms(&["PLAIN", "SCRAM-SHA-256"])).await;
            heard.send(script.rest().await).unwrap();
        }
    })
    .await;
    let error = connect(server.options(&Authority::new()).allow_plain(true))
        .await
        .unwrap_err();
    assert_eq!(
        error,
        ConnectError::NoStartTls {
            domain: "example.org".to_owned()
        }
    );
    assert_eq!(
        hears.recv().await.unwrap(),
        "",
        "nothing may be sent in the clear"
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_refused_starttls_is_refused() {
    let server = Server::start(|tcp, _| async move {
        let mut script = Script::new(tcp);
        script.greet(STARTTLS).await;
        script.hear("/>").await;
        script
            .say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")
            .await;
        script.rest().await;
    })
    .await;
    assert!(matches!(
        server.refused(&Authority::new()).await,
        ConnectError::Tls { .. }
    ));
}

#[tokio::test]
async fn bytes_after_proceed_are_refused() {
    for injected in [" ", "<stream:features/>", "\u{16}\u{3}\u{1}"] {
        let (heard, mut hears) = mpsc::unbounded_channel();
        let server = Server::start(move |tcp, _| {
            let heard = heard.clone();
            async move {
                let mut script = Script::new(tcp);
                script.greet(STARTTLS).await;
                script.hear("/>").await;
                script.say(&format!("{PROCEED}{injected}")).await;
                heard.send(script.rest().await).unwrap();
            }
        })
        .await;
        let error = server.refused(&Authority::new()).await;
        let expected = ConnectError::Injected {
            domain: "example.org".to_owned(),
            bytes: injected.len(),
        };
        assert_eq!(error, expected);
        assert_eq!(hears.recv().await.unwrap(), "", "no handshake may begin");
    }
}

#[tokio::test]
async fn what_is_no_xmpp_server_is_refused() {
    let endless = format!("{HEADER}<stream:features a='{}", "a".repeat(100_000));
    let texts = [
        "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned(),
        format!("{HEADER}<message/>"),
        format!("{HEADER}<stream:features><a></b></stream:features>"),
        format!("{HEADER}<!-- -->"),
        format!("{HEADER}{}", "<a>".repeat(1_000)),
        endless,
    ];
    for text in texts {
        let server = Server::start(move |tcp, _| {
            let text = text.clone();
            async move {
                let mut script = Script::new(tcp);
                script.hear("version='1.0'>").await;
                let _ = script.io.write_all(text.as_bytes()).await;
                script.rest().await;
            }
        })
        .await;
        let error = server.refused(&Authority::new()).await;
        assert!(
            matches!(
                error,
                ConnectError::Header { .. } | ConnectError::Protocol { .. }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_stream_error_is_told() {
    let server = Server::start(|tcp, _| async move {
        let mut script = Script::new(tcp);
        script
            .greet(
                "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
                 <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>not here</text></stream:error></stream:stream>",
            )
            .await;
        script.rest().await;
    })
    .await;
    let error = server.refused(&Authority::new()).await;
    assert_eq!(
        error.to_string(),
        "the server ended the connection: host-unknown (not here)"
    );
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for() {
    let server = Server::start(|tcp, _| async move {
        Script::new(tcp).rest().await;
    })
    .await;
    let limit = Duration::from_millis(50);
    let error = connect(server.options(&Authority::new()).timeout(limit))
        .await
        .unwrap_err();
    assert_eq!(error, ConnectError::Timeout { limit });
}

#[tokio::test]
async fn a_server_that_hangs_up_is_told() {
    let server = Server::start(|tcp, _| async move { drop(tcp) }).await;
    assert!(matches!(
        server.refused(&Authority::new()).await,
        ConnectError::Broken { .. }
    ));
}

/// A server of this name; whether the client completed the handshake comes out.
async fn tls_server(authority: &Authority, name: &str) -> (Server, mpsc::UnboundedReceiver<bool>) {
    let tls = authority.server(name);
    let (completed, completes) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp, _| {
        let (tls, completed) = (tls.clone(), completed.clone());
        async move {
            let mut script = Script::new(tcp);
            script.greet(STARTTLS).await;
            script.hear("/>").await;
            script.say(PROCEED).await;
            completed.send(tls.accept(script.io).await.is_ok()).unwrap();
        }
    })
    .await;
    (server, completes)
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let (server, mut completes) = tls_server(&Authority::new(), "example.org").await;
    let error = server.refused(&Authority::new()).await;
    assert!(
        matches!(error, ConnectError::Certificate { .. }),
        "{error:?}"
    );
    assert_eq!(server.connections(), 1);
    assert!(!completes.recv().await.unwrap());
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let authority = Authority::new();
    // The host that was dialled is no proof: the account's domain is what counts.
    for name in ["example.com", "127.0.0.1", "a.example.org"] {
        let (server, mut completes) = tls_server(&authority, name).await;
        let error = server.refused(&authority).await;
        assert!(
            matches!(error, ConnectError::Certificate { .. }),
            "{error:?}"
        );
        assert!(!completes.recv().await.unwrap());
    }
}

#[tokio::test]
async fn direct_tls_names_its_protocol() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (alpn, mut alpns) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp, _| {
        let (tls, alpn) = (tls.clone(), alpn.clone());
        async move {
            let stream = tls.accept(tcp).await.unwrap();
            alpn.send(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
                .unwrap();
            let mut script = Script::new(stream);
            script.greet(&mechanisms(&[])).await;
            script.rest().await;
        }
    })
    .await;
    let options = server.options(&authority).security(Security::DirectTls);
    assert!(matches!(
        connect(options).await.unwrap_err(),
        ConnectError::NoMechanism { .. }
    ));
    assert_eq!(alpns.recv().await.unwrap().unwrap(), b"xmpp-client");
}

/// RFC 8446 §5.1.
const APPLICATION_DATA: u8 = 23;

/// Notes the length of each TLS record that is read through it.
struct Lengths {
    tcp: TcpStream,
    bytes: Vec<u8>,
    longest: Arc<Mutex<usize>>,
}

impl AsyncRead for Lengths {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.tcp).poll_read(cx, buf);
        self.bytes.extend_from_slice(&buf.filled()[before..]);
        while let [kind, _, _, high, low, ..] = self.bytes[..] {
            let len = usize::from(high) << 8 | usize::from(low);
            if self.bytes.len() < 5 + len {
                break;
            }
            self.bytes.drain(..5 + len);
            // The hello of the handshake has a size of its own.
            if kind != APPLICATION_DATA {
                continue;
            }
            let mut longest = self.longest.lock().unwrap();
            *longest = len.max(*longest);
        }
        result
    }
}

impl AsyncWrite for Lengths {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn records_hold_1024_bytes_of_which_eight_are_what_a_server_reads_at_a_time() {
    const SENT: usize = 100_000;
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let longest = Arc::new(Mutex::new(0));
    let (done, mut dones) = mpsc::unbounded_channel();
    let seen = Arc::clone(&longest);
    let server = Server::start(move |tcp, _| {
        let (tls, done) = (tls.clone(), done.clone());
        let records = Lengths {
            tcp,
            bytes: Vec::new(),
            longest: Arc::clone(&seen),
        };
        async move {
            let mut stream = tls.accept(records).await.unwrap();
            stream.read_exact(&mut vec![0; SENT]).await.unwrap();
            done.send(()).unwrap();
        }
    })
    .await;
    let tls = Tls::new("example.org", Some(authority.file.path()), None).unwrap();
    let tcp = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let (mut stream, exporter) = tls
        .handshake(Socket::new(tcp).unwrap(), Start::DirectTls)
        .await
        .unwrap();
    assert!(exporter.is_some());
    let mut writer = Writer::new(Records::Filled);
    let now = tokio::time::Instant::now().into_std();
    writer.start(now, &vec![7; SENT], &mut stream).unwrap();
    poll_fn(|cx| writer.poll_flush(cx, &mut stream))
        .await
        .unwrap();
    dones.recv().await.unwrap();
    // The plaintext, one byte of type, 16 of tag.
    assert_eq!(*longest.lock().unwrap(), 1024 + 17);
}
