//! The flow before the letter: `<start/>` → `<proceed/>`, and the bytes in `<data xmlns='urn:xmpp:tmp:xtls'/>`.
//!
//! The outline to which the letter answers has no bytestream beneath: no sid, no numbers, no block size. So there is one
//! flow for each pair of addresses, one request under way in each direction (XMPP keeps the order of what two addresses
//! say, RFC 6120 §10.1), and no close but xtls's own. It is here because it is the proof that a session needs nothing of
//! its transport but bytes in order. No I/O; the time is an argument.

mod inbound;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use xtls_ibb::{Awaited, Gone, OpenError, Opens, Outgoing, Rate, Why, WriteError};
use xtls_stanza::busy::Busy;
use xtls_stanza::{Address, Condition, Content, Envelope, ErrorType, Payload, StanzaError, xtls};

/// Names one flow. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(u64);

/// Something happened to a flow.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A peer asks for one: [`accept`](Original::accept) or [`refuse`](Original::refuse) within 50 s.
    Incoming {
        /// The flow.
        id: FlowId,
        /// Who asks.
        from: Address,
        /// The ClientHello that came with it.
        hello: Option<Bytes>,
    },
    /// The peer has accepted ours.
    Opened {
        /// The flow.
        id: FlowId,
        /// The server's flight that came with it.
        hello: Option<Bytes>,
    },
    /// There are bytes to read.
    Readable(FlowId),
    /// There is room again.
    Writable(FlowId),
    /// A limit turned a `<start/>` away. At most one waits: those between two polls are not told.
    TurnedAway {
        /// Who asked.
        from: Address,
        /// The limit.
        busy: Busy,
    },
    /// It has ended, and nothing more comes of it.
    Closed(FlowId, Why),
}

#[derive(Debug)]
enum Phase {
    /// Our `<start/>` has no answer yet.
    Opening {
        until: Instant,
    },
    /// The peer's waits for the owner.
    Incoming {
        until: Instant,
    },
    Open,
    /// The owner has closed it: what was written goes out and is acknowledged.
    Flushing {
        until: Instant,
    },
}

#[derive(Debug)]
struct Flow {
    id: FlowId,
    /// The id of the `<start/>`, which names the flow.
    start: String,
    phase: Phase,
    out: BytesMut,
    /// The request under way, how many bytes it has, and until when its answer is awaited.
    flight: Option<(String, usize, Instant)>,
    /// What has come, with the request that is answered when it has been read. The next one comes after that.
    unread: Option<(Bytes, String)>,
    /// The peer's last request that was taken, to know it when a server sends it again: its id, and a hash of its bytes.
    last: Option<(String, u64)>,
    starved: bool,
}

/// All flows of one full address.
#[derive(Debug)]
pub struct Original {
    own: Address,
    flows: BTreeMap<Address, Flow>,
    names: BTreeMap<FlowId, Address>,
    opens: Opens,
    rate: Rate,
    deadlines: BTreeSet<(Instant, FlowId)>,
    out: Outgoing,
    events: VecDeque<Event>,
    /// `TurnedAway` is among the events.
    turned_away_told: bool,
    random: ChaCha20Rng,
    next: u64,
}

impl Original {
    /// No flows yet, for `own`, the full address that the server bound. All ids come from `seed`, which has to be random.
    #[must_use]
    pub fn new(own: Address, seed: [u8; 32]) -> Self {
        Self {
            own,
            flows: BTreeMap::new(),
            names: BTreeMap::new(),
            opens: xtls_ibb::Config::default().opens(),
            rate: Rate::default(),
            deadlines: BTreeSet::new(),
            out: Outgoing::new(ANSWERS),
            events: VecDeque::new(),
            turned_away_told: false,
            random: ChaCha20Rng::from_seed(seed),
            next: 0,
        }
    }

    /// How many starts of peers a minute are brought to the owner. Default: as many as opens of bytestreams.
    #[must_use]
    pub fn opens(mut self, opens: Opens) -> Self {
        self.opens = opens;
        self
    }

    /// An id that nobody can guess, for [`open`](Self::open).
    #[must_use]
    pub fn fresh_id(&mut self) -> String {
        let mut bytes = [0_u8; 16];
        self.random.fill_bytes(&mut bytes);
        format!("o{:032x}", u128::from_be_bytes(bytes))
    }

    /// Asks `to` for a flow, with `start` as the id of the request.
    ///
    /// # Errors
    /// An address without resource, the own address, a flow with it that stands already, too many flows.
    pub fn open(
        &mut self,
        now: Instant,
        to: &Address,
        start: String,
        hello: Option<Bytes>,
    ) -> Result<FlowId, OpenError> {
        if !to.is_full() {
            return Err(OpenError::NotFull);
        }
        if *to == self.own {
            return Err(OpenError::OwnAddress);
        }
        if self.flows.len() >= FLOWS || self.flows.contains_key(to) {
            return Err(OpenError::TooMany { max: FLOWS });
        }
        let control = xtls::Control::Start { hello };
        self.ask(to, start.clone(), Payload::Xtls(control));
        let until = now + OPEN;
        Ok(self.file(to, start, Phase::Opening { until }, until))
    }

    /// Accepts what [`Event::Incoming`] asked for; `hello` goes into `<proceed/>`.
    ///
    /// # Errors
    /// The flow is not waiting for this any more.
    pub fn accept(&mut self, id: FlowId, hello: Option<Bytes>) -> Result<(), Gone> {
        let (peer, flow) = self.flow(id).ok_or(Gone)?;
        if !matches!(flow.phase, Phase::Incoming { .. }) {
            return Err(Gone);
        }
        flow.phase = Phase::Open;
        let request = flow.start.clone();
        let proceed = Payload::Xtls(xtls::Control::Proceed { hello });
        self.answer(&peer, request, Content::Result(Some(proceed)));
        Ok(())
    }

    /// Refuses what [`Event::Incoming`] asked for.
    ///
    /// # Errors
    /// The flow is not waiting for this any more.
    pub fn refuse(&mut self, id: FlowId, with: StanzaError) -> Result<(), Gone> {
        self.turn_down(id, with, Why::Declined)
    }

    fn turn_down(&mut self, id: FlowId, with: StanzaError, why: Why) -> Result<(), Gone> {
        let (peer, flow) = self.flow(id).ok_or(Gone)?;
        if !matches!(flow.phase, Phase::Incoming { .. }) {
            return Err(Gone);
        }
        let request = flow.start.clone();
        self.answer(&peer, request, Content::Error(with));
        self.end(id, why);
        Ok(())
    }

    /// The id of a flow's `<start/>`.
    #[must_use]
    pub fn start(&self, id: FlowId) -> Option<&str> {
        let flow = self.flows.get(self.names.get(&id)?)?;
        Some(&flow.start)
    }

    /// Bytes that [`write`](Self::write) takes now. When it is 0, [`Event::Writable`] follows.
    #[must_use]
    pub fn room(&self, id: FlowId) -> usize {
        let flow = self.names.get(&id).and_then(|peer| self.flows.get(peer));
        flow.filter(|flow| matches!(flow.phase, Phase::Open))
            .map_or(0, |flow| ROOM.saturating_sub(flow.out.len()))
    }

    /// Gives bytes to the flow; says how many it took.
    ///
    /// # Errors
    /// The flow is not open.
    pub fn write(&mut self, id: FlowId, bytes: &[u8]) -> Result<usize, WriteError> {
        let room = self.room(id);
        let (_, flow) = self.flow(id).ok_or(WriteError::Closed)?;
        match flow.phase {
            Phase::Open => {}
            Phase::Opening { .. } | Phase::Incoming { .. } => return Err(WriteError::NotAccepted),
            Phase::Flushing { .. } => return Err(WriteError::Closed),
        }
        let taken = bytes.get(..room).unwrap_or(bytes);
        flow.out.extend_from_slice(taken);
        flow.starved |= taken.len() == room;
        Ok(taken.len())
    }

    /// Whether all that was written has been acknowledged. True for a flow that is gone.
    #[must_use]
    pub fn is_flushed(&self, id: FlowId) -> bool {
        let flow = self.names.get(&id).and_then(|peer| self.flows.get(peer));
        flow.is_none_or(|flow| flow.out.is_empty() && flow.flight.is_none())
    }

    /// Takes up to `max` bytes. A request whose bytes have all been taken is answered: a reader that does not read holds
    /// the writer back.
    pub fn read(&mut self, id: FlowId, max: usize) -> Option<Bytes> {
        let (peer, flow) = self.flow(id)?;
        let (bytes, _) = flow.unread.as_mut().filter(|_| max > 0)?;
        let taken = bytes.split_to(bytes.len().min(max));
        if let Some((_, request)) = flow.unread.take_if(|(bytes, _)| bytes.is_empty()) {
            self.answer(&peer, request, Content::Result(None));
        }
        Some(taken)
    }

    /// Ends a flow when all that was written has been acknowledged, or 60 s have passed. Nothing is said on the wire: this
    /// flow has no close but xtls's own, which is the owner's.
    pub fn close(&mut self, now: Instant, id: FlowId) {
        let refusal = StanzaError::new(ErrorType::Cancel, Condition::NotAcceptable);
        if self.refuse(id, refusal).is_ok() {
            return;
        }
        let Some((_, flow)) = self.flow(id) else {
            return;
        };
        if flow.out.is_empty() && flow.flight.is_none() {
            self.end(id, Why::Done);
        } else if !matches!(flow.phase, Phase::Flushing { .. }) {
            let until = now + FLUSH;
            flow.phase = Phase::Flushing { until };
            self.deadlines.insert((until, id));
        }
    }

    /// Drops what was written and what was not read, and tells the peer with xtls `<close/>`.
    pub fn abort(&mut self, id: FlowId) {
        let refusal = StanzaError::new(ErrorType::Cancel, Condition::NotAcceptable);
        if self.refuse(id, refusal).is_ok() {
            return;
        }
        let Some((peer, flow)) = self.flow(id) else {
            return;
        };
        if let Some((_, request)) = flow.unread.take() {
            self.answer(&peer, request, Content::Error(unknown()));
        }
        let request = self.fresh_id();
        let close = Payload::Xtls(xtls::Control::Close { sid: None });
        self.ask(&peer, request, close);
        self.end(id, Why::Aborted);
    }

    /// The peer has sent xtls `<close/>`: nothing follows what it said before.
    pub fn peer_closed(&mut self, id: FlowId) {
        self.end(id, Why::Done);
    }

    /// The next stanza to send: answers and questions first, then the next bytes of each flow that has none under way.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Envelope> {
        if let Some(envelope) = self.out.pop() {
            return Some(envelope);
        }
        let ready = |(_, flow): &(&Address, &Flow)| {
            let open = matches!(flow.phase, Phase::Open | Phase::Flushing { .. });
            let free = flow.flight.is_none() || planted!("original-two-under-way");
            open && free && !flow.out.is_empty()
        };
        let peer = self
            .flows
            .iter()
            .find(ready)
            .map(|(peer, _)| peer.clone())?;
        let request = self.fresh_id();
        let flow = self.flows.get_mut(&peer)?;
        let bytes = flow.out.split_to(flow.out.len().min(CHUNK)).freeze();
        let until = now + ANSWER;
        flow.flight = Some((request.clone(), bytes.len(), until));
        self.deadlines.insert((until, flow.id));
        if std::mem::take(&mut flow.starved) {
            self.events.push_back(Event::Writable(flow.id));
        }
        let data = Payload::Xtls(xtls::Control::Data(bytes));
        Some(envelope(&peer, request, Content::Set(data)))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if matches!(event, Event::TurnedAway { .. }) {
            self.turned_away_told = false;
        }
        Some(event)
    }

    /// Whether more than half of the room for answers is taken; see [`Outgoing::is_crowded`].
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.out.is_crowded()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.deadlines.first()
            && at <= now
        {
            self.deadlines.pop_first();
            let Some((_, flow)) = self.flow(id) else {
                continue;
            };
            let late = flow
                .flight
                .as_ref()
                .is_some_and(|(.., until)| *until <= now);
            match flow.phase {
                Phase::Opening { until } if until <= now => {
                    self.end(id, Why::TimedOut(Awaited::Open))
                }
                Phase::Incoming { until } if until <= now => {
                    let refusal = StanzaError::new(ErrorType::Cancel, Condition::NotAcceptable);
                    let _ = self.turn_down(id, refusal, Why::Expired);
                }
                Phase::Flushing { until } if until <= now => {
                    let flying = flow.flight.as_ref().map_or(0, |(_, bytes, _)| *bytes);
                    let bytes = flow.out.len().saturating_add(flying);
                    self.end(id, Why::Unfinished { bytes });
                }
                Phase::Open | Phase::Flushing { .. } if late => {
                    self.end(id, Why::TimedOut(Awaited::Chunk));
                }
                Phase::Opening { .. }
                | Phase::Incoming { .. }
                | Phase::Open
                | Phase::Flushing { .. } => {}
            }
        }
    }

    /// The connection to the server is gone, and all flows with it.
    pub fn lost(&mut self) {
        for id in self.names.keys().copied().collect::<Vec<_>>() {
            self.end(id, Why::LinkLost);
        }
        self.out.clear();
    }

    fn flow(&mut self, id: FlowId) -> Option<(Address, &mut Flow)> {
        let peer = self.names.get(&id)?;
        let flow = self.flows.get_mut(peer)?;
        Some((peer.clone(), flow))
    }

    fn file(&mut self, peer: &Address, start: String, phase: Phase, until: Instant) -> FlowId {
        self.next = self.next.saturating_add(1);
        let id = FlowId(self.next);
        let flow = Flow {
            id,
            start,
            phase,
            out: BytesMut::new(),
            flight: None,
            unread: None,
            last: None,
            starved: false,
        };
        self.flows.insert(peer.clone(), flow);
        self.names.insert(id, peer.clone());
        self.deadlines.insert((until, id));
        id
    }

    /// What was not read is answered as if nobody were here: it was not taken.
    fn end(&mut self, id: FlowId, why: Why) {
        let Some(peer) = self.names.remove(&id) else {
            return;
        };
        let flow = self.flows.remove(&peer);
        if let Some((_, request)) = flow.and_then(|flow| flow.unread) {
            self.answer(&peer, request, Content::Error(unknown()));
        }
        self.deadlines.retain(|(_, other)| *other != id);
        self.events.push_back(Event::Closed(id, why));
    }

    fn ask(&mut self, to: &Address, id: String, payload: Payload) {
        self.out.ask(envelope(to, id, Content::Set(payload)));
    }

    fn answer(&mut self, to: &Address, id: String, content: Content) {
        self.out.answer(envelope(to, id, content));
    }
}

fn envelope(to: &Address, id: String, content: Content) -> Envelope {
    Envelope {
        from: None,
        to: Some(to.clone()),
        id,
        content,
    }
}

fn unknown() -> StanzaError {
    StanzaError::new(ErrorType::Cancel, Condition::ItemNotFound)
}

/// Most bytes in one request, before base64, of ours and of the peer's.
const CHUNK: usize = 4096;
/// Bytes that wait to be sent.
const ROOM: usize = 16_384;
/// Most flows at a time.
const FLOWS: usize = 64;
/// How long our `<start/>` waits for its answer.
const OPEN: Duration = Duration::from_secs(60);
/// How long the peer's waits for the owner.
const ACCEPT: Duration = Duration::from_secs(50);
/// How long a request of ours waits for its answer.
const ANSWER: Duration = Duration::from_secs(60);
/// How long what was written may take at the end.
const FLUSH: Duration = Duration::from_secs(60);
/// Bytes of stanzas that wait for the link; more answers are dropped.
const ANSWERS: usize = 262_144;
