//! What is written, in batches, and where stanzas end in it.

use std::time::Instant;

use zeroize::Zeroize as _;

use super::NotSent;
use super::kept::Kept;
use crate::manage::Manage;

/// The writing side of a stream.
pub(super) struct Outbound {
    out: Vec<u8>,
    /// Where stanzas begin in `out`, and where each of them ends, counted from there.
    first: usize,
    ends: Vec<usize>,
    /// What is being given out, and how much of it was.
    batch: Vec<u8>,
    given: usize,
    kept: Kept,
}

impl Outbound {
    pub(super) fn new() -> Self {
        Self {
            // With room for all of a log-in, so that no octets of it stay behind where they once were.
            out: Vec::with_capacity(LOG_IN),
            first: 0,
            ends: Vec::new(),
            batch: Vec::with_capacity(LOG_IN),
            given: 0,
            kept: Kept::default(),
        }
    }

    /// What is written and not given out. No stanza may be added behind what is written here, until [`Self::open`].
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Overwrites what is written, and what was given out.
    pub(super) fn wipe(&mut self) {
        self.out.zeroize();
        self.batch.zeroize();
        self.given = 0;
    }

    /// Overwrites what is written.
    pub(super) fn forget(&mut self) {
        self.out.zeroize();
    }

    /// Stanzas follow what is written.
    pub(super) fn open(&mut self) {
        self.first = self.out.len();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.out.len() < ROOM
    }

    /// Adds a stanza, which `write` appends, if it has no more than `limit` bytes.
    pub(super) fn stanza(
        &mut self,
        limit: Option<usize>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), NotSent> {
        let start = self.out.len();
        write(&mut self.out);
        let len = self.out.len().saturating_sub(start);
        if let Some(limit) = limit.filter(|limit| len > *limit) {
            self.out.truncate(start);
            return Err(NotSent::TooLong { len, limit });
        }
        if len > 0 {
            self.ends.push(self.out.len().saturating_sub(self.first));
        }
        Ok(())
    }

    /// Adds what is no stanza, behind stanzas that are [kept](Self::keep).
    pub(super) fn write(&mut self, octets: &[u8]) {
        debug_assert!(self.ends.is_empty(), "they would not be counted");
        self.out.extend_from_slice(octets);
        self.first = self.out.len();
    }

    /// Hands what was written to the account of what is unacknowledged.
    pub(super) fn keep(&mut self, now: Instant, manage: &mut Manage) {
        // The end of the stream may follow them.
        if let Some(len) = self.ends.last() {
            let stanzas = self.out.get(self.first..).unwrap_or_default();
            let stanzas = stanzas.get(..*len).unwrap_or(stanzas);
            manage.on_sent(now, self.kept.keep(stanzas), &self.ends);
            self.ends.clear();
        }
        self.first = self.out.len();
    }

    /// Octets to be sent whole before any other: at most 128 KiB. While the stream is open, acknowledgements follow stanzas.
    pub(super) fn poll(&mut self, now: Instant, manage: &mut Manage, open: bool) -> Option<&[u8]> {
        if self.given == self.batch.len() {
            self.next_batch(now, manage, open);
        }
        let rest = self.batch.get(self.given..)?;
        let octets = rest.get(..BATCH).unwrap_or(rest);
        self.given += octets.len();
        (!octets.is_empty()).then_some(octets)
    }

    fn next_batch(&mut self, now: Instant, manage: &mut Manage, open: bool) {
        self.keep(now, manage);
        // Behind our end nothing may follow.
        if open {
            while self.out.len() < BATCH
                && let Some(octets) = manage.poll(now)
            {
                self.out.extend_from_slice(&octets);
            }
        }
        std::mem::swap(&mut self.out, &mut self.batch);
        self.out.clear();
        self.first = 0;
        self.given = 0;
    }

    /// Gives memory back that a burst has left.
    pub(super) fn shrink(&mut self, manage: &Manage) {
        if self.out.is_empty() && self.given == self.batch.len() {
            for buffer in [&mut self.out, &mut self.batch] {
                buffer.clear();
                buffer.shrink_to(IDLE);
            }
            self.given = 0;
        }
        if manage.longest_unacked() == 0 {
            self.kept.shrink();
        }
    }
}

/// Octets that wait to be sent, beyond which there is no room for a stanza.
pub(crate) const ROOM: usize = 65_536;

/// Octets that leave at once, beyond which nothing is added that can wait.
const BATCH: usize = 128 * 1024;

/// What a buffer may hold while little happens.
pub(super) const IDLE: usize = 4_096;

/// More than the octets of any log-in.
const LOG_IN: usize = 4_096;
