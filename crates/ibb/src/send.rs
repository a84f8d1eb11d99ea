//! The sending half of a stream: cutting, numbering, the window, and sending again after `wait`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use xtls_stanza::ibb::{Carrier, Seq};

use crate::event::Loss;
use crate::flight::{Flight, State};
use crate::ids::Id;
use crate::recv::KEPT;
use crate::stats::Stats;
use crate::window::{Controller, Path, Window};

/// How often one chunk is sent again.
const MAX_TRIES: u32 = 5;
/// How long chunks may bounce before they are lost.
const MAX_TROUBLE: Duration = Duration::from_secs(60);
/// Most bytes to send that count as a line of chat, which goes before bulk.
const LINE: usize = 1024;
/// How long after trouble only one chunk is under way.
const CAREFUL: Duration = Duration::from_secs(30);
/// Sent messages whose coming back is recognised.
const RECENT_MESSAGES: usize = 128;

#[cfg_attr(test, derive(Clone))]
pub(crate) struct Sender {
    carrier: Carrier,
    queue: VecDeque<Bytes>,
    queued: usize,
    flight: VecDeque<Flight>,
    in_flight: usize,
    /// Chunks without an answer.
    waiting: usize,
    next: Seq,
    control: Controller,
    trouble: Trouble,
    careful_until: Option<Instant>,
    last_progress: Option<Instant>,
    /// Ids of the last messages (message mode).
    messages: VecDeque<Id>,
    /// Bytes that were accepted and given up.
    dropped: usize,
    stats: Stats,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    None,
    /// A chunk came back: nothing goes until all answers are in.
    Collecting {
        since: Instant,
        tries: u32,
    },
    /// All came back: nothing goes until then.
    Resting {
        since: Instant,
        tries: u32,
        until: Instant,
    },
    /// Sending again, one at a time.
    Resending {
        since: Instant,
        tries: u32,
    },
}

/// A chunk to send now.
pub(crate) struct NextChunk {
    pub(crate) seq: Seq,
    pub(crate) bytes: Bytes,
    pub(crate) id: Id,
}

impl Sender {
    pub(crate) fn new(carrier: Carrier, window: Window, block: usize) -> Self {
        Self {
            carrier,
            queue: VecDeque::new(),
            queued: 0,
            flight: VecDeque::new(),
            in_flight: 0,
            waiting: 0,
            next: Seq(0),
            control: Controller::new(window, block),
            trouble: Trouble::None,
            careful_until: None,
            last_progress: None,
            messages: VecDeque::new(),
            dropped: 0,
            stats: Stats::default(),
        }
    }

    /// Starts the window anew, with another setting or another block. What is under way stays.
    pub(crate) fn set_window(&mut self, window: Window, block: usize) {
        let fastest = self.control.path().fastest_only();
        self.control = Controller::new(window, block);
        self.control.on_path(fastest);
        for flight in &mut self.flight {
            // The new controller has not seen them go.
            flight.mark = self.control.on_sent(flight.sent, flight.bytes.len());
        }
    }

    /// Bytes that `write` takes now: the window and one chunk, so that the next chunk is at hand
    /// when an answer comes.
    pub(crate) fn room(&self) -> usize {
        let most = self.control.window() + self.control.chunk();
        most.saturating_sub(self.in_flight + self.queued)
    }

    /// Takes bytes into the queue, as many as there is room for, and returns how many.
    pub(crate) fn write(&mut self, mut bytes: Bytes) -> usize {
        let len = bytes.len().min(self.room());
        bytes.truncate(len);
        if len > 0 {
            self.queued += len;
            self.queue.push_back(bytes);
        }
        len
    }

    /// Nothing waits, neither to be sent nor to be acknowledged.
    pub(crate) fn is_idle(&self) -> bool {
        self.queued == 0 && self.flight.is_empty()
    }

    /// Nothing is under way, and little waits to be sent.
    pub(crate) fn is_terse(&self) -> bool {
        self.flight.is_empty() && self.queued <= LINE
    }

    /// Everything has been sent once.
    pub(crate) fn is_flushed(&self) -> bool {
        self.queued == 0
    }

    /// Bytes written and never acknowledged.
    pub(crate) fn unfinished(&self) -> usize {
        self.dropped + self.queued + self.in_flight
    }

    /// Gives up everything, so that no answer is awaited any more.
    pub(crate) fn drop_all(&mut self) {
        self.dropped += std::mem::take(&mut self.queued) + std::mem::take(&mut self.in_flight);
        self.queue.clear();
        self.waiting = 0;
        self.flight.clear();
    }

    /// Whether this is the id of a chunk that has no answer yet.
    pub(crate) fn awaits(&self, id: &str) -> bool {
        self.flight.iter().any(|flight| flight.waits_for(id))
    }

    /// The next chunk, if one may go now.
    pub(crate) fn poll(&mut self, now: Instant, id: impl FnOnce() -> Id) -> Option<NextChunk> {
        match self.trouble {
            Trouble::None => self.cut(now, id),
            Trouble::Collecting { .. } | Trouble::Resting { .. } => None,
            Trouble::Resending { .. } => self.resend(now, id),
        }
    }

    /// Whether `poll` would give a chunk, without the bookkeeping.
    pub(crate) fn is_ready(&mut self, now: Instant) -> bool {
        match self.trouble {
            Trouble::None => self.next_len(now).is_some(),
            Trouble::Collecting { .. } | Trouble::Resting { .. } => false,
            Trouble::Resending { .. } => self.none_waiting(),
        }
    }

    fn none_waiting(&self) -> bool {
        self.waiting == 0
    }

    /// Length of the next new chunk. A full chunk, or a shorter one if that is all there is; never
    /// a splinter of the window.
    fn next_len(&mut self, now: Instant) -> Option<usize> {
        if self.queued == 0 {
            return None;
        }
        let len = self.queued.min(self.control.chunk());
        if self.careful_until.is_some_and(|until| now >= until) {
            self.careful_until = None;
        }
        let fits = match self.careful_until {
            Some(_) => self.flight.is_empty(),
            None => self.flight.is_empty() || self.in_flight + len <= self.control.window(),
        };
        if !fits {
            self.control.on_full();
        }
        fits.then_some(len)
    }

    fn cut(&mut self, now: Instant, id: impl FnOnce() -> Id) -> Option<NextChunk> {
        let len = self.next_len(now)?;
        let bytes = self.dequeue(len);
        let (seq, id) = (self.next, id());
        self.next = seq.next();
        self.stats.chunks_sent += 1;
        self.stats.bytes_sent += bytes.len() as u64;
        match self.carrier {
            Carrier::Iq => {
                if self.none_waiting() {
                    self.last_progress = Some(now);
                }
                let mark = self.control.on_sent(now, bytes.len());
                self.in_flight += bytes.len();
                let bytes = bytes.clone();
                let state = State::Waiting;
                self.waiting += 1;
                self.flight.push_back(Flight {
                    id,
                    seq,
                    bytes,
                    sent: now,
                    mark,
                    state,
                });
            }
            Carrier::Message => {
                self.messages.push_back(id);
                if self.messages.len() > RECENT_MESSAGES {
                    self.messages.pop_front();
                }
            }
        }
        Some(NextChunk { seq, bytes, id })
    }

    fn dequeue(&mut self, len: usize) -> Bytes {
        self.queued -= len;
        if let Some(front) = self.queue.front_mut() {
            if front.len() > len {
                return front.split_to(len);
            }
            if front.len() == len {
                return self.queue.pop_front().unwrap_or_default();
            }
        }
        let mut whole = BytesMut::with_capacity(len);
        while whole.len() < len {
            let Some(mut front) = self.queue.pop_front() else {
                break;
            };
            let part = front.split_to(front.len().min(len - whole.len()));
            whole.extend_from_slice(&part);
            if !front.is_empty() {
                self.queue.push_front(front);
            }
        }
        whole.freeze()
    }

    /// docs/PROTOCOL.md: the same bytes, borders and numbers, with new ids, one at a time.
    fn resend(&mut self, now: Instant, id: impl FnOnce() -> Id) -> Option<NextChunk> {
        if !self.none_waiting() {
            return None;
        }
        let Some(due) = self
            .flight
            .iter_mut()
            .find(|flight| flight.state == State::Due)
        else {
            self.trouble = Trouble::None;
            self.careful_until = Some(now + CAREFUL);
            return self.cut(now, id);
        };
        due.id = id();
        due.sent = now;
        due.state = State::Waiting;
        self.waiting += 1;
        self.last_progress = Some(now);
        self.stats.retries += 1;
        Some(NextChunk {
            seq: due.seq,
            bytes: due.bytes.clone(),
            id: due.id,
        })
    }

    /// The peer took a chunk.
    pub(crate) fn on_acknowledged(&mut self, now: Instant, id: &str) -> Result<(), Loss> {
        self.last_progress = Some(now);
        let Some(flight) = self.flight.iter_mut().find(|flight| flight.waits_for(id)) else {
            return Ok(());
        };
        flight.state = State::Acknowledged;
        self.waiting -= 1;
        let (len, delay) = (
            flight.bytes.len(),
            now.saturating_duration_since(flight.sent),
        );
        self.control.on_acked(now, len, flight.mark, delay);
        self.in_flight -= len;
        self.stats.on_acknowledged(len, delay);
        while self
            .flight
            .front()
            .is_some_and(|flight| flight.state == State::Acknowledged)
        {
            self.flight.pop_front();
        }
        if self.flight.is_empty() && self.queue.is_empty() {
            // An idle stream holds no memory for what was under way.
            self.flight.shrink_to(KEPT);
            self.queue.shrink_to(KEPT);
        }
        if let Trouble::Resending { since, tries } = &mut self.trouble {
            (*since, *tries) = (now, 0);
        }
        self.weigh(now)
    }

    /// A chunk came back with `wait`.
    pub(crate) fn on_bounced(&mut self, now: Instant, id: &str) -> Result<(), Loss> {
        self.last_progress = Some(now);
        let Some(flight) = self.flight.iter_mut().find(|flight| flight.waits_for(id)) else {
            return Ok(());
        };
        flight.state = State::Bounced;
        self.waiting -= 1;
        match self.trouble {
            Trouble::None => {
                self.control.on_trouble();
                self.trouble = Trouble::Collecting {
                    since: now,
                    tries: 0,
                };
            }
            Trouble::Resending { since, tries } => {
                self.trouble = Trouble::Collecting { since, tries };
            }
            Trouble::Collecting { .. } | Trouble::Resting { .. } => {}
        }
        self.weigh(now)
    }

    /// With all answers in: are the chunks from the first bounced one on unharmed by sending them
    /// again? A later one that was taken means a hole that the peer cannot have closed.
    fn weigh(&mut self, now: Instant) -> Result<(), Loss> {
        let Trouble::Collecting { since, tries } = self.trouble else {
            return Ok(());
        };
        if !self.none_waiting() {
            return Ok(());
        }
        let back = self
            .flight
            .iter()
            .skip_while(|flight| flight.state != State::Bounced);
        if back
            .clone()
            .any(|flight| flight.state == State::Acknowledged)
        {
            return Err(Loss::Hole);
        }
        if tries == MAX_TRIES {
            return Err(Loss::Tries);
        }
        let until = now + Duration::from_secs(1 << tries);
        if until > since + MAX_TROUBLE {
            return Err(Loss::Time);
        }
        for flight in &mut self.flight {
            flight.state = State::Due;
        }
        self.trouble = Trouble::Resting {
            since,
            tries: tries + 1,
            until,
        };
        Ok(())
    }

    /// Ends a rest that is over.
    pub(crate) fn on_time(&mut self, now: Instant) {
        if let Trouble::Resting {
            since,
            tries,
            until,
        } = self.trouble
            && until <= now
        {
            self.trouble = Trouble::Resending { since, tries };
        }
    }

    /// When trouble has lasted too long, or a rest ends.
    pub(crate) fn trouble_deadline(&self) -> Option<Instant> {
        match self.trouble {
            Trouble::None | Trouble::Resending { .. } => None,
            Trouble::Collecting { since, .. } => Some(since + MAX_TROUBLE),
            Trouble::Resting { until, .. } => Some(until),
        }
    }

    /// Whether the answers of troubled chunks are overdue.
    pub(crate) fn trouble_is_over(&self, now: Instant) -> bool {
        match self.trouble {
            Trouble::Collecting { since, .. } => now >= since + MAX_TROUBLE,
            Trouble::None | Trouble::Resting { .. } | Trouble::Resending { .. } => false,
        }
    }

    /// The peer lives.
    pub(crate) fn on_sign(&mut self, now: Instant) {
        if !self.none_waiting() {
            self.last_progress = Some(now);
        }
    }

    /// The last moment at which an answer or a sign of life came, if an answer is still owed.
    pub(crate) fn owed_since(&self) -> Option<Instant> {
        self.last_progress.filter(|_| !self.none_waiting())
    }

    pub(crate) fn path(&self) -> Path {
        self.control.path()
    }

    pub(crate) fn on_path(&mut self, path: Path) {
        self.control.on_path(path);
    }

    /// Chunks without an answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.waiting
    }

    /// Whether this was the id of one of the last messages.
    pub(crate) fn sent_message(&self, id: &str) -> bool {
        self.messages.iter().any(|sent| sent.is(id))
    }

    #[cfg(test)]
    pub(crate) fn dump(&self, dump: &mut crate::tests::Dump) {
        dump.word((&self.queue, self.next, self.dropped, self.trouble_state()));
        dump.word((self.control.window(), self.control.chunk()));
        dump.time(self.careful_until);
        dump.time(self.owed_since());
        for flight in &self.flight {
            dump.name(flight.id.as_str());
            dump.word((flight.seq, &flight.bytes, flight.state));
        }
        dump.time(self.trouble_since());
        dump.time(self.trouble_deadline());
    }

    #[cfg(test)]
    fn trouble_state(&self) -> (u8, u32) {
        match self.trouble {
            Trouble::None => (0, 0),
            Trouble::Collecting { tries, .. } => (1, tries),
            Trouble::Resting { tries, .. } => (2, tries),
            Trouble::Resending { tries, .. } => (3, tries),
        }
    }

    #[cfg(test)]
    fn trouble_since(&self) -> Option<Instant> {
        match self.trouble {
            Trouble::None => None,
            Trouble::Collecting { since, .. }
            | Trouble::Resting { since, .. }
            | Trouble::Resending { since, .. } => Some(since),
        }
    }

    /// Bytes that the peer has acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.stats.bytes_acknowledged
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            window: self.control.window(),
            chunk: self.control.chunk(),
            in_flight: self.in_flight,
            ..self.stats
        }
    }
}
