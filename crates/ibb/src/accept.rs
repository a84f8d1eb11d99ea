//! Who may ask for a stream, and how often. Whether the answer is yes is the owner's decision.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use xtls_stanza::busy::{Busy, Limit};
use xtls_stanza::ibb::{Carrier, Open, Sid};
use xtls_stanza::{Address, Bare, StanzaError};

use crate::config::Config;
use crate::error::answer;
use crate::rate::{Rate, busy};

/// Whose opens are brought to the owner: at first nobody's. All others are answered
/// `service-unavailable`, as by somebody who does not know bytestreams at all, and leave no trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Allow {
    /// Everybody's: the owner judges each one.
    Anybody,
    /// Those of these bare addresses.
    Only(BTreeSet<Bare>),
    /// Nobody's, but for what was announced with [`Mux::expect`](crate::Mux::expect).
    #[default]
    Expected,
}

/// After how many seconds it is worth trying again where too many things are there at a time: nobody knows when one ends.
pub const TRY_AGAIN: u32 = 10;

/// Announced streams that are remembered; the oldest announcement makes room.
const MAX_EXPECTED: usize = 256;

/// How many streams there are at the moment of an open.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    pub(crate) streams: usize,
    /// Of these, opened by resources of the asking bare address.
    pub(crate) of_peer: usize,
    pub(crate) pending: usize,
    pub(crate) pending_of_peer: usize,
}

impl Census {
    /// The limit that one more stream of a peer would break.
    fn objection(self, config: &Config) -> Option<Busy> {
        let limits = [
            (
                self.of_peer,
                config.max_streams_per_peer,
                Limit::StreamsPerPeer,
            ),
            (self.streams, config.max_streams, Limit::Streams),
            (
                self.pending_of_peer,
                config.max_pending_per_peer,
                Limit::PendingPerPeer,
            ),
            (self.pending, config.max_pending, Limit::Pending),
        ];
        let broken = limits.into_iter().find(|(there, most, _)| there >= most);
        broken.map(|(_, most, limit)| busy(limit, most, TRY_AGAIN))
    }
}

#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Door {
    pub(crate) allow: Allow,
    expected: VecDeque<(Address, Sid)>,
    pub(crate) rate: Rate,
}

impl Door {
    pub(crate) fn expect(&mut self, peer: Address, sid: Sid) {
        self.expected.push_back((peer, sid));
        if self.expected.len() > MAX_EXPECTED {
            self.expected.pop_front();
        }
    }

    /// Whether any open of this address comes to the owner.
    pub(crate) fn allows(&self, from: &Address) -> bool {
        match &self.allow {
            Allow::Anybody => true,
            Allow::Only(list) => list.contains(&from.to_bare()),
            Allow::Expected => false,
        }
    }

    /// What the open is answered, if it does not come to the owner.
    pub(crate) fn objection(
        &mut self,
        now: Instant,
        config: &Config,
        from: &Address,
        known: bool,
        request: &str,
        open: &Open,
        census: Census,
    ) -> Option<StanzaError> {
        let expected = self
            .expected
            .iter()
            .position(|(peer, sid)| peer == from && *sid == open.sid);
        if !self.allows(from) && expected.is_none() {
            return Some(answer::stranger());
        }
        if open.carrier == Carrier::Message && !config.messages {
            return Some(answer::not_for_requests());
        }
        if open.block_size.get() > config.max_block {
            return Some(answer::block_too_large());
        }
        let often = self.rate.objection(now, config.opens(), from, known);
        if let Some(busy) = often.or_else(|| census.objection(config)) {
            return Some(busy.to_error());
        }
        if let Some(at) = expected {
            self.expected.remove(at);
        }
        self.rate.enter(now, from, request);
        None
    }
}
