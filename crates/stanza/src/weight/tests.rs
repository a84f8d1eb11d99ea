use bytes::Bytes;

use crate::{
    Address, Attr, Condition, Content, Element, Envelope, ErrorType, MessageKind, Payload,
    PayloadError, PresenceKind, RawAttr, Stanza, StanzaError, disco, ibb, xtls,
};

/// What others may make long.
const LONG: usize = 10_000;
/// The longest address with one long part.
const PART: usize = 1_000;

fn long() -> String {
    "x".repeat(LONG)
}

#[test]
fn every_part_of_a_stanza_that_a_peer_can_make_long_weighs_its_bytes() {
    let plain = Stanza::read(&Bytes::from_static(b"<message/>")).unwrap();
    let with = |change: &dyn Fn(&mut Stanza)| {
        let mut stanza = plain.clone();
        change(&mut stanza);
        stanza.weight() - plain.weight()
    };
    let address = Address::new(&format!("{}@b.c/d", "x".repeat(PART))).unwrap();
    let attr = |name: String, value: String| RawAttr::new(name, value).unwrap();
    let heavy = [
        with(&|stanza| stanza.id = Some(long())),
        with(&|stanza| stanza.type_ = Some(long().into())),
        with(&|stanza| stanza.lang = Some(long())),
        with(&|stanza| stanza.children = long().into()),
        with(&|stanza| stanza.extra = vec![attr(long(), String::new())]),
        with(&|stanza| stanza.extra = vec![attr("a".to_owned(), long())]),
        with(&|stanza| stanza.extra = vec![attr(format!("xmlns:{}", long()), "u".to_owned())]),
    ];
    assert!(
        heavy
            .iter()
            .all(|weight| (LONG..LONG + 200).contains(weight)),
        "{heavy:?}"
    );
    for weight in [
        with(&|stanza| stanza.from = Some(address.clone())),
        with(&|stanza| stanza.to = Some(address.clone())),
    ] {
        assert!((PART..PART + 200).contains(&weight), "{weight}");
    }
}

#[test]
fn a_stanza_that_was_read_weighs_what_references_stand_for() {
    let id = "&#x000041;".repeat(1_000);
    let frame = Bytes::from(format!("<message id='{id}'><b/></message>"));
    let stanza = Stanza::read(&frame).unwrap();
    assert!(
        (1_000..2_000).contains(&stanza.weight()),
        "{}",
        stanza.weight()
    );
}

#[test]
fn a_short_body_does_not_keep_a_long_head() {
    let frame = Bytes::from(format!("<message id='{}'><b/></message>", long()));
    let stanza = Stanza::read(&frame).unwrap();
    assert!(!shares(&frame, &stanza.children));
    let frame = Bytes::from(format!("<message id='a'><b>{}</b></message>", long()));
    let stanza = Stanza::read(&frame).unwrap();
    assert!(shares(&frame, &stanza.children));
}

fn shares(frame: &Bytes, children: &Bytes) -> bool {
    frame.as_ptr_range().contains(&children.as_ptr())
}

#[test]
fn everything_in_an_envelope_that_a_peer_can_make_long_weighs_its_bytes() {
    let weigh = |content: Content| {
        let envelope = Envelope {
            from: None,
            to: None,
            id: String::new(),
            content,
        };
        envelope.weight()
    };
    let sid = || ibb::Sid::new("s").unwrap();
    let tree = || Element::new("a", "u").with_child(Element::new("b", "u").with_text(long()));
    let spaced = |ns: String, name: String, value: String| {
        let mut element = Element::new("a", "u");
        element.attrs.push(Attr {
            ns: Some(ns.into()),
            name: name.into(),
            value,
        });
        Payload::Other(element)
    };
    let empty = String::new;
    let error = |text| StanzaError::new(ErrorType::Cancel, Condition::Gone).with_text(text);
    let payloads = [
        Payload::Other(tree()),
        Payload::Other(Element::new(long(), "u")),
        Payload::Other(Element::new("a", long())),
        spaced(long(), empty(), empty()),
        spaced(empty(), long(), empty()),
        spaced(empty(), empty(), long()),
        Payload::Open(ibb::Open {
            sid: sid(),
            block_size: ibb::BlockSize::MAX,
            carrier: ibb::Carrier::Iq,
            extensions: vec![tree()],
        }),
        Payload::Data(ibb::Data {
            sid: sid(),
            seq: ibb::Seq(0),
            bytes: long().into(),
        }),
        Payload::Xtls(xtls::Control::Data(long().into())),
        Payload::Xtls(xtls::Control::Start {
            hello: Some(long().into()),
        }),
        Payload::DiscoQuery(disco::Query { node: Some(long()) }),
        Payload::DiscoInfo(disco::Info {
            features: vec![long()],
            ..disco::Info::default()
        }),
        Payload::DiscoInfo(disco::Info {
            identities: vec![disco::Identity {
                category: empty(),
                type_: long(),
                name: None,
            }],
            ..disco::Info::default()
        }),
        Payload::Malformed {
            ns: "".into(),
            name: "".into(),
            sid: Some(long()),
            why: PayloadError::Unknown,
        },
    ];
    let mut weights: Vec<usize> = payloads
        .into_iter()
        .map(|p| weigh(Content::Set(p)))
        .collect();
    weights.push(weigh(Content::Error(error(long()))));
    weights.push(weigh(Content::Error(error(empty()).with_app(tree()))));
    weights.push(weigh(Content::Message {
        kind: MessageKind::Error,
        payloads: vec![],
        error: Some(error(long())),
    }));
    weights.push(weigh(Content::Presence {
        kind: PresenceKind::Available,
        payloads: vec![Payload::Other(tree())],
    }));
    let light = weigh(Content::Result(None));
    for (at, weight) in weights.iter().enumerate() {
        assert!(
            (LONG..LONG + 2_000).contains(&(weight - light)),
            "{at}: {weight}"
        );
    }
}

#[test]
fn many_small_things_weigh_more_than_their_text() {
    let children = "<b/>".repeat(1_000);
    let tree = Element::read(format!("<a>{children}</a>").as_bytes(), "u").unwrap();
    assert!(
        tree.weight() > 1_000 * size_of::<Element>(),
        "{}",
        tree.weight()
    );
}
