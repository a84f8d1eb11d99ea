//! Why a frame is not an envelope.

use super::{Content, Envelope};
use crate::address::Address;
use crate::condition::{Condition, StanzaError};
use crate::read::ReadError;

/// Why a frame is not an [`Envelope`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The document is refused.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An iq without an id, or with an empty one.
    #[error("an iq without id (RFC 6120 §8.2.3)")]
    NoId,
    /// An iq that is neither request nor answer.
    #[error("an iq of unknown type (RFC 6120 §8.2.3)")]
    IqType(Box<Requester>),
    /// A request without a payload or with several.
    #[error("an iq request with {count} children, which must have one (RFC 6120 §8.2.3)")]
    Children {
        /// Who awaits the answer.
        requester: Box<Requester>,
        /// How many child elements there are.
        count: usize,
    },
    /// A result with several payloads.
    #[error("an iq result with {count} children, which may have one (RFC 6120 §8.2.3)")]
    AnswerChildren {
        /// How many child elements there are.
        count: usize,
    },
    /// A presence of unknown type.
    #[error("a presence of unknown type (RFC 6121 §4.7.1)")]
    PresenceType,
}

impl EnvelopeError {
    /// The `bad-request` to send back if the stanza was a request.
    pub fn reply(&self) -> Option<Envelope> {
        match self {
            Self::IqType(requester) | Self::Children { requester, .. } => {
                let error =
                    StanzaError::new(Condition::BadRequest.default_type(), Condition::BadRequest);
                Some(Envelope {
                    from: requester.to.clone(),
                    to: requester.from.clone(),
                    id: requester.id.clone(),
                    content: Content::Error(error),
                })
            }
            Self::Read(_) | Self::NoId | Self::AnswerChildren { .. } | Self::PresenceType => None,
        }
    }
}

/// The sender of an iq that is not a valid [`Envelope`], waiting for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requester {
    /// The sender.
    pub from: Option<Address>,
    /// The addressee.
    pub to: Option<Address>,
    /// The id.
    pub id: String,
}
