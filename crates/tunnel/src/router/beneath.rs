//! What is beneath a session: the stream that it began on, and the paths that its bytes may move to.

use std::time::Instant;

use bytes::Bytes;
use xtls_path::{LegId, Role, Wire};

use super::moving::Moving;
use super::transports::{Leg, Transports};

/// One moment on both clocks: streams and sessions stand still with the link, paths do not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Without the interruptions of the link.
    pub(super) now: Instant,
    /// The owner's.
    pub(super) outer: Instant,
}

/// The stream that a session began on, and what else may carry its bytes.
#[derive(Debug)]
pub(super) struct Beneath {
    /// Until it has ended.
    stream: Option<Leg>,
    way: Way,
    /// What the peer has acknowledged on the stream, as far as the wire knows.
    acknowledged: u64,
}

#[derive(Debug)]
enum Way {
    /// There is nothing but the stream.
    Stream,
    /// Whether the peer can move is not known yet. What it has not acknowledged is kept.
    Kept(Box<Wire>),
    Moving(Box<Moving>),
}

impl Beneath {
    pub(super) fn new(stream: Leg) -> Self {
        Self {
            stream: Some(stream),
            way: Way::Stream,
            acknowledged: 0,
        }
    }

    /// The stream that it began on, until that has ended.
    pub(super) fn stream(&self) -> Option<Leg> {
        self.stream
    }

    /// Takes another stream before anything has travelled; gives the one before.
    pub(super) fn replace(&mut self, stream: Leg) -> Option<Leg> {
        // What was counted and kept belongs to the one before.
        std::mem::replace(self, Self::new(stream)).stream
    }

    /// Leaves the stream.
    pub(super) fn take_stream(&mut self) -> Option<Leg> {
        self.stream.take()
    }

    /// What the peer has not acknowledged is kept from now on, if the transport knows what that is. So many bytes have
    /// travelled in the open and its answer.
    pub(super) fn keep(
        &mut self,
        at: Moment,
        transports: &mut Transports,
        role: Role,
        [sent, received]: [u64; 2],
    ) {
        if let Some(stream) = self.stream
            && transports.acknowledged(stream).is_some()
        {
            transports.tell_flushed(at.now, stream);
            let wire = Wire::after(at.outer, role, sent, received);
            self.way = Way::Kept(Box::new(wire));
        }
    }

    /// The peer can move too, or not: then nothing is kept any more.
    pub(super) fn settle(&mut self, moving: impl FnOnce(Wire) -> Option<Moving>) {
        let way = std::mem::replace(&mut self.way, Way::Stream);
        if let Way::Kept(wire) = way
            && let Some(moving) = moving(*wire)
        {
            self.way = Way::Moving(Box::new(moving));
        }
    }

    /// The paths, where there are any.
    pub(super) fn moving(&self) -> Option<&Moving> {
        match &self.way {
            Way::Moving(moving) => Some(moving),
            Way::Stream | Way::Kept(_) => None,
        }
    }

    /// The paths, where there are any.
    pub(super) fn moving_mut(&mut self) -> Option<&mut Moving> {
        match &mut self.way {
            Way::Moving(moving) => Some(moving),
            Way::Stream | Way::Kept(_) => None,
        }
    }

    fn wire(&self) -> Option<&Wire> {
        match &self.way {
            Way::Stream => None,
            Way::Kept(wire) => Some(wire),
            Way::Moving(moving) => Some(moving.route().wire()),
        }
    }

    fn wire_mut(&mut self) -> Option<&mut Wire> {
        match &mut self.way {
            Way::Stream => None,
            Way::Kept(wire) => Some(wire),
            Way::Moving(moving) => Some(moving.wire_mut()),
        }
    }

    /// Whether bytes may still come and go: on the stream, or on a path that is or may yet be.
    pub(super) fn is_there(&self) -> bool {
        self.stream.is_some() || self.moving().is_some_and(Moving::is_under_way)
    }

    /// Whether what is written goes to the stream that it began on.
    pub(super) fn is_on_stream(&self) -> bool {
        let carrying = self.wire().map(Wire::carrying);
        carrying.is_none_or(|carrying| carrying == Some(LegId::ZERO))
    }

    /// Bytes for the session, at most `max`.
    pub(super) fn read(
        &mut self,
        at: Moment,
        transports: &mut Transports,
        max: usize,
    ) -> Option<Bytes> {
        let stream = self.stream;
        let Some(wire) = self.wire_mut() else {
            return transports.read(at.now, stream?, max);
        };
        loop {
            if let Some(bytes) = wire.read(at.outer, max) {
                return Some(bytes);
            }
            let wanted = max.min(wire.wants_of_zero());
            let bytes = transports.read(at.now, stream.filter(|_| wanted > 0)?, wanted)?;
            if let Some(new) = wire.read_zero(at.outer, bytes) {
                return Some(new);
            }
        }
    }

    /// Takes what has come on streams that are paths: always, for how much comes is bounded by what the peer was allowed.
    pub(super) fn pull(&mut self, at: Moment, transports: &mut Transports) {
        let Some(moving) = self.moving_mut() else {
            return;
        };
        for (pipe, stream) in moving.streams().collect::<Vec<_>>() {
            while let Some(bytes) = transports.read(at.now, stream, PIECE) {
                moving.route_mut().handle_pipe(at.outer, pipe, &bytes);
            }
        }
    }

    /// How many bytes [`write`](Self::write) takes now.
    pub(super) fn room(&self, transports: &Transports) -> usize {
        let stream = self.stream.map_or(0, |stream| transports.room(stream));
        match self.wire() {
            None => stream,
            Some(wire) if wire.carrying() == Some(LegId::ZERO) => {
                let limit = match self.moving() {
                    Some(moving) if moving.route().is_attempting() => BESIDE
                        .saturating_sub(usize::try_from(wire.unconfirmed()).unwrap_or(usize::MAX)),
                    Some(_) | None => usize::MAX,
                };
                stream.min(wire.room()).min(limit)
            }
            Some(wire) => wire.room(),
        }
    }

    /// Takes bytes for the peer, at most as many as there is room for.
    pub(super) fn write(&mut self, at: Moment, transports: &mut Transports, bytes: Bytes) {
        let stream = self.stream;
        let Some(wire) = self.wire_mut() else {
            if let Some(stream) = stream {
                transports.write(at.now, stream, bytes);
            }
            return;
        };
        wire.write(bytes);
        // Elsewhere the owner of the pipe asks for it.
        if let Some(stream) = stream.filter(|_| wire.carrying() == Some(LegId::ZERO)) {
            while let Some(bytes) = wire.poll_leg(at.outer, LegId::ZERO, usize::MAX) {
                transports.write(at.now, stream, bytes);
            }
        }
    }

    /// Forgets what the peer has acknowledged on the stream since the last time. Says whether a path is looked for because of it.
    pub(super) fn acknowledge(&mut self, at: Moment, transports: &Transports) -> bool {
        let (stream, before) = (self.stream, self.acknowledged);
        let Some(wire) = self.wire_mut() else {
            return false;
        };
        let all = stream.and_then(|stream| transports.acknowledged(stream));
        let Some(all) = all.filter(|all| *all > before) else {
            return false;
        };
        wire.handle_zero_acknowledged(at.outer, all - before);
        self.acknowledged = all;
        self.moving_mut()
            .is_some_and(|moving| moving.seek_if_due(at.outer))
    }

    /// Whether the peer has acknowledged everything.
    pub(super) fn is_flushed(&self, transports: &Transports) -> bool {
        match self.wire() {
            Some(wire) if !self.is_on_stream() => wire.unconfirmed() == 0,
            Some(_) | None => self.stream.is_none_or(|stream| transports.is_empty(stream)),
        }
    }

    /// The stream has ended, and all that came on it was read. Says whether the session goes on: it moves on another path, or
    /// one is looked for.
    pub(super) fn stream_ended(&mut self, at: Moment) -> bool {
        self.stream = None;
        match &mut self.way {
            Way::Moving(moving) if moving.is_under_way() => {
                moving.route_mut().zero_ended(at.outer);
                true
            }
            Way::Moving(_) | Way::Stream | Way::Kept(_) => false,
        }
    }

    /// Ends it in order: what was written still arrives, and then the end.
    pub(super) fn close(&mut self, at: Moment, transports: &mut Transports) {
        let on_stream = self.is_on_stream();
        if let Some(stream) = self.stream.filter(|_| on_stream) {
            transports.close(at.now, stream);
            self.give_up();
        } else if let Some(moving) = self.moving_mut() {
            moving.leave(at.outer);
        }
    }

    /// Ends it at once, and the stream with an end that is still to be told.
    pub(super) fn abort_stream(&mut self, at: Moment, transports: &mut Transports) {
        if let Some(stream) = self.stream {
            transports.abort(at.now, stream);
        }
        self.give_up();
    }

    /// Ends it at once: nothing is beneath any more.
    pub(super) fn abort(&mut self, at: Moment, transports: &mut Transports) {
        self.abort_stream(at, transports);
        self.stream = None;
    }

    /// No other path is looked for or used any more.
    pub(super) fn give_up(&mut self) {
        if let Some(moving) = self.moving_mut() {
            moving.give_up();
        }
    }
}

/// What may be under way on the stream while another path is looked for: whatever is before the signals there keeps them waiting,
/// and a server that lets 10 kB pass in a second does so for long.
const BESIDE: usize = 4_096;

/// How much of a stream is taken at once, in bytes.
const PIECE: usize = 65_536;
