//! Two honest ends and a server between them that does what it likes with their signals.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What happens next. Numbers pick from what there is.
#[derive(Debug, Clone)]
enum Step {
    Say(usize, u64),
    /// The server passes on one of the signals that it has, and keeps it.
    Pass(usize, usize),
    /// The same, with one octet changed.
    Alter(usize, usize, usize),
    /// The record of one under the number of another.
    Renumber(usize, usize, u64),
    /// One of the other direction.
    Reflect(usize, usize),
    Forge(usize, u64, Vec<u8>),
    /// It tells an end that one of its signals has been answered.
    Answer(usize, u64),
    Rebind(usize),
    Wait(u64),
}

fn a_step() -> impl Strategy<Value = Step> {
    let (end, pick) = (0..2_usize, any::<usize>());
    let number = prop_oneof![0..40_u64, any::<u64>()];
    prop_oneof![
        4 => (end.clone(), any::<u64>()).prop_map(|(end, attempt)| Step::Say(end, attempt)),
        6 => (end.clone(), pick).prop_map(|(end, pick)| Step::Pass(end, pick)),
        1 => (end.clone(), pick, pick).prop_map(|(end, pick, at)| Step::Alter(end, pick, at)),
        1 => (end.clone(), pick, number.clone())
            .prop_map(|(end, pick, n)| Step::Renumber(end, pick, n)),
        1 => (end.clone(), pick).prop_map(|(end, pick)| Step::Reflect(end, pick)),
        1 => (end.clone(), number.clone(), vec(any::<u8>(), 0..300))
            .prop_map(|(end, n, record)| Step::Forge(end, n, record)),
        2 => (end.clone(), 0..40_u64).prop_map(|(end, n)| Step::Answer(end, n)),
        1 => end.prop_map(Step::Rebind),
        1 => (0..30_u64).prop_map(Step::Wait),
    ]
}

/// One end, what it has said, and what the server has of that.
struct End {
    signals: Signals,
    said: BTreeMap<u64, (Signal, Sealed)>,
    taken: BTreeSet<u64>,
    /// When something of the peer's was looked at.
    looked: Vec<Instant>,
}

struct World {
    now: Instant,
    ends: [End; 2],
}

impl World {
    fn new() -> Self {
        let end = |own| End {
            signals: end(own),
            said: BTreeMap::new(),
            taken: BTreeSet::new(),
            looked: Vec::new(),
        };
        Self {
            now: Instant::now(),
            ends: [end(0), end(1)],
        }
    }

    /// One of those that this end has said.
    fn pick(&self, end: usize, pick: usize) -> Option<Sealed> {
        let said = &self.ends[end].said;
        let at = pick.checked_rem(said.len())?;
        said.values().nth(at).map(|(_, sealed)| sealed.clone())
    }

    /// The server gives this to an end, as the peer's.
    fn give(&mut self, to: usize, sealed: &Sealed) -> Result<(), TestCaseError> {
        let peer = self.ends[1 - to].said.get(&sealed.n);
        let genuine = peer.filter(|(_, said)| said == sealed).cloned();
        let end = &mut self.ends[to];
        let latest = end.taken.last().copied();
        let answer = end.signals.take(self.now, sealed);
        let limited = answer.as_ref().is_err_and(|error| {
            error.condition == Condition::PolicyViolation && error.kind == ErrorType::Wait
        });
        if !limited {
            end.looked.push(self.now);
        }
        match (genuine, answer) {
            (_, Err(_)) if limited => {}
            (Some((signal, _)), Ok(Some(taken))) => {
                prop_assert_eq!(signal, taken);
                prop_assert!(
                    latest.is_none_or(|latest| sealed.n > latest),
                    "out of order"
                );
                prop_assert!(end.taken.insert(sealed.n), "taken twice");
            }
            (Some(_), Ok(None)) => prop_assert!(end.taken.contains(&sealed.n), "never taken"),
            (Some(_), Err(error)) => {
                prop_assert_eq!(error.condition, Condition::UnexpectedRequest);
                prop_assert!(latest.is_some_and(|latest| sealed.n <= latest));
            }
            (None, Err(_)) => {}
            (None, Ok(taken)) => {
                return Err(TestCaseError::fail(format!("a forgery: {taken:?}")));
            }
        }
        Ok(())
    }

    /// What an end says again is what it has said.
    fn same(&self, end: usize, requests: &[Request]) -> Result<(), TestCaseError> {
        for request in requests {
            let said = self.ends[end].said.get(&request.n);
            prop_assert_eq!(said.map(|(_, said)| said), Some(&sealed(request)));
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let now = self.now;
        match step {
            Step::Say(end, attempt) => {
                let signal = over(*attempt);
                if let Some(request) = self.ends[*end].signals.send(now, &signal) {
                    let said = &mut self.ends[*end].said;
                    let before = said.insert(request.n, (signal, sealed(&request)));
                    prop_assert!(before.is_none(), "a number twice");
                }
            }
            Step::Pass(from, pick) => {
                if let Some(sealed) = self.pick(*from, *pick) {
                    self.give(1 - from, &sealed)?;
                }
            }
            Step::Alter(from, pick, at) => {
                if let Some(mut sealed) = self.pick(*from, *pick) {
                    let mut record = sealed.record.to_vec();
                    let at = at % record.len();
                    record[at] ^= 0x40;
                    sealed.record = record.into();
                    self.give(1 - from, &sealed)?;
                }
            }
            Step::Renumber(from, pick, n) => {
                if let Some(mut sealed) = self.pick(*from, *pick) {
                    sealed.n = *n;
                    self.give(1 - from, &sealed)?;
                }
            }
            Step::Reflect(from, pick) => {
                if let Some(sealed) = self.pick(*from, *pick) {
                    self.give(*from, &sealed)?;
                }
            }
            Step::Forge(to, n, record) => {
                let sealed = Sealed {
                    sid: sid(),
                    n: *n,
                    record: record.clone().into(),
                };
                self.give(*to, &sealed)?;
            }
            Step::Answer(end, n) => {
                self.ends[*end].signals.answered(*n);
            }
            Step::Rebind(end) => {
                let again = self.ends[*end].signals.again(now);
                self.same(*end, &again)?;
            }
            Step::Wait(seconds) => {
                self.now += Duration::from_secs(*seconds);
                for end in &mut self.ends {
                    end.signals.handle_timeout(self.now);
                }
            }
        }
        for end in &self.ends {
            let awaited = &end.signals.unanswered;
            prop_assert!(awaited.len() <= MAX_UNANSWERED);
            prop_assert!(end.signals.taken.len() <= MAX_REMEMBERED);
            let due = end.signals.poll_timeout();
            prop_assert_eq!(due.is_some(), !awaited.is_empty());
            prop_assert!(due.is_none_or(|due| due > self.now && due <= self.now + ANSWER));
            let minute = end.looked.iter().filter(|at| **at + MINUTE > self.now);
            prop_assert!(minute.count() <= MAX_A_MINUTE);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn each_signal_is_taken_once_in_order_and_as_it_was_said(steps in vec(a_step(), 0..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step)?;
        }
        // A server that behaves from now on: what is said arrives.
        world.step(&Step::Wait(60))?;
        for end in 0..2 {
            prop_assert_eq!(world.ends[end].signals.poll_timeout(), None);
            world.step(&Step::Say(end, 7))?;
            let (n, (_, sealed)) = world.ends[end].said.last_key_value().unwrap();
            let (n, sealed) = (*n, sealed.clone());
            world.give(1 - end, &sealed)?;
            prop_assert!(world.ends[1 - end].taken.contains(&n));
            prop_assert!(world.ends[end].signals.answered(n).is_some());
        }
    }
}

#[test]
fn what_a_server_changes_renumbers_or_sends_back_is_refused() {
    let (mut one, mut other) = pair();
    let now = Instant::now();
    let good = sealed(&one.send(now, &over(1)).unwrap());
    for at in [0, 1, 4, 5, 100, good.record.len() - 1] {
        let mut record = good.record.to_vec();
        record[at] ^= 1;
        let changed = Sealed {
            record: record.into(),
            ..good.clone()
        };
        assert_eq!(refused(other.take(now, &changed)), NOT_ACCEPTABLE, "{at}");
    }
    for record in [
        Bytes::new(),
        good.record.slice(..15),
        good.record.slice(1..),
    ] {
        let cut = Sealed {
            record,
            ..good.clone()
        };
        assert_eq!(refused(other.take(now, &cut)), NOT_ACCEPTABLE);
    }
    let renumbered = Sealed {
        n: 1,
        ..good.clone()
    };
    assert_eq!(refused(other.take(now, &renumbered)), NOT_ACCEPTABLE);
    // Of the other direction.
    assert_eq!(refused(one.take(now, &good)), NOT_ACCEPTABLE);
    assert_eq!(other.take(now, &good), Ok(Some(over(1))));
}

#[test]
fn a_signal_that_was_held_back_does_not_come_later() {
    let (mut one, mut other) = pair();
    let now = Instant::now();
    let first = sealed(&one.send(now, &over(1)).unwrap());
    let second = sealed(&one.send(now, &over(2)).unwrap());
    assert_eq!(other.take(now, &second), Ok(Some(over(2))));
    assert_eq!(refused(other.take(now, &first)), UNEXPECTED);
}

#[test]
fn a_server_that_withholds_everything_ends_each_wait_in_20_s() {
    let mut one = end(0);
    let mut now = Instant::now();
    for attempt in 0..100 {
        assert!(one.send(now, &over(attempt)).is_some());
        let due = one.poll_timeout().unwrap();
        assert_eq!(due, now + ANSWER);
        now = due;
        assert!(one.handle_timeout(now).is_some());
        assert_eq!(one.poll_timeout(), None);
    }
}

#[test]
fn a_server_that_withholds_results_makes_no_signal_count_twice() {
    let (mut one, mut other) = pair();
    let mut now = Instant::now();
    let request = one.send(now, &over(1)).unwrap();
    let mut count = 0;
    for _ in 0..100 {
        count += usize::from(other.take(now, &sealed(&request)).unwrap().is_some());
        now += Duration::from_secs(2);
        assert_eq!(one.again(now), std::slice::from_ref(&request));
    }
    assert_eq!(count, 1);
}

#[test]
fn a_server_that_floods_stops_signals_for_a_minute_and_nothing_else() {
    let (mut one, mut other) = pair();
    let now = Instant::now();
    let first = sealed(&one.send(now, &over(1)).unwrap());
    assert_eq!(other.take(now, &first), Ok(Some(over(1))));
    for _ in 0..10_000 {
        let _: Result<Option<Signal>, StanzaError> = other.take(now, &first);
    }
    assert!(other.heard.len() <= MAX_A_MINUTE);
    let second = sealed(&one.send(now, &over(2)).unwrap());
    assert_eq!(refused(other.take(now, &second)), TOO_MUCH);
    assert_eq!(other.take(now + MINUTE, &second), Ok(Some(over(2))));
    // Its own signals are not held up.
    assert!(other.send(now, &over(3)).is_some());
}
