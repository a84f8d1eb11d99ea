//! The table of all streams, and what follows from every change of one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use xtls_stanza::ibb::Sid;
use xtls_stanza::{Address, Envelope};

use crate::admission::Admission;
use crate::event::{By, StreamId};
use crate::outbox::Outbox;
use crate::scheduler::{Paid, Scheduler};
use crate::stream::Stream;
use crate::window::Path;

/// How much earlier than need be the mux may ask to be woken.
const EARLY: Duration = Duration::from_secs(1);

/// Chunks that may await an answer, of all streams together: ejabberd ends a link on whose stanzas 5,000 acknowledgements are
/// due, and the answers are stanzas too.
const MAX_UNANSWERED: usize = 1024;

/// Of these, each stream may have so many whatever the others have.
const ALWAYS: usize = 2;

/// All streams of a mux and the indices to them, which every change brings up to date.
#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Table {
    last_id: u64,
    /// Each in a box of its own: the nodes of a map have room for more than they hold.
    entries: BTreeMap<StreamId, Box<Entry>>,
    /// The key of a stream: own address (the mux's), peer's full address, sid. Never less.
    keys: BTreeMap<Address, Vec<(Sid, StreamId)>>,
    deadlines: BTreeSet<(Instant, StreamId)>,
    /// Streams that have a chunk to send.
    scheduler: Scheduler,
    /// Chunks of all of them that await an answer.
    unanswered: usize,
}

/// A stream, and where it stands in the indices.
#[cfg_attr(test, derive(Clone))]
struct Entry {
    stream: Stream,
    /// Its entry in the list of deadlines.
    listed: Option<Instant>,
    /// In the ring of streams that have a chunk to send.
    scheduled: bool,
    /// What it has sent, as the ring counts it.
    paid: Paid,
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn find(&self, peer: &Address, sid: &Sid) -> Option<StreamId> {
        with_sid(self.keys.get(peer)?, sid)
    }

    pub(crate) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.entries.get(&id).map(|entry| &entry.stream)
    }

    /// A stream that the owner knows.
    pub(crate) fn known(&self, id: StreamId) -> Option<&Stream> {
        self.get(id).filter(|stream| !stream.phase().is_reported())
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = StreamId> {
        self.entries.keys().copied()
    }

    pub(crate) fn of_peer(&self, peer: &Address) -> impl Iterator<Item = StreamId> {
        let sids = self.keys.get(peer).into_iter().flatten();
        sids.map(|(_, id)| *id)
    }

    pub(crate) fn new_id(&mut self) -> StreamId {
        self.last_id += 1;
        StreamId(self.last_id)
    }

    /// The owner has been given `Readable`.
    pub(crate) fn told_readable(&mut self, id: StreamId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.stream.told_readable();
        }
    }

    /// The owner has been given `Writable`.
    pub(crate) fn told_writable(&mut self, id: StreamId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.stream.told_writable();
        }
    }

    /// Enters a new stream. Its open or its result leaves later: the key is known by then.
    pub(crate) fn file(
        &mut self,
        now: Instant,
        stream: Stream,
        outbox: &mut Outbox,
        admission: &mut Admission,
    ) {
        let (id, peer) = (stream.id(), stream.peer().clone());
        let sids = self.keys.entry(peer.clone()).or_default();
        sids.retain(|(sid, _)| sid != stream.sid());
        sids.reserve_exact(1);
        sids.push((stream.sid().clone(), id));
        let entry = Entry {
            stream,
            listed: None,
            scheduled: false,
            paid: Paid::default(),
        };
        self.entries.insert(id, Box::new(entry));
        self.touch(now, id, outbox, admission, |_, _, _| ());
        let others = self.of_peer(&peer).filter(|other| *other != id);
        let known: Vec<Path> = others
            .filter_map(|other| self.get(other).map(Stream::path))
            .collect();
        if let Some(entry) = self.entries.get_mut(&id) {
            known
                .into_iter()
                .for_each(|path| entry.stream.on_path(path));
        }
    }

    /// Enters a stream under its new sid.
    pub(crate) fn refile(&mut self, id: StreamId, old: &Sid) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        let sids = self.keys.entry(entry.stream.peer().clone()).or_default();
        sids.retain(|(sid, _)| sid != old);
        sids.push((entry.stream.sid().clone(), id));
    }

    /// Tells all other streams of one peer what this one has found of the path.
    pub(crate) fn share_path(&mut self, peer: &Address, finder: StreamId, news: Path) {
        for (_, id) in self.keys.get(peer).into_iter().flatten() {
            if let Some(entry) = self.entries.get_mut(id).filter(|_| *id != finder) {
                entry.stream.on_path(news);
            }
        }
    }

    /// Changes a stream, lets it go on by itself, and brings the indices up to date.
    pub(crate) fn touch<T>(
        &mut self,
        now: Instant,
        id: StreamId,
        outbox: &mut Outbox,
        admission: &mut Admission,
        change: impl FnOnce(&mut Stream, Instant, &mut Outbox) -> T,
    ) -> Option<T> {
        self.touch_entry(now, id, outbox, admission, |entry, outbox| {
            change(&mut entry.stream, now, outbox)
        })
    }

    /// The next chunk, of the stream whose turn it is.
    pub(crate) fn next_chunk(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        admission: &mut Admission,
    ) -> Option<Envelope> {
        while let Some(id) = self.next_stream() {
            let level = self.scheduler.level();
            let chunk = self.touch_entry(now, id, outbox, admission, |entry, outbox| {
                entry.scheduled = false;
                let (envelope, bytes) = entry.stream.next_chunk(now, outbox)?;
                // Before it enters again.
                entry.paid = entry.paid.more(level, bytes);
                Some(envelope)
            });
            if let Some(envelope) = chunk.flatten() {
                return Some(envelope);
            }
        }
        None
    }

    /// The stream whose turn it is. Where enough is under way on the link, those go that have next to nothing there: one that
    /// gets no answers takes no other's place.
    fn next_stream(&mut self) -> Option<StreamId> {
        if self.unanswered < MAX_UNANSWERED {
            return self.scheduler.next();
        }
        let entries = &self.entries;
        self.scheduler.next_of(|id| {
            let entry = entries.get(&id);
            entry.is_none_or(|entry| entry.stream.unanswered() < ALWAYS)
        })
    }

    fn touch_entry<T>(
        &mut self,
        now: Instant,
        id: StreamId,
        outbox: &mut Outbox,
        admission: &mut Admission,
        change: impl FnOnce(&mut Entry, &mut Outbox) -> T,
    ) -> Option<T> {
        let entry = self.entries.get_mut(&id)?;
        let pending = entry.stream.phase().is_pending();
        let unanswered = entry.stream.unanswered();
        let changed = change(entry, outbox);
        let Entry {
            stream,
            listed,
            scheduled,
            paid,
        } = &mut **entry;
        stream.advance(now, outbox);
        self.unanswered = self.unanswered - unanswered + stream.unanswered();
        if pending && !stream.phase().is_pending() {
            admission.on_decided(stream.peer());
        }

        let deadline = stream.deadline().map(|(at, _)| at);
        if !is_listed_well(deadline, *listed, now) {
            if let Some(at) = *listed {
                self.deadlines.remove(&(at, id));
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, id));
            }
            *listed = deadline;
        }
        if !*scheduled && stream.has_chunk(now) {
            *scheduled = true;
            self.scheduler.enter(id, *paid, stream.is_terse());
        }
        if stream.phase().is_gone()
            && let Some(entry) = self.entries.remove(&id)
        {
            self.unfile(&entry.stream);
            self.unanswered -= entry.stream.unanswered();
            if entry.scheduled {
                self.scheduler.forget(id);
            }
            if entry.stream.opened_by() == By::Peer {
                admission.on_gone(entry.stream.peer());
            }
        }
        Some(changed)
    }

    fn unfile(&mut self, stream: &Stream) {
        if let Some(sids) = self.keys.get_mut(stream.peer()) {
            sids.retain(|(_, id)| *id != stream.id());
            if sids.is_empty() {
                self.keys.remove(stream.peer());
            }
        }
    }

    /// The first deadline, which may be a little early, and what is awaited until then.
    pub(crate) fn deadline(&self) -> Option<(Instant, &'static str)> {
        let (at, id) = self.deadlines.first()?;
        let own = self.get(*id).and_then(Stream::deadline);
        Some((*at, own.map_or("", |(_, why)| why)))
    }

    /// Streams whose deadline has come.
    pub(crate) fn due(&self, now: Instant) -> impl Iterator<Item = StreamId> {
        let due = self.deadlines.iter().take_while(move |(at, _)| *at <= now);
        due.map(|(_, id)| *id)
    }

    /// Entries in all indices: 0 when nothing is left of any stream.
    #[cfg(test)]
    pub(crate) fn leftovers(&self) -> usize {
        self.entries.len() + self.keys.len() + self.deadlines.len() + self.scheduler.len()
    }

    #[cfg(test)]
    pub(crate) fn dump(&self, dump: &mut crate::tests::Dump) {
        for entry in self.entries.values() {
            entry.stream.dump(dump);
            dump.word(entry.scheduled);
        }
    }
}

/// Whether the list need not be changed: every answer moves the deadline, and being woken a little early now and then
/// costs less than that.
fn is_listed_well(deadline: Option<Instant>, listed: Option<Instant>, now: Instant) -> bool {
    match (deadline, listed) {
        (Some(deadline), Some(listed)) => {
            let ahead = deadline.checked_duration_since(listed);
            deadline == listed || listed > now && ahead.is_some_and(|ahead| ahead <= EARLY)
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// A peer has few streams at a time, mostly one.
fn with_sid(sids: &[(Sid, StreamId)], sid: &Sid) -> Option<StreamId> {
    let found = sids.iter().find(|(other, _)| other == sid);
    found.map(|(_, id)| *id)
}
