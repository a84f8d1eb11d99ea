//! Sealed signals of one tunnel: numbered, sealed and opened, and each answered.
//!
//! The two ends tell each other beside the tunnel where it could go. Servers carry that, so it is sealed; what they may do with it is
//! to withhold, repeat, reorder and cut, and none of that makes a signal count twice, or another one in its place.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::ibb::Sid;
use xtls_stanza::path::{MAX_SIGNAL, Sealed, Signal};
use xtls_stanza::{Condition, ErrorType, Payload, StanzaError};
use xtls_tls::{Open, RECORD_OVERHEAD, Seal};

/// Longest record, in bytes.
const MAX_RECORD: usize = MAX_SIGNAL + RECORD_OVERHEAD;

/// How many of the peer's signals are looked at within a [`MINUTE`].
const MAX_A_MINUTE: usize = 60;

const MINUTE: Duration = Duration::from_secs(60);

/// How many of our signals may be unanswered.
const MAX_UNANSWERED: usize = 32;

/// How long the answer to one may take.
const ANSWER: Duration = Duration::from_secs(20);

/// How many of the peer's signals are recognised when they come again: all that it can have unanswered.
const MAX_REMEMBERED: usize = MAX_UNANSWERED;

/// Length of what authenticates a record, at its end.
const TAG: usize = 16;

/// The signals of one tunnel, in both directions.
pub(super) struct Signals {
    sid: Sid,
    seal: Seal,
    open: Open,
    /// The number of our next one.
    next: u64,
    /// By number.
    unanswered: VecDeque<Unanswered>,
    /// The last ones of the peer, by number.
    taken: VecDeque<Taken>,
    /// When the peer's signals of the last minute came.
    heard: VecDeque<Instant>,
}

/// A signal of ours whose answer is to come.
struct Unanswered {
    n: u64,
    /// What it is about.
    attempt: u64,
    record: Bytes,
    deadline: Instant,
}

/// A signal of the peer's that was taken.
struct Taken {
    n: u64,
    tag: [u8; TAG],
}

/// What is to be asked of the peer, in an iq of type `set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The number of the signal, by which to tell of its [answer](Signals::answered).
    pub(super) n: u64,
    /// The child of the iq.
    pub(super) payload: Payload,
}

impl Signals {
    /// Those of the tunnel that this stream began, with keys that were used for nothing yet.
    pub(super) fn new(sid: Sid, seal: Seal, open: Open) -> Self {
        Self {
            sid,
            seal,
            open,
            next: 0,
            unanswered: VecDeque::new(),
            taken: VecDeque::new(),
            heard: VecDeque::new(),
        }
    }

    // Ours.

    /// Seals a signal. `None` while too many are unanswered, and if cryptography fails: it is as if no answer came.
    pub(super) fn send(&mut self, now: Instant, signal: &Signal) -> Option<Request> {
        if self.unanswered.len() >= MAX_UNANSWERED {
            return None;
        }
        let n = self.next;
        let record = self.seal.seal(n, &signal.write()).ok()?;
        self.next = n.saturating_add(1);
        let unanswered = Unanswered {
            n,
            attempt: signal.attempt(),
            record,
            deadline: now + ANSWER,
        };
        let request = self.request(&unanswered);
        self.unanswered.push_back(unanswered);
        Some(request)
    }

    /// The answer to one of ours has come, or an error: which attempt it was about, if it was awaited.
    pub(super) fn answered(&mut self, n: u64) -> Option<u64> {
        let at = self.unanswered.iter().position(|one| one.n == n)?;
        Some(self.unanswered.remove(at)?.attempt)
    }

    /// Whether the answer to this one is to come.
    pub(super) fn awaits(&self, n: u64) -> bool {
        self.unanswered.iter().any(|one| one.n == n)
    }

    /// What is unanswered goes to the peer again, over another binding: the same numbers, the same bytes.
    pub(super) fn again(&mut self, now: Instant) -> Vec<Request> {
        for unanswered in &mut self.unanswered {
            unanswered.deadline = now + ANSWER;
        }
        let unanswered = self.unanswered.iter();
        unanswered.map(|one| self.request(one)).collect()
    }

    /// When to call [`Signals::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.unanswered.iter().map(|one| one.deadline).min()
    }

    /// Forgets those whose answer has not come in time: which attempt the last of them was about.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<u64> {
        let late = self.unanswered.iter().filter(|one| one.deadline <= now);
        let attempt = late.map(|one| one.attempt).max();
        self.unanswered.retain(|one| one.deadline > now);
        attempt
    }

    fn request(&self, unanswered: &Unanswered) -> Request {
        let n = unanswered.n;
        let sealed = Sealed {
            sid: self.sid.clone(),
            n,
            record: unanswered.record.clone(),
        };
        Request {
            n,
            payload: Payload::Other(sealed.to_element()),
        }
    }

    // The peer's.

    /// Opens a signal of the peer's. `None` is one that was taken before: it is answered again, and nothing follows from it.
    ///
    /// # Errors
    /// What the peer is answered instead of a result.
    pub(super) fn take(
        &mut self,
        now: Instant,
        sealed: &Sealed,
    ) -> Result<Option<Signal>, StanzaError> {
        if !self.admit(now) || sealed.record.len() > MAX_RECORD {
            let condition = Condition::PolicyViolation;
            return Err(StanzaError::new(ErrorType::Wait, condition));
        }
        let refuse = |condition| StanzaError::new(ErrorType::Cancel, condition);
        let opened = self.open.open(sealed.n, &sealed.record);
        if self.taken.back().is_some_and(|last| sealed.n <= last.n) {
            return match opened {
                // The peer seals one signal with a number, so this is that one.
                Ok(_) if self.has_taken(sealed) => Ok(None),
                Ok(_) | Err(_) => Err(refuse(Condition::UnexpectedRequest)),
            };
        }
        let signal = opened.ok().and_then(|plain| Signal::read(&plain).ok());
        let signal = signal.ok_or_else(|| refuse(Condition::NotAcceptable))?;
        if self.taken.len() >= MAX_REMEMBERED {
            self.taken.pop_front();
        }
        self.taken.extend(Taken::of(sealed));
        Ok(Some(signal))
    }

    /// Whether one more may be looked at now.
    fn admit(&mut self, now: Instant) -> bool {
        while self.heard.front().is_some_and(|at| *at + MINUTE <= now) {
            self.heard.pop_front();
        }
        if self.heard.len() >= MAX_A_MINUTE {
            return false;
        }
        self.heard.push_back(now);
        true
    }

    fn has_taken(&self, sealed: &Sealed) -> bool {
        Taken::of(sealed).is_some_and(|this| {
            let mut taken = self.taken.iter();
            taken.any(|taken| taken.n == this.n && taken.tag == this.tag)
        })
    }
}

impl Taken {
    /// `None` for what is too short for a record.
    fn of(sealed: &Sealed) -> Option<Self> {
        let tag = *sealed.record.last_chunk()?;
        Some(Self { n: sealed.n, tag })
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals")
            .field("sid", &self.sid)
            .field("next", &self.next)
            .field("unanswered", &self.unanswered.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
