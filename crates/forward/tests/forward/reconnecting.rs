//! A tunnel that is lost is made again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::net::TcpStream;
use xtls_forward::{ForwardError, Options, Report, Rule, Serve, Why, forward, serve};

use crate::support::{allowing, is_reset, local, refused, server};

#[tokio::test]
async fn established_connections_are_cut_and_new_ones_wait_for_the_next_tunnel() {
    let (listener, at) = server().await;
    let mut pair = crate::support::Pair::new(&[local(at)], allowing(&[at.to_string()]));
    let here = pair.listening().await;
    let mut first = TcpStream::connect(here).await.unwrap();
    let (mut served, _) = listener.accept().await.unwrap();
    first.write_all(b"x").await.unwrap();
    served.read_exact(&mut [0]).await.unwrap();
    pair.tunnels.lock().unwrap()[0].abort();
    let mut second = TcpStream::connect(here).await.unwrap();
    assert!(is_reset(&mut first).await);
    // That of the first may still be there.
    loop {
        let (mut served, _) = listener.accept().await.unwrap();
        second.write_all(b"y").await.unwrap();
        let mut heard = [0];
        if served.read_exact(&mut heard).await.is_ok() {
            assert_eq!(&heard, b"y");
            break;
        }
    }
    assert_eq!(pair.tunnels.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn the_peer_is_asked_again_to_listen() {
    let (listener, at) = server().await;
    let serve = Serve {
        allow_bind: vec!["0".parse().unwrap()],
        ..Serve::default()
    };
    let mut pair =
        crate::support::Pair::new(&[Rule::Remote(format!("0:{at}").parse().unwrap())], serve);
    for tunnel in 0..3 {
        let there = loop {
            if let Report::ListeningThere { at, .. } = pair.near.recv().await.unwrap() {
                break at.to_string();
            }
        };
        let client = TcpStream::connect(there).await.unwrap();
        listener.accept().await.unwrap();
        pair.tunnels.lock().unwrap()[tunnel].abort();
        drop(client);
    }
}

#[tokio::test]
async fn an_outage_that_lasts_is_given_up() {
    tokio::time::pause();
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let connect = move || {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        std::future::ready(if first {
            let (near, far) = duplex(1_024);
            tokio::spawn(async {
                let mut far = far;
                // A greeting and nothing more.
                far.write_all(&[1, 0, 0, 2, 1, 0]).await.unwrap();
                far.read_exact(&mut [0; 6]).await.unwrap();
            });
            Ok(near)
        } else {
            Err(std::io::Error::other("offline"))
        })
    };
    let ended = forward(connect, Vec::new(), Options::default()).await;
    assert!(matches!(ended, Err(ForwardError::Connect(_))), "{ended:?}");
    // After 1, 2, 4, 8, 16 s, and every 30 s until five minutes are over.
    assert_eq!(attempts.load(Ordering::Relaxed), 1 + 5 + 8);
}

#[tokio::test]
async fn an_end_that_is_wanted_is_no_cut_for_the_peer() {
    let (near, far) = duplex(1_024);
    let mut once = Some(near);
    let connect =
        move || std::future::ready(once.take().ok_or_else(|| std::io::Error::other("no more")));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let options = Options {
        until: Box::pin(async {
            let _ = stopped.await;
        }),
        ..Options::default()
    };
    let serving = tokio::spawn(serve(far, Serve::default()));
    let forwarding = tokio::spawn(forward(connect, Vec::new(), options));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    forwarding.await.unwrap().unwrap();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_waits_in_vain_is_reset() {
    let (reports, mut told) = tokio::sync::mpsc::channel(16);
    let mut first = true;
    let connect = move || {
        let first = std::mem::take(&mut first);
        async move {
            let (near, far) = duplex(1_024);
            if !first {
                // Nobody is there any more.
                return std::future::pending().await;
            }
            tokio::spawn(async {
                let mut far = far;
                far.write_all(&[1, 0, 0, 2, 1, 0]).await.unwrap();
                far.read_exact(&mut [0; 6]).await.unwrap();
            });
            Ok(near)
        }
    };
    let options = Options {
        reports: Some(reports),
        ..Options::default()
    };
    let rule = local("127.0.0.1:9".parse().unwrap());
    let forwarding = tokio::spawn(forward(connect, vec![rule], options));
    let mut here = None;
    loop {
        match told.recv().await.unwrap() {
            Report::Listening { at, .. } => here = Some(at),
            Report::Down { .. } => break,
            _ => {}
        }
    }
    let mut client = TcpStream::connect(here.unwrap()).await.unwrap();
    tokio::time::pause();
    assert!(is_reset(&mut client).await);
    assert_eq!(refused(&told.recv().await.unwrap()), Why::Unreachable);
    forwarding.abort();
}
