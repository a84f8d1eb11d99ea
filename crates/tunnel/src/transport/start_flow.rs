//! The start flow: `<start/>` → `<proceed/>`, and the bytes in `<data xmlns='urn:xmpp:tmp:xtls'/>`.
//!
//! The outline that the letter answers has no bytestream beneath: no sid, no numbers, no block size. So there is one flow
//! for each pair of addresses, one request under way in each direction (XMPP keeps the order of stanzas between two
//! addresses, RFC 6120 §10.1), and no close but the tunnel's own.

mod flow;
mod flows;
mod gate;
mod outbox;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use xtls_ibb::{Opens, presentable};
use xtls_session::{Glare, glare};
use xtls_stanza::busy::Busy;
use xtls_stanza::{Address, Condition, Content, Envelope, Payload, StanzaError, xtls};

use self::flow::{Arrival, Expiry, Flow};
use self::flows::Flows;
use self::gate::{FLOWS, Gate};
use self::outbox::{Outbox, error, request};
use super::{Answer, Deadline, Event, Gone, Open, OpenError, Sid, StreamEnd, StreamKey, Transport};

/// All flows of one full address.
#[derive(Debug)]
pub struct StartFlow {
    own: Address,
    flows: Flows,
    gate: Gate,
    out: Outbox,
    events: VecDeque<Event>,
    /// `TurnedAway` is among the events: one waits at most.
    turned_away_waits: bool,
    random: ChaCha20Rng,
    next: u64,
}

impl StartFlow {
    /// No flows yet, for `own`, the full address that the server bound. All ids come from `seed`, which has to be random.
    #[must_use]
    pub fn new(own: Address, seed: [u8; 32]) -> Self {
        Self {
            own,
            flows: Flows::default(),
            gate: Gate::new(xtls_ibb::Config::default().opens()),
            out: Outbox::new(),
            events: VecDeque::new(),
            turned_away_waits: false,
            random: ChaCha20Rng::from_seed(seed),
            next: 0,
        }
    }

    /// How many starts of peers a minute come to the router. Default: as many as opens of bytestreams.
    #[must_use]
    pub fn opens(mut self, opens: Opens) -> Self {
        self.gate = Gate::new(opens);
        self
    }

    fn fresh_id(&mut self) -> String {
        let mut bytes = [0_u8; 16];
        self.random.fill_bytes(&mut bytes);
        format!("o{:032x}", u128::from_be_bytes(bytes))
    }

    fn fresh_key(&mut self) -> StreamKey {
        self.next = self.next.saturating_add(1);
        StreamKey(self.next)
    }

    /// Ends a flow. What was not read was not taken, and is answered as if there were no flow.
    fn end(&mut self, stream: StreamKey, end: StreamEnd) {
        let Some((peer, mut flow)) = self.flows.remove(stream) else {
            return;
        };
        if let Some(request) = flow.take_unread() {
            let unknown = error(Condition::ItemNotFound);
            self.out.error(&peer, request, unknown);
        }
        self.events.push_back(Event::Closed { key: stream, end });
    }

    /// Answers a start that waits for the router with an error; false if none waits.
    fn turn_down(&mut self, stream: StreamKey, with: StanzaError, end: StreamEnd) -> bool {
        let Some(flow) = self.flows.get(stream).filter(|flow| flow.is_incoming()) else {
            return false;
        };
        let request = flow.start().to_owned();
        if let Some(peer) = self.flows.peer(stream) {
            self.out.error(peer, request, with);
        }
        self.end(stream, end);
        true
    }

    fn on_start(
        &mut self,
        now: Instant,
        from: Address,
        known: bool,
        request: String,
        hello: Option<Bytes>,
    ) {
        let standing = self.flows.with(&from);
        // XEP-0198 §5: a server sends again what it does not know to have arrived. The router's answer is still to come.
        if standing.is_some_and(|flow| flow.is_incoming() && flow.start() == request) {
            return;
        }
        let standing = standing.map(|flow| (flow.key(), flow.is_opening()));
        let refusal = match (standing, glare(&self.own, &from)) {
            (Some((_, true)), Glare::Ours) => Some(Condition::Conflict),
            (Some((_, false)), _) | (_, Glare::Same) => Some(Condition::NotAcceptable),
            (Some((_, true)), Glare::Theirs) | (None, _) => None,
        };
        let refusal = match (standing, refusal.map(error)) {
            (None, None) => self.busy(now, &from, known).map(Busy::to_error),
            (_, refusal) => refusal,
        };
        if let Some(refusal) = refusal {
            return self.out.error(&from, request, refusal);
        }
        if let Some((ours, _)) = standing {
            // It has lost, and its answer does not matter any more.
            self.end(ours, StreamEnd::Refused(error(Condition::Conflict)));
        }
        self.gate.enter(now, &from, &request);
        let stream = self.fresh_key();
        self.flows
            .add(from.clone(), Flow::incoming(stream, request, now + ACCEPT));
        self.events.push_back(Event::Incoming {
            key: stream,
            from,
            hello: Ok(hello),
        });
    }

    /// The limit that one more start would break, of which the router hears.
    fn busy(&mut self, now: Instant, from: &Address, known: bool) -> Option<Busy> {
        let flows = self.flows.len();
        let busy = self.gate.objection(now, from, known, flows)?;
        if !std::mem::replace(&mut self.turned_away_waits, true) {
            let from = from.clone();
            self.events.push_back(Event::TurnedAway { from, busy });
        }
        Some(busy)
    }

    /// Bytes of a request, or `None` for what could not be read as such.
    fn on_data(&mut self, from: &Address, request: String, bytes: Option<Bytes>) {
        let Some(stream) = self.open_with(from) else {
            return self
                .out
                .error(from, request, error(Condition::ItemNotFound));
        };
        let fits = |bytes: &Bytes| (1..=CHUNK).contains(&bytes.len());
        // As in a bytestream: what cannot be read leaves a hole.
        let Some(bytes) = bytes.filter(fits) else {
            return self.violated(stream, from, request, Condition::BadRequest);
        };
        match self
            .flows
            .change(stream, |flow| flow.arrive(bytes, request.clone()))
        {
            Some(Arrival::New) => self.events.push_back(Event::Ready(stream)),
            Some(Arrival::Answered) => self.out.result(from, request, None),
            Some(Arrival::TooEarly) => {
                self.violated(stream, from, request, Condition::UnexpectedRequest);
            }
            Some(Arrival::Waiting) | None => {}
        }
    }

    /// The flow with this peer that takes data.
    fn open_with(&self, peer: &Address) -> Option<StreamKey> {
        let flow = self.flows.with(peer).filter(|flow| flow.takes_data())?;
        Some(flow.key())
    }

    /// Ends a flow whose peer broke a rule, and answers the request that showed it.
    fn violated(&mut self, stream: StreamKey, from: &Address, request: String, by: Condition) {
        self.out.error(from, request, error(by));
        self.end(stream, StreamEnd::Rejected(error(by)));
    }

    /// An answer of this sender; given back if nothing of ours waits for it.
    fn on_answer(&mut self, from: &Address, stanza: Envelope) -> Option<Envelope> {
        let Some(flow) = self.flows.with(from) else {
            return Some(stanza);
        };
        let stream = flow.key();
        if flow.is_opening() && flow.start() == stanza.id {
            self.on_start_answer(stream, stanza.content);
            return None;
        }
        if self.flows.change(stream, |flow| flow.land(&stanza.id)) != Some(true) {
            return Some(stanza);
        }
        if let Content::Error(error) = stanza.content {
            self.end(stream, StreamEnd::Rejected(presentable(error)));
        } else if self
            .flows
            .get(stream)
            .is_some_and(|flow| flow.is_flushing() && flow.is_flushed())
        {
            self.end(stream, StreamEnd::Done);
        }
        None
    }

    fn on_start_answer(&mut self, stream: StreamKey, answer: Content) {
        match answer {
            Content::Result(Some(Payload::Xtls(xtls::Control::Proceed { hello }))) => {
                self.flows.change(stream, Flow::begin);
                let flight = hello;
                self.events.push_back(Event::Opened {
                    key: stream,
                    flight,
                });
            }
            Content::Error(error) => self.end(stream, StreamEnd::Refused(presentable(error))),
            // A result without `<proceed/>` is no yes in this flow.
            Content::Result(_)
            | Content::Get(_)
            | Content::Set(_)
            | Content::Message { .. }
            | Content::Presence { .. } => {
                let refusal = error(Condition::FeatureNotImplemented);
                self.end(stream, StreamEnd::Refused(refusal));
            }
        }
    }
}

impl Transport for StartFlow {
    fn open_timeout(&self) -> Option<Duration> {
        None
    }

    fn side_by_side(&self) -> bool {
        false
    }

    fn signals_close(&self) -> bool {
        false
    }

    fn fresh_sid(&mut self, _: &Address) -> Option<Sid> {
        Sid::new(&self.fresh_id()).ok()
    }

    fn open(&mut self, now: Instant, open: Open<'_>) -> Result<StreamKey, OpenError> {
        let Open { peer, sid, hello } = open;
        if !peer.is_full() {
            return Err(OpenError::NotFull);
        }
        if *peer == self.own {
            return Err(OpenError::OwnAddress);
        }
        if self.flows.len() >= FLOWS || self.flows.with(peer).is_some() {
            return Err(OpenError::TooMany { max: FLOWS });
        }
        let start = sid.as_str().to_owned();
        let request = start.clone();
        self.out.ask(peer, request, xtls::Control::Start { hello });
        let stream = self.fresh_key();
        self.flows
            .add(peer.clone(), Flow::opening(stream, start, now + OPEN));
        Ok(stream)
    }

    fn answer(&mut self, _: Instant, stream: StreamKey, answer: Answer) -> Result<(), Gone> {
        let waiting = self.flows.get(stream).filter(|flow| flow.is_incoming());
        let request = waiting.ok_or(Gone)?.start().to_owned();
        match answer {
            Ok(hello) => {
                self.flows.change(stream, Flow::begin);
                let proceed = xtls::Control::Proceed { hello };
                let peer = self.flows.peer(stream).ok_or(Gone)?;
                self.out.result(peer, request, Some(proceed));
            }
            Err(refusal) => _ = self.turn_down(stream, refusal, StreamEnd::Declined),
        }
        Ok(())
    }

    fn name(&self, stream: StreamKey) -> Option<&str> {
        self.flows.get(stream).map(Flow::start)
    }

    fn sid(&self, _: StreamKey) -> Option<&Sid> {
        None
    }

    fn room(&self, stream: StreamKey) -> usize {
        self.flows.get(stream).map_or(0, Flow::room)
    }

    fn write(&mut self, _: Instant, stream: StreamKey, bytes: Bytes) {
        self.flows.change(stream, |flow| flow.write(&bytes));
    }

    fn read(&mut self, _: Instant, stream: StreamKey, max: usize) -> Option<Bytes> {
        let (bytes, answered) = self.flows.change(stream, |flow| flow.read(max))??;
        if let Some(request) = answered
            && let Some(peer) = self.flows.peer(stream)
        {
            self.out.result(peer, request, None);
        }
        Some(bytes)
    }

    fn is_flushed(&self, stream: StreamKey) -> bool {
        self.flows.get(stream).is_none_or(Flow::is_flushed)
    }

    /// Nothing is sent: this flow has no close but the tunnel's own. It waits 60 s at most.
    fn close(&mut self, now: Instant, stream: StreamKey) {
        let Some(flow) = self.flows.get(stream) else {
            return;
        };
        if flow.is_incoming() {
            self.turn_down(stream, error(Condition::NotAcceptable), StreamEnd::Declined);
        } else if flow.is_flushed() {
            self.end(stream, StreamEnd::Done);
        } else if !flow.is_flushing() {
            self.flows.change(stream, |flow| flow.flush(now + FLUSH));
        }
    }

    /// The peer is told with the tunnel's own `<close/>`.
    fn abort(&mut self, _: Instant, stream: StreamKey) {
        if self.turn_down(stream, error(Condition::NotAcceptable), StreamEnd::Declined) {
            return;
        }
        let Some(peer) = self.flows.peer(stream).cloned() else {
            return;
        };
        // Before its `<close/>`.
        if let Some(request) = self.flows.change(stream, Flow::take_unread).flatten() {
            let unknown = error(Condition::ItemNotFound);
            self.out.error(&peer, request, unknown);
        }
        let request = self.fresh_id();
        let close = xtls::Control::Close { sid: None };
        self.out.ask(&peer, request, close);
        self.end(stream, StreamEnd::Aborted);
    }

    fn lost(&mut self, _: Instant) {
        for stream in self.flows.keys() {
            self.end(stream, StreamEnd::LinkLost);
        }
        self.out.clear();
    }

    fn dismissed(&mut self, stream: StreamKey) {
        self.end(stream, StreamEnd::Done);
    }

    /// Ours are a bare `<start/>`, `<data/>`, and answers whose id and sender match a request of ours.
    fn handle(
        &mut self,
        now: Instant,
        stanza: Envelope,
        known: &dyn Fn(&Address) -> bool,
    ) -> Option<Envelope> {
        let to_us = stanza.to.as_ref() == Some(&self.own);
        let Some(from) = stanza.from.clone().filter(Address::is_full) else {
            return Some(stanza);
        };
        match stanza.content {
            Content::Set(Payload::Xtls(xtls::Control::Start { hello })) if to_us => {
                let known = known(&from);
                self.on_start(now, from, known, stanza.id, hello);
                None
            }
            Content::Set(Payload::Xtls(xtls::Control::Data(bytes))) if to_us => {
                self.on_data(&from, stanza.id, Some(bytes));
                None
            }
            Content::Set(Payload::Malformed {
                ref ns, ref name, ..
            }) if to_us && ns == xtls::NS && name == "data" && self.open_with(&from).is_some() => {
                self.on_data(&from, stanza.id, None);
                None
            }
            Content::Result(_) | Content::Error(_) => self.on_answer(&from, stanza),
            Content::Set(_)
            | Content::Get(_)
            | Content::Message { .. }
            | Content::Presence { .. } => Some(stanza),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if matches!(event, Event::TurnedAway { .. }) {
            self.turned_away_waits = false;
        }
        Some(event)
    }

    /// Answers and questions first, then the next bytes of each flow that has none under way.
    fn poll_transmit(&mut self, now: Instant) -> Option<Envelope> {
        if let Some(stanza) = self.out.pop() {
            return Some(stanza);
        }
        let (peer, stream) = self.flows.ready()?;
        let id = self.fresh_id();
        let (bytes, starved) = self.flows.change(stream, |flow| {
            let bytes = flow.depart(id.clone(), now + ANSWER);
            (bytes, flow.take_starved())
        })?;
        if starved {
            self.events.push_back(Event::Ready(stream));
        }
        Some(request(&peer, id, xtls::Control::Data(bytes)))
    }

    fn is_crowded(&self) -> bool {
        self.out.is_crowded()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let (at, _) = self.flows.next_deadline()?;
        let why = "the original flow";
        Some(Deadline { at, why })
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, stream)) = self.flows.next_deadline()
            && at <= now
        {
            match self.flows.get(stream).and_then(|flow| flow.expiry(now)) {
                Some(Expiry::Opening) => self.end(stream, StreamEnd::TimedOut("the open")),
                Some(Expiry::Incoming) => {
                    self.turn_down(stream, error(Condition::NotAcceptable), StreamEnd::Expired);
                }
                Some(Expiry::Flushing) => {
                    let bytes = self.flows.get(stream).map_or(0, Flow::unacknowledged);
                    self.end(stream, StreamEnd::Unfinished { bytes });
                }
                Some(Expiry::Answer) => self.end(stream, StreamEnd::TimedOut("any chunk")),
                // Its deadline is what expires.
                None => return,
            }
        }
    }
}

/// Most bytes in one request, before base64, of ours and of the peer's.
const CHUNK: usize = 4096;
/// Bytes that wait to be sent.
const ROOM: usize = 16_384;
/// How long our `<start/>` waits for its answer.
const OPEN: Duration = Duration::from_secs(60);
/// How long the peer's `<start/>` waits for the router.
const ACCEPT: Duration = Duration::from_secs(50);
/// How long a request of ours waits for its answer.
const ANSWER: Duration = Duration::from_secs(60);
/// How long what was written may take at the end.
const FLUSH: Duration = Duration::from_secs(60);
