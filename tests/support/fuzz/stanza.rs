//! A value that was read and written is read as the same value; and what an application puts in a string stays there.

use bytes::Bytes;
use xtls_stanza::{
    AddressCache, Attr, Content, Element, Envelope, Kind, Node, Payload, Rule, Stanza, ns,
};

use super::judges::Judges;
use super::notation::{self, Order};
use super::random::Random;

/// rxml and expat also read what was written for one input in this many, because that takes longer than everything else.
/// That they accept what we accept is for the differential target to say.
const JUDGED: usize = 4;

pub(super) fn check(input: &[u8], judges: &mut Judges) -> Result<(), String> {
    let mut written = Written::new();
    laws(input, &mut written)?;
    if Random::of(input).below(JUDGED) == 0 {
        for (document, element) in written {
            judges.accept(input, document, &element)?;
        }
    }
    Ok(())
}

/// Documents that were written, and what we read in them.
type Written = Vec<(Vec<u8>, Element)>;

fn laws(input: &[u8], written: &mut Written) -> Result<(), String> {
    let frame = Bytes::copy_from_slice(input);
    let tree = Element::read(input, ns::CLIENT);
    if let Ok(element) = &tree {
        element_law(element, written)?;
    }
    match (Stanza::read(&frame), &tree) {
        (Ok(stanza), Ok(element)) => stanza_law(&frame, &stanza, element, written)?,
        (Ok(_), Err(error)) => return Err(format!("a stanza, but as a tree {error}")),
        (Err(error), Ok(_)) => {
            let of_stanzas = matches!(
                error.rule,
                Rule::NotAStanza | Rule::StanzaNamespace | Rule::DefaultNamespace | Rule::Address
            );
            if !of_stanzas {
                return Err(format!("a tree, but as a stanza {error}"));
            }
        }
        (Err(_), Err(_)) => {}
    }
    strings(input, written)
}

/// An element that was read.
fn element_law(element: &Element, written: &mut Written) -> Result<(), String> {
    for inherited in [ns::CLIENT, ""] {
        let wire = bytes_of(|out| element.write(inherited, out));
        let again = Element::read(&wire, inherited);
        if again.as_ref() != Ok(element) {
            return Err(format!("written as {}: {again:?}", wire.escape_ascii()));
        }
        if inherited.is_empty() {
            written.push((wire, element.clone()));
        }
    }
    Ok(())
}

/// A stanza that was read, and the same as a tree.
fn stanza_law(
    frame: &Bytes,
    stanza: &Stanza,
    element: &Element,
    written: &mut Written,
) -> Result<(), String> {
    let wire = bytes_of(|out| stanza.write(out));
    let shown = || wire.escape_ascii();
    let again = Stanza::read(&Bytes::copy_from_slice(&wire));
    let Ok(again) = again else {
        return Err(format!("written as {}: {again:?}", shown()));
    };
    if again != *stanza {
        return Err(format!("written as {}: another stanza", shown()));
    }
    same_bytes(&wire, &bytes_of(|out| again.write(out)))?;
    let reread = Element::read(&wire, "").map_err(|error| format!("{}: {error}", shown()))?;
    let trees = [&reread, element].map(|element| {
        let mut element = element.clone();
        // An address is written as it is compared, which may differ from how it arrived.
        element.attrs.retain(|a| !matches!(&*a.name, "from" | "to"));
        notation::tree(&element, Order::Sorted)
    });
    if trees[0] != trees[1] {
        return Err(format!("written as {}: another tree", shown()));
    }
    let children = stanza
        .elements()
        .map_err(|error| format!("children: {error}"))?;
    if !children.iter().eq(element.elements()) {
        return Err("the children are not those of the tree".to_owned());
    }
    written.push((wire, reread));
    line_law(stanza, written)?;
    envelope_law(frame, stanza, written)
}

/// The same on one line, which nothing in it may end or escape from.
fn line_law(stanza: &Stanza, written: &mut Written) -> Result<(), String> {
    let mut line = Vec::new();
    let tree = stanza.to_element().map_err(|error| error.to_string())?;
    stanza
        .write_line(&mut line)
        .map_err(|error| error.to_string())?;
    let ends = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202E}');
    if String::from_utf8_lossy(&line).contains(ends) {
        return Err(format!("a line with an end: {}", line.escape_ascii()));
    }
    if Element::read(&line, "").as_ref() != Ok(&tree) {
        return Err(format!("another tree on a line: {}", line.escape_ascii()));
    }
    written.push((line, tree));
    Ok(())
}

/// The payload decoded and encoded.
fn envelope_law(frame: &Bytes, stanza: &Stanza, written: &mut Written) -> Result<(), String> {
    let read = Envelope::read(frame);
    if read != Envelope::from_stanza(stanza) {
        return Err("the frame and the stanza are different envelopes".to_owned());
    }
    let envelope = match read {
        Ok(envelope) => envelope,
        Err(error) => match error.reply() {
            Some(reply) => reply,
            None => return Ok(()),
        },
    };
    let wire = bytes_of(|out| envelope.write(out));
    // With the addresses that were read in the frame itself, whatever they are.
    let mut addresses = AddressCache::default();
    let _ = Envelope::read_cached(frame, &mut addresses);
    let again = Envelope::read_cached(&Bytes::copy_from_slice(&wire), &mut addresses);
    let Ok(again) = again else {
        return Err(format!("written as {}: {again:?}", wire.escape_ascii()));
    };
    // Of an unreadable payload only the name is kept, which may be one that can be read.
    if !is_malformed(&envelope) {
        if again != envelope {
            let wire = wire.escape_ascii();
            return Err(format!("written as {wire}: another envelope {again:?}"));
        }
        same_bytes(&wire, &bytes_of(|out| again.write(out)))?;
    }
    let element = Element::read(&wire, "").map_err(|error| error.to_string())?;
    written.push((wire, element));
    Ok(())
}

/// Whether a payload was unreadable.
fn is_malformed(envelope: &Envelope) -> bool {
    let bad = |payload: &Payload| matches!(payload, Payload::Malformed { .. });
    match &envelope.content {
        Content::Get(payload) | Content::Set(payload) | Content::Result(Some(payload)) => {
            bad(payload)
        }
        Content::Result(None) | Content::Error(_) => false,
        Content::Message { payloads, .. } | Content::Presence { payloads, .. } => {
            payloads.iter().any(bad)
        }
    }
}

/// Bytes of all strings together: more would only repeat the same.
const MAX_STRINGS: usize = 48;

/// The input as the strings of an application, split at zeros: whatever they contain, what is written has the same
/// shape.
fn strings(input: &[u8], written: &mut Written) -> Result<(), String> {
    let text = String::from_utf8_lossy(input.get(..MAX_STRINGS).unwrap_or(input));
    let mut parts = text.split('\0').cycle();
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let inner = Element::new(part(), part());
    let attr = |ns: Option<String>, name: String, value: String| Attr {
        ns: ns.map(Into::into),
        name: name.into(),
        value,
    };
    let element = Element {
        name: part().into(),
        ns: part().into(),
        attrs: vec![
            attr(None, part(), part()),
            attr(Some(part()), part(), part()),
        ],
        children: vec![Node::Text(part()), inner.into(), Node::Text(part())],
    };
    let (id, kind, lang) = (part(), part(), part());
    let stanza = Stanza::new(Kind::Message)
        .with_id(id.as_str())
        .with_type(kind.as_str())
        .with_lang(lang.as_str())
        .with_child(&element);
    let wire = bytes_of(|out| stanza.write(out));
    let shown = || wire.escape_ascii();
    let read = Stanza::read(&Bytes::copy_from_slice(&wire));
    let read = read.map_err(|error| format!("written as {}: {error}", shown()))?;
    let (id_read, kind_read) = (read.id.as_deref(), read.type_.as_deref());
    let fields = [
        (id_read, id),
        (kind_read, kind),
        (read.lang.as_deref(), lang),
    ];
    let kept = fields
        .iter()
        .all(|(read, put)| read.is_some_and(|read| read.chars().eq(put.chars().map(carried))));
    if !kept || !read.extra.is_empty() {
        return Err(format!("written as {}: another head", shown()));
    }
    let tree = Element::read(&wire, "");
    let tree = tree.map_err(|error| format!("written as {}: {error}", shown()))?;
    let texts = element.text().chars().map(carried).collect::<String>();
    let of_one = |element: &Element| element.elements().count() == 1;
    match tree.elements().next() {
        Some(child)
            if of_one(&tree)
                && of_one(child)
                && child.attrs.len() <= 2
                && child.text() == texts =>
        {
            let again = bytes_of(|out| child.write(ns::CLIENT, out));
            same_bytes(&stanza.children, &again)?;
        }
        _ => return Err(format!("written as {}: another shape", shown())),
    }
    written.push((wire, tree));
    Ok(())
}

/// What becomes of a character that XML can't contain (XML 1.0 §2.2).
fn carried(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'.. => c,
        _ => '\u{FFFD}',
    }
}

fn bytes_of(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn same_bytes(first: &[u8], second: &[u8]) -> Result<(), String> {
    if first == second {
        return Ok(());
    }
    let (first, second) = (first.escape_ascii(), second.escape_ascii());
    Err(format!("written first {first} and then {second}"))
}
