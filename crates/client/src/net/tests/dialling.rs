//! Connections that we make: where we are never led, and what relays may do.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use xtls_reach::Reach;
use xtls_s5b::SocksError;

use super::support::{
    Clock, KEY, at, beside, destination, end, event, host, listener, net, port, take, turn,
};
use crate::net::{Dial, DialError, MAX_PIPES, Net, NetEvent, NetSettings, PipeKey};

async fn failed(net: &mut Net) -> DialError {
    match event(net).await {
        NetEvent::Failed { key: KEY, why } => why,
        other => panic!("{other:?}"),
    }
}

/// A relay to which the net connects.
async fn dialled(net: &mut Net) -> TcpListener {
    let (listener, address) = listener().await;
    let how = Dial::Relay(destination());
    net.dial(KEY, host("127.0.0.1"), port(address), how);
    listener
}

/// The reach that was refused, and nobody has come.
async fn forbidden(settings: NetSettings, how: Dial, name: &str) -> Option<Reach> {
    let (listener, address) = listener().await;
    let mut net = Net::new(settings).unwrap();
    net.dial(KEY, host(name), port(address), how);
    let why = failed(&mut net).await;
    assert!(!why.to_string().contains("127"), "{why}");
    let mut waiting = std::pin::pin!(listener.accept());
    let came = std::future::poll_fn(|cx| waiting.as_mut().poll(cx).map(|_| ()));
    tokio::select! {
        biased;
        () = came => panic!("{name} was dialled"),
        () = std::future::ready(()) => {}
    }
    assert!(net.is_idle());
    match why {
        DialError::Address(reach) => Some(reach),
        _ => None,
    }
}

#[tokio::test]
async fn nobody_makes_us_dial_this_machine_or_its_networks() {
    let relay = Dial::Relay(destination());
    for (name, reach) in [
        ("127.0.0.1", Reach::Loopback),
        ("127.1", Reach::Loopback),
        ("0x7f000001", Reach::Loopback),
        ("localhost", Reach::Loopback),
        ("[::1]", Reach::Loopback),
        ("::ffff:127.0.0.1", Reach::Loopback),
        ("0.0.0.0", Reach::Unspecified),
        ("169.254.169.254", Reach::LinkLocal),
        ("192.168.0.1", Reach::Private),
        ("224.0.0.1", Reach::Multicast),
        ("192.0.2.1", Reach::Special),
    ] {
        for how in [relay, Dial::Direct] {
            let refused = forbidden(NetSettings::default(), how, name).await;
            assert_eq!(refused, Some(reach), "{name} {how:?}");
        }
    }
}

#[tokio::test]
async fn a_server_nearby_lets_relays_be_there_and_no_peer() {
    let near = |near: &[Reach]| NetSettings {
        near: near.to_vec(),
        ..NetSettings::default()
    };
    let private = near(&[Reach::Private]);
    let relay = Dial::Relay(destination());
    assert_eq!(
        forbidden(private, relay, "127.0.0.1").await,
        Some(Reach::Loopback)
    );
    let loopback = near(&[Reach::Loopback]);
    assert_eq!(
        forbidden(loopback, Dial::Direct, "127.0.0.1").await,
        Some(Reach::Loopback)
    );
}

#[tokio::test]
async fn when_our_server_is_elsewhere_its_relays_are_judged_anew() {
    let mut net = net();
    net.set_near(vec![Reach::Private]);
    let _listener = dialled(&mut net).await;
    let why = failed(&mut net).await;
    assert!(
        matches!(why, DialError::Address(Reach::Loopback)),
        "{why:?}"
    );
}

#[tokio::test]
async fn private_peers_let_no_relay_be_private() {
    let settings = NetSettings {
        private: true,
        ..NetSettings::default()
    };
    assert_eq!(
        forbidden(settings, Dial::Relay(destination()), "127.0.0.1").await,
        Some(Reach::Loopback)
    );
}

#[tokio::test]
async fn a_name_that_does_not_exist_fails() {
    let mut net = net();
    let (_listener, address) = listener().await;
    net.dial(KEY, host("nowhere.invalid"), port(address), Dial::Direct);
    let why = failed(&mut net).await;
    assert!(matches!(why, DialError::Lookup(_)), "{why:?}");
    assert!(!why.to_string().contains("nowhere"), "{why}");
}

#[tokio::test]
async fn a_closed_port_fails_at_once() {
    let mut net = net();
    let (listener, address) = listener().await;
    drop(listener);
    net.dial(KEY, host("127.0.0.1"), port(address), Dial::Direct);
    let why = failed(&mut net).await;
    let DialError::Unreachable(why) = why else {
        panic!("{why:?}");
    };
    assert_eq!(why.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn one_pipe_too_many_is_refused() {
    let mut net = net();
    let (listener, address) = listener().await;
    for key in 0..=MAX_PIPES as u64 {
        net.dial(PipeKey(key), host("127.0.0.1"), port(address), Dial::Direct);
    }
    let (mut stand, mut accepted) = (0, Vec::new());
    let mut refused = None;
    while stand < MAX_PIPES {
        tokio::select! {
            event = event(&mut net) => match event {
                NetEvent::Connected { .. } => stand += 1,
                NetEvent::Failed { key, why: DialError::TooMany } => refused = Some(key),
                other => panic!("{other:?}"),
            },
            socket = listener.accept() => accepted.push(socket.unwrap()),
        }
    }
    assert_eq!(refused, Some(PipeKey(MAX_PIPES as u64)));
}

#[tokio::test]
async fn odd_answers_of_relays_fail_the_dial() {
    let version = |answer: &'static [u8], why| (answer, why);
    for (answer, expected) in [
        version(b"HTTP/1.1 400 Bad Request\r\n", SocksError::Version(b'H')),
        version(b"\x04\x00", SocksError::Version(4)),
        version(b"\x05\xff", SocksError::Method(0xff)),
        version(b"\x05\x02", SocksError::Method(2)),
        version(b"\x05\x00\x04", SocksError::Version(4)),
        version(b"\x05\x00\x05\x05", SocksError::Refused(5)),
        version(b"\x05\x00\x05\x00\x00\x09\x00", SocksError::Kind(9)),
    ] {
        for piece in [1, answer.len()] {
            let mut net = net();
            let listener = dialled(&mut net).await;
            let relay = async {
                let (mut socket, _) = listener.accept().await.unwrap();
                // What it says before it is asked is read when it was asked.
                for piece in answer.chunks(piece) {
                    // It may have gone by then.
                    let _ = socket.write_all(piece).await;
                }
                socket
            };
            let (why, _socket) = tokio::join!(failed(&mut net), relay);
            match why {
                DialError::Socks(why) => assert_eq!(why, expected),
                other => panic!("{answer:?}: {other:?}"),
            }
            assert!(net.is_idle());
        }
    }
}

#[tokio::test]
async fn a_relay_that_hangs_up_fails_the_dial() {
    for answer in [&b""[..], b"\x05", b"\x05\x00", b"\x05\x00\x05\x00"] {
        let mut net = net();
        let listener = dialled(&mut net).await;
        let relay = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(answer).await.unwrap();
        };
        let (why, ()) = tokio::join!(failed(&mut net), relay);
        let broken = DialError::Socks(SocksError::Ended);
        let reset = matches!(why, DialError::Broken(_));
        assert!(reset || why.to_string() == broken.to_string(), "{why:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_says_nothing_is_left_after_five_seconds() {
    let clock = Clock::stop();
    let mut net = net();
    let listener = dialled(&mut net).await;
    let mut socket = beside(&mut net, async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 3];
        socket.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting, [5, 1, 0]);
        socket
    })
    .await;
    clock.pass_millis(4_990).await;
    assert!(turn(&mut net).await.is_none());
    clock.pass_millis(20).await;
    let why = failed(&mut net).await;
    assert!(
        matches!(why, DialError::Socks(SocksError::Timeout)),
        "{why:?}"
    );
    assert_eq!(socket.read(&mut [0; 1]).await.unwrap(), 0);
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_given_up_directly_after_three_seconds_and_as_a_relay_after_five() {
    for (how, seconds) in [(Dial::Direct, 3), (Dial::Relay(destination()), 5)] {
        let clock = Clock::stop();
        let mut net = net();
        let (address, _full) = crowded();
        net.dial(KEY, host("127.0.0.1"), port(address), how);
        assert!(turn(&mut net).await.is_none());
        clock.pass_millis(seconds * 1_000 - 10).await;
        assert!(turn(&mut net).await.is_none());
        clock.pass_millis(20).await;
        let why = failed(&mut net).await;
        assert!(
            matches!(why, DialError::Timeout(after) if after.as_secs() == seconds),
            "{why:?}"
        );
        assert!(net.is_idle());
    }
}

/// A port on which no connection is answered: all places are taken, and nobody accepts.
#[cfg(target_os = "linux")]
fn crowded() -> (SocketAddr, impl Sized) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(any).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let first = std::net::TcpStream::connect(address).unwrap();
    (address, (listener, first))
}

#[tokio::test]
async fn through_a_relay_the_stream_begins_behind_its_answer() {
    let mut net = net();
    let listener = dialled(&mut net).await;
    let relay = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let asked = xtls_s5b::accept(&mut socket, |asked| *asked == destination()).await;
        assert_eq!(asked.unwrap(), destination());
        socket.write_all(b"hello").await.unwrap();
        socket
    };
    let (event, socket) = tokio::join!(event(&mut net), relay);
    assert!(
        matches!(event, NetEvent::Connected { key: KEY }),
        "{event:?}"
    );
    assert_eq!(take(&mut net, 5).await, b"hello");
    drop(socket);
    assert!(end(&mut net).await.is_none());
}

#[tokio::test]
async fn a_dial_that_is_closed_leaves_nothing() {
    let mut net = net();
    let _listener = dialled(&mut net).await;
    assert!(turn(&mut net).await.is_none());
    net.close(KEY);
    assert!(net.is_idle());
    assert!(turn(&mut net).await.is_none());
    assert_eq!(at(&net).ip(), Ipv4Addr::LOCALHOST);
}
