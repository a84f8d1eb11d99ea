//! Costs are counted in bytes looked at, so that these tests say the same on any machine.

use crate::{Framer, Limits};

/// Bytes looked at to cut a document that comes in pieces of this size.
fn cost(document: &str, piece: usize) -> usize {
    let mut framer = Framer::new(Limits::default().max_len(usize::MAX).max_depth(u32::MAX));
    for piece in document.as_bytes().chunks(piece) {
        framer.push(piece);
        while framer.next().unwrap().is_some() {}
    }
    assert_eq!(framer.buffered(), 0);
    framer.looked_at()
}

/// Twice the document costs twice as much, in any pieces and up to a mebibyte, and never more than
/// a few looks a byte.
#[track_caller]
fn is_linear(document: impl Fn(usize) -> String) {
    let unit = document(2).len() - document(1).len();
    for (piece, len) in [(1, 1 << 18), (1000, 1 << 20), (usize::MAX, 1 << 20)] {
        let most = len / unit;
        let [small, half, whole] = [most / 64, most / 2, most].map(|n| cost(&document(n), piece));
        let costs = format!("{small}, {half}, {whole} in pieces of {piece}");
        assert!(whole <= 2 * half + half / 5, "{costs}");
        assert!(whole <= 64 * small + 64 * small / 5, "{costs}");
        assert!(whole <= 8 * len, "{costs}");
    }
}

#[test]
fn text() {
    is_linear(|n| format!("<a>{}</a>", "it's > ]]".repeat(n)));
}

#[test]
fn stanzas() {
    is_linear(|n| "<a b='c'><d/></a> ".repeat(n));
}

#[test]
fn whitespace() {
    is_linear(|n| format!("{}<a/>", " \n".repeat(n)));
}

#[test]
fn attributes() {
    is_linear(|n| format!("<a{}/>", " b='c'".repeat(n)));
    is_linear(|n| format!("<a{}></a>", " b=\"c\"".repeat(n)));
}

#[test]
fn attributes_in_both_quotes() {
    is_linear(|n| format!("<a{}/>", " b='c' d=\"e\"".repeat(n)));
    is_linear(|n| format!("<a{} d=\"e\"/>", " b='c'".repeat(n)));
    is_linear(|n| format!("<a{} d='e'/>", " b=\"c\"".repeat(n)));
}

/// Each `>` could be the end of the tag and is not.
#[test]
fn many_ends_in_an_attribute() {
    is_linear(|n| format!("<a b='{}'/>", ">".repeat(n)));
    is_linear(|n| format!("<a b=\"{}\"/>", "x'>".repeat(n)));
    is_linear(|n| format!("<a{} b=\"{}\"/>", " c='d'".repeat(n), "x'>".repeat(n)));
    is_linear(|n| format!("<a{}/>", " b='>' c=\">\"".repeat(n)));
}

/// Tags that each turn the guess about the peer's quotes.
#[test]
fn quotes_that_change_with_every_tag() {
    is_linear(|n| format!("<a>{}</a>", "<b c='d'/><b c=\"d\"/>".repeat(n)));
}

#[test]
fn space_in_tags() {
    is_linear(|n| format!("<a{}/>", " ".repeat(n)));
    is_linear(|n| format!("<a b='c'{}></a{}>", " ".repeat(n), " ".repeat(n)));
}

#[test]
fn names() {
    is_linear(|n| format!("<{0}></{0}>", "a".repeat(n)));
}

#[test]
fn depth() {
    is_linear(|n| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n)));
}

#[test]
fn cdata() {
    is_linear(|n| format!("<a><![CDATA[{}]]></a>", "]>]".repeat(n)));
    is_linear(|n| format!("<a>{}</a>", "<![CDATA[]]>".repeat(n)));
}
