//! Why there is no connection to the server.

use std::time::Duration;

use crate::LinkError;
use xtls_stanza::normalise::NotAnAddress;

/// Why a connection to one's own server could not be had.
///
/// Each attempt has one of these; none is retried by [`connect`](super::connect). After a later loss the link tries
/// again unless the reason [is final](Self::is_final).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The account is not an XMPP address.
    #[error(transparent)]
    Address(#[from] NotAnAddress),
    /// The account's address names a server and nobody on it.
    #[error("the account {account} has no local part, so there is nobody to log in as")]
    NoLocalPart {
        /// The address as given.
        account: String,
    },
    /// No certificate authority to check the server against.
    #[error("no certificate authority to check the server with: {why}")]
    Roots {
        /// What could not be read.
        why: String,
    },
    /// No TCP connection.
    #[error("{server} cannot be reached: {why}")]
    Unreachable {
        /// Host and port, or the domain that was looked up.
        server: String,
        /// What the system says.
        why: String,
    },
    /// The server offers no STARTTLS. There is no plaintext fall-back.
    #[error("{domain} offers no encryption (STARTTLS), and nothing is sent without it")]
    NoStartTls {
        /// The account's domain.
        domain: String,
    },
    /// Bytes came in the clear between the answer to STARTTLS and the TLS handshake: somebody tries to smuggle.
    #[error(
        "{domain}: {bytes} unencrypted bytes follow the answer to STARTTLS; somebody may be tampering with the connection"
    )]
    Injected {
        /// The account's domain.
        domain: String,
        /// How many came in the same read.
        bytes: usize,
    },
    /// The server's certificate does not prove that it is the account's domain.
    #[error("the certificate of {domain} is not accepted: {why}")]
    Certificate {
        /// The account's domain.
        domain: String,
        /// What the check says.
        why: String,
    },
    /// The TLS handshake failed otherwise.
    #[error("no TLS with {domain}: {why}")]
    Tls {
        /// The account's domain.
        domain: String,
        /// What failed.
        why: String,
    },
    /// The server offers no way to log in that we use.
    #[error("{domain} offers no acceptable way to log in, only {offered}{}", plain_hint(.offered))]
    NoMechanism {
        /// The account's domain.
        domain: String,
        /// The SASL mechanisms it offers, separated by commas.
        offered: String,
    },
    /// The server does not accept the account or its password.
    #[error("{account} could not log in: {condition}{}", in_brackets(.text))]
    Authentication {
        /// The bare address.
        account: String,
        /// The SASL condition (RFC 6120 §6.5).
        condition: String,
        /// What the server adds, or nothing.
        text: String,
    },
    /// The server said that the password is right without proving that it knows it (RFC 5802 §5).
    #[error("{domain} did not prove that it knows the password: {why}")]
    Impostor {
        /// The account's domain.
        domain: String,
        /// What was wrong with its proof.
        why: String,
    },
    /// Log-ins were bound to the TLS connection before, and now the server offers that no more (RFC 5802 §6): somebody may
    /// stand in between.
    #[error(
        "{domain} bound the log-in to the TLS connection before and does not offer it now; somebody may be tampering with the connection"
    )]
    Unbound {
        /// The account's domain.
        domain: String,
    },
    /// The resource is in use by another client.
    #[error("the resource of {address} is in use by another client")]
    Conflict {
        /// The address that was asked for.
        address: String,
    },
    /// The server gave us no resource.
    #[error("the server gave no address to use: {why}")]
    Bind {
        /// The condition and text it answered.
        why: String,
    },
    /// The server ended the stream with an error.
    #[error("the server ended the connection: {condition}{}", in_brackets(.text))]
    Stream {
        /// The stream error's condition (RFC 6120 §4.9.3).
        condition: String,
        /// What the server adds, or nothing.
        text: String,
    },
    /// The server said something that XMPP does not allow here.
    #[error("the server broke the protocol {during}: {why}")]
    Protocol {
        /// The step.
        during: &'static str,
        /// What it did.
        why: String,
    },
    /// A step took too long.
    #[error("no answer from the server within {} s", .limit.as_secs())]
    Timeout {
        /// How long it was waited.
        limit: Duration,
    },
    /// The connection broke.
    #[error("the connection broke {during}: {why}")]
    Broken {
        /// The step.
        during: &'static str,
        /// What the system says.
        why: String,
    },
}

impl ConnectError {
    /// Whether trying again later is pointless, or would do harm.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. } => false,
            Self::Authentication { condition, .. } => condition != "temporary-auth-failure",
            Self::Stream { condition, .. } => {
                matches!(
                    condition.as_str(),
                    "conflict"
                        | "host-gone"
                        | "host-unknown"
                        | "invalid-from"
                        | "not-authorized"
                        | "see-other-host"
                )
            }
            Self::Address(_)
            | Self::NoLocalPart { .. }
            | Self::Roots { .. }
            | Self::NoStartTls { .. }
            | Self::Injected { .. }
            | Self::Certificate { .. }
            | Self::NoMechanism { .. }
            | Self::Impostor { .. }
            | Self::Unbound { .. }
            | Self::Conflict { .. }
            | Self::Bind { .. }
            | Self::Protocol { .. } => true,
        }
    }

    pub(super) fn broken(during: &'static str, error: &std::io::Error) -> Self {
        Self::Broken {
            during,
            why: error.to_string(),
        }
    }

    pub(super) fn protocol(during: &'static str, why: impl ToString) -> Self {
        Self::Protocol {
            during,
            why: why.to_string(),
        }
    }
}

impl From<ConnectError> for LinkError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Conflict { address } => Self::Conflict(address),
            ConnectError::Protocol { during, why } => Self::Protocol(format!("{during}: {why}")),
            ConnectError::Authentication { .. }
            | ConnectError::NoMechanism { .. }
            | ConnectError::Impostor { .. }
            | ConnectError::Unbound { .. }
            | ConnectError::Bind { .. }
            | ConnectError::Address(_)
            | ConnectError::NoLocalPart { .. } => Self::Refused(error.to_string()),
            ConnectError::Roots { .. }
            | ConnectError::Unreachable { .. }
            | ConnectError::NoStartTls { .. }
            | ConnectError::Injected { .. }
            | ConnectError::Certificate { .. }
            | ConnectError::Tls { .. }
            | ConnectError::Stream { .. }
            | ConnectError::Timeout { .. }
            | ConnectError::Broken { .. } => Self::Lost(error.to_string()),
        }
    }
}

fn in_brackets(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" ({text})")
    }
}

fn plain_hint(offered: &str) -> &'static str {
    if offered.split(", ").any(|mechanism| mechanism == "PLAIN") {
        "; PLAIN shows the server the password, and is used only if it is allowed"
    } else {
        ""
    }
}
