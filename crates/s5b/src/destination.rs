//! What both ends ask a relay for.

use std::fmt;

use sha1::{Digest as _, Sha1};
use xtls_stanza::Address;
use xtls_stanza::s5b::Sid;

/// Length in bytes: SHA-1, in hexadecimal digits.
pub(crate) const LENGTH: usize = 40;

/// The "host" that both ends ask a relay to connect them to: the SHA-1 of the sid and both addresses (XEP-0065 §5.3.2).
///
/// Two connections that ask for the same one belong together. It is no secret: whoever knows the addresses and the sid can compute it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination([u8; LENGTH]);

impl Destination {
    /// That of a bytestream between these two, by the addresses from which they exchange stanzas.
    #[must_use]
    pub fn new(sid: &Sid, requester: &Address, target: &Address) -> Self {
        let mut hash = Sha1::new();
        for part in [sid.as_str(), requester.as_str(), target.as_str()] {
            hash.update(part);
        }
        let mut digits = [0; LENGTH];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(hash.finalize()) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        Self(digits)
    }

    /// Reads 40 lower-case hexadecimal digits.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let digits: [u8; LENGTH] = bytes.try_into().ok()?;
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        digits.iter().all(is_digit).then_some(Self(digits))
    }

    /// The digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

fn digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + (value - 10),
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // They are digits.
        f.pad(str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_hash_is_refused() {
        let digits = b"972b7bf47291ca609517f67f86b5081086052dad";
        assert!(Destination::from_bytes(digits).is_some());
        for wrong in [
            &b""[..],
            &digits[1..],
            b"972B7BF47291CA609517F67F86B5081086052DAD",
            b"g72b7bf47291ca609517f67f86b5081086052dad",
        ] {
            assert_eq!(Destination::from_bytes(wrong), None);
        }
    }

    /// The value that XEP-0260 §2.2 gives.
    #[test]
    fn it_is_the_hash_of_the_xep() {
        let destination = Destination::new(
            &Sid::new("vj3hs98y").unwrap(),
            &Address::new("romeo@montague.lit/orchard").unwrap(),
            &Address::new("juliet@capulet.lit/balcony").unwrap(),
        );
        assert_eq!(
            destination.to_string(),
            "972b7bf47291ca609517f67f86b5081086052dad"
        );
        assert_eq!(
            Destination::from_bytes(destination.as_bytes()),
            Some(destination)
        );
    }
}
