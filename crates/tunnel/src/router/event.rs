//! What a router tells its owner.

use xtls_ibb::Refusal;
use xtls_session::{By, Introduction, Peer, Receipt, Traffic, Verify, Violation};
use xtls_stanza::busy::Busy;
use xtls_stanza::{Address, Stanza, StanzaError};
use xtls_tls::Fingerprint;

use super::path_config::PathEvent;
use super::weight;
use crate::transport::{self, StreamEnd};

/// Names a tunnel within one router; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId(pub(super) u64);

impl TunnelId {
    /// The name as a number, for logs.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The name of the same tunnel once these two have exchanged theirs.
    pub(super) fn swapped(self, [one, other]: [Self; 2]) -> Self {
        if self == one {
            other
        } else if self == other {
            one
        } else {
            self
        }
    }
}

impl std::fmt::Display for TunnelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Something that happened, and to which tunnel.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The tunnel.
    pub id: TunnelId,
    /// What happened.
    pub what: TunnelEvent,
}

/// What happened to a tunnel.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TunnelEvent {
    /// A peer whom the accept policy allows has opened it. Nothing is proven yet.
    Incoming(Address),
    /// A peer of whom the accept policy does not decide asks for a tunnel: answer with
    /// [`TunnelMut::admit`](super::TunnelMut::admit). Without an answer it is declined after
    /// [`accept_timeout`](xtls_ibb::Config::accept_timeout), 50 s by default.
    Asked(Address),
    /// The peer's key is not pinned: answer with [`TunnelMut::judge`](super::TunnelMut::judge), naming that key.
    Judge(Introduction),
    /// Stanzas may be sent, although the responder has not confirmed us yet.
    Ready,
    /// Both ends have accepted each other.
    Established(Peer),
    /// The tunnel has new keys: another session with the same peer and the same key took over, and nothing was lost in
    /// between.
    Renewed(Peer),
    /// Somebody has opened a second tunnel in the peer's name with another key than the one proven here, and was not let in.
    /// This tunnel goes on as it was.
    OtherKey(OtherKey),
    /// A request of ours that the peer will not answer any more, because the tunnel is ending: the error that it gets
    /// instead. It was made here.
    Unanswered(Stanza),
    /// A stanza from the peer, addresses restored.
    Stanza(Stanza),
    /// A stanza that the peer had no authority to send was dropped.
    Refused(Violation),
    /// A verification goes on; see [`TunnelMut::verify`](super::TunnelMut::verify). Counting the attempt and storing the result
    /// is done by the client, which owns the store.
    Verify(Verify),
    /// The attempt to verify was not made, or its result not stored; why. Said by the client.
    NotVerified(String),
    /// What has become of its path, of those that may [move](super::Config::paths).
    Path(PathEvent),
    /// There is room again after `Full`.
    Writable,
    /// Bytes can be read ([`TunnelMut::read`](super::TunnelMut::read)). Told when bytes come, not for what is left of them: read
    /// until there are none.
    Readable,
    /// The key should have been pinned on first use and could not be, so it was refused. Said by the client, which
    /// owns the store.
    NotPinned(String),
    /// The peer has nothing more to say; all it sent was handed out, and but for answers nothing follows. Say
    /// [`TunnelMut::took`](super::TunnelMut::took) once it has all been taken, which the peer waits for.
    PeerFinished,
    /// The end; nothing comes after it. Comes exactly once.
    Closed(Closed),
}

impl TunnelEvent {
    /// Bytes of memory that it holds: what a peer can make long counts by its length, and everything else as 512.
    #[must_use]
    pub fn weight(&self) -> usize {
        weight::of(self)
    }
}

/// Who has opened a second tunnel in the name of a peer, without its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherKey {
    /// The key that was shown; `None` if none could be read, or it was our own.
    pub key: Option<Fingerprint>,
    /// Whether that key is pinned for the peer, and not revoked: another device of theirs. Any other key is an attack, or a
    /// device that nobody has vouched for.
    pub pinned: bool,
}

/// How a tunnel ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    /// The address at the other end.
    pub peer: Address,
    /// Who ended it.
    pub by: By,
    /// Why.
    pub why: Why,
    /// Whether everything that the peer wrote was read.
    pub clean: bool,
    /// Stanzas that were sent, by this session and those that it replaced, and of which the peer has not said inside TLS that
    /// its application took them: 0 says that the other end took everything. Of a byte tunnel, which has no such answer, the
    /// bytes that went out without a sign that the peer had accepted our key.
    pub unconfirmed: u64,
    /// The most that the peer has said, inside, of what was sent to it.
    pub receipt: Receipt,
    /// What was written and read, up to this end: by its last session, if others came before it.
    pub traffic: Traffic,
}

impl Closed {
    /// Whether the end of what the peer said may be missing, whatever else is the matter: the tunnel was established, and the
    /// peer has not said that nothing follows.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        !self.clean && self.receipt != Receipt::Unaccepted
    }
}

/// Why a tunnel ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// The open was answered with an error: the peer, or a server in its name, does not offer XTLS.
    #[error("no XTLS there: {}", answered(.0))]
    Unavailable(StanzaError),
    /// The open was declined.
    #[error("declined: {}", answered(.0))]
    Declined(StanzaError),
    /// The peer cannot be reached now.
    #[error("not reachable now: {}", unreachable(.0))]
    Unreachable(StanzaError),
    /// No answer to the open in time.
    #[error("no answer to the request in time")]
    NoAnswer,
    /// The stream beneath failed before TLS had begun.
    #[error("the stream failed: {0}")]
    Stream(StreamEnd),
    /// The session ended.
    #[error(transparent)]
    Session(xtls_session::Why),
    /// The session ended because the stream beneath it did.
    #[error("{}", cut(session, stream))]
    Cut {
        /// What the session makes of it.
        session: xtls_session::Why,
        /// What happened to the stream.
        stream: StreamEnd,
    },
    /// The peer closed the tunnel during the handshake.
    #[error("the peer closed the tunnel during the handshake")]
    HandshakeAborted,
    /// The answer to our open held a server flight of more than 4096 bytes.
    #[error("the answer to the request holds a flight of {bytes} bytes, and 4096 is the limit")]
    LongFlight {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The answer to our open held a server flight that answers no early ClientHello of ours.
    #[error("the answer to the request holds a flight that nobody asked for")]
    Unasked,
    /// The peer began anew before the handshake was finished.
    #[error("the peer began anew before the handshake was finished")]
    Superseded,
    /// A newer tunnel with the same peer and the same key took its place before this one was closed in order.
    #[error(
        "replaced by a newer tunnel of the same peer: the end of the conversation may be missing"
    )]
    Replaced,
    /// Two opens without knowledge of each other: the other tunnel was established first, by another key, and this one was
    /// not let in.
    #[error("a second tunnel of the same peer did not prove the same key")]
    Impostor,
    /// Two opens without knowledge of each other: the other tunnel was established first, and this one cannot take its
    /// place, because it carries bytes or another service.
    #[error("there is an established tunnel with this peer already")]
    Second,
    /// There are too many tunnels of its service.
    #[error("too many tunnels: this end {0}")]
    Busy(Busy),
    /// TLS could not be set up with this configuration.
    #[error("TLS could not be set up: {0}")]
    Setup(String),
}

impl Why {
    /// What an error answer to `<open/>` means (docs/PROTOCOL.md, table of errors received).
    pub(super) fn of_open(end: StreamEnd) -> Self {
        if matches!(end, StreamEnd::TimedOut(_)) {
            return Self::NoAnswer;
        }
        let StreamEnd::Refused(error) = end else {
            return Self::Stream(end);
        };
        match Refusal::of(&error) {
            Refusal::Unsupported => Self::Unavailable(error),
            Refusal::Declined | Refusal::Conflict => Self::Declined(error),
            Refusal::BlockSize | Refusal::Unreachable | _ => Self::Unreachable(error),
        }
    }

    /// The limit that the peer says our open has met, and how long to wait.
    #[must_use]
    pub fn busy(&self) -> Option<Busy> {
        match self {
            Self::Unreachable(error) => Busy::read(error),
            Self::Unavailable(_)
            | Self::Declined(_)
            | Self::NoAnswer
            | Self::Stream(_)
            | Self::Session(_)
            | Self::Cut { .. }
            | Self::HandshakeAborted
            | Self::Unasked
            | Self::LongFlight { .. }
            | Self::Superseded
            | Self::Replaced
            | Self::Impostor
            | Self::Second
            | Self::Busy(_)
            | Self::Setup(_) => None,
        }
    }
}

/// How a session and its stream ended, where neither explains the other.
fn cut(session: &xtls_session::Why, stream: &StreamEnd) -> String {
    use xtls_session::Why::{Finished, Truncated, Unfinished};
    match (session, stream) {
        // A stream that was closed in order was not cut: somebody closed it too early.
        (Truncated, StreamEnd::Done) => {
            "the stream was closed before the peer had closed the tunnel: the end of the conversation may be missing".to_owned()
        }
        (Unfinished, StreamEnd::Done) => {
            "the stream was closed before both sides had closed the tunnel: all was read, and the peer may not have received the end"
                .to_owned()
        }
        (Finished, stream) => format!("the tunnel was closed in order, and its stream was not: {stream}"),
        (session, stream) => format!("{session} ({stream})"),
    }
}

/// The condition, and the peer's words as such: cleaned, quoted and not many of them.
fn answered(error: &StanzaError) -> String {
    let condition = error.condition.name();
    match &error.text {
        Some(text) if !text.trim().is_empty() => {
            let words: String = text.trim().chars().take(WORDS).collect();
            format!("the answer was {condition}: {words:?}")
        }
        Some(_) | None => format!("the answer was {condition}"),
    }
}

/// In our own words where the peer names a limit.
fn unreachable(error: &StanzaError) -> String {
    match Busy::read(error) {
        Some(busy) => format!("the peer {busy}"),
        None => answered(error),
    }
}

/// Characters of a peer's text that an error shows.
const WORDS: usize = 200;

/// Why a tunnel was not opened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Only full addresses (or a service's exact one) can be an end of a tunnel; and never our own.
    #[error("{0} is our own address: a tunnel needs two ends")]
    Own(Address),
    /// There is one already that stands in the way, open or on its way: one of stanzas, or one that the peer is about to open
    /// and has not said what for.
    #[error("there is a tunnel to {0} already")]
    Already(Address),
    /// The client has ended.
    #[error("the client has ended")]
    Stopped,
    /// The stream layer refuses.
    #[error(transparent)]
    Stream(#[from] transport::OpenError),
}

/// A call that names a tunnel which has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tunnel has ended")]
pub struct Gone;

/// Why a verdict on a key was not taken. Nothing has changed: what it was about is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// The tunnel has ended.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// No key waits for a verdict there, or it is another one.
    #[error(transparent)]
    Session(#[from] xtls_session::JudgeError),
}

/// Why a stanza was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The tunnel has ended.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The session does not take it.
    #[error(transparent)]
    Session(#[from] xtls_session::SendError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_end_reads_as_in_order_and_cut_at_once() {
        use xtls_session::Why::{Finished, Truncated, Unfinished};
        for session in [Truncated, Unfinished] {
            let stream = StreamEnd::Done;
            let text = Why::Cut { session, stream }.to_string();
            assert!(text.starts_with("the stream was closed before "), "{text}");
            assert!(
                !text.contains("cut") && !text.contains("in order"),
                "{text}"
            );
        }
        let cut = |session, stream| Why::Cut { session, stream }.to_string();
        assert_eq!(
            cut(Truncated, StreamEnd::LinkLost),
            "the stream was cut before the peer closed it: the end of the conversation may be missing (the connection to the \
             server is gone)"
        );
        assert_eq!(
            cut(Finished, StreamEnd::Unfinished { bytes: 7 }),
            "the tunnel was closed in order, and its stream was not: closed with 7 bytes unacknowledged"
        );
    }
}
