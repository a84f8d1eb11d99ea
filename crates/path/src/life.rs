//! Whether the other side of a leg is there: when to ask, and when to give up.

use std::time::{Duration, Instant};

/// Silence after which a leg is dead, while something waits for an answer.
const DEAD: Duration = Duration::from_secs(10);
/// From the last frame of a burst to the PING behind it, where somebody between may hold its tail.
const ASK_RELAY: Duration = Duration::from_millis(10);
/// The same elsewhere.
const ASK: Duration = Duration::from_millis(200);
/// Between two PINGs that are not answered, at most.
const LONGEST_ASK: Duration = Duration::from_secs(4);
/// Between two PINGs of an idle leg.
const IDLE: Duration = Duration::from_secs(30);
/// PONGs a second; more PINGs are not answered.
const MAX_PONGS: u32 = 100;

#[derive(Debug)]
pub(crate) struct Life {
    first: Duration,
    delay: Duration,
    heard: Instant,
    /// Since when something waits for an answer.
    waiting: Option<Instant>,
    ask_at: Instant,
    asking: bool,
    /// PINGs so far, and when the last one was sent.
    asked: (u64, Instant),
    /// Something was sent after the last PING, so its answer proves nothing about that.
    behind: bool,
    answer: Option<u64>,
    /// PONGs in the second that began then.
    answered: (u32, Instant),
}

impl Life {
    pub(crate) fn new(now: Instant, relayed: bool) -> Self {
        let first = if relayed { ASK_RELAY } else { ASK };
        Self {
            first,
            delay: first,
            heard: now,
            waiting: None,
            ask_at: now + IDLE,
            asking: false,
            asked: (0, now),
            behind: false,
            answer: None,
            answered: (0, now),
        }
    }

    /// Something has come.
    pub(crate) const fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Something goes out that wants an answer.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.waiting.get_or_insert(now);
        self.behind = true;
        self.delay = self.first;
        self.ask_at = now + self.first;
    }

    /// Everything that was sent has been answered.
    pub(crate) fn settled(&mut self, now: Instant) {
        self.waiting = None;
        self.asking = false;
        self.delay = self.first;
        self.ask_at = now + IDLE;
    }

    pub(crate) fn ping(&mut self, now: Instant, content: u64) {
        let (count, since) = self.answered;
        let (count, since) = if now.saturating_duration_since(since) < Duration::from_secs(1) {
            (count, since)
        } else {
            (0, now)
        };
        if count < MAX_PONGS {
            self.answered = (count + 1, since);
            // The answer to a later one answers those before.
            self.answer = Some(content);
        }
    }

    /// An answer came: the round trip, if it is that of the last PING. `Err`: to nothing.
    pub(crate) fn pong(&mut self, now: Instant, content: u64) -> Result<Option<Duration>, ()> {
        let (count, at) = self.asked;
        if content > count || content == 0 {
            return Err(());
        }
        if content < count {
            return Ok(None);
        }
        if !self.behind {
            self.settled(now);
        }
        Ok(Some(now.saturating_duration_since(at)))
    }

    /// The PONG that is due.
    pub(crate) const fn take_answer(&mut self) -> Option<u64> {
        self.answer.take()
    }

    /// The PING that is due; its content counts them.
    pub(crate) fn take_ask(&mut self, now: Instant) -> Option<u64> {
        if !std::mem::take(&mut self.asking) {
            return None;
        }
        let (count, _) = self.asked;
        self.asked = (count + 1, now);
        self.behind = false;
        self.waiting.get_or_insert(now);
        self.ask_at = now + self.delay;
        Some(count + 1)
    }

    /// The time has come: whether it is dead.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.dead_at().is_some_and(|at| at <= now) {
            return true;
        }
        if !self.asking && self.ask_at <= now {
            self.asking = true;
            self.waiting.get_or_insert(now);
            self.delay = (self.delay * 2).min(LONGEST_ASK);
        }
        false
    }

    fn dead_at(&self) -> Option<Instant> {
        self.waiting.map(|since| since.max(self.heard) + DEAD)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let ask = (!self.asking).then_some(self.ask_at);
        [self.dead_at(), ask].into_iter().flatten().min()
    }
}
