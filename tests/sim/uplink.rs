//! Links that are real: the machine of `xtls-link`, a server that keeps to XEP-0198, and the octets between them.
//!
//! A connection is cut at any octet, also during a log-in; resumption is granted or refused. Stanzas are numbered in each
//! direction, and the law is I15: what the link takes arrives in order and once, or is told to be lost; a resumption loses
//! and doubles nothing, and a new binding tells all that the old one leaves.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_link::{Event, Opened, Session, Stream};
use xtls_stanza::{Address, Envelope};
use zeroize::Zeroizing;

use crate::client::Act;
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::managed::{Policy, Said, Server, stamp, unstamp};
use crate::setup::{Cuts, Setup};
use crate::world::{Deed, World};

/// Which way octets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to its server.
    Up,
    /// Back.
    Down,
}

/// The link of one client.
#[derive(Debug)]
pub(crate) struct Uplink {
    place: Option<Place>,
    server: Server,
    up: VecDeque<u8>,
    down: VecDeque<u8>,
    /// Stanzas of the router's that wait for room.
    queue: VecDeque<Vec<u8>>,
    /// The number of the connection.
    connection: u64,
    /// Connections of this outage that were cut before stanzas passed.
    broken: u32,
    /// Cuts while octets are under way that are still to come.
    busy_cuts: u32,
    ledger: Ledger,
    dice: Dice,
}

/// Where the client is.
#[derive(Debug)]
enum Place {
    Online(Box<Stream>),
    Away(Box<Session>),
}

impl Uplink {
    pub(crate) fn new(setup: &Setup, number: usize, address: &Address, now: Instant) -> Self {
        let mut dice = Dice::new(setup.seed, 20 + number as u64);
        let any = setup.cuts == Cuts::Any;
        let policy = Policy {
            enable: !any || !dice.permille(50),
            resumable: !any || !dice.permille(100),
            resume: true,
            number: dice.permille(500),
        };
        let password = Zeroizing::new("secret".to_owned());
        let session = Session::new(address, password, dice.seed()).expect("it has a local part");
        let mut link = Self {
            place: Some(Place::Away(Box::new(session.allow_plain(true)))),
            server: Server::new(address.clone(), policy),
            up: VecDeque::new(),
            down: VecDeque::new(),
            queue: VecDeque::new(),
            connection: 0,
            broken: 0,
            busy_cuts: dice.below(4) as u32,
            ledger: Ledger::default(),
            dice,
        };
        link.open_at_once(now);
        link
    }

    /// The first log-in, of which routers know nothing.
    fn open_at_once(&mut self, now: Instant) {
        self.dial(now);
        for _ in 0..20 {
            self.flush(now);
            let octets: Vec<u8> = self.up.drain(..).collect();
            let mut answer = Vec::new();
            self.server
                .read(&octets, &mut answer)
                .expect("a log-in that is lawful");
            let stream = self.stream().expect("it is online");
            stream.handle_bytes(now, &answer);
            while let Some(event) = stream.poll_event(now).expect("a server that behaves") {
                assert!(matches!(event, Event::Opened(_)), "{event:?}");
            }
        }
        assert!(self.is_open(), "the first log-in succeeds");
    }

    fn stream(&mut self) -> Option<&mut Stream> {
        match &mut self.place {
            Some(Place::Online(stream)) => Some(stream),
            Some(Place::Away(_)) | None => None,
        }
    }

    fn is_open(&mut self) -> bool {
        self.stream().is_some_and(|stream| stream.is_open())
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.place {
            Some(Place::Online(stream)) => stream.poll_timeout(),
            Some(Place::Away(_)) | None => None,
        }
    }

    /// Connects, unless it is connected.
    fn dial(&mut self, now: Instant) -> bool {
        let dials = matches!(self.place, Some(Place::Away(_)));
        self.place = self.place.take().map(|place| match place {
            Place::Away(session) => Place::Online(Box::new(Stream::new(*session, None, now))),
            online @ Place::Online(_) => online,
        });
        self.connection += u64::from(dials);
        dials
    }

    fn hang_up(&mut self, now: Instant) {
        self.up.clear();
        self.down.clear();
        self.server.disconnect();
        self.connection += 1;
        self.place = self.place.take().map(|place| match place {
            Place::Online(stream) => Place::Away(Box::new(stream.into_session(now))),
            away @ Place::Away(_) => away,
        });
    }

    /// Sends what there is room for; whether there are octets under way that were not before.
    fn flush(&mut self, now: Instant) -> bool {
        let Some(Place::Online(stream)) = &mut self.place else {
            return false;
        };
        while stream.has_room()
            && let Some(xml) = self.queue.pop_front()
        {
            let stamped = stamp(Some(self.ledger.accept()), &xml);
            let sent = stream.send_with(|out| out.extend_from_slice(&stamped));
            sent.expect("there is room");
        }
        let before = self.up.len();
        while let Some(octets) = stream.poll_transmit(now) {
            self.up.extend(octets);
        }
        self.up.len() > before
    }

    /// The next octets of a way: all that are under way, or some of them.
    fn next(&mut self, way: Way, permille: usize) -> Vec<u8> {
        let pipe = match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        };
        let count = pipe.len() * permille / 1000;
        pipe.drain(..count).collect()
    }
}

impl World {
    /// What a client sends, by a real link.
    pub(crate) fn send_up(&mut self, at: usize, xml: Vec<u8>) {
        if let Some(link) = self.links.get_mut(&at) {
            link.queue.push_back(xml);
        }
    }

    /// What a client's server has for it; `false`: the link is not a real one.
    pub(crate) fn send_down(&mut self, at: usize, xml: &Bytes) -> bool {
        let Some(link) = self.links.get_mut(&at) else {
            return false;
        };
        if Envelope::read(xml).is_err() {
            // No server lets it through.
            self.totals.unreadable += 1;
            return true;
        }
        let mut out = Vec::new();
        if let Err(xml) = link.server.deliver(xml.clone(), &mut out) {
            self.nobody_there(at, vec![xml]);
            return true;
        }
        if link.dice.permille(200) {
            link.server.ask(&mut out);
        }
        self.under_way(at, out);
        true
    }

    fn under_way(&mut self, at: usize, out: Vec<u8>) {
        if let Some(link) = self.links.get_mut(&at)
            && !out.is_empty()
        {
            link.down.extend(out);
            self.move_later(at, Way::Down);
        }
    }

    fn move_later(&mut self, at: usize, way: Way) {
        if let Some(link) = self.links.get_mut(&at) {
            let (connection, time) = (link.connection, link.dice.time(Duration::from_millis(20)));
            self.later(time, Deed::Octets(at, connection, way));
        }
    }

    /// What a link has to send leaves.
    pub(crate) fn flush(&mut self, at: usize) {
        let now = self.now;
        if let Some(link) = self.links.get_mut(&at)
            && link.flush(now)
        {
            self.move_later(at, Way::Up);
        }
    }

    /// Octets arrive.
    pub(crate) fn octets(&mut self, at: usize, connection: u64, way: Way) {
        let Some(link) = self.links.get_mut(&at) else {
            return;
        };
        if link.connection != connection {
            return;
        }
        // Most cuts by the script fall into silence; these do not.
        if self.raging
            && self.clients[at].away.is_none()
            && link.busy_cuts > 0
            && link.dice.permille(20)
        {
            link.busy_cuts -= 1;
            let time = link.dice.time(Duration::from_secs(5));
            let same = self.setup.cuts == Cuts::Resumed || link.dice.permille(500);
            return self.cut(at, time, same);
        }
        let some = link.dice.permille(250);
        let permille = if some { link.dice.index(1000) } else { 1000 };
        self.transfer(at, way, permille);
        if some {
            self.move_later(at, way);
        }
    }

    fn transfer(&mut self, at: usize, way: Way, permille: usize) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&at) else {
            return;
        };
        let octets = link.next(way, permille);
        match way {
            Way::Up => self.read_up(at, &octets),
            Way::Down => {
                if let Some(stream) = link.stream() {
                    stream.handle_bytes(now, &octets);
                    self.read_down(at);
                }
            }
        }
    }

    /// The server reads.
    fn read_up(&mut self, at: usize, octets: &[u8]) {
        let Some(link) = self.links.get_mut(&at) else {
            return;
        };
        let mut out = Vec::new();
        let said = match link.server.read(octets, &mut out) {
            Ok(said) => said,
            Err(what) => return self.accuse(format!("I15: client {at}'s server is told: {what}")),
        };
        self.under_way(at, out);
        for said in said {
            match said {
                Said::Stanza(number, xml) => self.on_stanza_up(at, number, &xml.into()),
                Said::Bound => self.leave(at),
                Said::Asked => self.answer_later(at),
            }
        }
        self.return_left(at);
    }

    fn on_stanza_up(&mut self, at: usize, number: u64, xml: &Bytes) {
        let came = self
            .links
            .get_mut(&at)
            .map(|link| link.ledger.came_up(number));
        self.demand(came.unwrap_or(Ok(())));
        match Envelope::read(xml) {
            Ok(envelope) => self.route(at, envelope, xml.len()),
            Err(error) => self.accuse(format!(
                "I15: stanza {number} is not what was sent: {error}"
            )),
        }
    }

    /// Most servers answer at once, and some when they like.
    fn answer_later(&mut self, at: usize) {
        if let Some(link) = self.links.get_mut(&at) {
            let late = link.dice.permille(100);
            let most = Duration::from_secs(if late { 5 } else { 0 });
            let (connection, time) = (link.connection, link.dice.time(most));
            self.later(time, Deed::Answer(at, connection));
        }
    }

    pub(crate) fn answer(&mut self, at: usize, connection: u64) {
        if let Some(link) = self.links.get(&at)
            && link.connection == connection
        {
            let mut out = Vec::new();
            link.server.answer(&mut out);
            self.under_way(at, out);
        }
    }

    /// The client reads.
    fn read_down(&mut self, at: usize) {
        let now = self.now;
        loop {
            let Some(link) = self.links.get_mut(&at) else {
                return;
            };
            let Some(stream) = link.stream() else { return };
            match stream.poll_event(now) {
                Ok(None) => break,
                Ok(Some(Event::Stanza(stamped))) => self.on_stanza_down(at, &stamped),
                Ok(Some(Event::Opened(opened))) => self.opened(at, opened),
                other => {
                    return self.accuse(format!("I15: {other:?} of a server that behaves"));
                }
            }
            // Some owners take what comes bit by bit, and a cut comes between.
            if let Some(link) = self.links.get_mut(&at)
                && link.dice.permille(100)
            {
                self.move_later(at, Way::Down);
                break;
            }
        }
        self.flush(at);
    }

    fn on_stanza_down(&mut self, at: usize, stamped: &[u8]) {
        let Some((number, xml)) = unstamp(stamped) else {
            let what = crate::world::short(stamped);
            return self.accuse(format!("I15: the server never sent {what}"));
        };
        let came = self
            .links
            .get_mut(&at)
            .map(|link| link.ledger.came_down(number));
        self.demand(came.unwrap_or(Ok(())));
        self.take_in(at, xml.into());
    }

    /// Stanzas pass again.
    fn opened(&mut self, at: usize, opened: Opened) {
        let now = self.now;
        self.note(|| format!("{at} {opened:?}").chars().take(200).collect());
        let Some(link) = self.links.get_mut(&at) else {
            return;
        };
        link.broken = 0;
        match opened {
            Opened::Resumed { .. } => {
                self.totals.fault("link resumed by its machine");
                self.clients[at].away = None;
                self.clients[at].router.resume(now);
            }
            Opened::Bound { lost, .. } => {
                self.totals.fault("link bound anew by its machine");
                link.queue.clear();
                let (told, refused) = (link.server.told, link.server.take_refused());
                let sent = link.server.sent_before;
                let checked = link.ledger.check_lost(&lost, sent, told, refused);
                self.demand(checked);
                self.clients[at].away = None;
                self.renew(at);
            }
            other => self.accuse(format!("I15: {other:?}")),
        }
        self.drain(at);
    }

    /// The connection of a real link is cut, and some of what was under way arrives.
    pub(crate) fn cut_octets(&mut self, at: usize) {
        let now = self.now;
        for way in [Way::Up, Way::Down] {
            if let Some(link) = self.links.get_mut(&at) {
                let permille = link.dice.index(1001);
                self.transfer(at, way, permille);
            }
        }
        if let Some(link) = self.links.get_mut(&at) {
            link.hang_up(now);
        }
        self.return_left(at);
    }

    /// A real link connects again. Its server has the session, or not.
    pub(crate) fn dial(&mut self, at: usize, same: bool) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&at) else {
            return;
        };
        if !link.dial(now) {
            return;
        }
        link.server.policy.resume = same;
        let breaks = self.raging && link.broken < MAX_BROKEN && link.dice.permille(300);
        if breaks {
            let (connection, time) = (link.connection, link.dice.time(Duration::from_millis(150)));
            self.later(time, Deed::Break(at, connection, same));
        }
        self.flush(at);
    }

    /// A connection is cut again before, or just after, stanzas pass.
    pub(crate) fn break_again(&mut self, at: usize, connection: u64, same: bool) {
        let Some(link) = self.links.get_mut(&at) else {
            return;
        };
        if link.connection != connection || link.is_open() {
            return;
        }
        link.broken += 1;
        self.totals.fault("link cut as it came back");
        self.cut_octets(at);
        // What was under way may have been enough.
        if self.clients[at].away.is_none() {
            self.clients[at].away = Some(Vec::new());
            let now = self.now;
            self.clients[at].router.pause(now);
        }
        self.later(Duration::from_secs(1), Deed::Act(at, Act::Back(same)));
    }

    /// A deadline of a link's.
    pub(crate) fn link_expires(&mut self, at: usize) {
        let now = self.now;
        if let Some(link) = self.links.get_mut(&at)
            && let Some(stream) = link.stream()
            && let Err(error) = stream.handle_timeout(now)
        {
            return self.accuse(format!("I15: {error} of a server that behaves"));
        }
        self.flush(at);
    }

    /// What a session leaves goes back to those who sent it.
    fn return_left(&mut self, at: usize) {
        if let Some(link) = self.links.get_mut(&at) {
            let left = link.server.take_left();
            self.nobody_there(at, left);
        }
    }
}

/// Connections in one outage that are cut before stanzas pass: the machine gives a session up after the fourth.
const MAX_BROKEN: u32 = 3;
