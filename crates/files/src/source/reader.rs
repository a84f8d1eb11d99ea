//! Reads the files that are wanted, piece by piece, in a thread that may block.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::{Sources, date};
use crate::content::{Block, Hash, Hasher, Packer};
use crate::reason::{Reason, Told};

/// What a receiver has asked for, and how far that has been read.
pub(crate) struct Reader {
    sources: Arc<Sources>,
    queue: VecDeque<Want>,
    current: Option<Reading>,
    packer: Packer,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Want {
    index: u32,
    offset: u64,
    prefix: Option<Hash>,
}

/// What to tell the machine, in this order.
#[derive(Debug)]
pub(crate) enum Step {
    Begin { offset: u64 },
    Block(Block),
    End(Hash),
    Fail(Told),
}

#[derive(Debug)]
struct Reading {
    index: u32,
    file: File,
    at: u64,
    size: u64,
    hasher: Hasher,
}

impl Reader {
    pub(crate) fn new(sources: Arc<Sources>) -> Self {
        Self {
            sources,
            queue: VecDeque::new(),
            current: None,
            packer: Packer::default(),
            buffer: vec![0; BLOCK],
        }
    }

    pub(crate) fn want(&mut self, index: u32, offset: u64, prefix: Option<Hash>) {
        self.queue.push_back(Want {
            index,
            offset,
            prefix,
        });
    }

    /// The receiver has given an entry up.
    pub(crate) fn forget(&mut self, index: u32) {
        self.queue.retain(|want| want.index != index);
        self.current.take_if(|reading| reading.index == index);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.current.is_none()
    }

    /// Reads as long as a whole piece fits into `budget` bytes, up to a number of steps, or until nothing is left. `packed`: blocks may be compressed.
    pub(crate) fn run(&mut self, budget: u64, packed: bool) -> Vec<(u32, Step)> {
        let mut steps = Vec::new();
        let mut read = 0;
        let piece = u64::try_from(BLOCK).unwrap_or(u64::MAX);
        while read + piece <= budget && steps.len() < MAX_STEPS {
            let Some(reading) = &mut self.current else {
                let Some(want) = self.queue.pop_front() else {
                    break;
                };
                self.packer.next_file();
                match self.begin(&want) {
                    Ok(reading) => {
                        let offset = reading.at;
                        steps.push((want.index, Step::Begin { offset }));
                        self.current = Some(reading);
                    }
                    Err(told) => steps.push((want.index, Step::Fail(told))),
                }
                continue;
            };
            let index = reading.index;
            if reading.at >= reading.size {
                let end = self.end();
                steps.push((index, end));
                continue;
            }
            match reading.next(&mut self.buffer, &mut self.packer, packed) {
                Ok(block) => {
                    read += cost(&block);
                    push(&mut steps, index, block);
                }
                Err(told) => {
                    self.current = None;
                    steps.push((index, Step::Fail(told)));
                }
            }
        }
        steps
    }

    fn begin(&mut self, want: &Want) -> Result<Reading, Told> {
        let file = self.sources.open(want.index).map_err(unreadable)?;
        let mut reading = Reading {
            index: want.index,
            file,
            at: 0,
            size: self.sources.entry(want.index).map_or(0, |entry| entry.size),
            hasher: Hasher::default(),
        };
        self.check(&reading)?;
        while reading.at < want.offset {
            let most = want.offset - reading.at;
            if reading.skip_hole(most) > 0 {
                continue;
            }
            reading.read(&mut self.buffer, most)?;
        }
        if want
            .prefix
            .is_some_and(|prefix| prefix != reading.hasher.hash())
        {
            // What the receiver has is of something else.
            reading.at = 0;
            reading.hasher = Hasher::default();
        }
        Ok(reading)
    }

    /// The end of the current file, if it is still the file that was offered.
    fn end(&mut self) -> Step {
        let Some(reading) = self.current.take() else {
            return Step::Fail(Reason::Unreadable.into());
        };
        match self.check(&reading) {
            Ok(()) => Step::End(reading.hasher.hash()),
            Err(told) => Step::Fail(told),
        }
    }

    fn check(&self, reading: &Reading) -> Result<(), Told> {
        let metadata = reading.file.metadata().map_err(unreadable)?;
        let entry = self.sources.entry(reading.index);
        let same = entry.is_some_and(|entry| {
            metadata.is_file() && metadata.len() == entry.size && date(&metadata) == entry.date
        });
        match same {
            true => Ok(()),
            false => Err(Reason::Changed.into()),
        }
    }
}

impl Reading {
    /// Reads and hashes at most `most` bytes, and no less than one.
    fn read<'a>(&mut self, buffer: &'a mut [u8], most: u64) -> Result<&'a [u8], Told> {
        let most = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let piece = buffer.get_mut(..most).unwrap_or_default();
        let mut got = 0;
        // A whole piece, so that blocks don't depend on how the system reads.
        while let Some(rest) = piece.get_mut(got..).filter(|rest| !rest.is_empty()) {
            let at = self.at + u64::try_from(got).unwrap_or(u64::MAX);
            match self.file.read_at(rest, at) {
                Ok(0) => break,
                Ok(read) => got += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        let piece = buffer.get(..got).unwrap_or_default();
        if piece.is_empty() {
            // Shorter than it was said to be.
            return Err(Reason::Changed.into());
        }
        self.hasher.add(piece);
        self.at += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        Ok(piece)
    }

    /// Where there is nothing on the disk, nothing has to be read: how many bytes of zero follow, as far as the file system says.
    fn skip_hole(&mut self, most: u64) -> u64 {
        let data = match rustix::fs::seek(&self.file, SeekFrom::Data(self.at)) {
            Ok(data) => data,
            // There is nothing but a hole up to the end, wherever that is by now.
            Err(Errno::NXIO) if self.file.metadata().is_ok_and(|now| now.len() == self.size) => {
                self.size
            }
            Err(_) => self.at,
        };
        let hole = data.saturating_sub(self.at).min(most);
        self.hasher.add_zeros(hole);
        self.at += hole;
        hole
    }

    fn next(
        &mut self,
        buffer: &mut [u8],
        packer: &mut Packer,
        packed: bool,
    ) -> Result<Block, Told> {
        let most = self.size - self.at;
        let hole = self.skip_hole(most.min(MAX_HOLE));
        if hole > 0 {
            return Ok(Block::Hole(hole));
        }
        let piece = self.read(buffer, most)?;
        Ok(packer.pack(piece, packed))
    }
}

/// What a block counts in the budget: zeros are made, hashed and stored in much less time than other bytes.
fn cost(block: &Block) -> u64 {
    match block {
        Block::Raw(_) | Block::Packed { .. } => block.size(),
        Block::Hole(length) => length / 128 + 1,
    }
}

/// Holes that meet are one.
fn push(steps: &mut Vec<(u32, Step)>, index: u32, block: Block) {
    if let (Block::Hole(more), Some((_, Step::Block(Block::Hole(length))))) =
        (&block, steps.last_mut())
    {
        *length += more;
        return;
    }
    steps.push((index, Step::Block(block)));
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: std::io::Error) -> Told {
    Told::new(Reason::Unreadable, error.to_string())
}

/// Bytes that are read at once. With the frame and the TLS records around them they are one chunk of 65 535 bytes, and not one and a bit:
/// servers pay for stanzas.
pub(crate) const BLOCK: usize = 64_512;

/// Bytes of one hole, so that progress can be seen.
const MAX_HOLE: u64 = 16_777_216;

/// Steps in one go: many files may be small.
const MAX_STEPS: usize = 256;
