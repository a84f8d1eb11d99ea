//! How far a session has come.

use xtls_tls::{Fingerprint, PeerKey, Standing};

use crate::event::{Close, JudgeError, Verdict};

/// How far a session has come. Each phase has what only it knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    /// The peer has not proven its key yet.
    Handshaking,
    /// The peer's key is genuine and not pinned: the owner has to judge it. What a new session would say of the key.
    Judging(Standing),
    /// Our verdict is given, and the responder's is not: only steps of a verification can have come.
    Ready,
    /// Both ends accept each other's key.
    Established,
    /// The end is decided; an alert may still be waiting for the transport.
    Ending(Box<Close>),
    /// [`Event::Closed`](crate::Event::Closed) was handed out.
    Closed,
}

impl Phase {
    /// Whether the application may write.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Ready | Self::Established => true,
            Self::Handshaking | Self::Judging(_) | Self::Ending(_) | Self::Closed => false,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Ending(_) | Self::Closed => true,
            Self::Handshaking | Self::Judging(_) | Self::Ready | Self::Established => false,
        }
    }

    /// Whether `verdict` on `key` would be taken now, of a peer that has presented `peer`.
    pub(super) fn awaits_verdict(
        &self,
        peer: Option<&PeerKey>,
        key: Fingerprint,
        verdict: Verdict,
    ) -> Result<(), JudgeError> {
        let (Self::Judging(standing), Some(peer)) = (self, peer) else {
            return Err(JudgeError::NotDue);
        };
        if peer.fingerprint != key {
            return Err(JudgeError::OtherKey(peer.fingerprint));
        }
        match (standing, verdict) {
            (Standing::Doubted(_), Verdict::Accept) => Err(JudgeError::Doubted),
            (Standing::Doubted(_), Verdict::Refuse) => Ok(()),
            (Standing::New | Standing::Pinned(_), Verdict::Accept | Verdict::Refuse) => Ok(()),
        }
    }
}
