//! The store as text that grows: a head, then records, each of which holds all that is known of one JID:
//!
//! ```text
//! xtls-trust 2 00000000000000000331 9f86…0a08
//! @peer bob@example.net
//! e3b0…b855 verified-words 1228694400 1767225600 1767225600
//! @try 1767225600 failed 51966
//! @peer eve@example.net
//! @doubt 2c26…e7ae code 1767225600
//! @peer bob@example.net
//! ```
//!
//! A pin has a key (64 hexadecimal digits), its level, and in unix seconds first seen, at this level since, last seen or `-`.
//! A mark has a key, what it was compared by, and when. An attempt to verify has its time, its outcome, and the tag of its
//! code or `-`. A later record of a JID takes the place of the earlier one; one without a line forgets it.
//!
//! The head has the number of bytes of records that count, and their SHA-256. To add records, write them behind the others
//! first, and the head over the old one when they are on the disk. So what was cut off, damaged or edited by hand is noticed,
//! and what a writer that was stopped has left behind those bytes counts for nothing. It guards against accidents, not against
//! somebody who can write the file.

mod first;
mod line;

use std::{collections::BTreeMap, fmt, fmt::Write as _, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{Doubt, Pin, Store, attempts::Attempt};

const MAGIC: &str = "xtls-trust";
const VERSION: &str = "2";
const PEER: &str = "@peer ";
const TRY: &str = "@try ";
const DOUBT: &str = "@doubt ";

/// Digits of the number of bytes in the head.
const DIGITS: usize = 20;

/// Why a text is not a trust store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the trust store: {rule}")]
pub struct StoreError {
    /// The line, from 1; of what was read on, counted from there.
    pub line: usize,
    /// The rule that it breaks.
    pub rule: StoreRule,
}

/// A rule of the text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreRule {
    /// The first line is `xtls-trust`, a version, and from version 2 on a length and a hash.
    #[error("it must begin with \"xtls-trust\", a version, a length and a hash")]
    Header,
    /// The version is 1 or 2.
    #[error("this version of the format is not known")]
    Version,
    /// A pin has five fields with one space between, an attempt and a mark three (in version 1 a pin six, an attempt four).
    #[error("a line has another number of fields, or more than one space between them")]
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
    /// A mark by `words`, `code` or `fingerprint`.
    #[error("what a key was compared by is not known")]
    Doubt,
    /// Pins before marks before attempts; attempts in order of time; in version 1 JIDs in order of their octets.
    #[error("the lines are not in order")]
    Order,
    /// A key is pinned once only, and marked once only for a JID.
    #[error("the key stands in an earlier line already")]
    Duplicate,
    /// There are as many bytes as the head states (in version 1: the last line is `@end`, with a number of lines and a hash).
    #[error("the end is missing: the text is cut off")]
    CutOff,
    /// The hash fits.
    #[error("the text does not fit its hash: it was damaged, or changed by hand")]
    Hash,
    /// Nothing follows the end.
    #[error("there is text after the end")]
    AfterEnd,
}

/// Where a text ends and what it hashes to: what is needed to read on, or to add to it. `Debug` shows the length.
#[derive(Clone, Default)]
pub struct Ledger {
    length: u64,
    /// Bytes of records when all of them were written anew.
    least: u64,
    hash: Sha256,
}

/// All that is known of one JID.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pins: Vec<Pin>,
    doubts: Vec<Doubt>,
    attempts: Vec<Attempt>,
}

impl Ledger {
    /// The length of the head in bytes, its line end included.
    pub const HEAD: usize = MAGIC.len() + 1 + VERSION.len() + 1 + DIGITS + 1 + 64 + 1;

    /// The text of a whole store, without its head, and its ledger.
    #[must_use]
    pub fn of(store: &Store) -> (Self, String) {
        let mut ledger = Self::default();
        let text = ledger.add(store, store.jids());
        ledger.least = ledger.length;
        (ledger, text)
    }

    /// The text that adds what a store says of these JIDs now, to be written behind what there is; the ledger counts it from
    /// here on, as the head does once it is written.
    pub fn add<'a>(
        &mut self,
        store: &Store,
        jids: impl IntoIterator<Item = &'a Arc<str>>,
    ) -> String {
        let mut text = String::new();
        for jid in jids {
            record(&mut text, jid, store);
        }
        self.count(&text);
        text
    }

    fn count(&mut self, text: &str) {
        self.hash.update(text);
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(length);
    }

    /// The head.
    #[must_use]
    pub fn head(&self) -> String {
        let hash = hex(&self.hash.clone().finalize());
        format!("{MAGIC} {VERSION} {:0DIGITS$} {hash}\n", self.length)
    }

    /// How many bytes of records count by this head; `None` if it is none.
    #[must_use]
    pub fn promised(head: &str) -> Option<u64> {
        let promise = promise(head.trim_end_matches('\n')).ok()?;
        Some(promise.length)
    }

    /// How many bytes of records count.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether so much was replaced by later records that the text should be written anew.
    #[must_use]
    pub fn is_worn(&self) -> bool {
        self.length > self.least.saturating_mul(2).saturating_add(WEAR)
    }

    /// Reads a text with its head. What stands behind the bytes that count is not looked at.
    ///
    /// # Errors
    /// See [`StoreError`]. A text of version 1 has no ledger: it has to be written anew.
    pub fn read(text: &str) -> Result<(Store, Option<Self>), StoreError> {
        let head = text.lines().next().unwrap_or_default();
        if first::is_first(head) {
            return Ok((first::parse(text)?, None));
        }
        let fail = |rule| StoreError { line: 1, rule };
        let promise = promise(head).map_err(fail)?;
        let whole = text
            .get(..Self::HEAD)
            .is_some_and(|head| head.ends_with('\n'));
        let records = text.get(Self::HEAD..).filter(|_| whole);
        let records = records.ok_or_else(|| fail(StoreRule::Header))?;
        let mut ledger = Self::default();
        let mut store = Store::new();
        ledger.follow(&promise, records, &mut store, 1)?;
        ledger.least = Self::of(&store).0.length;
        Ok((store, Some(ledger)))
    }

    /// Reads on: `head` is that of the text now, and `rest` what follows the bytes that this ledger has counted. The store is
    /// the one that was read so far, or the one with the rest in it afterwards.
    ///
    /// # Errors
    /// See [`StoreError`]: the text is another one than this ledger's, or damaged. Nothing is changed then.
    pub fn read_on(&mut self, head: &str, rest: &str, store: &mut Store) -> Result<(), StoreError> {
        let fail = |rule| StoreError { line: 1, rule };
        let promise = promise(head.trim_end_matches('\n')).map_err(fail)?;
        let (mut ledger, mut longer) = (self.clone(), store.clone());
        ledger.follow(&promise, rest, &mut longer, 0)?;
        (*self, *store) = (ledger, longer);
        Ok(())
    }

    fn follow(
        &mut self,
        promise: &Promise,
        rest: &str,
        store: &mut Store,
        line: usize,
    ) -> Result<(), StoreError> {
        let fail = |rule| StoreError {
            line: line + rest.lines().count() + 1,
            rule,
        };
        let more = promise.length.checked_sub(self.length);
        let more = more.and_then(|more| usize::try_from(more).ok());
        let text = more.and_then(|more| rest.get(..more));
        let text = text.ok_or_else(|| fail(StoreRule::CutOff))?;
        let mut ledger = self.clone();
        ledger.count(text);
        if hex(&ledger.hash.clone().finalize()) != promise.hash {
            return Err(fail(StoreRule::Hash));
        }
        apply(store, records(text, line)?)?;
        *self = ledger;
        Ok(())
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// What a head contains.
struct Promise {
    length: u64,
    hash: String,
}

fn promise(head: &str) -> Result<Promise, StoreRule> {
    let mut fields = head.split(' ');
    if fields.next() != Some(MAGIC) {
        return Err(StoreRule::Header);
    }
    if fields.next() != Some(VERSION) {
        return Err(if head == MAGIC {
            StoreRule::Header
        } else {
            StoreRule::Version
        });
    }
    let (Some(length), Some(hash), None) = (fields.next(), fields.next(), fields.next()) else {
        return Err(StoreRule::Header);
    };
    let digits = length.len() == DIGITS && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|_| digits);
    Ok(Promise {
        length: length.ok_or(StoreRule::Header)?,
        hash: hash.to_owned(),
    })
}

pub(super) fn write(store: &Store) -> String {
    let (ledger, text) = Ledger::of(store);
    ledger.head() + &text
}

pub(super) fn parse(text: &str) -> Result<Store, StoreError> {
    let fail = |rule| StoreError {
        line: text.lines().count() + 1,
        rule,
    };
    let (store, ledger) = Ledger::read(text)?;
    let counted = ledger.map(|ledger| ledger.length);
    let there = text.len().saturating_sub(Ledger::HEAD);
    if counted.is_some_and(|counted| usize::try_from(counted) != Ok(there)) {
        return Err(fail(StoreRule::AfterEnd));
    }
    Ok(store)
}

fn record(text: &mut String, jid: &str, store: &Store) {
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{PEER}{jid}");
    let (pins, doubts, attempts) = store.known(jid);
    for pin in pins {
        line::pin(text, pin);
    }
    for doubt in doubts {
        line::doubt(text, doubt);
    }
    for attempt in attempts {
        line::attempt(text, attempt);
    }
}

/// The last record of each JID.
fn records(text: &str, before: usize) -> Result<BTreeMap<Arc<str>, Record>, StoreError> {
    let mut records: BTreeMap<Arc<str>, Record> = BTreeMap::new();
    let mut current: Option<(Arc<str>, Record)> = None;
    for (index, whole) in text.split_inclusive('\n').enumerate() {
        let fail = |rule| StoreError {
            line: before + index + 1,
            rule,
        };
        let line = whole
            .strip_suffix('\n')
            .ok_or_else(|| fail(StoreRule::CutOff))?;
        if let Some(jid) = line.strip_prefix(PEER) {
            line::normalised(jid).map_err(fail)?;
            records.extend(current.replace((jid.into(), Record::default())));
            continue;
        }
        let Some((_, record)) = &mut current else {
            return Err(fail(StoreRule::Jid));
        };
        record.take(line).map_err(fail)?;
    }
    records.extend(current);
    Ok(records)
}

impl Record {
    fn take(&mut self, line: &str) -> Result<(), StoreRule> {
        if let Some(line) = line.strip_prefix(TRY) {
            self.attempt(line::read_attempt(line)?)?;
        } else if let Some(line) = line.strip_prefix(DOUBT) {
            let doubt = line::read_doubt(line)?;
            if !self.attempts.is_empty() {
                return Err(StoreRule::Order);
            }
            let same = |other: &Doubt| other.fingerprint == doubt.fingerprint;
            if self.doubts.iter().any(same) {
                return Err(StoreRule::Duplicate);
            }
            self.doubts.push(doubt);
        } else {
            let pin = line::read_pin(line)?;
            if !self.attempts.is_empty() || !self.doubts.is_empty() {
                return Err(StoreRule::Order);
            }
            self.pin(pin);
        }
        Ok(())
    }

    fn pin(&mut self, pin: Pin) {
        self.pins.push(pin);
    }

    fn attempt(&mut self, attempt: Attempt) -> Result<(), StoreRule> {
        let last = self.attempts.last();
        if last.is_some_and(|last| last.at > attempt.at) {
            return Err(StoreRule::Order);
        }
        self.attempts.push(attempt);
        Ok(())
    }

    /// What it says, in the order of its lines.
    pub(super) fn into_parts(self) -> (Vec<Pin>, Vec<Doubt>, Vec<Attempt>) {
        (self.pins, self.doubts, self.attempts)
    }
}

/// Takes records into a store, each in place of what was known of its JID.
fn apply(store: &mut Store, records: BTreeMap<Arc<str>, Record>) -> Result<(), StoreError> {
    store.apply(records).ok_or(StoreError {
        line: 1,
        rule: StoreRule::Duplicate,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of records that may have been replaced before a text is worn, however small its store is.
const WEAR: u64 = 4_096;

#[cfg(test)]
mod tests;
