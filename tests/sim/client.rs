//! One client: its address, key and pins, its router, and its owner's plans.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_client::router::{Config, Router, TunnelId};
use xtls_client::{Accept, stanza::Address};
use xtls_session::{Run, Verdict};
use xtls_stanza::ibb::{BlockSize, Carrier};
use xtls_stanza::{Bare, Stanza};
use xtls_tls::trust::{Level, Method, Policy, Store};
use xtls_tls::{Fingerprint, Identity, default_provider, seeded};

use crate::dice::Dice;
use crate::keys;
use crate::referee::Referee;
use crate::setup::{Adversary, Setup, Trust};
use crate::sockets;

/// Juliet's resource that is not online.
pub const GARDEN: &str = "juliet@capulet.example/garden";
/// A third person, whom the servers can impersonate.
pub const NURSE: &str = "nurse@capulet.example/kitchen";
/// The friend who breaks rules, and the outsider.
pub const MALLORY: &str = "mallory@evil.example/den";

/// Something that an owner does, or that happens to a link.
#[derive(Debug, Clone)]
pub enum Act {
    /// Opens a tunnel.
    Open,
    /// Sends this many stanzas of this size, once there is a tunnel; it may be put off this many times.
    Say(usize, usize, u32),
    /// Stops reading for a while.
    Hold(Duration),
    /// Reads again.
    Release(TunnelId),
    /// Meets a key in another program, which pins keys on first use.
    Meet,
    /// Wants to verify the peer.
    Verify(xtls_tls::verify::Method),
    /// Learns from the other person what is on the other screen.
    Look,
    /// The friend who breaks rules takes the next step of a verification.
    Cheat(u8),
    /// Has processed everything that a finished peer sent.
    Took(TunnelId),
    /// Sends no more after everything planned has been sent.
    Finish,
    /// Ends all tunnels in order.
    Close,
    /// Ends a tunnel at once.
    Abort,
    /// The owner's verdict on a key.
    Judge(TunnelId, Fingerprint, Address),
    /// The link is interrupted for this long; it comes back (true) or does not.
    Cut(Duration, bool),
    /// The server is down for this long, and remembers nothing from before.
    Restart(Duration),
    /// The link is back: the old one (true) or a new one.
    Back(bool),
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// The full address.
    pub address: Address,
    /// The fingerprint of its key.
    pub key: Fingerprint,
    /// The router.
    pub router: Router,
    /// The pins.
    pub store: Store,
    /// How to treat others.
    pub policy: Policy,
    /// Whether this is one of the two whom the adversary is after.
    pub honest: bool,
    /// Checks the rules of the wire.
    pub referee: Referee,
    /// What waits at the server while the link is interrupted.
    pub away: Option<Vec<Bytes>>,
    /// The last stanzas that the server and the client sent: a resumed link repeats some of them.
    pub recent_in: VecDeque<Bytes>,
    /// See above, with the envelope as sent.
    pub recent_out: VecDeque<xtls_stanza::Envelope>,
    /// What the owner wants to send in each tunnel.
    pub mind: BTreeMap<TunnelId, VecDeque<Stanza>>,
    /// Tunnels whose direction ends once everything has been sent.
    pub finishing: BTreeSet<TunnelId>,
    /// The tunnel it is not reading, and what it had acknowledged before.
    pub held: Option<(TunnelId, usize)>,
    /// Tunnels in order of creation.
    pub tunnels: Vec<TunnelId>,
    /// The words on the screen, and the tunnel they belong to.
    pub shown: Option<(TunnelId, Run, [u16; 4])>,
    /// Keys that the owner will decide about once the verification of the peer has succeeded or failed.
    pub deciding: BTreeMap<TunnelId, (Fingerprint, Address)>,
}

impl Client {
    /// Romeo, Juliet, and, if they are needed, those who claim to be them.
    pub fn all(setup: &Setup) -> Vec<Self> {
        let mut clients = vec![Self::new(setup, 0), Self::new(setup, 1)];
        if setup.adversary.in_the_middle() {
            clients.extend([Self::new(setup, 2), Self::new(setup, 3)]);
        }
        clients
    }

    fn new(setup: &Setup, number: usize) -> Self {
        let romeo = number == crate::world::ROMEO || number == crate::world::FALSE_ROMEO;
        let (own, peer) = if romeo {
            (keys::ROMEO, keys::JULIET)
        } else {
            (keys::JULIET, keys::ROMEO)
        };
        let (own, peer) = (keys::address(own), keys::address(peer));
        let honest = number < 2;
        let true_key = if romeo { 1 } else { 2 };
        let identity = match setup.adversary {
            _ if honest => key(own.bare(), true_key),
            Adversary::Thief => Arc::new(seeded::thief(&key(own.bare(), true_key), [99; 32])),
            _ => key(own.bare(), true_key + 10),
        };
        let mut dice = Dice::new(setup.seed, 10 + number as u64);
        let mut store = Store::new();
        let verified = Level::Verified(Method::Fingerprint);
        let mut pin = |jid: &str, number: u8| {
            let key = key(jid, number).fingerprint();
            store
                .pin_another(jid, key, verified, keys::LETTER)
                .expect("a pin");
        };
        let their_key = if romeo { 2 } else { 1 };
        match setup.trust {
            _ if !honest => pin(peer.bare(), their_key),
            Trust::Friends => pin(peer.bare(), their_key),
            Trust::Outdated if romeo => pin(peer.bare(), 30),
            Trust::Outdated => pin(peer.bare(), their_key),
            Trust::Strangers => {}
        }
        if honest && setup.adversary == Adversary::Twin && setup.trust == Trust::Friends {
            pin(peer.bare(), their_key + 10);
        }
        if honest && setup.trust == Trust::Friends {
            pin(keys::address(NURSE).bare(), 5);
        }
        if number == crate::world::JULIET {
            pin(keys::address(MALLORY).bare(), 6);
        }
        let crypto = seeded::provider(&default_provider(), dice.seed());
        let tls = xtls_tls::Config::new(identity.clone(), crypto, Arc::new(keys::Clock))
            .expect("a test's TLS");
        let friends = [
            peer.to_bare(),
            keys::address(NURSE).to_bare(),
            keys::address(MALLORY).to_bare(),
        ];
        let ibb = xtls_ibb::Config::default()
            .block_size(BlockSize::new(setup.block).unwrap_or(BlockSize::MAX))
            .max_block(if romeo {
                BlockSize::MAX
            } else {
                BlockSize::new(setup.max_block).unwrap_or(BlockSize::MAX)
            })
            .window(setup.window)
            .messages(setup.messages);
        let friends: BTreeSet<Bare> = friends
            .into_iter()
            .take(if romeo { 1 } else { 3 })
            .collect();
        let mut referee = Referee::new(setup.most_under_way());
        referee.welcome.clone_from(&friends);
        let config = Config::new(tls, Arc::new(store.clone()))
            .policy(setup.policy)
            .accept(Accept::Only(friends))
            .session(session(setup))
            .early(setup.early[usize::from(!romeo)])
            .original(setup.original)
            .carrier(if setup.messages {
                Carrier::Message
            } else {
                Carrier::Iq
            })
            .ibb(ibb);
        let config = match setup.takes(number) {
            Some(takes) => config.paths(sockets::path_config(setup, number, takes)),
            None => config,
        };
        let server = keys::address(own.domain()).to_bare();
        let known = [own.to_bare(), peer.to_bare(), server];
        referee.known.extend(known);
        if !romeo {
            let others = [keys::address(NURSE), keys::address(MALLORY)];
            referee.known.extend(others.map(|other| other.to_bare()));
        }
        Self {
            router: Router::new(own.clone(), config, dice.seed()),
            address: own,
            key: identity.fingerprint(),
            store,
            policy: setup.policy,
            honest,
            referee,
            away: None,
            recent_in: VecDeque::new(),
            recent_out: VecDeque::new(),
            mind: BTreeMap::new(),
            finishing: BTreeSet::new(),
            held: None,
            tunnels: Vec::new(),
            shown: None,
            deciding: BTreeMap::new(),
        }
    }

    /// Whether the owner would end up trusting this key.
    pub fn would_trust(&self, peer: &Address, key: &Fingerprint) -> bool {
        let unknown = self.store.of(peer.bare()).is_empty();
        self.trusts(peer, key) || (unknown && self.policy != Policy::Pinned)
    }

    /// Whether this key is pinned for this peer. (The store's own judgement is not asked: it may be wrong.)
    pub fn trusts(&self, peer: &Address, key: &Fingerprint) -> bool {
        let pins = self.store.of(peer.bare());
        pins.iter()
            .any(|pin| pin.fingerprint == *key && pin.level != Level::Revoked)
    }

    /// Pins a key on first use; earlier pins stay. I8.
    ///
    /// # Errors
    /// A pin was lost, or changed others.
    pub fn pin(
        &mut self,
        now: Instant,
        peer: &Address,
        key: Fingerprint,
    ) -> Result<Verdict, String> {
        let before: Vec<_> = self
            .store
            .of(peer.bare())
            .iter()
            .map(|pin| pin.fingerprint)
            .collect();
        let pinned = self
            .store
            .pin(peer.bare(), key, Level::FirstUse, keys::LETTER);
        let after: Vec<_> = self
            .store
            .of(peer.bare())
            .iter()
            .map(|pin| pin.fingerprint)
            .collect();
        let lawful = after == before || (before.is_empty() && after == [key]);
        if !lawful {
            return Err("I8: a key on first use changes the pins of a known address".to_owned());
        }
        self.on_disk()?;
        self.router.set_trust(now, Arc::new(self.store.clone()));
        Ok(if pinned.is_ok() {
            Verdict::Accept
        } else {
            Verdict::Refuse
        })
    }

    /// I9: the written pins are read back completely, and refused if they are truncated anywhere.
    ///
    /// # Errors
    /// They are not.
    pub fn on_disk(&self) -> Result<(), String> {
        let text = self.store.to_text();
        let whole = Store::parse(&text).is_ok_and(|store| store.to_text() == text);
        let end = text.len() * 2 / 3;
        let torn = text.get(..end).map(Store::parse);
        if whole && torn.is_none_or(|torn| torn.is_err()) {
            Ok(())
        } else {
            Err("I9: the pins are not read as they were written, or a torn file is".to_owned())
        }
    }

    /// Records what the server sent, in case the link repeats it.
    pub fn seen(&mut self, xml: &Bytes) {
        self.recent_in.push_back(xml.clone());
        if self.recent_in.len() > 8 {
            self.recent_in.pop_front();
        }
    }
}

fn session(setup: &Setup) -> xtls_session::Config {
    let config = xtls_session::Config::default()
        .backlog(setup.backlog)
        .padding(setup.padding);
    match setup.keys {
        Some((age, bytes)) => config.keys(age, bytes),
        None => config,
    }
}

/// A key, generated once for all runs.
pub fn key(jid: &str, number: u8) -> Arc<Identity> {
    use std::sync::Mutex;
    static KEYS: Mutex<BTreeMap<(String, u8), Arc<Identity>>> = Mutex::new(BTreeMap::new());
    let mut keys = KEYS.lock().expect("no panic holds it");
    keys.entry((jid.to_owned(), number))
        .or_insert_with(|| Arc::new(keys::identity(jid, number)))
        .clone()
}
