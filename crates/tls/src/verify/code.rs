//! One shared code by SPAKE2 (RFC 9382 describes the family; the group and the encoding are those of the crate `spake2`).
//!
//! Both ends send their side of the exchange at once, then a proof that they came to the same key. Only the asymmetric form
//! is used, in which a reflected side is refused.

use std::fmt;

use rand_core::{CryptoRng, RngCore};
use sha2::{Digest as _, Sha256};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::{Context, Fault, Message, Proofs};
use crate::role::Role;

/// Fewest characters of a code, after normalising.
pub const MIN_CODE: usize = 6;

/// Most characters of a code, after normalising.
pub const MAX_CODE: usize = 128;

/// What two people have agreed on elsewhere, for one run. Wiped when dropped; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<String>);

/// Why a text is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Too short to withstand a few guesses, or too long.
    #[error(
        "a code has {MIN_CODE} to {MAX_CODE} characters, spaces and hyphens apart; this one has {characters}"
    )]
    Length {
        /// How many there are, spaces and hyphens apart.
        characters: usize,
    },
}

impl Code {
    /// Reads a code as people say and type it: white space and hyphens do not count, and neither does the case of letters, nor
    /// whether an accent is typed with its letter or after it.
    ///
    /// Left out are the characters that Unicode calls white space, and U+002D, U+00AD, U+2010 to U+2015 and U+2212; the rest is
    /// put in lower case without regard to a language, and then in NFC.
    ///
    /// # Errors
    /// Fewer than [`MIN_CODE`] or more than [`MAX_CODE`] characters are left.
    pub fn new(text: &str) -> Result<Self, CodeError> {
        // With room for all, so that it is never copied to a place that is not wiped.
        let mut code = Zeroizing::new(String::with_capacity(text.len().saturating_mul(6)));
        let hyphen = |c: char| matches!(c, '-' | '\u{AD}' | '\u{2010}'..='\u{2015}' | '\u{2212}');
        let counts = |c: &char| !c.is_whitespace() && !hyphen(*c);
        let lower = text.chars().filter(counts).flat_map(char::to_lowercase);
        code.extend(lower.nfc());
        let characters = code.chars().count();
        if (MIN_CODE..=MAX_CODE).contains(&characters) {
            Ok(Self(code))
        } else {
            Err(CodeError::Length { characters })
        }
    }

    /// Sixteen bits of a hash, by which a store recognises a code that has served. Who reads them knows the code no better
    /// than one guess in 65 536 tells.
    #[must_use]
    pub fn tag(&self) -> u16 {
        let hash = Sha256::new()
            .chain_update("xtls verify tag 1")
            .chain_update(self.0.as_bytes())
            .finalize();
        hash.first_chunk().map_or(0, |tag| u16::from_be_bytes(*tag))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

/// One comparison of a code.
pub(super) struct Exchange {
    context: Context,
    /// Our side of the exchange.
    own: [u8; 33],
    step: Step,
}

enum Step {
    /// The peer's side is due.
    Sent(Box<Spake2<Ed25519Group>>),
    /// The peer's proof is due.
    Proving(Proofs),
    Done,
    Failed,
}

impl Exchange {
    pub(super) fn new(
        context: Context,
        code: &Code,
        seed: &Zeroizing<[u8; 32]>,
    ) -> (Self, Message) {
        let client = Identity::new(&context.hash("xtls verify code client 1", b""));
        let server = Identity::new(&context.hash("xtls verify code server 1", b""));
        let password = Password::new(code.0.as_bytes());
        let random = Stream::new(seed);
        let (exchange, side) = match context.role() {
            Role::Client => Spake2::start_a_with_rng(&password, &client, &server, random),
            Role::Server => Spake2::start_b_with_rng(&password, &client, &server, random),
        };
        let mut own = [0; 33];
        if let Ok(side) = <[u8; 33]>::try_from(side) {
            own = side;
        }
        let step = Step::Sent(Box::new(exchange));
        (Self { context, own, step }, Message::Pake(own))
    }

    pub(super) fn handle(&mut self, message: &Message) -> Result<Option<Message>, Fault> {
        match (std::mem::replace(&mut self.step, Step::Failed), message) {
            (Step::Sent(exchange), Message::Pake(peers)) => {
                // Refuses our own side, and what is no element of the group.
                let key = exchange.finish(peers).map_err(|_| Fault::Exchange)?;
                let key = Zeroizing::new(key);
                let role = self.context.role();
                let said = match role {
                    Role::Client => [self.own, *peers],
                    Role::Server => [*peers, self.own],
                }
                .concat();
                let proofs = Proofs::derive(role, &said, |label, out| {
                    self.context.derive_from(&key, &said, label, out);
                });
                let confirm = proofs.confirm();
                self.step = Step::Proving(proofs);
                Ok(Some(confirm))
            }
            (Step::Proving(proofs), Message::Confirm(proof)) => {
                proofs.check(proof)?;
                self.step = Step::Done;
                Ok(None)
            }
            (Step::Sent(_) | Step::Proving(_) | Step::Done | Step::Failed, other) => {
                Err(Fault::Order(other.name()))
            }
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Sent(_) => "Sent",
            Step::Proving(_) => "Proving",
            Step::Done => "Done",
            Step::Failed => "Failed",
        };
        f.debug_struct("Exchange")
            .field("step", &step)
            .finish_non_exhaustive()
    }
}

/// SHA-256 in counter mode over a seed that is used once, in the form that `spake2` asks for.
pub(super) struct Stream {
    seed: Zeroizing<[u8; 32]>,
    block: u64,
}

impl Stream {
    pub(super) fn new(seed: &Zeroizing<[u8; 32]>) -> Self {
        let (seed, block) = (seed.clone(), 0);
        Self { seed, block }
    }
}

impl RngCore for Stream {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        for chunk in dest.chunks_mut(32) {
            let block = Sha256::new()
                .chain_update("xtls verify random 1")
                .chain_update(*self.seed)
                .chain_update(self.block.to_be_bytes())
                .finalize();
            self.block = self.block.wrapping_add(1);
            for (byte, random) in chunk.iter_mut().zip(block) {
                *byte = random;
            }
        }
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Stream {}
