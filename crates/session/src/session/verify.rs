//! Verification inside the session: who wants it, what is compared, and what it comes to.
//!
//! The steps travel as messages of their own namespace, also before either end's verdict, and no application sees them.

use std::time::Instant;

use bytes::Bytes;
use tracing::debug;
use xtls_stanza::verify::{self as wire, Reason, Step};
use xtls_stanza::{PayloadError, Stanza};
use xtls_tls::Role;
use xtls_tls::verify::{Fault, Message, Method, Run};
use zeroize::Zeroizing;

use super::{Direction, Phase, Session};
use crate::event::{By, Event, Why};
use crate::verify::{Broken, Compare, Verify, VerifyError};
use crate::{Mode, routing};

/// Where a verification is.
#[derive(Debug, Default)]
pub(super) struct Verification {
    state: State,
    /// When it has taken too long.
    pub(super) until: Option<Instant>,
    /// How often the peer has asked.
    asked: u32,
}

/// What takes part in a verification has memory of its own: most sessions never see one.
#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    /// The peer wants it.
    Asked(Method),
    /// We want it.
    Waiting(Box<Wish>),
    /// Both want it, and the attempt is to be counted. The peer may have been quicker with that.
    Due(Box<Wish>, Option<Box<Message>>),
    Running(Box<Run>),
}

/// What is wanted here, and the randomness for it.
struct Wish {
    compare: Compare,
    seed: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Wish").field(&self.compare.method()).finish()
    }
}

impl Verification {
    /// Whether the person here takes part, so that no other limit of time counts.
    pub(super) fn is_wanted(&self) -> bool {
        match self.state {
            State::Idle | State::Asked(_) => false,
            State::Waiting(_) | State::Due(..) | State::Running(_) => true,
        }
    }
}

impl Session {
    /// The person here wants to verify the peer: begins it, or answers [`Verify::Asked`]. `seed` is random, secret and
    /// never used twice. What becomes of it is told by [`Event::Verify`].
    ///
    /// # Errors
    /// See [`VerifyError`]. Nothing was said to the peer then.
    pub fn verify(
        &mut self,
        now: Instant,
        compare: Compare,
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<(), VerifyError> {
        self.now = now;
        let open = matches!(self.phase, Phase::Judging { .. } | Phase::Open { .. });
        if !open || self.gone || self.last.is_some() || self.writing == Direction::Ended {
            return Err(VerifyError::NotOpen);
        }
        if self.binding.service.mode() == Mode::Bytes {
            return Err(VerifyError::Mode);
        }
        let method = compare.method();
        let wish = Box::new(Wish { compare, seed });
        match self.verification.state {
            State::Idle => self.verification.state = State::Waiting(wish),
            State::Asked(wanted) if wanted != method => return Err(VerifyError::Method(wanted)),
            State::Asked(_) => self.due(wish),
            State::Waiting(_) | State::Due(..) | State::Running(_) => {
                return Err(VerifyError::Busy);
            }
        }
        self.limit_verification();
        self.say_step(&Step::Ready(on_wire(method)));
        Ok(())
    }

    /// The attempt is counted: the commitment may be said. Ignored unless [`Verify::Due`] waits for it.
    pub fn verify_go(&mut self, now: Instant) {
        self.now = now;
        let (wish, early) = match std::mem::take(&mut self.verification.state) {
            State::Due(wish, early) => (wish, early),
            other @ (State::Idle | State::Asked(_) | State::Waiting(_) | State::Running(_)) => {
                self.verification.state = other;
                return;
            }
        };
        let Ok(context) = self.tls.verification(wish.compare.method()) else {
            self.broken(Broken::Ended, None);
            return;
        };
        let (run, first) = match &wish.compare {
            Compare::Words => Run::words(context, wish.seed),
            Compare::Code(code) => Run::code(context, code, &wish.seed),
        };
        self.verification.state = State::Running(Box::new(run));
        self.limit_verification();
        self.say(first);
        if let Some(message) = early {
            self.hear(&message);
        }
    }

    /// The person here has compared the words, and they are the same. Ignored unless there are words to compare.
    pub fn verify_agree(&mut self, now: Instant) {
        self.now = now;
        let State::Running(run) = &mut self.verification.state else {
            return;
        };
        let proof = run.agree();
        self.say(proof);
        self.look();
    }

    /// The owner ends a verification, or does not want the one that the peer asks for.
    pub fn verify_cancel(&mut self, now: Instant, reason: Reason) {
        self.now = now;
        if !matches!(self.verification.state, State::Idle) {
            self.broken(Broken::Here(reason), Some(reason));
        }
    }

    /// It has taken too long.
    pub(super) fn verification_expires(&mut self) {
        self.broken(Broken::Timeout, Some(Reason::Timeout));
    }

    /// No step can come any more, or none can go.
    pub(super) fn verification_ends(&mut self) {
        if !matches!(self.verification.state, State::Idle) {
            self.broken(Broken::Ended, Some(Reason::Failed));
        }
    }

    /// The session ends, without another word.
    pub(super) fn verification_is_cut(&mut self) {
        if !matches!(self.verification.state, State::Idle) {
            self.broken(Broken::Ended, None);
        }
    }

    /// Looks through what came before our own verdict, or before the peer's: steps are taken out and heard, all else is
    /// held until the session is open.
    pub(super) fn sift(&mut self) {
        loop {
            let open = match self.phase {
                Phase::Judging { .. } => false,
                Phase::Open { confirmed: false } => true,
                Phase::Open { confirmed: true }
                | Phase::Handshaking { .. }
                | Phase::Ending(_)
                | Phase::Closed => return,
            };
            if self.binding.service.mode() == Mode::Bytes || self.plain.is_empty() {
                return;
            }
            if self.binding.role == Role::Client {
                // The letter has no confirmation of its own: anything is one.
                let white = matches!(self.plain.first(), Some(b' ' | b'\t' | b'\r' | b'\n'));
                self.accepted |= white || !self.is_bound();
            }
            if open && self.accepted {
                return;
            }
            match self.cutter.cut(&mut self.plain) {
                Ok(Some(frame)) => self.sort(frame.into_bytes(), open),
                Ok(None) => {
                    self.starved = open;
                    return;
                }
                Err(error) => {
                    self.end(By::Us, Why::Framing(error));
                    return;
                }
            }
        }
    }

    fn sort(&mut self, frame: Bytes, open: bool) {
        let stanza = Stanza::read(&frame).ok();
        let step = stanza.and_then(|stanza| Some((Step::in_stanza(&stanza)?, stanza)));
        match step {
            Some((step, stanza)) => self.on_step(&stanza, step),
            None => {
                self.ahead_bytes = self.ahead_bytes.saturating_add(frame.len());
                self.ahead.push_back(frame);
                // Whoever says more than steps has given its verdict.
                self.accepted |= open;
            }
        }
    }

    /// A step has come in a stanza, or something that should have been one.
    pub(super) fn on_step(&mut self, stanza: &Stanza, step: Result<Step, PayloadError>) {
        if let Err(violation) = routing::is_truthful(stanza, &self.binding) {
            self.end(By::Us, Why::Routing(violation));
            return;
        }
        let message = match step {
            Ok(Step::Ready(method)) => return self.on_ready(of_wire(method)),
            Ok(Step::Cancel(reason)) => return self.on_cancel(reason),
            Ok(Step::Commit(bytes)) => Message::Commit(bytes),
            Ok(Step::Nonce(bytes)) => Message::Nonce(bytes),
            Ok(Step::Reveal(bytes)) => Message::Reveal(bytes),
            Ok(Step::Pake(bytes)) => Message::Pake(bytes),
            Ok(Step::Confirm(bytes)) => Message::Confirm(bytes),
            Err(error) => {
                debug!(%error, "a step of a verification cannot be read");
                if !matches!(self.verification.state, State::Idle) {
                    self.broken(Broken::Unreadable(error), Some(Reason::Failed));
                }
                return;
            }
        };
        match &mut self.verification.state {
            State::Running(_) => self.hear(&message),
            State::Due(_, early @ None) => *early = Some(Box::new(message)),
            State::Due(_, Some(_)) | State::Waiting(_) | State::Asked(_) => {
                let fault = Fault::Order(message.name());
                self.broken(Broken::Fault(fault), Some(Reason::Failed));
            }
            // It belongs to a run that we have broken off meanwhile.
            State::Idle => debug!(step = message.name(), "a step of no verification"),
        }
    }

    fn on_ready(&mut self, method: Method) {
        match std::mem::take(&mut self.verification.state) {
            State::Idle if self.verification.asked >= MAX_ASKED => {
                debug!("the peer asks for verification too often");
                self.say_step(&Step::Cancel(Reason::Locked));
            }
            State::Idle => {
                self.verification.asked = self.verification.asked.saturating_add(1);
                self.verification.state = State::Asked(method);
                self.limit_verification();
                self.tell_verify(Verify::Asked(method));
            }
            State::Waiting(wish) if wish.compare.method() == method => {
                self.due(wish);
                self.limit_verification();
            }
            waiting @ State::Waiting(_) => {
                self.verification.state = waiting;
                self.broken(Broken::Here(Reason::Method), Some(Reason::Method));
            }
            other @ (State::Asked(_) | State::Due(..) | State::Running(_)) => {
                self.verification.state = other;
                let fault = Fault::Order("ready");
                self.broken(Broken::Fault(fault), Some(Reason::Failed));
            }
        }
    }

    fn on_cancel(&mut self, reason: Reason) {
        if !matches!(self.verification.state, State::Idle) {
            self.broken(Broken::There(reason), None);
        }
    }

    /// Both want it.
    fn due(&mut self, wish: Box<Wish>) {
        let (method, tag) = (wish.compare.method(), wish.compare.tag());
        self.verification.state = State::Due(wish, None);
        self.tell_verify(Verify::Due { method, tag });
    }

    /// A message of the run that is going on.
    fn hear(&mut self, message: &Message) {
        let State::Running(run) = &mut self.verification.state else {
            return;
        };
        let before = run.short_words();
        match run.handle(message) {
            Ok(answer) => {
                let words = run.short_words().filter(|_| before.is_none());
                self.say(answer);
                if let Some(words) = words {
                    self.tell_verify(Verify::Compare(words));
                }
                self.look();
            }
            Err(fault) => {
                let broken = Broken::Fault(fault);
                let reason = if broken.is_mismatch() {
                    Reason::Mismatch
                } else {
                    Reason::Failed
                };
                self.broken(broken, Some(reason));
            }
        }
    }

    /// Looks whether the run is done.
    fn look(&mut self) {
        let State::Running(run) = &self.verification.state else {
            return;
        };
        if !run.is_done() {
            return;
        }
        let method = run.method();
        let Some(peer) = self.tls.peer() else { return };
        let key = peer.fingerprint;
        self.idle();
        self.tell_verify(Verify::Done { method, key });
    }

    /// Ends what is going on, and says so to both sides.
    fn broken(&mut self, why: Broken, reason: Option<Reason>) {
        let counted = matches!(self.verification.state, State::Running(_));
        debug!(%why, counted, "a verification is over");
        self.idle();
        if let Some(reason) = reason {
            self.say_step(&Step::Cancel(reason));
        }
        self.tell_verify(Verify::Failed { why, counted });
    }

    fn idle(&mut self) {
        self.verification.state = State::Idle;
        self.verification.until = None;
        // The limit of the verdict stood still meanwhile; there is time for one now.
        let later = self.now.checked_add(self.config.verifying);
        if let Phase::Judging { until: Some(until) } = &mut self.phase
            && let Some(later) = later
        {
            *until = later.max(*until);
        }
    }

    fn limit_verification(&mut self) {
        self.verification.until = self.now.checked_add(self.config.verifying);
    }

    fn tell_verify(&mut self, verify: Verify) {
        self.events.push_back(Event::Verify(verify));
    }

    fn say(&mut self, message: Option<Message>) {
        let step = match message {
            None => return,
            Some(Message::Commit(bytes)) => Step::Commit(bytes),
            Some(Message::Nonce(bytes)) => Step::Nonce(bytes),
            Some(Message::Reveal(bytes)) => Step::Reveal(bytes),
            Some(Message::Pake(bytes)) => Step::Pake(bytes),
            Some(Message::Confirm(bytes)) => Step::Confirm(bytes),
        };
        self.say_step(&step);
    }

    fn say_step(&mut self, step: &Step) {
        match self.phase {
            // White space before the verdict would be one.
            Phase::Judging { .. } => self.put(&step.to_stanza(), false),
            Phase::Open { .. } => self.put(&step.to_stanza(), true),
            Phase::Handshaking { .. } | Phase::Ending(_) | Phase::Closed => {}
        }
    }
}

fn on_wire(method: Method) -> wire::Method {
    match method {
        Method::Words => wire::Method::Words,
        Method::Code => wire::Method::Code,
    }
}

fn of_wire(method: wire::Method) -> Method {
    match method {
        wire::Method::Words => Method::Words,
        wire::Method::Code => Method::Code,
    }
}

/// How often the peer may ask in one session; then it is answered `locked` and nobody is told.
const MAX_ASKED: u32 = 8;
