//! One connection, from TLS to its end, without I/O.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use xtls_framer::{Cutter, Frame, FrameError, Limits};
use xtls_stanza::{disco, ns};
use zeroize::Zeroize as _;

use crate::alive::{Alive, PATIENCE, SILENCE, Silence};
use crate::error::ConnectError;
use crate::header::{self, Header};
use crate::negotiate::{CLIENT, Negotiation, Progress};
use crate::open_tag::open_tag;
use crate::requests::Purpose;
use crate::scram::{Exporter, Job, Keys};
use crate::session::{Session, Software};
use crate::stream_error::StreamError;

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
    phase: Phase,
    inbound: BytesMut,
    cutter: Cutter,
    /// Elements of the negotiation so far.
    elements: usize,
    out: Vec<u8>,
    /// Where stanzas begin in `out`, and where each of them ends, counted from there.
    first: usize,
    ends: Vec<usize>,
    /// What is being given out, and how much of it was.
    batch: Vec<u8>,
    given: usize,
    /// What is kept until it is acknowledged lies in pieces of this.
    kept: BytesMut,
    alive: Alive,
}

#[derive(Debug)]
enum Phase {
    /// The server's header is due.
    Header,
    Negotiating(Header),
    Open(Header),
    /// Our end tag is written; the server's is due.
    Closing,
    /// Both are.
    Closed,
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

/// Why a stanza was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// The server does not take stanzas as long as this one.
    #[error("a stanza of {len} bytes, and the server takes {limit} (XEP-0478)")]
    TooLong {
        /// Its bytes.
        len: usize,
        /// The most that the server says it takes.
        limit: usize,
    },
    /// No stanza may be sent now: see [`Stream::has_room`].
    #[error("no stanza may be sent now")]
    NotNow,
}

impl Stream {
    /// Begins a stream inside TLS. `exporter` is the channel binding of RFC 9266, where the version is 1.3.
    #[must_use]
    pub fn new(session: Session, exporter: Option<Exporter>, now: Instant) -> Self {
        let mut stream = Self {
            session,
            negotiation: Negotiation::new(exporter),
            phase: Phase::Header,
            inbound: BytesMut::new(),
            cutter: header::cutter(),
            elements: 0,
            // With room for all of a log-in, so that no octets of it stay behind where they once were.
            out: Vec::with_capacity(LOG_IN),
            first: 0,
            ends: Vec::new(),
            batch: Vec::with_capacity(LOG_IN),
            given: 0,
            kept: BytesMut::new(),
            alive: Alive::new(now),
        };
        stream.begin();
        stream
    }

    fn begin(&mut self) {
        let mut header = BytesMut::new();
        let account = self.session.account().as_str();
        open_tag(CLIENT, Some(account), self.session.domain(), &mut header);
        self.out.extend_from_slice(&header);
        self.phase = Phase::Header;
        self.cutter = header::cutter();
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
        matches!(self.phase, Phase::Open(_))
    }

    /// The buffer that octets of the server may be read into, behind what is there; [`heard`](Self::heard) follows.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.inbound
    }

    /// Something has been put into the [`buffer`](Self::buffer).
    pub fn heard(&mut self, now: Instant) {
        self.alive.heard(now);
    }

    /// Takes octets of the server, in any pieces.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.inbound.extend_from_slice(bytes);
        self.heard(now);
    }

    /// Takes what a job of [`Event::Derive`] has returned.
    pub fn handle_keys(&mut self, keys: Keys) {
        self.negotiation
            .on_keys(keys, &mut self.session, &mut self.out);
    }

    /// The next thing that happened. `None`: more octets, please.
    ///
    /// # Errors
    /// The connection is of no use any more. Nothing happens on it from then on.
    pub fn poll_event(&mut self, now: Instant) -> Result<Option<Event>, ConnectError> {
        let polled = self.next_event(now);
        if polled.is_err() {
            self.give_up();
        }
        polled
    }

    /// It has ended by an error. What was sent may still leave.
    fn give_up(&mut self) {
        if !self.is_open() {
            // Part of a log-in, of which nothing may follow.
            self.out.zeroize();
        }
        self.phase = Phase::Closed;
    }

    fn next_event(&mut self, now: Instant) -> Result<Option<Event>, ConnectError> {
        loop {
            match &self.phase {
                Phase::Closed => {
                    self.inbound.clear();
                    return Ok(None);
                }
                Phase::Header => {
                    if self.elements > 0 && !self.out.is_empty() {
                        self.check_nothing_follows()?;
                    }
                    let found =
                        Header::find(&self.inbound).map_err(|why| ConnectError::Header {
                            during: self.negotiation.during(),
                            why,
                        })?;
                    let Some((header, taken)) = found else {
                        return Ok(None);
                    };
                    self.inbound.advance(taken);
                    self.negotiation.on_header(&header, &self.session)?;
                    self.phase = Phase::Negotiating(header);
                }
                Phase::Negotiating(_) | Phase::Open(_) | Phase::Closing => {
                    let frame = match self.cutter.cut(&mut self.inbound) {
                        Ok(Some(frame)) => frame,
                        Ok(None) => return Ok(None),
                        Err(FrameError::StrayEndTag { .. }) => return self.on_end().map(Some),
                        Err(error) => return Err(ConnectError::protocol(DURING, error)),
                    };
                    if let Some(event) = self.on_frame(now, frame)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    fn on_frame(&mut self, now: Instant, frame: Frame) -> Result<Option<Event>, ConnectError> {
        let stanza = matches!(frame.name(), "iq" | "message" | "presence");
        match &self.phase {
            Phase::Open(_) if stanza => Ok(self.on_stanza(now, frame.into_bytes())),
            Phase::Open(header) => {
                let octets = frame.as_bytes();
                if octets.len() > MAX_OTHER {
                    let (name, len) = (frame.name(), octets.len());
                    let why = format!(
                        "<{name}/> of {len} bytes is no stanza, and longer than {MAX_OTHER}"
                    );
                    return Err(ConnectError::protocol(DURING, why));
                }
                let element = header
                    .read(octets)
                    .map_err(|why| ConnectError::protocol(DURING, why))?;
                if let Some(error) = StreamError::read(&element) {
                    self.session.manage_mut().on_stream_error();
                    return Err(ConnectError::Stream(error));
                }
                // It would have to be counted, and nobody writes stanzas like that.
                if element.ns == CLIENT {
                    let why = format!("a stanza with a prefix, <{}/>", frame.name());
                    return Err(ConnectError::protocol(DURING, why));
                }
                let heard = self.session.manage_mut().handle(now, &element);
                heard.map(|_| None).map_err(ConnectError::Acknowledgement)
            }
            Phase::Negotiating(header) => {
                self.elements += 1;
                if self.elements > MAX_ELEMENTS {
                    return Err(ConnectError::protocol(
                        self.negotiation.during(),
                        "it does not come to an end",
                    ));
                }
                let octets = frame.into_bytes();
                let element = header.read(&octets);
                let element = element
                    .map_err(|why| ConnectError::protocol(self.negotiation.during(), why))?;
                if let Some(error) = StreamError::read(&element) {
                    return Err(ConnectError::Stream(error));
                }
                let (session, out) = (&mut self.session, &mut self.out);
                let progress = self
                    .negotiation
                    .on_element(now, &element, &octets, session, out)?;
                self.on_progress(progress)
            }
            // What comes behind our end is nobody's any more, and is not acknowledged.
            Phase::Closing | Phase::Header | Phase::Closed => Ok(None),
        }
    }

    fn on_progress(&mut self, progress: Progress) -> Result<Option<Event>, ConnectError> {
        match progress {
            Progress::Wait => Ok(None),
            Progress::Derive(job) => Ok(Some(Event::Derive(job))),
            Progress::Restart => {
                self.check_nothing_follows()?;
                // The password may have been in them.
                self.out.zeroize();
                self.batch.zeroize();
                self.begin();
                Ok(None)
            }
            Progress::Open(opened) => {
                if let Phase::Negotiating(header) =
                    std::mem::replace(&mut self.phase, Phase::Closed)
                {
                    self.phase = Phase::Open(header);
                }
                // Depth is the strict reader's to judge, for one stanza at a time: here it would end the stream.
                let limits = Limits::default().max_len(MAX_STANZA).max_depth(u32::MAX);
                self.cutter = Cutter::new(limits);
                self.first = self.out.len();
                Ok(Some(Event::Opened(opened)))
            }
        }
    }

    /// Checks that the server waits for the header of the new stream, however what it says is cut.
    fn check_nothing_follows(&mut self) -> Result<(), ConnectError> {
        if !self.inbound.iter().all(u8::is_ascii_whitespace) {
            let why = "it goes on before the stream is restarted";
            return Err(ConnectError::protocol(self.negotiation.during(), why));
        }
        self.inbound.clear();
        Ok(())
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

    fn on_end(&mut self) -> Result<Event, ConnectError> {
        match &self.phase {
            Phase::Closing | Phase::Closed => {
                self.phase = Phase::Closed;
                Ok(Event::Closed)
            }
            Phase::Open(_) => {
                self.out.extend_from_slice(END);
                Err(ConnectError::broken(
                    DURING,
                    "the server ended the stream without giving a reason",
                ))
            }
            Phase::Header | Phase::Negotiating(_) => Err(ConnectError::broken(
                self.negotiation.during(),
                "the server ended the stream without giving a reason",
            )),
        }
    }

    /// Whether a stanza may be sent now. Room comes back as stanzas leave and are acknowledged.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let manage = self.session.manage();
        self.is_open() && self.out.len() < ROOM && manage.may_send() && manage.has_room()
    }

    /// Sends one stanza, which `write` appends: exactly one element, in `jabber:client`, as the default namespace. Call it
    /// only while there [is room](Self::has_room).
    ///
    /// # Errors
    /// The stanza is not sent, because it is too long for this server, or because none may be sent now.
    pub fn send_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), NotSent> {
        if !self.is_open() || !self.session.manage().may_send() {
            return Err(NotSent::NotNow);
        }
        let start = self.out.len();
        write(&mut self.out);
        let len = self.out.len().saturating_sub(start);
        if let Some(limit) = self.stanza_limit().filter(|limit| len > *limit) {
            self.out.truncate(start);
            return Err(NotSent::TooLong { len, limit });
        }
        if len > 0 {
            self.ends.push(self.out.len().saturating_sub(self.first));
        }
        Ok(())
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
        if self.given == self.batch.len() {
            self.next_batch(now);
        }
        let rest = self.batch.get(self.given..)?;
        let octets = rest.get(..BATCH).unwrap_or(rest);
        self.given += octets.len();
        (!octets.is_empty()).then_some(octets)
    }

    fn next_batch(&mut self, now: Instant) {
        self.keep(now);
        // Behind our end nothing may follow.
        if self.is_open() {
            while self.out.len() < BATCH
                && let Some(octets) = self.session.manage_mut().poll(now)
            {
                self.out.extend_from_slice(&octets);
            }
        }
        std::mem::swap(&mut self.out, &mut self.batch);
        self.out.clear();
        self.first = 0;
        self.given = 0;
    }

    /// Gives memory back that a burst has left, while little happens.
    pub fn shrink(&mut self) {
        if self.inbound.is_empty() && self.inbound.capacity() > IDLE {
            self.inbound = BytesMut::new();
        }
        if self.out.is_empty() && self.given == self.batch.len() {
            for buffer in [&mut self.out, &mut self.batch] {
                buffer.clear();
                buffer.shrink_to(IDLE);
            }
            self.given = 0;
        }
        if self.session.manage().longest_unacked() == 0 {
            self.kept = BytesMut::new();
        }
    }

    /// Hands what was written to the account of what is unacknowledged.
    fn keep(&mut self, now: Instant) {
        // The end of the stream may follow them.
        if let Some(len) = self.ends.last() {
            let stanzas = self.out.get(self.first..).unwrap_or_default();
            let stanzas = stanzas.get(..*len).unwrap_or(stanzas);
            if self.kept.capacity() < stanzas.len() {
                let len = stanzas.len().saturating_mul(8).clamp(KEPT, BATCH);
                self.kept = BytesMut::with_capacity(len.max(stanzas.len()));
            }
            self.kept.extend_from_slice(stanzas);
            let octets = self.kept.split().freeze();
            self.session.manage_mut().on_sent(now, octets, &self.ends);
            self.ends.clear();
        }
        self.first = self.out.len();
    }

    /// The next moment at which something is to be done: [`handle_timeout`](Self::handle_timeout), then
    /// [`poll_transmit`](Self::poll_transmit).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.is_open() {
            return None;
        }
        let due = [self.silence_timeout(), self.session.manage().poll_timeout()];
        due.into_iter().flatten().min()
    }

    /// The same for the server's silence alone, while nothing can be sent.
    #[must_use]
    pub fn silence_timeout(&self) -> Option<Instant> {
        self.is_open().then(|| self.alive.deadline())
    }

    /// Tells the time.
    ///
    /// # Errors
    /// The server has been silent for too long. It is the end of the stream.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ConnectError> {
        if !self.is_open() {
            return Ok(());
        }
        match self.alive.expire(now) {
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
                self.give_up();
                Err(ConnectError::broken(DURING, why))
            }
        }
    }

    /// Ends the stream behind what was sent. The session ends with it. [`Event::Closed`] follows when the server has ended it
    /// too.
    pub fn close(&mut self, now: Instant) {
        self.keep(now);
        let open = match &self.phase {
            Phase::Header | Phase::Negotiating(_) => false,
            Phase::Open(_) => true,
            Phase::Closing | Phase::Closed => return,
        };
        // What a resumption brings again is not left behind.
        while !self.session.manage().may_send()
            && let Some(octets) = self.session.manage_mut().poll(now)
        {
            self.out.extend_from_slice(&octets);
        }
        if let Some(octets) = self.session.manage_mut().close() {
            self.out.extend_from_slice(&octets);
        }
        self.out.extend_from_slice(END);
        self.first = self.out.len();
        self.phase = match open {
            true => Phase::Closing,
            false => Phase::Closed,
        };
    }

    /// Ends it with a stream error of ours (XEP-0198 §6 wants one where the server miscounts).
    pub fn fail(&mut self, why: &ConnectError) {
        if let ConnectError::Acknowledgement(fault) = why {
            let mut error =
                b"<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                    .to_vec();
            if let Some(detail) = fault.detail() {
                detail.write("", &mut error);
            }
            self.out.extend_from_slice(&error);
            self.out.extend_from_slice(b"</stream:error>");
            self.out.extend_from_slice(END);
        }
        self.phase = Phase::Closed;
    }

    /// The connection is gone.
    #[must_use]
    pub fn into_session(mut self, now: Instant) -> Session {
        self.keep(now);
        self.session.manage_mut().on_disconnected(now);
        self.session
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("session", &self.session)
            .field("open", &self.is_open())
            .field("inbound", &self.inbound.len())
            .field("outbound", &self.out.len())
            .finish_non_exhaustive()
    }
}

const DURING: &str = "on the stream";
const END: &[u8] = b"</stream:stream>";

/// Elements of a negotiation.
const MAX_ELEMENTS: usize = 256;

/// The longest stanza that is taken: above what servers let through, below what hurts.
const MAX_STANZA: usize = 4 * 1024 * 1024;

/// The longest element that is no stanza: acknowledgements, stream errors.
const MAX_OTHER: usize = 4_096;

/// Octets that wait to be sent, beyond which there is no room for a stanza.
const ROOM: usize = 65_536;

/// Octets that leave at once, beyond which nothing is added that can wait.
const BATCH: usize = 128 * 1024;

/// What a buffer may hold while little happens.
const IDLE: usize = 4_096;

/// What is set aside at least for octets that are kept.
const KEPT: usize = 4_096;

/// More than the octets of any log-in.
const LOG_IN: usize = 4_096;
