//! How far the two ends of a carrier know each other, and how far our own has come to its end.

use xtls_session::Peer;
use xtls_tls::Fingerprint;

/// How far the two ends know each other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Progress {
    Handshaking,
    /// Our handshake is complete, so the peer may have accepted us, whether we learn of it or not.
    Ready,
    /// Both ends have accepted each other.
    Established {
        key: Fingerprint,
        /// Our ALPN was agreed on, so the peer knows what we added to the letter.
        bound: bool,
    },
}

/// How far the owner has ended our direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Intent {
    /// It goes on.
    Open,
    /// Ended, and everything may take its time.
    Finish,
    /// Ended, and each step is limited.
    Close,
}

impl Progress {
    pub(super) fn of(peer: &Peer) -> Self {
        Self::Established {
            key: peer.key.fingerprint,
            bound: peer.bound,
        }
    }

    pub(super) fn key(self) -> Option<Fingerprint> {
        match self {
            Self::Established { key, .. } => Some(key),
            Self::Handshaking | Self::Ready => None,
        }
    }

    pub(super) fn is_bound(self) -> bool {
        matches!(self, Self::Established { bound: true, .. })
    }

    pub(super) fn is_ready(self) -> bool {
        !matches!(self, Self::Handshaking)
    }

    /// Our handshake is complete.
    pub(super) fn ready(&mut self) {
        if let Self::Handshaking = self {
            *self = Self::Ready;
        }
    }

    /// The peer turns out to know the letter and nothing beside it.
    #[cfg(test)]
    pub(super) fn know_the_letter_only(&mut self) {
        if let Self::Established { bound, .. } = self {
            *bound = false;
        }
    }
}
