//! How tunnels begin: our opens, the peer's, and both at once.

use std::time::Instant;

use bytes::Bytes;
use tracing::debug;
use xtls_ibb::Refusal;
use xtls_session::{Binding, By, Glare, Mode, Service, Session, glare};
use xtls_stanza::{Address, Condition, ErrorType, StanzaError};
use xtls_tls::{Role, Tls};

use super::Router;
use super::carrier::Carrier;
use super::close::Ending;
use super::config::Welcome;
use super::conversation::{Carries, Conversation, Standing};
use super::event::{OpenError, TunnelEvent, TunnelId, Why};
use super::peers::Load;
use super::purpose::Purpose;
use super::running::Hello;
use super::transports::Leg;
use super::tunnel::Tunnel;
use crate::transport::{MAX_FLIGHT, StreamEnd};

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
            Mode::Stanzas => self.peers.of_stanzas(peer).next().is_some(),
            Mode::Bytes => !self.transports.reaches_side_by_side(peer) && self.peers.knows(peer),
        };
        if taken {
            return Err(OpenError::Already(peer.clone()));
        }
        let (stream, early) = self.ask(now, peer, &service, self.config.early)?;
        let carrier = Carrier::opening(peer.clone(), service, stream, early);
        let id = self.adopt(carrier, Standing::Conversation(Conversation::default()));
        self.mark_and_pump(now, id);
        Ok(id)
    }

    /// A peer's `<open/>`: policy, form, glare and caps are decided before any TLS work.
    pub(super) fn on_open(
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
            Purpose::Stanzas(_) | Purpose::Unknown => self.unanswered_to(&from, stream),
        };
        let welcome = match ours {
            Some(_) => Welcome::Yes,
            None => self.config.accept.welcome(&from),
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
            (Some(id), Glare::Ours)
                if purpose.is_stanzas()
                    && self
                        .tunnels
                        .get(&id)
                        .is_some_and(|tunnel| tunnel.carrier().phase().is_opening()) =>
            {
                self.decline(now, stream, Condition::Conflict, ErrorType::Cancel);
            }
            (Some(id), Glare::Ours | Glare::Theirs) if purpose.is_stanzas() => {
                self.yield_to(now, id, stream, from, hello);
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

    /// Our open has failed.
    pub(super) fn open_failed(&mut self, now: Instant, id: TunnelId, stream: Leg, end: StreamEnd) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
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
            self.dirty.insert(id);
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
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let refused = matches!(end, StreamEnd::Refused(_));
        let by = if refused { By::Peer } else { By::Transport };
        let closed = tunnel.carrier().closed(by, opening_failure(end));
        self.finish_tunnel(now, id, closed);
    }

    /// Takes the peer's open in place of our own, under the same tunnel.
    fn yield_to(
        &mut self,
        now: Instant,
        id: TunnelId,
        stream: Leg,
        peer: Address,
        hello: Option<Bytes>,
    ) {
        debug!("crossing opens: the peer's stands");
        // For what ours was to be, or for nothing.
        let service = self.service_of(id);
        let Some(early) = self.say_yes(now, stream, &peer, service.as_ref(), hello) else {
            return;
        };
        if let Some(tunnel) = self.tunnels.get_mut(&id)
            && let Some(lost) = tunnel.carrier_mut().yield_to(stream)
        {
            self.streams.remove(&lost);
            // Its answer does not matter any more. Should it have been accepted after all, this closes it.
            // In the original flow it has ended already.
            self.transports.abort(now, lost);
        }
        self.streams.insert(stream, id);
        self.begin(now, id, stream, peer, Role::Server, early, Hello::Once);
    }

    /// Takes the peer's open, unless there are too many. One of stanzas discards an older unfinished handshake of the same
    /// address; an established tunnel of stanzas it may only replace when it has proven the same key, and until then the
    /// owner does not hear of it. One of bytes stands beside all others.
    fn accept(&mut self, now: Instant, newcomer: Newcomer, purpose: Purpose) {
        let Newcomer {
            stream,
            peer,
            hello,
            crosses,
            ask,
        } = newcomer;
        let (older, standing) = if purpose.is_stanzas() {
            (self.unfinished_with(&peer), self.standing(&peer))
        } else {
            (Vec::new(), None)
        };
        let service = purpose.service();
        if let Some(busy) = self.too_many_unfinished(&peer, &older, service) {
            return self.turn_away(now, stream, &peer, busy);
        }
        if standing.is_some_and(|standing| !self.replaceable(standing))
            || purpose.is_stanzas() && self.moving(&peer)
        {
            return self.decline(now, stream, Condition::NotAcceptable, ErrorType::Cancel);
        }
        // Of one that is to replace another the owner does not hear, and one that begins anew has its place.
        if standing.is_none() && older.is_empty() {
            let busy = service.and_then(|service| self.too_many_of(service, &peer));
            if let Some(busy) = busy.or_else(|| self.no_room()) {
                return self.turn_away(now, stream, &peer, busy);
            }
            self.incoming_room = self.incoming_room.saturating_sub(1);
        }
        // Whom we talk to already is not asked about again.
        if ask && self.peers.all(&peer).all(|id| !self.is_standing(id)) {
            let carrier = Carrier::asking(peer.clone(), service.cloned(), stream, hello);
            let id = self.adopt(carrier, Standing::Conversation(Conversation::default()));
            self.emit(id, TunnelEvent::Asked(peer));
            return;
        }
        // A newer session carries on what the older one was for.
        let service = match standing {
            Some(standing) => self.service_of(standing),
            None => service.cloned(),
        };
        let Some(early) = self.say_yes(now, stream, &peer, service.as_ref(), hello) else {
            return;
        };
        for id in older {
            self.end(now, id, Ending::Dropped(By::Peer, Why::Superseded));
        }
        let standing = match (standing, purpose) {
            (Some(standing), _) => Standing::successor_of(standing, Carries::BothDirections),
            (None, Purpose::Unknown) => Standing::Unsettled { crosses },
            (None, Purpose::Stanzas(_) | Purpose::Bytes(_)) => {
                Standing::Conversation(Conversation::default())
            }
        };
        let id = self.adopt(Carrier::accepted(peer.clone(), service, stream), standing);
        self.emit(id, TunnelEvent::Incoming(peer.clone()));
        self.begin(now, id, stream, peer, Role::Server, early, Hello::Once);
    }

    /// Gives the owner's word on [`TunnelEvent::Asked`], which holds for this open only. A tunnel that has ended meanwhile, or
    /// was asked about before, is no error.
    pub fn admit(&mut self, now: Instant, id: TunnelId, yes: bool) {
        let now = self.clock.read(now);
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some((stream, hello)) = tunnel.carrier_mut().take_asked() else {
            return;
        };
        let carrier = tunnel.carrier();
        let (peer, service) = (carrier.peer().clone(), carrier.service().cloned());
        if !yes {
            self.end(now, id, Ending::Aborted);
        } else if let Some(busy) = self.too_many(&peer, service.as_ref()) {
            self.turn_away(now, stream, &peer, busy);
        } else if let Some(early) = self.say_yes(now, stream, &peer, service.as_ref(), hello) {
            self.begin(now, id, stream, peer, Role::Server, early, Hello::Once);
        }
        self.mark_and_pump(now, id);
    }

    /// Starts the session on a stream that both ends have agreed on.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        id: TunnelId,
        stream: Leg,
        peer: Address,
        role: Role,
        early: Option<Box<Session>>,
        hello: Hello,
    ) {
        let sid = self.transports.name(stream).unwrap_or_default().to_owned();
        let session = match early {
            Some(session) => Ok(session),
            None => {
                let service = self.service_of(id);
                self.session(now, peer, sid, service.as_ref(), role)
            }
        };
        match session {
            Ok(session) => {
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    tunnel.carrier_mut().run(session, hello);
                }
                if role == Role::Server {
                    self.count(id);
                }
                self.dirty.insert(id);
            }
            Err(error) => {
                self.transports.abort(now, stream);
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    let why = Why::Setup(error.to_string());
                    tunnel.carrier_mut().fail(By::Us, why);
                }
            }
        }
    }

    /// A session that knows its context and nothing else yet: for this service, or for any that we serve.
    pub(super) fn session(
        &mut self,
        now: Instant,
        peer: Address,
        sid: String,
        service: Option<&Service>,
        role: Role,
    ) -> Result<Box<Session>, xtls_tls::ConfigError> {
        let also = match service {
            Some(_) => Vec::new(),
            None => self.config.also.to_vec(),
        };
        let binding = Binding {
            own: self.transports.own().clone(),
            peer,
            sid,
            service: service.unwrap_or(&self.config.service).clone(),
            role,
        };
        let expect = binding.expect_one_of(&also, self.trust.clone(), self.config.policy);
        let tls = Tls::new(role, &self.config.tls, expect)?;
        self.sessions = self.sessions.saturating_add(1);
        let session = Session::new(binding, tls, self.config.session.clone(), now)
            .serving(also)
            .numbered(self.sessions);
        Ok(Box::new(session))
    }

    /// Our open to this address that a peer's open on `stream` may cross: one of stanzas, or any where the transport has one
    /// stream for each pair of addresses.
    fn unanswered_to(&self, peer: &Address, stream: Leg) -> Option<TunnelId> {
        let awaits = |id: &TunnelId| {
            let tunnel = self.tunnels.get(id);
            tunnel.is_some_and(|tunnel| tunnel.carrier().phase().awaits_open())
        };
        if self.transports.side_by_side(stream) {
            self.peers.of_stanzas(peer).find(awaits)
        } else {
            self.peers.all(peer).find(awaits)
        }
    }

    fn decline(&mut self, now: Instant, stream: Leg, condition: Condition, kind: ErrorType) {
        let refusal = StanzaError::new(kind, condition);
        self.transports.refuse(now, stream, refusal);
    }

    pub(super) fn adopt(&mut self, carrier: Carrier, standing: Standing) -> TunnelId {
        let id = TunnelId(self.next);
        self.next = self.next.saturating_add(1);
        self.streams
            .extend(carrier.stream().map(|stream| (stream, id)));
        let load = match carrier.mode() {
            Some(Mode::Bytes) => Load::Bytes,
            Some(Mode::Stanzas) | None => Load::StanzasOrUnknown,
        };
        self.peers.insert(carrier.peer(), id, load);
        let tunnel = Tunnel::new(carrier, standing);
        if let Some(known) = tunnel.replaces().and_then(|id| self.conversation_mut(id)) {
            known.add_successor(id);
        }
        self.tunnels.insert(id, Box::new(tunnel));
        self.young.insert(id);
        id
    }
}

/// What an error answer to `<open/>` means (docs/PROTOCOL.md, table of errors received).
fn opening_failure(end: StreamEnd) -> Why {
    if matches!(end, StreamEnd::TimedOut(_)) {
        return Why::NoAnswer;
    }
    let StreamEnd::Refused(error) = end else {
        return Why::Stream(end);
    };
    match Refusal::of(&error) {
        Refusal::Unsupported => Why::Unavailable(error),
        Refusal::Declined | Refusal::Conflict => Why::Declined(error),
        Refusal::BlockSize | Refusal::Unreachable | _ => Why::Unreachable(error),
    }
}
