//! tokio-rustls: both ends write five megabytes, close their direction, and read the other's to its end.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use xtls_stanza::Address;
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tls::{Config, Expectations, trust};

use super::{Duplex, pattern};

const BYTES: usize = 5_000_000;

fn expect(own: &str, peer: &str) -> Expectations {
    let bare = |text: &str| Address::new(text).unwrap().to_bare().to_string();
    let mut expect = Expectations::new(
        bare(own),
        bare(peer),
        trust::Store::new(),
        trust::Policy::Tofu,
    );
    expect.alpn = b"libraries".to_vec();
    expect.alpn_required = true;
    expect
}

fn config(own: &str, number: u8) -> Config {
    keys::seeded_tls(keys::identity(own, number), [number; 32])
}

async fn exchange(stream: impl Duplex, sent: Vec<u8>) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    // An end of file without the peer's close_notify is an error of rustls.
    let (read, ()) = tokio::join!(reader.read_to_end(&mut got), write);
    read.unwrap();
    got
}

pub(crate) async fn both_directions_end_by_themselves(near: impl Duplex, far: impl Duplex) {
    let (client, checks) = config(ROMEO, 1).client(&expect(ROMEO, JULIET)).unwrap();
    let (server, _) = config(JULIET, 2).server(&expect(JULIET, ROMEO)).unwrap();
    let name = ServerName::try_from("any.invalid").unwrap();
    let client = async {
        let connector = TlsConnector::from(Arc::new(client));
        let stream = connector.connect(name, near).await.unwrap();
        checks.peer(stream.get_ref().1).unwrap();
        exchange(stream, pattern(BYTES, 1)).await
    };
    let server = async {
        let stream = TlsAcceptor::from(Arc::new(server))
            .accept(far)
            .await
            .unwrap();
        exchange(stream, pattern(BYTES, 2)).await
    };
    let (at_client, at_server) = tokio::join!(client, server);
    assert!(at_client == pattern(BYTES, 2) && at_server == pattern(BYTES, 1));
}
