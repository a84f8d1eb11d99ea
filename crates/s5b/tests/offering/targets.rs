//! The end that is offered something.

use std::time::{Duration, Instant};

use xtls_s5b::xtls_stanza::s5b::Query;
use xtls_s5b::xtls_stanza::{Condition, Content, Element, Envelope, Payload};
use xtls_s5b::{Request, Target, TargetError, TargetEvent};

use crate::support::{RELAY, juliet, offer, payload, request, romeo, sid};

fn refused(content: Content) -> Condition {
    let (_, first) = request(Instant::now());
    let answer = Target::read(&juliet(), &Envelope { content, ..first })
        .unwrap()
        .unwrap_err();
    assert_eq!(answer.to, Some(romeo()));
    match answer.content {
        Content::Error(error) => error.condition,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_offer_is_answered_with_an_error() {
    let empty = Query::Hosts(Vec::new());
    assert_eq!(
        refused(Content::Get(payload(&empty))),
        Condition::ServiceUnavailable
    );
    let offer = Query::Offer {
        sid: sid(),
        hosts: Vec::new(),
    };
    assert_eq!(
        refused(Content::Get(payload(&offer))),
        Condition::ServiceUnavailable
    );
    let activate = Query::Activate {
        sid: sid(),
        target: romeo(),
    };
    assert_eq!(
        refused(Content::Set(payload(&activate))),
        Condition::ServiceUnavailable
    );
    let udp = offer.to_element().with_attr("mode", "udp");
    assert_eq!(
        refused(Content::Set(Payload::Other(udp))),
        Condition::NotAcceptable
    );
    let long = offer.to_element().with_attr("sid", "s".repeat(129));
    assert_eq!(
        refused(Content::Set(Payload::Other(long))),
        Condition::BadRequest
    );
}

#[test]
fn what_has_another_namespace_is_left_to_others() {
    let (_, first) = request(Instant::now());
    for content in [
        Content::Set(Payload::Ping),
        Content::Result(None),
        Content::Set(Payload::Other(Element::new("query", "u"))),
    ] {
        assert!(
            Target::read(
                &juliet(),
                &Envelope {
                    content,
                    ..first.clone()
                }
            )
            .is_none()
        );
    }
}

/// What the target answers, and what it says to its owner.
fn target(act: impl FnOnce(&mut Target, Instant)) -> (Option<Condition>, Option<TargetEvent>) {
    let now = Instant::now();
    let (_, first) = request(now);
    let mut target = Target::read(&juliet(), &first).unwrap().unwrap();
    assert_eq!(
        (target.peer(), target.sid(), target.hosts().count()),
        (&romeo(), &sid(), 1)
    );
    act(&mut target, now);
    let condition = match target.poll_transmit().map(|answer| answer.content) {
        Some(Content::Error(error)) => Some(error.condition),
        _ => None,
    };
    (condition, target.poll_event())
}

#[test]
fn an_owner_who_does_not_want_it_refuses_it() {
    assert_eq!(
        target(|target, _| target.refuse()),
        (Some(Condition::NotAcceptable), None)
    );
}

#[test]
fn a_target_that_reaches_nothing_says_so() {
    let end = (
        Some(Condition::ItemNotFound),
        Some(TargetEvent::Failed(TargetError::Unreachable)),
    );
    let unreachable = target(|target, now| {
        target.accept(now, |_| true);
        target.failed();
    });
    assert_eq!(unreachable, end);
    // Nothing is connected to that the owner does not allow.
    assert_eq!(target(|target, now| target.accept(now, |_| false)), end);
    let late = target(|target, now| {
        target.accept(now, |_| true);
        target.handle_timeout(now + Duration::from_secs(20));
    });
    assert_eq!(
        late,
        (
            Some(Condition::ItemNotFound),
            Some(TargetEvent::Failed(TargetError::Timeout))
        )
    );
}

#[test]
fn streamhosts_are_tried_in_their_order() {
    let now = Instant::now();
    let mut request = Request::new(now, "q", offer(true, 1)).unwrap();
    let first = request.poll_transmit().unwrap();
    let first = Envelope {
        from: Some(romeo()),
        ..first
    };
    let mut target = Target::read(&juliet(), &first).unwrap().unwrap();
    target.accept(now, |_| true);
    let mut tried = Vec::new();
    while let Some(TargetEvent::Connect { host, destination }) = target.poll_event() {
        assert_eq!(destination, request.destination());
        tried.push((host.jid.to_string(), host.port.get()));
        target.failed();
    }
    assert_eq!(
        tried,
        [(romeo().to_string(), 5086), (RELAY.to_owned(), 5000)]
    );
}
