//! Two whole routers, and what connects them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use xtls_client::router::{Closed, Config, Event, SendError, TunnelEvent, TunnelId, TunnelMut};
use xtls_client::{Accept, Router};
use xtls_session::{Service, Verdict};
use xtls_stanza::{Address, Envelope, Stanza};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tls::trust::{Level, Method, Policy, Store};

use crate::beside::Beside;
use crate::{J, R, noise};

pub(crate) const NAMES: [&str; 2] = [ROMEO, JULIET];

/// Adds a transport to a configuration, or leaves it with the existing ones.
pub(crate) type Transports = fn(Config) -> Config;

pub(crate) fn config(end: usize, known: bool, service: &Service) -> Config {
    let number = |end: usize| u8::try_from(end).unwrap() + 1;
    let identity = keys::identity(NAMES[end], number(end));
    let tls = keys::seeded_tls(identity, [number(end); 32]);
    let peer = keys::address(NAMES[1 - end]);
    let mut store = Store::new();
    if known {
        let key = keys::fingerprint(peer.bare(), number(1 - end));
        let level = Level::Verified(Method::Fingerprint);
        store.pin(peer.bare(), key, level, keys::LETTER).unwrap();
    }
    Config::new(tls, Arc::new(store))
        .policy(Policy::Ask)
        .service(service.clone())
        .accept(Accept::Only([peer.to_bare()].into()))
}

/// Two routers and what carries their stanzas and packets.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) ends: [Router; 2],
    pub(crate) events: [Vec<TunnelEvent>; 2],
    pub(crate) tunnels: [Option<TunnelId>; 2],
    pub(crate) bytes: [Vec<u8>; 2],
    /// Whether an end takes nothing at present.
    pub(crate) held: [bool; 2],
    /// How often something passed from one end to the other before it was ready.
    pub(crate) trips: [usize; 2],
    pub(crate) stanzas: usize,
    pub(crate) cut: bool,
}

impl World {
    pub(crate) fn with(configs: [Config; 2]) -> Self {
        let mut configs = configs.into_iter();
        let mut end = |end: usize| {
            let seed = [u8::try_from(end).unwrap(); 32];
            Router::new(keys::address(NAMES[end]), configs.next().unwrap(), seed)
        };
        Self {
            now: Instant::now(),
            ends: [end(R), end(J)],
            events: [Vec::new(), Vec::new()],
            tunnels: [None; 2],
            bytes: [Vec::new(), Vec::new()],
            held: [false; 2],
            trips: [0; 2],
            stanzas: 0,
            cut: false,
        }
    }

    pub(crate) fn new(transports: Transports, known: bool, service: &Service) -> Self {
        Self::with([R, J].map(|end| transports(config(end, known, service))))
    }

    pub(crate) fn open(&mut self) {
        let id = self.ends[R].open(self.now, &keys::address(JULIET));
        self.tunnels[R] = Some(id.unwrap());
        self.run();
    }

    pub(crate) fn established(transports: Transports, service: &Service) -> Self {
        let mut world = Self::new(transports, true, service);
        world.open();
        for end in [R, J] {
            let established =
                |what: &TunnelEvent| matches!(what, TunnelEvent::Established(peer) if peer.bound);
            assert!(
                world.events[end].iter().any(established),
                "{:?}",
                world.events[end]
            );
        }
        world
    }

    /// Runs until nothing moves.
    pub(crate) fn run(&mut self) {
        loop {
            let moved = [R, J].map(|end| self.take(end) | self.carry(end));
            if moved == [false; 2] {
                return;
            }
        }
    }

    /// The owner of an end takes what there is.
    fn take(&mut self, end: usize) -> bool {
        let (now, before) = (self.now, self.events[end].len() + self.bytes[end].len());
        while let Some(Event { id, what }) = self.ends[end].poll_event(now) {
            self.tunnels[end].get_or_insert(id);
            if what == TunnelEvent::PeerFinished
                && let Ok(mut tunnel) = self.ends[end].tunnel(now, id)
            {
                tunnel.took();
            }
            self.events[end].push(what);
        }
        if let Some(id) = self.tunnels[end].filter(|_| !self.held[end]) {
            while let Ok(mut tunnel) = self.ends[end].tunnel(now, id)
                && let Some(bytes) = tunnel.read(1000)
            {
                self.bytes[end].extend_from_slice(&bytes);
            }
        }
        before != self.events[end].len() + self.bytes[end].len()
    }

    /// Carries what leaves an end to the other, at once or never.
    fn carry(&mut self, end: usize) -> bool {
        let (now, from) = (self.now, keys::address(NAMES[end]));
        let mut moved = false;
        while let Some(stanza) = self.ends[end].poll_transmit(now) {
            (moved, self.stanzas) = (true, self.stanzas + 1);
            if !self.cut {
                self.ends[1 - end].handle(now, carried(&stanza, &from));
            }
        }
        let packets = self.ends[end]
            .with_transport(now, |own: &mut Beside, _| std::mem::take(&mut own.packets));
        for ((_, sid), frame) in packets.into_iter().flatten() {
            moved = true;
            if !self.cut {
                self.ends[1 - end].with_transport(now, |other: &mut Beside, _| {
                    other.receive((from.clone(), sid), frame)
                });
            }
        }
        let ready = self.events[end].contains(&TunnelEvent::Ready);
        self.trips[end] += usize::from(moved && !ready);
        moved
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.run();
            let due = self
                .ends
                .iter()
                .filter_map(|router| Some(router.poll_timeout()?.at));
            let next = due.min().filter(|at| *at <= end);
            self.now = next.unwrap_or(end).max(self.now);
            for router in &mut self.ends {
                router.handle_timeout(self.now);
            }
            if next.is_none() {
                return self.run();
            }
        }
    }

    pub(crate) fn id(&self, end: usize) -> TunnelId {
        self.tunnels[end].unwrap()
    }

    pub(crate) fn tunnel(&mut self, end: usize) -> TunnelMut<'_> {
        let id = self.id(end);
        self.ends[end].tunnel(self.now, id).unwrap()
    }

    pub(crate) fn send(&mut self, end: usize, stanza: &Stanza) -> Result<(), SendError> {
        self.tunnel(end).send(stanza)
    }

    pub(crate) fn heard(&self, end: usize) -> Vec<&Stanza> {
        let stanza = |what: &'_ TunnelEvent| matches!(what, TunnelEvent::Stanza(_));
        let stanzas = self.events[end].iter().filter(|what| stanza(what));
        stanzas
            .filter_map(|what| match what {
                TunnelEvent::Stanza(stanza) => Some(stanza),
                _ => None,
            })
            .collect()
    }

    /// The end of one side: present, once, and last.
    pub(crate) fn closed(&self, end: usize) -> Closed {
        let closed = |what: &&TunnelEvent| matches!(what, TunnelEvent::Closed(_));
        assert_eq!(
            self.events[end].iter().filter(closed).count(),
            1,
            "{:?}",
            self.events[end]
        );
        match self.events[end].last() {
            Some(TunnelEvent::Closed(closed)) => closed.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn judge(&mut self, end: usize, verdict: Verdict) {
        let key = self.events[end].iter().find_map(|what| match what {
            TunnelEvent::Judge(introduction) => Some(introduction.fingerprint),
            _ => None,
        });
        self.tunnel(end).judge(key.unwrap(), verdict).unwrap();
        self.run();
    }

    pub(crate) fn write_all(&mut self, ends: &[usize]) {
        let said = [noise(R), noise(J)];
        let mut at = [0, 0];
        while ends.iter().any(|&end| at[end] < said[end].len()) {
            let before = at;
            for &end in ends {
                at[end] += self.tunnel(end).write(&said[end][at[end]..]).unwrap();
            }
            self.run();
            assert_ne!(at, before, "no room and nothing moves");
        }
    }
}

/// Serialised and parsed again, as servers carry it.
fn carried(stanza: &Envelope, from: &Address) -> Envelope {
    let mut stanza = stanza.clone();
    stanza.from = Some(from.clone());
    let mut xml = Vec::new();
    stanza.write(&mut xml);
    Envelope::read(&xml.into()).unwrap()
}
