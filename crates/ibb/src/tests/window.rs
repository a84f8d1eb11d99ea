//! The window controller, alone, on paths made of two numbers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::support::*;
use crate::window::{Controller, Window};

/// A path: every chunk takes `per_chunk` plus `per_byte` for each byte, one after the other, and
/// its answer comes `delay` later.
#[derive(Clone, Copy)]
struct Path {
    per_chunk: Duration,
    per_byte: Duration,
    delay: Duration,
}

/// A sender on such a path.
struct Drive {
    now: Instant,
    busy: Instant,
    /// When the answer comes, when it was sent, bytes, mark.
    flight: VecDeque<(Instant, Instant, usize, u64)>,
    in_flight: usize,
}

impl Drive {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            now,
            busy: now,
            flight: VecDeque::new(),
            in_flight: 0,
        }
    }

    /// Sends as fast as the controller lets it, for `time`; returns what it ends with.
    fn go(&mut self, control: &mut Controller, path: Path, time: Duration) -> (usize, usize) {
        let until = self.now + time;
        while self.now < until {
            while self.in_flight == 0 || self.in_flight + control.chunk() <= control.window() {
                let len = control.chunk();
                let mark = control.on_sent(self.now, len);
                let cost = path.per_chunk + path.per_byte * u32::try_from(len).unwrap();
                self.busy = self.busy.max(self.now) + cost;
                self.flight
                    .push_back((self.busy + path.delay, self.now, len, mark));
                self.in_flight += len;
            }
            control.on_full();
            let (at, sent, len, mark) = self.flight.pop_front().unwrap();
            self.now = self.now.max(at);
            self.in_flight -= len;
            control.on_acked(self.now, len, mark, self.now - sent);
        }
        (control.window(), control.chunk())
    }

    /// The writer has nothing more for a while: what is under way arrives, then nothing happens.
    fn pause(&mut self, control: &mut Controller, time: Duration) {
        while let Some((at, sent, len, mark)) = self.flight.pop_front() {
            self.now = self.now.max(at);
            self.in_flight -= len;
            control.on_acked(self.now, len, mark, self.now - sent);
        }
        self.now += time;
    }

    /// All that is under way is this much later, and then comes at once.
    fn stall(&mut self, time: Duration) {
        let at = self.now + time;
        for flight in &mut self.flight {
            flight.0 = flight.0.max(at);
        }
        self.busy = at;
    }
}

fn drive(control: &mut Controller, path: Path, time: Duration) -> (usize, usize) {
    Drive::new().go(control, path, time)
}

fn nanos(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

#[test]
fn it_starts_with_16_kib_in_chunks_of_at_most_4096() {
    let control = Controller::new(Window::default(), 65535);
    assert_eq!((control.window(), control.chunk()), (16 * 1024, 4096));
    let control = Controller::new(Window::default(), 1000);
    assert_eq!((control.window(), control.chunk()), (16 * 1024, 1000));
    let control = Controller::new(Window::Adaptive { max: 5000 }, 65535);
    assert_eq!((control.window(), control.chunk()), (5000, 4096));
}

#[test]
fn fixed_settings_stay() {
    let path = Path {
        per_chunk: millis(1),
        per_byte: nanos(100),
        delay: seconds(5),
    };
    for (window, block, expected) in [
        (Window::OneChunk, 65535, (4096, 4096)),
        (Window::OneChunk, 1000, (1000, 1000)),
        (
            Window::Fixed {
                bytes: 10_000,
                chunk: 3000,
            },
            65535,
            (10_000, 3000),
        ),
        (
            Window::Fixed {
                bytes: 10,
                chunk: 3000,
            },
            2000,
            (2000, 2000),
        ),
        (Window::Fixed { bytes: 0, chunk: 0 }, 2000, (1, 1)),
    ] {
        let mut control = Controller::new(window, block);
        assert_eq!((control.window(), control.chunk()), expected);
        control.on_trouble();
        assert_eq!(drive(&mut control, path, seconds(600)), expected);
    }
}

#[test]
fn a_long_path_gets_a_large_window_and_no_more_than_the_most() {
    let path = Path {
        per_chunk: nanos(0),
        per_byte: nanos(1),
        delay: seconds(1),
    };
    let mut control = Controller::new(Window::default(), 4096);
    assert_eq!(drive(&mut control, path, seconds(60)), (1 << 20, 4096));
    let mut control = Controller::new(Window::Adaptive { max: 100_000 }, 4096);
    assert_eq!(drive(&mut control, path, seconds(60)), (100_000, 4096));
}

#[test]
fn chunks_grow_where_each_stanza_is_dear() {
    let path = Path {
        per_chunk: millis(5),
        per_byte: nanos(10),
        delay: millis(1),
    };
    let mut control = Controller::new(Window::default(), 65535);
    let (_, chunk) = drive(&mut control, path, seconds(60));
    assert_eq!(chunk, 65535);
    // A smaller block is the end of it.
    let mut control = Controller::new(Window::default(), 10_000);
    assert_eq!(drive(&mut control, path, seconds(60)).1, 10_000);
}

#[test]
fn the_chunk_grows_before_the_window_and_with_it() {
    // Each chunk and each round trip is dear.
    let path = Path {
        per_chunk: millis(1),
        per_byte: nanos(10),
        delay: millis(20),
    };
    let (mut control, mut drive) = (Controller::new(Window::default(), 65_535), Drive::new());
    while (control.window(), control.chunk()) == (16 * 1024, 4096) {
        drive.go(&mut control, path, millis(1));
    }
    assert_eq!((control.window(), control.chunk()), (32 * 1024, 16 * 1024));
    // Where only the window helps, a stanza holds a sixty-fourth of it all the same.
    let path = Path {
        per_chunk: nanos(0),
        per_byte: nanos(1),
        delay: seconds(1),
    };
    let mut control = Controller::new(Window::default(), 65_535);
    let (window, chunk) = drive.go(&mut control, path, seconds(60));
    assert_eq!(window, 1 << 20);
    assert!(chunk >= window / 64, "{chunk}");
}

#[test]
fn what_one_stream_has_found_holds_for_another_and_less_than_it_has_does_not() {
    let path = Path {
        per_chunk: millis(5),
        per_byte: nanos(10),
        delay: millis(1),
    };
    let mut finder = Controller::new(Window::default(), 65_535);
    drive(&mut finder, path, seconds(60));
    let found = (finder.window(), finder.chunk());
    let mut other = Controller::new(Window::default(), 65_535);
    let start = other.path();
    other.on_path(finder.path());
    assert_eq!((other.window(), other.chunk()), found);
    other.on_path(start);
    assert_eq!((other.window(), other.chunk()), found);
    // Within its own limits, and not where the owner has said what it is.
    let mut small = Controller::new(Window::Adaptive { max: 40_000 }, 10_000);
    small.on_path(finder.path());
    assert_eq!((small.window(), small.chunk()), (40_000, 10_000));
    let mut fixed = Controller::new(Window::OneChunk, 65_535);
    fixed.on_path(finder.path());
    assert_eq!((fixed.window(), fixed.chunk()), (4096, 4096));
}

#[test]
fn chunks_stay_small_where_each_byte_is_dear() {
    let path = Path {
        per_chunk: nanos(1000),
        per_byte: nanos(1000),
        delay: millis(1),
    };
    let mut control = Controller::new(Window::default(), 65535);
    let (window, chunk) = drive(&mut control, path, seconds(60));
    assert!(chunk <= 8192 && window <= 65536, "{window} {chunk}");
}

#[test]
fn a_wait_of_more_than_two_seconds_halves_the_window_then_the_chunk() {
    // 4096 bytes take four seconds.
    let path = Path {
        per_chunk: nanos(0),
        per_byte: nanos(1_000_000),
        delay: millis(100),
    };
    let mut control = Controller::new(Window::default(), 65535);
    let (window, chunk) = drive(&mut control, path, seconds(600));
    assert!(
        window <= 4096 && (1024..=4096).contains(&chunk),
        "{window} {chunk}"
    );
}

#[test]
fn one_full_window_of_late_answers_halves_once() {
    let start = Instant::now();
    let mut control = Controller::new(Window::default(), 4096);
    let first = control.on_sent(start, 4096);
    control.on_acked(start, 4096, first, millis(10));
    let marks: Vec<u64> = (0..4).map(|_| control.on_sent(start, 4096)).collect();
    for mark in marks {
        control.on_acked(start + seconds(3), 4096, mark, seconds(3));
    }
    assert_eq!(control.window(), 8 * 1024);
    let mark = control.on_sent(start, 4096);
    control.on_acked(start + seconds(6), 4096, mark, seconds(3));
    assert_eq!(control.window(), 4096);
}

#[test]
fn a_delay_that_never_was_shorter_is_no_wait() {
    let path = Path {
        per_chunk: nanos(0),
        per_byte: nanos(1),
        delay: seconds(10),
    };
    let mut control = Controller::new(Window::default(), 4096);
    assert!(drive(&mut control, path, seconds(600)).0 > 100_000);
}

#[test]
fn a_writer_that_does_not_fill_the_window_learns_nothing() {
    let start = Instant::now();
    let mut control = Controller::new(Window::default(), 65535);
    for n in 0..1000 {
        let now = start + millis(n * 100);
        let mark = control.on_sent(now, 4096);
        control.on_acked(now + millis(1), 4096, mark, millis(1));
    }
    assert_eq!((control.window(), control.chunk()), (16 * 1024, 4096));
}

#[test]
fn a_path_that_recovers_is_used_again() {
    let slow = Path {
        per_chunk: nanos(0),
        per_byte: nanos(1_000_000),
        delay: millis(100),
    };
    let fast = Path {
        per_chunk: nanos(0),
        per_byte: nanos(10),
        delay: millis(100),
    };
    let (mut control, mut path) = (Controller::new(Window::default(), 4096), Drive::new());
    let before = path.go(&mut control, slow, seconds(600)).0;
    let after = path.go(&mut control, fast, seconds(120)).0;
    assert!(before <= 4096 && after > 500_000, "{before} {after}");
}

#[test]
fn a_path_that_becomes_slow_is_not_felt_out_by_halves() {
    let fast = Path {
        per_chunk: nanos(0),
        per_byte: nanos(1000),
        delay: millis(200),
    };
    let slow = Path {
        per_byte: nanos(130_000),
        ..fast
    };
    let (mut control, mut path) = (Controller::new(Window::default(), 4096), Drive::new());
    let before = path.go(&mut control, fast, seconds(60)).0;
    let after = path.go(&mut control, slow, seconds(8)).0;
    assert!(before >= 200_000, "{before}");
    assert!((8192..=16_384).contains(&after), "{after}");
}

#[test]
fn one_stall_of_a_fast_path_does_not_take_most_of_the_window() {
    let fast = Path {
        per_chunk: nanos(0),
        per_byte: nanos(1000),
        delay: millis(200),
    };
    let (mut control, mut path) = (Controller::new(Window::default(), 4096), Drive::new());
    let before = path.go(&mut control, fast, seconds(60)).0;
    path.stall(seconds(3));
    path.go(&mut control, fast, seconds(4));
    let after = control.window();
    assert!(after >= before / 8, "{after} of {before}");
    let after = path.go(&mut control, fast, seconds(60)).0;
    assert!(after >= before / 3, "{after} of {before}");
}

#[test]
fn a_writer_that_pauses_says_nothing_of_the_path() {
    // 16 KiB fill it, in pieces of any size.
    let path = Path {
        per_chunk: nanos(0),
        per_byte: nanos(100),
        delay: nanos(100_000),
    };
    let (mut control, mut drive) = (Controller::new(Window::default(), 65_535), Drive::new());
    let mut most = (0, 0);
    for burst in 1..200 {
        drive.go(&mut control, path, millis(5 + burst % 7));
        drive.pause(&mut control, millis(50));
        most = (most.0.max(control.window()), most.1.max(control.chunk()));
    }
    // No more than what is tried.
    assert!(most.0 <= 32 * 1024 && most.1 <= 16 * 1024, "{most:?}");
}
