//! Where a carrier is in its life: an open, a session, or the steps of closing.

use std::time::Instant;

use bytes::Bytes;
use xtls_session::{SendError, Session};

use super::closing::Closing;
use super::running::Running;

/// Where a carrier is in its life. What is in a phase exists in that phase only.
#[derive(Debug)]
pub(super) enum Phase {
    /// Our `<open/>` is unanswered. The session whose ClientHello travels in it, if one does.
    Opening { early: Option<Box<Session>> },
    /// The peer's `<open/>` waits for the owner's answer, with the ClientHello that came in it.
    Asking { hello: Option<Bytes> },
    /// Our `<open/>` lost against the peer's, which is awaited until then.
    Yielding { until: Instant },
    /// A session runs over the stream.
    Running(Running),
    /// The session has ended, or none began; the stream is closed step by step.
    Closing(Box<Closing>),
}

impl Phase {
    pub(super) fn running(&self) -> Option<&Running> {
        let Self::Running(running) = self else {
            return None;
        };
        Some(running)
    }

    pub(super) fn running_mut(&mut self) -> Option<&mut Running> {
        let Self::Running(running) = self else {
            return None;
        };
        Some(running)
    }

    pub(super) fn closing(&self) -> Option<&Closing> {
        let Self::Closing(closing) = self else {
            return None;
        };
        Some(closing)
    }

    pub(super) fn closing_mut(&mut self) -> Option<&mut Closing> {
        let Self::Closing(closing) = self else {
            return None;
        };
        Some(closing)
    }

    /// Whether an open of ours is unanswered.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self, Self::Opening { .. })
    }

    /// Whether an unanswered open of ours holds a ClientHello.
    pub(super) fn is_opening_early(&self) -> bool {
        matches!(self, Self::Opening { early: Some(_) })
    }

    /// Whether a crossing open of the peer's takes its place.
    pub(super) fn awaits_open(&self) -> bool {
        matches!(self, Self::Opening { .. } | Self::Yielding { .. })
    }

    pub(super) fn is_yielding(&self) -> bool {
        matches!(self, Self::Yielding { .. })
    }

    /// Whether neither end has agreed to the stream yet, or one of them waits for the other's open.
    pub(super) fn is_beginning(&self) -> bool {
        self.awaits_open() || matches!(self, Self::Asking { .. })
    }

    /// Whether the steps of closing are under way, and the stream is not being closed yet.
    pub(super) fn is_closing(&self) -> bool {
        self.closing().is_some_and(Closing::is_under_way)
    }

    /// Whether our xtls `<close/>` waits for its answer.
    pub(super) fn has_sent_close(&self) -> bool {
        self.closing().is_some_and(Closing::has_sent_close)
    }

    /// The session, to send something in it.
    pub(super) fn sending(&mut self) -> Result<&mut Session, SendError> {
        match self {
            Self::Running(running) => Ok(running.session_mut()),
            Self::Opening { .. } | Self::Asking { .. } | Self::Yielding { .. } => {
                Err(SendError::NotOpen)
            }
            Self::Closing(_) => Err(SendError::Finished),
        }
    }

    /// The session whose ClientHello travelled in our open.
    pub(super) fn take_early(&mut self) -> Option<Box<Session>> {
        match self {
            Self::Opening { early } => early.take(),
            Self::Asking { .. } | Self::Yielding { .. } | Self::Running(_) | Self::Closing(_) => {
                None
            }
        }
    }

    /// The ClientHello of an open that waits for the owner's answer.
    pub(super) fn hello_mut(&mut self) -> Option<&mut Option<Bytes>> {
        match self {
            Self::Asking { hello } => Some(hello),
            Self::Opening { .. } | Self::Yielding { .. } | Self::Running(_) | Self::Closing(_) => {
                None
            }
        }
    }

    /// When something runs out here.
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::Opening { .. } | Self::Asking { .. } => None,
            Self::Yielding { until } => Some((*until, "the peer's open after a conflict")),
            Self::Running(running) => running.deadline(),
            Self::Closing(closing) => closing.deadline(),
        }
    }
}
