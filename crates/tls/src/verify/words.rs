//! Short words with a commitment.
//!
//! ```text
//! client → server   commit = SHA-256(label, secret, ends, client's nonce)
//! server → client   the server's nonce
//! client → server   the client's nonce
//! ```
//!
//! A short string is safe only because each end has fixed its own nonce before it knows the other's. Without the commitment
//! whoever speaks last tries nonces until the words fit: see the test `without_a_commitment_a_short_string_is_ground_out`.

use std::fmt;

use zeroize::Zeroizing;

use super::{Context, Fault, Message, Proofs, context};
use crate::role::Role;

/// Four numbers below 2 048, 44 bits together: each stands for a word of the English list of BIP 39.
///
/// `Debug` does not show them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShortWords([u16; 4]);

impl ShortWords {
    /// The numbers, to be shown as words in this order.
    #[must_use]
    pub fn numbers(&self) -> [u16; 4] {
        self.0
    }

    /// From the lowest 48 bits; the last four of them are not shown.
    fn of(bits: u64) -> Self {
        Self([37, 26, 15, 4].map(|shift| (bits >> shift & 0x7ff) as u16))
    }
}

impl fmt::Debug for ShortWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShortWords(..)")
    }
}

/// One comparison of words.
pub(super) struct Words {
    context: Context,
    step: Step,
}

enum Step {
    /// The client has committed to this nonce.
    Committed(Zeroizing<[u8; 32]>),
    /// The server waits for the commitment.
    Listening(Zeroizing<[u8; 32]>),
    /// The server has given its nonce away and holds the client's commitment.
    Promised {
        nonce: Zeroizing<[u8; 32]>,
        commit: [u8; 32],
    },
    /// The words are known.
    Comparing {
        words: ShortWords,
        proofs: Proofs,
        agreed: bool,
        confirmed: bool,
    },
    Failed,
}

impl Words {
    pub(super) fn new(context: Context, nonce: Zeroizing<[u8; 32]>) -> (Self, Option<Message>) {
        let (step, first) = match context.role() {
            Role::Client => {
                let commit = commit(&context, &nonce);
                (Step::Committed(nonce), Some(Message::Commit(commit)))
            }
            Role::Server => (Step::Listening(nonce), None),
        };
        (Self { context, step }, first)
    }

    pub(super) fn handle(&mut self, message: &Message) -> Result<Option<Message>, Fault> {
        // Whatever is not due leaves the run failed.
        match (std::mem::replace(&mut self.step, Step::Failed), message) {
            (Step::Committed(nonce), Message::Nonce(servers)) => {
                self.step = compare(&self.context, &nonce, servers);
                Ok(Some(Message::Reveal(*nonce)))
            }
            (Step::Listening(nonce), Message::Commit(commit)) => {
                let answer = Message::Nonce(*nonce);
                let commit = *commit;
                self.step = Step::Promised { nonce, commit };
                Ok(Some(answer))
            }
            (
                Step::Promised {
                    nonce,
                    commit: promised,
                },
                Message::Reveal(clients),
            ) => {
                if !context::same(&commit(&self.context, clients), &promised) {
                    return Err(Fault::Commitment);
                }
                self.step = compare(&self.context, clients, &nonce);
                Ok(None)
            }
            (
                Step::Comparing {
                    words,
                    proofs,
                    agreed,
                    confirmed: false,
                },
                Message::Confirm(proof),
            ) => {
                proofs.check(proof)?;
                self.step = Step::Comparing {
                    words,
                    proofs,
                    agreed,
                    confirmed: true,
                };
                Ok(None)
            }
            (
                Step::Committed(_)
                | Step::Listening(_)
                | Step::Promised { .. }
                | Step::Comparing { .. }
                | Step::Failed,
                other,
            ) => Err(Fault::Order(other.name())),
        }
    }

    pub(super) fn short_words(&self) -> Option<ShortWords> {
        match &self.step {
            Step::Comparing { words, .. } => Some(*words),
            Step::Committed(_) | Step::Listening(_) | Step::Promised { .. } | Step::Failed => None,
        }
    }

    pub(super) fn agree(&mut self) -> Option<Message> {
        match &mut self.step {
            Step::Comparing { proofs, agreed, .. } if !*agreed => {
                *agreed = true;
                Some(proofs.confirm())
            }
            Step::Comparing { .. }
            | Step::Committed(_)
            | Step::Listening(_)
            | Step::Promised { .. }
            | Step::Failed => None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        match self.step {
            Step::Comparing {
                agreed, confirmed, ..
            } => agreed && confirmed,
            Step::Committed(_) | Step::Listening(_) | Step::Promised { .. } | Step::Failed => false,
        }
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Committed(_) => "Committed",
            Step::Listening(_) => "Listening",
            Step::Promised { .. } => "Promised",
            Step::Comparing { .. } => "Comparing",
            Step::Failed => "Failed",
        };
        f.debug_struct("Words")
            .field("step", &step)
            .finish_non_exhaustive()
    }
}

pub(super) fn commit(context: &Context, nonce: &[u8; 32]) -> [u8; 32] {
    context.hash("xtls verify commit 1", nonce)
}

/// The bits that are shown, lowest 48, before four of them are left out.
pub(super) fn shown(context: &Context, clients: &[u8; 32], servers: &[u8; 32]) -> u64 {
    let nonces = Zeroizing::new([*clients, *servers].concat());
    let mut bits = Zeroizing::new([0; 8]);
    if let Some(bytes) = bits.last_chunk_mut::<6>() {
        context.derive(&nonces, "xtls verify words 1", bytes);
    }
    u64::from_be_bytes(*bits)
}

fn compare(context: &Context, clients: &[u8; 32], servers: &[u8; 32]) -> Step {
    let nonces = Zeroizing::new([*clients, *servers].concat());
    Step::Comparing {
        words: ShortWords::of(shown(context, clients, servers)),
        proofs: Proofs::derive(context.role(), &nonces, |label, key| {
            context.derive(&nonces, label, key);
        }),
        agreed: false,
        confirmed: false,
    }
}
