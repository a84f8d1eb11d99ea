//! What an idle end holds, and how often bytes are copied.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing, and any moment will do"
)]

use std::time::{Duration, Instant};

use allocation_counter::measure;
use xtls_path::bytes::Bytes;
use xtls_path::{Beginning, Keys, LegId, Place, Role, Wire};

/// Bytes of one write, as large as a TLS record.
const RECORD: usize = 16_384;

struct Pair {
    ends: [Wire; 2],
    legs: [LegId; 2],
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let ends = [Role::Client, Role::Server];
        let mut ends = ends.map(|role| Wire::new(now, role));
        for wire in &mut ends {
            wire.bind(Keys::new(&[7; 32], b"ends", wire.role()));
        }
        let places = [Place::First, Place::Second];
        let legs = [0, 1].map(|end: usize| {
            let how = Beginning {
                place: places[end],
                attempt: 1,
                cid: "r1".into(),
                salt: [u8::try_from(end).unwrap(); 32],
                relayed: false,
            };
            ends[end].begin(now, how).unwrap()
        });
        let mut pair = Self { ends, legs, now };
        pair.pass();
        pair.ends[0].choose(now, pair.legs[0]).unwrap();
        pair.pass();
        pair
    }

    fn pass(&mut self) {
        loop {
            let mut moved = false;
            for end in [0, 1] {
                while let Some(bytes) = self.ends[end].poll_leg(self.now, self.legs[end], 65_536) {
                    self.ends[1 - end].handle_leg(self.now, self.legs[1 - end], &bytes);
                    moved = true;
                }
                while self.ends[end].poll_event().is_some() {}
            }
            if !moved {
                return;
            }
        }
    }

    fn carry(&mut self, bytes: &Bytes, times: usize) {
        for _ in 0..times {
            for end in [0, 1] {
                assert_eq!(self.ends[end].write(bytes.clone()), bytes.len());
            }
            self.pass();
            for end in [0, 1] {
                while self.ends[end].read(self.now, RECORD).is_some() {}
            }
            self.pass();
        }
    }

    /// Nothing is said for a while.
    fn rest(&mut self) {
        for _ in 0..10 {
            self.now += Duration::from_millis(100);
            for end in [0, 1] {
                self.ends[end].handle_timeout(self.now);
            }
            self.pass();
        }
        for end in &self.ends {
            assert_eq!((end.unread(), end.unconfirmed()), (0, 0));
        }
    }
}

#[test]
fn an_idle_end_holds_at_most_2_kib() {
    let bytes = Bytes::from(vec![1; RECORD]);
    let mut pair = None;
    let held = measure(|| {
        let mut busy = Pair::new();
        busy.carry(&bytes, 50);
        busy.carry(&bytes.slice(..10), 50);
        busy.rest();
        pair = Some(busy);
    });
    let each = held.bytes_current / 2 + i64::try_from(size_of::<Wire>()).unwrap();
    assert!(each <= 2_048, "{each} bytes");
    drop(pair);
}

#[test]
fn bytes_are_copied_once() {
    let mut pair = Pair::new();
    let bytes = Bytes::from(vec![1; RECORD]);
    pair.carry(&bytes, 10);
    let cost = measure(|| pair.carry(&bytes, 100));
    let carried = 2 * 100 * RECORD as u64;
    // A copy is where memory is asked for; what frames and lists of pieces take is beside it.
    assert!(
        cost.bytes_total < carried + carried / 8,
        "{} for {carried}",
        cost.bytes_total
    );
}
