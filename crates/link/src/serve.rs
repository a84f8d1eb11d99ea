//! The server's end of a client's stream, without I/O.

mod admission;
mod error;
mod event;
mod plain;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use xtls_stanza::{Address, Condition, Element, ns};

use self::admission::Admission;
pub use self::error::ServeError;
pub use self::event::ServingEvent;
pub use self::plain::Login;
use crate::features::SM;
use crate::flow::{Fault, Flow, NotSent, Said};
use crate::header::MAX_ELEMENT;
use crate::manage::{Manage, not_found};
use crate::stream_error::written;

/// An XML stream with a client, as a server has it (RFC 6120): log-in, resource, stanzas, end. It is for clients on the same machine,
/// because it encrypts nothing and takes passwords as they are (SASL PLAIN).
///
/// Octets go in by [`handle_bytes`](Self::handle_bytes), or straight into [`buffer`](Self::buffer), and come out of
/// [`poll_transmit`](Self::poll_transmit). What happens comes out of [`poll_event`](Self::poll_event), which takes one stanza
/// at a time off the buffer: a stanza that is taken counts as handled (XEP-0198), and whoever takes none holds the client back.
///
/// Its owner decides who is let in ([`ServingEvent::Login`]) and under which address ([`ServingEvent::Bind`]), and what becomes of
/// stanzas, which pass as they are, octet for octet. What a stanza says about its sender is not checked.
///
/// An error is the end of the stream; what the client is told about it is still to be [sent](Self::poll_transmit).
pub struct Serving {
    admission: Admission,
    flow: Flow,
    manage: Manage,
    /// When the client has to have a resource.
    until: Instant,
}

impl Serving {
    /// Waits for a client of accounts at one of these domains. The seed makes ids; it must be secret and never used twice.
    #[must_use]
    pub fn new(domains: &[Address], seed: [u8; 32], now: Instant) -> Self {
        Self {
            admission: Admission::new(domains, seed),
            flow: Flow::new(ns::CLIENT, now),
            manage: Manage::default(),
            until: now + PATIENCE,
        }
    }

    /// Whether stanzas pass.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.flow.is_open()
    }

    /// The buffer that octets of the client may be read into, behind what is there.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.flow.buffer()
    }

    /// Takes octets of the client, in any pieces.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.buffer().extend_from_slice(bytes);
    }

    /// The next thing that happened. `None`: more octets, please, or the owner's answer.
    ///
    /// # Errors
    /// The stream has ended. Nothing happens on it from then on.
    pub fn poll_event(&mut self, now: Instant) -> Result<Option<ServingEvent>, ServeError> {
        let polled = self.next_event(now);
        self.told(polled)
    }

    fn next_event(&mut self, now: Instant) -> Result<Option<ServingEvent>, ServeError> {
        loop {
            if self.flow.is_negotiating() && self.admission.waits() {
                return match self.buffer().len() > MAX_ELEMENT {
                    true => Err(Fault::Hasty.into()),
                    false => Ok(None),
                };
            }
            let event = match self.flow.next()? {
                None => return Ok(None),
                Some(Said::Header(header)) => {
                    self.admission.on_header(&header, self.flow.out())?;
                    None
                }
                Some(Said::Stanza(octets)) => self.on_stanza(now, octets),
                Some(Said::Element(element, _)) if self.is_open() => {
                    self.on_other(now, &element)?;
                    None
                }
                Some(Said::Element(element, _)) => {
                    self.admission.on_element(&element, self.flow.out())?
                }
                Some(Said::Error(error)) => return Err(ServeError::Stream(error)),
                Some(Said::End) => {
                    self.close(now);
                    self.flow.fail(None);
                    Some(ServingEvent::Closed)
                }
                Some(Said::Closed) => Some(ServingEvent::Closed),
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Tells the client why the stream ends, if it does.
    fn told<T>(&mut self, outcome: Result<T, ServeError>) -> Result<T, ServeError> {
        if let Err(why) = &outcome {
            self.admission.greet(None, self.flow.out());
            match why.stream_error() {
                Some(error) => self.flow.fail(Some(&error)),
                None => self.flow.end(),
            }
        }
        outcome
    }

    /// Says whether the client of the last [`ServingEvent::Login`] is let in. It may try three times.
    ///
    /// # Errors
    /// The stream has ended: it was the last time, or the client did not wait for this.
    pub fn log_in(&mut self, accept: bool) -> Result<(), ServeError> {
        if !self.flow.is_negotiating() || !self.admission.is_asked() {
            return Ok(());
        }
        let outcome = match accept {
            true => self.flow.restart().map_err(ServeError::from),
            false => self.admission.reject(self.flow.out()),
        };
        self.told(outcome)?;
        if accept {
            self.admission.accept(self.flow.out());
        }
        Ok(())
    }

    /// Gives the client this full address, whatever it has asked for ([`ServingEvent::Bind`]). Stanzas pass from now on.
    pub fn bind(&mut self, address: &Address) {
        if self.flow.is_negotiating() && self.admission.bind(address, self.flow.out()) {
            self.flow.open();
        }
    }

    /// Refuses what the client has asked for, because of a [conflict](Condition::Conflict) with another one, for example. It may ask
    /// for something else.
    pub fn refuse(&mut self, condition: Condition) {
        if self.flow.is_negotiating() {
            self.admission.refuse(condition, self.flow.out());
        }
    }

    fn on_stanza(&mut self, now: Instant, octets: Bytes) -> Option<ServingEvent> {
        let arrival = self.manage.on_stanza();
        let counted = self.manage.on_stanza_taken(now, arrival);
        counted.then_some(ServingEvent::Stanza(octets))
    }

    /// An element that is no stanza, while they pass.
    fn on_other(&mut self, now: Instant, element: &Element) -> Result<(), ServeError> {
        if element.is("enable", SM) || element.is("resume", SM) {
            // What was sent before the answer does not count.
            self.flow.keep(now, &mut self.manage);
            let answer = match element.name == "enable" {
                true => self.manage.grant(),
                false => not_found(),
            };
            self.flow.write(&answer);
            return Ok(());
        }
        // Of what a client says it changes nothing but the counts.
        let heard = self.manage.handle(now, element);
        heard.map(drop).map_err(ServeError::Acknowledgement)
    }

    /// Whether a stanza may be sent now. Room comes back as stanzas leave and are acknowledged.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.flow.has_room(&self.manage)
    }

    /// Sends one stanza, which `write` appends: exactly one element, in `jabber:client`, as the default namespace. Call it
    /// only while there [is room](Self::has_room).
    ///
    /// # Errors
    /// The stanza is not sent, because none may be sent now.
    pub fn send_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), NotSent> {
        self.flow.send_with(&self.manage, None, write)
    }

    /// Octets for the client, which are to be sent whole before any other: at most 128 KiB. `None`: there are none now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<&[u8]> {
        self.flow.poll_transmit(now, &mut self.manage)
    }

    /// Gives memory back that a burst has left, while little happens.
    pub fn shrink(&mut self) {
        self.flow.shrink(&self.manage);
    }

    /// The next moment at which something is to be done: [`handle_timeout`](Self::handle_timeout), then
    /// [`poll_transmit`](Self::poll_transmit). A client that says nothing is not given up once it has a resource: on one machine its
    /// end is noticed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.is_open() {
            true => self.manage.poll_timeout(),
            false => self.log_in_timeout(),
        }
    }

    /// The same for the log-in alone, while nothing can be sent.
    #[must_use]
    pub fn log_in_timeout(&self) -> Option<Instant> {
        self.flow.is_negotiating().then_some(self.until)
    }

    /// Tells the time.
    ///
    /// # Errors
    /// The client took too long to log in. It is the end of the stream.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ServeError> {
        let late = self.log_in_timeout().is_some_and(|until| until <= now);
        let outcome = match late {
            true => Err(ServeError::Timeout { limit: PATIENCE }),
            false => Ok(()),
        };
        self.told(outcome)
    }

    /// Ends the stream behind what was sent. [`ServingEvent::Closed`] follows when the client has ended it too.
    pub fn close(&mut self, now: Instant) {
        if self.flow.is_negotiating() {
            self.admission.greet(None, self.flow.out());
        }
        self.flow.close(now, &mut self.manage);
    }

    /// Ends the stream behind what was sent, with this condition (RFC 6120 §4.9.3): `conflict` where another client takes the address,
    /// `system-shutdown`, or whatever the server beyond has said.
    pub fn end(&mut self, condition: &str) {
        if self.is_open() || self.flow.is_negotiating() {
            self.admission.greet(None, self.flow.out());
            self.flow.fail(Some(&written(condition, None)));
        }
    }

    /// The octets of stanzas that were sent and never acknowledged, in order, where the client acknowledges any (XEP-0198).
    #[must_use]
    pub fn into_unacknowledged(mut self, now: Instant) -> Vec<Bytes> {
        self.flow.keep(now, &mut self.manage);
        self.manage.rebind()
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inbound, outbound) = self.flow.waiting();
        f.debug_struct("Serving")
            .field("open", &self.is_open())
            .field("inbound", &inbound)
            .field("outbound", &outbound)
            .finish_non_exhaustive()
    }
}

/// How long a client may take from its connection to its resource.
const PATIENCE: Duration = Duration::from_secs(30);
