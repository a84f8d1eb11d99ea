//! A server's key that was compared by a person.

use std::fmt;
use std::str::FromStr;

use xtls_stanza::base64::{self, Whitespace};

/// The SHA-256 fingerprint of a server's public key (its SubjectPublicKeyInfo in DER, RFC 7469 §2.4).
///
/// It is written and shown as 64 hexadecimal digits in groups of eight; colons and spaces are skipped. What
/// `curl --pinnedpubkey` takes, `sha256//` and base64, is read too. To compute one:
/// `openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    /// From the digest.
    #[must_use]
    pub fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (group, bytes) in self.0.chunks(4).enumerate() {
            if group > 0 {
                f.write_str(":")?;
            }
            for byte in bytes {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Pin {
    type Err = NotAPin;

    fn from_str(text: &str) -> Result<Self, NotAPin> {
        if let Some(text) = text.trim().strip_prefix("sha256//") {
            let digest = base64::decode(text, Whitespace::Refuse).map_err(|_| NotAPin)?;
            return digest.as_ref().try_into().map(Self).map_err(|_| NotAPin);
        }
        let digits = text.chars().filter(|c| *c != ':' && *c != ' ');
        let digits: Option<Vec<u32>> = digits.map(|c| c.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(NotAPin)?;
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks(2)) {
            let value = pair.iter().fold(0, |value, digit| value * 16 + digit);
            *byte = u8::try_from(value).map_err(|_| NotAPin)?;
        }
        Ok(Self(digest))
    }
}

/// Text that is no fingerprint of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a fingerprint is 64 hexadecimal digits (SHA-256 of the public key), or sha256// and base64"
)]
pub struct NotAPin;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_fingerprint_is_refused() {
        let digits = "0123456789abcdef".repeat(4);
        for text in [
            "",
            "sha256//",
            "sha256//AAAA",
            &digits[1..],
            &format!("{digits}0"),
            &digits.replace('f', "g"),
        ] {
            assert_eq!(text.parse::<Pin>(), Err(NotAPin), "{text}");
        }
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_shown_and_as_others_show_it() {
        let pin = Pin::new(std::array::from_fn(|at| u8::try_from(at * 8).unwrap()));
        let shown = pin.to_string();
        assert!(shown.starts_with("00081018:20283038:"), "{shown}");
        let colons: Vec<_> = shown.replace(':', "").into_bytes();
        let colons: Vec<_> = colons
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).unwrap().to_uppercase())
            .collect();
        let mut curl = b"sha256//".to_vec();
        base64::encode(&pin.0, &mut curl);
        for text in [
            shown.clone(),
            colons.join(":"),
            shown.replace(':', " "),
            String::from_utf8(curl).unwrap(),
        ] {
            assert_eq!(text.parse(), Ok(pin), "{text}");
        }
    }
}
