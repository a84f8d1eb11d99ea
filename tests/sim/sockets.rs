//! Sockets in virtual time: who connects to whom, and what becomes of the bytes between.
//!
//! A wire is one connection between two ends, through a relay or not. Its bytes arrive in pieces, late, and not at all once
//! it is broken. What owners allow, what is dialled, and what is left at the end is checked here (I16).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_client::router::{PathConfig, PipeId, SocketWish, TunnelId, Whom};
use xtls_client::tunnel::path::Kind;
use xtls_client::tunnel::s5b::Destination;
use xtls_reach::may_dial;
use xtls_stanza::path::{Because, Takes};
use xtls_stanza::s5b::Host;

use crate::dice::Dice;
use crate::paths::Harm;
use crate::proxies::relay_of;
use crate::setup::Setup;
use crate::wires::Wire;
use crate::world::{Deed, World};

/// What the addresses of the two begin with. No stanza has it.
pub(crate) const NET: &str = "9.9.9.";
/// Where both listen.
const PORT: NonZeroU16 = NonZeroU16::new(7_000).unwrap();
/// What a listener waits for.
pub(crate) const KNOCK: usize = 48;
/// How long a connection may take that nobody answers.
const PATIENCE: Duration = Duration::from_secs(5);
/// From the beginning: sockets are harmed until then, so that what is lost can be found again before all is said.
pub(crate) const HARMFUL: Duration = Duration::from_secs(75);

/// Where a client listens.
fn address_of(at: usize) -> Host {
    Host::new(&format!("{NET}{}", at + 1)).expect("a host")
}

/// Whether this is where a client listens.
pub(crate) fn is_own_address(at: usize, host: &Host, port: NonZeroU16) -> bool {
    *host == address_of(at) && port == PORT
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
    pub(crate) places: BTreeMap<(usize, PipeId), Place>,
    pub(crate) wires: BTreeMap<u64, Wire>,
    /// Relays that do not answer.
    down: BTreeSet<usize>,
    /// Clients whose listeners somebody may knock at.
    pub(crate) expecting: BTreeSet<usize>,
    pub(crate) count: u64,
    pub(crate) dice: Dice,
    /// What was said on wires, to be said again by somebody else.
    pub(crate) overheard: VecDeque<Bytes>,
    /// A knock that was answered.
    pub(crate) knocked: Option<[u8; KNOCK]>,
    /// A leg was harmed, from here on or before.
    pub(crate) harmed: bool,
    /// What carries, where the owner was told.
    pub(crate) carrying: BTreeMap<(usize, TunnelId), Kind>,
    /// Stanzas on their way there, by their ids.
    pub(crate) said: BTreeMap<String, Instant>,
    pub(crate) quiet_since: Option<Instant>,
    /// When an owner last stopped reading.
    pub(crate) held_since: Option<Instant>,
}

/// Where a socket of a client is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Dialling(Whom, Host, NonZeroU16),
    AtRelay(usize, Destination),
    On(u64, usize),
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
            knocked: None,
            harmed: false,
            carrying: BTreeMap::new(),
            said: BTreeMap::new(),
            quiet_since: None,
            held_since: None,
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

    pub(crate) fn latency(&mut self) -> Duration {
        let most = self.dice.pick(&[0, 1, 20, 200]);
        self.dice.time(Duration::from_millis(most))
    }
}

impl World {
    pub(crate) fn harm(&self) -> Harm {
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
                    if self.raging && self.sockets.dice.permille(400) {
                        let late = self.sockets.dice.time(Duration::from_millis(500));
                        self.later(late, Deed::Net(Due::Probe(at)));
                    }
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
    pub(crate) fn knows(&self, at: usize) -> bool {
        let client = &self.clients[at];
        let peer = &self.clients[1 - at];
        client.trusts(&peer.address, &peer.key)
    }

    /// Whether a server has announced its relay there.
    pub(crate) fn is_relay_of(&self, at: usize, host: &Host) -> bool {
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
        let again = self.sockets.dice.permille(500);
        let any = [self.sockets.dice.seed(), self.sockets.dice.seed()].concat();
        let any = any.first_chunk::<KNOCK>().copied().expect("64 bytes");
        let knock = self.sockets.knocked.filter(|_| again).unwrap_or(any);
        if self.clients[at].router.knock(now, &knock).is_some() {
            self.accuse("I16: a stranger at a listener is taken for the peer");
        }
        self.drain(at);
    }
}

pub(crate) fn takes_direct(takes: Takes) -> bool {
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
