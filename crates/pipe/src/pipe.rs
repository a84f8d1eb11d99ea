//! The state of a pipe, without I/O.

use crate::error::{Broken, Fault, Missing};
use crate::frame::{COMMAND, Cutter, DATA, Exit, HEADER, Item, Stop, TAKES_NOTHING, header, write};

/// What this side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// It takes data. Without, the peer is told so in the first frame.
    pub takes: bool,
    /// Its input is the output of a command, and how that one exited follows: [`Pipe::exit`].
    pub command: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            takes: true,
            command: false,
        }
    }
}

/// Bytes so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Read from our input and sent.
    pub sent: u64,
    /// The part of it that the peer's application is known to have taken.
    pub taken: u64,
    /// Received, and written and flushed here.
    pub received: u64,
}

/// How a pipe has ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes each way.
    pub traffic: Traffic,
    /// How the peer's command has exited, if it ran one.
    pub exit: Option<Exit>,
}

/// What has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// Bytes for the application. Say with [`Pipe::took`] when it has them.
    Data(&'a [u8]),
    /// There will be no more. Close the application's input, then say [`Pipe::took_all`].
    End,
    /// The peer's application has taken more.
    Taken,
    /// The peer has stopped a direction.
    Stopped(Stop),
    /// The peer's command has exited.
    Exited(Exit),
}

/// This direction has ended, or is not open to this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this direction of the pipe does not take that")]
pub struct NotOpen;

/// One end of a pipe. What goes out is in the order of the calls: the header of [`data`](Self::data) with its bytes, and what
/// [`poll_wire`](Self::poll_wire) has.
#[derive(Debug)]
pub struct Pipe {
    settings: Settings,
    cutter: Cutter,
    greeted: Greeted,
    /// The flags of the peer's hello, once it has come.
    peer: Option<u8>,
    outward: Outward,
    inward: Inward,
    sent: u64,
    /// What the peer last said that it has taken.
    peer_took: Option<u64>,
    received: u64,
    took: u64,
    told: u64,
    our_exit: Option<Exit>,
    exit: Option<Exit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeted {
    Not,
    Done,
}

/// Our data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outward {
    Open,
    /// The end waits to be sent.
    Ending,
    /// The end is sent. If there is a command, its exit is not yet.
    Ended,
    /// The end, and the exit if there is a command, are sent.
    Complete,
    /// The peer wants no more.
    Stopped(Stop),
    /// Our input failed; the peer is told.
    Failing,
    Failed,
}

/// The peer's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inward {
    Open,
    /// The peer has sent its last; not everything has been taken.
    Ended,
    /// Everything has been taken; the peer is told.
    Taken,
    Told,
    /// We want no more; the peer is told.
    Stopping(Stop),
    Stopped,
    /// The peer's input failed.
    Failed,
}

impl Pipe {
    /// A pipe of which nothing has been sent yet.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            cutter: Cutter::new(),
            greeted: Greeted::Not,
            peer: None,
            outward: Outward::Open,
            inward: if settings.takes {
                Inward::Open
            } else {
                Inward::Stopped
            },
            sent: 0,
            peer_took: None,
            received: 0,
            took: 0,
            told: 0,
            our_exit: None,
            exit: None,
        }
    }

    /// The header for the next bytes of ours, which must follow it on the wire, at most [`MAX_DATA`](Self::MAX_DATA) and at least one.
    ///
    /// # Errors
    /// If there is nothing more to send, nobody who takes it, or that many bytes do not fit.
    pub fn data(&mut self, length: usize) -> Result<[u8; HEADER], NotOpen> {
        if self.outward != Outward::Open || self.greeted == Greeted::Not || length == 0 {
            return Err(NotOpen);
        }
        let header = header(DATA, length).ok_or(NotOpen)?;
        self.sent += length as u64;
        Ok(header)
    }

    /// Our input has ended. Does nothing if nobody takes it any more.
    pub fn end(&mut self) {
        if self.outward == Outward::Open {
            self.outward = Outward::Ending;
        }
    }

    /// Our input has failed: what was sent is not everything. Does nothing if nobody takes it any more.
    pub fn fail(&mut self) {
        if self.outward == Outward::Open {
            self.outward = Outward::Failing;
        }
    }

    /// How our command has exited. It is sent after the end of its output.
    pub fn exit(&mut self, exit: Exit) {
        self.our_exit.get_or_insert(exit);
    }

    /// The application has taken this much more of what came: it is written and flushed.
    pub fn took(&mut self, bytes: usize) {
        self.took = self.took.saturating_add(bytes as u64).min(self.received);
    }

    /// The application has taken everything, and knows that there is no more.
    pub fn took_all(&mut self) {
        if self.inward == Inward::Ended {
            self.took = self.received;
            self.inward = Inward::Taken;
        }
    }

    /// No more is taken: whatever comes now is not an event. Does nothing after the end.
    pub fn stop(&mut self, stop: Stop) {
        if matches!(self.inward, Inward::Open | Inward::Ended) {
            self.inward = Inward::Stopping(stop);
        }
    }

    /// Appends what is to be sent now, which is never more than a few short frames.
    pub fn poll_wire(&mut self, wire: &mut Vec<u8>) {
        if self.greeted == Greeted::Not {
            self.greeted = Greeted::Done;
            let takes = if self.settings.takes {
                0
            } else {
                TAKES_NOTHING
            };
            let command = if self.settings.command { COMMAND } else { 0 };
            let flags = takes | command;
            write(wire, &Item::Hello { flags });
        }
        let last = match self.inward {
            Inward::Taken => Some(Inward::Told),
            Inward::Stopping(_) => Some(Inward::Stopped),
            Inward::Open | Inward::Ended | Inward::Told | Inward::Stopped | Inward::Failed => None,
        };
        let untold = self.took - self.told;
        if untold >= TELL_EVERY || (last.is_some() && untold > 0) || self.inward == Inward::Taken {
            write(wire, &Item::Taken(self.took));
            self.told = self.took;
        }
        if let Inward::Stopping(stop) = self.inward {
            write(wire, &Item::Stopped(stop));
        }
        self.inward = last.unwrap_or(self.inward);
        if self.outward == Outward::Failing {
            write(wire, &Item::Stopped(Stop::InputFailed));
            self.outward = Outward::Failed;
        }
        if self.outward == Outward::Ending {
            write(wire, &Item::End);
            self.outward = if self.settings.command {
                Outward::Ended
            } else {
                Outward::Complete
            };
        }
        if let (Outward::Ended, Some(exit)) = (self.outward, self.our_exit) {
            write(wire, &Item::Exited(exit));
            self.outward = Outward::Complete;
        }
    }

    /// The next event of what came, taken off the front of `wire`; `None` when that is used up.
    ///
    /// # Errors
    /// What the peer did against the protocol, which is the end of the pipe.
    pub fn handle_wire<'a>(&mut self, wire: &mut &'a [u8]) -> Result<Option<Event<'a>>, Broken> {
        while let Some(item) = self.cutter.next(wire)? {
            if let Some(event) = self.handle(item)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn handle<'a>(&mut self, item: Item<'a>) -> Result<Option<Event<'a>>, Broken> {
        if self.peer.is_none() && !matches!(item, Item::Hello { .. }) {
            return Err(Broken::NoHello);
        }
        match item {
            Item::Hello { .. } if self.peer.is_some() => Err(Broken::SecondHello),
            Item::Hello { flags } => {
                self.peer = Some(flags);
                Ok((flags & TAKES_NOTHING != 0)
                    .then(|| self.stopped(Stop::NoMore))
                    .flatten())
            }
            Item::Data(bytes) => {
                self.refuse_after_end("data")?;
                if self.inward != Inward::Open {
                    return Ok(None);
                }
                self.received += bytes.len() as u64;
                Ok(Some(Event::Data(bytes)))
            }
            Item::End => {
                self.refuse_after_end("end")?;
                if self.inward != Inward::Open {
                    return Ok(None);
                }
                self.inward = Inward::Ended;
                Ok(Some(Event::End))
            }
            Item::Taken(now) => self.taken(now),
            Item::Stopped(Stop::InputFailed) => {
                self.refuse_after_end("stopped")?;
                if self.inward != Inward::Open {
                    return Ok(None);
                }
                self.inward = Inward::Failed;
                Ok(Some(Event::Stopped(Stop::InputFailed)))
            }
            Item::Stopped(stop) => Ok(self.stopped(stop)),
            Item::Exited(exit) => {
                let runs = self.peer.is_some_and(|flags| flags & COMMAND != 0);
                if !runs || self.inward == Inward::Open || self.exit.is_some() {
                    return Err(Broken::Exit);
                }
                self.exit = Some(exit);
                Ok(Some(Event::Exited(exit)))
            }
        }
    }

    fn refuse_after_end(&self, what: &'static str) -> Result<(), Broken> {
        match self.inward {
            Inward::Ended | Inward::Taken | Inward::Told | Inward::Failed => {
                Err(Broken::AfterEnd(what))
            }
            Inward::Open | Inward::Stopping(_) | Inward::Stopped => Ok(()),
        }
    }

    fn taken<'a>(&mut self, now: u64) -> Result<Option<Event<'a>>, Broken> {
        if now > self.sent {
            return Err(Broken::TakenTooMuch {
                taken: now,
                sent: self.sent,
            });
        }
        match self.peer_took {
            Some(before) if now < before => Err(Broken::TakenBack { now, before }),
            _ => {
                self.peer_took = Some(now);
                Ok(Some(Event::Taken))
            }
        }
    }

    /// The peer takes nothing any more. That is no news once it has taken everything.
    fn stopped<'a>(&mut self, stop: Stop) -> Option<Event<'a>> {
        let news = !self.is_taken() && !matches!(self.outward, Outward::Stopped(_));
        if news {
            self.outward = Outward::Stopped(stop);
        }
        news.then_some(Event::Stopped(stop))
    }

    /// Whether our input is the output of a command.
    #[must_use]
    pub const fn is_command(&self) -> bool {
        self.settings.command
    }

    /// Whether our input may still be read: somebody takes it.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.outward == Outward::Open && self.greeted == Greeted::Done
    }

    /// Whether our input has ended and the peer's application has taken all of it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(self.outward, Outward::Ended | Outward::Complete)
            && self.peer_took == Some(self.sent)
    }

    /// Whether the peer was sent word of every direction that this side has stopped.
    #[must_use]
    pub fn is_told(&self) -> bool {
        !matches!(self.inward, Inward::Stopping(_)) && self.outward != Outward::Failing
    }

    /// Whether the peer's data have not ended in any way yet.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        self.inward == Inward::Open
    }

    /// Whether the peer has stopped taking, and wants no more.
    #[must_use]
    pub fn is_unwanted(&self) -> bool {
        self.outward == Outward::Stopped(Stop::NoMore)
    }

    /// Whether both directions have ended, in whatever way, and the peer was told everything. Then [`verdict`](Self::verdict) is final.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let outward = match self.outward {
            Outward::Complete => self.is_taken(),
            Outward::Stopped(_) | Outward::Failed => true,
            Outward::Open | Outward::Ending | Outward::Ended | Outward::Failing => false,
        };
        let inward = match self.inward {
            Inward::Told => self.has_exit(),
            Inward::Stopped | Inward::Failed => true,
            Inward::Open | Inward::Ended | Inward::Taken | Inward::Stopping(_) => false,
        };
        outward && inward && self.peer.is_some()
    }

    /// Whether nothing is missing of the peer's command, if it runs one.
    fn has_exit(&self) -> bool {
        let runs = self.peer.is_some_and(|flags| flags & COMMAND != 0);
        !runs || self.exit.is_some()
    }

    fn missing(&self) -> Missing {
        match (self.inward, self.outward) {
            (Inward::Open, _) => Missing::End,
            (_, Outward::Stopped(_)) => Missing::Exit,
            _ if self.is_taken() => Missing::Exit,
            _ => Missing::Taken,
        }
    }

    /// How it went so far.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome {
            traffic: Traffic {
                sent: self.sent,
                taken: self.peer_took.unwrap_or(0),
                received: self.took,
            },
            exit: self.exit,
        }
    }

    /// What is to be said when the stream below has ended, or when the pipe [is over](Self::is_over). Our own faults are the
    /// caller's to know.
    ///
    /// # Errors
    /// What the peer said, or a truncation.
    pub fn verdict(&self) -> Result<Outcome, Fault> {
        let outcome = self.outcome();
        if self.outward == Outward::Stopped(Stop::ReaderGone) {
            return Err(Fault::PeerReader);
        }
        if self.inward == Inward::Failed {
            return Err(Fault::PeerInput);
        }
        if !self.is_over() {
            return Err(Fault::Truncated(self.missing()));
        }
        if self.is_unwanted() && outcome.traffic.taken < outcome.traffic.sent {
            return Err(Fault::NotWanted);
        }
        Ok(outcome)
    }

    /// The most bytes that [`data`](Self::data) has a header for.
    pub const MAX_DATA: usize = crate::frame::MAX_PAYLOAD;
}

/// The application has taken this much more before the peer is told, unless everything has come.
const TELL_EVERY: u64 = 1_048_576;

#[cfg(test)]
mod tests;
