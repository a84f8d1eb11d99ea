//! The flows by peer and by key, and indices that spare a look at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use xtls_stanza::Address;

use super::StreamKey;
use super::flow::Flow;

#[derive(Debug, Default)]
pub(super) struct Flows {
    by_peer: BTreeMap<Address, Flow>,
    peers: BTreeMap<StreamKey, Address>,
    /// Peers to which the next `<data/>` can go.
    ready: BTreeSet<Address>,
    deadlines: BTreeSet<(Instant, StreamKey)>,
}

impl Flows {
    pub(super) fn len(&self) -> usize {
        self.by_peer.len()
    }

    pub(super) fn keys(&self) -> Vec<StreamKey> {
        self.peers.keys().copied().collect()
    }

    pub(super) fn with(&self, peer: &Address) -> Option<&Flow> {
        self.by_peer.get(peer)
    }

    pub(super) fn get(&self, stream: StreamKey) -> Option<&Flow> {
        self.by_peer.get(self.peers.get(&stream)?)
    }

    pub(super) fn peer(&self, stream: StreamKey) -> Option<&Address> {
        self.peers.get(&stream)
    }

    /// The first peer to which the next `<data/>` can go.
    pub(super) fn ready(&self) -> Option<(Address, StreamKey)> {
        let peer = self.ready.first()?;
        Some((peer.clone(), self.by_peer.get(peer)?.key()))
    }

    pub(super) fn next_deadline(&self) -> Option<(Instant, StreamKey)> {
        self.deadlines.first().copied()
    }

    pub(super) fn add(&mut self, peer: Address, flow: Flow) {
        let key = flow.key();
        let deadline = flow.deadline();
        self.deadlines.extend(deadline.map(|at| (at, key)));
        self.peers.insert(key, peer.clone());
        self.by_peer.insert(peer, flow);
    }

    pub(super) fn remove(&mut self, stream: StreamKey) -> Option<(Address, Flow)> {
        let peer = self.peers.remove(&stream)?;
        let flow = self.by_peer.remove(&peer)?;
        if let Some(at) = flow.deadline() {
            self.deadlines.remove(&(at, stream));
        }
        self.ready.remove(&peer);
        Some((peer, flow))
    }

    /// Changes a flow and keeps the indices.
    pub(super) fn change<T>(
        &mut self,
        stream: StreamKey,
        act: impl FnOnce(&mut Flow) -> T,
    ) -> Option<T> {
        let peer = self.peers.get(&stream)?;
        let flow = self.by_peer.get_mut(peer)?;
        let before = flow.deadline();
        let done = act(flow);
        let after = flow.deadline();
        if before != after {
            if let Some(at) = before {
                self.deadlines.remove(&(at, stream));
            }
            self.deadlines.extend(after.map(|at| (at, stream)));
        }
        if !flow.is_ready() {
            self.ready.remove(peer);
        } else if !self.ready.contains(peer) {
            self.ready.insert(peer.clone());
        }
        Some(done)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flow_has_one_deadline_at_most_however_much_it_has_carried() {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let peer = Address::new("a@west.example/one").unwrap();
        let (mut flows, key) = (Flows::default(), StreamKey(1));
        flows.add(peer.clone(), Flow::opening(key, "s".into(), now + minute));
        assert_eq!(flows.deadlines.len(), 1);
        flows.change(key, Flow::begin);
        assert_eq!((flows.next_deadline(), flows.ready()), (None, None));
        for number in 0..100 {
            let request = number.to_string();
            flows.change(key, |flow| flow.write(b"bytes"));
            assert_eq!(flows.ready(), Some((peer.clone(), key)));
            flows.change(key, |flow| flow.depart(request.clone(), now + minute));
            assert_eq!((flows.ready(), flows.deadlines.len()), (None, 1));
            assert_eq!(flows.change(key, |flow| flow.land(&request)), Some(true));
            assert_eq!(flows.next_deadline(), None);
        }
        flows.change(key, |flow| flow.write(b"last"));
        flows.change(key, |flow| flow.flush(now + minute));
        flows.remove(key).unwrap();
        assert!(flows.ready.is_empty() && flows.deadlines.is_empty() && flows.len() == 0);
    }
}
