//! What carries tunnels: a [`Transport`] makes byte streams between two XMPP addresses.
//!
//! A session needs nothing but bytes in order, so everything else that a tunnel asks of the world is in this trait. Two
//! transports come with the crate: [`Bytestreams`] (XEP-0047, always there) and [`StartFlow`] (the outline before the
//! letter, where [`Config::original`](crate::Config::original) asks for it). [`Config::transport`](crate::Config::transport)
//! adds yours, and nothing else has to change.
//!
//! # Who decides what
//!
//! The router decides who may open a tunnel, how many may be unfinished, which of two crossing opens stands, and when a
//! stream is closed. It asks strangers' requests away before a transport sees them. A transport decides how an open, its
//! answer and the bytes look on the wire, how much may be under way, and when the other end has to be given up. It limits
//! how many streams there are and how often peers may ask for one.
//!
//! # The life of a stream
//!
//! ```text
//! ours     open ────────────▶ Opened ─┐
//!               ╲                     ├─▶ write, read ⇄ Ready ─▶ close ─┬─▶ Closed
//! theirs   Incoming ─▶ answer ────────┘                    ╲    abort ──┤
//!                        ╲───────────────────────────────────────────────╯
//! ```
//!
//! Every stream ends with exactly one [`Event::Closed`], its last event. The key of a stream is never used again.
//!
//! # What an implementation guarantees
//!
//! * **No I/O and no clock.** The time is an argument and never runs backwards; random values come from the seed that
//!   [`Config::transport`](crate::Config::transport) passes on.
//! * **Bytes in order, once, unchanged, or the end.** Whatever is lost, repeated or altered below ends the stream with a
//!   reason. Nobody has to be trusted for that: TLS notices alterations, and a transport need not defend against them.
//! * **Back-pressure both ways.** [`write`](Transport::write) takes what [`room`](Transport::room) says; bytes that nobody
//!   [reads](Transport::read) hold the peer back, and are never dropped or collected without limit.
//! * **Flushed means acknowledged** by the other end, not handed to the link, where the transport can know it.
//! * **Bounded patience.** A close that never comes ends the stream by a deadline of the transport. The router gives up
//!   unanswered opens, if the transport does not say that it does so itself.
//! * **Limits.** What peers can make a stream hold is limited. The router limits how many unfinished tunnels there are; a
//!   transport that holds much for each open limits these too.
//!
//! Sources: XEP-0047 for In-Band Bytestreams, the XTLS letter and docs/PROTOCOL.md for the start inside of an open and the
//! binding of a session to the name of its stream.

mod bytestreams;
mod end;
mod start_flow;

use std::any::Any;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::busy::Busy;
use xtls_stanza::{Address, Envelope, StanzaError};

pub use bytestreams::Bytestreams;
pub use end::{Cause, OpenError, StreamEnd};
pub use start_flow::StartFlow;
/// When a transport next wants [`Transport::handle_timeout`], and what for.
pub use xtls_ibb::Deadline;
/// The stream is gone, or is not in a state in which the call makes sense.
pub use xtls_ibb::Gone;
/// Counters of a stream; those that mean nothing to a transport stay at their defaults.
pub use xtls_ibb::Stats;
/// Names a stream between two addresses.
pub use xtls_stanza::ibb::Sid;

/// Names one stream of one transport. The transport chooses the number and never uses it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(pub u64);

/// Something happened to a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A peer asks for a stream. The router [answers](Transport::answer) at once, or after its owner was asked; a transport
    /// may end a stream that has waited too long as [`StreamEnd::Expired`].
    Incoming {
        /// The stream.
        key: StreamKey,
        /// The full address of the peer, as the servers say.
        from: Address,
        /// The TLS ClientHello that came with the open, if the transport can carry one. `Err`: this is no tunnel, or
        /// cannot be read; the answer that it gets if the peer may know of us.
        hello: Result<Option<Bytes>, StanzaError>,
    },
    /// The peer asks for a stream that is to be a path of a tunnel which there is already. The router
    /// [answers](Transport::answer) at once. Only In-Band Bytestreams have these.
    IncomingLeg {
        /// The stream.
        key: StreamKey,
        /// The full address of the peer, as the servers say.
        from: Address,
    },
    /// The peer has accepted our open.
    Opened {
        /// The stream.
        key: StreamKey,
        /// The first flight of the TLS server that came with the answer.
        flight: Option<Bytes>,
    },
    /// There are bytes to read, or there is room again after there was none.
    Ready(StreamKey),
    /// Everything that was written is acknowledged; only of streams that are to [tell](Transport::tell_flushed).
    Flushed(StreamKey),
    /// The peer writes no more, and this direction may go on. What has come can still be read.
    PeerClosed(StreamKey),
    /// A limit of the transport turned an open away, and the peer was told.
    TurnedAway {
        /// Who asked.
        from: Address,
        /// The limit, and how long to wait.
        busy: Busy,
    },
    /// The stream has ended. Nothing more comes of it.
    Closed {
        /// The stream.
        key: StreamKey,
        /// Why.
        end: StreamEnd,
    },
}

/// What a new stream of ours is to be.
#[derive(Debug, Clone)]
pub struct Open<'a> {
    /// The full address of the other end.
    pub peer: &'a Address,
    /// Its name.
    pub sid: Sid,
    /// The ClientHello that goes with the open, of at most [`max_flight`](Transport::max_flight) bytes.
    pub hello: Option<Bytes>,
}

/// The answer to an open: the first flight of the TLS server, or a refusal.
pub type Answer = Result<Option<Bytes>, StanzaError>;

/// All byte streams of one kind from and to one XMPP address. See the [module](self) for the contract.
///
/// A call that names a stream which has ended does nothing, and its answer is that of an empty stream.
pub trait Transport: Any + fmt::Debug + Send {
    // What it is.

    /// Features that service discovery names for it (XEP-0030 §3.1). Default none.
    fn features(&self) -> &[&'static str] {
        &[]
    }

    /// Whether a stream to this full address can be tried now. Default: to every address. The router opens over the first
    /// transport that says so, beginning with the one that was configured last; a refusal is not tried over another.
    fn reaches(&self, _peer: &Address) -> bool {
        true
    }

    /// The longest TLS flight in bytes that an open and its answer can carry, which saves a round trip; 0 if none. Default
    /// [`MAX_FLIGHT`], which is also the most that the router sends.
    fn max_flight(&self) -> usize {
        MAX_FLIGHT
    }

    /// How long an open of ours may be unanswered before the router gives it up. `None` for a transport that does so itself.
    /// Default 60 s.
    fn open_timeout(&self) -> Option<Duration> {
        Some(OPEN)
    }

    /// Whether several streams with one peer can stand at once. Keys of a long conversation are renewed by a second one
    /// beside the first; without it they are renewed inside. Default yes.
    fn side_by_side(&self) -> bool {
        true
    }

    /// Whether [`close`](Self::close) is seen by the other end. Where it is not, the end of a stream is the tunnel's own
    /// `<close/>`, and is not awaited twice. Default yes.
    fn signals_close(&self) -> bool {
        true
    }

    // Opening.

    /// A name for a new stream to this peer that nobody can guess and that no other stream has. Default: the router makes
    /// one of 128 random bits.
    fn fresh_sid(&mut self, _peer: &Address) -> Option<Sid> {
        None
    }

    /// Asks the peer for a stream. [`Event::Opened`] or [`Event::Closed`] follows.
    ///
    /// # Errors
    /// The caller's faults and our own limits.
    fn open(&mut self, now: Instant, open: Open<'_>) -> Result<StreamKey, OpenError>;

    /// Accepts what [`Event::Incoming`] asked for, with a flight of at most [`max_flight`](Self::max_flight) bytes that
    /// answers its ClientHello; or refuses it, and [`Event::Closed`] follows.
    ///
    /// # Errors
    /// The open was withdrawn, answered before, or is too old.
    fn answer(&mut self, now: Instant, stream: StreamKey, answer: Answer) -> Result<(), Gone>;

    /// What names the stream between its two addresses: the same text at both ends once it is open, and the one that the
    /// session on it is bound to. It may change until [`Event::Opened`], for example if an open is repeated; a ClientHello
    /// that went with another name is not used then. Default: its [`sid`](Self::sid).
    fn name(&self, stream: StreamKey) -> Option<&str> {
        self.sid(stream).map(Sid::as_str)
    }

    /// The sid that names the stream in the tunnel's own `<close sid=''/>`. `None` if nothing but the two addresses does.
    fn sid(&self, stream: StreamKey) -> Option<&Sid>;

    // Bytes.

    /// How many bytes [`write`](Self::write) takes now: 0 unless the stream is open. When it was 0 and is not any more,
    /// [`Event::Ready`] follows.
    fn room(&self, stream: StreamKey) -> usize;

    /// Takes bytes to send, at most as many as there is [`room`](Self::room) for.
    fn write(&mut self, now: Instant, stream: StreamKey, bytes: Bytes);

    /// Hands out up to `max` bytes that have come, in order; `None` if there are none now. [`Event::Ready`] announces new
    /// ones. They may be read until [`Event::Closed`].
    fn read(&mut self, now: Instant, stream: StreamKey, max: usize) -> Option<Bytes>;

    /// Whether the peer has acknowledged everything that was written. True for a stream that has ended.
    fn is_flushed(&self, stream: StreamKey) -> bool;

    /// Bytes of ours on this stream that the peer has acknowledged, where the transport knows: a tunnel on it can move to
    /// another path then, and goes on if the stream breaks. Default: it doesn't know.
    fn acknowledged(&self, _stream: StreamKey) -> Option<u64> {
        None
    }

    /// From now on [`Event::Flushed`] says whenever everything that was written is acknowledged. Called only where
    /// [`acknowledged`](Self::acknowledged) is known. Default: nothing.
    fn tell_flushed(&mut self, _now: Instant, _stream: StreamKey) {}

    /// The counters of a stream. Default none.
    fn stats(&self, _stream: StreamKey) -> Option<Stats> {
        None
    }

    // Ending.

    /// Ends a stream in order: what was written still arrives. Refuses one that waits for us, withdraws one that waits for
    /// the peer. [`Event::Closed`] follows within the transport's limits.
    fn close(&mut self, now: Instant, stream: StreamKey);

    /// Ends a stream at once. What was written and not sent, and what was not read, is dropped; the peer learns of it where
    /// there is a way. [`Event::Closed`] is there at once.
    fn abort(&mut self, now: Instant, stream: StreamKey);

    /// The connection to our server is gone for good, and another address may be bound. Default: nothing; the router
    /// [aborts](Self::abort) every stream that is left.
    fn lost(&mut self, _now: Instant) {}

    // What the router knows of the conversation above.

    /// The peer's session was heard, so the peer lives: deadlines that guard against a silent one begin anew. Default:
    /// nothing.
    fn heard(&mut self, _now: Instant, _stream: StreamKey) {}

    /// How long the peer may leave what we sent unacknowledged while it is not [`heard`](Self::heard): more than usual for
    /// tunnels whose reader may be slow. Default: nothing.
    fn set_patience(&mut self, _now: Instant, _stream: StreamKey, _wait: Duration) {}

    /// The peer has sent the tunnel's own `<close/>` and writes no more. Default: nothing.
    fn dismissed(&mut self, _stream: StreamKey) {}

    // Stanzas and time.

    /// The longest stanza in bytes that our server takes (XEP-0478). Default: nothing.
    fn set_stanza_limit(&mut self, _max_bytes: Option<usize>) {}

    /// Takes in a stanza from our server, or gives it back: the next transport is offered it, and at last the router
    /// answers. Take answers only if both their id and their sender match a request of yours. `known` says whether we know
    /// a key of an address, so that it may ask for streams more often than others. Default: none is taken.
    fn handle(
        &mut self,
        _now: Instant,
        stanza: Envelope,
        _known: &dyn Fn(&Address) -> bool,
    ) -> Option<Envelope> {
        Some(stanza)
    }

    /// The next event.
    fn poll_event(&mut self) -> Option<Event>;

    /// The next stanza for our server, without a sender. It is asked for only while the link has room: that is how bytes
    /// wait. Default none.
    fn poll_transmit(&mut self, _now: Instant) -> Option<Envelope> {
        None
    }

    /// Whether so many answers wait for the link that no further requests should be read now. Default no.
    fn is_crowded(&self) -> bool {
        false
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). Default never.
    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }

    /// Does what is due. Default nothing.
    fn handle_timeout(&mut self, _now: Instant) {}
}

/// How long the router waits for the answer to an open, if the transport has no limit of its own.
const OPEN: Duration = Duration::from_secs(60);

/// Most bytes of a TLS flight in an open or in its answer. A longer ClientHello goes on the stream, and so does the rest of
/// a longer server flight.
pub const MAX_FLIGHT: usize = 4096;
