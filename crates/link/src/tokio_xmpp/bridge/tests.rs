use bytes::Bytes;
use proptest::prelude::*;
use tokio_xmpp::PrintRawXml;
use xtls_stanza::disco::Query;
use xtls_stanza::ibb::{BlockSize, Carrier, Close, Data, Open, Seq, Sid};
use xtls_stanza::xtls::Control;
use xtls_stanza::{Attr, Condition, ErrorType};

use super::*;

/// What goes over the wire, read back by our own reader.
fn over_the_wire(envelope: &Envelope) -> Envelope {
    let stanza = Bridge::default().stanza(envelope.clone()).unwrap();
    let text = format!("{}", PrintRawXml(&stanza));
    Envelope::read(&Bytes::from(text.clone())).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn text() -> impl Strategy<Value = String> {
    // What XML can carry without a change: line ends of other systems are not among it.
    "[ -~äß€🦀]{0,20}"
}

fn name() -> impl Strategy<Value = String> {
    "[a-z_][a-zA-Z0-9._-]{0,6}"
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("jabber:client".to_owned()),
        Just(String::new()),
        "urn:[a-z&<'\"]{1,5}"
    ]
}

fn attributes() -> impl Strategy<Value = Vec<Attr>> {
    let ns = prop_oneof![
        4 => Just(None),
        1 => Just(Some(ns::XML.to_owned())),
        1 => Just(Some("urn:x".to_owned())),
    ];
    let attr = (ns, name(), text()).prop_map(|(ns, name, value)| Attr {
        ns: ns.map(Into::into),
        name: name.into(),
        value,
    });
    // tokio-xmpp keeps them in order of their names.
    proptest::collection::vec(attr, 0..3).prop_map(|mut attrs| {
        attrs.sort_by(|a, b| (&a.ns, &a.name).cmp(&(&b.ns, &b.name)));
        attrs.dedup_by(|a, b| (&a.ns, &a.name) == (&b.ns, &b.name));
        attrs
    })
}

fn tree_of_any_shape() -> impl Strategy<Value = Element> {
    let leaf = (name(), namespace(), attributes(), text()).prop_map(|(name, ns, attrs, text)| {
        let element = Element {
            attrs,
            ..Element::new(name, ns)
        };
        if text.is_empty() {
            element
        } else {
            element.with_text(text)
        }
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        (
            name(),
            namespace(),
            attributes(),
            proptest::collection::vec(inner, 0..3),
        )
            .prop_map(|(name, ns, attrs, children)| {
                let children = children.into_iter().map(Node::from).collect();
                Element {
                    attrs,
                    children,
                    ..Element::new(name, ns)
                }
            })
    })
}

fn payload() -> impl Strategy<Value = Payload> {
    let sid = || Sid::new("s-1").unwrap();
    let bytes = || proptest::collection::vec(any::<u8>(), 0..60).prop_map(Bytes::from);
    prop_oneof![
        (any::<u16>(), bytes()).prop_map(move |(seq, bytes)| Payload::Data(Data {
            sid: sid(),
            seq: Seq(seq),
            bytes
        })),
        (1..u16::MAX, any::<bool>()).prop_map(move |(size, start)| Payload::Open(Open {
            sid: sid(),
            block_size: BlockSize::new(size).unwrap(),
            carrier: Carrier::Message,
            extensions: start
                .then(|| Control::Start { hello: None }.to_element())
                .into_iter()
                .collect(),
        })),
        Just(Payload::Close(Close { sid: sid() })),
        Just(Payload::Ping),
        Just(Payload::DiscoQuery(Query { node: None })),
        bytes().prop_map(|bytes| Payload::Xtls(Control::Data(bytes))),
        tree_of_any_shape().prop_map(Payload::from),
    ]
}

fn error() -> impl Strategy<Value = StanzaError> {
    let text = text().prop_filter("not empty", |text| !text.trim().is_empty());
    (
        proptest::sample::select(&ErrorType::ALL[..]),
        proptest::sample::select(&Condition::ALL[..]),
        proptest::option::of(text),
    )
        .prop_map(|(kind, condition, text)| StanzaError {
            kind,
            condition,
            text,
            app: None,
        })
}

fn content() -> impl Strategy<Value = Content> {
    let payloads = || proptest::collection::vec(payload(), 0..4);
    prop_oneof![
        payload().prop_map(Content::Get),
        payload().prop_map(Content::Set),
        proptest::option::of(payload()).prop_map(Content::Result),
        error().prop_map(Content::Error),
        (payloads(), proptest::option::of(error())).prop_map(|(payloads, error)| {
            let kind = if error.is_some() {
                MessageKind::Error
            } else {
                MessageKind::Chat
            };
            Content::Message {
                kind,
                payloads,
                error,
            }
        }),
        payloads().prop_map(|payloads| Content::Message {
            kind: MessageKind::Normal,
            payloads,
            error: None
        }),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let to = proptest::option::of("[a-z]{1,3}@[a-z]{1,3}(/[A-Z'&<]{1,3})?");
    (to, "[ -~]{1,12}", content()).prop_map(|(to, id, content)| Envelope {
        from: None,
        to: to.map(|to| Address::new(&to).unwrap()),
        id,
        content,
    })
}

proptest! {
    #[test]
    fn every_stanza_arrives_as_it_was_sent(envelope in envelope()) {
        // An answer is read as one, whatever it holds.
        prop_assume!(!matches!(envelope.content, Content::Result(Some(Payload::DiscoQuery(_)))));
        prop_assert_eq!(over_the_wire(&envelope), envelope);
    }
}

fn message(payloads: Vec<Payload>) -> Envelope {
    let content = Content::Message {
        kind: MessageKind::Normal,
        payloads,
        error: None,
    };
    Envelope {
        from: None,
        to: None,
        id: String::new(),
        content,
    }
}

#[test]
fn names_that_are_none_are_refused() {
    for name in ["", "a b", "a>", "a:b", "1", "a\0"] {
        let refused =
            Bridge::default().stanza(message(vec![Payload::Other(Element::new(name, "x"))]));
        assert_eq!(refused.unwrap_err(), BridgeError::Name(name.to_owned()));
    }
}

#[test]
fn an_address_that_would_change_is_refused() {
    for text in ["a@b/\u{378}", "a@-b-", "ﬀ@b"] {
        let to = Address::new(text).unwrap();
        let refused = Bridge::default().stanza(Envelope {
            to: Some(to.clone()),
            ..message(Vec::new())
        });
        assert_eq!(refused.unwrap_err(), BridgeError::Address(to));
    }
}

#[test]
fn the_sender_is_left_to_the_server() {
    let from = Some(Address::new("a@b").unwrap());
    let sent = over_the_wire(&Envelope {
        from,
        ..message(Vec::new())
    });
    assert_eq!(sent.from, None);
}

#[test]
fn a_presence_has_one_priority() {
    let show = Payload::Other(Element::new("show", ns::CLIENT).with_text("away"));
    let priority =
        |text: &str| Payload::Other(Element::new("priority", ns::CLIENT).with_text(text));
    let presence = |payloads| Envelope {
        content: Content::Presence {
            kind: PresenceKind::Available,
            payloads,
        },
        ..message(Vec::new())
    };
    let sent = over_the_wire(&presence(vec![show.clone(), priority("-5")]));
    assert_eq!(sent, presence(vec![priority("-5"), show]));
}

#[test]
fn presence_types_are_the_same_words() {
    for kind in [
        PresenceKind::Available,
        PresenceKind::Unavailable,
        PresenceKind::Subscribe,
        PresenceKind::Subscribed,
        PresenceKind::Unsubscribe,
        PresenceKind::Unsubscribed,
        PresenceKind::Probe,
        PresenceKind::Error,
    ] {
        let content = Content::Presence {
            kind,
            payloads: Vec::new(),
        };
        let sent = over_the_wire(&Envelope {
            content,
            ..message(Vec::new())
        });
        assert!(matches!(sent.content, Content::Presence { kind: read, .. } if read == kind));
    }
}

#[test]
fn two_addresses_are_not_mixed_up() {
    let mut bridge = Bridge::default();
    for text in ["a@b/c", "a@b/d", "a@b/c"] {
        let to = Address::new(text).unwrap();
        let stanza = bridge
            .stanza(Envelope {
                to: Some(to),
                ..message(Vec::new())
            })
            .unwrap();
        let Stanza::Message(message) = stanza else {
            panic!()
        };
        assert_eq!(message.to.unwrap().as_str(), text);
    }
}
