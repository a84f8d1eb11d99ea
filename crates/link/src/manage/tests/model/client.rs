//! The link: a session, and an owner that does what owners must.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::super::super::{Arrival, Heard, MAX_UNANSWERED, Manage, Miscount};
use super::FIRST;
use super::server::{elements, number, stanza};

pub(super) struct Client {
    manage: Manage,
    pub(super) now: Instant,
    /// Octets of an element that is not whole.
    inbox: Vec<u8>,
    /// Bound, or about to be what it was.
    ready: bool,
    /// The number of the next stanza.
    next: u64,
    /// What was sent in this session, and how many of these the server has acknowledged.
    session: Vec<u64>,
    acked: usize,
    /// `None`: it cannot be resumed, or not any more. Otherwise for how long.
    resumable: Option<Duration>,
    left: Option<Instant>,
    lost: BTreeSet<u64>,
    /// What nobody promised anything for.
    loose: BTreeSet<u64>,
    /// Stanzas that came.
    backlog: VecDeque<(Arrival, u64)>,
    pub(super) taken: Vec<u64>,
    /// When the last request went, if it is not answered.
    asked: Option<Instant>,
    /// The last session ended by a fault, so there is none on the next connection.
    doubtful: bool,
    managed: bool,
    /// A resumption is not answered yet, and how many of this outage were not.
    resuming: bool,
    unanswered: u32,
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            manage: Manage::default(),
            now: Instant::now(),
            inbox: Vec::new(),
            ready: false,
            next: 0,
            session: Vec::new(),
            acked: 0,
            resumable: None,
            left: None,
            lost: BTreeSet::new(),
            loose: BTreeSet::new(),
            backlog: VecDeque::new(),
            taken: Vec::new(),
            asked: None,
            doubtful: false,
            managed: false,
            resuming: false,
            unanswered: 0,
        }
    }

    pub(super) fn connect(&mut self, up: &mut Vec<u8>) {
        let said = self.manage.resume(self.now);
        let away = self.left.map(|left| self.now - left);
        let max = self.resumable;
        let expected = away.is_some_and(|away| max.is_some_and(|max| away < max));
        assert_eq!(said.is_some(), expected, "away for {away:?} of {max:?}");
        match said {
            Some(said) => {
                up.extend_from_slice(&said);
                self.ready = true;
                self.resuming = true;
            }
            None => {
                self.resumable = None;
                self.bind(up);
            }
        }
    }

    fn bind(&mut self, up: &mut Vec<u8>) {
        let lost = self.manage.rebind();
        let lost: Vec<u64> = lost.iter().map(|stanza| number(stanza)).collect();
        assert_eq!(lost, self.session[self.acked..], "what is lost is known");
        self.lost.extend(lost);
        self.session.clear();
        self.acked = 0;
        self.ready = false;
        up.extend_from_slice(b"<bind/>");
    }

    pub(super) fn disconnect(&mut self) {
        self.manage.on_disconnected(self.now);
        self.ready = false;
        self.inbox.clear();
        self.asked = None;
        self.managed = false;
        self.left = self.left.or(Some(self.now));
        if std::mem::take(&mut self.resuming) {
            self.unanswered += 1;
            if self.unanswered > MAX_UNANSWERED {
                self.resumable = None;
            }
        }
    }

    pub(super) fn send(&mut self, count: usize, up: &mut Vec<u8>) {
        if !self.ready || !self.manage.may_send() || !self.manage.has_room() {
            return;
        }
        let (mut octets, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..count {
            octets.extend_from_slice(stanza(self.next).as_bytes());
            ends.push(octets.len());
            match self.managed {
                true => self.session.push(self.next),
                false => drop(self.loose.insert(self.next)),
            }
            self.next += 1;
        }
        up.extend_from_slice(&octets);
        self.manage.on_sent(self.now, octets.into(), &ends);
    }

    /// Whether the server has been given up.
    #[must_use]
    pub(super) fn expire(&mut self) -> bool {
        let deaf = self.manage.handle_timeout(self.now).is_err();
        if deaf {
            self.resumable = None;
        }
        deaf
    }

    pub(super) fn write(&mut self, pace: usize, up: &mut Vec<u8>) {
        for _ in 0..pace {
            let Some(said) = self.manage.poll(self.now) else {
                let due = self.manage.poll_timeout();
                assert!(due.is_none_or(|due| due > self.now), "it had its chance");
                return;
            };
            if said.starts_with(b"<r ") {
                let patient = self.asked.map(|at| at + Duration::from_secs(1));
                assert!(patient.is_none_or(|at| at <= self.now), "asked twice");
                self.asked = Some(self.now);
            }
            up.extend_from_slice(&said);
        }
    }

    pub(super) fn read(&mut self, octets: &[u8], up: &mut Vec<u8>) -> Result<(), Miscount> {
        self.inbox.extend_from_slice(octets);
        for (raw, element) in elements(&mut self.inbox) {
            match &*element.name {
                "message" => {
                    let arrival = self.manage.on_stanza();
                    self.backlog.push_back((arrival, number(&raw)));
                    continue;
                }
                "bound" => {
                    self.ready = true;
                    self.left = None;
                    self.unanswered = 0;
                    let said = self.manage.enable();
                    self.managed = said.is_some();
                    let doubtful = std::mem::take(&mut self.doubtful);
                    assert_ne!(self.managed, doubtful, "after a fault it does without");
                    up.extend(said.into_iter().flatten());
                    continue;
                }
                _ => {}
            }
            let h = element.attr("h").map(|h| h.parse::<u32>().unwrap());
            let heard = self.manage.handle(self.now, &element);
            let heard = heard.inspect_err(|_| {
                self.doubtful = true;
                self.resuming = false;
                self.resumable = None;
            })?;
            if let Some(h) = h {
                let acked = h.wrapping_sub(FIRST) as usize;
                assert!(self.acked <= acked && acked <= self.session.len());
                self.acked = acked;
                self.asked = None;
            }
            match heard {
                Heard::Enabled { resumable } => {
                    self.manage.shift(FIRST);
                    self.resumable = resumable;
                }
                Heard::NotEnabled => {
                    self.loose.extend(self.session.drain(..));
                    self.managed = false;
                }
                Heard::Resumed { .. } => {
                    self.resuming = false;
                    self.unanswered = 0;
                    self.managed = true;
                    self.left = None;
                    self.resumable = Some(Duration::from_secs(300));
                }
                Heard::NotResumed => {
                    self.resuming = false;
                    self.resumable = None;
                    self.bind(up);
                }
                Heard::Nothing => {}
            }
        }
        Ok(())
    }

    pub(super) fn take(&mut self, count: usize) {
        for (arrival, number) in self.backlog.drain(..count.min(self.backlog.len())) {
            if self.manage.on_stanza_taken(self.now, arrival) {
                let last = self.taken.last();
                assert!(
                    last.is_none_or(|&last| last < number),
                    "{number} after {last:?}"
                );
                self.taken.push(number);
            }
        }
    }

    /// What was sent has arrived, or is known to be lost, or nobody promised anything.
    pub(super) fn check(&mut self, arrived: &[u64]) {
        assert!(self.manage.rebind().is_empty(), "all is acknowledged");
        let arrived: BTreeSet<_> = arrived.iter().copied().collect();
        for number in 0..self.next {
            let known = [&arrived, &self.lost, &self.loose];
            assert!(
                known.iter().any(|set| set.contains(&number)),
                "{number} is gone"
            );
        }
    }
}
