//! Transports can be swapped. A session needs only bytes in order: the same scenarios over In-Band Bytestreams, over
//! the start flow, over a plain pipe, over a TCP socket, and over legs of the wire that moves. And a router needs only a
//! [`Transport`](xtls_client::transport::Transport): the same through whole routers (`routers.rs`), and also over one
//! that was written outside (`beside.rs`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

mod beside;
mod legs;
mod lines;
mod routers;
mod world;

use std::sync::Arc;
use std::time::Instant;

use legs::Legs;
use lines::{Line, Pipe, Socket, bytestream, start_flow};
use xtls_session::{Binding, By, Config, Event, Mode, Service, Session, Verdict, Why};
use xtls_stanza::Stanza;
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::pair::message;
use xtls_tls::trust::{Level, Method, Policy, Store};
use xtls_tls::{Role, Tls};

const R: usize = 0;
const J: usize = 1;

/// Two sessions and what connects them.
struct Both<L> {
    line: L,
    ends: [Session; 2],
    events: [Vec<Event>; 2],
    /// What was read from a byte stream.
    bytes: [Vec<u8>; 2],
    now: Instant,
}

impl<L: Line> Both<L> {
    /// The owner's verdict on the other's key.
    fn judge(&mut self, end: usize, verdict: Verdict) {
        let key = self.events[end].iter().find_map(|event| match event {
            Event::Judge(introduction) => Some(introduction.fingerprint),
            _ => None,
        });
        self.ends[end]
            .judge(self.now, key.unwrap(), verdict)
            .unwrap();
    }

    /// `known`: whether the two have verified each other.
    fn new(line: L, known: bool, service: &Service) -> Self {
        let now = Instant::now();
        let end = |own: &str, peer: &str, number: u8, role| {
            let (own, peer) = (keys::address(own), keys::address(peer));
            let tls = keys::seeded_tls(keys::identity(own.bare(), number), [number; 32]);
            let mut store = Store::new();
            if known {
                let key = keys::fingerprint(peer.bare(), 3 - number);
                let level = Level::Verified(Method::Fingerprint);
                store.pin(peer.bare(), key, level, keys::LETTER).unwrap();
            }
            let sid = "s1".to_owned();
            let service = service.clone();
            let binding = Binding {
                own,
                peer,
                sid,
                service,
                role,
            };
            let expect = binding.expect(Arc::new(store), Policy::Ask);
            let tls = Tls::new(role, &tls, expect).unwrap();
            Session::new(binding, tls, Config::default(), now)
        };
        let ends = [
            end(ROMEO, JULIET, 1, Role::Client),
            end(JULIET, ROMEO, 2, Role::Server),
        ];
        Self {
            line,
            ends,
            events: [Vec::new(), Vec::new()],
            bytes: [Vec::new(), Vec::new()],
            now,
        }
    }

    fn established(line: L) -> Self {
        Self::established_for(line, &Service::stanzas())
    }

    fn established_for(line: L, service: &Service) -> Self {
        let mut both = Self::new(line, true, service);
        both.run();
        for end in [R, J] {
            let established =
                |event: &Event| matches!(event, Event::Established(peer) if peer.bound);
            assert!(
                both.events[end].iter().any(established),
                "{:?}",
                both.events[end]
            );
        }
        both
    }

    /// Runs until nothing moves.
    fn run(&mut self) {
        loop {
            let mut moved = false;
            for end in [R, J] {
                let session = &mut self.ends[end];
                while let Some(event) = session.poll_event() {
                    moved = true;
                    if event == Event::PeerFinished {
                        session.took(self.now);
                    }
                    self.events[end].push(event);
                }
                while let Some(bytes) = session.read(1000) {
                    moved = true;
                    self.bytes[end].extend_from_slice(&bytes);
                }
                while let room @ 1.. = self.line.room(end)
                    && let Some(wire) = session.poll_wire(room)
                {
                    moved = true;
                    self.line.write(end, wire);
                }
                while session.wants_wire()
                    && let Some(wire) = self.line.read(end)
                {
                    moved = true;
                    session.handle_wire(self.now, &wire);
                }
            }
            moved |= self.line.step();
            if !moved {
                return;
            }
        }
    }

    fn heard(&self, end: usize) -> Vec<Stanza> {
        let stanza = |event: &Event| match event {
            Event::Stanza(stanza) => Some(stanza.clone()),
            _ => None,
        };
        self.events[end].iter().filter_map(stanza).collect()
    }

    /// Both sides have ended with this reason.
    fn assert_ended(&self, why: &Why, clean: bool) {
        for end in [R, J] {
            let close = self.closed(end);
            assert_eq!((&close.why, close.clean), (why, clean));
        }
    }

    /// The end of one side: present, once, and last.
    fn closed(&self, end: usize) -> xtls_session::Close {
        let closed = |event: &&Event| matches!(event, Event::Closed(_));
        assert_eq!(
            self.events[end].iter().filter(closed).count(),
            1,
            "{:?}",
            self.events[end]
        );
        match self.events[end].last() {
            Some(Event::Closed(close)) => close.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn has_finished(&self, end: usize) -> bool {
        self.events[end].contains(&Event::PeerFinished)
    }
}

fn handshake<L: Line>(line: L) {
    Both::established(line);
}

fn stanzas<L: Line>(line: L) {
    let mut both = Both::established(line);
    let long = "O, speak again, bright angel! ".repeat(1500);
    for number in 0..100 {
        for end in [R, J] {
            let body = if number == 50 {
                &long
            } else {
                "Call me but love"
            };
            both.ends[end]
                .send(&message(&format!("m{number}"), body))
                .unwrap();
        }
        if number % 7 == 0 {
            both.run();
        }
    }
    both.run();
    for (end, peer) in [(R, JULIET), (J, ROMEO)] {
        let heard = both.heard(end);
        assert_eq!(heard.len(), 100);
        for (number, stanza) in heard.iter().enumerate() {
            assert_eq!(stanza.id.as_deref(), Some(&*format!("m{number}")));
            assert_eq!(stanza.from, Some(keys::address(peer)));
        }
        assert!(heard[50].children.len() > long.len());
    }
}

fn half_close<L: Line>(line: L) {
    let mut both = Both::established(line);
    both.ends[R].send(&message("last", "word")).unwrap();
    both.ends[R].finish(both.now);
    both.run();
    assert!(both.has_finished(J) && !both.has_finished(R));
    for number in 0..50 {
        both.ends[J]
            .send(&message(&format!("m{number}"), "I will go on"))
            .unwrap();
        both.run();
    }
    assert_eq!(both.heard(R).len(), 50);
    both.ends[J].finish(both.now);
    both.run();
    both.assert_ended(&Why::Finished, true);
    assert_eq!((both.closed(R).by, both.closed(J).by), (By::Us, By::Peer));
}

fn close<L: Line>(line: L) {
    let mut both = Both::established(line);
    both.ends[R].close(both.now);
    both.ends[J].close(both.now);
    both.run();
    both.assert_ended(&Why::Finished, true);
}

fn truncation<L: Line>(line: L) {
    let mut both = Both::established(line);
    both.ends[R].send(&message("m1", "word")).unwrap();
    both.run();
    both.line.cut();
    for end in [R, J] {
        both.ends[end].handle_wire_end(both.now);
    }
    both.run();
    assert_eq!(both.heard(J).len(), 1, "what came before is handed out");
    for end in [R, J] {
        let close = both.closed(end);
        assert_eq!(
            (close.by, &close.why, close.clean),
            (By::Transport, &Why::Truncated, false)
        );
    }
}

fn refusal<L: Line>(line: L) {
    let mut both = Both::new(line, false, &Service::stanzas());
    both.run();
    let asked = |event: &Event| matches!(event, Event::Judge(_));
    assert!(both.events[R].iter().any(asked) && both.events[J].iter().any(asked));
    both.judge(R, Verdict::Accept);
    both.ends[R]
        .send(&message("m1", "for nobody's ears"))
        .unwrap();
    both.run();
    both.judge(J, Verdict::Refuse);
    both.run();
    assert_eq!(
        (both.closed(J).by, both.closed(J).why),
        (By::Us, Why::Refused)
    );
    assert_eq!(both.heard(J).len(), 0);
    both.line.cut();
    both.ends[R].handle_wire_end(both.now);
    both.run();
    let close = both.closed(R);
    assert_eq!((close.clean, close.unconfirmed), (false, 1));
}

fn pipe<L: Line>(line: L) -> Both<L> {
    Both::established_for(line, &Service::new("pipe", Mode::Bytes))
}

/// Different bytes for each end.
fn noise(end: usize) -> Vec<u8> {
    let end = u32::try_from(end).unwrap();
    let words = (0..25_000_u32).map(|number| number.wrapping_mul(2_654_435_761 + end));
    words.flat_map(u32::to_be_bytes).collect()
}

fn write_all<L: Line>(both: &mut Both<L>, ends: &[usize]) {
    let said = [noise(R), noise(J)];
    let mut at = [0, 0];
    while ends.iter().any(|&end| at[end] < said[end].len()) {
        let before = at;
        for &end in ends {
            at[end] += both.ends[end].write(&said[end][at[end]..]).unwrap();
        }
        both.run();
        assert_ne!(at, before, "no room and nothing moves");
    }
}

fn bytes<L: Line>(line: L) {
    let mut both = pipe(line);
    write_all(&mut both, &[R, J]);
    assert!(both.bytes[J] == noise(R) && both.bytes[R] == noise(J));
    assert!(both.ends[R].send(&message("m1", "word")).is_err());
    both.ends[R].close(both.now);
    both.ends[J].close(both.now);
    both.run();
    both.assert_ended(&Why::Finished, true);
}

fn bytes_half_close<L: Line>(line: L) {
    let mut both = pipe(line);
    both.ends[R].write(b"last").unwrap();
    both.ends[R].finish(both.now);
    both.run();
    assert!(both.has_finished(J) && !both.has_finished(R));
    assert_eq!(both.bytes[J], b"last");
    write_all(&mut both, &[J]);
    both.ends[J].finish(both.now);
    both.run();
    assert!(both.bytes[R] == noise(J));
    both.assert_ended(&Why::Finished, true);
}

fn bytes_cut<L: Line>(line: L) {
    let mut both = pipe(line);
    both.ends[R].write(b"what came").unwrap();
    both.run();
    both.ends[R].write(b" and what did not").unwrap();
    both.line.cut();
    for end in [R, J] {
        both.ends[end].handle_wire_end(both.now);
    }
    both.run();
    assert_eq!(both.bytes[J], b"what came");
    both.assert_ended(&Why::Truncated, false);
}

macro_rules! over {
    ($($name:ident: $line:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn a_handshake() { handshake($line); }
            #[test]
            fn stanzas_both_ways() { stanzas($line); }
            #[test]
            fn a_half_close() { half_close($line); }
            #[test]
            fn a_close() { close($line); }
            #[test]
            fn a_truncation() { truncation($line); }
            #[test]
            fn a_refusal() { refusal($line); }
            #[test]
            fn bytes_both_ways() { bytes($line); }
            #[test]
            fn a_half_close_of_bytes() { bytes_half_close($line); }
            #[test]
            fn a_cut_of_bytes() { bytes_cut($line); }
        }
    )*};
}

over! {
    in_band_bytestream: bytestream();
    original_flow: start_flow();
    pipe: Pipe::default();
    socket: Socket::new();
    leg: Legs::one();
    leg_after_leg: Legs::many();
}
