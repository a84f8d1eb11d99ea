//! The end that offers a bytestream (XEP-0065 §5 and §6).

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use xtls_stanza::s5b::{Host, MAX_STREAMHOSTS, Query, Sid, Streamhost};
use xtls_stanza::{Address, Condition, Content, Envelope, Payload, PayloadError};

use crate::destination::Destination;
use crate::relays::Relay;

/// How long the target may take to connect and say so.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(20);
/// How long a relay may take to activate a bytestream.
const ACTIVATION: Duration = Duration::from_secs(10);

/// What is offered to whom.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Your own full address.
    pub own: Address,
    /// The full address of the target.
    pub target: Address,
    /// A name for the bytestream that nobody can guess.
    pub sid: Sid,
    /// Where you listen yourself. The target learns these addresses, and so do the servers.
    pub direct: Vec<(Host, NonZeroU16)>,
    /// Relays of your own server. Others would not let you activate.
    pub relays: Vec<Relay>,
}

/// Why an offer can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// There is nothing to connect to.
    #[error("the offer names no streamhost")]
    Empty,
    /// There are more than 32.
    #[error("the offer names {0} streamhosts, at most {MAX_STREAMHOSTS} are allowed")]
    TooMany(usize),
}

/// One offer, until the bytestream is established.
#[derive(Debug)]
pub struct Request {
    offer: Offer,
    ids: String,
    step: Step,
    transmit: Option<Envelope>,
    event: Option<RequestEvent>,
    deadline: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Offered,
    /// The owner connects to it.
    Connecting(Relay),
    Activating(Relay),
    Over,
}

/// What the owner is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestEvent {
    /// The target is connected to this relay. Connect to it and [`Dial`](crate::Dial) there, then call [`Request::connected`] or
    /// [`Request::failed`].
    Connect {
        /// The relay.
        relay: Relay,
        /// What to ask it for.
        destination: Destination,
    },
    /// Bytes pass: through the relay, or over the connection that the target has made to you.
    Established {
        /// Whether there is no relay between.
        direct: bool,
    },
    /// There will be no bytestream.
    Failed(RequestError),
}

/// Why there is no bytestream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The target does not want it (`not-acceptable`).
    #[error("the peer does not accept the bytestream")]
    Refused,
    /// The target can't connect to any of the streamhosts (`item-not-found`, `remote-server-not-found`).
    #[error("the peer can't reach any of the offered streamhosts")]
    Unreachable,
    /// The target, or a server, answers with another error.
    #[error("the offer was answered with {}", .0.name())]
    Answered(Condition),
    /// The answer can't be read.
    #[error("the answer to the offer can't be read: {0}")]
    Malformed(PayloadError),
    /// The answer is no streamhost, or one of another bytestream.
    #[error("the answer to the offer names no streamhost")]
    NoAnswer,
    /// The answer names a streamhost that was not offered.
    #[error("the peer has connected to a streamhost that was not offered")]
    NotOffered,
    /// You could not connect to the relay.
    #[error("the peer has reached the relay, and this end can't")]
    Relay,
    /// The relay does not activate the bytestream: `not-allowed` or `item-not-found` if an end is not connected,
    /// `resource-constraint` if you have too many.
    #[error("the relay does not activate the bytestream: {}", .0.name())]
    Activation(Condition),
    /// The target, your own connection or the relay took too long.
    #[error("the bytestream was not established in time")]
    Timeout,
}

impl Request {
    /// Makes the offer. The ids of its stanzas begin with `ids`, and no others may.
    ///
    /// # Errors
    ///
    /// No streamhost, or more than 32.
    pub fn new(now: Instant, ids: &str, offer: Offer) -> Result<Self, OfferError> {
        let direct = offer.direct.iter().map(|(host, port)| Streamhost {
            jid: offer.own.clone(),
            host: host.clone(),
            port: *port,
        });
        let relays = offer.relays.iter().map(|relay| relay.streamhost().clone());
        let hosts: Vec<Streamhost> = direct.chain(relays).collect();
        match hosts.len() {
            0 => return Err(OfferError::Empty),
            1..=MAX_STREAMHOSTS => {}
            count => return Err(OfferError::TooMany(count)),
        }
        let sid = offer.sid.clone();
        let first = Envelope {
            from: None,
            to: Some(offer.target.clone()),
            id: format!("{ids}-o"),
            content: Content::Set(Payload::Other(Query::Offer { sid, hosts }.to_element())),
        };
        Ok(Self {
            offer,
            ids: ids.to_owned(),
            step: Step::Offered,
            transmit: Some(first),
            event: None,
            deadline: now + ATTEMPT,
        })
    }

    /// What both ends ask a streamhost for. Expect it where you listen.
    #[must_use]
    pub fn destination(&self) -> Destination {
        Destination::new(&self.offer.sid, &self.offer.own, &self.offer.target)
    }

    /// What is to be sent.
    pub fn poll_transmit(&mut self) -> Option<Envelope> {
        self.transmit.take()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<RequestEvent> {
        self.event.take()
    }

    /// Takes a stanza; `false` if it answers nothing of this offer.
    pub fn handle(&mut self, now: Instant, envelope: &Envelope) -> bool {
        let answer = match &envelope.content {
            Content::Result(payload) => Ok(payload.as_ref()),
            Content::Error(error) => Err(error.condition),
            Content::Get(_)
            | Content::Set(_)
            | Content::Message { .. }
            | Content::Presence { .. } => return false,
        };
        let Some(id) = envelope.id.strip_prefix(&self.ids) else {
            return false;
        };
        let from = envelope.from.as_ref();
        match (&self.step, id) {
            (Step::Offered, "-o") if from == Some(&self.offer.target) => {
                match self.chosen(answer) {
                    Ok(Some(relay)) => {
                        let destination = self.destination();
                        self.deadline = now + ATTEMPT;
                        self.step = Step::Connecting(relay.clone());
                        self.event = Some(RequestEvent::Connect { relay, destination });
                    }
                    Ok(None) => self.end(RequestEvent::Established { direct: true }),
                    Err(why) => self.end(RequestEvent::Failed(why)),
                }
            }
            (Step::Activating(relay), "-a") if from == Some(&relay.streamhost().jid) => {
                self.end(match answer {
                    Ok(_) => RequestEvent::Established { direct: false },
                    Err(why) => RequestEvent::Failed(RequestError::Activation(why)),
                });
            }
            (Step::Offered | Step::Connecting(_) | Step::Activating(_) | Step::Over, _) => {
                return false;
            }
        }
        true
    }

    /// The relay has agreed to what you asked it for: it is told to activate the bytestream. Does nothing at another time.
    pub fn connected(&mut self, now: Instant) {
        let Step::Connecting(relay) = &self.step else {
            return;
        };
        let query = Query::Activate {
            sid: self.offer.sid.clone(),
            target: self.offer.target.clone(),
        };
        self.transmit = Some(Envelope {
            from: None,
            to: Some(relay.streamhost().jid.clone()),
            id: format!("{}-a", self.ids),
            content: Content::Set(Payload::Other(query.to_element())),
        });
        self.step = Step::Activating(relay.clone());
        self.deadline = now + ACTIVATION;
    }

    /// You can't connect to the relay. Does nothing at another time.
    pub fn failed(&mut self) {
        if matches!(self.step, Step::Connecting(_)) {
            self.end(RequestEvent::Failed(RequestError::Relay));
        }
    }

    /// When to call [`Request::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.step != Step::Over).then_some(self.deadline)
    }

    /// The time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.end(RequestEvent::Failed(RequestError::Timeout));
        }
    }

    /// Which relay the target has chosen; `None` if it has connected to us.
    fn chosen(
        &self,
        answer: Result<Option<&Payload>, Condition>,
    ) -> Result<Option<Relay>, RequestError> {
        let payload = answer.map_err(|condition| {
            let unreachable = [Condition::ItemNotFound, Condition::RemoteServerNotFound];
            if condition == Condition::NotAcceptable {
                RequestError::Refused
            } else if unreachable.contains(&condition) {
                RequestError::Unreachable
            } else {
                RequestError::Answered(condition)
            }
        })?;
        let Some(Payload::Other(element)) = payload else {
            return Err(RequestError::NoAnswer);
        };
        let jid = match Query::read(element).map_err(RequestError::Malformed)? {
            Query::Used { sid, jid } if sid.as_ref().is_none_or(|sid| *sid == self.offer.sid) => {
                jid
            }
            Query::Used { .. } | Query::Hosts(_) | Query::Offer { .. } | Query::Activate { .. } => {
                return Err(RequestError::NoAnswer);
            }
        };
        if jid == self.offer.own && !self.offer.direct.is_empty() {
            return Ok(None);
        }
        let mut relays = self.offer.relays.iter();
        let relay = relays.find(|relay| relay.streamhost().jid == jid);
        relay.cloned().map(Some).ok_or(RequestError::NotOffered)
    }

    fn end(&mut self, event: RequestEvent) {
        self.step = Step::Over;
        self.transmit = None;
        self.event = Some(event);
    }
}
