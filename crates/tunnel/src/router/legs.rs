//! What carries tunnels: In-Band Bytestreams, and the original flow where it is asked for. A session on top cannot tell.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use xtls_ibb::{Gone, Mux, OpenOptions, StreamId, Why, WriteError};
use xtls_stanza::busy::Busy;
use xtls_stanza::ibb::{self, Carrier, Sid};
use xtls_stanza::{Address, Envelope, Payload, PayloadError, StanzaError, xtls};

use super::answers;
use super::config::Config;
use crate::original::{self, FlowId, Original};

/// One byte stream beneath a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leg {
    Ibb(StreamId),
    Original(FlowId),
}

/// What happened to one.
#[derive(Debug)]
pub(super) enum Event {
    /// A peer asks for one; `None` for a bytestream that is not XTLS's.
    Incoming {
        leg: Leg,
        from: Address,
        start: Result<Option<xtls::Control>, PayloadError>,
    },
    Opened {
        leg: Leg,
        answer: Option<Payload>,
    },
    /// Something can be read or written.
    Moved(Leg),
    /// The peer has closed the stream, whose other direction may go on.
    PeerClosed(Leg),
    Closed {
        leg: Leg,
        why: Why,
    },
    /// A limit of the streams turned an open away.
    TurnedAway {
        from: Address,
        busy: Busy,
    },
    /// Something that is of no interest here.
    Nothing,
}

/// A name for a stream that is to be opened: the session is bound to it.
#[derive(Debug, Clone)]
pub(super) enum Name {
    Sid(Sid),
    Start(String),
}

impl Name {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Sid(sid) => sid.as_str(),
            Self::Start(id) => id,
        }
    }
}

/// All streams of one address.
#[derive(Debug)]
pub(super) struct Legs {
    mux: Mux,
    /// There if asked for.
    original: Option<Original>,
    carrier: Carrier,
}

impl Legs {
    pub(super) fn new(own: Address, config: &Config, random: &mut ChaCha20Rng) -> Self {
        let mut mux = Mux::new(own.clone(), config.ibb.clone(), answers::fresh_seed(random));
        // Who may ask is the router's `accept`, not the mux's.
        mux.allow(xtls_ibb::Allow::Anybody);
        let original = config
            .original
            .then(|| Original::new(own, answers::fresh_seed(random)).opens(config.ibb.opens()));
        let carrier = config.carrier;
        Self {
            mux,
            original,
            carrier,
        }
    }

    pub(super) fn set_server_limit(&mut self, max_bytes: Option<usize>) {
        self.mux.set_server_limit(max_bytes);
    }

    pub(super) fn own(&self) -> &Address {
        self.mux.own()
    }

    pub(super) fn fresh_name(&mut self, peer: &Address) -> Name {
        match &mut self.original {
            Some(original) => Name::Start(original.fresh_id()),
            None => Name::Sid(self.mux.fresh_sid(peer)),
        }
    }

    pub(super) fn open(
        &mut self,
        now: Instant,
        peer: &Address,
        name: Name,
        hello: Option<Bytes>,
    ) -> Result<Leg, xtls_ibb::OpenError> {
        match (name, &mut self.original) {
            (Name::Start(id), Some(original)) => {
                original.open(now, peer, id, hello).map(Leg::Original)
            }
            (name, _) => {
                let start = |hello| xtls::Control::Start { hello }.to_element();
                let mut options = OpenOptions::default()
                    .carrier(self.carrier)
                    .extension(start(hello))
                    .extensions_later(vec![start(None)]);
                if let Name::Sid(sid) = name {
                    options = options.sid(sid);
                }
                self.mux.open(now, peer, options).map(Leg::Ibb)
            }
        }
    }

    pub(super) fn accept(
        &mut self,
        now: Instant,
        leg: Leg,
        hello: Option<Bytes>,
    ) -> Result<(), Gone> {
        match leg {
            Leg::Ibb(id) => {
                let proceed = |hello| xtls::Control::Proceed { hello: Some(hello) };
                self.mux
                    .accept(now, id, hello.map(proceed).map(Payload::Xtls))
            }
            Leg::Original(id) => self.original.as_mut().ok_or(Gone)?.accept(id, hello),
        }
    }

    pub(super) fn refuse(&mut self, now: Instant, leg: Leg, with: StanzaError) -> Result<(), Gone> {
        match leg {
            Leg::Ibb(id) => self.mux.refuse(now, id, with),
            Leg::Original(id) => self.original.as_mut().ok_or(Gone)?.refuse(id, with),
        }
    }

    /// What names the stream between its two addresses.
    pub(super) fn name(&self, leg: Leg) -> Option<&str> {
        match leg {
            Leg::Ibb(_) => self.sid(leg).map(Sid::as_str),
            Leg::Original(id) => self.original.as_ref()?.start(id),
        }
    }

    /// The sid, if the stream has one.
    pub(super) fn sid(&self, leg: Leg) -> Option<&Sid> {
        match leg {
            Leg::Ibb(id) => self.mux.sid(id),
            Leg::Original(_) => None,
        }
    }

    pub(super) fn stats(&self, leg: Leg) -> Option<xtls_ibb::Stats> {
        match leg {
            Leg::Ibb(id) => self.mux.stats(id),
            Leg::Original(_) => None,
        }
    }

    pub(super) fn room(&self, leg: Leg) -> usize {
        match leg {
            Leg::Ibb(id) => self.mux.room(id),
            Leg::Original(id) => self.original.as_ref().map_or(0, |flows| flows.room(id)),
        }
    }

    pub(super) fn write(
        &mut self,
        now: Instant,
        leg: Leg,
        bytes: Bytes,
    ) -> Result<usize, WriteError> {
        match leg {
            Leg::Ibb(id) => self.mux.write(now, id, bytes),
            Leg::Original(id) => {
                let original = self.original.as_mut().ok_or(WriteError::Closed)?;
                original.write(id, &bytes)
            }
        }
    }

    pub(super) fn read(&mut self, now: Instant, leg: Leg, max: usize) -> Option<Bytes> {
        match leg {
            Leg::Ibb(id) => self.mux.read(now, id, max),
            Leg::Original(id) => self.original.as_mut()?.read(id, max),
        }
    }

    /// The peer was heard inside. In the original flow that changes nothing.
    pub(super) fn alive(&mut self, now: Instant, leg: Leg) {
        if let Leg::Ibb(id) = leg {
            self.mux.alive(now, id);
        }
    }

    /// How long the peer may leave chunks without an answer and be silent inside. The original flow has its own.
    pub(super) fn set_ack_timeout(&mut self, now: Instant, leg: Leg, wait: Duration) {
        if let Leg::Ibb(id) = leg {
            self.mux.set_ack_timeout(now, id, wait);
        }
    }

    /// Whether all that was written has been acknowledged.
    pub(super) fn is_empty(&self, leg: Leg) -> bool {
        match leg {
            Leg::Ibb(id) => {
                let none = |stats: xtls_ibb::Stats| stats.in_flight == 0;
                self.mux.is_flushed(id) && self.mux.stats(id).is_none_or(none)
            }
            Leg::Original(id) => self
                .original
                .as_ref()
                .is_none_or(|flows| flows.is_flushed(id)),
        }
    }

    /// Bytes that have come, and bytes of ours that were acknowledged. The original flow does not count.
    pub(super) fn moved(&self, leg: Leg) -> u64 {
        let stats = match leg {
            Leg::Ibb(id) => self.mux.stats(id),
            Leg::Original(_) => None,
        };
        stats.map_or(0, |stats| {
            stats
                .bytes_received
                .saturating_add(stats.bytes_acknowledged)
        })
    }

    pub(super) fn close(&mut self, now: Instant, leg: Leg) {
        match (leg, &mut self.original) {
            (Leg::Ibb(id), _) => self.mux.close(now, id),
            (Leg::Original(id), Some(original)) => original.close(now, id),
            (Leg::Original(_), None) => {}
        }
    }

    pub(super) fn abort(&mut self, now: Instant, leg: Leg) {
        match (leg, &mut self.original) {
            (Leg::Ibb(id), _) => self.mux.abort(now, id),
            (Leg::Original(id), Some(original)) => original.abort(id),
            (Leg::Original(_), None) => {}
        }
    }

    /// The peer's xtls `<close/>` has come. In the original flow nothing can follow it.
    pub(super) fn peer_closed(&mut self, leg: Leg) {
        if let (Leg::Original(id), Some(original)) = (leg, &mut self.original) {
            original.peer_closed(id);
        }
    }

    /// Takes in a stanza; `known` says whether the owner knows the key of its sender.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        envelope: Envelope,
        known: bool,
    ) -> Option<Envelope> {
        let envelope = match known {
            true => self.mux.handle_known(now, envelope)?,
            false => self.mux.handle(now, envelope)?,
        };
        match &mut self.original {
            Some(original) if known => original.handle_known(now, envelope),
            Some(original) => original.handle(now, envelope),
            None => Some(envelope),
        }
    }

    /// The link takes less than there is to answer.
    pub(super) fn is_crowded(&self) -> bool {
        let original = self.original.as_ref();
        self.mux.is_crowded() || original.is_some_and(Original::is_crowded)
    }

    pub(super) fn lost(&mut self, now: Instant) {
        self.mux.lost(now);
        if let Some(original) = &mut self.original {
            original.lost();
        }
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Envelope> {
        let next = self.mux.poll_transmit(now);
        next.or_else(|| self.original.as_mut()?.poll_transmit(now))
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.mux.poll_event() {
            return Some(of_bytestream(event));
        }
        self.original.as_mut()?.poll_event().map(of_flow)
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let stream = self.mux.poll_timeout().map(|due| (due.at, due.why));
        let flow = self.original.as_ref().and_then(Original::poll_timeout);
        let flow = flow.map(|at| (at, "the original flow"));
        [stream, flow].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.mux.handle_timeout(now);
        if let Some(original) = &mut self.original {
            original.handle_timeout(now);
        }
    }
}

fn of_bytestream(event: xtls_ibb::Event) -> Event {
    use xtls_ibb::Event as Stream;
    match event {
        Stream::Incoming { id, from, open } => incoming(id, from, &open),
        Stream::Opened { id, answer } => Event::Opened {
            leg: Leg::Ibb(id),
            answer,
        },
        Stream::Readable { id } | Stream::Writable { id } => Event::Moved(Leg::Ibb(id)),
        Stream::PeerClosed { id } => Event::PeerClosed(Leg::Ibb(id)),
        Stream::Closed { id, close } => Event::Closed {
            leg: Leg::Ibb(id),
            why: close.why,
        },
        Stream::TurnedAway { from, busy } => Event::TurnedAway { from, busy },
        _ => Event::Nothing,
    }
}

fn incoming(id: StreamId, from: Address, open: &ibb::Open) -> Event {
    Event::Incoming {
        leg: Leg::Ibb(id),
        from,
        start: xtls::Control::in_open(open),
    }
}

fn of_flow(event: original::Event) -> Event {
    match event {
        original::Event::Incoming { id, from, hello } => Event::Incoming {
            leg: Leg::Original(id),
            from,
            start: Ok(Some(xtls::Control::Start { hello })),
        },
        original::Event::Opened { id, hello } => Event::Opened {
            leg: Leg::Original(id),
            answer: Some(Payload::Xtls(xtls::Control::Proceed { hello })),
        },
        original::Event::Readable(id) | original::Event::Writable(id) => {
            Event::Moved(Leg::Original(id))
        }
        original::Event::TurnedAway { from, busy } => Event::TurnedAway { from, busy },
        original::Event::Closed(id, why) => Event::Closed {
            leg: Leg::Original(id),
            why,
        },
    }
}
