//! What carries a conversation: a stream, the session on it, and the steps in which both are closed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_session::{
    By, Close, Event as Inner, Mode, Peer, Receipt, SendError, Service, Session, Traffic,
    Why as SessionWhy,
};
use xtls_stanza::Address;
use xtls_stanza::ibb::Sid;
use xtls_tls::{Fingerprint, PathKeys, Role};

use super::beneath::{Beneath, Moment};
use super::closing::{Closing, Crossing, Emptied, Expired, Fallen, PeerClose, Settled, Step, Then};
use super::event::{Closed, Why};
use super::moving::Moving;
use super::phase::Phase;
use super::progress::{Intent, Progress};
use super::running::{Hello, Running};
use super::transfer;
use super::transports::{Leg, Transports};
use crate::transport::StreamEnd;

/// A stream to one peer, and what runs on it.
#[derive(Debug)]
pub(super) struct Carrier {
    peer: Address,
    role: Role,
    /// What travels inside. A responder knows it when the ClientHello has come, and takes whatever it serves before.
    service: Option<Service>,
    beneath: Beneath,
    phase: Phase,
    progress: Progress,
    /// The key that the peer has proven to hold, let in or not.
    proven: Option<Fingerprint>,
    intent: Intent,
}

impl Carrier {
    /// Our open is on its way, with the session whose ClientHello it holds.
    pub(super) fn opening(
        peer: Address,
        service: Service,
        stream: Leg,
        early: Option<Box<Session>>,
    ) -> Self {
        let phase = Phase::Opening { early };
        Self::new(peer, Role::Client, Some(service), stream, phase)
    }

    /// A peer's open waits for the owner.
    pub(super) fn asking(
        peer: Address,
        service: Option<Service>,
        stream: Leg,
        hello: Option<Bytes>,
    ) -> Self {
        Self::new(peer, Role::Server, service, stream, Phase::Asking { hello })
    }

    /// A peer's open is accepted; [`run`](Self::run) or [`fail`](Self::fail) follows.
    pub(super) fn accepted(peer: Address, service: Option<Service>, stream: Leg) -> Self {
        let phase = Phase::Opening { early: None };
        Self::new(peer, Role::Server, service, stream, phase)
    }

    fn new(peer: Address, role: Role, service: Option<Service>, stream: Leg, phase: Phase) -> Self {
        Self {
            peer,
            role,
            service,
            beneath: Beneath::new(stream),
            phase,
            progress: Progress::Handshaking,
            proven: None,
            intent: Intent::Open,
        }
    }

    pub(super) fn peer(&self) -> &Address {
        &self.peer
    }

    /// Where stanzas for the peer go now: it may have been bound anew.
    pub(super) fn reached_at(&self) -> &Address {
        let moving = self.beneath.moving();
        moving.map_or(&self.peer, Moving::peer)
    }

    /// Whether we have opened it.
    pub(super) fn is_ours(&self) -> bool {
        self.role == Role::Client
    }

    pub(super) fn service(&self) -> Option<&Service> {
        self.service.as_ref()
    }

    pub(super) fn mode(&self) -> Option<Mode> {
        self.service.as_ref().map(Service::mode)
    }

    /// The stream that it began on, until that has ended.
    pub(super) fn stream(&self) -> Option<Leg> {
        self.beneath.stream()
    }

    pub(super) fn beneath(&self) -> &Beneath {
        &self.beneath
    }

    pub(super) fn beneath_mut(&mut self) -> &mut Beneath {
        &mut self.beneath
    }

    /// The peer's key, once the session is established.
    pub(super) fn key(&self) -> Option<Fingerprint> {
        self.progress.key()
    }

    /// Whether the peer knows what we added to the letter.
    pub(super) fn is_bound(&self) -> bool {
        self.progress.is_bound()
    }

    /// Whether the peer may have accepted us, whether we have learnt of it or not.
    pub(super) fn is_ready(&self) -> bool {
        self.progress.is_ready()
    }

    pub(super) fn proven(&self) -> Option<Fingerprint> {
        self.proven
    }

    /// The peer has proven to hold this key.
    pub(super) fn prove(&mut self, key: Fingerprint) {
        self.proven = Some(key);
    }

    pub(super) fn intent(&self) -> Intent {
        self.intent
    }

    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The session and what is known about its end, while it runs.
    pub(super) fn running_mut(&mut self) -> Option<&mut Running> {
        self.phase.running_mut()
    }

    /// The session, while there is one.
    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        Some(self.phase.running_mut()?.session_mut())
    }

    /// The session, while there is one.
    pub(super) fn session(&self) -> Option<&Session> {
        Some(self.phase.running()?.session())
    }

    /// The session, to send something in it.
    pub(super) fn sending(&mut self) -> Result<&mut Session, SendError> {
        self.phase.sending()
    }

    /// Whether a session runs that is not established.
    pub(super) fn is_unfinished(&self) -> bool {
        self.phase.running().is_some() && self.key().is_none()
    }

    /// The end of one whose session never said why.
    pub(super) fn closed(&self, by: By, why: Why) -> Box<Closed> {
        Box::new(Closed {
            peer: self.peer.clone(),
            by,
            why,
            clean: false,
            unconfirmed: 0,
            receipt: Receipt::Unaccepted,
            traffic: Traffic::default(),
        })
    }

    /// The session whose ClientHello travelled in our open, which was answered.
    pub(super) fn take_early(&mut self) -> Option<Box<Session>> {
        self.phase.take_early()
    }

    /// The stream and the ClientHello that wait for the owner's answer.
    pub(super) fn take_asked(&mut self) -> Option<(Leg, Option<Bytes>)> {
        let hello = self.phase.hello_mut()?;
        Some((self.beneath.stream()?, hello.take()))
    }

    /// Our open has lost against the peer's, which is awaited until then.
    pub(super) fn await_open(&mut self, until: Instant) {
        self.phase = Phase::Yielding { until };
    }

    /// Opens once more, on another stream; gives the one before.
    pub(super) fn open_again(&mut self, stream: Leg, early: Option<Box<Session>>) -> Option<Leg> {
        self.phase = Phase::Opening { early };
        self.beneath.replace(stream)
    }

    /// Takes the peer's stream in place of our own; gives ours.
    pub(super) fn yield_to(&mut self, stream: Leg) -> Option<Leg> {
        self.role = Role::Server;
        self.beneath.replace(stream)
    }

    /// What the peer has opened it for is known.
    pub(super) fn settle(&mut self, service: Service) {
        self.service = Some(service);
    }

    /// A session begins.
    pub(super) fn run(&mut self, session: Box<Session>, hello: Hello) {
        self.phase = Phase::Running(Running::new(session, hello));
    }

    /// What the peer has not acknowledged is kept from now on, so that it can go elsewhere.
    pub(super) fn keep(&mut self, at: Moment, transports: &mut Transports) {
        if let Some(session) = self.session() {
            let travelled = [session.wire_sent(), session.wire_received()];
            self.beneath
                .keep(at, transports, end_of(self.role), travelled);
        }
    }

    /// The keys of the paths, and the offset of ours from which the peer knows that it is accepted: signals before that would be
    /// about a tunnel that there is not yet.
    pub(super) fn path_keys(&mut self) -> Option<(PathKeys, u64)> {
        let session = self.session_mut()?;
        let keys = session.path_keys()?;
        let from = match keys.role {
            // The server's acceptance is what the client has waited for.
            Role::Client => 0,
            Role::Server => session.wire_sent() + session.peek_wire().len() as u64,
        };
        Some((keys, from))
    }

    /// No session can begin: the end of the stream, which is on its way, is the carrier's.
    pub(super) fn fail(&mut self, by: By, why: Why) {
        let closed = *self.closed(by, why);
        self.phase = Phase::Closing(Box::new(Closing::new(closed, None, Step::StreamClosing)));
    }

    /// The peer has answered the ClientHello, wherever that travelled, and our handshake is complete.
    pub(super) fn ready(&mut self) {
        self.progress.ready();
        if let Some(running) = self.phase.running_mut() {
            running.hello_answered();
        }
    }

    /// Both ends have accepted each other.
    pub(super) fn establish(&mut self, peer: &Peer) {
        self.progress = Progress::of(peer);
        self.service = Some(peer.service.clone());
    }

    /// Whether a session that has failed so deserves one more try without an early ClientHello.
    pub(super) fn may_try_again(&self, close: &Close) -> bool {
        let running = self.phase.running();
        self.intent != Intent::Close && running.is_some_and(|running| running.may_try_again(close))
    }

    /// Moves bytes from beneath into the session, as far as that wants them, and then the other way. Says whether there may be
    /// more.
    pub(super) fn exchange(&mut self, at: Moment, transports: &mut Transports) -> bool {
        let bound = self.is_bound();
        let Some((beneath, session)) = self.both() else {
            return false;
        };
        beneath.acknowledge(at, transports);
        let more = transfer::receive(at, transports, beneath, session, bound);
        transfer::send(at, transports, beneath, session);
        more
    }

    /// Moves what the session has for the wire out, as far as there is room. Says whether anything moved.
    pub(super) fn send_wire(&mut self, at: Moment, transports: &mut Transports) -> bool {
        let both = self.both();
        both.is_some_and(|(beneath, session)| transfer::send(at, transports, beneath, session))
    }

    /// Moves all that has come into the session, wanted or not: the stream is about to end.
    pub(super) fn swallow(&mut self, at: Moment, transports: &mut Transports) {
        if let Some((beneath, session)) = self.both() {
            transfer::receive_all(at, transports, beneath, session);
        }
    }

    fn both(&mut self) -> Option<(&mut Beneath, &mut Session)> {
        let running = self.phase.running_mut()?;
        Some((&mut self.beneath, running.session_mut()))
    }

    /// Whether the session has room for more of what the stream has.
    pub(super) fn wants_wire(&self) -> bool {
        self.session().is_some_and(Session::wants_wire)
    }

    /// The session's next event.
    pub(super) fn poll_event(&mut self) -> Option<Inner> {
        self.session_mut()?.poll_event()
    }

    /// The owner ends our direction, by this call of the session's.
    pub(super) fn ask_to_end(&mut self, now: Instant, limit: Duration, intent: Intent) {
        self.intent = self.intent.max(intent);
        if intent == Intent::Close
            && let Some(closing) = self.phase.closing_mut()
        {
            closing.hurry(now + limit);
        }
    }

    /// Its conversation goes on in `fresh`.
    pub(super) fn hand_over(&mut self, now: Instant, fresh: &mut Self) {
        let Some(to) = fresh.session_mut() else {
            return;
        };
        match &mut self.phase {
            Phase::Running(running) => running.session_mut().hand_over(to),
            Phase::Closing(closing) => {
                if let Some(carried) = closing.take_carried() {
                    to.carry(carried);
                }
            }
            Phase::Opening { .. } | Phase::Asking { .. } | Phase::Yielding { .. } => {}
        }
        self.hand_over_intent(now, fresh);
    }

    /// The owner has asked this carrier to end, or not, and `fresh` is in its place now.
    pub(super) fn hand_over_intent(&self, now: Instant, fresh: &mut Self) {
        fresh.intent = self.intent;
        let Some(to) = fresh.session_mut() else {
            return;
        };
        match self.intent {
            Intent::Open => {}
            Intent::Finish => to.finish(now),
            Intent::Close => to.close(now),
        }
    }

    /// Takes everything from under the session, which has read all of it; what came before is still handed out. Says whether
    /// there was anything.
    pub(super) fn cut(&mut self, at: Moment, transports: &mut Transports) -> bool {
        self.swallow(at, transports);
        let Phase::Running(running) = &mut self.phase else {
            return false;
        };
        let there = self.beneath.is_there();
        if there {
            self.beneath.abort(at, transports);
            running.on_stream_end(at.now, StreamEnd::Aborted);
        }
        there
    }

    /// The session has ended so. `left`: the peer may have gone on where we have received nothing, so its close_notify was
    /// not its last word. `alone`: its conversation has gone on elsewhere.
    pub(super) fn on_session_closed(
        &mut self,
        at: Moment,
        transports: &mut Transports,
        limit: Duration,
        close: Close,
        left: bool,
        alone: bool,
    ) -> Settled {
        let (intent, bound) = (self.intent, self.is_bound());
        let Phase::Running(running) = &mut self.phase else {
            return Settled::Nothing;
        };
        let orderly = matches!(close.why, SessionWhy::Finished);
        // An alert, or a last step of a verification: the peer is told why.
        let told = matches!(
            close.why,
            SessionWhy::Tls(_) | SessionWhy::Refused | SessionWhy::Untrusted(_)
        );
        let close_received = running.has_received_close();
        let carried = orderly.then(|| running.session_mut().carried());
        let closed = running.closed(&self.peer, close, left);
        if !self.beneath.is_there() {
            return Settled::Ended(Box::new(closed));
        }
        let (step, settled) = if orderly && (bound || !alone) {
            let then = match closed.by {
                By::Us if !close_received => Then::SendClose,
                By::Us | By::Peer | By::Transport => Then::AwaitClose,
            };
            let until = (intent == Intent::Close).then(|| at.now + limit);
            (Step::Emptying { then, until }, Settled::Emptying)
        } else {
            // No xtls `<close/>`: orderly and abortive ends stay distinguishable. What was said is flushed first. And the
            // letter's names no tunnel, while a successor stands already.
            if orderly || told {
                self.beneath.close(at, transports);
            } else {
                self.beneath.abort_stream(at, transports);
            }
            if !self.beneath.is_there() {
                return Settled::Ended(Box::new(closed));
            }
            (Step::StreamClosing, Settled::StreamClosing)
        };
        self.phase = Phase::Closing(Box::new(Closing::new(closed, carried, step)));
        settled
    }

    /// The stream that it began on has ended, in order or not.
    pub(super) fn on_stream_closed(&mut self, at: Moment, why: StreamEnd) -> Fallen {
        let there = self.beneath.is_on_stream();
        // A peer that has said its last word in TLS and beside it has nothing more to carry, read here or not.
        if there && self.has_peer_left() {
            self.beneath.give_up();
        }
        let goes_on = self.beneath.stream_ended(at);
        // What is closed on the stream is not carried elsewhere, but for what was said before.
        let closing = self.phase.closing();
        let needed =
            closing.is_none_or(|closing| !there || closing.awaits_acknowledgements().is_some());
        if goes_on && needed {
            return Fallen::Nothing;
        }
        self.on_gone(at, why)
    }

    /// Whether the peer has closed TLS, and the tunnel, of a session that goes on here.
    fn has_peer_left(&self) -> bool {
        let running = self.phase.running();
        running.is_some_and(|it| it.has_received_close() && it.session().has_close_notify())
    }

    /// Nothing is beneath any more, and nothing will be.
    pub(super) fn on_gone(&mut self, at: Moment, why: StreamEnd) -> Fallen {
        self.beneath.give_up();
        match &mut self.phase {
            Phase::Opening { .. } => Fallen::OpenFailed(why),
            Phase::Asking { .. } => {
                let ours = why == StreamEnd::Expired;
                let by = if ours { By::Us } else { By::Peer };
                Fallen::Ended(self.closed(by, Why::Stream(why)))
            }
            Phase::Yielding { .. } => Fallen::Nothing,
            Phase::Running(running) => {
                running.on_stream_end(at.now, why);
                Fallen::SessionEnds
            }
            Phase::Closing(closing) => Fallen::Ended(closing.on_stream_end(why)),
        }
    }

    /// Whether everything that was written is acknowledged, and what follows then. What still arrives is acknowledged and
    /// discarded: TLS has said that nothing follows.
    pub(super) fn drain(
        &mut self,
        at: Moment,
        transports: &mut Transports,
        limit: Duration,
    ) -> Emptied {
        if !self.beneath.is_there() {
            return Emptied::Nothing;
        }
        self.beneath.acknowledge(at, transports);
        while self.beneath.read(at, transports, usize::MAX).is_some() {}
        let Some(closing) = self.phase.closing_mut() else {
            return Emptied::Nothing;
        };
        let Some(then) = closing.awaits_acknowledgements() else {
            return Emptied::Nothing;
        };
        if !self.beneath.is_flushed(transports) {
            return Emptied::Nothing;
        }
        closing.on_acknowledged(then, at.now + limit);
        match then {
            Then::SendClose => Emptied::SendClose,
            Then::AwaitClose => Emptied::AwaitClose,
        }
    }

    /// The sid that names it in a `<close/>`. The letter has none and knows one tunnel for each pair of addresses.
    pub(super) fn sid<'a>(&'a self, transports: &'a Transports) -> Option<&'a Sid> {
        self.own_sid(transports).filter(|_| self.is_bound())
    }

    fn own_sid<'a>(&'a self, transports: &'a Transports) -> Option<&'a Sid> {
        match self.beneath.moving() {
            Some(moving) => Some(moving.sid()),
            None => transports.sid(self.beneath.stream()?),
        }
    }

    /// Whether the peer's `<close/>` with this sid means it.
    pub(super) fn is_named(&self, transports: &Transports, sid: Option<&Sid>) -> bool {
        // The original flow has no sid.
        let own = self.own_sid(transports);
        // The letter, whose `<close/>` names no stream, has no tunnels of bytes.
        let letter = sid.is_none() && self.mode() != Some(Mode::Bytes);
        !self.phase.is_beginning() && self.beneath.is_there() && (letter || sid == own)
    }

    /// The peer's xtls `<close/>` has come.
    pub(super) fn on_peer_close(
        &mut self,
        now: Instant,
        transports: &Transports,
        limit: Duration,
    ) -> PeerClose {
        let until = now + limit;
        let (ours, unknown) = (self.is_ours(), self.key().is_none());
        let last = self
            .beneath
            .stream()
            .is_some_and(|stream| !transports.signals_close(stream));
        match &mut self.phase {
            Phase::Running(running) => {
                running.on_peer_close();
                if unknown {
                    return PeerClose::HandshakeAborted;
                }
                // The close_notify that should have come first may still be on its way. We end our direction, and wait no
                // longer than for any close; the peer's close_notify alone decides whether this was a truncation.
                running.session_mut().leave(now);
                PeerClose::ReadToTheEnd
            }
            Phase::Closing(closing) => match closing.on_peer_close(until) {
                // Both were first. The initiator closes the stream; the other does if that does not happen in time.
                Crossing::Both if ours => PeerClose::CloseStream,
                // There may be nothing beneath that would have to be closed as well.
                Crossing::Expected if last => PeerClose::CloseStream,
                Crossing::Both | Crossing::Expected | Crossing::Late => PeerClose::Nothing,
            },
            Phase::Opening { .. } | Phase::Asking { .. } | Phase::Yielding { .. } => {
                PeerClose::Nothing
            }
        }
    }

    /// The stream's own close, after our `<close/>` or the peer's; its end ends the tunnel.
    pub(super) fn close_stream(&mut self, at: Moment, transports: &mut Transports) {
        if self.phase.closing_mut().is_some_and(Closing::close_stream) {
            self.beneath.close(at, transports);
        }
    }

    /// Takes away the stream of one that has not begun.
    pub(super) fn take_stream(&mut self) -> Option<Leg> {
        self.beneath.take_stream()
    }

    /// When something runs out here, without the deadlines of the stream.
    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        self.phase.deadline()
    }

    /// A deadline has passed.
    pub(super) fn expire(&mut self, now: Instant, transports: &mut Transports) -> Expired {
        let bound = self.is_bound();
        match &mut self.phase {
            Phase::Running(running) => {
                running.expire(now);
                let deaf = running.session().holds_back();
                // While we are not reading, silence proves nothing.
                if let Some(stream) = self.beneath.stream().filter(|_| deaf && bound) {
                    transports.alive(now, stream);
                }
                Expired::Nothing
            }
            Phase::Yielding { .. } => Expired::NoOpen,
            Phase::Closing(closing) => closing.expire(),
            Phase::Opening { .. } | Phase::Asking { .. } => Expired::Nothing,
        }
    }
}

/// The same end of TLS, as paths call it.
pub(super) fn end_of(role: Role) -> xtls_path::Role {
    match role {
        Role::Client => xtls_path::Role::Client,
        Role::Server => xtls_path::Role::Server,
    }
}

#[cfg(test)]
impl Carrier {
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The peer turns out to know the letter and nothing beside it.
    pub(super) fn know_the_letter_only(&mut self) {
        self.progress.know_the_letter_only();
    }
}
