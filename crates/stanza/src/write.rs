//! Escaping: whatever a string holds, it stays where it was put.

use crate::xml::chars::is_carried;
use crate::xml::simd;

/// How text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As short as can be.
    Short,
    /// On one line, whatever a reader takes for the end of a line, and harmless on a terminal.
    Line,
}

/// Appends the parts as they are.
pub(crate) fn all(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends ` name='value'`; the name must be one.
pub(crate) fn attribute(out: &mut Vec<u8>, name: &str, value: &str, form: Form) {
    all(out, &[" ", name, "='"]);
    escape(out, value, Place::Value, form);
    out.push(b'\'');
}

/// The same with ` name='` as one piece, which costs less than three.
#[inline]
pub(crate) fn quoted<const N: usize>(out: &mut Vec<u8>, start: &[u8; N], value: &str) {
    out.extend_from_slice(start);
    escape(out, value, Place::Value, Form::Short);
    out.push(b'\'');
}

/// The same of a value that needs no escape.
#[inline]
pub(crate) fn unchanged<const N: usize>(out: &mut Vec<u8>, start: &[u8; N], value: &[u8]) {
    out.extend_from_slice(start);
    out.extend_from_slice(value);
    out.push(b'\'');
}

/// Appends text content.
pub(crate) fn text(out: &mut Vec<u8>, text: &str, form: Form) {
    escape(out, text, Place::Text, form);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    /// Between `'` and `'`.
    Value,
}

fn escape(out: &mut Vec<u8>, text: &str, place: Place, form: Form) {
    match form {
        Form::Short => short(out, text, place),
        // Each piece ends with a character that cannot stand as it is.
        Form::Line => {
            for piece in text.split_inclusive(leaves_the_line) {
                let mut chars = piece.chars();
                match chars.next_back().filter(|&c| leaves_the_line(c)) {
                    Some(c) if is_carried(c) => {
                        short(out, chars.as_str(), place);
                        all(out, &[&format!("&#x{:X};", u32::from(c))]);
                    }
                    Some(_) | None => short(out, piece, place),
                }
            }
        }
    }
}

/// Whether a character is a control, ends a line or a paragraph, or turns the direction of what is shown: those of
/// Unicode's Bidi_Control.
fn leaves_the_line(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn short(out: &mut Vec<u8>, text: &str, place: Place) {
    if simd::needs_no_escape(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| needs_escape(b, place)) {
        let (plain, found) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let mut chars = found.chars();
        let instead = match chars.next() {
            Some('&') => "&amp;",
            Some('<') => "&lt;",
            // In text for the sake of `]]>`, in values for old parsers.
            Some('>') => "&gt;",
            Some('\'') => "&apos;",
            Some('\t') => "&#9;",
            Some('\n') => "&#10;",
            Some('\r') => "&#13;",
            Some(other) if !is_carried(other) => "\u{FFFD}",
            Some(other) => {
                // U+F000 to U+FFFD share their first byte with the two that cannot be carried.
                let mut buffer = [0; 4];
                let kept = other.encode_utf8(&mut buffer);
                all(out, &[plain, kept]);
                rest = chars.as_str();
                continue;
            }
            None => break,
        };
        all(out, &[plain, instead]);
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Whether a byte may begin something that cannot stand as it is.
fn needs_escape(b: u8, place: Place) -> bool {
    match b {
        b'&' | b'<' | b'>' | b'\r' | 0xEF => true,
        b'\t' | b'\n' | b'\'' => place == Place::Value,
        _ => b < 0x20,
    }
}
