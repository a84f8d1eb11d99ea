//! The receiving half of a stream: order, limits, and answers withheld until the bytes are read.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;

use bytes::Bytes;
use foldhash::quality::FixedState;
use xtls_stanza::ibb::Seq;

use crate::event::Violation;
use crate::stats::Stats;

/// Chunks whose repetition is recognised: twice what a full default window holds.
const RECENT: usize = 512;
/// Empty chunks in a row that are bearable (docs/PROTOCOL.md).
const MAX_EMPTY: u8 = 16;
/// Places that each queue of an idle stream keeps: a reader that reads at once needs no more.
pub(crate) const KEPT: usize = 4;
/// What holding one chunk costs besides its bytes and its request id.
const CHUNK_COST: usize = 128;

#[cfg_attr(test, derive(Clone))]
pub(crate) struct Receiver {
    expected: Seq,
    block: usize,
    cap: usize,
    /// Bytes that `read` will give.
    unread: usize,
    /// What the held chunks cost, against the cap.
    held: usize,
    chunks: VecDeque<Chunk>,
    /// Hashes of the last chunks; the last one is `expected - 1`.
    recent: VecDeque<u32>,
    empty_in_row: u8,
    stats: Counters,
}

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
struct Counters {
    bytes: u64,
    chunks: u64,
    duplicates: u64,
}

#[cfg_attr(test, derive(Clone))]
struct Chunk {
    bytes: Bytes,
    cost: usize,
    /// Requests to answer when the bytes have been taken: the chunk's own, and its repetitions'.
    request: Option<String>,
    repeated: Vec<String>,
}

/// What became of a chunk that is no violation.
#[derive(Debug, PartialEq)]
pub(crate) enum Taken {
    /// The request was taken as well: its answer comes with the reading of the bytes.
    Kept,
    /// Nothing to read: answer the request now, if it is one.
    Answer,
}

impl Receiver {
    pub(crate) fn new(block: usize, cap: usize) -> Self {
        Self {
            expected: Seq(0),
            block,
            cap,
            unread: 0,
            held: 0,
            chunks: VecDeque::new(),
            recent: VecDeque::new(),
            empty_in_row: 0,
            stats: Counters::default(),
        }
    }

    /// Takes a chunk; `request` is the id to answer, `None` in a message. It is taken out where it is kept.
    pub(crate) fn take(
        &mut self,
        seq: Seq,
        bytes: Bytes,
        request: &mut Option<String>,
    ) -> Result<Taken, Violation> {
        if bytes.len() > self.block {
            return Err(Violation::TooLarge {
                len: bytes.len(),
                block: self.block,
            });
        }
        let digest = digest(&bytes);
        if seq != self.expected {
            return self.repeat(seq, digest, request);
        }
        let cost = bytes.len() + CHUNK_COST + request.as_ref().map_or(0, String::len);
        if self.held + cost > self.cap {
            return Err(Violation::Overflow { cap: self.cap });
        }
        if !bytes.is_empty() {
            self.empty_in_row = 0;
        } else if self.empty_in_row == MAX_EMPTY {
            return Err(Violation::Empty);
        } else {
            self.empty_in_row += 1;
        }

        self.expected = seq.next();
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(digest);
        self.stats.chunks += 1;
        self.stats.bytes += bytes.len() as u64;
        if bytes.is_empty() && self.chunks.is_empty() {
            return Ok(Taken::Answer);
        }
        self.unread += bytes.len();
        self.held += cost;
        self.chunks.push_back(Chunk {
            bytes,
            cost,
            request: request.take(),
            repeated: Vec::new(),
        });
        Ok(Taken::Kept)
    }

    /// A number that is not due: harmless only as the exact repetition of a recent chunk.
    fn repeat(
        &mut self,
        seq: Seq,
        digest: u32,
        request: &mut Option<String>,
    ) -> Result<Taken, Violation> {
        let behind = self.expected.0.wrapping_sub(seq.0);
        if behind > u16::MAX / 2 {
            return Err(Violation::Gap {
                expected: self.expected,
                found: seq,
            });
        }
        let behind = usize::from(behind);
        let known = self
            .recent
            .len()
            .checked_sub(behind)
            .and_then(|at| self.recent.get(at));
        if known != Some(&digest) {
            return Err(Violation::Reused { seq });
        }
        self.stats.duplicates += 1;
        let unread = self.chunks.len().checked_sub(behind);
        let Some(chunk) = unread.and_then(|at| self.chunks.get_mut(at)) else {
            return Ok(Taken::Answer);
        };
        let Some(len) = request.as_ref().map(String::len) else {
            return Ok(Taken::Answer);
        };
        let cost = CHUNK_COST + len;
        if self.held + cost > self.cap {
            return Err(Violation::Overflow { cap: self.cap });
        }
        self.held += cost;
        chunk.cost += cost;
        chunk.repeated.extend(request.take());
        Ok(Taken::Kept)
    }

    pub(crate) fn unread(&self) -> usize {
        self.unread
    }

    /// Takes at most `max` bytes; `answered` is called with the requests whose chunks have been taken whole.
    pub(crate) fn read(&mut self, max: usize, mut answered: impl FnMut(String)) -> Option<Bytes> {
        let front = self.chunks.front_mut()?;
        let len = front.bytes.len().min(max);
        if len == 0 {
            return None;
        }
        let bytes = front.bytes.split_to(len);
        self.unread -= len;
        while self
            .chunks
            .front()
            .is_some_and(|chunk| chunk.bytes.is_empty())
        {
            let Some(chunk) = self.chunks.pop_front() else {
                break;
            };
            self.held -= chunk.cost;
            chunk.request.into_iter().for_each(&mut answered);
            chunk.repeated.into_iter().for_each(&mut answered);
        }
        if self.chunks.is_empty() {
            self.chunks.shrink_to(KEPT);
        }
        Some(bytes)
    }

    /// All withheld requests, for a stream that has ended.
    pub(crate) fn withheld(&mut self) -> impl Iterator<Item = String> {
        self.chunks.iter_mut().flat_map(|chunk| {
            let repeated = std::mem::take(&mut chunk.repeated);
            chunk.request.take().into_iter().chain(repeated)
        })
    }

    /// Drops what was not read and returns how many bytes that was.
    pub(crate) fn discard(&mut self) -> usize {
        self.chunks.clear();
        self.held = 0;
        std::mem::take(&mut self.unread)
    }

    #[cfg(test)]
    pub(crate) fn dump(&self, dump: &mut crate::tests::Dump) {
        dump.word((self.expected, self.unread, self.held, self.empty_in_row));
        for chunk in &self.chunks {
            dump.word(&chunk.bytes);
            let requests = chunk.request.iter().chain(&chunk.repeated);
            requests.for_each(|id| dump.name(id));
        }
    }

    pub(crate) fn add_to(&self, stats: &mut Stats) {
        stats.bytes_received = self.stats.bytes;
        stats.chunks_received = self.stats.chunks;
        stats.duplicates = self.stats.duplicates;
        stats.unread = self.unread;
    }
}

/// Tells a repetition from other bytes under the same number, in four bytes, because an idle stream keeps hundreds of them.
/// Not a defence: a peer that makes a collision gains an acknowledgement of bytes that are never delivered.
fn digest(bytes: &Bytes) -> u32 {
    let hash = FixedState::default().hash_one(bytes);
    #[expect(clippy::cast_possible_truncation, reason = "folded")]
    let folded = (hash ^ hash >> 32) as u32;
    folded
}
