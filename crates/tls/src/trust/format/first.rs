//! Version 1, which earlier programs wrote: one pin a line, then one attempt a line, and a hash in the last line.
//!
//! ```text
//! xtls-trust 1
//! bob@example.net e3b0…b855 verified-words 1228694400 1767225600 1767225600
//! @try eve@example.net 1767225600 failed 51966
//! @end 2 9f86…0a08
//! ```

use std::{collections::BTreeMap, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{MAGIC, Record, StoreError, StoreRule, TRY, apply, hex, line};
use crate::trust::Store;

pub(super) fn is_first(head: &str) -> bool {
    head.strip_prefix(MAGIC) == Some(" 1")
}

pub(super) fn parse(text: &str) -> Result<Store, StoreError> {
    let mut records: BTreeMap<Arc<str>, Record> = BTreeMap::new();
    let mut last: Option<(bool, Arc<str>)> = None;
    let mut keys = BTreeMap::new();
    let mut offset = 0;
    for (index, whole) in text.split_inclusive('\n').enumerate() {
        let fail = |rule| StoreError {
            line: index + 1,
            rule,
        };
        let line = whole
            .strip_suffix('\n')
            .ok_or_else(|| fail(StoreRule::CutOff))?;
        if line.starts_with("@end ") {
            let (before, end) = text
                .split_at_checked(offset)
                .ok_or_else(|| fail(StoreRule::CutOff))?;
            let expected = end_line(before, index.saturating_sub(1));
            let after = end.strip_prefix(&expected);
            let after = after.ok_or_else(|| fail(StoreRule::Hash))?;
            if !after.is_empty() {
                return Err(StoreError {
                    line: index + 2,
                    rule: StoreRule::AfterEnd,
                });
            }
            let mut store = Store::new();
            apply(&mut store, records)?;
            return Ok(store);
        }
        if index > 0 {
            let tried = line.strip_prefix(TRY);
            // The rest of the line is that of a record.
            let (jid, rest) = tried
                .unwrap_or(line)
                .split_once(' ')
                .ok_or_else(|| fail(StoreRule::Fields))?;
            line::normalised(jid).map_err(fail)?;
            let place = (tried.is_some(), Arc::from(jid));
            if last.as_ref().is_some_and(|last| *last > place) {
                return Err(fail(StoreRule::Order));
            }
            let record = records.entry(Arc::clone(&place.1)).or_default();
            if tried.is_some() {
                let attempt = line::read_attempt(rest).map_err(fail)?;
                record.attempt(attempt).map_err(fail)?;
            } else {
                let pin = line::read_pin(rest).map_err(fail)?;
                if keys.insert(pin.fingerprint, index).is_some() {
                    return Err(fail(StoreRule::Duplicate));
                }
                record.pin(pin);
            }
            last = Some(place);
        }
        offset += whole.len();
    }
    Err(StoreError {
        line: text.lines().count() + 1,
        rule: StoreRule::CutOff,
    })
}

pub(super) fn end_line(before: &str, count: usize) -> String {
    format!("@end {count} {}\n", hex(&Sha256::digest(before)))
}
