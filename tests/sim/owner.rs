//! What owners do, and how they react to what is reported to them.

use std::collections::VecDeque;
use std::time::Duration;

use xtls_client::router::{Event, SendError, TunnelEvent, TunnelId, Why};
use xtls_session::{Receipt, Verdict};
use xtls_stanza::{Content, Payload};
use xtls_tls::trust::Policy;

use crate::client::{Act, GARDEN, NURSE};
use crate::keys;
use crate::oracle::{self, End};
use crate::setup::Adversary;
use crate::world::{Deed, JULIET, ROMEO, World};

impl World {
    pub(crate) fn act(&mut self, at: usize, act: Act) {
        self.note(|| format!("{at} {act:?}"));
        let now = self.now;
        if self.broken.is_some() {
            return;
        }
        if at == crate::world::MALLORY {
            return match act {
                Act::Cheat(step) => self.mallory_cheats(step),
                _ => self.mallory_acts(),
            };
        }
        match act {
            Act::Open => self.open(at),
            Act::Say(count, size, tries) => self.think(at, count, size, tries),
            Act::Hold(time) => {
                if let Some(id) = self.usable(at)
                    && self.clients[at].held.is_none()
                {
                    self.totals.fault("slow reader");
                    self.sockets.held_since = Some(now);
                    let acknowledged = self.clients[at].referee.acknowledged;
                    self.clients[at].held = Some((id, acknowledged));
                    if let Ok(mut tunnel) = self.clients[at].router.tunnel(now, id) {
                        tunnel.hold(true);
                    }
                    self.later(time, Deed::Act(at, Act::Release(id)));
                }
            }
            Act::Release(id) => {
                self.disturbed();
                self.clients[at].held = None;
                if let Ok(mut tunnel) = self.clients[at].router.tunnel(now, id) {
                    tunnel.hold(false);
                }
                if self.oracle.end((at, id)).finished {
                    self.later(Duration::ZERO, Deed::Act(at, Act::Took(id)));
                }
            }
            Act::Took(id) => {
                let held = self.clients[at].held.is_some_and(|(held, _)| held == id);
                if !held && self.oracle.end((at, id)).closed.is_none() {
                    self.oracle.end((at, id)).took = true;
                    if let Ok(mut tunnel) = self.clients[at].router.tunnel(now, id) {
                        tunnel.took();
                    }
                }
            }
            Act::Meet => {
                let peer = self.clients[1 - at].address.clone();
                let key = crate::client::key(peer.bare(), 40).fingerprint();
                // An unknown peer may be anyone.
                if !self.clients[at].store.of(peer.bare()).is_empty() {
                    let outcome = self.clients[at].pin(self.now, &peer, key).map(|_| ());
                    self.demand(outcome);
                }
            }
            Act::Finish => {
                if let Some(id) = self.usable(at) {
                    self.clients[at].finishing.insert(id);
                    self.speak(at, id);
                }
            }
            Act::Close => {
                self.hasty = true;
                self.hurried = true;
                for id in self.clients[at].tunnels.clone() {
                    self.oracle.end((at, id)).ended = true;
                    if let Ok(tunnel) = self.clients[at].router.tunnel(now, id) {
                        tunnel.close();
                    }
                }
            }
            Act::Abort => {
                (self.whole, self.hurried) = (false, true);
                if let Some(id) = self.clients[at].tunnels.last().copied() {
                    self.oracle.end((at, id)).ended = true;
                    if let Ok(tunnel) = self.clients[at].router.tunnel(now, id) {
                        tunnel.abort();
                    }
                }
            }
            Act::Verify(method) => self.verify(at, method),
            Act::Look | Act::Cheat(_) => {}
            Act::Judge(id, key, peer) => {
                if self.verifies_first(at, id, key, &peer) {
                    return self.drain(at);
                }
                let verdict = if self.accepts(at, &peer, &key) {
                    match self.clients[at].pin(self.now, &peer, key) {
                        Ok(verdict) => verdict,
                        Err(what) => return self.accuse(what),
                    }
                } else {
                    Verdict::Refuse
                };
                // The tunnel may have ended in the meantime.
                if let Ok(mut tunnel) = self.clients[at].router.tunnel(now, id) {
                    let _ = tunnel.judge(key, verdict);
                }
            }
            Act::Cut(time, comes_back) => self.cut(at, time, comes_back),
            Act::Restart(time) => self.restart(at, time),
            Act::Back(same) => self.back(at, same),
        }
        self.drain(at);
    }

    /// Whether the owner compares words before a verdict; once for each tunnel.
    fn verifies_first(
        &mut self,
        at: usize,
        id: TunnelId,
        key: xtls_tls::Fingerprint,
        peer: &xtls_stanza::Address,
    ) -> bool {
        let client = &mut self.clients[at];
        let asks = self.setup.verify && client.honest && client.policy == Policy::Ask;
        asks && client.deciding.insert(id, (key, peer.clone())).is_none()
            && self.wish(at, id, xtls_tls::verify::Method::Words)
    }

    fn open(&mut self, at: usize) {
        let peer = match self.setup.adversary {
            _ if at == JULIET => keys::ROMEO,
            Adversary::Relay if self.raging => NURSE,
            Adversary::Resource if self.raging => GARDEN,
            _ => keys::JULIET,
        };
        let peer = keys::address(peer);
        if let Ok(id) = self.clients[at].router.open(self.now, &peer) {
            self.begun((at, id), true);
            self.oracle.end((at, id)).peer = Some(peer);
        }
    }

    pub(crate) fn begun(&mut self, end: End, ours: bool) {
        self.totals.tunnels += 1;
        self.oracle.end(end).ours = ours;
        self.clients[end.0].tunnels.push(end.1);
    }

    /// Whether the owner accepts a key that no one has vouched for.
    fn accepts(&self, at: usize, peer: &xtls_stanza::Address, key: &xtls_tls::Fingerprint) -> bool {
        let client = &self.clients[at];
        let genuine = self.clients[..2]
            .iter()
            .any(|other| other.address.same_bare(peer) && other.key == *key);
        !client.honest || client.policy == Policy::Tofu || !self.setup.careful || genuine
    }

    /// The newest writable tunnel.
    fn usable(&mut self, at: usize) -> Option<TunnelId> {
        let ids = self.clients[at].tunnels.clone();
        ids.into_iter().rev().find(|id| {
            let end = self.oracle.end((at, *id));
            end.ready && end.closed.is_none() && !end.ended
        })
    }

    fn think(&mut self, at: usize, count: usize, size: usize, tries: u32) {
        let Some(id) = self
            .usable(at)
            .filter(|id| !self.clients[at].finishing.contains(id))
        else {
            if tries == 0 {
                self.unsaid += count;
            } else {
                self.later(
                    Duration::from_secs(1),
                    Deed::Act(at, Act::Say(count, size, tries - 1)),
                );
            }
            return;
        };
        let waiting = self.clients[at].mind.get(&id).map_or(0, VecDeque::len);
        let first = self.oracle.end((at, id)).sent.len() + waiting;
        for number in first..first + count {
            let text = format!("{}{}", self.song(), "x".repeat(size));
            let stanza = oracle::message(&oracle::id(at, &id.to_string(), number), &text);
            self.clients[at]
                .mind
                .entry(id)
                .or_default()
                .push_back(stanza);
        }
        self.speak(at, id);
    }

    /// Sends what the owner has planned, as far as there is room; then ends the direction, if that is planned.
    fn speak(&mut self, at: usize, id: TunnelId) {
        let now = self.now;
        loop {
            let client = &mut self.clients[at];
            let Some(stanza) = client.mind.get_mut(&id).and_then(VecDeque::pop_front) else {
                break;
            };
            let tunnel = client.router.tunnel(now, id).map_err(SendError::from);
            let outcome = tunnel.and_then(|mut tunnel| tunnel.send(&stanza));
            if outcome.is_err() {
                client.mind.entry(id).or_default().push_front(stanza);
                return;
            }
            self.said_beside(at, stanza.id.as_deref().unwrap_or_default());
            let end = self.oracle.end((at, id));
            let early = !end.ready || end.ended;
            end.sent.push(stanza);
            if early {
                return self.accuse("I3: a stanza is taken before the verdict or after the end");
            }
        }
        if self.clients[at].finishing.contains(&id) && !self.oracle.end((at, id)).ended {
            self.oracle.end((at, id)).ended = true;
            if let Ok(mut tunnel) = self.clients[at].router.tunnel(now, id) {
                tunnel.finish();
            }
        }
    }

    /// Takes everything that a router produces, until it produces nothing more.
    pub(crate) fn drain(&mut self, at: usize) {
        let now = self.now;
        let mut ended = false;
        for _ in 0..1_000_000 {
            let mut quiet = true;
            while let Some(event) = self.clients[at].router.poll_event(now) {
                quiet = false;
                self.told(at, event);
            }
            while let Some(envelope) = self.clients[at].router.poll_transmit(now) {
                quiet = false;
                ended |= matches!(envelope.content, Content::Set(Payload::Close(_)));
                self.say(at, envelope);
            }
            quiet &= !self.serve_sockets(at);
            if quiet || self.broken.is_some() {
                break;
            }
        }
        self.flush(at);
        // An end that closes a stream answers everything that arrived on it: nothing more will arrive, and at most a
        // window is unread. One whose session has failed reads what still comes away, until its alert has left.
        ended |= self.has_failed(at);
        let acknowledged = self.clients[at].referee.acknowledged;
        if let Some((_, before)) = self.clients[at].held.as_mut().filter(|_| ended) {
            *before = acknowledged;
        }
        // A malicious peer has streams of its own with the same client, and what they carry is acknowledged too.
        if self.setup.adversary != Adversary::Peer
            && let Some((_, before)) = self.clients[at].held
        {
            let taken = acknowledged - before;
            // The handshake of a session with new keys is nobody's to read.
            let renewal = if self.setup.keys.is_some() { 8_192 } else { 0 };
            let block = usize::from(self.setup.block).max(4096);
            let most = self.setup.backlog + 3 * 16_384 + block + renewal;
            if taken > most {
                self.accuse(format!(
                    "I10: {taken} bytes are acknowledged that no one reads"
                ));
            }
        }
    }

    /// Whether the session is over whose owner reads nothing, and so does not know it yet.
    fn has_failed(&mut self, at: usize) -> bool {
        let (now, client) = (self.now, &mut self.clients[at]);
        let Some((id, _)) = client.held else {
            return false;
        };
        let tunnel = client.router.tunnel(now, id);
        tunnel.is_ok_and(|mut tunnel| tunnel.export("EXPERIMENTAL-sim", &[], &mut [0]).is_err())
    }

    fn told(&mut self, at: usize, event: Event) {
        let end = (at, event.id);
        self.note(|| {
            format!(
                "{at} told {} {}",
                event.id,
                format!("{:?}", event.what)
                    .chars()
                    .take(200)
                    .collect::<String>()
            )
        });
        if self.oracle.end(end).closed.is_some() {
            return self.accuse("something is reported after the end of a tunnel");
        }
        match event.what {
            TunnelEvent::Incoming(peer) => {
                self.begun(end, false);
                self.oracle.end(end).peer = Some(peer);
                self.too_many(at);
            }
            TunnelEvent::Judge(introduction) => {
                let act = Act::Judge(event.id, introduction.fingerprint, introduction.peer);
                self.later(self.setup.judging, Deed::Act(at, act));
            }
            TunnelEvent::Ready => self.oracle.end(end).ready = true,
            TunnelEvent::Established(peer) => self.is_established(end, peer),
            TunnelEvent::Stanza(stanza) => {
                self.totals.delivered += 1;
                let people: Vec<_> = self
                    .clients
                    .iter()
                    .map(|client| (client.address.clone(), client.key))
                    .collect();
                let mallory = self
                    .mallory
                    .as_ref()
                    .map(|mallory| (mallory.address(), mallory.key()));
                let client = |number: usize| {
                    if number == crate::world::MALLORY {
                        mallory.clone()
                    } else {
                        people.get(number).cloned()
                    }
                };
                let own = self.clients[at].address.clone();
                let outcome = self.oracle.stanza(end, &own, &stanza, client);
                self.demand(outcome);
                self.heard_beside(stanza.id.as_deref().unwrap_or_default());
                self.judge_content(&stanza);
                self.relay(at, &stanza);
            }
            TunnelEvent::Writable => self.speak(at, event.id),
            TunnelEvent::PeerFinished => {
                self.oracle.end(end).finished = true;
                self.later(self.setup.judging, Deed::Act(at, Act::Took(event.id)));
                if self.clients[at].held.is_none_or(|(id, _)| id != event.id) {
                    self.clients[at].finishing.insert(event.id);
                    self.speak(at, event.id);
                }
            }
            TunnelEvent::Closed(closed) => {
                self.totals.clean += u64::from(closed.clean);
                self.totals.taken += u64::from(closed.receipt == Receipt::Taken);
                let client = &mut self.clients[at];
                client.tunnels.retain(|id| *id != event.id);
                client.deciding.remove(&event.id);
                client.shown = client.shown.take().filter(|(id, ..)| *id != event.id);
                let unsaid = self.clients[at].mind.remove(&event.id);
                // A malicious peer may ignore everything that is sent to it.
                let malicious =
                    |peer: &xtls_stanza::Address| peer.as_str() == crate::client::MALLORY;
                if !self.oracle.end(end).peer.as_ref().is_some_and(malicious) {
                    self.unsaid += unsaid.map_or(0, |stanzas| stanzas.len());
                }
                let old = self.oracle.end(end).established.clone();
                if let (Why::Replaced, Some(old)) = (&closed.why, old) {
                    self.replaced.push((at, old.address, old.key.fingerprint));
                }
                self.judge_mallory(&closed);
                self.judge_cut(at, event.id, &closed);
                let outcome = self.oracle.closed(end, closed);
                self.demand(outcome);
            }
            TunnelEvent::Verify(verify) => self.told_verify(at, event.id, verify),
            TunnelEvent::Renewed(peer) => {
                self.totals.renewed += 1;
                let outcome = self.oracle.renewed(end, &peer);
                self.demand(outcome);
                self.take_path_keys(at, event.id);
            }
            TunnelEvent::Path(event) => self.told_path(at, end.1, event),
            TunnelEvent::Refused(_) | TunnelEvent::NotPinned(_) => {}
            _ => {}
        }
    }

    fn is_established(&mut self, end: End, peer: xtls_session::Peer) {
        self.totals.established += 1;
        let client = &self.clients[end.0];
        let pinned = client.trusts(&peer.address, &peer.key.fingerprint);
        let (own, key, honest) = (client.address.clone(), client.key, client.honest);
        let lie = self.raging
            && honest
            && match self.setup.adversary {
                Adversary::Relay | Adversary::Resource | Adversary::Sid | Adversary::Thief => true,
                Adversary::None
                | Adversary::Outsider
                | Adversary::Tamper
                | Adversary::Middle
                | Adversary::Twin
                | Adversary::Strip
                | Adversary::Peer => false,
            };
        if lie {
            return self.accuse("I3: established although the server has lied about the context");
        }
        // The end that accepts us is established first. (After crossing opens it is not known which end is the client.)
        let theirs = |(at, _): &End| {
            self.clients
                .get(*at)
                .is_some_and(|client| client.key == peer.key.fingerprint)
        };
        let others = self.oracle.ends.iter().filter(|(end, _)| theirs(end));
        let mut others = others
            .filter(|(_, other)| other.peer.as_ref() == Some(&own))
            .map(|(_, other)| other);
        let accepted = others.clone().any(|other| {
            other
                .established
                .as_ref()
                .is_some_and(|peer| peer.key.fingerprint == key)
        });
        let crossing = others.any(|other| other.ours);
        if self.oracle.end(end).ours && !accepted && !crossing && end.0 < 4 {
            return self
                .accuse("I3: the initiator is established before the responder has accepted it");
        }
        if peer
            .key
            .san
            .as_ref()
            .is_some_and(|san| san != peer.address.bare())
        {
            return self.accuse("I3: established with someone whose certificate names another");
        }
        // Only a tunnel that proves the same key replaces another; the old one's end is reported first.
        let replaced = std::mem::take(&mut self.replaced);
        let (heirs, others) = replaced
            .into_iter()
            .partition::<Vec<_>, _>(|(at, address, _)| (*at, address) == (end.0, &peer.address));
        self.replaced = others;
        if heirs.iter().any(|(.., key)| *key != peer.key.fingerprint) {
            return self.accuse("I3: a tunnel is replaced by one with another key");
        }
        let outcome = self.oracle.established(end, peer, pinned);
        self.demand(outcome);
        self.take_path_keys(end.0, end.1);
    }

    /// I6: unfinished tunnels opened by others.
    fn too_many(&mut self, at: usize) {
        let unfinished =
            |end: &oracle::Record| !end.ours && end.established.is_none() && end.closed.is_none();
        let count = self
            .oracle
            .ends
            .iter()
            .filter(|((client, _), end)| *client == at && unfinished(end))
            .count();
        // Two from each bare address; the ends of superseded ones are reported a little later.
        if count > 3 * 3 {
            self.accuse(format!("I6: {count} unfinished tunnels"));
        }
    }

    /// The attacker in the middle passes on what it learns from one side to the other.
    fn relay(&mut self, at: usize, stanza: &xtls_stanza::Stanza) {
        let other = match at {
            crate::world::FALSE_ROMEO => crate::world::FALSE_JULIET,
            crate::world::FALSE_JULIET => crate::world::FALSE_ROMEO,
            _ => return,
        };
        let size = stanza.children.len().min(200);
        self.later(Duration::ZERO, Deed::Act(other, Act::Say(1, size, 10)));
    }

    /// Nothing that only a server may say comes out of a tunnel.
    fn judge_content(&mut self, stanza: &xtls_stanza::Stanza) {
        let text = String::from_utf8_lossy(&stanza.children);
        if text.contains("jabber:iq:roster") || text.contains("urn:xmpp:carbons:2") {
            self.accuse("I1: a peer speaks with a server's authority");
        }
    }

    /// Whether Romeo and Juliet can end up trusting each other.
    pub fn friends(&self) -> bool {
        let (romeo, juliet) = (&self.clients[ROMEO], &self.clients[JULIET]);
        romeo.would_trust(&juliet.address, &juliet.key)
            && juliet.would_trust(&romeo.address, &romeo.key)
    }
}
