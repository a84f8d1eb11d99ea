//! The transports of one router, and the streams of all of them under one kind of name.

use std::any::Any;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use xtls_stanza::busy::Busy;
use xtls_stanza::{Address, Envelope, StanzaError};

use super::config::Config;
use super::unanswered::Unanswered;
use super::{Deadline, fresh};
use crate::transport::{
    self, Bytestreams, Gone, Open, OpenError, Sid, StartFlow, Stats, StreamEnd, StreamKey,
    Transport,
};

/// One byte stream beneath a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Leg {
    via: TransportId,
    key: StreamKey,
}

/// Names a transport: its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TransportId(usize);

/// What happened to a stream.
#[derive(Debug)]
pub(super) enum Event {
    Incoming {
        leg: Leg,
        from: Address,
        hello: Result<Option<Bytes>, StanzaError>,
    },
    /// It is to be a path of a tunnel which there is already.
    IncomingLeg {
        leg: Leg,
        from: Address,
    },
    Opened {
        leg: Leg,
        flight: Option<Bytes>,
    },
    /// Something can be read or written.
    Ready(Leg),
    /// Everything that was written is acknowledged.
    Flushed(Leg),
    PeerClosed(Leg),
    Closed {
        leg: Leg,
        end: StreamEnd,
    },
    TurnedAway {
        from: Address,
        busy: Busy,
    },
}

/// All transports of one address.
#[derive(Debug)]
pub(super) struct Transports {
    own: Address,
    /// Always there, and the first.
    bytestreams: Bytestreams,
    /// The start flow if asked for, and those from outside in their order.
    others: Vec<Box<dyn Transport>>,
    /// Opens whose transport leaves it to us to give them up.
    unanswered: Unanswered,
    /// Streams that we gave up and that have not reported their end, and why we did.
    given_up: BTreeMap<Leg, StreamEnd>,
}

impl Transports {
    pub(super) fn new(own: Address, config: &Config, random: &mut ChaCha20Rng) -> Self {
        let seed = fresh::seed(random);
        let bytestreams = Bytestreams::new(own.clone(), config.ibb.clone(), config.carrier, seed);
        let mut others: Vec<Box<dyn Transport>> = Vec::new();
        if config.original {
            let flows = StartFlow::new(own.clone(), fresh::seed(random));
            others.push(Box::new(flows.opens(config.ibb.opens())));
        }
        for binder in &config.transports {
            others.push(binder.bind(&own, fresh::seed(random)));
        }
        Self {
            own,
            bytestreams,
            others,
            unanswered: Unanswered::default(),
            given_up: BTreeMap::new(),
        }
    }

    pub(super) fn own(&self) -> &Address {
        &self.own
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = &dyn Transport> {
        let first: &dyn Transport = &self.bytestreams;
        std::iter::once(first).chain(self.others.iter().map(|transport| &**transport))
    }

    fn all_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut dyn Transport> {
        let first: &mut dyn Transport = &mut self.bytestreams;
        let others = self.others.iter_mut().map(|transport| &mut **transport);
        std::iter::once(first).chain(others)
    }

    fn at(&self, id: TransportId) -> &dyn Transport {
        let place = id.0.checked_sub(1);
        let other = place.and_then(|place| self.others.get(place));
        other.map_or(&self.bytestreams, |transport| &**transport)
    }

    fn at_mut(&mut self, id: TransportId) -> &mut dyn Transport {
        let place = id.0.checked_sub(1);
        match place.and_then(|place| self.others.get_mut(place)) {
            Some(transport) => &mut **transport,
            None => &mut self.bytestreams,
        }
    }

    /// The transport of this type that was configured last.
    pub(super) fn of_type<T: Transport>(&mut self) -> Option<&mut T> {
        self.all_mut().rev().find_map(|transport| {
            let transport: &mut dyn Any = transport;
            transport.downcast_mut()
        })
    }

    /// What service discovery says of them.
    pub(super) fn features(&self) -> impl Iterator<Item = &'static str> {
        self.all()
            .flat_map(|transport| transport.features().iter().copied())
    }

    /// The transport over which a tunnel to this peer is opened: of those that reach it, the one that was configured last.
    pub(super) fn toward(&self, peer: &Address) -> TransportId {
        let mut others = self.others.iter();
        let other = others.rposition(|transport| transport.reaches(peer));
        TransportId(other.map_or(0, |place| place + 1))
    }

    /// Whether tunnels to this peer are opened over a transport that has several streams for each pair of addresses.
    pub(super) fn reaches_side_by_side(&self, peer: &Address) -> bool {
        self.at(self.toward(peer)).side_by_side()
    }

    /// The name of a stream to come, if the transport makes it.
    pub(super) fn fresh_sid(&mut self, via: TransportId, peer: &Address) -> Option<Sid> {
        self.at_mut(via).fresh_sid(peer)
    }

    /// The longest flight in an open or its answer.
    pub(super) fn max_flight(&self, via: TransportId) -> usize {
        self.at(via).max_flight().min(transport::MAX_FLIGHT)
    }

    pub(super) fn open(
        &mut self,
        now: Instant,
        via: TransportId,
        open: Open<'_>,
    ) -> Result<Leg, OpenError> {
        let transport = self.at_mut(via);
        let key = transport.open(now, open)?;
        let (limit, leg) = (transport.open_timeout(), Leg { via, key });
        if let Some(limit) = limit {
            self.unanswered.add(leg, now + limit);
        }
        Ok(leg)
    }

    /// Asks the peer for a further In-Band Bytestream under a tunnel.
    pub(super) fn open_leg(
        &mut self,
        now: Instant,
        peer: &Address,
        sid: Sid,
    ) -> Result<Leg, OpenError> {
        let key = self.bytestreams.open_leg(now, peer, sid)?;
        let via = TransportId(0);
        Ok(Leg { via, key })
    }

    pub(super) fn accept(
        &mut self,
        now: Instant,
        leg: Leg,
        flight: Option<Bytes>,
    ) -> Result<(), Gone> {
        self.at_mut(leg.via).answer(now, leg.key, Ok(flight))
    }

    pub(super) fn refuse(&mut self, now: Instant, leg: Leg, with: StanzaError) {
        // A stream that has gone meanwhile needs no refusal.
        let _ = self.at_mut(leg.via).answer(now, leg.key, Err(with));
    }

    /// What names the stream between its two addresses.
    pub(super) fn name(&self, leg: Leg) -> Option<&str> {
        self.at(leg.via).name(leg.key)
    }

    /// The sid, if the stream has one.
    pub(super) fn sid(&self, leg: Leg) -> Option<&Sid> {
        self.at(leg.via).sid(leg.key)
    }

    /// The sid of an In-Band Bytestream.
    pub(super) fn bytestream(&self, leg: Leg) -> Option<&Sid> {
        (leg.via == TransportId(0)).then(|| self.sid(leg))?
    }

    pub(super) fn side_by_side(&self, leg: Leg) -> bool {
        self.at(leg.via).side_by_side()
    }

    pub(super) fn signals_close(&self, leg: Leg) -> bool {
        self.at(leg.via).signals_close()
    }

    pub(super) fn stats(&self, leg: Leg) -> Option<Stats> {
        self.at(leg.via).stats(leg.key)
    }

    pub(super) fn room(&self, leg: Leg) -> usize {
        self.at(leg.via).room(leg.key)
    }

    pub(super) fn write(&mut self, now: Instant, leg: Leg, bytes: Bytes) {
        self.at_mut(leg.via).write(now, leg.key, bytes);
    }

    pub(super) fn read(&mut self, now: Instant, leg: Leg, max: usize) -> Option<Bytes> {
        self.at_mut(leg.via).read(now, leg.key, max)
    }

    /// What has come is for nobody. Unread it would hold the stream among those of its peer.
    pub(super) fn discard(&mut self, now: Instant, leg: Leg) {
        while self.read(now, leg, usize::MAX).is_some() {}
    }

    /// The peer was heard inside.
    pub(super) fn alive(&mut self, now: Instant, leg: Leg) {
        self.at_mut(leg.via).heard(now, leg.key);
    }

    pub(super) fn set_patience(&mut self, now: Instant, leg: Leg, wait: Duration) {
        self.at_mut(leg.via).set_patience(now, leg.key, wait);
    }

    /// Whether all that was written has been acknowledged.
    pub(super) fn is_empty(&self, leg: Leg) -> bool {
        self.at(leg.via).is_flushed(leg.key)
    }

    /// Bytes of ours that the peer has acknowledged, where that is known.
    pub(super) fn acknowledged(&self, leg: Leg) -> Option<u64> {
        self.at(leg.via).acknowledged(leg.key)
    }

    /// [`Event::Flushed`] is wanted of this stream.
    pub(super) fn tell_flushed(&mut self, now: Instant, leg: Leg) {
        self.at_mut(leg.via).tell_flushed(now, leg.key);
    }

    /// Bytes that have come, and bytes of ours that were acknowledged, where they are counted.
    pub(super) fn moved(&self, leg: Leg) -> u64 {
        self.stats(leg).map_or(0, |stats| {
            stats
                .bytes_received
                .saturating_add(stats.bytes_acknowledged)
        })
    }

    pub(super) fn close(&mut self, now: Instant, leg: Leg) {
        self.at_mut(leg.via).close(now, leg.key);
    }

    pub(super) fn abort(&mut self, now: Instant, leg: Leg) {
        self.at_mut(leg.via).abort(now, leg.key);
    }

    /// The peer's xtls `<close/>` has come.
    pub(super) fn peer_closed(&mut self, leg: Leg) {
        self.at_mut(leg.via).dismissed(leg.key);
    }

    pub(super) fn set_server_limit(&mut self, max_bytes: Option<usize>) {
        for transport in self.all_mut() {
            transport.set_stanza_limit(max_bytes);
        }
    }

    /// Takes in a stanza; `known` says whether we know a key of an address.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        mut envelope: Envelope,
        known: &dyn Fn(&Address) -> bool,
    ) -> Option<Envelope> {
        for transport in self.all_mut() {
            envelope = transport.handle(now, envelope, known)?;
        }
        Some(envelope)
    }

    /// The link takes less than there is to answer.
    pub(super) fn is_crowded(&self) -> bool {
        self.all().any(Transport::is_crowded)
    }

    pub(super) fn lost(&mut self, now: Instant) {
        for transport in self.all_mut() {
            transport.lost(now);
        }
    }

    /// Ends a stream at once, and as this.
    pub(super) fn give_up(&mut self, now: Instant, leg: Leg, end: StreamEnd) {
        self.given_up.insert(leg, end);
        self.abort(now, leg);
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Envelope> {
        self.all_mut()
            .find_map(|transport| transport.poll_transmit(now))
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        let mut event = self.next_event()?;
        match &mut event {
            Event::Opened { leg, .. } => self.unanswered.remove(*leg),
            Event::Closed { leg, end } => {
                self.unanswered.remove(*leg);
                if let Some(why) = self.given_up.remove(leg) {
                    *end = why;
                }
            }
            Event::Incoming { .. }
            | Event::IncomingLeg { .. }
            | Event::Ready(_)
            | Event::Flushed(_)
            | Event::PeerClosed(_)
            | Event::TurnedAway { .. } => {}
        }
        Some(event)
    }

    fn next_event(&mut self) -> Option<Event> {
        let mut all = self.all_mut().enumerate();
        all.find_map(|(place, transport)| {
            let event = transport.poll_event()?;
            Some(Event::of(TransportId(place), event))
        })
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        let open = self
            .unanswered
            .next()
            .map(|at| Deadline { at, why: "open" });
        let due = self.all().filter_map(Transport::poll_timeout).chain(open);
        due.min_by_key(|deadline| deadline.at)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for transport in self.all_mut() {
            transport.handle_timeout(now);
        }
        while let Some(leg) = self.unanswered.expired(now) {
            self.give_up(now, leg, StreamEnd::TimedOut("the open"));
        }
    }
}

impl Leg {
    pub(super) fn via(self) -> TransportId {
        self.via
    }
}

impl Event {
    fn of(via: TransportId, event: transport::Event) -> Self {
        use transport::Event as Of;
        let leg = |key| Leg { via, key };
        match event {
            Of::Incoming { key, from, hello } => Self::Incoming {
                leg: leg(key),
                from,
                hello,
            },
            Of::IncomingLeg { key, from } => Self::IncomingLeg {
                leg: leg(key),
                from,
            },
            Of::Opened { key, flight } => Self::Opened {
                leg: leg(key),
                flight,
            },
            Of::Ready(key) => Self::Ready(leg(key)),
            Of::Flushed(key) => Self::Flushed(leg(key)),
            Of::PeerClosed(key) => Self::PeerClosed(leg(key)),
            Of::TurnedAway { from, busy } => Self::TurnedAway { from, busy },
            Of::Closed { key, end } => Self::Closed { leg: leg(key), end },
        }
    }
}
