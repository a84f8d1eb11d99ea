//! The phases of a stream, from the open to the end.

use std::time::{Duration, Instant};

use xtls_stanza::Element;

use crate::config::Config;
use crate::event::Close;

#[cfg_attr(test, derive(Clone))]
pub(crate) enum Phase {
    /// Our open has no answer yet.
    Opening {
        request: String,
        halvings: u32,
        extensions: Extensions,
        until: Instant,
    },
    /// The peer's open waits for our owner.
    Incoming {
        request: String,
        until: Instant,
    },
    Open,
    /// Our owner writes no more: what was written goes out and is acknowledged first.
    Flushing {
        /// Whether the owner goes on reading afterwards.
        reading: Reading,
    },
    /// Our `<close/>` has no answer yet; the peer may still send.
    Closing {
        request: String,
        /// The position of our `<close/>` among what leaves.
        place: u64,
        until: Instant,
        reading: Reading,
    },
    /// The peer's `<close/>` waits until what was written is out.
    PeerClosing {
        request: String,
        until: Instant,
        tail: Tail,
    },
    /// Decided. Bytes may remain to be read, and our `<close/>` may have no answer yet.
    Ended {
        close: Box<Close>,
        reported: bool,
        unanswered: Option<(String, Instant)>,
        read_until: Instant,
    },
}

impl Phase {
    /// The peer's open waits for our owner.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self, Self::Incoming { .. })
    }

    /// Whether our owner may write.
    pub(crate) fn is_writable(&self) -> bool {
        match self {
            Self::Opening { .. }
            | Self::Open
            | Self::PeerClosing {
                tail: Tail::Open, ..
            } => true,
            Self::Incoming { .. }
            | Self::Flushing { .. }
            | Self::Closing { .. }
            | Self::PeerClosing { .. }
            | Self::Ended { .. } => false,
        }
    }

    /// Whether our chunks may go.
    pub(crate) fn sends(&self) -> bool {
        match self {
            Self::Open | Self::Flushing { .. } | Self::PeerClosing { .. } => true,
            Self::Opening { .. }
            | Self::Incoming { .. }
            | Self::Closing { .. }
            | Self::Ended { .. } => false,
        }
    }

    /// Whether chunks from the peer have a place.
    pub(crate) fn takes_data(&self) -> bool {
        match self {
            Self::Open | Self::Flushing { .. } | Self::Closing { .. } => true,
            Self::Opening { .. }
            | Self::Incoming { .. }
            | Self::PeerClosing { .. }
            | Self::Ended { .. } => false,
        }
    }

    /// The peer has closed, so that nothing more comes.
    pub(crate) fn is_peer_closed(&self) -> bool {
        matches!(self, Self::PeerClosing { .. })
    }

    /// The place of our `<close/>` among what leaves, while it has no answer.
    pub(crate) fn place_of_close(&self) -> Option<u64> {
        match self {
            Self::Closing { place, .. } => Some(*place),
            Self::Opening { .. }
            | Self::Incoming { .. }
            | Self::Open
            | Self::Flushing { .. }
            | Self::PeerClosing { .. }
            | Self::Ended { .. } => None,
        }
    }

    /// The decided end.
    pub(crate) fn ending(&self) -> Option<&Close> {
        match self {
            Self::Ended { close, .. } => Some(close),
            Self::Opening { .. }
            | Self::Incoming { .. }
            | Self::Open
            | Self::Flushing { .. }
            | Self::Closing { .. }
            | Self::PeerClosing { .. } => None,
        }
    }

    /// The owner has been given its last event.
    pub(crate) fn is_reported(&self) -> bool {
        matches!(self, Self::Ended { reported: true, .. })
    }

    /// Nothing is left to do.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Ended {
                reported: true,
                unanswered: None,
                ..
            }
        )
    }

    /// Our owner ends a stream that is open, both directions. What is not open yet has no order to end in.
    pub(crate) fn close(&mut self, now: Instant, times: &Timeouts) {
        match self {
            Self::Open => {
                let reading = Reading::Until(now + times.flush);
                *self = Self::Flushing { reading };
            }
            Self::Flushing { reading } if *reading == Reading::GoesOn => {
                *reading = Reading::Until(now + times.flush);
            }
            Self::Closing { reading, until, .. } if *reading == Reading::GoesOn => {
                *until = (*until).min(now + times.close);
                *reading = Reading::Until(*until);
            }
            Self::PeerClosing { until, tail, .. } if *tail != Tail::Closed => {
                *tail = Tail::Closed;
                *until = (*until).min(now + times.flush);
            }
            Self::Opening { .. }
            | Self::Incoming { .. }
            | Self::Flushing { .. }
            | Self::Closing { .. }
            | Self::PeerClosing { .. }
            | Self::Ended { .. } => {}
        }
    }

    /// Bytes move in the direction that is still open, so its time begins anew.
    pub(crate) fn moved(&mut self, now: Instant, times: &Timeouts) {
        match self {
            Self::Closing {
                reading: Reading::GoesOn,
                until,
                ..
            } => *until = now + times.close + times.half_close,
            Self::PeerClosing {
                tail: Tail::Open | Tail::Finished,
                until,
                ..
            } => *until = now + times.half_close,
            Self::Opening { .. }
            | Self::Incoming { .. }
            | Self::Open
            | Self::Flushing { .. }
            | Self::Closing { .. }
            | Self::PeerClosing { .. }
            | Self::Ended { .. } => {}
        }
    }

    /// The answer to our `<close/>` is not awaited any more.
    pub(crate) fn forget_close(&mut self) {
        if let Self::Ended { unanswered, .. } = self {
            *unanswered = None;
        }
    }

    /// When it is over by itself, and what it waits for until then.
    pub(crate) fn deadline(&self) -> Option<(Instant, &'static str)> {
        match self {
            Self::Opening { until, .. } => Some((*until, "the answer to our open")),
            Self::Incoming { until, .. } => Some((*until, "the owner's answer to an open")),
            Self::Closing { until, .. } => Some((*until, "the answer to our close")),
            Self::Open => None,
            Self::Flushing {
                reading: Reading::GoesOn,
            } => None,
            Self::Flushing {
                reading: Reading::Until(until),
            } => Some((*until, "our data to be acknowledged")),
            Self::PeerClosing { until, .. } => Some((*until, "our data before the peer's close")),
            Self::Ended {
                reported,
                unanswered,
                read_until,
                ..
            } => {
                let unread = (!reported).then_some((*read_until, "the owner to read the rest"));
                let close = unanswered
                    .as_ref()
                    .map(|(_, at)| (*at, "the answer to our close"));
                unread.into_iter().chain(close).min()
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn dump(&self, dump: &mut crate::tests::Dump) {
        match self {
            Self::Opening {
                request, halvings, ..
            } => {
                dump.word(("opening", halvings));
                dump.name(request);
            }
            Self::Incoming { request, .. } => {
                dump.word("incoming");
                dump.name(request);
            }
            Self::Open => dump.word("open"),
            Self::Flushing { reading } => {
                dump.word(("flushing", *reading == Reading::GoesOn));
            }
            Self::Closing {
                request, reading, ..
            } => {
                dump.word(("closing", *reading == Reading::GoesOn));
                dump.name(request);
            }
            Self::PeerClosing { request, tail, .. } => {
                dump.word(("peer closing", tail));
                dump.name(request);
            }
            Self::Ended {
                close,
                reported,
                unanswered,
                ..
            } => {
                dump.word(("ended", close, reported));
                if let Some((request, _)) = unanswered {
                    dump.name(request);
                }
            }
        }
    }
}

/// How long the phases of a stream last, and its chunks wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) ack: Duration,
    pub(crate) flush: Duration,
    pub(crate) close: Duration,
    pub(crate) peer_flush: Duration,
    pub(crate) half_close: Duration,
    pub(crate) drain: Duration,
}

impl Timeouts {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            ack: config.ack_timeout,
            flush: config.flush_timeout,
            close: config.close_timeout,
            peer_flush: config.peer_flush_timeout,
            half_close: config.half_closing(),
            drain: config.drain_timeout,
        }
    }

    /// Whether a direction may end while the other goes on.
    pub(crate) fn has_half_close(&self) -> bool {
        !self.half_close.is_zero()
    }
}

/// How our owner ended the stream: what it still wants of the peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    /// Everything until the peer closes as well; there is no haste while anything moves.
    GoesOn,
    /// What comes until then.
    Until(Instant),
}

/// What our owner may still send after the peer's `<close/>`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tail {
    /// It goes on writing: half-closed.
    Open,
    /// It has finished; what it wrote has time while anything moves.
    Finished,
    /// It has closed; what it wrote has a fixed time.
    Closed,
}

/// What our `<open/>` holds besides.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Extensions {
    pub(crate) first: Vec<Element>,
    /// What it holds when it is sent again, if that differs.
    pub(crate) later: Option<Vec<Element>>,
    /// The peer expects this sid.
    pub(crate) keeps_sid: bool,
}
