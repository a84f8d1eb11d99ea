//! One established tunnel of stanzas for each pair of addresses, and how a newer session takes its place without losing
//! anything.
//!
//! A successor shakes hands beside the old session, and the owner does not learn of it. Once it has proven the same key, we
//! end our direction of the old session and send on the new one; what the new one brings waits until the old one has been
//! read to the peer's close_notify. Then the conversation goes on under its old name. Where that close_notify does not come
//! (the peer has crashed, say), the old tunnel ends as replaced, and the successor is a tunnel of its own. The states are in
//! [`conversation`](super::conversation).

use std::time::{Duration, Instant};

use tracing::{debug, warn};
use xtls_session::{By, Introduction, Mode, Peer, Session, Verdict};
use xtls_stanza::Address;
use xtls_tls::Fingerprint;
use xtls_tls::trust::{Level, Pin};

use super::Router;
use super::carrier::Carrier;
use super::close::Ending;
use super::conversation::{Carries, Conversation, Standing};
use super::event::{OtherKey, TunnelEvent, TunnelId, Why};
use super::progress::Intent;
use super::tunnel::Tunnel;

/// How long a byte tunnel lives while its peer neither takes what was sent nor shows that it lives.
const SLOW_BYTES: Duration = Duration::from_secs(600);

impl Router {
    /// The established tunnel of stanzas with this address that a newcomer has to measure up to. One that is closing ends
    /// by itself, and for its own reason.
    pub(super) fn standing(&self, peer: &Address) -> Option<TunnelId> {
        let mut ids = self.peers.of_stanzas(peer);
        ids.find(|id| self.is_standing(*id))
    }

    /// An established tunnel with this address, whatever it carries.
    pub(super) fn any_standing(&self, peer: &Address, except: TunnelId) -> Option<TunnelId> {
        let mut ids = self.peers.all(peer).filter(|id| *id != except);
        ids.find(|id| self.is_standing(*id))
    }

    pub(super) fn is_standing(&self, id: TunnelId) -> bool {
        self.tunnels.get(&id).is_some_and(|tunnel| {
            let carrier = tunnel.carrier();
            let session = carrier.session();
            session.is_some_and(|session| !session.is_untrusted())
                && carrier.stream().is_some()
                && carrier.key().is_some()
                && tunnel.standing().is_known()
        })
    }

    /// Whether a newer session with this address is taking over already. What it takes over from may have lost its stream
    /// and wait for the owner only.
    pub(super) fn moving(&self, peer: &Address) -> bool {
        let mut ids = self.peers.of_stanzas(peer);
        ids.any(|id| self.successor(id).is_some())
    }

    /// Byte sessions are never replaced, and nothing is while it is being replaced.
    pub(super) fn replaceable(&self, id: TunnelId) -> bool {
        let tunnel = self.tunnels.get(&id);
        let mode = tunnel.and_then(|tunnel| tunnel.carrier().mode());
        mode == Some(Mode::Stanzas) && self.successor(id).is_none()
    }

    /// The tunnel that carries what is sent on this one.
    pub(super) fn writer(&self, id: TunnelId) -> TunnelId {
        self.successor(id).unwrap_or(id)
    }

    /// The tunnel to which the conversation of this one is moving.
    pub(super) fn successor(&self, id: TunnelId) -> Option<TunnelId> {
        self.conversation(id)?.successor()
    }

    fn conversation(&self, id: TunnelId) -> Option<&Conversation> {
        self.tunnels.get(&id)?.conversation()
    }

    fn key_of(&self, id: TunnelId) -> Option<Fingerprint> {
        self.tunnels.get(&id)?.carrier().key()
    }

    fn replaces(&self, id: TunnelId) -> Option<TunnelId> {
        self.tunnels.get(&id)?.replaces()
    }

    /// A successor's key has been judged already if it is that of what it replaces; any other is refused without asking.
    pub(super) fn on_judge(&mut self, now: Instant, id: TunnelId, introduction: Introduction) {
        self.holds(id, introduction.fingerprint);
        let old = self.replaces(id);
        match old.and_then(|old| Some((old, self.key_of(old)?))) {
            None => self.introduce(now, id, introduction),
            Some((_, key)) if key == introduction.fingerprint => {
                if let Some(session) = self.running(id) {
                    // It has just asked for it.
                    let _ = session.judge(now, key, Verdict::Accept);
                }
            }
            Some((old, _)) => self.expose(now, id, old, introduction.fingerprint),
        }
    }

    pub(super) fn on_established(&mut self, now: Instant, id: TunnelId, peer: Peer) {
        self.holds(id, peer.key.fingerprint);
        self.young.remove(&id);
        self.census.finish(id);
        let (key, bytes) = (peer.key.fingerprint, peer.service.mode() == Mode::Bytes);
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        tunnel.carrier_mut().establish(&peer);
        let stream = tunnel.carrier().stream();
        if let Some(stream) = stream.filter(|_| bytes && peer.bound) {
            self.transports.set_patience(now, stream, SLOW_BYTES);
        }
        let replaces = self.replaces(id);
        // Whatever it carries, it is of the same peer: one program, with one key.
        if let Some(other) = replaces.or_else(|| self.any_standing(&peer.address, id))
            && self.key_of(other) != Some(key)
        {
            self.expose(now, id, other, key);
            return;
        }
        // Two that began together replace nothing: the second one to be established does now.
        let second = || {
            self.standing(&peer.address)
                .filter(|other| *other != id && !bytes)
        };
        match replaces.or_else(second) {
            // Tunnels of bytes stand side by side.
            None => self.emit(id, TunnelEvent::Established(peer)),
            Some(old) if bytes || self.service_of(old).as_ref() != Some(&peer.service) => {
                debug!("a second service of stanzas, or bytes in place of stanzas");
                self.end(now, id, Ending::Dropped(By::Us, Why::Second));
            }
            Some(old) => self.drain(now, old, id, peer),
        }
    }

    /// The successor has proven the same key.
    fn drain(&mut self, now: Instant, old: TunnelId, new: TunnelId, peer: Peer) {
        debug!("a newer session takes over");
        let carries = match self.tunnels.get_mut(&new) {
            Some(tunnel) => tunnel.standing_mut().wait(old, peer),
            None => return,
        };
        let (until, moved) = (now + self.config.close, self.moved(old));
        let Some(tunnel) = self.tunnels.get_mut(&old) else {
            return;
        };
        let known = tunnel.conversation_mut();
        let left = known.is_some_and(|known| known.drain(new, until, moved));
        if let Some(session) = tunnel.session_mut() {
            session.part(now);
        }
        self.dirty.insert(old);
        if left || carries == Carries::OurDirection {
            self.promote(now, old, new);
        }
    }

    fn is_ours(&self, id: TunnelId) -> bool {
        let tunnel = self.tunnels.get(&id);
        tunnel.is_some_and(|tunnel| tunnel.carrier().is_ours())
    }

    fn is_ready(&self, id: TunnelId) -> bool {
        let tunnel = self.tunnels.get(&id);
        tunnel.is_some_and(|tunnel| tunnel.carrier().is_ready())
    }

    /// The peer has ended its direction, and all it sent has been handed out.
    pub(super) fn on_peer_finished(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
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
    pub(super) fn on_peer_closed(&mut self, now: Instant, id: TunnelId) {
        if let Some(successor) = self.successor(id) {
            self.promote(now, id, successor);
        } else if self.successors(id).iter().any(|new| self.is_ours(*new)) {
            // It moves to our own successor, which it has confirmed before we know. (Of one that somebody opened in the
            // peer's name we know as much as the peer.)
            if let Some(known) = self.conversation_mut(id) {
                known.peer_leaves();
            }
        } else {
            self.peer_finished(id);
        }
    }

    /// The owner is told that the peer has ended its direction. A successor that began before can only be a renewal that this
    /// end has overtaken; one that begins later is a conversation of its own.
    fn peer_finished(&mut self, id: TunnelId) {
        for successor in self.successors(id) {
            if let Some(tunnel) = self.tunnels.get_mut(&successor) {
                tunnel.standing_mut().peer_finished();
            }
        }
        if self
            .conversation_mut(id)
            .is_some_and(|known| known.finish_peer())
        {
            self.emit(id, TunnelEvent::PeerFinished);
        }
    }

    /// Whether the owner knows that the peer has ended its direction.
    pub(super) fn is_peer_finished(&self, id: TunnelId) -> bool {
        let known = self.conversation(id);
        known.is_some_and(Conversation::is_peer_finished)
    }

    /// Whether the peer seems to have left for a successor, and has not said that it had nothing more to say.
    pub(super) fn has_peer_left_unfinished(&self, id: TunnelId) -> bool {
        let known = self.conversation(id);
        known.is_some_and(|known| known.has_peer_left() && !known.is_peer_finished())
    }

    /// The peer has sent something after its end, and no one is told.
    pub(super) fn withhold(&mut self, id: TunnelId) {
        let tunnel = self.tunnels.get_mut(&id);
        if let Some(running) = tunnel.and_then(|tunnel| tunnel.running_mut()) {
            running.withhold();
        }
    }

    /// The conversation goes on in the new session, under the old one's name; the new name is left for what has to be
    /// closed yet.
    fn promote(&mut self, now: Instant, old: TunnelId, new: TunnelId) {
        let Some(mut rest) = self.tunnels.remove(&new) else {
            return;
        };
        let peer = match self.tunnels.get_mut(&old) {
            Some(tunnel) => {
                let peer = tunnel.move_to(now, new, &mut rest);
                let streams = [(&**tunnel, old), (&*rest, new)];
                let streams = streams.map(|(tunnel, id)| (tunnel.carrier().stream(), id));
                for (stream, id) in streams {
                    self.streams.extend(stream.map(|stream| (stream, id)));
                }
                self.closes.swap(rest.carrier().peer(), [old, new]);
                peer
            }
            None => None,
        };
        self.tunnels.insert(new, rest);
        self.dirty.extend([old, new]);
        if let Some(peer) = peer {
            self.emit(old, TunnelEvent::Renewed(peer));
        }
    }

    fn moved(&self, id: TunnelId) -> u64 {
        let stream = self.stream_of(id);
        stream.map_or(0, |stream| self.transports.moved(stream))
    }

    /// The rest of a replaced tunnel takes long. It may, while it moves, and while the owner lets it wait.
    pub(super) fn await_rest(&mut self, now: Instant, id: TunnelId) {
        let (moved, until) = (self.moved(id), now + self.config.close);
        let flows = self.stream_of(id).is_some();
        let Some(known) = self.conversation_mut(id) else {
            return;
        };
        let excused = flows && known.is_slow();
        if !known.drain_longer(until, moved, excused) {
            // What has come is still handed out, however slowly it is taken; only nothing more can come.
            known.drain_at_leisure(now + FOREVER);
            self.end(now, id, Ending::RestMissing);
        }
    }

    /// A tunnel has ended: those that were to replace it stand for themselves, unless nothing is left to be said in them.
    pub(super) fn after(&mut self, now: Instant, id: TunnelId, ended: &Tunnel, orderly: bool) {
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
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
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
            *tunnel.standing_mut() = Standing::Conversation(Conversation::default());
            self.emit(id, TunnelEvent::Incoming(peer));
            if let Some(peer) = successor.into_waiting() {
                self.emit(id, TunnelEvent::Established(peer));
            }
        }
        self.dirty.insert(id);
    }

    /// A successor has ended: what it was to replace goes on as it is, or as half of what it was.
    fn lose_successor(&mut self, now: Instant, id: TunnelId, old: TunnelId, ended: &Carrier) {
        let Some(known) = self.conversation_mut(old) else {
            return;
        };
        known.lose_successor(id);
        let (left, finished) = (known.has_peer_left(), known.is_peer_finished());
        self.dirty.insert(old);
        if !left {
            return;
        }
        if ended.is_ready() && ended.is_ours() && !finished {
            // The peer may have gone on where we have received nothing, and only it knows.
            let why = Why::Session(xtls_session::Why::Truncated);
            self.end(now, old, Ending::Dropped(By::Transport, why));
        } else if !self.successors(old).iter().any(|new| self.is_ours(*new)) {
            if let Some(known) = self.conversation_mut(old) {
                known.peer_has_not_moved();
            }
            self.peer_finished(old);
        }
    }

    /// Both directions have ended here: a renewal of ours has nothing left to carry, and the peer has finished.
    pub(super) fn has_not_moved(&mut self, now: Instant, id: TunnelId) {
        for successor in self.successors(id) {
            if self.is_ours(successor) && !self.is_ready(successor) {
                self.end(now, successor, Ending::Discarded);
            }
        }
        if self
            .conversation_mut(id)
            .is_some_and(|known| known.peer_has_not_moved())
        {
            self.peer_finished(id);
        }
    }

    /// Whether the peer can have accepted a successor of ours of which we do not know it yet.
    pub(super) fn may_have_moved(&self, id: TunnelId) -> bool {
        let successors = self.successors(id);
        let mut ours = successors.iter().filter(|new| self.is_ours(**new));
        ours.any(|new| self.is_ready(*new))
    }

    /// The keys of a stanza session are old. The initiator replaces the session; the responder, and whoever talks to a
    /// peer that knows the letter only, renews the keys of the one there is.
    pub(super) fn renew(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
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
        if !ours || !self.replaceable(id) || !self.successors(id).is_empty() {
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
            let successor = self.adopt(carrier, Standing::successor_of(id, carries));
            self.dirty.insert(successor);
        }
    }

    /// Ends whatever was about to replace a tunnel, in silence.
    pub(super) fn drop_successors(&mut self, now: Instant, id: TunnelId) {
        for successor in self.successors(id) {
            self.end(now, successor, Ending::Discarded);
        }
    }

    /// A newcomer holds another key than this established tunnel of the same address, whose owner is told.
    fn expose(&mut self, now: Instant, id: TunnelId, old: TunnelId, key: Fingerprint) {
        self.report_other_key(id, old, Some(key));
        self.end(now, id, Ending::Dropped(By::Us, Why::Impostor));
    }

    /// A successor was refused for the key that it has shown.
    pub(super) fn on_refused_key(&mut self, id: TunnelId, key: Option<Fingerprint>) {
        if let Some(old) = self.replaces(id) {
            self.report_other_key(id, old, key);
        }
    }

    fn report_other_key(&mut self, id: TunnelId, old: TunnelId, key: Option<Fingerprint>) {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return;
        };
        let store = self.trust.get();
        let pins = store.of(tunnel.carrier().peer().bare());
        let good = |pin: &&Pin| Some(pin.fingerprint) == key && pin.level != Level::Revoked;
        let pinned = pins.iter().find(good).is_some();
        warn!(
            pinned,
            "a second tunnel of the same peer did not prove the same key"
        );
        self.emit(old, TunnelEvent::OtherKey(OtherKey { key, pinned }));
    }

    /// The tunnels that are to replace this one.
    fn successors(&self, id: TunnelId) -> Vec<TunnelId> {
        let known = self.conversation(id);
        known.map_or_else(Vec::new, |known| {
            known.successors().iter().copied().collect()
        })
    }
}

/// Longer than any tunnel.
const FOREVER: Duration = Duration::from_secs(1 << 30);
