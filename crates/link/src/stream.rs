//! One connection, from TLS to its end, without I/O.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use xtls_stanza::{disco, ns};

use crate::alive::{PATIENCE, SILENCE, Silence};
use crate::error::ConnectError;
use crate::flow::{Fault, Flow, Said};
use crate::negotiate::{CLIENT, Negotiation, Progress};
use crate::open_tag::open_tag;
use crate::requests::Purpose;
use crate::scram::{Exporter, Job, Keys};
use crate::session::{Session, Software};
use crate::stream_error::written;

pub use crate::flow::NotSent;
pub use crate::negotiate::Opened;

/// An XML stream with a server, as a client has it inside TLS (RFC 6120): log-in, resource or resumption, stanzas, end.
///
/// Octets go in by [`handle_bytes`](Self::handle_bytes), or straight into [`buffer`](Self::buffer), and come out of
/// [`poll_transmit`](Self::poll_transmit). What happens comes out of [`poll_event`](Self::poll_event), which takes one stanza
/// at a time off the buffer: a stanza that is taken counts as handled (XEP-0198), and whoever takes none holds the server back.
///
/// An error is the end of the connection. What outlives it is in the [`Session`], which
/// [`into_session`](Self::into_session) gives back for the next one.
pub struct Stream {
    session: Session,
    negotiation: Negotiation,
    flow: Flow,
}

/// What happens on a stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A stanza, whole and unread. It counts as handled from now on.
    Stanza(Bytes),
    /// A key is to be derived from the password, which takes a second at most: run the job somewhere, and give
    /// [`handle_keys`](Stream::handle_keys) what it returns.
    Derive(Job),
    /// Stanzas pass from now on.
    Opened(Opened),
    /// What kind of server it is, is known now: see [`Session::software`].
    Software,
    /// Both ends have closed the stream.
    Closed,
}

impl Stream {
    /// Begins a stream inside TLS. `exporter` is the channel binding of RFC 9266, where the version is 1.3.
    #[must_use]
    pub fn new(session: Session, exporter: Option<Exporter>, now: Instant) -> Self {
        let mut stream = Self {
            session,
            negotiation: Negotiation::new(exporter),
            flow: Flow::new(CLIENT, now),
        };
        stream.begin();
        stream
    }

    fn begin(&mut self) {
        let mut header = BytesMut::new();
        let account = self.session.account().as_str();
        open_tag(CLIENT, Some(account), self.session.domain(), &mut header);
        self.flow.out().extend_from_slice(&header);
    }

    /// What outlives the connection.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The longest stanza in bytes that the server says it takes (XEP-0478).
    #[must_use]
    pub fn stanza_limit(&self) -> Option<usize> {
        self.negotiation.stanza_limit()
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

    /// Takes what a job of [`Event::Derive`] has returned.
    pub fn handle_keys(&mut self, keys: Keys) {
        self.negotiation
            .on_keys(keys, &mut self.session, self.flow.out());
    }

    /// The next thing that happened. `None`: more octets, please.
    ///
    /// # Errors
    /// The connection is of no use any more. Nothing happens on it from then on.
    pub fn poll_event(&mut self, now: Instant) -> Result<Option<Event>, ConnectError> {
        let polled = self.next_event(now);
        if polled.is_err() {
            self.flow.give_up();
        }
        polled
    }

    fn next_event(&mut self, now: Instant) -> Result<Option<Event>, ConnectError> {
        loop {
            let said = self.flow.next().map_err(|fault| self.refused(fault))?;
            let event = match said {
                None => return Ok(None),
                Some(Said::Header(header)) => {
                    self.negotiation.on_header(&header, &self.session)?;
                    None
                }
                Some(Said::Stanza(octets)) => self.on_stanza(now, octets),
                Some(Said::Element(element, _)) if self.is_open() => {
                    let heard = self.session.manage_mut().handle(now, &element);
                    heard.map_err(ConnectError::Acknowledgement)?;
                    None
                }
                Some(Said::Element(element, octets)) => {
                    let (session, out) = (&mut self.session, self.flow.out());
                    let progress = self
                        .negotiation
                        .on_element(now, &element, &octets, session, out)?;
                    self.on_progress(progress)?
                }
                Some(Said::Error(error)) => {
                    if self.is_open() {
                        self.session.manage_mut().on_stream_error();
                    }
                    return Err(ConnectError::Stream(error));
                }
                Some(Said::End) => return Err(self.ended()),
                Some(Said::Closed) => Some(Event::Closed),
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn refused(&self, fault: Fault) -> ConnectError {
        fault.during(self.during())
    }

    fn during(&self) -> &'static str {
        match self.flow.is_negotiating() {
            true => self.negotiation.during(),
            false => DURING,
        }
    }

    fn on_progress(&mut self, progress: Progress) -> Result<Option<Event>, ConnectError> {
        match progress {
            Progress::Wait => Ok(None),
            Progress::Derive(job) => Ok(Some(Event::Derive(job))),
            Progress::Restart => {
                self.flow.restart().map_err(|fault| self.refused(fault))?;
                self.flow.wipe();
                self.begin();
                Ok(None)
            }
            Progress::LoggedIn(opened) => {
                self.flow.wipe();
                let opened = opened.map(Progress::Open);
                opened.map_or(Ok(None), |opened| self.on_progress(opened))
            }
            Progress::Open(opened) => {
                self.flow.open();
                Ok(Some(Event::Opened(opened)))
            }
        }
    }

    fn on_stanza(&mut self, now: Instant, octets: Bytes) -> Option<Event> {
        let manage = self.session.manage_mut();
        let arrival = manage.on_stanza();
        if !manage.on_stanza_taken(now, arrival) {
            return None;
        }
        match self.session.answered(&octets) {
            None => Some(Event::Stanza(octets)),
            Some((Purpose::Software, answer)) => {
                let elements = answer.elements().unwrap_or_default();
                let info = elements
                    .iter()
                    .find_map(|child| disco::Info::read(child).ok());
                let names = info.into_iter().flat_map(|info| info.identities);
                let mut names = names.filter_map(|identity| identity.name);
                let prosody = names.any(|name| name.to_ascii_lowercase().contains("prosody"));
                let answered = answer.type_.as_deref() == Some("result");
                self.session.learn(match (answered, prosody) {
                    (true, false) => Software::Other,
                    (true, true) => Software::Prosody,
                    (false, _) => Software::Unknown,
                });
                Some(Event::Software)
            }
            // To a ping an error is an answer as well.
            Some((Purpose::Session | Purpose::Ping, _)) => None,
        }
    }

    fn ended(&mut self) -> ConnectError {
        let during = self.during();
        if self.is_open() {
            self.flow.end();
        }
        let why = "the server ended the stream without giving a reason";
        ConnectError::broken(during, why)
    }

    /// Whether a stanza may be sent now. Room comes back as stanzas leave and are acknowledged.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.flow.has_room(self.session.manage())
    }

    /// Sends one stanza, which `write` appends: exactly one element, in `jabber:client`, as the default namespace. Call it
    /// only while there [is room](Self::has_room).
    ///
    /// # Errors
    /// The stanza is not sent, because it is too long for this server, or because none may be sent now.
    pub fn send_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), NotSent> {
        let limit = self.stanza_limit();
        self.flow.send_with(self.session.manage(), limit, write)
    }

    /// Asks the server what it is, unless that is known: [`Event::Software`] follows the answer.
    pub fn ask_for_software(&mut self) {
        if self.session.software() != Software::Unknown {
            return;
        }
        self.request(
            Purpose::Software,
            &format!("<query xmlns='{}'/>", ns::DISCO_INFO),
        );
    }

    fn request(&mut self, purpose: Purpose, what: &str) {
        let id = self.session.id_for(purpose);
        let domain = crate::open_tag::escaped(self.session.domain());
        let request = format!("<iq type='get' id='{id}' to='{domain}'>{what}</iq>");
        // It is far below what any server takes.
        let sent = self.send_with(|out| out.extend_from_slice(request.as_bytes()));
        if sent.is_ok() {
            self.session.asked(id, purpose);
        }
    }

    /// Octets for the server, which are to be sent whole before any other: at most 128 KiB. `None`: there are none now.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<&[u8]> {
        self.flow.poll_transmit(now, self.session.manage_mut())
    }

    /// Gives memory back that a burst has left, while little happens.
    pub fn shrink(&mut self) {
        self.flow.shrink(self.session.manage());
    }

    /// The next moment at which something is to be done: [`handle_timeout`](Self::handle_timeout), then
    /// [`poll_transmit`](Self::poll_transmit).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flow.poll_timeout(self.session.manage())
    }

    /// The same for the server's silence alone, while nothing can be sent.
    #[must_use]
    pub fn silence_timeout(&self) -> Option<Instant> {
        self.flow.silence_timeout()
    }

    /// Tells the time.
    ///
    /// # Errors
    /// The server has been silent for too long, or takes nothing in. It is the end of the stream.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectError> {
        if let Err(fault) = self.session.manage_mut().handle_timeout(now) {
            self.flow.give_up();
            return Err(ConnectError::Acknowledgement(fault));
        }
        match self.flow.expire(now, self.session.manage()) {
            None => Ok(()),
            Some(Silence::Ask) => {
                if !self.session.manage_mut().ask(now) {
                    self.request(Purpose::Ping, &format!("<ping xmlns='{}'/>", ns::PING));
                }
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

    /// Ends the stream behind what was sent. The session ends with it. [`Event::Closed`] follows when the server has ended it
    /// too.
    pub fn close(&mut self, now: Instant) {
        self.flow.close(now, self.session.manage_mut());
    }

    /// Ends it with a stream error of ours (XEP-0198 §6 wants one where the server miscounts).
    pub fn fail(&mut self, why: &ConnectError) {
        let error = if let ConnectError::Acknowledgement(fault) = why {
            let detail = fault.detail();
            Some(written("undefined-condition", detail.as_ref()))
        } else {
            None
        };
        self.flow.fail(error.as_deref());
    }

    /// The connection is gone.
    #[must_use]
    pub fn into_session(mut self, now: Instant) -> Session {
        self.flow.keep(now, self.session.manage_mut());
        self.negotiation.on_disconnected(&mut self.session);
        self.session.manage_mut().on_disconnected(now);
        self.session
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inbound, outbound) = self.flow.waiting();
        f.debug_struct("Stream")
            .field("session", &self.session)
            .field("open", &self.is_open())
            .field("inbound", &inbound)
            .field("outbound", &outbound)
            .finish_non_exhaustive()
    }
}

const DURING: &str = "on the stream";
