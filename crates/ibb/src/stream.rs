//! One stream: what its owner does with it, what its peer does, and how it goes on and ends.

use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::ibb::{self, Carrier, Data, Seq, Sid};
use xtls_stanza::{Address, Envelope, Payload, StanzaError};

use crate::config::Config;
use crate::error::{ChunkError, Refusal, WriteError, answer, presentable};
use crate::event::{Awaited, By, Close, Event, Loss, StreamId, Violation, Why};
use crate::outbox::{Asked, Outbox};
use crate::phase::{Extensions, Phase, Reading, Tail, Timeouts};
use crate::recv::{Receiver, Taken};
use crate::send::Sender;
use crate::stats::Stats;
use crate::window::{Path, Window};

/// Halvings of the block after `resource-constraint`, and where they stop.
const MAX_HALVINGS: u32 = 8;
const MIN_BLOCK: u16 = 256;

#[cfg_attr(test, derive(Clone))]
pub(crate) struct Stream {
    id: StreamId,
    peer: Address,
    sid: Sid,
    carrier: Carrier,
    /// Agreed block size, or the one on offer.
    block: u16,
    opened_by: By,
    /// Id of the peer's open.
    open_request: String,
    patient: bool,
    window: Window,
    phase: Phase,
    sender: Sender,
    receiver: Receiver,
    timeouts: Timeouts,
    /// `Readable` is among the events.
    readable_queued: bool,
    /// `Writable` is among the events.
    writable_queued: bool,
    /// There was no room; `Writable` is due when there is.
    starved: bool,
    acknowledged: Telling,
}

/// Whether the owner wants to know when everything that it wrote is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    Unasked,
    Due,
    Told,
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
            timeouts: Timeouts::of(config),
            readable_queued: false,
            writable_queued: false,
            starved: false,
            acknowledged: Telling::Unasked,
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
            extensions: extensions.first.clone(),
        };
        *request = outbox.request(&self.peer, self.id, Asked::Open, Payload::Open(open));
    }

    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    pub(crate) fn peer(&self) -> &Address {
        &self.peer
    }

    pub(crate) fn sid(&self) -> &Sid {
        &self.sid
    }

    /// Bytes that the peer has acknowledged, where anything is.
    pub(crate) fn acknowledged(&self) -> Option<u64> {
        let counted = self.carrier == Carrier::Iq;
        counted.then(|| self.sender.acknowledged())
    }

    pub(crate) fn block(&self) -> u16 {
        self.block
    }

    pub(crate) fn opened_by(&self) -> By {
        self.opened_by
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether the peer asked for it under this id.
    pub(crate) fn was_asked_for(&self, request: &str) -> bool {
        self.open_request == request
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
        if self.phase.is_writable() {
            self.sender.room()
        } else {
            0
        }
    }

    pub(crate) fn write(&mut self, now: Instant, bytes: Bytes) -> Result<usize, WriteError> {
        if self.phase.is_writable() {
            self.moved(now);
            if self.acknowledged == Telling::Told {
                self.acknowledged = Telling::Due;
            }
            return Ok(self.sender.write(bytes));
        }
        Err(if self.phase.is_pending() {
            WriteError::NotAccepted
        } else {
            WriteError::Closed
        })
    }

    /// From now on the owner is told whenever everything that it wrote is acknowledged.
    pub(crate) fn tell_acknowledged(&mut self) {
        self.acknowledged = Telling::Due;
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
        match self.phase {
            Phase::Incoming { .. } => {
                self.refuse(now, answer::declined(), Why::Declined, outbox);
            }
            Phase::Opening { .. } => {
                let why = self.closed_why();
                self.end(now, Close::new(By::Us, why), Goodbye::Close, outbox);
            }
            Phase::Open
            | Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::PeerClosing { .. }
            | Phase::Ended { .. } => self.phase.close(now, &self.timeouts),
        }
    }

    /// Our owner writes no more and goes on reading, if there is half-close.
    pub(crate) fn finish(&mut self, now: Instant, outbox: &mut Outbox) {
        match &mut self.phase {
            Phase::Open if self.timeouts.has_half_close() => {
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
        let place = self.phase.place_of_close();
        place.is_some_and(|place| self.sender.is_idle() && outbox.has_left(place))
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

    pub(crate) fn set_patient(&mut self, patient: bool) {
        self.patient = patient;
    }

    pub(crate) fn set_ack_timeout(&mut self, wait: Duration) {
        self.timeouts.ack = wait;
    }

    /// The peer was heard from elsewhere.
    pub(crate) fn alive(&mut self, now: Instant) {
        self.sender.on_sign(now);
    }

    /// The owner has been given `Readable`.
    pub(crate) fn told_readable(&mut self) {
        self.readable_queued = false;
    }

    /// The owner has been given `Writable`.
    pub(crate) fn told_writable(&mut self) {
        self.writable_queued = false;
    }

    pub(crate) fn path(&self) -> Path {
        self.sender.path()
    }

    /// What another stream with this peer has found.
    pub(crate) fn on_path(&mut self, path: Path) {
        self.sender.on_path(path);
    }

    /// Chunks on their way that await an answer.
    pub(crate) fn unanswered(&self) -> usize {
        self.sender.unanswered()
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.sender.stats();
        self.receiver.add_to(&mut stats);
        stats
    }

    /// A chunk; `request` is the id to answer, `None` in a message.
    pub(crate) fn on_data(
        &mut self,
        now: Instant,
        seq: Seq,
        bytes: Bytes,
        mut request: Option<String>,
        outbox: &mut Outbox,
    ) {
        if !self.phase.takes_data() {
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

    /// A chunk in a message, if it is to come in such.
    pub(crate) fn takes_messages(&self) -> bool {
        self.carrier == Carrier::Message && self.phase.takes_data()
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
            Phase::Open if self.timeouts.has_half_close() => {
                outbox.event(Event::PeerClosed { id: self.id });
                let until = now + self.timeouts.half_close;
                self.answer_later(request, until, Tail::Open, outbox);
            }
            Phase::Flushing { reading } if self.timeouts.has_half_close() => {
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

    /// Offers half the block under a new sid, if it may have one, as far as that goes. The caller files the new sid.
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
        if !extensions.keeps_sid {
            self.sid = sid;
        }
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

    /// Whether a chunk under this id has no answer yet.
    pub(crate) fn awaits(&self, request: &str) -> bool {
        self.sender.awaits(request)
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
        self.phase.forget_close();
    }

    /// The connection to the server is gone.
    pub(crate) fn on_link_lost(&mut self, now: Instant, outbox: &mut Outbox) {
        self.end(
            now,
            Close::new(By::Link, Why::LinkLost),
            Goodbye::Silent,
            outbox,
        );
        self.phase.forget_close();
    }

    /// Takes the steps that have become possible. Called after every change.
    pub(crate) fn advance(&mut self, now: Instant, outbox: &mut Outbox) {
        if self.acknowledged == Telling::Due && self.sender.is_idle() {
            self.acknowledged = Telling::Told;
            outbox.event(Event::Acknowledged { id: self.id });
        }
        match self.phase {
            Phase::Flushing { reading } if self.sender.is_idle() => {
                self.send_close(now, reading, outbox);
            }
            Phase::PeerClosing {
                tail: Tail::Finished | Tail::Closed,
                ..
            } if self.sender.is_idle() => {
                self.end(
                    now,
                    Close::new(By::Peer, Why::Done),
                    Goodbye::Silent,
                    outbox,
                );
            }
            Phase::Open
            | Phase::Opening { .. }
            | Phase::PeerClosing {
                tail: Tail::Open, ..
            } if self.sender.room() == 0 => {
                self.starved = true;
            }
            Phase::Open
            | Phase::Opening { .. }
            | Phase::PeerClosing {
                tail: Tail::Open, ..
            } if self.starved => {
                self.starved = false;
                if !self.writable_queued {
                    self.writable_queued = true;
                    outbox.event(Event::Writable { id: self.id });
                }
            }
            Phase::Opening { .. }
            | Phase::Incoming { .. }
            | Phase::Open
            | Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::PeerClosing { .. }
            | Phase::Ended { .. } => {}
        }
        if let Phase::Ended {
            close, reported, ..
        } = &mut self.phase
            && !*reported
            && self.receiver.unread() == 0
        {
            *reported = true;
            tracing::debug!(stream = %self.id, %close, "closed");
            outbox.event(Event::Closed {
                id: self.id,
                close: Close::clone(close),
            });
        }
    }

    /// Whether a chunk may go now.
    pub(crate) fn has_chunk(&mut self, now: Instant) -> bool {
        self.phase.sends() && self.sender.is_ready(now)
    }

    /// The next chunk, and the bytes in it.
    pub(crate) fn next_chunk(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
    ) -> Option<(Envelope, usize)> {
        if !self.phase.sends() {
            return None;
        }
        let chunk = self.sender.poll(now, || outbox.new_id())?;
        tracing::trace!(stream = %self.id, seq = chunk.seq.0, len = chunk.bytes.len(), "chunk sent");
        let len = chunk.bytes.len();
        let data = Data {
            sid: self.sid.clone(),
            seq: chunk.seq,
            bytes: chunk.bytes,
        };
        let envelope = outbox.chunk(&self.peer, self.carrier, chunk.id, data);
        Some((envelope, len))
    }

    /// Nothing is under way, and what there is to send is a line.
    pub(crate) fn is_terse(&self) -> bool {
        self.carrier == Carrier::Iq && self.sender.is_terse()
    }

    fn send_close(&mut self, now: Instant, reading: Reading, outbox: &mut Outbox) {
        let request = self.ask_close(outbox);
        self.phase = Phase::Closing {
            request,
            place: outbox.last_place(),
            until: now + self.timeouts.close,
            reading,
        };
        // Half-closed, the peer may take its time.
        self.moved(now);
    }

    fn moved(&mut self, now: Instant) {
        self.phase.moved(now, &self.timeouts);
    }

    fn ask_close(&self, outbox: &mut Outbox) -> String {
        let close = Payload::Close(ibb::Close {
            sid: self.sid.clone(),
        });
        outbox.request(&self.peer, self.id, Asked::Close, close)
    }

    /// Answers what was withheld: nothing more can come, so there is nothing to hold back.
    fn release(&mut self, outbox: &mut Outbox) {
        for request in self.receiver.withheld() {
            outbox.result(&self.peer, request, None);
        }
    }

    /// The reason of an end in order.
    fn closed_why(&self) -> Why {
        match self.sender.unfinished() {
            0 => Why::Done,
            bytes => Why::Unfinished { bytes },
        }
    }

    /// Decides the end; the first decision counts. Every request of the peer is answered here that
    /// has no answer yet, and no answer to ours is awaited any more, but that to `<close/>`.
    fn end(&mut self, now: Instant, close: Close, goodbye: Goodbye, outbox: &mut Outbox) {
        let mut unanswered = None;
        match &mut self.phase {
            Phase::Ended { .. } => return,
            Phase::Opening { request, .. } => outbox.settle(request),
            Phase::Closing { request, until, .. } => {
                unanswered = Some((std::mem::take(request), *until));
            }
            Phase::Incoming { .. }
            | Phase::Open
            | Phase::Flushing { .. }
            | Phase::PeerClosing { .. } => {}
        }
        self.release(outbox);
        self.sender.drop_all();
        let half_closing = self.timeouts.has_half_close();
        if let Phase::PeerClosing { request, .. } = &mut self.phase {
            let request = std::mem::take(request);
            if half_closing && close.why != Why::Done {
                // A peer that goes on reading would take a result for the end of our bytes.
                outbox.error(&self.peer, request, answer::unknown_stream());
            } else {
                outbox.result(&self.peer, request, None);
            }
        } else if goodbye == Goodbye::Close && unanswered.is_none() {
            unanswered = Some((self.ask_close(outbox), now + self.timeouts.close));
        }
        let read_until = now + self.timeouts.drain;
        self.phase = Phase::Ended {
            close: Box::new(close),
            reported: false,
            unanswered,
            read_until,
        };
    }

    /// The nearest moment at which time itself changes something, and what.
    pub(crate) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let own = self.phase.deadline();
        if !self.phase.sends() {
            return own;
        }
        let trouble = self.sender.trouble_deadline();
        let trouble = trouble.map(|at| (at, "chunks that came back"));
        let answers = self.ack_deadline().map(|at| (at, "any answer"));
        trouble.into_iter().chain(answers).chain(own).min()
    }

    fn ack_deadline(&self) -> Option<Instant> {
        if self.patient {
            return None;
        }
        Some(self.sender.owed_since()? + self.timeouts.ack)
    }

    /// Does what is due at `now`.
    pub(crate) fn on_time(&mut self, now: Instant, outbox: &mut Outbox) {
        self.sender.on_time(now);
        match &mut self.phase {
            Phase::Opening { until, .. } if *until <= now => {
                let why = Why::TimedOut(Awaited::Open);
                self.end(now, Close::new(By::Us, why), Goodbye::Close, outbox);
            }
            Phase::Incoming { until, .. } if *until <= now => {
                self.refuse(now, answer::declined(), Why::Expired, outbox);
            }
            Phase::Closing { request, until, .. } if *until <= now => {
                outbox.settle(request);
                let why = Why::TimedOut(Awaited::Close);
                self.end(now, Close::new(By::Us, why), Goodbye::Silent, outbox);
                self.phase.forget_close();
            }
            Phase::PeerClosing {
                until,
                tail: Tail::Open,
                ..
            } if *until <= now => {
                let why = Why::TimedOut(Awaited::Owner);
                self.end(now, Close::new(By::Us, why), Goodbye::Silent, outbox);
            }
            Phase::PeerClosing { until, .. } if *until <= now => {
                let why = self.closed_why();
                self.end(now, Close::new(By::Peer, why), Goodbye::Silent, outbox);
            }
            Phase::Ended { .. } => self.on_time_after_end(now, outbox),
            Phase::Open | Phase::Flushing { .. } | Phase::PeerClosing { .. } => {
                self.on_time_while_sending(now, outbox);
            }
            Phase::Opening { .. } | Phase::Incoming { .. } | Phase::Closing { .. } => {}
        }
    }

    fn on_time_while_sending(&mut self, now: Instant, outbox: &mut Outbox) {
        if self.sender.trouble_is_over(now) {
            let why = Why::Lost(Loss::Time);
            self.end(now, Close::new(By::Us, why), Goodbye::Close, outbox);
        } else if self.ack_deadline().is_some_and(|at| at <= now) {
            let why = Why::TimedOut(Awaited::Chunk);
            self.end(now, Close::new(By::Us, why), Goodbye::Close, outbox);
        } else if let Phase::Flushing {
            reading: reading @ Reading::Until(until),
        } = self.phase
            && until <= now
        {
            self.send_close(now, reading, outbox);
        }
    }

    fn on_time_after_end(&mut self, now: Instant, outbox: &mut Outbox) {
        let Phase::Ended {
            close,
            reported,
            unanswered,
            read_until,
        } = &mut self.phase
        else {
            return;
        };
        if let Some((request, _)) = unanswered.take_if(|(_, at)| *at <= now) {
            outbox.settle(&request);
        }
        if !*reported && *read_until <= now {
            let bytes = self.receiver.discard();
            close.why = Why::Unread { bytes };
        }
    }

    #[cfg(test)]
    pub(crate) fn dump(&self, dump: &mut crate::tests::Dump) {
        dump.word((self.id, self.carrier, self.block, self.opened_by));
        dump.name(self.sid.as_str());
        dump.name(&self.open_request);
        self.phase.dump(dump);
        dump.time(self.deadline().map(|(at, _)| at));
        dump.word((self.readable_queued, self.writable_queued, self.starved));
        self.sender.dump(dump);
        self.receiver.dump(dump);
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

/// What the peer is sent at the end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goodbye {
    /// `<close/>`, whose answer is awaited in the background.
    Close,
    /// Nothing: it knows, or does not know the stream.
    Silent,
}
