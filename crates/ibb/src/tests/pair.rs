//! Two muxes with a simulated network between them, in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::{Condition, Content, Envelope, ErrorType, Payload, StanzaError};

use super::support::*;
use crate::{Allow, Close, Config, Event, Mux, OpenOptions, StreamId, Why};

/// What the network does with one stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    Delay(Duration),
    Lose,
    Double,
    /// A request comes back with this error, as if from the address that it went to.
    Bounce(ErrorType, Condition),
}

/// A server that reads this many bytes a second from a client, after a burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) rate: u32,
    pub(crate) burst: u32,
}

/// Two muxes and what is under way between them. Order is kept, as RFC 6120 §10.1 promises.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) ends: [End; 2],
    pub(crate) latency: Duration,
    pub(crate) shape: Option<Shape>,
    pub(crate) fate: Box<dyn FnMut(&Envelope) -> Fate>,
    wire: BTreeMap<(Instant, u64), (usize, Envelope)>,
    sent: u64,
    links: [Link; 2],
}

/// One direction.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    last_arrival: Option<Instant>,
    /// Until when the server is busy with what was sent.
    busy_until: Option<Instant>,
}

pub(crate) struct End {
    pub(crate) mux: Mux,
    pub(crate) opened: BTreeSet<StreamId>,
    pub(crate) incoming: Vec<StreamId>,
    pub(crate) closed: BTreeMap<StreamId, Close>,
    /// What each stream has received.
    pub(crate) received: BTreeMap<StreamId, Vec<u8>>,
    /// What each stream still has to write.
    pub(crate) to_write: BTreeMap<StreamId, VecDeque<Bytes>>,
    pub(crate) close_when_written: bool,
    /// A reader that reads nothing.
    pub(crate) stuck: bool,
    /// What the reader takes at once.
    pub(crate) read_size: usize,
    readable: BTreeSet<StreamId>,
    /// Opens and closes that arrived.
    asked: BTreeSet<String>,
    /// Closes that arrived twice.
    spare: BTreeSet<String>,
    /// Requests that arrived, less their answers, by id; without those that come to 0.
    pub(crate) owed: BTreeMap<String, i64>,
}

impl End {
    fn new(own: &str, config: Config, seed: u8) -> Self {
        let mut mux = Mux::new(address(own), config, [seed; 32]);
        mux.allow(Allow::Anyone);
        Self {
            mux,
            opened: BTreeSet::new(),
            incoming: Vec::new(),
            closed: BTreeMap::new(),
            received: BTreeMap::new(),
            to_write: BTreeMap::new(),
            close_when_written: false,
            stuck: false,
            read_size: usize::MAX,
            readable: BTreeSet::new(),
            asked: BTreeSet::new(),
            spare: BTreeSet::new(),
            owed: BTreeMap::new(),
        }
    }

    pub(crate) fn why(&self, id: StreamId) -> Option<Why> {
        self.closed.get(&id).map(|close| close.why.clone())
    }

    fn handle(&mut self, now: Instant, envelope: Envelope) {
        let open = matches!(envelope.content, Content::Set(Payload::Open(_)));
        let close = matches!(envelope.content, Content::Set(Payload::Close(_)));
        let again = (open || close) && !self.asked.insert(envelope.id.clone());
        if again && close {
            // One answer serves both, and there may be two.
            self.spare.insert(envelope.id.clone());
        } else if again {
            // The same open once more: one answer serves both.
        } else if matches!(envelope.content, Content::Set(_) | Content::Get(_)) {
            self.owe(&envelope.id, 1);
        }
        self.mux.handle(now, envelope);
    }

    fn owe(&mut self, id: &str, answers: i64) {
        let owed = self.owed.remove(id).unwrap_or(0) + answers;
        if owed != 0 {
            self.owed.insert(id.to_owned(), owed);
        }
    }

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.mux.poll_event() {
            let id = match event {
                Event::Incoming { id, .. }
                | Event::Opened { id, .. }
                | Event::Readable { id }
                | Event::Writable { id }
                | Event::Acknowledged { id }
                | Event::PeerClosed { id }
                | Event::Closed { id, .. } => id,
                Event::TurnedAway { .. } => panic!("{event:?}"),
            };
            assert!(!self.closed.contains_key(&id), "{event:?} after the end");
            match event {
                Event::Incoming { .. } => {
                    self.incoming.push(id);
                    self.mux.stream(now, id).accept(None).unwrap();
                }
                Event::Opened { .. } => assert!(self.opened.insert(id)),
                Event::Readable { .. } => drop(self.readable.insert(id)),
                Event::TurnedAway { .. }
                | Event::Writable { .. }
                | Event::Acknowledged { .. }
                | Event::PeerClosed { .. } => {}
                Event::Closed { close, .. } => {
                    self.closed.insert(id, close);
                    self.readable.remove(&id);
                }
            }
        }
    }

    fn write(&mut self, now: Instant) {
        for (id, queue) in &mut self.to_write {
            while let Some(mut bytes) = queue.pop_front() {
                let Ok(taken) = self.mux.stream(now, *id).write(bytes.clone()) else {
                    queue.clear();
                    break;
                };
                if taken < bytes.len() {
                    queue.push_front(bytes.split_off(taken));
                    break;
                }
            }
            let known = self.opened.contains(id) || self.incoming.contains(id);
            if queue.is_empty() && self.close_when_written && known {
                self.mux.stream(now, *id).close();
            }
        }
    }

    fn read(&mut self, now: Instant) {
        if self.stuck {
            return;
        }
        for id in std::mem::take(&mut self.readable) {
            while let Some(bytes) = self.mux.stream(now, id).read(self.read_size) {
                self.received
                    .entry(id)
                    .or_default()
                    .extend_from_slice(&bytes);
            }
        }
    }

    /// One read of a slow reader.
    pub(crate) fn sip(&mut self, now: Instant, id: StreamId) {
        if let Some(bytes) = self.mux.stream(now, id).read(self.read_size) {
            self.received
                .entry(id)
                .or_default()
                .extend_from_slice(&bytes);
        }
    }
}

impl Pair {
    pub(crate) fn new(romeo: Config, juliet: Config) -> Self {
        Self {
            now: Instant::now(),
            ends: [End::new(ROMEO, romeo, 1), End::new(JULIET, juliet, 2)],
            latency: millis(50),
            shape: None,
            fate: Box::new(|_| Fate::Pass),
            wire: BTreeMap::new(),
            sent: 0,
            links: [Link::default(); 2],
        }
    }

    pub(crate) fn open(&mut self, from: usize, options: OpenOptions) -> StreamId {
        let to = self.ends[1 - from].mux.own().clone();
        self.ends[from].mux.open(self.now, &to, options).unwrap()
    }

    /// An open stream: Romeo's id and Juliet's.
    pub(crate) fn stream(&mut self, options: OpenOptions) -> (StreamId, StreamId) {
        let ours = self.open(0, options);
        self.run(self.latency * 2 + millis(1));
        (ours, *self.ends[1].incoming.last().unwrap())
    }

    pub(crate) fn queue(&mut self, end: usize, id: StreamId, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.ends[end]
            .to_write
            .entry(id)
            .or_default()
            .push_back(bytes);
    }

    pub(crate) fn close(&mut self, end: usize, id: StreamId) {
        self.ends[end].mux.stream(self.now, id).close();
    }

    /// Lets everything happen that can within `time`. Both owners accept, write and read.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// The next thing that happens up to `until`, if any.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        self.work();
        let arrival = self.wire.keys().next().map(|(at, _)| *at);
        let timers = self
            .ends
            .iter()
            .filter_map(|end| end.mux.poll_timeout())
            .map(|d| d.at);
        let Some(next) = timers.chain(arrival).min().filter(|at| *at <= until) else {
            return false;
        };
        self.now = self.now.max(next);
        match self
            .wire
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now)
        {
            Some(entry) => {
                let (to, envelope) = entry.remove();
                self.ends[to].handle(self.now, envelope);
            }
            None => {
                for end in &mut self.ends {
                    end.mux.handle_timeout(self.now);
                }
            }
        }
        true
    }

    /// The owners' part, and what leaves.
    pub(crate) fn work(&mut self) {
        for at in 0..2 {
            let end = &mut self.ends[at];
            end.take_events(self.now);
            end.write(self.now);
            end.read(self.now);
            end.take_events(self.now);
            while let Some(envelope) = self.ends[at].mux.poll_transmit(self.now) {
                self.post(at, envelope);
            }
        }
    }

    fn post(&mut self, from: usize, envelope: Envelope) {
        if matches!(envelope.content, Content::Result(_) | Content::Error(_)) {
            let end = &mut self.ends[from];
            let spare = !end.owed.contains_key(&envelope.id) && end.spare.remove(&envelope.id);
            if !spare {
                end.owe(&envelope.id, -1);
            }
        }
        let (copies, extra) = match (self.fate)(&envelope) {
            Fate::Pass => (1, Duration::ZERO),
            Fate::Delay(extra) => (1, extra),
            Fate::Lose => return,
            Fate::Double => (2, Duration::ZERO),
            Fate::Bounce(kind, condition) => {
                if matches!(envelope.content, Content::Set(_)) {
                    let back = envelope.error(StanzaError::new(kind, condition));
                    self.enqueue(from, back, Duration::ZERO);
                    return;
                }
                (1, Duration::ZERO)
            }
        };
        for _ in 0..copies {
            self.enqueue(1 - from, envelope.clone(), extra);
        }
    }

    fn enqueue(&mut self, to: usize, envelope: Envelope, extra: Duration) {
        let link = &mut self.links[to];
        let mut at = self.now + self.latency + extra;
        if let Some(Shape { rate, burst }) = self.shape {
            let busy = link.busy_until.map_or(self.now, |busy| busy.max(self.now));
            let busy = busy + Duration::from_secs(weight(&envelope)) / rate;
            link.busy_until = Some(busy);
            // What a burst covers passes at once.
            let spared = Duration::from_secs(burst.into()) / rate;
            at = at.max(busy - spared + self.latency);
        }
        at = link.last_arrival.map_or(at, |last| last.max(at));
        link.last_arrival = Some(at);
        self.sent += 1;
        self.wire.insert((at, self.sent), (to, envelope));
    }

    /// Checks that every request that arrived was answered exactly once, and that nothing is left.
    pub(crate) fn settled(&self) {
        for end in &self.ends {
            assert!(end.owed.is_empty(), "{:?}", end.owed);
            assert_eq!(end.mux.leftovers(), 0);
        }
    }
}

/// Bytes of a stanza on the wire, near enough.
fn weight(envelope: &Envelope) -> u64 {
    match &envelope.content {
        Content::Set(Payload::Data(data)) => 230 + (data.bytes.len() as u64).div_ceil(3) * 4,
        _ => 94,
    }
}
