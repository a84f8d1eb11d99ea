//! What the paths of all tunnels of one router share: names of sockets, requests, and the relays of our server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use xtls_ibb::Deadline;
use xtls_path::{KNOCK, Pipe, Refusal, Route, RouteEvent, Wish};
use xtls_stanza::path::Because;
use xtls_stanza::s5b::Sid;
use xtls_stanza::{Address, Content, Envelope};

use super::beneath::Moment;
use super::event::TunnelId;
use super::fresh;
use super::moving::{Carriage, Moving};
use super::pipes::{PipeId, SocketWish, Whom};
use super::relays::{NotActivated, Relays, RelaysEvent};
use super::schedule::Schedule;
use super::signals::Request;
use super::transports::{Leg, Transports};
use super::tunnels::Tunnels;

/// What the paths of all tunnels share.
#[derive(Debug)]
pub(super) struct Paths {
    /// Of its own: what tunnels that never move send does not depend on whether they may.
    random: ChaCha20Rng,
    relays: Relays,
    /// Tunnels that wait for the relays to be found.
    seekers: BTreeSet<TunnelId>,
    /// Relays that are to activate a bytestream, by its name.
    activations: BTreeMap<Sid, (TunnelId, Pipe)>,
    out: VecDeque<Envelope>,
    /// Our signals that are unanswered, by the ids of their stanzas.
    requests: BTreeMap<String, (Address, TunnelId, u64)>,
    sockets: BTreeMap<PipeId, (TunnelId, Pipe)>,
    /// Those for which there may be bytes.
    ready: BTreeSet<PipeId>,
    /// Tunnels whose peer may knock at the owner's listener.
    expecting: BTreeSet<TunnelId>,
    wishes: VecDeque<SocketWish>,
    schedule: Schedule,
    next: u64,
}

/// What the paths of a tunnel ask of the router.
#[derive(Debug)]
pub(super) enum Step {
    /// A stream is beneath the tunnel from now on.
    Attach(Leg),
    /// It isn't any more.
    Detach(Leg),
    Event(RouteEvent),
}

impl Paths {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        random.set_stream(1);
        Self {
            random,
            relays: Relays::default(),
            seekers: BTreeSet::new(),
            activations: BTreeMap::new(),
            out: VecDeque::new(),
            requests: BTreeMap::new(),
            sockets: BTreeMap::new(),
            ready: BTreeSet::new(),
            expecting: BTreeSet::new(),
            wishes: VecDeque::new(),
            schedule: Schedule::default(),
            next: 0,
        }
    }

    /// What a route makes its salts and names from.
    pub(super) fn seed(&mut self) -> [u8; 32] {
        fresh::seed(&mut self.random)
    }

    /// Does what the route of this tunnel wants.
    pub(super) fn follow(
        &mut self,
        at: Moment,
        id: TunnelId,
        moving: &mut Moving,
        transports: &mut Transports,
    ) -> Vec<Step> {
        if !moving.is_under_way() {
            moving.was_followed();
            return self.end(at, id, moving, transports);
        }
        let mut steps = Vec::new();
        // Each may have others follow.
        loop {
            if let Some(wish) = moving.route_mut().poll_wish() {
                steps.extend(self.grant(at, id, moving, transports, wish));
            } else if let Some(request) = moving.poll_request(at.outer) {
                self.ask(id, moving.peer(), request);
            } else if let Some(event) = moving.route_mut().poll_event() {
                steps.push(Step::Event(event));
            } else {
                break;
            }
        }
        for (pipe, stream) in moving.streams().collect::<Vec<_>>() {
            push(at, moving, transports, pipe, stream);
        }
        self.ready.extend(moving.sockets());
        self.schedule.set(id, moving.poll_timeout());
        moving.was_followed();
        steps
    }

    fn grant(
        &mut self,
        at: Moment,
        id: TunnelId,
        moving: &mut Moving,
        transports: &mut Transports,
        wish: Wish,
    ) -> Option<Step> {
        match wish {
            Wish::FindRelays => match self.relays.found(at.outer) {
                Some(relays) => moving.route_mut().set_relays(at.outer, relays),
                None => {
                    self.relays.want(at.outer, transports.own());
                    self.seekers.insert(id);
                }
            },
            Wish::Dial {
                pipe,
                how,
                host,
                port,
            } => {
                let pipe = self.name(id, moving, pipe);
                let whom = Whom::of(how);
                self.wishes.push_back(SocketWish::Dial {
                    pipe,
                    host,
                    port,
                    whom,
                });
            }
            Wish::Activate {
                pipe,
                jid,
                sid,
                target,
            } => {
                self.activations.insert(sid.clone(), (id, pipe));
                self.relays.activate(at.outer, jid, sid, target);
            }
            // The route ends it in time.
            Wish::Expect { until: _ } => self.expect(id, true),
            Wish::Unexpect => self.expect(id, false),
            Wish::OpenStream { pipe, sid } => {
                match transports.open_leg(at.now, moving.peer(), sid) {
                    Ok(stream) => {
                        moving.add(pipe, Carriage::Stream(stream));
                        return Some(Step::Attach(stream));
                    }
                    Err(_) => moving.route_mut().failed(at.outer, pipe, Because::Refused),
                }
            }
            Wish::ExpectStream { pipe, sid } => moving.add(pipe, Carriage::Expected(sid)),
            Wish::Drop { pipe } => {
                let carriage = moving.remove(pipe)?;
                return self.drop_pipe(at, transports, carriage);
            }
            // Of a later version.
            _ => {}
        }
        None
    }

    fn name(&mut self, id: TunnelId, moving: &mut Moving, pipe: Pipe) -> PipeId {
        let socket = PipeId(self.next);
        self.next = self.next.saturating_add(1);
        self.sockets.insert(socket, (id, pipe));
        moving.add(pipe, Carriage::Socket(socket));
        socket
    }

    fn expect(&mut self, id: TunnelId, yes: bool) {
        let before = !self.expecting.is_empty();
        match yes {
            true => self.expecting.insert(id),
            false => self.expecting.remove(&id),
        };
        let after = !self.expecting.is_empty();
        if before != after {
            self.wishes.push_back(SocketWish::Expect(after));
        }
    }

    /// A pipe is not wanted any more.
    fn drop_pipe(
        &mut self,
        at: Moment,
        transports: &mut Transports,
        carriage: Carriage,
    ) -> Option<Step> {
        match carriage {
            Carriage::Socket(socket) => {
                self.sockets.remove(&socket);
                self.ready.remove(&socket);
                self.wishes.push_back(SocketWish::Close(socket));
                None
            }
            Carriage::Stream(stream) => {
                transports.close(at.now, stream);
                transports.discard(at.now, stream);
                Some(Step::Detach(stream))
            }
            Carriage::Expected(_) => None,
        }
    }

    /// The tunnel was cut, which an end of what carries it does not say.
    pub(super) fn say_gone(&mut self, at: Moment, id: TunnelId, moving: &mut Moving) {
        if let Some(request) = moving.say_gone(at.outer) {
            self.ask(id, moving.peer(), request);
        }
    }

    /// The paths of this tunnel are over.
    pub(super) fn end(
        &mut self,
        at: Moment,
        id: TunnelId,
        moving: &mut Moving,
        transports: &mut Transports,
    ) -> Vec<Step> {
        let pipes = moving.take_pipes().into_iter();
        let steps = pipes.filter_map(|carriage| self.drop_pipe(at, transports, carriage));
        let steps = steps.collect();
        self.forget(id);
        steps
    }

    /// Nothing is known of this tunnel any more.
    fn forget(&mut self, id: TunnelId) {
        self.expect(id, false);
        self.schedule.set(id, None);
        self.seekers.remove(&id);
        self.requests.retain(|_, (_, of, _)| *of != id);
        self.activations.retain(|_, (of, _)| *of != id);
    }

    /// Two tunnels have exchanged their names.
    pub(super) fn swap(&mut self, names: [TunnelId; 2]) {
        let requests = self.requests.values_mut().map(|(_, id, _)| id);
        let sockets = self.sockets.values_mut().map(|(id, _)| id);
        let activations = self.activations.values_mut().map(|(id, _)| id);
        for id in requests.chain(sockets).chain(activations) {
            *id = id.swapped(names);
        }
        for ids in [&mut self.seekers, &mut self.expecting] {
            *ids = ids.iter().map(|id| id.swapped(names)).collect();
        }
        self.schedule.swap(names);
    }

    // Sockets.

    /// What the owner is to do.
    pub(super) fn poll_wish(&mut self) -> Option<SocketWish> {
        self.wishes.pop_front()
    }

    /// The next socket for which there may be bytes, once.
    pub(super) fn next_ready(&mut self) -> Option<PipeId> {
        self.ready.pop_first()
    }

    /// Whose pipe a socket is.
    pub(super) fn of_socket(&self, socket: PipeId) -> Option<(TunnelId, Pipe)> {
        self.sockets.get(&socket).copied()
    }

    /// Somebody has knocked with these bytes: the name of the socket, if a tunnel expects this peer.
    pub(super) fn knock(
        &mut self,
        at: Moment,
        tunnels: &mut Tunnels,
        knock: &[u8; KNOCK],
    ) -> Option<PipeId> {
        for id in self.expecting.iter().copied().collect::<Vec<_>>() {
            if let Some(moving) = tunnels.moving_mut(id)
                && let Some(pipe) = moving.route_mut().knock(at.outer, knock)
            {
                let socket = self.name(id, moving, pipe);
                tunnels.mark(id);
                return Some(socket);
            }
        }
        None
    }

    /// Calls the route whose pipe a socket is. Says whether there is one.
    pub(super) fn on_route(
        &self,
        at: Moment,
        tunnels: &mut Tunnels,
        socket: PipeId,
        call: impl FnOnce(&mut Route, Instant, Pipe),
    ) -> bool {
        let Some((id, pipe)) = self.of_socket(socket) else {
            return false;
        };
        on_moving(tunnels, id, |moving| {
            call(moving.route_mut(), at.outer, pipe);
        })
    }

    /// The same for a socket that is gone: nothing is left of it.
    pub(super) fn lose(
        &mut self,
        at: Moment,
        tunnels: &mut Tunnels,
        socket: PipeId,
        call: impl FnOnce(&mut Route, Instant, Pipe),
    ) -> bool {
        self.ready.remove(&socket);
        let Some((id, pipe)) = self.sockets.remove(&socket) else {
            return false;
        };
        on_moving(tunnels, id, |moving| {
            moving.remove(pipe);
            call(moving.route_mut(), at.outer, pipe);
        })
    }

    // Stanzas.

    fn ask(&mut self, id: TunnelId, to: &Address, request: Request) {
        let name = fresh::id(&mut self.random);
        self.out.push_back(Envelope {
            from: None,
            to: Some(to.clone()),
            id: name.clone(),
            content: Content::Set(request.payload),
        });
        self.requests.insert(name, (to.clone(), id, request.n));
    }

    /// Somebody answers under this id: whose signal it was, and which of them.
    fn answered(&mut self, from: &Address, name: &str) -> Option<(TunnelId, u64)> {
        let (_, id, n) = self.requests.get(name).filter(|(to, ..)| to == from)?;
        let answered = (*id, *n);
        self.requests.remove(name);
        Some(answered)
    }

    /// Takes the answer to a signal of ours, or to what we have asked our server or a relay. Says whether it is one.
    pub(super) fn on_answer(
        &mut self,
        at: Moment,
        tunnels: &mut Tunnels,
        envelope: &Envelope,
    ) -> bool {
        if self.relays.handle(at.outer, envelope) {
            self.hear_relays(at, tunnels);
            return true;
        }
        let from = envelope.from.as_ref();
        let Some((id, n)) = from.and_then(|from| self.answered(from, &envelope.id)) else {
            return false;
        };
        let error = if let Content::Error(error) = &envelope.content {
            Some(error.condition)
        } else {
            None
        };
        on_moving(tunnels, id, |moving| moving.on_answer(at.outer, n, error));
        true
    }

    /// Tells routes what the relays have said, and our server of them.
    fn hear_relays(&mut self, at: Moment, tunnels: &mut Tunnels) {
        while let Some(event) = self.relays.poll_event() {
            let mut tell = |id, call: &dyn Fn(&mut Route)| {
                on_moving(tunnels, id, |moving| call(moving.route_mut()));
            };
            match event {
                RelaysEvent::Found => {
                    let relays = self.relays.found(at.outer).unwrap_or_default();
                    for id in std::mem::take(&mut self.seekers) {
                        tell(id, &|route| route.set_relays(at.outer, relays.clone()));
                    }
                }
                // The tunnel may have ended meanwhile.
                RelaysEvent::Activated { sid, result } => {
                    if let Some((id, pipe)) = self.activations.remove(&sid) {
                        let result = result.map_err(refusal);
                        tell(id, &|route| route.activated(at.outer, pipe, result));
                    }
                }
            }
        }
    }

    /// The next signal, or question to our server or a relay of it. It goes before what it is about: a stream, say.
    pub(super) fn poll_transmit(&mut self) -> Option<Envelope> {
        self.out.pop_front().or_else(|| self.relays.poll_transmit())
    }

    /// Another address is bound: what was asked will not be answered, and its relays may be others.
    pub(super) fn rebind(&mut self) {
        self.relays.rebind();
        self.seekers.clear();
        self.out.clear();
        self.requests.clear();
        self.activations.clear();
    }

    // Time, on the owner's clock.

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        let routes = self.schedule.first().map(|(at, _)| at);
        let due = [routes, self.relays.poll_timeout()].into_iter().flatten();
        due.min().map(|at| Deadline { at, why: "a path" })
    }

    pub(super) fn handle_timeout(&mut self, at: Moment, tunnels: &mut Tunnels) {
        self.relays.handle_timeout(at.outer);
        self.hear_relays(at, tunnels);
        while let Some(id) = self.schedule.next_due(at.outer) {
            if let Some(moving) = tunnels.moving_mut(id) {
                moving.handle_timeout(at.outer);
                self.requests
                    .retain(|_, (_, of, n)| *of != id || moving.awaits(*n));
                tunnels.mark(id);
            }
        }
    }

    /// Sockets that are known.
    #[cfg(test)]
    pub(super) fn sockets(&self) -> usize {
        self.sockets.len() + self.ready.len()
    }

    /// Entries in all tables: 0 when nothing is left of any tunnel.
    #[cfg(test)]
    pub(super) fn leftovers(&self) -> usize {
        let asked = self.seekers.len() + self.activations.len() + self.requests.len();
        let sockets = self.sockets.len() + self.ready.len() + self.expecting.len();
        asked + sockets + self.schedule.len()
    }
}

/// Calls the paths of a tunnel, which it is to follow then. Says whether there are any.
fn on_moving(tunnels: &mut Tunnels, id: TunnelId, call: impl FnOnce(&mut Moving)) -> bool {
    let Some(moving) = tunnels.moving_mut(id) else {
        return false;
    };
    call(moving);
    tunnels.mark(id);
    true
}

fn refusal(why: NotActivated) -> Refusal {
    match why {
        NotActivated::Refused => Refusal::Refused,
        NotActivated::Limited => Refusal::Limited,
        NotActivated::TimedOut => Refusal::TimedOut,
    }
}

/// Moves what there is for a stream into it, as far as it has room.
fn push(at: Moment, moving: &mut Moving, transports: &mut Transports, pipe: Pipe, stream: Leg) {
    loop {
        let room = transports.room(stream);
        if room == 0 {
            return;
        }
        let Some(bytes) = moving.route_mut().poll_pipe(at.outer, pipe, room) else {
            return;
        };
        transports.write(at.now, stream, bytes);
    }
}
