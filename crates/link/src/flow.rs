//! What is the same on every XML stream, whoever is at its ends and however it was negotiated: octets are cut into elements,
//! stanzas leave in batches and are counted, silence is noticed, and it ends once.

mod kept;
mod outbound;
mod rest;

use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use xtls_framer::{Cutter, Frame, FrameError, Limits};
use xtls_stanza::{Element, ReadError};

use self::outbound::Outbound;
use self::rest::Rest;
use crate::alive::{Alive, Silence};
use crate::error::ConnectError;
use crate::header::{self, Header, HeaderError};
use crate::manage::Manage;
use crate::stream_error::StreamError;

#[cfg(test)]
pub(crate) use self::outbound::ROOM;

/// One stream, from the first header to the last end tag. What its elements mean is the business of its owner, who also owns the
/// counters of XEP-0198, which may outlive it.
pub(crate) struct Flow {
    /// The namespace of its stanzas.
    content: &'static str,
    phase: Phase,
    inbound: BytesMut,
    cutter: Cutter,
    /// Elements of the negotiation so far.
    elements: usize,
    outbound: Outbound,
    alive: Alive,
    rest: Rest,
}

enum Phase {
    /// The peer's header is due.
    Header,
    Negotiating(Header),
    Open(Header),
    /// Our end tag is written; the peer's is due.
    Closing,
    /// Both are.
    Closed,
}

/// What the peer says.
#[derive(Debug)]
pub(crate) enum Said {
    /// A stream begins.
    Header(Header),
    /// Before stanzas pass, any element, with its octets; then, one that is no stanza.
    Element(Element, Bytes),
    /// While stanzas pass, one of them, unread.
    Stanza(Bytes),
    /// It ends the stream, for a reason.
    Error(StreamError),
    /// It ends the stream.
    End,
    /// It ends the stream, which we have ended.
    Closed,
}

/// What a peer may not do on any stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error(transparent)]
    Cut(FrameError),
    #[error(transparent)]
    Unreadable(ReadError),
    #[error("<{name}/> of {len} bytes is no stanza, and longer than {MAX_OTHER}")]
    Long { name: String, len: usize },
    /// It would have to be counted, and nobody writes stanzas like that.
    #[error("a stanza with a prefix, <{0}/>")]
    Prefix(String),
    #[error("it does not come to an end")]
    Endless,
    #[error("it goes on before the stream is restarted")]
    Hasty,
}

impl Fault {
    /// As the reason why there is no connection.
    pub(crate) fn during(self, step: &'static str) -> ConnectError {
        match self {
            Self::Header(why) => ConnectError::Header { during: step, why },
            Self::Cut(_)
            | Self::Unreadable(_)
            | Self::Long { .. }
            | Self::Prefix(_)
            | Self::Endless
            | Self::Hasty => ConnectError::protocol(step, self),
        }
    }
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
    /// No stanza may be sent now: see [`Stream::has_room`](crate::Stream::has_room).
    #[error("no stanza may be sent now")]
    NotNow,
}

/// The way to stanzas.
impl Flow {
    /// A stream whose stanzas are in this namespace, before anything was said.
    pub(crate) fn new(content: &'static str, now: Instant) -> Self {
        Self {
            content,
            phase: Phase::Header,
            inbound: BytesMut::new(),
            cutter: header::cutter(),
            elements: 0,
            outbound: Outbound::new(),
            alive: Alive::new(now),
            rest: Rest::default(),
        }
    }

    /// Where to write what is no stanza, until stanzas pass.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        self.outbound.buffer()
    }

    /// The stream begins anew, with the peer's header, for which it waits until all that was written has left.
    pub(crate) fn restart(&mut self) -> Result<(), Fault> {
        self.check_nothing_follows()?;
        self.phase = Phase::Header;
        self.cutter = header::cutter();
        Ok(())
    }

    /// Overwrites what was written, which may hold a password.
    pub(crate) fn wipe(&mut self) {
        self.outbound.wipe();
    }

    /// Stanzas pass from now on.
    pub(crate) fn open(&mut self) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Negotiating(header) => Phase::Open(header),
            other @ (Phase::Header | Phase::Open(_) | Phase::Closing | Phase::Closed) => other,
        };
        // Depth is the strict reader's to judge, for one stanza at a time: here it would end the stream.
        let limits = Limits::default().max_len(MAX_STANZA).max_depth(u32::MAX);
        self.cutter = Cutter::new(limits);
        self.outbound.open();
    }

    /// Whether stanzas pass.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether the stream has begun and stanzas do not pass yet.
    pub(crate) fn is_negotiating(&self) -> bool {
        matches!(self.phase, Phase::Header | Phase::Negotiating(_))
    }

    /// Checks that the peer waits for the header of the new stream, however what it says is cut.
    fn check_nothing_follows(&mut self) -> Result<(), Fault> {
        if !self.inbound.iter().all(u8::is_ascii_whitespace) {
            return Err(Fault::Hasty);
        }
        self.inbound.clear();
        Ok(())
    }
}

/// What comes in.
impl Flow {
    /// The buffer that octets of the peer may be read into, behind what is there.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.inbound
    }

    /// Something has come.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.alive.heard(now);
        self.rest.moved(now);
    }

    /// The next thing that the peer says. `None`: more octets, please.
    pub(crate) fn next(&mut self) -> Result<Option<Said>, Fault> {
        match &self.phase {
            Phase::Closed => {
                self.inbound.clear();
                Ok(None)
            }
            Phase::Header => {
                if self.elements > 0 && !self.outbound.is_empty() {
                    self.check_nothing_follows()?;
                }
                let Some((header, taken)) = Header::find(&self.inbound)? else {
                    return Ok(None);
                };
                self.inbound.advance(taken);
                header.check(self.content)?;
                self.phase = Phase::Negotiating(header.clone());
                Ok(Some(Said::Header(header)))
            }
            Phase::Negotiating(_) | Phase::Open(_) | Phase::Closing => loop {
                match self.cutter.cut(&mut self.inbound) {
                    Ok(Some(frame)) => {
                        let said = self.on_frame(frame)?;
                        if said.is_some() {
                            return Ok(said);
                        }
                    }
                    Ok(None) => return Ok(None),
                    Err(FrameError::StrayEndTag { .. }) => return Ok(Some(self.on_end())),
                    Err(error) => return Err(Fault::Cut(error)),
                }
            },
        }
    }

    fn on_frame(&mut self, frame: Frame) -> Result<Option<Said>, Fault> {
        match &self.phase {
            Phase::Open(_) if matches!(frame.name(), "iq" | "message" | "presence") => {
                Ok(Some(Said::Stanza(frame.into_bytes())))
            }
            Phase::Open(header) => {
                let len = frame.as_bytes().len();
                let name = || frame.name().to_owned();
                if len > MAX_OTHER {
                    return Err(Fault::Long { name: name(), len });
                }
                let element = header.read(frame.as_bytes());
                let element = element.map_err(Fault::Unreadable)?;
                if let Some(error) = StreamError::read(&element) {
                    return Ok(Some(Said::Error(error)));
                }
                if element.ns == *self.content {
                    return Err(Fault::Prefix(name()));
                }
                Ok(Some(Said::Element(element, frame.into_bytes())))
            }
            Phase::Negotiating(header) => {
                self.elements += 1;
                if self.elements > MAX_ELEMENTS {
                    return Err(Fault::Endless);
                }
                let octets = frame.into_bytes();
                let element = header.read(&octets).map_err(Fault::Unreadable)?;
                Ok(Some(match StreamError::read(&element) {
                    Some(error) => Said::Error(error),
                    None => Said::Element(element, octets),
                }))
            }
            // What comes behind our end is nobody's any more, and is not acknowledged.
            Phase::Closing | Phase::Header | Phase::Closed => Ok(None),
        }
    }

    fn on_end(&mut self) -> Said {
        match &self.phase {
            Phase::Closing | Phase::Closed => {
                self.phase = Phase::Closed;
                Said::Closed
            }
            Phase::Header | Phase::Negotiating(_) | Phase::Open(_) => Said::End,
        }
    }
}

/// What goes out.
impl Flow {
    /// Whether a stanza may be sent now.
    pub(crate) fn has_room(&self, manage: &Manage) -> bool {
        self.is_open() && self.outbound.has_room() && manage.may_send() && manage.has_room()
    }

    /// Sends one stanza, which `write` appends, if it has no more than `limit` bytes.
    pub(crate) fn send_with(
        &mut self,
        manage: &Manage,
        limit: Option<usize>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), NotSent> {
        if !self.is_open() || !manage.may_send() {
            return Err(NotSent::NotNow);
        }
        self.outbound.stanza(limit, write)
    }

    /// Octets for the peer, which are to be sent whole before any other.
    pub(crate) fn poll_transmit(&mut self, now: Instant, manage: &mut Manage) -> Option<&[u8]> {
        let open = self.is_open();
        let octets = self.outbound.poll(now, manage, open);
        if octets.is_some() {
            self.rest.moved(now);
        }
        octets
    }

    /// Hands what was written to the account of what is unacknowledged.
    pub(crate) fn keep(&mut self, now: Instant, manage: &mut Manage) {
        self.outbound.keep(now, manage);
    }

    /// Writes what is no stanza, between stanzas, of which those before it are [kept](Self::keep).
    #[cfg(feature = "serve")]
    pub(crate) fn write(&mut self, octets: &[u8]) {
        self.outbound.write(octets);
    }

    /// Gives memory back that a burst has left, while little happens.
    pub(crate) fn shrink(&mut self, manage: &Manage) {
        if self.inbound.is_empty() && self.inbound.capacity() > outbound::IDLE {
            self.inbound = BytesMut::new();
        }
        self.outbound.shrink(manage);
    }

    /// The next moment at which something is to be done.
    pub(crate) fn poll_timeout(&self, manage: &Manage) -> Option<Instant> {
        if !self.is_open() {
            return None;
        }
        let due = [
            self.silence_timeout(),
            manage.poll_timeout(),
            self.rest.due(),
        ];
        due.into_iter().flatten().min()
    }

    /// The same for the peer's silence alone.
    pub(crate) fn silence_timeout(&self) -> Option<Instant> {
        self.is_open().then(|| self.alive.deadline())
    }

    /// What follows from the peer's silence, if anything. Memory that a burst has left is given back meanwhile.
    pub(crate) fn expire(&mut self, now: Instant, manage: &Manage) -> Option<Silence> {
        if self.rest.begins(now) {
            self.shrink(manage);
        }
        match self.is_open() {
            true => self.alive.expire(now),
            false => None,
        }
    }
}

/// How it ends.
impl Flow {
    /// Ends it behind what was sent.
    pub(crate) fn close(&mut self, now: Instant, manage: &mut Manage) {
        self.outbound.keep(now, manage);
        let open = match &self.phase {
            Phase::Header | Phase::Negotiating(_) => false,
            Phase::Open(_) => true,
            Phase::Closing | Phase::Closed => return,
        };
        // What a resumption brings again is not left behind.
        while !manage.may_send()
            && let Some(octets) = manage.poll(now)
        {
            self.outbound.write(&octets);
        }
        if let Some(octets) = manage.close() {
            self.outbound.write(&octets);
        }
        self.outbound.write(END);
        self.phase = match open {
            true => Phase::Closing,
            false => Phase::Closed,
        };
    }

    /// The peer has ended it, and so do we.
    pub(crate) fn end(&mut self) {
        self.out().extend_from_slice(END);
        self.phase = Phase::Closed;
    }

    /// Ends it with a stream error of ours, or without a word.
    pub(crate) fn fail(&mut self, error: Option<&[u8]>) {
        if let Some(error) = error {
            self.out().extend_from_slice(error);
            self.out().extend_from_slice(END);
        }
        self.phase = Phase::Closed;
    }

    /// It has ended by an error. What was sent may still leave.
    pub(crate) fn give_up(&mut self) {
        if self.is_negotiating() {
            // Part of a log-in, of which nothing may follow.
            self.outbound.forget();
        }
        self.phase = Phase::Closed;
    }

    /// Octets that have come and are not taken, and those that wait to be sent.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.inbound.len(), self.outbound.len())
    }
}

const END: &[u8] = b"</stream:stream>";

/// Elements of a negotiation.
pub(crate) const MAX_ELEMENTS: usize = 256;

/// The longest stanza that is taken: above what servers let through, below what hurts.
pub(crate) const MAX_STANZA: usize = 4 * 1024 * 1024;

/// The longest element that is no stanza: acknowledgements, stream errors.
pub(crate) const MAX_OTHER: usize = 4_096;
