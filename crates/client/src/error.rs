//! Why a call on a handle had no effect.

use std::io;

use xtls_keys::PinsError;
use xtls_session::{By, Service, Why as Inner};
use xtls_tunnel::router::{Closed, Gone, Why};

/// Why a verdict on a key had no effect: nothing was accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// The key it is about no longer waits for a verdict: its tunnel has ended, it was judged already, or another key waits.
    #[error(transparent)]
    Stale(#[from] xtls_tunnel::router::JudgeError),
    /// The pin could not be written; the key is refused.
    #[error(transparent)]
    Pins(#[from] PinsError),
}

/// Why there is no [`Listener`](crate::Listener).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The configuration does not serve it: see [`Config::service`](xtls_tunnel::Config::service) and
    /// [`Config::also_serve`](xtls_tunnel::Config::also_serve).
    #[error("the service {:?} is not among those that the configuration serves", .0.name())]
    NotServed(Service),
    /// There is a listener for it already.
    #[error("there is a listener for the service {:?} already", .0.name())]
    Taken(Service),
    /// The client has ended.
    #[error("the client has ended")]
    Stopped,
}

impl From<Gone> for JudgeError {
    fn from(gone: Gone) -> Self {
        Self::Stale(gone.into())
    }
}

/// What a reader gets for an end other than the peer's own: never an end of file.
pub(crate) fn read_error(closed: &Closed) -> io::Error {
    let kind = match (&closed.why, closed.by) {
        (Why::Declined(_), _) => io::ErrorKind::ConnectionRefused,
        (Why::Unavailable(_) | Why::Unreachable(_), _) => io::ErrorKind::HostUnreachable,
        (Why::NoAnswer, _)
        | (
            Why::Session(
                Inner::HandshakeTimeout
                | Inner::JudgingTimeout
                | Inner::CloseTimeout
                | Inner::Silent,
            ),
            _,
        ) => io::ErrorKind::TimedOut,
        (Why::Session(Inner::Refused) | Why::Impostor, _) => io::ErrorKind::PermissionDenied,
        (
            Why::Session(Inner::Tls(_) | Inner::Confirmation(_))
            | Why::Unasked
            | Why::LongFlight { .. },
            _,
        ) => io::ErrorKind::InvalidData,
        (Why::Session(Inner::Truncated) | Why::Cut { .. }, _) => io::ErrorKind::UnexpectedEof,
        (_, By::Us) => io::ErrorKind::ConnectionAborted,
        (_, By::Peer | By::Transport) => io::ErrorKind::ConnectionReset,
    };
    io::Error::new(kind, closed.why.clone())
}

/// What a writer gets once the tunnel has ended.
pub(crate) fn write_error(closed: &Closed) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, closed.why.clone())
}
