//! What waits for one link of the relay, shared fairly between those who send to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use xtls_stanza::Address;

/// The end of a link at which stanzas arrive.
///
/// Whoever sends more than the link reads waits: the sender is slowed, and neither the link nor its other senders suffer.
/// Only a link that reads nothing at all for a while has what comes for it bounced, or it would stop all who write to it.
#[derive(Debug)]
pub(super) struct Mailbox {
    shelf: Mutex<Shelf>,
    /// Something was read.
    room: Notify,
}

/// Why a stanza was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// Nobody is there.
    Gone,
    /// The link has read nothing for too long.
    Stalled,
}

impl Mailbox {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            shelf: Mutex::new(Shelf::new(limit)),
            room: Notify::new(),
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Nothing in here can be left half done.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Delivers, waiting for room.
    pub(super) async fn put(&self, from: &Address, xml: Bytes) -> Result<(), Undelivered> {
        loop {
            let room = self.room.notified();
            let until = {
                let mut shelf = self.shelf();
                if shelf.closed {
                    return Err(Undelivered::Gone);
                }
                if shelf.put(from, &xml) {
                    return Ok(());
                }
                shelf.read_at.map_or_else(Instant::now, |at| at + PATIENCE)
            };
            if timeout_at(until, room).await.is_err() && self.shelf().is_stalled() {
                return Err(Undelivered::Stalled);
            }
        }
    }

    /// Delivers if there is room now.
    pub(super) fn offer(&self, from: &Address, xml: &Bytes) {
        let mut shelf = self.shelf();
        if !shelf.closed {
            shelf.put(from, xml);
        }
    }

    /// The next stanza; `None` when nothing will come any more.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut shelf = self.shelf();
        if let Some(xml) = shelf.take() {
            self.room.notify_waiters();
            return Poll::Ready(Some(xml));
        }
        if shelf.closed {
            return Poll::Ready(None);
        }
        shelf.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Nothing comes any more; what has come can be read.
    pub(super) fn close(&self) {
        let mut shelf = self.shelf();
        shelf.closed = true;
        shelf.wake_reader();
        self.room.notify_waiters();
    }

    /// Nobody reads any more.
    pub(super) fn leave(&self) {
        self.shelf().clear();
        self.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shelf().closed
    }
}

/// Stanzas in a line for each sender. The one whose line has been read least, in bytes, is next, so that large stanzas
/// buy no larger share; and a line may be as long as the room that is left, so that there is room for one more sender
/// however many fill theirs.
#[derive(Debug)]
struct Shelf {
    limit: usize,
    lines: BTreeMap<Address, Line>,
    /// The lines by what was read of each, then by age.
    turns: BTreeSet<(u64, u64, Address)>,
    entries: u64,
    /// What had been read of the last line when it had its turn.
    level: u64,
    waiting: usize,
    /// When something was read, or came where nothing was.
    read_at: Option<Instant>,
    closed: bool,
    /// Waits for something to come, or for the end.
    reader: Option<Waker>,
}

#[derive(Debug, Default)]
struct Line {
    stanzas: VecDeque<Bytes>,
    waiting: usize,
}

impl Shelf {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            lines: BTreeMap::new(),
            turns: BTreeSet::new(),
            entries: 0,
            level: 0,
            waiting: 0,
            read_at: None,
            closed: false,
            reader: None,
        }
    }

    /// Puts a stanza at the end of its sender's line, if that may grow.
    fn put(&mut self, from: &Address, xml: &Bytes) -> bool {
        let cost = cost(xml);
        let free = self.limit.saturating_sub(self.waiting);
        let own = self.lines.get(from).map_or(0, |line| line.waiting);
        if own.saturating_add(cost) > free && self.waiting > 0 {
            return false;
        }
        if self.waiting == 0 {
            self.read_at = Some(Instant::now());
        }
        let line = self.lines.entry(from.clone()).or_default();
        if line.stanzas.is_empty() {
            self.entries += 1;
            self.turns.insert((self.level, self.entries, from.clone()));
        }
        line.stanzas.push_back(xml.clone());
        line.waiting += cost;
        self.waiting += cost;
        self.wake_reader();
        true
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let (paid, _, from) = self.turns.pop_first()?;
        self.level = paid;
        let line = self.lines.get_mut(&from)?;
        let xml = line.stanzas.pop_front()?;
        let cost = cost(&xml);
        line.waiting = line.waiting.saturating_sub(cost);
        self.waiting = self.waiting.saturating_sub(cost);
        self.read_at = Some(Instant::now());
        if line.stanzas.is_empty() {
            self.lines.remove(&from);
            if self.lines.is_empty() {
                // Most links are idle: an empty map keeps the room that it had.
                self.clear();
            }
        } else {
            self.entries += 1;
            let paid = paid.saturating_add(cost as u64);
            self.turns.insert((paid, self.entries, from));
        }
        Some(xml)
    }

    fn is_stalled(&self) -> bool {
        let read = |at: Instant| at + PATIENCE <= Instant::now();
        self.waiting > 0 && self.read_at.is_some_and(read)
    }

    fn clear(&mut self) {
        self.lines = BTreeMap::new();
        self.turns = BTreeSet::new();
        self.waiting = 0;
    }
}

fn cost(xml: &Bytes) -> usize {
    xml.len() + SLOT
}

/// What holding a stanza costs besides its bytes.
const SLOT: usize = 128;

/// How long a link may read nothing while its senders wait; then what comes for it is bounced.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: &str) -> Address {
        Address::new(&format!("{name}@west.example/one")).unwrap()
    }

    /// Fills a sender's line; how many stanzas of this length went in.
    fn fill(shelf: &mut Shelf, from: &str, length: usize) -> usize {
        let xml = Bytes::from(vec![0; length]);
        (0..1000)
            .take_while(|_| shelf.put(&address(from), &xml))
            .count()
    }

    #[test]
    fn one_sender_takes_half_and_the_next_finds_room() {
        let mut shelf = Shelf::new(100_000);
        let one = fill(&mut shelf, "flood", 1000);
        assert!((40..=50).contains(&one), "{one}");
        let two = fill(&mut shelf, "friend", 1000);
        assert!((20..=30).contains(&two), "{two}");
        assert!(shelf.waiting <= 100_000);
        // A stanza that alone is longer than all of it passes when nothing else waits.
        assert_eq!(fill(&mut Shelf::new(1000), "large", 5000), 1);
    }

    #[test]
    fn large_stanzas_buy_no_larger_share() {
        let mut shelf = Shelf::new(8 << 20);
        let (mut flood, mut friend) = (0, 0);
        for _ in 0..2000 {
            fill(&mut shelf, "flood", 250_000);
            fill(&mut shelf, "friend", 1000);
            match shelf.take().unwrap().len() {
                1000 => friend += 1000 + SLOT,
                length => flood += length + SLOT,
            }
        }
        let share = friend as f64 / (flood + friend) as f64;
        assert!((0.45..=0.55).contains(&share), "{share}");
    }

    #[test]
    fn each_sender_is_read_in_order_and_nothing_is_left() {
        let mut shelf = Shelf::new(1 << 20);
        for number in 0..20_u8 {
            for from in ["a", "b"] {
                shelf.put(
                    &address(from),
                    &Bytes::from(vec![number; usize::from(number)]),
                );
            }
        }
        let mut last = 0;
        while let Some(xml) = shelf.take() {
            assert!(xml.len().abs_diff(last) <= 1, "{last}");
            last = xml.len();
        }
        assert!(shelf.lines.is_empty() && shelf.turns.is_empty() && shelf.waiting == 0);
    }
}
