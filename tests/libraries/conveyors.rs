//! Ours, which are made for any stream: a pipe, and forwards.

use std::future::ready;
use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use xtls_forward::{Options as Forwards, Report, Rule, Serve, forward, serve};
use xtls_pipe::{Options, run};

use super::{Duplex, pattern};

const MUCH: usize = 3_000_000;

/// A writer of a pipe, and what comes out of it in the end.
fn kept() -> (DuplexStream, impl Future<Output = Vec<u8>>) {
    let (writer, mut reader) = duplex(65_536);
    let kept = async move {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.unwrap();
        bytes
    };
    (writer, kept)
}

pub(crate) async fn a_pipe_proves_what_went_both_ways(near: impl Duplex, far: impl Duplex) {
    let (one, other) = (pattern(MUCH, 1), pattern(MUCH / 2, 2));
    let ((near_out, near_got), (far_out, far_got)) = (kept(), kept());
    let (near, far, near_got, far_got) = tokio::join!(
        run(near, one.as_slice(), near_out, Options::default()),
        run(far, other.as_slice(), far_out, Options::default()),
        near_got,
        far_got,
    );
    assert!(near_got == other && far_got == one);
    assert_eq!(near.unwrap().traffic.taken, one.len() as u64);
    assert_eq!(far.unwrap().traffic.taken, other.len() as u64);
}

pub(crate) async fn a_pipe_over_a_stream_that_is_dropped_is_cut(
    near: impl Duplex,
    mut far: impl Duplex,
) {
    far.write_all(&[1, 0, 0, 2, 1, 0, 2, 0, 0, 2, b'h', b'i'])
        .await
        .unwrap();
    far.flush().await.unwrap();
    let (output, got) = kept();
    let (silent, _open) = duplex(1);
    let cut = async move {
        // The greeting has come: then nothing more is said.
        far.read_exact(&mut [0; 6]).await.unwrap();
        drop(far);
    };
    let (ended, got, ()) = tokio::join!(run(near, silent, output, Options::default()), got, cut);
    assert!(ended.unwrap_err().fault.is_truncation());
    assert!(b"hi".starts_with(&got));
}

/// With real sockets, so in real time.
pub(crate) async fn a_forward_carries_connections_with_their_ends(
    near: impl Duplex,
    far: impl Duplex,
) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr().unwrap();
    let allow = vec![at.to_string().parse().unwrap()];
    let serving = tokio::spawn(serve(
        far,
        Serve {
            allow,
            ..Serve::default()
        },
    ));
    let (reports, mut told) = mpsc::channel(64);
    let mut once = Some(near);
    let connect = move || {
        ready(
            once.take()
                .ok_or_else(|| io::Error::other("one tunnel only")),
        )
    };
    let rule = Rule::Local(format!("0:{at}").parse().unwrap());
    let options = Forwards {
        reports: Some(reports),
        ..Forwards::default()
    };
    let forwarding = tokio::spawn(forward(connect, vec![rule], options));
    let Some(Report::Listening { at: here, .. }) = told.recv().await else {
        panic!("does not listen");
    };
    for seed in 0..3 {
        let mut client = TcpStream::connect(here).await.unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        let bytes = pattern(MUCH / 3, seed);
        let (mut question, mut answer) = (Vec::new(), Vec::new());
        tokio::join!(
            async {
                client.write_all(&bytes).await.unwrap();
                client.shutdown().await.unwrap();
                client.read_to_end(&mut answer).await.unwrap();
            },
            async {
                served.read_to_end(&mut question).await.unwrap();
                served.write_all(&question).await.unwrap();
                served.shutdown().await.unwrap();
            },
        );
        assert!(question == bytes && answer == bytes);
    }
    forwarding.abort();
    serving.abort();
}
