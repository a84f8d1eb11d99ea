//! A verification as the owner of a session sees it.

use std::fmt;

use xtls_stanza::verify::Reason;
use xtls_tls::Fingerprint;
use xtls_tls::verify::{Code, Fault, Method, ShortWords};

/// What the person here wants to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// Words that both ends show.
    Words,
    /// A code that both people enter.
    Code(Code),
}

impl Compare {
    /// How.
    #[must_use]
    pub fn method(&self) -> Method {
        match self {
            Self::Words => Method::Words,
            Self::Code(_) => Method::Code,
        }
    }

    /// What a store recognises a used code by.
    #[must_use]
    pub fn tag(&self) -> Option<u16> {
        match self {
            Self::Words => None,
            Self::Code(code) => Some(code.tag()),
        }
    }
}

/// Identifies one run of a verification, from the first request to its end, so that a person's answer applies to this run and to no
/// other. Unique among sessions whose [numbers](crate::Session::numbered) differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    pub(crate) session: u64,
    pub(crate) number: u64,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.number)
    }
}

/// How a verification proceeds. `Debug` shows neither words nor code.
#[derive(Debug, Clone, PartialEq)]
pub enum Verify {
    /// The person at the other end wants it: answer with [`verify_join`](crate::Session::verify_join) by the same method, or
    /// with [`verify_cancel`](crate::Session::verify_cancel). Nothing has been counted yet.
    Asked {
        /// Which run.
        run: Run,
        /// How.
        method: Method,
    },
    /// Both want it. Count the attempt, and then call [`verify_go`](crate::Session::verify_go); or, if there were too many,
    /// [`verify_cancel`](crate::Session::verify_cancel). Nothing that an attacker could guess from has been sent yet.
    Due {
        /// Which run.
        run: Run,
        /// How.
        method: Method,
        /// What a store recognises the code by.
        tag: Option<u16>,
    },
    /// Show these words, and have the person compare them with those at the other end: then
    /// [`verify_agree`](crate::Session::verify_agree), or [`verify_cancel`](crate::Session::verify_cancel) with
    /// [`Reason::Mismatch`].
    Compare {
        /// Which run.
        run: Run,
        /// What this end shows.
        words: ShortWords,
    },
    /// Both ends have seen the same. Record it for exactly this key.
    Done {
        /// Which run.
        run: Run,
        /// How.
        method: Method,
        /// The key of the handshake.
        key: Fingerprint,
    },
    /// It has failed, or was broken off. The session goes on as it was.
    Failed {
        /// Which run.
        run: Run,
        /// How.
        method: Method,
        /// The key of the handshake, which was to be verified.
        key: Fingerprint,
        /// Why.
        why: Broken,
        /// Whether it had gone as far as the commitment: an attempt that counts.
        counted: bool,
    },
}

impl Verify {
    /// The run that this is about.
    #[must_use]
    pub fn run(&self) -> Run {
        match self {
            Self::Asked { run, .. }
            | Self::Due { run, .. }
            | Self::Compare { run, .. }
            | Self::Done { run, .. }
            | Self::Failed { run, .. } => *run,
        }
    }

    /// The key that did not stand the comparison, and by what: what was compared is not the same. `None` while nothing was
    /// compared, and for a run that was merely broken off.
    #[must_use]
    pub fn mismatch(&self) -> Option<(Fingerprint, Method)> {
        match self {
            Self::Failed {
                method,
                key,
                why,
                counted: true,
                ..
            } if why.is_mismatch() => Some((*key, *method)),
            Self::Failed { .. }
            | Self::Asked { .. }
            | Self::Due { .. }
            | Self::Compare { .. }
            | Self::Done { .. } => None,
        }
    }
}

/// Why a verification came to nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// The owner's word.
    #[error("broken off here: {}", says(*.0))]
    Here(Reason),
    /// The peer's word.
    #[error("broken off at the other end: {}", says(*.0))]
    There(Reason),
    /// The peer broke a rule, or what was compared is not the same.
    #[error(transparent)]
    Fault(Fault),
    /// The peer sent a step that cannot be read.
    #[error("the peer sent a step of the verification that cannot be read: {0}")]
    Unreadable(xtls_stanza::PayloadError),
    /// It took too long.
    #[error("it was not finished in time")]
    Timeout,
    /// The session, or one direction of it, has ended.
    #[error("the session ended before it was finished")]
    Ended,
}

impl Broken {
    /// Whether what the two people compared is not the same: somebody may be between them.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        match self {
            Self::Here(reason) | Self::There(reason) => *reason == Reason::Mismatch,
            Self::Fault(fault) => matches!(fault, Fault::Commitment | Fault::Confirmation),
            Self::Unreadable(_) | Self::Timeout | Self::Ended => false,
        }
    }
}

fn says(reason: Reason) -> &'static str {
    match reason {
        Reason::Declined => "not wanted",
        Reason::Mismatch => "what was compared is not the same",
        Reason::Method => "the other method is wanted",
        Reason::Locked => "too many attempts have failed, or the code has served before",
        Reason::Timeout => "it took too long",
        Reason::Failed => "something went wrong",
    }
}

/// Why a call about a verification was refused. Nothing has changed, and nothing was sent to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The handshake is not finished, or the session is over.
    #[error("there is no session to verify the peer in")]
    NotOpen,
    /// The session carries bytes.
    #[error("a peer cannot be verified in a session that carries bytes")]
    Mode,
    /// Another one is in progress.
    #[error("a verification is already in progress")]
    Busy,
    /// The peer waits for the other method.
    #[error("the peer wants to compare {}", .0.name())]
    Method(Method),
    /// The run that the call names is over: it has ended, or another one goes on in its place.
    #[error("that verification is over")]
    Stale(Run),
    /// The run goes on, but this is not what it waits for.
    #[error("the verification is not waiting for this")]
    NotDue(Run),
}
