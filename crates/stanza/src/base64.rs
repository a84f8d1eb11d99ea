//! Base64 (RFC 4648 §4), strict.

mod groups;

use std::sync::LazyLock;

use base64::engine::Engine as _;
use base64::{DecodeError, DecodeSliceError};
use bytes::Bytes;

/// White space that a text may hold beyond the length of the rest, in bytes.
const FREE_WHITE_SPACE: usize = 1024;

/// Bytes decoded or encoded at once, a multiple of three: they are cleared first, and stay in the
/// processor's L2 cache until they are overwritten. The largest chunk is one part, because seams cost more.
const PART: usize = 65_535;

/// AVX2 or NEON where the processor has it.
#[cfg(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon")
))]
static ENGINE: LazyLock<base64::engine::Simd> =
    LazyLock::new(|| base64::engine::Simd::standard(base64::engine::general_purpose::PAD));

#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_feature = "neon")
)))]
static ENGINE: LazyLock<base64::engine::GeneralPurpose> =
    LazyLock::new(|| base64::engine::general_purpose::STANDARD);

/// What to do with white space inside of base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Whitespace {
    /// Refuse it, as RFC 4648 §3.3 and XEP-0047 §4 ask.
    Refuse,
    /// Skip spaces, tabs and line ends, which old clients insert; at most as many as there are other
    /// characters, plus 1024.
    #[default]
    Skip,
}

/// Why a text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A byte outside of the alphabet, or `=` before the end.
    #[error("byte {0:#04x} may not stand there in base64 (RFC 4648 §3.3)")]
    Foreign(u8),
    /// The last group is incomplete.
    #[error("the last group of base64 is not complete (RFC 4648 §4)")]
    Length,
    /// There are too few or too many `=` at the end.
    #[error("the padding of base64 is wrong (RFC 4648 §4)")]
    Padding,
    /// Unused bits of the last character are not zero.
    #[error("the last bits of base64 are not zero (RFC 4648 §3.5)")]
    TrailingBits,
    /// More white space than [`Whitespace::Skip`] allows.
    #[error("more white space in base64 than characters (our limit)")]
    TooMuchWhitespace,
}

/// How many characters `len` bytes become.
pub fn encoded_len(len: usize) -> usize {
    len.div_ceil(3).saturating_mul(4)
}

/// Appends the bytes as one unbroken line.
///
/// ```
/// let mut out = b"data:".to_vec();
/// xtls_stanza::base64::encode(b"hello", &mut out);
/// assert_eq!(out, b"data:aGVsbG8=");
/// ```
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(encoded_len(bytes.len()));
    for part in bytes.chunks(PART) {
        let before = out.len();
        out.resize(before + encoded_len(part.len()), b'=');
        let room = out.get_mut(before..).unwrap_or_default();
        // This can only fail for lack of room, and the room is exact.
        let written = ENGINE.encode_slice(part, room).unwrap_or_default();
        out.truncate(before + written);
    }
}

/// Decodes a text.
///
/// ```
/// use xtls_stanza::base64::{decode, Error, Whitespace};
///
/// assert_eq!(decode("aGVsbG8=", Whitespace::Refuse)?, "hello");
/// assert_eq!(decode(" aGVs\n bG8=", Whitespace::Skip)?, "hello");
/// assert_eq!(decode("aGVsbG9=", Whitespace::Skip), Err(Error::TrailingBits));
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
///
/// Any character outside the alphabet, wrong or missing padding, unused bits that
/// aren't zero, and white space beyond what `whitespace` allows.
pub fn decode(text: &str, whitespace: Whitespace) -> Result<Bytes, Error> {
    decode_bytes(text.as_bytes(), whitespace)
}

pub(crate) fn decode_bytes(text: &[u8], whitespace: Whitespace) -> Result<Bytes, Error> {
    match (decode_unbroken(text), whitespace) {
        // Clients no longer send white space, so look for it only after a failure.
        (Err(_), Whitespace::Skip) if text.iter().any(|&b| is_white_space(b)) => {
            let unbroken: Vec<u8> = text
                .iter()
                .copied()
                .filter(|&b| !is_white_space(b))
                .collect();
            if text.len() - unbroken.len() > unbroken.len() + FREE_WHITE_SPACE {
                return Err(Error::TooMuchWhitespace);
            }
            decode_unbroken(&unbroken)
        }
        (result, _) => result,
    }
}

fn is_white_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

fn decode_unbroken(text: &[u8]) -> Result<Bytes, Error> {
    decode_parts(text).map_or_else(|| decode_whole(text), Ok)
}

/// Decodes a valid text; `None` if anything is wrong with it.
fn decode_parts(text: &[u8]) -> Option<Bytes> {
    let padding = text.iter().rev().take(2).filter(|&&b| b == b'=').count();
    let len = (text.len() / 4 * 3).checked_sub(padding)?;
    let mut bytes = Vec::with_capacity(len);
    let done = groups::decode(text, &mut bytes);
    for part in text.get(done..)?.chunks(encoded_len(PART)) {
        let before = bytes.len();
        bytes.resize(len.min(before + PART), 0);
        let room = bytes.get_mut(before..)?;
        // Padding that ends a part before the last would leave room.
        if ENGINE.decode_slice(part, room).ok()? != room.len() {
            return None;
        }
    }
    (bytes.len() == len).then(|| bytes.into())
}

/// Finds out what is wrong with a text.
fn decode_whole(text: &[u8]) -> Result<Bytes, Error> {
    let mut bytes = vec![0; text.len().div_ceil(4).saturating_mul(3)];
    match ENGINE.decode_slice(text, &mut bytes) {
        Ok(len) => {
            bytes.truncate(len);
            Ok(bytes.into())
        }
        Err(DecodeSliceError::DecodeError(DecodeError::InvalidByte(_, byte))) => {
            Err(Error::Foreign(byte))
        }
        Err(DecodeSliceError::DecodeError(DecodeError::InvalidLastSymbol { .. })) => {
            Err(Error::TrailingBits)
        }
        Err(DecodeSliceError::DecodeError(DecodeError::InvalidPadding)) => Err(Error::Padding),
        Err(
            DecodeSliceError::DecodeError(DecodeError::InvalidLength(_))
            | DecodeSliceError::OutputSliceTooSmall,
        ) => Err(Error::Length),
    }
}

#[cfg(test)]
mod tests;
