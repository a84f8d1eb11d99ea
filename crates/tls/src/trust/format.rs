//! The store as text, one pin a line, then one attempt to verify a line:
//!
//! ```text
//! xtls-trust 1
//! bob@example.net e3b0…b855 verified-words 1228694400 1767225600 1767225600
//! @try eve@example.net 1767225600 failed 51966
//! @end 2 9f86…0a08
//! ```
//!
//! JID, key (64 hexadecimal digits), level, first seen, at this level since, last seen (unix seconds). JID, time, outcome, tag
//! of the code or `-`. Both kinds are sorted by JID; the last line counts those before it and holds the SHA-256 of all bytes
//! before it, so a store that was cut, damaged or edited by hand is noticed. It guards against accidents, not against somebody
//! who can write the file.

use std::{collections::BTreeMap, fmt::Write as _};

use sha2::{Digest, Sha256};

use super::{Level, Method, Pin, Store, attempts::Attempt};
use crate::{fingerprint::Fingerprint, jid};

const MAGIC: &str = "xtls-trust";
const VERSION: &str = "1";
const TRY: &str = "@try ";
const FAILED: &str = "failed";
const DONE: &str = "done";
const NO_TAG: &str = "-";

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
    /// Six fields with one space between; five for an attempt.
    #[error("a pin has six fields with one space between them, an attempt five")]
    Fields,
    /// A normalised bare JID.
    #[error("a bare JID in lower case is missing")]
    Jid,
    /// 64 lower-case hexadecimal digits.
    #[error("the key must be 64 hexadecimal digits in lower case")]
    Key,
    /// `first-use`, `verified-fingerprint`, `verified-words`, `verified-code` or `revoked`.
    #[error("the level is not known")]
    Level,
    /// Decimal unix seconds, none before the first.
    #[error("the dates must be unix seconds, none before the first")]
    Dates,
    /// An attempt that `failed` or is `done`, with the decimal tag of its code or `-`.
    #[error("the outcome of an attempt is not known")]
    Attempt,
    /// Pins before attempts; JIDs in order of their octets; attempts in order of time.
    #[error("the lines are not in order")]
    Order,
    /// A key stands in one line only.
    #[error("the key stands in an earlier line already")]
    Duplicate,
    /// The last line is `@end`, the number of lines but the first and the SHA-256 of the bytes before it.
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
                "{jid} {} {level} {} {} {}",
                pin.fingerprint.hex(),
                pin.first_seen,
                pin.since,
                pin.last_seen
            );
        }
    }
    for (jid, attempts) in &store.attempts {
        for attempt in attempts {
            count += 1;
            let outcome = if attempt.failed { FAILED } else { DONE };
            let tag = attempt
                .tag
                .map_or_else(|| NO_TAG.to_owned(), |tag| tag.to_string());
            let _ = writeln!(text, "{TRY}{jid} {} {outcome} {tag}", attempt.at);
        }
    }
    let end = end_line(&text, count);
    text + &end
}

pub(super) fn parse(text: &str) -> Result<Store, StoreError> {
    let mut pins: BTreeMap<String, Vec<Pin>> = BTreeMap::new();
    let mut attempts: BTreeMap<String, Vec<Attempt>> = BTreeMap::new();
    let mut keys: BTreeMap<Fingerprint, usize> = BTreeMap::new();
    let mut count = 0;
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
            let expected = end_line(before, count);
            let after = end
                .strip_prefix(&expected)
                .ok_or_else(|| fail(StoreRule::Hash))?;
            let extra = StoreError {
                line: index + 2,
                rule: StoreRule::AfterEnd,
            };
            return if after.is_empty() {
                Ok(Store { pins, attempts })
            } else {
                Err(extra)
            };
        } else if let Some(line) = line.strip_prefix(TRY) {
            let (jid, attempt) = attempt(line).map_err(fail)?;
            if let Some((last, earlier)) = attempts.last_key_value() {
                let late = earlier.last().is_some_and(|last| last.at > attempt.at);
                if *last > jid || (*last == jid && late) {
                    return Err(fail(StoreRule::Order));
                }
            }
            count += 1;
            attempts.entry(jid).or_default().push(attempt);
        } else {
            let (jid, pin) = pin(line).map_err(fail)?;
            if !attempts.is_empty() {
                return Err(fail(StoreRule::Order));
            }
            count += 1;
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
    let [jid, key, level, first, since, last] = fields.as_slice() else {
        return Err(StoreRule::Fields);
    };
    normalised(jid)?;
    let fingerprint = Fingerprint::parse(key)
        .ok()
        .filter(|parsed| parsed.hex() == **key)
        .ok_or(StoreRule::Key)?;
    let level = level_named(level).ok_or(StoreRule::Level)?;
    let dates = [first, since, last].map(|date| seconds(date));
    let [Some(first_seen), Some(since), Some(last_seen)] = dates else {
        return Err(StoreRule::Dates);
    };
    if since.min(last_seen) < first_seen {
        return Err(StoreRule::Dates);
    }
    Ok((
        (*jid).to_owned(),
        Pin {
            fingerprint,
            level,
            first_seen,
            since,
            last_seen,
        },
    ))
}

fn attempt(line: &str) -> Result<(String, Attempt), StoreRule> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [jid, at, outcome, tag] = fields.as_slice() else {
        return Err(StoreRule::Fields);
    };
    normalised(jid)?;
    let at = seconds(at).ok_or(StoreRule::Dates)?;
    let failed = match *outcome {
        FAILED => true,
        DONE => false,
        _ => return Err(StoreRule::Attempt),
    };
    let tag = match *tag {
        NO_TAG => None,
        tag => Some(
            tag.parse()
                .ok()
                .filter(|read: &u16| read.to_string() == tag)
                .ok_or(StoreRule::Attempt)?,
        ),
    };
    Ok(((*jid).to_owned(), Attempt { at, failed, tag }))
}

fn normalised(jid: &str) -> Result<(), StoreRule> {
    match jid::bare(jid) {
        Ok(bare) if bare == jid => Ok(()),
        Ok(_) | Err(_) => Err(StoreRule::Jid),
    }
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
