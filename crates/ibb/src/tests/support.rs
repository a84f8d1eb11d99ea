//! A mux with a hand-written peer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::ibb::{self, BlockSize, Carrier, Data, Open, Seq, Sid};
use xtls_stanza::{
    Address, Condition, Content, Envelope, ErrorType, MessageKind, Payload, StanzaError,
};

use crate::{Allow, Close, Config, Event, Mux, StreamId};

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
        let mut mux = Mux::new(address(JULIET), config, [3; 32]);
        mux.allow(Allow::Anyone);
        Self {
            mux,
            now: Instant::now(),
            next: 0,
        }
    }

    /// A mux with an open stream `s` of blocks of 16 bytes.
    pub(crate) fn with_stream(config: Config) -> (Self, StreamId) {
        let mut hand = Self::new(config);
        let id = hand.offer(open_of("s", 16));
        hand.mux.stream(hand.now, id).accept(None).unwrap();
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

    /// Sends from Romeo to Juliet; returns the id.
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

pub(crate) fn seq(number: u16) -> Seq {
    Seq(number)
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from((at * 7 + at / 251) % 256).unwrap())
        .collect()
}
