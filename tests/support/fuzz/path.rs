//! A wire whose peer says the input on a leg: any cutting gives the same events, octets and bytes, and nothing is held beyond the limits.
//!
//! Octets from [`DATA`] on stand, with the one that follows, for frames that could be right and for what the wire's owner does.

mod route;

use std::time::{Duration, Instant};

use xtls_path::bytes::Bytes;
use xtls_path::{Beginning, Bye, Cutter, Event, Frame, Keys, LegId, Place, Role, Wire};

use super::cutting::Cutting;
use super::random::Random;

/// What a wire may hold here: the credit at first, which nobody uses up in no time.
const MAX_HELD: usize = 256 << 10;
/// Steps of the time per input.
const MAX_TIMERS: usize = 1_000;

const DATA: u8 = 0xF0;
const ACK: u8 = 0xF1;
const PING: u8 = 0xF2;
const PONG: u8 = 0xF3;
const BYE: u8 = 0xF4;
const CHOOSE: u8 = 0xF5;
const HELLO: u8 = 0xF6;
const ELSEWHERE: u8 = 0xF7;
const READ: u8 = 0xF8;
const WRITE: u8 = 0xF9;
const WAIT: u8 = 0xFA;
const LEAVE: u8 = 0xFB;

pub(super) fn check(input: &[u8]) -> Result<(), String> {
    let frames = cut(input, &mut Cutting::Whole);
    let other = cut(input, &mut Cutting::of(input));
    if other != frames {
        return Err(format!(
            "cut, the frames are {other:?}, and whole {frames:?}"
        ));
    }
    route::check(input)?;
    let script = read(input);
    let stage = match Random::of(input).below(6) {
        0 => Stage::Opening,
        1 => Stage::Standing,
        2 | 3 => Stage::Client,
        _ => Stage::Server,
    };
    let whole = World::run(stage, &script, Cutting::Whole)?;
    let other = World::run(stage, &script, Cutting::of(input))?;
    if other != whole {
        return Err(format!(
            "{stage:?}: cut, it goes {other:?}, and whole {whole:?}"
        ));
    }
    Ok(())
}

/// The frames, and how they end; pieces of data are joined.
fn cut(input: &[u8], cutting: &mut Cutting) -> (Vec<String>, Vec<u8>) {
    let (mut cutter, mut frames, mut data) = (Cutter::new(), Vec::new(), Vec::new());
    for mut piece in cutting.pieces(input) {
        loop {
            match cutter.next(&mut piece) {
                Ok(None) => break,
                Ok(Some(Frame::Data { offset, bytes })) => {
                    let end = offset.wrapping_add(bytes.len() as u64);
                    assert!(!bytes.is_empty() && end != offset);
                    data.extend(bytes);
                }
                Ok(Some(frame)) => frames.push(format!("{} {frame:?}", data.len())),
                Err(broken) => {
                    assert_eq!(cutter.next(&mut &input[..0]), Err(broken), "it is final");
                    frames.push(broken.to_string());
                    return (frames, data);
                }
            }
        }
    }
    (frames, data)
}

/// One thing that happens.
enum Step {
    Say(Vec<u8>),
    Own(u8, u8),
}

fn read(input: &[u8]) -> Vec<Step> {
    let (mut steps, mut said, mut offset) = (Vec::new(), Vec::new(), 0);
    let mut rest = input.iter();
    while let Some(&octet) = rest.next() {
        if octet < DATA {
            said.push(octet);
            continue;
        }
        let value = rest.next().copied().unwrap_or_default();
        let number = u64::from(value);
        let bytes = vec![value; usize::from(value) + 1];
        match octet {
            DATA => {
                let bytes = &bytes;
                Frame::Data { offset, bytes }.write(&mut said);
                offset += bytes.len() as u64;
            }
            ACK => Frame::Ack {
                got: number,
                limit: (1 << 20) + number,
            }
            .write(&mut said),
            PING => Frame::Ping(number).write(&mut said),
            PONG => Frame::Pong(number).write(&mut said),
            BYE => {
                let reasons = [Bye::Moved, Bye::Finished, Bye::Gap];
                Frame::Bye(reasons[usize::from(value) % 3]).write(&mut said);
            }
            CHOOSE => Frame::Choose.write(&mut said),
            HELLO => Frame::Hello {
                got: number,
                limit: number,
                mac: [value; 16],
            }
            .write(&mut said),
            ELSEWHERE => {
                let (bytes, offset) = (&bytes, number * 7);
                Frame::Data { offset, bytes }.write(&mut said);
            }
            READ | WRITE | WAIT | LEAVE => {
                steps.push(Step::Say(std::mem::take(&mut said)));
                steps.push(Step::Own(octet, value));
            }
            _ => said.push(octet),
        }
    }
    steps.push(Step::Say(said));
    steps
}

/// How far the leg is when the input begins, and who hears it.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Opening,
    Standing,
    Client,
    Server,
}

/// What the owner and the peer have seen.
#[derive(Debug, PartialEq, Eq)]
struct World {
    events: Vec<Event>,
    sent: Vec<u8>,
    read: Vec<u8>,
}

fn wire(now: Instant, role: Role) -> (Wire, LegId) {
    let (place, salt) = match role {
        Role::Client => (Place::First, [1; 32]),
        Role::Server => (Place::Second, [2; 32]),
    };
    let how = Beginning {
        place,
        attempt: 1,
        cid: "r1".into(),
        salt,
        relayed: true,
    };
    let mut wire = Wire::new(now, role);
    wire.bind(Keys::new(&[7; 32], b"both ends", role));
    let leg = wire.begin(now, how).expect("a fresh wire");
    (wire, leg)
}

/// What both say to each other now.
fn pass(now: Instant, one: &mut (Wire, LegId), two: &mut (Wire, LegId)) {
    for _ in 0..4 {
        for _ in 0..2 {
            while let Some(bytes) = one.0.poll_leg(now, one.1, 1_000) {
                two.0.handle_leg(now, two.1, &bytes);
            }
            std::mem::swap(one, two);
        }
    }
}

impl World {
    fn run(stage: Stage, script: &[Step], mut cutting: Cutting) -> Result<Self, String> {
        let mut now = Instant::now();
        let (mut client, mut server) = (wire(now, Role::Client), wire(now, Role::Server));
        if !matches!(stage, Stage::Opening) {
            pass(now, &mut client, &mut server);
        }
        if matches!(stage, Stage::Client | Stage::Server) {
            client.0.choose(now, client.1).expect("it stands");
            pass(now, &mut client, &mut server);
        }
        let (mut wire, leg) = match stage {
            Stage::Client => client,
            Stage::Opening | Stage::Standing | Stage::Server => server,
        };
        let mut world = Self {
            events: Vec::new(),
            sent: Vec::new(),
            read: Vec::new(),
        };
        let (mut said, mut written) = (0, 0);
        for step in script {
            match step {
                Step::Say(bytes) => {
                    said += bytes.len();
                    for piece in cutting.pieces(bytes) {
                        assert_eq!(wire.handle_leg(now, leg, piece), piece.len());
                    }
                }
                Step::Own(READ, value) => {
                    let bytes = wire.read(now, usize::from(*value) + 1);
                    world.read.extend(bytes.unwrap_or_default());
                }
                Step::Own(WRITE, value) => {
                    let length = usize::from(*value) * 100;
                    written += wire.write(Bytes::from(vec![*value; length])) as u64;
                }
                Step::Own(LEAVE, value) if value % 2 == 0 => wire.finish(now),
                Step::Own(LEAVE, _) => wire.drop_leg(now, leg),
                Step::Own(_, value) => {
                    world.wait(
                        &mut wire,
                        leg,
                        &mut now,
                        Duration::from_millis(10) * u32::from(*value),
                    );
                }
            }
            world.look(&mut wire, leg, now);
            if wire.unread() > MAX_HELD || wire.unread() > said {
                return Err(format!("{} bytes are held", wire.unread()));
            }
            if wire.unconfirmed() > written {
                return Err(format!("{} bytes are not confirmed", wire.unconfirmed()));
            }
        }
        world.wait(&mut wire, leg, &mut now, Duration::from_secs(60));
        Ok(world)
    }

    /// The time goes on by this much.
    fn wait(&mut self, wire: &mut Wire, leg: LegId, now: &mut Instant, time: Duration) {
        let until = *now + time;
        for count in 0.. {
            let Some(at) = wire.poll_timeout().filter(|at| *at <= until) else {
                break;
            };
            assert!(count < MAX_TIMERS, "a timer that does not go on");
            *now = at.max(*now);
            wire.handle_timeout(*now);
            self.look(wire, leg, *now);
        }
        *now = until;
    }

    fn look(&mut self, wire: &mut Wire, leg: LegId, now: Instant) {
        while let Some(bytes) = wire.poll_leg(now, leg, 1_000) {
            assert!(!bytes.is_empty() && bytes.len() <= 1_000);
            self.sent.extend(bytes);
        }
        while let Some(event) = wire.poll_event() {
            self.events.push(event);
        }
    }
}
