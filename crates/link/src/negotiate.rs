//! What a client and its server say to each other before stanzas pass (RFC 6120 §6 and §7, XEP-0198 §3 and §5).

use std::time::Instant;

use bytes::Bytes;
use xtls_stanza::{Address, Condition, Element, Kind, Stanza, StanzaError};

use crate::error::ConnectError;
use crate::features::{BIND, Features, SESSION};
use crate::header::{Header, HeaderError};
use crate::manage::{Heard, SM};
use crate::open_tag::escaped;
use crate::requests::Purpose;
use crate::sasl::{Exchange, Next, Profile, SaslError};
use crate::sasl2::{Done, Inline};
use crate::scram::{Exporter, Job, Keys};
use crate::session::{Session, Software};

/// The way of one connection from TLS to stanzas.
pub(crate) struct Negotiation {
    step: Step,
    exporter: Option<Exporter>,
    /// What was offered after the log-in.
    features: Features,
}

enum Step {
    /// The features before the log-in are due.
    Login,
    Sasl {
        exchange: Box<Exchange>,
        /// What SASL2 does within the log-in.
        inline: Option<Inline>,
    },
    /// Those after it.
    Bind,
    /// Those after it are due, and this address is bound.
    Bound(Address),
    Resuming,
    /// The answer to this request is due.
    Binding {
        id: String,
        /// The server chooses the resource, because the one that was asked for is in use.
        any: bool,
    },
    Open,
}

/// What an element has led to.
#[derive(Debug)]
pub(crate) enum Progress {
    Wait,
    /// The log-in is over, and the stream begins anew.
    Restart,
    /// The log-in is over, and the stream goes on; perhaps there are stanzas already.
    LoggedIn(Option<Opened>),
    Derive(Job),
    Open(Opened),
}

/// Stanzas pass.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened {
    /// Under this address, and nothing of an earlier session goes on.
    Bound {
        /// The full address.
        address: Address,
        /// The octets of stanzas of an earlier session that were never acknowledged, in order: the server may have delivered
        /// them, or not.
        lost: Vec<Bytes>,
    },
    /// The session goes on where it was, and nothing is lost.
    Resumed {
        /// How many stanzas the server had handled that it had not acknowledged before.
        acked: u32,
    },
}

impl Negotiation {
    pub(crate) fn new(exporter: Option<Exporter>) -> Self {
        Self {
            step: Step::Login,
            exporter,
            features: Features::default(),
        }
    }

    /// The longest stanza in bytes that the server says it takes (XEP-0478).
    pub(crate) fn stanza_limit(&self) -> Option<usize> {
        self.features.stanza_limit
    }

    pub(crate) fn on_header(&self, header: &Header, session: &Session) -> Result<(), ConnectError> {
        let checked = header.check_version().and_then(|()| match header.from() {
            Some(from) if !session.is_domain(from) => Err(HeaderError::From {
                from: from.chars().take(MAX_SHOWN).collect(),
            }),
            Some(_) | None => Ok(()),
        });
        checked.map_err(|why| ConnectError::Header {
            during: self.during(),
            why,
        })
    }

    /// Takes a whole element, and writes what is to be sent.
    pub(crate) fn on_element(
        &mut self,
        now: Instant,
        element: &Element,
        octets: &Bytes,
        session: &mut Session,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ConnectError> {
        match &mut self.step {
            Step::Login => self.on_login(now, element, session, out),
            Step::Sasl { exchange, inline } => {
                let next = exchange.handle(element, session.memory());
                let next = next.map_err(|error| {
                    // XEP-0388 §2.6.2: nothing is done within a log-in that fails.
                    session.manage_mut().withdraw();
                    refused(error, session)
                });
                match next? {
                    Next::Send(octets) => {
                        out.extend_from_slice(octets.as_ref());
                        Ok(Progress::Wait)
                    }
                    Next::Derive(job) => Ok(Progress::Derive(job)),
                    Next::LoggedIn => match *inline {
                        None => {
                            self.step = Step::Bind;
                            Ok(Progress::Restart)
                        }
                        Some(inline) => {
                            let done = inline.settle(now, element, session)?;
                            Ok(Progress::LoggedIn(self.on_done(done, session)))
                        }
                    },
                }
            }
            Step::Bind => {
                let features = Features::read(element).ok_or_else(|| unexpected(AFTER, element))?;
                self.on_features(now, features, session, out)
            }
            Step::Bound(address) => {
                let address = address.clone();
                match Features::read(element) {
                    Some(features) => {
                        self.learn(features, session);
                        Ok(self.open(address, session, out))
                    }
                    // The session may be on.
                    None if element.ns == SM => {
                        let heard = session.manage_mut().handle(now, element);
                        heard.map_err(ConnectError::Acknowledgement)?;
                        Ok(Progress::Wait)
                    }
                    None => Err(unexpected(AFTER, element)),
                }
            }
            Step::Resuming => {
                let heard = session.manage_mut().handle(now, element);
                match heard.map_err(ConnectError::Acknowledgement)? {
                    Heard::Resumed { acked } => {
                        self.step = Step::Open;
                        Ok(Progress::Open(Opened::Resumed { acked }))
                    }
                    Heard::NotResumed => {
                        self.bind(session, out);
                        Ok(Progress::Wait)
                    }
                    Heard::Enabled { .. } | Heard::NotEnabled | Heard::Nothing => {
                        Err(unexpected(AFTER, element))
                    }
                }
            }
            Step::Binding { id, any } => match bound(octets, id, session) {
                None => Ok(Progress::Wait),
                Some(Ok(address)) => Ok(self.on_bound(address, session, out)),
                Some(Err(Refused::Conflict)) if session.bound().is_some() && !*any => {
                    // Our old session may still have it. Any other is as good to go on with.
                    let id = session.fresh_id();
                    ask_for(&id, None, out);
                    self.step = Step::Binding { id, any: true };
                    Ok(Progress::Wait)
                }
                Some(Err(Refused::Conflict)) => Err(ConnectError::Conflict {
                    address: wanted(session),
                }),
                Some(Err(Refused::Other(why))) => Err(ConnectError::Bind { why }),
                Some(Err(Refused::Busy)) => Err(ConnectError::Busy),
            },
            Step::Open => Ok(Progress::Wait),
        }
    }

    /// Takes what a job of ours gave.
    pub(crate) fn on_keys(&mut self, keys: Keys, session: &mut Session, out: &mut Vec<u8>) {
        if let Step::Sasl { exchange, .. } = &mut self.step
            && let Some(octets) = exchange.handle_keys(keys, session.memory())
        {
            out.extend_from_slice(octets.as_ref());
        }
    }

    pub(crate) fn during(&self) -> &'static str {
        match self.step {
            Step::Login | Step::Sasl { .. } => LOGIN,
            Step::Bind | Step::Bound(_) | Step::Resuming | Step::Binding { .. } | Step::Open => {
                AFTER
            }
        }
    }

    /// The connection is gone.
    pub(crate) fn on_disconnected(&self, session: &mut Session) {
        match &self.step {
            Step::Sasl {
                exchange,
                inline: Some(_),
            } if !exchange.may_be_in() => session.manage_mut().withdraw(),
            // The owner has not heard of this binding, and does not know what it took the place of.
            Step::Bound(_) => session.forget(),
            Step::Login
            | Step::Sasl { .. }
            | Step::Bind
            | Step::Resuming
            | Step::Binding { .. }
            | Step::Open => {}
        }
    }

    fn on_login(
        &mut self,
        now: Instant,
        element: &Element,
        session: &mut Session,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ConnectError> {
        if Features::read(element).is_none() {
            return Err(unexpected(LOGIN, element));
        }
        let exporter = self.exporter.take();
        let inline = Inline::of(element, now, session);
        let (credentials, memory) = session.credentials();
        let choice = Exchange::choose(element, credentials, exporter, memory, inline.likes());
        let choice = choice.map_err(|error| refused(error, session))?;
        let inline = match choice.profile {
            Profile::Sasl => None,
            Profile::Sasl2 => Some(inline),
        };
        let asked = inline.map(|inline| inline.ask(now, session));
        let random = session.nonce();
        let (credentials, _) = session.credentials();
        let asked = asked.unwrap_or_default();
        let (exchange, octets) = Exchange::start(choice, credentials, &random, &asked);
        out.extend_from_slice(octets.as_ref());
        let exchange = Box::new(exchange);
        self.step = Step::Sasl { exchange, inline };
        Ok(Progress::Wait)
    }

    /// Something was done within the log-in; what is not done yet is done as ever.
    fn on_done(&mut self, done: Done, session: &Session) -> Option<Opened> {
        let (step, opened) = match done {
            Done::Resumed { acked } => {
                // XEP-0198 §9.2: no features follow, so those hold that were offered when it was bound.
                self.features.stanza_limit = session.stanza_limit();
                (Step::Open, Some(Opened::Resumed { acked }))
            }
            Done::Bound(address) => (Step::Bound(address), None),
            Done::Nothing => (Step::Bind, None),
        };
        self.step = step;
        opened
    }

    fn learn(&mut self, features: Features, session: &mut Session) {
        self.features = features;
        self.features.sm &= session.is_managed();
        session.limit_stanzas(self.features.stanza_limit);
        match self.features.software.as_deref() {
            Some(PROSODY) => session.learn(Software::Prosody),
            Some(_) => session.learn(Software::Other),
            None => {}
        }
    }

    fn on_features(
        &mut self,
        now: Instant,
        features: Features,
        session: &mut Session,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ConnectError> {
        self.learn(features, session);
        // Before a binding, which would end the old session.
        let resume = self
            .features
            .sm
            .then(|| session.manage_mut().resume(now))
            .flatten();
        if let Some(octets) = resume {
            out.extend_from_slice(&octets);
            self.step = Step::Resuming;
            return Ok(Progress::Wait);
        }
        if !self.features.bind {
            return Err(ConnectError::protocol(
                AFTER,
                "it offers no resource binding",
            ));
        }
        self.bind(session, out);
        Ok(Progress::Wait)
    }

    fn bind(&mut self, session: &mut Session, out: &mut Vec<u8>) {
        let id = session.fresh_id();
        ask_for(&id, session.wanted_resource(), out);
        self.step = Step::Binding { id, any: false };
    }

    fn on_bound(&mut self, address: Address, session: &mut Session, out: &mut Vec<u8>) -> Progress {
        session.rebind();
        session.bind(address.clone());
        if self.features.session {
            let id = session.fresh_id();
            let request = format!("<iq type='set' id='{id}'><session xmlns='{SESSION}'/></iq>");
            out.extend_from_slice(request.as_bytes());
            session.asked(id, Purpose::Session);
        }
        self.open(address, session, out)
    }

    fn open(&mut self, address: Address, session: &mut Session, out: &mut Vec<u8>) -> Progress {
        let lost = session.take_lost();
        if self.features.sm
            && let Some(octets) = session.manage_mut().enable()
        {
            out.extend_from_slice(&octets);
        }
        self.step = Step::Open;
        Progress::Open(Opened::Bound { address, lost })
    }
}

enum Refused {
    Conflict,
    Busy,
    Other(String),
}

fn ask_for(id: &str, resource: Option<&str>, out: &mut Vec<u8>) {
    let resource = resource.map_or_else(String::new, |resource| {
        format!("<resource>{}</resource>", escaped(resource))
    });
    let request = format!("<iq type='set' id='{id}'><bind xmlns='{BIND}'>{resource}</bind></iq>");
    out.extend_from_slice(request.as_bytes());
}

/// What a stanza says about the request of this id; `None`: it is about something else.
fn bound(octets: &Bytes, id: &str, session: &Session) -> Option<Result<Address, Refused>> {
    let stanza = Stanza::read(octets).ok()?;
    if stanza.kind != Kind::Iq || stanza.id.as_deref() != Some(id) || !session.is_of_server(&stanza)
    {
        return None;
    }
    let elements = stanza.elements().unwrap_or_default();
    match stanza.type_.as_deref()? {
        "result" => {
            let bind = elements.iter().find(|child| child.is("bind", BIND));
            let jid = bind
                .and_then(|bind| bind.child("jid", BIND))
                .map(Element::text);
            Some(address(jid.as_deref().unwrap_or_default().trim(), session))
        }
        "error" => {
            let error = elements.iter().find(|child| child.name == "error");
            let Some(error) = error.map(StanzaError::read) else {
                return Some(Err(Refused::Other(
                    "it refuses, and does not say why".to_owned(),
                )));
            };
            Some(Err(if error.condition == Condition::Conflict {
                Refused::Conflict
            } else if error.condition == Condition::ResourceConstraint {
                Refused::Busy
            } else {
                Refused::Other(error.to_string())
            }))
        }
        _ => None,
    }
}

/// The address that is bound: a full one, and of our account.
fn address(jid: &str, session: &Session) -> Result<Address, Refused> {
    let address = session.own(jid).map_err(Refused::Other)?;
    if address.resource().is_none() {
        return Err(Refused::Other(format!("{address} has no resource")));
    }
    Ok(address)
}

fn wanted(session: &Session) -> String {
    match session.wanted_resource() {
        Some(resource) => format!("{}/{resource}", session.account()),
        None => session.account().to_string(),
    }
}

fn refused(error: SaslError, session: &Session) -> ConnectError {
    let domain = session.domain().to_owned();
    match error {
        SaslError::NoMechanism { offered } => ConnectError::NoMechanism { domain, offered },
        SaslError::Unbound => ConnectError::Weaker {
            domain,
            before: "bound to the TLS connection".to_owned(),
        },
        SaslError::Weaker => ConnectError::Weaker {
            domain,
            before: "with a stronger hash".to_owned(),
        },
        SaslError::Tampered => ConnectError::Tampered { domain },
        SaslError::Refused { condition, text } => ConnectError::Authentication {
            account: session.account().to_string(),
            condition,
            text,
        },
        SaslError::Impostor(why) => ConnectError::Impostor {
            domain,
            why: why.to_string(),
        },
        SaslError::Tasks { tasks } => ConnectError::Tasks { domain, tasks },
        error @ (SaslError::Challenge(_) | SaslError::Base64(_) | SaslError::Unexpected { .. }) => {
            ConnectError::protocol(LOGIN, error)
        }
    }
}

fn unexpected(during: &'static str, element: &Element) -> ConnectError {
    let name: String = element.name.chars().take(MAX_SHOWN).collect();
    ConnectError::protocol(during, format_args!("an unexpected <{name}/>"))
}

pub(crate) const CLIENT: &str = "jabber:client";

/// The node of the capabilities that Prosody's mod_disco puts into each stream's features.
const PROSODY: &str = "http://prosody.im";

const LOGIN: &str = "while logging in";
const AFTER: &str = "after logging in";

/// Characters of a server's names in errors.
const MAX_SHOWN: usize = 128;
