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
