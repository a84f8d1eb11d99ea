//! How a stream goes on by itself, and how it ends.

use std::time::Instant;

use xtls_stanza::ibb::{self, Carrier, Data};
use xtls_stanza::{Envelope, Payload};

use crate::error::answer;
use crate::event::{Awaited, By, Close, Event, Loss, Why};
use crate::outbox::{Asked, Outbox};
use crate::phase::{Phase, Reading, Tail};
use crate::stream::Stream;

/// What the peer is sent at the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goodbye {
    /// `<close/>`, whose answer is awaited in the background.
    Close,
    /// Nothing: it knows, or does not know the stream.
    Silent,
}

impl Stream {
    /// Takes the steps that have become possible. Called after every change.
    pub(crate) fn advance(&mut self, now: Instant, outbox: &mut Outbox) {
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

    /// The decided end.
    pub(crate) fn ending(&self) -> Option<&Close> {
        match &self.phase {
            Phase::Ended { close, .. } => Some(close),
            Phase::Opening { .. }
            | Phase::Incoming { .. }
            | Phase::Open
            | Phase::Flushing { .. }
            | Phase::Closing { .. }
            | Phase::PeerClosing { .. } => None,
        }
    }

    /// The owner has been given its last event.
    pub(crate) fn is_reported(&self) -> bool {
        matches!(self.phase, Phase::Ended { reported: true, .. })
    }

    /// Nothing is left to do.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(
            self.phase,
            Phase::Ended {
                reported: true,
                unanswered: None,
                ..
            }
        )
    }

    /// Whether a chunk may go now.
    pub(crate) fn has_chunk(&mut self, now: Instant) -> bool {
        self.may_send() && self.sender.is_ready(now)
    }

    /// The next chunk, and the bytes in it.
    pub(crate) fn next_chunk(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
    ) -> Option<(Envelope, usize)> {
        if !self.may_send() {
            return None;
        }
        let chunk = self.sender.poll(now, || outbox.ids.request())?;
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

    fn may_send(&self) -> bool {
        match self.phase {
            Phase::Open | Phase::Flushing { .. } | Phase::PeerClosing { .. } => true,
            Phase::Opening { .. }
            | Phase::Incoming { .. }
            | Phase::Closing { .. }
            | Phase::Ended { .. } => false,
        }
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

    fn ask_close(&self, outbox: &mut Outbox) -> String {
        let close = Payload::Close(ibb::Close {
            sid: self.sid.clone(),
        });
        outbox.request(&self.peer, self.id, Asked::Close, close)
    }

    /// Answers what was withheld: nothing more can come, so there is nothing to hold back.
    pub(crate) fn release(&mut self, outbox: &mut Outbox) {
        for request in self.receiver.withheld() {
            outbox.result(&self.peer, request, None);
        }
    }

    /// The reason of an end in order.
    pub(crate) fn closed_why(&self) -> Why {
        match self.sender.unfinished() {
            0 => Why::Done,
            bytes => Why::Unfinished { bytes },
        }
    }

    /// Decides the end; the first decision counts. Every request of the peer is answered here that
    /// has no answer yet, and no answer to ours is awaited any more, but that to `<close/>`.
    pub(crate) fn end(
        &mut self,
        now: Instant,
        close: Close,
        goodbye: Goodbye,
        outbox: &mut Outbox,
    ) {
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
        let half_closing = self.is_half_closing();
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
        let answers = self
            .sender
            .trouble_deadline()
            .map(|at| (at, "chunks that came back"));
        let answers = answers
            .into_iter()
            .chain(self.ack_deadline().map(|at| (at, "any answer")));
        let other = match &self.phase {
            Phase::Opening { until, .. } => return Some((*until, "the answer to our open")),
            Phase::Incoming { until, .. } => {
                return Some((*until, "the owner's answer to an open"));
            }
            Phase::Closing { until, .. } => return Some((*until, "the answer to our close")),
            Phase::Open => None,
            Phase::Flushing {
                reading: Reading::GoesOn,
            } => None,
            Phase::Flushing {
                reading: Reading::Until(until),
            } => Some((*until, "our data to be acknowledged")),
            Phase::PeerClosing { until, .. } => Some((*until, "our data before the peer's close")),
            Phase::Ended {
                reported,
                unanswered,
                read_until,
                ..
            } => {
                let unread = (!reported).then_some((*read_until, "the owner to read the rest"));
                let close = unanswered
                    .as_ref()
                    .map(|(_, at)| (*at, "the answer to our close"));
                return unread.into_iter().chain(close).min();
            }
        };
        answers.chain(other).min()
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
                self.forget_close();
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

    /// The answer to our `<close/>` is not awaited any more.
    pub(crate) fn forget_close(&mut self) {
        if let Phase::Ended { unanswered, .. } = &mut self.phase {
            *unanswered = None;
        }
    }
}
