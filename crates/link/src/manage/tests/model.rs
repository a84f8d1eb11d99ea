//! The law: what is sent arrives in order and once, or is reported as lost, wherever the connection is cut.
//!
//! A link and a server of the test's own talk in octets, and any octet may be the last of a connection. Stanzas are numbered in
//! each direction for good; sessions count from just below where counters wrap. The server knows the rules and holds the link to
//! them. Ten rounds of `cargo xtask properties` are a million steps.

mod client;
mod server;

use std::time::Duration;

use proptest::prelude::*;

use self::client::Client;
use self::server::{Policy, Server};

/// Where sessions count from.
const FIRST: u32 = u32::MAX - 2;

#[derive(Debug, Clone)]
enum Step {
    /// So many stanzas are sent, if they may be.
    Send(usize),
    Reply(usize),
    /// So many that came are taken.
    Take(usize),
    /// So many octets arrive.
    Up(usize),
    Down(usize),
    Wait(u64),
    /// The connection is cut, and of what is under way so many permille still arrive.
    Cut(usize, usize),
    Dial,
    /// An attempt to connect fails after so many milliseconds.
    Fail(u64),
    /// The server asks, acknowledges, changes its mind, forgets, miscounts.
    Ask,
    Acknowledge,
    Policy(Policy),
    Forget,
    Lie,
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        100 => (1..6usize).prop_map(Step::Send),
        100 => (1..6usize).prop_map(Step::Reply),
        80 => (1..8usize).prop_map(Step::Take),
        140 => (1..240usize).prop_map(Step::Up),
        140 => (1..240usize).prop_map(Step::Down),
        60 => (1..60u64).prop_map(Step::Wait),
        4 => (500..400_000u64).prop_map(Step::Wait),
        20 => (0..=1_000usize, 0..=1_000usize).prop_map(|(up, down)| Step::Cut(up, down)),
        60 => Just(Step::Dial),
        30 => (1..200_000u64).prop_map(Step::Fail),
        20 => Just(Step::Ask),
        10 => Just(Step::Acknowledge),
        16 => server::policies().prop_map(Step::Policy),
        3 => Just(Step::Forget),
        2 => Just(Step::Lie),
    ]
}

/// Both ends and the octets between them.
struct World {
    client: Client,
    server: Server,
    up: Vec<u8>,
    down: Vec<u8>,
    connected: bool,
    /// The link writes so many times and no more before something else happens.
    pace: usize,
}

impl World {
    fn new(pace: usize) -> Self {
        Self {
            client: Client::new(),
            server: Server::default(),
            up: Vec::new(),
            down: Vec::new(),
            connected: false,
            pace,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send(count) if self.connected => self.client.send(count, &mut self.up),
            Step::Reply(count) if self.connected => self.server.send(count, &mut self.down),
            Step::Take(count) => self.client.take(count),
            Step::Up(count) => self.go_up(count),
            Step::Down(count) => self.go_down(count),
            Step::Wait(ms) => self.client.now += Duration::from_millis(ms),
            Step::Cut(up, down) if self.connected => {
                self.go_up(self.up.len() * up / 1_000);
                self.go_down(self.down.len() * down / 1_000);
                self.cut();
            }
            Step::Dial if !self.connected => {
                self.connected = true;
                self.server.accept();
                self.client.connect(&mut self.up);
            }
            Step::Fail(ms) if !self.connected => {
                self.client.now += Duration::from_millis(ms);
                self.client.disconnect();
            }
            Step::Ask if self.connected => self.server.ask(&mut self.down),
            Step::Acknowledge if self.connected => self.server.acknowledge(&mut self.down),
            Step::Policy(policy) => self.server.change(policy, &mut self.down),
            Step::Forget if !self.connected => drop(self.server.forget()),
            Step::Lie if self.connected => self.server.lie(&mut self.down),
            Step::Send(_)
            | Step::Reply(_)
            | Step::Cut(..)
            | Step::Dial
            | Step::Fail(_)
            | Step::Ask
            | Step::Acknowledge
            | Step::Forget
            | Step::Lie => {}
        }
        if self.connected && self.client.expire() {
            self.cut();
        }
        if self.connected {
            self.client.write(self.pace, &mut self.up);
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
        let lied = self.server.lied;
        if let Err(fault) = self.client.read(&octets, &mut self.up) {
            assert!(lied, "{fault} from a server that counts");
            self.server.lied = false;
            self.cut();
        }
    }

    fn cut(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.up.clear();
            self.down.clear();
            self.client.disconnect();
            self.server.disconnect();
        }
    }

    /// The faults end, everything arrives, and what was sent is compared with what was taken.
    fn settle(mut self) {
        self.step(&Step::Policy(Policy::default()));
        // After a fault or a refusal the connection has no session, and the next has one.
        for _ in 0..4 {
            for _ in 0..12 {
                self.step(&Step::Dial);
                for _ in 0..4 {
                    self.step(&Step::Up(usize::MAX));
                    self.step(&Step::Down(usize::MAX));
                    self.step(&Step::Take(usize::MAX));
                }
                self.step(&Step::Ask);
                self.step(&Step::Wait(1_100));
            }
            if self.server.has_session() {
                break;
            }
            self.cut();
        }
        assert!(self.connected, "two ends that behave stay together");
        self.client.check(&self.server.taken);
        self.server.check(&self.client.taken);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_sent_arrives_in_order_and_once_or_is_reported_lost(
        steps in prop::collection::vec(steps(), 100..400),
        pace in 1..4usize,
    ) {
        let mut world = World::new(pace);
        world.step(&Step::Dial);
        for step in &steps {
            world.step(step);
        }
        world.settle();
    }
}
