//! The pins of a running client: verdicts, first meetings, verifications; and that the router judges by what is pinned.

use std::sync::Arc;
use std::time::{Duration, Instant};

use xtls_keys::{Meeting, Pins, PinsError, unix_now};
use xtls_session::{Peer, Verdict, Verify};
use xtls_stanza::verify::Reason;
use xtls_tls::trust::{Doubt, Level, Store, TrustError};
use xtls_tls::{Fingerprint, Standing};
use xtls_tunnel::router::{self, Router, TunnelEvent, TunnelId};

use super::now;
use crate::error::JudgeError;

/// The pins, and what the router was given of them. Nothing else in the driver can touch either.
pub(super) struct Trust {
    pins: Pins,
    given: Arc<Store>,
    /// When the file was looked at last.
    looked: Option<Instant>,
    /// It was looked at since anything was waited for.
    fresh: bool,
    /// Keys that wait to be pinned on first use.
    first: Vec<(TunnelId, Meeting)>,
    /// Known keys that were met today for the first time.
    met: Vec<Meeting>,
}

/// What became of a step of a verification.
pub(super) struct Stored {
    /// The owner is told of the step.
    pub(super) pass: bool,
    /// The attempt was not made, or its result not stored, and why.
    pub(super) error: Option<String>,
}

impl Trust {
    /// The router judges by these pins already.
    pub(super) fn new(pins: Pins) -> Self {
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

    /// The only way to the pins. Whatever was done, and whatever another process was found to have done, the router judges by
    /// it afterwards.
    fn with_pins<T>(&mut self, router: &mut Router, call: impl FnOnce(&mut Pins) -> T) -> T {
        let done = call(&mut self.pins);
        let store = self.pins.store();
        if !Arc::ptr_eq(&store, &self.given) {
            self.given = Arc::clone(&store);
            router.set_trust(now(), store);
        }
        done
    }

    /// Another process may have pinned, revoked or forgotten a key.
    pub(super) fn refresh(&mut self, router: &mut Router) {
        self.looked = Some(now());
        if let Err(error) = self.with_pins(router, Pins::refresh) {
            // The last good pins stand: a store that cannot be read is never an empty one.
            tracing::error!(%error, "the pin store cannot be read");
        }
    }

    /// Looks at the file before a session begins (`begins`), and while a peer is being met: once for all that has come at
    /// the same time.
    pub(super) fn look(&mut self, router: &mut Router, begins: bool) {
        if !self.fresh && (begins || router.is_meeting()) {
            self.fresh = true;
            self.refresh(router);
        }
    }

    /// Looks at the file now and then while there are tunnels.
    pub(super) fn watch(&mut self, router: &mut Router, tunnels: bool) {
        if self.next_look(tunnels).is_some_and(|at| at <= now()) {
            self.refresh(router);
        }
    }

    /// When the file has to be looked at, though nothing happens.
    pub(super) fn next_look(&self, tunnels: bool) -> Option<Instant> {
        let watched = self.pins.is_shared() && tunnels;
        let looked = self.looked.filter(|_| watched);
        match looked {
            Some(looked) => looked.checked_add(WATCH),
            None => watched.then(now),
        }
    }

    /// Writes the pin first and opens then: what was accepted survives a crash.
    pub(super) fn judge(
        &mut self,
        router: &mut Router,
        id: TunnelId,
        bare: &str,
        key: Fingerprint,
        verdict: Verdict,
    ) -> Result<(), JudgeError> {
        // A key whose tunnel has ended meanwhile must not be pinned.
        router.tunnel_ref(id)?.awaits_verdict(key, verdict)?;
        if verdict == Verdict::Accept
            && let Err(error) = self.with_pins(router, |pins| pins.pin_first_use(bare, key))
        {
            let _ = pass(router, id, key, Verdict::Refuse);
            return Err(error.into());
        }
        Ok(pass(router, id, key, verdict)?)
    }

    pub(super) fn pin_on_first_use(&mut self, id: TunnelId, bare: &str, key: Fingerprint) {
        let bare = bare.to_owned();
        self.first.push((id, Meeting { bare, key }));
    }

    /// Writes what has gathered, all at once. `None`: there was nothing. Otherwise something may have come of it, for the
    /// router; and what could not be pinned is to be passed on.
    pub(super) fn write(&mut self, router: &mut Router) -> Option<Vec<(TunnelId, TunnelEvent)>> {
        let first = std::mem::take(&mut self.first);
        let met = std::mem::take(&mut self.met);
        if first.is_empty() && met.is_empty() {
            return None;
        }
        let alive = first.into_iter().filter(|(id, meeting)| {
            let tunnel = router.tunnel_ref(*id);
            tunnel.is_ok_and(|tunnel| tunnel.awaits_verdict(meeting.key, Verdict::Accept).is_ok())
        });
        let (ids, first): (Vec<_>, Vec<_>) = alive.unzip();
        let written = self.with_pins(router, |pins| pins.meet(&first, &met));
        let results = match written {
            Ok(results) => results,
            Err(error) => {
                let why = error.to_string();
                tracing::warn!(why, "pins are not written");
                first.iter().map(|_| Err(why.clone())).collect()
            }
        };
        let mut unwritten = Vec::new();
        for ((id, meeting), result) in ids.into_iter().zip(first).zip(results) {
            let verdict = match result {
                Ok(()) => Verdict::Accept,
                Err(why) => {
                    unwritten.push((id, TunnelEvent::NotPinned(why)));
                    Verdict::Refuse
                }
            };
            // It may have ended meanwhile.
            let _ = pass(router, id, meeting.key, verdict);
        }
        Some(unwritten)
    }

    /// Records the day on which a known key was met.
    pub(super) fn met(&mut self, peer: &Peer) {
        let known = match peer.key.standing {
            Standing::Pinned(Level::FirstUse | Level::Verified(_)) => true,
            Standing::Pinned(_) | Standing::New | Standing::Doubted(_) => false,
        };
        let (bare, key) = (peer.address.bare(), peer.key.fingerprint);
        let day = |seconds: i64| seconds.div_euclid(DAY);
        let recorded = self.given.of(bare).iter().any(|pin| {
            let today = pin
                .last_seen
                .is_some_and(|last| day(last) >= day(unix_now()));
            pin.fingerprint == key && today
        });
        if known && !recorded {
            let bare = bare.to_owned();
            self.met.push(Meeting { bare, key });
        }
    }

    /// Counts an attempt before it is made, and stores what a verification came to.
    pub(super) fn on_verify(
        &mut self,
        router: &mut Router,
        id: TunnelId,
        bare: &str,
        verify: &Verify,
    ) -> Stored {
        match verify {
            // A run that has ended meanwhile goes nowhere, whatever is said to it.
            Verify::Due { run, tag, .. } => {
                let attempt = self.with_pins(router, |pins| pins.attempt(bare, *tag));
                let tunnel = router.tunnel(now(), id);
                match attempt {
                    Ok(_) => Stored::passing(
                        tunnel.is_ok_and(|mut tunnel| tunnel.verify_go(*run).is_ok()),
                    ),
                    Err(error) => {
                        if let Ok(mut tunnel) = tunnel {
                            let _ = tunnel.verify_cancel(*run, Reason::Locked);
                        }
                        Stored::failed(&error)
                    }
                }
            }
            Verify::Done { method, key, .. } => {
                let stored =
                    self.with_pins(router, |pins| pins.verified(bare, *key, (*method).into()));
                let (verdict, stored) = match stored {
                    Ok(()) => (Verdict::Accept, Stored::passing(true)),
                    Err(error) => (Verdict::Refuse, Stored::failed(&error)),
                };
                // A key that waited for a verdict has it now: it is pinned as verified already.
                let _ = pass(router, id, *key, verdict);
                stored
            }
            Verify::Failed { .. } => {
                let error = verify.mismatch().and_then(|(key, method)| {
                    let doubt = Doubt::new(key, method.into(), unix_now());
                    self.doubt(router, id, bare, doubt)
                });
                Stored { pass: true, error }
            }
            Verify::Asked { .. } | Verify::Compare { .. } => Stored::passing(true),
        }
    }

    /// What was compared is not the same: the key is marked, and what stands on it ends. Says why it could not be marked.
    fn doubt(
        &mut self,
        router: &mut Router,
        id: TunnelId,
        bare: &str,
        doubt: Doubt,
    ) -> Option<String> {
        let marked = self.with_pins(router, |pins| pins.doubt(bare, doubt.fingerprint, doubt.by));
        let error = marked.err()?;
        // No mark, but no conversation either.
        let peer = bare.to_owned();
        let why = TrustError::Doubted { peer, doubt };
        if let Ok(tunnel) = router.tunnel(now(), id) {
            tunnel.distrust(why);
        }
        Some(unmarked(&error))
    }
}

impl Stored {
    fn passing(pass: bool) -> Self {
        Self { pass, error: None }
    }

    fn failed(error: &PinsError) -> Self {
        let error = Some(error.to_string());
        Self { pass: false, error }
    }
}

/// Gives a verdict to the tunnel that waits for it.
fn pass(
    router: &mut Router,
    id: TunnelId,
    key: Fingerprint,
    verdict: Verdict,
) -> Result<(), router::JudgeError> {
    router.tunnel(now(), id)?.judge(key, verdict)
}

fn unmarked(error: &PinsError) -> String {
    format!("the key could not be marked as one that failed a verification: {error}")
}

/// A day in seconds.
const DAY: i64 = 86_400;

/// How often the pins are looked at while there are tunnels.
const WATCH: Duration = Duration::from_secs(30);
