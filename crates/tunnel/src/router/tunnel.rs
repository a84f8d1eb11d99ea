//! One name of the router's: what carries it, and what it is to the owner.

use std::time::Instant;

use xtls_session::{Peer, Session};

use super::carrier::Carrier;
use super::conversation::{Conversation, Standing, Successor};
use super::event::TunnelId;
use super::running::Running;

/// A carrier under a name.
#[derive(Debug)]
pub(super) struct Tunnel {
    carrier: Carrier,
    standing: Standing,
}

impl Tunnel {
    pub(super) fn new(carrier: Carrier, standing: Standing) -> Self {
        Self { carrier, standing }
    }

    pub(super) fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    pub(super) fn carrier_mut(&mut self) -> &mut Carrier {
        &mut self.carrier
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(super) fn standing_mut(&mut self) -> &mut Standing {
        &mut self.standing
    }

    pub(super) fn conversation(&self) -> Option<&Conversation> {
        self.standing.conversation()
    }

    pub(super) fn conversation_mut(&mut self) -> Option<&mut Conversation> {
        self.standing.conversation_mut()
    }

    /// The tunnel whose conversation this one is to take over.
    pub(super) fn replaces(&self) -> Option<TunnelId> {
        self.standing.successor().map(Successor::replaces)
    }

    pub(super) fn session(&self) -> Option<&Session> {
        self.carrier.session()
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        self.carrier.session_mut()
    }

    pub(super) fn running_mut(&mut self) -> Option<&mut Running> {
        self.carrier.running_mut()
    }

    /// The conversation moves to the carrier of `successor`, which keeps what is left of the old one. Gives the peer, if the
    /// successor was established and waited.
    pub(super) fn move_to(
        &mut self,
        now: Instant,
        id: TunnelId,
        successor: &mut Self,
    ) -> Option<Peer> {
        let standing = std::mem::replace(&mut successor.standing, Standing::Remainder);
        std::mem::swap(&mut self.carrier, &mut successor.carrier);
        successor.carrier.hand_over(now, &mut self.carrier);
        let (Standing::Successor(arrived), Some(conversation)) =
            (standing, self.standing.conversation_mut())
        else {
            return None;
        };
        conversation.move_to(id, arrived.carries());
        arrived.into_waiting()
    }

    /// The carrier of `theirs`, which a peer has opened, takes the place of this one, which ends in silence under the other
    /// name.
    pub(super) fn take_over(&mut self, now: Instant, theirs: &mut Self) {
        std::mem::swap(&mut self.carrier, &mut theirs.carrier);
        theirs.carrier.hand_over_intent(now, &mut self.carrier);
        theirs.standing.discard();
    }

    /// When something runs out here, without the deadlines of the stream.
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let drain = self.conversation().and_then(Conversation::drain_until);
        let drain = drain.map(|until| (until, "the rest of a replaced tunnel"));
        [drain, self.carrier.deadline()]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }
}
