//! Names and namespaces, of which a tree holds many and few that differ.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::text::Text;

/// Longest name without memory of its own, in bytes.
const SHORT: usize = 22;

/// The name of an element or attribute, without a prefix. A text that is cheap to make and to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Text<SHORT>);

/// The name of a namespace; empty for none. All clones share one text, and so does what was read where it was declared once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn text(&self) -> &Text<SHORT> {
        &self.0
    }
}

impl Namespace {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the text lies: the same place is the same namespace, which shows without a comparison.
    pub(crate) fn place(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        // Whether it is text need not be shown again.
        self.0.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<str> for Namespace {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Namespace {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// What a text of either kind can do.
macro_rules! text {
    ($type:ty) => {
        impl Deref for $type {
            type Target = str;

            fn deref(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self == *other
            }
        }

        impl From<String> for $type {
            fn from(text: String) -> Self {
                text.as_str().into()
            }
        }

        impl From<&String> for $type {
            fn from(text: &String) -> Self {
                text.as_str().into()
            }
        }

        impl From<&$type> for $type {
            fn from(text: &$type) -> Self {
                text.clone()
            }
        }

        impl From<$type> for String {
            fn from(text: $type) -> Self {
                text.as_str().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}

text!(Name);
text!(Namespace);
