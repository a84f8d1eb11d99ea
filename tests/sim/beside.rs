//! What becomes of the paths of tunnels, as their owners are told, and what may become of them.

use std::time::Duration;

use xtls_client::router::{Closed, PathEvent, TunnelId};
use xtls_client::tunnel::path::Kind;
use xtls_stanza::{Content, Envelope, Payload};

use crate::setup::Adversary;
use crate::sockets::HARMFUL;
use crate::world::World;

/// How long what is said may take while a path carries, or from when nothing harms it.
const SOON: Duration = Duration::from_secs(60);

impl World {
    /// How late a stanza is: what a tunnel leaves behind on its stream may come after it has moved.
    pub(crate) fn lag(&mut self, envelope: &Envelope) -> Duration {
        let often = self.setup.paths.as_ref().map_or(0, |paths| paths.lag);
        let chunk = matches!(envelope.content, Content::Set(Payload::Data(_)));
        let slow = self.setup.delay.0 > Duration::from_millis(100);
        if often == 0 || !chunk || slow || !self.raging || self.at() > HARMFUL {
            return Duration::ZERO;
        }
        if !self.sockets.dice.permille(often) {
            return Duration::ZERO;
        }
        self.totals.fault("chunk late");
        self.sockets.dice.time(Duration::from_secs(3))
    }

    /// Something was harmed, or an owner or a link stood still: what is said may take until it is mended.
    pub(crate) fn disturbed(&mut self) {
        self.sockets.quiet_since = Some(self.now);
    }

    /// A stanza is said: while another path carries at both ends it has to arrive soon.
    pub(crate) fn said_beside(&mut self, at: usize, id: &str) {
        let well = self.setup.calm() && !self.setup.bulk && at < 2;
        if well && self.is_beside(at) && self.is_beside(1 - at) {
            self.sockets.said.insert(id.to_owned(), self.now);
        }
    }

    /// I5: it arrives.
    pub(crate) fn heard_beside(&mut self, id: &str) {
        let Some(said) = self.sockets.said.remove(id) else {
            return;
        };
        let from = self
            .sockets
            .quiet_since
            .map_or(said, |since| since.max(said));
        let took = self.now - from;
        if took > SOON {
            self.accuse(format!("I5: {id} takes {took:?} on a path that carries"));
        }
    }

    /// Whether a path beside the server carries the newest tunnel of a client.
    pub(crate) fn is_beside(&self, at: usize) -> bool {
        let newest = self.clients[at].tunnels.last();
        let kind = newest.and_then(|id| self.sockets.carrying.get(&(at, *id)));
        kind.is_some_and(|kind| *kind != Kind::InBand)
    }

    pub(crate) fn told_path(&mut self, at: usize, id: TunnelId, event: PathEvent) {
        match event {
            PathEvent::Moved(to) => {
                self.totals.fault(match to {
                    Kind::InBand => "moved to a stream",
                    Kind::Relay => "moved to a relay",
                    Kind::Direct => "moved to a direct path",
                });
                self.sockets.carrying.insert((at, id), to);
            }
            PathEvent::Lost => {
                self.totals.fault("path lost");
                self.sockets.carrying.remove(&(at, id));
                let lies = self
                    .setup
                    .paths
                    .as_ref()
                    .is_some_and(|paths| paths.lies.any());
                let alone = self.clients[1 - at.min(1)].tunnels.is_empty();
                let safe = !self.sockets.harmed && !lies && self.whole && !alone;
                if safe && self.is_honest() && self.is_ours(at, id) {
                    self.accuse("I18: a path is lost that nobody has harmed");
                }
            }
            _ => {}
        }
    }

    /// Whether both ends of a tunnel are clients that keep to the rules.
    fn is_ours(&mut self, at: usize, id: TunnelId) -> bool {
        let peer = self.oracle.end((at, id)).peer.clone();
        at < 2 && peer.is_some_and(|peer| peer == self.clients[1 - at].address)
    }

    /// Whether servers do with stanzas what servers do.
    fn is_honest(&self) -> bool {
        let honest = matches!(
            self.setup.adversary,
            Adversary::None | Adversary::Outsider | Adversary::Peer
        );
        honest && self.setup.limit.is_none()
    }

    /// I18: what servers say, and what becomes of links to them, cuts no tunnel that a path beside them carries.
    pub(crate) fn judge_cut(&mut self, at: usize, id: TunnelId, closed: &Closed) {
        let kind = self.sockets.carrying.remove(&(at, id));
        let beside = kind.is_some_and(|kind| kind != Kind::InBand);
        if beside
            && closed.is_cut()
            && self.is_ours(at, id)
            && self.is_honest()
            && !self.sockets.harmed
            && !self.hurried
        {
            let what = format!("I18: a tunnel is cut whose path nobody has harmed: {closed:?}");
            self.accuse(what);
        }
    }
}
