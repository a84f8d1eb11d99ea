//! A component's stream with its server (XEP-0114), without I/O.

mod content;
mod send;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sha1::{Digest as _, Sha1};
use xtls_stanza::{Address, Element, Kind, Stanza, ns};
use zeroize::Zeroizing;

use self::content::COMPONENT;
pub use self::send::SendError;
use crate::alive::{PATIENCE, SILENCE, Silence};
use crate::error::ConnectError;
use crate::flow::{Fault, Flow, NotSent, Said};
use crate::header::{Header, HeaderError};
use crate::manage::Manage;
use crate::open_tag::{escaped, start};
use crate::random::hex;
use crate::session::normalised;
use crate::stream_error::StreamError;

/// An XML stream on which a program has a domain of its own behind a server (XEP-0114): all addresses of the domain are its, and it
/// says itself from which of them a stanza comes.
///
/// It is used as a client's [`Stream`](crate::Stream) is, but that the protocol knows no encryption, so the way to the server has
/// to be safe by other means, and no acknowledgements (XEP-0198): whoever loses the connection does not know what the server
/// has received.
///
/// Stanzas come in and go out in `jabber:client`, as everywhere else in this crate; on the stream they are in
/// `jabber:component:accept`.
pub struct Component {
    domain: Address,
    /// Forgotten once it has been used.
    secret: Option<Zeroizing<String>>,
    flow: Flow,
    /// Never on: nothing of XEP-0198 is said here.
    manage: Manage,
    /// Requests to ourselves, of which the server makes a sign of life.
    pings: u32,
}

/// What happens on a component's stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum ComponentEvent {
    /// Stanzas pass from now on.
    Opened,
    /// A stanza, in `jabber:client`, whole and unread.
    Stanza(Bytes),
    /// Both ends have closed the stream.
    Closed,
}

impl Component {
    /// Begins a stream as this domain, with the secret that the server has for it.
    ///
    /// # Errors
    /// The address as given, if it is not just a domain.
    pub fn new(domain: &Address, secret: Zeroizing<String>, now: Instant) -> Result<Self, Address> {
        if domain.local().is_some() || domain.resource().is_some() {
            return Err(domain.clone());
        }
        let mut flow = Flow::new(COMPONENT, now);
        start(COMPONENT, [("to", domain.as_str())], flow.out());
        Ok(Self {
            domain: domain.clone(),
            secret: Some(secret),
            flow,
            manage: Manage::default(),
            pings: 0,
        })
    }

    /// The component's domain.
    #[must_use]
    pub fn domain(&self) -> &Address {
        &self.domain
    }

    /// Whether stanzas pass.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.flow.is_open()
    }

    /// The buffer that octets of the server may be read into, behind what is there; [`heard`](Self::heard) follows.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.flow.buffer()
    }

    /// Something has been put into the [`buffer`](Self::buffer).
    pub fn heard(&mut self, now: Instant) {
        self.flow.heard(now);
    }

    /// Takes octets of the server, in any pieces.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.buffer().extend_from_slice(bytes);
        self.heard(now);
    }

    /// The next thing that happened. `None`: more octets, please. A stanza that cannot be read is passed over.
    ///
    /// # Errors
    /// The connection is of no use any more. Nothing happens on it from then on.
    pub fn poll_event(&mut self) -> Result<Option<ComponentEvent>, ConnectError> {
        let polled = self.next_event();
        if polled.is_err() {
            self.flow.give_up();
        }
        polled
    }

    fn next_event(&mut self) -> Result<Option<ComponentEvent>, ConnectError> {
        loop {
            let event = match self.flow.next().map_err(|fault| self.refused(fault))? {
                None => return Ok(None),
                Some(Said::Header(header)) => {
                    self.on_header(&header)?;
                    None
                }
                Some(Said::Stanza(octets)) => self.on_stanza(&octets),
                // Nothing is said here but stanzas.
                Some(Said::Element(..)) if self.is_open() => None,
                Some(Said::Element(element, _)) => Some(self.on_answer(&element)?),
                Some(Said::Error(error)) => return Err(self.stopped(error)),
                Some(Said::End) => return Err(self.ended()),
                Some(Said::Closed) => Some(ComponentEvent::Closed),
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn on_header(&mut self, header: &Header) -> Result<(), ConnectError> {
        if let Some(from) = header.from()
            && !self.is_domain(from)
        {
            let from = from.chars().take(MAX_SHOWN).collect();
            return Err(self.refused(HeaderError::From { from }.into()));
        }
        // A second header comes after no answer of ours.
        let (Some(id), Some(secret)) = (header.id(), self.secret.take()) else {
            let why = "its stream has no id, which the proof is made of";
            return Err(ConnectError::protocol(self.during(), why));
        };
        // XEP-0114 §3: lower-case hexadecimal digits, of the id as it is without escapes.
        let digest = Sha1::new_with_prefix(id.as_bytes()).chain_update(secret.as_bytes());
        let proof = hex(&digest.finalize());
        let handshake = format!("<handshake>{proof}</handshake>");
        self.flow.out().extend_from_slice(handshake.as_bytes());
        Ok(())
    }

    fn on_answer(&mut self, element: &Element) -> Result<ComponentEvent, ConnectError> {
        if element.is("handshake", COMPONENT) {
            self.flow.open();
            return Ok(ComponentEvent::Opened);
        }
        let name: String = element.name.chars().take(MAX_SHOWN).collect();
        let why = format!("an unexpected <{name}/>");
        Err(ConnectError::protocol(self.during(), why))
    }

    fn on_stanza(&self, octets: &[u8]) -> Option<ComponentEvent> {
        let octets = content::from_component(octets)?;
        match self.is_ours(&octets) {
            true => None,
            false => Some(ComponentEvent::Stanza(octets)),
        }
    }

    /// Whether it is a request to ourselves, or what the server makes of it.
    fn is_ours(&self, octets: &Bytes) -> bool {
        if self.pings == 0 || !octets.starts_with(b"<iq") {
            return false;
        }
        let Ok(stanza) = Stanza::read(octets) else {
            return false;
        };
        let id = stanza.id.unwrap_or_default();
        let number = id
            .strip_prefix(PING)
            .and_then(|number| number.parse::<u32>().ok());
        let from = stanza.from.as_ref().map(Address::as_str);
        // Nobody else can send from here.
        stanza.kind == Kind::Iq
            && number.is_some_and(|number| number <= self.pings)
            && from.is_some_and(|from| self.is_domain(from))
    }

    /// A wrong secret is told by a stream error.
    fn stopped(&self, error: StreamError) -> ConnectError {
        if !self.is_open() && error.condition == "not-authorized" {
            return ConnectError::Authentication {
                account: self.domain.to_string(),
                condition: error.condition,
                text: error.text,
            };
        }
        ConnectError::Stream(error)
    }

    fn ended(&mut self) -> ConnectError {
        let during = self.during();
        if self.is_open() {
            self.flow.end();
        }
        let why = "the server ended the stream without giving a reason";
        ConnectError::broken(during, why)
    }

    fn refused(&self, fault: Fault) -> ConnectError {
        fault.during(self.during())
    }

    fn during(&self) -> &'static str {
        match self.flow.is_negotiating() {
            true => LOGIN,
            false => DURING,
        }
    }

    fn is_domain(&self, name: &str) -> bool {
        let domain = self.domain.as_str();
        name == domain || normalised(name).is_ok_and(|name| name.as_str() == domain)
    }

    /// Whether a stanza may be sent now. Room comes back as stanzas leave.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.flow.has_room(&self.manage)
    }

    /// Sends one stanza, which `write` appends: exactly one element, in `jabber:client`, from an address of the domain, and to
    /// somebody. Call it only while there [is room](Self::has_room).
    ///
    /// # Errors
    /// The stanza is not sent: servers end the stream of a component that pretends to be somebody else.
    pub fn send_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), SendError> {
        let mut octets = Vec::new();
        write(&mut octets);
        let octets = self.checked(&octets)?;
        self.send_checked(&octets)
    }

    /// A stanza as it goes to the server.
    pub(crate) fn checked(&self, octets: &[u8]) -> Result<Vec<u8>, SendError> {
        send::checked(octets, |from| self.is_domain(from))
    }

    /// Sends what was [checked](Self::checked).
    pub(crate) fn send_checked(&mut self, octets: &[u8]) -> Result<(), SendError> {
        let write = |out: &mut Vec<u8>| out.extend_from_slice(octets);
        let sent = self.flow.send_with(&self.manage, None, write);
        sent.map_err(|why| match why {
            NotSent::NotNow | NotSent::TooLong { .. } => SendError::NotNow,
        })
    }

    /// Octets for the server, which are to be sent whole before any other: at most 128 KiB. `None`: there are none now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<&[u8]> {
        self.flow.poll_transmit(now, &mut self.manage)
    }

    /// Gives memory back that a burst has left, while little happens.
    pub fn shrink(&mut self) {
        self.flow.shrink(&self.manage);
    }

    /// The next moment at which something is to be done: [`handle_timeout`](Self::handle_timeout), then
    /// [`poll_transmit`](Self::poll_transmit).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flow.poll_timeout(&self.manage)
    }

    /// Tells the time.
    ///
    /// # Errors
    /// The server has been silent for too long. It is the end of the stream.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectError> {
        match self.flow.expire(now, &self.manage) {
            None => Ok(()),
            Some(Silence::Ask) => {
                self.ping();
                Ok(())
            }
            Some(Silence::Dead) => {
                let seconds = (SILENCE + PATIENCE).as_secs();
                let why = format!("the server has said nothing for {seconds} s");
                self.flow.give_up();
                Err(ConnectError::broken(DURING, why))
            }
        }
    }

    /// Asks ourselves, because a component doesn't know the server's own name: the server brings the request back, or refuses it.
    fn ping(&mut self) {
        self.pings = self.pings.saturating_add(1);
        let (number, domain) = (self.pings, escaped(self.domain.as_str()));
        let ping = format!(
            "<iq from='{domain}' to='{domain}' id='{PING}{number}' type='get'><ping xmlns='{}'/></iq>",
            ns::PING
        );
        // Where nothing may be sent, the time of an answer runs out all the same.
        let _ = self.send_checked(ping.as_bytes());
    }

    /// Ends the stream behind what was sent. [`ComponentEvent::Closed`] follows when the server has ended it too.
    pub fn close(&mut self, now: Instant) {
        self.flow.close(now, &mut self.manage);
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inbound, outbound) = self.flow.waiting();
        f.debug_struct("Component")
            .field("domain", &self.domain)
            .field("open", &self.is_open())
            .field("inbound", &inbound)
            .field("outbound", &outbound)
            .finish_non_exhaustive()
    }
}

const LOGIN: &str = "while logging in";
const DURING: &str = "on the stream";

/// What the ids of requests to ourselves begin with.
const PING: &str = "xtls-link-alive-";

/// Characters of a server's names in errors.
const MAX_SHOWN: usize = 128;
