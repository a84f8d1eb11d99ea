//! Sockets between two routers, relays, and the servers that announce them: all in the hands of the test.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU16;

use xtls_path::KNOCK;
use xtls_s5b::Destination;
use xtls_stanza::disco::{Identity, Info, Item, Items};
use xtls_stanza::path::Because;
use xtls_stanza::s5b::{Host, Query, Streamhost};
use xtls_stanza::{Condition, ErrorType, StanzaError};

use super::super::{PipeId, SocketWish, Whom};
use super::*;

/// One end of a connection: whose it is, and its name there.
pub(super) type Socket = (usize, PipeId);

/// The sockets of both ends.
#[derive(Default)]
pub(super) struct Sea {
    /// Whether the server of an end has a relay.
    pub(super) relays: [bool; 2],
    /// Whether no relay can be connected to.
    pub(super) closed: bool,
    /// Whether that relay activates nothing.
    pub(super) lazy: bool,
    /// Connections are made, and nothing comes on them.
    pub(super) becalmed: bool,
    /// How many bytes have come at each end.
    pub(super) came: [usize; 2],
    /// Where an end listens.
    pub(super) ports: [Option<u16>; 2],
    /// Everything that was dialled, by whom.
    pub(super) dialled: Vec<(usize, Host, u16)>,
    /// Connections to relays that wait for the other one.
    waiting: BTreeMap<Destination, (usize, PipeId)>,
    pipes: BTreeMap<(usize, PipeId), Pipe>,
    expecting: [bool; 2],
}

/// One end of a connection.
struct Pipe {
    /// The other end; none before it is connected or known.
    to: Option<(usize, PipeId)>,
    /// What has come and was not delivered.
    queue: VecDeque<Vec<u8>>,
    /// It is to a listener, and this much was said to it.
    knock: Option<(usize, Vec<u8>)>,
    /// Through which relay, if it is one: bytes pass once it is activated.
    relayed: Option<Destination>,
    active: bool,
    /// What is under way stays there.
    stalled: bool,
}

impl Sea {
    /// All connections that stand.
    pub(super) fn connections(&self) -> usize {
        self.pipes.values().filter(|pipe| pipe.to.is_some()).count() / 2
    }

    /// Whether nothing is left of any socket.
    pub(super) fn is_calm(&self) -> bool {
        self.pipes.is_empty() && self.waiting.is_empty() && self.expecting == [false, false]
    }
}

pub(super) fn relay_of(end: usize) -> Streamhost {
    let names = ["proxy.west.example", "proxy.east.example"];
    Streamhost {
        jid: address(names[end]),
        host: Host::new(["192.0.2.1", "192.0.2.2"][end]).unwrap(),
        port: NonZeroU16::new(5_000).unwrap(),
    }
}

impl World {
    /// Moves what sockets and servers have; whether anything did.
    pub(super) fn sail(&mut self) -> bool {
        let mut moved = self.tend();
        if !self.sea.becalmed {
            for key in self.sockets() {
                moved |= self.pass(key, usize::MAX);
            }
        }
        moved
    }

    /// The ends of all connections.
    pub(super) fn sockets(&self) -> Vec<Socket> {
        self.sea.pipes.keys().copied().collect()
    }

    /// Does what routers and servers are asked for, and takes what there is for sockets. Nothing is delivered; whether anything
    /// was done.
    pub(super) fn tend(&mut self) -> bool {
        let mut moved = false;
        for end in [A, B] {
            moved |= self.serve(end);
            while let Some(wish) = self.router(end).poll_wish() {
                moved = true;
                self.grant(end, wish);
            }
            while let Some(pipe) = self.router(end).poll_ready_socket() {
                moved |= self.draw(end, pipe);
            }
        }
        moved
    }

    fn grant(&mut self, end: usize, wish: SocketWish) {
        let now = self.now;
        match wish {
            SocketWish::Dial {
                pipe,
                host,
                port,
                whom,
            } => {
                self.sea.dialled.push((end, host.clone(), port.get()));
                let made = |relayed, knock| Pipe {
                    to: None,
                    queue: VecDeque::new(),
                    knock,
                    relayed,
                    active: false,
                    stalled: false,
                };
                match whom {
                    Whom::Peer => {
                        let other = 1 - end;
                        if self.sea.ports[other] == Some(port.get()) && self.sea.expecting[other] {
                            let knock = Some((other, Vec::new()));
                            self.sea.pipes.insert((end, pipe), made(None, knock));
                            self.router(end).connected(now, pipe);
                        } else {
                            self.router(end).connect_failed(now, pipe, Because::Refused);
                        }
                    }
                    Whom::Relay(destination) => {
                        let up = [A, B]
                            .into_iter()
                            .any(|of| self.sea.relays[of] && relay_of(of).host == host);
                        if !up || self.sea.closed {
                            return self.router(end).connect_failed(now, pipe, Because::Refused);
                        }
                        self.sea
                            .pipes
                            .insert((end, pipe), made(Some(destination), None));
                        match self.sea.waiting.remove(&destination) {
                            None => drop(self.sea.waiting.insert(destination, (end, pipe))),
                            Some(other) => {
                                self.sea.pipes.get_mut(&other).unwrap().to = Some((end, pipe));
                                self.sea.pipes.get_mut(&(end, pipe)).unwrap().to = Some(other);
                            }
                        }
                        self.router(end).connected(now, pipe);
                    }
                }
            }
            SocketWish::Expect(yes) => self.sea.expecting[end] = yes,
            SocketWish::Close(pipe) => self.cut_socket(end, pipe),
        }
    }

    /// A connection ends: the other end is told.
    fn cut_socket(&mut self, end: usize, pipe: PipeId) {
        let Some(ended) = self.sea.pipes.remove(&(end, pipe)) else {
            return;
        };
        self.sea
            .waiting
            .retain(|_, waiting| *waiting != (end, pipe));
        if let Some((other, theirs)) = ended.to {
            // What was said before its end still comes.
            while self.pass((other, theirs), usize::MAX) {}
            if self.sea.pipes.remove(&(other, theirs)).is_some() {
                let now = self.now;
                self.router(other).socket_ended(now, theirs);
            }
        }
    }

    /// Breaks every connection, and what was under way is lost.
    pub(super) fn storm(&mut self) {
        let now = self.now;
        self.sea.waiting.clear();
        for (end, pipe) in std::mem::take(&mut self.sea.pipes).into_keys() {
            self.router(end).socket_ended(now, pipe);
        }
    }

    /// A connection breaks. Of what is under way to its ends, so much still comes.
    pub(super) fn sink(&mut self, socket: Socket, rest: usize) {
        let to = self.sea.pipes.get(&socket).and_then(|pipe| pipe.to);
        let ends: Vec<_> = [Some(socket), to].into_iter().flatten().collect();
        for end in &ends {
            self.pass(*end, rest);
        }
        let now = self.now;
        for (end, pipe) in ends {
            self.sea
                .waiting
                .retain(|_, waiting| *waiting != (end, pipe));
            // What came may have ended it.
            if self.sea.pipes.remove(&(end, pipe)).is_some() {
                self.router(end).socket_ended(now, pipe);
            }
        }
    }

    /// Nothing comes any more on a connection, and nobody is told.
    pub(super) fn stall(&mut self, socket: Socket) {
        let to = self.sea.pipes.get(&socket).and_then(|pipe| pipe.to);
        for end in [Some(socket), to].into_iter().flatten() {
            if let Some(pipe) = self.sea.pipes.get_mut(&end) {
                pipe.stalled = true;
            }
        }
    }

    /// How many bytes are under way to this end of a connection.
    pub(super) fn under_way(&self, socket: Socket) -> usize {
        let pipe = self.sea.pipes.get(&socket);
        pipe.map_or(0, |pipe| pipe.queue.iter().map(Vec::len).sum())
    }

    /// Takes what a router has for a socket.
    fn draw(&mut self, end: usize, pipe: PipeId) -> bool {
        let now = self.now;
        let mut moved = false;
        let knocks = |this: &Pipe| this.knock.is_some();
        if self.sea.becalmed && self.sea.pipes.get(&(end, pipe)).is_some_and(knocks) {
            return false;
        }
        while self.sea.pipes.contains_key(&(end, pipe))
            && let Some(bytes) = self.router(end).poll_socket(now, pipe, 4_096)
        {
            moved = true;
            let this = self.sea.pipes.get_mut(&(end, pipe)).unwrap();
            if let Some((other, said)) = &mut this.knock {
                said.extend_from_slice(&bytes);
                if said.len() < KNOCK {
                    continue;
                }
                let (other, said) = (*other, said.clone());
                let known = self
                    .router(other)
                    .knock(now, said[..KNOCK].try_into().unwrap());
                let Some(theirs) = known else {
                    self.cut_socket(end, pipe);
                    self.router(end).socket_ended(now, pipe);
                    return true;
                };
                let this = self.sea.pipes.get_mut(&(end, pipe)).unwrap();
                (this.knock, this.to, this.active) = (None, Some((other, theirs)), true);
                let mut queue = VecDeque::new();
                if said.len() > KNOCK {
                    queue.push_back(said[KNOCK..].to_vec());
                }
                let to = Some((end, pipe));
                self.sea.pipes.insert(
                    (other, theirs),
                    Pipe {
                        to,
                        queue,
                        knock: None,
                        relayed: None,
                        active: true,
                        stalled: false,
                    },
                );
            } else if let Some(to) = this.to {
                self.sea
                    .pipes
                    .get_mut(&to)
                    .unwrap()
                    .queue
                    .push_back(bytes.to_vec());
            } else {
                panic!("bytes for nobody");
            }
        }
        moved
    }

    /// Delivers the next of what has come on a socket, at most so many bytes.
    pub(super) fn pass(&mut self, (end, pipe): Socket, most: usize) -> bool {
        let now = self.now;
        let Some(this) = self.sea.pipes.get_mut(&(end, pipe)) else {
            return false;
        };
        if !this.active || this.stalled || most == 0 {
            return false;
        }
        let Some(mut bytes) = this.queue.pop_front() else {
            return false;
        };
        if bytes.len() > most {
            this.queue.push_front(bytes.split_off(most));
        }
        self.sea.came[end] += bytes.len();
        self.router(end).handle_socket(now, pipe, &bytes);
        true
    }

    /// The server of an end answers what was asked of it and its relay.
    fn serve(&mut self, end: usize) -> bool {
        let asked = std::mem::take(&mut self.ends[end].others);
        let relay = relay_of(end);
        let mut rest = Vec::new();
        let mut moved = false;
        for request in asked {
            let to = request.to.clone();
            let answer = match &request.content {
                Content::Get(Payload::DiscoQuery(_)) => {
                    let proxy = to.as_ref() == Some(&relay.jid);
                    let identity = if proxy {
                        ("proxy", "bytestreams")
                    } else {
                        ("server", "im")
                    };
                    let identity = Identity {
                        category: identity.0.into(),
                        type_: identity.1.into(),
                        name: None,
                    };
                    let info = Info {
                        node: None,
                        identities: vec![identity],
                        features: Vec::new(),
                    };
                    request.result(Some(Payload::DiscoInfo(info)))
                }
                Content::Get(Payload::Other(element))
                    if element.is("query", xtls_stanza::disco::NS_ITEMS) =>
                {
                    let item = Item {
                        jid: relay.jid.clone(),
                        node: None,
                        name: None,
                    };
                    let items = self.sea.relays[end].then_some(item).into_iter().collect();
                    request.result(Some(Payload::Other(
                        Items {
                            items,
                            ..Items::default()
                        }
                        .to_element(),
                    )))
                }
                Content::Get(Payload::Other(_)) => request.result(Some(Payload::Other(
                    Query::Hosts(vec![relay.clone()]).to_element(),
                ))),
                Content::Set(Payload::Other(element)) => {
                    let Ok(Query::Activate { sid, target }) = Query::read(element) else {
                        rest.push(request);
                        continue;
                    };
                    let destination = Destination::new(&sid, &address(NAMES[end]), &target);
                    let of =
                        |pipe: &&mut Pipe| pipe.relayed == Some(destination) && pipe.to.is_some();
                    let pipes: Vec<_> = self.sea.pipes.values_mut().filter(of).collect();
                    if pipes.len() == 2 && !self.sea.lazy {
                        pipes.into_iter().for_each(|pipe| pipe.active = true);
                        request.result(None)
                    } else {
                        request.error(StanzaError::new(ErrorType::Cancel, Condition::NotAllowed))
                    }
                }
                _ => {
                    rest.push(request);
                    continue;
                }
            };
            moved = true;
            let now = self.now;
            let mut answer = reread(&answer);
            (answer.from, answer.to) = (to, Some(address(NAMES[end])));
            self.router(end).handle(now, answer);
        }
        self.ends[end].others = rest;
        moved
    }
}
