//! What the driver does with the pins: verdicts, first meetings, verifications.

use xtls_session::{Peer, Verdict, Verify};
use xtls_stanza::verify::Reason;
use xtls_tls::trust::Level;
use xtls_tls::{Fingerprint, Standing};

use super::{Driver, TunnelId, Uplink, What, now};
use crate::client::JudgeError;
use crate::router::Gone;
use crate::unix_now;

impl<U: Uplink> Driver<U> {
    /// Writes the pin first and opens then: what was accepted survives a crash.
    pub(super) fn judge(
        &mut self,
        id: TunnelId,
        key: Fingerprint,
        verdict: Verdict,
    ) -> Result<(), JudgeError> {
        let handle = self.handles.0.get(&id).ok_or(Gone)?;
        // A key whose tunnel has ended meanwhile must not be pinned.
        self.router.awaits_verdict(id, key)?;
        if verdict == Verdict::Accept {
            if let Err(error) = self.pins.pin_first_use(handle.peer.bare(), key) {
                self.router.judge(now(), id, key, Verdict::Refuse)?;
                return Err(error.into());
            }
            self.router.set_trust(self.pins.store());
        }
        Ok(self.router.judge(now(), id, key, verdict)?)
    }

    pub(super) fn pin_on_first_use(&mut self, id: TunnelId, key: Fingerprint) {
        match self.judge(id, key, Verdict::Accept) {
            Err(JudgeError::Pins(error)) => self.pass(id, What::NotPinned(error.to_string())),
            // It has ended meanwhile.
            Ok(()) | Err(JudgeError::Stale(_)) => {}
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
            // A run that has ended meanwhile is not counted, and whatever is said to it is void.
            Verify::Due { run, tag, .. } => match self.pins.attempt(&bare, *tag) {
                Ok(_) => self.router.verify_go(now(), id, *run).is_ok(),
                Err(error) => {
                    self.pass(id, What::NotVerified(error.to_string()));
                    let _ = self.router.verify_cancel(now(), id, *run, Reason::Locked);
                    false
                }
            },
            Verify::Done { method, key, .. } => {
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
                let _ = self.router.judge(now(), id, *key, verdict);
                verdict == Verdict::Accept
            }
            Verify::Asked { .. } | Verify::Compare { .. } | Verify::Failed { .. } => true,
        }
    }
}

/// A day in seconds.
const DAY: i64 = 86_400;
