//! Writes trees.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::spaces::{Id, NONE, Spaces, XML, XMLNS};
use super::tree::{Attr, Element, Node};
use crate::name::Namespace;
use crate::ns;
use crate::write::{self, Form};
use crate::xml::chars::carried;
use crate::xml::names;

/// Writes trees with the same parent.
pub(crate) struct Writer<'t> {
    form: Form,
    inherited_ns: &'t str,
    /// `None` if each namespace is declared where it begins.
    spaces: Option<Spaces<'t>>,
    /// The prefixes in scope, the innermost last.
    scope: Vec<Id>,
}

impl<'t> Writer<'t> {
    /// A writer of these trees, for a place where `inherited_ns` is the default namespace.
    pub(crate) fn new(
        trees: impl Iterator<Item = &'t Element> + Clone,
        inherited_ns: &'t str,
        form: Form,
    ) -> Self {
        Self {
            form,
            inherited_ns,
            spaces: Spaces::of(trees, inherited_ns),
            scope: Vec::new(),
        }
    }

    /// Appends the declarations that the parent makes for the trees.
    pub(crate) fn declarations(&mut self, out: &mut Vec<u8>) {
        if let Some(mut spaces) = self.spaces.take() {
            self.front(&mut spaces, out);
            self.spaces = Some(spaces);
        }
    }

    /// Appends one of the trees, of several.
    pub(crate) fn element(&mut self, element: &'t Element, out: &mut Vec<u8>) {
        self.tree(element, false, out);
    }

    /// Appends the only tree, which makes its own declarations.
    pub(crate) fn only(&mut self, element: &'t Element, out: &mut Vec<u8>) {
        self.tree(element, true, out);
    }

    fn tree(&mut self, element: &'t Element, first: bool, out: &mut Vec<u8>) {
        match self.spaces.take() {
            Some(mut spaces) => {
                let default = spaces.of_text(Cow::Borrowed(self.inherited_ns));
                self.shared(element, default, first, &mut spaces, out);
                self.spaces = Some(spaces);
            }
            None => plain(element, (self.inherited_ns, None), self.form, out),
        }
    }

    fn front(&mut self, spaces: &mut Spaces<'t>, out: &mut Vec<u8>) {
        let front: Vec<Id> = spaces.front().collect();
        for id in front {
            self.declare(id, spaces, out);
        }
    }

    fn declare(&mut self, id: Id, spaces: &mut Spaces<'t>, out: &mut Vec<u8>) {
        write::attribute(out, &format!("xmlns:a{id}"), spaces.text(id), self.form);
        spaces.set_in_scope(id, true);
        self.scope.push(id);
    }

    /// Appends a tree in which each namespace has one prefix, except for the default.
    fn shared(
        &mut self,
        element: &'t Element,
        outside: Id,
        first: bool,
        spaces: &mut Spaces<'t>,
        out: &mut Vec<u8>,
    ) {
        let mark = self.scope.len();
        let own = spaces.of_element(element);
        // The default changes only where nothing else works, and for the first element, whose namespace most others share.
        let changes = own != outside && own != XML && (own == NONE || first);
        let tag = match own {
            XML => format!("xml:{}", names::mend(&element.name)),
            _ if changes || own == outside => names::mend(&element.name).into_owned(),
            _ => format!("a{own}:{}", names::mend(&element.name)),
        };
        write::all(out, &["<", &tag]);
        if changes {
            write::attribute(out, "xmlns", spaces.text(own), self.form);
        } else if own != outside && own != XML && !spaces.is_in_scope(own) {
            self.declare(own, spaces, out);
        }
        if first {
            self.front(spaces, out);
        }
        let mut seen = BTreeSet::new();
        for attr in &element.attrs {
            let id = attr.ns.as_ref().map_or(NONE, |ns| spaces.id(ns));
            if is_declaration(id == NONE, id == XMLNS, attr) {
                continue;
            }
            let name = names::mend(&attr.name);
            if !seen.insert((id, name.clone())) {
                continue;
            }
            let name = match id {
                NONE => name.into_owned(),
                XML => format!("xml:{name}"),
                _ => format!("a{id}:{name}"),
            };
            if id != NONE && id != XML && !spaces.is_in_scope(id) {
                self.declare(id, spaces, out);
            }
            write::attribute(out, &name, &attr.value, self.form);
        }
        let inside = if changes { own } else { outside };
        let form = self.form;
        content(element, &tag, form, out, |child, out| {
            self.shared(child, inside, false, spaces, out);
        });
        for id in self.scope.drain(mark..) {
            spaces.set_in_scope(id, false);
        }
    }
}

/// Appends a tree in which each namespace is declared as the default where it begins. The outer one is given as written
/// and as stored, so that elements that share it are recognised without a comparison.
fn plain(
    element: &Element,
    (inherited_ns, outside): (&str, Option<&Namespace>),
    form: Form,
    out: &mut Vec<u8>,
) {
    let xml = element.ns == ns::XML;
    let own_ns = if outside.is_some_and(|ns| ns.place() == element.ns.place()) {
        inherited_ns.into()
    } else if element.ns == ns::XMLNS {
        // Nothing can be in the namespace of `xmlns` itself.
        "".into()
    } else {
        carried(&element.ns)
    };
    let inside_ns = if xml { inherited_ns } else { &*own_ns };
    let held = if xml { outside } else { Some(&element.ns) };
    let name = names::mend(&element.name);
    let tag = if xml {
        Cow::Owned(format!("xml:{name}"))
    } else {
        name
    };
    write::all(out, &["<", &tag]);
    if inside_ns != inherited_ns {
        write::attribute(out, "xmlns", inside_ns, form);
    }
    attributes(&element.attrs, form, out);
    content(element, &tag, form, out, |child, out| {
        plain(child, (inside_ns, held), form, out);
    });
}

/// Appends attributes with the declarations they need.
fn attributes(attrs: &[Attr], form: Form, out: &mut Vec<u8>) {
    let mut seen = BTreeSet::new();
    let mut prefixes: Vec<Cow<'_, str>> = Vec::new();
    for attr in attrs {
        let space = carried(attr.ns.as_deref().unwrap_or_default());
        if is_declaration(space.is_empty(), space == ns::XMLNS, attr) {
            continue;
        }
        let name = names::mend(&attr.name);
        if !seen.insert((space.clone(), name.clone())) {
            continue;
        }
        match &*space {
            "" => write::attribute(out, &name, &attr.value, form),
            ns::XML => write::attribute(out, &format!("xml:{name}"), &attr.value, form),
            _ => {
                let prefix = match prefixes.iter().position(|p| *p == space) {
                    Some(prefix) => prefix,
                    None => {
                        let name = format!("xmlns:a{}", prefixes.len());
                        write::attribute(out, &name, &space, form);
                        prefixes.push(space);
                        prefixes.len() - 1
                    }
                };
                write::attribute(out, &format!("a{prefix}:{name}"), &attr.value, form);
            }
        }
    }
}

/// Whether an attribute would declare a namespace and is therefore omitted.
fn is_declaration(none: bool, xmlns: bool, attr: &Attr) -> bool {
    xmlns || (none && attr.name == "xmlns")
}

/// Appends what follows the attributes.
fn content<'t>(
    element: &'t Element,
    tag: &str,
    form: Form,
    out: &mut Vec<u8>,
    mut child: impl FnMut(&'t Element, &mut Vec<u8>),
) {
    let before = out.len();
    out.push(b'>');
    for node in &element.children {
        match node {
            Node::Element(element) => child(element, out),
            Node::Text(text) => write::text(out, text, form),
        }
    }
    if out.len() == before + 1 {
        out.truncate(before);
        out.extend_from_slice(b"/>");
    } else {
        write::all(out, &["</", tag, ">"]);
    }
}
