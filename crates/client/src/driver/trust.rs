//! What the driver does with the pins: verdicts, first meetings, verifications; and that the router judges by them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use xtls_session::{Peer, Verdict, Verify};
use xtls_stanza::verify::Reason;
use xtls_tls::trust::{Doubt, Level, Store, TrustError};
use xtls_tls::{Fingerprint, Standing};

use super::{Driver, TunnelId, Uplink, What, now};
use crate::client::JudgeError;
use xtls_keys::unix_now;
use xtls_keys::{Meeting, Pins, PinsError};
use xtls_tunnel::router::Gone;

/// The pins, and what the router was given of them. Nothing else in the driver can touch either.
pub(crate) struct Trust {
    pins: Pins,
    given: Arc<Store>,
    /// When the file was looked at last.
    looked: Option<Instant>,
    /// It was looked at since anything was waited for.
    fresh: bool,
    /// Keys that wait to be pinned on first use.
    first: Vec<(TunnelId, Fingerprint)>,
    /// Known keys that were met today for the first time.
    met: Vec<Meeting>,
}

impl Trust {
    /// The router judges by these pins already.
    pub(crate) fn new(pins: Pins) -> Self {
        Self {
            given: pins.store(),
            pins,
            looked: None,
            fresh: false,
            first: Vec::new(),
            met: Vec::new(),
        }
    }

    /// Something was waited for: others may have changed the file.
    pub(super) fn time_has_passed(&mut self) {
        self.fresh = false;
    }
}

impl<U: Uplink> Driver<U> {
    /// The only way to the pins. Whatever was done, and whatever another process did that was found on the way, the router
    /// judges by it afterwards.
    fn with_pins<T>(&mut self, call: impl FnOnce(&mut Pins) -> T) -> T {
        let done = call(&mut self.trust.pins);
        let store = self.trust.pins.store();
        if !Arc::ptr_eq(&store, &self.trust.given) {
            self.trust.given = Arc::clone(&store);
            self.router.set_trust(now(), store);
        }
        done
    }

    /// Another process may have pinned, revoked or forgotten a key.
    pub(super) fn refresh_pins(&mut self) {
        self.trust.looked = Some(now());
        if let Err(error) = self.with_pins(Pins::refresh) {
            // The last good pins stand: a store that cannot be read is never an empty one.
            tracing::error!(%error, "the pin store cannot be read");
        }
    }

    /// Looks at the file before a session begins (`begins`), and while anybody is being met: once for all that has come at
    /// the same time.
    pub(super) fn look_at_pins(&mut self, begins: bool) {
        if !self.trust.fresh && (begins || self.router.is_meeting()) {
            self.trust.fresh = true;
            self.refresh_pins();
        }
    }

    /// Looks at the file now and then while anybody is talked to.
    pub(super) fn watch_pins(&mut self) {
        if self.next_look().is_some_and(|at| at <= now()) {
            self.refresh_pins();
        }
    }

    /// When the file has to be looked at, though nothing happens.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let watched = self.trust.pins.is_shared() && !self.handles.0.is_empty();
        let looked = self.trust.looked.filter(|_| watched);
        match looked {
            Some(looked) => looked.checked_add(WATCH),
            None => watched.then(now),
        }
    }

    /// Writes the pin first and opens then: what was accepted survives a crash.
    pub(super) fn judge(
        &mut self,
        id: TunnelId,
        key: Fingerprint,
        verdict: Verdict,
    ) -> Result<(), JudgeError> {
        let handle = self.handles.0.get(&id).ok_or(Gone)?;
        let bare = handle.peer.bare().to_owned();
        // A key whose tunnel has ended meanwhile must not be pinned.
        self.router.awaits_verdict(id, key, verdict)?;
        if verdict == Verdict::Accept
            && let Err(error) = self.with_pins(|pins| pins.pin_first_use(&bare, key))
        {
            let _ = self.router.judge(now(), id, key, Verdict::Refuse);
            return Err(error.into());
        }
        Ok(self.router.judge(now(), id, key, verdict)?)
    }

    pub(super) fn pin_on_first_use(&mut self, id: TunnelId, key: Fingerprint) {
        self.trust.first.push((id, key));
    }

    /// Writes what has gathered, all at once; says whether anything may have come of it.
    pub(super) fn write_pins(&mut self) -> bool {
        let first = std::mem::take(&mut self.trust.first);
        let met = std::mem::take(&mut self.trust.met);
        if first.is_empty() && met.is_empty() {
            return false;
        }
        let alive = first.into_iter().filter_map(|(id, key)| {
            let bare = self.handles.0.get(&id)?.peer.bare().to_owned();
            let accept = Verdict::Accept;
            self.router.awaits_verdict(id, key, accept).ok()?;
            Some((id, Meeting { bare, key }))
        });
        let (ids, first): (Vec<_>, Vec<_>) = alive.unzip();
        let written = self.with_pins(|pins| pins.meet(&first, &met));
        let results = match written {
            Ok(results) => results,
            Err(error) => {
                let why = error.to_string();
                tracing::warn!(why, "pins are not written");
                first.iter().map(|_| Err(why.clone())).collect()
            }
        };
        for ((id, meeting), result) in ids.into_iter().zip(first).zip(results) {
            let verdict = match result {
                Ok(()) => Verdict::Accept,
                Err(why) => {
                    self.pass(id, What::NotPinned(why));
                    Verdict::Refuse
                }
            };
            // It may have ended meanwhile.
            let _ = self.router.judge(now(), id, meeting.key, verdict);
        }
        true
    }

    /// Notes the day on which a known key was met.
    pub(super) fn met(&mut self, peer: &Peer) {
        let known = match peer.key.standing {
            Standing::Pinned(Level::FirstUse | Level::Verified(_)) => true,
            Standing::Pinned(_) | Standing::New | Standing::Doubted(_) => false,
        };
        let (bare, key) = (peer.address.bare(), peer.key.fingerprint);
        let day = |seconds: i64| seconds.div_euclid(DAY);
        let noted = self.trust.given.of(bare).iter().any(|pin| {
            let today = pin
                .last_seen
                .is_some_and(|last| day(last) >= day(unix_now()));
            pin.fingerprint == key && today
        });
        if known && !noted {
            let bare = bare.to_owned();
            self.trust.met.push(Meeting { bare, key });
        }
    }

    /// Counts an attempt before it is made, and stores what a verification came to. Says whether the owner is to hear of it.
    pub(super) fn on_verify(&mut self, id: TunnelId, verify: &Verify) -> bool {
        let Some(handle) = self.handles.0.get(&id) else {
            return false;
        };
        let bare = handle.peer.bare().to_owned();
        match verify {
            // A run that has ended meanwhile goes nowhere, whatever is said to it.
            Verify::Due { run, tag, .. } => {
                match self.with_pins(|pins| pins.attempt(&bare, *tag)) {
                    Ok(_) => self.router.verify_go(now(), id, *run).is_ok(),
                    Err(error) => {
                        self.pass(id, What::NotVerified(error.to_string()));
                        let _ = self.router.verify_cancel(now(), id, *run, Reason::Locked);
                        false
                    }
                }
            }
            Verify::Done { method, key, .. } => {
                let stored = self.with_pins(|pins| pins.verified(&bare, *key, (*method).into()));
                let verdict = match stored {
                    Ok(()) => Verdict::Accept,
                    Err(error) => {
                        self.pass(id, What::NotVerified(error.to_string()));
                        Verdict::Refuse
                    }
                };
                // A key that waited for a verdict has it now: it is pinned as verified already.
                let _ = self.router.judge(now(), id, *key, verdict);
                verdict == Verdict::Accept
            }
            Verify::Failed { .. } => {
                if let Some((key, method)) = verify.mismatch() {
                    self.doubt(id, &bare, Doubt::new(key, method.into(), unix_now()));
                }
                true
            }
            Verify::Asked { .. } | Verify::Compare { .. } => true,
        }
    }

    /// What was compared is not the same: the key is marked, and what stands on it ends.
    fn doubt(&mut self, id: TunnelId, bare: &str, doubt: Doubt) {
        let marked = self.with_pins(|pins| pins.doubt(bare, doubt.fingerprint, doubt.by));
        if let Err(error) = marked {
            // No mark, but no conversation either.
            self.pass(id, What::NotVerified(unmarked(&error)));
            let peer = bare.to_owned();
            let why = TrustError::Doubted { peer, doubt };
            self.router.distrust(now(), id, why);
        }
    }
}

fn unmarked(error: &PinsError) -> String {
    format!("the key is not marked as one that did not stand the comparison: {error}")
}

/// A day in seconds.
const DAY: i64 = 86_400;

/// How often the pins are looked at while there are tunnels.
const WATCH: Duration = Duration::from_secs(30);
