//! Tests of sealed signals, and of what is inside.

mod laws;

use std::num::NonZeroU16;

use super::*;
use crate::ReadError;
use crate::address::Address;
use crate::s5b;

/// A plaintext around this.
fn filled(document: &str) -> Vec<u8> {
    let mut plain = document.as_bytes().to_vec();
    plain.resize(plain.len().max(1).next_multiple_of(SIGNAL_STEP), b' ');
    plain
}

fn read(document: &str) -> Result<Signal, SignalError> {
    Signal::read(&filled(document))
}

fn hints(candidates: &str) -> Result<Signal, SignalError> {
    read(&format!(
        "<hints xmlns='{NS}' attempt='1' why='faster' takes='own'>{candidates}</hints>"
    ))
}

fn sealed(attributes: &str, text: &str) -> Result<Sealed, PayloadError> {
    let document = format!("<path xmlns='{NS}' {attributes}>{text}</path>");
    Sealed::read(&Element::read(document.as_bytes(), "jabber:client").unwrap())
}

fn missing<T>(element: &'static str, attribute: &'static str) -> Result<T, SignalError> {
    Err(PayloadError::Missing { element, attribute }.into())
}

fn wrong<T>(element: &'static str, attr: &'static str) -> Result<T, SignalError> {
    Err(attribute(element, attr).into())
}

fn cid(text: &str) -> Cid {
    Cid::new(text).unwrap()
}

fn relay(cid: Cid, host: &str) -> Candidate {
    let kind = CandidateKind::Relay {
        jid: Address::new("proxy.montague.example").unwrap(),
        host: s5b::Host::new(host).unwrap(),
        port: NonZeroU16::new(5000).unwrap(),
        sid: s5b::Sid::new("k3v9x2c7q1m4").unwrap(),
    };
    let priority = kind.priority();
    Candidate {
        cid,
        kind,
        priority,
    }
}

const OVER: &str = "<over xmlns='urn:xmpp:tmp:xtls#path' attempt='1'/>";
const STREAM: &str = "<candidate cid='b2' kind='stream' sid='t8h2w6n4z0'/>";

#[test]
fn lengths_that_no_signal_has_are_refused() {
    for len in [0, 1, 255, 257, 4095, 4097, 4352] {
        let mut plain = OVER.as_bytes().to_vec();
        plain.resize(len, b' ');
        assert_eq!(Signal::read(&plain), Err(SignalError::Length { len }));
    }
    for len in [256, 4096] {
        let mut plain = OVER.as_bytes().to_vec();
        plain.resize(len, b' ');
        assert_eq!(Signal::read(&plain), Ok(Signal::Over { attempt: 1 }));
    }
}

#[test]
fn what_is_not_one_element_is_refused() {
    for document in [
        "",
        "over",
        "<over",
        " <over xmlns='urn:xmpp:tmp:xtls#path' attempt='1'/>",
        "<over xmlns='urn:xmpp:tmp:xtls#path' attempt='1'/>.",
        "<over xmlns='urn:xmpp:tmp:xtls#path' attempt='1'/>\0",
        "<over xmlns='urn:xmpp:tmp:xtls#path' attempt='1'/><over xmlns='urn:xmpp:tmp:xtls#path' attempt='1'/>",
        "<!--x--><over xmlns='urn:xmpp:tmp:xtls#path' attempt='1'/>",
        "<?xml version='1.0'?><over xmlns='urn:xmpp:tmp:xtls#path' attempt='1'/>",
    ] {
        let read = read(document);
        assert!(matches!(read, Err(SignalError::Xml(_))), "{document:?}");
    }
}

#[test]
fn another_element_is_refused() {
    for document in [
        "<over xmlns='jabber:client' attempt='1'/>",
        "<over attempt='1'/>",
        "<path xmlns='urn:xmpp:tmp:xtls#path' sid='s' n='0'/>",
        "<over xmlns='urn:xmpp:tmp:xtls' attempt='1'/>",
    ] {
        let unknown = Err(PayloadError::Unknown.into());
        assert_eq!(read(document), unknown, "{document}");
    }
    let child = "<candidates cid='r1'/>";
    assert_eq!(hints(child), Err(PayloadError::Unknown.into()));
}

#[test]
fn text_is_refused_wherever_it_stands() {
    let inside = |name| Err(PayloadError::Text { element: name }.into());
    assert_eq!(hints("a"), inside("hints"));
    assert_eq!(hints(" "), inside("hints"));
    assert_eq!(hints(&format!("{STREAM}&#32;")), inside("hints"));
    let text = STREAM.replace("/>", ">x</candidate>");
    assert_eq!(hints(&text), inside("candidate"));
    for name in ["joined", "failed", "over"] {
        let document =
            format!("<{name} xmlns='{NS}' attempt='1' cid='a' because='socks'>x</{name}>");
        assert_eq!(read(&document), inside(name), "{name}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let of = |rest: &str| read(&format!("<{rest} xmlns='{NS}'/>"));
    assert_eq!(
        of("hints why='faster' takes='own'"),
        missing("hints", "attempt")
    );
    assert_eq!(of("hints attempt='1' takes='own'"), missing("hints", "why"));
    assert_eq!(
        of("hints attempt='1' why='lost'"),
        missing("hints", "takes")
    );
    assert_eq!(of("joined cid='a'"), missing("joined", "attempt"));
    assert_eq!(of("joined attempt='1'"), missing("joined", "cid"));
    assert_eq!(
        of("failed cid='a' because='policy'"),
        missing("failed", "attempt")
    );
    assert_eq!(
        of("failed attempt='1' because='policy'"),
        missing("failed", "cid")
    );
    assert_eq!(
        of("failed attempt='1' cid='a'"),
        missing("failed", "because")
    );
    assert_eq!(of("over"), missing("over", "attempt"));
    for (candidate, attribute) in [
        ("kind='stream' sid='s'", "cid"),
        ("cid='a'", "kind"),
        ("cid='a' kind='stream'", "sid"),
        ("cid='a' kind='direct' port='1'", "host"),
        ("cid='a' kind='direct' host='h'", "port"),
        ("cid='a' kind='relay' host='h' port='1' sid='s'", "jid"),
        (
            "cid='a' kind='relay' jid='a.example' port='1' sid='s'",
            "host",
        ),
        (
            "cid='a' kind='relay' jid='a.example' host='h' sid='s'",
            "port",
        ),
        (
            "cid='a' kind='relay' jid='a.example' host='h' port='1'",
            "sid",
        ),
    ] {
        let read = hints(&format!("<candidate {candidate}/>"));
        assert_eq!(read, missing("candidate", attribute), "{candidate}");
    }
}

#[test]
fn attributes_out_of_range_are_refused() {
    let numbers = [
        "",
        "-1",
        "+1",
        " 1",
        "0x1",
        "18446744073709551616",
        "000000000000000000001",
    ];
    for attempt in numbers {
        let document = format!("<over xmlns='{NS}' attempt='{attempt}'/>");
        assert_eq!(read(&document), wrong("over", "attempt"), "{attempt:?}");
    }
    let of = |rest: &str| read(&format!("<{rest} xmlns='{NS}'/>"));
    for word in ["", "Faster", "direct"] {
        let read = of(&format!("hints attempt='1' why='{word}' takes='own'"));
        assert_eq!(read, wrong("hints", "why"), "{word:?}");
    }
    for word in ["", "inband", "OWN", "all"] {
        let read = of(&format!("hints attempt='1' why='lost' takes='{word}'"));
        assert_eq!(read, wrong("hints", "takes"), "{word:?}");
    }
    for word in ["", "because", "Timeout"] {
        let read = of(&format!("failed attempt='1' cid='a' because='{word}'"));
        assert_eq!(read, wrong("failed", "because"), "{word:?}");
    }
    for (candidate, attribute) in [
        ("cid='' kind='stream' sid='s'", "cid"),
        ("cid='A' kind='stream' sid='s'", "cid"),
        ("cid='a-1' kind='stream' sid='s'", "cid"),
        ("cid='é' kind='stream' sid='s'", "cid"),
        ("cid='a1234567890123456' kind='stream' sid='s'", "cid"),
        ("cid='a' kind='stream' sid=''", "sid"),
        ("cid='a' kind='stream' sid='a b'", "sid"),
        (
            "cid='a' kind='stream' sid='s' priority='4294967296'",
            "priority",
        ),
        ("cid='a' kind='stream' sid='s' priority='-1'", "priority"),
        ("cid='a' kind='direct' host='' port='1'", "host"),
        ("cid='a' kind='direct' host='a b' port='1'", "host"),
        ("cid='a' kind='direct' host='h' port='0'", "port"),
        ("cid='a' kind='direct' host='h' port='65536'", "port"),
        (
            "cid='a' kind='relay' jid='@' host='h' port='1' sid='s'",
            "jid",
        ),
        (
            "cid='a' kind='relay' jid='a.example' host='h' port='1' sid=''",
            "sid",
        ),
    ] {
        let read = hints(&format!("<candidate {candidate}/>"));
        assert_eq!(read, wrong("candidate", attribute), "{candidate}");
    }
}

#[test]
fn a_ninth_candidate_is_refused_of_whatever_kind() {
    let some = |count: usize, kind: &str| {
        let one = |n| format!("<candidate cid='c{n}' kind='{kind}' sid='s'/>");
        hints(&(0..count).map(one).collect::<String>())
    };
    let most = MAX_CANDIDATES;
    let many = || {
        Err(PayloadError::TooMany {
            element: "hints",
            most,
        }
        .into())
    };
    assert_eq!(some(9, "stream"), many());
    assert_eq!(some(9, "ice"), many());
    let Ok(Signal::Hints(eight)) = some(8, "stream") else {
        panic!("8 are read");
    };
    assert_eq!(eight.candidates.len(), 8);
}

#[test]
fn two_candidates_with_one_cid_are_refused() {
    let element = "candidate";
    assert_eq!(
        hints(&STREAM.repeat(2)),
        Err(PayloadError::Twice { element }.into())
    );
}

#[test]
fn elements_of_ours_where_none_belong_are_refused() {
    let inside = |element| Err(PayloadError::Children { element }.into());
    let nested = STREAM.replace("/>", "><leg/></candidate>");
    assert_eq!(hints(&nested), inside("candidate"));
    for name in ["joined", "failed", "over"] {
        let document =
            format!("<{name} xmlns='{NS}' attempt='1' cid='a' because='socks'><leg/></{name}>");
        assert_eq!(read(&document), inside(name), "{name}");
    }
}

#[test]
fn what_is_not_known_is_skipped() {
    let plain = hints(STREAM);
    assert!(plain.is_ok());
    for candidates in [
        format!("<candidate kind='ice' ufrag='x'/>{STREAM}"),
        format!("<x xmlns='urn:else'>text</x>{STREAM}"),
        STREAM.replace("/>", " generation='0'/>"),
        STREAM.replace("/>", "><x xmlns='urn:else'/></candidate>"),
    ] {
        assert_eq!(hints(&candidates), plain, "{candidates}");
    }
    let document = OVER.replace("/>", " also='this'><x xmlns='urn:else'/></over>");
    assert_eq!(read(&document), Ok(Signal::Over { attempt: 1 }));
    assert_eq!(
        read(&format!("{OVER}\r\n\t ")),
        Ok(Signal::Over { attempt: 1 })
    );
}

#[test]
fn they_are_written_as_the_protocol_has_them() {
    let direct = CandidateKind::Direct {
        host: s5b::Host::new("2001:db8::7").unwrap(),
        port: NonZeroU16::new(49152).unwrap(),
    };
    let stream = CandidateKind::Stream {
        sid: ibb::Sid::new("t8h2w6n4z0").unwrap(),
    };
    let candidates = vec![
        relay(cid("r1"), "proxy.montague.example"),
        Candidate {
            cid: cid("d1"),
            kind: direct,
            priority: 8_257_636,
        },
        Candidate {
            cid: cid("b2"),
            kind: stream,
            priority: 0,
        },
    ];
    let hints = Hints {
        attempt: 1,
        why: Why::Faster,
        takes: Takes::Own,
        candidates,
    };
    for (signal, document) in [
        (
            Signal::Hints(hints),
            format!(
                "<hints xmlns='{NS}' attempt='1' why='faster' takes='own'>\
                 <candidate cid='r1' kind='relay' jid='proxy.montague.example' host='proxy.montague.example' port='5000' sid='k3v9x2c7q1m4'/>\
                 <candidate cid='d1' kind='direct' host='2001:db8::7' port='49152' priority='8257636'/>{STREAM}</hints>"
            ),
        ),
        (
            Signal::Joined {
                attempt: 1,
                cid: cid("r1"),
            },
            format!("<joined xmlns='{NS}' attempt='1' cid='r1'/>"),
        ),
        (
            Signal::Failed {
                attempt: 1,
                cid: cid("d1"),
                because: Because::Timeout,
            },
            format!("<failed xmlns='{NS}' attempt='1' cid='d1' because='timeout'/>"),
        ),
        (Signal::Over { attempt: 1 }, OVER.to_owned()),
        (
            Signal::Gone { attempt: 1 },
            format!("<gone xmlns='{NS}' attempt='1'/>"),
        ),
    ] {
        assert_eq!(signal.attempt(), 1);
        assert_eq!(signal.write(), filled(&document), "{document}");
        assert_eq!(read(&document), Ok(signal), "{document}");
    }
}

#[test]
fn candidates_that_do_not_fit_are_left_out() {
    let of = |candidates| {
        Signal::Hints(Hints {
            attempt: 1,
            why: Why::Lost,
            takes: Takes::Any,
            candidates,
        })
    };
    let kept = |candidates| match Signal::read(&of(candidates).write()) {
        Ok(Signal::Hints(hints)) => hints.candidates,
        other => panic!("{other:?}"),
    };
    let nine: Vec<_> = (1..10).map(|n| relay(cid(&format!("r{n}")), "h")).collect();
    assert_eq!(kept(nine.clone()), nine[..8]);
    let twice = vec![
        relay(cid("a"), "h"),
        relay(cid("a"), "i"),
        relay(cid("b"), "h"),
    ];
    assert_eq!(kept(twice.clone()), [twice[0].clone(), twice[2].clone()]);
    // Each takes six bytes for an apostrophe.
    let long: Vec<_> = (1..9)
        .map(|n| relay(cid(&format!("r{n}")), &"'".repeat(255)))
        .collect();
    assert_eq!(kept(long.clone()), long[..2]);
}

#[test]
fn sealed_signals_that_cannot_be_read_are_refused() {
    let lacks = |attribute| {
        let element = "path";
        Err(PayloadError::Missing { element, attribute })
    };
    assert_eq!(sealed("n='0'", ""), lacks("sid"));
    assert_eq!(sealed("sid='s'", ""), lacks("n"));
    assert_eq!(sealed("sid='a b' n='0'", ""), Err(attribute("path", "sid")));
    for n in ["", "-1", "x", "18446744073709551616"] {
        let read = sealed(&format!("sid='s' n='{n}'"), "");
        assert_eq!(read, Err(attribute("path", "n")), "{n:?}");
    }
    let children = Err(PayloadError::Children { element: "path" });
    assert_eq!(sealed("sid='s' n='0'", "AA==<x/>"), children);
    let read = sealed("sid='s' n='0'", "A?==");
    assert!(matches!(
        read,
        Err(PayloadError::Base64 {
            element: "path",
            ..
        })
    ));
    let other = Element::new("path", "jabber:client");
    assert_eq!(Sealed::read(&other), Err(PayloadError::Unknown));
}

#[test]
fn debug_shows_nothing_of_a_record() {
    let sealed = sealed("sid='s' n='7'", "AAECAw==").unwrap();
    assert_eq!(sealed.record.as_ref(), [0, 1, 2, 3]);
    assert_eq!(
        format!("{sealed:?}"),
        "Sealed { sid: \"s\", n: 7, 4 bytes }"
    );
}

#[test]
fn a_leg_is_told_from_a_tunnel() {
    let mut open = ibb::Open {
        sid: ibb::Sid::new("t8h2w6n4z0").unwrap(),
        block_size: ibb::BlockSize::MAX,
        carrier: ibb::Carrier::Iq,
        extensions: vec![Element::new("leg", "urn:xmpp:tmp:xtls")],
    };
    assert!(!Leg::is_in_open(&open));
    open.extensions.push(Leg.to_element());
    assert!(Leg::is_in_open(&open));
    let mut out = Vec::new();
    open.to_element().write("jabber:client", &mut out);
    let element = Element::read(&out, "jabber:client").unwrap();
    assert!(Leg::is_in_open(&ibb::Open::read(&element).unwrap()));
}

#[test]
fn reasons_are_told() {
    let why: ReadError = Element::read(b"<a", "").unwrap_err();
    assert_eq!(
        SignalError::Xml(why).to_string(),
        format!("a signal is not one element: {why}")
    );
    assert_eq!(
        SignalError::Length { len: 3 }.to_string(),
        "a signal of 3 bytes: it has a multiple of 256, 4096 at most"
    );
}
