//! The table of tunnels, what is indexed over it, and what it says of tunnels that concern each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use xtls_ibb::Deadline;
use xtls_session::{Mode, Peer, Service, Session};
use xtls_stanza::Address;
use xtls_stanza::ibb::Sid;
use xtls_tls::Fingerprint;

use super::carrier::Carrier;
use super::conversation::{Conversation, Standing};
use super::event::TunnelId;
use super::moving::Moving;
use super::peers::{Load, Peers};
use super::running::Running;
use super::schedule::Schedule;
use super::transports::{Leg, Transports};
use super::tunnel::Tunnel;

/// Every tunnel of a router, under its name. Nothing here looks at all of them for the sake of one.
#[derive(Debug, Default)]
pub(super) struct Tunnels {
    /// Each in a box of its own: the nodes of a map have room for more than they hold.
    all: BTreeMap<TunnelId, Box<Tunnel>>,
    peers: Peers,
    streams: BTreeMap<Leg, TunnelId>,
    /// Those in which something may move.
    dirty: BTreeSet<TunnelId>,
    schedule: Schedule,
    /// Those that are not established yet.
    young: BTreeSet<TunnelId>,
    /// Those whose peer has proven to hold a key.
    holders: BTreeMap<Fingerprint, BTreeSet<TunnelId>>,
    next: u64,
}

impl Tunnels {
    // The table.

    /// Takes in a new tunnel, under a name that none has had before.
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
        self.all.insert(id, Box::new(tunnel));
        self.young.insert(id);
        id
    }

    /// Takes out one that has ended, and all that is known of it here.
    pub(super) fn remove(&mut self, id: TunnelId) -> Option<Box<Tunnel>> {
        let tunnel = self.all.remove(&id)?;
        let carrier = tunnel.carrier();
        if let Some(stream) = carrier.stream() {
            self.streams.remove(&stream);
        }
        self.peers.remove(carrier.peer(), id);
        self.schedule.set(id, None);
        self.dirty.remove(&id);
        self.young.remove(&id);
        if let Some(key) = carrier.proven()
            && let Some(ids) = self.holders.get_mut(&key)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.holders.remove(&key);
            }
        }
        Some(tunnel)
    }

    /// Changes two tunnels, which may exchange their carriers, and marks both.
    pub(super) fn change_both<T>(
        &mut self,
        one: TunnelId,
        other: TunnelId,
        change: impl FnOnce(&mut Tunnel, &mut Tunnel) -> T,
    ) -> Option<T> {
        let mut second = self.all.remove(&other)?;
        let changed = self.all.get_mut(&one).map(|first| {
            let changed = change(first, &mut second);
            for (tunnel, id) in [(&**first, one), (&*second, other)] {
                let beneath = tunnel.carrier().beneath();
                let further = beneath.moving().into_iter().flat_map(Moving::streams);
                let streams = beneath.stream().into_iter();
                let streams = streams.chain(further.map(|(_, stream)| stream));
                self.streams.extend(streams.map(|stream| (stream, id)));
            }
            changed
        });
        self.all.insert(other, second);
        self.dirty.extend([one, other]);
        changed
    }

    pub(super) fn contains(&self, id: TunnelId) -> bool {
        self.all.contains_key(&id)
    }

    pub(super) fn get(&self, id: TunnelId) -> Option<&Tunnel> {
        self.all.get(&id).map(|tunnel| &**tunnel)
    }

    pub(super) fn get_mut(&mut self, id: TunnelId) -> Option<&mut Tunnel> {
        self.all.get_mut(&id).map(|tunnel| &mut **tunnel)
    }

    /// All of them, oldest first.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Tunnel> {
        self.all.values_mut().map(|tunnel| &mut **tunnel)
    }

    /// The session of one that has one.
    pub(super) fn session_mut(&mut self, id: TunnelId) -> Option<&mut Session> {
        self.get_mut(id)?.session_mut()
    }

    /// The session of one that has one, and what is known about its end.
    pub(super) fn running_mut(&mut self, id: TunnelId) -> Option<&mut Running> {
        self.get_mut(id)?.running_mut()
    }

    pub(super) fn conversation_mut(&mut self, id: TunnelId) -> Option<&mut Conversation> {
        self.get_mut(id)?.conversation_mut()
    }

    fn conversation(&self, id: TunnelId) -> Option<&Conversation> {
        self.get(id)?.conversation()
    }

    /// What travels in it, as far as it is known.
    pub(super) fn service_of(&self, id: TunnelId) -> Option<&Service> {
        self.get(id)?.carrier().service()
    }

    /// Whether our open is unanswered there.
    pub(super) fn is_opening(&self, id: TunnelId) -> bool {
        let tunnel = self.get(id);
        tunnel.is_some_and(|tunnel| tunnel.carrier().phase().is_opening())
    }

    /// Those that wait for a peer's open after a conflict.
    pub(super) fn yielding(&self) -> Vec<TunnelId> {
        let all = self.all.iter();
        let yielding = all.filter(|(_, tunnel)| tunnel.carrier().phase().is_yielding());
        yielding.map(|(id, _)| *id).collect()
    }

    // Paths.

    /// The paths of one that may move.
    pub(super) fn moving_mut(&mut self, id: TunnelId) -> Option<&mut Moving> {
        self.get_mut(id)?.carrier_mut().beneath_mut().moving_mut()
    }

    /// Calls the paths of each that may move, and gives their names.
    pub(super) fn each_moving(&mut self, mut call: impl FnMut(&mut Moving)) -> Vec<TunnelId> {
        let mut moving = Vec::new();
        for (id, tunnel) in &mut self.all {
            if let Some(paths) = tunnel.carrier_mut().beneath_mut().moving_mut() {
                call(paths);
                moving.push(*id);
            }
        }
        moving
    }

    /// Those with this account, at whichever address, that may move.
    pub(super) fn moving_with(&self, peer: &Address) -> impl Iterator<Item = (TunnelId, &Moving)> {
        let ids = self.peers.of_account(peer.bare()).into_iter();
        ids.filter_map(|id| Some((id, self.get(id)?.carrier().beneath().moving()?)))
    }

    /// The one with this account that signals name so.
    pub(super) fn signalled(&self, peer: &Address, sid: &Sid) -> Option<TunnelId> {
        let mut moving = self.moving_with(peer);
        Some(moving.find(|(_, moving)| moving.sid() == sid)?.0)
    }

    /// Whether one with this account is established on a stream of this name, and cannot move.
    pub(super) fn stays(&self, transports: &Transports, peer: &Address, sid: &Sid) -> bool {
        let mut ids = self.peers.of_account(peer.bare()).into_iter();
        ids.any(|id| {
            let carrier = self.get(id).map(Tunnel::carrier);
            carrier.is_some_and(|carrier| {
                let established = carrier.key().is_some() && carrier.beneath().moving().is_none();
                established && carrier.is_named(transports, Some(sid))
            })
        })
    }

    /// The one with this account that expects a stream of this name.
    pub(super) fn expecting(&self, peer: &Address, sid: &Sid) -> Option<TunnelId> {
        let mut moving = self.moving_with(peer);
        Some(moving.find(|(_, moving)| moving.expects(sid))?.0)
    }

    // Streams.

    /// The stream beneath a tunnel, until it has ended.
    pub(super) fn stream_of(&self, id: TunnelId) -> Option<Leg> {
        self.get(id)?.carrier().stream()
    }

    /// The tunnel above a stream.
    pub(super) fn of_stream(&self, stream: Leg) -> Option<TunnelId> {
        self.streams.get(&stream).copied()
    }

    /// Every stream that is beneath a tunnel.
    pub(super) fn streams(&self) -> impl Iterator<Item = Leg> {
        self.streams.keys().copied()
    }

    /// This stream is beneath a tunnel now.
    pub(super) fn attach(&mut self, stream: Leg, id: TunnelId) {
        self.streams.insert(stream, id);
    }

    /// This stream is not beneath its tunnel any more.
    pub(super) fn detach(&mut self, stream: Leg) -> Option<TunnelId> {
        self.streams.remove(&stream)
    }

    /// The names of streams begin anew.
    pub(super) fn detach_all(&mut self) {
        self.streams.clear();
    }

    // Work and time.

    /// Something may move in it.
    pub(super) fn mark(&mut self, id: TunnelId) {
        self.dirty.insert(id);
    }

    pub(super) fn mark_all(&mut self, ids: impl IntoIterator<Item = TunnelId>) {
        self.dirty.extend(ids);
    }

    /// The next one in which something may move.
    pub(super) fn next_marked(&mut self) -> Option<TunnelId> {
        self.dirty.pop_first()
    }

    /// Notes when something runs out in it.
    pub(super) fn schedule(&mut self, id: TunnelId) {
        let at = self
            .get(id)
            .and_then(Tunnel::deadline)
            .map(|deadline| deadline.0);
        self.schedule.set(id, at);
    }

    /// The next moment at which something runs out in one.
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        let (at, id) = self.schedule.first()?;
        let known = self.get(id).and_then(Tunnel::deadline);
        let why = known.map_or("tunnel", |deadline| deadline.1);
        Some(Deadline { at, why })
    }

    /// The next one in which something has run out, once.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<TunnelId> {
        self.schedule.next_due(now)
    }

    // Those of one peer.

    /// Whether there is one with this address.
    pub(super) fn knows(&self, peer: &Address) -> bool {
        self.peers.knows(peer)
    }

    /// Those with this address: first those that may carry stanzas, each kind oldest first.
    pub(super) fn with(&self, peer: &Address) -> impl Iterator<Item = TunnelId> {
        self.peers.all(peer)
    }

    /// Whether there is one with this address that carries stanzas, or may turn out to.
    pub(super) fn has_of_stanzas(&self, peer: &Address) -> bool {
        self.peers.of_stanzas(peer).next().is_some()
    }

    /// Those with any address of this account, which is in lower case.
    pub(super) fn of_account(&self, bare: &str) -> Vec<TunnelId> {
        self.peers.of_account(bare)
    }

    /// Those of this account, but for one, in which a key waits for its verdict.
    pub(super) fn judging(&self, bare: &str, except: TunnelId) -> Vec<TunnelId> {
        let judging = |id: &TunnelId| {
            let session = self.get(*id).and_then(Tunnel::session);
            session.is_some_and(Session::is_judging)
        };
        let mut ids = self.peers.of_account(bare);
        ids.retain(|id| *id != except && judging(id));
        ids
    }

    /// The one that a peer's `<close/>` with this sid means. Without a sid it is the one that is closing anyway.
    pub(super) fn named(
        &self,
        transports: &Transports,
        from: &Address,
        sid: Option<&Sid>,
    ) -> Option<TunnelId> {
        let mut ids: Vec<_> = self.peers.all(from).collect();
        let doomed = |id: &TunnelId| Some(self.get(*id)?.standing().is_doomed());
        ids.sort_by_key(|id| doomed(id) != Some(true));
        let named = ids.into_iter().find(|id| {
            let tunnel = self.get(*id);
            tunnel.is_some_and(|tunnel| tunnel.carrier().is_named(transports, sid))
        });
        // Its address may be another one by now: only a signal that opened says which.
        named.or_else(|| {
            let id = self.signalled(from, sid?)?;
            (self.get(id)?.carrier().reached_at() == from).then_some(id)
        })
    }

    /// Our open to this address that a peer's open may cross: one of stanzas, or any where the transport has one stream for
    /// each pair of addresses.
    pub(super) fn unanswered_to(&self, peer: &Address, side_by_side: bool) -> Option<TunnelId> {
        let awaits = |id: &TunnelId| {
            let tunnel = self.get(*id);
            tunnel.is_some_and(|tunnel| tunnel.carrier().phase().awaits_open())
        };
        if side_by_side {
            self.peers.of_stanzas(peer).find(awaits)
        } else {
            self.peers.all(peer).find(awaits)
        }
    }

    /// The unfinished ones of stanzas with this address, which a newer open of stanzas discards.
    pub(super) fn unfinished_with(&self, peer: &Address) -> Vec<TunnelId> {
        let unfinished = self.peers.of_stanzas(peer).filter(|id| {
            self.get(*id).is_some_and(|tunnel| {
                let carrier = tunnel.carrier();
                carrier.is_unfinished() && carrier.mode() == Some(Mode::Stanzas)
            })
        });
        unfinished.collect()
    }

    /// The open of ours that was unanswered when the peer's came, if it still is no more than a handshake.
    pub(super) fn crossed(&self, ours: Option<TunnelId>) -> Option<TunnelId> {
        ours.filter(|id| {
            self.get(*id).is_some_and(|tunnel| {
                let carrier = tunnel.carrier();
                let open = carrier.phase().awaits_open() || carrier.is_unfinished();
                open && carrier.is_ours() && !carrier.is_ready() && tunnel.standing().is_known()
            })
        })
    }

    /// What a peer has opened it for is known.
    pub(super) fn settle(&mut self, id: TunnelId, service: Service) {
        let Some(tunnel) = self.all.get_mut(&id) else {
            return;
        };
        if service.mode() == Mode::Bytes {
            self.peers.set_bytes(tunnel.carrier().peer(), id);
        }
        tunnel.carrier_mut().settle(service);
    }

    /// Whether the owner learns of a tunnel only now that it has ended and was taken out: it failed before it said what it
    /// was for, and it was the only one of its kind.
    pub(super) fn is_announced_at_its_end(&self, ended: &Tunnel) -> bool {
        matches!(ended.standing(), Standing::Unsettled { crosses: None })
            && !self.has_of_stanzas(ended.carrier().peer())
    }

    // Keys.

    /// Whether a handshake or a verdict is under way in any.
    pub(super) fn are_meeting(&self) -> bool {
        !self.young.is_empty()
    }

    /// Its peer has proven to hold this key.
    pub(super) fn prove(&mut self, id: TunnelId, key: Fingerprint) {
        if let Some(tunnel) = self.get_mut(id) {
            tunnel.carrier_mut().prove(key);
            self.holders.entry(key).or_default().insert(id);
        }
    }

    /// Both ends have accepted each other.
    pub(super) fn establish(&mut self, id: TunnelId, peer: &Peer) {
        self.prove(id, peer.key.fingerprint);
        self.young.remove(&id);
        if let Some(tunnel) = self.get_mut(id) {
            tunnel.carrier_mut().establish(peer);
        }
    }

    /// Those whose peer has proven to hold this key.
    pub(super) fn holders(&self, key: Fingerprint) -> impl Iterator<Item = TunnelId> {
        self.holders.get(&key).into_iter().flatten().copied()
    }

    /// The key of an established one.
    pub(super) fn key_of(&self, id: TunnelId) -> Option<Fingerprint> {
        self.get(id)?.carrier().key()
    }

    // Tunnels that replace each other.

    /// The established one of stanzas with this address that a newcomer has to measure up to. One that is closing ends by
    /// itself, and for its own reason.
    pub(super) fn standing(&self, peer: &Address) -> Option<TunnelId> {
        let mut ids = self.peers.of_stanzas(peer);
        ids.find(|id| self.is_standing(*id))
    }

    /// An established one with this address, whatever it carries.
    pub(super) fn any_standing(
        &self,
        peer: &Address,
        except: Option<TunnelId>,
    ) -> Option<TunnelId> {
        let mut ids = self.peers.all(peer).filter(|id| Some(*id) != except);
        ids.find(|id| self.is_standing(*id))
    }

    fn is_standing(&self, id: TunnelId) -> bool {
        self.get(id).is_some_and(|tunnel| {
            let carrier = tunnel.carrier();
            let session = carrier.session();
            session.is_some_and(|session| !session.is_untrusted())
                && carrier.beneath().is_there()
                && carrier.key().is_some()
                && tunnel.standing().is_known()
        })
    }

    /// Whether a newer session with this address is taking over already. What it takes over from may have lost its stream
    /// and wait for the owner only.
    pub(super) fn are_moving(&self, peer: &Address) -> bool {
        let mut ids = self.peers.of_stanzas(peer);
        ids.any(|id| self.successor(id).is_some())
    }

    /// Byte sessions are never replaced, and nothing is while it is being replaced.
    pub(super) fn is_replaceable(&self, id: TunnelId) -> bool {
        let mode = self.get(id).and_then(|tunnel| tunnel.carrier().mode());
        mode == Some(Mode::Stanzas) && self.successor(id).is_none()
    }

    /// The one that carries what is sent on this one.
    pub(super) fn writer(&self, id: TunnelId) -> TunnelId {
        self.successor(id).unwrap_or(id)
    }

    /// The one to which the conversation of this one is moving.
    pub(super) fn successor(&self, id: TunnelId) -> Option<TunnelId> {
        self.conversation(id)?.successor()
    }

    /// Those that are to replace this one.
    pub(super) fn successors(&self, id: TunnelId) -> Vec<TunnelId> {
        let known = self.conversation(id);
        known.map_or_else(Vec::new, |known| {
            known.successors().iter().copied().collect()
        })
    }

    /// The one whose conversation this one is to take over.
    pub(super) fn replaced_by(&self, id: TunnelId) -> Option<TunnelId> {
        self.get(id)?.replaces()
    }

    /// Whether one of those that are to replace this one is ours.
    pub(super) fn has_successor_of_ours(&self, id: TunnelId) -> bool {
        self.successors_of_ours(id).next().is_some()
    }

    /// Whether the peer can have accepted a successor of ours of which we do not know it yet.
    pub(super) fn may_have_moved(&self, id: TunnelId) -> bool {
        self.successors_of_ours(id)
            .any(|tunnel| tunnel.carrier().is_ready())
    }

    fn successors_of_ours(&self, id: TunnelId) -> impl Iterator<Item = &Tunnel> {
        let known = self.conversation(id).into_iter();
        let successors = known.flat_map(|known| known.successors());
        let successors = successors.filter_map(|id| self.get(*id));
        successors.filter(|tunnel| tunnel.carrier().is_ours())
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
}

#[cfg(test)]
impl Tunnels {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Entries in all tables: 0 when nothing is left of any tunnel.
    pub(super) fn leftovers(&self) -> usize {
        let named = self.all.len() + self.peers.len() + self.streams.len();
        named + self.schedule.len() + self.dirty.len() + self.young.len() + self.holders.len()
    }
}
