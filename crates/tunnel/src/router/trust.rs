//! Whom the router lets in: the pins, and the owner's word where they have none.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tracing::warn;
use xtls_session::{Introduction, Session, Verdict};
use xtls_tls::Fingerprint;
use xtls_tls::trust::{Policy, Store, TrustError};

use super::Router;
use super::carrier::Carrier;
use super::event::{Gone, JudgeError, TunnelEvent, TunnelId};

impl Router {
    /// The pins that count from now on: for sessions to come, for handshakes that are under way, and for sessions that
    /// stand. One whose key would be refused now ends as
    /// [`Untrusted`](xtls_session::Why::Untrusted); one whose key is merely forgotten goes on, unless the policy asks for
    /// pins. Costs as much as there are changes.
    pub fn set_trust(&mut self, now: Instant, trust: Arc<Store>) {
        let now = self.clock.read(now);
        let before = self.trust.set(Arc::clone(&trust));
        let mut affected = BTreeSet::new();
        for jid in trust.differences(&before) {
            let pins = trust.of(&jid);
            if !pins.is_empty() {
                self.contacts.settled(&jid);
            }
            affected.extend(self.peers.of_account(&jid));
            // A key that is revoked, or another's, is so for everybody.
            let holders = pins
                .iter()
                .filter_map(|pin| self.holders.get(&pin.fingerprint));
            affected.extend(holders.flatten().copied());
        }
        for id in affected {
            self.in_turn(id, |session| session.trust_changed(now));
        }
        self.pump(now);
    }

    /// Ends a tunnel because its peer's key is not to be trusted.
    pub fn distrust(&mut self, now: Instant, id: TunnelId, why: TrustError) {
        let now = self.clock.read(now);
        self.in_turn(id, |session| session.distrust(now, why));
        self.pump(now);
    }

    fn in_turn(&mut self, id: TunnelId, call: impl FnOnce(&mut Session)) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let Some(running) = tunnel.running_mut() else {
            return;
        };
        call(running.session_mut());
        if running.is_distrusted() {
            warn!("the key of a peer is not to be trusted any more");
            // One that the owner does not know of ends in silence.
            tunnel.standing_mut().discard();
            self.dirty.insert(id);
        }
    }

    /// What to do with keys that are not pinned.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.config.policy
    }

    /// Whether a handshake or a verdict is under way, so that the pins should be as they are on the disk.
    #[must_use]
    pub fn is_meeting(&self) -> bool {
        !self.young.is_empty()
    }

    /// Gives the owner's word on [`TunnelEvent::Judge`], about exactly this key of this tunnel.
    ///
    /// # Errors
    /// See [`JudgeError`]. Nothing has changed then.
    pub fn judge(
        &mut self,
        now: Instant,
        id: TunnelId,
        key: Fingerprint,
        verdict: Verdict,
    ) -> Result<(), JudgeError> {
        let now = self.clock.read(now);
        let session = self.running(id).ok_or(Gone)?;
        session.judge(now, key, verdict)?;
        self.mark_and_pump(now, id);
        Ok(())
    }

    /// Whether this verdict on this key of this tunnel would be taken now: to be asked before a pin is written for it.
    ///
    /// # Errors
    /// Why it would not be.
    pub fn awaits_verdict(
        &self,
        id: TunnelId,
        key: Fingerprint,
        verdict: Verdict,
    ) -> Result<(), JudgeError> {
        let tunnel = self.tunnels.get(&id).ok_or(Gone)?;
        Ok(tunnel.session().ok_or(Gone)?.awaits_verdict(key, verdict)?)
    }

    /// A key without a pin waits for the owner's word, unless another one was presented for the same account: then neither
    /// gets one.
    pub(super) fn introduce(&mut self, now: Instant, id: TunnelId, introduction: Introduction) {
        let (bare, key) = (
            introduction.peer.bare().to_owned(),
            introduction.fingerprint,
        );
        let others: Vec<_> = self
            .peers
            .of_account(&bare)
            .into_iter()
            .filter(|other| *other != id)
            .collect();
        let judging = |id: &TunnelId| {
            self.tunnels
                .get(id)
                .and_then(|tunnel| tunnel.session())
                .is_some_and(Session::is_judging)
        };
        let pending: Vec<_> = others.into_iter().filter(judging).collect();
        let two = self
            .contacts
            .presented(now, &bare, key, !pending.is_empty());
        let Some((first, second)) = two else {
            self.emit(id, TunnelEvent::Judge(introduction));
            return;
        };
        for id in pending.into_iter().chain([id]) {
            let peer = bare.clone();
            let why = TrustError::TwoKeys {
                peer,
                first,
                second,
            };
            self.in_turn(id, |session| session.distrust(now, why));
        }
    }

    /// The peer of a tunnel has proven to hold this key.
    pub(super) fn holds(&mut self, id: TunnelId, key: Fingerprint) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.carrier_mut().prove(key);
            self.holders.entry(key).or_default().insert(id);
        }
    }

    /// A tunnel has ended.
    pub(super) fn let_go(&mut self, id: TunnelId, carrier: &Carrier) {
        self.young.remove(&id);
        if let Some(key) = carrier.proven()
            && let Some(ids) = self.holders.get_mut(&key)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.holders.remove(&key);
            }
        }
    }
}
