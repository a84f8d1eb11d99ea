//! The end that gets the files, without any I/O.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::content::{Block, Hash, MAX_UNPACKED};
use crate::entry::{Entry, Kind, Totals};
use crate::fault::Fault;
use crate::name::{NameFault, Rules};
use crate::reason::{Reason, Told};
use crate::turn::{MAX_TRIES, MAX_WANTS, OutOfTurn, Outcome, ROOM, place};
use crate::wire::{Decoder, Frame, VERSION};

mod event;
mod offered;

pub use event::ReceiverEvent;
use offered::{Item, Offered, State};

/// Takes an offer, asks for its files one after the other, and says what became of them.
///
/// Bytes of the stream go in by [`handle_wire`](Self::handle_wire) and come out of [`poll_wire`](Self::poll_wire); what is to be
/// done comes out of [`poll_event`](Self::poll_event).
pub struct Receiver {
    decoder: Decoder,
    out: BytesMut,
    events: VecDeque<ReceiverEvent>,
    phase: Phase,
    greeted: bool,
    offered: Offered,
    /// The entry that is looked at next.
    next: u32,
    /// Entries that were looked at and are not settled.
    open: usize,
    /// Files that were asked for and have not begun.
    wanted: VecDeque<(u32, u64)>,
    current: Option<Current>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Offering,
    Deciding,
    Accepted,
    Complete,
    Over,
}

/// The file whose content is coming.
#[derive(Debug)]
struct Current {
    index: u32,
    at: u64,
    size: u64,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl Receiver {
    /// Begins. `hidden`: whether files and folders whose names begin with a dot are taken; within folders they always are.
    #[must_use]
    pub fn new(rules: Rules, hidden: bool) -> Self {
        let mut out = BytesMut::new();
        let (version, zstd) = (VERSION, cfg!(feature = "zstd"));
        Frame::Hello { version, zstd }.write(&mut out);
        Self {
            decoder: Decoder::default(),
            out,
            events: VecDeque::new(),
            phase: Phase::Offering,
            greeted: false,
            offered: Offered::new(rules, hidden),
            next: 0,
            open: 0,
            wanted: VecDeque::new(),
            current: None,
        }
    }

    // ── The stream ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Bytes from the sender. Hand none over while there is no [`room`](Self::has_room).
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

    /// Bytes for the sender: everything that waits.
    pub fn poll_wire(&mut self) -> Option<Bytes> {
        let bytes = (!self.out.is_empty()).then(|| self.out.split().freeze());
        self.advance();
        bytes
    }

    /// Whether what is to be sent is little enough to take more in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.out.len() < ROOM
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<ReceiverEvent> {
        if self.events.is_empty() {
            self.advance();
        }
        self.events.pop_front()
    }

    /// Whether nothing follows, but for what [`poll_wire`](Self::poll_wire) and [`poll_event`](Self::poll_event) still have.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether everything is complete and was said to be.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Complete
    }

    // ── The offer ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// How much has been offered.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.offered.totals()
    }

    /// The entries that have been offered, those whose names are not taken too, with what is wrong with these. The path of such
    /// a one is for showing only.
    pub fn entries(&self) -> impl Iterator<Item = (&Entry, Option<NameFault>)> {
        self.offered.iter()
    }

    /// An entry by its number.
    #[must_use]
    pub fn entry(&self, index: u32) -> Option<&Entry> {
        self.offered.get(index).map(|item| &item.entry)
    }

    /// Takes the offer.
    pub fn accept(&mut self) -> Result<(), OutOfTurn> {
        if self.phase != Phase::Deciding {
            return Err(OutOfTurn("accept"));
        }
        self.phase = Phase::Accepted;
        self.write(&Frame::Accept);
        self.settle();
        Ok(())
    }

    /// Turns the offer down, whether it is complete or not.
    pub fn refuse(&mut self, told: Told) -> Result<(), OutOfTurn> {
        if !matches!(self.phase, Phase::Offering | Phase::Deciding) {
            return Err(OutOfTurn("refuse"));
        }
        self.write(&Frame::Refuse(told));
        self.phase = Phase::Over;
        Ok(())
    }

    // ── Entries ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// A folder is there.
    pub fn made(&mut self, index: u32) -> Result<(), OutOfTurn> {
        let fits = |item: &Item| item.state == State::Looked && item.entry.kind == Kind::Folder;
        self.item("made", index, fits)?;
        self.write(&Frame::Done { index });
        self.close(index, State::Done);
        Ok(())
    }

    /// Asks for a file from `offset` on; `prefix` is the hash of what is there before it. Without one, and with the whole size
    /// as the offset, only the hash is asked for.
    pub fn want(&mut self, index: u32, offset: u64, prefix: Option<Hash>) -> Result<(), OutOfTurn> {
        let fits = |item: &Item| {
            matches!(item.state, State::Looked | State::Ended)
                && item.entry.kind == Kind::File
                && offset <= item.entry.size
                && item.tries < MAX_TRIES
        };
        let item = self.item("want", index, fits)?;
        item.state = State::Wanted;
        item.tries += 1;
        self.wanted.push_back((index, offset));
        self.write(&Frame::Want {
            index,
            offset,
            prefix,
        });
        Ok(())
    }

    /// Whether a file is coming or has come, and is not given up: what there was to tell of one that was is of no use any more.
    #[must_use]
    pub fn gets(&self, index: u32) -> bool {
        let item = self.offered.get(index);
        item.is_some_and(|item| matches!(item.state, State::Getting | State::Ended))
    }

    /// So much of a file is on the disk.
    pub fn stored(&mut self, index: u32, offset: u64) -> Result<(), OutOfTurn> {
        let fits = |item: &Item| matches!(item.state, State::Getting | State::Ended);
        self.item("stored", index, fits)?;
        self.write(&Frame::Stored { index, offset });
        Ok(())
    }

    /// A file has its final name.
    pub fn done(&mut self, index: u32) -> Result<(), OutOfTurn> {
        self.item("done", index, |item| item.state == State::Ended)?;
        self.write(&Frame::Done { index });
        self.close(index, State::Done);
        Ok(())
    }

    /// An entry is not wanted, or is there.
    pub fn skip(&mut self, index: u32, told: Told) -> Result<(), OutOfTurn> {
        let fits = |item: &Item| matches!(item.state, State::Looked | State::Ended);
        self.item("skip", index, fits)?;
        self.write(&Frame::Skip { index, told });
        self.close(index, State::Skipped);
        Ok(())
    }

    /// An entry can't be stored. What is still coming of it is dropped.
    pub fn fail(&mut self, index: u32, told: Told) -> Result<(), OutOfTurn> {
        let fits = |item: &Item| {
            matches!(
                item.state,
                State::Looked | State::Wanted | State::Getting | State::Ended
            )
        };
        let item = self.item("fail", index, fits)?;
        let coming = matches!(item.state, State::Wanted | State::Getting);
        item.state = State::Dropping;
        self.write(&Frame::Failed { index, told });
        if !coming {
            self.close(index, State::Failed);
        }
        Ok(())
    }

    /// Everything is in its place: says so. What became of it all is returned.
    pub fn complete(&mut self) -> Result<Outcome, OutOfTurn> {
        if self.phase != Phase::Accepted || !self.offered.is_settled() {
            return Err(OutOfTurn("complete"));
        }
        self.write(&Frame::Complete(self.offered.outcome()));
        self.phase = Phase::Complete;
        Ok(self.offered.outcome())
    }

    /// What has become of the entries so far.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.offered.outcome()
    }

    /// Gives up, and says why.
    pub fn cancel(&mut self, told: Told) {
        if self.phase != Phase::Over {
            self.write(&Frame::Abort(told));
            self.phase = Phase::Over;
        }
    }

    /// The content of a block is not what it says: ends everything, as other faults of the sender do.
    pub fn break_off(&mut self, fault: Fault) {
        self.cancel(Told::new(Reason::Protocol, fault.to_string()));
        self.events.push_back(ReceiverEvent::Broken(fault));
    }

    // ── What the sender says ───────────────────────────────────────────────────────────────────────────────────────────

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "what fits nowhere is out of turn"
    )]
    fn handle(&mut self, frame: Frame) -> Result<(), Fault> {
        let name = frame.name();
        if !self.greeted && !matches!(frame, Frame::Hello { .. }) {
            return Err(Fault::OutOfTurn(name));
        }
        let running = self.phase == Phase::Accepted;
        match frame {
            Frame::Hello { version, .. } if !self.greeted => {
                if version != VERSION {
                    return Err(Fault::Version(version));
                }
                self.greeted = true;
            }
            Frame::Abort(told) => {
                self.phase = Phase::Over;
                self.events.push_back(ReceiverEvent::Aborted(told));
            }
            Frame::Entry(raw) if self.phase == Phase::Offering => self.offered.add(&raw)?,
            Frame::OfferEnd(said) if self.phase == Phase::Offering => {
                self.offered.end(said)?;
                self.phase = Phase::Deciding;
                self.events.push_back(ReceiverEvent::Offered);
            }
            Frame::Begin { index, offset } if running && self.current.is_none() => {
                self.on_begin(index, offset)?;
            }
            Frame::Data(bytes) if running => self.on_block(name, Block::Raw(bytes))?,
            Frame::Packed { size, bytes } if running => {
                if !cfg!(feature = "zstd") {
                    return Err(Fault::NotAsked);
                }
                if size == 0 || place(size) > MAX_UNPACKED {
                    return Err(Fault::Unpacking(size));
                }
                self.on_block(name, Block::Packed { size, bytes })?;
            }
            Frame::Hole(length) if running => self.on_block(name, Block::Hole(length))?,
            Frame::End(hash) if running => self.on_end(hash)?,
            Frame::Failed { index, told } if running => self.on_failed(index, told)?,
            Frame::Bye if self.phase == Phase::Complete => {
                self.phase = Phase::Over;
                self.events.push_back(ReceiverEvent::Bye);
            }
            _ => return Err(Fault::OutOfTurn(name)),
        }
        Ok(())
    }

    fn on_begin(&mut self, index: u32, offset: u64) -> Result<(), Fault> {
        let frame = "begin";
        let entries = self.offered.totals().entries();
        if index >= entries {
            return Err(Fault::NoSuchEntry {
                frame,
                index,
                entries,
            });
        }
        let next = self.wanted.front().filter(|(wanted, _)| *wanted == index);
        let Some((_, from)) = next.copied() else {
            return Err(Fault::WrongEntry { frame, index });
        };
        if offset != from && offset != 0 {
            return Err(Fault::WrongOffset {
                frame,
                index,
                offset,
            });
        }
        self.wanted.pop_front();
        let Some(item) = self.offered.get_mut(index) else {
            return Err(Fault::WrongEntry { frame, index });
        };
        let (at, size) = (offset, item.entry.size);
        self.current = Some(Current { index, at, size });
        if item.state != State::Dropping {
            item.state = State::Getting;
            self.events
                .push_back(ReceiverEvent::Begin { index, offset });
        }
        Ok(())
    }

    fn on_block(&mut self, frame: &'static str, block: Block) -> Result<(), Fault> {
        let Some(current) = &mut self.current else {
            return Err(Fault::OutOfTurn(frame));
        };
        let (index, size) = (current.index, current.size);
        let got = current.at.saturating_add(block.size());
        if got > size {
            return Err(Fault::WrongSize { index, size, got });
        }
        current.at = got;
        if !self.is_dropping(index) {
            self.events.push_back(ReceiverEvent::Block { index, block });
        }
        Ok(())
    }

    fn on_end(&mut self, hash: Hash) -> Result<(), Fault> {
        let Some(current) = self.current.take() else {
            return Err(Fault::OutOfTurn("end"));
        };
        let (index, size, got) = (current.index, current.size, current.at);
        if got != size {
            return Err(Fault::WrongSize { index, size, got });
        }
        if self.is_dropping(index) {
            self.close(index, State::Failed);
        } else {
            if let Some(item) = self.offered.get_mut(index) {
                item.state = State::Ended;
            }
            self.events.push_back(ReceiverEvent::End { index, hash });
        }
        Ok(())
    }

    fn on_failed(&mut self, index: u32, told: Told) -> Result<(), Fault> {
        let frame = "failed";
        let current = self.current.as_ref().map(|current| current.index);
        let next = self.wanted.front().map(|(wanted, _)| *wanted);
        if current.or(next) != Some(index) {
            // Files are sent in the order in which they were asked for; those that we gave up may end in any.
            if !self.is_dropping(index) {
                return Err(Fault::WrongEntry { frame, index });
            }
            self.wanted.retain(|(wanted, _)| *wanted != index);
            self.close(index, State::Failed);
            return Ok(());
        }
        if self.current.take().is_none() {
            self.wanted.pop_front();
        }
        let dropped = self.is_dropping(index);
        self.close(index, State::Failed);
        if !dropped {
            self.events.push_back(ReceiverEvent::Failed { index, told });
        }
        Ok(())
    }

    /// Takes up further entries, as far as there is room.
    fn advance(&mut self) {
        while self.phase == Phase::Accepted && self.open < MAX_WANTS && self.has_room() {
            let index = self.next;
            let Some(item) = self.offered.get_mut(index) else {
                return;
            };
            self.next += 1;
            self.open += 1;
            let State::Misnamed(fault) = item.state else {
                item.state = State::Looked;
                self.events.push_back(ReceiverEvent::Look { index });
                continue;
            };
            let told = Told::new(Reason::Name, fault.to_string());
            self.write(&Frame::Skip { index, told });
            self.events
                .push_back(ReceiverEvent::Misnamed { index, fault });
            self.close(index, State::Skipped);
        }
    }

    fn item(
        &mut self,
        call: &'static str,
        index: u32,
        fits: impl FnOnce(&Item) -> bool,
    ) -> Result<&mut Item, OutOfTurn> {
        let item = self.offered.get_mut(index).filter(|item| fits(item));
        item.filter(|_| self.phase == Phase::Accepted)
            .ok_or(OutOfTurn(call))
    }

    /// Nothing more happens to an entry.
    fn close(&mut self, index: u32, state: State) {
        self.offered.close(index, state);
        self.open = self.open.saturating_sub(1);
        self.settle();
    }

    fn is_dropping(&self, index: u32) -> bool {
        let item = self.offered.get(index);
        item.is_some_and(|item| item.state == State::Dropping)
    }

    fn settle(&mut self) {
        if self.offered.is_settled() {
            self.events.push_back(ReceiverEvent::Settled);
        }
    }

    fn write(&mut self, frame: &Frame) {
        if self.phase != Phase::Over {
            frame.write(&mut self.out);
        }
    }
}

#[cfg(test)]
mod tests;
