//! What stanzas cost on the heap, in a stream that has been busy for a while: link and server in memory, without TLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by failing"
)]

use std::time::Instant;

use allocation_counter::{AllocationInfo, measure};
use xtls_link::bytes::Bytes;
use xtls_link::stanza::ibb::{Data, Seq, Sid};
use xtls_link::stanza::{Address, AddressCache, Content, Envelope, Payload};
use xtls_link::zeroize::Zeroizing;
use xtls_link::{Event, Session, Stream};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='1' from='example.org' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const PLAIN: &str = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>";
const BIND_AND_SM: &str =
    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>";

/// Stanzas of a round, rounds before the one that counts, and stanzas that the server acknowledges at once.
const STANZAS: usize = 100;
const WARM: usize = 3;
const AT_ONCE: usize = 5;

/// A logged-in stream with stream management, and how many stanzas its server has taken.
struct Pair {
    stream: Stream,
    now: Instant,
    taken: u32,
}

impl Pair {
    fn open() -> Self {
        let now = Instant::now();
        let account = Address::new("juliet@example.org").unwrap();
        let password = Zeroizing::new("pencil".to_owned());
        let session = Session::new(&account, password, [7; 32]).unwrap();
        let mut pair = Self {
            stream: Stream::new(session.allow_plain(true), None, now),
            now,
            taken: 0,
        };
        pair.say(&format!(
            "{HEADER}<stream:features>{PLAIN}</stream:features>"
        ));
        pair.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        pair.heard();
        pair.say(&format!(
            "{HEADER}<stream:features>{BIND_AND_SM}</stream:features>"
        ));
        let request = pair.heard();
        let (_, id) = request.split_once("id='").unwrap();
        let (id, _) = id.split_once('\'').unwrap();
        pair.say(&format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>juliet@example.org/balcony</jid></bind></iq>\
             <enabled xmlns='urn:xmpp:sm:3' id='first' resume='true'/>"
        ));
        pair.heard();
        assert!(pair.stream.is_open());
        pair
    }

    fn say(&mut self, text: &str) {
        self.stream.handle_bytes(self.now, text.as_bytes());
        while self.stream.poll_event(self.now).unwrap().is_some() {}
    }

    fn heard(&mut self) -> String {
        let mut heard = String::new();
        while let Some(octets) = self.stream.poll_transmit(self.now) {
            heard.push_str(std::str::from_utf8(octets).unwrap());
        }
        heard
    }

    /// Reads as a link does: up to 16,384 bytes into the stream's own buffer, then one stanza after the other.
    fn read(&mut self, mut wire: &[u8], addresses: &mut AddressCache) -> usize {
        let mut stanzas = 0;
        while !wire.is_empty() {
            let (piece, rest) = wire.split_at(wire.len().min(16_384));
            wire = rest;
            let buffer = self.stream.buffer();
            buffer.reserve(16_384);
            buffer.extend_from_slice(piece);
            self.stream.heard(self.now);
            while let Some(event) = self.stream.poll_event(self.now).unwrap() {
                let Event::Stanza(octets) = event else {
                    panic!("{event:?}")
                };
                let envelope = Envelope::read_cached(&octets, addresses).unwrap();
                assert!(matches!(envelope.content, Content::Set(Payload::Data(_))));
                stanzas += 1;
            }
        }
        stanzas
    }

    /// Writes one, and lets the server take it.
    fn write(&mut self, envelope: &Envelope) -> usize {
        self.stream.send_with(|out| envelope.write(out)).unwrap();
        let mut octets = 0;
        while let Some(piece) = self.stream.poll_transmit(self.now) {
            octets += piece.len();
        }
        self.taken += 1;
        octets
    }

    fn acknowledge(&mut self) {
        let a = format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.taken);
        self.say(&a);
    }
}

fn chunk(number: usize, size: usize) -> Envelope {
    Envelope {
        from: None,
        to: Some(Address::new("romeo@example.net/orchard").unwrap()),
        id: format!("x{number}"),
        content: Content::Set(Payload::Data(Data {
            sid: Sid::new("s").unwrap(),
            seq: Seq(u16::try_from(number).unwrap()),
            bytes: Bytes::from(vec![0x5a; size]),
        })),
    }
}

fn each(info: &AllocationInfo) -> f64 {
    f64::from(u32::try_from(info.count_total).unwrap()) / f64::from(u32::try_from(STANZAS).unwrap())
}

#[test]
fn a_chunk_that_comes_in_takes_two_allocations() {
    for size in [1_024, 4_096, 65_535] {
        let mut wire = Vec::new();
        for number in 0..STANZAS {
            let mut envelope = chunk(number, size);
            envelope.from = envelope.to.take();
            envelope.to = Some(Address::new("juliet@example.org/balcony").unwrap());
            envelope.write(&mut wire);
        }
        let mut pair = Pair::open();
        let mut addresses = AddressCache::default();
        for _ in 0..WARM {
            assert_eq!(pair.read(&wire, &mut addresses), STANZAS);
        }
        let info = measure(|| assert_eq!(pair.read(&wire, &mut addresses), STANZAS));
        println!("{size}: {} allocations each", each(&info));
        assert!(each(&info) <= 2.05, "{size}: {info:?}");
    }
}

#[test]
fn a_chunk_that_goes_out_takes_none() {
    for size in [1_024, 4_096, 65_535] {
        let envelopes: Vec<_> = (0..STANZAS).map(|number| chunk(number, size)).collect();
        let mut pair = Pair::open();
        let mut counts = Vec::new();
        for _ in 0..=WARM {
            let mut count = 0;
            for few in envelopes.chunks(AT_ONCE) {
                let info = measure(|| {
                    for envelope in few {
                        assert!(pair.write(envelope) > size);
                    }
                });
                count += info.count_total;
                pair.acknowledge();
            }
            counts.push(count);
        }
        println!("{size}: allocations in rounds of {STANZAS}: {counts:?}");
        assert_eq!(counts.last(), Some(&0), "{size}: {counts:?}");
    }
}
