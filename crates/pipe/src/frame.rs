//! The frames: type, length, payload.

use crate::error::Broken;

/// The version of the protocol that this is.
pub(crate) const VERSION: u8 = 1;

/// The most that a frame may carry.
pub(crate) const MAX_PAYLOAD: usize = 65_536;

/// Type and length.
pub(crate) const HEADER: usize = 4;

pub(crate) const HELLO: u8 = 0x01;
pub(crate) const DATA: u8 = 0x02;
pub(crate) const END: u8 = 0x03;
pub(crate) const TAKEN: u8 = 0x04;
pub(crate) const STOPPED: u8 = 0x05;
pub(crate) const EXIT: u8 = 0x06;

/// From here on, a type that is not known is skipped.
const SKIPPED: u8 = 0x80;

/// Flag of a hello: whoever sends it takes no data.
pub(crate) const TAKES_NOTHING: u8 = 0x01;
/// Flag of a hello: what comes is the output of a command, and how that one exited follows it.
pub(crate) const COMMAND: u8 = 0x02;

/// Why a side has stopped a direction before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// It can take no more: whatever read there has gone away.
    ReaderGone,
    /// It wants no more: it only sends, or it has finished.
    NoMore,
    /// It can send no more: its own input has failed, and what it has sent is not everything.
    InputFailed,
}

impl Stop {
    const fn code(self) -> u8 {
        match self {
            Self::ReaderGone => 1,
            Self::NoMore => 2,
            Self::InputFailed => 3,
        }
    }

    const fn of_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::ReaderGone),
            2 => Some(Self::NoMore),
            3 => Some(Self::InputFailed),
            _ => None,
        }
    }
}

/// How a command has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(u32),
    /// This signal ended it.
    Signal(u32),
}

/// A frame, or as much of one as has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Hello { flags: u8 },
    Data(&'a [u8]),
    End,
    Taken(u64),
    Stopped(Stop),
    Exited(Exit),
}

/// Cuts frames out of what comes. Holds no data: these are passed on as they come.
#[derive(Debug)]
pub(crate) struct Cutter {
    state: State,
}

#[derive(Debug)]
enum State {
    Header(Short),
    /// Bytes of a data frame are still to come.
    Data(usize),
    /// A payload that is needed whole, and how long it is.
    Payload(u8, usize, Short),
    /// Bytes that mean nothing to us are still to come.
    Skip(usize),
}

impl Cutter {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Header(Short::new()),
        }
    }

    /// The next frame or piece of one, taken off the front of `wire`; `None` when that is used up.
    pub(crate) fn next<'a>(&mut self, wire: &mut &'a [u8]) -> Result<Option<Item<'a>>, Broken> {
        loop {
            match &mut self.state {
                State::Header(header) => {
                    if !header.fill(wire, HEADER) {
                        return Ok(None);
                    }
                    let [kind, high, middle, low] = header.first();
                    let length =
                        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                    self.state = begin(kind, length)?;
                }
                State::Data(left) => {
                    let Some((piece, rest)) = wire.split_at_checked((*left).min(wire.len())) else {
                        return Ok(None);
                    };
                    if piece.is_empty() {
                        return Ok(None);
                    }
                    *wire = rest;
                    *left -= piece.len();
                    if *left == 0 {
                        self.state = State::Header(Short::new());
                    }
                    return Ok(Some(Item::Data(piece)));
                }
                State::Payload(kind, length, payload) => {
                    let needed = (*length).min(payload.bytes.len());
                    if !payload.fill(wire, needed) {
                        return Ok(None);
                    }
                    let item = read(*kind, payload.bytes)?;
                    self.state = State::Skip(*length - needed);
                    return Ok(Some(item));
                }
                State::Skip(left) => {
                    let (skipped, rest) = wire.split_at((*left).min(wire.len()));
                    *wire = rest;
                    *left -= skipped.len();
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::Header(Short::new());
                }
            }
        }
    }
}

/// What follows a header.
fn begin(kind: u8, length: usize) -> Result<State, Broken> {
    if !(HELLO..=EXIT).contains(&kind) && kind < SKIPPED {
        return Err(Broken::Unknown(kind));
    }
    if length > MAX_PAYLOAD {
        return Err(Broken::TooLong { kind, length });
    }
    let fits = match kind {
        // Later versions may say more in their hello.
        HELLO => length >= 2,
        DATA => length > 0,
        END => length == 0,
        TAKEN => length == 8,
        STOPPED => length == 1,
        EXIT => length == 5,
        _ => return Ok(State::Skip(length)),
    };
    match (fits, kind) {
        (false, _) => Err(Broken::Length { kind, length }),
        (true, DATA) => Ok(State::Data(length)),
        (true, _) => Ok(State::Payload(kind, length, Short::new())),
    }
}

/// The meaning of a payload, whose length is that of its kind.
fn read<'a>(kind: u8, payload: [u8; 8]) -> Result<Item<'a>, Broken> {
    let [first, a, b, c, d, ..] = payload;
    match kind {
        HELLO if first != VERSION => Err(Broken::Version(first)),
        HELLO => Ok(Item::Hello { flags: a }),
        END => Ok(Item::End),
        TAKEN => Ok(Item::Taken(u64::from_be_bytes(payload))),
        STOPPED => Stop::of_code(first)
            .map(Item::Stopped)
            .ok_or(Broken::Reason(first)),
        _ => {
            let value = u32::from_be_bytes([a, b, c, d]);
            match first {
                0 => Ok(Item::Exited(Exit::Code(value))),
                1 => Ok(Item::Exited(Exit::Signal(value))),
                _ => Err(Broken::Reason(first)),
            }
        }
    }
}

/// The first bytes of something short.
#[derive(Debug, Clone, Copy)]
struct Short {
    bytes: [u8; 8],
    have: usize,
}

impl Short {
    const fn new() -> Self {
        Self {
            bytes: [0; 8],
            have: 0,
        }
    }

    /// Takes from `wire` what is missing up to `needed`; whether there is that much now.
    fn fill(&mut self, wire: &mut &[u8], needed: usize) -> bool {
        while self.have < needed {
            let (Some((byte, rest)), Some(place)) =
                (wire.split_first(), self.bytes.get_mut(self.have))
            else {
                return false;
            };
            *place = *byte;
            *wire = rest;
            self.have += 1;
        }
        true
    }

    fn first(&self) -> [u8; HEADER] {
        let [a, b, c, d, ..] = self.bytes;
        [a, b, c, d]
    }
}

/// The header of a frame; `None` if it is too long for one.
pub(crate) fn header(kind: u8, length: usize) -> Option<[u8; HEADER]> {
    let [_, high, middle, low] = u32::try_from(length).ok()?.to_be_bytes();
    (length <= MAX_PAYLOAD).then_some([kind, high, middle, low])
}

/// Writes a frame whose payload is short.
fn put<const N: usize>(wire: &mut Vec<u8>, kind: u8, payload: [u8; N]) {
    const { assert!(N < 256) };
    let [.., low] = N.to_be_bytes();
    wire.extend([kind, 0, 0, low]);
    wire.extend(payload);
}

/// Writes a frame that is not data.
pub(crate) fn write(wire: &mut Vec<u8>, item: &Item<'_>) {
    match item {
        Item::Hello { flags } => put(wire, HELLO, [VERSION, *flags]),
        // Data are written by whoever has them.
        Item::Data(_) => {}
        Item::End => put(wire, END, []),
        Item::Taken(bytes) => put(wire, TAKEN, bytes.to_be_bytes()),
        Item::Stopped(stop) => put(wire, STOPPED, [stop.code()]),
        Item::Exited(exit) => {
            let (kind, value) = match exit {
                Exit::Code(code) => (0, code),
                Exit::Signal(signal) => (1, signal),
            };
            let [a, b, c, d] = value.to_be_bytes();
            put(wire, EXIT, [kind, a, b, c, d]);
        }
    }
}

/// What a frame is called where its type is known.
pub(crate) fn name(kind: u8) -> &'static str {
    match kind {
        HELLO => "hello",
        DATA => "data",
        END => "end",
        TAKEN => "taken",
        STOPPED => "stopped",
        EXIT => "exit",
        _ => "unknown",
    }
}
