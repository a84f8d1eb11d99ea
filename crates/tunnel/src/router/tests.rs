//! Two routers, and everything between them in the hands of the test.

#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "any moment will do, and a test names what it looks for"
)]

mod answers;
mod attacks;
mod beginning;
mod closing;
mod crossing;
mod early;
mod endings;
mod judging;
mod leaving;
mod limits;
mod moving;
mod opens;
mod original;
mod parting;
mod patience;
mod pauses;
mod pressure;
mod relabelled;
mod renewing;
mod replacing;
mod sea;
mod side_by_side;
mod streams;
mod switching;
mod taking;
mod transports;
mod trusting;
mod two_keys;
mod verifying;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use xtls_session::{Mode, Service, Verdict};
use xtls_stanza::{Address, Content, Element, Envelope, Kind, Payload, Stanza, ibb, xtls};
use xtls_tls::Identity;
use xtls_tls::rustls::time_provider::DefaultTimeProvider;
use xtls_tls::trust::{Level, Method, Policy, Store};
use zeroize::Zeroizing;

use super::{
    Accept, Closed, Config, Event, Gone, JudgeError, Router, TunnelEvent, TunnelId, TunnelMut, Why,
};

/// The smaller address, which wins when opens cross.
pub(super) const A: usize = 0;
/// The larger one.
pub(super) const B: usize = 1;

pub(super) const NAMES: [&str; 2] = ["a@west.example/one", "b@east.example/two"];

pub(super) fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

/// A key that follows from a number.
pub(super) fn identity(jid: &str, number: u8) -> Arc<Identity> {
    let seed = Zeroizing::new([number; 32]);
    Arc::new(Identity::generate(address(jid).bare(), &seed, 1_229_299_200).unwrap())
}

fn tls(identity: &Arc<Identity>) -> xtls_tls::Config {
    let crypto = xtls_tls::default_provider();
    xtls_tls::Config::new(Arc::clone(identity), crypto, Arc::new(DefaultTimeProvider)).unwrap()
}

/// A store that has verified these keys.
pub(super) fn verified(keys: &[(&str, u8)]) -> Arc<Store> {
    let mut store = Store::new();
    for (jid, number) in keys {
        let (jid, key) = (address(jid), identity(jid, *number).fingerprint());
        let level = Level::Verified(Method::Fingerprint);
        store
            .pin_another(jid.bare(), key, level, 1_229_299_200)
            .unwrap();
    }
    Arc::new(store)
}

/// The config of one end that has verified the other's key and accepts it.
pub(super) fn config(end: usize) -> Config {
    let number = |end| u8::try_from(end).unwrap() + 1;
    let identity = identity(NAMES[end], number(end));
    let peer = NAMES[1 - end];
    Config::new(tls(&identity), verified(&[(peer, number(1 - end))]))
        .policy(Policy::Pinned)
        .accept(Accept::Only([address(peer).to_bare()].into()))
}

/// The service of a byte tunnel.
pub(super) fn pipe() -> Service {
    Service::new("pipe", Mode::Bytes)
}

/// The config of one end that carries bytes.
pub(super) fn in_bytes(end: usize) -> Config {
    config(end).service(pipe())
}

/// A config of A with another key.
pub(super) fn another_a(number: u8) -> Config {
    Config::new(tls(&identity(NAMES[A], number)), verified(&[(NAMES[B], 2)])).policy(Policy::Pinned)
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) router: Router,
    /// What the owner has taken.
    pub(super) events: Vec<Event>,
    /// The owner takes events.
    pub(super) taking: bool,
    /// The owner says that it has taken what it took.
    pub(super) confirming: bool,
    /// What the owner says of unknown keys.
    pub(super) verdict: Option<Verdict>,
    /// Stanzas on their way to the other end.
    pub(super) wire: VecDeque<Envelope>,
    /// Stanzas to anybody else.
    pub(super) others: Vec<Envelope>,
}

type Alter = Box<dyn FnMut(usize, Envelope) -> Envelope>;
type Filter = Box<dyn FnMut(usize, &Envelope) -> bool>;

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) ends: [End; 2],
    /// Everything that left an end for the other, in order.
    pub(super) log: Vec<(usize, Envelope)>,
    /// Lets a stanza of an end pass, or loses it.
    pub(super) filter: Option<Filter>,
    /// What the server makes of a stanza of an end.
    pub(super) alter: Option<Alter>,
    pub(in crate::router::tests) sea: sea::Sea,
    seeds: u8,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(config(A), config(B))
    }

    pub(super) fn with(a: Config, b: Config) -> Self {
        let end = |end: usize, config| End {
            router: Router::new(
                address(NAMES[end]),
                config,
                [u8::try_from(end).unwrap(); 32],
            ),
            events: Vec::new(),
            taking: true,
            confirming: true,
            verdict: None,
            wire: VecDeque::new(),
            others: Vec::new(),
        };
        Self {
            now: Instant::now(),
            ends: [end(A, a), end(B, b)],
            log: Vec::new(),
            filter: None,
            alter: None,
            sea: sea::Sea::default(),
            seeds: 9,
        }
    }

    /// The end starts anew under its old address, and knows of nothing.
    pub(super) fn restart(&mut self, end: usize, config: Config) {
        self.seeds += 1;
        self.ends[end].router = Router::new(address(NAMES[end]), config, [self.seeds; 32]);
        self.ends[end].events.clear();
        self.ends[end].wire.clear();
    }

    /// A tunnel of one end, now.
    pub(super) fn tunnel(&mut self, end: usize, id: TunnelId) -> TunnelMut<'_> {
        let now = self.now;
        self.router(end).tunnel(now, id).unwrap()
    }

    /// The same for one that may have ended, as if it had been borrowed before.
    pub(super) fn late(&mut self, end: usize, id: TunnelId) -> TunnelMut<'_> {
        let now = self.now;
        TunnelMut::new(self.router(end), now, id)
    }

    pub(super) fn router(&mut self, end: usize) -> &mut Router {
        &mut self.ends[end].router
    }

    pub(super) fn open(&mut self, end: usize) -> TunnelId {
        let now = self.now;
        self.router(end)
            .open(now, &address(NAMES[1 - end]))
            .unwrap()
    }

    /// Opens a tunnel for this service.
    pub(super) fn open_for(&mut self, end: usize, service: &Service) -> TunnelId {
        let now = self.now;
        self.router(end)
            .open_for(now, &address(NAMES[1 - end]), service.clone())
            .unwrap()
    }

    /// Opens from `end` and establishes; the tunnel's names at A and at B.
    pub(super) fn establish(&mut self, end: usize) -> [TunnelId; 2] {
        let own = self.open(end);
        self.settle();
        let peer = self.last_id(1 - end);
        assert!(self.established(end, own) && self.established(1 - end, peer));
        if end == A { [own, peer] } else { [peer, own] }
    }

    /// The tunnel that an end heard of last.
    pub(super) fn last_id(&self, end: usize) -> TunnelId {
        self.ends[end]
            .events
            .iter()
            .map(|event| event.id)
            .max()
            .unwrap()
    }

    pub(super) fn established(&self, end: usize, id: TunnelId) -> bool {
        self.whats(end, id)
            .any(|what| matches!(what, TunnelEvent::Established(_)))
    }

    pub(super) fn whats(&self, end: usize, id: TunnelId) -> impl Iterator<Item = &TunnelEvent> {
        let events = self.ends[end].events.iter();
        events
            .filter(move |event| event.id == id)
            .map(|event| &event.what)
    }

    /// The ids of the messages that a tunnel has brought.
    pub(super) fn received(&self, end: usize, id: TunnelId) -> Vec<String> {
        let id_of = |what: &TunnelEvent| match what {
            TunnelEvent::Stanza(stanza) => stanza.id.clone(),
            _ => None,
        };
        self.whats(end, id).filter_map(id_of).collect()
    }

    /// How a tunnel has ended, if it has: once, and with its last event.
    pub(super) fn ended(&self, end: usize, id: TunnelId) -> Option<Closed> {
        let whats: Vec<_> = self.whats(end, id).collect();
        let last = whats
            .iter()
            .position(|what| matches!(what, TunnelEvent::Closed(_)))?;
        assert_eq!(
            last + 1,
            whats.len(),
            "something came after the end: {whats:?}"
        );
        match whats[last] {
            TunnelEvent::Closed(closed) => Some(closed.clone()),
            _ => None,
        }
    }

    pub(super) fn closed(&self, end: usize, id: TunnelId) -> Closed {
        self.ended(end, id)
            .unwrap_or_else(|| panic!("not ended: {:?}", self.whats(end, id).collect::<Vec<_>>()))
    }

    /// Both ends of a tunnel have ended in order, and left nothing behind.
    pub(super) fn assert_clean(&self, ids: [TunnelId; 2]) {
        for end in [A, B] {
            let closed = self.closed(end, ids[end]);
            let finished = Why::Session(xtls_session::Why::Finished);
            assert!(closed.clean && closed.why == finished, "{end}: {closed:?}");
            assert_eq!(closed.unconfirmed, 0);
            assert_eq!(
                self.ends[end].router.leftovers(),
                0,
                "{:?}",
                self.ends[end].router
            );
        }
    }

    pub(super) fn say(&mut self, end: usize, id: TunnelId, name: &str) {
        self.tunnel(end, id).send(&message(name, "word")).unwrap();
    }

    /// Takes what an end says, as far as its owner takes anything.
    pub(super) fn flush(&mut self, end: usize) -> bool {
        let now = self.now;
        let mut moved = false;
        loop {
            let mut quiet = true;
            let this = &mut self.ends[end];
            while this.taking
                && let Some(event) = this.router.poll_event(now)
            {
                quiet = false;
                if let TunnelEvent::Judge(introduction) = &event.what
                    && let Some(verdict) = this.verdict
                {
                    let key = introduction.fingerprint;
                    this.router
                        .tunnel(now, event.id)
                        .unwrap()
                        .judge(key, verdict)
                        .unwrap();
                }
                if event.what == TunnelEvent::PeerFinished && this.confirming {
                    TunnelMut::new(&mut this.router, now, event.id).took();
                }
                this.events.push(event);
            }
            while let Some(envelope) = self.ends[end].router.poll_transmit(now) {
                quiet = false;
                self.post(end, envelope);
            }
            if quiet {
                return moved;
            }
            moved = true;
        }
    }

    fn post(&mut self, end: usize, mut envelope: Envelope) {
        envelope.from = Some(address(NAMES[end]));
        let envelope = reread(&envelope);
        if envelope.to != Some(address(NAMES[1 - end])) {
            self.ends[end].others.push(envelope);
            return;
        }
        self.log.push((end, envelope.clone()));
        let envelope = match &mut self.alter {
            Some(alter) => reread(&alter(end, envelope)),
            None => envelope,
        };
        let passes = match &mut self.filter {
            Some(filter) => filter(end, &envelope),
            None => true,
        };
        if passes {
            self.ends[end].wire.push_back(envelope);
        }
    }

    /// Brings the next stanza of `end` to the other; false when there is none.
    pub(super) fn deliver(&mut self, end: usize) -> bool {
        self.flush(end);
        let Some(envelope) = self.ends[end].wire.pop_front() else {
            return false;
        };
        let now = self.now;
        self.router(1 - end).handle(now, envelope);
        self.flush(1 - end);
        true
    }

    /// Until nothing moves.
    pub(super) fn settle(&mut self) {
        for _ in 0..1_000_000 {
            let moved = self.deliver(A) | self.sail();
            if !self.deliver(B) && !moved {
                return;
            }
        }
        panic!("the world never comes to rest");
    }

    /// Lets time pass, deadlines included. No deadline may fire for ever.
    pub(super) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..100_000 {
            self.settle();
            let next = self.ends.iter().filter_map(|end| end.router.poll_timeout());
            let Some(at) = next
                .map(|deadline| deadline.at)
                .min()
                .filter(|at| *at <= until)
            else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            let now = self.now;
            for end in [A, B] {
                self.router(end).handle_timeout(now);
            }
        }
        panic!(
            "a deadline fires for ever: {:?}",
            self.ends.each_ref().map(|e| e.router.poll_timeout())
        );
    }

    /// A stanza from anybody to `end`, as text; what it was answered.
    pub(super) fn inject(&mut self, end: usize, from: Option<&str>, xml: &str) -> Vec<Envelope> {
        self.flush(end);
        let from = from
            .map(|from| format!(" from='{from}'"))
            .unwrap_or_default();
        let xml = xml.replacen(' ', &format!("{from} to='{}' ", NAMES[end]), 1);
        let envelope = Envelope::read(&xml.into_bytes().into()).unwrap();
        let (others, log) = (self.ends[end].others.len(), self.log.len());
        let now = self.now;
        self.router(end).handle(now, envelope);
        self.flush(end);
        let mine = self.log[log..].iter().filter(|(who, _)| *who == end);
        let mut answers: Vec<_> = mine.map(|(_, envelope)| envelope.clone()).collect();
        answers.extend(self.ends[end].others[others..].iter().cloned());
        answers
    }

    /// The sid of the first bytestream that was asked for.
    pub(super) fn sid(&self) -> ibb::Sid {
        let open = |(_, envelope): &(usize, Envelope)| match &envelope.content {
            Content::Set(Payload::Open(open)) => Some(open.sid.clone()),
            _ => None,
        };
        self.log.iter().find_map(open).unwrap()
    }

    /// What an end has sent of one kind: the words of the closing, and the rest by kind.
    pub(super) fn words(&self, from: usize) -> Vec<(usize, &'static str)> {
        self.log[from..]
            .iter()
            .map(|(end, envelope)| (*end, word(envelope)))
            .collect()
    }
}

impl Router {
    /// Entries in all tables: 0 when nothing is left of any tunnel.
    pub(super) fn leftovers(&self) -> usize {
        let tunnels = self.tunnels.leftovers() + self.census.len() + self.closes.len();
        let tunnels = tunnels + self.paths.leftovers();
        tunnels + self.out.len() + self.events.len()
    }
}

pub(super) fn word(envelope: &Envelope) -> &'static str {
    match &envelope.content {
        Content::Set(Payload::Open(_)) => "open",
        Content::Set(Payload::Data(_)) => "data",
        Content::Set(Payload::Close(_)) => "ibb close",
        Content::Set(Payload::Xtls(xtls::Control::Close { .. })) => "xtls close",
        Content::Result(Some(Payload::Xtls(xtls::Control::Closed))) => "xtls closed",
        Content::Result(None) => "result",
        Content::Error(_) => "error",
        _ => "other",
    }
}

/// The envelope as the other side of a server reads it.
pub(super) fn reread(envelope: &Envelope) -> Envelope {
    let mut xml = Vec::new();
    envelope.write(&mut xml);
    Envelope::read(&xml.into()).unwrap()
}

pub(super) fn message(id: &str, body: &str) -> Stanza {
    let body = Element::new("body", "jabber:client").with_text(body);
    Stanza::new(Kind::Message).with_id(id).with_child(&body)
}

/// Every way in which two queues can be served for `steps` steps.
pub(super) fn interleavings(steps: u32) -> impl Iterator<Item = Vec<usize>> {
    (0..1_u32 << steps)
        .map(move |bits| (0..steps).map(|step| (bits >> step & 1) as usize).collect())
}

/// Counts how often each value comes.
pub(super) fn counts<T: Ord>(values: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}
