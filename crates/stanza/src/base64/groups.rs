//! Sixteen groups of base64 at a time, where the processor has vectors of 64 bytes with permutations (AVX-512 with VBMI). The bytes go to
//! where they stay, which need not be cleared before.

/// Decodes groups at the beginning as long as they are valid and there is room beyond what they fill. Returns how many characters.
#[cfg(target_arch = "x86_64")]
pub(super) fn decode(text: &[u8], out: &mut Vec<u8>) -> usize {
    use fearless_simd::{Level, Simd as _};

    Level::new().as_avx512().map_or(0, |simd| {
        simd.vectorize(
            #[inline(always)]
            || x86::decode(simd, text, out),
        )
    })
}

/// Others have no such vectors.
#[cfg(not(target_arch = "x86_64"))]
pub(super) const fn decode(_: &[u8], _: &mut Vec<u8>) -> usize {
    0
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use fearless_simd::prelude::*;
    use fearless_simd::{Avx512, u8x64, u32x16};

    /// Characters decoded at once, and what becomes of them.
    const TEXT: usize = 64;
    const BYTES: usize = 48;

    #[inline(always)]
    pub(super) fn decode(simd: Avx512, text: &[u8], out: &mut Vec<u8>) -> usize {
        let [low, high, order] = [&VALUES.0, &VALUES.1, &ORDER].map(|t| u8x64::from_slice(simd, t));
        let mark = u8x64::splat(simd, FOREIGN);
        let odd = u32x16::splat(simd, 0x003F_003F);
        let half = u32x16::splat(simd, 0xFFFF);
        let mut done = 0;
        for text in text.as_chunks::<TEXT>().0 {
            if out.capacity() - out.len() < TEXT {
                break;
            }
            let text = u8x64::from_slice(simd, text);
            // The highest bit of a character is not looked up.
            let six = low.concat_swizzle_dyn(high, text);
            if ((six | text) & mark).simd_ne(0).any_true() {
                break;
            }
            // From four bytes of six bits to two halves of twelve, and to one of 24, the first always on top.
            let six: u32x16<_> = six.bitcast();
            let twelve = ((six & odd) << 6) | ((six >> 8) & odd);
            let all: u8x64<_> = (((twelve & half) << 12) | (twelve >> 16)).bitcast();
            out.extend_from_slice(all.swizzle_dyn(order).as_array());
            out.truncate(out.len() - (TEXT - BYTES));
            done += TEXT;
        }
        done
    }

    /// Marks what is not of the alphabet.
    const FOREIGN: u8 = 0x80;

    /// What each character below 64 stands for, and each from there on.
    const VALUES: ([u8; 64], [u8; 64]) = {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut values = ([FOREIGN; 64], [FOREIGN; 64]);
        let mut value = 0;
        while value < 64 {
            #[expect(clippy::indexing_slicing, reason = "seen by the compiler")]
            {
                let character = alphabet[value as usize] as usize;
                if character < 64 {
                    values.0[character] = value;
                } else {
                    values.1[character - 64] = value;
                }
            }
            value += 1;
        }
        values
    };

    /// Which byte comes where: three of four, the highest first.
    const ORDER: [u8; 64] = {
        let mut order = [0; 64];
        let mut at = 0;
        while at < 48 {
            #[expect(clippy::indexing_slicing, reason = "seen by the compiler")]
            {
                order[at as usize] = at / 3 * 4 + 2 - at % 3;
            }
            at += 1;
        }
        order
    };
}
