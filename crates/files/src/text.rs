//! Text that others wrote, before people see it.

/// What a terminal would act on, or show in another order than it stands.
pub(crate) fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Marks of direction, embeddings, overrides and isolates (UAX #9), separators of lines and paragraphs.
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // The byte-order mark, and characters for tagging that nothing shows.
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// As much of a text as has no more than `most` bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
