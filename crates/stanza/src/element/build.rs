//! Builds trees from the reader's tokens.

use std::mem;

use super::tree::{Attr, Element};
use crate::read::{ReadError, Reader, Rule, Token};

/// From this length on, a list of elements grows by a quarter.
const MANY: usize = 1024;

/// Makes room for one more entry in a list that a peer can make long. A vector doubles, and while it moves it occupies the
/// old and the new allocation: three times what it needs, which is too much for large entries.
pub(crate) fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() && list.len() >= MANY {
        list.reserve_exact(list.len() / 4);
    }
}

/// What [`Element::read`] gives.
pub(super) fn read(document: &[u8], inherited_ns: &str) -> Result<Element, ReadError> {
    let mut reader = Reader::new(document, inherited_ns);
    // The reader itself refuses a document that ends before its element.
    let root = match reader.next()? {
        Token::Start => read_started(&mut reader)?,
        Token::Text(_) | Token::End | Token::Eof => {
            return Err(reader.error(Rule::NoElement));
        }
    };
    reader.finish()?;
    Ok(root)
}

/// Reads the rest of the element whose [`Token::Start`] was just returned.
pub(crate) fn read_started(reader: &mut Reader<'_>) -> Result<Element, ReadError> {
    let mut open = Vec::new();
    let mut current = started(reader);
    loop {
        match reader.next()? {
            Token::Start => open.push(mem::replace(&mut current, started(reader))),
            Token::Text(text) => current.push_text(&text),
            Token::End | Token::Eof => match open.pop() {
                Some(parent) => {
                    let done = mem::replace(&mut current, parent);
                    current.children.push(done.into());
                }
                None => return Ok(current),
            },
        }
    }
}

/// Reads the elements of a fragment, without the text between them.
pub(crate) fn read_all(reader: &mut Reader<'_>) -> Result<Vec<Element>, ReadError> {
    let mut elements = Vec::new();
    loop {
        match reader.next()? {
            Token::Start => {
                grow(&mut elements);
                elements.push(read_started(reader)?);
            }
            Token::Text(_) => {}
            Token::End | Token::Eof => return Ok(elements),
        }
    }
}

/// The element that just began, without children.
fn started(reader: &mut Reader<'_>) -> Element {
    let attrs = reader.take_attributes_with_ns();
    let attrs = attrs.map(|(ns, attribute)| Attr {
        ns,
        name: attribute.name.local().into(),
        value: attribute.value.into_owned(),
    });
    Element {
        attrs: attrs.collect(),
        name: reader.name().into(),
        ns: reader.shared_ns(),
        children: Vec::new(),
    }
}
