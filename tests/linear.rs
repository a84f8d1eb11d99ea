//! The work grows like the input: twice as much of anything, up to a mebibyte, takes less than 2.5 times as long. Four
//! doublings are taken at once, which linear work makes 16 times as long, and quadratic work 256 times.
//!
//! The crates count what they look at in tests of their own. Here the time is taken of what users call: that of the
//! processor, which others cannot take away. What is left of noise spoils measurements in one direction only, so the
//! shortest of several counts, and more are made while they look bad.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

use std::time::Duration;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use xtls_framer::{Framer, Limits};
use xtls_stanza::{Element, Envelope, Stanza};

/// Bytes of the largest input.
const LARGE: usize = 1 << 20;
/// Bytes of the smallest, which doubles to the largest in four steps.
const SMALL: usize = LARGE >> 4;
/// Less than this many times as long may the largest take: 2.5 to the fourth.
const MOST: u32 = 39;
/// Measurements, at most; a quadratic reader fails them all.
const ROUNDS: usize = 10;

/// Times `work` on both sizes. `unit` makes a piece of the input, `around` an input of the pieces.
fn linear(unit: impl Fn(usize) -> String, around: impl Fn(&str) -> String, work: impl Fn(&Bytes)) {
    let input = |size: usize| {
        let mut pieces = String::new();
        let mut count = 0;
        while pieces.len() < size {
            pieces += &unit(count);
            count += 1;
        }
        Bytes::from(around(&pieces))
    };
    let (small, large) = (input(SMALL), input(LARGE));
    let time = |input: &Bytes| {
        let start = used();
        work(input);
        used() - start
    };
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(time(&small));
        best[1] = best[1].min(time(&large));
        if best[1] < best[0] * MOST {
            return;
        }
    }
    panic!("sixteen times the input: {best:?}");
}

/// What this thread has used of a processor.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// Frames in pieces of `piece` bytes, with the limits out of the way.
fn frame(input: &Bytes, piece: usize) {
    let mut framer = Framer::new(Limits::default().max_len(usize::MAX).max_depth(u32::MAX));
    for piece in input.chunks(piece) {
        framer.push(piece);
        while framer.next().unwrap().is_some() {}
    }
    framer.finish().unwrap();
}

fn frame_whole(input: &Bytes) {
    frame(input, usize::MAX);
}

fn frame_bytes(input: &Bytes) {
    frame(input, 1);
}

fn tree(input: &Bytes) {
    Element::read(input, "").unwrap();
}

fn stanza(input: &Bytes) {
    let stanza = Stanza::read(input).unwrap();
    stanza.elements().unwrap();
}

fn in_element(pieces: &str) -> String {
    format!("<a>{pieces}</a>")
}

fn in_message(pieces: &str) -> String {
    format!("<message><body>{pieces}</body></message>")
}

/// Attributes of one element as far as the framer goes, and elements full of them as far as the reader goes.
#[test]
fn attributes() {
    let one = |i: usize| format!(" a{i}='b'");
    linear(one, |pieces| format!("<a{pieces}/>"), frame_whole);
    linear(one, |pieces| format!("<a{pieces}/>"), frame_bytes);
    let full: String = (0..64).map(|i| format!(" a{i}='b'")).collect();
    linear(|_| format!("<c{full}/>"), in_element, tree);
    linear(|_| format!("<c{full}/>"), in_message, stanza);
}

/// Elements inside each other, likewise.
#[test]
fn depth() {
    let nested = |pieces: &str| format!("{pieces}{}", pieces.replace('<', "</"));
    linear(|_| "<a>".repeat(16), nested, frame_whole);
    linear(|_| "<a>".repeat(16), nested, frame_bytes);
    let deep = "<b>".repeat(62) + &"</b>".repeat(62);
    linear(|_| deep.clone(), in_element, tree);
    linear(|_| deep.clone(), in_message, stanza);
}

/// Namespaces: each declared anew, and all that may be in scope at once.
#[test]
fn namespaces() {
    let one = |i: usize| format!(" xmlns:p{i}='u{i}'");
    linear(one, |pieces| format!("<a{pieces}/>"), frame_whole);
    let anew = |i: usize| format!("<b xmlns='u{i}' xmlns:p='v{i}'><p:c/></b>");
    linear(anew, in_element, tree);
    linear(anew, in_message, stanza);
    let declared: String = (0..32).map(|i| format!(" xmlns:p{i}='u{i}'")).collect();
    let used: String = (0..64).map(|i| format!(" p{}:a{i}=''", i % 32)).collect();
    linear(|_| format!("<b{declared}><c{used}/></b>"), in_element, tree);
}

/// References in text, and in one value.
#[test]
fn references() {
    let one = |_| "&amp;&#65;&#x1F600;".to_owned();
    linear(one, in_element, tree);
    linear(one, in_element, frame_whole);
    linear(one, in_message, stanza);
    linear(one, |pieces| format!("<a b='{pieces}'/>"), tree);
}

/// Text in one run, and in many.
#[test]
fn text_runs() {
    let long = |_| "it's > ]] \u{E9}\r\n".to_owned();
    linear(long, in_element, tree);
    linear(long, in_element, frame_whole);
    linear(long, in_message, stanza);
    for short in ["<![CDATA[x]]>", "x&lt;", "x<b/>"] {
        linear(|_| short.to_owned(), in_element, tree);
        linear(|_| short.to_owned(), in_message, stanza);
    }
}

/// A mebibyte that comes byte by byte.
#[test]
fn one_byte_chunks() {
    linear(|_| "it's > ]]".to_owned(), in_element, frame_bytes);
    linear(|_| "<b c='d'/>".to_owned(), in_element, frame_bytes);
    linear(|_| "<b c='d'/>\n".to_owned(), str::to_owned, frame_bytes);
    linear(
        |_| ">".to_owned(),
        |pieces| format!("<a b='{pieces}'/>"),
        frame_bytes,
    );
    linear(|_| "&amp;".to_owned(), in_element, frame_bytes);
    linear(|_| "<![CDATA[x]]>".to_owned(), in_element, frame_bytes);
}

/// The payload, which is read off the text without a tree.
#[test]
fn payload() {
    let around = |pieces: &str| {
        format!(
            "<iq type='set' id='1'><data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>{pieces}</data></iq>"
        )
    };
    let read = |input: &Bytes| drop(Envelope::read(input).unwrap());
    linear(|_| "QUJD".repeat(16), around, read);
    linear(|_| "QUJD".repeat(16) + "\n", around, read);
}

/// What goes past a limit is refused there, and what comes after it costs nothing.
#[test]
fn what_goes_past_a_limit_is_not_read_on() {
    let deep = "<a>".repeat(1_000_000);
    assert!(Element::read(deep.as_bytes(), "").unwrap_err().at < 1000);
    let mut framer = Framer::new(Limits::default());
    framer.push(deep.as_bytes());
    assert!(framer.next().unwrap_err().at() < 1000);
    assert_eq!(framer.buffered(), 0);
    for attribute in [" a{}=''", " xmlns:a{}='u'"] {
        let many: String = (0..100_000)
            .map(|i| attribute.replace("{}", &i.to_string()))
            .collect();
        let error = Element::read(format!("<a{many}/>").as_bytes(), "").unwrap_err();
        assert!(error.at < 2000, "{error}");
    }
}
