//! The end that is offered a bytestream (XEP-0065 §5 and §6).

use std::collections::VecDeque;
use std::time::Instant;

use xtls_stanza::s5b::{Query, Sid, Streamhost};
use xtls_stanza::{
    Address, Condition, Content, Envelope, ErrorType, Payload, PayloadError, StanzaError, s5b,
};

use crate::destination::Destination;
use crate::request::ATTEMPT;

/// One offer that has come, until the bytestream is established.
#[derive(Debug)]
pub struct Target {
    request: Envelope,
    peer: Address,
    sid: Sid,
    destination: Destination,
    hosts: VecDeque<Streamhost>,
    step: Step,
    transmit: Option<Envelope>,
    event: Option<TargetEvent>,
    deadline: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Undecided,
    /// The owner connects to it.
    Connecting(Streamhost),
    Over,
}

/// What the owner is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetEvent {
    /// Connect to this streamhost and [`Dial`](crate::Dial) there, then call [`Target::connected`] or [`Target::failed`].
    Connect {
        /// The streamhost. Whoever made the offer has named it: judge its address before you connect.
        host: Streamhost,
        /// What to ask it for.
        destination: Destination,
    },
    /// The requester is told which streamhost it is. Bytes pass when it has activated the bytestream.
    Established,
    /// There will be no bytestream.
    Failed(TargetError),
}

/// Why there is no bytestream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// None of the streamhosts can be reached, or may be used.
    #[error("none of the offered streamhosts can be used")]
    Unreachable,
    /// It took longer than 20 s.
    #[error("no streamhost was reached in {} s", ATTEMPT.as_secs())]
    Timeout,
}

impl Target {
    /// Reads an offer to your own address; `None` if the stanza is something else.
    ///
    /// # Errors
    ///
    /// The answer to an offer that can't be read, and to requests of this namespace that are none: send it.
    pub fn read(own: &Address, request: &Envelope) -> Option<Result<Self, Box<Envelope>>> {
        let (Content::Get(Payload::Other(element)) | Content::Set(Payload::Other(element))) =
            &request.content
        else {
            return None;
        };
        if element.ns != s5b::NS {
            return None;
        }
        let refuse = |kind, condition| {
            Some(Err(Box::new(
                request.error(StanzaError::new(kind, condition)),
            )))
        };
        let is_set = matches!(request.content, Content::Set(_));
        let Some(peer) = request.from.clone() else {
            return refuse(ErrorType::Modify, Condition::BadRequest);
        };
        match Query::read(element) {
            Ok(Query::Offer { sid, hosts }) if is_set => Some(Ok(Self {
                destination: Destination::new(&sid, &peer, own),
                request: request.clone(),
                peer,
                sid,
                hosts: hosts.into(),
                step: Step::Undecided,
                transmit: None,
                event: None,
                deadline: None,
            })),
            // We are no relay.
            Ok(_) => refuse(ErrorType::Cancel, Condition::ServiceUnavailable),
            Err(PayloadError::Attribute {
                attribute: "mode", ..
            }) => refuse(ErrorType::Cancel, Condition::NotAcceptable),
            Err(_) => refuse(ErrorType::Modify, Condition::BadRequest),
        }
    }

    /// Who offers it.
    #[must_use]
    pub fn peer(&self) -> &Address {
        &self.peer
    }

    /// The name of the bytestream.
    #[must_use]
    pub fn sid(&self) -> &Sid {
        &self.sid
    }

    /// Where it may pass, the first being the first to try.
    pub fn hosts(&self) -> impl Iterator<Item = &Streamhost> {
        self.hosts.iter()
    }

    /// Takes the offer, through one of the streamhosts that `allowed` is true of: each of them learns your IP address. Does nothing the
    /// second time.
    pub fn accept(&mut self, now: Instant, allowed: impl FnMut(&Streamhost) -> bool) {
        if self.step == Step::Undecided {
            self.hosts.retain(allowed);
            self.deadline = Some(now + ATTEMPT);
            self.next();
        }
    }

    /// Declines the offer (`not-acceptable`). Does nothing once it is accepted.
    pub fn refuse(&mut self) {
        if self.step == Step::Undecided {
            self.step = Step::Over;
            self.answer_error(Condition::NotAcceptable);
        }
    }

    /// The streamhost has agreed to what you asked it for. Does nothing at another time.
    pub fn connected(&mut self) {
        let Step::Connecting(host) = &self.step else {
            return;
        };
        let used = Query::Used {
            sid: Some(self.sid.clone()),
            jid: host.jid.clone(),
        };
        self.transmit = Some(self.request.result(Some(Payload::Other(used.to_element()))));
        self.step = Step::Over;
        self.event = Some(TargetEvent::Established);
    }

    /// This streamhost can't be reached, or has not agreed: the next one is tried. Does nothing at another time.
    pub fn failed(&mut self) {
        if matches!(self.step, Step::Connecting(_)) {
            self.next();
        }
    }

    /// What is to be sent.
    pub fn poll_transmit(&mut self) -> Option<Envelope> {
        self.transmit.take()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<TargetEvent> {
        self.event.take()
    }

    /// When to call [`Target::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline.filter(|_| self.step != Step::Over)
    }

    /// The time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.fail(TargetError::Timeout);
        }
    }

    fn next(&mut self) {
        let Some(host) = self.hosts.pop_front() else {
            return self.fail(TargetError::Unreachable);
        };
        let destination = self.destination;
        self.step = Step::Connecting(host.clone());
        self.event = Some(TargetEvent::Connect { host, destination });
    }

    fn fail(&mut self, why: TargetError) {
        self.step = Step::Over;
        self.answer_error(Condition::ItemNotFound);
        self.event = Some(TargetEvent::Failed(why));
    }

    fn answer_error(&mut self, condition: Condition) {
        // XEP-0065 §5 has both with these types.
        let kind = match condition == Condition::NotAcceptable {
            true => ErrorType::Auth,
            false => ErrorType::Cancel,
        };
        self.transmit = Some(self.request.error(StanzaError::new(kind, condition)));
    }
}
