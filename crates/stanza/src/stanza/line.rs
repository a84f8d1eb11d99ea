//! Writes a stanza on one line.

use std::iter;

use super::{Stanza, extra};
use crate::element::{Attr, Element, Writer};
use crate::ns;
use crate::read::{ReadError, Token};
use crate::write::Form;

impl Stanza {
    /// The whole stanza as a tree.
    ///
    /// # Errors
    ///
    /// As [`Stanza::elements`]. Anything in [`extra`](Self::extra) that [`Stanza::write`] omits is omitted.
    pub fn to_element(&self) -> Result<Element, ReadError> {
        let mut element = Element::new(self.kind.name(), ns::CLIENT);
        let addresses = [("from", &self.from), ("to", &self.to)];
        let texts = [("id", self.id.as_deref()), ("type", self.type_.as_deref())];
        let addresses =
            addresses.map(|(name, address)| (name, address.as_ref().map(|a| a.as_str())));
        for (name, value) in addresses.into_iter().chain(texts) {
            if let Some(value) = value {
                element = element.with_attr(name, value);
            }
        }
        if let Some(lang) = &self.lang {
            element.attrs.push(Attr {
                ns: Some(ns::XML.into()),
                name: "lang".into(),
                value: lang.clone(),
            });
        }
        for (attr, ns) in extra::attributes(&self.extra) {
            element.attrs.push(Attr {
                ns: (!ns.is_empty()).then(|| ns.into()),
                name: attr.local().into(),
                value: attr.value.clone(),
            });
        }
        let mut reader = self.child_reader()?;
        loop {
            match reader.next()? {
                Token::Start => {
                    let child = Element::read_started(&mut reader)?;
                    element.children.push(child.into());
                }
                Token::Text(text) => element.push_text(&text),
                Token::End | Token::Eof => return Ok(element),
            }
        }
    }

    /// Appends the stanza on one line, by any reader's definition of a line, and without anything that a terminal
    /// interprets. The line end is up to the caller.
    ///
    /// CDATA sections become ordinary text. Controls (U+0000 to U+001F, U+007F to U+009F), line and paragraph
    /// separators (U+2028, U+2029) and bidirectional controls (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066
    /// to U+2069) become references such as `&#x2028;`. [`Stanza::read`] reads the same tree from it.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use xtls_stanza::Stanza;
    ///
    /// let frame = Bytes::from("<message><body><![CDATA[a\u{2028}<b>\n]]>c</body></message>");
    /// let mut line = Vec::new();
    /// Stanza::read(&frame)?.write_line(&mut line)?;
    /// assert_eq!(line, b"<message xmlns='jabber:client'><body>a&#x2028;&lt;b&gt;&#xA;c</body></message>");
    /// # Ok::<(), xtls_stanza::ReadError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Stanza::elements`]; nothing is appended then.
    pub fn write_line(&self, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let tree = self.to_element()?;
        Writer::new(iter::once(&tree), "", Form::Line).only(&tree, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
