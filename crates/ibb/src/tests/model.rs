//! Every course that two muxes can take with one or two streams between them: open, refuse, cross, write, close from either side,
//! abort, with chunks, answers and closes that are lost, repeated, bounced, or arrive on the far side of a timeout.
//!
//! The states are those of the real muxes, cloned at each fork. Whatever happened, when nothing is left to happen both ends must
//! have forgotten the stream, each reported its end exactly once, and each request that arrived has its answer.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::time::Instant;

use bytes::Bytes;
use stateright::{Checker, Model, Property};
use xtls_stanza::{Condition, Content, Envelope, ErrorType, Payload, StanzaError};

use super::dump::Dump;
use super::support::*;
use crate::{Allow, Config, Event, Mux, OpenOptions, StreamId, Why, Window};

/// What may happen, at most. Each of it may also not happen, but for the closes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plan {
    opens: [bool; 2],
    writes: [u8; 2],
    aborts: [bool; 2],
    refuses: bool,
    half_close: bool,
    /// No time passes while a stanza is on its way.
    prompt: bool,
    losses: u8,
    doubles: u8,
    bounces: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Open(usize),
    Accept(usize, StreamId),
    Refuse(usize, StreamId),
    Write(usize, StreamId),
    Read(usize, StreamId),
    Close(usize, StreamId),
    Abort(usize, StreamId),
    /// The next stanza to this end.
    Deliver(usize),
    Lose(usize),
    Double(usize),
    Bounce(usize),
    /// Nothing happens until the next deadline.
    Wait,
}

/// What the owner knows of a stream.
#[derive(Clone, Debug, Default)]
struct Told {
    pending: bool,
    closing: bool,
    written: u8,
    received: u8,
    why: Option<Why>,
}

#[derive(Clone, Debug, Default)]
struct Asked {
    /// An open or a close.
    once: bool,
    asked: u8,
    answered: u8,
}

impl Asked {
    /// One answer serves an open or a close that comes again while its stream is known.
    fn is_served(&self) -> bool {
        self.answered == self.asked || self.once && self.answered > 0
    }
}

#[derive(Clone)]
struct End {
    mux: Mux,
    streams: BTreeMap<StreamId, Told>,
    /// Requests that arrived, by their ids.
    asked: BTreeMap<String, Asked>,
}

#[derive(Clone)]
struct World {
    now: Instant,
    ends: [End; 2],
    /// To each end.
    wire: [VecDeque<Envelope>; 2],
    left: Plan,
    /// What is wrong already.
    fault: Option<String>,
    text: String,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.fault, self.text)
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl World {
    fn new(plan: &Plan) -> Self {
        let half_close = seconds(if plan.half_close { 30 } else { 0 });
        let (bytes, chunk) = (2, 1);
        let config = Config::default().window(Window::Fixed { bytes, chunk });
        let config = config.half_close(half_close);
        let ends = [(ROMEO, 1), (JULIET, 2)].map(|(own, seed)| {
            let mut mux = Mux::new(address(own), config.clone(), [seed; 32]);
            mux.allow(Allow::Anyone);
            End {
                mux,
                streams: BTreeMap::new(),
                asked: BTreeMap::new(),
            }
        });
        let mut world = Self {
            now: Instant::now(),
            ends,
            wire: [VecDeque::new(), VecDeque::new()],
            left: plan.clone(),
            fault: None,
            text: String::new(),
        };
        world.describe();
        world
    }

    fn describe(&mut self) {
        let mut dump = Dump::new(self.now);
        for end in &self.ends {
            end.mux.dump(&mut dump);
            dump.word(&end.streams);
            dump.word(
                end.asked
                    .values()
                    .filter(|asked| !asked.is_served())
                    .count(),
            );
        }
        for wire in &self.wire {
            dump.word("wire");
            wire.iter().for_each(|envelope| dump.envelope(envelope));
        }
        dump.word(&self.left);
        self.text = dump.text;
    }

    fn deliver(&mut self, to: usize, envelope: Envelope) {
        let end = &mut self.ends[to];
        if let Content::Set(payload) = &envelope.content {
            let asked = end.asked.entry(envelope.id.clone()).or_default();
            asked.asked += 1;
            asked.once |= matches!(payload, Payload::Open(_) | Payload::Close(_));
        }
        end.mux.handle(self.now, envelope);
    }

    /// The owners hear what there is, and all that can leave leaves.
    fn settle(&mut self) {
        for at in 0..2 {
            let end = &mut self.ends[at];
            while let Some(event) = end.mux.poll_event() {
                match event {
                    Event::Incoming { id, .. } => end.streams.entry(id).or_default().pending = true,
                    Event::Closed { id, close } => {
                        let told = end.streams.entry(id).or_default();
                        if told.why.replace(close.why).is_some() {
                            self.fault = Some(format!("{id} closed twice"));
                        }
                        told.pending = false;
                    }
                    _ => {}
                }
            }
            while let Some(envelope) = end.mux.poll_transmit(self.now) {
                if matches!(envelope.content, Content::Result(_) | Content::Error(_)) {
                    let asked = end.asked.entry(envelope.id.clone()).or_default();
                    asked.answered += 1;
                    if asked.answered > asked.asked {
                        self.fault = Some("answered twice".into());
                    }
                }
                self.wire[1 - at].push_back(envelope);
            }
        }
        self.describe();
    }

    fn quiet(&self) -> bool {
        self.wire.iter().all(VecDeque::is_empty) && self.deadline().is_none()
    }

    fn deadline(&self) -> Option<Instant> {
        let deadlines = self.ends.iter().filter_map(|end| end.mux.poll_timeout());
        deadlines.map(|deadline| deadline.at).min()
    }

    /// What must hold when nothing is left to happen.
    fn is_clean(&self) -> bool {
        let forgotten = self.ends.iter().all(|end| {
            let told = end.streams.values().all(|told| told.why.is_some());
            let answered = end.asked.values().all(Asked::is_served);
            told && answered && end.mux.leftovers() == 0
        });
        forgotten && self.proven(0) && self.proven(1)
    }

    /// An end that reports that all was acknowledged is right: the other end read it, or could have.
    fn proven(&self, at: usize) -> bool {
        let (writer, reader) = (&self.ends[at], &self.ends[1 - at]);
        let mut done = writer
            .streams
            .values()
            .filter(|told| told.why == Some(Why::Done));
        done.all(|told| {
            let mut others = reader.streams.values();
            told.written == 0
                || others.any(|other| {
                    let dropped = matches!(other.why, Some(Why::Aborted | Why::Unread { .. }));
                    other.received == told.written || dropped
                })
        })
    }
}

impl Model for Plan {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (at, end) in world.ends.iter().enumerate() {
            if world.left.opens[at] {
                steps.push(Step::Open(at));
            }
            for (&id, told) in end.streams.iter().filter(|(_, told)| told.why.is_none()) {
                if told.pending {
                    steps.push(Step::Accept(at, id));
                    if world.left.refuses {
                        steps.push(Step::Refuse(at, id));
                    }
                    continue;
                }
                if world.left.writes[at] > 0 && end.mux.room(id) > 0 {
                    steps.push(Step::Write(at, id));
                }
                if end.mux.readable(id) > 0 {
                    steps.push(Step::Read(at, id));
                }
                if !told.closing {
                    steps.push(Step::Close(at, id));
                    if world.left.aborts[at] {
                        steps.push(Step::Abort(at, id));
                    }
                }
            }
            if let Some(first) = world.wire[at].front() {
                steps.push(Step::Deliver(at));
                if world.left.losses > 0 {
                    steps.push(Step::Lose(at));
                }
                if world.left.doubles > 0 {
                    steps.push(Step::Double(at));
                }
                if world.left.bounces > 0 && matches!(first.content, Content::Set(Payload::Data(_)))
                {
                    steps.push(Step::Bounce(at));
                }
            }
        }
        let idle = world.wire.iter().all(VecDeque::is_empty);
        if world.deadline().is_some() && (idle || !self.prompt) {
            steps.push(Step::Wait);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        let now = world.now;
        match step {
            Step::Open(at) => {
                world.left.opens[at] = false;
                let to = world.ends[1 - at].mux.own().clone();
                let end = &mut world.ends[at];
                let id = end.mux.open(now, &to, OpenOptions::default()).ok()?;
                end.streams.insert(id, Told::default());
            }
            Step::Accept(at, id) => {
                let end = &mut world.ends[at];
                end.streams.get_mut(&id)?.pending = false;
                end.mux.stream(now, id).accept(None).ok()?;
            }
            Step::Refuse(at, id) => {
                let end = &mut world.ends[at];
                end.streams.get_mut(&id)?.pending = false;
                let error = StanzaError::new(ErrorType::Cancel, Condition::Conflict);
                end.mux.stream(now, id).refuse(error).ok()?;
            }
            Step::Write(at, id) => {
                world.left.writes[at] -= 1;
                let end = &mut world.ends[at];
                let told = end.streams.get_mut(&id)?;
                let byte = Bytes::copy_from_slice(&[told.written]);
                told.written += 1;
                end.mux.stream(now, id).write(byte).ok()?;
            }
            Step::Read(at, id) => {
                let end = &mut world.ends[at];
                let told = end.streams.get_mut(&id)?;
                let byte = end.mux.stream(now, id).read(1);
                if byte.as_deref() != Some(&[told.received]) {
                    world.fault = Some(format!("{byte:?} was read"));
                }
                told.received += 1;
            }
            Step::Close(at, id) => {
                let end = &mut world.ends[at];
                end.streams.get_mut(&id)?.closing = true;
                end.mux.stream(now, id).close();
            }
            Step::Abort(at, id) => {
                let end = &mut world.ends[at];
                end.streams.get_mut(&id)?.closing = true;
                end.mux.stream(now, id).abort();
            }
            Step::Deliver(to) => {
                let envelope = world.wire[to].pop_front()?;
                world.deliver(to, envelope);
            }
            Step::Lose(to) => {
                world.left.losses -= 1;
                world.wire[to].pop_front()?;
            }
            Step::Double(to) => {
                world.left.doubles -= 1;
                let envelope = world.wire[to].front()?.clone();
                world.deliver(to, envelope);
            }
            Step::Bounce(to) => {
                world.left.bounces -= 1;
                let envelope = world.wire[to].pop_front()?;
                let error = StanzaError::new(ErrorType::Wait, Condition::RecipientUnavailable);
                world.wire[1 - to].push_back(envelope.error(error));
            }
            Step::Wait => {
                world.now = world.deadline()?.max(now);
                for end in &mut world.ends {
                    end.mux.handle_timeout(world.now);
                }
            }
        }
        world.settle();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no rule is broken", |_, world: &World| {
                world.fault.is_none()
            }),
            // A dead end that is not clean is a deadlock or a stream that is open at one end.
            Property::always(
                "where nothing can happen, all is over",
                |plan: &Self, world| {
                    let mut steps = Vec::new();
                    plan.actions(world, &mut steps);
                    !steps.is_empty() || (world.quiet() && world.is_clean())
                },
            ),
            Property::sometimes("all ends in order", |_, world: &World| {
                let mut all = world.ends.iter().flat_map(|end| end.streams.values());
                world.quiet() && all.all(|told| told.why == Some(Why::Done))
            }),
        ]
    }
}

fn exhaust(name: &str, plan: Plan) {
    let checker = plan.checker().threads(2).spawn_bfs().join();
    eprintln!(
        "{name}: {} states, {} transitions, {} deep",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth()
    );
    checker.assert_properties();
}

#[test]
fn each_course_of_one_stream_with_one_fault_ends_at_both_ends() {
    let plan = Plan {
        opens: [true, false],
        writes: [1, 0],
        losses: 1,
        doubles: 1,
        ..Plan::default()
    };
    exhaust("one stream", plan);
}

#[test]
fn each_course_of_two_opens_that_cross_ends_at_both_ends() {
    let plan = Plan {
        opens: [true, true],
        prompt: true,
        ..Plan::default()
    };
    exhaust("opens that cross", plan);
}

#[test]
fn each_course_of_a_refused_or_aborted_stream_ends_at_both_ends() {
    let plan = Plan {
        opens: [true, false],
        writes: [1, 0],
        aborts: [true, true],
        refuses: true,
        losses: 1,
        ..Plan::default()
    };
    exhaust("aborts", plan);
}

#[test]
fn each_course_of_closes_that_race_with_chunks_ends_at_both_ends() {
    let plan = Plan {
        opens: [true, false],
        writes: [1, 1],
        losses: 1,
        ..Plan::default()
    };
    exhaust("closes that race", plan);
}

#[test]
fn each_course_of_a_stream_that_is_half_closed_ends_at_both_ends() {
    let plan = Plan {
        opens: [true, false],
        writes: [0, 1],
        half_close: true,
        losses: 1,
        doubles: 1,
        ..Plan::default()
    };
    exhaust("half-close", plan);
}

#[test]
fn each_course_of_chunks_that_bounce_ends_at_both_ends() {
    let plan = Plan {
        opens: [true, false],
        writes: [2, 0],
        losses: 1,
        bounces: 2,
        ..Plan::default()
    };
    exhaust("bounces", plan);
}
