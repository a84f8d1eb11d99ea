//! Verification inside the session: who wants it, what is compared, and what it comes to.
//!
//! The steps travel as messages of their own namespace, also before either end's verdict, and no application sees them.

use std::time::Instant;

use tracing::debug;
use xtls_stanza::verify::{self as wire, Reason, Step};
use xtls_tls::Fingerprint;
use xtls_tls::verify::{Message, Method, Run as Exchange};
use zeroize::Zeroizing;

use super::{Direction, Phase, Session};
use crate::Mode;
use crate::event::Event;
use crate::verify::{Broken, Compare, Run, Verify, VerifyError};

/// Where a verification is.
#[derive(Debug, Default)]
pub(super) struct Verification {
    pub(super) state: State,
    /// When it has taken too long.
    pub(super) until: Option<Instant>,
    /// How often the peer has asked.
    pub(super) asked: u32,
    /// The session's number among those of its owner.
    session: u64,
    /// How many runs there have been; the last of them goes on, unless the state is idle.
    runs: u64,
}

/// What takes part in a verification has memory of its own: most sessions never see one.
#[derive(Debug, Default)]
pub(super) enum State {
    #[default]
    Idle,
    /// The peer wants it.
    Asked(Method),
    /// We want it.
    Waiting(Box<Wish>),
    /// Both want it, and the attempt is to be counted. The peer may have been quicker with that.
    Due(Box<Wish>, Option<Box<Message>>),
    Running(Box<Exchange>),
}

impl State {
    /// How it compares, if it goes on.
    fn method(&self) -> Option<Method> {
        match self {
            Self::Idle => None,
            Self::Asked(method) => Some(*method),
            Self::Waiting(wish) | Self::Due(wish, _) => Some(wish.compare.method()),
            Self::Running(run) => Some(run.method()),
        }
    }
}

/// What is wanted here, and the randomness for it.
pub(super) struct Wish {
    pub(super) compare: Compare,
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
    /// Sets this session's number among those of its owner, so that no two of their [runs](Run) have one name. Default 0.
    #[must_use]
    pub fn numbered(mut self, session: u64) -> Self {
        self.verification.session = session;
        self
    }

    /// The person here wants to verify the peer: begins a run, or takes part in the one that the peer asks for. `seed` is
    /// random, secret and never used twice. What becomes of the run is told by [`Event::Verify`].
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn verify(
        &mut self,
        now: Instant,
        compare: Compare,
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<Run, VerifyError> {
        self.now = now;
        let open = matches!(self.phase, Phase::Judging { .. } | Phase::Open { .. });
        if !open || self.gone || self.last.is_some() || self.writing != Direction::Open {
            return Err(VerifyError::NotOpen);
        }
        if self.binding.service.mode() == Mode::Bytes {
            return Err(VerifyError::Mode);
        }
        let method = compare.method();
        let wish = Box::new(Wish { compare, seed });
        match self.verification.state {
            State::Idle => {
                self.next_run();
                self.verification.state = State::Waiting(wish);
            }
            State::Asked(wanted) if wanted != method => return Err(VerifyError::Method(wanted)),
            State::Asked(_) => self.due(wish),
            State::Waiting(_) | State::Due(..) | State::Running(_) => {
                return Err(VerifyError::Busy);
            }
        }
        self.limit_verification();
        self.say_step(&Step::Ready(on_wire(method)));
        Ok(self.run())
    }

    /// The person here says yes to exactly the run of [`Verify::Asked`]; otherwise as [`verify`](Self::verify).
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn verify_join(
        &mut self,
        now: Instant,
        run: Run,
        compare: Compare,
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<(), VerifyError> {
        self.going_on(run)?;
        match self.verification.state {
            State::Asked(_) => self.verify(now, compare, seed).map(drop),
            State::Idle | State::Waiting(_) | State::Due(..) | State::Running(_) => {
                Err(VerifyError::NotDue(run))
            }
        }
    }

    /// The attempt of [`Verify::Due`] is counted: the commitment may be said.
    ///
    /// # Errors
    /// [`VerifyError::Stale`] and [`VerifyError::NotDue`].
    pub fn verify_go(&mut self, now: Instant, run: Run) -> Result<(), VerifyError> {
        self.going_on(run)?;
        self.now = now;
        let (wish, early) = match std::mem::take(&mut self.verification.state) {
            State::Due(wish, early) => (wish, early),
            other @ (State::Idle | State::Asked(_) | State::Waiting(_) | State::Running(_)) => {
                self.verification.state = other;
                return Err(VerifyError::NotDue(run));
            }
        };
        let method = wish.compare.method();
        let Ok(context) = self.tls.verification(method) else {
            self.verification.state = State::Due(wish, early);
            self.broken(Broken::Ended, None);
            return Ok(());
        };
        let (exchange, first) = match &wish.compare {
            Compare::Words => Exchange::words(context, wish.seed),
            Compare::Code(code) => Exchange::code(context, code, &wish.seed),
        };
        self.verification.state = State::Running(Box::new(exchange));
        self.limit_verification();
        self.say(first);
        if let Some(message) = early {
            self.hear(&message);
        }
        Ok(())
    }

    /// The person here has compared the words of [`Verify::Compare`], and they are the same.
    ///
    /// # Errors
    /// [`VerifyError::Stale`], and [`VerifyError::NotDue`] where there are no words to compare, or none any more.
    pub fn verify_agree(&mut self, now: Instant, run: Run) -> Result<(), VerifyError> {
        self.going_on(run)?;
        let State::Running(exchange) = &mut self.verification.state else {
            return Err(VerifyError::NotDue(run));
        };
        let proof = exchange.agree().ok_or(VerifyError::NotDue(run))?;
        self.now = now;
        self.say(Some(proof));
        self.look();
        Ok(())
    }

    /// The owner ends a run, or does not want the one that the peer asks for.
    ///
    /// # Errors
    /// [`VerifyError::Stale`].
    pub fn verify_cancel(
        &mut self,
        now: Instant,
        run: Run,
        reason: Reason,
    ) -> Result<(), VerifyError> {
        self.going_on(run)?;
        self.now = now;
        self.broken(Broken::Here(reason), Some(reason));
        Ok(())
    }

    pub(super) fn next_run(&mut self) {
        self.verification.runs = self.verification.runs.saturating_add(1);
    }

    /// The run that goes on, or the last one.
    pub(super) fn run(&self) -> Run {
        Run {
            session: self.verification.session,
            number: self.verification.runs,
        }
    }

    fn going_on(&self, run: Run) -> Result<(), VerifyError> {
        let idle = matches!(self.verification.state, State::Idle);
        if idle || run != self.run() {
            return Err(VerifyError::Stale(run));
        }
        Ok(())
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

    /// Both want it.
    pub(super) fn due(&mut self, wish: Box<Wish>) {
        let (method, tag) = (wish.compare.method(), wish.compare.tag());
        self.verification.state = State::Due(wish, None);
        let run = self.run();
        self.tell_verify(Verify::Due { run, method, tag });
    }

    /// A message of the run that is going on.
    pub(super) fn hear(&mut self, message: &Message) {
        let State::Running(exchange) = &mut self.verification.state else {
            return;
        };
        let before = exchange.short_words();
        match exchange.handle(message) {
            Ok(answer) => {
                let words = exchange.short_words().filter(|_| before.is_none());
                self.say(answer);
                if let Some(words) = words {
                    let run = self.run();
                    self.tell_verify(Verify::Compare { run, words });
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
        let State::Running(exchange) = &self.verification.state else {
            return;
        };
        if !exchange.is_done() {
            return;
        }
        let (run, method) = (self.run(), exchange.method());
        let Some(key) = self.verified_key() else {
            return;
        };
        self.idle();
        self.tell_verify(Verify::Done { run, method, key });
    }

    /// Ends what is going on, and says so to both sides.
    pub(super) fn broken(&mut self, why: Broken, reason: Option<Reason>) {
        let (run, method) = (self.run(), self.verification.state.method());
        let counted = matches!(self.verification.state, State::Running(_));
        debug!(%why, counted, "a verification is over");
        self.idle();
        if let Some(reason) = reason {
            self.say_step(&Step::Cancel(reason));
        }
        if let (Some(method), Some(key)) = (method, self.verified_key()) {
            self.tell_verify(Verify::Failed {
                run,
                method,
                key,
                why,
                counted,
            });
        }
    }

    /// The key that a run verifies. There is one: no run begins before the handshake is finished.
    fn verified_key(&self) -> Option<Fingerprint> {
        self.tls.peer().map(|peer| peer.fingerprint)
    }

    fn idle(&mut self) {
        self.verification.state = State::Idle;
        self.verification.until = None;
        // The limit of the verdict stood still meanwhile; there is time for one now.
        let later = self.now.checked_add(self.config.verifying);
        if let Phase::Judging {
            until: Some(until), ..
        } = &mut self.phase
            && let Some(later) = later
        {
            *until = later.max(*until);
        }
    }

    pub(super) fn limit_verification(&mut self) {
        self.verification.until = self.now.checked_add(self.config.verifying);
    }

    pub(super) fn tell_verify(&mut self, verify: Verify) {
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

    pub(super) fn say_step(&mut self, step: &Step) {
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
