//! Delivery receipts (XEP-0184 §5).

use crate::element::Element;
use crate::ns;
use crate::payload_error::{PayloadError, required};

/// A child of a message that concerns its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// `<request/>`: asks for a receipt of this message, which must have an id.
    Request,
    /// `<received/>`: a message has arrived.
    Received {
        /// The id of that message.
        id: String,
    },
}

impl Receipt {
    /// Reads an element.
    ///
    /// # Errors
    ///
    /// Another element, or a `<received/>` without the id of a message.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        if element.is("request", ns::RECEIPTS) {
            Ok(Self::Request)
        } else if element.is("received", ns::RECEIPTS) {
            Ok(Self::Received {
                id: required(element, "received", "id")?.to_owned(),
            })
        } else {
            Err(PayloadError::Unknown)
        }
    }

    /// The element.
    pub fn to_element(&self) -> Element {
        match self {
            Self::Request => Element::new("request", ns::RECEIPTS),
            Self::Received { id } => Element::new("received", ns::RECEIPTS).with_attr("id", id),
        }
    }
}
