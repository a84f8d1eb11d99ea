//! What can go wrong: with one leg, with the tunnel, and in a call.

use crate::frame::{Broken, Bye};

/// Why a leg has ended before its goodbye. That alone harms nothing: what it did not deliver goes over another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The pipe below ended.
    #[error("the pipe ended")]
    Ended,
    /// Nothing came while something was waiting for an answer.
    #[error("nothing came for 10 s")]
    Silent,
    /// A step of the beginning, or an answer to a goodbye, took too long.
    #[error("the other side took too long")]
    TimedOut,
    /// Whoever is there does not know the tunnel's secret, or this beginning has been used before.
    #[error("whoever answers there is not the peer")]
    Stranger,
    /// What came is no frame.
    #[error(transparent)]
    Broken(Broken),
    /// A frame that may not come at this point.
    #[error("a frame that may not come now")]
    Order,
    /// Data that do not follow those before.
    #[error("data that do not follow those before")]
    Jump,
    /// Data beyond what we allowed.
    #[error("more data than was allowed")]
    Credit,
    /// A number of an ACK that falls, or says that we are further than we are.
    #[error("an acknowledgement of what was not sent, or that takes back another")]
    Number,
    /// A PONG for a PING that was not sent.
    #[error("an answer to nothing")]
    Pong,
    /// The client chose an attempt that is over.
    #[error("an attempt that is over")]
    Stale,
    /// The peer left it although it carries.
    #[error("the peer left it")]
    Left,
    /// This end gave it up.
    #[error("given up")]
    Dropped,
    /// The tunnel has ended.
    #[error("the tunnel has ended")]
    Over,
}

/// Why a tunnel is cut: no leg can heal it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cut {
    /// A leg begins above what has come: somebody on the way has confirmed bytes in our name and swallowed them.
    #[error(
        "{missing} bytes are missing: somebody on the way confirmed them without passing them on"
    )]
    Gap {
        /// How many.
        missing: u64,
    },
    /// The peer says the same of what we sent.
    #[error("the peer misses bytes that somebody on the way confirmed")]
    PeerMisses,
    /// The peer has finished, and has not confirmed everything.
    #[error("the peer finished before it confirmed {unconfirmed} bytes")]
    Unconfirmed {
        /// How many.
        unconfirmed: u64,
    },
}

/// A call that does not fit what the wire is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The wire has no keys: nobody could tell the peer from a stranger.
    #[error("the tunnel has no keys yet by which its ends could recognise each other")]
    Unbound,
    /// Only the client chooses.
    #[error("only the TLS client chooses a leg")]
    NotClient,
    /// The leg is not one that can be chosen: its HELLOs have not been exchanged, or it has been chosen or left.
    #[error("this leg cannot be chosen")]
    NotStanding,
    /// One leg of this attempt or a later one has been chosen already.
    #[error("a leg of this attempt, or of a later one, has been chosen")]
    Stale,
    /// The tunnel has ended, or is about to.
    #[error("the tunnel has ended")]
    Over,
    /// Too many legs at a time.
    #[error("too many legs at a time")]
    TooMany,
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// How a leg was left, for those who are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegEnd {
    /// By goodbyes.
    Bye(Bye),
    /// Otherwise.
    Fault(Fault),
    /// The stream that was there at first is not needed any more.
    Done,
}
