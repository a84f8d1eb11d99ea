//! Whoever connects to us.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::support::{
    Clock, KEY, at, beside, end, event, host, listener, net, pattern, port, settle, take, turn,
};
use crate::net::{Dial, InboundId, KNOCK, Net, NetEvent, NetSettings, PipeKey};

/// Everything that the other side has ever said to us.
async fn heard(socket: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // Reset or ended: either is an end.
    let _ = socket.read_to_end(&mut all).await;
    all
}

async fn connect(net: &Net) -> TcpStream {
    TcpStream::connect(at(net)).await.unwrap()
}

async fn knock(net: &mut Net) -> (InboundId, [u8; KNOCK]) {
    match event(net).await {
        NetEvent::Knock { inbound, knock } => (inbound, knock),
        other => panic!("{other:?}"),
    }
}

fn expecting() -> Net {
    let mut net = net();
    net.set_expecting(true);
    net
}

#[tokio::test]
async fn an_address_in_use_is_named_with_its_reason() {
    let (_listener, address) = listener().await;
    let settings = NetSettings {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), address],
        ..NetSettings::default()
    };
    let why = Net::new(settings).err().unwrap();
    assert_eq!(why.address, address);
    let text = why.to_string();
    assert!(
        text.starts_with(&format!("can't listen on {address}: ")),
        "{text}"
    );
}

#[tokio::test]
async fn while_nobody_is_expected_whoever_connects_gets_nothing() {
    let mut net = net();
    let mut socket = connect(&net).await;
    socket.write_all(&pattern(KNOCK)).await.unwrap();
    assert_eq!(beside(&mut net, heard(&mut socket)).await, b"");
}

/// At the level of sockets: what a knock is, the router says.
#[tokio::test]
async fn a_probe_of_our_port_gets_nothing() {
    let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    hello.resize(517, 0);
    let random = pattern(1_000);
    let probes: [&[u8]; 5] = [
        &hello,
        b"\x05\x01\x00\x05\x01\x00\x03\x28972b7bf47291ca609517f67f86b5081086052dad\0\0",
        b"GET / HTTP/1.1\r\nHost: montague.example\r\nConnection: close\r\n\r\n",
        &random,
        &[0; KNOCK],
    ];
    for probe in probes {
        let mut net = expecting();
        let mut socket = connect(&net).await;
        socket.write_all(probe).await.unwrap();
        let (inbound, first) = knock(&mut net).await;
        assert_eq!(first[..], probe[..KNOCK]);
        net.refuse(inbound);
        assert_eq!(beside(&mut net, heard(&mut socket)).await, b"");
        assert!(!net.claim(inbound, KEY));
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_too_little_is_left_after_five_seconds_without_a_byte() {
    let clock = Clock::stop();
    let mut net = expecting();
    let mut silent = connect(&net).await;
    let mut slow = connect(&net).await;
    slow.write_all(&pattern(KNOCK - 1)).await.unwrap();
    settle(&mut net).await;
    clock.pass_millis(4_990).await;
    assert!(turn(&mut net).await.is_none());
    assert_eq!(
        silent.try_read(&mut [0; 1]).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    clock.pass_millis(20).await;
    assert_eq!(beside(&mut net, heard(&mut silent)).await, b"");
    assert_eq!(beside(&mut net, heard(&mut slow)).await, b"");
}

#[tokio::test]
async fn who_hangs_up_before_it_has_knocked_is_forgotten() {
    let mut net = expecting();
    let mut socket = connect(&net).await;
    socket.write_all(&pattern(KNOCK - 1)).await.unwrap();
    socket.shutdown().await.unwrap();
    assert_eq!(beside(&mut net, heard(&mut socket)).await, b"");
}

#[tokio::test]
async fn those_who_hold_the_port_open_do_not_keep_the_peer_out() {
    let mut net = expecting();
    let mut strangers = Vec::new();
    for _ in 0..17 {
        strangers.push(connect(&net).await);
        settle(&mut net).await;
    }
    // The first had to go, and only it.
    assert_eq!(beside(&mut net, heard(&mut strangers[0])).await, b"");
    for stranger in &strangers[1..] {
        let nothing = stranger.try_read(&mut [0; 1]).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }
    let mut peer = connect(&net).await;
    peer.write_all(&pattern(KNOCK)).await.unwrap();
    let (inbound, _) = knock(&mut net).await;
    assert!(net.claim(inbound, KEY));
    net.write(KEY, pattern(5)).unwrap();
    let mut answer = [0; 5];
    beside(&mut net, peer.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer, pattern(5)[..]);
}

#[tokio::test]
async fn when_nobody_is_expected_any_more_those_who_wait_are_turned_away() {
    let mut net = expecting();
    let mut silent = connect(&net).await;
    let mut knocking = connect(&net).await;
    knocking.write_all(&pattern(KNOCK)).await.unwrap();
    let (inbound, _) = knock(&mut net).await;
    net.set_expecting(false);
    assert!(!net.claim(inbound, KEY));
    assert_eq!(beside(&mut net, heard(&mut silent)).await, b"");
    assert_eq!(beside(&mut net, heard(&mut knocking)).await, b"");
}

#[tokio::test]
async fn a_knock_byte_by_byte_is_one_and_what_follows_is_the_stream() {
    let mut net = expecting();
    let mut socket = connect(&net).await;
    socket.set_nodelay(true).unwrap();
    for byte in pattern(KNOCK) {
        socket.write_all(&[byte]).await.unwrap();
    }
    socket.write_all(b"hello").await.unwrap();
    let (inbound, first) = knock(&mut net).await;
    assert_eq!(first[..], pattern(KNOCK)[..]);
    assert!(net.claim(inbound, KEY));
    assert_eq!(take(&mut net, 5).await, b"hello");
    drop(socket);
    assert!(end(&mut net).await.is_none());
}

#[tokio::test]
async fn two_nets_meet() {
    let (mut here, mut there) = (net(), expecting());
    let address = at(&there);
    here.dial(KEY, host("127.0.0.1"), port(address), Dial::Direct);
    assert!(matches!(
        event(&mut here).await,
        NetEvent::Connected { key: KEY }
    ));
    here.write(KEY, pattern(KNOCK)).unwrap();
    let (inbound, _) = beside(&mut here, knock(&mut there)).await;
    assert!(there.claim(inbound, PipeKey(1)));
    there.write(PipeKey(1), pattern(9)).unwrap();
    let came = beside(&mut there, take(&mut here, 9)).await;
    assert_eq!(came, pattern(9));
}
