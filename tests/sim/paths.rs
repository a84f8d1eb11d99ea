//! What a seed determines of paths beside the server: what owners allow, which relays and listeners there are, what
//! becomes of sockets, and how servers lie about all of it.

use xtls_stanza::path::Takes;

use crate::dice::Dice;

/// Paths beside the server.
#[derive(Debug, Clone)]
pub struct Paths {
    /// What Romeo's owner, and Juliet's, allows. `None`: this client knows of no paths.
    pub takes: [Option<Takes>; 2],
    /// Whether their servers have relays.
    pub relays: [bool; 2],
    /// Whether they listen, and say so to those who may know.
    pub listen: [bool; 2],
    /// What becomes of sockets.
    pub harm: Harm,
    /// Relays hold the tail of a burst until another byte comes.
    pub tails: bool,
    /// How servers announce their relays.
    pub announced: Announced,
    /// How relays answer to being activated.
    pub activated: Activated,
    /// What servers do with signals.
    pub lies: Lies,
    /// Servers say that a peer has gone while another path carries.
    pub gone: bool,
    /// Chunks of the stream that a tunnel began on are late, in this many of 1000 cases.
    pub lag: u64,
}

/// What becomes of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Nothing.
    None,
    /// They break off at any byte, fall silent, or are slow; relays die and come back.
    Breaks,
    /// The same, and relays change what they carry, or let somebody else in.
    Alters,
}

/// How a server announces its relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// As it is.
    Right,
    /// At the client's own machine.
    Loopback,
    /// On the network that the client is connected to.
    LinkLocal,
    /// By a name that leads to the client's own machine.
    Resolved,
    /// With an address of somebody else.
    Elsewhere,
    /// With an error, after it was announced.
    Refused,
    /// Not at all: the question is never answered.
    Silent,
}

/// How a relay answers to being activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activated {
    /// It does it.
    Right,
    /// It refuses.
    Refused,
    /// It has too many streams.
    Limited,
    /// It never answers.
    Silent,
}

/// What servers do with signals and their answers, each in this many of 1000 cases.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lies {
    /// It is withheld.
    pub withhold: u64,
    /// It arrives again, up to 30 s later.
    pub repeat: u64,
    /// Others overtake it.
    pub reorder: u64,
    /// A bit of it, or its number, changes.
    pub alter: u64,
    /// It is answered by an error in the peer's name, and goes on or not.
    pub refuse: u64,
}

impl Lies {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.withhold + self.repeat + self.reorder + self.alter + self.refuse > 0
    }
}

impl Paths {
    /// What this seed determines; most have none.
    pub fn draw(seed: u64) -> Option<Self> {
        let mut dice = Dice::new(seed, 6);
        if !dice.permille(300) {
            return None;
        }
        let mut takes = || {
            let takes = match dice.below(20) {
                0 => Takes::InBand,
                1..3 => Takes::Own,
                3..9 => Takes::Proxy,
                9..12 => Takes::Direct,
                _ => Takes::Any,
            };
            (!dice.permille(40)).then_some(takes)
        };
        let takes = [takes(), takes()];
        let relays = [dice.permille(800), dice.permille(800)];
        let listen = [dice.permille(500), dice.permille(500)];
        let harm = match dice.below(10) {
            0..3 => Harm::None,
            3..7 => Harm::Breaks,
            _ => Harm::Alters,
        };
        let announced = match dice.below(100) {
            0..3 => Announced::Loopback,
            3..6 => Announced::LinkLocal,
            6..9 => Announced::Resolved,
            9..11 => Announced::Elsewhere,
            11..13 => Announced::Refused,
            13..15 => Announced::Silent,
            _ => Announced::Right,
        };
        let activated = match dice.below(100) {
            0..4 => Activated::Refused,
            4..8 => Activated::Limited,
            8..12 => Activated::Silent,
            _ => Activated::Right,
        };
        let lying = dice.permille(300);
        let mut some = |most: u64| {
            if lying && dice.permille(500) {
                1 + dice.below(most)
            } else {
                0
            }
        };
        let lies = Lies {
            withhold: some(500),
            repeat: some(500),
            reorder: some(500),
            alter: some(300),
            refuse: some(300),
        };
        Some(Self {
            takes,
            relays,
            listen,
            harm,
            tails: dice.permille(400),
            announced,
            activated,
            lies,
            gone: dice.permille(300),
            lag: dice.pick(&[0, 0, 30, 200]),
        })
    }

    /// Two who allow everything, with everything there is and nothing in the way.
    pub fn calm() -> Self {
        Self {
            takes: [Some(Takes::Any); 2],
            relays: [true; 2],
            listen: [false; 2],
            harm: Harm::None,
            tails: false,
            announced: Announced::Right,
            activated: Activated::Right,
            lies: Lies::default(),
            gone: false,
            lag: 0,
        }
    }

    /// Whether what happens to paths may not harm a tunnel: what breaks off ends a leg and nothing else, and what is done
    /// to signals alone harms nothing that carries.
    pub fn harmless(&self) -> bool {
        match self.harm {
            Harm::None => true,
            Harm::Breaks => !self.lies.any(),
            Harm::Alters => false,
        }
    }
}
