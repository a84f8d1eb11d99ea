//! What an idle end holds, and how often bytes are copied.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing, and any moment will do"
)]

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use xtls_path::bytes::Bytes;
use xtls_path::xtls_stanza::Address;
use xtls_path::xtls_stanza::path::{Because, Takes};
use xtls_path::xtls_stanza::s5b::Host;
use xtls_path::{Beginning, KNOCK, Keys, Kind, LegId, Place, Role, Route, Settings, Wire, Wish};

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

/// The two ends of a tunnel that may meet at an address of the server's end.
fn routes() -> [Route; 2] {
    let now = Instant::now();
    let names = [
        "romeo@montague.example/orchard",
        "juliet@capulet.example/balcony",
    ];
    let names = names.map(|name| Address::new(name).unwrap());
    [Role::Client, Role::Server].map(|role| {
        let mut wire = Wire::new(now, role);
        wire.bind(Keys::new(&[7; 32], b"ends", role));
        let (own, peer) = match role {
            Role::Client => (0, 1),
            Role::Server => (1, 0),
        };
        let advertise = vec![(Host::new("192.0.2.2").unwrap(), NonZeroU16::MIN)];
        let settings = Settings {
            policy: Takes::Any,
            first_seen: false,
            own: names[own].clone(),
            peer: names[peer].clone(),
            advertise,
        };
        Route::new(now, wire, settings, [1; 32])
    })
}

/// Both move there.
fn meet(routes: &mut [Route; 2]) {
    let now = Instant::now();
    let mut pipes = [None; 2];
    routes[0].seek(now);
    for route in routes.iter_mut() {
        route.set_relays(now, Vec::new());
    }
    for _ in 0..20 {
        for end in [0, 1] {
            while let Some(signal) = routes[end].poll_signal() {
                routes[1 - end].handle_signal(now, signal);
            }
            while let Some(wish) = routes[end].poll_wish() {
                // The server's end is met; the client's is refused.
                if let Wish::Dial { pipe, .. } = wish {
                    if end == 0 {
                        pipes[0] = Some(pipe);
                        routes[0].connected(now, pipe);
                    } else {
                        routes[1].failed(now, pipe, Because::Refused);
                    }
                }
            }
            while let Some(pipe) = pipes[end]
                && let Some(bytes) = routes[end].poll_pipe(now, pipe, 65_536)
            {
                match pipes[1 - end] {
                    Some(other) => routes[1 - end].handle_pipe(now, other, &bytes),
                    None => {
                        let knock: [u8; KNOCK] = bytes[..].try_into().unwrap();
                        pipes[1] = routes[1].knock(now, &knock);
                    }
                }
            }
            while routes[end].poll_event().is_some() {}
        }
    }
    for route in routes {
        assert_eq!(route.carrying(), Some(Kind::Direct));
        route.handle_timeout(now + Duration::from_secs(2));
        while route.poll_signal().is_some()
            || route.poll_wish().is_some()
            || route.poll_event().is_some()
        {}
    }
}

#[test]
fn an_idle_end_on_a_leg_holds_at_most_2_kib_more_than_in_band() {
    let mut kept = None;
    let in_band = measure(|| kept = Some(routes()));
    let on_a_leg = measure(|| {
        let mut routes = routes();
        meet(&mut routes);
        kept = Some(routes);
    });
    // What was kept before is given back in the second measure.
    let all = on_a_leg.bytes_current + in_band.bytes_current;
    let more = (all - in_band.bytes_current) / 2;
    assert!(more <= 2_048, "{more} bytes more");
    let each = all / 2 + i64::try_from(size_of::<Route>()).unwrap();
    assert!(each <= 4_096, "{each} bytes");
    drop(kept);
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
