//! Two routes, with servers, relays, sockets and a link to each server between them, in virtual time.

mod things;

use self::things::{Faults, Gate, Line, Log, Thing};
pub(crate) use self::things::{MS, S, Temper, home, relay, settings};
use crate::world::{CLIENT, Draw, SERVER, bound, keys, part};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};
use xtls_path::bytes::Bytes;
use xtls_path::xtls_stanza::path::{Because, Signal, Takes};
use xtls_path::xtls_stanza::s5b::{Host, Streamhost};
use xtls_path::xtls_stanza::{Address, s5b};
use xtls_path::{Dial, KNOCK, Kind, LegId, Pipe, Refusal, Role, Route, RouteEvent, Settings, Wish};

pub(crate) struct City {
    pub(crate) ends: [Route; 2],
    pub(crate) now: Instant,
    things: BTreeMap<(Instant, u64), Thing>,
    count: u64,
    pub(crate) draw: Draw,
    /// The longest way of anything, in milliseconds.
    pub(crate) delay: usize,
    /// What each end's server announces.
    pub(crate) relays: [Vec<Streamhost>; 2],
    pub(crate) tempers: BTreeMap<String, Temper>,
    /// That of the stream in the beginning.
    gates: [Gate; 2],
    lines: Vec<Line>,
    /// Connections at relays by what they ask for.
    asked: BTreeMap<(String, String, String, String), usize>,
    awaited: [BTreeMap<String, Pipe>; 2],
    pub(crate) log: Log,
    pub(crate) expecting: [bool; 2],
    pub(crate) faults: Faults,
    pub(crate) zero: bool,
    zero_last: [Option<Instant>; 2],
    signal_last: [Option<Instant>; 2],
    pub(crate) written: [u64; 2],
    pub(crate) read: [u64; 2],
    pub(crate) begun: Instant,
    /// What an end has open.
    pub(crate) open: [BTreeSet<Pipe>; 2],
}

impl City {
    pub(crate) fn new(seed: u64, policies: [Takes; 2]) -> Self {
        Self::with(seed, [0, 1].map(|end| settings(end, policies[end])))
    }

    pub(crate) fn with(seed: u64, settings: [Settings; 2]) -> Self {
        let now = Instant::now();
        let roles = [Role::Client, Role::Server];
        let [one, two] = settings;
        let wire = |end: usize| bound(now, keys(roles[end]), roles[end]);
        let seeds = [[1; 32], [2; 32]];
        let ends = [
            Route::new(now, wire(CLIENT), one, seeds[CLIENT]),
            Route::new(now, wire(SERVER), two, seeds[SERVER]),
        ];
        Self {
            ends,
            now,
            things: BTreeMap::new(),
            count: 0,
            draw: Draw::new(seed),
            delay: 30,
            relays: Default::default(),
            tempers: BTreeMap::new(),
            gates: Default::default(),
            lines: Vec::new(),
            asked: BTreeMap::new(),
            awaited: Default::default(),
            log: Log::default(),
            expecting: [false; 2],
            faults: Faults::default(),
            zero: true,
            zero_last: [None; 2],
            signal_last: [None; 2],
            written: [0; 2],
            read: [0; 2],
            begun: now,
            open: Default::default(),
        }
    }

    fn after(&mut self, least: Option<Instant>, thing: Thing) -> Instant {
        let way = Duration::from_millis(1 + self.draw.below(self.delay) as u64);
        let at = (self.now + way).max(least.unwrap_or(self.now));
        self.at(at, thing);
        at
    }

    fn at(&mut self, at: Instant, thing: Thing) {
        self.count += 1;
        self.things.insert((at, self.count), thing);
    }

    fn temper(&self, host: &Host) -> Temper {
        *self.tempers.get(host.as_str()).unwrap_or(&Temper::Good)
    }

    // What the ends do.

    pub(crate) fn write(&mut self, end: usize, length: usize) {
        let wire = self.ends[end].wire_mut();
        let bytes = part(end, self.written[end], length.min(wire.room()));
        let taken = wire.write(Bytes::from(bytes));
        self.written[end] += taken as u64;
        self.look();
    }

    fn came(&mut self, end: usize, bytes: &[u8]) {
        let written = part(1 - end, self.read[end], bytes.len());
        assert_eq!(bytes, written, "not what was written");
        self.read[end] += bytes.len() as u64;
    }

    pub(crate) fn seek(&mut self, end: usize) {
        self.ends[end].seek(self.now);
        self.look();
    }

    pub(crate) fn verified(&mut self, end: usize) {
        self.ends[end].verified(self.now);
        self.look();
    }

    /// Everything that the ends have to say and to do.
    pub(crate) fn look(&mut self) {
        let mut more = true;
        while more {
            more = false;
            for end in [CLIENT, SERVER] {
                while let Some(bytes) = self.ends[end].wire_mut().read(self.now, 10_000) {
                    self.came(end, &bytes);
                    more = true;
                }
                while let Some(signal) = self.ends[end].poll_signal() {
                    self.say(end, signal);
                    more = true;
                }
                while let Some(wish) = self.ends[end].poll_wish() {
                    self.log.wishes[end].push(wish.clone());
                    self.fulfil(end, wish);
                    more = true;
                }
                while let Some(event) = self.ends[end].poll_event() {
                    if event == RouteEvent::CloseZero {
                        self.zero = false;
                        let least = self.zero_last[1 - end];
                        self.after(least, Thing::Ended(usize::MAX, 1 - end));
                    }
                    self.log.events[end].push((self.now - self.begun, event));
                    more = true;
                }
                more |= self.carry(end);
            }
        }
    }

    fn carry(&mut self, end: usize) -> bool {
        let mut more = false;
        loop {
            let room = self.gates[end].room(self.now, self.faults.narrow[0]);
            let wire = self.ends[end].wire_mut();
            let Some(bytes) = wire.poll_leg(self.now, LegId::ZERO, room) else {
                break;
            };
            more = true;
            self.gates[end].pass(bytes.len());
            if self.zero {
                let least = self.zero_last[1 - end];
                let at = self.after(least, Thing::Zero(1 - end, bytes));
                self.zero_last[1 - end] = Some(at);
            }
        }
        for line in 0..self.lines.len() {
            while let Some(pipe) = self.lines[line].names[end] {
                let room = self.lines[line].gates[end].room(self.now, self.faults.narrow[1]);
                let Some(bytes) = self.ends[end].poll_pipe(self.now, pipe, room) else {
                    break;
                };
                more = true;
                self.lines[line].gates[end].pass(bytes.len());
                if !self.lines[line].dead {
                    let least = self.lines[line].last[1 - end];
                    let at = self.after(least, Thing::Bytes(line, 1 - end, bytes));
                    self.lines[line].last[1 - end] = Some(at);
                }
            }
        }
        more
    }

    fn say(&mut self, end: usize, signal: Signal) {
        assert!(signal.write().len() <= 4_096);
        let copy = Signal::read(&signal.write()).unwrap();
        self.log.said[end].push(copy.clone());
        if self.faults.refused[end] {
            let failed = Thing::SignalFailed(end, signal.attempt(), self.faults.gone);
            self.after(None, failed);
        } else if self.faults.mute[end] {
            let late = Thing::SignalFailed(end, signal.attempt(), false);
            self.at(self.now + 20 * S, late);
        } else {
            let least = self.signal_last[1 - end];
            let at = self.after(least, Thing::Signal(1 - end, copy));
            self.signal_last[1 - end] = Some(at);
        }
    }

    fn fulfil(&mut self, end: usize, wish: Wish) {
        match wish {
            Wish::FindRelays => {
                self.after(None, Thing::Relays(end));
            }
            Wish::Dial {
                pipe,
                how,
                host,
                port,
            } => {
                let kind = match how {
                    Dial::Direct => Kind::Direct,
                    _ => Kind::Relay,
                };
                self.log.dialled[end].push((host.to_string(), kind));
                assert!(self.open[end].insert(pipe), "a pipe is named twice");
                self.after(None, Thing::Dial(end, pipe, how, host, port));
            }
            Wish::Activate { pipe, jid, sid, .. } => {
                self.after(None, Thing::Activate(end, pipe, jid, sid));
            }
            Wish::Expect { .. } => self.expecting[end] = true,
            Wish::Unexpect => self.expecting[end] = false,
            Wish::OpenStream { pipe, sid } => {
                assert!(self.open[end].insert(pipe), "a pipe is named twice");
                let least = self.signal_last[1 - end];
                self.after(least, Thing::Open(end, pipe, sid));
            }
            Wish::ExpectStream { pipe, sid } => {
                assert!(self.open[end].insert(pipe), "a pipe is named twice");
                self.awaited[end].insert(sid.to_string(), pipe);
            }
            Wish::Drop { pipe } => {
                assert!(self.open[end].remove(&pipe), "what is dropped was made");
                self.awaited[end].retain(|_, awaited| *awaited != pipe);
                for line in 0..self.lines.len() {
                    if self.lines[line].names[end] == Some(pipe) {
                        self.lines[line].names[end] = None;
                        let least = self.lines[line].last[1 - end];
                        self.after(least, Thing::Ended(line, 1 - end));
                    }
                }
            }
            _ => panic!("{wish:?}"),
        }
    }

    // What happens.

    fn happen(&mut self, thing: Thing) {
        let now = self.now;
        match thing {
            Thing::Signal(to, signal) => self.ends[to].handle_signal(now, signal),
            Thing::SignalFailed(end, of, gone) => self.ends[end].signal_failed(now, of, gone),
            Thing::Relays(end) => {
                let relays = self.relays[end].clone();
                self.ends[end].set_relays(now, relays);
            }
            Thing::Dial(end, pipe, how, host, port) => self.dial(end, pipe, how, &host, port),
            Thing::Connected(end, pipe) => self.ends[end].connected(now, pipe),
            Thing::Failed(end, pipe, because) => {
                self.open[end].remove(&pipe);
                self.ends[end].failed(now, pipe, because);
            }
            Thing::Activate(end, pipe, jid, sid) => self.activate(end, pipe, &jid, &sid),
            Thing::Activated(end, pipe, result) => self.ends[end].activated(now, pipe, result),
            Thing::Open(end, pipe, sid) => {
                let awaited = self.awaited[1 - end].remove(sid.as_str());
                let awaited = awaited.filter(|_| !self.faults.no_streams);
                match awaited {
                    Some(other) => self.connect(end, pipe, Some(other)),
                    None => drop(self.after(None, Thing::Failed(end, pipe, Because::Refused))),
                }
            }
            Thing::Bytes(line, to, bytes) => self.deliver(line, to, &bytes),
            Thing::Ended(usize::MAX, to) => self.ends[to].zero_ended(now),
            Thing::Ended(line, to) => self.end_line(line, to),
            Thing::Zero(to, bytes) => {
                let count = bytes.len() as u64;
                if let Some(new) = self.ends[to].wire_mut().read_zero(now, bytes) {
                    self.came(to, &new);
                }
                self.after(None, Thing::ZeroAcknowledged(1 - to, count));
            }
            Thing::ZeroAcknowledged(to, count) => {
                let wire = self.ends[to].wire_mut();
                wire.handle_zero_acknowledged(now, count);
            }
        }
    }

    fn dial(&mut self, end: usize, pipe: Pipe, how: Dial, host: &Host, port: NonZeroU16) {
        let fails = |because| Thing::Failed(end, pipe, because);
        if !self.open[end].contains(&pipe) {
            return;
        }
        match how {
            Dial::Direct => {
                if (host.clone(), port) == home(1 - end) && self.expecting[1 - end] {
                    self.connect(end, pipe, None);
                } else {
                    self.after(None, fails(Because::Refused));
                }
            }
            Dial::Relay {
                sid,
                requester,
                target,
                ..
            } => match self.temper(host) {
                Temper::Down => drop(self.after(None, fails(Because::Refused))),
                Temper::Address => drop(self.after(None, fails(Because::Address))),
                Temper::Socks => drop(self.after(None, fails(Because::Socks))),
                Temper::Silent => {}
                Temper::Good | Temper::NeverActivates | Temper::Limited => {
                    let key = [sid.as_str(), requester.as_str(), target.as_str()];
                    let [sid, requester, target] = key.map(str::to_owned);
                    let key = (host.to_string(), sid, requester, target);
                    let next = self.lines.len();
                    let line = *self.asked.entry(key).or_insert(next);
                    if line == next {
                        self.lines.push(Line::through(host));
                    }
                    self.lines[line].names[end] = Some(pipe);
                    self.after(None, Thing::Connected(end, pipe));
                }
            },
        }
    }

    /// A stream whose other end is known, or a connection to a listener.
    fn connect(&mut self, end: usize, pipe: Pipe, other: Option<Pipe>) {
        let mut names = [other; 2];
        names[end] = Some(pipe);
        self.lines.push(Line {
            names,
            in_band: other.is_some(),
            from: Some(end).filter(|_| other.is_none()),
            joined: true,
            ..Line::default()
        });
        self.after(None, Thing::Connected(end, pipe));
    }

    fn activate(&mut self, end: usize, pipe: Pipe, jid: &Address, sid: &s5b::Sid) {
        let announced = self.relays[end].iter().find(|relay| relay.jid == *jid);
        let temper = announced.map(|relay| self.temper(&relay.host));
        let asked = self.asked.iter().find(|(key, _)| key.1 == sid.as_str());
        let line = asked.map(|(_, line)| &mut self.lines[*line]);
        let both = line.filter(|line| line.names.iter().all(Option::is_some));
        let answer = match (temper, both) {
            (Some(Temper::NeverActivates), _) => return,
            (Some(Temper::Limited), _) => Err(Refusal::Limited),
            (Some(Temper::Good), Some(line)) => {
                line.joined = true;
                Ok(())
            }
            _ => Err(Refusal::Refused),
        };
        self.after(None, Thing::Activated(end, pipe, answer));
    }

    fn deliver(&mut self, line: usize, to: usize, bytes: &[u8]) {
        let found = &mut self.lines[line];
        if found.dead || !found.joined {
            return;
        }
        if let Some(pipe) = found.names[to] {
            self.ends[to].handle_pipe(self.now, pipe, bytes);
        } else if found.from == Some(1 - to) {
            found.first.extend(bytes);
            let Some((knock, rest)) = found.first.split_first_chunk::<KNOCK>() else {
                return;
            };
            let (knock, rest) = (*knock, rest.to_vec());
            if let Some(pipe) = self.ends[to].knock(self.now, &knock) {
                assert!(self.open[to].insert(pipe), "a pipe is named twice");
                self.lines[line].names[to] = Some(pipe);
                self.ends[to].handle_pipe(self.now, pipe, &rest);
            } else {
                self.end_line(line, 1 - to);
            }
        }
    }

    fn end_line(&mut self, line: usize, to: usize) {
        self.lines[line].dead = true;
        if let Some(pipe) = self.lines[line].names[to].take() {
            self.open[to].remove(&pipe);
            self.ends[to].pipe_ended(self.now, pipe);
        }
    }

    // What tests do.

    /// The time goes on.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut steps = 0;
        self.look();
        loop {
            let timer = self.ends.iter().filter_map(Route::poll_timeout).min();
            let thing = self.things.keys().next().map(|(at, _)| *at);
            let next = timer.into_iter().chain(thing).min();
            let Some(at) = next.filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(at);
            if thing == Some(at)
                && let Some((_, thing)) = self.things.pop_first()
            {
                self.happen(thing);
            } else {
                for end in &mut self.ends {
                    end.handle_timeout(self.now);
                }
            }
            self.look();
            steps += 1;
            assert!(
                steps < 200_000,
                "a timer that does not go on: {:?}",
                self.ends
            );
        }
        self.now = until;
    }

    /// What passes through a host, or in-band, breaks off at both ends.
    pub(crate) fn kill(&mut self, host: Option<&str>) -> usize {
        let mut count = 0;
        for line in 0..self.lines.len() {
            let found = &self.lines[line];
            let through = found.host.as_ref().map(Host::as_str);
            if !found.dead && (through == host || host.is_none() && !found.in_band) {
                count += 1;
                for end in [CLIENT, SERVER] {
                    self.end_line(line, end);
                    self.look();
                }
            }
        }
        count
    }

    /// The streams in-band break off: both, or what one end knows of them.
    pub(crate) fn kill_in_band(&mut self, ends: &[usize]) {
        self.zero = false;
        self.things
            .retain(|_, thing| !matches!(thing, Thing::Zero(..)));
        for &end in ends {
            self.ends[end].zero_ended(self.now);
            self.look();
            for line in 0..self.lines.len() {
                if self.lines[line].in_band {
                    self.end_line(line, end);
                    self.look();
                }
            }
        }
    }

    pub(crate) fn kinds(&self) -> [Option<Kind>; 2] {
        [self.ends[CLIENT].carrying(), self.ends[SERVER].carrying()]
    }

    #[track_caller]
    pub(crate) fn all_arrived(&self) {
        assert_eq!(self.read, [self.written[SERVER], self.written[CLIENT]]);
    }

    /// Nothing is under way, no timer of an attempt runs, no pipe but the one that carries is open.
    #[track_caller]
    pub(crate) fn at_rest(&self) {
        for end in [CLIENT, SERVER] {
            let in_use = usize::from(
                self.ends[end]
                    .wire()
                    .carrying()
                    .is_some_and(|leg| leg != LegId::ZERO),
            );
            assert_eq!(self.open[end].len(), in_use, "{:?}", self.ends[end]);
            assert!(!self.expecting[end]);
        }
    }
}
