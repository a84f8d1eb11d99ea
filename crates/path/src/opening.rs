//! The beginning of a leg, before its frames: two salts, a knock, and a HELLO of each end.

use std::time::{Duration, Instant};

use crate::error::Fault;
use crate::frame::{Cutter, Frame, HELLO_FRAME, MAC, Short};
use crate::keys::{Keys, SALT};

/// Bytes of a knock: a salt and its MAC, which is what the first end says.
pub const KNOCK: usize = SALT + MAC;
/// A salt and a HELLO: what the second end answers.
const ANSWER: usize = SALT + HELLO_FRAME;

/// How a leg begins, as both ends have agreed before.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Who speaks first.
    pub place: Place,
    /// The number of the attempt. It never falls.
    pub attempt: u64,
    /// What the pipe is called in the attempt, without a zero byte: both ends know it by the same name.
    pub cid: Box<str>,
    /// 32 random bytes, never used before.
    pub salt: [u8; SALT],
    /// Whether somebody between the ends passes bytes on, who may hold the tail of a burst until more comes.
    pub relayed: bool,
}

/// Who speaks first on a new leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The end that knows that the pipe stands: who connected, or who activated the relay.
    First,
    /// The other one, which says nothing before it has recognised the peer.
    Second,
}

/// Where an end is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// First: the answer must come. Second: the knock must come.
    Peer,
    /// Second: the HELLO must come.
    Hello,
}

/// What one step has brought.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Nothing to do.
    Waiting,
    /// The knock fits: [`Opening::greet`] must follow.
    Knocked,
    /// The peer's HELLO fits. If we are the first, [`Opening::greet`] must follow. What it took between asking and its arrival.
    Hello {
        got: u64,
        limit: u64,
        took: Duration,
    },
}

/// Attempt, cid and a zero byte.
fn tag(attempt: u64, cid: &str) -> Box<[u8]> {
    [&attempt.to_be_bytes(), cid.as_bytes(), &[0]]
        .concat()
        .into()
}

/// Whether this is the peer's knock for a pipe of this name. Says nothing about whether it was made before.
pub(crate) fn is_knock(knock: &[u8; KNOCK], attempt: u64, cid: &str, keys: &Keys) -> bool {
    knock
        .split_last_chunk::<MAC>()
        .is_some_and(|(salt, mac)| keys.verify(&[&tag(attempt, cid), salt], mac))
}

#[derive(Debug)]
pub(crate) struct Opening {
    place: Place,
    step: Step,
    /// Attempt, cid and a zero: what every MAC begins with.
    tag: Box<[u8]>,
    salts: [[u8; SALT]; 2],
    came: Short<ANSWER>,
    since: Instant,
}

impl Opening {
    /// The opening, and what must be sent at once.
    pub(crate) fn new(now: Instant, how: &Beginning, keys: &Keys) -> (Self, Vec<u8>) {
        let mut opening = Self {
            place: how.place,
            step: Step::Peer,
            tag: tag(how.attempt, &how.cid),
            salts: [[0; SALT]; 2],
            came: Short::default(),
            since: now,
        };
        let [first, second] = &mut opening.salts;
        let mut knock = Vec::new();
        match how.place {
            Place::First => {
                *first = how.salt;
                let mac = keys.sign(&[&opening.tag, &how.salt]);
                knock.extend(how.salt);
                knock.extend(mac);
            }
            Place::Second => *second = how.salt,
        }
        (opening, knock)
    }

    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    /// Takes off `wire` what belongs to the beginning.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        wire: &mut &[u8],
        keys: &Keys,
    ) -> Result<Opened, Fault> {
        let needed = match (self.place, self.step) {
            (Place::First, _) => ANSWER,
            (Place::Second, Step::Peer) => KNOCK,
            (Place::Second, Step::Hello) => HELLO_FRAME,
        };
        if !self.came.fill(wire, needed) {
            return Ok(Opened::Waiting);
        }
        match (self.place, self.step) {
            (Place::Second, Step::Peer) => {
                let salt = self.came.first::<SALT>();
                if !keys.verify(&[&self.tag, &salt], &self.came.at::<SALT, MAC>()) {
                    return Err(Fault::Stranger);
                }
                let [first, _] = &mut self.salts;
                *first = salt;
                self.step = Step::Hello;
                self.came = Short::default();
                self.since = now;
                Ok(Opened::Knocked)
            }
            (Place::First, _) => {
                let [_, second] = &mut self.salts;
                *second = self.came.first();
                let hello = self.came.at::<SALT, HELLO_FRAME>();
                self.hello(now, &hello, keys)
            }
            (Place::Second, Step::Hello) => {
                let hello = self.came.first::<HELLO_FRAME>();
                self.hello(now, &hello, keys)
            }
        }
    }

    /// The peer's HELLO, if its MAC is right.
    fn hello(&self, now: Instant, frame: &[u8; HELLO_FRAME], keys: &Keys) -> Result<Opened, Fault> {
        let (signed, mac) = frame.split_last_chunk::<MAC>().ok_or(Fault::Stranger)?;
        let [first, second] = &self.salts;
        if !keys.verify(&[&self.tag, first, second, signed], mac) {
            return Err(Fault::Stranger);
        }
        match Cutter::new().next(&mut frame.as_slice()) {
            Ok(Some(Frame::Hello { got, limit, .. })) => Ok(Opened::Hello {
                got,
                limit,
                took: now.saturating_duration_since(self.since),
            }),
            Ok(_) => Err(Fault::Order),
            Err(broken) => Err(Fault::Broken(broken)),
        }
    }

    /// Our HELLO, after our salt if we are the second.
    pub(crate) fn greet(&self, got: u64, limit: u64, keys: &Keys) -> Vec<u8> {
        let mut hello = Vec::with_capacity(HELLO_FRAME);
        Frame::Hello {
            got,
            limit,
            mac: [0; MAC],
        }
        .write(&mut hello);
        hello.truncate(HELLO_FRAME - MAC);
        let [first, second] = &self.salts;
        let mac = keys.sign(&[&self.tag, first, second, &hello]);
        hello.extend(mac);
        match self.place {
            Place::First => hello,
            Place::Second => [second.as_slice(), &hello].concat(),
        }
    }
}
