//! Every XML example is what its label says: accepted by the strict readers, of the expected type, and the same when
//! written again.

use bytes::Bytes;
use xtls_client::router::TunnelEvent;
use xtls_framer::{Limits, frames};
use xtls_ibb::Payload;
use xtls_session::{Binding, Service};
use xtls_stanza::path::{self, Leg, SIGNAL_STEP, Signal};
use xtls_stanza::xtls::Control;
use xtls_stanza::{Content, Envelope, Stanza, finish, s5b};
use xtls_tests::keys::address;
use xtls_tests::pair::{Settings, Who, message};
use xtls_tests::raw::Duel;
use xtls_tls::Role;

use crate::markdown::{DOCUMENTS, Fence, fences, quoted, table};

const PROTOCOL: &str = "docs/PROTOCOL.md";

/// The stanzas of a block.
fn stanzas(fence: &Fence) -> Vec<Bytes> {
    frames(fence.text.as_bytes(), Limits::default())
        .map(|frame| frame.unwrap_or_else(|error| panic!("{}: {error}", fence.place)))
        .map(|frame| frame.into_bytes())
        .collect()
}

/// The kind of a carrying stanza in one word, as the labels of examples name it.
fn word(envelope: &Envelope) -> String {
    match &envelope.content {
        Content::Get(payload) => format!("get:{}", name(payload)),
        Content::Set(payload) => format!("set:{}", name(payload)),
        Content::Result(None) => "result".to_owned(),
        Content::Result(Some(payload)) => format!("result:{}", name(payload)),
        Content::Error(error) => format!("error:{}", error.condition.name()),
        Content::Message { payloads, .. } => {
            format!("message:{}", payloads.first().map(name).unwrap_or_default())
        }
        Content::Presence { .. } => "presence".to_owned(),
    }
}

fn name(payload: &Payload) -> String {
    match payload {
        Payload::Open(open) if Leg::is_in_open(open) => "leg".to_owned(),
        Payload::Open(open) => {
            let start = Control::in_open(open).expect("a readable start");
            assert!(matches!(start, Some(Control::Start { .. })));
            "open".to_owned()
        }
        Payload::Data(data) => {
            assert!(
                !data.bytes.is_empty() && data.bytes.len() <= CUT,
                "cut after {CUT} bytes"
            );
            "data".to_owned()
        }
        Payload::Close(_) => "ibb-close".to_owned(),
        Payload::Xtls(control) => format!("xtls-{}", control.name()),
        Payload::DiscoQuery(_) | Payload::DiscoInfo(_) => "disco".to_owned(),
        Payload::Ping => "ping".to_owned(),
        Payload::Malformed { why, .. } => panic!("malformed: {why}"),
        Payload::Other(element) => {
            if element.ns == path::NS {
                path::Sealed::read(element).expect("a sealed signal");
            } else if element.ns == s5b::NS {
                s5b::Query::read(element).expect("a query about a bytestream");
            }
            element.name.to_string()
        }
    }
}

#[test]
fn every_xml_example_is_what_its_label_says() {
    let mut seen = 0;
    for fence in DOCUMENTS.into_iter().flat_map(fences) {
        let mut labels = fence.info.split_whitespace();
        if labels.next() != Some("xml") {
            continue;
        }
        let labels: Vec<_> = labels.collect();
        let stanzas = stanzas(&fence);
        assert_eq!(
            labels.len(),
            stanzas.len(),
            "{}: one label a stanza",
            fence.place
        );
        for (label, frame) in labels.into_iter().zip(stanzas) {
            match label.split_once(':') {
                Some(("inner", kind)) => inner(kind, &frame, &fence.place),
                Some(("signal", kind)) => signal(kind, &frame, &fence.place),
                _ => carrying(label, &frame, &fence.place),
            }
            seen += 1;
        }
    }
    assert!(seen >= 20, "only {seen} examples");
}

fn carrying(label: &str, frame: &Bytes, place: &str) {
    let envelope = Envelope::read(frame).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(word(&envelope), label, "{place}");
    let mut written = Vec::new();
    envelope.write(&mut written);
    assert_eq!(
        Envelope::read(&written.into()).as_ref(),
        Ok(&envelope),
        "{place}"
    );
}

fn inner(kind: &str, frame: &Bytes, place: &str) {
    let stanza = Stanza::read(frame).unwrap_or_else(|error| panic!("{place}: {error}"));
    let empty = kind.strip_suffix("-empty");
    assert_eq!(stanza.kind.name(), empty.unwrap_or(kind), "{place}");
    let children = stanza.elements().expect("readable children");
    assert_eq!(children.is_empty(), empty.is_some(), "{place}");
    assert_eq!(stanza.to, None, "{place}: stripped");
    let step = xtls_stanza::verify::Step::in_stanza(&stanza);
    assert!(!matches!(step, Some(Err(_))), "{place}: {step:?}");
    let mut written = Vec::new();
    stanza.write(&mut written);
    assert_eq!(
        Stanza::read(&written.into()).as_ref(),
        Ok(&stanza),
        "{place}"
    );
}

/// What is sealed: the page breaks its lines, and leaves out the spaces behind it.
fn signal(kind: &str, frame: &Bytes, place: &str) {
    let mut plain: Vec<u8> = frame.iter().copied().filter(|&b| b != b'\n').collect();
    let name = format!("<{kind} ");
    assert!(plain.starts_with(name.as_bytes()), "{place}");
    plain.resize(plain.len().next_multiple_of(SIGNAL_STEP), b' ');
    let read = Signal::read(&plain).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(read.write(), plain, "{place}");
}

/// Only the peer sees what is sent inside about the end: a router against a TLS connection that receives it.
#[test]
fn a_finish_and_its_answer_are_what_a_router_sends_inside() {
    let inner: Vec<_> = fences(PROTOCOL)
        .into_iter()
        .filter(|fence| fence.text.contains("urn:xmpp:tmp:xtls#finish"))
        .flat_map(|fence| stanzas(&fence))
        .collect();
    let [request, answer, since] = &inner[..] else {
        panic!("{} examples", inner.len())
    };
    let mut duel = Duel::friends();
    duel.open();
    duel.say(request);
    let finished = duel.events.last().expect("an event").clone();
    assert_eq!(finished.what, TunnelEvent::PeerFinished);
    let mut tunnel = duel.juliet.tunnel(duel.now, finished.id).unwrap();
    tunnel.took();
    tunnel.finish();
    duel.say(" ");
    let heard: Vec<_> = frames(&duel.plain[..], Limits::default())
        .map(|frame| Stanza::read(&frame.expect("a stanza").into_bytes()).expect("a stanza"))
        .collect();
    let read = |frame| Stanza::read(frame).expect("a stanza");
    assert_eq!(heard, [read(answer), read(request)]);
    let sid = finish::since(&read(since)).expect("a sid");
    assert_eq!(finish::answer("xtls-finish", Some(&sid)), read(since));
}

#[test]
fn answers_fit_the_requests_before_them() {
    for fence in fences(PROTOCOL) {
        let inside = fence.info.contains("inner:") || fence.info.contains("signal:");
        if !fence.info.starts_with("xml") || inside {
            continue;
        }
        let envelopes: Vec<_> = stanzas(&fence)
            .iter()
            .map(|frame| Envelope::read(frame).unwrap())
            .collect();
        for (request, answer) in envelopes.iter().zip(envelopes.iter().skip(1)) {
            if matches!(answer.content, Content::Result(_) | Content::Error(_)) {
                assert_eq!(answer.id, request.id, "{}", fence.place);
                assert_eq!(answer.from, request.to, "{}", fence.place);
                assert_eq!(answer.to, request.from, "{}", fence.place);
            }
        }
    }
}

/// Two routers send the examples of one tunnel, except discovery, in this order.
#[test]
fn one_tunnel_is_what_two_routers_send() {
    let mut said = recorded().into_iter();
    let mut compared = 0;
    for fence in fences(PROTOCOL) {
        let labels = fence.info.strip_prefix("xml ").unwrap_or_default();
        if labels.is_empty() || labels.contains("inner:") || labels.contains("disco") {
            continue;
        }
        for frame in stanzas(&fence) {
            let example = masked(Envelope::read(&frame).unwrap());
            assert!(
                said.any(|stanza| stanza == example),
                "{}: not said: {example:?}",
                fence.place
            );
            compared += 1;
        }
        if labels.starts_with("set:ibb-close") {
            assert_eq!(compared, 14);
            return;
        }
    }
    panic!("{PROTOCOL} has no end of a tunnel");
}

/// Romeo opens, sends one stanza early, and closes; then Juliet closes.
fn recorded() -> Vec<Envelope> {
    let mut pair = Settings::seeded(3).letter().build();
    let romeo = pair.open(Who::Romeo);
    pair.end(Who::Romeo).early = vec![message("m1", "Call me but love")];
    pair.drive();
    let juliet = pair
        .end(Who::Juliet)
        .events
        .last()
        .expect("Juliet has received something")
        .id;
    let now = pair.now;
    pair.end(Who::Romeo)
        .router
        .tunnel(now, romeo)
        .unwrap()
        .close();
    pair.drive();
    pair.end(Who::Juliet)
        .router
        .tunnel(now, juliet)
        .unwrap()
        .close();
    pair.drive();
    pair.log()
        .iter()
        .map(|seen| masked(seen.envelope()))
        .collect()
}

/// Without the parts that differ from run to run: ids, sids, and bytes beyond the type and version of the first TLS
/// record.
fn masked(mut envelope: Envelope) -> Envelope {
    let sid = || "s".parse::<xtls_stanza::ibb::Sid>().expect("a sid");
    envelope.id = "i".to_owned();
    match &mut envelope.content {
        Content::Set(Payload::Open(open)) => open.sid = sid(),
        Content::Set(Payload::Close(close)) => close.sid = sid(),
        Content::Set(Payload::Xtls(Control::Close { sid: named })) => {
            *named = named.take().map(|_| sid());
        }
        Content::Set(Payload::Data(data)) => {
            data.sid = sid();
            data.bytes.truncate(3);
        }
        _ => {}
    }
    envelope
}

#[test]
fn the_alpn_example_is_computed_as_described() {
    let rows = table(PROTOCOL, &["field", "value"]);
    let value = |field: &str| {
        let row = rows
            .iter()
            .find(|row| row[0] == field)
            .unwrap_or_else(|| panic!("no {field}"));
        quoted(&row[1])
            .next()
            .expect("a value in backticks")
            .to_owned()
    };
    let binding = |role| Binding {
        own: address(&value(if role == Role::Client {
            "initiator"
        } else {
            "responder"
        })),
        peer: address(&value(if role == Role::Client {
            "responder"
        } else {
            "initiator"
        })),
        sid: value("sid"),
        service: Service::stanzas(),
        role,
    };
    assert_eq!(value("service"), Service::stanzas().name());
    for role in [Role::Client, Role::Server] {
        assert_eq!(
            String::from_utf8(binding(role).alpn()).unwrap(),
            value("ALPN")
        );
    }
}

/// Bytes of a chunk shown in examples.
const CUT: usize = 24;
