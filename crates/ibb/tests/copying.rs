//! `tokio::io::copy_bidirectional` and its relatives over a bytestream: every byte arrives, or an error says that it did not.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]
#![cfg(feature = "tokio")]

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use xtls_ibb::io::{self, Endpoint, Listener, Stream};
use xtls_ibb::{Allow, Config, Mux, OpenOptions};
use xtls_stanza::Address;

const ROMEO: &str = "romeo@montague.example/orchard";
const JULIET: &str = "juliet@capulet.example/balcony";

fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

fn endpoints(romeo: Config, juliet: Config) -> (Endpoint, Listener) {
    let (to_juliet, from_romeo) = mpsc::channel(4);
    let (to_romeo, from_juliet) = mpsc::channel(4);
    let mux = Mux::new(address(ROMEO), romeo, [1; 32]);
    let (endpoint, _, driver) = io::endpoint(mux, from_juliet, to_juliet);
    tokio::spawn(driver.run());
    let mut mux = Mux::new(address(JULIET), juliet, [2; 32]);
    mux.allow(Allow::Anyone);
    let (_, listener, driver) = io::endpoint(mux, from_romeo, to_romeo);
    tokio::spawn(driver.run());
    (endpoint, listener)
}

async fn pair_of(romeo: Config, juliet: Config) -> (Stream, Stream) {
    let (endpoint, mut listener) = endpoints(romeo, juliet);
    let to = address(JULIET);
    let open = endpoint.open(&to, OpenOptions::default());
    let accept = async { listener.next().await.unwrap().accept(None).unwrap() };
    let (ours, theirs) = tokio::join!(open, accept);
    (ours.unwrap(), theirs)
}

async fn pair() -> (Stream, Stream) {
    pair_of(Config::default(), Config::default()).await
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at * 31 + at / 509 + seed) % 256).unwrap();
    (0..len).map(byte).collect()
}

/// A program at the far side of a proxy: writes everything, shuts down, and returns what it read.
async fn program(stream: DuplexStream, bytes: Vec<u8>) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        writer.write_all(&bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let read = async {
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.unwrap();
        got
    };
    tokio::join!(write, read).1
}

/// A proxy at each end of the stream, and a program behind each.
async fn through_proxies(there: usize, back: usize) {
    let (mut ours, mut theirs) = pair().await;
    let (near, mut near_proxy) = tokio::io::duplex(8192);
    let (far, mut far_proxy) = tokio::io::duplex(8192);
    let (sent, answered) = (pattern(there, 1), pattern(back, 2));
    let (first, second, at_near, at_far) = tokio::join!(
        tokio::io::copy_bidirectional(&mut near_proxy, &mut ours),
        tokio::io::copy_bidirectional(&mut far_proxy, &mut theirs),
        program(near, sent.clone()),
        program(far, answered.clone()),
    );
    let (there, back) = (there as u64, back as u64);
    assert_eq!(first.unwrap(), (there, back));
    assert_eq!(second.unwrap(), (back, there));
    assert!(at_near == answered && at_far == sent);
}

#[tokio::test(start_paused = true)]
async fn copy_bidirectional_carries_ten_megabytes_each_way() {
    through_proxies(10_000_000, 10_000_000).await;
}

#[tokio::test(start_paused = true)]
async fn the_direction_that_is_done_first_does_not_end_the_other() {
    through_proxies(300_000, 5_000_000).await;
    through_proxies(5_000_000, 0).await;
}

#[tokio::test(start_paused = true)]
async fn an_echo_returns_everything_after_the_shutdown() {
    let (mut ours, theirs) = pair().await;
    let echo = tokio::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(theirs);
        let copied = tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
        copied
    });
    let sent = pattern(300_000, 3);
    let (mut reader, mut writer) = tokio::io::split(&mut ours);
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (read, ()) = tokio::join!(reader.read_to_end(&mut got), write);
    assert_eq!(read.unwrap(), 300_000);
    assert!(got == sent);
    assert_eq!(echo.await.unwrap(), 300_000);
}

#[tokio::test(start_paused = true)]
async fn write_then_shutdown_then_read_gets_the_answer() {
    let (mut ours, theirs) = pair().await;
    let server = tokio::spawn(answer(theirs, Duration::ZERO));
    ours.write_all(b"request").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut got = Vec::new();
    ours.read_to_end(&mut got).await.unwrap();
    assert!(got == pattern(100_000, 4));
    server.await.unwrap();
}

/// A server that thinks, then answers at length.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, thinking: Duration) {
    let mut request = Vec::new();
    stream.read_to_end(&mut request).await.unwrap();
    assert_eq!(request, b"request");
    tokio::time::sleep(thinking).await;
    stream.write_all(&pattern(100_000, 4)).await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_the_peer_to_finish_its_own_direction() {
    let (mut ours, theirs) = pair().await;
    let server = tokio::spawn(answer(theirs, Duration::from_secs(300)));
    ours.write_all(b"request").await.unwrap();
    let shutdown = tokio::time::timeout(Duration::from_secs(1), ours.shutdown());
    shutdown.await.unwrap().unwrap();
    let mut got = Vec::new();
    ours.read_to_end(&mut got).await.unwrap();
    assert_eq!(got.len(), 100_000);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_pauses_for_long_still_gets_the_tail() {
    let (mut ours, mut theirs) = pair().await;
    let server = tokio::spawn(async move {
        let mut request = Vec::new();
        theirs.read_to_end(&mut request).await.unwrap();
        theirs.write_all(&pattern(200_000, 5)).await.unwrap();
        theirs.shutdown().await.unwrap();
    });
    ours.shutdown().await.unwrap();
    let mut got = vec![0; 50_000];
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(30)).await;
        ours.read_exact(&mut got).await.unwrap();
    }
    assert_eq!(ours.read(&mut got).await.unwrap(), 0);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn writing_after_the_end_never_says_that_all_is_in_order() {
    let (mut ours, mut theirs) = pair().await;
    ours.shutdown().await.unwrap();
    let own = ours.write(b"late").await.unwrap_err();
    theirs.shutdown().await.unwrap();
    assert_eq!(ours.read(&mut [0; 1]).await.unwrap(), 0);
    let ended = [ours.write(b"late").await, theirs.write(b"late").await];
    for error in ended.map(Result::unwrap_err).into_iter().chain([own]) {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(error.to_string().contains("closed for writing"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_after_our_shutdown_is_no_end_of_file() {
    let (mut ours, mut theirs) = pair().await;
    ours.shutdown().await.unwrap();
    theirs.write_all(b"half of the ans").await.unwrap();
    let mut got = [0; 15];
    ours.read_exact(&mut got).await.unwrap();
    theirs.abort();
    let error = ours.read(&mut got).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// A peer for which a close ends both directions, as XEP-0047 has it.
async fn with_a_peer_that_ends_both_at_once() -> (Stream, Stream) {
    pair_of(
        Config::default(),
        Config::default().half_close(Duration::ZERO),
    )
    .await
}

#[tokio::test(start_paused = true)]
async fn where_the_peer_ends_both_directions_its_writer_gets_an_error() {
    let (mut ours, theirs) = with_a_peer_that_ends_both_at_once().await;
    let (mut reader, mut writer) = tokio::io::split(theirs);
    let server = tokio::spawn(async move {
        let bytes = pattern(1_000_000, 6);
        writer.write_all(&bytes).await?;
        writer.shutdown().await
    });
    ours.shutdown().await.unwrap();
    assert_eq!(reader.read(&mut [0; 1]).await.unwrap(), 0);
    let mut got = Vec::new();
    ours.read_to_end(&mut got).await.unwrap();
    // All that the peer's mux had accepted arrived; for the rest its application has an error.
    assert!(pattern(1_000_000, 6).starts_with(&got));
    let error = server.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_first_and_is_gone_fails_our_writer() {
    let (ours, mut theirs) = with_a_peer_that_ends_both_at_once().await;
    let (mut reader, mut writer) = tokio::io::split(ours);
    let sender = tokio::spawn(async move {
        writer.write_all(&pattern(1_000_000, 7)).await?;
        writer.shutdown().await
    });
    theirs.write_all(b"enough").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(theirs);
    let mut got = Vec::new();
    // What was acknowledged arrives; the end says whether the rest is missing.
    let _end = reader.read_to_end(&mut got).await;
    assert_eq!(got, b"enough");
    assert!(sender.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_first_and_goes_on_reading_gets_everything() {
    let (mut ours, mut theirs) = with_a_peer_that_ends_both_at_once().await;
    theirs.shutdown().await.unwrap();
    let sender = async {
        assert_eq!(ours.read(&mut [0; 1]).await.unwrap(), 0);
        ours.write_all(&pattern(1_000_000, 7)).await.unwrap();
        ours.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (read, ()) = tokio::join!(theirs.read_to_end(&mut got), sender);
    read.unwrap();
    assert!(got == pattern(1_000_000, 7));
}
