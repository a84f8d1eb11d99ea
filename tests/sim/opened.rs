//! Signals, opened by somebody who has the secrets of both ends: what they hint is no more than their owners allow.

use hkdf::Hkdf;
use sha2::Sha256;
use xtls_client::router::TunnelId;
use xtls_stanza::path::{Candidate, CandidateKind, Sealed, Signal, Takes};
use xtls_tls::{Open, SEAL_KEY, default_provider};

use crate::sockets::{is_own_address, takes_direct};
use crate::world::World;

/// Of the exporter of a tunnel (docs/PROTOCOL.md).
const LABEL: &str = "EXPERIMENTAL-xtls-path-1";

/// Who has sealed, and what opens it.
pub(crate) struct Opener(usize, Open);

impl World {
    /// Takes the keys of a tunnel that stands from now on.
    pub(crate) fn take_path_keys(&mut self, at: usize, id: TunnelId) {
        let now = self.now;
        if at > 1 || self.setup.takes(at).is_none() {
            return;
        }
        let mut secret = [0; 32];
        let tunnel = self.clients[at].router.tunnel(now, id);
        if !tunnel.is_ok_and(|mut tunnel| tunnel.export(LABEL, &[], &mut secret).is_ok()) {
            return;
        }
        let [one, two] = [at, 1 - at].map(|at| &self.clients[at]);
        // Which of them is the TLS client is not known after crossing opens.
        for (client, server, role) in [(one, two, "client"), (two, one, "server")] {
            let fields = [
                client.address.bare().as_bytes(),
                server.address.bare().as_bytes(),
                client.key.as_bytes(),
                server.key.as_bytes(),
            ];
            let mut info = format!("xtls path signal {role} 1").into_bytes();
            for field in fields {
                info.extend((field.len() as u32).to_be_bytes());
                info.extend(field);
            }
            let mut key = [0; SEAL_KEY];
            let derived = Hkdf::<Sha256>::new(Some(&[]), &secret).expand(&info, &mut key);
            derived.expect("a short key");
            let open = Open::new(&default_provider(), &key).expect("AES-256-GCM");
            self.openers.push(Opener(at, open));
        }
    }

    /// I16: no address is hinted beyond what its owner allows.
    pub(crate) fn judge_hints(&mut self, from: usize, sealed: &Sealed) {
        let opened = self.openers.iter_mut().rev().find_map(|Opener(at, open)| {
            let opened = (*at == from).then(|| open.open(sealed.n, &sealed.record));
            opened?.ok()
        });
        let Some(signal) = opened.and_then(|plain| Signal::read(&plain).ok()) else {
            return;
        };
        self.totals.fault("signal opened");
        let Signal::Hints(hints) = signal else { return };
        let Some(allowed) = self.setup.takes(from) else {
            return self.accuse("I16: hints of who knows of no paths");
        };
        let lowered = takes_direct(allowed) && hints.takes == Takes::Own;
        if hints.takes != allowed && !lowered {
            self.accuse(format!(
                "I16: {from} says {:?} under {allowed:?}",
                hints.takes
            ));
        }
        for candidate in hints.candidates {
            if !self.may_be_hinted(from, hints.takes, &candidate) {
                self.accuse(format!("I16: {from} hints {candidate:?} under {allowed:?}"));
            }
        }
    }

    fn may_be_hinted(&self, from: usize, takes: Takes, candidate: &Candidate) -> bool {
        match &candidate.kind {
            CandidateKind::Stream { .. } => true,
            CandidateKind::Direct { host, port } => {
                let listens = self
                    .setup
                    .paths
                    .as_ref()
                    .is_some_and(|paths| paths.listen[from]);
                let known = self.knows(from) && takes_direct(takes);
                listens && known && is_own_address(from, host, *port)
            }
            CandidateKind::Relay { host, .. } => {
                takes != Takes::InBand && self.is_relay_of(from, host)
            }
        }
    }
}
