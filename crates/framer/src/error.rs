use std::error::Error;
use std::fmt;
use std::io;

/// Why the bytes cannot be cut any further.
///
/// `at` counts bytes from the beginning of the whole stream, whitespace between stanzas included.
/// The stream is unusable after any of these: once one border is wrong, all later ones are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A stanza does not end within [`Limits::max_len`](crate::Limits::max_len) bytes.
    TooLong {
        /// The limit that was in force, in bytes.
        limit: usize,
        /// The first byte past the limit.
        at: u64,
    },
    /// Elements are nested deeper than [`Limits::max_depth`](crate::Limits::max_depth).
    TooDeep {
        /// The limit that was in force, in elements.
        limit: u32,
        /// The `<` of the element too deep.
        at: u64,
    },
    /// Markup that XML allows and XMPP forbids (RFC 6120 §11.1 and following).
    Restricted {
        /// Which markup.
        what: Restricted,
        /// Its `<`.
        at: u64,
    },
    /// Anything but whitespace between stanzas (RFC 6120 §11.7), including a byte-order mark
    /// (§11.6).
    StrayText {
        /// Its first byte.
        at: u64,
    },
    /// An end tag where no element is open, `</stream:stream>` included (RFC 6120 §11.3).
    StrayEndTag {
        /// Its `<`.
        at: u64,
    },
    /// A stanza that is not UTF-8 (RFC 6120 §11.6).
    NotUtf8 {
        /// The first byte that begins no UTF-8 character.
        at: u64,
    },
    /// The stream ended inside a stanza. Only the calls that learn of the end report this: `finish`,
    /// the iterator and the codec.
    Truncated {
        /// The `<` of the unfinished stanza.
        at: u64,
    },
}

/// Markup that has no place in an XMPP stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restricted {
    /// `<?xml …?>`: stanzas follow no stream header here (RFC 6120 §11.5).
    Declaration,
    /// `<?name …?>` (RFC 6120 §11.1).
    ProcessingInstruction,
    /// `<!DOCTYPE …>`, or a piece of one such as `<!ENTITY …>` or `<![INCLUDE[` (RFC 6120 §11.1).
    Doctype,
    /// `<!-- … -->` (RFC 6120 §11.1).
    Comment,
    /// `<![CDATA[ … ]]>` between stanzas, where only whitespace may stand (RFC 6120 §11.7). Inside
    /// a stanza it is ordinary character data.
    CData,
}

impl FrameError {
    /// The byte offset in the whole stream where the rule is broken.
    #[must_use]
    pub const fn at(&self) -> u64 {
        match *self {
            Self::TooLong { at, .. }
            | Self::TooDeep { at, .. }
            | Self::Restricted { at, .. }
            | Self::StrayText { at }
            | Self::StrayEndTag { at }
            | Self::NotUtf8 { at }
            | Self::Truncated { at } => at,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { limit, at } => {
                write!(
                    f,
                    "the stanza goes on at byte {at}, past the limit of {limit} bytes (RFC 6120 §13.12)"
                )
            }
            Self::TooDeep { limit, at } => {
                write!(
                    f,
                    "the element at byte {at} is nested deeper than {limit} (RFC 6120 §13.12)"
                )
            }
            Self::Restricted { what, at } => write!(f, "{what} at byte {at} ({})", what.rule()),
            Self::StrayText { at } => {
                write!(f, "text between stanzas at byte {at} (RFC 6120 §11.7)")
            }
            Self::StrayEndTag { at } => {
                write!(
                    f,
                    "an end tag at byte {at} where no element is open (RFC 6120 §11.3)"
                )
            }
            Self::NotUtf8 { at } => write!(f, "not UTF-8 at byte {at} (RFC 6120 §11.6)"),
            Self::Truncated { at } => {
                write!(
                    f,
                    "the stream ended inside the stanza that begins at byte {at} (RFC 6120 §11.3)"
                )
            }
        }
    }
}

impl Error for FrameError {}

impl Restricted {
    const fn rule(self) -> &'static str {
        match self {
            Self::Declaration => "RFC 6120 §11.5",
            Self::ProcessingInstruction | Self::Doctype | Self::Comment => "RFC 6120 §11.1",
            Self::CData => "RFC 6120 §11.7",
        }
    }
}

impl fmt::Display for Restricted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Declaration => "an XML declaration",
            Self::ProcessingInstruction => "a processing instruction",
            Self::Doctype => "a document type declaration",
            Self::Comment => "a comment",
            Self::CData => "a CDATA section between stanzas",
        })
    }
}

/// `UnexpectedEof` for a stream that was cut off, `InvalidData` for the rest; the [`FrameError`] is
/// inside.
impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        let kind = match error {
            FrameError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            FrameError::TooLong { .. }
            | FrameError::TooDeep { .. }
            | FrameError::Restricted { .. }
            | FrameError::StrayText { .. }
            | FrameError::StrayEndTag { .. }
            | FrameError::NotUtf8 { .. } => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
