//! Every interleaving of crossing opens, closes and replacements over a network that loses and repeats, exhaustively.
//!
//! A router can't be copied, so the model covers its rules: those of `xtls_client::router` for opens, conflicts, closes
//! and newer tunnels, on top of the real [`glare`]. Handshakes are one stanza in each direction and never fail by
//! themselves; a deadline may pass at any moment once the event it waits for can no longer happen.

use std::collections::BTreeSet;

use stateright::{Model, Property};
use xtls_session::{Glare, glare};
use xtls_stanza::Address;

/// One of the two ends.
type Who = u8;

/// A stream's name: who opens it, and which of their opens it is.
type Sid = (Who, u8);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// `<open><start/></open>`.
    Open(Sid),
    /// The empty result.
    Accepted(Sid),
    /// `<conflict/>`, or another refusal.
    Conflict(Sid),
    /// The initiator's flight, which proves its key.
    Hello(Sid),
    /// The confirmation.
    Confirmed(Sid),
    /// close_notify.
    Notify(Sid),
    /// The stream's `<close/>`.
    Close(Sid),
}

/// What one end knows of one tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Our open is unanswered.
    Opening,
    /// Our open lost; we await the peer's.
    Yielding,
    /// Accepted; the handshake is under way.
    Shaking,
    /// Both have accepted each other, as far as this end knows.
    Open,
    /// We have sent our close_notify.
    Closing,
    /// Ended, and why.
    Over(Reason),
}

/// Why a tunnel is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Closed in order.
    Clean,
    /// The peer's open took its place, or a newer one from the peer.
    Superseded,
    /// A newer tunnel with the same key took its place.
    Replaced,
    /// Refused.
    Refused,
    /// No answer in time, or the stream was closed beneath it.
    Cut,
}

/// One tunnel at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tunnel {
    sid: Sid,
    phase: Phase,
    /// The peer's close_notify has arrived.
    ended: bool,
}

/// The whole state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    tunnels: [Vec<Tunnel>; 2],
    /// In order of sending, for each receiver.
    network: [Vec<Word>; 2],
    opens_left: [u8; 2],
    closes_left: u8,
    losses_left: u8,
    repeats_left: u8,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// An owner opens.
    Open(Who),
    /// An owner closes its tunnel.
    Close(Who),
    /// The next stanza arrives.
    Deliver(Who),
    /// The next stanza is lost.
    Lose(Who),
    /// The next stanza arrives, and arrives again at once or later.
    Repeat(Who),
    /// A deadline passes at this end.
    Expire(Who),
}

/// How much of each may happen.
#[derive(Clone, Copy, Debug)]
pub struct Crossing {
    /// Opens by each owner.
    pub opens: u8,
    /// Closes by both owners together.
    pub closes: u8,
    /// Stanzas that are lost.
    pub losses: u8,
    /// Stanzas that arrive twice.
    pub repeats: u8,
}

fn decided(own: Who) -> Glare {
    let address = |who: Who| {
        Address::new(if who == 0 {
            "a@example.org/x"
        } else {
            "b@example.org/x"
        })
    };
    let (Ok(own), Ok(peer)) = (address(own), address(1 - own)) else {
        return Glare::Same;
    };
    glare(&own, &peer)
}

impl State {
    fn send(&mut self, from: Who, word: Word) {
        self.network[usize::from(1 - from)].push(word);
    }

    fn tunnel(&mut self, who: Who, sid: Sid) -> Option<&mut Tunnel> {
        self.tunnels[usize::from(who)]
            .iter_mut()
            .find(|tunnel| tunnel.sid == sid)
    }

    fn end(&mut self, who: Who, sid: Sid, reason: Reason) {
        if let Some(tunnel) = self.tunnel(who, sid)
            && !matches!(tunnel.phase, Phase::Over(_))
        {
            tunnel.phase = Phase::Over(reason);
        }
    }

    fn hear(&mut self, who: Who, word: Word) {
        match word {
            Word::Open(sid) => self.hear_open(who, sid),
            Word::Accepted(sid) => match self.tunnel(who, sid) {
                Some(tunnel) if tunnel.phase == Phase::Opening => {
                    tunnel.phase = Phase::Shaking;
                    self.send(who, Word::Hello(sid));
                }
                // Accepted after all, but no longer wanted.
                Some(Tunnel {
                    phase: Phase::Over(_),
                    ..
                }) => self.send(who, Word::Close(sid)),
                _ => {}
            },
            Word::Conflict(sid) => {
                if let Some(tunnel) = self.tunnel(who, sid)
                    && tunnel.phase == Phase::Opening
                {
                    tunnel.phase = Phase::Yielding;
                }
            }
            Word::Hello(sid) => {
                if self
                    .tunnel(who, sid)
                    .is_some_and(|tunnel| tunnel.phase == Phase::Shaking)
                {
                    self.establish(who, sid);
                    self.send(who, Word::Confirmed(sid));
                }
            }
            Word::Confirmed(sid) => {
                if self
                    .tunnel(who, sid)
                    .is_some_and(|tunnel| tunnel.phase == Phase::Shaking)
                {
                    self.establish(who, sid);
                }
            }
            Word::Notify(sid) => match self.tunnel(who, sid) {
                Some(tunnel) if tunnel.phase == Phase::Open => {
                    tunnel.phase = Phase::Closing;
                    tunnel.ended = true;
                    self.send(who, Word::Notify(sid));
                }
                Some(tunnel) if tunnel.phase == Phase::Closing && !tunnel.ended => {
                    tunnel.ended = true;
                    self.end(who, sid, Reason::Clean);
                    self.send(who, Word::Close(sid));
                }
                _ => {}
            },
            Word::Close(sid) => {
                let clean = self.tunnel(who, sid).is_some_and(|tunnel| tunnel.ended);
                self.end(who, sid, if clean { Reason::Clean } else { Reason::Cut });
            }
        }
    }

    /// A peer's open: glare first, then the place of an older unfinished one.
    fn hear_open(&mut self, who: Who, sid: Sid) {
        if self.tunnel(who, sid).is_some() {
            // The same stanza again: its one answer serves both.
            return;
        }
        let own = &mut self.tunnels[usize::from(who)];
        let ours = own
            .iter_mut()
            .find(|tunnel| matches!(tunnel.phase, Phase::Opening | Phase::Yielding));
        match (ours, decided(who)) {
            (Some(tunnel), Glare::Ours) if tunnel.phase == Phase::Opening => {
                own.push(Tunnel {
                    sid,
                    phase: Phase::Over(Reason::Refused),
                    ended: false,
                });
                return self.send(who, Word::Conflict(sid));
            }
            (Some(tunnel), _) => {
                let lost = tunnel.sid;
                tunnel.phase = Phase::Over(Reason::Superseded);
                self.send(who, Word::Close(lost));
            }
            (None, _) => {}
        }
        for tunnel in &mut self.tunnels[usize::from(who)] {
            if tunnel.phase == Phase::Shaking {
                let lost = tunnel.sid;
                tunnel.phase = Phase::Over(Reason::Superseded);
                self.network[usize::from(1 - who)].push(Word::Close(lost));
            }
        }
        self.tunnels[usize::from(who)].push(Tunnel {
            sid,
            phase: Phase::Shaking,
            ended: false,
        });
        self.send(who, Word::Accepted(sid));
    }

    /// The peer has proven the same key as before: an older established tunnel makes room.
    fn establish(&mut self, who: Who, sid: Sid) {
        let mut cut = Vec::new();
        for tunnel in &mut self.tunnels[usize::from(who)] {
            if tunnel.sid == sid {
                tunnel.phase = Phase::Open;
            } else if tunnel.phase == Phase::Open {
                tunnel.phase = Phase::Over(Reason::Replaced);
                cut.push(tunnel.sid);
            }
        }
        for sid in cut {
            self.send(who, Word::Close(sid));
        }
    }

    fn live(&self, who: Who) -> usize {
        self.tunnels[usize::from(who)]
            .iter()
            .filter(|tunnel| !matches!(tunnel.phase, Phase::Over(_)))
            .count()
    }

    fn open(&self, who: Who) -> BTreeSet<Sid> {
        let tunnels = self.tunnels[usize::from(who)].iter();
        tunnels
            .filter(|tunnel| tunnel.phase == Phase::Open)
            .map(|tunnel| tunnel.sid)
            .collect()
    }

    fn quiet(&self) -> bool {
        self.network.iter().all(Vec::is_empty)
    }

    /// Whether an end has a tunnel that will not stay as it is: it waits for something, or the peer no longer has one,
    /// which the end learns as soon as it sends something.
    fn waiting(&self, who: Who) -> bool {
        let waits = |tunnel: &Tunnel| match tunnel.phase {
            Phase::Opening | Phase::Yielding | Phase::Shaking | Phase::Closing => true,
            Phase::Open => self.half_open(who, tunnel.sid),
            Phase::Over(_) => false,
        };
        self.tunnels[usize::from(who)].iter().any(waits)
    }

    fn half_open(&self, who: Who, sid: Sid) -> bool {
        let over = |tunnel: &Tunnel| tunnel.sid == sid && matches!(tunnel.phase, Phase::Over(_));
        self.tunnels[usize::from(1 - who)].iter().any(over)
    }
}

/// The first property that does not hold: a counterexample where there must be none, or no example where there must be
/// one.
pub fn broken<C: stateright::Checker<Crossing>>(checker: &C) -> Option<String> {
    let discoveries = checker.discoveries();
    let mut properties = checker.model().properties().into_iter();
    let bad = properties.find(|property| {
        let wanted = property.expectation == stateright::Expectation::Sometimes;
        discoveries.contains_key(property.name) != wanted
    })?;
    let path = discoveries
        .get(bad.name)
        .map(|path| format!("{:?}", path.clone().into_actions()));
    Some(format!("{}: {}", bad.name, path.unwrap_or_default()))
}

/// The same for what must always hold: a small model doesn't reach everything.
pub fn broken_always<C: stateright::Checker<Crossing>>(checker: &C) -> Option<String> {
    let discoveries = checker.discoveries();
    let always = |name: &str| {
        checker.model().properties().into_iter().any(|property| {
            property.name == name && property.expectation == stateright::Expectation::Always
        })
    };
    let (name, path) = discoveries.into_iter().find(|(name, _)| always(name))?;
    Some(format!("{name}: {:?}", path.into_actions()))
}

impl Model for Crossing {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            tunnels: [Vec::new(), Vec::new()],
            network: [Vec::new(), Vec::new()],
            opens_left: [self.opens; 2],
            closes_left: self.closes,
            losses_left: self.losses,
            repeats_left: self.repeats,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        for who in [0, 1] {
            if state.opens_left[usize::from(who)] > 0 && state.live(who) == 0 {
                actions.push(Step::Open(who));
            }
            if state.closes_left > 0 && !state.open(who).is_empty() {
                actions.push(Step::Close(who));
            }
            if !state.network[usize::from(who)].is_empty() {
                actions.push(Step::Deliver(who));
                if state.losses_left > 0 {
                    actions.push(Step::Lose(who));
                }
                if state.repeats_left > 0 {
                    actions.push(Step::Repeat(who));
                }
            }
            // No deadline is as short as the network is slow.
            if state.quiet() && state.waiting(who) {
                actions.push(Step::Expire(who));
            }
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Open(who) => {
                let number = self.opens - state.opens_left[usize::from(who)];
                state.opens_left[usize::from(who)] -= 1;
                let sid = (who, number);
                state.tunnels[usize::from(who)].push(Tunnel {
                    sid,
                    phase: Phase::Opening,
                    ended: false,
                });
                state.send(who, Word::Open(sid));
            }
            Step::Close(who) => {
                state.closes_left -= 1;
                for sid in state.open(who) {
                    if let Some(tunnel) = state.tunnel(who, sid) {
                        tunnel.phase = Phase::Closing;
                    }
                    state.send(who, Word::Notify(sid));
                }
            }
            Step::Deliver(who) => {
                let word = state.network[usize::from(who)].remove(0);
                state.hear(who, word);
            }
            Step::Lose(who) => {
                state.losses_left -= 1;
                // A loss in a stream leaves a gap, which closes the stream.
                match state.network[usize::from(who)].remove(0) {
                    Word::Hello(sid) | Word::Confirmed(sid) | Word::Notify(sid) => {
                        state.end(1 - who, sid, Reason::Cut);
                        state.network[usize::from(who)].push(Word::Close(sid));
                    }
                    Word::Open(_) | Word::Accepted(_) | Word::Conflict(_) | Word::Close(_) => {}
                }
            }
            Step::Repeat(who) => {
                state.repeats_left -= 1;
                let word = state.network[usize::from(who)].remove(0);
                state.hear(who, word);
                state.network[usize::from(who)].push(word);
            }
            Step::Expire(who) => {
                for at in 0..state.tunnels[usize::from(who)].len() {
                    let tunnel = state.tunnels[usize::from(who)][at];
                    let reason = match tunnel.phase {
                        Phase::Opening | Phase::Yielding | Phase::Shaking => Reason::Cut,
                        Phase::Closing if tunnel.ended => Reason::Clean,
                        Phase::Closing => Reason::Cut,
                        Phase::Open if state.half_open(who, tunnel.sid) => Reason::Cut,
                        Phase::Open | Phase::Over(_) => continue,
                    };
                    state.end(who, tunnel.sid, reason);
                    state.send(who, Word::Close(tunnel.sid));
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "at most one established tunnel at each end",
                |_, state: &State| [0, 1].into_iter().all(|who| state.open(who).len() <= 1),
            ),
            Property::always(
                "at rest both ends have the same tunnel, or none and a reason",
                |_, state: &State| {
                    let rest = state.quiet() && !state.waiting(0) && !state.waiting(1);
                    !rest || state.open(0) == state.open(1)
                },
            ),
            Property::always(
                "without loss crossing opens end in one tunnel",
                |model: &Self, state: &State| {
                    let pristine =
                        state.losses_left == model.losses && state.closes_left == model.closes;
                    let opened = state.opens_left.iter().any(|left| *left < model.opens);
                    let rest = state.quiet() && !state.waiting(0) && !state.waiting(1);
                    !(pristine && opened && rest) || state.open(0).len() == 1
                },
            ),
            Property::always("a clean end is one of both", |_, state: &State| {
                let clean = |who: usize| {
                    state.tunnels[who]
                        .iter()
                        .filter(|tunnel| tunnel.phase == Phase::Over(Reason::Clean))
                };
                (0..2).all(|who| clean(who).all(|tunnel| tunnel.ended))
            }),
            Property::sometimes("crossing opens meet", |_, state: &State| {
                state
                    .tunnels
                    .iter()
                    .flatten()
                    .any(|tunnel| tunnel.phase == Phase::Over(Reason::Superseded))
            }),
            Property::sometimes("a newer tunnel replaces one", |_, state: &State| {
                state
                    .tunnels
                    .iter()
                    .flatten()
                    .any(|tunnel| tunnel.phase == Phase::Over(Reason::Replaced))
            }),
            Property::sometimes("a tunnel ends clean at both ends", |_, state: &State| {
                let clean = |who: usize| {
                    state.tunnels[who]
                        .iter()
                        .any(|tunnel| tunnel.phase == Phase::Over(Reason::Clean))
                };
                clean(0) && clean(1)
            }),
        ]
    }
}
