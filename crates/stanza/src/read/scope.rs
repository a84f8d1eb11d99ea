//! Resolves prefixes to namespaces.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::qname::QName;
use super::rule::{MAX_IN_SCOPE, MAX_NAMESPACE, Rule};
use super::stack::Stack;
use crate::name::Namespace;
use crate::ns;

/// The namespace of the prefix `xml`, one for all trees.
static XML: LazyLock<Namespace> = LazyLock::new(|| ns::XML.into());

/// A namespace, by the place of its declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The index of the first prefix in scope with the same namespace, so that names are compared by index and not by texts
    /// that may be long.
    same: usize,
}

impl Binding<'_> {
    /// Most prefixes are empty: skip the call that would compare nothing.
    fn is(&self, prefix: &str) -> bool {
        self.prefix.len() == prefix.len() && (prefix.is_empty() || self.prefix == prefix)
    }
}

/// The declarations in scope, the innermost last.
pub(super) struct Scope<'a> {
    bindings: Stack<Binding<'a>, 4>,
    /// The shared namespaces for trees, by index, created on demand.
    shared: Vec<Option<Namespace>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(default: &'a str) -> Self {
        let mut bindings = Stack::new();
        bindings.push(Binding {
            prefix: "",
            uri: Cow::Borrowed(default),
            same: 0,
        });
        Self {
            bindings,
            shared: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bindings.len()
    }

    pub(super) fn truncate(&mut self, mark: usize) {
        self.bindings.truncate(mark);
        self.shared.truncate(mark);
    }

    /// Declares a prefix, or with an empty one the default namespace (Namespaces in XML 1.0 §3, §5).
    pub(super) fn bind(&mut self, prefix: &'a str, uri: Cow<'a, str>) -> Result<(), Rule> {
        match (prefix, &*uri) {
            // Declared by definition: repeating it changes nothing.
            ("xml", ns::XML) => return Ok(()),
            ("xml" | "xmlns", _) | (_, ns::XML | ns::XMLNS) => return Err(Rule::ReservedPrefix),
            ("", _) => {}
            (_, "") => return Err(Rule::EmptyPrefix),
            _ => {}
        }
        if uri.len() > MAX_NAMESPACE {
            return Err(Rule::NamespaceLength);
        }
        let at = self.bindings.len();
        if at >= MAX_IN_SCOPE && at >= MAX_IN_SCOPE + self.uncounted() {
            return Err(Rule::InScope);
        }
        // Only attributes are compared, and without a prefix they are in no namespace.
        let same = if prefix.is_empty() {
            at
        } else {
            let alike = |b: &Binding<'_>| !b.prefix.is_empty() && b.uri == uri;
            self.rest(0).position(alike).unwrap_or(at)
        };
        self.bindings.push(Binding { prefix, uri, same });
        Ok(())
    }

    /// The declaration around the document, and the one by which its element repeats it.
    fn uncounted(&self) -> usize {
        let (around, first) = (self.bindings.get(0), self.bindings.get(1));
        let again = first.is_some_and(|first| {
            first.prefix.is_empty() && around.is_some_and(|around| around.uri == first.uri)
        });
        1 + usize::from(again)
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

    /// The default namespace. There always is one: that of the document.
    #[inline]
    pub(super) fn default_space(&self) -> Space {
        let is_default = |at: &usize| self.bindings.get(*at).is_some_and(|b| b.prefix.is_empty());
        let inner = (1..self.bindings.len()).rev().find(is_default);
        Space::Bound(inner.unwrap_or(0))
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

    /// Maps prefixes of the same namespace to one value.
    pub(super) fn canonical(&self, space: Space) -> Space {
        match space {
            Space::None | Space::Xml => space,
            Space::Bound(at) => Space::Bound(self.bindings.get(at).map_or(at, |b| b.same)),
        }
    }

    /// The namespace for a tree, shared by everything in its scope.
    pub(super) fn namespace(&mut self, space: Space) -> Namespace {
        let at = match space {
            Space::None => return "".into(),
            Space::Xml => return XML.clone(),
            Space::Bound(at) => at,
        };
        if self.shared.len() <= at {
            self.shared.resize(at + 1, None);
        }
        let uri = self.bindings.get(at).map_or("", |binding| &binding.uri);
        match self.shared.get_mut(at) {
            Some(shared) => shared.get_or_insert_with(|| uri.into()).clone(),
            None => uri.into(),
        }
    }

    pub(super) fn uri(&self, space: Space) -> &str {
        match space {
            Space::None => "",
            Space::Xml => ns::XML,
            Space::Bound(index) => self.bindings.get(index).map_or("", |b| &b.uri),
        }
    }
}
