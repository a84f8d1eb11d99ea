//! What is done within a log-in by SASL2 (XEP-0388): a resource is bound (XEP-0386), and a session begun or resumed
//! (XEP-0198 §9). The answers go where those go that stand alone, so they count as these do, and once.

use std::time::Instant;

use xtls_stanza::{Address, Element};

use crate::error::ConnectError;
use crate::manage::{Heard, SM};
use crate::sasl::Profile;
use crate::session::Session;

/// What is asked for within a log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inline {
    resume: bool,
    bind: bool,
    /// Within the binding.
    enable: bool,
}

/// What was done within a log-in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The old session goes on.
    Resumed { acked: u32 },
    /// The session is a new one, under this address.
    Bound(Address),
    /// The log-in alone.
    Nothing,
}

impl Inline {
    /// What this session would have done, of what the stream's features offer to do.
    pub(crate) fn of(features: &Element, now: Instant, session: &Session) -> Self {
        let ns = Profile::Sasl2.ns();
        let offer = features.child(Profile::Sasl2.list(), ns);
        let offer = offer.and_then(|offer| offer.child("inline", ns));
        let bind = offer.and_then(|offer| offer.child("bind", BIND));
        let sm = offer.and_then(|offer| offer.child("sm", SM));
        let old = session.manage().can_resume(now);
        let resume = old && sm.is_some();
        // Bind 2 can't be asked for a resource, only for one that begins with a tag; and a binding ends a session that
        // could be resumed later.
        let bind = bind.filter(|_| session.takes_any_resource() && resume == old);
        let mut more = bind
            .and_then(|bind| bind.child("inline", BIND))
            .into_iter()
            .flat_map(Element::elements);
        let enable = more.any(|more| more.is("feature", BIND) && more.attr("var") == Some(SM));
        Self {
            resume,
            bind: bind.is_some(),
            enable: enable && session.is_managed() && session.manage().would_enable(),
        }
    }

    /// The profile that gets to stanzas sooner: without anything that SASL2 can do within the log-in, what follows is known best
    /// behind the other one.
    pub(crate) fn likes(self) -> Profile {
        match self.resume || self.bind {
            true => Profile::Sasl2,
            false => Profile::Sasl,
        }
    }

    /// Asks.
    pub(crate) fn ask(self, now: Instant, session: &mut Session) -> Vec<u8> {
        let agent = session.agent();
        let out = format!("<user-agent id='{agent}'><software>{NAME}</software></user-agent>");
        let mut out = out.into_bytes();
        if self.resume
            && let Some(octets) = session.manage_mut().resume(now)
        {
            out.extend_from_slice(&octets);
        }
        if self.bind {
            out.extend_from_slice(format!("<bind xmlns='{BIND}'><tag>{NAME}</tag>").as_bytes());
            if self.enable {
                out.extend_from_slice(&crate::manage::enable());
            }
            out.extend_from_slice(b"</bind>");
        }
        out
    }

    /// Takes a success that may be believed. What was not asked for is not looked at.
    pub(crate) fn settle(
        self,
        now: Instant,
        success: &Element,
        session: &mut Session,
    ) -> Result<Done, ConnectError> {
        let id = success.child("authorization-identifier", Profile::Sasl2.ns());
        let id = id.map(Element::text).unwrap_or_default();
        let address = session.own(id.trim());
        let address = address.map_err(|why| ConnectError::Bind { why })?;
        if self.resume {
            let answer = answer(success, "resumed");
            let heard = session.manage_mut().handle(now, &answer);
            if let Heard::Resumed { acked } = heard.map_err(ConnectError::Acknowledgement)? {
                return Ok(Done::Resumed { acked });
            }
        }
        let bound = success.child("bound", BIND).filter(|_| self.bind);
        let Some(bound) = bound else {
            return Ok(Done::Nothing);
        };
        if address.resource().is_none() {
            let why = format!("{address} has no resource");
            return Err(ConnectError::Bind { why });
        }
        session.rebind();
        session.bind(address.clone());
        // It was written before, and it is as if it were written now: nothing that counts has been sent since.
        if self.enable && session.manage_mut().enable().is_some() {
            let heard = session.manage_mut().handle(now, &answer(bound, "enabled"));
            heard.map_err(ConnectError::Acknowledgement)?;
        }
        Ok(Done::Bound(address))
    }
}

/// What is said of stream management; silence is a no.
fn answer(said: &Element, yes: &str) -> Element {
    let answer = said.child(yes, SM).or_else(|| said.child("failed", SM));
    answer
        .cloned()
        .unwrap_or_else(|| Element::new("failed", SM))
}

/// Bind 2 (XEP-0386).
const BIND: &str = "urn:xmpp:bind:0";

/// What we call ourselves: to the server, and at the beginning of a resource that it makes up.
const NAME: &str = "xtls";
