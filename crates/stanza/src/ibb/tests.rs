//! Tests of the elements of In-Band Bytestreams.

use super::*;
use crate::base64::Error;

const OPEN: &str = "<open xmlns='http://jabber.org/protocol/ibb' sid='s' block-size='4096'/>";

fn element(document: &str) -> Element {
    Element::read(document.as_bytes(), "jabber:client").unwrap()
}

fn open(attribute: &str, value: &str) -> Result<Open, PayloadError> {
    Open::read(&element(OPEN).with_attr(attribute, value))
}

fn data(seq: &str, sid: &str, text: &str) -> Result<Data, PayloadError> {
    Data::read(
        &Element::new("data", NS)
            .with_attr("seq", seq)
            .with_attr("sid", sid)
            .with_text(text),
    )
}

fn written(element: &Element) -> String {
    let mut out = Vec::new();
    element.write("jabber:client", &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn numbers_that_are_none_are_refused() {
    for text in [
        "", "+1", "-1", " 1", "1 ", "1e3", "0x10", "1.0", "1,0", "65536", "000001", "99999",
        "\u{661}", "1\n", "NaN",
    ] {
        assert_eq!(
            open("block-size", text),
            Err(PayloadError::Attribute {
                element: "open",
                attribute: "block-size"
            }),
            "{text:?}"
        );
        assert_eq!(
            data(text, "s", ""),
            Err(PayloadError::Attribute {
                element: "data",
                attribute: "seq"
            }),
            "{text:?}"
        );
    }
}

#[test]
fn a_block_size_of_zero_is_refused_and_a_seq_of_zero_is_not() {
    assert_eq!(
        open("block-size", "0"),
        Err(PayloadError::Attribute {
            element: "open",
            attribute: "block-size"
        })
    );
    assert_eq!(BlockSize::new(0), None);
    assert_eq!(data("0", "s", "").unwrap().seq, Seq(0));
}

#[test]
fn numbers_at_the_border_pass() {
    assert_eq!(
        open("block-size", "65535").unwrap().block_size,
        BlockSize::MAX
    );
    assert_eq!(open("block-size", "00001").unwrap().block_size.get(), 1);
    assert_eq!(data("65535", "s", "").unwrap().seq.next(), Seq(0));
}

#[test]
fn a_sid_that_is_no_token_is_refused() {
    for sid in [
        "",
        " ",
        "a b",
        " a",
        "a\n",
        "a/b",
        "a'b",
        "a&b",
        "\u{D7}",
        "\u{10000}",
    ] {
        assert_eq!(Sid::new(sid), Err(SidError::NotAToken), "{sid:?}");
        assert_eq!(
            open("sid", sid),
            Err(PayloadError::Attribute {
                element: "open",
                attribute: "sid"
            })
        );
        assert_eq!(
            data("0", sid, ""),
            Err(PayloadError::Attribute {
                element: "data",
                attribute: "sid"
            })
        );
        let close = Element::new("close", NS).with_attr("sid", sid);
        assert_eq!(
            Close::read(&close),
            Err(PayloadError::Attribute {
                element: "close",
                attribute: "sid"
            })
        );
    }
    assert_eq!(
        Sid::new(&"s".repeat(257)),
        Err(SidError::TooLong { len: 257 })
    );
}

#[test]
fn tokens_are_sids() {
    for sid in ["a", "1", "-.:_", "i781hf64", "\u{E9}", &"s".repeat(256)] {
        assert_eq!(Sid::new(sid).unwrap().as_str(), sid);
    }
}

#[test]
fn a_missing_attribute_is_refused() {
    let bare = |name: &str| Element::new(name, NS);
    assert_eq!(
        Open::read(&bare("open")),
        Err(PayloadError::Missing {
            element: "open",
            attribute: "block-size"
        })
    );
    assert_eq!(
        Open::read(&bare("open").with_attr("block-size", "1")),
        Err(PayloadError::Missing {
            element: "open",
            attribute: "sid"
        })
    );
    assert_eq!(
        Data::read(&bare("data")),
        Err(PayloadError::Missing {
            element: "data",
            attribute: "sid"
        })
    );
    assert_eq!(
        Data::read(&bare("data").with_attr("sid", "s")),
        Err(PayloadError::Missing {
            element: "data",
            attribute: "seq"
        })
    );
    assert_eq!(
        Close::read(&bare("close")),
        Err(PayloadError::Missing {
            element: "close",
            attribute: "sid"
        })
    );
}

#[test]
fn an_attribute_with_a_prefix_is_another_attribute() {
    let close = element(
        "<close xmlns='http://jabber.org/protocol/ibb' xmlns:i='http://jabber.org/protocol/ibb' i:sid='s'/>",
    );
    assert_eq!(
        Close::read(&close),
        Err(PayloadError::Missing {
            element: "close",
            attribute: "sid"
        })
    );
}

#[test]
fn another_carrier_is_refused() {
    for carrier in ["", "presence", "IQ", "iq "] {
        assert_eq!(
            open("stanza", carrier),
            Err(PayloadError::Attribute {
                element: "open",
                attribute: "stanza"
            }),
            "{carrier:?}"
        );
    }
}

#[test]
fn another_element_is_refused() {
    let other = Element::new("open", "urn:xmpp:tmp:xtls")
        .with_attr("sid", "s")
        .with_attr("block-size", "1");
    assert_eq!(Open::read(&other), Err(PayloadError::Unknown));
    assert_eq!(Data::read(&element(OPEN)), Err(PayloadError::Unknown));
    assert_eq!(Close::read(&element(OPEN)), Err(PayloadError::Unknown));
}

#[test]
fn data_that_is_not_base64_is_refused() {
    assert_eq!(
        data("0", "s", "!"),
        Err(PayloadError::Base64 {
            element: "data",
            why: Error::Foreign(b'!')
        })
    );
    assert_eq!(
        data("0", "s", "QR=="),
        Err(PayloadError::Base64 {
            element: "data",
            why: Error::TrailingBits
        })
    );
    assert_eq!(
        data("0", "s", "QQ"),
        Err(PayloadError::Base64 {
            element: "data",
            why: Error::Padding
        })
    );
    let strict = Data::from_parts("s", "0", "QUJD\n", Whitespace::Refuse);
    assert_eq!(
        strict,
        Err(PayloadError::Base64 {
            element: "data",
            why: Error::Foreign(b'\n')
        })
    );
}

#[test]
fn data_with_elements_inside_is_refused() {
    let nested =
        element("<data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>QU<b/>JD</data>");
    assert_eq!(
        Data::read(&nested),
        Err(PayloadError::Children { element: "data" })
    );
}

#[test]
fn wrapped_data_is_read() {
    assert_eq!(
        data("7", "s", "\n  QUJD\n  REVG\n").unwrap(),
        Data {
            sid: Sid::new("s").unwrap(),
            seq: Seq(7),
            bytes: "ABCDEF".into()
        }
    );
    assert_eq!(data("7", "s", " ").unwrap().bytes, "");
}

#[test]
fn open_is_written_as_the_letter_has_it() {
    assert_eq!(open("stanza", "iq").unwrap(), open("x", "ignored").unwrap());
    assert_eq!(written(&open("stanza", "iq").unwrap().to_element()), OPEN);
    let message = open("stanza", "message").unwrap();
    assert_eq!(message.carrier, Carrier::Message);
    assert_eq!(
        written(&message.to_element()),
        OPEN.replace("/>", " stanza='message'/>")
    );
}

#[test]
fn extensions_of_open_are_kept_in_order() {
    let document = OPEN.replace(
        "/>",
        "><start xmlns='urn:xmpp:tmp:xtls'/><x xmlns='u'>y</x></open>",
    );
    let open = Open::read(&element(&document)).unwrap();
    assert_eq!(open.extensions.len(), 2);
    assert_eq!(written(&open.to_element()), document);
}

#[test]
fn data_is_written_the_same_with_and_without_a_tree() {
    for bytes in ["", "A", "ABCDEF"] {
        let data = Data {
            sid: Sid::new("s:1").unwrap(),
            seq: Seq(65535),
            bytes: bytes.into(),
        };
        let mut out = Vec::new();
        data.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), written(&data.to_element()));
        assert_eq!(Data::read(&data.to_element()).unwrap(), data);
    }
}

#[test]
fn close_comes_back() {
    let close = Close {
        sid: Sid::new("s").unwrap(),
    };
    assert_eq!(Close::read(&close.to_element()).unwrap(), close);
}

#[test]
fn debug_output_shows_no_bytes() {
    let data = data("0", "s", "c2VjcmV0").unwrap();
    assert_eq!(format!("{data:?}"), "Data { sid: \"s\", seq: 0, 6 bytes }");
}
