//! A server without I/O: routes text between addresses with delays, and records what it saw.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use xtls_stanza::{Address, Envelope};

/// A stanza that the server saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Since the beginning of the test.
    pub at: Duration,
    /// The sender, stamped by the server.
    pub from: Address,
    /// The receiver.
    pub to: Address,
    /// The whole text.
    pub xml: Bytes,
}

impl Seen {
    /// The stanza, decoded.
    pub fn envelope(&self) -> Envelope {
        Envelope::read(&self.xml).expect("what the server saw is XMPP")
    }
}

/// The network. Order between two addresses is kept, as RFC 6120 §10.1 requires.
#[derive(Debug)]
pub struct Net {
    random: ChaCha20Rng,
    started: Instant,
    least: Duration,
    spread: Duration,
    /// By due time and number.
    under_way: BTreeMap<(Instant, u64), Seen>,
    last: BTreeMap<(Address, Address), Instant>,
    sent: u64,
    /// Everything that was sent, in order of sending.
    pub log: Vec<Seen>,
}

impl Net {
    /// A network whose delays are drawn from the seed, between `least` and `least + spread`.
    pub fn new(now: Instant, seed: u64, least: Duration, spread: Duration) -> Self {
        Self {
            random: ChaCha20Rng::seed_from_u64(seed),
            started: now,
            least,
            spread,
            under_way: BTreeMap::new(),
            last: BTreeMap::new(),
            sent: 0,
            log: Vec::new(),
        }
    }

    /// Takes a stanza from `from`, as text, and stamps it.
    pub fn send(&mut self, now: Instant, from: &Address, mut envelope: Envelope) {
        envelope.from = Some(from.clone());
        let to = envelope.to.clone().expect("a stanza with a recipient");
        let mut xml = Vec::new();
        envelope.write(&mut xml);
        let seen = Seen {
            at: now - self.started,
            from: from.clone(),
            to: to.clone(),
            xml: xml.into(),
        };
        self.log.push(seen.clone());
        let pair = (from.clone(), to);
        let spread = u64::try_from(self.spread.as_micros())
            .expect("a short time")
            .max(1);
        let delay = self.least + Duration::from_micros(self.random.next_u64() % spread);
        let due = (now + delay).max(self.last.get(&pair).copied().unwrap_or(now));
        self.last.insert(pair, due);
        self.sent += 1;
        self.under_way.insert((due, self.sent), seen);
    }

    /// When the next stanza arrives.
    pub fn next_at(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next stanza that has arrived by now.
    pub fn receive(&mut self, now: Instant) -> Option<Seen> {
        let entry = self.under_way.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Drops everything under way: the connection is cut.
    pub fn cut(&mut self) {
        self.under_way.clear();
    }
}
