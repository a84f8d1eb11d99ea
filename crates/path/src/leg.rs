//! One leg but the first: how it begins, what it carries, how it ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::{Fault, LegEnd};
use crate::event::LegId;
use crate::frame::{Bye, Cutter, Frame, write_data_head};
use crate::kept::Kept;
use crate::keys::{Keys, Role};
use crate::life::Life;
use crate::opening::{Beginning, Opened, Opening, Place};

/// A step of the beginning, or an answer to a goodbye.
const STEP: Duration = Duration::from_secs(5);
/// From when another leg carries to when this one is closed, if the peer says no goodbye.
const RETIRED: Duration = Duration::from_secs(30);
/// So much is read before it is confirmed at once.
const ACK_AFTER: u64 = 65_536;
/// Or this part of the credit, if that is more: a confirmation costs a relay as much as data do.
const ACK_PART: u64 = 16;
/// And less, when this much time has passed.
const ACK_WITHIN: Duration = Duration::from_millis(20);
/// The most bytes of a DATA frame of ours, so that what is urgent need not wait for long.
const FRAME: usize = 32_768;
/// The least, if there are so many: a frame costs 12 bytes.
const SMALL_FRAME: usize = 1_024;

/// How far both directions are, whatever carries them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// What has been read here.
    pub(crate) got: u64,
    /// The offset up to which the peer may send.
    pub(crate) limit: u64,
    /// What has come here, read or not.
    pub(crate) arrived: u64,
    /// What was sent to the peer on any leg.
    pub(crate) sent: u64,
}

/// What the peer says on a leg, as far as it is about more than this leg.
#[derive(Debug)]
pub(crate) enum Heard<'a> {
    /// Its knock fits: [`Leg::greet`], or the leg fails.
    Knock,
    /// It stands. What the peer has taken, and a round trip.
    Stood(u64, Duration),
    /// The client has chosen this leg: [`Leg::run`], or the leg fails.
    Choose,
    /// Bytes of the stream from this offset on, of which some may have come already.
    Data(u64, &'a [u8]),
    /// The first data begin this far above what has come.
    Gap(u64),
    /// What the peer has taken, and whether that is its first word after our choice.
    Ack(u64, bool),
    /// A round trip.
    Trip(Duration),
    /// Its last word.
    Bye(Bye),
}

#[derive(Debug)]
enum Phase {
    Opening(Box<Opening>),
    Standing,
    /// We chose it, and the server has not answered.
    Chosen,
    Running,
    /// Our goodbye is said.
    Leaving(Bye),
    /// When the last bytes have gone it is closed.
    Closing(LegEnd),
}

#[derive(Debug)]
pub(crate) struct Leg {
    id: LegId,
    attempt: u64,
    cid: Box<str>,
    phase: Phase,
    cutter: Cutter,
    life: Life,
    out: VecDeque<Bytes>,
    /// Where the next data begin, after the first.
    next_in: Option<u64>,
    /// What the peer last said that it has taken, and how far we may send.
    peer: (u64, u64),
    /// What we last said of these.
    told: (u64, u64),
    ack_at: Option<Instant>,
    ack_due: bool,
    until: Option<Instant>,
}

impl Leg {
    pub(crate) fn new(now: Instant, id: LegId, how: Beginning, keys: &Keys) -> Self {
        let (opening, knock) = Opening::new(now, &how, keys);
        let mut leg = Self {
            id,
            attempt: how.attempt,
            cid: how.cid,
            phase: Phase::Opening(Box::new(opening)),
            cutter: Cutter::new(),
            life: Life::new(now, how.relayed),
            out: VecDeque::new(),
            next_in: None,
            peer: (0, 0),
            told: (0, 0),
            ack_at: None,
            ack_due: false,
            until: None,
        };
        leg.push(knock);
        leg
    }

    pub(crate) const fn id(&self) -> LegId {
        self.id
    }

    pub(crate) const fn attempt(&self) -> u64 {
        self.attempt
    }

    pub(crate) fn cid(&self) -> &str {
        &self.cid
    }

    pub(crate) const fn is_standing(&self) -> bool {
        matches!(self.phase, Phase::Standing)
    }

    pub(crate) const fn is_chosen(&self) -> bool {
        matches!(self.phase, Phase::Chosen)
    }

    pub(crate) const fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    fn push(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.out.push_back(bytes.into());
        }
    }

    // What comes.

    /// What the peer says next, taken off the front of `wire`.
    pub(crate) fn next<'a>(
        &mut self,
        now: Instant,
        wire: &mut &'a [u8],
        keys: &Keys,
        here: &Standing,
    ) -> Result<Option<Heard<'a>>, Fault> {
        if !wire.is_empty() {
            self.life.heard(now);
        }
        if let Phase::Opening(opening) = &mut self.phase {
            return match opening.next(now, wire, keys)? {
                Opened::Waiting => Ok(None),
                Opened::Knocked => Ok(Some(Heard::Knock)),
                Opened::Hello { got, limit, took } => {
                    if got > here.sent {
                        return Err(Fault::Number);
                    }
                    self.peer = (got, limit);
                    if opening.place() == Place::First {
                        self.greet(keys, here);
                    }
                    self.life.settled(now);
                    self.phase = Phase::Standing;
                    Ok(Some(Heard::Stood(got, took)))
                }
            };
        }
        if matches!(self.phase, Phase::Closing(_)) {
            *wire = &[];
            return Ok(None);
        }
        while let Some(frame) = self.cutter.next(wire)? {
            match frame {
                Frame::Hello { .. } => return Err(Fault::Order),
                Frame::Choose => {
                    if keys.role() == Role::Client || !self.is_standing() {
                        return Err(Fault::Order);
                    }
                    return Ok(Some(Heard::Choose));
                }
                Frame::Data { offset, bytes } => return self.data(offset, bytes, here).map(Some),
                Frame::Ack { got, limit } => return self.ack(now, got, limit, here).map(Some),
                Frame::Ping(content) => self.life.ping(now, content),
                Frame::Pong(content) => {
                    let trip = self.life.pong(now, content).map_err(|()| Fault::Pong)?;
                    if let Some(trip) = trip {
                        return Ok(Some(Heard::Trip(trip)));
                    }
                }
                Frame::Bye(reason) => return Ok(Some(Heard::Bye(reason))),
            }
        }
        Ok(None)
    }

    fn data<'a>(
        &mut self,
        offset: u64,
        bytes: &'a [u8],
        here: &Standing,
    ) -> Result<Heard<'a>, Fault> {
        match self.phase {
            Phase::Running | Phase::Leaving(_) => {}
            Phase::Opening(_) | Phase::Standing | Phase::Chosen | Phase::Closing(_) => {
                return Err(Fault::Order);
            }
        }
        match self.next_in {
            None if offset > here.arrived => return Ok(Heard::Gap(offset - here.arrived)),
            Some(next) if offset != next => return Err(Fault::Jump),
            None | Some(_) => {}
        }
        let (_, limit) = self.told;
        let end = offset.checked_add(bytes.len() as u64);
        let end = end.filter(|end| *end <= limit).ok_or(Fault::Credit)?;
        self.next_in = Some(end);
        Ok(Heard::Data(offset, bytes))
    }

    fn ack(
        &mut self,
        now: Instant,
        got: u64,
        limit: u64,
        here: &Standing,
    ) -> Result<Heard<'static>, Fault> {
        let first = match self.phase {
            Phase::Chosen => true,
            Phase::Running | Phase::Leaving(_) => false,
            Phase::Opening(_) | Phase::Standing | Phase::Closing(_) => return Err(Fault::Order),
        };
        let (before, allowed) = self.peer;
        if got < before || limit < allowed || got > here.sent {
            return Err(Fault::Number);
        }
        self.peer = (got, limit);
        if first {
            self.phase = Phase::Running;
        }
        if got == here.sent {
            self.life.settled(now);
        }
        Ok(Heard::Ack(got, first))
    }

    // What the wire decides.

    /// Says HELLO.
    pub(crate) fn greet(&mut self, keys: &Keys, here: &Standing) {
        if let Phase::Opening(opening) = &self.phase {
            let hello = opening.greet(here.got, here.limit, keys);
            self.told = (here.got, here.limit);
            self.push(hello);
        }
    }

    /// The client moves here.
    pub(crate) fn choose(&mut self, now: Instant, here: &Standing) {
        self.phase = Phase::Chosen;
        let mut frame = Vec::new();
        Frame::Choose.write(&mut frame);
        self.push(frame);
        self.life.sent(now);
        // What was read since our HELLO.
        self.ack_due = here.got > self.told.0;
    }

    /// The server follows.
    pub(crate) fn run(&mut self) {
        self.phase = Phase::Running;
        self.ack_due = true;
    }

    /// More has been read.
    pub(crate) fn read(&mut self, now: Instant) {
        if self.acknowledges() && self.ack_at.is_none() && !self.ack_due {
            self.ack_at = Some(now + ACK_WITHIN);
        }
    }

    const fn acknowledges(&self) -> bool {
        matches!(
            self.phase,
            Phase::Chosen | Phase::Running | Phase::Leaving(_)
        )
    }

    /// Another leg carries: this one is closed before long, goodbye or not.
    pub(crate) fn retire(&mut self, now: Instant) {
        self.until.get_or_insert(now + RETIRED);
    }

    /// Says goodbye, once. Without frames there is none, and the leg closes.
    pub(crate) fn leave(&mut self, now: Instant, reason: Bye, here: &Standing) {
        match self.phase {
            Phase::Opening(_) => self.close(now, LegEnd::Fault(Fault::Dropped)),
            Phase::Standing | Phase::Chosen | Phase::Running => {
                let mut frames = Vec::new();
                if self.acknowledges() && (self.ack_due || here.got > self.told.0) {
                    self.tell(&mut frames, here);
                }
                Frame::Bye(reason).write(&mut frames);
                self.push(frames);
                self.phase = Phase::Leaving(reason);
                self.until = Some(now + STEP);
            }
            Phase::Leaving(_) | Phase::Closing(_) => {}
        }
    }

    /// Answers the peer's goodbye, and closes when that has gone.
    pub(crate) fn part(&mut self, now: Instant, reason: Bye, end: LegEnd, here: &Standing) {
        self.leave(now, reason, here);
        self.phase = Phase::Closing(end);
        self.until = Some(now + STEP);
    }

    /// Closes without another byte.
    pub(crate) fn close(&mut self, now: Instant, end: LegEnd) {
        self.out = VecDeque::new();
        self.phase = Phase::Closing(end);
        self.until = Some(now + STEP);
    }

    /// Whether the peer takes the byte at this offset.
    pub(crate) const fn takes(&self, offset: u64) -> bool {
        offset < self.peer.1
    }

    /// How it has ended, if nothing is left to be sent.
    pub(crate) fn ended(&self) -> Option<LegEnd> {
        match self.phase {
            Phase::Closing(end) if self.out.is_empty() => Some(end),
            Phase::Closing(_)
            | Phase::Opening(_)
            | Phase::Standing
            | Phase::Chosen
            | Phase::Running
            | Phase::Leaving(_) => None,
        }
    }

    /// How it ends, if the pipe does so now.
    pub(crate) const fn end_of_pipe(&self) -> LegEnd {
        match self.phase {
            Phase::Closing(end) => end,
            Phase::Leaving(reason) => LegEnd::Bye(reason),
            Phase::Opening(_) | Phase::Standing | Phase::Chosen | Phase::Running => {
                LegEnd::Fault(Fault::Ended)
            }
        }
    }

    // What goes out.

    /// The next bytes for the pipe, at most `room`. `kept` is there if this leg carries.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        room: usize,
        here: &Standing,
        kept: Option<&mut Kept>,
    ) -> Option<Bytes> {
        if room == 0 {
            return None;
        }
        if self.out.is_empty() {
            self.fill(now, room, here, kept);
        }
        let front = self.out.front_mut()?;
        let bytes = front.split_to(front.len().min(room));
        if front.is_empty() {
            self.out.pop_front();
        }
        if self.out.is_empty() {
            // An idle leg holds no buffer.
            self.out = VecDeque::new();
        }
        Some(bytes)
    }

    fn fill(&mut self, now: Instant, room: usize, here: &Standing, kept: Option<&mut Kept>) {
        if matches!(self.phase, Phase::Opening(_) | Phase::Closing(_)) {
            return;
        }
        let mut frames = Vec::new();
        let read = here.got.saturating_sub(self.told.0);
        let credit = here.limit.saturating_sub(here.got);
        if self.acknowledges() && (self.ack_due || read >= ACK_AFTER.max(credit / ACK_PART)) {
            self.tell(&mut frames, here);
        }
        if let Some(content) = self.life.take_answer() {
            Frame::Pong(content).write(&mut frames);
        }
        let leaving = matches!(self.phase, Phase::Leaving(_));
        if !leaving && let Some(content) = self.life.take_ask(now) {
            Frame::Ping(content).write(&mut frames);
        }
        let Some(kept) = kept.filter(|_| !leaving) else {
            self.push(frames);
            return;
        };
        let allowed = self.peer.1.saturating_sub(kept.next()).min(kept.unsent());
        let most = FRAME.min(room.max(SMALL_FRAME));
        let mut length = usize::try_from(allowed).unwrap_or(usize::MAX).min(most);
        if length == 0 {
            self.push(frames);
            return;
        }
        write_data_head(&mut frames, kept.next(), length);
        self.push(frames);
        while length > 0
            && let Some(piece) = kept.take(length)
        {
            length -= piece.len();
            self.out.push_back(piece);
        }
        self.life.sent(now);
    }

    fn tell(&mut self, frames: &mut Vec<u8>, here: &Standing) {
        Frame::Ack {
            got: here.got,
            limit: here.limit,
        }
        .write(frames);
        self.told = (here.got, here.limit);
        self.ack_due = false;
        self.ack_at = None;
    }

    // Time.

    /// Whether it has failed by now, or must be closed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Fault> {
        let late = self.until.is_some_and(|until| until <= now);
        match &self.phase {
            // Our goodbye is said: without the answer it ends all the same.
            Phase::Leaving(_) | Phase::Closing(_) if late => {
                let end = self.end_of_pipe();
                self.close(now, end);
                Ok(())
            }
            Phase::Opening(_) | Phase::Standing | Phase::Chosen | Phase::Running if late => {
                Err(Fault::TimedOut)
            }
            Phase::Opening(opening) if opening.since() + STEP <= now => Err(Fault::TimedOut),
            Phase::Opening(_) | Phase::Closing(_) => Ok(()),
            Phase::Standing | Phase::Chosen | Phase::Running | Phase::Leaving(_) => {
                if self.ack_at.is_some_and(|at| at <= now) {
                    self.ack_at = None;
                    self.ack_due = true;
                }
                if !matches!(self.phase, Phase::Leaving(_)) && self.life.handle_timeout(now) {
                    return Err(Fault::Silent);
                }
                Ok(())
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Opening(opening) => Some(opening.since() + STEP),
            Phase::Standing | Phase::Chosen | Phase::Running => self.life.poll_timeout(),
            Phase::Leaving(_) | Phase::Closing(_) => None,
        };
        let ack = self.ack_at.filter(|_| self.acknowledges());
        [phase, self.until, ack].into_iter().flatten().min()
    }
}
