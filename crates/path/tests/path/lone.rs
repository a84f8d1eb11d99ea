//! One route, whose peer is the test.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use xtls_path::xtls_stanza::path::{Candidate, CandidateKind, Cid, Hints, Signal, Takes, Why};
use xtls_path::xtls_stanza::s5b::{Host, Sid};
use xtls_path::xtls_stanza::{Address, ibb};
use xtls_path::{Pipe, Role, Route, RouteEvent, Settings, Wish};

use crate::city::{home, relay, settings};
use crate::world::{CLIENT, SERVER, bound, keys};

pub(crate) const RELAY: &str = "proxy.montague.example";

/// One end, whose peer is the test.
pub(crate) struct Lone {
    pub(crate) route: Route,
    pub(crate) now: Instant,
}

impl Lone {
    pub(crate) fn new(role: Role, settings: Settings) -> Self {
        let now = Instant::now();
        let mut route = Route::new(now, bound(now, keys(role), role), settings, [3; 32]);
        route.set_relays(now, vec![relay(RELAY)]);
        Self { route, now }
    }

    pub(crate) fn of(role: Role, policy: Takes) -> Self {
        let end = if role == Role::Client { CLIENT } else { SERVER };
        let mut settings = settings(end, policy);
        settings.advertise = vec![home(end)];
        Self::new(role, settings)
    }

    pub(crate) fn says(&mut self, signal: Signal) {
        self.route.handle_signal(self.now, signal);
    }

    pub(crate) fn signals(&mut self) -> Vec<Signal> {
        std::iter::from_fn(|| self.route.poll_signal()).collect()
    }

    pub(crate) fn wishes(&mut self) -> Vec<Wish> {
        std::iter::from_fn(|| self.route.poll_wish()).collect()
    }

    pub(crate) fn events(&mut self) -> Vec<RouteEvent> {
        std::iter::from_fn(|| self.route.poll_event()).collect()
    }

    pub(crate) fn dials(&mut self) -> Vec<Pipe> {
        let dial = |wish| match wish {
            Wish::Dial { pipe, .. } => Some(pipe),
            _ => None,
        };
        self.wishes().into_iter().filter_map(dial).collect()
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.route.handle_timeout(self.now);
    }
}

pub(crate) fn cid(text: &str) -> Cid {
    Cid::new(text).unwrap()
}

pub(crate) fn candidate(name: &str, kind: CandidateKind) -> Candidate {
    Candidate {
        cid: cid(name),
        priority: kind.priority(),
        kind,
    }
}

pub(crate) fn direct(at: u16) -> Candidate {
    let kind = CandidateKind::Direct {
        host: Host::new("198.51.100.7").unwrap(),
        port: NonZeroU16::new(1_000 + at).unwrap(),
    };
    candidate(&format!("x{at}"), kind)
}

pub(crate) fn relayed(at: u16, host: &str) -> Candidate {
    let kind = CandidateKind::Relay {
        jid: Address::new(host).unwrap(),
        host: Host::new(host).unwrap(),
        port: NonZeroU16::new(5_000).unwrap(),
        sid: Sid::new(&format!("sid{at}")).unwrap(),
    };
    candidate(&format!("y{at}"), kind)
}

pub(crate) fn stream(name: &str) -> Candidate {
    let sid = ibb::Sid::new("aaaaaaaa").unwrap();
    candidate(name, CandidateKind::Stream { sid })
}

pub(crate) fn hints(attempt: u64, why: Why, candidates: Vec<Candidate>) -> Signal {
    Signal::Hints(Hints {
        attempt,
        why,
        takes: Takes::Any,
        candidates,
    })
}
