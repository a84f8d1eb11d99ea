//! How far plain bytes go, eight at a time in one register (SWAR): the highest bit of a byte marks it.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// How many bytes of a value stand before the first that is the quote, `&`, `<`, a control, or not ASCII.
#[inline]
pub(crate) fn value_len(bytes: &[u8], quote: u8) -> usize {
    // Each quote differs from `&` in one bit: one comparison finds both.
    let (bit, both) = (quote ^ b'&', quote | b'&');
    let marks = |word| odd(word) | is(word | (ONES * u64::from(bit)), both) | is(word, b'<');
    first(bytes, marks, |b| b == quote || b == b'&' || b == b'<')
}

/// How many bytes of text stand before the first that is `<`, `&`, `]`, a control, or not ASCII.
#[inline]
pub(crate) fn text_len(bytes: &[u8]) -> usize {
    let marks = |word| odd(word) | is(word, b'<') | is(word, b'&') | is(word, b']');
    let ends = |b| matches!(b, b'<' | b'&' | b']');
    let Some((head, rest)) = bytes.split_first_chunk::<BLOCK>() else {
        return first(bytes, marks, ends);
    };
    let len = first(head, marks, ends);
    if len < BLOCK {
        return len;
    }
    // Long texts in blocks without a branch inside, which compilers turn into vectors.
    // The first comparison is that of `odd`: what is below 0x20 wraps around.
    let special = |b: u8| (b.wrapping_sub(0x20) >= 0x60) | (b == b'<') | (b == b'&') | (b == b']');
    let is_plain = |block: &&[u8; BLOCK]| !block.iter().fold(false, |any, &b| any | special(b));
    let (blocks, _) = rest.as_chunks::<BLOCK>();
    let plain = BLOCK * (1 + blocks.iter().take_while(is_plain).count());
    let rest = bytes.get(plain..).unwrap_or_default();
    plain + first(rest, marks, ends)
}

/// Most texts are shorter.
const BLOCK: usize = 32;

/// Whether it can be written as it is, in text and between `'`: no `&`, `<`, `>`, `'`, no control, all ASCII.
#[inline]
pub(crate) fn needs_no_escape(bytes: &[u8]) -> bool {
    // `<` and `>`, and `&` and `'`, differ in one bit each.
    let marks = |word| odd(word) | is(word | (ONES * 0x02), b'>') | is(word | ONES, b'\'');
    let ends = |b| matches!(b, b'&' | b'<' | b'>' | b'\'');
    first(bytes, marks, ends) == bytes.len()
}

/// Whether all are visible ASCII characters or spaces, and [need no escape](needs_no_escape).
#[inline]
pub(crate) fn is_visible_and_plain(bytes: &[u8]) -> bool {
    let marks =
        |word| odd(word) | is(word | (ONES * 0x02), b'>') | is(word | ONES, b'\'') | is(word, 0x7F);
    let ends = |b| matches!(b, b'&' | b'<' | b'>' | b'\'' | 0x7F);
    first(bytes, marks, ends) == bytes.len()
}

/// The words of a text with the places where they begin; the last one is filled with zeros.
#[inline]
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let (whole, rest) = bytes.as_chunks::<8>();
    let last = match (rest, bytes.last_chunk()) {
        ([], _) => None,
        (_, Some(last)) => Some(u64::from_le_bytes(*last) >> (8 * (8 - rest.len()))),
        (_, None) => Some(rest.iter().rfold(0, |word, &b| word << 8 | u64::from(b))),
    };
    let words = whole
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .chain(last);
    words.enumerate().map(|(at, word)| (8 * at, word))
}

/// The places of the bytes of a word that may not stand in a label of a domain in lower case: those that are no letter, digit,
/// `-` or `_`. `None` if some are not ASCII.
#[inline]
pub(crate) fn not_in_a_label(word: u64) -> Option<impl Iterator<Item = usize>> {
    if word & HIGH != 0 {
        return None;
    }
    // Nothing is carried from one byte to the next, because none is above 0x7F.
    let from = |b: u8| word + ONES * u64::from(0x80 - b);
    let but = |b: u8| (word ^ (ONES * u64::from(b))) + ONES * 0x7F;
    let letters = from(b'a') & !from(b'z' + 1);
    let digits = from(b'0') & !from(b'9' + 1);
    let mut marks = !(letters | digits) & but(b'-') & but(b'_') & HIGH;
    Some(std::iter::from_fn(move || {
        let at = marks.trailing_zeros() / 8;
        marks &= marks.wrapping_sub(1);
        (at < 8).then_some(at as usize)
    }))
}

/// Where the first byte is whose mark is set, of which the lowest is right. Of less than a word, each byte is judged by `ends`.
#[inline]
fn first(bytes: &[u8], marks: impl Fn(u64) -> u64, ends: impl Fn(u8) -> bool) -> usize {
    let place = |word: [u8; 8]| (marks(u64::from_le_bytes(word)) & HIGH).trailing_zeros() / 8;
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk() {
        let place = place(*word);
        if place < 8 {
            return bytes.len() - rest.len() + place as usize;
        }
        rest = after;
    }
    if rest.is_empty() {
        return bytes.len();
    }
    match bytes.last_chunk() {
        // What was seen before and has no mark is seen again.
        Some(word) => bytes.len() - 8 + place(*word) as usize,
        None => {
            let special = |&b: &u8| b < 0x20 || !b.is_ascii() || ends(b);
            bytes.iter().position(special).unwrap_or(bytes.len())
        }
    }
}

/// Marks controls and what is not ASCII. Marks above the lowest may be wrong, because subtraction
/// borrows; so it is here and in [`is`].
#[inline]
const fn odd(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) | word
}

/// Marks the ASCII character `b`, and maybe what is not ASCII.
#[inline]
fn is(word: u64, b: u8) -> u64 {
    (word ^ (ONES * u64::from(b))).wrapping_sub(ONES)
}

/// How many bytes of an ASCII name, without its colon, stand at the beginning. Names are short: a table
/// is faster than words.
#[inline]
pub(crate) fn name_len(bytes: &[u8]) -> usize {
    static NAME: [bool; 256] = {
        let mut name = [false; 256];
        let mut b = 0_u8;
        while b < 128 {
            #[expect(clippy::indexing_slicing, reason = "seen by the compiler")]
            {
                name[b as usize] = b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
            }
            b += 1;
        }
        name
    };
    let goes_on = |b: &&u8| NAME.get(usize::from(**b)).is_some_and(|&name| name);
    bytes.iter().take_while(goes_on).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each byte at each place of a word and behind the last, after bytes that are none.
    fn everywhere(len: impl Fn(&[u8]) -> usize, stops: impl Fn(u8) -> bool) {
        for b in 0..=u8::MAX {
            for size in 1..=19 {
                for at in 0..size {
                    let mut bytes = vec![b'a'; size];
                    bytes[at] = b;
                    let expected = if stops(b) { at } else { size };
                    assert_eq!(len(&bytes), expected, "{b:#x} at {at} of {size}");
                    bytes[size - 1] = b'\0';
                    let expected = if stops(b) { at } else { size - 1 };
                    assert_eq!(len(&bytes), expected, "{b:#x} at {at} of {size}, then 0");
                }
            }
        }
    }

    #[test]
    fn text_is_plain_up_to_markup_a_control_or_what_is_not_ascii() {
        everywhere(text_len, |b| {
            !(0x20..0x80).contains(&b) || b"<&]".contains(&b)
        });
    }

    #[test]
    fn values_are_plain_up_to_their_quote_or_markup() {
        for quote in [b'\'', b'"'] {
            everywhere(
                |bytes| value_len(bytes, quote),
                |b| !(0x20..0x80).contains(&b) || [quote, b'<', b'&'].contains(&b),
            );
        }
    }

    #[test]
    fn what_needs_an_escape_is_found_everywhere() {
        everywhere(
            |bytes| {
                let plain = |len: &usize| needs_no_escape(&bytes[..*len]);
                (0..=bytes.len()).take_while(plain).last().unwrap()
            },
            |b| !(0x20..0x80).contains(&b) || b"&<>'".contains(&b),
        );
    }

    #[test]
    fn long_texts_are_plain_up_to_the_same() {
        for size in [31, 32, 33, 64, 95, 96, 130] {
            for at in 0..size {
                for b in [0x1F, b' ', b'<', b'&', b']', b'~', 0x7F, 0x80, 0xFF] {
                    let mut bytes = vec![b'a'; size];
                    bytes[at] = b;
                    let stops = !(0x20..0x80).contains(&b) || b"<&]".contains(&b);
                    let expected = if stops { at } else { size };
                    assert_eq!(text_len(&bytes), expected, "{b:#x} at {at} of {size}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_visible_or_needs_an_escape_is_found_everywhere() {
        everywhere(
            |bytes| {
                let visible = |len: &usize| is_visible_and_plain(&bytes[..*len]);
                (0..=bytes.len()).take_while(visible).last().unwrap()
            },
            |b| !(0x20..0x7F).contains(&b) || b"&<>'".contains(&b),
        );
    }

    #[test]
    fn words_are_the_bytes_and_then_zeros() {
        for len in 0..=20 {
            let bytes: Vec<u8> = (1..=len).collect();
            let words = words(&bytes).flat_map(|(_, word)| word.to_le_bytes());
            let words: Vec<u8> = words.collect();
            assert_eq!(words.len(), bytes.len().next_multiple_of(8));
            assert!(words.iter().take(bytes.len()).eq(&bytes));
            assert!(words.iter().skip(bytes.len()).all(|&b| b == 0));
        }
    }

    #[test]
    fn what_ends_a_label_is_found_at_each_place() {
        for b in 0..0x80 {
            for at in 0..8 {
                let mut bytes = [b'a', b'z', b'0', b'9', b'-', b'_', b'm', b'5'];
                bytes[at] = b;
                let label = b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
                let found = not_in_a_label(u64::from_le_bytes(bytes)).unwrap();
                let expected: &[usize] = if label { &[] } else { &[at] };
                assert!(found.eq(expected.iter().copied()), "{b:#x} at {at}");
            }
        }
        let all: Vec<usize> = not_in_a_label(u64::from_le_bytes(*b"@./:Zaa\0"))
            .unwrap()
            .collect();
        assert_eq!(all, [0, 1, 2, 3, 4, 7]);
        assert!(not_in_a_label(u64::from_le_bytes(*b"aaaa\x80aaa")).is_none());
    }

    #[test]
    fn names_end_at_what_is_no_name_character() {
        everywhere(name_len, |b| {
            !(b.is_ascii() && super::super::names::continues_name(char::from(b)))
        });
    }
}
