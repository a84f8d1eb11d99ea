//! The server's side of SOCKS5: that of a streamhost.

use std::time::Instant;

use crate::destination::Destination;
use crate::socks::{
    COMMAND_UNKNOWN, CONNECT, KIND_UNKNOWN, NAME, NO_AUTHENTICATION, NO_METHOD, NOT_ALLOWED, STEP,
    SUCCEEDED, SocksError, VERSION, length, message,
};

/// One connection that someone has made to a streamhost.
///
/// A client that sends its two messages at once is served too; bytes behind the request are an error, as its answer has yet to be sent.
#[derive(Debug)]
pub struct Accept {
    step: Step,
    have: Vec<u8>,
    transmit: Vec<u8>,
    event: Option<AcceptEvent>,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Greeting,
    Request,
    /// The owner decides.
    Asked(Destination),
    Over,
}

/// What the owner is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptEvent {
    /// The client asks for this bytestream: call [`Accept::accept`] or [`Accept::refuse`].
    Asked(Destination),
    /// The client has what it asked for as soon as the answer is sent. What comes now is the stream.
    Connected,
    /// It has failed. Send what there is to send, and close the connection.
    Failed(SocksError),
}

/// There is no request to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client has not asked for a bytestream")]
pub struct NotAsked;

impl Accept {
    /// A connection on which nothing has come.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            step: Step::Greeting,
            have: Vec::new(),
            transmit: Vec::new(),
            event: None,
            deadline: now + STEP,
        }
    }

    /// What is to be sent.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let bytes = std::mem::take(&mut self.transmit);
        (!bytes.is_empty()).then_some(bytes)
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<AcceptEvent> {
        self.event.take()
    }

    /// How many bytes may be read that surely belong to SOCKS5. Whoever reads no more never reads bytes of the stream.
    #[must_use]
    pub fn wanted(&self) -> usize {
        let whole = match (self.step, self.have.get(1)) {
            (Step::Greeting, Some(methods)) => 2 + usize::from(*methods),
            (Step::Greeting, None) => 2,
            (Step::Request, _) => length(&self.have).unwrap_or_default(),
            (Step::Asked(_) | Step::Over, _) => 0,
        };
        whole.saturating_sub(self.have.len())
    }

    /// Takes what came.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        let read = match self.step {
            Step::Greeting | Step::Request => {
                self.have.extend_from_slice(bytes);
                self.read(now)
            }
            Step::Asked(_) if !bytes.is_empty() => Err((None, SocksError::Early)),
            Step::Asked(_) | Step::Over => Ok(()),
        };
        if let Err((answer, why)) = read {
            self.fail(answer, why);
        }
    }

    /// The connection has ended.
    pub fn handle_end(&mut self) {
        if self.step != Step::Over {
            self.fail(None, SocksError::Ended);
        }
    }

    /// When to call [`Accept::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.step != Step::Over).then_some(self.deadline)
    }

    /// The time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.fail(None, SocksError::Timeout);
        }
    }

    /// Agrees to what the client has asked for.
    ///
    /// # Errors
    ///
    /// It has asked for nothing, or it is too late.
    pub fn accept(&mut self) -> Result<(), NotAsked> {
        let Step::Asked(destination) = self.step else {
            return Err(NotAsked);
        };
        self.step = Step::Over;
        self.transmit.extend(message(SUCCEEDED, &destination));
        self.event = Some(AcceptEvent::Connected);
        Ok(())
    }

    /// Refuses what the client has asked for.
    ///
    /// # Errors
    ///
    /// It has asked for nothing, or it is too late.
    pub fn refuse(&mut self) -> Result<(), NotAsked> {
        let Step::Asked(destination) = self.step else {
            return Err(NotAsked);
        };
        self.fail(
            Some(message(NOT_ALLOWED, &destination)),
            SocksError::Unexpected,
        );
        Ok(())
    }

    fn read(&mut self, now: Instant) -> Result<(), (Option<Vec<u8>>, SocksError)> {
        if let Some(version) = self.have.first().filter(|version| **version != VERSION) {
            return Err((None, SocksError::Version(*version)));
        }
        if self.step == Step::Greeting {
            let [_, count, methods @ ..] = self.have.as_slice() else {
                return Ok(());
            };
            let Some((methods, rest)) = methods.split_at_checked(usize::from(*count)) else {
                return Ok(());
            };
            if !methods.contains(&NO_AUTHENTICATION) {
                let first = methods.first().copied().unwrap_or(NO_METHOD);
                return Err((Some(vec![VERSION, NO_METHOD]), SocksError::Method(first)));
            }
            self.have = rest.to_vec();
            self.step = Step::Request;
            self.transmit.extend([VERSION, NO_AUTHENTICATION]);
            self.deadline = now + STEP;
            // The request may have come with it.
            return self.read(now);
        }
        self.read_request(now)
    }

    fn read_request(&mut self, now: Instant) -> Result<(), (Option<Vec<u8>>, SocksError)> {
        if let [_, command, ..] = *self.have.as_slice()
            && command != CONNECT
        {
            return Err((Some(refusal(COMMAND_UNKNOWN)), SocksError::Command(command)));
        }
        let whole = length(&self.have).map_err(|why| (Some(refusal(KIND_UNKNOWN)), why))?;
        if whole <= 5 || self.have.len() < whole {
            return Ok(());
        }
        if self.have.len() > whole {
            return Err((None, SocksError::Early));
        }
        let destination = match self.have.as_slice() {
            [_, _, _, NAME, _, host @ .., 0, 0] => Destination::from_bytes(host),
            _ => None,
        };
        let unknown = || (Some(refusal(NOT_ALLOWED)), SocksError::Destination);
        let destination = destination.ok_or_else(unknown)?;
        self.have = Vec::new();
        self.step = Step::Asked(destination);
        self.deadline = now + STEP;
        self.event = Some(AcceptEvent::Asked(destination));
        Ok(())
    }

    fn fail(&mut self, answer: Option<Vec<u8>>, why: SocksError) {
        self.step = Step::Over;
        self.have = Vec::new();
        self.transmit.extend(answer.unwrap_or_default());
        self.event = Some(AcceptEvent::Failed(why));
    }
}

/// An answer that names no destination.
fn refusal(code: u8) -> Vec<u8> {
    vec![VERSION, code, 0, NAME, 0, 0, 0]
}
