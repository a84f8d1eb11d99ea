//! Peers that don't support TLS 1.3, or whose ALPN name is for another session.

use xtls_tests::live::puppet::Puppet;
use xtls_tests::live::secure::Secure;

use crate::stage::Stage;

/// A ClientHello of TLS 1.2 (RFC 5246 §7.4.1.2): two suites of ECDHE with AES-GCM, two groups, two kinds of signatures.
fn client_hello() -> Vec<u8> {
    let mut body = vec![0x03, 0x03];
    body.extend([0x52; 32]);
    body.extend([0x00]);
    body.extend([0x00, 0x04, 0xc0, 0x2b, 0xc0, 0x2f]);
    body.extend([0x01, 0x00]);
    let extensions: [&[u8]; 3] = [
        &[0x00, 0x0a, 0x00, 0x06, 0x00, 0x04, 0x00, 0x1d, 0x00, 0x17],
        &[0x00, 0x0b, 0x00, 0x02, 0x01, 0x00],
        &[0x00, 0x0d, 0x00, 0x06, 0x00, 0x04, 0x04, 0x03, 0x08, 0x04],
    ];
    let extensions = extensions.concat();
    body.extend([0x00, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    record(0x01, &body)
}

/// A ServerHello of TLS 1.2 (RFC 5246 §7.4.1.3).
fn server_hello() -> Vec<u8> {
    let mut body = vec![0x03, 0x03];
    body.extend([0x52; 32]);
    body.extend([0x00, 0xc0, 0x2b, 0x00]);
    record(0x02, &body)
}

/// A handshake message in a record.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    let mut record = vec![0x16, 0x03, 0x03, 0x00, length + 4, kind, 0x00, 0x00, length];
    record.extend(body);
    record
}

/// The alert protocol_version, in the clear (RFC 8446 §6.2).
const PROTOCOL_VERSION: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 70];

async fn rest(puppet: &mut Puppet, stream: xtls_ibb::StreamId) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = puppet.read(stream).await {
        all.extend(bytes);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_tls_1_2_is_refused() {
    let stage = Stage::new("old-1");
    let program = stage.listener(&[]).await;
    let mut puppet = stage.puppet().await;
    let stream = puppet.open(&stage.juliet.at("old-1")).await;
    puppet.write(stream, &client_hello()).await;
    assert_eq!(rest(&mut puppet, stream).await, PROTOCOL_VERSION);
    program
        .end()
        .await
        .expect(4)
        .silent()
        .saying("does not speak TLS 1.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_tls_1_2_is_refused() {
    let stage = Stage::new("old-2");
    let mut puppet = stage.puppet().await;
    let program = stage.initiator(&[]);
    let stream = puppet.accept().await;
    assert_eq!(puppet.read(stream).await.unwrap()[0], 0x16);
    puppet.write(stream, &server_hello()).await;
    let said = rest(&mut puppet, stream).await;
    assert!(said.ends_with(&PROTOCOL_VERSION), "{said:02x?}");
    program
        .end()
        .await
        .expect(4)
        .silent()
        .saying("does not speak TLS 1.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_tls_are_refused() {
    let stage = Stage::new("old-3");
    let program = stage.listener(&[]).await;
    let mut puppet = stage.puppet().await;
    let stream = puppet.open(&stage.juliet.at("old-3")).await;
    puppet
        .write(stream, b"<message><body>in the clear</body></message>")
        .await;
    rest(&mut puppet, stream).await;
    program
        .end()
        .await
        .expect(4)
        .silent()
        .saying("does not follow TLS 1.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_session_is_refused() {
    // The ALPN name binds addresses, stream and service: here a server has changed an address.
    let stage = Stage::new("relabelled");
    let program = stage.listener(&[]).await;
    let puppet = stage.puppet().await;
    let to = stage.juliet.at("relabelled");
    let mut secure = Secure::open_as(
        puppet,
        &to,
        &stage.juliet.at("another"),
        Some(&stage.romeo.identity()),
    )
    .await;
    assert!(secure.handshake().await.is_err());
    program
        .end()
        .await
        .expect(5)
        .silent()
        .saying("do not mean the same session");
}
