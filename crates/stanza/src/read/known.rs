//! Start tags of which it is known what they may hold, read attribute by attribute without keeping any.
//!
//! As in the hot path of the reader, nothing is refused: what is not plain is `None`.

use super::chars;
use super::plain::Rest;

/// Start tags that do not end within so many bytes are left to the reader.
const REACH: usize = 512;

/// A start tag of which the name was read.
pub(crate) struct Known<'a> {
    frame: &'a [u8],
    /// As much of the frame as is looked at.
    rest: Rest<'a>,
    end: End,
}

/// How a start tag ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It goes on.
    NotYet,
    /// With `>`.
    Open,
    /// With `/>`.
    Empty,
}

impl<'a> Known<'a> {
    /// The tag that the frame begins with, and its name as it is written.
    #[inline]
    pub(crate) fn first(frame: &'a [u8]) -> Option<(Self, &'a str)> {
        let head = frame.get(..REACH).unwrap_or(frame);
        Self::at(frame, Rest::new(chars::utf8_prefix(head)))
    }

    /// The tag right behind this one, which was read and is not empty.
    #[inline]
    pub(crate) fn next(self) -> Option<(Self, &'a str)> {
        (self.end == End::Open)
            .then(|| Self::at(self.frame, self.rest))
            .flatten()
    }

    #[inline]
    fn at(frame: &'a [u8], mut rest: Rest<'a>) -> Option<(Self, &'a str)> {
        rest.skip('<')?;
        let name = rest.name()?.raw;
        let end = End::NotYet;
        Some((Self { frame, rest, end }, name))
    }

    /// The next attribute; `Some(None)` at the end of the tag.
    #[inline]
    pub(crate) fn attribute(&mut self) -> Option<Option<(&'a str, &'a str)>> {
        match self.rest.byte()? {
            b' ' => {
                self.rest.skip(' ')?;
                let name = self.rest.name()?.raw;
                Some(Some((name, self.rest.value()?)))
            }
            b'>' => {
                self.rest.skip('>')?;
                self.end = End::Open;
                Some(None)
            }
            b'/' => {
                self.rest.skip('/')?;
                self.rest.skip('>')?;
                self.end = End::Empty;
                Some(None)
            }
            _ => None,
        }
    }

    /// Whether it is `<a/>`, once it was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.end == End::Empty
    }

    /// What stands behind it, unchecked, once it was read.
    pub(crate) fn after(&self) -> &'a [u8] {
        self.frame.get(self.rest.pos..).unwrap_or_default()
    }
}
