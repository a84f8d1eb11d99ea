//! The router: every tunnel of one address, without I/O.
//!
//! It joins the streams of [`xtls_ibb::Mux`] with the sessions on them, decides who may open, resolves crossing opens,
//! closes one layer at a time, and answers what an XMPP client must answer. Everything that can be tested without an
//! executor ends here.

mod answers;
mod beneath;
mod carrier;
mod census;
mod closes;
mod closing;
mod config;
mod contacts;
mod conversation;
mod crowd;
mod event;
mod fresh;
mod moving;
mod path_config;
mod path_requests;
mod paths;
mod peers;
mod phase;
mod pipes;
mod progress;
mod purpose;
mod relays;
mod running;
mod schedule;
mod sessions;
mod signals;
mod transfer;
mod transports;
mod tunnel;
mod tunnels;
mod unanswered;
mod view;
mod weight;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tracing::{debug, trace, warn};
use xtls_ibb::{Clock, MAX_ID, Outgoing};
use xtls_path::{KNOCK, Route, RouteEvent};
use xtls_session::{
    By, Close, Event as Inner, Glare, Introduction, Mode, Peer, Service, Session, Verdict, Verify,
    Why as SessionWhy, glare,
};
use xtls_stanza::busy::{Busy, Limit};
use xtls_stanza::ibb::Sid;
use xtls_stanza::path::{self, Because};
use xtls_stanza::{
    Address, Condition, Content, Envelope, ErrorType, Kind, Payload, PresenceKind, Stanza,
    StanzaError, xtls,
};
use xtls_tls::trust::{Level, Pin, Policy, Store, TrustError};
use xtls_tls::{Fingerprint, Role, TlsError};
use zeroize::Zeroizing;

pub use config::{Accept, Config, ServiceLimits};
pub use crowd::{TURNED_AWAY, TurnedAway};
pub use event::{
    Closed, Event, Gone, JudgeError, OpenError, OtherKey, SendError, TunnelEvent, TunnelId, Why,
};
pub use path_config::{PathConfig, PathEvent};
pub use pipes::{PipeId, SocketWish, Whom};
pub use view::{Stats, TunnelMut, TunnelRef};

use beneath::Moment;
use carrier::Carrier;
use census::{Census, busy};
use closes::Closes;
use closing::{Emptied, Ending, Expired, Fallen, PeerClose, Settled};
use config::Welcome;
use contacts::Contacts;
use conversation::{Carries, Conversation, Room, Standing};
use crowd::Crowd;
use moving::Moving;
use paths::{Paths, Step};
use progress::Intent;
use purpose::Purpose;
use running::Hello;
use sessions::Sessions;
use transports::{Event as Stream, Leg, Transports};
use tunnel::Tunnel;
use tunnels::Tunnels;

use crate::transport::{Cause, MAX_FLIGHT, StreamEnd, Transport};

/// When a router next wants [`Router::handle_timeout`], and what for.
pub use xtls_ibb::Deadline;

/// Every tunnel of one bound address.
#[derive(Debug)]
pub struct Router {
    config: Config,
    transports: Transports,
    clock: Clock,
    tunnels: Tunnels,
    /// Tunnels that peers have opened, for the limits on these.
    census: Census,
    crowd: Crowd,
    /// How many tunnels of peers the owner has room for.
    incoming_room: usize,
    /// None of them is for somebody with whom nothing is established.
    no_newcomers: bool,
    closes: Closes,
    paths: Paths,
    out: Outgoing,
    events: VecDeque<Event>,
    random: ChaCha20Rng,
    sessions: Sessions,
    contacts: Contacts,
}

/// A peer's open that the policy allows.
struct Newcomer {
    stream: Leg,
    peer: Address,
    hello: Option<Bytes>,
    /// The open of ours that is unanswered.
    crosses: Option<TunnelId>,
    /// The owner has to be asked.
    ask: bool,
}

impl Router {
    /// A router for one bound address. The seed makes its ids and sids; it must be secret and never used twice.
    #[must_use]
    pub fn new(own: Address, config: Config, seed: [u8; 32]) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        let transports = Transports::new(own, &config, &mut random);
        let sessions = Sessions::new(Arc::clone(&config.trust));
        Self {
            config,
            transports,
            clock: Clock::default(),
            tunnels: Tunnels::default(),
            census: Census::default(),
            crowd: Crowd::default(),
            incoming_room: usize::MAX,
            no_newcomers: false,
            closes: Closes::default(),
            paths: Paths::new(seed),
            out: Outgoing::new(answers::ANSWERS),
            events: VecDeque::new(),
            random,
            sessions,
            contacts: Contacts::default(),
        }
    }

    /// Our own address.
    #[must_use]
    pub fn own(&self) -> &Address {
        self.transports.own()
    }

    /// What to do with keys that are not pinned.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.config.policy
    }

    // The link.

    /// The longest stanza in bytes that this server says it takes (XEP-0478), for tunnels opened from now on, until it
    /// [binds another address](Self::rebind). Default: it says nothing.
    pub fn set_server_limit(&mut self, max_bytes: Option<usize>) {
        self.transports.set_server_limit(max_bytes);
    }

    /// Takes a stanza that one's own server brought.
    pub fn handle(&mut self, now: Instant, envelope: Envelope) {
        let now = self.clock.read(now);
        let request = matches!(envelope.content, Content::Get(_) | Content::Set(_));
        if request && !self.acquainted(envelope.from.as_ref()) {
            // Before the streams, whose answers differ from those of a client that has never heard of them.
            self.out.answer(answers::to_stranger(&envelope));
        } else if request && envelope.id.len() > MAX_ID {
            self.out.answer(answers::to_long_id(&envelope));
        } else {
            let sessions = &self.sessions;
            let known = |peer: &Address| has_good_pin(&sessions.trust(), peer);
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
                self.tunnels.mark_all(self.closes.emptying_with(from));
            }
        }
        self.pump(now);
    }

    /// The next stanza for one's own server.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Envelope> {
        if self.clock.paused() {
            return None;
        }
        let now = self.clock.read(now);
        loop {
            // The streams first: their windows bound what they have, and a `<close/>` follows what it closes.
            let envelope = self.paths.poll_transmit();
            let envelope = envelope.or_else(|| self.transports.poll_transmit(now));
            if let Some(envelope) = envelope.or_else(|| self.out.pop()) {
                // In messages, what is sent is as good as acknowledged.
                if let Some(to) = envelope.to.as_ref().filter(|_| self.closes.are_emptying()) {
                    self.tunnels.mark_all(self.closes.emptying_with(to));
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

    /// Whether more than half of the room for answers is taken: whoever has a choice takes no stanza in until some have
    /// been sent, because further answers may be dropped.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.out.is_crowded() || self.transports.is_crowded()
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
        self.tunnels.mark_all(self.closes.emptying());
        self.pump(now);
        Some(called)
    }

    /// The link is interrupted: everything waits, and every clock stands still.
    ///
    /// But for paths beside the server: tunnels that have moved there go on.
    pub fn pause(&mut self, now: Instant) {
        self.clock.pause(now);
        let at = self.moment(now);
        self.tunnels
            .each_moving(|moving| moving.interrupted(at.outer));
    }

    /// The link is back and nothing was lost.
    pub fn resume(&mut self, now: Instant) {
        self.clock.resume(now);
        let now = self.clock.read(now);
        self.linked(now);
        self.pump(now);
    }

    /// There is a link again: those that look for a path go on.
    fn linked(&mut self, now: Instant) {
        let (at, own) = (self.moment(now), self.transports.own());
        let moving = self
            .tunnels
            .each_moving(|moving| moving.linked(at.outer, own));
        self.tunnels.mark_all(moving);
    }

    /// The connection to one's own server is gone for good: so is every tunnel. What had come before can still be taken
    /// with [`poll_event`](Self::poll_event).
    pub fn lost(&mut self, now: Instant) {
        self.unlink(now);
        let now = self.clock.read(now);
        for id in self.tunnels.each_moving(|_| ()) {
            self.fall(now, id, StreamEnd::LinkLost);
        }
        self.pump(now);
    }

    /// The server has bound another address, or this one anew. The streams of the old binding are gone. Tunnels that may
    /// [move](Config::paths) go on, and all others are cut.
    pub fn rebind(&mut self, now: Instant, own: Address) {
        let last = answers::farewells(&self.tunnels, &self.transports, &own, &mut self.random);
        self.unlink(now);
        self.transports = Transports::new(own, &self.config, &mut self.random);
        // The names of the old streams begin anew.
        self.tunnels.detach_all();
        for farewell in last {
            self.out.ask(farewell);
        }
        self.paths.rebind();
        let now = self.clock.read(now);
        self.linked(now);
        self.pump(now);
    }

    /// Every stream is gone with the link.
    fn unlink(&mut self, now: Instant) {
        self.clock.resume(now);
        let now = self.clock.read(now);
        let at = self.moment(now);
        for tunnel in self.tunnels.iter_mut() {
            let carrier = tunnel.carrier_mut();
            // What moves elsewhere does not end with it, and is read when it is wanted.
            if carrier.beneath().is_on_stream() {
                carrier.swallow(at, &mut self.transports);
            }
        }
        self.tunnels
            .each_moving(|moving| moving.route_mut().link_lost(at.outer));
        self.transports.lost(now);
        self.pump(now);
        for stream in self.tunnels.streams() {
            self.transports.give_up(now, stream, StreamEnd::LinkLost);
        }
        self.pump(now);
        self.end_yielding(now);
        self.out.clear();
    }

    // Time.

    /// The next moment at which something runs out.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let both = [self.tunnels.next_deadline(), self.transports.poll_timeout()];
        let due = both.into_iter().flatten();
        let due = due.min_by_key(|deadline| deadline.at);
        let due = due.and_then(|Deadline { at, why }| {
            let at = self.clock.outer(at)?;
            Some(Deadline { at, why })
        });
        let due = [due, self.paths.poll_timeout()].into_iter().flatten();
        due.min_by_key(|deadline| deadline.at)
    }

    /// Tells the time when a deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock.read(now);
        self.transports.handle_timeout(now);
        self.tunnels.mark_all(self.closes.emptying());
        while let Some(id) = self.tunnels.next_due(now) {
            self.expire(now, id);
            self.tunnels.mark(id);
        }
        let at = self.moment(now);
        self.paths.handle_timeout(at, &mut self.tunnels);
        self.pump(now);
    }

    // The owner: events, and calls on one tunnel.

    /// What happened.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        let event = self.events.pop_front()?;
        let known = self.tunnels.get_mut(event.id);
        if let Some(known) = known.and_then(|tunnel| tunnel.conversation_mut())
            && known.on_taken(&event.what, self.config.queue)
        {
            let now = self.clock.read(now);
            self.mark_and_pump(now, event.id);
        }
        Some(event)
    }

    /// Whom a limit turned away. The same address and limit are told of once in a minute at most, and 16 of them are
    /// remembered.
    pub fn poll_turned_away(&mut self, now: Instant) -> Option<TurnedAway> {
        let now = self.clock.read(now);
        self.crowd.poll(now)
    }

    /// How many tunnels of peers the owner has room for now: one for each [`TunnelEvent::Incoming`] and
    /// [`TunnelEvent::Asked`] that it is told from now on. Without it an open is refused before it is
    /// accepted. At first as many as come; who has a queue says so before each stanza.
    pub fn set_incoming_room(&mut self, tunnels: usize) {
        self.incoming_room = tunnels;
    }

    /// Whether opens by addresses with which no tunnel is established are refused, as if there were no room for them. Others
    /// go on to open what they need beside the tunnel that stands.
    pub fn turn_newcomers_away(&mut self, yes: bool) {
        self.no_newcomers = yes;
    }

    /// Opens a tunnel: `<open><start/></open>` to the peer's exact address.
    ///
    /// # Errors
    /// The caller's faults: see [`OpenError`]. The peer's refusal arrives as [`TunnelEvent::Closed`].
    pub fn open(&mut self, now: Instant, peer: &Address) -> Result<TunnelId, OpenError> {
        let service = self.config.service.clone();
        self.open_for(now, peer, service)
    }

    /// As [`open`](Self::open), for a service of its own.
    ///
    /// # Errors
    /// The caller's faults: see [`OpenError`]. A peer that does not serve it arrives as [`TunnelEvent::Closed`]: TLS finds no
    /// application protocol.
    pub fn open_for(
        &mut self,
        now: Instant,
        peer: &Address,
        service: Service,
    ) -> Result<TunnelId, OpenError> {
        let now = self.clock.read(now);
        if peer == self.own() {
            return Err(OpenError::Own(peer.clone()));
        }
        // Bytes stand side by side, where the transport lets them.
        let taken = match service.mode() {
            Mode::Stanzas => self.tunnels.has_of_stanzas(peer),
            Mode::Bytes => !self.transports.reaches_side_by_side(peer) && self.tunnels.knows(peer),
        };
        if taken {
            return Err(OpenError::Already(peer.clone()));
        }
        let (stream, early) = self.ask(now, peer, &service, self.config.early)?;
        let carrier = Carrier::opening(peer.clone(), service, stream, early);
        let id = self.tunnels.adopt(carrier, Standing::new());
        self.mark_and_pump(now, id);
        Ok(id)
    }

    /// A tunnel, to do something with it now.
    ///
    /// # Errors
    /// It has ended.
    pub fn tunnel(&mut self, now: Instant, id: TunnelId) -> Result<TunnelMut<'_>, Gone> {
        if !self.tunnels.contains(id) {
            return Err(Gone);
        }
        Ok(TunnelMut::new(self, now, id))
    }

    /// A tunnel, to learn something about it.
    ///
    /// # Errors
    /// It has ended.
    pub fn tunnel_ref(&self, id: TunnelId) -> Result<TunnelRef<'_>, Gone> {
        let tunnel = self.tunnels.get(id).ok_or(Gone)?;
        Ok(TunnelRef::new(id, tunnel, &self.transports, &self.config))
    }

    /// Whether any tunnel may carry bytes, as one that has ended before it said so might have done.
    #[must_use]
    pub fn serves_bytes(&self) -> bool {
        self.config.serves_bytes()
    }

    fn send(&mut self, now: Instant, id: TunnelId, stanza: &Stanza) -> Result<(), SendError> {
        let now = self.clock.read(now);
        // While a tunnel is replaced, the new session carries what is said already.
        let id = self.tunnels.writer(id);
        let tunnel = self.tunnels.get_mut(id).ok_or(Gone)?;
        tunnel.carrier_mut().sending()?.send(stanza)?;
        self.mark_and_pump(now, id);
        Ok(())
    }

    fn write(&mut self, now: Instant, id: TunnelId, bytes: &[u8]) -> Result<usize, SendError> {
        let now = self.clock.read(now);
        let tunnel = self.tunnels.get_mut(id).ok_or(Gone)?;
        let taken = tunnel.carrier_mut().sending()?.write(bytes)?;
        self.mark_and_pump(now, id);
        Ok(taken)
    }

    fn export(
        &mut self,
        id: TunnelId,
        label: &str,
        context: &[u8],
        out: &mut [u8],
    ) -> Result<(), SendError> {
        let tunnel = self.tunnels.get_mut(id).ok_or(Gone)?;
        let session = tunnel.carrier_mut().sending()?;
        Ok(session.export(label, context, out)?)
    }

    /// Calls the session of a tunnel, which may have something to say then. `ended`: there is none.
    fn in_session<T, E>(
        &mut self,
        now: Instant,
        id: TunnelId,
        ended: E,
        call: impl FnOnce(&mut Session, Instant) -> Result<T, E>,
    ) -> Result<T, E> {
        let now = self.clock.read(now);
        let called = call(self.tunnels.session_mut(id).ok_or(ended)?, now)?;
        self.mark_and_pump(now, id);
        Ok(called)
    }

    /// What a run of a verification is made from. No two runs of one router have one name.
    fn fresh_secret(&mut self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(fresh::seed(&mut self.random))
    }

    fn hold(&mut self, now: Instant, id: TunnelId, hold: bool) {
        let now = self.clock.read(now);
        let known = self.tunnels.conversation_mut(id);
        let changed = known.is_some_and(|known| known.hold(hold));
        if changed && !hold {
            self.mark_and_pump(now, id);
        }
    }

    fn took(&mut self, now: Instant, id: TunnelId) {
        let now = self.clock.read(now);
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let known = tunnel.conversation_mut();
        if known.is_some_and(|known| known.take_all()) {
            if let Some(running) = tunnel.running_mut() {
                running.take_all(now);
            }
            self.mark_and_pump(now, id);
        }
    }

    /// The owner ends a tunnel in order, by this call of its session's.
    fn end_in_order(
        &mut self,
        now: Instant,
        id: TunnelId,
        intent: Intent,
        end: fn(&mut Session, Instant),
    ) {
        let now = self.clock.read(now);
        let successor = self.tunnels.successor(id);
        for id in [Some(id), successor].into_iter().flatten() {
            if let Some(tunnel) = self.tunnels.get_mut(id) {
                let carrier = tunnel.carrier_mut();
                carrier.ask_to_end(now, self.config.close, intent);
                if let Some(session) = carrier.session_mut() {
                    end(session, now);
                } else if carrier.phase().is_beginning() {
                    self.end(now, id, Ending::Aborted);
                }
            }
            self.mark_and_pump(now, id);
        }
    }

    fn close_after(&mut self, now: Instant, id: TunnelId, last: &[u8]) -> Result<(), SendError> {
        let inner = self.clock.read(now);
        let tunnel = self.tunnels.get_mut(id).ok_or(Gone)?;
        if !last.is_empty() {
            tunnel.carrier_mut().sending()?.close_after(inner, last)?;
        }
        self.end_in_order(now, id, Intent::Close, Session::close);
        Ok(())
    }

    fn abort(&mut self, now: Instant, id: TunnelId) {
        let now = self.clock.read(now);
        self.drop_successors(now, id);
        if self.tunnels.contains(id) {
            self.end(now, id, Ending::Aborted);
            self.mark_and_pump(now, id);
        }
    }

    // The pump.

    /// This moment, which a call has begun with, on both clocks.
    fn moment(&self, now: Instant) -> Moment {
        let outer = self.clock.latest_outer().unwrap_or(now);
        Moment { now, outer }
    }

    fn mark_and_pump(&mut self, now: Instant, id: TunnelId) {
        self.tunnels.mark(id);
        self.pump(now);
    }

    /// Moves bytes between the layers until nothing moves. Read this first.
    fn pump(&mut self, now: Instant) {
        loop {
            while let Some(event) = self.transports.poll_event() {
                self.on_stream(now, event);
            }
            let Some(id) = self.tunnels.next_marked() else {
                break;
            };
            self.carry(now, id);
            self.tunnels.schedule(id);
        }
    }

    /// Moves what can move in one tunnel.
    fn carry(&mut self, now: Instant, id: TunnelId) {
        let at = self.moment(now);
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        tunnel
            .carrier_mut()
            .beneath_mut()
            .pull(at, &mut self.transports);
        if tunnel.session().is_some() {
            self.carry_session(at, id);
        } else {
            self.carry_on_closing(now, id);
        }
        self.follow_paths(at, id);
    }

    fn carry_session(&mut self, at: Moment, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let more = tunnel.carrier_mut().exchange(at, &mut self.transports);
        self.settle(at.now, id);
        self.collect(at.now, id);
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        // What was received may have been answered without an event for the owner; and having found no whole stanza, the
        // session may want more than it did.
        if tunnel.carrier_mut().send_wire(at, &mut self.transports)
            || more && tunnel.carrier().wants_wire()
        {
            self.tunnels.mark(id);
        }
    }

    /// Takes the session's events as far as the owner has room for them.
    fn collect(&mut self, now: Instant, id: TunnelId) {
        loop {
            let Some(tunnel) = self.tunnels.get_mut(id) else {
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
            self.tunnels.mark(id);
            self.on_session(now, id, event);
        }
    }

    /// What happened to a stream.
    fn on_stream(&mut self, now: Instant, event: Stream) {
        match event {
            Stream::Incoming { leg, from, hello } => self.on_open(now, leg, from, hello),
            Stream::IncomingLeg { leg, from } => self.on_open_of_leg(now, leg, &from),
            Stream::Opened { leg, flight } => self.on_opened(now, leg, flight),
            Stream::Ready(leg) => match self.tunnels.of_stream(leg) {
                Some(id) => self.tunnels.mark(id),
                // It was a path, and what comes on it after its goodbye is too late.
                None => self.transports.discard(now, leg),
            },
            Stream::Flushed(leg) => self.acknowledge(now, leg),
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
            Inner::Stanza(stanza) if self.tunnels.is_peer_finished(id) && !is_answer(&stanza) => {
                self.withhold(id)
            }
            Inner::Stanza(stanza) => self.emit(id, TunnelEvent::Stanza(stanza)),
            Inner::Refused(violation) => self.emit(id, TunnelEvent::Refused(violation)),
            Inner::Verify(verify) => {
                let at = self.moment(now);
                if let Verify::Done { .. } = verify
                    && let Some(moving) = self.tunnels.moving_mut(id)
                {
                    // Who was a stranger until now may be told an address.
                    moving.route_mut().verified(at.outer);
                }
                self.emit(id, TunnelEvent::Verify(verify));
            }
            Inner::Writable => self.emit(id, TunnelEvent::Writable),
            Inner::PeerFinished => self.on_peer_finished(now, id),
            Inner::PeerClosed => self.on_peer_closed(now, id),
            Inner::Closed(close) => self.on_session_closed(now, id, close),
            Inner::Readable => self.emit(id, TunnelEvent::Readable),
            _ => {}
        }
    }

    fn on_ready(&mut self, id: TunnelId) {
        if let Some(tunnel) = self.tunnels.get_mut(id) {
            tunnel.carrier_mut().ready();
        }
    }

    /// The peer has sent something after its end, and no one is told.
    fn withhold(&mut self, id: TunnelId) {
        if let Some(running) = self.tunnels.running_mut(id) {
            running.withhold();
        }
    }

    fn emit(&mut self, id: TunnelId, what: TunnelEvent) {
        if let Some(tunnel) = self.tunnels.get_mut(id) {
            let Some(known) = tunnel.conversation_mut() else {
                return;
            };
            known.on_queued(&what);
        }
        self.events.push_back(Event { id, what });
    }

    // Our opens.

    fn ask(
        &mut self,
        now: Instant,
        peer: &Address,
        service: &Service,
        early: bool,
    ) -> Result<(Leg, Option<Box<Session>>), OpenError> {
        let (transports, config) = (&mut self.transports, &self.config);
        let random = &mut self.random;
        self.sessions
            .ask(now, transports, config, random, peer, service, early)
    }

    /// Our open has been accepted: the stream stands, TLS begins.
    fn on_opened(&mut self, now: Instant, stream: Leg, flight: Option<Bytes>) {
        let at = self.moment(now);
        let Some(id) = self.tunnels.of_stream(stream) else {
            return;
        };
        if let Some(moving) = self.tunnels.moving_mut(id)
            && moving.stream_opened(at.outer, stream)
        {
            self.tunnels.mark(id);
            return;
        }
        let sid = self.transports.name(stream).map(ToOwned::to_owned);
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let carrier = tunnel.carrier_mut();
        if !carrier.phase().is_opening() {
            return;
        }
        // A smaller block was agreed on under another sid, to which the early ClientHello does not belong.
        let early = carrier
            .take_early()
            .filter(|session| sid.as_ref() == Some(&session.binding().sid));
        match (early, flight) {
            (Some(mut session), Some(flight)) if flight.len() <= MAX_FLIGHT => {
                session.begun(now);
                // It has travelled.
                let _ = session.poll_wire(session.peek_wire().len());
                session.handle_wire(now, &flight);
                self.begin(now, id, stream, Role::Client, Some(session), Hello::Once);
            }
            (early, Some(flight)) => {
                debug!("a flight that is too long, or answers nothing of ours");
                let why = match early {
                    Some(_) => Why::LongFlight {
                        bytes: flight.len(),
                    },
                    None => Why::Unasked,
                };
                carrier.fail(By::Us, why);
                self.transports.abort(now, stream);
            }
            (early, None) => {
                let hello = match early {
                    Some(_) => Hello::Twice,
                    None => Hello::Once,
                };
                let early = early.map(|mut session| {
                    session.begun(now);
                    session
                });
                self.begin(now, id, stream, Role::Client, early, hello);
            }
        }
    }

    /// Our open has failed.
    fn open_failed(&mut self, now: Instant, id: TunnelId, stream: Leg, end: StreamEnd) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let crosses =
            tunnel.carrier().mode() != Some(Mode::Bytes) || !self.transports.side_by_side(stream);
        if let StreamEnd::Refused(error) = &end
            && error.condition == Condition::Conflict
            && crosses
        {
            // The peer's own open won, and was sent before its refusal of ours.
            tunnel.carrier_mut().await_open(now + self.config.close);
            self.tunnels.mark(id);
            return;
        }
        // A strict reader may have stumbled over the early hello.
        if let StreamEnd::Refused(error) = &end
            && error.condition == Condition::BadRequest
            && tunnel.carrier().phase().is_opening_early()
            && self.ask_again(now, id)
        {
            return;
        }
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let refused = matches!(end, StreamEnd::Refused(_));
        let by = if refused { By::Peer } else { By::Transport };
        let closed = tunnel.carrier().closed(by, Why::of_open(end));
        self.finish_tunnel(now, id, closed);
    }

    /// A handshake has failed whose ClientHello went twice: somebody between us may have taken the peer's early answer
    /// away, so one more try is made without. True when it is under way.
    fn again_without_early(&mut self, now: Instant, id: TunnelId, close: &Close) -> bool {
        let tunnel = self.tunnels.get(id);
        tunnel.is_some_and(|tunnel| tunnel.carrier().may_try_again(close))
            && self.ask_again(now, id)
    }

    /// Opens once more, without an early hello, under the same tunnel.
    fn ask_again(&mut self, now: Instant, id: TunnelId) -> bool {
        let Some(tunnel) = self.tunnels.get(id) else {
            return false;
        };
        let carrier = tunnel.carrier();
        let peer = carrier.peer().clone();
        let service = carrier.service().unwrap_or(&self.config.service).clone();
        let Ok((stream, early)) = self.ask(now, &peer, &service, false) else {
            return false;
        };
        debug!("once more without the early hello");
        if let Some(tunnel) = self.tunnels.get_mut(id)
            && let Some(old) = tunnel.carrier_mut().open_again(stream, early)
        {
            self.tunnels.detach(old);
            self.transports.close(now, old);
        }
        self.tunnels.attach(stream, id);
        self.tunnels.mark(id);
        true
    }

    // The peer's opens.

    /// A peer's `<open/>`: policy, form, glare and caps are decided before any TLS work.
    fn on_open(
        &mut self,
        now: Instant,
        stream: Leg,
        from: Address,
        hello: Result<Option<Bytes>, StanzaError>,
    ) {
        let hello = match hello {
            // One that is not taken later is not kept until then.
            Ok(hello) => Ok(hello.filter(|hello| hello.len() <= MAX_FLIGHT)),
            Err(refusal) => Err(refusal),
        };
        let purpose = match &hello {
            Ok(hello) => self.purpose(stream, &from, hello.as_ref()),
            Err(_) => Purpose::Unknown,
        };
        // An open of ours makes its crossing one welcome. Those of bytes cross nothing.
        let ours = match purpose {
            Purpose::Bytes(_) => None,
            Purpose::Stanzas(_) | Purpose::Unknown => {
                let side_by_side = self.transports.side_by_side(stream);
                self.tunnels.unanswered_to(&from, side_by_side)
            }
        };
        let welcome = match ours {
            Some(_) => Welcome::Yes,
            None => self.config.welcome(&from),
        };
        if welcome == Welcome::No {
            return self.decline(
                now,
                stream,
                Condition::ServiceUnavailable,
                ErrorType::Cancel,
            );
        }
        let hello = match hello {
            Ok(hello) => hello,
            Err(refusal) => return self.transports.refuse(now, stream, refusal),
        };
        match (ours, glare(self.transports.own(), &from)) {
            (_, Glare::Same) => {
                self.decline(now, stream, Condition::NotAcceptable, ErrorType::Cancel);
            }
            (Some(id), Glare::Ours) if purpose.is_stanzas() && self.tunnels.is_opening(id) => {
                self.decline(now, stream, Condition::Conflict, ErrorType::Cancel);
            }
            (Some(id), Glare::Ours | Glare::Theirs) if purpose.is_stanzas() => {
                self.yield_to(now, id, stream, &from, hello);
            }
            (ours, Glare::Ours | Glare::Theirs) => {
                let newcomer = Newcomer {
                    stream,
                    peer: from,
                    hello,
                    crosses: ours,
                    ask: welcome == Welcome::Ask,
                };
                self.accept(now, newcomer, purpose);
            }
        }
    }

    /// Takes the peer's open in place of our own, under the same tunnel.
    fn yield_to(
        &mut self,
        now: Instant,
        id: TunnelId,
        stream: Leg,
        peer: &Address,
        hello: Option<Bytes>,
    ) {
        debug!("crossing opens: the peer's stands");
        // For what ours was to be, or for nothing.
        let service = self.tunnels.service_of(id).cloned();
        let Some(early) = self.say_yes(now, stream, peer, service.as_ref(), hello) else {
            return;
        };
        if let Some(tunnel) = self.tunnels.get_mut(id)
            && let Some(lost) = tunnel.carrier_mut().yield_to(stream)
        {
            self.tunnels.detach(lost);
            // Its answer does not matter any more. Should it have been accepted after all, this closes it.
            // In the original flow it has ended already.
            self.transports.abort(now, lost);
        }
        self.tunnels.attach(stream, id);
        self.begin(now, id, stream, Role::Server, early, Hello::Once);
    }

    /// Takes the peer's open, unless there are too many. One of stanzas discards an older unfinished handshake of the same
    /// address; an established tunnel of stanzas it may only replace when it has proven the same key, and until then the
    /// owner does not hear of it. One of bytes stands beside all others.
    fn accept(&mut self, now: Instant, newcomer: Newcomer, purpose: Purpose) {
        let (stream, peer) = (newcomer.stream, &newcomer.peer);
        let (older, standing) = if purpose.is_stanzas() {
            (
                self.tunnels.unfinished_with(peer),
                self.tunnels.standing(peer),
            )
        } else {
            (Vec::new(), None)
        };
        let (config, service) = (&self.config, purpose.service());
        let busy = self
            .census
            .too_many_unfinished(config, peer, &older, service);
        if let Some(busy) = busy {
            return self.turn_away(now, stream, peer, busy);
        }
        if standing.is_some_and(|standing| !self.tunnels.is_replaceable(standing))
            || purpose.is_stanzas() && self.tunnels.are_moving(peer)
        {
            return self.decline(now, stream, Condition::NotAcceptable, ErrorType::Cancel);
        }
        // Of one that is to replace another the owner does not hear, and one that begins anew has its place.
        if standing.is_none() && older.is_empty() {
            let busy = service.and_then(|service| self.census.too_many_of(config, service, peer));
            if let Some(busy) = busy.or_else(|| self.no_room(peer)) {
                return self.turn_away(now, stream, peer, busy);
            }
            self.incoming_room = self.incoming_room.saturating_sub(1);
        }
        // Whom we talk to already is not asked about again.
        if newcomer.ask && self.tunnels.any_standing(peer, None).is_none() {
            let Newcomer { peer, hello, .. } = newcomer;
            let carrier = Carrier::asking(peer.clone(), service.cloned(), stream, hello);
            let id = self.tunnels.adopt(carrier, Standing::new());
            self.emit(id, TunnelEvent::Asked(peer));
            return;
        }
        self.take_in(now, newcomer, purpose, older, standing);
    }

    /// Takes the peer's open in place of the `older` ones, or to replace the one that is `standing`.
    fn take_in(
        &mut self,
        now: Instant,
        newcomer: Newcomer,
        purpose: Purpose,
        older: Vec<TunnelId>,
        standing: Option<TunnelId>,
    ) {
        let (stream, peer) = (newcomer.stream, newcomer.peer);
        // A newer session carries on what the older one was for.
        let service = match standing {
            Some(standing) => self.tunnels.service_of(standing),
            None => purpose.service(),
        };
        let service = service.cloned();
        let hello = newcomer.hello;
        let Some(early) = self.say_yes(now, stream, &peer, service.as_ref(), hello) else {
            return;
        };
        for id in older {
            self.end(now, id, Ending::Dropped(By::Peer, Why::Superseded));
        }
        let crosses = newcomer.crosses;
        let standing = match (standing, purpose) {
            (Some(standing), _) => Standing::successor_of(standing, Carries::BothDirections),
            (None, Purpose::Unknown) => Standing::Unsettled { crosses },
            (None, Purpose::Stanzas(_) | Purpose::Bytes(_)) => Standing::new(),
        };
        let carrier = Carrier::accepted(peer.clone(), service, stream);
        let id = self.tunnels.adopt(carrier, standing);
        self.emit(id, TunnelEvent::Incoming(peer));
        self.begin(now, id, stream, Role::Server, early, Hello::Once);
    }

    #[expect(
        clippy::option_option,
        reason = "no stream, and no early session, are two things"
    )]
    fn say_yes(
        &mut self,
        now: Instant,
        stream: Leg,
        peer: &Address,
        service: Option<&Service>,
        hello: Option<Bytes>,
    ) -> Option<Option<Box<Session>>> {
        let (transports, config) = (&mut self.transports, &self.config);
        self.sessions
            .say_yes(now, transports, config, stream, peer, service, hello)
    }

    /// Gives the owner's word on [`TunnelEvent::Asked`], which holds for this open only. A tunnel that has ended meanwhile, or
    /// was asked about before, is no error.
    pub fn admit(&mut self, now: Instant, id: TunnelId, yes: bool) {
        let now = self.clock.read(now);
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let Some((stream, hello)) = tunnel.carrier_mut().take_asked() else {
            return;
        };
        let carrier = tunnel.carrier();
        let (peer, service) = (carrier.peer().clone(), carrier.service().cloned());
        if !yes {
            self.end(now, id, Ending::Aborted);
        } else if let Some(busy) = self.census.too_many(&self.config, &peer, service.as_ref()) {
            self.turn_away(now, stream, &peer, busy);
        } else if let Some(early) = self.say_yes(now, stream, &peer, service.as_ref(), hello) {
            self.begin(now, id, stream, Role::Server, early, Hello::Once);
        }
        self.mark_and_pump(now, id);
    }

    fn decline(&mut self, now: Instant, stream: Leg, condition: Condition, kind: ErrorType) {
        let refusal = StanzaError::new(kind, condition);
        self.transports.refuse(now, stream, refusal);
    }

    /// Refuses an open for now, and says so.
    fn turn_away(&mut self, now: Instant, stream: Leg, from: &Address, busy: Busy) {
        self.crowd.note(now, from, busy);
        self.transports.refuse(now, stream, busy.to_error());
    }

    /// That the owner has no room for one more tunnel of this peer's, if it has none.
    fn no_room(&self, peer: &Address) -> Option<Busy> {
        let unknown = || self.tunnels.any_standing(peer, None).is_none();
        let none = self.incoming_room == 0 || (self.no_newcomers && unknown());
        none.then(|| busy(Limit::Incoming, self.config.incoming))
    }

    // What the peer's opens are for, once that is known: see [`purpose`].

    /// What an open is for, as far as it says so itself.
    fn purpose(&self, stream: Leg, from: &Address, hello: Option<&Bytes>) -> Purpose {
        if !self.transports.side_by_side(stream) {
            return Purpose::Stanzas(None);
        }
        let (transports, config) = (&self.transports, &self.config);
        let sid = transports.name(stream).unwrap_or_default();
        let binding = sessions::binding(transports, config, from, sid, None, Role::Server);
        Purpose::of(hello, &binding, config)
    }

    /// Decides what becomes of a peer's tunnel once its ClientHello has come on the stream.
    fn settle(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get(id) else {
            return;
        };
        let (carrier, standing) = (tunnel.carrier(), tunnel.standing());
        if carrier.service().is_some() {
            return;
        }
        let Some(service) = carrier.session().and_then(Session::service_named).cloned() else {
            return;
        };
        let peer = carrier.peer().clone();
        let crosses = match standing {
            Standing::Unsettled { crosses } => Some(*crosses),
            Standing::Conversation(_) | Standing::Successor(_) | Standing::Remainder => None,
        };
        self.tunnels.settle(id, service.clone());
        let Some(crosses) = crosses else {
            // The owner has admitted it, or the transport has nothing else with this peer.
            return self.admit_to(now, id, &peer, &service);
        };
        // Only a crossing needs no other permission, and only stanzas cross.
        let standing = self.tunnels.any_standing(&peer, Some(id)).is_some();
        let welcome = self.config.is_welcome(&peer, &service, standing);
        let stanzas = service.mode() == Mode::Stanzas;
        match (
            self.tunnels.crossed(crosses).filter(|_| stanzas),
            glare(self.own(), &peer),
        ) {
            (Some(ours), Glare::Theirs) if self.tunnels.service_of(ours) == Some(&service) => {
                self.take_over(now, ours, id, &service);
            }
            (Some(_), _) => {
                debug!("crossing opens: ours stands");
                self.reject(now, id, Why::Second);
            }
            (None, _) if welcome && stanzas => self.settle_stanzas(now, id, &peer, &service),
            (None, _) if welcome => self.admit_to(now, id, &peer, &service),
            (None, _) => self.reject(now, id, Why::Second),
        }
    }

    /// It is of stanzas, and crosses none of ours.
    fn settle_stanzas(&mut self, now: Instant, id: TunnelId, peer: &Address, service: &Service) {
        for older in self.tunnels.unfinished_with(peer) {
            if older != id {
                self.end(now, older, Ending::Dropped(By::Peer, Why::Superseded));
            }
        }
        let Some(standing) = self.tunnels.standing(peer) else {
            return self.admit_to(now, id, peer, service);
        };
        if !self.tunnels.is_replaceable(standing) || self.tunnels.are_moving(peer) {
            return self.reject(now, id, Why::Second);
        }
        if let Some(tunnel) = self.tunnels.get_mut(id) {
            let successor = Standing::successor_of(standing, Carries::BothDirections);
            *tunnel.standing_mut() = successor;
        }
        if let Some(known) = self.tunnels.conversation_mut(standing) {
            known.add_successor(id);
        }
    }

    /// It is a tunnel of this service, unless there are too many of these. The owner learns of it, if it has not.
    fn admit_to(&mut self, now: Instant, id: TunnelId, peer: &Address, service: &Service) {
        if let Some(busy) = self.census.too_many_of(&self.config, service, peer) {
            self.crowd.note(now, peer, busy);
            return self.reject(now, id, Why::Busy(busy));
        }
        self.census.settle(id, service);
        if let Some(tunnel) = self.tunnels.get_mut(id)
            && tunnel.standing().is_unsettled()
        {
            *tunnel.standing_mut() = Standing::new();
            self.emit(id, TunnelEvent::Incoming(peer.clone()));
        }
    }

    /// Ends one; in silence, if the owner has never heard of it.
    fn reject(&mut self, now: Instant, id: TunnelId, why: Why) {
        if let Some(tunnel) = self.tunnels.get_mut(id) {
            tunnel.standing_mut().discard();
            self.end(now, id, Ending::Dropped(By::Us, why));
        }
    }

    /// The peer's session takes the place of our own open, under our tunnel's name; what is left of ours ends in silence.
    fn take_over(&mut self, now: Instant, ours: TunnelId, theirs: TunnelId, service: &Service) {
        debug!("crossing opens: the peer's stands");
        let taken = self.tunnels.change_both(ours, theirs, |tunnel, rest| {
            tunnel.take_over(now, rest);
            self.paths.swap([ours, theirs]);
        });
        if taken.is_some() {
            self.census.rename(theirs, ours);
            self.census.settle(ours, service);
            self.end(now, theirs, Ending::Discarded);
        }
    }

    // Sessions.

    /// Starts the session on a stream that both ends have agreed on.
    fn begin(
        &mut self,
        now: Instant,
        id: TunnelId,
        stream: Leg,
        role: Role,
        early: Option<Box<Session>>,
        hello: Hello,
    ) {
        let Some(tunnel) = self.tunnels.get(id) else {
            return;
        };
        let (peer, service) = (tunnel.carrier().peer(), tunnel.carrier().service());
        let session = match early {
            Some(session) => Ok(session),
            None => {
                let (transports, config) = (&self.transports, &self.config);
                let sid = transports.name(stream).unwrap_or_default();
                self.sessions
                    .make(now, transports, config, peer, sid, service, role)
            }
        };
        match session {
            Ok(session) => {
                let at = self.moment(now);
                if let Some(tunnel) = self.tunnels.get_mut(id) {
                    let carrier = tunnel.carrier_mut();
                    carrier.run(session, hello);
                    if self.config.paths.is_some() {
                        carrier.keep(at, &mut self.transports);
                    }
                }
                if role == Role::Server {
                    self.count(id);
                }
                self.tunnels.mark(id);
            }
            Err(error) => {
                self.transports.abort(now, stream);
                if let Some(tunnel) = self.tunnels.get_mut(id) {
                    let why = Why::Setup(error.to_string());
                    tunnel.carrier_mut().fail(By::Us, why);
                }
            }
        }
    }

    /// A session has begun with a peer that has opened the tunnel.
    fn count(&mut self, id: TunnelId) {
        if let Some(tunnel) = self.tunnels.get(id) {
            let carrier = tunnel.carrier();
            let service = carrier.service();
            let apart = service.filter(|service| self.config.unfinished_apart(service));
            // One that is to take over is no further tunnel of its service.
            let further = service.filter(|_| tunnel.standing().is_known());
            let bare = carrier.peer().to_bare();
            self.census.begin(id, bare, further, apart);
        }
    }

    // Keys: the pins, and the owner's word where they have none.

    /// The pins that count from now on: for sessions to come, for handshakes that are under way, and for sessions that
    /// stand. One whose key would be refused now ends as
    /// [`Untrusted`](xtls_session::Why::Untrusted); one whose key is merely forgotten goes on, unless the policy asks for
    /// pins. Costs as much as there are changes.
    pub fn set_trust(&mut self, now: Instant, trust: Arc<Store>) {
        let now = self.clock.read(now);
        let before = self.sessions.set_trust(Arc::clone(&trust));
        let mut affected = BTreeSet::new();
        for jid in trust.differences(&before) {
            let pins = trust.of(&jid);
            if !pins.is_empty() {
                self.contacts.settled(&jid);
            }
            affected.extend(self.tunnels.of_account(&jid));
            // A key that is revoked, or another's, is so for everybody.
            let keys = pins.iter().map(|pin| pin.fingerprint);
            affected.extend(keys.flat_map(|key| self.tunnels.holders(key)));
        }
        for id in affected {
            self.in_turn(id, |session| session.trust_changed(now));
        }
        self.pump(now);
    }

    fn distrust(&mut self, now: Instant, id: TunnelId, why: TrustError) {
        let now = self.clock.read(now);
        self.in_turn(id, |session| session.distrust(now, why));
        self.pump(now);
    }

    /// Tells a session something about its peer's key. One that is not trusted any more ends.
    fn in_turn(&mut self, id: TunnelId, call: impl FnOnce(&mut Session)) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let Some(running) = tunnel.running_mut() else {
            return;
        };
        call(running.session_mut());
        if running.is_distrusted() {
            warn!("the key of a peer is not to be trusted any more");
            // One that the owner does not know of ends in silence.
            tunnel.standing_mut().discard();
            self.tunnels.mark(id);
        }
    }

    /// Whether a handshake or a verdict is under way, so that the pins should be as they are on the disk.
    #[must_use]
    pub fn is_meeting(&self) -> bool {
        self.tunnels.are_meeting()
    }

    /// A successor's key has been judged already if it is that of what it replaces; any other is refused without asking.
    fn on_judge(&mut self, now: Instant, id: TunnelId, introduction: Introduction) {
        self.tunnels.prove(id, introduction.fingerprint);
        let old = self.tunnels.replaced_by(id);
        match old.and_then(|old| Some((old, self.tunnels.key_of(old)?))) {
            None => self.introduce(now, id, introduction),
            Some((_, key)) if key == introduction.fingerprint => {
                if let Some(session) = self.tunnels.session_mut(id) {
                    // It has just asked for it.
                    let _ = session.judge(now, key, Verdict::Accept);
                }
            }
            Some((old, _)) => self.expose(now, id, old, introduction.fingerprint),
        }
    }

    /// A key without a pin waits for the owner's word, unless another one was presented for the same account: then neither
    /// gets one.
    fn introduce(&mut self, now: Instant, id: TunnelId, introduction: Introduction) {
        let bare = introduction.peer.bare().to_owned();
        let key = introduction.fingerprint;
        let pending = self.tunnels.judging(&bare, id);
        let two = self
            .contacts
            .presented(now, &bare, key, !pending.is_empty());
        let Some((first, second)) = two else {
            self.emit(id, TunnelEvent::Judge(introduction));
            return;
        };
        for id in pending.into_iter().chain([id]) {
            let peer = bare.clone();
            let why = TrustError::TwoKeys {
                peer,
                first,
                second,
            };
            self.in_turn(id, |session| session.distrust(now, why));
        }
    }

    /// A newcomer holds another key than this established tunnel of the same address, whose owner is told.
    fn expose(&mut self, now: Instant, id: TunnelId, old: TunnelId, key: Fingerprint) {
        self.report_other_key(id, old, Some(key));
        self.end(now, id, Ending::Dropped(By::Us, Why::Impostor));
    }

    /// A successor was refused for the key that it has shown.
    fn on_refused_key(&mut self, id: TunnelId, key: Option<Fingerprint>) {
        if let Some(old) = self.tunnels.replaced_by(id) {
            self.report_other_key(id, old, key);
        }
    }

    fn report_other_key(&mut self, id: TunnelId, old: TunnelId, key: Option<Fingerprint>) {
        let Some(tunnel) = self.tunnels.get(id) else {
            return;
        };
        let store = self.sessions.trust();
        let pins = store.of(tunnel.carrier().peer().bare());
        let good = |pin: &&Pin| Some(pin.fingerprint) == key && pin.level != Level::Revoked;
        let pinned = pins.iter().find(good).is_some();
        warn!(
            pinned,
            "a second tunnel of the same peer did not prove the same key"
        );
        self.emit(old, TunnelEvent::OtherKey(OtherKey { key, pinned }));
    }

    // One established tunnel of stanzas for each pair of addresses, and how a newer session takes its place without losing
    // anything.
    //
    // A successor shakes hands beside the old session, and the owner does not learn of it. Once it has proven the same key, we
    // end our direction of the old session and send on the new one; what the new one brings waits until the old one has been
    // read to the peer's close_notify. Then the conversation goes on under its old name. Where that close_notify does not come
    // (the peer has crashed, say), the old tunnel ends as replaced, and the successor is a tunnel of its own. The states are in
    // [`conversation`].

    fn on_established(&mut self, now: Instant, id: TunnelId, peer: Peer) {
        self.tunnels.establish(id, &peer);
        self.census.finish(id);
        let at = self.moment(now);
        self.settle_paths(at, id, &peer);
        let (key, bytes) = (peer.key.fingerprint, peer.service.mode() == Mode::Bytes);
        let Some(tunnel) = self.tunnels.get(id) else {
            return;
        };
        let (stream, replaces) = (tunnel.carrier().stream(), tunnel.replaces());
        if let Some(stream) = stream.filter(|_| bytes && peer.bound) {
            self.transports.set_patience(now, stream, SLOW_BYTES);
        }
        // Whatever it carries, it is of the same peer: one program, with one key.
        if let Some(other) = replaces.or_else(|| self.tunnels.any_standing(&peer.address, Some(id)))
            && self.tunnels.key_of(other) != Some(key)
        {
            self.expose(now, id, other, key);
            return;
        }
        // Two that began together replace nothing: the second one to be established does now.
        let second = || {
            let standing = self.tunnels.standing(&peer.address);
            standing.filter(|other| *other != id && !bytes)
        };
        match replaces.or_else(second) {
            // Tunnels of bytes stand side by side.
            None => self.emit(id, TunnelEvent::Established(peer)),
            Some(old) if bytes || self.tunnels.service_of(old) != Some(&peer.service) => {
                debug!("a second service of stanzas, or bytes in place of stanzas");
                self.end(now, id, Ending::Dropped(By::Us, Why::Second));
            }
            Some(old) => self.drain(now, old, id, peer),
        }
    }

    /// The successor has proven the same key.
    fn drain(&mut self, now: Instant, old: TunnelId, new: TunnelId, peer: Peer) {
        debug!("a newer session takes over");
        let carries = match self.tunnels.get_mut(new) {
            Some(tunnel) => tunnel.standing_mut().wait(old, peer),
            None => return,
        };
        let (until, moved) = (now + self.config.close, self.moved(old));
        let Some(tunnel) = self.tunnels.get_mut(old) else {
            return;
        };
        let known = tunnel.conversation_mut();
        let left = known.is_some_and(|known| known.drain(new, until, moved));
        if let Some(session) = tunnel.session_mut() {
            session.part(now);
        }
        self.tunnels.mark(old);
        if left || carries == Carries::OurDirection {
            self.promote(now, old, new);
        }
    }

    /// The keys of a stanza session are old. The initiator replaces the session; the responder, and whoever talks to a
    /// peer that knows the letter only, renews the keys of the one there is.
    fn renew(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let carrier = tunnel.carrier();
        let transports = &self.transports;
        let side_by_side = carrier
            .stream()
            .is_some_and(|stream| transports.side_by_side(stream));
        let finished = tunnel
            .conversation()
            .is_some_and(Conversation::is_peer_finished)
            && tunnel.session().is_some_and(Session::peer_closed);
        let ours = carrier.is_ours()
            && side_by_side
            && carrier.is_bound()
            && carrier.intent() == Intent::Open
            && tunnel.standing().is_known();
        let (peer, service) = (carrier.peer().clone(), carrier.service().cloned());
        if let Some(session) = tunnel.session_mut() {
            // In any case, so that the count begins anew and the next attempt comes in its time.
            session.refresh_keys(now);
        }
        if !ours || !self.tunnels.is_replaceable(id) || !self.tunnels.successors(id).is_empty() {
            return;
        }
        let service = service.unwrap_or_else(|| self.config.service.clone());
        if let Ok((stream, early)) = self.ask(now, &peer, &service, self.config.early) {
            let carries = if finished {
                Carries::OurDirection
            } else {
                Carries::BothDirections
            };
            let carrier = Carrier::opening(peer, service, stream, early);
            let successor = self
                .tunnels
                .adopt(carrier, Standing::successor_of(id, carries));
            self.tunnels.mark(successor);
        }
    }

    /// The peer has ended its direction, and all it sent has been handed out.
    fn on_peer_finished(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let Some(session) = tunnel.session() else {
            return;
        };
        if session.peer_closed() {
            self.on_peer_closed(now, id);
            return;
        }
        let Some(known) = tunnel.conversation_mut() else {
            return;
        };
        if known.finish_peer() {
            self.emit(id, TunnelEvent::PeerFinished);
        } else if known.has_taken_all()
            && let Some(running) = tunnel.running_mut()
        {
            // It has said so in the session before this one, and the owner has answered.
            running.take_all(now);
        }
    }

    /// The peer has ended its direction of the session, which was read to its end.
    fn on_peer_closed(&mut self, now: Instant, id: TunnelId) {
        if let Some(successor) = self.tunnels.successor(id) {
            self.promote(now, id, successor);
        } else if self.tunnels.has_successor_of_ours(id) {
            // It moves to our own successor, which it has confirmed before we know. (Of one that somebody opened in the
            // peer's name we know as much as the peer.)
            if let Some(known) = self.tunnels.conversation_mut(id) {
                known.peer_leaves();
            }
        } else {
            self.peer_finished(id);
        }
    }

    /// The owner is told that the peer has ended its direction. A successor that began before can only be a renewal that this
    /// end has overtaken; one that begins later is a conversation of its own.
    fn peer_finished(&mut self, id: TunnelId) {
        for successor in self.tunnels.successors(id) {
            if let Some(tunnel) = self.tunnels.get_mut(successor) {
                tunnel.standing_mut().peer_finished();
            }
        }
        let known = self.tunnels.conversation_mut(id);
        if known.is_some_and(|known| known.finish_peer()) {
            self.emit(id, TunnelEvent::PeerFinished);
        }
    }

    /// The conversation goes on in the new session, under the old one's name; the new name is left for what has to be
    /// closed yet.
    fn promote(&mut self, now: Instant, old: TunnelId, new: TunnelId) {
        let promoted = self.tunnels.change_both(old, new, |tunnel, rest| {
            let peer = tunnel.move_to(now, new, rest);
            self.closes.swap(rest.carrier().peer(), [old, new]);
            self.paths.swap([old, new]);
            peer
        });
        if let Some(Some(peer)) = promoted {
            self.emit(old, TunnelEvent::Renewed(peer));
        }
    }

    /// Bytes that the stream beneath a tunnel has moved.
    fn moved(&self, id: TunnelId) -> u64 {
        let Some(carrier) = self.tunnels.get(id).map(Tunnel::carrier) else {
            return 0;
        };
        match carrier.stream() {
            Some(stream) => self.transports.moved(stream),
            None => carrier.session().map_or(0, Session::wire_received),
        }
    }

    /// The rest of a replaced tunnel takes long. It may, while it moves, and while the owner lets it wait.
    fn await_rest(&mut self, now: Instant, id: TunnelId) {
        let (moved, until) = (self.moved(id), now + self.config.close);
        let flows = self.tunnels.stream_of(id).is_some();
        let Some(known) = self.tunnels.conversation_mut(id) else {
            return;
        };
        let excused = flows && known.is_slow();
        if !known.drain_longer(until, moved, excused) {
            // What has come is still handed out, however slowly it is taken; only nothing more can come.
            known.drain_at_leisure(now + FOREVER);
            self.end(now, id, Ending::RestMissing);
        }
    }

    /// Both directions have ended here: a renewal of ours has nothing left to carry, and the peer has finished.
    fn has_not_moved(&mut self, now: Instant, id: TunnelId) {
        for successor in self.tunnels.successors(id) {
            let carrier = self.tunnels.get(successor).map(Tunnel::carrier);
            if carrier.is_some_and(|carrier| carrier.is_ours() && !carrier.is_ready()) {
                self.end(now, successor, Ending::Discarded);
            }
        }
        let known = self.tunnels.conversation_mut(id);
        if known.is_some_and(|known| known.peer_has_not_moved()) {
            self.peer_finished(id);
        }
    }

    /// A tunnel has ended: those that were to replace it stand for themselves, unless nothing is left to be said in them.
    fn after(&mut self, now: Instant, id: TunnelId, ended: &Tunnel, orderly: bool) {
        match ended.standing() {
            Standing::Conversation(known) => {
                for successor in known.successors() {
                    self.stand_alone(now, *successor, orderly);
                }
            }
            Standing::Successor(successor) => {
                self.lose_successor(now, id, successor.replaces(), ended.carrier());
            }
            Standing::Unsettled { .. } | Standing::Remainder => {}
        }
    }

    /// What a successor was to replace has ended, in order or not.
    fn stand_alone(&mut self, now: Instant, id: TunnelId, orderly: bool) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let renewal = orderly && tunnel.carrier().is_ours();
        let doomed = tunnel.standing().is_doomed();
        let standing = std::mem::replace(tunnel.standing_mut(), Standing::Remainder);
        let Standing::Successor(successor) = standing else {
            return;
        };
        if successor.carries() == Carries::OurDirection || renewal {
            self.end(now, id, Ending::Discarded);
            return;
        }
        if !doomed {
            let carrier = tunnel.carrier();
            if let Some(service) = carrier.service() {
                self.census.settle(id, service);
            }
            let peer = carrier.peer().clone();
            *tunnel.standing_mut() = Standing::new();
            self.emit(id, TunnelEvent::Incoming(peer));
            if let Some(peer) = successor.into_waiting() {
                self.emit(id, TunnelEvent::Established(peer));
            }
        }
        self.tunnels.mark(id);
    }

    /// A successor has ended: what it was to replace goes on as it is, or as half of what it was.
    fn lose_successor(&mut self, now: Instant, id: TunnelId, old: TunnelId, ended: &Carrier) {
        let Some(known) = self.tunnels.conversation_mut(old) else {
            return;
        };
        known.lose_successor(id);
        let (left, finished) = (known.has_peer_left(), known.is_peer_finished());
        self.tunnels.mark(old);
        if !left {
            return;
        }
        if ended.is_ready() && ended.is_ours() && !finished {
            // The peer may have gone on where we have received nothing, and only it knows.
            let why = Why::Session(SessionWhy::Truncated);
            self.end(now, old, Ending::Dropped(By::Transport, why));
        } else if !self.tunnels.has_successor_of_ours(old) {
            if let Some(known) = self.tunnels.conversation_mut(old) {
                known.peer_has_not_moved();
            }
            self.peer_finished(old);
        }
    }

    /// Ends whatever was about to replace a tunnel, in silence.
    fn drop_successors(&mut self, now: Instant, id: TunnelId) {
        for successor in self.tunnels.successors(id) {
            self.end(now, successor, Ending::Discarded);
        }
    }

    // How tunnels end: one layer at a time, TLS first.

    /// Ends a tunnel now, whatever state it is in, without a word of TLS.
    fn end(&mut self, now: Instant, id: TunnelId, ending: Ending) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let carrier = tunnel.carrier();
        let (beginning, running) = (carrier.phase().is_beginning(), carrier.session().is_some());
        match ending {
            Ending::Aborted if beginning => {
                self.withdraw(now, id, By::Us, Why::Session(SessionWhy::Aborted));
            }
            Ending::Aborted if running => {
                let moving = tunnel.conversation().and_then(|known| known.successor());
                if let Some(running) = tunnel.running_mut() {
                    if moving.is_some() {
                        running.blame(By::Us, Why::Session(SessionWhy::Aborted));
                    }
                    running.abort(None);
                }
            }
            Ending::Aborted if carrier.phase().is_closing() => self.cut_stream(now, id),
            Ending::Aborted => {}
            Ending::PeerGone(absent) if beginning => {
                self.withdraw(now, id, By::Transport, Why::Unreachable(absent));
            }
            // What servers say counts where they carry it.
            Ending::PeerGone(_) if carrier.beneath().moving().is_some() => {
                self.break_stream(now, id)
            }
            Ending::PeerGone(_) | Ending::RestMissing if running => self.cut(now, id),
            Ending::PeerGone(_) => self.cut_stream(now, id),
            Ending::RestMissing => {}
            Ending::Dropped(by, why) => self.drop_session(id, by, why),
            Ending::Discarded => {
                tunnel.standing_mut().discard();
                self.tunnels.mark(id);
                self.drop_session(id, By::Us, Why::Replaced);
            }
        }
    }

    fn drop_session(&mut self, id: TunnelId, by: By, why: Why) {
        if let Some(tunnel) = self.tunnels.get_mut(id)
            && let Some(running) = tunnel.running_mut()
        {
            running.abort(Some((by, why)));
            self.tunnels.mark(id);
        }
    }

    /// Ends one whose session has not begun.
    fn withdraw(&mut self, now: Instant, id: TunnelId, by: By, why: Why) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let closed = tunnel.carrier().closed(by, why);
        if let Some(stream) = tunnel.carrier_mut().take_stream() {
            self.tunnels.detach(stream);
            self.transports.abort(now, stream);
        }
        self.finish_tunnel(now, id, closed);
    }

    /// Takes everything from under a session.
    fn cut(&mut self, now: Instant, id: TunnelId) {
        let at = self.moment(now);
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let stream = tunnel.carrier().stream();
        if tunnel.carrier_mut().cut(at, &mut self.transports) {
            if let Some(stream) = stream {
                self.tunnels.detach(stream);
            }
            self.collect(now, id);
            self.tunnels.mark(id);
        }
    }

    /// Cuts what is beneath a tunnel that is closing.
    fn cut_stream(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get(id) else {
            return;
        };
        let beneath = tunnel.carrier().beneath();
        match beneath.stream().filter(|_| beneath.is_on_stream()) {
            Some(stream) => self.transports.abort(now, stream),
            None => self.fall(now, id, StreamEnd::Aborted),
        }
        self.tunnels.mark(id);
    }

    /// The stream that a tunnel began on is of no use any more; if it carries, another path is looked for.
    fn break_stream(&mut self, now: Instant, id: TunnelId) {
        let at = self.moment(now);
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let carrier = tunnel.carrier_mut();
        if carrier.beneath().is_on_stream()
            && let Some(stream) = carrier.stream()
        {
            carrier.swallow(at, &mut self.transports);
            self.transports.abort(now, stream);
            self.on_stream_closed(now, stream, StreamEnd::Aborted);
        }
    }

    /// Nothing is beneath a tunnel any more, and nothing will be.
    fn fall(&mut self, now: Instant, id: TunnelId, why: StreamEnd) {
        let at = self.moment(now);
        if let Some(tunnel) = self.tunnels.get_mut(id) {
            let carrier = tunnel.carrier_mut();
            carrier.swallow(at, &mut self.transports);
            let fallen = carrier.on_gone(at, why);
            self.on_fallen(now, id, fallen);
        }
    }

    fn on_fallen(&mut self, now: Instant, id: TunnelId, fallen: Fallen) {
        match fallen {
            Fallen::SessionEnds => self.tunnels.mark(id),
            Fallen::OpenFailed(_) | Fallen::Nothing => {}
            Fallen::Ended(closed) => self.finish_tunnel(now, id, closed),
        }
    }

    /// The stream beneath a tunnel has gone, in order or not.
    fn on_stream_closed(&mut self, now: Instant, stream: Leg, why: StreamEnd) {
        let at = self.moment(now);
        let Some(id) = self.tunnels.detach(stream) else {
            return;
        };
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        if let Some(moving) = tunnel.carrier_mut().beneath_mut().moving_mut()
            && moving.stream_ended(at.outer, stream)
        {
            self.tunnels.mark(id);
            return;
        }
        match tunnel.carrier_mut().on_stream_closed(at, why) {
            Fallen::OpenFailed(why) => self.open_failed(now, id, stream, why),
            // It may go on elsewhere.
            Fallen::Nothing => self.tunnels.mark(id),
            fallen @ (Fallen::SessionEnds | Fallen::Ended(_)) => self.on_fallen(now, id, fallen),
        }
    }

    /// The session of a tunnel has ended.
    fn on_session_closed(&mut self, now: Instant, id: TunnelId, close: Close) {
        let at = self.moment(now);
        if self.again_without_early(now, id, &close) {
            return;
        }
        let orderly = matches!(close.why, SessionWhy::Finished);
        let untrusted = matches!(close.why, SessionWhy::Untrusted(_));
        if let SessionWhy::Tls(TlsError::Trust(error)) = &close.why {
            self.on_refused_key(id, error.presented());
        } else if let SessionWhy::Untrusted(error) = &close.why {
            self.on_refused_key(id, error.presented());
        }
        self.census.finish(id);
        if let Some(tunnel) = self.tunnels.get_mut(id)
            && tunnel
                .conversation()
                .is_some_and(|known| known.successor().is_some())
            && !orderly
            && !untrusted
            && let Some(running) = tunnel.running_mut()
        {
            running.blame(By::Us, Why::Replaced);
        }
        // Where its `<finish/>` came, there is nothing that it could have said elsewhere.
        let left = self.tunnels.has_peer_left_unfinished(id) && self.tunnels.may_have_moved(id);
        if !left && orderly {
            self.has_not_moved(now, id);
        }
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let (limit, alone) = (self.config.close, tunnel.standing().is_doomed());
        let carrier = tunnel.carrier_mut();
        let settled =
            carrier.on_session_closed(at, &mut self.transports, limit, close, left, alone);
        match settled {
            Settled::Nothing => {}
            Settled::Emptying => {
                let peer = carrier.peer().clone();
                self.closes.await_acknowledgements(&peer, id);
                self.tunnels.mark(id);
            }
            Settled::StreamClosing => {
                if !orderly && let Some(moving) = carrier.beneath_mut().moving_mut() {
                    // Ahead of the end of the stream, which the peer would take for a path that is lost.
                    self.paths.say_gone(at, id, moving);
                }
                self.tunnels.mark(id);
            }
            Settled::Ended(closed) => self.finish_tunnel(now, id, closed),
        }
    }

    /// Moves on a tunnel that has no session any more, or none yet.
    fn carry_on_closing(&mut self, now: Instant, id: TunnelId) {
        let at = self.moment(now);
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        if tunnel.standing().is_doomed() && tunnel.carrier().phase().awaits_open() {
            self.withdraw(now, id, By::Us, Why::Replaced);
            return;
        }
        let limit = self.config.close;
        let carrier = tunnel.carrier_mut();
        match carrier.drain(at, &mut self.transports, limit) {
            Emptied::Nothing => {}
            Emptied::SendClose => {
                self.closes.acknowledged(carrier.peer(), id);
                self.send_close(id);
            }
            Emptied::AwaitClose => {
                self.closes.acknowledged(carrier.peer(), id);
                self.tunnels.mark(id);
            }
        }
    }

    /// Sends xtls `<close/>`, now that TLS is closed and everything in it has been acknowledged.
    fn send_close(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get(id) else {
            return;
        };
        let carrier = tunnel.carrier();
        let sid = carrier.sid(&self.transports).cloned();
        let request = fresh::id(&mut self.random);
        self.out.ask(Envelope {
            from: None,
            to: Some(carrier.reached_at().clone()),
            id: request.clone(),
            content: Content::Set(Payload::Xtls(xtls::Control::Close { sid })),
        });
        self.closes.await_answer(request, id);
        self.tunnels.mark(id);
    }

    /// `<closed/>`, or an error, which says the same: the peer has let go.
    fn on_closed_answer(&mut self, now: Instant, from: &Address, id: &str) -> bool {
        let Some(tunnel_id) = self.closes.asked_by(id) else {
            return false;
        };
        let Some(tunnel) = self.tunnels.get(tunnel_id) else {
            return false;
        };
        let carrier = tunnel.carrier();
        if carrier.reached_at() != from {
            return false;
        }
        self.closes.answered(tunnel_id);
        // After crossing closes the initiator's IBB close is awaited all the same.
        if carrier.phase().has_sent_close() {
            self.close_stream(now, tunnel_id);
        }
        true
    }

    /// The peer's xtls `<close/>`: true when it names a tunnel of this pair.
    fn on_close_request(&mut self, now: Instant, from: &Address, sid: Option<&Sid>) -> bool {
        let at = self.moment(now);
        let found = self.tunnels.named(&self.transports, from, sid);
        let Some((id, tunnel)) = found.and_then(|id| Some((id, self.tunnels.get_mut(id)?))) else {
            return false;
        };
        let carrier = tunnel.carrier_mut();
        match carrier.on_peer_close(now, &self.transports, self.config.close) {
            PeerClose::Nothing => self.closes.acknowledged(from, id),
            PeerClose::HandshakeAborted => {
                let why = Ending::Dropped(By::Peer, Why::HandshakeAborted);
                self.end(now, id, why);
            }
            PeerClose::ReadToTheEnd => {
                // Where nothing can follow, it is the end.
                if let Some(stream) = carrier.stream() {
                    carrier.swallow(at, &mut self.transports);
                    self.transports.peer_closed(stream);
                }
            }
            PeerClose::CloseStream => {
                self.closes.acknowledged(from, id);
                self.close_stream(now, id);
            }
        }
        self.tunnels.mark(id);
        true
    }

    /// A deadline of this tunnel has passed.
    fn expire(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        if tunnel.deadline().is_none_or(|(at, _)| at > now) {
            return;
        }
        let drained = tunnel.conversation().and_then(|known| known.drain_until());
        if drained.is_some_and(|until| until <= now) {
            self.await_rest(now, id);
            return;
        }
        match tunnel.carrier_mut().expire(now, &mut self.transports) {
            Expired::Nothing => {}
            Expired::NoOpen => {
                let closed = tunnel.carrier().closed(By::Peer, Why::NoAnswer);
                self.finish_tunnel(now, id, closed);
            }
            Expired::CutStream => self.cut_stream(now, id),
            Expired::CloseStream => {
                debug!("a step of closing was not answered in time");
                self.close_stream(now, id);
            }
        }
    }

    /// The stream's own close; its end ends the tunnel.
    fn close_stream(&mut self, now: Instant, id: TunnelId) {
        let at = self.moment(now);
        if let Some(tunnel) = self.tunnels.get_mut(id) {
            tunnel.carrier_mut().close_stream(at, &mut self.transports);
            self.tunnels.mark(id);
        }
    }

    /// Tunnels that wait for an open which cannot come any more.
    fn end_yielding(&mut self, now: Instant) {
        for id in self.tunnels.yielding() {
            if let Some(tunnel) = self.tunnels.get(id) {
                let why = Why::Stream(StreamEnd::LinkLost);
                let closed = tunnel.carrier().closed(By::Transport, why);
                self.finish_tunnel(now, id, closed);
            }
        }
    }

    fn finish_tunnel(&mut self, now: Instant, id: TunnelId, mut closed: Box<Closed>) {
        let orderly = closed.clean && matches!(closed.why, Why::Session(SessionWhy::Finished));
        let Some(mut tunnel) = self.tunnels.remove(id) else {
            return;
        };
        let at = self.moment(now);
        if let Some(moving) = tunnel.carrier_mut().beneath_mut().moving_mut() {
            if !closed.clean {
                self.paths.say_gone(at, id, moving);
            }
            let steps = self.paths.end(at, id, moving, &mut self.transports);
            self.take_steps(at, id, steps);
            // The one that it began on may still be there.
            if let Some(stream) = tunnel.carrier_mut().beneath_mut().take_stream() {
                self.transports.abort(now, stream);
            }
        }
        let peer = tunnel.carrier().peer();
        self.census.end(id);
        self.closes.end(peer, id);
        // What was said in the newer session already was said under this name.
        if let Some(successor) = tunnel.conversation().and_then(|known| known.successor())
            && let Some(session) = self.tunnels.session_mut(successor)
        {
            closed.unconfirmed = closed.unconfirmed.saturating_add(session.disown());
        }
        let announced = self.tunnels.is_announced_at_its_end(&tunnel);
        if announced {
            self.emit(id, TunnelEvent::Incoming(peer.clone()));
        }
        if announced || tunnel.standing().is_known() {
            self.emit(id, TunnelEvent::Closed(*closed));
        }
        self.after(now, id, &tunnel, orderly);
    }

    // Paths beside the stream that a tunnel began on.

    /// The peer has acknowledged everything on a stream.
    fn acknowledge(&mut self, now: Instant, stream: Leg) {
        let at = self.moment(now);
        let id = self.tunnels.of_stream(stream);
        if let Some(tunnel) = id.and_then(|id| self.tunnels.get_mut(id)) {
            let beneath = tunnel.carrier_mut().beneath_mut();
            if beneath.acknowledge(at, &self.transports) {
                self.tunnels.mark_all(id);
            }
        }
    }

    /// Both ends have accepted each other: they can move from now on, if the peer knows of paths as we do.
    fn settle_paths(&mut self, at: Moment, id: TunnelId, peer: &Peer) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let carrier = tunnel.carrier_mut();
        let config = self.config.paths.as_ref().filter(|_| peer.bound);
        let sid = carrier
            .stream()
            .and_then(|stream| self.transports.sid(stream));
        let made = config.zip(sid).and_then(|(config, sid)| {
            let (keys, from) = carrier.path_keys()?;
            Some((config, sid.clone(), keys, self.paths.seed(), from))
        });
        carrier.beneath_mut().settle(|wire| {
            let (config, sid, keys, seed, from) = made?;
            let settings = config.settings(self.transports.own(), peer);
            let mut moving = Moving::begin(at.outer, wire, sid, keys, settings, seed);
            if config.seeks() {
                moving.seek_from(at.outer, from);
            }
            Some(moving)
        });
    }

    /// Does what the route of a tunnel wants.
    fn follow_paths(&mut self, at: Moment, id: TunnelId) {
        if let Some(moving) = self.tunnels.moving_mut(id)
            && moving.is_to_be_followed()
        {
            let steps = self.paths.follow(at, id, moving, &mut self.transports);
            self.take_steps(at, id, steps);
        }
    }

    fn take_steps(&mut self, at: Moment, id: TunnelId, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Attach(stream) => self.tunnels.attach(stream, id),
                Step::Detach(stream) => drop(self.tunnels.detach(stream)),
                Step::Event(event) => self.on_route(at, id, event),
            }
        }
    }

    /// What a route says, turned into what a tunnel says.
    fn on_route(&mut self, at: Moment, id: TunnelId, event: RouteEvent) {
        // The session may read or write again, or nothing more.
        self.tunnels.mark(id);
        match event {
            RouteEvent::Moved { to } => self.emit(id, TunnelEvent::Path(PathEvent::Moved(to))),
            RouteEvent::Stayed { why } => self.emit(id, TunnelEvent::Path(PathEvent::Stayed(why))),
            // Everything was confirmed before: there is nothing to be carried any more.
            RouteEvent::Lost if self.is_leaving(id) => self.fall(at.now, id, StreamEnd::Done),
            RouteEvent::Lost => self.emit(id, TunnelEvent::Path(PathEvent::Lost)),
            RouteEvent::PeerAllows(takes) => {
                self.emit(id, TunnelEvent::Path(PathEvent::PeerAllows(takes)));
            }
            RouteEvent::CloseZero => {
                if let Some(tunnel) = self.tunnels.get_mut(id)
                    && let Some(stream) = tunnel.carrier_mut().beneath_mut().take_stream()
                {
                    self.tunnels.detach(stream);
                    self.transports.abort(at.now, stream);
                }
            }
            RouteEvent::Finished => self.fall(at.now, id, StreamEnd::Done),
            RouteEvent::GivenUp { why } => {
                self.fall(at.now, id, StreamEnd::Failed(Cause::new(why)))
            }
            RouteEvent::Cut { why } => self.fall(at.now, id, StreamEnd::Failed(Cause::new(why))),
            // Of a later version.
            _ => {}
        }
    }

    fn is_leaving(&mut self, id: TunnelId) -> bool {
        let moving = self.tunnels.moving_mut(id);
        moving.is_some_and(|moving| moving.is_leaving())
    }

    /// A call on the route of a tunnel; whether it was one.
    fn on_paths(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut Paths, Moment, &mut Tunnels) -> bool,
    ) {
        let now = self.clock.read(now);
        let at = self.moment(now);
        if call(&mut self.paths, at, &mut self.tunnels) {
            self.pump(now);
        }
    }

    /// A peer opens a stream for a tunnel that there is already: if that one expects it.
    fn on_open_of_leg(&mut self, now: Instant, stream: Leg, from: &Address) {
        let at = self.moment(now);
        let (tunnels, transports) = (&mut self.tunnels, &mut self.transports);
        if !path_requests::meet(at, tunnels, transports, stream, from) {
            self.decline(now, stream, Condition::NotAcceptable, ErrorType::Cancel);
        }
    }

    /// What the owner is to do with its sockets.
    pub fn poll_wish(&mut self) -> Option<SocketWish> {
        self.paths.poll_wish()
    }

    /// A socket is connected, and its relay has agreed.
    pub fn connected(&mut self, now: Instant, socket: PipeId) {
        self.on_paths(now, |paths, at, tunnels| {
            paths.on_route(at, tunnels, socket, Route::connected)
        });
    }

    /// A socket can't be connected.
    pub fn connect_failed(&mut self, now: Instant, socket: PipeId, why: Because) {
        self.on_paths(now, |paths, at, tunnels| {
            paths.lose(at, tunnels, socket, |route, outer, pipe| {
                route.failed(outer, pipe, why)
            })
        });
    }

    /// These bytes have come on a socket. Read it always: how much comes is bounded by what the peer was allowed.
    pub fn handle_socket(&mut self, now: Instant, socket: PipeId, bytes: &[u8]) {
        self.on_paths(now, |paths, at, tunnels| {
            paths.on_route(at, tunnels, socket, |route, outer, pipe| {
                route.handle_pipe(outer, pipe, bytes)
            })
        });
    }

    /// A socket has ended, in order or not.
    pub fn socket_ended(&mut self, now: Instant, socket: PipeId) {
        self.on_paths(now, |paths, at, tunnels| {
            paths.lose(at, tunnels, socket, Route::pipe_ended)
        });
    }

    /// The next socket for which there may be bytes: [ask](Self::poll_socket) until there are none, or it has no room.
    pub fn poll_ready_socket(&mut self) -> Option<PipeId> {
        self.paths.next_ready()
    }

    /// The next bytes for a socket, at most `room`.
    pub fn poll_socket(&mut self, now: Instant, socket: PipeId, room: usize) -> Option<Bytes> {
        let now = self.clock.read(now);
        let at = self.moment(now);
        let (id, pipe) = self.paths.of_socket(socket)?;
        let moving = self.tunnels.moving_mut(id)?;
        let before = moving.route().wire().room();
        let bytes = moving.route_mut().poll_pipe(at.outer, pipe, room);
        // There is room for what the session has.
        if before < ROOM && moving.route().wire().room() >= ROOM {
            self.mark_and_pump(now, id);
        }
        bytes
    }

    /// Somebody has connected to the owner's listener, and these are the first bytes: the socket's name, if a tunnel expects
    /// this peer. Nobody else is to be sent a byte.
    pub fn knock(&mut self, now: Instant, knock: &[u8; KNOCK]) -> Option<PipeId> {
        let now = self.clock.read(now);
        let at = self.moment(now);
        let socket = self.paths.knock(at, &mut self.tunnels, knock);
        self.pump(now);
        socket
    }

    // What an XMPP client answers besides its streams.

    /// Answers a stanza that belongs to no stream. Every request gets exactly one answer.
    fn answer(&mut self, now: Instant, envelope: Envelope) {
        match &envelope.content {
            Content::Set(Payload::Other(element)) if element.is("path", path::NS) => {
                let (at, may) = (self.moment(now), self.config.paths.is_some());
                let (tunnels, transports) = (&mut self.tunnels, &self.transports);
                let answer =
                    path_requests::on_signal(at, tunnels, transports, may, &envelope, element);
                self.out.answer(answer);
            }
            Content::Get(payload) | Content::Set(payload) => {
                let closes = answers::close_request(&envelope);
                let closed =
                    closes.is_some_and(|(from, sid)| self.on_close_request(now, from, sid));
                let features = self.transports.features();
                self.out
                    .answer(answers::to_request(&envelope, payload, closed, features));
            }
            Content::Result(_) | Content::Error(_) => {
                let from = envelope.from.as_ref();
                if !from.is_some_and(|from| self.on_closed_answer(now, from, &envelope.id))
                    && !self
                        .paths
                        .on_answer(self.moment(now), &mut self.tunnels, &envelope)
                {
                    debug!("an answer that nobody waits for");
                }
            }
            Content::Presence {
                kind: PresenceKind::Unavailable,
                ..
            } => {
                if let Some(from) = &envelope.from {
                    self.gone(now, from);
                }
            }
            Content::Presence { .. } | Content::Message { .. } => trace!("a stanza in the clear"),
        }
    }

    /// Whether a sender may learn that we are here: our own server and account, those we accept, those we talk to.
    fn acquainted(&self, from: Option<&Address>) -> bool {
        let Some(from) = from else { return true };
        self.tunnels.knows(from)
            || self.tunnels.moving_with(from).next().is_some()
            || from.same_bare(self.own())
            || from.as_str() == self.own().domain()
            || self.config.welcome(from) != Welcome::No
    }

    /// A peer's resource has gone, or its server says so: its tunnels are cut.
    fn gone(&mut self, now: Instant, peer: &Address) {
        for id in self.tunnels.with(peer).collect::<Vec<_>>() {
            let absent = StanzaError::new(ErrorType::Wait, Condition::RecipientUnavailable);
            self.end(now, id, Ending::PeerGone(absent));
        }
    }
}

fn is_answer(stanza: &Stanza) -> bool {
    stanza.kind == Kind::Iq && matches!(stanza.type_.as_deref(), Some("result" | "error"))
}

/// Whether an address has a pinned key that has not been revoked. The name is only what servers say.
fn has_good_pin(store: &Store, peer: &Address) -> bool {
    let mut pins = store.of(peer.bare()).iter();
    pins.any(|pin| matches!(pin.level, Level::FirstUse | Level::Verified(_)))
}

/// How long a byte tunnel lives while its peer neither takes what was sent nor shows that it lives.
const SLOW_BYTES: Duration = Duration::from_secs(600);

/// Once so many bytes have left for a socket, the session is asked for more.
const ROOM: usize = 65_536;

/// Longer than any tunnel.
const FOREVER: Duration = Duration::from_secs(1 << 30);

#[cfg(test)]
mod tests;
