//! Writes a stanza on one line.

use std::iter;

use super::{Stanza, extra};
use crate::element::{Attr, Element, Writer, read_started};
use crate::ns;
use crate::read::{ReadError, Token};
use crate::write::Form;

/// What [`Stanza::to_element`] gives.
pub(super) fn element(stanza: &Stanza) -> Result<Element, ReadError> {
    let mut element = Element::new(stanza.kind.name(), ns::CLIENT);
    let addresses = [("from", &stanza.from), ("to", &stanza.to)];
    let texts = [
        ("id", stanza.id.as_deref()),
        ("type", stanza.type_.as_deref()),
    ];
    let addresses = addresses.map(|(name, address)| (name, address.as_ref().map(|a| a.as_str())));
    for (name, value) in addresses.into_iter().chain(texts) {
        if let Some(value) = value {
            element = element.with_attr(name, value);
        }
    }
    if let Some(lang) = &stanza.lang {
        element.attrs.push(Attr {
            ns: Some(ns::XML.into()),
            name: "lang".into(),
            value: lang.clone(),
        });
    }
    for (attr, ns) in extra::attributes(&stanza.extra) {
        element.attrs.push(Attr {
            ns: (!ns.is_empty()).then(|| ns.into()),
            name: attr.local().into(),
            value: attr.value.clone(),
        });
    }
    let mut reader = stanza.child_reader()?;
    loop {
        match reader.next()? {
            Token::Start => {
                let child = read_started(&mut reader)?;
                element.children.push(child.into());
            }
            Token::Text(text) => element.push_text(&text),
            Token::End | Token::Eof => return Ok(element),
        }
    }
}

/// What [`Stanza::write_line`] does.
pub(super) fn write(stanza: &Stanza, out: &mut Vec<u8>) -> Result<(), ReadError> {
    let tree = element(stanza)?;
    Writer::new(iter::once(&tree), "", Form::Line).only(&tree, out);
    Ok(())
}

#[cfg(test)]
mod tests;
