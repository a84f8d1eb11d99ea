//! Numbers as words from the English word list of BIP 39: fingerprints, short words, and generated codes.

use bip0039::English;
use xtls_client::tls::Fingerprint;
use xtls_client::tls::verify::ShortWords;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// The 256 bits as 24 words, the last of which includes a checksum of 8 bits; eight per line.
pub(crate) fn of_fingerprint(fingerprint: &Fingerprint) -> Vec<String> {
    let mnemonic: Result<bip0039::Mnemonic<English>, _> =
        bip0039::Mnemonic::from_entropy(fingerprint.as_bytes().to_vec());
    // 32 bytes is one of the five lengths that BIP 39 allows, so this always succeeds.
    let Ok(mnemonic) = mnemonic else {
        return Vec::new();
    };
    let words: Vec<_> = mnemonic.phrase().split(' ').collect();
    words.chunks(8).map(|line| line.join(" ")).collect()
}

/// A fingerprint in two rows of four groups, which fit into 80 columns.
pub(crate) fn rows(fingerprint: &Fingerprint) -> [String; 2] {
    let text = fingerprint.to_string();
    let groups: Vec<_> = text.split(' ').collect();
    let (first, second) = groups.split_at(groups.len() / 2);
    [first.join(" "), second.join(" ")]
}

/// The words that two people compare.
pub(crate) fn list(words: ShortWords) -> Vec<&'static str> {
    words.numbers().map(word).to_vec()
}

/// The same as one string.
pub(crate) fn shown(words: ShortWords) -> String {
    list(words).join(" ")
}

/// Generates a code of three words (33 random bits).
pub(crate) fn code() -> Result<Zeroizing<String>, Failure> {
    let mut random = Zeroizing::new([0; 6]);
    xtls_client::random(random.as_mut_slice())?;
    let (pairs, _) = random.as_chunks::<2>();
    let mut code = Zeroizing::new(String::with_capacity(32));
    for pair in pairs {
        if !code.is_empty() {
            code.push(' ');
        }
        code.push_str(word(u16::from_be_bytes(*pair) % 2048));
    }
    Ok(code)
}

fn word(number: u16) -> &'static str {
    English::words()
        .get(usize::from(number))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_24_words_in_three_lines() {
        let fingerprint = Fingerprint::of_spki(b"some key");
        let lines = of_fingerprint(&fingerprint);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.split(' ').count() == 8));
    }

    #[test]
    fn another_key_has_other_words() {
        assert_ne!(
            of_fingerprint(&Fingerprint::of_spki(b"a")),
            of_fingerprint(&Fingerprint::of_spki(b"b"))
        );
    }

    #[test]
    fn the_list_begins_and_ends_as_it_should() {
        assert_eq!(
            (word(0), word(1), word(2047)),
            ("abandon", "ability", "zoo")
        );
    }

    #[test]
    fn made_codes_are_three_words_and_never_the_same() {
        let (one, other) = (code().unwrap(), code().unwrap());
        assert_eq!(one.split(' ').count(), 3);
        assert_ne!(one, other);
        assert!(xtls_client::tls::verify::Code::new(&one).is_ok());
    }
}
