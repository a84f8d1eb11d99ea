//! Names of the sockets that are pipes of tunnels, and what their owner is asked to do with them.

use std::num::NonZeroU16;

use xtls_path::Dial;
use xtls_s5b::Destination;
use xtls_stanza::s5b::Host;

/// Names a socket under a tunnel within one router; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipeId(pub(super) u64);

impl PipeId {
    /// The name as a number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The name that has this number. One that the router has not given means nothing to it.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// What the owner of a router is to do with sockets. The router has none itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketWish {
    /// Connect, and say so with [`Router::connected`](super::Router::connected) or
    /// [`Router::connect_failed`](super::Router::connect_failed).
    Dial {
        /// The socket.
        pipe: PipeId,
        /// A name or an IP address that somebody else has named: judge where it leads before you connect.
        host: Host,
        /// The port.
        port: NonZeroU16,
        /// Who is there.
        whom: Whom,
    },
    /// Somebody may knock at your listener from now on, or nobody any more: see [`Router::knock`](super::Router::knock).
    Expect(bool),
    /// Close it once all that was written has left. It is not spoken of again.
    Close(PipeId),
}

/// Who is at the other end of a connection to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// A relay, which is asked for this by SOCKS5 (XEP-0065 §5.3.2).
    Relay(Destination),
    /// The peer itself.
    Peer,
}

impl Whom {
    pub(super) fn of(dial: Dial) -> Self {
        match dial {
            Dial::Relay {
                sid,
                requester,
                target,
                ours: _,
            } => Self::Relay(Destination::new(&sid, &requester, &target)),
            Dial::Direct => Self::Peer,
        }
    }
}
