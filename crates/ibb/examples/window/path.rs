//! Two muxes and a server between them that reads so many bytes a second, 8192 at once, as Prosody's `mod_limits` does.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_ibb::{Allow, Config, Envelope, Event, Mux, OpenOptions, StreamId};
use xtls_stanza::Address;
use xtls_stanza::ibb::BlockSize;

/// Most that the server reads at once; then it pauses as long as these bytes take at its rate.
const READ: u64 = 8192;
/// Between two samples.
const INTERVAL: Duration = Duration::from_millis(500);

/// A path for some time.
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    /// After the start.
    pub(crate) until: Duration,
    /// Bytes of XML a second.
    pub(crate) rate: u64,
    /// One way.
    pub(crate) latency: Duration,
}

/// What could be seen at one moment.
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) window: usize,
    pub(crate) chunk: usize,
    /// Bytes of payload that arrived since the sample before.
    pub(crate) arrived: u64,
    pub(crate) ack_delay: Duration,
    /// Bytes of payload that the path could have passed in that time, in chunks of this size.
    pub(crate) possible: u64,
}

pub(crate) struct Path<'a> {
    phases: &'a [Phase],
    start: Instant,
    now: Instant,
    from: Mux,
    to: Mux,
    stream: StreamId,
    /// XML at the server, and how much of each stanza it has not read.
    at_server: VecDeque<(Envelope, u64)>,
    awake: Instant,
    wire: BTreeMap<(Instant, u64), (bool, Envelope)>,
    /// When the last stanza of each direction arrives: none overtakes (RFC 6120 §10.1).
    last: [Instant; 2],
    posted: u64,
    arrived: u64,
}

impl<'a> Path<'a> {
    pub(crate) fn new(phases: &'a [Phase]) -> Result<Self, Box<dyn Error>> {
        let romeo = Address::new("romeo@montague.example/orchard")?;
        let juliet = Address::new("juliet@capulet.example/balcony")?;
        let mut from = Mux::new(romeo, Config::default(), [1; 32]);
        let mut to = Mux::new(juliet.clone(), Config::default(), [2; 32]);
        to.allow(Allow::Anyone);
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        let now = Instant::now();
        let options = OpenOptions::default().block_size(BlockSize::MAX);
        let stream = from.open(now, &juliet, options)?;
        Ok(Self {
            phases,
            start: now,
            now,
            from,
            to,
            stream,
            at_server: VecDeque::new(),
            awake: now,
            wire: BTreeMap::new(),
            last: [now; 2],
            posted: 0,
            arrived: 0,
        })
    }

    pub(crate) fn run(mut self) -> Result<Vec<Sample>, Box<dyn Error>> {
        let end = self
            .phases
            .last()
            .map_or(Duration::ZERO, |phase| phase.until);
        let mut samples = Vec::new();
        let mut at = Duration::ZERO;
        while at < end {
            at += INTERVAL;
            while self.step(self.start + at)? {}
            samples.extend(self.sample(at));
        }
        Ok(samples)
    }

    fn phase(&self) -> Option<&'a Phase> {
        let time = self.now.saturating_duration_since(self.start);
        self.phases.iter().find(|phase| time < phase.until)
    }

    fn sample(&mut self, at: Duration) -> Option<Sample> {
        let stats = self.from.stats(self.stream)?;
        let chunk = stats.chunk as u64;
        let rate = self.phase().or_else(|| self.phases.last())?.rate;
        // Base64, and the XML around it.
        let on_wire = chunk.div_ceil(3) * 4 + 250;
        let millis = u64::try_from(INTERVAL.as_millis()).ok()?;
        Some(Sample {
            at,
            window: stats.window,
            chunk: stats.chunk,
            arrived: std::mem::take(&mut self.arrived),
            ack_delay: stats.ack_delay,
            possible: rate * millis / 1000 * chunk / on_wire,
        })
    }

    /// Goes on to what happens next; `false` if that is after `until`.
    fn step(&mut self, until: Instant) -> Result<bool, Box<dyn Error>> {
        self.work()?;
        let read = (!self.at_server.is_empty()).then_some(self.awake);
        let arrival = self.wire.keys().next().map(|(at, _)| *at);
        let timers = [&self.from, &self.to].map(|mux| mux.poll_timeout().map(|timer| timer.at));
        let next = timers.into_iter().chain([read, arrival]).flatten().min();
        let Some(next) = next.filter(|next| *next <= until) else {
            self.now = until;
            return Ok(false);
        };
        self.now = self.now.max(next);
        while let Some(first) = self
            .wire
            .first_entry()
            .filter(|first| first.key().0 <= self.now)
        {
            let (back, envelope) = first.remove();
            let mux = if back { &mut self.from } else { &mut self.to };
            mux.handle(self.now, envelope);
        }
        if self.awake <= self.now {
            self.read();
        }
        self.from.handle_timeout(self.now);
        self.to.handle_timeout(self.now);
        Ok(true)
    }

    /// The server reads once, and passes on what is whole.
    fn read(&mut self) {
        let Some(phase) = self.phase() else { return };
        let mut room = READ;
        while let Some((_, left)) = self.at_server.front_mut() {
            let part = room.min(*left);
            (room, *left) = (room - part, *left - part);
            if *left > 0 {
                break;
            }
            if let Some((envelope, _)) = self.at_server.pop_front() {
                self.post(phase.latency, false, envelope);
            }
        }
        self.awake = self.now + Duration::from_micros((READ - room) * 1_000_000 / phase.rate);
    }

    fn post(&mut self, latency: Duration, back: bool, envelope: Envelope) {
        let [there, here] = &mut self.last;
        let last = if back { here } else { there };
        *last = (self.now + latency).max(*last);
        self.posted += 1;
        self.wire.insert((*last, self.posted), (back, envelope));
    }

    /// The owners' part: one writes all it can, the other reads all there is.
    fn work(&mut self) -> Result<(), Box<dyn Error>> {
        let latency = self.phase().map_or(Duration::ZERO, |phase| phase.latency);
        let room = self.from.room(self.stream);
        if room > 0 {
            self.from
                .stream(self.now, self.stream)
                .write(Bytes::from(vec![7; room]))?;
        }
        while let Some(event) = self.to.poll_event() {
            match event {
                Event::Incoming { id, .. } => self.to.stream(self.now, id).accept(None)?,
                Event::Readable { id } => {
                    while let Some(bytes) = self.to.stream(self.now, id).read(usize::MAX) {
                        self.arrived += bytes.len() as u64;
                    }
                }
                Event::Closed { close, .. } => return Err(close.to_string().into()),
                Event::Opened { .. } | Event::Writable { .. } | Event::PeerClosed { .. } | _ => {}
            }
        }
        while self.from.poll_event().is_some() {}
        while let Some(envelope) = self.from.poll_transmit(self.now) {
            let mut xml = Vec::new();
            envelope.write(&mut xml);
            self.awake = self.awake.max(self.now);
            self.at_server.push_back((envelope, xml.len() as u64));
        }
        while let Some(envelope) = self.to.poll_transmit(self.now) {
            self.post(latency, true, envelope);
        }
        Ok(())
    }
}
