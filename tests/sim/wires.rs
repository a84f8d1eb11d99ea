//! The connections under sockets: bytes that arrive in pieces, late, altered, or not at all.

use std::collections::VecDeque;
use std::hash::Hasher as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_client::router::PipeId;

use crate::legs::Watch;
use crate::paths::Harm;
use crate::sockets::{Due, KNOCK, Place, Sockets};
use crate::world::{Deed, World};

/// Bytes on their way in one direction.
const ROOM: usize = 65_536;
/// How much later what was read is confirmed at most.
const CONFIRMED: Duration = Duration::from_secs(1);
/// What a relay passes on whole.
const BURST: usize = 150;
/// Bytes asked for at once.
const PIECE: usize = 16_384;

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) sides: [Option<(usize, PipeId)>; 2],
    ways: [Way; 2],
    pub(crate) relay: Option<usize>,
    /// It is at a listener, and this was said to it.
    pub(crate) knock: Option<(usize, Vec<u8>)>,
    /// Nobody of ours is at the other side.
    pub(crate) ghost: bool,
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
        let most = self.dice.pick(&[60, 200, 600, 2_000, 6_000, 60_000]);
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
    /// A new wire between these.
    pub(crate) fn string(
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
    pub(crate) fn draw_from(&mut self, at: usize, pipe: PipeId) -> bool {
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
        self.note(|| format!("<= {} bytes, side {side} of wire {number}", bytes.len()));
        if self.sings(&bytes) {
            self.accuse("I2: a relay sees plaintext");
        }
        let Some(wire) = self.sockets.wires.get_mut(&number) else {
            return;
        };
        let watched = wire.watch.said(side, &bytes);
        let owner = wire.sides[side].map(|(at, _)| at);
        let since = self.sockets.held_since;
        // On a wire that stands still, it may take as long as that.
        let late = since.is_some_and(|since| self.now - since < CONFIRMED) || self.sockets.harmed;
        match (watched, owner) {
            // What was read is confirmed a little later, and may have been read before its owner stopped.
            (Ok(taken), Some(at)) if !late => {
                self.clients[at].referee.acknowledged += taken as usize;
            }
            (Ok(_), Some(_)) => {}
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
        if tails && wire.relay.is_some() && piece.len() > BURST && sockets.dice.permille(300) {
            let most = (piece.len() - BURST).min(904);
            way.tail = piece.split_off(piece.len() - 1 - sockets.dice.index(most));
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
    pub(crate) fn piece(&mut self, number: u64, side: usize) {
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
            self.note(|| format!("=> {at} {} bytes on {pipe:?}", bytes.len()));
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
        self.sockets.knocked = Some(*knock);
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
    pub(crate) fn haunt(&mut self, number: u64, side: usize) {
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
    pub(crate) fn hang_up(&mut self, at: usize, pipe: PipeId) {
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
    pub(crate) fn reset(&mut self, number: u64) {
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

    fn record(&mut self, at: usize, bytes: &[u8]) {
        let now = self.at().as_micros() as u64;
        self.hash(|trace| {
            trace.write_u64(now);
            trace.write_usize(at);
            trace.write(bytes);
        });
    }
}
