//! A stream beside a reference that is as simple as can be: what one end accepted is a row of bytes, what the other has read is a
//! beginning of it. proptest draws the calls and the faults, one at a time, and shrinks the row of them when something is wrong.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use xtls_stanza::{Condition, Content, Envelope, ErrorType, StanzaError};

use super::support::*;
use crate::{Allow, By, Close, Config, Event, Mux, OpenOptions, StreamId, Why, Window};

/// What may happen to a stream. The number is the end.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, u16),
    Read(usize, u16),
    Close(usize),
    /// So many stanzas arrive at this end.
    Deliver(usize, u8),
    /// The next stanza to this end comes twice.
    Double(usize),
    Lose(usize),
    /// The next request to this end comes back.
    Bounce(usize, ErrorType, Condition),
    /// Stanzas stay where they are for so long.
    Delay(Duration),
}

/// The reference: how much is possible, so that the draws are sensible.
#[derive(Clone, Debug)]
struct Reference {
    closed: [bool; 2],
    /// A stanza was lost, or came back with anything but `wait`.
    harmed: bool,
    delayed: Duration,
}

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self {
            closed: [false; 2],
            harmed: false,
            delayed: Duration::ZERO,
        })
        .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let end = || 0..2usize;
        let kinds = prop_oneof![4 => Just(ErrorType::Wait), 1 => Just(ErrorType::Cancel)];
        let conditions = prop::sample::select(Condition::ALL.to_vec());
        let closes = u32::from(!state.closed[0] || !state.closed[1]);
        prop_oneof![
            8 => (end(), 1..3000u16).prop_map(|(end, len)| Step::Write(end, len)),
            8 => (end(), 1..3000u16).prop_map(|(end, len)| Step::Read(end, len)),
            16 => (end(), 1..8u8).prop_map(|(end, count)| Step::Deliver(end, count)),
            2 => end().prop_map(Step::Double),
            1 => end().prop_map(Step::Lose),
            2 => (end(), kinds, conditions).prop_map(|(end, kind, condition)| Step::Bounce(end, kind, condition)),
            3 => prop_oneof![3 => 1..500u64, 1 => 1..100_000u64].prop_map(|ms| Step::Delay(millis(ms))),
            closes => end().prop_map(Step::Close),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        match step {
            Step::Close(end) => state.closed[*end] = true,
            Step::Lose(_) | Step::Bounce(..) => state.harmed = true,
            Step::Delay(time) => state.delayed += *time,
            Step::Write(..) | Step::Read(..) | Step::Deliver(..) | Step::Double(_) => {}
        }
        state
    }
}

/// The two muxes, and the rows of bytes.
struct Real {
    now: Instant,
    muxes: [Mux; 2],
    ids: [StreamId; 2],
    wire: [VecDeque<Envelope>; 2],
    accepted: [Vec<u8>; 2],
    read: [Vec<u8>; 2],
    close: [Option<Close>; 2],
}

impl Real {
    /// An open stream, its open and answer behind it.
    fn open() -> Self {
        let now = Instant::now();
        let window = Window::Fixed {
            bytes: 2048,
            chunk: 512,
        };
        let mut muxes = [(ROMEO, 1), (JULIET, 2)].map(|(own, seed)| {
            let mut mux = Mux::new(address(own), Config::default().window(window), [seed; 32]);
            mux.allow(Allow::Anyone);
            mux
        });
        let ours = muxes[0]
            .open(now, &address(JULIET), OpenOptions::default())
            .unwrap();
        let open = muxes[0].poll_transmit(now).unwrap();
        muxes[1].handle(now, open);
        let Some(Event::Incoming { id: theirs, .. }) = muxes[1].poll_event() else {
            panic!("no open")
        };
        muxes[1].stream(now, theirs).accept(None).unwrap();
        let answer = muxes[1].poll_transmit(now).unwrap();
        muxes[0].handle(now, answer);
        Self {
            now,
            muxes,
            ids: [ours, theirs],
            wire: [VecDeque::new(), VecDeque::new()],
            accepted: [Vec::new(), Vec::new()],
            read: [Vec::new(), Vec::new()],
            close: [None, None],
        }
    }

    fn settle(&mut self) {
        for at in 0..2 {
            while let Some(event) = self.muxes[at].poll_event() {
                assert!(self.close[at].is_none(), "{event:?} after the end");
                if let Event::Closed { close, .. } = event {
                    self.close[at] = Some(close);
                }
            }
            while let Some(envelope) = self.muxes[at].poll_transmit(self.now) {
                self.wire[1 - at].push_back(envelope);
            }
        }
    }

    fn read(&mut self, at: usize, len: usize) -> bool {
        let bytes = self.muxes[at].stream(self.now, self.ids[at]).read(len);
        self.read[at].extend_from_slice(bytes.as_deref().unwrap_or_default());
        bytes.is_some()
    }

    fn expire(&mut self) {
        for mux in &mut self.muxes {
            mux.handle_timeout(self.now);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(at, len) => {
                let from = self.accepted[at].len();
                let bytes: Bytes = pattern(from + usize::from(len)).split_off(from).into();
                let taken = self.muxes[at]
                    .stream(self.now, self.ids[at])
                    .write(bytes.clone());
                self.accepted[at].extend_from_slice(&bytes[..taken.unwrap_or(0)]);
            }
            Step::Read(at, len) => drop(self.read(at, usize::from(len))),
            Step::Close(at) => self.muxes[at].stream(self.now, self.ids[at]).close(),
            Step::Deliver(to, count) => {
                for _ in 0..count {
                    let Some(envelope) = self.wire[to].pop_front() else {
                        break;
                    };
                    self.muxes[to].handle(self.now, envelope);
                }
            }
            Step::Double(to) => {
                if let Some(envelope) = self.wire[to].front().cloned() {
                    self.muxes[to].handle(self.now, envelope);
                }
            }
            Step::Lose(to) => drop(self.wire[to].pop_front()),
            Step::Bounce(to, kind, condition) => {
                if let Some(envelope) = self.wire[to].pop_front() {
                    if matches!(envelope.content, Content::Set(_)) {
                        let error = StanzaError::new(kind, condition);
                        self.wire[1 - to].push_back(envelope.error(error));
                    } else {
                        self.muxes[to].handle(self.now, envelope);
                    }
                }
            }
            Step::Delay(time) => {
                self.now += time;
                self.expire();
            }
        }
        self.settle();
    }

    /// No more faults: everything arrives, both read and close, and time passes until nothing is due.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for at in 0..2 {
                self.muxes[at].stream(self.now, self.ids[at]).close();
                while self.read(at, usize::MAX) {
                    moved = true;
                }
            }
            self.settle();
            for to in 0..2 {
                while let Some(envelope) = self.wire[to].pop_front() {
                    self.muxes[to].handle(self.now, envelope);
                    moved = true;
                }
            }
            self.settle();
            if moved {
                continue;
            }
            let due = self
                .muxes
                .iter()
                .filter_map(Mux::poll_timeout)
                .map(|due| due.at)
                .min();
            let Some(due) = due else {
                return;
            };
            self.now = self.now.max(due);
            self.expire();
            self.settle();
        }
        panic!("the stream does not end");
    }
}

struct Streams;

impl StateMachineTest for Streams {
    type SystemUnderTest = Real;
    type Reference = Reference;

    fn init_test(_: &Reference) -> Real {
        Real::open()
    }

    fn apply(mut real: Real, _: &Reference, step: Step) -> Real {
        real.step(step);
        real
    }

    fn check_invariants(real: &Real, _: &Reference) {
        for at in 0..2 {
            let (from, to) = (&real.accepted[at], &real.read[1 - at]);
            assert!(from.starts_with(to), "other bytes came out than went in");
            let held = real.muxes[1 - at].readable(real.ids[1 - at]);
            assert!(to.len() + held <= from.len(), "more came than went in");
            if let Some(stats) = real.muxes[at].stats(real.ids[at]) {
                assert!(stats.in_flight <= 2048, "{stats:?}");
            }
            if real.close[at]
                == Some(Close {
                    by: By::Us,
                    why: Why::Done,
                })
            {
                assert!(to.len() + held == from.len() || real.close[1 - at].is_some());
            }
        }
    }

    fn teardown(mut real: Real, reference: Reference) {
        real.finish();
        for at in 0..2 {
            let close = real.close[at]
                .clone()
                .expect("every stream ends with a reason");
            let (from, to) = (&real.accepted[at], &real.read[1 - at]);
            assert!(from.starts_with(to));
            if close.why == Why::Done {
                assert_eq!(from.len(), to.len(), "done, and not all arrived");
            }
            // Five seconds are the shortest limit of all.
            if !reference.harmed && reference.delayed < seconds(5) {
                assert_eq!(close.why, Why::Done, "nothing had gone wrong");
            }
            assert_eq!(real.muxes[at].leftovers(), 0);
        }
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn bytes_out_are_bytes_in_under_any_schedule(sequential 1..120 => Streams);
}
