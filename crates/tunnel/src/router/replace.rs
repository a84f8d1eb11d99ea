//! One established tunnel for each pair of addresses, and how a newer session takes its place without losing a word.
//!
//! A newcomer shakes hands beside the old session, and the owner does not hear of it. Once it has proven the same key, we
//! end our direction of the old session and write on the new one; what the new one brings waits until the old one has been
//! read to the peer's close_notify. Then the conversation goes on under its old name. Where that close_notify does not come
//! (the peer has crashed, say), the old tunnel ends as replaced, and the newcomer is a tunnel of its own.

use std::time::{Duration, Instant};

use tracing::{debug, warn};
use xtls_session::{By, Introduction, Mode, Peer, Session, Verdict};
use xtls_stanza::Address;
use xtls_tls::trust::{Level, Pin};
use xtls_tls::{Fingerprint, Role};

use super::Router;
use super::event::{Rival, TunnelId, What, Why};
use super::tunnel::Tunnel;

/// How long a byte tunnel lives while its peer neither takes what was sent nor shows that it lives.
const SLOW_BYTES: Duration = Duration::from_secs(600);

impl Router {
    /// The established tunnel with this address that a newcomer has to measure up to. One that is closing ends by itself,
    /// and for its own reason.
    pub(super) fn standing(&self, peer: &Address) -> Option<TunnelId> {
        self.with_peer(peer).into_iter().find(|id| {
            self.tunnels.get(id).is_some_and(|tunnel| {
                let running = tunnel.running();
                running.is_some_and(|session| !session.is_untrusted())
                    && tunnel.stream.is_some()
                    && tunnel.key.is_some()
                    && !tunnel.hidden()
            })
        })
    }

    /// Whether a newer session with this address is taking over already. What it takes over from may have lost its stream
    /// and wait for the owner only.
    pub(super) fn moving(&self, peer: &Address) -> bool {
        let mut ids = self.with_peer(peer).into_iter();
        ids.any(|id| self.heir(id).is_some())
    }

    /// Byte sessions are never replaced, and nothing is while it is being replaced.
    pub(super) fn replaceable(&self, id: TunnelId) -> bool {
        let tunnel = self.tunnels.get(&id);
        let stanzas = tunnel.is_some_and(|tunnel| tunnel.mode() == Some(Mode::Stanzas));
        stanzas && self.heir(id).is_none()
    }

    /// The tunnel that carries what is said on this one.
    pub(super) fn writer(&self, id: TunnelId) -> TunnelId {
        self.heir(id).unwrap_or(id)
    }

    pub(super) fn heir(&self, id: TunnelId) -> Option<TunnelId> {
        let (heir, _) = self.tunnels.get(&id)?.heir?;
        Some(heir)
    }

    /// A newcomer's key has been judged already if it is that of its rival; any other is refused without asking.
    pub(super) fn on_judge(&mut self, now: Instant, id: TunnelId, introduction: Introduction) {
        self.holds(id, introduction.fingerprint);
        let rival = self.tunnels.get(&id).and_then(|tunnel| tunnel.rival);
        let key = rival
            .and_then(|rival| self.tunnels.get(&rival))
            .and_then(|tunnel| tunnel.key);
        match key {
            None => self.introduce(now, id, introduction),
            Some(key) if key == introduction.fingerprint => {
                if let Some(session) = self.running(id) {
                    // It has just asked for it.
                    let _ = session.judge(now, key, Verdict::Accept);
                }
            }
            Some(_) => self.expose(id, Some(introduction.fingerprint)),
        }
    }

    pub(super) fn on_established(&mut self, now: Instant, id: TunnelId, peer: Peer) {
        self.holds(id, peer.key.fingerprint);
        // Two that began together have no rival: the second one to be established has one now.
        let rival = match self.tunnels.get(&id).and_then(|tunnel| tunnel.rival) {
            Some(rival) => Some(rival),
            None => self.standing(&peer.address).filter(|other| *other != id),
        };
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        self.young.remove(&id);
        tunnel.key = Some(peer.key.fingerprint);
        tunnel.bound = peer.bound;
        tunnel.service = Some(peer.service.clone());
        if let Some(stream) = tunnel.stream
            && peer.bound
            && peer.service.mode() == Mode::Bytes
        {
            self.legs.set_patience(now, stream, SLOW_BYTES);
        }
        let Some(rival) = rival else {
            self.tell(id, What::Established(peer));
            return;
        };
        let standing = self.tunnels.get(&rival);
        let key = standing.and_then(|tunnel| tunnel.key);
        if key != Some(peer.key.fingerprint) && !planted!("replaced-by-another-key") {
            self.expose(id, Some(peer.key.fingerprint));
            return;
        }
        // A stream of bytes has no borders at which another could take over, and neither have two services.
        let service = standing.and_then(|tunnel| tunnel.service.as_ref());
        if peer.service.mode() == Mode::Bytes || service != Some(&peer.service) {
            self.drop_session(id, By::Us, Why::Second);
            return;
        }
        self.drain(now, rival, id, peer);
    }

    /// The newcomer has proven the same key.
    fn drain(&mut self, now: Instant, old: TunnelId, new: TunnelId, peer: Peer) {
        debug!("a newer session takes over");
        let mut late = false;
        if let Some(tunnel) = self.tunnels.get_mut(&new) {
            tunnel.rival = Some(old);
            tunnel.waiting = Some(Box::new(peer));
            late = tunnel.late;
        }
        let until = now + self.config.close;
        let moved = self.moved(old);
        let Some(tunnel) = self.tunnels.get_mut(&old) else {
            return;
        };
        tunnel.heir = Some((new, until));
        tunnel.moved = moved;
        let over = tunnel.parted || late;
        if let Some(session) = tunnel.session() {
            session.part(now);
        }
        self.dirty.insert(old);
        if over {
            self.promote(now, old, new);
        }
    }

    fn is_ours(&self, id: TunnelId) -> bool {
        let tunnel = self.tunnels.get(&id);
        tunnel.is_some_and(|tunnel| tunnel.role == Role::Client)
    }

    /// The peer has nothing more to say, and all it said has been handed out.
    pub(super) fn on_peer_finished(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let (mute, taken) = (tunnel.mute, tunnel.took && !tunnel.unheard);
        let Some(session) = tunnel.session() else {
            return;
        };
        if session.peer_closed() {
            self.on_peer_closed(now, id);
        } else if !mute {
            tunnel.mute = true;
            self.tell(id, What::PeerFinished);
        } else if taken {
            // It has said so in the session before this one, and the owner has answered.
            session.took(now);
        }
    }

    /// The peer has ended its direction of the session, which was read to its end.
    pub(super) fn on_peer_closed(&mut self, now: Instant, id: TunnelId) {
        if let Some(heir) = self.heir(id) {
            self.promote(now, id, heir);
        } else if self.newcomers(id).iter().any(|new| self.is_ours(*new)) {
            // It moves to our own newcomer, which it has confirmed before we know. (Of a newcomer that somebody opened in
            // the peer's name we know as much as the peer.)
            if let Some(tunnel) = self.tunnels.get_mut(&id) {
                tunnel.parted = true;
            }
        } else {
            self.peer_finished(id);
        }
    }

    /// The owner hears that the peer has ended its direction. A newcomer that began before can only be a renewal that this
    /// end has overtaken; one that begins later is a conversation of its own.
    fn peer_finished(&mut self, id: TunnelId) {
        for newcomer in self.newcomers(id) {
            if let Some(tunnel) = self.tunnels.get_mut(&newcomer) {
                tunnel.late = true;
            }
        }
        if let Some(tunnel) = self.tunnels.get_mut(&id)
            && !std::mem::replace(&mut tunnel.mute, true)
        {
            self.tell(id, What::PeerFinished);
        }
    }

    /// Whether the owner knows that the peer has nothing more to say.
    pub(super) fn is_mute(&self, id: TunnelId) -> bool {
        self.tunnels.get(&id).is_some_and(|tunnel| tunnel.mute)
    }

    /// The peer has said something all the same, and nobody is told.
    pub(super) fn unheard(&mut self, id: TunnelId) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.unheard = true;
        }
    }

    /// The conversation goes on in the new session, under the old one's name; the new name is left for what has to be
    /// closed yet.
    fn promote(&mut self, now: Instant, old: TunnelId, new: TunnelId) {
        let (Some(mut rest), Some(mut fresh)) =
            (self.tunnels.remove(&old), self.tunnels.remove(&new))
        else {
            return;
        };
        let carried = rest.carried.take();
        match (rest.session(), fresh.session()) {
            (Some(from), Some(to)) => from.hand_over(to),
            (None, Some(to)) => {
                if let Some(carried) = carried {
                    to.carry(*carried);
                }
            }
            (_, None) => {}
        }
        let finished = rest.finished;
        rest.silent = true;
        rest.heir = None;
        fresh.rival = None;
        let peer = fresh.waiting.take();
        // What the owner has not taken yet belongs to the name.
        (fresh.held, fresh.queued, fresh.weight) = (rest.held, rest.queued, rest.weight);
        (fresh.finished, fresh.hurry) = (finished, rest.hurry);
        (fresh.mute, fresh.took) = (rest.mute || fresh.late, rest.took);
        (rest.held, rest.queued, rest.weight, rest.stalled) = (false, 0, 0, false);
        for (stream, id) in [(rest.stream, new), (fresh.stream, old)] {
            self.streams.extend(stream.map(|stream| (stream, id)));
        }
        let hurry = rest.hurry;
        match fresh.session().filter(|_| finished) {
            Some(session) if hurry => session.close(now),
            Some(session) => session.finish(now),
            None => {}
        }
        self.tunnels.insert(old, fresh);
        self.tunnels.insert(new, rest);
        self.dirty.extend([old, new]);
        if let Some(peer) = peer {
            self.tell(old, What::Renewed(*peer));
        }
    }

    fn moved(&self, id: TunnelId) -> u64 {
        let stream = self.tunnels.get(&id).and_then(|tunnel| tunnel.stream);
        stream.map_or(0, |stream| self.legs.moved(stream))
    }

    /// The rest of a replaced tunnel takes long. It may, while it moves, and while the owner lets it wait.
    pub(super) fn await_rest(&mut self, now: Instant, id: TunnelId) {
        let (moved, until) = (self.moved(id), now + self.config.close);
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let slow = tunnel.stream.is_some() && (tunnel.held || tunnel.stalled);
        if slow || moved > tunnel.moved {
            tunnel.moved = moved;
            tunnel.heir = tunnel.heir.map(|(heir, _)| (heir, until));
        } else {
            self.cut_replaced(now, id);
        }
    }

    /// The time to read the rest of a replaced tunnel is over.
    fn cut_replaced(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        // What has come is still handed out, however slowly it is taken; only nothing more can come.
        if let Some((heir, _)) = tunnel.heir {
            tunnel.heir = Some((heir, now + FOREVER));
        }
        self.cut(now, id, None);
    }

    /// A tunnel has ended: those that were to replace it stand for themselves, unless nothing is left to be said in them.
    pub(super) fn after(&mut self, id: TunnelId, ended: &Tunnel, orderly: bool) {
        for newcomer in self.rivals_of(&ended.peer, id) {
            let Some(tunnel) = self.tunnels.get_mut(&newcomer) else {
                continue;
            };
            tunnel.rival = None;
            if tunnel.late || (orderly && tunnel.role == Role::Client) {
                self.discard(newcomer);
                continue;
            }
            let (peer, waiting) = (tunnel.peer.clone(), tunnel.waiting.take());
            self.tell(newcomer, What::Incoming(peer));
            if let Some(waiting) = waiting {
                self.tell(newcomer, What::Established(*waiting));
            }
            self.dirty.insert(newcomer);
        }
        // A newcomer has ended: its rival goes on as it is, or as half of what it was.
        if let Some(rival) = ended.rival
            && let Some(tunnel) = self.tunnels.get_mut(&rival)
        {
            if tunnel.heir.is_some_and(|(heir, _)| heir == id) {
                tunnel.heir = None;
            }
            self.dirty.insert(rival);
            if !tunnel.parted {
                return;
            }
            if ended.ready
                && ended.role == Role::Client
                && !tunnel.mute
                && !planted!("moved-is-clean")
            {
                // The peer may have gone on where we have heard nothing, and only it knows.
                let why = Why::Session(xtls_session::Why::Truncated);
                self.drop_session(rival, By::Transport, why);
            } else if !self.newcomers(rival).iter().any(|new| self.is_ours(*new))
                && let Some(tunnel) = self.tunnels.get_mut(&rival)
            {
                tunnel.parted = false;
                self.peer_finished(rival);
            }
        }
    }

    /// Both directions have ended here: a renewal of ours has nothing left to carry, and the peer has finished.
    pub(super) fn has_not_moved(&mut self, id: TunnelId) {
        for newcomer in self.newcomers(id) {
            let ready = self.tunnels.get(&newcomer).is_some_and(|new| new.ready);
            if self.is_ours(newcomer) && !ready {
                self.discard(newcomer);
            }
        }
        if let Some(tunnel) = self.tunnels.get_mut(&id)
            && std::mem::take(&mut tunnel.parted)
        {
            self.peer_finished(id);
        }
    }

    /// Whether the peer can have accepted a newcomer of ours of which we do not know it yet.
    pub(super) fn may_have_moved(&self, id: TunnelId) -> bool {
        let newcomers = self.newcomers(id);
        let mut ours = newcomers.iter().filter(|new| self.is_ours(**new));
        ours.any(|new| self.tunnels.get(new).is_some_and(|tunnel| tunnel.ready))
    }

    /// The keys of a stanza session are old. The initiator replaces the session; the responder, and whoever talks to a
    /// peer that knows the letter only, renews the keys of the one there is.
    pub(super) fn renew(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let legs = &self.legs;
        let side_by_side = tunnel
            .stream
            .is_some_and(|stream| legs.side_by_side(stream));
        let ours = tunnel.role == Role::Client
            && side_by_side
            && tunnel.bound
            && !tunnel.finished
            && !tunnel.hidden();
        let peer = tunnel.peer.clone();
        let late = tunnel.mute && tunnel.running().is_some_and(Session::peer_closed);
        let service = tunnel.service.clone();
        if let Some(session) = tunnel.session() {
            // In any case, so that the count begins anew and the next attempt comes in its time.
            session.refresh_keys(now);
        }
        if !ours || !self.replaceable(id) || !self.newcomers(id).is_empty() {
            return;
        }
        let service = service.unwrap_or_else(|| self.config.service.clone());
        if let Ok((stream, phase)) = self.ask(now, &peer, &service, self.config.early) {
            let mut newcomer = Tunnel::new(peer, Role::Client, stream);
            newcomer.service = Some(service);
            newcomer.set_out(phase);
            newcomer.rival = Some(id);
            newcomer.late = late;
            let newcomer = self.adopt(newcomer);
            self.dirty.insert(newcomer);
        }
    }

    /// Ends whatever was about to replace a tunnel, unheard.
    pub(super) fn drop_newcomers(&mut self, id: TunnelId) {
        for newcomer in self.newcomers(id) {
            self.discard(newcomer);
        }
    }

    /// Ends a newcomer that nobody has heard of, and will not. One whose open is unanswered withdraws it in its turn.
    fn discard(&mut self, id: TunnelId) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.silent = true;
            tunnel.waiting = None;
        }
        self.dirty.insert(id);
        self.drop_session(id, By::Us, Why::Replaced);
    }

    /// A newcomer holds another key than the tunnel that it would replace, whose owner hears of it.
    fn expose(&mut self, id: TunnelId, key: Option<Fingerprint>) {
        self.tell_rival(id, key);
        self.drop_session(id, By::Us, Why::Impostor);
    }

    /// A newcomer was refused for its key.
    pub(super) fn tell_rival(&mut self, id: TunnelId, key: Option<Fingerprint>) {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return;
        };
        let Some(rival) = tunnel.rival else {
            return;
        };
        let store = self.trust.get();
        let pins = store.of(tunnel.peer.bare());
        let good = |pin: &&Pin| Some(pin.fingerprint) == key && pin.level != Level::Revoked;
        let pinned = pins.iter().find(good).is_some();
        warn!(
            pinned,
            "a second tunnel of the same peer did not prove the same key"
        );
        self.tell(rival, What::Rival(Rival { key, pinned }));
    }

    /// The tunnels that are to replace this one.
    fn newcomers(&self, id: TunnelId) -> Vec<TunnelId> {
        let peer = self.tunnels.get(&id).map(|tunnel| &tunnel.peer);
        peer.map(|peer| self.rivals_of(peer, id))
            .unwrap_or_default()
    }

    fn rivals_of(&self, peer: &Address, id: TunnelId) -> Vec<TunnelId> {
        let ids = self.with_peer(peer).into_iter();
        let rival = |other: &TunnelId| self.tunnels.get(other).and_then(|tunnel| tunnel.rival);
        ids.filter(|other| rival(other) == Some(id)).collect()
    }
}

/// Longer than any tunnel.
const FOREVER: Duration = Duration::from_secs(1 << 30);
