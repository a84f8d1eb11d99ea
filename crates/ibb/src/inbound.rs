//! What a stream does with what comes from its peer.

use std::time::Instant;

use bytes::Bytes;
use xtls_stanza::ibb::{Seq, Sid};
use xtls_stanza::{Payload, StanzaError};

use crate::closing::Goodbye;
use crate::config::Config;
use crate::error::{ChunkError, Refusal, answer, presentable};
use crate::event::{By, Close, Event, Loss, Violation, Why};
use crate::outbox::Outbox;
use crate::phase::{Phase, Reading, Tail};
use crate::recv::{Receiver, Taken};
use crate::stream::Stream;

/// Halvings of the block after `resource-constraint`, and where they stop.
const MAX_HALVINGS: u32 = 8;
const MIN_BLOCK: u16 = 256;

impl Stream {
    /// A chunk; `request` is the id to answer, `None` in a message.
    pub(crate) fn on_data(
        &mut self,
        now: Instant,
        seq: Seq,
        bytes: Bytes,
        mut request: Option<String>,
        outbox: &mut Outbox,
    ) {
        if !self.takes_data() {
            if let Some(request) = request {
                outbox.error(&self.peer, request, answer::unknown_stream());
            }
            return;
        }
        let len = bytes.len();
        match self.receiver.take(seq, bytes, &mut request) {
            Ok(Taken::Kept) => {
                self.moved(now);
                tracing::trace!(stream = %self.id, seq = seq.0, len, "chunk received");
                if self.receiver.unread() > 0 && !self.readable_queued {
                    self.readable_queued = true;
                    outbox.event(Event::Readable { id: self.id });
                }
            }
            Ok(Taken::Answer) => {
                if let Some(request) = request {
                    outbox.result(&self.peer, request, None);
                }
            }
            Err(violation) => self.violation(now, violation, request, outbox),
        }
    }

    /// Ends the stream for the peer's fault, answering the request that showed it.
    pub(crate) fn violation(
        &mut self,
        now: Instant,
        violation: Violation,
        request: Option<String>,
        outbox: &mut Outbox,
    ) {
        tracing::warn!(stream = %self.id, %violation, "the peer broke a rule");
        self.release(outbox);
        if let Some(request) = request {
            outbox.error(&self.peer, request, answer::violation(&violation));
        }
        self.end(
            now,
            Close::new(By::Us, Why::Violation(violation)),
            Goodbye::Close,
            outbox,
        );
    }

    /// Whether chunks from the peer have a place in this phase.
    pub(crate) fn takes_data(&self) -> bool {
        match self.phase {
            Phase::Open | Phase::Flushing { .. } | Phase::Closing { .. } => true,
            Phase::Opening { .. }
            | Phase::Incoming { .. }
            | Phase::PeerClosing { .. }
            | Phase::Ended { .. } => false,
        }
    }

    /// The peer's `<close/>`; answered here or later, once.
    pub(crate) fn on_close(&mut self, now: Instant, request: String, outbox: &mut Outbox) {
        match &mut self.phase {
            Phase::Incoming { request: open, .. } => {
                outbox.error(&self.peer, std::mem::take(open), answer::declined());
                outbox.result(&self.peer, request, None);
                self.end(
                    now,
                    Close::new(By::Peer, Why::Done),
                    Goodbye::Silent,
                    outbox,
                );
            }
            Phase::Open if !self.timeouts.half_close.is_zero() => {
                outbox.event(Event::PeerClosed { id: self.id });
                let until = now + self.timeouts.half_close;
                self.answer_later(request, until, Tail::Open, outbox);
            }
            Phase::Flushing { reading } if !self.timeouts.half_close.is_zero() => {
                let (until, tail) = match *reading {
                    Reading::GoesOn => (now + self.timeouts.half_close, Tail::Finished),
                    Reading::Until(until) => (until, Tail::Closed),
                };
                self.answer_later(request, until, tail, outbox);
            }
            Phase::Open | Phase::Flushing { .. } => {
                let until = now + self.timeouts.peer_flush;
                self.answer_later(request, until, Tail::Closed, outbox);
            }
            Phase::Opening { .. } => {
                outbox.result(&self.peer, request, None);
                let why = self.closed_why();
                self.end(now, Close::new(By::Peer, why), Goodbye::Silent, outbox);
            }
            Phase::Closing { .. } => {
                let why = self.closed_why();
                self.end(now, Close::new(By::Us, why), Goodbye::Silent, outbox);
                outbox.result(&self.peer, request, None);
            }
            // The same stanza twice: its answer goes when our tail is out, and would cut that off now.
            Phase::PeerClosing { request: first, .. } if *first == request => {}
            Phase::PeerClosing { .. } | Phase::Ended { .. } => {
                outbox.result(&self.peer, request, None);
            }
        }
    }

    /// The peer's `<close/>` is answered when our tail is out.
    fn answer_later(&mut self, request: String, until: Instant, tail: Tail, outbox: &mut Outbox) {
        self.release(outbox);
        self.phase = Phase::PeerClosing {
            request,
            until,
            tail,
        };
    }

    /// The result of our open.
    pub(crate) fn on_opened(&mut self, answer: Option<Payload>, outbox: &mut Outbox) {
        if let Phase::Opening { .. } = self.phase {
            self.phase = Phase::Open;
            outbox.event(Event::Opened {
                id: self.id,
                answer,
            });
        }
    }

    /// Offers half the block under a new sid, as far as that goes. The caller files the new sid.
    pub(crate) fn halve(
        &mut self,
        now: Instant,
        sid: Sid,
        config: &Config,
        outbox: &mut Outbox,
    ) -> bool {
        let Phase::Opening {
            halvings,
            until,
            extensions,
            ..
        } = &mut self.phase
        else {
            return false;
        };
        if *halvings == MAX_HALVINGS || self.block <= MIN_BLOCK {
            return false;
        }
        let half = (self.block / 2).max(MIN_BLOCK);
        *halvings += 1;
        if let Some(later) = extensions.later.take() {
            extensions.first = later;
        }
        *until = now + config.open_timeout;
        self.block = half;
        self.sid = sid;
        self.receiver = Receiver::new(usize::from(half), config.receive_cap);
        self.sender
            .set_window(self.window, usize::from(config.fitting(half)));
        self.ask(outbox);
        true
    }

    /// Our open was refused for good.
    pub(crate) fn on_refused(&mut self, now: Instant, error: StanzaError, outbox: &mut Outbox) {
        let refusal = Refusal::of(&error);
        let why = Why::Refused {
            refusal,
            error: presentable(error),
        };
        self.end(now, Close::new(By::Peer, why), Goodbye::Silent, outbox);
    }

    pub(crate) fn on_acknowledged(&mut self, now: Instant, id: &str, outbox: &mut Outbox) {
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.moved(now);
        }
        if let Err(loss) = self.sender.on_acknowledged(now, id) {
            self.lost(now, loss, outbox);
        }
    }

    pub(crate) fn on_chunk_error(
        &mut self,
        now: Instant,
        id: &str,
        error: StanzaError,
        outbox: &mut Outbox,
    ) {
        let last = match ChunkError::of(&error) {
            ChunkError::Wait => {
                if let Err(loss) = self.sender.on_bounced(now, id) {
                    self.lost(now, loss, outbox);
                }
                return;
            }
            ChunkError::Final => Goodbye::Close,
            ChunkError::Unknown => Goodbye::Silent,
        };
        let close = match self.phase {
            // The peer has closed: that it takes no more is no news.
            Phase::PeerClosing { .. } => Close::new(By::Peer, self.closed_why()),
            Phase::Opening { .. }
            | Phase::Incoming { .. }
            | Phase::Open
            | Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::Ended { .. } => Close::new(By::Peer, Why::Rejected(presentable(error))),
        };
        self.end(now, close, last, outbox);
    }

    /// A message of ours came back.
    pub(crate) fn on_message_error(&mut self, now: Instant, id: &str, outbox: &mut Outbox) -> bool {
        let ours = self.sender.sent_message(id);
        if ours {
            self.lost(now, Loss::Message, outbox);
        }
        ours
    }

    fn lost(&mut self, now: Instant, loss: Loss, outbox: &mut Outbox) {
        self.end(
            now,
            Close::new(By::Peer, Why::Lost(loss)),
            Goodbye::Close,
            outbox,
        );
    }

    /// Our `<close/>` was answered. An error ends the stream as a result does, but does not mean that all its bytes came.
    pub(crate) fn on_close_answered(
        &mut self,
        now: Instant,
        answer: Result<(), StanzaError>,
        outbox: &mut Outbox,
    ) {
        if let Phase::Closing { reading, .. } = self.phase {
            let close = match answer {
                Err(error) if reading == Reading::GoesOn => {
                    Close::new(By::Peer, Why::CutShort(presentable(error)))
                }
                Ok(()) | Err(_) => Close::new(By::Us, self.closed_why()),
            };
            self.end(now, close, Goodbye::Silent, outbox);
        }
        self.forget_close();
    }

    /// The connection to the server is gone.
    pub(crate) fn on_link_lost(&mut self, now: Instant, outbox: &mut Outbox) {
        self.end(
            now,
            Close::new(By::Link, Why::LinkLost),
            Goodbye::Silent,
            outbox,
        );
        self.forget_close();
    }
}
