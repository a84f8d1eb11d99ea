//! Two muxes, a network and a liar between them, driven by the bytes of the input: one byte is an operation, those
//! after it are its arguments.

mod end;
mod world;

use std::time::Duration;

use bytes::Bytes;
use xtls_ibb::{Allow, Config, OpenOptions, Window};
use xtls_stanza::ibb::{BlockSize, Carrier, Close, Data, Open, Seq, Sid};
use xtls_stanza::{
    Condition, Content, Element, ErrorType, MessageKind, Payload, PayloadError, StanzaError, ns,
};

use self::world::World;

/// Operations per input.
const MAX_STEPS: usize = 64;

/// The input as a sequence of choices; after its end all of them are 0.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    fn one_in(&mut self, many: u8) -> bool {
        self.byte() % many == many - 1
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }
}

pub(super) fn check(input: &[u8]) -> Result<(), String> {
    let mut choices = Choices(input);
    let configs = [config(&mut choices), config(&mut choices)];
    let mut world = World::new(configs);
    for _ in 0..MAX_STEPS {
        if choices.0.is_empty() {
            break;
        }
        step(&mut world, &mut choices)?;
    }
    world.heal()
}

/// Small limits, so that few operations reach them.
fn config(choices: &mut Choices<'_>) -> Config {
    let bits = choices.byte();
    let window = match bits % 4 {
        0 => Window::default(),
        1 => Window::OneChunk,
        2 => Window::Fixed {
            bytes: 24,
            chunk: 5,
        },
        _ => Window::Adaptive { max: 40 },
    };
    let block = BlockSize::new([1, 7, 300, 4096][usize::from(bits >> 2 & 3)]);
    Config::default()
        .window(window)
        .block_size(block.unwrap_or(BlockSize::MAX))
        .max_block(BlockSize::new(2048).unwrap_or(BlockSize::MAX))
        .patient(bits & 16 != 0)
        .messages(bits & 32 != 0)
        .receive_cap(if bits & 64 != 0 { 600 } else { 1 << 20 })
        .half_close(Duration::from_secs(if bits & 128 != 0 { 30 } else { 0 }))
        .max_streams(4)
        .max_streams_per_peer(3)
        .opens_per_minute(5)
}

fn step(world: &mut World, choices: &mut Choices<'_>) -> Result<(), String> {
    let operation = choices.byte();
    let end = usize::from(operation >> 7);
    match operation & 0x7F {
        // The owner's part.
        0..=7 => world.open(end, options(choices)),
        8..=15 => world.answer_open(end, choices.byte(), !choices.one_in(5)),
        16..=27 => {
            let (which, len) = (choices.byte(), usize::from(choices.byte()));
            world.write(end, which, len)
        }
        28..=35 => {
            let (which, len) = (choices.byte(), usize::from(choices.byte()));
            world.read(end, which, if len == 255 { usize::MAX } else { len })
        }
        36..=39 => world.close(end, choices.byte()),
        40 => world.abort(end, choices.byte()),
        41 => world.set_window(end, choices.byte(), window(choices)),
        42 => world.set_patient(end, choices.byte(), choices.one_in(2)),
        43 => {
            let allow = match choices.below(3) {
                0 => Allow::Anyone,
                1 => Allow::Only([world.bare(1 - end)].into()),
                _ => Allow::Expected,
            };
            let expected = name(choices).ok_or("a sid")?;
            world.allow(end, allow, expected);
            Ok(())
        }
        // The link's part.
        44..=47 => {
            world.pass(millis(choices));
            world.timeout(0)?;
            world.timeout(1)
        }
        48 => {
            world.pass(millis(choices));
            world.timeout(end)
        }
        49 => world.pause(end, choices.one_in(2)),
        50 if choices.one_in(8) => world.lost(end),
        50..=79 => world.deliver(end, usize::from(choices.below(8)) + 1),
        80..=83 => world.repeat(end),
        84..=85 => {
            world.lose(end);
            Ok(())
        }
        86..=89 => world.bounce(end, error(choices)),
        90 => {
            world.swap(end);
            Ok(())
        }
        91..=103 => world.transmit(end, choices.below(8).into()),
        // Everyone else's part.
        104..=127 => {
            let from = choices.below(8);
            let content = content(world, end, choices);
            let id = choices.below(3);
            world.forge(end, from, id, content)
        }
        _ => Ok(()),
    }
}

fn options(choices: &mut Choices<'_>) -> OpenOptions {
    let mut options = OpenOptions::default();
    let bits = choices.byte();
    if bits & 1 != 0 {
        options = options.carrier(Carrier::Message);
    }
    if bits & 2 != 0 {
        options = options.block_size(BlockSize::MAX);
    }
    if bits & 4 != 0 {
        options = options.window(window(choices));
    }
    options
}

fn window(choices: &mut Choices<'_>) -> Window {
    match choices.below(4) {
        0 => Window::OneChunk,
        1 => Window::Adaptive { max: 100_000 },
        2 => Window::Fixed {
            bytes: choices.byte().into(),
            chunk: choices.byte().into(),
        },
        _ => Window::Fixed {
            bytes: 5000,
            chunk: 1000,
        },
    }
}

/// From a millisecond to more than an hour.
fn millis(choices: &mut Choices<'_>) -> Duration {
    Duration::from_millis(1 << choices.below(23))
}

fn error(choices: &mut Choices<'_>) -> StanzaError {
    // `wait` is the type that matters.
    let kind = match choices.below(8) {
        at @ 0..=4 => ErrorType::ALL[usize::from(at)],
        _ => ErrorType::Wait,
    };
    StanzaError::new(kind, choices.of(&Condition::ALL))
}

fn name(choices: &mut Choices<'_>) -> Option<Sid> {
    Sid::new(choices.of(&["a", "b", "c"])).ok()
}

/// What a liar sends, about an existing stream if possible.
fn content(world: &World, end: usize, choices: &mut Choices<'_>) -> Content {
    let kind = choices.below(16);
    let (sid, next) = match world.known(end, choices.byte()) {
        Some(known) => known,
        None => match name(choices) {
            Some(sid) => (sid, 0),
            None => return Content::Get(Payload::Ping),
        },
    };
    let data = |choices: &mut Choices<'_>| {
        let off = i16::from(choices.below(8)) - 2;
        let len = usize::from(choices.byte()) * 10;
        Payload::Data(Data {
            sid: sid.clone(),
            seq: Seq(next.wrapping_add_signed(if off > 3 { 0 } else { off })),
            bytes: Bytes::from(vec![b'!'; len]),
        })
    };
    match kind {
        0..=4 => Content::Set(data(choices)),
        5 | 6 => {
            let mark = match choices.below(4) {
                0 => Some(Element::new("delay", "urn:xmpp:delay")),
                1 => Some(Element::new("private", ns::CARBONS)),
                _ => None,
            };
            let mut payloads = vec![data(choices)];
            payloads.extend(mark.map(Payload::Other));
            Content::Message {
                kind: choices.of(&[MessageKind::Normal, MessageKind::Groupchat]),
                payloads,
                error: None,
            }
        }
        7 => Content::Message {
            kind: MessageKind::Error,
            payloads: Vec::new(),
            error: Some(error(choices)),
        },
        8 => Content::Set(Payload::Close(Close { sid })),
        9 | 10 => Content::Set(Payload::Open(Open {
            sid: name(choices).unwrap_or(sid),
            block_size: BlockSize::new(choices.of(&[1, 100, 2048, 2049])).unwrap_or(BlockSize::MAX),
            carrier: choices.of(&[Carrier::Iq, Carrier::Message]),
            extensions: Vec::new(),
        })),
        11 => Content::Set(Payload::Malformed {
            ns: ns::IBB.into(),
            name: choices.of(&["open", "data", "close", "other"]).into(),
            sid: (!choices.one_in(4)).then(|| sid.as_str().to_owned()),
            why: PayloadError::Unknown,
        }),
        12 => Content::Get(data(choices)),
        13 => Content::Result(choices.one_in(3).then_some(Payload::Ping)),
        14 => Content::Error(error(choices)),
        _ => Content::Set(Payload::Other(Element::new("other", ns::IBB))),
    }
}
