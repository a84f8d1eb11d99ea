//! Paths of a tunnel beside the server: the sealed signals by which its ends agree on them, and what is inside (our extension).
//!
//! These elements are the business of whoever moves tunnels: in an envelope each is a [`Payload::Other`](crate::Payload::Other).

mod candidate;
mod signal;

use std::fmt;

use bytes::Bytes;

pub use self::candidate::{Candidate, CandidateKind, Cid};
pub use self::signal::{Because, Hints, Signal, SignalError, Takes, Why};
use crate::base64::{self, Whitespace};
use crate::element::{Element, Node};
use crate::ibb;
use crate::payload_error::{PayloadError, required};

/// The namespace.
pub const NS: &str = crate::ns::XTLS_PATH;

/// The plaintext of a signal is filled up to a multiple of so many bytes.
pub const SIGNAL_STEP: usize = 256;

/// Longest plaintext of a signal in bytes.
pub const MAX_SIGNAL: usize = 4096;

/// Most candidates of one end in one attempt.
pub const MAX_CANDIDATES: usize = 8;

/// `<path/>`: a signal, sealed for the other end of a tunnel. Debug output shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The tunnel, by the name of its first stream.
    pub sid: ibb::Sid,
    /// Its number among the signals of its sender, which is also that of the record.
    pub n: u64,
    /// A TLS record, decoded. It may have any length.
    pub record: Bytes,
}

impl Sealed {
    /// Reads `<path/>`, skipping white space inside of the base64.
    ///
    /// # Errors
    ///
    /// Another element, attributes that are missing or out of range, elements inside, and text that is not base64.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        let name = "path";
        PayloadError::unless(element, name, NS)?;
        let sid = ibb::Sid::new(required(element, name, "sid")?);
        let n = number(element, name, "n")?;
        if element.elements().next().is_some() {
            return Err(PayloadError::Children { element: name });
        }
        let record = base64::decode(&element.text(), Whitespace::Skip);
        Ok(Self {
            sid: sid.map_err(|_| attribute(name, "sid"))?,
            n,
            record: record.map_err(|why| PayloadError::Base64 { element: name, why })?,
        })
    }

    /// The element.
    pub fn to_element(&self) -> Element {
        let mut text = Vec::new();
        base64::encode(&self.record, &mut text);
        Element::new("path", NS)
            .with_attr("sid", self.sid.as_str())
            .with_attr("n", self.n.to_string())
            .with_text(String::from_utf8(text).unwrap_or_default())
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sid, n, len) = (&self.sid, self.n, self.record.len());
        write!(f, "Sealed {{ sid: {sid:?}, n: {n}, {len} bytes }}")
    }
}

/// `<leg/>` in the `<open/>` of an In-Band Bytestream: it is a leg of a tunnel that is there already, and no tunnel of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg;

impl Leg {
    /// The element.
    #[must_use]
    pub fn to_element(self) -> Element {
        Element::new("leg", NS)
    }

    /// Whether this asks for a leg.
    #[must_use]
    pub fn is_in_open(open: &ibb::Open) -> bool {
        open.extensions.iter().any(|child| child.is("leg", NS))
    }
}

/// Nothing of ours may stand inside.
fn leaf(element: &Element, name: &'static str) -> Result<(), PayloadError> {
    without_text(element, name)?;
    if element.elements().any(|child| child.ns == NS) {
        return Err(PayloadError::Children { element: name });
    }
    Ok(())
}

fn without_text(element: &Element, name: &'static str) -> Result<(), PayloadError> {
    let text = |node: &Node| matches!(node, Node::Text(_));
    if element.children.iter().any(text) {
        return Err(PayloadError::Text { element: name });
    }
    Ok(())
}

fn number(element: &Element, name: &'static str, attr: &'static str) -> Result<u64, PayloadError> {
    digits(required(element, name, attr)?).ok_or_else(|| attribute(name, attr))
}

/// An `xs:unsignedLong` of 1 to 20 digits.
fn digits(text: &str) -> Option<u64> {
    let digits = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn attribute(element: &'static str, attribute: &'static str) -> PayloadError {
    PayloadError::Attribute { element, attribute }
}

#[cfg(test)]
mod tests;
