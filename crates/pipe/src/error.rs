//! What can go wrong, and on which side.

use std::error::Error;
use std::{fmt, io};

use crate::frame::{MAX_PAYLOAD, name};
use crate::pipe::Outcome;

/// What the peer did against the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// A later version, which may mean other things by the same bytes.
    #[error(
        "the peer speaks version {0} of the pipe protocol, and this end version 1: the older one has to be updated"
    )]
    Version(u8),
    /// A frame that may not be skipped.
    #[error("the peer sent a frame of type 0x{0:02x}, which is not known and must not be skipped")]
    Unknown(u8),
    /// A frame with more than is allowed.
    #[error(
        "the peer sent a frame of {length} bytes (type 0x{kind:02x}), {MAX_PAYLOAD} are allowed"
    )]
    TooLong {
        /// Its type.
        kind: u8,
        /// What it claims.
        length: usize,
    },
    /// A frame with a length that its type does not have.
    #[error("the peer sent a frame `{}` of {length} bytes", name(*.kind))]
    Length {
        /// Its type.
        kind: u8,
        /// What it claims.
        length: usize,
    },
    /// A reason, or a kind of exit, that there is not.
    #[error("the peer gave the reason {0}, which does not exist")]
    Reason(u8),
    /// Something before the hello.
    #[error("the peer's first frame is not `hello`: it does not speak the pipe protocol")]
    NoHello,
    /// More than one hello.
    #[error("the peer sent `hello` twice")]
    SecondHello,
    /// Data, or an end, after the end.
    #[error("the peer sent `{0}` after its end")]
    AfterEnd(&'static str),
    /// The peer has taken what it has not been sent.
    #[error("the peer says that it has taken {taken} bytes, and was sent {sent}")]
    TakenTooMuch {
        /// What it says.
        taken: u64,
        /// What it was sent.
        sent: u64,
    },
    /// The peer has taken less than it had.
    #[error("the peer says that it has taken {now} bytes, after {before}")]
    TakenBack {
        /// What it says.
        now: u64,
        /// What it said before.
        before: u64,
    },
    /// An exit before the end of the output, twice, or of no command.
    #[error("the peer sent `exit` where none belongs")]
    Exit,
}

/// Where something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Our own input or output.
    Here,
    /// The peer, or its input or output.
    Peer,
    /// What is between the two.
    Tunnel,
}

/// What had not come when the tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The end of the peer's data.
    #[error("what came is not everything")]
    End,
    /// The peer's word that its application has taken our data.
    #[error("the peer did not say that it has taken everything")]
    Taken,
    /// How the peer's command has exited.
    #[error("the peer did not say how its command has exited")]
    Exit,
}

/// What ended a pipe other than well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Our input failed. The peer knows that what it has is not everything.
    #[error("the input failed: what was sent is not everything")]
    Input(#[source] io::Error),
    /// Our output takes no more. The peer knows that.
    #[error("the output takes no more: not all of what the peer sent was written")]
    Output(#[source] io::Error),
    /// The peer's input failed.
    #[error("the peer's input failed: what came is not everything")]
    PeerInput,
    /// The peer's output takes no more.
    #[error("the peer's reader has gone away: not all of what was sent was taken")]
    PeerReader,
    /// The peer wants no data, and there are some.
    #[error("the peer takes no data, and not all of the input was taken")]
    NotWanted,
    /// The tunnel ended too early.
    #[error("the tunnel was cut: {0}")]
    Truncated(Missing),
    /// The tunnel failed, which is a truncation too.
    #[error("the tunnel failed")]
    Tunnel(#[source] io::Error),
    /// The peer broke the protocol.
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl Fault {
    /// Where it is.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self {
            Self::Input(_) | Self::Output(_) => Side::Here,
            Self::PeerInput | Self::PeerReader | Self::NotWanted | Self::Broken(_) => Side::Peer,
            Self::Truncated(_) | Self::Tunnel(_) => Side::Tunnel,
        }
    }

    /// Whether somebody between the two may have done it: what came, or what was sent, may end early.
    #[must_use]
    pub const fn is_truncation(&self) -> bool {
        matches!(self.side(), Side::Tunnel)
    }
}

/// A pipe that did not end well, and how far it had come.
#[derive(Debug)]
pub struct PipeError {
    /// What happened.
    pub fault: Fault,
    /// What had been sent, taken and received until then.
    pub outcome: Outcome,
}

impl fmt::Display for PipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl Error for PipeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}
