//! Watches the wire at one client and knows the rules of XEP-0047 and RFC 6120 independently: a second, smaller
//! implementation of the expected answer to each stanza.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hasher as _;

use bytes::Bytes;
use xtls_stanza::ibb::{Carrier, Data, Open, Sid};
use xtls_stanza::path::Leg;
use xtls_stanza::xtls::Control;
use xtls_stanza::{Address, Bare, Condition, Content, Envelope, Payload};

/// What is known of the streams and requests of one client.
#[derive(Debug, Default)]
pub struct Referee {
    /// Streams that the client closes: a peer's close that crosses its own may be answered either way.
    closing: BTreeSet<(Address, Sid)>,
    streams: BTreeMap<(Address, Sid), Stream>,
    /// Opens that await their answer, by the answering address and id; with the sid and the block size.
    offered: BTreeMap<(Address, String), (Sid, u16, Carrier)>,
    asked: BTreeMap<(Address, String), (Sid, u16, Carrier)>,
    /// Requests that the client has received, and how they were answered.
    owed: BTreeMap<(Address, String), Owed>,
    /// Bytes of chunks that the client has acknowledged.
    pub acknowledged: usize,
    /// The bare addresses that may learn that the client is online.
    pub known: BTreeSet<Bare>,
    /// The bare addresses that may open.
    pub welcome: BTreeSet<Bare>,
    /// The most bytes under way that the client is configured for.
    pub most: usize,
    chunks: BTreeMap<(Address, String), usize>,
    /// Original flows, and the request that is under way in each.
    flows: BTreeMap<Address, Option<String>>,
    /// The randoms of the ClientHellos that the client has sent, and the stream of each.
    hellos: BTreeMap<[u8; 32], String>,
    /// Streams that carry frames of a tunnel: there, taking is no acknowledging.
    legs: BTreeSet<Sid>,
}

#[derive(Debug, Default)]
struct Owed {
    got: u32,
    /// How many of them may be answered with a result.
    good: u32,
    answered: u32,
    answered_good: u32,
}

#[derive(Debug)]
struct Stream {
    block: u16,
    carrier: Carrier,
    /// The next number that the client sends, and what it sent with the last ones.
    sends: u16,
    sent: VecDeque<(u16, u64)>,
    under_way: BTreeMap<String, usize>,
    bytes: usize,
    /// The next number that the client may accept.
    takes: u16,
    taken: VecDeque<(u16, u64)>,
    broken: bool,
}

impl Stream {
    fn new(block: u16, carrier: Carrier) -> Self {
        Self {
            block,
            carrier,
            sends: 0,
            sent: VecDeque::new(),
            under_way: BTreeMap::new(),
            bytes: 0,
            takes: 0,
            taken: VecDeque::new(),
            broken: false,
        }
    }

    /// Whether the client may answer this chunk with a result.
    fn may_take(&mut self, data: &Data) -> bool {
        if self.broken || data.bytes.len() > usize::from(self.block) {
            self.broken = true;
            return false;
        }
        let chunk = (data.seq.0, digest(&data.bytes));
        if data.seq.0 == self.takes {
            self.takes = self.takes.wrapping_add(1);
            remember(&mut self.taken, chunk, RECENT);
            return true;
        }
        if self.taken.contains(&chunk) {
            return true;
        }
        self.broken = true;
        false
    }
}

fn remember(recent: &mut VecDeque<(u16, u64)>, chunk: (u16, u64), most: usize) {
    recent.push_back(chunk);
    if recent.len() > most {
        recent.pop_front();
    }
}

/// Chunks of the peer's whose repetition is legal; the client remembers as many.
const RECENT: usize = 512;
/// Chunks of the client's that may come back with `wait`, and be sent again: all that a number can identify.
const SENT: usize = 1 << 16;

fn digest(bytes: &Bytes) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

impl Referee {
    /// Nothing is known yet; this many bytes may be under way.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            ..Self::default()
        }
    }

    /// The client receives a stanza.
    ///
    /// `lawful` says whether its base64 is valid; the program under test might accept base64 that is not.
    pub fn delivered(&mut self, envelope: &Envelope, lawful: bool) {
        let Some(from) = envelope.from.clone() else {
            return;
        };
        let key = (from.clone(), envelope.id.clone());
        match &envelope.content {
            Content::Get(_) => {
                let stranger = !self.known.contains(&from.to_bare());
                self.owe(key, stranger);
            }
            Content::Set(payload) => {
                let stranger = !self.known.contains(&from.to_bare());
                let again = self.has_taken(&from, payload);
                let must_fail = !lawful || stranger || self.must_fail(&from, payload);
                if let Payload::Open(open) = payload {
                    self.note_leg(open);
                    self.offered.insert(
                        key.clone(),
                        (open.sid.clone(), open.block_size.get(), open.carrier),
                    );
                }
                match payload {
                    // Of what comes again, nothing is taken again.
                    Payload::Data(data) if !again && !self.legs.contains(&data.sid) => {
                        self.chunks.insert(key.clone(), data.bytes.len());
                    }
                    // Nothing more can arrive, so nothing is withheld any more; at most a window is unread.
                    Payload::Close(_) => self.chunks.retain(|(peer, _), _| *peer != from),
                    Payload::Xtls(Control::Data(bytes)) => {
                        self.chunks.insert(key.clone(), bytes.len());
                    }
                    Payload::Xtls(Control::Close { sid: None }) => {
                        self.chunks.retain(|(peer, _), _| *peer != from);
                    }
                    _ => {}
                }
                self.owe(key, must_fail);
            }
            Content::Result(_) | Content::Error(_) => {
                let opened = matches!(envelope.content, Content::Result(_));
                if let Content::Result(Some(Payload::Xtls(Control::Proceed { .. }))) =
                    &envelope.content
                {
                    self.flows.insert(from.clone(), None);
                }
                if let Some(under_way) = self.flows.get_mut(&from) {
                    under_way.take_if(|id| *id == envelope.id);
                }
                if let Some((sid, block, carrier)) = self.asked.remove(&key)
                    && opened
                {
                    self.streams
                        .insert((from.clone(), sid), Stream::new(block, carrier));
                }
                let mut failed = false;
                for (_, stream) in self
                    .streams
                    .iter_mut()
                    .filter(|((peer, _), _)| *peer == from)
                {
                    if let Some(len) = stream.under_way.remove(&envelope.id) {
                        stream.bytes -= len;
                        failed |= !opened;
                    }
                }
                if failed {
                    // The stream has ended, as after the peer's close.
                    self.chunks.retain(|(peer, _), _| *peer != from);
                }
            }
            Content::Message { payloads, .. } => {
                // A stored, copied or forwarded chunk counts for no one.
                let copied = |payload: &Payload| match payload {
                    Payload::Other(element) => {
                        element.ns == "urn:xmpp:delay" || element.name == "received"
                    }
                    _ => false,
                };
                if payloads.iter().any(copied) {
                    return;
                }
                // A message carries chunks only for streams in message mode.
                for payload in payloads {
                    if let Payload::Data(data) = payload
                        && let Some(stream) =
                            self.streams.get_mut(&(from.clone(), data.sid.clone()))
                        && stream.carrier == Carrier::Message
                    {
                        stream.may_take(data);
                    }
                }
            }
            Content::Presence { .. } => {}
        }
    }

    /// Whether a chunk is one that was taken before.
    fn has_taken(&self, from: &Address, payload: &Payload) -> bool {
        let Payload::Data(data) = payload else {
            return false;
        };
        let stream = self.streams.get(&(from.clone(), data.sid.clone()));
        let chunk = (data.seq.0, digest(&data.bytes));
        stream.is_some_and(|stream| stream.takes != data.seq.0 && stream.taken.contains(&chunk))
    }

    fn note_leg(&mut self, open: &Open) {
        if Leg::is_in_open(open) {
            self.legs.insert(open.sid.clone());
        }
    }

    fn owe(&mut self, key: (Address, String), must_fail: bool) {
        let owed = self.owed.entry(key).or_default();
        owed.got += 1;
        owed.good += u32::from(!must_fail);
    }

    /// Whether a request must not be answered with a result, whatever else is true.
    fn must_fail(&mut self, from: &Address, payload: &Payload) -> bool {
        match payload {
            Payload::Data(data) => match self.streams.get_mut(&(from.clone(), data.sid.clone())) {
                Some(stream) => !stream.may_take(data),
                None => true,
            },
            Payload::Close(close) => {
                !self.closing.contains(&(from.clone(), close.sid.clone()))
                    && !self
                        .streams
                        .contains_key(&(from.clone(), close.sid.clone()))
                    && !self
                        .asked
                        .iter()
                        .any(|((peer, _), (sid, ..))| peer == from && *sid == close.sid)
                    && !self
                        .offered
                        .iter()
                        .any(|((peer, _), (sid, ..))| peer == from && *sid == close.sid)
            }
            Payload::Malformed {
                ns,
                sid: Some(sid),
                name,
                ..
            } if ns == xtls_stanza::ns::IBB && name == "data" => {
                let stream = Sid::new(sid)
                    .ok()
                    .and_then(|sid| self.streams.get_mut(&(from.clone(), sid)));
                if let Some(stream) = stream {
                    stream.broken = true;
                }
                true
            }
            Payload::Malformed { .. } => true,
            Payload::Open(_) | Payload::Xtls(Control::Start { .. }) => {
                !self.welcome.contains(&from.to_bare())
            }
            Payload::Xtls(Control::Data(_)) => !self.flows.contains_key(from),
            _ => false,
        }
    }

    /// The client sends something. Which rule does it break?
    ///
    /// # Errors
    /// The rule.
    pub fn sent(&mut self, envelope: &Envelope) -> Result<(), String> {
        let Some(to) = envelope.to.clone() else {
            return Ok(());
        };
        let key = (to.clone(), envelope.id.clone());
        // An address that the client asks for something is not a stranger.
        if matches!(envelope.content, Content::Set(_)) {
            self.known.insert(to.to_bare());
            self.welcome.insert(to.to_bare());
        }
        match &envelope.content {
            Content::Set(Payload::Open(open)) => {
                self.note_leg(open);
                self.asked
                    .insert(key, (open.sid.clone(), open.block_size.get(), open.carrier));
                if let Ok(Some(Control::Start { hello: Some(hello) })) = Control::in_open(open) {
                    return self.hello(&hello, open.sid.as_str());
                }
            }
            Content::Set(Payload::Xtls(Control::Start { hello: Some(hello) })) => {
                return self.hello(hello, &envelope.id);
            }
            Content::Set(Payload::Xtls(Control::Data(_))) => {
                let Some(under_way) = self.flows.get_mut(&to) else {
                    return Err("data of a flow that no one has agreed to".to_owned());
                };
                if under_way.replace(envelope.id.clone()).is_some() {
                    return Err("two requests of one flow are under way".to_owned());
                }
            }
            Content::Set(Payload::Close(close)) => {
                self.closing.insert((to, close.sid.clone()));
            }
            Content::Set(Payload::Data(data)) => return self.chunk(&to, &envelope.id, data, true),
            Content::Result(_) | Content::Error(_) => return self.answer(key, envelope),
            Content::Message { payloads, .. } => {
                for payload in payloads {
                    if let Payload::Data(data) = payload {
                        self.chunk(&to, &envelope.id, data, false)?;
                    }
                }
            }
            Content::Set(_) | Content::Get(_) | Content::Presence { .. } => {}
        }
        Ok(())
    }

    /// No ClientHello serves two streams.
    fn hello(&mut self, wire: &[u8], name: &str) -> Result<(), String> {
        // A record of the handshake (5 bytes), a ClientHello (4), its version (2), its random.
        let Some(random) = wire.get(11..43).and_then(|random| random.try_into().ok()) else {
            return Ok(());
        };
        if wire.first() != Some(&0x16) || wire.get(5) != Some(&1) {
            return Ok(());
        }
        let first = self.hellos.entry(random).or_insert_with(|| name.to_owned());
        if first == name {
            Ok(())
        } else {
            Err(format!("the hello of {first} serves {name} too"))
        }
    }

    fn answer(&mut self, key: (Address, String), envelope: &Envelope) -> Result<(), String> {
        let good = matches!(envelope.content, Content::Result(_));
        if let Content::Result(Some(Payload::Xtls(Control::Proceed { .. }))) = &envelope.content {
            self.flows.insert(key.0.clone(), None);
        }
        if let Content::Error(error) = &envelope.content
            && !self.known.contains(&key.0.to_bare())
            && error.condition != Condition::ServiceUnavailable
        {
            return Err("a stranger learns more than that no one is here".to_owned());
        }
        let Some(owed) = self.owed.get_mut(&key) else {
            return Err(format!(
                "an answer to {} that was never asked by {}",
                key.1,
                key.0.as_str()
            ));
        };
        owed.answered += 1;
        owed.answered_good += u32::from(good);
        if owed.answered > owed.got {
            return Err(format!("request {} is answered twice", key.1));
        }
        if owed.answered_good > owed.good {
            return Err(format!("request {} must be refused and is not", key.1));
        }
        if let Some(len) = self.chunks.remove(&key)
            && good
        {
            self.acknowledged += len;
        }
        if let Some((sid, block, carrier)) = self.offered.remove(&key)
            && good
        {
            self.streams
                .insert((key.0, sid), Stream::new(block, carrier));
        }
        Ok(())
    }

    fn chunk(&mut self, to: &Address, id: &str, data: &Data, asks: bool) -> Result<(), String> {
        let name = (to.clone(), data.sid.clone());
        if !self.streams.contains_key(&name) {
            return Err(format!("a chunk of stream {} that is not open", data.sid));
        }
        if data.seq.0 == 0 {
            self.hello(&data.bytes, data.sid.as_str())?;
        }
        let Some(stream) = self.streams.get_mut(&name) else {
            return Ok(());
        };
        let len = data.bytes.len();
        if len > usize::from(stream.block) {
            return Err(format!(
                "a chunk of {len} bytes in blocks of {}",
                stream.block
            ));
        }
        let chunk = (data.seq.0, digest(&data.bytes));
        if data.seq.0 == stream.sends {
            stream.sends = stream.sends.wrapping_add(1);
            remember(&mut stream.sent, chunk, SENT);
        } else if !stream.sent.contains(&chunk) {
            return Err(format!(
                "chunk {} where {} is next",
                data.seq.0, stream.sends
            ));
        }
        if asks {
            if stream.bytes > 0 && stream.bytes + len > self.most {
                return Err(format!(
                    "{} bytes under way, {} are allowed",
                    stream.bytes + len,
                    self.most
                ));
            }
            stream.under_way.insert(id.to_owned(), len);
            stream.bytes += len;
        }
        Ok(())
    }

    /// The link is gone: nothing is owed, and no stream is open.
    pub fn lost(&mut self) {
        *self = Self {
            acknowledged: self.acknowledged,
            most: self.most,
            known: std::mem::take(&mut self.known),
            welcome: std::mem::take(&mut self.welcome),
            hellos: std::mem::take(&mut self.hellos),
            legs: std::mem::take(&mut self.legs),
            ..Self::default()
        };
    }

    /// A request that has never been answered.
    pub fn unanswered(&self) -> Option<String> {
        let (key, _) = self.owed.iter().find(|(_, owed)| owed.answered == 0)?;
        Some(format!("request {} of {}", key.1, key.0.as_str()))
    }
}
