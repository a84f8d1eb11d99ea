//! What is inside a signal.

use super::candidate::{Candidate, Cid, cid};
use super::{MAX_CANDIDATES, MAX_SIGNAL, NS, SIGNAL_STEP, attribute, leaf, number, without_text};
use crate::element::Element;
use crate::payload_error::{PayloadError, required};
use crate::read::ReadError;

/// What a signal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `<hints/>`, from each end once an attempt.
    Hints(Hints),
    /// `<joined/>`: its sender is connected to a relay of the other's, which is to activate it.
    Joined {
        /// The attempt.
        attempt: u64,
        /// The relay.
        cid: Cid,
    },
    /// `<failed/>`: a candidate is out.
    Failed {
        /// The attempt.
        attempt: u64,
        /// The candidate.
        cid: Cid,
        /// Why.
        because: Because,
    },
    /// `<over/>`, from the TLS client: nothing was chosen, the tunnel stays where it is.
    Over {
        /// The attempt.
        attempt: u64,
    },
    /// `<gone/>`: its sender has cut the tunnel, and knows of it no more.
    Gone {
        /// The latest attempt.
        attempt: u64,
    },
}

impl Signal {
    /// Reads the plaintext of a signal: one element, and white space behind it. Attributes, elements of other namespaces, and
    /// kinds of candidates that aren't known are skipped.
    ///
    /// # Errors
    ///
    /// A length that is no multiple of [`SIGNAL_STEP`] up to [`MAX_SIGNAL`], what is not XML, text, another element, attributes
    /// that are missing or out of range, two candidates with the same cid, and more candidates than [`MAX_CANDIDATES`].
    pub fn read(plain: &[u8]) -> Result<Self, SignalError> {
        let len = plain.len();
        if !(SIGNAL_STEP..=MAX_SIGNAL).contains(&len) || !len.is_multiple_of(SIGNAL_STEP) {
            return Err(SignalError::Length { len });
        }
        let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        let behind = plain.iter().rev().take_while(|b| blank(b)).count();
        let document = plain.get(..len - behind).unwrap_or_default();
        Ok(Self::from_element(&Element::read(document, "")?)?)
    }

    fn from_element(element: &Element) -> Result<Self, PayloadError> {
        if element.ns != NS {
            return Err(PayloadError::Unknown);
        }
        match element.name.as_str() {
            "hints" => Hints::read(element).map(Self::Hints),
            "joined" => {
                let name = "joined";
                leaf(element, name)?;
                Ok(Self::Joined {
                    attempt: number(element, name, "attempt")?,
                    cid: cid(element, name)?,
                })
            }
            "failed" => {
                let name = "failed";
                leaf(element, name)?;
                Ok(Self::Failed {
                    attempt: number(element, name, "attempt")?,
                    cid: cid(element, name)?,
                    because: word(element, name, "because", &Because::ALL, Because::name)?,
                })
            }
            "over" => {
                leaf(element, "over")?;
                Ok(Self::Over {
                    attempt: number(element, "over", "attempt")?,
                })
            }
            "gone" => {
                leaf(element, "gone")?;
                Ok(Self::Gone {
                    attempt: number(element, "gone", "attempt")?,
                })
            }
            _ => Err(PayloadError::Unknown),
        }
    }

    /// The plaintext, filled with spaces.
    ///
    /// Of [`Hints`] it has as many candidates as may be told, and fit: the last ones are left out.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut plain = Vec::with_capacity(MAX_SIGNAL);
        match self {
            Self::Hints(hints) => hints.write(&mut plain),
            Self::Joined { attempt, cid } => {
                let joined = about("joined", *attempt).with_attr("cid", cid.as_str());
                joined.write("", &mut plain);
            }
            Self::Failed {
                attempt,
                cid,
                because,
            } => {
                let failed = about("failed", *attempt)
                    .with_attr("cid", cid.as_str())
                    .with_attr("because", because.name());
                failed.write("", &mut plain);
            }
            Self::Over { attempt } => about("over", *attempt).write("", &mut plain),
            Self::Gone { attempt } => about("gone", *attempt).write("", &mut plain),
        }
        let filled = plain.len().next_multiple_of(SIGNAL_STEP);
        plain.resize(filled, b' ');
        plain
    }

    /// The attempt that it is about.
    #[must_use]
    pub fn attempt(&self) -> u64 {
        match self {
            Self::Hints(Hints { attempt, .. })
            | Self::Joined { attempt, .. }
            | Self::Failed { attempt, .. }
            | Self::Over { attempt }
            | Self::Gone { attempt } => *attempt,
        }
    }
}

/// Why the plaintext of a signal is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalError {
    /// It has a length that none has.
    #[error("a signal of {len} bytes: it has a multiple of {SIGNAL_STEP}, {MAX_SIGNAL} at most")]
    Length {
        /// Its length in bytes.
        len: usize,
    },
    /// It is not one element of XML.
    #[error("a signal is not one element: {0}")]
    Xml(#[from] ReadError),
    /// It is an element that is no signal.
    #[error("an element is no signal: {0}")]
    Payload(#[from] PayloadError),
}

/// `<hints/>`: where its sender can be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hints {
    /// The attempt.
    pub attempt: u64,
    /// Why there is one.
    pub why: Why,
    /// Where the owner of the sender lets it connect to.
    pub takes: Takes,
    /// Where the sender can be met. No two have the same cid.
    pub candidates: Vec<Candidate>,
}

impl Hints {
    fn read(element: &Element) -> Result<Self, PayloadError> {
        let name = "hints";
        without_text(element, name)?;
        let mut hints = Self {
            attempt: number(element, name, "attempt")?,
            why: word(element, name, "why", &Why::ALL, Why::name)?,
            takes: word(element, name, "takes", &Takes::ALL, Takes::name)?,
            candidates: Vec::new(),
        };
        let ours = element.elements().filter(|child| child.ns == NS);
        for (n, child) in ours.enumerate() {
            PayloadError::unless(child, "candidate", NS)?;
            if n == MAX_CANDIDATES {
                return Err(PayloadError::TooMany {
                    element: name,
                    most: MAX_CANDIDATES,
                });
            }
            let Some(candidate) = Candidate::read(child)? else {
                continue;
            };
            let same = |other: &Candidate| other.cid == candidate.cid;
            if hints.candidates.iter().any(same) {
                return Err(PayloadError::Twice {
                    element: "candidate",
                });
            }
            hints.candidates.push(candidate);
        }
        Ok(hints)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut hints = about("hints", self.attempt)
            .with_attr("why", self.why.name())
            .with_attr("takes", self.takes.name());
        hints.write("", out);
        let mut told = Vec::new();
        for candidate in &self.candidates {
            if told.len() == MAX_CANDIDATES {
                break;
            }
            if told.contains(&candidate.cid) {
                continue;
            }
            let more = hints.clone().with_child(candidate.to_element());
            let mut longer = Vec::with_capacity(MAX_SIGNAL);
            more.write("", &mut longer);
            if longer.len() > MAX_SIGNAL {
                break;
            }
            (hints, *out) = (more, longer);
            told.push(candidate.cid);
        }
    }
}

/// Why an attempt was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// There may be a faster path.
    Faster,
    /// The present path is slower than the one before.
    Slower,
    /// The present path has broken off.
    Lost,
}

impl Why {
    const ALL: [Self; 3] = [Self::Faster, Self::Slower, Self::Lost];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Lost => "lost",
        }
    }
}

/// Where the owner of an end lets it connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Takes {
    /// Nowhere: the servers carry everything.
    InBand,
    /// Relays of the own server.
    Own,
    /// Also relays of the peer's server.
    Proxy,
    /// Relays of the own server, and addresses of the peer.
    Direct,
    /// All of these.
    Any,
}

impl Takes {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::InBand,
        Self::Own,
        Self::Proxy,
        Self::Direct,
        Self::Any,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InBand => "in-band",
            Self::Own => "own",
            Self::Proxy => "proxy",
            Self::Direct => "direct",
            Self::Any => "any",
        }
    }
}

/// Why a candidate is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Because {
    /// The connection was refused.
    Refused,
    /// It took too long.
    Timeout,
    /// The owner does not let the sender connect there.
    Policy,
    /// The address is of a kind that is not dialled, or there is none.
    Address,
    /// The relay did not speak SOCKS5, or refused.
    Socks,
    /// The relay was not activated.
    Activation,
}

impl Because {
    const ALL: [Self; 6] = [
        Self::Refused,
        Self::Timeout,
        Self::Policy,
        Self::Address,
        Self::Socks,
        Self::Activation,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Policy => "policy",
            Self::Address => "address",
            Self::Socks => "socks",
            Self::Activation => "activation",
        }
    }
}

fn about(name: &'static str, attempt: u64) -> Element {
    Element::new(name, NS).with_attr("attempt", attempt.to_string())
}

/// An attribute whose value is one of a few words.
fn word<T: Copy>(
    element: &Element,
    name: &'static str,
    attr: &'static str,
    all: &[T],
    word: fn(T) -> &'static str,
) -> Result<T, PayloadError> {
    let text = required(element, name, attr)?;
    let found = all.iter().copied().find(|&value| word(value) == text);
    found.ok_or_else(|| attribute(name, attr))
}
