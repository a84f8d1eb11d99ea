//! How far a session has come.

use std::time::Instant;

use super::wire::Ticket;
use crate::location::Location;

/// Where the session stands.
#[derive(Debug, Default)]
pub(super) enum Phase {
    /// There is none.
    #[default]
    Off,
    /// There will be none on this connection.
    Refused,
    /// `<enable/>` was written.
    Enabling,
    On {
        /// `None`: it ends with the connection.
        ticket: Option<Ticket>,
        /// Something was acknowledged on this connection, or nothing had to be: what is written again is not what ends it.
        proven: bool,
        /// By when the server has to answer the first request after a resumption.
        answer_by: Option<Instant>,
    },
    /// The connection is lost.
    Away {
        ticket: Ticket,
        /// When it is too late; `None`: never.
        until: Option<Instant>,
        /// Where to try first. Taken when it is tried.
        location: Option<Location>,
        /// Resumptions in this outage that were cut before the server said yes or no.
        unanswered: u32,
    },
    /// `<resume/>` was written.
    Resuming {
        ticket: Ticket,
        until: Option<Instant>,
        unanswered: u32,
    },
    /// It can't be resumed. What is not acknowledged waits to be reported.
    Over,
}

impl Phase {
    pub(super) fn can_resume(&self, now: Instant) -> bool {
        match self {
            Self::Away { until, .. } => until.is_none_or(|until| now < until),
            Self::Off
            | Self::Refused
            | Self::Enabling
            | Self::On { .. }
            | Self::Resuming { .. }
            | Self::Over => false,
        }
    }

    pub(super) fn is_resumable(&self) -> bool {
        match self {
            Self::On { ticket, .. } => ticket.is_some(),
            Self::Away { .. } | Self::Resuming { .. } => true,
            Self::Off | Self::Refused | Self::Enabling | Self::Over => false,
        }
    }
}
