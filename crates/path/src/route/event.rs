//! What a route tells its owner, and what it wants of it.

use std::fmt;
use std::num::NonZeroU16;
use std::time::Instant;

use xtls_stanza::path::{Because, Takes};
use xtls_stanza::s5b::{self, Host};
use xtls_stanza::{Address, ibb};

use crate::error::Cut;

/// A pipe of a route: a connection, or an In-Band Bytestream. The numbers are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pipe(pub(crate) u32);

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pipe {}", self.0)
    }
}

/// What carries a tunnel, the better the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Stanzas, through the servers of both ends.
    InBand,
    /// A SOCKS5 relay (XEP-0065) of one of the servers.
    Relay,
    /// TCP from one end to the other.
    Direct,
}

/// What is at the place that a [`Wish::Dial`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dial {
    /// A relay: SOCKS5 for the destination of this sid and these addresses (XEP-0065 §5.3.2).
    Relay {
        /// The bytestream there.
        sid: s5b::Sid,
        /// Whose server's relay it is.
        requester: Address,
        /// The other end.
        target: Address,
        /// Whether that is a relay of our own server: it has announced it to us.
        ours: bool,
    },
    /// The peer itself.
    Direct,
}

/// Something that the owner of a route is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wish {
    /// Find the relays of our own server: [`set_relays`](super::Route::set_relays), even if there are none. Once a connection.
    FindRelays,
    /// Connect. What follows is [`connected`](super::Route::connected) or [`failed`](super::Route::failed).
    Dial {
        /// What the connection is called from now on.
        pipe: Pipe,
        /// What is there.
        how: Dial,
        /// A name or an address; what it leads to is for who dials to judge.
        host: Host,
        /// The port.
        port: NonZeroU16,
    },
    /// Ask a relay of our own server to join the two ends: [`activated`](super::Route::activated).
    Activate {
        /// Our connection to it.
        pipe: Pipe,
        /// The relay, exactly as it was announced.
        jid: Address,
        /// The bytestream there.
        sid: s5b::Sid,
        /// The other end.
        target: Address,
    },
    /// Somebody may knock at our listener for this route: [`knock`](super::Route::knock).
    Expect {
        /// Until then at most.
        until: Instant,
    },
    /// Nobody knocks any more.
    Unexpect,
    /// Open an In-Band Bytestream to the peer, marked as a leg.
    OpenStream {
        /// What it is called from now on.
        pipe: Pipe,
        /// Its name.
        sid: ibb::Sid,
    },
    /// The peer opens an In-Band Bytestream of this name, marked as a leg: accept it.
    ExpectStream {
        /// What it is called from now on.
        pipe: Pipe,
        /// Its name.
        sid: ibb::Sid,
    },
    /// Close the pipe, or do not make it. The route has forgotten it; what it has said there still goes.
    Drop {
        /// Which.
        pipe: Pipe,
    },
}

/// How a relay of our server answered to being activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// With an error.
    Refused,
    /// With `resource-constraint`: we have as many streams there as it allows.
    Limited,
    /// Not at all.
    TimedOut,
}

/// Something that the owner should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteEvent {
    /// Both ends write there from now on.
    Moved {
        /// Where.
        to: Kind,
    },
    /// An attempt to move is over; what carried still does.
    Stayed {
        /// Why.
        why: Stay,
    },
    /// What carried has gone. Nothing is lost: the ends look for another path.
    Lost,
    /// No path was found: the tunnel is cut. The last event but for [`CloseZero`](Self::CloseZero).
    GivenUp {
        /// Why.
        why: GiveUp,
    },
    /// The tunnel is cut, and no path can heal it. The last event but for [`CloseZero`](Self::CloseZero).
    Cut {
        /// Why.
        why: Cut,
    },
    /// Everything was sent and confirmed, both ways. The last event but for [`CloseZero`](Self::CloseZero).
    Finished,
    /// Abort the stream that the tunnel began on: it is not needed any more.
    CloseZero,
    /// What the peer's owner lets it connect to.
    PeerAllows(Takes),
}

/// Why a tunnel stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stay {
    /// Neither end has a relay, or an address, at which the other one may meet it.
    #[error("neither end has a relay or an address that both may use")]
    Nothing,
    /// The last that was hoped for has failed.
    #[error("no connection was made ({})", .0.name())]
    Failed(Because),
    /// Nothing stood in time.
    #[error("no connection was made within 20 s")]
    TimedOut,
    /// The peer, or a server, refused a signal or did not answer it.
    #[error("the other end does not answer signals")]
    Unanswered,
    /// The peer gave up the attempt.
    #[error("the other end gave up the attempt")]
    GivenUp,
}

/// Why no path is looked for any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GiveUp {
    /// Three attempts, and nothing stood.
    #[error("three attempts to find another path have failed")]
    Attempts,
    /// Too long without anything that carries, although the server is there.
    #[error("no other path was found within 60 s")]
    Alone,
    /// Too long without anything that carries, and without a link to the server.
    #[error("there was no link to the server, nor another path, for 10 minutes")]
    Offline,
    /// The peer knows nothing of the tunnel.
    #[error("the other end does not know this tunnel any more")]
    Gone,
    /// The ends cannot recognise each other: the tunnel has no keys.
    #[error("the tunnel was not established")]
    Unbound,
}
