//! Signs of life of a session that holds its peer back: without them a reader who is slow could not be told from one who
//! is gone, because the server can answer in its name, or not answer.

use std::time::{Duration, Instant};

use super::{Deadline, Direction, Phase, Session};
use crate::Mode;

/// How often a reader of stanzas shows that it lives: well within the minute that a bytestream waits for an answer.
const STANZAS: Duration = Duration::from_secs(25);
/// How often a reader of bytes does.
const BYTES: Duration = Duration::from_secs(240);
/// How often it does so without a byte of data in between: rustls takes 32 KeyUpdates and then takes them for an attack.
const IN_A_ROW: u8 = 30;

/// What was shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Signs {
    /// The last time.
    at: Option<Instant>,
    /// How often without data in between.
    in_a_row: u8,
}

impl Signs {
    /// The peer was read.
    pub(super) fn read(&mut self) {
        self.at = None;
    }

    /// Data has gone out.
    pub(super) fn wrote(&mut self) {
        self.in_a_row = 0;
    }
}

impl Session {
    /// Whether the peer waits for our application: what it sends stays in the transport.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        let open = matches!(self.phase, Phase::Open { confirmed: true });
        let reading = !self.gone && self.last.is_none() && !self.tls.peer_closed();
        open && reading && !self.wants_wire()
    }

    /// A peer that knows the letter only would not know what it is for.
    fn shows_life(&self) -> bool {
        let often = self.binding.service.mode() == Mode::Bytes && self.signs.in_a_row >= IN_A_ROW;
        self.holds_back() && self.writing != Direction::Ended && self.is_bound() && !often
    }

    pub(super) fn sign_deadline(&self) -> Option<Deadline> {
        if !self.shows_life() {
            return None;
        }
        let often = match self.binding.service.mode() {
            Mode::Stanzas => STANZAS,
            Mode::Bytes => BYTES,
        };
        let last = self.signs.at.or_else(|| self.heard())?;
        let at = last.checked_add(often)?;
        Some(Deadline {
            at,
            why: "sign of life",
        })
    }

    /// Shows that we live: white space, which means nothing between stanzas; among bytes, which all mean something, new
    /// keys. While something of ours waits for the transport, that is as good, and nothing is added to it.
    pub(super) fn sign_now(&mut self, now: Instant) {
        self.signs.at = Some(now);
        if self.tls.wire_pending() > 0 {
            return;
        }
        match self.binding.service.mode() {
            Mode::Stanzas => {
                let mut space = vec![b' '];
                self.pad(&mut space);
                // There is room, and a connection that is over needs no sign.
                let _ = self.tls.write(&space);
            }
            Mode::Bytes => {
                self.signs.in_a_row = self.signs.in_a_row.saturating_add(1);
                self.tls.show_life();
            }
        }
    }
}
