//! Tests of the smaller payloads.

use xtls_stanza::disco::{Identity, Info, Items, Query};
use xtls_stanza::hints::{self, Hint};
use xtls_stanza::limits::Limits;
use xtls_stanza::receipts::Receipt;
use xtls_stanza::{Element, Payload, PayloadError, ns};

fn element(document: &str) -> Element {
    Element::read(document.as_bytes(), ns::CLIENT).unwrap()
}

fn written(element: &Element) -> String {
    let mut out = Vec::new();
    element.write(ns::CLIENT, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn disco_children_that_lack_an_attribute_are_refused() {
    let info = |child: &str| {
        Info::read(&element(&format!(
            "<query xmlns='http://jabber.org/protocol/disco#info'>{child}</query>"
        )))
    };
    assert_eq!(
        info("<identity type='pc'/>"),
        Err(PayloadError::Missing {
            element: "identity",
            attribute: "category"
        })
    );
    assert_eq!(
        info("<identity category='client'/>"),
        Err(PayloadError::Missing {
            element: "identity",
            attribute: "type"
        })
    );
    assert_eq!(
        info("<feature/>"),
        Err(PayloadError::Missing {
            element: "feature",
            attribute: "var"
        })
    );
    assert_eq!(
        info("<feature xmlns='u'/><x xmlns='jabber:x:data'/>"),
        Ok(Info::default())
    );
}

#[test]
fn disco_of_another_kind_is_refused() {
    let items = element("<query xmlns='http://jabber.org/protocol/disco#items'/>");
    assert_eq!(Query::read(&items), Err(PayloadError::Unknown));
    assert_eq!(Info::read(&items), Err(PayloadError::Unknown));
}

#[test]
fn disco_comes_back() {
    let document = "<query xmlns='http://jabber.org/protocol/disco#info' node='n'><identity category='client' type='pc' name='&lt;x&gt;'/>\
                    <feature var='urn:xmpp:tmp:xtls'/></query>";
    let info = Info::read(&element(document)).unwrap();
    assert_eq!(
        info.identities,
        [Identity {
            category: "client".into(),
            type_: "pc".into(),
            name: Some("<x>".into())
        }]
    );
    assert!(info.has(ns::XTLS) && !info.has(ns::IBB));
    assert_eq!(written(&info.to_element()), document);
    let query = Query {
        node: Some("n".into()),
    };
    assert_eq!(Query::read(&query.to_element()), Ok(query));
}

#[test]
fn limits_that_are_no_numbers_are_refused() {
    for text in ["", "-1", "+1", "1e3", "0x10", "18446744073709551616", "1 2"] {
        let limits = element(&format!(
            "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>{text}</max-bytes></limits>"
        ));
        assert_eq!(
            Limits::read(&limits),
            Err(PayloadError::Text {
                element: "max-bytes"
            }),
            "{text:?}"
        );
    }
    assert_eq!(
        Limits::read(&element("<limits/>")),
        Err(PayloadError::Unknown)
    );
}

#[test]
fn limits_come_back() {
    let document = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes><idle-seconds>1800</idle-seconds></limits>";
    let limits = Limits::read(&element(document)).unwrap();
    assert_eq!(
        limits,
        Limits {
            max_bytes: Some(262_144),
            idle_seconds: Some(1800)
        }
    );
    assert_eq!(written(&limits.to_element()), document);
    assert_eq!(
        Limits::read(&Limits::default().to_element()),
        Ok(Limits::default())
    );
}

#[test]
fn hints_come_back() {
    for hint in Hint::ALL {
        assert_eq!(Hint::read(&hint.to_element()), Some(hint));
        assert_eq!(Hint::read(&Element::new(hint.name(), ns::CLIENT)), None);
    }
    assert_eq!(
        written(&Hint::NoPermanentStore.to_element()),
        "<no-permanent-store xmlns='urn:xmpp:hints'/>"
    );
    assert_eq!(Hint::read(&Element::new("keep", ns::HINTS)), None);
}

#[test]
fn private_is_private() {
    assert_eq!(
        written(&hints::private()),
        "<private xmlns='urn:xmpp:carbons:2'/>"
    );
    assert!(hints::is_private(&hints::private()));
    assert!(!hints::is_private(&Element::new("sent", ns::CARBONS)));
}

#[test]
fn a_receipt_that_does_not_say_of_what_is_refused() {
    assert_eq!(
        Receipt::read(&element("<received xmlns='urn:xmpp:receipts'/>")),
        Err(PayloadError::Missing {
            element: "received",
            attribute: "id"
        })
    );
    assert_eq!(
        Receipt::read(&element("<seen xmlns='urn:xmpp:receipts'/>")),
        Err(PayloadError::Unknown)
    );
    assert_eq!(
        Receipt::read(&element("<received id='i'/>")),
        Err(PayloadError::Unknown)
    );
}

#[test]
fn receipts_come_back() {
    for receipt in [Receipt::Request, Receipt::Received { id: "it's".into() }] {
        assert_eq!(Receipt::read(&receipt.to_element()), Ok(receipt));
    }
}

#[test]
fn ping_is_a_ping_and_other_elements_of_its_namespace_are_others() {
    assert_eq!(
        Payload::read(&element("<ping xmlns='urn:xmpp:ping'/>")),
        Payload::Ping
    );
    assert_eq!(
        written(&Payload::Ping.to_element()),
        "<ping xmlns='urn:xmpp:ping'/>"
    );
    assert!(matches!(
        Payload::read(&element("<pong xmlns='urn:xmpp:ping'/>")),
        Payload::Other(_)
    ));
}

#[test]
fn errors_say_what_is_wrong() {
    let why = xtls_stanza::base64::Error::Foreign(b'!');
    assert_eq!(
        PayloadError::Base64 {
            element: "data",
            why
        }
        .to_string(),
        "<data/>: byte 0x21 may not stand there in base64 (RFC 4648 \u{A7}3.3)"
    );
    assert_eq!(
        PayloadError::Missing {
            element: "open",
            attribute: "sid"
        }
        .to_string(),
        "<open/> lacks the attribute sid"
    );
}

#[test]
fn items_whose_address_is_missing_or_none_are_refused() {
    let items = |child: &str| {
        Items::read(&element(&format!(
            "<query xmlns='http://jabber.org/protocol/disco#items'>{child}</query>"
        )))
    };
    assert_eq!(
        items("<item name='n'/>"),
        Err(PayloadError::Missing {
            element: "item",
            attribute: "jid"
        })
    );
    assert_eq!(
        items("<item jid='@'/>"),
        Err(PayloadError::Attribute {
            element: "item",
            attribute: "jid"
        })
    );
    assert_eq!(items("<item xmlns='u'/>"), Ok(Items::default()));
    let info = element("<query xmlns='http://jabber.org/protocol/disco#info'/>");
    assert_eq!(Items::read(&info), Err(PayloadError::Unknown));
}

#[test]
fn items_come_back() {
    let document = "<query xmlns='http://jabber.org/protocol/disco#items' node='n'>\
                    <item jid='proxy.a.example'/><item jid='a.example' node='&lt;x&gt;' name='y'/></query>";
    let items = Items::read(&element(document)).unwrap();
    assert_eq!(items.items.len(), 2);
    assert_eq!(written(&items.to_element()), document);
}
