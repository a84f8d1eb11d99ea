//! What there is in a [`City`](super::City): relays, connections, and what is under way.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use xtls_path::bytes::Bytes;
use xtls_path::xtls_stanza::path::CandidateKind;
use xtls_path::xtls_stanza::path::{Because, Signal, Takes};
use xtls_path::xtls_stanza::s5b::{Host, Streamhost};
use xtls_path::xtls_stanza::{Address, ibb, s5b};
use xtls_path::{Dial, Kind, Pipe, Refusal, RouteEvent, Settings, Wish};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const S: Duration = Duration::from_secs(1);

/// A relay, as a server announces it.
pub(crate) fn relay(name: &str) -> Streamhost {
    Streamhost {
        jid: Address::new(name).unwrap(),
        host: Host::new(name).unwrap(),
        port: NonZeroU16::new(5_000).unwrap(),
    }
}

/// Where an end listens.
pub(crate) fn home(end: usize) -> (Host, NonZeroU16) {
    let host = ["192.0.2.1", "192.0.2.2"][end];
    (Host::new(host).unwrap(), NonZeroU16::new(49_152).unwrap())
}

pub(crate) fn settings(end: usize, policy: Takes) -> Settings {
    let names = [
        "romeo@montague.example/orchard",
        "juliet@capulet.example/balcony",
    ];
    Settings {
        policy,
        first_seen: false,
        own: Address::new(names[end]).unwrap(),
        peer: Address::new(names[1 - end]).unwrap(),
        advertise: Vec::new(),
    }
}

/// What goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Signals of this end do not arrive.
    pub(crate) mute: [bool; 2],
    /// Signals of this end are answered by errors.
    pub(crate) refused: [bool; 2],
    /// These say that the tunnel is not known.
    pub(crate) gone: bool,
    /// Streams in-band do not come about.
    pub(crate) no_streams: bool,
    /// How much the first stream, and every other line, passes in each 100 ms, if it is not everything.
    pub(crate) narrow: [Option<usize>; 2],
}

/// How much has passed in these 100 ms.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    since: Option<Instant>,
    passed: usize,
}

impl Gate {
    /// What may pass now.
    pub(crate) fn room(&mut self, now: Instant, narrow: Option<usize>) -> usize {
        if self.since.is_none_or(|since| since + 100 * MS <= now) {
            (self.since, self.passed) = (Some(now), 0);
        }
        narrow.map_or(20_000, |most| most.saturating_sub(self.passed))
    }

    pub(crate) fn pass(&mut self, bytes: usize) {
        self.passed += bytes;
    }
}

/// A connection, or a stream, and what is under way on it.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// What it is called at each end.
    pub(crate) names: [Option<Pipe>; 2],
    /// The relay it goes through.
    pub(crate) host: Option<Host>,
    pub(crate) in_band: bool,
    /// A direct one: who connected.
    pub(crate) from: Option<usize>,
    /// A relay passes nothing before.
    pub(crate) joined: bool,
    pub(crate) dead: bool,
    /// The first bytes at a listener.
    pub(crate) first: Vec<u8>,
    pub(crate) gates: [Gate; 2],
    /// When the last bytes to each end arrive.
    pub(crate) last: [Option<Instant>; 2],
}

impl Line {
    pub(crate) fn through(host: &Host) -> Self {
        Self {
            host: Some(host.clone()),
            ..Self::default()
        }
    }
}

#[derive(Debug)]
pub(crate) enum Thing {
    Signal(usize, Signal),
    SignalFailed(usize, u64, bool),
    Relays(usize),
    Dial(usize, Pipe, Dial, Host, NonZeroU16),
    Connected(usize, Pipe),
    Failed(usize, Pipe, Because),
    Activate(usize, Pipe, Address, s5b::Sid),
    Activated(usize, Pipe, Result<(), Refusal>),
    Open(usize, Pipe, ibb::Sid),
    Bytes(usize, usize, Bytes),
    Ended(usize, usize),
    Zero(usize, Bytes),
    ZeroAcknowledged(usize, u64),
}

/// What a relay's answers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temper {
    Good,
    Down,
    NeverActivates,
    Limited,
    Silent,
    Address,
    Socks,
}

/// What the ends have said, done and told their owners.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) said: [Vec<Signal>; 2],
    pub(crate) dialled: [Vec<(String, Kind)>; 2],
    pub(crate) wishes: [Vec<Wish>; 2],
    pub(crate) events: [Vec<(Duration, RouteEvent)>; 2],
}

impl Log {
    pub(crate) fn heard(&self, end: usize, event: RouteEvent) -> bool {
        self.events[end].iter().any(|(_, heard)| *heard == event)
    }

    /// Hosts that an end has told the peer, by kind.
    pub(crate) fn told(&self, end: usize) -> Vec<(String, Kind)> {
        let mut told = Vec::new();
        for signal in &self.said[end] {
            let Signal::Hints(hints) = signal else {
                continue;
            };
            for candidate in &hints.candidates {
                match &candidate.kind {
                    CandidateKind::Relay { host, .. } => told.push((host.to_string(), Kind::Relay)),
                    CandidateKind::Direct { host, .. } => {
                        told.push((host.to_string(), Kind::Direct));
                    }
                    CandidateKind::Stream { .. } => {}
                }
            }
        }
        told
    }
}
