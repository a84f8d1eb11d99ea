//! What nobody can guess, from a seed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Nonces and ids: HMAC-SHA-256 of a count, under a key that nobody knows.
pub(crate) struct Random {
    /// A block of the hash: the seed, and zeros.
    key: Zeroizing<[u8; 64]>,
    count: u64,
}

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let mut key = Zeroizing::new([0; 64]);
        let (first, _) = key.split_at_mut(32);
        first.copy_from_slice(&seed);
        Self { key, count: 0 }
    }

    pub(crate) fn next(&mut self) -> [u8; 32] {
        self.count = self.count.wrapping_add(1);
        let mut mac = Hmac::<Sha256>::new(&(*self.key).into());
        mac.update(&self.count.to_be_bytes());
        mac.finalize().into_bytes().into()
    }
    /// 128 random bits as an id: an answer to it is of somebody who has seen it.
    pub(crate) fn id(&mut self) -> String {
        let mut id = hex(&self.next());
        id.truncate(32);
        id.insert(0, 'l');
        id
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = nibbles.map(|nibble| char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
    digits.collect()
}
