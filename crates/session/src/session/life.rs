//! Phases: from the handshake over the verdict to the end.

use std::time::Instant;

use xtls_tls::{Role, Standing, TlsError};

use super::{Direction, Phase, Session};
use crate::Mode;
use crate::event::{By, Close, Event, Introduction, Peer, Why};

impl Session {
    /// Follows what TLS has reached.
    pub(super) fn advance(&mut self, now: Instant) {
        if let Some(error) = self.tls.failure() {
            let error = error.clone();
            let by = if matches!(error, TlsError::Alert(_)) {
                By::Peer
            } else {
                By::Us
            };
            self.end_after_reading(by, Why::Tls(error));
            return;
        }
        if matches!(self.phase, Phase::Handshaking { .. })
            && let Some(peer) = self.tls.peer()
        {
            match peer.standing {
                Standing::Pinned(_) => self.open(),
                Standing::New => {
                    let fingerprint = peer.fingerprint;
                    self.phase = Phase::Judging {
                        until: now + self.config.judging,
                    };
                    let peer = self.binding.peer.clone();
                    self.events
                        .push_back(Event::Judge(Introduction { peer, fingerprint }));
                }
            }
        }
        if matches!(self.phase, Phase::Open { confirmed: false }) && !self.plain.is_empty() {
            self.confirm();
        }
        if self.tls.peer_closed() {
            self.first.get_or_insert(By::Peer);
        }
        if self.binding.service.mode() == Mode::Bytes
            && matches!(self.phase, Phase::Open { confirmed: true })
            && !self.plain.is_empty()
            && self.events.back() != Some(&Event::Readable)
        {
            self.events.push_back(Event::Readable);
        }
    }

    /// Our own verdict is given.
    pub(super) fn open(&mut self) {
        match self.binding.role {
            Role::Server => {
                // The confirmation: one space, legal between stanzas, after our verdict on the client and never before.
                if self.tls.write(b" ").is_err() {
                    self.end(By::Us, Why::Aborted);
                    return;
                }
                self.phase = Phase::Open { confirmed: true };
                self.establish();
            }
            Role::Client => {
                self.phase = Phase::Open { confirmed: false };
                self.events.push_back(Event::Ready);
            }
        }
    }

    /// The first application byte has come: the responder has accepted our key.
    pub(super) fn confirm(&mut self) {
        if self.binding.service.mode() == Mode::Bytes {
            match self.plain.first() {
                Some(b' ') => drop(self.plain.split_to(1)),
                Some(&other) => {
                    self.end(By::Us, Why::Confirmation(other));
                    return;
                }
                None => return,
            }
        }
        self.phase = Phase::Open { confirmed: true };
        self.unconfirmed = 0;
        self.establish();
    }

    pub(super) fn establish(&mut self) {
        let Some(key) = self.tls.peer().cloned() else {
            return;
        };
        let bound = self.tls.alpn().is_some();
        let address = self.binding.peer.clone();
        self.events.push_back(Event::Established(Peer {
            address,
            key,
            bound,
        }));
    }

    /// Ends the session once both directions have ended.
    pub(super) fn settle(&mut self) {
        if matches!(self.phase, Phase::Open { .. })
            && self.reading == Direction::Ended
            && self.writing == Direction::Ended
        {
            self.end(self.first.unwrap_or(By::Us), Why::Finished);
        }
    }

    /// An end that must not swallow what was received, and authenticated, before it.
    pub(super) fn end_after_reading(&mut self, by: By, why: Why) {
        if matches!(self.phase, Phase::Open { confirmed: true }) && self.reading == Direction::Open
        {
            self.last.get_or_insert((by, why));
        } else {
            self.end(by, why);
        }
    }

    pub(super) fn end(&mut self, by: By, why: Why) {
        if matches!(self.phase, Phase::Ending(_) | Phase::Closed) {
            return;
        }
        let clean = self.reading == Direction::Ended;
        let close = Close {
            by,
            why,
            clean,
            unconfirmed: self.unconfirmed,
        };
        self.phase = Phase::Ending(close);
        self.events
            .retain(|event| !matches!(event, Event::Judge(_) | Event::Readable));
    }
}
