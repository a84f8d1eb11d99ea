//! `-R`: the peer listens.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use xtls_forward::{Report, Rule, Serve, Why};

use crate::support::{Pair, is_reset, refused, server};

/// A forward from any free port of the peer to this address.
async fn there(to: std::net::SocketAddr) -> (Pair, std::net::SocketAddr) {
    let serve = Serve {
        allow_bind: vec!["0".parse().unwrap()],
        ..Serve::default()
    };
    let mut pair = Pair::new(&[Rule::Remote(format!("0:{to}").parse().unwrap())], serve);
    loop {
        if let Report::ListeningThere { at, .. } = pair.near.recv().await.unwrap() {
            let at = at.to_string().parse().unwrap();
            return (pair, at);
        }
    }
}

#[tokio::test]
async fn a_place_here_where_nobody_listens_resets_whoever_connects_there() {
    let (listener, at) = server().await;
    drop(listener);
    let (mut pair, there) = there(at).await;
    let mut client = TcpStream::connect(there).await.unwrap();
    assert!(is_reset(&mut client).await);
    assert_eq!(refused(&pair.last_of_near().await), Why::Refused);
    assert_eq!(refused(&pair.last_of_far().await), Why::Refused);
}

#[tokio::test]
async fn what_connects_there_comes_out_here() {
    let (listener, at) = server().await;
    let (_pair, there) = there(at).await;
    assert!(there.ip().is_loopback());
    let mut client = TcpStream::connect(there).await.unwrap();
    let (mut served, _) = listener.accept().await.unwrap();
    client.write_all(b"ping").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = Vec::new();
    served.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"ping");
    served.write_all(b"pong").await.unwrap();
    drop(served);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"pong");
}

#[tokio::test]
async fn the_peer_stops_listening_when_the_tunnel_ends() {
    let (_listener, at) = server().await;
    let (pair, there) = there(at).await;
    pair.ended.abort();
    // The listener is closed by the task that had it, at some time after this.
    while TcpStream::connect(there).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
