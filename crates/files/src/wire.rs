//! Frames, as docs/PROTOCOL.md has them: an octet for the type, three for the length, and the payload.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::entry::{Date, Entry, Kind, Totals};
use crate::fault::Fault;
use crate::reason::{Reason, Told};
use crate::turn::Outcome;

pub(crate) const VERSION: u8 = 1;

/// One frame. It holds what is in files, and no log is to show that.
#[cfg_attr(test, derive(Debug))]
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Hello {
        version: u8,
        zstd: bool,
    },
    Abort(Told),
    Failed {
        index: u32,
        told: Told,
    },
    Entry(RawEntry),
    OfferEnd(Totals),
    Begin {
        index: u32,
        offset: u64,
    },
    Data(Bytes),
    Packed {
        size: u32,
        bytes: Bytes,
    },
    Hole(u64),
    End([u8; 32]),
    Bye,
    Accept,
    Refuse(Told),
    Want {
        index: u32,
        offset: u64,
        prefix: Option<[u8; 32]>,
    },
    Skip {
        index: u32,
        told: Told,
    },
    Stored {
        index: u32,
        offset: u64,
    },
    Done {
        index: u32,
    },
    Complete(Outcome),
}

/// An entry whose names nobody has looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawEntry {
    pub(crate) kind: Kind,
    pub(crate) executable: bool,
    pub(crate) size: u64,
    pub(crate) date: Date,
    /// Each with two octets of length before it.
    names: Bytes,
}

impl RawEntry {
    pub(crate) fn new(entry: &Entry) -> Result<Self, NameTooLong> {
        let mut names = BytesMut::new();
        for name in entry.path.split('/') {
            names.put_u16(u16::try_from(name.len()).map_err(|_| NameTooLong)?);
            names.put_slice(name.as_bytes());
        }
        if ENTRY + names.len() > MAX_PAYLOAD {
            return Err(NameTooLong);
        }
        Ok(Self {
            kind: entry.kind,
            executable: entry.executable,
            size: entry.size,
            date: entry.date,
            names: names.freeze(),
        })
    }

    /// The names from the top down; there is at least one.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.names;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk()?;
            let (name, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            rest = after;
            Some(name)
        })
    }

    fn read(mut payload: Bytes) -> Option<Self> {
        let kind = match payload.try_get_u8().ok()? {
            0 => Kind::File,
            1 => Kind::Folder,
            _ => return None,
        };
        let executable = payload.try_get_u8().ok()? & EXECUTABLE != 0;
        let size = payload.try_get_u64().ok()?;
        let seconds = payload.try_get_i64().ok()?;
        let nanos = payload.try_get_u32().ok()?;
        if nanos >= 1_000_000_000 || (kind == Kind::Folder && size != 0) {
            return None;
        }
        let entry = Self {
            kind,
            executable,
            size,
            date: Date { seconds, nanos },
            names: payload,
        };
        let taken: usize = entry.names().map(|name| name.len() + 2).sum();
        (taken == entry.names.len() && taken > 0).then_some(entry)
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_u8(match self.kind {
            Kind::File => 0,
            Kind::Folder => 1,
        });
        out.put_u8(if self.executable { EXECUTABLE } else { 0 });
        out.put_u64(self.size);
        out.put_i64(self.date.seconds);
        out.put_u32(self.date.nanos);
        out.put_slice(&self.names);
    }
}

/// A path that fits no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameTooLong;

impl Frame {
    pub(crate) const fn name(&self) -> &'static str {
        name(self.code())
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Hello { .. } => HELLO,
            Self::Abort(_) => ABORT,
            Self::Failed { .. } => FAILED,
            Self::Entry(_) => ENTRY_CODE,
            Self::OfferEnd(_) => OFFER_END,
            Self::Begin { .. } => BEGIN,
            Self::Data(_) => DATA,
            Self::Packed { .. } => PACKED,
            Self::Hole(_) => HOLE,
            Self::End(_) => END,
            Self::Bye => BYE,
            Self::Accept => ACCEPT,
            Self::Refuse(_) => REFUSE,
            Self::Want { .. } => WANT,
            Self::Skip { .. } => SKIP,
            Self::Stored { .. } => STORED,
            Self::Done { .. } => DONE,
            Self::Complete(_) => COMPLETE,
        }
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        let head = out.len();
        out.put_u32(0);
        match self {
            Self::Hello { version, zstd } => {
                out.put_u8(*version);
                out.put_u8(if *zstd { ZSTD } else { 0 });
            }
            Self::Abort(told) | Self::Refuse(told) => write_told(told, out),
            Self::Failed { index, told } | Self::Skip { index, told } => {
                out.put_u32(*index);
                write_told(told, out);
            }
            Self::Entry(entry) => entry.write(out),
            Self::OfferEnd(totals) => {
                out.put_u32(totals.files);
                out.put_u32(totals.folders);
                out.put_u64(totals.bytes);
            }
            Self::Begin { index, offset } | Self::Stored { index, offset } => {
                out.put_u32(*index);
                out.put_u64(*offset);
            }
            Self::Data(bytes) => out.put_slice(bytes),
            Self::Packed { size, bytes } => {
                out.put_u32(*size);
                out.put_slice(bytes);
            }
            Self::Hole(length) => out.put_u64(*length),
            Self::End(hash) => out.put_slice(hash),
            Self::Bye | Self::Accept => {}
            Self::Want {
                index,
                offset,
                prefix,
            } => {
                out.put_u32(*index);
                out.put_u64(*offset);
                if let Some(prefix) = prefix {
                    out.put_slice(prefix);
                }
            }
            Self::Done { index } => out.put_u32(*index),
            Self::Complete(outcome) => {
                out.put_u32(outcome.done);
                out.put_u32(outcome.skipped);
                out.put_u32(outcome.failed);
            }
        }
        let length = out.len() - head - HEAD;
        debug_assert!(length <= MAX_PAYLOAD, "{}", self.name());
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let word = (u32::from(self.code()) << 24) | (length & 0x00ff_ffff);
        if let Some(head) = out.get_mut(head..head + HEAD) {
            head.copy_from_slice(&word.to_be_bytes());
        }
    }

    /// `None`: the payload is not one of this type.
    fn read(code: u8, mut payload: Bytes) -> Result<Self, Fault> {
        let malformed = Fault::Malformed(name(code));
        let frame = match code {
            // What a later version adds after these two octets is its own.
            HELLO => return Self::read_hello(&payload).ok_or(malformed),
            ABORT => read_told(&mut payload).map(Self::Abort),
            FAILED => read_about(&mut payload).map(|(index, told)| Self::Failed { index, told }),
            ENTRY_CODE => RawEntry::read(payload.split_off(0)).map(Self::Entry),
            OFFER_END => Self::read_offer_end(&mut payload),
            BEGIN => read_place(&mut payload).map(|(index, offset)| Self::Begin { index, offset }),
            DATA => Some(Self::Data(payload.split_off(0))).filter(|frame| *frame != EMPTY),
            PACKED => payload.try_get_u32().ok().map(|size| Self::Packed {
                size,
                bytes: payload.split_off(0),
            }),
            HOLE => payload
                .try_get_u64()
                .ok()
                .filter(|length| *length > 0)
                .map(Self::Hole),
            END => read_hash(&mut payload).map(Self::End),
            BYE => Some(Self::Bye),
            ACCEPT => Some(Self::Accept),
            REFUSE => read_told(&mut payload).map(Self::Refuse),
            WANT => read_place(&mut payload).and_then(|(index, offset)| {
                let prefix = match payload.is_empty() {
                    true => None,
                    false => Some(read_hash(&mut payload)?),
                };
                Some(Self::Want {
                    index,
                    offset,
                    prefix,
                })
            }),
            SKIP => read_about(&mut payload).map(|(index, told)| Self::Skip { index, told }),
            STORED => {
                read_place(&mut payload).map(|(index, offset)| Self::Stored { index, offset })
            }
            DONE => payload.try_get_u32().ok().map(|index| Self::Done { index }),
            COMPLETE => Self::read_complete(&mut payload),
            other => return Err(Fault::Unknown(other)),
        };
        frame.filter(|_| payload.is_empty()).ok_or(malformed)
    }

    fn read_hello(payload: &[u8]) -> Option<Self> {
        match *payload {
            [version, flags, ..] if version != VERSION || payload.len() == 2 => Some(Self::Hello {
                version,
                zstd: flags & ZSTD != 0,
            }),
            _ => None,
        }
    }

    fn read_offer_end(payload: &mut Bytes) -> Option<Self> {
        Some(Self::OfferEnd(Totals {
            files: payload.try_get_u32().ok()?,
            folders: payload.try_get_u32().ok()?,
            bytes: payload.try_get_u64().ok()?,
        }))
    }

    fn read_complete(payload: &mut Bytes) -> Option<Self> {
        Some(Self::Complete(Outcome {
            done: payload.try_get_u32().ok()?,
            skipped: payload.try_get_u32().ok()?,
            failed: payload.try_get_u32().ok()?,
        }))
    }
}

fn write_told(told: &Told, out: &mut BytesMut) {
    out.put_u8(told.reason.code());
    out.put_slice(told.text.as_bytes());
}

fn read_told(payload: &mut Bytes) -> Option<Told> {
    let reason = Reason::from_code(payload.try_get_u8().ok()?);
    let text = payload.split_off(0);
    Some(Told::new(reason, String::from_utf8_lossy(&text)))
}

fn read_about(payload: &mut Bytes) -> Option<(u32, Told)> {
    let index = payload.try_get_u32().ok()?;
    Some((index, read_told(payload)?))
}

fn read_place(payload: &mut Bytes) -> Option<(u32, u64)> {
    let index = payload.try_get_u32().ok()?;
    Some((index, payload.try_get_u64().ok()?))
}

fn read_hash(payload: &mut Bytes) -> Option<[u8; 32]> {
    let hash = payload.first_chunk().copied();
    payload.try_advance(32)?;
    hash
}

/// Advances without a panic.
trait TryAdvance {
    fn try_advance(&mut self, by: usize) -> Option<()>;
}

impl TryAdvance for Bytes {
    fn try_advance(&mut self, by: usize) -> Option<()> {
        (by <= self.len()).then(|| self.advance(by))
    }
}

/// Cuts frames out of a stream, wherever that was cut. Of a long one of data it gives what has come: a disk need not wait for the rest.
#[derive(Default)]
pub(crate) struct Decoder {
    bytes: BytesMut,
    /// Octets of such a frame that have not been given.
    data: usize,
}

impl Decoder {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame. Those of types that may be skipped are.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Fault> {
        if self.data > 0 {
            return Ok(self.part());
        }
        loop {
            let Some((head, rest)) = self.bytes.split_first_chunk::<HEAD>() else {
                return Ok(None);
            };
            let word = u32::from_be_bytes(*head);
            let [code, ..] = *head;
            let length = usize::try_from(word & 0x00ff_ffff).unwrap_or(usize::MAX);
            if length > MAX_PAYLOAD {
                let (frame, most) = (name(code), MAX_PAYLOAD);
                return Err(Fault::TooLong {
                    frame,
                    length,
                    most,
                });
            }
            if rest.len() < length {
                if code != DATA || rest.len() < PART {
                    return Ok(None);
                }
                self.bytes.advance(HEAD);
                self.data = length;
                return Ok(self.part());
            }
            let mut frame = self.bytes.split_to(HEAD + length).freeze();
            frame.advance(HEAD);
            if code < MAY_BE_SKIPPED {
                return Frame::read(code, frame).map(Some);
            }
        }
    }

    /// What has come of a frame of data, if it is its end or enough.
    fn part(&mut self) -> Option<Frame> {
        let now = self.data.min(self.bytes.len());
        if now < self.data.min(PART) {
            return None;
        }
        self.data -= now;
        Some(Frame::Data(self.bytes.split_to(now).freeze()))
    }
}

const fn name(code: u8) -> &'static str {
    match code {
        HELLO => "hello",
        ABORT => "abort",
        FAILED => "failed",
        ENTRY_CODE => "entry",
        OFFER_END => "offer-end",
        BEGIN => "begin",
        DATA => "data",
        PACKED => "packed",
        HOLE => "hole",
        END => "end",
        BYE => "bye",
        ACCEPT => "accept",
        REFUSE => "refuse",
        WANT => "want",
        SKIP => "skip",
        STORED => "stored",
        DONE => "done",
        COMPLETE => "complete",
        _ => "of an unknown type",
    }
}

// Both ways.
const HELLO: u8 = 0x01;
const ABORT: u8 = 0x02;
const FAILED: u8 = 0x03;
// From the sender.
const ENTRY_CODE: u8 = 0x10;
const OFFER_END: u8 = 0x11;
const BEGIN: u8 = 0x12;
const DATA: u8 = 0x13;
const PACKED: u8 = 0x14;
const HOLE: u8 = 0x15;
const END: u8 = 0x16;
const BYE: u8 = 0x17;
// From the receiver.
const ACCEPT: u8 = 0x20;
const REFUSE: u8 = 0x21;
const WANT: u8 = 0x22;
const SKIP: u8 = 0x23;
const STORED: u8 = 0x24;
const DONE: u8 = 0x25;
const COMPLETE: u8 = 0x26;

/// Types from here on may be added later, and are skipped by those who do not know them.
const MAY_BE_SKIPPED: u8 = 0x80;

/// A flag of `hello`: this end can read compressed blocks.
const ZSTD: u8 = 0x01;
/// A flag of an entry.
const EXECUTABLE: u8 = 0x01;
/// Data without a byte.
const EMPTY: Frame = Frame::Data(Bytes::new());

/// Octets before a payload.
const HEAD: usize = 4;
/// Octets of an entry before its names.
const ENTRY: usize = 22;

/// Octets of data that are given before the rest of their frame has come, at least.
const PART: usize = 4_096;

/// Octets of a payload.
pub(crate) const MAX_PAYLOAD: usize = 65_536;

#[cfg(test)]
mod tests;
