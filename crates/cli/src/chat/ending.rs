//! How a run ends: with its first failure, or for a listener when somebody wants it to.

use crate::args::ConversationArgs;
use crate::failure::{Code, Failure};
use crate::say::Say;
use crate::stop::Stop;

pub(super) struct Ending {
    say: Say,
    /// Others call, one after the other.
    listens: bool,
    /// Only one of them.
    once: bool,
    outcome: Result<(), Failure>,
    over: bool,
}

impl Ending {
    pub(super) fn new(talk: &ConversationArgs, say: Say) -> Self {
        Self {
            say,
            listens: talk.listen,
            once: talk.calls.once,
            outcome: Ok(()),
            over: false,
        }
    }

    /// The last conversation has ended.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// A conversation has ended for good. `begun`: another one with the same peer has taken its place before it had begun;
    /// `leaving`: somebody wants it to be the last.
    pub(super) fn after_one(&mut self, begun: bool, leaving: bool) {
        self.over |= leaving || !self.listens || (self.once && !begun);
    }

    /// Handles a failed conversation: a listener continues, other modes end with the first failure.
    pub(super) fn fail(&mut self, failure: Failure) {
        if self.listens && !self.once && failure.code != Code::Usage {
            self.say.failure(&failure);
        } else {
            self.note(failure);
        }
    }

    /// Whatever else happens, the run has failed.
    pub(super) fn note(&mut self, failure: Failure) {
        if self.outcome.is_ok() {
            self.outcome = Err(failure);
        }
    }

    /// This is why it ends, and nothing that was before.
    pub(super) fn fail_with(&mut self, failure: Failure) {
        self.outcome = Err(failure);
    }

    /// The connection to the server is lost, for this reason.
    pub(super) fn lost(&self, failure: Failure) -> Failure {
        match &self.outcome {
            Err(earlier) if earlier.code == Code::Interrupted => Failure::interrupted(),
            Ok(()) | Err(_) => failure,
        }
    }

    /// How the run ended.
    pub(super) fn outcome(&mut self, stop: &Stop) -> Result<(), Failure> {
        let outcome = std::mem::replace(&mut self.outcome, Ok(()));
        stop.or_interrupted(outcome)
    }
}
