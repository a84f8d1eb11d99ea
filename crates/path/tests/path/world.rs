//! Two ends, the pipes between them, and a judge of what is read.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use xtls_path::bytes::Bytes;
use xtls_path::{Beginning, Cut, Event, Keys, LegEnd, LegId, Place, Role, Wire};

/// Which end; the client is the first.
pub(crate) const CLIENT: usize = 0;
pub(crate) const SERVER: usize = 1;

/// A small generator, so that a seed is a course.
#[derive(Debug, Clone)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit.max(1)
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// The byte at an offset of what an end writes: another one nearby and in the other direction.
fn byte(end: usize, offset: u64) -> u8 {
    let mixed = (offset ^ (end as u64) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

/// Part of a stream.
pub(crate) fn part(end: usize, from: u64, length: usize) -> Vec<u8> {
    (from..from + length as u64)
        .map(|at| byte(end, at))
        .collect()
}

/// A pipe: what is under way to each end, and what it is called there.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) ids: [Option<LegId>; 2],
    /// By the end that will get it.
    pub(crate) under_way: [VecDeque<u8>; 2],
    /// Ended for this end once it has read what is under way.
    ended: [bool; 2],
    /// Nothing passes.
    pub(crate) silent: bool,
    /// Leg 0: bytes whose acknowledgement is under way to this end.
    acknowledged: [u64; 2],
    /// What has passed to this end.
    pub(crate) passed: [u64; 2],
}

pub(crate) struct World {
    pub(crate) ends: [Wire; 2],
    pub(crate) now: Instant,
    pub(crate) pipes: BTreeMap<usize, Pipe>,
    pub(crate) events: [Vec<Event>; 2],
    pub(crate) written: [u64; 2],
    pub(crate) read: [u64; 2],
    /// An end whose next byte is not the one that was written: TLS would have ended it.
    pub(crate) altered: [bool; 2],
    next_pipe: usize,
    attempt: u64,
    capacity: usize,
}

pub(crate) fn keys(role: Role) -> Keys {
    Keys::new(&[7; 32], b"romeo juliet", role)
}

/// A wire on leg 0 that may move.
pub(crate) fn bound(now: Instant, keys: Keys, role: Role) -> Wire {
    let mut wire = Wire::new(now, role);
    wire.bind(keys);
    wire
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let zero = Pipe {
            ids: [Some(LegId::ZERO); 2],
            ..Pipe::default()
        };
        Self {
            ends: [Role::Client, Role::Server].map(|role| bound(now, keys(role), role)),
            now,
            pipes: BTreeMap::from([(0, zero)]),
            events: Default::default(),
            written: [0; 2],
            read: [0; 2],
            altered: [false; 2],
            next_pipe: 1,
            attempt: 0,
            capacity: 100_000,
        }
    }

    /// A new pipe for the next attempt, with a leg begun on it at both ends.
    pub(crate) fn begin(&mut self, client: Place, relayed: bool) -> usize {
        self.attempt += 1;
        let pipe = self.next_pipe;
        self.next_pipe += 1;
        let server = match client {
            Place::First => Place::Second,
            Place::Second => Place::First,
        };
        let ids = [(CLIENT, client), (SERVER, server)].map(|(end, place)| {
            let mut salt = [end as u8; 32];
            salt[..8].copy_from_slice(&self.attempt.to_be_bytes());
            let how = Beginning {
                place,
                attempt: self.attempt,
                cid: "r1".into(),
                salt,
                relayed,
            };
            self.ends[end].begin(self.now, how).ok()
        });
        self.pipes.insert(
            pipe,
            Pipe {
                ids,
                ..Pipe::default()
            },
        );
        pipe
    }

    /// The client chooses, if the pipe stands there.
    pub(crate) fn choose(&mut self, pipe: usize) -> bool {
        let id = self.pipes.get(&pipe).and_then(|pipe| pipe.ids[CLIENT]);
        id.is_some_and(|id| self.ends[CLIENT].choose(self.now, id).is_ok())
    }

    /// What an end writes: as much as it has room for.
    pub(crate) fn write(&mut self, end: usize, length: usize) -> usize {
        let bytes = part(end, self.written[end], length.min(self.ends[end].room()));
        let taken = self.ends[end].write(Bytes::from(bytes));
        self.written[end] += taken as u64;
        taken
    }

    /// What an end reads, compared with what the other one has written.
    pub(crate) fn read(&mut self, end: usize, most: usize) -> usize {
        let mut count = 0;
        while count < most {
            let Some(bytes) = self.ends[end].read(self.now, most - count) else {
                break;
            };
            let expected = part(1 - end, self.read[end], bytes.len());
            self.altered[end] |= bytes != expected;
            self.read[end] += bytes.len() as u64;
            count += bytes.len();
        }
        assert!(
            self.altered[end] || self.read[end] <= self.written[1 - end],
            "more is read than was written"
        );
        count
    }

    /// Bytes of an end go into a pipe, if it has room.
    pub(crate) fn send(&mut self, pipe: usize, from: usize, most: usize) -> usize {
        let to = 1 - from;
        let mut count = 0;
        while let Some(found) = self.pipes.get_mut(&pipe) {
            let room = self.capacity.saturating_sub(found.under_way[to].len());
            let room = room.min(most - count);
            let Some(id) = found.ids[from] else { break };
            let Some(bytes) = self.ends[from].poll_leg(self.now, id, room) else {
                break;
            };
            assert!(!bytes.is_empty() && bytes.len() <= room);
            found.under_way[to].extend(&bytes);
            count += bytes.len();
            self.look(from);
        }
        self.look(from);
        count
    }

    /// Bytes come out of a pipe at an end.
    pub(crate) fn deliver(&mut self, pipe: usize, to: usize, most: usize) -> usize {
        let Some(found) = self.pipes.get_mut(&pipe) else {
            return 0;
        };
        if found.silent {
            return 0;
        }
        let Some(id) = found.ids[to] else {
            found.under_way[to].clear();
            return 0;
        };
        let mut count = found.under_way[to].len().min(most);
        if id == LegId::ZERO {
            count = count.min(self.ends[to].wants_of_zero());
        }
        let bytes: Vec<u8> = found.under_way[to].drain(..count).collect();
        found.passed[to] += count as u64;
        if count > 0 {
            assert_eq!(self.ends[to].handle_leg(self.now, id, &bytes), count);
            if id == LegId::ZERO {
                found.acknowledged[1 - to] += count as u64;
            }
        }
        if found.ended[to] && found.under_way[to].is_empty() {
            found.ids[to] = None;
            self.ends[to].leg_ended(id);
        }
        self.look(to);
        count
    }

    /// The acknowledgements of leg 0 that are under way to an end arrive.
    pub(crate) fn acknowledge(&mut self, to: usize) {
        let zero = self.pipes.get_mut(&0).unwrap();
        let count = std::mem::take(&mut zero.acknowledged[to]);
        if !zero.silent && count > 0 {
            self.ends[to].handle_zero_acknowledged(self.now, count);
        }
        self.look(to);
    }

    /// What an end says about its legs: pipes are closed when it wants that.
    pub(crate) fn look(&mut self, end: usize) {
        while let Some(event) = self.ends[end].poll_event() {
            if let Event::Close { leg, .. } = event {
                for pipe in self.pipes.values_mut() {
                    if pipe.ids[end] == Some(leg) {
                        pipe.ids[end] = None;
                        pipe.ended[1 - end] = true;
                    }
                }
            }
            self.events[end].push(event);
        }
        assert!(self.ends[end].unread() <= 4 << 20, "held beyond the limit");
        assert!(
            self.ends[end].unconfirmed() <= 5 << 20,
            "kept beyond the limit"
        );
    }

    /// A pipe breaks: what is under way is lost, and both ends find out.
    pub(crate) fn kill(&mut self, pipe: usize) {
        if let Some(found) = self.pipes.get_mut(&pipe) {
            found.under_way = Default::default();
            for end in [CLIENT, SERVER] {
                if let Some(id) = found.ids[end].take() {
                    self.ends[end].leg_ended(id);
                }
            }
        }
        self.look(CLIENT);
        self.look(SERVER);
    }

    /// Everything passes that can, without the time.
    pub(crate) fn flow(&mut self) {
        loop {
            let mut moved = 0;
            for pipe in self.pipes.keys().copied().collect::<Vec<_>>() {
                for end in [CLIENT, SERVER] {
                    moved += self.send(pipe, end, usize::MAX);
                    moved += self.deliver(pipe, 1 - end, usize::MAX);
                }
            }
            self.acknowledge(CLIENT);
            self.acknowledge(SERVER);
            if moved == 0 {
                return;
            }
        }
    }

    /// The same, and both ends read everything.
    pub(crate) fn drain(&mut self) {
        loop {
            self.flow();
            if self.read(CLIENT, usize::MAX) + self.read(SERVER, usize::MAX) == 0 {
                return;
            }
        }
    }

    /// The time goes on by this much, with every timer at its time.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut steps = 0;
        while let Some(at) = self.timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            for end in [CLIENT, SERVER] {
                self.ends[end].handle_timeout(self.now);
                self.look(end);
            }
            self.flow();
            steps += 1;
            assert!(steps < 10_000, "a timer that does not go on");
        }
        self.now = until;
    }

    fn timeout(&self) -> Option<Instant> {
        self.ends.iter().filter_map(Wire::poll_timeout).min()
    }

    /// A new pipe that works: both ends move there, and everything arrives.
    pub(crate) fn heal(&mut self) -> usize {
        let pipe = self.begin(Place::First, false);
        self.flow();
        assert!(self.choose(pipe), "{:?}", self.events);
        self.drain();
        self.pass(Duration::from_millis(500));
        self.drain();
        pipe
    }

    /// Everything that was written was read, once and in order.
    #[track_caller]
    pub(crate) fn all_arrived(&self) {
        assert_eq!(self.altered, [false; 2]);
        assert_eq!(self.read, [self.written[SERVER], self.written[CLIENT]]);
    }

    /// How a pipe ended for an end, by its name there.
    pub(crate) fn end_of(&self, end: usize, leg: LegId) -> Option<LegEnd> {
        self.events[end].iter().find_map(|event| match event {
            Event::Close { leg: closed, end } if *closed == leg => Some(*end),
            _ => None,
        })
    }

    pub(crate) fn cut(&self, end: usize) -> Option<Cut> {
        self.events[end].iter().find_map(|event| match event {
            Event::Cut { why } => Some(*why),
            _ => None,
        })
    }
}
