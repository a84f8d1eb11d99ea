//! Two clients on a relay.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;
use xtls_client::relay::Limits;
use xtls_client::router::{Closed, Config, TunnelEvent};
use xtls_client::service::{Host, Services};
use xtls_client::{Accept, Client, Incoming, Pins, Relay, Task, Tunnel, Uplink};
use xtls_session::{Peer, Service};
use xtls_stanza::Stanza;
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::pair::message;
use xtls_tls::trust::{Level, Method, Policy};

/// Longer than any step may take.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// One client.
pub(crate) struct Party {
    pub(crate) client: Client,
    pub(crate) incoming: Incoming,
    pub(crate) task: Task,
}

/// How a client is made: Romeo with key 1, Juliet with key 2, who have verified each other.
pub(crate) struct Maker {
    own: &'static str,
    peer: &'static str,
    key: u8,
    pins: Pins,
    policy: Policy,
    services: Vec<Service>,
    session: xtls_session::Config,
    original: bool,
    early: bool,
}

pub(crate) fn romeo() -> Maker {
    Maker::new(ROMEO, JULIET, 1).knows(2)
}

pub(crate) fn juliet() -> Maker {
    Maker::new(JULIET, ROMEO, 2).knows(1)
}

impl Maker {
    pub(crate) fn new(own: &'static str, peer: &'static str, key: u8) -> Self {
        Self {
            own,
            peer,
            key,
            pins: Pins::memory(),
            policy: Policy::Pinned,
            services: vec![Service::stanzas()],
            session: xtls_session::Config::default(),
            original: false,
            early: true,
        }
    }

    /// The first is the service it opens.
    pub(crate) fn serving(mut self, services: &[Service]) -> Self {
        self.services = services.to_vec();
        self
    }

    pub(crate) fn session(mut self, session: xtls_session::Config) -> Self {
        self.session = session;
        self
    }

    fn knows(mut self, key: u8) -> Self {
        let peer = keys::address(self.peer);
        let key = keys::fingerprint(peer.bare(), key);
        let level = Level::Verified(Method::Fingerprint);
        self.pins
            .change(|store, now| store.pin(peer.bare(), key, level, now))
            .unwrap();
        self
    }

    pub(crate) fn key(mut self, key: u8) -> Self {
        self.key = key;
        self
    }

    pub(crate) fn pins(mut self, pins: Pins) -> Self {
        self.pins = pins;
        self
    }

    pub(crate) fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Opens with the original flow.
    pub(crate) fn original(mut self, yes: bool) -> Self {
        self.original = yes;
        self
    }

    /// Whether its ClientHello travels in the open.
    pub(crate) fn early(mut self, yes: bool) -> Self {
        self.early = yes;
        self
    }

    pub(crate) async fn on(self, relay: &Relay) -> Party {
        let link = relay.attach(keys::address(self.own)).await.unwrap();
        self.over(link)
    }

    pub(crate) fn over<U: Uplink + 'static>(self, link: U) -> Party {
        let (config, seed) = (self.config(), [self.key + 100; 32]);
        let (client, incoming, task) = Client::seeded(link, config, self.pins, seed);
        Party {
            client,
            incoming,
            task,
        }
    }

    /// Offers these services, and nothing else.
    pub(crate) async fn offering(
        self,
        relay: &Relay,
        services: Services,
    ) -> (Client, Incoming, Host) {
        let link = relay.attach(keys::address(self.own)).await.unwrap();
        let (config, seed) = (self.config(), [self.key + 100; 32]);
        services.seeded(link, config, self.pins, seed)
    }

    fn config(&self) -> Config {
        let identity = keys::identity(self.own, self.key);
        let tls = keys::seeded_tls(identity, [self.key; 32]);
        let peer = keys::address(self.peer).to_bare();
        Config::new(tls, self.pins.store())
            .policy(self.policy)
            .service(self.services[0].clone())
            .also_serve(self.services[1..].iter().cloned())
            .session(self.session)
            .original(self.original)
            .early(self.early)
            .accept(Accept::Only(BTreeSet::from([peer])))
    }
}

/// Two friends on a relay.
pub(crate) async fn friends(limits: Limits) -> (Relay, Party, Party) {
    let relay = Relay::start(limits);
    let (romeo, juliet) = (romeo().on(&relay).await, juliet().on(&relay).await);
    (relay, romeo, juliet)
}

/// A tunnel opened by Romeo, at both ends.
pub(crate) async fn established(romeo: &Party, juliet: &mut Party) -> (Tunnel, Tunnel) {
    let mut own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let mut theirs = juliet.incoming.next().await.unwrap();
    until_established(&mut own).await;
    until_established(&mut theirs).await;
    (own, theirs)
}

pub(crate) async fn until_established(tunnel: &mut Tunnel) -> Peer {
    loop {
        match next(tunnel).await {
            TunnelEvent::Established(peer) => return peer,
            TunnelEvent::Ready => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The next event of a tunnel, within a reasonable time.
pub(crate) async fn next(tunnel: &mut Tunnel) -> TunnelEvent {
    let what = timeout(LONG, tunnel.next()).await.expect("nothing is said");
    what.expect("the tunnel has ended")
}

/// All remaining events of a tunnel, and how it ended. Nothing comes after that.
pub(crate) async fn rest(tunnel: &mut Tunnel) -> (Vec<TunnelEvent>, Closed) {
    let mut whats = Vec::new();
    loop {
        match next(tunnel).await {
            TunnelEvent::Closed(closed) => {
                assert_eq!(tunnel.next().await, None);
                return (whats, closed);
            }
            what => whats.push(what),
        }
    }
}

/// The ids of the stanzas among the events.
pub(crate) fn ids(whats: &[TunnelEvent]) -> Vec<String> {
    let id = |what: &TunnelEvent| match what {
        TunnelEvent::Stanza(stanza) => stanza.id.clone(),
        _ => None,
    };
    whats.iter().filter_map(id).collect()
}

/// The id of the next stanza; other events in between don't count.
pub(crate) async fn stanza(tunnel: &mut Tunnel) -> String {
    loop {
        match next(tunnel).await {
            TunnelEvent::Stanza(stanza) => return stanza.id.unwrap(),
            TunnelEvent::Closed(closed) => panic!("{closed:?}"),
            _ => {}
        }
    }
}

pub(crate) fn numbered(number: usize, length: usize) -> Stanza {
    message(&format!("m{number}"), &"x".repeat(length))
}

pub(crate) fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("m{number}")).collect()
}
