//! Attributes of a stanza outside of its typed head.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::ns;
use crate::read::MAX_NAMESPACE;
use crate::write::{self, Form};
use crate::xml::chars::is_carried;
use crate::xml::names::is_ncname;

/// An attribute of a stanza outside of its typed head, with its prefix as written.
#[derive(Clone, PartialEq, Eq)]
pub struct RawAttr {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl RawAttr {
    /// An attribute, or the declaration of a prefix if the name is like `xmlns:p`.
    ///
    /// `None` if the name is invalid, belongs to the typed head, or is `xmlns`; if XML can't represent the
    /// value; and if the declaration isn't allowed or is longer than [`MAX_NAMESPACE`].
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Option<Self> {
        let (name, value) = (name.into(), value.into());
        let fits = match name.split_once(':') {
            Some(("xmlns", prefix)) => {
                is_ncname(prefix)
                    && value.len() <= MAX_NAMESPACE
                    && !matches!(prefix, "xml" | "xmlns")
                    && !matches!(value.as_str(), "" | ns::XML | ns::XMLNS)
            }
            Some((prefix, local)) => is_ncname(prefix) && is_ncname(local) && name != "xml:lang",
            None => {
                is_ncname(&name)
                    && !matches!(name.as_str(), "xmlns" | "from" | "to" | "id" | "type")
            }
        };
        (fits && value.chars().all(is_carried)).then_some(Self { name, value })
    }

    /// The name as written, with its prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The name without its prefix.
    pub(super) fn local(&self) -> &str {
        self.name
            .split_once(':')
            .map_or(&self.name, |(_, local)| local)
    }

    /// The prefix that it declares.
    pub(super) fn declares(&self) -> Option<&str> {
        self.name.strip_prefix("xmlns:")
    }
}

impl fmt::Debug for RawAttr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} bytes", self.name.escape_debug(), self.value.len())
    }
}

/// Appends them: declarations first.
pub(super) fn write(extra: &[RawAttr], out: &mut Vec<u8>) {
    if extra.is_empty() {
        return;
    }
    let others = attributes(extra).map(|(attr, _)| attr);
    for attr in declarations(extra).chain(others) {
        write::attribute(out, &attr.name, &attr.value, Form::Short);
    }
}

/// Those that declare a prefix, each prefix once.
fn declarations(extra: &[RawAttr]) -> impl Iterator<Item = &RawAttr> {
    let mut declared = BTreeSet::from(["xml"]);
    extra.iter().filter_map(move |attr| {
        let prefix = attr.declares()?;
        declared.insert(prefix).then_some(attr)
    })
}

/// Those that aren't declarations, without duplicates, with the namespaces of their prefixes, which must be declared.
pub(super) fn attributes(extra: &[RawAttr]) -> impl Iterator<Item = (&RawAttr, &str)> {
    let prefixes: BTreeMap<&str, &str> = declarations(extra)
        .filter_map(|attr| Some((attr.declares()?, attr.value.as_str())))
        .chain([("xml", ns::XML)])
        .collect();
    let mut seen = BTreeSet::new();
    let others = extra.iter().filter(|attr| attr.declares().is_none());
    others.filter_map(move |attr| {
        let ns = match attr.name.split_once(':') {
            Some((prefix, _)) => *prefixes.get(prefix)?,
            None => "",
        };
        seen.insert((ns, attr.local())).then_some((attr, ns))
    })
}
