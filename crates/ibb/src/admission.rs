//! Which opens reach the owner. Whether the answer is yes is the owner's decision.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use xtls_stanza::busy::{Busy, Limit};
use xtls_stanza::ibb::{Carrier, Open, Sid};
use xtls_stanza::{Address, Bare, StanzaError};

use crate::config::Config;
use crate::error::answer;
use crate::rate::{Rate, busy};

/// Whose opens reach the owner: no one's, at first. All others are answered `service-unavailable`, as by a client without
/// bytestreams, and leave no trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allow {
    /// Everyone's: the owner judges each one.
    Anyone,
    /// Those of these bare addresses.
    Only(BTreeSet<Bare>),
    /// Only those that were announced with [`Mux::expect`](crate::Mux::expect).
    #[default]
    Expected,
}

/// Seconds after which it is worth trying again where a limit counts what exists at a time: no one knows when one of these
/// ends.
pub const TRY_AGAIN: u32 = 10;

/// Announced streams that are remembered; the oldest announcement makes room.
const MAX_EXPECTED: usize = 256;

/// Decides which opens reach the owner.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Admission {
    allow: Allow,
    expected: Expected,
    rate: Rate,
    census: Census,
}

impl Admission {
    pub(crate) fn allow(&mut self, allow: Allow) {
        self.allow = allow;
    }

    /// Lets one open of `sid` by `peer` through, whoever is allowed.
    pub(crate) fn expect(&mut self, peer: Address, sid: Sid) {
        self.expected.insert(peer, sid);
    }

    /// Whether every open of this address reaches the owner.
    pub(crate) fn allows(&self, from: &Address) -> bool {
        match &self.allow {
            Allow::Anyone => true,
            Allow::Only(list) => list.contains(&from.to_bare()),
            Allow::Expected => false,
        }
    }

    /// Whether this very request came before, within a minute.
    pub(crate) fn is_repeated(&self, from: &Address, request: &str) -> bool {
        self.rate.is_repeated(from, request)
    }

    /// How the open is answered if it does not reach the owner. `streams` is how many there are, whoever opened them.
    pub(crate) fn objection(
        &mut self,
        now: Instant,
        config: &Config,
        from: &Address,
        known: bool,
        request: &str,
        open: &Open,
        streams: usize,
    ) -> Option<StanzaError> {
        let expected = self.expected.contains(from, &open.sid);
        if !self.allows(from) && !expected {
            return Some(answer::stranger());
        }
        if open.carrier == Carrier::Message && !config.messages {
            return Some(answer::not_for_requests());
        }
        if open.block_size.get() > config.max_block {
            return Some(answer::block_too_large());
        }
        let often = self.rate.objection(now, config.opens(), from, known);
        if let Some(busy) = often.or_else(|| self.census.objection(config, from, streams)) {
            return Some(busy.to_error());
        }
        if expected {
            self.expected.remove(from, &open.sid);
        }
        self.rate.enter(now, from, request);
        None
    }

    /// A stream that `peer` opened exists now, and waits for the owner.
    pub(crate) fn on_incoming(&mut self, peer: &Address) {
        self.census.pending += 1;
        let of_peer = self.census.peers.entry(peer.to_bare()).or_default();
        of_peer.streams += 1;
        of_peer.pending += 1;
    }

    /// It no longer waits: accepted, refused or ended.
    pub(crate) fn on_decided(&mut self, peer: &Address) {
        self.census.pending -= 1;
        if let Some(of_peer) = self.census.peers.get_mut(&peer.to_bare()) {
            of_peer.pending -= 1;
        }
    }

    /// It does not exist any more.
    pub(crate) fn on_gone(&mut self, peer: &Address) {
        let bare = peer.to_bare();
        if let Some(of_peer) = self.census.peers.get_mut(&bare) {
            of_peer.streams -= 1;
            if of_peer.streams == 0 {
                self.census.peers.remove(&bare);
            }
        }
    }

    /// Entries that streams have left behind.
    #[cfg(test)]
    pub(crate) fn leftovers(&self) -> usize {
        self.census.pending + self.census.peers.len()
    }
}

/// The streams that peers opened, counted as they come and go: an open costs the same however many there are.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
struct Census {
    pending: usize,
    /// By bare address.
    peers: BTreeMap<Bare, OfPeer>,
}

#[derive(Clone, Copy, Debug, Default)]
struct OfPeer {
    streams: usize,
    pending: usize,
}

impl Census {
    /// The limit that one more stream of this peer would break.
    fn objection(&self, config: &Config, from: &Address, streams: usize) -> Option<Busy> {
        let of_peer = self.peers.get(&from.to_bare()).copied();
        let of_peer = of_peer.unwrap_or_default();
        let limits = [
            (
                of_peer.streams,
                config.max_streams_per_peer,
                Limit::StreamsPerPeer,
            ),
            (streams, config.max_streams, Limit::Streams),
            (
                of_peer.pending,
                config.max_pending_per_peer,
                Limit::PendingPerPeer,
            ),
            (self.pending, config.max_pending, Limit::Pending),
        ];
        let broken = limits.into_iter().find(|(there, most, _)| there >= most);
        broken.map(|(_, most, limit)| busy(limit, most, TRY_AGAIN))
    }
}

/// Announced streams, found by name and forgotten by age.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
struct Expected {
    ages: BTreeMap<(Address, Sid), u64>,
    names: BTreeMap<u64, (Address, Sid)>,
    next: u64,
}

impl Expected {
    fn insert(&mut self, peer: Address, sid: Sid) {
        self.remove(&peer, &sid);
        self.ages.insert((peer.clone(), sid.clone()), self.next);
        self.names.insert(self.next, (peer, sid));
        self.next += 1;
        if self.names.len() > MAX_EXPECTED
            && let Some((_, name)) = self.names.pop_first()
        {
            self.ages.remove(&name);
        }
    }

    fn contains(&self, peer: &Address, sid: &Sid) -> bool {
        self.ages.contains_key(&(peer.clone(), sid.clone()))
    }

    fn remove(&mut self, peer: &Address, sid: &Sid) {
        if let Some(age) = self.ages.remove(&(peer.clone(), sid.clone())) {
            self.names.remove(&age);
        }
    }
}
