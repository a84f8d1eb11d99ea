//! The simulated world: clients with whole routers, their servers, and time that only jumps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hasher as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::ibb::Sid;
use xtls_stanza::{Content, Envelope, Payload};

use crate::canary::Canary;
use crate::client::{Act, Client};
use crate::dice::Dice;
use crate::mallory::Mallory;
use crate::opened::Opener;
use crate::oracle::Oracle;
use crate::setup::Setup;
use crate::sockets::{Due, Sockets};
use crate::totals::Totals;
use crate::uplink::{Uplink, Way};

/// Romeo, who usually opens.
pub const ROMEO: usize = 0;
/// Juliet, who usually accepts.
pub const JULIET: usize = 1;
/// The attacker in the middle in Romeo's name, facing Juliet.
pub const FALSE_ROMEO: usize = 2;
/// The attacker in the middle in Juliet's name, facing Romeo.
pub const FALSE_JULIET: usize = 3;
/// The friend who breaks every rule; she has no router.
pub const MALLORY: usize = 4;
/// Deadlines of links are told from those of their clients by this.
const LINKS: usize = 100;

/// Something that is due.
#[derive(Debug)]
pub enum Deed {
    /// A stanza arrives at a client.
    Arrive(usize, Bytes),
    /// An owner, or a link, does something.
    Act(usize, Act),
    /// The adversary sends something of its own.
    Forge,
    /// Octets of this connection of a client's link arrive.
    Octets(usize, u64, Way),
    /// Its server acknowledges what has come.
    Answer(usize, u64),
    /// It is cut, unless stanzas pass. The server will have the session (true) or not.
    Break(usize, u64, bool),
    /// Something with sockets.
    Net(Due),
}

/// A rule that was broken, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The seed of the run.
    pub seed: u64,
    /// Steps until then.
    pub steps: u64,
    /// Virtual time until then.
    pub at: Duration,
    /// What is wrong.
    pub what: String,
}

/// The world.
pub struct World {
    /// What the seed determines.
    pub setup: Setup,
    /// Virtual time.
    pub now: Instant,
    started: Instant,
    queue: BTreeMap<(Instant, u64), Deed>,
    number: u64,
    /// When the last stanza from one to another arrives: order is kept (RFC 6120 §10.1).
    pub(crate) last: BTreeMap<(usize, usize), Instant>,
    /// When a client's server has read what the client sent.
    pub(crate) uplinks: BTreeMap<usize, Instant>,
    /// The clients that have routers.
    pub clients: Vec<Client>,
    pub(crate) mallory: Option<Mallory>,
    /// Those whose links are real ones.
    pub(crate) links: BTreeMap<usize, Uplink>,
    /// Paths beside the servers.
    pub(crate) sockets: Sockets,
    /// No link was interrupted, and no owner has broken anything off.
    pub(crate) whole: bool,
    /// An owner has broken something off, or closed with a deadline.
    pub(crate) hurried: bool,
    /// The signals of each client, by the names of their tunnels and their numbers.
    pub(crate) numbers: BTreeMap<(usize, Sid, u64), Bytes>,
    /// What opens signals.
    pub(crate) openers: Vec<Opener>,
    /// Ids of requests with signals.
    pub(crate) asked: BTreeSet<String>,
    /// What was reported to owners.
    pub oracle: Oracle,
    canary: Canary,
    /// The randomness of everything that happens.
    pub(crate) dice: Dice,
    /// Earlier stanzas, as they arrived.
    pub(crate) history: VecDeque<(usize, Bytes)>,
    /// Whether faults happen and the adversary is at work.
    pub raging: bool,
    /// What happened, counted.
    pub totals: Totals,
    trace: std::hash::DefaultHasher,
    /// What happened, in writing, if requested.
    pub log: Option<Vec<String>>,
    pub(crate) broken: Option<String>,
    /// Tunnels that were replaced, before that is reported: at which client, with whom, by which key.
    pub(crate) replaced: Vec<(usize, xtls_stanza::Address, xtls_tls::Fingerprint)>,
    /// Stanzas that owners wanted to send and could not.
    pub(crate) unsaid: usize,
    /// An owner has closed with a deadline.
    pub(crate) hasty: bool,
    /// Ids and sids used by the attacker in the middle beside the real peer.
    pub(crate) borrowed: BTreeSet<String>,
    /// Clients whose servers are down.
    pub(crate) down: BTreeSet<usize>,
    /// Opens without a hello, by the ids of their requests.
    pub(crate) plain: BTreeMap<String, Sid>,
    /// Streams whose opens a server has answered with an unrequested flight.
    pub(crate) spoiled: BTreeSet<Sid>,
    /// The first stream, and who opened it.
    pub(crate) first: Option<(usize, Sid)>,
    /// Stanzas that each client has sent.
    pub(crate) said: [u64; 4],
    same_moment: u32,
}

impl World {
    /// A world in which nothing has happened yet.
    pub fn new(setup: Setup, log: bool) -> Self {
        let now = Instant::now();
        let clients = Client::all(&setup);
        let mallory = Mallory::new(&setup);
        let real = [ROMEO, JULIET].into_iter().filter(|_| setup.linked);
        let links = real
            .map(|at| (at, Uplink::new(&setup, at, &clients[at].address, now)))
            .collect();
        let mut dice = Dice::new(setup.seed, 2);
        Self {
            canary: Canary::new(&mut dice),
            now,
            started: now,
            queue: BTreeMap::new(),
            number: 0,
            last: BTreeMap::new(),
            uplinks: BTreeMap::new(),
            clients,
            mallory,
            links,
            sockets: Sockets::new(setup.seed),
            whole: true,
            hurried: false,
            numbers: BTreeMap::new(),
            openers: Vec::new(),
            asked: BTreeSet::new(),
            oracle: Oracle::default(),
            dice,
            history: VecDeque::new(),
            raging: true,
            totals: Totals::default(),
            trace: std::hash::DefaultHasher::new(),
            log: log.then(Vec::new),
            broken: None,
            replaced: Vec::new(),
            unsaid: 0,
            hasty: false,
            borrowed: BTreeSet::new(),
            down: BTreeSet::new(),
            plain: BTreeMap::new(),
            spoiled: BTreeSet::new(),
            first: None,
            said: [0; 4],
            same_moment: 0,
            setup,
        }
    }

    /// Virtual time since the beginning.
    pub fn at(&self) -> Duration {
        self.now - self.started
    }

    /// A number that follows from everything that happened.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// Lets something that happened count for [`World::trace`].
    pub(crate) fn hash(&mut self, happened: impl FnOnce(&mut std::hash::DefaultHasher)) {
        happened(&mut self.trace);
    }

    /// Whether somebody between the ends would see plaintext.
    pub(crate) fn sings(&self, bytes: &[u8]) -> bool {
        self.canary.sings(bytes)
    }

    /// The text that is part of every plaintext.
    pub fn song(&self) -> &str {
        &self.canary.song
    }

    /// Records that a rule is broken; the first one counts.
    pub fn accuse(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(|| format!("VIOLATION {what}"));
        self.broken.get_or_insert(what);
    }

    /// Records an error as a broken rule.
    pub(crate) fn demand(&mut self, outcome: Result<(), String>) {
        if let Err(what) = outcome {
            self.accuse(what);
        }
    }

    /// Writes a line, if requested.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        let at = self.at();
        if let Some(log) = &mut self.log {
            log.push(format!("{:>12.6} {}", at.as_secs_f64(), line()));
        }
    }

    /// Schedules something for later.
    pub fn later(&mut self, after: Duration, deed: Deed) {
        self.due(self.now + after, deed);
    }

    pub(crate) fn due(&mut self, at: Instant, deed: Deed) {
        self.number += 1;
        self.queue.insert((at, self.number), deed);
    }

    /// Everything under way to or from these clients is lost.
    pub(crate) fn lose_under_way(&mut self, of: usize) {
        self.queue
            .retain(|_, deed| !matches!(deed, Deed::Arrive(to, _) if *to == of));
    }

    /// The next thing that happens, if it happens before `until`: the first scheduled event or deadline.
    pub fn step(&mut self, until: Instant) -> bool {
        let deed = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timer = self
            .clients
            .iter()
            .enumerate()
            .filter_map(|(at, client)| Some((client.router.poll_timeout()?.at, at)))
            .chain(
                self.mallory
                    .as_ref()
                    .and_then(Mallory::deadline)
                    .map(|at| (at, MALLORY)),
            )
            .chain(
                self.links
                    .iter()
                    .filter_map(|(at, link)| Some((link.deadline()?, LINKS + at))),
            )
            .min();
        let before = self.now;
        match (deed, timer) {
            (Some(deed), timer) if deed <= until && timer.is_none_or(|(at, _)| deed <= at) => {
                self.now = self.now.max(deed);
                if let Some((_, deed)) = self.queue.pop_first() {
                    self.perform(deed);
                }
            }
            (_, Some((at, client))) if at <= until => {
                self.now = self.now.max(at);
                self.expire(client);
            }
            _ => {
                self.now = self.now.max(until);
                return false;
            }
        }
        self.totals.steps += 1;
        self.same_moment = if before == self.now {
            self.same_moment + 1
        } else {
            0
        };
        if self.same_moment > 200_000 {
            self.accuse("I5: time stands still");
        }
        self.broken.is_none()
    }

    fn perform(&mut self, deed: Deed) {
        match deed {
            Deed::Arrive(to, xml) => self.arrive(to, xml),
            Deed::Act(client, act) => self.act(client, act),
            Deed::Forge => self.forge(),
            Deed::Octets(client, connection, way) => self.octets(client, connection, way),
            Deed::Answer(client, connection) => self.answer(client, connection),
            Deed::Break(client, connection, same) => self.break_again(client, connection, same),
            Deed::Net(due) => self.perform_net(due),
        }
    }

    fn expire(&mut self, client: usize) {
        self.note(|| format!("{client} deadline"));
        self.totals.deadlines += 1;
        let now = self.now;
        if client == MALLORY {
            self.mallory_expires();
            return;
        }
        if let Some(client) = client.checked_sub(LINKS) {
            return self.link_expires(client);
        }
        self.clients[client].router.handle_timeout(now);
        self.drain(client);
    }

    /// A stanza reaches a client, or the end of an interrupted link.
    pub fn arrive(&mut self, to: usize, xml: Bytes) {
        self.trace.write_u64(self.at().as_micros() as u64);
        self.trace.write_usize(to);
        self.trace.write(&xml);
        self.note(|| format!("-> {to} {}", short(&xml)));
        if to == MALLORY {
            self.mallory_hears(&xml);
            return;
        }
        if self.send_down(to, &xml) {
            return;
        }
        if let Some(waiting) = &mut self.clients[to].away {
            waiting.push(xml);
            return;
        }
        self.take_in(to, xml);
    }

    /// A stanza is read by a client.
    pub(crate) fn take_in(&mut self, to: usize, xml: Bytes) {
        self.history.push_back((to, xml.clone()));
        if self.history.len() > 64 {
            self.history.pop_front();
        }
        self.totals.stanzas += 1;
        let Ok(envelope) = Envelope::read(&xml) else {
            // If a client can't read a stanza, its link answers or drops it.
            self.totals.unreadable += 1;
            return;
        };
        let now = self.now;
        let client = &mut self.clients[to];
        client.seen(&xml);
        client.referee.delivered(&envelope, lawful(&xml));
        client.router.handle(now, envelope);
        self.drain(to);
    }

    /// What a client sends, on its way to the server: checked, then routed.
    pub(crate) fn say(&mut self, from: usize, envelope: Envelope) {
        let outcome = self.clients[from].referee.sent(&envelope);
        self.demand(outcome.map_err(|rule| format!("I7: {rule}")));
        let mut xml = Vec::new();
        envelope.write(&mut xml);
        if self.canary.sings(&xml) {
            self.accuse("I2: a server sees plaintext");
        }
        self.note(|| format!("<- {from} {}", short(&xml)));
        self.said[from] += 1;
        self.judge_signal(from, &envelope, &xml);
        if let Content::Set(Payload::Data(data)) = &envelope.content
            && self.spoiled.contains(&data.sid)
        {
            self.accuse("I7: continues after an answer with a flight that no one requested");
        }
        if self.links.contains_key(&from) {
            return self.send_up(from, xml);
        }
        self.route(from, envelope, xml.len());
    }
}

/// Whether the content of `<data/>` is base64 (RFC 4648 §4), with nothing else in between.
fn lawful(xml: &[u8]) -> bool {
    let Some(start) = memchr::memmem::find(xml, b"<data ") else {
        return true;
    };
    let text = xml[start..]
        .split(|byte| *byte == b'>')
        .nth(1)
        .unwrap_or_default();
    let text = text.split(|byte| *byte == b'<').next().unwrap_or_default();
    let letters = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    let letters = letters.count();
    text.len() % 4 == 0
        && text.len() - letters <= 2
        && text[letters..].iter().all(|byte| *byte == b'=')
}

/// The beginning of a stanza, for people to read.
pub(crate) fn short(xml: &[u8]) -> String {
    let text = String::from_utf8_lossy(xml);
    let text = text
        .replace("xmlns='jabber:client' ", "")
        .replace("http://jabber.org/protocol/ibb", "IBB");
    text.chars().take(230).collect()
}
