//! What rxml makes of a document.

use rxml::parser::{Options, WithOptions};
use rxml::{Event, Parse, Parser, RawEvent, RawParser};

use super::notation;

/// No token of a tested document is longer: the comparison is about XML, not about rxml's own limit of 8192 bytes.
fn options() -> Options {
    Options {
        max_token_length: 1 << 24,
        ..Options::default()
    }
}

/// The tree that rxml sees, with its attributes sorted; `None` if it refuses the document.
pub(super) fn tree(mut document: &[u8]) -> Option<Vec<u8>> {
    let mut parser = Parser::with_options(options());
    let mut out = Vec::new();
    loop {
        match parser.parse(&mut document, true).ok()? {
            Some(Event::StartElement(_, (ns, name), attributes)) => {
                let mut attributes: Vec<(&str, &str, &str)> = attributes
                    .iter()
                    .map(|((ns, name), value)| (ns.as_str(), name.as_str(), value.as_str()))
                    .collect();
                attributes.sort_unstable();
                notation::start(&mut out, ns.as_str(), &name, attributes.into_iter());
            }
            Some(Event::EndElement(_)) => notation::end(&mut out),
            Some(Event::Text(_, text)) => out.extend_from_slice(text.as_bytes()),
            // Not part of any tree.
            Some(Event::XmlDeclaration(..)) => {}
            None => return Some(out),
        }
    }
}

/// The names of all attributes in document order, without prefixes: `\x01` for each element, then `\x03` and the name
/// for each attribute.
pub(super) fn order(mut document: &[u8]) -> Option<Vec<u8>> {
    let mut parser = RawParser::with_options(options());
    let mut out = Vec::new();
    loop {
        match parser.parse(&mut document, true).ok()? {
            Some(RawEvent::ElementHeadOpen(..)) => out.push(b'\x01'),
            Some(RawEvent::Attribute(_, (prefix, name), _)) => {
                let declares = prefix.as_ref().map_or(&*name, |prefix| prefix) == "xmlns";
                if !declares {
                    out.push(b'\x03');
                    out.extend_from_slice(name.as_bytes());
                }
            }
            Some(_) => {}
            None => return Some(out),
        }
    }
}
