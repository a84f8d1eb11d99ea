//! Text and attribute values: characters, references, line ends.

use std::borrow::Cow;

use simdutf8::compat::from_utf8;

use super::rule::{ReadError, Rule};
use crate::xml::chars::is_carried;
use crate::xml::names::is_ncname;

/// Most digits of a character reference, leading zeros included. The largest character has seven; rxml accepts eight.
const MAX_DIGITS: usize = 8;

/// Checks the encoding.
pub(super) fn utf8(raw: &[u8], at: usize) -> Result<&str, ReadError> {
    from_utf8(raw).map_err(|error| ReadError {
        at: at + error.valid_up_to(),
        rule: Rule::NotUtf8,
    })
}

/// The longest valid prefix, cut between characters.
pub(super) fn utf8_prefix(raw: &[u8]) -> &str {
    from_utf8(raw).unwrap_or_else(|error| {
        let valid = raw.get(..error.valid_up_to()).unwrap_or_default();
        from_utf8(valid).unwrap_or_default()
    })
}

/// Checks text between tags and references, and turns its line ends into line feeds (XML 1.0 §2.11).
pub(super) fn text(raw: &[u8], at: usize) -> Result<Cow<'_, str>, ReadError> {
    let raw = utf8(raw, at)?;
    if plain_text(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    if let Some(found) = memchr::memmem::find(raw.as_bytes(), b"]]>") {
        return Err(ReadError {
            at: at + found,
            rule: Rule::CDataEnd,
        });
    }
    carried(raw, at)?;
    Ok(line_ends(raw))
}

/// Checks `<![CDATA[…]]>` and returns its content.
pub(super) fn cdata(raw: &str, at: usize) -> Result<Cow<'_, str>, ReadError> {
    const OPEN: &str = "<![CDATA[";
    let inside = raw.strip_prefix(OPEN).and_then(|r| r.strip_suffix("]]>"));
    let Some(inside) = inside else {
        return Err(ReadError {
            at,
            rule: Rule::Markup,
        });
    };
    let at = at + OPEN.len();
    if plain_text(inside) {
        return Ok(Cow::Borrowed(inside));
    }
    carried(inside, at)?;
    // rxml keeps a carriage return here that every other parser turns into a line feed.
    if let Some(found) = memchr::memmem::find(inside.as_bytes(), b"]\r") {
        return Err(ReadError {
            at: at + found + 1,
            rule: Rule::CarriageReturn,
        });
    }
    Ok(line_ends(inside))
}

/// Checks the value of an attribute and normalises it (XML 1.0 §3.3.3): each white space character
/// becomes a space, unless it was written as a reference.
pub(super) fn value(raw: &str, at: usize) -> Result<Cow<'_, str>, ReadError> {
    if plain_value(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    carried(raw, at)?;
    let mut normal = String::with_capacity(raw.len());
    let mut from = 0;
    while let Some(rest) = raw.get(from..).filter(|rest| !rest.is_empty()) {
        let special = |b: &u8| matches!(b, b'&' | b'<' | b'\t' | b'\n' | b'\r');
        let len = rest
            .as_bytes()
            .iter()
            .position(special)
            .unwrap_or(rest.len());
        let (before, found) = rest.split_at_checked(len).unwrap_or((rest, ""));
        normal.push_str(before);
        let here = at + from + len;
        let taken = match found.bytes().next() {
            None => 0,
            Some(b'&') => {
                let end = memchr::memchr(b';', found.as_bytes()).map_or(found.len(), |end| end + 1);
                normal.push_str(&reference(found.get(..end).unwrap_or(found), here)?);
                end
            }
            Some(b'<') => {
                return Err(ReadError {
                    at: here,
                    rule: Rule::LessThan,
                });
            }
            Some(b'\r') if found.as_bytes().get(1) == Some(&b'\n') => {
                normal.push(' ');
                2
            }
            // rxml refuses or drops it, expat makes it a space.
            Some(b'\r') => {
                return Err(ReadError {
                    at: here,
                    rule: Rule::CarriageReturn,
                });
            }
            Some(_) => {
                normal.push(' ');
                1
            }
        };
        from += len + taken;
    }
    // References are longer than the characters they stand for.
    normal.shrink_to_fit();
    Ok(Cow::Owned(normal))
}

/// What `&…;` stands for (XML 1.0 §4.1, §4.6).
pub(super) fn reference(raw: &str, at: usize) -> Result<Cow<'static, str>, ReadError> {
    let fail = |rule| Err(ReadError { at, rule });
    let Some(name) = raw.strip_prefix('&').and_then(|r| r.strip_suffix(';')) else {
        return fail(Rule::Reference);
    };
    let (digits, radix) = match (name.strip_prefix("#x"), name.strip_prefix('#')) {
        (Some(hex), _) => (hex, 16),
        (None, Some(decimal)) => (decimal, 10),
        (None, None) => {
            return match name {
                "amp" => Ok(Cow::Borrowed("&")),
                "lt" => Ok(Cow::Borrowed("<")),
                "gt" => Ok(Cow::Borrowed(">")),
                "apos" => Ok(Cow::Borrowed("'")),
                "quot" => Ok(Cow::Borrowed("\"")),
                _ if is_ncname(name) => fail(Rule::Entity),
                _ => fail(Rule::Reference),
            };
        }
    };
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.chars().all(|c| c.is_digit(radix))
    {
        return fail(Rule::Reference);
    }
    match u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32)
        .filter(|&c| is_carried(c))
    {
        Some(c) => Ok(Cow::Owned(c.to_string())),
        None => fail(Rule::Character),
    }
}

/// Checks that there are no characters that XML can't represent.
fn carried(raw: &str, at: usize) -> Result<(), ReadError> {
    match raw.char_indices().find(|&(_, c)| !is_carried(c)) {
        Some((found, _)) => Err(ReadError {
            at: at + found,
            rule: Rule::Character,
        }),
        None => Ok(()),
    }
}

fn line_ends(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\r', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
}

/// Whether text needs no further check: no controls but tab and line feed, no `]`, and not the first
/// byte of U+FFFE and U+FFFF.
pub(super) fn plain_text(raw: &str) -> bool {
    none(raw, |b| {
        (b < 0x20) & (b != b'\t') & (b != b'\n') | (b == b']') | (b == 0xEF)
    })
}

/// Like [`plain_text`], for attribute values.
fn plain_value(raw: &str) -> bool {
    none(raw, |b| {
        (b < 0x20) | (b == b'&') | (b == b'<') | (b == 0xEF)
    })
}

/// Whether no byte is special. Works on blocks without branches, which compilers vectorise.
fn none(raw: &str, special: impl Fn(u8) -> bool) -> bool {
    let any = |bytes: &[u8]| bytes.iter().fold(false, |found, &b| found | special(b));
    let (blocks, rest) = raw.as_bytes().as_chunks::<32>();
    !blocks.iter().any(|block| any(block)) && !any(rest)
}
