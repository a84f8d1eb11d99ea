//! Two ends, and a relay.

use std::time::Instant;

use xtls_s5b::xtls_stanza::disco::{Identity, Info};
use xtls_s5b::xtls_stanza::s5b::{Host, Query, Sid, Streamhost};
use xtls_s5b::xtls_stanza::{Address, Content, Envelope, Payload};
use xtls_s5b::{Offer, Relay, Relays, RelaysEvent, Request};

pub(crate) const RELAY: &str = "montague.example/node";

pub(crate) fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

pub(crate) fn romeo() -> Address {
    address("romeo@montague.example/orchard")
}

pub(crate) fn juliet() -> Address {
    address("juliet@capulet.example/balcony")
}

pub(crate) fn sid() -> Sid {
    Sid::new("k3v9").unwrap()
}

pub(crate) fn host() -> Host {
    Host::new("192.0.2.1").unwrap()
}

pub(crate) fn payload(query: &Query) -> Payload {
    Payload::Other(query.to_element())
}

/// The way to get one.
pub(crate) fn relay() -> Relay {
    let mut relays = Relays::new(Instant::now(), "r", &romeo());
    while let Some(question) = relays.poll_transmit() {
        let to = question.to.clone().unwrap();
        let answer = match &question.content {
            Content::Get(Payload::DiscoQuery(_)) => Payload::DiscoInfo(Info {
                identities: vec![Identity {
                    category: "proxy".to_owned(),
                    type_: "bytestreams".to_owned(),
                    name: None,
                }],
                ..Info::default()
            }),
            _ => payload(&Query::Hosts(vec![Streamhost {
                jid: address(&format!("{to}/node")),
                host: host(),
                port: 5000.try_into().unwrap(),
            }])),
        };
        let from = Some(to);
        relays.handle(&Envelope {
            from,
            ..question.result(Some(answer))
        });
    }
    match relays.poll_event() {
        Some(RelaysEvent::Found(relay)) => relay,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn offer(direct: bool, relays: usize) -> Offer {
    Offer {
        own: romeo(),
        target: juliet(),
        sid: sid(),
        direct: if direct {
            vec![(host(), 5086.try_into().unwrap())]
        } else {
            Vec::new()
        },
        relays: vec![relay(); relays],
    }
}

pub(crate) fn request(now: Instant) -> (Request, Envelope) {
    let mut request = Request::new(now, "q", offer(false, 1)).unwrap();
    let first = request.poll_transmit().unwrap();
    (
        request,
        Envelope {
            from: Some(romeo()),
            ..first
        },
    )
}
