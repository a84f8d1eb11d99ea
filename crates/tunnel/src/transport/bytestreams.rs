//! In-Band Bytestreams (XEP-0047) as a transport: `<open><start/></open>`, and TLS in the chunks.

use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_ibb::{Event as Ibb, Mux, OpenOptions, StreamId};
use xtls_stanza::ibb::Carrier;
use xtls_stanza::{
    Address, Condition, Content, Envelope, ErrorType, Payload, StanzaError, ibb, path, xtls,
};

use super::{Answer, Deadline, Event, Gone, Open, OpenError, Sid, Stats, StreamKey, Transport};

/// All bytestreams of one address.
#[derive(Debug)]
pub struct Bytestreams {
    mux: Mux,
    carrier: Carrier,
}

impl Bytestreams {
    /// No streams yet, for `own`, the full address that the server bound. All sids and ids come from `seed`, which has to
    /// be random. `carrier`: which stanzas carry the streams that we open.
    #[must_use]
    pub fn new(own: Address, config: xtls_ibb::Config, carrier: Carrier, seed: [u8; 32]) -> Self {
        let mut mux = Mux::new(own, config, seed);
        // Who may open is the router's to say.
        mux.allow(xtls_ibb::Allow::Anyone);
        Self { mux, carrier }
    }

    /// Asks the peer for a stream that is to be a path of a tunnel which there is already.
    pub(crate) fn open_leg(
        &mut self,
        now: Instant,
        peer: &Address,
        sid: Sid,
    ) -> Result<StreamKey, OpenError> {
        let leg = || vec![path::Leg.to_element()];
        let options = OpenOptions::default()
            .carrier(Carrier::Iq)
            .extension(path::Leg.to_element())
            .extensions_later(leg())
            .sid(sid)
            .keeps_sid(true);
        Ok(key(self.mux.open(now, peer, options)?))
    }
}

impl Transport for Bytestreams {
    fn features(&self) -> &[&'static str] {
        &[ibb::NS]
    }

    /// `Config::open_timeout` counts.
    fn open_timeout(&self) -> Option<Duration> {
        None
    }

    fn fresh_sid(&mut self, peer: &Address) -> Option<Sid> {
        Some(self.mux.fresh_sid(peer))
    }

    fn open(&mut self, now: Instant, open: Open<'_>) -> Result<StreamKey, OpenError> {
        let start = |hello| xtls::Control::Start { hello }.to_element();
        // A block that is refused is tried again under another sid, to which the ClientHello does not belong.
        let options = OpenOptions::default()
            .carrier(self.carrier)
            .extension(start(open.hello))
            .extensions_later(vec![start(None)])
            .sid(open.sid);
        Ok(key(self.mux.open(now, open.peer, options)?))
    }

    fn answer(&mut self, now: Instant, stream: StreamKey, answer: Answer) -> Result<(), Gone> {
        let proceed = |flight| xtls::Control::Proceed {
            hello: Some(flight),
        };
        match answer {
            Ok(flight) => {
                let payload = flight.map(proceed).map(Payload::Xtls);
                self.mux.stream(now, id(stream)).accept(payload)
            }
            Err(refusal) => self.mux.stream(now, id(stream)).refuse(refusal),
        }
    }

    fn sid(&self, stream: StreamKey) -> Option<&Sid> {
        self.mux.sid(id(stream))
    }

    fn room(&self, stream: StreamKey) -> usize {
        self.mux.room(id(stream))
    }

    fn write(&mut self, now: Instant, stream: StreamKey, bytes: Bytes) {
        // A stream that is not open has no room.
        let _ = self.mux.stream(now, id(stream)).write(bytes);
    }

    fn read(&mut self, now: Instant, stream: StreamKey, max: usize) -> Option<Bytes> {
        self.mux.stream(now, id(stream)).read(max)
    }

    fn is_flushed(&self, stream: StreamKey) -> bool {
        let acknowledged = |stats: Stats| stats.in_flight == 0;
        self.mux.is_flushed(id(stream)) && self.stats(stream).is_none_or(acknowledged)
    }

    fn acknowledged(&self, stream: StreamKey) -> Option<u64> {
        self.mux.acknowledged(id(stream))
    }

    fn tell_flushed(&mut self, now: Instant, stream: StreamKey) {
        self.mux.stream(now, id(stream)).tell_acknowledged();
    }

    fn stats(&self, stream: StreamKey) -> Option<Stats> {
        self.mux.stats(id(stream))
    }

    fn close(&mut self, now: Instant, stream: StreamKey) {
        self.mux.stream(now, id(stream)).close();
    }

    fn abort(&mut self, now: Instant, stream: StreamKey) {
        self.mux.stream(now, id(stream)).abort();
    }

    fn lost(&mut self, now: Instant) {
        self.mux.lost(now);
    }

    fn heard(&mut self, now: Instant, stream: StreamKey) {
        self.mux.stream(now, id(stream)).alive();
    }

    fn set_patience(&mut self, now: Instant, stream: StreamKey, wait: Duration) {
        self.mux.stream(now, id(stream)).set_ack_timeout(wait);
    }

    fn set_stanza_limit(&mut self, max_bytes: Option<usize>) {
        self.mux.set_server_limit(max_bytes);
    }

    fn handle(
        &mut self,
        now: Instant,
        stanza: Envelope,
        known: &dyn Fn(&Address) -> bool,
    ) -> Option<Envelope> {
        let opens = matches!(stanza.content, Content::Set(Payload::Open(_)));
        if opens && stanza.from.as_ref().is_some_and(known) {
            self.mux.handle_known(now, stanza)
        } else {
            self.mux.handle(now, stanza)
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        loop {
            return Some(match self.mux.poll_event()? {
                Ibb::Incoming { id, from, open } if path::Leg::is_in_open(&open) => {
                    Event::IncomingLeg { key: key(id), from }
                }
                Ibb::Incoming { id, from, open } => Event::Incoming {
                    key: key(id),
                    from,
                    hello: hello_in(&open),
                },
                Ibb::Opened { id, answer } => Event::Opened {
                    key: key(id),
                    flight: match answer {
                        Some(Payload::Xtls(xtls::Control::Proceed { hello })) => hello,
                        _ => None,
                    },
                },
                Ibb::Readable { id } | Ibb::Writable { id } => Event::Ready(key(id)),
                Ibb::Acknowledged { id } => Event::Flushed(key(id)),
                Ibb::PeerClosed { id } => Event::PeerClosed(key(id)),
                Ibb::Closed { id, close } => Event::Closed {
                    key: key(id),
                    end: close.why.into(),
                },
                Ibb::TurnedAway { from, busy } => Event::TurnedAway { from, busy },
                _ => continue,
            });
        }
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Envelope> {
        self.mux.poll_transmit(now)
    }

    fn is_crowded(&self) -> bool {
        self.mux.is_crowded()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.mux.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.mux.handle_timeout(now);
    }
}

/// The ClientHello in an open. One without `<start/>` is a plain bytestream, which nobody here wants.
fn hello_in(open: &ibb::Open) -> Result<Option<Bytes>, StanzaError> {
    match xtls::Control::in_open(open) {
        Ok(Some(xtls::Control::Start { hello })) => Ok(hello),
        Ok(_) => Err(StanzaError::new(
            ErrorType::Cancel,
            Condition::NotAcceptable,
        )),
        Err(_) => Err(StanzaError::new(ErrorType::Modify, Condition::BadRequest)),
    }
}

fn key(id: StreamId) -> StreamKey {
    StreamKey(id.into())
}

fn id(stream: StreamKey) -> StreamId {
    stream.0.into()
}
