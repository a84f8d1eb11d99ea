//! The table of all streams, and what follows from every change of one.

use std::time::{Duration, Instant};

use xtls_stanza::Address;
use xtls_stanza::ibb::Sid;

use crate::event::{By, StreamId};
use crate::mux::Mux;
use crate::outbox::Outbox;
use crate::stream::Stream;

impl Mux {
    pub(crate) fn inner_now(&mut self, now: Instant) -> Instant {
        self.clock.read(now)
    }

    pub(crate) fn find(&self, peer: &Address, sid: &Sid) -> Option<StreamId> {
        with_sid(self.keys.get(peer)?, sid)
    }

    pub(crate) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(&id).map(Box::as_ref)
    }

    pub(crate) fn of_peer(&self, peer: &Address) -> impl Iterator<Item = StreamId> {
        self.keys
            .get(peer)
            .into_iter()
            .flat_map(|sids| sids.iter().map(|(_, id)| *id))
    }

    pub(crate) fn new_id(&mut self) -> StreamId {
        self.next_id += 1;
        StreamId(self.next_id)
    }

    pub(crate) fn new_sid(&mut self, peer: &Address) -> Sid {
        loop {
            let sid = self.outbox.ids.sid();
            if let Some(sid) = sid.filter(|sid| self.find(peer, sid).is_none()) {
                return sid;
            }
        }
    }

    /// Enters a new stream. Its open or its result leaves later: the key is known by then.
    pub(crate) fn file(&mut self, now: Instant, stream: Stream) {
        let (id, peer) = (stream.id, stream.peer.clone());
        let sids = self.keys.entry(stream.peer.clone()).or_default();
        sids.retain(|(sid, _)| *sid != stream.sid);
        sids.reserve_exact(1);
        sids.push((stream.sid.clone(), id));
        self.streams.insert(id, Box::new(stream));
        self.touch(now, id, |_, _, _| ());
        let others = self.of_peer(&peer).filter_map(|id| self.get(id));
        let fastest = others.filter_map(|stream| stream.sender.fastest()).min();
        self.share_path(&peer, fastest);
    }

    /// Tells all streams of one peer how fast the fastest answer of any of them was.
    pub(crate) fn share_path(&mut self, peer: &Address, fastest: Option<Duration>) {
        let Some(fastest) = fastest else { return };
        for id in self
            .keys
            .get(peer)
            .into_iter()
            .flat_map(|sids| sids.iter().map(|(_, id)| id))
        {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.sender.on_path(fastest);
            }
        }
    }

    pub(crate) fn refile(&mut self, id: StreamId, old: &Sid) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let sids = self.keys.entry(stream.peer.clone()).or_default();
        sids.retain(|(sid, _)| sid != old);
        sids.push((stream.sid.clone(), id));
    }

    pub(crate) fn known(&self, id: StreamId) -> Option<&Stream> {
        self.get(id).filter(|stream| !stream.is_reported())
    }

    /// Changes a stream that the owner knows.
    pub(crate) fn change<T>(
        &mut self,
        now: Instant,
        id: StreamId,
        change: impl FnOnce(&mut Stream, Instant, &mut Outbox) -> T,
    ) -> Option<T> {
        self.known(id)?;
        self.touch(now, id, change)
    }

    /// Changes a stream, lets it go on by itself, and brings the indices up to date.
    pub(crate) fn touch<T>(
        &mut self,
        now: Instant,
        id: StreamId,
        change: impl FnOnce(&mut Stream, Instant, &mut Outbox) -> T,
    ) -> Option<T> {
        let now = self.clock.read(now);
        let stream = self.streams.get_mut(&id)?;
        let pending = stream.is_pending();
        let changed = change(stream, now, &mut self.outbox);
        stream.advance(now, &mut self.outbox);
        if pending && !stream.is_pending() {
            self.admission.on_decided(&stream.peer);
        }

        let deadline = stream.deadline().map(|(at, _)| at);
        if !is_listed_well(deadline, stream.listed, now) {
            if let Some(at) = stream.listed {
                self.deadlines.remove(&(at, id));
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, id));
            }
            stream.listed = deadline;
        }
        if !stream.scheduled && stream.has_chunk(now) {
            stream.scheduled = true;
            self.scheduler.enter(id, stream.paid, stream.is_terse());
        }
        if stream.is_gone()
            && let Some(stream) = self.streams.remove(&id)
        {
            self.unfile(&stream);
            if stream.scheduled {
                self.scheduler.forget(id);
            }
            if stream.opened_by == By::Peer {
                self.admission.on_gone(&stream.peer);
            }
        }
        Some(changed)
    }

    /// Entries in all indices: 0 when nothing is left of any stream.
    #[cfg(test)]
    pub(crate) fn leftovers(&self) -> usize {
        let streams = self.streams.len() + self.keys.len() + self.deadlines.len();
        streams + self.scheduler.len() + self.outbox.leftovers() + self.admission.leftovers()
    }

    fn unfile(&mut self, stream: &Stream) {
        if let Some(sids) = self.keys.get_mut(&stream.peer) {
            sids.retain(|(_, id)| *id != stream.id);
            if sids.is_empty() {
                self.keys.remove(&stream.peer);
            }
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

/// How much earlier than need be the mux may ask to be woken.
const EARLY: Duration = Duration::from_secs(1);

/// A peer has few streams at a time, mostly one.
fn with_sid(sids: &[(Sid, StreamId)], sid: &Sid) -> Option<StreamId> {
    let found = sids.iter().find(|(other, _)| other == sid);
    found.map(|(_, id)| *id)
}

#[cfg(test)]
impl Mux {
    pub(crate) fn dump(&self, dump: &mut crate::tests::Dump) {
        for stream in self.streams.values() {
            stream.dump(dump);
        }
        self.outbox.dump(dump);
    }
}
