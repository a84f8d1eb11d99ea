//! The router: every tunnel of one address, without I/O.
//!
//! It joins the streams of [`xtls_ibb::Mux`] with the sessions on them, decides who may open, resolves crossing opens,
//! closes one layer at a time, and answers what an XMPP client must answer. Everything that can be tested without an
//! executor ends here.

mod answers;
mod bytes;
mod carrier;
mod census;
mod close;
mod closes;
mod closing;
mod config;
mod contacts;
mod conversation;
mod crowd;
mod early;
mod event;
mod finish;
mod handover;
mod opening;
mod peers;
mod phase;
mod progress;
mod purpose;
mod queue;
mod running;
mod transfer;
mod transports;
mod trust;
mod tunnel;
mod unanswered;
mod verify;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use xtls_ibb::{Clock, MAX_ID, Outgoing};
use xtls_session::{Event as Inner, Service, Session};
use xtls_stanza::{Address, Content, Envelope, Kind, Stanza};
use xtls_tls::Fingerprint;
use xtls_tls::trust::Current;

pub use bytes::Stats;
pub use config::{Accept, Config, ServiceLimits};
pub use crowd::{TURNED_AWAY, TurnedAway};
pub use event::{
    Closed, Event, Gone, JudgeError, OpenError, OtherKey, SendError, TunnelEvent, TunnelId, Why,
};
pub use view::TunnelMut;

use census::Census;
use close::Ending;
use closes::Closes;
use contacts::Contacts;
use conversation::{Conversation, Room};
use crowd::{Crowd, has_good_pin};
use peers::Peers;
use transports::{Event as Stream, Leg, Transports};
use tunnel::Tunnel;

use crate::transport::{StreamEnd, Transport};

/// When a router next wants [`Router::handle_timeout`], and what for.
pub use xtls_ibb::Deadline;

/// Every tunnel of one bound address.
#[derive(Debug)]
pub struct Router {
    config: Config,
    transports: Transports,
    clock: Clock,
    /// Each in a box of its own: the nodes of a map have room for more than they hold.
    tunnels: BTreeMap<TunnelId, Box<Tunnel>>,
    peers: Peers,
    streams: BTreeMap<Leg, TunnelId>,
    /// Tunnels that peers have opened, for the limits on these.
    census: Census,
    closes: Closes,
    /// Tunnels in which something may move.
    dirty: BTreeSet<TunnelId>,
    deadlines: BTreeSet<(Instant, TunnelId)>,
    scheduled: BTreeMap<TunnelId, Instant>,
    out: Outgoing,
    events: VecDeque<Event>,
    crowd: Crowd,
    incoming_room: usize,
    random: ChaCha20Rng,
    next: u64,
    /// Sessions that were made: their verifications are numbered by it.
    sessions: u64,
    /// The pins, which every session judges by.
    trust: Current,
    contacts: Contacts,
    /// The tunnels whose peer has proven to hold a key.
    holders: BTreeMap<Fingerprint, BTreeSet<TunnelId>>,
    /// Tunnels that are not established yet.
    young: BTreeSet<TunnelId>,
}

impl Router {
    /// A router for one bound address. The seed makes its ids and sids; it must be secret and never used twice.
    #[must_use]
    pub fn new(own: Address, config: Config, seed: [u8; 32]) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        let transports = Transports::new(own, &config, &mut random);
        let trust = Current::from(Arc::clone(&config.trust));
        Self {
            config,
            transports,
            clock: Clock::default(),
            tunnels: BTreeMap::new(),
            peers: Peers::default(),
            streams: BTreeMap::new(),
            census: Census::default(),
            closes: Closes::default(),
            dirty: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            scheduled: BTreeMap::new(),
            out: Outgoing::new(answers::ANSWERS),
            events: VecDeque::new(),
            crowd: Crowd::default(),
            incoming_room: usize::MAX,
            random,
            next: 0,
            sessions: 0,
            trust,
            contacts: Contacts::default(),
            holders: BTreeMap::new(),
            young: BTreeSet::new(),
        }
    }

    /// Our own address.
    #[must_use]
    pub fn own(&self) -> &Address {
        self.transports.own()
    }

    /// Takes a stanza that one's own server brought.
    pub fn handle(&mut self, now: Instant, envelope: Envelope) {
        let now = self.clock.read(now);
        let request = matches!(envelope.content, Content::Get(_) | Content::Set(_));
        if request && !self.acquainted(envelope.from.as_ref()) {
            // Before the streams, whose answers differ from those of a client that has never heard of them.
            self.refuse_stranger(&envelope);
        } else if request && envelope.id.len() > MAX_ID {
            self.refuse_long_id(&envelope);
        } else {
            let trust = &self.trust;
            let known = |peer: &Address| has_good_pin(&trust.get(), peer);
            let from = envelope
                .from
                .as_ref()
                .filter(|_| self.closes.are_emptying())
                .cloned();
            if let Some(envelope) = self.transports.handle(now, envelope, &known) {
                self.answer(now, envelope);
            }
            // It may have acknowledged the last bytes of a stream with this peer, which no event reports.
            if let Some(from) = &from {
                self.dirty.extend(self.closes.emptying_with(from));
            }
        }
        self.pump(now);
    }

    /// Sends a stanza through a tunnel.
    ///
    /// # Errors
    /// The caller's faults, and `Full` when there is no room; [`TunnelEvent::Writable`] follows.
    pub fn send(&mut self, now: Instant, id: TunnelId, stanza: &Stanza) -> Result<(), SendError> {
        let now = self.clock.read(now);
        // While a tunnel is replaced, the new session carries what is said already.
        let id = self.writer(id);
        let tunnel = self.tunnels.get_mut(&id).ok_or(Gone)?;
        tunnel.carrier_mut().sending()?.send(stanza)?;
        self.mark_and_pump(now, id);
        Ok(())
    }

    /// Ends a tunnel at once. The peer sees a truncation.
    pub fn abort(&mut self, now: Instant, id: TunnelId) {
        let now = self.clock.read(now);
        self.drop_successors(now, id);
        if self.tunnels.contains_key(&id) {
            self.end(now, id, Ending::Aborted);
            self.mark_and_pump(now, id);
        }
    }

    /// Says whether the owner takes events of a tunnel now. While it does not, the tunnel stops reading and its peer is
    /// slowed down.
    pub fn hold(&mut self, now: Instant, id: TunnelId, hold: bool) {
        let now = self.clock.read(now);
        let changed = self
            .conversation_mut(id)
            .is_some_and(|known| known.hold(hold));
        if changed && !hold {
            self.mark_and_pump(now, id);
        }
    }

    /// The connection to one's own server is gone for good: so is every tunnel. What had come before can still be taken
    /// with [`poll_event`](Self::poll_event).
    pub fn lost(&mut self, now: Instant) {
        self.clock.resume(now);
        let now = self.clock.read(now);
        for id in self.tunnels.keys().copied().collect::<Vec<_>>() {
            if let Some(tunnel) = self.tunnels.get_mut(&id) {
                tunnel.carrier_mut().swallow(now, &mut self.transports);
            }
        }
        self.transports.lost(now);
        self.pump(now);
        for stream in self.streams.keys().copied().collect::<Vec<_>>() {
            self.transports.give_up(now, stream, StreamEnd::LinkLost);
        }
        self.pump(now);
        self.end_yielding(now);
        self.out.clear();
    }

    /// The link is interrupted: everything waits, and every clock stands still.
    pub fn pause(&mut self, now: Instant) {
        self.clock.pause(now);
    }

    /// The link is back and nothing was lost.
    pub fn resume(&mut self, now: Instant) {
        self.clock.resume(now);
        let now = self.clock.read(now);
        self.pump(now);
    }

    /// The server has bound another address: every tunnel of the old one is cut.
    pub fn rebind(&mut self, now: Instant, own: Address) {
        self.lost(now);
        self.transports = Transports::new(own, &self.config, &mut self.random);
        // The names of the old streams begin anew.
        self.streams.clear();
    }

    /// The longest stanza in bytes that this server says it takes (XEP-0478), for tunnels opened from now on, until it
    /// [binds another address](Self::rebind). Default: it says nothing.
    pub fn set_server_limit(&mut self, max_bytes: Option<usize>) {
        self.transports.set_server_limit(max_bytes);
    }

    /// Calls a transport that was added with [`Config::transport`]: the one of this type that was added last. `None` if there
    /// is none. This is how bytes come and go that do not travel in stanzas.
    pub fn with_transport<T: Transport, R>(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut T, Instant) -> R,
    ) -> Option<R> {
        let now = self.clock.read(now);
        let called = call(self.transports.of_type::<T>()?, now);
        self.dirty.extend(self.closes.emptying());
        self.pump(now);
        Some(called)
    }

    /// The next stanza for one's own server.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Envelope> {
        if self.clock.paused() {
            return None;
        }
        let now = self.clock.read(now);
        loop {
            // The streams first: their windows bound what they have, and a `<close/>` follows what it closes.
            let envelope = self.transports.poll_transmit(now);
            if let Some(envelope) = envelope.or_else(|| self.out.pop()) {
                // In messages, what is sent is as good as acknowledged.
                if let Some(to) = envelope.to.as_ref().filter(|_| self.closes.are_emptying()) {
                    self.dirty.extend(self.closes.emptying_with(to));
                    self.pump(now);
                }
                return Some(envelope);
            }
            // Where messages carry a stream no answer makes room, but the sending itself.
            let event = self.transports.poll_event()?;
            self.on_stream(now, event);
            self.pump(now);
        }
    }

    /// The next moment at which something runs out.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let own = self.deadlines.first().map(|&(at, id)| {
            let why = self
                .tunnels
                .get(&id)
                .and_then(|tunnel| tunnel.deadline())
                .map_or("tunnel", |d| d.1);
            Deadline { at, why }
        });
        let due = [own, self.transports.poll_timeout()].into_iter().flatten();
        let Deadline { at, why } = due.min_by_key(|deadline| deadline.at)?;
        let at = self.clock.outer(at)?;
        Some(Deadline { at, why })
    }

    /// Tells the time when a deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock.read(now);
        self.transports.handle_timeout(now);
        self.dirty.extend(self.closes.emptying());
        while let Some(&(at, id)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            self.scheduled.remove(&id);
            self.expire(now, id);
            self.dirty.insert(id);
        }
        self.pump(now);
    }

    fn mark_and_pump(&mut self, now: Instant, id: TunnelId) {
        self.dirty.insert(id);
        self.pump(now);
    }

    /// Moves bytes between the layers until nothing moves. Read this first.
    fn pump(&mut self, now: Instant) {
        loop {
            while let Some(event) = self.transports.poll_event() {
                self.on_stream(now, event);
            }
            let Some(id) = self.dirty.pop_first() else {
                break;
            };
            self.carry(now, id);
            self.schedule(id);
        }
    }

    /// Moves what can move in one tunnel.
    fn carry(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if tunnel.session().is_none() {
            self.carry_on_closing(now, id);
            return;
        }
        let more = tunnel.carrier_mut().exchange(now, &mut self.transports);
        self.settle(now, id);
        self.collect(now, id);
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        // What was received may have been answered without an event for the owner; and having found no whole stanza, the
        // session may want more than it did.
        if tunnel.carrier_mut().send_wire(now, &mut self.transports)
            || more && tunnel.carrier().wants_wire()
        {
            self.dirty.insert(id);
        }
    }

    /// The session of a tunnel that has one.
    fn running(&mut self, id: TunnelId) -> Option<&mut Session> {
        self.tunnels.get_mut(&id)?.session_mut()
    }

    fn conversation_mut(&mut self, id: TunnelId) -> Option<&mut Conversation> {
        self.tunnels.get_mut(&id)?.conversation_mut()
    }

    /// The stream beneath a tunnel, until it has ended.
    fn stream_of(&self, id: TunnelId) -> Option<Leg> {
        self.tunnels.get(&id)?.carrier().stream()
    }

    /// What travels in a tunnel, as far as it is known.
    fn service_of(&self, id: TunnelId) -> Option<Service> {
        self.tunnels.get(&id)?.carrier().service().cloned()
    }

    /// Takes the session's events as far as the owner has room for them.
    fn collect(&mut self, now: Instant, id: TunnelId) {
        loop {
            let Some(tunnel) = self.tunnels.get_mut(&id) else {
                return;
            };
            let over = tunnel
                .running_mut()
                .is_some_and(|running| running.is_over());
            if !over && tunnel.standing_mut().room(self.config.queue) == Room::None {
                return;
            }
            let Some(event) = tunnel.carrier_mut().poll_event() else {
                return;
            };
            // An event may have made room or work below.
            self.dirty.insert(id);
            self.on_session(now, id, event);
        }
    }

    /// What happened to a stream.
    fn on_stream(&mut self, now: Instant, event: Stream) {
        match event {
            Stream::Incoming { leg, from, hello } => self.on_open(now, leg, from, hello),
            Stream::Opened { leg, flight } => self.on_opened(now, leg, flight),
            Stream::Ready(leg) => self.dirty.extend(self.streams.get(&leg)),
            // A tunnel closes each direction inside of TLS.
            Stream::PeerClosed(leg) => self.transports.close(now, leg),
            Stream::Closed { leg, end } => self.on_stream_closed(now, leg, end),
            Stream::TurnedAway { from, busy } => self.crowd.note(now, &from, busy),
        }
    }

    /// What a session says, turned into what a tunnel says.
    fn on_session(&mut self, now: Instant, id: TunnelId, event: Inner) {
        match event {
            Inner::Judge(introduction) => {
                self.on_ready(id);
                self.on_judge(now, id, introduction);
            }
            Inner::Ready => {
                self.on_ready(id);
                self.emit(id, TunnelEvent::Ready);
            }
            Inner::Established(peer) => self.on_established(now, id, peer),
            Inner::Unanswered(stanza) => self.emit(id, TunnelEvent::Unanswered(stanza)),
            Inner::KeysOld => self.renew(now, id),
            // As after a close_notify: whoever has ended its direction has nothing more to say but answers.
            Inner::Stanza(stanza) if self.is_peer_finished(id) && !is_answer(&stanza) => {
                self.withhold(id)
            }
            Inner::Stanza(stanza) => self.emit(id, TunnelEvent::Stanza(stanza)),
            Inner::Refused(violation) => self.emit(id, TunnelEvent::Refused(violation)),
            Inner::Verify(verify) => self.emit(id, TunnelEvent::Verify(verify)),
            Inner::Writable => self.emit(id, TunnelEvent::Writable),
            Inner::PeerFinished => self.on_peer_finished(now, id),
            Inner::PeerClosed => self.on_peer_closed(now, id),
            Inner::Closed(close) => self.on_session_closed(now, id, close),
            Inner::Readable => self.emit(id, TunnelEvent::Readable),
            _ => {}
        }
    }

    fn on_ready(&mut self, id: TunnelId) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.carrier_mut().ready();
        }
    }

    fn schedule(&mut self, id: TunnelId) {
        let at = self
            .tunnels
            .get(&id)
            .and_then(|tunnel| tunnel.deadline())
            .map(|(at, _)| at);
        if self.scheduled.get(&id).copied() == at {
            return;
        }
        if let Some(old) = self.scheduled.remove(&id) {
            self.deadlines.remove(&(old, id));
        }
        if let Some(at) = at {
            self.scheduled.insert(id, at);
            self.deadlines.insert((at, id));
        }
    }
}

fn is_answer(stanza: &Stanza) -> bool {
    stanza.kind == Kind::Iq && matches!(stanza.type_.as_deref(), Some("result" | "error"))
}

#[cfg(test)]
mod tests;
