//! How much may be under way, and in pieces of what size.
//!
//! # The controller in one page
//!
//! Two knobs: the **window** (bytes sent and not yet answered) and the **chunk** (bytes in one
//! stanza). Stock servers read 3 to 10 kB a second from a client; there a large window only makes
//! everything else on the connection wait. On a long fast path a small window is the limit. The
//! agreed block size is a maximum, and larger chunks are slower through some servers. So neither
//! knob can be right from the start, and both are found by trying:
//!
//! 1. Start with 16 KiB under way in chunks of at most 4096 bytes.
//! 2. Measure one *epoch*: the time in which one window (at least four chunks) is answered, and no
//!    less than 4 ms, counted from the moment when all that was sent under older settings has been
//!    answered. Only epochs in which the window was the limit count, and a pause of the writer begins
//!    a new one.
//! 3. Double the chunk, or quadruple it where four of the larger ones pass in 100 ms; the window is kept
//!    at two chunks or more. If the goodput of the next epoch is better by at least a sixteenth, keep it
//!    and go on; otherwise go back. The chunk comes first: servers pay for stanzas, and end the link of a
//!    client that has thousands of them on their way.
//! 4. When the chunk no longer helps, do the same with the window, doubling it; beyond 64 chunks the
//!    chunk grows with it.
//! 5. When neither helps, hold for 16 epochs, then try again from 2; each time in vain doubles the
//!    hold, up to 128 epochs, and a gain or a loss makes it 16 again.
//! 6. A chunk that waited for its answer more than two seconds longer than the fastest one ever did
//!    halves the window (once for all chunks that were sent before the halving), down to one chunk;
//!    then the chunk, down to 1024 bytes; and holds. Nothing grows while answers take more than half
//!    of that.
//!
//! 7. A path that has become much slower is not felt out by halves. If, with such an answer, what was
//!    answered in the last second or two says that half the window would still queue for more than
//!    a second, the window becomes what the path passes in its own delay and one second.
//!
//! docs/WINDOW.md shows it at work.
//!
//! No clock, no randomness and no floating point: the same calls give the same settings.

use std::time::{Duration, Instant};

/// What the window is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Window {
    /// Found by trying, as `docs/WINDOW.md` describes; `max` bytes at most.
    Adaptive {
        /// Most bytes under way. Default 1 MiB.
        max: u32,
    },
    /// Fixed: `bytes` under way in chunks of `chunk` bytes (never more than the block size).
    Fixed {
        /// Bytes under way; at least one chunk goes in any case.
        bytes: u32,
        /// Bytes in one chunk.
        chunk: u16,
    },
    /// One chunk of at most 4096 bytes, then its answer: what XEP-0047 §2.2 recommends, and the
    /// kindest setting toward an implementation that is not known.
    OneChunk,
}

impl Default for Window {
    fn default() -> Self {
        Self::Adaptive { max: 1 << 20 }
    }
}

const START_WINDOW: usize = 16 * 1024;
const START_CHUNK: usize = 4096;
const MIN_CHUNK: usize = 1024;
/// More waiting than this, beyond the path's own delay, and the window shrinks.
const SHRINK_AT: Duration = Duration::from_secs(2);
/// More waiting than this, and nothing grows.
const GROW_BELOW: Duration = Duration::from_secs(1);
/// The pace is that of this time, or of up to twice as much.
const PACE: Duration = Duration::from_secs(1);
const HOLD_EPOCHS: u32 = 16;
const LONGEST_HOLD: u32 = 128;
const CHUNKS_IN_EPOCH: usize = 4;
/// What is answered sooner reflects the machine's other work more than the setting.
const SHORTEST_EPOCH: Duration = Duration::from_millis(4);
/// Four chunks that pass in this time may be four times as large as they were.
const MOMENT: Duration = Duration::from_millis(100);
/// A window that grows beyond so many chunks takes the chunk along, as far as the block goes: each stanza on its way is one
/// more that servers have to keep.
const MOST_CHUNKS: usize = 64;
/// With nothing under way for longer than that, an epoch begins anew.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Controller {
    fixed: bool,
    largest_chunk: usize,
    max: usize,
    window: usize,
    chunk: usize,
    step: Step,
    /// Epochs of the next hold.
    hold: u32,
    epoch: Epoch,
    sent: u64,
    acked: u64,
    /// Chunks sent before this count do not measure the present setting.
    fresh_from: u64,
    fastest: Option<Duration>,
    last_answer: Option<Instant>,
    pace: Pace,
}

/// What a stream finds of a path, which holds for all that take it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Path {
    /// The fastest answer.
    fastest: Option<Duration>,
    /// Window and chunk that have proved themselves, where they are found by trying.
    settled: Option<(usize, usize)>,
}

impl Path {
    /// Without the settings.
    pub(crate) fn fastest_only(self) -> Self {
        Self {
            settled: None,
            ..self
        }
    }

    /// What of it others should know, after `before`. That less was right for one is for each of the others to see.
    pub(crate) fn news(self, before: Self) -> Option<Self> {
        let grown = self.settled.zip(before.settled);
        let grown = grown.is_some_and(|(now, then)| now.0 > then.0 || now.1 > then.1);
        let news = Self {
            fastest: self.fastest,
            settled: self.settled.filter(|_| grown),
        };
        (grown || self.fastest != before.fastest).then_some(news)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Baseline,
    Trying {
        knob: Knob,
        window: usize,
        chunk: usize,
        base: Rate,
    },
    Holding {
        left: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Knob {
    Window,
    Chunk,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    bytes: u64,
    micros: u64,
}

impl Rate {
    /// Whether so many bytes pass in `time`.
    fn passes(self, bytes: usize, time: Duration) -> bool {
        let passed = u128::from(self.bytes) * time.as_micros();
        passed >= bytes as u128 * u128::from(self.micros)
    }

    /// Better by a sixteenth, without a division. Less would be noise; more would stop with the
    /// window at less than 94 % of what fills the path.
    fn beats(self, base: Self) -> bool {
        let (mine, its) = (u128::from(self.bytes), u128::from(base.bytes));
        mine * u128::from(base.micros) * 16 >= its * u128::from(self.micros) * 17
    }
}

#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
struct Epoch {
    /// Set when everything sent under older settings has been answered.
    started: Option<(Instant, u64)>,
    longest_wait: Duration,
    full: bool,
}

/// What the path has passed of late: bytes that were answered since a moment one second or two, and
/// four answers or more, ago.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
struct Pace {
    older: Option<(Instant, u64)>,
    newer: Option<(Instant, u64)>,
    /// Answers since the newer moment.
    answers: usize,
}

impl Pace {
    fn on_acked(&mut self, now: Instant, acked: u64) {
        self.answers += 1;
        let old = self.newer.is_some_and(|(at, _)| {
            now.saturating_duration_since(at) >= PACE && self.answers >= CHUNKS_IN_EPOCH
        });
        if old || self.newer.is_none() {
            self.older = self.newer;
            self.newer = Some((now, acked));
            self.answers = 0;
        }
    }

    /// Bytes that pass in `time` at this pace.
    fn passed(&self, now: Instant, acked: u64, time: Duration) -> Option<usize> {
        let (since, before) = self.older?;
        let elapsed = now.saturating_duration_since(since).as_micros();
        let bytes = u128::from(acked - before) * time.as_micros();
        bytes
            .checked_div(elapsed)
            .and_then(|bytes| usize::try_from(bytes).ok())
    }
}

impl Controller {
    /// `block` is the agreed block size, or less where the server's stanza limit asks for it.
    pub(crate) fn new(window: Window, block: usize) -> Self {
        let block = block.max(1);
        let start = START_CHUNK.min(block);
        let (fixed, max, window, chunk) = match window {
            Window::Adaptive { max } => {
                let max = usize::try_from(max).unwrap_or(usize::MAX).max(start);
                (false, max, START_WINDOW.min(max), start)
            }
            Window::Fixed { bytes, chunk } => {
                let chunk = usize::from(chunk).clamp(1, block);
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).max(chunk);
                (true, bytes, bytes, chunk)
            }
            Window::OneChunk => (true, start, start, start),
        };
        Self {
            fixed,
            largest_chunk: block,
            max,
            window,
            chunk,
            step: Step::Baseline,
            hold: HOLD_EPOCHS,
            epoch: Epoch::default(),
            sent: 0,
            acked: 0,
            fresh_from: 0,
            fastest: None,
            last_answer: None,
            pace: Pace::default(),
        }
    }

    /// Bytes that may be under way.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// Bytes in one chunk.
    pub(crate) fn chunk(&self) -> usize {
        self.chunk
    }

    /// Counts a chunk out; the mark comes back with its answer.
    pub(crate) fn on_sent(&mut self, now: Instant, bytes: usize) -> u64 {
        if self.sent == self.acked {
            self.pace = Pace::default();
            let pause = self
                .last_answer
                .map(|last| now.saturating_duration_since(last));
            if pause.is_some_and(|pause| pause > PAUSE) {
                // What was measured is the writer.
                self.epoch = Epoch::default();
            }
        }
        let mark = self.sent;
        self.sent += bytes as u64;
        if self.acked >= self.fresh_from && self.epoch.started.is_none() {
            self.epoch.started = Some((now, self.acked));
        }
        mark
    }

    /// What is known of the path so far.
    pub(crate) fn path(&self) -> Path {
        let settled = match self.step {
            Step::Trying { window, chunk, .. } => (window, chunk),
            Step::Baseline | Step::Holding { .. } => (self.window, self.chunk),
        };
        Path {
            fastest: self.fastest,
            settled: (!self.fixed).then_some(settled),
        }
    }

    /// What another stream has found of the same path. One that begins while the path is busy would take the queue for the
    /// path; and of streams that share a queue, each gets of it what it keeps there.
    pub(crate) fn on_path(&mut self, path: Path) {
        let fastest = [self.fastest, path.fastest];
        self.fastest = fastest.into_iter().flatten().min();
        let (Some((window, chunk)), Some(known)) = (path.settled, self.path().settled) else {
            return;
        };
        let better = (window.min(self.max), chunk.min(self.largest_chunk));
        if better != known && better.0 >= known.0 && better.1 >= known.1 {
            (self.window, self.chunk) = better;
            self.change(Step::Baseline);
        }
    }

    /// There was more to send than the window lets through.
    pub(crate) fn on_full(&mut self) {
        self.epoch.full = true;
    }

    /// An answer came after `delay`.
    pub(crate) fn on_acked(&mut self, now: Instant, bytes: usize, mark: u64, delay: Duration) {
        self.acked += bytes as u64;
        self.last_answer = Some(now);
        let fastest = self.fastest.map_or(delay, |fastest| fastest.min(delay));
        self.fastest = Some(fastest);
        self.pace.on_acked(now, self.acked);
        if self.fixed {
            return;
        }
        let wait = delay.saturating_sub(fastest);
        if wait > SHRINK_AT && self.fall(now, fastest + GROW_BELOW) {
            return;
        }
        if mark < self.fresh_from {
            if self.acked >= self.fresh_from {
                self.epoch.started.get_or_insert((now, self.acked));
            }
            return;
        }
        if wait > SHRINK_AT {
            self.shrink();
            return;
        }
        let Some((started, counted_from)) = self.epoch.started else {
            self.epoch.started = Some((now, self.acked));
            return;
        };
        self.epoch.longest_wait = self.epoch.longest_wait.max(wait);
        let bytes = self.acked - counted_from;
        let elapsed = now.saturating_duration_since(started);
        let enough = self.window.max(CHUNKS_IN_EPOCH * self.chunk) as u64;
        if bytes >= enough && elapsed >= SHORTEST_EPOCH {
            let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
            self.end_epoch(now, Rate { bytes, micros });
        }
    }

    /// A server or the peer said `wait`: half of what was tried was too much.
    pub(crate) fn on_trouble(&mut self) {
        if !self.fixed {
            self.shrink();
        }
    }

    /// Takes the window to what the path passes in `time`, if that is less than half of it.
    fn fall(&mut self, now: Instant, time: Duration) -> bool {
        let passed = self.pace.passed(now, self.acked, time);
        // One chunk on the way while one is read: less would leave the path empty between them.
        let enough = passed.map(|bytes| bytes.max(2 * self.chunk));
        let Some(enough) = enough.filter(|bytes| *bytes <= self.window / 2) else {
            return false;
        };
        self.window = enough;
        self.hold = HOLD_EPOCHS;
        self.rest();
        true
    }

    fn shrink(&mut self) {
        if self.window > self.chunk {
            self.window = (self.window / 2).max(self.chunk);
        } else {
            self.chunk = (self.chunk / 2)
                .max(MIN_CHUNK.min(self.largest_chunk))
                .min(self.chunk);
            self.window = self.chunk;
        }
        self.hold = HOLD_EPOCHS;
        self.rest();
    }

    fn end_epoch(&mut self, now: Instant, rate: Rate) {
        let may_grow = self.epoch.longest_wait <= GROW_BELOW;
        let full = self.epoch.full;
        // Same settings: the next epoch may begin where this one ends.
        self.epoch = Epoch {
            started: Some((now, self.acked)),
            ..Epoch::default()
        };
        match self.step {
            Step::Baseline if !full => {}
            Step::Baseline if may_grow => self.attempt(Knob::Chunk, rate),
            Step::Baseline => self.rest(),
            Step::Trying { knob, base, .. } if rate.beats(base) => {
                self.hold = HOLD_EPOCHS;
                if may_grow {
                    self.attempt(knob, rate);
                } else {
                    self.rest();
                }
            }
            Step::Trying {
                knob,
                window,
                chunk,
                base,
            } => {
                (self.window, self.chunk) = (window, chunk);
                if knob == Knob::Chunk && may_grow {
                    self.attempt(Knob::Window, base);
                } else {
                    self.rest();
                }
            }
            Step::Holding { left: 0 } => self.step = Step::Baseline,
            Step::Holding { left } => self.step = Step::Holding { left: left - 1 },
        }
    }

    /// Makes a knob larger, or the next one where this one is at its end.
    fn attempt(&mut self, knob: Knob, base: Rate) {
        let (window, chunk) = (self.window, self.chunk);
        let larger = self.larger_chunk(base);
        let knob = match knob {
            Knob::Chunk if larger > chunk => {
                self.chunk = larger;
                self.window = window.max(2 * larger);
                knob
            }
            Knob::Chunk | Knob::Window if window < self.max => {
                self.window = (window * 2).min(self.max);
                let fewest = self.window.div_ceil(MOST_CHUNKS);
                self.chunk = chunk.max(fewest.min(self.largest_chunk));
                Knob::Window
            }
            Knob::Chunk | Knob::Window => {
                self.rest();
                return;
            }
        };
        self.change(Step::Trying {
            knob,
            window,
            chunk,
            base,
        });
    }

    fn larger_chunk(&self, base: Rate) -> usize {
        // By four where trying it is a matter of moments: each step is then worth more than noise is.
        let times = if base.passes(16 * self.chunk, MOMENT) {
            4
        } else {
            2
        };
        (self.chunk * times)
            .min(self.largest_chunk)
            .min(self.max / 2)
    }

    fn rest(&mut self) {
        self.change(Step::Holding { left: self.hold });
        self.hold = (self.hold * 2).min(LONGEST_HOLD);
    }

    fn change(&mut self, step: Step) {
        self.step = step;
        self.fresh_from = self.sent;
        self.epoch = Epoch::default();
    }
}
