//! The caller's faults, and the one table between stanza conditions and our reasons.

use xtls_stanza::{Condition, ErrorType, StanzaError};

use crate::event::Violation;

/// Why `open` did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A stream goes to a full address.
    #[error("the address has no resource, a stream needs a full address")]
    NotFull,
    /// A stream to ourselves would have the same key at both ends.
    #[error("the address is our own")]
    OwnAddress,
    /// The config's `max_streams` are in use.
    #[error("{max} streams are open, no more are allowed")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

/// Why `write` took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The stream waits for its owner to accept it.
    #[error("the stream is not accepted yet")]
    NotAccepted,
    /// The stream is closing, closed, or was never there.
    #[error("the stream is closed for writing")]
    Closed,
}

/// The stream is not there any more, or not in a state in which the call makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream is gone")]
pub struct Gone;

/// What the error that answered our open means (`docs/PROTOCOL.md`, "Errors we receive").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The peer does not speak this, or a server says so. Never a reason to go on in the clear.
    Unsupported,
    /// The peer, or a rule of its server, does not want to. A new address in `gone` or `redirect` is never followed.
    Declined,
    /// No block size was small enough.
    BlockSize,
    /// Both opened at the same time, and the other open counts.
    Conflict,
    /// Not now: offline, a server away, too many attempts.
    Unreachable,
}

impl Refusal {
    /// Reads the answer to an open, by its condition: the type is often wrong.
    #[must_use]
    pub fn of(error: &StanzaError) -> Self {
        match error.condition {
            Condition::ServiceUnavailable
            | Condition::FeatureNotImplemented
            | Condition::BadRequest
            | Condition::ItemNotFound
            | Condition::JidMalformed
            | Condition::UndefinedCondition
            | Condition::UnexpectedRequest => Self::Unsupported,
            Condition::NotAcceptable
            | Condition::Forbidden
            | Condition::NotAllowed
            | Condition::NotAuthorized
            | Condition::SubscriptionRequired
            | Condition::RegistrationRequired
            | Condition::Gone
            | Condition::Redirect => Self::Declined,
            Condition::ResourceConstraint => Self::BlockSize,
            Condition::Conflict => Self::Conflict,
            Condition::RecipientUnavailable
            | Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout
            | Condition::PolicyViolation
            | Condition::InternalServerError => Self::Unreachable,
        }
    }
}

/// What an error answer to a chunk means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkError {
    /// Send it again after a while.
    Wait,
    /// The stream cannot go on; end it with `<close/>`.
    Final,
    /// The peer does not know the stream: nothing is left to close.
    Unknown,
}

impl ChunkError {
    pub(crate) fn of(error: &StanzaError) -> Self {
        match error.condition {
            Condition::ItemNotFound => Self::Unknown,
            // XEP-0047 §2.2 has these two for faults of the chunk itself, where sending it again
            // cannot help. RFC 6120 gives one of them the type `wait` by default.
            Condition::BadRequest | Condition::UnexpectedRequest => Self::Final,
            Condition::Conflict
            | Condition::FeatureNotImplemented
            | Condition::Forbidden
            | Condition::Gone
            | Condition::InternalServerError
            | Condition::JidMalformed
            | Condition::NotAcceptable
            | Condition::NotAllowed
            | Condition::NotAuthorized
            | Condition::PolicyViolation
            | Condition::RecipientUnavailable
            | Condition::Redirect
            | Condition::RegistrationRequired
            | Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout
            | Condition::ResourceConstraint
            | Condition::ServiceUnavailable
            | Condition::SubscriptionRequired
            | Condition::UndefinedCondition => match error.kind {
                ErrorType::Wait => Self::Wait,
                ErrorType::Auth | ErrorType::Cancel | ErrorType::Continue | ErrorType::Modify => {
                    Self::Final
                }
            },
        }
    }
}

/// What we answer to each fault.
pub(crate) mod answer {
    use super::{Condition, ErrorType, StanzaError, Violation};
    use crate::incoming::MAX_OPEN;
    use crate::outgoing::MAX_ID;

    pub(crate) fn unknown_stream() -> StanzaError {
        StanzaError::new(ErrorType::Cancel, Condition::ItemNotFound)
    }

    pub(crate) fn malformed_open() -> StanzaError {
        StanzaError::new(ErrorType::Modify, Condition::BadRequest)
    }

    pub(crate) fn malformed_other() -> StanzaError {
        StanzaError::new(ErrorType::Cancel, Condition::BadRequest)
    }

    pub(crate) fn not_for_requests() -> StanzaError {
        StanzaError::new(ErrorType::Cancel, Condition::FeatureNotImplemented)
    }

    pub(crate) fn block_too_large() -> StanzaError {
        StanzaError::new(ErrorType::Modify, Condition::ResourceConstraint)
    }

    pub(crate) fn stranger() -> StanzaError {
        StanzaError::new(ErrorType::Cancel, Condition::ServiceUnavailable)
    }

    pub(crate) fn declined() -> StanzaError {
        StanzaError::new(ErrorType::Cancel, Condition::NotAcceptable)
    }

    pub(crate) fn long_id() -> StanzaError {
        let text = format!("the id of the request has more than {MAX_ID} bytes");
        StanzaError::new(ErrorType::Modify, Condition::BadRequest).with_text(text)
    }

    pub(crate) fn heavy_open() -> StanzaError {
        let text = format!("what the open holds takes more than {MAX_OPEN} bytes");
        StanzaError::new(ErrorType::Modify, Condition::BadRequest).with_text(text)
    }

    pub(crate) fn violation(violation: &Violation) -> StanzaError {
        let condition = match violation {
            Violation::Gap { .. } | Violation::Reused { .. } => Condition::UnexpectedRequest,
            Violation::TooLarge { .. } | Violation::Unreadable(_) | Violation::Empty => {
                Condition::BadRequest
            }
            Violation::Overflow { .. } => Condition::ResourceConstraint,
        };
        StanzaError::new(ErrorType::Cancel, condition)
    }
}

/// Longest error text that is kept, and heaviest condition of an application, in bytes.
const MAX_TEXT: usize = 1024;

/// An error of a peer as it may be kept and shown: its text without what could fool a terminal, at most 1024 bytes of it,
/// and no application's condition that takes more.
#[must_use]
pub fn presentable(mut error: StanzaError) -> StanzaError {
    error.text = error.text.map(|text| {
        let mut clean = String::new();
        for c in text.chars().filter(|c| !fools(*c)) {
            if clean.len() + c.len_utf8() > MAX_TEXT {
                break;
            }
            clean.push(c);
        }
        clean.shrink_to_fit();
        clean
    });
    error.app = error.app.filter(|app| app.weight() <= MAX_TEXT);
    error
}

/// Control characters, line and paragraph separators, and what changes the direction of text.
fn fools(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
