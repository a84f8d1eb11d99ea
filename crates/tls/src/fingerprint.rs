//! The name of a key: SHA-256 over its DER `SubjectPublicKeyInfo`.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

/// SHA-256 of a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7): what is pinned, compared and shown.
///
/// It does not depend on the certificate around the key, so a new certificate for the same key keeps its fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// Why a text is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// A character that is neither a hexadecimal digit nor a separator; `at` counts bytes.
    #[error("byte {at} of the fingerprint is neither a hexadecimal digit nor a space or colon")]
    Digit {
        /// Offset in bytes.
        at: usize,
    },
    /// Not exactly 64 digits.
    #[error("a fingerprint has 64 hexadecimal digits, this one has {digits}")]
    Length {
        /// Digits found.
        digits: usize,
    },
}

impl Fingerprint {
    /// The fingerprint of a key given as DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn of_spki(spki: &[u8]) -> Self {
        Self(Sha256::digest(spki).into())
    }

    /// Reads 64 hexadecimal digits of either case; spaces and colons between them are ignored.
    ///
    /// # Errors
    /// Another character, or another number of digits. A part of a fingerprint is never enough.
    pub fn parse(text: &str) -> Result<Self, FingerprintError> {
        let mut digits = Vec::with_capacity(64);
        for (at, c) in text.char_indices() {
            if let Some(digit) = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) {
                digits.push(digit);
            } else if !matches!(c, ' ' | ':') {
                return Err(FingerprintError::Digit { at });
            }
        }
        let (pairs, odd) = digits.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        match <[u8; 32]>::try_from(bytes) {
            Ok(bytes) if odd.is_empty() => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(FingerprintError::Length {
                digits: digits.len(),
            }),
        }
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Eight groups of eight digits, for people to compare.
    #[must_use]
    pub fn grouped(&self) -> String {
        let (groups, _) = self.0.as_chunks::<4>();
        let groups: Vec<String> = groups
            .iter()
            .map(|group| format!("{:08x}", u32::from_be_bytes(*group)))
            .collect();
        groups.join(" ")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.grouped())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.hex())
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Fingerprint, FingerprintError};

    #[test]
    fn known_value_and_groups() {
        let empty = Fingerprint::of_spki(b"");
        assert_eq!(
            empty.hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            empty.grouped(),
            "e3b0c442 98fc1c14 9afbf4c8 996fb924 27ae41e4 649b934c a495991b 7852b855"
        );
        assert_eq!(empty.to_string(), empty.grouped());
        assert_eq!(
            format!("{empty:?}"),
            format!("Fingerprint({})", empty.hex())
        );
    }

    #[test]
    fn a_part_or_a_wrong_digit_is_refused() {
        let hex = Fingerprint::of_spki(b"").hex();
        assert_eq!(
            Fingerprint::parse(""),
            Err(FingerprintError::Length { digits: 0 })
        );
        assert_eq!(
            Fingerprint::parse(&hex[1..]),
            Err(FingerprintError::Length { digits: 63 })
        );
        assert_eq!(
            Fingerprint::parse(&format!("{hex}0")),
            Err(FingerprintError::Length { digits: 65 })
        );
        assert_eq!(
            Fingerprint::parse(&format!("{hex}00")),
            Err(FingerprintError::Length { digits: 66 })
        );
        assert_eq!(
            Fingerprint::parse("e3b0c44g"),
            Err(FingerprintError::Digit { at: 7 })
        );
        assert_eq!(
            Fingerprint::parse("é3"),
            Err(FingerprintError::Digit { at: 0 })
        );
        assert_eq!(
            Fingerprint::parse("e3-b0"),
            Err(FingerprintError::Digit { at: 2 })
        );
    }

    proptest! {
        #[test]
        fn every_form_reads_back(bytes: [u8; 32]) {
            let fingerprint = Fingerprint(bytes);
            let colons = fingerprint.hex().as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap()).collect::<Vec<_>>().join(":");
            for text in [fingerprint.hex(), fingerprint.grouped(), fingerprint.hex().to_uppercase(), colons] {
                prop_assert_eq!(text.parse::<Fingerprint>().unwrap(), fingerprint);
            }
        }
    }
}
