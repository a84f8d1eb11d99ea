//! Two ends, and the network between them.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_ibb::{Allow, Config, Mux, OpenOptions, StreamId, Why, Window};
use xtls_stanza::ibb::Sid;
use xtls_stanza::{Address, Bare, Condition, Content, Envelope, ErrorType, StanzaError};

use super::end::End;

/// Turns of the healing phase: more than all timers of all streams and all chunks of one byte together.
const MAX_HEALING: usize = 5000;

/// Bytes that one end writes: in chunks of one byte, no more than its outbox has answers for.
const MAX_WRITTEN: usize = 200;

/// Romeo, Juliet, and those who have no part in their tunnel.
fn addresses() -> &'static [Address; 4] {
    static ALL: OnceLock<[Address; 4]> = OnceLock::new();
    ALL.get_or_init(|| {
        [
            "romeo@montague.example/orchard",
            "juliet@capulet.example/balcony",
            "romeo@montague.example/phone",
            "paris@verona.example/x",
        ]
        .map(|text| Address::new(text).expect("an address"))
    })
}

pub(super) struct World {
    now: Instant,
    ends: [End; 2],
    /// Stanzas on their way to each end.
    wire: [VecDeque<Envelope>; 2],
    paused: [bool; 2],
    forged: u32,
    /// Someone has forged a stanza from a peer, or changed the order: acknowledgements prove nothing.
    tainted: bool,
}

impl World {
    pub(super) fn new(configs: [Config; 2]) -> Self {
        let [first, second] = configs;
        let [romeo, juliet, ..] = addresses();
        let ends = [(romeo, first, 1), (juliet, second, 2)].map(|(own, config, seed)| {
            let mut mux = Mux::new(own.clone(), config, [seed; 32]);
            mux.allow(Allow::Anyone);
            End::new(mux)
        });
        // Any moment is as good as another.
        static START: OnceLock<Instant> = OnceLock::new();
        Self {
            now: *START.get_or_init(Instant::now),
            ends,
            wire: [VecDeque::new(), VecDeque::new()],
            paused: [false; 2],
            forged: 0,
            tainted: false,
        }
    }

    pub(super) fn bare(&self, end: usize) -> Bare {
        addresses()[end].to_bare()
    }

    pub(super) fn open(&mut self, end: usize, options: OpenOptions) -> Result<(), String> {
        let peer = addresses()[1 - end].clone();
        if let Ok(id) = self.ends[end].mux.open(self.now, &peer, options) {
            self.ends[end].learn(id, peer, false);
        }
        self.ends[end].events()
    }

    pub(super) fn answer_open(
        &mut self,
        end: usize,
        which: u8,
        accept: bool,
    ) -> Result<(), String> {
        let End { mux, streams, .. } = &mut self.ends[end];
        let mut waiting = streams.iter_mut().filter(|(_, told)| told.pending);
        let count = usize::from(which % 2);
        let Some((id, told)) = waiting.nth(count) else {
            return Ok(());
        };
        told.pending = false;
        let gone = if accept {
            mux.stream(self.now, *id).accept(None)
        } else {
            let error = StanzaError::new(ErrorType::Modify, Condition::ResourceConstraint);
            mux.stream(self.now, *id).refuse(error)
        };
        if gone.is_err() {
            return Err(format!("{id} waited and could not be answered"));
        }
        self.ends[end].events()
    }

    pub(super) fn write(&mut self, end: usize, which: u8, len: usize) -> Result<(), String> {
        let Some(id) = self.ends[end].stream(which) else {
            return Ok(());
        };
        let End { mux, streams, .. } = &mut self.ends[end];
        let all: usize = streams.values().map(|told| told.written.len()).sum();
        let len = len.min(MAX_WRITTEN - all);
        let told = streams.get_mut(&id).ok_or("a stream")?;
        let at = told.written.len();
        let byte = |at: usize| (at * 7 + at / 251 + end).to_le_bytes()[0];
        let bytes: Bytes = (at..at + len).map(byte).collect();
        let room = mux.room(id);
        if let Ok(taken) = mux.stream(self.now, id).write(bytes.clone()) {
            if taken != len.min(room) {
                return Err(format!("room for {room}, {taken} of {len} were taken"));
            }
            told.written.extend_from_slice(&bytes[..taken]);
        }
        self.ends[end].events()
    }

    pub(super) fn read(&mut self, end: usize, which: u8, max: usize) -> Result<(), String> {
        match self.ends[end].stream(which) {
            Some(id) => self.ends[end].read(self.now, id, max).map(|_| ()),
            None => Ok(()),
        }
    }

    pub(super) fn close(&mut self, end: usize, which: u8) -> Result<(), String> {
        if let Some(id) = self.ends[end].stream(which) {
            self.ends[end].mux.stream(self.now, id).close();
        }
        self.ends[end].events()
    }

    pub(super) fn abort(&mut self, end: usize, which: u8) -> Result<(), String> {
        match self.ends[end].stream(which) {
            Some(id) => self.ends[end].abort(self.now, id),
            None => Ok(()),
        }
    }

    pub(super) fn set_window(
        &mut self,
        end: usize,
        which: u8,
        window: Window,
    ) -> Result<(), String> {
        if let Some(id) = self.ends[end].stream(which) {
            self.ends[end].mux.stream(self.now, id).set_window(window);
        }
        self.ends[end].events()
    }

    pub(super) fn set_patient(
        &mut self,
        end: usize,
        which: u8,
        patient: bool,
    ) -> Result<(), String> {
        if let Some(id) = self.ends[end].stream(which) {
            self.ends[end].mux.stream(self.now, id).set_patient(patient);
        }
        self.ends[end].events()
    }

    pub(super) fn allow(&mut self, end: usize, allow: Allow, expected: Sid) {
        self.ends[end].mux.allow(allow);
        self.ends[end]
            .mux
            .expect(addresses()[1 - end].clone(), expected);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn timeout(&mut self, end: usize) -> Result<(), String> {
        self.ends[end].mux.handle_timeout(self.now);
        let late = self.ends[end].mux.poll_timeout();
        if let Some(late) = late.filter(|deadline| deadline.at <= self.now) {
            return Err(format!("due, and still to come: {}", late.why));
        }
        self.ends[end].events()
    }

    pub(super) fn pause(&mut self, end: usize, pause: bool) -> Result<(), String> {
        self.paused[end] = pause;
        if pause {
            self.ends[end].mux.pause(self.now);
        } else {
            self.ends[end].mux.resume(self.now);
        }
        self.ends[end].events()
    }

    pub(super) fn lost(&mut self, end: usize) -> Result<(), String> {
        self.paused[end] = false;
        self.wire[end].clear();
        self.ends[end].lost(self.now)
    }

    pub(super) fn transmit(&mut self, end: usize, most: usize) -> Result<(), String> {
        for _ in 0..=most {
            let Some(envelope) = self.ends[end].transmit(self.now)? else {
                break;
            };
            if self.paused[end] {
                return Err("a stanza left during a pause".into());
            }
            let to = addresses()[..2]
                .iter()
                .position(|to| Some(to) == envelope.to.as_ref());
            if let Some(to) = to {
                self.wire[to].push_back(envelope);
            }
        }
        self.ends[end].events()
    }

    pub(super) fn deliver(&mut self, end: usize, most: usize) -> Result<(), String> {
        self.transmit(1 - end, most)?;
        for _ in 0..most {
            let Some(envelope) = self.wire[end].pop_front() else {
                break;
            };
            self.ends[end].handle(self.now, &envelope)?;
        }
        Ok(())
    }

    /// Like a server that resends after a resumption: the first in line arrives twice.
    pub(super) fn repeat(&mut self, end: usize) -> Result<(), String> {
        if let Some(envelope) = self.wire[end].front() {
            self.ends[end].handle(self.now, envelope)?;
        }
        Ok(())
    }

    pub(super) fn lose(&mut self, end: usize) {
        self.wire[end].pop_front();
    }

    /// Like a server that can't deliver: the request comes back.
    pub(super) fn bounce(&mut self, end: usize, with: StanzaError) -> Result<(), String> {
        let Some(envelope) = self.wire[end].pop_front() else {
            return Ok(());
        };
        if !matches!(envelope.content, Content::Set(_)) {
            return self.ends[end].handle(self.now, &envelope);
        }
        self.wire[1 - end].push_back(envelope.error(with));
        Ok(())
    }

    /// Against RFC 6120 §10.1.
    pub(super) fn swap(&mut self, end: usize) {
        if self.wire[end].len() > 1 {
            self.tainted = true;
            self.wire[end].swap(0, 1);
        }
    }

    /// The sid of a stream at this end, and the number that it expects.
    pub(super) fn known(&self, end: usize, which: u8) -> Option<(Sid, u16)> {
        let id = self.ends[end].stream(which)?;
        let sid = self.ends[end].mux.sid(id)?.clone();
        Some((sid, self.ends[end].streams.get(&id)?.next.0))
    }

    /// A stanza that no one sent, in the peer's name or another.
    pub(super) fn forge(
        &mut self,
        end: usize,
        from: u8,
        id: u8,
        content: Content,
    ) -> Result<(), String> {
        let from = match from {
            0 => &addresses()[2],
            1 => &addresses()[3],
            _ => &addresses()[1 - end],
        };
        let (sender, stranger) = (from.clone(), *from != addresses()[1 - end]);
        self.tainted |= !stranger;
        self.forged += 1;
        let answer = matches!(
            content,
            Content::Result(_) | Content::Error(_) | Content::Message { .. }
        );
        let last = self.ends[end].last.get(usize::from(id)).cloned();
        let id = last
            .filter(|_| answer)
            .unwrap_or_else(|| format!("f{}", self.forged));
        let envelope = Envelope {
            from: Some(from.clone()),
            to: Some(addresses()[end].clone()),
            id,
            content,
        };
        // A sender with a stream of its own may refer to that one.
        let mut peers = self.ends[end].streams.values().map(|told| &told.peer);
        if answer && stranger && peers.all(|peer| *peer != sender) {
            let foreign = self.ends[end].mux.handle(self.now, envelope.clone());
            return match foreign == Some(envelope) {
                true => Ok(()),
                false => Err("a stranger's answer counted".into()),
            };
        }
        let seen = self.seen(end, &sender);
        self.ends[end].handle(self.now, &envelope)?;
        if stranger && !self.seen(end, &sender).starts_with(&seen) {
            return Err("a stranger's request changed a stream".into());
        }
        Ok(())
    }

    /// What a stranger can't change: others' streams by age, and what each holds.
    fn seen(
        &self,
        end: usize,
        stranger: &Address,
    ) -> Vec<(StreamId, Option<xtls_ibb::Stats>, bool)> {
        let streams = self.ends[end].streams.iter();
        streams
            .filter(|(_, told)| told.peer != *stranger)
            .map(|(id, told)| (*id, self.ends[end].mux.stats(*id), told.closed.is_some()))
            .collect()
    }

    /// All faults end, all owners close and read: then every stream ends, and every request has its answer.
    pub(super) fn heal(mut self) -> Result<(), String> {
        for end in 0..2 {
            self.pause(end, false)?;
        }
        for _ in 0..MAX_HEALING {
            let moved = self.calm()?;
            if moved {
                continue;
            }
            let next = self
                .ends
                .iter()
                .filter_map(|end| end.mux.poll_timeout())
                .min_by_key(|next| next.at);
            let Some(next) = next else {
                break;
            };
            self.now = self.now.max(next.at);
            self.timeout(0)?;
            self.timeout(1)?;
        }
        self.ends.iter().try_for_each(End::settled)?;
        if self.tainted {
            return Ok(());
        }
        (0..2).try_for_each(|end| self.proven(end))
    }

    /// One turn without faults; whether anything moved.
    fn calm(&mut self) -> Result<bool, String> {
        let mut moved = false;
        for end in 0..2 {
            while self.ends[end].streams.values().any(|told| told.pending) {
                self.answer_open(end, 0, true)?;
            }
            let open: Vec<StreamId> = self.ends[end]
                .streams
                .iter()
                .filter(|(_, told)| told.closed.is_none())
                .map(|(id, _)| *id)
                .collect();
            for id in open {
                self.ends[end].mux.stream(self.now, id).close();
                moved |= self.ends[end].read(self.now, id, usize::MAX)? > 0;
            }
            self.transmit(end, usize::MAX - 1)?;
        }
        for end in 0..2 {
            moved |= !self.wire[end].is_empty();
            while let Some(envelope) = self.wire[end].pop_front() {
                self.ends[end].handle(self.now, &envelope)?;
            }
        }
        Ok(moved)
    }

    /// If a stream says that everything was acknowledged, everything had arrived.
    fn proven(&self, end: usize) -> Result<(), String> {
        for (id, told) in &self.ends[end].streams {
            let Some(sid) = told
                .sid
                .as_ref()
                .filter(|_| told.closed == Some(Why::Done) && !told.messages)
            else {
                continue;
            };
            let arrived = self.ends[1 - end].arrived(&addresses()[end], sid);
            if !arrived.unwrap_or_default().starts_with(&told.written) {
                return Err(format!("{id} is done, and not all arrived"));
            }
        }
        Ok(())
    }
}
