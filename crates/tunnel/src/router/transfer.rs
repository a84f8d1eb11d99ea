//! Moving bytes between a session and the stream beneath it.

use std::time::Instant;

use xtls_session::Session;

use super::transports::{Leg, Transports};

/// Moves bytes from the stream into the session, as far as that wants them. Says whether the stream may have more. A peer
/// that is `bound` shows that it lives by what it sends inside.
pub(super) fn receive(
    now: Instant,
    transports: &mut Transports,
    stream: Leg,
    session: &mut Session,
    bound: bool,
) -> bool {
    while session.wants_wire() {
        let Some(wire) = transports.read(now, stream, PIECE) else {
            return false;
        };
        session.handle_wire(now, &wire);
        if bound && session.heard() == Some(now) {
            transports.alive(now, stream);
        }
    }
    true
}

/// Moves all that the stream has into the session, wanted or not.
pub(super) fn receive_all(
    now: Instant,
    transports: &mut Transports,
    stream: Leg,
    session: &mut Session,
) {
    while let Some(wire) = transports.read(now, stream, usize::MAX) {
        session.handle_wire(now, &wire);
    }
}

/// Moves what the session has for the wire into the stream, as far as there is room. Says whether anything moved.
pub(super) fn send(
    now: Instant,
    transports: &mut Transports,
    stream: Leg,
    session: &mut Session,
) -> bool {
    let mut moved = false;
    loop {
        let room = transports.room(stream);
        if room == 0 {
            return moved;
        }
        let Some(wire) = session.poll_wire(room) else {
            return moved;
        };
        transports.write(now, stream, wire);
        moved = true;
    }
}

/// How much of a stream moves into a session at once, in bytes.
const PIECE: usize = 16 * 1024;
