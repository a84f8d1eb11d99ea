//! One forwarded connection inside the tunnel, without I/O.

use crate::wire::{Cutter, Frame, HEADER, Place, Refusal, Violation, data_header, kind, write};

/// What an end asks for with the first frame of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Connect there.
    Connect(Place),
    /// Listen there, and name this number with each connection that comes, until this stream ends.
    Listen(u32, Place),
    /// A connection from there came to the listener of this number.
    Incoming(u32, Place),
}

/// What has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// The peer asks. Answer with [`Channel::accept`] or [`Channel::refuse`].
    Asked(Request),
    /// The peer has done what was asked for, at this place.
    Accepted(Place),
    /// It has not. Nothing follows.
    Refused(Refusal),
    /// Bytes of the connection.
    Data(&'a [u8]),
    /// The peer's direction has ended.
    End,
    /// The peer's connection broke, which is no end.
    Broken,
}

/// One end of a stream that carries a connection. What goes out is in the order of the calls.
#[derive(Debug)]
pub struct Channel {
    cutter: Cutter,
    inward: Inward,
    outward: Outward,
    wire: Vec<u8>,
}

/// What the peer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inward {
    Request,
    /// It has asked, and sends nothing before the answer.
    Asked,
    Answer,
    Open,
    Ended,
    /// Refused or broken: nothing more.
    Over,
}

/// What we may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outward {
    Waiting,
    Open,
    Ended,
}

impl Channel {
    /// The end that opened the stream, and asks for this.
    #[must_use]
    pub fn asking(request: &Request) -> Self {
        let mut wire = Vec::new();
        let frame = match request.clone() {
            Request::Connect(to) => Frame::Connect(to),
            Request::Listen(number, at) => Frame::Listen(number, at),
            Request::Incoming(number, from) => Frame::Incoming(number, from),
        };
        write(&mut wire, &frame);
        Self::new(Inward::Answer, wire)
    }

    /// The end that is asked.
    #[must_use]
    pub fn asked() -> Self {
        Self::new(Inward::Request, Vec::new())
    }

    fn new(inward: Inward, wire: Vec<u8>) -> Self {
        Self {
            cutter: Cutter::new(),
            inward,
            outward: Outward::Waiting,
            wire,
        }
    }

    /// Does what was asked for, at this place. Does nothing unless something was.
    pub fn accept(&mut self, at: Place) {
        if self.inward == Inward::Asked {
            write(&mut self.wire, &Frame::Accepted(at));
            (self.inward, self.outward) = (Inward::Open, Outward::Open);
        }
    }

    /// Does not do what was asked for. Does nothing unless something was.
    pub fn refuse(&mut self, refusal: Refusal) {
        if self.inward == Inward::Asked {
            write(&mut self.wire, &Frame::Refused(refusal));
            (self.inward, self.outward) = (Inward::Over, Outward::Ended);
        }
    }

    /// The header for the next bytes of ours, which must follow it; `None` if there is nobody for them or they do not fit.
    pub fn data(&mut self, length: usize) -> Option<[u8; HEADER]> {
        (self.outward == Outward::Open)
            .then(|| data_header(length))
            .flatten()
    }

    /// Our direction has ended.
    pub fn end(&mut self) {
        if self.outward == Outward::Open {
            write(&mut self.wire, &Frame::End);
            self.outward = Outward::Ended;
        }
    }

    /// Our connection broke, which the peer does not mistake for an end.
    pub fn fail(&mut self) {
        if self.outward == Outward::Open {
            write(&mut self.wire, &Frame::Broken);
        }
        (self.inward, self.outward) = (Inward::Over, Outward::Ended);
    }

    /// What is to be sent now, apart from data: a few short frames at most.
    pub fn poll_wire(&mut self) -> Option<Vec<u8>> {
        (!self.wire.is_empty()).then(|| std::mem::take(&mut self.wire))
    }

    /// The next event of what came, taken off the front of `wire`; `None` when that is used up.
    ///
    /// # Errors
    /// What the peer did against the protocol, which is the end of the stream.
    pub fn handle_wire<'a>(&mut self, wire: &mut &'a [u8]) -> Result<Option<Event<'a>>, Violation> {
        match self.cutter.next(wire)? {
            None => Ok(None),
            Some(frame) => self.handle(frame).map(Some),
        }
    }

    fn handle<'a>(&mut self, frame: Frame<'a>) -> Result<Event<'a>, Violation> {
        let order = Violation::Order(kind(&frame));
        let (next, event) = match (self.inward, frame) {
            (Inward::Request, Frame::Connect(to)) => {
                (Inward::Asked, Event::Asked(Request::Connect(to)))
            }
            (Inward::Request, Frame::Listen(number, at)) => {
                (Inward::Asked, Event::Asked(Request::Listen(number, at)))
            }
            (Inward::Request, Frame::Incoming(number, from)) => {
                (Inward::Asked, Event::Asked(Request::Incoming(number, from)))
            }
            (Inward::Answer, Frame::Accepted(at)) => {
                self.outward = Outward::Open;
                (Inward::Open, Event::Accepted(at))
            }
            (Inward::Answer, Frame::Refused(refusal)) => {
                self.outward = Outward::Ended;
                (Inward::Over, Event::Refused(refusal))
            }
            (Inward::Open, Frame::Data(bytes)) => (Inward::Open, Event::Data(bytes)),
            (Inward::Open, Frame::End) => (Inward::Ended, Event::End),
            (Inward::Open | Inward::Ended, Frame::Broken) => {
                self.outward = Outward::Ended;
                (Inward::Over, Event::Broken)
            }
            _ => return Err(order),
        };
        self.inward = next;
        Ok(event)
    }

    /// Whether our bytes may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outward == Outward::Open
    }

    /// Whether both directions have come to their ends, with nothing left to send: no cut, nothing broken.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.inward == Inward::Ended && self.outward == Outward::Ended && self.wire.is_empty()
    }
}

#[cfg(test)]
mod tests;
