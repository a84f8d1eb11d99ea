//! What was sent and is not acknowledged.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf as _, Bytes};

/// Stanzas in the order in which they were sent, octet for octet, and their numbers.
///
/// They are kept in the batches in which they were written, so that keeping and acknowledging them copies nothing. An
/// acknowledged stanza keeps at most the rest of its own batch in memory.
#[derive(Default)]
pub(super) struct Unacked {
    /// None is empty, and the first begins with the oldest stanza.
    batches: VecDeque<Bytes>,
    /// How long each stanza in them is, in bytes.
    lengths: VecDeque<usize>,
    bytes: usize,
    /// The batches before this one were written to this connection.
    next: usize,
    /// Stanzas sent, and of these acknowledged, since the session began; both wrap.
    sent: u32,
    acked: u32,
}

impl Unacked {
    /// Adds a batch that is being written, with the offset at which each of its stanzas ends.
    pub(super) fn push(&mut self, octets: Bytes, ends: &[usize]) {
        let mut start = 0;
        for &end in ends {
            self.lengths.push_back(end.saturating_sub(start));
            self.sent = self.sent.wrapping_add(1);
            start = end;
        }
        debug_assert_eq!(start, octets.len(), "the last stanza ends with the batch");
        debug_assert!(!self.is_behind(), "what came before goes first");
        if !octets.is_empty() {
            self.bytes += octets.len();
            self.batches.push_back(octets);
            self.next += 1;
        }
    }

    /// The server has handled `h` stanzas, and says how many of them are news. More than were sent, or fewer than it said
    /// before, is an error.
    pub(super) fn ack(&mut self, h: u32) -> Result<u32, TooHigh> {
        let news = h.wrapping_sub(self.acked);
        if news > self.sent.wrapping_sub(self.acked) {
            let sent = self.sent;
            return Err(TooHigh { h, sent });
        }
        self.acked = h;
        let count = self.lengths.len().min(news as usize);
        let bytes = self.lengths.drain(..count).sum();
        self.bytes -= bytes;
        self.drop_front(bytes);
        Ok(news)
    }

    fn drop_front(&mut self, mut bytes: usize) {
        while let Some(front) = self.batches.front_mut() {
            if bytes < front.len() {
                front.advance(bytes);
                return;
            }
            bytes -= front.len();
            self.batches.pop_front();
            self.next = self.next.saturating_sub(1);
        }
        self.lengths.shrink_to(KEPT);
        self.batches.shrink_to(KEPT / 16);
    }

    /// The connection is another one: everything is to be written again.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
    }

    /// The next batch to be written again.
    pub(super) fn write_again(&mut self) -> Option<Bytes> {
        let batch = self.batches.get(self.next)?.clone();
        self.next += 1;
        Some(batch)
    }

    /// Whether something is to be written again.
    pub(super) fn is_behind(&self) -> bool {
        self.next < self.batches.len()
    }

    /// Begins anew, and gives the stanzas one by one.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        let old = std::mem::take(self);
        let mut batches = old.batches.into_iter();
        let mut batch = Bytes::new();
        let mut next = |length: usize| {
            if batch.is_empty() {
                batch = batches.next().unwrap_or_default();
            }
            batch.split_to(length.min(batch.len()))
        };
        old.lengths.into_iter().map(&mut next).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(super) fn stanzas(&self) -> usize {
        self.lengths.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The length of the longest, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or_default()
    }

    /// As if so many more had been sent and acknowledged before.
    #[cfg(test)]
    pub(super) fn shift(&mut self, by: u32) {
        self.sent = self.sent.wrapping_add(by);
        self.acked = self.acked.wrapping_add(by);
    }
}

/// Sizes and numbers: stanzas are nobody's business.
impl fmt::Debug for Unacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unacked")
            .field("sent", &self.sent)
            .field("acked", &self.acked)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// A server cannot have handled this.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooHigh {
    pub(super) h: u32,
    pub(super) sent: u32,
}

/// Stanzas for which an empty queue keeps its lists, so that a steady flow allocates nothing for them.
const KEPT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(batches: &[&[&str]]) -> Unacked {
        let mut unacked = Unacked::default();
        for batch in batches {
            let mut ends = Vec::new();
            for stanza in *batch {
                ends.push(ends.last().copied().unwrap_or(0) + stanza.len());
            }
            unacked.push(Bytes::from(batch.concat()), &ends);
        }
        unacked
    }

    #[test]
    fn more_than_was_sent_and_less_than_was_acknowledged_is_refused_and_changes_nothing() {
        let mut unacked = queue(&[&["<a/>", "<bb/>"]]);
        assert_eq!(unacked.ack(3), Err(TooHigh { h: 3, sent: 2 }));
        assert_eq!(unacked.ack(1), Ok(1));
        assert_eq!(unacked.ack(0), Err(TooHigh { h: 0, sent: 2 }));
        assert_eq!(unacked.take(), ["<bb/>"]);
    }

    #[test]
    fn acknowledged_stanzas_go_and_the_rest_stays_octet_for_octet() {
        let batches: &[&[&str]] = &[&["<a/>", "<bb/>"], &["<c/>"], &["<d/>", "<e/>"]];
        let all = batches.concat();
        for h in 0..=5 {
            let mut unacked = queue(batches);
            assert_eq!(unacked.ack(h), Ok(h));
            let left = &all[h as usize..];
            assert_eq!(
                (unacked.stanzas(), unacked.bytes()),
                (left.len(), left.concat().len())
            );
            unacked.rewind();
            let mut again = Vec::new();
            while let Some(batch) = unacked.write_again() {
                again.extend_from_slice(&batch);
            }
            assert_eq!(again, left.concat().as_bytes());
            assert_eq!(unacked.take(), left);
            assert_eq!((unacked.stanzas(), unacked.bytes()), (0, 0));
        }
    }

    #[test]
    fn what_is_acknowledged_meanwhile_is_not_written_again() {
        let mut unacked = queue(&[&["<a/>"], &["<b/>", "<c/>"], &["<d/>"]]);
        unacked.rewind();
        assert_eq!(unacked.write_again().unwrap(), "<a/>");
        assert_eq!(unacked.ack(2), Ok(2));
        assert_eq!(unacked.write_again().unwrap(), "<c/>");
        assert_eq!(unacked.ack(4), Ok(2));
        assert_eq!(unacked.write_again(), None);
        assert!(!unacked.is_behind());
        unacked.push(Bytes::from_static(b"<e/>"), &[4]);
        assert_eq!(
            unacked.write_again(),
            None,
            "it was written when it was added"
        );
    }

    #[test]
    fn keeping_and_acknowledging_copies_nothing() {
        let batch = Bytes::from("<a/><b/>".to_owned());
        let mut unacked = Unacked::default();
        unacked.push(batch.clone(), &[4, 8]);
        unacked.ack(1).unwrap();
        unacked.rewind();
        assert_eq!(unacked.write_again().unwrap().as_ptr(), batch[4..].as_ptr());
        assert_eq!(unacked.take()[0].as_ptr(), batch[4..].as_ptr());
    }

    #[test]
    fn a_steady_flow_finds_its_lists_and_a_flood_does_not_keep_them() {
        let mut unacked = Unacked::default();
        let mut rooms = |batches: usize| {
            for _ in 0..batches {
                unacked.push(Bytes::from_static(b"<a/><b/>"), &[4, 8]);
            }
            unacked.ack(unacked.sent).unwrap();
            (unacked.lengths.capacity(), unacked.batches.capacity())
        };
        let steady = rooms(50);
        assert!((1..100).all(|_| rooms(50) == steady));
        let (lengths, batches) = rooms(10_000);
        assert!(
            lengths <= KEPT && batches <= KEPT / 16,
            "{lengths}, {batches}"
        );
    }

    #[test]
    fn numbers_wrap() {
        let mut unacked = Unacked::default();
        unacked.shift(u32::MAX - 1);
        unacked.push(Bytes::from_static(b"<a/><b/><c/>"), &[4, 8, 12]);
        assert_eq!(unacked.ack(2), Err(TooHigh { h: 2, sent: 1 }));
        assert_eq!(unacked.ack(0), Ok(2));
        assert_eq!(unacked.ack(1), Ok(1));
        assert!(unacked.is_empty());
    }

    #[test]
    fn what_is_shown_holds_no_stanza() {
        let shown = format!("{:?}", queue(&[&["<secret/>"]]));
        assert_eq!(shown, "Unacked { sent: 1, acked: 0, bytes: 9, .. }");
    }
}
