//! What peers ask that is about a tunnel which there is already: signals, and streams that are to carry it.

use xtls_stanza::path::Sealed;
use xtls_stanza::{Address, Condition, Element, Envelope, ErrorType, StanzaError};

use super::beneath::Moment;
use super::transports::{Leg, Transports};
use super::tunnels::Tunnels;

/// Takes a peer's signal, and gives its answer. What it says counts only if the other end of a tunnel has sealed it. `may`: paths
/// are not switched off.
pub(super) fn on_signal(
    at: Moment,
    tunnels: &mut Tunnels,
    transports: &Transports,
    may: bool,
    request: &Envelope,
    element: &Element,
) -> Envelope {
    let refuse = |condition| request.error(StanzaError::new(ErrorType::Cancel, condition));
    let Some(from) = &request.from else {
        return refuse(Condition::ServiceUnavailable);
    };
    if !may {
        return refuse(Condition::FeatureNotImplemented);
    }
    let Ok(sealed) = Sealed::read(element) else {
        return request.error(StanzaError::new(ErrorType::Modify, Condition::BadRequest));
    };
    let found = tunnels.signalled(from, &sealed.sid);
    let Some((id, moving)) = found.and_then(|id| Some((id, tunnels.moving_mut(id)?))) else {
        return refuse(if tunnels.stays(transports, from, &sealed.sid) {
            Condition::FeatureNotImplemented
        } else {
            Condition::ItemNotFound
        });
    };
    match moving.take_signal(at.outer, from, &sealed) {
        Ok(()) => {
            tunnels.mark(id);
            request.result(None)
        }
        Err(refusal) => request.error(refusal),
    }
}

/// Takes a stream that a peer has opened for a tunnel which there is already, if that one expects it.
pub(super) fn meet(
    at: Moment,
    tunnels: &mut Tunnels,
    transports: &mut Transports,
    stream: Leg,
    from: &Address,
) -> bool {
    let Some(sid) = transports.sid(stream).cloned() else {
        return false;
    };
    let found = tunnels.expecting(from, &sid).and_then(|id| {
        let pipe = tunnels.moving_mut(id)?.met(&sid, stream)?;
        Some((id, pipe))
    });
    let Some((id, pipe)) = found else {
        return false;
    };
    if transports.accept(at.now, stream, None).is_ok() {
        tunnels.attach(stream, id);
        if let Some(moving) = tunnels.moving_mut(id) {
            moving.route_mut().connected(at.outer, pipe);
        }
    }
    tunnels.mark(id);
    true
}
