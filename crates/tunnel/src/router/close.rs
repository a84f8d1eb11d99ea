//! How tunnels end: one layer at a time, TLS first.

use std::time::Instant;

use tracing::debug;
use xtls_session::{By, Why as Inner};
use xtls_stanza::ibb::Sid;
use xtls_stanza::{Address, Content, Envelope, Payload, StanzaError, xtls};
use xtls_tls::TlsError;

use super::closing::{Emptied, Expired, Fallen, PeerClose, Settled};
use super::event::{Closed, TunnelEvent, TunnelId, Why};
use super::transports::Leg;
use super::{Router, answers};
use crate::transport::StreamEnd;

/// What ends a tunnel before its time.
#[derive(Debug)]
pub(super) enum Ending {
    /// The owner wants it gone at once.
    Aborted,
    /// Its peer cannot be reached any more; what came before is still handed out.
    PeerGone(StanzaError),
    /// Its conversation goes on elsewhere, and the rest does not come; what came before is still handed out.
    RestMissing,
    /// The router ends the session for a reason of its own. Nothing of it is handed out any more.
    Dropped(By, Why),
    /// It was to replace another and has nothing to carry any more: it ends in silence. One whose open is unanswered does so
    /// in its turn.
    Discarded,
}

impl Router {
    /// Ends a tunnel now, whatever state it is in, without a word of TLS.
    pub(super) fn end(&mut self, now: Instant, id: TunnelId, ending: Ending) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let carrier = tunnel.carrier();
        let (beginning, running) = (carrier.phase().is_beginning(), carrier.session().is_some());
        match ending {
            Ending::Aborted if beginning => {
                self.withdraw(now, id, By::Us, Why::Session(Inner::Aborted));
            }
            Ending::Aborted if running => {
                let moving = tunnel.conversation().and_then(|known| known.successor());
                if let Some(running) = tunnel.running_mut() {
                    if moving.is_some() {
                        running.blame(By::Us, Why::Session(Inner::Aborted));
                    }
                    running.abort(None);
                }
            }
            Ending::Aborted if carrier.phase().is_closing() => self.cut_stream(now, id),
            Ending::Aborted => {}
            Ending::PeerGone(absent) if beginning => {
                self.withdraw(now, id, By::Transport, Why::Unreachable(absent));
            }
            Ending::PeerGone(_) | Ending::RestMissing if running => self.cut(now, id),
            Ending::PeerGone(_) => self.cut_stream(now, id),
            Ending::RestMissing => {}
            Ending::Dropped(by, why) => self.drop_session(id, by, why),
            Ending::Discarded => {
                tunnel.standing_mut().discard();
                self.dirty.insert(id);
                self.drop_session(id, By::Us, Why::Replaced);
            }
        }
    }

    fn drop_session(&mut self, id: TunnelId, by: By, why: Why) {
        if let Some(tunnel) = self.tunnels.get_mut(&id)
            && let Some(running) = tunnel.running_mut()
        {
            running.abort(Some((by, why)));
            self.dirty.insert(id);
        }
    }

    /// Ends one whose session has not begun.
    pub(super) fn withdraw(&mut self, now: Instant, id: TunnelId, by: By, why: Why) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let closed = tunnel.carrier().closed(by, why);
        if let Some(stream) = tunnel.carrier_mut().take_stream() {
            self.streams.remove(&stream);
            self.transports.abort(now, stream);
        }
        self.finish_tunnel(now, id, closed);
    }

    /// Takes the stream from under a session.
    fn cut(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if let Some(stream) = tunnel.carrier_mut().cut(now, &mut self.transports) {
            self.streams.remove(&stream);
            self.collect(now, id);
            self.dirty.insert(id);
        }
    }

    /// Cuts the stream of what is closing.
    fn cut_stream(&mut self, now: Instant, id: TunnelId) {
        if let Some(stream) = self.stream_of(id) {
            self.transports.abort(now, stream);
            self.dirty.insert(id);
        }
    }

    /// The stream beneath a tunnel has gone, in order or not.
    pub(super) fn on_stream_closed(&mut self, now: Instant, stream: Leg, why: StreamEnd) {
        let Some(id) = self.streams.remove(&stream) else {
            return;
        };
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        match tunnel.carrier_mut().on_stream_closed(now, why) {
            Fallen::OpenFailed(why) => self.open_failed(now, id, stream, why),
            Fallen::SessionEnds => {
                self.dirty.insert(id);
            }
            Fallen::Nothing => {}
            Fallen::Ended(closed) => self.finish_tunnel(now, id, closed),
        }
    }

    /// The session of a tunnel has ended.
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
        let untrusted = matches!(close.why, Inner::Untrusted(_));
        if let Inner::Tls(TlsError::Trust(error)) = &close.why {
            self.on_refused_key(id, error.presented());
        } else if let Inner::Untrusted(error) = &close.why {
            self.on_refused_key(id, error.presented());
        }
        self.census.finish(id);
        if let Some(tunnel) = self.tunnels.get_mut(&id)
            && tunnel
                .conversation()
                .is_some_and(|known| known.successor().is_some())
            && !orderly
            && !untrusted
            && let Some(running) = tunnel.running_mut()
        {
            running.blame(By::Us, Why::Replaced);
        }
        // Where its `<finish/>` came, there is nothing that it could have said elsewhere.
        let left = self.has_peer_left_unfinished(id) && self.may_have_moved(id);
        if !left && orderly {
            self.has_not_moved(now, id);
        }
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        let (limit, alone) = (self.config.close, tunnel.standing().is_doomed());
        let carrier = tunnel.carrier_mut();
        let settled =
            carrier.on_session_closed(now, &mut self.transports, limit, close, left, alone);
        match settled {
            Settled::Nothing => {}
            Settled::Emptying => {
                let peer = carrier.peer().clone();
                self.closes.await_acknowledgements(&peer, id);
                self.dirty.insert(id);
            }
            Settled::StreamClosing => {
                self.dirty.insert(id);
            }
            Settled::Ended(closed) => self.finish_tunnel(now, id, closed),
        }
    }

    /// Moves on a tunnel that has no session any more, or none yet.
    pub(super) fn carry_on_closing(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(&id) else {
            return;
        };
        if tunnel.standing().is_doomed() && tunnel.carrier().phase().awaits_open() {
            self.withdraw(now, id, By::Us, Why::Replaced);
            return;
        }
        let limit = self.config.close;
        let carrier = tunnel.carrier_mut();
        match carrier.drain(now, &mut self.transports, limit) {
            Emptied::Nothing => {}
            Emptied::SendClose => {
                self.closes.acknowledged(carrier.peer(), id);
                self.send_close(id);
            }
            Emptied::AwaitClose => {
                self.closes.acknowledged(carrier.peer(), id);
                self.dirty.insert(id);
            }
        }
    }

    /// Sends xtls `<close/>`, now that TLS is closed and everything in it has been acknowledged.
    fn send_close(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get(&id) else {
            return;
        };
        let carrier = tunnel.carrier();
        let sid = carrier.sid(&self.transports).cloned();
        let request = answers::fresh_id(&mut self.random);
        self.out.ask(Envelope {
            from: None,
            to: Some(carrier.peer().clone()),
            id: request.clone(),
            content: Content::Set(Payload::Xtls(xtls::Control::Close { sid })),
        });
        self.closes.await_answer(request, id);
        self.dirty.insert(id);
    }

    /// `<closed/>`, or an error, which says the same: the peer has let go.
    pub(super) fn on_closed_answer(&mut self, now: Instant, from: &Address, id: &str) -> bool {
        let Some(tunnel_id) = self.closes.asked_by(id) else {
            return false;
        };
        let Some(tunnel) = self.tunnels.get(&tunnel_id) else {
            return false;
        };
        let carrier = tunnel.carrier();
        if carrier.peer() != from {
            return false;
        }
        self.closes.answered(tunnel_id);
        // After crossing closes the initiator's IBB close is awaited all the same.
        if carrier.phase().has_sent_close() {
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
        let mut ids: Vec<_> = self.peers.all(from).collect();
        // Without a sid it is the one that is closing anyway.
        let doomed = |id: &TunnelId| Some(self.tunnels.get(id)?.standing().is_doomed());
        ids.sort_by_key(|id| doomed(id) != Some(true));
        let found = ids.into_iter().find(|id| {
            let tunnel = self.tunnels.get(id);
            tunnel.is_some_and(|tunnel| tunnel.carrier().is_named(&self.transports, sid))
        });
        let Some((id, tunnel)) = found.and_then(|id| Some((id, self.tunnels.get_mut(&id)?))) else {
            return false;
        };
        let carrier = tunnel.carrier_mut();
        match carrier.on_peer_close(now, &self.transports, self.config.close) {
            PeerClose::Nothing => self.closes.acknowledged(from, id),
            PeerClose::HandshakeAborted => {
                let why = Ending::Dropped(By::Peer, Why::HandshakeAborted);
                self.end(now, id, why);
            }
            PeerClose::ReadToTheEnd => {
                // Where nothing can follow, it is the end.
                if let Some(stream) = carrier.stream() {
                    carrier.swallow(now, &mut self.transports);
                    self.transports.peer_closed(stream);
                }
            }
            PeerClose::CloseStream => {
                self.closes.acknowledged(from, id);
                self.close_stream(now, id);
            }
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
        let drained = tunnel.conversation().and_then(|known| known.drain_until());
        if drained.is_some_and(|until| until <= now) {
            self.await_rest(now, id);
            return;
        }
        match tunnel.carrier_mut().expire(now, &mut self.transports) {
            Expired::Nothing => {}
            Expired::NoOpen => {
                let closed = tunnel.carrier().closed(By::Peer, Why::NoAnswer);
                self.finish_tunnel(now, id, closed);
            }
            Expired::CutStream => self.cut_stream(now, id),
            Expired::CloseStream => {
                debug!("a step of closing was not answered in time");
                self.close_stream(now, id);
            }
        }
    }

    /// The stream's own close; its end ends the tunnel.
    fn close_stream(&mut self, now: Instant, id: TunnelId) {
        if let Some(tunnel) = self.tunnels.get_mut(&id) {
            tunnel.carrier_mut().close_stream(now, &mut self.transports);
            self.dirty.insert(id);
        }
    }

    /// Tunnels that wait for an open which cannot come any more.
    pub(super) fn end_yielding(&mut self, now: Instant) {
        let yielding = self
            .tunnels
            .iter()
            .filter(|(_, tunnel)| tunnel.carrier().phase().is_yielding());
        for id in yielding.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(tunnel) = self.tunnels.get(&id) {
                let why = Why::Stream(StreamEnd::LinkLost);
                let closed = tunnel.carrier().closed(By::Transport, why);
                self.finish_tunnel(now, id, closed);
            }
        }
    }

    pub(super) fn finish_tunnel(&mut self, now: Instant, id: TunnelId, mut closed: Box<Closed>) {
        let orderly = closed.clean && matches!(closed.why, Why::Session(Inner::Finished));
        let Some(tunnel) = self.tunnels.remove(&id) else {
            return;
        };
        let carrier = tunnel.carrier();
        if let Some(stream) = carrier.stream() {
            self.streams.remove(&stream);
        }
        self.peers.remove(carrier.peer(), id);
        self.census.end(id);
        self.closes.end(carrier.peer(), id);
        if let Some(at) = self.scheduled.remove(&id) {
            self.deadlines.remove(&(at, id));
        }
        self.dirty.remove(&id);
        // What was said in the newer session already was said under this name.
        if let Some(successor) = tunnel.conversation().and_then(|known| known.successor())
            && let Some(session) = self.running(successor)
        {
            closed.unconfirmed = closed.unconfirmed.saturating_add(session.disown());
        }
        self.let_go(id, carrier);
        let announced = self.is_announced_at_its_end(&tunnel);
        if announced {
            self.emit(id, TunnelEvent::Incoming(carrier.peer().clone()));
        }
        if announced || tunnel.standing().is_known() {
            self.emit(id, TunnelEvent::Closed(*closed));
        }
        self.after(now, id, &tunnel, orderly);
    }
}
