//! In-Band Bytestreams (XEP-0047 2.0.1 §2).

use std::fmt;
use std::io::Write as _;
use std::num::NonZeroU16;
use std::str::FromStr;

use bytes::Bytes;

use crate::base64::{self, Whitespace};
use crate::element::{Element, Node};
use crate::payload_error::{PayloadError, required};
use crate::text::Text;
use crate::write;
use crate::xml::names::is_nmtoken;
use crate::xml::simd;

/// The namespace and disco feature.
pub const NS: &str = crate::ns::IBB;

/// Longest [`Sid`] in bytes.
const MAX_SID: usize = 256;

/// Longest [`Sid`] stored inline, in bytes. Ours have 17.
const SHORT: usize = 30;

/// The name of a bytestream, unique between its two addresses: an `xs:NMTOKEN` of 1 to 256 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(Text<SHORT>);

impl Sid {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// The text is empty, longer than 256 bytes, or not an `xs:NMTOKEN`; surrounding white space is an error.
    pub fn new(text: &str) -> Result<Self, SidError> {
        if text.len() > MAX_SID {
            Err(SidError::TooLong { len: text.len() })
        } else if is_nmtoken(text) {
            Ok(Self(text.into()))
        } else {
            Err(SidError::NotAToken)
        }
    }

    /// Like [`Address::new`], for ASCII text.
    pub(crate) fn of_ascii(text: &[u8]) -> Option<Self> {
        if !text.is_empty() && simd::name_len(text) == text.len() {
            // Every byte of a token counts toward `name_len`.
            if let Some(text) = Text::short(text) {
                return Some(Self(text));
            }
        }
        Self::new(str::from_utf8(text).ok()?).ok()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn text(&self) -> &Text<SHORT> {
        &self.0
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl FromStr for Sid {
    type Err = SidError;

    fn from_str(text: &str) -> Result<Self, SidError> {
        Self::new(text)
    }
}

/// Why a text is not a [`Sid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SidError {
    /// It is empty or contains a character that tokens don't allow.
    #[error("the sid is no token (XEP-0047 §8, xs:NMTOKEN)")]
    NotAToken,
    /// It is longer than 256 bytes.
    #[error("the sid has {len} bytes, at most {MAX_SID} are allowed (our limit)")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

/// Most bytes of one chunk, before base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(NonZeroU16);

impl BlockSize {
    /// 65535 bytes.
    pub const MAX: Self = Self(NonZeroU16::MAX);

    /// A size in bytes; `None` for zero.
    pub fn new(bytes: u16) -> Option<Self> {
        NonZeroU16::new(bytes).map(Self)
    }

    /// The size in bytes.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for BlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a chunk. Each direction counts from 0 on its own; 65535 is followed by 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u16);

impl Seq {
    /// The number of the next chunk.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which stanzas carry the chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Carrier {
    /// `iq`: each chunk is acknowledged. The default.
    #[default]
    Iq,
    /// `message`: nothing is acknowledged.
    Message,
}

impl Carrier {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iq => "iq",
            Self::Message => "message",
        }
    }
}

/// `<open/>`: asks for a bytestream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The name of the new bytestream.
    pub sid: Sid,
    /// Most bytes of one chunk, in both directions.
    pub block_size: BlockSize,
    /// Which stanzas carry the chunks.
    pub carrier: Carrier,
    /// The children, which XEP-0047 doesn't define: XTLS adds `<start/>`.
    pub extensions: Vec<Element>,
}

impl Open {
    /// Reads `<open/>`.
    ///
    /// # Errors
    ///
    /// Another element, and attributes that are missing or out of range.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        Ok(Self {
            extensions: element.elements().cloned().collect(),
            ..Self::bare(element)?
        })
    }

    /// Like [`Open::read`], without the children.
    pub(crate) fn bare(element: &Element) -> Result<Self, PayloadError> {
        PayloadError::unless(element, "open", NS)?;
        let block_size = u16_of(required(element, "open", "block-size")?).and_then(BlockSize::new);
        let carrier = match element.attr("stanza") {
            None | Some("iq") => Carrier::Iq,
            Some("message") => Carrier::Message,
            Some(_) => {
                return Err(PayloadError::Attribute {
                    element: "open",
                    attribute: "stanza",
                });
            }
        };
        Ok(Self {
            sid: sid(element, "open")?,
            block_size: block_size.ok_or(PayloadError::Attribute {
                element: "open",
                attribute: "block-size",
            })?,
            carrier,
            extensions: Vec::new(),
        })
    }

    /// The element. `stanza='iq'` is omitted: it is the default, and the letter doesn't mention it.
    pub fn to_element(&self) -> Element {
        let mut element = Element::new("open", NS)
            .with_attr("sid", self.sid.as_str())
            .with_attr("block-size", self.block_size.to_string());
        if self.carrier == Carrier::Message {
            element = element.with_attr("stanza", self.carrier.name());
        }
        element.children = self.extensions.iter().cloned().map(Node::from).collect();
        element
    }
}

/// `<data/>`: one chunk. Debug output shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Data {
    /// The bytestream.
    pub sid: Sid,
    /// The number of the chunk.
    pub seq: Seq,
    /// The chunk, decoded. It may be empty.
    pub bytes: Bytes,
}

impl Data {
    /// Reads `<data/>`, skipping white space inside of the base64.
    ///
    /// # Errors
    ///
    /// Another element, attributes that are missing or out of range, elements inside, and text that is not base64.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        PayloadError::unless(element, "data", NS)?;
        let (sid, seq) = (
            required(element, "data", "sid")?,
            required(element, "data", "seq")?,
        );
        if element.elements().next().is_some() {
            return Err(PayloadError::Children { element: "data" });
        }
        match element.children.as_slice() {
            [Node::Text(text)] => Self::from_parts(sid, seq, text, Whitespace::Skip),
            _ => Self::from_parts(sid, seq, &element.text(), Whitespace::Skip),
        }
    }

    /// Decodes a `<data/>` from its two attributes and text, without a tree.
    ///
    /// # Errors
    ///
    /// Attributes that are out of range and text that is not base64.
    pub fn from_parts(
        sid: &str,
        seq: &str,
        text: &str,
        whitespace: Whitespace,
    ) -> Result<Self, PayloadError> {
        Self::from_bytes(sid, seq, text.as_bytes(), whitespace)
    }

    /// Like [`Data::from_parts`], for text that may not be UTF-8.
    pub(crate) fn from_bytes(
        sid: &str,
        seq: &str,
        text: &[u8],
        whitespace: Whitespace,
    ) -> Result<Self, PayloadError> {
        let wrong = |attribute| PayloadError::Attribute {
            element: "data",
            attribute,
        };
        let sid = Sid::new(sid).map_err(|_| wrong("sid"))?;
        let seq = u16_of(seq).ok_or_else(|| wrong("seq"))?;
        let bytes = base64::decode_bytes(text, whitespace).map_err(|why| PayloadError::Base64 {
            element: "data",
            why,
        })?;
        Ok(Self {
            sid,
            seq: Seq(seq),
            bytes,
        })
    }

    /// The element.
    pub fn to_element(&self) -> Element {
        let mut text = Vec::new();
        base64::encode(&self.bytes, &mut text);
        Element::new("data", NS)
            .with_attr("seq", self.seq.to_string())
            .with_attr("sid", self.sid.as_str())
            .with_text(String::from_utf8(text).unwrap_or_default())
    }

    /// Appends what [`Data::to_element`] would write, without a tree or a second copy of the text.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<data xmlns='http://jabber.org/protocol/ibb' seq='");
        // Writing to memory cannot fail.
        let _ = write!(out, "{}", self.seq.0);
        out.push(b'\'');
        // No character of an NMTOKEN needs an escape.
        write::unchanged(out, b" sid='", self.sid.0.as_bytes());
        if self.bytes.is_empty() {
            out.extend_from_slice(b"/>");
        } else {
            out.push(b'>');
            base64::encode(&self.bytes, out);
            out.extend_from_slice(b"</data>");
        }
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Data {{ sid: {:?}, seq: {}, {} bytes }}",
            self.sid,
            self.seq,
            self.bytes.len()
        )
    }
}

/// `<close/>`: ends a bytestream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The bytestream.
    pub sid: Sid,
}

impl Close {
    /// Reads `<close/>`.
    ///
    /// # Errors
    ///
    /// Another element, or a sid that is missing or no token.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        PayloadError::unless(element, "close", NS)?;
        Ok(Self {
            sid: sid(element, "close")?,
        })
    }

    /// The element.
    pub fn to_element(&self) -> Element {
        Element::new("close", NS).with_attr("sid", self.sid.as_str())
    }
}

fn sid(element: &Element, name: &'static str) -> Result<Sid, PayloadError> {
    let sid = required(element, name, "sid")?;
    Sid::new(sid).map_err(|_| PayloadError::Attribute {
        element: name,
        attribute: "sid",
    })
}

/// An `xs:unsignedShort` of 1 to 5 digits.
pub(crate) fn u16_of(text: &str) -> Option<u16> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
