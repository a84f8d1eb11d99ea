//! The work grows like the document (X10): eight times the bytes take about eight times as long,
//! where a quadratic reader would take sixty-four times. A busy machine can spoil a round, so there
//! are many, and one good one will do: a quadratic reader has none.

#![allow(
    clippy::disallowed_methods,
    reason = "the time that reading takes is what is tested"
)]

use std::time::Instant;

use xtls_stanza::Element;

const SMALL: usize = 1 << 16;
const LARGE: usize = 1 << 19;
const ROUNDS: usize = 20;

/// Reads `<a>piece piece …</a>` of both sizes and compares the times.
fn linear(piece: impl Fn(usize) -> String) {
    let document = |size: usize| {
        let mut document = "<a>".to_owned();
        let mut count = 0;
        while document.len() < size {
            document += &piece(count);
            count += 1;
        }
        document + "</a>"
    };
    let (small, large) = (document(SMALL), document(LARGE));
    let time = |document: &str| {
        let start = Instant::now();
        Element::read(document.as_bytes(), "").unwrap();
        start.elapsed()
    };
    let good = |_| time(&large) < time(&small) * 20;
    assert!(
        (0..ROUNDS).any(good),
        "{SMALL} to {LARGE} bytes in less than 20 times the time"
    );
}

#[test]
fn elements() {
    linear(|_| "<b/>".into());
}

#[test]
fn attributes() {
    let attributes: String = (0..64).map(|i| format!(" a{i}=''")).collect();
    linear(|_| format!("<b{attributes}/>"));
}

#[test]
fn attributes_with_prefixes() {
    let declarations: String = (0..32).map(|i| format!(" xmlns:p{i}='u{i}'")).collect();
    let attributes: String = (0..64).map(|i| format!(" p{}:a{i}=''", i % 32)).collect();
    linear(|_| format!("<b{declarations}><c{attributes}/></b>"));
}

#[test]
fn depth() {
    linear(|_| "<b>".repeat(63) + &"</b>".repeat(63));
}

#[test]
fn namespaces() {
    linear(|i| format!("<b xmlns='u{i}' xmlns:p='v{i}'><p:c/></b>"));
}

#[test]
fn references() {
    linear(|_| "&amp;&#65;".into());
}

#[test]
fn references_in_values() {
    let value = "&amp;".repeat(8000);
    linear(|_| format!("<b c='{value}'/>"));
}

#[test]
fn text_runs() {
    linear(|_| "<![CDATA[x]]>".into());
}

#[test]
fn one_long_text() {
    linear(|_| "é]\r\n\u{FFFD}".into());
}
