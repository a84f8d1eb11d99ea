//! The driver's side of one tunnel, which moves stanzas, bytes and events between the handle and the router.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::oneshot;
use xtls_session::Mode;
use xtls_stanza::{Address, Stanza};
use xtls_tunnel::router::{Gone, Router, SendError, TunnelEvent, TunnelId, TunnelMut};

use super::now;
use crate::byte_channel::ByteChannel;
use crate::events::EventSender;
use crate::progress::ProgressSender;

/// The answer to one call of `Sender::send`.
pub(super) type Sent = oneshot::Sender<Result<(), SendError>>;

/// The driver's side of one tunnel.
pub(super) struct Conduit {
    id: TunnelId,
    peer: Address,
    events: EventSender,
    progress: ProgressSender,
    /// Stanzas that wait for room, oldest first: one for each waiting call.
    waiting: VecDeque<(Stanza, Sent)>,
    /// Stanzas may be sent.
    open: bool,
    /// The owner has sent everything; our direction ends when that has left.
    finishing: bool,
    /// The bytes of a byte tunnel; a responder's that may turn out to be one has them too, until it is known.
    bytes: Option<Arc<ByteChannel>>,
    /// Written, taken from there, and not yet taken by the session.
    rest: BytesMut,
    /// The handle gets everything, however far it is behind.
    unlimited: bool,
    /// The owner has closed, aborted or dropped it.
    leaving: bool,
}

impl Conduit {
    pub(super) fn new(
        id: TunnelId,
        peer: Address,
        events: EventSender,
        progress: ProgressSender,
        bytes: Option<Arc<ByteChannel>>,
    ) -> Self {
        Self {
            id,
            peer,
            events,
            progress,
            waiting: VecDeque::new(),
            open: false,
            finishing: false,
            bytes,
            rest: BytesMut::new(),
            unlimited: false,
            leaving: false,
        }
    }

    /// The peer's address without its resource.
    pub(super) fn bare_peer(&self) -> &str {
        self.peer.bare()
    }

    /// Whether the owner is done with it, so that another tunnel to the same peer may be opened behind it.
    pub(super) fn is_leaving(&self) -> bool {
        let peer_finished = match &self.bytes {
            Some(bytes) => bytes.has_peer_finished(),
            None => self.events.has_peer_finished(),
        };
        self.leaving || (self.finishing && peer_finished)
    }

    pub(super) fn peer(&self) -> &Address {
        &self.peer
    }

    /// The tunnel, until it has ended.
    fn tunnel<'a>(&self, router: &'a mut Router) -> Result<TunnelMut<'a>, Gone> {
        router.tunnel(now(), self.id)
    }

    fn with_tunnel(&self, router: &mut Router, call: impl FnOnce(TunnelMut<'_>)) {
        if let Ok(tunnel) = self.tunnel(router) {
            call(tunnel);
        }
    }

    /// Sends a stanza, or has it wait for room behind those that wait already.
    pub(super) fn send(&mut self, router: &mut Router, stanza: Stanza, done: Sent) {
        if self.finishing {
            let finished = xtls_session::SendError::Finished;
            let _ = done.send(Err(SendError::Session(finished)));
            return;
        }
        // Calls that were given up wait for nothing.
        self.waiting.retain(|(_, done)| !done.is_closed());
        self.waiting.push_back((stanza, done));
        if self.waiting.len() == 1 {
            self.retry(router);
        }
    }

    /// Sends what waits, as far as there is room, and then the end of our direction.
    pub(super) fn retry(&mut self, router: &mut Router) {
        self.push(router);
        while let Some((stanza, done)) = self.waiting.pop_front() {
            if done.is_closed() {
                continue;
            }
            let tunnel = self.tunnel(router).map_err(SendError::from);
            match tunnel.and_then(|mut tunnel| tunnel.send(&stanza)) {
                Err(error) if is_early(&error) => {
                    self.waiting.push_front((stanza, done));
                    return;
                }
                sent => drop(done.send(sent)),
            }
        }
        if self.open && self.finishing {
            self.with_tunnel(router, |mut tunnel| tunnel.finish());
        }
    }

    /// The session is open: what waited for that leaves with the last flight of the handshake.
    pub(super) fn opened(&mut self, router: &mut Router) {
        self.open = true;
        self.retry(router);
    }

    /// Ends our direction once everything has been sent.
    pub(super) fn finish(&mut self, router: &mut Router) {
        self.took(router);
        self.finishing = true;
        if let Some(bytes) = &self.bytes {
            bytes.finish();
        }
        self.retry(router);
    }

    /// Ends the tunnel in order: what was written goes first.
    pub(super) fn close(&mut self, router: &mut Router) {
        self.leaving = true;
        let Some(bytes) = &self.bytes else {
            self.took(router);
            return self.with_tunnel(router, |tunnel| tunnel.close());
        };
        let mut last = std::mem::take(&mut self.rest);
        last.extend_from_slice(&bytes.take());
        bytes.taken(last.len());
        let tunnel = self.tunnel(router).map_err(SendError::from);
        match tunnel.and_then(|tunnel| tunnel.close_after(&last)) {
            Ok(()) => bytes.set_finished(),
            // It has not begun, or more was written than TLS holds: the peer must not take the rest for the whole.
            Err(_) => self.abort(router),
        }
    }

    /// Ends the tunnel at once.
    pub(super) fn abort(&mut self, router: &mut Router) {
        self.leaving = true;
        self.with_tunnel(router, |tunnel| tunnel.abort());
    }

    /// The client stops. A byte tunnel whose writer has not finished is cut.
    pub(super) fn stop(&mut self, router: &mut Router) {
        match &self.bytes {
            Some(bytes) if !bytes.is_finishing() => self.abort(router),
            Some(_) | None => self.close(router),
        }
    }

    /// The owner has dropped the handle. A byte tunnel whose writer has not finished is cut.
    pub(super) fn dropped(&mut self, router: &mut Router) {
        self.hold(router, false);
        match &self.bytes {
            Some(_) => self.stop(router),
            None => {
                self.leaving = true;
                self.with_tunnel(router, |tunnel| tunnel.leave());
            }
        }
    }

    /// The application goes on after it was given [`TunnelEvent::PeerFinished`]: it has taken everything.
    fn took(&self, router: &mut Router) {
        if self.events.has_peer_finished() {
            self.with_tunnel(router, |mut tunnel| tunnel.took());
        }
    }

    /// Whether the handle takes events now.
    fn hold(&self, router: &mut Router, hold: bool) {
        self.with_tunnel(router, |mut tunnel| tunnel.hold(hold));
    }

    /// The handle has written, read or finished.
    pub(super) fn moved(&mut self, router: &mut Router) {
        if let Some(bytes) = &self.bytes {
            bytes.look();
        }
        self.push(router);
        self.pull(router);
    }

    /// What was written goes into the session as far as that has room, then its end.
    fn push(&mut self, router: &mut Router) {
        let Some(bytes) = self.bytes.as_ref().filter(|_| self.open) else {
            return;
        };
        loop {
            if self.rest.is_empty() {
                self.rest = bytes.take();
            }
            if self.rest.is_empty() {
                break;
            }
            // Without room `Writable` follows, and an end comes as an event.
            let tunnel = self.tunnel(router).map_err(SendError::from);
            let Ok(taken) = tunnel.and_then(|mut tunnel| tunnel.write(&self.rest)) else {
                return;
            };
            drop(self.rest.split_to(taken));
            if self.rest.is_empty() {
                self.rest = BytesMut::new();
            }
            bytes.taken(taken);
        }
        if bytes.is_finishing() && !bytes.is_finished() {
            self.with_tunnel(router, |mut tunnel| tunnel.finish());
            bytes.set_finished();
        }
    }

    /// What the session has read goes to the handle as far as that has room.
    fn pull(&self, router: &mut Router) {
        if let Some(bytes) = &self.bytes {
            while let room @ 1.. = bytes.room()
                && let Ok(mut tunnel) = self.tunnel(router)
                && let Some(read) = tunnel.read(room)
            {
                bytes.give(read);
            }
        }
    }

    /// The link is gone: from now on the handle gets everything, whether it has room or not.
    pub(super) fn lift_limits(&mut self, router: &mut Router) {
        self.unlimited = true;
        self.hold(router, false);
        if let Some(bytes) = &self.bytes {
            bytes.lift_limit();
        }
    }

    /// What an event means for what is known of the tunnel, and for its bytes.
    pub(super) fn note(&mut self, router: &mut Router, what: &TunnelEvent) {
        self.progress.note(what);
        let Some(bytes) = &self.bytes else {
            return;
        };
        match what {
            TunnelEvent::Readable => self.pull(router),
            TunnelEvent::Established(peer) if peer.service.mode() == Mode::Stanzas => {
                bytes.set_stanzas();
                self.bytes = None;
            }
            TunnelEvent::PeerFinished => bytes.end(),
            TunnelEvent::Closed(closed) => bytes.close(closed),
            // The rest does not concern them.
            TunnelEvent::Incoming(_)
            | TunnelEvent::Asked(_)
            | TunnelEvent::Judge(_)
            | TunnelEvent::Ready
            | TunnelEvent::Renewed(_)
            | TunnelEvent::OtherKey(_)
            | TunnelEvent::Unanswered(_)
            | TunnelEvent::Stanza(_)
            | TunnelEvent::Refused(_)
            | TunnelEvent::Verify(_)
            | TunnelEvent::NotVerified(_)
            | TunnelEvent::Writable
            | TunnelEvent::Path(_)
            | TunnelEvent::NotPinned(_)
            | TunnelEvent::Established(_)
            | _ => {}
        }
    }

    /// Hands an event to the application. One that is far behind has the tunnel stop reading.
    pub(super) fn pass(&self, router: &mut Router, what: TunnelEvent) {
        if self.events.send(what) && !self.unlimited {
            self.hold(router, true);
            // The handle may have emptied the queue between the count and the hold.
            if self.events.is_light() {
                self.hold(router, false);
            }
        }
    }

    /// The tunnel has ended.
    pub(super) fn end(self) {
        for (_, done) in self.waiting {
            let _ = done.send(Err(SendError::Gone(Gone)));
        }
    }
}

/// The session will take it later: it is not open yet, or has no room.
fn is_early(error: &SendError) -> bool {
    use xtls_session::SendError as Session;
    matches!(error, SendError::Session(Session::Full | Session::NotOpen))
}
