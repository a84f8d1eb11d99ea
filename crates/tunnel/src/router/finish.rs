//! How an owner ends a tunnel in order, and says that it has taken what the peer said.

use std::time::Instant;

use xtls_session::Session;

use super::Router;
use super::event::{Event, TunnelId, What};

impl Router {
    /// Ends our direction of a tunnel; what the peer still says is read without a limit of time, and what we said is
    /// delivered without one. [`Closed::receipt`](super::Closed::receipt) tells what became of it.
    pub fn finish(&mut self, now: Instant, id: TunnelId) {
        let now = self.clock.read(now);
        for id in [Some(id), self.heir(id)].into_iter().flatten() {
            self.mark_finished(id);
            match self.running(id) {
                Some(session) => session.finish(now),
                None => self.give_up(now, id),
            }
            self.touch(now, id);
        }
    }

    /// Ends a tunnel in order, each step within the configured time. [`Closed::receipt`](super::Closed::receipt) tells what became of what we said.
    pub fn close(&mut self, now: Instant, id: TunnelId) {
        self.end_in_time(now, id, Session::close);
    }

    /// The owner has taken everything that came before [`What::PeerFinished`]: the peer may know, and waits for it. Ignored
    /// until that has been told.
    pub fn took(&mut self, now: Instant, id: TunnelId) {
        let now = self.clock.read(now);
        let told = |event: &Event| event.id == id && matches!(event.what, What::PeerFinished);
        if self.events.iter().any(told) {
            return;
        }
        let Some(tunnel) = self.tunnels.get_mut(&id).filter(|tunnel| tunnel.mute) else {
            return;
        };
        tunnel.took = true;
        if !tunnel.unheard
            && let Some(session) = tunnel.session()
        {
            session.took(now);
        }
        self.touch(now, id);
    }

    /// Ends a tunnel in order for an owner that is not there any more to hear what became of it: what was said is delivered,
    /// each step within the configured time, and what the peer says is not taken.
    pub fn leave(&mut self, now: Instant, id: TunnelId) {
        self.end_in_time(now, id, Session::leave);
    }

    fn end_in_time(&mut self, now: Instant, id: TunnelId, end: fn(&mut Session, Instant)) {
        let now = self.clock.read(now);
        for id in [Some(id), self.heir(id)].into_iter().flatten() {
            self.mark_finished(id);
            self.hurry(now, id);
            match self.running(id) {
                Some(session) => end(session, now),
                None => self.give_up(now, id),
            }
            self.touch(now, id);
        }
    }

    fn mark_finished(&mut self, id: TunnelId) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.finished = true;
        }
    }
}
