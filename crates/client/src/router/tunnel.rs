//! One tunnel: a stream, a session on it, and the steps of closing.

use std::time::Instant;

use xtls_ibb::StreamId;
use xtls_session::{By, Session};
use xtls_stanza::{Address, Stanza};
use xtls_tls::{Fingerprint, Role};

use super::event::{Closed, Why};

/// A tunnel's place in its life. What is in a phase exists in that phase only.
#[derive(Debug)]
pub(super) enum Phase {
    /// Our `<open/>` is unanswered.
    Opening,
    /// Our `<open/>` lost against the peer's, which is awaited until then.
    Yielding { until: Instant },
    /// A session runs over the stream.
    Running(Box<Session>),
    /// Both close_notify have gone and we sent ours first; the stream is being emptied, then `<close/>` goes.
    Emptying { closed: Closed, until: Instant },
    /// Our xtls `<close/>` waits for `<closed/>`.
    Closing {
        closed: Closed,
        id: String,
        until: Instant,
    },
    /// The peer sent its close_notify first, so its `<close/>` is due.
    Awaiting { closed: Closed, until: Instant },
    /// The stream is being closed; its end is the tunnel's.
    Ending { closed: Closed },
}

#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) peer: Address,
    pub(super) role: Role,
    pub(super) stream: StreamId,
    pub(super) phase: Phase,
    /// The peer's key, once the session is established.
    pub(super) key: Option<Fingerprint>,
    /// The owner does not want events of this tunnel now.
    pub(super) held: bool,
    /// Events of this tunnel that wait for the owner.
    pub(super) queued: usize,
    /// What the stream beneath ended with.
    pub(super) cut: Option<xtls_ibb::Why>,
}

impl Tunnel {
    pub(super) fn new(peer: Address, role: Role, stream: StreamId, phase: Phase) -> Self {
        Self {
            peer,
            role,
            stream,
            phase,
            key: None,
            held: false,
            queued: 0,
            cut: None,
        }
    }

    /// The session, while there is one.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.phase {
            Phase::Running(session) => Some(session),
            Phase::Opening
            | Phase::Yielding { .. }
            | Phase::Emptying { .. }
            | Phase::Closing { .. }
            | Phase::Awaiting { .. }
            | Phase::Ending { .. } => None,
        }
    }

    pub(super) fn send(&mut self, stanza: &Stanza) -> Result<(), xtls_session::SendError> {
        match &mut self.phase {
            Phase::Running(session) => session.send(stanza),
            Phase::Opening | Phase::Yielding { .. } => Err(xtls_session::SendError::NotOpen),
            Phase::Emptying { .. }
            | Phase::Closing { .. }
            | Phase::Awaiting { .. }
            | Phase::Ending { .. } => Err(xtls_session::SendError::Finished),
        }
    }

    /// Whether the tunnel counts against the caps on unfinished ones.
    pub(super) fn half_open(&self) -> bool {
        let early = matches!(self.phase, Phase::Running(_));
        self.role == Role::Server && early && self.key.is_none()
    }

    /// Whether an open of ours is on its way.
    pub(super) fn opening(&self) -> bool {
        matches!(self.phase, Phase::Opening)
    }

    pub(super) fn closed(&self, by: By, why: Why) -> Closed {
        Closed {
            peer: self.peer.clone(),
            by,
            why,
            clean: false,
            unconfirmed: 0,
        }
    }

    /// The tunnel's own deadlines, without those of the layers beneath.
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        match &self.phase {
            Phase::Opening | Phase::Ending { .. } => None,
            Phase::Yielding { until } => Some((*until, "the peer's open after a conflict")),
            Phase::Running(session) => session
                .poll_timeout()
                .map(|deadline| (deadline.at, deadline.why)),
            Phase::Emptying { until, .. } => Some((*until, "acknowledgements before close")),
            Phase::Closing { until, .. } => Some((*until, "closed")),
            Phase::Awaiting { until, .. } => Some((*until, "the peer's close")),
        }
    }
}
