//! Verification inside the session: who wants it, what is compared, and what it comes to.
//!
//! The steps travel as messages of their own namespace, also before either end's verdict, and no application sees them.
//! What a call leads to is returned as [`Effects`], which the session carries out.

use tracing::debug;
use xtls_stanza::PayloadError;
use xtls_stanza::verify::{self as wire, Reason, Step};
use xtls_tls::verify::{Context, Fault, Message, Method, Run as Exchange};
use xtls_tls::{ExportError, Fingerprint};
use zeroize::Zeroizing;

use crate::verify::{Broken, Compare, Run, Verify, VerifyError};

/// How often the peer may ask in one session; further requests are answered `locked`, without an event.
const MAX_ASKED: u32 = 8;

/// Where a verification is.
#[derive(Debug, Default)]
pub(super) struct Verification {
    state: State,
    /// The peer's key, once it is proven. No run begins before.
    key: Option<Fingerprint>,
    /// How often the peer has asked.
    asked: u32,
    /// The session's number among those of its owner.
    session: u64,
    /// How many runs there have been; the last of them goes on, unless the state is idle.
    runs: u64,
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
    Running(Box<Exchange>),
}

/// What is wanted here, and the randomness for it.
struct Wish {
    compare: Compare,
    seed: Zeroizing<[u8; 32]>,
}

/// What a call leads to.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Effects {
    /// For the owner.
    pub(super) events: Vec<Verify>,
    /// For the peer.
    pub(super) steps: Vec<Step>,
    /// For the limit of time.
    pub(super) limit: Limit,
}

/// What becomes of the limit of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Limit {
    #[default]
    AsItIs,
    Begins,
    Ends,
}

impl State {
    fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

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

impl std::fmt::Debug for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Wish").field(&self.compare.method()).finish()
    }
}

impl Verification {
    /// Sets the session's number among those of its owner.
    pub(super) fn number(&mut self, session: u64) {
        self.session = session;
    }

    /// The peer has proven this key.
    pub(super) fn begin(&mut self, key: Fingerprint) {
        self.key = Some(key);
    }

    /// Whether the person here takes part, so that no other limit of time counts.
    pub(super) fn is_wanted(&self) -> bool {
        match self.state {
            State::Idle | State::Asked(_) => false,
            State::Waiting(_) | State::Due(..) | State::Running(_) => true,
        }
    }

    /// The run that goes on, or the last one.
    fn run(&self) -> Run {
        Run {
            session: self.session,
            number: self.runs,
        }
    }

    /// The person here wants it.
    pub(super) fn want(
        &mut self,
        compare: Compare,
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<(Run, Effects), VerifyError> {
        let method = compare.method();
        let wish = Box::new(Wish { compare, seed });
        let mut effects = Effects::default();
        match self.state {
            State::Idle => {
                self.runs = self.runs.saturating_add(1);
                self.state = State::Waiting(wish);
            }
            State::Asked(wanted) if wanted != method => return Err(VerifyError::Method(wanted)),
            State::Asked(_) => self.due(wish, &mut effects),
            State::Waiting(_) | State::Due(..) | State::Running(_) => {
                return Err(VerifyError::Busy);
            }
        }
        effects.limit = Limit::Begins;
        effects.steps.push(Step::Ready(on_wire(method)));
        Ok((self.run(), effects))
    }

    /// Whether the peer asks for exactly this run.
    pub(super) fn is_asked(&self, run: Run) -> Result<(), VerifyError> {
        self.is_going_on(run)?;
        match self.state {
            State::Asked(_) => Ok(()),
            State::Idle | State::Waiting(_) | State::Due(..) | State::Running(_) => {
                Err(VerifyError::NotDue(run))
            }
        }
    }

    /// The attempt is counted. `context` is what the comparison is bound to.
    pub(super) fn go(
        &mut self,
        run: Run,
        context: impl FnOnce(Method) -> Result<Context, ExportError>,
    ) -> Result<Effects, VerifyError> {
        self.is_going_on(run)?;
        let (wish, early) = match std::mem::take(&mut self.state) {
            State::Due(wish, early) => (wish, early),
            other @ (State::Idle | State::Asked(_) | State::Waiting(_) | State::Running(_)) => {
                self.state = other;
                return Err(VerifyError::NotDue(run));
            }
        };
        let mut effects = Effects::default();
        let Ok(context) = context(wish.compare.method()) else {
            self.state = State::Due(wish, early);
            self.fail(Broken::Ended, None, &mut effects);
            return Ok(effects);
        };
        let (exchange, first) = match &wish.compare {
            Compare::Words => Exchange::words(context, wish.seed),
            Compare::Code(code) => Exchange::code(context, code, &wish.seed),
        };
        self.state = State::Running(Box::new(exchange));
        effects.limit = Limit::Begins;
        effects.steps.extend(first.map(step));
        if let Some(message) = early {
            self.on_message(&message, &mut effects);
        }
        Ok(effects)
    }

    /// The person here has found the words to be the same.
    pub(super) fn agree(&mut self, run: Run) -> Result<Effects, VerifyError> {
        self.is_going_on(run)?;
        let State::Running(exchange) = &mut self.state else {
            return Err(VerifyError::NotDue(run));
        };
        let proof = exchange.agree().ok_or(VerifyError::NotDue(run))?;
        let mut effects = Effects::default();
        effects.steps.push(step(proof));
        self.finish_if_done(&mut effects);
        Ok(effects)
    }

    /// The owner ends the run.
    pub(super) fn cancel(&mut self, run: Run, reason: Reason) -> Result<Effects, VerifyError> {
        self.is_going_on(run)?;
        Ok(self.break_off(Broken::Here(reason), Some(reason)))
    }

    fn is_going_on(&self, run: Run) -> Result<(), VerifyError> {
        if self.state.is_idle() || run != self.run() {
            return Err(VerifyError::Stale(run));
        }
        Ok(())
    }

    /// Ends the run in progress, if there is one, and sends `reason` to the peer, if there is one to send.
    pub(super) fn break_off(&mut self, why: Broken, reason: Option<Reason>) -> Effects {
        let mut effects = Effects::default();
        if !self.state.is_idle() {
            self.fail(why, reason, &mut effects);
        }
        effects
    }

    /// A step has come, or something that should have been one.
    pub(super) fn on_step(&mut self, step: Result<Step, PayloadError>) -> Effects {
        let message = match step {
            Ok(Step::Ready(method)) => return self.on_ready(of_wire(method)),
            Ok(Step::Cancel(reason)) => return self.break_off(Broken::There(reason), None),
            Ok(Step::Commit(bytes)) => Message::Commit(bytes),
            Ok(Step::Nonce(bytes)) => Message::Nonce(bytes),
            Ok(Step::Reveal(bytes)) => Message::Reveal(bytes),
            Ok(Step::Pake(bytes)) => Message::Pake(bytes),
            Ok(Step::Confirm(bytes)) => Message::Confirm(bytes),
            Err(error) => {
                debug!(%error, "a step of a verification cannot be read");
                return self.break_off(Broken::Unreadable(error), Some(Reason::Failed));
            }
        };
        let mut effects = Effects::default();
        match &mut self.state {
            State::Running(_) => self.on_message(&message, &mut effects),
            State::Due(_, early @ None) => *early = Some(Box::new(message)),
            State::Due(_, Some(_)) | State::Waiting(_) | State::Asked(_) => {
                let fault = Broken::Fault(Fault::Order(message.name()));
                self.fail(fault, Some(Reason::Failed), &mut effects);
            }
            // It belongs to a run that we have broken off meanwhile.
            State::Idle => debug!(step = message.name(), "a step of no verification"),
        }
        effects
    }

    fn on_ready(&mut self, method: Method) -> Effects {
        let mut effects = Effects::default();
        match std::mem::take(&mut self.state) {
            State::Idle if self.asked >= MAX_ASKED => {
                debug!("the peer asks for verification too often");
                effects.steps.push(Step::Cancel(Reason::Locked));
            }
            State::Idle => {
                self.asked = self.asked.saturating_add(1);
                self.runs = self.runs.saturating_add(1);
                self.state = State::Asked(method);
                effects.limit = Limit::Begins;
                let run = self.run();
                effects.events.push(Verify::Asked { run, method });
            }
            State::Waiting(wish) if wish.compare.method() == method => {
                self.due(wish, &mut effects);
                effects.limit = Limit::Begins;
            }
            waiting @ State::Waiting(_) => {
                self.state = waiting;
                let why = Broken::Here(Reason::Method);
                self.fail(why, Some(Reason::Method), &mut effects);
            }
            other @ (State::Asked(_) | State::Due(..) | State::Running(_)) => {
                self.state = other;
                let fault = Broken::Fault(Fault::Order("ready"));
                self.fail(fault, Some(Reason::Failed), &mut effects);
            }
        }
        effects
    }

    /// Both want it.
    fn due(&mut self, wish: Box<Wish>, effects: &mut Effects) {
        let (method, tag) = (wish.compare.method(), wish.compare.tag());
        self.state = State::Due(wish, None);
        let run = self.run();
        effects.events.push(Verify::Due { run, method, tag });
    }

    /// A message of the run that is going on.
    fn on_message(&mut self, message: &Message, effects: &mut Effects) {
        let State::Running(exchange) = &mut self.state else {
            return;
        };
        let before = exchange.short_words();
        match exchange.handle(message) {
            Ok(answer) => {
                let words = exchange.short_words().filter(|_| before.is_none());
                effects.steps.extend(answer.map(step));
                if let Some(words) = words {
                    let run = self.run();
                    effects.events.push(Verify::Compare { run, words });
                }
                self.finish_if_done(effects);
            }
            Err(fault) => {
                let why = Broken::Fault(fault);
                let reason = if why.is_mismatch() {
                    Reason::Mismatch
                } else {
                    Reason::Failed
                };
                self.fail(why, Some(reason), effects);
            }
        }
    }

    fn finish_if_done(&mut self, effects: &mut Effects) {
        let (State::Running(exchange), Some(key)) = (&self.state, self.key) else {
            return;
        };
        if !exchange.is_done() {
            return;
        }
        let (run, method) = (self.run(), exchange.method());
        self.state = State::Idle;
        effects.limit = Limit::Ends;
        effects.events.push(Verify::Done { run, method, key });
    }

    /// Ends the run in progress, and lets both sides know.
    fn fail(&mut self, why: Broken, reason: Option<Reason>, effects: &mut Effects) {
        let (run, method) = (self.run(), self.state.method());
        let counted = matches!(self.state, State::Running(_));
        debug!(%why, counted, "a verification is over");
        self.state = State::Idle;
        effects.limit = Limit::Ends;
        effects.steps.extend(reason.map(Step::Cancel));
        if let (Some(method), Some(key)) = (method, self.key) {
            effects.events.push(Verify::Failed {
                run,
                method,
                key,
                why,
                counted,
            });
        }
    }
}

fn step(message: Message) -> Step {
    match message {
        Message::Commit(bytes) => Step::Commit(bytes),
        Message::Nonce(bytes) => Step::Nonce(bytes),
        Message::Reveal(bytes) => Step::Reveal(bytes),
        Message::Pake(bytes) => Step::Pake(bytes),
        Message::Confirm(bytes) => Step::Confirm(bytes),
    }
}

fn of_wire(method: wire::Method) -> Method {
    match method {
        wire::Method::Words => Method::Words,
        wire::Method::Code => Method::Code,
    }
}

fn on_wire(method: Method) -> wire::Method {
    match method {
        Method::Words => wire::Method::Words,
        Method::Code => wire::Method::Code,
    }
}
