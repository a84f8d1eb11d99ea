//! Where a tunnel goes: its wire, and the paths that its ends try.

mod attempt;
mod event;
mod fresh;
mod hosts;
mod settings;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::Address;
use xtls_stanza::path::{Because, Candidate, CandidateKind, Cid, Hints, Signal, Takes, Why};
use xtls_stanza::s5b::Streamhost;
use zeroize::Zeroizing;

use self::attempt::{Attempt, Choice, MAX_DIRECT, MAX_RELAYS, Step, Try};
pub use self::event::{Dial, GiveUp, Kind, Pipe, Refusal, RouteEvent, Stay, Wish};
use self::fresh::Fresh;
use self::hosts::{Hosts, Spot};
pub use self::settings::Settings;
use self::settings::{dials, improves, takes_direct, takes_relays};
use crate::error::{Fault, LegEnd, Refused};
use crate::event::{Event, LegId};
use crate::keys::Role;
use crate::opening::{Beginning, KNOCK, Place};
use crate::wire::Wire;

/// Attempts a minute that either end begins. The peer's beyond that are ignored, ours wait.
const MAX_ATTEMPTS: u32 = 20;
/// The minute.
const MINUTE: Duration = Duration::from_secs(60);
/// Relays of our server are waited for before hints, but not after a loss.
const FINDING: Duration = Duration::from_secs(5);
/// Attempts without anything that carries.
const MAX_FAILURES: usize = 3;
/// From one of them to the next.
const PAUSES: [Duration; MAX_FAILURES - 1] = [Duration::from_secs(5), Duration::from_secs(20)];
/// From moving to whatever stood first after a loss to looking for more.
const SOON: Duration = Duration::from_secs(2);
/// How long nothing may carry.
const ALONE: Duration = Duration::from_secs(60);
/// The same without a link to the server.
const OFFLINE: Duration = Duration::from_secs(600);

/// What was found out about our own server's relays.
#[derive(Debug)]
enum Relays {
    Unknown,
    /// They are waited for until then.
    Asked(Instant),
    Known(Box<[Streamhost]>),
}

/// A pipe on which a leg is, or may be begun.
#[derive(Debug)]
struct Path {
    pipe: Pipe,
    leg: Option<LegId>,
    place: Place,
    from: Origin,
}

/// Where a leg comes from.
#[derive(Debug, Clone)]
struct Origin {
    attempt: u64,
    cid: Option<Cid>,
    kind: Kind,
    spot: Option<Spot>,
}

/// One tunnel's [`Wire`], and where it goes: hints, candidates, policy and timers. No I/O: signals, what became of pipes, their bytes
/// and the time go in; signals, wishes, bytes and events come out.
///
/// The owner carries signals to the peer (sealed: they have addresses), and makes the pipes that it is [asked](Wish) for. Bytes of the
/// stream that the tunnel began on, and what is written and read, are for the [wire](Self::wire_mut) itself.
///
/// Timers run on real time: they do not stand still while there is no link to the server.
pub struct Route {
    wire: Wire,
    settings: Settings,
    fresh: Fresh,
    /// The time as it was last told.
    now: Instant,
    /// There is a link to the server.
    link: bool,
    over: bool,
    /// The owner wants a faster path.
    seeking: bool,
    /// The peer has cut the tunnel, or knows that we have.
    peer_gone: bool,
    /// What carries, or did last.
    at: Origin,
    latest: u64,
    attempt: Option<Box<Attempt>>,
    peer: Option<Takes>,
    relays: Relays,
    hosts: Hosts,
    paths: Vec<Path>,
    next_pipe: u32,
    /// Attempts in the minute that began then.
    begun: (u32, Instant),
    /// Attempts since something carried.
    failures: usize,
    /// When the next attempt of ours is due, if nothing carries or one was put off.
    again: Option<Instant>,
    /// When the tunnel is given up, if nothing carries by then.
    alone: Option<Instant>,
    signals: VecDeque<Signal>,
    wishes: VecDeque<Wish>,
    events: VecDeque<RouteEvent>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("wire", &self.wire)
            .field("at", &self.at.kind)
            .field("latest", &self.latest)
            .field("attempting", &self.attempt.is_some())
            .field("pipes", &self.paths.len())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl Route {
    /// A route on which leg 0 carries. `seed` is random, and of nobody else.
    #[must_use]
    pub fn new(now: Instant, wire: Wire, settings: Settings, seed: [u8; 32]) -> Self {
        Self {
            wire,
            settings,
            fresh: Fresh::new(Zeroizing::new(seed)),
            now,
            link: true,
            over: false,
            seeking: false,
            peer_gone: false,
            at: Origin {
                attempt: 0,
                cid: None,
                kind: Kind::InBand,
                spot: None,
            },
            latest: 0,
            attempt: None,
            peer: None,
            relays: Relays::Unknown,
            hosts: Hosts::default(),
            paths: Vec::new(),
            next_pipe: 1,
            begun: (0, now),
            failures: 0,
            again: None,
            alone: None,
            signals: VecDeque::new(),
            wishes: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The bytes of the tunnel.
    #[must_use]
    pub const fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The same: to write, to read, and for the stream that it began on. Legs but that one are the route's business.
    pub const fn wire_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// What carries; `None` after [`RouteEvent::Lost`] until something does again.
    #[must_use]
    pub fn carrying(&self) -> Option<Kind> {
        self.wire.carrying().map(|_| self.at.kind)
    }

    /// Whether another path is being tried.
    #[must_use]
    pub const fn is_attempting(&self) -> bool {
        self.attempt.is_some()
    }

    /// What the peer's owner lets it connect to, once the peer has said it.
    #[must_use]
    pub const fn peer_takes(&self) -> Option<Takes> {
        self.peer
    }

    // What the owner wants.

    /// The owner wants a faster path, from now on.
    pub fn seek(&mut self, now: Instant) {
        self.settle(now);
        self.seeking = true;
        if self.attempt.is_none() && self.wire.carrying().is_some() && self.can_improve() {
            self.begin(Why::Faster);
        }
        self.settle(now);
    }

    /// The relays of our own server, as it has announced them.
    pub fn set_relays(&mut self, now: Instant, relays: Vec<Streamhost>) {
        self.relays = Relays::Known(relays.into());
        self.settle(now);
    }

    /// The peer's full address from now on.
    pub fn set_peer(&mut self, peer: Address) {
        self.settings.peer = peer;
    }

    /// The peer's key has been verified: it is a first contact no more. What that opens is looked for, if anything was
    /// ([`seek`](Self::seek)); of the two ends the one that hears of it last finds both verified.
    pub fn verified(&mut self, now: Instant) {
        self.settle(now);
        if std::mem::take(&mut self.settings.first_seen)
            && self.seeking
            && self.wire.carrying().is_some()
            && self.can_improve()
            && self
                .attempt
                .as_ref()
                .is_none_or(|attempt| attempt.chosen().is_none())
        {
            self.begin(Why::Faster);
        }
        self.settle(now);
    }

    const fn takes(&self) -> Takes {
        self.settings.takes()
    }

    /// Whether anything could be better than what carries.
    fn can_improve(&self) -> bool {
        let best = match self.takes() {
            Takes::InBand => Kind::InBand,
            Takes::Own | Takes::Proxy => Kind::Relay,
            Takes::Direct | Takes::Any => Kind::Direct,
        };
        improves(best, self.carrying())
    }

    /// Relays of our own server: `None` while they are waited for.
    fn own_relays(&self) -> Option<&[Streamhost]> {
        match &self.relays {
            Relays::Known(relays) => Some(relays),
            Relays::Asked(until) if self.now < *until => None,
            Relays::Asked(_) | Relays::Unknown => Some(&[]),
        }
    }

    fn find_relays(&mut self) {
        if matches!(self.relays, Relays::Unknown) && takes_relays(self.takes()) {
            self.relays = Relays::Asked(self.now + FINDING);
            self.wishes.push_back(Wish::FindRelays);
        }
    }

    // An attempt begins.

    /// Counts an attempt: whether it may be.
    fn count(&mut self) -> bool {
        let (count, since) = self.begun;
        self.begun = if since + MINUTE <= self.now {
            (1, self.now)
        } else if count < MAX_ATTEMPTS {
            (count + 1, since)
        } else {
            return false;
        };
        true
    }

    /// We begin one.
    fn begin(&mut self, why: Why) {
        self.again = None;
        if self.over || !self.link || !self.wire.is_bound() {
            return;
        }
        // Numbers run out for who wants them to: then nothing moves any more.
        let Some(number) = self.latest.checked_add(1) else {
            self.seeking = false;
            return;
        };
        if !self.count() {
            self.leave();
            self.again = Some(self.begun.1 + MINUTE);
            return;
        }
        self.enter(number, why);
        self.attempt_goes_on();
    }

    /// An attempt is the present one, whoever began it.
    fn enter(&mut self, number: u64, why: Why) {
        self.leave();
        self.again = None;
        self.signals.clear();
        self.latest = number;
        self.attempt = Some(Box::new(Attempt::new(
            self.now,
            number,
            why,
            self.wire.role(),
        )));
        self.find_relays();
    }

    /// States our hints, if they are due: after a loss at once, otherwise when our relays are known.
    fn state(&mut self) {
        let Some(attempt) = &self.attempt else { return };
        let (number, why) = (attempt.number(), attempt.why());
        let known = self.own_relays().is_some();
        if attempt.is_stated() || (why != Why::Lost && !known) {
            return;
        }
        let ours = self.ours(number, why);
        let candidates = ours.iter().map(|one| one.candidate.clone()).collect();
        if let Some(attempt) = &mut self.attempt {
            attempt.state(ours);
            if attempt.is_expecting() {
                let until = attempt.until();
                self.wishes.push_back(Wish::Expect { until });
            }
        }
        self.signals.push_back(Signal::Hints(Hints {
            attempt: number,
            why,
            takes: self.takes(),
            candidates,
        }));
    }

    /// Where we can be met in this attempt.
    fn ours(&mut self, number: u64, why: Why) -> Vec<Try> {
        let mut kinds = Vec::new();
        let takes = self.takes();
        let told = self
            .peer
            .filter(|_| self.attempt.as_ref().is_some_and(|a| a.is_heard()));
        for (host, port) in self.settings.told(told).iter().take(MAX_DIRECT) {
            kinds.push(CandidateKind::Direct {
                host: host.clone(),
                port: *port,
            });
        }
        let wanted = takes_relays(takes) && told.is_none_or(takes_relays);
        let relays = self.own_relays().filter(|_| wanted).unwrap_or_default();
        let relays: Vec<Streamhost> = relays.iter().take(MAX_RELAYS).cloned().collect();
        for Streamhost { jid, host, port } in relays {
            let sid = self.fresh.relayed();
            kinds.push(CandidateKind::Relay {
                jid,
                host,
                port,
                sid,
            });
        }
        kinds.retain(|kind| self.is_wanted(attempt::kind_of(kind), attempt::spot_of(kind), why));
        let mut ours = Vec::new();
        // An in-band stream is the client's to open.
        if why != Why::Faster && self.wire.role() == Role::Client {
            let sid = self.fresh.in_band();
            let pipe = self.new_pipe();
            self.wishes.push_back(Wish::OpenStream {
                pipe,
                sid: sid.clone(),
            });
            ours.push((
                CandidateKind::Stream { sid },
                Step::Dialling { pipe, until: None },
            ));
        }
        ours.extend(kinds.into_iter().map(|kind| (kind, Step::Waiting)));
        let count = ours.len();
        let tries = ours
            .into_iter()
            .enumerate()
            .filter_map(|(at, (kind, step))| {
                let local = u32::try_from(count - at).unwrap_or_default();
                let candidate = Candidate {
                    cid: cid(&kind, at, self.wire.role())?,
                    priority: kind.priority() + local,
                    kind,
                };
                Some(Try {
                    candidate,
                    ours: true,
                    step,
                })
            });
        let tries: Vec<Try> = tries.collect();
        for one in &tries {
            if let Some(pipe) = one.pipe() {
                self.add(pipe, Place::First, number, one);
            }
        }
        tries
    }

    /// Whether a place is of use in an attempt for this reason.
    fn is_wanted(&self, kind: Kind, spot: Option<Spot>, why: Why) -> bool {
        let better = why != Why::Faster || improves(kind, self.carrying());
        better && spot.is_none_or(|spot| !self.hosts.excludes(self.now, &spot))
    }

    fn new_pipe(&mut self) -> Pipe {
        let pipe = Pipe(self.next_pipe);
        self.next_pipe = self.next_pipe.wrapping_add(1);
        pipe
    }

    fn add(&mut self, pipe: Pipe, place: Place, attempt: u64, one: &Try) {
        self.paths.reserve_exact(1);
        self.paths.push(Path {
            pipe,
            leg: None,
            place,
            from: Origin {
                attempt,
                cid: Some(one.candidate.cid),
                kind: one.kind(),
                spot: one.spot(),
            },
        });
    }

    // What the peer says.

    /// A signal of the peer.
    pub fn handle_signal(&mut self, now: Instant, signal: Signal) {
        self.settle(now);
        if self.over || !self.wire.is_bound() {
            return;
        }
        match signal {
            Signal::Hints(hints) => self.hear(hints),
            Signal::Joined { attempt, cid } => {
                if let Some(one) = self
                    .present(attempt)
                    .and_then(|present| present.by_cid(cid))
                    && one.ours
                    && one.kind() == Kind::Relay
                    && one.step == Step::Waiting
                {
                    one.step = Step::Joined;
                }
            }
            Signal::Failed {
                attempt,
                cid,
                because,
            } => self.peer_failed(attempt, cid, because),
            Signal::Over { attempt } => {
                let client = self.wire.role() == Role::Client;
                if !client && let Some(present) = self.present(attempt) {
                    let why = present.failure().map_or(Stay::GivenUp, Stay::Failed);
                    self.fail(why);
                }
            }
            // What is under way still arrives: the end of what carries is to come.
            Signal::Gone { .. } => {
                self.peer_gone = true;
                if self.wire.carrying().is_none() {
                    self.give_up(GiveUp::Gone);
                }
            }
        }
        self.settle(now);
    }

    /// The owner has cut the tunnel: the peer is told, so that it does not look for it.
    pub fn say_gone(&mut self) {
        self.signals.clear();
        if self.wire.is_bound() && !std::mem::replace(&mut self.peer_gone, true) {
            let attempt = self.latest;
            self.signals.push_back(Signal::Gone { attempt });
        }
    }

    fn present(&mut self, number: u64) -> Option<&mut Attempt> {
        let attempt = self.attempt.as_deref_mut();
        attempt.filter(|attempt| attempt.number() == number)
    }

    fn hear(&mut self, hints: Hints) {
        if self.peer.replace(hints.takes) != Some(hints.takes) {
            self.events.push_back(RouteEvent::PeerAllows(hints.takes));
        }
        // What carries was found before the attempt that these belong to, so it is what the peer has lost.
        let lost = hints.why == Why::Lost && self.at.attempt < hints.attempt;
        let carries = self.wire.carrying().filter(|_| lost);
        if hints.attempt > self.latest && self.count() {
            if hints.why == Why::Slower
                && let Some(spot) = self.at.spot.clone()
            {
                self.hosts.slow(&spot);
            }
            let alone = self.wire.carrying().is_none();
            let why = if alone { Why::Lost } else { hints.why };
            self.enter(hints.attempt, why);
        } else if self.attempt.is_none() && self.wire.carrying().is_none() {
            // It has not heard of our last attempt: it will of the next one.
            self.begin(Why::Lost);
        }
        let peer = self.wire.role().other();
        if let Some(attempt) = self.present(hints.attempt)
            && !attempt.is_heard()
        {
            attempt.hear(hints.candidates, peer);
            self.expect_streams();
        }
        if let Some(leg) = carries {
            self.end_leg(leg);
        }
    }

    /// The client's stream is to be accepted.
    fn expect_streams(&mut self) {
        let Some(attempt) = &self.attempt else { return };
        let waits =
            |one: &&Try| !one.ours && one.kind() == Kind::InBand && one.step == Step::Waiting;
        let Some(stream) = attempt.tries().find(waits).cloned() else {
            return;
        };
        let number = attempt.number();
        let pipe = self.new_pipe();
        if let CandidateKind::Stream { sid } = &stream.candidate.kind {
            let sid = sid.clone();
            self.wishes.push_back(Wish::ExpectStream { pipe, sid });
        }
        self.add(pipe, Place::Second, number, &stream);
        if let Some(one) = self
            .present(number)
            .and_then(|now| now.by_cid(stream.candidate.cid))
        {
            one.step = Step::Connected { pipe };
        }
    }

    fn peer_failed(&mut self, attempt: u64, cid: Cid, because: Because) {
        let Some(one) = self
            .present(attempt)
            .and_then(|present| present.by_cid(cid))
        else {
            return;
        };
        // A leg has its own end, and what we know of another candidate is better.
        if matches!(one.step, Step::Standing { .. } | Step::Out(_)) {
            return;
        }
        let pipe = one.pipe();
        one.step = Step::Out(because);
        if let Some(pipe) = pipe {
            self.drop_pipe(pipe);
        }
    }

    /// The next signal for the peer.
    pub fn poll_signal(&mut self) -> Option<Signal> {
        self.settle(self.now);
        let signal = self.signals.pop_front();
        if self.signals.is_empty() {
            self.signals = VecDeque::new();
        }
        signal
    }

    /// A signal of ours about this attempt was answered by an error, or not in 20 s. `gone`: the peer knows nothing of the tunnel. That ends the present
    /// attempt, and harms nothing that carries.
    pub fn signal_failed(&mut self, now: Instant, attempt: u64, gone: bool) {
        self.settle(now);
        if gone && !self.over && self.wire.carrying().is_none() {
            self.give_up(GiveUp::Gone);
        } else if self
            .present(attempt)
            .is_some_and(|attempt| attempt.chosen().is_none())
        {
            self.fail(Stay::Unanswered);
        }
        self.settle(now);
    }

    // What becomes of pipes.

    /// What is to be done next.
    pub fn poll_wish(&mut self) -> Option<Wish> {
        self.settle(self.now);
        let wish = self.wishes.pop_front();
        if self.wishes.is_empty() {
            self.wishes = VecDeque::new();
        }
        wish
    }

    /// The pipe stands: the connection, and at a relay SOCKS5; or the stream is accepted.
    pub fn connected(&mut self, now: Instant, pipe: Pipe) {
        self.settle(now);
        self.stands(pipe);
        self.settle(now);
    }

    fn stands(&mut self, pipe: Pipe) {
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        let number = attempt.number();
        let Some(one) = attempt.by_pipe(pipe) else {
            return;
        };
        if !matches!(one.step, Step::Dialling { .. }) {
            return;
        }
        let cid = one.candidate.cid;
        match (&one.candidate.kind, one.ours) {
            (CandidateKind::Relay { jid, sid, .. }, true) => {
                let (jid, sid) = (jid.clone(), sid.clone());
                attempt.activate(self.now, pipe);
                self.wishes.push_back(Wish::Activate {
                    pipe,
                    jid,
                    sid,
                    target: self.settings.peer.clone(),
                });
            }
            (CandidateKind::Relay { .. }, false) => {
                one.step = Step::Connected { pipe };
                let attempt = number;
                self.signals.push_back(Signal::Joined { attempt, cid });
            }
            (CandidateKind::Direct { .. } | CandidateKind::Stream { .. }, _) => {
                one.step = Step::Connected { pipe };
                self.begin_leg(pipe);
            }
        }
    }

    /// A relay of ours has joined the ends, or not.
    pub fn activated(&mut self, now: Instant, pipe: Pipe, result: Result<(), Refusal>) {
        self.settle(now);
        let one = self
            .attempt
            .as_mut()
            .and_then(|attempt| attempt.by_pipe(pipe));
        if let Some(one) = one
            && matches!(one.step, Step::Activating { .. })
        {
            match result {
                Ok(()) => {
                    one.step = Step::Connected { pipe };
                    self.begin_leg(pipe);
                }
                Err(refusal) => {
                    if refusal == Refusal::Limited
                        && let Some(spot) = one.spot()
                    {
                        self.hosts.limited(now, &spot);
                    }
                    self.out(pipe, Because::Activation);
                    self.drop_pipe(pipe);
                }
            }
        }
        self.settle(now);
    }

    /// The pipe does not come about. It is gone.
    pub fn failed(&mut self, now: Instant, pipe: Pipe, because: Because) {
        self.settle(now);
        self.forget(pipe, because);
        self.settle(now);
    }

    /// The pipe has ended. It is gone.
    pub fn pipe_ended(&mut self, now: Instant, pipe: Pipe) {
        self.settle(now);
        let begun = |path: &Path| path.pipe == pipe && path.leg.is_some();
        let one = self.attempt.as_mut().and_then(|now| now.by_pipe(pipe));
        let relayed = one.is_some_and(|one| one.kind() == Kind::Relay);
        let because = if relayed && !self.paths.iter().any(begun) {
            Because::Activation
        } else {
            Because::Refused
        };
        self.forget(pipe, because);
        self.settle(now);
    }

    fn forget(&mut self, pipe: Pipe, because: Because) {
        self.out(pipe, because);
        if let Some(at) = self.paths.iter().position(|path| path.pipe == pipe) {
            let path = self.paths.remove(at);
            if let Some(leg) = path.leg {
                self.wire.leg_ended(leg);
            }
        }
    }

    /// Whether a connection at our listener that begins with these bytes is this route's. They are taken; what follows is for
    /// [`handle_pipe`](Self::handle_pipe).
    pub fn knock(&mut self, now: Instant, knock: &[u8; KNOCK]) -> Option<Pipe> {
        self.settle(now);
        let attempt = self.attempt.as_mut()?;
        let number = attempt.number();
        let waits = |one: &&Try| {
            let direct = one.ours && one.kind() == Kind::Direct && one.step == Step::Waiting;
            direct
                && self
                    .wire
                    .recognises(number, one.candidate.cid.as_str(), knock)
        };
        let found = attempt.tries().find(waits)?.clone();
        let pipe = self.new_pipe();
        self.add(pipe, Place::Second, number, &found);
        if let Some(one) = self
            .present(number)
            .and_then(|now| now.by_cid(found.candidate.cid))
        {
            one.step = Step::Connected { pipe };
        }
        self.handle_pipe(now, pipe, knock);
        Some(pipe)
    }

    /// Bytes came on a pipe.
    pub fn handle_pipe(&mut self, now: Instant, pipe: Pipe, bytes: &[u8]) {
        self.settle(now);
        if bytes.is_empty() {
            return;
        }
        let path = self.paths.iter().find(|path| path.pipe == pipe);
        match path.map(|path| (path.leg, path.place)) {
            Some((Some(leg), _)) => {
                self.wire.handle_leg(now, leg, bytes);
            }
            // The first bytes of who speaks first: the pipe stands there too.
            Some((None, Place::Second)) => {
                if let Some(leg) = self.begin_leg(pipe) {
                    self.wire.handle_leg(now, leg, bytes);
                }
            }
            Some((None, Place::First)) => {
                self.out(pipe, Because::Socks);
                self.drop_pipe(pipe);
            }
            None => {}
        }
        self.settle(now);
    }

    /// The next bytes for a pipe, at most `room`.
    pub fn poll_pipe(&mut self, now: Instant, pipe: Pipe, room: usize) -> Option<Bytes> {
        self.settle(now);
        let leg = self.paths.iter().find(|path| path.pipe == pipe)?.leg?;
        let bytes = self.wire.poll_leg(now, leg, room);
        self.settle(now);
        bytes
    }

    fn begin_leg(&mut self, pipe: Pipe) -> Option<LegId> {
        let salt = self.fresh.salt();
        let path = self.paths.iter_mut().find(|path| path.pipe == pipe)?;
        let how = Beginning {
            place: path.place,
            attempt: path.from.attempt,
            cid: path
                .from
                .cid
                .map(|cid| cid.as_str().into())
                .unwrap_or_default(),
            salt,
            relayed: path.from.kind == Kind::Relay,
        };
        match self.wire.begin(self.now, how) {
            Ok(leg) => {
                path.leg = Some(leg);
                Some(leg)
            }
            Err(_) => {
                self.out(pipe, Because::Refused);
                self.drop_pipe(pipe);
                None
            }
        }
    }

    /// The candidate on this pipe is out, and the peer is told.
    fn out(&mut self, pipe: Pipe, because: Because) {
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        let number = attempt.number();
        if let Some(one) = attempt.by_pipe(pipe) {
            one.step = Step::Out(because);
            self.signals.push_back(Signal::Failed {
                attempt: number,
                cid: one.candidate.cid,
                because,
            });
        }
    }

    /// A pipe is not wanted. One on which a leg is says goodbye first.
    fn drop_pipe(&mut self, pipe: Pipe) {
        let Some(at) = self.paths.iter().position(|path| path.pipe == pipe) else {
            return;
        };
        match self.paths.get(at).and_then(|path| path.leg) {
            Some(leg) => self.wire.drop_leg(self.now, leg),
            None => {
                self.paths.remove(at);
                self.wishes.push_back(Wish::Drop { pipe });
            }
        }
    }

    // The server.

    /// The stream that the tunnel began on has ended.
    pub fn zero_ended(&mut self, now: Instant) {
        self.settle(now);
        self.wire.leg_ended(LegId::ZERO);
        self.settle(now);
    }

    /// The link to the server is gone for good, and every in-band stream with it. What carries beside it goes on.
    pub fn link_lost(&mut self, now: Instant) {
        self.settle(now);
        self.link = false;
        self.relays = Relays::Unknown;
        self.leave();
        self.signals.clear();
        self.again = None;
        for path in self
            .paths
            .extract_if(.., |path| path.from.kind == Kind::InBand)
        {
            if let Some(leg) = path.leg {
                self.wire.leg_ended(leg);
            }
            self.wishes.push_back(Wish::Drop { pipe: path.pipe });
        }
        self.wire.leg_ended(LegId::ZERO);
        if self.alone.is_some() {
            self.alone = Some(now + OFFLINE);
        }
        self.settle(now);
    }

    /// There is a link again, under this address.
    pub fn link_bound(&mut self, now: Instant, own: Address) {
        self.settle(now);
        self.link = true;
        self.settings.own = own;
        self.failures = 0;
        // What failed may have gone with the server.
        self.hosts = Hosts::default();
        if self.over {
            return;
        }
        if self.wire.carrying().is_none() {
            self.alone = Some(now + ALONE);
            self.begin(Why::Lost);
        } else {
            // The peer learns the new address by it.
            self.begin(Why::Faster);
        }
        self.settle(now);
    }

    // How attempts, legs and the tunnel end.

    /// Ends what carries, at once.
    fn end_leg(&mut self, leg: LegId) {
        if leg == LegId::ZERO {
            self.wire.leg_ended(leg);
            self.events.push_back(RouteEvent::CloseZero);
        } else {
            self.wire.drop_leg(self.now, leg);
        }
        self.settle(self.now);
    }

    /// The present attempt is over: what it has made and does not carry is dropped.
    fn leave(&mut self) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        if attempt.is_expecting() {
            self.wishes.push_back(Wish::Unexpect);
        }
        let carrying = self.wire.carrying();
        for pipe in attempt.tries().filter_map(Try::pipe) {
            let leg = self
                .paths
                .iter()
                .find(|path| path.pipe == pipe)
                .and_then(|path| path.leg);
            if leg.is_none() || leg != carrying {
                self.drop_pipe(pipe);
            }
        }
    }

    /// The present attempt has found nothing.
    fn fail(&mut self, why: Stay) {
        self.leave();
        self.hosts.failed(self.now);
        if self.wire.carrying().is_some() {
            self.events.push_back(RouteEvent::Stayed { why });
            return;
        }
        let pause = PAUSES.get(self.failures);
        self.failures += 1;
        match pause {
            Some(pause) => self.again = Some(self.now + *pause),
            None => self.give_up(GiveUp::Attempts),
        }
    }

    fn give_up(&mut self, why: GiveUp) {
        self.events.push_back(RouteEvent::GivenUp { why });
        self.end();
    }

    /// Nothing is tried any more.
    fn end(&mut self) {
        self.over = true;
        self.leave();
        self.signals.clear();
        self.again = None;
        self.alone = None;
        let pipes: Vec<Pipe> = self.paths.iter().map(|path| path.pipe).collect();
        if self.wire.carrying().is_none() {
            for pipe in pipes {
                self.drop_pipe(pipe);
            }
        }
    }

    fn lost(&mut self) {
        if self.peer_gone {
            self.give_up(GiveUp::Gone);
            return;
        }
        self.events.push_back(RouteEvent::Lost);
        if let Some(spot) = self.at.spot.take() {
            self.hosts.lost(self.now, &spot);
        }
        if !self.wire.is_bound() {
            self.give_up(GiveUp::Unbound);
            return;
        }
        let wait = if self.link { ALONE } else { OFFLINE };
        self.alone = Some(self.now + wait);
        let at = self.at.attempt;
        let goes_on = |attempt: &Attempt| attempt.why() == Why::Lost && attempt.number() > at;
        if !self.attempt.as_deref().is_some_and(goes_on) {
            self.begin(Why::Lost);
        }
    }

    fn moved(&mut self, leg: LegId) {
        let Some(path) = self.paths.iter().find(|path| path.leg == Some(leg)) else {
            return;
        };
        self.at = path.from.clone();
        self.failures = 0;
        self.alone = None;
        self.again = None;
        self.events
            .push_back(RouteEvent::Moved { to: self.at.kind });
        let number = self.at.attempt;
        let why = self.present(number).map(|attempt| attempt.why());
        if why.is_some() {
            self.leave();
        }
        if why == Some(Why::Lost) && self.seeking && self.can_improve() {
            // The first that stood was taken: there may be more.
            self.again = Some(self.now + SOON);
        }
    }

    // What goes on by itself.

    /// Everything that follows from what has happened.
    fn settle(&mut self, now: Instant) {
        self.now = now;
        while let Some(event) = self.wire.poll_event() {
            self.on_wire(event);
        }
        if self.wire.take_slower() {
            self.slow_down();
        }
        if self.attempt.is_some() {
            self.attempt_goes_on();
        }
    }

    /// What carries passes far less than what it has replaced: away from there, once.
    fn slow_down(&mut self) {
        if let Some(spot) = self.at.spot.clone()
            && self.attempt.is_none()
        {
            self.hosts.slow(&spot);
            self.begin(Why::Slower);
        }
    }

    fn on_wire(&mut self, event: Event) {
        match event {
            Event::Standing { leg } => {
                let path = self.paths.iter().find(|path| path.leg == Some(leg));
                let pipe = path.map(|path| path.pipe);
                let attempt = self.attempt.as_mut();
                if let (Some(pipe), Some(attempt)) = (pipe, attempt)
                    && let Some(one) = attempt.by_pipe(pipe)
                {
                    one.step = Step::Standing { pipe };
                }
            }
            Event::Close { leg, end } => self.closed(leg, end),
            // What ends after the tunnel has is no news.
            Event::Moved { .. } | Event::Lost { .. } | Event::Finished | Event::Cut { .. }
                if self.over => {}
            Event::Moved { to } => self.moved(to),
            Event::Lost { .. } => self.lost(),
            Event::Finished => {
                self.events.push_back(RouteEvent::Finished);
                self.end();
            }
            Event::Cut { why } => {
                self.events.push_back(RouteEvent::Cut { why });
                self.end();
            }
        }
    }

    fn closed(&mut self, leg: LegId, end: LegEnd) {
        if leg == LegId::ZERO {
            self.events.push_back(RouteEvent::CloseZero);
            return;
        }
        let Some(at) = self.paths.iter().position(|path| path.leg == Some(leg)) else {
            return;
        };
        let path = self.paths.remove(at);
        self.paths.shrink_to_fit();
        let because = match end {
            LegEnd::Fault(Fault::TimedOut | Fault::Silent) => Because::Timeout,
            LegEnd::Fault(_) | LegEnd::Bye(_) | LegEnd::Done => Because::Refused,
        };
        match end {
            // The peer has left it, so it knows.
            LegEnd::Bye(_) => {
                if let Some(one) = self.attempt.as_mut().and_then(|now| now.by_pipe(path.pipe)) {
                    one.step = Step::Out(because);
                }
            }
            LegEnd::Fault(_) | LegEnd::Done => self.out(path.pipe, because),
        }
        self.wishes.push_back(Wish::Drop { pipe: path.pipe });
    }

    fn attempt_goes_on(&mut self) {
        self.state();
        self.judge();
        while self.try_next() {}
        if self.wire.role() == Role::Client {
            self.choose();
        }
    }

    /// Candidates that we or the peer do not connect to are out.
    fn judge(&mut self) {
        let Some(mut attempt) = self.attempt.take() else {
            return;
        };
        if attempt.is_heard() {
            let (takes, peer) = (self.takes(), self.peer.unwrap_or(Takes::InBand));
            let relays = self.own_relays();
            let why = attempt.why();
            let verdict = |one: &Try| {
                let taken = match (&one.candidate.kind, one.ours) {
                    (CandidateKind::Stream { .. }, _) => true,
                    (CandidateKind::Direct { .. }, true) => takes_direct(peer),
                    (CandidateKind::Relay { .. }, true) => takes_relays(peer),
                    (CandidateKind::Direct { .. }, false) => takes_direct(takes),
                    (
                        CandidateKind::Relay {
                            jid, host, port, ..
                        },
                        false,
                    ) => {
                        let relay = Streamhost {
                            jid: jid.clone(),
                            host: host.clone(),
                            port: *port,
                        };
                        relays.is_none_or(|own| dials(takes, &relay, own))
                    }
                };
                let fits = taken && (one.ours || self.is_wanted(one.kind(), one.spot(), why));
                (!fits).then_some(Because::Policy)
            };
            let out = attempt.judge(verdict);
            for (cid, because) in out {
                let known = attempt.by_cid(cid).is_none_or(|one| {
                    // What follows from `takes` need not be said.
                    one.ours
                        || (one.kind() == Kind::Direct && !takes_direct(takes))
                        || !takes_relays(takes)
                });
                if !known {
                    self.signals.push_back(Signal::Failed {
                        attempt: attempt.number(),
                        cid,
                        because,
                    });
                }
            }
        }
        self.attempt = Some(attempt);
    }

    /// Whether a candidate is judged: which relays we may use is known by then.
    fn is_ready(&self, one: &Try) -> bool {
        one.kind() != Kind::Relay || self.own_relays().is_some()
    }

    /// Connects to one more candidate.
    fn try_next(&mut self) -> bool {
        let Some(mut attempt) = self.attempt.take() else {
            return false;
        };
        let pipe = Pipe(self.next_pipe);
        let ready = |one: &Try| self.is_ready(one);
        let turn = attempt.take_turn(self.now, pipe, ready);
        let number = attempt.number();
        self.attempt = Some(attempt);
        let Some(turn) = turn else { return false };
        self.new_pipe();
        let place = match (turn.kind(), turn.ours) {
            (Kind::Relay, false) => Place::Second,
            (Kind::Relay, true) | (Kind::Direct | Kind::InBand, _) => Place::First,
        };
        self.add(pipe, place, number, &turn);
        let (own, peer) = (self.settings.own.clone(), self.settings.peer.clone());
        let ours = matches!(&self.relays, Relays::Known(relays) if relays.iter().any(|relay| {
            turn.spot() == Some((relay.host.clone(), relay.port))
        }));
        let (how, host, port) = match turn.candidate.kind {
            CandidateKind::Relay {
                host, port, sid, ..
            } => {
                let (requester, target) = if turn.ours { (own, peer) } else { (peer, own) };
                let how = Dial::Relay {
                    sid,
                    requester,
                    target,
                    ours,
                };
                (how, host, port)
            }
            CandidateKind::Direct { host, port } => (Dial::Direct, host, port),
            CandidateKind::Stream { .. } => return true,
        };
        self.wishes.push_back(Wish::Dial {
            pipe,
            how,
            host,
            port,
        });
        true
    }

    /// The client's part: takes what stands, or says that nothing does.
    fn choose(&mut self) {
        let alone = self.wire.carrying().is_none();
        let Some(attempt) = &mut self.attempt else {
            return;
        };
        let number = attempt.number();
        match attempt.choice(self.now, alone) {
            Choice::Wait => {}
            Choice::Nothing => {
                let why = attempt.failure();
                self.signals.push_back(Signal::Over { attempt: number });
                self.fail(why.map_or(Stay::Nothing, Stay::Failed));
            }
            Choice::Now(pipe) => {
                let path = self.paths.iter().find(|path| path.pipe == pipe);
                let Some((path, leg)) = path.and_then(|path| Some((path, path.leg?))) else {
                    return;
                };
                match self.wire.choose(self.now, leg) {
                    Ok(()) => {
                        attempt.choose(pipe);
                        self.at = path.from.clone();
                    }
                    // An earlier choice is not answered yet.
                    Err(Refused::NotStanding) => attempt.put_off(self.now),
                    Err(_) => self.drop_pipe(pipe),
                }
            }
        }
    }

    // What the owner is told, and time.

    /// What the owner should know.
    pub fn poll_event(&mut self) -> Option<RouteEvent> {
        self.settle(self.now);
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let attempt = self.attempt.as_ref();
        let attempt = attempt.and_then(|attempt| attempt.poll_timeout(|one| self.is_ready(one)));
        let finding = match self.relays {
            Relays::Asked(until) if self.attempt.is_some() && self.now < until => Some(until),
            Relays::Asked(_) | Relays::Unknown | Relays::Known(_) => None,
        };
        let again = [self.again, self.due(), self.alone, finding, attempt];
        again
            .into_iter()
            .flatten()
            .chain(self.wire.poll_timeout())
            .min()
    }

    /// When a place that was lost is tried again.
    fn due(&self) -> Option<Instant> {
        let idle = self.attempt.is_none() && self.again.is_none();
        let wanted = self.seeking && idle && self.link && !self.over;
        let wanted = wanted && self.wire.carrying().is_some() && self.can_improve();
        self.hosts.due().filter(|_| wanted)
    }

    /// The time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle(now);
        self.wire.handle_timeout(now);
        self.settle(now);
        if self.alone.is_some_and(|at| at <= now) {
            let why = if self.link {
                GiveUp::Alone
            } else {
                GiveUp::Offline
            };
            self.give_up(why);
        }
        let late = self.attempt.as_ref().map(|attempt| attempt.late(now));
        for (pipe, because) in late.unwrap_or_default() {
            self.out(pipe, because);
            self.drop_pipe(pipe);
        }
        if let Some(attempt) = &self.attempt
            && attempt.chosen().is_none()
            && attempt.until() <= now
        {
            if self.wire.role() == Role::Client {
                let attempt = attempt.number();
                self.signals.push_back(Signal::Over { attempt });
            }
            self.fail(Stay::TimedOut);
        }
        if self.attempt.is_none() {
            if self.again.is_some_and(|at| at <= now) {
                let alone = self.wire.carrying().is_none();
                self.begin(if alone { Why::Lost } else { Why::Faster });
            } else if self.due().is_some_and(|at| at <= now) {
                self.begin(Why::Faster);
            }
        }
        self.settle(now);
    }
}

/// The name of a candidate of ours, which the other end gives to none.
fn cid(kind: &CandidateKind, at: usize, role: Role) -> Option<Cid> {
    let letter = match kind {
        CandidateKind::Relay { .. } => 'r',
        CandidateKind::Direct { .. } => 'd',
        CandidateKind::Stream { .. } => 'b',
    };
    let number = match role {
        Role::Client => 2 * at + 1,
        Role::Server => 2 * at + 2,
    };
    Cid::new(&format!("{letter}{number}"))
}
