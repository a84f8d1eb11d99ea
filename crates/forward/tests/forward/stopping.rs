//! An end that is stopped or dropped resets its connections: what was cut must not look whole.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use xtls_forward::{Options, Report, Rule, Serve, forward};

use crate::support::{Pair, allowing, connected, is_reset, local, pattern, server};

/// A connection on which a part of a download has arrived.
async fn downloading() -> (Pair, TcpStream, TcpStream) {
    let (pair, mut client, mut served) = connected().await;
    served.write_all(b"half").await.unwrap();
    client.read_exact(&mut [0; 4]).await.unwrap();
    (pair, client, served)
}

#[tokio::test]
async fn a_serving_end_that_is_dropped_resets_its_connections() {
    let (pair, _client, mut served) = downloading().await;
    pair.tunnels.lock().unwrap()[0].abort();
    assert!(is_reset(&mut served).await);
}

#[tokio::test]
async fn a_forwarding_end_that_is_dropped_resets_its_connections() {
    let (pair, mut client, _served) = downloading().await;
    pair.ended.abort();
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn a_direction_that_has_ended_does_not_make_a_cut_an_end() {
    let (pair, mut client, mut served) = downloading().await;
    client.shutdown().await.unwrap();
    assert_eq!(served.read(&mut [0]).await.unwrap(), 0);
    pair.ended.abort();
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn a_listener_for_the_peer_that_is_dropped_resets_its_connections() {
    let (listener, at) = server().await;
    let serve = Serve {
        allow_bind: vec!["0".parse().unwrap()],
        ..Serve::default()
    };
    let mut pair = Pair::new(&[Rule::Remote(format!("0:{at}").parse().unwrap())], serve);
    let there = loop {
        if let Report::ListeningThere { at, .. } = pair.near.recv().await.unwrap() {
            break at.to_string();
        }
    };
    let mut client = TcpStream::connect(there).await.unwrap();
    let (mut served, _) = listener.accept().await.unwrap();
    served.write_all(b"half").await.unwrap();
    client.read_exact(&mut [0; 4]).await.unwrap();
    pair.tunnels.lock().unwrap()[0].abort();
    assert!(is_reset(&mut client).await);
    assert!(is_reset(&mut served).await);
}

#[tokio::test]
async fn a_connection_that_waits_for_a_tunnel_is_reset_when_it_is_given_up() {
    let (reports, mut told) = mpsc::channel(16);
    let (stop, stopped) = oneshot::channel::<()>();
    let options = Options {
        reports: Some(reports),
        until: Box::pin(async move { drop(stopped.await) }),
        ..Options::default()
    };
    let connect = || std::future::pending::<std::io::Result<tokio::io::DuplexStream>>();
    let rule = local("127.0.0.1:9".parse().unwrap());
    let forwarding = tokio::spawn(forward(connect, vec![rule], options));
    let Some(Report::Listening { at, .. }) = told.recv().await else {
        panic!("it does not listen");
    };
    let mut client = TcpStream::connect(at).await.unwrap();
    // It is accepted, and waits.
    for _ in 0..100 {
        yield_now().await;
    }
    stop.send(()).unwrap();
    forwarding.await.unwrap().unwrap();
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn what_was_sent_before_an_end_arrives_even_if_all_is_dropped_then() {
    let (listener, at) = server().await;
    let mut pair = Pair::new(&[local(at)], allowing(&[at.to_string()]));
    let mut client = TcpStream::connect(pair.listening().await).await.unwrap();
    let (mut served, _) = listener.accept().await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(served.read(&mut [0]).await.unwrap(), 0);
    // Little enough to wait in the buffers of a client that does not read.
    let answer = pattern(100_000);
    served.write_all(&answer).await.unwrap();
    drop(served);
    let Report::Closed { received, .. } = pair.last_of_near().await else {
        panic!("not closed");
    };
    assert_eq!(received, 100_000);
    drop(pair);
    let mut read = Vec::new();
    client.read_to_end(&mut read).await.unwrap();
    assert!(read == answer);
}
