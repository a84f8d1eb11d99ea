//! A tunnel beside the server: `cargo xtask bench paths` runs this.
//!
//! In each round two bare sockets through the server's relay, a tunnel through the same, tokio-rustls over TCP on this machine, and a
//! tunnel straight from one end to the other take turns, with the same bytes from the far end to the near one.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use xtls_client::router::{Config, PathConfig};
use xtls_client::session::{Binding, Mode, Service};
use xtls_client::tls::Role;
use xtls_client::tls::trust::{Level, Method, Policy, Store};
use xtls_client::tunnel::path::Kind;
use xtls_client::tunnel::s5b::{Destination, Relay, Relays, RelaysEvent, dial};
use xtls_client::xmpp::Link;
use xtls_client::{LinkEvent, SocketOptions, Sockets};
use xtls_stanza::path::Takes;
use xtls_stanza::s5b::{Query, Sid};
use xtls_stanza::{Address, Content, Envelope, Payload};

use crate::clients::{Clients, config, key, through_each};
use crate::link::Server;
use crate::{median, rate, reaches};

const ROUNDS: usize = 7;
const BYTES: usize = 512 << 20;

/// The bars: a relay beside bare sockets, by server, and a direct path beside tokio-rustls.
const RELAYED: [(&str, f64); 2] = [("XTLS_PROSODY_QUIET", 0.90), ("XTLS_EJABBERD", 0.60)];
const DIRECT: f64 = 0.60;

pub(crate) async fn run(check: bool) -> ExitCode {
    through_each("paths", check, RELAYED, through).await
}

/// Whether the bars are met with this server.
async fn through(server: &Server, least: f64) -> bool {
    let mut relayed = Ends::start(server, "relayed", Takes::Own, Kind::Relay).await;
    let mut direct = Ends::start(server, "direct", Takes::Direct, Kind::Direct).await;
    println!("{ROUNDS} rounds, MB/s of payload");
    let mut rates: [Vec<f64>; 4] = Default::default();
    for round in 0..=ROUNDS {
        // A link that nobody polls while others run would be cut.
        let sockets = Bare::start(server, round).await.run().await;
        let relay = relayed.run().await;
        let rustls = over_tcp().await;
        let straight = direct.run().await;
        let figures = [sockets, relay, rustls, straight].map(|time| rate(BYTES, time));
        let [sockets, relay, rustls, straight] = figures;
        println!(
            "{round:>2}: bare sockets through the relay {sockets:7.1}, tunnel {relay:7.1}; tokio-rustls {rustls:7.1}, tunnel \
             {straight:7.1}"
        );
        // The first round warms up all contenders.
        if round > 0 {
            for (rates, figure) in rates.iter_mut().zip(figures) {
                rates.push(figure);
            }
        }
    }
    println!();
    let [sockets, relay, rustls, straight] = rates;
    let beside = |ours: &[f64], theirs: &[f64]| {
        let pairs = ours.iter().zip(theirs);
        pairs.map(|(ours, theirs)| ours / theirs).collect()
    };
    println!(
        "{:.0} MB/s through the relay, {:.0} directly",
        median(relay.clone()),
        median(straight.clone())
    );
    let mut met = reaches(
        "relay / bare sockets through it",
        beside(&relay, &sockets),
        least,
    );
    met &= reaches(
        "direct / tokio-rustls over TCP",
        beside(&straight, &rustls),
        DIRECT,
    );
    met
}

/// Clients whose tunnels go one way.
struct Ends {
    clients: Clients,
    kind: Kind,
}

impl Ends {
    async fn start(server: &Server, resource: &str, takes: Takes, kind: Kind) -> Self {
        let with = |config: Config| {
            let here = "127.0.0.1:0".parse().expect("an address");
            let options = SocketOptions::default().private(true).listen([here]);
            let sockets = Sockets::bind(options).expect("a port");
            let paths = PathConfig::new(takes).advertise(sockets.reachable());
            (config.paths(paths), sockets)
        };
        let clients = Clients::start(server, resource, with).await;
        Self { clients, kind }
    }

    async fn run(&mut self) -> Duration {
        let ends = self.clients.tunnel().await;
        for end in &ends {
            let moved = end.paths().carried_by(self.kind).await;
            moved.expect("the path that is measured");
        }
        let [near, far] = ends;
        carry(near, far).await
    }
}

/// How long the bytes take from the far end to the near one.
async fn carry<N, F>(mut near: N, mut far: F) -> Duration
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let start = Instant::now();
    let writing = tokio::spawn(async move {
        let piece = vec![0x5a; 65_536];
        for _ in 0..BYTES / piece.len() {
            far.write_all(&piece).await.expect("a reader");
        }
        far.shutdown().await.expect("a reader");
        // The other end may be gone.
        let _ = far.read_to_end(&mut Vec::new()).await;
    });
    let (mut left, mut buffer) = (BYTES, vec![0; 65_536]);
    while left > 0 {
        match near.read(&mut buffer).await.expect("it holds") {
            0 => panic!("the bytes ended, {left} of {BYTES} before their end"),
            read => left -= read,
        }
    }
    let took = start.elapsed();
    let _ = near.shutdown().await;
    drop(near);
    writing.await.expect("no panic");
    took
}

/// Two sockets that a relay joins.
struct Bare {
    link: Link,
    target: Address,
    relay: Relay,
}

impl Bare {
    async fn start(server: &Server, round: usize) -> Self {
        let mut link = server.login("romeo", &format!("bare-{round}")).await;
        let target = format!("juliet@{}/bare", server.fact("domain"));
        let mut relays = Relays::new(Instant::now(), "relays", link.bound());
        let relay = loop {
            while let Some(question) = relays.poll_transmit() {
                link.send(question).await.expect("a link");
            }
            match relays.poll_event() {
                Some(RelaysEvent::Found(relay)) => break relay,
                Some(_) => continue,
                None => {}
            }
            relays.handle(&answer(&mut link).await);
        };
        Self {
            link,
            target: Address::new(&target).expect("an address"),
            relay,
        }
    }

    async fn run(mut self) -> Duration {
        let sid = Sid::new("bare").expect("a name");
        let destination = Destination::new(&sid, self.link.bound(), &self.target);
        let host = self.relay.streamhost().clone();
        let mut sockets = Vec::new();
        for _ in 0..2 {
            let address = (host.host.as_str(), host.port.get());
            let mut socket = TcpStream::connect(address).await.expect("a relay");
            socket.set_nodelay(true).expect("a socket");
            dial(&mut socket, destination).await.expect("a relay");
            sockets.push(socket);
        }
        let activate = Query::Activate {
            sid,
            target: self.target.clone(),
        };
        let id = "activate".to_owned();
        self.link
            .send(Envelope {
                from: None,
                to: Some(host.jid),
                id: id.clone(),
                content: Content::Set(Payload::Other(activate.to_element())),
            })
            .await
            .expect("a link");
        loop {
            let envelope = answer(&mut self.link).await;
            if envelope.id == id {
                assert!(
                    matches!(envelope.content, Content::Result(_)),
                    "{envelope:?}"
                );
                break;
            }
        }
        let (near, far) = (sockets.pop(), sockets.pop());
        carry(near.expect("a socket"), far.expect("a socket")).await
    }
}

async fn answer(link: &mut Link) -> Envelope {
    loop {
        if let LinkEvent::Envelope(envelope) = link.next().await.expect("a link") {
            return envelope;
        }
    }
}

/// tokio-rustls with the keys and suites of a tunnel.
async fn over_tcp() -> Duration {
    let expect = |role| {
        let [one, other] = ["romeo@a.example/x", "juliet@bb.example/x"]
            .map(|name| Address::new(name).expect("an address"));
        let (own, peer) = match role {
            Role::Client => (one, other),
            Role::Server => (other, one),
        };
        let mut store = Store::new();
        let level = Level::Verified(Method::Fingerprint);
        store
            .pin(
                peer.bare(),
                key(peer.bare()).fingerprint(),
                level,
                1_767_225_600,
            )
            .expect("a pin");
        let identity = key(own.bare());
        let binding = Binding {
            own,
            peer,
            sid: "s1".to_owned(),
            service: Service::new("paths", Mode::Bytes),
            role,
        };
        (
            config(identity),
            binding.expect(Arc::new(store), Policy::Pinned),
        )
    };
    let (tls, expected) = expect(Role::Client);
    let (client, _) = tls.client(&expected).expect("a client");
    let (tls, expected) = expect(Role::Server);
    let (server, _) = tls.server(&expected).expect("a server");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (near, (far, _)) = (near.expect("a connection"), far.expect("a connection"));
    for socket in [&near, &far] {
        socket.set_nodelay(true).expect("a socket");
    }
    let name = ServerName::try_from("xtls.invalid").expect("a name");
    let connecting = TlsConnector::from(Arc::new(client)).connect(name, near);
    let accepting = TlsAcceptor::from(Arc::new(server)).accept(far);
    let (near, far) = tokio::join!(connecting, accepting);
    let (near, far) = (near.expect("a handshake"), far.expect("a handshake"));
    carry(near, far).await
}
