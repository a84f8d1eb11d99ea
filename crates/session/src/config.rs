//! A session's limits.

use std::time::Duration;

/// Limits and deadlines of one session. Every setter names its unit; the defaults are those of `docs/PROTOCOL.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    pub(crate) max_stanza: usize,
    pub(crate) max_depth: u32,
    pub(crate) backlog: usize,
    pub(crate) queue: usize,
    pub(crate) handshake_idle: Duration,
    pub(crate) handshake_total: Duration,
    pub(crate) judging: Duration,
    pub(crate) confirming: Duration,
    pub(crate) verifying: Duration,
    pub(crate) close: Duration,
    pub(crate) padding: usize,
    pub(crate) probe_idle: Duration,
    pub(crate) probe_answer: Duration,
    pub(crate) key_age: Duration,
    pub(crate) key_bytes: u64,
    pub(crate) requests: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_stanza: 262_144,
            max_depth: 64,
            backlog: 65_536,
            queue: 65_535,
            handshake_idle: Duration::from_secs(60),
            handshake_total: Duration::from_secs(180),
            judging: Duration::from_secs(300),
            confirming: Duration::from_secs(600),
            verifying: Duration::from_secs(180),
            close: Duration::from_secs(10),
            padding: 1,
            probe_idle: Duration::from_secs(300),
            probe_answer: Duration::from_secs(60),
            key_age: Duration::from_secs(86_400),
            key_bytes: 1 << 30,
            requests: 1024,
        }
    }
}

impl Config {
    /// The longest inner stanza in bytes, each way. Default 262 144; RFC 6120 §13.12 forbids less than 10 000.
    #[must_use]
    pub fn max_stanza(mut self, bytes: usize) -> Self {
        self.max_stanza = bytes;
        self
    }

    /// The longest inner stanza in bytes as configured.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.max_stanza
    }

    /// The deepest nesting of elements in an inner stanza. Default 64.
    #[must_use]
    pub fn max_depth(mut self, elements: u32) -> Self {
        self.max_depth = elements;
        self
    }

    /// Plaintext bytes held for a slow application before the session stops asking for more. Default 65 536; at least 1.
    /// An unfinished stanza may exceed it.
    #[must_use]
    pub fn backlog(mut self, bytes: usize) -> Self {
        self.backlog = bytes.max(1);
        self
    }

    /// Ciphertext bytes held for a slow transport before [`send`](crate::Session::send) says `Full`. Default 65 535, which
    /// is the largest block of a bytestream: a queue that is given away whole leaves no splinter. At least 1. One stanza may
    /// exceed it, and as much again is kept for answers to the peer's requests: more than that ends the session as
    /// [`Unread`](crate::Why::Unread).
    #[must_use]
    pub fn queue(mut self, bytes: usize) -> Self {
        self.queue = bytes.max(1);
        self
    }

    /// How long a handshake may go without a byte from the peer, and how long it may take in all. Default 60 s and
    /// 180 s: servers with their shipped limits pass 3 to 10 kB a second. A time too long to be added to the clock, here
    /// and below, is none.
    #[must_use]
    pub fn handshake(mut self, idle: Duration, total: Duration) -> Self {
        self.handshake_idle = idle;
        self.handshake_total = total;
        self
    }

    /// How long a key may wait for its verdict. Default 5 minutes.
    #[must_use]
    pub fn judging(mut self, limit: Duration) -> Self {
        self.judging = limit;
        self
    }

    /// How long the responder may take to accept our key, where our ALPN was agreed on; then the session ends as
    /// [`Unconfirmed`](crate::Why::Unconfirmed). Default 600 s, twice what it has for its verdict. A verification that is
    /// under way has limits of its own. A peer that knows the letter only may have nothing to say.
    #[must_use]
    pub fn confirming(mut self, limit: Duration) -> Self {
        self.confirming = limit;
        self
    }

    /// How long a verification may wait for the other person, and how long the comparison may take. Meanwhile the limit of
    /// the verdict stands still, and as much is left for one afterwards. Default 180 s.
    #[must_use]
    pub fn verifying(mut self, limit: Duration) -> Self {
        self.verifying = limit;
        self
    }

    /// How long [`close`](crate::Session::close) waits for the peer's close_notify, and a TLS alert for the transport.
    /// Default 10 s.
    #[must_use]
    pub fn close(mut self, limit: Duration) -> Self {
        self.close = limit;
        self
    }

    /// Pads each stanza with spaces to a multiple of this many bytes, in one TLS write with it. Default 1: none. 256 makes
    /// short messages look alike; that there are messages, when, and roughly how long they are stays visible. Spaces
    /// between stanzas mean nothing (RFC 6120 §4.6.1), so any peer takes it. Stanza mode only.
    #[must_use]
    pub fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes.max(1);
        self
    }

    /// How long nothing may come from the peer before it is asked for a sign of life inside the tunnel (a ping, XEP-0199),
    /// and how long it has to give one; then the session ends as [`Silent`](crate::Why::Silent). Default 300 s and 60 s.
    /// A peer of our making answers even while its reader takes nothing. Stanza mode only.
    #[must_use]
    pub fn probe(mut self, idle: Duration, answer: Duration) -> Self {
        self.probe_idle = idle;
        self.probe_answer = answer;
        self
    }

    /// How long, and for how many bytes of ciphertext in both directions, the keys serve. Default 24 h and 1 GiB. Byte mode
    /// renews them by itself (KeyUpdate, RFC 8446 §4.6.3), stanza mode says [`Event::KeysOld`](crate::Event::KeysOld).
    #[must_use]
    pub fn keys(mut self, age: Duration, bytes: u64) -> Self {
        self.key_age = age;
        self.key_bytes = bytes;
        self
    }

    /// Most requests (`iq` of type get and set) that wait for the peer's answer at once. Default 1024; above it
    /// [`send`](crate::Session::send) says `Requests`.
    #[must_use]
    pub fn requests(mut self, most: usize) -> Self {
        self.requests = most;
        self
    }
}
