//! A stream, and what comes before TLS, with a server that says the input: any cutting gives the same events, octets and end.
//!
//! Octets that no UTF-8 has stand for what a server of good manners says ([`word`]), for the id that the stream has asked for
//! last ([`ID`]) and, with the one that follows, for what the stream's owner does ([`OWN`]).

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use xtls_link::{ConnectError, Event, Opened, Session, StartTls, Stream};
use xtls_stanza::Address;
use zeroize::Zeroizing;

use super::cutting::Cutting;

/// Connections per input.
const MAX_CONNECTIONS: usize = 4;

/// Stanzas that the owner sends per input.
const MAX_SENT: usize = 400;

/// Bytes that a stream may hold of what is not whole: of a stanza, and of an element before there are any.
const MAX_STANZA: usize = 4 << 20;
const MAX_ELEMENT: usize = 65_536;

const SUCCESS: u8 = 0xF9;
const ID: u8 = 0xFE;
const OWN: u8 = 0xFF;

/// What the owner does that is not written at once.
const SEND: u8 = 1;

fn word(octet: u8) -> Option<&'static str> {
    Some(match octet {
        0xC0 => {
            "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline><sm xmlns='urn:xmpp:sm:3'/>\
             <bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind></inline></authentication></stream:features>"
        }
        0xC1 => {
            "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>a@example.org/x</authorization-identifier>"
        }
        0xF5 => {
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
        }
        0xF6 => {
            "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
        }
        0xF7 => "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        0xF8 => {
            "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>\
             </mechanisms></stream:features>"
        }
        SUCCESS => "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        0xFA => {
            "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>"
        }
        0xFB => {
            "'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@example.org/x</jid></bind></iq>"
        }
        0xFC => "<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true' max='300'/>",
        0xFD => "<iq type='result' id='",
        _ => return None,
    })
}

pub(super) fn check(input: &[u8]) -> Result<(), String> {
    let script = read(input);
    let before = before_tls(&script, &mut Cutting::Whole);
    let whole = World::run(&script, Cutting::Whole)?;
    let mut cutting = Cutting::of(input);
    let other = before_tls(&script, &mut cutting);
    if other != before {
        return Err(format!("cut, {other:?} before TLS, and whole {before:?}"));
    }
    let other = World::run(&script, cutting)?;
    if other != whole {
        return Err(format!("cut, it goes {other:#?}, and whole {whole:#?}"));
    }
    Ok(())
}

/// One thing that happens.
enum Step {
    Say(Vec<u8>),
    Id,
    Own(u8),
}

fn read(input: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut said = Vec::new();
    let mut rest = input.iter();
    while let Some(&octet) = rest.next() {
        let step = match (octet, word(octet)) {
            (ID, _) => Step::Id,
            (OWN, _) => Step::Own(rest.next().copied().unwrap_or_default()),
            (_, Some(word)) => {
                said.extend_from_slice(word.as_bytes());
                if octet != SUCCESS {
                    continue;
                }
                // A server waits for the new stream.
                Step::Say(std::mem::take(&mut said))
            }
            (_, None) => {
                said.push(octet);
                continue;
            }
        };
        if !said.is_empty() {
            steps.push(Step::Say(std::mem::take(&mut said)));
        }
        steps.push(step);
    }
    steps.push(Step::Say(said));
    steps
}

/// What a server that says all of it in the clear gets out of us, and how it ends.
fn before_tls(script: &[Step], cutting: &mut Cutting) -> (Vec<u8>, Result<bool, ConnectError>) {
    let mut machine = StartTls::new("example.org");
    let (mut sent, mut end) = (Vec::new(), Ok(false));
    for step in script {
        let Step::Say(said) = step else { continue };
        for piece in cutting.pieces(said) {
            let handled = machine.handle_bytes(piece);
            assert!(end.is_ok() || handled.is_err(), "{end:?} is final");
            end = end.and(handled);
        }
        sent.extend(machine.poll_transmit().into_iter().flatten());
    }
    // How much of it there was is a matter of luck.
    let end = end.map_err(|error| match error {
        ConnectError::Injected { domain, .. } => ConnectError::Injected { domain, bytes: 0 },
        other => other,
    });
    (sent, end)
}

/// A stream, its owner, and what they have seen.
struct World {
    stream: Stream,
    now: Instant,
    cutting: Cutting,
    connections: usize,
    /// How many stanzas were sent.
    sent: usize,
    /// The id of the last request.
    id: String,
    /// The stream has ended by an error.
    failed: bool,
    closed: bool,
    log: Vec<String>,
}

impl World {
    fn run(script: &[Step], cutting: Cutting) -> Result<Vec<String>, String> {
        static START: OnceLock<Instant> = OnceLock::new();
        let account = Address::new("a@example.org").map_err(|error| error.to_string())?;
        let session = Session::new(&account, Zeroizing::new("secret".to_owned()), [7; 32]);
        let session = session.map_err(|account| account.to_string())?;
        let now = *START.get_or_init(Instant::now);
        let mut world = Self {
            stream: Stream::new(session.allow_plain(true).bind2(true), None, now),
            now,
            cutting,
            connections: 1,
            sent: 0,
            id: String::new(),
            failed: false,
            closed: false,
            log: Vec::new(),
        };
        world.write()?;
        for step in script {
            match step {
                Step::Say(said) => world.say(said)?,
                Step::Id => {
                    let id = world.id.clone();
                    world.say(id.as_bytes())?;
                }
                Step::Own(octet) => world = world.own(octet % 8, octet / 8)?,
            }
            // What is sent leaves with whatever comes next.
            if !matches!(step, Step::Own(octet) if octet % 8 == SEND) {
                world.write()?;
            }
        }
        world.end()
    }

    fn say(&mut self, said: &[u8]) -> Result<(), String> {
        for piece in self.cutting.pieces(said) {
            self.stream.handle_bytes(self.now, piece);
            self.read(piece.len())?;
        }
        Ok(())
    }

    fn read(&mut self, piece: usize) -> Result<(), String> {
        loop {
            match self.stream.poll_event(self.now) {
                Ok(None) => break,
                Ok(Some(event)) if self.failed => return Err(format!("{event:?} after an error")),
                Ok(Some(Event::Opened(Opened::Bound { address, lost }))) => {
                    self.check_lost(&lost)?;
                    self.log.push(format!("bound to {address}, lost {lost:?}"));
                }
                Ok(Some(event)) => self.log.push(format!("{event:?}")),
                Err(error) => self.fail(&error)?,
            }
        }
        let limit = match self.failed {
            true => 0,
            false if self.stream.is_open() || self.closed => MAX_STANZA,
            false => MAX_ELEMENT,
        };
        let held = self.stream.buffer().len();
        if held > limit + piece {
            return Err(format!("{held} bytes are held, and {limit} may be"));
        }
        Ok(())
    }

    fn fail(&mut self, error: &ConnectError) -> Result<(), String> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(format!("{error:?} after an error"));
        }
        self.log.push(format!("{error:?}"));
        self.stream.fail(error);
        if self.stream.has_room() || self.stream.poll_timeout().is_some() {
            return Err(format!("it goes on after {error:?}"));
        }
        Ok(())
    }

    /// The stanzas are those of the owner, in the order of their numbers.
    fn check_lost(&self, lost: &[bytes::Bytes]) -> Result<(), String> {
        let lost = lost.iter().map(|stanza| {
            let text = str::from_utf8(stanza).ok()?;
            let number = text.strip_prefix("<message id='")?.strip_suffix("'/>")?;
            number.parse::<usize>().ok()
        });
        let numbers: Option<Vec<_>> = lost.collect();
        let numbers = numbers.ok_or("what is lost was never sent")?;
        let ordered: BTreeSet<_> = numbers.iter().copied().collect();
        if ordered.into_iter().ne(numbers.iter().copied()) || numbers.last() > Some(&self.sent) {
            return Err(format!("{numbers:?} of {} are lost", self.sent));
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), String> {
        let mut all = Vec::new();
        while let Some(octets) = self.stream.poll_transmit(self.now) {
            all.extend_from_slice(octets);
        }
        if all.is_empty() {
            return Ok(());
        }
        let said = String::from_utf8(all).map_err(|_| "not even UTF-8 is sent")?;
        if let Some((_, rest)) = said.rsplit_once("<iq ")
            && let Some((_, rest)) = rest.split_once("id='")
            && let Some((id, _)) = rest.split_once('\'')
        {
            id.clone_into(&mut self.id);
        }
        self.log.push(said);
        Ok(())
    }

    fn own(mut self, act: u8, how: u8) -> Result<Self, String> {
        match act {
            0 => {
                self.now += Duration::from_millis(1 << how);
                if self
                    .stream
                    .poll_timeout()
                    .is_some_and(|due| due <= self.now)
                    && let Err(error) = self.stream.handle_timeout(self.now)
                {
                    self.fail(&error)?;
                }
            }
            SEND => {
                for _ in 0..=how {
                    let number = self.sent + 1;
                    let stanza = format!("<message id='{number}'/>");
                    let write = |out: &mut Vec<u8>| out.extend_from_slice(stanza.as_bytes());
                    if self.sent < MAX_SENT
                        && self.stream.has_room()
                        && self.stream.send_with(write).is_ok()
                    {
                        self.sent = number;
                    }
                }
            }
            2 => {
                self.stream.close(self.now);
                self.closed = true;
            }
            3 | 4 if self.connections < MAX_CONNECTIONS => {
                let mut session = self.stream.into_session(self.now);
                if act == 4 {
                    session.forget();
                }
                self.log
                    .push(format!("{:?}", session.take_location(self.now)));
                self.stream = Stream::new(session, None, self.now);
                self.connections += 1;
                (self.failed, self.closed) = (false, false);
            }
            5 => self.stream.ask_for_software(),
            6 => self.stream.shrink(),
            _ => {}
        }
        Ok(self)
    }

    fn end(mut self) -> Result<Vec<String>, String> {
        let mut session = self.stream.into_session(self.now);
        let lost = session.take_unacknowledged();
        self.stream = Stream::new(session, None, self.now);
        self.check_lost(&lost)?;
        self.log.push(format!("{lost:?}"));
        Ok(self.log)
    }
}
