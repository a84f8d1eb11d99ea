//! Verification: two people find out whether anyone is between them, without reading 64 digits aloud.
//!
//! A [`Run`] is one attempt, by one of two methods:
//!
//! - **Words**: both ends show four short words, and the people confirm that they are the same. Neither end, and nobody between
//!   them, knows the words before it can no more choose them: the client commits to its nonce before it sees the server's.
//! - **Code**: both people enter one code that they have agreed on elsewhere. SPAKE2 shows whether the codes are the same and
//!   nothing more: an attacker who doesn't know the code gets one guess per run, and a wrong one is noticed.
//!
//! Everything is bound to the [`Context`]: a secret of this TLS connection (so that a man in the middle, who has two
//! connections, has two contexts), both keys and both bare JIDs. Without I/O and clock; randomness is passed in. How often it
//! may be tried is for [`trust::Store::attempt`](crate::trust::Store::attempt) to say, before each run.

mod code;
mod context;
mod words;

use std::fmt;

use zeroize::Zeroizing;

use crate::role::Role;
pub use code::{Code, CodeError, MAX_CODE, MIN_CODE};
pub use context::Context;
pub use words::ShortWords;

/// The label of the exporter (RFC 5705 §4: no registration is needed for this prefix); its context is the method's name.
pub(crate) const LABEL: &str = "EXPERIMENTAL-xtls-verify-1";

/// How two people compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Four words that both ends show.
    Words,
    /// One code that both people enter.
    Code,
}

impl Method {
    /// As it stands on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Code => "code",
        }
    }
}

impl From<Method> for crate::trust::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Words => Self::Words,
            Method::Code => Self::Code,
        }
    }
}

/// What the two ends of a run send to each other. `Debug` shows the kind only.
#[derive(Clone, PartialEq, Eq)]
pub enum Message {
    /// The client's promise of its nonce.
    Commit([u8; 32]),
    /// The server's nonce.
    Nonce([u8; 32]),
    /// The client's nonce.
    Reveal([u8; 32]),
    /// A side of the SPAKE2 exchange.
    Pake([u8; 33]),
    /// The proof that this end has seen the same.
    Confirm([u8; 32]),
}

impl Message {
    /// The kind, as it stands on the wire.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Commit(_) => "commit",
            Self::Nonce(_) => "nonce",
            Self::Reveal(_) => "reveal",
            Self::Pake(_) => "pake",
            Self::Confirm(_) => "confirm",
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&self.name()).finish()
    }
}

/// Why a run has failed. It cannot be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A message that is not due.
    #[error("a <{0}/> came that was not due")]
    Order(&'static str),
    /// The revealed nonce is not the promised one.
    #[error("the peer revealed another nonce than it had promised")]
    Commitment,
    /// No element of the group, or our own side reflected.
    #[error("the peer's side of the exchange is none")]
    Exchange,
    /// The proof does not match: another code, or someone in between.
    #[error("the peer has not seen the same")]
    Confirmation,
}

/// One attempt to verify. `Debug` shows neither words nor code.
#[derive(Debug)]
pub struct Run(Kind);

#[derive(Debug)]
enum Kind {
    Words(words::Words),
    Code(code::Exchange),
}

impl Run {
    /// Begins to compare words. `nonce` is random, secret and never used twice. A client's first message is due at once.
    #[must_use]
    pub fn words(context: Context, nonce: Zeroizing<[u8; 32]>) -> (Self, Option<Message>) {
        let (words, first) = words::Words::new(context, nonce);
        (Self(Kind::Words(words)), first)
    }

    /// Begins to compare a code. `seed` is random, secret and never used twice. Both ends have a first message.
    #[must_use]
    pub fn code(
        context: Context,
        code: &Code,
        seed: &Zeroizing<[u8; 32]>,
    ) -> (Self, Option<Message>) {
        let (exchange, first) = code::Exchange::new(context, code, seed);
        (Self(Kind::Code(exchange)), Some(first))
    }

    /// How.
    #[must_use]
    pub fn method(&self) -> Method {
        match self.0 {
            Kind::Words(_) => Method::Words,
            Kind::Code(_) => Method::Code,
        }
    }

    /// Takes the peer's message and gives our next one, if one is due.
    ///
    /// # Errors
    /// See [`Fault`]: the run is over, and has failed.
    pub fn handle(&mut self, message: &Message) -> Result<Option<Message>, Fault> {
        match &mut self.0 {
            Kind::Words(words) => words.handle(message),
            Kind::Code(exchange) => exchange.handle(message),
        }
    }

    /// The words to show, once there are any. They never change.
    #[must_use]
    pub fn short_words(&self) -> Option<ShortWords> {
        match &self.0 {
            Kind::Words(words) => words.short_words(),
            Kind::Code(_) => None,
        }
    }

    /// The person has compared the words and confirms that they are the same. Returns the message for the peer; `None`
    /// when there is nothing to agree to.
    pub fn agree(&mut self) -> Option<Message> {
        match &mut self.0 {
            Kind::Words(words) => words.agree(),
            Kind::Code(_) => None,
        }
    }

    /// Whether both ends have seen the same, and both have confirmed it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Kind::Words(words) => words.is_done(),
            Kind::Code(exchange) => exchange.is_done(),
        }
    }
}

/// The proofs of both ends.
struct Proofs {
    own: Zeroizing<[u8; 32]>,
    peers: Zeroizing<[u8; 32]>,
}

impl Proofs {
    /// A proof for each role, so that neither serves as the other: HMAC over what the run said, under keys that `derive`
    /// makes from labels.
    fn derive(role: Role, said: &[u8], derive: impl Fn(&str, &mut [u8])) -> Self {
        let [client, server] = ["xtls verify client 1", "xtls verify server 1"].map(|label| {
            let mut key = Zeroizing::new([0; 32]);
            derive(label, key.as_mut_slice());
            context::mac(&key, said)
        });
        match role {
            Role::Client => Self {
                own: client,
                peers: server,
            },
            Role::Server => Self {
                own: server,
                peers: client,
            },
        }
    }

    fn confirm(&self) -> Message {
        Message::Confirm(*self.own)
    }

    fn check(&self, proof: &[u8; 32]) -> Result<(), Fault> {
        if context::same(&self.peers, proof) {
            Ok(())
        } else {
            Err(Fault::Confirmation)
        }
    }
}

#[cfg(test)]
mod tests;
