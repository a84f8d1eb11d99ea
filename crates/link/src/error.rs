//! Why there is no connection to the server.

use std::time::Duration;

use crate::cause::Cause;
use crate::event::LinkError;
use crate::header::HeaderError;
use crate::manage::Miscount;
use crate::stream_error::{StreamError, Verdict};

/// Why a connection to your own server could not be had, or has ended.
///
/// The first attempt's is returned, and not tried again. After a later loss the link tries again unless the reason
/// [is final](Self::is_final).
///
/// What made it fail is its [`source`](std::error::Error::source), and not part of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The account is not an XMPP address.
    #[error(transparent)]
    Address(Cause),
    /// The account's address names a server and nobody on it.
    #[error("the account {account} has no local part, so there is nobody to log in as")]
    NoLocalPart {
        /// The address as given.
        account: String,
    },
    /// No certificate authority to check the server against.
    #[error("no certificate authority to check the server with")]
    Roots(#[source] Cause),
    /// The certificate to log in with cannot be used.
    #[error("the certificate to log in with cannot be used")]
    OwnCertificate(#[source] Cause),
    /// The domain's service records cannot be had, and nobody knows whether there are any.
    #[error("{domain} cannot be looked up")]
    LookUp {
        /// The account's domain.
        domain: String,
        /// What the resolver says.
        #[source]
        why: Cause,
    },
    /// The domain says that it has no such service (RFC 2782: a target of `.`).
    #[error("{domain} offers no XMPP service for clients")]
    NoService {
        /// The account's domain.
        domain: String,
    },
    /// No TCP connection.
    #[error("{server} cannot be reached")]
    Unreachable {
        /// Host and port, or the domain that was looked up.
        server: String,
        /// What the system says.
        #[source]
        why: Cause,
    },
    /// The server is on another machine, and the protocol of components encrypts nothing (XEP-0114).
    #[error("{server} is another machine, and what a component sends is not encrypted")]
    Unencrypted {
        /// Its address and port.
        server: String,
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
    #[error("the certificate of {domain} is not accepted")]
    Certificate {
        /// The account's domain.
        domain: String,
        /// What is wrong with it, as a sentence.
        #[source]
        why: Cause,
    },
    /// The TLS handshake failed otherwise.
    #[error("no TLS with {domain}")]
    Tls {
        /// The account's domain.
        domain: String,
        /// What failed.
        #[source]
        why: Cause,
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
    /// The password is not enough for the server (XEP-0388 §2.6.3), and there is nothing more to give it.
    #[error("{domain} asks for more than the password ({tasks}), which this program can't give")]
    Tasks {
        /// The account's domain.
        domain: String,
        /// The tasks that it names, of which it wants one, separated by commas.
        tasks: String,
    },
    /// The server said that the password is right without proving that it knows it (RFC 5802 §5).
    #[error("{domain} did not prove that it knows the password: {why}")]
    Impostor {
        /// The account's domain.
        domain: String,
        /// What was wrong with its proof.
        why: String,
    },
    /// Log-ins were safer before: bound to the TLS connection (RFC 5802 §6), or with a stronger hash. Somebody may stand in
    /// between.
    #[error(
        "{domain} offered a safer log-in before ({before}) and does not now; somebody may be tampering with the connection"
    )]
    Weaker {
        /// The account's domain.
        domain: String,
        /// What was used before.
        before: String,
    },
    /// The server did not offer what arrived (XEP-0474): somebody has changed it on the way.
    #[error(
        "what {domain} offers was changed on the way; somebody is tampering with the connection"
    )]
    Tampered {
        /// The account's domain.
        domain: String,
    },
    /// The resource is in use by another client, or another client has taken it.
    #[error("the resource of {address} is in use by another client")]
    Conflict {
        /// The address that was asked for, or that was ours.
        address: String,
    },
    /// The server gave us no resource, or one of somebody else's.
    #[error("the server gave no address to use: {why}")]
    Bind {
        /// The condition and text it answered, or what is wrong with the address.
        why: String,
    },
    /// The server ended the stream with an error.
    #[error("the server ended the connection: {0}")]
    Stream(StreamError),
    /// What came is no XMPP stream, or not the one that was asked for.
    #[error("the server broke the protocol {during}")]
    Header {
        /// The step.
        during: &'static str,
        /// What is wrong with it.
        #[source]
        why: HeaderError,
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
    /// The server counts acknowledgements as it must not (XEP-0198).
    #[error("the server miscounts what it acknowledges")]
    Acknowledgement(#[source] Miscount),
    /// The server has no room for another client now.
    #[error("the server has no room for another client now")]
    Busy,
    /// The connection broke.
    #[error("the connection broke {during}")]
    Broken {
        /// The step.
        during: &'static str,
        /// What the system says.
        #[source]
        why: Cause,
    },
}

impl ConnectError {
    /// Whether trying again later is pointless, or would do harm, after a connection that stood.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.verdict(true) == Verdict::Stop
    }

    /// What follows; `known` if a connection stood before: what was right once may be so again.
    pub(crate) fn verdict(&self, known: bool) -> Verdict {
        match self {
            Self::Stream(error) => error.verdict(),
            Self::Unreachable { .. }
            | Self::LookUp { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. } => Verdict::Resume,
            Self::Tls { .. } => Verdict::Resume,
            Self::Acknowledgement(_) => Verdict::Rebind,
            Self::Busy => Verdict::RebindLater,
            // A captive portal, say. Nothing was sent.
            Self::Certificate { .. } | Self::NoService { .. } | Self::NoStartTls { .. }
                if known =>
            {
                Verdict::Resume
            }
            Self::Authentication { condition, .. } if condition == "temporary-auth-failure" => {
                Verdict::Resume
            }
            Self::Address(_)
            | Self::NoLocalPart { .. }
            | Self::Roots(_)
            | Self::OwnCertificate(_)
            | Self::NoService { .. }
            | Self::Unencrypted { .. }
            | Self::NoStartTls { .. }
            | Self::Injected { .. }
            | Self::Certificate { .. }
            | Self::NoMechanism { .. }
            | Self::Authentication { .. }
            | Self::Tasks { .. }
            | Self::Impostor { .. }
            | Self::Weaker { .. }
            | Self::Tampered { .. }
            | Self::Conflict { .. }
            | Self::Bind { .. }
            | Self::Header { .. }
            | Self::Protocol { .. } => Verdict::Stop,
        }
    }

    pub(crate) fn is_policy_violation(&self) -> bool {
        matches!(self, Self::Stream(error) if error.condition == "policy-violation")
    }

    pub(crate) fn broken(during: &'static str, why: impl Into<Cause>) -> Self {
        Self::Broken {
            during,
            why: why.into(),
        }
    }

    /// The network says no more. That it ended in the middle of TLS is a matter of course then.
    #[cfg(feature = "tokio")]
    pub(crate) fn broken_io(during: &'static str, why: std::io::Error) -> Self {
        if why.kind() == std::io::ErrorKind::UnexpectedEof {
            return Self::broken(during, HUNG_UP);
        }
        Self::broken(during, why)
    }

    pub(crate) fn protocol(during: &'static str, why: impl ToString) -> Self {
        Self::Protocol {
            during,
            why: why.to_string(),
        }
    }
}

#[cfg(feature = "tokio")]
pub(crate) const HUNG_UP: &str = "the server hung up";

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

impl From<ConnectError> for LinkError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Conflict { address } => Self::Conflict(address),
            ConnectError::Protocol { .. } | ConnectError::Header { .. } => {
                Self::Protocol(Cause::new(error))
            }
            ConnectError::Authentication { .. }
            | ConnectError::Tasks { .. }
            | ConnectError::NoMechanism { .. }
            | ConnectError::Impostor { .. }
            | ConnectError::Weaker { .. }
            | ConnectError::Tampered { .. }
            | ConnectError::Bind { .. }
            | ConnectError::Address(_)
            | ConnectError::NoLocalPart { .. } => Self::Refused(Cause::new(error)),
            ConnectError::Roots(_)
            | ConnectError::OwnCertificate(_)
            | ConnectError::LookUp { .. }
            | ConnectError::NoService { .. }
            | ConnectError::Unreachable { .. }
            | ConnectError::Unencrypted { .. }
            | ConnectError::NoStartTls { .. }
            | ConnectError::Injected { .. }
            | ConnectError::Certificate { .. }
            | ConnectError::Tls { .. }
            | ConnectError::Stream(_)
            | ConnectError::Acknowledgement(_)
            | ConnectError::Busy
            | ConnectError::Timeout { .. }
            | ConnectError::Broken { .. } => Self::Lost(Cause::new(error)),
        }
    }
}
