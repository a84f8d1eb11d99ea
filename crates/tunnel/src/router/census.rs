//! How many tunnels peers have opened, counted so that an open costs the same however many there are; and which limit one
//! more would break.

use std::collections::BTreeMap;

use xtls_ibb::TRY_AGAIN;
use xtls_session::Service;
use xtls_stanza::busy::{Busy, Limit};
use xtls_stanza::{Address, Bare};

use super::config::Config;
use super::event::TunnelId;

/// The tunnels that peers have opened and whose session began.
#[derive(Debug, Default)]
pub(super) struct Census {
    entries: BTreeMap<TunnelId, Entry>,
    /// Unfinished handshakes: of services with a limit of their own for these, and of all others together.
    unfinished: BTreeMap<Option<Service>, Tally>,
    /// Tunnels of each service that is known.
    services: BTreeMap<Service, Tally>,
}

#[derive(Debug)]
struct Entry {
    bare: Bare,
    service: Option<Service>,
    /// Where it is counted while it is unfinished.
    unfinished: Option<Option<Service>>,
}

#[derive(Debug, Default)]
struct Tally {
    all: usize,
    of: BTreeMap<Bare, usize>,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    /// Of everyone.
    all: usize,
    /// Of one account.
    of_peer: usize,
}

impl Tally {
    fn add(&mut self, bare: &Bare) {
        self.all = self.all.saturating_add(1);
        let of = self.of.entry(bare.clone()).or_default();
        *of = of.saturating_add(1);
    }

    fn remove(&mut self, bare: &Bare) {
        self.all = self.all.saturating_sub(1);
        if let Some(of) = self.of.get_mut(bare) {
            *of = of.saturating_sub(1);
            if *of == 0 {
                self.of.remove(bare);
            }
        }
    }

    fn count(&self, bare: &Bare) -> Count {
        Count {
            all: self.all,
            of_peer: self.of.get(bare).copied().unwrap_or(0),
        }
    }
}

impl Census {
    /// The session of a tunnel has begun that this account has opened. `apart`: the service if it has a limit of its own for
    /// unfinished tunnels.
    pub(super) fn begin(
        &mut self,
        id: TunnelId,
        bare: Bare,
        service: Option<&Service>,
        apart: Option<&Service>,
    ) {
        self.end(id);
        let apart = apart.cloned();
        self.unfinished.entry(apart.clone()).or_default().add(&bare);
        let entry = Entry {
            bare,
            service: None,
            unfinished: Some(apart),
        };
        self.entries.insert(id, entry);
        if let Some(service) = service {
            self.settle(id, service);
        }
    }

    /// Its service is known now.
    pub(super) fn settle(&mut self, id: TunnelId, service: &Service) {
        if let Some(entry) = self.entries.get_mut(&id)
            && entry.service.is_none()
        {
            entry.service = Some(service.clone());
            let tally = self.services.entry(service.clone()).or_default();
            tally.add(&entry.bare);
        }
    }

    /// It goes on under another name, of which there was nothing.
    pub(super) fn rename(&mut self, id: TunnelId, other: TunnelId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.end(other);
            self.entries.insert(other, entry);
        }
    }

    /// Its handshake is not unfinished any more.
    pub(super) fn finish(&mut self, id: TunnelId) {
        if let Some(entry) = self.entries.get_mut(&id)
            && let Some(apart) = entry.unfinished.take()
            && let Some(tally) = self.unfinished.get_mut(&apart)
        {
            tally.remove(&entry.bare);
        }
    }

    /// It has ended.
    pub(super) fn end(&mut self, id: TunnelId) {
        self.finish(id);
        if let Some(entry) = self.entries.remove(&id)
            && let Some(tally) = entry
                .service
                .and_then(|service| self.services.get_mut(&service))
        {
            tally.remove(&entry.bare);
        }
    }

    fn is_unfinished(&self, id: TunnelId) -> bool {
        let entry = self.entries.get(&id);
        entry.is_some_and(|entry| entry.unfinished.is_some())
    }

    /// Unfinished tunnels: of this service if it has a limit of its own, or of all others together.
    fn unfinished(&self, apart: Option<&Service>, bare: &Bare) -> Count {
        let tally = self.unfinished.get(&apart.cloned());
        tally.map_or_else(Count::default, |tally| tally.count(bare))
    }

    /// Tunnels of this service.
    fn of_service(&self, service: &Service, bare: &Bare) -> Count {
        let tally = self.services.get(service);
        tally.map_or_else(Count::default, |tally| tally.count(bare))
    }

    /// The limit that one more tunnel of this peer's would break, as far as its service is known.
    pub(super) fn too_many(
        &self,
        config: &Config,
        from: &Address,
        service: Option<&Service>,
    ) -> Option<Busy> {
        let unfinished = self.too_many_unfinished(config, from, &[], service);
        unfinished.or_else(|| self.too_many_of(config, service?, from))
    }

    /// The limit that one more unfinished tunnel of this peer's would break. The `older` ones make room for it.
    pub(super) fn too_many_unfinished(
        &self,
        config: &Config,
        from: &Address,
        older: &[TunnelId],
        service: Option<&Service>,
    ) -> Option<Busy> {
        let apart = service.filter(|service| config.unfinished_apart(service));
        let (most, most_per_peer) = config.unfinished(apart);
        let Count { all, of_peer } = self.unfinished(apart, &from.to_bare());
        let older = older.iter().filter(|id| self.is_unfinished(**id)).count();
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
    pub(super) fn too_many_of(
        &self,
        config: &Config,
        service: &Service,
        from: &Address,
    ) -> Option<Busy> {
        let (most, most_per_peer) = config.tunnels(service);
        let Count { all, of_peer } = self.of_service(service, &from.to_bare());
        over(
            (of_peer, most_per_peer, Limit::TunnelsPerPeer),
            (all, most, Limit::Tunnels),
        )
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let unfinished = self
            .unfinished
            .values()
            .map(|tally| tally.all + tally.of.len());
        let services = self
            .services
            .values()
            .map(|tally| tally.all + tally.of.len());
        self.entries.len() + unfinished.chain(services).sum::<usize>()
    }
}

/// The first of two limits that is reached: of how many, at most how many, under which name.
fn over(of_peer: (usize, usize, Limit), all: (usize, usize, Limit)) -> Option<Busy> {
    let mut both = [of_peer, all].into_iter();
    let (_, most, limit) = both.find(|(count, most, _)| count >= most)?;
    Some(busy(limit, most))
}

/// That this limit is reached.
pub(super) fn busy(limit: Limit, most: usize) -> Busy {
    Busy {
        limit,
        most: u32::try_from(most).unwrap_or(u32::MAX),
        wait: TRY_AGAIN,
    }
}

#[cfg(test)]
mod tests {
    use xtls_session::Mode;

    use super::*;

    fn bare(name: &str) -> Bare {
        Address::new(&format!("{name}@west.example"))
            .unwrap()
            .to_bare()
    }

    #[test]
    fn every_tunnel_is_counted_once_until_it_ends() {
        let (mut census, web) = (Census::default(), Service::new("web", Mode::Bytes));
        let count = |all, of_peer| Count { all, of_peer };
        census.begin(TunnelId(1), bare("a"), Some(&web), Some(&web));
        census.begin(TunnelId(2), bare("b"), Some(&web), Some(&web));
        census.begin(TunnelId(3), bare("a"), None, None);
        assert_eq!(census.unfinished(Some(&web), &bare("a")), count(2, 1));
        assert_eq!(census.unfinished(None, &bare("a")), count(1, 1));
        assert_eq!(census.of_service(&web, &bare("a")), count(2, 1));
        for _ in 0..2 {
            census.settle(TunnelId(3), &web);
            census.finish(TunnelId(3));
        }
        assert_eq!(census.unfinished(None, &bare("a")), count(0, 0));
        assert_eq!(census.of_service(&web, &bare("a")), count(3, 2));
        for id in [1, 2, 3, 3] {
            census.end(TunnelId(id));
        }
        assert_eq!(census.len(), 0);
    }
}
