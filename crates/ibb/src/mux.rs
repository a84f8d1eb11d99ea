//! All streams of one address.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::ibb::Sid;
use xtls_stanza::{Address, Envelope, Payload, StanzaError};

use crate::admission::{Admission, Allow};
use crate::clock::{Clock, Deadline};
use crate::config::{Config, OpenOptions};
use crate::error::{Gone, OpenError, WriteError};
use crate::event::{By, Close, Event, StreamId, Why};
use crate::names::Names;
use crate::outbox::Outbox;
use crate::ring::Ring;
use crate::stats::Stats;
use crate::stream::{Extensions, Own, Stream};
use crate::window::Window;

/// All bytestreams of one full address, both directions.
///
/// Feed it with [`handle`](Self::handle) and [`handle_timeout`](Self::handle_timeout); after every
/// call take out what there is with [`poll_transmit`](Self::poll_transmit) and
/// [`poll_event`](Self::poll_event), then wait until [`poll_timeout`](Self::poll_timeout).
#[cfg_attr(test, derive(Clone))]
pub struct Mux {
    pub(crate) config: Config,
    pub(crate) outbox: Outbox,
    pub(crate) admission: Admission,
    pub(crate) clock: Clock,
    pub(crate) next_id: u64,
    /// Each in a box of its own: the nodes of a map have room for more than they hold.
    pub(crate) streams: BTreeMap<StreamId, Box<Stream>>,
    /// The key of a stream: own address (the mux's), peer's full address, sid. Never less.
    pub(crate) keys: BTreeMap<Address, Vec<(Sid, StreamId)>>,
    pub(crate) deadlines: BTreeSet<(Instant, StreamId)>,
    /// Streams that have a chunk to send.
    pub(crate) ring: Ring,
    /// `TurnedAway` is among the events.
    pub(crate) turned_away_told: bool,
}

impl Mux {
    /// A mux for `own`, the full address that the server bound. All ids come from `seed`, which
    /// has to be random.
    #[must_use]
    pub fn new(own: Address, config: Config, seed: [u8; 32]) -> Self {
        let outbox = Outbox::new(own, Names::new(seed), config.outbox);
        Self {
            config,
            outbox,
            admission: Admission::default(),
            clock: Clock::default(),
            next_id: 0,
            streams: BTreeMap::new(),
            keys: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            ring: Ring::default(),
            turned_away_told: false,
        }
    }

    /// Closes by halves for this long, unless the config says otherwise.
    #[cfg(feature = "tokio")]
    pub(crate) fn half_close_by_default(&mut self, silence: Duration) {
        self.config.half_close.get_or_insert(silence);
    }

    /// The own address.
    #[must_use]
    pub fn own(&self) -> &Address {
        &self.outbox.own
    }

    /// Whose opens are brought to the owner. At first [`Allow::Expected`]: nobody's.
    pub fn allow(&mut self, allow: Allow) {
        self.admission.allow(allow);
    }

    /// The longest stanza in bytes that one's own server says it takes (XEP-0478), for streams opened
    /// from now on. Beside [`Config::stanza_limit`] the smaller one holds.
    pub fn set_server_limit(&mut self, max_bytes: Option<usize>) {
        self.config.server_limit = max_bytes;
    }

    /// Announces that `peer` will open `sid`, as agreed elsewhere: its open is brought to the owner
    /// whatever [`allow`](Self::allow) says, once. The last 256 announcements are remembered.
    pub fn expect(&mut self, peer: Address, sid: Sid) {
        self.admission.expect(peer, sid);
    }

    /// Asks `to` for a stream. Bytes can be written at once; they leave when it is open.
    ///
    /// # Errors
    ///
    /// An address without resource, the own address, too many streams.
    pub fn open(
        &mut self,
        now: Instant,
        to: &Address,
        options: OpenOptions,
    ) -> Result<StreamId, OpenError> {
        if !to.is_full() {
            return Err(OpenError::NotFull);
        }
        if to == self.own() {
            return Err(OpenError::OwnAddress);
        }
        if self.streams.len() >= self.config.max_streams {
            return Err(OpenError::TooMany {
                max: self.config.max_streams,
            });
        }
        let now = self.clock.read(now);
        let offered = options
            .block_size
            .map_or(self.config.block_size, |block| block.get());
        let own = Own {
            block: self.config.fitting(offered),
            carrier: options.carrier.unwrap_or_default(),
            window: options.window.unwrap_or(self.config.window),
            patient: options.patient.unwrap_or(self.config.patient),
            opened_by: By::Us,
        };
        let free = options.sid.filter(|sid| self.find(to, sid).is_none());
        let sid = free.unwrap_or_else(|| self.new_sid(to));
        let id = self.new_id();
        let (config, outbox, to) = (&self.config, &mut self.outbox, to.clone());
        let extensions = Extensions {
            first: options.extensions,
            later: options.later,
        };
        let stream = Stream::opening(now, id, to, sid, own, config, extensions, outbox);
        self.file(now, stream);
        Ok(id)
    }

    /// Accepts what [`Event::Incoming`] asked for; `answer` goes into the result.
    ///
    /// # Errors
    ///
    /// The stream is not waiting for this any more.
    pub fn accept(
        &mut self,
        now: Instant,
        id: StreamId,
        answer: Option<Payload>,
    ) -> Result<(), Gone> {
        let accepted = self.change(now, id, |stream, _, outbox| stream.accept(answer, outbox));
        accepted.filter(|done| *done).map(|_| ()).ok_or(Gone)
    }

    /// Refuses what [`Event::Incoming`] asked for.
    ///
    /// # Errors
    ///
    /// The stream is not waiting for this any more.
    pub fn refuse(&mut self, now: Instant, id: StreamId, with: StanzaError) -> Result<(), Gone> {
        let refused = self.change(now, id, |stream, now, outbox| {
            stream.refuse(now, with, Why::Declined, outbox)
        });
        refused.filter(|done| *done).map(|_| ()).ok_or(Gone)
    }

    /// Bytes that [`write`](Self::write) takes now. When it is 0, [`Event::Writable`] follows.
    #[must_use]
    pub fn room(&self, id: StreamId) -> usize {
        self.known(id).map_or(0, Stream::room)
    }

    /// Gives bytes to the stream; says how many it took.
    ///
    /// They are cut into chunks as [`poll_transmit`](Self::poll_transmit) takes them out: write
    /// all that is to share a chunk before polling.
    ///
    /// # Errors
    ///
    /// The stream is not accepted yet, closing, or closed.
    pub fn write(&mut self, now: Instant, id: StreamId, bytes: Bytes) -> Result<usize, WriteError> {
        let written = self.change(now, id, |stream, now, _| stream.write(now, bytes));
        written.unwrap_or(Err(WriteError::Closed))
    }

    /// Whether all that was written has been taken out with [`poll_transmit`](Self::poll_transmit).
    /// True for a stream that is gone.
    #[must_use]
    pub fn is_flushed(&self, id: StreamId) -> bool {
        self.known(id).is_none_or(Stream::is_flushed)
    }

    /// How the stream will have ended when the rest is read: its end is decided, and
    /// [`Event::Closed`] follows with the last byte.
    #[must_use]
    pub fn ending(&self, id: StreamId) -> Option<&Close> {
        self.known(id).and_then(Stream::ending)
    }

    /// Whether the peer has closed and the end waits for us: nothing more comes, and with the
    /// config's `half_close` we may still write.
    #[must_use]
    pub fn peer_closed(&self, id: StreamId) -> bool {
        self.known(id).is_some_and(Stream::peer_closed)
    }

    /// Whether more than half of the room for answers is taken ([`Config::outbox`]): whoever has a choice takes nothing
    /// in until some of them have been sent, because further ones may be dropped.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.outbox.is_crowded()
    }

    /// Whether there is no stream at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Bytes that can be read now.
    #[must_use]
    pub fn readable(&self, id: StreamId) -> usize {
        self.known(id).map_or(0, Stream::readable)
    }

    /// Takes up to `max` bytes. A chunk that has been taken whole is acknowledged: a reader that
    /// does not read holds the writer back, and nothing else.
    pub fn read(&mut self, now: Instant, id: StreamId, max: usize) -> Option<Bytes> {
        self.change(now, id, |stream, now, outbox| stream.read(now, max, outbox))
            .flatten()
    }

    /// Closes in order: what was written goes out and is acknowledged, then `<close/>`; what the
    /// peer still sends can be read. Ends within the config's limits, with [`Event::Closed`].
    /// A stream that is not open yet is withdrawn, one not accepted yet is refused.
    pub fn close(&mut self, now: Instant, id: StreamId) {
        self.change(now, id, |stream, now, outbox| stream.close(now, outbox));
    }

    /// Ends our direction: what was written goes out and is acknowledged, then `<close/>`. Without
    /// [`Config::half_close`] this is [`close`](Self::close). With it, reading goes on until the peer has finished too,
    /// for as long as anything moves; a peer that does not do the same ends both directions when it gets the `<close/>`,
    /// and what its owner has not written by then never comes.
    pub fn finish(&mut self, now: Instant, id: StreamId) {
        self.change(now, id, |stream, now, outbox| stream.finish(now, outbox));
    }

    /// Whether our direction has ended in order and the other one goes on: all that was written was acknowledged, and our
    /// `<close/>` has left.
    #[must_use]
    pub fn is_finished(&self, id: StreamId) -> bool {
        self.known(id)
            .is_some_and(|stream| stream.is_finished(&self.outbox))
    }

    /// Drops what was written and what was not read, and sends `<close/>`. [`Event::Closed`] is
    /// there at once.
    pub fn abort(&mut self, now: Instant, id: StreamId) {
        self.change(now, id, |stream, now, outbox| stream.abort(now, outbox));
    }

    /// Gives an existing stream another window.
    pub fn set_window(&mut self, now: Instant, id: StreamId, window: Window) {
        let config = self.config.clone();
        self.change(now, id, |stream, _, _| stream.set_window(window, &config));
    }

    /// Gives an existing stream another patience; see [`Config::patient`].
    pub fn set_patient(&mut self, now: Instant, id: StreamId, patient: bool) {
        self.change(now, id, |stream, _, _| stream.patient = patient);
    }

    /// Gives an existing stream another [`Config::ack_timeout`].
    pub fn set_ack_timeout(&mut self, now: Instant, id: StreamId, wait: Duration) {
        self.change(now, id, |stream, _, _| stream.timeouts.ack = wait);
    }

    /// The peer was heard where nobody can speak in its name: chunks that wait for their answers wait
    /// [`Config::ack_timeout`] from now. A reader may be slow for as long as it lives.
    pub fn alive(&mut self, now: Instant, id: StreamId) {
        self.change(now, id, |stream, now, _| stream.sender.on_sign(now));
    }

    /// The stream's sid. It may be another one after each refused block size.
    #[must_use]
    pub fn sid(&self, id: StreamId) -> Option<&Sid> {
        self.known(id).map(|stream| &stream.sid)
    }

    /// The peer's address.
    #[must_use]
    pub fn peer(&self, id: StreamId) -> Option<&Address> {
        self.known(id).map(|stream| &stream.peer)
    }

    /// The agreed block size in bytes (the one on offer, while opening).
    #[must_use]
    pub fn block_size(&self, id: StreamId) -> Option<u16> {
        self.known(id).map(|stream| stream.block)
    }

    /// The stream's counters.
    #[must_use]
    pub fn stats(&self, id: StreamId) -> Option<Stats> {
        self.known(id).map(Stream::stats)
    }

    /// The connection to the server is suspended: nothing can be late until
    /// [`resume`](Self::resume).
    pub fn pause(&mut self, now: Instant) {
        self.clock.pause(now);
    }

    /// The connection goes on where it was (XEP-0198).
    pub fn resume(&mut self, now: Instant) {
        self.clock.resume(now);
    }

    /// The connection to the server is gone, or has another address: all streams end with
    /// [`By::Link`], and what has not left never will.
    pub fn lost(&mut self, now: Instant) {
        self.clock.resume(now);
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            self.touch(now, id, |stream, now, outbox| {
                stream.on_link_lost(now, outbox)
            });
        }
        self.outbox.clear();
    }

    /// The next stanza to send: answers and questions first, then a chunk of a stream that has little
    /// to say, then chunks of the others, in turn and byte for byte.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Envelope> {
        if self.clock.paused() {
            return None;
        }
        if let Some(envelope) = self.outbox.next_stanza() {
            return Some(envelope);
        }
        while let Some(id) = self.ring.next() {
            let level = self.ring.level();
            let chunk = self.touch(now, id, |stream, now, outbox| {
                stream.in_ring = false;
                let (envelope, bytes) = stream.next_chunk(now, outbox)?;
                // Before it enters again.
                stream.paid = stream.paid.more(level, bytes);
                Some(envelope)
            });
            if let Some(envelope) = chunk.flatten() {
                return Some(envelope);
            }
        }
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.outbox.next_event()?;
        match event {
            Event::Readable { id } => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.readable_told = false;
                }
            }
            Event::Writable { id } => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.writable_told = false;
                }
            }
            Event::TurnedAway { .. } => self.turned_away_told = false,
            Event::Incoming { .. }
            | Event::Opened { .. }
            | Event::PeerClosed { .. }
            | Event::Closed { .. } => {}
        }
        Some(event)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). Of a stream that waits for answers it may be up to a second
    /// before anything is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.clock.paused() {
            return None;
        }
        let (at, id) = self.deadlines.first()?;
        let why = self
            .get(*id)
            .and_then(Stream::deadline)
            .map_or("", |(_, why)| why);
        Some(Deadline {
            at: self.clock.outer(*at),
            why,
        })
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let inner = self.clock.read(now);
        let due: Vec<StreamId> = self
            .deadlines
            .iter()
            .take_while(|(at, _)| *at <= inner)
            .map(|(_, id)| *id)
            .collect();
        for id in due {
            self.touch(now, id, |stream, now, outbox| stream.on_time(now, outbox));
        }
    }

    /// A sid that is not in use with `peer` and that nobody can guess, for [`OpenOptions::sid`].
    #[must_use]
    pub fn fresh_sid(&mut self, peer: &Address) -> Sid {
        self.new_sid(peer)
    }
}

/// Says how much there is, and nothing of what the streams carry.
impl fmt::Debug for Mux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mux")
            .field("own", self.own())
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}
