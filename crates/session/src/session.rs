//! One conversation over one ordered byte stream.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tracing::{debug, warn};
use xtls_framer::{Cutter, Limits};
use xtls_stanza::Stanza;
use xtls_tls::{Role, Standing, Tls, TlsError};

use crate::event::{By, Close, Event, Introduction, Peer, SendError, Verdict, Why};
use crate::routing::{self, Arrival};
use crate::{Binding, Config, Mode};

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
    config: Config,
    tls: Tls,
    phase: Phase,
    /// Decrypted bytes that the application has not taken. Stanzas are cut off its front.
    plain: BytesMut,
    cutter: Cutter,
    /// There is no whole stanza in `plain`, however long it is.
    starved: bool,
    events: VecDeque<Event>,
    writing: Direction,
    reading: Direction,
    /// Who sent its close_notify first.
    first: Option<By>,
    close_by: Option<Instant>,
    said_full: bool,
    unconfirmed: u64,
    /// An end that waits until what was received before it has been handed out.
    last: Option<(By, Why)>,
    /// The transport takes nothing any more.
    gone: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Phase {
    Handshaking { since: Instant, progress: Instant },
    Judging { until: Instant },
    Open { confirmed: bool },
    /// The end is decided; last words may still be waiting for the transport.
    Ending(Close),
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Open,
    Ended,
}

impl Session {
    /// Begins a session over a stream that both sides have agreed on. The client's first flight is ready at once.
    #[must_use]
    pub fn new(binding: Binding, tls: Tls, config: Config, now: Instant) -> Self {
        let limits = Limits::default().max_len(config.max_stanza).max_depth(config.max_depth);
        Self {
            binding,
            config,
            tls,
            phase: Phase::Handshaking { since: now, progress: now },
            plain: BytesMut::new(),
            cutter: Cutter::new(limits),
            starved: false,
            events: VecDeque::new(),
            writing: Direction::Open,
            reading: Direction::Open,
            first: None,
            close_by: None,
            said_full: false,
            unconfirmed: 0,
            last: None,
            gone: false,
        }
    }

    /// The context of this session.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// Takes bytes that the transport brought, in order. Never fails: the peer's faults come out as
    /// [`Event::Closed`], after its last words.
    pub fn handle_wire(&mut self, now: Instant, wire: &[u8]) {
        if self.gone || self.last.is_some() || matches!(self.phase, Phase::Ending(_) | Phase::Closed) {
            return;
        }
        self.tls.handle_wire(wire, &mut self.plain);
        self.starved = false;
        if let Phase::Handshaking { progress, .. } = &mut self.phase {
            *progress = now;
        }
        self.advance(now);
    }

    /// The transport has ended, whoever ended it. What was received before is still handed out.
    pub fn handle_wire_end(&mut self, _now: Instant) {
        self.gone = true;
        if matches!(self.phase, Phase::Ending(_) | Phase::Closed) {
            return;
        }
        self.tls.handle_wire_end();
        if self.tls.peer_closed() {
            // The peer's direction is whole; ours has nowhere to go.
            self.writing = Direction::Ended;
            self.first.get_or_insert(By::Peer);
        } else {
            self.end_after_reading(By::Transport, Why::Truncated);
        }
    }

    /// Whether the transport's bytes are welcome now. While they are not, the owner leaves them in the transport, whose
    /// window then closes: that is the back-pressure.
    #[must_use]
    pub fn wants_wire(&self) -> bool {
        !self.gone
            && self.last.is_none()
            && (self.starved || self.plain.len() < self.config.backlog)
    }

    /// Bytes for the transport, at most `max` of them.
    pub fn poll_wire(&mut self, max: usize) -> Option<Bytes> {
        if self.gone {
            return None;
        }
        let wire = self.tls.poll_wire(max);
        if self.said_full && self.room() > 0 {
            self.said_full = false;
            self.events.push_back(Event::Writable);
        }
        wire
    }

    /// How many more bytes of ciphertext the session would hold for the transport; 0 means that
    /// [`send`](Self::send) says [`SendError::Full`].
    #[must_use]
    pub fn room(&self) -> usize {
        self.config.queue.saturating_sub(self.tls.wire_pending())
    }

    /// What happened. Stanzas are cut, judged and restored here, one a call, so an owner that stops asking stops the peer.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if let Some(event) = self.poll_inner() {
            return Some(event);
        }
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if let Phase::Ending(close) = &self.phase
            && (self.gone || self.tls.wire_pending() == 0)
        {
            let close = close.clone();
            self.phase = Phase::Closed;
            self.plain.clear();
            debug!(by = ?close.by, clean = close.clean, "session closed");
            return Some(Event::Closed(close));
        }
        None
    }

    /// The next moment at which something runs out.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let own = match &self.phase {
            Phase::Handshaking { since, progress } => {
                let at = (*progress + self.config.handshake_idle)
                    .min(*since + self.config.handshake_total);
                Some(Deadline { at, why: "handshake" })
            }
            Phase::Judging { until } => Some(Deadline { at: *until, why: "verdict" }),
            Phase::Open { .. } | Phase::Ending(_) => {
                self.close_by.map(|at| Deadline { at, why: "close" })
            }
            Phase::Closed => return None,
        };
        let close = self.close_by.map(|at| Deadline { at, why: "close" });
        [own, close].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    /// Tells the time when a deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = self.poll_timeout().is_some_and(|deadline| deadline.at <= now);
        if !due {
            return;
        }
        match &self.phase {
            Phase::Handshaking { .. } => self.end(By::Us, Why::HandshakeTimeout),
            Phase::Judging { .. } => self.end(By::Us, Why::JudgingTimeout),
            Phase::Open { .. } => self.end(By::Us, Why::CloseTimeout),
            Phase::Ending(_) => {}
            Phase::Closed => return,
        }
        // Last words have had their time.
        self.gone = true;
    }

    /// Sends one stanza. `to` and `from` may be absent or truthful; they do not travel.
    ///
    /// # Errors
    /// The caller's faults: see [`SendError`]. Nothing was sent then.
    pub fn send(&mut self, stanza: &Stanza) -> Result<(), SendError> {
        if self.binding.service.mode() == Mode::Bytes {
            return Err(SendError::Mode("bytes, not stanzas"));
        }
        self.may_write()?;
        let stripped = routing::strip(stanza, &self.binding)?;
        let mut xml = Vec::with_capacity(stripped.children.len() + 256);
        stripped.write(&mut xml);
        if xml.len() > self.config.max_stanza {
            return Err(SendError::TooLong { length: xml.len(), limit: self.config.max_stanza });
        }
        self.write_plain(&xml)?;
        self.count_early(1);
        Ok(())
    }

    /// Writes bytes (byte mode), as many as there is room for, and says how many.
    ///
    /// # Errors
    /// The caller's faults: see [`SendError`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, SendError> {
        if self.binding.service.mode() == Mode::Stanzas {
            return Err(SendError::Mode("stanzas, not bytes"));
        }
        self.may_write()?;
        let taken = bytes.get(..bytes.len().min(self.room())).unwrap_or(bytes);
        self.write_plain(taken)?;
        self.count_early(taken.len() as u64);
        Ok(taken.len())
    }

    /// Reads bytes (byte mode), at most `max`.
    pub fn read(&mut self, max: usize) -> Option<Bytes> {
        let open = matches!(self.phase, Phase::Open { confirmed: true });
        if !open || self.binding.service.mode() == Mode::Stanzas || self.plain.is_empty() {
            return None;
        }
        let length = self.plain.len().min(max);
        Some(self.plain.split_to(length).freeze())
    }

    /// The owner's word on [`Event::Judge`]. Ignored in any other state.
    pub fn judge(&mut self, now: Instant, verdict: Verdict) {
        if !matches!(self.phase, Phase::Judging { .. }) {
            return;
        }
        match verdict {
            Verdict::Accept => {
                self.open();
                self.advance(now);
            }
            Verdict::Refuse => self.end(By::Us, Why::Refused),
        }
    }

    /// Ends our direction: close_notify after all that was sent. The peer's direction stays open without a limit.
    pub fn finish(&mut self, now: Instant) {
        match self.phase {
            Phase::Handshaking { .. } | Phase::Judging { .. } => self.end(By::Us, Why::Aborted),
            Phase::Open { .. } if self.writing == Direction::Open => {
                self.tls.close();
                self.writing = Direction::Ended;
                self.first.get_or_insert(By::Us);
                self.advance(now);
            }
            Phase::Open { .. } | Phase::Ending(_) | Phase::Closed => {}
        }
    }

    /// Ends our direction and gives the peer the configured time to end its own.
    pub fn close(&mut self, now: Instant) {
        self.finish(now);
        if !matches!(self.phase, Phase::Closed) && self.close_by.is_none() {
            self.close_by = Some(now + self.config.close);
        }
    }

    /// Ends the session at once, without close_notify: the peer will see a truncation.
    pub fn abort(&mut self) {
        self.end(By::Us, Why::Aborted);
        self.gone = true;
    }

    /// Keying material bound to this session (RFC 5705, RFC 8446 §7.5), once it is open.
    ///
    /// # Errors
    /// [`SendError::NotOpen`] before that.
    pub fn export(&self, label: &str, context: &[u8], out: &mut [u8]) -> Result<(), SendError> {
        self.tls.export(label, context, out).map_err(|_| SendError::NotOpen)
    }

    /// Follows what TLS has reached.
    fn advance(&mut self, now: Instant) {
        if let Some(error) = self.tls.failure() {
            let error = error.clone();
            let by = if matches!(error, TlsError::Alert(_)) { By::Peer } else { By::Us };
            self.end_after_reading(by, Why::Tls(error));
            return;
        }
        if matches!(self.phase, Phase::Handshaking { .. })
            && let Some(peer) = self.tls.peer()
        {
            match peer.standing {
                Standing::Pinned(_) => self.open(),
                Standing::New => {
                    let fingerprint = peer.fingerprint;
                    self.phase = Phase::Judging { until: now + self.config.judging };
                    let peer = self.binding.peer.clone();
                    self.events.push_back(Event::Judge(Introduction { peer, fingerprint }));
                }
            }
        }
        if matches!(self.phase, Phase::Open { confirmed: false }) && !self.plain.is_empty() {
            self.confirm();
        }
        if self.tls.peer_closed() {
            self.first.get_or_insert(By::Peer);
        }
        if self.binding.service.mode() == Mode::Bytes
            && matches!(self.phase, Phase::Open { confirmed: true })
            && !self.plain.is_empty()
            && self.events.back() != Some(&Event::Readable)
        {
            self.events.push_back(Event::Readable);
        }
    }

    /// Our own verdict is given.
    fn open(&mut self) {
        match self.binding.role {
            Role::Server => {
                // The confirmation: one space, legal between stanzas, after our verdict on the client and never before.
                if self.tls.write(b" ").is_err() {
                    self.end(By::Us, Why::Aborted);
                    return;
                }
                self.phase = Phase::Open { confirmed: true };
                self.establish();
            }
            Role::Client => {
                self.phase = Phase::Open { confirmed: false };
                self.events.push_back(Event::Ready);
            }
        }
    }

    /// The first application byte has come: the responder has accepted our key.
    fn confirm(&mut self) {
        if self.binding.service.mode() == Mode::Bytes {
            match self.plain.first() {
                Some(b' ') => drop(self.plain.split_to(1)),
                Some(&other) => {
                    self.end(By::Us, Why::Confirmation(other));
                    return;
                }
                None => return,
            }
        }
        self.phase = Phase::Open { confirmed: true };
        self.unconfirmed = 0;
        self.establish();
    }

    fn establish(&mut self) {
        let Some(key) = self.tls.peer().cloned() else { return };
        let bound = self.tls.alpn().is_some();
        let address = self.binding.peer.clone();
        self.events.push_back(Event::Established(Peer { address, key, bound }));
    }

    /// The next stanza, or the end of the peer's direction.
    fn poll_inner(&mut self) -> Option<Event> {
        while matches!(self.phase, Phase::Open { .. }) && self.reading == Direction::Open {
            let stanzas = self.binding.service.mode() == Mode::Stanzas;
            if stanzas && matches!(self.phase, Phase::Open { confirmed: true }) {
                match self.cutter.cut(&mut self.plain) {
                    Ok(Some(frame)) => match self.arrive(frame.into_bytes()) {
                        Some(event) => return Some(event),
                        None => continue,
                    },
                    Ok(None) => self.starved = true,
                    Err(error) => {
                        self.end(By::Us, Why::Framing(error));
                        return None;
                    }
                }
            } else if !self.plain.is_empty() {
                return None;
            }
            if let Some((by, why)) = self.last.take() {
                self.end(by, why);
                return None;
            }
            if !self.tls.peer_closed() {
                return None;
            }
            if stanzas && self.cutter.finish(&self.plain).is_err() {
                self.end(By::Peer, Why::Truncated);
                return None;
            }
            self.reading = Direction::Ended;
            self.settle();
            return Some(Event::PeerFinished);
        }
        self.settle();
        None
    }

    /// Ends the session once both directions have ended.
    fn settle(&mut self) {
        if matches!(self.phase, Phase::Open { .. })
            && self.reading == Direction::Ended
            && self.writing == Direction::Ended
        {
            self.end(self.first.unwrap_or(By::Us), Why::Finished);
        }
    }

    fn arrive(&mut self, frame: Bytes) -> Option<Event> {
        let stanza = match Stanza::read(&frame) {
            Ok(stanza) => stanza,
            Err(error) => {
                self.end(By::Us, Why::Xml(error));
                return None;
            }
        };
        match routing::restore(stanza, &self.binding) {
            Ok(Arrival::Deliver(stanza)) => Some(Event::Stanza(stanza)),
            Ok(Arrival::Answer { reply, refused }) => {
                self.reply(&reply);
                refused.map(Event::Refused)
            }
            Ok(Arrival::Drop(violation)) => Some(Event::Refused(violation)),
            Err(violation) => {
                warn!("a stanza inside the tunnel broke the binding");
                self.end(By::Us, Why::Routing(violation));
                None
            }
        }
    }

    /// Answers in the channel of the request. An answer that finds our direction closed is dropped, as RFC 6120 drops
    /// what arrives after the stream's end.
    fn reply(&mut self, reply: &Stanza) {
        if self.writing == Direction::Ended {
            return;
        }
        let mut xml = Vec::new();
        reply.write(&mut xml);
        if self.tls.write(&xml).is_err() {
            self.end(By::Us, Why::Unread);
        }
    }

    fn may_write(&mut self) -> Result<(), SendError> {
        match self.phase {
            Phase::Handshaking { .. } | Phase::Judging { .. } => return Err(SendError::NotOpen),
            Phase::Ending(_) | Phase::Closed => return Err(SendError::Finished),
            Phase::Open { .. } => {}
        }
        if self.writing == Direction::Ended || self.last.is_some() {
            return Err(SendError::Finished);
        }
        if self.room() == 0 {
            self.said_full = true;
            return Err(SendError::Full);
        }
        Ok(())
    }

    fn write_plain(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.tls.write(bytes).map_err(|_| SendError::Finished)
    }

    fn count_early(&mut self, sent: u64) {
        if matches!(self.phase, Phase::Open { confirmed: false }) {
            self.unconfirmed = self.unconfirmed.saturating_add(sent);
        }
    }

    /// An end that must not swallow what was received, and authenticated, before it.
    fn end_after_reading(&mut self, by: By, why: Why) {
        if matches!(self.phase, Phase::Open { confirmed: true }) && self.reading == Direction::Open {
            self.last.get_or_insert((by, why));
        } else {
            self.end(by, why);
        }
    }

    fn end(&mut self, by: By, why: Why) {
        if matches!(self.phase, Phase::Ending(_) | Phase::Closed) {
            return;
        }
        let clean = self.reading == Direction::Ended;
        let close = Close { by, why, clean, unconfirmed: self.unconfirmed };
        self.phase = Phase::Ending(close);
        self.events.retain(|event| !matches!(event, Event::Judge(_) | Event::Readable));
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
