//! Texts and receipts of messages.

use bytes::Bytes;
use xtls_stanza::receipts::Receipt;
use xtls_stanza::{Body, Content, Element, Envelope, MessageKind, Payload, PayloadError, ns};

fn read(children: &str) -> Envelope {
    let frame = format!("<message id='m'>{children}</message>");
    Envelope::read(&Bytes::from(frame)).unwrap()
}

fn text(children: &str, lang: Option<&str>) -> Option<String> {
    read(children).body(lang).map(|body| body.text)
}

#[test]
fn the_text_in_the_language_is_found_or_else_the_first() {
    let both = "<body xml:lang='en'>a</body><body xml:lang='it'>b</body><body>c</body>";
    assert_eq!(text(both, Some("IT")).as_deref(), Some("b"));
    assert_eq!(text(both, Some("de")).as_deref(), Some("a"));
    assert_eq!(text(both, None).as_deref(), Some("c"));
    assert_eq!(
        text("<subject>a</subject><body/>", None).as_deref(),
        Some("")
    );
}

#[test]
fn what_is_not_a_text_is_not_taken_for_one() {
    assert_eq!(text("", None), None);
    assert_eq!(text("<body xmlns='urn:x'>a</body>", None), None);
    assert_eq!(text("<body>a<b/></body>", None), None);
    let nested = Element::new("body", ns::CLIENT).with_child(Element::new("b", "x"));
    assert_eq!(
        Body::read(&nested),
        Err(PayloadError::Children { element: "body" })
    );
    let iq = Bytes::from_static(b"<iq type='set' id='i'><body>a</body></iq>");
    assert_eq!(Envelope::read(&iq).unwrap().body(None), None);
}

#[test]
fn texts_and_receipts_come_back_as_they_were_written() {
    let (lang, text) = (Some("en".to_owned()), "a < b".to_owned());
    let body = Body { lang, text };
    let receipt = Receipt::Received { id: "x".into() };
    let message = Envelope {
        from: None,
        to: None,
        id: "m".into(),
        content: Content::Message {
            kind: MessageKind::Chat,
            payloads: vec![body.clone().into(), Payload::from(receipt.clone())],
            error: None,
        },
    };
    let mut wire = Vec::new();
    message.write(&mut wire);
    let message = Envelope::read(&Bytes::from(wire)).unwrap();
    assert_eq!(message.body(None), Some(body));
    assert_eq!(message.receipt(), Some(receipt));
    assert_eq!(read("<body>a</body>").receipt(), None);
}

#[test]
fn debug_output_shows_no_text() {
    assert_eq!(
        format!("{:?}", Body::new("secret")),
        "Body { lang: None, 6 bytes }"
    );
}
