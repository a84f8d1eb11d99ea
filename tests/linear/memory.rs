//! How much heap a stanza of the largest size takes while it is read, whatever it consists of.

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use xtls_stanza::verify::Step;
use xtls_stanza::{Element, Envelope, MAX_NAMESPACE, Stanza};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The default limit of a stanza in bytes, inside and outside.
const STANZA: usize = 262_144;
/// What each of its bytes may take while it is read, and what may be added: 16 megabytes for the largest.
const EACH: usize = 60;
const AROUND: usize = 100_000;

/// Runs `work`, and returns the peak growth of the heap.
fn peak(work: impl FnOnce()) -> usize {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    work();
    HEAP.peak_usage().saturating_sub(before)
}

/// A stanza of `size` bytes: a beginning, as many pieces as fit, and an end. `{}` in a piece is its number.
fn stanza(size: usize, (before, piece, after): &(String, String, String)) -> Bytes {
    let mut xml = before.clone();
    for number in 0.. {
        let next = piece.replace("{}", &format!("{number:05}"));
        if xml.len() + next.len() + after.len() > size {
            break;
        }
        xml += &next;
    }
    Bytes::from(xml + after)
}

/// What the worst stanzas that the reader accepts consist of, by name.
fn shapes() -> Vec<(&'static str, (String, String, String))> {
    let long = "u".repeat(MAX_NAMESPACE);
    let in_message = |head: &str, piece: &str| {
        let before = format!("<message{head}>");
        (before, piece.to_owned(), "</message>".to_owned())
    };
    let in_x = |x: &str, piece: &str| {
        let before = format!("<message><x{x}>");
        (before, piece.to_owned(), "</x></message>".to_owned())
    };
    let spaces = |count: usize, len: usize| -> String {
        let each = (0..count).map(|i| format!(" xmlns:p{i}='{}{i:03}'", "u".repeat(len - 3)));
        each.collect()
    };
    let prefixed: String = (0..64).map(|i| format!(" p{i}:a=''")).collect();
    let attributes: String = (0..64).map(|i| format!(" a{i}=''")).collect();
    let named = |name: &str| format!("<b {name}=''/>");
    vec![
        ("children", in_message("", "<b/>")),
        ("children of a child", in_x("", "<b/>")),
        (
            "children in a long namespace",
            in_x(&format!(" xmlns='{long}'"), "<b/>"),
        ),
        (
            "children with a long namespace by prefix",
            in_message(&format!(" xmlns:p='{long}'"), "<p:b/>"),
        ),
        (
            "grandchildren with a long namespace by prefix",
            in_x(&format!(" xmlns:p='{long}'"), "<p:b/>"),
        ),
        (
            "attributes in a long namespace",
            in_x(&format!(" xmlns:p='{long}'"), "<b p:a=''/>"),
        ),
        (
            "attributes in two long namespaces that begin alike",
            in_x(&spaces(2, MAX_NAMESPACE), "<b p0:a='' p1:a=''/>"),
        ),
        (
            "64 attributes in 64 long namespaces that begin alike",
            in_x(&spaces(64, MAX_NAMESPACE), &format!("<b{prefixed}/>")),
        ),
        (
            "elements in 100 long namespaces",
            in_x(
                &spaces(100, MAX_NAMESPACE),
                &(0..100).map(|i| format!("<p{i}:b/>")).collect::<String>(),
            ),
        ),
        (
            "a long namespace each",
            in_x(
                "",
                &format!("<b xmlns='{long}{{}}'/>").replacen("uuuuu", "", 1),
            ),
        ),
        ("a short namespace each", in_x("", "<b xmlns='{}'/>")),
        ("a prefix each", in_x("", "<b xmlns:p='u'/>")),
        (
            "a prefix each, used",
            in_x("", "<p:b xmlns:p='{}' p:a=''/>"),
        ),
        (
            "128 prefixes each",
            in_x("", &format!("<b{}/>", spaces(126, 5))),
        ),
        ("a name each", in_x("", "<b{}/>")),
        ("long names", in_x("", &format!("<{}/>", "b".repeat(40)))),
        (
            "long attribute names",
            in_x("", &named(&"b".repeat(60_000))),
        ),
        (
            "rather long attribute names",
            in_x("", &named(&"b".repeat(40))),
        ),
        ("attributes", in_x("", "<b a=''/>")),
        ("attributes with a value", in_x("", "<b a='x'/>")),
        ("many attributes", in_x("", &format!("<b{attributes}/>"))),
        ("languages", in_x("", "<xml:b xml:lang=''/>")),
        ("elements and texts", in_x("", "<b/>x")),
        ("elements and references", in_x("", "<b/>&lt;")),
        ("an element in each", in_x("", "<b><c/></b>")),
        ("a text in each", in_x("", "<b>x</b>")),
        (
            "63 in each other",
            in_x("", &("<b>".repeat(60) + &"</b>".repeat(60))),
        ),
        ("text", in_x("", "x")),
        ("text between children", in_message("", "<b/>x")),
        ("references", in_x("", "&#x1F600;&amp;")),
        ("sections", in_x("", "<![CDATA[x]]>")),
        (
            "a value of references",
            (
                String::from("<message><b a='"),
                "&lt;".to_owned(),
                String::from("'/></message>"),
            ),
        ),
        (
            "an id of references",
            (
                String::from("<message id='"),
                "&#x000041;".to_owned(),
                String::from("'><b/></message>"),
            ),
        ),
        (
            "an error's own condition",
            (
                String::from("<message type='error'><error><x xmlns='u'>"),
                "<b/>".to_owned(),
                String::from("</x></error></message>"),
            ),
        ),
        (
            "errors",
            (
                String::from("<message type='error'>"),
                "<error/>".to_owned(),
                String::from("</message>"),
            ),
        ),
        (
            "extensions of an open",
            (
                String::from(
                    "<iq id='a' type='set'><open xmlns='http://jabber.org/protocol/ibb' sid='s' block-size='1'>",
                ),
                "<b/>".to_owned(),
                String::from("</open></iq>"),
            ),
        ),
        (
            "children of an iq",
            (
                String::from("<iq id='a' type='set'>"),
                "<b/>".to_owned(),
                String::from("</iq>"),
            ),
        ),
        (
            "features",
            (
                String::from(
                    "<iq id='a' type='result'><query xmlns='http://jabber.org/protocol/disco#info'>",
                ),
                "<feature var=''/>".to_owned(),
                String::from("</query></iq>"),
            ),
        ),
        (
            "identities",
            (
                String::from(
                    "<iq id='a' type='result'><query xmlns='http://jabber.org/protocol/disco#info'>",
                ),
                "<identity category='' type=''/>".to_owned(),
                String::from("</query></iq>"),
            ),
        ),
        (
            "elements in data",
            (
                String::from(
                    "<message><data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>",
                ),
                "<b/>".to_owned(),
                String::from("</data></message>"),
            ),
        ),
        (
            "data after data",
            (
                String::from("<message>"),
                "<data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'/>".to_owned(),
                String::from("</message>"),
            ),
        ),
    ]
}

/// Every way in which an incoming stanza is read.
fn read(frame: &Bytes) -> [(&'static str, usize); 4] {
    let stanza = Stanza::read(frame).unwrap();
    // A refused stanza has been read as well.
    let envelope = peak(|| drop(Envelope::read(frame)));
    let outside = peak(|| drop(Stanza::read(frame).unwrap()));
    let trees = peak(|| drop(stanza.elements().unwrap()));
    let step = peak(|| assert!(Step::in_stanza(&stanza).is_none()));
    [
        ("Envelope::read", envelope),
        ("Stanza::read", outside),
        ("Stanza::elements", trees),
        ("Step::in_stanza", step),
    ]
}

pub(super) fn every_shape_is_read_in_little_memory() {
    for (name, shape) in shapes() {
        for size in [STANZA >> 2, STANZA] {
            let frame = stanza(size, &shape);
            for (way, taken) in read(&frame) {
                let most = EACH * frame.len() + AROUND;
                assert!(
                    taken <= most,
                    "{name}: {way} takes {taken} bytes for {}",
                    frame.len()
                );
            }
        }
        let len = stanza(STANZA, &shape).len();
        assert!(len > STANZA - 70_000, "{name}: {len}");
    }
}

pub(super) fn every_shape_weighs_what_it_holds() {
    for (name, shape) in shapes() {
        let frame = stanza(STANZA, &shape);
        if let Ok(envelope) = Envelope::read(&frame) {
            drop(envelope);
            let before = HEAP.current_usage();
            let envelope = Envelope::read(&frame).unwrap();
            let held = HEAP.current_usage() - before;
            let weight = envelope.weight();
            assert!(held <= weight, "{name}: {held} held, {weight} weighed");
            drop(envelope);
        }
        let before = HEAP.current_usage();
        let stanza = Stanza::try_from(Bytes::from(frame.to_vec())).unwrap();
        let held = HEAP.current_usage() - before;
        let weight = stanza.weight();
        // A slice keeps the tags around it, which are less than a quarter of it, or small.
        let most = weight + weight / 2;
        assert!(held <= most, "{name}: {held} held, {weight} weighed");
    }
}

pub(super) fn every_shape_is_written_in_little_more_than_it_took() {
    for (name, shape) in shapes() {
        let frame = stanza(STANZA >> 1, &shape);
        let tree = Element::read(&frame, "jabber:client").unwrap();
        let mut out = Vec::new();
        tree.write("jabber:client", &mut out);
        assert!(out.len() <= 4 * frame.len(), "{name}: {} bytes", out.len());
        assert!(
            Element::read(&out, "jabber:client").unwrap() == tree,
            "{name}"
        );

        let stanza = Stanza::read(&frame).unwrap();
        let mut line = Vec::new();
        stanza.write_line(&mut line).unwrap();
        assert!(
            line.len() <= 4 * frame.len(),
            "{name}: {} bytes",
            line.len()
        );
        assert!(
            Element::read(&line, "jabber:client").unwrap() == tree,
            "{name}"
        );

        if let Ok(envelope) = Envelope::read(&frame) {
            let mut out = Vec::new();
            envelope.write(&mut out);
            assert!(out.len() <= 4 * frame.len(), "{name}: {} bytes", out.len());
            assert!(Envelope::read(&Bytes::from(out)).is_ok(), "{name}");
        }
    }
}
