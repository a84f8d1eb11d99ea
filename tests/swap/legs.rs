//! The wire beneath tunnels that move, as a transport: on one leg over a pipe, and on one leg after another.

use std::time::Instant;

use bytes::Bytes;
use xtls_path::{Beginning, Event, Keys, LegId, Place, Role, Wire};

use crate::lines::Line;

/// Two wires, and the legs between them.
pub(crate) struct Legs {
    ends: [Wire; 2],
    /// Those that stand, and those that do not yet or not any more, by their names at both ends.
    legs: Vec<[LegId; 2]>,
    attempt: u8,
    /// Moves until another leg is begun; never, if there is no such number.
    stay: Option<u32>,
    moves: u32,
    now: Instant,
}

impl Legs {
    /// One leg, for good.
    pub(crate) fn one() -> Self {
        Self::new(None)
    }

    /// Another leg after each few steps.
    pub(crate) fn many() -> Self {
        Self::new(Some(3))
    }

    fn new(stay: Option<u32>) -> Self {
        let now = Instant::now();
        let ends = [Role::Client, Role::Server].map(|role| {
            let mut wire = Wire::new(now, role);
            wire.bind(Keys::new(&[7; 32], b"both ends", role));
            wire
        });
        let mut line = Self {
            ends,
            legs: Vec::new(),
            attempt: 0,
            stay,
            moves: 0,
            now,
        };
        line.begin();
        while line.pass() {}
        assert_ne!(line.ends[0].carrying(), Some(LegId::ZERO));
        line
    }

    /// Another pipe stands.
    fn begin(&mut self) {
        self.attempt = self.attempt.wrapping_add(1);
        let number = self.attempt;
        let how = |place| Beginning {
            place,
            attempt: number.into(),
            cid: "p1".into(),
            salt: [number; 32],
            relayed: false,
        };
        let first = self.ends[0].begin(self.now, how(Place::First)).unwrap();
        let second = self.ends[1].begin(self.now, how(Place::Second)).unwrap();
        self.legs.push([first, second]);
    }

    /// Moves what is under way on all legs, a piece at a time.
    fn pass(&mut self) -> bool {
        let mut moved = false;
        for at in 0..self.legs.len() {
            let legs = self.legs[at];
            for end in [0, 1] {
                if let Some(bytes) = self.ends[end].poll_leg(self.now, legs[end], 500) {
                    moved = true;
                    self.ends[1 - end].handle_leg(self.now, legs[1 - end], &bytes);
                }
            }
        }
        while let Some(event) = self.ends[0].poll_event() {
            if let Event::Standing { leg } = event {
                self.ends[0].choose(self.now, leg).unwrap();
                moved = true;
            }
        }
        while self.ends[1].poll_event().is_some() {}
        moved
    }
}

impl Line for Legs {
    fn room(&self, end: usize) -> usize {
        self.ends[end].room()
    }

    fn write(&mut self, end: usize, bytes: Bytes) {
        let len = bytes.len();
        assert_eq!(self.ends[end].write(bytes), len);
    }

    fn read(&mut self, end: usize) -> Option<Bytes> {
        self.ends[end].read(self.now, 4_096)
    }

    fn step(&mut self) -> bool {
        let moved = self.pass();
        if moved && let Some(stay) = self.stay {
            self.moves += 1;
            // One at a time, and as many as there are numbers for salts.
            if self.moves.is_multiple_of(stay) && self.attempt < u8::MAX && self.legs.len() < 200 {
                self.begin();
            }
        }
        moved
    }

    fn cut(&mut self) {
        self.legs.clear();
    }
}

#[test]
fn many_legs_are_many() {
    let mut line = Legs::many();
    let mut read = Vec::new();
    for number in 0..50_u8 {
        line.write(0, vec![number; 1_000].into());
        while line.step() {}
        while let Some(bytes) = line.read(1) {
            read.extend_from_slice(&bytes);
        }
    }
    let written: Vec<u8> = (0..50_u8).flat_map(|number| [number; 1_000]).collect();
    assert_eq!(read, written);
    assert!(line.attempt > 20, "{}", line.attempt);
}
