//! One attempt to find another path: what both ends hint, and how far each candidate is.

use std::time::{Duration, Instant};

use xtls_stanza::path::{Because, Candidate, CandidateKind, Cid, Why};

use super::event::{Kind, Pipe};
use super::hosts::Spot;
use crate::keys::Role;

/// An attempt in all.
const ATTEMPT: Duration = Duration::from_secs(20);
/// The TLS server waits so much longer for the choice of the client.
const GRACE: Duration = Duration::from_secs(5);
/// From one connection that is tried to the next.
const SPACING: Duration = Duration::from_millis(200);
/// Connections that are tried at a time.
const MAX_TRYING: usize = 4;
/// From the first leg that stands to the choice, if there may be better ones.
const BETTER: Duration = Duration::from_millis(500);
/// Connecting to an address of the peer.
const DIRECT: Duration = Duration::from_secs(3);
/// Connecting to a relay, and its two answers.
const RELAY: Duration = Duration::from_secs(15);
/// Activating a relay.
const ACTIVATION: Duration = Duration::from_secs(10);
/// Candidates of one end: addresses, and relays.
pub(crate) const MAX_DIRECT: usize = 4;
/// The same: relays.
pub(crate) const MAX_RELAYS: usize = 2;

/// How far a candidate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// One of ours waits for the peer, one of the peer's for its turn.
    Waiting,
    /// The peer is at our relay: our turn comes.
    Joined,
    /// We connect, or open a stream.
    Dialling { pipe: Pipe, until: Option<Instant> },
    /// We are connected to our relay, and it is asked to join the ends.
    Activating { pipe: Pipe, until: Instant },
    /// The pipe is there; who speaks first on it has not been recognised.
    Connected { pipe: Pipe },
    /// The peer is at the other end of it.
    Standing { pipe: Pipe },
    /// Not this one.
    Out(Because),
}

/// A candidate of either end.
#[derive(Debug, Clone)]
pub(crate) struct Try {
    pub(crate) candidate: Candidate,
    pub(crate) ours: bool,
    pub(crate) step: Step,
}

impl Try {
    pub(crate) const fn pipe(&self) -> Option<Pipe> {
        match self.step {
            Step::Dialling { pipe, .. }
            | Step::Activating { pipe, .. }
            | Step::Connected { pipe }
            | Step::Standing { pipe } => Some(pipe),
            Step::Waiting | Step::Joined | Step::Out(_) => None,
        }
    }

    pub(crate) const fn kind(&self) -> Kind {
        kind_of(&self.candidate.kind)
    }

    pub(crate) fn spot(&self) -> Option<Spot> {
        spot_of(&self.candidate.kind)
    }

    const fn is_trying(&self) -> bool {
        let stream = matches!(self.candidate.kind, CandidateKind::Stream { .. });
        matches!(self.step, Step::Dialling { .. } | Step::Activating { .. }) && !stream
    }

    const fn is_out(&self) -> bool {
        matches!(self.step, Step::Out(_))
    }
}

pub(crate) const fn kind_of(kind: &CandidateKind) -> Kind {
    match kind {
        CandidateKind::Relay { .. } => Kind::Relay,
        CandidateKind::Direct { .. } => Kind::Direct,
        CandidateKind::Stream { .. } => Kind::InBand,
    }
}

pub(crate) fn spot_of(kind: &CandidateKind) -> Option<Spot> {
    match kind {
        CandidateKind::Relay { host, port, .. } | CandidateKind::Direct { host, port } => {
            Some((host.clone(), *port))
        }
        CandidateKind::Stream { .. } => None,
    }
}

#[derive(Debug)]
pub(crate) struct Attempt {
    number: u64,
    why: Why,
    until: Instant,
    /// Ours are stated.
    stated: bool,
    /// The peer has stated its own.
    heard: bool,
    tries: Vec<Try>,
    /// The next connection is tried then at the earliest.
    next: Instant,
    choose_at: Option<Instant>,
    chosen: Option<Pipe>,
    /// Somebody may knock at our listener.
    expecting: bool,
}

/// What may be done next in an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This one.
    Now(Pipe),
    /// Not yet.
    Wait,
    /// Nothing can stand any more.
    Nothing,
}

impl Attempt {
    pub(crate) fn new(now: Instant, number: u64, why: Why, role: Role) -> Self {
        let grace = match role {
            Role::Client => Duration::ZERO,
            Role::Server => GRACE,
        };
        Self {
            number,
            why,
            until: now + ATTEMPT + grace,
            stated: false,
            heard: false,
            tries: Vec::new(),
            next: now,
            choose_at: None,
            chosen: None,
            expecting: false,
        }
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) const fn why(&self) -> Why {
        self.why
    }

    pub(crate) const fn is_stated(&self) -> bool {
        self.stated
    }

    pub(crate) const fn is_heard(&self) -> bool {
        self.heard
    }

    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    pub(crate) fn tries(&self) -> impl Iterator<Item = &Try> {
        self.tries.iter()
    }

    /// Ours are stated from now on.
    pub(crate) fn state(&mut self, ours: impl IntoIterator<Item = Try>) {
        self.stated = true;
        self.tries.extend(ours);
        let direct = |one: &Try| one.ours && one.kind() == Kind::Direct;
        self.expecting = self.tries.iter().any(direct);
    }

    /// What of the peer's candidates is taken: at most so many of each kind, none under a name that is there already, streams of the
    /// TLS client only. The rest is refused.
    pub(crate) fn hear(&mut self, theirs: Vec<Candidate>, peer: Role) {
        self.heard = true;
        for candidate in theirs {
            let kind = kind_of(&candidate.kind);
            let same = |one: &&Try| !one.ours && one.kind() == kind;
            let most = match (kind, peer) {
                (Kind::Direct, _) => MAX_DIRECT,
                (Kind::Relay, _) => MAX_RELAYS,
                (Kind::InBand, Role::Client) => 1,
                (Kind::InBand, Role::Server) => 0,
            };
            let named = self
                .tries
                .iter()
                .any(|one| one.candidate.cid == candidate.cid);
            if !named && self.tries.iter().filter(same).count() < most {
                self.tries.push(Try {
                    candidate,
                    ours: false,
                    step: Step::Waiting,
                });
            }
        }
    }

    pub(crate) fn by_cid(&mut self, cid: Cid) -> Option<&mut Try> {
        self.tries.iter_mut().find(|one| one.candidate.cid == cid)
    }

    pub(crate) fn by_pipe(&mut self, pipe: Pipe) -> Option<&mut Try> {
        self.tries.iter_mut().find(|one| one.pipe() == Some(pipe))
    }

    /// Takes out those that `verdict` has something against; what it has is returned for those of the peer that wait.
    pub(crate) fn judge(
        &mut self,
        verdict: impl Fn(&Try) -> Option<Because>,
    ) -> Vec<(Cid, Because)> {
        let mut out = Vec::new();
        for one in self
            .tries
            .iter_mut()
            .filter(|one| one.step == Step::Waiting)
        {
            if let Some(because) = verdict(one) {
                one.step = Step::Out(because);
                out.push((one.candidate.cid, because));
            }
        }
        out
    }

    /// The next candidate to connect to, if its turn has come: our relays at which the peer is, then the peer's candidates by
    /// priority (XEP-0260 §2.2). `ready` says which of them are judged.
    pub(crate) fn take_turn(
        &mut self,
        now: Instant,
        pipe: Pipe,
        ready: impl Fn(&Try) -> bool,
    ) -> Option<Try> {
        if self.tries.iter().filter(|one| one.is_trying()).count() >= MAX_TRYING {
            return None;
        }
        let joined = self.tries.iter().position(|one| one.step == Step::Joined);
        let at = joined.or_else(|| {
            let waiting = self.tries.iter().enumerate().filter(|(_, one)| {
                let connects = one.kind() != Kind::InBand && !one.ours;
                connects && one.step == Step::Waiting && ready(one)
            });
            let best =
                waiting.min_by_key(|(at, one)| (std::cmp::Reverse(one.candidate.priority), *at));
            best.map(|(at, _)| at).filter(|_| self.next <= now)
        })?;
        let turn = self.tries.get_mut(at)?;
        if !turn.ours {
            self.next = now + SPACING;
        }
        let within = match turn.kind() {
            Kind::Direct => DIRECT,
            Kind::Relay | Kind::InBand => RELAY,
        };
        let until = Some(now + within);
        turn.step = Step::Dialling { pipe, until };
        Some(turn.clone())
    }

    /// Our relay is asked from now on.
    pub(crate) fn activate(&mut self, now: Instant, pipe: Pipe) {
        if let Some(one) = self.by_pipe(pipe) {
            let until = now + ACTIVATION;
            one.step = Step::Activating { pipe, until };
        }
    }

    /// What the TLS client is to do. `alone`: nothing carries, so that the first that stands is the best.
    pub(crate) fn choice(&mut self, now: Instant, alone: bool) -> Choice {
        if self.chosen.is_some() {
            return Choice::Wait;
        }
        let standing = |one: &&Try| matches!(one.step, Step::Standing { .. });
        let best = self
            .tries
            .iter()
            .filter(standing)
            .max_by_key(|one| one.candidate.priority);
        let Some((best, pipe)) = best.and_then(|best| Some((best, best.pipe()?))) else {
            // What stood has broken off: the next that stands is waited with anew.
            self.choose_at = None;
            let over = self.stated && self.heard && self.tries.iter().all(Try::is_out);
            return if over { Choice::Nothing } else { Choice::Wait };
        };
        let better = |one: &Try| {
            let open = !one.is_out() && !matches!(one.step, Step::Standing { .. });
            open && one.candidate.priority > best.candidate.priority
        };
        let settled = self.stated && self.heard && !self.tries.iter().any(better);
        let at = *self.choose_at.get_or_insert(now + BETTER);
        if alone || settled || at <= now {
            Choice::Now(pipe)
        } else {
            Choice::Wait
        }
    }

    /// The client has chosen.
    pub(crate) const fn choose(&mut self, pipe: Pipe) {
        self.chosen = Some(pipe);
    }

    /// It could not choose: not before this much later.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.choose_at = Some(now + SPACING);
    }

    pub(crate) const fn chosen(&self) -> Option<Pipe> {
        self.chosen
    }

    /// Whether somebody may still knock.
    pub(crate) const fn is_expecting(&self) -> bool {
        self.expecting
    }

    /// Why nothing stands: of the best candidate that both ends knew.
    pub(crate) fn failure(&self) -> Option<Because> {
        let out = self.tries.iter().filter_map(|one| match one.step {
            Step::Out(because) => {
                Some((because != Because::Policy, one.candidate.priority, because))
            }
            Step::Waiting
            | Step::Joined
            | Step::Dialling { .. }
            | Step::Activating { .. }
            | Step::Connected { .. }
            | Step::Standing { .. } => None,
        });
        out.max_by_key(|(meant, priority, _)| (*meant, *priority))
            .map(|(_, _, because)| because)
    }

    /// Pipes whose time is up.
    pub(crate) fn late(&self, now: Instant) -> Vec<(Pipe, Because)> {
        let late = |one: &Try| match one.step {
            Step::Dialling { pipe, until } => {
                let late = until.is_some_and(|until| until <= now);
                late.then_some((pipe, Because::Timeout))
            }
            Step::Activating { pipe, until } => {
                (until <= now).then_some((pipe, Because::Activation))
            }
            Step::Waiting
            | Step::Joined
            | Step::Connected { .. }
            | Step::Standing { .. }
            | Step::Out(_) => None,
        };
        self.tries.iter().filter_map(late).collect()
    }

    /// When something is due; `ready` as in [`take_turn`](Self::take_turn).
    pub(crate) fn poll_timeout(&self, ready: impl Fn(&Try) -> bool) -> Option<Instant> {
        if self.chosen.is_some() {
            // The leg has its own timers.
            return None;
        }
        let steps = self.tries.iter().filter_map(|one| match one.step {
            Step::Dialling { until, .. } => until,
            Step::Activating { until, .. } => Some(until),
            Step::Waiting
            | Step::Joined
            | Step::Connected { .. }
            | Step::Standing { .. }
            | Step::Out(_) => None,
        });
        let trying = self.tries.iter().filter(|one| one.is_trying()).count();
        let waits = |one: &Try| {
            !one.ours && one.kind() != Kind::InBand && one.step == Step::Waiting && ready(one)
        };
        let next = (trying < MAX_TRYING && self.tries.iter().any(waits)).then_some(self.next);
        steps
            .chain([self.until])
            .chain(self.choose_at)
            .chain(next)
            .min()
    }
}
