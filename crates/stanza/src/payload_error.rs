//! Why an element can't be decoded.

use crate::base64;
use crate::element::Element;

/// Why an element can't be decoded as the payload that its name announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The namespace has no such element.
    #[error("an element that is not known in its namespace")]
    Unknown,
    /// An attribute is missing.
    #[error("<{element}/> lacks the attribute {attribute}")]
    Missing {
        /// The name of the element.
        element: &'static str,
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// The value of an attribute is out of range.
    #[error("<{element}/> has a bad value of the attribute {attribute}")]
    Attribute {
        /// The name of the element.
        element: &'static str,
        /// The name of the attribute.
        attribute: &'static str,
    },
    /// The text is not what it should be.
    #[error("<{element}/> has a bad text")]
    Text {
        /// The name of the element.
        element: &'static str,
    },
    /// The text is not base64.
    #[error("<{element}/>: {why}")]
    Base64 {
        /// The name of the element.
        element: &'static str,
        /// What is wrong with the text; the message says it too.
        why: base64::Error,
    },
    /// There are elements where only text is allowed.
    #[error("<{element}/> has elements inside")]
    Children {
        /// The name of the element.
        element: &'static str,
    },
    /// An element has more children of a kind than are read.
    #[error("<{element}/> has more than {most} children of a kind (our limit)")]
    TooMany {
        /// The name of the element.
        element: &'static str,
        /// How many are read.
        most: usize,
    },
    /// An element appears twice that may appear only once.
    #[error("<{element}/> appears twice")]
    Twice {
        /// The name of the element.
        element: &'static str,
    },
}

impl PayloadError {
    pub(crate) fn unless(element: &Element, name: &str, ns: &str) -> Result<(), Self> {
        if element.is(name, ns) {
            Ok(())
        } else {
            Err(Self::Unknown)
        }
    }
}

/// The value of a required attribute.
pub(crate) fn required<'e>(
    element: &'e Element,
    name: &'static str,
    attribute: &'static str,
) -> Result<&'e str, PayloadError> {
    element.attr(attribute).ok_or(PayloadError::Missing {
        element: name,
        attribute,
    })
}
