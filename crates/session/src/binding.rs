//! What a session is bound to: two addresses, a stream, a service.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use xtls_stanza::Address;
use xtls_tls::trust::{Current, Policy};
use xtls_tls::{Expectations, Role};

/// What travels inside the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Whole stanzas, as the letter has it.
    Stanzas,
    /// An opaque byte stream; only ever with our ALPN.
    Bytes,
}

/// A named use of the tunnel: what both ends expect to travel inside. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    name: Arc<str>,
    mode: Mode,
}

impl Service {
    /// The service of `xtls stanzas` and `xtls chat`: plain stanzas.
    #[must_use]
    pub fn stanzas() -> Self {
        Self::new("stanzas", Mode::Stanzas)
    }

    /// An application's own service. The name is hashed, so any text does; both ends must choose the same.
    #[must_use]
    pub fn new(name: &str, mode: Mode) -> Self {
        Self {
            name: name.into(),
            mode,
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stanzas or bytes.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// The context of one session, fixed before TLS starts and never changed.
///
/// The addresses are those of the accepted `<open/>`, so they are full JIDs for people and an exact
/// JID for services. The stream is named by the `sid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Our own address in this session.
    pub own: Address,
    /// The peer's address in this session.
    pub peer: Address,
    /// The stream's `sid`.
    pub sid: String,
    /// What travels inside.
    pub service: Service,
    /// Who we are in TLS: the initiator of the stream is the client.
    pub role: Role,
}

impl Binding {
    /// The sender of the accepted `<open/>`.
    #[must_use]
    pub fn initiator(&self) -> &Address {
        match self.role {
            Role::Client => &self.own,
            Role::Server => &self.peer,
        }
    }

    /// The receiver of the accepted `<open/>`.
    #[must_use]
    pub fn responder(&self) -> &Address {
        match self.role {
            Role::Client => &self.peer,
            Role::Server => &self.own,
        }
    }

    /// The one ALPN name that fits this context: `xtls-stanza;H` or `xtls-bytes;H`.
    ///
    /// H is the unpadded base64url of SHA-256 over the initiator, the responder, the sid and the service name, each
    /// preceded by its length in bytes as 32 bits, big-endian. A server that relabels a resource, a sid or a service
    /// makes the two ends compute different names, and the handshake fails.
    #[must_use]
    pub fn alpn(&self) -> Vec<u8> {
        self.alpn_of(&self.service)
    }

    /// The name that fits this context with another service.
    pub(crate) fn alpn_of(&self, service: &Service) -> Vec<u8> {
        let mut hash = Sha256::new();
        let fields = [
            self.initiator().as_str(),
            self.responder().as_str(),
            &self.sid,
            service.name(),
        ];
        for field in fields {
            // A field is never near 4 GiB: addresses end at 3 071 bytes and sids at 256.
            let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
            hash.update(length.to_be_bytes());
            hash.update(field.as_bytes());
        }
        let prefix = match service.mode() {
            Mode::Stanzas => "xtls-stanza;",
            Mode::Bytes => "xtls-bytes;",
        };
        let mut name = prefix.to_owned();
        URL_SAFE_NO_PAD.encode_string(hash.finalize(), &mut name);
        name.into_bytes()
    }

    /// Of these services, the one that a ClientHello with these ALPN names asks for from us as the responder; the first of
    /// stanzas if it offers none, as a peer does that knows the letter only.
    #[must_use]
    pub fn service_named<'a>(
        &self,
        offered: &[Vec<u8>],
        services: impl IntoIterator<Item = &'a Service>,
    ) -> Option<&'a Service> {
        let mut services = services.into_iter();
        if offered.is_empty() {
            services.find(|service| service.mode() == Mode::Stanzas)
        } else {
            services.find(|service| offered.contains(&self.alpn_of(service)))
        }
    }

    /// What TLS must verify for a session with this context: the peer's bare address and our ALPN name, which byte mode
    /// requires.
    #[must_use]
    pub fn expect(&self, trust: impl Into<Current>, policy: Policy) -> Expectations {
        self.expect_one_of(&[], trust, policy)
    }

    /// As [`expect`](Self::expect), for a responder that takes any of these services beside its own: see
    /// [`Session::serving`](crate::Session::serving). A peer without ALPN is refused if none of them is of stanzas.
    #[must_use]
    pub fn expect_one_of(
        &self,
        also: &[Service],
        trust: impl Into<Current>,
        policy: Policy,
    ) -> Expectations {
        let mut services = std::iter::once(&self.service).chain(also);
        let mut expect = Expectations::new(self.own.bare(), self.peer.bare(), trust, policy);
        expect.alpn = self.alpn();
        expect.also = also.iter().map(|service| self.alpn_of(service)).collect();
        expect.alpn_required = services.all(|service| service.mode() == Mode::Bytes);
        expect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(role: Role) -> Binding {
        let romeo = Address::new("romeo@montague.example/orchard").unwrap();
        let juliet = Address::new("juliet@capulet.example/balcony").unwrap();
        let (own, peer) = match role {
            Role::Client => (romeo, juliet),
            Role::Server => (juliet, romeo),
        };
        Binding {
            own,
            peer,
            sid: "s1".to_owned(),
            service: Service::stanzas(),
            role,
        }
    }

    #[test]
    fn both_ends_compute_the_same_name() {
        assert_eq!(binding(Role::Client).alpn(), binding(Role::Server).alpn());
    }

    #[test]
    fn the_name_is_short_and_says_the_mode() {
        let name = binding(Role::Client).alpn();
        assert!(name.starts_with(b"xtls-stanza;"));
        assert_eq!(name.len(), "xtls-stanza;".len() + 43);
    }

    #[test]
    fn another_resource_sid_service_or_mode_gives_another_name() {
        let name = binding(Role::Client).alpn();
        let mut other = binding(Role::Client);
        other.peer = Address::new("juliet@capulet.example/garden").unwrap();
        assert_ne!(other.alpn(), name);
        let mut other = binding(Role::Client);
        other.sid = "s2".to_owned();
        assert_ne!(other.alpn(), name);
        let mut other = binding(Role::Client);
        other.service = Service::new("pipe", Mode::Stanzas);
        assert_ne!(other.alpn(), name);
        let mut other = binding(Role::Client);
        other.service = Service::new("stanzas", Mode::Bytes);
        assert_ne!(other.alpn(), name);
    }

    #[test]
    fn swapped_roles_give_another_name() {
        let mut other = binding(Role::Client);
        other.role = Role::Server;
        assert_ne!(other.alpn(), binding(Role::Client).alpn());
    }

    #[test]
    fn field_borders_count() {
        let mut one = binding(Role::Client);
        one.sid = "ab".to_owned();
        one.service = Service::new("c", Mode::Stanzas);
        let mut two = binding(Role::Client);
        two.sid = "a".to_owned();
        two.service = Service::new("bc", Mode::Stanzas);
        assert_ne!(one.alpn(), two.alpn());
    }
}
