//! Too many at once: whom a limit turns away, and who is told of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xtls_ibb::TRY_AGAIN;
use xtls_session::Service;
use xtls_stanza::busy::{Busy, Limit};
use xtls_stanza::{Address, Bare};
use xtls_tls::trust::{Level, Store};

use super::Router;
use super::census::Count;
use super::event::TunnelId;
use super::transports::Leg;

/// Somebody asked for a tunnel whom the accept policy allows, and a limit turned it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnedAway {
    /// The bare address, as the servers say.
    pub peer: Bare,
    /// Which limit, and what the peer was told last.
    pub busy: Busy,
    /// How often since it was told of before.
    pub times: u64,
}

/// Those who were turned away, few and seldom: whoever asks a thousand times is told of twice, with the number.
#[derive(Debug, Default)]
pub(super) struct Crowd(BTreeMap<(Bare, Limit), Turned>);

#[derive(Debug)]
struct Turned {
    busy: Busy,
    /// Not told yet.
    times: u64,
    /// When it was told last.
    told: Option<Instant>,
    due: bool,
}

impl Crowd {
    pub(super) fn note(&mut self, now: Instant, from: &Address, busy: Busy) {
        let key = (from.to_bare(), busy.limit);
        if !self.0.contains_key(&key) && self.0.len() >= TURNED_AWAY {
            // Whoever was told of longest ago makes room; if all are news, there is enough of it.
            let told = self.0.iter().filter(|(_, turned)| !turned.due);
            let oldest = told.min_by_key(|(_, turned)| turned.told);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.0.remove(&oldest);
        }
        let turned = self.0.entry(key).or_insert(Turned {
            busy,
            times: 0,
            told: None,
            due: false,
        });
        turned.busy = busy;
        turned.times = turned.times.saturating_add(1);
        turned.due |= turned.told.is_none_or(|told| told + QUIET <= now);
    }

    fn poll(&mut self, now: Instant) -> Option<TurnedAway> {
        let mut all = self.0.iter_mut();
        let ((peer, _), turned) = all.find(|(_, turned)| turned.due)?;
        turned.due = false;
        turned.told = Some(now);
        Some(TurnedAway {
            peer: peer.clone(),
            busy: turned.busy,
            times: std::mem::take(&mut turned.times),
        })
    }
}

impl Router {
    /// Whom a limit turned away. The same address and limit are told of once in a minute at most, and 16 of them are
    /// remembered.
    pub fn poll_turned_away(&mut self, now: Instant) -> Option<TurnedAway> {
        let now = self.clock.read(now);
        self.crowd.poll(now)
    }

    /// How many tunnels of peers the owner has room for now: one for each [`TunnelEvent::Incoming`](super::TunnelEvent::Incoming) and
    /// [`TunnelEvent::Asked`](super::TunnelEvent::Asked) that it is told from now on. Without it an open is refused before it is
    /// accepted. At first as many as come; who has a queue says so before each stanza.
    pub fn set_incoming_room(&mut self, tunnels: usize) {
        self.incoming_room = tunnels;
    }

    /// Whether more than half of the room for answers is taken: whoever has a choice takes no stanza in until some have
    /// been sent, because further answers may be dropped.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.out.is_crowded() || self.transports.is_crowded()
    }

    /// The limit that one more tunnel of this peer's would break, as far as its service is known.
    pub(super) fn too_many(&self, from: &Address, service: Option<&Service>) -> Option<Busy> {
        let unfinished = self.too_many_unfinished(from, &[], service);
        unfinished.or_else(|| self.too_many_of(service?, from))
    }

    /// The limit that one more unfinished tunnel of this peer's would break. The `older` ones make room for it.
    pub(super) fn too_many_unfinished(
        &self,
        from: &Address,
        older: &[TunnelId],
        service: Option<&Service>,
    ) -> Option<Busy> {
        let apart = service.filter(|service| self.config.unfinished_apart(service));
        let (most, most_per_peer) = self.config.unfinished(apart);
        let Count { all, of_peer } = self.census.unfinished(apart, &from.to_bare());
        let older = older.iter().filter(|id| self.census.is_unfinished(**id));
        let older = older.count();
        over(
            (
                of_peer.saturating_sub(older),
                most_per_peer,
                Limit::UnfinishedPerPeer,
            ),
            (all.saturating_sub(older), most, Limit::Unfinished),
        )
    }

    /// The limit that one more tunnel of this service would break.
    pub(super) fn too_many_of(&self, service: &Service, from: &Address) -> Option<Busy> {
        let (most, most_per_peer) = self.config.tunnels(service);
        let Count { all, of_peer } = self.census.of_service(service, &from.to_bare());
        over(
            (of_peer, most_per_peer, Limit::TunnelsPerPeer),
            (all, most, Limit::Tunnels),
        )
    }

    /// A session has begun with a peer that has opened the tunnel.
    pub(super) fn count(&mut self, id: TunnelId) {
        if let Some(tunnel) = self.tunnels.get(&id) {
            let carrier = tunnel.carrier();
            let service = carrier.service();
            let apart = service.filter(|service| self.config.unfinished_apart(service));
            // One that is to take over is no further tunnel of its service.
            let further = service.filter(|_| tunnel.standing().is_known());
            let bare = carrier.peer().to_bare();
            self.census.begin(id, bare, further, apart);
        }
    }

    /// That the owner has no room for one more tunnel, if it has none.
    pub(super) fn no_room(&self) -> Option<Busy> {
        (self.incoming_room == 0).then(|| busy(Limit::Incoming, self.config.incoming))
    }

    /// Refuses an open for now, and says so.
    pub(super) fn turn_away(&mut self, now: Instant, stream: Leg, from: &Address, busy: Busy) {
        self.crowd.note(now, from, busy);
        self.transports.refuse(now, stream, busy.to_error());
    }
}

/// Whether an address has a pinned key that has not been revoked. The name is only what servers say.
pub(super) fn has_good_pin(store: &Store, peer: &Address) -> bool {
    let mut pins = store.of(peer.bare()).iter();
    pins.any(|pin| matches!(pin.level, Level::FirstUse | Level::Verified(_)))
}

/// The first of two limits that is reached: of how many, at most how many, under which name.
fn over(of_peer: (usize, usize, Limit), all: (usize, usize, Limit)) -> Option<Busy> {
    let mut both = [of_peer, all].into_iter();
    let (_, most, limit) = both.find(|(count, most, _)| count >= most)?;
    Some(busy(limit, most))
}

fn busy(limit: Limit, most: usize) -> Busy {
    Busy {
        limit,
        most: u32::try_from(most).unwrap_or(u32::MAX),
        wait: TRY_AGAIN,
    }
}

/// Addresses and limits of which the owner is told.
pub const TURNED_AWAY: usize = 16;

/// How long nothing more is told of the same.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    fn often() -> Busy {
        Busy {
            limit: Limit::OpensPerMinute,
            most: 6,
            wait: 37,
        }
    }

    fn address(number: usize) -> Address {
        Address::new(&format!("a{number}@west.example/one")).unwrap()
    }

    #[test]
    fn the_same_is_told_once_a_minute_with_its_number() {
        let (mut crowd, start) = (Crowd::default(), Instant::now());
        for _ in 0..1000 {
            crowd.note(start, &address(1), often());
        }
        let told = crowd.poll(start).unwrap();
        assert_eq!((told.peer, told.times), (address(1).to_bare(), 1000));
        let later = start + QUIET - Duration::from_millis(1);
        crowd.note(later, &address(1), often());
        assert_eq!(crowd.poll(later), None);
        let later = start + QUIET;
        crowd.note(later, &address(1), often());
        assert_eq!(crowd.poll(later).map(|told| told.times), Some(2));
        assert_eq!(crowd.poll(later), None);
    }

    #[test]
    fn sixteen_are_remembered_and_news_is_not_pushed_out_by_news() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        for number in 0..100 {
            crowd.note(now, &address(number), often());
        }
        let told: Vec<_> = std::iter::from_fn(|| crowd.poll(now)).collect();
        assert_eq!(told.len(), TURNED_AWAY);
        assert!(told.iter().all(|told| told.times == 1));
        crowd.note(now, &address(200), often());
        assert_eq!(crowd.0.len(), TURNED_AWAY);
        assert_eq!(
            crowd.poll(now).map(|told| told.peer),
            Some(address(200).to_bare())
        );
    }
}
