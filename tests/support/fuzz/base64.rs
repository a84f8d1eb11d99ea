//! base64, compared with a decoder that is as slow and simple as possible.

use xtls_stanza::base64::{Error, Whitespace, decode, encode, encoded_len};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// White space that [`Whitespace::Skip`] allows beyond the length of the text.
const FREE: usize = 1024;

pub(super) fn check(input: &[u8]) -> Result<(), String> {
    bytes(input)?;
    match str::from_utf8(input) {
        Ok(text) => characters(text),
        Err(_) => Ok(()),
    }
}

/// The input as bytes to encode.
fn bytes(bytes: &[u8]) -> Result<(), String> {
    let mut out = b"before".to_vec();
    encode(bytes, &mut out);
    let text = out
        .strip_prefix(b"before")
        .ok_or("what stood before is gone")?;
    same("encode", text, &reference_encode(bytes))?;
    same("encoded_len", &text.len(), &encoded_len(bytes.len()))?;
    let text = str::from_utf8(text).map_err(|_| "not even UTF-8 is encoded")?;
    for whitespace in [Whitespace::Refuse, Whitespace::Skip] {
        let back = decode(text, whitespace).map(Vec::from);
        same("decode after encode", &back, &Ok(bytes.to_vec()))?;
    }
    Ok(())
}

/// The input as text to decode.
fn characters(text: &str) -> Result<(), String> {
    let strict = decode(text, Whitespace::Refuse);
    let expected = reference_decode(text.as_bytes());
    same("strict", &strict.as_deref().ok(), &expected.as_deref())?;

    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let (spaces, rest): (Vec<u8>, Vec<u8>) = text.bytes().partition(is_space);
    let skipped = decode(text, Whitespace::Skip);
    if spaces.len() > rest.len() + FREE {
        return same("bound", &skipped, &Err(Error::TooMuchWhitespace));
    }
    let expected = reference_decode(&rest);
    same("skipping", &skipped.as_deref().ok(), &expected.as_deref())?;
    match (strict, spaces.is_empty()) {
        (Err(Error::TooMuchWhitespace), _) => Err("strict, and counts white space".to_owned()),
        (strict, true) => same("without white space", &strict, &skipped),
        (Ok(_), false) => Err("white space was accepted".to_owned()),
        (Err(_), false) => Ok(()),
    }
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(
    what: &str,
    ours: &T,
    expected: &T,
) -> Result<(), String> {
    if ours == expected {
        return Ok(());
    }
    Err(format!("{what}: {ours:?} where {expected:?} is right"))
}

/// RFC 4648 §4, bit by bit.
fn reference_encode(bytes: &[u8]) -> Vec<u8> {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |b| b >> (7 - at % 8) & 1);
    let mut out = Vec::new();
    for first in (0..bytes.len() * 8).step_by(6) {
        let value = (first..first + 6).fold(0, |value, at| value << 1 | bit(at));
        out.push(ALPHABET[usize::from(value)]);
    }
    while out.len() % 4 != 0 {
        out.push(b'=');
    }
    out
}

/// RFC 4648 §4, with §3.3 and §3.5: a text is valid if it equals the encoding of its own bytes.
fn reference_decode(text: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut value, mut bits) = (Vec::new(), 0_u32, 0);
    for b in text.iter().filter(|&&b| b != b'=') {
        let digit = ALPHABET.iter().position(|letter| letter == b)?;
        value = value << 6 & 0xFFFF | u32::try_from(digit).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((value >> bits).to_le_bytes()[0]);
        }
    }
    (reference_encode(&out) == text).then_some(out)
}
