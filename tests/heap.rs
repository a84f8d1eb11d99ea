//! What others can fill holds no more memory than its limit says: every such queue is filled with the worst stanzas
//! that a server lets through, and the heap is measured. This must be the only test of its process: it counts
//! everything that is allocated meanwhile.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use xtls_client::router::{Config, Router, SendError, TunnelEvent};
use xtls_client::transport::{Event as StreamEvent, StartFlow, Transport as _};
use xtls_client::{Accept, Relay, Uplink, relay};
use xtls_ibb::{Allow, Event, Mux};
use xtls_stanza::ibb::{BlockSize, Carrier, Data, Open, Seq, Sid};
use xtls_stanza::{Content, Element, Envelope, Kind, Payload, RawAttr, Stanza, xtls};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tls::trust::{Level, Policy, Store};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// A full address with parts as long as RFC 7622 allows, containing this number.
fn long_address(number: usize) -> String {
    let part = |length: usize| format!("{number:0length$}");
    format!("{}@{}.example/{}", part(1023), part(63), part(1023))
}

/// An id of this length, or as long as the number.
fn id(number: usize, length: usize) -> String {
    let number = number.to_string();
    "0".repeat(length.saturating_sub(number.len())) + &number
}

fn envelope(from: &str, id: String, payload: Payload) -> Envelope {
    let envelope = Envelope {
        from: Some(keys::address(from)),
        to: Some(keys::address(JULIET)),
        id,
        content: Content::Set(payload),
    };
    // As it comes from the link: nothing is shared.
    let mut xml = Vec::new();
    envelope.write(&mut xml);
    Envelope::read(&xml.into()).unwrap()
}

/// Ids from the shortest to the longest that a server lets through.
const IDS: [usize; 5] = [1, 60, 1023, 20_000, 250_000];

fn config(own: &str, key: u8) -> Config {
    let tls = keys::seeded_tls(keys::identity(own, key), [key; 32]);
    Config::new(tls, Arc::new(Store::new()))
}

/// How many requests fill a queue with ids of this length, several times over.
fn asked(ids: usize, most: usize) -> usize {
    most.min((8 << 20) / ids)
}

/// What a full queue holds.
struct Full {
    /// What was there before.
    empty: usize,
    /// The limit in bytes.
    limit: usize,
    held: Box<dyn Any>,
}

type Fill = Box<dyn FnOnce() -> Full>;

fn full(empty: usize, limit: usize, held: impl Any) -> Full {
    let held = Box::new(held);
    Full { empty, limit, held }
}

fn answers_to_strangers(ids: usize, address: bool) -> Full {
    let mut router = Router::new(keys::address(JULIET), config(JULIET, 2), [1; 32]);
    let (now, empty) = (Instant::now(), HEAP.current_usage());
    for number in 0..asked(ids, 4096) {
        let from = if address {
            long_address(number)
        } else {
            ROMEO.to_owned()
        };
        let request = id(number, ids);
        router.handle(now, envelope(&from, request, Payload::Ping));
    }
    full(empty, 262_144, router)
}

fn mux() -> Mux {
    let config = xtls_ibb::Config::default().block_size(BlockSize::MAX);
    let mut mux = Mux::new(keys::address(JULIET), config, [1; 32]);
    mux.allow(Allow::Anyone);
    mux
}

fn data(sid: &str, seq: u16, bytes: usize) -> Payload {
    Payload::Data(Data {
        sid: Sid::new(sid).unwrap(),
        seq: Seq(seq),
        bytes: vec![0; bytes].into(),
    })
}

fn open(sid: &str, extensions: Vec<Element>) -> Payload {
    Payload::Open(Open {
        sid: Sid::new(sid).unwrap(),
        block_size: BlockSize::MAX,
        carrier: Carrier::Iq,
        extensions,
    })
}

fn outbox_of_bytestreams(ids: usize, address: bool) -> Full {
    let mut mux = mux();
    let (now, empty) = (Instant::now(), HEAP.current_usage());
    for number in 0..asked(ids, 8192) {
        let from = if address {
            long_address(number)
        } else {
            ROMEO.to_owned()
        };
        let request = id(number, ids);
        mux.handle(now, envelope(&from, request, data("nowhere", 0, 1)));
    }
    full(empty, 1 << 20, mux)
}

/// Chunks of this size with ids of this size, up to the limit; each repeated this often.
fn received_and_unread(bytes: usize, ids: usize, times: usize) -> Full {
    let mut mux = mux();
    let now = Instant::now();
    mux.handle(
        now,
        envelope(ROMEO, "open".to_owned(), open("s", Vec::new())),
    );
    let Some(Event::Incoming { id: stream, .. }) = mux.poll_event() else {
        panic!("the owner is asked");
    };
    mux.stream(now, stream).accept(None).unwrap();
    while mux.poll_transmit(now).is_some() {}
    let empty = HEAP.current_usage();
    let limit = 2 << 20;
    let each = bytes + times * (128 + ids);
    for number in 0..limit / each {
        for again in 0..times {
            let request = id(number * times + again, ids);
            let seq = u16::try_from(number % 65_536).unwrap();
            mux.handle(now, envelope(ROMEO, request, data("s", seq, bytes)));
        }
    }
    assert!(
        mux.poll_transmit(now).is_none(),
        "the stream stands, and withholds all answers"
    );
    full(empty, limit, mux)
}

/// As many as may wait for the owner, each as large as it may be.
fn opens_that_wait(extensions: &dyn Fn() -> Vec<Element>) -> Full {
    let mut mux = mux();
    let (now, empty) = (Instant::now(), HEAP.current_usage());
    for number in 0..32 {
        let from = format!("u{number}@x.example/r");
        mux.handle(
            now,
            envelope(&from, "r".to_owned(), open("s", extensions())),
        );
    }
    assert!(mux.poll_transmit(now).is_none(), "none was refused");
    full(empty, 32 * 65_536, mux)
}

/// As many as are accepted in a minute, with the longest addresses and ids, and refused at once.
fn opens_remembered() -> Full {
    let mut mux = mux();
    let (now, empty) = (Instant::now(), HEAP.current_usage());
    for number in 0..1000 {
        let id = format!("{number:01023}");
        mux.handle(
            now,
            envelope(&long_address(number), id, open("s", Vec::new())),
        );
        while let Some(event) = mux.poll_event() {
            if let Event::Incoming { id, .. } = event {
                mux.stream(now, id).close();
            }
        }
        while mux.poll_transmit(now).is_some() {}
    }
    // 240 times: the address, its bare form twice at most, and the id.
    full(empty, 240 * (2200 + 2 * 1150 + 1023), mux)
}

fn answers_of_the_original_flow(ids: usize) -> Full {
    let mut flows = StartFlow::new(keys::address(JULIET), [1; 32]);
    let (now, empty) = (Instant::now(), HEAP.current_usage());
    for number in 0..asked(ids, 4096) {
        let request = id(number, ids);
        let data = xtls::Control::Data(Bytes::from_static(b"x"));
        let data = envelope(ROMEO, request, Payload::Xtls(data));
        flows.handle(now, data, &|_| false);
    }
    full(empty, 262_144, flows)
}

/// As many flows as there may be at a time, each with as much unread as it may hold.
fn flows() -> Full {
    let mut flows = StartFlow::new(keys::address(JULIET), [1; 32]);
    let (now, empty) = (Instant::now(), HEAP.current_usage());
    for number in 0..100 {
        let from = long_address(number);
        let control = |control| Payload::Xtls(control);
        let start = xtls::Control::Start { hello: None };
        flows.handle(
            now,
            envelope(&from, format!("{number:01023}"), control(start)),
            &|_| false,
        );
        while let Some(event) = flows.poll_event() {
            if let StreamEvent::Incoming { key, .. } = event {
                flows.answer(now, key, Ok(None)).unwrap();
            }
        }
        while flows.poll_transmit(now).is_some() {}
        let data = xtls::Control::Data(vec![0; 4096].into());
        flows.handle(
            now,
            envelope(&from, format!("{number:01022}d"), control(data)),
            &|_| false,
        );
        flows.poll_event();
        while flows.poll_transmit(now).is_some() {}
    }
    // 64 times: bytes, the ids of the start and of two requests, and the address twice.
    full(empty, 64 * (4096 + 3 * 1023 + 2 * 2200 + 2200), flows)
}

/// Two routers with a tunnel between them.
fn pair() -> [Router; 2] {
    let [romeo, juliet] =
        [(ROMEO, 1, JULIET, 2), (JULIET, 2, ROMEO, 1)].map(|(own, key, peer, theirs)| {
            let mut trust = Store::new();
            let bare = keys::address(peer);
            trust
                .pin(
                    bare.bare(),
                    keys::fingerprint(peer, theirs),
                    Level::FirstUse,
                    0,
                )
                .unwrap();
            let tls = keys::seeded_tls(keys::identity(own, key), [key; 32]);
            let config = Config::new(tls, Arc::new(trust))
                .policy(Policy::Pinned)
                .accept(Accept::Only([bare.to_bare()].into()));
            Router::new(keys::address(own), config, [key; 32])
        });
    [romeo, juliet]
}

/// Passes stanzas between the two until nothing moves.
fn settle(now: Instant, ends: &mut [Router; 2]) -> bool {
    let mut moved = false;
    loop {
        let mut quiet = true;
        for (end, own) in [(0, ROMEO), (1, JULIET)] {
            while let Some(mut sent) = ends[end].poll_transmit(now) {
                sent.from = Some(keys::address(own));
                let mut xml = Vec::new();
                sent.write(&mut xml);
                ends[1 - end].handle(now, Envelope::read(&xml.into()).unwrap());
                quiet = false;
                moved = true;
            }
        }
        if quiet {
            return moved;
        }
    }
}

/// The stanzas of one shape that are sent to a reader that reads nothing.
fn reader_that_reads_nothing(shape: Shape) -> Full {
    let (now, empty) = (Instant::now(), HEAP.current_usage());
    let stanza = shape();
    let mut ends = pair();
    let id = ends[0].open(now, &keys::address(JULIET)).unwrap();
    settle(now, &mut ends);
    while ends[1].poll_event(now).is_some() {}
    let established = std::iter::from_fn(|| ends[0].poll_event(now))
        .any(|event| matches!(event.what, TunnelEvent::Established(_)));
    assert!(established);
    let mut sent = 0;
    loop {
        match ends[0].tunnel(now, id).unwrap().send(&stanza) {
            Ok(()) => sent += 1,
            Err(SendError::Session(xtls_session::SendError::Full)) => {
                if !settle(now, &mut ends) {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 100_000, "there is no limit");
    }
    // What the reader holds, without the writer.
    let [_, juliet] = ends;
    full(empty, 1 << 20, juliet)
}

fn plain() -> Stanza {
    Stanza::new(Kind::Message)
}

fn with_body(length: usize) -> Stanza {
    plain().with_child(&Element::new("body", "jabber:client").with_text("x".repeat(length)))
}

fn with_attributes(attributes: impl Iterator<Item = (String, String)>) -> Stanza {
    let attributes = attributes.map(|(name, value)| RawAttr::new(name, value).unwrap());
    Stanza {
        extra: attributes.collect(),
        ..plain()
    }
}

fn long() -> String {
    "x".repeat(250_000)
}

/// Makes a stanza.
type Shape = fn() -> Stanza;

/// Stanzas of about 250 kB, long in one place or in many; and short ones.
const SHAPES: [(&str, Shape); 10] = [
    ("a body", || with_body(250_000)),
    ("short bodies", || with_body(1)),
    ("bodies of 1 kB", || with_body(1000)),
    ("an id", || plain().with_id(long())),
    ("an attribute", || {
        with_attributes(std::iter::once(("a".to_owned(), long())))
    }),
    ("many attributes", || {
        with_attributes((0..60).map(|n| (format!("a{n}"), "x".repeat(4000))))
    }),
    ("declarations", || {
        with_attributes((0..60).map(|n| (format!("xmlns:p{n}"), "x".repeat(1000))))
    }),
    ("tiny elements", || Stanza {
        children: "<b/>".repeat(62_000).into(),
        ..plain()
    }),
    ("a refused type", || Stanza {
        type_: Some(long().into()),
        kind: Kind::Presence,
        ..plain()
    }),
    ("a refused name", || {
        plain().with_child(&Element::new(long(), "jabber:iq:roster"))
    }),
];

/// A link that isn't read, flooded by this many senders with stanzas of this length.
async fn relay_link(floods: usize, length: usize) -> Full {
    let limit = 1 << 20;
    let relay = Relay::start(relay::Limits::default().queue(limit));
    let link = relay.attach(keys::address(JULIET)).await.unwrap();
    let mut senders = Vec::new();
    for number in 0..floods {
        let from = format!("u{number}@x.example/r");
        senders.push(relay.attach(keys::address(&from)).await.unwrap());
    }
    let empty = HEAP.current_usage();
    let noise = Envelope {
        from: None,
        to: Some(keys::address(JULIET)),
        id: "i".repeat(length),
        content: Content::Get(Payload::Ping),
    };
    let second = std::time::Duration::from_secs(1);
    for sender in &mut senders {
        while tokio::time::timeout(second, sender.send(noise.clone()))
            .await
            .is_ok()
        {}
    }
    // Besides the mailbox, each sender has as much on its way, and 64 stanzas that the relay has not read.
    let own = limit.min(1024 * (length + 200)) + 64 * (length + 200);
    full(empty, limit + floods * own, (relay, link, senders))
}

#[test]
fn every_queue_that_others_can_fill_holds_at_most_half_more_than_its_limit() {
    let mut cases: Vec<(String, Fill)> = Vec::new();
    let mut case = |name: String, fill: Fill| cases.push((name, fill));
    for ids in IDS {
        case(
            format!("answers to strangers, ids of {ids}"),
            Box::new(move || answers_to_strangers(ids, false)),
        );
        case(
            format!("outbox of bytestreams, ids of {ids}"),
            Box::new(move || outbox_of_bytestreams(ids, false)),
        );
        case(
            format!("answers of the original flow, ids of {ids}"),
            Box::new(move || answers_of_the_original_flow(ids)),
        );
    }
    case(
        "answers to strangers, long addresses".to_owned(),
        Box::new(|| answers_to_strangers(1, true)),
    );
    case(
        "outbox of bytestreams, long addresses".to_owned(),
        Box::new(|| outbox_of_bytestreams(1, true)),
    );
    for (bytes, ids, times) in [
        (1, 6, 1),
        (1, 1023, 1),
        (60_000, 10, 1),
        (100, 6, 1),
        (1, 6, 2),
        (100, 1023, 10),
    ] {
        let name = format!("received and unread, {bytes} bytes, ids of {ids}, {times} times");
        case(
            name,
            Box::new(move || received_and_unread(bytes, ids, times)),
        );
    }
    case(
        "opens that wait, text".to_owned(),
        Box::new(|| {
            opens_that_wait(&|| vec![Element::new("a", "urn:a").with_text("x".repeat(64_000))])
        }),
    );
    case(
        "opens that wait, tiny elements".to_owned(),
        Box::new(|| opens_that_wait(&|| (0..300).map(|_| Element::new("a", "urn:a")).collect())),
    );
    case("opens remembered".to_owned(), Box::new(opens_remembered));
    case("flows".to_owned(), Box::new(flows));
    for (shape, stanza) in SHAPES {
        case(
            format!("a reader that reads nothing, {shape}"),
            Box::new(move || reader_that_reads_nothing(stanza)),
        );
    }
    for (floods, length) in [(1, 1), (1, 200_000), (5, 1), (5, 200_000), (5, 2000)] {
        case(
            format!("a relay link, {floods} floods, ids of {length}"),
            Box::new(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .start_paused(true)
                    .build();
                let runtime = runtime.unwrap();
                let mut full = runtime.block_on(relay_link(floods, length));
                full.held = Box::new((full.held, runtime));
                full
            }),
        );
    }
    // Data that is created once, such as tables for TLS and base64.
    drop(reader_that_reads_nothing(plain));
    let mut wrong = Vec::new();
    for (name, fill) in cases {
        let filled = fill();
        let held = HEAP.current_usage().saturating_sub(filled.empty);
        println!("{name}: {held} bytes, {} are the limit", filled.limit);
        if held > filled.limit / 2 * 3 {
            wrong.push(format!(
                "{name}: {held} bytes, {} are the limit",
                filled.limit
            ));
        }
        drop(filled.held);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
