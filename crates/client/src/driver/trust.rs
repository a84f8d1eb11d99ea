//! What the driver does with the pins: verdicts, first meetings, verifications.

use xtls_session::{Peer, Verdict, Verify};
use xtls_stanza::verify::Reason;
use xtls_tls::Standing;
use xtls_tls::trust::Level;

use super::{Driver, TunnelId, Uplink, What, now};
use crate::pins::PinsError;
use crate::unix_now;

impl<U: Uplink> Driver<U> {
    /// Writes the pin first and opens then: what was accepted survives a crash.
    pub(super) fn judge(&mut self, id: TunnelId, verdict: Verdict) -> Result<(), PinsError> {
        let introduction = self
            .handles
            .0
            .get_mut(&id)
            .and_then(|h| h.introduction.take());
        if verdict == Verdict::Accept
            && let Some(introduction) = introduction
        {
            let pinned = self
                .pins
                .pin_first_use(introduction.peer.bare(), introduction.fingerprint);
            if let Err(error) = pinned {
                self.router.judge(now(), id, Verdict::Refuse);
                return Err(error);
            }
            self.router.set_trust(self.pins.store());
        }
        self.router.judge(now(), id, verdict);
        Ok(())
    }

    pub(super) fn pin_on_first_use(&mut self, id: TunnelId) {
        if let Err(error) = self.judge(id, Verdict::Accept) {
            self.pass(id, What::NotPinned(error.to_string()));
        }
    }

    /// Another process may have pinned or forgotten a key.
    pub(super) fn refresh_pins(&mut self) {
        match self.pins.refresh() {
            Ok(true) => self.router.set_trust(self.pins.store()),
            Ok(false) => {}
            // The last good pins stand: a store that cannot be read is never an empty one.
            Err(error) => tracing::error!(%error, "the pin store cannot be read"),
        }
    }

    /// Notes the day on which a known key was met.
    pub(super) fn met(&mut self, peer: &Peer) {
        let known = match peer.key.standing {
            Standing::Pinned(Level::FirstUse | Level::Verified(_)) => true,
            Standing::Pinned(_) | Standing::New => false,
        };
        let (bare, key) = (peer.address.bare(), peer.key.fingerprint);
        let day = |seconds: i64| seconds.div_euclid(DAY);
        let noted = self
            .pins
            .store()
            .of(bare)
            .iter()
            .any(|pin| pin.fingerprint == key && day(pin.last_seen) >= day(unix_now()));
        if known && !noted {
            let touched = self
                .pins
                .change(|store, now| Ok(store.touch(bare, &key, now)));
            if let Err(error) = touched {
                tracing::warn!(%error, "the day of a meeting is not noted");
            }
        }
    }

    /// Counts an attempt before it is made, and stores what a verification came to. Says whether the owner is to hear of it.
    pub(super) fn on_verify(&mut self, id: TunnelId, verify: &Verify) -> bool {
        let Some(handle) = self.handles.0.get(&id) else {
            return false;
        };
        let bare = handle.peer.bare().to_owned();
        match verify {
            Verify::Due { tag, .. } => match self.pins.attempt(&bare, *tag) {
                Ok(_) => {
                    self.router.verify_go(now(), id);
                    true
                }
                Err(error) => {
                    self.pass(id, What::NotVerified(error.to_string()));
                    self.router.verify_cancel(now(), id, Reason::Locked);
                    false
                }
            },
            Verify::Done { method, key } => {
                let stored = self.pins.verified(&bare, *key, (*method).into());
                let verdict = match stored {
                    Ok(()) => {
                        self.router.set_trust(self.pins.store());
                        Verdict::Accept
                    }
                    Err(error) => {
                        self.pass(id, What::NotVerified(error.to_string()));
                        Verdict::Refuse
                    }
                };
                // A key that waited for a verdict has it now: it is pinned as verified already.
                let waiting = self.handles.0.get_mut(&id);
                if waiting
                    .and_then(|handle| handle.introduction.take())
                    .is_some()
                {
                    self.router.judge(now(), id, verdict);
                }
                verdict == Verdict::Accept
            }
            Verify::Asked(_) | Verify::Compare(_) | Verify::Failed { .. } => true,
        }
    }
}

/// A day in seconds.
const DAY: i64 = 86_400;
