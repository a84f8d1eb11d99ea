//! The frames of one forwarded connection: type, length, payload.

use std::fmt;

/// The version of the protocol that this is.
const VERSION: u8 = 1;

/// The most that a frame may carry.
pub(crate) const MAX_PAYLOAD: usize = 65_536;

/// The most of a frame that has to be whole before it means something.
const MAX_SHORT: usize = 1_024;

/// Type and length.
pub(crate) const HEADER: usize = 4;

/// Characters of a peer's text that are kept.
const MAX_TEXT: usize = 200;

/// Bytes of a host, as in the domain name system.
const MAX_HOST: usize = 255;

const HELLO: u8 = 0x01;
const DATA: u8 = 0x02;
const END: u8 = 0x03;
const BROKEN: u8 = 0x04;
const CONNECT: u8 = 0x10;
const LISTEN: u8 = 0x11;
const INCOMING: u8 = 0x12;
const ACCEPTED: u8 = 0x20;
const REFUSED: u8 = 0x21;

/// From here on, a type that is not known is skipped.
const SKIPPED: u8 = 0x80;

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// A name, or an address without brackets. Empty or `*` where a listener is not bound to one address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It is not among what is allowed there.
    Denied,
    /// Nobody listens at that place.
    Refused,
    /// The name has no address.
    Unresolvable,
    /// The place cannot be reached from there.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// There are as many connections as are allowed.
    TooMany,
    /// That port cannot be listened on there.
    CannotListen,
    /// A reason of a later version.
    Other(u8),
}

impl Why {
    const fn code(self) -> u8 {
        match self {
            Self::Denied => 1,
            Self::Refused => 2,
            Self::Unresolvable => 3,
            Self::Unreachable => 4,
            Self::Timeout => 5,
            Self::TooMany => 6,
            Self::CannotListen => 7,
            Self::Other(code) => code,
        }
    }

    const fn of_code(code: u8) -> Self {
        match code {
            1 => Self::Denied,
            2 => Self::Refused,
            3 => Self::Unresolvable,
            4 => Self::Unreachable,
            5 => Self::Timeout,
            6 => Self::TooMany,
            7 => Self::CannotListen,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "the other end does not allow it",
            Self::Refused => "nobody listens there",
            Self::Unresolvable => "the other end finds no address for that name",
            Self::Unreachable => "the other end cannot reach it",
            Self::Timeout => "it did not answer in time",
            Self::TooMany => "the other end has as many connections as it allows",
            Self::CannotListen => "the other end cannot listen on that port",
            Self::Other(code) => {
                return write!(
                    f,
                    "the other end gave the reason {code}, which is not known here"
                );
            }
        })
    }
}

/// A refusal, with what its sender adds for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}{}", if .text.is_empty() { String::new() } else { format!(" (\"{text}\")") })]
pub struct Refusal {
    /// The reason.
    pub why: Why,
    /// The peer's words, without control characters, or nothing.
    pub text: String,
}

impl From<Why> for Refusal {
    fn from(why: Why) -> Self {
        Self {
            why,
            text: String::new(),
        }
    }
}

/// A frame, or as much of the data of one as has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// Bytes of the connection.
    Data(&'a [u8]),
    /// The sender's direction has ended.
    End,
    /// The sender's connection broke: no end.
    Broken,
    /// Connect there.
    Connect(Place),
    /// Listen there, and name this number with each connection.
    Listen(u32, Place),
    /// A connection to the listener of this number came from there.
    Incoming(u32, Place),
    /// Done, at this place.
    Accepted(Place),
    /// Not done.
    Refused(Refusal),
}

/// What the peer did against the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A later version, which may mean other things by the same bytes.
    #[error(
        "the peer speaks version {0} of the forward protocol, and this end version 1: the older one has to be updated"
    )]
    Version(u8),
    /// Something else than a hello.
    #[error("the peer's first frame is not `hello`: it does not speak the forward protocol")]
    NoHello,
    /// A frame that may not be skipped.
    #[error("the peer sent a frame of type 0x{0:02x}, which is not known and must not be skipped")]
    Unknown(u8),
    /// A frame of a length that its type does not have.
    #[error("the peer sent a frame of {length} bytes, which its type 0x{kind:02x} does not have")]
    Length {
        /// Its type.
        kind: u8,
        /// What it claims.
        length: usize,
    },
    /// A host that is no text, or too long.
    #[error("the peer named a host that is no text of up to {MAX_HOST} bytes")]
    Host,
    /// A frame where it means nothing.
    #[error("the peer sent a frame of type 0x{0:02x} where none belongs")]
    Order(u8),
}

/// The first frame each way, before the multiplexer begins.
#[derive(Debug, Default)]
pub struct Greeting {
    have: Vec<u8>,
}

impl Greeting {
    /// What we send.
    pub const OURS: [u8; 6] = [HELLO, 0, 0, 2, VERSION, 0];

    /// A greeting of which nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes are still missing of the peer's; 0 once it is complete. No more than these may be read here.
    ///
    /// # Errors
    /// If it is no greeting, or one of a later version.
    pub fn missing(&self) -> Result<usize, Violation> {
        let Some(([kind, high, middle, low], payload)) = self.have.split_first_chunk::<HEADER>()
        else {
            return Ok(HEADER - self.have.len());
        };
        // What follows the version is flags, and perhaps more in later revisions; nothing of it means anything yet.
        if *kind != HELLO || *high != 0 || *middle != 0 || *low < 2 {
            return Err(Violation::NoHello);
        }
        match payload.first() {
            Some(&VERSION) | None => Ok(usize::from(*low).saturating_sub(payload.len())),
            Some(version) => Err(Violation::Version(*version)),
        }
    }

    /// Takes bytes that were missing.
    pub fn handle_wire(&mut self, bytes: &[u8]) {
        self.have.extend_from_slice(bytes);
    }
}

/// Cuts frames out of what comes. Data are passed on as they come, and nothing else may be long.
#[derive(Debug)]
pub(crate) struct Cutter {
    state: State,
    short: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Header,
    Data(usize),
    Short(u8, usize),
    Skip(usize),
}

impl Cutter {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Header,
            short: Vec::new(),
        }
    }

    /// The next frame, taken off the front of `wire`; `None` when that is used up.
    pub(crate) fn next<'a>(&mut self, wire: &mut &'a [u8]) -> Result<Option<Frame<'a>>, Violation> {
        loop {
            match self.state {
                State::Header => {
                    if !self.fill(wire, HEADER) {
                        return Ok(None);
                    }
                    let [kind, high, middle, low] =
                        self.short.first_chunk().copied().unwrap_or_default();
                    let length =
                        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                    self.short.clear();
                    self.state = begin(kind, length)?;
                }
                State::Data(left) => {
                    let piece = take(wire, left);
                    if piece.is_empty() {
                        return Ok(None);
                    }
                    self.state = match left - piece.len() {
                        0 => State::Header,
                        left => State::Data(left),
                    };
                    return Ok(Some(Frame::Data(piece)));
                }
                State::Short(kind, length) => {
                    if !self.fill(wire, length) {
                        return Ok(None);
                    }
                    let frame = read(kind, &self.short)?;
                    self.short.clear();
                    self.state = State::Header;
                    return Ok(Some(frame));
                }
                State::Skip(left) => {
                    let left = left - take(wire, left).len();
                    if left > 0 {
                        self.state = State::Skip(left);
                        return Ok(None);
                    }
                    self.state = State::Header;
                }
            }
        }
    }

    /// Collects up to `needed` bytes; whether they are there.
    fn fill(&mut self, wire: &mut &[u8], needed: usize) -> bool {
        let missing = needed.saturating_sub(self.short.len());
        self.short.extend_from_slice(take(wire, missing));
        self.short.len() >= needed
    }
}

/// Up to `most` bytes off the front.
fn take<'a>(wire: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (piece, rest) = wire.split_at(most.min(wire.len()));
    *wire = rest;
    piece
}

/// What follows a header.
fn begin(kind: u8, length: usize) -> Result<State, Violation> {
    let (fits, state) = match kind {
        DATA => (length > 0 && length <= MAX_PAYLOAD, State::Data(length)),
        END | BROKEN => (length == 0, State::Short(kind, length)),
        CONNECT | ACCEPTED => (
            (2..=MAX_SHORT).contains(&length),
            State::Short(kind, length),
        ),
        LISTEN | INCOMING => (
            (6..=MAX_SHORT).contains(&length),
            State::Short(kind, length),
        ),
        REFUSED => (
            (1..=MAX_SHORT).contains(&length),
            State::Short(kind, length),
        ),
        SKIPPED.. => (length <= MAX_PAYLOAD, State::Skip(length)),
        _ => return Err(Violation::Unknown(kind)),
    };
    match fits {
        true => Ok(state),
        false => Err(Violation::Length { kind, length }),
    }
}

fn read<'a>(kind: u8, payload: &[u8]) -> Result<Frame<'a>, Violation> {
    let short = Violation::Length {
        kind,
        length: payload.len(),
    };
    match kind {
        END => Ok(Frame::End),
        BROKEN => Ok(Frame::Broken),
        REFUSED => {
            let (code, text) = payload.split_first().ok_or(short)?;
            Ok(Frame::Refused(Refusal {
                why: Why::of_code(*code),
                text: shown(text),
            }))
        }
        CONNECT => Ok(Frame::Connect(place(payload, short)?)),
        ACCEPTED => Ok(Frame::Accepted(place(payload, short)?)),
        _ => {
            let (number, rest) = payload.split_first_chunk().ok_or(short)?;
            let (number, place) = (u32::from_be_bytes(*number), place(rest, short)?);
            Ok(match kind {
                LISTEN => Frame::Listen(number, place),
                _ => Frame::Incoming(number, place),
            })
        }
    }
}

fn place(payload: &[u8], short: Violation) -> Result<Place, Violation> {
    let (port, host) = payload.split_first_chunk().ok_or(short)?;
    let host = std::str::from_utf8(host).map_err(|_| Violation::Host)?;
    if host.len() > MAX_HOST
        || host.contains(|c: char| c.is_control() || c.is_whitespace() || is_invisible(c))
    {
        return Err(Violation::Host);
    }
    Ok(Place {
        host: host.to_owned(),
        port: u16::from_be_bytes(*port),
    })
}

/// A peer's text as people may see it.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let visible = text
        .chars()
        .filter(|c| !c.is_control() && !is_invisible(*c));
    visible.take(MAX_TEXT).collect()
}

/// Characters that turn the direction of what is around them, or are not seen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '"')
}

/// The header of so many bytes of data; `None` if they are too many, or none.
pub(crate) fn data_header(length: usize) -> Option<[u8; HEADER]> {
    let fits = length > 0 && length <= MAX_PAYLOAD;
    let [_, high, middle, low] = u32::try_from(length).ok()?.to_be_bytes();
    fits.then_some([DATA, high, middle, low])
}

/// The type of a frame.
pub(crate) const fn kind(frame: &Frame<'_>) -> u8 {
    match frame {
        Frame::Data(_) => DATA,
        Frame::End => END,
        Frame::Broken => BROKEN,
        Frame::Connect(_) => CONNECT,
        Frame::Listen(..) => LISTEN,
        Frame::Incoming(..) => INCOMING,
        Frame::Accepted(_) => ACCEPTED,
        Frame::Refused(_) => REFUSED,
    }
}

/// Appends a frame. What does not fit into one is cut: hosts are checked before.
pub(crate) fn write(wire: &mut Vec<u8>, frame: &Frame<'_>) {
    let mut payload = Vec::new();
    let mut place = |number: Option<u32>, place: &Place| {
        payload.extend(number.into_iter().flat_map(u32::to_be_bytes));
        payload.extend(place.port.to_be_bytes());
        payload.extend(place.host.bytes().take(MAX_HOST));
    };
    match frame {
        Frame::Data(bytes) => payload.extend(bytes.iter().take(MAX_PAYLOAD)),
        Frame::End | Frame::Broken => {}
        Frame::Connect(to) | Frame::Accepted(to) => place(None, to),
        Frame::Listen(number, at) | Frame::Incoming(number, at) => place(Some(*number), at),
        Frame::Refused(refusal) => {
            payload.push(refusal.why.code());
            payload.extend(
                refusal
                    .text
                    .chars()
                    .take(MAX_TEXT)
                    .collect::<String>()
                    .bytes(),
            );
        }
    }
    let [.., high, middle, low] = payload.len().to_be_bytes();
    wire.extend([kind(frame), high, middle, low]);
    wire.append(&mut payload);
}

#[cfg(test)]
mod tests;
