//! What the driver does for byte tunnels: it moves bytes between the handle's pipe and the session.

use std::sync::Arc;

use xtls_session::Mode;

use super::{Driver, Life, TunnelId, Uplink, now};
use crate::pipe::Pipe;
use xtls_tunnel::router::What;

impl<U: Uplink> Driver<U> {
    pub(super) fn pipe(&self, id: TunnelId) -> Option<Arc<Pipe>> {
        self.handles.0.get(&id)?.pipe.clone()
    }

    /// The handle has written, read or finished.
    pub(super) fn on_moved(&mut self, id: TunnelId) {
        if let Some(pipe) = self.pipe(id) {
            pipe.look();
            self.push(id, &pipe);
            self.pull(id, &pipe);
        }
    }

    /// What was written goes into the session as far as that has room, then its end.
    pub(super) fn push(&mut self, id: TunnelId, pipe: &Pipe) {
        loop {
            let Some(handle) = self.handles.0.get_mut(&id).filter(|handle| handle.open) else {
                return;
            };
            if handle.rest.is_empty() {
                handle.rest = pipe.take();
            }
            if handle.rest.is_empty() {
                break;
            }
            // Without room `Writable` follows; an end has been told or will be.
            let Ok(taken) = self.router.write(now(), id, &handle.rest) else {
                return;
            };
            drop(handle.rest.split_to(taken));
            if handle.rest.is_empty() {
                handle.rest = bytes::BytesMut::new();
            }
            pipe.taken(taken);
        }
        if pipe.is_finishing() && !pipe.is_finished() {
            self.router.finish(now(), id);
            pipe.set_finished();
        }
    }

    /// What the session has read goes to the handle as far as that has room.
    pub(super) fn pull(&mut self, id: TunnelId, pipe: &Pipe) {
        loop {
            // A reader who is behind when the link is lost gets all that has come.
            let room = match self.life {
                Life::Running | Life::Stopping | Life::Alone => pipe.room(),
                Life::Ended => usize::MAX,
            };
            if room == 0 {
                return;
            }
            let Some(bytes) = self.router.read(now(), id, room) else {
                return;
            };
            pipe.give(bytes);
        }
    }

    /// Ends a byte tunnel in order: what was written goes first.
    pub(super) fn close_bytes(&mut self, id: TunnelId, pipe: &Pipe) {
        let Some(handle) = self.handles.0.get_mut(&id) else {
            return;
        };
        let mut last = std::mem::take(&mut handle.rest);
        last.extend_from_slice(&pipe.take());
        pipe.taken(last.len());
        match self.router.close_after(now(), id, &last) {
            Ok(()) => pipe.set_finished(),
            // It has not begun, or more was written than TLS holds: the peer must not take the rest for the whole.
            Err(_) => self.router.abort(now(), id),
        }
    }

    /// Nobody is left who could say the rest: in order if all was said, and as a cut otherwise.
    pub(super) fn leave_bytes(&mut self, id: TunnelId, pipe: &Pipe) {
        if pipe.is_finishing() {
            self.close_bytes(id, pipe);
        } else {
            self.router.abort(now(), id);
        }
    }

    /// What happened to a byte tunnel, as its reader and writer see it.
    pub(super) fn on_bytes(&mut self, id: TunnelId, what: &What, pipe: &Pipe) {
        match what {
            What::Readable => self.pull(id, pipe),
            What::Established(peer) => {
                pipe.met(peer);
                if peer.service.mode() == Mode::Stanzas
                    && let Some(handle) = self.handles.0.get_mut(&id)
                {
                    handle.pipe = None;
                }
            }
            What::PeerFinished => pipe.end(),
            What::Closed(closed) => pipe.close(closed),
            // The rest is for the handle.
            _ => {}
        }
    }
}
