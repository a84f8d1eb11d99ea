//! Names and seeds that nobody can guess.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::Rng as _;
use xtls_stanza::ibb::Sid;

/// 128 random bits as an id.
pub(super) fn id(random: &mut ChaCha20Rng) -> String {
    let mut bytes = [0_u8; 16];
    random.fill_bytes(&mut bytes);
    let mut text = String::with_capacity(33);
    text.push('x');
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

/// The same as the name of a stream.
pub(super) fn sid(random: &mut ChaCha20Rng) -> Sid {
    loop {
        // A letter and hexadecimal digits are a token.
        if let Ok(sid) = Sid::new(&id(random)) {
            return sid;
        }
    }
}

/// 256 random bits.
pub(super) fn seed(random: &mut ChaCha20Rng) -> [u8; 32] {
    let mut bytes = [0_u8; 32];
    random.fill_bytes(&mut bytes);
    bytes
}
