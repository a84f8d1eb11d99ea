//! How far plain bytes go, sixteen at a time in one vector (SIMD). The highest bit of a byte marks it.

use wide::u8x16;

/// How many bytes of a value stand before the first that is the quote, `&`, `<`, a control, or not ASCII.
#[inline]
pub(crate) fn value_len(bytes: &[u8], quote: u8) -> usize {
    let marks = |block| odd(block) | is(block, quote) | is(block, b'&') | is(block, b'<');
    first(bytes, marks)
}

/// How many bytes of text stand before the first that is `<`, `&`, `]`, a control, or not ASCII.
#[inline]
pub(crate) fn text_len(bytes: &[u8]) -> usize {
    let marks = |block| odd(block) | is(block, b'<') | is(block, b'&') | is(block, b']');
    first(bytes, marks)
}

/// Whether it can be written as it is, in text and between `'`: no `&`, `<`, `>`, `'`, no control, all ASCII.
#[inline]
pub(crate) fn needs_no_escape(bytes: &[u8]) -> bool {
    first(bytes, needs_escape) == bytes.len()
}

/// Whether all are visible ASCII characters or spaces, and [need no escape](needs_no_escape).
#[inline]
pub(crate) fn is_visible_and_plain(bytes: &[u8]) -> bool {
    let marks = |block| needs_escape(block) | is(block, 0x7F);
    first(bytes, marks) == bytes.len()
}

/// How many bytes at the beginning may stand in a label of a domain in lower case: letters, digits, `-` and `_`.
#[inline]
pub(crate) fn label_len(bytes: &[u8]) -> usize {
    first(bytes, |block| {
        !(within(block, b'a', b'z') | within(block, b'0', b'9') | is(block, b'-') | is(block, b'_'))
    })
}

/// Where the first byte is that is marked. Controls must be, for a part of a block is filled with zeros.
#[inline]
fn first(bytes: &[u8], marks: impl Fn(u8x16) -> u8x16) -> usize {
    let marks = |block| marks(u8x16::new(block)).to_bitmask();
    let (whole, rest) = bytes.as_chunks();
    for (number, block) in whole.iter().enumerate() {
        let marks = marks(*block);
        if marks != 0 {
            return 16 * number + marks.trailing_zeros() as usize;
        }
    }
    bytes.len() - rest.len() + marks(padded(rest)).trailing_zeros() as usize
}

/// At most sixteen bytes, and then zeros.
#[inline]
fn padded(bytes: &[u8]) -> [u8; 16] {
    let padded = match (bytes.first_chunk(), bytes.last_chunk()) {
        // They overlap in bytes that are the same.
        (Some(head), Some(tail)) => {
            let (head, tail) = (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
            u128::from(head) | u128::from(tail) << (8 * (bytes.len() - 8))
        }
        _ => bytes.iter().rfold(0, |all, &b| all << 8 | u128::from(b)),
    };
    padded.to_le_bytes()
}

/// Marks what cannot be written as it is.
#[inline]
fn needs_escape(block: u8x16) -> u8x16 {
    odd(block) | is(block, b'&') | is(block, b'<') | is(block, b'>') | is(block, b'\'')
}

/// Marks controls and what is not ASCII.
#[inline]
fn odd(block: u8x16) -> u8x16 {
    block | within(block, 0, 0x1F)
}

#[inline]
fn is(block: u8x16, b: u8) -> u8x16 {
    block.simd_eq(u8x16::splat(b))
}

#[inline]
fn within(block: u8x16, first: u8, last: u8) -> u8x16 {
    let from = block - u8x16::splat(first);
    from.min(u8x16::splat(last - first)).simd_eq(from)
}

/// How many bytes of an ASCII name, without its colon, stand at the beginning. Names are short: a table
/// is faster than vectors.
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

    /// Each byte at each place of a block and behind the last, after bytes that are none.
    fn everywhere(len: impl Fn(&[u8]) -> usize, stops: impl Fn(u8) -> bool) {
        for b in 0..=u8::MAX {
            for size in 1..=35 {
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
    fn a_part_of_a_block_is_filled_with_zeros() {
        for len in 0..=16 {
            let bytes: Vec<u8> = (1..=len).collect();
            let padded = padded(&bytes);
            assert!(padded.iter().take(bytes.len()).eq(&bytes));
            assert!(padded.iter().skip(bytes.len()).all(|&b| b == 0));
        }
    }

    #[test]
    fn labels_consist_of_letters_in_lower_case_digits_hyphens_and_underscores() {
        everywhere(label_len, |b| {
            !(b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        });
    }

    #[test]
    fn names_end_at_what_is_no_name_character() {
        everywhere(name_len, |b| {
            !(b.is_ascii() && super::super::names::continues_name(char::from(b)))
        });
    }
}
