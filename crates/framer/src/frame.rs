use std::fmt;

use bytes::Bytes;

/// One whole top-level element: from its `<` to its last `>`, in UTF-8, free of what RFC 6120 §11.1
/// forbids.
///
/// That is all a frame guarantees. Names, attributes, references and matching tags are up to the
/// reader; a frame may turn out not to be well-formed.
///
/// It is a slice of the buffer it was cut from, not a copy. Keeping a small frame keeps that whole
/// buffer in memory: pass frames on as they are, but copy what you store.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Frame(Bytes);

impl Frame {
    /// The caller has found the borders and checked the encoding.
    pub(crate) const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The element as received.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The element as text.
    ///
    /// Checks every byte again, because the proof that they are UTF-8 can't be kept without
    /// unsafe code. Give [`as_bytes`](Self::as_bytes) to a reader that accepts bytes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The name of the element as written, with its prefix: `message`, `iq`, `stream:features`.
    ///
    /// This is everything between `<` and the first whitespace, `/` or `>`; the framer doesn't check that it is a valid name.
    #[must_use]
    pub fn name(&self) -> &str {
        let after = self.0.get(1..).unwrap_or_default();
        let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>');
        let len = after.iter().position(ends).unwrap_or(after.len());
        str::from_utf8(after.get(..len).unwrap_or_default()).unwrap_or_default()
    }

    /// The element as a slice of the buffer it was cut from, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Frame> for Bytes {
    fn from(frame: Frame) -> Self {
        frame.0
    }
}

/// Shows the length only: stanzas are private conversations and don't belong in a log.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("len", &self.0.len()).finish()
    }
}
