//! One stream: its phases, from the open to the end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::ibb::{self, Carrier, Seq, Sid};
use xtls_stanza::{Address, Element, Payload, StanzaError};

use crate::config::Config;
use crate::end::Last;
use crate::error::{ChunkError, WriteError, answer, presentable};
use crate::event::{By, Close, Event, Loss, StreamId, Violation, Why};
use crate::outbox::{Asked, Outbox};
use crate::recv::{Receiver, Taken};
use crate::send::Sender;
use crate::stats::Stats;
use crate::window::Window;

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) peer: Address,
    pub(crate) sid: Sid,
    pub(crate) carrier: Carrier,
    /// Agreed block size, or the one on offer.
    pub(crate) block: u16,
    pub(crate) opened_by: By,
    pub(crate) patient: bool,
    window: Window,
    pub(crate) phase: Phase,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    pub(crate) timeouts: Timeouts,
    /// `Readable` is among the events.
    pub(crate) readable_told: bool,
    /// `Writable` is among the events.
    pub(crate) writable_told: bool,
    /// There was no room; `Writable` is due when there is.
    pub(crate) starved: bool,
    /// The entry in the mux's list of deadlines.
    pub(crate) listed: Option<Instant>,
    /// In the mux's ring of streams that have a chunk to send.
    pub(crate) in_ring: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) ack: Duration,
    pub(crate) flush: Duration,
    pub(crate) close: Duration,
    pub(crate) peer_flush: Duration,
    pub(crate) drain: Duration,
}

#[derive(Debug)]
pub(crate) enum Phase {
    /// Our open has no answer yet.
    Opening {
        request: String,
        halvings: u32,
        extensions: Vec<Element>,
        until: Instant,
    },
    /// The peer's open waits for our owner.
    Incoming {
        request: String,
        until: Instant,
    },
    Open,
    /// Closing: what was written goes out and is acknowledged first.
    Flushing {
        until: Instant,
    },
    /// Our `<close/>` has no answer yet; the peer may still send.
    Closing {
        request: String,
        until: Instant,
    },
    /// The peer's `<close/>` waits until what was written is out.
    PeerClosing {
        request: String,
        until: Instant,
    },
    /// Decided. Bytes may remain to be read, and our `<close/>` may have no answer yet.
    Ended {
        close: Close,
        told: bool,
        unanswered: Option<(String, Instant)>,
        read_until: Instant,
    },
}

/// Halvings of the block after `resource-constraint`, and where they stop.
const MAX_HALVINGS: u32 = 5;
const MIN_BLOCK: u16 = 256;

impl Stream {
    fn new(id: StreamId, peer: Address, sid: Sid, own: Own, config: &Config, phase: Phase) -> Self {
        let block = usize::from(config.fitting(own.block));
        Self {
            id,
            peer,
            sid,
            carrier: own.carrier,
            block: own.block,
            opened_by: own.opened_by,
            patient: own.patient,
            window: own.window,
            phase,
            sender: Sender::new(own.carrier, own.window, block),
            receiver: Receiver::new(usize::from(own.block), config.receive_cap),
            timeouts: Timeouts {
                ack: config.ack_timeout,
                flush: config.flush_timeout,
                close: config.close_timeout,
                peer_flush: config.peer_flush_timeout,
                drain: config.drain_timeout,
            },
            readable_told: false,
            writable_told: false,
            starved: false,
            listed: None,
            in_ring: false,
        }
    }

    /// A stream that we ask for.
    pub(crate) fn opening(
        now: Instant,
        id: StreamId,
        peer: Address,
        sid: Sid,
        own: Own,
        config: &Config,
        extensions: Vec<Element>,
        outbox: &mut Outbox,
    ) -> Self {
        let until = now + config.open_timeout;
        let phase = Phase::Opening {
            request: String::new(),
            halvings: 0,
            extensions,
            until,
        };
        let mut stream = Self::new(id, peer, sid, own, config, phase);
        stream.ask(outbox);
        stream
    }

    /// A stream that the peer asks for.
    pub(crate) fn incoming(
        now: Instant,
        id: StreamId,
        peer: Address,
        sid: Sid,
        own: Own,
        config: &Config,
        request: String,
    ) -> Self {
        let phase = Phase::Incoming {
            request,
            until: now + config.accept_timeout,
        };
        Self::new(id, peer, sid, own, config, phase)
    }

    fn ask(&mut self, outbox: &mut Outbox) {
        let Phase::Opening {
            request,
            extensions,
            ..
        } = &mut self.phase
        else {
            return;
        };
        let Some(block_size) = ibb::BlockSize::new(self.block) else {
            return;
        };
        let open = ibb::Open {
            sid: self.sid.clone(),
            block_size,
            carrier: self.carrier,
            extensions: extensions.clone(),
        };
        *request = outbox.request(&self.peer, self.id, Asked::Open, Payload::Open(open));
    }

    // The owner's calls.

    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.phase, Phase::Incoming { .. })
    }

    pub(crate) fn accept(&mut self, answer: Option<Payload>, outbox: &mut Outbox) -> bool {
        let Phase::Incoming { request, .. } = &mut self.phase else {
            return false;
        };
        outbox.result(&self.peer, std::mem::take(request), answer);
        self.phase = Phase::Open;
        true
    }

    pub(crate) fn refuse(
        &mut self,
        now: Instant,
        with: StanzaError,
        why: Why,
        outbox: &mut Outbox,
    ) -> bool {
        let Phase::Incoming { request, .. } = &mut self.phase else {
            return false;
        };
        outbox.error(&self.peer, std::mem::take(request), with);
        self.end(now, Close::new(By::Us, why), Last::Silent, outbox);
        true
    }

    pub(crate) fn room(&self) -> usize {
        match self.phase {
            Phase::Opening { .. } | Phase::Open => self.sender.room(),
            Phase::Incoming { .. }
            | Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::PeerClosing { .. }
            | Phase::Ended { .. } => 0,
        }
    }

    pub(crate) fn write(&mut self, bytes: Bytes) -> Result<usize, WriteError> {
        match self.phase {
            Phase::Opening { .. } | Phase::Open => Ok(self.sender.write(bytes)),
            Phase::Incoming { .. } => Err(WriteError::NotAccepted),
            Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::PeerClosing { .. }
            | Phase::Ended { .. } => Err(WriteError::Closed),
        }
    }

    /// Nothing waits to be sent. An ended stream has nothing either.
    pub(crate) fn is_flushed(&self) -> bool {
        self.sender.is_flushed()
    }

    pub(crate) fn readable(&self) -> usize {
        self.receiver.unread()
    }

    pub(crate) fn read(&mut self, max: usize, outbox: &mut Outbox) -> Option<Bytes> {
        let mut answered = Vec::new();
        let bytes = self.receiver.read(max, &mut answered);
        for request in answered {
            outbox.result(&self.peer, request, None);
        }
        bytes
    }

    pub(crate) fn close(&mut self, now: Instant, outbox: &mut Outbox) {
        match self.phase {
            Phase::Incoming { .. } => {
                self.refuse(now, answer::declined(), Why::Declined, outbox);
            }
            Phase::Opening { .. } => {
                let why = self.closed_why();
                self.end(now, Close::new(By::Us, why), Last::Close, outbox);
            }
            Phase::Open => {
                self.phase = Phase::Flushing {
                    until: now + self.timeouts.flush,
                }
            }
            Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::PeerClosing { .. }
            | Phase::Ended { .. } => {}
        }
    }

    pub(crate) fn abort(&mut self, now: Instant, outbox: &mut Outbox) {
        match self.phase {
            Phase::Incoming { .. } => {
                self.refuse(now, answer::declined(), Why::Declined, outbox);
            }
            Phase::Ended { .. } => {
                self.receiver.discard();
            }
            Phase::Opening { .. }
            | Phase::Open
            | Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::PeerClosing { .. } => {
                let withheld: Vec<String> = self.receiver.withheld().collect();
                for request in withheld {
                    outbox.error(&self.peer, request, answer::unknown_stream());
                }
                self.receiver.discard();
                self.end(now, Close::new(By::Us, Why::Aborted), Last::Close, outbox);
            }
        }
    }

    pub(crate) fn set_window(&mut self, window: Window, config: &Config) {
        self.window = window;
        self.sender
            .set_window(window, usize::from(config.fitting(self.block)));
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.sender.stats();
        self.receiver.add_to(&mut stats);
        stats
    }

    // What comes from the peer.

    /// A chunk; `request` is the id to answer, `None` in a message.
    pub(crate) fn on_data(
        &mut self,
        now: Instant,
        seq: Seq,
        bytes: Bytes,
        request: Option<String>,
        outbox: &mut Outbox,
    ) {
        if !self.takes_data() {
            if let Some(request) = request {
                outbox.error(&self.peer, request, answer::unknown_stream());
            }
            return;
        }
        let len = bytes.len();
        match self.receiver.take(seq, bytes, request.clone()) {
            Ok(Taken::Kept) => {
                tracing::trace!(stream = %self.id, seq = seq.0, len, "chunk received");
                if self.receiver.unread() > 0 && !self.readable_told {
                    self.readable_told = true;
                    outbox.event(Event::Readable { id: self.id });
                }
            }
            Ok(Taken::Answer(Some(request))) => outbox.result(&self.peer, request, None),
            Ok(Taken::Answer(None)) => {}
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
            Last::Close,
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
                self.end(now, Close::new(By::Peer, Why::Done), Last::Silent, outbox);
            }
            Phase::Open | Phase::Flushing { .. } => {
                self.release(outbox);
                self.phase = Phase::PeerClosing {
                    request,
                    until: now + self.timeouts.peer_flush,
                };
            }
            Phase::Opening { .. } => {
                outbox.result(&self.peer, request, None);
                let why = self.closed_why();
                self.end(now, Close::new(By::Peer, why), Last::Silent, outbox);
            }
            Phase::Closing { .. } => {
                let why = self.closed_why();
                self.end(now, Close::new(By::Us, why), Last::Silent, outbox);
                outbox.result(&self.peer, request, None);
            }
            Phase::PeerClosing { .. } | Phase::Ended { .. } => {
                outbox.result(&self.peer, request, None);
            }
        }
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
            halvings, until, ..
        } = &mut self.phase
        else {
            return false;
        };
        let half = self.block / 2;
        if *halvings == MAX_HALVINGS || half < MIN_BLOCK {
            return false;
        }
        *halvings += 1;
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
        let refusal = crate::error::Refusal::of(&error);
        let why = Why::Refused {
            refusal,
            error: presentable(error),
        };
        self.end(now, Close::new(By::Peer, why), Last::Silent, outbox);
    }

    pub(crate) fn on_acknowledged(&mut self, now: Instant, id: &str, outbox: &mut Outbox) {
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
            ChunkError::Final => Last::Close,
            ChunkError::Unknown => Last::Silent,
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
            Last::Close,
            outbox,
        );
    }

    /// Our `<close/>` was answered, with whatever.
    pub(crate) fn on_close_answered(&mut self, now: Instant, outbox: &mut Outbox) {
        if let Phase::Closing { .. } = self.phase {
            let why = self.closed_why();
            self.end(now, Close::new(By::Us, why), Last::Silent, outbox);
        }
        self.forget_close();
    }

    /// The connection to the server is gone.
    pub(crate) fn on_link_lost(&mut self, now: Instant, outbox: &mut Outbox) {
        self.end(
            now,
            Close::new(By::Link, Why::LinkLost),
            Last::Silent,
            outbox,
        );
        self.forget_close();
    }
}

/// What a stream is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) block: u16,
    pub(crate) carrier: Carrier,
    pub(crate) window: Window,
    pub(crate) patient: bool,
    pub(crate) opened_by: By,
}
