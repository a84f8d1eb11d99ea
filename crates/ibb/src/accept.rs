//! Who may ask for a stream, and how often. Whether the answer is yes is the owner's decision.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use xtls_stanza::ibb::{Carrier, Open, Sid};
use xtls_stanza::{Address, StanzaError};

use crate::config::Config;
use crate::error::answer;

/// Whose opens are brought to the owner: at first nobody's. All others are answered
/// `service-unavailable`, as by somebody who does not know bytestreams at all, and leave no trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Allow {
    /// Everybody's: the owner judges each one.
    Anybody,
    /// Those of these bare addresses.
    Only(BTreeSet<Address>),
    /// Nobody's, but for what was announced with [`Mux::expect`](crate::Mux::expect).
    #[default]
    Expected,
}

const MINUTE: Duration = Duration::from_secs(60);
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

#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Door {
    pub(crate) allow: Allow,
    expected: VecDeque<(Address, Sid)>,
    /// Opens of the last minute that came to the owner, with the ids of their requests; as many as the config allows in
    /// all.
    recent: VecDeque<(Instant, Address, String)>,
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

    /// Whether this very request came before. Who resumes a link sends some stanzas again (XEP-0198), and an open that
    /// was refused or closed meanwhile must not begin anew.
    pub(crate) fn is_repeated(&self, from: &Address, request: &str) -> bool {
        let mut recent = self.recent.iter();
        recent.any(|(_, peer, id)| peer == from && id == request)
    }

    /// What the open is answered, if it does not come to the owner.
    pub(crate) fn objection(
        &mut self,
        now: Instant,
        config: &Config,
        from: &Address,
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
        while self
            .recent
            .front()
            .is_some_and(|(at, ..)| *at + MINUTE <= now)
        {
            self.recent.pop_front();
        }
        let of_peer = self
            .recent
            .iter()
            .filter(|(_, peer, _)| peer.same_bare(from))
            .count();
        if self.recent.len() >= config.opens_per_minute_in_all
            || of_peer >= config.opens_per_minute
            || census.streams >= config.max_streams
            || census.of_peer >= config.max_streams_per_peer
            || census.pending >= config.max_pending
            || census.pending_of_peer >= config.max_pending_per_peer
        {
            return Some(answer::too_many());
        }
        if let Some(at) = expected {
            self.expected.remove(at);
        }
        self.recent
            .push_back((now, from.clone(), request.to_owned()));
        None
    }
}
