//! Stanzas that wait for the link, weighed.

use std::collections::VecDeque;

use xtls_stanza::Envelope;

/// The longest id of a request that is kept, in bytes. RFC 6120 §8.1.3 sets no limit, and an answer has to repeat the id;
/// this is what RFC 7622 allows one part of an address, and far more than any client sends.
pub const MAX_ID: usize = 1023;

/// Stanzas that wait for the link, in order.
///
/// Peers decide how many requests they send and how long the ids are that our answers repeat, so what waits is limited by
/// its weight ([`Envelope::weight`]) and not by its number. An answer above the limit is dropped: a peer that floods us is
/// owed nothing. Requests of our own, which are few, may take a quarter of the limit beyond it.
#[derive(Debug, Clone)]
pub struct Outgoing {
    stanzas: VecDeque<Envelope>,
    weight: usize,
    limit: usize,
    /// How many have been taken out or dropped.
    taken: u64,
}

impl Outgoing {
    /// An empty queue for answers of this weight together, in bytes.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            stanzas: VecDeque::new(),
            weight: 0,
            limit: limit_bytes,
            taken: 0,
        }
    }

    /// Queues an answer and returns whether there was room for it.
    pub fn answer(&mut self, envelope: Envelope) -> bool {
        self.push(envelope, self.limit)
    }

    /// Queues a request of our own and returns whether there was room for it.
    pub fn ask(&mut self, envelope: Envelope) -> bool {
        self.push(envelope, self.limit.saturating_add(self.limit / 4))
    }

    fn push(&mut self, envelope: Envelope, limit: usize) -> bool {
        let weight = self.weight.saturating_add(envelope.weight());
        if weight > limit {
            tracing::warn!(limit, "too much waits for the link: a stanza is dropped");
            return false;
        }
        if self.stanzas.len() == self.stanzas.capacity() {
            // Doubling, as lists do by themselves, would hold twice what is weighed.
            let more = (self.stanzas.len() / 4).max(KEPT);
            self.stanzas.reserve_exact(more);
        }
        self.weight = weight;
        self.stanzas.push_back(envelope);
        true
    }

    /// Takes out the oldest.
    pub fn pop(&mut self) -> Option<Envelope> {
        let envelope = self.stanzas.pop_front()?;
        self.taken += 1;
        self.weight = self.weight.saturating_sub(envelope.weight());
        if self.stanzas.is_empty() {
            self.stanzas.shrink_to(KEPT);
        }
        Some(envelope)
    }

    /// Whether more than half of the room is taken: a caller that has the choice reads no more requests until the link has taken
    /// some answers.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.weight > self.limit / 2
    }

    /// The place of the youngest, counted from the first that ever was queued.
    pub(crate) fn last_place(&self) -> u64 {
        self.taken + self.stanzas.len() as u64
    }

    /// Whether the stanza of this place waits no more.
    pub(crate) fn has_left(&self, place: u64) -> bool {
        self.taken >= place
    }

    /// How many stanzas wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stanzas.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stanzas.is_empty()
    }

    /// Drops all of them, when the link is gone.
    pub fn clear(&mut self) {
        self.taken = self.last_place();
        self.stanzas = VecDeque::new();
        self.weight = 0;
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Envelope> {
        self.stanzas.iter()
    }
}

/// Places that an idle queue keeps.
const KEPT: usize = 4;

#[cfg(test)]
mod tests {
    use xtls_stanza::Content;

    use super::*;

    fn result(id: String) -> Envelope {
        Envelope {
            from: None,
            to: None,
            id,
            content: Content::Result(None),
        }
    }

    #[test]
    fn an_answer_fills_the_limit_to_the_byte_and_one_more_byte_is_dropped() {
        let light = result(String::new()).weight();
        let (exact, more) = ("x".repeat(100), "x".repeat(101));
        let weight = result(exact.clone()).weight();
        let mut queue = Outgoing::new(weight + light);
        assert!(queue.answer(result(String::new())));
        assert!(!queue.answer(result(more)));
        assert!(queue.answer(result(exact)));
        assert_eq!(queue.len(), 2);
        // What leaves makes room again.
        queue.pop().unwrap();
        assert!(queue.answer(result(String::new())));
    }

    #[test]
    fn our_own_requests_find_a_quarter_more_room_and_no_more() {
        let light = result(String::new()).weight();
        let mut queue = Outgoing::new(8 * light);
        while queue.answer(result(String::new())) {}
        assert_eq!(queue.len(), 8);
        while queue.ask(result(String::new())) {}
        assert_eq!(queue.len(), 10);
    }

    #[test]
    fn it_is_crowded_above_half_and_empty_after_all_has_left() {
        let light = result(String::new()).weight();
        let mut queue = Outgoing::new(4 * light);
        queue.answer(result(String::new()));
        queue.answer(result(String::new()));
        assert!(!queue.is_crowded());
        queue.answer(result(String::new()));
        assert!(queue.is_crowded());
        while queue.pop().is_some() {}
        assert!(queue.is_empty() && queue.weight == 0);
        queue.answer(result("x".repeat(10)));
        queue.clear();
        assert!(queue.is_empty() && queue.weight == 0);
    }

    #[test]
    fn the_list_holds_little_more_than_its_stanzas() {
        let mut queue = Outgoing::new(1 << 20);
        for _ in 0..1500 {
            queue.answer(result(String::new()));
            assert!(queue.stanzas.capacity() <= queue.len() + queue.len() / 4 + KEPT);
        }
        while queue.pop().is_some() {}
        assert_eq!(queue.stanzas.capacity(), KEPT);
    }
}
