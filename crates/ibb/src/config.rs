//! Limits, waits and sizes.

use std::time::Duration;

use xtls_stanza::Element;
use xtls_stanza::busy::Limit;
use xtls_stanza::ibb::{BlockSize, Carrier, Sid};

use crate::rate::Opens;
use crate::window::Window;

/// Limits, waits and sizes of a [`Mux`](crate::Mux). Every setter consumes and returns the config.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) block_size: u16,
    pub(crate) max_block: u16,
    pub(crate) window: Window,
    pub(crate) patient: bool,
    pub(crate) messages: bool,
    pub(crate) stanza_limit: Option<usize>,
    /// What the server announced, not the owner's to set.
    pub(crate) server_limit: Option<usize>,
    pub(crate) receive_cap: usize,
    pub(crate) max_streams: usize,
    pub(crate) max_streams_per_peer: usize,
    pub(crate) max_pending: usize,
    pub(crate) max_pending_per_peer: usize,
    pub(crate) opens_per_minute: usize,
    pub(crate) opens_per_minute_known: usize,
    pub(crate) opens_per_minute_in_all: usize,
    pub(crate) outbox: usize,
    pub(crate) open_timeout: Duration,
    pub(crate) accept_timeout: Duration,
    pub(crate) ack_timeout: Duration,
    pub(crate) flush_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) peer_flush_timeout: Duration,
    pub(crate) half_close: Option<Duration>,
    pub(crate) drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            block_size: 4096,
            max_block: u16::MAX,
            window: Window::default(),
            patient: false,
            messages: false,
            stanza_limit: None,
            server_limit: None,
            receive_cap: 2 << 20,
            max_streams: 64,
            max_streams_per_peer: 4,
            max_pending: 32,
            max_pending_per_peer: 2,
            opens_per_minute: 6,
            opens_per_minute_known: 120,
            opens_per_minute_in_all: 240,
            outbox: 1 << 20,
            open_timeout: Duration::from_secs(60),
            accept_timeout: Duration::from_secs(50),
            ack_timeout: Duration::from_secs(60),
            flush_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(10),
            peer_flush_timeout: Duration::from_secs(5),
            half_close: None,
            drain_timeout: Duration::from_secs(600),
        }
    }
}

impl Config {
    /// Block size that we offer, in bytes before base64. Default 4096, which XEP-0047 §2.1
    /// recommends: its stanzas pass every server (RFC 6120 §13.12 promises 10,000 bytes). It is a
    /// maximum for both directions; the chunks that we send start smaller and grow.
    #[must_use]
    pub fn block_size(mut self, offered: BlockSize) -> Self {
        self.block_size = offered.get();
        self
    }

    /// Largest block size that we accept from others, in bytes. Default 65535. A larger offer is
    /// answered `resource-constraint`.
    #[must_use]
    pub fn max_block(mut self, accepted: BlockSize) -> Self {
        self.max_block = accepted.get();
        self
    }

    /// How much may be under way. Default [`Window::Adaptive`].
    #[must_use]
    pub fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// Whether an answer that does not come is no fault. Default `false`. Between two ends of this
    /// crate an answer is withheld while the reader is slow, for hours if need be; switch this on if
    /// you watch over the peer by other means, such as probes inside the stream. Otherwise
    /// [`ack_timeout`](Self::ack_timeout) applies.
    #[must_use]
    pub fn patient(mut self, patient: bool) -> Self {
        self.patient = patient;
        self
    }

    /// Whether opens with `stanza='message'` reach the owner. Default `false`: they are
    /// answered `feature-not-implemented`. Messages are not acknowledged, may go astray, and cannot
    /// be held back by a slow reader.
    #[must_use]
    pub fn messages(mut self, accepted: bool) -> Self {
        self.messages = accepted;
        self
    }

    /// Largest stanza in bytes that your server takes, where that is known. What it announces by
    /// XEP-0478 goes to [`Mux::set_server_limit`](crate::Mux::set_server_limit); the smaller one
    /// holds. Offers and chunks then stay at or below ¾ of it, less 1024 bytes for the envelope.
    #[must_use]
    pub fn stanza_limit(mut self, max_bytes: usize) -> Self {
        self.stanza_limit = Some(max_bytes);
        self
    }

    /// Most bytes received and not yet read, of one stream, with 128 bytes and the request id added
    /// for each chunk. Default 2 MiB, which is above what our own sender ever has under way
    /// ([`Window::Adaptive`]: 1 MiB). Nothing is acknowledged before it was read, so only a peer
    /// that ignores missing answers gets here; the stream is then closed.
    #[must_use]
    pub fn receive_cap(mut self, bytes: usize) -> Self {
        self.receive_cap = bytes;
        self
    }

    /// Most streams at a time, whoever opened them. Default 64.
    #[must_use]
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// Most streams at a time that the resources of one bare address opened. Default 4.
    #[must_use]
    pub fn max_streams_per_peer(mut self, streams: usize) -> Self {
        self.max_streams_per_peer = streams;
        self
    }

    /// Most opens at a time that wait for the owner. Default 32.
    #[must_use]
    pub fn max_pending(mut self, opens: usize) -> Self {
        self.max_pending = opens;
        self
    }

    /// Most opens at a time from one bare address that wait for the owner. Default 2.
    #[must_use]
    pub fn max_pending_per_peer(mut self, opens: usize) -> Self {
        self.max_pending_per_peer = opens;
        self
    }

    /// Most opens a minute from one bare address that reach the owner. Default 6.
    #[must_use]
    pub fn opens_per_minute(mut self, opens: usize) -> Self {
        self.opens_per_minute = opens;
        self
    }

    /// Most opens a minute from one bare address whose key the owner knows, as
    /// [`Mux::handle_known`](crate::Mux::handle_known) has it. Default 120: half of the limit for all peers together, so that a
    /// server that asks in the name of a known peer does not shut out all others.
    #[must_use]
    pub fn opens_per_minute_known(mut self, opens: usize) -> Self {
        self.opens_per_minute_known = opens;
        self
    }

    /// Most opens a minute from all peers together that reach the owner. Default 240.
    #[must_use]
    pub fn opens_per_minute_in_all(mut self, opens: usize) -> Self {
        self.opens_per_minute_in_all = opens;
        self
    }

    /// Most bytes of stanzas that wait for `poll_transmit`, data apart. Default 1 MiB. Above it further answers are
    /// dropped: an owner that takes nothing out cannot be flooded through us.
    #[must_use]
    pub fn outbox(mut self, bytes: usize) -> Self {
        self.outbox = bytes;
        self
    }

    /// How long our open waits for its answer. Default 60 s.
    #[must_use]
    pub fn open_timeout(mut self, wait: Duration) -> Self {
        self.open_timeout = wait;
        self
    }

    /// How long a peer's open waits for our owner; then it is answered `not-acceptable`. Default
    /// 50 s, which is less than the minute that openers usually wait.
    #[must_use]
    pub fn accept_timeout(mut self, wait: Duration) -> Self {
        self.accept_timeout = wait;
        self
    }

    /// How long a stream lives without a single answer while chunks wait for theirs, unless
    /// [`patient`](Self::patient). Default 60 s.
    #[must_use]
    pub fn ack_timeout(mut self, wait: Duration) -> Self {
        self.ack_timeout = wait;
        self
    }

    /// How long `close` lets our own data go out and be answered before `<close/>` goes anyway.
    /// Default 60 s.
    #[must_use]
    pub fn flush_timeout(mut self, wait: Duration) -> Self {
        self.flush_timeout = wait;
        self
    }

    /// How long our `<close/>` waits for its answer, taking in what the peer still sends. Default
    /// 10 s.
    #[must_use]
    pub fn close_timeout(mut self, wait: Duration) -> Self {
        self.close_timeout = wait;
        self
    }

    /// How long the peer's `<close/>` waits while what we had accepted goes out. Default 5 s.
    #[must_use]
    pub fn peer_flush_timeout(mut self, wait: Duration) -> Self {
        self.peer_flush_timeout = wait;
        self
    }

    /// How long the direction that is still open may be silent after the other one has ended.
    ///
    /// XEP-0047 §2.3 lets the receiver of a `<close/>` flush before it answers. With more than 0 s here we take our time
    /// with that: [`Event::PeerClosed`](crate::Event) says that nothing more comes, and the owner goes on writing. The
    /// `<close/>` is answered when the owner finishes or closes the stream, at the latest when nothing has moved for this
    /// long. Toward a peer that does the same, [`StreamMut::finish`](crate::StreamMut::finish) ends our direction and leaves the
    /// other one open; our `<close/>` waits for its answer for [`close_timeout`](Self::close_timeout) and this time from
    /// the last byte that moved.
    ///
    /// Default: 0 s, so that a close ends both directions; under the tokio face (`io`), ten minutes.
    #[must_use]
    pub fn half_close(mut self, silence: Duration) -> Self {
        self.half_close = Some(silence);
        self
    }

    /// [`half_close`](Self::half_close), where it is not left to the default: none.
    pub(crate) fn half_closing(&self) -> Duration {
        self.half_close.unwrap_or_default()
    }

    /// How long received bytes wait to be read after the stream has ended. Default 600 s.
    #[must_use]
    pub fn drain_timeout(mut self, wait: Duration) -> Self {
        self.drain_timeout = wait;
        self
    }

    /// Sets the limit of this name, if it is one of the streams', and returns whether it is.
    pub fn set_limit(&mut self, limit: Limit, most: usize) -> bool {
        let field = match limit {
            Limit::OpensPerMinute => &mut self.opens_per_minute,
            Limit::OpensPerMinuteKnown => &mut self.opens_per_minute_known,
            Limit::OpensPerMinuteInAll => &mut self.opens_per_minute_in_all,
            Limit::Streams => &mut self.max_streams,
            Limit::StreamsPerPeer => &mut self.max_streams_per_peer,
            Limit::Pending => &mut self.max_pending,
            Limit::PendingPerPeer => &mut self.max_pending_per_peer,
            Limit::Unfinished
            | Limit::UnfinishedPerPeer
            | Limit::Incoming
            | Limit::Tunnels
            | Limit::TunnelsPerPeer => return false,
        };
        *field = most;
        true
    }

    /// How many opens a minute reach the owner.
    #[must_use]
    pub fn opens(&self) -> Opens {
        Opens {
            one: self.opens_per_minute,
            known: self.opens_per_minute_known,
            all: self.opens_per_minute_in_all,
        }
    }

    /// `block`, or less where a stanza with it would pass the server's limit.
    pub(crate) fn fitting(&self, block: u16) -> u16 {
        let limits = self.stanza_limit.into_iter().chain(self.server_limit);
        let Some(limit) = limits.min() else {
            return block;
        };
        let most = limit.saturating_sub(1024) / 4 * 3;
        block.min(u16::try_from(most.max(1)).unwrap_or(u16::MAX))
    }
}

/// What one `open` does differently from the config.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    pub(crate) block_size: Option<BlockSize>,
    pub(crate) carrier: Option<Carrier>,
    pub(crate) extensions: Vec<Element>,
    pub(crate) window: Option<Window>,
    pub(crate) patient: Option<bool>,
    pub(crate) sid: Option<Sid>,
    pub(crate) keeps_sid: bool,
    pub(crate) later: Option<Vec<Element>>,
}

impl OpenOptions {
    /// Block size offered first, instead of the config's.
    #[must_use]
    pub fn block_size(mut self, offered: BlockSize) -> Self {
        self.block_size = Some(offered);
        self
    }

    /// Stanzas that carry the data. Default [`Carrier::Iq`].
    #[must_use]
    pub fn carrier(mut self, carrier: Carrier) -> Self {
        self.carrier = Some(carrier);
        self
    }

    /// Puts one more element into `<open/>`.
    #[must_use]
    pub fn extension(mut self, element: Element) -> Self {
        self.extensions.push(element);
        self
    }

    /// Puts these elements into `<open/>`.
    #[must_use]
    pub fn extensions(mut self, elements: Vec<Element>) -> Self {
        self.extensions = elements;
        self
    }

    /// Window of this stream, instead of the config's.
    #[must_use]
    pub fn window(mut self, window: Window) -> Self {
        self.window = Some(window);
        self
    }

    /// The sid, as [`Mux::fresh_sid`](crate::Mux::fresh_sid) made it: for extensions that depend on it. One that is in use
    /// already is not taken. After `resource-constraint` the stream asks again under another one, unless it
    /// [keeps it](Self::keeps_sid).
    #[must_use]
    pub fn sid(mut self, sid: Sid) -> Self {
        self.sid = Some(sid);
        self
    }

    /// The peer knows the stream by this sid, and by no other: it is asked for under the same one again. Default: no.
    #[must_use]
    pub fn keeps_sid(mut self, keeps: bool) -> Self {
        self.keeps_sid = keeps;
        self
    }

    /// What takes the extensions' place when the stream asks again with half the block, under another sid. Default: the
    /// same once more.
    #[must_use]
    pub fn extensions_later(mut self, elements: Vec<Element>) -> Self {
        self.later = Some(elements);
        self
    }

    /// Patience of this stream, instead of the config's.
    #[must_use]
    pub fn patient(mut self, patient: bool) -> Self {
        self.patient = Some(patient);
        self
    }
}
