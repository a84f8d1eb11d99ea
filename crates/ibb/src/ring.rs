//! Whose chunk is next: fair by bytes, and quick for those who have little to say.

use std::collections::{BTreeMap, VecDeque};

use crate::event::StreamId;

/// What a stanza costs besides the bytes in it.
const STANZA_COST: u64 = 256;

/// The streams that have a chunk to send, each once.
///
/// Start-time fair queueing: each stream has paid for what it sent, in bytes, and the one that has
/// paid least is next; whoever was silent has no credit from that. So a stream of large chunks gets
/// no larger share than one of small chunks. A *terse* stream, with nothing under way and a line or
/// less to send, goes before all of them; it does so again only when what it sent has been
/// acknowledged, so it can hold nobody up.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Ring {
    terse: VecDeque<StreamId>,
    /// By what each will have paid when its turn comes, then by age.
    queue: BTreeMap<(u64, u64), StreamId>,
    paid: BTreeMap<StreamId, u64>,
    /// What the last one had paid when it had its turn.
    level: u64,
    entries: u64,
}

impl Ring {
    pub(crate) fn enter(&mut self, id: StreamId, terse: bool) {
        if terse {
            self.terse.push_back(id);
            return;
        }
        self.entries += 1;
        self.queue.insert((self.paid(id), self.entries), id);
    }

    /// Takes out whose turn it is.
    pub(crate) fn next(&mut self) -> Option<StreamId> {
        if let Some(id) = self.terse.pop_front() {
            return Some(id);
        }
        let ((paid, _), id) = self.queue.pop_first()?;
        self.level = paid;
        Some(id)
    }

    /// Counts what left in a turn.
    pub(crate) fn sent(&mut self, id: StreamId, bytes: usize) {
        let paid = self.paid(id) + bytes as u64 + STANZA_COST;
        self.paid.insert(id, paid);
    }

    /// A stream is gone.
    pub(crate) fn forget(&mut self, id: StreamId) {
        self.paid.remove(&id);
        self.terse.retain(|terse| *terse != id);
        self.queue.retain(|_, waiting| *waiting != id);
    }

    fn paid(&self, id: StreamId) -> u64 {
        self.paid
            .get(&id)
            .map_or(self.level, |paid| self.level.max(*paid))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.terse.len() + self.queue.len() + self.paid.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Streams of these chunks that always have more to send: the bytes of each.
    fn shares(chunks: &[usize], turns: usize) -> Vec<usize> {
        let mut ring = Ring::default();
        let id = |at: usize| StreamId(at as u64);
        for at in 0..chunks.len() {
            ring.enter(id(at), false);
        }
        let mut sent = vec![0; chunks.len()];
        for _ in 0..turns {
            let next = ring.next().unwrap();
            let at = usize::try_from(next.0).unwrap();
            ring.sent(next, chunks[at]);
            sent[at] += chunks[at] + 256;
            ring.enter(next, false);
        }
        sent
    }

    #[test]
    fn large_chunks_buy_no_larger_share() {
        let sent = shares(&[65_535, 4096, 100], 10_000);
        let (least, most) = (*sent.iter().min().unwrap(), *sent.iter().max().unwrap());
        assert!(most - least <= 2 * 65_791, "{sent:?}");
    }

    #[test]
    fn whoever_was_silent_has_no_credit() {
        let mut ring = Ring::default();
        let (busy, silent) = (StreamId(1), StreamId(2));
        for _ in 0..1000 {
            ring.enter(busy, false);
            ring.next();
            ring.sent(busy, 4096);
        }
        ring.enter(busy, false);
        ring.enter(silent, false);
        let mut of_silent = 0;
        for _ in 0..10 {
            let next = ring.next().unwrap();
            of_silent += usize::from(next == silent);
            ring.sent(next, 4096);
            ring.enter(next, false);
        }
        assert!((5..=6).contains(&of_silent), "{of_silent}");
    }

    #[test]
    fn a_terse_stream_goes_first_and_a_gone_one_not_at_all() {
        let mut ring = Ring::default();
        ring.enter(StreamId(1), false);
        ring.enter(StreamId(2), true);
        ring.enter(StreamId(3), false);
        ring.forget(StreamId(3));
        assert_eq!(ring.next(), Some(StreamId(2)));
        ring.sent(StreamId(2), 10);
        assert_eq!(ring.next(), Some(StreamId(1)));
        assert_eq!(ring.next(), None);
        ring.forget(StreamId(2));
        assert_eq!(ring.len(), 0);
    }
}
