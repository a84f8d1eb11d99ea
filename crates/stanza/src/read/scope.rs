//! Which namespace a prefix means where.

use std::borrow::Cow;

use super::stack::Stack;
use super::tag::QName;
use super::{MAX_IN_SCOPE, Rule};
use crate::ns;

/// A namespace, by the place of its declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// None.
    None,
    /// The one of the prefix `xml`.
    Xml,
    /// The declaration with this index.
    Bound(usize),
}

#[derive(Default)]
struct Binding<'a> {
    /// Empty for the default namespace.
    prefix: &'a str,
    uri: Cow<'a, str>,
}

impl Binding<'_> {
    /// Most prefixes are empty, and comparing nothing by a call is what it would cost.
    fn is(&self, prefix: &str) -> bool {
        self.prefix.len() == prefix.len() && (prefix.is_empty() || self.prefix == prefix)
    }
}

/// The declarations in scope, the innermost last.
pub(super) struct Scope<'a> {
    bindings: Stack<Binding<'a>, 4>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(default: &'a str) -> Self {
        let mut bindings = Stack::new();
        bindings.push(Binding {
            prefix: "",
            uri: Cow::Borrowed(default),
        });
        Self { bindings }
    }

    pub(super) fn len(&self) -> usize {
        self.bindings.len()
    }

    pub(super) fn truncate(&mut self, mark: usize) {
        self.bindings.truncate(mark);
    }

    /// Declares a prefix, or with an empty one the default namespace (Namespaces in XML 1.0 §3, §5).
    pub(super) fn bind(&mut self, prefix: &'a str, uri: Cow<'a, str>) -> Result<(), Rule> {
        match (prefix, &*uri) {
            // Declared by definition: saying so again changes nothing.
            ("xml", ns::XML) => return Ok(()),
            ("xml" | "xmlns", _) | (_, ns::XML | ns::XMLNS) => return Err(Rule::ReservedPrefix),
            ("", _) => {}
            (_, "") => return Err(Rule::EmptyPrefix),
            _ => {}
        }
        if self.bindings.len() >= MAX_IN_SCOPE {
            return Err(Rule::InScope);
        }
        self.bindings.push(Binding { prefix, uri });
        Ok(())
    }

    /// Whether the prefix was declared since the mark.
    pub(super) fn declared_since(&self, mark: usize, prefix: &str) -> bool {
        self.rest(mark).any(|b| b.is(prefix))
    }

    pub(super) fn since(&self, mark: usize) -> impl Iterator<Item = (&'a str, &str)> {
        self.rest(mark).map(|b| (b.prefix, &*b.uri))
    }

    fn rest(&self, mark: usize) -> impl Iterator<Item = &Binding<'a>> {
        (mark..self.bindings.len()).filter_map(|at| self.bindings.get(at))
    }

    pub(super) fn element(&self, name: QName<'_>) -> Result<Space, Rule> {
        match name.prefix() {
            Some("xmlns") => Err(Rule::ReservedPrefix),
            prefix => self.find(prefix.unwrap_or_default()),
        }
    }

    /// An attribute without a prefix is in no namespace (Namespaces in XML 1.0 §6.2).
    pub(super) fn attribute(&self, prefix: Option<&str>) -> Result<Space, Rule> {
        prefix.map_or(Ok(Space::None), |prefix| self.find(prefix))
    }

    #[inline]
    fn find(&self, prefix: &str) -> Result<Space, Rule> {
        if prefix == "xml" {
            return Ok(Space::Xml);
        }
        let mut at = self.bindings.len();
        while let Some(before) = at.checked_sub(1) {
            at = before;
            if self.bindings.get(at).is_some_and(|b| b.is(prefix)) {
                return Ok(Space::Bound(at));
            }
        }
        Err(Rule::Prefix)
    }

    pub(super) fn uri(&self, space: Space) -> &str {
        match space {
            Space::None => "",
            Space::Xml => ns::XML,
            Space::Bound(index) => self.bindings.get(index).map_or("", |b| &b.uri),
        }
    }
}
