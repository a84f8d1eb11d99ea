use std::fmt;

use bytes::Bytes;

/// One whole top-level element: from its `<` to its last `>`, in UTF-8, free of what RFC 6120 §11.1
/// forbids.
///
/// That is all a frame promises. Names, attributes, references and the matching of tags are for the
/// reader it is given to; a frame may turn out not to be well-formed.
///
/// It is a slice of the buffer it was cut from, not a copy. Keeping a small frame keeps that whole
/// buffer in memory: what passes through may stay a frame, what is stored should be copied.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Frame(Bytes);

impl Frame {
    /// The caller has found the borders and checked the bytes.
    pub(crate) const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The element as it came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The element as text.
    ///
    /// Looks at every byte once more, because the proof that they are UTF-8 cannot be kept without
    /// unsafe code. A reader that takes bytes should be given [`as_bytes`](Self::as_bytes).
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The name of the element as written, with its prefix: `message`, `iq`, `stream:features`.
    ///
    /// It is what stands between `<` and the first white space, `/` or `>`; whether that is a name is for a reader to judge.
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

/// Shows the length alone: a stanza is somebody's conversation and has no business in a log.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("len", &self.0.len()).finish()
    }
}
