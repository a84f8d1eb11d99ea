//! Stanzas that have come out of the tunnel, from bytes to frames.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use xtls_framer::{Cutter, Frame, Limits};
use xtls_stanza::verify::Step;
use xtls_stanza::{PayloadError, ReadError, Stanza, ns};

use crate::event::Why;

/// Longest request that is looked at before its turn, and most that may be on its way out then, in bytes.
pub(super) const SMALL: usize = 512;

/// Cuts what was decrypted into stanzas, and keeps those whose turn has not come.
#[derive(Debug)]
pub(super) struct StanzaReader {
    /// Decrypted bytes. Stanzas are cut off its front.
    plain: BytesMut,
    cutter: Cutter,
    /// Whole stanzas that were cut off before their turn, and how many bytes they have.
    ahead: VecDeque<Bytes>,
    ahead_bytes: usize,
    front: Front,
    responder: Responder,
}

/// What is known of the stanza at the front of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Front {
    Unknown,
    /// It is not whole, however long it is.
    Unfinished,
}

/// What a responder has shown of its verdict on our key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Responder {
    Undecided,
    Accepts,
}

/// A step of a verification, or what should have been one, and the stanza that it came in.
pub(super) type Received = (Stanza, Result<Step, PayloadError>);

impl StanzaReader {
    pub(super) fn new(plain: BytesMut, limits: Limits) -> Self {
        Self {
            plain,
            cutter: Cutter::new(limits),
            ahead: VecDeque::new(),
            ahead_bytes: 0,
            front: Front::Unknown,
            responder: Responder::Undecided,
        }
    }

    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        self.front = Front::Unknown;
        &mut self.plain
    }

    /// A stanza larger than the backlog gets through all the same.
    pub(super) fn wants_more(&self, backlog: usize) -> bool {
        self.front == Front::Unfinished
            || self.plain.len().saturating_add(self.ahead_bytes) < backlog
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.responder == Responder::Accepts
    }

    pub(super) fn is_torn(&self) -> bool {
        self.cutter.finish(&self.plain).is_err()
    }

    pub(super) fn release(&mut self) {
        if self.plain.is_empty() {
            self.plain = BytesMut::new();
            self.ahead = VecDeque::new();
        }
    }

    /// The next whole stanza, in its turn.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Why> {
        if let Some(frame) = self.ahead.pop_front() {
            self.ahead_bytes = self.ahead_bytes.saturating_sub(frame.len());
            return Ok(Some(frame));
        }
        // First, so that it is the same fault in any cutting.
        if let Some(error) = self.begins_wrong() {
            return Err(Why::Xml(error));
        }
        let frame = self.cutter.cut(&mut self.plain).map_err(Why::Framing)?;
        if frame.is_none() {
            self.front = Front::Unfinished;
        }
        Ok(frame.map(Frame::into_bytes))
    }

    /// Why what has begun can be no stanza, if it cannot: the end of a start tag of a stream, say, would be waited for in vain.
    fn begins_wrong(&self) -> Option<ReadError> {
        let name = self.plain.trim_ascii_start().strip_prefix(b"<")?;
        let end = name
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>'));
        let local = name.get(..end?)?.rsplit(|byte| *byte == b':').next()?;
        match local {
            [] | [b'!' | b'?', ..] | b"message" | b"presence" | b"iq" => None,
            other => Stanza::read(&[b"<", other, b"/>"].concat().into()).err(),
        }
    }

    /// The next step of a verification that has come while we are `judging`: all else waits until the session is open.
    pub(super) fn next_step_while_judging(
        &mut self,
        responds: Responds,
    ) -> Result<Option<Received>, Why> {
        loop {
            self.watch(responds);
            match self.cut_step()? {
                Sorted::Step(step) => return Ok(Some(*step)),
                Sorted::Other => {}
                Sorted::Nothing => return Ok(None),
            }
        }
    }

    /// The next step of a verification that has come before the responder's verdict. A responder that sends more than steps has given it.
    pub(super) fn next_step_until_confirmed(
        &mut self,
        responds: Responds,
    ) -> Result<Option<Received>, Why> {
        loop {
            self.watch(responds);
            if self.plain.is_empty() || self.is_confirmed() {
                return Ok(None);
            }
            match self.cut_step()? {
                Sorted::Step(step) => return Ok(Some(*step)),
                Sorted::Other => self.responder = Responder::Accepts,
                Sorted::Nothing => {
                    self.front = Front::Unfinished;
                    return Ok(None);
                }
            }
        }
    }

    /// White space is the confirmation. The letter has none of its own, so that anything counts as one.
    fn watch(&mut self, responds: Responds) {
        let white = match self.plain.first() {
            Some(first) => matches!(first, b' ' | b'\t' | b'\r' | b'\n'),
            None => return,
        };
        match responds {
            Responds::Here => {}
            Responds::There if white => self.responder = Responder::Accepts,
            Responds::There => {}
            Responds::ThereWithoutConfirmation => self.responder = Responder::Accepts,
        }
    }

    fn cut_step(&mut self) -> Result<Sorted, Why> {
        if self.plain.is_empty() {
            return Ok(Sorted::Nothing);
        }
        let Some(frame) = self.cutter.cut(&mut self.plain).map_err(Why::Framing)? else {
            return Ok(Sorted::Nothing);
        };
        let frame = frame.into_bytes();
        let stanza = Stanza::read(&frame).ok();
        match stanza.and_then(|stanza| Some((Step::in_stanza(&stanza)?, stanza))) {
            Some((step, stanza)) => Ok(Sorted::Step(Box::new((stanza, step)))),
            None => {
                self.hold(frame);
                Ok(Sorted::Other)
            }
        }
    }

    /// The next whole stanza before its turn, for [`hold`](Self::hold) or to be answered.
    pub(super) fn cut_ahead(&mut self) -> Option<Bytes> {
        // An error is met again when the owner asks, after what came before it.
        let frame = self.cutter.cut(&mut self.plain).ok()??;
        Some(frame.into_bytes())
    }

    /// Keeps a stanza until its turn comes.
    pub(super) fn hold(&mut self, frame: Bytes) {
        self.ahead_bytes = self.ahead_bytes.saturating_add(frame.len());
        self.ahead.push_back(frame);
    }
}

/// Who responds, and by what it shows that it accepts the initiator's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Responds {
    Here,
    There,
    ThereWithoutConfirmation,
}

/// What was cut off the buffer.
enum Sorted {
    Step(Box<Received>),
    /// Something else, which is held.
    Other,
    /// There is nothing whole.
    Nothing,
}

/// Whether a frame may be a ping, and so be worth a closer look.
pub(super) fn is_small_ping(frame: &[u8]) -> bool {
    let needle = ns::PING.as_bytes();
    frame.len() <= SMALL
        && frame.starts_with(b"<iq")
        && frame.windows(needle.len()).any(|window| window == needle)
}
