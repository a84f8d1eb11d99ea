//! The tunnels of each peer's address.

use std::collections::{BTreeMap, BTreeSet};

use xtls_stanza::Address;

use super::event::TunnelId;

/// The tunnels of each peer's address, apart by what they carry: of stanzas there is one for each pair of addresses, of bytes
/// there may be thousands, and nothing that concerns the one looks at the others.
#[derive(Debug, Default)]
pub(super) struct Peers(BTreeMap<Address, OfPeer>);

#[derive(Debug, Default)]
struct OfPeer {
    bytes: BTreeSet<TunnelId>,
    /// Those that carry stanzas, or may turn out to.
    others: BTreeSet<TunnelId>,
}

/// What a tunnel carries, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    Bytes,
    StanzasOrUnknown,
}

impl OfPeer {
    fn all(&self) -> impl Iterator<Item = TunnelId> {
        self.others.iter().chain(&self.bytes).copied()
    }
}

impl Peers {
    pub(super) fn insert(&mut self, peer: &Address, id: TunnelId, load: Load) {
        let of = self.0.entry(peer.clone()).or_default();
        match load {
            Load::Bytes => of.bytes.insert(id),
            Load::StanzasOrUnknown => of.others.insert(id),
        };
    }

    /// It turns out to carry bytes.
    pub(super) fn set_bytes(&mut self, peer: &Address, id: TunnelId) {
        if let Some(of) = self.0.get_mut(peer)
            && of.others.remove(&id)
        {
            of.bytes.insert(id);
        }
    }

    pub(super) fn remove(&mut self, peer: &Address, id: TunnelId) {
        if let Some(of) = self.0.get_mut(peer) {
            of.bytes.remove(&id);
            of.others.remove(&id);
            if of.bytes.is_empty() && of.others.is_empty() {
                self.0.remove(peer);
            }
        }
    }

    /// Whether there is a tunnel with this address.
    pub(super) fn knows(&self, peer: &Address) -> bool {
        self.0.contains_key(peer)
    }

    /// The tunnels with this address: first those that may carry stanzas, each kind oldest first.
    pub(super) fn all(&self, peer: &Address) -> impl Iterator<Item = TunnelId> {
        self.0.get(peer).into_iter().flat_map(OfPeer::all)
    }

    /// Those that carry stanzas, or may turn out to, oldest first.
    pub(super) fn of_stanzas(&self, peer: &Address) -> impl Iterator<Item = TunnelId> {
        let of = self.0.get(peer).into_iter();
        of.flat_map(|of| of.others.iter().copied())
    }

    /// The tunnels with any address of this account, which is in lower case.
    pub(super) fn of_account(&self, bare: &str) -> Vec<TunnelId> {
        let Ok(from) = Address::new(bare) else {
            return Vec::new();
        };
        // `/` comes before `0`, and whatever begins with the bare address and another character is skipped.
        let near = self
            .0
            .range(&from..)
            .take_while(|(peer, _)| peer.as_str().starts_with(bare));
        let own = near.filter(|(peer, _)| peer.same_bare(&from));
        own.flat_map(|(_, of)| of.all()).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
