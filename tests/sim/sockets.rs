//! Sockets in virtual time: who connects to whom, and what becomes of the bytes between.
//!
//! A wire is one connection between two ends, through a relay or not. Its bytes arrive in pieces, late, and not at all once
//! it is broken. What owners allow, what is dialled, and what is left at the end is checked here (I16).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hasher as _;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_client::router::{PathConfig, PathEvent, PipeId, SocketWish, TunnelId, Whom};
use xtls_client::tunnel::path::Kind;
use xtls_client::tunnel::s5b::Destination;
use xtls_reach::may_dial;
use xtls_stanza::path::{Because, Takes};
use xtls_stanza::s5b::Host;
use xtls_stanza::{Content, Envelope, Payload};

use crate::dice::Dice;
use crate::legs::Watch;
use crate::paths::Harm;
use crate::proxies::relay_of;
use crate::setup::{Adversary, Setup};
use crate::world::{Deed, World};

/// What the addresses of the two begin with. No stanza has it.
pub(crate) const NET: &str = "9.9.9.";
/// Where both listen.
const PORT: NonZeroU16 = NonZeroU16::new(7_000).unwrap();
/// What a listener waits for.
const KNOCK: usize = 48;
/// Bytes on their way in one direction.
const ROOM: usize = 65_536;
/// Bytes asked for at once.
const PIECE: usize = 16_384;
/// How long a connection may take that nobody answers.
const PATIENCE: Duration = Duration::from_secs(5);
/// From the beginning: sockets are harmed until then, so that what is lost can be found again before all is said.
const HARMFUL: Duration = Duration::from_secs(75);

/// How long what is said may take while a path carries, or from when nothing harms it.
const SOON: Duration = Duration::from_secs(60);

/// Where a client listens.
fn address_of(at: usize) -> Host {
    Host::new(&format!("{NET}{}", at + 1)).expect("a host")
}

/// What the owner of a client allows.
pub(crate) fn path_config(setup: &Setup, at: usize, takes: Takes) -> PathConfig {
    let listens = setup.paths.as_ref().is_some_and(|paths| paths.listen[at]);
    let here = listens.then(|| (address_of(at), PORT));
    PathConfig::new(takes).advertise(here)
}

/// Something that is due with sockets.
#[derive(Debug)]
pub enum Due {
    /// A connection stands, or does not come about.
    Dialled(usize, PipeId, Option<Because>),
    /// The next piece of a wire's direction arrives.
    Piece(u64, usize),
    /// A listener has waited long enough for a knock.
    Unknown(u64),
    /// A relay dies for this long.
    Dies(usize, Duration),
    /// It is back.
    Back(usize),
    /// Everything that stands breaks off.
    Storm,
    /// Somebody tries the listener of a client.
    Probe(usize),
    /// A server says that a client's peer has gone.
    Gone(usize),
}

/// The sockets of a world.
#[derive(Debug)]
pub(crate) struct Sockets {
    places: BTreeMap<(usize, PipeId), Place>,
    wires: BTreeMap<u64, Wire>,
    /// Relays that do not answer.
    down: BTreeSet<usize>,
    /// Clients whose listeners somebody may knock at.
    expecting: BTreeSet<usize>,
    count: u64,
    dice: Dice,
    /// What was said on wires, to be said again by somebody else.
    overheard: VecDeque<Bytes>,
    /// A leg was harmed, from here on or before.
    pub(crate) harmed: bool,
    /// What carries, where the owner was told.
    carrying: BTreeMap<(usize, TunnelId), Kind>,
    /// Stanzas on their way there, by their ids.
    said: BTreeMap<String, Instant>,
    quiet_since: Option<Instant>,
}

/// Where a socket of a client is.
#[derive(Debug, Clone)]
enum Place {
    Dialling(Whom, Host, NonZeroU16),
    AtRelay(usize, Destination),
    On(u64, usize),
}

#[derive(Debug)]
struct Wire {
    sides: [Option<(usize, PipeId)>; 2],
    ways: [Way; 2],
    relay: Option<usize>,
    /// It is at a listener, and this was said to it.
    knock: Option<(usize, Vec<u8>)>,
    /// Nobody of ours is at the other side.
    ghost: bool,
    watch: Watch,
    latency: Duration,
    /// Bytes a second.
    rate: u64,
    fate: Option<Fate>,
}

#[derive(Debug, Default)]
struct Way {
    queue: VecDeque<Option<Bytes>>,
    under_way: usize,
    said: usize,
    last: Option<Instant>,
    /// What the relay holds.
    tail: Vec<u8>,
    /// Nothing comes through any more.
    dead: bool,
}

/// What will happen to a wire once so much was said on it.
#[derive(Debug, Clone, Copy)]
struct Fate {
    way: usize,
    at: usize,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// It breaks off.
    Reset,
    /// It is silent from now on, in this direction or in both.
    Silent(bool),
    /// It stands still for a while.
    Stall(Duration),
    Flip,
    Inject,
    Double,
    Drop,
    Swap,
}

impl Sockets {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            places: BTreeMap::new(),
            wires: BTreeMap::new(),
            down: BTreeSet::new(),
            expecting: BTreeSet::new(),
            count: 0,
            dice: Dice::new(seed, 7),
            overheard: VecDeque::new(),
            harmed: false,
            carrying: BTreeMap::new(),
            said: BTreeMap::new(),
            quiet_since: None,
        }
    }

    /// Who still has a socket, or expects somebody.
    pub(crate) fn left(&self) -> Option<String> {
        let socket = self.places.iter().next();
        let socket = socket.map(|(end, place)| format!("{end:?} is {place:?}"));
        let wire = self.wires.iter().next();
        let wire = wire.map(|(number, wire)| format!("wire {number}: {:?}", wire.sides));
        let expecting = self.expecting.iter().next();
        let expecting = expecting.map(|at| format!("{at} expects somebody"));
        socket.or(wire).or(expecting)
    }

    fn latency(&mut self) -> Duration {
        let most = self.dice.pick(&[0, 1, 20, 200]);
        self.dice.time(Duration::from_millis(most))
    }

    /// What will happen to a new wire.
    fn fate(&mut self, harm: Harm) -> Option<Fate> {
        let often = match harm {
            Harm::None => return None,
            Harm::Breaks => 600,
            Harm::Alters => 700,
        };
        if !self.dice.permille(often) {
            return None;
        }
        let most = self.dice.pick(&[60, 300, 1_000, 4_000, 20_000, 200_000]);
        let stall = self.dice.time(Duration::from_secs(8));
        let both = self.dice.permille(500);
        let what = match harm {
            Harm::Alters if self.dice.permille(800) => self.dice.pick(&[
                What::Flip,
                What::Flip,
                What::Inject,
                What::Double,
                What::Drop,
                What::Swap,
            ]),
            _ => self.dice.pick(&[
                What::Reset,
                What::Reset,
                What::Silent(both),
                What::Stall(stall),
                What::Stall(stall + Duration::from_secs(22)),
            ]),
        };
        Some(Fate {
            way: self.dice.index(2),
            at: self.dice.index(most),
            what,
        })
    }
}

impl World {
    fn harm(&self) -> Harm {
        let harm = self
            .setup
            .paths
            .as_ref()
            .map_or(Harm::None, |paths| paths.harm);
        match self.raging && self.at() < HARMFUL {
            true => harm,
            false => Harm::None,
        }
    }

    /// What happens to sockets by itself, and when.
    pub(crate) fn script_sockets(&mut self) {
        let Some(paths) = self.setup.paths.clone() else {
            return;
        };
        let mut dice = Dice::new(self.setup.seed, 8);
        let mut due = Vec::new();
        for at in [0, 1] {
            if paths.harm != Harm::None && dice.permille(400) {
                let time = dice.time(Duration::from_secs(40));
                due.push((dice.time(Duration::from_secs(70)), Due::Dies(at, time)));
            }
            for _ in 0..dice.below(4) {
                due.push((dice.time(Duration::from_secs(100)), Due::Probe(at)));
            }
            if paths.gone {
                for _ in 0..3 {
                    due.push((dice.time(Duration::from_secs(95)), Due::Gone(at)));
                }
            }
        }
        if paths.harm != Harm::None {
            for _ in 0..dice.below(3) {
                due.push((dice.time(Duration::from_secs(70)), Due::Storm));
            }
        }
        for (time, due) in due {
            self.later(time, Deed::Net(due));
        }
    }

    pub(crate) fn perform_net(&mut self, due: Due) {
        match due {
            Due::Dialled(at, pipe, failed) => self.dialled(at, pipe, failed),
            Due::Piece(wire, way) => self.piece(wire, way),
            Due::Unknown(wire) => {
                let known = self.sockets.wires.get(&wire);
                if known.is_some_and(|wire| wire.knock.is_some()) {
                    self.reset(wire);
                }
            }
            Due::Dies(relay, time) => self.relay_dies(relay, time),
            Due::Back(relay) => {
                self.disturbed();
                self.sockets.down.remove(&relay);
            }
            Due::Storm => self.storm(),
            Due::Probe(at) => self.probe(at),
            Due::Gone(at) => self.say_gone(at),
        }
    }

    /// How late a stanza is: what a tunnel leaves behind on its stream may come after it has moved.
    pub(crate) fn lag(&mut self, envelope: &Envelope) -> Duration {
        let often = self.setup.paths.as_ref().map_or(0, |paths| paths.lag);
        let chunk = matches!(envelope.content, Content::Set(Payload::Data(_)));
        let slow = self.setup.delay.0 > Duration::from_millis(100);
        if often == 0 || !chunk || slow || !self.raging || self.at() > HARMFUL {
            return Duration::ZERO;
        }
        if !self.sockets.dice.permille(often) {
            return Duration::ZERO;
        }
        self.totals.fault("chunk late");
        self.sockets.dice.time(Duration::from_secs(3))
    }

    // What routers want.

    /// Does what a router wants of its owner; whether there was anything.
    pub(crate) fn serve_sockets(&mut self, at: usize) -> bool {
        let mut any = false;
        while let Some(wish) = self.clients[at].router.poll_wish() {
            any = true;
            self.note(|| format!("{at} wishes {wish:?}").chars().take(200).collect());
            match wish {
                SocketWish::Dial {
                    pipe,
                    host,
                    port,
                    whom,
                } => self.wish_dial(at, pipe, host, port, whom),
                SocketWish::Expect(true) => {
                    let expects = self.sockets.expecting.insert(at);
                    let may = self.setup.takes(at).is_some_and(takes_direct)
                        && self
                            .setup
                            .paths
                            .as_ref()
                            .is_some_and(|paths| paths.listen[at]);
                    if !may || !expects {
                        self.accuse("I16: somebody is expected whom the owner does not let in");
                    }
                }
                SocketWish::Expect(false) => drop(self.sockets.expecting.remove(&at)),
                SocketWish::Close(pipe) => self.hang_up(at, pipe),
                other => self.accuse(format!("I16: {other:?}")),
            }
        }
        while let Some(pipe) = self.clients[at].router.poll_ready_socket() {
            if !self.sockets.places.contains_key(&(at, pipe)) {
                self.accuse("I18: a socket that is gone is spoken of");
            }
            any |= self.draw_from(at, pipe);
        }
        any
    }

    fn wish_dial(&mut self, at: usize, pipe: PipeId, host: Host, port: NonZeroU16, whom: Whom) {
        self.totals.fault(match whom {
            Whom::Relay(_) => "dialled a relay",
            Whom::Peer => "dialled the peer",
        });
        let judged = self.may_be_dialled(at, &host, port, whom);
        self.demand(judged.map_err(|what| format!("I16: {what}")));
        let refused = (!may_dial(resolve(&host), &[])).then_some(Because::Address);
        let late = self.sockets.latency();
        let slow = self.harm() != Harm::None && self.sockets.dice.permille(60);
        let (failed, late) = match refused {
            Some(why) => (Some(why), Duration::ZERO),
            None if slow => (Some(Because::Timeout), PATIENCE),
            None => (None, late),
        };
        let place = Place::Dialling(whom, host, port);
        if self.sockets.places.insert((at, pipe), place).is_some() {
            self.accuse("I16: a socket is dialled twice");
        }
        self.later(late, Deed::Net(Due::Dialled(at, pipe, failed)));
    }

    /// I16: only what its owner allows is dialled, and only what the other owner lets be told.
    fn may_be_dialled(
        &self,
        at: usize,
        host: &Host,
        port: NonZeroU16,
        whom: Whom,
    ) -> Result<(), String> {
        let (Some(ours), Some(theirs), Some(paths)) = (
            self.setup.takes(at),
            self.setup.takes(1 - at),
            &self.setup.paths,
        ) else {
            return Err("something is dialled where no paths are known".to_owned());
        };
        let fault = || {
            Err(format!(
                "{at} dials {host} ({whom:?}) under {ours:?} and {theirs:?}"
            ))
        };
        match whom {
            Whom::Peer => {
                let there = *host == address_of(1 - at) && port == PORT && paths.listen[1 - at];
                let known = self.knows(at) && self.knows(1 - at);
                match there && known && takes_direct(ours) && takes_direct(theirs) {
                    true => Ok(()),
                    false => fault(),
                }
            }
            Whom::Relay(_) => {
                let own = self.is_relay_of(at, host) && paths.relays[at];
                let peers = self.is_relay_of(1 - at, host) && paths.relays[1 - at];
                let allowed = match ours {
                    Takes::InBand => false,
                    Takes::Own | Takes::Direct => own,
                    // A key that is new gets no address.
                    Takes::Any if !self.knows(at) => own,
                    Takes::Proxy | Takes::Any => own || peers,
                };
                match allowed && theirs != Takes::InBand {
                    true => Ok(()),
                    false => fault(),
                }
            }
        }
    }

    /// Whether the key of the peer was pinned before anything began, or was at some time since.
    fn knows(&self, at: usize) -> bool {
        let client = &self.clients[at];
        let peer = &self.clients[1 - at];
        client.trusts(&peer.address, &peer.key)
    }

    /// Whether a server has announced its relay there.
    fn is_relay_of(&self, at: usize, host: &Host) -> bool {
        crate::proxies::is_announced(&self.setup, at, host)
    }

    fn dialled(&mut self, at: usize, pipe: PipeId, failed: Option<Because>) {
        let Some(Place::Dialling(whom, host, port)) = self.sockets.places.get(&(at, pipe)).cloned()
        else {
            return;
        };
        let now = self.now;
        let place = match (failed, whom) {
            (Some(why), _) => Err(why),
            (None, Whom::Relay(destination)) => {
                let relay = [0, 1].into_iter().find(|of| relay_of(*of).host == host);
                let up = relay.filter(|relay| {
                    let there = self
                        .setup
                        .paths
                        .as_ref()
                        .is_some_and(|paths| paths.relays[*relay]);
                    there && !self.sockets.down.contains(relay)
                });
                up.map(|relay| Place::AtRelay(relay, destination))
                    .ok_or(Because::Refused)
            }
            (None, Whom::Peer) => {
                let there = [0, 1]
                    .into_iter()
                    .find(|of| address_of(*of) == host && port == PORT);
                match there {
                    Some(there) => Ok(self.knock_at(there, (at, pipe))),
                    None => Err(Because::Refused),
                }
            }
        };
        self.note(|| format!("{at} dialled {pipe:?}: {place:?}"));
        match place {
            Ok(place) => {
                self.sockets.places.insert((at, pipe), place);
                self.clients[at].router.connected(now, pipe);
            }
            Err(why) => {
                self.sockets.places.remove(&(at, pipe));
                self.clients[at].router.connect_failed(now, pipe, why);
            }
        }
        self.drain(at);
    }

    /// A connection to a listener. One that expects nobody turns it away.
    fn knock_at(&mut self, there: usize, from: (usize, PipeId)) -> Place {
        let knock = Some((there, Vec::new()));
        let wire = self.string([Some(from), None], None, 0, knock);
        match self.sockets.expecting.contains(&there) {
            true => self.later(PATIENCE, Deed::Net(Due::Unknown(wire))),
            false => self.later(Duration::ZERO, Deed::Net(Due::Unknown(wire))),
        }
        Place::On(wire, 0)
    }

    /// A relay joins the two that wait for the same bytestream; whether both are there.
    pub(crate) fn join(&mut self, requester: usize, destination: Destination) -> bool {
        let there = |(_, place): &(&(usize, PipeId), &Place)| matches!(place, Place::AtRelay(relay, other) if (*relay, *other) == (requester, destination));
        let found = self.sockets.places.iter().filter(there);
        let found: Vec<_> = found.map(|(end, _)| *end).collect();
        let ours = found.iter().find(|(at, _)| *at == requester).copied();
        let theirs = found.iter().find(|(at, _)| *at != requester).copied();
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return false;
        };
        let evil = self.harm() == Harm::Alters && self.sockets.dice.permille(200);
        if evil {
            self.sockets.harmed = true;
            self.totals.fault("third party at a relay");
            for (side, end) in [ours, theirs].into_iter().enumerate() {
                let mut sides = [None, None];
                sides[side] = Some(end);
                let wire = self.string(sides, Some(requester), 0, None);
                if let Some(wire) = self.sockets.wires.get_mut(&wire) {
                    wire.ghost = true;
                }
                self.sockets.places.insert(end, Place::On(wire, side));
                if side == 1 {
                    self.haunt(wire, 0);
                }
            }
        } else {
            let wire = self.string([Some(ours), Some(theirs)], Some(requester), 0, None);
            self.sockets.places.insert(ours, Place::On(wire, 0));
            self.sockets.places.insert(theirs, Place::On(wire, 1));
        }
        true
    }

    /// A new wire between these.
    fn string(
        &mut self,
        sides: [Option<(usize, PipeId)>; 2],
        relay: Option<usize>,
        first: usize,
        knock: Option<(usize, Vec<u8>)>,
    ) -> u64 {
        let harm = self.harm();
        let sockets = &mut self.sockets;
        sockets.count += 1;
        let number = sockets.count;
        let rate = sockets.dice.pick(&[50_000, 1_000_000, 100_000_000]);
        let slow = harm != Harm::None && sockets.dice.permille(60);
        let wire = Wire {
            sides,
            ways: [Way::default(), Way::default()],
            relay,
            knock,
            ghost: false,
            watch: Watch::new(first),
            latency: sockets.latency(),
            rate: if slow { 4_000 } else { rate },
            fate: sockets.fate(harm),
        };
        sockets.wires.insert(number, wire);
        number
    }

    // Bytes.

    /// Takes what a router has for a socket, as far as there is room on its wire.
    fn draw_from(&mut self, at: usize, pipe: PipeId) -> bool {
        let now = self.now;
        let mut any = false;
        loop {
            let room = match self.sockets.places.get(&(at, pipe)) {
                Some(Place::On(wire, side)) => {
                    let wire = self.sockets.wires.get(wire);
                    let way = wire.map(|wire| &wire.ways[*side]);
                    way.map_or(0, |way| ROOM.saturating_sub(way.under_way))
                }
                Some(Place::Dialling(..) | Place::AtRelay(..)) => 1,
                None => 0,
            };
            if room == 0 {
                return any;
            }
            let room = room.min(PIECE);
            let Some(bytes) = self.clients[at].router.poll_socket(now, pipe, room) else {
                return any;
            };
            any = true;
            match self.sockets.places.get(&(at, pipe)).cloned() {
                Some(Place::On(wire, side)) => self.write_to(wire, side, bytes),
                _ => return self.accuse_and("I16: bytes for a relay that has not joined the ends"),
            }
        }
    }

    fn accuse_and(&mut self, what: &str) -> bool {
        self.accuse(what);
        false
    }

    fn write_to(&mut self, number: u64, side: usize, bytes: Bytes) {
        if self.sings(&bytes) {
            self.accuse("I2: a relay sees plaintext");
        }
        let Some(wire) = self.sockets.wires.get_mut(&number) else {
            return;
        };
        let watched = wire.watch.said(side, &bytes);
        let owner = wire.sides[side].map(|(at, _)| at);
        match (watched, owner) {
            (Ok(taken), Some(at)) => self.clients[at].referee.acknowledged += taken as usize,
            (Ok(_), None) => {}
            (Err(rule), _) => self.accuse(format!("I7: on a leg: {rule}")),
        }
        if self.sockets.overheard.len() < 8 && bytes.len() <= 200 {
            self.sockets.overheard.push_back(bytes.clone());
        }
        let Some(wire) = self.sockets.wires.get_mut(&number) else {
            return;
        };
        let way = &mut wire.ways[side];
        let before = way.said;
        way.said += bytes.len();
        if way.dead {
            return;
        }
        let due = wire
            .fate
            .filter(|fate| fate.way == side && fate.at < before + bytes.len());
        let Some(fate) = due else {
            return self.carry_on(number, side, bytes, Duration::ZERO);
        };
        wire.fate = None;
        let at = fate.at.saturating_sub(before).min(bytes.len());
        self.meet_fate(
            number,
            side,
            fate.what,
            bytes.slice(..at),
            bytes.slice(at..),
        );
    }

    fn meet_fate(&mut self, number: u64, side: usize, what: What, head: Bytes, tail: Bytes) {
        self.sockets.harmed = true;
        self.disturbed();
        self.note(|| format!("wire {number} way {side}: {what:?}"));
        self.totals.fault(match what {
            What::Reset => "wire reset",
            What::Silent(_) => "wire silent",
            What::Stall(_) => "wire stalls",
            What::Flip | What::Inject | What::Double | What::Drop | What::Swap => "wire altered",
        });
        let late = match what {
            What::Stall(time) => time,
            _ => Duration::ZERO,
        };
        self.carry_on(number, side, head, Duration::ZERO);
        let altered: Vec<u8> = match what {
            What::Reset => return self.reset(number),
            What::Silent(both) => {
                if let Some(wire) = self.sockets.wires.get_mut(&number) {
                    wire.ways[side].dead = true;
                    wire.ways[1 - side].dead |= both;
                }
                return;
            }
            What::Stall(_) => tail.to_vec(),
            What::Flip => {
                let mut bytes = tail.to_vec();
                if let Some(first) = bytes.first_mut() {
                    *first ^= 1 << self.sockets.dice.below(8);
                }
                bytes
            }
            What::Inject => {
                let some = self.sockets.dice.index(60) + 1;
                let mut bytes: Vec<u8> = (0..some).map(|_| self.sockets.dice.any() as u8).collect();
                if let Some(old) = self.sockets.overheard.front() {
                    bytes = old.to_vec();
                }
                [&bytes, &tail[..]].concat()
            }
            What::Double => [&tail[..], &tail[..]].concat(),
            What::Drop => tail[self.sockets.dice.index(tail.len() + 1)..].to_vec(),
            What::Swap => {
                let (one, two) = tail.split_at(tail.len() / 2);
                [two, one].concat()
            }
        };
        self.carry_on(number, side, altered.into(), late);
    }

    /// Sends a piece on its way.
    fn carry_on(&mut self, number: u64, side: usize, bytes: Bytes, late: Duration) {
        let tails = self.setup.paths.as_ref().is_some_and(|paths| paths.tails);
        let now = self.now;
        let sockets = &mut self.sockets;
        let Some(wire) = sockets.wires.get_mut(&number).filter(|_| !bytes.is_empty()) else {
            return;
        };
        let way = &mut wire.ways[side];
        let mut piece = std::mem::take(&mut way.tail);
        piece.extend_from_slice(&bytes);
        way.under_way += bytes.len();
        // Prosody keeps the end of a burst until there is more to read.
        if tails && wire.relay.is_some() && piece.len() > 40 && sockets.dice.permille(300) {
            let most = piece.len().min(904);
            way.tail = piece.split_off(piece.len() - 1 - sockets.dice.index(most - 1));
        }
        let takes = Duration::from_micros(piece.len() as u64 * 1_000_000 / wire.rate);
        let at = way.last.unwrap_or(now).max(now + late) + takes;
        way.last = Some(at);
        let at = at + wire.latency;
        // What comes may be cut anywhere.
        let mut pieces = vec![Bytes::from(piece)];
        if sockets.dice.permille(200) && pieces[0].len() > 1 {
            let cut = 1 + sockets.dice.index(pieces[0].len() - 1);
            let first = pieces[0].split_to(cut);
            pieces.insert(0, first);
        }
        let count = pieces.len();
        way.queue.extend(pieces.into_iter().map(Some));
        for _ in 0..count {
            self.due(at, Deed::Net(Due::Piece(number, side)));
        }
    }

    /// The end of a direction follows what is under way in it.
    fn end_way(&mut self, number: u64, side: usize) {
        let now = self.now;
        let Some(wire) = self.sockets.wires.get_mut(&number) else {
            return;
        };
        let way = &mut wire.ways[side];
        let tail = std::mem::take(&mut way.tail);
        let at = way.last.unwrap_or(now).max(now) + wire.latency;
        if !tail.is_empty() {
            way.queue.push_back(Some(tail.into()));
            self.due(at, Deed::Net(Due::Piece(number, side)));
        }
        if let Some(wire) = self.sockets.wires.get_mut(&number) {
            wire.ways[side].queue.push_back(None);
        }
        self.due(at, Deed::Net(Due::Piece(number, side)));
    }

    /// A piece arrives, or the end.
    fn piece(&mut self, number: u64, side: usize) {
        let now = self.now;
        let Some(wire) = self.sockets.wires.get_mut(&number) else {
            return;
        };
        let Some(piece) = wire.ways[side].queue.pop_front() else {
            return;
        };
        let (to, from) = (wire.sides[1 - side], wire.sides[side]);
        let Some(bytes) = piece else {
            return self.end_side(number, 1 - side);
        };
        let way = &mut wire.ways[side];
        way.under_way = way.under_way.saturating_sub(bytes.len());
        if wire.ghost && to.is_none() {
            return self.haunt(number, 1 - side);
        }
        if let Some((there, mut said)) = wire.knock.take() {
            said.extend_from_slice(&bytes);
            return self.knocks(number, there, said);
        }
        if let Some((at, pipe)) = to {
            self.record(at, &bytes);
            self.clients[at].router.handle_socket(now, pipe, &bytes);
            self.drain(at);
        }
        // There is room again.
        if let Some((at, pipe)) = from
            && self.draw_from(at, pipe)
        {
            self.drain(at);
        }
    }

    /// The first bytes at a listener.
    fn knocks(&mut self, number: u64, there: usize, said: Vec<u8>) {
        let now = self.now;
        let Some(knock) = said.first_chunk::<KNOCK>() else {
            if let Some(wire) = self.sockets.wires.get_mut(&number) {
                wire.knock = Some((there, said));
            }
            return;
        };
        let expected = self.sockets.expecting.contains(&there);
        let known = expected
            .then(|| self.clients[there].router.knock(now, knock))
            .flatten();
        let Some(pipe) = known else {
            return self.reset(number);
        };
        self.sockets
            .places
            .insert((there, pipe), Place::On(number, 1));
        if let Some(wire) = self.sockets.wires.get_mut(&number) {
            wire.sides[1] = Some((there, pipe));
        }
        let rest = &said[KNOCK..];
        if !rest.is_empty() {
            self.clients[there].router.handle_socket(now, pipe, rest);
        }
        self.drain(there);
    }

    /// Somebody who is not the peer speaks: an old word, or anything.
    fn haunt(&mut self, number: u64, side: usize) {
        let old = self.sockets.overheard.iter().cloned().collect::<Vec<_>>();
        let said = match old.is_empty() || self.sockets.dice.permille(500) {
            true => Bytes::copy_from_slice(
                &[self.sockets.dice.seed(), self.sockets.dice.seed()].concat(),
            ),
            false => self.sockets.dice.pick(&old),
        };
        let silent = self.sockets.dice.permille(300);
        if let Some(wire) = self.sockets.wires.get_mut(&number)
            && wire.ways[side].said == 0
            && !silent
        {
            wire.ways[side].said = said.len();
            self.carry_on(number, side, said, Duration::ZERO);
        }
    }

    // Ends.

    /// A client closes a socket.
    fn hang_up(&mut self, at: usize, pipe: PipeId) {
        let place = self.sockets.places.remove(&(at, pipe));
        if place.is_none() {
            return self.accuse("I18: a socket that is gone is closed");
        }
        let Some(Place::On(number, side)) = place else {
            return;
        };
        let Some(wire) = self.sockets.wires.get_mut(&number) else {
            return;
        };
        wire.sides[side] = None;
        wire.ghost &= wire.sides[1 - side].is_some();
        match wire.sides[1 - side] {
            Some(_) if wire.ways[side].dead => self.reset(number),
            Some(_) => self.end_way(number, side),
            // The listener may be about to know it.
            None if wire.knock.is_some() || wire.sides == [None, None] => {
                self.sockets.wires.remove(&number);
            }
            None => {}
        }
    }

    /// The end of what comes reaches a side, and its socket is gone.
    fn end_side(&mut self, number: u64, side: usize) {
        let now = self.now;
        let Some(wire) = self.sockets.wires.get_mut(&number) else {
            return;
        };
        let end = wire.sides[side].take();
        if wire.sides == [None, None] {
            self.sockets.wires.remove(&number);
        }
        if let Some((at, pipe)) = end {
            self.sockets.places.remove(&(at, pipe));
            self.note(|| format!("{at} {pipe:?} has ended"));
            self.clients[at].router.socket_ended(now, pipe);
            self.drain(at);
        }
    }

    /// A wire breaks off: what was under way may arrive before the end does.
    fn reset(&mut self, number: u64) {
        let Some(wire) = self.sockets.wires.get_mut(&number) else {
            return;
        };
        wire.knock = None;
        wire.ghost = false;
        self.disturbed();
        for way in [0, 1] {
            let keeps = self.sockets.dice.permille(500);
            let Some(wire) = self.sockets.wires.get_mut(&number) else {
                return;
            };
            wire.ways[way].dead = true;
            wire.ways[way].tail.clear();
            if !keeps {
                // Their places stay, and there is nothing in them.
                wire.ways[way].queue.retain(Option::is_none);
            }
            self.end_way(number, way);
        }
    }

    fn relay_dies(&mut self, relay: usize, time: Duration) {
        let now = self.now;
        if !self.raging || !self.sockets.down.insert(relay) {
            return;
        }
        self.totals.fault("relay died");
        self.later(time, Deed::Net(Due::Back(relay)));
        let through = |(_, wire): &(&u64, &Wire)| wire.relay == Some(relay);
        let wires = self.sockets.wires.iter().filter(through);
        for number in wires.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.sockets.harmed = true;
            self.reset(number);
        }
        let waits = |place: &Place| matches!(place, Place::AtRelay(at, _) if *at == relay);
        let places = self.sockets.places.iter().filter(|(_, place)| waits(place));
        for (at, pipe) in places.map(|(end, _)| *end).collect::<Vec<_>>() {
            self.sockets.places.remove(&(at, pipe));
            self.clients[at].router.socket_ended(now, pipe);
            self.drain(at);
        }
    }

    fn storm(&mut self) {
        if !self.raging {
            return;
        }
        for number in self.sockets.wires.keys().copied().collect::<Vec<_>>() {
            self.totals.fault("wire reset");
            self.sockets.harmed = true;
            self.reset(number);
        }
    }

    /// A stranger at a listener learns nothing, and is nobody's peer.
    fn probe(&mut self, at: usize) {
        let now = self.now;
        if !self.sockets.expecting.contains(&at) {
            return;
        }
        self.totals.fault("listener probed");
        let old = self
            .sockets
            .overheard
            .iter()
            .find_map(|old| old.first_chunk::<KNOCK>().copied());
        let knock = match old {
            // It is the peer's only while it is new, and then it comes first.
            Some(_) | None => {
                let some = [self.sockets.dice.seed(), self.sockets.dice.seed()].concat();
                *some.first_chunk::<KNOCK>().expect("64 bytes")
            }
        };
        if self.clients[at].router.knock(now, &knock).is_some() {
            self.accuse("I16: a stranger at a listener is taken for the peer");
        }
        self.drain(at);
    }

    // What owners are told.

    /// Something was harmed, or an owner or a link stood still: what is said may take until it is mended.
    pub(crate) fn disturbed(&mut self) {
        self.sockets.quiet_since = Some(self.now);
    }

    /// A stanza is said: while another path carries at both ends it has to arrive soon.
    pub(crate) fn said_beside(&mut self, at: usize, id: &str) {
        let well = self.setup.calm() && !self.setup.bulk && at < 2;
        if well && self.is_beside(at) && self.is_beside(1 - at) {
            self.sockets.said.insert(id.to_owned(), self.now);
        }
    }

    /// I5: it arrives.
    pub(crate) fn heard_beside(&mut self, id: &str) {
        let Some(said) = self.sockets.said.remove(id) else {
            return;
        };
        let from = self
            .sockets
            .quiet_since
            .map_or(said, |since| since.max(said));
        let took = self.now - from;
        if took > SOON {
            self.accuse(format!("I5: {id} takes {took:?} on a path that carries"));
        }
    }

    /// Whether a path beside the server carries the newest tunnel of a client.
    pub(crate) fn is_beside(&self, at: usize) -> bool {
        let newest = self.clients[at].tunnels.last();
        let kind = newest.and_then(|id| self.sockets.carrying.get(&(at, *id)));
        kind.is_some_and(|kind| *kind != Kind::InBand)
    }

    pub(crate) fn told_path(&mut self, at: usize, id: TunnelId, event: PathEvent) {
        match event {
            PathEvent::Moved(to) => {
                self.totals.fault(match to {
                    Kind::InBand => "moved to a stream",
                    Kind::Relay => "moved to a relay",
                    Kind::Direct => "moved to a direct path",
                });
                self.sockets.carrying.insert((at, id), to);
            }
            PathEvent::Lost => {
                self.totals.fault("path lost");
                self.sockets.carrying.remove(&(at, id));
                let lies = self
                    .setup
                    .paths
                    .as_ref()
                    .is_some_and(|paths| paths.lies.any());
                let alone = self.clients[1 - at.min(1)].tunnels.is_empty();
                let safe = !self.sockets.harmed && !lies && self.whole && !alone;
                if safe && self.is_honest() && self.is_ours(at, id) {
                    self.accuse("I18: a path is lost that nobody has harmed");
                }
            }
            _ => {}
        }
    }

    /// Whether both ends of a tunnel are clients that keep to the rules.
    fn is_ours(&mut self, at: usize, id: TunnelId) -> bool {
        let peer = self.oracle.end((at, id)).peer.clone();
        at < 2 && peer.is_some_and(|peer| peer == self.clients[1 - at].address)
    }

    /// Whether servers do with stanzas what servers do.
    fn is_honest(&self) -> bool {
        let honest = matches!(
            self.setup.adversary,
            Adversary::None | Adversary::Outsider | Adversary::Peer
        );
        honest && self.setup.limit.is_none()
    }

    /// I18: what servers say, and what becomes of links to them, cuts no tunnel that a path beside them carries.
    pub(crate) fn judge_cut(
        &mut self,
        at: usize,
        id: TunnelId,
        closed: &xtls_client::router::Closed,
    ) {
        let kind = self.sockets.carrying.remove(&(at, id));
        let beside = kind.is_some_and(|kind| kind != Kind::InBand);
        if beside
            && closed.is_cut()
            && self.is_ours(at, id)
            && self.is_honest()
            && !self.sockets.harmed
            && !self.hurried
        {
            let what = format!("I18: a tunnel is cut whose path nobody has harmed: {closed:?}");
            self.accuse(what);
        }
    }

    fn record(&mut self, at: usize, bytes: &[u8]) {
        let now = self.at().as_micros() as u64;
        self.hash(|trace| {
            trace.write_u64(now);
            trace.write_usize(at);
            trace.write(bytes);
        });
    }
}

fn takes_direct(takes: Takes) -> bool {
    matches!(takes, Takes::Direct | Takes::Any)
}

/// Where a name leads.
fn resolve(host: &Host) -> IpAddr {
    if let Ok(address) = host.as_str().parse() {
        return address;
    }
    match host.as_str() {
        "relay.montague.example" => IpAddr::from([8, 8, 8, 1]),
        "relay.capulet.example" => IpAddr::from([8, 8, 8, 2]),
        _ => IpAddr::from([127, 0, 0, 1]),
    }
}
