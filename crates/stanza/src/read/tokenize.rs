//! Splits a document into tokens without examining them. quick-xml finds where a tag ends.

use memchr::{memchr, memchr2, memmem};
use quick_xml::parser::{ElementParser, Parser as _};

use super::rule::Rule;

/// A piece of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// `<…>` or `<…/>`
    Tag,
    /// `</…>`
    EndTag,
    /// Everything up to the next piece.
    Text,
    /// `&…;`
    Reference,
    /// `<![CDATA[…]]>`
    CData,
}

/// Longest reference that there can be: `&#x`, eight digits and `;`.
const MAX_REFERENCE: usize = 12;

/// The first token of the rest of a document and its length, which isn't zero; `None` at the end.
///
/// Fails on anything that RFC 6120 §11.1 forbids, and on an unterminated token.
#[inline]
pub(super) fn first(rest: &[u8]) -> Result<Option<(Piece, usize)>, Rule> {
    match rest {
        [] => Ok(None),
        [b'<', b'/', ..] => match memchr(b'>', rest) {
            Some(end) => Ok(Some((Piece::EndTag, end + 1))),
            None => Err(Rule::Unclosed),
        },
        [b'<', b'!', ..] => cdata(rest).map(Some),
        [b'<', b'?', after @ ..] => Err(question(after)),
        [b'<', ..] => match ElementParser::Outside.feed(rest) {
            Some(end) => Ok(Some((Piece::Tag, end + 1))),
            None => Err(Rule::Unclosed),
        },
        [b'&', ..] => {
            let within = rest.get(..MAX_REFERENCE).unwrap_or(rest);
            match memchr(b';', within) {
                Some(end) => Ok(Some((Piece::Reference, end + 1))),
                None => Err(Rule::Reference),
            }
        }
        _ => Ok(Some((
            Piece::Text,
            memchr2(b'<', b'&', rest).unwrap_or(rest.len()),
        ))),
    }
}

fn cdata(rest: &[u8]) -> Result<(Piece, usize), Rule> {
    if rest.starts_with(b"<!--") {
        return Err(Rule::Comment);
    }
    if rest.starts_with(b"<!DOCTYPE") {
        return Err(Rule::Doctype);
    }
    if !rest.starts_with(b"<![CDATA[") {
        return Err(Rule::Markup);
    }
    match memmem::find(rest, b"]]>") {
        Some(end) => Ok((Piece::CData, end + 3)),
        None => Err(Rule::Unclosed),
    }
}

fn question(after: &[u8]) -> Rule {
    match after {
        [b'x', b'm', b'l', b' ' | b'\t' | b'\r' | b'\n' | b'?', ..] => Rule::Declaration,
        _ => Rule::ProcessingInstruction,
    }
}
