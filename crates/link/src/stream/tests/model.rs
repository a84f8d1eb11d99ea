//! The law, from end to end: what is sent arrives in order and once, or is reported as lost, wherever the connection is cut.
//!
//! A stream and a server of the test's own talk in octets, log-in included, and any octet may be the last of a connection. Stanzas
//! are numbered in each direction for good. Ten rounds of `cargo xtask properties` are a million steps.

mod server;

use proptest::prelude::*;

use self::server::{Manners, Server};
use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// So many stanzas are sent, if there is room.
    Send(usize),
    /// So many times something is written.
    Write(usize),
    Reply(usize),
    /// So many events are taken.
    Take(usize),
    /// So many octets arrive.
    Up(usize),
    Down(usize),
    Wait(u64),
    /// The connection is cut, and of what is under way so many permille still arrive.
    Cut(usize, usize),
    Dial,
    /// The server asks, changes its mind, forgets.
    Ask,
    Manners(Manners),
    Forget,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        100 => (1..6usize).prop_map(Step::Send),
        100 => (1..4usize).prop_map(Step::Write),
        80 => (1..6usize).prop_map(Step::Reply),
        100 => (1..8usize).prop_map(Step::Take),
        160 => (1..400usize).prop_map(Step::Up),
        160 => (1..400usize).prop_map(Step::Down),
        40 => (1..60u64).prop_map(Step::Wait),
        6 => (500..100_000u64).prop_map(Step::Wait),
        16 => (0..=1_000usize, 0..=1_000usize).prop_map(|(up, down)| Step::Cut(up, down)),
        60 => Just(Step::Dial),
        20 => Just(Step::Ask),
        12 => server::manners().prop_map(Step::Manners),
        3 => Just(Step::Forget),
    ]
}

fn message(number: u32) -> String {
    format!("<message id='{number}'/>")
}

fn number(stanza: &[u8]) -> u32 {
    let text = std::str::from_utf8(stanza).unwrap();
    let number = text.strip_prefix("<message id='").unwrap();
    number.strip_suffix("'/>").unwrap().parse().unwrap()
}

/// Where the client is.
enum Place {
    Online(Box<Stream>),
    Away(Box<Session>),
}

/// Both ends and the octets between them.
struct World {
    now: Instant,
    place: Option<Place>,
    server: Server,
    up: Vec<u8>,
    down: Vec<u8>,
    /// Stanzas that the client has sent, those that it took, and those that it was told are lost.
    sent: u32,
    taken: Vec<u32>,
    lost: Vec<u32>,
    resumptions: usize,
}

impl World {
    fn new() -> Self {
        Self {
            now: Instant::now(),
            place: Some(Place::Away(Box::new(session()))),
            server: Server::default(),
            up: Vec::new(),
            down: Vec::new(),
            sent: 0,
            taken: Vec::new(),
            lost: Vec::new(),
            resumptions: 0,
        }
    }

    fn stream(&mut self) -> Option<&mut Stream> {
        match &mut self.place {
            Some(Place::Online(stream)) => Some(stream),
            Some(Place::Away(_)) | None => None,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send(count) => self.send(count),
            Step::Write(count) => self.write(count),
            Step::Reply(count) => self.server.send(count, &mut self.down),
            Step::Take(count) => self.take(count),
            Step::Up(count) => self.go_up(count),
            Step::Down(count) => self.go_down(count),
            Step::Wait(ms) => self.wait(ms),
            Step::Cut(up, down) => {
                self.go_up(self.up.len() * up / 1_000);
                self.go_down(self.down.len() * down / 1_000);
                self.cut();
            }
            Step::Dial => self.dial(),
            Step::Ask => self.server.ask(&mut self.down),
            Step::Manners(manners) => self.server.manners = manners,
            Step::Forget => self.server.forget(),
        }
    }

    fn send(&mut self, count: usize) {
        for _ in 0..count {
            let next = self.sent + 1;
            let Some(stream) = self.stream().filter(|stream| stream.has_room()) else {
                return;
            };
            let sent = stream.send_with(|out| out.extend_from_slice(message(next).as_bytes()));
            assert_eq!(sent, Ok(()));
            self.sent = next;
        }
    }

    fn write(&mut self, count: usize) {
        let now = self.now;
        for _ in 0..count {
            if let Some(Place::Online(stream)) = &mut self.place
                && let Some(octets) = stream.poll_transmit(now)
            {
                self.up.extend_from_slice(octets);
            }
        }
    }

    fn take(&mut self, count: usize) {
        let now = self.now;
        for _ in 0..count {
            let Some(stream) = self.stream() else { return };
            match stream.poll_event(now) {
                Ok(Some(Event::Stanza(octets))) => self.taken.push(number(&octets)),
                Ok(Some(Event::Opened(Opened::Bound { lost, .. }))) => {
                    self.lost.extend(lost.iter().map(|stanza| number(stanza)));
                }
                Ok(Some(Event::Opened(Opened::Resumed { .. }))) => self.resumptions += 1,
                Ok(None) => return,
                other => panic!("{other:?} from a server that behaves"),
            }
        }
    }

    fn go_up(&mut self, count: usize) {
        let count = count.min(self.up.len());
        let octets: Vec<u8> = self.up.drain(..count).collect();
        self.server.read(&octets, &mut self.down);
    }

    fn go_down(&mut self, count: usize) {
        let count = count.min(self.down.len());
        let octets: Vec<u8> = self.down.drain(..count).collect();
        let now = self.now;
        if let Some(stream) = self.stream().filter(|_| count > 0) {
            stream.handle_bytes(now, &octets);
        }
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        let now = self.now;
        if let Some(stream) = self.stream()
            && stream.poll_timeout().is_some_and(|due| due <= now)
            && stream.handle_timeout(now).is_err()
        {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.up.clear();
        self.down.clear();
        self.server.disconnect();
        let now = self.now;
        self.place = self.place.take().map(|place| match place {
            Place::Online(stream) => Place::Away(Box::new(stream.into_session(now))),
            away @ Place::Away(_) => away,
        });
    }

    fn dial(&mut self) {
        self.place = self.place.take().map(|place| match place {
            Place::Away(session) => Place::Online(Box::new(Stream::new(*session, None, self.now))),
            online @ Place::Online(_) => online,
        });
    }

    /// The faults end, everything arrives, and what was sent is compared with what was taken.
    fn settle(mut self) {
        self.step(&Step::Manners(Manners::default()));
        for _ in 0..3 {
            self.step(&Step::Dial);
            for _ in 0..20 {
                self.step(&Step::Write(usize::from(u8::MAX)));
                self.step(&Step::Up(usize::MAX));
                self.step(&Step::Down(usize::MAX));
                self.step(&Step::Take(usize::MAX));
            }
            // A connection that has no session of XEP-0198 is followed by one that has.
            if self.server.has_session() {
                break;
            }
            self.cut();
        }
        let open = self.stream().is_some_and(|stream| stream.is_open());
        assert!(open, "two ends that behave stay together");
        ordered(&self.server.taken);
        ordered(&self.taken);
        for number in 1..=self.sent {
            let arrived = self.server.taken.binary_search(&number).is_ok();
            let reported = self.lost.iter().filter(|lost| **lost == number).count();
            assert!(
                arrived || reported == 1,
                "{number} of {} is gone",
                self.sent
            );
            assert!(reported <= 1, "{number} is reported twice");
        }
        for number in 1..=self.server.sent {
            let arrived = self.taken.binary_search(&number).is_ok();
            assert!(
                arrived || self.server.lost.contains(&number),
                "{number} was not taken"
            );
        }
    }
}

#[track_caller]
fn ordered(numbers: &[u32]) {
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_sent_arrives_in_order_and_once_or_is_reported_lost(
        steps in prop::collection::vec(steps(), 100..400),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.settle();
    }
}

#[test]
fn sessions_are_resumed_in_the_model() {
    for sasl2 in [false, true] {
        resumes(Manners {
            sasl2,
            ..Manners::default()
        });
    }
}

fn resumes(manners: Manners) {
    let mut world = World::new();
    world.step(&Step::Manners(manners));
    for round in 1..=5 {
        world.step(&Step::Dial);
        for _ in 0..12 {
            for step in [
                Step::Write(9),
                Step::Up(9_999),
                Step::Down(9_999),
                Step::Take(99),
            ] {
                world.step(&step);
            }
        }
        world.step(&Step::Send(2));
        world.step(&Step::Reply(2));
        world.step(&Step::Write(1));
        world.step(&Step::Cut(300 * (round - 1), 200));
    }
    assert_eq!(world.resumptions, 4);
    assert_eq!((world.sent, world.server.sent), (10, 10));
    assert!(world.lost.is_empty());
    world.settle();
}
