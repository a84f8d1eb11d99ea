//! Tests of base64.

use proptest::prelude::*;

use super::*;

fn refused(text: &str) -> Error {
    let strict = decode(text, Whitespace::Refuse).unwrap_err();
    assert_eq!(decode(text, Whitespace::Skip), Err(strict));
    strict
}

#[test]
fn missing_padding_is_refused() {
    assert_eq!(refused("QQ"), Error::Padding);
    assert_eq!(refused("QQ="), Error::Padding);
    assert_eq!(refused("QUE"), Error::Padding);
}

#[test]
fn an_incomplete_group_is_refused() {
    assert_eq!(refused("Q"), Error::Length);
    assert_eq!(refused("QUJDR"), Error::Length);
}

#[test]
fn padding_where_none_belongs_is_refused() {
    for text in [
        "=", "====", "=AAA", "Q===", "QQ==QQ==", "QQ=Q", "BBBB=CCC", "QUJD=", "QUJD====", "QQ===",
    ] {
        refused(text);
    }
}

#[test]
fn bits_that_stand_for_nothing_are_refused() {
    assert_eq!(refused("QR=="), Error::TrailingBits);
    assert_eq!(refused("QUF="), Error::TrailingBits);
    let long = format!("{}QR==", "QUJD".repeat(100));
    assert_eq!(refused(&long), Error::TrailingBits);
}

#[test]
fn foreign_characters_are_refused_wherever_they_stand() {
    let long = "QUJD".repeat(64);
    for foreign in [
        b'-', b'_', b'.', b'!', b'\0', b'\x0B', b'\x0C', 0x7F, b'@', b'[', b'`', b'{', b',',
    ] {
        for at in 0..long.len() {
            let mut text = long.clone().into_bytes();
            text[at] = foreign;
            assert_eq!(
                refused(std::str::from_utf8(&text).unwrap()),
                Error::Foreign(foreign),
                "{at}"
            );
        }
    }
    assert!(matches!(refused("QUJ\u{E9}"), Error::Foreign(_)));
    assert!(matches!(refused("\u{FF21}"), Error::Foreign(_)));
}

#[test]
fn white_space_is_refused_or_skipped_by_choice() {
    for text in [
        " QUJD",
        "QUJD\n",
        "QU JD",
        "QU\r\nJD",
        "Q\tU\tJ\tD",
        "QQ\n==",
        "QQ=\n=",
    ] {
        assert!(decode(text, Whitespace::Refuse).is_err(), "{text:?}");
        assert!(decode(text, Whitespace::Skip).is_ok(), "{text:?}");
    }
    assert!(decode("QU\u{A0}JD", Whitespace::Skip).is_err());
    assert!(decode("QU\u{B}JD", Whitespace::Skip).is_err());
}

#[test]
fn more_white_space_than_text_and_a_kibibyte_is_refused() {
    let with = |count: usize| decode(&format!("QUJD{}", " ".repeat(count)), Whitespace::Skip);
    assert_eq!(with(1028).unwrap(), "ABC");
    assert_eq!(with(1029), Err(Error::TooMuchWhitespace));
    assert_eq!(
        decode(&" ".repeat(1 << 20), Whitespace::Skip),
        Err(Error::TooMuchWhitespace)
    );
}

#[test]
fn nothing_is_nothing() {
    assert_eq!(decode("", Whitespace::Refuse).unwrap(), "");
    let mut out = Vec::new();
    encode(b"", &mut out);
    assert_eq!(out, b"");
}

/// The test vectors of RFC 4648 §10.
#[test]
fn the_vectors_of_the_rfc() {
    for (bytes, text) in [
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        let mut out = Vec::new();
        encode(bytes.as_bytes(), &mut out);
        assert_eq!(out, text.as_bytes());
        assert_eq!(decode(text, Whitespace::Refuse).unwrap(), bytes);
    }
}

/// As slow and plain as can be.
fn reference(text: &[u8]) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = text.chunks(4).collect::<Vec<_>>();
    let mut out = Vec::new();
    for (i, group) in groups.iter().enumerate() {
        let pad = group.iter().rev().take_while(|&&b| b == b'=').count();
        if group.len() != 4 || pad > 2 || (pad > 0 && i + 1 < groups.len()) {
            return None;
        }
        let mut bits = 0_u32;
        for &b in &group[..4 - pad] {
            bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|&a| a == b)?).unwrap();
        }
        bits <<= 6 * pad;
        let bytes = bits.to_be_bytes();
        if bytes[4 - pad..].iter().any(|&b| b != 0) {
            return None;
        }
        out.extend_from_slice(&bytes[1..4 - pad]);
    }
    Some(out)
}

#[test]
fn every_byte_is_judged_alike_wherever_it_stands() {
    let good: Vec<u8> = b"AZaz09+/".iter().copied().cycle().take(256).collect();
    for b in 0..=u8::MAX {
        for at in 0..good.len() {
            let mut text = good.clone();
            text[at] = b;
            let decoded = decode_bytes(&text, Whitespace::Refuse).ok();
            assert_eq!(decoded.map(Vec::from), reference(&text), "{b:#x} at {at}");
        }
    }
}

/// Long texts are decoded in parts.
#[test]
fn the_seams_of_parts_do_not_show() {
    for len in [
        PART - 2,
        PART - 1,
        PART,
        PART + 1,
        PART + 2,
        3 * PART,
        3 * PART + 1,
        65_535,
    ] {
        let bytes: Vec<u8> = (0..len).map(|n| (n % 251).try_into().unwrap()).collect();
        let mut text = Vec::new();
        encode(&bytes, &mut text);
        assert_eq!(text.len(), encoded_len(len));
        let text = String::from_utf8(text).unwrap();
        assert_eq!(decode(&text, Whitespace::Refuse).unwrap(), bytes);
        assert_eq!(reference(text.as_bytes()).unwrap(), bytes);
        let broken = text.replacen("AAEC", "AAEC\n", 1);
        assert_eq!(decode(&broken, Whitespace::Skip).unwrap(), bytes);
    }
}

#[test]
fn padding_at_the_end_of_a_part_is_refused() {
    let part = encoded_len(PART);
    for padding in ["=", "=="] {
        let text = format!(
            "{}{padding}{}",
            "A".repeat(part - padding.len()),
            "A".repeat(8)
        );
        assert_eq!(decode(&text, Whitespace::Refuse), Err(Error::Foreign(b'=')));
    }
    let bad_bits = format!("{}B=={}", "A".repeat(part - 3), "A".repeat(8));
    assert_eq!(
        decode(&bad_bits, Whitespace::Refuse),
        Err(Error::Foreign(b'='))
    );
}

proptest! {
    #[test]
    fn decoding_what_was_encoded_gives_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600), before in "[a-z]{0,3}") {
        let mut out = before.clone().into_bytes();
        encode(&bytes, &mut out);
        let text = std::str::from_utf8(&out).unwrap().strip_prefix(&before).unwrap();
        prop_assert_eq!(text.len(), encoded_len(bytes.len()));
        prop_assert_eq!(decode(text, Whitespace::Refuse).unwrap(), bytes);
    }

    #[test]
    fn long_texts_are_decoded_alike(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let mut text = Vec::new();
        encode(&bytes, &mut text);
        prop_assert_eq!(decode_bytes(&text, Whitespace::Refuse).unwrap(), bytes.clone());
        prop_assert_eq!(reference(&text).unwrap(), bytes);
    }

    #[test]
    fn the_same_verdict_as_the_plain_way(text in "([A-Za-z0-9+/]{4}){0,40}[A-Za-z0-9+/=]{0,5}[ -~]?[=Q]{0,3}") {
        prop_assert_eq!(decode(&text, Whitespace::Refuse).ok().map(Vec::from), reference(text.as_bytes()), "{}", text);
    }

    #[test]
    fn white_space_changes_nothing_else(text in "[A-Z=! \n\t\r]{0,20}") {
        let unbroken: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        prop_assert_eq!(decode(&text, Whitespace::Skip), decode(&unbroken, Whitespace::Refuse));
    }
}
