//! Byte tunnels through handles: what a program sees that wants only a stream.

use std::io::ErrorKind;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use xtls_client::Tunnel;
use xtls_client::relay::Limits;
use xtls_client::router::Why;
use xtls_session::{Mode, Service, Why as Ended};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tls::Standing;
use xtls_tls::trust::{Level, Method};

use crate::world::{LONG, Maker, Party, juliet, rest, romeo};

pub(crate) fn pipe() -> Service {
    Service::new("pipe", Mode::Bytes)
}

/// Two friends who exchange bytes.
async fn friends(limits: Limits) -> (xtls_client::Relay, Party, Party) {
    let relay = xtls_client::Relay::start(limits);
    let make = |maker: Maker| maker.serving(&[pipe()]);
    let (romeo, juliet) = (
        make(romeo()).on(&relay).await,
        make(juliet()).on(&relay).await,
    );
    (relay, romeo, juliet)
}

/// A byte tunnel opened by Romeo, at both ends.
async fn connected(romeo: &Party, juliet: &mut Party) -> (Tunnel, Tunnel) {
    let own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let theirs = juliet.incoming.next().await.unwrap();
    for tunnel in [&own, &theirs] {
        let peer = timeout(LONG, tunnel.established()).await.unwrap().unwrap();
        assert!(peer.bound && peer.service == pipe());
    }
    (own, theirs)
}

/// Everything that can be read, and how the tunnel ended.
pub(crate) async fn all(tunnel: &mut Tunnel) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut read = Vec::new();
    let end = timeout(LONG, tunnel.read_to_end(&mut read)).await.unwrap();
    (read, end.map(drop).map_err(|error| error.kind()))
}

pub(crate) async fn closed(tunnel: &mut Tunnel) -> xtls_client::router::Closed {
    rest(tunnel).await.1
}

/// Bytes that don't repeat within a short distance.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_known_by_address_key_and_trust() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let theirs = juliet.incoming.next().await.unwrap();
    for (tunnel, address, key) in [(&own, JULIET, 2), (&theirs, ROMEO, 1)] {
        let peer = tunnel.established().await.unwrap();
        assert_eq!(peer.address, keys::address(address));
        let bare = keys::address(address).bare().to_owned();
        assert_eq!(peer.key.fingerprint, keys::fingerprint(&bare, key));
        let verified = Level::Verified(Method::Fingerprint);
        assert_eq!(peer.key.standing, Standing::Pinned(verified));
        assert_eq!(tunnel.proven(), Some(peer));
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_go_both_ways_and_each_direction_ends_by_itself() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = connected(&romeo, &mut juliet).await;
    own.write_all(b"all of it").await.unwrap();
    own.shutdown().await.unwrap();
    assert_eq!(all(&mut theirs).await, (b"all of it".to_vec(), Ok(())));
    assert_eq!(
        own.write(b"more").await.unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    // The other direction may be as long as it likes.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        theirs.write_all(b"and on ").await.unwrap();
        let mut heard = [0; 7];
        own.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"and on ");
    }
    theirs.shutdown().await.unwrap();
    assert_eq!(all(&mut own).await, (Vec::new(), Ok(())));
    for tunnel in [&mut own, &mut theirs] {
        let closed = closed(tunnel).await;
        assert!(closed.clean, "{closed:?}");
        assert_eq!(closed.why, Why::Session(Ended::Finished));
        assert_eq!(closed.unconfirmed, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_written_before_the_tunnel_is_open_leaves_with_the_last_flight() {
    let limits = Limits::default().latency(Duration::from_millis(10));
    let (relay, romeo, mut juliet) = friends(limits).await;
    let mut seen = relay.watch();
    let mut own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    own.write_all(b"GET / ").await.unwrap();
    let mut theirs = juliet.incoming.next().await.unwrap();
    let mut heard = [0; 6];
    theirs.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"GET / ");
    let mut carrying = 0;
    while let Ok(seen) = seen.try_recv() {
        let xml = String::from_utf8(seen.xml.to_vec()).unwrap();
        carrying += usize::from(seen.from.as_str() == ROMEO && xml.contains("<data"));
    }
    assert_eq!(
        carrying, 1,
        "certificate, signature, Finished and the bytes"
    );
}

#[tokio::test(start_paused = true)]
async fn ten_megabytes_arrive_whole_both_ways() {
    let limits = Limits::default().latency(Duration::from_millis(20));
    let (_relay, romeo, mut juliet) = friends(limits).await;
    let (own, theirs) = connected(&romeo, &mut juliet).await;
    let data = noise(5_000_000);
    let sum = Sha256::digest(&data);
    let mut tasks = Vec::new();
    for tunnel in [own, theirs] {
        let data = data.clone();
        tasks.push(tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(tunnel);
            let writing = async {
                writer.write_all(&data).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let reading = async {
                let (mut hash, mut piece) = (Sha256::new(), vec![0; 10_000]);
                loop {
                    match reader.read(&mut piece).await.unwrap() {
                        0 => return hash.finalize(),
                        length => hash.update(&piece[..length]),
                    }
                }
            };
            tokio::join!(writing, reading).1
        }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), sum);
    }
}

/// Writes until there has been no room for half a minute; returns how many bytes were written.
async fn fill(tunnel: &mut Tunnel, data: &[u8]) -> usize {
    let mut written = 0;
    while let Ok(taken) = timeout(Duration::from_secs(30), tunnel.write(&data[written..])).await {
        written += taken.unwrap();
        assert!(written < data.len(), "there is no limit");
    }
    written
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_stops_stops_the_writer_and_loses_nothing() {
    let relay = xtls_client::Relay::start(Limits::default());
    let romeo = romeo().serving(&[pipe()]).on(&relay).await;
    let mut juliet = juliet().serving(&[pipe()]).on(&relay).await;
    let (mut own, mut theirs) = connected(&romeo, &mut juliet).await;
    let data = noise(4_000_000);
    let mut seen = relay.watch();
    let written = fill(&mut own, &data).await;
    // Handle, session and stream hold what they may, and nothing more is under way.
    let (mine, hers) = (own.stats().await.unwrap(), theirs.stats().await.unwrap());
    let stream = mine.stream.unwrap();
    assert!(mine.written <= written as u64);
    assert!(stream.in_flight <= stream.window, "{stream:?}");
    assert!(hers.stream.unwrap().unread <= stream.window + 65_536);
    assert_eq!(hers.read, 262_144, "as much as the handle holds");
    while seen.try_recv().is_ok() {}
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    let mut signs = 0;
    while seen.try_recv().is_ok() {
        signs += 1;
    }
    assert!(
        signs <= 2 * 30,
        "answers are withheld, but for those to signs of life: {signs}"
    );
    // And none of it is lost.
    let mut heard = vec![0; written];
    theirs.read_exact(&mut heard).await.unwrap();
    assert!(heard == data[..written]);
    own.write_all(b"on").await.unwrap();
    own.shutdown().await.unwrap();
    assert_eq!(all(&mut theirs).await, (b"on".to_vec(), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_cut_stream_is_an_error_and_never_an_end_of_file() {
    let (relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = connected(&romeo, &mut juliet).await;
    own.write_all(b"half of i").await.unwrap();
    own.flush().await.unwrap();
    let mut heard = [0; 9];
    theirs.read_exact(&mut heard).await.unwrap();
    relay.cut(&keys::address(JULIET));
    let (more, end) = all(&mut theirs).await;
    assert_eq!((more, end), (Vec::new(), Err(ErrorKind::UnexpectedEof)));
    // Every time.
    assert_eq!(all(&mut theirs).await.1, Err(ErrorKind::UnexpectedEof));
    let error = theirs.write(b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(!closed(&mut theirs).await.clean);
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_is_behind_when_the_link_is_lost_gets_all_that_came_and_an_error() {
    let (relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = connected(&romeo, &mut juliet).await;
    let data = noise(4_000_000);
    fill(&mut own, &data).await;
    relay.cut(&keys::address(JULIET));
    assert!(timeout(LONG, juliet.task).await.unwrap().unwrap().is_err());
    let (heard, end) = all(&mut theirs).await;
    assert!(heard.len() > 65_536 && data.starts_with(&heard));
    assert_eq!(end, Err(ErrorKind::UnexpectedEof));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_tunnel_is_a_cut_unless_it_was_shut_down() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = connected(&romeo, &mut juliet).await;
    own.write_all(b"half of i").await.unwrap();
    own.flush().await.unwrap();
    drop(own);
    let (_, end) = all(&mut theirs).await;
    assert_eq!(end, Err(ErrorKind::UnexpectedEof));
    drop(theirs);
    tokio::time::sleep(Duration::from_secs(60)).await;

    let (mut own, mut theirs) = connected(&romeo, &mut juliet).await;
    own.write_all(b"all of it").await.unwrap();
    own.shutdown().await.unwrap();
    drop(own);
    assert_eq!(all(&mut theirs).await, (b"all of it".to_vec(), Ok(())));
    theirs.shutdown().await.unwrap();
    assert!(closed(&mut theirs).await.clean);
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_an_error_at_both_ends() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = connected(&romeo, &mut juliet).await;
    own.abort().await;
    assert_eq!(all(&mut own).await.1, Err(ErrorKind::ConnectionAborted));
    assert_eq!(all(&mut theirs).await.1, Err(ErrorKind::UnexpectedEof));
}

#[tokio::test(start_paused = true)]
async fn a_close_takes_along_what_was_written_and_waits_no_longer_than_it_says() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = connected(&romeo, &mut juliet).await;
    let data = noise(60_000);
    own.write_all(&data).await.unwrap();
    own.close().await;
    let (heard, end) = all(&mut theirs).await;
    assert!(heard == data && end.is_ok());
    // The peer does not end its direction.
    let closed = closed(&mut own).await;
    assert_eq!(
        (closed.why, closed.clean),
        (Why::Session(Ended::CloseTimeout), false)
    );
    assert_eq!(all(&mut own).await.1, Err(ErrorKind::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_cuts_what_was_not_shut_down() {
    for shut in [false, true] {
        let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
        let (mut own, mut theirs) = connected(&romeo, &mut juliet).await;
        own.write_all(b"some").await.unwrap();
        own.flush().await.unwrap();
        if shut {
            own.shutdown().await.unwrap();
            theirs.shutdown().await.unwrap();
        }
        let mut heard = [0; 4];
        theirs.read_exact(&mut heard).await.unwrap();
        romeo.client.stop().await;
        romeo.task.await.unwrap().unwrap();
        let end = all(&mut theirs).await.1;
        assert_eq!(end.is_ok(), shut, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_renewed_in_place() {
    let relay = xtls_client::Relay::start(Limits::default());
    let keys = xtls_session::Config::default().keys(Duration::from_secs(3600), 100_000);
    let make = |maker: Maker| maker.serving(&[pipe()]).session(keys);
    let romeo = make(romeo()).on(&relay).await;
    let mut juliet = make(juliet()).on(&relay).await;
    let (own, theirs) = connected(&romeo, &mut juliet).await;
    let opens = relay.watch();
    let data = noise(1_000_000);
    let (mut own, mut theirs) = (own, theirs);
    let writing = {
        let data = data.clone();
        async move {
            own.write_all(&data).await.unwrap();
            // By time as well as by bytes.
            tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
            own.write_all(b"after").await.unwrap();
            own.shutdown().await.unwrap();
            own
        }
    };
    let (_own, (heard, end)) = tokio::join!(writing, async {
        let mut read = Vec::new();
        let end = theirs.read_to_end(&mut read).await;
        (read, end)
    });
    end.unwrap();
    assert!(heard[..data.len()] == data && &heard[data.len()..] == b"after");
    let mut opens = opens;
    while let Ok(seen) = opens.try_recv() {
        let xml = String::from_utf8(seen.xml.to_vec()).unwrap();
        assert!(!xml.contains("<open"), "byte tunnels are never replaced");
    }
}

#[tokio::test(start_paused = true)]
async fn both_ends_export_the_same_and_count_the_same() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = connected(&romeo, &mut juliet).await;
    let label = "EXPERIMENTAL-xtls-test";
    let mine = own.export(label, b"context", 32).await.unwrap();
    assert_eq!(mine.len(), 32);
    assert_eq!(mine, theirs.export(label, b"context", 32).await.unwrap());
    assert_ne!(mine, own.export(label, b"other", 32).await.unwrap());
    own.write_all(&noise(100_000)).await.unwrap();
    own.flush().await.unwrap();
    let mut heard = vec![0; 100_000];
    theirs.read_exact(&mut heard).await.unwrap();
    let (sent, got) = (own.stats().await.unwrap(), theirs.stats().await.unwrap());
    assert_eq!((sent.written, got.read), (100_000, 100_000));
    // The seeded provider of these tests has no post-quantum group.
    assert_eq!(
        (sent.post_quantum, got.post_quantum),
        (Some(false), Some(false))
    );
    let (out, came) = (sent.stream.unwrap(), got.stream.unwrap());
    assert!(out.bytes_sent > 100_000 && came.bytes_received == out.bytes_sent);
    own.abort().await;
    closed(&mut own).await;
    assert!(own.stats().await.is_err());
    assert!(own.export(label, b"", 32).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn no_byte_is_lost_with_a_future() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = connected(&romeo, &mut juliet).await;
    let data = noise(400_000);
    let expected = data.clone();
    let writing = tokio::spawn(async move {
        own.write_all(&data).await.unwrap();
        own.shutdown().await.unwrap();
        own
    });
    let (mut heard, mut piece) = (Vec::new(), [0; 1000]);
    while heard.len() < expected.len() {
        // Each future is polled once, then dropped.
        match timeout(Duration::ZERO, theirs.read(&mut piece)).await {
            Ok(read) => heard.extend_from_slice(&piece[..read.unwrap()]),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    assert!(heard == expected);
    writing.await.unwrap();
}
