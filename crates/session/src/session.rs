//! One conversation over one ordered byte stream.

mod finish;
mod inner;
mod keys;
mod life;
mod probe;
mod requests;
mod sign;
mod steps;
mod traffic;
mod trust;
mod verify;
mod write;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use xtls_framer::{Cutter, Limits};
use xtls_tls::Tls;

use crate::event::{By, Close, Event, SendError, Why};
use crate::{Binding, Config, Mode, Service};

pub use finish::Carried;
use finish::Finish;
use keys::Keys;
use probe::Probe;
use sign::Signs;
pub use traffic::Traffic;
use verify::Verification;

/// When a session next wants [`Session::handle_timeout`], and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// What runs out then.
    pub why: &'static str,
}

/// The secure life of one pair of addresses over one byte stream.
///
/// The owner moves bytes: what the transport brings goes into [`handle_wire`](Self::handle_wire) while
/// [`wants_wire`](Self::wants_wire), what [`poll_wire`](Self::poll_wire) gives goes out in order, and
/// [`poll_event`](Self::poll_event) is asked until it has nothing. The session knows neither the transport nor the time.
pub struct Session {
    binding: Binding,
    config: Arc<Config>,
    tls: Tls,
    phase: Phase,
    /// Until the peer has named one: the services that we take beside that of the binding.
    also: Vec<Service>,
    /// Decrypted bytes that the application has not taken. Stanzas are cut off its front.
    plain: BytesMut,
    cutter: Cutter,
    /// Whole stanzas that were cut off `plain`, and how many bytes they have.
    ahead: VecDeque<Bytes>,
    ahead_bytes: usize,
    /// The responder has given a sign that it accepts our key.
    accepted: bool,
    verification: Verification,
    /// The time as we were told last.
    now: Instant,
    /// There is no whole stanza in `plain`, however long it is.
    starved: bool,
    events: VecDeque<Event>,
    writing: Direction,
    reading: Direction,
    /// Who sent its close_notify first.
    first: Option<By>,
    finish: Finish,
    /// When [`close`](Self::close) stops waiting.
    close_by: Option<Instant>,
    /// The time of [`close`](Self::close) is over.
    hasty: bool,
    /// When an alert stops waiting for the transport.
    last_words_by: Option<Instant>,
    said_full: bool,
    unconfirmed: u64,
    /// An end that waits until what was received before it has been handed out.
    last: Option<Box<(By, Why)>>,
    /// Nothing goes to the transport any more, and nothing comes from it.
    gone: bool,
    keys: Keys,
    probe: Probe,
    signs: Signs,
    /// The ids of our requests that wait for their answers.
    pending: BTreeSet<Box<str>>,
    traffic: Traffic,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Handshaking {
        since: Instant,
        progress: Instant,
    },
    Judging {
        until: Option<Instant>,
        /// A code has spoken against the key, so that it is not accepted before it is verified.
        doubted: bool,
    },
    /// While it is not confirmed, only steps of a verification have come, and `plain` holds a part of one at most.
    Open {
        confirmed: bool,
    },
    /// The end is decided; an alert may still be waiting for the transport.
    Ending(Box<Close>),
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Open,
    /// `<finish/>` has passed: nothing but answers and signs of life follows.
    Finished,
    /// close_notify has passed.
    Ended,
}

impl Session {
    /// Begins a session over a stream that both sides have agreed on. The client's first flight is ready at once.
    ///
    /// Sessions may share one configuration: `config` is one, or an `Arc` of one.
    #[must_use]
    pub fn new(binding: Binding, tls: Tls, config: impl Into<Arc<Config>>, now: Instant) -> Self {
        let config = config.into();
        let limits = Limits::default()
            .max_len(config.max_stanza)
            .max_depth(config.max_depth);
        Self {
            binding,
            config,
            tls,
            phase: Phase::Handshaking {
                since: now,
                progress: now,
            },
            also: Vec::new(),
            plain: BytesMut::new(),
            cutter: Cutter::new(limits),
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            accepted: false,
            verification: Verification::default(),
            now,
            starved: false,
            events: VecDeque::new(),
            writing: Direction::Open,
            reading: Direction::Open,
            first: None,
            finish: Finish::default(),
            close_by: None,
            hasty: false,
            last_words_by: None,
            said_full: false,
            unconfirmed: 0,
            last: None,
            gone: false,
            keys: Keys::default(),
            probe: Probe::default(),
            signs: Signs::default(),
            pending: BTreeSet::new(),
            traffic: Traffic::default(),
        }
    }

    /// A responder that takes other services too, as [`Binding::expect_one_of`] has told TLS. Which one it is, the
    /// [`Peer`](crate::Peer) of [`Event::Established`] says.
    #[must_use]
    pub fn serving(mut self, also: Vec<Service>) -> Self {
        self.also = also;
        self
    }

    /// The context of this session.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// Takes bytes that the transport brought, in order. Never fails: the peer's faults come out as
    /// [`Event::Closed`], after its last words.
    pub fn handle_wire(&mut self, now: Instant, wire: &[u8]) {
        let over = matches!(self.phase, Phase::Ending(_) | Phase::Closed);
        if over || self.gone || self.last.is_some() || wire.is_empty() {
            return;
        }
        self.now = now;
        let before = self.plain.len();
        self.tls.handle_wire(wire, &mut self.plain);
        self.starved = false;
        if let Phase::Handshaking { progress, .. } = &mut self.phase {
            *progress = now;
        }
        // New keys are no plaintext, and the only sign of life among bytes.
        if self.plain.len() > before || self.binding.service.mode() == Mode::Bytes {
            self.probe.heard(now);
        }
        self.signs.read();
        self.advance(now);
        self.count(wire.len());
        self.look_ahead();
    }

    /// The transport has ended, whoever ended it. What was received before is still handed out.
    pub fn handle_wire_end(&mut self, _now: Instant) {
        self.gone = true;
        if matches!(self.phase, Phase::Ending(_) | Phase::Closed) {
            return;
        }
        self.tls.handle_wire_end();
        if !self.tls.peer_closed() {
            self.end_after_reading(By::Transport, Why::Truncated);
        } else if !self.is_flushed() {
            self.end_after_reading(By::Transport, Why::Unfinished);
        }
    }

    /// Whether the transport's bytes are welcome now. While they are not, the owner leaves them in the transport, whose
    /// window then closes: that is the back-pressure. Handing events out and [`read`](Self::read) may change it.
    #[must_use]
    pub fn wants_wire(&self) -> bool {
        // Bytes are handed out as they are, so that more than a record is of no use.
        let most = match self.binding.service.mode() {
            Mode::Bytes => self.config.backlog.min(xtls_tls::MAX_RECORD),
            Mode::Stanzas => self.config.backlog,
        };
        let room = self.starved || self.plain.len() + self.ahead_bytes < most;
        room && !self.gone && self.last.is_none()
    }

    /// Bytes for the transport, at most `max` of them.
    pub fn poll_wire(&mut self, max: usize) -> Option<Bytes> {
        if self.gone {
            return None;
        }
        let wire = self.tls.poll_wire(max);
        // At half of the queue, so that the application is not woken for every byte.
        let half = self.tls.wire_pending() <= self.config.queue / 2;
        if self.said_full && half && wire.is_some() {
            self.said_full = false;
            let open = matches!(self.phase, Phase::Open { .. });
            if open && self.writing == Direction::Open {
                self.events.push_back(Event::Writable);
            }
        }
        wire
    }

    /// What [`poll_wire`](Self::poll_wire) has to give, without taking it: a first flight that may travel ahead of the
    /// transport, and must travel on it if nobody took it there.
    #[must_use]
    pub fn peek_wire(&self) -> &[u8] {
        self.tls.peek_wire()
    }

    /// The transport stands only now, though the first flight was made earlier: the handshake's limits count from here.
    pub fn begun(&mut self, now: Instant) {
        if let Phase::Handshaking { since, progress } = &mut self.phase {
            (*since, *progress) = (now, now);
        }
    }

    /// How many more bytes [`write`](Self::write) takes: what becomes of them fills the queue and no more. 0 means that
    /// [`send`](Self::send) says [`SendError::Full`].
    #[must_use]
    pub fn room(&self) -> usize {
        let pending = self.tls.wire_pending();
        let queue = write::fitting(self.config.queue.saturating_sub(pending));
        // However small the queue is, something must go on.
        queue.max(usize::from(pending == 0)).min(self.tls.room())
    }

    /// What happened. Stanzas are cut, judged and restored here, one a call, so an owner that stops asking stops the peer.
    ///
    /// An answer to a peer's request may be in [`poll_wire`](Self::poll_wire) afterwards.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front().or_else(|| self.poll_inner());
        // An end that was found just now may have broken off a verification.
        let event = event.or_else(|| self.events.pop_front());
        if event.is_some() {
            return event;
        }
        if self.events.capacity() > 0 {
            // An idle session holds no memory for events.
            self.events = VecDeque::new();
        }
        if let Phase::Ending(close) = &self.phase
            && (self.gone || self.tls.wire_pending() == 0)
        {
            let close = close.clone();
            if let Some(unanswered) = self.poll_unanswered() {
                return Some(Event::Unanswered(unanswered));
            }
            self.phase = Phase::Closed;
            self.gone = true;
            self.plain = BytesMut::new();
            return Some(Event::Closed(*close));
        }
        None
    }

    /// The next moment at which something runs out.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let verification = self.verification.until.map(|at| Deadline {
            at,
            why: "verification",
        });
        [verification, self.phase_timeout()]
            .into_iter()
            .flatten()
            .min_by_key(|deadline| deadline.at)
    }

    fn phase_timeout(&self) -> Option<Deadline> {
        let (at, why) = match self.phase {
            Phase::Handshaking { .. } if planted!("handshake-without-timer") => (None, "handshake"),
            Phase::Handshaking { since, progress } => {
                let idle = progress.checked_add(self.config.handshake_idle);
                let total = since.checked_add(self.config.handshake_total);
                ([idle, total].into_iter().flatten().min(), "handshake")
            }
            Phase::Judging { .. } if self.verification.is_wanted() => (None, "verdict"),
            Phase::Judging { until, .. } => (until, "verdict"),
            Phase::Open { .. } => return self.open_deadline(),
            Phase::Ending(_) if self.gone => (None, "last words"),
            Phase::Ending(_) => (self.last_words_by, "last words"),
            Phase::Closed => (None, "nothing"),
        };
        at.map(|at| Deadline { at, why })
    }

    /// Tells the time when a deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.verification.until.is_some_and(|until| until <= now) {
            self.verification_expires();
        }
        if self
            .phase_timeout()
            .is_none_or(|deadline| deadline.at > now)
        {
            return;
        }
        match &self.phase {
            Phase::Handshaking { .. } => self.end(By::Us, Why::HandshakeTimeout),
            Phase::Judging { .. } => self.end(By::Us, Why::JudgingTimeout),
            Phase::Open { .. } => self.open_timeout(now),
            Phase::Ending(_) => self.gone = true,
            Phase::Closed => {}
        }
    }

    /// Whether the end is decided, or the time of [`close`](Self::close) is over: what is left to hand out waits for nobody.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        let ended = matches!(self.phase, Phase::Ending(_) | Phase::Closed);
        ended || self.gone || self.last.is_some() || self.hasty
    }

    /// As [`close`](Self::close), with last bytes (byte mode) that may exceed the queue by as much as TLS holds
    /// ([`xtls_tls::Config::max_pending`]).
    ///
    /// # Errors
    /// See [`SendError`]. The session goes on then.
    pub fn close_after(&mut self, now: Instant, last: &[u8]) -> Result<(), SendError> {
        if !last.is_empty() {
            self.write_last(last)?;
        }
        self.close(now);
        Ok(())
    }

    /// Ends the session at once, without close_notify: the peer will see a truncation. What was not handed out yet is
    /// dropped.
    pub fn abort(&mut self) {
        let (by, why) = self.take_last().unwrap_or((By::Us, Why::Aborted));
        self.end(by, why);
        self.gone = true;
    }

    /// Keying material bound to this session (RFC 5705, RFC 8446 §7.5), while it is open.
    ///
    /// # Errors
    /// [`SendError::NotOpen`] before the verdict and after the end.
    pub fn export(&self, label: &str, context: &[u8], out: &mut [u8]) -> Result<(), SendError> {
        if !matches!(self.phase, Phase::Open { .. }) {
            return Err(SendError::NotOpen);
        }
        self.tls
            .export(label, context, out)
            .map_err(|_| SendError::NotOpen)
    }

    /// What has passed in and out so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Whether the key exchange resists quantum computers; `None` until the handshake is finished.
    #[must_use]
    pub fn is_post_quantum(&self) -> Option<bool> {
        self.tls.is_post_quantum()
    }

    /// What runs out next while the session is open.
    fn open_deadline(&self) -> Option<Deadline> {
        let close = self.close_by.map(|at| Deadline { at, why: "close" });
        let probe = self.probe_deadline();
        let keys = self.keys_deadline();
        [
            close,
            probe,
            keys,
            self.finish_deadline(),
            self.sign_deadline(),
            self.confirm_deadline(),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|deadline| deadline.at)
    }

    fn open_timeout(&mut self, now: Instant) {
        if self.close_by.is_some_and(|at| at <= now) {
            self.close_now(now);
        } else if self.finish_deadline().is_some_and(|due| due.at <= now) {
            self.shut();
            self.advance(now);
        } else if self.confirm_deadline().is_some_and(|due| due.at <= now) {
            self.end(By::Peer, Why::Unconfirmed);
        } else if self
            .keys_deadline()
            .is_some_and(|deadline| deadline.at <= now)
        {
            self.age(Some(now));
        } else if self.sign_deadline().is_some_and(|sign| sign.at <= now) {
            self.sign_now(now);
        } else {
            self.probe_now(now);
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("binding", &self.binding)
            .field("phase", &self.phase)
            .field("plain", &self.plain.len())
            .finish_non_exhaustive()
    }
}
