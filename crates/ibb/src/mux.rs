//! All streams of one address.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use xtls_stanza::ibb::Sid;
use xtls_stanza::{Address, Envelope};

use crate::admission::{Admission, Allow};
use crate::clock::{Clock, Deadline};
use crate::config::{Config, OpenOptions};
use crate::error::OpenError;
use crate::event::{By, Close, Event, StreamId};
use crate::ids::Ids;
use crate::outbox::Outbox;
use crate::phase::Extensions;
use crate::scheduler::Scheduler;
use crate::stats::Stats;
use crate::stream::{Stream, StreamParams};
use crate::view::StreamMut;

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
    pub(crate) scheduler: Scheduler,
    /// `TurnedAway` is among the events.
    pub(crate) turned_away_queued: bool,
}

impl Mux {
    /// A mux for `own`, the full address that the server bound. All ids come from `seed`, which
    /// has to be random.
    #[must_use]
    pub fn new(own: Address, config: Config, seed: [u8; 32]) -> Self {
        let outbox = Outbox::new(own, Ids::new(seed), config.outbox);
        Self {
            config,
            outbox,
            admission: Admission::default(),
            clock: Clock::default(),
            next_id: 0,
            streams: BTreeMap::new(),
            keys: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            scheduler: Scheduler::default(),
            turned_away_queued: false,
        }
    }

    /// Half-closes streams for this long, unless the config has its own value.
    #[cfg(feature = "tokio")]
    pub(crate) fn half_close_by_default(&mut self, silence: std::time::Duration) {
        self.config.half_close.get_or_insert(silence);
    }

    /// Our own address.
    #[must_use]
    pub fn own(&self) -> &Address {
        &self.outbox.own
    }

    /// Sets whose opens reach the owner. At first [`Allow::Expected`]: only announced ones.
    pub fn allow(&mut self, allow: Allow) {
        self.admission.allow(allow);
    }

    /// The longest stanza in bytes that your server announced that it takes (XEP-0478), for streams opened
    /// from now on. The smaller of this and [`Config::stanza_limit`] applies.
    pub fn set_server_limit(&mut self, max_bytes: Option<usize>) {
        self.config.server_limit = max_bytes;
    }

    /// Announces that `peer` will open `sid`, as agreed elsewhere: its open reaches the owner
    /// once, whatever [`allow`](Self::allow) is set to. The last 256 announcements are remembered.
    pub fn expect(&mut self, peer: Address, sid: Sid) {
        self.admission.expect(peer, sid);
    }

    /// Opens a stream to `to`. You can write at once; the bytes leave when the peer has accepted.
    ///
    /// # Errors
    ///
    /// The address has no resource or is our own, or there are too many streams.
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
        let params = StreamParams {
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
        let stream = Stream::opening(now, id, to, sid, params, config, extensions, outbox);
        self.file(now, stream);
        Ok(id)
    }

    /// A stream, to change it now. What does not exist any more takes nothing and gives nothing.
    pub fn stream(&mut self, now: Instant, id: StreamId) -> StreamMut<'_> {
        StreamMut::new(self, now, id)
    }

    /// Bytes that [`StreamMut::write`] takes now. When it is 0, [`Event::Writable`] follows.
    #[must_use]
    pub fn room(&self, id: StreamId) -> usize {
        self.known(id).map_or(0, Stream::room)
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

    /// Whether more than half of the room for answers is taken ([`Config::outbox`]): a caller that has the choice takes nothing
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

    /// Whether our direction has ended in order and the other one goes on: all that was written was acknowledged, and our
    /// `<close/>` has left.
    #[must_use]
    pub fn is_finished(&self, id: StreamId) -> bool {
        self.known(id)
            .is_some_and(|stream| stream.is_finished(&self.outbox))
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

    /// The connection to the server is interrupted: nothing can be late until
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

    /// The next stanza to send: answers and requests first, then a chunk of a stream that has little
    /// to send, then chunks of the others, fair by bytes.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Envelope> {
        if self.clock.paused() {
            return None;
        }
        if let Some(envelope) = self.outbox.next_stanza() {
            return Some(envelope);
        }
        while let Some(id) = self.scheduler.next() {
            let level = self.scheduler.level();
            let chunk = self.touch(now, id, |stream, now, outbox| {
                stream.scheduled = false;
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
                    stream.readable_queued = false;
                }
            }
            Event::Writable { id } => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.writable_queued = false;
                }
            }
            Event::TurnedAway { .. } => self.turned_away_queued = false,
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
        let (at, id) = self.deadlines.first()?;
        let why = self
            .get(*id)
            .and_then(Stream::deadline)
            .map_or("", |(_, why)| why);
        Some(Deadline {
            at: self.clock.outer(*at)?,
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

    /// A sid that is not in use with `peer` and that no one can guess, for [`OpenOptions::sid`].
    #[must_use]
    pub fn fresh_sid(&mut self, peer: &Address) -> Sid {
        self.new_sid(peer)
    }
}

/// Shows how many streams there are, and nothing of what they carry.
impl fmt::Debug for Mux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mux")
            .field("own", self.own())
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}
