//! How tunnels end: one layer at a time, TLS first.

use std::time::Instant;

use tracing::debug;
use xtls_ibb::{Event as Stream, StreamId};
use xtls_session::By;
use xtls_stanza::{Content, Envelope, Payload, xtls};

use super::event::{Closed, TunnelId, What, Why};
use super::tunnel::Phase;
use super::{Router, answers};

impl Router {
    pub(super) fn on_stream(&mut self, now: Instant, event: Stream) {
        match event {
            Stream::Incoming { id, from, open } => self.on_open(now, id, from, &open),
            Stream::Opened { id, .. } => self.on_opened(now, id),
            Stream::Readable { id } | Stream::Writable { id } => self.wake(id),
            Stream::Closed { id, close } => self.on_stream_closed(now, id, close.why),
            _ => {}
        }
    }

    fn wake(&mut self, stream: StreamId) {
        if let Some(&id) = self.streams.get(&stream) {
            self.dirty.insert(id);
        }
    }

    /// The stream beneath a tunnel has gone, in order or not.
    fn on_stream_closed(&mut self, now: Instant, stream: StreamId, why: xtls_ibb::Why) {
        self.orphans.remove(&stream);
        let Some(id) = self.streams.remove(&stream) else {
            return;
        };
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        match &mut tunnel.phase {
            Phase::Opening => self.open_failed(now, id, why),
            Phase::Yielding { .. } => {}
            Phase::Running(session) => {
                session.handle_wire_end(now);
                tunnel.cut = Some(why);
                self.dirty.insert(id);
            }
            Phase::Emptying { closed, .. }
            | Phase::Closing { closed, .. }
            | Phase::Awaiting { closed, .. }
            | Phase::Ending { closed } => {
                let closed = closed.clone();
                self.finish_tunnel(id, closed);
            }
        }
    }

    /// The session has said its last word.
    pub(super) fn on_session_closed(
        &mut self,
        now: Instant,
        id: TunnelId,
        close: xtls_session::Close,
    ) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let orderly = matches!(close.why, xtls_session::Why::Finished);
        let tls = matches!(close.why, xtls_session::Why::Tls(_));
        let why = match tunnel.cut.take() {
            Some(stream) if !orderly && !tls => Why::Cut {
                session: close.why,
                stream,
            },
            Some(_) | None => Why::Session(close.why),
        };
        let closed = Closed {
            peer: tunnel.peer.clone(),
            by: close.by,
            why,
            clean: close.clean,
            unconfirmed: close.unconfirmed,
        };
        let stream = tunnel.stream;
        if !self.streams.contains_key(&stream) {
            self.finish_tunnel(id, closed);
            return;
        }
        let until = now + self.config.close;
        tunnel.phase = match closed.by {
            By::Us if orderly => Phase::Emptying { closed, until },
            By::Peer | By::Transport if orderly => Phase::Awaiting { closed, until },
            By::Us | By::Peer | By::Transport => {
                // No xtls `<close/>`: orderly and abortive ends stay distinguishable. An alert is flushed first.
                if tls {
                    self.mux.close(now, stream);
                } else {
                    self.mux.abort(now, stream);
                }
                Phase::Ending { closed }
            }
        };
        self.dirty.insert(id);
    }

    /// Moves on a tunnel that has no session any more.
    pub(super) fn carry_on_closing(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let stream = tunnel.stream;
        // What still arrives is acknowledged and discarded: TLS has said that nothing follows.
        while self.mux.read(now, stream, usize::MAX).is_some() {}
        if let Phase::Emptying { closed, .. } = &tunnel.phase
            && self.mux.is_flushed(stream)
        {
            let closed = closed.clone();
            self.send_close(now, id, closed);
        }
    }

    /// Sends xtls `<close/>`, now that TLS is closed and everything it said has been acknowledged.
    fn send_close(&mut self, now: Instant, id: TunnelId, closed: Closed) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        // Our ALPN is known to know `sid`; the letter has none and needs none, as unknown attributes are ignored.
        let sid = self.mux.sid(tunnel.stream).cloned();
        let request = answers::fresh_id(&mut self.random);
        self.out.push_back(Envelope {
            from: None,
            to: Some(tunnel.peer.clone()),
            id: request.clone(),
            content: Content::Set(Payload::Xtls(xtls::Control::Close { sid })),
        });
        let until = now + self.config.close;
        tunnel.phase = Phase::Closing {
            closed,
            id: request.clone(),
            until,
        };
        self.requests.insert(request, id);
        self.dirty.insert(id);
    }

    /// `<closed/>`, or an error, which says the same: the peer has let go.
    pub(super) fn on_closed_answer(
        &mut self,
        now: Instant,
        from: &xtls_stanza::Address,
        id: &str,
    ) -> bool {
        let Some(&tunnel_id) = self.requests.get(id) else {
            return false;
        };
        let Some(tunnel) = self.tunnels.get_mut(&tunnel_id) else {
            return false;
        };
        if &tunnel.peer != from {
            return false;
        }
        self.close_stream(now, tunnel_id);
        true
    }

    /// The peer's xtls `<close/>`: true when it names a tunnel of this pair.
    pub(super) fn on_close_request(
        &mut self,
        now: Instant,
        from: &xtls_stanza::Address,
        sid: Option<&xtls_stanza::ibb::Sid>,
    ) -> bool {
        let found = self.with_peer(from).find(|id| {
            let Some(tunnel) = self.tunnels.get(id) else {
                return false;
            };
            sid.is_none_or(|sid| self.mux.sid(tunnel.stream) == Some(sid))
        });
        let Some(id) = found else { return false };
        let until = now + self.config.close;
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return false;
        };
        let stream = tunnel.stream;
        match &mut tunnel.phase {
            Phase::Running(_) if tunnel.key.is_none() => {
                self.end_with(now, id, By::Peer, Why::HandshakeAborted);
            }
            // Out of order: the close_notify that should have come first may still be on its way. The IBB close
            // decides whether this was a truncation.
            Phase::Running(_) | Phase::Opening | Phase::Yielding { .. } => {}
            Phase::Emptying { closed, .. } | Phase::Closing { closed, .. } => {
                // Both were first. The initiator closes the stream; the other does if that does not happen in time.
                let closed = closed.clone();
                if tunnel.role == xtls_tls::Role::Client {
                    self.mux.close(now, stream);
                    tunnel.phase = Phase::Ending { closed };
                } else {
                    tunnel.phase = Phase::Awaiting { closed, until };
                }
            }
            Phase::Awaiting { until: at, .. } => *at = until,
            Phase::Ending { .. } => {}
        }
        self.dirty.insert(id);
        true
    }

    /// A deadline of this tunnel has passed.
    pub(super) fn expire(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if tunnel.deadline().is_none_or(|(at, _)| at > now) {
            return;
        }
        match &mut tunnel.phase {
            Phase::Running(session) => session.handle_timeout(now),
            Phase::Yielding { .. } => {
                let closed = tunnel.closed(By::Peer, Why::NoAnswer);
                self.finish_tunnel(id, closed);
            }
            Phase::Emptying { .. } | Phase::Closing { .. } | Phase::Awaiting { .. } => {
                debug!("a step of closing was not answered in time");
                self.close_stream(now, id);
            }
            Phase::Opening | Phase::Ending { .. } => {}
        }
    }

    /// The stream's own close; its end ends the tunnel.
    fn close_stream(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let closed = match &tunnel.phase {
            Phase::Emptying { closed, .. } | Phase::Awaiting { closed, .. } => closed.clone(),
            Phase::Closing { closed, id, .. } => {
                self.requests.remove(id);
                closed.clone()
            }
            Phase::Opening | Phase::Yielding { .. } | Phase::Running(_) | Phase::Ending { .. } => {
                return;
            }
        };
        self.mux.close(now, tunnel.stream);
        tunnel.phase = Phase::Ending { closed };
        self.dirty.insert(id);
    }

    /// The owner gives up a tunnel that has no session.
    pub(super) fn give_up(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return;
        };
        match tunnel.phase {
            Phase::Opening | Phase::Yielding { .. } => {
                let why = Why::Session(xtls_session::Why::Aborted);
                self.end_with(now, id, By::Us, why);
            }
            Phase::Running(_)
            | Phase::Emptying { .. }
            | Phase::Closing { .. }
            | Phase::Awaiting { .. }
            | Phase::Ending { .. } => {}
        }
    }

    /// Ends a tunnel for a reason of the router's own: no alert, no close_notify, only the stream's close.
    pub(super) fn end_with(&mut self, now: Instant, id: TunnelId, by: By, why: Why) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let closed = tunnel.closed(by, why);
        let stream = tunnel.stream;
        tunnel.phase = Phase::Ending {
            closed: closed.clone(),
        };
        if self.streams.contains_key(&stream) {
            self.mux.abort(now, stream);
            self.dirty.insert(id);
        } else {
            self.finish_tunnel(id, closed);
        }
    }

    pub(super) fn finish_tunnel(&mut self, id: TunnelId, closed: Closed) {
        self.requests.retain(|_, owner| *owner != id);
        if let Some(tunnel) = self.tunnels.remove(&id) {
            self.streams.remove(&tunnel.stream);
        }
        if let Some(at) = self.scheduled.remove(&id) {
            self.deadlines.remove(&(at, id));
        }
        self.dirty.remove(&id);
        self.tell(id, What::Closed(closed));
    }
}
