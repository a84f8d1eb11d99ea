//! A small owned tree.

use std::fmt;

use crate::ns;
use crate::read::{ReadError, Reader, Token};
use crate::write;

/// An element with its name, namespace, attributes and children.
///
/// A tree that was read holds neither two texts in a row nor an empty one. Debug output shows the
/// shape and not the contents, which may be secret.
///
/// ```
/// use xtls_stanza::Element;
///
/// let body = Element::read(b"<body xml:lang='en'>a &lt; b</body>", "jabber:client")?;
/// assert!(body.is("body", "jabber:client"));
/// assert_eq!(body.text(), "a < b");
///
/// let mut out = Vec::new();
/// body.write("", &mut out);
/// assert_eq!(out, b"<body xmlns='jabber:client' xml:lang='en'>a &lt; b</body>");
/// # Ok::<(), xtls_stanza::ReadError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Element {
    /// The name without a prefix.
    pub name: String,
    /// The namespace; empty for none.
    pub ns: String,
    /// The attributes in order, declarations of namespaces not among them.
    pub attrs: Vec<Attr>,
    /// The children in order.
    pub children: Vec<Node>,
}

/// An attribute of an [`Element`].
#[derive(Clone, PartialEq, Eq)]
pub struct Attr {
    /// The namespace, which only attributes with a prefix have.
    pub ns: Option<String>,
    /// The name without a prefix.
    pub name: String,
    /// The value, normalised and with references resolved.
    pub value: String,
}

/// A child of an [`Element`].
#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text, with references resolved.
    Text(String),
}

impl Element {
    /// An element without attributes and children.
    pub fn new(name: impl Into<String>, ns: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ns: ns.into(),
            attrs: Vec::new(),
            children: Vec::new(),
        }
    }

    /// Whether it has this name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// The value of the attribute with this name and no namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find(|a| a.ns.is_none() && a.name == name)
            .map(|a| a.value.as_str())
    }

    /// The first child element with this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Self> {
        self.elements().find(|e| e.is(name, ns))
    }

    /// The child elements in order.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The text directly inside, joined.
    pub fn text(&self) -> String {
        let texts = self.children.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        texts.collect()
    }

    /// The same with this attribute, which replaces one of the same name.
    #[must_use]
    pub fn with_attr(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        match self
            .attrs
            .iter_mut()
            .find(|a| a.ns.is_none() && a.name == name)
        {
            Some(attr) => attr.value = value,
            None => self.attrs.push(Attr {
                ns: None,
                name,
                value,
            }),
        }
        self
    }

    /// The same with one more child element.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    /// The same with more text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.push_text(&text.into());
        self
    }

    /// Reads a document of one element with nothing around it, not even white space.
    ///
    /// `inherited_ns` is the default namespace outside of it.
    ///
    /// # Errors
    ///
    /// Whatever expat or rxml would refuse, what RFC 6120 §11.1 forbids, and more than
    /// [`MAX_DEPTH`](crate::MAX_DEPTH), [`MAX_ATTRIBUTES`](crate::MAX_ATTRIBUTES),
    /// [`MAX_DECLARATIONS`](crate::MAX_DECLARATIONS) and [`MAX_IN_SCOPE`](crate::MAX_IN_SCOPE) allow. The document is untrusted; the error holds nothing of it.
    pub fn read(document: &[u8], inherited_ns: &str) -> Result<Self, ReadError> {
        let mut reader = Reader::new(document, inherited_ns);
        // A document that ends before its element is an error of the reader.
        let root = match reader.next()? {
            Token::Start => Self::read_started(&mut reader)?,
            Token::Text(_) | Token::End | Token::Eof => {
                return Err(reader.error(crate::Rule::NoElement));
            }
        };
        reader.finish()?;
        Ok(root)
    }

    /// Reads the rest of an element of which [`Token::Start`] was just returned.
    pub(crate) fn read_started(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        let mut open = Vec::new();
        let mut current = reader.element();
        loop {
            match reader.next()? {
                Token::Start => open.push(std::mem::replace(&mut current, reader.element())),
                Token::Text(text) => current.push_text(&text),
                Token::End | Token::Eof => match open.pop() {
                    Some(parent) => {
                        let done = std::mem::replace(&mut current, parent);
                        current.children.push(Node::Element(done));
                    }
                    None => return Ok(current),
                },
            }
        }
    }

    fn push_text(&mut self, text: &str) {
        match self.children.last_mut() {
            _ if text.is_empty() => {}
            Some(Node::Text(last)) => last.push_str(text),
            Some(Node::Element(_)) | None => self.children.push(Node::Text(text.to_owned())),
        }
    }

    /// Appends the element in its canonical form, for a place where `inherited_ns` is the default namespace.
    ///
    /// What comes out is well-formed whatever the fields hold: a character that XML cannot carry
    /// becomes U+FFFD, a name that is none is mended with `_`, and of two attributes with the same
    /// name the first is written. An attribute named `xmlns`, or in the namespace of that prefix, is left out.
    pub fn write(&self, inherited_ns: &str, out: &mut Vec<u8>) {
        let xml = self.ns == ns::XML;
        // Nothing can be in the namespace of `xmlns` itself.
        let own_ns = if self.ns == ns::XMLNS {
            "".into()
        } else {
            write::carried(&self.ns)
        };
        let inside_ns = if xml { inherited_ns } else { &*own_ns };
        let name = crate::name::mend(&self.name);
        let prefix = if xml { "xml:" } else { "" };
        out.push(b'<');
        write::all(out, &[prefix, &name]);
        if inside_ns != inherited_ns {
            write::attribute(out, "xmlns", inside_ns);
        }
        write::attributes(out, &self.attrs);
        let before = out.len();
        out.push(b'>');
        for child in &self.children {
            match child {
                Node::Element(element) => element.write(inside_ns, out),
                Node::Text(text) => write::text(out, text),
            }
        }
        if out.len() == before + 1 {
            out.truncate(before);
            out.extend_from_slice(b"/>");
        } else {
            write::all(out, &["</", prefix, &name, ">"]);
        }
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} xmlns={:?}", self.name.escape_debug(), self.ns)?;
        f.debug_list().entries(&self.attrs).finish()?;
        f.write_str(">")?;
        f.debug_list().entries(&self.children).finish()
    }
}

impl fmt::Debug for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ns) = &self.ns {
            write!(f, "{{{}}}", ns.escape_debug())?;
        }
        write!(f, "{}={} bytes", self.name.escape_debug(), self.value.len())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element(element) => element.fmt(f),
            Self::Text(text) => write!(f, "{} bytes", text.len()),
        }
    }
}

#[cfg(test)]
mod tests;
