//! One stream: what its owner does with it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::ibb::{self, Carrier, Sid};
use xtls_stanza::{Address, Payload, StanzaError};

use crate::closing::Goodbye;
use crate::config::Config;
use crate::error::{WriteError, answer};
use crate::event::{By, Close, StreamId, Why};
use crate::outbox::{Asked, Outbox};
use crate::phase::{Extensions, Phase, Reading, Tail};
use crate::recv::Receiver;
use crate::scheduler::Paid;
use crate::send::Sender;
use crate::stats::Stats;
use crate::window::Window;

#[cfg_attr(test, derive(Clone))]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) peer: Address,
    pub(crate) sid: Sid,
    pub(crate) carrier: Carrier,
    /// Agreed block size, or the one on offer.
    pub(crate) block: u16,
    pub(crate) opened_by: By,
    /// Id of the peer's open.
    pub(crate) open_request: String,
    pub(crate) patient: bool,
    pub(crate) window: Window,
    pub(crate) phase: Phase,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    pub(crate) timeouts: Timeouts,
    /// `Readable` is among the events.
    pub(crate) readable_queued: bool,
    /// `Writable` is among the events.
    pub(crate) writable_queued: bool,
    /// There was no room; `Writable` is due when there is.
    pub(crate) starved: bool,
    /// The entry in the mux's list of deadlines.
    pub(crate) listed: Option<Instant>,
    /// In the mux's ring of streams that have a chunk to send.
    pub(crate) scheduled: bool,
    /// What it has sent, as the ring counts it.
    pub(crate) paid: Paid,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) ack: Duration,
    pub(crate) flush: Duration,
    pub(crate) close: Duration,
    pub(crate) peer_flush: Duration,
    pub(crate) half_close: Duration,
    pub(crate) drain: Duration,
}

impl Stream {
    fn new(
        id: StreamId,
        peer: Address,
        sid: Sid,
        params: StreamParams,
        config: &Config,
        phase: Phase,
    ) -> Self {
        let block = usize::from(config.fitting(params.block));
        Self {
            id,
            peer,
            sid,
            carrier: params.carrier,
            block: params.block,
            opened_by: params.opened_by,
            open_request: String::new(),
            patient: params.patient,
            window: params.window,
            phase,
            sender: Sender::new(params.carrier, params.window, block),
            receiver: Receiver::new(usize::from(params.block), config.receive_cap),
            timeouts: Timeouts {
                ack: config.ack_timeout,
                flush: config.flush_timeout,
                close: config.close_timeout,
                peer_flush: config.peer_flush_timeout,
                half_close: config.half_closing(),
                drain: config.drain_timeout,
            },
            readable_queued: false,
            writable_queued: false,
            starved: false,
            listed: None,
            scheduled: false,
            paid: Paid::default(),
        }
    }

    /// A stream that we ask for.
    pub(crate) fn opening(
        now: Instant,
        id: StreamId,
        peer: Address,
        sid: Sid,
        params: StreamParams,
        config: &Config,
        extensions: Extensions,
        outbox: &mut Outbox,
    ) -> Self {
        let until = now + config.open_timeout;
        let phase = Phase::Opening {
            request: String::new(),
            halvings: 0,
            extensions,
            until,
        };
        let mut stream = Self::new(id, peer, sid, params, config, phase);
        stream.ask(outbox);
        stream
    }

    /// A stream that the peer asks for.
    pub(crate) fn incoming(
        now: Instant,
        id: StreamId,
        peer: Address,
        sid: Sid,
        params: StreamParams,
        config: &Config,
        request: String,
    ) -> Self {
        let until = now + config.accept_timeout;
        let phase = Phase::Incoming {
            request: request.clone(),
            until,
        };
        Self {
            open_request: request,
            ..Self::new(id, peer, sid, params, config, phase)
        }
    }

    /// Sends `<open/>`.
    pub(crate) fn ask(&mut self, outbox: &mut Outbox) {
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
            extensions: extensions.first.clone(),
        };
        *request = outbox.request(&self.peer, self.id, Asked::Open, Payload::Open(open));
    }

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
        self.end(now, Close::new(By::Us, why), Goodbye::Silent, outbox);
        true
    }

    pub(crate) fn room(&self) -> usize {
        match self.phase {
            Phase::Opening { .. }
            | Phase::Open
            | Phase::PeerClosing {
                tail: Tail::Open, ..
            } => self.sender.room(),
            Phase::Incoming { .. }
            | Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::PeerClosing { .. }
            | Phase::Ended { .. } => 0,
        }
    }

    pub(crate) fn write(&mut self, now: Instant, bytes: Bytes) -> Result<usize, WriteError> {
        match self.phase {
            Phase::Opening { .. }
            | Phase::Open
            | Phase::PeerClosing {
                tail: Tail::Open, ..
            } => {
                self.moved(now);
                Ok(self.sender.write(bytes))
            }
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

    pub(crate) fn read(&mut self, now: Instant, max: usize, outbox: &mut Outbox) -> Option<Bytes> {
        let Self { receiver, peer, .. } = self;
        let bytes = receiver.read(max, |request| outbox.result(peer, request, None))?;
        self.moved(now);
        Some(bytes)
    }

    pub(crate) fn close(&mut self, now: Instant, outbox: &mut Outbox) {
        match &mut self.phase {
            Phase::Incoming { .. } => {
                self.refuse(now, answer::declined(), Why::Declined, outbox);
            }
            Phase::Opening { .. } => {
                let why = self.closed_why();
                self.end(now, Close::new(By::Us, why), Goodbye::Close, outbox);
            }
            Phase::Open => {
                let reading = Reading::Until(now + self.timeouts.flush);
                self.phase = Phase::Flushing { reading };
            }
            Phase::Flushing { reading } if *reading == Reading::GoesOn => {
                *reading = Reading::Until(now + self.timeouts.flush);
            }
            Phase::Closing { reading, until, .. } if *reading == Reading::GoesOn => {
                *until = (*until).min(now + self.timeouts.close);
                *reading = Reading::Until(*until);
            }
            Phase::PeerClosing { until, tail, .. } if *tail != Tail::Closed => {
                *tail = Tail::Closed;
                *until = (*until).min(now + self.timeouts.flush);
            }
            Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::PeerClosing { .. }
            | Phase::Ended { .. } => {}
        }
    }

    /// Our owner writes no more and goes on reading, if there is half-close.
    pub(crate) fn finish(&mut self, now: Instant, outbox: &mut Outbox) {
        match &mut self.phase {
            Phase::Open if !self.timeouts.half_close.is_zero() => {
                let reading = Reading::GoesOn;
                self.phase = Phase::Flushing { reading };
            }
            Phase::PeerClosing { tail, .. } if *tail == Tail::Open => *tail = Tail::Finished,
            Phase::Opening { .. } | Phase::Incoming { .. } | Phase::Open => self.close(now, outbox),
            Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::PeerClosing { .. }
            | Phase::Ended { .. } => {}
        }
    }

    /// All that our owner wrote was acknowledged, and our `<close/>` has left.
    pub(crate) fn is_finished(&self, outbox: &Outbox) -> bool {
        match self.phase {
            Phase::Closing { place, .. } => self.sender.is_idle() && outbox.has_left(place),
            Phase::Opening { .. }
            | Phase::Incoming { .. }
            | Phase::Open
            | Phase::Flushing { .. }
            | Phase::PeerClosing { .. }
            | Phase::Ended { .. } => false,
        }
    }

    pub(crate) fn is_half_closing(&self) -> bool {
        !self.timeouts.half_close.is_zero()
    }

    /// Bytes move in the direction that is still open, so its time begins anew.
    pub(crate) fn moved(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Closing {
                reading: Reading::GoesOn,
                until,
                ..
            } => *until = now + self.timeouts.close + self.timeouts.half_close,
            Phase::PeerClosing {
                tail: Tail::Open | Tail::Finished,
                until,
                ..
            } => *until = now + self.timeouts.half_close,
            Phase::Opening { .. }
            | Phase::Incoming { .. }
            | Phase::Open
            | Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::PeerClosing { .. }
            | Phase::Ended { .. } => {}
        }
    }

    /// The peer has closed, so that nothing more comes.
    pub(crate) fn peer_closed(&self) -> bool {
        matches!(self.phase, Phase::PeerClosing { .. })
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
                self.end(
                    now,
                    Close::new(By::Us, Why::Aborted),
                    Goodbye::Close,
                    outbox,
                );
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
}

/// What a stream is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamParams {
    pub(crate) block: u16,
    pub(crate) carrier: Carrier,
    pub(crate) window: Window,
    pub(crate) patient: bool,
    pub(crate) opened_by: By,
}

#[cfg(test)]
impl Stream {
    pub(crate) fn dump(&self, dump: &mut crate::tests::Dump) {
        dump.word((self.id, self.carrier, self.block, self.opened_by));
        dump.name(self.sid.as_str());
        dump.name(&self.open_request);
        match &self.phase {
            Phase::Opening {
                request, halvings, ..
            } => {
                dump.word(("opening", halvings));
                dump.name(request);
            }
            Phase::Incoming { request, .. } => {
                dump.word("incoming");
                dump.name(request);
            }
            Phase::Open => dump.word("open"),
            Phase::Flushing { reading } => {
                dump.word(("flushing", *reading == Reading::GoesOn));
            }
            Phase::Closing {
                request, reading, ..
            } => {
                dump.word(("closing", *reading == Reading::GoesOn));
                dump.name(request);
            }
            Phase::PeerClosing { request, tail, .. } => {
                dump.word(("peer closing", tail));
                dump.name(request);
            }
            Phase::Ended {
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
        dump.time(self.deadline().map(|(at, _)| at));
        dump.word((
            self.readable_queued,
            self.writable_queued,
            self.starved,
            self.scheduled,
        ));
        self.sender.dump(dump);
        self.receiver.dump(dump);
    }
}
