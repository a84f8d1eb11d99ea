//! How an owner ends a tunnel in order, and says that it has taken what the peer sent.

use std::time::Instant;

use xtls_session::Session;

use super::Router;
use super::close::Ending;
use super::event::TunnelId;
use super::progress::Intent;

impl Router {
    /// Ends our direction of a tunnel; what the peer still says is read without a limit of time, and what we said is
    /// delivered without one. [`Closed::receipt`](super::Closed::receipt) tells what became of it.
    pub fn finish(&mut self, now: Instant, id: TunnelId) {
        self.end_in_order(now, id, Intent::Finish, Session::finish);
    }

    /// Ends a tunnel in order, each step within the configured time. [`Closed::receipt`](super::Closed::receipt) tells what
    /// became of what we said.
    pub fn close(&mut self, now: Instant, id: TunnelId) {
        self.end_in_order(now, id, Intent::Close, Session::close);
    }

    /// The owner has taken everything that came before [`TunnelEvent::PeerFinished`](super::TunnelEvent::PeerFinished): the
    /// peer may know, and waits for it. Ignored until that has been told.
    pub fn took(&mut self, now: Instant, id: TunnelId) {
        let now = self.clock.read(now);
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let known = tunnel.conversation_mut();
        if known.is_some_and(|known| known.take_all()) {
            if let Some(running) = tunnel.running_mut() {
                running.take_all(now);
            }
            self.mark_and_pump(now, id);
        }
    }

    /// Ends a tunnel in order for an owner that is not there any more to hear what became of it: what was said is delivered,
    /// each step within the configured time, and what the peer says is not taken.
    pub fn leave(&mut self, now: Instant, id: TunnelId) {
        self.end_in_order(now, id, Intent::Close, Session::leave);
    }

    fn end_in_order(
        &mut self,
        now: Instant,
        id: TunnelId,
        intent: Intent,
        end: fn(&mut Session, Instant),
    ) {
        let now = self.clock.read(now);
        for id in [Some(id), self.successor(id)].into_iter().flatten() {
            if let Some(tunnel) = self.tunnels.get_mut(&id) {
                let carrier = tunnel.carrier_mut();
                carrier.ask_to_end(now, self.config.close, intent);
                if let Some(session) = carrier.session_mut() {
                    end(session, now);
                } else if carrier.phase().is_beginning() {
                    self.end(now, id, Ending::Aborted);
                }
            }
            self.mark_and_pump(now, id);
        }
    }
}
