//! The lines of a record.

use std::fmt::Write as _;

use super::{DOUBT, StoreRule, TRY};
use crate::{
    fingerprint::Fingerprint,
    jid,
    trust::{Doubt, Level, Method, Pin, attempts::Attempt},
};

const FAILED: &str = "failed";
const DONE: &str = "done";
const NONE: &str = "-";

pub(super) fn pin(text: &mut String, pin: &Pin) {
    let last = pin
        .last_seen
        .map_or_else(|| NONE.to_owned(), |last| last.to_string());
    let _ = writeln!(
        text,
        "{} {} {} {} {last}",
        pin.fingerprint.hex(),
        level_name(pin.level),
        pin.first_seen,
        pin.since
    );
}

pub(super) fn doubt(text: &mut String, doubt: &Doubt) {
    let (key, by) = (doubt.fingerprint.hex(), method_name(doubt.by));
    let _ = writeln!(text, "{DOUBT}{key} {by} {}", doubt.since);
}

pub(super) fn attempt(text: &mut String, attempt: &Attempt) {
    let outcome = if attempt.failed { FAILED } else { DONE };
    let tag = attempt
        .tag
        .map_or_else(|| NONE.to_owned(), |tag| tag.to_string());
    let _ = writeln!(text, "{TRY}{} {outcome} {tag}", attempt.at);
}

pub(super) fn read_pin(line: &str) -> Result<Pin, StoreRule> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [key, level, first, since, last] = fields.as_slice() else {
        return Err(StoreRule::Fields);
    };
    let last_seen = match *last {
        NONE => None,
        last => Some(seconds(last).ok_or(StoreRule::Dates)?),
    };
    let level = level_named(level).ok_or(StoreRule::Level);
    let (Some(first_seen), Some(since)) = (seconds(first), seconds(since)) else {
        return Err(StoreRule::Dates);
    };
    if since < first_seen || last_seen.is_some_and(|last| last < first_seen) {
        return Err(StoreRule::Dates);
    }
    Ok(Pin {
        fingerprint: fingerprint(key)?,
        level: level?,
        first_seen,
        since,
        last_seen,
    })
}

pub(super) fn read_doubt(line: &str) -> Result<Doubt, StoreRule> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [key, by, since] = fields.as_slice() else {
        return Err(StoreRule::Fields);
    };
    let methods = [Method::Fingerprint, Method::Words, Method::Code];
    let by = methods
        .into_iter()
        .find(|method| method_name(*method) == *by);
    Ok(Doubt {
        fingerprint: fingerprint(key)?,
        by: by.ok_or(StoreRule::Doubt)?,
        since: seconds(since).ok_or(StoreRule::Dates)?,
    })
}

pub(super) fn read_attempt(line: &str) -> Result<Attempt, StoreRule> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [at, outcome, tag] = fields.as_slice() else {
        return Err(StoreRule::Fields);
    };
    let at = seconds(at).ok_or(StoreRule::Dates)?;
    let failed = match *outcome {
        FAILED => true,
        DONE => false,
        _ => return Err(StoreRule::Attempt),
    };
    let tag = match *tag {
        NONE => None,
        tag => Some(
            tag.parse()
                .ok()
                .filter(|read: &u16| read.to_string() == tag)
                .ok_or(StoreRule::Attempt)?,
        ),
    };
    Ok(Attempt { at, failed, tag })
}

pub(super) fn normalised(jid: &str) -> Result<(), StoreRule> {
    match jid::bare(jid) {
        Ok(bare) if bare == jid => Ok(()),
        Ok(_) | Err(_) => Err(StoreRule::Jid),
    }
}

fn fingerprint(key: &str) -> Result<Fingerprint, StoreRule> {
    let parsed = Fingerprint::parse(key).ok();
    parsed
        .filter(|parsed| parsed.hex() == key)
        .ok_or(StoreRule::Key)
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

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Fingerprint => "fingerprint",
        Method::Words => "words",
        Method::Code => "code",
    }
}
