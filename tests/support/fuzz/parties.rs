//! A component's stream with a server that says the input, and a server's end with a client that says it: any cutting gives the same
//! events, octets and end.
//!
//! Octets that no UTF-8 has stand for what somebody of good manners says ([`Party::word`]) and, with the one that follows, for what the
//! stream's owner does ([`OWN`]).

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use xtls_link::{Component, ComponentEvent, Serving, ServingEvent};
use xtls_stanza::{Address, Condition};
use zeroize::Zeroizing;

use super::cutting::Cutting;

/// Stanzas that the owner sends per input.
const MAX_SENT: usize = 400;

/// Bytes that a stream may hold of what is not whole: of a stanza, and of an element before there are any.
const MAX_STANZA: usize = 4 << 20;
const MAX_ELEMENT: usize = 65_536;

/// Behind this the other end waits for an answer.
const LOG_IN: u8 = 0xF8;
const OWN: u8 = 0xFF;

/// What the owner does that is not written at once.
const SEND: u8 = 1;

pub(super) fn check(input: &[u8]) -> Result<(), String> {
    for make in [Party::component, Party::serving] {
        let script = read(input, &make()?);
        let whole = World::run(make()?, &script, Cutting::Whole)?;
        let other = World::run(make()?, &script, Cutting::of(input))?;
        if other != whole {
            return Err(format!("cut, it goes {other:#?}, and whole {whole:#?}"));
        }
    }
    Ok(())
}

/// One thing that happens.
enum Step {
    Say(Vec<u8>),
    Own(u8),
}

fn read(input: &[u8], party: &Party) -> Vec<Step> {
    let (mut steps, mut said) = (Vec::new(), Vec::new());
    let mut rest = input.iter();
    while let Some(&octet) = rest.next() {
        let own = octet == OWN;
        match party.word(octet) {
            _ if own => {}
            Some(word) => said.extend_from_slice(word.as_bytes()),
            None => said.push(octet),
        }
        if own || octet == LOG_IN {
            steps.push(Step::Say(std::mem::take(&mut said)));
        }
        if own {
            steps.push(Step::Own(rest.next().copied().unwrap_or_default()));
        }
    }
    steps.push(Step::Say(said));
    steps
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

enum Party {
    Component(Box<Component>),
    Serving(Box<Serving>),
}

impl Party {
    fn component() -> Result<Self, String> {
        let domain = Address::new("c.example.org").map_err(|error| error.to_string())?;
        let secret = Zeroizing::new("secret".to_owned());
        let component = Component::new(&domain, secret, start());
        Ok(Self::Component(Box::new(
            component.map_err(|domain| domain.to_string())?,
        )))
    }

    fn serving() -> Result<Self, String> {
        let domain = Address::new("example.org").map_err(|error| error.to_string())?;
        let serving = Serving::new(&[domain], [7; 32], start());
        Ok(Self::Serving(Box::new(serving)))
    }

    fn word(&self, octet: u8) -> Option<&'static str> {
        Some(match (self, octet) {
            (Self::Component(_), 0xF5) => {
                "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
            }
            (Self::Component(_), LOG_IN) => "<handshake/>",
            (Self::Component(_), 0xF9) => {
                "<iq type='get' from='c.example.org' to='c.example.org' id='xtls-link-alive-1'/>"
            }
            (Self::Component(_), 0xFA) => {
                "<message from='a@b' to='c.example.org'><body xmlns='jabber:component:accept'>a</body></message>"
            }
            (Self::Serving(_), 0xF5) => {
                "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>"
            }
            (Self::Serving(_), LOG_IN) => {
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAc2VjcmV0</auth>"
            }
            (Self::Serving(_), 0xF9) => {
                "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
            }
            (Self::Serving(_), 0xFA) => "<enable xmlns='urn:xmpp:sm:3'/>",
            (Self::Serving(_), 0xFB) => "<a xmlns='urn:xmpp:sm:3' h='1'/>",
            (_, 0xFC) => "<r xmlns='urn:xmpp:sm:3'/>",
            (_, 0xFD) => "</stream:stream>",
            _ => return None,
        })
    }

    /// The next event as text, and what the owner does about it; an error is the last.
    fn next(&mut self, now: Instant) -> Result<Option<String>, String> {
        match self {
            Self::Component(component) => {
                let event = component
                    .poll_event()
                    .map_err(|error| format!("{error:?}"))?;
                if let Some(ComponentEvent::Stanza(octets)) = &event {
                    let read = xtls_stanza::Element::read(octets, "");
                    read.map_err(|error| format!("{error} in a stanza of ours"))?;
                }
                Ok(event.map(|event| format!("{event:?}")))
            }
            Self::Serving(serving) => {
                let event = serving
                    .poll_event(now)
                    .map_err(|error| format!("{error:?}"))?;
                let Some(event) = event else { return Ok(None) };
                let text = format!("{event:?}");
                match event {
                    ServingEvent::Login(login) => {
                        let accept = login.is_password("secret");
                        serving
                            .log_in(accept)
                            .map_err(|error| format!("{error:?}"))?;
                    }
                    ServingEvent::Bind(address) => match address.resource() {
                        Some("x") => serving.refuse(Condition::Conflict),
                        _ => serving.bind(&address),
                    },
                    _ => {}
                }
                Ok(Some(text))
            }
        }
    }

    fn hear(&mut self, now: Instant, octets: &[u8]) {
        match self {
            Self::Component(component) => component.handle_bytes(now, octets),
            Self::Serving(serving) => serving.handle_bytes(octets),
        }
    }

    /// Bytes that are held, and whether they may be a stanza.
    fn held(&mut self) -> (usize, bool) {
        match self {
            Self::Component(component) => (component.buffer().len(), component.is_open()),
            Self::Serving(serving) => (serving.buffer().len(), serving.is_open()),
        }
    }

    fn transmit(&mut self, now: Instant) -> Option<Vec<u8>> {
        let octets = match self {
            Self::Component(component) => component.poll_transmit(now),
            Self::Serving(serving) => serving.poll_transmit(now),
        };
        octets.map(<[u8]>::to_vec)
    }

    fn timeout(&mut self, now: Instant) -> Result<(), String> {
        match self {
            Self::Component(component) => match component.poll_timeout() {
                Some(due) if due <= now => component
                    .handle_timeout(now)
                    .map_err(|error| format!("{error:?}")),
                _ => Ok(()),
            },
            Self::Serving(serving) => match serving.poll_timeout() {
                Some(due) if due <= now => serving
                    .handle_timeout(now)
                    .map_err(|error| format!("{error:?}")),
                _ => Ok(()),
            },
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Component(component) => {
                !component.has_room() && component.poll_timeout().is_none()
            }
            Self::Serving(serving) => !serving.has_room() && serving.poll_timeout().is_none(),
        }
    }

    fn send(&mut self, stanza: &str) -> bool {
        let write = |out: &mut Vec<u8>| out.extend_from_slice(stanza.as_bytes());
        match self {
            Self::Component(component) => {
                component.has_room() && component.send_with(write).is_ok()
            }
            Self::Serving(serving) => serving.has_room() && serving.send_with(write).is_ok(),
        }
    }

    fn own(&mut self, now: Instant, act: u8) {
        match (self, act) {
            (Self::Component(component), 2) => component.close(now),
            (Self::Serving(serving), 2) => serving.close(now),
            (Self::Serving(serving), 3) => serving.end("system-shutdown"),
            (Self::Component(component), 4) => component.shrink(),
            (Self::Serving(serving), 4) => serving.shrink(),
            _ => {}
        }
    }
}

/// A stream, its owner, and what they have seen.
struct World {
    party: Party,
    now: Instant,
    cutting: Cutting,
    sent: usize,
    /// The stream has ended by an error.
    failed: bool,
    /// Its owner has ended it.
    closed: bool,
    log: Vec<String>,
}

impl World {
    fn run(party: Party, script: &[Step], cutting: Cutting) -> Result<Vec<String>, String> {
        let mut world = Self {
            party,
            now: start(),
            cutting,
            sent: 0,
            failed: false,
            closed: false,
            log: Vec::new(),
        };
        world.write()?;
        for step in script {
            match step {
                Step::Say(said) => world.say(said)?,
                Step::Own(octet) => world.own(octet % 8, octet / 8)?,
            }
            // What is sent leaves with whatever comes next.
            if !matches!(step, Step::Own(octet) if octet % 8 == SEND) {
                world.write()?;
            }
        }
        Ok(world.log)
    }

    fn say(&mut self, said: &[u8]) -> Result<(), String> {
        for piece in self.cutting.pieces(said) {
            self.party.hear(self.now, piece);
            loop {
                match self.party.next(self.now) {
                    Ok(None) => break,
                    Ok(Some(event)) if self.failed => {
                        return Err(format!("{event} after an error"));
                    }
                    Ok(Some(event)) => self.log.push(event),
                    Err(error) => self.fail(error)?,
                }
            }
            let (held, open) = self.party.held();
            let limit = match self.failed {
                true => 0,
                false if open || self.closed => MAX_STANZA,
                false => MAX_ELEMENT,
            };
            if held > limit + piece.len() {
                return Err(format!("{held} bytes are held, and {limit} may be"));
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: String) -> Result<(), String> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(format!("{error} after an error"));
        }
        if !self.party.is_over() {
            return Err(format!("it goes on after {error}"));
        }
        self.log.push(error);
        Ok(())
    }

    fn write(&mut self) -> Result<(), String> {
        let mut all = Vec::new();
        while let Some(octets) = self.party.transmit(self.now) {
            all.extend_from_slice(&octets);
        }
        if !all.is_empty() {
            let said = String::from_utf8(all).map_err(|_| "not even UTF-8 is sent")?;
            self.log.push(said);
        }
        Ok(())
    }

    fn own(&mut self, act: u8, how: u8) -> Result<(), String> {
        match act {
            0 => {
                self.now += Duration::from_millis(1 << how);
                if let Err(error) = self.party.timeout(self.now) {
                    self.fail(error)?;
                }
            }
            SEND => {
                for _ in 0..=how {
                    let id = self.sent + 1;
                    let stanza = format!("<message from='c.example.org' to='a@b' id='{id}'/>");
                    if self.sent < MAX_SENT && self.party.send(&stanza) {
                        self.sent = id;
                    }
                }
            }
            _ => {
                self.closed |= matches!(act, 2 | 3);
                self.party.own(self.now, act);
            }
        }
        Ok(())
    }
}
