//! SOCKS5 bytestreams through the relays of Prosody and ejabberd: slixmpp at the other end, in both roles; and what these relays do, which
//! `xtls-s5b` builds on.

use std::future::poll_fn;
use std::time::Instant;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use xtls_client::uplink::LinkEvent;
use xtls_client::xmpp::Link;
use xtls_s5b::xtls_reach::Reach;
use xtls_s5b::{
    Destination, Offer, Relay, Relays, RelaysEvent, Request, RequestEvent, Target, TargetEvent,
    connect,
};
use xtls_stanza::s5b::{Query, Sid};
use xtls_stanza::{Address, Condition, Content, Envelope, Payload};
use xtls_tests::live::server::Server;
use xtls_tests::live::soon;

use super::cell::Side;
use super::ours::{hash, noise};
use super::peer::{Library, Peer};
use super::people_on;

/// More than any buffer between holds, and no multiple of one.
const SIZE: usize = 300_001;
/// The servers of tests are on this machine, and so are their relays.
const NEAR: &[Reach] = &[Reach::Loopback];

/// The tests of one server.
macro_rules! server {
    ($name:ident, $server:expr, $missing:expr) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn carries_our_bytes_to_slixmpp_that_we_have_offered_a_stream() {
                carries(&$server, Side::We, Side::We).await;
            }

            #[tokio::test]
            async fn carries_bytes_of_slixmpp_that_we_have_offered_a_stream() {
                carries(&$server, Side::We, Side::They).await;
            }

            #[tokio::test]
            async fn carries_our_bytes_to_slixmpp_that_has_offered_a_stream() {
                carries(&$server, Side::They, Side::We).await;
            }

            #[tokio::test]
            async fn carries_bytes_of_slixmpp_that_has_offered_a_stream() {
                carries(&$server, Side::They, Side::They).await;
            }

            #[tokio::test]
            async fn closes_on_two_messages_at_once() {
                closes(&$server).await;
            }

            #[tokio::test]
            async fn refuses_to_activate_while_one_side_is_missing() {
                refuses(&$server, $missing).await;
            }
        }
    };
}

server!(prosody, Server::free(), Condition::NotAllowed);
server!(ejabberd, Server::ejabberd(), Condition::ItemNotFound);

/// `opener` offers the stream, `sender` sends, and then closes it: neither relay keeps a half of it open.
async fn carries(server: &Server, opener: Side, sender: Side) {
    let (we, they) = people_on(server);
    let mut end = End {
        link: we.link("ours").await,
    };
    let mut peer = Peer::start(Library::Slixmpp, &they, None).await;
    let to = peer.address().clone();
    let mut stream = match opener {
        Side::We => {
            let accepted = peer.ask(json!({ "do": "relay-accept" }));
            tokio::join!(accepted, end.offer(&to)).1
        }
        Side::They => {
            let own = end.own();
            let offered = peer.ask(json!({ "do": "relay-offer", "to": own.as_str() }));
            tokio::join!(offered, end.accept()).1
        }
    };
    match sender {
        Side::We => {
            let sent = noise(1, SIZE);
            let ours = async {
                stream.write_all(&sent).await.expect("the relay takes it");
                stream.shutdown().await.expect("an end");
            };
            let (drained, ()) = tokio::join!(peer.ask(json!({ "do": "relay-drain" })), ours);
            assert_eq!(drained["size"], SIZE);
            assert_eq!(drained["read"], hash(&sent));
        }
        Side::They => {
            let mut read = Vec::new();
            let order = json!({ "do": "relay-send", "size": SIZE });
            let (sent, got) = tokio::join!(
                peer.ask(order),
                soon("the peer's bytes", stream.read_to_end(&mut read))
            );
            got.expect("the peer's bytes come");
            assert_eq!(read.len(), SIZE);
            assert_eq!(sent["sent"], hash(&read));
        }
    }
}

/// Both relays read by packet. One that has the request with the greeting never answers it.
async fn closes(server: &Server) {
    let (we, _) = people_on(server);
    let mut end = End {
        link: we.link("ours").await,
    };
    let host = end.find().await.streamhost().clone();
    let own = end.own();
    let destination = Destination::new(&sid(), &own, &own);
    let address = (host.host.as_str(), host.port.get());
    let mut stream = TcpStream::connect(address).await.expect("the relay");
    let mut both = vec![5, 1, 0, 5, 1, 0, 3, 40];
    both.extend_from_slice(destination.as_bytes());
    both.extend_from_slice(&[0, 0]);
    stream.write_all(&both).await.expect("the relay takes it");
    let mut answer = Vec::new();
    // It may close with a reset, as it has not read everything.
    let _ = soon("the end", stream.read_to_end(&mut answer)).await;
    assert!(answer.len() <= 2, "{answer:?}");
}

async fn refuses(server: &Server, condition: Condition) {
    let (we, they) = people_on(server);
    let mut end = End {
        link: we.link("ours").await,
    };
    let relay = end.find().await;
    let (own, target, sid) = (end.own(), they.at("nobody"), sid());
    let destination = Destination::new(&sid, &own, &target);
    let _alone = connect(relay.streamhost(), destination, NEAR)
        .await
        .expect("the relay agrees");
    let activate = Query::Activate { sid, target };
    end.send(Envelope {
        from: None,
        to: Some(relay.streamhost().jid.clone()),
        id: "a1".to_owned(),
        content: Content::Set(Payload::Other(activate.to_element())),
    })
    .await;
    loop {
        let answer = end.next().await;
        if answer.id == "a1" {
            let Content::Error(error) = answer.content else {
                panic!("{answer:?}");
            };
            assert_eq!(error.condition, condition);
            return;
        }
    }
}

/// A new one each time.
fn sid() -> Sid {
    let mut bytes = [0; 8];
    xtls_client::random(&mut bytes).expect("random bytes");
    Sid::new(&hash(&bytes)).expect("a sid")
}

/// Our end: the machines over a link.
struct End {
    link: Link,
}

impl End {
    fn own(&self) -> Address {
        self.link.bound().clone()
    }

    async fn send(&mut self, envelope: Envelope) {
        let ready = poll_fn(|cx| self.link.poll_ready(cx));
        soon("room", ready).await.expect("the link holds");
        self.link.start_send(envelope).expect("the link holds");
    }

    async fn next(&mut self) -> Envelope {
        loop {
            let event = soon("a stanza", poll_fn(|cx| self.link.poll_next(cx))).await;
            if let LinkEvent::Envelope(envelope) = event.expect("the link holds") {
                return envelope;
            }
        }
    }

    async fn is_here(&mut self) -> bool {
        poll_fn(|cx| self.link.poll_next(cx)).await.is_ok()
    }

    async fn find(&mut self) -> Relay {
        let mut relays = Relays::new(Instant::now(), "relays", &self.own());
        loop {
            while let Some(envelope) = relays.poll_transmit() {
                self.send(envelope).await;
            }
            match relays.poll_event() {
                Some(RelaysEvent::Found(relay)) => return relay,
                Some(other) => panic!("{other:?}"),
                None => {
                    let envelope = self.next().await;
                    relays.handle(&envelope);
                }
            }
        }
    }

    async fn offer(&mut self, to: &Address) -> TcpStream {
        let offer = Offer {
            own: self.own(),
            target: to.clone(),
            sid: sid(),
            direct: Vec::new(),
            relays: vec![self.find().await],
        };
        let mut request = Request::new(Instant::now(), "offer", offer).expect("an offer");
        let mut stream = None;
        loop {
            while let Some(envelope) = request.poll_transmit() {
                self.send(envelope).await;
            }
            match request.poll_event() {
                Some(RequestEvent::Connect { relay, destination }) => {
                    let connected = connect(relay.streamhost(), destination, NEAR).await;
                    stream = Some(connected.expect("the relay agrees"));
                    request.connected(Instant::now());
                }
                Some(RequestEvent::Established { direct: false }) => {
                    return stream.expect("a connection");
                }
                Some(other) => panic!("{other:?}"),
                None => {
                    let envelope = self.next().await;
                    request.handle(Instant::now(), &envelope);
                }
            }
        }
    }

    async fn accept(mut self) -> TcpStream {
        let own = self.own();
        let mut target = loop {
            let envelope = self.next().await;
            if let Some(read) = Target::read(&own, &envelope) {
                break read.expect("an offer");
            }
        };
        target.accept(Instant::now(), |_| true);
        let Some(TargetEvent::Connect { host, destination }) = target.poll_event() else {
            panic!("there is a streamhost");
        };
        let stream = connect(&host, destination, NEAR).await;
        target.connected();
        let answer = target.poll_transmit().expect("an answer");
        self.send(answer).await;
        // It leaves while the link is asked for more.
        tokio::spawn(async move { while self.is_here().await {} });
        stream.expect("the relay agrees")
    }
}
