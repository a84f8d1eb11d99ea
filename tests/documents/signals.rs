//! The table of signals that are refused, row by row, against a router.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use xtls_client::router::PathConfig;
use xtls_ibb::Payload;
use xtls_stanza::path::{MAX_SIGNAL, NS, SIGNAL_STEP, Sealed, Signal, Takes};
use xtls_stanza::{Condition, Content, Element, Envelope, ErrorType, ibb};
use xtls_tests::keys::{self, ROMEO};
use xtls_tests::raw::Duel;
use xtls_tls::trust::Policy;

use crate::markdown::table;
use crate::meeting::{Meeting, ask, friends, hints};

const PROTOCOL: &str = "docs/PROTOCOL.md";

/// A request in which nothing can be opened.
fn forged(sid: &ibb::Sid) -> Element {
    let record = Bytes::from_static(&[7; 300]);
    let (sid, n) = (sid.clone(), 0);
    Sealed { sid, n, record }.to_element()
}

/// A signal of a tunnel that is there, without one of its parts.
fn unreadable(sid: &ibb::Sid) -> Vec<Element> {
    let path = || Element::new("path", NS);
    vec![
        path().with_attr("n", "0").with_text("AAAA"),
        path().with_attr("sid", sid.as_str()).with_text("AAAA"),
        path()
            .with_attr("sid", sid.as_str())
            .with_attr("n", "-1")
            .with_text("AAAA"),
        path()
            .with_attr("sid", sid.as_str())
            .with_attr("n", "0")
            .with_text("A*"),
    ]
}

/// Answers to signals that a row is about.
type Case = fn() -> Vec<Content>;

/// The rows of the table of signals, and how to come to each.
const SIGNALS: [(&str, Case); 6] = [
    (
        "for no such tunnel with this peer, or not established",
        || {
            let mut other = Meeting::new(Takes::Own).duel;
            let nobody = ibb::Sid::new("nobody").expect("a sid");
            // A key that waits for its verdict.
            let shown = keys::identity(ROMEO, 1);
            let mut asking = Duel::with(None, shown, Policy::Ask, |config| {
                config.paths(PathConfig::new(Takes::Own))
            });
            asking.open();
            assert!(!asking.established());
            let young = forged(&asking.sid());
            vec![
                ask(&mut other, "t0", forged(&nobody)),
                ask(&mut asking, "t0", young),
            ]
        },
    ),
    (
        "where paths are switched off, or the peer is not bound",
        || {
            let mut off = Meeting::of(friends(None)).duel;
            let mut unbound = friends(Some(Takes::Own));
            unbound.bound = false;
            unbound.open();
            assert!(unbound.established());
            [&mut off, &mut unbound]
                .map(|duel| {
                    let signal = forged(&duel.sid());
                    ask(duel, "t0", signal)
                })
                .into()
        },
    ),
    ("without a readable `sid`, `n` or record", || {
        let mut meeting = Meeting::new(Takes::Own);
        let elements = unreadable(&meeting.duel.sid());
        let answers = (0..).zip(elements).map(|(number, element): (u32, _)| {
            ask(&mut meeting.duel, &format!("t{number}"), element)
        });
        answers.collect()
    }),
    ("that does not open, or says nothing readable", || {
        let mut meeting = Meeting::new(Takes::Own);
        let closed = forged(&meeting.duel.sid());
        let empty = meeting.record(&[b' '; SIGNAL_STEP]).to_element();
        [("t0", closed), ("t1", empty)]
            .map(|(id, element)| ask(&mut meeting.duel, id, element))
            .into()
    }),
    ("with an old `n` and other bytes", || {
        let mut meeting = Meeting::new(Takes::Own);
        let held = meeting.record(&hints(1, Vec::new()).write());
        meeting.signal(&hints(1, Vec::new()));
        let mut taken = held.clone();
        taken.n = 1;
        [("t0", held), ("t1", taken)]
            .map(|(id, sealed)| ask(&mut meeting.duel, id, sealed.to_element()))
            .into()
    }),
    ("too long, or more than 60 a minute", || {
        let mut meeting = Meeting::new(Takes::Own);
        let long = meeting.record(&[b' '; MAX_SIGNAL + 1]).to_element();
        let mut answers = vec![ask(&mut meeting.duel, "t0", long)];
        // With the long one it is the sixty-first.
        for _ in 0..59 {
            meeting.signal(&Signal::Over { attempt: 0 });
        }
        let next = meeting.record(&Signal::Over { attempt: 0 }.write());
        answers.push(ask(&mut meeting.duel, "t1", next.to_element()));
        meeting.duel.wait(Duration::from_secs(60));
        meeting.signal(&Signal::Over { attempt: 0 });
        answers
    }),
];

#[test]
fn each_signal_that_we_refuse_is_refused_as_the_table_says() {
    let rows = table(PROTOCOL, &["a signal", "condition", "type"]);
    let told: BTreeSet<_> = rows.iter().map(|row| row[0].as_str()).collect();
    let tested: BTreeSet<_> = SIGNALS.iter().map(|(row, _)| *row).collect();
    assert_eq!(told, tested, "the rows of the table, and those of the test");
    assert_eq!((rows.len(), SIGNALS.len()), (told.len(), tested.len()));
    for row in &rows {
        let case = SIGNALS.iter().find(|(name, _)| *name == row[0]);
        for answer in case.expect("compared above").1() {
            let Content::Error(error) = answer else {
                panic!("{row:?} is granted")
            };
            assert_eq!(format!("`{}`", error.condition.name()), row[1], "{row:?}");
            let kind = ErrorType::from_name(&row[2]).expect("a type");
            assert_eq!(error.kind, kind, "{row:?}");
        }
    }
}

#[test]
fn a_stranger_is_told_nothing_by_any_signal() {
    for paths in [None, Some(Takes::Own)] {
        let mut duel = friends(paths);
        duel.open();
        let sid = duel.sid();
        let elements = unreadable(&sid).into_iter().chain([forged(&sid)]);
        for (number, element) in elements.enumerate() {
            let id = format!("m{number}");
            let request = Envelope {
                from: None,
                to: None,
                id: id.clone(),
                content: Content::Set(Payload::Other(element)),
            };
            duel.send_as("mallory@evil.example/den", request);
            let answer = duel.answers.iter().find(|sent| sent.id == id);
            let Some(Content::Error(error)) = answer.map(|answer| &answer.content) else {
                panic!("{answer:?}")
            };
            assert_eq!(error.condition, Condition::ServiceUnavailable);
        }
    }
}
