//! All streams of one address.

use std::fmt;
use std::time::Instant;

use xtls_stanza::busy::Busy;
use xtls_stanza::ibb::{self, Data, Open, Sid};
use xtls_stanza::{
    Address, Condition, Content, Envelope, MessageKind, Payload, PayloadError, StanzaError,
};

use crate::admission::{Admission, Allow};
use crate::clock::{Clock, Deadline};
use crate::config::{Config, OpenOptions};
use crate::error::{OpenError, answer};
use crate::event::{By, Close, Event, StreamId, Violation};
use crate::ids::Ids;
use crate::incoming::{self, MAX_OPEN};
use crate::outbox::{Asked, Awaiting, Outbox};
use crate::outgoing::MAX_ID;
use crate::phase::Extensions;
use crate::stats::Stats;
use crate::stream::{Stream, StreamParams};
use crate::table::Table;
use crate::view::StreamMut;

/// All bytestreams of one full address, both directions.
///
/// Feed it with [`handle`](Self::handle) and [`handle_timeout`](Self::handle_timeout); after every
/// call take out what there is with [`poll_transmit`](Self::poll_transmit) and
/// [`poll_event`](Self::poll_event), then wait until [`poll_timeout`](Self::poll_timeout).
#[cfg_attr(test, derive(Clone))]
pub struct Mux {
    config: Config,
    outbox: Outbox,
    admission: Admission,
    clock: Clock,
    table: Table,
    /// `TurnedAway` is among the events.
    turned_away_queued: bool,
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
            table: Table::default(),
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
        self.outbox.own()
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
        if self.table.len() >= self.config.max_streams {
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
        let free = options.sid.filter(|sid| self.table.find(to, sid).is_none());
        let sid = free.unwrap_or_else(|| self.new_sid(to));
        let id = self.table.new_id();
        let (config, outbox, to) = (&self.config, &mut self.outbox, to.clone());
        let extensions = Extensions {
            first: options.extensions,
            later: options.later,
            keeps_sid: options.keeps_sid,
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
        self.table.known(id).map_or(0, Stream::room)
    }

    /// Whether all that was written has been taken out with [`poll_transmit`](Self::poll_transmit).
    /// True for a stream that is gone.
    #[must_use]
    pub fn is_flushed(&self, id: StreamId) -> bool {
        self.table.known(id).is_none_or(Stream::is_flushed)
    }

    /// How the stream will have ended when the rest is read: its end is decided, and
    /// [`Event::Closed`] follows with the last byte.
    #[must_use]
    pub fn ending(&self, id: StreamId) -> Option<&Close> {
        self.table
            .known(id)
            .and_then(|stream| stream.phase().ending())
    }

    /// Whether the peer has closed and the end waits for us: nothing more comes, and with the
    /// config's `half_close` we may still write.
    #[must_use]
    pub fn peer_closed(&self, id: StreamId) -> bool {
        self.table
            .known(id)
            .is_some_and(|stream| stream.phase().is_peer_closed())
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
        self.table.len() == 0
    }

    /// Bytes that can be read now.
    #[must_use]
    pub fn readable(&self, id: StreamId) -> usize {
        self.table.known(id).map_or(0, Stream::readable)
    }

    /// Whether our direction has ended in order and the other one goes on: all that was written was acknowledged, and our
    /// `<close/>` has left.
    #[must_use]
    pub fn is_finished(&self, id: StreamId) -> bool {
        self.table
            .known(id)
            .is_some_and(|stream| stream.is_finished(&self.outbox))
    }

    /// The stream's sid. It may be another one after each refused block size.
    #[must_use]
    pub fn sid(&self, id: StreamId) -> Option<&Sid> {
        self.table.known(id).map(Stream::sid)
    }

    /// Bytes of ours that the peer has acknowledged; `None` in messages, where nothing is.
    #[must_use]
    pub fn acknowledged(&self, id: StreamId) -> Option<u64> {
        self.table.known(id)?.acknowledged()
    }

    /// The peer's address.
    #[must_use]
    pub fn peer(&self, id: StreamId) -> Option<&Address> {
        self.table.known(id).map(Stream::peer)
    }

    /// The agreed block size in bytes (the one on offer, while opening).
    #[must_use]
    pub fn block_size(&self, id: StreamId) -> Option<u16> {
        self.table.known(id).map(Stream::block)
    }

    /// The stream's counters.
    #[must_use]
    pub fn stats(&self, id: StreamId) -> Option<Stats> {
        self.table.known(id).map(Stream::stats)
    }

    /// Takes in a stanza. `None`: it was ours and has been dealt with. `Some`: it is not ours, and is the
    /// caller's to handle (a request still needs its answer then).
    ///
    /// Ours are requests with a payload of In-Band Bytestreams from a full address to exactly our
    /// own; answers whose id *and* sender match a request of ours; messages with a chunk of a
    /// stream in message mode, and their bounces.
    pub fn handle(&mut self, now: Instant, envelope: Envelope) -> Option<Envelope> {
        self.take(now, envelope, false)
    }

    /// As [`handle`](Self::handle), of a sender whose key the owner knows: it may open
    /// [more often](crate::Config::opens_per_minute_known). Only servers vouch for the sender's name, so nothing else changes.
    pub fn handle_known(&mut self, now: Instant, envelope: Envelope) -> Option<Envelope> {
        self.take(now, envelope, true)
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
        let ids: Vec<StreamId> = self.table.ids().collect();
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
        let now = self.clock.read(now);
        self.table
            .next_chunk(now, &mut self.outbox, &mut self.admission)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.outbox.next_event()?;
        match event {
            Event::Readable { id } => self.table.told_readable(id),
            Event::Writable { id } => self.table.told_writable(id),
            Event::TurnedAway { .. } => self.turned_away_queued = false,
            Event::Incoming { .. }
            | Event::Opened { .. }
            | Event::Acknowledged { .. }
            | Event::PeerClosed { .. }
            | Event::Closed { .. } => {}
        }
        Some(event)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). Of a stream that waits for answers it may be up to a second
    /// before anything is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let (at, why) = self.table.deadline()?;
        Some(Deadline {
            at: self.clock.outer(at)?,
            why,
        })
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let inner = self.clock.read(now);
        let due: Vec<StreamId> = self.table.due(inner).collect();
        for id in due {
            self.touch(now, id, |stream, now, outbox| stream.on_time(now, outbox));
        }
    }

    /// A sid that is not in use with `peer` and that no one can guess, for [`OpenOptions::sid`].
    #[must_use]
    pub fn fresh_sid(&mut self, peer: &Address) -> Sid {
        self.new_sid(peer)
    }

    fn take(&mut self, now: Instant, envelope: Envelope, known: bool) -> Option<Envelope> {
        let to_us = envelope.to.as_ref() == Some(self.own());
        if !envelope.from.as_ref().is_some_and(Address::is_full) {
            return Some(envelope);
        }
        let light = !matches!(&envelope.content, Content::Set(Payload::Open(_)))
            || envelope.weight() <= MAX_OPEN;
        match envelope {
            Envelope {
                from: Some(from),
                id,
                content: Content::Set(payload),
                ..
            } if to_us && incoming::is_bytestream(&payload) => {
                if id.len() <= MAX_ID && light {
                    self.on_request(now, &from, known, id, payload);
                } else {
                    self.refuse_heavy(&from, id, &payload);
                }
                None
            }
            Envelope {
                from: Some(from),
                id,
                content: Content::Get(payload),
                ..
            } if to_us && incoming::is_bytestream(&payload) => {
                self.outbox.error(&from, id, answer::not_for_requests());
                None
            }
            Envelope {
                content: Content::Result(_) | Content::Error(_),
                ..
            } if to_us || envelope.to.is_none() => self.on_answer(now, envelope),
            Envelope {
                content: Content::Message { .. },
                ..
            } if to_us => self.on_message(now, envelope),
            other @ Envelope { .. } => Some(other),
        }
    }

    /// Answers a request that would be kept for longer than it should weigh, without a look at what it is about.
    fn refuse_heavy(&mut self, from: &Address, request: String, payload: &Payload) {
        let open = match payload {
            Payload::Open(_) => true,
            Payload::Malformed { name, .. } => name == "open",
            Payload::Data(_)
            | Payload::Close(_)
            | Payload::Xtls(_)
            | Payload::DiscoQuery(_)
            | Payload::DiscoInfo(_)
            | Payload::Ping
            | Payload::Other(_) => false,
        };
        let error = if open && !self.admission.allows(from) {
            answer::stranger()
        } else if request.len() > MAX_ID {
            answer::long_id()
        } else {
            answer::heavy_open()
        };
        self.outbox.error(from, request, error);
    }

    fn on_request(
        &mut self,
        now: Instant,
        from: &Address,
        known: bool,
        request: String,
        payload: Payload,
    ) {
        match payload {
            Payload::Open(open) => self.on_open(now, from, known, request, open),
            Payload::Data(Data { sid, seq, bytes }) => match self.table.find(from, &sid) {
                Some(id) => {
                    self.touch(now, id, |stream, now, outbox| {
                        stream.on_data(now, seq, bytes, Some(request), outbox);
                    });
                }
                None => self.outbox.error(from, request, answer::unknown_stream()),
            },
            Payload::Close(ibb::Close { sid }) => match self.table.find(from, &sid) {
                Some(id) => {
                    self.touch(now, id, |stream, now, outbox| {
                        stream.on_close(now, request, outbox);
                    });
                }
                None => self.outbox.error(from, request, answer::unknown_stream()),
            },
            Payload::Malformed { name, sid, why, .. } => {
                self.on_malformed(now, from, request, &name, sid.as_deref(), why);
            }
            Payload::Xtls(_)
            | Payload::DiscoQuery(_)
            | Payload::DiscoInfo(_)
            | Payload::Ping
            | Payload::Other(_) => self.outbox.error(from, request, answer::not_for_requests()),
        }
    }

    fn on_open(&mut self, now: Instant, from: &Address, known: bool, request: String, open: Open) {
        let inner = self.clock.read(now);
        let streams = self.table.len();
        let objection = match self.table.find(from, &open.sid) {
            // The same stanza once more, as servers resend it: its one answer serves both.
            Some(id)
                if self
                    .table
                    .get(id)
                    .is_some_and(|stream| stream.was_asked_for(&request)) =>
            {
                return;
            }
            Some(_) => Some(answer::declined()),
            None if self.admission.is_repeated(from, &request) => return,
            None if from == self.own() => Some(answer::declined()),
            None => {
                self.admission
                    .objection(inner, &self.config, from, known, &request, &open, streams)
            }
        };
        if let Some(error) = objection {
            tracing::debug!(%error, "an open is refused");
            if let Some(busy) = Busy::read(&error).filter(|_| !self.turned_away_queued) {
                self.turned_away_queued = true;
                let from = from.clone();
                self.outbox.event(Event::TurnedAway { from, busy });
            }
            self.outbox.error(from, request, error);
            return;
        }
        let id = self.table.new_id();
        let params = StreamParams {
            block: open.block_size.get(),
            carrier: open.carrier,
            window: self.config.window,
            patient: self.config.patient,
            opened_by: By::Peer,
        };
        let (peer, sid) = (from.clone(), open.sid.clone());
        let stream = Stream::incoming(inner, id, peer, sid, params, &self.config, request);
        self.admission.on_incoming(from);
        self.file(inner, stream);
        self.outbox.event(Event::Incoming {
            id,
            from: from.clone(),
            open,
        });
    }

    /// Ours by the namespace, but unreadable.
    fn on_malformed(
        &mut self,
        now: Instant,
        from: &Address,
        request: String,
        name: &str,
        sid: Option<&str>,
        why: PayloadError,
    ) {
        let sid = sid.and_then(|sid| Sid::new(sid).ok());
        let error = match (name, sid) {
            // The answer does not show what is wrong with the open, as if no one here could know.
            ("open", _) if !self.admission.allows(from) => answer::stranger(),
            ("open", _) => answer::malformed_open(),
            ("data", Some(sid)) => match self.table.find(from, &sid) {
                Some(id)
                    if self
                        .table
                        .get(id)
                        .is_some_and(|stream| stream.phase().takes_data()) =>
                {
                    let violation = Violation::Unreadable(why);
                    self.touch(now, id, |stream, now, outbox| {
                        stream.violation(now, violation, Some(request), outbox);
                    });
                    return;
                }
                Some(_) | None => answer::unknown_stream(),
            },
            ("data" | "close", _) => answer::malformed_other(),
            _ => answer::not_for_requests(),
        };
        self.outbox.error(from, request, error);
    }

    fn on_answer(&mut self, now: Instant, envelope: Envelope) -> Option<Envelope> {
        let Some(from) = &envelope.from else {
            return Some(envelope);
        };
        let Some(Awaiting { stream: id, what }) = self.outbox.awaiting(&envelope.id) else {
            return match self.of_chunk(from, &envelope.id) {
                Some(id) => {
                    self.on_chunk_answer(now, id, &envelope);
                    None
                }
                None => Some(envelope),
            };
        };
        let theirs = |stream: &Stream| from == stream.peer();
        if !self.table.get(id).is_some_and(theirs) {
            return Some(envelope);
        }
        self.outbox.settle(&envelope.id);
        let light = what == Asked::Close || envelope.weight() <= MAX_OPEN;
        match (what, envelope.content) {
            (Asked::Open, Content::Error(error)) => self.on_open_error(now, id, error),
            (Asked::Open, Content::Result(answer)) => {
                // What is too heavy to wait for the owner counts as an acceptance without content.
                let answer = answer.filter(|_| light);
                self.touch(now, id, |stream, _, outbox| {
                    stream.on_opened(answer, outbox)
                });
            }
            (Asked::Open | Asked::Close, content) => {
                let answer = match content {
                    Content::Error(error) => Err(error),
                    Content::Result(_)
                    | Content::Get(_)
                    | Content::Set(_)
                    | Content::Message { .. }
                    | Content::Presence { .. } => Ok(()),
                };
                self.touch(now, id, |stream, now, outbox| {
                    stream.on_close_answered(now, answer, outbox);
                });
            }
        }
        None
    }

    /// The stream with this peer that awaits the answer to a chunk under this id.
    fn of_chunk(&self, from: &Address, request: &str) -> Option<StreamId> {
        let waits = |id: &StreamId| {
            let stream = self.table.get(*id);
            stream.is_some_and(|stream| stream.awaits(request))
        };
        self.table.of_peer(from).find(waits)
    }

    fn on_chunk_answer(&mut self, now: Instant, id: StreamId, answer: &Envelope) {
        if let Content::Error(error) = &answer.content {
            self.touch(now, id, |stream, now, outbox| {
                stream.on_chunk_error(now, &answer.id, error.clone(), outbox);
            });
            return;
        }
        let before = self.table.get(id).map(Stream::path);
        self.touch(now, id, |stream, now, outbox| {
            stream.on_acknowledged(now, &answer.id, outbox);
        });
        let after = self.table.get(id).map(Stream::path);
        let news = after.zip(before).and_then(|(now, then)| now.news(then));
        if let (Some(from), Some(news)) = (&answer.from, news) {
            self.table.share_path(from, id, news);
        }
    }

    fn on_open_error(&mut self, now: Instant, id: StreamId, error: StanzaError) {
        let Some((peer, old)) = self
            .table
            .get(id)
            .map(|s| (s.peer().clone(), s.sid().clone()))
        else {
            return;
        };
        if error.condition == Condition::ResourceConstraint {
            let (sid, config) = (self.new_sid(&peer), self.config.clone());
            let halved = self.touch(now, id, |stream, now, outbox| {
                stream.halve(now, sid, &config, outbox)
            });
            if halved == Some(true) {
                self.table.refile(id, &old);
                return;
            }
        }
        self.touch(now, id, |stream, now, outbox| {
            stream.on_refused(now, error, outbox)
        });
    }

    fn on_message(&mut self, now: Instant, envelope: Envelope) -> Option<Envelope> {
        let (Some(from), Content::Message { kind, payloads, .. }) =
            (&envelope.from, &envelope.content)
        else {
            return Some(envelope);
        };
        if *kind == MessageKind::Error {
            let ids: Vec<StreamId> = self.table.of_peer(from).collect();
            let ours = ids.into_iter().any(|id| {
                let bounced = self.touch(now, id, |stream, now, outbox| {
                    stream.on_message_error(now, &envelope.id, outbox)
                });
                bounced == Some(true)
            });
            return if ours { None } else { Some(envelope) };
        }
        let Some(chunk) = incoming::chunk_of(*kind, payloads) else {
            return Some(envelope);
        };
        let sid = match &chunk {
            Ok(data) => Some(data.sid.clone()),
            Err((sid, _)) => Sid::new(sid).ok(),
        };
        let id = sid.and_then(|sid| self.table.find(from, &sid));
        let Some(id) = id.filter(|id| self.table.get(*id).is_some_and(Stream::takes_messages))
        else {
            return Some(envelope);
        };
        self.touch(now, id, |stream, now, outbox| match chunk {
            Ok(Data { seq, bytes, .. }) => stream.on_data(now, seq, bytes, None, outbox),
            Err((_, why)) => stream.violation(now, Violation::Unreadable(why), None, outbox),
        });
        None
    }

    /// The config that applies to streams from now on.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Changes a stream that the owner knows.
    pub(crate) fn change<T>(
        &mut self,
        now: Instant,
        id: StreamId,
        change: impl FnOnce(&mut Stream, Instant, &mut Outbox) -> T,
    ) -> Option<T> {
        self.table.known(id)?;
        self.touch(now, id, change)
    }

    fn touch<T>(
        &mut self,
        now: Instant,
        id: StreamId,
        change: impl FnOnce(&mut Stream, Instant, &mut Outbox) -> T,
    ) -> Option<T> {
        let now = self.clock.read(now);
        self.table
            .touch(now, id, &mut self.outbox, &mut self.admission, change)
    }

    fn file(&mut self, now: Instant, stream: Stream) {
        self.table
            .file(now, stream, &mut self.outbox, &mut self.admission);
    }

    fn new_sid(&mut self, peer: &Address) -> Sid {
        loop {
            let sid = self.outbox.new_sid();
            if let Some(sid) = sid.filter(|sid| self.table.find(peer, sid).is_none()) {
                return sid;
            }
        }
    }

    /// Entries in all indices: 0 when nothing is left of any stream.
    #[cfg(test)]
    pub(crate) fn leftovers(&self) -> usize {
        self.table.leftovers() + self.outbox.leftovers() + self.admission.leftovers()
    }

    #[cfg(test)]
    pub(crate) fn dump(&self, dump: &mut crate::tests::Dump) {
        self.table.dump(dump);
        self.outbox.dump(dump);
    }
}

/// Shows how many streams there are, and nothing of what they carry.
impl fmt::Debug for Mux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mux")
            .field("own", self.own())
            .field("streams", &self.table.len())
            .finish_non_exhaustive()
    }
}
