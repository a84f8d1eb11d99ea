//! `xtls_tls::io::Stream` over transports that are narrow, end early or lie.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split};
use xtls_tls::io::Stream;
use xtls_tls::{Role, Tls, TlsError, trust::Policy};

use super::support::{ALICE, BOB, config, expect};

const LEN: usize = 1_000_000;

fn ends() -> (Tls, Tls) {
    let alice = Tls::new(Role::Client, &config(ALICE, 1), expect(ALICE, BOB)).unwrap();
    let bob = Tls::new(Role::Server, &config(BOB, 2), expect(BOB, ALICE)).unwrap();
    (alice, bob)
}

async fn connected(room: usize) -> (Stream<DuplexStream>, Stream<DuplexStream>) {
    let ((alice, bob), (near, far)) = (ends(), duplex(room));
    let (alice, bob) = tokio::join!(Stream::handshake(alice, near), Stream::handshake(bob, far));
    (alice.unwrap(), bob.unwrap())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// Writes all of it in one task and reads to the end in another.
async fn exchange(stream: Stream<DuplexStream>, byte: u8) -> Vec<u8> {
    let (mut reader, mut writer) = split(stream);
    let writing = tokio::spawn(async move {
        writer.write_all(&[byte; LEN]).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut read = Vec::new();
    reader.read_to_end(&mut read).await.unwrap();
    writing.await.unwrap();
    read
}

#[test]
fn both_directions_carry_a_megabyte_through_a_narrow_transport() {
    run(async {
        let (alice, bob) = connected(700).await;
        let (at_alice, at_bob) = tokio::join!(exchange(alice, 1), exchange(bob, 2));
        assert_eq!((at_alice, at_bob), (vec![2; LEN], vec![1; LEN]));
    });
}

#[test]
fn each_end_knows_the_other_and_exports_the_same() {
    run(async {
        let (alice, bob) = connected(3000).await;
        let secret = |stream: &Stream<DuplexStream>| {
            let mut secret = [0; 32];
            stream
                .tls()
                .export("EXPORTER-test", b"", &mut secret)
                .unwrap();
            secret
        };
        assert_eq!(secret(&alice), secret(&bob));
        assert!(alice.tls().peer().is_some() && bob.tls().peer().is_some());
    });
}

#[test]
fn a_cut_is_an_error_after_what_came_before_and_never_an_end_of_file() {
    run(async {
        let (mut alice, mut bob) = connected(3000).await;
        alice.write_all(b"half of i").await.unwrap();
        drop(alice);
        let mut read = Vec::new();
        for _ in 0..2 {
            let error = bob.read_to_end(&mut read).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert_eq!(read, b"half of i");
        }
        assert_eq!(
            bob.write(b"x").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    });
}

#[test]
fn a_writer_waits_for_a_transport_that_takes_nothing() {
    run(async {
        let (mut alice, mut bob) = connected(3000).await;
        let mut written = 0;
        loop {
            let mut write = Box::pin(alice.write(&[7; 5000]));
            let once = std::future::poll_fn(|cx| std::task::Poll::Ready(write.as_mut().poll(cx)));
            match once.await {
                std::task::Poll::Ready(taken) => written += taken.unwrap(),
                std::task::Poll::Pending => break,
            }
        }
        assert!((5000..=20_000).contains(&written), "{written}");
        let rest = async {
            alice.shutdown().await.unwrap();
        };
        let mut read = Vec::new();
        let ((), all) = tokio::join!(rest, bob.read_to_end(&mut read));
        assert_eq!(
            all.unwrap(),
            written,
            "a write that was given up wrote nothing"
        );
    });
}

#[test]
fn a_refusal_is_explained_at_both_ends() {
    run(async {
        let alice = Tls::new(Role::Client, &config(ALICE, 1), expect(ALICE, BOB)).unwrap();
        let mut pinned = expect(BOB, ALICE);
        pinned.policy = Policy::Pinned;
        let bob = Tls::new(Role::Server, &config(BOB, 2), pinned).unwrap();
        let (near, far) = duplex(3000);
        let here = async {
            // A client may have finished before the server refuses it.
            let mut stream = Stream::handshake(alice, near).await?;
            stream.read(&mut [0; 1]).await
        };
        let (near, far) = tokio::join!(here, Stream::handshake(bob, far));
        let why = |error: std::io::Error| {
            let inner = error.into_inner().unwrap();
            inner.downcast_ref::<TlsError>().unwrap().clone()
        };
        assert!(matches!(why(near.unwrap_err()), TlsError::Alert(alert) if alert.refuses_us()));
        assert!(matches!(why(far.unwrap_err()), TlsError::Trust(_)));
    });
}

#[test]
fn bytes_that_are_no_tls_fail_the_handshake() {
    run(async {
        let (alice, _) = ends();
        let (near, mut far) = duplex(3000);
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        let error = Stream::handshake(alice, near).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    });
}
