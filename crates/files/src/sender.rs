//! The end that has the files, without any I/O.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::content::{Block, Hash, PIECE};
use crate::entry::{Entry, Kind, MAX_ENTRIES, MAX_NAMES, Totals};
use crate::fault::Fault;
use crate::flight::Flights;
use crate::reason::{Reason, Told};
use crate::turn::{MAX_TRIES, MAX_WANTS, OutOfTurn, Outcome, ROOM, place};
use crate::wire::{Decoder, Frame, RawEntry, VERSION};

mod event;

pub use event::{NotOffered, SenderEvent};

/// Offers files, and sends those that the other end asks for, in the order in which it does.
///
/// Bytes of the stream go in by [`handle_wire`](Self::handle_wire) and come out of [`poll_wire`](Self::poll_wire); what is to be
/// done comes out of [`poll_event`](Self::poll_event).
pub struct Sender {
    decoder: Decoder,
    out: BytesMut,
    events: VecDeque<SenderEvent>,
    phase: Phase,
    /// Whether the receiver reads compressed blocks, once it has said hello.
    packed: Option<bool>,
    items: Vec<Item>,
    names: usize,
    totals: Totals,
    outcome: Outcome,
    /// What was asked for and has not begun.
    queue: VecDeque<u32>,
    current: Option<Current>,
    flights: Flights,
    window: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Offering,
    Offered,
    Accepted,
    Over,
}

#[derive(Debug)]
struct Item {
    size: u64,
    kind: Kind,
    state: State,
    tries: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Offered,
    Wanted,
    Sending,
    Sent,
    Done,
    Skipped,
    Failed,
}

/// The file whose content is being sent.
#[derive(Debug)]
struct Current {
    index: u32,
    at: u64,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Sender {
    /// Begins. `window`: bytes that may be on their way to the receiver's disk.
    #[must_use]
    pub fn new(window: u64) -> Self {
        let mut out = BytesMut::new();
        let (version, zstd) = (VERSION, cfg!(feature = "zstd"));
        Frame::Hello { version, zstd }.write(&mut out);
        Self {
            decoder: Decoder::default(),
            out,
            events: VecDeque::new(),
            phase: Phase::Offering,
            packed: None,
            items: Vec::new(),
            names: 0,
            totals: Totals::default(),
            outcome: Outcome::default(),
            queue: VecDeque::new(),
            current: None,
            flights: Flights::default(),
            window,
        }
    }

    // ── The offer ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Adds an entry to the offer, and gives its number. Look at [`pending`](Self::pending) now and then.
    pub fn offer(&mut self, entry: &Entry) -> Result<u32, NotOffered> {
        if self.phase != Phase::Offering {
            return Err(OutOfTurn("offer").into());
        }
        let names = self.names.saturating_add(entry.path.len());
        if names > MAX_NAMES {
            return Err(NotOffered::Names);
        }
        let index = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        if index >= MAX_ENTRIES {
            return Err(NotOffered::TooMany);
        }
        let raw = RawEntry::new(entry).map_err(|_| NotOffered::Path)?;
        self.names = names;
        self.totals.add(entry.kind, entry.size);
        self.items.push(Item {
            size: entry.size,
            kind: entry.kind,
            state: State::Offered,
            tries: 0,
        });
        Frame::Entry(raw).write(&mut self.out);
        Ok(index)
    }

    /// The offer is complete; the receiver decides.
    pub fn end_offer(&mut self) -> Result<(), OutOfTurn> {
        if self.phase != Phase::Offering {
            return Err(OutOfTurn("end_offer"));
        }
        self.phase = Phase::Offered;
        self.write(&Frame::OfferEnd(self.totals));
        Ok(())
    }

    /// What has been offered.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    // ── The stream ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Bytes from the receiver.
    pub fn handle_wire(&mut self, bytes: &[u8]) {
        if self.phase == Phase::Over {
            return;
        }
        self.decoder.push(bytes);
        while self.phase != Phase::Over {
            let handled = match self.decoder.next() {
                Ok(Some(frame)) => self.handle(frame),
                Ok(None) => return,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = handled {
                self.break_off(fault);
            }
        }
    }

    /// Bytes for the receiver: everything that waits.
    pub fn poll_wire(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }

    /// How many bytes wait for [`poll_wire`](Self::poll_wire).
    #[must_use]
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<SenderEvent> {
        self.events.pop_front()
    }

    /// Whether nothing follows, but for what [`poll_wire`](Self::poll_wire) and [`poll_event`](Self::poll_event) still have.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    // ── Content ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// How many bytes of files may be sent now.
    #[must_use]
    pub fn room(&self) -> u64 {
        let flying = self.flights.bytes();
        match self.out.len() < ROOM {
            true => self.window.saturating_sub(flying),
            false => 0,
        }
    }

    /// Changes how many bytes may be on their way to the receiver's disk.
    pub fn set_window(&mut self, window: u64) {
        self.window = window;
    }

    /// Whether compressed blocks may be sent.
    #[must_use]
    pub fn may_pack(&self) -> bool {
        cfg!(feature = "zstd") && self.packed == Some(true)
    }

    /// Whether something of this entry is still to be sent. The receiver may have given it up.
    #[must_use]
    pub fn wants(&self, index: u32) -> bool {
        let item = self.items.get(place(index));
        item.is_some_and(|item| matches!(item.state, State::Wanted | State::Sending))
    }

    /// The file that was wanted next, from `offset`: the one that was asked for, or 0.
    pub fn begin(&mut self, index: u32, offset: u64) -> Result<(), OutOfTurn> {
        let next = self
            .queue
            .front()
            .filter(|next| **next == index && self.current.is_none());
        let item = next.and_then(|_| self.items.get_mut(place(index)));
        item.ok_or(OutOfTurn("begin"))?.state = State::Sending;
        self.queue.pop_front();
        self.current = Some(Current { index, at: offset });
        self.flights.begin(index, offset);
        self.write(&Frame::Begin { index, offset });
        Ok(())
    }

    /// The next piece of it.
    pub fn block(&mut self, block: Block) -> Result<(), OutOfTurn> {
        let wrong = OutOfTurn("block");
        let current = self.current.as_mut().ok_or(wrong)?;
        let size = self
            .items
            .get(place(current.index))
            .map_or(0, |item| item.size);
        let at = current
            .at
            .checked_add(block.size())
            .filter(|at| *at <= size)
            .ok_or(wrong)?;
        let frame = match block {
            Block::Raw(bytes) if !bytes.is_empty() && bytes.len() <= PIECE => Frame::Data(bytes),
            Block::Packed { size, bytes } if bytes.len() + 4 <= PIECE => {
                Frame::Packed { size, bytes }
            }
            Block::Hole(length) if length > 0 => Frame::Hole(length),
            Block::Raw(_) | Block::Packed { .. } | Block::Hole(_) => return Err(wrong),
        };
        current.at = at;
        self.flights.send(at);
        self.write(&frame);
        Ok(())
    }

    /// That was all of it, and this is its hash.
    pub fn end(&mut self, hash: Hash) -> Result<(), OutOfTurn> {
        let wrong = OutOfTurn("end");
        let current = self.current.as_ref().ok_or(wrong)?;
        let item = self
            .items
            .get_mut(place(current.index))
            .filter(|item| item.size == current.at);
        item.ok_or(wrong)?.state = State::Sent;
        self.current = None;
        self.write(&Frame::End(hash));
        Ok(())
    }

    /// The file that is being sent, or the one that was wanted next, can't be sent.
    pub fn fail(&mut self, index: u32, told: Told) -> Result<(), OutOfTurn> {
        let current = self.current.as_ref().map(|current| current.index);
        if current.or_else(|| self.queue.front().copied()) != Some(index) {
            return Err(OutOfTurn("fail"));
        }
        if self.current.take().is_none() {
            self.queue.pop_front();
        }
        self.close(index, State::Failed);
        self.write(&Frame::Failed { index, told });
        Ok(())
    }

    /// Gives up, and says why.
    pub fn cancel(&mut self, told: Told) {
        if self.phase != Phase::Over {
            self.write(&Frame::Abort(told));
            self.phase = Phase::Over;
        }
    }

    // ── What the receiver says ─────────────────────────────────────────────────────────────────────────────────────────

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "what fits nowhere is out of turn"
    )]
    fn handle(&mut self, frame: Frame) -> Result<(), Fault> {
        let name = frame.name();
        if self.packed.is_none() && !matches!(frame, Frame::Hello { .. }) {
            return Err(Fault::OutOfTurn(name));
        }
        let running = self.phase == Phase::Accepted;
        match frame {
            Frame::Hello { version, zstd } if self.packed.is_none() => {
                if version != VERSION {
                    return Err(Fault::Version(version));
                }
                self.packed = Some(zstd);
            }
            Frame::Abort(told) => self.finish(SenderEvent::Aborted(told)),
            // Nobody needs the whole offer to say no.
            Frame::Refuse(told) if !running => self.finish(SenderEvent::Refused(told)),
            Frame::Accept if self.phase == Phase::Offered => {
                self.phase = Phase::Accepted;
                self.events.push_back(SenderEvent::Accepted);
            }
            Frame::Want {
                index,
                offset,
                prefix,
            } if running => self.on_want(index, offset, prefix)?,
            Frame::Skip { index, told } if running => {
                let item = self.item(name, index)?;
                if !matches!(item.state, State::Offered | State::Sent) {
                    return Err(Fault::WrongEntry { frame: name, index });
                }
                self.close(index, State::Skipped);
                self.events.push_back(SenderEvent::Skipped { index, told });
            }
            Frame::Stored { index, offset } if running => self.on_stored(index, offset)?,
            Frame::Done { index } if running => {
                let item = self.item(name, index)?;
                match (item.state, item.kind) {
                    (State::Sent, _) | (State::Offered, Kind::Folder) => {}
                    _ => return Err(Fault::WrongEntry { frame: name, index }),
                }
                self.close(index, State::Done);
                self.events.push_back(SenderEvent::Done { index });
            }
            Frame::Failed { index, told } if running => self.on_failed(index, told)?,
            Frame::Complete(said) if running => {
                if said != self.outcome || said.entries() != self.totals.entries() {
                    let (said, has) = (said.done.into(), self.outcome.done.into());
                    let what = "entries that are done";
                    return Err(Fault::Miscounted { what, said, has });
                }
                self.write(&Frame::Bye);
                self.finish(SenderEvent::Complete(said));
            }
            _ => return Err(Fault::OutOfTurn(name)),
        }
        Ok(())
    }

    fn on_want(&mut self, index: u32, offset: u64, prefix: Option<Hash>) -> Result<(), Fault> {
        let frame = "want";
        if self.queue.len() + usize::from(self.current.is_some()) >= MAX_WANTS {
            return Err(Fault::TooManyWants(MAX_WANTS));
        }
        let item = self.item(frame, index)?;
        if item.kind != Kind::File || !matches!(item.state, State::Offered | State::Sent) {
            return Err(Fault::WrongEntry { frame, index });
        }
        if offset > item.size {
            return Err(Fault::WrongOffset {
                frame,
                index,
                offset,
            });
        }
        if item.tries >= MAX_TRIES {
            return Err(Fault::WantedTooOften(index));
        }
        item.tries += 1;
        item.state = State::Wanted;
        self.queue.push_back(index);
        self.flights.remove(index);
        self.events.push_back(SenderEvent::Wanted {
            index,
            offset,
            prefix,
        });
        Ok(())
    }

    fn on_stored(&mut self, index: u32, offset: u64) -> Result<(), Fault> {
        let frame = "stored";
        let wrong = Fault::WrongOffset {
            frame,
            index,
            offset,
        };
        match self.item(frame, index)?.state {
            State::Sending | State::Sent => {}
            // It crossed our own `failed`.
            State::Failed => return Ok(()),
            State::Offered | State::Wanted | State::Done | State::Skipped => {
                return Err(Fault::WrongEntry { frame, index });
            }
        }
        if !self.flights.store(index, offset) {
            return Err(wrong);
        }
        self.events.push_back(SenderEvent::Stored { index, offset });
        Ok(())
    }

    fn on_failed(&mut self, index: u32, told: Told) -> Result<(), Fault> {
        let frame = "failed";
        let item = self.item(frame, index)?;
        match item.state {
            State::Failed => return Ok(()),
            State::Done | State::Skipped => return Err(Fault::WrongEntry { frame, index }),
            // The receiver waits for the end of what it asked for.
            State::Wanted | State::Sending => {
                if self
                    .current
                    .take_if(|current| current.index == index)
                    .is_none()
                {
                    self.queue.retain(|wanted| *wanted != index);
                    let asked = |event: &SenderEvent| matches!(event, SenderEvent::Wanted { index: other, .. } if *other == index);
                    self.events.retain(|event| !asked(event));
                }
                let told = Reason::Cancelled.into();
                self.write(&Frame::Failed { index, told });
            }
            State::Offered | State::Sent => {}
        }
        self.close(index, State::Failed);
        self.events.push_back(SenderEvent::Failed { index, told });
        Ok(())
    }

    // ── Within ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    fn item(&mut self, frame: &'static str, index: u32) -> Result<&mut Item, Fault> {
        let entries = self.totals.entries();
        let item = self.items.get_mut(place(index));
        item.ok_or(Fault::NoSuchEntry {
            frame,
            index,
            entries,
        })
    }

    /// Nothing more happens to an entry.
    fn close(&mut self, index: u32, state: State) {
        self.flights.remove(index);
        if let Some(item) = self.items.get_mut(place(index)) {
            item.state = state;
        }
        match state {
            State::Done => self.outcome.done += 1,
            State::Skipped => self.outcome.skipped += 1,
            State::Failed => self.outcome.failed += 1,
            State::Offered | State::Wanted | State::Sending | State::Sent => {}
        }
    }

    fn write(&mut self, frame: &Frame) {
        if self.phase != Phase::Over {
            frame.write(&mut self.out);
        }
    }

    fn finish(&mut self, event: SenderEvent) {
        self.phase = Phase::Over;
        self.events.push_back(event);
    }

    fn break_off(&mut self, fault: Fault) {
        self.write(&Frame::Abort(Told::new(
            Reason::Protocol,
            fault.to_string(),
        )));
        self.finish(SenderEvent::Broken(fault));
    }
}

#[cfg(test)]
mod tests;
