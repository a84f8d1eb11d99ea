//! Both sides over real sockets of this machine.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use xtls_s5b::xtls_reach::Reach;
use xtls_s5b::xtls_stanza::Address;
use xtls_s5b::xtls_stanza::s5b::{Host, Sid, Streamhost};
use xtls_s5b::{ConnectError, Destination, SocksError, accept, connect, dial};

fn destination(sid: &str) -> Destination {
    let address = |text| Address::new(text).unwrap();
    Destination::new(
        &Sid::new(sid).unwrap(),
        &address("a@a.example/a"),
        &address("b@b.example/b"),
    )
}

fn at(host: &str, port: u16) -> Streamhost {
    Streamhost {
        jid: Address::new("p.a.example").unwrap(),
        host: Host::new(host).unwrap(),
        port: port.try_into().unwrap(),
    }
}

#[tokio::test]
async fn nobody_makes_us_dial_this_machine_or_its_networks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for (host, reach) in [
        ("127.0.0.1", Reach::Loopback),
        ("localhost", Reach::Loopback),
        ("::1", Reach::Loopback),
        ("::ffff:127.0.0.1", Reach::Loopback),
        ("0.0.0.0", Reach::Unspecified),
        ("169.254.169.254", Reach::LinkLocal),
        ("10.0.0.1", Reach::Private),
        ("224.0.0.1", Reach::Multicast),
    ] {
        let near = [Reach::Unspecified, Reach::Multicast, Reach::Special];
        let refused = connect(&at(host, port), destination("s"), &near).await;
        assert!(
            matches!(refused, Err(ConnectError::Forbidden(why)) if why == reach),
            "{host}"
        );
    }
    // Nobody has come.
    let mut waiting = std::pin::pin!(listener.accept());
    let none =
        std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx).is_pending()));
    assert!(none.await);
}

#[tokio::test]
async fn a_stream_that_nobody_expects_is_refused_at_both_ends() {
    let (mut here, mut there) = tokio::io::duplex(64);
    let (asked, served) = tokio::join!(
        dial(&mut here, destination("s")),
        accept(&mut there, |_| false)
    );
    assert!(matches!(
        asked,
        Err(ConnectError::Socks(SocksError::Refused(2)))
    ));
    assert!(matches!(
        served,
        Err(ConnectError::Socks(SocksError::Unexpected))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_silent_relay_is_left_after_five_seconds() {
    let (mut here, _there) = tokio::io::duplex(64);
    let start = tokio::time::Instant::now();
    let asked = dial(&mut here, destination("s")).await;
    assert!(matches!(
        asked,
        Err(ConnectError::Socks(SocksError::Timeout))
    ));
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn a_relay_that_closes_is_named() {
    let (mut here, there) = tokio::io::duplex(64);
    drop(there);
    assert!(dial(&mut here, destination("s")).await.is_err());
}

#[tokio::test]
async fn what_one_end_writes_the_other_reads_from_its_first_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = at("127.0.0.1", listener.local_addr().unwrap().port());
    let there = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let agreed = accept(&mut stream, |asked| *asked == destination("s"))
            .await
            .unwrap();
        assert_eq!(agreed, destination("s"));
        // In the same segment as the answer, as likely as not.
        stream.write_all(b"hello").await.unwrap();
        let mut read = [0; 3];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"you");
    };
    let here = async {
        let near = [Reach::Loopback];
        let mut stream = connect(&host, destination("s"), &near).await.unwrap();
        let mut read = [0; 5];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");
        stream.write_all(b"you").await.unwrap();
    };
    tokio::join!(here, there);
}
