//! What a peer inside the tunnel can try.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::net::TcpStream;
use xtls_forward::{ForwardError, Options, Rule, Serve, Violation, forward, serve};
use yamux::Mode;

use crate::support::{Raw, allowing, answer, frame, server};

const CONNECT: u8 = 0x10;
const LISTEN: u8 = 0x11;
const INCOMING: u8 = 0x12;
const ACCEPTED: u8 = 0x20;
const REFUSED: u8 = 0x21;
const DENIED: Option<u8> = Some(1);
const TOO_MANY: Option<u8> = Some(6);

#[tokio::test]
async fn a_peer_that_speaks_another_protocol_is_told_from_a_cut() {
    let (near, mut far) = duplex(1_024);
    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let ended = serve(near, Serve::default()).await;
    assert!(matches!(
        ended,
        Err(ForwardError::Violation(Violation::NoHello))
    ));
}

#[tokio::test]
async fn a_peer_of_a_later_version_is_refused_by_its_number() {
    let (near, mut far) = duplex(1_024);
    far.write_all(&[1, 0, 0, 2, 2, 0]).await.unwrap();
    let ended = serve(near, Serve::default()).await;
    assert!(matches!(
        ended,
        Err(ForwardError::Violation(Violation::Version(2)))
    ));
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_left_in_time() {
    tokio::time::pause();
    let (near, _far) = duplex(1_024);
    let ended = serve(near, Serve::default()).await;
    assert!(matches!(ended, Err(ForwardError::Silent)));
}

#[tokio::test]
async fn bytes_that_are_no_yamux_end_the_tunnel_and_nothing_else() {
    let (near, mut far) = duplex(1_024);
    far.write_all(&[1, 0, 0, 2, 1, 0]).await.unwrap();
    far.write_all(&[0xff; 64]).await.unwrap();
    let ended = serve(near, Serve::default()).await;
    assert!(matches!(ended, Err(ForwardError::Tunnel(_))), "{ended:?}");
}

#[tokio::test]
async fn a_stream_that_breaks_the_protocol_ends_and_the_others_do_not() {
    let (listener, at) = server().await;
    let (near, far) = duplex(65_536);
    let serving = tokio::spawn(serve(near, allowing(&[at.to_string()])));
    let mut raw = Raw::greeted(far, Mode::Client).await;
    let mut good = raw.open().await;
    let host = at.ip().to_string();
    raw.drive(async {
        good.write_all(&frame(CONNECT, None, at.port(), &host))
            .await
            .unwrap();
        assert_eq!(answer(&mut good).await.unwrap().0, ACCEPTED);
    })
    .await;
    for wire in [
        b"\x02\0\0\x01x".to_vec(),
        vec![0x7f, 0, 0, 0],
        frame(CONNECT, None, 80, "a b"),
        vec![0xff; 4],
    ] {
        let mut bad = raw.open().await;
        raw.drive(async {
            bad.write_all(&wire).await.unwrap();
            assert_eq!(answer(&mut bad).await, None);
        })
        .await;
    }
    let (mut served, _) = listener.accept().await.unwrap();
    raw.drive(async {
        good.write_all(b"\x02\0\0\x02hi").await.unwrap();
        let mut heard = [0; 2];
        served.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hi");
    })
    .await;
    serving.abort();
}

#[tokio::test]
async fn a_stream_that_asks_for_nothing_is_dropped_in_time() {
    tokio::time::pause();
    let (near, far) = duplex(65_536);
    let serving = tokio::spawn(serve(near, Serve::default()));
    let mut raw = Raw::greeted(far, Mode::Client).await;
    let mut silent = raw.open().await;
    raw.drive(async {
        silent.write_all(&[CONNECT]).await.unwrap();
        assert_eq!(answer(&mut silent).await, None);
    })
    .await;
    serving.abort();
}

#[tokio::test]
async fn one_connection_more_than_are_allowed_is_refused() {
    let (near, far) = duplex(65_536);
    let serving = tokio::spawn(serve(near, Serve::default()));
    let mut raw = Raw::greeted(far, Mode::Client).await;
    let mut waiting = Vec::new();
    for _ in 0..128 {
        let mut stream = raw.open().await;
        // One byte of a request holds a place.
        raw.drive(async { stream.write_all(&[CONNECT]).await.unwrap() })
            .await;
        waiting.push(stream);
    }
    let mut more = raw.open().await;
    let mut told = raw
        .drive(async {
            more.write_all(&frame(CONNECT, None, 80, "1.1.1.1"))
                .await
                .unwrap();
            answer(&mut more).await
        })
        .await;
    assert_eq!(told, Some((REFUSED, TOO_MANY)));
    // A place that is free again is given to the next one, which is refused for another reason.
    drop(waiting.pop());
    while told == Some((REFUSED, TOO_MANY)) {
        let mut next = raw.open().await;
        told = raw
            .drive(async {
                next.write_all(&frame(CONNECT, None, 80, "1.1.1.1"))
                    .await
                    .unwrap();
                answer(&mut next).await
            })
            .await;
    }
    assert_eq!(told, Some((REFUSED, DENIED)));
    serving.abort();
}

/// By hand: yamux itself would not open so many.
#[tokio::test]
async fn of_streams_without_number_only_so_many_are_held() {
    const STREAMS: u32 = 2_000;
    const HELD: u32 = 2 * 128;
    let (near, far) = duplex(65_536);
    let serving = tokio::spawn(serve(near, Serve::default()));
    let (mut reader, mut writer) = tokio::io::split(far);
    writer.write_all(&[1, 0, 0, 2, 1, 0]).await.unwrap();
    reader.read_exact(&mut [0; 6]).await.unwrap();
    let flood = async {
        for number in 0..STREAMS {
            // A window update with SYN: version, type, flags, stream, length.
            let [a, b, c, d] = (2 * number + 1).to_be_bytes();
            let frame = [0, 1, 0, 1, a, b, c, d, 0, 0, 0, 0];
            writer.write_all(&frame).await.unwrap();
        }
    };
    let resets = async {
        let mut resets = 0;
        while resets < STREAMS - HELD {
            let mut header = [0; 12];
            reader.read_exact(&mut header).await.unwrap();
            let reset = header[3] & 8 != 0;
            resets += u32::from(reset);
        }
    };
    tokio::join!(flood, resets);
    assert!(!serving.is_finished());
    serving.abort();
}

#[tokio::test]
async fn an_end_that_forwards_does_nothing_for_its_peer_but_what_its_rules_say() {
    let (listener, at) = server().await;
    let (near, far) = duplex(65_536);
    let mut once = Some(near);
    let connect =
        move || std::future::ready(once.take().ok_or_else(|| std::io::Error::other("no more")));
    let spec = format!("8022:{at}").parse().unwrap();
    let forwarding = tokio::spawn(forward(
        connect,
        vec![Rule::Remote(spec)],
        Options::default(),
    ));
    let mut raw = Raw::greeted(far, Mode::Server).await;
    let mut asked = raw.accept().await;
    raw.drive(async {
        let mut request = [0; 10];
        asked.read_exact(&mut request).await.unwrap();
        assert_eq!(request, [LISTEN, 0, 0, 6, 0, 0, 0, 0, 0x1f, 0x56]);
        asked
            .write_all(&frame(ACCEPTED, None, 8_022, "127.0.0.1"))
            .await
            .unwrap();
    })
    .await;
    let host = at.ip().to_string();
    for request in [
        frame(CONNECT, None, at.port(), &host),
        frame(LISTEN, Some(0), 0, ""),
        // A number that was not given out.
        frame(INCOMING, Some(1), at.port(), &host),
    ] {
        let mut stream = raw.open().await;
        let told = raw
            .drive(async {
                stream.write_all(&request).await.unwrap();
                answer(&mut stream).await
            })
            .await;
        assert_eq!(told, Some((REFUSED, DENIED)));
    }
    // The number that was given out leads where the rule says, whatever the peer names.
    let mut good = raw.open().await;
    let told = raw
        .drive(async {
            good.write_all(&frame(INCOMING, Some(0), 1, "169.254.169.254"))
                .await
                .unwrap();
            answer(&mut good).await
        })
        .await;
    assert_eq!(told.unwrap().0, ACCEPTED);
    drop::<(TcpStream, _)>(listener.accept().await.unwrap());
    forwarding.abort();
}
