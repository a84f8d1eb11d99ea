//! What a seed determines before anything happens: who attacks, what fails, and how everyone is configured.

use std::time::Duration;

use xtls_ibb::Window;
use xtls_stanza::path::Takes;
use xtls_tls::trust::Policy;

use crate::dice::Dice;
use crate::paths::Paths;

/// Who is between the two, or beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Adversary {
    /// No one.
    None,
    /// Someone with an account of their own, who sends forged stanzas to both. The servers are honest.
    Outsider,
    /// A server that drops, delays, duplicates, reorders, flips, replays and forges.
    Tamper,
    /// A server that sits in the middle with a key of its own in the peer's name.
    Middle,
    /// The same with the peer's own certificate, which is public, and without its private key.
    Thief,
    /// A server that lets a second device of Romeo's, whose key Juliet has pinned too, send from the address of the
    /// first, beside it.
    Twin,
    /// A server that connects two conversations under the name of a third person.
    Relay,
    /// A server that delivers stanzas to a resource other than the one addressed.
    Resource,
    /// A server that renames every stream.
    Sid,
    /// A server that removes `<start/>` or the early hello from opens, or changes the offered block size.
    Strip,
    /// A friend of Juliet's who breaks every rule inside the tunnel.
    Peer,
}

impl Adversary {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::None,
        Self::Outsider,
        Self::Tamper,
        Self::Middle,
        Self::Thief,
        Self::Twin,
        Self::Relay,
        Self::Resource,
        Self::Sid,
        Self::Strip,
        Self::Peer,
    ];

    /// Whether two of these names meet with someone in the middle.
    pub fn in_the_middle(self) -> bool {
        matches!(self, Self::Middle | Self::Thief | Self::Twin)
    }

    /// Whether the attacker in the middle sends beside the real peer and not in her place.
    pub fn beside(self) -> bool {
        matches!(self, Self::Twin)
    }
}

/// Who knows whose key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Both have verified each other.
    Friends,
    /// They have never met.
    Strangers,
    /// Romeo has pinned a key that Juliet no longer uses.
    Outdated,
}

/// What fails by itself, each in this many of 1000 cases.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// A stanza is lost.
    pub drop: u64,
    /// A stanza is up to 40 s late, and all that follow it.
    pub delay: u64,
    /// A stanza arrives twice.
    pub duplicate: u64,
    /// A stanza overtakes another.
    pub reorder: u64,
    /// Bits of a chunk change, or its end is missing.
    pub flip: u64,
    /// The sid, seq or id of a chunk changes.
    pub swap: u64,
    /// An earlier stanza arrives again.
    pub replay: u64,
    /// The server sends a stanza that no one sent.
    pub forge: u64,
    /// A chunk is swallowed and acknowledged all the same.
    pub swallow: u64,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The seed that determines everything.
    pub seed: u64,
    /// See [`Adversary`].
    pub adversary: Adversary,
    /// See [`Rates`]: all zero unless the adversary tampers.
    pub rates: Rates,
    /// Links fail and are resumed, or are lost.
    pub cuts: Cuts,
    /// See [`Trust`].
    pub trust: Trust,
    /// The policy of both.
    pub policy: Policy,
    /// The owners compare fingerprints before they accept.
    pub careful: bool,
    /// How long the owners take to decide.
    pub judging: Duration,
    /// The smallest delay of the network, and the most that is added.
    pub delay: (Duration, Duration),
    /// The rate at which a server reads from a client, in bytes a second.
    pub rate: Option<u64>,
    /// The longest stanza in bytes that a server accepts.
    pub limit: Option<usize>,
    /// The block size that is offered.
    pub block: u16,
    /// The block size that Juliet accepts.
    pub max_block: u16,
    /// See [`Window`].
    pub window: Window,
    /// Streams use messages.
    pub messages: bool,
    /// Plaintext bytes that a session holds for a slow owner.
    pub backlog: usize,
    /// Both open at nearly the same time.
    pub crossing: bool,
    /// Much is sent, and the reader is slow.
    pub bulk: bool,
    /// So much is sent in such small chunks that their numbers wrap.
    pub long: bool,
    /// Romeo, and Juliet, send and answer early hellos.
    pub early: [bool; 2],
    /// Tunnels are opened with the original flow.
    pub original: bool,
    /// How long keys are used, and for how many bytes.
    pub keys: Option<(Duration, u64)>,
    /// Stanzas inside are padded to a multiple of this many bytes.
    pub padding: usize,
    /// In this many of 1000 cases a message arrives once more, as a copy of some kind.
    pub copies: u64,
    /// The owners verify each other.
    pub verify: bool,
    /// The server withholds what the responder sends in every session but the first.
    pub withhold: bool,
    /// The links of both are real ones, with octets and XEP-0198.
    pub linked: bool,
    /// Where tunnels may move beside the server, and what happens there.
    pub paths: Option<Paths>,
}

/// How links to the servers fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cuts {
    /// They do not.
    Never,
    /// They come back; nothing is lost, and some of it arrives twice (XEP-0198).
    Resumed,
    /// Some come back, some are lost, and servers restart.
    Any,
}

impl Setup {
    /// What this seed determines.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let adversary = match dice.below(20) {
            0..6 => Adversary::None,
            6..8 => Adversary::Outsider,
            8..12 => Adversary::Tamper,
            n => Adversary::ALL[(n - 9) as usize],
        };
        let mut rates = Rates::default();
        if adversary == Adversary::Tamper {
            let mut some = |most| {
                if dice.permille(400) {
                    1 + dice.below(most)
                } else {
                    0
                }
            };
            rates = Rates {
                drop: some(60),
                delay: some(40),
                duplicate: some(200),
                reorder: some(100),
                flip: some(30),
                swap: some(30),
                replay: some(60),
                forge: some(80),
                swallow: some(40),
            };
        }
        let cuts = match dice.below(4) {
            0 => Cuts::Resumed,
            1 => Cuts::Any,
            _ => Cuts::Never,
        };
        let trust = match dice.below(10) {
            0..6 => Trust::Friends,
            6..9 => Trust::Strangers,
            _ => Trust::Outdated,
        };
        let policy = dice.pick(&[Policy::Ask, Policy::Tofu, Policy::Pinned]);
        let bulk = dice.permille(60);
        let long =
            !bulk && adversary == Adversary::None && cuts == Cuts::Never && dice.permille(25);
        let messages = !long && dice.permille(120);
        let window = match dice.below(4) {
            _ if bulk => dice.pick(&[
                Window::default(),
                Window::Fixed {
                    bytes: 20_000,
                    chunk: 3000,
                },
            ]),
            0 => Window::OneChunk,
            1 => Window::Fixed {
                bytes: 1 + dice.below(20_000) as u32,
                chunk: 1 + dice.below(3000) as u16,
            },
            _ => Window::default(),
        };
        Self {
            seed,
            adversary,
            rates,
            cuts,
            trust: if long { Trust::Friends } else { trust },
            policy,
            careful: dice.permille(500),
            judging: if dice.permille(500) {
                dice.time(Duration::from_secs(20))
            } else {
                Duration::ZERO
            },
            delay: match dice.below(4) {
                _ if bulk => (Duration::from_millis(10), Duration::from_millis(50)),
                _ if long => (Duration::from_micros(200), Duration::from_micros(50)),
                0 => (Duration::ZERO, Duration::from_millis(1)),
                1 => (Duration::from_millis(300), Duration::from_millis(900)),
                _ => (Duration::from_millis(10), Duration::from_millis(50)),
            },
            rate: (!long && !bulk && dice.permille(100)).then(|| 3_000 + dice.below(50_000)),
            limit: (!long && dice.permille(50)).then_some(10_000),
            block: if long {
                1
            } else {
                dice.pick(if bulk {
                    &[4096, 65_535]
                } else {
                    &[256, 1000, 4096, 8192, 65_535]
                })
            },
            max_block: if !bulk && dice.permille(100) {
                2048
            } else {
                65_535
            },
            window: if long {
                Window::Fixed {
                    bytes: 64,
                    chunk: 1,
                }
            } else {
                window
            },
            messages,
            backlog: dice.pick(&[1, 2048, 65_536]),
            crossing: dice.permille(250),
            bulk,
            long,
            ..Self::calm_weather(seed)
        }
        .more()
    }

    /// What was added to the world later has its own dice, so that earlier seeds draw what they always drew.
    fn more(mut self) -> Self {
        let mut dice = Dice::new(self.seed, 4);
        let early = [dice.permille(850), dice.permille(850)];
        let original = dice.permille(80);
        let age = Duration::from_secs(10 + dice.below(120));
        let keys = (age, dice.pick(&[20_000, 200_000, u64::MAX]));
        let renewed = dice.permille(150);
        let padding = dice.pick(&[1, 1, 1, 256]);
        let copies = dice.pick(&[0, 50, 300]);
        let verify = dice.permille(250);
        let withhold = dice.permille(300);
        self.linked = self.cuts != Cuts::Never && Dice::new(self.seed, 5).permille(500);
        if self.long {
            return self;
        }
        self.paths = Paths::draw(self.seed);
        // The original flow has no names by which the attacker beside the peer could be distinguished.
        self.original = original && !self.bulk && !self.messages && !self.adversary.beside();
        self.keys = renewed.then_some(keys);
        self.withhold = withhold && renewed && self.adversary == Adversary::Tamper;
        if self.withhold {
            self.rates = Rates::default();
        }
        self.copies = if self.messages { copies } else { 0 };
        self.verify = verify && !self.bulk;
        if self.verify {
            // What is sent before a verdict must not get in the way of the steps to it.
            self.backlog = 65_536;
        }
        Self {
            early,
            padding,
            ..self
        }
    }

    /// A run without an adversary and without faults.
    pub fn calm_weather(seed: u64) -> Self {
        Self {
            seed,
            adversary: Adversary::None,
            rates: Rates::default(),
            cuts: Cuts::Never,
            trust: Trust::Friends,
            policy: Policy::Pinned,
            careful: true,
            judging: Duration::ZERO,
            delay: (Duration::from_millis(10), Duration::from_millis(50)),
            rate: None,
            limit: None,
            block: 4096,
            max_block: u16::MAX,
            window: Window::default(),
            messages: false,
            backlog: 65_536,
            crossing: false,
            bulk: false,
            long: false,
            early: [true; 2],
            original: false,
            keys: None,
            padding: 1,
            copies: 0,
            verify: false,
            withhold: false,
            linked: false,
            paths: None,
        }
    }

    /// Nothing noticeable goes wrong: everything that is sent must arrive, and all ends must be clean.
    pub fn calm(&self) -> bool {
        let honest = matches!(
            self.adversary,
            Adversary::None | Adversary::Outsider | Adversary::Peer
        );
        // The original flow has no numbers: a repetition breaks it. And an end that renews keys waits for 10 s only.
        let resumed = self.cuts == Cuts::Resumed && (self.original || self.keys.is_some());
        let harmless = self.paths.as_ref().is_none_or(Paths::harmless);
        honest && self.cuts != Cuts::Any && self.limit.is_none() && !resumed && harmless
    }

    /// What the owner of a client allows of paths: `None` if it knows of none.
    pub fn takes(&self, at: usize) -> Option<Takes> {
        *self.paths.as_ref()?.takes.get(at)?
    }

    /// The most bytes that one stream may have under way.
    pub fn most_under_way(&self) -> usize {
        match self.window {
            Window::Adaptive { max } => max as usize,
            Window::Fixed { bytes, chunk } => (bytes as usize).max(usize::from(chunk)),
            _ => 4096,
        }
    }
}
