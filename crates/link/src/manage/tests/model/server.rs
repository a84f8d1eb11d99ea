//! A server that keeps to XEP-0198 and takes offence at a link that does not.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;
use xtls_stanza::Element;

use super::FIRST;

const SM: &str = "urn:xmpp:sm:3";

/// A numbered stanza.
pub(super) fn stanza(number: u64) -> String {
    format!("<message id='{number}'/>")
}

/// The number of one.
pub(super) fn number(stanza: &[u8]) -> u64 {
    let text = std::str::from_utf8(stanza).unwrap();
    let number = text.strip_prefix("<message id='").unwrap();
    number.strip_suffix("'/>").unwrap().parse().unwrap()
}

/// Takes the whole elements off the front: here each is one tag, and none has a `>` in it.
pub(super) fn elements(inbox: &mut Vec<u8>) -> Vec<(Vec<u8>, Element)> {
    let whole = inbox.iter().rposition(|&byte| byte == b'>');
    let rest = inbox.split_off(whole.map_or(0, |at| at + 1));
    let whole = std::mem::replace(inbox, rest);
    let raw = whole.split_inclusive(|&byte| byte == b'>');
    let parsed = raw.map(|raw| (raw.to_vec(), Element::read(raw, "jabber:client").unwrap()));
    parsed.collect()
}

/// What the server grants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    enable: bool,
    resumable: bool,
    /// It has the session of a `<resume/>`, and otherwise says the number that it had.
    resume: bool,
    number: bool,
    /// It answers a request at once.
    prompt: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            enable: true,
            resumable: true,
            resume: true,
            number: true,
            prompt: true,
        }
    }
}

pub(super) fn policies() -> impl Strategy<Value = Policy> {
    let mostly = || prop::bool::weighted(0.8);
    (mostly(), mostly(), mostly(), any::<bool>(), any::<bool>()).prop_map(
        |(enable, resumable, resume, number, prompt)| Policy {
            enable,
            resumable,
            resume,
            number,
            prompt,
        },
    )
}

#[derive(Default)]
pub(super) struct Server {
    policy: Policy,
    inbox: Vec<u8>,
    stage: Stage,
    /// The session of a connection that is gone.
    kept: Option<Session>,
    /// Sessions so far.
    sessions: u32,
    /// The number of the next stanza.
    next: u64,
    lost: BTreeSet<u64>,
    loose: BTreeSet<u64>,
    pub(super) taken: Vec<u64>,
    /// A number that is too high is on its way.
    pub(super) lied: bool,
}

#[derive(Default)]
enum Stage {
    #[default]
    Gone,
    /// Logged in. `tried`: a `<resume/>` was refused.
    In {
        tried: bool,
    },
    /// Bound. `asked`: `<enable/>` was refused.
    Bound {
        asked: bool,
    },
    On(Session),
}

struct Session {
    id: String,
    resumable: bool,
    handled: u32,
    acked: u32,
    unacked: VecDeque<u64>,
    /// An answer is due.
    asked: bool,
}

impl Session {
    /// The link has handled so many.
    fn ack(&mut self, element: &Element) {
        let h: u32 = element.attr("h").unwrap().parse().unwrap();
        let news = h.wrapping_sub(self.acked) as usize;
        assert!(news <= self.unacked.len(), "{h} after {}", self.acked);
        self.unacked.drain(..news);
        self.acked = h;
    }

    fn answer(&mut self, down: &mut Vec<u8>) {
        let h = self.handled;
        down.extend_from_slice(format!("<a xmlns='{SM}' h='{h}'/>").as_bytes());
        self.asked = false;
    }
}

impl Server {
    pub(super) fn change(&mut self, policy: Policy, down: &mut Vec<u8>) {
        self.policy = policy;
        self.answer(down);
    }

    /// Answers what it was asked, unless it would rather wait.
    fn answer(&mut self, down: &mut Vec<u8>) {
        match &mut self.stage {
            Stage::On(session) if self.policy.prompt && session.asked => session.answer(down),
            Stage::Gone | Stage::In { .. } | Stage::Bound { .. } | Stage::On(_) => {}
        }
    }

    pub(super) fn accept(&mut self) {
        self.stage = Stage::In { tried: false };
    }

    pub(super) fn disconnect(&mut self) {
        self.inbox.clear();
        self.lied = false;
        if let Stage::On(session) = std::mem::take(&mut self.stage) {
            assert!(self.kept.is_none(), "a binding ends the old session");
            self.kept = Some(session);
            if self.kept.as_ref().is_some_and(|session| !session.resumable) {
                self.forget();
            }
        }
    }

    /// Gives up the session that was kept; gives what it had handled.
    pub(super) fn forget(&mut self) -> Option<u32> {
        let session = self.kept.take()?;
        self.lost.extend(session.unacked);
        Some(session.handled)
    }

    pub(super) fn send(&mut self, count: usize, down: &mut Vec<u8>) {
        for _ in 0..count {
            match &mut self.stage {
                Stage::Gone | Stage::In { .. } => return,
                Stage::Bound { .. } => drop(self.loose.insert(self.next)),
                Stage::On(session) => session.unacked.push_back(self.next),
            }
            down.extend_from_slice(stanza(self.next).as_bytes());
            self.next += 1;
        }
    }

    pub(super) fn ask(&mut self, down: &mut Vec<u8>) {
        if let Stage::On(_) = self.stage {
            down.extend_from_slice(format!("<r xmlns='{SM}'/>").as_bytes());
        }
    }

    pub(super) fn acknowledge(&mut self, down: &mut Vec<u8>) {
        if let Stage::On(session) = &mut self.stage {
            session.answer(down);
        }
    }

    pub(super) fn lie(&mut self, down: &mut Vec<u8>) {
        if let Stage::On(session) = &self.stage {
            let h = session.handled.wrapping_add(1_000_000);
            down.extend_from_slice(format!("<a xmlns='{SM}' h='{h}'/>").as_bytes());
            self.lied = true;
        }
    }

    pub(super) fn read(&mut self, octets: &[u8], down: &mut Vec<u8>) {
        self.inbox.extend_from_slice(octets);
        for (raw, element) in elements(&mut self.inbox) {
            self.handle(&raw, &element, down);
        }
    }

    fn handle(&mut self, raw: &[u8], element: &Element, down: &mut Vec<u8>) {
        match (&*element.name, &mut self.stage) {
            ("message", Stage::Bound { .. }) => self.take(raw),
            ("message", Stage::On(session)) => {
                session.handled = session.handled.wrapping_add(1);
                self.take(raw);
            }
            ("bind", Stage::In { .. }) => {
                self.forget();
                self.stage = Stage::Bound { asked: false };
                down.extend_from_slice(b"<bound/>");
            }
            (
                "enable",
                Stage::Bound {
                    asked: asked @ false,
                },
            ) if !self.policy.enable => {
                *asked = true;
                down.extend_from_slice(format!("<failed xmlns='{SM}'/>").as_bytes());
            }
            ("enable", Stage::Bound { asked: false }) => self.enable(down),
            ("resume", Stage::In { tried: false }) => self.resume(element, down),
            ("a", Stage::On(session)) => session.ack(element),
            ("r", Stage::On(session)) => {
                session.asked = true;
                self.answer(down);
            }
            (name, _) => panic!("<{name}/> does not belong here"),
        }
    }

    fn take(&mut self, raw: &[u8]) {
        let (number, last) = (number(raw), self.taken.last());
        assert!(
            last.is_none_or(|&last| last < number),
            "{number} after {last:?}"
        );
        self.taken.push(number);
    }

    fn enable(&mut self, down: &mut Vec<u8>) {
        self.sessions += 1;
        let id = format!("s{}", self.sessions);
        let resumable = self.policy.resumable;
        let promise = match resumable {
            true => format!(" id='{id}' resume='true' max='300'"),
            false => String::new(),
        };
        down.extend_from_slice(format!("<enabled xmlns='{SM}'{promise}/>").as_bytes());
        self.stage = Stage::On(Session {
            id,
            resumable,
            handled: FIRST,
            acked: FIRST,
            unacked: VecDeque::new(),
            asked: false,
        });
    }

    fn resume(&mut self, element: &Element, down: &mut Vec<u8>) {
        let previd = element.attr("previd").unwrap();
        let kept = self
            .kept
            .take_if(|kept| self.policy.resume && kept.id == previd);
        let Some(mut session) = kept else {
            let known = self.forget().filter(|_| self.policy.number);
            let h = known.map(|h| format!(" h='{h}'")).unwrap_or_default();
            self.stage = Stage::In { tried: true };
            down.extend_from_slice(format!("<failed xmlns='{SM}'{h}/>").as_bytes());
            return;
        };
        session.ack(element);
        let (id, h) = (&session.id, session.handled);
        let said = format!("<resumed xmlns='{SM}' previd='{id}' h='{h}'/>");
        down.extend_from_slice(said.as_bytes());
        for &number in &session.unacked {
            down.extend_from_slice(stanza(number).as_bytes());
        }
        self.stage = Stage::On(session);
    }

    pub(super) fn has_session(&self) -> bool {
        matches!(self.stage, Stage::On(_))
    }

    /// What was sent was taken, or is known to be lost, or nobody promised anything.
    pub(super) fn check(&self, arrived: &[u64]) {
        let Stage::On(session) = &self.stage else {
            panic!("two ends that behave have a session");
        };
        assert!(session.unacked.is_empty(), "all is acknowledged");
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
