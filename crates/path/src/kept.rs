//! What was written and is not yet confirmed, and how far it has been sent.

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes, BytesMut};

/// What a piece costs besides its bytes.
const PIECE_COST: usize = 64;
/// Pieces shorter than this are copied together, larger ones are shared.
const SMALL: usize = 1_024;
/// What a block of copied pieces holds.
const BLOCK: usize = 4_096;

#[derive(Debug, Default)]
pub(crate) struct Kept {
    pieces: VecDeque<Bytes>,
    /// The end of what is kept, if it is one small piece: copied only if another one follows before it is sent.
    tail: Bytes,
    /// The end of what is kept, if it is several small pieces. Not both.
    small: BytesMut,
    /// The offset of the first byte that is kept.
    start: u64,
    /// What the peer has confirmed; may be ahead of `next` after a change of legs, never of `sent`.
    confirmed: u64,
    /// The next byte for the leg that carries, and where it is: a piece, and how far into it.
    next: u64,
    cursor: (usize, usize),
    /// Whether the leg that carries has been given data: they must follow each other there.
    flowing: bool,
    /// One more than the highest byte that was sent on any leg.
    sent: u64,
    /// One more than the last byte that was written.
    end: u64,
}

impl Kept {
    /// Everything below `start` is confirmed already.
    pub(crate) fn new(start: u64) -> Self {
        Self {
            start,
            confirmed: start,
            next: start,
            sent: start,
            end: start,
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.end += bytes.len() as u64;
        if bytes.len() >= SMALL {
            self.seal();
            self.pieces.push_back(bytes);
        } else if self.tail.is_empty() && self.small.is_empty() {
            self.tail = bytes;
        } else if !bytes.is_empty() {
            let first = std::mem::take(&mut self.tail);
            self.gather(&first);
            self.gather(&bytes);
        }
    }

    fn gather(&mut self, bytes: &[u8]) {
        if self.small.capacity() - self.small.len() < bytes.len() {
            self.seal();
            self.small = BytesMut::with_capacity(BLOCK);
        }
        self.small.extend_from_slice(bytes);
    }

    /// Makes the small pieces one that can be shared.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.tail));
        }
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
    }

    /// Bytes that are kept.
    pub(crate) const fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Bytes that were written and that the leg which carries has not been given.
    pub(crate) const fn unsent(&self) -> u64 {
        self.end - self.next
    }

    /// Bytes that the peer has not confirmed.
    pub(crate) const fn unconfirmed(&self) -> u64 {
        self.end - self.confirmed
    }

    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) const fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// What it costs in memory.
    pub(crate) fn weight(&self) -> u64 {
        self.len() + (self.pieces.len() * PIECE_COST) as u64
    }

    /// Another leg carries from now on: what is not confirmed goes over it again.
    pub(crate) fn rewind(&mut self) {
        self.flowing = false;
        self.next = self.start;
        self.cursor = (0, 0);
        self.skip_confirmed();
    }

    /// The peer has everything below `to`, which must not be above [`sent`](Self::sent).
    pub(crate) fn confirm(&mut self, to: u64) {
        debug_assert!(to <= self.sent, "{to} of {}", self.sent);
        self.confirmed = self.confirmed.max(to);
        if !self.flowing {
            self.skip_confirmed();
        }
        self.release();
    }

    /// What is confirmed before the leg has been given anything does not go over it.
    fn skip_confirmed(&mut self) {
        while self.next < self.confirmed {
            let left = self.confirmed - self.next;
            if self
                .advance(usize::try_from(left).unwrap_or(usize::MAX))
                .is_none()
            {
                break;
            }
        }
        self.release();
    }

    /// The next bytes for the leg that carries, at most `max`.
    pub(crate) fn take(&mut self, max: usize) -> Option<Bytes> {
        self.flowing = true;
        let bytes = self.advance(max)?;
        self.sent = self.sent.max(self.next);
        self.release();
        Some(bytes)
    }

    fn advance(&mut self, max: usize) -> Option<Bytes> {
        let (index, within) = self.cursor;
        if index == self.pieces.len() {
            self.seal();
        }
        let piece = self.pieces.get(index)?;
        let rest = piece.len().saturating_sub(within);
        let length = rest.min(max);
        if length == 0 {
            return None;
        }
        let bytes = piece.slice(within..within + length);
        self.cursor = if length == rest {
            (index + 1, 0)
        } else {
            (index, within + length)
        };
        self.next += length as u64;
        Some(bytes)
    }

    /// Forgets what is confirmed and not needed on the leg that carries.
    fn release(&mut self) {
        let to = self.confirmed.min(self.next);
        while self.start < to {
            let Some(front) = self.pieces.front_mut() else {
                break;
            };
            let left = usize::try_from(to - self.start).unwrap_or(usize::MAX);
            let (index, within) = self.cursor;
            if left >= front.len() {
                self.start += front.len() as u64;
                self.pieces.pop_front();
                // What is released lies before the cursor.
                self.cursor = (index.saturating_sub(1), within);
            } else {
                front.advance(left);
                self.start += left as u64;
                if index == 0 {
                    self.cursor = (0, within.saturating_sub(left));
                }
            }
        }
        if self.start == self.end {
            // An idle wire holds no buffer.
            self.pieces = VecDeque::new();
            self.tail = Bytes::new();
            self.small = BytesMut::new();
            self.cursor = (0, 0);
        }
    }
}
