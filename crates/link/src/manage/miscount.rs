//! What a server must not say.

use std::time::Duration;

use xtls_stanza::Element;

use super::unacked::TooHigh;
use super::wire::SM;

/// The server counts as it must not. The session is over, and the connection has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Miscount {
    /// It has handled more than was sent.
    #[error("the server says that it has handled {h} stanzas of {sent} (XEP-0198 §6)")]
    #[non_exhaustive]
    TooHigh {
        /// Its number.
        h: u32,
        /// Ours.
        sent: u32,
    },
    /// It does not say how many.
    #[error(
        "the server says <{0}/> without the number of stanzas that it has handled (XEP-0198 §4, §5)"
    )]
    NoNumber(&'static str),
    /// It is another session.
    #[error("the server has resumed another session than was asked for (XEP-0198 §5)")]
    Another,
    /// It does not answer. Prosody up to 0.12 goes on in the middle of the stanza in which the last connection was cut, and takes
    /// all that comes for a part of it.
    #[error("the server has resumed the session, and takes nothing in (no answer to <r/> in {} s)", .0.as_secs())]
    Deaf(Duration),
}

impl Miscount {
    /// What goes into our stream error beside `<undefined-condition/>`.
    pub(crate) fn detail(&self) -> Option<Element> {
        match self {
            Self::TooHigh { h, sent } => Some(
                Element::new("handled-count-too-high", SM)
                    .with_attr("h", h.to_string())
                    .with_attr("send-count", sent.to_string()),
            ),
            Self::NoNumber(_) | Self::Another | Self::Deaf(_) => None,
        }
    }
}

impl From<TooHigh> for Miscount {
    fn from(TooHigh { h, sent }: TooHigh) -> Self {
        Self::TooHigh { h, sent }
    }
}
