//! Start tags: a name and attributes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::content;
use super::qname::QName;
use super::rule::{MAX_ATTRIBUTES, ReadError, Rule};
use super::scope::{Scope, Space};
use crate::xml::chars::is_white_space;
use crate::xml::names::is_ncname;

/// An attribute that declares no namespace.
pub(crate) struct Attribute<'a> {
    pub(crate) name: QName<'a>,
    pub(crate) value: Cow<'a, str>,
    pub(super) space: Space,
    /// Offset in the document.
    pub(super) at: usize,
}

/// Reads `<name …>` or `<name …/>` at offset `at` of the document; declarations go to
/// the scope and everything else to `attributes`.
pub(super) fn read<'a>(
    tag: &'a str,
    at: usize,
    scope: &mut Scope<'a>,
    attributes: &mut Vec<Attribute<'a>>,
) -> Result<QName<'a>, ReadError> {
    attributes.clear();
    let inside = tag.strip_prefix('<').unwrap_or(tag);
    let inside = inside.strip_suffix('>').unwrap_or(inside);
    let inside = inside.strip_suffix('/').unwrap_or(inside);
    let mut rest = Rest {
        text: inside,
        at: at + 1,
    };
    let mark = scope.len();
    let mut xml_declared = false;

    let element = rest.name()?;
    loop {
        let spaced = rest.skip_white_space();
        if rest.text.is_empty() {
            break;
        }
        if !spaced {
            return Err(rest.error(Rule::AttributeSpace));
        }
        let at = rest.at;
        let fail = |rule| ReadError { at, rule };
        let name = rest.name()?;
        let value = rest.value()?;
        let declared = match name.prefix() {
            None if name.raw == "xmlns" => Some(""),
            Some("xmlns") => Some(name.local()),
            None | Some(_) => None,
        };
        if let Some(prefix) = declared {
            // Declaring `xml` leaves no trace in the scope.
            let twice = if prefix == "xml" {
                std::mem::replace(&mut xml_declared, true)
            } else {
                scope.declared_since(mark, prefix)
            };
            if twice {
                return Err(fail(Rule::DuplicateAttribute));
            }
            scope.bind(prefix, value).map_err(fail)?;
        } else {
            if attributes.len() >= MAX_ATTRIBUTES {
                return Err(fail(Rule::Attributes));
            }
            attributes.push(Attribute {
                name,
                value,
                space: Space::None,
                at,
            });
        }
    }
    resolve(scope, attributes)?;
    Ok(element)
}

/// Resolves the namespaces of attributes, once all declarations are known.
pub(super) fn resolve(
    scope: &Scope<'_>,
    attributes: &mut [Attribute<'_>],
) -> Result<(), ReadError> {
    for attribute in attributes.iter_mut() {
        attribute.space = scope
            .attribute(attribute.name.prefix())
            .map_err(|rule| ReadError {
                at: attribute.at,
                rule,
            })?;
    }
    distinct(scope, attributes)
}

/// Up to this many attributes, comparing all pairs is fastest.
const FEW: usize = 8;

/// No two attributes may have the same name and namespace (Namespaces in XML 1.0 §6.3).
fn distinct(scope: &Scope<'_>, attributes: &[Attribute<'_>]) -> Result<(), ReadError> {
    let twice = if attributes.len() <= FEW {
        let alike = |a: &Attribute<'_>, b: &Attribute<'_>| {
            a.name.local() == b.name.local() && scope.canonical(a.space) == scope.canonical(b.space)
        };
        let seen = |(before, a): &(usize, &Attribute<'_>)| {
            attributes.iter().take(*before).any(|b| alike(a, b))
        };
        attributes.iter().enumerate().find(seen).map(|(_, a)| a)
    } else {
        let mut seen = BTreeSet::new();
        attributes
            .iter()
            .find(|a| !seen.insert((a.name.local(), scope.canonical(a.space))))
    };
    match twice {
        Some(twice) => Err(ReadError {
            at: twice.at,
            rule: Rule::DuplicateAttribute,
        }),
        None => Ok(()),
    }
}

/// The rest of a tag.
struct Rest<'a> {
    text: &'a str,
    /// Offset in the document.
    at: usize,
}

impl<'a> Rest<'a> {
    fn error(&self, rule: Rule) -> ReadError {
        ReadError { at: self.at, rule }
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.text.split_at_checked(len).unwrap_or((self.text, ""));
        self.text = rest;
        self.at += taken.len();
        taken
    }

    /// Whether there was any.
    fn skip_white_space(&mut self) -> bool {
        let len = self.text.bytes().take_while(|&b| is_white_space(b)).count();
        self.take(len);
        len > 0
    }

    fn name(&mut self) -> Result<QName<'a>, ReadError> {
        let mut colon = None;
        // Whether both parts consist of ASCII name characters.
        let mut plain = true;
        let mut len = 0;
        for b in self.text.bytes() {
            match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {}
                b':' if colon.is_none() => colon = Some(len),
                _ if ends_name(b) => break,
                _ => plain = false,
            }
            len += 1;
        }
        let (at, raw) = (self.at, self.take(len));
        let (prefix, local) = match colon.and_then(|colon| raw.split_at_checked(colon)) {
            Some((prefix, local)) => (Some(prefix), local.get(1..).unwrap_or_default()),
            None => (None, raw),
        };
        let starts =
            |part: &str| matches!(part.bytes().next(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'_'));
        let good = |part: &str| plain && starts(part) || is_ncname(part);
        if good(local) && prefix.is_none_or(good) {
            Ok(QName {
                raw,
                local_at: raw.len() - local.len(),
            })
        } else {
            Err(ReadError {
                at,
                rule: Rule::Name,
            })
        }
    }

    /// Reads ` = "…"`.
    fn value(&mut self) -> Result<Cow<'a, str>, ReadError> {
        self.skip_white_space();
        if !self.text.starts_with('=') {
            return Err(self.error(Rule::AttributeValue));
        }
        self.take(1);
        self.skip_white_space();
        let Some(quote @ (b'\'' | b'"')) = self.text.bytes().next() else {
            return Err(self.error(Rule::AttributeValue));
        };
        self.take(1);
        let Some(len) = memchr::memchr(quote, self.text.as_bytes()) else {
            return Err(self.error(Rule::AttributeValue));
        };
        let (at, raw) = (self.at, self.take(len));
        self.take(1);
        content::value(raw, at)
    }
}

/// Bytes that always end a name: valid names contain none of them.
fn ends_name(b: u8) -> bool {
    is_white_space(b) || matches!(b, b'=' | b'\'' | b'"' | b'/' | b'<' | b'>' | b'&')
}
