//! The frames of a leg: a type (8 bits), the length of what follows (24 bits), and that. Numbers are big-endian.

/// The version of the frames that this is.
pub const VERSION: u8 = 1;

/// The most that one DATA frame may carry.
pub const MAX_DATA: usize = 65_536;

/// Type and length.
const HEADER: usize = 4;
/// A number.
const NUMBER: usize = 8;
/// The bytes of a MAC that travel.
pub(crate) const MAC: usize = 16;

const HELLO: u8 = 0;
const CHOOSE: u8 = 1;
const DATA: u8 = 2;
const ACK: u8 = 3;
const PING: u8 = 4;
const PONG: u8 = 5;
const BYE: u8 = 6;

/// The payload of a HELLO: version, got, limit, MAC.
const HELLO_PAYLOAD: usize = 1 + 2 * NUMBER + MAC;
/// A whole HELLO.
pub(crate) const HELLO_FRAME: usize = HEADER + HELLO_PAYLOAD;
/// The longest payload but for DATA.
const SHORT: usize = HELLO_PAYLOAD;

/// Why what came is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A type that does not exist.
    #[error("a frame of type {0}, which does not exist")]
    Type(u8),
    /// A length that frames of this type do not have.
    #[error("a frame of type {kind} with {length} bytes")]
    Length {
        /// Its type.
        kind: u8,
        /// What it claims.
        length: usize,
    },
    /// A HELLO of another version.
    #[error("version {0} of the frames, and this end has version {VERSION}")]
    Version(u8),
    /// A BYE for a reason that does not exist.
    #[error("a goodbye for the reason {0}, which does not exist")]
    Reason(u8),
}

/// Why an end leaves a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bye {
    /// Another leg carries now, or this one is not wanted.
    Moved,
    /// Everything was sent and has arrived, both ways.
    Finished,
    /// The leg began above what this end has: somebody has confirmed bytes in its name.
    Gap,
}

impl Bye {
    const fn code(self) -> u8 {
        match self {
            Self::Moved => 0,
            Self::Finished => 1,
            Self::Gap => 2,
        }
    }

    const fn of_code(code: u8) -> Result<Self, Broken> {
        match code {
            0 => Ok(Self::Moved),
            1 => Ok(Self::Finished),
            2 => Ok(Self::Gap),
            _ => Err(Broken::Reason(code)),
        }
    }
}

/// A frame, or of a DATA frame as much as has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The first of each end.
    Hello {
        /// What this end has taken.
        got: u64,
        /// The offset up to which the peer may send.
        limit: u64,
        /// Proof that it is the peer.
        mac: [u8; MAC],
    },
    /// The client moves to this leg.
    Choose,
    /// Bytes of the stream.
    Data {
        /// The offset of the first of them.
        offset: u64,
        /// As many as have come.
        bytes: &'a [u8],
    },
    /// More has been taken.
    Ack {
        /// What this end has taken.
        got: u64,
        /// The offset up to which the peer may send.
        limit: u64,
    },
    /// Asks for a PONG with the same content.
    Ping(u64),
    /// Answers a PING.
    Pong(u64),
    /// The last frame but for ACK and PONG.
    Bye(Bye),
}

impl Frame<'_> {
    /// Appends the frame to `wire`. A DATA frame must have at least one byte and at most [`MAX_DATA`].
    pub fn write(&self, wire: &mut Vec<u8>) {
        match *self {
            Self::Hello { got, limit, mac } => {
                wire.extend(header(HELLO, HELLO_PAYLOAD));
                wire.push(VERSION);
                wire.extend(got.to_be_bytes());
                wire.extend(limit.to_be_bytes());
                wire.extend(mac);
            }
            Self::Choose => wire.extend(header(CHOOSE, 0)),
            Self::Data { offset, bytes } => {
                write_data_head(wire, offset, bytes.len());
                wire.extend(bytes);
            }
            Self::Ack { got, limit } => {
                wire.extend(header(ACK, 2 * NUMBER));
                wire.extend(got.to_be_bytes());
                wire.extend(limit.to_be_bytes());
            }
            Self::Ping(content) => {
                wire.extend(header(PING, NUMBER));
                wire.extend(content.to_be_bytes());
            }
            Self::Pong(content) => {
                wire.extend(header(PONG, NUMBER));
                wire.extend(content.to_be_bytes());
            }
            Self::Bye(reason) => {
                wire.extend(header(BYE, 1));
                wire.push(reason.code());
            }
        }
    }
}

/// The beginning of a DATA frame, which the `length` bytes themselves must follow.
pub(crate) fn write_data_head(wire: &mut Vec<u8>, offset: u64, length: usize) {
    debug_assert!((1..=MAX_DATA).contains(&length), "{length}");
    wire.extend(header(DATA, NUMBER + length));
    wire.extend(offset.to_be_bytes());
}

/// Every length of ours is below 2²⁴.
fn header(kind: u8, length: usize) -> [u8; HEADER] {
    let [.., high, middle, low] = length.to_be_bytes();
    [kind, high, middle, low]
}

/// Cuts what comes into frames. Holds no data: these are passed on as they come.
#[derive(Debug, Clone, Default)]
pub struct Cutter {
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// Before the end of a header.
    Header(Short<SHORT>),
    /// In the payload of a short frame, or the offset of a DATA frame.
    Payload {
        kind: u8,
        length: usize,
        payload: Short<SHORT>,
    },
    /// In the bytes of a DATA frame: the offset of the next, and how many are to come.
    Data { offset: u64, left: usize },
    /// Nothing after this can be understood.
    Broken(Broken),
}

impl Default for State {
    fn default() -> Self {
        Self::Header(Short::default())
    }
}

impl Cutter {
    /// Before the first frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next frame, or piece of a DATA frame, taken off the front of `wire`; `None` when that is used up.
    ///
    /// # Errors
    ///
    /// What has come is no frame. It stays so.
    pub fn next<'a>(&mut self, wire: &mut &'a [u8]) -> Result<Option<Frame<'a>>, Broken> {
        let next = self.advance(wire);
        if let Err(broken) = next {
            self.state = State::Broken(broken);
        }
        next
    }

    fn advance<'a>(&mut self, wire: &mut &'a [u8]) -> Result<Option<Frame<'a>>, Broken> {
        loop {
            match &mut self.state {
                State::Header(header) => {
                    if !header.fill(wire, HEADER) {
                        return Ok(None);
                    }
                    let [kind, high, middle, low] = header.first();
                    let length =
                        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                    check(kind, length)?;
                    self.state = State::Payload {
                        kind,
                        length,
                        payload: Short::default(),
                    };
                }
                State::Payload {
                    kind: DATA,
                    length,
                    payload,
                } => {
                    if !payload.fill(wire, NUMBER) {
                        return Ok(None);
                    }
                    self.state = State::Data {
                        offset: u64::from_be_bytes(payload.first()),
                        left: length.saturating_sub(NUMBER),
                    };
                }
                State::Payload {
                    kind,
                    length,
                    payload,
                } => {
                    if !payload.fill(wire, *length) {
                        return Ok(None);
                    }
                    let frame = read(*kind, payload)?;
                    self.state = State::default();
                    return Ok(Some(frame));
                }
                State::Data { left: 0, .. } => self.state = State::default(),
                State::Data { offset, left } => {
                    let Some((bytes, rest)) = wire.split_at_checked((*left).min(wire.len())) else {
                        return Ok(None);
                    };
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    *wire = rest;
                    let first = *offset;
                    *left -= bytes.len();
                    *offset = first.wrapping_add(bytes.len() as u64);
                    return Ok(Some(Frame::Data {
                        offset: first,
                        bytes,
                    }));
                }
                State::Broken(broken) => return Err(*broken),
            }
        }
    }
}

/// Whether frames of this type have this length.
fn check(kind: u8, length: usize) -> Result<(), Broken> {
    let fits = match kind {
        HELLO => length == HELLO_PAYLOAD,
        CHOOSE => length == 0,
        DATA => (NUMBER + 1..=NUMBER + MAX_DATA).contains(&length),
        ACK => length == 2 * NUMBER,
        PING | PONG => length == NUMBER,
        BYE => length == 1,
        _ => return Err(Broken::Type(kind)),
    };
    if fits {
        Ok(())
    } else {
        Err(Broken::Length { kind, length })
    }
}

/// The meaning of a payload, whose length is that of its kind.
fn read(kind: u8, payload: &Short<SHORT>) -> Result<Frame<'static>, Broken> {
    let number = u64::from_be_bytes(payload.first());
    match kind {
        HELLO => {
            let [version] = payload.first();
            if version != VERSION {
                return Err(Broken::Version(version));
            }
            Ok(Frame::Hello {
                got: u64::from_be_bytes(payload.at::<1, NUMBER>()),
                limit: u64::from_be_bytes(payload.at::<9, NUMBER>()),
                mac: payload.at::<17, MAC>(),
            })
        }
        CHOOSE => Ok(Frame::Choose),
        ACK => Ok(Frame::Ack {
            got: number,
            limit: u64::from_be_bytes(payload.at::<8, NUMBER>()),
        }),
        PING => Ok(Frame::Ping(number)),
        PONG => Ok(Frame::Pong(number)),
        BYE => {
            let [reason] = payload.first();
            Ok(Frame::Bye(Bye::of_code(reason)?))
        }
        _ => Err(Broken::Type(kind)),
    }
}

/// The first bytes of something short.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Short<const LEN: usize> {
    bytes: [u8; LEN],
    have: usize,
}

impl<const LEN: usize> Default for Short<LEN> {
    fn default() -> Self {
        Self {
            bytes: [0; LEN],
            have: 0,
        }
    }
}

impl<const LEN: usize> Short<LEN> {
    /// Takes from `wire` what is missing up to `needed`; whether there is that much now.
    pub(crate) fn fill(&mut self, wire: &mut &[u8], needed: usize) -> bool {
        let missing = needed.saturating_sub(self.have).min(wire.len());
        let place = self.bytes.get_mut(self.have..self.have + missing);
        if let (Some(place), Some((bytes, rest))) = (place, wire.split_at_checked(missing)) {
            place.copy_from_slice(bytes);
            *wire = rest;
            self.have += missing;
        }
        self.have >= needed
    }

    pub(crate) fn first<const N: usize>(&self) -> [u8; N] {
        self.at::<0, N>()
    }

    /// `N` bytes from `AT` on.
    pub(crate) fn at<const AT: usize, const N: usize>(&self) -> [u8; N] {
        const { assert!(AT + N <= LEN) };
        let mut part = [0; N];
        for (to, from) in part.iter_mut().zip(self.bytes.iter().skip(AT)) {
            *to = *from;
        }
        part
    }
}

#[cfg(test)]
mod tests;
