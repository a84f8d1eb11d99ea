//! How many tunnels peers have opened, counted so that an open costs the same however many there are.

use std::collections::BTreeMap;

use xtls_session::Service;
use xtls_stanza::Bare;

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
pub(super) struct Count {
    /// Of everyone.
    pub(super) all: usize,
    /// Of one account.
    pub(super) of_peer: usize,
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

    pub(super) fn is_unfinished(&self, id: TunnelId) -> bool {
        let entry = self.entries.get(&id);
        entry.is_some_and(|entry| entry.unfinished.is_some())
    }

    /// Unfinished tunnels: of this service if it has a limit of its own, or of all others together.
    pub(super) fn unfinished(&self, apart: Option<&Service>, bare: &Bare) -> Count {
        let tally = self.unfinished.get(&apart.cloned());
        tally.map_or_else(Count::default, |tally| tally.count(bare))
    }

    /// Tunnels of this service.
    pub(super) fn of_service(&self, service: &Service, bare: &Bare) -> Count {
        let tally = self.services.get(service);
        tally.map_or_else(Count::default, |tally| tally.count(bare))
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

#[cfg(test)]
mod tests {
    use xtls_session::Mode;
    use xtls_stanza::Address;

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
