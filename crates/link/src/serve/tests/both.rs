//! Our client and our server's end, octets between them in every cutting.

use zeroize::Zeroizing;

use super::*;
use crate::session::Session;
use crate::stream::{Event, Opened, Stream};

/// SplitMix64.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*seed ^ *seed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// Both ends, and what is on its way between them.
struct World {
    now: Instant,
    client: Stream,
    server: Serving,
    up: Vec<u8>,
    down: Vec<u8>,
    at_client: Vec<String>,
    at_server: Vec<String>,
    bound: Option<Address>,
    end: Option<crate::ConnectError>,
    ended: Option<ServeError>,
    closed: (bool, bool),
}

impl World {
    fn new(password: &str) -> Self {
        let now = Instant::now();
        let account = Address::new("romeo@example.org").unwrap();
        let session = Session::new(&account, Zeroizing::new(password.to_owned()), [3; 32]);
        let session = session.unwrap().allow_plain(true).resource("orchard");
        Self {
            now,
            client: Stream::new(session, None, now),
            server: Serving::new(&domains(), [4; 32], now),
            up: Vec::new(),
            down: Vec::new(),
            at_client: Vec::new(),
            at_server: Vec::new(),
            bound: None,
            end: None,
            ended: None,
            closed: (false, false),
        }
    }

    /// What is written arrives, in pieces of at most so many octets, until nothing is on its way.
    fn run(&mut self, mut piece: impl FnMut() -> usize) {
        loop {
            while let Some(octets) = self.client.poll_transmit(self.now) {
                self.up.extend_from_slice(octets);
            }
            while let Some(octets) = self.server.poll_transmit(self.now) {
                self.down.extend_from_slice(octets);
            }
            if self.up.is_empty() && self.down.is_empty() {
                return;
            }
            let up: Vec<u8> = self.up.drain(..piece().min(self.up.len())).collect();
            self.server.handle_bytes(&up);
            self.read_at_server();
            let down: Vec<u8> = self.down.drain(..piece().min(self.down.len())).collect();
            self.client.handle_bytes(self.now, &down);
            self.read_at_client();
        }
    }

    fn read_at_server(&mut self) {
        loop {
            match self.server.poll_event(self.now) {
                Ok(None) => return,
                Ok(Some(ServingEvent::Login(login))) => {
                    assert_eq!(login.account().as_str(), "romeo@example.org");
                    self.server.log_in(login.is_password("pencil")).unwrap();
                }
                Ok(Some(ServingEvent::Bind(address))) => self.server.bind(&address),
                Ok(Some(ServingEvent::Stanza(octets))) => {
                    let stanza = String::from_utf8(octets.to_vec()).unwrap();
                    self.at_server.push(stanza);
                }
                Ok(Some(ServingEvent::Closed)) => self.closed.1 = true,
                Err(error) => assert_eq!(self.ended.replace(error), None),
            }
        }
    }

    fn read_at_client(&mut self) {
        loop {
            match self.client.poll_event(self.now) {
                Ok(None) => return,
                Ok(Some(Event::Opened(Opened::Bound { address, .. }))) => {
                    self.bound = Some(address);
                }
                Ok(Some(Event::Stanza(octets))) => {
                    let stanza = String::from_utf8(octets.to_vec()).unwrap();
                    self.at_client.push(stanza);
                }
                Ok(Some(Event::Closed)) => self.closed.0 = true,
                Ok(Some(other)) => panic!("{other:?}"),
                Err(error) => assert_eq!(self.end.replace(error), None),
            }
        }
    }

    /// Time passes, and what is due is done.
    fn wait(&mut self) {
        self.now += Duration::from_secs(2);
        self.client.handle_timeout(self.now).unwrap();
        self.server.handle_timeout(self.now).unwrap();
    }
}

fn message(number: usize) -> String {
    format!("<message id='{number}'/>")
}

fn talk(mut piece: impl FnMut() -> usize) {
    let mut world = World::new("pencil");
    world.run(&mut piece);
    assert_eq!((&world.end, &world.ended), (&None, &None));
    assert_eq!(
        world.bound.take().unwrap().as_str(),
        "romeo@example.org/orchard"
    );
    let (mut sent, mut answered) = (0, 0);
    for _ in 0..40 {
        for _ in 0..piece() % 7 {
            sent += 1;
            let octets = message(sent);
            let write = |out: &mut Vec<u8>| out.extend_from_slice(octets.as_bytes());
            world.client.send_with(write).unwrap();
        }
        for _ in 0..piece() % 7 {
            answered += 1;
            let octets = message(answered);
            let write = |out: &mut Vec<u8>| out.extend_from_slice(octets.as_bytes());
            world.server.send_with(write).unwrap();
        }
        world.run(&mut piece);
        world.wait();
        world.run(&mut piece);
    }
    let expected = |count| (1..=count).map(message).collect::<Vec<_>>();
    assert_eq!(world.at_server, expected(sent));
    assert_eq!(world.at_client, expected(answered));
    world.client.close(world.now);
    world.run(&mut piece);
    assert_eq!(world.closed, (true, true));
    assert_eq!((world.end, world.ended), (None, None));
    // Both know that everything has arrived.
    let left = world.server.into_unacknowledged(world.now);
    assert_eq!(left, [""; 0]);
    let mut session = world.client.into_session(world.now);
    assert_eq!(session.take_unacknowledged(), [""; 0]);
}

#[test]
fn a_wrong_password_is_told_as_such() {
    for pieces in [usize::MAX, 1, 7] {
        let mut world = World::new("pen");
        world.run(|| pieces);
        let error = world.end.unwrap();
        assert!(error.is_final(), "{error:?}");
        let text = "romeo@example.org could not log in: not-authorized";
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_conflict_is_told_as_such() {
    let mut world = World::new("pencil");
    world.run(|| usize::MAX);
    world.server.end("conflict");
    world.run(|| usize::MAX);
    let error = world.end.unwrap();
    assert!(
        error.is_final() && error.to_string().contains("conflict"),
        "{error}"
    );
}

#[test]
fn our_client_and_our_server_understand_each_other_in_every_cutting() {
    for pieces in [usize::MAX, 1, 2, 3, 7] {
        println!("in pieces of {pieces}");
        talk(|| pieces);
    }
    for seed in 0..16 {
        println!("in pieces by the seed {seed}");
        let mut state = seed;
        talk(|| 1 + usize::try_from(random(&mut state) % 60).unwrap());
    }
}
