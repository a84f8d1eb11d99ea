//! A stream without a network: a server that is a script in memory, octets in, octets and events out, in every cutting.

mod bind;
mod end;
mod hostile;
mod login;
mod model;
mod open;
mod refusals;
mod resume;
mod sasl2;

use std::collections::VecDeque;
use std::time::Duration;

use xtls_stanza::Address;
use zeroize::Zeroizing;

use super::*;
use crate::flow::{MAX_ELEMENTS, MAX_OTHER, MAX_STANZA, ROOM};
use crate::header::MAX_ELEMENT;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='1' from='example.org' \
    xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en' version='1.0'>";
const PLAIN: &str = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
const SM: &str = "<sm xmlns='urn:xmpp:sm:3'/>";
const BIND_AND_SM: &str =
    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='first' resume='true' max='300'/>";
const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const RESOURCE: &str = "juliet@example.org/balcony";

fn features(inside: &str) -> String {
    format!("<stream:features>{inside}</stream:features>")
}

fn a(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs a script in every cutting of what its server says.
fn in_every_cutting(script: impl Fn(Peer)) {
    for pieces in [usize::MAX, 1, 2, 3, 7] {
        println!("in pieces of {pieces}");
        script(Peer::new(Cutting::Even(pieces)));
    }
    for seed in 0..3 {
        println!("in pieces by the seed {seed}");
        script(Peer::new(Cutting::Random(seed)));
    }
}

/// How what the server says is cut.
#[derive(Clone)]
enum Cutting {
    /// Into pieces of so many octets.
    Even(usize),
    /// By a seed.
    Random(u64),
}

impl Cutting {
    fn next(&mut self) -> usize {
        match self {
            Self::Even(len) => *len,
            Self::Random(seed) => {
                // SplitMix64.
                *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let z = (*seed ^ *seed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
                1 + usize::try_from((z ^ z >> 31) % 40).unwrap()
            }
        }
    }
}

/// A stream, the time, and the server's end of it.
struct Peer {
    stream: Stream,
    now: Instant,
    cutting: Cutting,
    /// What the client has said that nobody has looked at.
    said: String,
    events: VecDeque<Event>,
    /// How it has ended.
    end: Option<ConnectError>,
}

fn session() -> Session {
    let account = Address::new("juliet@example.org").unwrap();
    Session::new(&account, Zeroizing::new("pencil".to_owned()), [7; 32])
        .unwrap()
        .allow_plain(true)
        .bind2(true)
}

impl Peer {
    fn new(cutting: Cutting) -> Self {
        Self::of(session(), Instant::now(), cutting)
    }

    fn of(session: Session, now: Instant, cutting: Cutting) -> Self {
        let exporter = Exporter::new(Zeroizing::new([7; 32]));
        let mut peer = Self {
            stream: Stream::new(session, Some(exporter), now),
            now,
            cutting,
            said: String::new(),
            events: VecDeque::new(),
            end: None,
        };
        peer.write();
        peer
    }

    /// With stanzas, and without XEP-0198.
    fn open(mut self) -> Self {
        self.log_in(BIND);
        self.bind(RESOURCE);
        self.said();
        self
    }

    /// With a session that can be resumed for five minutes.
    fn open_with_sm(mut self) -> Self {
        self.log_in(BIND_AND_SM);
        self.bind(RESOURCE);
        self.say(ENABLED);
        self.said();
        self
    }

    /// The server says this.
    fn say(&mut self, text: impl AsRef<[u8]>) {
        let mut rest = text.as_ref();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(self.cutting.next().min(rest.len()));
            rest = after;
            self.stream.handle_bytes(self.now, piece);
            self.read();
        }
        self.write();
    }

    fn read(&mut self) {
        loop {
            match self.stream.poll_event(self.now) {
                Ok(Some(Event::Derive(job))) => self.stream.handle_keys(job.run()),
                Ok(Some(event)) => {
                    assert!(self.end.is_none(), "{event:?} after {:?}", self.end);
                    self.events.push_back(event);
                }
                Ok(None) => return,
                Err(error) => {
                    assert!(self.end.is_none(), "{error:?} after {:?}", self.end);
                    self.end = Some(error);
                }
            }
        }
    }

    fn write(&mut self) {
        while let Some(octets) = self.stream.poll_transmit(self.now) {
            self.said.push_str(std::str::from_utf8(octets).unwrap());
        }
    }

    /// What the client has said since the last time.
    fn said(&mut self) -> String {
        std::mem::take(&mut self.said)
    }

    /// The id of the last request among what the client has said.
    fn id(&mut self) -> String {
        let said = self.said();
        let (_, rest) = said.rsplit_once(" id='").unwrap();
        rest.split_once('\'').unwrap().0.to_owned()
    }

    /// The client begins a stream, and the server answers with its own.
    fn greet(&mut self, inside: &str) {
        let said = self.said();
        assert!(said.ends_with(" version='1.0'>"), "{said}");
        self.say(format!("{HEADER}{}", features(inside)));
    }

    /// Up to what the server offers after the log-in.
    fn log_in(&mut self, inside: &str) {
        self.greet(PLAIN);
        let said = self.said();
        assert!(
            said.contains("<auth ") && said.ends_with("</auth>"),
            "{said}"
        );
        self.say(SUCCESS);
        self.greet(inside);
    }

    /// Binds this address, whatever was asked for.
    fn bind(&mut self, address: &str) {
        let id = self.id();
        self.say(bound(&id, address));
        assert_eq!(self.error(), None);
        let opened = self.opened();
        assert!(matches!(opened, Opened::Bound { .. }), "{opened:?}");
    }

    fn opened(&mut self) -> Opened {
        match self.events.pop_front() {
            Some(Event::Opened(opened)) => opened,
            other => panic!("{other:?} {:?}", self.end),
        }
    }

    /// The stanzas that have come, and nothing else has.
    fn stanzas(&mut self) -> Vec<String> {
        let events = self.events.drain(..).map(|event| {
            let Event::Stanza(octets) = event else {
                panic!("{event:?}")
            };
            String::from_utf8(octets.to_vec()).unwrap()
        });
        events.collect()
    }

    /// How the stream has ended, if it has.
    fn error(&mut self) -> Option<ConnectError> {
        self.end.clone()
    }

    fn protocol(&mut self) -> String {
        match self.error() {
            Some(ConnectError::Protocol { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }

    fn send(&mut self, stanza: &str) {
        assert!(self.stream.has_room());
        self.queue(stanza);
        self.write();
    }

    /// Sends it, but it does not leave yet.
    fn queue(&mut self, stanza: &str) {
        assert_eq!(self.offer(stanza), Ok(()));
    }

    fn offer(&mut self, stanza: &str) -> Result<(), NotSent> {
        self.stream
            .send_with(|out| out.extend_from_slice(stanza.as_bytes()))
    }

    /// So much time passes, and what is due is done when it is.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.stream.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            if let Err(error) = self.stream.handle_timeout(self.now) {
                assert_eq!(self.end.replace(error), None);
            }
            self.read();
            self.write();
        }
        self.now = end;
    }

    /// The connection is gone, and another is made.
    fn again(self) -> Self {
        let (now, cutting) = (self.now, self.cutting);
        Self::of(self.stream.into_session(now), now, cutting)
    }
}

/// The answer to a request to bind.
fn bound(id: &str, address: &str) -> String {
    format!(
        "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{address}</jid></bind></iq>"
    )
}

fn error(id: &str, condition: &str) -> String {
    format!(
        "<iq type='error' id='{id}'><error type='cancel'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
}
