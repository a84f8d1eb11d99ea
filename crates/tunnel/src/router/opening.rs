//! How tunnels begin: our opens, the peer's, and both at once.

use std::time::Instant;

use bytes::Bytes;
use tracing::debug;
use xtls_ibb::Refusal;
use xtls_session::{Binding, By, Glare, Service, Session, glare};
use xtls_stanza::{Address, Condition, ErrorType, StanzaError};
use xtls_tls::{Role, Tls};

use super::Router;
use super::carrier::Carrier;
use super::close::Ending;
use super::config::Welcome;
use super::conversation::{Carries, Conversation, Standing};
use super::event::{OpenError, TunnelEvent, TunnelId, Why};
use super::running::Hello;
use super::transports::Leg;
use super::tunnel::Tunnel;
use crate::transport::{MAX_FLIGHT, StreamEnd};

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
        if self.knows(peer) {
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
        let ours = self.with_peer(&from).into_iter().find(|id| {
            self.tunnels
                .get(id)
                .is_some_and(|tunnel| tunnel.carrier().phase().awaits_open())
        });
        // An open of ours to this address makes its crossing one welcome.
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
            // One that is not taken later is not kept until then.
            Ok(hello) => hello.filter(|hello| hello.len() <= MAX_FLIGHT),
            Err(refusal) => return self.transports.refuse(now, stream, refusal),
        };
        match (ours, glare(self.transports.own(), &from)) {
            (_, Glare::Same) => {
                self.decline(now, stream, Condition::NotAcceptable, ErrorType::Cancel);
            }
            (Some(id), Glare::Ours)
                if self
                    .tunnels
                    .get(&id)
                    .is_some_and(|tunnel| tunnel.carrier().phase().is_opening()) =>
            {
                self.decline(now, stream, Condition::Conflict, ErrorType::Cancel);
            }
            (Some(id), Glare::Ours | Glare::Theirs) => self.yield_to(now, id, stream, from, hello),
            (None, Glare::Ours | Glare::Theirs) => {
                self.accept(now, stream, from, hello, welcome == Welcome::Ask);
            }
        }
    }

    /// Our open has failed.
    pub(super) fn open_failed(&mut self, now: Instant, id: TunnelId, end: StreamEnd) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if let StreamEnd::Refused(error) = &end
            && error.condition == Condition::Conflict
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

    /// Takes the peer's open, unless too many are unfinished. It discards an older unfinished handshake of the same
    /// address; an established tunnel it may only replace when it has proven the same key, and until then the owner does
    /// not hear of it.
    fn accept(
        &mut self,
        now: Instant,
        stream: Leg,
        peer: Address,
        hello: Option<Bytes>,
        ask: bool,
    ) {
        let older: Vec<_> = self
            .with_peer(&peer)
            .into_iter()
            .filter(|id| {
                self.tunnels
                    .get(id)
                    .is_some_and(|tunnel| tunnel.carrier().is_unfinished())
            })
            .collect();
        if let Some(busy) = self.too_many(&peer, &older) {
            return self.turn_away(now, stream, &peer, busy);
        }
        let rival = self.standing(&peer);
        if rival.is_some_and(|rival| !self.replaceable(rival)) || self.moving(&peer) {
            return self.decline(now, stream, Condition::NotAcceptable, ErrorType::Cancel);
        }
        // Of one that is to replace another the owner does not hear, and one that begins anew has its place.
        if rival.is_none() && older.is_empty() {
            if let Some(busy) = self.no_room() {
                return self.turn_away(now, stream, &peer, busy);
            }
            self.incoming_room = self.incoming_room.saturating_sub(1);
        }
        // Whom we talk to already is not asked about again.
        if ask && rival.is_none() {
            let carrier = Carrier::asking(peer.clone(), stream, hello);
            let id = self.adopt(carrier, Standing::Conversation(Conversation::default()));
            self.emit(id, TunnelEvent::Asked(peer));
            return;
        }
        // A newer session carries on what the older one was for.
        let service = rival.and_then(|rival| self.service_of(rival));
        let Some(early) = self.say_yes(now, stream, &peer, service.as_ref(), hello) else {
            return;
        };
        for id in older {
            self.end(now, id, Ending::Dropped(By::Peer, Why::Superseded));
        }
        let standing = match rival {
            Some(rival) => Standing::successor_of(rival, Carries::BothDirections),
            None => Standing::Conversation(Conversation::default()),
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
        let peer = tunnel.carrier().peer().clone();
        if !yes {
            self.end(now, id, Ending::Aborted);
        } else if let Some(busy) = self.too_many(&peer, &[]) {
            self.turn_away(now, stream, &peer, busy);
        } else if let Some(early) = self.say_yes(now, stream, &peer, None, hello) {
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
                    if role == Role::Server {
                        self.half.insert(id);
                    }
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

    /// The tunnels with this address, oldest first.
    pub(super) fn with_peer(&self, peer: &Address) -> Vec<TunnelId> {
        let ids = self.peers.get(peer).into_iter().flatten();
        ids.copied().collect()
    }

    /// Whether there is a tunnel with this address.
    pub(super) fn knows(&self, peer: &Address) -> bool {
        self.peers.contains_key(peer)
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
        self.peers
            .entry(carrier.peer().clone())
            .or_default()
            .insert(id);
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
