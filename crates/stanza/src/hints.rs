//! Requests to servers about handling a message (XEP-0334 §4, XEP-0280 §6.2).
//!
//! They are only hints: don't rely on them.

use crate::element::Element;
use crate::ns;

/// A message processing hint (XEP-0334).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hint {
    /// Do not copy it to other resources.
    NoCopy,
    /// Do not store it at all.
    NoStore,
    /// Do not store it for longer than its delivery takes.
    NoPermanentStore,
    /// Store it even if it normally wouldn't be.
    Store,
}

impl Hint {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::NoCopy,
        Self::NoStore,
        Self::NoPermanentStore,
        Self::Store,
    ];

    /// The name of its element.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoCopy => "no-copy",
            Self::NoStore => "no-store",
            Self::NoPermanentStore => "no-permanent-store",
            Self::Store => "store",
        }
    }

    /// Reads a hint; `None` if the element is something else.
    pub fn read(element: &Element) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|hint| element.is(hint.name(), ns::HINTS))
    }

    /// The element.
    pub fn to_element(self) -> Element {
        Element::new(self.name(), ns::HINTS)
    }
}

/// `<private/>`: do not send copies to the other clients of either side (XEP-0280).
pub fn private() -> Element {
    Element::new("private", ns::CARBONS)
}

/// Whether an element is [`private()`].
pub fn is_private(element: &Element) -> bool {
    element.is("private", ns::CARBONS)
}
