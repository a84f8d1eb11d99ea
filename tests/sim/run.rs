//! One run: a script drawn from the seed, the storm, the calm after it, and the final checks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use xtls_client::router::Why;
use xtls_tls::TlsError;
use xtls_tls::verify::Method;

use crate::client::Act;
use crate::dice::Dice;
use crate::setup::{Adversary, Cuts, Setup};
use crate::totals::Totals;
use crate::world::{Deed, JULIET, MALLORY, ROMEO, Violation, World};

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What happened, counted.
    pub totals: Totals,
    /// A number that follows from everything that happened.
    pub trace: u64,
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// Every line, if requested.
    pub log: Vec<String>,
}

/// How long the adversary is active.
const STORM: Duration = Duration::from_secs(150);
/// How long everything may take to end by itself afterwards: longer than any deadline.
const CALM: Duration = Duration::from_secs(900);

/// Runs a seed.
pub fn run(seed: u64, log: bool) -> Outcome {
    run_setup(Setup::draw(seed), log)
}

/// Runs a seed with the given setup.
pub fn run_setup(setup: Setup, log: bool) -> Outcome {
    let seed = setup.seed;
    let mut world = World::new(setup, log);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.live()));
    if let Err(panic) = outcome {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        world.accuse(format!("I7: a panic: {}", text.unwrap_or_default()));
    }
    let mut totals = std::mem::take(&mut world.totals);
    totals.seeds = 1;
    totals.time = world.at();
    totals.adversaries.insert(world.setup.adversary, 1);
    let violation = world.broken.clone().map(|what| Violation {
        seed,
        steps: totals.steps,
        at: world.at(),
        what,
    });
    Outcome {
        trace: world.trace(),
        violation,
        log: world.log.take().unwrap_or_default(),
        totals,
    }
}

impl World {
    fn live(&mut self) {
        self.script();
        self.pass(STORM);
        self.raging = false;
        for at in 0..self.clients.len() {
            let same = !self.down.contains(&at);
            self.back(at, same);
            if let Some((id, _)) = self.clients[at].held {
                self.act(at, Act::Release(id));
            }
        }
        self.pass(CALM / 3);
        let said = self.said;
        self.pass(CALM - CALM / 3);
        self.is_quiet(said);
        self.no_half_open();
        if self.setup.calm() {
            self.all_is_well();
        }
        for at in 0..self.clients.len() {
            self.act(at, Act::Close);
        }
        self.pass(CALM);
        self.nothing_left();
        if self.friends() {
            self.talk_again();
        }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// What the owners will do, and when.
    fn script(&mut self) {
        self.script_sockets();
        let mut dice = Dice::new(self.setup.seed, 3);
        let seconds = |dice: &mut Dice, from: u64, to: u64| {
            Duration::from_secs(from) + dice.time(Duration::from_secs(to - from))
        };
        let calm = self.setup.calm();
        let opener = if self.setup.adversary == Adversary::None {
            dice.pick(&[ROMEO, JULIET])
        } else {
            ROMEO
        };
        self.later(Duration::ZERO, Deed::Act(opener, Act::Open));
        if self.setup.crossing {
            let late = dice.time(self.setup.delay.0 + self.setup.delay.1);
            self.later(late, Deed::Act(1 - opener, Act::Open));
        }
        if self.setup.adversary.in_the_middle() {
            let late = seconds(&mut dice, 0, 40);
            self.later(late, Deed::Act(crate::world::FALSE_ROMEO, Act::Open));
        }
        if self.setup.long {
            self.later(
                Duration::from_secs(1),
                Deed::Act(opener, Act::Say(420, 80, 30)),
            );
        }
        for who in [ROMEO, JULIET] {
            for _ in 0..dice.below(5) {
                let (count, size) = (1 + dice.index(4), dice.index(600));
                let at = seconds(&mut dice, 0, 60);
                self.later(at, Deed::Act(who, Act::Say(count, size, 30)));
            }
            if self.setup.bulk {
                let at = seconds(&mut dice, 1, 20);
                self.later(at, Deed::Act(who, Act::Say(30, 8000, 30)));
            }
            if !self.setup.messages && (self.setup.bulk || dice.permille(150)) {
                let (at, time) = (seconds(&mut dice, 1, 30), seconds(&mut dice, 1, 30));
                self.later(at, Deed::Act(who, Act::Hold(time)));
            }
            let cut = match self.setup.cuts {
                Cuts::Never => None,
                Cuts::Resumed => Some(true),
                Cuts::Any if dice.permille(250) => {
                    let (at, time) = (seconds(&mut dice, 0, 80), seconds(&mut dice, 1, 60));
                    self.later(at, Deed::Act(who, Act::Restart(time)));
                    None
                }
                Cuts::Any => Some(dice.permille(500)),
            };
            if let Some(comes_back) = cut {
                // A minute without an answer ends a stream.
                let longest = if calm { 20 } else { 120 };
                let (at, time) = (seconds(&mut dice, 0, 80), seconds(&mut dice, 1, longest));
                self.later(at, Deed::Act(who, Act::Cut(time, comes_back)));
            }
        }
        let who = dice.pick(&[ROMEO, JULIET]);
        let end = if calm {
            dice.pick(&[Act::Finish, Act::Finish, Act::Close])
        } else {
            dice.pick(&[Act::Finish, Act::Close, Act::Abort])
        };
        // What a stream that lags carries in the end is not for a deadline.
        let end = match end {
            Act::Close if calm && self.setup.paths.is_some() => Act::Finish,
            end => end,
        };
        let at = seconds(&mut dice, 100, 120);
        if !calm || !matches!(end, Act::Close) || !self.setup.bulk {
            self.later(at, Deed::Act(who, end));
        }
        if !calm && dice.permille(400) {
            let (at, who) = (seconds(&mut dice, 5, 100), dice.pick(&[ROMEO, JULIET]));
            self.later(
                at,
                Deed::Act(who, dice.pick(&[Act::Open, Act::Abort, Act::Close])),
            );
            let at = seconds(&mut dice, 20, 110);
            self.later(at, Deed::Act(who, Act::Open));
        }
        if !calm && dice.permille(100) {
            // Gives up with much of the data unread.
            let (at, who) = (seconds(&mut dice, 5, 60), dice.pick(&[ROMEO, JULIET]));
            let mut acts = vec![
                (who, Act::Hold(Duration::from_secs(40))),
                (1 - who, Act::Say(30, 8000, 2)),
            ];
            if dice.permille(700) {
                // The stream ends before that, for a reason of its own.
                acts.push((1 - who, Act::Restart(Duration::from_secs(8))));
                acts.push((who, Act::Say(1, 100, 0)));
            }
            acts.push((who, Act::Abort));
            for (number, (who, act)) in acts.into_iter().enumerate() {
                self.later(
                    at + Duration::from_secs(5) * number as u32,
                    Deed::Act(who, act),
                );
            }
        }
        if dice.permille(200) {
            let (at, who) = (seconds(&mut dice, 0, 100), dice.pick(&[ROMEO, JULIET]));
            self.later(at, Deed::Act(who, Act::Meet));
        }
        if self.setup.withhold {
            for number in 2..20 {
                let at = Duration::from_secs(5 * number);
                self.later(at, Deed::Act(1 - opener, Act::Say(1, 50, 0)));
            }
        }
        if self.setup.paths.is_some() {
            self.script_traffic();
        }
        if self.setup.verify {
            for who in [ROMEO, JULIET] {
                let at = seconds(&mut dice, 1, 100);
                let method = dice.pick(&[Method::Words, Method::Words, Method::Code]);
                self.later(at, Deed::Act(who, Act::Verify(method)));
            }
        }
        match self.setup.adversary {
            Adversary::Outsider => self.later(Duration::from_millis(1), Deed::Forge),
            Adversary::Peer => {
                for _ in 0..2 + dice.below(20) {
                    let at = seconds(&mut dice, 0, 100);
                    self.later(at, Deed::Act(MALLORY, Act::Open));
                }
                if dice.permille(400) {
                    let at = seconds(&mut dice, 5, 60);
                    self.later(at, Deed::Act(MALLORY, Act::Cheat(0)));
                }
            }
            _ => {}
        }
    }

    /// Paths are there to carry much, and the script has little: also so much that credit runs out.
    fn script_traffic(&mut self) {
        let mut dice = Dice::new(self.setup.seed, 9);
        if self.setup.delay.0 > Duration::from_millis(100) {
            return;
        }
        for who in [ROMEO, JULIET] {
            for _ in 0..dice.below(8) {
                let (count, size) = (1 + dice.index(4), dice.index(3_000));
                let at = dice.time(Duration::from_secs(60));
                self.later(at, Deed::Act(who, Act::Say(count, size, 30)));
            }
            if self.setup.bulk && dice.permille(600) {
                let at = Duration::from_secs(5) + dice.time(Duration::from_secs(30));
                self.later(at, Deed::Act(who, Act::Say(100, 8_000, 30)));
                let late = dice.time(Duration::from_secs(4));
                let hold = Act::Hold(Duration::from_secs(5) + dice.time(Duration::from_secs(20)));
                self.later(at + late, Deed::Act(1 - who, hold));
            }
        }
    }

    /// I11: an end with nothing to send sends little, apart from signs of life and new keys.
    fn is_quiet(&mut self, before: [u64; 4]) {
        let seconds = (CALM - CALM / 3).as_secs();
        let renewals = self
            .setup
            .keys
            .map_or(0, |(age, _)| seconds / age.as_secs());
        // Signals of those who look for a path that was lost, and signs of life on a stream that is one.
        let paths = if self.setup.paths.is_some() { 400 } else { 0 };
        let most = 40 + renewals * 60 + paths;
        for (at, before) in before.into_iter().enumerate() {
            let said = self.said[at] - before;
            if said > most {
                return self.accuse(format!(
                    "I11: client {at} sends {said} stanzas in {seconds} s although no one has anything to send"
                ));
            }
        }
    }

    /// I5: nothing is half-open for longer than any deadline, although no one has ended it.
    fn no_half_open(&mut self) {
        let half = self
            .oracle
            .ends
            .iter()
            .find(|((at, _), end)| *at < 2 && end.closed.is_none() && !end.ready);
        if let Some((end, _)) = half {
            let what = format!("I5: {end:?} is half-open for ever");
            self.accuse(what);
        }
    }

    /// Nothing went wrong that anyone could notice: everything that was sent has come out, and all ends are clean.
    fn all_is_well(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let two = ["romeo@montague.example", "juliet@capulet.example"];
        let ours = |end: &crate::oracle::Record| {
            let peer = end.peer.as_ref();
            peer.is_some_and(|peer| two.contains(&peer.bare()))
        };
        let ends: Vec<_> = self
            .oracle
            .ends
            .iter()
            .filter(|(_, end)| ours(end))
            .collect();
        let established = ends
            .iter()
            .filter(|(_, end)| end.established.is_some())
            .count();
        if !self.friends() {
            let told = |wanted: &dyn Fn(&TlsError) -> bool| {
                ends.iter().any(|(_, end)| {
                    matches!(end.closed.as_ref().map(|closed| &closed.why), Some(Why::Session(xtls_session::Why::Tls(error))) if wanted(error))
                })
            };
            let refused = told(&|error| matches!(error, TlsError::Trust(_)));
            let alerted = told(&|error| matches!(error, TlsError::Alert(_)));
            if established > 0 || !refused || !alerted {
                self.accuse(format!("I3: a key that is not trusted: established {established}, refused {refused}, alerted {alerted}"));
            }
            return;
        }
        if established != 2 {
            return self.accuse(format!(
                "I12: in calm weather {established} ends are established instead of 2"
            ));
        }
        let said: usize = ends.iter().map(|(_, end)| end.sent.len()).sum();
        let heard: usize = ends.iter().map(|(_, end)| end.received).sum();
        if said != heard {
            return self.accuse(format!(
                "I5: in calm weather {heard} of {said} stanzas come out"
            ));
        }
        if self.unsaid > 0 {
            let unsaid = self.unsaid;
            return self.accuse(format!(
                "I5: in calm weather {unsaid} stanzas could not be said"
            ));
        }
        let untaken = ends.iter().find(|(_, end)| {
            let closed = end.closed.as_ref();
            closed.is_some_and(|closed| closed.clean && closed.unconfirmed > 0)
        });
        if let Some((end, record)) = untaken.filter(|_| !self.hasty) {
            let what = format!(
                "I14: in calm weather no one confirms to {end:?} that everything was taken: {:?}",
                record.closed
            );
            return self.accuse(what);
        }
        let unclean = ends.iter().find(|(_, end)| {
            end.closed.as_ref().is_some_and(|closed| !closed.clean) && end.established.is_some()
        });
        if let Some((end, record)) = unclean {
            let what = format!(
                "I5: in calm weather the end of {end:?} is {:?}",
                record.closed
            );
            self.accuse(what);
        }
    }

    /// I5: everything has ended, and every request has its answer.
    fn nothing_left(&mut self) {
        if self.broken.is_some() {
            return;
        }
        if let Some((at, peer, _)) = self.replaced.first() {
            let what = format!(
                "I3: client {at} has nothing in place of a tunnel with {}",
                peer.as_str()
            );
            return self.accuse(what);
        }
        let open = self
            .oracle
            .ends
            .iter()
            .find(|(_, end)| end.closed.is_none());
        if let Some((end, record)) = open {
            let what = format!(
                "I5: {end:?} never ends: ready {}, established {}",
                record.ready,
                record.established.is_some()
            );
            return self.accuse(what);
        }
        if let Some(left) = self.sockets.left() {
            return self.accuse(format!("I18: a socket is left behind: {left}"));
        }
        for at in 0..self.clients.len() {
            if let Some(request) = self.clients[at].referee.unanswered() {
                return self.accuse(format!("I5: client {at} never answers {request}"));
            }
        }
    }

    /// I5: two clients who can trust each other talk again.
    fn talk_again(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let before = self.oracle.ends.len();
        self.act(ROMEO, Act::Open);
        self.pass(Duration::from_secs(60));
        for who in [ROMEO, JULIET] {
            self.act(who, Act::Say(2, 100, 0));
        }
        self.pass(Duration::from_secs(60));
        self.act(ROMEO, Act::Finish);
        self.pass(CALM);
        let new: Vec<_> = self.oracle.ends.values().collect();
        let ends = new.len() - before;
        let all = |test: &dyn Fn(&crate::oracle::Record) -> bool| {
            self.oracle.ends.values().filter(|end| test(end)).count()
        };
        let well =
            all(&|end| end.received >= 2 && end.closed.as_ref().is_some_and(|closed| closed.clean));
        let open = all(&|end| end.closed.is_none());
        if self.broken.is_none() && (ends != 2 || well < 2 || open > 0) {
            self.accuse(format!(
                "I5: after the storm {ends} new ends, {well} of all well, {open} open"
            ));
        }
    }
}
