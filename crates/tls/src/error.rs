//! How a connection fails, and what a caller can do wrong.

use rustls::{Error, PeerIncompatible, PeerMisbehaved};

use crate::{alert::Alert, identity::IdentityError, jid::JidError, trust::TrustError};

/// Why a connection is over. The first cause stays; what [`poll_wire`](crate::Tls::poll_wire) still gives are the last words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's key was refused.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The peer presented no certificate.
    #[error("the other end presented no certificate, and both sides must")]
    NoCertificate,
    /// The server did not ask for our certificate, so it does not know who we are.
    #[error("the other end did not ask for our certificate, and both sides must")]
    NotAsked,
    /// The peer does not speak TLS 1.3, or claims that we do not.
    #[error("the other end does not speak TLS 1.3")]
    Version,
    /// There is no key exchange that both sides accept.
    #[error("the other end offers no key exchange that is accepted here")]
    KeyExchange,
    /// The ALPN name is missing though required, or is not the expected one: another resource, stream or service is meant
    /// (or a server in between relabelled it).
    #[error(
        "the two ends do not mean the same session: the application protocol (ALPN) does not match"
    )]
    Alpn,
    /// The peer ended the connection with this alert.
    #[error("the other end ended the connection: {0}")]
    Alert(Alert),
    /// The transport ended without `close_notify`: the last bytes may be missing (RFC 8446 §6.1).
    #[error("the connection was cut off before its end")]
    Truncated,
    /// A record was changed, lost, repeated or reordered on the way.
    #[error(
        "a record is not what the other end sent: the bytes were damaged or changed on the way"
    )]
    Corrupt,
    /// The other end sends records without data (new keys, RFC 8446 §4.6.3), and too many of them in a row.
    #[error(
        "the other end sends records without data: {} in a row are taken, and more are an attack",
        crate::idle::MOST_IDLE
    )]
    Idle,
    /// [`reject`](crate::Tls::reject) was called.
    #[error("this side does not accept the peer's key")]
    Rejected,
    /// [`close`](crate::Tls::close) was called before the handshake was finished.
    #[error("closed on this side before the handshake was finished")]
    Cancelled,
    /// Another breach of TLS 1.3, in rustls's words.
    #[error("the other end does not follow TLS 1.3: {0}")]
    Protocol(String),
}

/// Why [`write`](crate::Tls::write) took nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The handshake is not finished, so it is not known who would read it.
    #[error("cannot write before the handshake is finished")]
    Handshaking,
    /// [`close`](crate::Tls::close) was called.
    #[error("cannot write after close")]
    Closed,
    /// The connection has failed.
    #[error("cannot write: the connection has failed")]
    Failed,
    /// More than fits in the queue toward the wire.
    #[error("cannot write so much now: there is room for {room} bytes")]
    Full {
        /// What [`room`](crate::Tls::room) returns.
        room: usize,
    },
}

/// Why a configuration or a connection cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The identity cannot be used with this provider.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An address is not a bare JID.
    #[error("{jid:?} cannot take part: {why}")]
    Jid {
        /// What was given.
        jid: String,
        /// The rule it breaks.
        why: JidError,
    },
    /// The identity belongs to another account: the peer would refuse its certificate.
    #[error("the identity belongs to {identity}, but this account is {own}")]
    OwnJid {
        /// The JID in our certificate.
        identity: String,
        /// [`Expectations::own`](crate::Expectations::own).
        own: String,
    },
    /// The ALPN name has more than 255 bytes (RFC 7301 §3.1), or is required and empty.
    #[error("an ALPN name has 1 to 255 bytes, this one has {len}")]
    Alpn {
        /// Its length in bytes.
        len: usize,
    },
    /// [`max_record`](crate::Config::max_record) is out of range.
    #[error("a record holds {min} to {max} bytes, not {given}", min = crate::record::MIN_RECORD, max = crate::record::MAX_RECORD)]
    Record {
        /// What was given.
        given: usize,
    },
    /// Post-quantum key exchange is required, and the provider has none.
    #[error(
        "post-quantum key exchange is required, but the cryptography provider has none (ring does not, aws-lc-rs does)"
    )]
    NoPostQuantum,
    /// rustls does not accept the provider.
    #[error("the cryptography provider cannot be used: {0}")]
    Provider(String),
}

/// Key material was asked for before the handshake was finished, or with a length of 0 or beyond 255 hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no key material can be exported: the handshake is not finished, or the length is out of range"
)]
pub struct ExportError;

impl TlsError {
    /// What an error of rustls means here. Refusals by the verifier are known more exactly and come before this.
    pub(crate) fn of(error: &Error) -> Self {
        use PeerIncompatible as Lacks;
        if let Error::AlertReceived(alert) = error {
            return Self::of_alert(Alert::new((*alert).into()));
        }
        let versions = [
            Lacks::ServerDoesNotSupportTls12Or13,
            Lacks::ServerTlsVersionIsDisabledByOurConfig,
            Lacks::SupportedVersionsExtensionRequired,
            Lacks::Tls12NotOffered,
            Lacks::Tls12NotOfferedOrEnabled,
        ];
        let groups = [
            Lacks::NoKxGroupsInCommon,
            Lacks::NamedGroupsExtensionRequired,
            Lacks::KeyShareExtensionRequired,
        ];
        let misnamed = Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol);
        if *error == Error::NoCertificatesPresented {
            Self::NoCertificate
        } else if *error == Error::NoApplicationProtocol || *error == misnamed {
            Self::Alpn
        } else if *error == Error::DecryptError {
            Self::Corrupt
        } else if matches!(error, Error::PeerIncompatible(lack) if versions.contains(lack)) {
            Self::Version
        } else if matches!(error, Error::PeerIncompatible(lack) if groups.contains(lack)) {
            Self::KeyExchange
        } else {
            Self::Protocol(error.to_string())
        }
    }

    /// What an alert of the peer means: some mean exactly what we would have sent in its place.
    fn of_alert(alert: Alert) -> Self {
        match alert {
            Alert::PROTOCOL_VERSION => Self::Version,
            Alert::NO_APPLICATION_PROTOCOL => Self::Alpn,
            other => Self::Alert(other),
        }
    }
}
