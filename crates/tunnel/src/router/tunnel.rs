//! One tunnel: a stream, a session on it, and the steps of closing.

use std::time::Instant;

use bytes::Bytes;
use xtls_session::{By, Carried, Mode, Peer, Receipt, SendError, Service, Session};
use xtls_stanza::Address;
use xtls_tls::{Fingerprint, Role};

use super::event::{Closed, TunnelId, Why};
use super::legs::Leg;
use crate::transport::StreamEnd;

/// A tunnel's place in its life. What is in a phase exists in that phase only.
#[derive(Debug)]
pub(super) enum Phase {
    /// Our `<open/>` is unanswered. The session whose ClientHello travels in it, if one does.
    Opening { early: Option<Box<Session>> },
    /// The peer's `<open/>` waits for the owner's word, with the ClientHello that came in it.
    Asking { hello: Option<Bytes> },
    /// Our `<open/>` lost against the peer's, which is awaited until then.
    Yielding { until: Instant },
    /// A session runs over the stream.
    Running(Box<Session>),
    /// Both close_notify have gone. What we wrote is being acknowledged; then we send `<close/>` (`first`: our
    /// close_notify was), or await it. Without a limit, unless the owner is in a hurry: the streams have one of their own
    /// for a peer that stops acknowledging.
    Emptying {
        closed: Box<Closed>,
        first: bool,
        until: Option<Instant>,
    },
    /// Our xtls `<close/>` waits for `<closed/>`.
    Closing { closed: Box<Closed>, until: Instant },
    /// The peer sent its close_notify first, so its `<close/>` is due.
    Awaiting { closed: Box<Closed>, until: Instant },
    /// The stream is being closed; its end is the tunnel's.
    Ending { closed: Box<Closed> },
}

/// Where our ClientHello has travelled: it decides whether a failure is answered by one more try without an early one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hello {
    /// On the stream only, or the handshake has gone beyond it.
    Stream,
    /// In the open, which is unanswered.
    Open,
    /// In the open, and on the stream once more, as its answer was a plain one.
    Both,
}

#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) peer: Address,
    pub(super) role: Role,
    /// What travels inside. A responder knows it when the session is established, and takes whatever it serves before.
    pub(super) service: Option<Service>,
    /// The stream beneath, until it has ended.
    pub(super) stream: Option<Leg>,
    pub(super) phase: Phase,
    /// Where our ClientHello has travelled.
    pub(super) hello: Hello,
    /// The peer's key, once the session is established.
    pub(super) key: Option<Fingerprint>,
    /// The key that the peer has proven to hold, let in or not.
    pub(super) proven: Option<Fingerprint>,
    /// Our ALPN was agreed on, so the peer knows what we added to the letter.
    pub(super) bound: bool,
    /// The owner does not want events of this tunnel now.
    pub(super) held: bool,
    /// Events of this tunnel that wait for the owner.
    pub(super) queued: usize,
    /// What they weigh, in bytes.
    pub(super) weight: usize,
    /// The session has events that found the owner's queue full.
    pub(super) stalled: bool,
    /// The session has nothing more to read: its last events wait for nobody's room.
    pub(super) over: bool,
    /// The owner has ended our direction.
    pub(super) finished: bool,
    /// The owner wants an end within the limits.
    pub(super) hurry: bool,
    /// The peer's xtls `<close/>` has come.
    pub(super) dismissed: bool,
    /// What the stream beneath ended with.
    pub(super) cut: Option<Box<StreamEnd>>,
    /// The established tunnel that this one is about to replace: until then the owner hears nothing of it.
    pub(super) rival: Option<TunnelId>,
    /// The newer tunnel to which this one's conversation is moving, and when the rest has to have gone on.
    pub(super) heir: Option<(TunnelId, Instant)>,
    /// What a newer session has to know of this one, which has ended in order while the newer one was on its way.
    pub(super) carried: Option<Box<Carried>>,
    /// Bytes that the stream beneath had moved when we looked last, while the rest is awaited.
    pub(super) moved: u64,
    /// It is established, and waits until its rival has been read to the end.
    pub(super) waiting: Option<Box<Peer>>,
    /// Its conversation has moved on under its name; the rest is closing only.
    pub(super) silent: bool,
    /// The peer has ended its direction while a successor of ours was on its way: it has moved there, or has finished.
    pub(super) parted: bool,
    /// The peer has ended its direction of the rival, and this is no conversation of its own: it has nothing to say here.
    pub(super) late: bool,
    /// The owner is told that the peer has ended its direction, be it of the session before this one.
    pub(super) mute: bool,
    /// The owner has taken everything before that.
    pub(super) took: bool,
    /// The peer has said something that nobody was told: it never hears that everything was taken.
    pub(super) unheard: bool,
    /// Our handshake is complete, so the peer may have accepted us, whether we hear of it or not.
    pub(super) ready: bool,
    /// What the router ended the session for, when it is the router that did.
    pub(super) verdict: Option<Box<(By, Why)>>,
}

impl Tunnel {
    pub(super) fn new(peer: Address, role: Role, stream: Leg) -> Self {
        Self {
            peer,
            role,
            service: None,
            stream: Some(stream),
            phase: Phase::Opening { early: None },
            hello: Hello::Stream,
            key: None,
            proven: None,
            bound: false,
            held: false,
            queued: 0,
            weight: 0,
            stalled: false,
            over: false,
            finished: false,
            hurry: false,
            dismissed: false,
            cut: None,
            rival: None,
            heir: None,
            carried: None,
            moved: 0,
            waiting: None,
            silent: false,
            parted: false,
            late: false,
            mute: false,
            took: false,
            unheard: false,
            ready: false,
            verdict: None,
        }
    }

    /// The session, while there is one.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.phase {
            Phase::Running(session) => Some(session),
            Phase::Opening { .. }
            | Phase::Asking { .. }
            | Phase::Yielding { .. }
            | Phase::Emptying { .. }
            | Phase::Closing { .. }
            | Phase::Awaiting { .. }
            | Phase::Ending { .. } => None,
        }
    }

    /// The same, to look at only.
    pub(super) fn running(&self) -> Option<&Session> {
        match &self.phase {
            Phase::Running(session) => Some(session),
            Phase::Opening { .. }
            | Phase::Asking { .. }
            | Phase::Yielding { .. }
            | Phase::Emptying { .. }
            | Phase::Closing { .. }
            | Phase::Awaiting { .. }
            | Phase::Ending { .. } => None,
        }
    }

    /// The session, to say something in it.
    pub(super) fn speaking(&mut self) -> Result<&mut Session, SendError> {
        match &mut self.phase {
            Phase::Running(session) => Ok(session),
            Phase::Opening { .. } | Phase::Asking { .. } | Phase::Yielding { .. } => {
                Err(SendError::NotOpen)
            }
            Phase::Emptying { .. }
            | Phase::Closing { .. }
            | Phase::Awaiting { .. }
            | Phase::Ending { .. } => Err(SendError::Finished),
        }
    }

    pub(super) fn mode(&self) -> Option<Mode> {
        self.service.as_ref().map(Service::mode)
    }

    /// Whether the owner hears nothing of it.
    pub(super) fn hidden(&self) -> bool {
        self.silent || self.rival.is_some()
    }

    /// Whether a session runs that is not established.
    pub(super) fn unfinished(&self) -> bool {
        matches!(self.phase, Phase::Running(_)) && self.key.is_none()
    }

    /// Whether an open of ours is on its way.
    pub(super) fn opening(&self) -> bool {
        matches!(self.phase, Phase::Opening { .. })
    }

    /// Whether the stream beneath was agreed on.
    pub(super) fn begun(&self) -> bool {
        !self.awaits_open() && !matches!(self.phase, Phase::Asking { .. })
    }

    /// Whether a crossing open of the peer's takes this tunnel's place.
    pub(super) fn awaits_open(&self) -> bool {
        matches!(self.phase, Phase::Opening { .. } | Phase::Yielding { .. })
    }

    pub(super) fn closed(&self, by: By, why: Why) -> Box<Closed> {
        Box::new(Closed {
            peer: self.peer.clone(),
            by,
            why,
            clean: false,
            unconfirmed: 0,
            receipt: Receipt::Unaccepted,
        })
    }

    /// The tunnel's own deadlines, without those of the streams beneath.
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let drain = self
            .heir
            .map(|(_, until)| (until, "the rest of a replaced tunnel"));
        [drain, self.phase_deadline()]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    fn phase_deadline(&self) -> Option<(Instant, &'static str)> {
        match &self.phase {
            Phase::Closing { .. } | Phase::Awaiting { .. } if planted!("closing-without-timer") => {
                None
            }
            Phase::Opening { .. } | Phase::Asking { .. } | Phase::Ending { .. } => None,
            Phase::Yielding { until } => Some((*until, "the peer's open after a conflict")),
            // What is over waits for nothing but that the stream takes its alert.
            Phase::Running(session) if self.over => {
                session.last_words().map(|until| (until, "last words"))
            }
            Phase::Running(session) => session
                .poll_timeout()
                .map(|deadline| (deadline.at, deadline.why)),
            Phase::Emptying { until, .. } => {
                until.map(|until| (until, "acknowledgements before close"))
            }
            Phase::Closing { until, .. } => Some((*until, "closed")),
            Phase::Awaiting { until, .. } => Some((*until, "the peer's close")),
        }
    }
}
