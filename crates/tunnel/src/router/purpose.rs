//! What a peer's open is for, which its ClientHello says: nothing is discarded, replaced or judged as a crossing before that
//! is known.
//!
//! An open with an early hello says so at once. Any other is accepted, and settled when its ClientHello has come on the
//! stream; until then the owner does not learn of it, and nothing else changes for its sake. The hello is not authenticated:
//! if the servers have changed it the handshake fails, and what was done for its sake is what any open may cause.

use bytes::Bytes;
use xtls_session::{Binding, Mode, Service};
use xtls_tls::offered_protocols;

use super::config::Config;

/// What a peer's open is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Stanzas, for this service. Or anything, where a transport has one stream for each pair of addresses.
    Stanzas(Option<Service>),
    /// Bytes, for this service.
    Bytes(Service),
    /// Nothing that we serve to this peer, which TLS tells the peer; or it has not said so yet.
    Unknown,
}

impl Purpose {
    /// What an open with this ClientHello is for, as far as it says so itself.
    pub(super) fn of(hello: Option<&Bytes>, binding: &Binding, config: &Config) -> Self {
        // Also if it is not taken there: it says as much as the one that follows on the stream.
        let Some(offered) = hello.and_then(|hello| offered_protocols(hello)) else {
            return Self::Unknown;
        };
        match binding.service_named(&offered, config.services_for(&binding.peer)) {
            Some(service) if service.mode() == Mode::Bytes => Self::Bytes(service.clone()),
            Some(service) => Self::Stanzas(Some(service.clone())),
            None => Self::Unknown,
        }
    }

    /// The service, if it is known.
    pub(super) fn service(&self) -> Option<&Service> {
        match self {
            Self::Stanzas(service) => service.as_ref(),
            Self::Bytes(service) => Some(service),
            Self::Unknown => None,
        }
    }

    pub(super) fn is_stanzas(&self) -> bool {
        matches!(self, Self::Stanzas(_))
    }
}
