//! The steps in which a stream is closed, once the session on it is over.
//!
//! ```text
//!   Emptying ──▶ CloseSent ────▶ StreamClosing ──▶ the end
//!      │            │                ▲
//!      ╰──────▶ CloseAwaited ────────╯
//! ```

use std::time::Instant;

use xtls_session::{By, Carried, Why as SessionWhy};
use xtls_stanza::StanzaError;

use super::event::{Closed, Why};
use crate::transport::StreamEnd;

/// What is left of a session that has ended, and how far its stream is closed.
#[derive(Debug)]
pub(super) struct Closing {
    closed: Closed,
    /// What a newer session has to know, if this one ended in order while the newer one was on its way.
    carried: Option<Carried>,
    step: Step,
}

#[derive(Debug)]
pub(super) enum Step {
    /// Both close_notify have gone, and what we wrote is being acknowledged. There is no limit unless the owner asked for
    /// one: the streams have theirs for a peer that stops acknowledging.
    Emptying { then: Then, until: Option<Instant> },
    /// Our xtls `<close/>` waits for `<closed/>`.
    CloseSent { until: Instant },
    /// The peer's xtls `<close/>` is due, because its close_notify came first.
    CloseAwaited { until: Instant },
    /// The stream is being closed; the tunnel ends with it.
    StreamClosing,
}

/// What follows when everything is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    SendClose,
    AwaitClose,
}

/// Which end came first with its xtls `<close/>`, when both sent one or the peer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crossing {
    /// Ours was sent or due as well.
    Both,
    /// The peer's was awaited.
    Expected,
    /// Nothing is awaited any more.
    Late,
}

/// What ends a tunnel before its time.
#[derive(Debug)]
pub(super) enum Ending {
    /// The owner wants it gone at once.
    Aborted,
    /// Its peer cannot be reached any more; what came before is still handed out.
    PeerGone(StanzaError),
    /// Its conversation goes on elsewhere, and the rest does not come; what came before is still handed out.
    RestMissing,
    /// The router ends the session for a reason of its own. Nothing of it is handed out any more.
    Dropped(By, Why),
    /// It was to replace another and has nothing to carry any more: it ends in silence. One whose open is unanswered does so
    /// in its turn.
    Discarded,
}

/// What the end of a stream means for the carrier on it.
#[derive(Debug)]
pub(super) enum Fallen {
    /// Our open has failed.
    OpenFailed(StreamEnd),
    /// The session has yet to hand out what came before.
    SessionEnds,
    /// Something else is awaited.
    Nothing,
    /// The carrier has ended.
    Ended(Box<Closed>),
}

/// What the peer's xtls `<close/>` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerClose {
    Nothing,
    /// The handshake was not finished.
    HandshakeAborted,
    /// The stream may have what comes before the end of the session.
    ReadToTheEnd,
    /// The stream is to be closed.
    CloseStream,
}

/// What a carrier without a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Emptied {
    Nothing,
    /// Everything is acknowledged: the `<close/>` is ours to send.
    SendClose,
    /// Everything is acknowledged, and the peer's `<close/>` is awaited.
    AwaitClose,
}

/// What a session's end leaves to do.
#[derive(Debug)]
pub(super) enum Settled {
    Nothing,
    /// What we wrote is being acknowledged, which no event reports.
    Emptying,
    StreamClosing,
    /// The stream had ended before.
    Ended(Box<Closed>),
}

/// What a deadline that has passed asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    Nothing,
    /// The peer's open has not come.
    NoOpen,
    /// The stream is to be cut.
    CutStream,
    /// The stream is to be closed.
    CloseStream,
}

impl Closing {
    pub(super) fn new(closed: Closed, carried: Option<Carried>, step: Step) -> Self {
        Self {
            closed,
            carried,
            step,
        }
    }

    /// Whether the stream is not being closed yet.
    pub(super) fn is_under_way(&self) -> bool {
        !matches!(self.step, Step::StreamClosing)
    }

    /// Whether our xtls `<close/>` waits for its answer.
    pub(super) fn has_sent_close(&self) -> bool {
        matches!(self.step, Step::CloseSent { .. })
    }

    /// What a newer session has to know of this one, once.
    pub(super) fn take_carried(&mut self) -> Option<Carried> {
        self.carried.take()
    }

    /// The owner wants an end by then.
    pub(super) fn hurry(&mut self, limit: Instant) {
        if let Step::Emptying { until, .. } = &mut self.step {
            until.get_or_insert(limit);
        }
    }

    /// What follows when everything is acknowledged, if that is what it waits for.
    pub(super) fn awaits_acknowledgements(&self) -> Option<Then> {
        match self.step {
            Step::Emptying { then, .. } => Some(then),
            Step::CloseSent { .. } | Step::CloseAwaited { .. } | Step::StreamClosing => None,
        }
    }

    /// Everything is acknowledged: the `<close/>` is sent, or awaited, until then.
    pub(super) fn on_acknowledged(&mut self, then: Then, until: Instant) {
        self.step = match then {
            Then::SendClose => Step::CloseSent { until },
            Then::AwaitClose => Step::CloseAwaited { until },
        };
    }

    /// The peer's xtls `<close/>` has come: the stream is to be closed by then.
    pub(super) fn on_peer_close(&mut self, until: Instant) -> Crossing {
        let crossing = match self.step {
            Step::Emptying { .. } | Step::CloseSent { .. } => Crossing::Both,
            Step::CloseAwaited { .. } => Crossing::Expected,
            Step::StreamClosing => return Crossing::Late,
        };
        self.step = Step::CloseAwaited { until };
        crossing
    }

    /// The stream's own close is due, or not. Says which.
    pub(super) fn close_stream(&mut self) -> bool {
        let due = match self.step {
            Step::CloseSent { .. } | Step::CloseAwaited { .. } => true,
            Step::Emptying { .. } | Step::StreamClosing => false,
        };
        if due {
            self.step = Step::StreamClosing;
        }
        due
    }

    /// The stream has ended so, and the tunnel with it.
    pub(super) fn on_stream_end(&self, why: StreamEnd) -> Box<Closed> {
        let mut closed = self.closed.clone();
        let delivered = matches!(why, StreamEnd::Done | StreamEnd::Unread { .. });
        if matches!(self.step, Step::Emptying { .. }) && !delivered {
            // What the peer wrote was read; what we wrote was not all acknowledged.
            closed.why = Why::Cut {
                session: SessionWhy::Finished,
                stream: why,
            };
        }
        Box::new(closed)
    }

    pub(super) fn expire(&self) -> Expired {
        match self.step {
            Step::Emptying { .. } => Expired::CutStream,
            Step::CloseSent { .. } | Step::CloseAwaited { .. } => Expired::CloseStream,
            Step::StreamClosing => Expired::Nothing,
        }
    }

    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        match self.step {
            Step::Emptying { until, .. } => Some((until?, "acknowledgements before close")),
            Step::CloseSent { until } => Some((until, "closed")),
            Step::CloseAwaited { until } => Some((until, "the peer's close")),
            Step::StreamClosing => None,
        }
    }
}
