use std::time::{Duration, Instant};

use xtls_stanza::disco::{Identity, Info, Item, Items};
use xtls_stanza::s5b::{Host, Query, Sid, Streamhost};
use xtls_stanza::{Address, Condition, Content, Envelope, ErrorType, Payload, StanzaError};

use super::{NotActivated, Relays, RelaysEvent};

fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

fn own() -> Address {
    address("romeo@a.example/orchard")
}

fn sid(text: &str) -> Sid {
    Sid::new(text).unwrap()
}

fn relay(jid: &str) -> Streamhost {
    Streamhost {
        jid: address(jid),
        host: Host::new("proxy.a.example").unwrap(),
        port: 5000.try_into().unwrap(),
    }
}

/// The answer of the one who was asked.
fn answer(question: &Envelope, payload: Option<Payload>) -> Envelope {
    Envelope {
        from: question.to.clone(),
        ..question.result(payload)
    }
}

fn refusal(question: &Envelope, condition: Condition) -> Envelope {
    Envelope {
        from: question.to.clone(),
        ..question.error(StanzaError::new(ErrorType::Cancel, condition))
    }
}

/// What a server with one relay answers.
fn serve(question: &Envelope) -> Envelope {
    let to = question.to.as_ref().unwrap().as_str();
    let payload = match (&question.content, to) {
        (Content::Get(Payload::DiscoQuery(_)), to) => {
            let (category, type_) = match to {
                "proxy.a.example" => ("proxy", "bytestreams"),
                _ => ("server", "im"),
            };
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
        (_, "proxy.a.example") => {
            Payload::Other(Query::Hosts(vec![relay("proxy.a.example")]).to_element())
        }
        _ => {
            let items = vec![Item {
                jid: address("proxy.a.example"),
                node: None,
                name: None,
            }];
            Payload::Other(Items { node: None, items }.to_element())
        }
    };
    answer(question, Some(payload))
}

/// Relays, at a server that has answered all questions so far.
fn found(now: Instant) -> Relays {
    let mut relays = Relays::default();
    relays.want(now, &own());
    while let Some(question) = relays.poll_transmit() {
        assert!(relays.handle(now, &serve(&question)));
    }
    assert_eq!(relays.poll_event(), Some(RelaysEvent::Found));
    relays
}

/// Asks the relay to activate a stream.
fn activate(relays: &mut Relays, now: Instant, name: &str) -> Envelope {
    let target = address("juliet@b.example/balcony");
    relays.activate(now, address("proxy.a.example"), sid(name), target);
    relays.poll_transmit().unwrap()
}

fn activated(name: &str, result: Result<(), NotActivated>) -> Option<RelaysEvent> {
    let sid = sid(name);
    Some(RelaysEvent::Activated { sid, result })
}

#[test]
fn nothing_is_asked_before_somebody_wants_relays() {
    let mut relays = Relays::default();
    assert_eq!(relays.poll_transmit(), None);
    assert_eq!(relays.poll_timeout(), None);
    assert_eq!(relays.found(Instant::now()), None);
}

#[test]
fn what_was_found_is_kept_and_not_asked_again() {
    let now = Instant::now();
    let mut relays = found(now);
    assert_eq!(relays.found(now), Some(vec![relay("proxy.a.example")]));
    relays.want(now, &own());
    assert_eq!(relays.poll_transmit(), None);
    assert_eq!(relays.poll_event(), None);
    assert_eq!(relays.poll_timeout(), None);
}

#[test]
fn a_server_that_does_not_answer_has_no_relay_after_twenty_seconds() {
    let now = Instant::now();
    let mut relays = Relays::default();
    relays.want(now, &own());
    while relays.poll_transmit().is_some() {}
    let deadline = now + Duration::from_secs(20);
    assert_eq!(relays.poll_timeout(), Some(deadline));
    relays.handle_timeout(deadline - Duration::from_millis(1));
    assert_eq!(relays.found(now), None);
    relays.handle_timeout(deadline);
    assert_eq!(relays.poll_event(), Some(RelaysEvent::Found));
    assert_eq!(relays.found(now), Some(Vec::new()));
}

#[test]
fn a_refused_activation_is_one() {
    let now = Instant::now();
    let mut relays = found(now);
    for condition in [
        Condition::ItemNotFound,
        Condition::NotAllowed,
        Condition::NotAuthorized,
    ] {
        let question = activate(&mut relays, now, "s");
        assert!(relays.handle(now, &refusal(&question, condition)));
        let expected = activated("s", Err(NotActivated::Refused));
        assert_eq!(relays.poll_event(), expected);
        assert_eq!(relays.found(now).unwrap().len(), 1);
    }
}

#[test]
fn only_the_relay_that_was_asked_answers_and_only_once() {
    let now = Instant::now();
    let mut relays = found(now);
    let question = activate(&mut relays, now, "s");
    let right = answer(&question, None);
    for from in [None, Some(own()), Some(address("proxy.a.example/other"))] {
        let forged = Envelope {
            from,
            ..right.clone()
        };
        assert!(!relays.handle(now, &forged));
    }
    assert!(!relays.handle(now, &question));
    let other = Envelope {
        id: "activate-9".to_owned(),
        ..right.clone()
    };
    assert!(!relays.handle(now, &other));
    assert_eq!(relays.poll_event(), None);
    assert!(relays.handle(now, &right));
    assert_eq!(relays.poll_event(), activated("s", Ok(())));
    assert!(!relays.handle(now, &right));
    assert_eq!(relays.poll_event(), None);
}

#[test]
fn an_activation_has_ten_seconds() {
    let now = Instant::now();
    let mut relays = found(now);
    let question = activate(&mut relays, now, "s");
    let deadline = now + Duration::from_secs(10);
    assert_eq!(relays.poll_timeout(), Some(deadline));
    relays.handle_timeout(deadline - Duration::from_millis(1));
    assert_eq!(relays.poll_event(), None);
    relays.handle_timeout(deadline);
    let expected = activated("s", Err(NotActivated::TimedOut));
    assert_eq!(relays.poll_event(), expected);
    assert_eq!(relays.poll_timeout(), None);
    assert!(!relays.handle(deadline, &answer(&question, None)));
}

#[test]
fn a_relay_at_its_limit_is_left_alone_for_ten_minutes_whatever_is_bound() {
    let now = Instant::now();
    let mut relays = found(now);
    let question = activate(&mut relays, now, "s");
    relays.handle(now, &refusal(&question, Condition::ResourceConstraint));
    let limited = |name| activated(name, Err(NotActivated::Limited));
    assert_eq!(relays.poll_event(), limited("s"));
    assert_eq!(relays.found(now), Some(Vec::new()));

    relays.rebind();
    let later = now + Duration::from_secs(600) - Duration::from_millis(1);
    let target = address("juliet@b.example/balcony");
    relays.activate(later, address("proxy.a.example"), sid("t"), target);
    assert_eq!(relays.poll_transmit(), None);
    assert_eq!(relays.poll_event(), limited("t"));

    let over = now + Duration::from_secs(600);
    let question = activate(&mut relays, over, "u");
    relays.handle(over, &answer(&question, None));
    assert_eq!(relays.poll_event(), activated("u", Ok(())));
}

#[test]
fn another_address_begins_anew() {
    let now = Instant::now();
    let mut relays = found(now);
    let question = activate(&mut relays, now, "s");
    relays.rebind();
    assert!(!relays.handle(now, &answer(&question, None)));
    assert_eq!(relays.found(now), None);
    assert_eq!(relays.poll_timeout(), None);
    assert_eq!(relays.poll_event(), None);
    relays.want(now, &own());
    assert!(relays.poll_transmit().is_some());
    let again = activate(&mut relays, now, "s");
    assert_ne!(again.id, question.id);
}
