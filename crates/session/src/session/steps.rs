//! The steps of a verification that the peer sends, before either end's verdict and after both.

use bytes::Bytes;
use tracing::debug;
use xtls_stanza::verify::{self as wire, Reason, Step};
use xtls_stanza::{PayloadError, Stanza};
use xtls_tls::Role;
use xtls_tls::verify::{Fault, Message, Method};

use super::verify::State;
use super::{Phase, Session};
use crate::event::{By, Why};
use crate::verify::{Broken, Verify};
use crate::{Mode, routing};

impl Session {
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
                self.next_run();
                self.verification.state = State::Asked(method);
                self.limit_verification();
                let run = self.run();
                self.tell_verify(Verify::Asked { run, method });
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
}

fn of_wire(method: wire::Method) -> Method {
    match method {
        wire::Method::Words => Method::Words,
        wire::Method::Code => Method::Code,
    }
}

/// How often the peer may ask in one session; then it is answered `locked` and nobody is told.
const MAX_ASKED: u32 = 8;
