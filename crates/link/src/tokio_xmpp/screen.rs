//! Stands between the network and tokio-xmpp, and keeps strangers' stanzas from its parser.
//!
//! Two stanzas that any stranger can send would do harm there: one nested a few thousand levels deep overflows the stack
//! and aborts the process (tokio-xmpp 6.0.0 with minidom 0.19 drops trees recursively), and one with an attribute or name
//! longer than 8,192 bytes is a stream error to it (rxml 0.14), upon which the resumed stream delivers the same stanza
//! again. It also discards, without telling anybody, stanzas that do not fit its types.
//!
//! So whole stanzas are set aside here for our own strict reader, and tokio-xmpp gets an empty `<message/>` with a
//! number in the place of each: enough to count what it acknowledges (XEP-0198) and to hold back when nobody reads.
//! What is not a stanza passes as it is, and so does everything before the resource is bound; except the limits among the
//! server's features, for which tokio-xmpp has no use, and over one number of which it would refuse them all.
//!
//! A pure state machine: bytes in, bytes and [`Sighting`]s out.

use bytes::{Bytes, BytesMut};
use xtls_framer::{Frame, FrameError, Framer, Limits};
use xtls_stanza::{Condition, ErrorType, Kind, Stanza, StanzaError};

use super::header::{Header, condition, is_features, is_stream_error};
use super::limits;

/// The longest stanza that is taken: above what servers let through, below what hurts.
const MAX_STANZA: usize = 4 * 1024 * 1024;

/// The longest element that passes without being a stanza: acknowledgements, stream errors.
const MAX_OTHER: usize = 4_096;

/// How tokio-xmpp's request for a resource is called.
const BIND_ID: &str = "resource-binding";

/// What the screen saw.
#[derive(Debug)]
pub(super) enum Sighting {
    /// A stanza that was set aside under this number.
    Stanza(u64, Bytes),
    /// The server's features came: the longest stanza that it takes, if it says so (XEP-0478).
    StanzaLimit(Option<usize>),
    /// The server ends the stream: the condition and its text.
    StreamError(String, String),
    /// The server gives us no resource.
    BindRefused(StanzaError),
    /// The stream cannot go on.
    Fault(Fault),
}

/// Why a stream cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Header(String),
    #[error("{0}")]
    Frame(FrameError),
    #[error("<{name}/> of {len} bytes is no stanza, and longer than {MAX_OTHER}")]
    TooLong { name: String, len: usize },
}

/// The screen of one connection, from the stream header after login on.
#[derive(Debug)]
pub(super) struct Screen {
    state: State,
    numbers: Numbers,
}

#[derive(Debug)]
enum State {
    Header(BytesMut),
    Body {
        header: Header,
        framer: Box<Framer>,
        bound: bool,
    },
    Ended,
    Faulty(Fault),
}

/// Numbers for the stanzas of all connections of a link, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Numbers {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }
}

impl Screen {
    pub(super) fn new(numbers: Numbers) -> Self {
        Self {
            state: State::Header(BytesMut::new()),
            numbers,
        }
    }

    /// Takes bytes from the network; puts those for tokio-xmpp into `out` and tells what it saw.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        out: &mut BytesMut,
        mut see: impl FnMut(Sighting),
    ) -> Result<(), Fault> {
        let pushed = self.push_inner(bytes, out, &mut see);
        if let Err(fault) = &pushed {
            if !matches!(self.state, State::Faulty(_)) {
                see(Sighting::Fault(fault.clone()));
            }
            self.state = State::Faulty(fault.clone());
        }
        pushed
    }

    fn push_inner(
        &mut self,
        bytes: &[u8],
        out: &mut BytesMut,
        see: &mut impl FnMut(Sighting),
    ) -> Result<(), Fault> {
        match &mut self.state {
            State::Faulty(fault) => return Err(fault.clone()),
            State::Ended => return Ok(()),
            State::Body { framer, .. } => framer.push(bytes),
            State::Header(buffer) => {
                buffer.extend_from_slice(bytes);
                let found =
                    Header::find(buffer).map_err(|error| Fault::Header(error.to_string()))?;
                let Some((header, taken)) = found else {
                    return Ok(());
                };
                out.extend_from_slice(buffer.get(..taken).unwrap_or_default());
                // Depth is the strict reader's to judge, for one stanza at a time: here it would end the stream.
                let limits = Limits::default().max_len(MAX_STANZA).max_depth(u32::MAX);
                let mut framer = Box::new(Framer::new(limits));
                framer.push(buffer.get(taken..).unwrap_or_default());
                self.state = State::Body {
                    header,
                    framer,
                    bound: false,
                };
            }
        }
        self.frames(out, see)
    }

    fn frames(&mut self, out: &mut BytesMut, see: &mut impl FnMut(Sighting)) -> Result<(), Fault> {
        let State::Body {
            header,
            framer,
            bound,
        } = &mut self.state
        else {
            return Ok(());
        };
        let before = out.len();
        loop {
            match framer.next() {
                Ok(Some(frame)) if *bound && is_stanza(&frame) => {
                    let number = self.numbers.next();
                    out.extend_from_slice(format!("<message id='{number}'/>").as_bytes());
                    see(Sighting::Stanza(number, frame.into_bytes()));
                }
                Ok(Some(frame)) => {
                    let len = frame.as_bytes().len();
                    if *bound && len > MAX_OTHER {
                        let name = String::from_utf8_lossy(name(&frame)).into_owned();
                        return Err(Fault::TooLong { name, len });
                    }
                    *bound |= look(header, &frame, *bound, see);
                    match features(header, &frame) {
                        None => out.extend_from_slice(frame.as_bytes()),
                        Some((limit, rest)) => {
                            see(Sighting::StanzaLimit(limit));
                            out.extend_from_slice(&rest);
                        }
                    }
                }
                Ok(None) => break,
                Err(FrameError::StrayEndTag { .. }) => {
                    out.extend_from_slice(&header.footer());
                    self.state = State::Ended;
                    return Ok(());
                }
                Err(error) => return Err(Fault::Frame(error)),
            }
        }
        if out.len() == before {
            // A long stanza is on its way, or the server keeps the connection alive: tokio-xmpp's timers must hear it.
            out.extend_from_slice(b" ");
        }
        Ok(())
    }
}

/// Looks at what passes; whether the resource is bound, or found again, with it.
fn look(header: &Header, frame: &Frame, bound: bool, see: &mut impl FnMut(Sighting)) -> bool {
    if !bound && is_stanza(frame) {
        let bytes = Bytes::copy_from_slice(frame.as_bytes());
        let Ok(stanza) = Stanza::read(&bytes) else {
            return false;
        };
        if stanza.kind != Kind::Iq || stanza.id.as_deref() != Some(BIND_ID) {
            return false;
        }
        if stanza.type_.as_deref() == Some("error") {
            let elements = stanza.elements().unwrap_or_default();
            let error = elements.iter().find(|element| element.name == "error");
            let undefined = || StanzaError::new(ErrorType::Cancel, Condition::UndefinedCondition);
            see(Sighting::BindRefused(
                error.map_or_else(undefined, StanzaError::read),
            ));
            return false;
        }
        return true;
    }
    match name(frame) {
        b"resumed" => true,
        name if name == b"error" || name.ends_with(b":error") => {
            if let Ok(element) = header.read(frame.as_bytes())
                && is_stream_error(&element)
            {
                let (condition, text) = condition(&element);
                see(Sighting::StreamError(condition, text));
            }
            false
        }
        _ => false,
    }
}

/// The limit in stream features, and what is left of them without it.
fn features(header: &Header, frame: &Frame) -> Option<(Option<usize>, Vec<u8>)> {
    let name = name(frame);
    if name != b"features" && !name.ends_with(b":features") {
        return None;
    }
    let mut features = header.read(frame.as_bytes()).ok()?;
    if !is_features(&features) {
        return None;
    }
    let children = features.children.len();
    let limit = limits::take(&mut features);
    if features.children.len() == children {
        return Some((limit, frame.as_bytes().to_vec()));
    }
    let mut rest = Vec::new();
    features.write("", &mut rest);
    Some((limit, rest))
}

fn is_stanza(frame: &Frame) -> bool {
    matches!(name(frame), b"iq" | b"message" | b"presence")
}

/// The name of the frame's element as it is written.
fn name(frame: &Frame) -> &[u8] {
    let bytes = frame.as_bytes();
    let end = bytes
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'));
    bytes.get(1..end.unwrap_or(bytes.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests;
