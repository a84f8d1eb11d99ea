//! Which stream's chunk is next: fair by bytes, and quick for those that have little to send.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::event::StreamId;

/// What a stanza costs besides the bytes in it.
const STANZA_COST: u64 = 256;

/// The streams that have a chunk to send, each once.
///
/// Start-time fair queueing: each stream has paid for what it sent, in bytes, and the one that has
/// paid least is next; silence earns no credit. So a stream of large chunks gets
/// no larger share than one of small chunks. A *terse* stream, with nothing under way and a line or
/// less to send, goes before all of them; it does so again only when what it sent has been
/// acknowledged, so it can hold no other stream up.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Scheduler {
    terse: VecDeque<StreamId>,
    /// By what each will have paid when its turn comes, then by age.
    queue: BinaryHeap<Reverse<(u64, u64, StreamId)>>,
    /// What the last one had paid when it had its turn.
    level: u64,
    entries: u64,
}

/// What a stream has paid, which it keeps itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paid(u64);

impl Paid {
    /// After so many bytes more, which were sent at this level.
    pub(crate) fn more(self, level: Self, bytes: usize) -> Self {
        Self(level.0.max(self.0) + bytes as u64 + STANZA_COST)
    }
}

impl Scheduler {
    pub(crate) fn enter(&mut self, id: StreamId, paid: Paid, terse: bool) {
        if terse {
            self.terse.push_back(id);
            return;
        }
        self.entries += 1;
        let entry = (self.level.max(paid.0), self.entries, id);
        self.queue.push(Reverse(entry));
    }

    /// Takes out whose turn it is.
    pub(crate) fn next(&mut self) -> Option<StreamId> {
        if let Some(id) = self.terse.pop_front() {
            return Some(id);
        }
        let Reverse((paid, _, id)) = self.queue.pop()?;
        self.level = paid;
        Some(id)
    }

    /// The same, but of those with more than a line to send only such as may. The others keep their places.
    pub(crate) fn next_of(&mut self, may: impl Fn(StreamId) -> bool) -> Option<StreamId> {
        if let Some(id) = self.terse.pop_front() {
            return Some(id);
        }
        let mut others = Vec::new();
        let next = loop {
            match self.queue.pop() {
                Some(entry) if !may(entry.0.2) => others.push(entry),
                next => break next,
            }
        };
        self.queue.extend(others);
        let Reverse((paid, _, id)) = next?;
        self.level = paid;
        Some(id)
    }

    /// What counts as paid by those who have been silent.
    pub(crate) fn level(&self) -> Paid {
        Paid(self.level)
    }

    /// A stream is gone.
    pub(crate) fn forget(&mut self, id: StreamId) {
        self.terse.retain(|terse| *terse != id);
        self.queue.retain(|Reverse((_, _, waiting))| *waiting != id);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.terse.len() + self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Streams of these chunks that always have more to send: the bytes of each.
    fn shares(chunks: &[usize], turns: usize) -> Vec<usize> {
        let mut scheduler = Scheduler::default();
        let mut paid = vec![Paid::default(); chunks.len()];
        for (at, paid) in paid.iter().enumerate() {
            scheduler.enter(StreamId(at as u64), *paid, false);
        }
        let mut sent = vec![0; chunks.len()];
        for _ in 0..turns {
            let next = scheduler.next().unwrap();
            let at = usize::try_from(next.0).unwrap();
            paid[at] = paid[at].more(scheduler.level(), chunks[at]);
            sent[at] += chunks[at] + 256;
            scheduler.enter(next, paid[at], false);
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
    fn silence_earns_no_credit() {
        let mut scheduler = Scheduler::default();
        let (busy, silent) = (StreamId(1), StreamId(2));
        let mut paid = [Paid::default(); 3];
        for _ in 0..1000 {
            scheduler.enter(busy, paid[1], false);
            scheduler.next();
            paid[1] = paid[1].more(scheduler.level(), 4096);
        }
        scheduler.enter(busy, paid[1], false);
        scheduler.enter(silent, paid[2], false);
        let mut of_silent = 0;
        for _ in 0..10 {
            let next = scheduler.next().unwrap();
            of_silent += usize::from(next == silent);
            let paid = &mut paid[usize::try_from(next.0).unwrap()];
            *paid = paid.more(scheduler.level(), 4096);
            scheduler.enter(next, *paid, false);
        }
        assert!((5..=6).contains(&of_silent), "{of_silent}");
    }

    #[test]
    fn a_terse_stream_goes_first_and_a_gone_one_not_at_all() {
        let mut scheduler = Scheduler::default();
        scheduler.enter(StreamId(1), Paid::default(), false);
        scheduler.enter(StreamId(2), Paid::default(), true);
        scheduler.enter(StreamId(3), Paid::default(), false);
        scheduler.forget(StreamId(3));
        assert_eq!(scheduler.next(), Some(StreamId(2)));
        assert_eq!(scheduler.next(), Some(StreamId(1)));
        assert_eq!(scheduler.next(), None);
        scheduler.enter(StreamId(2), Paid::default(), true);
        scheduler.forget(StreamId(2));
        assert_eq!(scheduler.len(), 0);
    }
}
