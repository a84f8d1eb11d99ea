//! What the owner knows by one name, whatever carries it at the moment.
//!
//! A conversation is carried by one session at a time. When its keys are old, or its peer opens anew, a *successor* shakes
//! hands beside it, and the owner does not learn of it. The handover, as the conversation sees it:
//!
//! ```text
//!            a successor is established
//!   Settled ───────────────────────────▶ Draining ──── the peer's close_notify: the successor's carrier moves in ──▶ Settled
//!      │  ▲                                  │
//!      │  │ none of ours is left             ╰──────── the successor ends, or the rest is cut ──▶ Settled, or the end
//!      ▼  │
//!   PeerLeft ── a successor is established: its carrier moves in ──▶ Settled
//! ```
//!
//! and as the successor sees it: `Shaking` → `Waiting` (established) → its carrier is the conversation's, and what is left under
//! its name is a *remainder*, which only closes the old stream. A successor that is `Discarded` ends in silence. Where the
//! conversation ends first, its successors become conversations of their own.

use std::collections::BTreeSet;
use std::time::Instant;

use xtls_session::Peer;

use super::event::{TunnelEvent, TunnelId};

/// What a tunnel is to its owner.
#[derive(Debug)]
pub(super) enum Standing {
    /// The owner knows it by this name.
    Conversation(Conversation),
    /// It is to take over another tunnel's conversation.
    Successor(Successor),
    /// A peer has opened it, and what it is for is not known yet: its ClientHello has not come. `crosses`: the open of ours
    /// that was unanswered when it came.
    Unsettled { crosses: Option<TunnelId> },
    /// Its conversation has gone on elsewhere, or never began: only closing is left.
    Remainder,
}

/// A conversation, apart from what carries it.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    inbox: Inbox,
    peer_finish: PeerFinish,
    handover: Handover,
    successors: BTreeSet<TunnelId>,
}

/// Whether the peer has ended its direction, be it of a session before the present one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum PeerFinish {
    #[default]
    Unreported,
    /// The report waits for the owner.
    Queued,
    /// The owner has been told.
    Reported,
    /// The owner has taken everything before that.
    Taken,
}

/// Whether the conversation is moving to another carrier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Handover {
    /// It is not.
    #[default]
    Settled,
    /// The peer has ended its direction while a successor of ours was on its way: it has moved there, or has finished.
    PeerLeft,
    /// A successor is established: we send there, and read here until the peer's close_notify.
    Draining(Draining),
}

/// The rest of a conversation's old carrier is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Draining {
    successor: TunnelId,
    /// When it has to have moved on.
    until: Instant,
    /// Bytes that the stream had moved when we looked last.
    moved: u64,
}

/// What waits for the owner.
#[derive(Debug, Default)]
struct Inbox {
    events: usize,
    /// What they weigh, in bytes.
    weight: usize,
    /// The owner does not want events of this tunnel now.
    held: bool,
    /// The session has events that found it full.
    stalled: bool,
}

/// A newer tunnel on its way to take over a conversation.
#[derive(Debug)]
pub(super) struct Successor {
    replaces: TunnelId,
    carries: Carries,
    stage: Stage,
}

/// What is left to be said in a successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    BothDirections,
    /// The peer has ended its direction already, so without its conversation this is none.
    OurDirection,
}

#[derive(Debug)]
enum Stage {
    Shaking,
    /// It is established, and waits until the old session has been read to the end.
    Waiting(Box<Peer>),
    /// It ends in silence.
    Discarded,
}

/// Whether the owner takes what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Open,
    /// The owner's queue is full, or the owner wants nothing.
    None,
}

impl Standing {
    /// The owner knows it by this name, and nothing has come of it yet.
    pub(super) fn new() -> Self {
        Self::Conversation(Conversation::default())
    }

    pub(super) fn successor_of(replaces: TunnelId, carries: Carries) -> Self {
        Self::Successor(Successor {
            replaces,
            carries,
            stage: Stage::Shaking,
        })
    }

    pub(super) fn conversation(&self) -> Option<&Conversation> {
        match self {
            Self::Conversation(conversation) => Some(conversation),
            Self::Successor(_) | Self::Unsettled { .. } | Self::Remainder => None,
        }
    }

    pub(super) fn conversation_mut(&mut self) -> Option<&mut Conversation> {
        match self {
            Self::Conversation(conversation) => Some(conversation),
            Self::Successor(_) | Self::Unsettled { .. } | Self::Remainder => None,
        }
    }

    pub(super) fn successor(&self) -> Option<&Successor> {
        match self {
            Self::Successor(successor) => Some(successor),
            Self::Conversation(_) | Self::Unsettled { .. } | Self::Remainder => None,
        }
    }

    /// Whether it is not known yet what it is for.
    pub(super) fn is_unsettled(&self) -> bool {
        matches!(self, Self::Unsettled { .. })
    }

    /// Whether the owner learns of what happens here.
    pub(super) fn is_known(&self) -> bool {
        self.conversation().is_some()
    }

    /// Whether it ends in silence.
    pub(super) fn is_doomed(&self) -> bool {
        match self {
            Self::Conversation(_) | Self::Unsettled { .. } => false,
            Self::Successor(successor) => matches!(successor.stage, Stage::Discarded),
            Self::Remainder => true,
        }
    }

    /// Whether the session's events can be taken. A successor's wait while the old session is read.
    pub(super) fn room(&mut self, limit: usize) -> Room {
        let open = match self {
            Self::Conversation(conversation) => conversation.has_room(limit),
            Self::Successor(successor) => !matches!(successor.stage, Stage::Waiting(_)),
            Self::Unsettled { .. } | Self::Remainder => true,
        };
        if open { Room::Open } else { Room::None }
    }

    /// Established, it waits for the end of what it replaces: `replaces`, unless that was known before.
    pub(super) fn wait(&mut self, replaces: TunnelId, peer: Peer) -> Carries {
        let carries = match self {
            Self::Successor(successor) => successor.carries,
            Self::Conversation(_) | Self::Unsettled { .. } | Self::Remainder => {
                Carries::BothDirections
            }
        };
        *self = Self::Successor(Successor {
            replaces,
            carries,
            stage: Stage::Waiting(Box::new(peer)),
        });
        carries
    }

    /// The peer has ended its direction of what this one replaces.
    pub(super) fn peer_finished(&mut self) {
        match self {
            Self::Conversation(_) | Self::Unsettled { .. } | Self::Remainder => {}
            Self::Successor(successor) => successor.carries = Carries::OurDirection,
        }
    }

    /// It ends in silence, unless the owner knows it.
    pub(super) fn discard(&mut self) {
        match self {
            Self::Conversation(_) | Self::Remainder => {}
            Self::Successor(successor) => successor.stage = Stage::Discarded,
            Self::Unsettled { .. } => *self = Self::Remainder,
        }
    }
}

impl Successor {
    pub(super) fn replaces(&self) -> TunnelId {
        self.replaces
    }

    pub(super) fn carries(&self) -> Carries {
        self.carries
    }

    /// The peer, if it is established and waits.
    pub(super) fn into_waiting(self) -> Option<Peer> {
        match self.stage {
            Stage::Waiting(peer) => Some(*peer),
            Stage::Shaking | Stage::Discarded => None,
        }
    }
}

impl Conversation {
    // The inbox.

    /// An event waits for the owner.
    pub(super) fn on_queued(&mut self, what: &TunnelEvent) {
        let inbox = &mut self.inbox;
        inbox.events = inbox.events.saturating_add(1);
        inbox.weight = inbox.weight.saturating_add(what.weight());
    }

    /// The owner has taken an event. Says whether the session has waited for that.
    pub(super) fn on_taken(&mut self, what: &TunnelEvent, limit: usize) -> bool {
        let inbox = &mut self.inbox;
        inbox.events = inbox.events.saturating_sub(1);
        inbox.weight = inbox.weight.saturating_sub(what.weight());
        if matches!(what, TunnelEvent::PeerFinished) && self.peer_finish == PeerFinish::Queued {
            self.peer_finish = PeerFinish::Reported;
        }
        let room = inbox.events <= limit / 2 && inbox.weight <= HEAVY / 2;
        room && std::mem::take(&mut inbox.stalled)
    }

    fn has_room(&mut self, limit: usize) -> bool {
        let inbox = &mut self.inbox;
        inbox.stalled = inbox.events >= limit || inbox.weight >= HEAVY;
        !inbox.held && !inbox.stalled
    }

    /// The owner wants events now, or not. Says whether that changes anything.
    pub(super) fn hold(&mut self, hold: bool) -> bool {
        std::mem::replace(&mut self.inbox.held, hold) != hold
    }

    /// Whether the owner is what the session waits for.
    pub(super) fn is_slow(&self) -> bool {
        self.inbox.held || self.inbox.stalled
    }

    // The peer's end.

    /// Whether the owner knows that the peer has ended its direction.
    pub(super) fn is_peer_finished(&self) -> bool {
        self.peer_finish != PeerFinish::Unreported
    }

    /// The peer has ended its direction. Says whether the owner is still to be told.
    pub(super) fn finish_peer(&mut self) -> bool {
        let news = !self.is_peer_finished();
        if news {
            self.peer_finish = PeerFinish::Queued;
        }
        news
    }

    /// The owner has taken everything before the peer's end; false if it has not been told of that.
    pub(super) fn take_all(&mut self) -> bool {
        let told = matches!(self.peer_finish, PeerFinish::Reported | PeerFinish::Taken);
        if told {
            self.peer_finish = PeerFinish::Taken;
        }
        told
    }

    /// Whether the owner has taken everything before the peer's end.
    pub(super) fn has_taken_all(&self) -> bool {
        self.peer_finish == PeerFinish::Taken
    }

    // Successors and handover.

    pub(super) fn successors(&self) -> &BTreeSet<TunnelId> {
        &self.successors
    }

    pub(super) fn add_successor(&mut self, id: TunnelId) {
        self.successors.insert(id);
    }

    /// The established successor, which carries what the owner sends.
    pub(super) fn successor(&self) -> Option<TunnelId> {
        match self.handover {
            Handover::Draining(draining) => Some(draining.successor),
            Handover::Settled | Handover::PeerLeft => None,
        }
    }

    /// When the rest has to have moved on.
    pub(super) fn drain_until(&self) -> Option<Instant> {
        match self.handover {
            Handover::Draining(draining) => Some(draining.until),
            Handover::Settled | Handover::PeerLeft => None,
        }
    }

    /// A successor is established. Says whether the peer has left already.
    pub(super) fn drain(&mut self, successor: TunnelId, until: Instant, moved: u64) -> bool {
        self.successors.insert(successor);
        let draining = Handover::Draining(Draining {
            successor,
            until,
            moved,
        });
        std::mem::replace(&mut self.handover, draining) == Handover::PeerLeft
    }

    /// The rest has taken until now: it may have as long again if it moves, or if it waits for the owner (`excused`).
    pub(super) fn drain_longer(&mut self, until: Instant, moved: u64, excused: bool) -> bool {
        let Handover::Draining(draining) = &mut self.handover else {
            return false;
        };
        let longer = excused || moved > draining.moved;
        if longer {
            (draining.moved, draining.until) = (moved, until);
        }
        longer
    }

    /// Nothing more can come, and what has come may wait for the owner as long as it takes.
    pub(super) fn drain_at_leisure(&mut self, until: Instant) {
        if let Handover::Draining(draining) = &mut self.handover {
            draining.until = until;
        }
    }

    /// The peer has ended its direction while a successor of ours is on its way.
    pub(super) fn peer_leaves(&mut self) {
        self.handover = Handover::PeerLeft;
    }

    pub(super) fn has_peer_left(&self) -> bool {
        self.handover == Handover::PeerLeft
    }

    /// The peer has not moved after all. Says whether it seemed so.
    pub(super) fn peer_has_not_moved(&mut self) -> bool {
        let left = self.has_peer_left();
        if left {
            self.handover = Handover::Settled;
        }
        left
    }

    /// A successor has ended.
    pub(super) fn lose_successor(&mut self, id: TunnelId) {
        self.successors.remove(&id);
        if self.successor() == Some(id) {
            self.handover = Handover::Settled;
        }
    }

    /// The successor's carrier has become this conversation's.
    pub(super) fn move_to(&mut self, successor: TunnelId, carries: Carries) {
        self.successors.remove(&successor);
        self.handover = Handover::Settled;
        self.inbox.stalled = false;
        if carries == Carries::OurDirection && !self.is_peer_finished() {
            // It was told before.
            self.peer_finish = PeerFinish::Reported;
        }
    }
}

/// Weight of one tunnel's events that may wait for the owner, in bytes; one stanza may exceed it.
const HEAVY: usize = 262_144;
