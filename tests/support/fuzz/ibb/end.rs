//! One end: a mux, its owner, and what both should have done by now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use xtls_ibb::{Event, Mux, StreamId, Why};
use xtls_stanza::ibb::{Carrier, Data, Seq, Sid};
use xtls_stanza::{Address, Content, Envelope, Payload};

/// What the owner knows of one stream, and what a slow and obvious receiver would have made of it.
pub(super) struct Told {
    pub(super) peer: Address,
    /// The last one known: a refused block leads to another.
    pub(super) sid: Option<Sid>,
    pub(super) pending: bool,
    /// Chunks left in messages.
    pub(super) messages: bool,
    pub(super) written: Vec<u8>,
    pub(super) received: usize,
    /// The chunks that arrived in order, joined.
    pub(super) arrived: Vec<u8>,
    pub(super) next: Seq,
    /// How many there were.
    chunks: u64,
    aborted: bool,
    pub(super) closed: Option<Why>,
}

/// The requests with one id from one sender.
#[derive(Default)]
pub(super) struct Asked {
    /// An open or a close.
    once: bool,
    asked: u32,
    answered: u32,
}

/// What one stream has sent.
#[derive(Default)]
struct Sent {
    bytes: Vec<u8>,
    chunks: Vec<Bytes>,
}

pub(super) struct End {
    pub(super) mux: Mux,
    pub(super) streams: BTreeMap<StreamId, Told>,
    asked: BTreeMap<(Address, String), Asked>,
    sent: BTreeMap<StreamId, Sent>,
    requests: BTreeSet<String>,
    /// The last requests and messages that left.
    pub(super) last: Vec<String>,
}

impl End {
    pub(super) fn new(mux: Mux) -> Self {
        Self {
            mux,
            streams: BTreeMap::new(),
            asked: BTreeMap::new(),
            sent: BTreeMap::new(),
            requests: BTreeSet::new(),
            last: Vec::new(),
        }
    }

    pub(super) fn learn(&mut self, id: StreamId, peer: Address, pending: bool) {
        let told = Told {
            peer,
            sid: None,
            pending,
            messages: false,
            written: Vec::new(),
            received: 0,
            arrived: Vec::new(),
            next: Seq(0),
            chunks: 0,
            aborted: false,
            closed: None,
        };
        self.streams.insert(id, told);
    }

    /// A stream that has not ended, chosen by any number.
    pub(super) fn stream(&self, which: u8) -> Option<StreamId> {
        let open: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, told)| told.closed.is_none())
            .map(|(id, _)| *id)
            .collect();
        open.get(usize::from(which) % open.len().max(1)).copied()
    }

    fn find(&self, peer: &Address, sid: &Sid) -> Option<StreamId> {
        let is =
            |id: &&StreamId| self.mux.sid(**id) == Some(sid) && self.mux.peer(**id) == Some(peer);
        self.streams.keys().find(is).copied()
    }

    /// Hands a stanza to the mux.
    pub(super) fn handle(&mut self, now: Instant, envelope: &Envelope) -> Result<(), String> {
        let Some(from) = envelope.from.clone() else {
            return Err("a stanza from no one".into());
        };
        if matches!(envelope.content, Content::Set(_) | Content::Get(_)) {
            let asked = self
                .asked
                .entry((from.clone(), envelope.id.clone()))
                .or_default();
            asked.asked += 1;
            asked.once |= matches!(
                envelope.content,
                Content::Set(Payload::Open(_) | Payload::Close(_))
            );
        }
        let data = match &envelope.content {
            Content::Set(Payload::Data(data)) => Some(data),
            Content::Message { payloads, .. } => {
                payloads.iter().find_map(|payload| match payload {
                    Payload::Data(data) => Some(data),
                    _ => None,
                })
            }
            _ => None,
        };
        let stream = data.and_then(|Data { sid, .. }| self.find(&from, sid));
        let request = matches!(envelope.content, Content::Set(_) | Content::Get(_));
        let foreign = self.mux.handle(now, envelope.clone());
        if request && foreign.is_some() {
            return Err("a request about bytestreams was given back".into());
        }
        if let (Some(data), Some(id)) = (data, stream) {
            self.chunk_came(id, data)?;
        }
        self.events()
    }

    /// What the mux counts as received is the chunk that was due.
    fn chunk_came(&mut self, id: StreamId, data: &Data) -> Result<(), String> {
        let (Some(stats), Some(told)) = (self.mux.stats(id), self.streams.get_mut(&id)) else {
            return Ok(());
        };
        if stats.chunks_received == told.chunks {
            return Ok(());
        }
        told.chunks += 1;
        if stats.chunks_received != told.chunks || told.next != data.seq {
            return Err(format!(
                "chunk {} was taken where {} was due",
                data.seq, told.next
            ));
        }
        told.next = data.seq.next();
        told.sid = Some(data.sid.clone());
        told.arrived.extend_from_slice(&data.bytes);
        Ok(())
    }

    /// The next stanza.
    pub(super) fn transmit(&mut self, now: Instant) -> Result<Option<Envelope>, String> {
        for (id, told) in &mut self.streams {
            if told.closed.is_none() {
                told.sid = self.mux.sid(*id).cloned().or_else(|| told.sid.take());
            }
        }
        let envelope = self.mux.poll_transmit(now);
        envelope
            .as_ref()
            .map_or(Ok(()), |envelope| self.left(envelope))?;
        Ok(envelope)
    }

    /// What left the mux: every answer has one request, every request a unique id, every chunk its place.
    fn left(&mut self, envelope: &Envelope) -> Result<(), String> {
        let Some(to) = envelope.to.clone() else {
            return Err("a stanza to no one".into());
        };
        match &envelope.content {
            Content::Result(_) | Content::Error(_) => {
                let key = (to, envelope.id.clone());
                match self.asked.get_mut(&key) {
                    Some(asked) if asked.answered < asked.asked => asked.answered += 1,
                    Some(_) => return Err(format!("{} was answered twice", envelope.id)),
                    None => return Err(format!("{} was answered and never asked", envelope.id)),
                }
                return Ok(());
            }
            Content::Set(Payload::Data(data)) => self.chunk(to, data, Carrier::Iq)?,
            Content::Set(_) => {}
            Content::Message { payloads, .. } => match payloads.first() {
                Some(Payload::Data(data)) => self.chunk(to, data, Carrier::Message)?,
                _ => return Err("a message without a chunk".into()),
            },
            Content::Get(_) | Content::Presence { .. } => return Err("a stanza of no use".into()),
        }
        self.last.insert(0, envelope.id.clone());
        self.last.truncate(3);
        if !self.requests.insert(envelope.id.clone()) {
            return Err(format!("the id {} was used again", envelope.id));
        }
        Ok(())
    }

    fn chunk(&mut self, to: Address, data: &Data, carrier: Carrier) -> Result<(), String> {
        // The stream may be gone with its last chunk.
        let is = |told: &Told| told.peer == to && told.sid.as_ref() == Some(&data.sid);
        let found = self.streams.iter().rev().find(|(_, told)| is(told));
        let Some((&id, _)) = found else {
            return Err("a chunk of no stream".into());
        };
        let block = self.mux.block_size(id).unwrap_or(u16::MAX);
        if data.bytes.len() > usize::from(block) || data.bytes.is_empty() {
            return Err(format!("a chunk of {} bytes", data.bytes.len()));
        }
        // A peer may reuse a sid for another stream.
        let sent = self.sent.entry(id).or_default();
        let at = usize::from(data.seq.0);
        if at == sent.chunks.len() {
            sent.chunks.push(data.bytes.clone());
            sent.bytes.extend_from_slice(&data.bytes);
            let told = self.streams.get_mut(&id).ok_or("a stream")?;
            told.sid = Some(data.sid.clone());
            told.messages |= carrier == Carrier::Message;
            if !told.written.starts_with(&sent.bytes) {
                return Err("other bytes were sent than were written".into());
            }
        } else if sent.chunks.get(at) != Some(&data.bytes) {
            return Err(format!("chunk {at} was sent again with other bytes"));
        }
        Ok(())
    }

    /// Takes the events, checking the order of each.
    pub(super) fn events(&mut self) -> Result<(), String> {
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Incoming { id, from, .. } => {
                    self.learn(id, from, true);
                    continue;
                }
                Event::Opened { id, .. }
                | Event::Readable { id }
                | Event::Writable { id }
                | Event::Acknowledged { id }
                | Event::PeerClosed { id }
                | Event::Closed { id, .. }
                    if self
                        .streams
                        .get(&id)
                        .is_none_or(|told| told.closed.is_some()) =>
                {
                    return Err(format!("{event:?} of a stream that is not there"));
                }
                Event::Closed { id, close } => self.closed(id, close.why)?,
                Event::Opened { .. }
                | Event::Readable { .. }
                | Event::Writable { .. }
                | Event::Acknowledged { .. }
                | Event::PeerClosed { .. }
                | Event::TurnedAway { .. } => {}
                _ => return Err("an event of a new kind".into()),
            }
        }
        Ok(())
    }

    fn closed(&mut self, id: StreamId, why: Why) -> Result<(), String> {
        let Some(told) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        let dropped = told.aborted || matches!(why, Why::Aborted | Why::Unread { .. });
        if !dropped && told.received != told.arrived.len() {
            return Err(format!(
                "{why}: {} bytes came, {} were read",
                told.arrived.len(),
                told.received
            ));
        }
        told.closed = Some(why);
        told.pending = false;
        Ok(())
    }

    pub(super) fn read(&mut self, now: Instant, id: StreamId, max: usize) -> Result<usize, String> {
        let before = self.mux.readable(id);
        let Some(bytes) = self.mux.stream(now, id).read(max) else {
            return if before > 0 && max > 0 {
                Err("nothing was read".into())
            } else {
                Ok(0)
            };
        };
        let told = self.streams.get_mut(&id).ok_or("a stream")?;
        let until = told.received + bytes.len();
        if bytes.len() > max || told.arrived.get(told.received..until) != Some(&bytes[..]) {
            return Err("other bytes were read than had come".into());
        }
        told.received = until;
        self.events()?;
        Ok(bytes.len())
    }

    pub(super) fn abort(&mut self, now: Instant, id: StreamId) -> Result<(), String> {
        if let Some(told) = self.streams.get_mut(&id) {
            told.aborted = true;
        }
        self.mux.stream(now, id).abort();
        self.events()
    }

    pub(super) fn lost(&mut self, now: Instant) -> Result<(), String> {
        self.mux.lost(now);
        self.asked.clear();
        self.events()
    }

    /// Whether nothing is left: every stream has ended, every request has its answer.
    pub(super) fn settled(&self) -> Result<(), String> {
        if !self.mux.is_empty() || self.mux.poll_timeout().is_some() {
            return Err(format!(
                "a stream is left, and waits for {:?}",
                self.mux.poll_timeout().map(|deadline| deadline.why)
            ));
        }
        if let Some((id, _)) = self.streams.iter().find(|(_, told)| told.closed.is_none()) {
            return Err(format!("{id} is gone without a word"));
        }
        for ((_, id), asked) in &self.asked {
            // One answer serves an open or a close that arrived several times.
            let least = if asked.once { 1 } else { asked.asked };
            if asked.answered < least {
                return Err(format!(
                    "{id} was asked {} times and answered {}",
                    asked.asked, asked.answered
                ));
            }
        }
        Ok(())
    }

    /// The bytes that arrived in order over the stream with this sid.
    pub(super) fn arrived(&self, peer: &Address, sid: &Sid) -> Option<&[u8]> {
        let is = |told: &&Told| told.peer == *peer && told.sid.as_ref() == Some(sid);
        self.streams.values().find(is).map(|told| &told.arrived[..])
    }
}
