//! The hot path: tags and text of plain ASCII, read in one pass.
//!
//! Nothing is refused here. What is not plain, wrong or cut off is `None`, and read again by those who
//! know what is wrong with it; so whatever is accepted here must be accepted there, as the same.

use std::borrow::Cow;

use super::scope::{Scope, Space};
use super::tag::{self, Attribute, QName};
use super::{MAX_ATTRIBUTES, MAX_DECLARATIONS, chars};

/// A start tag.
pub(super) struct Tag<'a> {
    pub(super) name: QName<'a>,
    /// Whether it is `<a/>`.
    pub(super) is_empty: bool,
    /// Its length, which is not zero.
    pub(super) len: usize,
}

/// Reads the start tag at the beginning of a text that lies at offset `at` of the document.
/// Declarations go to the scope, also if nothing comes of it.
pub(super) fn tag<'a>(
    text: &'a str,
    at: usize,
    scope: &mut Scope<'a>,
    attributes: &mut Vec<Attribute<'a>>,
) -> Option<Tag<'a>> {
    attributes.clear();
    let mark = scope.len();
    let mut prefixed = false;

    let mut rest = Rest { text, pos: 1 };
    let element = rest.name()?;
    let is_empty = loop {
        match rest.byte()? {
            b'>' => break false,
            b'/' => {
                rest.pos += 1;
                if rest.byte()? != b'>' {
                    return None;
                }
                break true;
            }
            b' ' => rest.pos += 1,
            _ => return None,
        }
        let start = rest.pos;
        if !starts_name(rest.byte()?) {
            // More white space, or some in front of the end.
            return None;
        }
        let name = rest.name()?;
        let value = rest.value()?;
        let declared = match name.prefix {
            None if name.local == "xmlns" => "",
            Some("xmlns") if name.local != "xml" => name.local,
            Some("xmlns") => return None,
            prefix => {
                if attributes.len() >= MAX_ATTRIBUTES {
                    return None;
                }
                prefixed |= prefix.is_some();
                attributes.push(Attribute {
                    raw: name.raw,
                    name: name.local,
                    value: Cow::Borrowed(value),
                    space: Space::None,
                    prefix,
                    at: at + start,
                });
                continue;
            }
        };
        if scope.declared_since(mark, declared) || scope.len() - mark >= MAX_DECLARATIONS {
            return None;
        }
        scope.bind(declared, Cow::Borrowed(value)).ok()?;
    };
    if prefixed || attributes.len() > FEW {
        tag::resolve(scope, attributes).ok()?;
    } else if !distinct(attributes) {
        return None;
    }
    Some(Tag {
        name: element,
        is_empty,
        len: rest.pos + 1,
    })
}

/// Up to so many attributes, comparing each with each is the fastest.
const FEW: usize = 8;

/// Whether no two of these attributes, which are in no namespace, have the same name.
fn distinct(attributes: &[Attribute<'_>]) -> bool {
    let mut before = attributes;
    while let Some((last, rest)) = before.split_last() {
        if rest.iter().any(|a| a.name == last.name) {
            return false;
        }
        before = rest;
    }
    true
}

/// The length of the end tag at the beginning of `text`, if it is the one of an element whose start
/// tag has this name.
pub(super) fn end_tag(text: &str, name: &str) -> Option<usize> {
    let after = text.get(2..)?.strip_prefix(name)?;
    after.starts_with('>').then_some(name.len() + 3)
}

/// The text up to the next `<` or `&`.
pub(super) fn text(text: &str) -> Option<&str> {
    let len = memchr::memchr2(b'<', b'&', text.as_bytes())?;
    let text = text.get(..len).filter(|text| !text.is_empty())?;
    chars::plain_text(text).then_some(text)
}

/// What is left of a text.
struct Rest<'a> {
    text: &'a str,
    pos: usize,
}

impl<'a> Rest<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    fn name(&mut self) -> Option<QName<'a>> {
        let start = self.pos;
        if !starts_name(self.byte()?) {
            return None;
        }
        let mut colon = None;
        loop {
            self.pos += 1;
            match class(self.byte()?) {
                NONE => break,
                COLON if colon.is_none() => {
                    colon = Some(self.pos);
                    self.pos += 1;
                    if !starts_name(self.byte()?) {
                        return None;
                    }
                }
                COLON => return None,
                _ => {}
            }
        }
        let raw = self.text.get(start..self.pos)?;
        Some(match colon {
            None => QName {
                raw,
                prefix: None,
                local: raw,
            },
            Some(colon) => QName {
                raw,
                prefix: Some(self.text.get(start..colon)?),
                local: self.text.get(colon + 1..self.pos)?,
            },
        })
    }

    /// Reads `='…'`.
    fn value(&mut self) -> Option<&'a str> {
        if self.byte()? != b'=' {
            return None;
        }
        self.pos += 1;
        let quote = self.byte()?;
        if quote != b'\'' && quote != b'"' {
            return None;
        }
        let start = self.pos + 1;
        let len = value_len(self.text.as_bytes().get(start..)?, quote)?;
        self.pos = start + len + 1;
        self.text.get(start..start + len)
    }
}

const NONE: u8 = 0;
const CONTINUES: u8 = 1;
const STARTS: u8 = 2;
const COLON: u8 = 3;

/// What each byte is to a name.
static CLASSES: [u8; 256] = {
    let mut classes = [NONE; 256];
    let mut b = 0;
    while b < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
        #[expect(
            clippy::indexing_slicing,
            reason = "less than 256, and seen by the compiler"
        )]
        {
            classes[b] = match b as u8 {
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => STARTS,
                b'0'..=b'9' | b'-' | b'.' => CONTINUES,
                b':' => COLON,
                _ => NONE,
            };
        }
        b += 1;
    }
    classes
};

fn class(b: u8) -> u8 {
    CLASSES.get(usize::from(b)).copied().unwrap_or(NONE)
}

fn starts_name(b: u8) -> bool {
    class(b) == STARTS
}

/// How many plain bytes stand before the quote; `None` if it is not here or something else comes first.
fn value_len(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut rest = bytes;
    let mut len = 0;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let found = ends_value(u64::from_le_bytes(*word), quote);
        if found != 0 {
            len += usize::try_from(found.trailing_zeros() / 8).ok()?;
            return (*bytes.get(len)? == quote).then_some(len);
        }
        len += 8;
        rest = after;
    }
    let found = rest
        .iter()
        .position(|&b| b == quote || !b.is_ascii() || matches!(b, ..0x20 | b'&' | b'<'))?;
    (*rest.get(found)? == quote).then_some(len + found)
}

/// Marks bytes of a word: the lowest mark is at the first byte that is the quote, `&`, `<`, a control
/// or not ASCII. (Marks above the lowest may be wrong, because subtraction borrows.)
fn ends_value(word: u64, quote: u8) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let is = |b: u8| {
        let zero = word ^ (ONES * u64::from(b));
        zero.wrapping_sub(ONES) & !zero
    };
    let odd = word.wrapping_sub(ONES * 0x20) | word;
    (odd | is(quote) | is(b'&') | is(b'<')) & HIGH
}
