//! The bytes of a tunnel in both directions, whatever carries them at the moment.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};

use crate::credit::Credit;
use crate::error::{Cut, Fault, LegEnd, Refused};
use crate::event::{Event, LegId};
use crate::frame::Bye;
use crate::held::Held;
use crate::kept::Kept;
use crate::keys::{Keys, Role};
use crate::leg::{Heard, Leg, Standing};
use crate::opening::{Beginning, KNOCK, is_knock};
use crate::pace::Pace;

/// What is kept for the peer at most: what it may be sent beyond what it has taken, and the window of leg 0.
const MAX_KEPT: u64 = 5_242_880;
/// What may wait for the leg that carries.
const MAX_UNSENT: u64 = 131_072;
/// What leg 0 may bring beyond what has been read. It is read when it is wanted, so that its chunks are acknowledged then.
const MAX_HELD_OF_ZERO: usize = 65_536;
/// Legs at a time, with those that have not yet begun.
const MAX_LEGS: usize = 24;
/// From when another leg carries to when leg 0 is aborted by the end that waits for the other one to do so.
const ZERO_RETIRED: Duration = Duration::from_secs(30);

/// The stream that the tunnel began on.
#[derive(Debug)]
struct Zero {
    /// What has come on it.
    received: u64,
    /// What of ours is acknowledged on it.
    acknowledged: u64,
    until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Open,
    /// The owner has said its last word; it leaves when everything is confirmed.
    Finishing,
    Over,
}

/// One end of a tunnel's byte stream, over one leg after another. No I/O: bytes and the time go in, bytes and events come out.
///
/// It begins on leg 0, whose bytes travel bare. Once it has [keys](Self::bind), [`begin`](Self::begin) starts another leg on any
/// pipe; when it stands the client may [`choose`](Self::choose) it. From the change on, what the peer has not confirmed goes over the new one.
///
/// What was written is kept until the peer has confirmed it, so bytes are not lost with a leg. Who tampers with a leg can end the
/// tunnel; that bytes are not altered is for what travels inside to prove, as TLS does.
pub struct Wire {
    role: Role,
    keys: Option<Keys>,
    kept: Kept,
    held: Held,
    credit: Credit,
    pace: Pace,
    zero: Option<Zero>,
    legs: Vec<Leg>,
    /// What the peer itself has confirmed, and not whoever acknowledges on leg 0.
    attested: u64,
    /// What is written goes there.
    carrying: Option<LegId>,
    /// The attempt of which a leg was chosen last.
    chosen: Option<u64>,
    /// The latest attempt, and the names in it that the peer has knocked with.
    attempt: u64,
    knocked: BTreeSet<Box<str>>,
    next_id: u32,
    course: Course,
    events: VecDeque<Event>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("role", &self.role)
            .field("bound", &self.keys.is_some())
            .field("carrying", &self.carrying)
            .field("confirmed", &self.kept.confirmed())
            .field("kept", &self.kept.len())
            .field("got", &self.held.got())
            .field("held", &self.held.len())
            .field("legs", &self.legs.len())
            .field("course", &self.course)
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// A wire that is carried by leg 0.
    #[must_use]
    pub fn new(now: Instant, role: Role) -> Self {
        Self::after(now, role, 0, 0)
    }

    /// The same, after leg 0 has carried so many bytes in each direction: all of them count as read and confirmed.
    #[must_use]
    pub fn after(now: Instant, role: Role, sent: u64, received: u64) -> Self {
        Self {
            role,
            keys: None,
            kept: Kept::new(sent),
            held: Held::new(received),
            credit: Credit::new(now, received),
            pace: Pace::default(),
            zero: Some(Zero {
                received,
                acknowledged: sent,
                until: None,
            }),
            legs: Vec::new(),
            attested: sent,
            carrying: Some(LegId::ZERO),
            chosen: None,
            attempt: 0,
            knocked: BTreeSet::new(),
            next_id: 1,
            course: Course::Open,
            events: VecDeque::new(),
        }
    }

    /// The keys by which both ends recognise each other on other legs than the first.
    pub fn bind(&mut self, keys: Keys) {
        debug_assert_eq!(keys.role(), self.role);
        self.keys = Some(keys);
    }

    /// Whether it has keys.
    pub(crate) const fn is_bound(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether this is the peer's knock for a pipe of this name.
    pub(crate) fn recognises(&self, attempt: u64, cid: &str, knock: &[u8; KNOCK]) -> bool {
        self.keys
            .as_ref()
            .is_some_and(|keys| is_knock(knock, attempt, cid, keys))
    }

    /// Which end this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    // The owner's bytes.

    /// How many bytes [`write`](Self::write) takes now. On leg 0 the owner also asks the stream below, and [`unsent`](Self::unsent).
    #[must_use]
    pub fn room(&self) -> usize {
        if self.course != Course::Open {
            return 0;
        }
        let kept = MAX_KEPT.saturating_sub(self.kept.weight());
        let unsent = MAX_UNSENT.saturating_sub(self.kept.unsent());
        usize::try_from(kept.min(unsent)).unwrap_or(usize::MAX)
    }

    /// Bytes that were written and not yet given to the leg that carries.
    #[must_use]
    pub const fn unsent(&self) -> u64 {
        self.kept.unsent()
    }

    /// Bytes that the peer has not confirmed.
    #[must_use]
    pub const fn unconfirmed(&self) -> u64 {
        self.kept.unconfirmed()
    }

    /// The offset up to which the peer has confirmed.
    #[must_use]
    pub const fn confirmed(&self) -> u64 {
        self.kept.confirmed()
    }

    /// Bytes that came in order and were not read.
    #[must_use]
    pub const fn unread(&self) -> usize {
        self.held.len()
    }

    /// Bytes for the peer: how many were taken, for which there is [`room`](Self::room). Large pieces are shared, not copied.
    pub fn write(&mut self, mut bytes: Bytes) -> usize {
        let taken = bytes.len().min(self.room());
        bytes.truncate(taken);
        self.kept.push(bytes);
        taken
    }

    /// Bytes of the peer, at most `max`. What is read is confirmed to it.
    pub fn read(&mut self, now: Instant, max: usize) -> Option<Bytes> {
        let bytes = self.held.read(max)?;
        self.was_read(now);
        Some(bytes)
    }

    /// Bytes came on leg 0 and are read at once: what is new of them, without a copy if there is nothing
    /// [unread](Self::unread); otherwise the first of what is.
    pub fn read_zero(&mut self, now: Instant, mut bytes: Bytes) -> Option<Bytes> {
        let zero = self.zero.as_mut()?;
        let twice = self.held.arrived().saturating_sub(zero.received);
        zero.received += bytes.len() as u64;
        if self.course == Course::Over {
            return None;
        }
        let twice = usize::try_from(twice).map_or(bytes.len(), |twice| twice.min(bytes.len()));
        bytes.advance(twice);
        if bytes.is_empty() {
            return None;
        }
        let read = self.held.pass(bytes)?;
        self.was_read(now);
        Some(read)
    }

    fn was_read(&mut self, now: Instant) {
        self.credit.read(now, self.held.got());
        for leg in &mut self.legs {
            leg.read(now);
        }
    }

    /// The owner writes no more, and has read all that it wants. When the peer has confirmed everything, the leg is left with a
    /// goodbye: [`Event::Finished`]. On leg 0 ending it is the owner's task.
    pub fn finish(&mut self, now: Instant) {
        if self.course == Course::Open {
            self.course = Course::Finishing;
            self.try_finish(now);
        }
    }

    const fn unattested(&self) -> u64 {
        self.kept.end() - self.attested
    }

    fn try_finish(&mut self, now: Instant) {
        if self.course != Course::Finishing || self.kept.unconfirmed() > 0 {
            return;
        }
        let here = self.standing();
        let attested = self.unattested() == 0;
        if self.carrying == Some(LegId::ZERO) {
            self.course = Course::Over;
            self.events.push_back(Event::Finished);
            self.close_legs(now);
        } else if let Some(leg) = self.carrying.and_then(|id| self.leg(id))
            && leg.is_running()
            && attested
        {
            leg.leave(now, Bye::Finished, &here);
        }
    }

    // Legs.

    /// A pipe stands on which a leg may begin.
    ///
    /// # Errors
    ///
    /// There are no keys yet, the tunnel has ended, the attempt is older than another one, or there are too many legs.
    pub fn begin(&mut self, now: Instant, how: Beginning) -> Result<LegId, Refused> {
        if self.course == Course::Over {
            return Err(Refused::Over);
        }
        let keys = self.keys.as_ref().ok_or(Refused::Unbound)?;
        if how.attempt < self.attempt {
            return Err(Refused::Stale);
        }
        if self.legs.len() >= MAX_LEGS {
            return Err(Refused::TooMany);
        }
        if how.attempt > self.attempt {
            self.attempt = how.attempt;
            self.knocked = BTreeSet::new();
        }
        let id = LegId(self.next_id);
        self.next_id = self.next_id.checked_add(1).ok_or(Refused::TooMany)?;
        // An idle end is to be small.
        self.legs.reserve_exact(1);
        self.legs.push(Leg::new(now, id, how, keys));
        Ok(id)
    }

    /// Moves to a leg that stands: the TLS client, once for each attempt.
    ///
    /// # Errors
    ///
    /// This end is the server, the leg does not stand, its attempt had its choice, or the tunnel has ended.
    pub fn choose(&mut self, now: Instant, leg: LegId) -> Result<(), Refused> {
        if self.role == Role::Server {
            return Err(Refused::NotClient);
        }
        if self.course == Course::Over {
            return Err(Refused::Over);
        }
        // The order of two choices is not known to the server while the first one is not answered.
        if self.legs.iter().any(Leg::is_chosen) {
            return Err(Refused::NotStanding);
        }
        let last = self.chosen;
        let here = self.standing();
        let chosen = self.leg(leg).filter(|leg| leg.is_standing());
        let chosen = chosen.ok_or(Refused::NotStanding)?;
        if last.is_some_and(|last| chosen.attempt() <= last) {
            return Err(Refused::Stale);
        }
        chosen.choose(now, &here);
        self.chosen = Some(chosen.attempt());
        self.pace.moved(self.carrying.is_some());
        self.carrying = Some(leg);
        self.kept.rewind();
        Ok(())
    }

    /// Gives up a leg: one that stands and is not wanted, or one that fails its owner. If it carries it is lost.
    pub fn drop_leg(&mut self, now: Instant, leg: LegId) {
        let here = self.standing();
        if let Some(dropped) = self.leg(leg) {
            dropped.leave(now, Bye::Moved, &here);
            self.lose(leg);
            self.sweep();
        }
    }

    /// Bytes came on a leg: how many were taken, which is all but on leg 0. What was not stays in the stream below, unacknowledged,
    /// until more has been read.
    pub fn handle_leg(&mut self, now: Instant, leg: LegId, bytes: &[u8]) -> usize {
        if leg == LegId::ZERO {
            return self.handle_zero(bytes);
        }
        let mut rest = bytes;
        loop {
            let here = self.standing();
            let found = self.legs.iter_mut().find(|found| found.id() == leg);
            let (Some(found), Some(keys)) = (found, &self.keys) else {
                break;
            };
            match found.next(now, &mut rest, keys, &here) {
                Ok(Some(heard)) => self.heard(now, leg, heard),
                Ok(None) => break,
                Err(fault) => {
                    self.fail(now, leg, fault);
                    break;
                }
            }
        }
        self.sweep();
        bytes.len()
    }

    /// Leg 0: this many more bytes of ours are acknowledged on it.
    pub fn handle_zero_acknowledged(&mut self, now: Instant, bytes: u64) {
        // Once a leg is chosen, only legs confirm.
        if self.chosen.is_some() {
            return;
        }
        let sent = self.kept.sent();
        if let Some(zero) = &mut self.zero {
            zero.acknowledged = zero.acknowledged.saturating_add(bytes).min(sent);
            self.kept.confirm(zero.acknowledged);
            self.measure(now);
            self.try_finish(now);
        }
    }

    /// How many bytes leg 0 may bring now.
    #[must_use]
    pub fn wants_of_zero(&self) -> usize {
        let Some(zero) = &self.zero else {
            return 0;
        };
        let twice = self.held.arrived().saturating_sub(zero.received);
        let fresh = MAX_HELD_OF_ZERO.saturating_sub(self.held.len());
        usize::try_from(twice).map_or(usize::MAX, |twice| twice.saturating_add(fresh))
    }

    fn handle_zero(&mut self, bytes: &[u8]) -> usize {
        let wanted = self.wants_of_zero();
        let Some(zero) = &mut self.zero else {
            return bytes.len();
        };
        let taken = bytes.get(..wanted).unwrap_or(bytes);
        let offset = zero.received;
        zero.received += taken.len() as u64;
        if self.course != Course::Over {
            self.take(offset, taken);
        }
        taken.len()
    }

    /// Holds what has not come before; `offset` is not above it.
    fn take(&mut self, offset: u64, bytes: &[u8]) {
        let twice = self.held.arrived().saturating_sub(offset);
        let fresh = usize::try_from(twice)
            .ok()
            .and_then(|twice| bytes.get(twice..));
        if let Some(fresh) = fresh.filter(|fresh| !fresh.is_empty()) {
            self.held.push(fresh);
        }
    }

    /// The next bytes for a leg, at most `room`.
    pub fn poll_leg(&mut self, now: Instant, leg: LegId, room: usize) -> Option<Bytes> {
        let carries = self.carrying == Some(leg);
        if carries {
            self.measure(now);
        }
        if leg == LegId::ZERO {
            return if carries { self.kept.take(room) } else { None };
        }
        let here = self.standing();
        let at = self.legs.iter().position(|found| found.id() == leg)?;
        let kept = carries.then_some(&mut self.kept);
        let found = self.legs.get_mut(at)?;
        let bytes = found.poll(now, room, &here, kept);
        self.sweep();
        bytes
    }

    /// The pipe under a leg has ended.
    pub fn leg_ended(&mut self, leg: LegId) {
        if leg == LegId::ZERO {
            self.zero = None;
            self.lose(leg);
        } else if let Some(at) = self.legs.iter().position(|found| found.id() == leg) {
            let ended = self.legs.remove(at);
            self.ended(leg, ended.end_of_pipe());
        }
    }

    fn measure(&mut self, now: Instant) {
        let next = self.kept.next();
        let taken = match self.carrying {
            None => false,
            Some(LegId::ZERO) => true,
            Some(id) => self.leg(id).is_some_and(|leg| leg.takes(next)),
        };
        self.pace
            .note(now, taken && self.kept.unsent() > 0, self.kept.confirmed());
    }

    /// Whether the leg that carries has turned out to be far slower than the one before it. Says so once.
    pub(crate) fn take_slower(&mut self) -> bool {
        self.pace.take_verdict()
    }

    fn leg(&mut self, id: LegId) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.id() == id)
    }

    fn standing(&self) -> Standing {
        Standing {
            got: self.held.got(),
            limit: self.credit.limit(self.held.got()),
            arrived: self.held.arrived(),
            sent: self.kept.sent(),
        }
    }

    // What the peer says.

    fn heard(&mut self, now: Instant, id: LegId, heard: Heard<'_>) {
        match heard {
            Heard::Knock => self.knocked(now, id),
            Heard::Stood(got, trip) => {
                self.credit.measured(trip);
                self.confirm(got);
                self.events.push_back(Event::Standing { leg: id });
            }
            Heard::Choose => self.follow(now, id),
            Heard::Data(offset, bytes) => self.take(offset, bytes),
            Heard::Gap(missing) => self.cut(now, id, Cut::Gap { missing }),
            Heard::Ack(got, first) => {
                self.confirm(got);
                self.measure(now);
                if first && self.carrying == Some(id) {
                    self.arrive(now, id);
                }
                self.try_finish(now);
            }
            Heard::Trip(trip) => self.credit.measured(trip),
            Heard::Bye(reason) => self.goodbye(now, id, reason),
        }
    }

    fn confirm(&mut self, got: u64) {
        self.attested = self.attested.max(got);
        self.kept.confirm(got);
    }

    /// A knock that fits is answered once for each name, and not when a later attempt has begun.
    fn knocked(&mut self, now: Instant, id: LegId) {
        let here = self.standing();
        let latest = self.attempt;
        let leg = self.legs.iter_mut().find(|leg| leg.id() == id);
        let (Some(leg), Some(keys)) = (leg, &self.keys) else {
            return;
        };
        if leg.attempt() == latest && self.knocked.insert(leg.cid().into()) {
            leg.greet(keys, &here);
        } else {
            self.fail(now, id, Fault::Stranger);
        }
    }

    /// The server goes where the client has gone.
    fn follow(&mut self, now: Instant, id: LegId) {
        let last = self.chosen;
        let Some(leg) = self.leg(id) else {
            return;
        };
        if last.is_some_and(|last| leg.attempt() <= last) {
            self.fail(now, id, Fault::Stale);
            return;
        }
        leg.run();
        self.chosen = Some(leg.attempt());
        self.pace.moved(self.carrying.is_some());
        self.carrying = Some(id);
        self.kept.rewind();
        for other in &mut self.legs {
            if other.id() != id && other.is_running() {
                other.retire(now);
            }
        }
        if let Some(zero) = &mut self.zero {
            zero.until.get_or_insert(now + ZERO_RETIRED);
        }
        self.events.push_back(Event::Moved { to: id });
        self.try_finish(now);
    }

    /// The server has followed: what is under way on other legs will come again.
    fn arrive(&mut self, now: Instant, id: LegId) {
        let here = self.standing();
        for other in &mut self.legs {
            if other.id() != id && (other.is_running() || other.is_chosen()) {
                other.leave(now, Bye::Moved, &here);
            }
        }
        self.events.push_back(Event::Moved { to: id });
        self.abort_zero();
    }

    fn abort_zero(&mut self) {
        if self.zero.take().is_some() {
            self.events.push_back(Event::Close {
                leg: LegId::ZERO,
                end: LegEnd::Done,
            });
        }
    }

    fn goodbye(&mut self, now: Instant, id: LegId, reason: Bye) {
        let here = self.standing();
        let carries = self.carrying == Some(id);
        let unconfirmed = self.unattested();
        match reason {
            Bye::Gap => self.cut(now, id, Cut::PeerMisses),
            Bye::Finished if carries && unconfirmed > 0 => {
                self.cut(now, id, Cut::Unconfirmed { unconfirmed });
            }
            Bye::Finished | Bye::Moved => {
                let finished = carries && reason == Bye::Finished;
                if finished {
                    self.course = Course::Finishing;
                }
                let end = if carries && !finished {
                    LegEnd::Fault(Fault::Left)
                } else {
                    LegEnd::Bye(reason)
                };
                if let Some(leg) = self.leg(id) {
                    leg.part(now, reason, end, &here);
                }
                if !finished {
                    self.lose(id);
                }
            }
        }
    }

    // How things end.

    /// One leg has failed. That ends it and nothing else.
    fn fail(&mut self, now: Instant, id: LegId, fault: Fault) {
        if let Some(leg) = self.leg(id) {
            leg.close(now, LegEnd::Fault(fault));
        }
    }

    /// The leg does not carry any more, if it did.
    fn lose(&mut self, id: LegId) {
        if self.carrying == Some(id) {
            self.carrying = None;
            if self.course != Course::Over {
                self.events.push_back(Event::Lost { leg: id });
            }
        }
    }

    /// Forgets the legs that have ended.
    fn sweep(&mut self) {
        while let Some(at) = self.legs.iter().position(|leg| leg.ended().is_some()) {
            let leg = self.legs.remove(at);
            self.legs.shrink_to_fit();
            if let Some(end) = leg.ended() {
                self.events.push_back(Event::Close { leg: leg.id(), end });
                self.ended(leg.id(), end);
            }
        }
    }

    /// What follows from the end of a leg.
    fn ended(&mut self, id: LegId, end: LegEnd) {
        let finished = end == LegEnd::Bye(Bye::Finished) && self.carrying == Some(id);
        if finished && self.course == Course::Finishing {
            self.course = Course::Over;
            self.carrying = None;
            self.events.push_back(Event::Finished);
            self.abort_zero();
        } else {
            self.lose(id);
        }
    }

    fn close_legs(&mut self, now: Instant) {
        for leg in &mut self.legs {
            leg.close(now, LegEnd::Fault(Fault::Over));
        }
        self.sweep();
    }

    /// No leg can heal it.
    fn cut(&mut self, now: Instant, at: LegId, why: Cut) {
        let here = self.standing();
        self.course = Course::Over;
        self.carrying = None;
        self.events.push_back(Event::Cut { why });
        for leg in &mut self.legs {
            if leg.id() == at {
                leg.part(now, Bye::Gap, LegEnd::Bye(Bye::Gap), &here);
            } else {
                leg.close(now, LegEnd::Fault(Fault::Over));
            }
        }
        self.abort_zero();
    }

    // What the owner is told, and time.

    /// What the owner should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    /// The leg that what is written goes to; `None` after [`Event::Lost`].
    #[must_use]
    pub const fn carrying(&self) -> Option<LegId> {
        self.carrying
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let legs = self.legs.iter().filter_map(Leg::poll_timeout);
        let zero = self.zero.as_ref().and_then(|zero| zero.until);
        legs.chain(zero).min()
    }

    /// The time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut failed = Vec::new();
        for leg in &mut self.legs {
            if let Err(fault) = leg.handle_timeout(now) {
                failed.push((leg.id(), fault));
            }
        }
        for (id, fault) in failed {
            self.fail(now, id, fault);
        }
        let zero = self.zero.as_ref().and_then(|zero| zero.until);
        if zero.is_some_and(|until| until <= now) {
            self.abort_zero();
        }
        self.sweep();
    }
}
