//! What the tests share: nets, their events, and a clock that stands still while sockets work.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use xtls_reach::Reach;
use xtls_s5b::Destination;
use xtls_stanza::Address;
use xtls_stanza::s5b::{Host, Sid};

use crate::net::{Dial, Net, NetEvent, NetSettings, PipeKey};

pub(super) const KEY: PipeKey = PipeKey(7);

/// A net that may go everywhere on this machine, and listens there.
pub(super) fn net() -> Net {
    Net::new(NetSettings {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        private: true,
        near: vec![Reach::Loopback],
    })
    .unwrap()
}

/// Where it listens.
pub(super) fn at(net: &Net) -> SocketAddr {
    net.listening().next().unwrap()
}

pub(super) fn host(text: &str) -> Host {
    Host::new(text).unwrap()
}

pub(super) fn port(address: SocketAddr) -> NonZeroU16 {
    NonZeroU16::new(address.port()).unwrap()
}

pub(super) fn destination() -> Destination {
    let address = |text| Address::new(text).unwrap();
    let sid = Sid::new("k3v9").unwrap();
    Destination::new(&sid, &address("a@a.example/a"), &address("b@b.example/b"))
}

/// What a net says next.
pub(super) async fn event(net: &mut Net) -> NetEvent {
    poll_fn(|cx| net.poll_event(cx)).await
}

/// Runs something beside a net, which has nothing to say meanwhile.
pub(super) async fn beside<T>(net: &mut Net, work: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        event = event(net) => panic!("{event:?}"),
        done = work => done,
    }
}

/// Polls a net once.
pub(super) async fn turn(net: &mut Net) -> Option<NetEvent> {
    poll_fn(|cx| {
        Poll::Ready(match net.poll_event(cx) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        })
    })
    .await
}

/// Lets a net take all that has come, and say nothing of it.
pub(super) async fn settle(net: &mut Net) {
    let turns = async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    beside(net, turns).await;
}

/// A listener of somebody else.
pub(super) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A pipe of a net; the bare socket at its other end.
pub(super) async fn piped(net: &mut Net) -> TcpStream {
    piped_as(net, KEY).await
}

pub(super) async fn piped_as(net: &mut Net, key: PipeKey) -> TcpStream {
    let (listener, address) = listener().await;
    net.dial(key, host("127.0.0.1"), port(address), Dial::Direct);
    let (stands, accepted) = tokio::join!(event(net), listener.accept());
    assert!(matches!(stands, NetEvent::Connected { .. }), "{stands:?}");
    accepted.unwrap().0
}

/// Takes whatever comes on a pipe until there is so much.
pub(super) async fn take(net: &mut Net, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < length {
        match event(net).await {
            NetEvent::Bytes { key: KEY, bytes } => {
                assert!((1..=65_536).contains(&bytes.len()));
                all.extend(bytes);
            }
            NetEvent::Ready { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    all
}

/// The end of a pipe.
pub(super) async fn end(net: &mut Net) -> Option<std::io::Error> {
    match event(net).await {
        NetEvent::Ended { key: KEY, error } => error,
        other => panic!("{other:?}"),
    }
}

/// Bytes that differ from their neighbours.
pub(super) fn pattern(length: usize) -> Bytes {
    (0..=250).cycle().take(length).collect()
}

/// Paused time does not move by itself while this is held, so that it does not overtake the sockets.
pub(super) struct Clock {
    _held: mpsc::Sender<()>,
}

impl Clock {
    pub(super) fn stop() -> Self {
        let (held, end) = mpsc::channel();
        // The clock stands still while anything blocks.
        tokio::task::spawn_blocking(move || end.recv());
        Self { _held: held }
    }

    pub(super) async fn pass_millis(&self, millis: u64) {
        tokio::time::advance(Duration::from_millis(millis)).await;
    }
}

/// Sockets of this process that have to do with a port.
#[cfg(target_os = "linux")]
pub(super) fn sockets_at(port: u16) -> usize {
    use std::collections::BTreeSet;
    let ours: BTreeSet<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|to| {
            Some(
                to.to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .to_owned(),
            )
        })
        .collect();
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    let at_port = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ends = [fields[1], fields[2]];
        ends.iter().any(|end| end.ends_with(&port)) && ours.contains(fields[9])
    };
    table.lines().skip(1).filter(at_port).count()
}
