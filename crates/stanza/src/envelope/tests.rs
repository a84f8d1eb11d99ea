//! Tests of envelopes.

mod fast_chunk;
mod laws;

use super::*;
use crate::ErrorType;
use crate::base64::Error;
use crate::ibb::{Data, Seq, Sid};
use crate::payload_error::PayloadError;
use crate::read::Rule;

const DATA: &str = "<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>QUJD</data>";

fn read(document: &str) -> Result<Envelope, EnvelopeError> {
    Envelope::read(&Bytes::copy_from_slice(document.as_bytes()))
}

fn written(envelope: &Envelope) -> String {
    let mut out = Vec::new();
    envelope.write(&mut out);
    String::from_utf8(out).unwrap()
}

fn set(child: &str) -> Payload {
    let envelope = read(&format!("<iq id='i' type='set'>{child}</iq>")).unwrap();
    let Content::Set(payload) = envelope.content else {
        panic!("{envelope:?}")
    };
    payload
}

fn malformed(child: &str) -> (Option<String>, PayloadError) {
    let payload = set(child);
    let Payload::Malformed { ns, sid, why, .. } = payload else {
        panic!("{payload:?}")
    };
    assert_eq!(ns, ns::IBB);
    (sid, why)
}

fn data(text: &str) -> String {
    DATA.replace("QUJD", text)
}

#[test]
fn an_iq_without_id_is_refused() {
    assert_eq!(read("<iq type='get'><a/></iq>"), Err(EnvelopeError::NoId));
    assert_eq!(read("<iq type='result' id=''/>"), Err(EnvelopeError::NoId));
    assert_eq!(EnvelopeError::NoId.reply(), None);
}

#[test]
fn an_iq_of_unknown_type_is_refused_and_answered() {
    for type_ in ["", " type=''", " type='Set'", " type='chat'"] {
        let error = read(&format!(
            "<iq from='a@b/c' to='d@e/f' id='i'{type_}><a/></iq>"
        ))
        .unwrap_err();
        assert!(matches!(error, EnvelopeError::IqType(_)), "{error:?}");
        assert_eq!(
            written(&error.reply().unwrap()),
            "<iq xmlns='jabber:client' from='d@e/f' to='a@b/c' id='i' type='error'><error type='modify'>\
             <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        );
    }
}

#[test]
fn a_request_without_exactly_one_child_is_refused_and_answered() {
    for (children, expected) in [
        ("", 0),
        ("text", 0),
        ("<a/><b/>", 2),
        (&*format!("{DATA}{DATA}{DATA}"), 3),
    ] {
        for type_ in ["get", "set"] {
            let error = read(&format!(
                "<iq from='a@b/c' id='i' type='{type_}'>{children}</iq>"
            ))
            .unwrap_err();
            assert!(
                matches!(error, EnvelopeError::Children { count, .. } if count == expected),
                "{error:?}"
            );
            assert!(matches!(error.reply().unwrap().content, Content::Error(_)));
        }
    }
}

#[test]
fn a_result_with_two_children_is_refused_and_not_answered() {
    let error = read("<iq id='i' type='result'><a/><b/></iq>").unwrap_err();
    assert_eq!(
        (error.reply(), error),
        (None, EnvelopeError::AnswerChildren { count: 2 })
    );
}

#[test]
fn a_presence_of_unknown_type_is_refused() {
    assert_eq!(
        read("<presence type='available'/>"),
        Err(EnvelopeError::PresenceType)
    );
    assert_eq!(EnvelopeError::PresenceType.reply(), None);
}

#[test]
fn what_the_strict_reader_refuses_is_refused() {
    let rule = |document: &str| match read(document) {
        Err(EnvelopeError::Read(error)) => error.rule,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        rule("<iq xmlns='jabber:server' id='i' type='get'><a/></iq>"),
        Rule::StanzaNamespace
    );
    assert_eq!(
        rule(&format!("<iq id='i' type='set'>{DATA}</iq><iq/>")),
        Rule::SecondElement
    );
    // Inside of the data that is read without a tree, too.
    for (text, expected) in [
        ("QU\u{1}JD", Rule::Character),
        ("QU]]>JD", Rule::CDataEnd),
        ("QU&#0;JD", Rule::Character),
        ("QU<!--x-->JD", Rule::Comment),
        ("QUJD</b>", Rule::EndTag),
        ("QU&nbsp;JD", Rule::Entity),
        ("<b>&x;</b>", Rule::Entity),
    ] {
        assert_eq!(
            rule(&format!("<iq id='i' type='set'>{}</iq>", data(text))),
            expected,
            "{text}"
        );
    }
    let mut bytes = format!("<iq id='i' type='set'>{DATA}</iq>").into_bytes();
    let at = bytes.windows(4).position(|w| w == b"QUJD").unwrap();
    bytes[at] = 0xFF;
    assert_eq!(
        Envelope::read(&bytes.into()),
        Err(crate::ReadError {
            at,
            rule: Rule::NotUtf8
        }
        .into())
    );
}

#[test]
fn data_is_read_however_its_text_is_spelled() {
    let expected = set(DATA);
    assert_eq!(
        expected,
        Payload::Data(Data {
            sid: Sid::new("s").unwrap(),
            seq: Seq(0),
            bytes: "ABC".into()
        })
    );
    for text in [
        "&#81;UJD",
        "QU<![CDATA[JD]]>",
        "<![CDATA[QUJD]]>",
        " Q\r\nU\tJ D ",
        "QUJ&#x44;",
    ] {
        assert_eq!(set(&data(text)), expected, "{text:?}");
    }
    let empty =
        |text: &str| matches!(set(&data(text)), Payload::Data(data) if data.bytes.is_empty());
    assert!(empty("") && empty(" ") && empty("<![CDATA[]]>"));
    assert!(matches!(
        set("<data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'/>"),
        Payload::Data(_)
    ));
}

#[test]
fn malformed_data_names_its_sid() {
    let sid = || Some("s".to_owned());
    let attribute = |attribute| PayloadError::Attribute {
        element: "data",
        attribute,
    };
    let base64 = |why| PayloadError::Base64 {
        element: "data",
        why,
    };
    assert_eq!(
        malformed(&data("QUJ!")),
        (sid(), base64(Error::Foreign(b'!')))
    );
    assert_eq!(malformed(&data("QQ")), (sid(), base64(Error::Padding)));
    assert_eq!(
        malformed(&data("=AAA")),
        (sid(), base64(Error::Foreign(b'=')))
    );
    assert_eq!(
        malformed(&data("QU<b/>JD")),
        (sid(), PayloadError::Children { element: "data" })
    );
    assert_eq!(
        malformed(&DATA.replace("'0'", "'+1'")),
        (sid(), attribute("seq"))
    );
    assert_eq!(
        malformed(&DATA.replace("'0'", "'65536'")),
        (sid(), attribute("seq"))
    );
    assert_eq!(
        malformed(&DATA.replace(" seq='0'", "")),
        (
            sid(),
            PayloadError::Missing {
                element: "data",
                attribute: "seq"
            }
        )
    );
    assert_eq!(
        malformed(&DATA.replace("'s'", "'a b'")),
        (Some("a b".into()), attribute("sid"))
    );
    assert_eq!(
        malformed(&DATA.replace(" sid='s'", "")),
        (
            None,
            PayloadError::Missing {
                element: "data",
                attribute: "sid"
            }
        )
    );
}

#[test]
fn elements_that_our_namespaces_do_not_have_are_malformed() {
    assert_eq!(
        malformed("<block xmlns='http://jabber.org/protocol/ibb' sid='s'/>"),
        (Some("s".into()), PayloadError::Unknown)
    );
    assert_eq!(
        set("<stop xmlns='urn:xmpp:tmp:xtls'/>"),
        Payload::Malformed {
            ns: ns::XTLS.into(),
            name: "stop".into(),
            sid: None,
            why: PayloadError::Unknown
        }
    );
    assert!(matches!(
        set("<query xmlns='http://jabber.org/protocol/disco#items'/>"),
        Payload::Other(_)
    ));
    assert!(matches!(set("<data/>"), Payload::Other(_)));
}

#[test]
fn an_empty_disco_answer_is_an_answer() {
    let query = "<query xmlns='http://jabber.org/protocol/disco#info' node='n'/>";
    let content = |type_: &str, child: &str| {
        read(&format!("<iq id='i' type='{type_}'>{child}</iq>"))
            .unwrap()
            .content
    };
    let node = || Some("n".to_owned());
    assert_eq!(
        content("get", query),
        Content::Get(Payload::DiscoQuery(disco::Query { node: node() }))
    );
    let info = disco::Info {
        node: node(),
        ..disco::Info::default()
    };
    assert_eq!(
        content("result", query),
        Content::Result(Some(Payload::DiscoInfo(info)))
    );
    let full = query.replace("/>", "><feature var='f'/></query>");
    assert!(
        matches!(content("result", &full), Content::Result(Some(Payload::DiscoInfo(info))) if info.has("f"))
    );
}

#[test]
fn an_error_may_repeat_the_request_or_say_nothing() {
    let error = |children: &str| {
        let envelope = read(&format!("<iq id='i' type='error'>{children}</iq>")).unwrap();
        let Content::Error(error) = envelope.content else {
            panic!("{envelope:?}")
        };
        error
    };
    let wait = "<error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let expected = StanzaError::new(ErrorType::Wait, Condition::ResourceConstraint);
    assert_eq!(error(wait), expected);
    assert_eq!(error(&format!("{DATA}{wait}")), expected);
    assert_eq!(error(&format!("{wait}{DATA}")), expected);
    let undefined = StanzaError::new(ErrorType::Cancel, Condition::UndefinedCondition);
    assert_eq!(error(""), undefined);
    assert_eq!(error(DATA), undefined);
    assert_eq!(error("<error xmlns='u'/>"), undefined);
}

#[test]
fn messages_and_presences_keep_their_children() {
    let message = read(&format!(
        "<message from='a@b/c'>{DATA}<no-store xmlns='urn:xmpp:hints'/>text</message>"
    ))
    .unwrap();
    assert_eq!(message.id, "");
    let Content::Message {
        kind: MessageKind::Normal,
        payloads,
        error: None,
    } = &message.content
    else {
        panic!()
    };
    assert!(matches!(
        &payloads[..],
        [Payload::Data(_), Payload::Other(_)]
    ));
    assert!(matches!(
        read("<message type='x'/>").unwrap().content,
        Content::Message {
            kind: MessageKind::Normal,
            ..
        }
    ));

    let failed = read(&format!(
        "<message type='error'><body/><error type='cancel'/>{DATA}</message>"
    ))
    .unwrap();
    let Content::Message {
        kind: MessageKind::Error,
        payloads,
        error: Some(_),
    } = &failed.content
    else {
        panic!()
    };
    assert_eq!(payloads.len(), 2);

    let presence = read("<presence type='unavailable'><status>bye</status></presence>").unwrap();
    assert!(
        matches!(presence.content, Content::Presence { kind: PresenceKind::Unavailable, payloads } if payloads.len() == 1)
    );
}

#[test]
fn answers_go_back_to_where_the_request_came_from() {
    let request = read(&format!(
        "<iq from='a@b/c' to='d@e/f' id='i' type='set'>{DATA}</iq>"
    ))
    .unwrap();
    assert_eq!(
        written(&request.result(None)),
        "<iq xmlns='jabber:client' from='d@e/f' to='a@b/c' id='i' type='result'/>"
    );
    let error = StanzaError::new(ErrorType::Cancel, Condition::ItemNotFound);
    let expected = "<iq xmlns='jabber:client' from='d@e/f' to='a@b/c' id='i' type='error'><error type='cancel'>\
                    <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    assert_eq!(written(&request.error(error.clone())), expected);
    let message = read("<message from='a@b/c' id='i'><body/></message>").unwrap();
    assert_eq!(
        written(&message.error(error.clone())),
        "<message xmlns='jabber:client' to='a@b/c' id='i' type='error'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    );
    let presence = read("<presence from='a@b/c'/>").unwrap();
    assert!(
        written(&presence.error(error))
            .starts_with("<presence xmlns='jabber:client' to='a@b/c' type='error'><error")
    );
}

#[test]
fn prefixes_on_the_stanza_count_for_the_payload() {
    let document = "<iq id='i' type='set' xmlns:i='http://jabber.org/protocol/ibb'><i:data seq='0' sid='s'>QUJD</i:data></iq>";
    let frame = Bytes::from_static(document.as_bytes());
    let envelope = Envelope::read(&frame).unwrap();
    assert!(matches!(envelope.content, Content::Set(Payload::Data(_))));
    assert_eq!(
        Envelope::from_stanza(&Stanza::read(&frame).unwrap()).unwrap(),
        envelope
    );
}
