//! How tunnels begin: our opens, the peer's, and both at once.

use std::time::Instant;

use tracing::debug;
use xtls_ibb::{OpenOptions, StreamId};
use xtls_session::{Binding, By, Event as Inner, Glare, Session, glare};
use xtls_stanza::{Address, Condition, ErrorType, StanzaError, ibb, xtls};
use xtls_tls::{Expect, Role, Tls};

use super::Router;
use super::event::{OpenError, TunnelId, What, Why};
use super::tunnel::{Phase, Tunnel};

impl Router {
    /// Opens a tunnel: `<open><start/></open>` to the peer's exact address.
    ///
    /// # Errors
    /// The caller's faults: see [`OpenError`]. The peer's refusal arrives as [`What::Closed`].
    pub fn open(&mut self, now: Instant, peer: &Address) -> Result<TunnelId, OpenError> {
        if peer == self.own() {
            return Err(OpenError::Own(peer.clone()));
        }
        if self.with_peer(peer).next().is_some() {
            return Err(OpenError::Already(peer.clone()));
        }
        let start = xtls::Control::Start { hello: None }.to_element();
        let options = OpenOptions::default()
            .carrier(self.config.carrier)
            .extension(start);
        let stream = self.mux.open(now, peer, options)?;
        let id = self.adopt(Tunnel::new(
            peer.clone(),
            Role::Client,
            stream,
            Phase::Opening,
        ));
        self.touch(now, id);
        Ok(id)
    }

    /// A peer's `<open/>`: policy, form, glare and caps are decided before any TLS work.
    pub(super) fn on_open(
        &mut self,
        now: Instant,
        stream: StreamId,
        from: Address,
        open: &ibb::Open,
    ) {
        if !self.config.accept.allows(&from) && !self.expects(&from) {
            return self.decline(
                now,
                stream,
                Condition::ServiceUnavailable,
                ErrorType::Cancel,
            );
        }
        match xtls::Control::in_open(open) {
            Ok(Some(_)) => {}
            // A plain bytestream: nobody here wants one.
            Ok(None) => {
                return self.decline(now, stream, Condition::NotAcceptable, ErrorType::Cancel);
            }
            Err(_) => return self.decline(now, stream, Condition::BadRequest, ErrorType::Modify),
        }
        let ours = self.with_peer(&from).find(|id| {
            self.tunnels.get(id).is_some_and(|tunnel| {
                tunnel.opening() || matches!(tunnel.phase, Phase::Yielding { .. })
            })
        });
        match (ours, glare(self.mux.own(), &from)) {
            (_, Glare::Same) => {
                self.decline(now, stream, Condition::NotAcceptable, ErrorType::Cancel);
            }
            (Some(id), Glare::Ours) if self.tunnels.get(&id).is_some_and(Tunnel::opening) => {
                self.decline(now, stream, Condition::Conflict, ErrorType::Cancel);
            }
            (Some(id), Glare::Ours | Glare::Theirs) => self.yield_to(now, id, stream, &from),
            (None, Glare::Ours | Glare::Theirs) => {
                if self.too_many(&from) {
                    self.decline(now, stream, Condition::PolicyViolation, ErrorType::Wait);
                    return;
                }
                self.accept(now, None, stream, from);
            }
        }
    }

    /// Our open has been accepted: the stream stands, TLS begins.
    pub(super) fn on_opened(&mut self, now: Instant, stream: StreamId) {
        if self.orphans.remove(&stream) {
            self.mux.abort(now, stream);
            return;
        }
        let Some(&id) = self.streams.get(&stream) else {
            return;
        };
        let Some(peer) = self.tunnels.get(&id).map(|tunnel| tunnel.peer.clone()) else {
            return;
        };
        self.begin(now, id, stream, peer, Role::Client);
    }

    /// Our open has failed.
    pub(super) fn open_failed(&mut self, now: Instant, id: TunnelId, why: xtls_ibb::Why) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if let xtls_ibb::Why::Refused { error, .. } = &why
            && error.condition == Condition::Conflict
        {
            // The peer's own open won, and was sent before its refusal of ours.
            tunnel.phase = Phase::Yielding {
                until: now + self.config.close,
            };
            self.streams.remove(&tunnel.stream);
            self.dirty.insert(id);
            return;
        }
        let closed = tunnel.closed(by_of(&why), opening_failure(why));
        self.finish_tunnel(id, closed);
    }

    /// Takes the peer's open in place of our own, under the same tunnel.
    fn yield_to(&mut self, now: Instant, id: TunnelId, stream: StreamId, from: &Address) {
        debug!("crossing opens: the peer's stands");
        if let Some(tunnel) = self.tunnels.get(&id)
            && tunnel.opening()
        {
            self.streams.remove(&tunnel.stream);
            self.orphans.insert(tunnel.stream);
        }
        self.accept(now, Some(id), stream, from.clone());
    }

    fn accept(&mut self, now: Instant, id: Option<TunnelId>, stream: StreamId, peer: Address) {
        if self.mux.accept(now, stream, None).is_err() {
            return;
        }
        let id = match id {
            Some(id) => {
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    tunnel.role = Role::Server;
                    tunnel.stream = stream;
                    tunnel.phase = Phase::Opening;
                }
                self.streams.insert(stream, id);
                id
            }
            None => {
                let tunnel = Tunnel::new(peer.clone(), Role::Server, stream, Phase::Opening);
                let id = self.adopt(tunnel);
                self.tell(id, What::Incoming(peer.clone()));
                id
            }
        };
        self.begin(now, id, stream, peer, Role::Server);
    }

    /// Starts the session on a stream that both ends have agreed on.
    fn begin(&mut self, now: Instant, id: TunnelId, stream: StreamId, peer: Address, role: Role) {
        let sid = self
            .mux
            .sid(stream)
            .map(ToString::to_string)
            .unwrap_or_default();
        let own = self.mux.own().clone();
        let service = self.config.service.clone();
        let binding = Binding {
            own,
            peer,
            sid,
            service,
            role,
        };
        let expect = Expect {
            peer: binding.peer.bare().to_owned(),
            own: binding.own.bare().to_owned(),
            alpn: binding.alpn(),
            alpn_required: binding.service.mode() == xtls_session::Mode::Bytes,
            trust: self.config.trust.clone(),
            policy: self.config.policy,
        };
        match Tls::new(role, &self.config.tls, expect) {
            Ok(tls) => {
                let session = Session::new(binding, tls, self.config.session, now);
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    tunnel.phase = Phase::Running(Box::new(session));
                }
                self.dirty.insert(id);
            }
            Err(error) => {
                self.mux.abort(now, stream);
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    let closed = tunnel.closed(By::Us, Why::Setup(error.to_string()));
                    tunnel.phase = Phase::Ending { closed };
                }
            }
        }
    }

    /// What a session says, turned into what a tunnel says.
    pub(super) fn on_session(&mut self, now: Instant, id: TunnelId, event: Inner) {
        match event {
            Inner::Judge(introduction) => self.tell(id, What::Judge(introduction)),
            Inner::Ready => self.tell(id, What::Ready),
            Inner::Established(peer) => {
                if !self.one_per_pair(now, id, &peer) {
                    return;
                }
                if let Some(tunnel) = self.tunnels.get_mut(&id) {
                    tunnel.key = Some(peer.key.fingerprint);
                }
                self.tell(id, What::Established(peer));
            }
            Inner::Stanza(stanza) => self.tell(id, What::Stanza(stanza)),
            Inner::Refused(violation) => self.tell(id, What::Refused(violation)),
            Inner::Writable => self.tell(id, What::Writable),
            Inner::PeerFinished => self.tell(id, What::PeerFinished),
            Inner::Closed(close) => self.on_session_closed(now, id, close),
            // Byte mode has no application here yet, and the session never says it in stanza mode.
            Inner::Readable => {}
            _ => {}
        }
    }

    /// One established session per pair of addresses: a second one replaces the first only if it has proven the same key,
    /// so a forged open cannot end a tunnel.
    fn one_per_pair(&mut self, now: Instant, id: TunnelId, peer: &xtls_session::Peer) -> bool {
        let others: Vec<_> = self
            .with_peer(&peer.address)
            .filter(|other| *other != id)
            .collect();
        for other in others {
            let Some(tunnel) = self.tunnels.get(&other) else {
                continue;
            };
            match tunnel.key {
                Some(key) if key != peer.key.fingerprint => {
                    self.end_with(now, id, By::Us, Why::Impostor);
                    return false;
                }
                Some(_) => self.end_with(now, other, By::Us, Why::Replaced),
                None if other < id => self.end_with(now, other, By::Us, Why::Replaced),
                None => {}
            }
        }
        true
    }

    pub(super) fn with_peer(&self, peer: &Address) -> impl Iterator<Item = TunnelId> {
        let found: Vec<_> = self
            .tunnels
            .iter()
            .filter(|(_, tunnel)| &tunnel.peer == peer)
            .map(|(id, _)| *id)
            .collect();
        found.into_iter()
    }

    /// Whether an open of ours to this address is on its way, which makes the peer's crossing one welcome.
    fn expects(&self, peer: &Address) -> bool {
        self.with_peer(peer).any(|id| {
            self.tunnels.get(&id).is_some_and(|tunnel| {
                tunnel.opening() || matches!(tunnel.phase, Phase::Yielding { .. })
            })
        })
    }

    fn too_many(&self, from: &Address) -> bool {
        let half = self.tunnels.values().filter(|tunnel| tunnel.half_open());
        let mine = half.clone().filter(|tunnel| tunnel.peer.same_bare(from));
        half.count() >= self.config.half_open || mine.count() >= self.config.half_open_per_peer
    }

    fn decline(&mut self, now: Instant, stream: StreamId, condition: Condition, kind: ErrorType) {
        // A stream that has gone meanwhile needs no refusal.
        let _ = self
            .mux
            .refuse(now, stream, StanzaError::new(kind, condition));
    }

    fn adopt(&mut self, tunnel: Tunnel) -> TunnelId {
        let id = TunnelId(self.next);
        self.next = self.next.saturating_add(1);
        self.streams.insert(tunnel.stream, id);
        self.tunnels.insert(id, tunnel);
        id
    }
}

fn by_of(why: &xtls_ibb::Why) -> By {
    match why {
        xtls_ibb::Why::Refused { .. } => By::Peer,
        _ => By::Transport,
    }
}

/// What an error answer to `<open/>` means (docs/PROTOCOL.md, table of errors received).
fn opening_failure(why: xtls_ibb::Why) -> Why {
    let error = match why {
        xtls_ibb::Why::Refused { error, .. } => error,
        xtls_ibb::Why::TimedOut(_) => return Why::NoAnswer,
        other => return Why::Stream(other),
    };
    match error.condition {
        Condition::ServiceUnavailable
        | Condition::FeatureNotImplemented
        | Condition::BadRequest
        | Condition::ItemNotFound
        | Condition::UndefinedCondition
        | Condition::JidMalformed
        | Condition::UnexpectedRequest => Why::Unavailable(error),
        Condition::NotAcceptable
        | Condition::Forbidden
        | Condition::NotAllowed
        | Condition::NotAuthorized
        | Condition::SubscriptionRequired
        | Condition::RegistrationRequired
        | Condition::Conflict
        | Condition::Gone
        | Condition::Redirect => Why::Declined(error),
        Condition::RecipientUnavailable
        | Condition::RemoteServerNotFound
        | Condition::RemoteServerTimeout
        | Condition::PolicyViolation
        | Condition::ResourceConstraint
        | Condition::InternalServerError => Why::Unreachable(error),
    }
}
