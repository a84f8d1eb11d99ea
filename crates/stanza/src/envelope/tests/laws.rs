//! What is written is what is read, whatever it holds.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{read, written};
use crate::envelope::answer;
use crate::ibb::{BlockSize, Carrier, Close, Data, Open, Seq, Sid};
use crate::xtls::Control;
use crate::{
    Address, Condition, Content, Element, Envelope, EnvelopeError, ErrorType, MessageKind, Payload,
    PayloadError, PresenceKind, Stanza, StanzaError, disco, ns, strategy,
};

/// Payloads in the form in which they are read: the children of others are not ours.
fn payload() -> impl Strategy<Value = Payload> {
    let sid = || "[a-zA-Z0-9:._-]{1,8}".prop_map(|sid| Sid::new(&sid).unwrap());
    let bytes = || vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let carrier = proptest::sample::select(&[Carrier::Iq, Carrier::Message]);
    let name = || option::of(strategy::text());
    let identity =
        (strategy::text(), strategy::text(), name()).prop_map(|(category, type_, name)| {
            disco::Identity {
                category,
                type_,
                name,
            }
        });
    prop_oneof![
        (sid(), 1..=u16::MAX, carrier, vec(strategy::element(), 0..2)).prop_map(
            |(sid, size, carrier, extensions)| {
                Payload::Open(Open {
                    sid,
                    block_size: BlockSize::new(size).unwrap(),
                    carrier,
                    extensions,
                })
            }
        ),
        (sid(), any::<u16>(), bytes()).prop_map(|(sid, seq, bytes)| Payload::Data(Data {
            sid,
            seq: Seq(seq),
            bytes
        })),
        sid().prop_map(|sid| Payload::Close(Close { sid })),
        option::of(bytes()).prop_map(|hello| Payload::Xtls(Control::Start { hello })),
        option::of(bytes()).prop_map(|hello| Payload::Xtls(Control::Proceed { hello })),
        bytes().prop_map(|bytes| Payload::Xtls(Control::Data(bytes))),
        option::of(sid()).prop_map(|sid| Payload::Xtls(Control::Close { sid })),
        Just(Payload::Xtls(Control::Closed)),
        Just(Payload::Ping),
        name().prop_map(|node| Payload::DiscoQuery(disco::Query { node })),
        (name(), vec(identity, 1..3), vec(strategy::text(), 0..3)).prop_map(
            |(node, identities, features)| Payload::DiscoInfo(disco::Info {
                node,
                identities,
                features
            })
        ),
        strategy::element()
            .prop_filter("not one of ours", |e| matches!(
                Payload::read(e),
                Payload::Other(_)
            ) && !e.is("error", ns::CLIENT))
            .prop_map(Payload::Other),
    ]
}

fn stanza_error() -> impl Strategy<Value = StanzaError> {
    let condition = proptest::sample::select(&Condition::ALL[..]);
    let kind = proptest::sample::select(&ErrorType::ALL[..]);
    let app =
        option::of(strategy::element().prop_filter("not a condition", |e| e.ns != ns::STANZAS));
    (kind, condition, option::of(strategy::text()), app).prop_map(|(kind, condition, text, app)| {
        StanzaError {
            kind,
            condition,
            text,
            app,
        }
    })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let address = || {
        option::of(
            "[a-z]{1,3}@[a-z]{1,3}(/[a-zA-Z'&<]{1,3})?"
                .prop_map(|text| Address::new(&text).unwrap()),
        )
    };
    let id = strategy::text().prop_filter("an id", |id| !id.is_empty());
    let kind = proptest::sample::select(&[
        MessageKind::Normal,
        MessageKind::Chat,
        MessageKind::Groupchat,
        MessageKind::Headline,
    ]);
    let presence = proptest::sample::select(&[
        PresenceKind::Available,
        PresenceKind::Unavailable,
        PresenceKind::Subscribe,
        PresenceKind::Subscribed,
        PresenceKind::Unsubscribe,
        PresenceKind::Unsubscribed,
        PresenceKind::Probe,
        PresenceKind::Error,
    ]);
    let content = prop_oneof![
        payload().prop_map(Content::Get),
        payload().prop_map(Content::Set),
        option::of(payload()).prop_map(|payload| Content::Result(payload.map(answer))),
        stanza_error().prop_map(Content::Error),
        (kind, vec(payload(), 0..3)).prop_map(|(kind, payloads)| Content::Message {
            kind,
            payloads,
            error: None
        }),
        (vec(payload(), 0..3), stanza_error()).prop_map(|(payloads, error)| Content::Message {
            kind: MessageKind::Error,
            payloads,
            error: Some(error)
        }),
        (presence, vec(payload(), 0..3))
            .prop_map(|(kind, payloads)| Content::Presence { kind, payloads }),
    ];
    (address(), address(), id, content).prop_map(|(from, to, id, content)| Envelope {
        from,
        to,
        id,
        content,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn reading_what_was_written_gives_the_same_envelope(envelope in envelope()) {
        let text = written(&envelope);
        let read = read(&text).unwrap();
        prop_assert!(read == envelope, "{}", text);
        prop_assert_eq!(written(&read), text);
    }

    #[test]
    fn nothing_in_a_field_changes_the_structure(id in strategy::nasty(), text in strategy::nasty(), child in strategy::wild()) {
        let error = StanzaError::new(ErrorType::Cancel, Condition::Conflict).with_text(text.clone()).with_app(child.clone());
        let info = disco::Info { node: Some(text.clone()), identities: Vec::new(), features: vec![text.clone()] };
        let malformed = Payload::Malformed { ns: text.as_str().into(), name: text.as_str().into(), sid: Some(text), why: PayloadError::Unknown };
        let payloads = vec![Payload::DiscoInfo(info), malformed, Payload::Other(child)];
        let content = Content::Message { kind: MessageKind::Error, payloads, error: Some(error) };
        let envelope = Envelope { from: None, to: None, id, content };
        let read = Stanza::read(&written(&envelope).into_bytes().into()).unwrap();
        prop_assert_eq!(read.elements().unwrap().len(), 4);
    }

    #[test]
    fn data_read_without_a_tree_is_data_read_with_one(
        pieces in vec(proptest::sample::select(&["QUJD", "QQ==", "=", " ", "\r\n", "&#81;", "<b/>", "<![CDATA[QUJD]]>", "!", "&amp;", "]]", ">", "é", "\u{1}", "&#x0;"]), 0..5),
        attributes in proptest::sample::select(&["seq='0' sid='s'", "sid='s'", "seq='0'", "seq='x' sid='s'", "seq='1' sid=''"]),
    ) {
        let document = format!("<iq id='i' type='set'><data xmlns='{}' {attributes}>{}</data></iq>", ns::IBB, pieces.concat());
        let frame = Bytes::from(document.into_bytes());
        match (Envelope::read(&frame), Stanza::read(&frame)) {
            (Ok(envelope), Ok(stanza)) => {
                let element: Element = stanza.elements().unwrap().remove(0);
                prop_assert_eq!(&envelope.content, &Content::Set(Payload::read(&element)));
                prop_assert_eq!(Envelope::from_stanza(&stanza).unwrap(), envelope);
            }
            (Err(EnvelopeError::Read(left)), Err(right)) => prop_assert_eq!(left.rule, right.rule),
            (left, right) => prop_assert!(false, "{:?} {:?}", left, right),
        }
    }
}
