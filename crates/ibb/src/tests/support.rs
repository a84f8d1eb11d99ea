//! A mux with a hand-written peer, and two muxes with a simulated network between them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::ibb::{self, BlockSize, Carrier, Data, Open, Seq, Sid};
use xtls_stanza::{
    Address, Condition, Content, Envelope, ErrorType, MessageKind, Payload, StanzaError,
};

use crate::{Close, Config, Event, Mux, OpenOptions, StreamId, Why};

pub(crate) const ROMEO: &str = "romeo@montague.example/orchard";
pub(crate) const JULIET: &str = "juliet@capulet.example/balcony";

pub(crate) fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

pub(crate) fn sid(text: &str) -> Sid {
    Sid::new(text).unwrap()
}

pub(crate) fn block(bytes: u16) -> BlockSize {
    BlockSize::new(bytes).unwrap()
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn open_of(name: &str, size: u16) -> Open {
    Open {
        sid: sid(name),
        block_size: block(size),
        carrier: Carrier::Iq,
        extensions: Vec::new(),
    }
}

pub(crate) fn data_of(name: &str, seq: u16, bytes: &'static [u8]) -> Data {
    Data {
        sid: sid(name),
        seq: Seq(seq),
        bytes: Bytes::from_static(bytes),
    }
}

/// Juliet's mux, and a Romeo who writes every stanza by hand.
pub(crate) struct Hand {
    pub(crate) mux: Mux,
    pub(crate) now: Instant,
    next: u64,
}

impl Hand {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            mux: Mux::new(address(JULIET), config, [3; 32]),
            now: Instant::now(),
            next: 0,
        }
    }

    /// A mux with an open stream `s` of blocks of 16 bytes.
    pub(crate) fn with_stream(config: Config) -> (Self, StreamId) {
        let mut hand = Self::new(config);
        let id = hand.offer(open_of("s", 16));
        hand.mux.accept(hand.now, id, None).unwrap();
        assert_eq!(hand.answers().len(), 1);
        (hand, id)
    }

    pub(crate) fn offer(&mut self, open: Open) -> StreamId {
        self.send(Content::Set(Payload::Open(open)));
        match self.mux.poll_event() {
            Some(Event::Incoming { id, .. }) => id,
            other => panic!("no Incoming but {other:?}"),
        }
    }

    pub(crate) fn offer_after_events(&mut self, open: Open) -> StreamId {
        self.events();
        self.offer(open)
    }

    fn id(&mut self) -> String {
        self.next += 1;
        format!("r{}", self.next)
    }

    /// Sends from Romeo to Juliet; gives the id.
    pub(crate) fn send(&mut self, content: Content) -> String {
        self.send_from(ROMEO, content)
    }

    pub(crate) fn send_from(&mut self, from: &str, content: Content) -> String {
        let id = self.id();
        let envelope = self.envelope(from, id.clone(), content);
        assert_eq!(self.mux.handle(self.now, envelope), None);
        id
    }

    pub(crate) fn envelope(&self, from: &str, id: String, content: Content) -> Envelope {
        Envelope {
            from: Some(address(from)),
            to: Some(address(JULIET)),
            id,
            content,
        }
    }

    pub(crate) fn data(&mut self, seq: u16, bytes: &'static [u8]) -> String {
        self.send(Content::Set(Payload::Data(data_of("s", seq, bytes))))
    }

    pub(crate) fn message(&mut self, payloads: Vec<Payload>) -> Option<Envelope> {
        let content = Content::Message {
            kind: MessageKind::Normal,
            payloads,
            error: None,
        };
        let id = self.id();
        let envelope = self.envelope(ROMEO, id, content);
        self.mux.handle(self.now, envelope)
    }

    pub(crate) fn close(&mut self) -> String {
        self.send(Content::Set(Payload::Close(ibb::Close { sid: sid("s") })))
    }

    /// A stanza as XML, from Romeo to Juliet.
    pub(crate) fn read(&mut self, xml: &str) {
        let envelope = Envelope::read(&Bytes::copy_from_slice(xml.as_bytes())).unwrap();
        assert_eq!(self.mux.handle(self.now, envelope), None);
    }

    /// A chunk as XML, in a request with the id `x`.
    pub(crate) fn read_data(&mut self, sid: &str, seq: &str, text: &str) {
        self.read(&format!(
            "<iq from='{ROMEO}' to='{JULIET}' id='x' type='set'>\
             <data xmlns='http://jabber.org/protocol/ibb' sid='{sid}' seq='{seq}'>{text}</data></iq>"
        ));
    }

    /// Answers a request of Juliet's.
    pub(crate) fn answer(&mut self, request: &Envelope, content: Content) {
        let envelope = self.envelope(ROMEO, request.id.clone(), content);
        assert_eq!(self.mux.handle(self.now, envelope), None);
    }

    pub(crate) fn answers(&mut self) -> Vec<Envelope> {
        std::iter::from_fn(|| self.mux.poll_transmit(self.now)).collect()
    }

    /// The one stanza that leaves.
    pub(crate) fn one(&mut self) -> Envelope {
        let mut answers = self.answers();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    /// Checks that exactly this request is answered, with this error.
    pub(crate) fn expect_error(&mut self, id: &str, condition: Condition, kind: ErrorType) {
        let all = self.answers();
        let answers: Vec<&Envelope> = all.iter().filter(|e| e.id == id).collect();
        assert_eq!(answers.len(), 1, "{all:?}");
        assert_eq!(answers[0].to, Some(address(ROMEO)));
        assert_eq!(
            answers[0].content,
            Content::Error(StanzaError::new(kind, condition))
        );
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.mux.poll_event()).collect()
    }

    pub(crate) fn closed(&mut self) -> Option<Close> {
        closed_in(&self.events())
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.mux.handle_timeout(self.now);
    }
}

pub(crate) fn closed_in(events: &[Event]) -> Option<Close> {
    let mut closes = events.iter().filter_map(|event| match event {
        Event::Closed { close, .. } => Some(close.clone()),
        _ => None,
    });
    let close = closes.next();
    assert_eq!(closes.next(), None, "closed twice");
    close
}

pub(crate) fn is_close(envelope: &Envelope) -> bool {
    matches!(envelope.content, Content::Set(Payload::Close(_)))
}

pub(crate) fn is_result(envelope: &Envelope) -> bool {
    matches!(envelope.content, Content::Result(None))
}

pub(crate) fn data_in(envelope: &Envelope) -> &Data {
    match &envelope.content {
        Content::Set(Payload::Data(data)) => data,
        Content::Message { payloads, .. } => match &payloads[0] {
            Payload::Data(data) => data,
            other => panic!("no chunk but {other:?}"),
        },
        other => panic!("no chunk but {other:?}"),
    }
}

/// What the network does with one stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    Delay(Duration),
    Lose,
    Double,
    /// A request comes back with this error, from the address that it went to.
    Bounce(ErrorType, Condition),
}

/// Two muxes and what is under way between them. Order is kept, as RFC 6120 §10.1 promises.
pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) ends: [End; 2],
    pub(crate) latency: Duration,
    pub(crate) fate: Box<dyn FnMut(&Envelope) -> Fate>,
    wire: BTreeMap<(Instant, u64), (usize, Envelope)>,
    sent: u64,
    last_arrival: [Option<Instant>; 2],
}

pub(crate) struct End {
    pub(crate) mux: Mux,
    pub(crate) events: Vec<Event>,
    /// What each stream has received, and what it still has to write.
    pub(crate) received: BTreeMap<StreamId, Vec<u8>>,
    pub(crate) to_write: BTreeMap<StreamId, VecDeque<Bytes>>,
    pub(crate) close_when_written: bool,
    /// A reader that reads nothing.
    pub(crate) stuck: bool,
    /// What the reader takes at once.
    pub(crate) read_size: usize,
}

impl End {
    fn new(own: &str, config: Config, seed: u8) -> Self {
        Self {
            mux: Mux::new(address(own), config, [seed; 32]),
            events: Vec::new(),
            received: BTreeMap::new(),
            to_write: BTreeMap::new(),
            close_when_written: false,
            stuck: false,
            read_size: usize::MAX,
        }
    }

    /// How each stream ended; panics when one ended twice or spoke after its end.
    pub(crate) fn closes(&self) -> BTreeMap<StreamId, Close> {
        let mut closes = BTreeMap::new();
        for event in &self.events {
            let id = match event {
                Event::Incoming { id, .. }
                | Event::Opened { id, .. }
                | Event::Readable { id }
                | Event::Writable { id }
                | Event::Closed { id, .. } => *id,
            };
            assert!(!closes.contains_key(&id), "{event:?} after the end");
            if let Event::Closed { close, .. } = event {
                closes.insert(id, close.clone());
            }
        }
        closes
    }
}

impl Pair {
    pub(crate) fn new(romeo: Config, juliet: Config) -> Self {
        Self {
            now: Instant::now(),
            ends: [End::new(ROMEO, romeo, 1), End::new(JULIET, juliet, 2)],
            latency: millis(50),
            fate: Box::new(|_| Fate::Pass),
            wire: BTreeMap::new(),
            sent: 0,
            last_arrival: [None; 2],
        }
    }

    pub(crate) fn open(&mut self, from: usize, options: OpenOptions) -> StreamId {
        let to = self.ends[1 - from].mux.own().clone();
        self.ends[from].mux.open(self.now, &to, options).unwrap()
    }

    /// An open stream: Romeo's id and Juliet's.
    pub(crate) fn stream(&mut self, options: OpenOptions) -> (StreamId, StreamId) {
        let ours = self.open(0, options);
        self.run(seconds(10));
        let theirs = self.ends[1].events.iter().find_map(|event| match event {
            Event::Incoming { id, .. } => Some(*id),
            _ => None,
        });
        (ours, theirs.unwrap())
    }

    pub(crate) fn queue(&mut self, end: usize, id: StreamId, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.ends[end]
            .to_write
            .entry(id)
            .or_default()
            .push_back(bytes);
    }

    /// Lets everything happen that can within `time`. Both owners accept, write and read.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.work();
            let arrival = self.wire.keys().next().map(|(at, _)| *at);
            let timers = self
                .ends
                .iter()
                .filter_map(|end| end.mux.poll_timeout())
                .map(|d| d.at);
            let Some(next) = timers.chain(arrival).min().filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.wire.first_entry().filter(|e| e.key().0 <= self.now) {
                let (to, envelope) = entry.remove();
                self.ends[to].mux.handle(self.now, envelope);
                self.work();
            }
            for end in &mut self.ends {
                end.mux.handle_timeout(self.now);
            }
        }
        self.now = until;
    }

    /// The owners' part, and what leaves.
    pub(crate) fn work(&mut self) {
        for at in 0..2 {
            let now = self.now;
            let end = &mut self.ends[at];
            while let Some(event) = end.mux.poll_event() {
                if let Event::Incoming { id, .. } = &event {
                    end.mux.accept(now, *id, None).unwrap();
                }
                end.events.push(event);
            }
            for (id, queue) in &mut end.to_write {
                while let Some(mut bytes) = queue.pop_front() {
                    let Ok(taken) = end.mux.write(now, *id, bytes.clone()) else {
                        queue.clear();
                        break;
                    };
                    if taken < bytes.len() {
                        queue.push_front(bytes.split_off(taken));
                        break;
                    }
                }
                if queue.is_empty() && end.close_when_written {
                    end.mux.close(now, *id);
                }
            }
            if !end.stuck {
                let ids: Vec<StreamId> = end.events.iter().filter_map(readable).collect();
                for id in ids {
                    while let Some(bytes) = end.mux.read(now, id, end.read_size) {
                        end.received
                            .entry(id)
                            .or_default()
                            .extend_from_slice(&bytes);
                    }
                }
            }
            while let Some(event) = end.mux.poll_event() {
                end.events.push(event);
            }
            end.events
                .dedup_by(|b, a| readable(a).is_some() && readable(a) == readable(b));
            while let Some(envelope) = self.ends[at].mux.poll_transmit(now) {
                self.post(at, envelope);
            }
        }
    }

    fn post(&mut self, from: usize, envelope: Envelope) {
        let (to, copies, extra) = match (self.fate)(&envelope) {
            Fate::Pass => (1 - from, 1, Duration::ZERO),
            Fate::Delay(extra) => (1 - from, 1, extra),
            Fate::Lose => return,
            Fate::Double => (1 - from, 2, Duration::ZERO),
            Fate::Bounce(kind, condition) => {
                if matches!(envelope.content, Content::Set(_)) {
                    let back = envelope.error(StanzaError::new(kind, condition));
                    self.enqueue(from, back, Duration::ZERO);
                    return;
                }
                (1 - from, 1, Duration::ZERO)
            }
        };
        for _ in 0..copies {
            self.enqueue(to, envelope.clone(), extra);
        }
    }

    fn enqueue(&mut self, to: usize, envelope: Envelope, extra: Duration) {
        let at = self.now + self.latency + extra;
        let at = self.last_arrival[to].map_or(at, |last| last.max(at));
        self.last_arrival[to] = Some(at);
        self.sent += 1;
        self.wire.insert((at, self.sent), (to, envelope));
    }

    pub(crate) fn why(&self, end: usize, id: StreamId) -> Option<Why> {
        self.ends[end]
            .closes()
            .get(&id)
            .map(|close| close.why.clone())
    }
}

fn readable(event: &Event) -> Option<StreamId> {
    match event {
        Event::Readable { id } => Some(*id),
        _ => None,
    }
}

pub(crate) fn seq(number: u16) -> Seq {
    Seq(number)
}
