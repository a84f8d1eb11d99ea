//! The types of a tree.

use std::{fmt, iter};

use super::build;
use super::writer::Writer;
use crate::name::{Name, Namespace};
use crate::read::ReadError;
use crate::weight;
use crate::write::Form;

/// An element with its name, namespace, attributes and children.
///
/// A tree that was read contains no adjacent or empty texts. Debug output shows the
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
    /// The attributes in order, without namespace declarations.
    pub attrs: Vec<Attr>,
    /// The children in order.
    pub children: Vec<Node>,
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
    /// An element, boxed so that the spare capacity of long lists of nodes stays small.
    Element(Box<Element>),
    /// Text, with references resolved.
    Text(String),
}

impl Element {
    /// An element without attributes or children.
    pub fn new(name: impl Into<Name>, ns: impl Into<Namespace>) -> Self {
        Self {
            name: name.into(),
            ns: ns.into(),
            attrs: Vec::new(),
            children: Vec::new(),
        }
    }

    /// Reads a document of one element with nothing around it, not even white space.
    ///
    /// `inherited_ns` is the default namespace outside of it.
    ///
    /// # Errors
    ///
    /// Anything that expat or rxml would refuse, that RFC 6120 §11.1 forbids, or that exceeds
    /// [`MAX_DEPTH`](crate::MAX_DEPTH), [`MAX_ATTRIBUTES`](crate::MAX_ATTRIBUTES), [`MAX_IN_SCOPE`](crate::MAX_IN_SCOPE) and
    /// [`MAX_NAMESPACE`](crate::MAX_NAMESPACE). The document is untrusted; the error contains none of it.
    pub fn read(document: &[u8], inherited_ns: &str) -> Result<Self, ReadError> {
        build::read(document, inherited_ns)
    }

    /// Appends the element in canonical form, for a place where `inherited_ns` is the default namespace.
    ///
    /// The output is well-formed whatever the fields contain: a character that XML can't represent
    /// becomes U+FFFD, an invalid name is repaired with `_`, and of two attributes with the same
    /// name only the first is written. An attribute named `xmlns`, or in the namespace of that prefix, is omitted.
    ///
    /// A namespace is declared as the default where it begins. If that would take many bytes, because namespaces with long
    /// names begin again and again, those are declared once, with a prefix, on this element.
    pub fn write(&self, inherited_ns: &str, out: &mut Vec<u8>) {
        Writer::new(iter::once(self), inherited_ns, Form::Short).only(self, out);
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
        // Counted first, because a growing list temporarily takes more memory than it ends with.
        let mut elements = Vec::with_capacity(self.elements().count());
        for node in self.children {
            match node {
                Node::Element(element) => elements.push(*element),
                Node::Text(_) => {}
            }
        }
        elements
    }

    /// The text directly inside, concatenated.
    pub fn text(&self) -> String {
        let texts = self.children.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        texts.collect()
    }

    /// Bytes of memory that the tree holds, itself among them. A namespace that elements next to each other share counts
    /// once.
    pub fn weight(&self) -> usize {
        weight::element(self)
    }

    /// Sets an attribute, replacing one of the same name.
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

    /// Adds a child element.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        self.children.push(child.into());
        self
    }

    /// Adds text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.push_text(&text.into());
        self
    }

    pub(crate) fn push_text(&mut self, text: &str) {
        match self.children.last_mut() {
            _ if text.is_empty() => {}
            Some(Node::Text(last)) => last.push_str(text),
            Some(Node::Element(_)) | None => self.children.push(Node::Text(text.to_owned())),
        }
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
