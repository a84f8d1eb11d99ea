//! What a peer's open is for, which its ClientHello says: nothing is discarded, replaced or judged as a crossing before that
//! is known.
//!
//! An open with an early hello says so at once. Any other is accepted, and settled when its ClientHello has come on the
//! stream; until then the owner does not learn of it, and nothing else changes for its sake. The hello is not authenticated:
//! if the servers have changed it the handshake fails, and what was done for its sake is what any open may cause.

use std::time::Instant;

use bytes::Bytes;
use tracing::debug;
use xtls_session::{Binding, By, Glare, Mode, Service, Session, glare};
use xtls_stanza::Address;
use xtls_tls::{Role, offered_protocols};

use super::Router;
use super::close::Ending;
use super::config::Welcome;
use super::conversation::{Carries, Conversation, Standing};
use super::event::{TunnelEvent, TunnelId, Why};
use super::transports::Leg;
use super::tunnel::Tunnel;

/// What a peer's open is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Stanzas, for this service. Or anything, where a transport has one stream for each pair of addresses.
    Stanzas(Option<Service>),
    /// Bytes, for this service.
    Bytes(Service),
    /// Nothing that we serve, which TLS tells the peer; or it has not said so yet.
    Unknown,
}

impl Purpose {
    /// The service, if it is known.
    pub(super) fn service(&self) -> Option<&Service> {
        match self {
            Self::Stanzas(service) => service.as_ref(),
            Self::Bytes(service) => Some(service),
            Self::Unknown => None,
        }
    }

    pub(super) fn is_stanzas(&self) -> bool {
        matches!(self, Self::Stanzas(_))
    }
}

impl Router {
    /// What an open is for, as far as it says so itself.
    pub(super) fn purpose(&self, stream: Leg, from: &Address, hello: Option<&Bytes>) -> Purpose {
        if !self.transports.side_by_side(stream) {
            return Purpose::Stanzas(None);
        }
        // Also if it is not taken there: it says as much as the one that follows on the stream.
        let Some(offered) = hello.and_then(|hello| offered_protocols(hello)) else {
            return Purpose::Unknown;
        };
        let binding = Binding {
            own: self.own().clone(),
            peer: from.clone(),
            sid: self.transports.name(stream).unwrap_or_default().to_owned(),
            service: self.config.service.clone(),
            role: Role::Server,
        };
        match binding.service_named(&offered, self.config.services()) {
            Some(service) if service.mode() == Mode::Bytes => Purpose::Bytes(service.clone()),
            Some(service) => Purpose::Stanzas(Some(service.clone())),
            None => Purpose::Unknown,
        }
    }

    /// Decides what becomes of a peer's tunnel once its ClientHello has come on the stream.
    pub(super) fn settle(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let carrier = tunnel.carrier_mut();
        if carrier.service().is_some() {
            return;
        }
        let Some(service) = carrier.session().and_then(Session::service_named).cloned() else {
            return;
        };
        let peer = carrier.peer().clone();
        carrier.settle(service.clone());
        if service.mode() == Mode::Bytes {
            self.peers.set_bytes(&peer, id);
        }
        let Standing::Unsettled { crosses } = *tunnel.standing() else {
            // The owner has admitted it, or the transport has nothing else with this peer.
            return self.admit_to(now, id, &peer, &service);
        };
        // Only a crossing needs no other permission, and only stanzas cross.
        let welcome = self.config.accept.welcome(&peer) == Welcome::Yes
            || self.any_standing(&peer, id).is_some();
        let stanzas = service.mode() == Mode::Stanzas;
        match (
            self.crossed(crosses).filter(|_| stanzas),
            glare(self.own(), &peer),
        ) {
            (Some(ours), Glare::Theirs) if self.service_of(ours).as_ref() == Some(&service) => {
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
        for older in self.unfinished_with(peer) {
            if older != id {
                self.end(now, older, Ending::Dropped(By::Peer, Why::Superseded));
            }
        }
        let Some(standing) = self.standing(peer) else {
            return self.admit_to(now, id, peer, service);
        };
        if !self.replaceable(standing) || self.moving(peer) {
            return self.reject(now, id, Why::Second);
        }
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            let successor = Standing::successor_of(standing, Carries::BothDirections);
            *tunnel.standing_mut() = successor;
        }
        if let Some(known) = self.conversation_mut(standing) {
            known.add_successor(id);
        }
    }

    /// It is a tunnel of this service, unless there are too many of these. The owner learns of it, if it has not.
    fn admit_to(&mut self, now: Instant, id: TunnelId, peer: &Address, service: &Service) {
        if let Some(busy) = self.too_many_of(service, peer) {
            self.crowd.note(now, peer, busy);
            return self.reject(now, id, Why::Busy(busy));
        }
        self.census.settle(id, service);
        if let Some(tunnel) = self.tunnels.get_mut(&id)
            && tunnel.standing().is_unsettled()
        {
            *tunnel.standing_mut() = Standing::Conversation(Conversation::default());
            self.emit(id, TunnelEvent::Incoming(peer.clone()));
        }
    }

    /// Ends one; in silence, if the owner has never heard of it.
    fn reject(&mut self, now: Instant, id: TunnelId, why: Why) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.standing_mut().discard();
            self.end(now, id, Ending::Dropped(By::Us, why));
        }
    }

    /// The open of ours that was unanswered when the peer's came, if it still is no more than a handshake.
    fn crossed(&self, ours: Option<TunnelId>) -> Option<TunnelId> {
        ours.filter(|id| {
            self.tunnels.get(id).is_some_and(|tunnel| {
                let carrier = tunnel.carrier();
                let open = carrier.phase().awaits_open() || carrier.is_unfinished();
                open && carrier.is_ours() && !carrier.is_ready() && tunnel.standing().is_known()
            })
        })
    }

    /// The peer's session takes the place of our own open, under our tunnel's name; what is left of ours ends in silence.
    fn take_over(&mut self, now: Instant, ours: TunnelId, theirs: TunnelId, service: &Service) {
        debug!("crossing opens: the peer's stands");
        let Some(mut rest) = self.tunnels.remove(&theirs) else {
            return;
        };
        if let Some(tunnel) = self.tunnels.get_mut(&ours) {
            std::mem::swap(tunnel.carrier_mut(), rest.carrier_mut());
            rest.carrier().hand_over_intent(now, tunnel.carrier_mut());
            for (tunnel, id) in [(&**tunnel, ours), (&*rest, theirs)] {
                let stream = tunnel.carrier().stream();
                self.streams.extend(stream.map(|stream| (stream, id)));
            }
        }
        rest.standing_mut().discard();
        self.tunnels.insert(theirs, rest);
        self.census.rename(theirs, ours);
        self.census.settle(ours, service);
        self.end(now, theirs, Ending::Discarded);
        self.dirty.extend([ours, theirs]);
    }

    /// The unfinished tunnels of stanzas with this address, which a newer open of stanzas discards.
    pub(super) fn unfinished_with(&self, peer: &Address) -> Vec<TunnelId> {
        let ids = self.peers.of_stanzas(peer);
        let unfinished = ids.filter(|id| {
            self.tunnels.get(id).is_some_and(|tunnel| {
                let carrier = tunnel.carrier();
                carrier.is_unfinished() && carrier.mode() == Some(Mode::Stanzas)
            })
        });
        unfinished.collect()
    }

    /// Whether the owner learns of a tunnel only now that it has ended: it failed before it said what it was for, and it is
    /// the only one of its kind.
    pub(super) fn is_announced_at_its_end(&self, tunnel: &Tunnel) -> bool {
        let Standing::Unsettled { crosses: None } = tunnel.standing() else {
            return false;
        };
        self.peers
            .of_stanzas(tunnel.carrier().peer())
            .next()
            .is_none()
    }
}
