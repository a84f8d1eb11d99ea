//! Relays of a server: what is asked, and which answers count.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing, and begins now"
)]

use std::time::{Duration, Instant};

use xtls_s5b::xtls_stanza::disco::{Identity, Info, Item, Items};
use xtls_s5b::xtls_stanza::s5b::{Host, Query, Streamhost};
use xtls_s5b::xtls_stanza::{
    Address, Condition, Content, Element, Envelope, ErrorType, Payload, StanzaError,
};
use xtls_s5b::{Relays, RelaysEvent, Unusable};

fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

fn host(jid: &str) -> Streamhost {
    Streamhost {
        jid: address(jid),
        host: Host::new("192.0.2.1").unwrap(),
        port: 5000.try_into().unwrap(),
    }
}

fn hosts(jids: &[&str]) -> Payload {
    Payload::Other(Query::Hosts(jids.iter().map(|jid| host(jid)).collect()).to_element())
}

fn items(jids: impl IntoIterator<Item = String>) -> Payload {
    let item = |jid: String| Item {
        jid: address(&jid),
        node: None,
        name: None,
    };
    let items = Items {
        node: None,
        items: jids.into_iter().map(item).collect(),
    };
    Payload::Other(items.to_element())
}

fn info(category: &str, type_: &str) -> Payload {
    Payload::DiscoInfo(Info {
        node: None,
        identities: vec![Identity {
            category: category.to_owned(),
            type_: type_.to_owned(),
            name: None,
        }],
        features: Vec::new(),
    })
}

/// A server, by what it answers to whom; `None` never answers.
struct World {
    relays: Relays,
    now: Instant,
    asked: Vec<(String, &'static str)>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            relays: Relays::new(now, "r", &address("romeo@a.example/orchard")),
            now,
            asked: Vec::new(),
        }
    }

    /// Answers everything that is asked, and returns what is found.
    fn run(
        &mut self,
        mut answer: impl FnMut(&str, &'static str) -> Option<Result<Payload, Condition>>,
    ) -> Vec<RelaysEvent> {
        let mut found = Vec::new();
        loop {
            let mut waiting = Vec::new();
            while let Some(question) = self.relays.poll_transmit() {
                waiting.push(question);
            }
            assert!(waiting.len() <= 4, "so many at a time: {}", waiting.len());
            if waiting.is_empty() {
                return found;
            }
            for question in waiting {
                let to = question.to.clone().unwrap();
                let kind = match &question.content {
                    Content::Get(Payload::DiscoQuery(_)) => "info",
                    Content::Get(Payload::Other(element))
                        if element.ns.as_str().ends_with("#items") =>
                    {
                        "items"
                    }
                    Content::Get(Payload::Other(_)) => "hosts",
                    other => panic!("{other:?}"),
                };
                self.asked.push((to.to_string(), kind));
                let Some(answer) = answer(to.as_str(), kind) else {
                    continue;
                };
                let answer = match answer {
                    Ok(payload) => question.result(Some(payload)),
                    Err(condition) => {
                        question.error(StanzaError::new(ErrorType::Cancel, condition))
                    }
                };
                assert!(self.relays.handle(&Envelope {
                    from: Some(to),
                    ..answer
                }));
            }
            while let Some(event) = self.relays.poll_event() {
                found.push(event);
            }
        }
    }
}

fn unusable(jid: &str, why: Unusable) -> RelaysEvent {
    RelaysEvent::Unusable {
        jid: address(jid),
        why,
    }
}

/// One relay behind the domain, which answers this.
fn one(answer: Result<Payload, Condition>) -> Vec<RelaysEvent> {
    World::new().run(|to, kind| {
        Some(match (to, kind) {
            ("a.example", "items") => Ok(items(["p.a.example".to_owned()])),
            ("p.a.example", "info") => Ok(info("proxy", "bytestreams")),
            ("p.a.example", "hosts") => answer.clone(),
            _ => Err(Condition::ServiceUnavailable),
        })
    })
}

#[test]
fn a_server_without_relays_has_none() {
    let mut world = World::new();
    assert_eq!(
        world.run(|_, _| Some(Err(Condition::ServiceUnavailable))),
        [RelaysEvent::Over]
    );
    assert_eq!(world.relays.poll_timeout(), None);
    let found = World::new().run(|_, kind| match kind {
        "items" => Some(Ok(items(["muc.a.example".to_owned()]))),
        _ => Some(Ok(info("conference", "text"))),
    });
    assert_eq!(found, [RelaysEvent::Over]);
}

#[test]
fn a_relay_that_can_not_be_used_is_named() {
    let empty = Payload::Other(Element::new(
        "query",
        "http://jabber.org/protocol/bytestreams",
    ));
    for (answer, why) in [
        (
            Err(Condition::Forbidden),
            Unusable::Refused(Condition::Forbidden),
        ),
        (
            Err(Condition::NotAllowed),
            Unusable::Refused(Condition::NotAllowed),
        ),
        (Ok(empty), Unusable::NoHost),
        (Ok(Payload::Ping), Unusable::Malformed),
        (
            Ok(Payload::Other(Element::new("x", "u"))),
            Unusable::Malformed,
        ),
        (Ok(hosts(&["p.b.example"])), Unusable::Elsewhere),
    ] {
        assert_eq!(
            one(answer),
            [unusable("p.a.example", why), RelaysEvent::Over]
        );
    }
}

#[test]
fn nobody_answers_for_another() {
    let mut world = World::new();
    let question = world.relays.poll_transmit().unwrap();
    let answer = question.result(Some(items(["evil.example".to_owned()])));
    for from in [
        None,
        Some("evil.example"),
        Some("romeo@a.example"),
        Some("a.example/x"),
    ] {
        let from = from.map(address);
        assert!(!world.relays.handle(&Envelope {
            from,
            ..answer.clone()
        }));
    }
    let from = Some(address("a.example"));
    let id = "r-7".to_owned();
    assert!(!world.relays.handle(&Envelope {
        id,
        from: from.clone(),
        ..answer.clone()
    }));
    assert!(!world.relays.handle(&Envelope {
        from: from.clone(),
        ..question
    }));
    assert!(world.relays.handle(&Envelope {
        from: from.clone(),
        ..answer.clone()
    }));
    assert!(!world.relays.handle(&Envelope { from, ..answer }), "twice");
}

#[test]
fn sixteen_items_are_asked_and_no_more() {
    let many = || (0..5_000).map(|n| format!("p{n}.a.example"));
    let mut world = World::new();
    let found = world.run(|to, kind| {
        Some(match kind {
            "items" => Ok(items(many())),
            "info" => Ok(info("proxy", "bytestreams")),
            _ => Ok(hosts(&[to; 30])),
        })
    });
    // The domain itself, its items, and four streamhosts of each.
    assert_eq!(world.asked.len(), 2 + 16 + 17);
    assert_eq!(found.len(), 17 * 4 + 1);
}

#[test]
fn an_item_that_is_named_twice_is_asked_once() {
    let mut world = World::new();
    let names = ["a.example", "p.a.example", "p.a.example", "a.example"].map(str::to_owned);
    world.run(|_, kind| match kind {
        "items" => Some(Ok(items(names.clone()))),
        _ => Some(Err(Condition::ServiceUnavailable)),
    });
    let asked: Vec<_> = world
        .asked
        .iter()
        .map(|(to, kind)| (to.as_str(), *kind))
        .collect();
    assert_eq!(
        asked,
        [
            ("a.example", "items"),
            ("a.example", "info"),
            ("p.a.example", "info")
        ]
    );
}

#[test]
fn what_does_not_answer_in_20_seconds_is_left() {
    let mut world = World::new();
    let found = world.run(|to, kind| match (to, kind) {
        ("a.example", "items") => Some(Ok(items([
            "p.a.example".to_owned(),
            "mute.a.example".to_owned(),
        ]))),
        ("p.a.example", "info") => Some(Ok(info("proxy", "bytestreams"))),
        _ => None,
    });
    assert!(found.is_empty());
    let deadline = world.relays.poll_timeout().unwrap();
    assert_eq!(deadline - world.now, Duration::from_secs(20));
    world
        .relays
        .handle_timeout(deadline - Duration::from_millis(1));
    assert_eq!(world.relays.poll_event(), None);
    world.relays.handle_timeout(deadline);
    assert_eq!(
        world.relays.poll_event(),
        Some(unusable("p.a.example", Unusable::Timeout))
    );
    assert_eq!(world.relays.poll_event(), Some(RelaysEvent::Over));
    assert_eq!(
        (world.relays.poll_event(), world.relays.poll_transmit()),
        (None, None)
    );
}

/// As Snikket has it; and the address of ejabberd's relay has a resource.
#[test]
fn relays_are_found_on_the_domain_itself_and_behind_it() {
    let mut world = World::new();
    let found = world.run(|to, kind| {
        Some(match (to, kind) {
            ("a.example", "items") => Ok(items(["p.a.example".to_owned()])),
            (_, "info") => Ok(info("proxy", "bytestreams")),
            ("a.example", _) => Ok(hosts(&["a.example"])),
            (to, _) => Ok(hosts(&[&format!("{to}/node@host")])),
        })
    });
    let found: Vec<String> = found
        .iter()
        .filter_map(|event| match event {
            RelaysEvent::Found(relay) => Some(relay.streamhost().jid.to_string()),
            RelaysEvent::Unusable { .. } | RelaysEvent::Over => None,
        })
        .collect();
    assert_eq!(found, ["a.example", "p.a.example/node@host"]);
}
