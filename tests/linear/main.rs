//! Work and memory grow in proportion to the input: twice as much of anything, up to a mebibyte, takes less than 2.5
//! times as long. Four doublings are measured at once, which linear work makes 16 times as long, and quadratic work 256
//! times.
//!
//! The crates count their steps in tests of their own. Here the time of the calls that users make is measured: CPU
//! time, which other processes can't take away. The remaining noise distorts measurements in one direction only, so the
//! shortest of several counts, and more are taken while they look bad.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

mod memory;
mod opens;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use xtls_framer::{Framer, Limits};
use xtls_stanza::{Element, Envelope, MAX_NAMESPACE, Stanza};

/// Bytes of the largest input.
const LARGE: usize = 1 << 20;
/// Bytes of the smallest, which doubles to the largest in four steps.
const SMALL: usize = LARGE >> 4;
/// The largest may take less than this many times as long: 2.5 to the fourth.
const MOST: u32 = 39;
/// The most measurements; a quadratic reader fails them all.
const ROUNDS: usize = 10;

/// One test at a time: they share the heap.
fn alone<T>(work: impl FnOnce() -> T) -> T {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    work()
}

/// Times `work` on both sizes. `unit` makes a piece of the input, `around` makes an input of the pieces.
fn linear(unit: impl Fn(usize) -> String, around: impl Fn(&str) -> String, work: impl Fn(&Bytes)) {
    alone(|| measure(unit, around, work));
}

fn measure(unit: impl Fn(usize) -> String, around: impl Fn(&str) -> String, work: impl Fn(&Bytes)) {
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

/// The CPU time of this thread.
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

fn envelope(input: &Bytes) {
    drop(Envelope::read(input).unwrap());
}

fn written(input: &Bytes) {
    Stanza::read(input)
        .unwrap()
        .write_line(&mut Vec::new())
        .unwrap();
}

fn in_element(pieces: &str) -> String {
    format!("<a>{pieces}</a>")
}

fn in_message(pieces: &str) -> String {
    format!("<message><body>{pieces}</body></message>")
}

/// Attributes of one element as far as the framer is concerned, and elements full of them as far as the reader is
/// concerned.
#[test]
fn attributes() {
    let one = |i: usize| format!(" a{i}='b'");
    linear(one, |pieces| format!("<a{pieces}/>"), frame_whole);
    linear(one, |pieces| format!("<a{pieces}/>"), frame_bytes);
    let full: String = (0..64).map(|i| format!(" a{i}='b'")).collect();
    linear(|_| format!("<c{full}/>"), in_element, tree);
    linear(|_| format!("<c{full}/>"), in_message, stanza);
}

/// Nested elements, likewise.
#[test]
fn depth() {
    let nested = |pieces: &str| format!("{pieces}{}", pieces.replace('<', "</"));
    linear(|_| "<a>".repeat(16), nested, frame_whole);
    linear(|_| "<a>".repeat(16), nested, frame_bytes);
    let deep = "<b>".repeat(62) + &"</b>".repeat(62);
    linear(|_| deep.clone(), in_element, tree);
    linear(|_| deep.clone(), in_message, stanza);
}

/// Namespaces: each declared again, and as many as may be in scope at once.
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

/// The same with names of full length, in everything that uses them.
#[test]
fn long_namespaces() {
    let long = "u".repeat(MAX_NAMESPACE - 3);
    let in_space = |pieces: &str| format!("<message><x xmlns='{long}'>{pieces}</x></message>");
    linear(|_| "<b/>".to_owned(), in_space, envelope);
    let anew = |i: usize| format!("<b xmlns:p='{long}{:03}' p:a=''/>", i % 1000);
    linear(anew, in_message, envelope);
    let declared: String = (0..100)
        .map(|i| format!(" xmlns:p{i}='{long}{i:03}'"))
        .collect();
    let around = |pieces: &str| format!("<message><x{declared}>{pieces}</x></message>");
    let used: String = (0..64).map(|i| format!(" p{i}:a=''")).collect();
    linear(|_| format!("<c{used}/>"), around, envelope);
    linear(|_| "<c p98:a='' p99:a=''/>".to_owned(), around, envelope);
    linear(|i| format!("<p{}:c/>", i % 100), around, envelope);
}

/// Attribute names that are long and have a common prefix.
#[test]
fn long_attribute_names() {
    let name = "a".repeat(1000);
    let few: String = (0..8).map(|i| format!(" {name}{i}=''")).collect();
    let many: String = (0..64).map(|i| format!(" {name}{i:02}=''")).collect();
    linear(|_| format!("<b{few}/>"), in_message, envelope);
    linear(|_| format!("<b{many}/>"), in_message, envelope);
}

/// Children at the top, which become payloads one by one.
#[test]
fn children() {
    let around = |pieces: &str| format!("<message>{pieces}</message>");
    linear(|_| "<b/>".to_owned(), around, envelope);
    let failed = |pieces: &str| format!("<message type='error'>{pieces}<error/></message>");
    linear(|_| "<b/>".to_owned(), failed, envelope);
}

/// Trees as they are written, where each namespace could be declared again and again.
#[test]
fn writing() {
    let long = "u".repeat(MAX_NAMESPACE - 3);
    let declared: String = (0..100)
        .map(|i| format!(" xmlns:p{i}='{long}{i:03}'"))
        .collect();
    let around = |pieces: &str| format!("<message{declared}><x>{pieces}</x></message>");
    linear(|i| format!("<p{}:c/>", i % 100), around, written);
    linear(|i| format!("<c p{}:a=''/>", i % 100), around, written);
    linear(|_| "<c xmlns='u'/>".to_owned(), around, written);
    linear(|_| "<c>\u{2028}&#9;</c>".to_owned(), in_message, written);
}

#[test]
fn a_stanza_of_any_shape_within_the_limits_is_read_in_16_megabytes() {
    alone(memory::every_shape_is_read_in_little_memory);
}

#[test]
fn a_stanza_of_any_shape_weighs_what_it_holds() {
    alone(memory::every_shape_weighs_what_it_holds);
}

#[test]
fn a_stanza_of_any_shape_is_written_in_at_most_four_times_its_bytes_and_reads_again() {
    alone(memory::every_shape_is_written_in_little_more_than_it_took);
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

/// A mebibyte that arrives byte by byte.
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

/// The payload, which is read from the text without a tree.
#[test]
fn payload() {
    let around = |pieces: &str| {
        format!(
            "<iq type='set' id='1'><data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>{pieces}</data></iq>"
        )
    };
    linear(|_| "QUJD".repeat(16), around, envelope);
    linear(|_| "QUJD".repeat(16) + "\n", around, envelope);
}

/// What exceeds a limit is refused there, and what comes after it costs nothing.
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
