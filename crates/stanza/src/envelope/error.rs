//! Why a frame is no envelope.

use super::{Content, Envelope};
use crate::address::Address;
use crate::condition::{Condition, StanzaError};
use crate::read::ReadError;

/// Why a frame is no [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The document is refused.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// An iq without an id, or with an empty one.
    #[error("an iq without id (RFC 6120 §8.2.3)")]
    NoId,
    /// An iq that is neither request nor answer.
    #[error("an iq of unknown type (RFC 6120 §8.2.3)")]
    IqType {
        /// The sender.
        from: Option<Address>,
        /// The addressee.
        to: Option<Address>,
        /// The id.
        id: String,
    },
    /// A request without a payload or with several.
    #[error("an iq request with {count} children, which must have one (RFC 6120 §8.2.3)")]
    Children {
        /// The sender.
        from: Option<Address>,
        /// The addressee.
        to: Option<Address>,
        /// The id.
        id: String,
        /// How many child elements there are.
        count: usize,
    },
    /// A result with several payloads.
    #[error("an iq result with {count} children, which may have one (RFC 6120 §8.2.3)")]
    AnswerChildren {
        /// How many child elements there are.
        count: usize,
    },
    /// A presence of a type that does not exist.
    #[error("a presence of unknown type (RFC 6121 §4.7.1)")]
    PresenceType,
}

impl EnvelopeError {
    /// The `bad-request` that the sender of the stanza deserves, if it asked for something.
    pub fn reply(&self) -> Option<Envelope> {
        match self {
            Self::IqType { from, to, id }
            | Self::Children {
                from,
                to,
                id,
                count: _,
            } => {
                let error =
                    StanzaError::new(Condition::BadRequest.default_type(), Condition::BadRequest);
                Some(Envelope {
                    from: to.clone(),
                    to: from.clone(),
                    id: id.clone(),
                    content: Content::Error(error),
                })
            }
            Self::Read(_) | Self::NoId | Self::AnswerChildren { .. } | Self::PresenceType => None,
        }
    }
}
