//! The end that offers.

use std::time::{Duration, Instant};

use xtls_s5b::xtls_stanza::s5b::{Query, Sid};
use xtls_s5b::xtls_stanza::{
    Condition, Content, Element, Envelope, ErrorType, Payload, PayloadError, StanzaError,
};
use xtls_s5b::{Destination, OfferError, Request, RequestError, RequestEvent, Target, TargetEvent};

use crate::support::{RELAY, address, juliet, offer, payload, request, romeo, sid};

fn answered(answer: impl FnOnce(&Envelope) -> Envelope) -> RequestError {
    let now = Instant::now();
    let (mut request, first) = request(now);
    assert!(request.handle(
        now,
        &Envelope {
            from: Some(juliet()),
            ..answer(&first)
        }
    ));
    assert_eq!(
        (request.poll_timeout(), request.poll_transmit()),
        (None, None)
    );
    match request.poll_event() {
        Some(RequestEvent::Failed(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn error(condition: Condition) -> StanzaError {
    StanzaError::new(ErrorType::Cancel, condition)
}

/// Up to the activation.
fn activating(now: Instant) -> (Request, Envelope) {
    let (mut request, first) = request(now);
    let mut target = Target::read(&juliet(), &first).unwrap().unwrap();
    target.accept(now, |_| true);
    target.connected();
    let used = target.poll_transmit().unwrap();
    request.handle(
        now,
        &Envelope {
            from: Some(juliet()),
            ..used
        },
    );
    assert!(matches!(
        request.poll_event(),
        Some(RequestEvent::Connect { .. })
    ));
    request.connected(now);
    let activate = request.poll_transmit().unwrap();
    (request, activate)
}

#[test]
fn offers_of_nothing_and_of_too_much_are_refused() {
    let make = |direct, relays| Request::new(Instant::now(), "q", offer(direct, relays)).err();
    assert_eq!(make(false, 0), Some(OfferError::Empty));
    assert_eq!(make(true, 32), Some(OfferError::TooMany(33)));
    assert_eq!(make(true, 31), None);
}

#[test]
fn every_error_of_the_target_has_a_name() {
    for (condition, why) in [
        (Condition::NotAcceptable, RequestError::Refused),
        (Condition::ItemNotFound, RequestError::Unreachable),
        (Condition::RemoteServerNotFound, RequestError::Unreachable),
        (
            Condition::ServiceUnavailable,
            RequestError::Answered(Condition::ServiceUnavailable),
        ),
    ] {
        assert_eq!(answered(|first| first.error(error(condition))), why);
    }
}

#[test]
fn answers_that_are_none_are_refused() {
    let used = |sid: &str, jid: &str| {
        payload(&Query::Used {
            sid: Some(Sid::new(sid).unwrap()),
            jid: address(jid),
        })
    };
    let bare = Element::new("query", "http://jabber.org/protocol/bytestreams");
    let twice = bare
        .clone()
        .with_child(Element::new("streamhost-used", bare.ns.clone()));
    let missing = PayloadError::Missing {
        element: "streamhost-used",
        attribute: "jid",
    };
    for (answer, why) in [
        (None, RequestError::NoAnswer),
        (Some(Payload::Ping), RequestError::NoAnswer),
        (Some(Payload::Other(bare)), RequestError::NoAnswer),
        (
            Some(Payload::Other(twice)),
            RequestError::Malformed(missing),
        ),
        (Some(used("other", RELAY)), RequestError::NoAnswer),
        (
            Some(used("k3v9", "montague.example")),
            RequestError::NotOffered,
        ),
        (Some(used("k3v9", "evil.example")), RequestError::NotOffered),
        // Nobody listens here.
        (
            Some(used("k3v9", romeo().as_str())),
            RequestError::NotOffered,
        ),
    ] {
        assert_eq!(answered(|first| first.result(answer)), why);
    }
}

#[test]
fn nobody_answers_for_the_target_or_the_relay() {
    let now = Instant::now();
    let (mut one, first) = request(now);
    for from in [
        None,
        Some(romeo()),
        Some(address("juliet@capulet.example")),
        Some(address(RELAY)),
    ] {
        let answer = first.error(error(Condition::NotAcceptable));
        assert!(!one.handle(now, &Envelope { from, ..answer }));
    }
    let (mut one, activate) = activating(now);
    for from in [None, Some(juliet()), Some(address("montague.example"))] {
        assert!(!one.handle(
            now,
            &Envelope {
                from,
                ..activate.result(None)
            }
        ));
    }
    let id = "q-o".to_owned();
    let from = Some(address(RELAY));
    assert!(!one.handle(
        now,
        &Envelope {
            from,
            id,
            ..activate.result(None)
        }
    ));
    assert_eq!(one.poll_event(), None);
}

#[test]
fn a_relay_that_does_not_activate_is_named() {
    let now = Instant::now();
    for condition in [
        Condition::ItemNotFound,
        Condition::NotAllowed,
        Condition::ResourceConstraint,
        Condition::InternalServerError,
    ] {
        let (mut request, activate) = activating(now);
        let from = Some(address(RELAY));
        assert!(request.handle(
            now,
            &Envelope {
                from,
                ..activate.error(error(condition))
            }
        ));
        assert_eq!(
            request.poll_event(),
            Some(RequestEvent::Failed(RequestError::Activation(condition)))
        );
    }
}

#[test]
fn a_relay_that_only_the_target_reaches_ends_it() {
    let now = Instant::now();
    let (mut request, first) = request(now);
    request.failed();
    request.connected(now);
    assert_eq!(
        (request.poll_event(), request.poll_transmit()),
        (None, None),
        "it is not time for that"
    );
    let used = payload(&Query::Used {
        sid: None,
        jid: address(RELAY),
    });
    request.handle(
        now,
        &Envelope {
            from: Some(juliet()),
            ..first.result(Some(used))
        },
    );
    let _ = request.poll_event();
    request.failed();
    assert_eq!(
        request.poll_event(),
        Some(RequestEvent::Failed(RequestError::Relay))
    );
}

#[test]
fn every_step_has_an_end() {
    let now = Instant::now();
    let (mut request, _) = request(now);
    assert_eq!(request.poll_timeout(), Some(now + Duration::from_secs(20)));
    request.handle_timeout(now + Duration::from_secs(19));
    assert_eq!(request.poll_event(), None);
    request.handle_timeout(now + Duration::from_secs(20));
    assert_eq!(
        request.poll_event(),
        Some(RequestEvent::Failed(RequestError::Timeout))
    );

    let (mut request, _) = activating(now);
    assert_eq!(request.poll_timeout(), Some(now + Duration::from_secs(10)));
    request.handle_timeout(now + Duration::from_secs(10));
    assert_eq!(
        request.poll_event(),
        Some(RequestEvent::Failed(RequestError::Timeout))
    );
}

#[test]
fn through_a_relay_it_is_activated_at_exactly_the_address_that_was_announced() {
    let now = Instant::now();
    let (mut request, activate) = activating(now);
    assert_eq!(activate.to, Some(address(RELAY)));
    let query = Query::Activate {
        sid: sid(),
        target: juliet(),
    };
    assert_eq!(activate.content, Content::Set(payload(&query)));
    assert!(request.handle(
        now,
        &Envelope {
            from: Some(address(RELAY)),
            ..activate.result(None)
        }
    ));
    assert_eq!(
        request.poll_event(),
        Some(RequestEvent::Established { direct: false })
    );
    assert_eq!(
        request.destination(),
        Destination::new(&sid(), &romeo(), &juliet())
    );
}

#[test]
fn without_a_relay_there_is_nothing_to_activate() {
    let now = Instant::now();
    let mut request = Request::new(now, "q", offer(true, 1)).unwrap();
    let first = request.poll_transmit().unwrap();
    let mut target = Target::read(
        &juliet(),
        &Envelope {
            from: Some(romeo()),
            ..first
        },
    )
    .unwrap()
    .unwrap();
    target.accept(now, |host| host.jid == romeo());
    target.connected();
    assert!(matches!(
        target.poll_event(),
        Some(TargetEvent::Established)
    ));
    let used = target.poll_transmit().unwrap();
    assert!(request.handle(
        now,
        &Envelope {
            from: Some(juliet()),
            ..used
        }
    ));
    assert_eq!(
        request.poll_event(),
        Some(RequestEvent::Established { direct: true })
    );
    assert_eq!(request.poll_transmit(), None);
}
