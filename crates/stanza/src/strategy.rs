//! Trees and texts for property tests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::element::{Attr, Element, Node};
use crate::ns;

/// Texts that try to get out of where they are put, and texts that XML cannot carry.
pub(crate) fn nasty() -> BoxedStrategy<String> {
    let piece = prop_oneof![
        proptest::sample::select(&[
            "'/><evil xmlns='",
            "\"/><evil/>",
            "]]>",
            "<![CDATA[",
            "<!--",
            "-->",
            "<?xml?>",
            "&",
            "&amp;",
            "&#0;",
            "&#x41;",
            "<",
            ">",
            "'",
            "\"",
            "\0",
            "\u{1}",
            "\u{B}",
            "\u{1F}",
            "\u{7F}",
            "\u{FFFE}",
            "\u{FFFF}",
            "\u{FFFD}",
            "\u{FEFF}",
            "\u{EFFF}",
            "\u{F000}",
            "\r",
            "\n",
            "\r\n",
            "\t",
            " ",
            "xmlns",
            "xmlns:a",
            ":",
            "xml:lang",
            "é",
            "日",
            "\u{10FFFF}",
            "\u{7F}",
            "\u{85}",
            "\u{9B}",
            "\u{61C}",
            "\u{2028}",
            "\u{2029}",
            "\u{202E}",
            "\u{2069}",
            "</message>",
            "</iq>",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        "[ -~]{0,6}",
    ];
    vec(piece, 0..5).prop_map(|pieces| pieces.concat()).boxed()
}

/// Texts that XML can carry.
pub(crate) fn text() -> impl Strategy<Value = String> {
    nasty().prop_map(|text| text.chars().filter(|&c| !matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')).collect())
}

/// Names without a colon.
pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9._-]{0,4}",
        Just("é".to_owned()),
        Just("xmlnsx".to_owned())
    ]
}

fn attribute((ns, name, value): (Option<String>, String, String)) -> Attr {
    Attr {
        ns: ns.map(Into::into),
        name: name.into(),
        value,
    }
}

fn namespace() -> impl Strategy<Value = String> {
    let known = proptest::sample::select(&[
        "",
        ns::CLIENT,
        ns::IBB,
        ns::XTLS,
        ns::XTLS_EARLY,
        ns::STANZAS,
        ns::XML,
        "u",
        "a b'<&>",
    ]);
    // Long enough that each is declared once where it is used three times.
    let long = proptest::sample::select(&["v", "w", "x"]).prop_map(|name| name.repeat(600));
    prop_oneof![
        known.prop_map(str::to_owned),
        long,
        text().prop_filter("declarable", |ns| ns != ns::XMLNS)
    ]
}

/// Trees as the reader makes them: no text is empty or next to another, no attribute appears twice.
pub(crate) fn element() -> impl Strategy<Value = Element> {
    let attr_ns = option::of(namespace().prop_filter("not empty", |ns| !ns.is_empty()));
    let attr = (attr_ns, name(), text()).prop_map(attribute);
    let attrs = vec(attr, 0..4)
        .prop_map(|attrs| {
            let mut distinct: Vec<Attr> = Vec::new();
            for attr in attrs {
                if distinct
                    .iter()
                    .all(|a| (&a.ns, &a.name) != (&attr.ns, &attr.name))
                {
                    distinct.push(attr);
                }
            }
            distinct
        })
        .boxed();
    let leaf = (name(), namespace(), attrs.clone()).prop_map(|(name, ns, attrs)| Element {
        attrs,
        ..Element::new(name, ns)
    });
    leaf.prop_recursive(4, 16, 4, move |inner| {
        let node = prop_oneof![text().prop_map(Node::Text), inner.prop_map(Node::from)];
        (name(), namespace(), attrs.clone(), vec(node, 0..4)).prop_map(
            |(name, ns, attrs, children)| {
                let element = Element {
                    attrs,
                    ..Element::new(name, ns)
                };
                children
                    .into_iter()
                    .fold(element, |element, child| match child {
                        Node::Element(child) => element.with_child(*child),
                        Node::Text(text) => element.with_text(text),
                    })
            },
        )
    })
}

/// Trees with anything at all in every field.
pub(crate) fn wild() -> impl Strategy<Value = Element> {
    let attr = (option::of(nasty()), nasty(), nasty()).prop_map(attribute);
    let attrs = vec(attr, 0..4).boxed();
    let ns = prop_oneof![
        nasty(),
        Just("\u{1}".repeat(300)),
        Just("\u{FFFD}".repeat(300)),
        Just(ns::XMLNS.to_owned()),
        Just(ns::XML.to_owned())
    ]
    .boxed();
    let leaf = (nasty(), ns.clone(), attrs.clone()).prop_map(|(name, ns, attrs)| Element {
        attrs,
        ..Element::new(name, ns)
    });
    leaf.prop_recursive(3, 12, 4, move |inner| {
        let node = prop_oneof![nasty().prop_map(Node::Text), inner.prop_map(Node::from)];
        (nasty(), ns.clone(), attrs.clone(), vec(node, 0..4)).prop_map(
            |(name, ns, attrs, children)| Element {
                attrs,
                children,
                ..Element::new(name, ns)
            },
        )
    })
}
