//! A route with a peer, a server and an owner who do what the input says: it makes and holds little, does nothing that its owner does
//! not allow, and its timers go on.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use xtls_path::xtls_stanza::path::{
    Because, Candidate, CandidateKind, Cid, Hints, Signal, Takes, Why,
};
use xtls_path::xtls_stanza::s5b::{Host, Sid, Streamhost};
use xtls_path::xtls_stanza::{Address, ibb};
use xtls_path::{
    Dial, KNOCK, Keys, LegId, Pipe, Refusal, Role, Route, RouteEvent, Settings, Wire, Wish,
};

/// Pipes that an end may have at a time: those of an attempt, and those that say goodbye.
const MAX_PIPES: usize = 40;
/// What may follow from one step.
const MAX_SIGNALS: usize = 20;
const MAX_WISHES: usize = 80;
/// Steps of the time per input.
const MAX_TIMERS: usize = 2_000;

const WHYS: [Why; 3] = [Why::Faster, Why::Slower, Why::Lost];
const HOSTS: [&str; 3] = ["ours.example", "theirs.example", "192.0.2.9"];

fn address(text: &str) -> Address {
    Address::new(text).expect("an address")
}

fn relay(at: usize) -> Streamhost {
    Streamhost {
        jid: address(HOSTS[at % 2]),
        host: Host::new(HOSTS[at % 2]).expect("a host"),
        port: NonZeroU16::MIN,
    }
}

/// A name of ours, or another one.
fn cid(value: u8) -> Cid {
    let letter = ["r", "d", "b", "x"][usize::from(value % 4)];
    Cid::new(&format!("{letter}{}", value / 4 % 8)).expect("a name")
}

fn candidate(value: u8, at: u8) -> Candidate {
    let kind = match value.wrapping_add(at) % 4 {
        0 | 1 => {
            let Streamhost { jid, host, port } = relay(usize::from(value));
            let sid = Sid::new("sid").expect("a sid");
            CandidateKind::Relay {
                jid,
                host,
                port,
                sid,
            }
        }
        2 => CandidateKind::Direct {
            host: Host::new(HOSTS[2]).expect("a host"),
            port: NonZeroU16::MIN,
        },
        _ => CandidateKind::Stream {
            sid: ibb::Sid::new("stream").expect("a sid"),
        },
    };
    Candidate {
        cid: cid(value.wrapping_add(at.wrapping_mul(5))),
        priority: kind.priority().wrapping_add(u32::from(at)),
        kind,
    }
}

pub(super) fn check(input: &[u8]) -> Result<(), String> {
    let [one, two] = [(); 2].map(|()| World::run(input));
    if one? == two? {
        Ok(())
    } else {
        Err("the same steps give another course".to_owned())
    }
}

struct World {
    route: Route,
    takes: Takes,
    now: Instant,
    /// What was made and not dropped, in order.
    pipes: Vec<Pipe>,
    named: BTreeSet<Pipe>,
    course: Vec<String>,
    timers: usize,
    over: bool,
}

impl World {
    fn run(input: &[u8]) -> Result<Vec<String>, String> {
        let (&[first, second], steps) = input.split_first_chunk().unwrap_or((&[0, 0], &[]));
        let now = Instant::now();
        let role = if first % 2 == 0 {
            Role::Client
        } else {
            Role::Server
        };
        let mut wire = Wire::new(now, role);
        wire.bind(Keys::new(&[7; 32], b"both ends", role));
        let settings = Settings {
            policy: Takes::ALL[usize::from(second % 5)],
            first_seen: first & 2 != 0,
            own: address("romeo@montague.example/orchard"),
            peer: address("juliet@capulet.example/balcony"),
            advertise: vec![(Host::new("192.0.2.1").expect("a host"), NonZeroU16::MIN)],
        };
        let mut world = Self {
            takes: settings.takes(),
            route: Route::new(now, wire, settings, [9; 32]),
            now,
            pipes: Vec::new(),
            named: BTreeSet::new(),
            course: Vec::new(),
            timers: 0,
            over: false,
        };
        for step in steps.chunks_exact(2) {
            world.step(step[0], step[1]);
            world.look()?;
        }
        world.wait(Duration::from_secs(2_000))?;
        Ok(world.course)
    }

    fn step(&mut self, what: u8, value: u8) {
        let now = self.now;
        let attempt = u64::from(value >> 4);
        let pipe = self
            .pipes
            .get(usize::from(value) % self.pipes.len().max(1))
            .copied();
        match (what % 16, pipe) {
            (0, _) => self.route.seek(now),
            (1, _) => self
                .route
                .set_relays(now, (0..usize::from(value % 4)).map(relay).collect()),
            (2 | 3, _) => {
                let hints = Hints {
                    attempt,
                    why: WHYS[usize::from(what / 16 % 3)],
                    takes: Takes::ALL[usize::from(value % 5)],
                    candidates: (0..value % 16).map(|at| candidate(what, at)).collect(),
                };
                self.route.handle_signal(now, Signal::Hints(hints));
            }
            (4, _) => {
                let (attempt, cid) = (u64::from(what >> 4), cid(value));
                self.route
                    .handle_signal(now, Signal::Joined { attempt, cid });
            }
            (5, _) => {
                let failed = Signal::Failed {
                    attempt: u64::from(what >> 4),
                    cid: cid(value),
                    because: Because::Refused,
                };
                self.route.handle_signal(now, failed);
            }
            (6, _) if value.is_multiple_of(8) => {
                self.route.handle_signal(now, Signal::Gone { attempt });
            }
            (6, _) => self.route.handle_signal(now, Signal::Over { attempt }),
            (7, _) => self
                .route
                .signal_failed(now, attempt, value.is_multiple_of(8)),
            (8, Some(pipe)) => self.route.connected(now, pipe),
            (9, Some(pipe)) => {
                self.pipes.retain(|other| *other != pipe);
                self.route.failed(now, pipe, Because::Timeout);
            }
            (10, Some(pipe)) => {
                let answers = [Ok(()), Err(Refusal::Refused), Err(Refusal::Limited)];
                self.route
                    .activated(now, pipe, answers[usize::from(what / 16 % 3)]);
            }
            (11, Some(pipe)) => {
                self.route
                    .handle_pipe(now, pipe, &[what; 60][..usize::from(value % 60)])
            }
            (12, _) => assert_eq!(self.route.knock(now, &[value; KNOCK]), None, "a stranger's"),
            (13, _) => self.route.zero_ended(now),
            (14, _) if value.is_multiple_of(2) => self.route.link_lost(now),
            (14, _) => self
                .route
                .link_bound(now, address("romeo@montague.example/grove")),
            _ => {
                let time = Duration::from_millis(10) * u32::from(value) * u32::from(what / 16 + 1);
                // What is found then is found by `look` too.
                let _ = self.wait(time);
            }
        }
    }

    /// The time goes on by this much.
    fn wait(&mut self, time: Duration) -> Result<(), String> {
        let until = self.now + time;
        while let Some(at) = self.route.poll_timeout().filter(|at| *at <= until) {
            self.timers += 1;
            if self.timers > MAX_TIMERS {
                return Err(format!("a timer that does not go on: {:?}", self.route));
            }
            self.now = at.max(self.now);
            self.route.handle_timeout(self.now);
            self.look()?;
        }
        self.now = until;
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        for pipe in self.pipes.clone() {
            while self.route.poll_pipe(self.now, pipe, 1_000).is_some() {}
        }
        while self
            .route
            .wire_mut()
            .poll_leg(self.now, LegId::ZERO, 1_000)
            .is_some()
        {}
        let signals: Vec<Signal> = std::iter::from_fn(|| self.route.poll_signal()).collect();
        let wishes: Vec<Wish> = std::iter::from_fn(|| self.route.poll_wish()).collect();
        if signals.len() > MAX_SIGNALS || wishes.len() > MAX_WISHES {
            return Err(format!(
                "{} signals, {} wishes",
                signals.len(),
                wishes.len()
            ));
        }
        for signal in signals {
            self.said(&signal)?;
        }
        for wish in wishes {
            self.wished(&wish)?;
        }
        while let Some(event) = self.route.poll_event() {
            self.course.push(format!("{event:?}"));
            let ends = matches!(
                event,
                RouteEvent::GivenUp { .. } | RouteEvent::Cut { .. } | RouteEvent::Finished
            );
            if self.over && event != RouteEvent::CloseZero {
                return Err(format!("{event:?} after the end"));
            }
            self.over |= ends;
        }
        if self.pipes.len() > MAX_PIPES {
            return Err(format!("{} pipes", self.pipes.len()));
        }
        Ok(())
    }

    fn said(&mut self, signal: &Signal) -> Result<(), String> {
        self.course.push(format!("{signal:?}"));
        let Signal::Hints(hints) = signal else {
            return Ok(());
        };
        for one in &hints.candidates {
            let may = match &one.kind {
                CandidateKind::Stream { .. } => true,
                CandidateKind::Relay { .. } => self.takes != Takes::InBand,
                CandidateKind::Direct { .. } => matches!(self.takes, Takes::Direct | Takes::Any),
            };
            if !may {
                return Err(format!("{:?} is told under {:?}", one.kind, self.takes));
            }
        }
        Ok(())
    }

    fn wished(&mut self, wish: &Wish) -> Result<(), String> {
        match wish {
            Wish::Dial {
                pipe, how, host, ..
            } => {
                let may = match (how, self.takes) {
                    (_, Takes::InBand) | (Dial::Direct, Takes::Own | Takes::Proxy) => false,
                    (Dial::Relay { ours, .. }, Takes::Own | Takes::Direct) => *ours,
                    (Dial::Relay { .. }, _) | (Dial::Direct, Takes::Direct | Takes::Any) => true,
                };
                if !may {
                    return Err(format!("{host} is dialled under {:?}", self.takes));
                }
                self.course.push(format!("{how:?} {host}"));
                self.made(*pipe)?;
            }
            Wish::OpenStream { pipe, .. } | Wish::ExpectStream { pipe, .. } => self.made(*pipe)?,
            Wish::Drop { pipe } => self.pipes.retain(|other| other != pipe),
            _ => {}
        }
        Ok(())
    }

    fn made(&mut self, pipe: Pipe) -> Result<(), String> {
        if !self.named.insert(pipe) {
            return Err(format!("{pipe} is named twice"));
        }
        self.pipes.push(pipe);
        Ok(())
    }
}
