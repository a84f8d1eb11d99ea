//! People who compare words or a code: who begins, how they decide, and the allowed outcomes.

use xtls_client::router::TunnelId;
use xtls_session::{Compare, Run, Verify};
use xtls_stanza::verify::Reason;
use xtls_tls::Fingerprint;
use xtls_tls::verify::{Code, Method};

use crate::client::Act;
use crate::keys;
use crate::world::{Deed, FALSE_ROMEO, JULIET, ROMEO, World};

impl World {
    /// The owner wants to verify the peer of the newest tunnel.
    pub(crate) fn verify(&mut self, at: usize, method: Method) {
        if let Some(id) = self.clients[at].tunnels.last().copied() {
            self.wish(at, id, method);
        }
    }

    /// Requests it; returns whether the session takes part.
    pub(crate) fn wish(&mut self, at: usize, id: TunnelId, method: Method) -> bool {
        let compare = match method {
            Method::Words => Compare::Words,
            // The two have agreed on it elsewhere. An attacker in the middle has to guess.
            Method::Code if at < 2 => code(&format!("nightingale {}", self.setup.seed)),
            Method::Code => code("a good guess"),
        };
        let now = self.now;
        let tunnel = self.clients[at].router.tunnel(now, id);
        tunnel.is_ok_and(|mut tunnel| tunnel.verify(compare).is_ok())
    }

    pub(crate) fn told_verify(&mut self, at: usize, id: TunnelId, verify: Verify) {
        let now = self.now;
        match verify {
            Verify::Asked { run, .. } if self.dice.permille(100) => {
                // It may be over already, here and below.
                if let Ok(mut tunnel) = self.clients[at].router.tunnel(now, id) {
                    let _ = tunnel.verify_cancel(run, Reason::Declined);
                }
            }
            Verify::Asked { method, .. } => {
                self.wish(at, id, method);
            }
            Verify::Due { run, tag, .. } => {
                let Some(peer) = self.oracle.end((at, id)).peer.clone() else {
                    return;
                };
                let client = &mut self.clients[at];
                let attempt = client.store.attempt(peer.bare(), tag, keys::LETTER);
                if let Ok(mut tunnel) = client.router.tunnel(now, id) {
                    let _ = match attempt {
                        Ok(_) => tunnel.verify_go(run),
                        Err(_) => tunnel.verify_cancel(run, Reason::Locked),
                    };
                }
            }
            Verify::Compare { run, words } => {
                self.totals.compared += 1;
                self.judge_promise(at, id);
                self.clients[at].shown = Some((id, run, words.numbers()));
                self.look(at, id, run);
            }
            Verify::Done { method, key, .. } => self.verified(at, id, method, key),
            Verify::Failed { .. } => {
                self.forget(at, id);
                self.decide(at, id);
            }
        }
    }

    /// The people look at the words, or tell each other what they see.
    fn look(&mut self, at: usize, id: TunnelId, run: Run) {
        let now = self.now;
        let peer = self.oracle.end((at, id)).peer.clone();
        if at >= FALSE_ROMEO {
            self.agree(at, id, run);
            return;
        }
        let other = 1 - at;
        if peer.as_ref() != Some(&self.clients[other].address) {
            // A friend who breaks rules claims to see the same words.
            let hers = self.mallory.as_ref().map(crate::mallory::Mallory::address);
            if peer.is_some() && peer == hers {
                self.agree(at, id, run);
            }
            return;
        }
        let (Some((own, run, words)), Some((theirs, other_run, others))) =
            (self.clients[at].shown, self.clients[other].shown)
        else {
            return;
        };
        for (who, tunnel, run) in [(at, own, run), (other, theirs, other_run)] {
            if words == others {
                self.agree(who, tunnel, run);
            } else if let Ok(mut tunnel) = self.clients[who].router.tunnel(now, tunnel) {
                let _ = tunnel.verify_cancel(run, Reason::Mismatch);
            }
            if who != at {
                // Its router now has something to send.
                self.later(std::time::Duration::ZERO, Deed::Act(who, Act::Look));
            }
        }
    }

    fn agree(&mut self, at: usize, id: TunnelId, run: Run) {
        let now = self.now;
        if let Ok(mut tunnel) = self.clients[at].router.tunnel(now, id) {
            let _ = tunnel.verify_agree(run);
        }
    }

    /// I8: the verified key is that of the person it claims to be.
    fn verified(&mut self, at: usize, id: TunnelId, method: Method, key: Fingerprint) {
        self.totals.verified += 1;
        self.forget(at, id);
        let Some(peer) = self.oracle.end((at, id)).peer.clone() else {
            return self.accuse("I8: a key that belongs to no one is verified");
        };
        if at < FALSE_ROMEO {
            let genuine = [ROMEO, JULIET].into_iter().any(|other| {
                let other = &self.clients[other];
                other.address.same_bare(&peer) && other.key == key
            });
            if !genuine {
                return self.accuse(format!(
                    "I8: someone is verified as {} who has not seen the same",
                    peer.as_str()
                ));
            }
        }
        let now = self.now;
        let client = &mut self.clients[at];
        let noted = client
            .store
            .verified(peer.bare(), key, method.into(), keys::LETTER);
        client
            .router
            .set_trust(now, std::sync::Arc::new(client.store.clone()));
        let kept = client.on_disk();
        self.demand(kept);
        if noted.is_err() && at < FALSE_ROMEO {
            return self.accuse("I8: a verified key cannot be pinned");
        }
        self.decide(at, id);
    }

    fn forget(&mut self, at: usize, id: TunnelId) {
        let client = &mut self.clients[at];
        client.shown = client.shown.take().filter(|(shown, ..)| *shown != id);
    }

    /// A verdict that waited for this is due.
    fn decide(&mut self, at: usize, id: TunnelId) {
        if let Some((key, peer)) = self.clients[at].deciding.get(&id).cloned() {
            self.later(
                std::time::Duration::ZERO,
                Deed::Act(at, Act::Judge(id, key, peer)),
            );
        }
    }
}

fn code(text: &str) -> Compare {
    Compare::Code(Code::new(text).expect("a code"))
}
