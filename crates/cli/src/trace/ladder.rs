//! What happened, step by step, between you and your peers.

use bytes::Bytes;
use xtls_stanza::xtls::Control;
use xtls_stanza::{Address, Content, Element, Envelope, Payload, ns};

use super::recording::{Direction, Entry, What};
use crate::say::shown;

/// All steps of a recording, and what it is about.
#[derive(Debug)]
pub(super) struct Ladder {
    pub(super) steps: Vec<Step>,
    /// Everybody at the other end of tunnels, in the order of their first stanza.
    pub(super) peers: Vec<String>,
    pub(super) carrying: Sum,
    pub(super) inner: Sum,
    /// How long it took.
    pub(super) us: u64,
}

/// Stanzas, and their bytes in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) stanzas: u64,
    pub(super) bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.stanzas += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) us: u64,
    pub(super) direction: Direction,
    pub(super) layer: Layer,
    /// Who is at the other end, where that is recorded.
    pub(super) peer: Option<String>,
    /// In a few words, safe to show.
    pub(super) label: String,
    pub(super) length: u64,
    pub(super) records: Vec<String>,
    /// It is one of many: a chunk, or the answer to one.
    pub(super) routine: Option<Routine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Routine {
    Chunk,
    Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// What servers see.
    Carrying,
    /// What only the two ends see.
    Inner,
}

impl Layer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Carrying => "carrying",
            Self::Inner => "inner",
        }
    }
}

/// What has a place of its own on a ladder.
#[derive(Debug, Clone)]
pub(super) enum Rung<'a> {
    Step(&'a Step),
    /// Many chunks and answers in a row.
    Many {
        chunks: u64,
        answers: u64,
        bytes: u64,
    },
}

impl Ladder {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        let mut ladder = Self {
            steps: Vec::with_capacity(entries.len()),
            peers: Vec::new(),
            carrying: Sum::default(),
            inner: Sum::default(),
            us: entries.last().map_or(0, |entry| entry.us),
        };
        for entry in entries {
            let step = step(entry);
            match step.layer {
                Layer::Carrying => ladder.carrying.add(step.length),
                Layer::Inner => ladder.inner.add(step.length),
            }
            if let Some(peer) = &step.peer
                && ladder.peers.len() < MAX_PEERS
                && !ladder.peers.contains(peer)
            {
                ladder.peers.push(peer.clone());
            }
            ladder.steps.push(step);
        }
        ladder
    }

    /// The steps, with long runs of chunks and answers folded unless everything is wanted.
    pub(super) fn rungs(&self, full: bool) -> Vec<Rung<'_>> {
        let mut rungs = Vec::new();
        let mut rest = self.steps.as_slice();
        while !rest.is_empty() {
            let is_routine = |step: &&Step| step.routine.is_some();
            let run = rest.iter().take_while(is_routine).count();
            let (run, after) = rest.split_at(run);
            if full || run.len() <= LONGEST_RUN {
                rungs.extend(run.iter().map(Rung::Step));
            } else {
                let (first, run) = run.split_at(SHOWN_OF_RUN);
                let (many, last) = run.split_at(run.len().saturating_sub(SHOWN_OF_RUN));
                rungs.extend(first.iter().map(Rung::Step));
                rungs.push(folded(many));
                rungs.extend(last.iter().map(Rung::Step));
            }
            let others = after.iter().take_while(|step| step.routine.is_none());
            let (others, after) = after.split_at(others.count());
            rungs.extend(others.iter().map(Rung::Step));
            rest = after;
        }
        rungs
    }

    /// What the recording is, in a sentence.
    pub(super) fn title(&self) -> String {
        let whom = match self.peers.as_slice() {
            [] => "nobody".to_owned(),
            [one] => one.clone(),
            many => format!("{} peers", many.len()),
        };
        format!("A recorded session with {whom}, {}", seconds(self.us))
    }

    /// What it consists of, in a sentence.
    pub(super) fn totals(&self) -> String {
        let of = |sum: Sum| format!("{} of {}", stanzas(sum), bytes(sum.bytes));
        match self.inner.stanzas {
            // Tunnels of bytes have none.
            0 => format!("Servers saw {}.", of(self.carrying)),
            _ => format!(
                "Servers saw {}. In TLS were {}.",
                of(self.carrying),
                of(self.inner)
            ),
        }
    }

    /// The number of a step's peer, where there are several.
    pub(super) fn number(&self, step: &Step) -> Option<usize> {
        if self.peers.len() < 2 {
            return None;
        }
        let peer = step.peer.as_ref()?;
        let at = self.peers.iter().position(|known| known == peer)?;
        Some(at + 1)
    }
}

fn folded(many: &[Step]) -> Rung<'_> {
    let of = |kind| {
        many.iter()
            .filter(|step| step.routine == Some(kind))
            .count() as u64
    };
    Rung::Many {
        chunks: of(Routine::Chunk),
        answers: of(Routine::Answer),
        bytes: many
            .iter()
            .fold(0, |sum, step| sum.saturating_add(step.length)),
    }
}

fn step(entry: Entry) -> Step {
    let mut step = Step {
        us: entry.us,
        direction: entry.direction,
        layer: Layer::Inner,
        peer: None,
        label: String::new(),
        length: entry.length,
        records: Vec::new(),
        routine: None,
    };
    match entry.what {
        What::Inner { kind, id } => {
            step.label = shown(&match id {
                Some(id) => format!("{kind} {id}"),
                None => kind,
            });
        }
        What::Carrying { xml, records } => {
            step.layer = Layer::Carrying;
            step.records = records.iter().map(|record| shown(record)).collect();
            let Ok(envelope) = Envelope::read(&Bytes::from(xml)) else {
                step.label = "a stanza that cannot be read".to_owned();
                return step;
            };
            let peer = match entry.direction {
                Direction::In => &envelope.from,
                Direction::Out => &envelope.to,
            };
            // Servers have no local part, and are no peers.
            let peer = peer.as_ref().filter(|peer| peer.local().is_some());
            step.peer = peer.map(|peer| shown(Address::as_str(peer)));
            step.label = shown(&label(&envelope.content));
            step.routine = routine(&envelope.content);
        }
    }
    step
}

/// A carrying stanza in a few words.
fn label(content: &Content) -> String {
    match content {
        Content::Set(payload) => said(payload),
        Content::Get(payload) => format!("asks for {}", said(payload)),
        Content::Result(None) => "result".to_owned(),
        Content::Result(Some(payload)) => format!("result, {}", said(payload)),
        Content::Error(error) => format!("error, {}", error.condition.name()),
        Content::Message {
            error: Some(error), ..
        } => format!("message, error {}", error.condition.name()),
        Content::Message { payloads, .. } => first("message", payloads),
        Content::Presence { payloads, .. } => first("presence", payloads),
    }
}

fn first(kind: &str, payloads: &[Payload]) -> String {
    match payloads.first() {
        Some(payload) => format!("{kind}, {}", said(payload)),
        None => kind.to_owned(),
    }
}

fn said(payload: &Payload) -> String {
    match payload {
        Payload::Open(open) => {
            let start = |element: &&Element| element.is("start", ns::XTLS);
            let start = open.extensions.iter().find(start);
            match start.map(Control::read) {
                Some(Ok(control)) => format!("open, {}", spoken(&control)),
                Some(Err(_)) | None => "open".to_owned(),
            }
        }
        Payload::Data(data) => format!("data {}", data.seq.0),
        Payload::Close(_) => "close of the stream".to_owned(),
        Payload::Xtls(control) => spoken(control),
        Payload::DiscoQuery(_) | Payload::DiscoInfo(_) => "features".to_owned(),
        Payload::Ping => "a sign of life".to_owned(),
        Payload::Malformed { name, .. } => format!("malformed {name}"),
        Payload::Other(element) if element.ns == ns::CLIENT => element.name.to_string(),
        Payload::Other(element) => format!("{} of {}", element.name, element.ns),
    }
}

fn spoken(control: &Control) -> String {
    match control {
        Control::Start { hello: Some(_) } => "start with a ClientHello".to_owned(),
        Control::Proceed { hello: Some(_) } => "proceed with a ServerHello".to_owned(),
        Control::Data(_) => "data of the original flow".to_owned(),
        Control::Close { .. } => "close of the tunnel".to_owned(),
        Control::Start { hello: None } | Control::Proceed { hello: None } | Control::Closed => {
            control.name().to_owned()
        }
    }
}

fn routine(content: &Content) -> Option<Routine> {
    match content {
        Content::Set(Payload::Data(_) | Payload::Xtls(Control::Data(_))) => Some(Routine::Chunk),
        Content::Message { payloads, .. } => payloads
            .iter()
            .any(|payload| matches!(payload, Payload::Data(_)))
            .then_some(Routine::Chunk),
        Content::Result(None) => Some(Routine::Answer),
        Content::Set(_)
        | Content::Get(_)
        | Content::Result(Some(_))
        | Content::Error(_)
        | Content::Presence { .. } => None,
    }
}

/// Milliseconds since the beginning.
pub(super) fn millis(us: u64) -> String {
    (us / 1_000).to_string()
}

fn seconds(us: u64) -> String {
    format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000)
}

pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

fn stanzas(sum: Sum) -> String {
    match sum.stanzas {
        1 => "1 stanza".to_owned(),
        n => format!("{n} stanzas"),
    }
}

/// The chunks and answers that a rung stands for.
pub(super) fn many(chunks: u64, answers: u64, sum: u64) -> String {
    format!("⋯ {chunks} chunks and {answers} answers, {}", bytes(sum))
}

/// What the signs mean.
pub(super) const LEGEND: [(&str, &str); 3] = [
    (
        "──▶",
        "a carrying stanza, which servers see: what it is, the TLS records in it, its length",
    ),
    (
        "══▶",
        "an inner stanza, which only the two ends see, when it went in or came out",
    ),
    (
        "sealed 90",
        "an encrypted record of 90 bytes; …40: 40 more bytes of one; ccs: a record for show",
    ),
];

/// Peers that are told apart.
const MAX_PEERS: usize = 64;

/// Chunks and answers in a row that are drawn one by one; of more, so many at both ends.
const LONGEST_RUN: usize = 8;
const SHOWN_OF_RUN: usize = 2;

#[cfg(test)]
pub(super) mod tests;
