//! Tests of trees: what is written is what is read.

use proptest::prelude::*;

use super::*;
use crate::{ns, strategy};

fn written(element: &Element, inherited_ns: &str) -> String {
    let mut out = Vec::new();
    element.write(inherited_ns, &mut out);
    String::from_utf8(out).unwrap()
}

/// The shape without names, values and texts.
fn shape(element: &Element) -> String {
    element
        .elements()
        .fold(String::from("("), |out, child| out + &shape(child))
        + ")"
}

#[test]
fn an_attribute_cannot_end_its_value() {
    let element = Element::new("a", "").with_attr("b", "'/><c d='\"&<>");
    assert_eq!(
        written(&element, ""),
        "<a b='&apos;/&gt;&lt;c d=&apos;\"&amp;&lt;&gt;'/>"
    );
}

#[test]
fn text_cannot_begin_a_tag_or_end_cdata() {
    let element = Element::new("a", "").with_text("</a>]]>&lt;");
    assert_eq!(written(&element, ""), "<a>&lt;/a&gt;]]&gt;&amp;lt;</a>");
}

#[test]
fn a_namespace_cannot_end_its_declaration() {
    assert_eq!(
        written(&Element::new("a", "u' b='"), ""),
        "<a xmlns='u&apos; b=&apos;'/>"
    );
}

#[test]
fn a_name_that_is_none_is_mended() {
    assert_eq!(
        written(&Element::new("a b='c'/><d", ""), ""),
        "<a_b__c____d/>"
    );
    assert_eq!(
        written(&Element::new("", "").with_attr("1", "x"), ""),
        "<_ _1='x'/>"
    );
}

#[test]
fn an_attribute_cannot_declare_a_namespace() {
    let mut element = Element::new("a", "")
        .with_attr("xmlns", "u")
        .with_attr("xmlns:p", "v");
    element.attrs.push(Attr {
        ns: Some(ns::XMLNS.into()),
        name: "q".into(),
        value: "w".into(),
    });
    assert_eq!(written(&element, ""), "<a xmlns_p='v'/>");
}

#[test]
fn of_two_attributes_with_one_name_the_first_is_written() {
    let twice = |ns: Option<&str>, name: &str| Attr {
        ns: ns.map(Into::into),
        name: name.into(),
        value: name.into(),
    };
    let mut element = Element::new("a", "");
    element.attrs = vec![
        twice(None, "b c"),
        twice(None, "b_c"),
        twice(Some(""), "b.c"),
        twice(None, "b.c"),
        twice(Some("u"), "b"),
        twice(Some("u"), "b"),
    ];
    assert_eq!(
        written(&element, ""),
        "<a b_c='b c' b.c='b.c' xmlns:a0='u' a0:b='b'/>"
    );
}

#[test]
fn characters_that_xml_cannot_carry_are_replaced() {
    let element = Element::new("a", "")
        .with_attr("b", "\0\u{FFFE}")
        .with_text("\u{B}\u{FFFF}\u{1F}\u{FFFD}\u{EFFF}");
    assert_eq!(
        written(&element, ""),
        "<a b='\u{FFFD}\u{FFFD}'>\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{EFFF}</a>"
    );
}

#[test]
fn namespaces_that_are_written_alike_are_one() {
    let attr = |ns: &str| Attr {
        ns: Some(ns.into()),
        name: "b".into(),
        value: ns.into(),
    };
    let mut element = Element::new("a", "\0").with_child(Element::new("c", "\u{1}"));
    element.attrs = vec![attr("\0"), attr("\u{1}")];
    assert_eq!(
        written(&element, ""),
        "<a xmlns='\u{FFFD}' xmlns:a0='\u{FFFD}' a0:b='\u{FFFD}'><c/></a>"
    );
}

#[test]
fn white_space_survives_normalisation() {
    let element = Element::new("a", "")
        .with_attr("b", "\t\n\r ")
        .with_text("\t\n\r ");
    assert_eq!(
        written(&element, ""),
        "<a b='&#9;&#10;&#13; '>\t\n&#13; </a>"
    );
}

#[test]
fn an_element_in_the_namespace_of_xmlns_has_none() {
    assert_eq!(written(&Element::new("a", ns::XMLNS), "u"), "<a xmlns=''/>");
}

#[test]
fn elements_in_the_namespace_of_xml_need_its_prefix() {
    let element = Element::new("a", ns::XML).with_child(Element::new("b", "u"));
    assert_eq!(written(&element, "u"), "<xml:a><b/></xml:a>");
}

#[test]
fn a_namespace_is_declared_where_it_changes() {
    let element = Element::new("a", "u")
        .with_child(Element::new("b", "u"))
        .with_child(Element::new("c", "").with_child(Element::new("d", "u")));
    assert_eq!(
        written(&element, ""),
        "<a xmlns='u'><b/><c xmlns=''><d xmlns='u'/></c></a>"
    );
    assert_eq!(
        written(&element, "u"),
        "<a><b/><c xmlns=''><d xmlns='u'/></c></a>"
    );
}

#[test]
fn with_attr_replaces_and_finds_by_name_without_namespace() {
    let mut element = Element::new("a", "")
        .with_attr("b", "1")
        .with_attr("b", "2");
    element.attrs.insert(
        0,
        Attr {
            ns: Some("u".into()),
            name: "b".into(),
            value: "3".into(),
        },
    );
    assert_eq!(
        (element.attr("b"), element.attr("c"), element.attrs.len()),
        (Some("2"), None, 2)
    );
}

#[test]
fn debug_output_shows_no_contents() {
    let element = Element::read(b"<body kind='secret'>secret<b>secret</b></body>", "u").unwrap();
    let shown = format!("{element:?}");
    assert!(!shown.contains("secret"), "{shown}");
    assert_eq!(
        shown,
        "<body xmlns=\"u\"[kind=6 bytes]>[6 bytes, <b xmlns=\"u\"[]>[6 bytes]]"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn reading_what_was_written_gives_the_same_tree(element in strategy::element(), inherited in prop_oneof![Just(""), Just("u"), Just(ns::CLIENT)]) {
        let text = written(&element, inherited);
        let read = Element::read(text.as_bytes(), inherited).unwrap();
        prop_assert!(read == element, "{}", text);
        prop_assert_eq!(written(&read, inherited), text);
    }

    #[test]
    fn nothing_in_a_field_changes_the_structure(element in strategy::wild()) {
        let text = written(&element, "");
        match Element::read(text.as_bytes(), "") {
            Ok(read) => {
                prop_assert_eq!(shape(&read), shape(&element), "{}", text);
                prop_assert_eq!(written(&read, ""), text);
            }
            Err(error) => prop_assert!(false, "{}: {}", error, text),
        }
    }
}
