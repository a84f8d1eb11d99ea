//! One conversation over one ordered byte stream.

mod bytes;
mod ends;
mod inside;
mod keepalive;
mod key_use;
mod phase;
mod requests;
mod stanzas;
mod timer;
mod traffic;
mod verification;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use ::bytes::Bytes;
use tracing::{debug, warn};
use xtls_framer::is_one;
use xtls_stanza::verify::{Reason, Step};
use xtls_stanza::{PayloadError, Stanza, finish};
use xtls_tls::trust::TrustError;
use xtls_tls::{
    Fingerprint, MAX_RECORD, PathKeys, RECORD_OVERHEAD, Role, Standing, Tls, TlsError, WriteError,
};
use zeroize::Zeroizing;

use crate::event::{By, Close, Event, Introduction, JudgeError, Peer, SendError, Verdict, Why};
use crate::routing::{self, Arrival};
use crate::verify::{Broken, Compare, Run, VerifyError};
use crate::{Binding, Config, Mode, Service};

use self::bytes::Confirmation;
pub use self::ends::Carried;
use self::ends::{Ends, is_free_to_say};
use self::inside::Inside;
use self::keepalive::Keepalive;
use self::key_use::KeyUse;
use self::phase::Phase;
use self::requests::Requests;
use self::stanzas::{Responds, SMALL, is_small_ping};
use self::timer::{Timer, Timers};
pub use self::traffic::Traffic;
use self::verification::{Effects, Limit, Verification};

/// When a session next wants [`Session::handle_timeout`], and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// What runs out then.
    pub why: &'static str,
}

/// A secure conversation between one pair of addresses over one byte stream.
///
/// The owner moves bytes: what the transport brings goes into [`handle_wire`](Self::handle_wire) while
/// [`wants_wire`](Self::wants_wire), what [`poll_wire`](Self::poll_wire) gives goes out in order, and
/// [`poll_event`](Self::poll_event) is called until it returns `None`. The session knows neither the transport nor the time.
pub struct Session {
    binding: Binding,
    config: Arc<Config>,
    tls: Tls,
    transport: Transport,
    phase: Phase,
    /// Until the peer has named one: the services that we take beside that of the binding.
    also: Vec<Service>,
    inside: Inside,
    ends: Ends,
    /// An end that waits until what was received before it has been handed out.
    end_after_reading: Option<Box<(By, Why)>>,
    hurry: Hurry,
    verification: Verification,
    requests: Requests,
    keepalive: Keepalive,
    key_use: KeyUse,
    traffic: Traffic,
    wire_sent: u64,
    wire_received: u64,
    timers: Timers,
    /// The time that was passed in last.
    now: Instant,
    events: VecDeque<Event>,
    writer: Writer,
}

/// Whether bytes can go to the transport and come from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Up,
    Gone,
}

/// What [`Session::close`] has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hurry {
    /// Its time is not over, if it was called.
    InTime,
    Over,
}

/// What the application waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Ready,
    /// It found the queue full, and waits for [`Event::Writable`].
    Waiting,
}

impl Session {
    /// Starts a session over a stream that both sides have agreed on. The client's first flight is ready at once.
    ///
    /// Sessions may share one configuration: `config` is one, or an `Arc` of one.
    #[must_use]
    pub fn new(binding: Binding, tls: Tls, config: impl Into<Arc<Config>>, now: Instant) -> Self {
        let config = config.into();
        let inside = Inside::new(binding.service.mode(), &config);
        let mut session = Self {
            binding,
            config,
            tls,
            transport: Transport::Up,
            phase: Phase::Handshaking,
            also: Vec::new(),
            inside,
            ends: Ends::default(),
            end_after_reading: None,
            hurry: Hurry::InTime,
            verification: Verification::default(),
            requests: Requests::default(),
            keepalive: Keepalive::default(),
            key_use: KeyUse::default(),
            traffic: Traffic::default(),
            wire_sent: 0,
            wire_received: 0,
            timers: Timers::default(),
            now,
            events: VecDeque::new(),
            writer: Writer::Ready,
        };
        session.begun(now);
        session
    }

    /// A responder that accepts these services too, as passed to [`Binding::expect_one_of`]. The [`Peer`](crate::Peer) of
    /// [`Event::Established`] has the one that the initiator chose.
    #[must_use]
    pub fn serving(mut self, also: Vec<Service>) -> Self {
        self.also = also;
        self
    }

    /// Sets this session's number among those of its owner, so that no two of their [runs](Run) have one name. Default 0.
    #[must_use]
    pub fn numbered(mut self, session: u64) -> Self {
        self.verification.number(session);
        self
    }

    /// The context of this session.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The transport is open only now, although the first flight was made earlier: the handshake's time limits start here.
    pub fn begun(&mut self, now: Instant) {
        if self.phase == Phase::Handshaking {
            let (idle, total) = (self.config.handshake_idle, self.config.handshake_total);
            self.timers.set(Timer::HandshakeIdle, now.checked_add(idle));
            self.timers
                .set(Timer::HandshakeTotal, now.checked_add(total));
        }
    }

    // The wire.

    /// Takes bytes that the transport received, in order. Never fails: the peer's faults come out as [`Event::Closed`],
    /// after everything that it sent before them.
    pub fn handle_wire(&mut self, now: Instant, wire: &[u8]) {
        let ending = self.phase.is_over() || self.end_after_reading.is_some();
        if ending || self.is_cut() || wire.is_empty() {
            return;
        }
        self.now = now;
        self.wire_received = self.wire_received.saturating_add(wire.len() as u64);
        let plain = self.inside.buffer();
        let before = plain.len();
        self.tls.handle_wire(wire, plain);
        let grown = plain.len() > before;
        let idle = now.checked_add(self.config.handshake_idle);
        self.timers.set(Timer::HandshakeIdle, idle);
        // New keys are no plaintext, and the only sign of life among bytes.
        if grown || self.inside.mode() == Mode::Bytes {
            self.keepalive.on_sign(now, &self.config, &mut self.timers);
        }
        self.advance(now);
        self.keepalive.on_read(self.inside.mode(), &mut self.timers);
        self.count(wire.len());
        self.look_ahead();
    }

    /// The transport has ended, for whatever reason. What was received before is still handed out.
    pub fn handle_wire_end(&mut self, _now: Instant) {
        self.transport = Transport::Gone;
        if self.phase.is_over() {
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
        let room = self.inside.wants_more(self.config.backlog);
        room && !self.is_cut() && self.end_after_reading.is_none()
    }

    /// Bytes for the transport, at most `max` of them.
    pub fn poll_wire(&mut self, max: usize) -> Option<Bytes> {
        if self.is_cut() {
            return None;
        }
        let wire = self.tls.poll_wire(max);
        let sent = wire.as_ref().map_or(0, Bytes::len);
        self.wire_sent = self.wire_sent.saturating_add(sent as u64);
        // At half of the queue, so that the application is not woken for every byte.
        let half = self.tls.wire_pending() <= self.config.queue / 2;
        if self.writer == Writer::Waiting && half && wire.is_some() {
            self.writer = Writer::Ready;
            if self.phase.is_open() && self.ends.may_write() {
                self.events.push_back(Event::Writable);
            }
        }
        wire
    }

    /// What [`poll_wire`](Self::poll_wire) returns next, without taking it, before anything was sent: a first flight that may
    /// travel ahead of the transport, and must travel on it otherwise.
    #[must_use]
    pub fn peek_wire(&self) -> &[u8] {
        self.tls.peek_wire()
    }

    /// Whether nothing goes to the transport any more, and nothing comes from it.
    fn is_cut(&self) -> bool {
        self.transport == Transport::Gone
    }

    /// Whether our close_notify has been handed to the transport, and so everything before it.
    fn is_flushed(&self) -> bool {
        self.ends.is_closed() && self.tls.wire_pending() == 0
    }

    // Time.

    /// When [`handle_timeout`](Self::handle_timeout) is due next, and what for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let due = |timer: Timer| {
            let at = self.due(timer)?;
            let why = timer.name();
            Some(Deadline { at, why })
        };
        let due = Timer::ALL.into_iter().filter_map(due);
        due.min_by_key(|deadline| deadline.at)
    }

    /// Handles the deadline that has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let is_due = |session: &Self, timer| session.due(timer).is_some_and(|at| at <= now);
        if is_due(self, Timer::Verification) {
            self.expire(Timer::Verification, now);
        }
        // One of the others a call: what it leads to may change what is due.
        if let Some(timer) = Timer::ALL.into_iter().find(|timer| is_due(self, *timer)) {
            self.expire(timer, now);
        }
    }

    /// When a timer expires, if it counts as things stand.
    fn due(&self, timer: Timer) -> Option<Instant> {
        let open = self.phase.is_open();
        let counts = match timer {
            Timer::Verification => true,
            Timer::HandshakeIdle | Timer::HandshakeTotal => self.phase == Phase::Handshaking,
            Timer::Verdict => self.is_judging() && !self.verification.is_wanted(),
            Timer::LastWords => matches!(self.phase, Phase::Ending(_)) && !self.is_cut(),
            Timer::Close => open,
            Timer::FinishAnswer => open && self.ends.awaits_answer(),
            Timer::Confirmation => {
                let verifying = self.timers.is_set(Timer::Verification);
                self.phase == Phase::Ready && self.is_bound() && !verifying
            }
            Timer::Keys => open && !self.key_use.is_reported() && !self.ends.is_closed(),
            Timer::SignOfLife => self.shows_life(),
            Timer::Probe => self.probes(),
        };
        self.timers.get(timer).filter(|_| counts)
    }

    fn expire(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::Verification => {
                self.break_verification_off(Broken::Timeout, Some(Reason::Timeout));
            }
            Timer::HandshakeIdle | Timer::HandshakeTotal => {
                self.end(By::Us, Why::HandshakeTimeout);
            }
            Timer::Verdict => self.end(By::Us, Why::JudgingTimeout),
            Timer::LastWords => self.transport = Transport::Gone,
            Timer::Close => self.close_expires(now),
            Timer::FinishAnswer => {
                self.shut();
                self.advance(now);
            }
            Timer::Confirmation => self.end(By::Peer, Why::Unconfirmed),
            Timer::Keys => self.keys_expired(Some(now)),
            Timer::SignOfLife => self.show_life(now),
            Timer::Probe => match self
                .keepalive
                .next_probe(now, &self.config, &mut self.timers)
            {
                Some(ping) => self.say(&ping),
                None => self.end_after_reading(By::Transport, Why::Silent),
            },
        }
    }

    // Phases.

    /// Follows what TLS has reached. One piece of wire may hold the end of the handshake, data and a fault, so each is
    /// looked at in that order: the same wire means the same in any cutting.
    fn advance(&mut self, now: Instant) {
        if self.phase == Phase::Handshaking {
            self.on_authenticated(now);
        }
        if self.phase.is_open() {
            let mode = self.inside.mode();
            self.keepalive
                .begin(now, &self.config, mode, &mut self.timers);
        }
        self.take_verification_steps();
        if self.phase == Phase::Ready && self.inside.is_confirmed() {
            self.on_confirmed();
        }
        if self.tls.peer_closed() {
            self.ends.on_close_notify();
            if self.is_judging() {
                self.break_verification_off(Broken::Ended, Some(Reason::Failed));
            }
            if self.is_unconfirmed() && self.is_bound() {
                self.end(By::Peer, Why::Unconfirmed);
            }
        }
        if let Inside::Bytes(bytes) = &self.inside
            && self.phase == Phase::Established
            && !bytes.is_empty()
            && self.events.back() != Some(&Event::Readable)
        {
            self.events.push_back(Event::Readable);
        }
        if let Some(error) = self.tls.failure() {
            let error = error.clone();
            let alert = matches!(error, TlsError::Alert(_));
            let by = if alert { By::Peer } else { By::Us };
            self.limit_last_words(now);
            self.end_after_reading(by, Why::Tls(error));
        }
    }

    /// The peer has proven its key, if it has.
    fn on_authenticated(&mut self, now: Instant) {
        let Some(peer) = self.tls.peer() else { return };
        let (standing, fingerprint) = (peer.standing, peer.fingerprint);
        self.verification.begin(fingerprint);
        self.settle_service();
        // rustls accepts a handshake in which no name was selected, and an owner may have forgotten to require it.
        if self.inside.mode() == Mode::Bytes && !self.is_bound() {
            self.end(By::Us, Why::Tls(TlsError::Alpn));
            self.transport = Transport::Gone;
            return;
        }
        let doubt = match standing {
            Standing::Pinned(_) => return self.open(now),
            Standing::New => None,
            Standing::Doubted(doubt) => Some(doubt),
        };
        self.phase = Phase::Judging(standing);
        let limit = now.checked_add(self.config.judging);
        self.timers.set(Timer::Verdict, limit);
        self.events.push_back(Event::Judge(Introduction {
            peer: self.binding.peer.clone(),
            fingerprint,
            doubt,
        }));
    }

    /// Of the services that we take as a responder, the one that the initiator's ClientHello asks for; a peer that knows the
    /// letter only gets stanzas. `None` until the hello was read, and if it asks for none of them, which ends the session.
    /// Nothing is proven yet.
    #[must_use]
    pub fn service_named(&self) -> Option<&Service> {
        let offered: Vec<_> = self
            .tls
            .answered_alpn()?
            .map(<[u8]>::to_vec)
            .into_iter()
            .collect();
        let services = std::iter::once(&self.binding.service).chain(&self.also);
        self.binding.service_named(&offered, services)
    }

    /// The service that the peer has named is that of the binding from now on.
    fn settle_service(&mut self) {
        let named = self.service_named().cloned();
        self.also = Vec::new();
        if let Some(service) = named.filter(|service| *service != self.binding.service) {
            self.inside.change(service.mode(), &self.config);
            self.binding.service = service;
        }
    }

    /// Whether both ends have named exactly this context.
    fn is_bound(&self) -> bool {
        let alpn = self.tls.alpn();
        alpn.is_some_and(|name| name == self.binding.alpn())
    }

    /// Our own verdict is given.
    fn open(&mut self, now: Instant) {
        self.timers
            .set(Timer::Keys, now.checked_add(self.config.key_age));
        match self.binding.role {
            Role::Server => {
                // The confirmation: one space, legal between stanzas, after our verdict on the client and never before.
                // A connection that has failed meanwhile takes none, and the failure is what counts then.
                let confirmation: &[u8] = b" ";
                if self.tls.write(confirmation).is_err() && self.tls.failure().is_none() {
                    self.end(By::Us, Why::Aborted);
                    return;
                }
                self.establish();
            }
            Role::Client => {
                self.phase = Phase::Ready;
                let limit = now.checked_add(self.config.confirming);
                self.timers.set(Timer::Confirmation, limit);
                self.events.push_back(Event::Ready);
            }
        }
    }

    /// The first application byte has come: the responder has accepted our key.
    fn on_confirmed(&mut self) {
        if let Inside::Bytes(bytes) = &mut self.inside {
            match bytes.take_confirmation() {
                Confirmation::Given => drop(self.ends.forget_unconfirmed()),
                Confirmation::Missing => return,
                Confirmation::Wrong(other) => {
                    return self.end(By::Us, Why::Confirmation(other));
                }
            }
        }
        self.establish();
    }

    fn establish(&mut self) {
        self.phase = Phase::Established;
        if let Some(key) = self.tls.peer() {
            self.events.push_back(Event::Established(Peer {
                address: self.binding.peer.clone(),
                key: key.clone(),
                bound: self.is_bound(),
                service: self.binding.service.clone(),
            }));
        }
    }

    /// Whether the responder has given no sign yet that it accepts us.
    fn is_unconfirmed(&self) -> bool {
        let awaited = match self.phase {
            Phase::Judging(_) => !self.inside.is_confirmed(),
            Phase::Ready => true,
            Phase::Handshaking | Phase::Established | Phase::Ending(_) | Phase::Closed => false,
        };
        awaited && self.binding.role == Role::Client
    }

    /// Ends the session once both directions have ended, or there is nothing left to read before a decided end.
    fn settle(&mut self) {
        if !self.phase.is_open() || !self.ends.peer_closed() {
            return;
        }
        if let Some(end) = self.end_after_reading.take() {
            self.end(end.0, end.1);
        } else if self.is_flushed() {
            self.end(self.ends.first(), Why::Finished);
        }
    }

    /// An end that must not swallow what was received, and authenticated, before it.
    ///
    /// What waits for a verdict is worth keeping only when it is whole.
    fn end_after_reading(&mut self, by: By, why: Why) {
        let keep = match self.phase {
            Phase::Ready | Phase::Established => true,
            Phase::Judging(_) => self.tls.peer_closed(),
            Phase::Handshaking | Phase::Ending(_) | Phase::Closed => false,
        };
        if keep {
            self.end_after_reading
                .get_or_insert_with(|| Box::new((by, why)));
        } else {
            self.end(by, why);
        }
    }

    /// As [`end`](Self::end), for this reason if none was found before.
    fn end_now(&mut self, by: By, why: Why) {
        let (by, why) = self.end_after_reading.take().map_or((by, why), |end| *end);
        self.end(by, why);
    }

    /// Decides the end. Only alerts go out after it, of TLS about its own failure and of an owner who turns the peer away:
    /// contents that break a rule earn none, and a close_notify, even one that was queued before, would claim that all was well.
    fn end(&mut self, by: By, why: Why) {
        if self.phase.is_over() {
            return;
        }
        if !matches!(why, Why::Tls(_) | Why::Refused | Why::Untrusted(_)) {
            self.transport = Transport::Gone;
        }
        let clean = self.ends.peer_finished();
        // A peer that has finished had nothing more to say.
        let why = if clean && why == Why::Truncated {
            Why::Unfinished
        } else {
            why
        };
        debug!(?by, clean, "session ends");
        let close = Close {
            by,
            why,
            clean,
            unconfirmed: self.ends.unconfirmed(),
            receipt: self.receipt(),
            traffic: self.traffic,
        };
        self.break_verification_off(Broken::Ended, None);
        self.phase = Phase::Ending(Box::new(close));
        self.events
            .retain(|event| !matches!(event, Event::Judge(_) | Event::Readable));
    }

    /// The most that the peer has confirmed so far of what was sent to it.
    #[must_use]
    pub fn receipt(&self) -> crate::Receipt {
        self.ends.receipt(self.phase == Phase::Established)
    }

    fn limit_last_words(&mut self, now: Instant) {
        let limit = now.checked_add(self.config.close);
        self.timers.set(Timer::LastWords, limit);
    }

    /// Whether the end is decided, or the time of [`close`](Self::close) is over: hand out what is left without waiting.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        let decided = self.phase.is_over() || self.end_after_reading.is_some();
        decided || self.is_cut() || self.hurry == Hurry::Over
    }

    /// Until when a final alert waits for the transport.
    #[must_use]
    pub fn last_words(&self) -> Option<Instant> {
        self.due(Timer::LastWords)
    }

    // Trust.

    /// Answers [`Event::Judge`], for exactly this key.
    ///
    /// # Errors
    /// See [`JudgeError`].
    pub fn judge(
        &mut self,
        now: Instant,
        key: Fingerprint,
        verdict: Verdict,
    ) -> Result<(), JudgeError> {
        self.awaits_verdict(key, verdict)?;
        self.now = now;
        match verdict {
            Verdict::Accept => {
                self.open(now);
                self.advance(now);
            }
            Verdict::Refuse => self.turn_away(now, Why::Refused),
        }
        Ok(())
    }

    /// Whether [`judge`](Self::judge) would accept this verdict on this key now.
    ///
    /// # Errors
    /// Why it would not be.
    pub fn awaits_verdict(&self, key: Fingerprint, verdict: Verdict) -> Result<(), JudgeError> {
        self.phase.awaits_verdict(self.tls.peer(), key, verdict)
    }

    /// Whether a key is waiting for a verdict.
    #[must_use]
    pub fn is_judging(&self) -> bool {
        matches!(self.phase, Phase::Judging(_))
    }

    /// The pins have changed: the peer's key is judged again, as in a new session, and if it is refused, this session ends as
    /// [`Untrusted`](Why::Untrusted). A key that is no longer pinned, and that a new session would only ask about, stays. A
    /// handshake in progress is judged when it is finished, as always.
    pub fn trust_changed(&mut self, now: Instant) {
        let Some(judged) = self.tls.judge_again() else {
            return;
        };
        match (&mut self.phase, judged) {
            (Phase::Judging(standing), Ok(judged)) => *standing = judged,
            // Nothing but a new verification is open to a key that a code has spoken against.
            (Phase::Ready | Phase::Established, Ok(Standing::Doubted(doubt))) => {
                let peer = self.binding.peer.bare().to_owned();
                self.distrust(now, TrustError::Doubted { peer, doubt });
            }
            (Phase::Ready | Phase::Established, Ok(Standing::New | Standing::Pinned(_))) => {}
            (Phase::Judging(_) | Phase::Ready | Phase::Established, Err(why)) => {
                self.distrust(now, why);
            }
            (Phase::Handshaking | Phase::Ending(_) | Phase::Closed, _) => {}
        }
    }

    /// Ends the session because its peer's key is not to be trusted: nothing more of it is handed out, and the peer gets the
    /// alert of a refusal. Nothing happens before the peer's key is proven, and after the end.
    pub fn distrust(&mut self, now: Instant, why: TrustError) {
        if self.is_judging() || self.phase.is_open() {
            self.now = now;
            self.turn_away(now, Why::Untrusted(Box::new(why)));
        }
    }

    /// Whether the session has ended, or is ending, because its peer's key is not to be trusted.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        matches!(&self.phase, Phase::Ending(close) if matches!(close.why, Why::Untrusted(_)))
    }

    fn turn_away(&mut self, now: Instant, why: Why) {
        self.tls.reject();
        self.limit_last_words(now);
        self.end(By::Us, why);
    }

    // What goes in.

    /// How many more bytes [`write`](Self::write) takes, so that their records just fill the queue. 0 means that
    /// [`send`](Self::send) returns [`SendError::Full`].
    #[must_use]
    pub fn room(&self) -> usize {
        let pending = self.tls.wire_pending();
        let queue = fitting(self.config.queue.saturating_sub(pending));
        // However small the queue is, something must go on.
        queue.max(usize::from(pending == 0)).min(self.tls.room())
    }

    /// Sends one stanza. `to` and `from` may be absent or those of the binding; they are not transmitted.
    ///
    /// # Errors
    /// The caller's faults: see [`SendError`]. Nothing was sent then.
    pub fn send(&mut self, stanza: &Stanza) -> Result<(), SendError> {
        self.carries(Mode::Stanzas)?;
        self.may_write()?;
        self.requests.has_room(stanza, self.config.requests)?;
        is_free_to_say(stanza)?;
        let stripped = routing::strip(stanza, &self.binding)?;
        let mut xml = whole(&stripped)?;
        if xml.len() > self.config.max_stanza {
            return Err(SendError::TooLong {
                length: xml.len(),
                limit: self.config.max_stanza,
            });
        }
        self.pad(&mut xml);
        let written = self.tls.write_shared(&xml);
        self.on_written(written, xml.len())?;
        self.requests.sent(stanza);
        self.ends.on_sent(1);
        Ok(())
    }

    /// Writes as many bytes as there is room for (byte mode), and returns how many.
    ///
    /// # Errors
    /// The caller's faults: see [`SendError`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, SendError> {
        self.carries(Mode::Bytes)?;
        self.may_write()?;
        let taken = bytes.get(..self.room()).unwrap_or(bytes);
        self.write_bytes(taken)?;
        Ok(taken.len())
    }

    /// As [`close`](Self::close), with last bytes (byte mode) that may exceed the queue by as much as TLS holds
    /// ([`xtls_tls::Config::max_pending`]).
    ///
    /// # Errors
    /// See [`SendError`]. The session goes on then.
    pub fn close_after(&mut self, now: Instant, last: &[u8]) -> Result<(), SendError> {
        if !last.is_empty() {
            self.carries(Mode::Bytes)?;
            self.may_speak()?;
            self.write_bytes(last)?;
        }
        self.close(now);
        Ok(())
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        let written = self.tls.write(bytes);
        self.on_written(written, bytes.len())?;
        if self.phase == Phase::Ready {
            self.ends.on_sent(bytes.len() as u64);
        }
        Ok(())
    }

    fn carries(&self, mode: Mode) -> Result<(), SendError> {
        match self.inside.mode() {
            carried if carried == mode => Ok(()),
            Mode::Stanzas => Err(SendError::Mode("stanzas, not bytes")),
            Mode::Bytes => Err(SendError::Mode("bytes, not stanzas")),
        }
    }

    fn may_write(&mut self) -> Result<(), SendError> {
        self.may_speak()?;
        if self.room() == 0 {
            self.writer = Writer::Waiting;
            return Err(SendError::Full);
        }
        Ok(())
    }

    fn may_speak(&self) -> Result<(), SendError> {
        match self.phase {
            Phase::Handshaking | Phase::Judging(_) => return Err(SendError::NotOpen),
            Phase::Ending(_) | Phase::Closed => return Err(SendError::Finished),
            Phase::Ready | Phase::Established => {}
        }
        if !self.ends.may_write() || self.end_after_reading.is_some() || self.is_cut() {
            return Err(SendError::Finished);
        }
        Ok(())
    }

    /// What became of a write of so many bytes.
    fn on_written(
        &mut self,
        written: Result<(), WriteError>,
        length: usize,
    ) -> Result<(), SendError> {
        match written {
            Ok(()) => {
                self.keepalive.on_write();
                self.count(length);
                self.traffic.wrote(length);
                Ok(())
            }
            // TLS holds nothing, and still this is too much at once.
            Err(WriteError::Full { room }) if self.tls.wire_pending() == 0 => {
                Err(SendError::TooLong {
                    length,
                    limit: room,
                })
            }
            Err(WriteError::Full { .. }) => {
                self.writer = Writer::Waiting;
                Err(SendError::Full)
            }
            Err(_) => Err(SendError::Finished),
        }
    }

    /// Pads a stanza with spaces in the same TLS write, so that its length does not show.
    fn pad(&self, xml: &mut Vec<u8>) {
        xml.resize(xml.len().next_multiple_of(self.config.padding), b' ');
    }

    /// Sends a stanza of the session's own. An answer that finds our direction closed is dropped, as RFC 6120 drops what
    /// arrives after the end of a stream.
    fn say(&mut self, stanza: &Stanza) {
        let mut xml = Vec::new();
        stanza.write(&mut xml);
        self.pad(&mut xml);
        self.say_xml(&xml);
    }

    fn say_xml(&mut self, xml: &[u8]) {
        if self.ends.is_closed() || self.is_cut() {
            return;
        }
        // The application may have filled its queue by one stanza too many. As much as that queue is kept for answers.
        let queue = self.config.queue;
        let most = queue
            .saturating_add(self.config.max_stanza)
            .saturating_add(queue);
        let held = self.tls.wire_pending().saturating_add(xml.len());
        if held > most || self.tls.write(xml).is_err() {
            self.end(By::Us, Why::Unread);
        }
    }

    // What comes out.

    /// The next event. Stanzas are cut, judged and restored here, one per call, so that an owner that stops polling stops the
    /// peer.
    ///
    /// An answer to a peer's request may be in [`poll_wire`](Self::poll_wire) afterwards.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front().or_else(|| self.receive());
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
            && (self.is_cut() || self.tls.wire_pending() == 0)
        {
            if let Some(unanswered) = self.requests.next_unanswered(&self.binding) {
                return Some(Event::Unanswered(unanswered));
            }
            let close = close.clone();
            self.phase = Phase::Closed;
            self.transport = Transport::Gone;
            self.inside.clear();
            return Some(Event::Closed(*close));
        }
        None
    }

    /// Reads at most `max` bytes (byte mode). [`poll_event`](Self::poll_event) afterwards shows whether they were the last
    /// ones.
    pub fn read(&mut self, max: usize) -> Option<Bytes> {
        match (&mut self.inside, &self.phase) {
            (Inside::Bytes(bytes), Phase::Established) => {
                let read = bytes.read(max)?;
                self.traffic.read(read.len());
                Some(read)
            }
            (Inside::Bytes(_) | Inside::Stanzas(_), _) => None,
        }
    }

    /// The next stanza, or the end of the peer's direction.
    fn receive(&mut self) -> Option<Event> {
        while self.phase.is_open() && !self.ends.peer_closed() {
            let frame = match &mut self.inside {
                Inside::Stanzas(stanzas) => stanzas.next(),
                Inside::Bytes(bytes) if !bytes.is_empty() => return None,
                Inside::Bytes(_) => Ok(None),
            };
            match frame {
                Ok(Some(frame)) => match self.on_frame(frame) {
                    Some(event) => return Some(event),
                    None if self.events.is_empty() => continue,
                    None => return self.events.pop_front(),
                },
                Ok(None) => {}
                Err(why) => {
                    self.end(By::Us, why);
                    return None;
                }
            }
            if self.tls.peer_closed() {
                return self.on_read_all();
            }
            if let Some(end) = self.end_after_reading.take() {
                self.end(end.0, end.1);
            } else {
                // An idle session holds no memory for bytes that may not come for hours.
                self.inside.release();
            }
            return None;
        }
        self.settle();
        None
    }

    /// Everything before the peer's close_notify was handed out.
    fn on_read_all(&mut self) -> Option<Event> {
        self.break_verification_off(Broken::Ended, Some(Reason::Failed));
        if self.inside.is_torn() {
            self.end(By::Peer, Why::Truncated);
            return None;
        }
        let event = self.ends.on_read_all();
        // Nothing can be answered any more.
        if self.ends.is_finishing() {
            self.shut();
        }
        // How a verification ended belongs to what came before.
        self.events.push_back(event);
        self.events.pop_front()
    }

    fn on_frame(&mut self, frame: Bytes) -> Option<Event> {
        self.traffic.read(frame.len());
        let stanza = match Stanza::try_from(frame) {
            Ok(stanza) => stanza,
            Err(error) => {
                self.end(By::Us, Why::Xml(error));
                return None;
            }
        };
        if !routing::is_plain(&stanza) {
            if let Some(step) = Step::in_stanza(&stanza) {
                self.on_step(&stanza, step);
                return None;
            }
            if let Some(id) = finish::in_stanza(&stanza) {
                let id = Box::from(id);
                return self.on_finish(&stanza, id);
            }
        }
        if self.ends.is_answer(&stanza) {
            self.on_finish_answer(&stanza);
            return None;
        }
        let late = self.ends.is_afterthought(&stanza);
        match routing::restore(stanza, &self.binding) {
            Ok(Arrival::Deliver(stanza)) if self.keepalive.is_probed(&stanza) => None,
            Ok(
                Arrival::Deliver(_)
                | Arrival::Drop(_)
                | Arrival::Answer {
                    refused: Some(_), ..
                },
            ) if late => {
                self.end(By::Us, Why::Afterthought);
                None
            }
            Ok(Arrival::Deliver(stanza)) => {
                self.requests.received(&stanza);
                Some(Event::Stanza(stanza))
            }
            Ok(Arrival::Answer { reply, refused }) => {
                self.say(&reply);
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

    /// Cuts whole stanzas ahead of their turn, and answers the peer's probes among them: an owner that takes nothing for hours
    /// is slow, not dead. Everything else waits for the owner.
    fn look_ahead(&mut self) {
        if !self.phase.is_open() {
            return;
        }
        while let Inside::Stanzas(stanzas) = &mut self.inside
            && let Some(frame) = stanzas.cut_ahead()
        {
            // One at a time: a peer that requests more than it reads waits its turn.
            if self.tls.wire_pending() < SMALL
                && is_small_ping(&frame)
                && let Ok(stanza) = Stanza::read(&frame)
                && let Ok(Arrival::Answer {
                    reply,
                    refused: None,
                }) = routing::restore(stanza, &self.binding)
            {
                self.say(&reply);
            } else {
                stanzas.hold(frame);
            }
        }
    }

    // The ends of both directions.

    /// Finishes our direction, after everything that was sent; the peer's stays open without a time limit.
    ///
    /// With stanzas, the peer is asked to confirm that its application has taken everything
    /// ([`Receipt::Taken`](crate::Receipt::Taken)), and close_notify follows when it has, and when the peer has finished as
    /// well. A peer without our ALPN is given the time of [`Config::close`] to answer. With bytes, it is close_notify at once.
    pub fn finish(&mut self, now: Instant) {
        match self.phase {
            Phase::Handshaking | Phase::Judging(_) => self.end(By::Us, Why::Aborted),
            Phase::Ready | Phase::Established if self.ends.may_write() => {
                if self.inside.mode() == Mode::Bytes || self.ends.peer_closed() {
                    return self.part(now);
                }
                self.now = now;
                self.break_verification_off(Broken::Ended, Some(Reason::Failed));
                let question = self.ends.finish();
                self.say(&question);
                if !self.is_bound() {
                    let limit = now.checked_add(self.config.close);
                    self.timers.set(Timer::FinishAnswer, limit);
                }
                self.advance(now);
            }
            Phase::Ready | Phase::Established | Phase::Ending(_) | Phase::Closed => {}
        }
    }

    /// Ends our direction at once: close_notify after everything that was sent, without asking for a confirmation. For a
    /// session that another one replaces, and for owners that don't need to know.
    pub fn part(&mut self, now: Instant) {
        match self.phase {
            Phase::Handshaking | Phase::Judging(_) => self.end(By::Us, Why::Aborted),
            Phase::Ready | Phase::Established if !self.ends.is_closed() => {
                self.now = now;
                self.break_verification_off(Broken::Ended, Some(Reason::Failed));
                self.shut();
                self.advance(now);
            }
            Phase::Ready | Phase::Established | Phase::Ending(_) | Phase::Closed => {}
        }
    }

    /// As [`finish`](Self::finish), within a time limit: the answer and the peer's own `<finish/>` have the configured time, and
    /// its close_notify as much again. What has arrived by then is still handed out; in byte mode, what was not read by then is
    /// dropped.
    pub fn close(&mut self, now: Instant) {
        self.finish(now);
        self.hurry(now);
    }

    /// As [`part`](Self::part), within a time limit: the peer has the configured time to end its own direction.
    pub fn leave(&mut self, now: Instant) {
        self.part(now);
        self.hurry(now);
    }

    /// Ends the session at once, without close_notify: the peer will see a truncation. What was not handed out yet is
    /// dropped.
    pub fn abort(&mut self) {
        self.end_now(By::Us, Why::Aborted);
        self.transport = Transport::Gone;
    }

    /// Confirms to the peer that the application has taken everything that came before [`Event::PeerFinished`]. Ignored at any
    /// other time.
    pub fn took(&mut self, now: Instant) {
        if !self.phase.is_open() {
            return;
        }
        self.now = now;
        if let Some(answer) = self.ends.took() {
            self.say(&answer);
            if self.ends.is_done() {
                self.shut();
            }
            self.advance(now);
        }
    }

    /// Whether the peer's close_notify has arrived, and everything before it was handed out.
    #[must_use]
    pub fn peer_closed(&self) -> bool {
        self.ends.peer_closed()
    }

    /// Whether the peer's close_notify has arrived, whatever of what came before it is still to be handed out.
    #[must_use]
    pub fn has_close_notify(&self) -> bool {
        self.tls.peer_closed()
    }

    /// Sends close_notify, after which nothing can be sent.
    fn shut(&mut self) {
        self.tls.close();
        self.ends.close();
    }

    fn hurry(&mut self, now: Instant) {
        let hurries = self.timers.is_set(Timer::Close) || self.hurry == Hurry::Over;
        if self.phase.is_open() && !hurries {
            let limit = now.checked_add(self.config.close);
            self.timers.set(Timer::Close, limit);
        }
    }

    /// A time of [`close`](Self::close) is over.
    fn close_expires(&mut self, now: Instant) {
        self.timers.stop(Timer::Close);
        if self.ends.is_finishing() {
            // No answer in time. close_notify tells the peer that nothing follows, and gives it as long again to do the same.
            self.shut();
            self.hurry(now);
            return self.advance(now);
        }
        self.hurry = Hurry::Over;
        match &self.inside {
            Inside::Bytes(bytes) if !bytes.is_empty() => self.end_now(By::Us, Why::CloseTimeout),
            Inside::Bytes(_) | Inside::Stanzas(_) => {
                let in_order = self.tls.peer_closed() && self.is_flushed();
                if self.end_after_reading.is_none() && in_order {
                    // The owner has not polled yet: what it will find is an orderly end.
                    return;
                }
                self.end_after_reading(By::Us, Why::CloseTimeout);
            }
        }
        self.transport = Transport::Gone;
    }

    /// The peer's `<finish/>` has arrived.
    fn on_finish(&mut self, request: &Stanza, id: Box<str>) -> Option<Event> {
        let truthful = routing::is_truthful(request, &self.binding).map_err(Why::Routing);
        if let Err(why) = truthful.and_then(|()| self.ends.on_finish(id)) {
            self.end(By::Us, why);
            return None;
        }
        self.break_verification_off(Broken::Ended, Some(Reason::Failed));
        // How a verification ended belongs to what came before.
        self.events.push_back(Event::PeerFinished);
        self.events.pop_front()
    }

    fn on_finish_answer(&mut self, answer: &Stanza) {
        if let Err(violation) = routing::is_truthful(answer, &self.binding) {
            return self.end(By::Us, Why::Routing(violation));
        }
        if self.ends.on_answer(answer) {
            self.shut();
        }
    }

    // A conversation that goes on in another session.

    /// Moves the requests that wait for their answers, and the count of what was not confirmed, to a session that continues the
    /// conversation. An unanswered `<finish/>` stays: [finish](Self::finish) the successor.
    pub fn hand_over(&mut self, successor: &mut Self) {
        self.requests.move_to(&mut successor.requests);
        successor.carry(self.carried());
    }

    /// What a session that continues the conversation has to know of this one, also after its end. This one forgets it.
    pub fn carried(&mut self) -> Carried {
        let established = self.phase == Phase::Established;
        self.ends.carried(&self.binding.sid, established)
    }

    /// Continues a conversation that another session began.
    pub fn carry(&mut self, carried: Carried) {
        self.ends.carry(carried);
    }

    /// Forgets the stanzas that this session sent and that stayed unconfirmed, and returns how many they are: they count in
    /// another conversation.
    pub fn disown(&mut self) -> u64 {
        self.ends.forget_unconfirmed()
    }

    // Signs of life, and keys.

    /// When the peer itself last sent something: not its server, which can send anything but what TLS lets through.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        self.keepalive.heard()
    }

    /// Whether the peer is waiting for our application: what it sends stays in the transport.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        self.is_listening() && !self.wants_wire()
    }

    /// Whether something may still come of a peer that has accepted our key.
    fn is_listening(&self) -> bool {
        let ending = self.is_cut() || self.end_after_reading.is_some();
        self.phase == Phase::Established && !ending && !self.tls.peer_closed()
    }

    /// Whether silence proves anything. We don't ask a peer that can no longer answer, nor while something of ours waits for the
    /// transport, which has its own limits for a peer that takes nothing. While we are not reading, silence proves nothing: the
    /// answer would lie unread.
    fn probes(&self) -> bool {
        self.inside.mode() == Mode::Stanzas
            && self.is_listening()
            && !self.ends.is_closed()
            && self.tls.wire_pending() == 0
            && self.wants_wire()
    }

    /// Whether a peer that is held back is shown that we are alive. One that knows only the letter would not know what it means.
    fn shows_life(&self) -> bool {
        let spent = self.keepalive.is_spent(self.inside.mode());
        self.holds_back() && !self.ends.is_closed() && self.is_bound() && !spent
    }

    /// Shows that we are alive: by white space, which means nothing between stanzas, or among bytes, which all mean something, by
    /// new keys. While something of ours waits for the transport, that is as good, and nothing is added to it.
    fn show_life(&mut self, now: Instant) {
        let mode = self.inside.mode();
        self.keepalive.on_due(now, mode, &mut self.timers);
        if self.tls.wire_pending() > 0 {
            return;
        }
        match mode {
            Mode::Stanzas => {
                let mut space = vec![b' '];
                self.pad(&mut space);
                // There is room, and a connection that is over needs no sign.
                let _ = self.tls.write(&space);
            }
            Mode::Bytes => {
                self.keepalive.on_shown();
                self.tls.show_life();
            }
        }
    }

    /// Renews the keys of both directions with the next write (KeyUpdate), and counts anew.
    ///
    /// This protects past data from a later leak of the new keys; unlike a new session, it does not lock out an attacker who
    /// has the old ones.
    pub fn refresh_keys(&mut self, now: Instant) {
        if self.phase.is_open() {
            self.renew_keys(Some(now));
        }
    }

    fn renew_keys(&mut self, now: Option<Instant>) {
        self.tls.refresh_keys();
        self.key_use.renew();
        if let Some(now) = now {
            self.timers
                .set(Timer::Keys, now.checked_add(self.config.key_age));
        }
    }

    /// So many bytes have passed under the present keys.
    fn count(&mut self, bytes: usize) {
        if self.key_use.count(bytes, self.config.key_bytes) {
            self.keys_expired(None);
        }
    }

    /// The keys have served for long enough, by time or by bytes.
    fn keys_expired(&mut self, now: Option<Instant>) {
        if self.key_use.is_reported() || self.ends.is_closed() || !self.phase.is_open() {
            return;
        }
        match self.inside.mode() {
            Mode::Bytes => self.renew_keys(now),
            Mode::Stanzas => {
                self.key_use.report();
                self.events.push_back(Event::KeysOld);
            }
        }
    }

    // Verification.

    /// Starts to verify the peer for the person here, or joins the run that the peer asks for. `seed` is random, secret and
    /// never used twice. [`Event::Verify`] reports how the run proceeds.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn verify(
        &mut self,
        now: Instant,
        compare: Compare,
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<Run, VerifyError> {
        self.now = now;
        let open = self.is_judging() || self.phase.is_open();
        let ending = self.is_cut() || self.end_after_reading.is_some();
        if !open || ending || !self.ends.may_write() {
            return Err(VerifyError::NotOpen);
        }
        if self.inside.mode() == Mode::Bytes {
            return Err(VerifyError::Mode);
        }
        let (run, effects) = self.verification.want(compare, seed)?;
        self.carry_out(effects);
        Ok(run)
    }

    /// Joins exactly the run of [`Verify::Asked`](crate::Verify::Asked); otherwise as [`verify`](Self::verify).
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn verify_join(
        &mut self,
        now: Instant,
        run: Run,
        compare: Compare,
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<(), VerifyError> {
        self.verification.is_asked(run)?;
        self.verify(now, compare, seed).map(drop)
    }

    /// The attempt of [`Verify::Due`](crate::Verify::Due) has been counted: the commitment may be sent.
    ///
    /// # Errors
    /// [`VerifyError::Stale`] and [`VerifyError::NotDue`].
    pub fn verify_go(&mut self, now: Instant, run: Run) -> Result<(), VerifyError> {
        let tls = &self.tls;
        let effects = self
            .verification
            .go(run, |method| tls.verification(method))?;
        self.now = now;
        self.carry_out(effects);
        Ok(())
    }

    /// The person here has compared the words of [`Verify::Compare`](crate::Verify::Compare), and they are the same.
    ///
    /// # Errors
    /// [`VerifyError::Stale`], and [`VerifyError::NotDue`] where there are no words to compare, or none any more.
    pub fn verify_agree(&mut self, now: Instant, run: Run) -> Result<(), VerifyError> {
        let effects = self.verification.agree(run)?;
        self.now = now;
        self.carry_out(effects);
        Ok(())
    }

    /// Cancels a run, or declines the one that the peer asks for.
    ///
    /// # Errors
    /// [`VerifyError::Stale`].
    pub fn verify_cancel(
        &mut self,
        now: Instant,
        run: Run,
        reason: Reason,
    ) -> Result<(), VerifyError> {
        let effects = self.verification.cancel(run, reason)?;
        self.now = now;
        self.carry_out(effects);
        Ok(())
    }

    /// Takes the steps of a verification out of what arrived before our own verdict, or before the peer's. All else is held until
    /// the session is open.
    fn take_verification_steps(&mut self) {
        let responds = match self.binding.role {
            Role::Server => Responds::Here,
            Role::Client if self.is_bound() => Responds::There,
            Role::Client => Responds::ThereWithoutConfirmation,
        };
        while let Inside::Stanzas(stanzas) = &mut self.inside {
            let step = match self.phase {
                Phase::Judging(_) => stanzas.next_step_while_judging(responds),
                Phase::Ready => stanzas.next_step_until_confirmed(responds),
                Phase::Handshaking | Phase::Established | Phase::Ending(_) | Phase::Closed => {
                    return;
                }
            };
            match step {
                Ok(Some((stanza, step))) => self.on_step(&stanza, step),
                Ok(None) => return,
                Err(why) => return self.end(By::Us, why),
            }
        }
    }

    /// A step has come in a stanza, or something that should have been one.
    fn on_step(&mut self, stanza: &Stanza, step: Result<Step, PayloadError>) {
        match routing::is_truthful(stanza, &self.binding) {
            Ok(()) => {
                let effects = self.verification.on_step(step);
                self.carry_out(effects);
            }
            Err(violation) => self.end(By::Us, Why::Routing(violation)),
        }
    }

    /// Ends a verification, if one goes on.
    fn break_verification_off(&mut self, why: Broken, reason: Option<Reason>) {
        let effects = self.verification.break_off(why, reason);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects) {
        let limit = self.now.checked_add(self.config.verifying);
        match effects.limit {
            Limit::AsItIs => {}
            Limit::Begins => self.timers.set(Timer::Verification, limit),
            Limit::Ends => {
                self.timers.stop(Timer::Verification);
                // The limit of the verdict stood still meanwhile; there is time for one now.
                self.timers.postpone(Timer::Verdict, limit);
            }
        }
        self.events
            .extend(effects.events.into_iter().map(Event::Verify));
        for step in effects.steps {
            let stanza = step.to_stanza();
            if self.is_judging() {
                // White space before the verdict would be one.
                let mut xml = Vec::new();
                stanza.write(&mut xml);
                self.say_xml(&xml);
            } else if self.phase.is_open() {
                self.say(&stanza);
            }
        }
    }

    // What there is to know.

    /// Keying material bound to this session (RFC 5705, RFC 8446 §7.5), while it is open.
    ///
    /// # Errors
    /// [`SendError::NotOpen`] before the verdict and after the end.
    pub fn export(&self, label: &str, context: &[u8], out: &mut [u8]) -> Result<(), SendError> {
        if !self.phase.is_open() {
            return Err(SendError::NotOpen);
        }
        self.tls
            .export(label, context, out)
            .map_err(|_| SendError::NotOpen)
    }

    /// The keys for what is said beside the transport, and for others that are to take its place: once, after both ends have
    /// accepted each other and before the end, if both have named exactly this context.
    pub fn path_keys(&mut self) -> Option<PathKeys> {
        let established = self.phase == Phase::Established && self.is_bound();
        established.then(|| self.tls.path_keys()).flatten()
    }

    /// Bytes that [`poll_wire`](Self::poll_wire) has given so far.
    #[must_use]
    pub fn wire_sent(&self) -> u64 {
        self.wire_sent
    }

    /// Bytes that [`handle_wire`](Self::handle_wire) has taken so far.
    #[must_use]
    pub fn wire_received(&self) -> u64 {
        self.wire_received
    }

    /// What was read and written so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Whether the key exchange resists quantum computers; `None` until the handshake is finished.
    #[must_use]
    pub fn is_post_quantum(&self) -> Option<bool> {
        self.tls.is_post_quantum()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("binding", &self.binding)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// The most bytes of which the records are not longer than `wire`.
fn fitting(wire: usize) -> usize {
    const RECORD: usize = MAX_RECORD + RECORD_OVERHEAD;
    let last = (wire % RECORD).saturating_sub(RECORD_OVERHEAD);
    wire / RECORD * MAX_RECORD + last
}

/// The stanza as it is sent: one, and whole. Children that were set by hand could end it and begin another.
///
/// Only the borders are looked at, which costs little; whether the children are well-formed in between was for
/// [`Stanza::read`] or [`Stanza::with_children`] to see.
fn whole(stanza: &Stanza) -> Result<Vec<u8>, SendError> {
    let mut xml = Vec::with_capacity(stanza.children.len().saturating_add(256));
    stanza.write(&mut xml);
    // The strict reader refuses for the same reason and says it better.
    if !is_one(&xml) {
        Stanza::read(&Bytes::copy_from_slice(&xml)).map_err(SendError::Xml)?;
    }
    Ok(xml)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_fills_the_queue_and_no_more() {
        for wire in [0, 1, 22, 23, 16_406, 16_407, 16_428, 16_429, 65_535, 65_536] {
            let plain = fitting(wire);
            let len = |plain: usize| plain + plain.div_ceil(MAX_RECORD) * RECORD_OVERHEAD;
            assert!(len(plain) <= wire, "{wire}");
            assert!(len(plain + 1) > wire, "{wire}");
        }
    }
}
