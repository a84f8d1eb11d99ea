//! One log-in by SCRAM as the client does it (RFC 5802, RFC 7677): message by message, each state a type that the next message uses up.
//! The costly part, PBKDF2, is a [`Job`] that the owner runs where it likes.

mod hash;
mod keys;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;

use subtle::ConstantTimeEq as _;
use xtls_stanza::base64;
use zeroize::Zeroizing;

pub(crate) use self::hash::Hash;
pub use self::keys::{Job, Keys};
pub(crate) use self::keys::{KeyCache, Recipe};
pub(crate) use self::read::{Fault, NoProof};

/// What a log-in says about the TLS channel (RFC 5802 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Flag `n`: we cannot bind in a way that the server knows.
    None,
    /// Flag `y`: we could, and the server does not seem to.
    Unoffered,
    /// Flag `p`: bound.
    Exporter(Exporter),
}

impl Binding {
    pub(crate) fn binds(&self) -> bool {
        match self {
            Self::None | Self::Unoffered => false,
            Self::Exporter(_) => true,
        }
    }

    fn header(&self) -> &'static str {
        match self {
            Self::None => "n,,",
            Self::Unoffered => "y,,",
            Self::Exporter(_) => "p=tls-exporter,,",
        }
    }

    fn data(&self) -> &[u8] {
        match self {
            Self::None | Self::Unoffered => &[],
            Self::Exporter(exporter) => exporter.0.as_slice(),
        }
    }
}

/// What both ends of one TLS 1.3 connection know, and nobody else (RFC 9266). There is none of a connection with an older TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Exporter(Zeroizing<[u8; 32]>);

impl Exporter {
    /// What TLS exports for the label `EXPORTER-Channel-Binding`, without a context.
    #[must_use]
    pub fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter(..)")
    }
}

/// Our first message is made, and the server's is due.
pub(crate) struct First {
    hash: Hash,
    binding: Binding,
    nonce: String,
    /// `client-first-message-bare`.
    bare: String,
}

impl First {
    /// The nonce is printable ASCII without a comma, and new each time.
    pub(crate) fn new(hash: Hash, binding: Binding, user: &str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self {
            hash,
            binding,
            bare: format!("n={user},r={nonce}"),
            nonce,
        }
    }

    /// `client-first-message`.
    pub(crate) fn message(&self) -> String {
        format!("{}{}", self.binding.header(), self.bare)
    }

    /// Takes `server-first-message`. `offer` is what XEP-0474 hashes, as it was received.
    pub(crate) fn handle(self, message: &[u8], offer: &[u8]) -> Result<Challenged, Fault> {
        let first = read::first(message, &self.nonce)?;
        // XEP-0474 §5.2: signed by both ends, as all of this message is.
        if first
            .offer
            .is_some_and(|hash| hash != *self.hash.digest(offer))
        {
            return Err(Fault::Tampered);
        }
        let mut bound = Zeroizing::new(Vec::with_capacity(64));
        bound.extend_from_slice(self.binding.header().as_bytes());
        bound.extend_from_slice(self.binding.data());
        let unproven = ["c=", &*encode(&bound), ",r=", first.nonce].concat();
        let said = [&*self.bare, first.text, &*unproven].join(",");
        Ok(Challenged {
            recipe: Recipe {
                hash: self.hash,
                salt: first.salt,
                rounds: first.rounds,
            },
            unproven: Zeroizing::new(unproven),
            said: Zeroizing::new(said),
        })
    }
}

/// The server's first message has come, and the keys are due.
pub(crate) struct Challenged {
    recipe: Recipe,
    /// `client-final-message-without-proof`.
    unproven: Zeroizing<String>,
    /// `AuthMessage`.
    said: Zeroizing<String>,
}

impl Challenged {
    pub(crate) fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// `client-final-message`. The keys are those of the recipe.
    pub(crate) fn prove(self, keys: &Keys) -> (Proving, Zeroizing<String>) {
        let hash = self.recipe.hash;
        let said = self.said.as_bytes();
        let mut proof = hash.hmac(&hash.digest(keys.client()), said);
        for (byte, key) in proof.iter_mut().zip(keys.client()) {
            *byte ^= key;
        }
        let message = [&**self.unproven, ",p=", &*encode(&proof)].concat();
        let signature = hash.hmac(keys.server(), said);
        (Proving { signature }, Zeroizing::new(message))
    }
}

/// Our proof is made, and the server's is due.
pub(crate) struct Proving {
    signature: Zeroizing<Vec<u8>>,
}

impl Proving {
    /// Takes `server-final-message`.
    pub(crate) fn check(&self, message: &[u8]) -> Result<(), NoProof> {
        let signature = read::last(message)?;
        if bool::from(signature.ct_eq(self.signature.as_slice())) {
            Ok(())
        } else {
            Err(NoProof::Wrong)
        }
    }
}

/// A nonce of 256 bits.
pub(crate) fn nonce(random: &[u8; 32]) -> String {
    encode(random).to_string()
}

fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Vec::with_capacity(base64::encoded_len(bytes.len()));
    base64::encode(bytes, &mut text);
    // Base64 is ASCII.
    Zeroizing::new(String::from_utf8(text).unwrap_or_default())
}
