//! Moving bytes between a session and what is beneath it.

use xtls_session::Session;

use super::beneath::{Beneath, Moment};
use super::transports::Transports;

/// Moves bytes into the session, as far as that wants them. Says whether there may be more. A peer that is `bound` shows that
/// it lives by what it sends inside.
pub(super) fn receive(
    at: Moment,
    transports: &mut Transports,
    beneath: &mut Beneath,
    session: &mut Session,
    bound: bool,
) -> bool {
    while session.wants_wire() {
        let Some(wire) = beneath.read(at, transports, PIECE) else {
            return false;
        };
        session.handle_wire(at.now, &wire);
        if let Some(stream) = beneath.stream().filter(|_| bound)
            && session.heard() == Some(at.now)
        {
            transports.alive(at.now, stream);
        }
    }
    true
}

/// Moves all that there is into the session, wanted or not.
pub(super) fn receive_all(
    at: Moment,
    transports: &mut Transports,
    beneath: &mut Beneath,
    session: &mut Session,
) {
    while let Some(wire) = beneath.read(at, transports, usize::MAX) {
        session.handle_wire(at.now, &wire);
    }
}

/// Moves what the session has for the wire out, as far as there is room. Says whether anything moved.
pub(super) fn send(
    at: Moment,
    transports: &mut Transports,
    beneath: &mut Beneath,
    session: &mut Session,
) -> bool {
    let mut moved = false;
    loop {
        let room = beneath.room(transports);
        if room == 0 {
            return moved;
        }
        let Some(wire) = session.poll_wire(room) else {
            return moved;
        };
        beneath.write(at, transports, wire);
        moved = true;
    }
}

/// How much moves into a session at once, in bytes.
const PIECE: usize = 16 * 1024;
