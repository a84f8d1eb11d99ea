//! Outages: links that are interrupted, come back or are lost, and who learns of it.

use std::time::Duration;

use bytes::Bytes;
use xtls_stanza::{Condition, Content, Envelope, ErrorType, PresenceKind};

use crate::client::Act;
use crate::world::{Deed, ROMEO, World};

impl World {
    /// The link of a client is interrupted.
    pub(crate) fn cut(&mut self, at: usize, time: Duration, comes_back: bool) {
        if self.clients[at].away.is_some() {
            return;
        }
        self.totals.fault("link interrupted");
        self.whole = false;
        let now = self.now;
        self.cut_octets(at);
        let client = &mut self.clients[at];
        client.away = Some(Vec::new());
        client.router.pause(now);
        self.later(time, Deed::Act(at, Act::Back(comes_back)));
    }

    /// The link is back. A resumed one delivers what has waited, after some of what was delivered before (XEP-0198:
    /// both sides resend what was not acknowledged on that level). A new one knows nothing.
    pub(crate) fn back(&mut self, at: usize, same: bool) {
        let now = self.now;
        self.disturbed();
        if self.links.contains_key(&at) {
            return self.dial(at, same);
        }
        let Some(waiting) = self.clients[at].away.take() else {
            return;
        };
        if same {
            self.totals.fault("link resumed");
            self.clients[at].router.resume(now);
            let again = self.dice.index(self.clients[at].recent_in.len() + 1);
            let known = self.clients[at].recent_in.len() - again;
            let repeated: Vec<Bytes> = self.clients[at]
                .recent_in
                .iter()
                .skip(known)
                .cloned()
                .collect();
            let again = self.dice.index(self.clients[at].recent_out.len() + 1);
            let known = self.clients[at].recent_out.len() - again;
            let resent: Vec<Envelope> = self.clients[at]
                .recent_out
                .iter()
                .skip(known)
                .cloned()
                .collect();
            for xml in repeated.into_iter().chain(waiting) {
                self.arrive(at, xml);
            }
            for envelope in resent {
                self.totals.fault("resent");
                self.route(at, envelope, 0);
            }
            return;
        }
        self.totals.fault("link lost");
        self.down.remove(&at);
        self.lose_under_way(at);
        self.renew(at);
        self.drain(at);
        self.nobody_there(at, waiting);
        self.tell_of_end(at);
    }

    /// A client is bound anew, and knows nothing of what the old link has carried.
    pub(crate) fn renew(&mut self, at: usize) {
        let now = self.now;
        let client = &mut self.clients[at];
        let address = client.address.clone();
        client.router.rebind(now, address);
        client.referee.lost();
        client.recent_in.clear();
        client.recent_out.clear();
    }

    /// What was waiting for a link that is over goes back to its sender.
    pub(crate) fn nobody_there(&mut self, at: usize, waiting: Vec<Bytes>) {
        for xml in waiting {
            if let Ok(mut envelope) = Envelope::read(&xml)
                && let Some(from) = envelope.from.clone()
                && let Some(sender) = self
                    .clients
                    .iter()
                    .position(|client| client.address == from)
            {
                if self.rerouted(at, &envelope) {
                    continue;
                }
                envelope.from = None;
                self.bounce(
                    sender,
                    envelope,
                    Condition::RecipientUnavailable,
                    ErrorType::Wait,
                );
            }
        }
    }

    /// The server learns that an old link is over, and with it all that was under way to it; so does everyone else.
    pub(crate) fn leave(&mut self, at: usize) {
        self.down.remove(&at);
        self.lose_under_way(at);
        self.tell_of_end(at);
    }

    fn tell_of_end(&mut self, at: usize) {
        let address = self.clients[at].address.clone();
        let peer = usize::from(at == ROMEO);
        let presence = Envelope {
            from: Some(address),
            to: Some(self.clients[peer].address.clone()),
            id: String::new(),
            content: Content::Presence {
                kind: PresenceKind::Unavailable,
                payloads: Vec::new(),
            },
        };
        if at < 2 && self.dice.permille(700) {
            self.carry(at, peer, &presence, Duration::ZERO, true);
        }
    }
}
