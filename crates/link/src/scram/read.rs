//! What a server says (RFC 5802 §7), read strictly: what it may not say is refused before any work is done for it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bytes::Bytes;
use xtls_stanza::base64::{self, Whitespace};

/// `server-first-message`.
pub(super) struct First<'a> {
    pub(super) text: &'a str,
    /// Ours, and more of the server's own behind it.
    pub(super) nonce: &'a str,
    pub(super) salt: Bytes,
    pub(super) rounds: u32,
    /// The hash of XEP-0474, if the server sends one.
    pub(super) offer: Option<Bytes>,
}

pub(super) fn first<'a>(message: &'a [u8], own_nonce: &str) -> Result<First<'a>, Fault> {
    let text = text(message)?;
    let mut fields = text.split(',');
    let nonce = value(fields.next(), 'r').ok_or(Fault::Missing("nonce", "first"))?;
    if own_nonce.is_empty() || nonce.len() <= own_nonce.len() || !nonce.starts_with(own_nonce) {
        return Err(Fault::Nonce);
    }
    if !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::Unprintable);
    }
    let salt = value(fields.next(), 's').ok_or(Fault::Missing("salt", "second"))?;
    let salt = base64::decode(salt, Whitespace::Refuse).map_err(Fault::Salt)?;
    if salt.is_empty() {
        return Err(Fault::NoSalt);
    }
    let rounds = value(fields.next(), 'i').ok_or(Fault::Missing("iteration count", "third"))?;
    // RFC 5802 §7, posit-number: `parse` would also take a sign and zeros before it.
    let is_number = !rounds.starts_with('0') && rounds.bytes().all(|byte| byte.is_ascii_digit());
    let rounds = rounds.parse().ok().filter(|_| is_number);
    let rounds = rounds.ok_or(Fault::NoNumber)?;
    if !ROUNDS.contains(&rounds) {
        return Err(Fault::Rounds(rounds));
    }
    let offer = match extensions(fields, "rsi")? {
        // What is no hash is no hash of what we received.
        Some(hash) => Some(base64::decode(hash, Whitespace::Refuse).map_err(|_| Fault::Tampered)?),
        None => None,
    };
    Ok(First {
        text,
        nonce,
        salt,
        rounds,
        offer,
    })
}

/// `server-final-message`: the signature.
pub(super) fn last(message: &[u8]) -> Result<Bytes, NoProof> {
    let text = text(message).map_err(NoProof::Unreadable)?;
    if text.is_empty() {
        return Err(NoProof::Missing);
    }
    let mut fields = text.split(',');
    let first = fields.next();
    if let Some(error) = value(first, 'e') {
        return Err(NoProof::Error(server_error(error)));
    }
    let signature = value(first, 'v').ok_or(NoProof::Missing)?;
    let signature = base64::decode(signature, Whitespace::Refuse).map_err(|_| NoProof::Wrong)?;
    extensions(fields, "ve").map_err(NoProof::Unreadable)?;
    Ok(signature)
}

fn text(message: &[u8]) -> Result<&str, Fault> {
    if message.len() > MAX_MESSAGE {
        return Err(Fault::TooLong);
    }
    std::str::from_utf8(message).map_err(|_| Fault::NotUtf8)
}

/// The value of a field, if it is the attribute with this name.
fn value(field: Option<&str>, name: char) -> Option<&str> {
    field?.strip_prefix(name)?.strip_prefix('=')
}

/// Checks the fields behind the known ones, none of which may come again; gives that of XEP-0474, and skips the others.
fn extensions<'a>(
    fields: impl Iterator<Item = &'a str>,
    known: &str,
) -> Result<Option<&'a str>, Fault> {
    let mut names: BTreeSet<char> = known.chars().collect();
    let mut offer = None;
    for field in fields {
        let (name, value) = field.split_once('=').ok_or(Fault::NoField)?;
        let mut letters = name.chars();
        let (Some(name), None) = (letters.next(), letters.next()) else {
            return Err(Fault::NoField);
        };
        if !name.is_ascii_alphabetic() || value.is_empty() || value.contains('\0') {
            return Err(Fault::NoField);
        }
        if name == 'm' {
            return Err(Fault::Mandatory);
        }
        if !names.insert(name) {
            return Err(Fault::Twice(name));
        }
        if name == 'h' {
            offer = Some(value);
        }
    }
    Ok(offer)
}

/// RFC 5802 §7, `server-error-value`: words of small letters.
fn server_error(value: &str) -> String {
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if value.len() <= MAX_ERROR && value.bytes().all(is_known) {
        value.to_owned()
    } else {
        "unknown".to_owned()
    }
}

/// Why a server's first message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("more than {MAX_MESSAGE} bytes")]
    TooLong,
    #[error("not UTF-8")]
    NotUtf8,
    #[error("the {0} is not in {1} place")]
    Missing(&'static str, &'static str),
    #[error("the nonce does not continue ours")]
    Nonce,
    #[error("the nonce is not printable ASCII")]
    Unprintable,
    #[error("the salt is no base64: {0}")]
    Salt(base64::Error),
    #[error("the salt is empty")]
    NoSalt,
    #[error("the iteration count is no number")]
    NoNumber,
    #[error("{0} iterations instead of {least} to {most}", least = ROUNDS.start(), most = ROUNDS.end())]
    Rounds(u32),
    #[error("an extension that we would have to know")]
    Mandatory,
    #[error("the attribute {0} twice")]
    Twice(char),
    #[error("a field that is no attribute")]
    NoField,
    /// The one that is no mistake.
    #[error(
        "the server did not offer the ways to log in that we received; somebody is tampering with the connection (XEP-0474)"
    )]
    Tampered,
}

/// Why a server's last message proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoProof {
    #[error("there is no signature")]
    Missing,
    #[error("the signature is wrong")]
    Wrong,
    #[error("instead of a signature there is the error {0}")]
    Error(String),
    #[error("it is unreadable: {0}")]
    Unreadable(Fault),
}

/// PBKDF2 rounds that we do for a server: RFC 5802 §5.1 wants 4,096 at least, and a million take a second or so.
const ROUNDS: RangeInclusive<u32> = 4_096..=1_000_000;

/// More than any server's message, in bytes.
const MAX_MESSAGE: usize = 4_096;

/// More than any error's name in RFC 5802, in bytes.
const MAX_ERROR: usize = 64;
