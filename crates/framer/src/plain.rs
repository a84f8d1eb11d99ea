//! How far bytes go that are ASCII, and how far those that are no `<` either.

use fearless_simd::{Level, dispatch};

/// How many bytes at the beginning certainly are ASCII and no `<`. These may be less than [`STEP`] too few.
pub(crate) fn plain_len(bytes: &[u8]) -> usize {
    dispatch!(Level::new(), _ => in_blocks(bytes))
}

#[inline(always)]
fn in_blocks(bytes: &[u8]) -> usize {
    if !bytes.first_chunk().is_some_and(is_plain::<STEP>) {
        return 0;
    }
    // Loads that straddle cache lines would cost half as much again.
    let aligned = bytes.as_ptr().align_offset(STEP).min(STEP);
    let (blocks, rest) = bytes.get(aligned..).unwrap_or_default().as_chunks();
    let plain = blocks
        .iter()
        .take_while(|block| is_plain::<BLOCK>(block))
        .count();
    let rest = blocks.get(plain).map_or(rest, |block| block);
    let (steps, _) = rest.as_chunks();
    let more = steps
        .iter()
        .take_while(|step| is_plain::<STEP>(step))
        .count();
    aligned + BLOCK * plain + STEP * more
}

/// Whether all bytes are ASCII. The standard library takes those behind the last whole vector one by one, which takes longer than
/// the rest of a tag.
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<16>() else {
        return bytes.is_ascii();
    };
    let (chunks, _) = bytes.as_chunks::<16>();
    let or = |all, chunk: &[u8; 16]| all | u128::from_ne_bytes(*chunk);
    chunks.iter().fold(or(0, last), or) & u128::from_ne_bytes([0x80; 16]) == 0
}

/// A loop without branches, which compilers vectorise.
#[inline(always)]
fn is_plain<const N: usize>(bytes: &[u8; N]) -> bool {
    let least = bytes
        .iter()
        .fold(u8::MAX, |least, &byte| least.min(folded(byte)));
    least > folded(b'<')
}

/// Puts `<` and what is not ASCII below everything else, so that the least of some bytes says whether all are plain.
#[inline(always)]
const fn folded(byte: u8) -> u8 {
    byte ^ (b'<' | 0x80)
}

/// The size of the widest vectors, and their alignment.
pub(crate) const STEP: usize = 64;

/// Bytes between two checks: with fewer the checks cost more than the rest.
const BLOCK: usize = 8 * STEP;

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 12] = [0, 1, 15, 16, 17, 63, 64, 65, 600, 1023, 1024, 1100];

    /// Each kind of byte at each place, at each distance from the alignment of vectors.
    fn everywhere(check: impl Fn(&[u8], usize, u8)) {
        for size in SIZES {
            let mut bytes = vec![b'a'; STEP + size];
            for at in 0..size {
                for byte in [b'<', b'>', b'=', 0, 0x7F, 0x80, 0xBC, 0xFF] {
                    let from = at % STEP;
                    bytes[from + at] = byte;
                    check(&bytes[from..from + size], at, byte);
                    bytes[from + at] = b'a';
                }
            }
        }
    }

    #[test]
    fn nothing_but_plain_bytes_counts_as_plain() {
        everywhere(|bytes, at, byte| {
            let end = if byte == b'<' || byte >= 0x80 {
                at
            } else {
                bytes.len()
            };
            let plain = plain_len(bytes);
            assert!(
                plain <= end,
                "{byte:#x} at {at} of {}: {plain}",
                bytes.len()
            );
            assert!(
                plain + STEP > end || end < STEP,
                "{byte:#x} at {at} of {}: {plain}",
                bytes.len()
            );
        });
    }

    #[test]
    fn one_byte_that_is_not_ascii_is_found_anywhere() {
        everywhere(|bytes, at, byte| {
            assert_eq!(
                is_ascii(bytes),
                byte < 0x80,
                "{byte:#x} at {at} of {}",
                bytes.len()
            );
        });
    }
}
