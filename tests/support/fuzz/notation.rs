//! A tree as bytes, the same from every parser, with marks that XML can't contain.
//!
//! `\x01` namespace `\x02` name, for each attribute `\x03` namespace `\x02` name `\x04` value, then `\x05`, the
//! content, and `\x06`. Text appears as it is, so that it doesn't matter in how many pieces a parser reports it.

use xtls_stanza::{Element, Node};

/// The order of attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As in the document.
    Kept,
    /// Sorted by namespace and name, which is all that rxml reports.
    Sorted,
}

/// The tree that we see.
pub(super) fn tree(element: &Element, order: Order) -> Vec<u8> {
    let mut out = Vec::new();
    element_to(&mut out, element, order);
    out
}

pub(super) fn element_to(out: &mut Vec<u8>, element: &Element, order: Order) {
    let mut attributes: Vec<(&str, &str, &str)> = element
        .attrs
        .iter()
        .map(|a| {
            (
                a.ns.as_deref().unwrap_or_default(),
                &*a.name,
                a.value.as_str(),
            )
        })
        .collect();
    if order == Order::Sorted {
        attributes.sort_unstable();
    }
    start(out, &element.ns, &element.name, attributes.into_iter());
    for child in &element.children {
        match child {
            Node::Element(child) => element_to(out, child, order),
            Node::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
    end(out);
}

/// A start tag.
pub(super) fn start<'a>(
    out: &mut Vec<u8>,
    ns: &str,
    name: &str,
    attributes: impl Iterator<Item = (&'a str, &'a str, &'a str)>,
) {
    push(out, b'\x01', ns);
    push(out, b'\x02', name);
    for (ns, name, value) in attributes {
        push(out, b'\x03', ns);
        push(out, b'\x02', name);
        push(out, b'\x04', value);
    }
    out.push(b'\x05');
}

/// An end tag.
pub(super) fn end(out: &mut Vec<u8>) {
    out.push(b'\x06');
}

/// A tree for people to read.
pub(super) fn readable(tree: &[u8]) -> String {
    tree.escape_ascii().to_string()
}

fn push(out: &mut Vec<u8>, mark: u8, text: &str) {
    out.push(mark);
    out.extend_from_slice(text.as_bytes());
}
