//! The events of a session, and why it ends.

use xtls_framer::FrameError;
use xtls_stanza::{Address, ReadError, Stanza};
use xtls_tls::trust::{Doubt, TrustError};
use xtls_tls::{Fingerprint, PeerKey, TlsError};

use crate::routing::{FalseAddress, Violation};
use crate::verify::Verify;
use crate::{Service, Traffic};

/// Something that happened in a session.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The peer's key is genuine but unknown: answer with [`judge`](crate::Session::judge). Until then nothing passes in
    /// either direction.
    Judge(Introduction),
    /// The initiator may send, although the responder has not yet confirmed that it accepts our key. What is sent now
    /// is confidential to the judged peer; if the session ends before [`Event::Established`], the [`Receipt`] shows it.
    Ready,
    /// For the responder: its own verdict is given (the initiator sends nothing before its own). For the initiator: the
    /// first application byte has arrived, so the responder has accepted its key. Comes once, or never.
    Established(Peer),
    /// A stanza from the peer, with `from` and `to` restored from the binding.
    Stanza(Stanza),
    /// Bytes can be read (byte mode). Comes when bytes arrive, not for what you leave unread: read until there are none.
    Readable,
    /// The peer sent a stanza that it has no authority to send, or that means nothing; it was dropped, and answered if it
    /// was a request.
    Refused(Violation),
    /// A verification proceeds, possibly before the verdict.
    Verify(Verify),
    /// At least half of the queue is free again, after [`SendError::Full`](crate::SendError::Full).
    Writable,
    /// The error for a request of ours that the peer will not answer any more, because the session is about to end
    /// (`remote-server-timeout`, type `wait`). It was made here and proves nothing.
    Unanswered(Stanza),
    /// The keys have served as long as they should (stanza mode): replace the session, or
    /// [`refresh_keys`](crate::Session::refresh_keys).
    KeysOld,
    /// The peer has finished: everything that it sent has been handed out, and only answers follow. You may keep writing.
    /// Call [`took`](crate::Session::took) once your application has taken it all: the peer waits for that. Without
    /// [`Event::Established`] before it, a peer that knows only the letter has sent nothing at all.
    PeerFinished,
    /// The peer's close_notify, after [`Event::PeerFinished`]: no answers follow either.
    PeerClosed,
    /// The end: the last event, exactly once.
    Closed(Close),
}

/// A peer whose key is not pinned, waiting for a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Introduction {
    /// Who the server claims this is: the address in the binding.
    pub peer: Address,
    /// The key that it has proven to hold.
    pub fingerprint: Fingerprint,
    /// A verification by code has failed for this key before: it can be [verified](crate::Session::verify) again or refused, but
    /// not simply accepted.
    pub doubt: Option<Doubt>,
}

/// Your answer to an [`Introduction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Continue with this peer.
    Accept,
    /// End the session; nothing of it reaches the application.
    Refuse,
}

/// Why a verdict was not accepted. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// No key is waiting for a verdict: it was given before, or the session has ended.
    #[error("no key is waiting for a verdict")]
    NotDue,
    /// The verdict is about another key than the one that was presented.
    #[error("the verdict is about another key than the one that was presented, {0}")]
    OtherKey(Fingerprint),
    /// A code did not match for this key: it cannot be accepted before it is verified.
    #[error("the key cannot be accepted before it is verified: a code did not match")]
    Doubted,
}

/// Who is at the other end of an established session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// The address in the binding.
    pub address: Address,
    /// The proven key and what is known of it.
    pub key: PeerKey,
    /// Whether the context (addresses, sid, service) was bound by our ALPN. A session without it never authorises
    /// anything beyond talking.
    pub bound: bool,
    /// What travels inside: of the services that a responder takes, the one that the initiator named.
    pub service: Service,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Close {
    /// Who ended it.
    pub by: By,
    /// Why.
    pub why: Why,
    /// Whether everything that the peer wrote was read: the peer confirmed it by `<finish/>` or close_notify, and not in the
    /// middle of a stanza.
    pub clean: bool,
    /// How many of the stanzas sent the peer has not confirmed, inside, as taken by its application: all, or none. Byte mode has
    /// no such confirmation; there it counts the bytes that went out without any sign that the peer had accepted our key.
    pub unconfirmed: u64,
    /// The most that the peer has confirmed, inside, of what was sent to it.
    pub receipt: Receipt,
    /// What was read and written, up to this end.
    pub traffic: Traffic,
}

/// What a peer has confirmed, inside its tunnel, of what was sent to it. Each confirms more than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Receipt {
    /// Not even that it accepts our key.
    Unaccepted,
    /// That it accepts our key, and nothing about the end.
    Accepted,
    /// That it has read everything that this session brought; whether an application took it, it cannot tell. A peer that does
    /// not know `<finish/>` answers it with an error, which means this.
    Read,
    /// That its application has taken everything.
    Taken,
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// This end.
    Us,
    /// The peer, by a message that TLS has authenticated; during the handshake, by one that may be anybody's.
    Peer,
    /// The transport: the stream beneath the session went away, whatever the cause.
    Transport,
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Both directions were closed in order.
    #[error("closed in order")]
    Finished,
    /// The owner refused the peer's key.
    #[error("the peer's key was refused")]
    Refused,
    /// The peer's key turned out to be untrusted after its handshake: it was revoked meanwhile, for example.
    #[error(transparent)]
    Untrusted(Box<TrustError>),
    /// The owner aborted the session.
    #[error("aborted here")]
    Aborted,
    /// TLS failed: the error tells whose fault it was.
    #[error(transparent)]
    Tls(TlsError),
    /// What came out of TLS is not a sequence of stanzas.
    #[error("inside the tunnel: {0}")]
    Framing(FrameError),
    /// A stanza inside is not well-formed or not allowed.
    #[error("inside the tunnel: {0}")]
    Xml(ReadError),
    /// A stanza inside claims to be from, or for, another address.
    #[error("inside the tunnel: {0}")]
    Routing(Violation),
    /// The peer sent `<finish/>`, and then more than answers.
    #[error("inside the tunnel: the peer kept sending after it had finished")]
    Afterthought,
    /// The first byte in byte mode was not the confirmation.
    #[error("the peer began with byte {0:#04x} where the confirmation (0x20) was expected")]
    Confirmation(u8),
    /// The responder speaks our ALPN and ended its direction without the confirmation, or gave none in time: it gave up before
    /// its verdict.
    #[error("the peer has not accepted our key")]
    Unconfirmed,
    /// Answers that the peer requested and does not read fill the queue.
    #[error("the peer sends requests faster than it reads the answers")]
    Unread,
    /// The transport ended before the peer had finished, or its close_notify came in the middle of a stanza: what was read
    /// may be cut off.
    #[error(
        "the stream was cut before the peer closed it: the end of the conversation may be missing"
    )]
    Truncated,
    /// The transport ended after the peer had finished, but before both close_notify had passed: all was read, and of what we
    /// wrote only the [`Receipt`] tells.
    #[error(
        "the stream was cut before both sides had closed it: all was read, and the peer may not have received the end"
    )]
    Unfinished,
    /// Nothing arrived during the handshake for too long.
    #[error("the handshake made no progress in time")]
    HandshakeTimeout,
    /// The peer gave no sign of life inside the tunnel, whatever the transport claimed.
    #[error("the peer gives no sign of life")]
    Silent,
    /// No verdict in time.
    #[error("no verdict on the peer's key in time")]
    JudgingTimeout,
    /// After [`close`](crate::Session::close) the peer did not end its direction in time, or the transport did not take
    /// ours.
    #[error("the session was not closed on both sides in time")]
    CloseTimeout,
}

/// Why a stanza or bytes could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The handshake is not finished, or the key not judged.
    #[error("the session is not open yet")]
    NotOpen,
    /// No room: wait for [`Event::Writable`].
    #[error("the session has no room: the transport is slower than the application")]
    Full,
    /// Too many requests are waiting for their answers.
    #[error("{limit} requests are already waiting for their answers")]
    Requests {
        /// The limit.
        limit: usize,
    },
    /// Our direction is already closed.
    #[error("this direction of the session is closed")]
    Finished,
    /// The stanza is longer than the peer would take, or than TLS holds at once.
    #[error("the stanza has {length} bytes, and {limit} is the limit")]
    TooLong {
        /// Its length as written, in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The stanza names an address that is not an end of this session.
    #[error("the stanza is addressed {0}")]
    Address(Box<FalseAddress>),
    /// Stanzas in byte mode, or bytes in stanza mode.
    #[error("this session carries {0}")]
    Mode(&'static str),
    /// The stanza contains what only sessions send to each other: one of their ids, or a payload.
    #[error("{0} is reserved for the ends of a tunnel themselves")]
    Reserved(String),
    /// The children, set by hand, would end the stanza too early or never.
    #[error("the stanza's children: {0}")]
    Xml(ReadError),
}
