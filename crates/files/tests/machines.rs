//! Two honest ends: whatever is offered, wherever the stream is cut, and whatever is there already, what arrives is what was sent.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use xtls_files::name::Rules;
use xtls_files::{
    Block, Date, Entry, Hash, Hasher, Kind, Outcome, PIECE, Packer, Reason, Receiver,
    ReceiverEvent, Sender, SenderEvent, Unpacker,
};

fn hash(bytes: &[u8]) -> Hash {
    let mut hasher = Hasher::default();
    hasher.add(bytes);
    hasher.hash()
}

/// What the receiver does with a file.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Whole,
    /// It has so many bytes (modulo the size), which are right.
    Part(u64),
    /// It has so many, which are of something else.
    Alien(u64),
    /// It has a whole one, which is the same.
    Have,
    /// It has one of this size, which is another.
    Other,
    Skip,
    /// It gives up after so many blocks.
    Fail(u8),
}

#[derive(Debug, Clone)]
struct Sample {
    content: Option<Vec<u8>>,
    wish: Wish,
    /// The sender fails to read it after so many bytes.
    unreadable: Option<u64>,
}

/// The sender with its files.
struct Source {
    machine: Sender,
    files: Vec<Sample>,
    packer: Packer,
    queue: VecDeque<(u32, u64, Option<Hash>)>,
    /// The file that is being sent, and how far.
    current: Option<(u32, usize)>,
    done: BTreeSet<u32>,
    outcome: Option<Outcome>,
    most: u64,
    sent: u64,
}

const WINDOW: u64 = 3 * 65_536;

impl Source {
    fn new(files: Vec<Sample>) -> Self {
        let mut machine = Sender::new(WINDOW);
        for (number, file) in files.iter().enumerate() {
            let entry = match &file.content {
                Some(content) => {
                    Entry::file(format!("d/{number}"), content.len() as u64, Date::default())
                }
                None => Entry::folder(format!("{number}"), Date::default()),
            };
            machine.offer(&entry).unwrap();
        }
        machine.end_offer().unwrap();
        Self {
            machine,
            files,
            packer: Packer::default(),
            queue: VecDeque::new(),
            current: None,
            done: BTreeSet::new(),
            outcome: None,
            most: 0,
            sent: 0,
        }
    }

    fn run(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                SenderEvent::Wanted {
                    index,
                    offset,
                    prefix,
                } => self.queue.push_back((index, offset, prefix)),
                SenderEvent::Done { index } => assert!(self.done.insert(index)),
                SenderEvent::Complete(outcome) => self.outcome = Some(outcome),
                SenderEvent::Broken(fault) => panic!("{fault}"),
                _ => {}
            }
        }
        self.current = self.current.filter(|(index, _)| self.machine.wants(*index));
        self.queue.retain(|(index, ..)| self.machine.wants(*index));
        loop {
            let Some((index, at)) = self.current else {
                let Some((index, offset, prefix)) = self.queue.pop_front() else {
                    return;
                };
                let content = self.files[index as usize].content.clone().unwrap();
                let offset = usize::try_from(offset).unwrap();
                let offset = match prefix {
                    Some(prefix) if prefix != hash(&content[..offset]) => 0,
                    _ => offset,
                };
                self.machine.begin(index, offset as u64).unwrap();
                self.packer.next_file();
                self.current = Some((index, offset));
                continue;
            };
            let file = &self.files[index as usize];
            let content = file.content.as_ref().unwrap();
            if file
                .unreadable
                .is_some_and(|most| at as u64 >= most % (content.len() as u64 + 1))
            {
                self.machine.fail(index, Reason::Unreadable.into()).unwrap();
                self.current = None;
            } else if at == content.len() {
                self.machine.end(hash(content)).unwrap();
                self.current = None;
            } else if self.machine.room() > 0 {
                let end = content.len().min(at + PIECE);
                let block = self.packer.pack(&content[at..end], self.machine.may_pack());
                self.machine.block(block).unwrap();
                self.sent += (end - at) as u64;
                self.current = Some((index, end));
            } else {
                return;
            }
            self.most = self.most.max(WINDOW - self.machine.room().min(WINDOW));
        }
    }
}

/// The receiver with its disk.
struct Target {
    machine: Receiver,
    wishes: Vec<Wish>,
    contents: Vec<Option<Vec<u8>>>,
    parts: BTreeMap<u32, Vec<u8>>,
    stored: BTreeMap<u32, Vec<u8>>,
    blocks: u8,
    unpacker: Unpacker,
    looked_again: BTreeSet<u32>,
    over: bool,
}

impl Target {
    fn new(files: &[Sample]) -> Self {
        Self {
            machine: Receiver::new(Rules::Unix, false),
            wishes: files.iter().map(|file| file.wish).collect(),
            contents: files.iter().map(|file| file.content.clone()).collect(),
            parts: BTreeMap::new(),
            stored: BTreeMap::new(),
            blocks: 0,
            unpacker: Unpacker::default(),
            looked_again: BTreeSet::new(),
            over: false,
        }
    }

    fn look(&mut self, index: u32) {
        let entry = self.machine.entry(index).unwrap().clone();
        if entry.kind == Kind::Folder {
            return self.machine.made(index).unwrap();
        }
        let content = self.contents[index as usize].clone().unwrap();
        let (offset, prefix) = match self.wishes[index as usize] {
            Wish::Whole | Wish::Fail(_) => (0, None),
            Wish::Part(length) => {
                let offset = length % (entry.size + 1);
                let part = content[..usize::try_from(offset).unwrap()].to_vec();
                let prefix = (offset > 0).then(|| hash(&part));
                self.parts.insert(index, part);
                (offset, prefix)
            }
            Wish::Alien(length) => {
                let offset = length % (entry.size + 1);
                let part = vec![b'?'; usize::try_from(offset).unwrap()];
                let prefix = (offset > 0).then(|| hash(&part));
                self.parts.insert(index, part);
                (offset, prefix)
            }
            Wish::Have | Wish::Other => (entry.size, None),
            Wish::Skip => return self.machine.skip(index, Reason::Exists.into()).unwrap(),
        };
        self.machine.want(index, offset, prefix).unwrap();
    }

    fn block(&mut self, index: u32, block: Block) {
        let part = self.parts.entry(index).or_default();
        match block {
            Block::Raw(bytes) => part.extend_from_slice(&bytes),
            Block::Packed { size, bytes } => {
                part.extend_from_slice(self.unpacker.unpack(size, &bytes).unwrap())
            }
            Block::Hole(length) => part.resize(part.len() + usize::try_from(length).unwrap(), 0),
        }
        self.machine.stored(index, part.len() as u64).unwrap();
        self.blocks += 1;
        if matches!(self.wishes[index as usize], Wish::Fail(most) if self.blocks > most) {
            self.machine.fail(index, Reason::Disk.into()).unwrap();
        }
    }

    fn end(&mut self, index: u32, said: Hash) {
        let content = self.contents[index as usize].clone().unwrap();
        let first = self.looked_again.insert(index);
        match self.wishes[index as usize] {
            Wish::Have if first => {
                assert_eq!(said, hash(&content));
                self.machine.skip(index, Reason::Have.into()).unwrap();
            }
            Wish::Other if first => self.machine.want(index, 0, None).unwrap(),
            // A disk that is full when the file gets its name.
            Wish::Fail(_) => self.machine.fail(index, Reason::DiskFull.into()).unwrap(),
            _ => {
                let part = self.parts.remove(&index).unwrap_or_default();
                assert_eq!(said, hash(&part));
                self.stored.insert(index, part);
                self.machine.done(index).unwrap();
            }
        }
    }

    fn run(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                ReceiverEvent::Offered => self.machine.accept().unwrap(),
                ReceiverEvent::Look { index } => self.look(index),
                ReceiverEvent::Begin { index, offset } => {
                    self.blocks = 0;
                    self.parts
                        .entry(index)
                        .or_default()
                        .truncate(usize::try_from(offset).unwrap());
                }
                // Others were there before the file was given up.
                ReceiverEvent::Block { index, block } if self.machine.gets(index) => {
                    self.block(index, block)
                }
                ReceiverEvent::End { index, hash } if self.machine.gets(index) => {
                    self.end(index, hash)
                }
                ReceiverEvent::Settled => {
                    self.machine.complete().unwrap();
                }
                ReceiverEvent::Bye => self.over = true,
                ReceiverEvent::Broken(fault) => panic!("{fault}"),
                _ => {}
            }
        }
    }
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    let runs = prop::collection::vec((any::<u8>(), 1..90_000_usize), 0..5);
    prop_oneof![
        noise,
        runs.prop_map(|runs| runs
            .into_iter()
            .flat_map(|(byte, length)| std::iter::repeat_n(byte / 64, length))
            .collect()),
    ]
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        4 => Just(Wish::Whole),
        1 => any::<u64>().prop_map(Wish::Part),
        1 => any::<u64>().prop_map(Wish::Alien),
        1 => Just(Wish::Have),
        1 => Just(Wish::Other),
        1 => Just(Wish::Skip),
        1 => (0..4_u8).prop_map(Wish::Fail),
    ]
}

fn sample() -> impl Strategy<Value = Sample> {
    let unreadable = prop_oneof![8 => Just(None), 1 => any::<u64>().prop_map(Some)];
    (prop::option::weighted(0.9, content()), wish(), unreadable).prop_map(
        |(content, wish, unreadable)| Sample {
            content,
            wish,
            unreadable,
        },
    )
}

/// How much of what waits goes over at a time, each way.
fn cut(wire: &mut Vec<u8>, length: usize) -> Vec<u8> {
    let rest = wire.split_off(length.min(wire.len()));
    std::mem::replace(wire, rest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_arrives_is_what_was_sent_in_every_cutting(
        files in prop::collection::vec(sample(), 0..90),
        cuts in prop::collection::vec((1..50_000_usize, 1..60_usize), 1..30),
    ) {
        let mut source = Source::new(files.clone());
        let mut target = Target::new(&files);
        let (mut there, mut back) = (Vec::new(), Vec::new());
        for (forth, hither) in cuts.iter().cycle() {
            source.run();
            if let Some(bytes) = source.machine.poll_wire() {
                there.extend_from_slice(&bytes);
            }
            target.machine.handle_wire(&cut(&mut there, *forth));
            target.run();
            if let Some(bytes) = target.machine.poll_wire() {
                back.extend_from_slice(&bytes);
            }
            source.machine.handle_wire(&cut(&mut back, *hither));
            if target.over && source.outcome.is_some() {
                break;
            }
        }
        let outcome = source.outcome.unwrap();
        prop_assert_eq!(outcome.entries() as usize, files.len());
        prop_assert!(source.most <= WINDOW + 3 * 65_536, "{}", source.most);
        for (index, content) in &target.stored {
            prop_assert_eq!(Some(content), files[*index as usize].content.as_ref());
            prop_assert!(source.done.contains(index));
        }
        for (index, file) in (0..).zip(&files) {
            let stored = target.stored.contains_key(&index);
            prop_assert_eq!(source.done.contains(&index), stored || file.content.is_none());
            if file.unreadable.is_none() && matches!(file.wish, Wish::Whole | Wish::Part(_) | Wish::Alien(_) | Wish::Other) {
                prop_assert!(stored || file.content.is_none());
            }
        }
    }

    #[test]
    fn no_bytes_make_a_machine_panic_or_hold_much(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        // Many small frames of types that there are.
        let frames: Vec<u8> = bytes.chunks(20).flat_map(|chunk| {
            let length = u8::try_from(chunk.len() - 1).unwrap();
            [&[chunk[0] % 0x28, 0, 0, length], &chunk[1..]].concat()
        }).collect();
        let hello = [1, 0, 0, 2, 1, 1];
        for wire in [bytes, [&hello[..], &frames].concat()] {
            let mut sender = Sender::new(WINDOW);
            sender.offer(&Entry::file("a", 1_000, Date::default())).unwrap();
            sender.end_offer().unwrap();
            sender.handle_wire(&wire);
            while sender.poll_event().is_some() {}
            prop_assert!(sender.pending() < 4_096);
            let mut receiver = Receiver::new(Rules::Unix, false);
            receiver.handle_wire(&wire);
            while receiver.poll_event().is_some() {}
        }
    }
}
