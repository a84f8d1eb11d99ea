use std::fmt;

use bytes::BytesMut;

use crate::cutter::Cutter;
use crate::error::FrameError;
use crate::frame::Frame;
use crate::limits::Limits;

/// Cuts a byte stream into whole top-level elements, however the bytes arrive.
///
/// ```
/// use xtls_framer::{Framer, Limits};
///
/// let mut framer = Framer::new(Limits::default());
/// framer.push(b"<message><body>O Ro");
/// assert!(framer.next()?.is_none());
/// framer.push(b"meo</body></message>\n<presence/>");
/// assert_eq!(framer.next()?.unwrap().as_str(), "<message><body>O Romeo</body></message>");
/// assert_eq!(framer.next()?.unwrap().as_str(), "<presence/>");
/// assert!(framer.next()?.is_none());
/// framer.finish()?;
/// # Ok::<(), xtls_framer::FrameError>(())
/// ```
pub struct Framer {
    cutter: Cutter,
    /// Begins at a border, or between two of them.
    buffer: BytesMut,
}

impl Framer {
    /// A framer at the beginning of a stream. It holds no memory until the first push.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            cutter: Cutter::new(limits),
            buffer: BytesMut::new(),
        }
    }

    /// Takes bytes as they arrive, in pieces of any size.
    ///
    /// They are kept until [`next`](Self::next) has cut them, so call that until it returns
    /// `Ok(None)` before pushing again: then at most one unfinished stanza within its limit and one
    /// push are held, so a peer can't make the framer hold more than the limit and the
    /// size of a push. After an error, pushed bytes are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.cutter.error().is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole stanza; `Ok(None)` means that more bytes are needed.
    ///
    /// # Errors
    /// The stream breaks a rule or a limit: reported as soon as the offending byte is there, and after all
    /// stanzas before it. (UTF-8 alone is checked once the stanza is whole.) Every later call returns
    /// the same error, and the buffered bytes are discarded.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would end at None, which here asks for more bytes"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let next = self.cutter.cut(&mut self.buffer);
        if next.is_err() {
            self.buffer = BytesMut::new();
        }
        next
    }

    /// Bytes of an unfinished stanza, once [`next`](Self::next) has returned `Ok(None)`. If this isn't
    /// zero at the end of the stream, the stream was cut off. Whitespace between stanzas doesn't
    /// count; after an error this is zero.
    #[must_use]
    pub fn buffered(&self) -> usize {
        Cutter::unfinished(&self.buffer)
    }

    /// Signals the end of the stream, once [`next`](Self::next) has returned `Ok(None)`.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] if a stanza is unfinished, or the error that `next` has already
    /// returned.
    pub fn finish(&self) -> Result<(), FrameError> {
        self.cutter.finish(&self.buffer)
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    #[cfg(test)]
    pub(crate) const fn looked_at(&self) -> usize {
        self.cutter.looked_at()
    }
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

/// Shows the framer's state and none of its bytes.
impl fmt::Debug for Framer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framer")
            .field("cutter", &self.cutter)
            .field("buffered", &self.buffered())
            .finish()
    }
}
