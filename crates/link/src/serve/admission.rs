//! How a client comes in: its header, who it is, and its resource (RFC 6120 §4, §6 and §7).

use xtls_stanza::{Address, Condition, Element, Kind, StanzaError, ns};

use super::error::ServeError;
use super::event::ServingEvent;
use super::plain::{Login, Refusal};
use crate::features::{BIND, SM};
use crate::flow::Fault;
use crate::header::Header;
use crate::manage::not_found;
use crate::open_tag::{escaped, start};
use crate::random::Random;
use crate::session::normalised;

/// The way of one connection to stanzas, as the server has it.
pub(super) struct Admission {
    domains: Vec<Address>,
    step: Step,
    random: Random,
    /// Our header of this stream is written.
    greeted: bool,
    /// Attempts to log in that were refused.
    refused: u32,
}

enum Step {
    /// The client's first header is due.
    Header,
    /// It may log in at this domain.
    Login { domain: Address },
    /// Its message of SASL PLAIN is due, which it did not send at once.
    Response { domain: Address },
    /// The owner is to say whether it is let in as this account.
    Asked { domain: Address, account: Address },
    /// It may ask for a resource, once it has begun the stream anew.
    Bind { account: Address },
    /// The owner is to say whether it gets what it has asked for by this id.
    Binding { account: Address, id: String },
    /// It is in.
    Done,
}

impl Admission {
    pub(super) fn new(domains: &[Address], seed: [u8; 32]) -> Self {
        Self {
            domains: domains.to_vec(),
            step: Step::Header,
            random: Random::new(seed),
            greeted: false,
            refused: 0,
        }
    }

    /// Whether nothing goes on before the owner has answered.
    pub(super) fn waits(&self) -> bool {
        matches!(self.step, Step::Asked { .. } | Step::Binding { .. })
    }

    /// Writes our header, if it is not written: whatever we say comes behind one.
    pub(super) fn greet(&mut self, domain: Option<&Address>, out: &mut Vec<u8>) {
        if self.greeted {
            return;
        }
        let id = self.random.id();
        let from = domain.map(|domain| ("from", domain.as_str()));
        let rest = [("id", &*id), ("xml:lang", "en"), ("version", "1.0")];
        start(ns::CLIENT, from.into_iter().chain(rest), out);
        self.greeted = true;
    }

    pub(super) fn on_header(
        &mut self,
        header: &Header,
        out: &mut Vec<u8>,
    ) -> Result<(), ServeError> {
        header.check_version().map_err(Fault::from)?;
        let to = header.to().unwrap_or_default();
        let known = |domain: &&Address| is_address(to, domain);
        let Some(domain) = self.domains.iter().find(known).cloned() else {
            let to: String = to.chars().take(MAX_SHOWN).collect();
            let why = format!("there is no domain {to:?} here");
            return Err(ServeError::client("host-unknown", why));
        };
        self.greet(Some(&domain), out);
        let features = match &self.step {
            Step::Bind { account } if account.domain() != domain.as_str() => {
                let why = "the stream goes on at another domain";
                return Err(ServeError::client("host-unknown", why));
            }
            Step::Bind { .. } => format!("<bind xmlns='{BIND}'/><sm xmlns='{SM}'/>"),
            Step::Header
            | Step::Login { .. }
            | Step::Response { .. }
            | Step::Asked { .. }
            | Step::Binding { .. }
            | Step::Done => {
                self.step = Step::Login { domain };
                format!("<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>")
            }
        };
        say(
            out,
            &format!("<stream:features>{features}</stream:features>"),
        );
        Ok(())
    }

    /// Takes a whole element, and writes what is to be sent.
    pub(super) fn on_element(
        &mut self,
        element: &Element,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServingEvent>, ServeError> {
        let name = element.name.as_str();
        let is_stanza = element.ns == *ns::CLIENT && Kind::from_name(name).is_some();
        match &self.step {
            Step::Login { domain } if element.ns == *SASL => {
                let domain = domain.clone();
                self.on_sasl(element, domain, false, out)
            }
            Step::Response { domain } if element.ns == *SASL => {
                let domain = domain.clone();
                self.on_sasl(element, domain, true, out)
            }
            Step::Bind { account } if element.is("iq", ns::CLIENT) => {
                let account = account.clone();
                self.on_request(account, element, out)
            }
            Step::Bind { .. } if element.is("resume", SM) => {
                out.extend_from_slice(&not_found());
                Ok(None)
            }
            Step::Header
            | Step::Login { .. }
            | Step::Response { .. }
            | Step::Asked { .. }
            | Step::Bind { .. }
            | Step::Binding { .. }
            | Step::Done => {
                let name: String = name.chars().take(MAX_SHOWN).collect();
                Err(match is_stanza {
                    true => {
                        let why = format!("<{name}/> before there is a resource");
                        ServeError::client("not-authorized", why)
                    }
                    false => {
                        let why = format!("an unexpected <{name}/>");
                        ServeError::client("unsupported-stanza-type", why)
                    }
                })
            }
        }
    }

    /// `awaited`: the client has begun, and was asked for its message.
    fn on_sasl(
        &mut self,
        element: &Element,
        domain: Address,
        awaited: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServingEvent>, ServeError> {
        let text = element.text();
        let login = match (element.name.as_str(), awaited) {
            ("auth", false) if element.attr("mechanism") != Some("PLAIN") => {
                Err(Refusal::InvalidMechanism)
            }
            ("auth", false) if text.is_empty() => {
                say(out, &format!("<challenge xmlns='{SASL}'/>"));
                self.step = Step::Response { domain };
                return Ok(None);
            }
            ("auth", false) | ("response", true) => Login::read(&text, &domain),
            ("abort", _) => Err(Refusal::Aborted),
            _ => Err(Refusal::MalformedRequest),
        };
        match login {
            Ok(login) => {
                let account = login.account().clone();
                self.step = Step::Asked { domain, account };
                Ok(Some(ServingEvent::Login(login)))
            }
            Err(refusal) => {
                self.step = Step::Login { domain };
                self.on_refused(refusal, out).map(|()| None)
            }
        }
    }

    fn on_refused(&mut self, refusal: Refusal, out: &mut Vec<u8>) -> Result<(), ServeError> {
        self.refused = self.refused.saturating_add(1);
        let condition = refusal.condition();
        say(
            out,
            &format!("<failure xmlns='{SASL}'><{condition}/></failure>"),
        );
        match self.refused >= MAX_REFUSED {
            true => Err(ServeError::NotLoggedIn),
            false => Ok(()),
        }
    }

    /// Whether the owner is to say whether a client is let in.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self.step, Step::Asked { .. })
    }

    /// Lets the client in, which begins the stream anew.
    pub(super) fn accept(&mut self, out: &mut Vec<u8>) {
        if let Step::Asked { account, .. } = &self.step {
            let account = account.clone();
            self.step = Step::Bind { account };
            say(out, &format!("<success xmlns='{SASL}'/>"));
            self.greeted = false;
        }
    }

    /// Does not let it in.
    ///
    /// # Errors
    /// It has tried often enough.
    pub(super) fn reject(&mut self, out: &mut Vec<u8>) -> Result<(), ServeError> {
        let Step::Asked { domain, .. } = &self.step else {
            return Ok(());
        };
        let domain = domain.clone();
        self.step = Step::Login { domain };
        self.on_refused(Refusal::NotAuthorized, out)
    }

    /// A request before there is a resource, which can only be one for it.
    fn on_request(
        &mut self,
        account: Address,
        request: &Element,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServingEvent>, ServeError> {
        let is_set = request.attr("type") == Some("set");
        let bind = request.child("bind", BIND).filter(|_| is_set);
        let id = request.attr("id").filter(|id| !id.is_empty());
        let (Some(bind), Some(id)) = (bind, id) else {
            let why = "<iq/> that binds no resource";
            return Err(ServeError::client("not-authorized", why));
        };
        let wanted = bind.child("resource", BIND).map(Element::text);
        let wanted = wanted.filter(|wanted| !wanted.is_empty());
        let wanted = wanted.unwrap_or_else(|| self.random.id());
        match normalised(&format!("{account}/{wanted}")) {
            Ok(address) => {
                let id = id.to_owned();
                self.step = Step::Binding { account, id };
                Ok(Some(ServingEvent::Bind(address)))
            }
            Err(_) => {
                answer_error(id, Condition::BadRequest, out);
                Ok(None)
            }
        }
    }

    /// Gives the client this address, whatever it has asked for. `false`: it has asked for none.
    pub(super) fn bind(&mut self, address: &Address, out: &mut Vec<u8>) -> bool {
        let Step::Binding { id, .. } = &self.step else {
            return false;
        };
        let (id, jid) = (escaped(id), escaped(address.as_str()));
        say(
            out,
            &format!(
                "<iq type='result' id='{id}'><bind xmlns='{BIND}'><jid>{jid}</jid></bind></iq>"
            ),
        );
        self.step = Step::Done;
        true
    }

    /// Does not give it what it has asked for.
    pub(super) fn refuse(&mut self, condition: Condition, out: &mut Vec<u8>) {
        if let Step::Binding { account, id } = &self.step {
            answer_error(id, condition, out);
            let account = account.clone();
            self.step = Step::Bind { account };
        }
    }
}

fn say(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn answer_error(id: &str, condition: Condition, out: &mut Vec<u8>) {
    say(out, &format!("<iq type='error' id='{}'>", escaped(id)));
    let error = StanzaError::new(condition.default_type(), condition);
    error.to_element().write(ns::CLIENT, out);
    say(out, "</iq>");
}

fn is_address(name: &str, address: &Address) -> bool {
    name == address.as_str() || normalised(name).is_ok_and(|name| name == *address)
}

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// Attempts to log in on one stream.
const MAX_REFUSED: u32 = 3;

/// Characters of a client's names in errors.
const MAX_SHOWN: usize = 128;
