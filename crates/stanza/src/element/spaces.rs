//! Decides where the namespaces of trees are declared.
//!
//! Nearly all writers declare a namespace as the default where it changes, and so do we while that is cheap. In a tree
//! that changes often, each change costs the whole name, which turns a short document with a long name into a long one. Then
//! every namespace used more than once is declared once, with a prefix, up front.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::tree::{Element, Node};
use crate::name::Namespace;
use crate::ns;
use crate::read::MAX_IN_SCOPE;
use crate::xml::chars::carried;

/// Bytes that repeated declarations may take beyond the first of each.
const REPEATED: usize = 1024;

/// Bytes of a declaration beside the name: ` xmlns:a1=''`.
const DECLARATION: usize = 12;

/// Declarations that the stanza around the trees has, or the first element of a tree.
const AROUND: usize = 2;

/// A namespace of some trees, by its place in [`Spaces`].
pub(super) type Id = usize;

/// No namespace.
pub(super) const NONE: Id = 0;
/// The one of the prefix `xml`, which needs no declaration.
pub(super) const XML: Id = 1;
/// The one of the prefix `xmlns`, which can contain nothing.
pub(super) const XMLNS: Id = 2;

/// All namespaces of some trees.
pub(super) struct Spaces<'t> {
    places: BTreeMap<*const u8, Id>,
    texts: BTreeMap<Cow<'t, str>, Id>,
    all: Vec<Space<'t>>,
}

/// What is known about a namespace.
#[derive(Default)]
struct Space<'t> {
    text: Cow<'t, str>,
    /// Declarations needed if each is made where the namespace begins.
    times: usize,
    /// The last element that declared it for its attributes, by number.
    element: usize,
    /// Elements around the one being looked at, and that one, which use it.
    around: usize,
    /// Whether it is declared up front.
    front: bool,
    /// Whether its prefix is declared here.
    pub(super) in_scope: bool,
}

impl<'t> Spaces<'t> {
    /// The namespaces of these trees, if declaring them where they begin is expensive.
    pub(super) fn of(
        trees: impl Iterator<Item = &'t Element> + Clone,
        inherited_ns: &'t str,
    ) -> Option<Self> {
        let mut left = REPEATED;
        if trees
            .clone()
            .all(|tree| is_cheap(tree, inherited_ns, &mut left))
        {
            return None;
        }
        let mut spaces = Self {
            places: BTreeMap::new(),
            texts: BTreeMap::new(),
            all: Vec::new(),
        };
        for known in ["", ns::XML, ns::XMLNS] {
            spaces.of_text(Cow::Borrowed(known));
        }
        let default = spaces.of_text(Cow::Borrowed(inherited_ns));
        let mut count = Count::default();
        for tree in trees.clone() {
            spaces.count(tree, default, AROUND, &mut count);
        }
        let repeated: usize = spaces.all.iter().map(Space::repeated).sum();
        if repeated <= REPEATED && count.deepest <= MAX_IN_SCOPE {
            return None;
        }
        spaces.choose(trees);
        Some(spaces)
    }

    /// Its place here.
    pub(super) fn id(&mut self, ns: &'t Namespace) -> Id {
        if let Some(&id) = self.places.get(&ns.place()) {
            return id;
        }
        let id = self.of_text(carried(ns));
        self.places.insert(ns.place(), id);
        id
    }

    pub(super) fn of_text(&mut self, text: Cow<'t, str>) -> Id {
        let next = self.all.len();
        *self.texts.entry(text).or_insert_with_key(|text| {
            self.all.push(Space {
                text: text.clone(),
                ..Space::default()
            });
            next
        })
    }

    /// The namespace of an element, which can't be that of `xmlns`.
    pub(super) fn of_element(&mut self, element: &'t Element) -> Id {
        match self.id(&element.ns) {
            XMLNS => NONE,
            id => id,
        }
    }

    /// Its name.
    pub(super) fn text(&self, id: Id) -> &str {
        self.all.get(id).map_or("", |space| &space.text)
    }

    /// Those declared up front.
    pub(super) fn front(&self) -> impl Iterator<Item = Id> {
        let all = self.all.iter().enumerate();
        all.filter(|(_, space)| space.front).map(|(id, _)| id)
    }

    /// Whether its prefix is declared here.
    pub(super) fn is_in_scope(&self, id: Id) -> bool {
        self.all.get(id).is_some_and(|space| space.in_scope)
    }

    pub(super) fn set_in_scope(&mut self, id: Id, in_scope: bool) {
        if let Some(space) = self.all.get_mut(id) {
            space.in_scope = in_scope;
        }
    }

    /// Counts the declarations where namespaces begin, given the number in scope outside.
    fn count(&mut self, element: &'t Element, outside: Id, mut in_scope: usize, count: &mut Count) {
        count.elements += 1;
        let number = count.elements;
        let own = self.of_element(element);
        let inside = if own == XML { outside } else { own };
        if inside != outside {
            in_scope += 1;
            self.with(inside, |space| space.times += 1);
        }
        for ns in element.attrs.iter().filter_map(|attr| attr.ns.as_ref()) {
            let id = self.id(ns);
            self.with(id, |space| {
                if std::mem::replace(&mut space.element, number) != number {
                    in_scope += 1;
                    space.times += 1;
                }
            });
        }
        count.deepest = count.deepest.max(in_scope);
        for child in element.elements() {
            self.count(child, inside, in_scope, count);
        }
    }

    /// Chooses what to declare up front: the most expensive first, as long as nowhere more declarations are in
    /// scope than the reader allows.
    fn choose(&mut self, trees: impl Iterator<Item = &'t Element> + Clone) {
        let mut repeated: Vec<Id> = (XMLNS + 1..self.all.len()).collect();
        repeated.retain(|&id| self.all.get(id).is_some_and(|space| space.times > 1));
        repeated.sort_by_key(|&id| Reverse(self.all.get(id).map_or(0, Space::repeated)));
        repeated.truncate(MAX_IN_SCOPE - AROUND);
        while !repeated.is_empty() {
            for &id in &repeated {
                self.with(id, |space| space.front = true);
            }
            let mut most = 0;
            for tree in trees.clone() {
                self.deepest(tree, 0, &mut most);
            }
            if repeated.len() + most + AROUND <= MAX_IN_SCOPE {
                return;
            }
            for &id in &repeated {
                self.with(id, |space| space.front = false);
            }
            repeated.truncate(repeated.len() / 2);
        }
    }

    /// The number of namespaces used at one place, by an element or its ancestors, apart from those declared up front.
    fn deepest(&mut self, element: &'t Element, outside: usize, most: &mut usize) {
        let mut used = outside;
        let mut enter = |space: &mut Space<'_>| {
            used += usize::from(space.around == 0 && !space.front);
            space.around += 1;
        };
        let own = self.of_element(element);
        self.with(own, &mut enter);
        for ns in element.attrs.iter().filter_map(|attr| attr.ns.as_ref()) {
            let id = self.id(ns);
            self.with(id, &mut enter);
        }
        *most = used.max(*most);
        for child in element.elements() {
            self.deepest(child, used, most);
        }
        self.with(own, |space| space.around -= 1);
        for ns in element.attrs.iter().filter_map(|attr| attr.ns.as_ref()) {
            let id = self.id(ns);
            self.with(id, |space| space.around -= 1);
        }
    }

    fn with(&mut self, id: Id, change: impl FnOnce(&mut Space<'t>)) {
        if let Some(space) = self.all.get_mut(id) {
            change(space);
        }
    }
}

/// What was counted.
#[derive(Default)]
struct Count {
    elements: usize,
    /// The most declarations in scope at one place.
    deepest: usize,
}

impl Space<'_> {
    /// Bytes of its declarations except the first.
    fn repeated(&self) -> usize {
        self.times.saturating_sub(1) * (self.text.len() + DECLARATION)
    }
}

/// Whether the declarations of a tree, each made where its namespace begins, fit in the remaining budget.
fn is_cheap(element: &Element, outside: &str, left: &mut usize) -> bool {
    let spaces = element.attrs.iter().filter_map(|attr| attr.ns.as_ref());
    let declared = Some(&element.ns).filter(|ns| **ns != *outside);
    for ns in declared.into_iter().chain(spaces) {
        match left.checked_sub(ns.len() + DECLARATION) {
            Some(rest) => *left = rest,
            None => return false,
        }
    }
    element.children.iter().all(|node| match node {
        Node::Element(child) => is_cheap(child, &element.ns, left),
        Node::Text(_) => true,
    })
}
