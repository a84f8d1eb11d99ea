//! How tunnels end: one layer at a time, TLS first.

use std::time::Instant;

use tracing::debug;
use xtls_session::{By, Why as Inner};
use xtls_stanza::ibb::Sid;
use xtls_stanza::{Address, Content, Envelope, Payload, xtls};
use xtls_tls::{Role, TlsError};

use super::event::{Closed, TunnelId, What, Why};
use super::legs::{Event as Stream, Leg};
use super::tunnel::Phase;
use super::{Router, answers};
use crate::transport::StreamEnd;

impl Router {
    pub(super) fn on_stream(&mut self, now: Instant, event: Stream) {
        match event {
            Stream::Incoming { leg, from, hello } => self.on_open(now, leg, from, hello),
            Stream::Opened { leg, flight } => self.on_opened(now, leg, flight),
            Stream::Ready(leg) => self.wake(leg),
            // A tunnel closes each direction inside of TLS.
            Stream::PeerClosed(leg) => self.legs.close(now, leg),
            Stream::Closed { leg, end } => self.on_stream_closed(now, leg, end),
            Stream::TurnedAway { from, busy } => self.crowd.note(now, &from, busy),
        }
    }

    fn wake(&mut self, stream: Leg) {
        if let Some(&id) = self.streams.get(&stream) {
            self.dirty.insert(id);
        }
    }

    /// The stream beneath a tunnel has gone, in order or not.
    fn on_stream_closed(&mut self, now: Instant, stream: Leg, why: StreamEnd) {
        let Some(id) = self.streams.remove(&stream) else {
            return;
        };
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        tunnel.stream = None;
        match &mut tunnel.phase {
            Phase::Opening { .. } => self.open_failed(now, id, why),
            Phase::Asking { .. } => {
                let ours = why == StreamEnd::Expired;
                let by = if ours { By::Us } else { By::Peer };
                let closed = tunnel.closed(by, Why::Stream(why));
                self.finish_tunnel(id, closed);
            }
            Phase::Yielding { .. } => {}
            Phase::Running(session) => {
                session.handle_wire_end(now);
                tunnel.cut = Some(Box::new(why));
                self.dirty.insert(id);
            }
            Phase::Emptying { closed, .. } => {
                let mut closed = closed.clone();
                if !matches!(why, StreamEnd::Done | StreamEnd::Unread { .. }) {
                    // What the peer wrote was read; what we wrote was not all acknowledged.
                    closed.why = Why::Cut {
                        session: Inner::Finished,
                        stream: why,
                    };
                }
                self.finish_tunnel(id, closed);
            }
            Phase::Closing { closed, .. }
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
        if self.again_without_early(now, id, &close) {
            return;
        }
        let orderly = matches!(close.why, Inner::Finished);
        let tls = matches!(close.why, Inner::Tls(_));
        if let Inner::Tls(TlsError::Trust(error)) = &close.why {
            self.tell_rival(id, error.presented());
        } else if let Inner::Untrusted(error) = &close.why {
            self.tell_rival(id, error.presented());
        }
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let untrusted = matches!(close.why, Inner::Untrusted(_));
        if tunnel.heir.is_some() && !orderly && !untrusted && tunnel.verdict.is_none() {
            tunnel.verdict = Some(Box::new((By::Us, Why::Replaced)));
        }
        // Where its `<finish/>` came, there is nothing that it could have said elsewhere.
        let parted =
            tunnel.parted && !tunnel.mute && self.may_have_moved(id) && !planted!("moved-is-clean");
        if !parted && orderly {
            self.has_not_moved(id);
        }
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if orderly {
            tunnel.carried = tunnel.session().map(|session| Box::new(session.carried()));
        }
        // An alert, or a last step of a verification: the peer is told why.
        let told = matches!(
            close.why,
            Inner::Tls(_) | Inner::Refused | Inner::Untrusted(_)
        );
        let (by, why) = match (tunnel.verdict.take(), tunnel.cut.take()) {
            (Some(verdict), _) if !orderly => *verdict,
            (_, Some(stream)) if !orderly && !tls => {
                let (session, stream) = (close.why, *stream);
                (close.by, Why::Cut { session, stream })
            }
            _ => (close.by, Why::Session(close.why)),
        };
        // Where the peer may have moved on, its close_notify was not its last word.
        let (by, why) = if parted {
            (By::Transport, Why::Session(Inner::Truncated))
        } else {
            (by, why)
        };
        let cut_off = matches!(why, Why::Replaced | Why::Session(Inner::Truncated));
        let closed = Box::new(Closed {
            peer: tunnel.peer.clone(),
            by,
            why,
            clean: close.clean && !cut_off
                || (planted!("forged-close-is-clean") && tunnel.dismissed),
            unconfirmed: close.unconfirmed,
            receipt: close.receipt,
        });
        let Some(stream) = tunnel.stream else {
            self.finish_tunnel(id, closed);
            return;
        };
        if orderly && tunnel.silent && !tunnel.bound {
            // The letter's `<close/>` names no tunnel, and its successor stands already.
            tunnel.phase = Phase::Ending { closed };
            self.legs.close(now, stream);
        } else if orderly {
            tunnel.phase = Phase::Emptying {
                closed,
                first: by == By::Us && !tunnel.dismissed,
                until: tunnel.hurry.then(|| now + self.config.close),
            };
            self.emptying.insert(id);
        } else {
            // No xtls `<close/>`: orderly and abortive ends stay distinguishable. What was said is flushed first.
            tunnel.phase = Phase::Ending { closed };
            if told {
                self.legs.close(now, stream);
            } else {
                self.legs.abort(now, stream);
            }
        }
        self.dirty.insert(id);
    }

    /// Moves on a tunnel that has no session any more.
    pub(super) fn carry_on_closing(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if tunnel.silent && tunnel.awaits_open() {
            self.withdraw(now, id, By::Us, Why::Replaced);
            return;
        }
        let Some(stream) = tunnel.stream else {
            return;
        };
        // What still arrives is acknowledged and discarded: TLS has said that nothing follows.
        while self.legs.read(now, stream, usize::MAX).is_some() {}
        if let Phase::Emptying { closed, first, .. } = &tunnel.phase
            && self.legs.is_empty(stream)
        {
            self.emptying.remove(&id);
            let closed = closed.clone();
            if *first {
                self.send_close(now, id, closed);
            } else {
                let until = now + self.config.close;
                tunnel.phase = Phase::Awaiting { closed, until };
                self.dirty.insert(id);
            }
        }
    }

    /// Sends xtls `<close/>`, now that TLS is closed and everything it said has been acknowledged.
    fn send_close(&mut self, now: Instant, id: TunnelId, closed: Box<Closed>) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        // The letter has no `sid` and knows one tunnel for each pair of addresses.
        let sid = tunnel
            .stream
            .filter(|_| tunnel.bound)
            .and_then(|stream| self.legs.sid(stream).cloned());
        let request = answers::fresh_id(&mut self.random);
        self.out.ask(Envelope {
            from: None,
            to: Some(tunnel.peer.clone()),
            id: request.clone(),
            content: Content::Set(Payload::Xtls(xtls::Control::Close { sid })),
        });
        let until = now + self.config.close;
        tunnel.phase = Phase::Closing { closed, until };
        self.requests.insert(request, id);
        self.dirty.insert(id);
    }

    /// `<closed/>`, or an error, which says the same: the peer has let go.
    pub(super) fn on_closed_answer(&mut self, now: Instant, from: &Address, id: &str) -> bool {
        let Some(&tunnel_id) = self.requests.get(id) else {
            return false;
        };
        let Some(tunnel) = self.tunnels.get(&tunnel_id) else {
            return false;
        };
        if &tunnel.peer != from {
            return false;
        }
        self.requests.remove(id);
        // After crossing closes the initiator's IBB close is awaited all the same.
        if matches!(tunnel.phase, Phase::Closing { .. }) {
            self.close_stream(now, tunnel_id);
        }
        true
    }

    /// The peer's xtls `<close/>`: true when it names a tunnel of this pair.
    pub(super) fn on_close_request(
        &mut self,
        now: Instant,
        from: &Address,
        sid: Option<&Sid>,
    ) -> bool {
        let mut ids = if planted!("closed-by-anybody") {
            self.tunnels.keys().copied().collect()
        } else {
            self.with_peer(from)
        };
        // Without a sid it is the one that is closing anyway.
        ids.sort_by_key(|id| self.tunnels.get(id).is_none_or(|tunnel| !tunnel.silent));
        let found = ids.into_iter().find(|id| {
            let Some(tunnel) = self.tunnels.get(id).filter(|tunnel| tunnel.begun()) else {
                return false;
            };
            let own = tunnel.stream.and_then(|stream| self.legs.sid(stream));
            // The original flow has no sid.
            tunnel.stream.is_some() && (sid.is_none() || sid == own)
        });
        let Some(id) = found else { return false };
        let until = now + self.config.close;
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return false;
        };
        tunnel.dismissed = true;
        let legs = &self.legs;
        let last = tunnel
            .stream
            .is_some_and(|stream| !legs.signals_close(stream));
        match &mut tunnel.phase {
            Phase::Running(_) if tunnel.key.is_none() => {
                self.drop_session(id, By::Peer, Why::HandshakeAborted);
            }
            // The close_notify that should have come first may still be on its way. We end our direction, and wait no
            // longer than for any close; the peer's close_notify alone decides whether this was a truncation.
            Phase::Running(session) => {
                session.leave(now);
                // Where nothing can follow, it is the end.
                if let Some(stream) = tunnel.stream {
                    self.swallow(now, id);
                    self.legs.peer_closed(stream);
                }
            }
            Phase::Emptying { closed, .. } | Phase::Closing { closed, .. } => {
                // Both were first. The initiator closes the stream; the other does if that does not happen in time.
                let closed = closed.clone();
                self.emptying.remove(&id);
                tunnel.phase = Phase::Awaiting { closed, until };
                if tunnel.role == Role::Client {
                    self.close_stream(now, id);
                }
            }
            // There may be nothing beneath that would have to be closed as well.
            Phase::Awaiting { .. } if last => self.close_stream(now, id),
            Phase::Awaiting { until: at, .. } => *at = until,
            Phase::Opening { .. }
            | Phase::Asking { .. }
            | Phase::Yielding { .. }
            | Phase::Ending { .. } => {}
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
        if tunnel.heir.is_some_and(|(_, until)| until <= now) {
            self.await_rest(now, id);
            return;
        }
        match &mut tunnel.phase {
            Phase::Running(session) => {
                session.handle_timeout(now);
                let deaf = session.holds_back();
                // A probe, old keys and a first step of closing are no end.
                tunnel.over = session.is_ending();
                // Who does not listen cannot tell whether the other lives.
                if let Some(stream) = tunnel.stream.filter(|_| deaf && tunnel.bound) {
                    self.legs.alive(now, stream);
                }
            }
            Phase::Yielding { .. } => {
                let closed = tunnel.closed(By::Peer, Why::NoAnswer);
                self.finish_tunnel(id, closed);
            }
            Phase::Emptying { .. } => self.cut_short(now, id),
            Phase::Closing { .. } | Phase::Awaiting { .. } => {
                debug!("a step of closing was not answered in time");
                self.close_stream(now, id);
            }
            Phase::Opening { .. } | Phase::Asking { .. } | Phase::Ending { .. } => {}
        }
    }

    /// The owner calls for an end: what would wait for ever waits no longer.
    pub(super) fn hurry(&mut self, now: Instant, id: TunnelId) {
        let limit = now + self.config.close;
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        tunnel.hurry = true;
        if let Phase::Emptying { until, .. } = &mut tunnel.phase {
            until.get_or_insert(limit);
        }
    }

    /// The stream's own close; its end ends the tunnel.
    fn close_stream(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let (Phase::Closing { closed, .. } | Phase::Awaiting { closed, .. }) = &tunnel.phase else {
            return;
        };
        let closed = closed.clone();
        tunnel.phase = Phase::Ending { closed };
        if let Some(stream) = tunnel.stream {
            self.legs.close(now, stream);
        }
        self.dirty.insert(id);
    }

    /// Ends what is closing at once.
    pub(super) fn cut_short(&mut self, now: Instant, id: TunnelId) {
        if let Some(stream) = self.tunnels.get(&id).and_then(|tunnel| tunnel.stream) {
            self.legs.abort(now, stream);
            self.dirty.insert(id);
        }
    }

    /// The owner gives up a tunnel that has no session.
    pub(super) fn give_up(&mut self, now: Instant, id: TunnelId) {
        self.withdraw(now, id, By::Us, Why::Session(Inner::Aborted));
    }

    /// Ends a tunnel whose session has not begun.
    pub(super) fn withdraw(&mut self, now: Instant, id: TunnelId, by: By, why: Why) {
        let Some(tunnel) = self
            .tunnels
            .get_mut(&id)
            .filter(|tunnel| tunnel.awaits_open() || matches!(tunnel.phase, Phase::Asking { .. }))
        else {
            return;
        };
        let closed = tunnel.closed(by, why);
        if let Some(stream) = tunnel.stream.take() {
            self.streams.remove(&stream);
            self.legs.abort(now, stream);
        }
        self.finish_tunnel(id, closed);
    }

    /// Ends a session for a reason of the router's own, without a word of TLS. Nothing of it is handed out any more.
    pub(super) fn drop_session(&mut self, id: TunnelId, by: By, why: Why) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if let Phase::Running(session) = &mut tunnel.phase {
            session.abort();
            tunnel.over = true;
            tunnel.verdict = Some(Box::new((by, why)));
            self.dirty.insert(id);
        }
    }

    /// Takes the stream from under a tunnel. What came before is still handed out; then it ends, for `why` or as cut.
    pub(super) fn cut(&mut self, now: Instant, id: TunnelId, why: Option<(By, Why)>) {
        self.swallow(now, id);
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if let Phase::Running(session) = &mut tunnel.phase
            && let Some(stream) = tunnel.stream.take()
        {
            self.streams.remove(&stream);
            self.legs.abort(now, stream);
            session.handle_wire_end(now);
            tunnel.cut = Some(Box::new(StreamEnd::Aborted));
            tunnel.verdict = why.map(Box::new);
            self.collect(now, id);
            self.dirty.insert(id);
        }
    }

    /// Tunnels that wait for an open which cannot come any more.
    pub(super) fn end_yielding(&mut self) {
        let yielding = |phase: &Phase| matches!(phase, Phase::Yielding { .. });
        let ids: Vec<_> = self
            .tunnels
            .iter()
            .filter(|(_, tunnel)| yielding(&tunnel.phase))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            if let Some(tunnel) = self.tunnels.get(&id) {
                let why = Why::Stream(StreamEnd::LinkLost);
                let closed = tunnel.closed(By::Transport, why);
                self.finish_tunnel(id, closed);
            }
        }
    }

    pub(super) fn finish_tunnel(&mut self, id: TunnelId, mut closed: Box<Closed>) {
        let orderly = closed.clean && matches!(closed.why, Why::Session(Inner::Finished));
        let Some(tunnel) = self.tunnels.remove(&id) else {
            return;
        };
        if let Some(stream) = tunnel.stream {
            self.streams.remove(&stream);
        }
        if let Some(ids) = self.peers.get_mut(&tunnel.peer) {
            ids.remove(&id);
            if ids.is_empty() {
                self.peers.remove(&tunnel.peer);
            }
        }
        self.requests.retain(|_, owner| *owner != id);
        if let Some(at) = self.scheduled.remove(&id) {
            self.deadlines.remove(&(at, id));
        }
        self.dirty.remove(&id);
        self.emptying.remove(&id);
        // What was said in the newer session already was said under this name.
        if let Some((heir, _)) = tunnel.heir
            && let Some(session) = self.running(heir)
        {
            closed.unconfirmed = closed.unconfirmed.saturating_add(session.disown());
        }
        self.let_go(id, &tunnel);
        if !tunnel.hidden() {
            if planted!("closed-twice") {
                self.tell(id, What::Closed(Closed::clone(&closed)));
            }
            self.tell(id, What::Closed(*closed));
        }
        self.after(id, &tunnel, orderly);
    }
}
