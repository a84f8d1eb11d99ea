use std::fmt;
use std::io::{self, BufRead, ErrorKind};
use std::iter::FusedIterator;

use crate::frame::Frame;
use crate::framer::Framer;
use crate::limits::Limits;

/// The stanzas of a blocking reader, one after the other, to its end.
///
/// ```
/// use xtls_framer::{Limits, frames};
///
/// let input: &[u8] = b"<message><body>Art thou not Romeo?</body></message>\n<presence/>\n";
/// for frame in frames(input, Limits::default()) {
///     println!("{}", frame?.as_str());
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn frames<R: BufRead>(reader: R, limits: Limits) -> Frames<R> {
    Frames {
        reader,
        framer: Framer::new(limits),
        ended: false,
    }
}

/// The iterator that [`frames`] returns.
///
/// Each item is an [`io::Result`]. A stream that breaks a rule yields an error that holds a
/// [`FrameError`](crate::FrameError): of kind `UnexpectedEof` if the reader ended inside a stanza,
/// otherwise `InvalidData`. The iterator ends after any error but `WouldBlock` and `TimedOut`, after
/// which it can be polled again without loss.
pub struct Frames<R> {
    reader: R,
    framer: Framer,
    ended: bool,
}

impl<R: BufRead> Frames<R> {
    fn try_next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.framer.next()? {
                return Ok(Some(frame));
            }
            let bytes = match self.reader.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                bytes => bytes?,
            };
            if bytes.is_empty() {
                self.framer.finish()?;
                return Ok(None);
            }
            let piece = bytes.get(..PIECE).unwrap_or(bytes);
            self.framer.push(piece);
            let taken = piece.len();
            self.reader.consume(taken);
        }
    }
}

/// Bytes pushed at once, however much a reader has buffered: some hold a whole file in memory.
const PIECE: usize = 65_536;

impl<R: BufRead> Iterator for Frames<R> {
    type Item = io::Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.try_next();
        self.ended = match &next {
            Ok(frame) => frame.is_none(),
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        next.transpose()
    }
}

impl<R: BufRead> FusedIterator for Frames<R> {}

/// Shows the framer's state; the reader may hold bytes of stanzas.
impl<R> fmt::Debug for Frames<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("framer", &self.framer)
            .finish_non_exhaustive()
    }
}
