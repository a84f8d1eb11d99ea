//! The table of errors received, each cell of it: 22 conditions × 7 types × {open, chunk, close}, read from XML as it comes.

use std::collections::BTreeMap;

use bytes::Bytes;
use xtls_stanza::{Condition, Content, Envelope, ErrorType, Payload};

use super::answers::writing;
use super::support::*;
use crate::{By, Close, Config, OpenOptions, Refusal, Why};

/// As they stand in the attribute; RFC 6120 §8.3.2 has the first five. `None`: no attribute.
const TYPES: [Option<&str>; 7] = [
    Some("cancel"),
    Some("continue"),
    Some("modify"),
    Some("auth"),
    Some("wait"),
    None,
    Some("later"),
];

/// What an error does to the stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// The open has failed, and means this.
    Refused(Refusal),
    /// Half the block is offered, under a new sid.
    Halved,
    /// The same chunk goes again after a rest.
    Again,
    /// The stream ends with a `<close/>`.
    ClosedAloud,
    /// The stream ends, and the peer knows.
    ClosedSilently,
    /// Closed, as after any answer.
    Done,
}

/// docs/PROTOCOL.md, written down a second time.
fn table(request: &str, condition: &str, kind: Option<&str>) -> Effect {
    use Refusal::{Conflict, Declined, Unreachable, Unsupported};
    match request {
        "open" => match condition {
            "resource-constraint" => Effect::Halved,
            "service-unavailable"
            | "feature-not-implemented"
            | "bad-request"
            | "item-not-found"
            | "undefined-condition"
            | "jid-malformed"
            | "unexpected-request" => Effect::Refused(Unsupported),
            "not-acceptable"
            | "forbidden"
            | "not-allowed"
            | "not-authorized"
            | "subscription-required"
            | "registration-required"
            | "gone"
            | "redirect" => Effect::Refused(Declined),
            "conflict" => Effect::Refused(Conflict),
            "recipient-unavailable"
            | "remote-server-not-found"
            | "remote-server-timeout"
            | "policy-violation"
            | "internal-server-error" => Effect::Refused(Unreachable),
            other => panic!("{other}"),
        },
        "data" => {
            // RFC 6120 §8.3.3 names `wait` first for these; without a known type they mean it.
            let wait = [
                "recipient-unavailable",
                "remote-server-timeout",
                "resource-constraint",
            ];
            match (condition, kind) {
                ("item-not-found", _) => Effect::ClosedSilently,
                ("bad-request" | "unexpected-request", _) => Effect::ClosedAloud,
                (_, Some("wait")) => Effect::Again,
                (condition, None | Some("later")) if wait.contains(&condition) => Effect::Again,
                _ => Effect::ClosedAloud,
            }
        }
        "close" => Effect::Done,
        other => panic!("{other}"),
    }
}

/// The error as the peer would send it.
fn error(request: &Envelope, condition: &str, kind: Option<&str>) -> Envelope {
    let id = &request.id;
    let kind = kind.map_or(String::new(), |kind| format!(" type='{kind}'"));
    let xml = format!(
        "<iq from='{ROMEO}' to='{JULIET}' id='{id}' type='error'><error{kind}>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    );
    Envelope::read(&Bytes::from(xml)).unwrap()
}

fn on_open(condition: &str, kind: Option<&str>) -> Effect {
    let mut hand = Hand::new(Config::default());
    let id = hand
        .mux
        .open(hand.now, &address(ROMEO), OpenOptions::default())
        .unwrap();
    let open = hand.one();
    let first = hand.mux.sid(id).cloned();
    let answer = error(&open, condition, kind);
    assert_eq!(hand.mux.handle(hand.now, answer), None);
    let sent = hand.answers();
    match (hand.closed(), &sent[..]) {
        (None, [again]) => {
            let Content::Set(Payload::Open(open)) = &again.content else {
                panic!("{again:?}")
            };
            assert_eq!(open.block_size.get(), 2048);
            assert_ne!(Some(&open.sid), first.as_ref());
            Effect::Halved
        }
        (Some(close), []) => {
            let Why::Refused { refusal, error } = close.why else {
                panic!("{close}")
            };
            assert_eq!((close.by, error.condition.name()), (By::Peer, condition));
            assert_eq!(hand.mux.poll_timeout(), None);
            Effect::Refused(refusal)
        }
        other => panic!("{other:?}"),
    }
}

fn on_data(condition: &str, kind: Option<&str>) -> Effect {
    let (mut hand, id, chunks) = writing(b"abcd", Config::default());
    let answer = error(&chunks[0], condition, kind);
    assert_eq!(hand.mux.handle(hand.now, answer), None);
    let sent = hand.answers();
    let Some(close) = hand.closed() else {
        assert!(sent.is_empty());
        hand.pass(seconds(1));
        let again = hand.one();
        assert_eq!(data_in(&again), data_in(&chunks[0]));
        assert_ne!(again.id, chunks[0].id);
        return Effect::Again;
    };
    assert!(
        matches!(
            close,
            Close {
                by: By::Peer,
                why: Why::Rejected(_)
            }
        ),
        "{close}"
    );
    assert_eq!(hand.mux.room(id), 0);
    match &sent[..] {
        [] => Effect::ClosedSilently,
        [last] if is_close(last) => Effect::ClosedAloud,
        other => panic!("{other:?}"),
    }
}

fn on_close(condition: &str, kind: Option<&str>) -> Effect {
    let (mut hand, id, chunks) = writing(b"abcd", Config::default());
    hand.answer(&chunks[0], Content::Result(None));
    hand.mux.stream(hand.now, id).close();
    let close = hand.one();
    let answer = error(&close, condition, kind);
    assert_eq!(hand.mux.handle(hand.now, answer), None);
    let (by, why) = (By::Us, Why::Done);
    assert_eq!(hand.closed(), Some(Close { by, why }));
    assert!(hand.answers().is_empty() && hand.mux.poll_timeout().is_none());
    Effect::Done
}

#[test]
fn each_of_the_22_conditions_in_each_of_7_types_does_what_the_table_says() {
    let mut cells = 0;
    let mut counts: BTreeMap<(&str, Effect), u32> = BTreeMap::new();
    for condition in Condition::ALL.map(Condition::name) {
        for kind in TYPES {
            for (request, effect) in [
                ("open", on_open(condition, kind)),
                ("data", on_data(condition, kind)),
                ("close", on_close(condition, kind)),
            ] {
                let expected = table(request, condition, kind);
                assert_eq!(
                    effect, expected,
                    "{condition} {kind:?} in answer to {request}"
                );
                *counts.entry((request, effect)).or_default() += 1;
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 22 * 7 * 3);
    // No effect is without a cell.
    assert_eq!(counts.len(), 9, "{counts:?}");
}

#[test]
fn an_error_without_a_condition_or_without_an_error_ends_the_stream() {
    for inside in [
        "",
        "<error/>",
        "<error type='cancel'/>",
        "<error code='0'/>",
    ] {
        let (mut hand, _, chunks) = writing(b"abcd", Config::default());
        let id = &chunks[0].id;
        hand.read(&format!(
            "<iq from='{ROMEO}' to='{JULIET}' id='{id}' type='error'>{inside}</iq>"
        ));
        let Some(Close {
            why: Why::Rejected(error),
            ..
        }) = hand.closed()
        else {
            panic!("{inside}")
        };
        assert_eq!(error.condition, Condition::UndefinedCondition);
        assert_ne!(error.kind, ErrorType::Wait);
        assert!(is_close(&hand.one()));
    }
}
