//! Why a client's stream has ended.

use std::net::SocketAddr;
use std::time::Duration;

use xtls_framer::FrameError;

use crate::cause::Cause;
use crate::flow::Fault;
use crate::header::HeaderError;
use crate::manage::Miscount;
use crate::stream_error::{StreamError, written};

/// Why a client is not served, or no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Others than this machine's users could connect there, and nothing is encrypted.
    #[error(
        "{address} is not an address of this machine alone, and what clients send is not encrypted"
    )]
    #[non_exhaustive]
    NotLoopback {
        /// Where clients were to connect.
        address: SocketAddr,
    },
    /// The client broke the rules, or asked for what there is not, and was told so by a stream error.
    #[error("the client's stream was ended with {condition}: {why}")]
    #[non_exhaustive]
    Client {
        /// The condition (RFC 6120 §4.9.3).
        condition: &'static str,
        /// What it did.
        why: String,
    },
    /// The client could not log in, and has tried often enough.
    #[error("the client could not log in")]
    NotLoggedIn,
    /// The client took too long to log in.
    #[error("the client did not log in within {} s", .limit.as_secs())]
    #[non_exhaustive]
    Timeout {
        /// How long it was waited.
        limit: Duration,
    },
    /// The client counts acknowledgements as it must not (XEP-0198).
    #[error("the client miscounts what it acknowledges")]
    Acknowledgement(#[source] Miscount),
    /// The client ended the stream with an error.
    #[error("the client ended the connection: {0}")]
    Stream(StreamError),
    /// The stream was closed, and takes nothing more.
    #[error("the stream was closed")]
    Closed,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Cause),
}

impl ServeError {
    pub(super) fn client(condition: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self::Client { condition, why }
    }

    /// What the client is told.
    pub(super) fn stream_error(&self) -> Option<Vec<u8>> {
        match self {
            Self::Client { condition, .. } => Some(written(condition, None)),
            Self::NotLoggedIn => Some(written("policy-violation", None)),
            Self::Timeout { .. } => Some(written("connection-timeout", None)),
            Self::Acknowledgement(fault) => {
                Some(written("undefined-condition", fault.detail().as_ref()))
            }
            Self::NotLoopback { .. } | Self::Stream(_) | Self::Closed | Self::Broken(_) => None,
        }
    }
}

impl From<Fault> for ServeError {
    fn from(fault: Fault) -> Self {
        Self::client(condition(&fault), fault.to_string())
    }
}

fn condition(fault: &Fault) -> &'static str {
    match fault {
        Fault::Header(HeaderError::Namespace { .. }) => "invalid-namespace",
        Fault::Header(HeaderError::Version { .. }) => "unsupported-version",
        Fault::Header(HeaderError::From { .. }) => "invalid-from",
        Fault::Header(HeaderError::NotAHeader) => "bad-format",
        Fault::Header(HeaderError::TooLong)
        | Fault::Cut(FrameError::TooLong { .. } | FrameError::TooDeep { .. })
        | Fault::Long { .. }
        | Fault::Endless
        | Fault::Hasty => "policy-violation",
        Fault::Cut(FrameError::Restricted { .. }) => "restricted-xml",
        Fault::Header(HeaderError::Unreadable(_)) | Fault::Cut(_) | Fault::Unreadable(_) => {
            "not-well-formed"
        }
        Fault::Prefix(_) => "bad-namespace-prefix",
    }
}
