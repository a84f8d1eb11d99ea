//! How far the plain bytes go. Most are looked at eight at a time: a mark is the highest bit of a byte.

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
pub(super) fn text_len(bytes: &[u8]) -> usize {
    let marks = |word| odd(word) | is(word, b'<') | is(word, b'&') | is(word, b']');
    first(bytes, marks, |b| matches!(b, b'<' | b'&' | b']'))
}

/// Whether it can be written as it is, in text and between `'`: no `&`, `<`, `>`, `'`, no control, all ASCII.
#[inline]
pub(crate) fn needs_no_escape(bytes: &[u8]) -> bool {
    // `<` and `>`, and `&` and `'`, differ in one bit each.
    let marks = |word| odd(word) | is(word | (ONES * 0x02), b'>') | is(word | ONES, b'\'');
    let ends = |b| matches!(b, b'&' | b'<' | b'>' | b'\'');
    first(bytes, marks, ends) == bytes.len()
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
    fn names_end_at_what_is_no_name_character() {
        everywhere(name_len, |b| {
            !(b.is_ascii() && crate::name::continues_name(char::from(b)))
        });
    }
}
