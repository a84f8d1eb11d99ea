//! The paths of one tunnel: where its bytes may go, what its ends signal about that, and which pipes there are.

use std::time::Instant;

use xtls_path::{Keys, LegId, Pipe, Route, Settings, Wire};
use xtls_stanza::ibb::Sid;
use xtls_stanza::path::Sealed;
use xtls_stanza::{Address, Condition, ErrorType, StanzaError};
use xtls_tls::PathKeys;

use super::carrier::end_of;
use super::pipes::PipeId;
use super::signals::{Request, Signals};
use super::transports::Leg;

/// The paths of one tunnel, from when both ends have accepted each other.
#[derive(Debug)]
pub(super) struct Moving {
    route: Route,
    signals: Signals,
    /// What was unanswered when another address was bound, the latest first.
    repeats: Vec<Request>,
    /// Names the tunnel in signals and in its `<close/>`.
    sid: Sid,
    /// Where signals go: the address that the last one came from.
    peer: Address,
    pipes: Vec<(Pipe, Carriage)>,
    /// A faster path is looked for once the peer has read up to here: before that it may know of no tunnel to be signalled about.
    seeks_from: Option<u64>,
    course: Course,
    /// The route was called.
    touched: bool,
}

/// What a pipe is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carriage {
    /// Sockets of the owner's.
    Socket(PipeId),
    /// A further stream.
    Stream(Leg),
    /// A stream under this name that the peer is to open.
    Expected(Sid),
}

impl Carriage {
    /// Whether the peer is to open a stream of this name.
    fn is_expected(&self, sid: &Sid) -> bool {
        matches!(self, Self::Expected(name) if name == sid)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Open,
    /// It ends when everything is confirmed.
    Leaving,
    Over,
}

impl Moving {
    /// Both ends have accepted each other in the session that this wire carries, whose stream had that name.
    pub(super) fn begin(
        outer: Instant,
        mut wire: Wire,
        sid: Sid,
        keys: PathKeys,
        settings: Settings,
        seed: [u8; 32],
    ) -> Self {
        wire.bind(Keys::new(&keys.secret, &keys.ends, end_of(keys.role)));
        let peer = settings.peer.clone();
        Self {
            route: Route::new(outer, wire, settings, seed),
            signals: Signals::new(sid.clone(), keys.seal, keys.open),
            repeats: Vec::new(),
            sid,
            peer,
            pipes: Vec::new(),
            seeks_from: None,
            course: Course::Open,
            touched: true,
        }
    }

    /// Looks for a faster path once the peer has read up to this offset.
    pub(super) fn seek_from(&mut self, outer: Instant, offset: u64) {
        self.seeks_from = Some(offset);
        self.seek_if_due(outer);
    }

    /// The peer may have read more. Says whether a faster path is looked for from now on.
    pub(super) fn seek_if_due(&mut self, outer: Instant) -> bool {
        self.seek_once_read(outer, self.route.wire().confirmed())
    }

    fn seek_once_read(&mut self, outer: Instant, read: u64) -> bool {
        let due = self.seeks_from.take_if(|from| *from <= read).is_some();
        if due {
            self.route_mut().seek(outer);
        }
        due
    }

    /// Where it goes.
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// The route, which may want something afterwards.
    pub(super) fn route_mut(&mut self) -> &mut Route {
        self.touched = true;
        &mut self.route
    }

    /// The bytes of the tunnel. While the stream carries them, nothing follows from what is done with them.
    pub(super) fn wire_mut(&mut self) -> &mut Wire {
        self.route.wire_mut()
    }

    /// Everything that the route wanted was done.
    pub(super) fn was_followed(&mut self) {
        self.touched = false;
    }

    /// Whether there may be something to do for the route.
    pub(super) fn is_to_be_followed(&self) -> bool {
        self.touched || !self.pipes.is_empty() || self.route.wire().carrying() != Some(LegId::ZERO)
    }

    /// The next signal for the peer, sealed.
    pub(super) fn poll_request(&mut self, outer: Instant) -> Option<Request> {
        if let Some(repeated) = self.repeats.pop() {
            return Some(repeated);
        }
        let signal = self.route.poll_signal()?;
        let request = self.signals.send(outer, &signal);
        if request.is_none() {
            self.route_mut()
                .signal_failed(outer, signal.attempt(), false);
        }
        request
    }

    /// The tunnel was cut: the last signal, if the peer does not know.
    pub(super) fn say_gone(&mut self, outer: Instant) -> Option<Request> {
        self.repeats.clear();
        self.route.say_gone();
        self.poll_request(outer)
    }

    /// The name of the tunnel.
    pub(super) fn sid(&self) -> &Sid {
        &self.sid
    }

    /// Where signals go.
    pub(super) fn peer(&self) -> &Address {
        &self.peer
    }

    /// A signal that opens came from there.
    pub(super) fn heard_from(&mut self, peer: &Address) {
        if self.peer != *peer {
            self.peer = peer.clone();
            self.route_mut().set_peer(peer.clone());
        }
    }

    /// The link is interrupted. What the stream carries waits for it; what moved elsewhere goes on, and looks for nothing else.
    pub(super) fn interrupted(&mut self, outer: Instant) {
        if self.route.wire().carrying() != Some(LegId::ZERO) {
            self.route_mut().link_lost(outer);
        }
    }

    /// There is a link again, and this is our address.
    pub(super) fn linked(&mut self, outer: Instant, own: &Address) {
        if self.route.wire().carrying() != Some(LegId::ZERO) {
            self.route_mut().link_bound(outer, own.clone());
            self.repeats = self.signals.again(outer);
        }
    }

    /// Whether bytes still move, or may again.
    pub(super) fn is_under_way(&self) -> bool {
        self.course != Course::Over
    }

    /// Whether it is to end as soon as everything is confirmed.
    pub(super) fn is_leaving(&self) -> bool {
        self.course == Course::Leaving
    }

    /// Nothing more is written: it ends when everything is confirmed.
    pub(super) fn leave(&mut self, outer: Instant) {
        if self.course == Course::Open {
            self.course = Course::Leaving;
            self.route_mut().wire_mut().finish(outer);
        }
    }

    /// It is over. The pipes that are left are to be [taken](Self::take_pipes).
    pub(super) fn give_up(&mut self) {
        self.course = Course::Over;
    }

    // Signals and time.

    /// Takes a signal that came from there.
    pub(super) fn take_signal(
        &mut self,
        outer: Instant,
        from: &Address,
        sealed: &Sealed,
    ) -> Result<(), StanzaError> {
        if !self.is_under_way() {
            let condition = Condition::ItemNotFound;
            return Err(StanzaError::new(ErrorType::Cancel, condition));
        }
        if let Some(signal) = self.signals.take(outer, sealed)? {
            self.heard_from(from);
            self.route_mut().handle_signal(outer, signal);
            // Who signals knows of the tunnel.
            self.seek_once_read(outer, u64::MAX);
        }
        Ok(())
    }

    /// A signal of ours was answered.
    pub(super) fn on_answer(&mut self, outer: Instant, n: u64, error: Option<Condition>) {
        if let Some(attempt) = self.signals.answered(n)
            && let Some(condition) = error
        {
            let gone = condition == Condition::ItemNotFound;
            self.route_mut().signal_failed(outer, attempt, gone);
        }
    }

    /// Whether the answer to this signal of ours is to come.
    pub(super) fn awaits(&self, n: u64) -> bool {
        self.signals.awaits(n)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if !self.is_under_way() {
            return None;
        }
        let both = [self.route.poll_timeout(), self.signals.poll_timeout()];
        both.into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, outer: Instant) {
        if let Some(attempt) = self.signals.handle_timeout(outer) {
            self.route_mut().signal_failed(outer, attempt, false);
        }
        self.route_mut().handle_timeout(outer);
    }

    // Pipes.

    pub(super) fn add(&mut self, pipe: Pipe, carriage: Carriage) {
        self.pipes.push((pipe, carriage));
    }

    /// Takes out a pipe.
    pub(super) fn remove(&mut self, pipe: Pipe) -> Option<Carriage> {
        let at = self.pipes.iter().position(|(known, _)| *known == pipe)?;
        let (_, carriage) = self.pipes.swap_remove(at);
        self.pipes.shrink_to_fit();
        Some(carriage)
    }

    /// The pipe that is made of this.
    pub(super) fn pipe(&self, of: &Carriage) -> Option<Pipe> {
        let mut pipes = self.pipes.iter();
        pipes
            .find(|(_, carriage)| carriage == of)
            .map(|(pipe, _)| *pipe)
    }

    /// The peer has opened the stream that is expected under this name.
    pub(super) fn met(&mut self, sid: &Sid, stream: Leg) -> Option<Pipe> {
        let mut pipes = self.pipes.iter_mut();
        let (pipe, carriage) = pipes.find(|(_, carriage)| carriage.is_expected(sid))?;
        *carriage = Carriage::Stream(stream);
        Some(*pipe)
    }

    /// Whether the peer is to open a stream of this name.
    pub(super) fn expects(&self, sid: &Sid) -> bool {
        let mut pipes = self.pipes.iter();
        pipes.any(|(_, carriage)| carriage.is_expected(sid))
    }

    /// Whether it is one of the pipes that has opened.
    pub(super) fn stream_opened(&mut self, outer: Instant, stream: Leg) -> bool {
        let pipe = self.pipe(&Carriage::Stream(stream));
        if let Some(pipe) = pipe {
            self.route_mut().connected(outer, pipe);
        }
        pipe.is_some()
    }

    /// Whether it is one of the pipes that has ended, or was not opened.
    pub(super) fn stream_ended(&mut self, outer: Instant, stream: Leg) -> bool {
        let pipe = self.pipe(&Carriage::Stream(stream));
        if let Some(pipe) = pipe {
            self.remove(pipe);
            self.route_mut().pipe_ended(outer, pipe);
        }
        pipe.is_some()
    }

    /// The streams among the pipes.
    pub(super) fn streams(&self) -> impl Iterator<Item = (Pipe, Leg)> {
        self.pipes
            .iter()
            .filter_map(|(pipe, carriage)| match carriage {
                Carriage::Stream(stream) => Some((*pipe, *stream)),
                Carriage::Socket(_) | Carriage::Expected(_) => None,
            })
    }

    /// The sockets among the pipes.
    pub(super) fn sockets(&self) -> impl Iterator<Item = PipeId> {
        self.pipes
            .iter()
            .filter_map(|(_, carriage)| match carriage {
                Carriage::Socket(socket) => Some(*socket),
                Carriage::Stream(_) | Carriage::Expected(_) => None,
            })
    }

    /// Takes out all of them.
    pub(super) fn take_pipes(&mut self) -> Vec<Carriage> {
        let pipes = std::mem::take(&mut self.pipes);
        pipes.into_iter().map(|(_, carriage)| carriage).collect()
    }
}
