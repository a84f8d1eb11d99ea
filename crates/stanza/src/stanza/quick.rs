//! Stanzas written as nearly everybody writes them: the start tag is read in one pass, and nothing of it is kept twice.
//!
//! Nothing is refused here. Whatever else there may be is `None`, and read again by the strict reader; so whatever
//! is accepted here must be accepted there, as the same.

use std::ops::Range;

use bytes::{Buf as _, Bytes};

use super::{Kind, Stanza};
use crate::address::Address;
use crate::ns;
use crate::read::{Known, Reader, Token};

/// The start tag of a stanza, its strings left in the frame, its addresses not checked.
#[derive(Default)]
pub(crate) struct Plain<'a> {
    pub(crate) from: Option<&'a str>,
    pub(crate) to: Option<&'a str>,
    pub(crate) id: Option<&'a str>,
    pub(crate) type_: Option<&'a str>,
    lang: Option<&'a str>,
    declared: Option<&'a str>,
}

impl<'a> Plain<'a> {
    /// Reads the first tag of a frame, up to its end.
    #[inline]
    pub(crate) fn read(frame: &'a [u8]) -> Option<(Kind, Self, Known<'a>)> {
        let (mut tag, name) = Known::first(frame)?;
        let kind = Kind::from_name(name)?;
        let mut plain = Self::default();
        while let Some((name, value)) = tag.attribute()? {
            let place = match name {
                "from" => &mut plain.from,
                "to" => &mut plain.to,
                "id" => &mut plain.id,
                "type" => &mut plain.type_,
                "xmlns" => &mut plain.declared,
                "xml:lang" => &mut plain.lang,
                _ => return None,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        plain
            .declared
            .is_none_or(|ns| ns == ns::CLIENT)
            .then_some((kind, plain, tag))
    }
}

/// An address, if there is one; `None` if it is wrong.
#[inline]
pub(crate) fn address(text: Option<&str>) -> Option<Option<Address>> {
    text.map(Address::new).transpose().ok()
}

/// Reads a frame of which the stanza keeps the children; gives it back if it is not plain.
pub(super) fn read(mut frame: Bytes) -> Result<Stanza, Bytes> {
    let Some((kind, plain, children)) = parts(&frame) else {
        return Err(frame);
    };
    let (Some(from), Some(to)) = (address(plain.from), address(plain.to)) else {
        return Err(frame);
    };
    let [id, type_, lang] = [plain.id, plain.type_, plain.lang].map(|text| text.map(str::to_owned));
    // The end of `<message/>` has no place of its own.
    if children.is_empty() {
        frame = Bytes::new();
    } else {
        frame.truncate(children.end);
        frame.advance(children.start);
    }
    Ok(Stanza {
        kind,
        from,
        to,
        id,
        type_,
        lang,
        extra: Vec::new(),
        children: frame,
    })
}

/// The start tag, and where the children stand, which are checked.
#[inline]
fn parts(frame: &[u8]) -> Option<(Kind, Plain<'_>, Range<usize>)> {
    let (kind, plain, tag) = Plain::read(frame)?;
    let end: &[u8] = match kind {
        Kind::Iq => b"</iq>",
        Kind::Message => b"</message>",
        Kind::Presence => b"</presence>",
    };
    let children = if tag.is_empty() {
        tag.after().is_empty().then_some(&[][..])?
    } else {
        tag.after().strip_suffix(end)?
    };
    // The declaration is in scope there, and counts.
    let declared = plain.declared.map(|ns| ("", ns));
    let known = tag.after_known();
    let known = known.get(..children.len()).unwrap_or(known);
    let mut reader = Reader::fragment(children, ns::CLIENT, declared.into_iter())
        .ok()?
        .with_known(known);
    loop {
        match reader.next().ok()? {
            Token::Start => reader.skip().ok()?,
            Token::Text(_) => {}
            Token::End | Token::Eof => break,
        }
    }
    let from = frame.len() - tag.after().len();
    Some((kind, plain, from..from + children.len()))
}
