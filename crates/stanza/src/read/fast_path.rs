//! The fast path: tags and text of plain ASCII, read in one pass.
//!
//! Nothing is refused here. Anything not plain, wrong or incomplete yields `None` and is read again by the slow path, which
//! knows what is wrong with it. Anything accepted here must be accepted there, with the same result.

use std::borrow::Cow;

use super::content;
use super::qname::QName;
use super::rule::MAX_ATTRIBUTES;
use super::scope::{Scope, Space};
use super::tag::{self, Attribute};
use crate::xml::simd;

/// A start tag.
pub(super) struct Tag<'a> {
    pub(super) name: QName<'a>,
    /// Whether it is `<a/>`.
    pub(super) is_empty: bool,
    /// Its length, which is not zero.
    pub(super) len: usize,
}

/// Reads the start tag at the beginning of a text, which is at offset `at` of the document, and resolves its namespace.
/// Declarations are added to the scope even if the result is `None`.
pub(super) fn tag<'a>(
    text: &'a str,
    at: usize,
    scope: &mut Scope<'a>,
    attributes: &mut Vec<Attribute<'a>>,
) -> Option<(Tag<'a>, Space)> {
    attributes.clear();
    let mark = scope.len();
    let mut prefixed = false;
    // Most names differ in length or first byte. Only if two share the bit for these are all compared.
    let (mut bits, mut alike) = (0_u64, false);

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
            // More white space, or white space before the end.
            return None;
        }
        let name = rest.name()?;
        let value = rest.value()?;
        let declared = match name.prefix() {
            None if name.raw == "xmlns" => "",
            Some("xmlns") if name.local() != "xml" => name.local(),
            Some("xmlns") => return None,
            prefix => {
                if attributes.len() >= MAX_ATTRIBUTES {
                    return None;
                }
                prefixed |= prefix.is_some();
                let bit = bit(name.raw);
                alike |= bits & bit != 0;
                bits |= bit;
                attributes.push(Attribute {
                    name,
                    value: Cow::Borrowed(value),
                    space: Space::None,
                    at: at + start,
                });
                continue;
            }
        };
        if scope.declared_since(mark, declared) {
            return None;
        }
        scope.bind(declared, Cow::Borrowed(value)).ok()?;
    };
    if prefixed || attributes.len() > FEW {
        tag::resolve(scope, attributes).ok()?;
    } else if alike && !distinct(attributes) {
        return None;
    }
    let space = match element.prefix() {
        None => scope.default_space(),
        Some(_) => scope.element(element).ok()?,
    };
    let tag = Tag {
        name: element,
        is_empty,
        len: rest.pos + 1,
    };
    Some((tag, space))
}

/// Up to this many attributes, comparing all pairs is fastest.
const FEW: usize = 8;

/// Whether no two of these attributes, which are in no namespace, have the same name.
fn distinct(attributes: &[Attribute<'_>]) -> bool {
    let mut before = attributes;
    while let Some((last, rest)) = before.split_last() {
        if rest.iter().any(|a| a.name.raw == last.name.raw) {
            return false;
        }
        before = rest;
    }
    true
}

/// One bit of a word for the length and the first byte of a name.
#[inline]
fn bit(name: &str) -> u64 {
    let first = name.as_bytes().first().copied().unwrap_or_default();
    1 << ((usize::from(first) ^ (name.len() * 5)) % 64)
}

/// The length of the end tag at the beginning of `text`, if it matches a start
/// tag with this name.
pub(super) fn end_tag(text: &str, name: &str) -> Option<usize> {
    let after = text.get(2..)?.strip_prefix(name)?;
    after.starts_with('>').then_some(name.len() + 3)
}

/// The text up to the next `<` or `&`, or all of it if there is none.
pub(super) fn text(text: &str) -> Option<&str> {
    let len = simd::text_len(text.as_bytes());
    let len = match text.as_bytes().get(len) {
        None | Some(b'<' | b'&') => len,
        Some(_) => {
            let len = memchr::memchr2(b'<', b'&', text.as_bytes()).unwrap_or(text.len());
            text.get(..len)
                .filter(|text| content::plain_text(text))?
                .len()
        }
    };
    text.get(..len)
}

/// The length of the reference at the beginning of `text`, and the character it stands for.
pub(super) fn reference(text: &str) -> Option<(usize, &'static str)> {
    let known = match text.as_bytes() {
        [b'&', b'a', b'm', b'p', b';', ..] => (5, "&"),
        [b'&', b'l', b't', b';', ..] => (4, "<"),
        [b'&', b'g', b't', b';', ..] => (4, ">"),
        [b'&', b'a', b'p', b'o', b's', b';', ..] => (6, "'"),
        [b'&', b'q', b'u', b'o', b't', b';', ..] => (6, "\""),
        _ => return None,
    };
    Some(known)
}

/// The rest of a text.
struct Rest<'a> {
    text: &'a str,
    pos: usize,
}

impl<'a> Rest<'a> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.pos).copied()
    }

    #[inline]
    fn name(&mut self) -> Option<QName<'a>> {
        let start = self.pos;
        self.part()?;
        let mut local_at = 0;
        if self.byte()? == b':' {
            self.pos += 1;
            local_at = self.pos - start;
            self.part()?;
            if self.byte()? == b':' {
                return None;
            }
        }
        let raw = self.text.get(start..self.pos)?;
        Some(QName { raw, local_at })
    }

    /// Skips a prefix or a local name that ends before the text does.
    #[inline]
    fn part(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.pos..)?;
        if !starts_name(*rest.first()?) {
            return None;
        }
        self.pos += simd::name_len(rest);
        Some(())
    }

    /// Reads `='…'`.
    #[inline]
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

fn starts_name(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}

/// The number of plain bytes before the quote; `None` if it is missing or something else comes first.
fn value_len(bytes: &[u8], quote: u8) -> Option<usize> {
    let len = simd::value_len(bytes, quote);
    (*bytes.get(len)? == quote).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_look_alike_are_compared() {
        assert_eq!(bit("b"), bit("mx"));
        let read = |text| {
            let mut scope = Scope::new("");
            tag(text, 0, &mut scope, &mut Vec::new()).is_some()
        };
        assert!(read("<a b='' mx='' from='' to=''>"));
        assert!(!read("<a b='' mx='' b=''>"));
        assert!(!read("<a b='' mx='' from='' mx=''>"));
    }
}
