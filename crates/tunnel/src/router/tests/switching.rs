//! Legs of two whole routers are born, stall and die at any byte, and what is read is what was written: relays and sockets that break,
//! streams that a server ends, links that are bound anew, with real TLS and real signals.

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use xtls_path::Kind as Path;
use xtls_stanza::path::Takes;
use xtls_stanza::s5b::Host;
use xtls_stanza::{Condition, ErrorType, StanzaError};

use super::moving::close;
use super::*;
use crate::router::{PathConfig, PathEvent};

/// How often each end moves in a case.
const SWITCHES: usize = 1_000;
/// The same where fewer will do.
const FEW: usize = 50;

/// What travels, and how far it has come.
struct Course {
    world: World,
    ids: [TunnelId; 2],
    mode: Mode,
    draw: ChaCha20Rng,
    /// Bytes or stanzas of each end.
    written: [u64; 2],
    /// Those of the other end that it has read.
    read: [u64; 2],
    /// How often it has moved.
    moves: [usize; 2],
}

/// The byte at an offset of what an end writes: another one nearby and in the other direction.
fn byte(end: usize, offset: u64) -> u8 {
    let mixed = (offset ^ (end as u64) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_be_bytes()[0]
}

fn part(end: usize, from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64).map(|at| byte(end, at)).collect()
}

fn with_paths(end: usize, mode: Mode) -> Config {
    let there = (
        Host::new("192.0.2.7").unwrap(),
        7_000_u16.try_into().unwrap(),
    );
    let config = match mode {
        Mode::Bytes => in_bytes(end),
        Mode::Stanzas => config(end),
    };
    config.paths(PathConfig::new(Takes::Any).advertise([there]))
}

impl Course {
    fn new(seed: u64, mode: Mode) -> Self {
        let mut world = World::with(with_paths(A, mode), with_paths(B, mode));
        let mut draw = ChaCha20Rng::seed_from_u64(seed);
        let opener = usize::from(draw.next_u32() % 2 == 0);
        world.sea.relays = [true; 2];
        let ids = world.establish(opener);
        Self {
            world,
            ids,
            mode,
            draw,
            written: [0; 2],
            read: [0; 2],
            moves: [0; 2],
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.draw.next_u32()).unwrap() % limit.max(1)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        let at = self.below(of.len());
        of.get(at).copied()
    }

    /// An end says something, if there is room.
    fn write(&mut self, end: usize, most: usize) {
        let (id, from) = (self.ids[end], self.written[end]);
        let mut tunnel = self.world.tunnel(end, id);
        self.written[end] += match self.mode {
            Mode::Bytes => tunnel.write(&part(end, from, most)).unwrap() as u64,
            Mode::Stanzas => {
                let text: String = part(end, from, most / 8)
                    .iter()
                    .map(|byte| char::from(b'a' + byte % 26))
                    .collect();
                u64::from(tunnel.send(&message(&format!("{from}"), &text)).is_ok())
            }
        };
    }

    /// An end reads, and its owner takes what there is to hear.
    fn read(&mut self, end: usize, most: usize) {
        let id = self.ids[end];
        if self.mode == Mode::Bytes {
            while let Some(bytes) = self.world.tunnel(end, id).read(most) {
                let expected = part(1 - end, self.read[end], bytes.len());
                assert!(bytes == expected, "other bytes after {}", self.read[end]);
                self.read[end] += bytes.len() as u64;
                if bytes.len() < most {
                    break;
                }
            }
        }
        self.world.flush(end);
        for event in std::mem::take(&mut self.world.ends[end].events) {
            match event.what {
                TunnelEvent::Path(PathEvent::Moved(_)) => self.moves[end] += 1,
                TunnelEvent::Stanza(stanza) => {
                    assert_eq!(stanza.id, Some(self.read[end].to_string()));
                    self.read[end] += 1;
                }
                TunnelEvent::Closed(closed) => panic!("{closed:?}"),
                _ => {}
            }
        }
        assert!(self.read[end] <= self.written[1 - end]);
    }

    /// Time passes, and nothing else moves.
    fn lapse(&mut self, time: Duration) {
        self.world.now += time;
        let now = self.world.now;
        for end in [A, B] {
            let due = self.world.router(end).poll_timeout();
            if due.is_some_and(|due| due.at <= now) {
                self.world.router(end).handle_timeout(now);
            }
        }
    }

    /// One step that may happen at any time.
    fn anything(&mut self) {
        let end = self.below(2);
        let most = 1 << self.below(11);
        match self.below(12) {
            0 | 1 => self.write(end, most),
            2 | 3 => self.read(end, most),
            4..=6 => drop(self.world.deliver(end)),
            7..=10 => {
                self.world.tend();
                let sockets = self.world.sockets();
                if let Some(socket) = self.pick(&sockets) {
                    self.world.pass(socket, most);
                }
            }
            _ => {
                let millis = self.below(30) as u64;
                self.lapse(Duration::from_millis(millis));
            }
        }
    }

    fn steps(&mut self, most: usize) {
        for _ in 0..self.below(most) {
            self.anything();
        }
    }

    /// One of the connections breaks at any byte, or falls silent.
    fn sink(&mut self) {
        let sockets = self.world.sockets();
        let Some(socket) = self.pick(&sockets) else {
            return;
        };
        if self.one_in(3) {
            self.world.stall(socket);
        } else {
            let rest = self.world.under_way(socket);
            let rest = self.below(rest + 2);
            self.world.sink(socket, rest);
        }
    }

    /// A server says of a chunk that nobody is there: the stream ends.
    fn break_stream(&mut self) {
        for end in [A, B] {
            self.world.flush(end);
            let wire = &mut self.world.ends[end].wire;
            let data =
                |envelope: &Envelope| matches!(envelope.content, Content::Set(Payload::Data(_)));
            let Some(at) = wire.iter().position(data) else {
                continue;
            };
            let chunk = wire.remove(at).unwrap();
            let error = StanzaError::new(ErrorType::Cancel, Condition::RecipientUnavailable);
            let (mut answer, now) = (chunk.error(error), self.world.now);
            answer.from = Some(address(NAMES[1 - end]));
            self.world.router(end).handle(now, reread(&answer));
            return;
        }
    }

    /// An end binds its address anew, and what was under way in stanzas is lost. Its server may have another relay, or none.
    fn rebind(&mut self) {
        let end = self.below(2);
        for end in [A, B] {
            self.world.flush(end);
            self.world.ends[end].wire.clear();
        }
        self.world.ends[end].others.clear();
        self.world.sea.relays[end] = !self.one_in(3);
        self.world.sea.ports[end] = self.one_in(2).then_some(7_000);
        let now = self.world.now;
        self.world.router(end).rebind(now, address(NAMES[end]));
    }

    /// What carries comes to an end, as a rule.
    fn disturb(&mut self) {
        let in_band = self.carrying(A) == Some(Path::InBand);
        match self.below(12) {
            0 => self.rebind(),
            1 => self.world.storm(),
            2 => self.sink(),
            _ if in_band => self.break_stream(),
            _ => self.sink(),
        }
    }

    fn carrying(&mut self, end: usize) -> Option<Path> {
        let id = self.ids[end];
        let moving = self.world.router(end).tunnels.moving_mut(id);
        moving.unwrap().route().carrying()
    }

    /// Nothing disturbs them any more, until something carries.
    fn heal(&mut self) {
        let seconds = 5 + self.below(35) as u64;
        self.world.wait(Duration::from_secs(seconds));
        for _ in 0..60 {
            if [A, B]
                .map(|end| self.carrying(end))
                .iter()
                .all(Option::is_some)
            {
                return;
            }
            self.world.wait(Duration::from_secs(1));
        }
        panic!("nothing carries");
    }

    /// Until each end has moved so often.
    fn run(&mut self, switches: usize) {
        while self.moves.iter().any(|moves| *moves < switches) {
            for end in [A, B] {
                self.write(end, 500);
            }
            self.steps(12);
            self.disturb();
            self.steps(24);
            // What is just being born.
            if self.one_in(2) {
                self.sink();
            }
            self.steps(12);
            self.heal();
            for end in [A, B] {
                self.read(end, usize::MAX);
            }
            self.has_no_remains();
            self.world.log.clear();
        }
    }

    /// Nothing is kept of the connections that there were.
    fn has_no_remains(&mut self) {
        for end in [A, B] {
            // Of one tunnel and what carries it.
            let kept = self.world.router(end).paths.leftovers();
            assert!(kept < 30, "{end}: {kept}");
        }
    }

    /// Everything has arrived, and the tunnel ends in order.
    fn end(&mut self) {
        for _ in 0..10 {
            self.world.wait(Duration::from_secs(1));
            for end in [A, B] {
                self.read(end, usize::MAX);
            }
        }
        assert_eq!(self.read, [self.written[B], self.written[A]]);
        close(&mut self.world, self.ids);
    }
}

/// A course that ends with everything at its place.
fn switched(seed: u64, mode: Mode, switches: usize) -> Course {
    let mut course = Course::new(seed, mode);
    course.run(switches);
    course.end();
    course
}

proptest! {
    // A smaller seed is not a smaller course.
    #![proptest_config(ProptestConfig { cases: 1, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn a_thousand_random_switches_lose_and_double_nothing(seed: u64) {
        let course = switched(seed, Mode::Bytes, SWITCHES);
        prop_assert!(course.written.iter().all(|bytes| *bytes > 500_000), "{:?}", course.written);
    }

    #[test]
    fn a_thousand_random_switches_lose_and_double_no_stanza(seed: u64) {
        let course = switched(seed, Mode::Stanzas, SWITCHES);
        prop_assert!(course.written.iter().all(|stanzas| *stanzas > 2_000), "{:?}", course.written);
    }
}

#[test]
fn streams_that_were_left_take_no_place_from_those_that_follow() {
    // What came on them behind their goodbye was read by nobody, and a peer may have four.
    switched(12, Mode::Bytes, FEW);
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let [one, two] = [(); 2].map(|()| switched(4, Mode::Bytes, FEW));
    assert_eq!(
        (one.written, one.world.sea.came),
        (two.written, two.world.sea.came)
    );
}
