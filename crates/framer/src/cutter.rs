use bytes::{Buf, BytesMut};

use crate::error::FrameError;
use crate::frame::Frame;
use crate::limits::Limits;
use crate::plain::is_ascii;
use crate::scan::{Fault, FaultKind, Scanner, Whole};

/// Cuts stanzas out of a buffer that the caller owns: a [`Framer`](crate::Framer) without the
/// buffer, and without the copy into it.
///
/// For callers that already collect the bytes in a [`BytesMut`]: a TLS layer's plaintext, a codec's
/// read buffer.
///
/// ```
/// use bytes::BytesMut;
/// use xtls_framer::{Cutter, Limits};
///
/// let mut plain = BytesMut::from("<presence/> <message><bo");
/// let mut cutter = Cutter::new(Limits::default());
/// assert_eq!(cutter.cut(&mut plain)?.unwrap().as_bytes(), b"<presence/>");
/// assert!(cutter.cut(&mut plain)?.is_none());
/// plain.extend_from_slice(b"dy/></message>");
/// assert_eq!(cutter.cut(&mut plain)?.unwrap().as_bytes(), b"<message><body/></message>");
/// cutter.finish(&plain)?;
/// # Ok::<(), xtls_framer::FrameError>(())
/// ```
#[derive(Debug)]
pub struct Cutter {
    limits: Limits,
    scanner: Scanner,
    /// The offset of the buffer's first byte in the whole stream.
    start: u64,
    error: Option<FrameError>,
}

impl Cutter {
    /// A cutter at the beginning of a stream.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            scanner: Scanner::new(),
            start: 0,
            error: None,
        }
    }

    /// Takes the next whole stanza off the front of `buffer`; `Ok(None)` means that more bytes are needed.
    ///
    /// Between calls on one stream, only append to `buffer`. Whitespace between stanzas
    /// is removed too; an unfinished stanza stays.
    ///
    /// # Errors
    /// The stream breaks a rule or a limit. Every later call returns the same error, and
    /// `buffer` is left as it is.
    pub fn cut(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let cut = self.try_cut(buffer);
        if let Err(error) = cut {
            self.error = Some(error);
        }
        cut
    }

    /// Signals that no bytes follow `rest`, which is what [`cut`](Self::cut) left when it
    /// asked for more.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] if that is part of a stanza, or the error that `cut` has already
    /// returned.
    pub fn finish(&self, rest: &[u8]) -> Result<(), FrameError> {
        match self.error {
            Some(error) => Err(error),
            None => match leading_whitespace(rest) {
                white if white == rest.len() => Ok(()),
                white => Err(FrameError::Truncated { at: self.at(white) }),
            },
        }
    }

    pub(crate) const fn error(&self) -> Option<&FrameError> {
        self.error.as_ref()
    }

    /// How much of `rest` belongs to a stanza. A lone `<` already does.
    pub(crate) fn unfinished(rest: &[u8]) -> usize {
        rest.len() - leading_whitespace(rest)
    }

    fn try_cut(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if self.scanner.is_between_stanzas() {
            self.skip_whitespace(buffer);
            match buffer.first() {
                None => return Ok(None),
                Some(b'<') => {}
                Some(_) => return Err(FrameError::StrayText { at: self.start }),
            }
        }
        // Nothing past the limit is scanned, so the verdict doesn't depend on how the bytes arrived.
        let limit = self.limits.max_len;
        let window = buffer.get(..limit).unwrap_or(buffer);
        match self.scanner.scan(window, self.limits.max_depth) {
            Ok(Some(whole)) => self.take(buffer, &whole).map(Some),
            Ok(None) if buffer.len() > limit => Err(FrameError::TooLong {
                limit,
                at: self.at(limit),
            }),
            Ok(None) => Ok(None),
            Err(fault) => Err(self.refusal(&fault)),
        }
    }

    fn skip_whitespace(&mut self, buffer: &mut BytesMut) {
        let white = leading_whitespace(buffer);
        if white > 0 {
            buffer.advance(white);
            self.start = self.at(white);
        }
    }

    fn take(&mut self, buffer: &mut BytesMut, whole: &Whole) -> Result<Frame, FrameError> {
        if let Some(bad) = not_utf8(buffer, whole) {
            return Err(FrameError::NotUtf8 { at: self.at(bad) });
        }
        self.start = self.at(whole.len);
        Ok(Frame::new(buffer.split_to(whole.len).freeze()))
    }

    fn refusal(&self, fault: &Fault) -> FrameError {
        let at = self.at(fault.pos);
        match fault.kind {
            FaultKind::TooDeep => FrameError::TooDeep {
                limit: self.limits.max_depth,
                at,
            },
            FaultKind::Restricted(what) => FrameError::Restricted { what, at },
            FaultKind::StrayEndTag => FrameError::StrayEndTag { at },
        }
    }

    /// The offset in the whole stream of a position in the buffer.
    const fn at(&self, pos: usize) -> u64 {
        self.start.saturating_add(pos as u64)
    }

    #[cfg(test)]
    pub(crate) const fn looked_at(&self) -> usize {
        self.scanner.looked_at
    }
}

fn leading_whitespace(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        .count()
}

/// Whether `bytes` are exactly one stanza, judged like a [`Cutter`] without a length limit and with the [default](Limits) depth.
///
/// Use it for bytes about to be sent; cut what you receive.
///
/// ```
/// assert!(xtls_framer::is_one(b"<message><body/></message>"));
/// assert!(!xtls_framer::is_one(b"<message/><presence/>"));
/// assert!(!xtls_framer::is_one(b"<message><body></message>"));
/// ```
#[must_use]
pub fn is_one(bytes: &[u8]) -> bool {
    let scanned = Scanner::new().scan(bytes, Limits::default().max_depth);
    bytes.first() == Some(&b'<')
        && scanned.is_ok_and(|whole| {
            whole.is_some_and(|whole| whole.len == bytes.len() && not_utf8(bytes, &whole).is_none())
        })
}

/// The position of the first byte of the element, at the beginning of `bytes`, that begins no UTF-8 character.
fn not_utf8(bytes: &[u8], whole: &Whole) -> Option<usize> {
    let bad = |bytes: &[u8]| {
        if is_ascii(bytes) {
            return None;
        }
        Some(simdutf8::compat::from_utf8(bytes).err()?.valid_up_to())
    };
    // ASCII ends no character and continues none.
    let before = bytes.get(..whole.ascii.start).unwrap_or_default();
    let after = bytes.get(whole.ascii.end..whole.len).unwrap_or_default();
    bad(before).or_else(|| Some(whole.ascii.end + bad(after)?))
}
