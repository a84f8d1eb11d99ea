//! A small owned tree.

mod names;
mod spaces;
mod writer;

use std::{fmt, iter};

pub use self::names::{Name, Namespace};
pub(crate) use self::writer::Writer;
use crate::read::{ReadError, Reader, Token};
use crate::write::Form;

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
    pub name: Name,
    /// The namespace; empty for none.
    pub ns: Namespace,
    /// The attributes in order, declarations of namespaces not among them.
    pub attrs: Vec<Attr>,
    /// The children in order.
    pub children: Vec<Node>,
}

/// From this length on a list of elements grows by a quarter.
const MANY: usize = 1024;

/// Makes room for one more in a list that a peer can make long. Vectors double, and a list that moves takes the old and the
/// new place: three times of what it needs, which large entries are not worth.
pub(crate) fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() && list.len() >= MANY {
        list.reserve_exact(list.len() / 4);
    }
}

/// An attribute of an [`Element`].
#[derive(Clone, PartialEq, Eq)]
pub struct Attr {
    /// The namespace, which only attributes with a prefix have.
    pub ns: Option<Namespace>,
    /// The name without a prefix.
    pub name: Name,
    /// The value, normalised and with references resolved.
    pub value: String,
}

/// A child of an [`Element`].
#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    /// An element, in a place of its own: a list of nodes may be long, and most of its memory is then what it grows by.
    Element(Box<Element>),
    /// Text, with references resolved.
    Text(String),
}

impl Element {
    /// An element without attributes and children.
    pub fn new(name: impl Into<Name>, ns: impl Into<Namespace>) -> Self {
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
            Node::Element(element) => Some(&**element),
            Node::Text(_) => None,
        })
    }

    /// The child elements in order, without a copy.
    pub(crate) fn into_elements(self) -> Vec<Self> {
        // Counted, because a list that grows takes more for a while than what it ends with.
        let mut elements = Vec::with_capacity(self.elements().count());
        for node in self.children {
            match node {
                Node::Element(element) => elements.push(*element),
                Node::Text(_) => {}
            }
        }
        elements
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
    pub fn with_attr(mut self, name: impl Into<Name>, value: impl Into<String>) -> Self {
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
        self.children.push(child.into());
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
    /// [`MAX_DEPTH`](crate::MAX_DEPTH), [`MAX_ATTRIBUTES`](crate::MAX_ATTRIBUTES), [`MAX_IN_SCOPE`](crate::MAX_IN_SCOPE) and
    /// [`MAX_NAMESPACE`](crate::MAX_NAMESPACE) allow. The document is untrusted; the error holds nothing of it.
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
                        current.children.push(done.into());
                    }
                    None => return Ok(current),
                },
            }
        }
    }

    /// Reads the elements of a fragment, without the text between them.
    pub(crate) fn read_all(reader: &mut Reader<'_>) -> Result<Vec<Self>, ReadError> {
        let mut elements = Vec::new();
        loop {
            match reader.next()? {
                Token::Start => {
                    grow(&mut elements);
                    elements.push(Self::read_started(reader)?);
                }
                Token::Text(_) => {}
                Token::End | Token::Eof => return Ok(elements),
            }
        }
    }

    pub(crate) fn push_text(&mut self, text: &str) {
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
    ///
    /// A namespace is declared as the default where it begins. If that takes many bytes, because a namespace with a long
    /// name begins again and again, those that do are declared once, with a prefix, on this element.
    pub fn write(&self, inherited_ns: &str, out: &mut Vec<u8>) {
        Writer::new(iter::once(self), inherited_ns, Form::Short).only(self, out);
    }
}

impl From<Element> for Node {
    fn from(element: Element) -> Self {
        Self::Element(Box::new(element))
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
