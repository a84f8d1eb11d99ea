//! Two whole routers and a network, in virtual time. The same seed gives the same bytes on the wire.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use xtls_client::Accept;
use xtls_client::router::{Closed, Config, Event, Router, SendError, TunnelEvent, TunnelId};
use xtls_session::Verdict;
use xtls_stanza::{Address, Element, Kind, Stanza};
use xtls_tls::trust::{Level, Method, Policy, Store};

use crate::keys::{self, JULIET, ROMEO};
use crate::net::{Net, Seen};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Opens the tunnel, unless a test says otherwise.
    Romeo,
    /// Accepts it.
    Juliet,
}

impl Who {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Romeo => Self::Juliet,
            Self::Juliet => Self::Romeo,
        }
    }

    /// The full address.
    pub fn address(self) -> Address {
        keys::address(match self {
            Self::Romeo => ROMEO,
            Self::Juliet => JULIET,
        })
    }
}

/// One end: a router and its output.
#[derive(Debug)]
pub struct End {
    /// The router.
    pub router: Router,
    /// All of its events, in order.
    pub events: Vec<Event>,
    /// Accepts unknown keys.
    pub trusting: bool,
    /// What is sent the moment a tunnel becomes writable.
    pub early: Vec<Stanza>,
}

/// The pair.
#[derive(Debug)]
pub struct Pair {
    /// Virtual time.
    pub now: Instant,
    /// The server between them.
    pub net: Net,
    ends: [End; 2],
}

/// How a pair is made.
#[derive(Debug, Clone)]
pub struct Settings {
    seed: u64,
    least: Duration,
    spread: Duration,
    ibb: xtls_ibb::Config,
    session: xtls_session::Config,
    policy: Policy,
    known: bool,
    early: bool,
}

impl Settings {
    /// Two who know each other's keys, on a network with delays of 10 to 15 ms.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            least: Duration::from_millis(10),
            spread: Duration::from_millis(5),
            ibb: xtls_ibb::Config::default().block_size(xtls_stanza::ibb::BlockSize::MAX),
            session: xtls_session::Config::default(),
            policy: Policy::Ask,
            known: true,
            early: true,
        }
    }

    /// Other stream settings.
    pub fn ibb(mut self, ibb: xtls_ibb::Config) -> Self {
        self.ibb = ibb;
        self
    }

    /// Other limits.
    pub fn session(mut self, session: xtls_session::Config) -> Self {
        self.session = session;
        self
    }

    /// As in the letter, without an early hello.
    pub fn letter(mut self) -> Self {
        self.early = false;
        self
    }

    /// Two who have never met, with this policy.
    pub fn strangers(mut self, policy: Policy) -> Self {
        self.known = false;
        self.policy = policy;
        self
    }

    /// Delays between `least` and `least + spread`.
    pub fn delays(mut self, least: Duration, spread: Duration) -> Self {
        self.least = least;
        self.spread = spread;
        self
    }

    /// The pair.
    pub fn build(self) -> Pair {
        let now = Instant::now();
        let net = Net::new(now, self.seed, self.least, self.spread);
        let ends = [self.end(Who::Romeo), self.end(Who::Juliet)];
        Pair { now, net, ends }
    }

    fn end(&self, who: Who) -> End {
        let number = |who| match who {
            Who::Romeo => 1,
            Who::Juliet => 2,
        };
        let (own, peer) = (who.address(), who.other().address());
        let mut seed = [number(who); 32];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        let tls = keys::seeded_tls(keys::identity(own.bare(), number(who)), seed);
        let mut store = Store::new();
        if self.known {
            let key = keys::fingerprint(peer.bare(), number(who.other()));
            let level = Level::Verified(Method::Fingerprint);
            store
                .pin(peer.bare(), key, level, keys::LETTER)
                .expect("a first pin");
        }
        let config = Config::new(tls, Arc::new(store))
            .policy(self.policy)
            .accept(Accept::Only(BTreeSet::from([peer.to_bare()])))
            .ibb(self.ibb.clone())
            .session(self.session)
            .early(self.early);
        seed[31] ^= 0xFF;
        End {
            router: Router::new(own, config, seed),
            events: Vec::new(),
            trusting: true,
            early: Vec::new(),
        }
    }
}

impl Pair {
    /// Two who know each other, with all defaults.
    pub fn seeded(seed: u64) -> Self {
        Settings::seeded(seed).build()
    }

    /// One end.
    pub fn end(&mut self, who: Who) -> &mut End {
        &mut self.ends[who as usize]
    }

    /// Opens a tunnel from `who` to the other and runs until nothing moves; returns the id of the tunnel at both ends.
    pub fn establish(&mut self, who: Who) -> (TunnelId, TunnelId) {
        let id = self.open(who);
        self.drive();
        let established = |event: &&Event| matches!(event.what, TunnelEvent::Established(_));
        let theirs = self
            .end(who.other())
            .events
            .iter()
            .find(established)
            .expect("established")
            .id;
        assert!(
            self.end(who)
                .events
                .iter()
                .any(|event| event.id == id && established(&event))
        );
        (id, theirs)
    }

    /// Has `who` open a tunnel to the other.
    pub fn open(&mut self, who: Who) -> TunnelId {
        let (now, peer) = (self.now, who.other().address());
        self.end(who).router.open(now, &peer).expect("an open")
    }

    /// Sends through a tunnel of `who`.
    pub fn send(&mut self, who: Who, id: TunnelId, stanza: &Stanza) -> Result<(), SendError> {
        let now = self.now;
        self.end(who).router.tunnel(now, id)?.send(stanza)
    }

    /// Sends through a tunnel of `who`, running the world while there is no room.
    pub fn send_all(&mut self, who: Who, id: TunnelId, stanzas: &[Stanza]) {
        for stanza in stanzas {
            loop {
                match self.send(who, id, stanza) {
                    Ok(()) => break,
                    Err(SendError::Session(xtls_session::SendError::Full)) => {
                        assert!(self.step(), "no room, and nothing moves");
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// Moves what is due now, or advances time to the next event. False if nothing will ever move.
    pub fn step(&mut self) -> bool {
        let mut moved = false;
        for who in [Who::Romeo, Who::Juliet] {
            moved |= self.flush(who);
        }
        while let Some(seen) = self.net.receive(self.now) {
            let to = [Who::Romeo, Who::Juliet]
                .into_iter()
                .find(|who| who.address() == seen.to);
            if let Some(to) = to {
                let now = self.now;
                self.end(to).router.handle(now, seen.envelope());
                self.flush(to);
            }
            moved = true;
        }
        if moved {
            return true;
        }
        if let Some(at) = self.net.next_at() {
            self.now = self.now.max(at);
            return true;
        }
        false
    }

    /// Runs until nothing is under way. Deadlines don't count as movement: see [`wait`](Self::wait).
    pub fn drive(&mut self) {
        for _ in 0..MANY {
            if !self.step() {
                return;
            }
        }
        panic!("the pair never comes to rest");
    }

    /// Lets this much time pass, deadlines included.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.drive();
            let next = self
                .ends
                .iter()
                .filter_map(|end| end.router.poll_timeout())
                .map(|d| d.at)
                .min();
            let Some(at) = next.filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(at);
            for who in [Who::Romeo, Who::Juliet] {
                let now = self.now;
                self.end(who).router.handle_timeout(now);
            }
        }
        self.now = until;
    }

    /// The stanzas that `who` has received, in order.
    pub fn received(&mut self, who: Who) -> Vec<Stanza> {
        let stanza = |event: &Event| match &event.what {
            TunnelEvent::Stanza(stanza) => Some(stanza.clone()),
            _ => None,
        };
        self.end(who).events.iter().filter_map(stanza).collect()
    }

    /// How the tunnels of `who` ended.
    pub fn closed(&mut self, who: Who) -> Vec<Closed> {
        let closed = |event: &Event| match &event.what {
            TunnelEvent::Closed(closed) => Some(closed.clone()),
            _ => None,
        };
        self.end(who).events.iter().filter_map(closed).collect()
    }

    /// What the server saw.
    pub fn log(&self) -> &[Seen] {
        &self.net.log
    }

    /// Takes what one end sends; true if it sent something.
    fn flush(&mut self, who: Who) -> bool {
        let now = self.now;
        let mut moved = false;
        loop {
            let end = self.end(who);
            let mut quiet = true;
            while let Some(event) = end.router.poll_event(now) {
                quiet = false;
                if let TunnelEvent::Judge(introduction) = &event.what {
                    let verdict = if end.trusting {
                        Verdict::Accept
                    } else {
                        Verdict::Refuse
                    };
                    let key = introduction.fingerprint;
                    end.router
                        .tunnel(now, event.id)
                        .expect("it waits for the verdict")
                        .judge(key, verdict)
                        .expect("it was just asked for");
                }
                if matches!(event.what, TunnelEvent::Ready) {
                    for stanza in std::mem::take(&mut end.early) {
                        end.router
                            .tunnel(now, event.id)
                            .expect("it was just ready")
                            .send(&stanza)
                            .expect("room for a first word");
                    }
                }
                if matches!(event.what, TunnelEvent::PeerFinished)
                    && let Ok(mut tunnel) = end.router.tunnel(now, event.id)
                {
                    tunnel.took();
                }
                end.events.push(event);
            }
            let address = who.address();
            while let Some(envelope) = self.end(who).router.poll_transmit(now) {
                quiet = false;
                self.net.send(now, &address, envelope);
            }
            if quiet {
                return moved;
            }
            moved = true;
        }
    }
}

/// A message with a body.
pub fn message(id: &str, body: &str) -> Stanza {
    let body = Element::new("body", "jabber:client").with_text(body);
    Stanza::new(Kind::Message)
        .with_type("chat")
        .with_id(id)
        .with_child(&body)
}

/// More steps than any test needs.
const MANY: usize = 1_000_000;
