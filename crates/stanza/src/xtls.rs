//! XTLS: the elements of the letter of December 2008, and the early hello.

use std::fmt;

use bytes::Bytes;

use crate::base64::{self, Whitespace};
use crate::element::Element;
use crate::ibb::{Open, Sid};
use crate::payload_error::PayloadError;

/// The namespace and disco feature.
pub const NS: &str = crate::ns::XTLS;
/// The namespace of `<hello/>`, our extension.
pub const NS_EARLY: &str = crate::ns::XTLS_EARLY;

/// What `<data/>` of the original flow names as its method: TLS with certificates.
const METHOD: &str = "x509";

/// An element of the control plane, none of which is authenticated. Debug output shows lengths only.
#[derive(Clone, PartialEq, Eq)]
pub enum Control {
    /// `<start/>`: asks for a tunnel. Inside of an IBB `<open/>`, or by itself in the original flow.
    Start {
        /// The ClientHello, sent early.
        hello: Option<Bytes>,
    },
    /// `<proceed/>`: yes.
    Proceed {
        /// The server flight, sent early.
        hello: Option<Bytes>,
    },
    /// `<data/>`: TLS bytes in the original flow, which has no IBB below.
    Data(Bytes),
    /// `<close/>`: ends the tunnel.
    Close {
        /// The IBB bytestream of the tunnel; the letter leaves it out.
        sid: Option<Sid>,
    },
    /// `<closed/>`: the tunnel has ended.
    Closed,
}

impl Control {
    /// The name of the element.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Proceed { .. } => "proceed",
            Self::Data(_) => "data",
            Self::Close { .. } => "close",
            Self::Closed => "closed",
        }
    }

    /// Reads an element. Attributes and children that are not known are ignored.
    ///
    /// # Errors
    ///
    /// An element of another name or namespace, two `<hello/>`, text that is not base64, another method than `x509`, and a
    /// sid that is no token.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        if element.ns != NS {
            return Err(PayloadError::Unknown);
        }
        match element.name.as_str() {
            "start" => Ok(Self::Start {
                hello: hello(element)?,
            }),
            "proceed" => Ok(Self::Proceed {
                hello: hello(element)?,
            }),
            // What is in the TLS, and the only thing that the flow before the letter was ever written down for.
            "data" if element.attr("method") != Some(METHOD) => Err(PayloadError::Attribute {
                element: "data",
                attribute: "method",
            }),
            "data" => Ok(Self::Data(bytes(element, "data")?)),
            "close" => {
                let wrong = |_| PayloadError::Attribute {
                    element: "close",
                    attribute: "sid",
                };
                Ok(Self::Close {
                    sid: element
                        .attr("sid")
                        .map(Sid::new)
                        .transpose()
                        .map_err(wrong)?,
                })
            }
            "closed" => Ok(Self::Closed),
            _ => Err(PayloadError::Unknown),
        }
    }

    /// The `<start/>` among the extensions of an IBB `<open/>`; `None` if the bytestream is not for XTLS.
    ///
    /// # Errors
    ///
    /// Two `<start/>`, or one that cannot be read.
    pub fn in_open(open: &Open) -> Result<Option<Self>, PayloadError> {
        let mut starts = open.extensions.iter().filter(|e| e.is("start", NS));
        match (starts.next(), starts.next()) {
            (Some(_), Some(_)) => Err(PayloadError::Twice { element: "start" }),
            (Some(start), None) => Self::read(start).map(Some),
            (None, _) => Ok(None),
        }
    }

    /// The element.
    pub fn to_element(&self) -> Element {
        let element = Element::new(self.name(), NS);
        match self {
            Self::Start { hello: Some(hello) } | Self::Proceed { hello: Some(hello) } => {
                element.with_child(Element::new("hello", NS_EARLY).with_text(text(hello)))
            }
            Self::Data(bytes) => element.with_attr("method", METHOD).with_text(text(bytes)),
            Self::Close { sid: Some(sid) } => element.with_attr("sid", sid.as_str()),
            Self::Start { hello: None }
            | Self::Proceed { hello: None }
            | Self::Close { sid: None }
            | Self::Closed => element,
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { hello: Some(bytes) }
            | Self::Proceed { hello: Some(bytes) }
            | Self::Data(bytes) => {
                write!(f, "{}({} bytes)", self.name(), bytes.len())
            }
            Self::Close { sid: Some(sid) } => write!(f, "close({sid:?})"),
            Self::Start { hello: None }
            | Self::Proceed { hello: None }
            | Self::Close { sid: None }
            | Self::Closed => f.write_str(self.name()),
        }
    }
}

fn hello(element: &Element) -> Result<Option<Bytes>, PayloadError> {
    let mut hellos = element.elements().filter(|e| e.is("hello", NS_EARLY));
    match (hellos.next(), hellos.next()) {
        (Some(_), Some(_)) => Err(PayloadError::Twice { element: "hello" }),
        (Some(hello), None) => bytes(hello, "hello").map(Some),
        (None, _) => Ok(None),
    }
}

fn bytes(element: &Element, name: &'static str) -> Result<Bytes, PayloadError> {
    base64::decode(&element.text(), Whitespace::Skip)
        .map_err(|why| PayloadError::Base64 { element: name, why })
}

fn text(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    base64::encode(bytes, &mut text);
    String::from_utf8(text).unwrap_or_default()
}
