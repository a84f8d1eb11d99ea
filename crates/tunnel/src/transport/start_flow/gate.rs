//! How many flows there are, and how often peers may ask for one.

use std::time::Instant;

use xtls_ibb::{Opens, Rate, TRY_AGAIN};
use xtls_stanza::Address;
use xtls_stanza::busy::{Busy, Limit};

#[derive(Debug)]
pub(super) struct Gate {
    opens: Opens,
    rate: Rate,
}

impl Gate {
    pub(super) fn new(opens: Opens) -> Self {
        let rate = Rate::default();
        Self { opens, rate }
    }

    /// The limit that one more start of a peer would break.
    pub(super) fn objection(
        &mut self,
        now: Instant,
        from: &Address,
        known: bool,
        flows: usize,
    ) -> Option<Busy> {
        let full = || Busy {
            limit: Limit::Streams,
            most: u32::try_from(FLOWS).unwrap_or(u32::MAX),
            wait: TRY_AGAIN,
        };
        let often = self.rate.objection(now, self.opens, from, known);
        often.or_else(|| (flows >= FLOWS).then(full))
    }

    /// Counts a start that comes to the router.
    pub(super) fn enter(&mut self, now: Instant, from: &Address, request: &str) {
        self.rate.enter(now, from, request);
    }
}

/// Most flows at a time.
pub(super) const FLOWS: usize = 64;
