//! What tunnels that are being closed wait for, indexed by what brings it: nothing here looks at all of them for one stanza.

use std::collections::{BTreeMap, BTreeSet};

use xtls_stanza::Address;

use super::event::TunnelId;

/// Tunnels whose last bytes are being acknowledged, which no event reports, and our `<close/>` requests.
#[derive(Debug, Default)]
pub(super) struct Closes {
    emptying: BTreeMap<Address, BTreeSet<TunnelId>>,
    requests: BTreeMap<String, TunnelId>,
    /// The request of each tunnel: there is one at most.
    request_of: BTreeMap<TunnelId, String>,
}

impl Closes {
    /// The last bytes of this tunnel are on their way.
    pub(super) fn await_acknowledgements(&mut self, peer: &Address, id: TunnelId) {
        self.emptying.entry(peer.clone()).or_default().insert(id);
    }

    /// It does not wait for them any more.
    pub(super) fn acknowledged(&mut self, peer: &Address, id: TunnelId) {
        if let Some(ids) = self.emptying.get_mut(peer) {
            ids.remove(&id);
            if ids.is_empty() {
                self.emptying.remove(peer);
            }
        }
    }

    /// Whether any tunnel waits for acknowledgements.
    pub(super) fn are_emptying(&self) -> bool {
        !self.emptying.is_empty()
    }

    /// Those with this peer that wait for acknowledgements.
    pub(super) fn emptying_with(&self, peer: &Address) -> impl Iterator<Item = TunnelId> {
        self.emptying.get(peer).into_iter().flatten().copied()
    }

    /// All that wait for acknowledgements.
    pub(super) fn emptying(&self) -> impl Iterator<Item = TunnelId> {
        self.emptying.values().flatten().copied()
    }

    /// Our `<close/>` has this id.
    pub(super) fn await_answer(&mut self, request: String, id: TunnelId) {
        self.request_of.insert(id, request.clone());
        self.requests.insert(request, id);
    }

    /// The tunnel whose `<close/>` it is.
    pub(super) fn asked_by(&self, request: &str) -> Option<TunnelId> {
        self.requests.get(request).copied()
    }

    /// Its `<close/>` is answered.
    pub(super) fn answered(&mut self, id: TunnelId) {
        if let Some(request) = self.request_of.remove(&id) {
            self.requests.remove(&request);
        }
    }

    /// The tunnel has ended.
    pub(super) fn end(&mut self, peer: &Address, id: TunnelId) {
        self.acknowledged(peer, id);
        self.answered(id);
    }

    /// Two tunnels with this peer have changed their names: what the one has waited for, the other waits for now.
    pub(super) fn swap(&mut self, peer: &Address, names: [TunnelId; 2]) {
        let [one, other] = names;
        if let Some(ids) = self.emptying.get_mut(peer) {
            *ids = ids.iter().map(|id| id.swapped(names)).collect();
        }
        let requests = [self.request_of.remove(&one), self.request_of.remove(&other)];
        for (request, id) in requests.into_iter().zip([other, one]) {
            if let Some(request) = request {
                self.await_answer(request, id);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.emptying.len() + self.requests.len() + self.request_of.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tunnel_waits_for_goes_with_its_name() {
        let peer = Address::new("a@west.example/one").unwrap();
        let [one, other] = [TunnelId(1), TunnelId(2)];
        let mut closes = Closes::default();
        closes.await_acknowledgements(&peer, one);
        closes.await_answer("r1".to_owned(), one);
        closes.swap(&peer, [one, other]);
        assert_eq!(closes.emptying_with(&peer).collect::<Vec<_>>(), [other]);
        assert_eq!(closes.asked_by("r1"), Some(other));
        closes.end(&peer, one);
        assert_eq!(closes.len(), 3);
        closes.end(&peer, other);
        assert_eq!(closes.len(), 0);
    }
}
