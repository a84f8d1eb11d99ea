//! Phases: from the handshake over the verdict to the end.

use std::time::Instant;

use tracing::debug;
use xtls_tls::trust::Doubt;
use xtls_tls::{Fingerprint, Role, Standing, TlsError};

use super::{Deadline, Direction, Phase, Session};
use crate::Mode;
use crate::event::{By, Close, Event, Introduction, Peer, Why};

impl Session {
    /// Follows what TLS has reached. One piece of wire may hold the end of the handshake, data and a fault, so each is
    /// looked at in that order: the same wire means the same in any cutting.
    pub(super) fn advance(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Handshaking { .. }) {
            self.meet(now);
        }
        if matches!(self.phase, Phase::Open { .. }) {
            self.keyed(now);
        }
        self.sift();
        let sign = match self.binding.service.mode() {
            Mode::Stanzas => self.accepted,
            Mode::Bytes => !self.plain.is_empty(),
        };
        if matches!(self.phase, Phase::Open { confirmed: false }) && sign {
            self.confirm();
        }
        if self.tls.peer_closed() {
            self.first.get_or_insert(By::Peer);
            if matches!(self.phase, Phase::Judging { .. }) {
                self.verification_ends();
            }
            if self.is_unconfirmed() && self.is_bound() {
                self.end(By::Peer, Why::Unconfirmed);
            }
        }
        if self.binding.service.mode() == Mode::Bytes
            && matches!(self.phase, Phase::Open { confirmed: true })
            && !self.plain.is_empty()
            && self.events.back() != Some(&Event::Readable)
        {
            self.events.push_back(Event::Readable);
        }
        if let Some(error) = self.tls.failure() {
            let error = error.clone();
            let alert = matches!(error, TlsError::Alert(_));
            let by = if alert { By::Peer } else { By::Us };
            self.last_words_by = now.checked_add(self.config.close);
            self.end_after_reading(by, Why::Tls(error));
        }
    }

    /// The peer has proven its key, if it has.
    fn meet(&mut self, now: Instant) {
        let Some(peer) = self.tls.peer() else { return };
        let (standing, fingerprint) = (peer.standing, peer.fingerprint);
        self.settle_service();
        // rustls accepts a handshake in which no name was selected, and an owner may have forgotten to require it.
        if self.binding.service.mode() == Mode::Bytes && !self.is_bound() {
            self.end(By::Us, Why::Tls(TlsError::Alpn));
            self.gone = true;
            return;
        }
        match standing {
            Standing::Pinned(_) => self.open(),
            Standing::New if planted!("verdict-skipped") => self.open(),
            Standing::New => self.introduce(now, fingerprint, None),
            Standing::Doubted(doubt) => self.introduce(now, fingerprint, Some(doubt)),
        }
    }

    fn introduce(&mut self, now: Instant, fingerprint: Fingerprint, doubt: Option<Doubt>) {
        self.phase = Phase::Judging {
            until: now.checked_add(self.config.judging),
            doubted: doubt.is_some(),
        };
        self.events.push_back(Event::Judge(Introduction {
            peer: self.binding.peer.clone(),
            fingerprint,
            doubt,
        }));
    }

    /// Of the services that we take, the peer has named one; a peer that knows the letter only gets stanzas.
    fn settle_service(&mut self) {
        let also = std::mem::take(&mut self.also);
        if self.is_bound() {
            return;
        }
        let alpn = self.tls.alpn();
        let named = also.into_iter().find(|service| match alpn {
            Some(name) => name == self.binding.alpn_of(service),
            None => self.binding.service.mode() == Mode::Bytes && service.mode() == Mode::Stanzas,
        });
        if let Some(service) = named {
            self.binding.service = service;
        }
    }

    /// Our own verdict is given.
    pub(super) fn open(&mut self) {
        match self.binding.role {
            Role::Server => {
                // The confirmation: one space, legal between stanzas, after our verdict on the client and never before.
                // A connection that has failed meanwhile takes none, and the failure is what counts then.
                let confirmation: &[u8] = if planted!("confirmation-skipped") {
                    b""
                } else {
                    b" "
                };
                if self.tls.write(confirmation).is_err() && self.tls.failure().is_none() {
                    self.end(By::Us, Why::Aborted);
                    return;
                }
                self.phase = Phase::Open { confirmed: true };
                self.establish();
            }
            Role::Client => {
                self.phase = Phase::Open { confirmed: false };
                self.events.push_back(Event::Ready);
                if planted!("confirmed-by-itself") {
                    self.confirm();
                }
            }
        }
    }

    /// The first application byte has come: the responder has accepted our key.
    fn confirm(&mut self) {
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
        if self.binding.service.mode() == Mode::Bytes {
            self.unconfirmed = 0;
        }
        self.establish();
    }

    fn establish(&mut self) {
        let Some(key) = self.tls.peer().cloned() else {
            return;
        };
        let bound = self.is_bound();
        let address = self.binding.peer.clone();
        let peer = Peer {
            address,
            key,
            bound,
            service: self.binding.service.clone(),
        };
        self.events.push_back(Event::Established(peer));
    }

    /// Whether both ends have named exactly this context.
    pub(super) fn is_bound(&self) -> bool {
        self.tls
            .alpn()
            .is_some_and(|name| name == self.binding.alpn())
    }

    /// Whether the responder has given no sign yet that it accepts us.
    fn is_unconfirmed(&self) -> bool {
        let awaited = match self.phase {
            Phase::Judging { .. } => match self.binding.service.mode() {
                Mode::Stanzas => !self.accepted,
                Mode::Bytes => self.plain.is_empty(),
            },
            Phase::Open { confirmed } => !confirmed,
            Phase::Handshaking { .. } | Phase::Ending(_) | Phase::Closed => false,
        };
        awaited && self.binding.role == Role::Client
    }

    /// When the responder should have said that it accepts us.
    pub(super) fn confirm_deadline(&self) -> Option<Deadline> {
        let awaited = matches!(self.phase, Phase::Open { confirmed: false }) && self.is_bound();
        let since = self.keys.since().filter(|_| awaited)?;
        if self.verification.until.is_some() {
            return None;
        }
        let at = since.checked_add(self.config.confirming)?;
        Some(Deadline {
            at,
            why: "confirmation",
        })
    }

    /// Whether our close_notify has been handed to the transport, and so everything before it.
    pub(super) fn is_flushed(&self) -> bool {
        self.writing == Direction::Ended && self.tls.wire_pending() == 0
    }

    /// Ends the session once both directions have ended, or there is nothing left to read before a decided end.
    pub(super) fn settle(&mut self) {
        if !matches!(self.phase, Phase::Open { .. }) || self.reading != Direction::Ended {
            return;
        }
        if let Some((by, why)) = self.take_last() {
            self.end(by, why);
        } else if self.is_flushed() {
            self.end(self.first.unwrap_or(By::Us), Why::Finished);
        }
    }

    /// An end that must not swallow what was received, and authenticated, before it.
    ///
    /// What waits for a verdict is worth keeping only when it is whole.
    pub(super) fn end_after_reading(&mut self, by: By, why: Why) {
        let keep = match self.phase {
            Phase::Open { .. } => true,
            Phase::Judging { .. } => self.tls.peer_closed(),
            Phase::Handshaking { .. } | Phase::Ending(_) | Phase::Closed => false,
        };
        if keep {
            self.last.get_or_insert_with(|| Box::new((by, why)));
        } else {
            self.end(by, why);
        }
    }

    pub(super) fn take_last(&mut self) -> Option<(By, Why)> {
        self.last.take().map(|last| *last)
    }

    /// Decides the end. Only alerts go out after it, of TLS about its own failure and of an owner who turns the peer away:
    /// contents that break a rule earn none, and a close_notify, even one that was queued before, would claim that all was well.
    pub(super) fn end(&mut self, by: By, why: Why) {
        if matches!(self.phase, Phase::Ending(_) | Phase::Closed) {
            return;
        }
        self.gone |= !matches!(why, Why::Tls(_) | Why::Refused | Why::Untrusted(_));
        let clean = self.reading != Direction::Open;
        // A peer that has finished had nothing more to say.
        let why = if clean && why == Why::Truncated {
            Why::Unfinished
        } else {
            why
        };
        let (unconfirmed, receipt) = (self.unconfirmed, self.receipt());
        debug!(?by, clean, "session ends");
        self.verification_is_cut();
        self.phase = Phase::Ending(Box::new(Close {
            by,
            why,
            clean,
            unconfirmed,
            receipt,
        }));
        self.close_by = None;
        self.events
            .retain(|event| !matches!(event, Event::Judge(_) | Event::Readable));
    }
}
