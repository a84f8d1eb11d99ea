//! Characters that XML can carry, and white space.

use std::borrow::Cow;

/// Whether XML can carry it (XML 1.0 §2.2, production 2).
pub(crate) fn is_carried(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
}

/// The text as it will be read: U+FFFD in place of what XML cannot carry. Two namespaces that are
/// written alike are one namespace.
pub(crate) fn carried(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_carried) {
        return Cow::Borrowed(text);
    }
    text.chars()
        .map(|c| if is_carried(c) { c } else { '\u{FFFD}' })
        .collect()
}

/// White space of XML (XML 1.0 §2.3, production 3).
pub(crate) fn is_white_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}
