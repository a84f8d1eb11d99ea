//! Tests of the elements of XTLS.

use bytes::Bytes;
use xtls_stanza::base64::Error;
use xtls_stanza::ibb::{BlockSize, Carrier, Open, Sid};
use xtls_stanza::xtls::{Control, NS};
use xtls_stanza::{Element, PayloadError};

fn read(document: &str) -> Result<Control, PayloadError> {
    Control::read(&Element::read(document.as_bytes(), NS).unwrap())
}

fn written(control: &Control) -> String {
    let mut out = Vec::new();
    control.to_element().write(NS, &mut out);
    String::from_utf8(out).unwrap()
}

fn open(extensions: &[&str]) -> Open {
    Open {
        sid: Sid::new("s").unwrap(),
        block_size: BlockSize::MAX,
        carrier: Carrier::Iq,
        extensions: extensions
            .iter()
            .map(|e| Element::read(e.as_bytes(), NS).unwrap())
            .collect(),
    }
}

#[test]
fn elements_that_do_not_exist_are_refused() {
    assert_eq!(read("<stop/>"), Err(PayloadError::Unknown));
    assert_eq!(read("<Start/>"), Err(PayloadError::Unknown));
    assert_eq!(
        read("<start xmlns='urn:xmpp:xtls:0'/>"),
        Err(PayloadError::Unknown)
    );
}

#[test]
fn two_hellos_are_refused() {
    let hello = "<hello xmlns='urn:xmpp:tmp:xtls#early'/>";
    for name in ["start", "proceed"] {
        assert_eq!(
            read(&format!("<{name}>{hello}{hello}</{name}>")),
            Err(PayloadError::Twice { element: "hello" })
        );
    }
}

#[test]
fn a_hello_that_is_not_base64_is_refused() {
    let bad = read("<start><hello xmlns='urn:xmpp:tmp:xtls#early'>Q</hello></start>");
    assert_eq!(
        bad,
        Err(PayloadError::Base64 {
            element: "hello",
            why: Error::Length
        })
    );
}

#[test]
fn data_that_is_not_base64_is_refused() {
    assert_eq!(
        read("<data method='x509'>QUJD!</data>"),
        Err(PayloadError::Base64 {
            element: "data",
            why: Error::Foreign(b'!')
        })
    );
}

#[test]
fn data_of_another_method_or_of_none_is_refused() {
    for data in ["<data>QUJD</data>", "<data method='openpgp'>QUJD</data>"] {
        let wrong = PayloadError::Attribute {
            element: "data",
            attribute: "method",
        };
        assert_eq!(read(data), Err(wrong), "{data}");
    }
}

#[test]
fn a_sid_that_is_no_token_is_refused() {
    assert_eq!(
        read("<close sid='a b'/>"),
        Err(PayloadError::Attribute {
            element: "close",
            attribute: "sid"
        })
    );
    assert_eq!(
        read("<close sid=''/>"),
        Err(PayloadError::Attribute {
            element: "close",
            attribute: "sid"
        })
    );
}

#[test]
fn two_starts_in_an_open_are_refused() {
    assert_eq!(
        Control::in_open(&open(&["<start/>", "<start/>"])),
        Err(PayloadError::Twice { element: "start" })
    );
    assert!(
        Control::in_open(&open(&[
            "<start><hello xmlns='urn:xmpp:tmp:xtls#early'>!</hello></start>"
        ]))
        .is_err()
    );
}

#[test]
fn an_open_without_start_is_not_for_xtls() {
    assert_eq!(Control::in_open(&open(&[])), Ok(None));
    assert_eq!(
        Control::in_open(&open(&["<close/>", "<start xmlns='u'/>"])),
        Ok(None)
    );
    assert_eq!(
        Control::in_open(&open(&["<x xmlns='u'/>", "<start/>"])),
        Ok(Some(Control::Start { hello: None }))
    );
}

#[test]
fn what_is_not_known_is_ignored() {
    let start = Ok(Control::Start { hello: None });
    assert_eq!(
        read("<start method='x509'><offer xmlns='urn:xmpp:tmp:c2ctls'/></start>"),
        start
    );
    // Not in the namespace of the extension.
    assert_eq!(read("<start><hello>QUJD</hello></start>"), start);
    assert_eq!(read("<closed sid='s'/>"), Ok(Control::Closed));
}

#[test]
fn all_come_back_as_they_were_written() {
    let hello = Some(Bytes::from_static(b"ABC"));
    let sid = Sid::new("s").ok();
    for (control, document) in [
        (Control::Start { hello: None }, "<start/>"),
        (
            Control::Start {
                hello: hello.clone(),
            },
            "<start><hello xmlns='urn:xmpp:tmp:xtls#early'>QUJD</hello></start>",
        ),
        (
            Control::Start {
                hello: Some(Bytes::new()),
            },
            "<start><hello xmlns='urn:xmpp:tmp:xtls#early'/></start>",
        ),
        (Control::Proceed { hello: None }, "<proceed/>"),
        (
            Control::Proceed { hello },
            "<proceed><hello xmlns='urn:xmpp:tmp:xtls#early'>QUJD</hello></proceed>",
        ),
        (
            Control::Data(Bytes::from_static(b"ABC")),
            "<data method='x509'>QUJD</data>",
        ),
        (Control::Close { sid: None }, "<close/>"),
        (Control::Close { sid }, "<close sid='s'/>"),
        (Control::Closed, "<closed/>"),
    ] {
        assert_eq!(written(&control), document);
        assert_eq!(read(document), Ok(control));
    }
}

#[test]
fn debug_output_shows_no_bytes() {
    assert_eq!(
        format!("{:?}", Control::Data(Bytes::from_static(b"secret"))),
        "data(6 bytes)"
    );
    assert_eq!(
        format!(
            "{:?}",
            Control::Close {
                sid: Sid::new("s").ok()
            }
        ),
        "close(\"s\")"
    );
}
