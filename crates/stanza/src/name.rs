//! Names and namespaces: a tree contains many, few of them distinct.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::text::Text;

/// Longest name stored inline, in bytes.
const SHORT: usize = 22;

/// The name of an element or attribute, without a prefix. Cheap to create and clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Text<SHORT>);

/// The name of a namespace; empty for none. Clones share one text, and so do elements that were read in the scope of one declaration.
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

    /// The address of the text: the same address means the same namespace, without a comparison.
    pub(crate) fn place(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        // Bytes, to save another UTF-8 check.
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

/// What both types have in common.
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
