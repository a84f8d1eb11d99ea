//! How long keys serve.

use std::time::Instant;

use super::{Deadline, Direction, Phase, Session};
use crate::Mode;
use crate::event::Event;

/// What the present keys have done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Keys {
    /// Since when they serve; `None` before the session is open.
    since: Option<Instant>,
    /// Bytes of ciphertext in both directions.
    bytes: u64,
    /// The owner has been told that they are old.
    told: bool,
}

impl Keys {
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }
}

impl Session {
    /// Renews the keys of both directions with the next write (KeyUpdate), and counts anew.
    ///
    /// It protects what was said from whoever finds the new keys; unlike a new session it does not lock out somebody who
    /// has the old ones.
    pub fn refresh_keys(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Open { .. }) {
            self.tls.refresh_keys();
            self.keys = Keys {
                since: Some(now),
                ..Keys::default()
            };
        }
    }

    /// The keys serve from here.
    pub(super) fn keyed(&mut self, now: Instant) {
        self.keys.since.get_or_insert(now);
        self.probe.begin(now);
    }

    pub(super) fn count(&mut self, wire: usize) {
        self.keys.bytes = self.keys.bytes.saturating_add(wire as u64);
        if self.keys.bytes >= self.config.key_bytes {
            self.age(None);
        }
    }

    pub(super) fn keys_deadline(&self) -> Option<Deadline> {
        let due = !self.keys.told && self.writing != Direction::Ended;
        let since = self.keys.since.filter(|_| due)?;
        let at = since.checked_add(self.config.key_age)?;
        Some(Deadline { at, why: "keys" })
    }

    /// The keys are old.
    pub(super) fn age(&mut self, now: Option<Instant>) {
        if self.keys.told
            || self.writing == Direction::Ended
            || !matches!(self.phase, Phase::Open { .. })
        {
            return;
        }
        match self.binding.service.mode() {
            Mode::Bytes => {
                self.tls.refresh_keys();
                self.keys = Keys {
                    since: now.or(self.keys.since),
                    ..Keys::default()
                };
            }
            Mode::Stanzas => {
                self.keys.told = true;
                self.events.push_back(Event::KeysOld);
            }
        }
    }
}
