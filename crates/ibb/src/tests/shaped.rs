//! A server as Prosody is with `mod_limits`: it reads at most 8192 bytes of a client's stream at once, then looks away for as long
//! as these would have taken at the rate; a stanza goes on when its last byte has been read. And ejabberd's: a pause after
//! each read as well, but the first bytes are free.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use xtls_stanza::{Content, Envelope};

use super::support::*;
use crate::{Allow, Config, Event, Mux, OpenOptions, StreamId, Window};

/// Most that is read at once.
const READ: u64 = 8192;

/// One client's connection to its server, client to server.
struct Uplink {
    /// Bytes a second that are read; `None` for no limit.
    rate: Option<u64>,
    /// What has arrived and not been read: stanzas, and the bytes left of each.
    waiting: VecDeque<(Envelope, u64)>,
    /// The server looks away until then.
    awake: Instant,
}

impl Uplink {
    fn new(rate: Option<u64>, now: Instant) -> Self {
        Self {
            rate,
            waiting: VecDeque::new(),
            awake: now,
        }
    }

    fn next_read(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then_some(self.awake)
    }

    /// One read; returns the stanzas that are whole with it.
    fn read(&mut self, now: Instant) -> Vec<Envelope> {
        let mut room = self.rate.map_or(u64::MAX, |_| READ);
        let mut whole = Vec::new();
        let mut bytes = 0;
        while let Some((_, left)) = self.waiting.front_mut() {
            let part = room.min(*left);
            (room, *left, bytes) = (room - part, *left - part, bytes + part);
            if *left > 0 {
                break;
            }
            whole.extend(self.waiting.pop_front().map(|(envelope, _)| envelope));
        }
        if let Some(rate) = self.rate {
            self.awake = now + Duration::from_micros(bytes * 1_000_000 / rate);
        }
        whole
    }
}

/// Romeo and Juliet behind such a server each.
struct Shaped {
    now: Instant,
    muxes: [Mux; 2],
    uplinks: [Uplink; 2],
    /// What travels from one server to the other client.
    wire: BTreeMap<(Instant, u64), (usize, Envelope)>,
    sent: u64,
    latency: Duration,
    got: [BTreeMap<StreamId, u64>; 2],
    incoming: Vec<StreamId>,
    /// Streams of Romeo's that always have more to send.
    bulk: Vec<StreamId>,
}

impl Shaped {
    fn new(rates: [Option<u64>; 2], latency: Duration, config: &Config) -> Self {
        let now = Instant::now();
        let config = config.clone().max_streams_per_peer(16).opens_per_minute(16);
        let muxes = [(ROMEO, 1), (JULIET, 2)].map(|(own, seed)| {
            let mut mux = Mux::new(address(own), config.clone(), [seed; 32]);
            mux.allow(Allow::Anyone);
            mux
        });
        Self {
            now,
            muxes,
            uplinks: rates.map(|rate| Uplink::new(rate, now)),
            wire: BTreeMap::new(),
            sent: 0,
            latency,
            got: [BTreeMap::new(), BTreeMap::new()],
            incoming: Vec::new(),
            bulk: Vec::new(),
        }
    }

    fn open(&mut self, size: u16) -> (StreamId, StreamId) {
        let options = OpenOptions::default().block_size(block(size));
        let ours = self.muxes[0]
            .open(self.now, &address(JULIET), options)
            .unwrap();
        let before = self.incoming.len();
        while self.incoming.len() == before || self.muxes[0].room(ours) == 0 {
            assert!(self.step(self.now + seconds(60)));
        }
        // The answer is on its way.
        self.run(self.latency * 2 + seconds(1));
        (ours, self.incoming[before])
    }

    fn work(&mut self) {
        for &id in &self.bulk {
            while self.muxes[0].room(id) > 0 {
                let bytes = vec![7; self.muxes[0].room(id)];
                self.muxes[0]
                    .stream(self.now, id)
                    .write(bytes.into())
                    .unwrap();
            }
        }
        for at in 0..2 {
            while let Some(event) = self.muxes[at].poll_event() {
                match event {
                    Event::Incoming { id, .. } => {
                        self.incoming.push(id);
                        self.muxes[at].stream(self.now, id).accept(None).unwrap();
                    }
                    Event::Readable { id } => {
                        while let Some(bytes) = self.muxes[at].stream(self.now, id).read(usize::MAX)
                        {
                            *self.got[at].entry(id).or_default() += bytes.len() as u64;
                        }
                    }
                    Event::Closed { close, .. } => panic!("{close}"),
                    _ => {}
                }
            }
            while let Some(envelope) = self.muxes[at].poll_transmit(self.now) {
                let bytes = weight(&envelope);
                let uplink = &mut self.uplinks[at];
                uplink.awake = uplink.awake.max(self.now);
                uplink.waiting.push_back((envelope, bytes));
            }
        }
    }

    /// Until the next thing happens, or `until`: `false`.
    fn step(&mut self, until: Instant) -> bool {
        self.work();
        let arrival = self.wire.keys().next().map(|(at, _)| *at);
        let reads = self.uplinks.iter().map(Uplink::next_read);
        let timers = self
            .muxes
            .iter()
            .map(|mux| mux.poll_timeout().map(|deadline| deadline.at));
        let next = reads.chain(timers).chain([arrival]).flatten().min();
        let Some(next) = next.filter(|next| *next <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        while let Some(entry) = self
            .wire
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now)
        {
            let (to, envelope) = entry.remove();
            self.muxes[to].handle(self.now, envelope);
        }
        for at in 0..2 {
            if self.uplinks[at]
                .next_read()
                .is_some_and(|next| next <= self.now)
            {
                for envelope in self.uplinks[at].read(self.now) {
                    self.sent += 1;
                    self.wire
                        .insert((self.now + self.latency, self.sent), (1 - at, envelope));
                }
            }
            self.muxes[at].handle_timeout(self.now);
        }
        true
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// Bytes a second that the stream delivers for `time`.
    fn goodput(&mut self, id: StreamId, time: u64) -> f64 {
        let before = self.got[1].get(&id).copied().unwrap_or(0);
        self.run(seconds(time));
        (self.got[1][&id] - before) as f64 / time as f64
    }

    /// How long lines of chat take beside whatever else there is: the longest, and the mean.
    fn lines(&mut self, chat: (StreamId, StreamId), count: u32) -> (Duration, Duration) {
        let (mut longest, mut sum) = (Duration::ZERO, Duration::ZERO);
        for line in 0..count {
            let start = self.now;
            let before = self.got[1].get(&chat.1).copied().unwrap_or(0);
            self.muxes[0]
                .stream(start, chat.0)
                .write(vec![7; 200].into())
                .unwrap();
            while self.got[1].get(&chat.1).copied().unwrap_or(0) < before + 200 {
                assert!(
                    self.step(start + seconds(30)),
                    "line {line} does not arrive"
                );
            }
            let took = self.now - start;
            longest = longest.max(took);
            sum += took;
            // Not in step with anything.
            self.run(millis(4_000 + u64::from(line) * 377 % 2_000));
        }
        (longest, sum / count)
    }
}

/// Bytes of a stanza on the wire, as tokio-xmpp and Prosody write them.
fn weight(envelope: &Envelope) -> u64 {
    let mut xml = Vec::new();
    envelope.write(&mut xml);
    match envelope.content {
        Content::Set(_) | Content::Result(_) => xml.len() as u64,
        _ => panic!("not on this path"),
    }
}

/// Payload of `chunk` bytes a second through a server that reads `rate` bytes a second.
fn possible(rate: u64, chunk: u64) -> f64 {
    let of_one = |len: u64| {
        let data = data_of("s", 0, b"");
        let bytes = vec![7; usize::try_from(len).unwrap()].into();
        let sid = sid(&"s".repeat(17));
        let data = xtls_stanza::ibb::Data { bytes, sid, ..data };
        let envelope = Envelope {
            from: Some(address(ROMEO)),
            to: Some(address(JULIET)),
            id: "q".repeat(17),
            content: Content::Set(xtls_stanza::Payload::Data(data)),
        };
        weight(&envelope)
    };
    rate as f64 * chunk as f64 / of_one(chunk) as f64
}

#[test]
fn a_server_that_reads_10_kb_a_second_passes_95_percent_of_what_it_could() {
    for latency in [1, 50, 150] {
        let mut path = Shaped::new([Some(10_000); 2], millis(latency), &Config::default());
        let (ours, theirs) = path.open(65_535);
        path.bulk.push(ours);
        let rate = path.goodput(theirs, 600);
        let chunk = path.muxes[0].stats(ours).unwrap().chunk;
        let share = rate / possible(10_000, chunk as u64);
        eprintln!(
            "{latency} ms: {rate:.0} B/s in chunks of {chunk}, {:.1} % of what is possible",
            share * 100.0
        );
        assert!(share >= 0.95, "{share}");
    }
}

#[test]
fn a_line_beside_bulk_takes_at_most_3_seconds_at_10_kb_a_second() {
    for bulks in [1, 2, 4] {
        let mut path = Shaped::new([Some(10_000); 2], millis(50), &Config::default());
        let chat = path.open(4096);
        for _ in 0..bulks {
            let bulk = path.open(65_535).0;
            path.bulk.push(bulk);
        }
        path.run(seconds(60));
        let (longest, mean) = path.lines(chat, 40);
        eprintln!("beside {bulks}: {longest:?} at most, {mean:?} on average");
        assert!(longest <= seconds(3), "{longest:?} beside {bulks}");
    }
}

#[test]
fn a_line_on_the_bulk_stream_itself_waits_for_the_window_only() {
    let mut path = Shaped::new([Some(10_000); 2], millis(50), &Config::default());
    let (ours, theirs) = path.open(65_535);
    path.bulk.push(ours);
    path.run(seconds(60));
    let before = path.muxes[0].stats(ours).unwrap();
    assert!(before.ack_delay <= seconds(3), "{before:?}");
    assert!(path.got[1][&theirs] > 0);
}

#[test]
fn a_path_of_200_ms_is_filled_to_90_percent_of_the_link() {
    // The link: 2 MB/s, in stanzas as they come. The peer's own uplink carries the answers.
    let mut path = Shaped::new([Some(2_000_000); 2], millis(100), &Config::default());
    let (ours, theirs) = path.open(65_535);
    path.bulk.push(ours);
    path.run(seconds(15));
    let rate = path.goodput(theirs, 15);
    let chunk = path.muxes[0].stats(ours).unwrap().chunk;
    let share = rate / possible(2_000_000, chunk as u64);
    eprintln!(
        "{rate:.0} B/s in chunks of {chunk}, {:.1} % of the link",
        share * 100.0
    );
    assert!(share >= 0.9, "{share}");
}

#[test]
fn a_path_of_200_ms_without_a_limit_is_used_to_90_percent_of_the_largest_window() {
    let mut path = Shaped::new([None; 2], millis(100), &Config::default());
    let (ours, theirs) = path.open(4096);
    path.bulk.push(ours);
    path.run(seconds(15));
    let rate = path.goodput(theirs, 5);
    let Window::Adaptive { max } = Window::default() else {
        panic!()
    };
    let ceiling = f64::from(max) / 0.2;
    eprintln!(
        "{rate:.0} B/s, {:.1} % of {max} bytes in each round",
        rate / ceiling * 100.0
    );
    assert!(rate >= ceiling * 0.9, "{rate} of {ceiling}");
}
