//! One flow: what waits to be sent, the request that is under way, and what has come.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{CHUNK, ROOM, StreamKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Our `<start/>` has no answer yet.
    Opening {
        until: Instant,
    },
    /// The peer's `<start/>` waits for the router.
    Incoming {
        until: Instant,
    },
    Open,
    /// The router has closed it: what was written goes out and is acknowledged.
    Flushing {
        until: Instant,
    },
}

/// The `<data/>` of ours that waits for its answer.
#[derive(Debug)]
struct Flight {
    request: String,
    bytes: usize,
    until: Instant,
}

#[derive(Debug)]
pub(super) struct Flow {
    key: StreamKey,
    /// The id of the `<start/>`, which names the flow.
    start: String,
    phase: Phase,
    out: BytesMut,
    flight: Option<Flight>,
    /// What has come, with the id of the request, which is answered when it has been read.
    unread: Option<(Bytes, String)>,
    /// The last request that was taken, to recognise its repetition: its id, and a hash of its bytes.
    last: Option<(String, u64)>,
    /// There was no room.
    starved: bool,
}

/// What became of a peer's `<data/>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It can be read.
    New,
    /// It came before and waits to be read.
    Waiting,
    /// It came before, was read and answered.
    Answered,
    /// The one before it has no answer yet.
    TooEarly,
}

/// What runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    Opening,
    Incoming,
    Flushing,
    Answer,
}

impl Flow {
    pub(super) fn opening(key: StreamKey, start: String, until: Instant) -> Self {
        Self::new(key, start, Phase::Opening { until })
    }

    pub(super) fn incoming(key: StreamKey, start: String, until: Instant) -> Self {
        Self::new(key, start, Phase::Incoming { until })
    }

    fn new(key: StreamKey, start: String, phase: Phase) -> Self {
        Self {
            key,
            start,
            phase,
            out: BytesMut::new(),
            flight: None,
            unread: None,
            last: None,
            starved: false,
        }
    }

    pub(super) fn key(&self) -> StreamKey {
        self.key
    }

    pub(super) fn start(&self) -> &str {
        &self.start
    }

    pub(super) fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Opening { .. })
    }

    pub(super) fn is_incoming(&self) -> bool {
        matches!(self.phase, Phase::Incoming { .. })
    }

    pub(super) fn is_flushing(&self) -> bool {
        matches!(self.phase, Phase::Flushing { .. })
    }

    pub(super) fn takes_data(&self) -> bool {
        match self.phase {
            Phase::Open | Phase::Flushing { .. } => true,
            Phase::Opening { .. } | Phase::Incoming { .. } => false,
        }
    }

    /// Both ends have agreed.
    pub(super) fn begin(&mut self) {
        self.phase = Phase::Open;
    }

    /// The end is to come when everything that was written has been acknowledged.
    pub(super) fn flush(&mut self, until: Instant) {
        self.phase = Phase::Flushing { until };
    }

    pub(super) fn room(&self) -> usize {
        match self.phase {
            Phase::Open => ROOM.saturating_sub(self.out.len()),
            Phase::Opening { .. } | Phase::Incoming { .. } | Phase::Flushing { .. } => 0,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        let room = self.room();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.out.extend_from_slice(taken);
        self.starved |= taken.len() == room;
    }

    /// Bytes that were written and are not acknowledged.
    pub(super) fn unacknowledged(&self) -> usize {
        let flying = self.flight.as_ref().map_or(0, |flight| flight.bytes);
        self.out.len().saturating_add(flying)
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty() && self.flight.is_none()
    }

    /// Whether the next `<data/>` may be sent.
    pub(super) fn is_ready(&self) -> bool {
        let free = self.flight.is_none();
        self.takes_data() && free && !self.out.is_empty()
    }

    /// The bytes of the next `<data/>`, which is under way from now on.
    pub(super) fn depart(&mut self, request: String, until: Instant) -> Bytes {
        let bytes = self.out.split_to(self.out.len().min(CHUNK)).freeze();
        self.flight = Some(Flight {
            request,
            bytes: bytes.len(),
            until,
        });
        bytes
    }

    /// Whether there is room again after there was none.
    pub(super) fn take_starved(&mut self) -> bool {
        std::mem::take(&mut self.starved)
    }

    /// Whether this request is the one under way. If so it has been answered.
    pub(super) fn land(&mut self, request: &str) -> bool {
        let ours = |flight: &mut Flight| flight.request == request;
        self.flight.take_if(ours).is_some()
    }

    /// Takes in the bytes of a `<data/>`. Without numbers, a repetition (XEP-0198 §5: a server sends again what it does not
    /// know to have arrived) is the same id and the same bytes directly again.
    pub(super) fn arrive(&mut self, bytes: Bytes, request: String) -> Arrival {
        let this = digest(&bytes);
        let last = self.last.as_ref();
        if last.is_some_and(|(id, taken)| *id == request && *taken == this) {
            return match self.unread {
                Some(_) => Arrival::Waiting,
                None => Arrival::Answered,
            };
        }
        if self.unread.is_some() {
            return Arrival::TooEarly;
        }
        self.last = Some((request.clone(), this));
        self.unread = Some((bytes, request));
        Arrival::New
    }

    /// Up to `max` bytes that have come, and the request that they answer if they are its last.
    pub(super) fn read(&mut self, max: usize) -> Option<(Bytes, Option<String>)> {
        let (bytes, _) = self.unread.as_mut().filter(|_| max > 0)?;
        let taken = bytes.split_to(bytes.len().min(max));
        let done = self.unread.take_if(|(bytes, _)| bytes.is_empty());
        Some((taken, done.map(|(_, request)| request)))
    }

    /// The request whose bytes were not all read.
    pub(super) fn take_unread(&mut self) -> Option<String> {
        self.unread.take().map(|(_, request)| request)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let answer = self.flight.as_ref().map(|flight| flight.until);
        match self.phase {
            Phase::Opening { until } | Phase::Incoming { until } => Some(until),
            Phase::Open => answer,
            Phase::Flushing { until } => Some(answer.map_or(until, |answer| answer.min(until))),
        }
    }

    pub(super) fn expiry(&self, now: Instant) -> Option<Expiry> {
        match self.phase {
            Phase::Opening { until } if until <= now => Some(Expiry::Opening),
            Phase::Incoming { until } if until <= now => Some(Expiry::Incoming),
            Phase::Flushing { until } if until <= now => Some(Expiry::Flushing),
            Phase::Opening { .. } | Phase::Incoming { .. } => None,
            Phase::Open | Phase::Flushing { .. } => {
                let flight = self.flight.as_ref()?;
                (flight.until <= now).then_some(Expiry::Answer)
            }
        }
    }
}

/// Tells a repetition from other bytes under the same id. Whoever makes a collision gains an acknowledgement of bytes
/// that are never delivered.
fn digest(bytes: &Bytes) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
