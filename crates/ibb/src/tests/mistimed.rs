//! The table of errors sent: every request, well or badly made, at every moment of a stream's life.

use xtls_stanza::{Condition, Content, Envelope, ErrorType};

use super::support::*;
use crate::{Config, OpenOptions, Window};

/// A moment of the stream's life.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// There is none of this sid.
    Nothing,
    /// The peer has asked, our owner has not answered.
    Asked,
    /// We have asked.
    Asking,
    Open,
    /// We close; our last chunk has no answer.
    Flushing,
    /// Our close has no answer.
    Closing,
    /// The peer has closed; our last chunk has no answer.
    PeerClosing,
    /// The peer has closed; we may still write.
    HalfClosed,
    /// The peer has closed; what came was not read.
    Unread,
    /// We have aborted; our close has no answer.
    Aborted,
}

use Moment::{
    Aborted, Asked, Asking, Closing, Flushing, HalfClosed, Nothing, Open, PeerClosing, Unread,
};

const MOMENTS: [Moment; 10] = [
    Nothing,
    Asked,
    Asking,
    Open,
    Flushing,
    Closing,
    PeerClosing,
    HalfClosed,
    Unread,
    Aborted,
];

/// Requests by name, as XML with `SID` for the sid. In all moments after the open chunk 0, `AAAA`, has come.
const REQUESTS: [(&str, &str, &str); 22] = [
    ("the next chunk", "set", "<data SID seq='1'>BBBB</data>"),
    ("an empty chunk", "set", "<data SID seq='1'/>"),
    (
        "the same chunk again",
        "set",
        "<data SID seq='0'>AAAA</data>",
    ),
    (
        "other bytes in its place",
        "set",
        "<data SID seq='0'>BBBB</data>",
    ),
    ("a chunk too far", "set", "<data SID seq='2'>BBBB</data>"),
    (
        "a chunk from long ago",
        "set",
        "<data SID seq='65535'>AAAA</data>",
    ),
    (
        "a chunk of 18 bytes",
        "set",
        "<data SID seq='1'>AAAAAAAAAAAAAAAAAAAAAAAA</data>",
    ),
    ("bad base64", "set", "<data SID seq='1'>AAA</data>"),
    (
        "a foreign character",
        "set",
        "<data SID seq='1'>AA*A</data>",
    ),
    ("a bad number", "set", "<data SID seq='+1'>AAAA</data>"),
    ("no number", "set", "<data SID>AAAA</data>"),
    ("a chunk of no sid", "set", "<data seq='1'>AAAA</data>"),
    ("a close", "set", "<close SID/>"),
    ("a close of no sid", "set", "<close/>"),
    ("another open", "set", "<open SID block-size='16'/>"),
    (
        "an open with too large a block",
        "set",
        "<open SID block-size='65535'/>",
    ),
    (
        "an open in messages",
        "set",
        "<open SID block-size='16' stanza='message'/>",
    ),
    ("a bad open", "set", "<open SID block-size='0'/>"),
    ("an open of no sid", "set", "<open block-size='16'/>"),
    ("an unknown element", "set", "<other SID/>"),
    (
        "an open as a question",
        "get",
        "<open SID block-size='16'/>",
    ),
    (
        "a chunk as a question",
        "get",
        "<data SID seq='1'>AAAA</data>",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Result,
    Error(Condition, ErrorType),
    /// Not now: when the owner has read, answered, or the tail is out.
    Later,
}

/// docs/PROTOCOL.md, written down a second time; and whether the stream ends with it, with our `<close/>`.
fn table(moment: Moment, request: &str) -> (Answer, bool) {
    use Answer::{Error, Later, Result};
    let unknown = Error(Condition::ItemNotFound, ErrorType::Cancel);
    let bad = Error(Condition::BadRequest, ErrorType::Cancel);
    let unexpected = Error(Condition::UnexpectedRequest, ErrorType::Cancel);
    let declined = Error(Condition::NotAcceptable, ErrorType::Cancel);
    let foreign = Error(Condition::FeatureNotImplemented, ErrorType::Cancel);
    let receiving = matches!(moment, Open | Flushing | Closing);
    // Where our close is under way already there is no second one.
    let closes = matches!(moment, Open | Flushing);
    match request {
        "the next chunk" if receiving => (Later, false),
        "an empty chunk" | "the same chunk again" if receiving => (Result, false),
        "other bytes in its place" | "a chunk too far" | "a chunk from long ago" if receiving => {
            (unexpected, closes)
        }
        "a chunk of 18 bytes"
        | "bad base64"
        | "a foreign character"
        | "a bad number"
        | "no number"
            if receiving =>
        {
            (bad, closes)
        }
        "the next chunk"
        | "an empty chunk"
        | "the same chunk again"
        | "other bytes in its place"
        | "a chunk too far"
        | "a chunk from long ago"
        | "a chunk of 18 bytes"
        | "bad base64"
        | "a foreign character"
        | "a bad number"
        | "no number" => (unknown, false),
        "a close" => match moment {
            Nothing => (unknown, false),
            Flushing => (Later, false),
            Asked | Asking | Open | Closing | PeerClosing | HalfClosed | Unread | Aborted => {
                (Result, false)
            }
        },
        "a chunk of no sid" | "a close of no sid" => (bad, false),
        "another open" if moment == Nothing => (Later, false),
        "an open with too large a block" if moment == Nothing => (
            Error(Condition::ResourceConstraint, ErrorType::Modify),
            false,
        ),
        "an open in messages" if moment == Nothing => (foreign, false),
        "another open" | "an open with too large a block" | "an open in messages" => {
            (declined, false)
        }
        "a bad open" | "an open of no sid" => {
            (Error(Condition::BadRequest, ErrorType::Modify), false)
        }
        "an unknown element" | "an open as a question" | "a chunk as a question" => {
            (foreign, false)
        }
        other => panic!("{other}"),
    }
}

/// Brings a stream to that moment; returns its sid.
fn at(moment: Moment) -> (Hand, String) {
    let half_close = seconds(if moment == HalfClosed { 30 } else { 0 });
    let config = Config::default()
        .max_block(block(4096))
        .half_close(half_close);
    let mut hand = Hand::new(config.window(Window::OneChunk));
    match moment {
        Nothing => return (hand, "s".into()),
        Asked => {
            hand.offer(open_of("s", 16));
            return (hand, "s".into());
        }
        Asking => {
            let id = hand
                .mux
                .open(hand.now, &address(ROMEO), OpenOptions::default())
                .unwrap();
            let sid = hand.mux.sid(id).unwrap().to_string();
            hand.answers();
            return (hand, sid);
        }
        Open | Flushing | Closing | PeerClosing | HalfClosed | Unread | Aborted => {}
    }
    let id = hand.offer(open_of("s", 16));
    hand.mux.stream(hand.now, id).accept(None).unwrap();
    hand.data(0, b"\0\0\0");
    if moment != Unread {
        hand.mux.stream(hand.now, id).read(99);
    }
    if matches!(moment, Flushing | PeerClosing) {
        hand.mux.stream(hand.now, id).write("tail".into()).unwrap();
    }
    hand.answers();
    match moment {
        Flushing | Closing => hand.mux.stream(hand.now, id).close(),
        PeerClosing | HalfClosed | Unread => drop(hand.close()),
        Aborted => hand.mux.stream(hand.now, id).abort(),
        Nothing | Asked | Asking | Open => {}
    }
    hand.answers();
    hand.events();
    (hand, "s".into())
}

#[test]
fn each_request_at_each_moment_is_answered_as_the_table_says() {
    let mut cells = 0;
    for moment in MOMENTS {
        for (name, kind, xml) in REQUESTS {
            let (mut hand, sid) = at(moment);
            let xml = xml.replacen(' ', " xmlns='http://jabber.org/protocol/ibb' ", 1);
            let xml = xml.replacen(
                "<close/>",
                "<close xmlns='http://jabber.org/protocol/ibb'/>",
                1,
            );
            let xml = xml.replace("SID", &format!("sid='{sid}'"));
            hand.read(&format!(
                "<iq from='{ROMEO}' to='{JULIET}' id='x' type='{kind}'>{xml}</iq>"
            ));
            let sent = hand.answers();
            let answers: Vec<&Envelope> = sent.iter().filter(|sent| sent.id == "x").collect();
            let answer = match answers[..] {
                [] => Answer::Later,
                [one] => match &one.content {
                    Content::Result(None) => Answer::Result,
                    Content::Error(error) => Answer::Error(error.condition, error.kind),
                    other => panic!("{other:?}"),
                },
                _ => panic!("{name} is answered more than once: {sent:?}"),
            };
            let closes = sent.iter().any(is_close);
            assert_eq!(
                (answer, closes),
                table(moment, name),
                "{name} at {moment:?}"
            );
            cells += 1;

            // Whatever came, the request has one answer in the end.
            let before = usize::from(answer != Answer::Later);
            assert_eq!(before + later(&mut hand), 1, "{name} at {moment:?}");
        }
    }
    assert_eq!(cells, 10 * 22);
}

/// Lets the owner read and the time pass; counts the answers that come with it.
fn later(hand: &mut Hand) -> usize {
    let mut answers = 0;
    for _ in 0..20 {
        for number in 1..=2 {
            let id = crate::StreamId(number);
            while hand.mux.stream(hand.now, id).read(99).is_some() {}
            hand.mux.stream(hand.now, id).close();
        }
        answers += hand.answers().iter().filter(|sent| sent.id == "x").count();
        let Some(next) = hand.mux.poll_timeout() else {
            break;
        };
        let wait = next.at.saturating_duration_since(hand.now);
        hand.pass(wait);
    }
    assert!(hand.mux.is_empty());
    answers
}
