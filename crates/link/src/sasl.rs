//! Logging in on a stream (RFC 6120 §6): which octets to send, and what the server's elements mean.

mod error;
mod profile;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use bytes::Bytes;
use xtls_stanza::Element;
use xtls_stanza::base64::{self, Whitespace};
use zeroize::Zeroizing;

pub(crate) use self::error::SaslError;
pub(crate) use self::profile::{Octets, Profile};
use crate::mechanism::{Choice, Means, Mechanism, Seen, Unfit, choose_profile};
use crate::scram::{Challenged, Exporter, First, Job, KeyCache, Keys, NoProof, Proving, nonce};

/// Who logs in, and by what.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// The bare address.
    pub(crate) account: String,
    /// Its part before the `@`.
    pub(crate) local: String,
    pub(crate) password: Option<Zeroizing<String>>,
    /// A certificate was presented in the TLS handshake.
    pub(crate) certificate: bool,
    /// The server may see the password.
    pub(crate) allow_plain: bool,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("account", &self.account)
            .field("certificate", &self.certificate)
            .field("allow_plain", &self.allow_plain)
            .finish_non_exhaustive()
    }
}

/// What the log-ins of a link leave to the next one, which has the same password.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    seen: Seen,
    keys: KeyCache,
    /// By which the last one went.
    mechanism: Option<&'static str>,
}

impl Memory {
    pub(crate) fn mechanism(&self) -> Option<&'static str> {
        self.mechanism
    }
}

/// What comes next in a log-in.
#[derive(Debug)]
pub(crate) enum Next {
    Send(Octets),
    /// The keys are to be derived, and given to [`Exchange::handle_keys`].
    Derive(Job),
    /// The server let us in, and proved itself where it can.
    LoggedIn,
}

/// One log-in, inside TLS.
pub(crate) struct Exchange {
    profile: Profile,
    mechanism: &'static str,
    /// What is known of the server once it has let us in.
    shows: Seen,
    state: State,
}

enum State {
    /// EXTERNAL or PLAIN: the server has nothing to prove.
    Unproven,
    /// SCRAM: the server's first message is due.
    First {
        scram: First,
        offer: Vec<u8>,
        password: Zeroizing<String>,
    },
    Deriving(Challenged),
    /// SCRAM: the server's proof is due.
    Proving(Proving),
    /// SCRAM: it came before the success.
    Proven,
    Over,
}

impl Exchange {
    /// How to log in by what the stream's features offer.
    pub(crate) fn choose(
        features: &Element,
        credentials: &Credentials,
        exporter: Option<Exporter>,
        memory: &Memory,
        likes: Profile,
    ) -> Result<Choice, SaslError> {
        let means = Means {
            certificate: credentials.certificate,
            password: credentials.password.is_some(),
            plain: credentials.allow_plain,
            exporter,
        };
        choose_profile(features, &means, memory.seen, likes).map_err(|unfit| match unfit {
            Unfit::Nothing => SaslError::no_mechanism(features),
            Unfit::Unbound => SaslError::Unbound,
            Unfit::Weaker => SaslError::Weaker,
        })
    }

    /// Begins; also gives what to send. `random` is new each time, and nobody else knows it before. `inline` is what SASL2 asks
    /// for within the log-in, as XML.
    pub(crate) fn start(
        choice: Choice,
        credentials: &Credentials,
        random: &[u8; 32],
        inline: &[u8],
    ) -> (Self, Octets) {
        let Choice {
            profile,
            mechanism,
            offer,
        } = choice;
        let name = mechanism.name();
        let shows = mechanism.shows();
        let password = credentials.password.as_ref();
        let password = password.map_or_else(Zeroizing::default, |text| prepared(text));
        let first = |message: &[u8]| profile.first(name, message, inline);
        let (state, octets) = match mechanism {
            Mechanism::External => (State::Unproven, first(credentials.account.as_bytes())),
            Mechanism::Plain => {
                let message = ["\0", &credentials.local, "\0", &password].concat();
                let message = Zeroizing::new(message);
                (State::Unproven, first(message.as_bytes()))
            }
            Mechanism::Scram { hash, binding } => {
                let scram = First::new(hash, binding, &credentials.local, nonce(random));
                let octets = first(scram.message().as_bytes());
                let offer = offer.to_hash();
                let state = State::First {
                    scram,
                    offer,
                    password,
                };
                (state, octets)
            }
        };
        let exchange = Self {
            profile,
            mechanism: name,
            shows,
            state,
        };
        (exchange, octets)
    }

    /// Whether the server may have let us in, for all that we have sent.
    pub(crate) fn may_be_in(&self) -> bool {
        match &self.state {
            State::First { .. } | State::Deriving(_) => false,
            State::Unproven | State::Proving(_) | State::Proven | State::Over => true,
        }
    }

    /// Takes the next element of the server. After an error it is over.
    pub(crate) fn handle(
        &mut self,
        element: &Element,
        memory: &mut Memory,
    ) -> Result<Next, SaslError> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let profile = self.profile;
        if element.is("failure", profile.ns()) {
            return Err(SaslError::refused(element));
        }
        if element.is("success", profile.ns()) {
            succeed(state, profile, element)?;
            memory.seen.learn(self.shows);
            memory.mechanism = Some(self.mechanism);
            return Ok(Next::LoggedIn);
        }
        if profile == Profile::Sasl2 && element.is("continue", profile.ns()) {
            return Err(SaslError::tasks(element));
        }
        if !element.is("challenge", profile.ns()) {
            return Err(SaslError::unexpected(element));
        }
        match state {
            State::First {
                scram,
                offer,
                password,
            } => {
                let challenged = scram.handle(&decode(&element.text())?, &offer)?;
                if let Some(keys) = memory.keys.find(challenged.recipe()) {
                    return Ok(Next::Send(self.prove(challenged, keys)));
                }
                let job = Job::new(challenged.recipe().clone(), password);
                self.state = State::Deriving(challenged);
                Ok(Next::Derive(job))
            }
            // A server may send its proof in a challenge of its own.
            State::Proving(proving) => {
                proving.check(&decode(&element.text())?)?;
                self.state = State::Proven;
                Ok(Next::Send(profile.response(b"")))
            }
            State::Unproven | State::Deriving(_) | State::Proven | State::Over => {
                Err(SaslError::unexpected(element))
            }
        }
    }

    /// Takes what a [`Job`] gave; what to send then. `None`: nobody waits for these keys any more.
    pub(crate) fn handle_keys(&mut self, keys: Keys, memory: &mut Memory) -> Option<Octets> {
        match &self.state {
            State::Deriving(challenged) if keys.are_of(challenged.recipe()) => {}
            State::Unproven
            | State::First { .. }
            | State::Deriving(_)
            | State::Proving(_)
            | State::Proven
            | State::Over => return None,
        }
        let State::Deriving(challenged) = std::mem::replace(&mut self.state, State::Over) else {
            return None;
        };
        let response = self.prove(challenged, &keys);
        memory.keys.keep(keys);
        Some(response)
    }

    fn prove(&mut self, challenged: Challenged, keys: &Keys) -> Octets {
        let (proving, message) = challenged.prove(keys);
        self.state = State::Proving(proving);
        self.profile.response(message.as_bytes())
    }
}

/// Whether a success may be believed.
fn succeed(state: State, profile: Profile, success: &Element) -> Result<(), SaslError> {
    match state {
        State::Unproven | State::Proven => Ok(()),
        State::Proving(proving) => Ok(proving.check(&decode(&profile.proof(success))?)?),
        State::First { .. } | State::Deriving(_) => Err(SaslError::Impostor(NoProof::Missing)),
        State::Over => Err(SaslError::unexpected(success)),
    }
}

/// What an element says; `=` alone is the empty text (RFC 6120 §6.4.2).
fn decode(text: &str) -> Result<Bytes, SaslError> {
    match text.trim_matches([' ', '\t', '\r', '\n']) {
        "" | "=" => Ok(Bytes::new()),
        text => base64::decode(text, Whitespace::Refuse).map_err(SaslError::Base64),
    }
}

/// SASLprep (RFC 4013). Text that it has no answer for, younger than its Unicode, goes as it is.
fn prepared(password: &str) -> Zeroizing<String> {
    let text = stringprep::saslprep(password);
    Zeroizing::new(text.map_or_else(|_| password.to_owned(), |text| text.into_owned()))
}
