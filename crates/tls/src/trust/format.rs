//! The store as text, one pin a line:
//!
//! ```text
//! xtls-trust 1
//! bob@example.net e3b0…b855 verified-words 1228694400 1767225600
//! @end 1 9f86…0a08
//! ```
//!
//! JID, key (64 hexadecimal digits), level, first seen, last seen (unix seconds). Lines are sorted by JID; the last one counts
//! the pins and holds the SHA-256 of all bytes before it, so a store that was cut, damaged or edited by hand is noticed. It
//! guards against accidents, not against somebody who can write the file.

use std::{collections::BTreeMap, fmt::Write as _};

use sha2::{Digest, Sha256};

use super::{Level, Method, Pin, Store};
use crate::{fingerprint::Fingerprint, jid};

const MAGIC: &str = "xtls-trust";
const VERSION: &str = "1";

/// Why a text is not a trust store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the trust store: {rule}")]
pub struct StoreError {
    /// The line, from 1.
    pub line: usize,
    /// The rule that it breaks.
    pub rule: StoreRule,
}

/// A rule of the text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreRule {
    /// The first line is `xtls-trust` and a version.
    #[error("it must begin with \"xtls-trust\" and a version")]
    Header,
    /// The version is 1.
    #[error("this version of the format is not known")]
    Version,
    /// Five fields with one space between.
    #[error("a pin has five fields with one space between them")]
    Fields,
    /// A normalised bare JID.
    #[error("the first field must be a bare JID in lower case")]
    Jid,
    /// 64 lower-case hexadecimal digits.
    #[error("the key must be 64 hexadecimal digits in lower case")]
    Key,
    /// `first-use`, `verified-fingerprint`, `verified-words`, `verified-code` or `revoked`.
    #[error("the level is not known")]
    Level,
    /// Decimal unix seconds, last seen not before first seen.
    #[error("the dates must be unix seconds, the second not before the first")]
    Dates,
    /// JIDs in order of their octets.
    #[error("the JIDs are not in order")]
    Order,
    /// A key stands in one line only.
    #[error("the key stands in an earlier line already")]
    Duplicate,
    /// The last line is `@end`, the number of pins and the SHA-256 of the bytes before it.
    #[error("the end is missing: the text is cut off")]
    CutOff,
    /// Count and hash fit.
    #[error("the text does not fit the hash in its last line: it was damaged, or changed by hand")]
    Hash,
    /// Nothing follows the end.
    #[error("there is text after the end")]
    AfterEnd,
}

pub(super) fn write(store: &Store) -> String {
    let mut text = format!("{MAGIC} {VERSION}\n");
    let mut count = 0_usize;
    for (jid, pins) in store.list() {
        for pin in pins {
            count += 1;
            let level = level_name(pin.level);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{jid} {} {level} {} {}",
                pin.fingerprint.hex(),
                pin.first_seen,
                pin.last_seen
            );
        }
    }
    let end = end_line(&text, count);
    text + &end
}

pub(super) fn parse(text: &str) -> Result<Store, StoreError> {
    let mut pins: BTreeMap<String, Vec<Pin>> = BTreeMap::new();
    let mut keys: BTreeMap<Fingerprint, usize> = BTreeMap::new();
    let mut offset = 0;
    for (index, whole) in text.split_inclusive('\n').enumerate() {
        let fail = |rule| StoreError {
            line: index + 1,
            rule,
        };
        let line = whole
            .strip_suffix('\n')
            .ok_or_else(|| fail(StoreRule::CutOff))?;
        if index == 0 {
            header(line).map_err(fail)?;
        } else if line.starts_with("@end ") {
            let (before, end) = text
                .split_at_checked(offset)
                .ok_or_else(|| fail(StoreRule::CutOff))?;
            let expected = end_line(before, keys.len());
            let after = end
                .strip_prefix(&expected)
                .ok_or_else(|| fail(StoreRule::Hash))?;
            let extra = StoreError {
                line: index + 2,
                rule: StoreRule::AfterEnd,
            };
            return if after.is_empty() {
                Ok(Store { pins })
            } else {
                Err(extra)
            };
        } else {
            let (jid, pin) = pin(line).map_err(fail)?;
            if pins.last_key_value().is_some_and(|(last, _)| *last > jid) {
                return Err(fail(StoreRule::Order));
            }
            if keys.insert(pin.fingerprint, index).is_some() {
                return Err(fail(StoreRule::Duplicate));
            }
            pins.entry(jid).or_default().push(pin);
        }
        offset += whole.len();
    }
    Err(StoreError {
        line: text.lines().count() + 1,
        rule: if text.is_empty() {
            StoreRule::Header
        } else {
            StoreRule::CutOff
        },
    })
}

fn end_line(before: &str, count: usize) -> String {
    let hash: String = Sha256::digest(before)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("@end {count} {hash}\n")
}

fn header(line: &str) -> Result<(), StoreRule> {
    match line.split_once(' ') {
        Some((MAGIC, VERSION)) => Ok(()),
        Some((MAGIC, _)) => Err(StoreRule::Version),
        Some(_) | None => Err(StoreRule::Header),
    }
}

fn pin(line: &str) -> Result<(String, Pin), StoreRule> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [jid, key, level, first, last] = fields.as_slice() else {
        return Err(StoreRule::Fields);
    };
    if jid::bare(jid).as_deref() != Ok(jid) {
        return Err(StoreRule::Jid);
    }
    let fingerprint = Fingerprint::parse(key)
        .ok()
        .filter(|parsed| parsed.hex() == **key)
        .ok_or(StoreRule::Key)?;
    let level = level_named(level).ok_or(StoreRule::Level)?;
    let (first_seen, last_seen) = seconds(first).zip(seconds(last)).ok_or(StoreRule::Dates)?;
    if last_seen < first_seen {
        return Err(StoreRule::Dates);
    }
    Ok((
        (*jid).to_owned(),
        Pin {
            fingerprint,
            level,
            first_seen,
            last_seen,
        },
    ))
}

/// Only the form that is written: no sign, no leading zero.
fn seconds(text: &str) -> Option<i64> {
    text.parse()
        .ok()
        .filter(|seconds: &i64| seconds.to_string() == text)
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::FirstUse => "first-use",
        Level::Verified(Method::Fingerprint) => "verified-fingerprint",
        Level::Verified(Method::Words) => "verified-words",
        Level::Verified(Method::Code) => "verified-code",
        Level::Revoked => "revoked",
    }
}

fn level_named(name: &str) -> Option<Level> {
    let levels = [
        Level::FirstUse,
        Level::Verified(Method::Fingerprint),
        Level::Verified(Method::Words),
        Level::Verified(Method::Code),
        Level::Revoked,
    ];
    levels.into_iter().find(|level| level_name(*level) == name)
}

#[cfg(test)]
mod tests;
